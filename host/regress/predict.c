#include <cblas.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/regress/regress.h"

double ntk_regress_target(ntk_targets targets, int32_t classes, int32_t label, int32_t c) {
  const double shift = targets == NTK_TARGETS_CENTRED ? 1.0 / classes : 0;
  return (label == c ? 1 : 0) - shift;
}

int32_t ntk_regress_argmax(const double *values, int32_t classes) {
  int32_t best = 0;
  for (int32_t c = 1; c < classes; c++) {
    if (values[c] > values[best]) best = c;
  }
  return best;
}

/* 1/sqrt(K(z,z)), 1 without unit_diagonal. */
static double test_scale(const ntk_regression *r, int64_t i) {
  return r->scale ? 1 / sqrt(r->problem->test_diagonal[i]) : 1;
}

static ntk_status check_predictions(const ntk_regression *r, const double *predictions) {
  const int64_t classes = r->problem->classes;
  for (int64_t i = 0; i < r->problem->test_count * classes; i++) {
    if (isfinite(predictions[i])) continue;
    return ntk_fail(NTK_ERROR_NUMERIC,
                    "the prediction for test record %lld is %g: the kernel values are too large or too small for "
                    "float64, so scale them or use unit_diagonal",
                    (long long)(i / classes), predictions[i]);
  }
  return NTK_OK;
}

/* Normalising alpha and the finished rows spares a copy of the test matrix. */
ntk_status ntk_regress_predict(const ntk_regression *r, ntk_regress_result *result) {
  const int64_t n = r->problem->train_count, m = r->problem->test_count;
  const int32_t classes = r->problem->classes;
  double *weights = NULL;
  if (m == 0) return NTK_OK;
  NTK_TRY(ntk_regress_allocate(classes, n, "the weights", &weights));
  for (int32_t c = 0; c < classes; c++) {
    for (int64_t j = 0; j < n; j++) weights[c * n + j] = r->alpha[c * n + j] * (r->scale ? r->scale[j] : 1);
  }
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)m, classes, (blasint)n, 1, r->problem->test_kernel,
              (blasint)n, weights, (blasint)n, 0, result->predictions, classes);
  free(weights);
  for (int64_t i = 0; i < m; i++) {
    double *row = result->predictions + i * classes;
    for (int32_t c = 0; c < classes; c++) row[c] *= test_scale(r, i);
    result->predicted[i] = ntk_regress_argmax(row, classes);
  }
  return check_predictions(r, result->predictions);
}

/* --- variance --- */

static void explained_cholesky(const ntk_regression *r, int64_t rows, double *block) {
  const blasint n = (blasint)r->problem->train_count;
  cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, (blasint)rows, n, 1, r->factor, n, block,
              n);
}

static void explained_eigen(const ntk_regression *r, int64_t rows, double *block, double *work) {
  const int64_t n = r->problem->train_count;
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)rows, (blasint)n, (blasint)n, 1, block, (blasint)n,
              r->factor, (blasint)n, 0, work, (blasint)n);
  for (int64_t i = 0; i < rows; i++) {
    for (int64_t k = 0; k < n; k++) block[i * n + k] = work[i * n + k] / sqrt(r->eigenvalues[k] + r->ridge);
  }
}

/* |(A + lambda)^-1 k|^2 from the half-solved row; overwrites it. */
static double weight_norm(const ntk_regression *r, double *row) {
  const int64_t n = r->problem->train_count;
  if (r->eigenvalues) {
    for (int64_t k = 0; k < n; k++) row[k] /= sqrt(r->eigenvalues[k] + r->ridge);
  } else {
    cblas_dtrsv(CblasRowMajor, CblasLower, CblasTrans, CblasNonUnit, (blasint)n, r->factor, (blasint)n, row, 1);
  }
  return cblas_ddot((blasint)n, row, 1, row, 1);
}

/* A factorisation solves a matrix that differs from A + lambda by about n eps |A|, which moves k^T (A + lambda)^-1 k by
 * that times |(A + lambda)^-1 k|^2. */
static double clamp(const ntk_regression *r, double variance, double *row) {
  if (variance >= 0) return variance;
  const double size = ntk_regress_max_diagonal(r) + r->ridge;
  const double rounding = 8 * DBL_EPSILON * (double)r->problem->train_count * size * (1 + weight_norm(r, row));
  return variance >= -rounding ? 0 : variance;
}

static void variance_block(const ntk_regression *r, int64_t first, int64_t rows, double *block, double *work,
                           double *out) {
  const int64_t n = r->problem->train_count;
  for (int64_t i = 0; i < rows; i++) {
    const double *k = r->problem->test_kernel + (first + i) * n, scale = test_scale(r, first + i);
    for (int64_t j = 0; j < n; j++) block[i * n + j] = k[j] * scale * (r->scale ? r->scale[j] : 1);
  }
  if (r->eigenvalues) {
    explained_eigen(r, rows, block, work);
  } else {
    explained_cholesky(r, rows, block);
  }
  for (int64_t i = 0; i < rows; i++) {
    double *row = block + i * n;
    const double prior = r->scale ? 1 : r->problem->test_diagonal[first + i];
    out[first + i] = clamp(r, prior - cblas_ddot((blasint)n, row, 1, row, 1), row);
  }
}

ntk_status ntk_regress_variance(const ntk_regression *r, double *out) {
  const int64_t n = r->problem->train_count, m = r->problem->test_count;
  const int64_t most = m < NTK_REGRESS_BLOCK ? m : NTK_REGRESS_BLOCK;
  double *block = NULL, *work = NULL;
  ntk_status status = ntk_regress_allocate(most, n, "the variance", &block);
  if (status == NTK_OK && r->eigenvalues) status = ntk_regress_allocate(most, n, "the variance", &work);
  for (int64_t first = 0; status == NTK_OK && first < m; first += most) {
    variance_block(r, first, m - first < most ? m - first : most, block, work, out);
    status = ntk_regress_cancelled(r);
  }
  free(block);
  free(work);
  return status;
}

void ntk_regress_score(const ntk_regression *r, ntk_regress_result *result) {
  const int64_t m = r->problem->test_count;
  const int32_t classes = r->problem->classes;
  const int32_t *labels = r->problem->test_labels;
  result->accuracy = result->mean_squared_error = NAN;
  if (!labels || m == 0) return;
  int64_t right = 0;
  double sum = 0;
  for (int64_t i = 0; i < m; i++) {
    right += result->predicted[i] == labels[i];
    for (int32_t c = 0; c < classes; c++) {
      const double error =
          result->predictions[i * classes + c] - ntk_regress_target(r->options->targets, classes, labels[i], c);
      sum += error * error;
    }
  }
  result->accuracy = (double)right / (double)m;
  result->mean_squared_error = sum / ((double)m * classes);
}
