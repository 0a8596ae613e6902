#include "host/data/random.h"

/* splitmix64 (Steele, Lea, Flood 2014): a counter times the golden ratio, mixed. Stream k of a seed starts at the
 * seed's output number k, so streams are independent of how many numbers the others used. */
static uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

static const uint64_t golden = UINT64_C(0x9e3779b97f4a7c15);

uint64_t ntk_random_stream(uint64_t seed, uint64_t k) { return mix(seed + (k + 1) * golden); }

uint64_t ntk_random_below(uint64_t *state, uint64_t n) {
  uint64_t reject = (0 - n) % n, value;
  do value = mix(*state += golden);
  while (value < reject);
  return value % n;
}
