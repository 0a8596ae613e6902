#include "host/regress/ridge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/regress/blas.h"

static bool dual(const ntk_ridge_problem *p, const ntk_ridge_options *o) {
  if (ntk_ridge_leaves_one_out(p, o)) return true;
  return o->form == NTK_RIDGE_DUAL || (o->form == NTK_RIDGE_AUTO && p->train.count < p->train.dim);
}

/* What is to be done, for the time that is left. */
static double all_flops(const ntk_ridge_fit *fit) {
  const double n = (double)fit->problem->train.count, m = (double)fit->problem->test.count;
  const double dim = (double)fit->problem->train.dim, order = (double)fit->order;
  const double accumulate = fit->dual ? n * (n + 1) * dim : n * dim * (dim + 1);
  const double smaller = fit->dual ? n - (double)fit->held_count : order;
  const double factorise = fit->leave_one_out
                               ? ntk_ridge_leave_one_out_flops(order)
                               : (pow(order, 3) + (double)ntk_ridge_candidates(fit->options) * pow(smaller, 3)) / 3;
  return accumulate + factorise + 2 * (m + (fit->dual ? n : 0)) * dim * fit->problem->classes;
}

static ntk_status allocate(ntk_ridge_fit *fit) {
  const int64_t order = fit->order, classes = fit->problem->classes;
  const char *matrix = fit->dual ? "the matrix Z Z^T" : "the matrix Z^T Z", *what = "the right-hand sides";
  NTK_TRY(ntk_ridge_blocks_allocate(fit));
  NTK_TRY(ntk_ridge_allocate(order, order, sizeof(double), matrix, (void **)&fit->matrix));
  NTK_TRY(ntk_ridge_allocate(order, 1, sizeof(double), what, (void **)&fit->diagonal));
  NTK_TRY(ntk_ridge_allocate(classes, order, sizeof(double), what, (void **)&fit->right));
  NTK_TRY(ntk_ridge_allocate(classes, order, sizeof(double), what, (void **)&fit->solution));
  NTK_TRY(ntk_ridge_allocate(3, order, sizeof(double), what, (void **)&fit->work));
  NTK_TRY(ntk_ridge_allocate(1, order, sizeof(lapack_int), what, (void **)&fit->index));
  if (fit->dual) return NTK_OK;
  return ntk_ridge_allocate(fit->held_count, order, sizeof *fit->held, "the held-out rows", (void **)&fit->held);
}

static ntk_status allocate_result(const ntk_ridge_fit *fit, ntk_ridge_result *result) {
  const int64_t m = fit->problem->test.count, dim = fit->problem->train.dim, classes = fit->problem->classes;
  result->test_count = m;
  result->dim = dim;
  result->classes = fit->problem->classes;
  NTK_TRY(ntk_ridge_allocate(m, classes, sizeof(double), "the predictions", (void **)&result->predictions));
  NTK_TRY(ntk_ridge_allocate(m, 1, sizeof(int32_t), "the predicted classes", (void **)&result->predicted));
  return ntk_ridge_allocate(dim, classes, sizeof(double), "the weights", (void **)&result->weights);
}

static ntk_status solve(ntk_ridge_fit *fit) {
  bool factored, definite;
  if (fit->leave_one_out) {
    NTK_TRY(ntk_ridge_leave_one_out(fit));
    return ntk_ridge_weigh(fit);
  }
  fit->ridge = fit->options->ridge;
  if (fit->options->choose_ridge) {
    NTK_TRY(ntk_ridge_choose(fit));
    NTK_TRY(ntk_ridge_accumulate_held(fit));
  }
  free(fit->held);
  fit->held = NULL;
  NTK_TRY(ntk_ridge_factorise(fit, fit->order, fit->ridge, &factored, &definite));
  if (!factored || (!definite && !fit->options->choose_ridge)) {
    char subject[128];
    snprintf(subject, sizeof subject, "the matrix with the ridge %g is not positive definite", fit->ridge);
    return ntk_ridge_not_definite(fit, subject);
  }
  NTK_TRY(ntk_ridge_solve(fit, fit->order));
  return ntk_ridge_weigh(fit);
}

static void describe(const ntk_ridge_fit *fit, ntk_ridge_result *result) {
  const int64_t dim = fit->problem->train.dim;
  const int32_t classes = fit->problem->classes;
  for (int64_t j = 0; j < dim; j++) {
    for (int32_t c = 0; c < classes; c++) result->weights[j * classes + c] = fit->weights[c * dim + j];
  }
  result->ridge = fit->ridge;
  result->leave_one_out = fit->leave_one_out;
  result->held_out_count = fit->leave_one_out ? fit->order : fit->held_count;
  result->held_out_accuracy = fit->held_out_accuracy;
  result->held_out_error = fit->held_out_error;
  result->form = fit->dual ? NTK_RIDGE_DUAL : NTK_RIDGE_PRIMAL;
  snprintf(result->solver, sizeof result->solver, "CPU, LAPACK, %s %lld x %lld", fit->dual ? "dual" : "primal",
           (long long)fit->order, (long long)fit->order);
  ntk_ridge_score(fit, result);
}

static ntk_status run(ntk_ridge_fit *fit, ntk_ridge_result *result) {
  NTK_TRY(ntk_ridge_hold_out(fit));
  fit->flops_total = all_flops(fit);
  NTK_TRY(allocate(fit));
  NTK_TRY(allocate_result(fit, result));
  const double accumulating = ntk_now();
  NTK_TRY(ntk_ridge_advance(fit, 0, 0));
  NTK_TRY(ntk_ridge_accumulate(fit));
  const double solving = ntk_now();
  result->accumulate_seconds = solving - accumulating;
  result->accumulate_gflops = 1e-9 * fit->flops_done / result->accumulate_seconds;
  NTK_TRY(solve(fit));
  const double predicting = ntk_now();
  result->solve_seconds = predicting - solving;
  NTK_TRY(ntk_ridge_predict(fit, result));
  result->predict_seconds = ntk_now() - predicting;
  describe(fit, result);
  return NTK_OK;
}

static void release(ntk_ridge_fit *fit) {
  void *const buffers[] = {fit->held_rows, fit->position, fit->matrix,  fit->diagonal, fit->right, fit->solution,
                           fit->weights,   fit->work,     fit->index,   fit->raw,      fit->rows,  fit->other,
                           fit->tile,      fit->squares,  fit->targets, fit->held};
  for (size_t k = 0; k < sizeof buffers / sizeof *buffers; k++) free(buffers[k]);
}

ntk_status ntk_ridge(ntk_context *context, const ntk_ridge_problem *problem, const ntk_ridge_options *options,
                     ntk_ridge_result *result) {
  const double start = ntk_now();
  if (!problem || !options || !result) {
    return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_ridge: problem, options and result must not be NULL");
  }
  *result = (ntk_ridge_result){0};
  NTK_TRY(ntk_ridge_check(problem, options));
  ntk_ridge_fit fit = {.problem = problem,
                       .options = options,
                       .context = context,
                       .dual = dual(problem, options),
                       .leave_one_out = ntk_ridge_leaves_one_out(problem, options),
                       .held_out_accuracy = NAN,
                       .held_out_error = NAN,
                       .started = start};
  fit.order = fit.dual ? problem->train.count : problem->train.dim;
  fit.rows_total = problem->train.count * (fit.dual ? 2 : 1) + problem->test.count;
  ntk_blas_threads_push(ntk_context_threads(context));
  const ntk_status status = run(&fit, result);
  ntk_blas_threads_pop();
  release(&fit);
  if (status != NTK_OK) ntk_ridge_result_free(result);
  result->seconds = ntk_now() - start;
  return status;
}

void ntk_ridge_result_free(ntk_ridge_result *result) {
  if (!result) return;
  free(result->predictions);
  free(result->predicted);
  free(result->weights);
  *result = (ntk_ridge_result){0};
}
