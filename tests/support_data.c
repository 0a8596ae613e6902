#include "tests/support_data.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

char *ntk_test_folder(void) {
  char *folder = strdup("/tmp/ntk-test-XXXXXX");
  cr_assert(folder && mkdtemp(folder), "no temporary folder");
  return folder;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk) {
  (void)status;
  (void)kind;
  (void)walk;
  return remove(path);
}

void ntk_test_remove_folder(char *folder) {
  nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
  free(folder);
}

const char *ntk_test_text(const char *format, ...) {
  static _Thread_local char ring[16][2048];
  static _Thread_local int next;
  char *out = ring[next++ % 16];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(out, sizeof ring[0], format, arguments);
  va_end(arguments);
  return out;
}

void ntk_test_write_file(const char *path, const void *bytes, size_t size) {
  FILE *file = fopen(path, "wb");
  cr_assert(file, "cannot create %s", path);
  cr_assert_eq(fwrite(bytes, 1, size, file), size);
  cr_assert_eq(fclose(file), 0);
}

unsigned char *ntk_test_read_file(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  cr_assert(file, "cannot open %s", path);
  fseek(file, 0, SEEK_END);
  *size = (size_t)ftell(file);
  rewind(file);
  unsigned char *bytes = malloc(*size + 1);
  cr_assert_eq(fread(bytes, 1, *size, file), *size);
  fclose(file);
  return bytes;
}

void ntk_test_expect_failure(ntk_status status, ntk_status want, const char *word) {
  cr_expect_eq(status, want, "got %s, expected %s with \"%s\": %s", ntk_status_name(status), ntk_status_name(want),
               word, ntk_last_error());
  cr_expect(status != NTK_OK && strstr(ntk_last_error(), word), "\"%s\" is not in: %s", word, ntk_last_error());
}

ntk_dataset *ntk_test_open(const char *text) {
  ntk_dataset *dataset = NULL;
  cr_assert_eq(ntk_dataset_open(text, &dataset), NTK_OK, "%s: %s", text, ntk_last_error());
  return dataset;
}
