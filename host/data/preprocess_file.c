/* The files of a preprocessing with an array: FILE, an ordinary .npy array, and FILE.json, which says what it is. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <ntk/npy.h>
#include <ntk/version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/data/dataset.h"
#include "host/data/file.h"
#include "host/data/npy.h"
#include "host/data/preprocess.h"
#include "host/data/spec.h"
#include "host/status.h"

static const char format_name[] = "libntk-preprocess";
enum { FORMAT_VERSION = 1, MOST_TEXT = 1 << 26 };

static ntk_status name_json(const char *path, char **out) {
  if (asprintf(out, "%s.json", path) >= 0) return NTK_OK;
  *out = NULL;
  return ntk_fail(NTK_ERROR_MEMORY, "no memory for the name of a file");
}

static ntk_status set_path(ntk_preprocess *p, const char *path) {
  char *absolute = strdup(path);
  if (!absolute) return ntk_fail(NTK_ERROR_MEMORY, "no memory for the name of a file");
  ntk_status status = ntk_path_absolute(&absolute);
  if (status != NTK_OK) {
    free(absolute);
    return status;
  }
  free(p->path);
  p->path = absolute;
  return NTK_OK;
}

bool ntk_preprocess_is_stored(const char *path) {
  char *json = NULL;
  bool there = access(path, F_OK) == 0;
  if (!there && name_json(path, &json) == NTK_OK) there = access(json, F_OK) == 0;
  free(json);
  return there;
}

const char *ntk_preprocess_path(const ntk_preprocess *preprocess) {
  return preprocess && preprocess->path ? preprocess->path : "";
}

/* ---- writing ---- */

static ntk_status write_json(const ntk_preprocess *p, const char *path) {
  char *name = NULL;
  json_t *root = json_pack("{s:s, s:i, s:s, s:s}", "format", format_name, "format_version", FORMAT_VERSION,
                           "preprocess", p->text, "written_by", "libntk " NTK_VERSION_STRING);
  char *text = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
  json_decref(root);
  ntk_status status = text ? name_json(path, &name) : ntk_fail(NTK_ERROR_MEMORY, "no memory to write %s.json", path);
  if (status == NTK_OK) status = ntk_file_write(name, text, (int64_t)strlen(text), "\n", 1);
  free(name);
  free(text);
  return status;
}

ntk_status ntk_preprocess_save(ntk_preprocess *p, const char *path) {
  int64_t sizes[4];
  if (!p || !path || !*path)
    return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_preprocess_save needs a preprocessing and a path");
  if (!ntk_preprocess_has_array(p->mode))
    return ntk_fail(NTK_ERROR_ARGUMENT, "the preprocessing %s needs no file: its text, ntk_preprocess_text, says all",
                    ntk_preprocess_mode_name(p->mode));
  const int rank = ntk_preprocess_array_sizes(p, sizes);
  NTK_TRY(ntk_npy_write(path, NTK_DTYPE_F64, rank, sizes, p->array));
  NTK_TRY(write_json(p, path));
  return set_path(p, path);
}

/* ---- reading ---- */

static ntk_status read_text(const char *path, char **text) {
  int fd;
  int64_t size;
  NTK_TRY(ntk_file_open(path, &fd, &size));
  *text = size < MOST_TEXT ? calloc((size_t)size + 1, 1) : NULL;
  ntk_status status = *text ? ntk_file_read(fd, path, 0, size, *text)
                            : ntk_fail(NTK_ERROR_MEMORY, "no memory for the %lld bytes of %s", (long long)size, path);
  close(fd);
  return status;
}

static ntk_status parse_json(const char *path, const char *text, ntk_preprocess **out) {
  json_t *root = json_loads(text, 0, NULL);
  const char *format = json_string_value(json_object_get(root, "format"));
  const char *fitted = json_string_value(json_object_get(root, "preprocess"));
  ntk_status status;
  if (!format || strcmp(format, format_name) != 0 || !fitted)
    status =
        ntk_fail(NTK_ERROR_CORRUPT, "%s does not describe a fitted preprocessing: restore it or fit it again", path);
  else if (json_integer_value(json_object_get(root, "format_version")) != FORMAT_VERSION)
    status = ntk_fail(NTK_ERROR_UNSUPPORTED, "%s is of another version than %d: use the libntk that wrote it", path,
                      FORMAT_VERSION);
  else
    status = ntk_preprocess_parse_fitted(fitted, out);
  json_decref(root);
  return status;
}

static ntk_status read_json(const char *path, ntk_preprocess **out) {
  char *name = NULL, *text = NULL;
  ntk_status status = name_json(path, &name);
  if (status == NTK_OK) status = read_text(name, &text);
  if (status == NTK_OK) status = parse_json(name, text, out);
  free(text);
  free(name);
  return status;
}

static ntk_status read_array(const char *path, ntk_preprocess *p) {
  ntk_source record = {0};
  ntk_npy_info info;
  int64_t sizes[4];
  char checksum[33];
  NTK_TRY(ntk_source_set_shape(&record, path, p->shape));
  if (p->mode == NTK_PREPROCESS_PATCHES) NTK_TRY(ntk_patches_check(p));
  const int rank = ntk_preprocess_array_sizes(p, sizes);
  NTK_TRY(ntk_npy_stat(path, &info));
  if (info.dtype != NTK_DTYPE_F64 || info.rank != rank || memcmp(info.shape, sizes, (size_t)rank * sizeof *sizes) != 0)
    return ntk_fail(NTK_ERROR_CORRUPT, "%s holds another array than %s.json says: restore them or fit again", path,
                    path);
  NTK_TRY(ntk_npy_read_f64(path, &info, &p->array));
  memcpy(checksum, p->checksum, sizeof checksum);
  NTK_TRY(ntk_preprocess_finish_array(p));
  if (strcmp(checksum, p->checksum) != 0)
    return ntk_fail(NTK_ERROR_CORRUPT, "%s does not match its checksum in %s.json: restore the file or fit again", path,
                    path);
  for (int64_t i = 0, count = ntk_npy_values(NTK_DTYPE_F64, rank, sizes); i < count; i++)
    if (!isfinite(p->array[i]))
      return ntk_fail(NTK_ERROR_CORRUPT, "%s holds a value that is not finite: restore the file or fit again", path);
  return NTK_OK;
}

ntk_status ntk_preprocess_load(const char *path, ntk_preprocess **out) {
  ntk_preprocess *made = NULL;
  if (!path || !out) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_preprocess_load needs a path and a place for the result");
  NTK_TRY(read_json(path, &made));
  ntk_status status = read_array(path, made);
  if (status == NTK_OK) status = set_path(made, path);
  if (status == NTK_OK)
    *out = made;
  else
    ntk_preprocess_free(made);
  return status;
}
