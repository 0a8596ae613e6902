/* Internal: crash-safe storage of kernel matrices, one or several matrices of the same tiling at a time.
 *
 * For each path P: P (.npy, version 1.0, C order, '<f4' or '<f8'), P.json (manifest) and P.journal. The order of events that
 * makes a tile safe: values written -> data file synced -> journal record (tile, checksum of its values) written -> journal
 * synced. Resuming trusts a tile only if its record is whole and the checksum of the stored values agrees. Thread-safe. */
#ifndef NTK_HOST_STORE_STORE_H
#define NTK_HOST_STORE_STORE_H

#include <ntk/npy.h>
#include <ntk/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ntk_store ntk_store;

typedef struct ntk_store_options {
  size_t count;               /* number of matrices */
  const char *const *paths;   /* count paths */
  const char *const *manifests; /* count JSON objects as text (host/gram writes them): what the matrix is. Two manifests mean
                                   the same matrix iff their object under the key "identity" is equal; everything else is
                                   information. The keys that the store adds (docs/store-format.md 3: "complete", "rows",
                                   "tile" ...) are refused. */
  int64_t rows, columns;
  bool symmetric;             /* rows == columns; only tiles with tile_row <= tile_column are handed in; mirrored on disk */
  int64_t tile;               /* rows and columns of a tile (edge tiles are smaller) */
  ntk_dtype dtype;            /* NTK_DTYPE_F32 or NTK_DTYPE_F64 */
  bool resume, overwrite;
} ntk_store_options;

/* Creates or resumes. On resume the journal's tile size wins: read it back with ntk_store_tile.
 * Refuses an existing path without resume/overwrite (NTK_ERROR_ARGUMENT), another identity (NTK_ERROR_MISMATCH: names the key
 * that differs), damaged files (NTK_ERROR_CORRUPT), a disk too full for the whole matrix (NTK_ERROR_IO, checked by reserving
 * the blocks up front). Takes a lock so that a second process cannot write the same matrix. A finished matrix resumes as done. */
ntk_status ntk_store_open(const ntk_store_options *options, ntk_store **out);

int64_t ntk_store_tile(const ntk_store *store);

/* Whether tile (tile_row, tile_column) is finished in all matrices. */
bool ntk_store_done(const ntk_store *store, int64_t tile_row, int64_t tile_column);

/* Writes one tile of all matrices. values[k] = the tile of matrix k, row-major rows x columns of that tile (edge tiles
 * smaller), float64 (rounded to the dtype on the way). In a symmetric diagonal tile the whole square is handed in. */
ntk_status ntk_store_write(ntk_store *store, int64_t tile_row, int64_t tile_column, const double *const *values);

/* Makes everything written so far durable and journalled (also done about once a second by ntk_store_write). */
ntk_status ntk_store_flush(ntk_store *store);

/* Flushes; if every tile is finished marks the manifest "complete": true. Then closes. NULL is allowed. */
ntk_status ntk_store_close(ntk_store *store);

/* Reads and checks the manifest of the matrix at `path` (the .npy file). *text is freed by the caller with free(). */
ntk_status ntk_store_read_manifest(const char *path, char **text);

/* Reads single entries of a stored matrix: values[k] = K[rows[k], columns[k]]. */
ntk_status ntk_store_read_entries(const char *path, int64_t count, const int64_t *rows, const int64_t *columns,
                                  double *values);

#endif
