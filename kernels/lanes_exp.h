/* exp and expm1 of float64 lanes, to 2 ulp: x = n ln 2 + f, 2^n (1 + f + f^2 q(f)) with Taylor's q. */
#ifndef NTK_KERNELS_LANES_EXP_H
#define NTK_KERNELS_LANES_EXP_H

#include "kernels/lanes.h"

INLINE void vec_storeu(real *p, vec v) { memcpy(p, &v, sizeof v); }

/* 2^n from n + 1.5 * 2^52, whose low bits are n. */
INLINE vec vec_power_of_two(vec shifted) {
#if defined(__AVX512F__)
  return _mm512_castsi512_pd(
      _mm512_add_epi64(_mm512_slli_epi64(_mm512_castpd_si512(shifted), 52), _mm512_set1_epi64((int64_t)1023 << 52)));
#else
  return (vec)(((mask)shifted << 52) + ((int64_t)1023 << 52));
#endif
}

/* exp(x) = scale (1 + p) for x in [-708, 709]; *scale = 2^n. */
INLINE vec vec_exp_parts(vec x, vec *scale) {
  const double magic = 0x1.8p52, ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;
  static const double q[] = {1. / 2,     1. / 6,      1. / 24,      1. / 120,      1. / 720,       1. / 5040,
                             1. / 40320, 1. / 362880, 1. / 3628800, 1. / 39916800, 1. / 479001600, 1. / 6227020800};
  enum { last = sizeof q / sizeof *q - 1 };
  vec shifted = vec_fma(x, vec_set(0x1.71547652b82fep0), vec_set(magic)), n = shifted - vec_set(magic);
  vec f = vec_fnma(n, vec_set(ln2_low), vec_fnma(n, vec_set(ln2_high), x)), poly = vec_set(q[last]);
  UNROLL for (int i = last - 1; i >= 0; i--) poly = vec_fma(poly, f, vec_set(q[i]));
  *scale = vec_power_of_two(shifted);
  return vec_fma(f * f, poly, f);
}

INLINE vec vec_exp(vec x) {
  const vec high = vec_set(709), low = vec_set(-708);
  mask over = vec_greater(x, high), under = vec_greater(low, x);
  vec scale, p = vec_exp_parts(vec_select(over, high, vec_select(under, low, x)), &scale);
  return vec_select(over, vec_set((double)INFINITY), vec_select(under, vec_set(0), vec_fma(scale, p, scale)));
}

/* exp(x) - 1 for x <= 0, with small x to all digits. */
INLINE vec vec_expm1(vec x) {
  const vec low = vec_set(-708);
  vec scale, p = vec_exp_parts(vec_select(vec_greater(low, x), low, x), &scale);
  return vec_fma(scale, p, scale - vec_set(1));
}

#endif
