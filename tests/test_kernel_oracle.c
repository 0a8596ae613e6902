/* The engine against the brute-force oracle at small sizes: every option, layout, instruction set and precision.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support_compare.h"
#include "tests/support_kernel.h"
#include "tests/support_net.h"

TestSuite(kernel_oracle, .fini = ntk_test_compare_report);

static void check_isa(const char *isa) {
  ntk_context *context = ntk_test_context(isa);
  if (!context) cr_skip_test("this machine or build has no %s", isa);
  cr_expect_str_eq(ntk_context_isa(context), isa);
  ntk_context_free(context);
}

Test(kernel_oracle, has_avx512) { check_isa("avx512"); }
Test(kernel_oracle, has_avx2) { check_isa("avx2"); }
Test(kernel_oracle, has_baseline) { check_isa("baseline"); }

/* Row lengths around the vectors of every instruction set: one, two, four and more of them, whole and ragged; the fast
 * layers and the general ones. */
Test(kernel_oracle, widths) {
  for (int width = 1; width <= 64; width += width == 34 ? 12 : width == 50 ? 13 : 1) {
    const uint64_t seed = (uint64_t)width;
    ntk_test_compare("conv3 relu conv3 relu conv3 relu gap", (ntk_shape){2, 1, width}, seed);
    ntk_test_compare("conv3 relu conv3 relu lap(3)", (ntk_shape){1, 2, width}, 100 + seed);
    ntk_test_compare("conv3 relu conv1 relu conv1x3(b=0.1) relu gap", (ntk_shape){2, 1, width}, 200 + seed);
    if (width >= 3) ntk_test_compare("conv1x5 relu conv1x3(circular) relu gap", (ntk_shape){2, 1, width}, 300 + seed);
  }
}

Test(kernel_oracle, heights) {
  for (int height = 1; height <= 64; height += height < 20 ? 1 : 11) {
    const uint64_t seed = 1000 + (uint64_t)height;
    ntk_test_compare("conv3 relu conv3 relu gap", (ntk_shape){2, height, 1}, seed);
    ntk_test_compare("conv3 relu conv3 relu lap(2)", (ntk_shape){1, height, 2}, 100 + seed);
    if (height >= 3) ntk_test_compare("conv3x1(circular) relu conv3 relu gap", (ntk_shape){1, height, 1}, 200 + seed);
  }
}

static const ntk_shape shapes[] = {{2, 1, 1}, {2, 1, 5},  {2, 5, 1},  {3, 2, 2},  {2, 2, 3},  {12, 3, 3},
                                   {2, 4, 5}, {2, 7, 10}, {13, 4, 5}, {2, 9, 16}, {2, 6, 18}, {2, 5, 33}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* Checks a text on those shapes that its filters fit (`side`: the smallest side that the text needs). */
static void check_shapes(const char *text, int side) {
  for (int k = 0; k < SHAPES; k++)
    if (shapes[k].height >= side && shapes[k].width >= side) ntk_test_compare(text, shapes[k], 2000 + (uint64_t)k);
}

Test(kernel_oracle, shapes_fast_path) {
  check_shapes("conv3 relu conv3 relu gap", 1);
  check_shapes("conv3 relu conv3 relu flatten", 1);
  check_shapes("conv3 relu conv3 relu lap(1)", 1);
}

Test(kernel_oracle, shapes_mixed_filters) {
  check_shapes("conv1 relu conv3 relu gap", 1);
  check_shapes("conv5(b=0.2) relu conv3 relu lap(2)", 2);
  check_shapes("conv3(circular) relu conv3x5 relu flatten", 3);
}

/* ---- one option after another, on shapes of few and of many channels */

static void check_texts(const char *const *texts, size_t count) {
  static const ntk_shape sizes[] = {{3, 5, 6}, {20, 5, 5}, {2, 7, 5}};
  for (size_t n = 0; n < count; n++)
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) ntk_test_compare(texts[n], sizes[k], 3000 + n);
}
#define CHECK_TEXTS(...)                                 \
  do {                                                   \
    static const char *const texts_[] = {__VA_ARGS__};   \
    check_texts(texts_, sizeof texts_ / sizeof *texts_); \
  } while (0)

Test(kernel_oracle, filters) {
  CHECK_TEXTS("conv1 relu conv1 relu gap", "conv1x3 relu conv3x1 relu gap", "conv3x1 relu conv1x3 relu lap(1)",
              "conv5 relu conv5 relu gap", "conv3x5 relu conv7x3 relu flatten", "conv7x3 relu conv3x5 relu gap",
              "conv1 relu conv3 relu conv5 relu lap(1)", "conv5 relu conv1 relu conv3 relu gap",
              "conv3x1 relu conv3 relu conv1x3 relu gap");
}

Test(kernel_oracle, circular_padding) {
  CHECK_TEXTS("conv3(circular) relu conv3(circular) relu gap", "conv3(circular) relu conv3(circular) relu flatten",
              "conv3(circular) relu conv1 relu lap(1, circular)", "conv3(circular) relu conv3(circular) relu lap(1)",
              "conv3(circular) relu conv3 relu gap", "conv3 relu conv3(circular) relu gap",
              "conv3 relu conv3(circular) relu lap(1)", "conv1(circular) relu conv3 relu lap(1)",
              "conv1x3(circular) relu conv3x1(circular) relu conv5 relu flatten",
              "conv3(circular) relu conv3 relu conv3(circular) relu lap(0)");
}

/* Affine layers without an activation between them or behind the last. */
Test(kernel_oracle, linear_parts) {
  CHECK_TEXTS("conv3 conv3 relu gap", "conv3 relu conv3 conv1 relu flatten", "conv3 conv3(circular) relu lap(1)",
              "conv3 relu conv3 gap", "conv3 relu conv1(b=0.3) lap(1)", "conv3 conv1 conv3 relu conv3 conv3 relu gap",
              "conv1(same) relu conv3(same) relu gap", "conv1(valid) relu conv3 relu gap");
}

/* Networks without an activation. Their kernels are products of sums of pixels: positive ones, which do not cancel. */
Test(kernel_oracle, linear_networks) {
  static const char *const texts[] = {"gap",
                                      "flatten dense",
                                      "lap(1)",
                                      "lap(2, circular)",
                                      "gap dense(fixed)",
                                      "conv3 gap",
                                      "conv3(fixed) conv3(b=1) flatten",
                                      "conv3(circular) lap(1)"};
  for (size_t n = 0; n < sizeof texts / sizeof *texts; n++) {
    const ntk_shape shape = {n % 2 ? 3 : 14, 4, 5};
    double *inputs = ntk_test_inputs(3500 + n, shape, 2);
    for (size_t k = 0; k < 2 * ntk_test_size(shape); k++) inputs[k] = fabs(inputs[k]);
    ntk_test_compare_inputs(texts[n], shape, inputs, ntk_test_tolerance);
    free(inputs);
  }
}

/* Every rho of the first ReLU is 1 or -1. The oracle rounds it, and k0 turns 1e-19 into 1e-10. */
Test(kernel_oracle, scalar_pixels) {
  static const char *const texts[] = {"conv1 relu gap", "conv1 relu conv3 relu gap", "conv1 relu conv1 relu lap(1)",
                                      "conv1 conv1 relu conv3 relu flatten", "conv1(circular) relu conv3 relu lap(2)"};
  static const double bound[2] = {1e-6, 1e-9};
  for (size_t n = 0; n < sizeof texts / sizeof *texts; n++)
    for (int width = 1; width <= 11; width += 5) {
      double *inputs = ntk_test_inputs(3600 + n, (ntk_shape){1, 5, width}, 2);
      ntk_test_compare_inputs(texts[n], (ntk_shape){1, 5, width}, inputs, bound);
      free(inputs);
    }
}

Test(kernel_oracle, weights_biases_and_factors) {
  CHECK_TEXTS("conv3(W=1.4, b=0.3) relu(c=1) conv3(W=1.4, b=0.3) relu(c=1) gap dense(W=1.2, b=0.2)",
              "conv3(W=0.3) relu(c=0.5) conv3(W=3) relu flatten", "conv3(b=2) relu conv3 relu lap(1)",
              "conv3 relu conv3(b=0.7) relu gap", "conv3(gamma=3) relu conv3(gamma=3) relu lap(1)",
              "conv1x3(gamma=0.5) relu conv5(gamma=2) relu gap", "conv1(b=0.1) relu conv1(b=0.1) relu gap",
              "conv5(W=1.4, b=0.1, circular, fixed) relu(c=1) conv3(W=1.4, b=0.2) relu(c=1) flatten",
              "conv3(b=0.5) conv3(b=0.5) relu conv3(b=0.5) gap", "conv3(b=1e-4) relu conv3(b=1e4) gap");
}

Test(kernel_oracle, fixed_layers) {
  CHECK_TEXTS("conv3(fixed) relu conv3 relu conv3 relu gap dense(fixed)", "conv3 relu conv3(fixed) relu conv3 relu gap",
              "conv3(fixed) relu conv3(fixed) relu conv3(fixed) relu gap",
              "conv3 relu conv3 relu conv3(fixed, b=0.5) relu lap(1) dense(fixed)",
              "conv3(fixed, b=0.5) relu conv1(fixed) relu flatten dense",
              "conv3(fixed) relu conv3(fixed) relu flatten dense(fixed)");
}

Test(kernel_oracle, heads) {
  CHECK_TEXTS("conv3 relu gap dense(W=1.2, b=0.4) dense(fixed) dense(W=0.5)",
              "conv3 relu lap(1) dense(b=1, fixed) dense", "conv3 relu flatten dense dense(W=0, b=0.5)",
              "conv3 relu gap dense(W=2, fixed)");
}

Test(kernel_oracle, readouts) {
  static const char *const paddings[] = {"", "circular, "};
  for (int circular = 0; circular < 2; circular++)
    for (int wrap = 0; wrap < 2; wrap++)
      for (int c = 0; c <= 9; c += c < 4 ? 1 : 5) {
        char text[128];
        snprintf(text, sizeof text, "conv3(%sb=0.1) relu conv3 relu lap(%d%s)", paddings[circular], c,
                 wrap ? ", circular" : "");
        ntk_test_compare(text, (ntk_shape){2, 3, 5}, 4000 + (uint64_t)c);
        ntk_test_compare(text, (ntk_shape){1, 6, 4}, 4100 + (uint64_t)c);
      }
}

/* Filters that reach over more than half of the image, up to the largest that is computed. */
Test(kernel_oracle, large_filters) {
  ntk_test_compare("conv1x63 relu conv1x3 relu gap", (ntk_shape){1, 1, 64}, 5000);
  ntk_test_compare("conv63x1 relu conv3x1 relu gap", (ntk_shape){1, 64, 1}, 5001);
  ntk_test_compare("conv1x65 relu conv1x65 relu lap(2)", (ntk_shape){2, 1, 64}, 5002);
  ntk_test_compare("conv1x63(circular) relu conv1x31(circular) relu gap", (ntk_shape){1, 1, 64}, 5003);
  ntk_test_compare("conv65x1 relu conv33x1 relu flatten", (ntk_shape){1, 64, 1}, 5004);
  ntk_test_compare("conv9 relu conv11x7 relu gap", (ntk_shape){1, 6, 7}, 5005);
}

Test(kernel_oracle, channels) {
  static const int channels[] = {1, 2, 3, 12, 13, 20, 64};
  for (size_t k = 0; k < sizeof channels / sizeof *channels; k++) {
    ntk_test_compare("conv3 relu conv3 relu gap", (ntk_shape){channels[k], 3, 4}, 6000 + k);
    ntk_test_compare("conv5(circular) relu conv3 relu lap(1)", (ntk_shape){channels[k], 5, 6}, 6100 + k);
    ntk_test_compare("conv3 relu conv1(b=0.1) relu flatten", (ntk_shape){channels[k], 2, 17}, 6200 + k);
  }
}

/* ---- fully connected */

Test(kernel_oracle, connected) {
  static const char *const texts[] = {"dense",
                                      "dense dense(b=0.3)",
                                      "dense relu dense",
                                      "3*(dense relu) dense",
                                      "dense(W=1.5, b=0.1) relu(c=1) dense(W=1.5, b=0.1) relu(c=1) dense(W=1.5, b=0.1)",
                                      "dense(fixed) relu dense relu dense",
                                      "dense dense(W=0.5) relu dense(fixed) dense relu dense(b=1) dense(fixed)",
                                      "dense relu dense(W=0, b=0.5) relu dense",
                                      "dense(b=1e3, fixed) relu dense relu dense(fixed)"};
  for (size_t n = 0; n < sizeof texts / sizeof *texts; n++) {
    for (int d = 2; d <= 70; d += d < 5 ? 1 : 13) ntk_test_compare(texts[n], (ntk_shape){d, 0, 0}, 7000 + (uint64_t)d);
    ntk_test_compare(texts[n], (ntk_shape){2, 3, 4}, 7100);
  }
  ntk_test_compare("flatten dense relu dense", (ntk_shape){3, 4, 5}, 7200);
  ntk_test_compare("flatten", (ntk_shape){3, 4, 5}, 7201);
}

/* ---- random networks */

typedef struct builder {
  ntk_test_random *random;
  char text[512];
  size_t length;
} builder;

__attribute__((format(printf, 2, 3))) static void add(builder *b, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  b->length += (size_t)vsnprintf(b->text + b->length, sizeof b->text - b->length, format, arguments);
  va_end(arguments);
  cr_assert(b->length < sizeof b->text);
}

static bool chance(builder *b, int percent) { return ntk_test_below(b->random, 100) < percent; }

/* W, bias and fixed, in parentheses behind `first`. */
static void add_options(builder *b, bool gamma, const char *first) {
  const char *separator = first[0] ? ", " : "";
  add(b, "(%s", first);
  if (chance(b, 30)) add(b, "%sW=%.2f", separator, 0.5 + ntk_test_below(b->random, 100) / 50.0), separator = ", ";
  if (chance(b, 30)) {
    const double bias = ntk_test_below(b->random, 100) / 100.0;
    add(b, "%s%s=%.2f", separator, gamma && chance(b, 50) ? "gamma" : "b", bias);
    separator = ", ";
  }
  if (chance(b, 20)) add(b, "%sfixed", separator), separator = ", ";
  b->length -= separator[0] ? 0 : 1; /* nothing was written: take the parenthesis back */
  add(b, separator[0] ? ") " : " ");
}

static int filter_size(builder *b, int side) {
  static const int sizes[] = {1, 3, 3, 3, 5, 7};
  int size;
  do size = sizes[ntk_test_below(b->random, 6)];
  while (size / 2 > side);
  return size;
}

/* A network for that shape, with at least two values in the field of the first ReLU (scalar_pixels). */
static void build(builder *b, ntk_shape shape) {
  const int height = (int)shape.height, width = (int)shape.width, blocks = 1 + ntk_test_below(b->random, 4);
  bool scalar = shape.channels == 1;
  for (int k = 0; k < blocks; k++) {
    const int rows = filter_size(b, height), cols = filter_size(b, width);
    const bool circular = rows <= height && cols <= width && chance(b, 30);
    scalar = scalar && (rows == 1 || height == 1) && (cols == 1 || width == 1);
    add(b, rows == cols ? "conv%d" : "conv%dx%d", rows, cols);
    add_options(b, true, circular ? "circular" : "");
    if (!scalar && chance(b, 80)) add(b, chance(b, 20) ? "relu(c=1) " : "relu ");
  }
  const int readout = ntk_test_below(b->random, 4);
  add(b,
      readout == 0   ? "flatten "
      : readout == 1 ? "gap "
      : readout == 2 ? "lap(%d) "
                     : "lap(%d, circular) ",
      ntk_test_below(b->random, 6));
  for (int dense = ntk_test_below(b->random, 3); dense > 0; dense--) {
    add(b, "dense");
    add_options(b, false, "");
  }
}

Test(kernel_oracle, random_networks) {
  static const int channels[] = {1, 2, 3, 12, 13, 20};
  ntk_test_random random = {20240607};
  for (int n = 0; n < 150; n++) {
    ntk_shape shape = {channels[ntk_test_below(&random, 6)], 1 + ntk_test_below(&random, 7), 0};
    shape.width = 1 + ntk_test_below(&random, (int)(70 / shape.height > 20 ? 35 : 70 / shape.height));
    if (shape.height * shape.width == 1 && shape.channels == 1) shape.channels = 2;
    builder b = {.random = &random};
    build(&b, shape);
    double *inputs = ntk_test_inputs(8000 + (uint64_t)n, shape, 2);
    for (size_t k = 0; !strstr(b.text, "relu") && k < 2 * ntk_test_size(shape); k++)
      inputs[k] = fabs(inputs[k]); /* as in linear_networks */
    ntk_test_compare_inputs(b.text, shape, inputs, ntk_test_tolerance);
    free(inputs);
  }
}
