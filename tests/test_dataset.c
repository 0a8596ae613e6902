/* Data sets over arrays and memory: selection, errors and hashes. */
#include <criterion/criterion.h>
#include <math.h>
#include <ntk/dataset.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support_data.h"

static char *folder;

static void setup(void) { folder = ntk_test_folder(); }

static void teardown(void) { ntk_test_remove_folder(folder); }

TestSuite(dataset, .init = setup, .fini = teardown);

static const char *in_folder(const char *name) { return ntk_test_text("%s/%s", folder, name); }

static void write_array(const char *name, ntk_dtype dtype, int rank, const int64_t *shape, const void *values) {
  cr_assert_eq(ntk_npy_write(in_folder(name), dtype, rank, shape, values), NTK_OK, "%s", ntk_last_error());
}

static void expect_refused(const char *text, ntk_status status, const char *word) {
  ntk_dataset *dataset = NULL;
  ntk_test_expect_failure(ntk_dataset_open(text, &dataset), status, word);
  cr_expect_null(dataset, "%s", text);
}

/* ---- arrays ---- */

static const int64_t images[4] = {6, 2, 3, 2}, vectors[2] = {6, 12}, six[1] = {6};

static void fill(float *values) {
  for (int i = 0; i < 72; i++) values[i] = (float)(i * i % 101) - 50.25f;
}

Test(dataset, arrays_of_every_type_are_read) {
  float f32[72];
  double f64[72], read[72];
  uint8_t u8[72];
  fill(f32);
  for (int i = 0; i < 72; i++) {
    u8[i] = (uint8_t)(3 * i);
    f64[i] = f32[i] / 3;
  }
  write_array("f.npy", NTK_DTYPE_F32, 4, images, f32);
  write_array("d.npy", NTK_DTYPE_F64, 2, vectors, f64);
  write_array("b.npy", NTK_DTYPE_U8, 4, images, u8);
  ntk_dataset *f = ntk_test_open(ntk_test_text("npy:%s", in_folder("f.npy")));
  ntk_dataset *d = ntk_test_open(ntk_test_text("npy:%s", in_folder("d.npy")));
  ntk_dataset *b = ntk_test_open(ntk_test_text("npy:%s", in_folder("b.npy")));
  ntk_shape shape = ntk_dataset_shape(f), flat = ntk_dataset_shape(d);
  cr_expect(shape.channels == 2 && shape.height == 3 && shape.width == 2);
  cr_expect(flat.channels == 12 && flat.height == 0 && flat.width == 0);
  cr_expect_eq(ntk_dataset_count(f), 6);
  cr_expect_null(ntk_dataset_labels(f));
  cr_expect_eq(ntk_dataset_classes(f), 0);
  cr_assert_eq(ntk_dataset_read(f, 0, 6, read), NTK_OK);
  for (int i = 0; i < 72; i++) cr_expect_eq(read[i], (double)f32[i]);
  cr_assert_eq(ntk_dataset_read(d, 0, 6, read), NTK_OK);
  for (int i = 0; i < 72; i++) cr_expect_eq(read[i], f64[i]);
  cr_assert_eq(ntk_dataset_read(b, 0, 6, read), NTK_OK);
  for (int i = 0; i < 72; i++) cr_expect_eq(read[i], (double)u8[i]);
  ntk_dataset_free(f);
  ntk_dataset_free(d);
  ntk_dataset_free(b);
}

Test(dataset, slices_select_records_and_labels) {
  float values[72];
  double read[24];
  const int64_t labels[6] = {0, 3, 1, 2, 7, 1};
  fill(values);
  write_array("x.npy", NTK_DTYPE_F32, 4, images, values);
  write_array("y.npy", NTK_DTYPE_I64, 1, six, labels);
  const char *spec = ntk_test_text("npy:%s:%s[-5::3]", in_folder("x.npy"), in_folder("y.npy")); /* 1 and 4 */
  ntk_dataset *dataset = ntk_test_open(spec);
  cr_assert_eq(ntk_dataset_count(dataset), 2);
  cr_expect_eq(ntk_dataset_labels(dataset)[0], 3);
  cr_expect_eq(ntk_dataset_labels(dataset)[1], 7);
  cr_expect_eq(ntk_dataset_classes(dataset), 8, "classes count the whole file");
  cr_expect_str_eq(ntk_dataset_spec(dataset), spec);
  cr_assert_eq(ntk_dataset_read(dataset, 0, 2, read), NTK_OK);
  for (int i = 0; i < 12; i++) cr_expect(read[i] == (double)values[12 + i] && read[12 + i] == (double)values[48 + i]);
  cr_assert_eq(ntk_dataset_read(dataset, 1, 1, read), NTK_OK);
  for (int i = 0; i < 12; i++) cr_expect_eq(read[i], (double)values[48 + i]);
  ntk_dataset_free(dataset);
}

Test(dataset, reads_outside_the_data_set_are_refused) {
  float values[72];
  double read[72];
  fill(values);
  write_array("x.npy", NTK_DTYPE_F32, 4, images, values);
  ntk_dataset *dataset = ntk_test_open(ntk_test_text("npy:%s[:4]", in_folder("x.npy")));
  ntk_test_expect_failure(ntk_dataset_read(dataset, 3, 2, read), NTK_ERROR_ARGUMENT, "outside");
  ntk_test_expect_failure(ntk_dataset_read(dataset, -1, 1, read), NTK_ERROR_ARGUMENT, "outside");
  ntk_test_expect_failure(ntk_dataset_read(dataset, 0, -1, read), NTK_ERROR_ARGUMENT, "outside");
  ntk_test_expect_failure(ntk_dataset_read(dataset, 1, INT64_MAX, read), NTK_ERROR_ARGUMENT, "outside");
  ntk_test_expect_failure(ntk_dataset_read(dataset, 0, 1, NULL), NTK_ERROR_ARGUMENT, "room");
  cr_expect_eq(ntk_dataset_read(dataset, 4, 0, NULL), NTK_OK);
  cr_assert_eq(truncate(in_folder("x.npy"), 150), 0);
  ntk_test_expect_failure(ntk_dataset_read(dataset, 0, 4, read), NTK_ERROR_IO, "earlier than when it was opened");
  ntk_dataset_free(dataset);
}

Test(dataset, one_image_of_one_pixel_is_a_data_set) {
  const int64_t shape[4] = {1, 1, 1, 1};
  const uint8_t pixel = 9;
  double read;
  write_array("x.npy", NTK_DTYPE_U8, 4, shape, &pixel);
  ntk_dataset *dataset = ntk_test_open(ntk_test_text("npy:%s", in_folder("x.npy")));
  cr_expect_eq(ntk_dataset_count(dataset), 1);
  cr_assert_eq(ntk_dataset_read(dataset, 0, 1, &read), NTK_OK);
  cr_expect_eq(read, 9.0);
  ntk_dataset_free(dataset);
}

Test(dataset, records_larger_than_a_chunk_are_read) {
  const int64_t shape[4] = {2, 1, 512, 512};
  float *values = malloc(2 * 262144 * sizeof *values);
  double *read = malloc(262144 * sizeof *read);
  for (int i = 0; i < 2 * 262144; i++) values[i] = (float)i;
  write_array("x.npy", NTK_DTYPE_F32, 4, shape, values);
  ntk_dataset *dataset = ntk_test_open(ntk_test_text("npy:%s", in_folder("x.npy")));
  cr_assert_eq(ntk_dataset_read(dataset, 1, 1, read), NTK_OK);
  for (int i = 0; i < 262144; i += 997) cr_expect_eq(read[i], (double)values[262144 + i]);
  ntk_dataset_free(dataset);
  free(values);
  free(read);
}

Test(dataset, values_that_are_not_finite_are_refused_with_their_place) {
  float values[72];
  double doubles[72] = {0};
  fill(values);
  values[4 * 12 + 1 * 6 + 2 * 2 + 1] = NAN;
  doubles[5 * 12 + 7] = -INFINITY;
  write_array("x.npy", NTK_DTYPE_F32, 4, images, values);
  write_array("d.npy", NTK_DTYPE_F64, 2, vectors, doubles);
  const char *nan = in_folder("x.npy"), *infinite = in_folder("d.npy");
  expect_refused(ntk_test_text("npy:%s", nan), NTK_ERROR_DATA, "record 4 ");
  expect_refused(ntk_test_text("npy:%s[1::3]", nan), NTK_ERROR_DATA, "record 4 ");
  expect_refused(ntk_test_text("npy:%s", nan), NTK_ERROR_DATA, "channel 1, row 2, column 1");
  expect_refused(ntk_test_text("npy:%s", infinite), NTK_ERROR_DATA, "record 5 ");
  expect_refused(ntk_test_text("npy:%s", infinite), NTK_ERROR_DATA, "feature 7");
  ntk_dataset_free(ntk_test_open(ntk_test_text("npy:%s[:4]", nan))); /* records that are not taken do not matter */
}

Test(dataset, arrays_that_are_no_inputs_are_refused) {
  static float values[72];
  static int64_t integers[72];
  const int64_t cube[3] = {6, 4, 3}, none[2] = {0, 12}, no_pixels[4] = {6, 2, 0, 2}, no_values[2] = {6, 0};
  const int64_t wide[4] = {1, 1, 1, 4097};
  static uint8_t pixels[4097];
  write_array("a.npy", NTK_DTYPE_F32, 3, cube, values);
  expect_refused(ntk_test_text("npy:%s", in_folder("a.npy")), NTK_ERROR_DATA, "3 axes");
  write_array("a.npy", NTK_DTYPE_F32, 1, six, values);
  expect_refused(ntk_test_text("npy:%s", in_folder("a.npy")), NTK_ERROR_DATA, "1 axes");
  write_array("a.npy", NTK_DTYPE_F32, 2, none, values);
  expect_refused(ntk_test_text("npy:%s", in_folder("a.npy")), NTK_ERROR_DATA, "no records");
  write_array("a.npy", NTK_DTYPE_F32, 4, no_pixels, values);
  expect_refused(ntk_test_text("npy:%s", in_folder("a.npy")), NTK_ERROR_DATA, "without pixels");
  write_array("a.npy", NTK_DTYPE_F32, 2, no_values, values);
  expect_refused(ntk_test_text("npy:%s", in_folder("a.npy")), NTK_ERROR_DATA, "at least 1");
  write_array("a.npy", NTK_DTYPE_U8, 4, wide, pixels);
  expect_refused(ntk_test_text("npy:%s", in_folder("a.npy")), NTK_ERROR_DATA, "4097");
  write_array("a.npy", NTK_DTYPE_I64, 2, vectors, integers);
  expect_refused(ntk_test_text("npy:%s", in_folder("a.npy")), NTK_ERROR_DATA, "astype");
  cr_assert_eq(truncate(in_folder("a.npy"), 200), 0);
  expect_refused(ntk_test_text("npy:%s", in_folder("a.npy")), NTK_ERROR_DATA, "truncated");
  expect_refused(ntk_test_text("npy:%s", in_folder("b.npy")), NTK_ERROR_IO, "No such file");
  expect_refused("npy:x.txt", NTK_ERROR_ARGUMENT, ".npy");
}

Test(dataset, labels_must_match) {
  float values[72];
  const int32_t good[6] = {0, 1, 2, 2, 1, 0}, negative[6] = {0, 1, -1, 2, 1, 0},
                largest[6] = {0, 1, 2147483647, 2, 1, 0};
  const double half[6] = {0, 1, 0.5, 1, 1, 0}, whole[6] = {0, 1, 4, 1, 1, 0};
  const int64_t five[1] = {5}, column[2] = {6, 1}, row[2] = {1, 6};
  fill(values);
  write_array("x.npy", NTK_DTYPE_F32, 4, images, values);
  const char *spec = ntk_test_text("npy:%s:%s", in_folder("x.npy"), in_folder("y.npy"));
  expect_refused(spec, NTK_ERROR_IO, "y.npy");
  write_array("y.npy", NTK_DTYPE_I32, 1, five, good);
  expect_refused(spec, NTK_ERROR_DATA, "5 labels");
  write_array("y.npy", NTK_DTYPE_I32, 2, row, good);
  expect_refused(spec, NTK_ERROR_DATA, "2 axes");
  write_array("y.npy", NTK_DTYPE_I32, 1, six, negative);
  expect_refused(spec, NTK_ERROR_DATA, "label number 2");
  write_array("y.npy", NTK_DTYPE_I32, 1, six, largest);
  expect_refused(spec, NTK_ERROR_DATA, "label number 2");
  write_array("y.npy", NTK_DTYPE_F64, 1, six, half);
  expect_refused(spec, NTK_ERROR_DATA, "not a whole number");
  write_array("y.npy", NTK_DTYPE_F64, 1, six, whole);
  ntk_dataset *dataset = ntk_test_open(spec);
  cr_expect_eq(ntk_dataset_labels(dataset)[2], 4);
  cr_expect_eq(ntk_dataset_classes(dataset), 5);
  ntk_dataset_free(dataset);
  write_array("y.npy", NTK_DTYPE_I32, 2, column, good);
  ntk_dataset_free(ntk_test_open(spec));
}

Test(dataset, subsets_need_labels_and_records) {
  float values[72];
  const int32_t labels[6] = {0, 1, 1, 0, 1, 1};
  fill(values);
  write_array("x.npy", NTK_DTYPE_F32, 4, images, values);
  write_array("y.npy", NTK_DTYPE_I32, 1, six, labels);
  const char *bare = ntk_test_text("npy:%s", in_folder("x.npy"));
  const char *both = ntk_test_text("%s:%s", bare, in_folder("y.npy"));
  expect_refused(ntk_test_text("%s~2", bare), NTK_ERROR_DATA, "no labels");
  expect_refused(ntk_test_text("%s~7", both), NTK_ERROR_DATA, "larger than the 6");
  expect_refused(ntk_test_text("%s~9223372036854775807", both), NTK_ERROR_DATA, "larger than the 6");
  expect_refused(ntk_test_text("%s~6", both), NTK_ERROR_DATA, "class 0");
  expect_refused(ntk_test_text("%s[1:3]~2", both), NTK_ERROR_DATA, "class 0");
  expect_refused(ntk_test_text("%s[6:]", both), NTK_ERROR_DATA, "no records");
  ntk_dataset *dataset = ntk_test_open(ntk_test_text("%s[1:]~2:5", both)); /* record 3 and one of 1, 2, 4, 5 */
  cr_assert_eq(ntk_dataset_count(dataset), 2);
  const int32_t *kept = ntk_dataset_labels(dataset);
  cr_expect_eq(kept[0] + kept[1], 1);
  double read[24];
  cr_assert_eq(ntk_dataset_read(dataset, 0, 2, read), NTK_OK);
  int zero = kept[0] == 0 ? 0 : 1;
  for (int i = 0; i < 12; i++) cr_expect_eq(read[zero * 12 + i], (double)values[36 + i]);
  ntk_dataset_free(dataset);
}

/* ---- memory, hashes, threads ---- */

Test(dataset, memory_is_referenced_not_copied) {
  double values[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, read[12];
  const int32_t labels[3] = {0, 4, 1}, negative[3] = {0, -4, 1};
  const ntk_shape shape = {1, 2, 2}, vector = {4, 0, 0}, odd = {1, 2, 0}, empty = {0, 0, 0};
  ntk_dataset *dataset;
  cr_assert_eq(ntk_dataset_from_memory(values, labels, 3, shape, &dataset), NTK_OK, "%s", ntk_last_error());
  cr_expect_eq(ntk_dataset_labels(dataset), labels);
  cr_expect_eq(ntk_dataset_classes(dataset), 5);
  cr_expect_str_eq(ntk_dataset_spec(dataset), "");
  values[5] = 60;
  cr_assert_eq(ntk_dataset_read(dataset, 1, 2, read), NTK_OK);
  cr_expect_arr_eq(read, values + 4, 8 * sizeof(double));
  ntk_dataset_free(dataset);
  cr_assert_eq(ntk_dataset_from_memory(values, NULL, 3, vector, &dataset), NTK_OK);
  cr_expect_null(ntk_dataset_labels(dataset));
  ntk_dataset_free(dataset);
  ntk_dataset_free(NULL);
  ntk_test_expect_failure(ntk_dataset_from_memory(values, NULL, 0, shape, &dataset), NTK_ERROR_ARGUMENT, "0 records");
  ntk_test_expect_failure(ntk_dataset_from_memory(values, NULL, INT64_MAX, shape, &dataset), NTK_ERROR_ARGUMENT,
                          "impossible");
  ntk_test_expect_failure(ntk_dataset_from_memory(values, NULL, 3, odd, &dataset), NTK_ERROR_ARGUMENT, "at least 1");
  ntk_test_expect_failure(ntk_dataset_from_memory(values, NULL, 3, empty, &dataset), NTK_ERROR_ARGUMENT, "at least 1");
  ntk_test_expect_failure(ntk_dataset_from_memory(values, negative, 3, shape, &dataset), NTK_ERROR_ARGUMENT, "-4");
  ntk_test_expect_failure(ntk_dataset_from_memory(NULL, NULL, 3, shape, &dataset), NTK_ERROR_ARGUMENT, "values");
  values[11] = NAN;
  ntk_test_expect_failure(ntk_dataset_from_memory(values, NULL, 3, shape, &dataset), NTK_ERROR_DATA,
                          "record 2 (from 0) of the data in memory");
}

static void hash_of(const char *text, char hash[33]) {
  ntk_dataset *dataset = ntk_test_open(text);
  memcpy(hash, ntk_dataset_hash(dataset), 33);
  cr_expect_eq(strspn(hash, "0123456789abcdef"), 32);
  ntk_dataset_free(dataset);
}

Test(dataset, the_hash_depends_on_the_records_alone) {
  float values[72];
  double doubles[72];
  const int32_t labels[6] = {0, 1, 1, 0, 1, 1};
  char first[33], again[33], slice[33], pixel[33], order[33], flat[33], wide[33], memory[33];
  fill(values);
  for (int i = 0; i < 72; i++) doubles[i] = values[i];
  write_array("x.npy", NTK_DTYPE_F32, 4, images, values);
  write_array("again.npy", NTK_DTYPE_F32, 4, images, values);
  write_array("flat.npy", NTK_DTYPE_F32, 2, vectors, values);
  write_array("wide.npy", NTK_DTYPE_F64, 4, images, doubles);
  write_array("y.npy", NTK_DTYPE_I32, 1, six, labels);
  hash_of(ntk_test_text("npy:%s", in_folder("x.npy")), first);
  hash_of(ntk_test_text("npy:%s:%s[:]", in_folder("again.npy"), in_folder("y.npy")), again);
  cr_expect_str_eq(first, again, "neither the name nor the labels matter");
  cr_expect_str_eq(first, "202d4339f6fd0c3203e1345d0325f30b",
                   "%s: stored results rely on the hash: it must never change", first);
  hash_of(ntk_test_text("npy:%s[1:]", in_folder("x.npy")), slice);
  hash_of(ntk_test_text("npy:%s", in_folder("flat.npy")), flat);
  hash_of(ntk_test_text("npy:%s", in_folder("wide.npy")), wide);
  ntk_dataset *dataset;
  cr_assert_eq(ntk_dataset_from_memory(doubles, NULL, 6, (ntk_shape){2, 3, 2}, &dataset), NTK_OK);
  memcpy(memory, ntk_dataset_hash(dataset), 33);
  ntk_dataset_free(dataset);
  cr_expect_str_eq(wide, memory, "the same values in a file and in memory are the same data");
  values[71] += 1;
  write_array("x.npy", NTK_DTYPE_F32, 4, images, values);
  hash_of(ntk_test_text("npy:%s", in_folder("x.npy")), pixel);
  values[71] -= 1;
  float swapped[12];
  memcpy(swapped, values, sizeof swapped);
  memmove(values, values + 12, sizeof swapped);
  memcpy(values + 12, swapped, sizeof swapped);
  write_array("x.npy", NTK_DTYPE_F32, 4, images, values);
  hash_of(ntk_test_text("npy:%s", in_folder("x.npy")), order);
  const char *all[] = {first, slice, flat, wide, pixel, order};
  for (int i = 0; i < 6; i++)
    for (int k = 0; k < i; k++) cr_expect_str_neq(all[i], all[k], "hashes %d and %d", i, k);
}
