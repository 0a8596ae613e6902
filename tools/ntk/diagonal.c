#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/ntk/cli.h"

/* Computes the diagonals into `out`, whose vectors have ntk_dataset_count values. */
static int compute(ntk_context *context, const ntk_plan *plan, const ntk_dataset *data, double *images, int64_t block,
                   double **out, double **cursor) {
  size_t outputs = ntk_plan_output_count(plan);
  int64_t count = ntk_dataset_count(data);
  for (int64_t first = 0; first < count; first += block) {
    int64_t now = count - first < block ? count - first : block;
    for (size_t k = 0; k < outputs; ++k) cursor[k] = out[k] + first;
    CLI_TRY(cli_check(ntk_dataset_read(data, first, now, images)));
    CLI_TRY(cli_check(ntk_plan_diagonal(context, plan, images, now, cursor)));
  }
  return CLI_EXIT_OK;
}

static int write_out(const ntk_plan *plan, const char *path, int64_t count, double **values) {
  int code = CLI_EXIT_OK;
  for (size_t k = 0; k < ntk_plan_output_count(plan) && code == CLI_EXIT_OK; ++k) {
    char *name = NULL;
    code = cli_output_path(path, plan, k, &name);
    if (code == CLI_EXIT_OK) code = cli_check(ntk_npy_write(name, NTK_DTYPE_F64, 1, &count, values[k]));
    free(name);
  }
  return code;
}

int cli_diagonal_write(ntk_context *context, const ntk_plan *plan, const ntk_dataset *data, const char *path) {
  enum { BLOCK_VALUES = 1 << 20 }; /* 8 MiB of images at a time */
  ntk_shape shape = ntk_plan_shape(plan);
  int64_t size = shape.channels * (shape.height ? shape.height * shape.width : 1);
  int64_t count = ntk_dataset_count(data);
  int64_t block = size < BLOCK_VALUES ? BLOCK_VALUES / size : 1;
  if (block > count) block = count;
  size_t outputs = ntk_plan_output_count(plan);
  double *images = malloc((size_t)(block * size) * sizeof *images);
  double *values = malloc(outputs * (size_t)count * sizeof *values);
  double **rows = calloc(2 * outputs, sizeof *rows);
  int code = CLI_EXIT_OK;
  if (!images || !values || !rows) {
    code = cli_fail(CLI_EXIT_STATUS + NTK_ERROR_MEMORY, "no memory is left for the diagonal of %" PRId64 " records",
                    count);
  } else {
    for (size_t k = 0; k < outputs; ++k) rows[k] = values + k * (size_t)count;
    code = compute(context, plan, data, images, block, rows, rows + outputs);
    if (code == CLI_EXIT_OK) code = write_out(plan, path, count, rows);
  }
  free(rows);
  free(values);
  free(images);
  return code;
}
