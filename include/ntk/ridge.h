/** @file ridge.h
 *  Ridge regression in feature space (docs/regression.md): with features Z (n x M) whose inner products Z Z^T
 *  approximate a kernel, a regression costs n M^2 instead of n^3 and never holds an n x n matrix. Rows are streamed.
 */
#ifndef NTK_RIDGE_H
#define NTK_RIDGE_H

#include <ntk/context.h>
#include <ntk/regress.h>
#include <ntk/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A source of feature rows. Zero-initialise for none. */
typedef struct ntk_feature_rows {
  int64_t count; /**< Rows: one a record. */
  int64_t dim;   /**< Features in a row. */
  /** Writes rows first..first+count-1 to `out` (count x dim, row-major); the same values whenever they are asked for.
   *  Called from one thread at a time. Anything but NTK_OK ends the regression with that status. */
  ntk_status (*read)(void *user, int64_t first, int64_t count, float *out);
  void *user; /**< Handed to `read`. */
} ntk_feature_rows;

/** A .npy file of features that is read block by block. */
typedef struct ntk_feature_file ntk_feature_file;

/** Opens a rank-2 .npy file of float32 values, or of float64 values to be rounded to float32. Where a manifest lies
 *  beside it (`path`.json, docs/store-format.md), it must say that the matrix is complete.
 *  @param file receives the open file; free it with ntk_feature_file_free.
 *  @return NTK_OK; NTK_ERROR_IO; NTK_ERROR_DATA (no such array, truncated, not complete); NTK_ERROR_CORRUPT (the
 *          manifest is damaged); NTK_ERROR_ARGUMENT; NTK_ERROR_MEMORY. */
NTK_API ntk_status ntk_feature_file_open(const char *path, ntk_feature_file **file);

/** The rows of an open file; valid until it is freed. The array is not held in memory. Reading gives NTK_ERROR_DATA for
 *  a value that is not finite (the sentence names file, row and column), NTK_ERROR_IO if the file became shorter. */
NTK_API ntk_feature_rows ntk_feature_file_rows(const ntk_feature_file *file);

/** Closes a file and frees it; NULL is allowed. */
NTK_API void ntk_feature_file_free(ntk_feature_file *file);

/** Which system is solved. Both give the same predictions up to rounding. */
typedef enum ntk_ridge_form {
  NTK_RIDGE_AUTO = 0,   /**< Primal if n >= M, else dual; dual where rows are left out one by one. */
  NTK_RIDGE_PRIMAL = 1, /**< W = (Z^T Z + lambda I)^-1 Z^T Y: M x M, one pass over the training rows. */
  NTK_RIDGE_DUAL = 2    /**< W = Z^T (Z Z^T + lambda I)^-1 Y: n x n; rows are read again for each pair of blocks. */
} ntk_ridge_form;

/** So many rows are left out one by one at most: an eigendecomposition of order n, 7 s for
 *  4,000 on two cores of a Zen 4 machine. */
enum { NTK_RIDGE_MOST_LEFT_OUT = 4000 };

/** How to solve. Zero-initialise for: one-hot targets, no ridge. */
typedef struct ntk_ridge_options {
  ntk_targets targets;
  /* clang-format off */
  bool unit_rows;    /**< Divide each row by its Euclidean norm: the kernel Z Z^T gets a unit diagonal. A row of
                          zeros is refused. */
  double ridge;      /**< lambda >= 0, what ntk_regress calls lambda for the kernel Z Z^T; ignored when choose_ridge. */
  bool choose_ridge; /**< Choose lambda on training rows that the fit does not see, never on test data; then fit all
                          rows. Needs n >= 10. With n <= NTK_RIDGE_MOST_LEFT_OUT, held_out 0 and another form than primal
                          each row is left out in turn, as in ntk_regress: the best leave-one-out accuracy wins, then
                          the smallest squared error; the form is dual. Else some rows are held out: of the candidates
                          whose accuracy is within a standard error of the best, that of the smallest squared error. */
  const double *ridges; /**< Candidates; NULL: between 1e-9 and 1e1 times the mean |z_i|^2 over the training rows (the
                             mean diagonal of Z Z^T), 10^(1/4) apart; on held-out rows powers of ten downwards until
                             three in a row are no better, then 10^(1/2) and 10^(1/4) around the best. */
  /* clang-format on */
  size_t ridge_count;
  double held_out;        /**< Fraction of the training rows, the same of each class, in (0, 1); 0: leave one out, or a
                               tenth where that is not done. */
  uint64_t held_out_seed; /**< Which rows are held out: the same ones for ever. */
  ntk_ridge_form form;
} ntk_ridge_options;

/** Inputs, owned by the caller. */
typedef struct ntk_ridge_problem {
  ntk_feature_rows train;      /**< n >= 1 rows of M features. */
  ntk_feature_rows test;       /**< m >= 0 rows of M features. */
  int32_t classes;             /**< C >= 2. */
  const int32_t *train_labels; /**< n labels in 0..C-1. */
  const int32_t *test_labels;  /**< m labels, or NULL when unknown. */
} ntk_ridge_problem;

/** Results; buffers owned by the result. */
typedef struct ntk_ridge_result {
  int64_t test_count;
  int64_t dim; /**< M. */
  int32_t classes;
  double *predictions;       /**< m x C regression values. */
  int32_t *predicted;        /**< m class numbers: argmax, the smaller number on a tie. */
  double *weights;           /**< M x C: predictions are rows (with unit_rows: divided by their norm) times this. */
  double accuracy;           /**< Fraction of test labels predicted, NaN without test labels. */
  double mean_squared_error; /**< Against the test targets, mean over points and classes; NaN without test labels. */
  double ridge;              /**< The lambda used. */
  bool leave_one_out;        /**< Whether each training row was left out in turn to choose the ridge. */
  int64_t held_out_count;    /**< Training rows that chose the ridge, so left out or held out; 0 if it was given. */
  double held_out_accuracy;  /**< Theirs at that ridge, predicted by a fit without them; NaN if it was given. */
  double held_out_error;     /**< Mean squared error likewise; NaN if the ridge was given. */
  ntk_ridge_form form;       /**< NTK_RIDGE_PRIMAL or NTK_RIDGE_DUAL. */
  char solver[160];          /**< What solved it, e.g. "CPU, LAPACK, primal 4096 x 4096". */
  double seconds;            /**< Wall time, of which: */
  double accumulate_seconds; /**< reading training rows and forming Z^T Z and Z^T Y, or Z Z^T; */
  double solve_seconds;      /**< choosing the ridge, factorising, weights; */
  double predict_seconds;    /**< reading test rows and predicting. */
  double accumulate_gflops;  /**< 1e9 floating-point operations a second in accumulate_seconds, one triangle counted. */
} ntk_ridge_result;

/** Ridge regression on streamed features, in float64. Row blocks keep within the context's memory budget; what comes on
 *  top is in docs/regression.md: 8 M^2 bytes in the primal form and 4 M a held-out row, 8 n^2 in the dual one and
 *  24 n^2 more to leave one out. Progress counts rows, its stage is "ridge".
 *  @param context threads, memory, callbacks; NULL for the defaults.
 *  @param result receives the results; free its buffers with ntk_ridge_result_free.
 *  @return NTK_OK; NTK_ERROR_NUMERIC (not positive definite: the message suggests a ridge); NTK_ERROR_DATA (a value
 *          that is not finite, a row of zeros with unit_rows, a label out of range); NTK_ERROR_ARGUMENT;
 * NTK_ERROR_MEMORY (says how much is needed); NTK_ERROR_INTERRUPTED; what a source of rows returned. */
NTK_API ntk_status ntk_ridge(ntk_context *context, const ntk_ridge_problem *problem, const ntk_ridge_options *options,
                             ntk_ridge_result *result);

/** Frees the buffers of a result and zeroes it; NULL is allowed. */
NTK_API void ntk_ridge_result_free(ntk_ridge_result *result);

#ifdef __cplusplus
}
#endif
#endif
