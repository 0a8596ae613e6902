/* Internal: one regression on its way from the checked problem to the predictions (docs/regression.md). All matrices
 * are row-major float64; "A" is the training matrix after normalisation, lambda the ridge. */
#ifndef NTK_HOST_REGRESS_REGRESS_H
#define NTK_HOST_REGRESS_REGRESS_H

#include <ntk/regress.h>

#include "host/context.h"
#include "host/status.h"

typedef struct ntk_regression {
  const ntk_regress_problem *problem;
  const ntk_regress_options *options;
  ntk_context *context;
  double *scale;       /* n values 1/sqrt(K_ii), or NULL without unit_diagonal */
  double *targets;     /* classes x n */
  double *alpha;       /* classes x n, the rows (A + lambda)^-1 y */
  double *factor;      /* n x n: the lower Cholesky factor of A + lambda, or eigenvectors of A as rows */
  double *eigenvalues; /* n, ascending; NULL: `factor` is a Cholesky factor */
  double ridge;
  double loo_accuracy, loo_error;
  int device; /* CUDA device that factorises, or -1 */
  char solver[160];
} ntk_regression;

/* Rows of the test matrix that are worked on at a time for the variance. */
enum { NTK_REGRESS_BLOCK = 128 };

/* check.c: everything that must hold before any number is computed; of that, targets and ridges, and labels alone. */
ntk_status ntk_regress_check(const ntk_regress_problem *problem, const ntk_regress_options *options);
ntk_status ntk_regress_check_fit(const ntk_regress_options *options);
ntk_status ntk_regress_check_labels(const char *name, const int32_t *labels, int64_t count, int32_t classes);

/* matrix.c */
ntk_status ntk_regress_allocate(int64_t rows, int64_t columns, const char *what, double **out);
double ntk_regress_mean_diagonal(const ntk_regression *r);
double ntk_regress_max_diagonal(const ntk_regression *r);
/* Writes A + ridge, the lower triangle only (column-major LAPACK sees it as the upper one). */
void ntk_regress_fill(const ntk_regression *r, double ridge, double *out);
ntk_status ntk_regress_cancelled(const ntk_regression *r);

/* solver.c: where to factorise; then Cholesky in place (upper triangle, column-major; LAPACK's info), eigenvalues alone
 * (destroys the matrix), and eigenvectors, which replace *matrix as rows. */
ntk_status ntk_regress_place(ntk_regression *r);
ntk_status ntk_regress_factor(ntk_regression *r, double *matrix, int *info);
ntk_status ntk_regress_eigenvalues(ntk_regression *r, double *matrix, double *values);
ntk_status ntk_regress_eigenvectors(ntk_regression *r, double **matrix, double *values);

/* eigen.c: eigenvalues (ascending) of the symmetric matrix whose lower triangle is given; the matrix is destroyed. */
ntk_status ntk_eigenvalues(int64_t n, double *matrix, double *values);
/* The same with eigenvectors, which replace *matrix as rows. `divide`: by divide and conquer (3 n^2 numbers in all, n
 * <= 32766), else by relatively robust representations (2 n^2). */
ntk_status ntk_eigenvectors(int64_t n, double **matrix, double *values, bool divide);
bool ntk_eigen_can_divide(int64_t n);

/* definite.c */
/* Whether a matrix with these extreme eigenvalues is positive definite to working precision once `ridge` is added. */
bool ntk_regress_definite(int64_t n, double smallest, double largest, double ridge);
/* Raises NTK_ERROR_NUMERIC; `subject` starts the sentence. */
ntk_status ntk_regress_not_definite(const ntk_regression *r, const char *subject, double smallest, double largest);
/* The next number of one digit, so that the printed text is the number itself. */
double ntk_regress_round_up(double value);

/* cholesky.c, loo.c: fill in factor, alpha and ridge. */
ntk_status ntk_regress_cholesky(ntk_regression *r);
ntk_status ntk_regress_choose(ntk_regression *r);

/* predict.c */
ntk_status ntk_regress_predict(const ntk_regression *r, ntk_regress_result *result);
ntk_status ntk_regress_variance(const ntk_regression *r, double *out);
void ntk_regress_score(const ntk_regression *r, ntk_regress_result *result);
/* The target of class c for a record of class `label`. */
double ntk_regress_target(ntk_targets targets, int32_t classes, int32_t label, int32_t c);
/* argmax, the smaller number on a tie. */
int32_t ntk_regress_argmax(const double *values, int32_t classes);

#endif
