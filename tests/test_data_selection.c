/* The text that names a data set: its grammar, slices and balanced subsets. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/data/sampling.h"
#include "host/data/spec.h"
#include "tests/support_data.h"

Test(data_text, parts_are_found) {
  static const struct {
    const char *text;
    ntk_data_kind kind;
    bool test;
    const char *path, *labels;
    int64_t subset;
    uint64_t seed;
  } cases[] = {
      {"fashion-mnist:train", NTK_DATA_FASHION_MNIST, false, NULL, NULL, 0, 0},
      {"fashion-mnist:test[:10]~5:18446744073709551615", NTK_DATA_FASHION_MNIST, true, NULL, NULL, 5, UINT64_MAX},
      {"cifar10:/d:train", NTK_DATA_CIFAR10, false, "/d", NULL, 0, 0},
      {"cifar10:/d:test:x~1:train/e[1]:test~20", NTK_DATA_CIFAR10, true, "/d:test:x~1:train/e[1]", NULL, 20, 0},
      {"npy:/x.npy", NTK_DATA_NPY, false, "/x.npy", NULL, 0, 0},
      {"npy:/x.npy:/y.npy~10:3", NTK_DATA_NPY, false, "/x.npy", "/y.npy", 10, 3},
      {"npy:/a:b/x[0:2].npy", NTK_DATA_NPY, false, "/a:b/x[0:2].npy", NULL, 0, 0},
      {"npy:/a.npy[1:2]/x~1.npy:/b:c/y.npy[1:2]", NTK_DATA_NPY, false, "/a.npy[1:2]/x~1.npy", "/b:c/y.npy", 0, 0},
      {"npy:/a.npy:b.npy:/y.npy", NTK_DATA_NPY, false, "/a.npy:b.npy", "/y.npy", 0, 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    ntk_data_spec spec;
    cr_assert_eq(ntk_data_spec_parse(cases[i].text, &spec), NTK_OK, "%s", ntk_last_error());
    cr_expect(spec.kind == cases[i].kind && spec.test == cases[i].test, "%s", cases[i].text);
    cr_expect(cases[i].path ? spec.path && !strcmp(spec.path, cases[i].path) : !spec.path, "%s: %s", cases[i].text,
              spec.path);
    cr_expect(cases[i].labels ? spec.labels && !strcmp(spec.labels, cases[i].labels) : !spec.labels, "%s: %s",
              cases[i].text, spec.labels);
    cr_expect(spec.subset == cases[i].subset && spec.seed == cases[i].seed, "%s", cases[i].text);
    char *text;
    cr_assert_eq(ntk_data_spec_format(&spec, &text), NTK_OK);
    cr_expect_str_eq(text, cases[i].text);
    free(text);
    ntk_data_spec_clear(&spec);
  }
}

Test(data_text, the_written_text_is_canonical) {
  static const struct {
    const char *text, *want;
  } cases[] = {
      {"fashion-mnist:train[:]", "fashion-mnist:train"},
      {"fashion-mnist:train[::]", "fashion-mnist:train"},
      {"fashion-mnist:train[::1]~7:0", "fashion-mnist:train~7"},
      {"fashion-mnist:train[0010:-5:2]", "fashion-mnist:train[10:-5:2]"},
      {"fashion-mnist:train[-3:]", "fashion-mnist:train[-3:]"},
      {"fashion-mnist:train[::3]", "fashion-mnist:train[::3]"},
      {"npy:/a//b/./c/../x.npy", "npy:/a/b/c/../x.npy"},
      {"cifar10:/a/.:train", "cifar10:/a:train"},
      {"cifar10:/.:train", "cifar10:/:train"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    ntk_data_spec spec;
    char *text;
    cr_assert_eq(ntk_data_spec_parse(cases[i].text, &spec), NTK_OK, "%s", ntk_last_error());
    cr_assert_eq(ntk_data_spec_absolute(&spec), NTK_OK, "%s", ntk_last_error());
    cr_assert_eq(ntk_data_spec_format(&spec, &text), NTK_OK);
    cr_expect_str_eq(text, cases[i].want);
    free(text);
    ntk_data_spec_clear(&spec);
  }
}

Test(data_text, relative_paths_become_absolute) {
  cr_assert_eq(chdir("/usr"), 0);
  ntk_data_spec spec;
  char *text;
  cr_assert_eq(ntk_data_spec_parse("npy:./x.npy:lib/y.npy[1:]", &spec), NTK_OK);
  cr_assert_eq(ntk_data_spec_absolute(&spec), NTK_OK);
  cr_assert_eq(ntk_data_spec_format(&spec, &text), NTK_OK);
  cr_expect_str_eq(text, "npy:/usr/x.npy:/usr/lib/y.npy[1:]");
  free(text);
  ntk_data_spec_clear(&spec);
}

Test(data_text, a_working_directory_that_cannot_be_named_is_refused) {
  char *folder = ntk_test_folder();
  const char *odd = ntk_test_text("%s/a.npy:b", folder);
  ntk_data_spec spec;
  cr_assert_eq(mkdir(odd, 0700), 0);
  cr_assert_eq(chdir(odd), 0);
  cr_assert_eq(ntk_data_spec_parse("npy:x.npy", &spec), NTK_OK);
  ntk_test_expect_failure(ntk_data_spec_absolute(&spec), NTK_ERROR_ARGUMENT, "symbolic link");
  ntk_data_spec_clear(&spec);
  cr_assert_eq(chdir("/"), 0);
  ntk_test_remove_folder(folder);
}

Test(data_text, bad_texts_are_refused_with_the_column) {
  static const struct {
    const char *text, *word;
  } cases[] = {
      {"", "unknown source"},
      {"mnist:train", "unknown source"},
      {"fashion-mnist", "unknown source"},
      {"fashion-mnist:", "column 15: expected train or test"},
      {"fashion-mnist:valid", "train or test"},
      {"fashion-mnist:training", "train or test"},
      {"fashion-mnist:train ", "column 20"},
      {"fashion-mnist:train[1]", "two ends"},
      {"fashion-mnist:train[a:]", "column 21: expected a whole number"},
      {"fashion-mnist:train[1:b]", "whole number"},
      {"fashion-mnist:train[1;2]", "expected ':'"},
      {"fashion-mnist:train[1:2", "expected ']'"},
      {"fashion-mnist:train[1:2:0]", "column 25: the step"},
      {"fashion-mnist:train[1:2:-1]", "step"},
      {"fashion-mnist:train[1:2:3:4]", "expected ']'"},
      {"fashion-mnist:train[1:99999999999999999999]", "too large"},
      {"fashion-mnist:train[1:2][3:4]", "column 25"},
      {"fashion-mnist:train~", "whole number"},
      {"fashion-mnist:train~0", "at least 1"},
      {"fashion-mnist:train~-5", "at least 1"},
      {"fashion-mnist:train~5:", "seed"},
      {"fashion-mnist:train~5:-1", "seed"},
      {"fashion-mnist:train~5:99999999999999999999", "seed is too large"},
      {"fashion-mnist:train~5:1[1:2]", "the end"},
      {"cifar10:", "cifar10:DIR:train"},
      {"cifar10:train", "cifar10:DIR:train"},
      {"cifar10::train", "cifar10:DIR:train"},
      {"cifar10:/x:valid", "cifar10:DIR:train"},
      {"npy:", "must end in .npy"},
      {"npy:x.npz", "must end in .npy"},
      {"npy:x.npy:y.txt", "must end in .npy"},
      {"npy:x.npy:y", "must end in .npy"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    ntk_data_spec spec;
    ntk_test_expect_failure(ntk_data_spec_parse(cases[i].text, &spec), NTK_ERROR_ARGUMENT, cases[i].word);
    ntk_data_spec_clear(&spec);
  }
  char *many = malloc(NTK_DATA_TEXT_MAX + 100);
  memset(many, 'x', NTK_DATA_TEXT_MAX + 99);
  many[NTK_DATA_TEXT_MAX + 99] = '\0';
  memcpy(many, "npy:", 4);
  ntk_data_spec spec;
  ntk_test_expect_failure(ntk_data_spec_parse(many, &spec), NTK_ERROR_ARGUMENT, "longer than");
  free(many);
}

Test(slices, agree_with_python) {
  /* range(total)[slice] of Python 3: first, number of records, last. */
  static const struct {
    const char *slice;
    int64_t total, first, count, last;
  } cases[] = {
      {"[:]", 10, 0, 10, 9},
      {"[2:5]", 10, 2, 3, 4},
      {"[:3]", 10, 0, 3, 2},
      {"[7:]", 10, 7, 3, 9},
      {"[-3:]", 10, 7, 3, 9},
      {"[:-3]", 10, 0, 7, 6},
      {"[-5:-2]", 10, 5, 3, 7},
      {"[-99:4]", 10, 0, 4, 3},
      {"[4:99]", 10, 4, 6, 9},
      {"[::3]", 10, 0, 4, 9},
      {"[1::3]", 10, 1, 3, 7},
      {"[1:8:3]", 10, 1, 3, 7},
      {"[1:7:3]", 10, 1, 2, 4},
      {"[::100]", 10, 0, 1, 0},
      {"[5:5]", 10, 5, 0, 0},
      {"[6:5]", 10, 6, 0, 0},
      {"[10:]", 10, 10, 0, 0},
      {"[-1:]", 1, 0, 1, 0},
      {"[:-1]", 1, 0, 0, 0},
      {"[99:]", 10, 10, 0, 0},
      {"[:-99]", 10, 0, 0, 0},
      {"[::9223372036854775807]", 10, 0, 1, 0},
      {"[-9223372036854775808:9223372036854775807]", 10, 0, 10, 9},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    ntk_data_spec spec;
    int64_t first, step, count;
    cr_assert_eq(ntk_data_spec_parse(ntk_test_text("fashion-mnist:train%s", cases[i].slice), &spec), NTK_OK);
    ntk_slice_resolve(&spec, cases[i].total, &first, &step, &count);
    cr_expect_eq(count, cases[i].count, "%s: %lld records", cases[i].slice, (long long)count);
    if (count > 0) {
      cr_expect_eq(first, cases[i].first, "%s", cases[i].slice);
      cr_expect_eq(first + (count - 1) * step, cases[i].last, "%s", cases[i].slice);
    }
    ntk_data_spec_clear(&spec);
  }
}

enum { LABELLED = 100 };

static void set_labels(int32_t *labels) {
  for (int i = 0; i < LABELLED; i++) labels[i] = (i * i + i / 7) % 5;
}

static void expect_subset(int64_t wanted, uint64_t seed, const int64_t *want) {
  int32_t labels[LABELLED];
  int64_t chosen[LABELLED];
  set_labels(labels);
  cr_assert_eq(ntk_subset_choose(labels, LABELLED, 5, wanted, seed, chosen), NTK_OK, "%s", ntk_last_error());
  for (int64_t i = 0; i < wanted; i++)
    cr_expect_eq(chosen[i], want[i], "~%lld, number %lld", (long long)wanted, (long long)i);
}

Test(subsets, are_the_same_for_ever) {
  /* Computed by an independent program from the description in docs/data.md. These lists must never change. */
  static const int64_t seed0[] = {0, 21, 25, 28, 31, 39, 41, 44, 65, 79, 82, 84, 91};
  static const int64_t seed7[] = {5, 6, 19, 26, 39, 42, 46, 51, 66, 71, 90, 94, 98};
  static const int64_t largest_seed[] = {15};
  static const int64_t twenty[] = {0, 13, 18, 21, 25, 27, 28, 31, 32, 39, 41, 44, 58, 61, 65, 79, 82, 84, 88, 91};
  expect_subset(13, 0, seed0);
  expect_subset(13, 7, seed7);
  expect_subset(1, UINT64_MAX, largest_seed);
  expect_subset(20, 0, twenty);
}

Test(subsets, are_balanced_ordered_and_nested) {
  int32_t labels[LABELLED];
  int64_t chosen[LABELLED];
  bool before[LABELLED] = {false};
  set_labels(labels);
  for (int64_t wanted = 1; wanted <= 85; wanted++) { /* the rarest class has 17 records */
    int64_t per_class[5] = {0};
    bool now[LABELLED] = {false};
    cr_assert_eq(ntk_subset_choose(labels, LABELLED, 5, wanted, 3, chosen), NTK_OK, "%s", ntk_last_error());
    for (int64_t i = 0; i < wanted; i++) {
      cr_assert(chosen[i] >= 0 && chosen[i] < LABELLED);
      cr_expect(i == 0 || chosen[i] > chosen[i - 1], "in order, no record twice");
      per_class[labels[chosen[i]]]++;
      now[chosen[i]] = true;
    }
    for (int c = 0; c < 5; c++)
      cr_expect(per_class[c] == wanted / 5 || per_class[c] == (wanted + 4) / 5, "~%lld takes %lld of class %d",
                (long long)wanted, (long long)per_class[c], c);
    for (int i = 0; i < LABELLED; i++) cr_expect(now[i] || !before[i], "~%lld lost record %d", (long long)wanted, i);
    memcpy(before, now, sizeof now);
  }
}

Test(subsets, every_record_can_be_chosen) {
  int32_t labels[LABELLED];
  int64_t chosen[LABELLED];
  int hits[LABELLED] = {0};
  set_labels(labels);
  for (uint64_t seed = 0; seed < 400; seed++) {
    cr_assert_eq(ntk_subset_choose(labels, LABELLED, 5, 25, seed, chosen), NTK_OK);
    for (int i = 0; i < 25; i++) hits[chosen[i]]++;
  }
  for (int i = 0; i < LABELLED; i++) /* 400 * 5 / (17..25) = 80..118 on average, deviation below 10 */
    cr_expect(hits[i] > 40 && hits[i] < 160, "record %d was chosen %d times in 400", i, hits[i]);
}

Test(subsets, too_few_records_are_refused) {
  int32_t labels[LABELLED], sparse[3] = {0, 2147483645, 1};
  int64_t chosen[LABELLED];
  set_labels(labels);
  ntk_test_expect_failure(ntk_subset_choose(labels, LABELLED, 5, 90, 0, chosen), NTK_ERROR_DATA, "of class 4");
  ntk_test_expect_failure(ntk_subset_choose(labels, LABELLED, 5, 101, 0, chosen), NTK_ERROR_DATA, "larger than");
  ntk_test_expect_failure(ntk_subset_choose(labels, LABELLED, 6, 12, 0, chosen), NTK_ERROR_DATA, "class 5");
  ntk_test_expect_failure(ntk_subset_choose(sparse, 3, 2147483646, 2, 0, chosen), NTK_ERROR_DATA, "classes");
}
