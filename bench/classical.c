/* The classical method (classical.h), written with care for one core. The constants 1/9 and 1/pi are folded into the
 * norms.
 *
 * Plain: arrays [i][j][i'][j'], nine terms a sum, from one array to another, as the published GPU scripts do.
 *
 * Separable and blocked: arrays [i][i'][j][j'], so that the box sum, which moves both pixels by the same shift, falls
 * into a sum along (j, j') inside contiguous blocks of 4 KiB and a sum of whole blocks along (i, i'); both work in
 * place.
 *
 * Compiled twice: CMakeLists.txt sets CLASSICAL_PAIR and the flags. */
#include "bench/classical.h"

#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif
enum { N = CLASSICAL_SIDE, BLOCK = N * N };

/* A block with a frame of zeros, so that the sums along (j, j') need no edges; rows start on cache lines. */
enum { MARGIN = 16, STRIDE = N + 2 * MARGIN };
typedef float framed[(N + 2) * STRIDE] __attribute__((aligned(64)));

INLINE float *inside(float *v) { return v + STRIDE + MARGIN; }

/* v: inside a frame. */
static void sum_columns(float *restrict block, const float *restrict v) {
  for (int j = 0; j < N; j++)
    for (int p = 0; p < N; p++)
      block[j * N + p] = v[(j - 1) * STRIDE + p - 1] + v[j * STRIDE + p] + v[(j + 1) * STRIDE + p + 1];
}

/* frame: zeros around, anything inside. */
static void sum_columns_in_place(float *block, float *frame) {
  for (int j = 0; j < N; j++) memcpy(inside(frame) + j * STRIDE, block + j * N, N * sizeof *frame);
  sum_columns(block, inside(frame));
}

static void add_blocks(float *restrict to, float *restrict above, const float *restrict below) {
  for (int k = 0; k < BLOCK; k++) {
    float here = to[k];
    to[k] = above[k] + here + below[k];
    above[k] = here;
  }
}

/* Sums along (i, i') of whole blocks, diagonal by diagonal, so that every block is read and written once. */
static void sum_rows(float *v) {
  static const float zeros[BLOCK] __attribute__((aligned(64)));
  float above[BLOCK] __attribute__((aligned(64)));
  for (int d = -(N - 1); d < N; d++) {
    int i = d < 0 ? -d : 0, end = d < 0 ? N : N - d;
    memset(above, 0, sizeof above);
    for (; i < end; i++) {
      float *block = v + ((size_t)i * N + i + d) * BLOCK;
      add_blocks(block, above, i + 1 < end ? block + (size_t)(N + 1) * BLOCK : zeros);
    }
  }
}

/* The ReLU duals of one block: new S = scale n k1(rho), new T = scale (T k0(rho) + n k1(rho)), to rows `stride` apart;
 * in place is allowed. */
INLINE void activate(const float *s, const float *t, const classical_image *x, const classical_image *z, int layer,
                     int i, int partner, float scale, float *new_s, float *new_t, const int stride) {
  const float pi = 3.14159265358979f, factor = scale / pi;
  const float *z_norms = z->norms[layer][partner], *z_reciprocals = z->reciprocals[layer][partner];
  for (int j = 0; j < N; j++) {
    float n = x->norms[layer][i][j] * factor, reciprocal = x->reciprocals[layer][i][j];
    INDEPENDENT for (int p = 0; p < N; p++) {
      float rho = s[j * N + p] * (reciprocal * z_reciprocals[p]);
      rho = fminf(fmaxf(rho, -1), 1);
      float angle = pi - acosf(rho);
      float value = n * z_norms[p] * (rho * angle + sqrtf(1 - rho * rho));
      new_s[j * stride + p] = value;
      new_t[j * stride + p] = t[j * N + p] * (angle * factor) + value;
    }
  }
}

/* The input products of one block, over channels and the filter's taps. */
static void multiply(float *restrict block, const classical_image *x, const classical_image *z, int i, int partner) {
  const float scale = 1.0f / (9 * CLASSICAL_CHANNELS);
  for (int j = 0; j < N; j++)
    for (int p = 0; p < N; p++) {
      float sum = 0;
      for (int c = 0; c < CLASSICAL_CHANNELS; c++) sum += x->pixels[c][i][j] * z->pixels[c][partner][p];
      block[j * N + p] = sum * scale;
    }
}

INLINE float *block_at(float *v, int i, int partner) { return v + ((size_t)i * N + partner) * BLOCK; }

#define EACH_BLOCK            \
  for (int i = 0; i < N; i++) \
    for (int k = 0; k < N; k++)

/* ---- plain */

/* to += from moved by (a, b), zeros coming in; both blocks are [i'][j']. */
INLINE void add_moved(float *restrict to, const float *restrict from, const int a, const int b) {
  const int first = b < 0 ? -b : 0, last = b > 0 ? N - b : N;
  for (int i = a < 0 ? -a : 0; i < (a > 0 ? N - a : N); i++)
    for (int j = first; j < last; j++) to[i * N + j] += from[(i + a) * N + j + b];
}

static void sum_plain(const float *from, float *to) {
  EACH_BLOCK {
    float *block = block_at(to, i, k);
    memset(block, 0, BLOCK * sizeof *block);
    for (int a = -1; a <= 1; a++) {
      if (i + a < 0 || i + a >= N) continue;
      if (k > 0) add_moved(block, from + ((size_t)(i + a) * N + k - 1) * BLOCK, a, -1);
      add_moved(block, from + ((size_t)(i + a) * N + k) * BLOCK, a, 0);
      if (k + 1 < N) add_moved(block, from + ((size_t)(i + a) * N + k + 1) * BLOCK, a, 1);
    }
  }
}

/* The ReLU duals of pixel (i, j) of x with all pixels of z, in place. */
static void activate_plain(float *restrict s, float *restrict t, const classical_image *x, const classical_image *z,
                           int layer, int i, int j, float scale) {
  const float pi = 3.14159265358979f, factor = scale / pi;
  const float n = x->norms[layer][i][j] * factor, reciprocal = x->reciprocals[layer][i][j];
  const float *z_norms = z->norms[layer][0], *z_reciprocals = z->reciprocals[layer][0];
  INDEPENDENT for (int p = 0; p < BLOCK; p++) {
    float rho = s[p] * (reciprocal * z_reciprocals[p]);
    rho = fminf(fmaxf(rho, -1), 1);
    float angle = pi - acosf(rho);
    float value = n * z_norms[p] * (rho * angle + sqrtf(1 - rho * rho));
    s[p] = value;
    t[p] = t[p] * (angle * factor) + value;
  }
}

static double pair_plain(const classical_image *x, const classical_image *z, int layers, float *s, float *t) {
  float *next_s = s + CLASSICAL_ENTRIES, *next_t = t + CLASSICAL_ENTRIES;
  const float *pixels = (const float *)z->pixels;
  EACH_BLOCK {
    float *block = block_at(next_s, i, k);
    for (int p = 0; p < BLOCK; p++) {
      float sum = 0;
      for (int c = 0; c < CLASSICAL_CHANNELS; c++) sum += x->pixels[c][i][k] * pixels[c * BLOCK + p];
      block[p] = sum * (1.0f / (9 * CLASSICAL_CHANNELS));
    }
  }
  sum_plain(next_s, s);
  memcpy(t, s, CLASSICAL_ENTRIES * sizeof *t);
  for (int l = 0; l < layers; l++) {
    EACH_BLOCK activate_plain(block_at(s, i, k), block_at(t, i, k), x, z, l, i, k, l + 1 < layers ? 1.0f / 9 : 1);
    if (l + 1 == layers) break;
    sum_plain(s, next_s);
    sum_plain(t, next_t);
    float *swap = s;
    s = next_s, next_s = swap;
    swap = t, t = next_t, next_t = swap;
  }
  double total = 0;
  EACH_BLOCK {
    const float *block = block_at(t, i, k);
    float sum = 0;
    for (int p = 0; p < BLOCK; p++) sum += block[p];
    total += (double)sum;
  }
  return total / CLASSICAL_ENTRIES;
}

/* ---- separable and blocked */

/* One sweep over the arrays for each operation. */
static void layer_by_sweeps(const classical_image *x, const classical_image *z, int layer, float *s, float *t) {
  framed frame;
  memset(frame, 0, sizeof frame);
  EACH_BLOCK {
    float *a = block_at(s, i, k), *b = block_at(t, i, k);
    activate(a, b, x, z, layer, i, k, 1.0f / 9, a, b, N);
  }
  EACH_BLOCK sum_columns_in_place(block_at(s, i, k), frame);
  EACH_BLOCK sum_columns_in_place(block_at(t, i, k), frame);
  sum_rows(s);
  sum_rows(t);
}

/* The duals and the column sums in one sweep. */
static void layer_by_blocks(const classical_image *x, const classical_image *z, int layer, float *s, float *t) {
  framed new_s, new_t;
  memset(new_s, 0, sizeof new_s);
  memset(new_t, 0, sizeof new_t);
  EACH_BLOCK {
    float *a = block_at(s, i, k), *b = block_at(t, i, k);
    activate(a, b, x, z, layer, i, k, 1.0f / 9, inside(new_s), inside(new_t), STRIDE);
    sum_columns(a, inside(new_s));
    sum_columns(b, inside(new_t));
  }
  sum_rows(s);
  sum_rows(t);
}

/* The last layer and the readout. */
static double pool(const classical_image *x, const classical_image *z, int layer, const float *s, const float *t) {
  float new_s[BLOCK] __attribute__((aligned(64))), new_t[BLOCK] __attribute__((aligned(64)));
  double total = 0;
  EACH_BLOCK {
    size_t at = ((size_t)i * N + k) * BLOCK;
    float sum = 0;
    activate(s + at, t + at, x, z, layer, i, k, 1, new_s, new_t, N);
    for (int q = 0; q < BLOCK; q++) sum += new_t[q];
    total += sum;
  }
  return total / CLASSICAL_ENTRIES;
}

double CLASSICAL_PAIR(const classical_image *x, const classical_image *z, int layers, classical_variant variant,
                      float *s, float *t) {
  if (variant == CLASSICAL_PLAIN) return pair_plain(x, z, layers, s, t);
  framed frame;
  memset(frame, 0, sizeof frame);
  EACH_BLOCK {
    multiply(block_at(s, i, k), x, z, i, k);
    sum_columns_in_place(block_at(s, i, k), frame);
  }
  sum_rows(s);
  memcpy(t, s, CLASSICAL_ENTRIES * sizeof *t);
  for (int l = 0; l + 1 < layers; l++) {
    if (variant == CLASSICAL_BLOCKED)
      layer_by_blocks(x, z, l, s, t);
    else
      layer_by_sweeps(x, z, l, s, t);
  }
  return pool(x, z, layers - 1, s, t);
}

#ifdef __FAST_MATH__
const char *classical_acos(void) {
#if defined(__GLIBC__) && defined(__x86_64__) && !defined(__clang__)
  return "libmvec";
#else
  return "scalar libm";
#endif
}
#endif
