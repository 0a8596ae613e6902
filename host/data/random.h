/* Internal: random numbers that are the same for ever and everywhere (the algorithm is in docs/data.md). */
#ifndef NTK_HOST_DATA_RANDOM_H
#define NTK_HOST_DATA_RANDOM_H

#include <stdint.h>

/* The state of stream k of a seed. */
uint64_t ntk_random_stream(uint64_t seed, uint64_t k);

/* A uniform number below n (n >= 1), without the bias of a plain remainder. */
uint64_t ntk_random_below(uint64_t *state, uint64_t n);

#endif
