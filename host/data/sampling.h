/* Internal: which records of a source a data set takes. */
#ifndef NTK_HOST_DATA_SAMPLING_H
#define NTK_HOST_DATA_SAMPLING_H

#include <ntk/status.h>
#include <stdint.h>

#include "host/data/spec.h"

/* Records first, first + step, ... (count of them), as Python would slice a list of `total`. */
void ntk_slice_resolve(const ntk_data_spec *spec, int64_t total, int64_t *first, int64_t *step, int64_t *count);

/* Picks `wanted` of `count` positions at random with equally many of each class, in ascending order. Classes differ by
 * one where `classes` does not divide `wanted`. A larger subset of the same seed holds every smaller one. The result
 * depends on labels, classes, wanted and seed only and is the same for ever. chosen receives `wanted` positions. */
ntk_status ntk_subset_choose(const int32_t *labels, int64_t count, int32_t classes, int64_t wanted, uint64_t seed,
                             int64_t *chosen);

#endif
