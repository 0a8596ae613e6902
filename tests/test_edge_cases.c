/* Single hard cases that went wrong once: numbers at the edge of float32, small pools beside large ones, long vectors,
 * constant regions. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/backend/backend.h"
#include "host/gram/plan.h"
#include "tests/support_kernel.h"
#include "tests/support_net.h"
#include "tests/support_pairs.h"

static void check_f32(const char *text, ntk_shape shape, const double *x, const double *z, const char *what) {
  ntk_plan *f32 = ntk_test_plan(text, shape, NTK_KERNEL_NTK, NTK_F32);
  ntk_plan *f64 = ntk_test_plan(text, shape, NTK_KERNEL_NTK, NTK_F64);
  double *got = ntk_test_block(NULL, f32, x, 1, z, 1), *want = ntk_test_block(NULL, f64, x, 1, z, 1);
  cr_expect(ntk_test_error(got[0], want[0]) <= 1e-6, "%s, %s: float32 %.9g, float64 %.9g, off by %.2g", text, what,
            got[0], want[0], ntk_test_error(got[0], want[0]));
  free(got), free(want);
  ntk_plan_free(f32), ntk_plan_free(f64);
}

/* In a sweep with a wide pool the estimated error must not drown for lap(0), which reads one plane of many. */
static void check_sweep(const char *text, int side, int relation) {
  const ntk_shape shape = {1, side, side};
  const size_t size = ntk_test_size(shape);
  static const int pools[] = {0, 100};
  double *x = malloc(2 * size * sizeof *x);
  ntk_test_pair(PAIR_RANDOM, PAIR_CONTINUOUS, relation, 3, shape, x);
  const ntk_plan_options sweep = {.kernels = NTK_KERNEL_NTK, .precision = NTK_F32, .pools = pools, .pool_count = 2};
  const ntk_plan_options alone = {.kernels = NTK_KERNEL_NTK, .precision = NTK_F64, .pools = pools, .pool_count = 1};
  ntk_plan *a = ntk_test_plan_with(text, shape, &sweep), *b = ntk_test_plan_with(text, shape, &alone);
  double *got = ntk_test_block(NULL, a, x, 1, x + size, 1), *want = ntk_test_block(NULL, b, x, 1, x + size, 1);
  const double error = ntk_test_error(got[0], want[0]);
  cr_expect(error <= 1e-6, "%s, side %d, %s: lap(0) in a sweep with lap(100) off by %.2g", text, side,
            pair_relation_names[relation], error);
  free(x), free(got), free(want);
  ntk_plan_free(a), ntk_plan_free(b);
}

Test(edge_cases, flatten_beside_gap) {
  check_sweep("18*(conv3 relu) gap", 20, PAIR_NOISE + 1);
  for (int k = 1; k < 6; k++) check_sweep("2*(conv3 relu) gap", 64, PAIR_NOISE + k);
}

/* Vectors of many numbers with themselves: norm and product must round alike, or rho = 1 is missed. */
Test(edge_cases, long_vectors) {
  static const int sizes[] = {3072, 20000};
  for (int k = 0; k < 2; k++) {
    const ntk_shape shape = {sizes[k], 0, 0};
    enum { N = 120 };
    double *x = ntk_test_inputs(5, shape, N), ntk[N], nngp[N], *out[2] = {ntk, nngp};
    ntk_plan *plan = ntk_test_plan("3*(dense relu) dense", shape, NTK_KERNEL_BOTH, NTK_F64);
    cr_assert_eq(ntk_plan_diagonal(NULL, plan, x, N, out), NTK_OK);
    for (int i = 0; i < N; i++)
      cr_expect(ntk_test_error(ntk[i], 4 * (long double)nngp[i]) <= 1e-12, "d = %d, input %d: off by %.2g", sizes[k], i,
                ntk_test_error(ntk[i], 4 * (long double)nngp[i]));
    free(x);
    ntk_plan_free(plan);
  }
}

static void check_finite(const char *text, ntk_shape shape, int precision, const double *x, const double *z,
                         const char *what) {
  ntk_plan *plan = ntk_test_plan(text, shape, NTK_KERNEL_NTK, (ntk_precision)precision);
  double value = NAN, *out = &value;
  ntk_status status = ntk_plan_block(NULL, plan, x, 1, z, 1, &out);
  cr_expect_eq(status, NTK_OK, "%s, %s: %s", text, what, ntk_last_error());
  ntk_plan_free(plan);
}

/* 1 / n must not overflow. */
Test(edge_cases, tiny_pixel_beside_large) {
  double x[128] = {0};
  const ntk_shape shape = {1, 8, 8};
  x[0] = 1, x[63] = 1e-39; /* 1 / n overflows in float32 for a patch of 1e-39 */
  check_finite("conv3 relu conv3 relu gap", shape, NTK_F32, x, x, "a pixel of 1e-39 beside one of 1");
}

/* Between the pairs that float32 resolves and those that it obviously does not. */
Test(edge_cases, bytes_with_little_noise) {
  const ntk_shape shape = {3, 12, 12};
  double x[864];
  ntk_test_pair(PAIR_RANDOM, PAIR_BYTES, PAIR_NOISE + 2, 200, shape, x);
  check_f32("5*(conv3 relu) lap(4)", shape, x, x + 432, "noise 1e-3 in bytes");
}

Test(edge_cases, relu_auto) {
  ntk_network *network = NULL;
  ntk_plan *plan = NULL;
  cr_assert_eq(ntk_network_parse("conv3 relu(c=auto) gap", &network), NTK_OK);
  cr_expect_eq(ntk_plan_create(network, (ntk_shape){1, 4, 4}, NULL, &plan), NTK_OK, "%s", ntk_last_error());
  ntk_plan_free(plan);
  ntk_network_free(network);
}

/* An image with a constant corner: with itself, with a copy and with another such image. */
Test(edge_cases, constant_regions) {
  const ntk_shape shape = {3, 28, 28};
  const size_t size = ntk_test_size(shape);
  static const char *const texts[] = {"3*(conv3 relu) lap(4)", "10*(conv3 relu) lap(4)", "12*(conv3 relu) gap"};
  double *x = ntk_test_inputs(9, shape, 2);
  for (size_t k = 0; k < 2 * size; k++) {
    size_t row = k / 28 % 28, column = k % 28;
    if (row < 6 && column < 7)
      x[k] = 1.25; /* a saturated sky */
    else
      x[k] = 0.3 * x[k] + 0.05 * (double)row;
  }
  for (int t = 0; t < 3; t++) {
    check_f32(texts[t], shape, x, x, "a constant corner, with itself");
    check_f32(texts[t], shape, x, x + size, "two constant corners");
  }
  free(x);
}

/* Copies are found by comparing prepared images, so that these must not hold what was in memory before. */
Test(edge_cases, prepared_images_are_clean) {
  static const int sides[] = {32, 28, 16, 7};
  static const char *const texts[] = {"3*(conv3 relu) flatten", "conv3 gap"};
  for (int t = 0; t < 2; t++)
    for (int k = 0; k < 4; k++)
      for (int precision = 0; precision < 2; precision++) {
        const ntk_shape shape = {3, sides[k], sides[k]};
        ntk_plan *plan = ntk_test_plan(texts[t], shape, NTK_KERNEL_NTK, precision ? NTK_F64 : NTK_F32);
        const ntk_backend *backend = ntk_backend_find("auto");
        const ntk_plane_ops *ops = precision ? backend->plane_f64 : backend->plane_f32;
        const size_t bytes = (ops->image_bytes(&plan->program) + 63) / 64 * 64;
        char *a = aligned_alloc(64, bytes), *b = aligned_alloc(64, bytes);
        void *scratch = aligned_alloc(64, (ops->scratch_bytes(&plan->program) + 63) / 64 * 64);
        double *x = ntk_test_inputs(3, shape, 1);
        memset(a, 0x55, bytes), memset(b, 0xaa, bytes);
        ops->prepare(&plan->program, x, a, scratch);
        ops->prepare(&plan->program, x, b, scratch);
        cr_expect_eq(memcmp(a, b, ops->image_bytes(&plan->program)), 0, "%s, side %d, %s", texts[t], sides[k],
                     precision ? "f64" : "f32");
        free(a), free(b), free(scratch), free(x);
        ntk_plan_free(plan);
      }
}

/* The default memory must do for the threads of a large machine. */
Test(edge_cases, many_threads) {
  const ntk_shape shape = {3, 32, 32};
  ntk_plan *plan = ntk_test_plan("20*(conv3 relu) flatten", shape, NTK_KERNEL_NTK, NTK_F32);
  ntk_context *context = NULL;
  double *x = ntk_test_inputs(4, shape, 2), values[4], *out = values;
  cr_assert_eq(ntk_context_create(&context), NTK_OK);
  cr_assert_eq(ntk_context_set_threads(context, 96), NTK_OK);
  cr_expect_eq(ntk_plan_block(context, plan, x, 2, NULL, 0, &out), NTK_OK, "%s", ntk_last_error());
  free(x);
  ntk_context_free(context);
  ntk_plan_free(plan);
}
