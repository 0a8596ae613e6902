#include "tests/support_gram.h"

#include <criterion/criterion.h>
#include <ntk/npy.h>
#include <stdlib.h>

#include "tests/support_data.h"
#include "tests/support_kernel.h"

ntk_dataset *ntk_test_dataset(uint64_t seed, ntk_shape shape, int64_t count) {
  static double *kept[64]; /* the data sets need them to the end */
  static size_t used;
  ntk_dataset *data = NULL;
  double *values = ntk_test_inputs(seed, shape, count);
  cr_assert(used < sizeof kept / sizeof *kept);
  kept[used++] = values;
  cr_assert_eq(ntk_dataset_from_memory(values, NULL, count, shape, &data), NTK_OK, "%s", ntk_last_error());
  return data;
}

ntk_dataset *ntk_test_dataset_file(const char *path, uint64_t seed, ntk_shape shape, int64_t count) {
  const int64_t sizes[4] = {count, shape.channels, shape.height, shape.width};
  double *values = ntk_test_inputs(seed, shape, count);
  cr_assert_eq(ntk_npy_write(path, NTK_DTYPE_F64, shape.height ? 4 : 2, sizes, values), NTK_OK, "%s", ntk_last_error());
  free(values);
  return ntk_test_open(ntk_test_text("npy:%s", path));
}

double *ntk_test_records(const ntk_dataset *data) {
  const int64_t count = ntk_dataset_count(data);
  double *values = malloc((size_t)count * ntk_test_size(ntk_dataset_shape(data)) * sizeof *values);
  cr_assert(values);
  cr_assert_eq(ntk_dataset_read(data, 0, count, values), NTK_OK, "%s", ntk_last_error());
  return values;
}

void ntk_test_expect_matrix(const ntk_plan *plan, const char *path, size_t index, int64_t rows, int64_t columns,
                            const double *want) {
  char file[4096];
  ntk_npy_info info;
  double *got = NULL;
  const bool f32 = ntk_plan_precision(plan) == NTK_F32;
  cr_assert_eq(ntk_gram_output_path(path, plan, index, file, sizeof file), NTK_OK, "%s", ntk_last_error());
  cr_assert_eq(ntk_npy_read_f64(file, &info, &got), NTK_OK, "%s", ntk_last_error());
  cr_assert_eq((int)info.dtype, (int)(f32 ? NTK_DTYPE_F32 : NTK_DTYPE_F64), "%s", file);
  cr_assert(info.rank == 2 && info.shape[0] == rows && info.shape[1] == columns, "%s has another shape", file);
  for (int64_t k = 0; k < rows * columns; k++)
    cr_assert_eq(got[k], f32 ? (double)(float)want[k] : want[k], "%s: entry (%d, %d) is %.17g, expected %.17g", file,
                 (int)(k / columns), (int)(k % columns), got[k], want[k]);
  ntk_npy_free(got);
}

ntk_gram_report ntk_test_gram(ntk_context *context, const ntk_plan *plan, const ntk_dataset *rows,
                              const ntk_dataset *columns, ntk_gram_options options) {
  ntk_gram_report report;
  cr_assert_eq(ntk_gram(context, plan, rows, columns, &options, &report), NTK_OK, "%s: %s", options.path,
               ntk_last_error());
  return report;
}
