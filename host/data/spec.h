/* Internal: the text that names a data set (the grammar is in ntk/dataset.h and docs/data.md). */
#ifndef NTK_HOST_DATA_SPEC_H
#define NTK_HOST_DATA_SPEC_H

#include <ntk/status.h>
#include <stdbool.h>
#include <stdint.h>

#define NTK_DATA_TEXT_MAX 16384

typedef enum ntk_data_kind { NTK_DATA_FASHION_MNIST, NTK_DATA_CIFAR10, NTK_DATA_NPY } ntk_data_kind;

typedef struct ntk_data_spec {
  ntk_data_kind kind;
  bool test;    /* of fashion-mnist and cifar10: the test set, not the training set */
  char *path;   /* cifar10: the folder; npy: the inputs */
  char *labels; /* npy: the labels, or NULL */
  bool has_start, has_stop;
  int64_t start, stop, step;
  int64_t subset; /* 0: none */
  uint64_t seed;
} ntk_data_spec;

/* Parses a text. NTK_ERROR_ARGUMENT names the column. *spec is released with ntk_data_spec_clear (after failures too).
 */
ntk_status ntk_data_spec_parse(const char *text, ntk_data_spec *spec);

/* Puts the working directory before relative paths. */
ntk_status ntk_data_spec_absolute(ntk_data_spec *spec);

/* Writes the text; parsing it gives the same spec again. *text is freed with free(). */
ntk_status ntk_data_spec_format(const ntk_data_spec *spec, char **text);

void ntk_data_spec_clear(ntk_data_spec *spec);

/* Replaces an allocated path by an absolute one. */
ntk_status ntk_path_absolute(char **path);

#endif
