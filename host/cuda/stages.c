/* The CUDA worker of networks in stages (worker.c: of plain ones): one host thread with a stream of its own; three
 * serve a device.
 *
 * A tile, part by part: inputs -> images prepared on the host (stage_images.c) -> pinned staging -> device -> batches
 * of pairs, stage by stage (stage_batch.c) -> sums and estimated errors back -> pairs that float32 cannot resolve once
 * more in float64 -> values.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/cuda/call.h"
#include "host/cuda/parts.h"
#include "host/cuda/stage_batch.h"
#include "host/cuda/stage_images.h"
#include "host/gram/plan.h"
#include "host/status.h"

/* Of a worker: three stay under 2 GiB. */
static const size_t sides_bytes = (size_t)360 << 20, batch_bytes = (size_t)256 << 20;
static const size_t staging_bytes = (size_t)8 << 20;

/* Images of one side of a part. */
typedef struct stage_side {
  const ntk_inputs *source;
  int64_t first, count; /* what is there; count 0: nothing */
  bool mirrored;        /* as mirror images */
  ntk_stage_image *images;
  ntk_stage_tables tables, exact; /* exact: in float64 for the second opinion */
  bool *exact_ready;
  double *self; /* activations behind the readout: the sums of every image with itself, [image][sums] */
} stage_side;

typedef struct stages_worker {
  ntk_worker_shared *shared;
  ntk_cuda_device device;
  int64_t tile, part; /* a tile is computed in parts that fit the device's memory, of at most this many rows */
  cudaStream_t stream;
  int streaming; /* the stream exists */
  ntk_stage_program program, twin;
  stage_side x, z;
  int evaluation;      /* with a flip: 0 the pairs, 1 those of the rows' mirror images */
  ntk_cuda_blas *blas; /* for inputs of many channels */
  ntk_stage_batch pairs;
  int64_t risky_count, *risky; /* places in the part that need float64 */
  double *pixels;
  void *scratch;
  char *staging; /* tables of `staged` images, then their hashes */
  int64_t staged;
  double *one, **values;
} stages_worker;

static ntk_status no_memory(void) {
  return ntk_fail(NTK_ERROR_MEMORY, "no memory for a tile: lower --memory or --tile");
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Whether pairs may need a second opinion in float64. Memory for it is taken in time: later there may be none. */
static bool wants_twin(const ntk_plan *plan) { return !ntk_plan_in_float64(plan) && plan->program.want_ntk; }

/* ---- memory ---- */

static int64_t tile_values(int64_t tile, bool diagonal) { return diagonal ? tile : tile * tile; }

static size_t area_of(const ntk_plan *plan) { return (size_t)(plan->shape.height * plan->shape.width); }

/* A bound on the reals of an image's tables. */
static size_t table_reals(const ntk_plan *plan) {
  size_t reals = ntk_plan_input_size(plan) + 8;
  for (int k = 0; k < plan->program.stage_count; k++) {
    const ntk_program *p = &plan->program.stages[k];
    reals += (size_t)p->table_count * ntk_cuda_table_reals(p->height, p->width);
  }
  return reals;
}

static int64_t staged_images(const ntk_plan *plan, int64_t tile) {
  const int64_t count = (int64_t)(staging_bytes / (table_reals(plan) * sizeof(double)));
  return count < 1 ? 1 : least(count, tile);
}

static size_t staging_size(const ntk_plan *plan, int64_t staged) {
  return (size_t)staged * (table_reals(plan) * sizeof(double) + area_of(plan) * sizeof(unsigned));
}

static uint64_t host_bytes(const ntk_plan *plan, const ntk_backend *backend, int64_t tile) {
  const uint64_t values = (uint64_t)(tile * tile) * (plan->output_count * sizeof(double) + sizeof(int64_t));
  return values + staging_size(plan, staged_images(plan, tile)) + ntk_stage_image_scratch(plan, backend) +
         ntk_plan_input_size(plan) * sizeof(double) +
         2 * (uint64_t)tile *
             (sizeof(ntk_stage_image) + sizeof(bool) +
              (plan->head_activates ? ntk_plan_sums(plan) * sizeof(double) : 0)) +
         ntk_stage_batch_host_bytes(plan, tile);
}

static ntk_status create_tables(const stages_worker *w, const ntk_stage_program *program, bool hashes,
                                ntk_stage_tables *out) {
  const size_t count = (size_t)w->part;
  NTK_TRY(ntk_cuda_memory(&out->tables, count * program->stages.table_reals * ntk_stage_real(program), "the images"));
  if (!hashes) return NTK_OK;
  return ntk_cuda_memory((void **)&out->hashes, count * area_of(w->shared->plan) * sizeof(unsigned), "the images");
}

static ntk_status create_side(const stages_worker *w, stage_side *side) {
  side->images = calloc((size_t)w->part, sizeof *side->images);
  side->exact_ready = calloc((size_t)w->part, sizeof *side->exact_ready);
  if (!side->images || !side->exact_ready) return no_memory();
  if (w->shared->plan->head_activates &&
      !(side->self = malloc((size_t)w->part * ntk_plan_sums(w->shared->plan) * sizeof *side->self)))
    return no_memory();
  NTK_TRY(create_tables(w, &w->program, !w->program.ops->f64, &side->tables));
  return w->twin.ops ? create_tables(w, &w->twin, false, &side->exact) : NTK_OK;
}

static void free_side(stage_side *side) {
  cudaFree(side->tables.tables), cudaFree(side->tables.hashes), cudaFree(side->exact.tables);
  free(side->images), free(side->exact_ready), free(side->self);
  *side = (stage_side){.source = side->source};
}

/* Device memory of an image of a side, with its float64 twin. */
static size_t image_bytes(const stages_worker *w) {
  const size_t exact = w->twin.ops ? w->twin.stages.table_reals * sizeof(double) : 0;
  return w->program.stages.table_reals * ntk_stage_real(&w->program) + exact +
         area_of(w->shared->plan) * sizeof(unsigned);
}

/* Memory for parts of w->part rows and for batches, as much as the worker's share allows; where the device has less,
 * half of it, and so on. */
static ntk_status create_part(stages_worker *w) {
  const int64_t most = (int64_t)(sides_bytes / (2 * image_bytes(w)));
  if (w->part > most) w->part = most > 1 ? most : 1;
  for (;; w->part = (w->part + 1) / 2, w->pairs.bytes /= 2) {
    ntk_status status = create_side(w, &w->x);
    if (status == NTK_OK) status = create_side(w, &w->z);
    if (status == NTK_OK) status = ntk_stage_batch_create(&w->pairs, &w->program, w->twin.ops ? &w->twin : NULL);
    if (status != NTK_ERROR_MEMORY || (w->part == 1 && w->pairs.bytes == 0)) return status;
    free_side(&w->x), free_side(&w->z);
    ntk_stage_batch_free(&w->pairs);
  }
}

static void free_worker(void *worker) {
  stages_worker *w = worker;
  if (!w) return;
  cudaSetDevice(w->device.id);
  if (w->streaming) cudaStreamSynchronize(w->stream); /* nothing may still write to what is freed */
  free_side(&w->x), free_side(&w->z);
  ntk_stage_batch_free(&w->pairs);
  ntk_cuda_blas_free(w->blas);
  ntk_cuda_stages_free(&w->program.stages, &w->program.memory);
  ntk_cuda_stages_free(&w->twin.stages, &w->twin.memory);
  cudaFreeHost(w->staging);
  if (w->streaming) cudaStreamDestroy(w->stream);
  if (w->values)
    for (size_t k = 0; k < w->shared->plan->output_count; k++) free(w->values[k]);
  free(w->values), free(w->one), free(w->risky), free(w->pixels), free(w->scratch);
  free(w);
}

static ntk_status create_program(const stages_worker *w, const ntk_cuda_stage_ops *ops, ntk_stage_program *out) {
  out->ops = ops;
  return ntk_cuda_stages_create(w->shared->plan, ops, &w->device, w->stream, &out->stages, &out->memory);
}

static ntk_status create_host(stages_worker *w) {
  const ntk_plan *plan = w->shared->plan;
  const size_t count = (size_t)tile_values(w->tile, w->shared->job->diagonal);
  NTK_TRY(ntk_cuda_pinned_memory((void **)&w->staging, staging_size(plan, w->staged)));
  w->pixels = malloc(ntk_plan_input_size(plan) * sizeof *w->pixels);
  w->scratch = aligned_alloc(64, (ntk_stage_image_scratch(plan, w->shared->backend) + 63) / 64 * 64);
  w->one = malloc(plan->output_count * sizeof *w->one);
  w->values = calloc(plan->output_count, sizeof *w->values);
  w->risky = malloc(count * sizeof *w->risky);
  if (!w->pixels || !w->scratch || !w->one || !w->values || !w->risky) return no_memory();
  for (size_t k = 0; k < plan->output_count; k++)
    if (!(w->values[k] = malloc(count * sizeof(double)))) return no_memory();
  return NTK_OK;
}

static ntk_status create_worker(ntk_worker_shared *shared, int index, int64_t tile, void **out) {
  const ntk_plan *plan = shared->plan;
  stages_worker *w = calloc(1, sizeof *w);
  if (!w) return no_memory();
  *out = w;
  w->shared = shared, w->tile = w->part = tile;
  w->device.id = shared->devices[index % shared->device_count];
  w->x.source = &shared->job->rows;
  w->z.source = shared->job->columns.count ? &shared->job->columns : &shared->job->rows;
  w->staged = staged_images(plan, tile);
  NTK_CUDA_TRY(cudaSetDevice(w->device.id), "choosing the device");
  NTK_TRY(ntk_cuda_device_describe(w->device.id, &w->device));
  NTK_CUDA_TRY(cudaStreamCreateWithFlags(&w->stream, cudaStreamNonBlocking), "creating a stream");
  w->streaming = 1;
  NTK_TRY(create_program(w, ntk_plan_in_float64(plan) ? &ntk_cuda_stage_f64 : &ntk_cuda_stage_f32, &w->program));
  if (wants_twin(plan)) NTK_TRY(create_program(w, &ntk_cuda_stage_f64, &w->twin));
  if (!w->program.stages.stages[0].inner) NTK_TRY(ntk_cuda_blas_create(w->stream, &w->blas));
  w->pairs = (ntk_stage_batch){.plan = plan,
                               .stream = w->stream,
                               .blas = w->blas,
                               .bytes = batch_bytes,
                               .most = ntk_stage_batch_most(plan, tile)};
  NTK_TRY(create_part(w));
  return create_host(w);
}

/* ---- images ---- */

/* Sends images [at, at + count) of a side from staging to the device. */
static ntk_status send_images(stages_worker *w, const ntk_stage_program *program, ntk_stage_tables *to, int64_t at,
                              int64_t count, const unsigned *hashes) {
  const size_t bytes = program->stages.table_reals * ntk_stage_real(program), area = area_of(w->shared->plan);
  NTK_CUDA_TRY(cudaMemcpyAsync((char *)to->tables + (size_t)at * bytes, w->staging, (size_t)count * bytes,
                               cudaMemcpyHostToDevice, w->stream),
               "copying images to the device");
  if (to->hashes)
    NTK_CUDA_TRY(cudaMemcpyAsync(to->hashes + (size_t)at * area, hashes, (size_t)count * area * sizeof *hashes,
                                 cudaMemcpyHostToDevice, w->stream),
                 "copying images to the device");
  NTK_CUDA_TRY(cudaStreamSynchronize(w->stream), "copying images to the device");
  return NTK_OK;
}

/* Prepares image `at` of a side into place k of staging. */
static ntk_status stage_image(stages_worker *w, const stage_side *side, const ntk_stage_program *program, int64_t at,
                              int64_t k, unsigned *hashes, ntk_stage_image *out) {
  const ntk_plan *plan = w->shared->plan;
  char *const tables = w->staging + (size_t)k * program->stages.table_reals * ntk_stage_real(program);
  if (ntk_worker_stopped(w->shared)) return ntk_worker_interrupted();
  NTK_TRY(ntk_inputs_read(side->source, plan, side->first + at, 1, w->pixels));
  if (side->mirrored) ntk_plan_mirror(plan, 1, w->pixels);
  ntk_stage_image_prepare(plan, w->shared->backend, program->ops->f64, w->pixels, w->scratch, tables, hashes, out);
  return NTK_OK;
}

/* Fills in side->self. */
static ntk_status compute_self(stages_worker *w, stage_side *side, int64_t count) {
  ntk_stage_batch *b = &w->pairs;
  const size_t sums = ntk_plan_sums(w->shared->plan);
  for (int64_t first = 0, some; first < count; first += some) {
    if (ntk_worker_stopped(w->shared)) return ntk_worker_interrupted();
    some = least(count - first, ntk_stage_batch_limit(b, &w->program));
    for (int64_t k = 0; k < some; k++)
      b->list[k] = (ntk_cuda_stage_pair){(int)(first + k), (int)(first + k), 2 * side->images[first + k].exponent, 1};
    NTK_TRY(ntk_stage_batch_run(b, &w->program, &side->tables, &side->tables, (int)some));
    for (int64_t k = 0; k < some; k++)
      for (size_t n = 0; n < sums; n++)
        side->self[(size_t)(first + k) * sums + n] = ldexp(b->sums[(size_t)k * sums + n], b->list[k].exponent);
  }
  return NTK_OK;
}

/* Brings inputs [first, first + count), or their mirror images, to the device. */
static ntk_status enter_images(stages_worker *w, stage_side *side, int64_t first, int64_t count, bool mirrored) {
  const ntk_plan *plan = w->shared->plan;
  const size_t area = area_of(plan);
  unsigned *const hashes =
      (unsigned *)(w->staging + (size_t)w->staged * table_reals(plan) * sizeof(double)); /* behind the tables */
  if (side->count == count && side->first == first && side->mirrored == mirrored) return NTK_OK;
  side->count = 0, side->first = first, side->mirrored = mirrored;
  memset(side->exact_ready, 0, (size_t)w->part * sizeof *side->exact_ready);
  for (int64_t k = 0; k < count; k += w->staged) {
    const int64_t some = least(count - k, w->staged);
    for (int64_t n = 0; n < some; n++)
      NTK_TRY(stage_image(w, side, &w->program, k + n, n, side->tables.hashes ? hashes + (size_t)n * area : NULL,
                          &side->images[k + n]));
    NTK_TRY(send_images(w, &w->program, &side->tables, k, some, hashes));
  }
  if (side->self) NTK_TRY(compute_self(w, side, count));
  side->count = count;
  return NTK_OK;
}

/* One image in float64. */
static ntk_status enter_exact(stages_worker *w, stage_side *side, int64_t at) {
  ntk_stage_image image;
  if (side->exact_ready[at]) return NTK_OK;
  NTK_TRY(stage_image(w, side, &w->twin, at, 0, NULL, &image));
  NTK_TRY(send_images(w, &w->twin, &side->exact, at, 1, NULL));
  side->exact_ready[at] = true;
  return NTK_OK;
}

/* ---- pairs ---- */

static stage_side *column_side(stages_worker *w, const ntk_cuda_part *e) {
  if (w->evaluation > 0) return &w->z; /* the rows are other images than the columns */
  return e->triangle || (e->diagonal && w->z.source == w->x.source) ? &w->x : &w->z;
}

static bool last_evaluation(const stages_worker *w) {
  return w->evaluation + 1 == ntk_plan_evaluations(w->shared->plan);
}

/* Fills the batch with at most `limit` pairs of the extent from *next on: all of them, or those at the given places.
 * Those that need float64 in any case go to w->risky, unless this is it. */
static int fill_batch(stages_worker *w, int limit, const ntk_cuda_part *e, const int64_t *places, int64_t count,
                      bool exact, int64_t *next) {
  const stage_side *z = column_side(w, e);
  ntk_stage_batch *b = &w->pairs;
  int filled = 0;
  for (; *next < count && filled < limit; ++*next) {
    const int64_t place = places ? places[*next] : *next;
    int64_t i, j;
    if (!ntk_cuda_part_pair(e, place, &i, &j)) continue;
    const ntk_stage_image *x_image = &w->x.images[i], *z_image = &z->images[j];
    if (!exact && !w->program.ops->f64 && ntk_stage_images_need_f64(&w->shared->plan->program, x_image, z_image)) {
      w->risky[w->risky_count++] = place;
      if (last_evaluation(w)) atomic_fetch_add(&w->shared->pairs, 1);
      continue;
    }
    b->list[filled] = (ntk_cuda_stage_pair){(int)i, (int)j, x_image->exponent + z_image->exponent,
                                            x_image->content == z_image->content};
    b->at[filled++] = place;
  }
  return filled;
}

/* The estimated relative error of pair k of the batch. */
static double risk_of(const stages_worker *w, int k) {
  const int norms = w->shared->plan->program.norm_count;
  return (double)w->pairs.risk[2 * k] + (norms > 1 ? norms - 1 : 0) * (double)w->pairs.risk[2 * k + 1];
}

static ntk_status store_pair(stages_worker *w, const ntk_cuda_part *e, int k) {
  const ntk_plan *plan = w->shared->plan;
  const stage_side *z = column_side(w, e);
  const size_t count = ntk_plan_sums(plan);
  const ntk_cuda_stage_pair pair = w->pairs.list[k];
  double *const sums = w->pairs.sums + (size_t)k * count;
  for (size_t n = 0; n < count; n++) sums[n] = ldexp(sums[n], pair.exponent);
  return ntk_value_store_head(plan, w->evaluation, sums, z->self ? w->x.self + (size_t)pair.x * count : NULL,
                              z->self ? z->self + (size_t)pair.z * count : NULL, w->one, w->values,
                              ntk_cuda_part_value(e, pair.x, pair.z), e->i0 + pair.x, e->j0 + pair.z);
}

/* Runs the pairs at `places` (NULL: all `count` of them) of the extent, batch by batch. In the plan's precision pairs
 * that need float64 go to w->risky. */
static ntk_status run_places(stages_worker *w, const ntk_cuda_part *e, const int64_t *places, int64_t count,
                             bool exact) {
  const ntk_stage_program *program = exact ? &w->twin : &w->program;
  stage_side *z = column_side(w, e);
  const double limit = ntk_risk_limit(w->shared->plan);
  ntk_stage_batch *b = &w->pairs;
  for (int64_t next = 0; next < count;) {
    if (ntk_worker_stopped(w->shared)) return ntk_worker_interrupted();
    const int filled = fill_batch(w, ntk_stage_batch_limit(b, program), e, places, count, exact, &next);
    for (int k = 0; exact && k < filled; k++) {
      NTK_TRY(enter_exact(w, &w->x, b->list[k].x));
      NTK_TRY(enter_exact(w, z, b->list[k].z));
    }
    NTK_TRY(
        ntk_stage_batch_run(b, program, exact ? &w->x.exact : &w->x.tables, exact ? &z->exact : &z->tables, filled));
    for (int k = 0; k < filled; k++) {
      if (!exact && w->twin.ops && !(risk_of(w, k) <= limit)) /* a NaN too */
        w->risky[w->risky_count++] = b->at[k];
      else
        NTK_TRY(store_pair(w, e, k));
    }
    if (!exact && last_evaluation(w)) atomic_fetch_add(&w->shared->pairs, filled);
  }
  return NTK_OK;
}

static ntk_status run_evaluation(stages_worker *w, const ntk_cuda_part *e) {
  stage_side *z = column_side(w, e);
  NTK_TRY(enter_images(w, &w->x, e->i0, e->rows, w->evaluation > 0));
  if (z != &w->x) NTK_TRY(enter_images(w, z, e->j0, e->columns, false));
  w->risky_count = 0;
  NTK_TRY(run_places(w, e, NULL, ntk_cuda_part_places(e), false));
  if (w->risky_count == 0) return NTK_OK;
  NTK_TRY(run_places(w, e, w->risky, w->risky_count, true));
  atomic_fetch_add(&w->shared->recomputed, w->risky_count);
  return NTK_OK;
}

static ntk_status run_part(void *worker, const ntk_cuda_part *e) {
  stages_worker *w = worker;
  for (w->evaluation = 0; w->evaluation < ntk_plan_evaluations(w->shared->plan); w->evaluation++)
    NTK_TRY(run_evaluation(w, e));
  return NTK_OK;
}

static ntk_status run_tile(void *worker, int64_t tile_row, int64_t tile_column, int64_t *rows, int64_t *columns,
                           const double *const **values) {
  stages_worker *w = worker;
  const ntk_cuda_parts work = {w->shared, &w->device, w->tile, w->part, w->values, run_part, w};
  return ntk_cuda_run_tile(&work, tile_row, tile_column, rows, columns, values);
}

const ntk_worker_ops ntk_cuda_stages_ops = {host_bytes, create_worker, free_worker, run_tile};
