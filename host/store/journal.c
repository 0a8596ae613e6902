#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "host/status.h"
#include "host/store/internal.h"

/* Not text, and broken by any text-mode transfer. */
static const uint8_t magic[8] = {0x89, 'N', 'T', 'K', '\r', '\n', 0x1a, '\n'};

enum { VERSION = 1, SYMMETRIC = 1, RECORDS_AT_ONCE = 1024 };

/* As on disk. */
typedef struct header {
  uint8_t magic[8];
  uint32_t version, header_bytes;
  int64_t rows, columns, tile;
  uint32_t dtype, flags;
  uint64_t reserved;
  uint64_t checksum; /* of what precedes it */
} header;
_Static_assert(sizeof(header) == NTK_STORE_JOURNAL_HEADER, "the header has no padding");

typedef struct disk_record {
  int64_t tile_row, tile_column;
  uint64_t tile_checksum;
  int64_t durable;
  uint64_t checksum; /* of what precedes it, seeded with the header's */
} disk_record;
_Static_assert(sizeof(disk_record) == NTK_STORE_JOURNAL_RECORD, "a record has no padding");

int64_t ntk_store_journal_bytes(int64_t records) {
  return NTK_STORE_JOURNAL_HEADER + records * NTK_STORE_JOURNAL_RECORD;
}

void ntk_store_journal_header(const ntk_store_shape *shape, uint8_t bytes[NTK_STORE_JOURNAL_HEADER], uint64_t *seed) {
  header head = {.version = VERSION,
                 .header_bytes = sizeof head,
                 .rows = shape->rows,
                 .columns = shape->columns,
                 .tile = shape->tile,
                 .dtype = (uint32_t)shape->dtype,
                 .flags = shape->symmetric ? SYMMETRIC : 0};
  memcpy(head.magic, magic, sizeof magic);
  head.checksum = XXH3_64bits(&head, offsetof(header, checksum));
  memcpy(bytes, &head, sizeof head);
  *seed = head.checksum;
}

void ntk_store_journal_encode(const ntk_store_record *record, uint64_t seed, uint8_t bytes[NTK_STORE_JOURNAL_RECORD]) {
  disk_record disk = {.tile_row = record->tile_row,
                      .tile_column = record->tile_column,
                      .tile_checksum = record->checksum,
                      .durable = record->durable};
  disk.checksum = XXH3_64bits_withSeed(&disk, offsetof(disk_record, checksum), seed);
  memcpy(bytes, &disk, sizeof disk);
}

static bool decode(const uint8_t bytes[NTK_STORE_JOURNAL_RECORD], uint64_t seed, ntk_store_record *record) {
  disk_record disk;
  memcpy(&disk, bytes, sizeof disk);
  if (disk.checksum != XXH3_64bits_withSeed(&disk, offsetof(disk_record, checksum), seed)) return false;
  *record = (ntk_store_record){disk.tile_row, disk.tile_column, disk.tile_checksum, disk.durable};
  return true;
}

ntk_status ntk_store_journal_open(const ntk_store_file *journal, ntk_store_shape *shape, uint64_t *seed) {
  header head;
  size_t got;
  NTK_TRY(ntk_store_file_read(journal, &head, sizeof head, 0, &got));
  if (got < sizeof head || memcmp(head.magic, magic, sizeof magic) != 0)
    return ntk_fail(NTK_ERROR_CORRUPT,
                    "%s is not a journal of libntk, or its beginning is lost: restore it, or start again with "
                    "--overwrite",
                    journal->path);
  if (head.checksum != XXH3_64bits(&head, offsetof(header, checksum)))
    return ntk_fail(NTK_ERROR_CORRUPT,
                    "the header of %s does not match its checksum: restore the file, or start again with --overwrite",
                    journal->path);
  if (head.version != VERSION)
    return ntk_fail(NTK_ERROR_UNSUPPORTED,
                    "%s has format version %u, but this libntk knows version %d only: use the version that wrote it",
                    journal->path, head.version, VERSION);
  *shape = (ntk_store_shape){.rows = head.rows,
                             .columns = head.columns,
                             .tile = head.tile,
                             .dtype = (ntk_dtype)head.dtype,
                             .symmetric = head.flags & SYMMETRIC};
  *seed = head.checksum;
  if (head.header_bytes == sizeof head && !head.reserved && !(head.flags & ~(uint32_t)SYMMETRIC) &&
      ntk_store_shape_valid(shape))
    return NTK_OK;
  return ntk_fail(NTK_ERROR_CORRUPT,
                  "the header of %s makes no sense: restore the file, or start again with --overwrite", journal->path);
}

typedef struct scan {
  const ntk_store_file *journal;
  const ntk_store_shape *shape;
  uint64_t seed;
  ntk_store_visit visit;
  void *user;
  int64_t index;   /* of the next record */
  int64_t damaged; /* the first damaged record, or -1 */
} scan;

/* What follows a damaged record tells a torn tail from damage: a record written when the damaged one was known to be
 * durable means that the disk lost something; otherwise nobody was ever told that these records were there. */
static ntk_status take(scan *state, const uint8_t *bytes) {
  ntk_store_record record;
  int64_t index = state->index++;
  bool whole = decode(bytes, state->seed, &record);
  if (!whole && state->damaged < 0) state->damaged = index;
  if (!whole) return NTK_OK;
  if (state->damaged >= 0) {
    if (record.durable <= state->damaged) return NTK_OK;
    return ntk_fail(
        NTK_ERROR_CORRUPT,
        "record %lld of %s is damaged: `truncate -s %lld %s` keeps the tiles recorded before it (%lld), so that "
        "--resume can go on, or start again with --overwrite",
        (long long)state->damaged, state->journal->path, (long long)ntk_store_journal_bytes(state->damaged),
        state->journal->path, (long long)state->damaged);
  }
  if (ntk_store_tile_index(state->shape, record.tile_row, record.tile_column) < 0 || record.durable < 0 ||
      record.durable > index)
    return ntk_fail(
        NTK_ERROR_CORRUPT,
        "record %lld of %s names tile (%lld, %lld), which the matrix does not have: restore the file, or start "
        "again with --overwrite",
        (long long)index, state->journal->path, (long long)record.tile_row, (long long)record.tile_column);
  return state->visit(state->user, index, &record);
}

ntk_status ntk_store_journal_scan(const ntk_store_file *journal, const ntk_store_shape *shape, uint64_t seed,
                                  ntk_store_visit visit, void *user, int64_t *records) {
  scan state = {.journal = journal, .shape = shape, .seed = seed, .visit = visit, .user = user, .damaged = -1};
  size_t room = (size_t)RECORDS_AT_ONCE * NTK_STORE_JOURNAL_RECORD, got;
  uint8_t *bytes = malloc(room);
  if (!bytes) return ntk_fail(NTK_ERROR_MEMORY, "no memory for a buffer of %zu bytes", room);
  ntk_status status;
  do {
    status = ntk_store_file_read(journal, bytes, room, ntk_store_journal_bytes(state.index), &got);
    for (size_t at = 0; status == NTK_OK && at + NTK_STORE_JOURNAL_RECORD <= got; at += NTK_STORE_JOURNAL_RECORD)
      status = take(&state, bytes + at);
  } while (status == NTK_OK && got == room);
  free(bytes);
  *records = state.damaged >= 0 ? state.damaged : state.index;
  return status;
}
