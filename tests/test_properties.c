/* What every kernel must satisfy: symmetry, positive semi-definiteness, homogeneity, invariances, limits, closed forms.
 */
#include <criterion/criterion.h>
#include <lapacke.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/packing.h"
#include "kernels/program.h"
#include "tests/support_kernel.h"

typedef struct network_case {
  const char *text;
  ntk_shape shape;
} network_case;

/* Without biases, so that the kernels are homogeneous. */
static const network_case homogeneous[] = {
    {"3*(conv3 relu) gap", {3, 6, 7}},
    {"3*(conv3 relu) flatten", {1, 6, 18}},
    {"2*(conv3 relu) lap(2)", {2, 5, 5}},
    {"conv5(W=1.3) relu(c=1) conv3x1 conv1x3(fixed) relu gap dense(fixed)", {3, 6, 5}},
    {"conv3(circular) relu conv3 relu lap(1, circular)", {2, 4, 5}},
    {"2*(conv3 relu) gap", {14, 4, 5}},
    {"3*(dense relu) dense", {30, 0, 0}},
    {"dense(fixed) relu(c=1) dense(W=0.7) relu dense", {5, 0, 0}},
};
enum { HOMOGENEOUS = sizeof homogeneous / sizeof *homogeneous };

static const network_case biased[] = {
    {"conv3(b=0.3) relu conv3(b=0.1) relu gap", {2, 5, 6}},
    {"2*(conv3(gamma=3) relu) lap(1)", {3, 5, 5}},
    {"2*(dense(W=1.5, b=0.1) relu(c=1)) dense(W=1.5, b=0.1)", {7, 0, 0}},
};
enum { BIASED = sizeof biased / sizeof *biased, ALL = HOMOGENEOUS + BIASED };

static const network_case *network(int k) { return k < HOMOGENEOUS ? &homogeneous[k] : &biased[k - HOMOGENEOUS]; }

static const char *precision_name(int precision) { return precision == NTK_F64 ? "f64" : "f32"; }

/* Both kernels of one pair: out[0] NTK, out[1] NNGP. */
static void pair(const char *text, ntk_shape shape, int precision, const double *x, const double *z, double *out) {
  ntk_plan *plan = ntk_test_plan(text, shape, NTK_KERNEL_BOTH, (ntk_precision)precision);
  double *values = ntk_test_block(NULL, plan, x, 1, z, 1);
  out[0] = values[0], out[1] = values[1];
  free(values);
  ntk_plan_free(plan);
}

static void expect_pairs(const char *what, const char *text, int precision, const double *got, const double *want,
                         double bound) {
  for (int k = 0; k < 2; k++) {
    const double error = ntk_test_error(got[k], want[k]);
    cr_expect(error <= bound, "%s: %s %s, %s: %.17g and %.17g differ by %.2g", what, text, precision_name(precision),
              k ? "NNGP" : "NTK", got[k], want[k], error);
  }
}

/* ---- symmetry */

enum { COUNT = 9 };

Test(properties, symmetric_to_the_last_bit) {
  for (int k = 0; k < 2 * ALL; k++) {
    const network_case *c = network(k / 2);
    ntk_plan *plan = ntk_test_plan(c->text, c->shape, NTK_KERNEL_BOTH, (ntk_precision)(k % 2));
    double *x = ntk_test_inputs(31, c->shape, COUNT), *values = ntk_test_block(NULL, plan, x, COUNT, NULL, 0);
    for (int o = 0; o < 2; o++)
      for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < i; j++) {
          const double *m = values + o * COUNT * COUNT;
          cr_expect(memcmp(&m[i * COUNT + j], &m[j * COUNT + i], sizeof *m) == 0, "%s: entry (%d, %d)", c->text, i, j);
        }
    free(x), free(values);
    ntk_plan_free(plan);
  }
}

/* K(x,z) and K(z,x), computed apart, agree to rounding. */
Test(properties, transposed) {
  for (int k = 0; k < 2 * ALL; k++) {
    const network_case *c = network(k / 2);
    ntk_plan *plan = ntk_test_plan(c->text, c->shape, NTK_KERNEL_BOTH, (ntk_precision)(k % 2));
    double *x = ntk_test_inputs(32, c->shape, COUNT);
    const double *z = x + 5 * ntk_test_size(c->shape);
    double *xz = ntk_test_block(NULL, plan, x, 5, z, 4), *zx = ntk_test_block(NULL, plan, z, 4, x, 5);
    for (int o = 0; o < 2; o++)
      for (int i = 0; i < 5; i++)
        for (int j = 0; j < 4; j++) {
          const double error = ntk_test_error(xz[o * 20 + i * 4 + j], zx[o * 20 + j * 5 + i]);
          cr_expect(error <= (k % 2 ? 1e-13 : 1e-6), "%s: entry (%d, %d): %.2g", c->text, i, j, error);
        }
    free(x), free(xz), free(zx);
    ntk_plan_free(plan);
  }
}

/* ntk_plan_diagonal gives the diagonal of the symmetric matrix, bit for bit. */
Test(properties, diagonal) {
  for (int k = 0; k < 2 * ALL; k++) {
    const network_case *c = network(k / 2);
    ntk_plan *plan = ntk_test_plan(c->text, c->shape, NTK_KERNEL_BOTH, (ntk_precision)(k % 2));
    double *x = ntk_test_inputs(33, c->shape, COUNT), *values = ntk_test_block(NULL, plan, x, COUNT, NULL, 0);
    double diagonal[2][COUNT], *out[2] = {diagonal[0], diagonal[1]};
    cr_assert_eq(ntk_plan_diagonal(NULL, plan, x, COUNT, out), NTK_OK, "%s", ntk_last_error());
    for (int o = 0; o < 2; o++)
      for (int i = 0; i < COUNT; i++)
        cr_expect(memcmp(&diagonal[o][i], &values[o * COUNT * COUNT + i * (COUNT + 1)], sizeof(double)) == 0,
                  "%s: entry %d", c->text, i);
    free(x), free(values);
    ntk_plan_free(plan);
  }
}

/* ---- positive semi-definiteness */

enum { POINTS = 24 };

/* Random images, noisy copies, scaled and negated ones, a constant and a black one: as near to singular as it gets. */
static double *hard_set(ntk_shape shape) {
  const size_t size = ntk_test_size(shape);
  double *x = ntk_test_inputs(34, shape, POINTS);
  ntk_test_random random = {35};
  for (size_t p = 0; p < size; p++) {
    for (int k = 1; k <= 8; k++) x[(size_t)k * size + p] = x[p] + pow(10, -k) * ntk_test_gaussian(&random);
    x[9 * size + p] = -x[p];
    x[10 * size + p] = 0.3 * x[p];
    x[11 * size + p] = x[p];
    x[12 * size + p] = 0;
    x[13 * size + p] = 0.7;
  }
  return x;
}

Test(properties, positive_semi_definite) {
  for (int k = 0; k < 2 * ALL; k++) {
    const network_case *c = network(k / 2);
    ntk_plan *plan = ntk_test_plan(c->text, c->shape, NTK_KERNEL_BOTH, (ntk_precision)(k % 2));
    double *x = hard_set(c->shape), *values = ntk_test_block(NULL, plan, x, POINTS, NULL, 0), eigenvalues[POINTS];
    for (int o = 0; o < 2; o++) {
      double *m = values + o * POINTS * POINTS;
      cr_assert_eq(LAPACKE_dsyev(LAPACK_ROW_MAJOR, 'N', 'U', POINTS, m, POINTS, eigenvalues), 0);
      const double ratio = eigenvalues[0] / eigenvalues[POINTS - 1];
      cr_expect(ratio >= (k % 2 ? -1e-10 : -1e-6), "%s %s: smallest / largest eigenvalue %.3g", c->text,
                precision_name(k % 2), ratio);
    }
    free(x), free(values);
    ntk_plan_free(plan);
  }
}

/* ---- homogeneity */

static void scaled(const double *x, size_t size, double factor, double *out) {
  for (size_t p = 0; p < size; p++) out[p] = factor * x[p];
}

Test(properties, homogeneous) {
  static const double factors[][2] = {{0.3, 7},       {1e-20, 1}, {1e20, 1e20}, {1e-20, 1e20},
                                      {1e-20, 1e-20}, {3e-5, 2},  {1e30, 1},    {1e-100, 1e90}};
  for (int k = 0; k < 2 * HOMOGENEOUS; k++) {
    const network_case *c = &homogeneous[k / 2];
    const size_t size = ntk_test_size(c->shape);
    double *x = ntk_test_inputs(36, c->shape, 4), want[2], got[2];
    pair(c->text, c->shape, k % 2, x, x + size, want);
    for (size_t f = 0; f < sizeof factors / sizeof *factors; f++) {
      const double a = factors[f][0], b = factors[f][1];
      scaled(x, size, a, x + 2 * size);
      scaled(x + size, size, b, x + 3 * size);
      pair(c->text, c->shape, k % 2, x + 2 * size, x + 3 * size, got);
      for (int o = 0; o < 2; o++) got[o] = got[o] / a / b;
      expect_pairs("scaled images", c->text, k % 2, got, want, k % 2 ? 1e-13 : 1e-6);
    }
    free(x);
  }
}

/* Powers of two change no bit. */
Test(properties, homogeneous_in_powers_of_two) {
  static const int exponents[][2] = {{1, 0}, {-3, 5}, {70, -60}, {-100, -100}, {130, 130}};
  for (int k = 0; k < 2 * HOMOGENEOUS; k++) {
    const network_case *c = &homogeneous[k / 2];
    const size_t size = ntk_test_size(c->shape);
    double *x = ntk_test_inputs(37, c->shape, 4), want[2], got[2];
    pair(c->text, c->shape, k % 2, x, x + size, want);
    for (size_t f = 0; f < sizeof exponents / sizeof *exponents; f++) {
      const int a = exponents[f][0], b = exponents[f][1];
      scaled(x, size, ldexp(1, a), x + 2 * size);
      scaled(x + size, size, ldexp(1, b), x + 3 * size);
      pair(c->text, c->shape, k % 2, x + 2 * size, x + 3 * size, got);
      for (int o = 0; o < 2; o++) got[o] = ldexp(got[o], -a - b);
      expect_pairs("images times powers of two", c->text, k % 2, got, want, 0);
    }
    free(x);
  }
}

Test(properties, black_images) {
  for (int k = 0; k < 2 * HOMOGENEOUS; k++) {
    const network_case *c = &homogeneous[k / 2];
    const size_t size = ntk_test_size(c->shape);
    double *x = ntk_test_inputs(38, c->shape, 2), got[2];
    memset(x, 0, size * sizeof *x);
    pair(c->text, c->shape, k % 2, x, x + size, got);
    cr_expect(got[0] == 0 && got[1] == 0, "%s: black against another: %g, %g", c->text, got[0], got[1]);
    pair(c->text, c->shape, k % 2, x, x, got);
    cr_expect(got[0] == 0 && got[1] == 0, "%s: black against itself: %g, %g", c->text, got[0], got[1]);
    free(x);
  }
}

/* ---- invariances */

/* out[c, i, j] = in[c, (i + down) mod H, (j + right) mod W], mirrored first. */
static void moved(const double *in, ntk_shape s, bool flip_rows, bool flip_columns, int64_t down, int64_t right,
                  double *out) {
  for (int64_t c = 0; c < s.channels; c++)
    for (int64_t i = 0; i < s.height; i++)
      for (int64_t j = 0; j < s.width; j++) {
        int64_t y = (i + down) % s.height, x = (j + right) % s.width;
        if (flip_rows) y = s.height - 1 - y;
        if (flip_columns) x = s.width - 1 - x;
        *out++ = in[(c * s.height + y) * s.width + x];
      }
}

Test(properties, mirrored_together) {
  for (int k = 0; k < 2 * ALL; k++) {
    const network_case *c = network(k / 2);
    const size_t size = ntk_test_size(c->shape);
    if (c->shape.height == 0) continue;
    double *x = ntk_test_inputs(39, c->shape, 4), want[2], got[2];
    pair(c->text, c->shape, k % 2, x, x + size, want);
    for (int flip = 1; flip < 4; flip++) {
      for (int n = 0; n < 2; n++)
        moved(x + (size_t)n * size, c->shape, flip & 1, flip & 2, 0, 0, x + (size_t)(2 + n) * size);
      pair(c->text, c->shape, k % 2, x + 2 * size, x + 3 * size, got);
      expect_pairs("mirrored images", c->text, k % 2, got, want, k % 2 ? 1e-13 : 1e-6);
    }
    free(x);
  }
}

/* Circular networks do not see where an image begins; with gap not even that both begin at the same place. */
Test(properties, translations) {
  static const char *const texts[] = {"2*(conv3(circular, b=0.2) relu) flatten",
                                      "conv5(circular) relu conv3(circular) relu lap(1, circular)",
                                      "conv3x1(circular) relu conv1 relu conv3(circular) relu gap"};
  const ntk_shape shape = {2, 5, 7};
  const size_t size = ntk_test_size(shape);
  double *x = ntk_test_inputs(40, shape, 4), want[2], got[2];
  for (int k = 0; k < 6; k++) {
    pair(texts[k / 2], shape, k % 2, x, x + size, want);
    for (int down = 0; down < 5; down += 2)
      for (int right = 0; right < 7; right += 3) {
        moved(x, shape, false, false, down, right, x + 2 * size);
        moved(x + size, shape, false, false, down, right, x + 3 * size);
        pair(texts[k / 2], shape, k % 2, x + 2 * size, x + 3 * size, got);
        expect_pairs("both translated", texts[k / 2], k % 2, got, want, k % 2 ? 1e-13 : 1e-6);
        if (k / 2 < 2) continue;
        pair(texts[k / 2], shape, k % 2, x + 2 * size, x + size, got);
        expect_pairs("one translated", texts[k / 2], k % 2, got, want, k % 2 ? 1e-13 : 1e-6);
      }
  }
  free(x);
}

/* Circular lap(c) averages the flatten kernel over the translations of both images by up to c, gap over all. */
Test(properties, pooling_averages_over_translations) {
  const ntk_shape shape = {2, 4, 5};
  const size_t size = ntk_test_size(shape);
  static const char *const convolutions = "2*(conv3(circular) relu)";
  double *x = ntk_test_inputs(41, shape, 2), want[2], got[2], mean[3][2] = {{0}};
  char flatten[64], readout[64];
  snprintf(flatten, sizeof flatten, "%s flatten", convolutions);
  double moved_x[2 * 4 * 5], moved_z[2 * 4 * 5];
  for (int c = 1; c <= 2; c++)
    for (int n = 0, side = 2 * c + 1; n < side * side * side * side; n++) {
      const int shift[4] = {n % side - c, n / side % side - c, n / side / side % side - c, n / side / side / side - c};
      moved(x, shape, false, false, shift[0] + 8, shift[1] + 10, moved_x);
      moved(x + size, shape, false, false, shift[2] + 8, shift[3] + 10, moved_z);
      pair(flatten, shape, NTK_F64, moved_x, moved_z, got);
      for (int o = 0; o < 2; o++) mean[c - 1][o] += got[o] / (side * side * side * side);
    }
  for (int n = 0; n < 20; n++) {
    moved(x, shape, false, false, n / 5, n % 5, moved_x);
    pair(flatten, shape, NTK_F64, moved_x, x + size, got);
    for (int o = 0; o < 2; o++) mean[2][o] += got[o] / 20;
  }
  for (int c = 1; c <= 3; c++) {
    snprintf(readout, sizeof readout, c < 3 ? "%s lap(%d, circular)" : "%s gap", convolutions, c);
    pair(readout, shape, NTK_F64, x, x + size, want);
    expect_pairs("mean over translations", readout, NTK_F64, mean[c - 1], want, 1e-13);
  }
  free(x);
}

/* ---- local average pooling */

Test(properties, lap_weights_by_enumeration) {
  for (int n = 1; n <= 9; n++)
    for (int c = 0; c <= 11; c++)
      for (int i = 0; i < n; i++)
        for (int k = 0; k < n; k++) {
          int zero = 0;
          long circular = 0;
          for (int centre = 0; centre < n; centre++) {
            zero += abs(i - centre) <= c && abs(k - centre) <= c;
            for (int a = -c; a <= c; a++) /* window places of i and of k, wrapped around */
              for (int b = -c; b <= c; b++)
                circular += (centre + a + 20 * n) % n == i && (centre + b + 20 * n) % n == k;
          }
          cr_expect_eq(ntk_lap_weight(i, k, n, c), zero, "w_%d(%d, %d), c = %d", n, i, k, c);
          cr_expect_eq(ntk_lap_weight_circular(i, k, n, c), circular, "circular w_%d(%d, %d), c = %d", n, i, k, c);
        }
}

/* Entries i and i + 1 of a tile axis belong together where both have the same offset i' - i. */
Test(properties, connections_by_enumeration) {
  for (int n = 1; n <= NTK_MAX_SIDE; n++)
    for (int a = 0; a < n; a++) {
      uint64_t connections = 0;
      for (int i = 0; i + 1 < n; i++) {
        const uint64_t same = (i + a) % n - i == (i + 1 + a) % n - (i + 1);
        connections |= same << i;
        cr_assert_eq(ntk_axis_connected(i, n, a), same, "entry %d of %d, offset %d", i, n, a);
      }
      cr_expect_eq(ntk_axis_connections(n, a), connections, "axis of %d, offset %d", n, a);
      cr_expect_eq(ntk_axis_connected(-1, n, a), 0);
      cr_expect_eq(ntk_axis_connected(n - 1, n, a), 0);
    }
}

Test(properties, lap_between_flatten_and_gap) {
  static const char *const bodies[] = {"2*(conv3 relu)", "2*(conv3(circular) relu)", "conv5 relu conv3(fixed) relu"};
  const ntk_shape shape = {2, 5, 6};
  double *x = ntk_test_inputs(42, shape, 2), small[2], large[2], want[2];
  const double *z = x + ntk_test_size(shape);
  for (int k = 0; k < 6; k++) {
    char text[128];
    snprintf(text, sizeof text, "%s flatten", bodies[k / 2]);
    pair(text, shape, k % 2, x, z, want);
    for (int circular = 0; circular < 2; circular++) {
      snprintf(text, sizeof text, "%s lap(0%s)", bodies[k / 2], circular ? ", circular" : "");
      pair(text, shape, k % 2, x, z, small);
      expect_pairs("lap(0) is flatten", text, k % 2, small, want, 0);
    }
    snprintf(text, sizeof text, "%s gap", bodies[k / 2]);
    pair(text, shape, k % 2, x, z, want);
    for (int c = 5; c <= 40; c += 7) {
      snprintf(text, sizeof text, "%s lap(%d)", bodies[k / 2], c);
      pair(text, shape, k % 2, x, z, large);
      for (int o = 0; o < 2; o++) large[o] *= pow(2 * c + 1, 4) / (30.0 * 30.0);
      expect_pairs("lap beyond the image is gap", text, k % 2, large, want, k % 2 ? 1e-13 : 1e-6);
    }
  }
  free(x);
}
