/* Images with constant regions against the oracle: rho is 1, or nearly so, over whole areas of every plane, which the
 * engine computes along a path of its own. Large enough, and with all planes, for float32 to keep such pairs. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support_kernel.h"
#include "tests/support_net.h"

/* Fills one image: 0 a background with a random patch, 1 black with a patch, 2 regions of constant colour, 3 constant.
 */
static void fill(int content, uint64_t seed, ntk_shape shape, double *out) {
  ntk_test_random random = {seed};
  const int height = (int)shape.height, width = (int)shape.width;
  const int top = ntk_test_below(&random, height - 2), left = ntk_test_below(&random, width - 3);
  for (int c = 0; c < (int)shape.channels; c++) {
    const double level[3] = {ntk_test_uniform(&random), ntk_test_uniform(&random), ntk_test_uniform(&random)};
    for (int i = 0; i < height; i++)
      for (int j = 0; j < width; j++) {
        const bool patch = i >= top && i < top + 3 && j >= left && j < left + 4;
        const double value = ntk_test_gaussian(&random);
        double *at = out++;
        switch (content) {
          case 0: *at = patch ? value : 0.8; break;
          case 1: *at = patch ? value : 0; break;
          case 2: *at = level[i <= top ? 0 : j <= left ? 1 : 2]; break;
          default: *at = level[0]; break;
        }
      }
  }
}

/* In float64 the oracle's own rounding of rho = 1 is the larger one: 1e-19, which k0 turns into 1e-10. */
static const double bounds[2] = {1e-6, 1e-9};

static void check(const char *text, ntk_shape shape, int x_content, int z_content, uint64_t seed) {
  const size_t size = ntk_test_size(shape);
  double *x = malloc(2 * size * sizeof *x), worst[2] = {0};
  long double want[2];
  fill(x_content, seed, shape, x);
  fill(z_content, seed + 1, shape, x + size);
  ntk_test_oracle_text(text, shape, x, x + size, &want[0], &want[1]);
  for (int precision = NTK_F32; precision <= NTK_F64; precision++) {
    ntk_plan *plan = ntk_test_plan(text, shape, NTK_KERNEL_BOTH, (ntk_precision)precision);
    for (int k = 0; ntk_test_isas[k]; k++) {
      ntk_context *context = ntk_test_context(ntk_test_isas[k]);
      if (!context) continue;
      double *got = ntk_test_block(context, plan, x, 1, x + size, 1);
      for (int kernel = 0; kernel < 2; kernel++) {
        const double error = ntk_test_error(got[kernel], want[kernel]);
        worst[precision] = fmax(worst[precision], error);
        cr_expect(error <= bounds[precision],
                  "%s, %d x %d x %d, contents %d and %d, %s %s, %s: %.12g, expected %.12Lg, off by %.2g", text,
                  (int)shape.channels, (int)shape.height, (int)shape.width, x_content, z_content, ntk_test_isas[k],
                  precision ? "f64" : "f32", kernel ? "NNGP" : "NTK", got[kernel], want[kernel], error);
      }
      free(got);
      ntk_context_free(context);
    }
    ntk_plan_free(plan);
  }
  if (ntk_test_verbose())
    fprintf(stderr, "%-60s %d x %2d x %2d, contents %d and %d: f32 %.1e, f64 %.1e\n", text, (int)shape.channels,
            (int)shape.height, (int)shape.width, x_content, z_content, worst[0], worst[1]);
  free(x);
}

Test(kernel_structured, contents) {
  const ntk_shape shape = {1, 15, 15};
  for (int x = 0; x < 4; x++)
    for (int z = 0; z <= x; z++) check("2*(conv3 relu) gap", shape, x, z, 900 + 10 * (uint64_t)x);
}

Test(kernel_structured, layouts) {
  check("2*(conv3 relu) gap", (ntk_shape){3, 7, 33}, 0, 0, 910);
  check("3*(conv3 relu) gap", (ntk_shape){1, 4, 57}, 0, 2, 911);
  check("2*(conv3 relu) gap", (ntk_shape){1, 64, 4}, 2, 2, 912);
  check("3*(conv3 relu) gap", (ntk_shape){2, 14, 17}, 2, 0, 913);
  check("2*(conv3 relu) gap", (ntk_shape){1, 29, 8}, 0, 1, 914);
}

Test(kernel_structured, networks) {
  static const char *const texts[] = {
      "conv3(b=0.2) relu conv3(b=0.1) relu gap",
      "conv3(W=1.3) relu(c=1) conv3(W=0.4) relu gap",
      "conv3(fixed) relu conv3 relu conv3(fixed) relu gap dense(fixed)",
      "conv1x3 relu conv3x1 relu lap(7)",
      "conv3 conv3 relu conv3 relu gap",
      "conv3 relu conv3 conv3 relu gap",
      "conv3 relu conv3 relu conv3 gap",
      "conv5 relu conv3 relu gap",
      "conv3 relu conv5 relu lap(7)",
      "conv3(circular) relu conv3(circular) relu gap",
      "conv3(circular) relu conv3 relu lap(7, circular)",
      "conv3 relu conv3(circular, b=0.1) relu gap",
      "conv1 relu conv3 relu gap dense(b=0.3) dense",
  };
  static const ntk_shape shapes[] = {{2, 15, 15}, {1, 12, 19}, {13, 15, 15}};
  for (size_t n = 0; n < sizeof texts / sizeof *texts; n++)
    check(texts[n], shapes[n % 3], (int)(n % 3), (int)(n / 3 % 3), 920 + n);
}

/* Depths read out on the way. */
Test(kernel_structured, sweeps) {
  const ntk_shape shape = {1, 15, 15};
  static const int depths[] = {1, 2, 3};
  double x[2 * 15 * 15];
  long double want[3][2];
  fill(2, 930, shape, x);
  fill(0, 931, shape, x + 225);
  for (int d = 0; d < 3; d++) {
    char text[64];
    snprintf(text, sizeof text, "%d*(conv3 relu) gap", depths[d]);
    ntk_test_oracle_text(text, shape, x, x + 225, &want[d][0], &want[d][1]);
  }
  for (int precision = NTK_F32; precision <= NTK_F64; precision++)
    for (int kernels = NTK_KERNEL_NTK; kernels <= NTK_KERNEL_BOTH; kernels++) {
      const ntk_plan_options options = {
          .kernels = kernels, .precision = (ntk_precision)precision, .depths = depths, .depth_count = 3};
      ntk_plan *plan = ntk_test_plan_with("3*(conv3 relu) gap", shape, &options);
      double *got = ntk_test_block(NULL, plan, x, 1, x + 225, 1);
      for (size_t k = 0; k < ntk_plan_output_count(plan); k++) {
        const ntk_output output = ntk_plan_output(plan, k);
        const double error = ntk_test_error(got[k], want[output.depth - 1][output.kernel - 1]);
        cr_expect(error <= bounds[precision], "%s, %s: off by %.2g", output.name, precision ? "f64" : "f32", error);
      }
      free(got);
      ntk_plan_free(plan);
    }
}

/* The value of a pair hangs on the pair alone, also where one image has constant regions and the other has none. */
Test(kernel_structured, mixed_sets) {
  enum { N = 6 };
  const ntk_shape shape = {2, 15, 16};
  const size_t size = ntk_test_size(shape);
  double *x = ntk_test_inputs(940, shape, N);
  for (int k = 0; k < 4; k++) fill(k, 941 + (uint64_t)k, shape, x + (size_t)k * size);
  for (int precision = NTK_F32; precision <= NTK_F64; precision++) {
    ntk_plan *plan = ntk_test_plan("3*(conv3 relu) gap", shape, NTK_KERNEL_NTK, (ntk_precision)precision);
    double *all = ntk_test_block(NULL, plan, x, N, NULL, 0);
    for (int i = 0; i < N; i++)
      for (int j = i; j < N; j++) {
        double *one = ntk_test_block(NULL, plan, x + (size_t)i * size, 1, x + (size_t)j * size, 1);
        cr_expect_eq(one[0], all[i * N + j], "pair (%d, %d), %s: %.17g alone, %.17g", i, j, precision ? "f64" : "f32",
                     one[0], all[i * N + j]);
        free(one);
      }
    free(all);
    ntk_plan_free(plan);
  }
  free(x);
}
