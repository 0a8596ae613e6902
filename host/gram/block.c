/* Kernel values in memory: blocks, diagonals and the prediction of run time. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/context.h"
#include "host/gram/tiles.h"
#include "host/status.h"

/* Tiles into row-major matrices of the caller. */
typedef struct memory_sink {
  double *const *out;
  size_t outputs;
  int64_t tile, columns;
  bool symmetric;
} memory_sink;

static ntk_status write_memory(void *user, int64_t tile_row, int64_t tile_column, int64_t rows, int64_t columns,
                               const double *const *values) {
  const memory_sink *sink = user;
  int64_t i0 = tile_row * sink->tile, j0 = tile_column * sink->tile, n = sink->columns;
  for (size_t k = 0; k < sink->outputs; k++)
    for (int64_t i = 0; i < rows; i++) {
      memcpy(sink->out[k] + (i0 + i) * n + j0, values[k] + i * columns, (size_t)columns * sizeof(double));
      if (sink->symmetric && tile_row != tile_column)
        for (int64_t j = 0; j < columns; j++) sink->out[k][(j0 + j) * n + i0 + i] = values[k][i * columns + j];
    }
  return NTK_OK;
}

static ntk_status check_arguments(const ntk_plan *plan, const double *x, int64_t nx, double *const *out) {
  if (!plan || !x || !out) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_plan_block: a NULL pointer");
  if (nx < 1) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_plan_block: %lld inputs, at least 1 is needed", (long long)nx);
  for (size_t k = 0; k < plan->output_count; k++)
    if (!out[k]) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_plan_block: the buffer of output %zu is NULL", k);
  return NTK_OK;
}

ntk_status ntk_plan_block(ntk_context *context, const ntk_plan *plan, const double *x, int64_t nx, const double *z,
                          int64_t nz, double *const *out) {
  NTK_TRY(check_arguments(plan, x, nx, out));
  if (z && nz < 1)
    return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_plan_block: %lld inputs, at least 1 is needed", (long long)nz);
  memory_sink sink = {out, plan->output_count, 0, z ? nz : nx, !z};
  ntk_tiles_job job = {.stage = "block", .rows = {NULL, x, nx}, .sink = {&sink, NULL, write_memory}};
  if (z) job.columns = (ntk_inputs){NULL, z, nz};
  NTK_TRY(ntk_tiles_choose(context, plan, &job));
  sink.tile = job.tile;
  return ntk_tiles_run(context, plan, &job);
}

ntk_status ntk_plan_diagonal(ntk_context *context, const ntk_plan *plan, const double *x, int64_t nx,
                             double *const *out) {
  NTK_TRY(check_arguments(plan, x, nx, out));
  memory_sink sink = {out, plan->output_count, 0, 1, false};
  ntk_tiles_job job = {
      .stage = "diagonal", .rows = {NULL, x, nx}, .diagonal = true, .sink = {&sink, NULL, write_memory}};
  NTK_TRY(ntk_tiles_choose(context, plan, &job));
  sink.tile = job.tile;
  return ntk_tiles_run(context, plan, &job);
}

ntk_status ntk_plan_predict(const ntk_context *context, const ntk_plan *plan, double pairs, double *seconds) {
  if (!plan || !seconds || !(pairs >= 0)) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_plan_predict: a bad argument");
  /* Time a few pairs of pseudo-random images on one thread, or on the devices: enough pairs to last 0.05 s. */
  const size_t size = ntk_plan_input_size(plan), fit = ((size_t)64 << 20) / (size * sizeof(double));
  const size_t largest = fit < 1 ? 1 : fit < 256 ? fit : 256; /* images */
  double *x = malloc(largest * size * sizeof *x),
         *values = malloc(largest * largest * sizeof *values * plan->output_count);
  double **out = malloc(plan->output_count * sizeof *out);
  ntk_status status = x && values && out ? NTK_OK : ntk_fail(NTK_ERROR_MEMORY, "no memory for a measurement");
  uint64_t state = 1;
  for (size_t k = 0; status == NTK_OK && k < largest * size; k++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    x[k] = (double)(state >> 40) / (1 << 23) - 1;
  }
  ntk_context one = {.threads = 1, .memory = 512ull << 20, .backend = ntk_context_backend(context)};
  const bool cuda = ntk_context_uses_cuda(context);
  if (cuda) one.device_count = context->device_count, memcpy(one.devices, context->devices, sizeof one.devices);
  for (int64_t n = 1, warm = !cuda; status == NTK_OK; n *= warm ? 2 : 1, warm = 1) {
    for (size_t k = 0; k < plan->output_count; k++) out[k] = values + k * largest * largest;
    memory_sink sink = {out, plan->output_count, n, n, true};
    ntk_tiles_job job = {.stage = "measure", .rows = {NULL, x, n}, .tile = n, .sink = {&sink, NULL, write_memory}};
    status = ntk_tiles_run(&one, plan, &job);
    if (status == NTK_OK && warm && (job.seconds > 0.05 || 2 * (size_t)n > largest)) {
      *seconds = pairs * job.seconds / (double)job.pairs / (cuda ? 1 : ntk_context_threads(context));
      break;
    }
  }
  free(x), free(values), free(out);
  return status;
}
