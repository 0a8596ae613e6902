/* Feature maps against the exact kernels: unbiased, with errors that fall as 1/sqrt(M), for every kind of layer; the
 * same bits in any batch; files that resume; bad input. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support_data.h"
#include "tests/support_gram.h"
#include "tests/support_kernel.h"

static ntk_features *new_features(const char *text, ntk_shape shape, ntk_features_options options) {
  ntk_network *network = NULL;
  ntk_features *features = NULL;
  cr_assert_eq(ntk_network_parse(text, &network), NTK_OK, "%s", ntk_last_error());
  cr_assert_eq(ntk_features_create(network, shape, &options, &features), NTK_OK, "%s: %s", text, ntk_last_error());
  ntk_network_free(network);
  return features;
}

static float *compute(ntk_context *context, const ntk_features *features, const double *x, int64_t n) {
  float *z = malloc((size_t)(n * ntk_features_dim(features)) * sizeof *z);
  cr_assert(z);
  cr_assert_eq(ntk_features_compute(context, features, x, n, z, NULL), NTK_OK, "%s", ntk_last_error());
  return z;
}

/* ---- errors */

enum { INPUTS = 6 };

typedef struct errors {
  double typical; /* mean relative Frobenius error of one map */
  double mean;    /* that of the mean of all maps */
} errors;

/* Inputs of length sqrt(size), some of them alike. */
static double *make_inputs(ntk_shape shape) {
  double *x = ntk_test_inputs(77, shape, INPUTS);
  const size_t size = ntk_test_size(shape);
  for (size_t i = 0; i < INPUTS; i++) {
    double square = 0;
    for (size_t k = 0; k < size; k++) {
      if (i % 3 == 0) x[i * size + k] += 0.7;
      square += x[i * size + k] * x[i * size + k];
    }
    for (size_t k = 0; k < size; k++) x[i * size + k] *= sqrt((double)size / square);
  }
  return x;
}

static errors measure(const char *text, ntk_shape shape, ntk_features_options options, int maps) {
  double *x = make_inputs(shape), product[INPUTS * INPUTS], mean[INPUTS * INPUTS] = {0}, norm = 0;
  ntk_plan *plan = ntk_test_plan(text, shape, options.kernel ? options.kernel : NTK_KERNEL_NTK, NTK_F64);
  double *exact = ntk_test_block(NULL, plan, x, INPUTS, NULL, 0);
  errors e = {0, 0};
  for (int k = 0; k < INPUTS * INPUTS; k++) norm += exact[k] * exact[k];
  for (int m = 0; m < maps; m++) {
    options.seed = (uint64_t)m + 1;
    ntk_features *features = new_features(text, shape, options);
    const int64_t dim = ntk_features_dim(features);
    float *z = compute(NULL, features, x, INPUTS);
    double square = 0;
    for (int k = 0; k < INPUTS * INPUTS; k++) {
      product[k] = 0;
      for (int64_t c = 0; c < dim; c++) product[k] += (double)z[k / INPUTS * dim + c] * (double)z[k % INPUTS * dim + c];
      mean[k] += product[k] / maps;
      square += pow(product[k] - exact[k], 2);
    }
    e.typical += sqrt(square / norm) / maps;
    free(z);
    ntk_features_free(features);
  }
  for (int k = 0; k < INPUTS * INPUTS; k++) e.mean += pow(mean[k] - exact[k], 2) / norm;
  e.mean = sqrt(e.mean);
  if (ntk_test_verbose())
    fprintf(stderr, "%-60s M = %5lld: %.4f, of the mean %.4f\n", text, (long long)options.dim, e.typical, e.mean);
  ntk_plan_free(plan);
  free(x), free(exact);
  return e;
}

/* The mean of many maps must be much nearer than a single one: nothing is counted twice, or missing. */
static void check_network(const char *text, ntk_shape shape, ntk_features_options options, double most) {
  enum { MAPS = 10 };
  if (options.dim == 0) options.dim = 2048;
  const errors e = measure(text, shape, options, MAPS);
  cr_expect(e.typical < most, "%s: typical error %.3f", text, e.typical);
  /* polynomials miss a part of the kernel, random features nothing */
  cr_expect(e.mean < (options.method == NTK_FEATURES_SKETCH ? 0.9 : 0.4) * most,
            "%s: error of the mean %.3f (typical %.3f)", text, e.mean, e.typical);
}

/* Two hidden layers as published: 0.14 for m = 512 and 0.059 for m = 2048 are typical (five repetitions). */
Test(features, connected_networks_as_published) {
  const ntk_shape shape = {10, 0, 0};
  const double want[3][2] = {{0.09, 0.044}, {0.14, 0.059}, {0.15, 0.069}};
  for (int layers = 1; layers <= 3; layers++)
    for (int large = 0; large < 2; large++) {
      const int64_t m = large ? 2048 : 512;
      const ntk_features_options options = {.plain = true, .dim = 2 * m, .sketch_dim = m};
      const errors e = measure(ntk_test_text("%d*(dense relu) dense", layers), shape, options, large ? 5 : 20);
      cr_expect(e.typical < 1.5 * want[layers - 1][large] && e.typical > 0.5 * want[layers - 1][large],
                "L = %d, m = %lld: %.3f", layers, (long long)m, e.typical);
    }
}

static void check_slope(const char *text, ntk_shape shape, ntk_features_options options, int maps) {
  double error[2];
  for (int k = 0; k < 2; k++) {
    options.dim = k ? 2048 : 256;
    error[k] = measure(text, shape, options, maps).typical;
  }
  const double slope = log(error[1] / error[0]) / log(8.0);
  cr_expect(slope < -0.4 && slope > -0.85, "%s: slope %.2f (%.3f to %.3f)", text, slope, error[0], error[1]);
}

/* The published maps. Where patches are folded into few columns errors fall faster at first. */
Test(features, errors_fall_as_one_over_the_root) {
  const ntk_shape vector = {10, 0, 0}, image = {3, 8, 8};
  check_slope("2*(dense relu) dense", vector, (ntk_features_options){.plain = true}, 16);
  check_slope("2*(conv3 relu) gap", image, (ntk_features_options){.plain = true}, 64);
  check_slope("2*(conv3 relu) gap", image, (ntk_features_options){.plain = true, .kernel = NTK_KERNEL_NNGP}, 24);
  check_slope("2*(conv3 relu) gap", image, (ntk_features_options){.plain = true, .method = NTK_FEATURES_SKETCH}, 12);
}

/* What is taken exactly needs no features: at the same M the errors are smaller. */
static void check_better(const char *text, ntk_shape shape, ntk_features_options options, double most) {
  options.dim = 2048;
  const double split = measure(text, shape, options, 12).typical;
  options.plain = true;
  const double plain = measure(text, shape, options, 12).typical;
  cr_expect(split < most * plain, "%s: %.4f, the published map %.4f", text, split, plain);
}

Test(features, exact_parts_lower_the_error) {
  const ntk_shape vector = {10, 0, 0}, image = {3, 8, 8};
  check_better("2*(dense relu) dense", vector, (ntk_features_options){0}, 0.75);
  check_better("dense leaky(0.2) dense", vector, (ntk_features_options){.sampling = NTK_SAMPLING_LEVERAGE}, 0.75);
  check_better("2*(conv3 relu) gap", image, (ntk_features_options){0}, 0.75);
  check_better("2*(conv3 relu) gap", image, (ntk_features_options){.kernel = NTK_KERNEL_NNGP}, 0.6);
}

/* Every kind of layer that the exact engine knows. */
Test(features, networks) {
  const ntk_shape image = {3, 8, 8}, odd = {2, 9, 7};
  const ntk_features_options ntk = {0}, nngp = {.kernel = NTK_KERNEL_NNGP, .dim = 1024};
  check_network("3*(conv3 relu) flatten", image, ntk, 0.15);
  check_network("3*(conv3 relu) flatten", image, nngp, 0.15);
  check_network("conv3(gamma=3) relu conv3(gamma=3) relu lap(2)", image, ntk, 0.15);
  check_network("conv3(W=1.2, b=0.3) relu conv5x3(W=1.4, b=0.2) relu gap dense(W=1.3, b=0.3)", odd, ntk, 0.15);
  check_network("conv3(fixed) relu 2*(conv3 relu) gap dense(fixed)", image, ntk, 0.15);
  check_network("conv3 relu conv3(fixed, b=0.4) relu avgpool2 conv1(b=0.3) relu gap dense(b=0.2)", image, ntk, 0.15);
  check_network("conv3 sum(id | relu conv3 relu conv3) relu sum(conv1(stride=2) | conv3(stride=2) relu conv3) relu gap",
                image, ntk, 0.25);
  check_network(
      "conv3(circular) relu conv3(same, stride=2) relu avgpool3(same, normalized, stride=2) conv3 relu "
      "lap(1, circular) dense relu dense",
      odd, ntk, 0.25);
  check_network("conv3(valid) relu conv3(valid, stride=2) relu lap(12)", odd, ntk, 0.15);
  check_network("conv3(width=3) relu conv3(width=50, b=0.3) relu flatten dense(width=70)", (ntk_shape){3, 6, 6}, ntk,
                0.2);
  check_network("conv3 conv3 relu conv3 avgpool2 conv1 relu gap dense dense", image, ntk, 0.2);
  check_network("dense(fixed) relu 2*(dense(b=0.3) relu) dense(b=0.1)", (ntk_shape){12, 0, 0}, ntk, 0.2);
  check_network("dense sum(dense relu dense | id) relu dense", (ntk_shape){12, 0, 0}, ntk, 0.2);
  check_network("resnet-8", image, ntk, 0.4);
  check_network("cntk-4-gap", image, ntk, 0.15);
  check_network("uci-2-1", (ntk_shape){12, 0, 0}, ntk, 0.15);
}

Test(features, activations) {
  const ntk_shape shape = {12, 0, 0};
  static const char *const units[] = {"leaky(0.3)",
                                      "abrelu(-0.5, 1.2)",
                                      "abs",
                                      "erf",
                                      "gelu",
                                      "sin(a=1.2, b=0.8)",
                                      "cos",
                                      "rbf(gamma=0.3)",
                                      "exp(b=0.3)",
                                      "sign",
                                      "hermite(2)",
                                      "monomial(2)",
                                      "series(0.3, 0.5, 0.2)",
                                      "tanh",
                                      "sigmoid",
                                      "silu",
                                      "softplus",
                                      "elu",
                                      "selu",
                                      "expnorm(g=0.7)"};
  for (size_t k = 0; k < sizeof units / sizeof *units; k++) {
    check_network(ntk_test_text("dense %s dense", units[k]), shape, (ntk_features_options){.dim = 4096}, 0.2);
    check_network(ntk_test_text("dense %s dense", units[k]), shape,
                  (ntk_features_options){.dim = 2048, .kernel = NTK_KERNEL_NNGP}, 0.2);
  }
}

Test(features, sketches) {
  const ntk_shape image = {3, 8, 8};
  for (int kind = NTK_SKETCH_FOURIER; kind <= NTK_SKETCH_COUNT; kind++)
    check_network("conv3 relu conv3 relu gap", image, (ntk_features_options){.sketch = (ntk_sketch)kind}, 0.1);
  const ntk_features_options sketch = {.method = NTK_FEATURES_SKETCH};
  check_network("2*(dense relu) dense", (ntk_shape){10, 0, 0}, sketch, 0.12);
  check_network("2*(conv3 relu) gap", image, sketch, 0.08);
  check_network("conv3(b=0.2) leaky(0.2) avgpool2 conv3 expnorm flatten dense abs dense", image, sketch, 0.15);
  check_network("dense sign dense", (ntk_shape){10, 0, 0}, sketch, 0.15);
  check_network("2*(conv3 relu) gap", image,
                (ntk_features_options){.method = NTK_FEATURES_SKETCH, .kernel = NTK_KERNEL_NNGP}, 0.05);
}

/* <b, b> has the mean (L + 1) |x|^2 / d. */
Test(features, diagonal) {
  const ntk_shape shape = {10, 0, 0};
  double *x = make_inputs(shape);
  for (int layers = 1; layers <= 3; layers++) {
    ntk_features *f = new_features(ntk_test_text("%d*(dense relu) dense", layers), shape,
                                   (ntk_features_options){.dim = 8192, .seed = 3});
    float *z = compute(NULL, f, x, INPUTS);
    for (int i = 0; i < INPUTS; i++) {
      double square = 0;
      for (int64_t k = 0; k < 8192; k++) square += pow((double)z[i * 8192 + k], 2);
      cr_expect(fabs(square / (layers + 1) - 1) < 0.15, "L = %d: %g", layers, square);
    }
    free(z);
    ntk_features_free(f);
  }
  free(x);
}

/* ---- leverage scores */

/* Mean and variance of one order-1 feature's product over seeds; d = 5. */
static void moments(ntk_sampling sampling, double *mean, double *variance, double *want) {
  enum { SEEDS = 3000, DIM = 8 };
  const ntk_shape shape = {5, 0, 0};
  double *x = ntk_test_inputs(21, shape, 2), sum = 0, squares = 0;
  ntk_plan *plan = ntk_test_plan("dense relu dense", shape, NTK_KERNEL_NNGP, NTK_F64);
  double *exact = ntk_test_block(NULL, plan, x, 2, NULL, 0);
  for (uint64_t seed = 0; seed < SEEDS; seed++) {
    ntk_features *f =
        new_features("dense relu dense", shape,
                     (ntk_features_options){
                         .kernel = NTK_KERNEL_NNGP, .plain = true, .dim = DIM, .seed = seed, .sampling = sampling});
    float *z = compute(NULL, f, x, 2);
    for (int k = 0; k < DIM; k++) { /* DIM independent features */
      const double value = DIM * (double)z[k] * (double)z[DIM + k];
      sum += value, squares += value * value;
    }
    free(z);
    ntk_features_free(f);
  }
  *mean = sum / (SEEDS * DIM), *variance = squares / (SEEDS * DIM) - *mean * *mean, *want = exact[1];
  const double error = sqrt(*variance / (SEEDS * DIM));
  const double bias =
      sampling == NTK_SAMPLING_GIBBS ? 0.05 * fabs(*want) : 0; /* one sweep is not the stationary density */
  cr_expect(fabs(*mean - *want) < 4 * error + bias, "sampling %d: %g +- %g, not %g", (int)sampling, *mean, error,
            *want);
  ntk_plan_free(plan);
  free(x), free(exact);
}

Test(features, leverage_lowers_the_variance) {
  double mean, gaussian, leverage, gibbs, want;
  moments(NTK_SAMPLING_GAUSSIAN, &mean, &gaussian, &want);
  moments(NTK_SAMPLING_LEVERAGE, &mean, &leverage, &want);
  moments(NTK_SAMPLING_GIBBS, &mean, &gibbs, &want);
  if (ntk_test_verbose()) fprintf(stderr, "variance %g, leverage %g, gibbs %g\n", gaussian, leverage, gibbs);
  cr_expect(leverage < 0.85 * gaussian && gibbs < 0.9 * gaussian, "%g, %g, %g", gaussian, leverage, gibbs);
}

/* ---- invariance */

static void check_batches(const char *text, ntk_shape shape, ntk_features_options options) {
  enum { COUNT = 37 };
  double *x = ntk_test_inputs(5, shape, COUNT);
  const size_t size = ntk_test_size(shape);
  for (const char *const *isa = ntk_test_isas; *isa; isa++) {
    ntk_context *context = ntk_test_context(*isa);
    if (!context) continue;
    ntk_features *f = new_features(text, shape, options), *again = new_features(text, shape, options);
    const size_t dim = (size_t)ntk_features_dim(f);
    float *all = compute(context, f, x, COUNT);
    cr_assert_eq(ntk_context_set_threads(context, 3), NTK_OK);
    float *three = compute(context, again, x, COUNT);
    cr_expect(memcmp(all, three, COUNT * dim * sizeof *all) == 0, "%s: threads or the second map change bits", text);
    for (size_t i = 0; i < COUNT; i += 9) {
      float *one = compute(context, f, x + i * size, 1);
      cr_expect(memcmp(all + i * dim, one, dim * sizeof *all) == 0, "%s, %s: input %zu alone has other bits", text,
                *isa, i);
      free(one);
    }
    free(all), free(three);
    ntk_features_free(f), ntk_features_free(again);
    ntk_context_free(context);
  }
  free(x);
}

Test(features, same_bits_in_any_batch) {
  check_batches("2*(dense relu) dense", (ntk_shape){30, 0, 0}, (ntk_features_options){.dim = 300});
  check_batches("conv3 relu avgpool2 conv3 gelu gap", (ntk_shape){2, 7, 6}, (ntk_features_options){.dim = 200});
  check_batches("conv3 relu conv3 relu flatten", (ntk_shape){2, 5, 6},
                (ntk_features_options){.method = NTK_FEATURES_SKETCH, .dim = 200});
  check_batches("conv3 relu conv3 relu lap(1)", (ntk_shape){2, 5, 6},
                (ntk_features_options){.sketch = NTK_SKETCH_COUNT, .dim = 200});
  /* so many pixels that images take turns in the layers before the pooling */
  check_batches("conv3 relu conv3 relu avgpool2 conv3 relu gap dense relu dense", (ntk_shape){2, 17, 18},
                (ntk_features_options){.dim = 80});
  check_batches("conv3(b=0.3) sum(id | relu conv3) relu avgpool2 conv3 relu flatten", (ntk_shape){1, 16, 18},
                (ntk_features_options){.dim = 60});
}

/* What maps are said to cost: a product of known size, everything linear in the pixels, and tables of a sketch, which
 * multiplies by no matrix. */
Test(features, cost) {
  ntk_features *map = new_features("dense relu dense", (ntk_shape){10, 0, 0}, (ntk_features_options){.dim = 64});
  const ntk_features_options used = ntk_features_used(map);
  const double entries = 10.0 * (double)(64 - used.sketch_dim + used.order0_dim);
  ntk_features_cost cost = ntk_features_cost_of(map);
  cr_assert_float_eq(cost.product_flops, 2 * entries, 1e-9);
  cr_assert((double)cost.random_bytes > 4 * entries && (double)cost.random_bytes < 4 * entries + 4096, "%lld bytes",
            (long long)cost.random_bytes);
  ntk_features_free(map);
  for (int method = 0; method < 2; method++) {
    ntk_features_cost costs[2];
    for (int k = 0; k < 2; k++) {
      map = new_features("conv3 relu avgpool2 conv3 relu gap", (ntk_shape){2, 8, 8 << k},
                         (ntk_features_options){.method = (ntk_feature_method)method, .dim = 64});
      costs[k] = ntk_features_cost_of(map);
      ntk_features_free(map);
    }
    cr_assert_float_eq(costs[1].product_flops, 2 * costs[0].product_flops, 1e-9);
    cr_assert_float_eq(costs[1].transform_flops, 2 * costs[0].transform_flops, 1e-9);
    cr_assert_float_eq(costs[1].sum_flops, 2 * costs[0].sum_flops, 1e-9);
    cr_assert((costs[0].product_flops > 0) == (method == NTK_FEATURES_RANDOM) && costs[0].transform_flops > 0);
    cr_assert(costs[0].random_bytes > 1000 && costs[1].random_bytes < 2 * costs[0].random_bytes);
  }
}

/* Instruction sets differ by rounding, and where a unit is so near 0 that its sign does. */
Test(features, instruction_sets_agree) {
  const ntk_shape shape = {2, 7, 6};
  double *x = ntk_test_inputs(5, shape, 20);
  ntk_features *f = new_features("conv3 relu avgpool2 conv3 relu gap", shape, (ntk_features_options){.dim = 300});
  float *want = NULL;
  for (const char *const *isa = ntk_test_isas; *isa; isa++) {
    ntk_context *context = ntk_test_context(*isa);
    if (!context) continue;
    float *z = compute(context, f, x, 20);
    double worst = 0, norm = 0;
    for (int k = 0; k < 20 * 300 && want; k++)
      worst = fmax(worst, fabs((double)(z[k] - want[k]))), norm += pow((double)want[k], 2) / 20;
    if (want) cr_expect(worst < 1e-4 * sqrt(norm), "%s: %g of %g", *isa, worst, sqrt(norm));
    if (want)
      free(z);
    else
      want = z;
    ntk_context_free(context);
  }
  free(want), free(x);
  ntk_features_free(f);
}

/* ---- files */

static char *folder;
static void setup(void) { folder = ntk_test_folder(); }
static void teardown(void) { ntk_test_remove_folder(folder); }
TestSuite(feature_files, .init = setup, .fini = teardown);

/* Stops after the first block. */
static void stop(const ntk_progress *progress, void *context) {
  if (progress->done > 0) ntk_context_cancel(context);
}

Test(feature_files, resume_to_the_same_bytes) {
  enum { ROWS = 1200 };
  const ntk_shape shape = {6, 0, 0};
  ntk_dataset *data = ntk_test_dataset(600, shape, ROWS);
  ntk_features *f = new_features("2*(dense relu) dense", shape, (ntk_features_options){.dim = 700});
  const char *whole = ntk_test_text("%s/whole.npy", folder), *parts = ntk_test_text("%s/parts.npy", folder);
  ntk_features_report report;
  cr_assert_eq(ntk_features_write(NULL, f, data, &(ntk_features_write_options){.path = whole}, &report), NTK_OK);
  cr_expect(report.rows == ROWS && report.rows_computed == ROWS && report.rows_resumed == 0);
  ntk_context *context = ntk_test_context("auto");
  ntk_context_set_progress(context, stop, context);
  cr_assert_eq(ntk_context_set_memory(context, 16 << 20), NTK_OK); /* two blocks at a time */
  ntk_test_expect_failure(ntk_features_write(context, f, data, &(ntk_features_write_options){.path = parts}, &report),
                          NTK_ERROR_INTERRUPTED, "");
  cr_expect(report.rows_computed > 0 && report.rows_computed < ROWS);
  ntk_context_free(context);
  /* without resume an existing file is refused; with another seed it is another map */
  ntk_test_expect_failure(ntk_features_write(NULL, f, data, &(ntk_features_write_options){.path = parts}, NULL),
                          NTK_ERROR_ARGUMENT, "parts.npy");
  ntk_features *other = new_features("2*(dense relu) dense", shape, (ntk_features_options){.dim = 700, .seed = 1});
  ntk_test_expect_failure(
      ntk_features_write(NULL, other, data, &(ntk_features_write_options){.path = parts, .resume = true}, NULL),
      NTK_ERROR_MISMATCH, "features");
  ntk_features_free(other);
  cr_assert_eq(ntk_features_write(NULL, f, data, &(ntk_features_write_options){.path = parts, .resume = true}, &report),
               NTK_OK, "%s", ntk_last_error());
  cr_expect(report.rows_resumed > 0 && report.rows_resumed + report.rows_computed == ROWS);
  size_t a, b;
  unsigned char *one = ntk_test_read_file(whole, &a), *two = ntk_test_read_file(parts, &b);
  cr_expect(a == b && memcmp(one, two, a) == 0);
  free(one), free(two);
  /* what is stored is what memory gives */
  double *x = ntk_test_records(data), *stored;
  float *z = compute(NULL, f, x, ROWS);
  ntk_npy_info info;
  cr_assert_eq(ntk_npy_read_f64(whole, &info, &stored), NTK_OK);
  cr_assert(info.rank == 2 && info.shape[0] == ROWS && info.shape[1] == 700);
  for (int64_t k = 0; k < ROWS * 700; k++) cr_assert((float)stored[k] == z[k]);
  ntk_npy_free(stored);
  free(x), free(z);
  ntk_verify_report verified;
  ntk_test_expect_failure(ntk_gram_verify(NULL, whole, 5, 0, &verified), NTK_ERROR_ARGUMENT, "features");
  ntk_features_free(f);
  ntk_dataset_free(data);
}

/* ---- bad input */

static void expect_refused(const char *text, ntk_shape shape, ntk_features_options options, ntk_status want,
                           const char *word) {
  ntk_network *network = NULL;
  ntk_features *f = NULL;
  cr_assert_eq(ntk_network_parse(text, &network), NTK_OK, "%s", ntk_last_error());
  ntk_test_expect_failure(ntk_features_create(network, shape, &options, &f), want, word);
  ntk_network_free(network);
}

Test(features, refused) {
  const ntk_shape vector = {4, 0, 0}, image = {1, 4, 4};
  expect_refused("dense gelu dense", vector, (ntk_features_options){.sampling = NTK_SAMPLING_LEVERAGE},
                 NTK_ERROR_UNSUPPORTED, "layer 2");
  expect_refused("dense erf dense", vector, (ntk_features_options){.method = NTK_FEATURES_SKETCH},
                 NTK_ERROR_UNSUPPORTED, "rf");
  expect_refused("dense relu dense", vector, (ntk_features_options){.dim = 4}, NTK_ERROR_ARGUMENT, "dimension");
  expect_refused("dense relu dense", vector, (ntk_features_options){.dim = 64, .sketch_dim = 63}, NTK_ERROR_ARGUMENT,
                 "sketch");
  expect_refused("dense relu dense", vector, (ntk_features_options){.kernel = NTK_KERNEL_BOTH}, NTK_ERROR_ARGUMENT,
                 "one kernel");
  expect_refused("dense relu dense", vector, (ntk_features_options){.degree = 33}, NTK_ERROR_ARGUMENT, "degree");
  expect_refused("conv7(valid) relu gap", image, (ntk_features_options){0}, NTK_ERROR_NETWORK, "conv7");
  expect_refused("conv3 relu gap", vector, (ntk_features_options){0}, NTK_ERROR_NETWORK, "images");
  ntk_test_expect_failure(ntk_features_create(NULL, vector, NULL, NULL), NTK_ERROR_ARGUMENT, "NULL");

  ntk_features *f = new_features("2*(dense relu) dense", vector, (ntk_features_options){0});
  float *z = malloc(1024 * sizeof *z);
  double x[] = {1, NAN, 0, 2};
  ntk_features *steep = new_features("dense exp(b=300) dense", vector, (ntk_features_options){0});
  double far[] = {9, 9, 9, 9};
  ntk_test_expect_failure(ntk_features_compute(NULL, steep, far, 1, z, NULL), NTK_ERROR_NETWORK, "range of float32");
  ntk_features_free(steep);
  ntk_test_expect_failure(ntk_features_compute(NULL, f, x, 1, z, NULL), NTK_ERROR_DATA, "not finite");
  ntk_test_expect_failure(ntk_features_compute(NULL, f, x, 0, z, NULL), NTK_ERROR_ARGUMENT, "");
  ntk_context *small = ntk_test_context("auto");
  cr_assert_eq(ntk_context_set_memory(small, 16 << 20), NTK_OK);
  ntk_features *large = new_features("2*(dense relu) dense", vector, (ntk_features_options){.dim = 8192});
  ntk_test_expect_failure(ntk_features_compute(small, large, x, 1, z, NULL), NTK_ERROR_MEMORY, "raise --memory");
  ntk_context_cancel(small);
  x[1] = 0;
  ntk_test_expect_failure(ntk_features_compute(small, f, x, 1, z, NULL), NTK_ERROR_INTERRUPTED, "");
  ntk_context_free(small);
  ntk_features_free(f), ntk_features_free(large);
  ntk_dataset *data = ntk_test_dataset(600, image, 3);
  f = new_features("dense relu dense", vector, (ntk_features_options){0});
  ntk_test_expect_failure(ntk_features_write(NULL, f, data, &(ntk_features_write_options){.path = "/tmp/no.npy"}, NULL),
                          NTK_ERROR_ARGUMENT, "1 x 4 x 4");
  ntk_features_free(f);
  ntk_dataset_free(data);
  free(z);
}

/* A network without activations has an exact map of few columns; one without trained layers the kernel 0. */
Test(features, degenerate_networks) {
  const ntk_shape vector = {4, 0, 0};
  double *x = ntk_test_inputs(3, vector, 2);
  ntk_features *f = new_features("dense dense", vector, (ntk_features_options){0});
  cr_expect_eq(ntk_features_dim(f), 8);
  float *z = compute(NULL, f, x, 2);
  double product = 0, want = 0;
  for (int k = 0; k < 8; k++) product += (double)z[k] * (double)z[8 + k];
  for (int k = 0; k < 4; k++) want += 2 * x[k] * x[4 + k] / 4;
  cr_expect(fabs(product - want) < 1e-6);
  free(z);
  ntk_features_free(f);
  f = new_features("dense(fixed) relu dense(fixed)", vector, (ntk_features_options){0});
  cr_expect_eq(ntk_features_dim(f), 1);
  z = compute(NULL, f, x, 2);
  cr_expect(z[0] == 0 && z[1] == 0);
  free(z), free(x);
  ntk_features_free(f);
}
