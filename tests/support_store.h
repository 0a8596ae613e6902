/* Helpers of the tests of host/store: small matrices with known values in a folder of their own. */
#ifndef NTK_TESTS_SUPPORT_STORE_H
#define NTK_TESTS_SUPPORT_STORE_H

#include "host/store/store.h"

enum { STORE_MATRICES = 2, STORE_TILE_VALUES = 64 };

typedef struct store_case {
  char folder[64], path[STORE_MATRICES][96];
  size_t count;
  int64_t rows, columns, tile; /* tiles of at most STORE_TILE_VALUES values */
  bool symmetric;
  ntk_dtype dtype;
  const char *manifest;
  double shift; /* added to every value */
} store_case;

/* A 7 x 5 float64 matrix in tiles of 2 in a new folder under /tmp. */
store_case store_case_new(void);
/* Removes the folder with everything in it. */
void store_case_remove(const store_case *it);

/* "<path of matrix 0><suffix>"; static storage of this thread. */
const char *store_file(const store_case *it, const char *suffix);
bool store_exists(const char *path);
int64_t store_file_size(const char *path);
/* The number of files in the folder. */
int store_files(const store_case *it);
/* Whole files; *size bytes to be freed. */
char *store_read_file(const char *path, size_t *size);
void store_write_file(const char *path, const void *bytes, size_t size);
void store_flip_bit(const char *path, int64_t byte, int bit);

typedef enum store_mode { STORE_CREATE, STORE_RESUME, STORE_OVERWRITE } store_mode;
ntk_status store_open(const store_case *it, store_mode mode, ntk_store **out);

/* The entry that matrix k is to have, as stored. */
double store_value(const store_case *it, size_t k, int64_t row, int64_t column);
int64_t store_tiles_down(const store_case *it, const ntk_store *store);
int64_t store_tiles_across(const store_case *it, const ntk_store *store);
ntk_status store_write_tile(const store_case *it, ntk_store *store, int64_t tile_row, int64_t tile_column);
/* Writes up to `most` unfinished tiles (-1: all), flushing after each `flush_every` (0: never), and counts them. */
ntk_status store_write_tiles(const store_case *it, ntk_store *store, int64_t most, int64_t flush_every,
                             int64_t *written);

/* Opens, writes everything and closes; asserts that nothing fails. Returns the number of tiles written. */
int64_t store_finish(const store_case *it, store_mode mode);
/* Asserts that the .npy files are right, reading them without the library's help. */
void store_assert_values(const store_case *it);
/* Asserts that .npy files and manifests are complete and right, reading them without the library's help. */
void store_assert_complete(const store_case *it);
/* Asserts that opening fails with this status and a message that contains these words. */
void store_assert_fails(const store_case *it, store_mode mode, ntk_status expected, const char *words);
/* Opens, writes up to `tiles` unfinished tiles, each in a commit of its own, and closes. */
void store_write_some(const store_case *it, store_mode mode, int64_t tiles);

#endif
