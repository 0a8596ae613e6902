/* Recomputing a sample of a stored matrix in float64. */
#include <inttypes.h>
#include <math.h>
#include <ntk/gram.h>
#include <stdlib.h>
#include <string.h>

#include "host/gram/manifest.h"
#include "host/gram/tiles.h"
#include "host/status.h"
#include "host/store/store.h"

static const double tolerance_f32 = 1e-6, tolerance_f64 = 1e-10;

/* SplitMix64 (Steele, Lea and Flood 2014): a fixed, portable sequence. */
static uint64_t next_random(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/* The sampled entries, and the two sides of a batch of them, gathered so that pair k is (x[k], z[k]). */
typedef struct sample {
  int64_t count, batch;
  int64_t *rows, *columns;
  double *stored, *exact, *x, *z;
} sample;

static void free_sample(sample *s) {
  free(s->rows), free(s->columns), free(s->stored), free(s->exact), free(s->x), free(s->z);
}

static ntk_status choose(sample *s, const ntk_plan *plan, int64_t rows, int64_t columns, uint64_t seed) {
  const size_t batch_bytes = (size_t)64 << 20, input = ntk_plan_input_size(plan) * sizeof(double);
  const size_t fit = batch_bytes / (2 * input), count = (size_t)s->count,
               batch = fit < 1       ? 1
                       : fit < count ? fit
                                     : count;
  s->batch = (int64_t)batch;
  s->rows = malloc(count * sizeof *s->rows), s->columns = malloc(count * sizeof *s->columns);
  s->stored = malloc(count * sizeof *s->stored), s->exact = malloc(count * sizeof *s->exact);
  s->x = malloc(batch * input), s->z = malloc(batch * input);
  if (!s->rows || !s->columns || !s->stored || !s->exact || !s->x || !s->z)
    return ntk_fail(NTK_ERROR_MEMORY, "no memory for %" PRId64 " samples: ask for fewer", s->count);
  for (size_t k = 0; k < count; k++) {
    s->rows[k] = (int64_t)(next_random(&seed) % (uint64_t)rows);
    s->columns[k] = (int64_t)(next_random(&seed) % (uint64_t)columns);
  }
  return NTK_OK;
}

typedef struct list_sink {
  double *out;
  int64_t tile;
} list_sink;

static ntk_status write_list(void *user, int64_t tile_row, int64_t tile_column, int64_t rows, int64_t columns,
                             const double *const *values) {
  list_sink *sink = user;
  (void)tile_column, (void)columns;
  memcpy(sink->out + tile_row * sink->tile, values[0], (size_t)rows * sizeof(double));
  return NTK_OK;
}

/* Pairs [first, first + count) of the sample. */
static ntk_status recompute_batch(ntk_context *context, const ntk_plan *plan, const ntk_dataset *rows,
                                  const ntk_dataset *columns, sample *s, int64_t first, int64_t count) {
  const size_t size = ntk_plan_input_size(plan);
  for (int64_t k = 0; k < count; k++) {
    NTK_TRY(ntk_dataset_read(rows, s->rows[first + k], 1, s->x + (size_t)k * size));
    NTK_TRY(ntk_dataset_read(columns, s->columns[first + k], 1, s->z + (size_t)k * size));
  }
  list_sink sink = {s->exact + first, 0};
  ntk_tiles_job job = {.stage = "verify",
                       .rows = {NULL, s->x, count},
                       .columns = {NULL, s->z, count},
                       .diagonal = true,
                       .sink = {&sink, NULL, write_list}};
  NTK_TRY(ntk_tiles_choose(context, plan, &job));
  sink.tile = job.tile;
  return ntk_tiles_run(context, plan, &job);
}

static ntk_status recompute(ntk_context *context, const ntk_plan *plan, const ntk_dataset *rows,
                            const ntk_dataset *columns, sample *s) {
  for (int64_t first = 0; first < s->count; first += s->batch) {
    const int64_t left = s->count - first;
    NTK_TRY(recompute_batch(context, plan, rows, columns, s, first, left < s->batch ? left : s->batch));
  }
  return NTK_OK;
}

static void compare(const sample *s, ntk_verify_report *report) {
  double sum = 0;
  report->entries = s->count;
  report->max_relative_error = -1;
  for (int64_t k = 0; k < s->count; k++) {
    double error = fabs(s->stored[k] - s->exact[k]);
    if (s->exact[k] != 0) error /= fabs(s->exact[k]);
    if (isnan(error)) error = INFINITY;
    sum += error;
    if (error > report->max_relative_error) {
      report->max_relative_error = error;
      report->worst_row = s->rows[k], report->worst_column = s->columns[k];
    }
  }
  report->mean_relative_error = sum / (double)s->count;
}

static ntk_status verify(ntk_context *context, const char *path, const json_t *manifest, int64_t samples, uint64_t seed,
                         ntk_verify_report *report) {
  ntk_plan *plan = NULL;
  ntk_dataset *rows = NULL, *columns = NULL;
  NTK_TRY(ntk_manifest_rebuild(manifest, path, &plan, &rows, &columns));
  const ntk_dataset *other = columns ? columns : rows;
  sample s = {.count = samples};
  ntk_status status = choose(&s, plan, ntk_dataset_count(rows), ntk_dataset_count(other), seed);
  if (status == NTK_OK) status = ntk_store_read_entries(path, samples, s.rows, s.columns, s.stored);
  if (status == NTK_OK) status = recompute(context, plan, rows, other, &s);
  if (status == NTK_OK) compare(&s, report);
  free_sample(&s);
  ntk_plan_free(plan);
  ntk_dataset_free(rows), ntk_dataset_free(columns);
  return status;
}

ntk_status ntk_gram_verify(ntk_context *context, const char *path, int64_t samples, uint64_t seed,
                           ntk_verify_report *report) {
  if (!path || !report || samples < 1) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_gram_verify: a bad argument");
  *report = (ntk_verify_report){0};
  char *text = NULL;
  NTK_TRY(ntk_store_read_manifest(path, &text));
  json_t *manifest = json_loads(text, 0, NULL);
  free(text);
  ntk_status status;
  if (!json_is_object(manifest)) {
    status = ntk_fail(NTK_ERROR_CORRUPT, "the manifest of %s is no JSON object", path);
  } else if (!json_is_true(json_object_get(manifest, "complete"))) {
    status = ntk_fail(NTK_ERROR_ARGUMENT, "%s is not complete: finish it with --resume first", path);
  } else {
    const char *precision = json_string_value(json_object_get(json_object_get(manifest, "identity"), "precision"));
    report->tolerance = precision && strcmp(precision, "f64") == 0 ? tolerance_f64 : tolerance_f32;
    status = verify(context, path, manifest, samples, seed, report);
  }
  json_decref(manifest);
  return status;
}
