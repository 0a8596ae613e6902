#include "tests/support_store.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

store_case store_case_new(void) {
  store_case it = {.folder = "/tmp/ntk-store-XXXXXX",
                   .count = 1,
                   .rows = 7,
                   .columns = 5,
                   .tile = 2,
                   .dtype = NTK_DTYPE_F64,
                   .manifest =
                       "{\"identity\": {\"network\": \"5*(conv3 relu) gap\", \"data\": {\"hash\": \"ab12\"}}, "
                       "\"note\": \"first\"}"};
  cr_assert(mkdtemp(it.folder), "mkdtemp: %s", strerror(errno));
  for (size_t k = 0; k < STORE_MATRICES; k++) snprintf(it.path[k], sizeof it.path[k], "%s/K%zu.npy", it.folder, k);
  return it;
}

static int each_file(const store_case *it, bool remove_it) {
  DIR *folder = opendir(it->folder);
  cr_assert(folder);
  int count = 0;
  for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    count++;
    if (remove_it) unlinkat(dirfd(folder), entry->d_name, 0);
  }
  closedir(folder);
  return count;
}

int store_files(const store_case *it) { return each_file(it, false); }

void store_case_remove(const store_case *it) {
  each_file(it, true);
  rmdir(it->folder);
}

const char *store_file(const store_case *it, const char *suffix) {
  static _Thread_local char path[128];
  snprintf(path, sizeof path, "%s%s", it->path[0], suffix);
  return path;
}

bool store_exists(const char *path) {
  struct stat status;
  return lstat(path, &status) == 0;
}

int64_t store_file_size(const char *path) {
  struct stat status;
  return stat(path, &status) == 0 ? status.st_size : -1;
}

char *store_read_file(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  cr_assert(file, "%s: %s", path, strerror(errno));
  *size = (size_t)store_file_size(path);
  char *bytes = malloc(*size + 1);
  cr_assert(bytes && fread(bytes, 1, *size, file) == *size);
  bytes[*size] = 0;
  fclose(file);
  return bytes;
}

void store_write_file(const char *path, const void *bytes, size_t size) {
  FILE *file = fopen(path, "wb");
  cr_assert(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
}

void store_flip_bit(const char *path, int64_t byte, int bit) {
  FILE *file = fopen(path, "r+b");
  cr_assert(file && fseek(file, byte, SEEK_SET) == 0);
  int value = fgetc(file);
  cr_assert(value != EOF && fseek(file, byte, SEEK_SET) == 0);
  fputc(value ^ 1 << bit, file);
  fclose(file);
}

ntk_status store_open(const store_case *it, store_mode mode, ntk_store **out) {
  const char *paths[STORE_MATRICES], *manifests[STORE_MATRICES];
  for (size_t k = 0; k < it->count; k++) {
    paths[k] = it->path[k];
    manifests[k] = it->manifest;
  }
  ntk_store_options options = {.count = it->count,
                               .paths = paths,
                               .manifests = manifests,
                               .rows = it->rows,
                               .columns = it->columns,
                               .symmetric = it->symmetric,
                               .tile = it->tile,
                               .dtype = it->dtype,
                               .resume = mode == STORE_RESUME,
                               .overwrite = mode == STORE_OVERWRITE};
  return ntk_store_open(&options, out);
}

static double exact_value(const store_case *it, size_t k, int64_t row, int64_t column) {
  bool swap = it->symmetric && row > column;
  return it->shift + (double)(1 + k) / 3.0 + 7.0 * (double)(swap ? column : row) + 0.1 * (double)(swap ? row : column);
}

double store_value(const store_case *it, size_t k, int64_t row, int64_t column) {
  double value = exact_value(it, k, row, column);
  return it->dtype == NTK_DTYPE_F32 ? (double)(float)value : value;
}

int64_t store_tiles_down(const store_case *it, const ntk_store *store) {
  return (it->rows + ntk_store_tile(store) - 1) / ntk_store_tile(store);
}

int64_t store_tiles_across(const store_case *it, const ntk_store *store) {
  return (it->columns + ntk_store_tile(store) - 1) / ntk_store_tile(store);
}

ntk_status store_write_tile(const store_case *it, ntk_store *store, int64_t tile_row, int64_t tile_column) {
  double values[STORE_MATRICES][STORE_TILE_VALUES];
  const double *pointers[STORE_MATRICES];
  int64_t tile = ntk_store_tile(store), row = tile_row * tile, column = tile_column * tile;
  int64_t rows = it->rows - row < tile ? it->rows - row : tile;
  int64_t columns = it->columns - column < tile ? it->columns - column : tile;
  cr_assert(rows * columns <= STORE_TILE_VALUES);
  for (size_t k = 0; k < it->count; k++) {
    pointers[k] = values[k];
    for (int64_t i = 0; i < rows; i++)
      for (int64_t j = 0; j < columns; j++) values[k][i * columns + j] = exact_value(it, k, row + i, column + j);
  }
  return ntk_store_write(store, tile_row, tile_column, pointers);
}

ntk_status store_write_tiles(const store_case *it, ntk_store *store, int64_t most, int64_t flush_every,
                             int64_t *written) {
  *written = 0;
  for (int64_t i = 0; i < store_tiles_down(it, store); i++)
    for (int64_t j = it->symmetric ? i : 0; j < store_tiles_across(it, store); j++) {
      if (*written == most) return NTK_OK;
      if (ntk_store_done(store, i, j)) continue;
      ntk_status status = store_write_tile(it, store, i, j);
      if (status != NTK_OK) return status;
      ++*written;
      if (flush_every && *written % flush_every == 0 && (status = ntk_store_flush(store)) != NTK_OK) return status;
    }
  return NTK_OK;
}

int64_t store_finish(const store_case *it, store_mode mode) {
  ntk_store *store;
  int64_t written;
  cr_assert_eq(store_open(it, mode, &store), NTK_OK, "%s", ntk_last_error());
  cr_assert_eq(store_write_tiles(it, store, -1, 0, &written), NTK_OK, "%s", ntk_last_error());
  cr_assert_eq(ntk_store_close(store), NTK_OK, "%s", ntk_last_error());
  return written;
}

static void assert_npy(const store_case *it, size_t k) {
  size_t size;
  char *bytes = store_read_file(it->path[k], &size);
  cr_assert(size > 10 && memcmp(bytes, "\x93NUMPY\x01\x00", 8) == 0);
  size_t start = 10 + (size_t)(uint8_t)bytes[8] + 256 * (size_t)(uint8_t)bytes[9];
  size_t width = it->dtype == NTK_DTYPE_F32 ? 4 : 8;
  cr_assert(start % 64 == 0 && bytes[start - 1] == '\n');
  cr_assert_eq(size, start + (size_t)(it->rows * it->columns) * width);
  char expected[128];
  int length = snprintf(expected, sizeof expected, "{'descr': '<f%zu', 'fortran_order': False, 'shape': (%d, %d), }",
                        width, (int)it->rows, (int)it->columns);
  cr_assert(memcmp(bytes + 10, expected, (size_t)length) == 0);
  for (size_t at = 10 + (size_t)length; at < start - 1; at++) cr_assert(bytes[at] == ' ');
  for (int64_t n = 0; n < it->rows * it->columns; n++) {
    double value;
    float narrow;
    if (width == 4) {
      memcpy(&narrow, bytes + start + 4 * n, 4);
      value = narrow;
    } else {
      memcpy(&value, bytes + start + 8 * n, 8);
    }
    cr_assert(value == store_value(it, k, n / it->columns, n % it->columns), "entry %d of matrix %zu is %.17g", (int)n,
              k, value);
  }
  free(bytes);
}

void store_assert_values(const store_case *it) {
  for (size_t k = 0; k < it->count; k++) assert_npy(it, k);
}

void store_assert_complete(const store_case *it) {
  for (size_t k = 0; k < it->count; k++) {
    assert_npy(it, k);
    char path[128];
    snprintf(path, sizeof path, "%s.json", it->path[k]);
    json_t *manifest = json_load_file(path, 0, NULL);
    cr_assert(json_is_true(json_object_get(manifest, "complete")), "%s", path);
    json_decref(manifest);
  }
  cr_assert_eq(store_files(it), 3 * (int)it->count);
}

void store_assert_fails(const store_case *it, store_mode mode, ntk_status expected, const char *words) {
  ntk_store *store = (ntk_store *)1;
  ntk_status status = store_open(it, mode, &store);
  cr_assert_eq(status, expected, "%s instead of %s: %s", ntk_status_name(status), ntk_status_name(expected),
               ntk_last_error());
  cr_assert_null(store);
  cr_assert(strstr(ntk_last_error(), words), "\"%s\" lacks \"%s\"", ntk_last_error(), words);
}

void store_write_some(const store_case *it, store_mode mode, int64_t tiles) {
  ntk_store *store;
  int64_t written;
  cr_assert_eq(store_open(it, mode, &store), NTK_OK, "%s", ntk_last_error());
  cr_assert_eq(store_write_tiles(it, store, tiles, 1, &written), NTK_OK, "%s", ntk_last_error());
  cr_assert_eq(ntk_store_close(store), NTK_OK, "%s", ntk_last_error());
}
