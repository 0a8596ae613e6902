/* Reading journals. The first byte says which checksums are made right, so that what lies behind them is reached. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include "host/store/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIX_HEADER = 1, FIX_RECORDS = 2, LARGEST = 1 << 16 };

static void fix_header(uint8_t *bytes, size_t size) {
  if (size < NTK_STORE_JOURNAL_HEADER) return;
  uint64_t checksum = XXH3_64bits(bytes, NTK_STORE_JOURNAL_HEADER - 8);
  memcpy(bytes + NTK_STORE_JOURNAL_HEADER - 8, &checksum, 8);
}

static void fix_records(uint8_t *bytes, size_t size) {
  uint64_t seed, checksum;
  if (size < NTK_STORE_JOURNAL_HEADER) return;
  memcpy(&seed, bytes + NTK_STORE_JOURNAL_HEADER - 8, 8);
  for (size_t at = NTK_STORE_JOURNAL_HEADER; at + NTK_STORE_JOURNAL_RECORD <= size; at += NTK_STORE_JOURNAL_RECORD) {
    if (bytes[at + NTK_STORE_JOURNAL_RECORD - 1] == 0xff) continue; /* this one stays damaged */
    checksum = XXH3_64bits_withSeed(bytes + at, NTK_STORE_JOURNAL_RECORD - 8, seed);
    memcpy(bytes + at + NTK_STORE_JOURNAL_RECORD - 8, &checksum, 8);
  }
}

typedef struct expectation {
  const ntk_store_shape *shape;
  int64_t next;
} expectation;

/* Records come in order, and each names a tile. */
static ntk_status visit(void *user, int64_t index, const ntk_store_record *record) {
  expectation *expected = user;
  if (index != expected->next++ || record->durable < 0 || record->durable > index) abort();
  int64_t tile = ntk_store_tile_index(expected->shape, record->tile_row, record->tile_column);
  if (tile < 0 || tile >= ntk_store_shape_tiles(expected->shape)) abort();
  return NTK_OK;
}

static void read_journal(const ntk_store_file *journal, size_t size) {
  ntk_store_shape shape;
  uint64_t seed;
  int64_t records;
  if (ntk_store_journal_open(journal, &shape, &seed) != NTK_OK) return;
  if (!ntk_store_shape_valid(&shape) || ntk_store_shape_bytes(&shape) < NTK_STORE_NPY_HEADER) abort();
  expectation expected = {&shape, 0};
  if (ntk_store_journal_scan(journal, &shape, seed, visit, &expected, &records) != NTK_OK) return;
  if (records != expected.next || ntk_store_journal_bytes(records) > (int64_t)size) abort();
  uint8_t header[NTK_STORE_JOURNAL_HEADER];
  uint64_t again;
  ntk_store_journal_header(&shape, header, &again);
  if (again != seed) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1 || size > LARGEST) return 0;
  uint8_t *bytes = malloc(size);
  if (!bytes) return 0;
  memcpy(bytes, data + 1, --size);
  if (data[0] & FIX_HEADER) fix_header(bytes, size);
  if (data[0] & FIX_RECORDS) fix_records(bytes, size);
  ntk_store_file journal = {.fd = memfd_create("journal", MFD_CLOEXEC), .path = "K.npy.journal"};
  if (journal.fd >= 0 && (size == 0 || ntk_store_file_write(&journal, bytes, size, 0) == NTK_OK))
    read_journal(&journal, size);
  ntk_store_file_close(&journal);
  free(bytes);
  return 0;
}
