/* Counter-based random numbers: every number of every random matrix is a function of (seed, stream, index), so that any
 * part of it can be made anywhere, on CPU and CUDA, in any order. Philox4x32-10 (Salmon et al., SC 2011) by Random123.
 *
 * A stream is one random object of a feature map, numbered in the order of the layers. Its number k stands in the block
 * of four 32-bit words k / 4 (signs: 128 to a block). */
#ifndef NTK_KERNELS_RANDOM_H
#define NTK_KERNELS_RANDOM_H

#ifdef __CUDACC__
/* nvcc's host compiler reads it too, without exceptions */
#define R123_USE_SSE 0
#define R123_THROW(x) R123_ASSERT(0)
#endif
#ifdef __cplusplus
/* In C++ Random123 includes <iostream> for its printing operators; its static objects, which nothing here needs, would
 * make every program that links a static libntk need the C++ library. */
#include <istream>
#include <ostream>
#define _GLIBCXX_IOSTREAM 1
#endif
#include <Random123/philox.h>
#include <math.h>
#include <stdint.h>

#ifdef __CUDACC__
#define NTK_RANDOM static __host__ __device__ __forceinline__
#else
#define NTK_RANDOM static inline
#endif

typedef struct ntk_random_words {
  uint32_t word[4];
} ntk_random_words;

NTK_RANDOM ntk_random_words ntk_random_block(uint64_t seed, uint32_t stream, uint64_t block) {
  philox4x32_key_t key;
  philox4x32_ctr_t counter;
  ntk_random_words out;
  key.v[0] = (uint32_t)seed, key.v[1] = (uint32_t)(seed >> 32);
  counter.v[0] = (uint32_t)block, counter.v[1] = (uint32_t)(block >> 32), counter.v[2] = stream, counter.v[3] = 0;
  counter = philox4x32(counter, key);
  for (int k = 0; k < 4; k++) out.word[k] = counter.v[k];
  return out;
}

/* Two independent N(0,1) numbers from two words (Box and Muller 1958). The radius reaches 6.7. */
NTK_RANDOM void ntk_random_normal_pair(uint32_t a, uint32_t b, float out[2]) {
  const float radius = sqrtf(-2 * logf(((float)a + 0.5f) * 0x1p-32f)); /* a near 2^32 rounds up to 1: radius 0 */
  const float angle = ((float)(b >> 8) + 0.5f) * (0x1p-24f * 6.28318530717958647692f);
  out[0] = radius * cosf(angle), out[1] = radius * sinf(angle);
}

/* The four N(0,1) numbers of a block. */
NTK_RANDOM void ntk_random_normals(uint64_t seed, uint32_t stream, uint64_t block, float out[4]) {
  const ntk_random_words w = ntk_random_block(seed, stream, block);
  ntk_random_normal_pair(w.word[0], w.word[1], out);
  ntk_random_normal_pair(w.word[2], w.word[3], out + 2);
}

/* A number below n from a word; the bias of at most n / 2^32 is far below the noise of any feature map. */
NTK_RANDOM uint32_t ntk_random_scale(uint32_t word, uint32_t n) { return (uint32_t)(((uint64_t)word * n) >> 32); }

#endif
