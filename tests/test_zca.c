/* ZCA whitening against a dense computation by Jacobi rotations, and the files that keep a fitted preprocessing. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/data/dataset.h"
#include "host/data/preprocess.h"
#include "tests/support_data.h"
#include "tests/support_gram.h"
#include "tests/support_kernel.h"

static char *folder;

static char *kept[64];
static size_t kept_count;

static void setup(void) { folder = ntk_test_folder(); }

static void teardown(void) {
  while (kept_count > 0) free(kept[--kept_count]);
  ntk_test_remove_folder(folder);
}

TestSuite(zca, .init = setup, .fini = teardown);

/* Kept as long as the test. */
static const char *in_folder(const char *name) {
  cr_assert(kept_count < sizeof kept / sizeof *kept);
  return kept[kept_count++] = strdup(ntk_test_text("%s/%s", folder, name));
}

static ntk_preprocess *fit(const char *text, const ntk_dataset *train) {
  ntk_preprocess *made = NULL;
  cr_assert_eq(ntk_preprocess_fit_text(text, train, &made), NTK_OK, "%s: %s", text, ntk_last_error());
  return made;
}

static void apply(ntk_dataset *dataset, const ntk_preprocess *preprocess) {
  cr_assert_eq(ntk_dataset_preprocess(dataset, preprocess), NTK_OK, "%s", ntk_last_error());
}

static void apply_text(ntk_dataset *dataset, const char *text) {
  ntk_preprocess *made = fit(text, dataset);
  apply(dataset, made);
  ntk_preprocess_free(made);
}

/* ---- the oracle: eigenvalues and eigenvectors (columns of v) of a symmetric matrix by Jacobi's rotations */

static void jacobi(int n, double *a, double *v) {
  for (int i = 0; i < n * n; i++) v[i] = i % (n + 1) == 0;
  for (int sweep = 0; sweep < 60; sweep++)
    for (int p = 0; p < n; p++)
      for (int q = p + 1; q < n; q++) {
        if (a[p * n + q] == 0) continue;
        const double angle = 0.5 * atan2(2 * a[p * n + q], a[q * n + q] - a[p * n + p]), c = cos(angle), s = sin(angle);
        for (int k = 0; k < n; k++) {
          const double x = a[k * n + p], y = a[k * n + q];
          a[k * n + p] = c * x - s * y, a[k * n + q] = s * x + c * y;
        }
        for (int k = 0; k < n; k++) {
          const double x = a[p * n + k], y = a[q * n + k];
          a[p * n + k] = c * x - s * y, a[q * n + k] = s * x + c * y;
        }
        for (int k = 0; k < n; k++) {
          const double x = v[k * n + p], y = v[k * n + q];
          v[k * n + p] = c * x - s * y, v[k * n + q] = s * x + c * y;
        }
      }
}

/* (1/count) SUM x x^T */
static double *second_moments(const double *x, int count, int d) {
  double *c = calloc((size_t)(d * d), sizeof *c);
  for (int n = 0; n < count; n++)
    for (int i = 0; i < d; i++)
      for (int j = 0; j < d; j++) c[i * d + j] += x[n * d + i] * x[n * d + j] / count;
  return c;
}

/* Whitens records that `before` has been applied to; eps in units of the mean eigenvalue if `relative`. */
static double *whiten(const double *x, size_t count, size_t d, double eps, bool relative) {
  double *c = second_moments(x, (int)count, (int)d), *v = calloc(d * d, sizeof *v);
  double *y = calloc(count * d, sizeof *y), trace = 0;
  for (size_t i = 0; i < d; i++) trace += c[i * d + i];
  jacobi((int)d, c, v);
  for (size_t n = 0; n < count; n++)
    for (size_t k = 0; k < d; k++) {
      double along = 0;
      for (size_t i = 0; i < d; i++) along += x[n * d + i] * v[i * d + k];
      along /= sqrt(c[k * d + k] + (relative ? eps * trace / (double)d : eps));
      for (size_t i = 0; i < d; i++) y[n * d + i] += along * v[i * d + k];
    }
  free(c), free(v);
  return y;
}

static void expect_close(const double *got, const double *want, int count, double tolerance) {
  double scale = 0;
  for (int i = 0; i < count; i++) scale = fmax(scale, fabs(want[i]));
  for (int i = 0; i < count; i++) cr_expect_float_eq(got[i], want[i], tolerance * scale, "%d: %g", i, got[i] - want[i]);
}

/* ---- what it computes */

Test(zca, matches_a_dense_computation) {
  static const struct {
    const char *text, *before;
    double eps;
    bool relative;
  } cases[] = {{"zca", "image", 1e-4, false},
               {"zca(eps=1e-5)", "image", 1e-5, false},
               {"zca( eps = 0.1rel , before = none )", "none", 0.1, true},
               {"zca(before=standard,eps=0.5)", "standard", 0.5, false},
               {"zca(before=unit)", "unit", 1e-4, false}};
  static const ntk_shape shapes[] = {{3, 2, 2}, {7, 0, 0}, {1, 3, 3}};
  for (int s = 0; s < 3; s++)
    for (int k = 0; k < 5; k++) {
      const int d = (int)(shapes[s].channels * (shapes[s].height ? shapes[s].height * shapes[s].width : 1)), count = 41;
      ntk_dataset *data = ntk_test_dataset(900 + (uint64_t)s, shapes[s], count);
      ntk_preprocess *zca = fit(cases[k].text, data);
      apply_text(data, cases[k].before);
      double *x = ntk_test_records(data), *want = whiten(x, (size_t)count, (size_t)d, cases[k].eps, cases[k].relative);
      apply(data, zca);
      double *got = ntk_test_records(data);
      expect_close(got, want, count * d, 1e-10);
      free(x), free(want), free(got);
      ntk_preprocess_free(zca);
      ntk_dataset_free(data);
    }
}

Test(zca, whitens_axes_by_their_moments) {
  /* second moments 9/3 and 16/3 along the axes, 0 between: W = diag(1/sqrt(3 + 1), 1/sqrt(16/3 + 1)) */
  const double values[6] = {3, 0, 0, 4, 0, 0};
  double read[6];
  ntk_dataset *data;
  cr_assert_eq(ntk_dataset_from_memory(values, NULL, 3, (ntk_shape){2, 0, 0}, &data), NTK_OK);
  apply_text(data, "zca(eps=1,before=none)");
  cr_assert_eq(ntk_dataset_read(data, 0, 3, read), NTK_OK);
  const double want[6] = {1.5, 0, 0, 4 / sqrt(16.0 / 3 + 1), 0, 0};
  expect_close(read, want, 6, 1e-15);
  ntk_dataset_free(data);
}

Test(zca, moments_of_whitened_training_data_are_shrunk_to_one) {
  enum { D = 12, N = 300 };
  const double eps = 0.3;
  ntk_dataset *data = ntk_test_dataset(910, (ntk_shape){3, 2, 2}, N);
  double *x = ntk_test_records(data), *c = second_moments(x, N, D), *v = calloc(D * D, sizeof *v);
  jacobi(D, c, v);
  apply_text(data, "zca(eps=0.3,before=none)");
  double *y = ntk_test_records(data), *white = second_moments(y, N, D);
  for (int k = 0; k < D; k++)
    for (int l = 0; l < D; l++) {
      double value = 0;
      for (int i = 0; i < D; i++)
        for (int j = 0; j < D; j++) value += v[i * D + k] * white[i * D + j] * v[j * D + l];
      cr_expect_float_eq(value, k == l ? c[k * D + k] / (c[k * D + k] + eps) : 0, 1e-12, "%d %d: %g", k, l, value);
    }
  free(x), free(y), free(c), free(v), free(white);
  ntk_dataset_free(data);
}

Test(zca, bytes_are_divided_by_255_and_few_records_are_enough) {
  const uint8_t pixels[8] = {0, 255, 51, 102, 7, 9, 200, 3};
  const int64_t shape[4] = {2, 1, 2, 2};
  double scaled[8], got[8], want[8];
  for (int i = 0; i < 8; i++) scaled[i] = pixels[i] / 255.0;
  cr_assert_eq(ntk_npy_write(in_folder("x.npy"), NTK_DTYPE_U8, 4, shape, pixels), NTK_OK);
  ntk_dataset *bytes = ntk_test_open(ntk_test_text("npy:%s/x.npy", folder)), *reals;
  cr_assert_eq(ntk_dataset_from_memory(scaled, NULL, 2, (ntk_shape){1, 2, 2}, &reals), NTK_OK);
  static const char *const texts[] = {"zca", "zca(before=none)", "zca(before=standard)", "zca(before=unit)"};
  for (int k = 0; k < 4; k++) {
    apply_text(bytes, texts[k]);
    apply_text(reals, texts[k]);
    cr_assert_eq(ntk_dataset_read(bytes, 0, 2, got), NTK_OK);
    cr_assert_eq(ntk_dataset_read(reals, 0, 2, want), NTK_OK);
    for (int i = 0; i < 8; i++) cr_expect(isfinite(got[i]) && got[i] == want[i], "%s %d", texts[k], i);
  }
  ntk_dataset_free(reals);
  ntk_dataset_free(bytes);
}

Test(zca, the_array_is_symmetric_and_does_not_depend_on_the_blocks_of_a_fit) {
  enum { D = 27, N = 130 };
  static const int64_t blocks[] = {0, 1, 7, 64, 1000};
  double *first = NULL;
  ntk_dataset *data = ntk_test_dataset(920, (ntk_shape){3, 3, 3}, N);
  for (int k = 0; k < 5; k++) {
    ntk_preprocess *p;
    cr_assert_eq(ntk_preprocess_create(NTK_PREPROCESS_ZCA, false, 0, &p), NTK_OK);
    p->choice = ntk_preprocess_choice_of(NTK_PREPROCESS_ZCA);
    p->shape = ntk_dataset_shape(data);
    cr_assert_eq(ntk_preprocess_fit_plain(NTK_PREPROCESS_IMAGE, data, &p->before), NTK_OK);
    cr_assert_eq(ntk_zca_fit(p, data, blocks[k]), NTK_OK, "%s", ntk_last_error());
    for (int i = 0; i < D; i++)
      for (int j = 0; j < i; j++) cr_expect_eq(p->array[i * D + j], p->array[j * D + i]);
    if (!first) {
      first = malloc(D * D * sizeof *first);
      memcpy(first, p->array, D * D * sizeof *first);
    }
    expect_close(p->array, first, D * D, 1e-10);
    ntk_preprocess_free(p);
  }
  free(first);
  ntk_dataset_free(data);
}

Test(zca, the_bits_of_a_record_do_not_depend_on_its_company) {
  enum { N = 75 };
  static const int dimensions[] = {5, 199, 320};
  for (int k = 0; k < 3; k++) {
    const size_t d = (size_t)dimensions[k];
    ntk_dataset *data = ntk_test_dataset(930, (ntk_shape){dimensions[k], 0, 0}, N);
    apply_text(data, "zca");
    double *all = ntk_test_records(data), *some = malloc(N * d * sizeof *some);
    for (int64_t first = 0; first < N; first += 3)
      for (int64_t count = 1; first + count <= N; count += 17) {
        cr_assert_eq(ntk_dataset_read(data, first, count, some), NTK_OK);
        cr_expect_eq(memcmp(some, all + (size_t)first * d, (size_t)count * d * sizeof *some), 0, "%d: %d %d",
                     dimensions[k], (int)first, (int)count);
      }
    free(all), free(some);
    ntk_dataset_free(data);
  }
}

/* ---- texts */

Test(zca, texts_say_what_was_fitted) {
  ntk_dataset *data = ntk_test_dataset(940, (ntk_shape){2, 2, 3}, 9),
              *vectors = ntk_test_dataset(940, (ntk_shape){12, 0, 0}, 9);
  ntk_preprocess *zca = fit("zca(before=standard)", data), *other = fit("zca(eps=0.1rel)", vectors), *again;
  const char *text = ntk_preprocess_text(zca);
  char hash[33];
  cr_expect_eq(strncmp(text, "zca(eps=0.0001,before=standard) shape=2x2x3 train=", 50), 0, "%s", text);
  cr_expect(strstr(text, ntk_dataset_hash(data)), "%s", text);
  cr_expect(strstr(text, " standard channels=2 mean="), "%s", text);
  cr_expect_eq(strncmp(ntk_preprocess_text(other), "zca(eps=0.1rel,before=image) shape=12 train=", 44), 0);
  ntk_test_expect_failure(ntk_preprocess_parse(text, &again), NTK_ERROR_ARGUMENT, "in a file");
  strcpy(hash, ntk_dataset_hash(data));
  apply(data, zca);
  cr_expect_str_neq(ntk_dataset_hash(data), hash);
  cr_expect_str_eq(ntk_dataset_preprocess_text(data), text);
  again = fit("zca(before=standard)", data);
  cr_expect_str_eq(ntk_preprocess_text(again), text, "a fit ignores what is applied, and is reproducible");
  ntk_test_expect_failure(ntk_dataset_preprocess(vectors, zca), NTK_ERROR_ARGUMENT, "2 x 2 x 3");
  ntk_preprocess_free(again);
  ntk_preprocess_free(other);
  ntk_preprocess_free(zca);
  ntk_dataset_free(vectors);
  ntk_dataset_free(data);
}

Test(zca, wrong_texts_are_refused) {
  static const char *const wrong[][2] = {{"", "known are"},
                                         {"zcax", "known are"},
                                         {"zca(", "options of zca"},
                                         {"zca)", "follows"},
                                         {"zca(eps)", "'='"},
                                         {"zca(eps=)", "above 0"},
                                         {"zca(eps=0)", "above 0"},
                                         {"zca(eps=-1)", "above 0"},
                                         {"zca(eps=nan)", "above 0"},
                                         {"zca(eps=1e999)", "above 0"},
                                         {"zca(eps=0x1)", "above 0"},
                                         {"zca(eps=1,)", "after ','"},
                                         {"zca(eps=1 2)", "')'"},
                                         {"zca(before=zca)", "before="},
                                         {"zca(before=x)", "before="},
                                         {"zca(size=3)", "options of zca"},
                                         {"image(eps=1)", "no options"},
                                         {"zca:", "name of a file"},
                                         {"zca(eps=1):f.npy", "drop"},
                                         {"standard:f.npy", "follows"},
                                         {"zca(eps=1)x", "follows"}};
  ntk_dataset *data = ntk_test_dataset(950, (ntk_shape){2, 2, 2}, 5);
  ntk_preprocess *made = NULL;
  for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
    ntk_test_expect_failure(ntk_preprocess_check(wrong[k][0]), NTK_ERROR_ARGUMENT, wrong[k][1]);
    ntk_test_expect_failure(ntk_preprocess_fit_text(wrong[k][0], data, &made), NTK_ERROR_ARGUMENT, wrong[k][1]);
  }
  static const char *const right[] = {"none", "standard", "unit", "image", "zca", "zca()", "zca(eps=2)", "zca:f.npy"};
  for (size_t k = 0; k < sizeof right / sizeof *right; k++) cr_expect_eq(ntk_preprocess_check(right[k]), NTK_OK);
  ntk_dataset_free(data);
}

Test(zca, records_that_cannot_be_whitened_are_refused) {
  const double black[8] = {0}, large[4] = {1e200, 0, 0, 1};
  ntk_dataset *data, *huge;
  ntk_preprocess *made = NULL;
  cr_assert_eq(ntk_dataset_from_memory(black, NULL, 2, (ntk_shape){1, 2, 2}, &data), NTK_OK);
  cr_assert_eq(ntk_dataset_from_memory(large, NULL, 2, (ntk_shape){2, 0, 0}, &huge), NTK_OK);
  ntk_test_expect_failure(ntk_preprocess_fit_text("zca(eps=1rel)", data, &made), NTK_ERROR_DATA, "all 0");
  ntk_test_expect_failure(ntk_preprocess_fit_text("zca(before=none)", huge, &made), NTK_ERROR_DATA, "too large");
  apply_text(data, "zca"); /* stays black */
  double *read = ntk_test_records(data);
  for (int i = 0; i < 8; i++) cr_expect_eq(read[i], 0);
  free(read);
  ntk_dataset_free(huge);
  ntk_dataset_free(data);
}

/* ---- files */

Test(zca, a_stored_one_is_read_back_bit_for_bit) {
  const char *path = in_folder("p.npy"), *copy = in_folder("q.npy");
  size_t size, other;
  ntk_dataset *data = ntk_test_dataset(960, (ntk_shape){3, 3, 2}, 20);
  ntk_preprocess *zca = fit("zca(before=standard)", data), *loaded;
  cr_expect_str_eq(ntk_preprocess_path(zca), "");
  cr_assert_eq(ntk_preprocess_save(zca, path), NTK_OK, "%s", ntk_last_error());
  cr_expect_str_eq(ntk_preprocess_path(zca), path);
  apply(data, zca);
  double *want = ntk_test_records(data);
  cr_assert_eq(ntk_preprocess_load(path, &loaded), NTK_OK, "%s", ntk_last_error());
  cr_expect_str_eq(ntk_preprocess_text(loaded), ntk_preprocess_text(zca));
  apply(data, loaded);
  cr_expect_str_eq(ntk_dataset_preprocess_path(data), path);
  ntk_preprocess_free(zca);
  double *got = ntk_test_records(data);
  cr_expect_eq(memcmp(got, want, 20 * 18 * sizeof *got), 0);
  cr_assert_eq(ntk_preprocess_save(loaded, copy), NTK_OK);
  for (int k = 0; k < 2; k++) {
    unsigned char *a = ntk_test_read_file(ntk_test_text("%s%s", path, k ? ".json" : ""), &size);
    unsigned char *b = ntk_test_read_file(ntk_test_text("%s%s", copy, k ? ".json" : ""), &other);
    cr_expect(size == other && memcmp(a, b, size) == 0);
    free(a), free(b);
  }
  free(got), free(want);
  ntk_preprocess_free(loaded);
  ntk_dataset_free(data);
}

Test(zca, what_is_stored_is_taken_only_for_the_same_fit) {
  const char *path = in_folder("p.npy");
  ntk_dataset *data = ntk_test_dataset(970, (ntk_shape){2, 2, 2}, 20),
              *other = ntk_test_dataset(971, (ntk_shape){2, 2, 2}, 20);
  ntk_preprocess *first, *second, *made;
  cr_assert_eq(ntk_preprocess_fit_stored("zca", data, path, false, &first), NTK_OK, "%s", ntk_last_error());
  cr_expect_str_eq(ntk_preprocess_path(first), path);
  cr_assert_eq(ntk_preprocess_fit_stored("zca(eps=1e-4)", data, path, false, &second), NTK_OK, "%s", ntk_last_error());
  cr_expect_str_eq(ntk_preprocess_text(first), ntk_preprocess_text(second));
  ntk_test_expect_failure(ntk_preprocess_fit_stored("zca(eps=1)", data, path, false, &made), NTK_ERROR_MISMATCH,
                          "other options");
  ntk_test_expect_failure(ntk_preprocess_fit_stored("zca", other, path, false, &made), NTK_ERROR_MISMATCH,
                          "other data");
  cr_assert_eq(ntk_preprocess_fit_stored("standard", data, path, false, &made), NTK_OK);
  cr_expect_str_eq(ntk_preprocess_path(made), "");
  ntk_test_expect_failure(ntk_preprocess_save(made, path), NTK_ERROR_ARGUMENT, "no file");
  ntk_preprocess_free(made);
  cr_assert_eq(ntk_preprocess_fit_stored("zca", other, path, true, &made), NTK_OK, "%s", ntk_last_error());
  cr_expect_str_neq(ntk_preprocess_text(made), ntk_preprocess_text(first));
  ntk_preprocess_free(made);
  made = fit(ntk_test_text("zca:%s", path), data);
  apply(data, made);
  ntk_preprocess_free(made);
  ntk_preprocess_free(first);
  ntk_preprocess_free(second);
  ntk_dataset_free(other);
  ntk_dataset_free(data);
}

static void expect_refused(const char *path, ntk_status status, const char *word) {
  ntk_preprocess *made = NULL;
  ntk_test_expect_failure(ntk_preprocess_load(path, &made), status, word);
}

Test(zca, damaged_files_are_refused) {
  const char *path = in_folder("p.npy"), *json = in_folder("p.npy.json");
  size_t size, json_size;
  ntk_dataset *data = ntk_test_dataset(980, (ntk_shape){2, 2, 2}, 20);
  ntk_preprocess *zca = fit("zca(before=standard)", data);
  expect_refused(path, NTK_ERROR_IO, "p.npy.json");
  cr_assert_eq(ntk_preprocess_save(zca, path), NTK_OK);
  unsigned char *array = ntk_test_read_file(path, &size), *text = ntk_test_read_file(json, &json_size);
  ntk_test_write_file(path, array, size - 8);
  expect_refused(path, NTK_ERROR_DATA, "p.npy");
  array[size - 5] ^= 1;
  ntk_test_write_file(path, array, size);
  expect_refused(path, NTK_ERROR_CORRUPT, "checksum");
  const double wrong[4] = {1, 0, 0, 1};
  cr_assert_eq(ntk_npy_write(path, NTK_DTYPE_F64, 2, (const int64_t[]){2, 2}, wrong), NTK_OK);
  expect_refused(path, NTK_ERROR_CORRUPT, "another array");
  unlink(path);
  expect_refused(path, NTK_ERROR_IO, "p.npy");
  ntk_test_write_file(json, text, json_size / 2);
  expect_refused(path, NTK_ERROR_CORRUPT, "does not describe");
  static const char *const lies[][2] = {{"zca(eps", "known are"},
                                        {"shape=2x2x2", "shape="},
                                        {"shape=2", "shape="},
                                        {"train=", "train="},
                                        {"values=", "values="},
                                        {"channels=2", "channels"},
                                        {" standard", "where it should"},
                                        {"before=standard", "where it should"}};
  static const char *const instead[] = {"acz(eps",  "shape=2x2",  "shape=0",  "train=x",
                                        "values=x", "channels=3", "standard", "before=image"};
  char *whole = strndup((char *)text, json_size);
  for (int k = 0; k < 8; k++) {
    const char *at = strstr(whole, lies[k][0]);
    cr_assert(at);
    const char *changed = ntk_test_text("%.*s%s%s", (int)(at - whole), whole, instead[k], at + strlen(lies[k][0]));
    ntk_test_write_file(json, changed, strlen(changed));
    expect_refused(path, NTK_ERROR_CORRUPT, lies[k][1]);
  }
  free(array), free(text), free(whole);
  ntk_preprocess_free(zca);
  ntk_dataset_free(data);
}

/* ---- matrices */

Test(zca, matrices_name_the_file_and_are_verified_with_it) {
  const ntk_shape shape = {2, 5, 5};
  const char *file = in_folder("K.preprocess.npy"), *path = in_folder("K.npy"), *other = in_folder("other.npy");
  ntk_verify_report report;
  ntk_dataset *rows = ntk_test_dataset_file(in_folder("rows.npy"), 990, shape, 12);
  ntk_dataset *columns = ntk_test_dataset_file(in_folder("columns.npy"), 991, shape, 40);
  ntk_plan *plan = ntk_test_plan("2*(conv3 relu) gap", shape, NTK_KERNEL_NTK, NTK_F32);
  ntk_preprocess *zca = fit("zca", columns), *wrong = fit("zca(eps=1)", columns);
  const ntk_gram_options options = {.path = path, .overwrite = true}, resume = {.path = path, .resume = true};
  apply(rows, zca);
  apply(columns, zca);
  ntk_test_gram(NULL, plan, rows, columns, options);
  ntk_test_expect_failure(ntk_gram_verify(NULL, path, 5, 1, &report), NTK_ERROR_ARGUMENT, "not saved");
  cr_assert_eq(ntk_preprocess_save(zca, file), NTK_OK);
  ntk_test_gram(NULL, plan, rows, columns, options);
  cr_assert_eq(ntk_gram_verify(NULL, path, 20, 1, &report), NTK_OK, "%s", ntk_last_error());
  cr_expect(report.max_relative_error <= 1e-6);
  cr_expect_eq(ntk_test_gram(NULL, plan, rows, columns, resume).pairs_computed, 0);
  /* another whitening is another matrix */
  apply(rows, wrong);
  ntk_gram_report ignored;
  ntk_test_expect_failure(ntk_gram(NULL, plan, rows, columns, &resume, &ignored), NTK_ERROR_MISMATCH, "rows");
  cr_assert_eq(ntk_preprocess_save(wrong, file), NTK_OK);
  ntk_test_expect_failure(ntk_gram_verify(NULL, path, 5, 1, &report), NTK_ERROR_MISMATCH, "is not the preprocessing");
  /* matrix and file move together */
  cr_assert_eq(ntk_preprocess_save(zca, file), NTK_OK);
  cr_assert_eq(mkdir(in_folder("new"), 0700), 0);
  static const char *const names[] = {"K.npy", "K.npy.json", "K.npy.journal", "K.preprocess.npy",
                                      "K.preprocess.npy.json"};
  for (int k = 0; k < 5; k++)
    cr_assert_eq(rename(in_folder(names[k]), ntk_test_text("%s/new/%s", folder, names[k])), 0);
  cr_expect_eq(ntk_gram_verify(NULL, in_folder("new/K.npy"), 20, 1, &report), NTK_OK, "%s", ntk_last_error());
  /* a file elsewhere is named by its path */
  cr_assert_eq(ntk_preprocess_save(zca, other), NTK_OK);
  apply(rows, zca);
  const ntk_gram_options far = {.path = in_folder("new/L.npy")};
  ntk_test_gram(NULL, plan, rows, columns, far);
  cr_expect_eq(ntk_gram_verify(NULL, far.path, 20, 1, &report), NTK_OK, "%s", ntk_last_error());
  unlink(other);
  ntk_test_expect_failure(ntk_gram_verify(NULL, far.path, 5, 1, &report), NTK_ERROR_IO, "other.npy");
  ntk_preprocess_free(zca);
  ntk_preprocess_free(wrong);
  ntk_plan_free(plan);
  ntk_dataset_free(rows);
  ntk_dataset_free(columns);
}
