#include <lapacke.h>
#include <stdlib.h>

#include "host/regress/regress.h"

static ntk_status converged(lapack_int info, const char *routine) {
  if (info == 0) return NTK_OK;
  if (info > 0) {
    return ntk_fail(NTK_ERROR_NUMERIC,
                    "the eigenvalues of the training matrix did not converge (%s gave %d): give a ridge instead of "
                    "choosing one",
                    routine, (int)info);
  }
  return ntk_fail(NTK_ERROR_INTERNAL, "%s refused its argument %d", routine, (int)-info);
}

/* --- by divide and conquer (dsyevd) --- */

static int64_t divide_work(int64_t n) { return 1 + 6 * n + 2 * n * n; }

/* The length of the workspace is a 32-bit number. */
bool ntk_eigen_can_divide(int64_t n) { return n <= 32767 && divide_work(n) <= INT32_MAX; }

static ntk_status by_dsyevd(char job, int64_t n, double *matrix, double *values, int64_t work_count,
                            int64_t index_count) {
  double *work = NULL;
  lapack_int *index = malloc((size_t)index_count * sizeof *index);
  ntk_status status =
      index ? NTK_OK : ntk_fail(NTK_ERROR_MEMORY, "there is no memory for %lld numbers", (long long)index_count);
  if (status == NTK_OK) status = ntk_regress_allocate(1, work_count, "the workspace of the eigendecomposition", &work);
  if (status == NTK_OK) {
    const lapack_int info = LAPACKE_dsyevd_work(LAPACK_COL_MAJOR, job, 'U', (lapack_int)n, matrix, (lapack_int)n,
                                                values, work, (lapack_int)work_count, index, (lapack_int)index_count);
    status = converged(info, "dsyevd");
  }
  free(work);
  free(index);
  return status;
}

ntk_status ntk_eigenvalues(int64_t n, double *matrix, double *values) {
  return by_dsyevd('N', n, matrix, values, 1 + 34 * n, 1); /* 2 n would do; blocks of 32 columns are faster */
}

/* --- by relatively robust representations (dsyevr) --- */

static ntk_status by_dsyevr(int64_t n, double *matrix, double *values, double *vectors) {
  const int64_t work_count = 40 * n + 1, index_count = 10 * n;
  double *work = NULL;
  lapack_int *index = malloc((size_t)(index_count + 2 * n) * sizeof *index), found = 0;
  ntk_status status =
      index ? NTK_OK
            : ntk_fail(NTK_ERROR_MEMORY, "there is no memory for %lld numbers", (long long)(index_count + 2 * n));
  if (status == NTK_OK) status = ntk_regress_allocate(1, work_count, "the workspace of the eigendecomposition", &work);
  if (status == NTK_OK) {
    const lapack_int info = LAPACKE_dsyevr_work(
        LAPACK_COL_MAJOR, 'V', 'A', 'U', (lapack_int)n, matrix, (lapack_int)n, 0, 0, 0, 0, 0, &found, values, vectors,
        (lapack_int)n, index + index_count, work, (lapack_int)work_count, index, (lapack_int)index_count);
    status = converged(info == 0 && found < n ? 1 : info, "dsyevr");
  }
  free(work);
  free(index);
  return status;
}

ntk_status ntk_eigenvectors(int64_t n, double **matrix, double *values, bool divide) {
  if (divide) return by_dsyevd('V', n, *matrix, values, divide_work(n), 3 + 5 * n);
  double *vectors = NULL;
  NTK_TRY(ntk_regress_allocate(n, n, "the eigenvectors", &vectors));
  const ntk_status status = by_dsyevr(n, *matrix, values, vectors);
  free(*matrix);
  *matrix = vectors;
  return status;
}
