/** @file dataset.h
 *  Data sets: labelled images or vectors, read from files, and their preprocessing.
 *
 *  A data set is named by one line of text, DATA = SOURCE[SLICE][SUBSET]:
 *    SOURCE  fashion-mnist:train | fashion-mnist:test          Debian's package dataset-fashion-mnist (28x28, 1 channel);
 *                                                              the folder may be overridden by NTK_FASHION_MNIST_DIR
 *            cifar10:DIR:train | cifar10:DIR:test              the binary version of CIFAR-10 in the folder DIR, any
 *                                                              number of records a file (32x32, 3 channels)
 *            npy:X.npy | npy:X.npy:y.npy                       N x C x H x W or N x D array, uint8, float32 or float64,
 *                                                              with optional labels (N integers)
 *    SLICE   [start:stop] or [start:stop:step], as in Python, negative numbers counting from the end
 *    SUBSET  ~N or ~N:SEED, a class-balanced random subset of N records (after the slice), reproducible by its seed
 *            (default 0)
 */
#ifndef NTK_DATASET_H
#define NTK_DATASET_H

#include <ntk/network.h>
#include <ntk/status.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** An open data set. Reading is thread-safe. */
typedef struct ntk_dataset ntk_dataset;

/** Opens a data set, checks the files (sizes, headers, finite values) and hashes the selected records.
 *  @param spec the text described above.
 *  @param out  receives the data set; free it with ntk_dataset_free.
 *  @return NTK_OK; NTK_ERROR_ARGUMENT (a bad text); NTK_ERROR_IO (no such file, unreadable); NTK_ERROR_DATA (malformed,
 *          truncated or non-finite, labels of another length, an empty selection); NTK_ERROR_MEMORY. */
NTK_API ntk_status ntk_dataset_open(const char *spec, ntk_dataset **out);

/** A data set over memory that the caller keeps alive and unchanged until it is freed.
 *  @param values count x shape, row-major (C, H, W), finite.
 *  @param labels count class numbers >= 0, or NULL.
 *  @return NTK_OK, NTK_ERROR_ARGUMENT, NTK_ERROR_DATA (a non-finite value), NTK_ERROR_MEMORY. */
NTK_API ntk_status ntk_dataset_from_memory(const double *values, const int32_t *labels, int64_t count, ntk_shape shape,
                                           ntk_dataset **out);

/** Frees a data set; NULL is allowed. */
NTK_API void ntk_dataset_free(ntk_dataset *dataset);

/** The number of records. */
NTK_API int64_t ntk_dataset_count(const ntk_dataset *dataset);

/** The shape of a record as it is read: raw, or what the preprocessing makes of it. */
NTK_API ntk_shape ntk_dataset_shape(const ntk_dataset *dataset);

/** The labels, one class number (0 <= label < ntk_dataset_classes) a record, or NULL. Owned by the data set. */
NTK_API const int32_t *ntk_dataset_labels(const ntk_dataset *dataset);

/** The number of classes: 10 for fashion-mnist and cifar10, else 1 + the largest label of the whole file; 0 without labels.*/
NTK_API int32_t ntk_dataset_classes(const ntk_dataset *dataset);

/** The text that the data set was opened with, paths made absolute, so that opening it again gives the same records; ""
 *  for one in memory. Owned by the data set. */
NTK_API const char *ntk_dataset_spec(const ntk_dataset *dataset);

/** A fingerprint of shape, raw records and preprocessing, 32 hexadecimal digits: equal texts mean equal inputs. Owned by
 *  the data set; changes when preprocessing is applied. */
NTK_API const char *ntk_dataset_hash(const ntk_dataset *dataset);

/** Reads preprocessed records, in float64.
 *  @param out receives count x channels x height x width values, row-major, owned by the caller.
 *  @return NTK_OK, NTK_ERROR_ARGUMENT (a range outside the data set), NTK_ERROR_IO, NTK_ERROR_MEMORY. */
NTK_API ntk_status ntk_dataset_read(const ntk_dataset *dataset, int64_t first, int64_t count, double *out);

/** How inputs are preprocessed. Values of uint8 sources are divided by 255 first, except in the mode none. */
typedef enum ntk_preprocess_mode {
  NTK_PREPROCESS_NONE = 0,     /**< Values as stored. */
  NTK_PREPROCESS_STANDARD = 1, /**< Per channel (images) or feature (vectors): minus mean, over standard deviation, of the
                                    training data (arXiv:1904.11955; population deviation; 1 where it is 0). */
  NTK_PREPROCESS_UNIT = 2,     /**< Each record over its Euclidean norm; a zero record stays zero. */
  NTK_PREPROCESS_IMAGE = 3,    /**< Each record minus the mean of all its values, then over its Euclidean norm
                                    (arXiv:2003.02237); 0 where that norm is below 1e-8. */
  NTK_PREPROCESS_ZCA = 4,      /**< Each record x, as a vector of D = C H W values, times the symmetric D x D matrix
                                    (S + eps I)^(-1/2), S = (1/n) SUM x x^T over the training records, all of them
                                    after the mode `before` (arXiv:2003.02237). Defaults: eps 1e-4, before image. */
  NTK_PREPROCESS_PATCHES = 5   /**< Images of C x H x W become 4 count x (H - size + 1) x (W - size + 1): responses of
                                    whitened random patches of the training images and of their mirror images, the
                                    positive and negative part beyond a threshold (arXiv:1911.00809, after
                                    Coates and Ng). Defaults: docs/data.md, 2048 patches of 5 x 5. */
} ntk_preprocess_mode;

/** A fitted preprocessing; immutable. */
typedef struct ntk_preprocess ntk_preprocess;

/** Fits a preprocessing to training data (its raw records; an already applied preprocessing is ignored).
 *  @return NTK_OK, NTK_ERROR_ARGUMENT, NTK_ERROR_DATA (values too large to square), NTK_ERROR_IO, NTK_ERROR_MEMORY. */
NTK_API ntk_status ntk_preprocess_fit(ntk_preprocess_mode mode, const ntk_dataset *train, ntk_preprocess **out);

/** The same from a text, which may hold options (docs/data.md):
 *    none | standard | unit | image
 *    zca | zca(eps=1e-5,before=standard) | zca(eps=0.1rel)     rel: in units of the mean eigenvalue of S
 *    patches | patches(count=2048,size=5,eps=0.001,seed=0,threshold=1,sample=100000,nomirror)
 *    zca:FILE | patches:FILE                                   ntk_preprocess_load(FILE); nothing is fitted
 *  @return as ntk_preprocess_fit and ntk_preprocess_load; NTK_ERROR_ARGUMENT says what is wrong with the text. */
NTK_API ntk_status ntk_preprocess_fit_text(const char *text, const ntk_dataset *train, ntk_preprocess **out);

/** Whether ntk_preprocess_fit_text understands a text; opens no file.
 *  @return NTK_OK, NTK_ERROR_ARGUMENT, NTK_ERROR_MEMORY. */
NTK_API ntk_status ntk_preprocess_check(const char *text);

/** ntk_preprocess_fit_text for a preprocessing that is to be kept at `path`. A mode without a fitted array needs no file:
 *  the path is not looked at. Otherwise what is there is taken if it has the same options and was fitted to the same
 *  records; if not, a fit is saved there.
 *  @param replace whether anything else at `path` may be replaced; else it gives NTK_ERROR_MISMATCH. */
NTK_API ntk_status ntk_preprocess_fit_stored(const char *text, const ntk_dataset *train, const char *path, bool replace,
                                             ntk_preprocess **out);

/** Keeps a preprocessing with a fitted array (zca, patches) in two files: `path`, the array as .npy (float64; zca: D x D;
 *  patches: count x C x size x size, the filters), and `path`.json, its text with the array's checksum. Matrices computed with it name the file; ntk_gram_verify reads it.
 *  @return NTK_OK, NTK_ERROR_ARGUMENT (a mode without an array), NTK_ERROR_IO, NTK_ERROR_MEMORY. */
NTK_API ntk_status ntk_preprocess_save(ntk_preprocess *preprocess, const char *path);

/** Reads what ntk_preprocess_save wrote: the same numbers, bit for bit.
 *  @return NTK_OK; NTK_ERROR_IO; NTK_ERROR_DATA (no such array, truncated); NTK_ERROR_CORRUPT (another array than was
 *          saved, or not finite); NTK_ERROR_UNSUPPORTED (a later format); NTK_ERROR_MEMORY. */
NTK_API ntk_status ntk_preprocess_load(const char *path, ntk_preprocess **out);

/** The absolute path that a preprocessing was last saved to or loaded from; "" if there is none. Owned by the object. */
NTK_API const char *ntk_preprocess_path(const ntk_preprocess *preprocess);

/** A preprocessing as one line of text; equal texts mean equal preprocessings. ntk_preprocess_parse reads it back exactly,
 *  except where there is a fitted array, which the text names by its checksum. Owned by the object. */
NTK_API const char *ntk_preprocess_text(const ntk_preprocess *preprocess);

/** Reads what ntk_preprocess_text wrote.
 *  @return NTK_OK, NTK_ERROR_ARGUMENT (not such a text, or the array is in a file), NTK_ERROR_MEMORY. */
NTK_API ntk_status ntk_preprocess_parse(const char *text, ntk_preprocess **out);

/** Frees a preprocessing; NULL is allowed. */
NTK_API void ntk_preprocess_free(ntk_preprocess *preprocess);

/** Applies a preprocessing to all later reads of a data set, replacing an earlier one. The data set keeps what it
 *  needs: the preprocessing may be freed.
 *  @return NTK_OK, NTK_ERROR_ARGUMENT (fitted to another shape), NTK_ERROR_MEMORY. */
NTK_API ntk_status ntk_dataset_preprocess(ntk_dataset *dataset, const ntk_preprocess *preprocess);

/** The text of the preprocessing in force ("none" if there is none). Owned by the data set. */
NTK_API const char *ntk_dataset_preprocess_text(const ntk_dataset *dataset);

/** ntk_preprocess_path of the preprocessing in force. Owned by the data set. */
NTK_API const char *ntk_dataset_preprocess_path(const ntk_dataset *dataset);

#ifdef __cplusplus
}
#endif
#endif
