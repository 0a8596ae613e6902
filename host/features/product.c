/* Sketches of products, <S(x,y), S(x',y')> ~ <x,x'> <y,y'>: TensorSRHT, its Fourier variant, TensorSketch
 * (docs/features.md). */
#include <kissfft/kiss_fft.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/features/features.h"
#include "host/status.h"

struct ntk_product_fft {
  kiss_fft_cfg forward, inverse;
};

static ntk_status no_memory(void) { return ntk_fail(NTK_ERROR_MEMORY, "no memory for a sketch"); }

static int power_of_two(int n) {
  int size = 1;
  while (size < n) size *= 2;
  return size;
}

/* Which coordinates of the two transforms meet. The random signs alone make every pair unbiased; pairing them at random
 * keeps the errors of the pairs from adding up. x's go in order, y's in random order, by blocks of 16 whose lanes are
 * exchanged by a random XOR, so that a block is one load. */
static bool pair_coordinates(ntk_features *features, ntk_product *p) {
  enum { BLOCK = 16 };
  p->index_x = ntk_features_own(features, (size_t)p->dim, sizeof *p->index_x);
  if (!p->index_x) return false;
  for (int k = 0; k < p->dim; k++) p->index_x[k] = k % p->x.size;
  if (p->y.size < BLOCK || p->x.size < BLOCK) {
    p->index_y = ntk_draw_samples(features, (size_t)p->dim, p->y.size);
    return p->index_y != NULL;
  }
  const size_t count = ((size_t)p->dim + BLOCK - 1) / BLOCK;
  int32_t *exchange = ntk_draw_below(features, count, BLOCK);
  p->blocks = ntk_draw_samples(features, count, p->y.size / BLOCK);
  p->index_y = ntk_features_own(features, (size_t)p->dim, sizeof *p->index_y);
  if (!exchange || !p->blocks || !p->index_y) return false;
  for (size_t b = 0; b < count; b++) p->blocks[b] = p->blocks[b] * BLOCK + exchange[b];
  for (int k = 0; k < p->dim; k++) p->index_y[k] = p->blocks[k / BLOCK] ^ (k % BLOCK);
  return true;
}

ntk_status ntk_product_make(ntk_features *features, int dim_x, int dim_y, int dim, ntk_product *out) {
  const ntk_sketch kind = features->options.sketch;
  *out = (ntk_product){.kind = kind, .dim_x = dim_x, .dim_y = dim_y, .dim = dim};
  const int samples = kind == NTK_SKETCH_FOURIER ? dim / 2 : dim;
  out->x = (ntk_feature_hadamard){dim_x, power_of_two(dim_x), ntk_draw_signs(features, (size_t)dim_x)};
  out->y = (ntk_feature_hadamard){dim_y, power_of_two(dim_y), ntk_draw_signs(features, (size_t)dim_y)};
  if (kind == NTK_SKETCH_COUNT) {
    out->x.size = out->y.size = dim; /* of the circular convolution */
    out->index_x = ntk_draw_below(features, (size_t)dim_x, dim);
    out->index_y = ntk_draw_below(features, (size_t)dim_y, dim);
    out->scale = 1 / (float)dim; /* the inverse transform is not normalised */
  } else {
    if (kind == NTK_SKETCH_FOURIER) { /* both in one transform */
      out->x.size = out->y.size = kiss_fft_next_fast_size(dim_x > dim_y ? dim_x : dim_y);
      out->index_x = ntk_draw_samples(features, (size_t)samples, out->x.size);
      out->index_y = ntk_draw_samples(features, (size_t)samples, out->y.size);
    } else if (!pair_coordinates(features, out)) {
      return no_memory();
    }
    out->scale = samples > 0 ? 1 / sqrtf((float)samples) : 0;
  }
  return out->x.sign && out->y.sign && out->index_x && out->index_y ? NTK_OK : no_memory();
}

size_t ntk_product_work(const ntk_product *p) {
  const size_t x = (size_t)p->x.size, y = (size_t)p->y.size, pad = 16;
  return p->kind == NTK_SKETCH_SRHT ? x + y + pad : 4 * x + pad;
}

double ntk_product_flops(const ntk_product *p) {
  const double x = p->x.size, y = p->y.size;
  switch (p->kind) {
    case NTK_SKETCH_SRHT: return x * log2(x) + y * log2(y) + 2 * p->dim;
    case NTK_SKETCH_FOURIER: return 5 * x * log2(x) + 6 * p->dim;
    case NTK_SKETCH_COUNT: break;
  }
  return 10 * x * log2(x) + 6 * x;
}

ntk_status ntk_product_fft_create(const ntk_product *p, ntk_product_fft **out) {
  *out = NULL;
  if (p->kind == NTK_SKETCH_SRHT) return NTK_OK;
  ntk_product_fft *fft = calloc(1, sizeof *fft);
  if (fft) {
    fft->forward = kiss_fft_alloc(p->x.size, 0, NULL, NULL);
    if (p->kind == NTK_SKETCH_COUNT) fft->inverse = kiss_fft_alloc(p->x.size, 1, NULL, NULL);
  }
  *out = fft;
  return fft && fft->forward && (fft->inverse || p->kind == NTK_SKETCH_FOURIER) ? NTK_OK : no_memory();
}

void ntk_product_fft_free(ntk_product_fft *fft) {
  if (!fft) return;
  kiss_fft_free(fft->forward);
  kiss_fft_free(fft->inverse);
  free(fft);
}

/* The transforms X and Y of two real rows from the transform Z of x + iy: X_k = (Z_k + conj Z_-k) / 2,
 * Y_k = (Z_k - conj Z_-k) / 2i. */
static kiss_fft_cpx first_of(const kiss_fft_cpx *z, int k, int n) {
  const kiss_fft_cpx a = z[k], b = z[k ? n - k : 0];
  return (kiss_fft_cpx){(a.r + b.r) / 2, (a.i - b.i) / 2};
}

static kiss_fft_cpx second_of(const kiss_fft_cpx *z, int k, int n) {
  const kiss_fft_cpx a = z[k], b = z[k ? n - k : 0];
  return (kiss_fft_cpx){(a.i + b.i) / 2, (b.r - a.r) / 2};
}

static kiss_fft_cpx times(kiss_fft_cpx a, kiss_fft_cpx b) {
  return (kiss_fft_cpx){a.r * b.r - a.i * b.i, a.r * b.i + a.i * b.r};
}

static void fourier_row(const ntk_product *p, const ntk_product_fft *fft, const float *x, const float *y,
                        kiss_fft_cpx *work, float *out) {
  const int n = p->x.size;
  kiss_fft_cpx *z = work, *transform = work + n;
  memset(z, 0, (size_t)n * sizeof *z);
  for (int i = 0; i < p->dim_x; i++) z[i].r = (float)p->x.sign[i] * x[i];
  for (int i = 0; i < p->dim_y; i++) z[i].i = (float)p->y.sign[i] * y[i];
  kiss_fft(fft->forward, z, transform);
  for (int k = 0; k < p->dim / 2; k++) {
    const kiss_fft_cpx u = times(first_of(transform, p->index_x[k], n), second_of(transform, p->index_y[k], n));
    out[2 * k] = p->scale * u.r, out[2 * k + 1] = p->scale * u.i;
  }
  if (p->dim % 2) out[p->dim - 1] = 0;
}

static void count_row(const ntk_product *p, const ntk_product_fft *fft, const float *x, const float *y,
                      kiss_fft_cpx *work, float *out) {
  const int n = p->x.size;
  kiss_fft_cpx *z = work, *transform = work + n;
  memset(z, 0, (size_t)n * sizeof *z);
  for (int i = 0; i < p->dim_x; i++) z[p->index_x[i]].r += (float)p->x.sign[i] * x[i];
  for (int i = 0; i < p->dim_y; i++) z[p->index_y[i]].i += (float)p->y.sign[i] * y[i];
  kiss_fft(fft->forward, z, transform);
  for (int k = 0; k < n; k++) z[k] = times(first_of(transform, k, n), second_of(transform, k, n));
  kiss_fft(fft->inverse, z, transform);
  for (int k = 0; k < n; k++) out[k] = p->scale * transform[k].r;
}

void ntk_product_row(const ntk_product *p, const ntk_feature_ops *ops, const ntk_product_fft *fft, const float *x,
                     const float *y, float *work, float *out) {
  if (p->kind == NTK_SKETCH_FOURIER) {
    fourier_row(p, fft, x, y, (kiss_fft_cpx *)work, out);
  } else if (p->kind == NTK_SKETCH_COUNT) {
    count_row(p, fft, x, y, (kiss_fft_cpx *)work, out);
  } else {
    float *other = work + (p->x.size + 15) / 16 * 16;
    ops->hadamard(&p->x, x, work);
    ops->hadamard(&p->y, y, other);
    if (p->blocks)
      ops->pair(work, p->x.size, other, p->blocks, (size_t)p->dim, p->scale, out);
    else
      ops->sample(work, p->index_x, other, p->index_y, (size_t)p->dim, p->scale, out);
  }
}
