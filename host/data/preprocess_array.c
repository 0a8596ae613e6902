/* What preprocessings with a fitted array have in common, and the functions that choose among all modes. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "host/data/dataset.h"
#include "host/data/npy.h"
#include "host/data/preprocess.h"
#include "host/status.h"

static int64_t values_of(ntk_shape shape) { return shape.channels * (shape.height ? shape.height * shape.width : 1); }

static bool is_patches(const ntk_preprocess *p) { return p->mode == NTK_PREPROCESS_PATCHES; }

int ntk_preprocess_array_sizes(const ntk_preprocess *p, int64_t sizes[4]) {
  if (is_patches(p)) {
    sizes[0] = p->choice.count, sizes[1] = p->shape.channels, sizes[2] = sizes[3] = p->choice.size;
    return 4;
  }
  sizes[0] = sizes[1] = values_of(p->shape);
  return 2;
}

ntk_shape ntk_preprocess_output(const ntk_preprocess *p) { return is_patches(p) ? ntk_patches_output(p) : p->shape; }

uint64_t ntk_preprocess_bytes(const ntk_preprocess *p) {
  int64_t sizes[4];
  if (!p || !ntk_preprocess_has_array(p->mode)) return 0;
  const int rank = ntk_preprocess_array_sizes(p, sizes);
  const uint64_t bytes = (uint64_t)ntk_npy_values(NTK_DTYPE_F64, rank, sizes) * sizeof(double);
  return p->operand == p->array ? bytes : (is_patches(p) ? 3 : 2) * bytes;
}

/* XXH3-128 of the sizes and the numbers. */
static ntk_status sum_array(ntk_preprocess *p) {
  static const char tag[] = "ntk preprocess 1", digits[] = "0123456789abcdef";
  int64_t sizes[4];
  const int rank = ntk_preprocess_array_sizes(p, sizes);
  XXH3_state_t *state = XXH3_createState();
  if (!state) return ntk_fail(NTK_ERROR_MEMORY, "no memory for a checksum");
  XXH128_canonical_t canonical;
  XXH3_128bits_reset(state);
  XXH3_128bits_update(state, tag, sizeof tag);
  XXH3_128bits_update(state, sizes, (size_t)rank * sizeof *sizes);
  XXH3_128bits_update(state, p->array, (size_t)ntk_npy_values(NTK_DTYPE_F64, rank, sizes) * sizeof *p->array);
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state));
  XXH3_freeState(state);
  for (int i = 0; i < 16; i++) {
    p->checksum[2 * i] = digits[canonical.digest[i] >> 4];
    p->checksum[2 * i + 1] = digits[canonical.digest[i] & 15];
  }
  return NTK_OK;
}

ntk_status ntk_preprocess_finish_array(ntk_preprocess *p) {
  NTK_TRY(sum_array(p));
  NTK_TRY(is_patches(p) ? ntk_patches_operand(p) : ntk_zca_operand(p));
  return ntk_preprocess_write_text(p);
}

static ntk_status fit_array(ntk_preprocess *made, const ntk_dataset *train) {
  NTK_TRY(ntk_preprocess_fit_plain(made->choice.before, train, &made->before));
  made->shape = train->source.shape;
  memcpy(made->train, train->raw_hash, sizeof made->train);
  NTK_TRY(is_patches(made) ? ntk_patches_fit(made, train) : ntk_zca_fit(made, train, 0));
  return ntk_preprocess_finish_array(made);
}

ntk_status ntk_preprocess_fit_array(const ntk_preprocess_choice *choice, const ntk_dataset *train,
                                    ntk_preprocess **out) {
  ntk_preprocess *made;
  NTK_TRY(ntk_preprocess_create(choice->mode, false, 0, &made));
  made->choice = *choice;
  ntk_status status = fit_array(made, train);
  if (status == NTK_OK)
    *out = made;
  else
    ntk_preprocess_free(made);
  return status;
}

ntk_status ntk_preprocess_read_array(const ntk_preprocess *p, const ntk_dataset *dataset, int64_t first, int64_t count,
                                     double *out) {
  return is_patches(p) ? ntk_patches_read(p, dataset, first, count, out) : ntk_zca_read(p, dataset, first, count, out);
}

/* ---- all modes ---- */

static ntk_status fit_choice(const ntk_preprocess_choice *choice, const ntk_dataset *train, ntk_preprocess **out) {
  return ntk_preprocess_has_array(choice->mode) ? ntk_preprocess_fit_array(choice, train, out)
                                                : ntk_preprocess_fit_plain(choice->mode, train, out);
}

ntk_status ntk_preprocess_fit(ntk_preprocess_mode mode, const ntk_dataset *train, ntk_preprocess **out) {
  if (!train || !out)
    return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_preprocess_fit needs training data and a place for the result");
  if (mode < NTK_PREPROCESS_NONE || mode > NTK_PREPROCESS_PATCHES)
    return ntk_fail(
        NTK_ERROR_ARGUMENT,
        "%d is no preprocessing; known are none (0), standard (1), unit (2), image (3), zca (4) and patches (5)",
        (int)mode);
  const ntk_preprocess_choice choice = ntk_preprocess_choice_of(mode);
  return fit_choice(&choice, train, out);
}

/* Parses what to fit; *file receives the file's name after "zca:", else NULL. */
static ntk_status parse_text(const char *text, ntk_preprocess_choice *choice, const char **file) {
  const char *end;
  *file = NULL;
  NTK_TRY(ntk_preprocess_choice_parse(text, &end, choice));
  if (ntk_preprocess_has_array(choice->mode) && *end == ':') {
    if (end[-1] == ')') return ntk_preprocess_refuse(text, "a stored one has its options in the file; drop them");
    *file = end + 1;
    return **file ? NTK_OK : ntk_preprocess_refuse(text, "the name of a file is missing after ':'");
  }
  return *end ? ntk_preprocess_refuse(text, "something follows its end") : NTK_OK;
}

ntk_status ntk_preprocess_check(const char *text) {
  ntk_preprocess_choice choice;
  const char *file;
  if (!text) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_preprocess_check needs a text");
  return parse_text(text, &choice, &file);
}

static ntk_status load_choice(const char *file, ntk_preprocess_mode mode, ntk_preprocess **out) {
  ntk_preprocess *made;
  NTK_TRY(ntk_preprocess_load(file, &made));
  if (made->mode == mode) {
    *out = made;
    return NTK_OK;
  }
  ntk_status status = ntk_fail(NTK_ERROR_MISMATCH, "%s holds a fitted %s, not %s", file,
                               ntk_preprocess_mode_name(made->mode), ntk_preprocess_mode_name(mode));
  ntk_preprocess_free(made);
  return status;
}

ntk_status ntk_preprocess_fit_text(const char *text, const ntk_dataset *train, ntk_preprocess **out) {
  ntk_preprocess_choice choice;
  const char *file;
  if (!text || !train || !out)
    return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_preprocess_fit_text needs a text, training data and a place");
  NTK_TRY(parse_text(text, &choice, &file));
  return file ? load_choice(file, choice.mode, out) : fit_choice(&choice, train, out);
}

/* Whether a stored preprocessing is what fitting the choice to the data would give. */
static ntk_status same_fit(const ntk_preprocess *stored, const ntk_preprocess_choice *choice, const ntk_dataset *train,
                           bool *same) {
  char *wanted, *has;
  NTK_TRY(ntk_preprocess_choice_text(choice, &wanted));
  ntk_status status = ntk_preprocess_choice_text(&stored->choice, &has);
  if (status == NTK_OK) *same = strcmp(wanted, has) == 0 && strcmp(stored->train, train->raw_hash) == 0;
  if (status == NTK_OK) free(has);
  free(wanted);
  return status;
}

/* Takes what is stored at `path` if it is that fit; *out stays NULL where there is nothing, or what may be replaced. */
static ntk_status take_stored(const ntk_preprocess_choice *choice, const ntk_dataset *train, const char *path,
                              bool replace, ntk_preprocess **out) {
  ntk_preprocess *stored;
  bool same = false;
  *out = NULL;
  if (!ntk_preprocess_is_stored(path)) return NTK_OK;
  ntk_status status = ntk_preprocess_load(path, &stored);
  if (status != NTK_OK) return replace && status != NTK_ERROR_MEMORY ? NTK_OK : status;
  status = same_fit(stored, choice, train, &same);
  if (status == NTK_OK && same) {
    *out = stored;
    return NTK_OK;
  }
  if (status == NTK_OK && !replace)
    status =
        ntk_fail(NTK_ERROR_MISMATCH,
                 "%s holds %.200s, fitted to other data or with other options than asked for: choose another --out, "
                 "or replace it with --overwrite",
                 path, stored->text);
  ntk_preprocess_free(stored);
  return status;
}

ntk_status ntk_preprocess_fit_stored(const char *text, const ntk_dataset *train, const char *path, bool replace,
                                     ntk_preprocess **out) {
  ntk_preprocess_choice choice;
  const char *file;
  if (!text || !train || !path || !out)
    return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_preprocess_fit_stored needs a text, training data, a path and a place");
  NTK_TRY(parse_text(text, &choice, &file));
  if (file || !ntk_preprocess_has_array(choice.mode)) return ntk_preprocess_fit_text(text, train, out);
  ntk_preprocess *made;
  NTK_TRY(take_stored(&choice, train, path, replace, &made));
  if (!made) {
    NTK_TRY(fit_choice(&choice, train, &made));
    ntk_status status = ntk_preprocess_save(made, path);
    if (status != NTK_OK) {
      ntk_preprocess_free(made);
      return status;
    }
  }
  *out = made;
  return NTK_OK;
}
