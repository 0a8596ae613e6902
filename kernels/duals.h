/* The ReLU duals in deficit form, for any type with the lane vocabulary (docs/accuracy.md; spec: arc-cosine kernels,
 * Cho and Saul 2009). For a pair with norm product v = n_x n_z >= 0 and correlation rho = S / v: D = v - |S|,   m = D /
 * v = 1 - |rho|,   q = sqrt(m) k0(|rho|) = 1 - q p(m),      v k1(|rho|) = |S| + D q s(m) and by symmetry k0(-r) = 1 -
 * k0(r), k1(-r) = k1(r) - r, so that in general v k1 = max(S, 0) + D q s(m). m below NTK_DUAL_SNAP is rounding noise
 * and taken as 0: equal and proportional patches then have rho = 1 exactly.
 *
 * The vocabulary is that of kernels/lanes.h; CUDA brings scalar twins of it.
 */
#ifndef NTK_KERNELS_DUALS_H
#define NTK_KERNELS_DUALS_H

#include "kernels/duals_poly.h"
#if !defined(__CUDACC__) && !defined(NTK_KERNELS_CUDA_LANES_CUH)
#include "kernels/lanes.h"
#endif

/* After the first ReLU m and q come scaled, for tables' sake: 1 / n carries the factor (plane_tables.h). */
#ifdef NTK_DUAL_TABLES
#define NTK_DUAL_SCALE NTK_DUAL_TABLE_SCALE
#else
#define NTK_DUAL_SCALE 1
#endif

#if NTK_REAL_F64
#define NTK_DUAL_SNAP 4e-15
#define NTK_DUAL_GAP 1e-15
#define NTK_DUAL_P NTK_DUAL_P17
#define NTK_DUAL_S NTK_DUAL_S15
#else
#define NTK_DUAL_SNAP (4.8e-7f * NTK_DUAL_SCALE)
#define NTK_DUAL_GAP 1.8e-7f /* rounding noise of W (plane_cpu.c), relative to n_x n_z */
#define NTK_DUAL_P NTK_DUAL_P6
#define NTK_DUAL_S NTK_DUAL_S5
#endif

/* Polynomial with constant coefficients by Horner's rule, on `count` independent arguments side by side. */
#define NTK_HORNER(result, m, count, ...)                                                       \
  do {                                                                                          \
    static const real horner_c[] = {__VA_ARGS__};                                               \
    enum { horner_n = sizeof horner_c / sizeof *horner_c };                                     \
    UNROLL for (int horner_k = 0; horner_k < (count); horner_k++) result[horner_k] =            \
        vec_fma(vec_set(horner_c[horner_n - 1]), m[horner_k], vec_set(horner_c[horner_n - 2])); \
    UNROLL for (int horner_i = horner_n - 3; horner_i >= 0; horner_i--)                         \
        UNROLL for (int horner_k = 0; horner_k < (count); horner_k++) result[horner_k] =        \
            vec_fma(result[horner_k], m[horner_k], vec_set(horner_c[horner_i]));                \
  } while (0)

/* p(m), if want_p, and s(m) of `count` independent arguments, by one polynomial each over the whole of [0, 1]. */
#define NTK_DUALS_WHOLE(p, s, m, count, want_p)      \
  do {                                               \
    NTK_HORNER(s, m, count, NTK_DUAL_S);             \
    if (want_p) NTK_HORNER(p, m, count, NTK_DUAL_P); \
  } while (0)

/* The same after the first ReLU, where correlations near 0 are rare: these are less exact there. */
#if defined(NTK_DUAL_SHORT)
#define NTK_DUALS_LATER(p, s, m, count, want_p)          \
  do {                                                   \
    NTK_HORNER(s, m, count, NTK_DUAL_S);                 \
    if (want_p) NTK_HORNER(p, m, count, NTK_DUAL_P5_LATER); \
  } while (0)
#elif !defined(NTK_DUAL_TABLES)
#define NTK_DUALS_LATER NTK_DUALS_WHOLE
#else
/* A quadratic whose coefficients are looked up balances multipliers and shuffles, where Horner's rule waits for the
 * former. The interval is in the low bits of m + 2^19. */
INLINE void ntk_dual_lookup(const int count, const real (*table)[16], const vec *m, const vec *at, vec *result) {
  const vec constant = vec_loadu(table[0]), linear = vec_loadu(table[1]), quadratic = vec_loadu(table[2]);
  vec c[4];
  UNROLL for (int k = 0; k < count; k++) result[k] = vec_lookup16(quadratic, at[k]);
  UNROLL for (int k = 0; k < count; k++) c[k] = vec_lookup16(linear, at[k]);
  UNROLL for (int k = 0; k < count; k++) result[k] = vec_fma(result[k], m[k], c[k]);
  UNROLL for (int k = 0; k < count; k++) c[k] = vec_lookup16(constant, at[k]);
  UNROLL for (int k = 0; k < count; k++) result[k] = vec_fma(result[k], m[k], c[k]);
}
INLINE void ntk_duals_table(vec *p, vec *s, const vec *m, const int count, const int want_p) {
  static const real s_table[3][16] = {NTK_DUAL_S_TABLE}, p_table[3][16] = {NTK_DUAL_P_TABLE};
  vec interval[4];
  UNROLL for (int k = 0; k < count; k++) interval[k] = vec_add(m[k], vec_set((real)524288));
  ntk_dual_lookup(count, s_table, m, interval, s);
  if (want_p) ntk_dual_lookup(count, p_table, m, interval, p);
}
#define NTK_DUALS_LATER ntk_duals_table
#endif

#endif
