/* What CUDA workers take of device memory and of pinned host memory, on the stand-in device, without computing. */
#include <criterion/criterion.h>
#include <cuda_runtime_api.h>
#include <ntk/ntk.h>
#include <stdlib.h>
#include <string.h>

#include "host/cuda/device.h"
#include "host/gram/plan.h"

typedef struct problem {
  const char *net;
  int channels, height, width;
  ntk_precision precision;
} problem;

/* A device's workers with tiles of the largest size, as for a matrix of 60,000 inputs. */
static void workers_fit(const problem *p) {
  enum { TILE = 1024 };
  static const int device = 0;
  ntk_network *network;
  ntk_plan *plan;
  cr_assert_eq(ntk_network_parse(p->net, &network), NTK_OK, "%s", ntk_last_error());
  const ntk_plan_options options = {.kernels = NTK_KERNEL_BOTH, .precision = p->precision};
  const ntk_shape shape = {p->channels, p->height, p->width};
  cr_assert_eq(ntk_plan_create(network, shape, &options, &plan), NTK_OK, "%s", ntk_last_error());
  const ntk_tiles_job job = {.rows = {NULL, NULL, 60000}, .tile = TILE};
  ntk_worker_shared shared = {
      .plan = plan, .backend = ntk_backend_find("auto"), .devices = &device, .device_count = 1, .job = &job};
  const ntk_worker_ops *const ops = plan->connected             ? &ntk_cuda_connected_ops
                                    : plan->program.stage_count ? &ntk_cuda_stages_ops
                                                                : &ntk_cuda_worker_ops;
  void *workers[NTK_CUDA_WORKERS] = {NULL};
  for (int k = 0; k < NTK_CUDA_WORKERS; k++)
    cr_assert_eq(ops->create(&shared, k, TILE, &workers[k]), NTK_OK, "%s: %s", p->net, ntk_last_error());
  cr_expect_lt(ntk_shim_device_bytes(0), (size_t)2 << 30, "%s: %zu bytes", p->net, ntk_shim_device_bytes(0));
  cr_expect_lt(ntk_shim_pinned_bytes(), (size_t)1 << 30, "%s: %zu bytes", p->net, ntk_shim_pinned_bytes());
  for (int k = 0; k < NTK_CUDA_WORKERS; k++) ops->free(workers[k]);
  cr_expect_eq(ntk_shim_device_bytes(0), 0, "%s: %zu bytes are left", p->net, ntk_shim_device_bytes(0));
  cr_expect_eq(ntk_shim_pinned_bytes(), 0, "%s: %zu pinned bytes are left", p->net, ntk_shim_pinned_bytes());
  ntk_plan_free(plan);
  ntk_network_free(network);
}

Test(cuda_memory, workers_stay_within_their_share) {
  static const problem problems[] = {
      {"20*(conv3 relu) gap", 3, 32, 32, NTK_F32},
      {"20*(conv3 relu) flatten", 3, 32, 32, NTK_F64},
      {"20*(conv3 relu) gap", 1, 64, 64, NTK_F64},
      {"2*(conv3 relu) gap", 2048, 32, 32, NTK_F32},
      {"3*(dense relu) dense", 3072, 0, 0, NTK_F32},
      {"3*(dense relu) dense", 200000, 0, 0, NTK_F64},
      {"myrtle10", 3, 32, 32, NTK_F32},
      {"resnet-20", 3, 32, 32, NTK_F32},
      {"myrtle10", 1, 64, 64, NTK_F64},
      {"conv3 relu conv3(stride=2) relu gap", 2048, 32, 32, NTK_F32},
  };
  for (size_t k = 0; k < sizeof problems / sizeof *problems; k++) workers_fit(&problems[k]);
}

/* Every allocation that fails is an error, and everything before it is given back. */
Test(cuda_memory, failed_allocations_leak_nothing) {
  static const char *const nets[] = {"2*(conv3 relu) gap", "3*(dense relu) dense",
                                     "conv3 relu avgpool2 conv3 relu gap"};
  for (int net = 0; net < 3; net++)
    for (int after = 0; after < 24; after++) {
      ntk_network *network;
      ntk_plan *plan;
      ntk_context *context;
      const ntk_plan_options options = {.kernels = NTK_KERNEL_NTK};
      const ntk_shape shape = net == 1 ? (ntk_shape){16, 0, 0} : (ntk_shape){40, 4, 4};
      double x[2 * 640] = {0}, values[4], *const out[] = {values};
      for (int k = 0; k < 2 * 640; k++) x[k] = k % 7 - 3;
      cr_assert_eq(ntk_network_parse(nets[net], &network), NTK_OK);
      cr_assert_eq(ntk_plan_create(network, shape, &options, &plan), NTK_OK);
      cr_assert_eq(ntk_context_create(&context), NTK_OK);
      ntk_shim_fail_allocation(after);
      const ntk_status status = ntk_plan_block(context, plan, x, 2, NULL, 0, out);
      ntk_shim_fail_allocation(-1);
      cr_expect(status == NTK_OK || status == NTK_ERROR_MEMORY, "%d: %d, %s", after, (int)status, ntk_last_error());
      cr_expect_eq(ntk_shim_device_bytes(0), 0, "%s, allocation %d: %zu bytes are left", nets[net], after,
                   ntk_shim_device_bytes(0));
      cr_expect_eq(ntk_shim_pinned_bytes(), 0);
      ntk_context_free(context);
      ntk_plan_free(plan);
      ntk_network_free(network);
    }
}

/* A device whose blocks have too little shared memory for a stage says so before it computes. */
Test(cuda_memory, too_little_shared_memory) {
  ntk_plan *plan;
  ntk_network *network;
  ntk_context *context;
  const ntk_plan_options options = {.kernels = NTK_KERNEL_NTK, .precision = NTK_F64};
  double x[2 * 256] = {1}, values[4], *const out[] = {values};
  cr_assert_eq(ntk_network_parse("conv3 relu avgpool2 conv3 relu gap", &network), NTK_OK);
  cr_assert_eq(ntk_plan_create(network, (ntk_shape){1, 16, 16}, &options, &plan), NTK_OK);
  cr_assert_eq(ntk_context_create(&context), NTK_OK);
  cr_assert_eq(ntk_context_set_device(context, "cuda"), NTK_OK);
  setenv("NTK_SHIM_SHARED", "8000", 1);
  cr_expect_eq(ntk_plan_block(context, plan, x, 2, NULL, 0, out), NTK_ERROR_DEVICE);
  cr_expect(strstr(ntk_last_error(), "use --device cpu"), "%s", ntk_last_error());
  ntk_context_free(context);
  ntk_plan_free(plan);
  ntk_network_free(network);
}
