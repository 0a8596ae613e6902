/* Internal: the fields of a data set. */
#ifndef NTK_HOST_DATA_DATASET_H
#define NTK_HOST_DATA_DATASET_H

#include <ntk/dataset.h>

#include "host/data/source.h"

struct ntk_dataset {
  ntk_source source;
  int64_t count, first, step; /* record i of the data set is record first + i * step of the source, ... */
  int64_t *chosen;            /* ... or chosen[i] if this is not NULL */
  const int32_t *labels;      /* one a record of the data set, or NULL */
  int32_t *labels_owned;
  char *spec;
  unsigned char digest[16]; /* of shape and raw records */
  char hash[33];            /* of digest and preprocessing */
  char raw_hash[33];        /* the same without preprocessing */
  ntk_preprocess *preprocess;
};

/* The record of the source that record `index` of the data set is. */
int64_t ntk_dataset_record(const ntk_dataset *dataset, int64_t index);

/* Reads raw records; `out` has room for count x values of the source's type. */
ntk_status ntk_dataset_read_raw(const ntk_dataset *dataset, int64_t first, int64_t count, void *out);

/* Reads records in float64, not preprocessed. */
ntk_status ntk_dataset_read_stored(const ntk_dataset *dataset, int64_t first, int64_t count, double *out);

/* Reads every record once: refuses non-finite values and sets the digest. */
ntk_status ntk_dataset_scan(ntk_dataset *dataset);

/* Memory that the preprocessing in force takes. */
uint64_t ntk_dataset_held_bytes(const ntk_dataset *dataset);

/* Sets the hash from the digest and a preprocessing text. */
ntk_status ntk_dataset_set_hash(ntk_dataset *dataset, const char *preprocess_text);

#endif
