/* Blocks of feature rows: their memory, reading and converting them, progress. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/regress/ridge.h"

/* Rows of a block, whatever the budget: more make a product no faster, and a cancellation waits for a block. */
enum { MOST_ROWS = 2048, LANES = 8 };

ntk_status ntk_ridge_allocate(int64_t rows, int64_t columns, size_t size, const char *what, void **out) {
  size_t count, bytes;
  const bool overflow =
      __builtin_mul_overflow((size_t)rows, (size_t)columns, &count) || __builtin_mul_overflow(count, size, &bytes);
  *out = overflow ? NULL : malloc(bytes > 0 ? bytes : 1);
  if (*out) return NTK_OK;
  return ntk_fail(NTK_ERROR_MEMORY,
                  "there is no memory for %s, %lld x %lld numbers or %.3g GiB: use fewer features or training records "
                  "(docs/regression.md says how much a regression in feature space needs)",
                  what, (long long)rows, (long long)columns, (double)rows * (double)columns * (double)size / 0x1p30);
}

static int64_t clamp(double value, int64_t low, int64_t high) {
  return value < (double)low ? low : value > (double)high ? high : (int64_t)value;
}

ntk_status ntk_ridge_blocks_allocate(ntk_ridge_fit *fit) {
  const ntk_ridge_problem *p = fit->problem;
  const int64_t dim = p->train.dim, longest = p->train.count > p->test.count ? p->train.count : p->test.count;
  const int64_t most = longest < MOST_ROWS ? longest : MOST_ROWS;
  const double row = (double)dim * (4 + 8 + (fit->dual ? 8 : 0)) + 8.0 * p->classes + 8 + (fit->dual ? 8.0 * most : 0);
  const char *what = "a block of rows";
  fit->most = clamp((double)ntk_context_memory(fit->context) / row, 1, most);
  NTK_TRY(ntk_ridge_allocate(fit->most, dim, sizeof *fit->raw, what, (void **)&fit->raw));
  NTK_TRY(ntk_ridge_allocate(fit->most, dim, sizeof *fit->rows, what, (void **)&fit->rows));
  NTK_TRY(ntk_ridge_allocate(fit->most, 1, sizeof *fit->squares, what, (void **)&fit->squares));
  NTK_TRY(ntk_ridge_allocate(fit->most, p->classes, sizeof *fit->targets, what, (void **)&fit->targets));
  if (!fit->dual) return NTK_OK;
  NTK_TRY(ntk_ridge_allocate(fit->most, dim, sizeof *fit->other, what, (void **)&fit->other));
  return ntk_ridge_allocate(fit->most, fit->most, sizeof *fit->tile, what, (void **)&fit->tile);
}

/* Converts a row and returns |z|^2. Several sums, so that the compiler can use vectors without changing the order. */
static double convert(const float *raw, int64_t dim, double *row) {
  double sums[LANES] = {0}, sum = 0;
  int64_t j = 0;
  for (; j + LANES <= dim; j += LANES) {
    for (int k = 0; k < LANES; k++) {
      const double value = raw[j + k];
      row[j + k] = value;
      sums[k] += value * value;
    }
  }
  for (; j < dim; j++) {
    row[j] = raw[j];
    sum += row[j] * row[j];
  }
  for (int k = 0; k < LANES; k++) sum += sums[k];
  return sum;
}

void ntk_ridge_convert(ntk_ridge_fit *fit, const float *raw, int64_t count, double *rows) {
  const int64_t dim = fit->problem->train.dim;
  for (int64_t i = 0; i < count; i++) {
    double *row = rows + i * dim;
    fit->squares[i] = convert(raw + i * dim, dim, row);
    if (!fit->options->unit_rows) continue;
    const double norm = sqrt(fit->squares[i]);
    for (int64_t j = 0; j < dim; j++) row[j] /= norm;
  }
}

ntk_status ntk_ridge_load(ntk_ridge_fit *fit, const ntk_feature_rows *source, const char *name, int64_t first,
                          int64_t count, double *rows) {
  NTK_TRY(source->read(source->user, first, count, fit->raw));
  ntk_ridge_convert(fit, fit->raw, count, rows);
  for (int64_t i = 0; i < count; i++) { /* the square of no float32 number is beyond float64 */
    if (isfinite(fit->squares[i])) continue;
    return ntk_feature_check(name, first + i, 1, source->dim, fit->raw + i * source->dim);
  }
  if (!fit->options->unit_rows) return NTK_OK;
  for (int64_t i = 0; i < count; i++) {
    if (fit->squares[i] > 0) continue;
    return ntk_fail(NTK_ERROR_DATA,
                    "%s: row %lld is all zeros and cannot be normalised: remove the record, or do without unit_rows",
                    name, (long long)(first + i));
  }
  return NTK_OK;
}

static void report(ntk_ridge_fit *fit) {
  const bool last = fit->rows_done == fit->rows_total;
  const double time = ntk_now();
  if (!fit->context || !fit->context->progress || (!last && time - fit->reported < 0.1)) return;
  fit->reported = time;
  const double seconds = time - fit->started;
  const ntk_progress progress = {
      .stage = "ridge",
      .done = fit->rows_done,
      .total = fit->rows_total,
      .seconds = seconds,
      .pairs_per_second = seconds > 0 ? (double)fit->rows_done / seconds : 0,
      .seconds_left = fit->flops_done > 0 ? seconds * fmax(0, fit->flops_total / fit->flops_done - 1) : -1};
  fit->context->progress(&progress, fit->context->progress_user);
}

ntk_status ntk_ridge_advance(ntk_ridge_fit *fit, int64_t rows, double flops) {
  fit->rows_done += rows;
  fit->flops_done += flops;
  report(fit);
  if (!fit->context || !atomic_load(&fit->context->cancelled)) return NTK_OK;
  return ntk_fail(NTK_ERROR_INTERRUPTED, "the regression was cancelled");
}
