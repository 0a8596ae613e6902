/** @file regress.h
 *  Kernel ridge regression and Gaussian-process prediction in float64 (docs/regression.md).
 */
#ifndef NTK_REGRESS_H
#define NTK_REGRESS_H

#include <ntk/context.h>
#include <ntk/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The regression targets of a class label out of C classes. */
typedef enum ntk_targets {
  NTK_TARGETS_ONE_HOT = 0, /**< 1 for the class, 0 elsewhere (arXiv:1911.00809). */
  NTK_TARGETS_CENTRED = 1  /**< 1 - 1/C for the class, -1/C elsewhere: "-0.1 / 0.9" (arXiv:1904.11955). */
} ntk_targets;

/** Where the training matrix is factorised. */
typedef enum ntk_solver {
  NTK_SOLVER_AUTO = 0, /**< On the context's first CUDA device where that is expected to be faster and the matrix fits
                            its memory, else on the CPU. */
  NTK_SOLVER_CPU = 1,  /**< LAPACK. */
  NTK_SOLVER_CUDA = 2  /**< cuSOLVER; an error where there is no device or it has too little memory. */
} ntk_solver;

/** How to solve. Zero-initialise for: no ridge, one-hot targets, where it is fastest. */
typedef struct ntk_regress_options {
  ntk_targets targets;
  bool unit_diagonal;    /**< Divide K(x,z) by sqrt(K(x,x) K(z,z)) first; needs the diagonals. */
  double ridge;          /**< lambda >= 0, added to the (normalised) diagonal; ignored when choose_ridge. */
  bool choose_ridge;     /**< Choose lambda by leave-one-out accuracy, ties by leave-one-out squared error, from one
                              eigendecomposition of the training matrix; never looks at test data. */
  const double *ridges;  /**< Candidates; NULL: 0 and 1e-9 .. 1e1 times the mean diagonal, a factor 10 apart. */
  size_t ridge_count;
  ntk_solver solver;
  bool variance;         /**< Also compute the GP posterior variance of each test point; needs the test diagonal. */
} ntk_regress_options;

/** Inputs, all row-major float64 and owned by the caller. */
typedef struct ntk_regress_problem {
  int64_t train_count;           /**< n >= 1. */
  int64_t test_count;            /**< m >= 0. */
  int32_t classes;               /**< C >= 2. */
  const double *train_kernel;    /**< n x n, symmetric; the diagonal is its K(x,x). */
  const double *test_kernel;     /**< m x n, row = test point. */
  const double *test_diagonal;   /**< m values K(z,z), or NULL (needed for unit_diagonal and variance). */
  const int32_t *train_labels;   /**< n labels in 0..C-1. */
  const int32_t *test_labels;    /**< m labels, or NULL when unknown. */
} ntk_regress_problem;

/** Results; buffers owned by the result. */
typedef struct ntk_regress_result {
  int64_t test_count;
  int32_t classes;
  double *predictions;    /**< m x C regression values. */
  int32_t *predicted;     /**< m class numbers: argmax, the smaller number on a tie. */
  double *variance;       /**< m variances, or NULL. */
  double accuracy;        /**< Fraction of test labels predicted, NaN without test labels. */
  double mean_squared_error; /**< Against the test targets, mean over points and classes; NaN without test labels. */
  double ridge;           /**< The lambda used, in the units of the (normalised) training matrix. */
  double loo_accuracy;    /**< Leave-one-out accuracy on the training set at that ridge; NaN if not computed. */
  double loo_error;       /**< Leave-one-out mean squared error; NaN if not computed. */
  char solver[160];       /**< Where the matrix was factorised, and why there if that is not obvious. */
  double seconds;         /**< Wall time. */
} ntk_regress_result;

/** Solves (K + lambda I) alpha = Y by Cholesky and predicts.
 *  @param context threads; NULL for the defaults.
 *  @param result receives the results; free its buffers with ntk_regress_result_free.
 *  @return NTK_OK; NTK_ERROR_NUMERIC (not positive definite: the message gives the smallest eigenvalue and suggests a
 *          ridge); NTK_ERROR_DATA (non-finite or asymmetric matrix, a label out of range); NTK_ERROR_ARGUMENT;
 *          NTK_ERROR_MEMORY (says how much is needed); NTK_ERROR_DEVICE (the CUDA device failed: nothing falls back to
 *          the CPU after that). */
NTK_API ntk_status ntk_regress(ntk_context *context, const ntk_regress_problem *problem,
                               const ntk_regress_options *options, ntk_regress_result *result);

/** Frees the buffers of a result and zeroes it; NULL is allowed. */
NTK_API void ntk_regress_result_free(ntk_regress_result *result);

#ifdef __cplusplus
}
#endif
#endif
