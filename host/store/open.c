#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/status.h"
#include "host/store/create.h"
#include "host/store/internal.h"

enum { TILE_LIMIT = 1 << 30 }; /* their states take a byte each */

static ntk_status check_options(const ntk_store_options *options) {
  ntk_store_shape shape = {options->rows, options->columns, options->tile, options->dtype, options->symmetric};
  if (options->count < 1) return ntk_fail(NTK_ERROR_ARGUMENT, "a store needs at least one matrix");
  if (!ntk_store_shape_valid(&shape))
    return ntk_fail(
        NTK_ERROR_ARGUMENT,
        "no %s%s matrix of %lld x %lld values in tiles of %lld can be stored: give sizes of at least 1, float32 "
        "or float64",
        options->symmetric ? "symmetric " : "", ntk_store_dtype_name(options->dtype), (long long)options->rows,
        (long long)options->columns, (long long)options->tile);
  if (options->resume && options->overwrite)
    return ntk_fail(NTK_ERROR_ARGUMENT, "--resume and --overwrite exclude each other: give one of them");
  for (size_t k = 0; k < options->count; k++)
    for (size_t other = 0; other < k; other++)
      if (strcmp(options->paths[k], options->paths[other]) == 0)
        return ntk_fail(NTK_ERROR_ARGUMENT, "two matrices have the path %s: give each its own", options->paths[k]);
  return NTK_OK;
}

/* ---- what is there already ---- */

static ntk_status missing(const ntk_store_matrix *matrix, ntk_store_kind kind) {
  return ntk_fail(NTK_ERROR_CORRUPT, "%s is missing although %s is there: restore it, or start again with --overwrite",
                  matrix->place.path[kind],
                  matrix->place.path[kind == NTK_STORE_MANIFEST ? NTK_STORE_JOURNAL : NTK_STORE_MANIFEST]);
}

static ntk_status open_journal(ntk_store_matrix *matrix, ntk_store_file *journal) {
  const ntk_store_place *place = &matrix->place;
  *journal = (ntk_store_file){.fd = -1, .path = place->path[NTK_STORE_JOURNAL]};
  journal->fd = openat(place->folder, place->name[NTK_STORE_JOURNAL], O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (journal->fd < 0) return ntk_store_file_fail(journal, "opened");
  NTK_TRY(ntk_store_file_lock(journal, place->path[NTK_STORE_DATA]));
  return ntk_store_still_named(place, journal, place->name[NTK_STORE_JOURNAL]);
}

static ntk_status note_record(void *user, int64_t index, const ntk_store_record *record) {
  (void)index;
  (void)record;
  *(bool *)user = true;
  return NTK_OK;
}

/* A journal without a manifest: creating the matrix was interrupted unless tiles were recorded. */
static ntk_status check_interrupted(ntk_store_matrix *matrix) {
  ntk_store_shape shape;
  uint64_t seed;
  int64_t records;
  bool any = false;
  NTK_TRY(ntk_store_journal_open(&matrix->replaced, &shape, &seed));
  NTK_TRY(ntk_store_journal_scan(&matrix->replaced, &shape, seed, note_record, &any, &records));
  return any ? missing(matrix, NTK_STORE_MANIFEST) : NTK_OK;
}

static ntk_status refuse(const ntk_store_matrix *matrix, const bool there[NTK_STORE_KINDS]) {
  static const ntk_store_kind order[] = {NTK_STORE_DATA, NTK_STORE_MANIFEST, NTK_STORE_JOURNAL};
  for (size_t k = 0; k < sizeof order / sizeof *order; k++)
    if (there[order[k]])
      return ntk_fail(NTK_ERROR_ARGUMENT,
                      "%s exists already: give --resume to go on with it, --overwrite to replace it, or another --out",
                      matrix->place.path[order[k]]);
  return NTK_OK;
}

/* Decides whether the matrix is created or resumed, and takes the lock of a journal that is there. */
static ntk_status find(ntk_store_matrix *matrix, const ntk_store_options *options) {
  bool there[NTK_STORE_KINDS];
  matrix->fresh = true;
  for (int kind = 0; kind < NTK_STORE_KINDS; kind++)
    NTK_TRY(ntk_store_place_has(&matrix->place, (ntk_store_kind)kind, &there[kind]));
  if (!options->resume && !options->overwrite) return refuse(matrix, there);
  if (options->resume && there[NTK_STORE_MANIFEST]) {
    if (!there[NTK_STORE_DATA]) return missing(matrix, NTK_STORE_DATA);
    if (!there[NTK_STORE_JOURNAL]) return missing(matrix, NTK_STORE_JOURNAL);
    matrix->fresh = false;
    return open_journal(matrix, &matrix->journal);
  }
  if (options->resume && there[NTK_STORE_DATA] && !there[NTK_STORE_JOURNAL])
    return ntk_fail(
        NTK_ERROR_ARGUMENT,
        "%s has neither manifest nor journal, so that it cannot be resumed: give --overwrite to replace it, or "
        "another --out",
        matrix->place.path[NTK_STORE_DATA]);
  if (!there[NTK_STORE_JOURNAL]) return NTK_OK;
  NTK_TRY(open_journal(matrix, &matrix->replaced));
  return options->resume ? check_interrupted(matrix) : NTK_OK;
}

/* ---- resuming ---- */

static ntk_status check_shape(const char *path, const ntk_store_shape *stored, const ntk_store_options *options) {
  if (stored->rows != options->rows || stored->columns != options->columns)
    return ntk_fail(
        NTK_ERROR_MISMATCH, "%s has %lld x %lld values, not %lld x %lld: choose another --out or the same data", path,
        (long long)stored->rows, (long long)stored->columns, (long long)options->rows, (long long)options->columns);
  if (stored->dtype != options->dtype)
    return ntk_fail(NTK_ERROR_MISMATCH, "%s holds %s values, not %s: choose another --out or the same precision", path,
                    ntk_store_dtype_name(stored->dtype), ntk_store_dtype_name(options->dtype));
  if (stored->symmetric != options->symmetric)
    return ntk_fail(NTK_ERROR_MISMATCH, "%s is %s, but %s matrix is asked for: choose another --out or the same data",
                    path, stored->symmetric ? "symmetric" : "not stored as symmetric",
                    options->symmetric ? "a symmetric" : "another");
  return NTK_OK;
}

static ntk_status check_manifest(ntk_store_matrix *matrix, const ntk_store_options *options, ntk_store_shape *shape) {
  const ntk_store_place *place = &matrix->place;
  const char *path = place->path[NTK_STORE_MANIFEST];
  char *text;
  size_t size;
  json_t *manifest = NULL;
  NTK_TRY(ntk_store_manifest_load(path, place->folder, place->name[NTK_STORE_MANIFEST], &text, &size));
  ntk_status status = ntk_store_manifest_parse(path, text, size, &manifest, shape, &matrix->complete);
  free(text);
  if (status == NTK_OK) status = ntk_store_manifest_compare(place->path[NTK_STORE_DATA], manifest, matrix->information);
  if (status == NTK_OK) status = check_shape(place->path[NTK_STORE_DATA], shape, options);
  json_decref(manifest);
  return status;
}

static ntk_status check_data(ntk_store_matrix *matrix, const ntk_store_shape *shape) {
  const ntk_store_place *place = &matrix->place;
  ntk_store_file *data = &matrix->data;
  *data = (ntk_store_file){.fd = -1, .path = place->path[NTK_STORE_DATA], .size = ntk_store_shape_bytes(shape)};
  data->fd = openat(place->folder, place->name[NTK_STORE_DATA], O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  struct stat status;
  if (data->fd < 0 || fstat(data->fd, &status) < 0) return ntk_store_file_fail(data, "opened");
  if (status.st_size != data->size)
    return ntk_fail(NTK_ERROR_CORRUPT, "%s has %lld bytes instead of %lld: restore it, or start again with --overwrite",
                    data->path, (long long)status.st_size, (long long)data->size);
  char expected[NTK_STORE_NPY_HEADER], header[NTK_STORE_NPY_HEADER];
  size_t got;
  ntk_store_npy_header(shape, expected);
  NTK_TRY(ntk_store_file_read(data, header, sizeof header, 0, &got));
  if (got == sizeof header && memcmp(header, expected, sizeof header) == 0) return NTK_OK;
  return ntk_fail(NTK_ERROR_CORRUPT,
                  "the .npy header of %s was changed: restore the file, or start again with --overwrite", data->path);
}

/* Everything about one matrix that can be checked without reading its tiles. Changes nothing. */
static ntk_status check_matrix(ntk_store_matrix *matrix, const ntk_store_options *options, ntk_store_shape *shape) {
  ntk_store_shape recorded;
  NTK_TRY(check_manifest(matrix, options, shape));
  NTK_TRY(ntk_store_journal_open(&matrix->journal, &recorded, &matrix->seed));
  if (recorded.rows != shape->rows || recorded.columns != shape->columns || recorded.tile != shape->tile ||
      recorded.dtype != shape->dtype || recorded.symmetric != shape->symmetric)
    return ntk_fail(
        NTK_ERROR_CORRUPT,
        "%s belongs to a matrix of another size, type or tile than %s: restore the file that was exchanged, or "
        "start again with --overwrite",
        matrix->journal.path, matrix->place.path[NTK_STORE_MANIFEST]);
  return check_data(matrix, shape);
}

static ntk_status check_matrices(ntk_store *store, const ntk_store_options *options) {
  const char *first = NULL;
  for (size_t k = 0; k < store->count; k++) {
    ntk_store_matrix *matrix = &store->matrices[k];
    ntk_store_shape shape;
    if (matrix->fresh) continue;
    NTK_TRY(check_matrix(matrix, options, &shape));
    if (first && shape.tile != store->shape.tile)
      return ntk_fail(
          NTK_ERROR_MISMATCH,
          "%s has tiles of %lld and %s of %lld, so that they cannot be computed together: choose another --out "
          "or start again with --overwrite",
          first, (long long)store->shape.tile, matrix->data.path, (long long)shape.tile);
    first = matrix->data.path;
    store->shape.tile = shape.tile;
  }
  return NTK_OK;
}

typedef struct visitor {
  const ntk_store *store;
  const ntk_store_matrix *matrix;
} visitor;

static ntk_status mark_done(void *user, int64_t index, const ntk_store_record *record) {
  const visitor *who = user;
  uint8_t *done = &who->matrix->done[ntk_store_tile_index(&who->store->shape, record->tile_row, record->tile_column)];
  if (*done)
    return ntk_fail(NTK_ERROR_CORRUPT,
                    "record %lld of %s names tile (%lld, %lld) a second time: restore the file, or start again with "
                    "--overwrite",
                    (long long)index, who->matrix->journal.path, (long long)record->tile_row,
                    (long long)record->tile_column);
  *done = 1;
  return NTK_OK;
}

static ntk_status verify_tile(void *user, int64_t index, const ntk_store_record *record) {
  const visitor *who = user;
  const ntk_store_shape *shape = &who->store->shape;
  uint64_t checksum;
  NTK_TRY(ntk_store_tile_checksum(&who->matrix->data, shape, record->tile_row, record->tile_column, &checksum));
  if (checksum == record->checksum) return NTK_OK;
  char where[128];
  ntk_store_tile_text(shape, record->tile_row, record->tile_column, where, sizeof where);
  return ntk_fail(
      NTK_ERROR_CORRUPT,
      "tile (%lld, %lld) of %s (%s) does not match its checksum in the journal: restore the file; or `truncate "
      "-s %lld %s` keeps the tiles recorded before it (%lld), so that --resume can go on; or start again with "
      "--overwrite",
      (long long)record->tile_row, (long long)record->tile_column, who->matrix->data.path, where,
      (long long)ntk_store_journal_bytes(index), who->matrix->journal.path, (long long)index);
}

static ntk_status scan_journals(ntk_store *store, ntk_store_visit visit) {
  for (size_t k = 0; k < store->count; k++) {
    ntk_store_matrix *matrix = &store->matrices[k];
    visitor who = {store, matrix};
    if (!matrix->fresh)
      NTK_TRY(ntk_store_journal_scan(&matrix->journal, &store->shape, matrix->seed, visit, &who, &matrix->records));
  }
  return NTK_OK;
}

/* The first changes to a resumed matrix: what a crash tore is cut off, and files of an interrupted --overwrite go. */
static ntk_status clean(ntk_store *store, ntk_store_matrix *matrix) {
  for (int kind = 0; kind < NTK_STORE_KINDS; kind++) unlinkat(matrix->place.folder, matrix->place.staged[kind], 0);
  struct stat status;
  int64_t whole = ntk_store_journal_bytes(matrix->records);
  matrix->journal.size = ntk_store_journal_bytes(store->tiles);
  if (fstat(matrix->journal.fd, &status) < 0) return ntk_store_file_fail(&matrix->journal, "read");
  if (status.st_size != whole) {
    NTK_TRY(ntk_store_file_resize(&matrix->journal, whole));
    NTK_TRY(ntk_store_file_sync(&matrix->journal));
  }
  if (matrix->records < store->tiles) NTK_TRY(ntk_store_file_reserve(&matrix->journal, false));
  /* Somebody cut the journal of a finished matrix, to have its damaged tiles computed again. */
  if (!matrix->complete || matrix->records == store->tiles) return NTK_OK;
  matrix->complete = false;
  return ntk_store_manifest_replace(&matrix->place, matrix->information, &store->shape, false);
}

/* ---- opening ---- */

static ntk_status allocate_states(ntk_store *store) {
  store->tiles = ntk_store_shape_tiles(&store->shape);
  if (store->tiles <= TILE_LIMIT) store->claimed = calloc((size_t)store->tiles, 1);
  bool enough = store->claimed != NULL;
  for (size_t k = 0; k < store->count && enough; k++) {
    store->matrices[k].done = calloc((size_t)store->tiles, 1);
    enough = store->matrices[k].done != NULL;
  }
  if (enough) return NTK_OK;
  return ntk_fail(NTK_ERROR_MEMORY, "no memory to keep account of %lld tiles: choose a larger --tile",
                  (long long)store->tiles);
}

static ntk_status open_matrices(ntk_store *store, const ntk_store_options *options) {
  for (size_t k = 0; k < store->count; k++) {
    ntk_store_matrix *matrix = &store->matrices[k];
    NTK_TRY(ntk_store_manifest_information(options->paths[k], options->manifests[k], &matrix->information));
    NTK_TRY(ntk_store_place_init(&matrix->place, options->paths[k]));
  }
  for (size_t k = 0; k < store->count; k++) NTK_TRY(find(&store->matrices[k], options));
  NTK_TRY(check_matrices(store, options));
  NTK_TRY(allocate_states(store));
  NTK_TRY(scan_journals(store, mark_done));
  for (size_t k = 0; k < store->count; k++)
    if (store->matrices[k].fresh) NTK_TRY(ntk_store_stage(&store->matrices[k], &store->shape));
  NTK_TRY(scan_journals(store, verify_tile));
  for (size_t k = 0; k < store->count; k++)
    NTK_TRY(store->matrices[k].fresh ? ntk_store_install(&store->matrices[k]) : clean(store, &store->matrices[k]));
  for (int64_t tile = 0; tile < store->tiles; tile++) {
    store->claimed[tile] = 1;
    for (size_t k = 0; k < store->count; k++) store->claimed[tile] &= store->matrices[k].done[tile];
  }
  return NTK_OK;
}

/* From now on the files stay. */
static void keep(ntk_store *store) {
  for (size_t k = 0; k < store->count; k++) {
    store->matrices[k].staged = store->matrices[k].installed = 0;
    ntk_store_file_close(&store->matrices[k].replaced);
  }
}

static ntk_store *new_store(const ntk_store_options *options) {
  ntk_store *store = calloc(1, sizeof *store);
  if (!store) return NULL;
  store->matrices = calloc(options->count, sizeof *store->matrices);
  if (!store->matrices) {
    free(store);
    return NULL;
  }
  store->count = options->count;
  for (size_t k = 0; k < store->count; k++) {
    ntk_store_matrix *matrix = &store->matrices[k];
    matrix->data.fd = matrix->journal.fd = matrix->replaced.fd = matrix->place.folder = -1;
  }
  store->shape = (ntk_store_shape){options->rows, options->columns, options->tile, options->dtype, options->symmetric};
  store->last_commit = ntk_store_now();
  pthread_mutex_init(&store->lock, NULL);
  pthread_cond_init(&store->idle, NULL);
  return store;
}

ntk_status ntk_store_open(const ntk_store_options *options, ntk_store **out) {
  *out = NULL;
  NTK_TRY(check_options(options));
  ntk_store *store = new_store(options);
  if (!store) return ntk_fail(NTK_ERROR_MEMORY, "no memory for %zu matrices", options->count);
  ntk_status status = open_matrices(store, options);
  if (status == NTK_OK) {
    keep(store);
    *out = store;
  } else {
    ntk_store_free(store);
  }
  return status;
}

int64_t ntk_store_tile(const ntk_store *store) { return store->shape.tile; }
