/* One pass over the selected records when a data set is opened: are all values finite, and which data is it? */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "host/data/dataset.h"
#include "host/data/npy.h"
#include "host/status.h"

#define CHUNK_BYTES (1 << 20)

/* The position of the first NaN or infinity (exponent bits all ones), or `count`. */
static int64_t first_non_finite(ntk_dtype dtype, const unsigned char *raw, int64_t count) {
  const uint32_t exponent32 = UINT32_C(0x7f800000);
  const uint64_t exponent64 = UINT64_C(0x7ff0000000000000);
  for (int64_t i = 0; i < count && dtype == NTK_DTYPE_F32; i++) {
    uint32_t bits;
    memcpy(&bits, raw + 4 * i, sizeof bits);
    if ((bits & exponent32) == exponent32) return i;
  }
  for (int64_t i = 0; i < count && dtype == NTK_DTYPE_F64; i++) {
    uint64_t bits;
    memcpy(&bits, raw + 8 * i, sizeof bits);
    if ((bits & exponent64) == exponent64) return i;
  }
  return count;
}

static ntk_status refuse_value(const ntk_dataset *dataset, int64_t index, int64_t position) {
  const ntk_source *source = &dataset->source;
  int64_t record, width = source->shape.width, plane = source->shape.height * width;
  const char *name = ntk_source_locate(source, ntk_dataset_record(dataset, index), &record);
  if (plane == 0)
    return ntk_fail(NTK_ERROR_DATA,
                    "record %lld (from 0) of %s is NaN or infinite at feature %lld; replace or remove it",
                    (long long)record, name, (long long)position);
  return ntk_fail(
      NTK_ERROR_DATA,
      "record %lld (from 0) of %s is NaN or infinite at channel %lld, row %lld, column %lld; replace or remove it",
      (long long)record, name, (long long)(position / plane), (long long)(position % plane / width),
      (long long)(position % width));
}

static ntk_status scan_records(ntk_dataset *dataset, XXH3_state_t *state) {
  const ntk_source *source = &dataset->source;
  int64_t bytes = source->values * ntk_dtype_size(source->dtype);
  int64_t chunk = bytes < CHUNK_BYTES ? CHUNK_BYTES / bytes : 1;
  if (chunk > dataset->count) chunk = dataset->count;
  unsigned char *raw = malloc((size_t)(chunk * bytes));
  if (!raw) return ntk_fail(NTK_ERROR_MEMORY, "no memory to read records of %lld bytes", (long long)bytes);
  ntk_status status = NTK_OK;
  for (int64_t first = 0; first < dataset->count && status == NTK_OK; first += chunk) {
    int64_t count = dataset->count - first < chunk ? dataset->count - first : chunk;
    status = ntk_dataset_read_raw(dataset, first, count, raw);
    if (status != NTK_OK) break;
    int64_t bad = first_non_finite(source->dtype, raw, count * source->values);
    if (bad < count * source->values)
      status = refuse_value(dataset, first + bad / source->values, bad % source->values);
    XXH3_128bits_update(state, raw, (size_t)(count * bytes));
  }
  free(raw);
  return status;
}

static ntk_status new_state(XXH3_state_t **state) {
  *state = XXH3_createState();
  if (!*state) return ntk_fail(NTK_ERROR_MEMORY, "no memory to hash a data set");
  XXH3_128bits_reset(*state);
  return NTK_OK;
}

static void canonical_digest(const XXH3_state_t *state, unsigned char digest[16]) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state));
  memcpy(digest, canonical.digest, 16);
}

ntk_status ntk_dataset_scan(ntk_dataset *dataset) {
  static const char tag[] = "ntk records 1";
  const ntk_source *source = &dataset->source;
  int64_t head[5] = {source->dtype, source->shape.channels, source->shape.height, source->shape.width, dataset->count};
  XXH3_state_t *state;
  NTK_TRY(new_state(&state));
  XXH3_128bits_update(state, tag, sizeof tag);
  XXH3_128bits_update(state, head, sizeof head);
  ntk_status status = scan_records(dataset, state);
  if (status == NTK_OK) canonical_digest(state, dataset->digest);
  XXH3_freeState(state);
  return status;
}

ntk_status ntk_dataset_set_hash(ntk_dataset *dataset, const char *preprocess_text) {
  static const char tag[] = "ntk inputs 1", digits[] = "0123456789abcdef";
  unsigned char digest[16];
  XXH3_state_t *state;
  NTK_TRY(new_state(&state));
  XXH3_128bits_update(state, tag, sizeof tag);
  XXH3_128bits_update(state, dataset->digest, sizeof dataset->digest);
  XXH3_128bits_update(state, preprocess_text, strlen(preprocess_text));
  canonical_digest(state, digest);
  XXH3_freeState(state);
  for (int i = 0; i < 16; i++) {
    dataset->hash[2 * i] = digits[digest[i] >> 4];
    dataset->hash[2 * i + 1] = digits[digest[i] & 15];
  }
  return NTK_OK;
}
