#include <float.h>
#include <lapacke.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/regress/regress.h"

/* Factors A + ridge. *definite: positive definite without doubt. The 1-norms of the condition estimate err on the safe
 * side: 1/|A^-1|_1 is at most the smallest eigenvalue and |A|_1 at least the largest. */
static ntk_status factorise(ntk_regression *r, double *work, lapack_int *index, bool *factored, bool *definite) {
  const lapack_int n = (lapack_int)r->problem->train_count;
  ntk_regress_fill(r, r->ridge, r->factor);
  const double norm = LAPACKE_dlansy_work(LAPACK_COL_MAJOR, '1', 'U', n, r->factor, n, work);
  lapack_int info;
  NTK_TRY(ntk_regress_factor(r, r->factor, &info));
  double condition = 0;
  *factored = info == 0;
  if (info == 0) info = LAPACKE_dpocon_work(LAPACK_COL_MAJOR, 'U', n, r->factor, n, norm, &condition, work, index);
  if (info < 0) return ntk_fail(NTK_ERROR_INTERNAL, "the Cholesky factorisation refused its argument %d", (int)-info);
  *definite = *factored && condition > n * DBL_EPSILON;
  return NTK_OK;
}

/* Where the estimate is in doubt, the eigenvalues decide, by the same rule as for a chosen ridge. */
static ntk_status decide(ntk_regression *r, double *work, lapack_int *index) {
  const int64_t n = r->problem->train_count;
  ntk_regress_fill(r, 0, r->factor);
  NTK_TRY(ntk_regress_eigenvalues(r, r->factor, work));
  const double smallest = work[0], largest = work[n - 1];
  bool factored = false, definite = false;
  if (ntk_regress_definite(n, smallest, largest, r->ridge)) NTK_TRY(factorise(r, work, index, &factored, &definite));
  if (factored) return NTK_OK;
  char subject[128];
  snprintf(subject, sizeof subject, "the training matrix with the ridge %g is not positive definite", r->ridge);
  return ntk_regress_not_definite(r, subject, smallest, largest);
}

static ntk_status solve(ntk_regression *r, double *work, lapack_int *index) {
  const int64_t n = r->problem->train_count;
  bool factored, definite;
  NTK_TRY(factorise(r, work, index, &factored, &definite));
  NTK_TRY(ntk_regress_cancelled(r));
  if (!definite) NTK_TRY(decide(r, work, index));
  memcpy(r->alpha, r->targets, (size_t)r->problem->classes * (size_t)n * sizeof *r->alpha);
  const lapack_int info = LAPACKE_dpotrs_work(LAPACK_COL_MAJOR, 'U', (lapack_int)n, r->problem->classes, r->factor,
                                              (lapack_int)n, r->alpha, (lapack_int)n);
  if (info != 0) return ntk_fail(NTK_ERROR_INTERNAL, "dpotrs refused its argument %d", (int)-info);
  return NTK_OK;
}

ntk_status ntk_regress_cholesky(ntk_regression *r) {
  const int64_t n = r->problem->train_count;
  r->ridge = r->options->ridge;
  NTK_TRY(ntk_regress_allocate(n, n, "the copy of the training matrix", &r->factor));
  double *work = NULL;
  NTK_TRY(ntk_regress_allocate(3, n, "the workspace", &work));
  lapack_int *index = malloc((size_t)n * sizeof *index);
  const ntk_status status =
      index ? solve(r, work, index) : ntk_fail(NTK_ERROR_MEMORY, "there is no memory for %lld numbers", (long long)n);
  free(index);
  free(work);
  return status;
}
