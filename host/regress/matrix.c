#include <math.h>
#include <stdlib.h>

#include "host/regress/regress.h"

ntk_status ntk_regress_allocate(int64_t rows, int64_t columns, const char *what, double **out) {
  size_t count, bytes;
  const bool overflow = __builtin_mul_overflow((size_t)rows, (size_t)columns, &count) ||
                        __builtin_mul_overflow(count, sizeof **out, &bytes);
  *out = overflow ? NULL : malloc(bytes > 0 ? bytes : 1);
  if (*out) return NTK_OK;
  return ntk_fail(NTK_ERROR_MEMORY,
                  "there is no memory for %s, %lld x %lld float64 numbers or %.3g GiB: use fewer training records or a "
                  "machine with more memory (docs/regression.md says how much a regression needs)",
                  what, (long long)rows, (long long)columns, (double)rows * (double)columns * 8 / 0x1p30);
}

ntk_status ntk_regress_cancelled(const ntk_regression *r) {
  if (!r->context || !atomic_load(&r->context->cancelled)) return NTK_OK;
  return ntk_fail(NTK_ERROR_INTERRUPTED, "the regression was cancelled");
}

double ntk_regress_mean_diagonal(const ntk_regression *r) {
  const int64_t n = r->problem->train_count;
  if (r->scale) return 1;
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += r->problem->train_kernel[i * (n + 1)] / (double)n;
  return sum;
}

double ntk_regress_max_diagonal(const ntk_regression *r) {
  const int64_t n = r->problem->train_count;
  if (r->scale) return 1;
  double most = 0;
  for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(r->problem->train_kernel[i * (n + 1)]));
  return most;
}

static double entry(const ntk_regression *r, int64_t i, int64_t j) {
  const int64_t n = r->problem->train_count;
  const double *k = r->problem->train_kernel;
  if (i == j) return r->scale ? 1 : k[i * (n + 1)];
  const double mean = 0.5 * k[i * n + j] + 0.5 * k[j * n + i];
  return r->scale ? mean * r->scale[i] * r->scale[j] : mean;
}

/* In blocks, because half of the reads are transposed. */
void ntk_regress_fill(const ntk_regression *r, double ridge, double *out) {
  const int64_t n = r->problem->train_count, block = 64;
  for (int64_t bi = 0; bi < n; bi += block) {
    for (int64_t bj = 0; bj <= bi; bj += block) {
      for (int64_t i = bi; i < n && i < bi + block; i++) {
        for (int64_t j = bj; j <= i && j < bj + block; j++) out[i * n + j] = entry(r, i, j);
      }
    }
  }
  for (int64_t i = 0; i < n; i++) out[i * (n + 1)] += ridge;
}
