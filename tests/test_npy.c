#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <ntk/npy.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "host/data/npy.h"
#include "tests/support_data.h"

static char *folder;

static void setup(void) { folder = ntk_test_folder(); }

static void teardown(void) { ntk_test_remove_folder(folder); }

TestSuite(npy, .init = setup, .fini = teardown);

/* A .npy file with this header dictionary, padded to a multiple of 64, and `bytes` zero bytes of values. */
static const char *write_npy(int major, const char *dictionary, size_t bytes) {
  static char file[1 << 17];
  size_t start = major == 1 ? 10 : 12, length = strlen(dictionary), total = (start + length + 1 + 63) / 64 * 64;
  memset(file, 0, total + bytes);
  memset(file, ' ', total);
  memcpy(file, "\x93NUMPY", 6);
  file[6] = (char)major;
  file[7] = 0;
  for (size_t i = 0; i < start - 8; i++) file[8 + i] = (char)((total - start) >> 8 * i);
  memcpy(file + start, dictionary, length);
  file[total - 1] = '\n';
  const char *path = ntk_test_text("%s/x.npy", folder);
  ntk_test_write_file(path, file, total + bytes);
  return path;
}

static void expect_refused(int major, const char *dictionary, size_t bytes, const char *word) {
  ntk_npy_info info;
  ntk_test_expect_failure(ntk_npy_stat(write_npy(major, dictionary, bytes), &info), NTK_ERROR_DATA, word);
}

Test(npy, headers_are_the_bytes_that_numpy_writes) {
  static const struct {
    ntk_dtype dtype;
    int rank;
    int64_t shape[4];
    const char *want; /* what numpy 2.4 writes, without magic, padding and end of line */
  } cases[] = {
      {NTK_DTYPE_F32, 2, {2, 3}, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"},
      {NTK_DTYPE_I64, 1, {5}, "{'descr': '<i8', 'fortran_order': False, 'shape': (5,), }"},
      {NTK_DTYPE_U8, 4, {2, 1, 28, 28}, "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 1, 28, 28), }"},
      {NTK_DTYPE_I32, 2, {0, 3}, "{'descr': '<i4', 'fortran_order': False, 'shape': (0, 3), }"},
      {NTK_DTYPE_F64, 3, {1, 2, 3}, "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2, 3), }"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    unsigned char header[NTK_NPY_HEADER_MAX];
    int length = ntk_npy_header_format(cases[i].dtype, cases[i].rank, cases[i].shape, header);
    size_t text = strlen(cases[i].want);
    cr_expect_eq(length, 128);
    cr_expect_arr_eq(header, "\x93NUMPY\x01\x00v\x00", 10);
    cr_expect_arr_eq(header + 10, cases[i].want, text);
    for (size_t k = 10 + text; k < 127; k++) cr_expect_eq(header[k], ' ');
    cr_expect_eq(header[127], '\n');
  }
}

Test(npy, what_is_written_is_read_back) {
  const double f64[6] = {0, -1.5, 1e300, 5e-324, 3, 0.1};
  const float f32[6] = {0, -1.5f, 3e38f, 1e-45f, 3, 0.1f};
  const int64_t i64[6] = {0, -1, 2147483647, -2147483647 - 1, 7, 8}, shape[2] = {2, 3};
  const int32_t i32[6] = {0, -1, 2147483647, -2147483647 - 1, 7, 8};
  const uint8_t u8[6] = {0, 1, 127, 128, 254, 255};
  const void *values[] = {u8, i32, i64, f32, f64};
  for (int dtype = NTK_DTYPE_U8; dtype <= NTK_DTYPE_F64; dtype++) {
    const char *path = ntk_test_text("%s/%d.npy", folder, dtype);
    cr_assert_eq(ntk_npy_write(path, (ntk_dtype)dtype, 2, shape, values[dtype - 1]), NTK_OK, "%s", ntk_last_error());
    ntk_npy_info info;
    double *read;
    cr_assert_eq(ntk_npy_read_f64(path, &info, &read), NTK_OK, "%s", ntk_last_error());
    cr_expect_eq(info.dtype, (ntk_dtype)dtype);
    cr_expect_eq(info.rank, 2);
    cr_expect(info.shape[0] == 2 && info.shape[1] == 3 && info.shape[2] == 1 && info.shape[3] == 1);
    for (int i = 0; i < 6; i++) {
      double want = dtype == NTK_DTYPE_U8    ? u8[i]
                    : dtype == NTK_DTYPE_I32 ? i32[i]
                    : dtype == NTK_DTYPE_I64 ? (double)i64[i]
                    : dtype == NTK_DTYPE_F32 ? (double)f32[i]
                                             : f64[i];
      cr_expect_eq(read[i], want, "type %d, value %d", dtype, i);
    }
    ntk_npy_free(read);
    if (dtype == NTK_DTYPE_I32 || dtype == NTK_DTYPE_I64) {
      int32_t *integers;
      cr_assert_eq(ntk_npy_read_i32(path, &info, &integers), NTK_OK, "%s", ntk_last_error());
      cr_expect_arr_eq(integers, i32, sizeof i32);
      ntk_npy_free(integers);
    }
  }
}

Test(npy, integers_are_read_in_many_chunks) {
  enum { COUNT = 5000 };
  static int64_t values[COUNT];
  const int64_t shape[1] = {COUNT};
  for (int i = 0; i < COUNT; i++) values[i] = i * 7 - 100;
  const char *path = ntk_test_text("%s/long.npy", folder);
  cr_assert_eq(ntk_npy_write(path, NTK_DTYPE_I64, 1, shape, values), NTK_OK);
  ntk_npy_info info;
  int32_t *read;
  cr_assert_eq(ntk_npy_read_i32(path, &info, &read), NTK_OK);
  for (int i = 0; i < COUNT; i++) cr_expect_eq(read[i], values[i]);
  ntk_npy_free(read);
}

Test(npy, integers_must_be_integers) {
  const int64_t shape[1] = {3};
  const double halves[3] = {1, 2, 2.5}, nan[3] = {1, NAN, 2}, large[3] = {2147483648.0, 0, 0}, fine[3] = {1, -2, 3};
  const int64_t huge[3] = {0, INT64_C(1) << 40, 0};
  const char *path = ntk_test_text("%s/y.npy", folder);
  ntk_npy_info info;
  int32_t *read;
  cr_assert_eq(ntk_npy_write(path, NTK_DTYPE_F64, 1, shape, halves), NTK_OK);
  ntk_test_expect_failure(ntk_npy_read_i32(path, &info, &read), NTK_ERROR_DATA, "value number 2");
  cr_assert_eq(ntk_npy_write(path, NTK_DTYPE_F64, 1, shape, nan), NTK_OK);
  ntk_test_expect_failure(ntk_npy_read_i32(path, &info, &read), NTK_ERROR_DATA, "not a number");
  cr_assert_eq(ntk_npy_write(path, NTK_DTYPE_F64, 1, shape, large), NTK_OK);
  ntk_test_expect_failure(ntk_npy_read_i32(path, &info, &read), NTK_ERROR_DATA, "value number 0");
  cr_assert_eq(ntk_npy_write(path, NTK_DTYPE_I64, 1, shape, huge), NTK_OK);
  ntk_test_expect_failure(ntk_npy_read_i32(path, &info, &read), NTK_ERROR_DATA, "value number 1");
  cr_assert_eq(ntk_npy_write(path, NTK_DTYPE_F64, 1, shape, fine), NTK_OK);
  cr_assert_eq(ntk_npy_read_i32(path, &info, &read), NTK_OK);
  cr_expect(read[0] == 1 && read[1] == -2 && read[2] == 3);
  ntk_npy_free(read);
}

Test(npy, all_versions_and_spellings_are_read) {
  static const char *const dictionaries[] = {
      "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }",
      "{\"shape\":(2,3,),\"fortran_order\":False,\"descr\":\"<f8\"}",
      " { 'fortran_order' : False , 'descr' : '<f8' , 'shape' : ( 2 , 3 ) } ",
  };
  for (int major = 1; major <= 3; major++)
    for (size_t i = 0; i < 3; i++) {
      ntk_npy_info info;
      cr_expect_eq(ntk_npy_stat(write_npy(major, dictionaries[i], 48), &info), NTK_OK, "%s", ntk_last_error());
      cr_expect(info.dtype == NTK_DTYPE_F64 && info.rank == 2 && info.shape[0] == 2 && info.shape[1] == 3);
      cr_expect_eq(info.data_offset % 64, 0);
    }
  ntk_npy_info info;
  cr_expect_eq(ntk_npy_stat(write_npy(1, "{'descr': '<u1', 'fortran_order': False, 'shape': (7,)}", 7), &info), NTK_OK);
  cr_expect(info.dtype == NTK_DTYPE_U8 && info.rank == 1 && info.shape[0] == 7 && info.shape[1] == 1);
}

Test(npy, a_header_longer_than_the_first_read_is_read) {
  char dictionary[9000];
  memset(dictionary, ' ', sizeof dictionary);
  const char text[] = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}";
  memcpy(dictionary + 8000, text, sizeof text);
  ntk_npy_info info;
  cr_expect_eq(ntk_npy_stat(write_npy(2, dictionary, 16), &info), NTK_OK, "%s", ntk_last_error());
  cr_expect_eq(info.shape[0], 2);
  cr_expect_gt(info.data_offset, 8000);
}

Test(npy, bad_headers_are_refused_with_a_reason) {
  expect_refused(1, "{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3), }", 48, "ascontiguousarray");
  expect_refused(1, "{'descr': '>f8', 'fortran_order': False, 'shape': (2, 3), }", 48, "astype");
  expect_refused(1, "{'descr': '<c16', 'fortran_order': False, 'shape': (2, 3), }", 96, "'<c16'");
  expect_refused(1, "{'descr': '|O', 'fortran_order': False, 'shape': (2, 3), }", 48, "'|O'");
  expect_refused(1, "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (6,), }", 48, "structured");
  expect_refused(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (), }", 8, "without axes");
  expect_refused(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1, 1, 1, 6), }", 48, "more than 4");
  expect_refused(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (6), }", 48, "tuple");
  expect_refused(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (-2, 3), }", 48, "sizes >= 0");
  expect_refused(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (2 3), }", 48, "comma");
  expect_refused(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3}", 48, "malformed");
  expect_refused(1, "{'descr': '<f8', 'fortran_order': False}", 48, "missing");
  expect_refused(1, "{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (2, 3)}", 48, "twice");
  expect_refused(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), 'more': 1}", 48, "unknown entry");
  expect_refused(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3)} 1", 48, "follows");
  expect_refused(1, "{'descr': '<f8', 'fortran_order': 0, 'shape': (2, 3)}", 48, "True nor False");
  expect_refused(1, "{'descr: '<f8'", 48, "malformed");
  expect_refused(1, "'descr'", 48, "'{'");
  expect_refused(4, "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3)}", 48, "version 4.0");
  expect_refused(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,)}", 48, "too large");
  expect_refused(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", 48, "too large");
  expect_refused(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (1152921504606846976,)}", 48, "too large");
  expect_refused(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (2305843009213693953,)}", 8, "too large");
}

Test(npy, the_array_must_end_where_the_file_ends) {
  expect_refused(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3)}", 47, "1 bytes are missing");
  expect_refused(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3)}", 0, "48 bytes are missing");
  expect_refused(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3)}", 50, "2 bytes after");
  expect_refused(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 3)}", 1, "1 bytes after");
}

Test(npy, what_is_no_npy_file_is_refused) {
  const char *path = ntk_test_text("%s/x.npy", folder);
  ntk_npy_info info;
  ntk_test_expect_failure(ntk_npy_stat(path, &info), NTK_ERROR_IO, "No such file");
  ntk_test_expect_failure(ntk_npy_stat(folder, &info), NTK_ERROR_IO, "regular file");
  cr_assert_eq(mkfifo(path, 0600), 0);
  ntk_test_expect_failure(ntk_npy_stat(path, &info), NTK_ERROR_IO, "regular file");
  remove(path);
  ntk_test_write_file(path, "", 0);
  ntk_test_expect_failure(ntk_npy_stat(path, &info), NTK_ERROR_DATA, "not a .npy file");
  ntk_test_write_file(path, "PK\3\4 an archive of arrays", 25);
  ntk_test_expect_failure(ntk_npy_stat(path, &info), NTK_ERROR_DATA, "not a .npy file");
  ntk_test_write_file(path, "\x93NUMPY\x01\x00v\x00{'descr'", 18);
  ntk_test_expect_failure(ntk_npy_stat(path, &info), NTK_ERROR_DATA, "inside its header");
  ntk_test_write_file(path, "\x93NUMPY\x02\x00v\x00", 10);
  ntk_test_expect_failure(ntk_npy_stat(path, &info), NTK_ERROR_DATA, "inside its header");
  ntk_test_expect_failure(ntk_npy_stat(NULL, &info), NTK_ERROR_ARGUMENT, "path");
}

static int files_in_folder(void) {
  DIR *open = opendir(folder);
  int count = 0;
  for (struct dirent *entry; (entry = readdir(open));) count += entry->d_name[0] != '.';
  closedir(open);
  return count;
}

Test(npy, writing_replaces_whole_files_and_leaves_nothing_else) {
  const char *path = ntk_test_text("%s/a.npy", folder);
  const double first[4] = {1, 2, 3, 4}, second[2] = {5, 6};
  const int64_t four[1] = {4}, two[1] = {2};
  umask(027);
  cr_assert_eq(ntk_npy_write(path, NTK_DTYPE_F64, 1, four, first), NTK_OK);
  cr_assert_eq(ntk_npy_write(path, NTK_DTYPE_F64, 1, two, second), NTK_OK);
  cr_expect_eq(files_in_folder(), 1);
  struct stat status;
  cr_assert_eq(stat(path, &status), 0);
  cr_expect_eq(status.st_mode & 0777, 0640, "the umask decides on permissions");
  cr_expect_eq(status.st_size, 128 + 16);
}

Test(npy, failures_to_write_are_one_sentence) {
  const double value = 1;
  const int64_t shape[1] = {1}, negative[1] = {-1};
  const char *path = ntk_test_text("%s/a.npy", folder), *below = ntk_test_text("%s/a.npy/b.npy", folder);
  ntk_test_expect_failure(ntk_npy_write(ntk_test_text("%s/no/a.npy", folder), NTK_DTYPE_F64, 1, shape, &value),
                          NTK_ERROR_IO, "No such file");
  cr_assert_eq(ntk_npy_write(path, NTK_DTYPE_F64, 1, shape, &value), NTK_OK);
  ntk_test_expect_failure(ntk_npy_write(below, NTK_DTYPE_F64, 1, shape, &value), NTK_ERROR_IO, "Not a directory");
  const char *taken = ntk_test_text("%s/folder.npy", folder);
  cr_assert_eq(mkdir(taken, 0700), 0);
  ntk_test_expect_failure(ntk_npy_write(taken, NTK_DTYPE_F64, 1, shape, &value), NTK_ERROR_IO, "directory");
  ntk_test_expect_failure(ntk_npy_write(path, NTK_DTYPE_F64, 0, shape, &value), NTK_ERROR_ARGUMENT, "0 axes");
  ntk_test_expect_failure(ntk_npy_write(path, NTK_DTYPE_F64, 5, shape, &value), NTK_ERROR_ARGUMENT, "5 axes");
  ntk_test_expect_failure(ntk_npy_write(path, (ntk_dtype)9, 1, shape, &value), NTK_ERROR_ARGUMENT, "element type");
  ntk_test_expect_failure(ntk_npy_write(path, NTK_DTYPE_F64, 1, negative, &value), NTK_ERROR_ARGUMENT, "negative");
  ntk_test_expect_failure(ntk_npy_write(path, NTK_DTYPE_F64, 1, shape, NULL), NTK_ERROR_ARGUMENT, "no values");
  cr_expect_eq(files_in_folder(), 2, "no temporary file may stay behind");
}

Test(npy, a_disk_that_is_full_leaves_the_old_file) {
  static double values[1000];
  const int64_t one[1] = {1}, many[1] = {1000};
  const char *path = ntk_test_text("%s/a.npy", folder);
  cr_assert_eq(ntk_npy_write(path, NTK_DTYPE_F64, 1, one, values), NTK_OK);
  signal(SIGXFSZ, SIG_IGN); /* stands for a full disk: writes beyond 4 KiB fail */
  struct rlimit limit = {4096, 4096};
  cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
  ntk_test_expect_failure(ntk_npy_write(path, NTK_DTYPE_F64, 1, many, values), NTK_ERROR_IO, "cannot write");
  ntk_npy_info info;
  cr_expect_eq(ntk_npy_stat(path, &info), NTK_OK);
  cr_expect_eq(info.shape[0], 1);
  cr_expect_eq(files_in_folder(), 1);
}
