/* .npy files, as arrays and as inputs of a data set. */
#include <ntk/npy.h>

#include "host/data/source.h"
#include "tests/fuzz/memory_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char path[64];
  int fd = memory_file(data, size, path);
  if (fd < 0) return 0;
  ntk_npy_info info;
  double *reals;
  int32_t *integers;
  if (ntk_npy_stat(path, &info) == NTK_OK && info.data_offset > (int64_t)size) __builtin_trap();
  if (ntk_npy_read_f64(path, &info, &reals) == NTK_OK) ntk_npy_free(reals);
  if (ntk_npy_read_i32(path, &info, &integers) == NTK_OK) ntk_npy_free(integers);
  ntk_source source = {0};
  if (ntk_array_open(path, size % 2 ? path : NULL, &source) == NTK_OK && size < 100000) {
    unsigned char record[100000];
    if (ntk_source_read(&source, source.count - 1, 1, record) != NTK_OK) __builtin_trap();
  }
  ntk_source_clear(&source);
  close(fd);
  return 0;
}
