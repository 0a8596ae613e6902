#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "host/status.h"
#include "host/store/internal.h"

#define FORMAT "libntk-matrix"

enum { VERSION = 1, TEXT_LIMIT = 16 << 20 };

/* 17 digits bring every double back exactly. */
static const size_t dump_flags = JSON_REAL_PRECISION(17) | JSON_ENCODE_ANY;

static const char *const own_keys[] = {"format",  "format_version", "complete",  "journal", "rows",
                                       "columns", "dtype",          "symmetric", "tile",    "checksum"};

static ntk_status no_memory(const char *path) {
  return ntk_fail(NTK_ERROR_MEMORY, "no memory for the manifest of %s", path);
}

ntk_status ntk_store_manifest_information(const char *path, const char *text, json_t **information) {
  json_error_t error;
  *information = json_loads(text, JSON_REJECT_DUPLICATES, &error);
  if (!*information)
    return ntk_fail(NTK_ERROR_ARGUMENT, "the manifest given for %s is not JSON (line %d, column %d: %s)", path,
                    error.line, error.column, error.text);
  if (!json_is_object(json_object_get(*information, "identity")))
    return ntk_fail(NTK_ERROR_ARGUMENT, "the manifest given for %s has no object \"identity\"", path);
  for (size_t k = 0; k < sizeof own_keys / sizeof *own_keys; k++)
    if (json_object_get(*information, own_keys[k]))
      return ntk_fail(NTK_ERROR_ARGUMENT,
                      "the manifest given for %s may not have the key \"%s\", which is the store's own", path,
                      own_keys[k]);
  return NTK_OK;
}

/* The checksum of what a manifest says, whatever the order of its keys and its white space. */
static ntk_status content_checksum(const char *path, const json_t *manifest, char text[17]) {
  json_t *rest = json_copy((json_t *)manifest);
  char *canonical = NULL;
  if (rest) {
    json_object_del(rest, "checksum");
    canonical = json_dumps(rest, dump_flags | JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(rest);
  }
  if (!canonical) return no_memory(path);
  snprintf(text, 17, "%016" PRIx64, (uint64_t)XXH3_64bits(canonical, strlen(canonical)));
  free(canonical);
  return NTK_OK;
}

ntk_status ntk_store_manifest_text(const json_t *information, const ntk_store_shape *shape, const char *journal,
                                   bool complete, char **text) {
  *text = NULL;
  json_t *manifest = json_pack("{s:s, s:i, s:b, s:I, s:I, s:s, s:b, s:I, s:s}", "format", FORMAT, "format_version",
                               VERSION, "complete", (int)complete, "rows", (json_int_t)shape->rows, "columns",
                               (json_int_t)shape->columns, "dtype", ntk_store_dtype_name(shape->dtype), "symmetric",
                               (int)shape->symmetric, "tile", (json_int_t)shape->tile, "journal", journal);
  char checksum[17];
  ntk_status status = NTK_OK;
  if (!manifest || json_object_update(manifest, (json_t *)information) < 0) status = no_memory(journal);
  if (status == NTK_OK) status = content_checksum(journal, manifest, checksum);
  if (status == NTK_OK && json_object_set_new(manifest, "checksum", json_string(checksum)) < 0)
    status = no_memory(journal);
  if (status == NTK_OK) *text = json_dumps(manifest, dump_flags | JSON_INDENT(2));
  json_decref(manifest);
  return status == NTK_OK && !*text ? no_memory(journal) : status;
}

static bool get_integer(const json_t *manifest, const char *key, int64_t *value) {
  const json_t *item = json_object_get(manifest, key);
  *value = json_integer_value(item);
  return json_is_integer(item);
}

static bool get_boolean(const json_t *manifest, const char *key, bool *value) {
  const json_t *item = json_object_get(manifest, key);
  *value = json_is_true(item);
  return json_is_boolean(item);
}

static bool get_shape(const json_t *manifest, ntk_store_shape *shape, bool *complete) {
  const char *dtype = json_string_value(json_object_get(manifest, "dtype"));
  if (!dtype || !get_integer(manifest, "rows", &shape->rows) || !get_integer(manifest, "columns", &shape->columns) ||
      !get_integer(manifest, "tile", &shape->tile) || !get_boolean(manifest, "symmetric", &shape->symmetric) ||
      !get_boolean(manifest, "complete", complete))
    return false;
  shape->dtype = strcmp(dtype, "float32") == 0 ? NTK_DTYPE_F32 : NTK_DTYPE_F64;
  return strcmp(dtype, ntk_store_dtype_name(shape->dtype)) == 0 && ntk_store_shape_valid(shape) &&
         json_is_object(json_object_get(manifest, "identity"));
}

static ntk_status check(const char *path, const json_t *manifest, ntk_store_shape *shape, bool *complete) {
  const char *format = json_string_value(json_object_get(manifest, "format"));
  int64_t version;
  if (!format || strcmp(format, FORMAT) != 0 || !get_integer(manifest, "format_version", &version))
    return ntk_fail(NTK_ERROR_CORRUPT, "%s is not a manifest of libntk: restore it, or start again with --overwrite",
                    path);
  /* No checksum: somebody changed the manifest by hand and took responsibility by removing it. */
  const json_t *stored = json_object_get(manifest, "checksum");
  if (stored) {
    char actual[17];
    NTK_TRY(content_checksum(path, manifest, actual));
    if (!json_is_string(stored) || strcmp(json_string_value(stored), actual) != 0)
      return ntk_fail(NTK_ERROR_CORRUPT,
                      "%s does not match its own checksum: restore it (if it was changed on purpose, remove its key "
                      "\"checksum\"), or start again with --overwrite",
                      path);
  }
  if (version != VERSION)
    return ntk_fail(NTK_ERROR_UNSUPPORTED,
                    "%s has format version %lld, but this libntk knows version %d only: use the version that wrote it",
                    path, (long long)version, VERSION);
  if (!get_shape(manifest, shape, complete))
    return ntk_fail(
        NTK_ERROR_CORRUPT,
        "%s lacks rows, columns, dtype, symmetric, tile, complete or identity, or one makes no sense: restore "
        "it, or start again with --overwrite",
        path);
  return NTK_OK;
}

ntk_status ntk_store_manifest_parse(const char *path, const char *text, size_t size, json_t **manifest,
                                    ntk_store_shape *shape, bool *complete) {
  json_error_t error;
  *manifest = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
  if (!*manifest)
    return ntk_fail(NTK_ERROR_CORRUPT,
                    "%s is not JSON (line %d, column %d: %s): restore it, or start again with --overwrite", path,
                    error.line, error.column, error.text);
  ntk_status status = check(path, *manifest, shape, complete);
  if (status != NTK_OK) {
    json_decref(*manifest);
    *manifest = NULL;
  }
  return status;
}

static ntk_status read_text(const ntk_store_file *file, char **text, size_t *size) {
  struct stat status;
  if (fstat(file->fd, &status) < 0) return ntk_store_file_fail(file, "read");
  if (status.st_size > TEXT_LIMIT)
    return ntk_fail(NTK_ERROR_CORRUPT,
                    "%s has %lld bytes and cannot be a manifest: restore it, or start again with --overwrite",
                    file->path, (long long)status.st_size);
  *text = malloc((size_t)status.st_size + 1);
  if (!*text) return no_memory(file->path);
  ntk_status result = ntk_store_file_read(file, *text, (size_t)status.st_size, 0, size);
  if (result == NTK_OK) {
    (*text)[*size] = 0;
    return NTK_OK;
  }
  free(*text);
  *text = NULL;
  return result;
}

ntk_status ntk_store_manifest_load(const char *path, int folder, const char *name, char **text, size_t *size) {
  *text = NULL;
  ntk_store_file file = {.fd = openat(folder, name, O_RDONLY | O_CLOEXEC), .path = path};
  if (file.fd < 0) return ntk_store_file_fail(&file, "opened");
  ntk_status status = read_text(&file, text, size);
  ntk_store_file_close(&file);
  return status;
}

ntk_status ntk_store_manifest_stage(const ntk_store_place *place, const char *text) {
  ntk_store_file file = {.path = place->path[NTK_STORE_MANIFEST], .size = (int64_t)strlen(text) + 1};
  file.fd = openat(place->folder, place->staged[NTK_STORE_MANIFEST], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file.fd < 0) return ntk_store_file_fail(&file, "created");
  ntk_status status = ntk_store_file_write(&file, text, strlen(text), 0);
  if (status == NTK_OK) status = ntk_store_file_write(&file, "\n", 1, (int64_t)strlen(text));
  if (status == NTK_OK) status = ntk_store_file_sync(&file);
  ntk_store_file_close(&file);
  return status;
}

ntk_status ntk_store_manifest_replace(const ntk_store_place *place, const json_t *information,
                                      const ntk_store_shape *shape, bool complete) {
  char *text;
  NTK_TRY(ntk_store_manifest_text(information, shape, place->name[NTK_STORE_JOURNAL], complete, &text));
  ntk_status status = ntk_store_manifest_stage(place, text);
  free(text);
  const char *staged = place->staged[NTK_STORE_MANIFEST];
  if (status == NTK_OK && renameat(place->folder, staged, place->folder, place->name[NTK_STORE_MANIFEST]) < 0) {
    ntk_store_file file = {.fd = -1, .path = place->path[NTK_STORE_MANIFEST]};
    status = ntk_store_file_fail(&file, "replaced");
  }
  if (status == NTK_OK) return ntk_store_place_sync(place);
  unlinkat(place->folder, staged, 0);
  return status;
}
