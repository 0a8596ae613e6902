/* Depths, lap sizes and both kernels from one pass against single runs, and the outputs' order and names. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support_kernel.h"

enum { IMAGES = 3, PAIRS = IMAGES * IMAGES, DEPTH = 7 };

/* The largest relative error of PAIRS values; 0 only if they are the same bits. */
static double difference(const double *got, const double *want) {
  double worst = 1e-300;
  if (memcmp(got, want, PAIRS * sizeof *got) == 0) return 0;
  for (int k = 0; k < PAIRS; k++) worst = fmax(worst, ntk_test_error(got[k], want[k]));
  return worst;
}

typedef struct sweep_case {
  const char *block, *readout;
  const char *lap; /* how the sweep's lap is written, for printf */
  ntk_shape shape;
} sweep_case;

static const sweep_case cases[] = {
    {"conv3 relu", "gap", "lap(%d)", {3, 6, 7}},
    {"conv3 relu", "flatten", "lap(%d)", {1, 5, 18}},
    {"conv3 relu", "lap(2)", "lap(%d)", {14, 5, 6}},
    {"conv3(circular, b=0.1) relu", "lap(1, circular)", "lap(%d, circular)", {2, 6, 5}},
    {"conv5(W=1.4) relu(c=1)", "gap", "lap(%d)", {2, 6, 5}},
    {"conv1x3 conv3x1(fixed) relu",
     "flatten dense(b=0.3) dense(fixed)",
     "lap(%d) dense(b=0.3) dense(fixed)",
     {2, 4, 9}},
};
enum { CASES = sizeof cases / sizeof *cases };

/* Both kernels of `depth` blocks with lap(pool), or the case's readout for pool = -1; [kernel][PAIRS]. */
static double *single_run(const sweep_case *c, int depth, int pool, ntk_precision precision, const double *images) {
  char text[256], readout[128];
  snprintf(readout, sizeof readout, c->lap, pool);
  snprintf(text, sizeof text, "%d*(%s) %s", depth, c->block, pool < 0 ? c->readout : readout);
  ntk_plan *plan = ntk_test_plan(text, c->shape, NTK_KERNEL_BOTH, precision);
  double *values = ntk_test_block(NULL, plan, images, IMAGES, NULL, 0);
  ntk_plan_free(plan);
  return values;
}

/* All depths and pools in one pass; every output is compared with its single run. */
static double sweep_error(const sweep_case *c, ntk_precision precision, const int *depths, size_t depth_count,
                          const int *pools, size_t pool_count) {
  char text[256];
  snprintf(text, sizeof text, "%d*(%s) %s", DEPTH, c->block, c->readout);
  const ntk_plan_options options = {.kernels = NTK_KERNEL_BOTH,
                                    .precision = precision,
                                    .depths = depths,
                                    .depth_count = depth_count,
                                    .pools = pools,
                                    .pool_count = pool_count};
  ntk_plan *plan = ntk_test_plan_with(text, c->shape, &options);
  double *images = ntk_test_inputs(17, c->shape, IMAGES), worst = 0;
  double *sweep = ntk_test_block(NULL, plan, images, IMAGES, NULL, 0), *got = sweep;
  cr_assert_eq(ntk_plan_output_count(plan), (depth_count ? depth_count : 1) * (pool_count ? pool_count : 1) * 2);
  for (size_t t = 0; t < (depth_count ? depth_count : 1); t++)
    for (size_t q = 0; q < (pool_count ? pool_count : 1); q++) {
      double *want = single_run(c, depth_count ? depths[t] : DEPTH, pool_count ? pools[q] : -1, precision, images);
      for (int kernel = 0; kernel < 2; kernel++, got += PAIRS)
        worst = fmax(worst, difference(got, want + kernel * PAIRS));
      free(want);
    }
  if (ntk_test_verbose())
    fprintf(stderr, "%s, %zu depths, %zu pools, %s: %.2g\n", text, depth_count, pool_count, precision ? "f64" : "f32",
            worst);
  free(images), free(sweep);
  ntk_plan_free(plan);
  return worst;
}

/* bound: of float32, 2e-8 of it in float64; 0 asks for the same bits. */
static void check_cases(const int *depths, size_t depth_count, const int *pools, size_t pool_count, double bound) {
  for (int k = 0; k < CASES; k++)
    for (int precision = NTK_F32; precision <= NTK_F64; precision++) {
      const double error = sweep_error(&cases[k], (ntk_precision)precision, depths, depth_count, pools, pool_count);
      cr_expect(error <= (precision == NTK_F64 ? bound * 2e-8 : bound),
                "%s, %zu depths, %zu pools, %s: an output differs from its single run by %.2g", cases[k].block,
                depth_count, pool_count, precision ? "f64" : "f32", error);
    }
}

/* A layer that is read out is computed by general code, which sums in another order: not the same bits. */
static const double between_code_paths = 1e-7;

Test(kernel_sweeps, depths) {
  static const int all[] = {1, 2, 3, 4, 5, 6, 7}, some[] = {5, 2, 7}, whole[] = {DEPTH};
  check_cases(all, 7, NULL, 0, between_code_paths);
  check_cases(some, 3, NULL, 0, between_code_paths);
  check_cases(whole, 1, NULL, 0, 0);
}

Test(kernel_sweeps, pools) {
  static const int pools[] = {0, 1, 2, 3, 40}, other_order[] = {3, 0}, one[] = {2};
  check_cases(NULL, 0, pools, 5, 0);
  check_cases(NULL, 0, other_order, 2, 0);
  check_cases(NULL, 0, one, 1, 0);
}

Test(kernel_sweeps, depths_and_pools) {
  static const int depths[] = {6, 3}, pools[] = {2, 0, 5};
  check_cases(depths, 2, pools, 3, between_code_paths);
}

/* NTK and NNGP together and apart: the same bits. */
Test(kernel_sweeps, kernels) {
  for (int k = 0; k < CASES; k++)
    for (int precision = NTK_F32; precision <= NTK_F64; precision++) {
      const sweep_case *c = &cases[k];
      double *images = ntk_test_inputs(18, c->shape, IMAGES), *apart[2];
      double *both = single_run(c, 3, -1, (ntk_precision)precision, images);
      char text[256];
      snprintf(text, sizeof text, "3*(%s) %s", c->block, c->readout);
      for (int kernel = NTK_KERNEL_NTK; kernel <= NTK_KERNEL_NNGP; kernel++) {
        ntk_plan *plan = ntk_test_plan(text, c->shape, kernel, (ntk_precision)precision);
        cr_assert_eq(ntk_plan_output_count(plan), 1);
        cr_assert_eq((int)ntk_plan_output(plan, 0).kernel, kernel);
        apart[kernel - 1] = ntk_test_block(NULL, plan, images, IMAGES, NULL, 0);
        ntk_plan_free(plan);
      }
      cr_expect_eq(difference(both, apart[0]), 0, "%s", text);
      cr_expect_eq(difference(both + PAIRS, apart[1]), 0, "%s", text);
      free(images), free(both), free(apart[0]), free(apart[1]);
    }
}

Test(kernel_sweeps, connected) {
  static const int depths[] = {4, 1, 3};
  const ntk_shape shape = {10, 0, 0};
  const ntk_plan_options options = {.kernels = NTK_KERNEL_BOTH, .depths = depths, .depth_count = 3};
  ntk_plan *plan = ntk_test_plan_with("4*(dense(W=1.2, b=0.1) relu(c=1)) dense(b=0.5)", shape, &options);
  double *inputs = ntk_test_inputs(19, shape, IMAGES), *got = ntk_test_block(NULL, plan, inputs, IMAGES, NULL, 0);
  for (int t = 0; t < 3; t++) {
    char text[128];
    snprintf(text, sizeof text, "%d*(dense(W=1.2, b=0.1) relu(c=1)) dense(b=0.5)", depths[t]);
    ntk_plan *one = ntk_test_plan(text, shape, NTK_KERNEL_BOTH, NTK_F32);
    double *want = ntk_test_block(NULL, one, inputs, IMAGES, NULL, 0);
    for (int kernel = 0; kernel < 2; kernel++)
      cr_expect_eq(difference(got + (2 * t + kernel) * PAIRS, want + kernel * PAIRS), 0, "%s", text);
    free(want);
    ntk_plan_free(one);
  }
  free(inputs), free(got);
  ntk_plan_free(plan);
}

/* ---- order and names */

typedef struct expected_output {
  ntk_kernel kernel;
  int depth, pool;
  const char *name;
} expected_output;

static void check_outputs(const char *text, ntk_plan_options options, const expected_output *want, size_t count) {
  ntk_plan *plan = ntk_test_plan_with(text, (ntk_shape){1, 6, 6}, &options);
  cr_assert_eq(ntk_plan_output_count(plan), count, "%s", text);
  for (size_t k = 0; k < count; k++) {
    const ntk_output got = ntk_plan_output(plan, k);
    cr_expect(got.kernel == want[k].kernel && got.depth == want[k].depth && got.pool == want[k].pool,
              "%s: output %zu is kernel %d, depth %d, pool %d", text, k, (int)got.kernel, got.depth, got.pool);
    cr_expect_str_eq(got.name, want[k].name);
  }
  const ntk_output beyond = ntk_plan_output(plan, count);
  cr_expect(!beyond.name && !beyond.depth && !beyond.pool && !beyond.kernel);
  ntk_plan_free(plan);
}

Test(kernel_sweeps, order_and_names) {
  static const int depths[] = {5, 2}, pools[] = {4, 0};
  check_outputs("5*(conv3 relu) gap", (ntk_plan_options){0}, (expected_output[]){{NTK_KERNEL_NTK, 5, -1, "ntk"}}, 1);
  check_outputs("5*(conv3 relu) lap(3)", (ntk_plan_options){.kernels = NTK_KERNEL_NNGP},
                (expected_output[]){{NTK_KERNEL_NNGP, 5, 3, "nngp"}}, 1);
  check_outputs("conv3 gap", (ntk_plan_options){.kernels = NTK_KERNEL_BOTH},
                (expected_output[]){{NTK_KERNEL_NTK, 0, -1, "ntk"}, {NTK_KERNEL_NNGP, 0, -1, "nngp"}}, 2);
  check_outputs("5*(conv3 relu) gap", (ntk_plan_options){.depths = depths, .depth_count = 2},
                (expected_output[]){{NTK_KERNEL_NTK, 5, -1, "ntk-depth5"}, {NTK_KERNEL_NTK, 2, -1, "ntk-depth2"}}, 2);
  check_outputs("5*(conv3 relu) gap", (ntk_plan_options){.kernels = NTK_KERNEL_BOTH, .pools = pools, .pool_count = 2},
                (expected_output[]){{NTK_KERNEL_NTK, 5, 4, "ntk-lap4"},
                                    {NTK_KERNEL_NNGP, 5, 4, "nngp-lap4"},
                                    {NTK_KERNEL_NTK, 5, 0, "ntk-lap0"},
                                    {NTK_KERNEL_NNGP, 5, 0, "nngp-lap0"}},
                4);
  check_outputs("5*(conv3 relu) gap",
                (ntk_plan_options){.kernels = NTK_KERNEL_BOTH,
                                   .precision = NTK_F64,
                                   .depths = depths,
                                   .depth_count = 2,
                                   .pools = pools,
                                   .pool_count = 2},
                (expected_output[]){{NTK_KERNEL_NTK, 5, 4, "ntk-depth5-lap4"},
                                    {NTK_KERNEL_NNGP, 5, 4, "nngp-depth5-lap4"},
                                    {NTK_KERNEL_NTK, 5, 0, "ntk-depth5-lap0"},
                                    {NTK_KERNEL_NNGP, 5, 0, "nngp-depth5-lap0"},
                                    {NTK_KERNEL_NTK, 2, 4, "ntk-depth2-lap4"},
                                    {NTK_KERNEL_NNGP, 2, 4, "nngp-depth2-lap4"},
                                    {NTK_KERNEL_NTK, 2, 0, "ntk-depth2-lap0"},
                                    {NTK_KERNEL_NNGP, 2, 0, "nngp-depth2-lap0"}},
                8);
}

/* The lists are copied: a plan does not look at the caller's arrays again. */
Test(kernel_sweeps, plan_keeps_copies) {
  int depths[] = {2, 3}, pools[] = {1};
  const ntk_shape shape = {2, 5, 5};
  const ntk_plan_options options = {.kernels = NTK_KERNEL_NTK,
                                    .precision = NTK_F64,
                                    .depths = depths,
                                    .depth_count = 2,
                                    .pools = pools,
                                    .pool_count = 1};
  ntk_plan *plan = ntk_test_plan_with("3*(conv3 relu) gap", shape, &options);
  double *images = ntk_test_inputs(20, shape, IMAGES), *before = ntk_test_block(NULL, plan, images, IMAGES, NULL, 0);
  depths[0] = depths[1] = pools[0] = 9;
  double *after = ntk_test_block(NULL, plan, images, IMAGES, NULL, 0);
  cr_expect_arr_eq(before, after, 2 * PAIRS * sizeof *before);
  cr_expect_eq(ntk_plan_output(plan, 0).depth, 2);
  free(images), free(before), free(after);
  ntk_plan_free(plan);
}
