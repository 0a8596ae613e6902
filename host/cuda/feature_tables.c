#include "host/cuda/feature_tables.h"

#include <math.h>
#include <stdlib.h>

#include "host/context.h"
#include "host/cuda/call.h"
#include "host/features/polynomial.h"
#include "host/status.h"

static const size_t batch_bytes = (size_t)1 << 30, pinned_bytes = (size_t)64 << 20;
/* The numbers that a matrix product leaves stay in the device's cache for the activations behind it, and are enough
 * tiles for every multiprocessor. */
static const size_t unit_floats = (size_t)8 << 20;
enum {
  MOST_BATCH = 8192,
  MOST_ROWS = 8192,
  LEAST_ROWS = 128,
  TREES = 8 /* buffers: polynomial.c's subtrees, two more */
};

size_t ntk_cuda_feature_input(const ntk_features *f) {
  return (size_t)f->shape.channels * (size_t)(f->shape.height ? f->shape.height * f->shape.width : 1);
}

size_t ntk_cuda_feature_pinned_bytes(const ntk_features *f) {
  return (ntk_cuda_feature_input(f) + (size_t)f->result.dim) * sizeof(float);
}

size_t ntk_cuda_feature_image_bytes(const ntk_features *f) {
  return f->floats_per_image * sizeof(float) + ntk_cuda_feature_pinned_bytes(f);
}

/* ---- sizes ---- */

static size_t padded(size_t n) { return (n + 31) / 32 * 32; }

static size_t largest(size_t a, size_t b) { return a > b ? a : b; }

static int choose_batch(const ntk_features *f) {
  const size_t fit = batch_bytes / ntk_cuda_feature_image_bytes(f);
  const size_t pinned = pinned_bytes / ntk_cuda_feature_pinned_bytes(f);
  const size_t batch = fit < pinned ? fit : pinned;
  return batch < 1 ? 1 : batch > MOST_BATCH ? MOST_BATCH : (int)batch;
}

/* Floats of an FFT's row. */
static size_t wave_floats(const ntk_feature_op *op) {
  return op->psi_out.dim && op->unit->product.kind != NTK_SKETCH_SRHT ? 2 * (size_t)op->unit->product.x.size : 0;
}

static size_t branch_floats(const ntk_unit_layer *u) {
  size_t width = 0;
  for (int kind = 0; kind < 2; kind++)
    if (u->polynomial[kind]) width = largest(width, padded((size_t)u->polynomial[kind]->width));
  return width;
}

static void choose_rows(const ntk_features *f, ntk_cuda_feature_tables *t) {
  t->batch = choose_batch(f);
  for (int k = 0; k < f->op_count; k++) {
    const ntk_unit_layer *u = f->ops[k].unit;
    if (!u) continue;
    const ntk_slot *slot = &f->slots[f->ops[k].in.slot];
    const size_t columns = padded((size_t)(u->order1 + u->order0)), branch = branch_floats(u);
    const size_t wave = wave_floats(&f->ops[k]);
    const size_t all = (size_t)slot->pixels * (size_t)t->batch;
    size_t rows = unit_floats / largest(largest(columns, 1), largest(wave / 4, 2 * branch));
    if (rows > MOST_ROWS) rows = MOST_ROWS;
    if (rows > all) rows = all;
    rows = (rows + LEAST_ROWS - 1) / LEAST_ROWS * LEAST_ROWS;
    if (rows == 0) rows = LEAST_ROWS;
    t->ops[k].rows = (int)rows;
    t->rows = (int)largest((size_t)t->rows, rows);
    t->behind = largest(t->behind, rows * (size_t)slot->stride);
    t->units = largest(t->units, rows * columns), t->waves = largest(t->waves, rows * wave);
    t->branch = largest(t->branch, rows * branch);
    if (branch) t->trees = TREES;
  }
}

/* ---- tables ---- */

/* Device memory that is freed with the tables. */
static ntk_status take(ntk_cuda_feature_tables *t, size_t bytes, void **out) {
  void **memory = realloc(t->memory, (t->memory_count + 1) * sizeof *memory);
  if (!memory) return ntk_fail(NTK_ERROR_MEMORY, "no memory for a feature map");
  t->memory = memory;
  NTK_TRY(ntk_cuda_memory(out, bytes, "the tables of a feature map"));
  memory[t->memory_count++] = *out;
  return NTK_OK;
}

/* A table with a copy on the device; none stays none. */
static ntk_status copy(ntk_cuda_feature_tables *t, const void *table, size_t bytes, const void **out) {
  void *memory = NULL;
  *out = NULL;
  if (!table || bytes == 0) return NTK_OK;
  NTK_TRY(take(t, bytes, &memory));
  NTK_CUDA_TRY(cudaMemcpyAsync(memory, table, bytes, cudaMemcpyHostToDevice, NULL), "copying tables to the device");
  NTK_CUDA_TRY(cudaStreamSynchronize(NULL), "copying tables to the device");
  *out = memory;
  return NTK_OK;
}

#define COPY(t, table, count, out) NTK_TRY(copy(t, table, (size_t)(count) * sizeof *(table), (const void **)(out)))

static ntk_status copy_gather(ntk_cuda_feature_tables *t, const ntk_feature_gather *g, ntk_cuda_feature_op *out) {
  ntk_feature_gather *to = &out->gather;
  *to = *g;
  out->side_by_side = !g->sign && !g->adds && g->taps * (int64_t)g->columns == g->span;
  for (int k = 0; k < g->taps && g->shift; k++) out->side_by_side &= g->shift[k] == k * (int64_t)g->columns;
  out->side_by_side &= g->shift || g->taps == 1;
  COPY(t, g->source, (size_t)g->outputs * (size_t)g->taps, &to->source);
  COPY(t, g->weight, g->outputs, &to->weight);
  COPY(t, g->shift, g->taps, &to->shift);
  COPY(t, g->sign, (size_t)g->taps * (size_t)g->columns, &to->sign);
  return NTK_OK;
}

static ntk_status copy_hadamard(ntk_cuda_feature_tables *t, const ntk_feature_hadamard *h, const int32_t *samples,
                                int count, float scale, ntk_cuda_hadamard *out) {
  *out = (ntk_cuda_hadamard){.transform = *h, .count = count, .scale = scale};
  COPY(t, h->sign, h->dim, &out->transform.sign);
  COPY(t, samples, count, &out->samples);
  return NTK_OK;
}

/* The columns of every bucket of a CountSketch, one bucket after the other: sums in a fixed order. */
static ntk_status copy_buckets(ntk_cuda_feature_tables *t, const int32_t *bucket, int dim, int size,
                               const int32_t **columns, const int32_t **first) {
  int32_t *starts = calloc((size_t)size + 2, sizeof *starts), *order = malloc((size_t)dim * sizeof *order);
  ntk_status status = starts && order ? NTK_OK : ntk_fail(NTK_ERROR_MEMORY, "no memory for a feature map");
  if (status == NTK_OK) {
    for (int i = 0; i < dim; i++) starts[bucket[i] + 2]++;
    for (int b = 0; b < size; b++) starts[b + 2] += starts[b + 1];
    for (int i = 0; i < dim; i++) order[starts[bucket[i] + 1]++] = i; /* which leaves the starts one place down */
    status = copy(t, order, (size_t)dim * sizeof *order, (const void **)columns);
  }
  if (status == NTK_OK) status = copy(t, starts, ((size_t)size + 1) * sizeof *starts, (const void **)first);
  free(starts), free(order);
  return status;
}

static ntk_status copy_sketch(ntk_cuda_feature_tables *t, const ntk_product *p, ntk_cuda_sketch *out) {
  ntk_cuda_fourier *f = &out->fourier;
  out->kind = p->kind;
  if (p->kind == NTK_SKETCH_SRHT) {
    NTK_TRY(copy_hadamard(t, &p->x, p->index_x, p->dim, p->scale, &out->x));
    NTK_TRY(copy_hadamard(t, &p->y, p->index_y, p->dim, 1, &out->y));
    out->y.multiplies = 1;
    return NTK_OK;
  }
  *f = (ntk_cuda_fourier){.dim_x = p->dim_x, .dim_y = p->dim_y, .dim = p->dim, .size = p->x.size, .scale = p->scale};
  COPY(t, p->x.sign, p->dim_x, &f->sign_x);
  COPY(t, p->y.sign, p->dim_y, &f->sign_y);
  if (p->kind == NTK_SKETCH_COUNT) {
    NTK_TRY(copy_buckets(t, p->index_x, p->dim_x, p->x.size, &f->index_x, &f->first_x));
    return copy_buckets(t, p->index_y, p->dim_y, p->x.size, &f->index_y, &f->first_y);
  }
  COPY(t, p->index_x, p->dim / 2, &f->index_x);
  COPY(t, p->index_y, p->dim / 2, &f->index_y);
  return NTK_OK;
}

static ntk_status copy_polynomial(ntk_cuda_feature_tables *t, const ntk_polynomial *p, ntk_cuda_polynomial *out) {
  const size_t degree = (size_t)p->degree;
  out->leaves = calloc(degree, sizeof *out->leaves), out->nodes = calloc(degree, sizeof *out->nodes);
  if (!out->leaves || !out->nodes) return ntk_fail(NTK_ERROR_MEMORY, "no memory for a feature map");
  COPY(t, p->signs, degree * (size_t)p->width, &out->signs);
  for (int l = 0; l < p->degree && p->width > 0; l++) {
    NTK_TRY(copy_hadamard(t, &p->leaves[l], p->samples[l], p->width, 1 / sqrtf((float)p->width), &out->leaves[l]));
    if (l > 0) NTK_TRY(copy_sketch(t, &p->nodes[l], &out->nodes[l]));
  }
  return NTK_OK;
}

/* ---- random matrices ---- */

/* Drawn where they are used; Gibbs sweeps, which are sequential, by the CPU. */
static ntk_status make_weights(ntk_cuda_feature_tables *t, const ntk_features *f, const ntk_unit_layer *u,
                               ntk_cuda_feature_op *out) {
  const size_t columns = (size_t)(u->order1 + u->order0) * sizeof(float), stride = (size_t)out->stride * sizeof(float);
  if (columns == 0) return NTK_OK;
  NTK_TRY(take(t, (size_t)u->inputs * stride, (void **)&out->weights));
  /* columns that nobody draws are directions of zeros */
  NTK_CUDA_TRY(cudaMemsetAsync(out->weights, 0, (size_t)u->inputs * stride, NULL), "drawing random numbers");
  if (f->options.sampling == NTK_SAMPLING_GIBBS) {
    NTK_CUDA_TRY(cudaMemcpy2DAsync(out->weights, stride, u->weights, columns, columns, (size_t)u->inputs,
                                   cudaMemcpyHostToDevice, NULL),
                 "copying random numbers");
    return NTK_OK;
  }
  for (int kind = 0; kind < 2; kind++) {
    const ntk_directions *d = &u->directions[kind];
    const ntk_cuda_rows weights = {out->weights + d->first, (size_t)out->stride};
    NTK_CUDA_TRY(ntk_cuda_feature_normals(f->options.seed, d->stream, u->inputs, d->count, weights, NULL),
                 "drawing random numbers");
    if (d->sampling == NTK_SAMPLING_LEVERAGE)
      NTK_CUDA_TRY(ntk_cuda_feature_to_sphere(u->inputs, d->count, weights, NULL), "drawing random numbers");
  }
  return NTK_OK;
}

static ntk_status make_unit(ntk_cuda_feature_tables *t, const ntk_features *f, const ntk_feature_op *op,
                            ntk_cuda_feature_op *out) {
  const ntk_unit_layer *u = op->unit;
  out->stride = (int)padded((size_t)(u->order1 + u->order0));
  if (op->psi_out.dim) NTK_TRY(copy_sketch(t, &u->product, &out->sketch));
  for (int kind = 0; kind < 2; kind++)
    if (u->polynomial[kind]) NTK_TRY(copy_polynomial(t, u->polynomial[kind], &out->polynomial[kind]));
  return u->polynomial[0] ? NTK_OK : make_weights(t, f, u, out);
}

ntk_status ntk_cuda_feature_tables_create(ntk_context *context, const ntk_features *f, int device,
                                          ntk_cuda_feature_tables *t) {
  NTK_TRY(ntk_cuda_device_describe(device, &t->device));
  if (f->options.sampling == NTK_SAMPLING_GIBBS) NTK_TRY(ntk_features_draw(context, (ntk_features *)f, NULL));
  t->ops = calloc((size_t)f->op_count + 1, sizeof *t->ops);
  if (!t->ops) return ntk_fail(NTK_ERROR_MEMORY, "no memory for a feature map");
  t->op_count = f->op_count;
  for (int k = 0; k < f->op_count; k++) {
    if (f->ops[k].kind == NTK_OP_GATHER) NTK_TRY(copy_gather(t, &f->ops[k].gather, &t->ops[k]));
    if (f->ops[k].kind == NTK_OP_UNIT) NTK_TRY(make_unit(t, f, &f->ops[k], &t->ops[k]));
  }
  choose_rows(f, t);
  NTK_CUDA_TRY(cudaStreamSynchronize(NULL), "drawing random numbers");
  return NTK_OK;
}

void ntk_cuda_feature_tables_free(ntk_cuda_feature_tables *t) {
  for (size_t k = 0; k < t->memory_count; k++) cudaFree(t->memory[k]);
  for (int k = 0; k < t->op_count; k++)
    for (int kind = 0; kind < 2; kind++)
      free(t->ops[k].polynomial[kind].leaves), free(t->ops[k].polynomial[kind].nodes);
  free(t->ops), free(t->memory);
  *t = (ntk_cuda_feature_tables){0};
}
