/* Micro-benchmarks of one core: its clock, and how many vector instructions of a kind it finishes a second (bench.h).
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"

const char *const bench_rate_names[BENCH_RATE_COUNT] = {"fma", "add", "issue", "sqrt", "shuffle", "load", "store"};

/* Runs a loop: `rounds` times over its body; the number of instructions counted. */
typedef int64_t (*loop_function)(int64_t rounds);

/* ---- the loops */

#if defined(__x86_64__)
#include <immintrin.h>

/* Dependent additions, one a clock. Not of a constant: some processors fold those away. */
static int64_t clock_loop(int64_t rounds) {
  long a = 1, b = 3;
  for (int64_t r = 0; r < rounds; r++) __asm__ volatile(".rept 64\n\tadd %1, %0\n\t.endr" : "+r"(a) : "r"(b));
  return 64 * rounds;
}

/* A loop over CHAINS independent values v[k]; `count` instructions each. The empty assembly keeps the compiler from
 * merging or moving the instructions. */
#define LOOP(name, isa, vec, chains, count, start, ...)                           \
  __attribute__((target(isa), noinline)) static int64_t name(int64_t rounds) {    \
    const vec half = start(0.5f);                                                 \
    static float memory[chains * 16] __attribute__((aligned(64)));                \
    vec v[chains];                                                                \
    _Pragma("GCC unroll 32") for (int k = 0; k < chains; k++) v[k] = start(1.7f); \
    for (int64_t r = 0; r < rounds; r++) {                                        \
      _Pragma("GCC unroll 32") for (int k = 0; k < chains; k++) { __VA_ARGS__; }  \
    }                                                                             \
    _Pragma("GCC unroll 32") for (int k = 0; k < chains; k++) KEEP(v[k]);         \
    (void)half, (void)memory;                                                     \
    return rounds * (chains) * (count);                                           \
  }
#define KEEP(v) __asm__ volatile("" : "+v"(v))

#define AVX512 "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma"
#define LOOP512(name, count, ...) LOOP(name##_avx512, AVX512, __m512, 24, count, _mm512_set1_ps, __VA_ARGS__)
LOOP512(fma, 1, v[k] = _mm512_fmadd_ps(v[k], half, half); KEEP(v[k]))
LOOP512(add, 1, v[k] = _mm512_add_ps(v[k], half); KEEP(v[k]))
LOOP512(fma_add, 2, v[k] = _mm512_fmadd_ps(v[k], half, half); KEEP(v[k]); v[k] = _mm512_add_ps(v[k], half); KEEP(v[k]))
LOOP512(sqrt, 1, __m512 w = _mm512_sqrt_ps(v[k]); KEEP(w); KEEP(v[k]))
LOOP512(shuffle, 1, __m512i w = _mm512_castps_si512(v[k]); v[k] = _mm512_castsi512_ps(_mm512_alignr_epi32(w, w, 1));
        KEEP(v[k]))
LOOP512(load, 1, __m512 w = _mm512_load_ps(memory + 16 * k); KEEP(w); __asm__ volatile("" ::: "memory"))
LOOP512(store, 1, _mm512_store_ps(memory + 16 * k, v[k]); __asm__ volatile("" ::: "memory"))
static const loop_function loops_avx512[BENCH_RATE_COUNT] = {fma_avx512,     add_avx512,  fma_add_avx512, sqrt_avx512,
                                                             shuffle_avx512, load_avx512, store_avx512};

#define LOOP256(name, count, ...) LOOP(name##_avx2, "avx2,fma", __m256, 14, count, _mm256_set1_ps, __VA_ARGS__)
#undef KEEP
#define KEEP(v) __asm__ volatile("" : "+x"(v))
LOOP256(fma, 1, v[k] = _mm256_fmadd_ps(v[k], half, half); KEEP(v[k]))
LOOP256(add, 1, v[k] = _mm256_add_ps(v[k], half); KEEP(v[k]))
LOOP256(fma_add, 2, v[k] = _mm256_fmadd_ps(v[k], half, half); KEEP(v[k]); v[k] = _mm256_add_ps(v[k], half); KEEP(v[k]))
LOOP256(sqrt, 1, __m256 w = _mm256_sqrt_ps(v[k]); KEEP(w); KEEP(v[k]))
LOOP256(shuffle, 1, v[k] = _mm256_permutevar8x32_ps(v[k], _mm256_castps_si256(half)); KEEP(v[k]))
LOOP256(load, 1, __m256 w = _mm256_load_ps(memory + 8 * k); KEEP(w); __asm__ volatile("" ::: "memory"))
LOOP256(store, 1, _mm256_store_ps(memory + 8 * k, v[k]); __asm__ volatile("" ::: "memory"))
static const loop_function loops_avx2[BENCH_RATE_COUNT] = {fma_avx2,     add_avx2,  fma_add_avx2, sqrt_avx2,
                                                           shuffle_avx2, load_avx2, store_avx2};

static const loop_function *loops_of(const char *isa, int *lanes) {
  *lanes = strcmp(isa, "avx512") == 0 ? 16 : strcmp(isa, "avx2") == 0 ? 8 : 0;
  return *lanes == 16 ? loops_avx512 : *lanes == 8 ? loops_avx2 : NULL;
}
#else
#if defined(__aarch64__)
static int64_t clock_loop(int64_t rounds) {
  long a = 1, b = 3;
  for (int64_t r = 0; r < rounds; r++) __asm__ volatile(".rept 64\n\tadd %0, %0, %1\n\t.endr" : "+r"(a) : "r"(b));
  return 64 * rounds;
}
#else
static int64_t clock_loop(int64_t rounds) { return 0 * rounds; }
#endif
static const loop_function *loops_of(const char *isa, int *lanes) {
  (void)isa, *lanes = 0;
  return NULL;
}
#endif

/* ---- timing them */

/* Short tries: some of them are not interrupted even on a busy machine. */
enum { TRIES = 40 };

/* Instructions a second: the best of a few tries that together last about `seconds`. */
static double rate_of(loop_function loop, double seconds) {
  int64_t rounds = 64;
  double best = 0;
  for (double begin, taken = 0; taken < seconds / TRIES; rounds *= 2) {
    begin = bench_now();
    if (loop(rounds) == 0) return 0;
    taken = bench_now() - begin;
  }
  rounds /= 2;
  for (int k = 0; k < TRIES; k++) {
    double begin = bench_now();
    double rate = (double)loop(rounds) / (bench_now() - begin);
    if (rate > best) best = rate;
  }
  return best;
}

double bench_clock(double seconds) { return rate_of(clock_loop, seconds); }

typedef struct pulling {
  loop_function loop;
  double seconds, rate;
  pthread_barrier_t *barrier;
} pulling;

static void *pull(void *argument) {
  pulling *p = argument;
  pthread_barrier_wait(p->barrier);
  p->rate = rate_of(p->loop, p->seconds);
  return NULL;
}

/* The rates of `threads` threads that run the loop at once, added up; 0 if they cannot be started. */
static double rate_of_threads(loop_function loop, int threads, double seconds) {
  pthread_barrier_t barrier;
  pthread_t *ids = calloc((size_t)threads, sizeof *ids);
  pulling *pulls = calloc((size_t)threads, sizeof *pulls);
  double sum = 0;
  if (ids && pulls && pthread_barrier_init(&barrier, NULL, (unsigned)threads) == 0) {
    for (int k = 0; k < threads; k++) {
      pulls[k] = (pulling){loop, seconds, 0, &barrier};
      if (k > 0 && pthread_create(&ids[k], NULL, pull, &pulls[k]) != 0) {
        /* those that wait at the barrier cannot be called back */
        fprintf(stderr, "ntk_bench: only %d of %d threads could be started\n", k, threads);
        exit(BENCH_BROKEN);
      }
    }
    pull(&pulls[0]);
    for (int k = 1; k < threads; k++) pthread_join(ids[k], NULL);
    for (int k = 0; k < threads; k++) sum += pulls[k].rate;
    pthread_barrier_destroy(&barrier);
  }
  free(ids), free(pulls);
  return sum;
}

void bench_rates_measure(const char *isa, int threads, double seconds, bench_rates *best) {
  double together = 0;
  const loop_function *loops = loops_of(isa, &best->lanes);
  if (!loops) return;
  for (int k = 0; k < BENCH_RATE_COUNT; k++) {
    double rate = rate_of(loops[k], seconds / BENCH_RATE_COUNT);
    if (rate > best->per_second[k]) best->per_second[k] = rate;
  }
  if (threads > 1) together = rate_of_threads(loops[BENCH_RATE_FMA], threads, seconds / BENCH_RATE_COUNT);
  if (together > best->all_threads) best->all_threads = together;
}
