/* Features of a data set on disk: blocks of rows -> run.c -> store. */
#include <jansson.h>
#include <ntk/version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/clock.h"
#include "host/context.h"
#include "host/cuda/features.h"
#include "host/features/features.h"
#include "host/gram/manifest.h"
#include "host/status.h"
#include "host/store/store.h"

/* The store cuts Z into square tiles. A row of tiles is a block; several blocks are computed at a time, so that every
 * thread has some batches. */
enum { TILE = 512, MOST_BLOCKS = 64 };

static const char *const methods[] = {"random", "sketch"};
static const char *const sketches[] = {"srht", "fourier", "count"};
static const char *const samplings[] = {"gaussian", "leverage", "gibbs"};

static char *make_manifest(const ntk_features *f, const char *engine, const ntk_dataset *data, const char *path) {
  const ntk_features_options *o = &f->options;
  const bool sketch = o->method == NTK_FEATURES_SKETCH;
  char seed[32];
  snprintf(seed, sizeof seed, "%llu", (unsigned long long)o->seed); /* JSON's integers end at 2^63 */
  json_t *map = json_pack("{s:s, s:b, s:I, s:I, s:I, s:s, s:s, s:i, s:s}", "method", methods[o->method], "plain",
                          o->plain, "dim", (json_int_t)o->dim, "sketch_dim", (json_int_t)o->sketch_dim, "order0_dim",
                          (json_int_t)o->order0_dim, "sketch", sketches[o->sketch], "sampling", samplings[o->sampling],
                          "degree", sketch ? o->degree : 0, "seed", seed);
  json_t *identity = map ? json_pack("{s:s, s:s?, s:s, s:f, s:s, s:o, s:s, s:o}", "network", f->text, "preset",
                                     f->preset, "convention", ntk_convention_name(f->convention), "scale", f->scale,
                                     "kernel", o->kernel == NTK_KERNEL_NNGP ? "nngp" : "ntk", "features", map, "isa",
                                     engine, "rows", ntk_manifest_data(data))
                         : NULL;
  json_t *root = identity ? json_pack("{s:o, s:s, s:s, s:s*}", "identity", identity, "written_by",
                                      "libntk " NTK_VERSION_STRING, "rows_data", ntk_dataset_spec(data),
                                      "rows_preprocess_file", ntk_manifest_preprocess_file(data, path))
                          : NULL;
  char *text = root ? json_dumps(root, JSON_REAL_PRECISION(17)) : NULL;
  json_decref(root);
  return text;
}

typedef struct job {
  ntk_context *context;
  const ntk_features *features;
  const ntk_dataset *data;
  ntk_store *store;
  int64_t rows, columns;
  int64_t most; /* blocks at a time */
  float *block; /* most TILE x columns */
  double *tile; /* TILE x TILE */
  double started;
  ntk_features_report report;
} job;

static bool is_done(const job *j, int64_t block) {
  for (int64_t c = 0; c * TILE < j->columns; c++)
    if (!ntk_store_done(j->store, block, c)) return false;
  return true;
}

static void report_progress(const job *j) {
  const ntk_context *context = j->context;
  if (!context || !context->progress) return;
  const double seconds = ntk_now() - j->started, computed = (double)j->report.rows_computed;
  const double rate = seconds > 0 ? computed / seconds : 0;
  const int64_t done = j->report.rows_computed + j->report.rows_resumed;
  const ntk_progress p = {.stage = "features",
                          .done = done,
                          .total = j->rows,
                          .seconds = seconds,
                          .pairs_per_second = rate,
                          .seconds_left = rate > 0 ? (double)(j->rows - done) / rate : -1};
  context->progress(&p, context->progress_user);
}

static ntk_status store_block(job *j, int64_t block, const float *rows, int64_t count) {
  for (int64_t c = 0; c * TILE < j->columns; c++) {
    const int64_t width = j->columns - c * TILE < TILE ? j->columns - c * TILE : TILE;
    if (ntk_store_done(j->store, block, c)) continue;
    for (int64_t r = 0; r < count; r++)
      for (int64_t k = 0; k < width; k++) j->tile[r * width + k] = (double)rows[r * j->columns + c * TILE + k];
    const double *const values = j->tile;
    NTK_TRY(ntk_store_write(j->store, block, c, &values));
  }
  return NTK_OK;
}

static ntk_status run_blocks(job *j) {
  const ntk_feature_source source = {j->data, NULL};
  for (int64_t block = 0, blocks; block * TILE < j->rows; block += blocks) {
    const int64_t first = block * TILE, left = j->rows - first;
    for (blocks = 0; blocks < j->most && blocks * TILE < left && !is_done(j, block + blocks);) blocks++;
    if (blocks == 0) {
      j->report.rows_resumed += left < TILE ? left : TILE, blocks = 1;
      continue;
    }
    const int64_t count = left < blocks * TILE ? left : blocks * TILE;
    NTK_TRY(ntk_features_run(j->context, j->features, source, first, count, j->block, &j->report.times));
    for (int64_t b = 0; b < blocks; b++) {
      const int64_t rows = count - b * TILE < TILE ? count - b * TILE : TILE;
      NTK_TRY(store_block(j, block + b, j->block + b * TILE * j->columns, rows));
      j->report.rows_computed += rows;
    }
    report_progress(j);
  }
  return NTK_OK;
}

/* Rows that keep every thread, or every device, busy. */
static ntk_status rows_at_a_time(const job *j, int64_t *rows) {
  int threads;
  if (ntk_context_uses_cuda(j->context)) return ntk_cuda_features_prepare(j->context, j->features, j->rows, rows);
  NTK_TRY(ntk_features_threads(j->context, j->features, j->rows, &threads));
  *rows = 4 * (int64_t)threads * j->features->batch;
  return NTK_OK;
}

static ntk_status run(job *j, const ntk_features_write_options *options, const char *manifest) {
  const ntk_store_options store = {.count = 1,
                                   .paths = &options->path,
                                   .manifests = &manifest,
                                   .rows = j->rows,
                                   .columns = j->columns,
                                   .tile = TILE,
                                   .dtype = NTK_DTYPE_F32,
                                   .resume = options->resume,
                                   .overwrite = options->overwrite};
  int64_t rows = 0; /* at a time; too many are refused before anything is written */
  NTK_TRY(rows_at_a_time(j, &rows));
  const int64_t bytes = (int64_t)TILE * j->columns * (int64_t)sizeof(float);
  const int64_t fit = (j->context ? (int64_t)j->context->memory : (int64_t)512 << 20) / 4 / bytes;
  j->most = (rows + TILE - 1) / TILE;
  if (j->most > fit) j->most = fit;
  j->most = j->most < 1 ? 1 : j->most > MOST_BLOCKS ? MOST_BLOCKS : j->most;
  j->block = malloc((size_t)(j->most * bytes));
  j->tile = malloc((size_t)TILE * TILE * sizeof *j->tile);
  if (!j->block || !j->tile) return ntk_fail(NTK_ERROR_MEMORY, "no memory for a block of features");
  NTK_TRY(ntk_store_open(&store, &j->store));
  ntk_status status = run_blocks(j);
  char message[1024];
  snprintf(message, sizeof message, "%s", ntk_last_error());
  const ntk_status closed = ntk_store_close(j->store);
  return status != NTK_OK ? ntk_fail(status, "%s", message) : closed;
}

ntk_status ntk_features_write(ntk_context *context, const ntk_features *features, const ntk_dataset *data,
                              const ntk_features_write_options *options, ntk_features_report *report) {
  if (report) *report = (ntk_features_report){0};
  if (!features || !data || !options || !options->path)
    return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_features_write: a NULL pointer");
  const ntk_shape a = features->shape, b = ntk_dataset_shape(data);
  if (a.channels != b.channels || a.height != b.height || a.width != b.width)
    return ntk_fail(NTK_ERROR_ARGUMENT,
                    "the inputs are %lld x %lld x %lld, the features were made for %lld x %lld x %lld",
                    (long long)b.channels, (long long)b.height, (long long)b.width, (long long)a.channels,
                    (long long)a.height, (long long)a.width);
  job j = {.context = context,
           .features = features,
           .data = data,
           .rows = ntk_dataset_count(data),
           .columns = ntk_features_dim(features),
           .started = ntk_now()};
  j.report.rows = j.rows;
  char *manifest = make_manifest(features, ntk_context_engine(context), data, options->path);
  const ntk_status status =
      manifest ? run(&j, options, manifest) : ntk_fail(NTK_ERROR_MEMORY, "no memory for a manifest");
  j.report.seconds = ntk_now() - j.started;
  free(manifest), free(j.block), free(j.tile);
  if (report) *report = j.report;
  return status;
}
