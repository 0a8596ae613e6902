/* Replays the corpus of fuzz_network and deterministic mutations of it, without a fuzzer. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>

#include "tests/fuzz/fuzz_network.c"

enum { SEED_LIMIT = 64, SEED_SIZE = 4096 };

typedef struct seeds {
  struct {
    uint8_t bytes[SEED_SIZE];
    size_t size;
  } seed[SEED_LIMIT];
  size_t count;
} seeds;

static void read_seeds(seeds *all) {
  const char *folder = NTK_SOURCE_DIR "/tests/fuzz/corpus/network";
  DIR *directory = opendir(folder);
  cr_assert_not_null(directory, "no corpus in %s", folder);
  for (struct dirent *entry; (entry = readdir(directory)) && all->count < SEED_LIMIT;) {
    if (entry->d_name[0] == '.') continue;
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file, "%s", path);
    all->seed[all->count].size = fread(all->seed[all->count].bytes, 1, SEED_SIZE, file);
    fclose(file);
    all->count++;
  }
  closedir(directory);
  cr_assert_gt(all->count, 5);
}

static uint32_t next(uint32_t *state) {
  *state = *state * 1664525u + 1013904223u;
  return *state >> 8;
}

/* Replaces, removes or inserts a stretch: bytes of the grammar, words of it, or a piece of the text itself. */
static size_t mutate(uint8_t *text, size_t size, uint32_t *state) {
  static const char *const words[] = {"(",        ")",  "|",     "*",      "2*",       "10000*",
                                      "sum(",     "id", "conv3", "relu ",  "gap ",     "lap(3)",
                                      "dense ",   "W=", "1e-3",  "c=auto", "stride=2", "avgpool2 ",
                                      "flatten ", ", ", "-",     "\x80",   "=",        "cntk-5-v"};
  const char *word = words[next(state) % (sizeof words / sizeof *words)];
  size_t at = size > 0 ? next(state) % size : 0, length = strlen(word);
  size_t cut = next(state) % 3 == 0 ? next(state) % (size - at + 1) % 16 : 0;
  memmove(text + at, text + at + cut, size - at - cut);
  size -= cut;
  if (next(state) % 4 == 0 || size + length > 2 * SEED_SIZE) return size;
  memmove(text + at + length, text + at, size - at);
  memcpy(text + at, word, length);
  return size + length;
}

Test(fuzz_network, corpus_and_mutations) {
  static seeds all;
  static uint8_t text[2 * SEED_SIZE + 16];
  uint32_t state = 20;
  read_seeds(&all);
  for (size_t i = 0; i < all.count; i++) LLVMFuzzerTestOneInput(all.seed[i].bytes, all.seed[i].size);
  for (int round = 0; round < 4000; round++) {
    size_t pick = next(&state) % all.count, size = all.seed[pick].size;
    memcpy(text, all.seed[pick].bytes, size);
    for (uint32_t n = 1 + next(&state) % 4; n > 0; n--) size = mutate(text, size, &state);
    LLVMFuzzerTestOneInput(text, size);
  }
}
