/* Matrices on disk: equal to blocks in memory, resumable, refused when something differs, verifiable. */
#include <criterion/criterion.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support_data.h"
#include "tests/support_gram.h"
#include "tests/support_kernel.h"

static char *folder;

static void setup(void) { folder = ntk_test_folder(); }

static void teardown(void) { ntk_test_remove_folder(folder); }

TestSuite(gram, .init = setup, .fini = teardown);

static const char *in_folder(const char *name) { return ntk_test_text("%s/%s", folder, name); }

/* ---- what is stored */

enum { ROWS = 7, COLUMNS = 4 };

/* Computes to files with that tile size and compares with the block in memory. */
static void check_files(const ntk_plan *plan, const ntk_dataset *rows, const ntk_dataset *columns, int64_t tile) {
  double *x = ntk_test_records(rows), *z = columns ? ntk_test_records(columns) : NULL;
  double *want = ntk_test_block(NULL, plan, x, ROWS, z, COLUMNS);
  const int64_t width = columns ? COLUMNS : ROWS, pairs = columns ? ROWS * COLUMNS : ROWS * (ROWS + 1) / 2;
  const ntk_gram_options options = {.path = in_folder("K.npy"), .overwrite = true, .tile = tile};
  const ntk_gram_report report = ntk_test_gram(NULL, plan, rows, columns, options);
  cr_expect(report.pairs == pairs && report.pairs_computed == pairs && report.pairs_resumed == 0);
  if (tile > 0) cr_expect_eq(report.tile, tile < ROWS ? tile : ROWS);
  for (size_t k = 0; k < ntk_plan_output_count(plan); k++)
    ntk_test_expect_matrix(plan, options.path, k, ROWS, width, want + k * (size_t)(ROWS * width));
  free(x), free(z), free(want);
}

static void check_network(const char *text, ntk_shape shape) {
  ntk_dataset *rows = ntk_test_dataset(600, shape, ROWS), *columns = ntk_test_dataset(601, shape, COLUMNS);
  for (int precision = NTK_F32; precision <= NTK_F64; precision++) {
    ntk_plan *plan = ntk_test_plan(text, shape, NTK_KERNEL_NTK, (ntk_precision)precision);
    for (int64_t tile = 0; tile < 10; tile += 3) {
      check_files(plan, rows, NULL, tile);
      check_files(plan, rows, columns, tile);
    }
    ntk_plan_free(plan);
  }
  ntk_dataset_free(rows);
  ntk_dataset_free(columns);
}

Test(gram, files_equal_blocks) {
  check_network("2*(conv3 relu) lap(1)", (ntk_shape){2, 4, 5});
  check_network("conv3(b=0.1) relu gap", (ntk_shape){14, 3, 4});
  check_network("2*(dense relu) dense", (ntk_shape){9, 0, 0});
  check_network("cntk-3-v", (ntk_shape){1, 4, 4});
}

Test(gram, sweeps_have_a_file_for_each_output) {
  static const int depths[] = {3, 1}, pools[] = {0, 2};
  static const char *const names[] = {"K-ntk-depth3-lap0.npy",  "K-nngp-depth3-lap0.npy", "K-ntk-depth3-lap2.npy",
                                      "K-nngp-depth3-lap2.npy", "K-ntk-depth1-lap0.npy",  "K-nngp-depth1-lap0.npy",
                                      "K-ntk-depth1-lap2.npy",  "K-nngp-depth1-lap2.npy"};
  const ntk_shape shape = {1, 5, 5};
  const ntk_plan_options options = {.kernels = NTK_KERNEL_BOTH,
                                    .precision = NTK_F64,
                                    .depths = depths,
                                    .depth_count = 2,
                                    .pools = pools,
                                    .pool_count = 2};
  ntk_plan *plan = ntk_test_plan_with("3*(conv3 relu) gap", shape, &options);
  ntk_dataset *rows = ntk_test_dataset(602, shape, ROWS);
  check_files(plan, rows, NULL, 3);
  for (size_t k = 0; k < 8; k++) {
    char path[4096];
    cr_assert_eq(ntk_gram_output_path(in_folder("K.npy"), plan, k, path, sizeof path), NTK_OK);
    cr_expect_str_eq(path, in_folder(names[k]));
    cr_expect_eq(access(path, R_OK), 0, "%s is missing", path);
    cr_expect_eq(access(ntk_test_text("%s.json", path), R_OK), 0);
    cr_expect_eq(access(ntk_test_text("%s.journal", path), R_OK), 0);
  }
  cr_expect_neq(access(in_folder("K.npy"), F_OK), 0, "a file without an output's name");
  ntk_dataset_free(rows);
  ntk_plan_free(plan);
}

Test(gram, output_paths) {
  static const int depths[] = {2};
  const ntk_plan_options options = {.depths = depths, .depth_count = 1, .kernels = NTK_KERNEL_BOTH};
  ntk_plan *one = ntk_test_plan("conv3 relu gap", (ntk_shape){1, 4, 4}, NTK_KERNEL_NTK, NTK_F32);
  ntk_plan *two = ntk_test_plan_with("2*(conv3 relu) gap", (ntk_shape){1, 4, 4}, &options);
  char path[32];
  cr_assert_eq(ntk_gram_output_path("a/K.npy", one, 0, path, sizeof path), NTK_OK);
  cr_expect_str_eq(path, "a/K.npy");
  cr_assert_eq(ntk_gram_output_path("a/K", two, 1, path, sizeof path), NTK_OK);
  cr_expect_str_eq(path, "a/K-nngp-depth2.npy");
  cr_assert_eq(ntk_gram_output_path(".npy", two, 0, path, sizeof path), NTK_OK);
  cr_expect_str_eq(path, "-ntk-depth2.npy");
  ntk_test_expect_failure(ntk_gram_output_path("K.npy", two, 2, path, sizeof path), NTK_ERROR_ARGUMENT, "no such");
  ntk_test_expect_failure(ntk_gram_output_path("K.npy", two, 0, path, 10), NTK_ERROR_ARGUMENT, "too long");
  ntk_test_expect_failure(ntk_gram_output_path(NULL, two, 0, path, sizeof path), NTK_ERROR_ARGUMENT, "NULL");
  ntk_test_expect_failure(ntk_gram_output_path("K.npy", NULL, 0, path, sizeof path), NTK_ERROR_ARGUMENT, "NULL");
  ntk_test_expect_failure(ntk_gram_output_path("K.npy", two, 0, NULL, 99), NTK_ERROR_ARGUMENT, "NULL");
  ntk_plan_free(one);
  ntk_plan_free(two);
}

/* ---- arguments */

Test(gram, bad_arguments) {
  const ntk_shape shape = {1, 4, 4};
  ntk_plan *plan = ntk_test_plan("conv3 relu gap", shape, NTK_KERNEL_NTK, NTK_F32);
  ntk_dataset *rows = ntk_test_dataset(603, shape, 3), *other = ntk_test_dataset(603, (ntk_shape){1, 4, 5}, 3);
  ntk_gram_options options = {.path = in_folder("K.npy")}, none = {0}, negative = {.path = "K.npy", .tile = -1};
  ntk_gram_options lost = {.path = in_folder("no/such/folder/K.npy")};
  ntk_gram_report report;
  ntk_test_expect_failure(ntk_gram(NULL, NULL, rows, NULL, &options, NULL), NTK_ERROR_ARGUMENT, "NULL");
  ntk_test_expect_failure(ntk_gram(NULL, plan, NULL, NULL, &options, NULL), NTK_ERROR_ARGUMENT, "NULL");
  ntk_test_expect_failure(ntk_gram(NULL, plan, rows, NULL, NULL, NULL), NTK_ERROR_ARGUMENT, "NULL");
  ntk_test_expect_failure(ntk_gram(NULL, plan, rows, NULL, &none, NULL), NTK_ERROR_ARGUMENT, "NULL");
  ntk_test_expect_failure(ntk_gram(NULL, plan, rows, NULL, &negative, NULL), NTK_ERROR_ARGUMENT, "tile of -1");
  ntk_test_expect_failure(ntk_gram(NULL, plan, other, NULL, &options, NULL), NTK_ERROR_ARGUMENT,
                          "the rows are 1 x 4 x 5");
  ntk_test_expect_failure(ntk_gram(NULL, plan, rows, other, &options, &report), NTK_ERROR_ARGUMENT, "the columns are");
  ntk_test_expect_failure(ntk_gram(NULL, plan, rows, NULL, &lost, &report), NTK_ERROR_IO, "no/such/folder");
  cr_expect_neq(access(options.path, F_OK), 0, "a refused matrix left a file");
  ntk_test_gram(NULL, plan, rows, NULL, options);
  ntk_test_expect_failure(ntk_gram(NULL, plan, rows, NULL, &options, NULL), NTK_ERROR_ARGUMENT, "K.npy");
  ntk_dataset_free(rows);
  ntk_dataset_free(other);
  ntk_plan_free(plan);
}

/* ---- interruption */

/* Cancels a context once the computation has reported that so many pairs are done. */
typedef struct watch {
  ntk_context *context;
  int64_t wanted;
  atomic_llong done;
  atomic_bool over;
} watch;

static void note(const ntk_progress *progress, void *user) { atomic_store(&((watch *)user)->done, progress->done); }

static void *cancel_when_wanted(void *raw) {
  watch *w = raw;
  while (!atomic_load(&w->over) && atomic_load(&w->done) < w->wanted) usleep(500);
  ntk_context_cancel(w->context);
  return NULL;
}

/* One attempt, cancelled after `wanted` pairs; NTK_OK when it was too fast for that. */
static ntk_status attempt(const ntk_plan *plan, const ntk_dataset *rows, const char *path, int64_t wanted,
                          ntk_gram_report *report) {
  watch w = {.context = ntk_test_context("auto"), .wanted = wanted};
  const ntk_gram_options options = {.path = path, .resume = true, .tile = 4};
  pthread_t thread;
  ntk_context_set_progress(w.context, note, &w);
  cr_assert_eq(pthread_create(&thread, NULL, cancel_when_wanted, &w), 0);
  const ntk_status status = ntk_gram(w.context, plan, rows, NULL, &options, report);
  atomic_store(&w.over, true);
  pthread_join(thread, NULL);
  ntk_context_free(w.context);
  cr_assert(status == NTK_OK || status == NTK_ERROR_INTERRUPTED, "%s", ntk_last_error());
  return status;
}

static void expect_same_bytes(const char *a, const char *b) {
  size_t a_size, b_size;
  unsigned char *a_bytes = ntk_test_read_file(a, &a_size), *b_bytes = ntk_test_read_file(b, &b_size);
  cr_expect(a_size == b_size && memcmp(a_bytes, b_bytes, a_size) == 0, "%s and %s differ", a, b);
  free(a_bytes), free(b_bytes);
}

/* Interrupted at several points and resumed, the matrix has the bytes of one computed in one go. The number of images
 * is doubled until an attempt was cancelled with some tiles finished and some not. */
Test(gram, resumed_after_cancellation, .timeout = 300) {
  const ntk_shape shape = {3, 16, 16};
  ntk_plan *plan = ntk_test_plan("20*(conv3 relu) gap", shape, NTK_KERNEL_NTK, NTK_F32);
  ntk_test_random random = {604};
  bool interrupted = false;
  for (int64_t count = 24; !interrupted; count *= 2) {
    ntk_dataset *rows = ntk_test_dataset(605, shape, count);
    const char *path = in_folder(ntk_test_text("K%d.npy", (int)count)), *whole = in_folder("whole.npy");
    const int64_t pairs = count * (count + 1) / 2;
    ntk_gram_report report;
    int64_t before = 0;
    while (attempt(plan, rows, path, before + 1 + ntk_test_below(&random, (int)pairs / 3), &report) != NTK_OK) {
      cr_expect(report.pairs == pairs && report.pairs_resumed == before, "%d resumed, %d expected",
                (int)report.pairs_resumed, (int)before);
      before += report.pairs_computed;
      interrupted |= before > 0 && before < pairs;
    }
    cr_expect_eq(report.pairs_resumed, before);
    cr_expect_eq(report.pairs_computed, pairs - before);
    const ntk_gram_options again = {.path = path, .resume = true}, fresh = {.path = whole, .overwrite = true};
    report = ntk_test_gram(NULL, plan, rows, NULL, again); /* nothing is left to do */
    cr_expect(report.pairs_computed == 0 && report.pairs_resumed == pairs);
    ntk_test_gram(NULL, plan, rows, NULL, fresh);
    expect_same_bytes(path, whole);
    ntk_dataset_free(rows);
  }
  ntk_plan_free(plan);
}

Test(gram, cancelled_before) {
  const ntk_shape shape = {1, 4, 4};
  ntk_plan *plan = ntk_test_plan("conv3 relu gap", shape, NTK_KERNEL_NTK, NTK_F64);
  ntk_dataset *rows = ntk_test_dataset(606, shape, 5);
  ntk_context *context = ntk_test_context("auto");
  ntk_gram_options options = {.path = in_folder("K.npy"), .tile = 2};
  ntk_gram_report report;
  ntk_context_cancel(context);
  ntk_test_expect_failure(ntk_gram(context, plan, rows, NULL, &options, &report), NTK_ERROR_INTERRUPTED, "interrupted");
  cr_expect(report.pairs == 15 && report.pairs_computed == 0);
  options.resume = true;
  report = ntk_test_gram(NULL, plan, rows, NULL, options);
  cr_expect_eq(report.pairs_computed, 15);
  ntk_context_free(context);
  ntk_dataset_free(rows);
  ntk_plan_free(plan);
}

/* ---- resuming something else */

static void expect_mismatch(const char *isa, const ntk_plan *plan, const ntk_dataset *rows, const ntk_dataset *columns,
                            const char *word) {
  ntk_context *context = ntk_test_context(isa);
  const ntk_gram_options options = {.path = in_folder("K.npy"), .resume = true};
  ntk_test_expect_failure(ntk_gram(context, plan, rows, columns, &options, NULL), NTK_ERROR_MISMATCH, word);
  ntk_context_free(context);
}

Test(gram, resuming_another_matrix_is_refused) {
  const ntk_shape shape = {1, 4, 4};
  ntk_plan *plan = ntk_test_plan("2*(conv3 relu) flatten", shape, NTK_KERNEL_NTK, NTK_F32);
  ntk_dataset *rows = ntk_test_dataset(607, shape, 5), *other = ntk_test_dataset(608, shape, 5);
  const ntk_gram_options options = {.path = in_folder("K.npy"), .resume = true};
  ntk_test_gram(NULL, plan, rows, NULL, options);
  size_t size;
  unsigned char *bytes = ntk_test_read_file(options.path, &size);
  static const struct {
    const char *text;
    ntk_kernel kernel;
    ntk_precision precision;
    const char *word;
  } plans[] = {
      {"3*(conv3 relu) flatten", NTK_KERNEL_NTK, NTK_F32, "network"},
      {"2*(conv3(b=1e-9) relu) flatten", NTK_KERNEL_NTK, NTK_F32, "network"},
      {"cntk-3-v", NTK_KERNEL_NTK, NTK_F32, "preset"}, /* the same text, another scale */
      {"2*(conv3 relu) flatten", NTK_KERNEL_NNGP, NTK_F32, "kernel"},
      {"2*(conv3 relu) flatten", NTK_KERNEL_NTK, NTK_F64, "precision"},
  };
  for (size_t k = 0; k < sizeof plans / sizeof *plans; k++) {
    ntk_plan *another = ntk_test_plan(plans[k].text, shape, (int)plans[k].kernel, plans[k].precision);
    expect_mismatch("auto", another, rows, NULL, plans[k].word);
    ntk_plan_free(another);
  }
  expect_mismatch("auto", plan, other, NULL, "rows");
  expect_mismatch("auto", plan, rows, other, "columns");
  for (const char *const *isa = ntk_test_isas; *isa; isa++) {
    ntk_context *context = ntk_test_context(*isa);
    const bool same = !context || strcmp(ntk_context_isa(NULL), *isa) == 0;
    ntk_context_free(context);
    if (!same) expect_mismatch(*isa, plan, rows, NULL, "isa");
  }
  size_t size_after;
  unsigned char *after = ntk_test_read_file(options.path, &size_after);
  cr_expect(size == size_after && memcmp(bytes, after, size) == 0, "a refusal changed the matrix");
  cr_expect_eq(ntk_test_gram(NULL, plan, rows, NULL, options).pairs_resumed, 15);
  free(bytes), free(after);
  ntk_dataset_free(rows);
  ntk_dataset_free(other);
  ntk_plan_free(plan);
}

/* The tile size of a resumed matrix is that of its journal, whatever is asked for. */
Test(gram, resuming_keeps_the_tile) {
  const ntk_shape shape = {1, 4, 4};
  ntk_plan *plan = ntk_test_plan("conv3 relu gap", shape, NTK_KERNEL_NTK, NTK_F32);
  ntk_dataset *rows = ntk_test_dataset(609, shape, 6);
  ntk_context *context = ntk_test_context("auto");
  ntk_gram_options options = {.path = in_folder("K.npy"), .tile = 2};
  ntk_context_cancel(context);
  cr_assert_eq(ntk_gram(context, plan, rows, NULL, &options, NULL), NTK_ERROR_INTERRUPTED);
  options.tile = 5, options.resume = true;
  cr_expect_eq(ntk_test_gram(NULL, plan, rows, NULL, options).tile, 2);
  ntk_context_free(context);
  ntk_dataset_free(rows);
  ntk_plan_free(plan);
}
