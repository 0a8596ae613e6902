/* IDX files, compressed or not, of any number of sizes. */
#include <stdlib.h>

#include "host/data/source.h"
#include "tests/fuzz/memory_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char path[64];
  int fd = memory_file(data, size, path);
  if (fd < 0) return 0;
  for (int rank = 1; rank <= 3; rank++) {
    int64_t sizes[3] = {1, 1, 1};
    unsigned char *bytes;
    if (ntk_idx_read(path, rank, sizes, &bytes) != NTK_OK) continue;
    int64_t total = sizes[0] * sizes[1] * sizes[2];
    volatile unsigned char last = total ? bytes[total - 1] : 0;
    (void)last;
    free(bytes);
  }
  close(fd);
  return 0;
}
