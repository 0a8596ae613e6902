#include "host/data/sampling.h"

#include <stdlib.h>
#include <string.h>

#include "host/data/random.h"
#include "host/status.h"

static int64_t clamp_end(bool given, int64_t end, int64_t total, int64_t otherwise) {
  if (!given) return otherwise;
  if (end < 0) end = end < -total ? 0 : end + total;
  return end < total ? end : total;
}

void ntk_slice_resolve(const ntk_data_spec *spec, int64_t total, int64_t *first, int64_t *step, int64_t *count) {
  int64_t stop = clamp_end(spec->has_stop, spec->stop, total, total);
  *first = clamp_end(spec->has_start, spec->start, total, 0);
  *step = spec->step;
  *count = *first < stop ? (stop - *first - 1) / *step + 1 : 0;
}

/* The first `picks` steps of a Fisher-Yates shuffle. */
static void shuffle(int64_t *items, int64_t count, int64_t picks, uint64_t state) {
  for (int64_t i = 0; i < picks; i++) {
    int64_t j = i + (int64_t)ntk_random_below(&state, (uint64_t)(count - i)), item = items[i];
    items[i] = items[j];
    items[j] = item;
  }
}

typedef struct buckets {
  int64_t *begin; /* classes + 1: where each class begins in `items` */
  int64_t *items; /* positions, class by class */
  int64_t *quota; /* records to take of each class */
  bool *taken;    /* by position */
} buckets;

static void fill_buckets(buckets *b, const int32_t *labels, int64_t count, int32_t classes) {
  for (int64_t i = 0; i < count; i++) b->begin[labels[i] + 1]++;
  for (int32_t c = 0; c < classes; c++) b->begin[c + 1] += b->begin[c];
  for (int64_t i = 0; i < count; i++) b->items[b->begin[labels[i]]++] = i;
  for (int32_t c = classes; c > 0; c--) b->begin[c] = b->begin[c - 1];
  b->begin[0] = 0;
}

/* Every class gets wanted / classes records; the classes that get one more are drawn from stream 0. `items` is scratch.
 */
static void set_quotas(buckets *b, int32_t classes, int64_t wanted, uint64_t seed) {
  for (int32_t c = 0; c < classes; c++) {
    b->quota[c] = wanted / classes;
    b->items[c] = c;
  }
  shuffle(b->items, classes, wanted % classes, ntk_random_stream(seed, 0));
  for (int64_t i = 0; i < wanted % classes; i++) b->quota[b->items[i]]++;
}

static ntk_status choose(buckets *b, const int32_t *labels, int64_t count, int32_t classes, int64_t wanted,
                         uint64_t seed, int64_t *chosen) {
  set_quotas(b, classes, wanted, seed);
  fill_buckets(b, labels, count, classes);
  for (int32_t c = 0; c < classes; c++) {
    int64_t *items = b->items + b->begin[c], size = b->begin[c + 1] - b->begin[c];
    if (size < b->quota[c])
      return ntk_fail(
          NTK_ERROR_DATA,
          "the balanced subset ~%lld needs %lld records of class %d (of %d classes), but only %lld are selected; "
          "take a smaller subset or a larger slice",
          (long long)wanted, (long long)b->quota[c], c, classes, (long long)size);
    shuffle(items, size, b->quota[c], ntk_random_stream(seed, 1 + (uint64_t)c));
    for (int64_t i = 0; i < b->quota[c]; i++) b->taken[items[i]] = true;
  }
  for (int64_t i = 0; i < count; i++)
    if (b->taken[i]) *chosen++ = i;
  return NTK_OK;
}

ntk_status ntk_subset_choose(const int32_t *labels, int64_t count, int32_t classes, int64_t wanted, uint64_t seed,
                             int64_t *chosen) {
  if (wanted > count)
    return ntk_fail(NTK_ERROR_DATA, "the subset ~%lld is larger than the %lld records that it is taken from",
                    (long long)wanted, (long long)count);
  if (classes > count) /* also bounds the memory that absurd labels could ask for */
    return ntk_fail(
        NTK_ERROR_DATA,
        "a balanced subset of %d classes cannot be taken from %lld records; take a larger slice, or number the "
        "classes 0, 1, 2, ...",
        classes, (long long)count);
  buckets b = {.begin = calloc((size_t)classes + 1, sizeof *b.begin),
               .items = malloc((size_t)count * sizeof *b.items),
               .quota = malloc((size_t)classes * sizeof *b.quota),
               .taken = calloc((size_t)count, sizeof *b.taken)};
  ntk_status status =
      b.begin && b.items && b.quota && b.taken
          ? choose(&b, labels, count, classes, wanted, seed, chosen)
          : ntk_fail(NTK_ERROR_MEMORY, "no memory to choose a subset of %lld records", (long long)count);
  free(b.begin);
  free(b.items);
  free(b.quota);
  free(b.taken);
  return status;
}
