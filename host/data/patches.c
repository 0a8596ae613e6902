/* Random patches (Coates and Ng; arXiv:1911.00809): whitened patches of the training images as filters, of
 * whose responses the positive and the negative part beyond a threshold become channels.
 *
 * This file and preprocess.c are compiled without fused multiply-adds and fit with plain loops, so that the filters are
 * the same on every machine. */
#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/data/dataset.h"
#include "host/data/preprocess.h"
#include "host/data/random.h"
#include "host/regress/blas.h"
#include "host/status.h"

enum { MOST_VALUES = 32766 }; /* of a patch */

/* A drawn patch: number `index` of the sample is at `position`, image * positions + row * columns + column. */
typedef struct drawn {
  int64_t position, index;
} drawn;

typedef struct fit {
  const ntk_preprocess *p;
  const ntk_dataset *train;
  int64_t values;    /* of a patch */
  int64_t positions; /* of a patch in an image */
  drawn *draws;      /* by position */
  double *image, *patch;
  double *moments; /* values x values, the lower triangle */
} fit;

static int64_t patch_values(const ntk_preprocess *p) { return p->shape.channels * p->choice.size * p->choice.size; }

static int64_t filters(const ntk_preprocess *p) { return p->choice.count * (p->choice.mirror ? 2 : 1); }

ntk_shape ntk_patches_output(const ntk_preprocess *p) {
  return (ntk_shape){2 * filters(p), p->shape.height - p->choice.size + 1, p->shape.width - p->choice.size + 1};
}

static double *numbers(int64_t rows, int64_t columns) { return calloc((size_t)rows, (size_t)columns * sizeof(double)); }

static ntk_status no_memory(void) {
  return ntk_fail(NTK_ERROR_MEMORY, "no memory to draw patches: lower sample=, count= or size=");
}

ntk_status ntk_patches_check(const ntk_preprocess *p) {
  const ntk_shape shape = p->shape;
  const long long size = p->choice.size;
  if (shape.height == 0)
    return ntk_fail(NTK_ERROR_ARGUMENT, "patches are cut out of images, but these records are vectors of %lld values",
                    (long long)shape.channels);
  if (size > shape.height || size > shape.width)
    return ntk_fail(NTK_ERROR_ARGUMENT,
                    "patches of %lld x %lld do not fit into images of %lld x %lld: lower size=", size, size,
                    (long long)shape.height, (long long)shape.width);
  if (shape.channels > MOST_VALUES / (size * size))
    return ntk_fail(NTK_ERROR_ARGUMENT,
                    "patches of %lld x %lld in %lld channels have more than %d values: lower size=", size, size,
                    (long long)shape.channels, MOST_VALUES);
  return NTK_OK;
}

/* ---- fitting ---- */

static int by_position(const void *a, const void *b) {
  const drawn *x = a, *y = b;
  if (x->position != y->position) return x->position < y->position ? -1 : 1;
  return x->index < y->index ? -1 : x->index > y->index;
}

static void draw(fit *f) {
  const ntk_preprocess_choice *choice = &f->p->choice;
  uint64_t state = ntk_random_stream(choice->seed, 0);
  for (int64_t k = 0; k < choice->sample; k++)
    f->draws[k] = (drawn){(int64_t)ntk_random_below(&state, (uint64_t)(f->train->count * f->positions)), k};
  qsort(f->draws, (size_t)choice->sample, sizeof *f->draws, by_position);
}

/* Cuts out a patch (channels x size x size), removes its mean and divides it by its norm. */
static void cut(const fit *f, int64_t position) {
  const double least_norm = 1e-8;
  const ntk_shape shape = f->p->shape;
  const int64_t size = f->p->choice.size, columns = shape.width - size + 1;
  const double *from = f->image + position / columns * shape.width + position % columns;
  double *to = f->patch, sum = 0, squares = 0;
  for (int64_t c = 0; c < shape.channels; c++)
    for (int64_t row = 0; row < size; row++)
      for (int64_t column = 0; column < size; column++)
        sum += *to++ = from[(c * shape.height + row) * shape.width + column];
  for (int64_t i = 0; i < f->values; i++) {
    f->patch[i] -= sum / (double)f->values;
    squares += f->patch[i] * f->patch[i];
  }
  const double norm = sqrt(squares);
  for (int64_t i = 0; i < f->values && norm >= least_norm; i++) f->patch[i] /= norm;
}

/* Sums p p^T over the sample; its first `count` patches go to the array. */
static ntk_status sum_moments(const fit *f) {
  const ntk_preprocess *p = f->p;
  int64_t image = -1;
  for (int64_t k = 0; k < p->choice.sample; k++) {
    const drawn *d = &f->draws[k];
    if (d->position / f->positions != image) {
      image = d->position / f->positions;
      NTK_TRY(ntk_preprocess_read_before(p->before, f->train, image, 1, f->image));
    }
    cut(f, d->position % f->positions);
    for (int64_t i = 0; i < f->values; i++)
      for (int64_t j = 0; j <= i; j++) f->moments[i * f->values + j] += f->patch[i] * f->patch[j];
    if (d->index < p->choice.count)
      memcpy(p->array + d->index * f->values, f->patch, (size_t)f->values * sizeof *f->patch);
  }
  return NTK_OK;
}

/* M = L L^T in place of the lower triangle. */
static bool factorise(double *m, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j <= i; j++) {
      double sum = m[i * n + j];
      for (int64_t k = 0; k < j; k++) sum -= m[i * n + k] * m[j * n + k];
      if (i == j && !(sum > 0)) return false;
      m[i * n + j] = i == j ? sqrt(sum) : sum / m[j * n + j];
    }
  return true;
}

/* x = M^-1 x with the factor of M. */
static void solve(const double *l, int64_t n, double *x) {
  for (int64_t i = 0; i < n; i++) {
    for (int64_t k = 0; k < i; k++) x[i] -= l[i * n + k] * x[k];
    x[i] /= l[i * n + i];
  }
  for (int64_t i = n - 1; i >= 0; i--) {
    for (int64_t k = i + 1; k < n; k++) x[i] -= l[k * n + i] * x[k];
    x[i] /= l[i * n + i];
  }
}

/* Filters are p (C + eps I)^-1: one (C + eps I)^(-1/2) whitens the stored patch, the other the patch of the image that
 * it is correlated with. */
static ntk_status whiten(const fit *f) {
  const ntk_preprocess_choice *choice = &f->p->choice;
  const int64_t n = f->values;
  for (int64_t i = 0; i < n * n; i++) f->moments[i] /= (double)choice->sample;
  for (int64_t i = 0; i < n; i++) f->moments[i * (n + 1)] += choice->eps;
  if (!factorise(f->moments, n))
    return ntk_fail(NTK_ERROR_NUMERIC, "the moments of the patches are not positive definite: raise eps=");
  for (int64_t k = 0; k < choice->count; k++) solve(f->moments, n, f->p->array + k * n);
  return NTK_OK;
}

ntk_status ntk_patches_fit(ntk_preprocess *p, const ntk_dataset *train) {
  NTK_TRY(ntk_patches_check(p));
  const ntk_shape out = ntk_patches_output(p);
  const int64_t n = patch_values(p);
  if (!(p->array = numbers(p->choice.count, n))) return no_memory();
  fit f = {.p = p,
           .train = train,
           .values = n,
           .positions = out.height * out.width,
           .draws = calloc((size_t)p->choice.sample, sizeof *f.draws),
           .image = numbers(1, train->source.values),
           .patch = numbers(1, n),
           .moments = numbers(n, n)};
  ntk_status status = f.draws && f.image && f.patch && f.moments ? NTK_OK : no_memory();
  if (status == NTK_OK) draw(&f);
  if (status == NTK_OK) status = sum_moments(&f);
  if (status == NTK_OK) status = whiten(&f);
  free(f.draws), free(f.image), free(f.patch), free(f.moments);
  return status;
}

/* ---- applying ---- */

/* The filters, then their mirror images. */
ntk_status ntk_patches_operand(ntk_preprocess *p) {
  const int64_t n = patch_values(p), size = p->choice.size, count = p->choice.count;
  p->operand = p->array;
  if (!p->choice.mirror) return NTK_OK;
  if (!(p->operand = numbers(2 * count, n))) return no_memory();
  memcpy(p->operand, p->array, (size_t)(count * n) * sizeof *p->array);
  for (int64_t i = 0; i < count * n; i++) p->operand[count * n + i] = p->array[i - i % size + size - 1 - i % size];
  return NTK_OK;
}

/* Patches as columns: columns[k][position] is value k of the patch at a position. */
static void unfold(ntk_shape shape, int64_t size, const double *image, double *columns) {
  const int64_t height = shape.height - size + 1, width = shape.width - size + 1;
  for (int64_t c = 0; c < shape.channels; c++)
    for (int64_t row = 0; row < size; row++)
      for (int64_t column = 0; column < size; column++)
        for (int64_t i = 0; i < height; i++, columns += width)
          memcpy(columns, image + (c * shape.height + i + row) * shape.width + column, (size_t)width * sizeof *image);
}

/* Channel f: max(0, response - t); channel filters + f: max(0, -response - t). */
static void rectify(int64_t count, double threshold, double *out) {
  for (int64_t i = 0; i < count; i++) {
    const double response = out[i];
    out[i] = fmax(response - threshold, 0);
    out[count + i] = fmax(-response - threshold, 0);
  }
}

ntk_status ntk_patches_read(const ntk_preprocess *p, const ntk_dataset *dataset, int64_t first, int64_t count,
                            double *out) {
  const ntk_shape shape = ntk_patches_output(p);
  const int64_t positions = shape.height * shape.width, n = patch_values(p), values = dataset->source.values;
  double *image = numbers(1, values), *columns = numbers(n, positions);
  ntk_status status = image && columns ? NTK_OK : ntk_fail(NTK_ERROR_MEMORY, "no memory to preprocess records");
  ntk_blas_threads_push(1); /* so that bits do not depend on the number of threads */
  for (int64_t k = 0; k < count && status == NTK_OK; k++, out += shape.channels * positions) {
    status = ntk_preprocess_read_before(p->before, dataset, first + k, 1, image);
    if (status != NTK_OK) break;
    unfold(p->shape, p->choice.size, image, columns);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)filters(p), (int)positions, (int)n, 1, p->operand,
                (int)n, columns, (int)positions, 0, out, (int)positions);
    rectify(filters(p) * positions, p->choice.threshold, out);
  }
  ntk_blas_threads_pop();
  free(image), free(columns);
  return status;
}
