#include <math.h>

#include "host/regress/regress.h"

/* LAPACK counts rows in 32 bits. */
enum { MAX_RECORDS = INT32_MAX, MAX_RIDGES = 10000 };

static const double symmetry = 1e-6;

static ntk_status check_arguments(const ntk_regress_problem *p, const ntk_regress_options *o) {
  if (p->train_count < 1 || p->train_count > MAX_RECORDS) {
    return ntk_fail(NTK_ERROR_ARGUMENT, "train_count is %lld, but a regression needs 1 to %d training records",
                    (long long)p->train_count, MAX_RECORDS);
  }
  if (p->test_count < 0 || p->test_count > MAX_RECORDS) {
    return ntk_fail(NTK_ERROR_ARGUMENT, "test_count is %lld, but must be 0 to %d", (long long)p->test_count,
                    MAX_RECORDS);
  }
  if (p->classes < 2) {
    return ntk_fail(NTK_ERROR_ARGUMENT, "classes is %d, but a classification needs at least 2", (int)p->classes);
  }
  if (!p->train_kernel || !p->train_labels) {
    return ntk_fail(NTK_ERROR_ARGUMENT, "train_kernel and train_labels must not be NULL");
  }
  if (p->test_count > 0 && !p->test_kernel) {
    return ntk_fail(NTK_ERROR_ARGUMENT, "test_kernel is NULL although test_count is %lld", (long long)p->test_count);
  }
  if (p->test_count > 0 && !p->test_diagonal && (o->unit_diagonal || o->variance)) {
    return ntk_fail(NTK_ERROR_ARGUMENT, "%s needs test_diagonal, the kernel of each test record with itself",
                    o->unit_diagonal ? "unit_diagonal" : "variance");
  }
  if (o->solver != NTK_SOLVER_AUTO && o->solver != NTK_SOLVER_CPU && o->solver != NTK_SOLVER_CUDA) {
    return ntk_fail(NTK_ERROR_ARGUMENT, "solver is %d, but must be NTK_SOLVER_AUTO, NTK_SOLVER_CPU or NTK_SOLVER_CUDA",
                    (int)o->solver);
  }
  return NTK_OK;
}

ntk_status ntk_regress_check_fit(const ntk_regress_options *o) {
  if (o->targets != NTK_TARGETS_ONE_HOT && o->targets != NTK_TARGETS_CENTRED) {
    return ntk_fail(NTK_ERROR_ARGUMENT, "targets is %d, but must be NTK_TARGETS_ONE_HOT or NTK_TARGETS_CENTRED",
                    (int)o->targets);
  }
  if (!o->choose_ridge) {
    if (isfinite(o->ridge) && o->ridge >= 0) return NTK_OK;
    return ntk_fail(NTK_ERROR_ARGUMENT, "ridge is %g, but must be a number >= 0", o->ridge);
  }
  if (!o->ridges) return NTK_OK;
  if (o->ridge_count < 1 || o->ridge_count > MAX_RIDGES) {
    return ntk_fail(NTK_ERROR_ARGUMENT, "ridge_count is %zu, but with ridges it must be 1 to %d", o->ridge_count,
                    MAX_RIDGES);
  }
  for (size_t i = 0; i < o->ridge_count; i++) {
    if (isfinite(o->ridges[i]) && o->ridges[i] >= 0) continue;
    return ntk_fail(NTK_ERROR_ARGUMENT, "ridges[%zu] is %g, but must be a number >= 0", i, o->ridges[i]);
  }
  return NTK_OK;
}

ntk_status ntk_regress_check_labels(const char *name, const int32_t *labels, int64_t count, int32_t classes) {
  for (int64_t i = 0; i < count; i++) {
    if (labels[i] >= 0 && labels[i] < classes) continue;
    return ntk_fail(NTK_ERROR_DATA, "%s[%lld] is %d, outside the classes 0 to %d", name, (long long)i, (int)labels[i],
                    (int)classes - 1);
  }
  return NTK_OK;
}

static ntk_status check_finite(const char *name, const double *values, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; i++) {
    for (int64_t j = 0; j < columns; j++) {
      if (isfinite(values[i * columns + j])) continue;
      return ntk_fail(NTK_ERROR_DATA, "%s[%lld][%lld] is %g: a kernel matrix must hold finite numbers", name,
                      (long long)i, (long long)j, values[i * columns + j]);
    }
  }
  return NTK_OK;
}

/* Relative to the entries and to the scale of their row and column: an entry near 0 is only rounded at that scale. */
static bool symmetric(const double *k, int64_t n, int64_t i, int64_t j) {
  const double a = k[i * n + j], b = k[j * n + i];
  if (a == b) return true;
  const double scale = sqrt(fabs(k[i * n + i])) * sqrt(fabs(k[j * n + j]));
  return fabs(a / 2 - b / 2) <= symmetry / 2 * fmax(scale, fmax(fabs(a), fabs(b)));
}

/* In blocks, so that the transposed reads stay in the cache. */
static ntk_status check_symmetric(const double *k, int64_t n) {
  const int64_t block = 64;
  for (int64_t bi = 0; bi < n; bi += block) {
    for (int64_t bj = 0; bj <= bi; bj += block) {
      for (int64_t i = bi; i < n && i < bi + block; i++) {
        for (int64_t j = bj; j < i && j < bj + block; j++) {
          if (symmetric(k, n, i, j)) continue;
          return ntk_fail(NTK_ERROR_DATA,
                          "train_kernel[%lld][%lld] is %.9g but [%lld][%lld] is %.9g: the training matrix must be "
                          "symmetric within %g, so check that it is training records against themselves",
                          (long long)i, (long long)j, k[i * n + j], (long long)j, (long long)i, k[j * n + i], symmetry);
        }
      }
    }
  }
  return NTK_OK;
}

static ntk_status check_diagonal(const char *name, const double *values, int64_t count, int64_t stride, bool positive) {
  for (int64_t i = 0; i < count; i++) {
    const double value = values[i * stride];
    if (!isfinite(value)) return ntk_fail(NTK_ERROR_DATA, "the %s value %lld is %g", name, (long long)i, value);
    if (positive ? value > 0 : value >= 0) continue;
    if (value < 0) {
      return ntk_fail(NTK_ERROR_DATA,
                      "the %s value %lld is %g, but the kernel of a record with itself is never negative", name,
                      (long long)i, value);
    }
    return ntk_fail(
        NTK_ERROR_DATA,
        "the %s value %lld is 0, so record %lld cannot be normalised: remove it, or do without unit_diagonal", name,
        (long long)i, (long long)i);
  }
  return NTK_OK;
}

ntk_status ntk_regress_check(const ntk_regress_problem *p, const ntk_regress_options *o) {
  NTK_TRY(check_arguments(p, o));
  NTK_TRY(ntk_regress_check_fit(o));
  NTK_TRY(ntk_regress_check_labels("train_labels", p->train_labels, p->train_count, p->classes));
  if (p->test_labels) NTK_TRY(ntk_regress_check_labels("test_labels", p->test_labels, p->test_count, p->classes));
  NTK_TRY(check_finite("train_kernel", p->train_kernel, p->train_count, p->train_count));
  NTK_TRY(check_symmetric(p->train_kernel, p->train_count));
  if (o->unit_diagonal) {
    NTK_TRY(check_diagonal("train_kernel diagonal", p->train_kernel, p->train_count, p->train_count + 1, true));
  }
  if (p->test_count == 0) return NTK_OK;
  NTK_TRY(check_finite("test_kernel", p->test_kernel, p->test_count, p->train_count));
  if (!o->unit_diagonal && !o->variance) return NTK_OK;
  return check_diagonal("test_diagonal", p->test_diagonal, p->test_count, 1, o->unit_diagonal);
}
