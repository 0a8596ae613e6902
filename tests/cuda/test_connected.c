/* Fully connected networks with other activations than ReLU on a CUDA device, against the CPU's engine. */
#include <criterion/criterion.h>
#include <math.h>
#include <ntk/ntk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Both kernels of all pairs. */
static double *block(const char *device, const char *text, int length, const double *x, int count, const int *depths,
                     size_t depth_count) {
  ntk_network *network;
  ntk_plan *plan;
  ntk_context *context;
  const ntk_plan_options options = {
      .kernels = NTK_KERNEL_BOTH, .precision = NTK_F64, .depths = depths, .depth_count = depth_count};
  cr_assert_eq(ntk_network_parse(text, &network), NTK_OK, "%s", ntk_last_error());
  cr_assert_eq(ntk_plan_create(network, (ntk_shape){length, 0, 0}, &options, &plan), NTK_OK, "%s", ntk_last_error());
  cr_assert_eq(ntk_context_create(&context), NTK_OK);
  cr_assert_eq(ntk_context_set_threads(context, 1), NTK_OK);
  cr_assert_eq(ntk_context_set_device(context, device), NTK_OK, "%s", ntk_last_error());
  const size_t outputs = ntk_plan_output_count(plan), pairs = (size_t)count * (size_t)count;
  double *values = malloc(outputs * pairs * sizeof *values), *out[8];
  cr_assert_leq(outputs, 8);
  for (size_t k = 0; k < outputs; k++) out[k] = values + k * pairs;
  const ntk_status status = ntk_plan_block(context, plan, x, count, NULL, 0, out);
  ntk_context_free(context);
  ntk_plan_free(plan);
  ntk_network_free(network);
  if (status == NTK_OK) return values;
  free(values);
  return NULL;
}

/* Noise, a copy, an opposite and a near-duplicate of the first input. */
static double *inputs(int length, int count) {
  double *x = malloc((size_t)(length * count) * sizeof *x);
  unsigned long long state = 1;
  for (int k = 0; k < length * count; k++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    x[k] = (double)(state >> 11) / (1ull << 52) - 1;
  }
  for (int k = 0; k < length; k++)
    x[length + k] = x[k], x[2 * length + k] = -x[k], x[3 * length + k] = x[k] * (1 + 1e-5 * k);
  return x;
}

static void agree(const char *text, int length, int count, const int *depths, size_t depth_count) {
  double *const x = inputs(length, count);
  double *const expected = block("cpu", text, length, x, count, depths, depth_count);
  double *const got = block("cuda", text, length, x, count, depths, depth_count);
  const size_t pairs = (size_t)(count * count), outputs = 2 * (depth_count ? depth_count : 1);
  cr_assert(expected && got, "%s: %s", text, ntk_last_error());
  for (size_t k = 0; k < outputs; k++) {
    double worst = 0;
    const double *const want = expected + k * pairs, *const have = got + k * pairs;
    for (size_t i = 0; i < pairs; i++) {
      const double scale = sqrt(want[i / count * (count + 1)]) * sqrt(want[i % count * (count + 1)]);
      const double error = fabs(have[i] - want[i]) / scale;
      if (!(error <= worst)) worst = error;
    }
    /* near-duplicates: k0 has infinite slope */
    cr_expect_leq(worst, 1e-10, "%s, output %zu: error %.2g", text, k, worst);
    cr_expect_eq(have[1], have[0], "%s: a copy", text);
  }
  free(x), free(expected), free(got);
}

Test(cuda_connected, activations) {
  static const char *const names[] = {"leaky(0.2)",
                                      "abrelu(-0.3, 1.1)",
                                      "abs",
                                      "erf",
                                      "gelu",
                                      "sin(a=1.2, b=0.8, phase=0.3)",
                                      "cos",
                                      "rbf(gamma=0.7)",
                                      "exp(b=0.3)",
                                      "sign",
                                      "hermite(4)",
                                      "monomial(3)",
                                      "tanh",
                                      "sigmoid",
                                      "silu",
                                      "softplus",
                                      "elu",
                                      "selu",
                                      "series(0.3, -1, 0.5)",
                                      "expnorm(g=0.5)"};
  for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
    char text[200];
    snprintf(text, sizeof text, "2*(dense(W=1.3, b=0.2) %s) dense(W=1.1, b=0.3)", names[k]);
    agree(text, 10, 9, NULL, 0);
  }
}

/* More inputs than a block, several depths, ReLUs and quadrature side by side. */
Test(cuda_connected, mixed) {
  static const int depths[] = {1, 3};
  agree("dense relu dense(b=0.1) tanh dense gelu dense relu dense", 7, 530, NULL, 0);
  agree("dense(fixed) erf dense softplus dense relu dense abs dense(b=0.2)", 20, 9, depths, 2);
}

/* Variances out of range end in an error. */
Test(cuda_connected, growth) {
  double *const x = inputs(3, 4);
  cr_expect_null(block("cuda", "4*(dense(W=3) exp) dense", 3, x, 4, NULL, 0));
  cr_expect(strstr(ntk_last_error(), "not finite"), "%s", ntk_last_error());
  cr_expect_null(block("cuda", "4*(dense(W=3) exp) dense sign dense", 3, x, 4, NULL, 0));
  free(x);
}
