#include <criterion/criterion.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/store/store.h"
#include "tests/support_store.h"

/* ---- what is stored ---- */

Test(store, every_size_and_tile_is_stored_exactly) {
  static const int64_t sizes[] = {1, 2, 5, 7};
  store_case it = store_case_new();
  for (int pick = 0; pick < 4 * 4 * 2 * 2; pick++) {
    it.rows = sizes[pick % 4];
    it.columns = sizes[pick / 4 % 4];
    it.dtype = pick / 16 % 2 ? NTK_DTYPE_F32 : NTK_DTYPE_F64;
    it.symmetric = pick / 32;
    if (it.symmetric && it.rows != it.columns) continue;
    for (it.tile = 1; it.tile <= 8; it.tile++) {
      store_finish(&it, STORE_OVERWRITE);
      store_assert_complete(&it);
      if (it.tile % 3 == 1) cr_assert_eq(store_finish(&it, STORE_RESUME), 0);
    }
  }
  store_case_remove(&it);
}

Test(store, bands_of_a_wide_tile_are_joined) {
  /* A tile larger than the buffer that it is rounded and transposed through. */
  enum { SIZE = 150, TILE = 140 };
  store_case it = store_case_new();
  it.rows = it.columns = SIZE;
  it.tile = TILE;
  it.symmetric = true;
  double *values = malloc(sizeof *values * TILE * TILE);
  const double *const pointer[] = {values};
  ntk_store *store;
  cr_assert_eq(store_open(&it, STORE_CREATE, &store), NTK_OK, "%s", ntk_last_error());
  for (int64_t i = 0; i < 2; i++)
    for (int64_t j = i; j < 2; j++) {
      int64_t rows = i ? SIZE - TILE : TILE, columns = j ? SIZE - TILE : TILE;
      for (int64_t n = 0; n < rows * columns; n++)
        values[n] = store_value(&it, 0, i * TILE + n / columns, j * TILE + n % columns);
      cr_assert_eq(ntk_store_write(store, i, j, pointer), NTK_OK, "%s", ntk_last_error());
    }
  cr_assert_eq(ntk_store_close(store), NTK_OK, "%s", ntk_last_error());
  store_assert_complete(&it);
  cr_assert_eq(store_finish(&it, STORE_RESUME), 0);
  free(values);
  store_case_remove(&it);
}

Test(store, resuming_asks_for_unfinished_tiles_only) {
  store_case it = store_case_new();
  it.count = 2;
  store_write_some(&it, STORE_CREATE, 5);
  it.tile = 1; /* the journal's tile wins */
  ntk_store *store;
  cr_assert_eq(store_open(&it, STORE_RESUME, &store), NTK_OK, "%s", ntk_last_error());
  cr_assert_eq(ntk_store_tile(store), 2);
  cr_assert(ntk_store_done(store, 0, 0) && ntk_store_done(store, 1, 1) && !ntk_store_done(store, 1, 2));
  cr_assert(!ntk_store_done(store, 4, 0) && !ntk_store_done(store, -1, 0));
  cr_assert_eq(ntk_store_close(store), NTK_OK);
  cr_assert_eq(store_finish(&it, STORE_RESUME), 4 * 3 - 5);
  store_assert_complete(&it);
  store_case_remove(&it);
}

Test(store, a_tile_counts_only_if_every_matrix_has_it) {
  store_case it = store_case_new();
  it.count = 2;
  store_write_some(&it, STORE_CREATE, 5);
  cr_assert_eq(truncate(store_file(&it, ".journal"), 64 + 3 * 40), 0);
  cr_assert_eq(store_finish(&it, STORE_RESUME), 4 * 3 - 3);
  store_assert_complete(&it);
  for (size_t k = 0; k < 2; k++) { /* matrix 1 kept its records and got no second ones */
    char journal[128];
    snprintf(journal, sizeof journal, "%s.journal", it.path[k]);
    cr_assert_eq(store_file_size(journal), 64 + 12 * 40);
  }
  store_case_remove(&it);
}

Test(store, journalled_values_stay_as_they_are) {
  store_case it = store_case_new();
  it.count = 2;
  store_finish(&it, STORE_CREATE);
  cr_assert_eq(truncate(store_file(&it, ".journal"), 64), 0);
  const store_case before = it;
  it.shift = 0.5; /* as if another machine computed the rest */
  cr_assert_eq(store_finish(&it, STORE_RESUME), 12);
  const int64_t zero = 0;
  double first, second;
  cr_assert_eq(ntk_store_read_entries(it.path[0], 1, &zero, &zero, &first), NTK_OK);
  cr_assert_eq(ntk_store_read_entries(it.path[1], 1, &zero, &zero, &second), NTK_OK);
  cr_assert(first == store_value(&it, 0, 0, 0) && second == store_value(&before, 1, 0, 0));
  cr_assert_eq(store_finish(&it, STORE_RESUME), 0);
  store_case_remove(&it);
}

Test(store, a_tile_is_finished_only_once_it_is_durable) {
  store_case it = store_case_new();
  ntk_store *store;
  cr_assert_eq(store_open(&it, STORE_CREATE, &store), NTK_OK);
  cr_assert_eq(store_write_tile(&it, store, 1, 1), NTK_OK);
  cr_assert_eq(store_write_tile(&it, store, 1, 1), NTK_OK); /* changes nothing */
  cr_assert_eq(ntk_store_flush(store), NTK_OK);
  cr_assert(ntk_store_done(store, 1, 1));
  cr_assert_eq(store_file_size(store_file(&it, ".journal")), 64 + 40);
  cr_assert_eq(store_write_tile(&it, store, 1, 1), NTK_OK);
  cr_assert_eq(ntk_store_write(store, 4, 0, NULL), NTK_ERROR_ARGUMENT);
  cr_assert_eq(ntk_store_write(store, 0, -1, NULL), NTK_ERROR_ARGUMENT);
  cr_assert_eq(ntk_store_close(store), NTK_OK);
  cr_assert_eq(store_file_size(store_file(&it, ".journal")), 64 + 40);
  store_case_remove(&it);
}

typedef struct worker {
  const store_case *it;
  ntk_store *store;
  int64_t first;
  ntk_status status;
} worker;

static void *write_alternate_tiles(void *user) {
  worker *self = user;
  int64_t across = store_tiles_across(self->it, self->store);
  for (int64_t n = self->first; n < across * across; n += 2) {
    if (n / across > n % across) continue;
    self->status = store_write_tile(self->it, self->store, n / across, n % across);
    if (self->status == NTK_OK && n % 5 == 0) self->status = ntk_store_flush(self->store);
    if (self->status != NTK_OK) break;
  }
  return NULL;
}

Test(store, threads_write_together) {
  store_case it = store_case_new();
  it.count = 2;
  it.rows = it.columns = 23;
  it.symmetric = true;
  ntk_store *store;
  cr_assert_eq(store_open(&it, STORE_CREATE, &store), NTK_OK, "%s", ntk_last_error());
  worker workers[] = {{&it, store, 0, NTK_OK}, {&it, store, 1, NTK_OK}, {&it, store, 1, NTK_OK}};
  pthread_t threads[3];
  for (int k = 0; k < 3; k++) cr_assert_eq(pthread_create(&threads[k], NULL, write_alternate_tiles, &workers[k]), 0);
  for (int k = 0; k < 3; k++) {
    pthread_join(threads[k], NULL);
    cr_assert_eq(workers[k].status, NTK_OK);
  }
  cr_assert_eq(ntk_store_close(store), NTK_OK, "%s", ntk_last_error());
  store_assert_complete(&it);
  cr_assert_eq(store_finish(&it, STORE_RESUME), 0);
  store_case_remove(&it);
}

Test(store, entries_are_read_back) {
  store_case it = store_case_new();
  it.dtype = NTK_DTYPE_F32;
  store_finish(&it, STORE_CREATE);
  const int64_t rows[] = {0, 6, 3}, columns[] = {0, 4, 1}, outside[] = {0, 5, 0};
  double values[3];
  cr_assert_eq(ntk_store_read_entries(it.path[0], 3, rows, columns, values), NTK_OK, "%s", ntk_last_error());
  for (int n = 0; n < 3; n++) cr_assert(values[n] == store_value(&it, 0, rows[n], columns[n]));
  cr_assert_eq(ntk_store_read_entries(it.path[0], 3, rows, outside, values), NTK_ERROR_ARGUMENT);
  cr_assert_eq(ntk_store_read_entries(it.path[1], 3, rows, columns, values), NTK_ERROR_IO);
  cr_assert_eq(truncate(it.path[0], 200), 0);
  cr_assert_eq(ntk_store_read_entries(it.path[0], 3, rows, columns, values), NTK_ERROR_CORRUPT);
  store_write_file(it.path[0], "short", 5);
  cr_assert_eq(ntk_store_read_entries(it.path[0], 3, rows, columns, values), NTK_ERROR_CORRUPT);
  store_case_remove(&it);
}

/* ---- manifests ---- */

Test(store, a_manifest_holds_numbers_exactly) {
  store_case it = store_case_new();
  it.manifest =
      "{\"identity\": {\"gamma\": 0.1, \"w\": 1.4142135623730951, \"big\": 9007199254740993}, \"list\": [1, {}]}";
  store_finish(&it, STORE_CREATE);
  char *text;
  cr_assert_eq(ntk_store_read_manifest(it.path[0], &text), NTK_OK, "%s", ntk_last_error());
  json_t *manifest = json_loads(text, 0, NULL), *given = json_loads(it.manifest, 0, NULL);
  cr_assert(json_equal(json_object_get(manifest, "identity"), json_object_get(given, "identity")));
  cr_assert(json_equal(json_object_get(manifest, "list"), json_object_get(given, "list")));
  cr_assert_str_eq(json_string_value(json_object_get(manifest, "format")), "libntk-matrix");
  cr_assert_eq(json_integer_value(json_object_get(manifest, "format_version")), 1);
  cr_assert_eq(json_integer_value(json_object_get(manifest, "rows")), 7);
  cr_assert_eq(json_integer_value(json_object_get(manifest, "columns")), 5);
  cr_assert_eq(json_integer_value(json_object_get(manifest, "tile")), 2);
  cr_assert(json_is_false(json_object_get(manifest, "symmetric")));
  cr_assert_str_eq(json_string_value(json_object_get(manifest, "dtype")), "float64");
  cr_assert_str_eq(json_string_value(json_object_get(manifest, "journal")), "K0.npy.journal");
  json_decref(manifest);
  json_decref(given);
  free(text);
  cr_assert_eq(ntk_store_read_manifest(it.path[1], &text), NTK_ERROR_IO);
  cr_assert_null(text);
  store_case_remove(&it);
}

Test(store, an_unfinished_matrix_says_so_and_information_is_renewed) {
  store_case it = store_case_new();
  char *text;
  store_write_some(&it, STORE_CREATE, 1);
  cr_assert_eq(ntk_store_read_manifest(it.path[0], &text), NTK_OK);
  cr_assert(strstr(text, "\"complete\": false") && strstr(text, "\"note\": \"first\""));
  free(text);
  it.manifest =
      "{\"note\": \"second\", \"identity\": {\"data\": {\"hash\": \"ab12\"}, \"network\": \"5*(conv3 relu) gap\"}}";
  store_finish(&it, STORE_RESUME);
  cr_assert_eq(ntk_store_read_manifest(it.path[0], &text), NTK_OK);
  cr_assert(strstr(text, "\"complete\": true") && strstr(text, "\"note\": \"second\""));
  free(text);
  store_case_remove(&it);
}

Test(store, another_identity_is_refused_with_the_first_difference) {
  store_case it = store_case_new();
  store_write_some(&it, STORE_CREATE, 3);
  static const struct {
    const char *manifest, *words;
  } cases[] = {
      {"{\"identity\": {\"network\": \"6*(conv3 relu) gap\", \"data\": {\"hash\": \"ffff\"}}}",
       "K0.npy was computed with network \"5*(conv3 relu) gap\", not \"6*(conv3 relu) gap\": choose another --out or "
       "the "
       "same network"},
      {"{\"identity\": {\"network\": \"5*(conv3 relu) gap\", \"data\": {\"hash\": \"cd34\"}}}",
       "K0.npy was computed with data.hash \"ab12\", not \"cd34\": choose another --out or the same data.hash"},
      {"{\"identity\": {\"network\": \"5*(conv3 relu) gap\", \"data\": [1]}}",
       "computed with data {\"hash\":\"ab12\"}, not [1]:"},
      {"{\"identity\": {\"network\": \"5*(conv3 relu) gap\", \"data\": {\"hash\": \"ab12\"}, \"seed\": 1}}",
       "K0.npy was computed without seed, not with 1: choose another --out"},
      {"{\"identity\": {\"data\": {\"hash\": \"ab12\"}}}",
       "K0.npy was computed with network \"5*(conv3 relu) gap\", not without it:"},
  };
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    it.manifest = cases[k].manifest;
    store_assert_fails(&it, STORE_RESUME, NTK_ERROR_MISMATCH, cases[k].words);
  }
  store_case_remove(&it);
}

Test(store, a_long_difference_is_shortened) {
  store_case it = store_case_new();
  char text[4000] = "{\"identity\": {\"list\": [0.1, \"";
  size_t length = strlen(text);
  for (size_t at = length; at < length + 3000; at += 2) memcpy(text + at, "\xc3\xa9", 3);
  strcat(text, "\"]}}");
  it.manifest = text;
  store_write_some(&it, STORE_CREATE, 1);
  it.manifest = "{\"identity\": {\"list\": [0.1, \"\"]}}";
  store_assert_fails(&it, STORE_RESUME, NTK_ERROR_MISMATCH,
                     "\xc3\xa9..., not \"\": choose another --out or the same list[1]");
  it.manifest = "{\"identity\": {\"list\": [0.10000000000000001, \"x\"]}}";
  store_assert_fails(&it, STORE_RESUME, NTK_ERROR_MISMATCH, "list[1]"); /* 0.1 is equal however it is written */
  store_case_remove(&it);
}

Test(store, another_shape_is_refused) {
  store_case it = store_case_new();
  it.columns = it.rows;
  store_write_some(&it, STORE_CREATE, 3);
  store_case other = it;
  other.rows = 6;
  store_assert_fails(&other, STORE_RESUME, NTK_ERROR_MISMATCH, "has 7 x 7 values, not 6 x 7");
  other = it;
  other.dtype = NTK_DTYPE_F32;
  store_assert_fails(&other, STORE_RESUME, NTK_ERROR_MISMATCH, "holds float64 values, not float32");
  other = it;
  other.symmetric = true;
  store_assert_fails(&other, STORE_RESUME, NTK_ERROR_MISMATCH, "not stored as symmetric");
  store_case_remove(&it);
}

/* Made by another implementation from docs/store-format.md. If this fails the format has changed: give it a new
 * version. */
Test(store, the_files_are_those_of_format_version_1) {
  static const char journal[] =
      "894e544b0d0a1a0a010000004000000003000000000000000200000000000000020000000000000004000000000000000000"
      "0000000000008261a7bd12a702c100000000000000000000000000000000d7d613fb38e750cd0000000000000000fe7436f1"
      "4341c9ab01000000000000000000000000000000781961728ed803a801000000000000008509a04c56ba3295";
  static const char manifest[] =
      "{\n  \"format\": \"libntk-matrix\",\n  \"format_version\": 1,\n  \"complete\": true,\n  \"rows\": 3,\n"
      "  \"columns\": 2,\n  \"dtype\": \"float32\",\n  \"symmetric\": false,\n  \"tile\": 2,\n"
      "  \"journal\": \"K0.npy.journal\",\n  \"identity\": {\n    \"gamma\": 0.10000000000000001\n  },\n"
      "  \"checksum\": \"a6bc663d4eab6457\"\n}\n";
  store_case it = store_case_new();
  it.rows = 3;
  it.columns = 2;
  it.dtype = NTK_DTYPE_F32;
  it.manifest = "{\"identity\": {\"gamma\": 0.1}}";
  store_write_some(&it, STORE_CREATE, 2);
  size_t size;
  char *bytes = store_read_file(store_file(&it, ".journal"), &size), hex[sizeof journal] = "";
  cr_assert_eq(size, 64 + 2 * 40);
  for (size_t k = 0; k < size; k++) snprintf(hex + 2 * k, 3, "%02x", (unsigned)(uint8_t)bytes[k]);
  cr_assert_str_eq(hex, journal);
  free(bytes);
  bytes = store_read_file(store_file(&it, ".json"), &size);
  cr_assert_str_eq(bytes, manifest);
  free(bytes);
  store_case_remove(&it);
}

/* ---- arguments and paths ---- */

Test(store, bad_arguments_are_refused) {
  store_case it = store_case_new();
  store_case bad = it;
  bad.rows = 0;
  store_assert_fails(&bad, STORE_CREATE, NTK_ERROR_ARGUMENT, "0 x 5");
  bad = it;
  bad.tile = 0;
  store_assert_fails(&bad, STORE_CREATE, NTK_ERROR_ARGUMENT, "tiles of 0");
  bad = it;
  bad.dtype = NTK_DTYPE_U8;
  store_assert_fails(&bad, STORE_CREATE, NTK_ERROR_ARGUMENT, "float32 or float64");
  bad = it;
  bad.symmetric = true;
  store_assert_fails(&bad, STORE_CREATE, NTK_ERROR_ARGUMENT, "symmetric");
  bad = it;
  bad.rows = bad.columns = INT64_C(1) << 32;
  store_assert_fails(&bad, STORE_CREATE, NTK_ERROR_ARGUMENT, "can be stored");
  bad = it;
  bad.count = 2;
  memcpy(bad.path[1], bad.path[0], sizeof bad.path[0]);
  store_assert_fails(&bad, STORE_CREATE, NTK_ERROR_ARGUMENT, "two matrices");
  bad = it;
  bad.rows = bad.columns = 1 << 20;
  bad.tile = 1;
  store_assert_fails(&bad, STORE_CREATE, NTK_ERROR_MEMORY, "larger --tile");
  bad = it;
  snprintf(bad.path[0], sizeof bad.path[0], "%s/", it.folder);
  store_assert_fails(&bad, STORE_CREATE, NTK_ERROR_ARGUMENT, "does not name a file");
  snprintf(bad.path[0], sizeof bad.path[0], "%s/none/K.npy", it.folder);
  store_assert_fails(&bad, STORE_CREATE, NTK_ERROR_IO, "folder");
  snprintf(bad.path[0], sizeof bad.path[0], "/tmp");
  store_assert_fails(&bad, STORE_OVERWRITE, NTK_ERROR_ARGUMENT, "not a regular file");
  cr_assert_eq(store_files(&it), 0);
  store_case_remove(&it);
}

Test(store, bad_manifests_are_refused) {
  static const struct {
    const char *manifest, *words;
  } cases[] = {{"{", "not JSON"},
               {"{\"identity\": {}, \"identity\": {}}", "not JSON"},
               {"[]", "identity"},
               {"{\"identity\": 1}", "identity"},
               {"{\"identity\": {}, \"complete\": true}", "\"complete\""},
               {"{\"identity\": {}, \"tile\": 3}", "\"tile\""}};
  store_case it = store_case_new();
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    it.manifest = cases[k].manifest;
    store_assert_fails(&it, STORE_CREATE, NTK_ERROR_ARGUMENT, cases[k].words);
  }
  cr_assert_eq(store_files(&it), 0);
  store_case_remove(&it);
}

Test(store, an_existing_path_is_refused) {
  static const char *const suffixes[] = {"", ".json", ".journal"};
  store_case it = store_case_new();
  for (int k = 0; k < 3; k++) {
    store_write_file(store_file(&it, suffixes[k]), "mine", 4);
    store_assert_fails(&it, STORE_CREATE, NTK_ERROR_ARGUMENT, "--resume");
    cr_assert(strstr(ntk_last_error(), store_file(&it, suffixes[k])));
    cr_assert_eq(store_file_size(store_file(&it, suffixes[k])), 4);
    unlink(store_file(&it, suffixes[k]));
  }
  store_write_file(it.path[0], "mine", 4);
  store_assert_fails(&it, STORE_RESUME, NTK_ERROR_ARGUMENT, "neither manifest nor journal");
  store_finish(&it, STORE_OVERWRITE);
  store_assert_complete(&it);
  store_case_remove(&it);
}

Test(store, resuming_nothing_starts_afresh) {
  store_case it = store_case_new();
  cr_assert_eq(store_finish(&it, STORE_RESUME), 12);
  store_assert_complete(&it);
  store_case_remove(&it);
}

Test(store, a_missing_matrix_is_created_beside_an_existing_one) {
  store_case it = store_case_new();
  store_finish(&it, STORE_CREATE);
  it.count = 2;
  it.tile = 3;
  cr_assert_eq(store_finish(&it, STORE_RESUME), 12);
  store_assert_complete(&it);
  store_case_remove(&it);
}

Test(store, matrices_of_different_tiles_are_not_resumed_together) {
  store_case it = store_case_new();
  store_case second = it;
  store_finish(&it, STORE_CREATE);
  memcpy(second.path[0], it.path[1], sizeof it.path[1]);
  second.tile = 3;
  store_finish(&second, STORE_CREATE);
  it.count = 2;
  store_assert_fails(&it, STORE_RESUME, NTK_ERROR_MISMATCH, "tiles of 2");
  store_case_remove(&it);
}

Test(store, resume_and_overwrite_exclude_each_other) {
  store_case it = store_case_new();
  const char *path = it.path[0];
  ntk_store_options options = {
      .count = 1, .paths = &path, .manifests = &it.manifest, .rows = 1, .columns = 1, .tile = 1};
  options.dtype = NTK_DTYPE_F64;
  options.resume = options.overwrite = true;
  ntk_store *store;
  cr_assert_eq(ntk_store_open(&options, &store), NTK_ERROR_ARGUMENT);
  options.count = 0;
  cr_assert_eq(ntk_store_open(&options, &store), NTK_ERROR_ARGUMENT);
  cr_assert_eq(ntk_store_close(NULL), NTK_OK);
  store_case_remove(&it);
}

Test(store, overwriting_replaces_all_three_files) {
  store_case it = store_case_new();
  store_finish(&it, STORE_CREATE);
  it.rows = it.columns = 4;
  it.symmetric = true;
  it.manifest = "{\"identity\": {}}";
  ntk_store *store;
  cr_assert_eq(store_open(&it, STORE_OVERWRITE, &store), NTK_OK, "%s", ntk_last_error());
  cr_assert(!ntk_store_done(store, 0, 0));
  cr_assert_eq(ntk_store_close(store), NTK_OK);
  cr_assert_eq(store_finish(&it, STORE_RESUME), 3);
  store_assert_complete(&it);
  store_case_remove(&it);
}

Test(store, a_matrix_being_written_is_locked) {
  store_case it = store_case_new();
  ntk_store *store;
  cr_assert_eq(store_open(&it, STORE_CREATE, &store), NTK_OK);
  cr_assert_eq(store_write_tile(&it, store, 0, 0), NTK_OK);
  store_assert_fails(&it, STORE_RESUME, NTK_ERROR_IO, "being written by another run");
  store_assert_fails(&it, STORE_OVERWRITE, NTK_ERROR_IO, "being written by another run");
  pid_t child = fork();
  if (child == 0) {
    ntk_store *second;
    _exit(store_open(&it, STORE_RESUME, &second) == NTK_ERROR_IO ? 0 : 1);
  }
  int result;
  cr_assert(waitpid(child, &result, 0) == child && WIFEXITED(result) && WEXITSTATUS(result) == 0);
  cr_assert_eq(ntk_store_close(store), NTK_OK);
  cr_assert_eq(store_finish(&it, STORE_RESUME), 11);
  store_case_remove(&it);
}

Test(store, a_change_of_folder_does_not_matter) {
  store_case it = store_case_new();
  cr_assert_eq(chdir(it.folder), 0);
  store_case relative = it;
  strcpy(relative.path[0], "K0.npy");
  ntk_store *store;
  int64_t written;
  cr_assert_eq(store_open(&relative, STORE_CREATE, &store), NTK_OK, "%s", ntk_last_error());
  cr_assert_eq(chdir("/"), 0);
  cr_assert_eq(store_write_tiles(&it, store, -1, 0, &written), NTK_OK);
  cr_assert_eq(ntk_store_close(store), NTK_OK, "%s", ntk_last_error());
  store_assert_complete(&it);
  store_case_remove(&it);
}
