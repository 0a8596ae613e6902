/* A build without CUDA. */
#include "host/cuda/device.h"
#include "host/cuda/features.h"
#include "host/cuda/solver.h"
#include "host/status.h"

int ntk_cuda_device_count(const char **problem) {
  *problem = NULL;
  return 0;
}

int ntk_cuda_built(void) { return 0; }

bool ntk_cuda_device_usable(const ntk_cuda_device *device) { return device == NULL; }

ntk_status ntk_cuda_device_describe(int id, ntk_cuda_device *out) {
  (void)out;
  return ntk_fail(NTK_ERROR_DEVICE, "there is no CUDA device %d: this build has no CUDA", id);
}

const ntk_worker_ops ntk_cuda_worker_ops = {0}, ntk_cuda_stages_ops = {0}, ntk_cuda_connected_ops = {0};

ntk_status ntk_cuda_solver_estimate(int device, ntk_cuda_factorisation kind, int64_t n, ntk_cuda_solver_cost *out) {
  (void)kind, (void)n, (void)out;
  return ntk_fail(NTK_ERROR_DEVICE, "there is no CUDA device %d: this build has no CUDA", device);
}

ntk_status ntk_cuda_solver_load(void) { return ntk_fail(NTK_ERROR_DEVICE, "this build has no CUDA"); }

ntk_status ntk_cuda_solver_run(int device, ntk_cuda_factorisation kind, int64_t n, double *matrix, double *values,
                               int *info) {
  (void)kind, (void)n, (void)matrix, (void)values, (void)info;
  return ntk_fail(NTK_ERROR_DEVICE, "there is no CUDA device %d: this build has no CUDA", device);
}

ntk_status ntk_cuda_features_run(ntk_context *context, const ntk_features *features, ntk_feature_source source,
                                 int64_t first, int64_t count, float *out, ntk_features_times *times) {
  (void)context, (void)features, (void)source, (void)first, (void)count, (void)out, (void)times;
  return ntk_fail(NTK_ERROR_DEVICE, "this build has no CUDA");
}

ntk_status ntk_cuda_features_prepare(ntk_context *context, const ntk_features *features, int64_t count, int64_t *rows) {
  (void)context, (void)features, (void)count, (void)rows;
  return ntk_fail(NTK_ERROR_DEVICE, "this build has no CUDA");
}
