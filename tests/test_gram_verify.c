/* Verification of stored matrices, and matrices of real images. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support_data.h"
#include "tests/support_gram.h"
#include "tests/support_kernel.h"

static char *folder;

static void setup(void) { folder = ntk_test_folder(); }

static void teardown(void) { ntk_test_remove_folder(folder); }

TestSuite(gram_verify, .init = setup, .fini = teardown);

static const char *in_folder(const char *name) { return ntk_test_text("%s/%s", folder, name); }

static ntk_verify_report verify(const char *path, int64_t samples) {
  ntk_verify_report report;
  cr_assert_eq(ntk_gram_verify(NULL, path, samples, 5, &report), NTK_OK, "%s: %s", path, ntk_last_error());
  return report;
}

static void expect_verified(const char *path, int64_t samples, double tolerance) {
  const ntk_verify_report report = verify(path, samples);
  cr_expect_eq(report.entries, samples);
  cr_expect_eq(report.tolerance, tolerance);
  cr_expect(report.max_relative_error <= tolerance, "%s: off by %.2g", path, report.max_relative_error);
  cr_expect(report.mean_relative_error <= report.max_relative_error && report.mean_relative_error >= 0);
}

/* ---- what passes */

Test(gram_verify, every_output_passes) {
  static const int depths[] = {3, 2}, pools[] = {1, 0};
  const ntk_shape shape = {2, 5, 6};
  ntk_dataset *rows = ntk_test_dataset_file(in_folder("rows.npy"), 700, shape, 6);
  ntk_dataset *columns = ntk_test_dataset_file(in_folder("columns.npy"), 701, shape, 4);
  for (int precision = NTK_F32; precision <= NTK_F64; precision++)
    for (int sweep = 0; sweep < 4; sweep++) {
      const ntk_plan_options options = {.kernels = NTK_KERNEL_BOTH,
                                        .precision = (ntk_precision)precision,
                                        .depths = depths,
                                        .depth_count = sweep & 1 ? 2 : 0,
                                        .pools = pools,
                                        .pool_count = sweep & 2 ? 2 : 0};
      ntk_plan *plan = ntk_test_plan_with("3*(conv3 relu) lap(2)", shape, &options);
      const ntk_gram_options square = {.path = in_folder("K.npy"), .overwrite = true};
      const ntk_gram_options cross = {.path = in_folder("C.npy"), .overwrite = true};
      ntk_test_gram(NULL, plan, rows, NULL, square);
      ntk_test_gram(NULL, plan, rows, columns, cross);
      for (size_t k = 0; k < ntk_plan_output_count(plan); k++) {
        char path[4096];
        cr_assert_eq(ntk_gram_output_path(square.path, plan, k, path, sizeof path), NTK_OK);
        expect_verified(path, 50, precision ? 1e-10 : 1e-6);
        cr_assert_eq(ntk_gram_output_path(cross.path, plan, k, path, sizeof path), NTK_OK);
        expect_verified(path, 50, precision ? 1e-10 : 1e-6);
      }
      ntk_plan_free(plan);
    }
  ntk_dataset_free(rows);
  ntk_dataset_free(columns);
}

Test(gram_verify, presets_and_vectors_pass) {
  static const struct {
    const char *text;
    ntk_shape shape;
  } cases[] = {{"cntk-3-gap", {3, 4, 4}}, {"lap-2-1-bias", {2, 5, 4}}, {"uci-3-1", {8, 0, 0}}, {"fc-2", {8, 0, 0}}};
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    ntk_dataset *rows = ntk_test_dataset_file(in_folder("x.npy"), 702, cases[k].shape, 5);
    ntk_plan *plan = ntk_test_plan(cases[k].text, cases[k].shape, NTK_KERNEL_NTK, NTK_F32);
    const ntk_gram_options options = {.path = in_folder("K.npy"), .overwrite = true};
    ntk_test_gram(NULL, plan, rows, NULL, options);
    expect_verified(options.path, 30, 1e-6);
    ntk_dataset_free(rows);
    ntk_plan_free(plan);
  }
}

/* The sample is reproducible, and another seed takes another. */
Test(gram_verify, sample_is_reproducible) {
  const ntk_shape shape = {1, 4, 4};
  ntk_dataset *rows = ntk_test_dataset_file(in_folder("x.npy"), 703, shape, 9);
  ntk_plan *plan = ntk_test_plan("2*(conv3 relu) gap", shape, NTK_KERNEL_NTK, NTK_F32);
  const ntk_gram_options options = {.path = in_folder("K.npy")};
  ntk_test_gram(NULL, plan, rows, NULL, options);
  ntk_verify_report a, b, c;
  cr_assert_eq(ntk_gram_verify(NULL, options.path, 7, 1, &a), NTK_OK);
  cr_assert_eq(ntk_gram_verify(NULL, options.path, 7, 1, &b), NTK_OK);
  cr_assert_eq(ntk_gram_verify(NULL, options.path, 7, 2, &c), NTK_OK);
  cr_expect(a.max_relative_error == b.max_relative_error && a.mean_relative_error == b.mean_relative_error);
  cr_expect(a.worst_row == b.worst_row && a.worst_column == b.worst_column);
  cr_expect_neq(a.mean_relative_error, c.mean_relative_error);
  ntk_dataset_free(rows);
  ntk_plan_free(plan);
}

/* ---- what does not */

Test(gram_verify, changed_values_are_found) {
  enum { N = 5, HEADER = 128 };
  const ntk_shape shape = {1, 4, 4};
  ntk_dataset *rows = ntk_test_dataset_file(in_folder("x.npy"), 704, shape, N);
  for (int precision = NTK_F32; precision <= NTK_F64; precision++) {
    ntk_plan *plan = ntk_test_plan("2*(conv3 relu) gap", shape, NTK_KERNEL_NTK, (ntk_precision)precision);
    const ntk_gram_options options = {.path = in_folder("K.npy"), .overwrite = true};
    ntk_test_gram(NULL, plan, rows, NULL, options);
    size_t size, at = 3 * N + 1;
    unsigned char *bytes = ntk_test_read_file(options.path, &size);
    if (precision == NTK_F32) {
      float *value = (float *)(bytes + HEADER) + at;
      *value *= 1 + 1e-5f;
    } else {
      double *value = (double *)(bytes + HEADER) + at;
      *value *= 1 + 1e-8;
    }
    ntk_test_write_file(options.path, bytes, size);
    const ntk_verify_report report = verify(options.path, 400);
    cr_expect(report.max_relative_error > report.tolerance, "%.2g", report.max_relative_error);
    cr_expect(report.worst_row == 3 && report.worst_column == 1);
    free(bytes);
    ntk_plan_free(plan);
  }
  ntk_dataset_free(rows);
}

Test(gram_verify, changed_data_are_refused) {
  const ntk_shape shape = {1, 4, 4};
  ntk_dataset *rows = ntk_test_dataset_file(in_folder("x.npy"), 705, shape, 4);
  ntk_plan *plan = ntk_test_plan("conv3 relu gap", shape, NTK_KERNEL_NTK, NTK_F32);
  const ntk_gram_options options = {.path = in_folder("K.npy")};
  ntk_verify_report report;
  ntk_test_gram(NULL, plan, rows, NULL, options);
  ntk_dataset_free(rows);
  ntk_dataset_free(ntk_test_dataset_file(in_folder("x.npy"), 706, shape, 4));
  ntk_test_expect_failure(ntk_gram_verify(NULL, options.path, 5, 1, &report), NTK_ERROR_MISMATCH, "has changed");
  cr_assert_eq(remove(in_folder("x.npy")), 0);
  ntk_test_expect_failure(ntk_gram_verify(NULL, options.path, 5, 1, &report), NTK_ERROR_IO, "x.npy");
  ntk_plan_free(plan);
}

Test(gram_verify, bad_arguments) {
  const ntk_shape shape = {1, 4, 4};
  ntk_dataset *memory = ntk_test_dataset(707, shape, 4);
  ntk_dataset *rows = ntk_test_dataset_file(in_folder("x.npy"), 708, shape, 4);
  ntk_plan *plan = ntk_test_plan("conv3 relu gap", shape, NTK_KERNEL_NTK, NTK_F32);
  ntk_context *context = ntk_test_context("auto");
  ntk_gram_options options = {.path = in_folder("K.npy")}, part = {.path = in_folder("part.npy")};
  ntk_verify_report report;
  ntk_test_gram(NULL, plan, memory, NULL, options);
  ntk_test_expect_failure(ntk_gram_verify(NULL, options.path, 5, 1, &report), NTK_ERROR_ARGUMENT, "in memory");
  options.overwrite = true;
  ntk_test_gram(NULL, plan, rows, NULL, options);
  ntk_test_expect_failure(ntk_gram_verify(NULL, options.path, 0, 1, &report), NTK_ERROR_ARGUMENT, "bad argument");
  ntk_test_expect_failure(ntk_gram_verify(NULL, NULL, 5, 1, &report), NTK_ERROR_ARGUMENT, "bad argument");
  ntk_test_expect_failure(ntk_gram_verify(NULL, options.path, 5, 1, NULL), NTK_ERROR_ARGUMENT, "bad argument");
  ntk_test_expect_failure(ntk_gram_verify(NULL, in_folder("no.npy"), 5, 1, &report), NTK_ERROR_IO, "no.npy");
  ntk_context_cancel(context);
  cr_assert_eq(ntk_gram(context, plan, rows, NULL, &part, NULL), NTK_ERROR_INTERRUPTED);
  ntk_test_expect_failure(ntk_gram_verify(NULL, part.path, 5, 1, &report), NTK_ERROR_ARGUMENT, "not complete");
  ntk_test_expect_failure(ntk_gram_verify(context, options.path, 5, 1, &report), NTK_ERROR_INTERRUPTED, "interrupted");
  ntk_context_free(context);
  ntk_dataset_free(memory);
  ntk_dataset_free(rows);
  ntk_plan_free(plan);
}

/* ---- real images */

Test(gram_verify, fashion_mnist) {
  enum { N = 10, TEST = 4 };
  ntk_dataset *train = NULL, *test = NULL;
  if (ntk_dataset_open("fashion-mnist:test[0:10]", &train) != NTK_OK)
    cr_skip_test("Fashion-MNIST is not installed: %s", ntk_last_error());
  test = ntk_test_open("fashion-mnist:test[20:24]");
  ntk_preprocess *standard = NULL;
  cr_assert_eq(ntk_preprocess_fit(NTK_PREPROCESS_STANDARD, train, &standard), NTK_OK);
  cr_assert_eq(ntk_dataset_preprocess(train, standard), NTK_OK);
  cr_assert_eq(ntk_dataset_preprocess(test, standard), NTK_OK);
  double *x = ntk_test_records(train), *z = ntk_test_records(test);
  static const char *const texts[] = {"cntk-3-gap", "2*(conv3 relu) lap(4)", "dense relu dense"};
  for (int k = 0; k < 3; k++)
    for (int precision = NTK_F32; precision <= NTK_F64; precision++) {
      ntk_plan *plan = ntk_test_plan(texts[k], ntk_dataset_shape(train), NTK_KERNEL_NTK, (ntk_precision)precision);
      const ntk_gram_options square = {.path = in_folder("K.npy"), .overwrite = true, .tile = 4};
      const ntk_gram_options cross = {.path = in_folder("C.npy"), .overwrite = true};
      double *want = ntk_test_block(NULL, plan, x, N, NULL, 0), *want_cross = ntk_test_block(NULL, plan, z, TEST, x, N);
      ntk_test_gram(NULL, plan, train, NULL, square);
      ntk_test_gram(NULL, plan, test, train, cross);
      ntk_test_expect_matrix(plan, square.path, 0, N, N, want);
      ntk_test_expect_matrix(plan, cross.path, 0, TEST, N, want_cross);
      for (int i = 0; i < N; i++) cr_expect(want[i * (N + 1)] > 0);
      expect_verified(cross.path, 5, precision ? 1e-10 : 1e-6);
      free(want), free(want_cross);
      ntk_plan_free(plan);
    }
  free(x), free(z);
  ntk_preprocess_free(standard);
  ntk_dataset_free(train);
  ntk_dataset_free(test);
}
