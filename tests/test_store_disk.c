/* Full disks and damaged files. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "host/store/internal.h"
#include "tests/support_store.h"

/* ---- full disks ---- */

Test(store_disk, a_matrix_larger_than_the_disk_is_refused_at_once) {
  store_case it = store_case_new();
  store_finish(&it, STORE_CREATE);
  struct statvfs disk;
  cr_assert_eq(statvfs(it.folder, &disk), 0);
  store_case large = it;
  large.tile = INT64_C(1) << 40;
  large.columns = 1024;
  large.rows = (int64_t)(disk.f_bavail * disk.f_frsize / 8 / 1024 * 2 + 1024);
  store_assert_fails(&large, STORE_OVERWRITE, NTK_ERROR_IO, "bytes are free");
  char needed[32];
  snprintf(needed, sizeof needed, "%lld bytes", (long long)(128 + large.rows * large.columns * 8));
  cr_assert(strstr(ntk_last_error(), needed), "%s", ntk_last_error());
  store_assert_complete(&it); /* the old matrix is still there, and nothing else */
  store_case_remove(&it);
}

/* Mounts a disk of 64 KiB on the folder, seen by this process only. */
static bool mount_tiny_disk(const char *folder) {
  if (geteuid() != 0 && unshare(CLONE_NEWUSER) != 0) return false;
  return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
         mount("none", folder, "tmpfs", 0, "size=64k") == 0;
}

Test(store_disk, a_full_disk_is_found_at_the_start) {
  store_case it = store_case_new();
  if (!mount_tiny_disk(it.folder)) {
    store_case_remove(&it);
    cr_skip_test("this system does not let the test mount a tmpfs");
  }
  it.count = 2; /* the second matrix does not fit */
  it.rows = it.columns = 70;
  it.tile = 8;
  store_assert_fails(&it, STORE_CREATE, NTK_ERROR_IO, "K1.npy needs 39328 bytes, but there is not enough room");
  cr_assert_eq(store_files(&it), 0);
  it.count = 1;
  store_finish(&it, STORE_CREATE);
  store_assert_fails(&it, STORE_OVERWRITE, NTK_ERROR_IO, "there is not enough room");
  store_assert_complete(&it);
  umount(it.folder);
  store_case_remove(&it);
}

Test(store_disk, a_file_size_limit_leaves_a_resumable_store) {
  signal(SIGXFSZ, SIG_IGN);
  struct rlimit before, limit;
  getrlimit(RLIMIT_FSIZE, &before);
  store_case it = store_case_new();
  it.rows = it.columns = 7;
  it.tile = 1;
  /* 300: neither values nor journal fit; 1000: the values do, but the journal is torn within record 23. */
  static const rlim_t limits[] = {300, 1000};
  for (int k = 0; k < 2; k++) {
    ntk_store *store;
    int64_t written;
    cr_assert_eq(store_open(&it, STORE_OVERWRITE, &store), NTK_OK, "%s", ntk_last_error());
    limit = before;
    limit.rlim_cur = limits[k];
    setrlimit(RLIMIT_FSIZE, &limit);
    ntk_status status = store_write_tiles(&it, store, -1, k ? 10 : 0, &written);
    cr_assert_eq(status, NTK_ERROR_IO);
    cr_assert(strstr(ntk_last_error(), "ulimit -f"), "%s", ntk_last_error());
    cr_assert_eq(ntk_store_close(store), NTK_ERROR_IO);
    setrlimit(RLIMIT_FSIZE, &before);
    cr_assert_eq(written, k ? 30 : (300 - 128) / 8);
    cr_assert_eq(store_finish(&it, STORE_RESUME), 49 - (int64_t)(limits[k] - 64) / 40);
    store_assert_complete(&it);
    store_assert_fails(&it, STORE_CREATE, NTK_ERROR_ARGUMENT, "exists already");
  }
  limit.rlim_cur = 300;
  setrlimit(RLIMIT_FSIZE, &limit);
  store_assert_fails(&it, STORE_OVERWRITE, NTK_ERROR_IO, "ulimit -f");
  setrlimit(RLIMIT_FSIZE, &before);
  store_assert_complete(&it);
  store_case_remove(&it);
}

/* ---- damaged files ---- */

enum { HEADER = NTK_STORE_JOURNAL_HEADER, RECORD = NTK_STORE_JOURNAL_RECORD };

Test(store_disk, a_flipped_bit_in_the_matrix_is_found) {
  store_case it = store_case_new();
  it.rows = it.columns = 5;
  it.symmetric = true;
  it.dtype = NTK_DTYPE_F32;
  store_finish(&it, STORE_CREATE);
  for (int64_t byte = 0; byte < store_file_size(it.path[0]); byte++) {
    int bit = (int)(byte % 8);
    store_flip_bit(it.path[0], byte, bit);
    store_assert_fails(&it, STORE_RESUME, NTK_ERROR_CORRUPT, "start again with --overwrite");
    store_flip_bit(it.path[0], byte, bit);
  }
  store_assert_complete(&it);
  store_case_remove(&it);
}

Test(store_disk, a_damaged_tile_is_named_and_can_be_given_up) {
  store_case it = store_case_new();
  store_write_some(&it, STORE_CREATE, 12);
  store_flip_bit(it.path[0], 128 + 8 * (4 * 5 + 2), 3); /* entry (4, 2) */
  store_assert_fails(&it, STORE_RESUME, NTK_ERROR_CORRUPT,
                     "K0.npy (rows 4..5, columns 2..3) does not match its checksum");
  char command[64];
  int64_t left = HEADER + 7 * RECORD;
  snprintf(command, sizeof command, "`truncate -s %lld ", (long long)left);
  cr_assert(strstr(ntk_last_error(), "tile (2, 1)") && strstr(ntk_last_error(), command), "%s", ntk_last_error());
  cr_assert_eq(truncate(store_file(&it, ".journal"), left), 0);
  ntk_store *store; /* no longer complete, and the manifest says so at once */
  char *text;
  cr_assert_eq(store_open(&it, STORE_RESUME, &store), NTK_OK, "%s", ntk_last_error());
  cr_assert_eq(ntk_store_read_manifest(it.path[0], &text), NTK_OK);
  cr_assert(strstr(text, "\"complete\": false"));
  free(text);
  cr_assert_eq(ntk_store_close(store), NTK_OK);
  cr_assert_eq(store_finish(&it, STORE_RESUME), 5);
  store_assert_complete(&it);
  store_case_remove(&it);
}

Test(store_disk, a_flipped_bit_in_the_journal_is_found) {
  store_case it = store_case_new();
  store_write_some(&it, STORE_CREATE, 12);
  char journal[128];
  strcpy(journal, store_file(&it, ".journal"));
  int64_t size = store_file_size(journal);
  cr_assert_eq(size, HEADER + 12 * RECORD);
  for (int64_t byte = 0; byte < size - RECORD; byte++) {
    int bit = (int)(byte % 8);
    store_flip_bit(journal, byte, bit);
    store_assert_fails(&it, STORE_RESUME, NTK_ERROR_CORRUPT, "or start again with --overwrite");
    store_flip_bit(journal, byte, bit);
  }
  store_flip_bit(journal, HEADER + 4 * RECORD + 17, 1);
  store_assert_fails(&it, STORE_RESUME, NTK_ERROR_CORRUPT, "record 4 of ");
  cr_assert(strstr(ntk_last_error(), "`truncate -s 224 "), "%s", ntk_last_error());
  cr_assert_eq(truncate(journal, 224), 0);
  cr_assert_eq(store_finish(&it, STORE_RESUME), 8);
  store_assert_complete(&it);
  store_case_remove(&it);
}

Test(store_disk, a_torn_last_record_is_overwritten) {
  store_case it = store_case_new();
  char journal[128];
  strcpy(journal, store_file(&it, ".journal"));
  for (int torn = 1; torn < RECORD; torn += 3) {
    store_write_some(&it, STORE_OVERWRITE, 5);
    cr_assert_eq(truncate(journal, HEADER + 4 * RECORD + torn), 0);
    if (torn % 2) cr_assert_eq(truncate(journal, HEADER + 5 * RECORD), 0); /* the rest of it reads as zeros */
    store_write_some(&it, STORE_RESUME, 1);
    cr_assert_eq(store_file_size(journal), HEADER + 5 * RECORD);
    cr_assert_eq(store_finish(&it, STORE_RESUME), 7);
    store_assert_complete(&it);
  }
  store_case_remove(&it);
}

/* Power was lost within a commit and the disk kept its later records only: none of them was ever reported as durable.
 */
Test(store_disk, a_torn_commit_is_ignored_from_its_first_lost_record_on) {
  store_case it = store_case_new();
  ntk_store *store;
  int64_t written;
  store_write_some(&it, STORE_CREATE, 2);
  cr_assert_eq(store_open(&it, STORE_RESUME, &store), NTK_OK);
  cr_assert_eq(store_write_tiles(&it, store, 6, 0, &written), NTK_OK);
  cr_assert_eq(ntk_store_close(store), NTK_OK);
  store_flip_bit(store_file(&it, ".journal"), HEADER + 3 * RECORD, 0);
  store_flip_bit(store_file(&it, ".journal"), HEADER + 5 * RECORD, 0);
  store_write_some(&it, STORE_RESUME, 1);
  cr_assert_eq(store_file_size(store_file(&it, ".journal")), HEADER + 4 * RECORD);
  cr_assert_eq(store_finish(&it, STORE_RESUME), 8);
  store_assert_complete(&it);
  store_case_remove(&it);
}

static void append_record(const char *journal, const ntk_store_shape *shape, ntk_store_record record) {
  uint8_t header[HEADER], bytes[RECORD];
  uint64_t seed;
  ntk_store_journal_header(shape, header, &seed);
  ntk_store_journal_encode(&record, seed, bytes);
  FILE *file = fopen(journal, "ab");
  cr_assert(file && fwrite(bytes, 1, RECORD, file) == RECORD && fclose(file) == 0);
}

Test(store_disk, an_impossible_record_is_refused) {
  static const struct {
    ntk_store_record record;
    const char *words;
  } cases[] = {{{4, 0, 1, 0}, "tile (4, 0)"},
               {{0, 3, 1, 0}, "tile (0, 3)"},
               {{-1, 0, 1, 0}, "tile (-1, 0)"},
               {{3, 2, 1, 9}, "tile (3, 2)"},
               {{0, 0, 1, 0}, "a second time"}};
  store_case it = store_case_new();
  ntk_store_shape shape = {7, 5, 2, NTK_DTYPE_F64, false};
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    store_write_some(&it, STORE_OVERWRITE, 2);
    append_record(store_file(&it, ".journal"), &shape, cases[k].record);
    store_assert_fails(&it, STORE_RESUME, NTK_ERROR_CORRUPT, cases[k].words);
  }
  store_case_remove(&it);
}

Test(store_disk, a_journal_of_another_kind_is_refused) {
  store_case it = store_case_new();
  store_write_some(&it, STORE_CREATE, 2);
  uint8_t header[HEADER];
  uint64_t seed;
  ntk_store_shape other = {7, 5, 3, NTK_DTYPE_F64, false};
  ntk_store_journal_header(&other, header, &seed);
  store_write_file(store_file(&it, ".journal"), header, HEADER);
  store_assert_fails(&it, STORE_RESUME, NTK_ERROR_CORRUPT, "belongs to a matrix of another size");
  store_write_file(store_file(&it, ".journal"), header, HEADER - 1);
  store_assert_fails(&it, STORE_RESUME, NTK_ERROR_CORRUPT, "is not a journal of libntk");
  store_case_remove(&it);
}

static bool same_but_for_checksum(const char *one, const char *other) {
  json_t *a = json_loads(one, 0, NULL), *b = json_loads(other, 0, NULL);
  const char *key;
  json_t *value;
  json_object_del(a, "checksum");
  bool same = true;
  json_object_foreach(a, key, value) same &= json_equal(value, json_object_get(b, key));
  json_decref(a);
  json_decref(b);
  return same;
}

Test(store_disk, a_flipped_bit_in_the_manifest_is_found) {
  store_case it = store_case_new();
  store_finish(&it, STORE_CREATE);
  char path[128], *before, *after;
  strcpy(path, store_file(&it, ".json"));
  cr_assert_eq(ntk_store_read_manifest(it.path[0], &before), NTK_OK);
  for (int64_t at = 0; at < 8 * store_file_size(path); at++) {
    store_flip_bit(path, at / 8, (int)(at % 8));
    ntk_status status = ntk_store_read_manifest(it.path[0], &after);
    /* What is accepted says the same: white space, or the name of the checksum itself. */
    if (status == NTK_OK)
      cr_assert(same_but_for_checksum(before, after), "%s", after);
    else
      cr_assert_eq(status, NTK_ERROR_CORRUPT, "%s", ntk_last_error());
    free(after);
    store_flip_bit(path, at / 8, (int)(at % 8));
  }
  free(before);
  store_case_remove(&it);
}

Test(store_disk, a_manifest_changed_on_purpose_is_accepted_without_checksum) {
  store_case it = store_case_new();
  store_write_some(&it, STORE_CREATE, 2);
  json_t *manifest = json_load_file(store_file(&it, ".json"), 0, NULL);
  json_object_set_new(manifest, "note", json_string("moved"));
  json_dump_file(manifest, store_file(&it, ".json"), 0);
  store_assert_fails(&it, STORE_RESUME, NTK_ERROR_CORRUPT, "does not match its own checksum");
  json_object_del(manifest, "checksum");
  json_dump_file(manifest, store_file(&it, ".json"), 0);
  cr_assert_eq(store_finish(&it, STORE_RESUME), 10);
  json_decref(manifest);
  store_case_remove(&it);
}

Test(store_disk, a_manifest_that_makes_no_sense_is_refused) {
  static const struct {
    const char *text, *words;
    ntk_status status;
  } cases[] = {
      {"", "is not JSON", NTK_ERROR_CORRUPT},
      {"{\"format\": \"npy\"}", "is not a manifest of libntk", NTK_ERROR_CORRUPT},
      {"{\"format\": \"libntk-matrix\", \"format_version\": 2}", "version 2", NTK_ERROR_UNSUPPORTED},
      {"{\"format\": \"libntk-matrix\", \"format_version\": 1}", "makes no sense", NTK_ERROR_CORRUPT},
      {"{\"format\": \"libntk-matrix\", \"format_version\": 1, \"complete\": true, \"rows\": 7, \"columns\": 5, "
       "\"tile\": "
       "-2, \"dtype\": \"float64\", \"symmetric\": false, \"identity\": {}}",
       "makes no sense", NTK_ERROR_CORRUPT},
  };
  store_case it = store_case_new();
  store_write_some(&it, STORE_CREATE, 2);
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    store_write_file(store_file(&it, ".json"), cases[k].text, strlen(cases[k].text));
    store_assert_fails(&it, STORE_RESUME, cases[k].status, cases[k].words);
  }
  store_case_remove(&it);
}

Test(store_disk, a_missing_or_shortened_file_is_found) {
  static const char *const suffixes[] = {"", ".json", ".journal"};
  store_case it = store_case_new();
  for (int k = 0; k < 3; k++) {
    store_finish(&it, STORE_OVERWRITE);
    unlink(store_file(&it, suffixes[k]));
    store_assert_fails(&it, STORE_RESUME, NTK_ERROR_CORRUPT, "is missing although");
  }
  store_finish(&it, STORE_OVERWRITE);
  cr_assert_eq(truncate(it.path[0], 200), 0);
  store_assert_fails(&it, STORE_RESUME, NTK_ERROR_CORRUPT, "has 200 bytes instead of 408");
  store_case_remove(&it);
}

Test(store_disk, links_are_not_followed) {
  store_case it = store_case_new();
  store_write_file(it.path[1], "mine", 4);
  cr_assert_eq(symlink(it.path[1], it.path[0]), 0);
  store_assert_fails(&it, STORE_OVERWRITE, NTK_ERROR_ARGUMENT, "not a regular file");
  cr_assert_eq(store_file_size(it.path[1]), 4);
  store_case_remove(&it);
}
