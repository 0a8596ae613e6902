/* Whole matrices on disk: plan + data sets -> tiles -> store. */
#include <ntk/gram.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/context.h"
#include "host/gram/manifest.h"
#include "host/gram/tiles.h"
#include "host/status.h"
#include "host/store/store.h"

ntk_status ntk_gram_output_path(const char *path, const ntk_plan *plan, size_t index, char *buffer, size_t size) {
  if (!path || !plan || !buffer || index >= ntk_plan_output_count(plan))
    return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_gram_output_path: a NULL pointer or no such output");
  int length;
  size_t stem = strlen(path);
  if (ntk_plan_output_count(plan) == 1) {
    length = snprintf(buffer, size, "%s", path);
  } else {
    if (stem >= 4 && strcmp(path + stem - 4, ".npy") == 0) stem -= 4;
    length = snprintf(buffer, size, "%.*s-%s.npy", (int)stem, path, ntk_plan_output(plan, index).name);
  }
  if (length < 0 || (size_t)length >= size) return ntk_fail(NTK_ERROR_ARGUMENT, "the path %s is too long", path);
  return NTK_OK;
}

static bool store_done(void *user, int64_t row, int64_t column) { return ntk_store_done(user, row, column); }

static ntk_status store_write(void *user, int64_t row, int64_t column, int64_t rows, int64_t columns,
                              const double *const *values) {
  (void)rows, (void)columns;
  return ntk_store_write(user, row, column, values);
}

static ntk_status check_data(const ntk_plan *plan, const ntk_dataset *data, const char *which) {
  ntk_shape a = ntk_plan_shape(plan), b = ntk_dataset_shape(data);
  if (a.channels != b.channels || a.height != b.height || a.width != b.width)
    return ntk_fail(NTK_ERROR_ARGUMENT, "the %s are %lld x %lld x %lld, the plan was made for %lld x %lld x %lld",
                    which, (long long)b.channels, (long long)b.height, (long long)b.width, (long long)a.channels,
                    (long long)a.height, (long long)a.width);
  return NTK_OK;
}

enum { PATH_SIZE = 4096 };

/* Paths and manifests of all outputs; freed by free_names. */
typedef struct names {
  size_t count;
  char **paths, **manifests;
} names;

static void free_names(names *n) {
  for (size_t k = 0; k < n->count; k++) {
    if (n->paths) free(n->paths[k]);
    if (n->manifests) free(n->manifests[k]);
  }
  free(n->paths), free(n->manifests);
}

static ntk_status make_names(names *n, const ntk_plan *plan, const char *isa, const ntk_dataset *rows,
                             const ntk_dataset *columns, const char *path) {
  n->count = ntk_plan_output_count(plan);
  n->paths = calloc(n->count, sizeof *n->paths);
  n->manifests = calloc(n->count, sizeof *n->manifests);
  for (size_t k = 0; n->paths && n->manifests && k < n->count; k++) {
    n->paths[k] = malloc(PATH_SIZE);
    if (!n->paths[k]) return ntk_fail(NTK_ERROR_MEMORY, "no memory for a manifest");
    NTK_TRY(ntk_gram_output_path(path, plan, k, n->paths[k], PATH_SIZE));
    n->manifests[k] = ntk_manifest_write(plan, k, isa, rows, columns, n->paths[k]);
    if (!n->manifests[k]) return ntk_fail(NTK_ERROR_MEMORY, "no memory for a manifest");
  }
  return n->paths && n->manifests ? NTK_OK : ntk_fail(NTK_ERROR_MEMORY, "no memory for a manifest");
}

/* Opens the store and runs the job into it; always closes, so that finished tiles are journalled. */
static ntk_status run_into_store(ntk_context *context, const ntk_plan *plan, ntk_tiles_job *job, const names *n,
                                 const ntk_gram_options *options) {
  ntk_store_options store_options = {
      .count = n->count,
      .paths = (const char *const *)n->paths,
      .manifests = (const char *const *)n->manifests,
      .rows = job->rows.count,
      .columns = job->columns.count ? job->columns.count : job->rows.count,
      .symmetric = job->columns.count == 0,
      .tile = job->tile,
      .dtype = ntk_plan_precision(plan) == NTK_F64 ? NTK_DTYPE_F64 : NTK_DTYPE_F32,
      .resume = options->resume,
      .overwrite = options->overwrite,
  };
  ntk_store *store = NULL;
  NTK_TRY(ntk_store_open(&store_options, &store));
  job->tile = ntk_store_tile(store);
  job->sink = (ntk_tile_sink){store, store_done, store_write};
  ntk_status status = ntk_tiles_choose(context, plan, job); /* a resumed tile size must fit, too */
  if (status == NTK_OK) status = ntk_tiles_run(context, plan, job);
  char message[1024];
  snprintf(message, sizeof message, "%s", ntk_last_error());
  ntk_status closed = ntk_store_close(store);
  if (status != NTK_OK) return ntk_fail(status, "%s", message);
  return closed;
}

ntk_status ntk_gram(ntk_context *context, const ntk_plan *plan, const ntk_dataset *rows, const ntk_dataset *columns,
                    const ntk_gram_options *options, ntk_gram_report *report) {
  if (report) *report = (ntk_gram_report){0};
  if (!plan || !rows || !options || !options->path) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_gram: a NULL pointer");
  if (options->tile < 0)
    return ntk_fail(NTK_ERROR_ARGUMENT, "a tile of %lld rows is impossible", (long long)options->tile);
  NTK_TRY(check_data(plan, rows, "rows"));
  if (columns) NTK_TRY(check_data(plan, columns, "columns"));
  ntk_tiles_job job = {.stage = "gram", .rows = {rows, NULL, ntk_dataset_count(rows)}, .tile = options->tile};
  if (columns) job.columns = (ntk_inputs){columns, NULL, ntk_dataset_count(columns)};
  NTK_TRY(ntk_tiles_choose(context, plan, &job));
  names n = {0};
  ntk_status status = make_names(&n, plan, ntk_context_engine(context), rows, columns, options->path);
  if (status == NTK_OK) status = run_into_store(context, plan, &job, &n, options);
  free_names(&n);
  if (report) {
    double computed = (double)job.pairs_done;
    *report = (ntk_gram_report){.pairs = job.pairs,
                                .pairs_computed = job.pairs_done,
                                .pairs_resumed = job.pairs_resumed,
                                .pairs_recomputed = job.pairs_recomputed,
                                .seconds = job.seconds,
                                .tile = job.tile};
    if (job.seconds > 0) report->entry_layers_per_second = computed * ntk_plan_cost(plan).entry_layers / job.seconds;
  }
  return status;
}
