#include "host/gram/manifest.h"

#include <ntk/version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/data/spec.h"
#include "host/gram/plan.h"
#include "host/status.h"

json_t *ntk_manifest_data(const ntk_dataset *data) {
  if (!data) return json_null();
  ntk_shape shape = ntk_dataset_shape(data);
  return json_pack("{s:s, s:s, s:I, s:[I,I,I]}", "hash", ntk_dataset_hash(data), "preprocess",
                   ntk_dataset_preprocess_text(data), "count", (json_int_t)ntk_dataset_count(data), "shape",
                   (json_int_t)shape.channels, (json_int_t)shape.height, (json_int_t)shape.width);
}

/* For people. */
static const char *normalisation(const ntk_plan *plan) {
  switch (ntk_plan_convention(plan)) {
    case NTK_CONVENTION_BY_NAME: return "published convention of the preset (generic times scale)";
    case NTK_CONVENTION_GENERIC: return "generic";
    default: return "published convention (generic times scale)";
  }
}

/* The file of a preprocessing for the manifest of the matrix at `path`: its bare name where both are in one folder, so
 * that they can be moved together. */
const char *ntk_manifest_preprocess_file(const ntk_dataset *data, const char *path) {
  const char *file = data ? ntk_dataset_preprocess_path(data) : "";
  const char *slash = strrchr(file, '/');
  if (!slash) return NULL;
  char *absolute = strdup(path);
  bool beside = false;
  if (absolute && ntk_path_absolute(&absolute) == NTK_OK) {
    const char *last = strrchr(absolute, '/');
    beside = last && last - absolute == slash - file && strncmp(absolute, file, (size_t)(slash - file)) == 0;
  }
  free(absolute);
  return beside ? slash + 1 : file;
}

char *ntk_manifest_write(const ntk_plan *plan, size_t index, const char *isa, const ntk_dataset *rows,
                         const ntk_dataset *columns, const char *path) {
  ntk_output output = ntk_plan_output(plan, index);
  json_t *identity = json_pack(
      "{s:s, s:s?, s:s, s:f, s:s, s:i, s:i, s:b, s:s, s:s, s:o, s:o}", "network", ntk_plan_network_text(plan), "preset",
      ntk_plan_preset(plan), "convention", ntk_convention_name(ntk_plan_convention(plan)), "scale",
      ntk_plan_scale(plan), "kernel", output.kernel == NTK_KERNEL_NTK ? "ntk" : "nngp", "depth", output.depth, "pool",
      output.pool, "flip", output.flip, "precision", ntk_plan_precision(plan) == NTK_F64 ? "f64" : "f32", "isa", isa,
      "rows", ntk_manifest_data(rows), "columns", ntk_manifest_data(columns));
  json_t *root = identity ? json_pack("{s:o, s:s, s:s, s:s, s:s, s:s?, s:s*, s:s*}", "identity", identity, "written_by",
                                      "libntk " NTK_VERSION_STRING, "normalisation", normalisation(plan), "output",
                                      output.name, "rows_data", ntk_dataset_spec(rows), "columns_data",
                                      columns ? ntk_dataset_spec(columns) : NULL, "rows_preprocess_file",
                                      ntk_manifest_preprocess_file(rows, path), "columns_preprocess_file",
                                      ntk_manifest_preprocess_file(columns, path))
                          : NULL;
  char *text = root ? json_dumps(root, JSON_REAL_PRECISION(17)) : NULL;
  json_decref(root);
  return text;
}

static const char *text_of(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text ? text : "";
}

/* Loads the preprocessing `text` from the file that the manifest of the matrix at `path` names. */
static ntk_status load_preprocess(const char *file, const char *path, const char *text, ntk_preprocess **out) {
  const char *slash = strchr(file, '/') ? NULL : strrchr(path, '/');
  char *name = NULL;
  if (asprintf(&name, "%.*s%s", slash ? (int)(slash + 1 - path) : 0, path, file) < 0)
    return ntk_fail(NTK_ERROR_MEMORY, "no memory for the name of a file");
  ntk_preprocess *loaded = NULL;
  ntk_status status = ntk_preprocess_load(name, &loaded);
  if (status == NTK_OK && strcmp(ntk_preprocess_text(loaded), text) != 0)
    status = ntk_fail(NTK_ERROR_MISMATCH,
                      "%s is not the preprocessing that %s was computed with: bring the old file back, or compute the "
                      "matrix again",
                      name, path);
  free(name);
  if (status == NTK_OK)
    *out = loaded;
  else
    ntk_preprocess_free(loaded);
  return status;
}

static ntk_status open_preprocess(const json_t *manifest, const char *file_key, const char *path, const char *text,
                                  ntk_preprocess **out) {
  const char *file = text_of(manifest, file_key);
  if (*file) return load_preprocess(file, path, text, out);
  if (ntk_preprocess_parse(text, out) == NTK_OK) return NTK_OK;
  return ntk_fail(
      NTK_ERROR_ARGUMENT,
      "the matrix was computed with a preprocessing that was not saved (%.60s...): there is no file to read it "
      "from again",
      text);
}

static ntk_status open_data(const json_t *manifest, const char *path, const char *spec_key, const char *file_key,
                            const json_t *described, ntk_dataset **out) {
  const char *spec = text_of(manifest, spec_key);
  ntk_preprocess *preprocess = NULL;
  if (!*spec)
    return ntk_fail(NTK_ERROR_ARGUMENT,
                    "the matrix was made from data in memory: there is no file to read it from again");
  NTK_TRY(ntk_dataset_open(spec, out));
  ntk_status status = open_preprocess(manifest, file_key, path, text_of(described, "preprocess"), &preprocess);
  if (status == NTK_OK) status = ntk_dataset_preprocess(*out, preprocess);
  ntk_preprocess_free(preprocess);
  if (status == NTK_OK && strcmp(ntk_dataset_hash(*out), text_of(described, "hash")) != 0)
    status =
        ntk_fail(NTK_ERROR_MISMATCH, "%s has changed since the matrix was computed: bring the old data back", spec);
  if (status != NTK_OK) {
    ntk_dataset_free(*out);
    *out = NULL;
  }
  return status;
}

/* No name: the convention of the network's name. */
static ntk_status read_convention(const char *name, ntk_convention *out) {
  *out = NTK_CONVENTION_BY_NAME;
  for (int k = 0; *name && ntk_convention_name((ntk_convention)k); k++) {
    if (strcmp(ntk_convention_name((ntk_convention)k), name) != 0) continue;
    *out = (ntk_convention)k;
    return NTK_OK;
  }
  if (!*name) return NTK_OK;
  return ntk_fail(NTK_ERROR_UNSUPPORTED,
                  "the matrix is in the convention '%s', which this version of libntk does not know", name);
}

static ntk_status rebuild_plan(const json_t *identity, ntk_shape shape, ntk_plan **plan) {
  const char *preset = text_of(identity, "preset");
  int depth = (int)json_integer_value(json_object_get(identity, "depth"));
  int pool = (int)json_integer_value(json_object_get(identity, "pool"));
  ntk_plan_options options = {.precision = NTK_F64};
  NTK_TRY(read_convention(text_of(identity, "convention"), &options.convention));
  if (json_is_true(json_object_get(identity, "flip"))) options.flip = NTK_FLIP_AVERAGE;
  options.kernels = strcmp(text_of(identity, "kernel"), "nngp") == 0 ? NTK_KERNEL_NNGP : NTK_KERNEL_NTK;
  ntk_network *network = NULL;
  NTK_TRY(ntk_network_parse(*preset ? preset : text_of(identity, "network"), &network));
  /* as written first; the depth or the pool differ only where the matrix came from a sweep */
  ntk_status status = ntk_plan_create(network, shape, &options, plan);
  if (status == NTK_OK) {
    ntk_output output = ntk_plan_output(*plan, 0);
    if (output.depth != depth) options.depths = &depth, options.depth_count = 1;
    if (output.pool != pool) options.pools = &pool, options.pool_count = 1;
    if (options.depth_count || options.pool_count) {
      ntk_plan_free(*plan);
      *plan = NULL;
      status = ntk_plan_create(network, shape, &options, plan);
    }
  }
  ntk_network_free(network);
  return status;
}

ntk_status ntk_manifest_rebuild(const json_t *manifest, const char *path, ntk_plan **plan, ntk_dataset **rows,
                                ntk_dataset **columns) {
  const json_t *identity = json_object_get(manifest, "identity");
  const json_t *row_data = json_object_get(identity, "rows"), *column_data = json_object_get(identity, "columns");
  *plan = NULL, *rows = *columns = NULL;
  if (!json_is_object(identity) || !json_is_object(row_data))
    return ntk_fail(NTK_ERROR_CORRUPT, "the manifest lacks its identity: the matrix must be computed again");
  if (json_object_get(identity, "features"))
    return ntk_fail(NTK_ERROR_ARGUMENT,
                    "%s holds random features, which have no exact value: only kernel matrices are verified", path);
  ntk_status status = open_data(manifest, path, "rows_data", "rows_preprocess_file", row_data, rows);
  if (status == NTK_OK && json_is_object(column_data))
    status = open_data(manifest, path, "columns_data", "columns_preprocess_file", column_data, columns);
  if (status == NTK_OK) status = rebuild_plan(identity, ntk_dataset_shape(*rows), plan);
  if (status == NTK_OK) return NTK_OK;
  ntk_dataset_free(*rows), ntk_dataset_free(*columns);
  *rows = *columns = NULL;
  return status;
}
