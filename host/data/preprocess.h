/* Internal: the fields of a preprocessing. */
#ifndef NTK_HOST_DATA_PREPROCESS_H
#define NTK_HOST_DATA_PREPROCESS_H

#include <ntk/dataset.h>
#include <stdbool.h>

struct ntk_preprocess {
  ntk_preprocess_mode mode;
  bool vectors;     /* standard: fitted to vectors, per feature */
  int64_t channels; /* standard: channels or features */
  double *mean, *deviation;
  char *text;
};

/* A preprocessing with room for the numbers of `channels` channels (0 unless standard) and no text yet. */
ntk_status ntk_preprocess_create(ntk_preprocess_mode mode, bool vectors, int64_t channels, ntk_preprocess **out);

/* Writes preprocess->text from the other fields. */
ntk_status ntk_preprocess_write_text(ntk_preprocess *preprocess);

/* Preprocesses one record in place. `bytes`: its values come from bytes, 0..255. */
void ntk_preprocess_apply(const ntk_preprocess *preprocess, ntk_shape shape, bool bytes, double *record);

#endif
