/* The CUDA worker of networks on images (connected.c: of others): one host thread with a stream of its own; three serve
 * a device, so that the transfers, host work and writes of some run beside the kernels of another.
 *
 * A tile: inputs -> pinned staging -> device -> prepared images -> batches of pairs -> sums and estimated errors back
 * -> pairs that float32 cannot resolve once more in float64 -> values.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/cuda/batch.h"
#include "host/cuda/call.h"
#include "host/cuda/parts.h"
#include "host/cuda/plane.h"
#include "host/gram/plan.h"
#include "host/status.h"

static const size_t staging_bytes = (size_t)8 << 20;
static const size_t sides_bytes = (size_t)400 << 20; /* the images of a part: three workers stay under 2 GiB */

/* Images of one side of a tile on the device. */
typedef struct device_side {
  const ntk_inputs *source;
  bool mirrored;        /* these are the mirror images */
  int64_t first, count; /* what is there; count 0: nothing */
  double *pixels;
  ntk_cuda_images images; /* in the plan's precision */
  ntk_cuda_images exact;  /* in float64 for the second opinion */
  int exact_ready;
  double *self; /* activations behind the readout: the sums of every image with itself, [image][sums] */
} device_side;

typedef struct cuda_worker {
  ntk_worker_shared *shared;
  ntk_cuda_device device;
  int64_t tile, part; /* a tile is computed in parts that fit the device's memory, of at most this many rows */
  cudaStream_t stream;
  int streaming; /* the stream exists */
  ntk_cuda_plane plane;
  void *plane_memory;
  device_side x, z, f; /* f: the mirror images of x, with a flip */
  ntk_cuda_blas *blas; /* for inputs of many channels */
  ntk_cuda_batch pairs;
  int64_t risky_count, *risky; /* places in the part that need float64 */
  double *staging;
  int64_t staged; /* inputs that staging holds */
  double *one, **values;
} cuda_worker;

static const ntk_cuda_plane_ops *plane_ops(const ntk_plan *plan) {
  return ntk_plan_in_float64(plan) ? &ntk_cuda_plane_f64 : &ntk_cuda_plane_f32;
}

static ntk_status no_memory(void) {
  return ntk_fail(NTK_ERROR_MEMORY, "no memory for a tile: lower --memory or --tile");
}

/* ---- memory ---- */

/* Values of a tile. */
static int64_t tile_values(int64_t tile, bool diagonal) { return diagonal ? tile : tile * tile; }

static int64_t staged_inputs(const ntk_plan *plan, int64_t tile) {
  const int64_t count = (int64_t)(staging_bytes / (ntk_plan_input_size(plan) * sizeof(double)));
  return count < 1 ? 1 : count < tile ? count : tile;
}

static uint64_t host_bytes(const ntk_plan *plan, const ntk_backend *backend, int64_t tile) {
  const uint64_t values = (uint64_t)(tile * tile) * (plan->output_count * sizeof(double) + sizeof(int64_t));
  (void)backend;
  return values + (uint64_t)staged_inputs(plan, tile) * ntk_plan_input_size(plan) * sizeof(double) +
         ntk_cuda_batch_host_bytes(plan, tile);
}

static ntk_status create_images(cuda_worker *w, const ntk_cuda_plane_ops *ops, ntk_cuda_images *out) {
  const size_t count = (size_t)w->part;
  out->stride = ops->image_reals(&w->plane);
  NTK_TRY(
      ntk_cuda_memory(&out->tables, count * out->stride * (ops->f64 ? sizeof(double) : sizeof(float)), "the images"));
  NTK_TRY(ntk_cuda_memory((void **)&out->exponent, count * sizeof(int), "the images"));
  return ntk_cuda_memory((void **)&out->flat, count * sizeof(int), "the images");
}

/* Whether pairs may need a second opinion in float64. Memory for it is taken in time: later there may be none. */
static bool wants_twins(const ntk_plan *plan) { return !ntk_plan_in_float64(plan) && plan->program.want_ntk; }

static ntk_status create_side(cuda_worker *w, device_side *side) {
  const ntk_plan *plan = w->shared->plan;
  const size_t size = ntk_plan_input_size(plan);
  if (plan->head_activates && !(side->self = malloc((size_t)w->part * ntk_plan_sums(plan) * sizeof *side->self)))
    return no_memory();
  NTK_TRY(ntk_cuda_memory((void **)&side->pixels, (size_t)w->part * size * sizeof(double), "the inputs"));
  NTK_TRY(create_images(w, plane_ops(w->shared->plan), &side->images));
  return wants_twins(w->shared->plan) ? create_images(w, &ntk_cuda_plane_f64, &side->exact) : NTK_OK;
}

static void free_images(ntk_cuda_images *images) {
  cudaFree(images->tables), cudaFree(images->exponent), cudaFree(images->flat);
  *images = (ntk_cuda_images){0};
}

static void free_sides(cuda_worker *w) {
  device_side *const sides[3] = {&w->x, &w->z, &w->f};
  for (int k = 0; k < 3; k++) {
    cudaFree(sides[k]->pixels), free_images(&sides[k]->images), free_images(&sides[k]->exact);
    free(sides[k]->self);
    sides[k]->pixels = NULL, sides[k]->self = NULL, sides[k]->count = 0, sides[k]->exact_ready = 0;
  }
}

/* Device memory of an image of a side, with its float64 twin. */
static size_t image_bytes(const cuda_worker *w) {
  const ntk_cuda_plane_ops *ops = plane_ops(w->shared->plan);
  const size_t single = ops->image_reals(&w->plane) * (ops->f64 ? sizeof(double) : sizeof(float));
  const size_t twin = ntk_cuda_plane_f64.image_reals(&w->plane) * sizeof(double);
  const size_t exact = wants_twins(w->shared->plan) ? twin : 0;
  return single + exact + ntk_plan_input_size(w->shared->plan) * sizeof(double);
}

/* Memory for parts of w->part rows, as many as the worker's share allows; where the device has less, of half as many,
 * and so on. */
static ntk_status create_part(cuda_worker *w) {
  const int flips = ntk_plan_evaluations(w->shared->plan) - 1;
  const int64_t most = (int64_t)(sides_bytes / ((size_t)(2 + flips) * image_bytes(w)));
  if (w->part > most) w->part = most > 1 ? most : 1;
  for (;; w->part = (w->part + 1) / 2) {
    ntk_status status = create_side(w, &w->x);
    if (status == NTK_OK) status = create_side(w, &w->z);
    if (status == NTK_OK && flips) status = create_side(w, &w->f);
    if (status == NTK_OK)
      status = ntk_cuda_batch_create(w->shared->plan, &w->plane, w->stream, w->blas, w->part, &w->pairs);
    if (status != NTK_ERROR_MEMORY || w->part == 1) return status;
    free_sides(w);
    ntk_cuda_batch_free(&w->pairs);
  }
}

static void free_worker(void *worker) {
  cuda_worker *w = worker;
  if (!w) return;
  cudaSetDevice(w->device.id);
  if (w->streaming) cudaStreamSynchronize(w->stream); /* nothing may still write to what is freed */
  free_sides(w);
  ntk_cuda_batch_free(&w->pairs);
  ntk_cuda_blas_free(w->blas);
  cudaFreeHost(w->staging), cudaFree(w->plane_memory);
  if (w->streaming) cudaStreamDestroy(w->stream);
  if (w->values)
    for (size_t k = 0; k < w->shared->plan->output_count; k++) free(w->values[k]);
  free(w->values), free(w->one), free(w->risky);
  free(w);
}

static ntk_status create_worker(ntk_worker_shared *shared, int index, int64_t tile, void **out) {
  const ntk_plan *plan = shared->plan;
  cuda_worker *w = calloc(1, sizeof *w);
  if (!w) return no_memory();
  *out = w;
  w->shared = shared, w->tile = w->part = tile;
  w->device.id = shared->devices[index % shared->device_count];
  w->x.source = &shared->job->rows;
  w->z.source = shared->job->columns.count ? &shared->job->columns : &shared->job->rows;
  w->f.source = w->x.source, w->f.mirrored = true;
  w->staged = staged_inputs(plan, tile);
  NTK_CUDA_TRY(cudaSetDevice(w->device.id), "choosing the device");
  NTK_TRY(ntk_cuda_device_describe(w->device.id, &w->device));
  NTK_CUDA_TRY(cudaStreamCreateWithFlags(&w->stream, cudaStreamNonBlocking), "creating a stream");
  w->streaming = 1;
  NTK_TRY(ntk_cuda_plane_create(plan, &w->device, w->stream, &w->plane, &w->plane_memory));
  const size_t shared_bytes = ntk_cuda_plane_f64.shared_bytes(&w->plane); /* float32 needs no more */
  if (shared_bytes > w->device.shared_bytes)
    return ntk_fail(NTK_ERROR_DEVICE,
                    "%s has %zu KiB of shared memory for a block, this network needs %zu: use --device cpu",
                    w->device.name, w->device.shared_bytes >> 10, (shared_bytes + 1023) >> 10);
  if (!w->plane.inner) NTK_TRY(ntk_cuda_blas_create(w->stream, &w->blas));
  NTK_TRY(create_part(w));
  NTK_TRY(ntk_cuda_pinned_memory((void **)&w->staging, (size_t)w->staged * ntk_plan_input_size(plan) * sizeof(double)));
  w->one = malloc(plan->output_count * sizeof *w->one);
  w->values = calloc(plan->output_count, sizeof *w->values);
  const size_t count = (size_t)tile_values(tile, shared->job->diagonal);
  w->risky = malloc(count * sizeof *w->risky);
  if (!w->one || !w->values || !w->risky) return no_memory();
  for (size_t k = 0; k < plan->output_count; k++)
    if (!(w->values[k] = malloc(count * sizeof(double)))) return no_memory();
  return NTK_OK;
}

/* ---- images ---- */

/* Fills in side->self. */
static ntk_status compute_self(cuda_worker *w, device_side *side, int64_t count) {
  const ntk_cuda_plane_ops *ops = plane_ops(w->shared->plan);
  const size_t sums = ntk_plan_sums(w->shared->plan);
  ntk_cuda_batch *b = &w->pairs;
  for (int64_t first = 0, some; first < count; first += some) {
    if (ntk_worker_stopped(w->shared)) return ntk_worker_interrupted();
    some = ntk_cuda_batch_limit(b, ops);
    if (some > count - first) some = count - first;
    for (int64_t k = 0; k < some; k++) b->list[k] = (ntk_cuda_pair){(int)(first + k), (int)(first + k)};
    NTK_TRY(ntk_cuda_batch_run(b, ops, &side->images, &side->images, (int)some));
    memcpy(side->self + (size_t)first * sums, b->sums, (size_t)some * sums * sizeof *side->self);
  }
  return NTK_OK;
}

/* Brings inputs [first, first + count) to the device and prepares them. */
static ntk_status enter_images(cuda_worker *w, device_side *side, int64_t first, int64_t count) {
  const ntk_plan *plan = w->shared->plan;
  const size_t size = ntk_plan_input_size(plan);
  if (side->count == count && side->first == first) return NTK_OK;
  side->count = 0, side->exact_ready = 0;
  for (int64_t k = 0; k < count; k += w->staged) {
    const int64_t some = count - k < w->staged ? count - k : w->staged;
    if (ntk_worker_stopped(w->shared)) return ntk_worker_interrupted();
    NTK_TRY(ntk_inputs_read(side->source, plan, first + k, some, w->staging));
    if (side->mirrored) ntk_plan_mirror(plan, some, w->staging);
    NTK_CUDA_TRY(cudaMemcpyAsync(side->pixels + (size_t)k * size, w->staging, (size_t)some * size * sizeof(double),
                                 cudaMemcpyHostToDevice, w->stream),
                 "copying images to the device");
    NTK_CUDA_TRY(cudaStreamSynchronize(w->stream), "copying images to the device");
  }
  NTK_CUDA_TRY(plane_ops(plan)->prepare(&w->plane, side->pixels, (int)count, &side->images, w->stream),
               "preparing images");
  if (side->self) NTK_TRY(compute_self(w, side, count));
  side->first = first, side->count = count;
  return NTK_OK;
}

/* The same images in float64. */
static ntk_status enter_exact(cuda_worker *w, device_side *side) {
  if (side->exact_ready) return NTK_OK;
  NTK_CUDA_TRY(ntk_cuda_plane_f64.prepare(&w->plane, side->pixels, (int)side->count, &side->exact, w->stream),
               "preparing images");
  side->exact_ready = 1;
  return NTK_OK;
}

/* ---- pairs ---- */

static device_side *row_side(cuda_worker *w, int evaluation) { return evaluation ? &w->f : &w->x; }

static device_side *column_side(cuda_worker *w, const ntk_cuda_part *e) {
  return e->triangle || (e->diagonal && w->z.source == w->x.source) ? &w->x : &w->z;
}

/* Fills the batch with at most `limit` pairs of the extent from *next on: all of them, or those at the given places. */
static int fill_batch(ntk_cuda_batch *b, int limit, const ntk_cuda_part *e, const int64_t *places, int64_t count,
                      int64_t *next) {
  int filled = 0;
  for (; *next < count && filled < limit; ++*next) {
    const int64_t place = places ? places[*next] : *next;
    int64_t i, j;
    if (!ntk_cuda_part_pair(e, place, &i, &j)) continue;
    b->list[filled] = (ntk_cuda_pair){(int)i, (int)j};
    b->at[filled++] = place;
  }
  return filled;
}

/* Runs an evaluation of the pairs at `places` (NULL: all `count` of them) of the extent, batch by batch. In the plan's
 * precision pairs that need float64 go to w->risky. */
static ntk_status run_places(cuda_worker *w, int evaluation, const ntk_cuda_part *e, const int64_t *places,
                             int64_t count, bool exact) {
  const ntk_plan *plan = w->shared->plan;
  const bool last = evaluation + 1 == ntk_plan_evaluations(plan);
  const ntk_cuda_plane_ops *ops = exact ? &ntk_cuda_plane_f64 : plane_ops(plan);
  const device_side *x = row_side(w, evaluation), *z = column_side(w, e);
  const double limit = ntk_risk_limit(plan);
  const size_t outputs = ntk_plan_sums(plan);
  ntk_cuda_batch *b = &w->pairs;
  for (int64_t next = 0; next < count;) {
    if (ntk_worker_stopped(w->shared)) return ntk_worker_interrupted();
    const int filled = fill_batch(b, ntk_cuda_batch_limit(b, ops), e, places, count, &next);
    NTK_TRY(ntk_cuda_batch_run(b, ops, exact ? &x->exact : &x->images, exact ? &z->exact : &z->images, filled));
    for (int k = 0; k < filled; k++) {
      const int64_t i = b->list[k].x, j = b->list[k].z;
      if (!exact && !(b->risk[k] <= limit)) { /* a NaN too */
        w->risky[w->risky_count++] = b->at[k];
        continue;
      }
      NTK_TRY(ntk_value_store_head(plan, evaluation, b->sums + (size_t)k * outputs,
                                   x->self ? x->self + (size_t)i * outputs : NULL,
                                   z->self ? z->self + (size_t)j * outputs : NULL, w->one, w->values,
                                   ntk_cuda_part_value(e, i, j), e->i0 + i, e->j0 + j));
    }
    if (!exact && last) atomic_fetch_add(&w->shared->pairs, filled);
  }
  return NTK_OK;
}

static ntk_status run_evaluation(cuda_worker *w, int evaluation, const ntk_cuda_part *e) {
  device_side *x = row_side(w, evaluation), *z = column_side(w, e);
  NTK_TRY(enter_images(w, x, e->i0, e->rows));
  if (z != x) NTK_TRY(enter_images(w, z, e->j0, e->columns));
  w->risky_count = 0;
  NTK_TRY(run_places(w, evaluation, e, NULL, ntk_cuda_part_places(e), false));
  if (w->risky_count == 0) return NTK_OK;
  NTK_TRY(enter_exact(w, x));
  NTK_TRY(enter_exact(w, z));
  NTK_TRY(run_places(w, evaluation, e, w->risky, w->risky_count, true));
  atomic_fetch_add(&w->shared->recomputed, w->risky_count);
  return NTK_OK;
}

static ntk_status run_part(void *worker, const ntk_cuda_part *e) {
  cuda_worker *w = worker;
  for (int k = 0; k < ntk_plan_evaluations(w->shared->plan); k++) NTK_TRY(run_evaluation(w, k, e));
  return NTK_OK;
}

static ntk_status run_tile(void *worker, int64_t tile_row, int64_t tile_column, int64_t *rows, int64_t *columns,
                           const double *const **values) {
  cuda_worker *w = worker;
  const ntk_cuda_parts work = {w->shared, &w->device, w->tile, w->part, w->values, run_part, w};
  return ntk_cuda_run_tile(&work, tile_row, tile_column, rows, columns, values);
}

const ntk_worker_ops ntk_cuda_worker_ops = {host_bytes, create_worker, free_worker, run_tile};
