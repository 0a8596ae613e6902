/* The published data sets: CIFAR-10 and Fashion-MNIST in whole and damaged files, read by one thread and by two. */
#include <criterion/criterion.h>
#include <ntk/dataset.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "tests/support.h"
#include "tests/support_data.h"

#define CIFAR_BYTES 3073

static char *folder;

static void setup(void) { folder = ntk_test_folder(); }

static void teardown(void) { ntk_test_remove_folder(folder); }

TestSuite(data_files, .init = setup, .fini = teardown);

static const char *in_folder(const char *name) { return ntk_test_text("%s/%s", folder, name); }

static void expect_refused(const char *text, ntk_status status, const char *word) {
  ntk_dataset *dataset = NULL;
  ntk_test_expect_failure(ntk_dataset_open(text, &dataset), status, word);
  cr_expect_null(dataset, "%s", text);
}

static void write_cifar(const char *name, int first, int count, int extra) {
  unsigned char *bytes = calloc((size_t)(count + 1), CIFAR_BYTES);
  for (int i = 0; i < count; i++) {
    bytes[i * CIFAR_BYTES] = (unsigned char)((first + i) % 10);
    for (int k = 1; k < CIFAR_BYTES; k++) bytes[i * CIFAR_BYTES + k] = (unsigned char)(31 * (first + i) + k);
  }
  ntk_test_write_file(in_folder(name), bytes, (size_t)(count * CIFAR_BYTES + extra));
  free(bytes);
}

static void expect_cifar(const ntk_dataset *dataset, int64_t index, int original) {
  static double read[3072];
  cr_assert_eq(ntk_dataset_read(dataset, index, 1, read), NTK_OK);
  cr_expect_eq(ntk_dataset_labels(dataset)[index], original % 10);
  for (int k = 1; k < CIFAR_BYTES; k++) cr_assert_eq(read[k - 1], (double)(unsigned char)(31 * original + k));
}

Test(data_files, cifar_batches_of_any_length_follow_one_another) {
  write_cifar("data_batch_2.bin", 0, 3, 0);
  write_cifar("data_batch_4.bin", 3, 300, 0);
  write_cifar("test_batch.bin", 500, 2, 0);
  ntk_dataset *train = ntk_test_open(ntk_test_text("cifar10:%s:train", folder));
  ntk_dataset *test = ntk_test_open(ntk_test_text("cifar10:%s:test[1:]", folder));
  cr_assert_eq(ntk_dataset_count(train), 303);
  cr_assert_eq(ntk_dataset_count(test), 1);
  cr_expect_eq(ntk_dataset_classes(test), 10);
  ntk_shape shape = ntk_dataset_shape(train);
  cr_expect(shape.channels == 3 && shape.height == 32 && shape.width == 32);
  for (int i = 0; i < 303; i += 3) expect_cifar(train, i, i);
  expect_cifar(test, 0, 501);
  double *read = malloc(4 * 3072 * sizeof *read); /* across the border of two files */
  cr_assert_eq(ntk_dataset_read(train, 1, 4, read), NTK_OK);
  for (int i = 0; i < 4; i++) cr_expect_eq(read[i * 3072], (double)(unsigned char)(31 * (i + 1) + 1));
  free(read);
  ntk_dataset_free(train);
  ntk_dataset_free(test);
}

Test(data_files, cifar_is_found_in_its_own_subfolder) {
  cr_assert_eq(mkdir(in_folder("cifar-10-batches-bin"), 0700), 0);
  write_cifar("cifar-10-batches-bin/test_batch.bin", 0, 2, 0);
  ntk_dataset_free(ntk_test_open(ntk_test_text("cifar10:%s:test", folder)));
  expect_refused(ntk_test_text("cifar10:%s:train", folder), NTK_ERROR_IO, "binary version");
}

Test(data_files, damaged_cifar_files_are_refused) {
  write_cifar("test_batch.bin", 0, 2, 3000);
  expect_refused(ntk_test_text("cifar10:%s:test", folder), NTK_ERROR_DATA, "73 bytes are missing");
  write_cifar("test_batch.bin", 0, 0, 0);
  expect_refused(ntk_test_text("cifar10:%s:test", folder), NTK_ERROR_DATA, "empty");
  unsigned char bytes[2 * CIFAR_BYTES] = {0};
  bytes[CIFAR_BYTES] = 10;
  ntk_test_write_file(in_folder("test_batch.bin"), bytes, sizeof bytes);
  expect_refused(ntk_test_text("cifar10:%s:test", folder), NTK_ERROR_DATA, "label of record 1");
}

/* ---- Fashion-MNIST ---- */

static void put_sizes(unsigned char *at, uint32_t size) {
  for (int i = 0; i < 4; i++) at[i] = (unsigned char)(size >> (24 - 8 * i));
}

/* Test images and labels of `count` records, compressed or not; the header promises `promised`. */
static void write_fashion(bool compressed, int count, uint32_t promised, int side, int extra) {
  static unsigned char pixels[16 + 10 * 784 + 16], labels[8 + 10 + 16];
  const unsigned char magic[2][4] = {{0, 0, 8, 3}, {0, 0, 8, 1}};
  memcpy(pixels, magic[0], 4);
  memcpy(labels, magic[1], 4);
  put_sizes(pixels + 4, promised);
  put_sizes(pixels + 8, (uint32_t)side);
  put_sizes(pixels + 12, (uint32_t)side);
  put_sizes(labels + 4, promised);
  for (int i = 0; i < count * side * side; i++) pixels[16 + i] = (unsigned char)(i * 7);
  for (int i = 0; i < count; i++) labels[8 + i] = (unsigned char)(i % 10);
  const char *mode = compressed ? "wb" : "wbT", *end = compressed ? ".gz" : "";
  gzFile file = gzopen(ntk_test_text("%s/t10k-images-idx3-ubyte%s", folder, end), mode);
  gzwrite(file, pixels, (unsigned)(16 + count * side * side + extra));
  gzclose(file);
  file = gzopen(ntk_test_text("%s/t10k-labels-idx1-ubyte%s", folder, end), mode);
  gzwrite(file, labels, (unsigned)(8 + count));
  gzclose(file);
}

Test(data_files, fashion_files_are_read_compressed_or_not) {
  setenv("NTK_FASHION_MNIST_DIR", folder, 1);
  for (int compressed = 0; compressed < 2; compressed++) {
    write_fashion(compressed, 10, 10, 28, 0);
    ntk_dataset *dataset = ntk_test_open("fashion-mnist:test[3:8:2]");
    static double read[3 * 784];
    cr_assert_eq(ntk_dataset_count(dataset), 3);
    cr_assert_eq(ntk_dataset_read(dataset, 0, 3, read), NTK_OK);
    for (int i = 0; i < 784; i++) cr_expect_eq(read[784 + i], (double)(unsigned char)((5 * 784 + i) * 7));
    cr_expect_eq(ntk_dataset_labels(dataset)[2], 7);
    cr_expect_eq(ntk_dataset_classes(dataset), 10);
    cr_expect_str_eq(ntk_dataset_spec(dataset), "fashion-mnist:test[3:8:2]");
    ntk_dataset_free(dataset);
    remove(in_folder("t10k-images-idx3-ubyte"));
    remove(in_folder("t10k-labels-idx1-ubyte"));
  }
}

Test(data_files, damaged_fashion_files_are_refused) {
  setenv("NTK_FASHION_MNIST_DIR", folder, 1);
  expect_refused("fashion-mnist:train", NTK_ERROR_IO, "dataset-fashion-mnist");
  write_fashion(true, 9, 10, 28, 0);
  expect_refused("fashion-mnist:test", NTK_ERROR_DATA, "784 bytes are missing");
  write_fashion(true, 9, 4000000000u, 28, 0);
  expect_refused("fashion-mnist:test", NTK_ERROR_DATA, "truncated");
  write_fashion(true, 9, 9, 28, 1);
  expect_refused("fashion-mnist:test", NTK_ERROR_DATA, "goes on");
  write_fashion(true, 10, 10, 27, 0);
  expect_refused("fashion-mnist:test", NTK_ERROR_DATA, "28 x 28");
  write_fashion(true, 10, 10, 28, 0);
  ntk_dataset_free(ntk_test_open("fashion-mnist:test"));

  size_t size;
  const char *path = in_folder("t10k-images-idx3-ubyte.gz");
  unsigned char *bytes = ntk_test_read_file(path, &size);
  bytes[size - 6] ^= 1; /* the checksum */
  ntk_test_write_file(path, bytes, size);
  expect_refused("fashion-mnist:test", NTK_ERROR_DATA, "damaged");
  bytes[size - 6] ^= 1;
  ntk_test_write_file(path, bytes, size / 2);
  expect_refused("fashion-mnist:test", NTK_ERROR_DATA, "missing");
  ntk_test_write_file(path, "these are no images", 19);
  expect_refused("fashion-mnist:test", NTK_ERROR_DATA, "not an IDX file");
  ntk_test_write_file(path, "", 0);
  expect_refused("fashion-mnist:test", NTK_ERROR_DATA, "truncated");
  free(bytes);

  write_fashion(true, 10, 10, 28, 0);
  unsigned char labels[18] = {0, 0, 8, 1, 0, 0, 0, 9};
  ntk_test_write_file(in_folder("t10k-labels-idx1-ubyte.gz"), labels, 17);
  expect_refused("fashion-mnist:test", NTK_ERROR_DATA, "9 labels for 10 images");
  labels[7] = 10;
  labels[10] = 10;
  ntk_test_write_file(in_folder("t10k-labels-idx1-ubyte.gz"), labels, 18);
  expect_refused("fashion-mnist:test", NTK_ERROR_DATA, "label number 2");
}

Test(data_files, the_installed_fashion_mnist_is_read) {
  unsetenv("NTK_FASHION_MNIST_DIR");
  if (access("/usr/share/datasets/fashion-mnist", F_OK) != 0) cr_skip_test("Debian's dataset-fashion-mnist is missing");
  ntk_dataset *train = ntk_test_open("fashion-mnist:train"), *test = ntk_test_open("fashion-mnist:test~100");
  cr_expect_eq(ntk_dataset_count(train), 60000);
  cr_expect_eq(ntk_dataset_count(test), 100);
  int64_t per_class[10] = {0};
  for (int i = 0; i < 100; i++) per_class[ntk_dataset_labels(test)[i]]++;
  for (int c = 0; c < 10; c++) cr_expect_eq(per_class[c], 10);
  cr_expect_eq(ntk_dataset_labels(train)[0], 9, "the first training image is an ankle boot");
  ntk_dataset *subset = ntk_test_open("fashion-mnist:train~12");
  static const int64_t chosen[12] = {2822,  7859,  10730, 14504, 18918, 38820, /* as in are_the_same_for_ever */
                                     42016, 43766, 44549, 51729, 55830, 56005};
  for (int i = 0; i < 12; i++) {
    double a[784], b[784];
    cr_assert_eq(ntk_dataset_read(subset, i, 1, a), NTK_OK);
    cr_assert_eq(ntk_dataset_read(train, chosen[i], 1, b), NTK_OK);
    cr_expect_arr_eq(a, b, sizeof a);
  }
  ntk_dataset_free(train);
  ntk_dataset_free(test);
  ntk_dataset_free(subset);
}

typedef struct reader {
  const ntk_dataset *dataset;
  int64_t first, step;
  double sum;
  ntk_status status;
} reader;

static void *read_alone(void *argument) {
  reader *r = argument;
  double values[2 * 3072];
  int64_t count = ntk_dataset_count(r->dataset);
  for (int64_t i = r->first; i + 1 < count && r->status == NTK_OK; i += r->step) {
    r->status = ntk_dataset_read(r->dataset, i, 2, values);
    for (int k = 0; k < 2 * 3072; k++) r->sum += values[k];
  }
  return NULL;
}

Test(data_files, two_threads_read_what_one_reads) {
  write_cifar("data_batch_1.bin", 0, 120, 0);
  write_cifar("data_batch_5.bin", 120, 81, 0);
  ntk_dataset *dataset = ntk_test_open(ntk_test_text("cifar10:%s:train~150:1", folder));
  reader alone[2] = {{dataset, 0, 2, 0, NTK_OK}, {dataset, 1, 2, 0, NTK_OK}}, together[2];
  memcpy(together, alone, sizeof alone);
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) read_alone(&alone[i]);
  for (int i = 0; i < 2; i++) cr_assert_eq(pthread_create(&threads[i], NULL, read_alone, &together[i]), 0);
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  for (int i = 0; i < 2; i++) {
    cr_expect_eq(together[i].status, NTK_OK);
    cr_expect_eq(together[i].sum, alone[i].sum);
    cr_expect_gt(alone[i].sum, 0);
  }
  ntk_dataset_free(dataset);
}

Test(data_files, real_cifar_images_are_read) {
  const char *shared = ntk_test_shared_dir();
  if (!shared) cr_skip_test("the CIFAR-10 subset is missing (NTK_SHARED_DIR)");
  ntk_dataset *train = ntk_test_open(ntk_test_text("cifar10:%s/data/cifar10-subset:train", shared));
  ntk_dataset *test = ntk_test_open(ntk_test_text("cifar10:%s/data/cifar10-subset:test", shared));
  cr_expect_eq(ntk_dataset_count(train), 5085);
  cr_expect_eq(ntk_dataset_count(test), 1017);
  /* The first training image is a frog whose first pixel is (59, 62, 63); the first test image is a cat. */
  static double read[3072];
  cr_assert_eq(ntk_dataset_read(train, 0, 1, read), NTK_OK);
  cr_expect(read[0] == 59 && read[1024] == 62 && read[2048] == 63);
  cr_expect_eq(ntk_dataset_labels(train)[0], 6);
  cr_expect_eq(ntk_dataset_labels(test)[0], 3);
  ntk_dataset_free(train);
  ntk_dataset_free(test);
}
