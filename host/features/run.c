/* Runs a feature map over inputs: batches of images from one counter to a team of threads, every batch through all
 * operations in the memory of its thread. */
#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/clock.h"
#include "host/context.h"
#include "host/cuda/features.h"
#include "host/features/features.h"
#include "host/features/polynomial.h"
#include "host/regress/blas.h"
#include "host/status.h"

typedef struct team {
  ntk_context *context;
  const ntk_features *features;
  const ntk_feature_ops *ops;
  ntk_feature_source source;
  int64_t first, count;
  float *out;
  atomic_llong next; /* input */
  atomic_int failed;
  pthread_mutex_t lock; /* of what follows */
  ntk_status status;
  char message[512];
  ntk_features_times times;
} team;

typedef struct worker {
  team *team;
  float *memory;          /* all slots, batch images each */
  float *units;           /* rows x (order1 + order0) of one matrix product */
  float *padded;          /* rows x inputs, the last rows of a batch */
  float *work;            /* of a product */
  double *input;          /* one image */
  int image;              /* of the batch, the first one of an operation */
  ntk_product_fft **ffts; /* [op] */
  ntk_features_times times;
} worker;

static ntk_status no_memory(const ntk_features *f) {
  return ntk_fail(NTK_ERROR_MEMORY,
                  "no memory for features: a thread needs %lld bytes; use fewer --threads or a smaller --dim",
                  (long long)f->cost.bytes_per_thread);
}

static void *take(size_t bytes) {
  void *memory = NULL;
  return posix_memalign(&memory, 64, bytes ? bytes : 64) == 0 ? memory : NULL;
}

static size_t input_size(const ntk_features *f) {
  return (size_t)f->shape.channels * (size_t)(f->shape.height ? f->shape.height * f->shape.width : 1);
}

static void close_worker(worker *w) {
  for (int k = 0; w->ffts && k < w->team->features->op_count; k++) ntk_product_fft_free(w->ffts[k]);
  free(w->ffts), free(w->memory), free(w->units), free(w->padded), free(w->work), free(w->input);
}

static ntk_status open_worker(worker *w, team *t) {
  const ntk_features *f = t->features;
  size_t units = 0, padded = 0, work = 0;
  *w = (worker){.team = t, .ffts = calloc((size_t)f->op_count + 1, sizeof *w->ffts)};
  for (int k = 0; k < f->op_count && w->ffts; k++) {
    const ntk_unit_layer *u = f->ops[k].unit;
    if (!u) continue;
    const size_t rows = (size_t)u->rows, a = rows * (size_t)(u->order1 + u->order0), b = rows * (size_t)u->inputs;
    size_t c = ntk_product_work(&u->product);
    for (int kind = 0; kind < 2; kind++)
      if (u->polynomial[kind]) c += ntk_polynomial_work(u->polynomial[kind]);
    units = a > units ? a : units, padded = b > padded ? b : padded, work = c > work ? c : work;
    if (f->ops[k].psi_out.dim) NTK_TRY(ntk_product_fft_create(&u->product, &w->ffts[k]));
  }
  w->memory = take(f->floats_per_image * (size_t)f->batch * sizeof(float));
  w->units = take(units * sizeof(float)), w->padded = take(padded * sizeof(float)),
  w->work = take(work * sizeof(float));
  w->input = take(input_size(f) * sizeof(double));
  return w->ffts && w->memory && w->units && w->padded && w->work && w->input ? NTK_OK : no_memory(f);
}

/* ---- one batch ---- */

static size_t stride_of(const worker *w, ntk_view view) { return (size_t)w->team->features->slots[view.slot].stride; }

static size_t image_of(const worker *w, ntk_view view) {
  const ntk_slot *slot = &w->team->features->slots[view.slot];
  return slot->shared ? 0 : (size_t)slot->pixels * (size_t)slot->stride;
}

/* Row 0 of the first image of a view. */
static float *rows_of(const worker *w, ntk_view view) {
  const ntk_features *f = w->team->features;
  return w->memory + f->slots[view.slot].place * (size_t)f->batch + (size_t)w->image * image_of(w, view) + view.column;
}

/* Images first .. first + count into the first slot: channels of a pixel side by side. */
static ntk_status read_batch(worker *w, int64_t first, int count) {
  const ntk_features *f = w->team->features;
  const ntk_feature_source *source = &w->team->source;
  const size_t size = input_size(f), pixels = (size_t)f->slots[0].pixels, channels = size / pixels;
  for (int i = 0; i < count; i++) {
    const double *values = source->values + (source->data ? 0 : (size_t)(first + i) * size);
    if (source->data) {
      NTK_TRY(ntk_dataset_read(source->data, first + i, 1, w->input));
      values = w->input;
    }
    float *row = w->memory + (size_t)i * size;
    for (size_t c = 0; c < channels; c++)
      for (size_t p = 0; p < pixels; p++) {
        const double value = values[c * pixels + p];
        if (!isfinite(value))
          return ntk_fail(NTK_ERROR_DATA, "input %lld holds a value that is not finite: repair the data",
                          (long long)(first + i));
        row[p * channels + c] = (float)value;
      }
  }
  return NTK_OK;
}

static void run_gather(const worker *w, const ntk_feature_op *op, int count) {
  for (int i = 0; i < count; i++)
    w->team->ops->gather(&op->gather, rows_of(w, op->in) + (size_t)i * image_of(w, op->in), stride_of(w, op->in),
                         rows_of(w, op->out) + (size_t)i * image_of(w, op->out), stride_of(w, op->out));
}

static void run_fill(const worker *w, const ntk_feature_op *op, int count) {
  const size_t rows = (size_t)count * (size_t)w->team->features->slots[op->out.slot].pixels;
  float *at = rows_of(w, op->out);
  for (size_t r = 0; r < rows; r++) at[r * stride_of(w, op->out)] = op->fill;
}

static float norm_of(const float *row, int count) {
  double square = 0;
  for (int i = 0; i < count; i++) square += (double)row[i] * (double)row[i];
  return (float)sqrt(square);
}

/* u = a W for the rows of one product; short ones are padded, so that every row goes the same way through the BLAS. */
static void multiply(const worker *w, const ntk_feature_op *op, const float *rows, int count) {
  const ntk_unit_layer *u = op->unit;
  const int columns = u->order1 + u->order0;
  size_t stride = stride_of(w, op->in);
  if (count < u->rows) {
    memset(w->padded, 0, (size_t)u->rows * (size_t)u->inputs * sizeof(float));
    for (int r = 0; r < count; r++)
      memcpy(w->padded + (size_t)r * (size_t)u->inputs, rows + (size_t)r * stride, (size_t)u->inputs * sizeof(float));
    rows = w->padded, stride = (size_t)u->inputs;
  }
  if (columns > 0)
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, u->rows, columns, u->inputs, op->in.scale, rows, (int)stride,
                u->weights, columns, 0, w->units, columns);
}

/* s and s' of every unit of `count` rows: f' into place, s' over u. */
static void activate(const worker *w, const ntk_feature_op *op, const float *rows, size_t first, int count) {
  const ntk_unit_layer *u = op->unit;
  const size_t columns = (size_t)(u->order1 + u->order0);
  for (int r = 0; r < count; r++) {
    float *unit = w->units + (size_t)r * columns, scale = u->scale1;
    if (u->normalise) {
      const float norm = norm_of(rows + (size_t)r * stride_of(w, op->in), u->inputs) * op->in.scale;
      const float inverse = norm > 0 ? 1 / norm : 0;
      for (size_t k = 0; k < columns; k++) unit[k] *= inverse;
      scale *= norm;
    }
    if (op->out.dim)
      w->team->ops->unit(&u->unit, 0, unit, (size_t)u->order1, scale,
                         rows_of(w, op->out) + (first + (size_t)r) * stride_of(w, op->out));
    if (op->psi_out.dim)
      w->team->ops->unit(&u->unit, 1, unit + u->order1, (size_t)u->order0, u->scale0 * op->psi.scale, unit + u->order1);
  }
}

static void sketch(const worker *w, const ntk_feature_op *op, const ntk_product_fft *fft, size_t first, int count) {
  const ntk_unit_layer *u = op->unit;
  const size_t columns = (size_t)(u->order1 + u->order0);
  for (int r = 0; r < count; r++)
    ntk_product_row(&u->product, w->team->ops, fft, rows_of(w, op->psi) + (first + (size_t)r) * stride_of(w, op->psi),
                    w->units + (size_t)r * columns + u->order1, w->work,
                    rows_of(w, op->psi_out) + (first + (size_t)r) * stride_of(w, op->psi_out));
}

/* Polynomials of the cosine instead of random features: rows of both into place. */
static void expand(const worker *w, const ntk_feature_op *op, const float *rows, size_t first, int count) {
  const ntk_unit_layer *u = op->unit;
  const size_t columns = (size_t)(u->order1 + u->order0);
  for (int r = 0; r < count; r++) {
    const float *row = rows + (size_t)r * stride_of(w, op->in);
    const float norm = norm_of(row, u->inputs), inverse = norm > 0 ? 1 / norm : 0;
    if (op->out.dim)
      ntk_polynomial_row(u->polynomial[0], w->team->ops, row, inverse,
                         u->scale1 * (u->normalise ? norm * op->in.scale : 1), w->work,
                         rows_of(w, op->out) + (first + (size_t)r) * stride_of(w, op->out));
    if (op->psi_out.dim)
      ntk_polynomial_row(u->polynomial[1], w->team->ops, row, inverse, u->scale0 * op->psi.scale, w->work,
                         w->units + (size_t)r * columns + u->order1);
  }
}

static void run_unit(worker *w, const ntk_feature_op *op, const ntk_product_fft *fft, int count) {
  const ntk_unit_layer *u = op->unit;
  const int rows = count * w->team->features->slots[op->in.slot].pixels;
  for (int first = 0; first < rows; first += u->rows) {
    const int some = rows - first < u->rows ? rows - first : u->rows;
    const float *in = rows_of(w, op->in) + (size_t)first * stride_of(w, op->in);
    const double started = ntk_now();
    double multiplied = started;
    if (u->polynomial[0]) {
      expand(w, op, in, (size_t)first, some);
    } else {
      multiply(w, op, in, some);
      multiplied = ntk_now();
      activate(w, op, in, (size_t)first, some);
    }
    const double activated = ntk_now();
    if (op->psi_out.dim) sketch(w, op, fft, (size_t)first, some);
    w->times.products += multiplied - started, w->times.units += activated - multiplied;
    w->times.sketches += ntk_now() - activated;
  }
}

/* One operation on images w->image .. w->image + count of the batch. */
static void run_op(worker *w, int k, int count) {
  const ntk_feature_op *op = &w->team->features->ops[k];
  const double before = ntk_now();
  if (op->kind == NTK_OP_UNIT) {
    run_unit(w, op, w->ffts[k], count);
    return;
  }
  if (op->kind == NTK_OP_GATHER) run_gather(w, op, count);
  if (op->kind == NTK_OP_FILL) run_fill(w, op, count);
  w->times.sums += ntk_now() - before;
}

static ntk_status run_batch(worker *w, int64_t at, int count) {
  const team *t = w->team;
  const ntk_features *f = t->features;
  const double started = ntk_now();
  NTK_TRY(read_batch(w, t->first + at, count));
  w->times.input += ntk_now() - started;
  for (w->image = 0; w->image < count; w->image++)
    for (int k = 0; k < f->single_ops; k++) run_op(w, k, 1);
  w->image = 0;
  for (int k = f->single_ops; k < f->op_count; k++) run_op(w, k, count);
  const float scale = (float)(f->result.scale * sqrt(f->scale));
  for (int i = 0; i < count; i++) {
    const float *row = rows_of(w, f->result) + (size_t)i * image_of(w, f->result);
    float *out = t->out + (size_t)(at + i) * (size_t)f->result.dim;
    for (int k = 0; k < f->result.dim; k++) out[k] = scale * row[k];
  }
  return NTK_OK;
}

/* ---- the team ---- */

static void *work(void *argument) {
  team *t = argument;
  worker w;
  ntk_status status = open_worker(&w, t);
  while (status == NTK_OK && !atomic_load(&t->failed)) {
    const int64_t at = atomic_fetch_add(&t->next, t->features->batch);
    if (at >= t->count) break;
    if (t->context && atomic_load(&t->context->cancelled))
      status = ntk_fail(NTK_ERROR_INTERRUPTED, "interrupted");
    else
      status = run_batch(&w, at, (int)(t->count - at < t->features->batch ? t->count - at : t->features->batch));
  }
  pthread_mutex_lock(&t->lock);
  if (status != NTK_OK && t->status == NTK_OK) {
    t->status = status;
    snprintf(t->message, sizeof t->message, "%s", ntk_last_error());
    atomic_store(&t->failed, 1);
  }
  ntk_features_times_add(&t->times, &w.times);
  pthread_mutex_unlock(&t->lock);
  close_worker(&w);
  return NULL;
}

ntk_status ntk_features_threads(const ntk_context *context, const ntk_features *f, int64_t count, int *threads) {
  const int64_t batches = (count + f->batch - 1) / f->batch;
  const int64_t budget = context ? (int64_t)context->memory : (int64_t)512 << 20;
  const int64_t left = budget - f->cost.random_bytes, fit = left / f->cost.bytes_per_thread;
  if (left < 0 || fit < 1)
    return ntk_fail(
        NTK_ERROR_MEMORY,
        "these features need %lld MiB (%lld MiB of random matrices and %lld MiB a thread), the budget is %lld "
        "MiB: raise --memory or choose a smaller --dim",
        (long long)((f->cost.random_bytes + f->cost.bytes_per_thread) >> 20) + 1,
        (long long)(f->cost.random_bytes >> 20), (long long)(f->cost.bytes_per_thread >> 20) + 1,
        (long long)(budget >> 20));
  *threads = context ? ntk_context_threads(context) : ntk_cores();
  if (*threads > fit) *threads = (int)fit;
  if (*threads > batches) *threads = (int)batches;
  if (*threads < 1) *threads = 1;
  return NTK_OK;
}

static ntk_status run_on_cpu(ntk_context *context, const ntk_features *features, ntk_feature_source source,
                             int64_t first, int64_t count, float *out, ntk_features_times *times) {
  enum { MOST_THREADS = 1024 };
  int threads, started = 0;
  NTK_TRY(ntk_features_threads(context, features, count, &threads));
  team t = {.context = context,
            .features = features,
            .ops = ntk_context_backend(context)->features,
            .source = source,
            .first = first,
            .count = count,
            .out = out};
  /* what is drawn is a part of the map that no caller can see change */
  NTK_TRY(ntk_features_draw(context, (ntk_features *)features, &t.times.draw));
  pthread_t *others = malloc((size_t)MOST_THREADS * sizeof *others);
  pthread_mutex_init(&t.lock, NULL);
  ntk_blas_threads_push(1);
  while (others && started < threads - 1 && started < MOST_THREADS &&
         pthread_create(&others[started], NULL, work, &t) == 0)
    started++;
  work(&t);
  for (int k = 0; k < started; k++) pthread_join(others[k], NULL);
  ntk_blas_threads_pop();
  pthread_mutex_destroy(&t.lock);
  free(others);
  if (times) ntk_features_times_add(times, &t.times);
  return t.status == NTK_OK ? NTK_OK : ntk_fail(t.status, "%s", t.message);
}

/* Weights and exponentials can be so large that features overflow. */
static ntk_status check_finite(const ntk_features *features, int64_t first, int64_t count, const float *z) {
  const size_t dim = (size_t)features->result.dim;
  for (size_t k = 0; k < (size_t)count * dim; k++)
    if (!isfinite(z[k]))
      return ntk_fail(
          NTK_ERROR_NETWORK,
          "the features of input %lld leave the range of float32: choose W, or what is in an exponential, smaller",
          (long long)first + (long long)(k / dim));
  return NTK_OK;
}

ntk_status ntk_features_run(ntk_context *context, const ntk_features *features, ntk_feature_source source,
                            int64_t first, int64_t count, float *out, ntk_features_times *times) {
  if (count < 1) return NTK_OK;
  NTK_TRY(ntk_context_uses_cuda(context) ? ntk_cuda_features_run(context, features, source, first, count, out, times)
                                         : run_on_cpu(context, features, source, first, count, out, times));
  return check_finite(features, first, count, out);
}

ntk_status ntk_features_compute(ntk_context *context, const ntk_features *features, const double *x, int64_t n,
                                float *out, ntk_features_times *times) {
  if (!features || !x || !out || n < 1) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_features_compute: a bad argument");
  return ntk_features_run(context, features, (ntk_feature_source){NULL, x}, 0, n, out, times);
}
