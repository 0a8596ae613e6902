/* Internal: wall-clock seconds that never go back. */
#ifndef NTK_HOST_CLOCK_H
#define NTK_HOST_CLOCK_H

#include <time.h>

static inline double ntk_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
