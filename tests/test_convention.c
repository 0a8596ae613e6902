/* Published conventions: their values for networks that are written out, and what they cannot express. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/net/network.h"
#include "tests/oracle.h"
#include "tests/support_data.h"
#include "tests/support_gram.h"
#include "tests/support_kernel.h"

static const ntk_shape square = {3, 8, 8}, small = {2, 4, 5}, vector3 = {3, 0, 0};

static void check(ntk_convention convention, const char *text, ntk_shape shape, double ntk, double nngp, double bound) {
  double x[192] = {1, 0.3, -0.5}, z[192] = {0.2, 0.9, 0.4};
  if (shape.height > 0) {
    oracle_image(0, (int)shape.channels, (int)shape.height, (int)shape.width, x);
    oracle_image(1, (int)shape.channels, (int)shape.height, (int)shape.width, z);
  }
  const ntk_plan_options options = {.kernels = NTK_KERNEL_BOTH, .precision = NTK_F64, .convention = convention};
  ntk_plan *plan = ntk_test_plan_with(text, shape, &options);
  double *got = ntk_test_block(NULL, plan, x, 1, z, 1);
  cr_expect(ntk_test_error(got[0], ntk) <= bound, "%s, %s: NTK %.12g, not %.12g", ntk_convention_name(convention), text,
            got[0], ntk);
  cr_expect(ntk_test_error(got[1], nngp) <= bound, "%s, %s: NNGP %.12g, not %.12g", ntk_convention_name(convention),
            text, got[1], nngp);
  cr_expect_eq((int)ntk_plan_convention(plan), (int)convention);
  free(got);
  ntk_plan_free(plan);
}

/* Traces and means by an independent implementation of arXiv:1904.11955. */
Test(convention, arora) {
  check(NTK_CONVENTION_ARORA, "2*(conv3 relu) flatten", square, 57.43429352, 37.64450148, 1e-9);
  check(NTK_CONVENTION_ARORA, "2*(conv3 relu) gap", square, 0.7776183745, 0.5288705917, 1e-9);
  check(NTK_CONVENTION_ARORA, "3*(conv3(circular) relu) flatten", small, 29.54516748, 13.88420648, 1e-9);
  check(NTK_CONVENTION_ARORA, "conv3(fixed) relu conv3 relu gap dense(fixed)", small, 0.0893801481, 0.251930553, 1e-8);
}

/* Filters of several sizes: the factor does not depend on them. By hand: 1 x 1 images are vectors of channels. */
Test(convention, arora_connected) {
  const double x[] = {1, 0.3, -0.5}, z[] = {0.2, 0.9, 0.4};
  const ntk_plan_options arora = {.precision = NTK_F64, .convention = NTK_CONVENTION_ARORA};
  ntk_plan *vectors = ntk_test_plan_with("2*(dense relu) dense", vector3, &arora);
  ntk_plan *pixel = ntk_test_plan_with("conv1 relu conv3 relu gap", (ntk_shape){3, 1, 1}, &arora);
  ntk_plan *flat = ntk_test_plan_with("flatten 2*(dense relu) dense", (ntk_shape){1, 1, 3}, &arora);
  double *a = ntk_test_block(NULL, vectors, x, 1, z, 1), *b = ntk_test_block(NULL, pixel, x, 1, z, 1);
  double *c = ntk_test_block(NULL, flat, x, 1, z, 1);
  cr_expect_eq(ntk_plan_scale(vectors), 3);
  cr_expect_eq(ntk_plan_scale(flat), 3);
  cr_expect(ntk_test_error(9 * b[0], a[0]) <= 1e-14, "%.17g, %.17g", 9 * b[0], a[0]); /* one of 9 taps is inside */
  cr_expect(ntk_test_error(c[0], a[0]) <= 1e-14, "%.17g, %.17g", c[0], a[0]);
  free(a), free(b), free(c);
  ntk_plan_free(vectors), ntk_plan_free(pixel), ntk_plan_free(flat);
}

/* LAP_c in unnormalised channels, and its bias. */
Test(convention, li) {
  check(NTK_CONVENTION_LI, "2*(conv3 relu) lap(2)", square, 3 * 10.99085771, 3 * 7.289171359, 1e-9);
  check(NTK_CONVENTION_LI, "2*(conv3 relu) lap(0)", square, 57.43429352, 37.64450148, 1e-9);
  check(NTK_CONVENTION_LI, "2*(conv3 relu) flatten", square, 57.43429352, 37.64450148, 1e-9);
  check(NTK_CONVENTION_LI, "2*(conv3(gamma=3) relu) flatten", square, 285.6701991, 147.3069497, 1e-9);
  check(NTK_CONVENTION_LI, "2*(conv3(circular) relu) lap(1, circular)", small, 16.65624688, 10.68724079, 1e-9);
}

/* neural-tangents 0.6.5 (jax 0.4.30, float64): stax.Conv, Dense and Relu with W_std = sqrt(2), no bias. */
Test(convention, neural_tangents) {
  const ntk_convention c = NTK_CONVENTION_NEURAL_TANGENTS;
  check(c, "2*(conv3 relu) gap", square, 0.518412249643536, 0.352580394499746, 1e-10);
  check(c, "2*(conv3 relu) flatten", square, 0.598273890879857, 0.392130223785506, 1e-10);
  check(c, "conv3 conv3 relu gap", square, 0.606276359780476, 0.49014396961504, 1e-10);
  check(c, "2*(conv3(circular) relu) lap(1, circular)", square, 0.789054352109015, 0.520522519728233, 1e-10);
  check(c, "3*(dense relu) dense", vector3, 1.01787394438501, 0.510066445914601, 1e-10);
  check(c, "dense dense relu dense", vector3, 1.10078229010191, 0.687102413862873, 1e-10);
}

static double scale_of(const char *text, ntk_shape shape, ntk_plan_options options) {
  ntk_plan *plan = ntk_test_plan_with(text, shape, &options);
  const double scale = ntk_plan_scale(plan);
  ntk_plan_free(plan);
  return scale;
}

Test(convention, presets_and_sweeps) {
  static const int depths[] = {1, 3}, pools[] = {0, 3};
  const ntk_plan_options generic = {.convention = NTK_CONVENTION_GENERIC};
  const ntk_plan_options tangents = {.convention = NTK_CONVENTION_NEURAL_TANGENTS, .depths = depths, .depth_count = 2};
  const ntk_plan_options li = {.convention = NTK_CONVENTION_LI, .pools = pools, .pool_count = 2};
  cr_expect_eq(scale_of("cntk-3-v", square, (ntk_plan_options){0}), 192);
  cr_expect_eq(scale_of("cntk-3-v", square, generic), 1);
  cr_expect_eq(scale_of("cntk-3-v", square, (ntk_plan_options){.convention = NTK_CONVENTION_NEURAL_TANGENTS}), 2);
  cr_expect_eq(scale_of("cntk-3-gap", square, (ntk_plan_options){.convention = NTK_CONVENTION_ARORA}), 3);
  cr_expect_eq(scale_of("uci-2-1", vector3, generic), 1);
  cr_expect_eq(scale_of("3*(conv3 relu) gap", square, tangents), 2);
  cr_expect_eq(scale_of("3*(conv3 relu) conv3 gap", square, tangents), 2); /* cut behind a relu */
  cr_expect_eq(
      scale_of("3*(conv3 relu) conv3 gap", square, (ntk_plan_options){.convention = NTK_CONVENTION_NEURAL_TANGENTS}),
      4);
  cr_expect_eq(scale_of("3*(conv3 relu) gap", square, li), 192);
  cr_expect_str_eq(ntk_convention_name(NTK_CONVENTION_BY_NAME), "preset");
  cr_expect_null(ntk_convention_name((ntk_convention)5));
  cr_expect_null(ntk_convention_name((ntk_convention)-1));
}

/* Networks that the engine may not compute yet, by the factor alone. */
Test(convention, sums_and_pooling) {
  static const struct {
    const char *text;
    double scale; /* 0: refused */
  } cases[] = {
      {"conv3 sum(id | relu conv3 relu conv3) relu gap", 2}, /* as neural-tangents 0.6.5 computes it */
      {"conv3 relu avgpool2 conv3 relu gap", 2},
      {"resnet-20", 2},
      {"myrtle5", 2},
      {"conv3 sum(id | conv3 relu conv3) relu gap", 0},
      {"conv3 relu sum(conv1 | conv3 conv3) relu gap", 0},
  };
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    ntk_network *network = NULL;
    double scale = 0;
    cr_assert_eq(ntk_network_parse(cases[k].text, &network), NTK_OK, "%s", ntk_last_error());
    const ntk_status status = ntk_convention_scale(network, (ntk_shape){3, 32, 32}, NTK_CONVENTION_NEURAL_TANGENTS,
                                                   (ntk_convention_sweep){false, false}, &scale);
    cr_expect_eq(status, cases[k].scale > 0 ? NTK_OK : NTK_ERROR_NETWORK, "%s: %s", cases[k].text, ntk_last_error());
    if (cases[k].scale > 0) cr_expect_eq(scale, cases[k].scale, "%s: %g", cases[k].text, scale);
    if (cases[k].scale == 0) cr_expect(strstr(ntk_last_error(), "branches differ"), "%s", ntk_last_error());
    ntk_network_free(network);
  }
}

Test(convention, refused) {
  static const int pools[] = {1}, depths[] = {1, 2};
  static const struct {
    ntk_convention convention;
    int sweep; /* 1: pools, 2: depths */
    const char *text, *word;
  } cases[] = {
      {NTK_CONVENTION_ARORA, 0, "conv3(b=0.1) relu gap", "bias b"},
      {NTK_CONVENTION_ARORA, 0, "conv3(gamma=3) relu gap", "bias gamma"},
      {NTK_CONVENTION_ARORA, 0, "conv3(W=1.4) relu gap", "W other than 1"},
      {NTK_CONVENTION_ARORA, 0, "conv3 relu gap dense(W=2)", "W other than 1"},
      {NTK_CONVENTION_ARORA, 0, "conv3 relu(c=1) gap", "relu with c = 2"},
      {NTK_CONVENTION_ARORA, 0, "conv3 erf gap", "relu with c = 2"},
      {NTK_CONVENTION_ARORA, 0, "conv3 relu lap(2)", "take the convention 'li'"},
      {NTK_CONVENTION_ARORA, 1, "conv3 relu gap", "take the convention 'li'"},
      {NTK_CONVENTION_ARORA, 0, "conv3 relu avgpool2 conv3 relu gap", "pooling or sums"},
      {NTK_CONVENTION_ARORA, 0, "conv3 relu sum(conv1 | conv3) relu gap", "pooling or sums"},
      {NTK_CONVENTION_ARORA, 0, "conv3 relu conv3(stride=2) relu gap", "strides"},
      {NTK_CONVENTION_ARORA, 0, "conv3(valid) relu gap", "without padding"},
      {NTK_CONVENTION_ARORA, 0, "conv3 conv3 relu gap", "linear layer"},
      {NTK_CONVENTION_ARORA, 0, "conv3 relu conv3 gap", "linear layer"},
      {NTK_CONVENTION_ARORA, 0, "conv3 relu gap dense dense", "second layer"},
      {NTK_CONVENTION_LI, 0, "conv3 relu gap", "write lap(c)"},
      {NTK_CONVENTION_LI, 0, "conv3(b=1) relu lap(1)", "write it as gamma"},
      {NTK_CONVENTION_LI, 0, "flatten dense relu dense", "fully connected"},
      {NTK_CONVENTION_NEURAL_TANGENTS, 0, "conv3(W=1.4) relu gap", "W other than 1"},
      {NTK_CONVENTION_NEURAL_TANGENTS, 0, "conv3(b=0.1) relu gap", "bias b"},
      {NTK_CONVENTION_NEURAL_TANGENTS, 0, "conv3 sum(id | relu conv3(gamma=1)) relu gap", "bias gamma"},
      {NTK_CONVENTION_NEURAL_TANGENTS, 0, "conv3 relu(c=1) gap", "relu with c = 2"},
      {NTK_CONVENTION_NEURAL_TANGENTS, 2, "conv3 relu conv3 conv3 relu gap", "all depths"},
      {(ntk_convention)7, 0, "conv3 relu gap", "no ntk_convention"},
  };
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    ntk_network *network = NULL;
    ntk_plan *plan = NULL;
    ntk_plan_options options = {.convention = cases[k].convention, .pools = pools, .depths = depths};
    options.pool_count = cases[k].sweep == 1, options.depth_count = cases[k].sweep == 2 ? 2 : 0;
    cr_assert_eq(ntk_network_parse(cases[k].text, &network), NTK_OK, "%s: %s", cases[k].text, ntk_last_error());
    const ntk_status want = ntk_convention_name(cases[k].convention) ? NTK_ERROR_NETWORK : NTK_ERROR_ARGUMENT;
    ntk_test_expect_failure(ntk_plan_create(network, square, &options, &plan), want, cases[k].word);
    ntk_network_free(network);
  }
}

/* The manifest says which; verification and resuming know it. */
Test(convention, stored) {
  char *folder = ntk_test_folder();
  ntk_dataset *rows = ntk_test_dataset_file(ntk_test_text("%s/rows.npy", folder), 900, small, 6);
  const char *path = ntk_test_text("%s/K.npy", folder);
  for (int convention = 0; convention < 5; convention++)
    for (int preset = 0; preset < 2; preset++) {
      const ntk_plan_options options = {.convention = (ntk_convention)convention};
      ntk_plan *plan = ntk_test_plan_with(preset ? "cntk-3-v" : "2*(conv3 relu) flatten", small, &options);
      const ntk_gram_options write = {.path = path, .overwrite = true}, resume = {.path = path, .resume = true};
      ntk_test_gram(NULL, plan, rows, NULL, write);
      ntk_verify_report report;
      cr_assert_eq(ntk_gram_verify(NULL, path, 20, 1, &report), NTK_OK, "%s", ntk_last_error());
      cr_expect_leq(report.max_relative_error, 1e-6, "convention %d", convention);
      const ntk_plan_options another = {.convention = (ntk_convention)(convention == 4 ? 3 : 4)};
      ntk_plan *other = ntk_test_plan_with(preset ? "cntk-3-v" : "2*(conv3 relu) flatten", small, &another);
      ntk_test_expect_failure(ntk_gram(NULL, other, rows, NULL, &resume, NULL), NTK_ERROR_MISMATCH, "convention");
      ntk_plan_free(plan), ntk_plan_free(other);
    }
  ntk_dataset_free(rows);
  ntk_test_remove_folder(folder);
}
