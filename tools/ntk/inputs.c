#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/ntk/cli.h"

static bool starts_with(const char *text, const char *start) { return strncmp(text, start, strlen(start)) == 0; }

static bool is_image_set(const char *text) {
  return starts_with(text, "fashion-mnist:") || starts_with(text, "cifar10:");
}

int cli_data_open(const char *data, ntk_dataset **out) { return cli_check(ntk_dataset_open(data, out)); }

const char cli_preprocess_help[] =
    "none (default for npy): values as stored; standard (default for image sets): per channel, minus mean, over "
    "deviation, of the training set; unit: each record over its norm; image: each record minus its own mean, then over "
    "its norm; zca, zca(eps=1e-5,before=standard), zca(eps=0.1rel): whitening fitted to the training set after `image` "
    "or "
    "another mode, kept in a file beside the matrix; patches, patches(count=2048,size=5,...): responses of whitened "
    "random patches of the "
    "training set; zca:FILE, patches:FILE: such a file again. docs/data.md";

int cli_preprocess_check(const char *verb, const char *choice) {
  if (!choice || ntk_preprocess_check(choice) == NTK_OK) return CLI_EXIT_OK;
  return cli_usage(verb, "--preprocess: %s", ntk_last_error());
}

int cli_preprocess(const cli_preprocess_options *options, const char *data, const ntk_dataset *fit,
                   ntk_dataset *const *apply, size_t count) {
  const char *choice = options->choice ? options->choice : is_image_set(data) ? "standard" : "none";
  ntk_preprocess *preprocess = NULL;
  CLI_TRY(cli_check(ntk_preprocess_fit_stored(choice, fit, options->out, options->replace, &preprocess)));
  int code = CLI_EXIT_OK;
  for (size_t i = 0; i < count && code == CLI_EXIT_OK; ++i) {
    code = cli_check(ntk_dataset_preprocess(apply[i], preprocess));
  }
  ntk_preprocess_free(preprocess);
  return code;
}

static int labels_from_data(const char *data, int64_t *count, int32_t *classes, int32_t **labels) {
  ntk_dataset *dataset = NULL;
  CLI_TRY(cli_data_open(data, &dataset));
  int code = CLI_EXIT_OK;
  *count = ntk_dataset_count(dataset);
  *labels = NULL;
  if (!ntk_dataset_labels(dataset)) {
    code = cli_fail(CLI_EXIT_STATUS + NTK_ERROR_DATA, "%s has no labels; name them as npy:X.npy:y.npy", data);
  } else {
    size_t bytes = (size_t)*count * sizeof **labels;
    *labels = malloc(bytes);
    if (!*labels) {
      code = cli_fail(CLI_EXIT_STATUS + NTK_ERROR_MEMORY, "no memory is left for %" PRId64 " labels", *count);
    } else {
      memcpy(*labels, ntk_dataset_labels(dataset), bytes);
      if (ntk_dataset_classes(dataset) > *classes) *classes = ntk_dataset_classes(dataset);
    }
  }
  ntk_dataset_free(dataset);
  return code;
}

static int labels_from_npy(const char *path, int64_t *count, int32_t *classes, int32_t **labels) {
  enum { MOST_CLASSES = 1 << 20 };
  ntk_npy_info info;
  int32_t *read = NULL;
  CLI_TRY(cli_check(ntk_npy_read_i32(path, &info, &read)));
  int code = CLI_EXIT_OK;
  *count = info.shape[0];
  *labels = malloc((size_t)(*count > 0 ? *count : 1) * sizeof **labels); /* so that free() fits both sources */
  if (info.rank != 1) {
    code = cli_fail(CLI_EXIT_STATUS + NTK_ERROR_DATA, "%s has rank %d; labels are a vector (rank 1)", path, info.rank);
  } else if (!*labels) {
    code = cli_fail(CLI_EXIT_STATUS + NTK_ERROR_MEMORY, "no memory is left for %" PRId64 " labels", *count);
  }
  for (int64_t i = 0; i < *count && code == CLI_EXIT_OK; ++i) {
    if (read[i] < 0 || read[i] >= MOST_CLASSES) {
      code = cli_fail(CLI_EXIT_STATUS + NTK_ERROR_DATA,
                      "%s: label %" PRId64 " is %" PRId32 "; labels are class numbers 0, 1, 2, ...", path, i, read[i]);
    } else {
      (*labels)[i] = read[i];
      if (read[i] >= *classes) *classes = read[i] + 1;
    }
  }
  ntk_npy_free(read);
  return code;
}

int cli_labels_read(const char *source, int64_t *count, int32_t *classes, int32_t **labels) {
  if (is_image_set(source) || starts_with(source, "npy:")) return labels_from_data(source, count, classes, labels);
  return labels_from_npy(source, count, classes, labels);
}

int cli_matrix_read(const char *path, int64_t *rows, int64_t *columns, double **values) {
  ntk_npy_info info;
  CLI_TRY(cli_check(ntk_npy_stat(path, &info)));
  if (info.rank != 2) {
    return cli_fail(CLI_EXIT_STATUS + NTK_ERROR_DATA, "%s has rank %d; a kernel matrix has rank 2", path, info.rank);
  }
  *rows = info.shape[0];
  *columns = info.shape[1];
  return cli_check(ntk_npy_read_f64(path, &info, values));
}

int cli_vector_read(const char *path, int64_t *count, double **values) {
  ntk_npy_info info;
  CLI_TRY(cli_check(ntk_npy_stat(path, &info)));
  if (info.rank != 1) {
    return cli_fail(CLI_EXIT_STATUS + NTK_ERROR_DATA, "%s has rank %d; a diagonal is a vector (rank 1)", path,
                    info.rank);
  }
  *count = info.shape[0];
  return cli_check(ntk_npy_read_f64(path, &info, values));
}

int cli_regress_memory_check(int64_t train, int64_t test, bool choose_ridge) {
  enum { LARGEST_DIVIDED = 32767 }; /* above, the eigendecomposition takes a slower way with less memory */
  ntk_system_info info;
  CLI_TRY(cli_check(ntk_system_query(&info)));
  /* In training matrices: the matrix, what factorises it in place, and the workspace of the eigendecomposition. */
  double matrices = !choose_ridge ? 2 : train <= LARGEST_DIVIDED ? 4 : 3;
  double needed = 8.0 * (double)train * (matrices * (double)train + (double)test);
  if (info.memory_bytes == 0 || needed <= (double)info.memory_bytes) return CLI_EXIT_OK;
  return cli_fail(
      CLI_EXIT_STATUS + NTK_ERROR_MEMORY,
      "regression on %s training and %s test points needs %s of memory, this machine has %s: use fewer points "
      "(DATA[0:N] or DATA~N)%s, or compute the matrices alone with `ntk gram`",
      cli_format_count(train).text, cli_format_count(test).text, cli_format_bytes(needed).text,
      cli_format_bytes((double)info.memory_bytes).text,
      choose_ridge ? ", give a --ridge, which needs less than choosing one" : "");
}

static int make_one(const char *path) {
  struct stat status;
  if (mkdir(path, 0777) == 0) return CLI_EXIT_OK;
  int reason = errno;
  if (reason == EEXIST && stat(path, &status) == 0) {
    if (S_ISDIR(status.st_mode)) return CLI_EXIT_OK;
    reason = ENOTDIR;
  }
  return cli_fail(CLI_EXIT_STATUS + NTK_ERROR_IO, "cannot create the folder %s: %s", path, strerror(reason));
}

int cli_make_folder(const char *path) {
  char *part = strdup(path);
  int code = CLI_EXIT_OK;
  if (!part) return cli_fail(CLI_EXIT_STATUS + NTK_ERROR_MEMORY, "no memory is left");
  for (char *slash = part + 1; *slash && code == CLI_EXIT_OK; ++slash) {
    if (*slash != '/') continue;
    *slash = '\0';
    code = make_one(part);
    *slash = '/';
  }
  if (code == CLI_EXIT_OK) code = make_one(path);
  free(part);
  return code;
}

int cli_join(const char *folder, const char *name, char **out) {
  size_t length = strlen(folder);
  if (asprintf(out, "%s%s%s", folder, length && folder[length - 1] == '/' ? "" : "/", name) >= 0) return CLI_EXIT_OK;
  *out = NULL;
  return cli_fail(CLI_EXIT_STATUS + NTK_ERROR_MEMORY, "no memory is left");
}

int cli_output_path(const char *path, const ntk_plan *plan, size_t index, char **out) {
  size_t size = strlen(path) + strlen(ntk_plan_output(plan, index).name) + 8;
  *out = malloc(size);
  if (!*out) return cli_fail(CLI_EXIT_STATUS + NTK_ERROR_MEMORY, "no memory is left");
  return cli_check(ntk_gram_output_path(path, plan, index, *out, size));
}
