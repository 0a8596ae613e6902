/* The vocabulary of lane operations for one instruction set and one precision.
 *
 * The includer defines NTK_REAL_F64 (0 or 1); the compiler's target flags choose the instruction set. A `vec` holds
 * LANES reals; a `mask` selects lanes. AVX-512 uses mask registers, where zeroing and masking cost nothing; the others
 * use GCC vector extensions, so that one source serves AVX2, baseline x86-64 and any other machine.
 */
#ifndef NTK_KERNELS_LANES_H
#define NTK_KERNELS_LANES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if NTK_REAL_F64
typedef double real;
typedef int64_t real_bits;
#else
typedef float real;
typedef int32_t real_bits;
#endif

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

#if defined(__AVX512F__)
#include <immintrin.h>
#if NTK_REAL_F64
#define LANES 8
typedef __m512d vec;
typedef __mmask8 mask;
#define AVX(name) _mm512_##name##_pd
INLINE vec vec_shift_up(vec v, mask keep) {
  return _mm512_castsi512_pd(
      _mm512_maskz_alignr_epi64(keep, _mm512_castpd_si512(v), _mm512_setzero_si512(), LANES - 1));
}
INLINE vec vec_shift_down(vec v, mask keep) {
  return _mm512_castsi512_pd(_mm512_maskz_alignr_epi64(keep, _mm512_setzero_si512(), _mm512_castpd_si512(v), 1));
}
INLINE vec vec_permute(vec v, const real_bits *index) { return _mm512_permutexvar_pd(_mm512_loadu_si512(index), v); }
INLINE mask vec_greater(vec a, vec b) { return _mm512_cmp_pd_mask(a, b, _CMP_GT_OQ); }
INLINE mask bits_differ(const real_bits *a, const real_bits *b) {
  return _mm512_cmpneq_epi64_mask(_mm512_loadu_si512(a), _mm512_loadu_si512(b));
}
#else
#define LANES 16
typedef __m512 vec;
typedef __mmask16 mask;
#define AVX(name) _mm512_##name##_ps
INLINE vec vec_shift_up(vec v, mask keep) {
  return _mm512_castsi512_ps(
      _mm512_maskz_alignr_epi32(keep, _mm512_castps_si512(v), _mm512_setzero_si512(), LANES - 1));
}
INLINE vec vec_shift_down(vec v, mask keep) {
  return _mm512_castsi512_ps(_mm512_maskz_alignr_epi32(keep, _mm512_setzero_si512(), _mm512_castps_si512(v), 1));
}
INLINE vec vec_permute(vec v, const real_bits *index) { return _mm512_permutexvar_ps(_mm512_loadu_si512(index), v); }
/* table[low four bits of each lane of at] */
#define NTK_DUAL_TABLES
INLINE vec vec_lookup16(vec table, vec at) { return _mm512_permutexvar_ps(_mm512_castps_si512(at), table); }
INLINE mask vec_greater(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
INLINE mask bits_differ(const real_bits *a, const real_bits *b) {
  return _mm512_cmpneq_epi32_mask(_mm512_loadu_si512(a), _mm512_loadu_si512(b));
}
#endif
INLINE vec vec_set(real a) { return AVX(set1)(a); }
INLINE vec vec_load(const real *p) { return AVX(load)(p); }
INLINE vec vec_loadu(const real *p) { return AVX(loadu)(p); }
INLINE void vec_store(real *p, vec v) { AVX(store)(p, v); }
INLINE vec vec_fma(vec a, vec b, vec c) { return AVX(fmadd)(a, b, c); }   /*  a b + c */
INLINE vec vec_fms(vec a, vec b, vec c) { return AVX(fmsub)(a, b, c); }   /*  a b - c */
INLINE vec vec_fnma(vec a, vec b, vec c) { return AVX(fnmadd)(a, b, c); } /* -a b + c */
INLINE vec vec_abs(vec a) { return AVX(abs)(a); }
INLINE vec vec_sqrt_where(vec a, mask m) { return AVX(maskz_sqrt)(m, a); }           /* 0 where the mask is off */
INLINE vec vec_add_where(vec a, vec b, mask m) { return AVX(mask_add)(a, m, a, b); } /* a + (m ? b : 0) */
/* A square root that is 0 outside a mask. Here whoever uses it masks it, which keeps the comparison out of the chain
 * of operations that leads to the root. */
INLINE vec vec_root(vec a, mask m) { return (void)m, AVX(sqrt)(a); }
INLINE vec vec_root_mul(vec root, vec a, mask m) { return AVX(maskz_mul)(m, root, a); }
INLINE vec vec_root_fnma(vec root, vec a, vec c, mask m) { return AVX(mask3_fnmadd)(root, a, c, m); } /* c - root a */
INLINE vec vec_keep(vec a, mask m) { return AVX(maskz_mov)(m, a); }
INLINE vec vec_select(mask m, vec a, vec b) { return AVX(mask_blend)(m, b, a); } /* m ? a : b */
INLINE mask mask_make(uint64_t bits) { return (mask)bits; }
INLINE mask mask_and(mask a, mask b) { return (mask)(a & b); }
INLINE int mask_any(mask a) { return a != 0; }
#undef AVX

#else /* GCC vector extensions */
#if defined(__SSE2__)
#include <immintrin.h>
#endif
#if defined(__AVX2__)
#define VEC_BYTES 32
#else
#define VEC_BYTES 16
#endif
#define LANES (VEC_BYTES / (int)sizeof(real))
typedef real vec __attribute__((vector_size(VEC_BYTES), aligned(VEC_BYTES), may_alias));
typedef real_bits mask __attribute__((vector_size(VEC_BYTES), aligned(VEC_BYTES), may_alias));
INLINE vec vec_set(real a) { return a - (vec){0}; }
INLINE vec vec_load(const real *p) { return *(const vec *)p; }
INLINE vec vec_loadu(const real *p) {
  vec v;
  memcpy(&v, p, sizeof v);
  return v;
}
INLINE void vec_store(real *p, vec v) { *(vec *)p = v; }
/* With FMA the compiler contracts these; without it product and sum round separately. */
INLINE vec vec_fma(vec a, vec b, vec c) { return a * b + c; }
INLINE vec vec_fms(vec a, vec b, vec c) { return a * b - c; }
INLINE vec vec_fnma(vec a, vec b, vec c) { return c - a * b; }
INLINE vec vec_keep(vec a, mask m) { return (vec)((mask)a & m); }
INLINE vec vec_select(mask m, vec a, vec b) { return (vec)(((mask)a & m) | ((mask)b & ~m)); }
INLINE mask vec_greater(vec a, vec b) {
#if defined(__SSE2__) && !defined(__AVX2__) /* GCC 12 cannot expand some uses of a > b here */
#if NTK_REAL_F64
  return (mask)_mm_cmpgt_pd((__m128d)a, (__m128d)b);
#else
  return (mask)_mm_cmpgt_ps((__m128)a, (__m128)b);
#endif
#else
  return a > b;
#endif
}
INLINE mask bits_differ(const real_bits *a, const real_bits *b) {
  mask m = {0};
  for (int l = 0; l < LANES; l++) m[l] = -(real_bits)(a[l] != b[l]);
  return m;
}
INLINE vec vec_abs(vec a) { return (vec)((mask)a & (((mask){0} + 1) << (8 * sizeof(real) - 1) ^ ~(mask){0})); }
INLINE vec vec_sqrt(vec a) {
#if defined(__AVX2__) && NTK_REAL_F64
  return (vec)_mm256_sqrt_pd((__m256d)a);
#elif defined(__AVX2__)
  return (vec)_mm256_sqrt_ps((__m256)a);
#elif defined(__SSE2__) && NTK_REAL_F64
  return (vec)_mm_sqrt_pd((__m128d)a);
#elif defined(__SSE2__)
  return (vec)_mm_sqrt_ps((__m128)a);
#else
  for (int l = 0; l < LANES; l++) a[l] = (real)sqrt((double)a[l]);
  return a;
#endif
}
INLINE vec vec_sqrt_where(vec a, mask m) { return vec_sqrt(vec_keep(a, m)); }
INLINE vec vec_root(vec a, mask m) { return vec_sqrt_where(a, m); }
INLINE vec vec_root_mul(vec root, vec a, mask m) { return (void)m, root * a; }
INLINE vec vec_root_fnma(vec root, vec a, vec c, mask m) { return (void)m, vec_fnma(root, a, c); }
INLINE vec vec_add_where(vec a, vec b, mask m) { return a + vec_keep(b, m); }
#if defined(__clang__)
INLINE vec vec_shift_up(vec v, mask keep) {
  vec r = {0};
  for (int l = 1; l < LANES; l++) r[l] = v[l - 1];
  return vec_keep(r, keep);
}
INLINE vec vec_shift_down(vec v, mask keep) {
  vec r = {0};
  for (int l = 0; l + 1 < LANES; l++) r[l] = v[l + 1];
  return vec_keep(r, keep);
}
INLINE vec vec_permute(vec v, const real_bits *index) {
  vec r;
  for (int l = 0; l < LANES; l++) r[l] = v[index[l]];
  return r;
}
#else
INLINE vec vec_shift_up(vec v, mask keep) {
  mask index;
  for (int l = 0; l < LANES; l++) index[l] = LANES - 1 + l;
  return vec_keep(__builtin_shuffle((vec){0}, v, index), keep);
}
INLINE vec vec_shift_down(vec v, mask keep) {
  mask index;
  for (int l = 0; l < LANES; l++) index[l] = l + 1;
  return vec_keep(__builtin_shuffle(v, (vec){0}, index), keep);
}
INLINE vec vec_permute(vec v, const real_bits *index) {
  mask i;
  memcpy(&i, index, sizeof i);
  return __builtin_shuffle(v, i);
}
#endif
INLINE mask mask_make(uint64_t bits) {
  mask m = {0};
  for (int l = 0; l < LANES; l++) m[l] = -(real_bits)((bits >> l) & 1);
  return m;
}
INLINE mask mask_and(mask a, mask b) { return a & b; }
INLINE int mask_any(mask a) {
#if defined(__AVX2__)
  return _mm256_movemask_epi8((__m256i)a) != 0;
#elif defined(__SSE2__)
  return _mm_movemask_epi8((__m128i)a) != 0;
#else
  int any = 0;
  for (int l = 0; l < LANES; l++) any |= a[l] != 0;
  return any;
#endif
}
#endif

INLINE vec vec_zero(void) { return vec_set(0); }
INLINE vec vec_add(vec a, vec b) { return a + b; }
INLINE vec vec_sub(vec a, vec b) { return a - b; }
INLINE vec vec_mul(vec a, vec b) { return a * b; }

/* Sum of the lanes in float64, always in the same order. */
INLINE double vec_sum(vec v) {
  real lane[LANES] __attribute__((aligned(64)));
  vec_store(lane, v);
  double sum = 0;
  for (int l = 0; l < LANES; l++) sum += (double)lane[l];
  return sum;
}

#endif
