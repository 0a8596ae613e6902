#include "host/cuda/feature_steps.h"

#include <math.h>

#include "host/cuda/call.h"
#include "host/features/polynomial.h"

#define QUEUE(call) NTK_CUDA_TRY(call, "starting a kernel")

/* Rows of a view from one on. */
static ntk_cuda_rows rows_of(const ntk_cuda_feature_batch *b, ntk_view view, int first) {
  const ntk_slot *slot = &b->features->slots[view.slot];
  float *const at = b->slots + slot->place * (size_t)b->capacity + view.column;
  return (ntk_cuda_rows){at + (size_t)first * (size_t)slot->stride, (size_t)slot->stride};
}

/* ---- sketches ---- */

static ntk_status hadamard(const ntk_cuda_feature_batch *b, const ntk_cuda_hadamard *h, ntk_cuda_rows in,
                           ntk_cuda_rows out, int rows) {
  QUEUE(ntk_cuda_feature_hadamard(h, in, out, rows, b->tables->device.shared_bytes, b->stream));
  return NTK_OK;
}

static ntk_status tensor_srht(const ntk_cuda_feature_batch *b, const ntk_cuda_sketch *s, ntk_cuda_step step,
                              ntk_cuda_rows x, ntk_cuda_rows y, ntk_cuda_rows out, int rows) {
  ntk_cuda_hadamard second = s->y;
  second.step = step;
  NTK_TRY(hadamard(b, &s->x, x, out, rows));
  return hadamard(b, &second, y, out, rows);
}

static ntk_status by_fft(const ntk_cuda_feature_batch *b, int op, ntk_cuda_step step, ntk_cuda_rows x, ntk_cuda_rows y,
                         ntk_cuda_rows out, int rows) {
  const ntk_cuda_sketch *s = &b->tables->ops[op].sketch;
  ntk_cuda_fourier f = s->fourier;
  f.step = step;
  QUEUE(ntk_cuda_feature_pack(&f, x, y, rows, b->waves, b->stream));
  NTK_TRY(ntk_cuda_fft_run(b->ffts[op], 0, b->waves));
  if (s->kind == NTK_SKETCH_FOURIER) {
    QUEUE(ntk_cuda_feature_unpack(&f, b->waves, out, rows, b->stream));
    return NTK_OK;
  }
  QUEUE(ntk_cuda_feature_multiply(&f, b->waves, rows, b->stream));
  NTK_TRY(ntk_cuda_fft_run(b->ffts[op], 1, b->waves));
  QUEUE(ntk_cuda_feature_real(&f, b->waves, out, rows, b->stream));
  return NTK_OK;
}

/* ---- polynomials of the cosine: as ntk_polynomial_row, all rows at once ---- */

enum { LEVELS = 6 };

typedef struct tree {
  const ntk_cuda_feature_batch *batch;
  const ntk_cuda_polynomial *polynomial;
  ntk_cuda_rows full[LEVELS], open, joined;
  int rows;
} tree;

/* open = product of a complete subtree and what is open. */
static ntk_status join(tree *t, int node, int level) {
  const ntk_cuda_step none = {0};
  const ntk_cuda_rows swap = t->open;
  NTK_TRY(tensor_srht(t->batch, &t->polynomial->nodes[node], none, t->full[level], t->open, t->joined, t->rows));
  t->open = t->joined, t->joined = swap;
  return NTK_OK;
}

/* Leaf l, and the subtrees that it completes; then Q_l if `wanted`. */
static ntk_status grow(tree *t, ntk_cuda_rows in, int l, bool wanted) {
  const ntk_cuda_feature_batch *b = t->batch;
  ntk_cuda_hadamard leaf = t->polynomial->leaves[l - 1];
  int level = 0;
  leaf.norms = b->norms;
  NTK_TRY(hadamard(b, &leaf, in, t->open, t->rows));
  for (; !(l >> level & 1); level++) NTK_TRY(join(t, l - (1 << level), level));
  NTK_CUDA_TRY(cudaMemcpyAsync(t->full[level].at, t->open.at, (size_t)t->rows * t->open.stride * sizeof(float),
                               cudaMemcpyDeviceToDevice, b->stream),
               "copying a subtree");
  int end = wanted ? l - (1 << level) : 0;
  for (int j = level + 1; end > 0; j++) {
    if (!(end >> j & 1)) continue;
    NTK_TRY(join(t, end, j));
    end -= 1 << j;
  }
  return NTK_OK;
}

static ntk_status expand(const ntk_cuda_feature_batch *b, const ntk_polynomial *p, const ntk_cuda_polynomial *on_device,
                         ntk_cuda_row_scale scale, ntk_cuda_rows in, ntk_cuda_rows out, int rows) {
  const size_t stride = ((size_t)p->width + 31) / 32 * 32;
  const ntk_cuda_rows behind = {out.at + 1, out.stride};
  tree t = {.batch = b, .polynomial = on_device, .rows = rows};
  for (int j = 0; j < LEVELS; j++) t.full[j] = (ntk_cuda_rows){b->trees + (size_t)j * b->tables->branch, stride};
  t.open = (ntk_cuda_rows){b->trees + LEVELS * b->tables->branch, stride};
  t.joined = (ntk_cuda_rows){b->trees + (LEVELS + 1) * b->tables->branch, stride};
  QUEUE(ntk_cuda_feature_start(scale, (float)sqrt(p->coefficients[0]), out, rows, p->dim, b->stream));
  for (int l = 1; l <= p->degree && p->width > 0; l++) {
    const bool wanted = p->coefficients[l] > 0;
    NTK_TRY(grow(&t, in, l, wanted));
    if (wanted)
      QUEUE(ntk_cuda_feature_rotate(scale, (float)sqrt(p->coefficients[l]),
                                    on_device->signs + (size_t)(l - 1) * (size_t)p->width, p->shifts[l - 1], t.open,
                                    behind, rows, p->width, b->stream));
  }
  return NTK_OK;
}

/* ---- an activation ---- */

/* s and s' of the numbers that a matrix product left in `units`; steps come back, for whoever reads s'. */
static ntk_status activate(const ntk_cuda_feature_batch *b, const ntk_feature_op *op, ntk_cuda_rows out,
                           ntk_cuda_rows units, ntk_cuda_rows slopes, int rows, ntk_cuda_step *step) {
  const ntk_unit_layer *u = op->unit;
  const float *norms = u->normalise ? b->norms : NULL;
  const ntk_cuda_row_scale values = {u->scale1, op->in.scale, norms};
  const ntk_cuda_row_scale factors = {u->scale0 * op->psi.scale, op->in.scale, norms};
  if (op->out.dim) QUEUE(ntk_cuda_feature_unit(&u->unit, 0, values, units, out, rows, u->order1, b->stream));
  if (!op->psi_out.dim) return NTK_OK;
  if (u->unit.kind == NTK_UNIT_PIECES && !norms) {
    *step = (ntk_cuda_step){1, factors.scale * u->unit.params[0], factors.scale * u->unit.params[1]};
    return NTK_OK;
  }
  QUEUE(ntk_cuda_feature_unit(&u->unit, 1, factors, slopes, slopes, rows, u->order0, b->stream));
  return NTK_OK;
}

/* Rows [first, first + rows) of an activation. */
static ntk_status run_rows(ntk_cuda_feature_batch *b, int k, int first, int rows) {
  const ntk_feature_op *op = &b->features->ops[k];
  const ntk_cuda_feature_op *on_device = &b->tables->ops[k];
  const ntk_unit_layer *u = op->unit;
  const int columns = u->order1 + u->order0;
  const ntk_cuda_rows in = rows_of(b, op->in, first), out = rows_of(b, op->out, first);
  const ntk_cuda_rows units = {b->units, (size_t)on_device->stride};
  const ntk_cuda_rows slopes = {b->units + u->order1, (size_t)on_device->stride};
  ntk_cuda_step step = {0};
  if (u->polynomial[0] || u->normalise) QUEUE(ntk_cuda_feature_norms(in, rows, u->inputs, b->norms, b->stream));
  if (u->polynomial[0]) {
    const ntk_cuda_row_scale values = {u->scale1, op->in.scale, u->normalise ? b->norms : NULL};
    const ntk_cuda_row_scale factors = {u->scale0 * op->psi.scale, 1, NULL};
    if (op->out.dim) NTK_TRY(expand(b, u->polynomial[0], &on_device->polynomial[0], values, in, out, rows));
    if (op->psi_out.dim) NTK_TRY(expand(b, u->polynomial[1], &on_device->polynomial[1], factors, in, slopes, rows));
  } else {
    if (columns > 0)
      NTK_TRY(ntk_cuda_blas_product(b->blas, in, on_device->weights, on_device->rows, u->inputs, columns, op->in.scale,
                                    units));
    NTK_TRY(ntk_cuda_feature_mark(b, NTK_CUDA_PHASE_PRODUCTS));
    NTK_TRY(activate(b, op, out, units, slopes, rows, &step));
  }
  NTK_TRY(ntk_cuda_feature_mark(b, NTK_CUDA_PHASE_UNITS));
  if (!op->psi_out.dim) return NTK_OK;
  const ntk_cuda_rows psi = rows_of(b, op->psi, first), product = rows_of(b, op->psi_out, first);
  NTK_TRY(on_device->sketch.kind == NTK_SKETCH_SRHT
              ? tensor_srht(b, &on_device->sketch, step, psi, slopes, product, rows)
              : by_fft(b, k, step, psi, slopes, product, rows));
  return ntk_cuda_feature_mark(b, NTK_CUDA_PHASE_SKETCHES);
}

/* ---- all of a map ---- */

static ntk_status run_op(ntk_cuda_feature_batch *b, int k, int count) {
  const ntk_features *f = b->features;
  const ntk_feature_op *op = &f->ops[k];
  const ntk_cuda_feature_op *on_device = &b->tables->ops[k];
  if (op->kind == NTK_OP_UNIT) {
    const int rows = count * f->slots[op->in.slot].pixels, most = on_device->rows;
    for (int first = 0; first < rows; first += most)
      NTK_TRY(run_rows(b, k, first, rows - first < most ? rows - first : most));
    return NTK_OK;
  }
  if (op->kind == NTK_OP_GATHER)
    QUEUE(ntk_cuda_feature_gather(&on_device->gather, on_device->side_by_side, rows_of(b, op->in, 0),
                                  rows_of(b, op->out, 0), count, b->stream));
  else
    QUEUE(ntk_cuda_feature_fill(rows_of(b, op->out, 0), count * f->slots[op->out.slot].pixels, op->fill, b->stream));
  return ntk_cuda_feature_mark(b, NTK_CUDA_PHASE_SUMS);
}

ntk_status ntk_cuda_feature_steps(ntk_cuda_feature_batch *b, int count) {
  const ntk_features *f = b->features;
  const int pixels = f->slots[0].pixels, channels = (int)(ntk_cuda_feature_input(f) / (size_t)pixels);
  const ntk_view inputs = {.slot = 0};
  QUEUE(ntk_cuda_feature_layout(b->images, count, pixels, channels, rows_of(b, inputs, 0).at, b->stream));
  NTK_TRY(ntk_cuda_feature_mark(b, NTK_CUDA_PHASE_INPUT));
  for (int k = 0; k < f->op_count; k++) NTK_TRY(run_op(b, k, count));
  QUEUE(ntk_cuda_feature_result(rows_of(b, f->result, 0), count, f->result.dim,
                                (float)(f->result.scale * sqrt(f->scale)), b->out, b->stream));
  return ntk_cuda_feature_mark(b, NTK_CUDA_PHASE_SUMS);
}
