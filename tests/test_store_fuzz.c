/* Replays the fuzz targets of host/store over their corpora and over mutations of them. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support_store.h"

/* Two targets in one program. */
#define LLVMFuzzerTestOneInput fuzz_journal
#include "tests/fuzz/fuzz_store_journal.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_manifest
#include "tests/fuzz/fuzz_store_manifest.c"
#undef LLVMFuzzerTestOneInput

enum { MUTATIONS = 400, ROOM = 64 };

typedef int (*fuzz_target)(const uint8_t *data, size_t size);

static uint32_t draw(uint64_t *random) {
  *random = *random * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(*random >> 33);
}

/* A few bytes changed, taken out or doubled. */
static size_t mutate(uint8_t *bytes, size_t size, uint64_t *random) {
  for (uint32_t changes = 1 + draw(random) % 4; changes && size > 1; changes--) {
    size_t at = draw(random) % size, length = 1 + draw(random) % 8;
    if (length > size - at) length = size - at;
    switch (draw(random) % 4) {
      case 0: bytes[at] ^= (uint8_t)(1u << draw(random) % 8); break;
      case 1: bytes[at] = (uint8_t)draw(random); break;
      case 2:
        memmove(bytes + at, bytes + at + length, size - at - length);
        size -= length;
        break;
      default: memmove(bytes + at + length, bytes + at, size - at); size += length;
    }
  }
  return size;
}

static void replay_file(fuzz_target target, const char *path, uint64_t *random) {
  size_t size;
  char *bytes = store_read_file(path, &size);
  uint8_t *changed = malloc(size + ROOM);
  target((const uint8_t *)bytes, size);
  for (int k = 0; k < MUTATIONS; k++) {
    memcpy(changed, bytes, size);
    target(changed, mutate(changed, size, random));
  }
  free(changed);
  free(bytes);
}

static void replay(fuzz_target target, const char *name) {
  char path[1024];
  snprintf(path, sizeof path, "%s/tests/fuzz/corpus/%s", NTK_SOURCE_DIR, name);
  DIR *folder = opendir(path);
  cr_assert(folder, "%s", path);
  uint64_t random = 1;
  int files = 0;
  for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "%s/tests/fuzz/corpus/%s/%s", NTK_SOURCE_DIR, name, entry->d_name);
    replay_file(target, path, &random);
    files++;
  }
  closedir(folder);
  cr_assert_geq(files, 5);
}

Test(store_fuzz, journals) { replay(fuzz_journal, "store_journal"); }

Test(store_fuzz, manifests) { replay(fuzz_manifest, "store_manifest"); }
