/* Random objects of a feature map (kernels/random.h says how numbers are made). */
#include "kernels/random.h"

#include <math.h>
#include <stdlib.h>

#include "host/clock.h"
#include "host/context.h"
#include "host/features/features.h"
#include "host/status.h"

int8_t *ntk_draw_signs(ntk_features *features, size_t count) {
  int8_t *signs = ntk_features_own(features, count, sizeof *signs);
  const uint32_t stream = features->streams++;
  for (size_t k = 0; signs && k < count; k += 128) {
    const ntk_random_words w = ntk_random_block(features->options.seed, stream, k / 128);
    for (size_t j = 0; j < 128 && k + j < count; j++) signs[k + j] = (w.word[j / 32] >> (j % 32)) & 1 ? -1 : 1;
  }
  return signs;
}

static uint32_t word_at(uint64_t seed, uint32_t stream, uint64_t k) {
  return ntk_random_block(seed, stream, k / 4).word[k % 4];
}

int32_t *ntk_draw_below(ntk_features *features, size_t count, int n) {
  int32_t *out = ntk_features_own(features, count, sizeof *out);
  const uint32_t stream = features->streams++;
  for (size_t k = 0; out && k < count; k++)
    out[k] = (int32_t)ntk_random_scale(word_at(features->options.seed, stream, k), (uint32_t)n);
  return out;
}

/* One random permutation of 0..n-1 after the other: every sample is uniform, as sampling with replacement has it, and
 * the samples repel each other, which lowers the variance. */
int32_t *ntk_draw_samples(ntk_features *features, size_t count, int n) {
  int32_t *out = ntk_features_own(features, count, sizeof *out), *order = malloc((size_t)n * sizeof *order);
  const uint32_t stream = features->streams++;
  uint64_t used = 0;
  for (size_t k = 0; out && order && k < count; k++) {
    const int at = (int)(k % (size_t)n);
    for (int i = 0; at == 0 && i < n; i++) order[i] = i;
    const int other = at + (int)ntk_random_scale(word_at(features->options.seed, stream, used++), (uint32_t)(n - at));
    out[k] = order[other], order[other] = order[at];
  }
  if (!order) out = NULL;
  free(order);
  return out;
}

/* ---- directions of order-1 and order-0 features ---- */

/* One Gibbs sweep over a vector of N(0,1) numbers towards the density |w|^2 N(w; 0, I): given s, the sum of the other
 * coordinates' squares, a coordinate has the distribution function Phi(t) - t phi(t) / (s + 1), inverted on the
 * published grid of 1001 points of [-9, 9] with linear interpolation. */
static double gibbs_cumulative(double t, double s) {
  return 0.5 * erfc(-t * M_SQRT1_2) - t * exp(-t * t / 2) / sqrt(2 * M_PI) / (s + 1);
}

static double gibbs_draw(double uniform, double s) {
  enum { LAST = 1000 };
  const double step = 18.0 / LAST;
  int low = 0, high = LAST;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (gibbs_cumulative(-9 + step * middle, s) <= uniform)
      low = middle;
    else
      high = middle;
  }
  const double a = gibbs_cumulative(-9 + step * low, s), b = gibbs_cumulative(-9 + step * high, s);
  const double part = b > a ? (uniform - a) / (b - a) : 0;
  return -9 + step * (low + (part < 0 ? 0 : part > 1 ? 1 : part));
}

static void gibbs_sweep(uint64_t seed, uint32_t stream, int column, float *w, int inputs, size_t stride) {
  double square = 0;
  for (int i = 0; i < inputs; i++) square += (double)w[(size_t)i * stride] * (double)w[(size_t)i * stride];
  for (int i = 0; i < inputs; i++) {
    float *at = &w[(size_t)i * stride];
    const uint64_t number = (uint64_t)column * (uint64_t)inputs + (uint64_t)i;
    const double uniform = ((double)word_at(seed, stream, number) + 0.5) * 0x1p-32;
    const double others = fmax(0, square - (double)*at * (double)*at);
    *at = (float)gibbs_draw(uniform, others);
    square = others + (double)*at * (double)*at;
  }
}

/* sqrt(d) / |w| of every column: the weights of the density |w|^2/d N(w; 0, I). The directions of its draws are uniform
 * on the sphere, as those of Gaussian vectors are, and only directions count. */
static void to_sphere(float *w, int inputs, size_t stride) {
  double square = 0;
  for (int i = 0; i < inputs; i++) square += (double)w[(size_t)i * stride] * (double)w[(size_t)i * stride];
  const float scale = (float)(square > 0 ? sqrt(inputs / square) : 0);
  for (int i = 0; i < inputs; i++) w[(size_t)i * stride] *= scale;
}

/* Rows of the matrix: number k of the stream is entry (k / count, k % count). */
static void draw_rows(const ntk_directions *d, uint64_t seed, float *weights, size_t stride, int from, int to) {
  const uint64_t count = (uint64_t)d->count, first = (uint64_t)from * count, last = (uint64_t)to * count;
  float normals[4];
  for (uint64_t k = first; k < last; k++) {
    if (k == first || k % 4 == 0) ntk_random_normals(seed, d->stream, k / 4, normals);
    weights[k / count * stride + (size_t)d->first + k % count] = normals[k % 4];
  }
}

typedef struct drawing {
  ntk_features *features;
  atomic_int next; /* piece */
  bool second;     /* reweighting, by columns; first: Gaussian numbers, by rows */
} drawing;

enum { PIECE = 64 }; /* rows or columns of a matrix that one thread takes at a time */

static void draw_piece(drawing *d, ntk_unit_layer *layer, int kind, int piece) {
  const ntk_directions *directions = &layer->directions[kind];
  const size_t stride = (size_t)(layer->order1 + layer->order0);
  const int size = d->second ? directions->count : layer->inputs;
  const int from = piece * PIECE, to = from + PIECE < size ? from + PIECE : size;
  const uint64_t seed = d->features->options.seed;
  if (!d->second) {
    draw_rows(directions, seed, layer->weights, stride, from, to);
    return;
  }
  if (directions->sampling == NTK_SAMPLING_GAUSSIAN) return;
  for (int column = from; column < to; column++) {
    float *w = layer->weights + directions->first + column;
    /* the stream behind this one is the sweep's */
    if (directions->sampling == NTK_SAMPLING_GIBBS)
      gibbs_sweep(seed, directions->stream + 1, column, w, layer->inputs, stride);
    to_sphere(w, layer->inputs, stride);
  }
}

static void *draw_pieces(void *argument) {
  drawing *d = argument;
  for (;;) {
    int piece = atomic_fetch_add(&d->next, 1);
    bool done = true;
    for (int k = 0; k < d->features->op_count && done; k++) {
      ntk_unit_layer *layer = d->features->ops[k].unit;
      for (int kind = 0; kind < 2 && layer && layer->weights && done; kind++) {
        const int size = d->second ? layer->directions[kind].count : layer->inputs;
        const int pieces = layer->directions[kind].count ? (size + PIECE - 1) / PIECE : 0;
        if (piece < pieces) draw_piece(d, layer, kind, piece), done = false;
        piece -= pieces;
      }
    }
    if (done) return NULL;
  }
}

static void draw_in_threads(drawing *d, int threads) {
  pthread_t others[64];
  int started = 0;
  atomic_store(&d->next, 0);
  while (started < threads - 1 && started < 64 && pthread_create(&others[started], NULL, draw_pieces, d) == 0)
    started++;
  draw_pieces(d);
  for (int k = 0; k < started; k++) pthread_join(others[k], NULL);
}

ntk_status ntk_features_draw(ntk_context *context, ntk_features *features, double *seconds) {
  if (atomic_load(&features->drawn)) return NTK_OK;
  const double started = ntk_now();
  pthread_mutex_lock(&features->lock);
  bool memory = true;
  if (!atomic_load(&features->drawn)) {
    for (int k = 0; k < features->op_count && memory; k++) {
      ntk_unit_layer *layer = features->ops[k].unit;
      const size_t columns = layer ? (size_t)(layer->order1 + layer->order0) : 0;
      if (!layer || layer->polynomial[0] || layer->weights) continue;
      layer->weights = ntk_features_own(features, (size_t)layer->inputs * columns, sizeof(float));
      memory = layer->weights != NULL;
    }
    if (memory) {
      const int threads = context ? ntk_context_threads(context) : ntk_cores();
      drawing d = {.features = features};
      draw_in_threads(&d, threads);
      d.second = true;
      draw_in_threads(&d, threads);
      atomic_store(&features->drawn, true);
    }
  }
  pthread_mutex_unlock(&features->lock);
  if (seconds) *seconds += ntk_now() - started;
  return memory ? NTK_OK
                : ntk_fail(NTK_ERROR_MEMORY, "no memory for %lld bytes of random matrices: choose a smaller --dim",
                           (long long)features->cost.random_bytes);
}
