/* Where the training matrix is factorised: by LAPACK on the CPU, or by cuSOLVER on a CUDA device. */
#include "host/cuda/solver.h"

#include <lapacke.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "host/regress/regress.h"

static ntk_cuda_factorisation kind(const ntk_regression *r) {
  return r->options->choose_ridge ? NTK_CUDA_EIGENVECTORS : NTK_CUDA_CHOLESKY;
}

/* Seconds on the CPU, within a factor of two or three: 16 or 32 multiply-adds a cycle are rarely reached. An
 * eigendecomposition takes about ten times as long (docs/regression.md). */
static double cpu_seconds(const ntk_regression *r) {
  const char *isa = ntk_context_isa(r->context);
  const double core = strcmp(isa, "avx512") == 0 ? 50e9 : strcmp(isa, "avx2") == 0 ? 30e9 : 8e9;
  const double flops = pow((double)r->problem->train_count, 3) / 3 * (r->options->choose_ridge ? 10 : 1);
  return flops / (core * ntk_context_threads(r->context));
}

static void use_cpu(ntk_regression *r) {
  r->device = -1;
  snprintf(r->solver, sizeof r->solver, "CPU, LAPACK");
}

static ntk_status use_device(ntk_regression *r, const ntk_cuda_device *device) {
  r->device = device->id;
  snprintf(r->solver, sizeof r->solver, "CUDA device %d (%.64s), cuSOLVER", device->id, device->name);
  return NTK_OK;
}

ntk_status ntk_regress_place(ntk_regression *r) {
  const ntk_solver solver = r->options->solver;
  const bool device = ntk_context_uses_cuda(r->context);
  use_cpu(r);
  if (solver == NTK_SOLVER_CUDA && !device)
    return ntk_fail(NTK_ERROR_DEVICE, "the solver 'cuda' needs a CUDA device, and the context has none: use the CPU's");
  if (solver == NTK_SOLVER_CPU || !device) return NTK_OK;
  ntk_cuda_device found;
  ntk_cuda_solver_cost cost;
  NTK_TRY(ntk_cuda_device_describe(r->context->devices[0], &found));
  if (solver == NTK_SOLVER_CUDA) return use_device(r, &found);
  NTK_TRY(ntk_cuda_solver_estimate(found.id, kind(r), r->problem->train_count, &cost));
  if (cost.seconds > cpu_seconds(r)) return NTK_OK;
  if (cost.bytes > cost.free_bytes)
    snprintf(r->solver, sizeof r->solver, "CPU, LAPACK: CUDA device %d has %.3g of the %.3g GiB that it takes",
             found.id, (double)cost.free_bytes / 0x1p30, (double)cost.bytes / 0x1p30);
  else if (ntk_cuda_solver_load() != NTK_OK)
    snprintf(r->solver, sizeof r->solver, "CPU, LAPACK: cuSOLVER cannot be loaded");
  else
    use_device(r, &found);
  return NTK_OK;
}

/* Runs on the device; *ran: it did. Where `auto` finds that the device has too little memory after all, the CPU goes
 * on with the untouched matrix. */
static ntk_status run_device(ntk_regression *r, ntk_cuda_factorisation what, double *matrix, double *values, int *info,
                             bool *ran) {
  *ran = false;
  if (r->device < 0) return NTK_OK;
  const ntk_status status = ntk_cuda_solver_run(r->device, what, r->problem->train_count, matrix, values, info);
  *ran = status == NTK_OK;
  if (status != NTK_ERROR_MEMORY || r->options->solver == NTK_SOLVER_CUDA) return status;
  snprintf(r->solver, sizeof r->solver, "CPU, LAPACK: CUDA device %d has too little free memory", r->device);
  r->device = -1;
  return NTK_OK;
}

ntk_status ntk_regress_factor(ntk_regression *r, double *matrix, int *info) {
  const lapack_int n = (lapack_int)r->problem->train_count;
  bool ran;
  NTK_TRY(run_device(r, NTK_CUDA_CHOLESKY, matrix, NULL, info, &ran));
  if (!ran) *info = LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', n, matrix, n);
  return NTK_OK;
}

static ntk_status converged(int info) {
  if (info == 0) return NTK_OK;
  return ntk_fail(NTK_ERROR_NUMERIC,
                  "the eigenvalues of the training matrix did not converge (cuSOLVER gave %d): give a ridge instead of "
                  "choosing one, or use the CPU's solver",
                  info);
}

ntk_status ntk_regress_eigenvalues(ntk_regression *r, double *matrix, double *values) {
  int info = 0;
  bool ran;
  NTK_TRY(run_device(r, NTK_CUDA_EIGENVALUES, matrix, values, &info, &ran));
  return ran ? converged(info) : ntk_eigenvalues(r->problem->train_count, matrix, values);
}

ntk_status ntk_regress_eigenvectors(ntk_regression *r, double **matrix, double *values) {
  const int64_t n = r->problem->train_count;
  int info = 0;
  bool ran;
  NTK_TRY(run_device(r, NTK_CUDA_EIGENVECTORS, *matrix, values, &info, &ran));
  return ran ? converged(info) : ntk_eigenvectors(n, matrix, values, ntk_eigen_can_divide(n));
}
