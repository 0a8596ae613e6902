/* Internal: the fields of a preprocessing, and its parts.
 *
 *   preprocess.c         what works on one record in place: standard, unit, image
 *   preprocess_array.c   what zca and patches have in common, which multiply records with a fitted array
 *   whiten.c, patches.c  one of them each
 *   preprocess_choice.c  the text that says what to fit, "zca(eps=1e-5)"
 *   preprocess_text.c    the text of what was fitted
 *   preprocess_file.c    files of arrays
 */
#ifndef NTK_HOST_DATA_PREPROCESS_H
#define NTK_HOST_DATA_PREPROCESS_H

#include <ntk/dataset.h>
#include <stdatomic.h>
#include <stdbool.h>

/* What to fit, with all options. */
typedef struct ntk_preprocess_choice {
  ntk_preprocess_mode mode;
  ntk_preprocess_mode before; /* zca, patches: what is done to a record before: none, standard, unit or image */
  double eps;
  bool relative;  /* zca: eps is in units of the mean eigenvalue */
  int64_t count;  /* patches: filters that are drawn, ... */
  int64_t size;   /* ... rows and columns of each, ... */
  int64_t sample; /* ... the first of so many drawn patches, whose moments whiten */
  uint64_t seed;
  double threshold;
  bool mirror; /* add the mirror image of every filter */
} ntk_preprocess_choice;

struct ntk_preprocess {
  ntk_preprocess_mode mode;
  atomic_int holders; /* who must call ntk_preprocess_free */
  char *text;

  /* standard */
  bool vectors;     /* fitted to vectors, per feature */
  int64_t channels; /* channels or features */
  double *mean, *deviation;

  /* zca and patches: a fitted array, kept in a file */
  ntk_preprocess_choice choice;
  ntk_preprocess *before; /* without an array */
  ntk_shape shape;        /* of the raw records */
  char train[33];         /* hash of the raw training data */
  double *array;          /* as the file holds it: zca D x D, patches count x C x size x size */
  char checksum[33];      /* of the array */
  double *operand;        /* as records are multiplied with it */
  char *path;             /* the file, absolute, or NULL */
};

/* A preprocessing with room for the numbers of `channels` channels (0 unless standard) and no text yet. */
ntk_status ntk_preprocess_create(ntk_preprocess_mode mode, bool vectors, int64_t channels, ntk_preprocess **out);

/* One holder more. */
ntk_preprocess *ntk_preprocess_share(const ntk_preprocess *preprocess);

/* Fits a mode without an array; the text is written. */
ntk_status ntk_preprocess_fit_plain(ntk_preprocess_mode mode, const ntk_dataset *train, ntk_preprocess **out);

/* Preprocesses one record in place, without a fitted array. `bytes`: its values come from bytes, 0..255. */
void ntk_preprocess_apply(const ntk_preprocess *preprocess, ntk_shape shape, bool bytes, double *record);

/* The names of the modes. */
const char *ntk_preprocess_mode_name(ntk_preprocess_mode mode);

/* ---- texts ---- */

/* The defaults of a mode. */
ntk_preprocess_choice ntk_preprocess_choice_of(ntk_preprocess_mode mode);

/* Parses what stands at the beginning of `text`, e.g. "zca(eps=1e-5)"; *end is where it ends. */
ntk_status ntk_preprocess_choice_parse(const char *text, const char **end, ntk_preprocess_choice *out);

/* The same with all options and without spaces; freed by the caller. */
ntk_status ntk_preprocess_choice_text(const ntk_preprocess_choice *choice, char **out);

/* NTK_ERROR_ARGUMENT: the text is no preprocessing, and why. */
ntk_status ntk_preprocess_refuse(const char *text, const char *why);

/* Writes preprocess->text from the other fields. */
ntk_status ntk_preprocess_write_text(ntk_preprocess *preprocess);

/* Reads the text of a preprocessing with an array into all fields but the array. */
ntk_status ntk_preprocess_parse_fitted(const char *text, ntk_preprocess **out);

/* ---- modes with an array ---- */

static inline bool ntk_preprocess_has_array(ntk_preprocess_mode mode) { return mode >= NTK_PREPROCESS_ZCA; }

/* The sizes of the array; returns their number. */
int ntk_preprocess_array_sizes(const ntk_preprocess *preprocess, int64_t sizes[4]);

/* Fits array and all. */
ntk_status ntk_preprocess_fit_array(const ntk_preprocess_choice *choice, const ntk_dataset *train,
                                    ntk_preprocess **out);

/* Once the array is there: operand, checksum and text. */
ntk_status ntk_preprocess_finish_array(ntk_preprocess *preprocess);

/* The shape of preprocessed records. */
ntk_shape ntk_preprocess_output(const ntk_preprocess *preprocess);

/* Memory that its array takes; 0 for NULL. */
uint64_t ntk_preprocess_bytes(const ntk_preprocess *preprocess);

/* Whether there is a file of that name, or what describes it. */
bool ntk_preprocess_is_stored(const char *path);

/* Reads records and applies the array. */
ntk_status ntk_preprocess_read_array(const ntk_preprocess *preprocess, const ntk_dataset *dataset, int64_t first,
                                     int64_t count, double *out);

/* Reads records to which the array is to be applied, or fitted: bytes over 255, then `before`. */
ntk_status ntk_preprocess_read_before(const ntk_preprocess *before, const ntk_dataset *dataset, int64_t first,
                                      int64_t count, double *out);

/* whiten.c: fits preprocess->array from the training data, which it reads `block` records at a time (0: as it likes).
 */
ntk_status ntk_zca_fit(ntk_preprocess *preprocess, const ntk_dataset *train, int64_t block);
ntk_status ntk_zca_operand(ntk_preprocess *preprocess);
ntk_status ntk_zca_read(const ntk_preprocess *preprocess, const ntk_dataset *dataset, int64_t first, int64_t count,
                        double *out);

/* patches.c */
ntk_status ntk_patches_check(const ntk_preprocess *preprocess); /* do shape and choice go together? */
ntk_status ntk_patches_fit(ntk_preprocess *preprocess, const ntk_dataset *train);
ntk_status ntk_patches_operand(ntk_preprocess *preprocess);
ntk_shape ntk_patches_output(const ntk_preprocess *preprocess);
ntk_status ntk_patches_read(const ntk_preprocess *preprocess, const ntk_dataset *dataset, int64_t first, int64_t count,
                            double *out);

#endif
