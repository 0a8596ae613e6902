/* Averages over mirror images: their values, which networks allow them, the augmentation theorem, files. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/gram/plan.h"
#include "tests/oracle.h"
#include "tests/support_data.h"
#include "tests/support_gram.h"
#include "tests/support_kernel.h"
#include "tests/support_net.h"

static const struct {
  const char *text;
  ntk_shape shape;
} networks[] = {
    {"3*(conv3 relu) gap", {3, 6, 7}},
    {"2*(conv3(b=0.3) relu) flatten", {1, 6, 8}},
    {"2*(conv5(circular) relu) lap(1)", {2, 5, 6}},
    {"2*(conv3 relu) lap(2)", {14, 4, 5}},
    {"cntk-3-v", {3, 5, 4}},
    {"2*(dense(b=0.1) relu) dense", {2, 4, 5}},
    {"flatten dense relu dense", {1, 1, 9}},
};
enum { NETWORKS = sizeof networks / sizeof *networks };

static ntk_plan *flip_plan(const char *text, ntk_shape shape, ntk_precision precision, ntk_flip flip) {
  return ntk_test_plan_with(text, shape,
                            &(ntk_plan_options){.kernels = NTK_KERNEL_BOTH, .precision = precision, .flip = flip});
}

/* The mirror images of `count` images. */
static double *mirrored(const double *x, ntk_shape s, int count) {
  double *out = malloc((size_t)count * ntk_test_size(s) * sizeof *out);
  cr_assert(out);
  for (int64_t row = 0; row < count * s.channels * s.height; row++)
    for (int64_t j = 0; j < s.width; j++) out[row * s.width + j] = x[row * s.width + s.width - 1 - j];
  return out;
}

/* ---- values */

/* Two 8 x 8 images of oracle_image, GAP in Arora's normalisation: the numbers of an independent implementation. */
Test(flip, check_values) {
  const ntk_shape shape = {3, 8, 8};
  double x[192], z[192];
  oracle_image(0, 3, 8, 8, x);
  oracle_image(1, 3, 8, 8, z);
  for (int precision = NTK_F32; precision <= NTK_F64; precision++) {
    ntk_plan *plan = flip_plan("2*(conv3 relu) gap", shape, (ntk_precision)precision, NTK_FLIP_BOTH);
    double *values = ntk_test_block(NULL, plan, x, 1, z, 1);
    const double bound = precision == NTK_F64 ? 2e-10 : 1e-6;
    cr_expect(ntk_test_error(3 * values[0], 0.7776183745) <= bound, "plain: %.12g", 3 * values[0]);
    cr_expect(ntk_test_error(3 * values[1], 0.7541208800) <= bound, "flipped: %.12g", 3 * values[1]);
    free(values);
    ntk_plan_free(plan);
  }
}

Test(flip, order_and_names) {
  static const int depths[] = {2, 1}, pools[] = {0, 4};
  const ntk_plan_options options = {.kernels = NTK_KERNEL_BOTH,
                                    .depths = depths,
                                    .depth_count = 2,
                                    .pools = pools,
                                    .pool_count = 2,
                                    .flip = NTK_FLIP_BOTH};
  ntk_plan *plan = ntk_test_plan_with("2*(conv3 relu) gap", (ntk_shape){1, 6, 6}, &options);
  cr_assert_eq(ntk_plan_output_count(plan), 16);
  for (int k = 0; k < 16; k++) {
    const ntk_output o = ntk_plan_output(plan, (size_t)k);
    const char *want =
        ntk_test_text("%s-depth%d-lap%d%s", k & 2 ? "nngp" : "ntk", k < 8 ? 2 : 1, k & 4 ? 4 : 0, k & 1 ? "-flip" : "");
    cr_expect_str_eq(o.name, want);
    cr_expect(o.flip == (k & 1) && o.kernel == (k & 2 ? NTK_KERNEL_NNGP : NTK_KERNEL_NTK));
    cr_expect(o.depth == (k < 8 ? 2 : 1) && o.pool == (k & 4 ? 4 : 0));
  }
  ntk_plan_free(plan);
  plan = flip_plan("2*(conv3 relu) gap", (ntk_shape){1, 6, 6}, NTK_F32, NTK_FLIP_AVERAGE);
  cr_assert_eq(ntk_plan_output_count(plan), 2);
  cr_expect_str_eq(ntk_plan_output(plan, 0).name, "ntk-flip");
  cr_expect_str_eq(ntk_plan_output(plan, 1).name, "nngp-flip");
  const double twice = ntk_plan_cost(plan).entry_layers;
  ntk_plan_free(plan);
  plan = flip_plan("2*(conv3 relu) gap", (ntk_shape){1, 6, 6}, NTK_F32, NTK_FLIP_PLAIN);
  cr_expect_eq(twice, 2 * ntk_plan_cost(plan).entry_layers);
  ntk_plan_free(plan);
}

/* The average of two evaluations of a plan without flips, bit for bit; the plain outputs of `both` too. */
Test(flip, average_of_two_evaluations) {
  enum { ROWS = 5, COLUMNS = 4, PAIRS = ROWS * COLUMNS };
  for (int k = 0; k < 2 * NETWORKS; k++) {
    const ntk_shape shape = networks[k / 2].shape;
    const char *text = networks[k / 2].text;
    double *x = ntk_test_inputs(800, shape, ROWS), *z = ntk_test_inputs(801, shape, COLUMNS);
    double *fx = mirrored(x, shape, ROWS);
    memcpy(z, fx, ntk_test_size(shape) * sizeof *z); /* float32 cannot resolve K(Fx,z) of this pair, but K(x,z) */
    z[0] += 1e-5;
    ntk_plan *plain = flip_plan(text, shape, (ntk_precision)(k % 2), NTK_FLIP_PLAIN);
    ntk_plan *average = flip_plan(text, shape, (ntk_precision)(k % 2), NTK_FLIP_AVERAGE);
    ntk_plan *both = flip_plan(text, shape, (ntk_precision)(k % 2), NTK_FLIP_BOTH);
    double *a = ntk_test_block(NULL, plain, x, ROWS, z, COLUMNS);
    double *b = ntk_test_block(NULL, plain, fx, ROWS, z, COLUMNS);
    double *got = ntk_test_block(NULL, average, x, ROWS, z, COLUMNS);
    double *two = ntk_test_block(NULL, both, x, ROWS, z, COLUMNS);
    for (int o = 0; o < 2; o++)
      for (int n = 0; n < PAIRS; n++) {
        const int at = o * PAIRS + n;
        cr_expect_eq(got[at], (a[at] + b[at]) / 2, "%s: pair %d: %.17g", text, n, got[at]);
        cr_expect_eq(two[2 * o * PAIRS + n], a[at], "%s: pair %d, plain", text, n);
        cr_expect_eq(two[(2 * o + 1) * PAIRS + n], got[at], "%s: pair %d, both", text, n);
      }
    free(a), free(b), free(got), free(two), free(x), free(fx), free(z);
    ntk_plan_free(plain), ntk_plan_free(average), ntk_plan_free(both);
  }
}

/* Symmetric to the last bit; mirrored rows, columns or both change nothing but rounding; the diagonal. */
Test(flip, symmetries) {
  enum { N = 6 };
  for (int k = 0; k < 2 * NETWORKS; k++) {
    const ntk_shape shape = networks[k / 2].shape;
    const char *text = networks[k / 2].text;
    const double bound = k % 2 ? 1e-13 : 1e-6;
    ntk_plan *plan = flip_plan(text, shape, (ntk_precision)(k % 2), NTK_FLIP_BOTH);
    double *x = ntk_test_inputs(802, shape, N), *fx = mirrored(x, shape, N), *blocks[4];
    for (int b = 0; b < 4; b++) blocks[b] = ntk_test_block(NULL, plan, b & 1 ? fx : x, N, b & 2 ? fx : x, N);
    double *square = ntk_test_block(NULL, plan, x, N, NULL, 0), diagonal[4][N];
    double *out[] = {diagonal[0], diagonal[1], diagonal[2], diagonal[3]};
    cr_assert_eq(ntk_plan_diagonal(NULL, plan, x, N, out), NTK_OK);
    for (int o = 0; o < 4; o++)
      for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
          const int at = (o * N + i) * N + j;
          cr_expect_eq(square[at], square[(o * N + j) * N + i], "%s: (%d, %d)", text, i, j);
          if (i == j) cr_expect_eq(diagonal[o][i], square[at], "%s: diagonal %d of output %d", text, i, o);
          cr_expect(ntk_test_error(blocks[3][at], blocks[0][at]) <= bound, "%s: both mirrored", text);
          cr_expect(ntk_test_error(blocks[0][at], square[at]) <= bound, "%s: (%d, %d) alone", text, i, j);
          for (int b = 1; b < 3 && o % 2; b++)
            cr_expect(ntk_test_error(blocks[b][at], blocks[0][at]) <= bound, "%s: %s mirrored", text,
                      b & 1 ? "x" : "z");
        }
    for (int b = 0; b < 4; b++) free(blocks[b]);
    free(x), free(fx), free(square);
    ntk_plan_free(plan);
  }
}

/* ---- which networks a mirror commutes with */

static bool commutes_by_oracle(const char *text, ntk_shape shape) {
  double *x = ntk_test_inputs(803, shape, 2), *fx = mirrored(x, shape, 2);
  const size_t size = ntk_test_size(shape);
  long double a[2], b[2];
  ntk_test_oracle_text(text, shape, x, x + size, &a[0], &a[1]);
  ntk_test_oracle_text(text, shape, fx, fx + size, &b[0], &b[1]);
  free(x), free(fx);
  return fabsl(a[0] - b[0]) <= 1e-15L * fabsl(a[0]) && fabsl(a[1] - b[1]) <= 1e-15L * fabsl(a[1]);
}

/* The verdict on every width against the brute force, whose values tell. */
Test(flip, refused_where_mirrors_do_not_commute) {
  static const char *const texts[] = {
      "conv3 relu flatten",
      "conv3x5(circular) relu gap",
      "conv3(valid) relu flatten",
      "conv3(same) relu flatten",
      "conv3(stride=2) relu flatten",
      "conv3(stride=2, same) relu flatten",
      "conv3(stride=2, valid) relu flatten",
      "conv3(stride=3) relu flatten",
      "conv5(stride=2, same) relu gap",
      "conv1(stride=2) relu gap",
      "conv3(stride=2, circular) relu flatten",
      "conv3 relu avgpool2 flatten",
      "conv3 relu avgpool3 flatten",
      "conv3 relu avgpool3(stride=2) flatten",
      "conv3 relu avgpool2(stride=1, same) flatten",
      "conv3 relu avgpool3(stride=2, same) gap",
      "conv3 relu avgpool3(stride=2, same, normalized) flatten",
      "conv3 relu avgpool2(circular) conv3 relu flatten",
      "conv3 sum(id | relu conv3) relu flatten",
      "conv3 relu sum(conv1(stride=2) | conv3(stride=2) relu conv3) relu flatten",
      "conv3 relu sum(conv1(stride=2, same) | conv3(stride=2, same) relu conv3) relu flatten",
      "conv3 relu sum(conv1(stride=2, valid) | conv3(stride=2) relu conv3) relu lap(1)",
  };
  int accepted = 0, refused = 0;
  for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
    for (int width = 5; width <= 10; width++) {
      const ntk_shape shape = {1, 6, width};
      ntk_network *network = NULL;
      cr_assert_eq(ntk_network_parse(texts[k], &network), NTK_OK, "%s: %s", texts[k], ntk_last_error());
      if (ntk_network_check(network, shape) == NTK_OK) {
        const ntk_status status = ntk_plan_check_mirror(network, shape);
        const bool commutes = commutes_by_oracle(texts[k], shape);
        accepted += commutes, refused += !commutes;
        cr_expect_eq(status == NTK_OK, commutes, "%s, width %d: %s", texts[k], width,
                     commutes ? ntk_last_error() : "accepted");
        if (!commutes) cr_expect(status == NTK_ERROR_NETWORK && strstr(ntk_last_error(), "layer "));
      }
      ntk_network_free(network);
    }
  cr_expect(accepted > 30 && refused > 30, "%d accepted, %d refused", accepted, refused);
}

static void expect_refused(const char *text, ntk_shape shape, int flip, ntk_status want, const char *word) {
  ntk_network *network = NULL;
  ntk_plan *plan = NULL;
  cr_assert_eq(ntk_network_parse(text, &network), NTK_OK);
  const ntk_plan_options options = {.flip = (ntk_flip)flip};
  ntk_test_expect_failure(ntk_plan_create(network, shape, &options, &plan), want, word);
  cr_expect_null(plan);
  ntk_network_free(network);
}

Test(flip, refused) {
  expect_refused("dense relu dense", (ntk_shape){12, 0, 0}, NTK_FLIP_AVERAGE, NTK_ERROR_ARGUMENT, "no mirror image");
  expect_refused("dense relu dense", (ntk_shape){12, 0, 0}, NTK_FLIP_BOTH, NTK_ERROR_ARGUMENT, "no mirror image");
  expect_refused("conv3 relu gap", (ntk_shape){1, 4, 4}, 3, NTK_ERROR_ARGUMENT, "no ntk_flip");
  expect_refused("conv3 relu gap", (ntk_shape){1, 4, 4}, -1, NTK_ERROR_ARGUMENT, "no ntk_flip");
}

/* ---- the augmentation theorem */

enum { TRAIN = 24, TEST_COUNT = 10, CLASSES = 3, AUGMENTED = 2 * TRAIN };

static ntk_regress_result solve(const double *train, const double *test, int n, const int32_t *labels, double ridge) {
  const ntk_regress_problem problem = {.train_count = n,
                                       .test_count = TEST_COUNT,
                                       .classes = CLASSES,
                                       .train_kernel = train,
                                       .test_kernel = test,
                                       .train_labels = labels};
  const ntk_regress_options options = {.ridge = ridge};
  ntk_regress_result result;
  cr_assert_eq(ntk_regress(NULL, &problem, &options, &result), NTK_OK, "%s", ntk_last_error());
  return result;
}

/* Regression with K_flip on N images predicts what K does on these and their mirror images, with twice the ridge. */
static void check_theorem(const char *text, ntk_shape shape, const double *x, const double *z, const int32_t *labels) {
  const size_t size = ntk_test_size(shape);
  ntk_plan *plain = ntk_test_plan(text, shape, NTK_KERNEL_NTK, NTK_F64);
  const ntk_plan_options options = {.precision = NTK_F64, .flip = NTK_FLIP_AVERAGE};
  ntk_plan *flipped = ntk_test_plan_with(text, shape, &options);
  double *all = malloc(AUGMENTED * size * sizeof *all), *fx = mirrored(x, shape, TRAIN);
  int32_t all_labels[AUGMENTED];
  memcpy(all, x, TRAIN * size * sizeof *all), memcpy(all + TRAIN * size, fx, TRAIN * size * sizeof *all);
  for (int k = 0; k < AUGMENTED; k++) all_labels[k] = labels[k % TRAIN];
  double *few = ntk_test_block(NULL, flipped, x, TRAIN, NULL, 0),
         *many = ntk_test_block(NULL, plain, all, AUGMENTED, NULL, 0);
  double *few_test = ntk_test_block(NULL, flipped, z, TEST_COUNT, x, TRAIN);
  double *many_test = ntk_test_block(NULL, plain, z, TEST_COUNT, all, AUGMENTED);
  for (int k = 0; k < 2; k++) {
    const double ridge = k ? 1e-2 * few[0] : 0;
    ntk_regress_result a = solve(few, few_test, TRAIN, labels, ridge);
    ntk_regress_result b = solve(many, many_test, AUGMENTED, all_labels, 2 * ridge);
    double largest = 0;
    for (int n = 0; n < TEST_COUNT * CLASSES; n++) {
      const double error = fabs(a.predictions[n] - b.predictions[n]);
      if (!(error <= largest)) largest = error;
    }
    cr_expect_leq(largest, 1e-11, "%s, ridge %g: predictions differ by %.2g", text, ridge, largest);
    if (ntk_test_verbose()) fprintf(stderr, "%s, ridge %g: predictions differ by %.2g\n", text, ridge, largest);
    ntk_regress_result_free(&a), ntk_regress_result_free(&b);
  }
  free(all), free(fx), free(few), free(many), free(few_test), free(many_test);
  ntk_plan_free(plain), ntk_plan_free(flipped);
}

Test(flip, augmentation_theorem) {
  const ntk_shape shape = {2, 5, 6};
  double *x = ntk_test_inputs(804, shape, TRAIN), *z = ntk_test_inputs(805, shape, TEST_COUNT);
  int32_t labels[TRAIN];
  for (int k = 0; k < TRAIN; k++) labels[k] = k % CLASSES;
  check_theorem("2*(conv3 relu) gap", shape, x, z, labels);
  check_theorem("2*(conv3 relu) flatten", shape, x, z, labels);
  check_theorem("2*(dense relu) dense", shape, x, z, labels);
  free(x), free(z);
}

Test(flip, augmentation_theorem_on_pictures) {
  ntk_dataset *train = NULL;
  if (ntk_dataset_open("fashion-mnist:test[0:34]", &train) != NTK_OK)
    cr_skip_test("Fashion-MNIST is not installed: %s", ntk_last_error());
  double *x = ntk_test_records(train);
  int32_t labels[TRAIN];
  for (int k = 0; k < TRAIN; k++) labels[k] = ntk_dataset_labels(train)[k] % CLASSES;
  check_theorem("2*(conv3 relu) lap(2)", ntk_dataset_shape(train), x, x + TRAIN * 28 * 28, labels);
  free(x);
  ntk_dataset_free(train);
}

/* ---- float32 */

/* Pairs of which K(x,z), K(Fx,z) or both need a second opinion. */
Test(flip, near_duplicates) {
  const ntk_shape shape = {3, 12, 12};
  const size_t size = ntk_test_size(shape);
  static const char *const texts[] = {"2*(conv3 relu) flatten", "5*(conv3 relu) lap(1)", "3*(conv3 relu) gap"};
  double *x = ntk_test_inputs(806, shape, 1), *fx = mirrored(x, shape, 1), *noise = ntk_test_inputs(807, shape, 1);
  for (size_t t = 0; t < sizeof texts / sizeof *texts; t++)
    for (int kind = 0; kind < 3; kind++)
      for (double level = 1e-1; level > 1e-8; level /= 10) {
        double a[3 * 12 * 12], z[3 * 12 * 12];
        for (size_t p = 0; p < size; p++) a[p] = kind == 2 ? x[p] + fx[p] : x[p]; /* 2: Fx = x */
        for (size_t p = 0; p < size; p++) z[p] = (kind == 1 ? fx[p] : a[p]) + level * noise[p];
        ntk_plan *f32 = flip_plan(texts[t], shape, NTK_F32, NTK_FLIP_BOTH);
        ntk_plan *f64 = flip_plan(texts[t], shape, NTK_F64, NTK_FLIP_BOTH);
        double *got = ntk_test_block(NULL, f32, a, 1, z, 1), *want = ntk_test_block(NULL, f64, a, 1, z, 1);
        for (int o = 0; o < 4; o++)
          cr_expect(ntk_test_error(got[o], want[o]) <= 1e-6, "%s, kind %d, noise %g, output %d: off by %.2g", texts[t],
                    kind, level, o, ntk_test_error(got[o], want[o]));
        free(got), free(want);
        ntk_plan_free(f32), ntk_plan_free(f64);
      }
  free(x), free(fx), free(noise);
}

/* ---- files */

static char *folder;

static void setup(void) { folder = ntk_test_folder(); }

static void teardown(void) { ntk_test_remove_folder(folder); }

TestSuite(flip_files, .init = setup, .fini = teardown);

static const char *in_folder(const char *name) { return ntk_test_text("%s/%s", folder, name); }

/* The bits do not depend on tiles or threads; ntk_gram_verify recomputes flips from the manifest. */
Test(flip_files, tiles_and_verification) {
  enum { ROWS = 13 };
  static const int64_t tiles[] = {1, 3, 5, ROWS};
  for (int k = 0; k < 2 * NETWORKS; k++) {
    const ntk_shape shape = networks[k / 2].shape;
    ntk_dataset *rows = ntk_test_dataset_file(in_folder("rows.npy"), 808, shape, ROWS);
    ntk_plan *plan = flip_plan(networks[k / 2].text, shape, (ntk_precision)(k % 2), NTK_FLIP_BOTH);
    double *x = ntk_test_records(rows), *want = ntk_test_block(NULL, plan, x, ROWS, NULL, 0);
    for (size_t t = 0; t < sizeof tiles / sizeof *tiles; t++) {
      ntk_context *context = ntk_test_context("auto");
      cr_assert_eq(ntk_context_set_threads(context, 1 + (int)t % 2), NTK_OK);
      const ntk_gram_options options = {.path = in_folder("K.npy"), .overwrite = true, .tile = tiles[t]};
      const ntk_gram_report report = ntk_test_gram(context, plan, rows, NULL, options);
      cr_expect_eq(report.pairs_computed, ROWS * (ROWS + 1) / 2);
      for (size_t o = 0; o < 4; o++) ntk_test_expect_matrix(plan, options.path, o, ROWS, ROWS, want + o * ROWS * ROWS);
      ntk_context_free(context);
    }
    for (size_t o = 0; o < 4; o++) {
      char path[4096];
      ntk_verify_report report;
      cr_assert_eq(ntk_gram_output_path(in_folder("K.npy"), plan, o, path, sizeof path), NTK_OK);
      cr_assert_eq(ntk_gram_verify(NULL, path, 40, 3, &report), NTK_OK, "%s: %s", path, ntk_last_error());
      cr_expect_leq(report.max_relative_error, report.tolerance, "%s of %s", path, networks[k / 2].text);
    }
    free(x), free(want);
    ntk_dataset_free(rows);
    ntk_plan_free(plan);
  }
}

Test(flip_files, resuming_with_another_flip_is_refused) {
  const ntk_shape shape = {1, 4, 4};
  ntk_dataset *rows = ntk_test_dataset(809, shape, 5);
  for (int flip = 0; flip < 2; flip++) {
    const ntk_plan_options one = {.flip = flip ? NTK_FLIP_AVERAGE : NTK_FLIP_PLAIN};
    const ntk_plan_options other = {.flip = flip ? NTK_FLIP_PLAIN : NTK_FLIP_AVERAGE};
    ntk_plan *plan = ntk_test_plan_with("2*(conv3 relu) gap", shape, &one);
    ntk_plan *another = ntk_test_plan_with("2*(conv3 relu) gap", shape, &other);
    ntk_gram_options options = {.path = in_folder(flip ? "F.npy" : "K.npy")};
    ntk_test_gram(NULL, plan, rows, NULL, options);
    options.resume = true;
    ntk_test_expect_failure(ntk_gram(NULL, another, rows, NULL, &options, NULL), NTK_ERROR_MISMATCH, "flip");
    cr_expect_eq(ntk_test_gram(NULL, plan, rows, NULL, options).pairs_resumed, 15);
    ntk_plan_free(plan), ntk_plan_free(another);
  }
  ntk_dataset_free(rows);
}
