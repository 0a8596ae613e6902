/* Kernels that are known exactly: an input with itself, layers trained one at a time, images that are vectors. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support_kernel.h"

static const double bounds[2] = {1e-6, 1e-12}; /* of NTK_F32 and NTK_F64 */

static double value(const char *text, ntk_shape shape, ntk_kernel kernel, int precision, const double *x,
                    const double *z) {
  return ntk_test_value(text, shape, kernel, (ntk_precision)precision, x, z);
}

/* ---- an input with itself: every trained layer adds NNGP(x,x) */

static void check_self(const char *text, ntk_shape shape, int trained, uint64_t seed) {
  double *x = ntk_test_inputs(seed, shape, 1);
  for (int precision = NTK_F32; precision <= NTK_F64; precision++) {
    const double ntk = value(text, shape, NTK_KERNEL_NTK, precision, x, x);
    const double nngp = value(text, shape, NTK_KERNEL_NNGP, precision, x, x);
    const double error = ntk_test_error(ntk, (long double)trained * nngp);
    cr_expect(error <= bounds[precision], "%s, %d x %d x %d, %s: NTK(x,x) = %.15g, %d NNGP(x,x) = %.15g, off by %.2g",
              text, (int)shape.channels, (int)shape.height, (int)shape.width, precision ? "f64" : "f32", ntk, trained,
              trained * nngp, error);
  }
  free(x);
}

Test(closed_forms, image_with_itself) {
  static const ntk_shape shapes[] = {{1, 1, 1}, {3, 4, 4}, {1, 8, 8}, {3, 5, 17}, {2, 3, 33}, {16, 6, 6}};
  static const int depths[] = {1, 2, 5, 21};
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
    for (size_t d = 0; d < sizeof depths / sizeof *depths; d++) {
      char text[128];
      snprintf(text, sizeof text, "%d*(conv3 relu) flatten", depths[d]);
      check_self(text, shapes[s], depths[d] + 1, 50 + s);
      if (shapes[s].height < 3) continue;
      snprintf(text, sizeof text, "%d*(conv3(circular) relu) lap(0)", depths[d]);
      check_self(text, shapes[s], depths[d] + 1, 60 + s);
    }
}

Test(closed_forms, image_with_itself_in_deep_networks) {
  const ntk_shape shape = {3, 5, 6}, large = {1, 12, 13};
  check_self("40*(conv3 relu) flatten", large, 41, 75);
  check_self("60*(conv3 relu) flatten", shape, 61, 76);
  check_self("200*(conv3 relu) flatten", shape, 201, 77);
  check_self("200*(conv3(circular) relu) flatten", shape, 201, 78);
  for (uint64_t seed = 0; seed < 20; seed++) {
    check_self("75*(conv3 relu) flatten", (ntk_shape){3, 4, 4}, 76, 150 + seed);
    check_self("54*(conv3(circular) relu) flatten", (ntk_shape){3, 4, 4}, 55, 150 + seed);
  }
}

Test(closed_forms, image_with_itself_in_other_networks) {
  const ntk_shape shape = {3, 6, 7};
  check_self("conv3(fixed) relu 3*(conv3 relu) flatten dense(fixed)", shape, 3, 70);
  check_self("conv3(fixed) relu conv5(fixed) relu flatten", shape, 1, 71);
  check_self("conv3(W=1.7) relu(c=1) conv1x5(W=0.3) conv3(circular) relu(c=0.1) flatten dense(W=3)", shape, 4, 72);
  check_self("conv1 relu conv7x1 relu conv3(fixed) flatten dense dense(fixed)", shape, 3, 73);
  check_self("conv3 conv3 conv3 flatten", shape, 4, 74);
}

Test(closed_forms, vector_with_itself) {
  static const int sizes[] = {1, 2, 10, 100, 784};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
    for (uint64_t seed = 0; seed < 4; seed++) {
      check_self("dense", (ntk_shape){sizes[s], 0, 0}, 1, 80 + seed);
      check_self("3*(dense relu) dense", (ntk_shape){sizes[s], 0, 0}, 4, 80 + seed);
      check_self("20*(dense(W=1.1) relu(c=1.7)) dense", (ntk_shape){sizes[s], 0, 0}, 21, 80 + seed);
    }
  check_self("200*(dense relu) dense", (ntk_shape){100, 0, 0}, 201, 90);
  check_self("2*(dense(fixed) relu) 2*(dense relu) dense(fixed)", (ntk_shape){50, 0, 0}, 2, 91);
}

/* ---- layers trained one at a time: their kernels add up */

/* Formats `text` with "fixed" for every layer but `only` (-1: none is fixed); %s stands in each layer's options. */
static void train_one(const char *text, int only, char *out, size_t size) {
  size_t length = 0;
  int layer = 0;
  for (const char *p = text; *p; p++) {
    const bool option = p[0] == '%' && p[1] == 's';
    if (option) p++;
    length += (size_t)snprintf(out + length, size - length, "%.*s", 1, option ? "" : p);
    if (option) {
      const bool fixed = only >= 0 && layer++ != only;
      length += (size_t)snprintf(out + length, size - length, "%s", fixed ? "fixed" : "W=1");
    }
    cr_assert(length < size);
  }
}

static void check_sum_over_layers(const char *text, int layers, ntk_shape shape, uint64_t seed) {
  double *x = ntk_test_inputs(seed, shape, 2);
  const double *z = x + ntk_test_size(shape);
  char one[512];
  for (int precision = NTK_F32; precision <= NTK_F64; precision++) {
    long double sum = 0, size = 0;
    for (int only = 0; only < layers; only++) {
      train_one(text, only, one, sizeof one);
      const double part = value(one, shape, NTK_KERNEL_NTK, precision, x, z);
      sum += part, size += fabs(part);
    }
    train_one(text, -1, one, sizeof one);
    const double all = value(one, shape, NTK_KERNEL_NTK, precision, x, z);
    cr_expect(fabsl(all - sum) <= bounds[precision] * size, "%s: %.15g, the layers give %.15Lg", one, all, sum);
    const double last = value(one, shape, NTK_KERNEL_NNGP, precision, x, z); /* only the last layer trained */
    train_one(text, layers - 1, one, sizeof one);
    const double last_ntk = value(one, shape, NTK_KERNEL_NTK, precision, x, z);
    cr_expect(ntk_test_error(last_ntk, last) <= bounds[precision], "%s: NTK %.15g, NNGP %.15g", one, last_ntk, last);
  }
  free(x);
}

Test(closed_forms, kernels_of_single_layers_add_up) {
  check_sum_over_layers("conv3(%s) relu conv3(%s) relu conv3(%s) relu gap dense(%s)", 4, (ntk_shape){3, 5, 6}, 100);
  check_sum_over_layers("conv5(%s) relu conv1(%s) conv3(%s, circular) relu lap(1) dense(%s)", 4, (ntk_shape){2, 5, 6},
                        101);
  check_sum_over_layers("conv3(%s) relu conv3(%s) relu flatten dense(%s) dense(%s)", 4, (ntk_shape){14, 4, 4}, 102);
  check_sum_over_layers("dense(%s) relu dense(%s) relu dense(%s)", 3, (ntk_shape){20, 0, 0}, 103);
}

/* ---- images that are vectors */

static void expect_equal(const char *what, int precision, const double *got, const double *want, double bound) {
  for (int k = 0; k < 2; k++)
    cr_expect(ntk_test_error(got[k], want[k]) <= bound, "%s (%s): %s %.15g, expected %.15g", what,
              precision ? "f64" : "f32", k ? "NNGP" : "NTK", got[k], want[k]);
}

static void both(const char *text, ntk_shape shape, int precision, const double *x, const double *z, double *out) {
  out[0] = value(text, shape, NTK_KERNEL_NTK, precision, x, z);
  out[1] = value(text, shape, NTK_KERNEL_NNGP, precision, x, z);
}

/* 1 x 1 pixels with 1 x 1 filters are a fully connected network on the channels; so are images constant in space with
 * circular padding, whatever the filter and the readout. */
Test(closed_forms, images_that_are_vectors) {
  enum { CHANNELS = 5, PIXELS = 20 };
  const ntk_shape vector = {CHANNELS, 0, 0}, pixel = {CHANNELS, 1, 1}, wide = {CHANNELS, 4, 5};
  double *x = ntk_test_inputs(110, vector, 2), constant[2 * CHANNELS * PIXELS], want[2], got[2];
  const double *z = x + CHANNELS;
  for (int k = 0; k < 2 * CHANNELS * PIXELS; k++) constant[k] = x[k / PIXELS];
  for (int precision = NTK_F32; precision <= NTK_F64; precision++) {
    both("2*(dense(W=1.2, b=0.1) relu) dense", vector, precision, x, z, want);
    both("2*(conv1(W=1.2, b=0.1) relu) gap", pixel, precision, x, z, got);
    expect_equal("1 x 1 pixels, gap", precision, got, want, bounds[precision]);
    both("2*(conv1(W=1.2, b=0.1) relu) flatten", pixel, precision, x, z, got);
    expect_equal("1 x 1 pixels, flatten", precision, got, want, bounds[precision]);
    static const char *const readouts[] = {"flatten", "gap", "lap(2, circular)"};
    for (int r = 0; r < 3; r++) {
      char text[128];
      snprintf(text, sizeof text, "conv3(circular, W=1.2, b=0.1) relu conv1x5(circular, W=1.2, b=0.1) relu %s",
               readouts[r]);
      both(text, wide, precision, constant, constant + CHANNELS * PIXELS, got);
      expect_equal(text, precision, got, want, bounds[precision]);
    }
    both("2*(dense(W=1.2, b=0.1) relu) dense", vector, precision, x, x, want);
    both("2*(conv3(circular, W=1.2, b=0.1) relu) gap", wide, precision, constant, constant, got);
    expect_equal("constant images, x = z", precision, got, want, bounds[precision]);
  }
  free(x);
}

/* `flatten` first, a text of dense layers, and the pixels as a vector are one network. */
Test(closed_forms, flattened_images) {
  const ntk_shape image = {2, 3, 4}, vector = {24, 0, 0};
  double *x = ntk_test_inputs(111, image, 2), want[2], got[2];
  for (int precision = NTK_F32; precision <= NTK_F64; precision++) {
    both("2*(dense relu) dense", vector, precision, x, x + 24, want);
    both("2*(dense relu) dense", image, precision, x, x + 24, got);
    expect_equal("dense layers on images", precision, got, want, 0);
    both("flatten 2*(dense relu) dense", image, precision, x, x + 24, got);
    expect_equal("flatten first", precision, got, want, 0);
  }
  free(x);
}
