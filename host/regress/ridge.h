/* Internal: one ridge regression in feature space on its way from the checked problem to the predictions
 * (docs/regression.md). All matrices are row-major float64. "Order" is M in the primal form, n in the dual one. */
#ifndef NTK_HOST_REGRESS_RIDGE_H
#define NTK_HOST_REGRESS_RIDGE_H

#include <lapacke.h>
#include <ntk/ridge.h>

#include "host/clock.h"
#include "host/context.h"
#include "host/status.h"

typedef struct ntk_ridge_fit {
  const ntk_ridge_problem *problem;
  const ntk_ridge_options *options;
  ntk_context *context;
  bool dual;
  bool leave_one_out; /* chooses the ridge; dual */
  int64_t order;
  int64_t held_count;
  int64_t *held_rows; /* their numbers, ascending */
  int64_t *position;  /* of each training row: those that are fitted in order, then those held out */

  /* Lower triangle: Z^T Z or Z Z^T (rows and columns by position). Upper triangle with the diagonal: the Cholesky
   * factor, so that one matrix holds both; `diagonal` keeps the diagonal of the former. */
  double *matrix;
  double *diagonal;
  double *right;    /* classes x order: (Z^T Y)^T, or Y^T by position */
  double *solution; /* classes x order, or x the order of the last ntk_ridge_solve */
  double *weights;  /* classes x M; in the primal form the solution itself */
  double *work;     /* 3 order */
  lapack_int *index;
  double trace; /* sum of |z_i|^2 over the training rows */

  /* One block of rows, and what a block needs. */
  int64_t most;         /* rows of a block */
  float *raw;           /* most x M, as read */
  double *rows;         /* most x M, normalised */
  double *other, *tile; /* dual: most x M, most x most */
  double *squares;      /* most: |z_i|^2 as read */
  double *targets;      /* most x classes */
  float *held;          /* primal: held_count x M, as read */

  double ridge, held_out_accuracy, held_out_error;
  double started, reported;       /* seconds */
  int64_t rows_done, rows_total;  /* for the progress */
  double flops_done, flops_total; /* for the time that is left */
} ntk_ridge_fit;

/* ridge_rows.c: raises NTK_ERROR_DATA for the first value that is not finite. `name` starts the sentence. */
ntk_status ntk_feature_check(const char *name, int64_t first, int64_t count, int64_t dim, const float *values);

/* ridge_check.c: everything that must hold before a row is read. */
ntk_status ntk_ridge_check(const ntk_ridge_problem *problem, const ntk_ridge_options *options);

ntk_status ntk_ridge_allocate(int64_t rows, int64_t columns, size_t size, const char *what, void **out);
ntk_status ntk_ridge_blocks_allocate(ntk_ridge_fit *fit);
/* Converts rows as read; fills fit->squares. */
void ntk_ridge_convert(ntk_ridge_fit *fit, const float *raw, int64_t count, double *rows);
/* Reads rows of `source` into fit->raw, checks them, and converts them. `name` is for messages. */
ntk_status ntk_ridge_load(ntk_ridge_fit *fit, const ntk_feature_rows *source, const char *name, int64_t first,
                          int64_t count, double *rows);
/* Counts what was done, reports, and raises NTK_ERROR_INTERRUPTED after a cancellation. */
ntk_status ntk_ridge_advance(ntk_ridge_fit *fit, int64_t rows, double flops);

/* ridge_gram.c: matrix and right-hand sides from the rows that are not held out (dual: from all); then with the
 * held-out ones, once the ridge is chosen. */
ntk_status ntk_ridge_accumulate(ntk_ridge_fit *fit);
ntk_status ntk_ridge_accumulate_held(ntk_ridge_fit *fit);

/* ridge_solve.c: the leading `order` rows and columns of the matrix plus a ridge. *factored: Cholesky went through;
 * *definite: and the condition number is below 1/eps. */
ntk_status ntk_ridge_factorise(ntk_ridge_fit *fit, int64_t order, double ridge, bool *factored, bool *definite);
ntk_status ntk_ridge_solve(ntk_ridge_fit *fit, int64_t order);
ntk_status ntk_ridge_not_definite(const ntk_ridge_fit *fit, const char *subject);
double ntk_ridge_mean_square(const ntk_ridge_fit *fit);

/* ridge_choose.c: the rows to hold out, then the ridge by them. */
ntk_status ntk_ridge_hold_out(ntk_ridge_fit *fit);
size_t ntk_ridge_candidates(const ntk_ridge_options *options);
ntk_status ntk_ridge_choose(ntk_ridge_fit *fit);

/* ridge_loo.c: ridge, quality and solution at once, from an eigendecomposition of about so many operations. */
bool ntk_ridge_leaves_one_out(const ntk_ridge_problem *problem, const ntk_ridge_options *options);
ntk_status ntk_ridge_leave_one_out(ntk_ridge_fit *fit);
static inline double ntk_ridge_leave_one_out_flops(double n) { return 10 * n * n * n; }

/* ridge_predict.c: weights from the solution; predictions and scores of the test rows. */
ntk_status ntk_ridge_weigh(ntk_ridge_fit *fit);
ntk_status ntk_ridge_predict(ntk_ridge_fit *fit, ntk_ridge_result *result);
void ntk_ridge_score(const ntk_ridge_fit *fit, ntk_ridge_result *result);

#endif
