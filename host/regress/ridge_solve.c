/* Cholesky in the upper triangle of the matrix whose lower triangle stays (column-major LAPACK sees the former as a
 * lower triangle). */
#include <float.h>
#include <math.h>
#include <string.h>

#include "host/regress/regress.h"
#include "host/regress/ridge.h"

/* In blocks, because the writes are transposed. */
static void fill(ntk_ridge_fit *fit, int64_t order, double ridge) {
  const int64_t stride = fit->order, block = 64;
  double *a = fit->matrix;
  for (int64_t bi = 0; bi < order; bi += block) {
    for (int64_t bj = 0; bj <= bi; bj += block) {
      for (int64_t i = bi; i < order && i < bi + block; i++) {
        for (int64_t j = bj; j < i && j < bj + block; j++) a[j * stride + i] = a[i * stride + j];
      }
    }
  }
  for (int64_t i = 0; i < order; i++) a[i * (stride + 1)] = fit->diagonal[i] + ridge;
}

/* Singular to working precision as LAPACK's expert drivers (dposvx) judge it: a reciprocal condition number below eps.
 */
ntk_status ntk_ridge_factorise(ntk_ridge_fit *fit, int64_t order, double ridge, bool *factored, bool *definite) {
  const lapack_int n = (lapack_int)order, stride = (lapack_int)fit->order;
  double condition = 0;
  fill(fit, order, ridge);
  const double norm = LAPACKE_dlansy_work(LAPACK_COL_MAJOR, '1', 'L', n, fit->matrix, stride, fit->work);
  lapack_int info = LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'L', n, fit->matrix, stride);
  *factored = info == 0;
  if (info == 0)
    info = LAPACKE_dpocon_work(LAPACK_COL_MAJOR, 'L', n, fit->matrix, stride, norm, &condition, fit->work, fit->index);
  if (info < 0) return ntk_fail(NTK_ERROR_INTERNAL, "the Cholesky factorisation refused its argument %d", (int)-info);
  *definite = *factored && condition > DBL_EPSILON;
  return ntk_ridge_advance(fit, 0, pow((double)order, 3) / 3);
}

ntk_status ntk_ridge_solve(ntk_ridge_fit *fit, int64_t order) {
  const lapack_int n = (lapack_int)order;
  for (int32_t c = 0; c < fit->problem->classes; c++) {
    memcpy(fit->solution + c * order, fit->right + c * fit->order, (size_t)order * sizeof *fit->solution);
  }
  const lapack_int info = LAPACKE_dpotrs_work(LAPACK_COL_MAJOR, 'L', n, fit->problem->classes, fit->matrix,
                                              (lapack_int)fit->order, fit->solution, n);
  if (info != 0) return ntk_fail(NTK_ERROR_INTERNAL, "dpotrs refused its argument %d", (int)-info);
  return NTK_OK;
}

double ntk_ridge_mean_square(const ntk_ridge_fit *fit) { return fit->trace / (double)fit->problem->train.count; }

/* The trace bounds the largest eigenvalue; rounding moves the smallest by about order eps of that. */
ntk_status ntk_ridge_not_definite(const ntk_ridge_fit *fit, const char *subject) {
  const double rounding = 100 * (double)fit->order * DBL_EPSILON * fit->trace;
  const double ridge = ntk_regress_round_up(fmax(rounding, 1e-8 * ntk_ridge_mean_square(fit)));
  return ntk_fail(NTK_ERROR_NUMERIC,
                  "%s to working precision (%s of %lld rows with %lld features, mean |z|^2 %.6e): use a ridge of at "
                  "least %.0e",
                  subject, fit->dual ? "Z Z^T" : "Z^T Z", (long long)fit->problem->train.count,
                  (long long)fit->problem->train.dim, ntk_ridge_mean_square(fit), ridge);
}
