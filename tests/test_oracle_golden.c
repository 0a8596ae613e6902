/* The oracle against kernel values that an independent library computed (float64, good to about 1e-10). */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/oracle.h"
#include "tests/support.h"

enum { PAIRS = 2 }; /* of the larger images, so that this takes a second or two */

/* --- a reader of float64 .npy files, version 1, C order --- */

typedef struct array {
  double *values;
  int shape[4], dimensions;
} array;

static array read_npy(const char *name, const char *file) {
  char path[4096], header[512] = {0};
  unsigned char lead[10];
  snprintf(path, sizeof path, "%s/golden/%s/%s.npy", ntk_test_shared_dir(), name, file);
  array a = {NULL, {1, 1, 1, 1}, 0};
  FILE *stream = fopen(path, "rb");
  if (!stream) return a;
  cr_assert(fread(lead, 1, 10, stream) == 10 && memcmp(lead, "\x93NUMPY\x01", 7) == 0, "%s: not .npy", path);
  const size_t length = lead[8] + 256u * lead[9];
  cr_assert(length < sizeof header && fread(header, 1, length, stream) == length, "%s: header", path);
  cr_assert(strstr(header, "'<f8'") && strstr(header, "'fortran_order': False"), "%s: %s", path, header);
  const char *cursor = strchr(strstr(header, "'shape'"), '(') + 1;
  size_t count = 1;
  for (char *end; a.dimensions < 4; cursor = end + 1) {
    const long size = strtol(cursor, &end, 10);
    if (end == cursor) break;
    a.shape[a.dimensions++] = (int)size;
    count *= (size_t)size;
  }
  a.values = malloc(count * sizeof *a.values);
  cr_assert(a.values && fread(a.values, sizeof *a.values, count, stream) == count, "%s: truncated", path);
  fclose(stream);
  return a;
}

/* --- comparison --- */

static double relative(long double got, double want) {
  return want == 0 ? fabs((double)got) : fabs((double)((got - (long double)want) / (long double)want));
}

/* Compares the pairs (i, j), i <= j (all of them against Z), at most `pairs` of them. */
static void compare(const char *name, const oracle_layer *net, size_t count, int pairs) {
  array x = read_npy(name, "X"), z = read_npy(name, "Z"), ntk = read_npy(name, "ntk"), nngp = read_npy(name, "nngp");
  cr_assert(x.values && ntk.values && nngp.values, "%s: files are missing", name);
  const array *columns = z.values ? &z : &x;
  const int size = x.shape[1] * x.shape[2] * x.shape[3];
  const int height = x.dimensions == 2 ? 0 : x.shape[2], width = x.dimensions == 2 ? 0 : x.shape[3];
  int done = 0;
  for (int i = 0; i < x.shape[0]; i++)
    for (int j = z.values ? 0 : i; j < columns->shape[0] && done < pairs; j++, done++) {
      long double t, s;
      oracle_kernel(net, count, x.values + i * size, columns->values + j * size, x.shape[1], height, width, &t, &s);
      const double t_error = relative(t, ntk.values[i * columns->shape[0] + j]);
      const double s_error = relative(s, nngp.values[i * columns->shape[0] + j]);
      /* the other library rounds the correlation of a point with itself, which the NTK's k0 magnifies */
      const bool self = !z.values && i == j;
      cr_expect(t_error < (self ? 1e-8 : 1e-13) && s_error < 1e-13, "%s[%d,%d]: relative error NTK %.2g, NNGP %.2g",
                name, i, j, t_error, s_error);
    }
  free(x.values);
  free(z.values);
  free(ntk.values);
  free(nngp.values);
}

#define COMPARE(name, pairs, ...)                           \
  do {                                                      \
    const oracle_layer net_[] = {__VA_ARGS__};              \
    compare(name, net_, sizeof net_ / sizeof *net_, pairs); \
  } while (0)

static bool skip_without_files(void) {
  if (ntk_test_shared_dir()) return false;
  cr_skip_test("no folder with golden values: set NTK_SHARED_DIR");
  return true;
}

/* --- shorthand for layers --- */

static oracle_layer conv(int rows, int cols, int stride, oracle_padding padding) {
  oracle_layer layer = oracle_conv(rows);
  layer.cols = cols;
  layer.stride = stride;
  layer.padding = padding;
  return layer;
}

static oracle_layer affine(oracle_layer layer, double weight, double bias, bool trained) {
  layer.weight_std = weight;
  layer.bias_std = bias;
  layer.trained = trained;
  return layer;
}

static oracle_layer relu(double c) {
  oracle_layer layer = oracle_relu();
  layer.factor = c;
  return layer;
}

static oracle_layer pool(int window, int stride, oracle_padding padding, bool normalized) {
  oracle_layer layer = oracle_avgpool(window);
  layer.stride = stride;
  layer.padding = padding;
  layer.normalized = normalized;
  return layer;
}

static oracle_layer circular_lap(int c) {
  oracle_layer layer = oracle_lap(c);
  layer.pool_circular = true;
  return layer;
}

Test(oracle_golden, fully_connected) {
  if (skip_without_files()) return;
  const oracle_layer d = oracle_dense(), f = affine(d, 1, 0, false), b = affine(d, 1.5, 0.1, true);
  const oracle_layer r = relu(2), r1 = relu(1);
  COMPARE("fc-relu3", 1000, d, r, d, r, d, r, d);
  COMPARE("fc-relu-bias", 1000, b, r1, b, r1, b);
  COMPARE("fc-relu-fixed1", 1000, f, r, d, r, d);
  COMPARE("fc-relu-nngp-like", 1000, f, r, f, r, d);
}

Test(oracle_golden, convolutions) {
  if (skip_without_files()) return;
  const oracle_layer c = conv(3, 3, 1, ORACLE_ZERO), o = conv(3, 3, 1, ORACLE_CIRCULAR), f = affine(c, 1, 0, false);
  const oracle_layer b = affine(c, 1.4, 0.3, true), r = relu(2), r1 = relu(1), d = oracle_dense();
  const oracle_layer flatten = oracle_flatten(), gap = oracle_gap();
  COMPARE("conv-zero-flatten", 100, c, r, c, r, c, r, flatten, d);
  COMPARE("conv-zero-gap", 100, c, r, c, r, c, r, gap, d);
  COMPARE("conv-zero-lap1", 100, c, r, c, r, c, r, oracle_lap(1), d);
  COMPARE("conv-zero-lap2", 100, c, r, c, r, c, r, oracle_lap(2), d);
  COMPARE("conv-circular-flatten", 100, o, r, o, r, o, r, flatten, d);
  COMPARE("conv-circular-gap", 100, o, r, o, r, o, r, gap, d);
  COMPARE("conv-circular-lap2", 100, o, r, o, r, o, r, circular_lap(2), d);
  COMPARE("conv-bias", 100, b, r1, b, r1, gap, affine(d, 1.2, 0.2, true));
  COMPARE("conv-5-1-3", 100, conv(5, 5, 1, ORACLE_ZERO), r, conv(1, 1, 1, ORACLE_ZERO), r, c, r, gap, d);
  COMPARE("conv-3x5", 100, conv(3, 5, 1, ORACLE_ZERO), r, conv(5, 3, 1, ORACLE_ZERO), r, flatten, d);
  COMPARE("conv-fixed-gap", 100, f, r, c, r, c, r, gap, affine(d, 1, 0, false));
  COMPARE("conv-black", 100, c, r, c, r, c, r, gap, d);
  COMPARE("flatten-dense-dense", 100, c, r, c, r, flatten, d, r, d);
}

Test(oracle_golden, strides_and_padding) {
  if (skip_without_files()) return;
  const oracle_layer c = conv(3, 3, 1, ORACLE_ZERO), s = conv(3, 3, 2, ORACLE_ZERO), v = conv(3, 3, 1, ORACLE_VALID);
  const oracle_layer r = relu(2), d = oracle_dense(), flatten = oracle_flatten(), gap = oracle_gap();
  COMPARE("stride2-odd-gap", PAIRS, c, r, s, r, c, r, gap, d);
  COMPARE("stride2-odd-flatten", PAIRS, c, r, s, r, c, r, flatten, d);
  COMPARE("stride2-same-even", PAIRS, c, r, conv(3, 3, 2, ORACLE_SAME), r, c, r, gap, d);
  COMPARE("valid", PAIRS, v, r, v, r, gap, d);
}

Test(oracle_golden, average_pooling) {
  if (skip_without_files()) return;
  const oracle_layer c = conv(3, 3, 1, ORACLE_ZERO), r = relu(2), d = oracle_dense(), p = oracle_avgpool(2);
  const oracle_layer flatten = oracle_flatten(), gap = oracle_gap();
  COMPARE("avgpool2", PAIRS, c, r, p, c, r, gap, d);
  COMPARE("avgpool2-flatten", PAIRS, c, r, p, c, r, flatten, d);
  COMPARE("avgpool3-stride1-same", PAIRS, c, r, pool(3, 1, ORACLE_SAME, false), c, r, flatten, d);
  COMPARE("avgpool3-stride2-normalized", PAIRS, c, r, pool(3, 2, ORACLE_SAME, true), c, r, gap, d);
}

Test(oracle_golden, residual_sums) {
  if (skip_without_files()) return;
  const oracle_layer c = conv(3, 3, 1, ORACLE_ZERO), r = relu(2), d = oracle_dense(), flatten = oracle_flatten();
  const oracle_layer block[] = {r, c, r, c}, project[] = {conv(1, 1, 2, ORACLE_ZERO)};
  const oracle_layer down[] = {conv(3, 3, 2, ORACLE_ZERO), r, c}, gap = oracle_gap();
  const oracle_branch identity[] = {{NULL, 0}, {block, 4}}, smaller[] = {{project, 1}, {down, 3}};
  const oracle_layer id = oracle_sum(identity, 2), half = oracle_sum(smaller, 2);
  COMPARE("res-identity", PAIRS, c, id, id, r, gap, d);
  COMPARE("res-project", PAIRS, c, r, half, r, c, r, gap, d);
  COMPARE("res-flatten", PAIRS, c, r, half, r, c, r, flatten, d);
}
