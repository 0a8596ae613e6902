/* Duplicates, near-duplicates and proportional images: rho near 1, where the slope of k0 magnifies rounding. float32
 * must stay within 1e-6 of float64, and float64 near the oracle. NTK_TEST_VERBOSE=1 prints the tables of errors. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support_kernel.h"
#include "tests/support_net.h"
#include "tests/support_pairs.h"

enum { READOUTS = 4, DEPTHS = 3 };
static const char *const readouts[READOUTS] = {"flatten", "lap(1)", "lap(4)", "gap"};
static const int depths[DEPTHS] = {2, 5, 20}; /* activations of networks 3, 6 and 21 layers deep */

/* The worst errors of the NTK and of the NNGP kernel. */
typedef struct error_table {
  double worst[2][PAIR_RELATIONS][READOUTS][DEPTHS];
} error_table;

static void print_table(const char *title, const error_table *table, int first, int last) {
  if (!ntk_test_verbose()) return;
  for (int kernel = 0; kernel < 2; kernel++) {
    fprintf(stderr, "%s, %s\n%-12s", title, kernel ? "NNGP" : "NTK", "");
    for (int r = 0; r < READOUTS; r++)
      for (int d = 0; d < DEPTHS; d++) fprintf(stderr, " %7s %2d", readouts[r], depths[d] + 1);
    for (int relation = first; relation <= last; relation++) {
      fprintf(stderr, "\n%-12s", pair_relation_names[relation]);
      for (int r = 0; r < READOUTS; r++)
        for (int d = 0; d < DEPTHS; d++) fprintf(stderr, "    %.1e", table->worst[kernel][relation][r][d]);
    }
    fprintf(stderr, "\n");
  }
}

/* Which pairs a test asks for. */
typedef struct pair_range {
  int first_relation, last_relation;
  pair_style style;
  int first_depth, last_depth; /* indices of depths */
} pair_range;

/* float32 against float64 for one network and all pairs of the range. */
static void compare_precisions(const pair_range *range, ntk_shape shape, int r, int d, error_table *table) {
  char text[64];
  snprintf(text, sizeof text, "%d*(conv3 relu) %s", depths[d], readouts[r]);
  ntk_plan *f32 = ntk_test_plan(text, shape, NTK_KERNEL_BOTH, NTK_F32);
  ntk_plan *f64 = ntk_test_plan(text, shape, NTK_KERNEL_BOTH, NTK_F64);
  double *x = malloc(2 * ntk_test_size(shape) * sizeof *x), *z = x + ntk_test_size(shape);
  for (int content = 0; content < PAIR_CONTENTS; content++)
    for (int relation = range->first_relation; relation <= range->last_relation; relation++) {
      ntk_test_pair((pair_content)content, range->style, relation, 200 + (uint64_t)content, shape, x);
      double *got = ntk_test_block(NULL, f32, x, 1, z, 1), *want = ntk_test_block(NULL, f64, x, 1, z, 1);
      for (int kernel = 0; kernel < 2; kernel++) {
        const double error = ntk_test_error(got[kernel], want[kernel]);
        double *worst = &table->worst[kernel][relation][r][d];
        *worst = fmax(*worst, error);
        cr_expect(error <= 1e-6, "%s, %d channels, %s %s, %s, %s: %.9g, float64 %.9g, off by %.2g", text,
                  (int)shape.channels, pair_style_names[range->style], pair_content_names[content],
                  pair_relation_names[relation], kernel ? "NNGP" : "NTK", got[kernel], want[kernel], error);
      }
      free(got), free(want);
    }
  free(x);
  ntk_plan_free(f32), ntk_plan_free(f64);
}

static void check_range(const char *title, pair_range range) {
  error_table table = {0};
  for (int d = range.first_depth; d <= range.last_depth; d++)
    for (int r = 0; r < READOUTS; r++) {
      compare_precisions(&range, (ntk_shape){1, 12, 12}, r, d, &table);
      compare_precisions(&range, (ntk_shape){3, 12, 12}, r, d, &table);
    }
  print_table(title, &table, range.first_relation, range.last_relation);
}

Test(duplicates, continuous) { check_range("continuous", (pair_range){0, PAIR_RELATIONS - 1, PAIR_CONTINUOUS, 0, 2}); }

/* Bytes repeat values, so that more patches are proportional, and small noise changes few of them. */
Test(duplicates, bytes) {
  check_range("bytes, large noise", (pair_range){PAIR_NOISE, PAIR_NOISE + 1, PAIR_BYTES, 0, 2});
  check_range("bytes", (pair_range){PAIR_NOISE + 3, PAIR_RELATIONS - 1, PAIR_BYTES, 0, 2});
}

Test(duplicates, standardised_bytes) {
  check_range("standardised bytes", (pair_range){0, PAIR_RELATIONS - 1, PAIR_STANDARDISED, 0, 2});
}

/* ---- images with little in them, float32 against float64 and both against closed forms */

static void check_pair(const char *what, const char *body, ntk_shape shape, const double *x, const double *z) {
  for (int r = 0; r < READOUTS; r++) {
    char text[128];
    snprintf(text, sizeof text, "%s %s", body, readouts[r]);
    for (int kernel = NTK_KERNEL_NTK; kernel <= NTK_KERNEL_NNGP; kernel++) {
      const double f32 = ntk_test_value(text, shape, (ntk_kernel)kernel, NTK_F32, x, z);
      const double f64 = ntk_test_value(text, shape, (ntk_kernel)kernel, NTK_F64, x, z);
      cr_expect(ntk_test_error(f32, f64) <= 1e-6, "%s, %s: %.9g, float64 %.9g", what, text, f32, f64);
    }
  }
}

static const char *const bodies[] = {"2*(conv3 relu)", "5*(conv3(circular) relu)", "20*(conv3 relu)",
                                     "2*(conv3(b=0.1) relu)", "conv1(b=0.3) relu conv5 relu"};
enum { BODIES = sizeof bodies / sizeof *bodies };

Test(duplicates, constant_images) {
  const ntk_shape shape = {1, 12, 12};
  static const double constants[] = {1, 0.1, 1 / 3.0, -0.7, 0.99999, 1e-6};
  double x[144], z[144];
  for (int b = 0; b < BODIES; b++)
    for (size_t k = 0; k < sizeof constants / sizeof *constants; k++) {
      for (int p = 0; p < 144; p++) x[p] = 0.8, z[p] = constants[k];
      check_pair("constant images", bodies[b], shape, x, z);
    }
}

/* Two constants are proportional: K(a, b) = a b K(1, 1). */
Test(duplicates, constant_images_are_proportional) {
  const ntk_shape shape = {1, 12, 12};
  double one[144], x[144], z[144];
  for (int p = 0; p < 144; p++) one[p] = 1, x[p] = 1 / 3.0, z[p] = 0.1;
  for (int r = 0; r < READOUTS; r++)
    for (int precision = NTK_F32; precision <= NTK_F64; precision++) {
      char text[64];
      snprintf(text, sizeof text, "5*(conv3 relu) %s", readouts[r]);
      const double want = ntk_test_value(text, shape, NTK_KERNEL_NTK, (ntk_precision)precision, one, one) / 30;
      const double got = ntk_test_value(text, shape, NTK_KERNEL_NTK, (ntk_precision)precision, x, z);
      cr_expect(ntk_test_error(got, want) <= (precision ? 1e-13 : 1e-6), "%s: %.17g, expected %.17g", text, got, want);
    }
}

Test(duplicates, black_images) {
  const ntk_shape shape = {2, 12, 12};
  double *x = ntk_test_inputs(210, shape, 1), black[288] = {0};
  for (int b = 0; b < BODIES; b++) {
    check_pair("black and random", bodies[b], shape, black, x);
    check_pair("black and black", bodies[b], shape, black, black);
  }
  free(x);
}

/* One bright pixel each, at the same place, beside each other, far apart. */
Test(duplicates, single_pixels) {
  const ntk_shape shape = {1, 12, 12};
  static const int places[] = {0, 1, 13, 77, 143};
  for (int b = 0; b < BODIES; b++)
    for (size_t k = 0; k < sizeof places / sizeof *places; k++) {
      double x[144] = {0}, z[144] = {0};
      x[0] = 0.7, z[places[k]] = 0.2;
      check_pair("single pixels", bodies[b], shape, x, z);
    }
}

Test(duplicates, images_of_one_pixel) {
  const ntk_shape shape = {3, 1, 1};
  double *x = ntk_test_inputs(211, shape, 1), z[3];
  static const char *const networks[] = {"2*(conv1 relu)", "5*(conv3 relu)", "20*(conv1 relu)"};
  for (int n = 0; n < 3; n++)
    for (int relation = 1; relation <= 8; relation++) {
      ntk_test_random random = {212};
      for (int c = 0; c < 3; c++) z[c] = x[c] + pow(10, -relation) * ntk_test_gaussian(&random);
      check_pair("one pixel", networks[n], shape, x, z);
      check_pair("one pixel, equal", networks[n], shape, x, x);
    }
  free(x);
}

/* ---- near-duplicates that the first ReLU does not show */

static void check_f32(const char *text, ntk_shape shape, const double *x, const double *z) {
  const double f32 = ntk_test_value(text, shape, NTK_KERNEL_NTK, NTK_F32, x, z);
  const double f64 = ntk_test_value(text, shape, NTK_KERNEL_NTK, NTK_F64, x, z);
  cr_expect(ntk_test_error(f32, f64) <= 1e-6, "%s: %.9g, float64 %.9g", text, f32, f64);
}

/* Grey images with 1 x 1 filters first: rho is 1 or -1 there, and near 1 at the second ReLU. */
Test(duplicates, grey_pixels_first) {
  const ntk_shape shape = {1, 12, 12};
  double x[288];
  for (int relation = 0; relation < PAIR_RELATIONS; relation++) {
    ntk_test_pair(PAIR_RANDOM, PAIR_CONTINUOUS, relation, 3, shape, x);
    check_f32("conv1 relu conv3 relu flatten", shape, x, x + 144);
    check_f32("conv1 relu conv3 relu conv3 relu gap", shape, x, x + 144);
  }
}

/* A large bias brings rho near 1 from its layer on, and so does depth. */
Test(duplicates, unrelated_images_that_become_alike) {
  static const char *const texts[] = {"conv3 relu conv3(b=300) relu flatten",
                                      "conv3 relu conv3(b=1000) relu conv3 relu gap",
                                      "conv3 relu conv3(b=10000) relu flatten",
                                      "40*(conv3(circular) relu) flatten",
                                      "60*(conv3 relu) flatten",
                                      "200*(conv3 relu) flatten",
                                      "200*(conv3 relu) gap"};
  const ntk_shape shape = {3, 6, 6};
  double *x = ntk_test_inputs(213, shape, 2);
  for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) check_f32(texts[k], shape, x, x + 108);
  free(x);
}

/* Real images, standardised: large parts of them are equal. */
Test(duplicates, fashion_mnist) {
  enum { N = 60, PIXELS = 784 };
  ntk_dataset *data = NULL;
  ntk_preprocess *standard = NULL;
  if (ntk_dataset_open("fashion-mnist:test[0:60]", &data) != NTK_OK)
    cr_skip_test("Fashion-MNIST is not installed: %s", ntk_last_error());
  cr_assert_eq(ntk_preprocess_fit(NTK_PREPROCESS_STANDARD, data, &standard), NTK_OK);
  cr_assert_eq(ntk_dataset_preprocess(data, standard), NTK_OK);
  double *x = malloc(N * PIXELS * sizeof *x);
  cr_assert_eq(ntk_dataset_read(data, 0, N, x), NTK_OK, "%s", ntk_last_error());
  for (int d = 0; d < 2; d++) {
    char text[64];
    snprintf(text, sizeof text, "%d*(conv3 relu) flatten", 3 + 2 * d);
    ntk_plan *f32 = ntk_test_plan(text, ntk_dataset_shape(data), NTK_KERNEL_NTK, NTK_F32);
    ntk_plan *f64 = ntk_test_plan(text, ntk_dataset_shape(data), NTK_KERNEL_NTK, NTK_F64);
    double *got = ntk_test_block(NULL, f32, x, N, NULL, 0), *want = ntk_test_block(NULL, f64, x, N, NULL, 0), worst = 0;
    for (int k = 0; k < N * N; k++) worst = fmax(worst, ntk_test_error(got[k], want[k]));
    cr_expect(worst <= 1e-6, "%s: off by %.2g", text, worst);
    free(got), free(want);
    ntk_plan_free(f32), ntk_plan_free(f64);
  }
  free(x);
  ntk_preprocess_free(standard);
  ntk_dataset_free(data);
}

/* ---- float64 against the oracle */

/* The error left by rounding rho: at most about sqrt(2 * 4e-15) / pi = 3e-8 of k0 a layer where it rounds to 1, 1e-16 /
 * sqrt(m) elsewhere. Equal and proportional images are exact here; there the oracle's own rounding of 1e-19 shows, as
 * 1e-10. */
static double oracle_bound(int relation) {
  if (relation == PAIR_EQUAL) return 1e-12;
  if (relation == PAIR_SCALED || relation == PAIR_NEGATED) return 1e-9;
  return 1e-7;
}

Test(duplicates, float64_against_the_oracle) {
  const ntk_shape shape = {2, 5, 6};
  double worst[PAIR_RELATIONS][2] = {{0}}, x[2 * 60];
  for (int style = 0; style < PAIR_STYLES; style++)
    for (int content = 0; content < PAIR_CONTENTS; content++)
      for (int relation = 0; relation < PAIR_RELATIONS; relation++)
        for (int r = 0; r < READOUTS; r++) {
          char text[64];
          long double want[2];
          snprintf(text, sizeof text, "%d*(conv3 relu) %s", r % 2 ? 2 : 5, readouts[r]);
          ntk_test_pair((pair_content)content, (pair_style)style, relation, 220 + (uint64_t)content, shape, x);
          ntk_test_oracle_text(text, shape, x, x + 60, &want[0], &want[1]);
          ntk_plan *plan = ntk_test_plan(text, shape, NTK_KERNEL_BOTH, NTK_F64);
          double *got = ntk_test_block(NULL, plan, x, 1, x + 60, 1);
          for (int kernel = 0; kernel < 2; kernel++) {
            const double error = ntk_test_error(got[kernel], want[kernel]);
            worst[relation][kernel] = fmax(worst[relation][kernel], error);
            cr_expect(error <= (kernel ? 1e-12 : oracle_bound(relation)), "%s, %s %s, %s: %.15g, oracle %.15Lg", text,
                      pair_style_names[style], pair_content_names[content], pair_relation_names[relation], got[kernel],
                      want[kernel]);
          }
          free(got);
          ntk_plan_free(plan);
        }
  for (int relation = 0; ntk_test_verbose() && relation < PAIR_RELATIONS; relation++)
    fprintf(stderr, "float64 against the oracle, %-10s: NTK %.1e, NNGP %.1e\n", pair_relation_names[relation],
            worst[relation][0], worst[relation][1]);
}
