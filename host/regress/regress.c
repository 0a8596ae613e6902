#include "host/regress/regress.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/clock.h"
#include "host/regress/blas.h"

static ntk_status prepare(ntk_regression *r) {
  const int64_t n = r->problem->train_count;
  const int32_t classes = r->problem->classes;
  NTK_TRY(ntk_regress_allocate(classes, n, "the targets", &r->targets));
  NTK_TRY(ntk_regress_allocate(classes, n, "the solution", &r->alpha));
  for (int32_t c = 0; c < classes; c++) {
    for (int64_t i = 0; i < n; i++) {
      r->targets[c * n + i] = ntk_regress_target(r->options->targets, classes, r->problem->train_labels[i], c);
    }
  }
  if (!r->options->unit_diagonal) return NTK_OK;
  NTK_TRY(ntk_regress_allocate(1, n, "the diagonal", &r->scale));
  for (int64_t i = 0; i < n; i++) r->scale[i] = 1 / sqrt(r->problem->train_kernel[i * (n + 1)]);
  return NTK_OK;
}

static ntk_status allocate_result(const ntk_regression *r, ntk_regress_result *result) {
  const int64_t m = r->problem->test_count;
  result->test_count = m;
  result->classes = r->problem->classes;
  NTK_TRY(ntk_regress_allocate(m, r->problem->classes, "the predictions", &result->predictions));
  if (r->options->variance) NTK_TRY(ntk_regress_allocate(m, 1, "the variances", &result->variance));
  result->predicted = malloc(m > 0 ? (size_t)m * sizeof *result->predicted : 1);
  if (result->predicted) return NTK_OK;
  return ntk_fail(NTK_ERROR_MEMORY, "there is no memory for %lld predicted classes", (long long)m);
}

static ntk_status run(ntk_regression *r, ntk_regress_result *result) {
  NTK_TRY(ntk_regress_place(r));
  NTK_TRY(prepare(r));
  NTK_TRY(allocate_result(r, result));
  NTK_TRY(ntk_regress_cancelled(r));
  NTK_TRY(r->options->choose_ridge ? ntk_regress_choose(r) : ntk_regress_cholesky(r));
  NTK_TRY(ntk_regress_cancelled(r));
  NTK_TRY(ntk_regress_predict(r, result));
  NTK_TRY(ntk_regress_cancelled(r));
  if (r->options->variance && r->problem->test_count > 0) NTK_TRY(ntk_regress_variance(r, result->variance));
  ntk_regress_score(r, result);
  result->ridge = r->ridge;
  snprintf(result->solver, sizeof result->solver, "%s", r->solver);
  result->loo_accuracy = r->loo_accuracy;
  result->loo_error = r->loo_error;
  return NTK_OK;
}

static void release(ntk_regression *r) {
  free(r->scale);
  free(r->targets);
  free(r->alpha);
  free(r->factor);
  free(r->eigenvalues);
}

ntk_status ntk_regress(ntk_context *context, const ntk_regress_problem *problem, const ntk_regress_options *options,
                       ntk_regress_result *result) {
  const double start = ntk_now();
  if (!problem || !options || !result) {
    return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_regress: problem, options and result must not be NULL");
  }
  *result = (ntk_regress_result){0};
  NTK_TRY(ntk_regress_check(problem, options));
  ntk_regression r = {
      .problem = problem, .options = options, .context = context, .loo_accuracy = NAN, .loo_error = NAN, .device = -1};
  ntk_blas_threads_push(ntk_context_threads(context));
  const ntk_status status = run(&r, result);
  ntk_blas_threads_pop();
  release(&r);
  if (status != NTK_OK) ntk_regress_result_free(result);
  result->seconds = ntk_now() - start;
  return status;
}

void ntk_regress_result_free(ntk_regress_result *result) {
  if (!result) return;
  free(result->predictions);
  free(result->predicted);
  free(result->variance);
  *result = (ntk_regress_result){0};
}
