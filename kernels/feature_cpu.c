/* Operations on rows of features on the CPU (feature.h), one source for every instruction set. float32. */
#include "kernels/feature.h"
#include "kernels/feature_unit.h"
#include "kernels/lanes.h"

#define CONCAT2(a, b) a##b
#define CONCAT(a, b) CONCAT2(a, b)

/* ---- gather ---- */

static void add_columns(float *out, const float *in, const int8_t *sign, int count, float scale) {
  if (sign)
    for (int i = 0; i < count; i++) out[i] += scale * (float)sign[i] * in[i];
  else
    for (int i = 0; i < count; i++) out[i] += scale * in[i];
}

/* Columns of a source row into a span, from `at` on and round and round. */
static void add_row(const ntk_feature_gather *g, const float *in, const int8_t *sign, int at, float scale, float *out) {
  for (int i = 0; i < g->columns;) {
    const int room = g->span - at, left = g->columns - i, count = left < room ? left : room;
    add_columns(out + at, in + i, sign ? sign + i : NULL, count, scale);
    i += count, at = 0;
  }
}

/* A sum of rows column upon column: a few vectors at a time stay in registers through all taps. */
static void sum_rows(const ntk_feature_gather *g, const int32_t *source, const float *in, size_t in_stride, float scale,
                     float *out) {
  enum { WIDE = 8 };
  int i = 0;
  for (; i + WIDE * LANES <= g->columns; i += WIDE * LANES) {
    vec sum[WIDE];
    UNROLL for (int k = 0; k < WIDE; k++) sum[k] = vec_zero();
    for (int t = 0; t < g->taps; t++) {
      if (source[t] < 0) continue;
      const float *row = in + (size_t)source[t] * in_stride + i;
      UNROLL for (int k = 0; k < WIDE; k++) sum[k] = vec_add(sum[k], vec_loadu(row + k * LANES));
    }
    UNROLL for (int k = 0; k < WIDE; k++) {
      vec v = vec_mul(vec_set(scale), sum[k]);
      if (g->adds) v = vec_add(v, vec_loadu(out + i + k * LANES));
      memcpy(out + i + k * LANES, &v, sizeof v);
    }
  }
  for (; i < g->columns; i++) {
    float sum = 0;
    for (int t = 0; t < g->taps; t++) sum += source[t] < 0 ? 0 : in[(size_t)source[t] * in_stride + (size_t)i];
    out[i] = g->adds ? out[i] + scale * sum : scale * sum;
  }
}

static void gather(const ntk_feature_gather *g, const float *in, size_t in_stride, float *out, size_t out_stride) {
  for (int p = 0; p < g->outputs; p++) {
    float *row = out + (size_t)p * out_stride;
    const float scale = g->weight ? g->scale * g->weight[p] : g->scale;
    if (!g->sign && !g->shift) {
      sum_rows(g, g->source + (size_t)p * (size_t)g->taps, in, in_stride, scale, row);
      continue;
    }
    if (!g->adds) memset(row, 0, (size_t)g->span * sizeof *row);
    for (int t = 0; t < g->taps; t++) {
      const int32_t source = g->source[(size_t)p * (size_t)g->taps + (size_t)t];
      if (source < 0) continue;
      const int8_t *sign = g->sign ? g->sign + (size_t)t * (size_t)g->columns : NULL;
      add_row(g, in + (size_t)source * in_stride, sign, g->shift ? g->shift[t] : 0, scale, row);
    }
  }
}

/* ---- units ---- */

static void unit(const ntk_feature_unit *f, int derivative, const float *u, size_t count, float scale, float *out) {
  if (f->kind == NTK_UNIT_PIECES) {
    const float below = scale * f->params[0], above = scale * f->params[1];
    if (derivative)
      for (size_t i = 0; i < count; i++) out[i] = ntk_unit_step(below, above, u[i]);
    else
      for (size_t i = 0; i < count; i++) out[i] = ntk_unit_pieces(below, above, u[i]);
  } else if (f->kind == NTK_UNIT_EVEN) {
    const float length = f->params[0];
    if (derivative)
      for (size_t i = 0; i < count; i++) out[i] = scale * ntk_unit_sign(u[i]);
    else
      for (size_t i = 0; i < count; i++) out[i] = scale * ntk_unit_even(length, u[i]);
  } else if (derivative) {
    for (size_t i = 0; i < count; i++) out[i] = scale * ntk_unit_slope(f, u[i]);
  } else {
    for (size_t i = 0; i < count; i++) out[i] = scale * ntk_unit_value(f, u[i]);
  }
}

/* ---- Hadamard transforms ---- */

/* Butterflies between vectors `step` apart, two levels at a time: half the passes over memory. */
static void two_levels(float *a, int size, int step) {
  for (int block = 0; block < size; block += 4 * step)
    for (int i = block; i < block + step; i += LANES) {
      float *at = a + i;
      const vec x0 = vec_load(at), x1 = vec_load(at + step), x2 = vec_load(at + 2 * step), x3 = vec_load(at + 3 * step);
      const vec s0 = x0 + x1, d0 = x0 - x1, s1 = x2 + x3, d1 = x2 - x3;
      vec_store(at, s0 + s1), vec_store(at + step, d0 + d1);
      vec_store(at + 2 * step, s0 - s1), vec_store(at + 3 * step, d0 - d1);
    }
}

/* Three levels at a time. */
static void three_levels(float *a, int size, int step) {
  for (int block = 0; block < size; block += 8 * step)
    for (int i = block; i < block + step; i += LANES) {
      vec x[8], y[8];
      UNROLL for (int k = 0; k < 8; k++) x[k] = vec_load(a + i + k * step);
      UNROLL for (int k = 0; k < 4; k++) y[2 * k] = x[2 * k] + x[2 * k + 1], y[2 * k + 1] = x[2 * k] - x[2 * k + 1];
      UNROLL for (int k = 0; k < 8; k++) x[k] = k & 2 ? y[k - 2] - y[k] : y[k] + y[k + 2];
      UNROLL for (int k = 0; k < 8; k++) vec_store(a + i + k * step, k & 4 ? x[k - 4] - x[k] : x[k] + x[k + 4]);
    }
}

static void one_level(float *a, int size, int step) {
  for (int block = 0; block < size; block += 2 * step)
    for (int i = block; i < block + step; i += LANES) {
      const vec x = vec_load(a + i), y = vec_load(a + i + step);
      vec_store(a + i, x + y), vec_store(a + i + step, x - y);
    }
}

/* The levels inside of a vector. */
INLINE vec lane_levels(vec v) {
  UNROLL for (int step = 1; step < LANES; step *= 2) {
    real_bits index[LANES];
    real sign[LANES];
    UNROLL for (int l = 0; l < LANES; l++) index[l] = l ^ step, sign[l] = l & step ? -1 : 1;
    v = vec_fma(v, vec_loadu(sign), vec_permute(v, index));
  }
  return v;
}

static void hadamard_small(float *a, int size) {
  for (int step = 1; step < size; step *= 2)
    for (int block = 0; block < size; block += 2 * step)
      for (int i = block; i < block + step; i++) {
        const float x = a[i], y = a[i + step];
        a[i] = x + y, a[i + step] = x - y;
      }
}

/* LANES signs as numbers; GCC 12 converts bytes one by one unless told how. */
INLINE vec load_signs(const int8_t *sign) {
#if defined(__AVX512F__)
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)sign)));
#elif defined(__AVX2__)
  return (vec)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)sign)));
#else
  real lane[LANES] __attribute__((aligned(64)));
  for (int l = 0; l < LANES; l++) lane[l] = (real)sign[l];
  return vec_load(lane);
#endif
}

/* LANES numbers times their signs, zeros from `dim` on. */
INLINE vec load_signed(const ntk_feature_hadamard *h, const float *in, int i) {
  if (i + LANES <= h->dim) return vec_mul(load_signs(h->sign + i), vec_loadu(in + i));
  if (i >= h->dim) return vec_zero();
  real lane[LANES] __attribute__((aligned(64)));
  for (int l = 0; l < LANES; l++) lane[l] = i + l < h->dim ? (real)h->sign[i + l] * in[i + l] : 0;
  return vec_load(lane);
}

static void hadamard(const ntk_feature_hadamard *h, const float *in, float *work) {
  int step = LANES;
  if (h->size < LANES) {
    for (int i = 0; i < h->size; i++) work[i] = i < h->dim ? (float)h->sign[i] * in[i] : 0;
    hadamard_small(work, h->size);
    return;
  }
  if (h->size >= 4 * LANES) { /* the first two levels between vectors on the way in */
    for (int i = 0; i < h->size; i += 4 * LANES) {
      vec x[4];
      UNROLL for (int k = 0; k < 4; k++) x[k] = lane_levels(load_signed(h, in, i + k * LANES));
      const vec s0 = x[0] + x[1], d0 = x[0] - x[1], s1 = x[2] + x[3], d1 = x[2] - x[3];
      vec_store(work + i, s0 + s1), vec_store(work + i + LANES, d0 + d1);
      vec_store(work + i + 2 * LANES, s0 - s1), vec_store(work + i + 3 * LANES, d0 - d1);
    }
    step = 4 * LANES;
  } else {
    for (int i = 0; i < h->size; i += LANES) vec_store(work + i, lane_levels(load_signed(h, in, i)));
  }
  for (; 8 * step <= h->size; step *= 8) three_levels(work, h->size, step);
  if (4 * step <= h->size) two_levels(work, h->size, step), step *= 4;
  if (step < h->size) one_level(work, h->size, step);
}

static void sample(const float *x, const int32_t *ix, const float *y, const int32_t *iy, size_t count, float scale,
                   float *out) {
  if (y)
    for (size_t k = 0; k < count; k++) out[k] = scale * x[ix[k]] * y[iy[k]];
  else
    for (size_t k = 0; k < count; k++) out[k] = scale * x[ix[k]];
}

#define EXCHANGED(e)                                                                                              \
  {                                                                                                               \
    0 ^ e, 1 ^ e, 2 ^ e, 3 ^ e, 4 ^ e, 5 ^ e, 6 ^ e, 7 ^ e, 8 ^ e, 9 ^ e, 10 ^ e, 11 ^ e, 12 ^ e, 13 ^ e, 14 ^ e, \
        15 ^ e                                                                                                    \
  }
static const real_bits exchanged[16][16] __attribute__((aligned(64))) = {
    EXCHANGED(0),  EXCHANGED(1),  EXCHANGED(2),  EXCHANGED(3), EXCHANGED(4),  EXCHANGED(5),
    EXCHANGED(6),  EXCHANGED(7),  EXCHANGED(8),  EXCHANGED(9), EXCHANGED(10), EXCHANGED(11),
    EXCHANGED(12), EXCHANGED(13), EXCHANGED(14), EXCHANGED(15)};

static void pair(const float *x, int size, const float *y, const int32_t *blocks, size_t count, float scale,
                 float *out) {
  enum { BLOCK = 16 };
  const vec factor = vec_set(scale);
  for (size_t b = 0; b * BLOCK < count; b++) {
    const float *from = x + (b * BLOCK & (size_t)(size - 1)), *with = y + (blocks[b] & ~(BLOCK - 1));
    const real_bits *lanes = exchanged[blocks[b] & (LANES - 1)]; /* lane l of the result: l ^ those bits */
    float part[BLOCK] __attribute__((aligned(64)));
    UNROLL for (int l = 0; l < BLOCK; l += LANES) {
      const int other = l ^ (blocks[b] & (BLOCK - 1) & ~(LANES - 1));
      vec_store(part + l, vec_mul(vec_mul(factor, vec_load(from + l)), vec_permute(vec_load(with + other), lanes)));
    }
    const size_t left = count - b * BLOCK;
    if (left >= BLOCK)
      memcpy(out + b * BLOCK, part, sizeof part);
    else
      memcpy(out + b * BLOCK, part, left * sizeof *part);
  }
}

static void repeat(const float *x, int size, size_t count, float scale, float *out) {
  for (size_t k = 0; k < count; k += (size_t)size) {
    const size_t left = count - k < (size_t)size ? count - k : (size_t)size;
    for (size_t i = 0; i < left; i++) out[k + i] = scale * x[i];
  }
}

static void add(const float *in, const int8_t *sign, size_t count, float scale, float *out) {
  add_columns(out, in, sign, (int)count, scale);
}

const ntk_feature_ops CONCAT(ntk_feature_, NTK_ISA) = {gather, unit, hadamard, sample, pair, repeat, add};
