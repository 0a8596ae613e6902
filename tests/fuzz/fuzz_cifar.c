/* Files of CIFAR-10 records. */
#include "host/data/source.h"
#include "tests/fuzz/memory_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char path[64];
  int fd = memory_file(data, size, path);
  if (fd < 0) return 0;
  ntk_source source = {0};
  unsigned char record[3072];
  for (int file = 0; file < 2; file++) {
    if (ntk_cifar10_add(&source, path) != NTK_OK) break;
    if (source.labels[source.count - 1] > 9) __builtin_trap();
    if (ntk_source_read(&source, source.count - 1, 1, record) != NTK_OK) __builtin_trap();
  }
  ntk_source_clear(&source);
  close(fd);
  return 0;
}
