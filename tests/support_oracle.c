#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/oracle.h"

static const long double pi = 3.14159265358979323846264338327950288L;

/* The pair's tensors; entry [i,j,k,l] stands at ((i Q + j) P + k) Q + l. */
typedef struct state {
  int height, width;
  bool same; /* x = z */
  long double *xz, *xx, *zz, *t;
} state;

static void check(bool condition, const char *what) {
  if (condition) return;
  fprintf(stderr, "oracle: %s\n", what);
  abort();
}

static size_t entries(const state *s) {
  const size_t pixels = (size_t)s->height * (size_t)s->width;
  return pixels * pixels;
}

static size_t at(const state *s, int i, int j, int k, int l) {
  return ((size_t)(i * s->width + j) * (size_t)s->height + (size_t)k) * (size_t)s->width + (size_t)l;
}

static state new_state(int height, int width, bool same) {
  check(height >= 1 && width >= 1, "an image without pixels");
  state s = {height, width, same, NULL, NULL, NULL, NULL};
  s.xz = calloc(entries(&s), sizeof *s.xz);
  s.xx = calloc(entries(&s), sizeof *s.xx);
  s.zz = calloc(entries(&s), sizeof *s.zz);
  s.t = calloc(entries(&s), sizeof *s.t);
  check(s.xz && s.xx && s.zz && s.t, "out of memory");
  return s;
}

static void free_state(state *s) {
  free(s->xz);
  free(s->xx);
  free(s->zz);
  free(s->t);
}

static state copy_state(const state *s) {
  state copy = new_state(s->height, s->width, s->same);
  const size_t bytes = entries(s) * sizeof *s->xz;
  memcpy(copy.xz, s->xz, bytes);
  memcpy(copy.xx, s->xx, bytes);
  memcpy(copy.zz, s->zz, bytes);
  memcpy(copy.t, s->t, bytes);
  return copy;
}

/* --- input --- */

static void input_products(const state *s, const double *a, const double *b, int channels, long double *out) {
  const int pixels = s->height * s->width;
  for (int p = 0; p < pixels; p++) {
    for (int q = 0; q < pixels; q++) {
      long double sum = 0;
      for (int c = 0; c < channels; c++) sum += (long double)a[c * pixels + p] * (long double)b[c * pixels + q];
      out[(size_t)p * (size_t)pixels + (size_t)q] = sum / channels;
    }
  }
}

/* --- windows: convolution and average pooling --- */

/* A window of `size` pixels per output pixel along one axis; output I covers inputs I*stride - before + 0 .. size-1. */
typedef struct axis {
  int input, output, size, stride, before;
  bool circular;
} axis;

static axis make_axis(int input, int size, int stride, oracle_padding padding, bool convolution) {
  axis a = {input, 0, size, stride, 0, padding == ORACLE_CIRCULAR};
  check(size >= 1 && stride >= 1, "a window or stride below 1");
  if (padding == ORACLE_VALID) {
    check(size <= input, "a valid window larger than the image");
    a.output = (input - size) / stride + 1;
    return a;
  }
  a.output = (input + stride - 1) / stride;
  if (convolution && padding != ORACLE_SAME) {
    check(size % 2 == 1, "a centred filter of even size");
    a.before = (size - 1) / 2;
  } else {
    check(padding != ORACLE_ZERO, "pooling is valid, same or circular");
    const int total = (a.output - 1) * stride + size - input;
    a.before = total > 0 ? total / 2 : 0;
  }
  return a;
}

/* The input index of place `w` of window `o`, or -1 outside. */
static int axis_index(const axis *a, int o, int w) {
  const int index = o * a->stride - a->before + w;
  if (a->circular) return ((index % a->input) + a->input) % a->input;
  return index >= 0 && index < a->input ? index : -1;
}

static int axis_in_range(const axis *a, int o) {
  int count = 0;
  for (int w = 0; w < a->size; w++) count += axis_index(a, o, w) >= 0;
  return count;
}

/* W2 (1/q^2) Box(S) + B2 at one entry: the same place of both windows. */
static long double box_entry(const state *in, const long double *s, const axis *rows, const axis *cols, int i, int j,
                             int k, int l) {
  long double sum = 0;
  for (int a = 0; a < rows->size; a++) {
    const int ia = axis_index(rows, i, a), ka = axis_index(rows, k, a);
    if (ia < 0 || ka < 0) continue;
    for (int b = 0; b < cols->size; b++) {
      const int jb = axis_index(cols, j, b), lb = axis_index(cols, l, b);
      if (jb >= 0 && lb >= 0) sum += s[at(in, ia, jb, ka, lb)];
    }
  }
  return sum;
}

static state apply_conv(const oracle_layer *layer, const state *in) {
  const axis rows = make_axis(in->height, layer->rows, layer->stride, layer->padding, true);
  const axis cols = make_axis(in->width, layer->cols, layer->stride, layer->padding, true);
  const long double w2 = (long double)layer->weight_std * layer->weight_std / (layer->rows * layer->cols);
  const long double b2 = (long double)layer->bias_std * layer->bias_std;
  state out = new_state(rows.output, cols.output, in->same);
  for (int i = 0; i < out.height; i++)
    for (int j = 0; j < out.width; j++)
      for (int k = 0; k < out.height; k++)
        for (int l = 0; l < out.width; l++) {
          const size_t e = at(&out, i, j, k, l);
          out.xz[e] = w2 * box_entry(in, in->xz, &rows, &cols, i, j, k, l) + b2;
          out.xx[e] = w2 * box_entry(in, in->xx, &rows, &cols, i, j, k, l) + b2;
          out.zz[e] = w2 * box_entry(in, in->zz, &rows, &cols, i, j, k, l) + b2;
          out.t[e] = w2 * box_entry(in, in->t, &rows, &cols, i, j, k, l) + (layer->trained ? out.xz[e] : 0);
        }
  return out;
}

/* The sum over all pairs of places of the two windows. */
static long double pool_entry(const state *in, const long double *s, const axis *rows, const axis *cols, int i, int j,
                              int k, int l) {
  long double sum = 0;
  for (int a = 0; a < rows->size; a++)
    for (int b = 0; b < cols->size; b++) {
      const int ia = axis_index(rows, i, a), jb = axis_index(cols, j, b);
      if (ia < 0 || jb < 0) continue;
      for (int c = 0; c < rows->size; c++)
        for (int d = 0; d < cols->size; d++) {
          const int kc = axis_index(rows, k, c), ld = axis_index(cols, l, d);
          if (kc >= 0 && ld >= 0) sum += s[at(in, ia, jb, kc, ld)];
        }
    }
  return sum;
}

static state apply_avgpool(const oracle_layer *layer, const state *in) {
  const axis rows = make_axis(in->height, layer->rows, layer->stride, layer->padding, false);
  const axis cols = make_axis(in->width, layer->cols, layer->stride, layer->padding, false);
  state out = new_state(rows.output, cols.output, in->same);
  for (int i = 0; i < out.height; i++)
    for (int j = 0; j < out.width; j++)
      for (int k = 0; k < out.height; k++)
        for (int l = 0; l < out.width; l++) {
          const size_t e = at(&out, i, j, k, l);
          long double divisor = (long double)rows.size * cols.size * rows.size * cols.size;
          if (layer->normalized) {
            divisor = (long double)axis_in_range(&rows, i) * axis_in_range(&cols, j);
            divisor *= (long double)axis_in_range(&rows, k) * axis_in_range(&cols, l);
          }
          out.xz[e] = pool_entry(in, in->xz, &rows, &cols, i, j, k, l) / divisor;
          out.xx[e] = pool_entry(in, in->xx, &rows, &cols, i, j, k, l) / divisor;
          out.zz[e] = pool_entry(in, in->zz, &rows, &cols, i, j, k, l) / divisor;
          out.t[e] = pool_entry(in, in->t, &rows, &cols, i, j, k, l) / divisor;
        }
  return out;
}

/* --- ReLU --- */

static long double k0(long double r) { return 1 - acosl(r) / pi; }

static long double k1(long double r) { return (sqrtl((1 - r) * (1 + r)) + r * (pi - acosl(r))) / pi; }

/* E[relu relu] c of one tensor in place, pixel variances u and v; with t also T <- T (c/2) k0. */
static void relu_tensor(size_t pixels, const long double *u, const long double *v, bool same, long double half,
                        long double *s, long double *t) {
  for (size_t p = 0; p < pixels; p++) {
    for (size_t q = 0; q < pixels; q++) {
      const size_t e = p * pixels + q;
      const long double n = sqrtl(u[p] * v[q]);
      if (!(n > 0)) { /* a pixel without variance */
        s[e] = 0;
        if (t) t[e] = 0;
        continue;
      }
      long double r = same && p == q ? 1 : s[e] / n;
      if (r > 1) r = 1;
      if (r < -1) r = -1;
      s[e] = half * n * k1(r);
      if (t) t[e] *= half * k0(r);
    }
  }
}

static void apply_relu(const oracle_layer *layer, state *s) {
  const size_t pixels = (size_t)s->height * (size_t)s->width;
  long double *u = malloc(pixels * sizeof *u), *v = malloc(pixels * sizeof *v);
  check(u && v, "out of memory");
  for (size_t p = 0; p < pixels; p++) {
    u[p] = s->xx[p * pixels + p];
    v[p] = s->zz[p * pixels + p];
  }
  const long double half = (long double)layer->factor / 2;
  relu_tensor(pixels, u, v, s->same, half, s->xz, s->t);
  relu_tensor(pixels, u, u, true, half, s->xx, NULL);
  relu_tensor(pixels, v, v, true, half, s->zz, NULL);
  free(u);
  free(v);
}

/* --- readouts: the result is a 1 x 1 image --- */

static long double mean_diagonal(const state *s, const long double *v) {
  long double sum = 0;
  for (int i = 0; i < s->height; i++)
    for (int j = 0; j < s->width; j++) sum += v[at(s, i, j, i, j)];
  return sum / ((long double)s->height * s->width);
}

static long double mean_all(const state *s, const long double *v) {
  long double sum = 0;
  for (size_t e = 0; e < entries(s); e++) sum += v[e];
  return sum / (long double)entries(s);
}

/* LAP_c / (P Q): every output pixel averages (2c+1) x (2c+1) pixels of both images. */
static long double mean_lap(const state *s, const long double *v, int c, bool circular) {
  const int size = 2 * c + 1;
  const axis rows = {s->height, s->height, size, 1, c, circular};
  const axis cols = {s->width, s->width, size, 1, c, circular};
  long double sum = 0;
  for (int i = 0; i < s->height; i++)
    for (int j = 0; j < s->width; j++) sum += pool_entry(s, v, &rows, &cols, i, j, i, j);
  return sum / powl(size, 4) / ((long double)s->height * s->width);
}

static long double readout(const oracle_layer *layer, const state *s, const long double *v) {
  if (layer->kind == ORACLE_FLATTEN) return mean_diagonal(s, v);
  if (layer->kind == ORACLE_GAP) return mean_all(s, v);
  return mean_lap(s, v, layer->pool, layer->pool_circular);
}

static state apply_readout(const oracle_layer *layer, const state *in) {
  state out = new_state(1, 1, in->same);
  out.xz[0] = readout(layer, in, in->xz);
  out.xx[0] = readout(layer, in, in->xx);
  out.zz[0] = readout(layer, in, in->zz);
  out.t[0] = readout(layer, in, in->t);
  return out;
}

/* --- the network --- */

static void apply_dense(const oracle_layer *layer, state *s) {
  check(s->height == 1 && s->width == 1, "a dense layer before the readout");
  const long double w2 = (long double)layer->weight_std * layer->weight_std;
  const long double b2 = (long double)layer->bias_std * layer->bias_std;
  s->xz[0] = w2 * s->xz[0] + b2;
  s->xx[0] = w2 * s->xx[0] + b2;
  s->zz[0] = w2 * s->zz[0] + b2;
  s->t[0] = w2 * s->t[0] + (layer->trained ? s->xz[0] : 0);
}

static void apply_layers(const oracle_layer *layers, size_t count, state *s);

static state apply_sum(const oracle_layer *layer, const state *in) {
  check(layer->branch_count >= 1, "a sum without branches");
  state out = copy_state(in);
  apply_layers(layer->branches[0].layers, layer->branches[0].count, &out);
  for (size_t b = 1; b < layer->branch_count; b++) {
    state branch = copy_state(in);
    apply_layers(layer->branches[b].layers, layer->branches[b].count, &branch);
    check(branch.height == out.height && branch.width == out.width, "branches of different shapes");
    for (size_t e = 0; e < entries(&out); e++) {
      out.xz[e] += branch.xz[e];
      out.xx[e] += branch.xx[e];
      out.zz[e] += branch.zz[e];
      out.t[e] += branch.t[e];
    }
    free_state(&branch);
  }
  return out;
}

static void apply_layers(const oracle_layer *layers, size_t count, state *s) {
  for (size_t n = 0; n < count; n++) {
    const oracle_layer *layer = &layers[n];
    state next = {0};
    switch (layer->kind) {
      case ORACLE_RELU: apply_relu(layer, s); continue;
      case ORACLE_DENSE: apply_dense(layer, s); continue;
      case ORACLE_CONV: next = apply_conv(layer, s); break;
      case ORACLE_AVGPOOL: next = apply_avgpool(layer, s); break;
      case ORACLE_SUM: next = apply_sum(layer, s); break;
      case ORACLE_FLATTEN:
      case ORACLE_GAP:
      case ORACLE_LAP: next = apply_readout(layer, s); break;
    }
    free_state(s);
    *s = next;
  }
}

void oracle_kernel(const oracle_layer *layers, size_t count, const double *x, const double *z, int channels, int height,
                   int width, long double *ntk, long double *nngp) {
  const bool vector = height == 0 && width == 0;
  const int p = vector ? 1 : height, q = vector ? 1 : width;
  const size_t bytes = (size_t)channels * (size_t)p * (size_t)q * sizeof *x;
  state s = new_state(p, q, x == z || memcmp(x, z, bytes) == 0);
  input_products(&s, x, z, channels, s.xz);
  input_products(&s, x, x, channels, s.xx);
  input_products(&s, z, z, channels, s.zz);
  apply_layers(layers, count, &s);
  check(s.height == 1 && s.width == 1, "the network has no readout");
  *ntk = s.t[0];
  *nngp = s.xz[0];
  free_state(&s);
}

void oracle_image(int k, int c, int h, int w, double *out) {
  for (int m = 0; m < c; m++)
    for (int i = 0; i < h; i++)
      for (int j = 0; j < w; j++)
        *out++ = sin(1 + k + (2 * m + 1) * (0.7 * i + 1.3 * j) + 0.5 * m * k) + 0.1 * cos(3.0 * i * j + k);
}

static oracle_layer plain(oracle_kind kind) {
  return (oracle_layer){.kind = kind, .rows = 1, .cols = 1, .stride = 1, .weight_std = 1, .trained = true, .factor = 2};
}

oracle_layer oracle_conv(int filter) {
  oracle_layer layer = plain(ORACLE_CONV);
  layer.rows = layer.cols = filter;
  return layer;
}

oracle_layer oracle_dense(void) { return plain(ORACLE_DENSE); }

oracle_layer oracle_relu(void) { return plain(ORACLE_RELU); }

oracle_layer oracle_avgpool(int window) {
  oracle_layer layer = plain(ORACLE_AVGPOOL);
  layer.rows = layer.cols = layer.stride = window;
  layer.padding = ORACLE_VALID;
  return layer;
}

oracle_layer oracle_sum(const oracle_branch *branches, size_t count) {
  oracle_layer layer = plain(ORACLE_SUM);
  layer.branches = branches;
  layer.branch_count = count;
  return layer;
}

oracle_layer oracle_flatten(void) { return plain(ORACLE_FLATTEN); }

oracle_layer oracle_gap(void) { return plain(ORACLE_GAP); }

oracle_layer oracle_lap(int c) {
  oracle_layer layer = plain(ORACLE_LAP);
  layer.pool = c;
  return layer;
}
