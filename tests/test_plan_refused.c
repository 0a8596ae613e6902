/* What plans refuse: networks not computed yet, impossible options, bad arguments, inputs that are not finite. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support_data.h"
#include "tests/support_kernel.h"

static const ntk_shape image = {3, 8, 8}, vector = {10, 0, 0};

static void expect_refused(const char *text, ntk_shape shape, ntk_plan_options options, ntk_status want,
                           const char *word) {
  ntk_network *network = NULL;
  ntk_plan *plan = NULL;
  cr_assert_eq(ntk_network_parse(text, &network), NTK_OK, "%s: %s", text, ntk_last_error());
  ntk_test_expect_failure(ntk_plan_create(network, shape, &options, &plan), want, word);
  cr_expect_null(plan, "%s", text);
  ntk_network_free(network);
}

Test(plan_refused, networks_not_computed_yet) {
  static const struct {
    const char *text, *word;
  } cases[] = {
      {"conv3(W=0) relu gap", "W=0 cuts the network off"},
      {"conv3 relu conv3(stride=2, W=0) relu gap", "layer 3, column 12: W=0 cuts the network off"},
  };
  for (size_t n = 0; n < sizeof cases / sizeof *cases; n++)
    expect_refused(cases[n].text, (ntk_shape){3, 32, 32}, (ntk_plan_options){0}, NTK_ERROR_UNSUPPORTED, cases[n].word);
}

Test(plan_refused, large_images_and_filters) {
  const ntk_plan_options none = {0};
  expect_refused("conv3 relu gap", (ntk_shape){1, 65, 64}, none, NTK_ERROR_UNSUPPORTED, "65 x 64 pixels are too large");
  expect_refused("conv3 relu gap", (ntk_shape){1, 1, 65}, none, NTK_ERROR_UNSUPPORTED, "too large");
  expect_refused("conv67x1 relu gap", (ntk_shape){1, 64, 64}, none, NTK_ERROR_UNSUPPORTED, "larger than this version");
  ntk_plan_free(ntk_test_plan("conv65 relu gap", (ntk_shape){1, 64, 64}, NTK_KERNEL_NTK, NTK_F32));
}

/* Poolings of so many sizes side by side that each asks for other planes of the state before them. */
Test(plan_refused, many_poolings) {
  for (int branches = 28; branches <= 40; branches += 12) {
    char text[2048];
    int at = snprintf(text, sizeof text, "conv3 relu sum(avgpool2(stride=2, same) conv1");
    for (int k = 1; k < branches; k++)
      at += snprintf(text + at, sizeof text - (size_t)at, " | avgpool%d(stride=2, same) conv1", k + 2);
    snprintf(text + at, sizeof text - (size_t)at, ") conv3 relu flatten");
    if (branches == 28)
      ntk_plan_free(ntk_test_plan(text, (ntk_shape){1, 64, 64}, NTK_KERNEL_NTK, NTK_F32));
    else
      expect_refused(text, (ntk_shape){1, 64, 64}, (ntk_plan_options){0}, NTK_ERROR_UNSUPPORTED,
                     "more than 31 different sets of offsets");
  }
}

Test(plan_refused, impossible_networks) {
  const ntk_plan_options none = {0};
  expect_refused("conv3 relu gap", vector, none, NTK_ERROR_NETWORK, "needs images");
  expect_refused("conv5 relu gap", (ntk_shape){3, 1, 8}, none, NTK_ERROR_NETWORK, "'conv5' reaches 2 pixels");
  expect_refused("conv5(circular) relu gap", (ntk_shape){3, 4, 8}, none, NTK_ERROR_NETWORK, "needs a height of 5");
  expect_refused("4*(conv3(W=1e100) relu) gap", image, none, NTK_ERROR_NETWORK, "choose W nearer to 1");
  expect_refused("4*(conv3(W=1e-100) relu) gap", image, none, NTK_ERROR_NETWORK, "choose W nearer to 1");
}

Test(plan_refused, impossible_shapes) {
  static const ntk_shape shapes[] = {{0, 8, 8}, {3, 0, 8}, {3, 8, 0}, {-1, 8, 8}, {3, -8, 8}, {0, 0, 0}};
  for (size_t n = 0; n < sizeof shapes / sizeof *shapes; n++)
    expect_refused("conv3 relu gap", shapes[n], (ntk_plan_options){0}, NTK_ERROR_ARGUMENT, "impossible");
}

Test(plan_refused, depths) {
  static const int zero[] = {0}, negative[] = {-1}, deep[] = {3, 4}, twice[] = {1, 2, 1}, one[] = {1};
  const char *text = "3*(conv3 relu) gap", *connected = "3*(dense relu) dense";
  const struct {
    ntk_plan_options options;
    const char *word;
  } cases[] = {
      {{.depths = zero, .depth_count = 1}, "depth 0 is impossible: the network has 3 activations"},
      {{.depths = negative, .depth_count = 1}, "depth -1 is impossible"},
      {{.depths = deep, .depth_count = 2}, "depth 4 is impossible"},
      {{.depths = twice, .depth_count = 3}, "depth 1 is asked for twice"},
      {{.depth_count = 1}, "a count without its list"},
      {{.depths = one, .depth_count = 1001}, "over 1000"},
  };
  for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
    expect_refused(text, image, cases[n].options, NTK_ERROR_ARGUMENT, cases[n].word);
    expect_refused(connected, vector, cases[n].options, NTK_ERROR_ARGUMENT, cases[n].word);
  }
  expect_refused("conv3 gap", image, cases[2].options, NTK_ERROR_ARGUMENT, "has 0 activations");
  static const int first[] = {1}, second[] = {2};
  const ntk_plan_options in_branch = {.depths = second, .depth_count = 1},
                         smaller = {.depths = first, .depth_count = 1};
  expect_refused("conv3 relu sum(conv3 | conv3 relu conv3) relu gap", image, in_branch, NTK_ERROR_ARGUMENT,
                 "activation 2 of this network stands in a branch of a sum");
  expect_refused("conv3 relu avgpool2 conv3 relu gap", image, smaller, NTK_ERROR_ARGUMENT, "at another resolution");
}

Test(plan_refused, pools) {
  static const int negative[] = {-1}, large[] = {10001}, twice[] = {4, 0, 4}, fine[] = {0, 1};
  const char *text = "3*(conv3 relu) gap";
  const struct {
    ntk_plan_options options;
    const char *word;
  } cases[] = {
      {{.pools = negative, .pool_count = 1}, "lap(-1) is impossible"},
      {{.pools = large, .pool_count = 1}, "lap(10001) is impossible"},
      {{.pools = twice, .pool_count = 3}, "lap(4) is asked for twice"},
      {{.pool_count = 2}, "a count without its list"},
      {{.pools = fine, .pool_count = 1001}, "over 1000"},
  };
  for (size_t n = 0; n < sizeof cases / sizeof *cases; n++)
    expect_refused(text, image, cases[n].options, NTK_ERROR_ARGUMENT, cases[n].word);
  expect_refused("dense relu dense", vector, (ntk_plan_options){.pools = fine, .pool_count = 2}, NTK_ERROR_ARGUMENT,
                 "has no pooling to vary");
}

Test(plan_refused, kernels_and_precision) {
  static const int kernels[] = {4, 5, -1, 256};
  for (size_t n = 0; n < sizeof kernels / sizeof *kernels; n++)
    expect_refused("conv3 relu gap", image, (ntk_plan_options){.kernels = kernels[n]}, NTK_ERROR_ARGUMENT,
                   "no mask of ntk_kernel");
  expect_refused("conv3 relu gap", image, (ntk_plan_options){.precision = (ntk_precision)2}, NTK_ERROR_ARGUMENT,
                 "no ntk_precision");
}

/* ---- arguments of the functions */

Test(plan_refused, null_pointers) {
  ntk_network *network = NULL;
  ntk_plan *plan = NULL;
  double x[192] = {0}, value = 7, *out = &value, *null = NULL, seconds;
  cr_assert_eq(ntk_network_parse("conv3 relu gap", &network), NTK_OK);
  ntk_test_expect_failure(ntk_plan_create(NULL, image, NULL, &plan), NTK_ERROR_ARGUMENT, "NULL");
  ntk_test_expect_failure(ntk_plan_create(network, image, NULL, NULL), NTK_ERROR_ARGUMENT, "NULL");
  cr_assert_eq(ntk_plan_create(network, image, NULL, &plan), NTK_OK);
  ntk_network_free(network); /* the plan keeps what it needs */
  ntk_test_expect_failure(ntk_plan_block(NULL, NULL, x, 1, NULL, 0, &out), NTK_ERROR_ARGUMENT, "NULL");
  ntk_test_expect_failure(ntk_plan_block(NULL, plan, NULL, 1, NULL, 0, &out), NTK_ERROR_ARGUMENT, "NULL");
  ntk_test_expect_failure(ntk_plan_block(NULL, plan, x, 1, NULL, 0, NULL), NTK_ERROR_ARGUMENT, "NULL");
  ntk_test_expect_failure(ntk_plan_block(NULL, plan, x, 1, NULL, 0, &null), NTK_ERROR_ARGUMENT, "output 0 is NULL");
  ntk_test_expect_failure(ntk_plan_block(NULL, plan, x, 0, NULL, 0, &out), NTK_ERROR_ARGUMENT, "0 inputs");
  ntk_test_expect_failure(ntk_plan_block(NULL, plan, x, -3, NULL, 0, &out), NTK_ERROR_ARGUMENT, "-3 inputs");
  ntk_test_expect_failure(ntk_plan_block(NULL, plan, x, 1, x, 0, &out), NTK_ERROR_ARGUMENT, "0 inputs");
  ntk_test_expect_failure(ntk_plan_diagonal(NULL, NULL, x, 1, &out), NTK_ERROR_ARGUMENT, "NULL");
  ntk_test_expect_failure(ntk_plan_diagonal(NULL, plan, NULL, 1, &out), NTK_ERROR_ARGUMENT, "NULL");
  ntk_test_expect_failure(ntk_plan_diagonal(NULL, plan, x, 1, NULL), NTK_ERROR_ARGUMENT, "NULL");
  ntk_test_expect_failure(ntk_plan_diagonal(NULL, plan, x, 0, &out), NTK_ERROR_ARGUMENT, "0 inputs");
  ntk_test_expect_failure(ntk_plan_predict(NULL, NULL, 1, &seconds), NTK_ERROR_ARGUMENT, "bad argument");
  ntk_test_expect_failure(ntk_plan_predict(NULL, plan, 1, NULL), NTK_ERROR_ARGUMENT, "bad argument");
  ntk_test_expect_failure(ntk_plan_predict(NULL, plan, -1, &seconds), NTK_ERROR_ARGUMENT, "bad argument");
  ntk_test_expect_failure(ntk_plan_predict(NULL, plan, NAN, &seconds), NTK_ERROR_ARGUMENT, "bad argument");
  cr_expect_eq(value, 7);
  ntk_plan_free(plan);
}

Test(plan_refused, contexts) {
  ntk_context *context = NULL;
  ntk_test_expect_failure(ntk_context_create(NULL), NTK_ERROR_ARGUMENT, "NULL");
  cr_assert_eq(ntk_context_create(&context), NTK_OK);
  cr_expect(ntk_context_threads(context) >= 1);
  cr_expect_eq(ntk_context_memory(context), 512u << 20);
  ntk_test_expect_failure(ntk_context_set_threads(context, -1), NTK_ERROR_ARGUMENT, "-1 threads");
  ntk_test_expect_failure(ntk_context_set_threads(context, 1025), NTK_ERROR_ARGUMENT, "1025 threads");
  ntk_test_expect_failure(ntk_context_set_threads(NULL, 1), NTK_ERROR_ARGUMENT, "NULL");
  ntk_test_expect_failure(ntk_context_set_memory(context, (16u << 20) - 1), NTK_ERROR_ARGUMENT, "at least 16 MiB");
  ntk_test_expect_failure(ntk_context_set_memory(NULL, 1u << 30), NTK_ERROR_ARGUMENT, "NULL");
  ntk_test_expect_failure(ntk_context_set_isa(context, "avx1024"), NTK_ERROR_ARGUMENT, "unknown instruction set");
  ntk_test_expect_failure(ntk_context_set_isa(context, NULL), NTK_ERROR_ARGUMENT, "NULL");
  ntk_test_expect_failure(ntk_context_set_isa(NULL, "auto"), NTK_ERROR_ARGUMENT, "NULL");
  cr_expect_eq(ntk_context_memory(context), 512u << 20);
  ntk_context_free(context);
  ntk_context_free(NULL);
}

/* ---- inputs that are not finite */

static void expect_bad_input(const char *text, ntk_shape shape, double bad) {
  enum { N = 5, BAD = 3 };
  const size_t size = ntk_test_size(shape);
  ntk_plan *plan = ntk_test_plan(text, shape, NTK_KERNEL_NTK, NTK_F32);
  double *x = ntk_test_inputs(500, shape, N), *z = ntk_test_inputs(501, shape, N), values[N * N], *out = values;
  x[BAD * size + size / 2] = bad;
  ntk_test_expect_failure(ntk_plan_block(NULL, plan, x, N, NULL, 0, &out), NTK_ERROR_DATA, "input 3 ");
  ntk_test_expect_failure(ntk_plan_block(NULL, plan, x, N, z, N, &out), NTK_ERROR_DATA, "input 3 ");
  ntk_test_expect_failure(ntk_plan_block(NULL, plan, z, N, x, N, &out), NTK_ERROR_DATA, "input 3 ");
  ntk_test_expect_failure(ntk_plan_diagonal(NULL, plan, x, N, &out), NTK_ERROR_DATA, "input 3 ");
  cr_expect_eq(ntk_plan_block(NULL, plan, x, BAD, NULL, 0, &out), NTK_OK, "%s", ntk_last_error());
  free(x), free(z);
  ntk_plan_free(plan);
}

Test(plan_refused, inputs_that_are_not_finite) {
  static const char *const texts[] = {"2*(conv3 relu) gap", "2*(dense relu) dense"};
  for (int k = 0; k < 2; k++) {
    expect_bad_input(texts[k], (ntk_shape){2, 4, 4}, NAN);
    expect_bad_input(texts[k], (ntk_shape){2, 4, 4}, INFINITY);
    expect_bad_input(texts[k], (ntk_shape){14, 2, 3}, -INFINITY);
  }
}

/* Finite inputs whose kernel no double can hold. */
Test(plan_refused, kernels_that_are_not_finite) {
  static const char *const texts[] = {"2*(conv3 relu) gap", "2*(dense relu) dense"};
  for (int k = 0; k < 2; k++) {
    const ntk_shape shape = {2, 4, 4};
    ntk_plan *plan = ntk_test_plan(texts[k], shape, NTK_KERNEL_NTK, NTK_F64);
    double *x = ntk_test_inputs(502, shape, 2), values[4], *out = values;
    for (size_t p = 0; p < 32; p++) x[32 + p] *= 1e200;
    ntk_test_expect_failure(ntk_plan_block(NULL, plan, x, 2, NULL, 0, &out), NTK_ERROR_DATA, "is not finite: scale");
    free(x);
    ntk_plan_free(plan);
  }
}
