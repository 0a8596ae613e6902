/* The CUDA worker of fully connected networks: one host thread with a stream of its own, like worker.c.
 *
 * A tile goes block by block of at most 512 x 512 pairs: inputs -> pinned staging -> device -> products by cuBLAS ->
 * the recursion -> sums back, some rows at a time -> values. All in float64: the CPU's kernels/fc_cpu.c says why.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/cuda/blas.h"
#include "host/cuda/call.h"
#include "host/cuda/device.h"
#include "host/cuda/parts.h"
#include "host/gram/plan.h"
#include "host/status.h"
#include "kernels/cuda/fc_cuda.h"

static const size_t staging_bytes = (size_t)8 << 20, side_bytes = (size_t)240 << 20, strip_bytes = (size_t)16 << 20;
enum { LARGEST_BLOCK = 512, LEAST_BLOCK = 64 };

/* A block of inputs on the device, padded with zeros. */
typedef struct input_block {
  const ntk_inputs *source;
  bool mirrored;        /* these are the mirror images */
  int64_t first, count; /* what is there; count 0: nothing */
  double *rows, *sides;
} input_block;

typedef struct connected_worker {
  ntk_worker_shared *shared;
  ntk_cuda_device device;
  int64_t tile;
  cudaStream_t stream;
  int streaming; /* the stream exists */
  ntk_cuda_blas *blas;
  ntk_cuda_fc fc;
  void *layers, *duals, *table;
  input_block x, z, f; /* f: the mirror images of x, with a flip */
  double *products;
  int strip; /* rows of a block whose sums come back at a time */
  double *device_sums, *sums;
  double *staging;
  int64_t staged; /* inputs that staging holds */
  double *one, **values;
} connected_worker;

/* Depends on the network and the inputs' length only, so that the bits do too. */
static int block_inputs(const ntk_plan *plan) {
  int64_t block = LARGEST_BLOCK;
  while (block > LEAST_BLOCK && (size_t)block * ntk_plan_input_size(plan) * sizeof(double) > side_bytes) block /= 2;
  return (int)block;
}

static size_t row_bytes(const ntk_plan *plan) {
  return 2 * (size_t)block_inputs(plan) * (size_t)plan->program.tap_count * sizeof(double);
}

static int strip_rows(const ntk_plan *plan) {
  const size_t rows = strip_bytes / row_bytes(plan), block = (size_t)block_inputs(plan);
  return (int)(rows < 1 ? 1 : rows < block ? rows : block);
}

static int64_t staged_inputs(const ntk_plan *plan) {
  const int64_t count = (int64_t)(staging_bytes / (ntk_plan_input_size(plan) * sizeof(double)));
  return count < 1 ? 1 : count < LARGEST_BLOCK ? count : LARGEST_BLOCK;
}

static uint64_t host_bytes(const ntk_plan *plan, const ntk_backend *backend, int64_t tile) {
  (void)backend;
  return (uint64_t)(tile * tile) * plan->output_count * sizeof(double) + (uint64_t)strip_rows(plan) * row_bytes(plan) +
         (uint64_t)staged_inputs(plan) * ntk_plan_input_size(plan) * sizeof(double);
}

static ntk_status no_memory(void) {
  return ntk_fail(NTK_ERROR_MEMORY, "no memory for a tile: lower --memory or --tile");
}

static void free_worker(void *worker) {
  connected_worker *w = worker;
  if (!w) return;
  cudaSetDevice(w->device.id);
  if (w->streaming) cudaStreamSynchronize(w->stream); /* nothing may still write to what is freed */
  ntk_cuda_blas_free(w->blas);
  void *const on_device[] = {w->x.rows,   w->x.sides,     w->z.rows, w->z.sides, w->f.rows, w->f.sides,
                             w->products, w->device_sums, w->layers, w->duals,   w->table};
  for (size_t k = 0; k < sizeof on_device / sizeof *on_device; k++) cudaFree(on_device[k]);
  cudaFreeHost(w->sums), cudaFreeHost(w->staging);
  if (w->streaming) cudaStreamDestroy(w->stream);
  if (w->values)
    for (size_t k = 0; k < w->shared->plan->output_count; k++) free(w->values[k]);
  free(w->values), free(w->one);
  free(w);
}

/* The activations other than ReLUs, with their quadrature's table where one has any. */
static ntk_status create_duals(connected_worker *w) {
  const ntk_fc_program *p = &w->shared->plan->fc;
  const double *table = NULL;
  const size_t bytes = (size_t)p->dual_count * sizeof *p->duals, table_bytes = NTK_DUAL_TABLE * sizeof *table;
  if (p->dual_count == 0) return NTK_OK;
  for (int k = 0; k < p->dual_count; k++)
    if (p->duals[k].table) table = p->duals[k].table;
  NTK_TRY(ntk_cuda_memory(&w->duals, bytes, "the network's tables"));
  if (table) {
    NTK_TRY(ntk_cuda_memory(&w->table, table_bytes, "the network's tables"));
    NTK_CUDA_TRY(cudaMemcpyAsync(w->table, table, table_bytes, cudaMemcpyHostToDevice, w->stream),
                 "the network's tables");
  }
  ntk_activation_dual *copy = malloc(bytes);
  if (!copy) return no_memory();
  for (int k = 0; k < p->dual_count; k++) {
    copy[k] = p->duals[k];
    if (copy[k].table) copy[k].table = w->table;
  }
  int error = cudaMemcpyAsync(w->duals, copy, bytes, cudaMemcpyHostToDevice, w->stream);
  if (!error) error = cudaStreamSynchronize(w->stream);
  free(copy);
  NTK_CUDA_TRY(error, "the network's tables");
  return NTK_OK;
}

static ntk_status create_program(connected_worker *w) {
  const ntk_fc_program *p = &w->shared->plan->fc;
  const size_t bytes = (size_t)p->layer_count * sizeof *p->layers;
  NTK_TRY(ntk_cuda_memory(&w->layers, bytes, "the network's tables"));
  NTK_CUDA_TRY(cudaMemcpyAsync(w->layers, p->layers, bytes, cudaMemcpyHostToDevice, w->stream), "the network's tables");
  NTK_TRY(create_duals(w));
  w->fc = (ntk_cuda_fc){.layer_count = p->layer_count,
                        .dual_count = p->dual_count,
                        .norm_count = p->norm_count,
                        .side_count = p->side_count,
                        .tap_count = p->tap_count,
                        .layers = w->layers,
                        .duals = w->duals,
                        .block = block_inputs(w->shared->plan)};
  return NTK_OK;
}

static ntk_status create_inputs(connected_worker *w, input_block *side) {
  const size_t block = (size_t)w->fc.block, sides = (size_t)w->fc.side_count + 1;
  NTK_TRY(ntk_cuda_memory((void **)&side->rows, block * ntk_plan_input_size(w->shared->plan) * sizeof(double),
                          "the inputs"));
  return ntk_cuda_memory((void **)&side->sides, block * sides * sizeof(double), "the inputs");
}

static ntk_status create_values(connected_worker *w) {
  const ntk_plan *plan = w->shared->plan;
  const size_t count = (size_t)(w->shared->job->diagonal ? w->tile : w->tile * w->tile);
  w->one = malloc(plan->output_count * sizeof *w->one);
  w->values = calloc(plan->output_count, sizeof *w->values);
  if (!w->one || !w->values) return no_memory();
  for (size_t k = 0; k < plan->output_count; k++)
    if (!(w->values[k] = malloc(count * sizeof(double)))) return no_memory();
  return NTK_OK;
}

static ntk_status create_worker(ntk_worker_shared *shared, int index, int64_t tile, void **out) {
  const ntk_plan *plan = shared->plan;
  connected_worker *w = calloc(1, sizeof *w);
  if (!w) return no_memory();
  *out = w;
  w->shared = shared, w->tile = tile;
  w->device.id = shared->devices[index % shared->device_count];
  w->x.source = &shared->job->rows;
  w->z.source = shared->job->columns.count ? &shared->job->columns : &shared->job->rows;
  w->f.source = w->x.source, w->f.mirrored = true;
  w->staged = staged_inputs(plan), w->strip = strip_rows(plan);
  NTK_CUDA_TRY(cudaSetDevice(w->device.id), "choosing the device");
  NTK_TRY(ntk_cuda_device_describe(w->device.id, &w->device));
  NTK_CUDA_TRY(cudaStreamCreateWithFlags(&w->stream, cudaStreamNonBlocking), "creating a stream");
  w->streaming = 1;
  NTK_TRY(ntk_cuda_blas_create(w->stream, &w->blas));
  NTK_TRY(create_program(w));
  NTK_TRY(create_inputs(w, &w->x));
  NTK_TRY(create_inputs(w, &w->z));
  if (ntk_plan_evaluations(plan) > 1) NTK_TRY(create_inputs(w, &w->f));
  const size_t block = (size_t)w->fc.block, sums = (size_t)w->strip * row_bytes(plan);
  NTK_TRY(ntk_cuda_memory((void **)&w->products, block * block * sizeof(double), "the products of inputs"));
  NTK_TRY(ntk_cuda_memory((void **)&w->device_sums, sums, "a block of pairs"));
  NTK_TRY(ntk_cuda_pinned_memory((void **)&w->sums, sums));
  NTK_TRY(ntk_cuda_pinned_memory((void **)&w->staging, (size_t)w->staged * ntk_plan_input_size(plan) * sizeof(double)));
  return create_values(w);
}

/* out = <x_i, z_j> / d of two blocks. */
static ntk_status multiply(connected_worker *w, const input_block *x, const input_block *z) {
  const int length = (int)ntk_plan_input_size(w->shared->plan);
  return ntk_cuda_blas_rows(w->blas, x->rows, z->rows, w->fc.block, length, 1.0 / length, w->products);
}

/* Brings inputs [first, first + count) to the device, with their sides. */
static ntk_status enter_inputs(connected_worker *w, input_block *side, int64_t first, int64_t count) {
  const ntk_plan *plan = w->shared->plan;
  const size_t bytes = ntk_plan_input_size(plan) * sizeof(double);
  if (side->count == count && side->first == first) return NTK_OK;
  side->count = 0;
  NTK_CUDA_TRY(cudaMemsetAsync(side->rows, 0, (size_t)w->fc.block * bytes, w->stream), "clearing a block of inputs");
  for (int64_t k = 0; k < count; k += w->staged) {
    const int64_t some = count - k < w->staged ? count - k : w->staged;
    if (ntk_worker_stopped(w->shared)) return ntk_worker_interrupted();
    NTK_TRY(ntk_inputs_read(side->source, plan, first + k, some, w->staging));
    if (side->mirrored) ntk_plan_mirror(plan, some, w->staging);
    NTK_CUDA_TRY(cudaMemcpyAsync((char *)side->rows + (size_t)k * bytes, w->staging, (size_t)some * bytes,
                                 cudaMemcpyHostToDevice, w->stream),
                 "copying inputs to the device");
    NTK_CUDA_TRY(cudaStreamSynchronize(w->stream), "copying inputs to the device");
  }
  NTK_TRY(multiply(w, side, side));
  NTK_CUDA_TRY(ntk_cuda_fc_sides(&w->fc, w->products, (int)count, side->sides, w->stream), "starting a kernel");
  side->first = first, side->count = count;
  return NTK_OK;
}

/* Stores the values of rows [first, first + rows) of a block from the sums on the host. */
static ntk_status store_rows(connected_worker *w, int evaluation, const ntk_cuda_part *e, int64_t first, int64_t rows) {
  const ntk_plan *plan = w->shared->plan;
  const int64_t outputs = 2 * (int64_t)plan->program.tap_count;
  int64_t pairs = 0;
  for (int64_t i = first; i < first + rows; i++) {
    const int64_t from = e->diagonal || e->triangle ? i : 0, to = e->diagonal ? i + 1 : e->columns;
    for (int64_t j = from; j < to; j++)
      NTK_TRY(ntk_value_store(plan, evaluation, w->sums + ((i - first) * e->columns + j) * outputs, w->one, w->values,
                              ntk_cuda_part_value(e, i, j), e->i0 + i, e->j0 + j));
    pairs += to - from;
  }
  if (evaluation + 1 == ntk_plan_evaluations(plan)) atomic_fetch_add(&w->shared->pairs, pairs);
  return NTK_OK;
}

static ntk_status run_evaluation(connected_worker *w, int evaluation, const ntk_cuda_part *e) {
  const bool same = e->i0 == e->j0 && w->x.source == w->z.source;
  input_block *x = evaluation ? &w->f : &w->x, *z = same ? &w->x : &w->z;
  NTK_TRY(enter_inputs(w, x, e->i0, e->rows));
  if (!same) NTK_TRY(enter_inputs(w, z, e->j0, e->columns));
  NTK_TRY(multiply(w, x, z));
  for (int64_t first = 0; first < e->rows; first += w->strip) {
    const int64_t rows = e->rows - first < w->strip ? e->rows - first : w->strip;
    if (ntk_worker_stopped(w->shared)) return ntk_worker_interrupted();
    NTK_CUDA_TRY(ntk_cuda_fc_pairs(&w->fc, w->products, x->sides, z->sides, (int)first, (int)rows, (int)e->columns,
                                   w->device_sums, w->stream),
                 "starting a kernel");
    const size_t bytes = 2 * (size_t)(rows * e->columns) * (size_t)w->fc.tap_count * sizeof(double);
    NTK_CUDA_TRY(cudaMemcpyAsync(w->sums, w->device_sums, bytes, cudaMemcpyDeviceToHost, w->stream), "copying results");
    NTK_CUDA_TRY(cudaStreamSynchronize(w->stream), "computing pairs");
    NTK_TRY(store_rows(w, evaluation, e, first, rows));
  }
  return NTK_OK;
}

static ntk_status run_block(void *worker, const ntk_cuda_part *e) {
  connected_worker *w = worker;
  for (int k = 0; k < ntk_plan_evaluations(w->shared->plan); k++) NTK_TRY(run_evaluation(w, k, e));
  return NTK_OK;
}

static ntk_status run_tile(void *worker, int64_t tile_row, int64_t tile_column, int64_t *rows, int64_t *columns,
                           const double *const **values) {
  connected_worker *w = worker;
  const ntk_cuda_parts work = {w->shared, &w->device, w->tile, w->fc.block, w->values, run_block, w};
  return ntk_cuda_run_tile(&work, tile_row, tile_column, rows, columns, values);
}

const ntk_worker_ops ntk_cuda_connected_ops = {host_bytes, create_worker, free_worker, run_tile};
