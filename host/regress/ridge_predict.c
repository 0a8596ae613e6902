/* From the solution to weights, from weights and test rows to predictions. */
#include <cblas.h>
#include <math.h>
#include <string.h>

#include "host/regress/regress.h"
#include "host/regress/ridge.h"

/* W^T = alpha^T Z: one more pass over the training rows. */
static ntk_status weigh_dual(ntk_ridge_fit *fit) {
  const ntk_feature_rows *source = &fit->problem->train;
  const blasint dim = (blasint)source->dim, classes = fit->problem->classes;
  NTK_TRY(ntk_ridge_allocate(classes, dim, sizeof *fit->weights, "the weights", (void **)&fit->weights));
  memset(fit->weights, 0, (size_t)classes * (size_t)dim * sizeof *fit->weights);
  for (int64_t first = 0; first < source->count; first += fit->most) {
    const int64_t count = source->count - first < fit->most ? source->count - first : fit->most;
    NTK_TRY(ntk_ridge_load(fit, source, "the training features", first, count, fit->rows));
    for (int64_t i = 0; i < count; i++) {
      for (int32_t c = 0; c < classes; c++) {
        fit->targets[i * classes + c] = fit->solution[c * fit->order + fit->position[first + i]];
      }
    }
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, classes, dim, (blasint)count, 1, fit->targets, classes,
                fit->rows, dim, 1, fit->weights, dim);
    NTK_TRY(ntk_ridge_advance(fit, count, 2.0 * (double)count * dim * classes));
  }
  return NTK_OK;
}

ntk_status ntk_ridge_weigh(ntk_ridge_fit *fit) {
  if (fit->dual) return weigh_dual(fit);
  fit->weights = fit->solution;
  fit->solution = NULL;
  return NTK_OK;
}

static ntk_status check_predictions(const double *predictions, int64_t first, int64_t count, int32_t classes) {
  for (int64_t i = 0; i < count * classes; i++) {
    if (isfinite(predictions[i])) continue;
    return ntk_fail(NTK_ERROR_NUMERIC,
                    "the prediction for test record %lld is %g: the features are too large or too small for float64, "
                    "so scale them or use unit_rows",
                    (long long)(first + i / classes), predictions[i]);
  }
  return NTK_OK;
}

ntk_status ntk_ridge_predict(ntk_ridge_fit *fit, ntk_ridge_result *result) {
  const ntk_feature_rows *source = &fit->problem->test;
  const blasint dim = (blasint)fit->problem->train.dim, classes = fit->problem->classes;
  for (int64_t first = 0; first < source->count; first += fit->most) {
    const int64_t count = source->count - first < fit->most ? source->count - first : fit->most;
    double *predictions = result->predictions + first * classes;
    NTK_TRY(ntk_ridge_load(fit, source, "the test features", first, count, fit->rows));
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)count, classes, dim, 1, fit->rows, dim, fit->weights,
                dim, 0, predictions, classes);
    NTK_TRY(check_predictions(predictions, first, count, classes));
    for (int64_t i = 0; i < count; i++) {
      result->predicted[first + i] = ntk_regress_argmax(predictions + i * classes, classes);
    }
    NTK_TRY(ntk_ridge_advance(fit, count, 2.0 * (double)count * dim * classes));
  }
  return NTK_OK;
}

void ntk_ridge_score(const ntk_ridge_fit *fit, ntk_ridge_result *result) {
  const int64_t m = fit->problem->test.count;
  const int32_t classes = fit->problem->classes, *labels = fit->problem->test_labels;
  result->accuracy = result->mean_squared_error = NAN;
  if (!labels || m == 0) return;
  int64_t right = 0;
  double sum = 0;
  for (int64_t i = 0; i < m; i++) {
    right += result->predicted[i] == labels[i];
    for (int32_t c = 0; c < classes; c++) {
      const double target = ntk_regress_target(fit->options->targets, classes, labels[i], c);
      sum += pow(result->predictions[i * classes + c] - target, 2);
    }
  }
  result->accuracy = (double)right / (double)m;
  result->mean_squared_error = sum / ((double)m * classes);
}
