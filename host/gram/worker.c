/* One worker: prepares the images of a tile and computes its pairs; float32 pairs that float32 cannot resolve again in
 * float64. */
#include "host/gram/worker.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "host/status.h"

/* A tile is computed BLOCK columns at a time, whose images are prepared just before and whose tables stay in the L3
 * cache, against a few rows at a time, whose tables stay in L2 (near_rows). */
enum { BLOCK = 32, GEMM_BLOCK = 64 };

/* Prepared images of one side of a tile. */
typedef struct image_side {
  const ntk_inputs *source;
  bool mirrored;        /* these are the mirror images */
  int64_t first, count; /* what is prepared; count 0: nothing */
  char *images;         /* plane engine: count x bytes */
  size_t bytes;         /* of an image */
  double *rows;         /* fully connected: inputs padded to GEMM_BLOCK rows */
  double *sides;        /* fully connected: [side_count][stride] (kernels/fc.h) */
  double *self;         /* activations behind the readout: the sums of every image with itself */
} image_side;

/* A prepared image of the float64 second opinion. */
typedef struct exact_image {
  void *image; /* NULL: none yet */
  int64_t index;
} exact_image;

typedef struct cpu_worker {
  ntk_worker_shared *shared;
  int64_t tile, stride; /* stride: tile rounded up to GEMM_BLOCK */
  image_side x, z, f;   /* f: the mirror images of x, with a flip */
  double *pixels;       /* read_inputs of them */
  void *scratch;
  void *products;
  double *sums, *one;
  double **values;
  double *fc_products, *fc_s, *fc_t;
  double *fc_sides; /* of one row */
  /* float64 second opinion, allocated when first needed */
  exact_image exact_x[BLOCK], exact_z[BLOCK], exact_f[BLOCK];
  void *exact_scratch, *exact_products;
} cpu_worker;

size_t ntk_plan_input_size(const ntk_plan *plan) {
  ntk_shape shape = plan->shape;
  return (size_t)shape.channels * (size_t)(shape.height ? shape.height * shape.width : 1);
}

static const ntk_plane_ops *plane_ops(const ntk_plan *plan, const ntk_backend *backend) {
  return ntk_plan_in_float64(plan) ? backend->plane_f64 : backend->plane_f32;
}

static bool many_channels(const ntk_plan *plan) { return plan->program.channels > NTK_INNER_CHANNELS; }

static size_t product_count(const ntk_plan *plan) {
  size_t area = (size_t)plan->program.height * plan->program.width;
  return area * area;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t padded(int64_t tile) { return (tile + GEMM_BLOCK - 1) / GEMM_BLOCK * GEMM_BLOCK; }

/* Images of a block's side. */
static int64_t block_images(int64_t tile) { return tile < BLOCK ? tile : BLOCK; }

/* Inputs that are read at a time: a whole block unless they are large. */
static int64_t read_inputs(const ntk_plan *plan, int64_t tile) {
  const size_t most = ((size_t)1 << 20) / (ntk_plan_input_size(plan) * sizeof(double));
  const int64_t block = block_images(tile);
  return most < 1 ? 1 : least((int64_t)most, block);
}

static uint64_t worker_bytes(const ntk_plan *plan, const ntk_backend *backend, int64_t tile) {
  uint64_t t = (uint64_t)tile, stride = (uint64_t)padded(tile), input = ntk_plan_input_size(plan);
  const uint64_t sides = 1 + (uint64_t)ntk_plan_evaluations(plan);
  uint64_t bytes = (t * t * plan->output_count + (uint64_t)read_inputs(plan, tile) * input) * sizeof(double);
  if (plan->connected)
    return bytes + sides * stride * (input + (uint64_t)plan->fc.side_count) * sizeof(double) +
           GEMM_BLOCK * stride * sizeof(double) + 2 * stride * (uint64_t)plan->program.tap_count * sizeof(double);
  const ntk_plane_ops *ops = plane_ops(plan, backend);
  const uint64_t block = (uint64_t)block_images(tile);
  bytes += ((sides - 1) * t + block) * ops->image_bytes(&plan->program) + ops->scratch_bytes(&plan->program);
  bytes += sides * block * backend->plane_f64->image_bytes(&plan->program) +
           backend->plane_f64->scratch_bytes(&plan->program);
  if (many_channels(plan)) bytes += 2 * product_count(plan) * sizeof(double);
  return bytes;
}

static void *take_raw(size_t bytes) {
  /* The tables of a tile are streamed again and again: huge pages spare the TLB and spread over the cache evenly. */
  const size_t huge = 2u << 20;
  const bool large = bytes >= 2 * huge;
  void *memory = NULL;
  bytes = (bytes + 63) / 64 * 64;
  if (posix_memalign(&memory, large ? huge : 64, bytes ? bytes : 64) != 0) return NULL;
  if (large) madvise(memory, bytes, MADV_HUGEPAGE);
  return memory;
}

static void *take(size_t bytes) {
  void *memory = take_raw(bytes);
  return memory ? memset(memory, 0, bytes) : NULL;
}

static ntk_status no_memory(void) {
  return ntk_fail(NTK_ERROR_MEMORY, "no memory for a tile: lower --memory, --threads or --tile");
}

static bool create_side(cpu_worker *w, image_side *side, int64_t count) {
  const ntk_plan *plan = w->shared->plan;
  if (plan->connected) {
    side->rows = take((size_t)w->stride * ntk_plan_input_size(plan) * sizeof(double));
    side->sides = take((size_t)w->stride * (size_t)(plan->fc.side_count + 1) * sizeof(double));
    return side->rows && side->sides;
  }
  side->bytes = plane_ops(plan, w->shared->backend)->image_bytes(&plan->program);
  side->images = take_raw((size_t)count * side->bytes);
  if (plan->head_activates && !(side->self = take((size_t)count * ntk_plan_sums(plan) * sizeof(double)))) return false;
  return side->images != NULL;
}

static void free_worker(void *worker) {
  cpu_worker *w = worker;
  if (!w) return;
  if (w->values)
    for (size_t k = 0; k < w->shared->plan->output_count; k++) free(w->values[k]);
  image_side *const sides[] = {&w->x, &w->z, &w->f};
  for (int k = 0; k < 3; k++) free(sides[k]->images), free(sides[k]->rows), free(sides[k]->sides), free(sides[k]->self);
  free(w->pixels), free(w->scratch), free(w->products), free(w->sums), free(w->one), free(w->values);
  free(w->fc_products), free(w->fc_s), free(w->fc_t), free(w->fc_sides);
  for (int k = 0; k < BLOCK; k++) free(w->exact_x[k].image), free(w->exact_z[k].image), free(w->exact_f[k].image);
  free(w->exact_scratch), free(w->exact_products);
  free(w);
}

static ntk_status create_worker(ntk_worker_shared *shared, int index, int64_t tile, void **out) {
  const ntk_plan *plan = shared->plan;
  cpu_worker *w = calloc(1, sizeof *w);
  (void)index;
  if (!w) return no_memory();
  *out = w;
  w->shared = shared, w->tile = tile, w->stride = padded(tile);
  w->x.source = &shared->job->rows;
  w->z.source = shared->job->columns.count ? &shared->job->columns : &shared->job->rows;
  w->f.source = w->x.source, w->f.mirrored = true;
  bool ok = create_side(w, &w->x, tile) && create_side(w, &w->z, block_images(tile));
  ok = ok && (ntk_plan_evaluations(plan) == 1 || create_side(w, &w->f, tile));
  ok = ok && (w->pixels = take((size_t)read_inputs(plan, tile) * ntk_plan_input_size(plan) * sizeof(double))) != NULL;
  ok = ok && (w->sums = take(ntk_plan_sums(plan) * sizeof(double))) != NULL;
  ok = ok && (w->one = take(plan->output_count * sizeof(double))) != NULL;
  ok = ok && (w->values = take(plan->output_count * sizeof *w->values)) != NULL;
  for (size_t k = 0; ok && k < plan->output_count; k++)
    ok = (w->values[k] = take((size_t)(tile * (shared->job->diagonal ? 1 : tile)) * sizeof(double))) != NULL;
  if (plan->connected) {
    size_t taps = (size_t)plan->program.tap_count;
    ok = ok && (w->fc_products = take((size_t)w->stride * GEMM_BLOCK * sizeof(double))) != NULL;
    ok = ok && (w->fc_sides = take((size_t)(plan->fc.side_count + 1) * sizeof(double))) != NULL;
    ok = ok && (w->fc_s = take((size_t)w->stride * taps * sizeof(double))) != NULL;
    ok = ok && (w->fc_t = take((size_t)w->stride * taps * sizeof(double))) != NULL;
  } else {
    const ntk_plane_ops *ops = plane_ops(plan, shared->backend);
    ok = ok && (w->scratch = take(ops->scratch_bytes(&plan->program))) != NULL;
    if (many_channels(plan)) ok = ok && (w->products = take(product_count(plan) * sizeof(double))) != NULL;
  }
  return ok ? NTK_OK : no_memory();
}

ntk_status ntk_inputs_read(const ntk_inputs *source, const ntk_plan *plan, int64_t first, int64_t count, double *out) {
  size_t size = ntk_plan_input_size(plan) * (size_t)count;
  if (source->dataset) {
    NTK_TRY(ntk_dataset_read(source->dataset, first, count, out));
  } else {
    memcpy(out, source->values + (size_t)first * ntk_plan_input_size(plan), size * sizeof *out);
  }
  for (size_t k = 0; k < size; k++)
    if (!isfinite(out[k]))
      return ntk_fail(NTK_ERROR_DATA, "input %lld holds a value that is not finite: remove or repair it",
                      (long long)(first + (int64_t)(k / ntk_plan_input_size(plan))));
  return NTK_OK;
}

/* ---- plane engine ---- */

/* All products SUM_c x[c,p] z[c,p'] of two prepared images with many channels. */
static void input_products(const ntk_plan *plan, const ntk_plane_ops *ops, const void *x, const void *z, void *out) {
  int area = plan->program.height * plan->program.width, channels = plan->program.channels;
  const void *a = ops->channel_matrix(&plan->program, x), *b = ops->channel_matrix(&plan->program, z);
  if (ops->f64)
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, area, area, channels, 1, a, area, b, area, 0, out, area);
  else
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, area, area, channels, 1, a, area, b, area, 0, out, area);
}

/* The pooled sums of a prepared image with itself. */
static void self_sums(cpu_worker *w, const ntk_plane_ops *ops, const void *image, double *sums) {
  const ntk_plan *plan = w->shared->plan;
  if (many_channels(plan)) input_products(plan, ops, image, image, w->products);
  ops->pair(&plan->program, image, image, w->products, w->scratch, sums);
}

static ntk_status prepare_images(cpu_worker *w, image_side *side, int64_t first, int64_t count) {
  const ntk_plan *plan = w->shared->plan;
  const ntk_plane_ops *ops = plane_ops(plan, w->shared->backend);
  const size_t sums = ntk_plan_sums(plan);
  if (side->count == count && side->first == first) return NTK_OK;
  side->count = 0;
  const int64_t most = read_inputs(plan, w->tile);
  for (int64_t k = 0; k < count; k++) {
    double *pixels = w->pixels + (size_t)(k % most) * ntk_plan_input_size(plan);
    if (ntk_worker_stopped(w->shared)) return ntk_worker_interrupted();
    if (k % most == 0) NTK_TRY(ntk_inputs_read(side->source, plan, first + k, least(most, count - k), w->pixels));
    if (side->mirrored) ntk_plan_mirror(plan, 1, pixels);
    ops->prepare(&plan->program, pixels, side->images + (size_t)k * side->bytes, w->scratch);
    if (plan->head_activates) self_sums(w, ops, side->images + (size_t)k * side->bytes, side->self + k * (int64_t)sums);
  }
  side->first = first, side->count = count;
  return NTK_OK;
}

/* The pair in float64, whatever the plan's precision. */
static ntk_status prepare_exact(cpu_worker *w, const image_side *side, int64_t index, exact_image *out) {
  const ntk_plan *plan = w->shared->plan;
  const ntk_plane_ops *ops = w->shared->backend->plane_f64;
  if (out->image && out->index == index) return NTK_OK;
  if (!out->image && !(out->image = take(ops->image_bytes(&plan->program)))) return no_memory();
  out->index = -1;
  NTK_TRY(ntk_inputs_read(side->source, plan, index, 1, w->pixels));
  if (side->mirrored) ntk_plan_mirror(plan, 1, w->pixels);
  ops->prepare(&plan->program, w->pixels, out->image, w->exact_scratch);
  out->index = index;
  return NTK_OK;
}

/* An evaluation of a pair once more in float64. */
static ntk_status exact_pair(cpu_worker *w, int evaluation, int64_t i, int64_t j) {
  const ntk_plan *plan = w->shared->plan;
  const ntk_program *program = &plan->program;
  const ntk_plane_ops *ops = w->shared->backend->plane_f64;
  const int64_t images = block_images(w->tile);
  exact_image *x = evaluation ? &w->exact_f[i % images] : &w->exact_x[i % images], *z = &w->exact_z[j % images];
  if (!w->exact_scratch) {
    w->exact_products = take(many_channels(plan) ? product_count(plan) * sizeof(double) : 1);
    w->exact_scratch = take(ops->scratch_bytes(program));
    if (!w->exact_products || !w->exact_scratch) return no_memory();
  }
  NTK_TRY(prepare_exact(w, evaluation ? &w->f : &w->x, i, x));
  NTK_TRY(prepare_exact(w, &w->z, j, z));
  if (many_channels(plan)) input_products(plan, ops, x->image, z->image, w->exact_products);
  ops->pair(program, x->image, z->image, w->exact_products, w->exact_scratch, w->sums);
  atomic_fetch_add(&w->shared->recomputed, 1);
  return NTK_OK;
}

/* Pair (i, j) of the matrix into place `at` of the values. */
static ntk_status plane_pair(cpu_worker *w, const image_side *columns, int64_t i, int64_t j, size_t at) {
  const ntk_plan *plan = w->shared->plan;
  const ntk_plane_ops *ops = plane_ops(plan, w->shared->backend);
  const char *z = columns->images + (size_t)(j - columns->first) * columns->bytes;
  for (int e = 0; e < ntk_plan_evaluations(plan); e++) {
    const image_side *rows = e ? &w->f : &w->x;
    const char *x = rows->images + (size_t)(i - rows->first) * rows->bytes;
    if (many_channels(plan)) input_products(plan, ops, x, z, w->products);
    double risk = ops->pair(&plan->program, x, z, w->products, w->scratch, w->sums);
    if (risk > ntk_risk_limit(plan)) NTK_TRY(exact_pair(w, e, i, j));
    const size_t sums = ntk_plan_sums(plan);
    const double *x_self = rows->self ? rows->self + (size_t)(i - rows->first) * sums : NULL;
    const double *z_self = columns->self ? columns->self + (size_t)(j - columns->first) * sums : NULL;
    NTK_TRY(ntk_value_store_head(plan, e, w->sums, x_self, z_self, w->one, w->values, at, i, j));
  }
  return NTK_OK;
}

/* Images [first, first + count) of the rows, with their mirror images if they are wanted. */
static ntk_status prepare_row_images(cpu_worker *w, int64_t first, int64_t count) {
  NTK_TRY(prepare_images(w, &w->x, first, count));
  return ntk_plan_evaluations(w->shared->plan) == 1 ? NTK_OK : prepare_images(w, &w->f, first, count);
}

/* Rows whose prepared images take about half of a common L2 cache (1 MiB), so that the other half streams columns. */
static int64_t near_rows(const image_side *side, int evaluations) {
  const int64_t rows = (int64_t)(((size_t)640 << 10) / (side->bytes * (size_t)evaluations));
  return rows < 1 ? 1 : least(rows, BLOCK);
}

/* The pairs of rows [i0, i1) and columns [j0, j1) of a tile whose first column is image z0. */
static ntk_status plane_block(cpu_worker *w, const image_side *z, int64_t i0, int64_t i1, int64_t j0, int64_t j1,
                              int64_t z0, int64_t columns, bool triangle) {
  for (int64_t j = j0; j < j1; j++) {
    const int64_t end = triangle && j + 1 < i1 ? j + 1 : i1;
    for (int64_t i = i0; i < end; i++) {
      if (ntk_worker_stopped(w->shared)) return ntk_worker_interrupted();
      NTK_TRY(plane_pair(w, z, w->x.first + i, z0 + j, (size_t)(i * columns + j)));
    }
    if (end > i0) atomic_fetch_add(&w->shared->pairs, end - i0);
  }
  return NTK_OK;
}

static ntk_status plane_tile(cpu_worker *w, int64_t i0, int64_t rows, int64_t j0, int64_t columns, bool triangle) {
  const image_side *z = triangle ? &w->x : &w->z;
  const int64_t near = near_rows(&w->x, ntk_plan_evaluations(w->shared->plan));
  NTK_TRY(prepare_row_images(w, i0, rows));
  for (int64_t jb = 0; jb < columns; jb += BLOCK) {
    const int64_t je = least(jb + BLOCK, columns);
    if (!triangle) NTK_TRY(prepare_images(w, &w->z, j0 + jb, je - jb));
    for (int64_t i = 0; i < rows; i += near)
      NTK_TRY(plane_block(w, z, i, least(i + near, rows), jb, je, j0, columns, triangle));
  }
  return NTK_OK;
}

static ntk_status plane_diagonal(cpu_worker *w, int64_t i0, int64_t rows) {
  image_side *z = w->z.source == w->x.source ? &w->x : &w->z;
  for (int64_t i = i0; i < i0 + rows; i++) {
    if (ntk_worker_stopped(w->shared)) return ntk_worker_interrupted();
    NTK_TRY(prepare_row_images(w, i, 1));
    NTK_TRY(prepare_images(w, z, i, 1));
    NTK_TRY(plane_pair(w, z, i, i, (size_t)(i - i0)));
    atomic_fetch_add(&w->shared->pairs, 1);
  }
  return NTK_OK;
}

/* ---- fully connected ---- */

/* out = x z^T / d for GEMM_BLOCK rows of each. Every GEMM has this one shape, so that a product does not depend on
 * where in a tile its pair lies. */
static void gemm_block(const double *x, const double *z, int d, double *out, int64_t stride) {
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, GEMM_BLOCK, GEMM_BLOCK, d, 1.0 / d, x, d, z, d, 0, out,
              (int)stride);
}

/* q: the variances of all rows of a side from before to after a layer; what pairs need of them goes into the sides. */
static ntk_status prepare_layer(cpu_worker *w, image_side *side, const ntk_fc_layer *layer, int64_t first,
                                int64_t count, double *q) {
  const ntk_fc_program *fc = &w->shared->plan->fc;
  for (int64_t k = 0; k < w->stride; k++) {
    q[k] = layer->w2 * q[k] + layer->b2;
    if (!layer->relu) continue;
    double n = sqrt(q[k]);
    side->sides[layer->norm * w->stride + k] = n;
    side->sides[(fc->norm_count + layer->norm) * w->stride + k] = n > 0 ? 1 / n : 0;
    q[k] *= layer->half_c;
  }
  if (layer->dual < 0) return NTK_OK;
  const ntk_activation_dual *dual = &fc->duals[layer->dual];
  const size_t stride = (size_t)w->stride;
  double *sides = side->sides + (size_t)layer->side * stride;
  for (int64_t k = 0; k < count; k++) {
    if (!(q[k] <= NTK_DUAL_LARGEST_VARIANCE))
      return ntk_fail(NTK_ERROR_DATA,
                      "the variance of input %lld is not finite or above %g before an activation: scale "
                      "the data or the weights",
                      (long long)(first + k), NTK_DUAL_LARGEST_VARIANCE);
    ntk_dual_side(dual, q[k], sides + k, stride);
  }
  w->shared->backend->dual_row(dual, stride, stride, sides, 1, sides, q, NULL);
  return NTK_OK;
}

static ntk_status prepare_rows(cpu_worker *w, image_side *side, int64_t first, int64_t count) {
  const ntk_plan *plan = w->shared->plan;
  double *q = w->fc_s;
  size_t d = ntk_plan_input_size(plan);
  if (side->count == count && side->first == first) return NTK_OK;
  side->count = 0;
  NTK_TRY(ntk_inputs_read(side->source, plan, first, count, side->rows));
  if (side->mirrored) ntk_plan_mirror(plan, count, side->rows);
  memset(side->rows + (size_t)count * d, 0, (size_t)(w->stride - count) * d * sizeof(double));
  for (int64_t k = 0; k < w->stride; k++) {
    /* by the very GEMM that makes the products, so that an input and its copy have rho = 1 to the last bit */
    if (k % GEMM_BLOCK == 0)
      gemm_block(side->rows + k * (int64_t)d, side->rows + k * (int64_t)d, (int)d, w->fc_products, w->stride);
    q[k] = w->fc_products[(k % GEMM_BLOCK) * w->stride + k % GEMM_BLOCK];
  }
  for (int l = 0; l < plan->fc.layer_count; l++) NTK_TRY(prepare_layer(w, side, &plan->fc.layers[l], first, count, q));
  side->first = first, side->count = count;
  return NTK_OK;
}

/* Rows [ib, ib + GEMM_BLOCK) of x against all columns. */
static void block_products(cpu_worker *w, const image_side *x, int64_t ib, int64_t columns) {
  int64_t d = (int64_t)ntk_plan_input_size(w->shared->plan);
  for (int64_t jb = 0; jb < columns; jb += GEMM_BLOCK)
    gemm_block(x->rows + ib * d, w->z.rows + jb * d, (int)d, w->fc_products + jb, w->stride);
}

/* One evaluation of all pairs of a tile. */
static ntk_status connected_pairs(cpu_worker *w, int evaluation, int64_t i0, int64_t rows, int64_t j0, int64_t columns,
                                  bool diagonal) {
  const ntk_plan *plan = w->shared->plan;
  const bool last = evaluation + 1 == ntk_plan_evaluations(plan);
  image_side *x = evaluation ? &w->f : &w->x;
  size_t stride = (size_t)w->stride, taps = (size_t)plan->program.tap_count;
  NTK_TRY(prepare_rows(w, x, i0, rows));
  NTK_TRY(prepare_rows(w, &w->z, j0, columns));
  for (int64_t i = 0; i < rows; i++) {
    if (ntk_worker_stopped(w->shared)) return ntk_worker_interrupted();
    if (i % GEMM_BLOCK == 0) block_products(w, x, i, columns);
    for (int l = 0; l < plan->fc.side_count; l++) w->fc_sides[l] = x->sides[(size_t)l * stride + (size_t)i];
    w->shared->backend->fc_row(&plan->fc, w->fc_products + (i % GEMM_BLOCK) * (int64_t)stride, w->fc_sides, w->z.sides,
                               stride, (size_t)columns, w->fc_s, w->fc_t);
    for (int64_t j = diagonal ? i : 0; j < (diagonal ? i + 1 : columns); j++) {
      for (size_t t = 0; t < taps; t++)
        w->sums[2 * t] = w->fc_t[t * stride + (size_t)j], w->sums[2 * t + 1] = w->fc_s[t * stride + (size_t)j];
      NTK_TRY(ntk_value_store(plan, evaluation, w->sums, w->one, w->values, (size_t)(diagonal ? i : i * columns + j),
                              i0 + i, j0 + j));
    }
    const int64_t done = diagonal ? 1 : i0 == j0 && w->x.source == w->z.source ? columns - i : columns;
    if (last) atomic_fetch_add(&w->shared->pairs, done);
  }
  return NTK_OK;
}

static ntk_status connected_tile(cpu_worker *w, int64_t i0, int64_t rows, int64_t j0, int64_t columns, bool diagonal) {
  for (int e = 0; e < ntk_plan_evaluations(w->shared->plan); e++)
    NTK_TRY(connected_pairs(w, e, i0, rows, j0, columns, diagonal));
  return NTK_OK;
}

/* ---- a tile ---- */

static ntk_status run_tile(void *worker, int64_t tile_row, int64_t tile_column, int64_t *rows, int64_t *columns,
                           const double *const **values) {
  cpu_worker *w = worker;
  const ntk_tiles_job *job = w->shared->job;
  int64_t i0 = tile_row * w->tile, j0 = tile_column * w->tile;
  bool symmetric = job->columns.count == 0, triangle = symmetric && tile_row == tile_column;
  *rows = w->x.source->count - i0 < w->tile ? w->x.source->count - i0 : w->tile;
  if (job->diagonal) {
    *columns = 1;
    NTK_TRY(w->shared->plan->connected ? connected_tile(w, i0, *rows, i0, *rows, true) : plane_diagonal(w, i0, *rows));
  } else {
    *columns = w->z.source->count - j0 < w->tile ? w->z.source->count - j0 : w->tile;
    NTK_TRY(w->shared->plan->connected ? connected_tile(w, i0, *rows, j0, *columns, false)
                                       : plane_tile(w, i0, *rows, j0, *columns, triangle));
    if (triangle) ntk_values_mirror(w->shared->plan, w->values, *rows);
  }
  *values = (const double *const *)w->values;
  return NTK_OK;
}

const ntk_worker_ops ntk_cpu_worker_ops = {worker_bytes, create_worker, free_worker, run_tile};
