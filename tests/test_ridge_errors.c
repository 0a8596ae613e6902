/* What ntk_ridge and feature files refuse, and what they then say. */
#include <criterion/criterion.h>
#include <math.h>
#include <ntk/ntk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/store/store.h"
#include "tests/support_data.h"
#include "tests/support_ridge.h"

static void expect(const ridge_case *c, ntk_ridge_options options, ntk_status status, const char *words) {
  ntk_ridge_result result;
  memset(&result, 0x55, sizeof result);
  ntk_test_expect_failure(ntk_ridge(NULL, &c->problem, &options, &result), status, words);
  cr_assert(!result.predictions && !result.predicted && !result.weights);
}

/* --- arguments --- */

Test(ridge_errors, null_pointers) {
  ridge_case c;
  ntk_ridge_result result;
  const ntk_ridge_options options = {.ridge = 1};
  ridge_make(&c, 12, 3, 4, 2, 1);
  cr_assert(ntk_ridge(NULL, NULL, &options, &result) == NTK_ERROR_ARGUMENT);
  cr_assert(ntk_ridge(NULL, &c.problem, NULL, &result) == NTK_ERROR_ARGUMENT);
  cr_assert(ntk_ridge(NULL, &c.problem, &options, NULL) == NTK_ERROR_ARGUMENT);
  const ntk_ridge_problem full = c.problem;
  c.problem.train.read = NULL;
  expect(&c, options, NTK_ERROR_ARGUMENT, "train.read");
  c.problem = full;
  c.problem.test.read = NULL;
  expect(&c, options, NTK_ERROR_ARGUMENT, "test.read");
  c.problem = full;
  c.problem.train_labels = NULL;
  expect(&c, options, NTK_ERROR_ARGUMENT, "train_labels");
  ntk_ridge_result_free(NULL);
  ntk_feature_file_free(NULL);
  ridge_free(&c);
}

Test(ridge_errors, ranges) {
  ridge_case c;
  ridge_make(&c, 12, 3, 4, 2, 1);
  const double bad[] = {1, -1};
  expect(&c, (ntk_ridge_options){.ridge = -1e-9}, NTK_ERROR_ARGUMENT, "ridge is -1e-09");
  expect(&c, (ntk_ridge_options){.ridge = NAN}, NTK_ERROR_ARGUMENT, "ridge");
  expect(&c, (ntk_ridge_options){.choose_ridge = true, .ridges = bad, .ridge_count = 2}, NTK_ERROR_ARGUMENT,
         "ridges[1] is -1");
  expect(&c, (ntk_ridge_options){.choose_ridge = true, .ridges = bad}, NTK_ERROR_ARGUMENT, "ridge_count");
  expect(&c, (ntk_ridge_options){.targets = (ntk_targets)7}, NTK_ERROR_ARGUMENT, "targets is 7");
  expect(&c, (ntk_ridge_options){.form = (ntk_ridge_form)3}, NTK_ERROR_ARGUMENT, "form is 3");
  const double fractions[] = {-0.1, 1, 1.5, NAN};
  for (int k = 0; k < 4; k++) {
    expect(&c, (ntk_ridge_options){.choose_ridge = true, .held_out = fractions[k]}, NTK_ERROR_ARGUMENT, "held_out is ");
  }
  const ntk_ridge_problem full = c.problem;
  c.problem.train.count = 9;
  expect(&c, (ntk_ridge_options){.choose_ridge = true}, NTK_ERROR_ARGUMENT, "give a ridge");
  c.problem.train.count = 0;
  expect(&c, (ntk_ridge_options){0}, NTK_ERROR_ARGUMENT, "train.count is 0");
  c.problem = full;
  c.problem.test.count = -1;
  expect(&c, (ntk_ridge_options){0}, NTK_ERROR_ARGUMENT, "test.count is -1");
  c.problem = full;
  c.problem.train.dim = 0;
  expect(&c, (ntk_ridge_options){0}, NTK_ERROR_ARGUMENT, "train.dim is 0");
  c.problem = full;
  c.problem.test.dim = 3;
  expect(&c, (ntk_ridge_options){0}, NTK_ERROR_DATA, "4 features but the test rows 3");
  c.problem = full;
  c.problem.classes = 1;
  expect(&c, (ntk_ridge_options){0}, NTK_ERROR_ARGUMENT, "classes is 1");
  ridge_free(&c);
}

Test(ridge_errors, labels) {
  ridge_case c;
  ridge_make(&c, 12, 3, 4, 2, 1);
  c.train_labels[7] = 2;
  expect(&c, (ntk_ridge_options){.ridge = 1}, NTK_ERROR_DATA, "train_labels[7] is 2");
  c.train_labels[7] = 0;
  c.test_labels[1] = -1;
  expect(&c, (ntk_ridge_options){.ridge = 1}, NTK_ERROR_DATA, "test_labels[1] is -1");
  ridge_free(&c);
}

Test(ridge_errors, values) {
  for (int form = NTK_RIDGE_PRIMAL; form <= NTK_RIDGE_DUAL; form++) {
    ridge_case c;
    const ntk_ridge_options options = {.unit_rows = true, .ridge = 1, .form = (ntk_ridge_form)form};
    ridge_make(&c, 12, 3, 4, 2, 1);
    c.train[5 * 4 + 2] = NAN;
    expect(&c, options, NTK_ERROR_DATA, "the training features: the value in row 5, column 2 is");
    c.train[5 * 4 + 2] = 1;
    c.test[2 * 4] = -INFINITY;
    expect(&c, options, NTK_ERROR_DATA, "the test features: the value in row 2, column 0 is -inf");
    memset(c.test + 2 * 4, 0, 4 * sizeof *c.test);
    expect(&c, options, NTK_ERROR_DATA, "the test features: row 2 is all zeros");
    memset(c.train + 11 * 4, 0, 4 * sizeof *c.train);
    expect(&c, options, NTK_ERROR_DATA, "the training features: row 11 is all zeros");
    ntk_ridge_result result;
    const ntk_ridge_options plain = {.ridge = 1, .form = (ntk_ridge_form)form};
    cr_assert(ntk_ridge(NULL, &c.problem, &plain, &result) == NTK_OK, "%s", ntk_last_error());
    ntk_ridge_result_free(&result);
    ridge_free(&c);
  }
}

static ntk_status refuse(void *user, int64_t first, int64_t count, float *out) {
  (void)user, (void)first, (void)count, (void)out;
  return NTK_ERROR_DEVICE;
}

Test(ridge_errors, what_a_source_returns) {
  ridge_case c;
  ntk_ridge_result result;
  ridge_make(&c, 12, 3, 4, 2, 1);
  c.problem.test.read = refuse;
  cr_assert(ntk_ridge(NULL, &c.problem, &(ntk_ridge_options){.ridge = 1}, &result) == NTK_ERROR_DEVICE);
  ridge_free(&c);
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif

/* 8 M^2 bytes beyond any address space; no row is read before that is known. */
Test(ridge_errors, memory) {
#if defined(SANITIZED)
  cr_skip_test("a sanitizer ends the program where malloc would give NULL");
#endif
  ridge_case c;
  ridge_make(&c, 12, 3, 4, 2, 1);
  c.problem.train.dim = c.problem.test.dim = 6000000;
  expect(&c, (ntk_ridge_options){.ridge = 1, .form = NTK_RIDGE_PRIMAL}, NTK_ERROR_MEMORY,
         "the matrix Z^T Z, 6000000 x 6000000 numbers or 2.68e+05 GiB");
  cr_assert(c.rows_read == 0);
  ridge_free(&c);
}

/* --- files --- */

static void open_fails(const char *path, ntk_status status, const char *words) {
  ntk_feature_file *file = (ntk_feature_file *)&file;
  ntk_test_expect_failure(ntk_feature_file_open(path, &file), status, words);
  cr_assert(!file);
}

Test(ridge_errors, files_give_their_rows) {
  char *folder = ntk_test_folder();
  const char *path = ntk_test_text("%s/Z.npy", folder);
  enum { N = 700, M = 5 };
  double wide[N * M];
  float narrow[N * M], got[N * M];
  for (int i = 0; i < N * M; i++) narrow[i] = (float)(wide[i] = sin(i) / 3);
  for (int k = 0; k < 2; k++) {
    ntk_feature_file *file;
    cr_assert(ntk_npy_write(path, k ? NTK_DTYPE_F64 : NTK_DTYPE_F32, 2, (int64_t[]){N, M},
                            k ? (void *)wide : (void *)narrow) == NTK_OK);
    cr_assert(ntk_feature_file_open(path, &file) == NTK_OK, "%s", ntk_last_error());
    const ntk_feature_rows rows = ntk_feature_file_rows(file);
    cr_assert(rows.count == N && rows.dim == M);
    cr_assert(rows.read(rows.user, 0, N, got) == NTK_OK && memcmp(got, narrow, sizeof narrow) == 0);
    cr_assert(rows.read(rows.user, 313, 2, got) == NTK_OK);
    cr_assert(memcmp(got, narrow + 313 * M, 2 * M * sizeof *got) == 0);
    ntk_test_expect_failure(rows.read(rows.user, N - 1, 2, got), NTK_ERROR_ARGUMENT, "700 rows");
    cr_assert(truncate(path, 2000) == 0);
    ntk_test_expect_failure(rows.read(rows.user, 0, N, got), NTK_ERROR_IO, "Z.npy ends at byte 2000");
    ntk_feature_file_free(file);
    open_fails(path, NTK_ERROR_DATA, "truncated");
  }
  ntk_test_remove_folder(folder);
}

Test(ridge_errors, files_that_are_no_features) {
  char *folder = ntk_test_folder();
  const char *path = ntk_test_text("%s/Z.npy", folder);
  open_fails(path, NTK_ERROR_IO, "Z.npy");
  open_fails(NULL, NTK_ERROR_ARGUMENT, "path");
  const int32_t whole[6] = {0};
  float values[] = {1, 2, 3, 4, NAN, 6};
  cr_assert(ntk_npy_write(path, NTK_DTYPE_I32, 2, (int64_t[]){2, 3}, whole) == NTK_OK);
  open_fails(path, NTK_ERROR_DATA, "whole numbers");
  cr_assert(ntk_npy_write(path, NTK_DTYPE_F32, 1, (int64_t[]){6}, values) == NTK_OK);
  open_fails(path, NTK_ERROR_DATA, "rank 1");
  cr_assert(ntk_npy_write(path, NTK_DTYPE_F32, 2, (int64_t[]){6, 0}, values) == NTK_OK);
  open_fails(path, NTK_ERROR_DATA, "no columns");
  cr_assert(ntk_npy_write(path, NTK_DTYPE_F32, 2, (int64_t[]){3, 2}, values) == NTK_OK);
  ntk_feature_file *file;
  cr_assert(ntk_feature_file_open(path, &file) == NTK_OK);
  const ntk_feature_rows rows = ntk_feature_file_rows(file);
  cr_assert(rows.read(rows.user, 0, 2, values) == NTK_OK);
  ntk_test_expect_failure(rows.read(rows.user, 1, 2, values), NTK_ERROR_DATA, "Z.npy: the value in row 2, column 0 is");
  ntk_feature_file_free(file);
  const double huge[] = {1e300, 1};
  cr_assert(ntk_npy_write(path, NTK_DTYPE_F64, 2, (int64_t[]){1, 2}, huge) == NTK_OK);
  cr_assert(ntk_feature_file_open(path, &file) == NTK_OK);
  ntk_feature_rows beyond = ntk_feature_file_rows(file);
  ntk_test_expect_failure(beyond.read(beyond.user, 0, 1, values), NTK_ERROR_DATA, "row 0, column 0 is inf");
  ntk_feature_file_free(file);
  ntk_test_remove_folder(folder);
}

/* A store of two tiles, one of them written; then both. */
Test(ridge_errors, files_whose_manifest_says_unfinished) {
  char *folder = ntk_test_folder();
  const char *path = ntk_test_text("%s/Z.npy", folder), *manifest = "{\"identity\": {\"what\": \"features\"}}";
  const double values[] = {1, 2, 3, 4}, *tile = values;
  ntk_store_options options = {
      .count = 1, .paths = &path, .manifests = &manifest, .rows = 2, .columns = 4, .tile = 2, .dtype = NTK_DTYPE_F32};
  ntk_feature_file *file;
  ntk_store *store;
  cr_assert(ntk_store_open(&options, &store) == NTK_OK, "%s", ntk_last_error());
  cr_assert(ntk_store_write(store, 0, 0, &tile) == NTK_OK && ntk_store_close(store) == NTK_OK);
  open_fails(path, NTK_ERROR_DATA, "--resume");
  options.resume = true;
  cr_assert(ntk_store_open(&options, &store) == NTK_OK, "%s", ntk_last_error());
  cr_assert(ntk_store_write(store, 0, 1, &tile) == NTK_OK && ntk_store_close(store) == NTK_OK);
  cr_assert(ntk_feature_file_open(path, &file) == NTK_OK, "%s", ntk_last_error());
  ntk_feature_file_free(file);
  ntk_test_write_file(ntk_test_text("%s.json", path), "{", 1);
  open_fails(path, NTK_ERROR_CORRUPT, "Z.npy.json");
  ntk_test_remove_folder(folder);
}
