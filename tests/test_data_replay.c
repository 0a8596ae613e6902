/* The fuzz targets of the data formats over their corpora and over mutations of these, without a fuzzer. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support_data.h"

#define LLVMFuzzerTestOneInput fuzz_data_text
#include "tests/fuzz/fuzz_data_text.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_npy
#include "tests/fuzz/fuzz_npy.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_idx
#include "tests/fuzz/fuzz_idx.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_cifar
#include "tests/fuzz/fuzz_cifar.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_preprocess_text
#include "tests/fuzz/fuzz_preprocess_text.c"
#undef LLVMFuzzerTestOneInput

typedef int target(const uint8_t *data, size_t size);

static uint64_t next_random(uint64_t *state) {
  *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return *state >> 33;
}

/* Changes, inserts, removes or repeats a few bytes; `bytes` has room for size + 64. */
static size_t mutate(unsigned char *bytes, size_t size, uint64_t *state) {
  static const unsigned char special[] = {0, 1, 9, 10, 127, 128, 255, '-', ':', '[', ']', '~', '\'', '(', '9', ','};
  for (uint64_t edits = 1 + next_random(state) % 4; edits > 0; edits--) {
    size_t at = size ? next_random(state) % size : 0;
    unsigned char value = special[next_random(state) % sizeof special];
    switch (next_random(state) % 5) {
      case 0:
        if (size) bytes[at] ^= (unsigned char)(1u << next_random(state) % 8);
        break;
      case 1:
        if (size) bytes[at] = value;
        break;
      case 2:
        memmove(bytes + at + 1, bytes + at, size - at);
        bytes[at] = value;
        size++;
        break;
      case 3:
        if (size) memmove(bytes + at, bytes + at + 1, --size - at);
        break;
      default: size = at; break;
    }
  }
  return size;
}

static void replay(target *run, const char *corpus, int mutations) {
  const char *folder = ntk_test_text("%s/tests/fuzz/corpus/%s", NTK_SOURCE_DIR, corpus);
  DIR *open = opendir(folder);
  int seeds = 0;
  uint64_t state = 1;
  cr_assert(open, "no corpus %s", folder);
  for (struct dirent *entry; (entry = readdir(open));) {
    if (entry->d_name[0] == '.') continue;
    size_t size;
    unsigned char *bytes = ntk_test_read_file(ntk_test_text("%s/%s", folder, entry->d_name), &size);
    unsigned char *changed = malloc(size + 64);
    run(bytes, size);
    for (int i = 0; i < mutations; i++) {
      memcpy(changed, bytes, size);
      run(changed, mutate(changed, size, &state));
    }
    free(changed);
    free(bytes);
    seeds++;
  }
  closedir(open);
  cr_expect_gt(seeds, 1);
}

Test(data_replay, data_texts) { replay(fuzz_data_text, "data_text", 500); }

Test(data_replay, npy_files) { replay(fuzz_npy, "npy", 500); }

Test(data_replay, idx_files) { replay(fuzz_idx, "idx", 300); }

Test(data_replay, cifar_files) { replay(fuzz_cifar, "cifar", 100); }

Test(data_replay, preprocessing_texts) { replay(fuzz_preprocess_text, "preprocess_text", 500); }
