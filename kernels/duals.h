/* The ReLU duals in deficit form, for any type with the lane vocabulary (docs/accuracy.md; spec: arc-cosine kernels,
 * Cho and Saul 2009). For a pair with norm product v = n_x n_z >= 0 and correlation rho = S / v: D = v - |S|,   m = D /
 * v = 1 - |rho|,   q = sqrt(m) k0(|rho|) = 1 - q p(m),      v k1(|rho|) = |S| + D q s(m) and by symmetry k0(-r) = 1 -
 * k0(r), k1(-r) = k1(r) - r, so that in general v k1 = max(S, 0) + D q s(m). m below NTK_DUAL_SNAP is rounding noise
 * and taken as 0: equal and proportional patches then have rho = 1 exactly.
 *
 * The includer provides: real, vec_set, vec_fma and INLINE (kernels/lanes.h, or their scalar twins in CUDA).
 */
#ifndef NTK_KERNELS_DUALS_H
#define NTK_KERNELS_DUALS_H

#include "kernels/duals_poly.h"

#if NTK_REAL_F64
#define NTK_DUAL_SNAP 4e-15
#define NTK_DUAL_GAP 1e-15
#else
#define NTK_DUAL_SNAP 4.8e-7f
#define NTK_DUAL_GAP 1.8e-7f /* rounding noise of W (plane_cpu.c), relative to n_x n_z */
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

/* p(m) and s(m) */
#if NTK_REAL_F64
#define NTK_DUAL_P(result, m, count) NTK_HORNER(result, m, count, NTK_DUAL_P17)
#define NTK_DUAL_S(result, m, count) NTK_HORNER(result, m, count, NTK_DUAL_S15)
#else
#define NTK_DUAL_P(result, m, count) NTK_HORNER(result, m, count, NTK_DUAL_P6)
#define NTK_DUAL_S(result, m, count) NTK_HORNER(result, m, count, NTK_DUAL_S5)
#endif

#endif
