#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host/status.h"
#include "host/store/internal.h"

enum { RECORDS_AT_ONCE = 64 };
#define COMMIT_NANOSECONDS INT64_C(1000000000)

int64_t ntk_store_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* ---- making tiles durable ---- */

static ntk_status append(ntk_store_matrix *matrix, const uint8_t *bytes, size_t records) {
  int64_t offset = ntk_store_journal_bytes(matrix->records + matrix->appended);
  NTK_TRY(ntk_store_file_write(&matrix->journal, bytes, records * NTK_STORE_JOURNAL_RECORD, offset));
  matrix->appended += (int64_t)records;
  return NTK_OK;
}

/* Writes the records of matrix k after its durable ones; a failed attempt's are overwritten. */
static ntk_status journal_batch(ntk_store *store, size_t k, const ntk_store_pending *batch) {
  ntk_store_matrix *matrix = &store->matrices[k];
  uint8_t bytes[RECORDS_AT_ONCE * NTK_STORE_JOURNAL_RECORD];
  size_t records = 0;
  matrix->appended = 0;
  for (; batch; batch = batch->next) {
    if (matrix->done[batch->index]) continue;
    ntk_store_record record = {batch->tile_row, batch->tile_column, batch->checksums[k], matrix->records};
    ntk_store_journal_encode(&record, matrix->seed, bytes + records++ * NTK_STORE_JOURNAL_RECORD);
    if (records < RECORDS_AT_ONCE) continue;
    NTK_TRY(append(matrix, bytes, records));
    records = 0;
  }
  return append(matrix, bytes, records);
}

static bool touched(const ntk_store_matrix *matrix, const ntk_store_pending *batch) {
  for (; batch; batch = batch->next)
    if (!matrix->done[batch->index]) return true;
  return false;
}

/* Values first, records second. A failed sync is *final: the system may have dropped what it could not write, and a
 * second sync would not tell. */
static ntk_status make_durable(ntk_store *store, const ntk_store_pending *batch, bool *final) {
  *final = true;
  for (size_t k = 0; k < store->count; k++)
    if (touched(&store->matrices[k], batch)) NTK_TRY(ntk_store_file_sync(&store->matrices[k].data));
  *final = false;
  for (size_t k = 0; k < store->count; k++) NTK_TRY(journal_batch(store, k, batch));
  *final = true;
  for (size_t k = 0; k < store->count; k++)
    if (store->matrices[k].appended) NTK_TRY(ntk_store_file_sync(&store->matrices[k].journal));
  return NTK_OK;
}

static void finish_batch(ntk_store *store, ntk_store_pending *batch) {
  for (size_t k = 0; k < store->count; k++) {
    store->matrices[k].records += store->matrices[k].appended;
    store->matrices[k].appended = 0;
  }
  while (batch) {
    ntk_store_pending *next = batch->next;
    for (size_t k = 0; k < store->count; k++) store->matrices[k].done[batch->index] = 1;
    free(batch);
    batch = next;
  }
}

/* Puts a batch that could not be made durable before what was written meanwhile. */
static void return_batch(ntk_store *store, ntk_store_pending *batch, ntk_store_pending *last) {
  last->next = store->pending;
  if (!store->pending) store->pending_last = last;
  store->pending = batch;
}

static ntk_status failed_before(const ntk_store *store) {
  return store->failed == NTK_OK ? NTK_OK : ntk_fail(store->failed, "%s", store->failure);
}

/* Makes everything pending durable. Called with the lock, which others may take while this thread syncs. */
static ntk_status commit(ntk_store *store) {
  while (store->committing) pthread_cond_wait(&store->idle, &store->lock);
  NTK_TRY(failed_before(store));
  ntk_store_pending *batch = store->pending, *last = store->pending_last;
  store->last_commit = ntk_store_now();
  if (!batch) return NTK_OK;
  store->pending = store->pending_last = NULL;
  store->committing = true;
  pthread_mutex_unlock(&store->lock);
  bool final;
  ntk_status status = make_durable(store, batch, &final);
  pthread_mutex_lock(&store->lock);
  if (status == NTK_OK) {
    finish_batch(store, batch);
  } else {
    return_batch(store, batch, last);
    if (final) {
      store->failed = status;
      snprintf(store->failure, sizeof store->failure, "%s", ntk_last_error());
    }
  }
  store->committing = false;
  store->last_commit = ntk_store_now();
  pthread_cond_broadcast(&store->idle);
  return status;
}

/* ---- writing ---- */

static ntk_status claim(ntk_store *store, int64_t index, bool *mine) {
  pthread_mutex_lock(&store->lock);
  ntk_status status = failed_before(store);
  *mine = status == NTK_OK && !store->claimed[index];
  if (*mine) store->claimed[index] = 1;
  pthread_mutex_unlock(&store->lock);
  return status;
}

static ntk_status write_values(ntk_store *store, ntk_store_pending *tile, const double *const *values) {
  for (size_t k = 0; k < store->count; k++) {
    const ntk_store_matrix *matrix = &store->matrices[k];
    /* Values that are journalled stay as they are, whatever machine computed these. */
    if (!matrix->done[tile->index])
      NTK_TRY(ntk_store_tile_write(&matrix->data, &store->shape, tile->tile_row, tile->tile_column, values[k],
                                   &tile->checksums[k]));
  }
  return NTK_OK;
}

/* Ends a claim: the tile waits for its commit, or may be written again. */
static ntk_status settle(ntk_store *store, int64_t index, ntk_store_pending *tile, ntk_status status) {
  pthread_mutex_lock(&store->lock);
  if (status == NTK_OK) {
    if (store->pending)
      store->pending_last->next = tile;
    else
      store->pending = tile;
    store->pending_last = tile;
    if (!store->committing && ntk_store_now() - store->last_commit >= COMMIT_NANOSECONDS) status = commit(store);
  } else {
    store->claimed[index] = 0;
    free(tile);
  }
  pthread_mutex_unlock(&store->lock);
  return status;
}

ntk_status ntk_store_write(ntk_store *store, int64_t tile_row, int64_t tile_column, const double *const *values) {
  int64_t index = ntk_store_tile_index(&store->shape, tile_row, tile_column);
  bool mine;
  if (index < 0)
    return ntk_fail(NTK_ERROR_ARGUMENT, "%s has no tile (%lld, %lld)", store->matrices[0].data.path,
                    (long long)tile_row, (long long)tile_column);
  NTK_TRY(claim(store, index, &mine));
  if (!mine) return NTK_OK;
  ntk_store_pending *tile = calloc(1, sizeof *tile + store->count * sizeof tile->checksums[0]);
  if (!tile) return settle(store, index, NULL, ntk_fail(NTK_ERROR_MEMORY, "no memory to keep account of a tile"));
  tile->tile_row = tile_row;
  tile->tile_column = tile_column;
  tile->index = index;
  return settle(store, index, tile, write_values(store, tile, values));
}

bool ntk_store_done(const ntk_store *store, int64_t tile_row, int64_t tile_column) {
  int64_t index = ntk_store_tile_index(&store->shape, tile_row, tile_column);
  bool done = index >= 0;
  pthread_mutex_t *lock = &((ntk_store *)store)->lock;
  pthread_mutex_lock(lock);
  for (size_t k = 0; k < store->count && done; k++) done = store->matrices[k].done[index];
  pthread_mutex_unlock(lock);
  return done;
}

ntk_status ntk_store_flush(ntk_store *store) {
  pthread_mutex_lock(&store->lock);
  ntk_status status = commit(store);
  pthread_mutex_unlock(&store->lock);
  return status;
}

/* ---- closing ---- */

static void free_matrix(ntk_store_matrix *matrix) {
  const ntk_store_place *place = &matrix->place;
  for (int kind = 0; kind < NTK_STORE_KINDS; kind++) {
    if (matrix->staged & 1u << kind) unlinkat(place->folder, place->staged[kind], 0);
    if (matrix->installed & 1u << kind) unlinkat(place->folder, place->name[kind], 0);
  }
  ntk_store_file_close(&matrix->data);
  ntk_store_file_close(&matrix->journal);
  ntk_store_file_close(&matrix->replaced);
  ntk_store_place_free(&matrix->place);
  json_decref(matrix->information);
  free(matrix->done);
}

void ntk_store_free(ntk_store *store) {
  for (size_t k = 0; k < store->count; k++) free_matrix(&store->matrices[k]);
  while (store->pending) {
    ntk_store_pending *next = store->pending->next;
    free(store->pending);
    store->pending = next;
  }
  pthread_cond_destroy(&store->idle);
  pthread_mutex_destroy(&store->lock);
  free(store->matrices);
  free(store->claimed);
  free(store);
}

static ntk_status mark_complete(ntk_store *store) {
  for (size_t k = 0; k < store->count; k++) {
    ntk_store_matrix *matrix = &store->matrices[k];
    if (matrix->complete || matrix->records < store->tiles) continue;
    NTK_TRY(ntk_store_manifest_replace(&matrix->place, matrix->information, &store->shape, true));
    matrix->complete = true;
  }
  return NTK_OK;
}

ntk_status ntk_store_close(ntk_store *store) {
  if (!store) return NTK_OK;
  ntk_status status = ntk_store_flush(store);
  if (status == NTK_OK) status = mark_complete(store);
  ntk_store_free(store);
  return status;
}
