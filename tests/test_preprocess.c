#include <criterion/criterion.h>
#include <locale.h>
#include <math.h>
#include <ntk/dataset.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support.h"
#include "tests/support_data.h"

static ntk_dataset *in_memory(const double *values, int64_t count, ntk_shape shape) {
  ntk_dataset *dataset;
  cr_assert_eq(ntk_dataset_from_memory(values, NULL, count, shape, &dataset), NTK_OK, "%s", ntk_last_error());
  return dataset;
}

static ntk_preprocess *fit(ntk_preprocess_mode mode, const ntk_dataset *train) {
  ntk_preprocess *made;
  cr_assert_eq(ntk_preprocess_fit(mode, train, &made), NTK_OK, "%s", ntk_last_error());
  return made;
}

static void apply(ntk_dataset *dataset, const ntk_preprocess *preprocess) {
  cr_assert_eq(ntk_dataset_preprocess(dataset, preprocess), NTK_OK, "%s", ntk_last_error());
}

/* The numbers after " mean=" or " std=". */
static void numbers(const ntk_preprocess *preprocess, const char *name, int count, double *out) {
  char *at = strstr(ntk_preprocess_text(preprocess), name);
  cr_assert(at);
  at += strlen(name);
  for (int i = 0; i < count; i++) out[i] = strtod(at + (i > 0), &at);
}

Test(preprocess, channels_are_standardised) {
  /* 3 images of 2 channels of 1 x 2; channel 0: 1 2 3 4 5 9, channel 1: constant 0.1 */
  const double values[12] = {1, 2, 0.1, 0.1, 3, 4, 0.1, 0.1, 5, 9, 0.1, 0.1};
  double read[12];
  ntk_dataset *dataset = in_memory(values, 3, (ntk_shape){2, 1, 2});
  ntk_preprocess *standard = fit(NTK_PREPROCESS_STANDARD, dataset);
  double mean[2], deviation[2];
  numbers(standard, " mean=", 2, mean);
  numbers(standard, " std=", 2, deviation);
  cr_expect_eq(mean[0], 4.0);
  cr_expect_float_eq(deviation[0], sqrt(40.0 / 6), 1e-15);
  cr_expect_eq(mean[1], 0.1);
  cr_expect_eq(deviation[1], 1.0, "a constant channel keeps its scale");
  cr_expect_str_eq(ntk_preprocess_text(standard),
                   "standard channels=2 mean=4,0.10000000000000001 std=2.5819888974716112,1");
  apply(dataset, standard);
  cr_assert_eq(ntk_dataset_read(dataset, 0, 3, read), NTK_OK);
  for (int i = 0; i < 12; i++) {
    int c = i / 2 % 2;
    cr_expect_eq(read[i], (values[i] - mean[c]) / deviation[c]);
  }
  cr_assert_eq(ntk_dataset_read(dataset, 2, 1, read), NTK_OK);
  cr_expect_eq(read[0], (5 - mean[0]) / deviation[0]);
  cr_expect_str_eq(ntk_dataset_preprocess_text(dataset), ntk_preprocess_text(standard));
  ntk_preprocess_free(standard);
  ntk_dataset_free(dataset);
}

Test(preprocess, vectors_are_standardised_feature_by_feature) {
  const double values[6] = {1, 10, 3, 10, 5, 40};
  double read[6];
  ntk_dataset *dataset = in_memory(values, 3, (ntk_shape){2, 0, 0});
  ntk_preprocess *standard = fit(NTK_PREPROCESS_STANDARD, dataset);
  cr_expect(strncmp(ntk_preprocess_text(standard), "standard features=2 mean=3,20 std=", 34) == 0, "%s",
            ntk_preprocess_text(standard));
  apply(dataset, standard);
  cr_assert_eq(ntk_dataset_read(dataset, 0, 3, read), NTK_OK);
  cr_expect_float_eq(read[0], -2 / sqrt(8.0 / 3), 1e-15);
  cr_expect_float_eq(read[5], 20 / sqrt(200), 1e-15);
  ntk_dataset *images = in_memory(values, 3, (ntk_shape){2, 1, 1});
  ntk_test_expect_failure(ntk_dataset_preprocess(images, standard), NTK_ERROR_ARGUMENT, "2 features");
  ntk_dataset *wide = in_memory(values, 2, (ntk_shape){3, 0, 0});
  ntk_test_expect_failure(ntk_dataset_preprocess(wide, standard), NTK_ERROR_ARGUMENT, "3 features");
  cr_expect_str_eq(ntk_dataset_preprocess_text(wide), "none");
  ntk_preprocess_free(standard);
  ntk_dataset_free(wide);
  ntk_dataset_free(images);
  ntk_dataset_free(dataset);
}

Test(preprocess, records_get_unit_norm_at_any_scale) {
  const double values[15] = {3, 4, 0, 0, 0, 0, 1e200, -1e200, 0, 3e-200, 0, -4e-200, 5e-324, 0, 0};
  const double want[15] = {0.6, 0.8, 0, 0, 0, 0, 0.70710678118654752, -0.70710678118654752, 0, 0.6, 0, -0.8, 1, 0, 0};
  double read[15];
  ntk_dataset *dataset = in_memory(values, 5, (ntk_shape){3, 0, 0});
  ntk_preprocess *unit = fit(NTK_PREPROCESS_UNIT, dataset);
  cr_expect_str_eq(ntk_preprocess_text(unit), "unit");
  apply(dataset, unit);
  cr_assert_eq(ntk_dataset_read(dataset, 0, 5, read), NTK_OK);
  for (int i = 0; i < 15; i++) cr_expect_float_eq(read[i], want[i], 1e-15, "%d: %.17g", i, read[i]);
  ntk_preprocess_free(unit);
  ntk_dataset_free(dataset);
}

Test(preprocess, images_lose_their_mean_and_get_unit_norm) {
  /* two channels: the mean is over both; a constant image, whose mean is not exact, becomes 0, as do differences below
   * 1e-8; 1e-7 is above */
  double values[20] = {1, 2, 3, 6, 0.1, 0.1, 0.1, 0.1, 5, 5 + 1e-9, 5, 5, 0, 4e-7, 0, 0, 1e9, 1e9, 1e9, 1e9};
  const double root = sqrt(14), part = 1 / sqrt(12);
  const double want[20] = {-2 / root, -1 / root, 0, 3 / root, 0, 0, 0, 0, 0, 0, 0, 0, -part, 3 * part, -part, -part};
  double read[20];
  ntk_dataset *dataset = in_memory(values, 5, (ntk_shape){2, 1, 2});
  ntk_preprocess *image = fit(NTK_PREPROCESS_IMAGE, dataset), *again;
  cr_expect_str_eq(ntk_preprocess_text(image), "image");
  cr_assert_eq(ntk_preprocess_parse("image", &again), NTK_OK);
  apply(dataset, again);
  cr_assert_eq(ntk_dataset_read(dataset, 0, 5, read), NTK_OK);
  for (int i = 0; i < 20; i++) cr_expect_float_eq(read[i], want[i], 1e-15, "%d: %.17g", i, read[i]);
  ntk_preprocess_free(again);
  ntk_preprocess_free(image);
  ntk_dataset_free(dataset);
}

Test(preprocess, bytes_are_divided_by_255_unless_the_mode_is_none) {
  char *folder = ntk_test_folder();
  const uint8_t pixels[4] = {0, 255, 51, 102};
  const int64_t shape[4] = {2, 1, 1, 2};
  double read[4];
  const char *path = ntk_test_text("%s/x.npy", folder);
  cr_assert_eq(ntk_npy_write(path, NTK_DTYPE_U8, 4, shape, pixels), NTK_OK);
  ntk_dataset *dataset = ntk_test_open(ntk_test_text("npy:%s", path));
  ntk_preprocess *none = fit(NTK_PREPROCESS_NONE, dataset), *unit = fit(NTK_PREPROCESS_UNIT, dataset);
  ntk_preprocess *standard = fit(NTK_PREPROCESS_STANDARD, dataset);
  double mean, deviation;
  numbers(standard, " mean=", 1, &mean);
  numbers(standard, " std=", 1, &deviation);
  cr_expect_float_eq(mean, 0.4, 1e-15);
  cr_expect_float_eq(deviation, sqrt((0.16 + 0.36 + 0.04 + 0) / 4), 1e-15);
  apply(dataset, standard);
  cr_assert_eq(ntk_dataset_read(dataset, 0, 2, read), NTK_OK);
  for (int i = 0; i < 4; i++) cr_expect_eq(read[i], (pixels[i] / 255.0 - mean) / deviation);
  apply(dataset, unit);
  cr_assert_eq(ntk_dataset_read(dataset, 0, 2, read), NTK_OK);
  cr_expect(read[0] == 0 && read[1] == 1);
  cr_expect_float_eq(read[2], 1 / sqrt(5), 1e-15);
  apply(dataset, none);
  cr_assert_eq(ntk_dataset_read(dataset, 0, 2, read), NTK_OK);
  for (int i = 0; i < 4; i++) cr_expect_eq(read[i], (double)pixels[i]);
  ntk_preprocess_free(none);
  ntk_preprocess_free(unit);
  ntk_preprocess_free(standard);
  ntk_dataset_free(dataset);
  ntk_test_remove_folder(folder);
}

Test(preprocess, the_hash_follows_and_a_fit_ignores_what_is_applied) {
  const double values[6] = {1, 10, 3, 10, 5, 40};
  char raw[33], with_unit[33], with_standard[33];
  ntk_dataset *dataset = in_memory(values, 3, (ntk_shape){2, 0, 0});
  memcpy(raw, ntk_dataset_hash(dataset), 33);
  ntk_preprocess *standard = fit(NTK_PREPROCESS_STANDARD, dataset), *unit = fit(NTK_PREPROCESS_UNIT, dataset);
  apply(dataset, unit);
  memcpy(with_unit, ntk_dataset_hash(dataset), 33);
  ntk_preprocess *again = fit(NTK_PREPROCESS_STANDARD, dataset);
  cr_expect_str_eq(ntk_preprocess_text(again), ntk_preprocess_text(standard));
  apply(dataset, standard);
  memcpy(with_standard, ntk_dataset_hash(dataset), 33);
  cr_expect_str_neq(raw, with_unit);
  cr_expect_str_neq(raw, with_standard);
  cr_expect_str_neq(with_unit, with_standard);
  ntk_preprocess *none = fit(NTK_PREPROCESS_NONE, dataset);
  apply(dataset, none);
  cr_expect_str_eq(ntk_dataset_hash(dataset), raw);
  ntk_preprocess_free(again);
  ntk_preprocess_free(none);
  ntk_preprocess_free(unit);
  ntk_preprocess_free(standard);
  ntk_dataset_free(dataset);
}

Test(preprocess, values_too_large_to_standardise_are_refused) {
  const double sum[2] = {1.7e308, 1.7e308}, square[2] = {-1e200, 1e200};
  ntk_preprocess *made = NULL;
  ntk_dataset *dataset = in_memory(sum, 1, (ntk_shape){1, 1, 2});
  ntk_test_expect_failure(ntk_preprocess_fit(NTK_PREPROCESS_STANDARD, dataset, &made), NTK_ERROR_DATA, "channel 0");
  ntk_dataset_free(dataset);
  dataset = in_memory(square, 2, (ntk_shape){1, 0, 0});
  ntk_test_expect_failure(ntk_preprocess_fit(NTK_PREPROCESS_STANDARD, dataset, &made), NTK_ERROR_DATA, "feature 0");
  ntk_test_expect_failure(ntk_preprocess_fit((ntk_preprocess_mode)7, dataset, &made), NTK_ERROR_ARGUMENT, "known are");
  ntk_test_expect_failure(ntk_preprocess_fit(NTK_PREPROCESS_UNIT, NULL, &made), NTK_ERROR_ARGUMENT, "training data");
  ntk_dataset_free(dataset);
}

/* Mean and deviation of bytes from exact integer sums. */
static void expect_byte_statistics(const char *text, int channels) {
  ntk_dataset *dataset = ntk_test_open(text);
  ntk_shape shape = ntk_dataset_shape(dataset);
  int64_t plane = shape.height * shape.width, count = ntk_dataset_count(dataset), sum[3] = {0}, squares[3] = {0};
  double record[3072], mean[3], deviation[3];
  cr_assert_eq(shape.channels, channels);
  for (int64_t i = 0; i < count; i++) {
    cr_assert_eq(ntk_dataset_read(dataset, i, 1, record), NTK_OK);
    for (int64_t k = 0; k < channels * plane; k++) {
      sum[k / plane] += (int64_t)record[k];
      squares[k / plane] += (int64_t)record[k] * (int64_t)record[k];
    }
  }
  ntk_preprocess *standard = fit(NTK_PREPROCESS_STANDARD, dataset);
  numbers(standard, " mean=", channels, mean);
  numbers(standard, " std=", channels, deviation);
  for (int c = 0; c < channels; c++) {
    long double n = (long double)(count * plane), m = (long double)sum[c] / n;
    cr_expect_float_eq(mean[c], (double)(m / 255), 1e-13, "%.17g", mean[c]);
    cr_expect_float_eq(deviation[c], (double)(sqrtl((long double)squares[c] / n - m * m) / 255), 1e-13, "%.17g",
                       deviation[c]);
  }
  if (channels == 1) { /* the published figures of Fashion-MNIST */
    cr_expect_float_eq(mean[0], 0.2860, 5e-5);
    cr_expect_float_eq(deviation[0], 0.3530, 5e-5);
  }
  ntk_preprocess_free(standard);
  ntk_dataset_free(dataset);
}

Test(preprocess, fashion_mnist_has_its_published_statistics) {
  if (access("/usr/share/datasets/fashion-mnist", F_OK) != 0) cr_skip_test("Debian's dataset-fashion-mnist is missing");
  unsetenv("NTK_FASHION_MNIST_DIR");
  expect_byte_statistics("fashion-mnist:train", 1);
}

Test(preprocess, cifar_statistics_agree_with_exact_sums) {
  const char *shared = ntk_test_shared_dir();
  if (!shared) cr_skip_test("the CIFAR-10 subset is missing (NTK_SHARED_DIR)");
  expect_byte_statistics(ntk_test_text("cifar10:%s/data/cifar10-subset:train", shared), 3);
}

Test(preprocess, a_fit_does_not_depend_on_how_records_are_grouped) {
  enum { COUNT = 9000 }; /* records of 2 values: several chunks of reading */
  double *values = malloc(2 * COUNT * sizeof *values);
  for (int i = 0; i < 2 * COUNT; i++) values[i] = sin(i * 0.7) * 1e3 + 1e-3 * i;
  ntk_dataset *dataset = in_memory(values, COUNT, (ntk_shape){2, 0, 0});
  ntk_preprocess *standard = fit(NTK_PREPROCESS_STANDARD, dataset);
  double mean[2], deviation[2], sum = 0, squares = 0;
  numbers(standard, " mean=", 2, mean);
  numbers(standard, " std=", 2, deviation);
  for (int i = 0; i < COUNT; i++) sum += values[2 * i + 1];
  for (int i = 0; i < COUNT; i++) squares += (values[2 * i + 1] - sum / COUNT) * (values[2 * i + 1] - sum / COUNT);
  cr_expect_eq(mean[1], sum / COUNT);
  cr_expect_eq(deviation[1], sqrt(squares / COUNT));
  ntk_preprocess_free(standard);
  ntk_dataset_free(dataset);
  free(values);
}

static void expect_texts_read_back(void) {
  static const char *const texts[] = {
      "none",
      "unit",
      "standard channels=1 mean=0.28604059698879553 std=0.35302424451492254",
      ("standard channels=3 mean=-1.7976931348623157e+308,0,4.9406564584124654e-324 "
       "std=4.9406564584124654e-324,1,1.7976931348623157e+308"),
      "standard features=2 mean=0.10000000000000001,-0 std=0.33333333333333331,2",
  };
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    ntk_preprocess *made;
    cr_assert_eq(ntk_preprocess_parse(texts[i], &made), NTK_OK, "%s", ntk_last_error());
    cr_expect_str_eq(ntk_preprocess_text(made), texts[i]);
    ntk_preprocess_free(made);
  }
  ntk_preprocess_free(NULL);
}

Test(preprocess, texts_are_read_back_exactly) { expect_texts_read_back(); }

Test(preprocess, a_locale_with_a_decimal_comma_changes_nothing) {
  char *folder = ntk_test_folder(), number[8];
  const char *make = ntk_test_text("localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 >/dev/null 2>&1", folder);
  int made = system(make);
  setenv("LOCPATH", folder, 1);
  const char *set = made == 0 ? setlocale(LC_ALL, "de_DE.UTF-8") : NULL;
  ntk_test_remove_folder(folder);
  if (!set) cr_skip_test("localedef cannot make a German locale here");
  snprintf(number, sizeof number, "%.1f", 0.5);
  cr_assert_str_eq(number, "0,5");
  expect_texts_read_back();
}

Test(preprocess, a_fit_and_its_text_preprocess_alike) {
  double values[30], direct[30], parsed[30];
  for (int i = 0; i < 30; i++) values[i] = 1.0 / (i + 3);
  ntk_dataset *dataset = in_memory(values, 10, (ntk_shape){3, 0, 0});
  ntk_preprocess *standard = fit(NTK_PREPROCESS_STANDARD, dataset), *again;
  cr_assert_eq(ntk_preprocess_parse(ntk_preprocess_text(standard), &again), NTK_OK, "%s", ntk_last_error());
  apply(dataset, standard);
  cr_assert_eq(ntk_dataset_read(dataset, 0, 10, direct), NTK_OK);
  char hash[33];
  memcpy(hash, ntk_dataset_hash(dataset), 33);
  apply(dataset, again);
  cr_assert_eq(ntk_dataset_read(dataset, 0, 10, parsed), NTK_OK);
  cr_expect_arr_eq(direct, parsed, sizeof direct);
  cr_expect_str_eq(hash, ntk_dataset_hash(dataset));
  ntk_preprocess_free(standard);
  ntk_preprocess_free(again);
  ntk_dataset_free(dataset);
}

Test(preprocess, other_texts_are_refused) {
  static const struct {
    const char *text, *word;
  } cases[] = {
      {"", "none of none"},
      {"None", "none of none"},
      {"unit ", "none of none"},
      {"standard", "none of none"},
      {"standard ", "channels="},
      {"standard pixels=1 mean=1 std=1", "channels="},
      {"standard channels= mean=1 std=1", "number of channels"},
      {"standard channels=0 mean= std=", "number of channels"},
      {"standard channels=-1 mean=1 std=1", "number of channels"},
      {"standard channels=99999999999999999999 mean=1 std=1", "number of channels"},
      {"standard channels=1000000 mean=1 std=1", "number of channels"},
      {"standard channels=2 mean=1 std=1", "too few"},
      {"standard channels=1 mean=1,2 std=1", "std"},
      {"standard channels=1 mean=x std=1", "malformed"},
      {"standard channels=1 mean= 1 std=1", "malformed"},
      {"standard channels=1 mean=0x1 std=1", "malformed"},
      {"standard channels=1 mean=nan std=1", "malformed"},
      {"standard channels=1 mean=inf std=1", "malformed"},
      {"standard channels=1 mean=1e999 std=1", "too large"},
      {"standard channels=1 mean=1 std=0", "not positive"},
      {"standard channels=1 mean=1 std=-1", "not positive"},
      {"standard channels=1 mean=1 std=1 ", "follows"},
      {"standard channels=1 std=1 mean=1", "mean"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    ntk_preprocess *made = NULL;
    ntk_test_expect_failure(ntk_preprocess_parse(cases[i].text, &made), NTK_ERROR_ARGUMENT, cases[i].word);
    cr_expect_null(made);
  }
  ntk_preprocess *made;
  ntk_test_expect_failure(ntk_preprocess_parse(NULL, &made), NTK_ERROR_ARGUMENT, "text");
}
