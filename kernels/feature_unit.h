/* The functions of units (feature.h) and their derivatives, shared by CPU and CUDA. float32. */
#ifndef NTK_KERNELS_FEATURE_UNIT_H
#define NTK_KERNELS_FEATURE_UNIT_H

#include <math.h>

#include "kernels/feature.h"

#ifdef __CUDACC__
#define NTK_UNIT_FUNCTION static __device__ __forceinline__
#else
#define NTK_UNIT_FUNCTION static
#endif

/* NTK_UNIT_PIECES and its derivative. */
NTK_UNIT_FUNCTION float ntk_unit_pieces(float below, float above, float u) { return u > 0 ? above * u : below * u; }
NTK_UNIT_FUNCTION float ntk_unit_step(float below, float above, float u) { return u > 0 ? above : below; }

/* NTK_UNIT_EVEN and its derivative. */
NTK_UNIT_FUNCTION float ntk_unit_even(float length, float u) { return fabsf(u) - length; }
NTK_UNIT_FUNCTION float ntk_unit_sign(float u) { return (float)((u > 0) - (u < 0)); }

/* ---- the others ---- */

NTK_UNIT_FUNCTION float ntk_unit_density(float u) { return 0.39894228040143267794f * expf(-u * u / 2); }
NTK_UNIT_FUNCTION float ntk_unit_cumulative(float u) { return 0.5f * erfcf(-u * 0.70710678118654752440f); }
NTK_UNIT_FUNCTION float ntk_unit_logistic(float u) { return 1 / (1 + expf(-u)); }

/* SUM_k a_k h_k(u), or its derivative SUM_k a_k sqrt((double)k) h_(k-1)(u), by the recurrence of the normalised
 * polynomials. */
NTK_UNIT_FUNCTION float ntk_unit_hermite_sum(const float *a, int count, int only, int derivative, float u) {
  double now = 1, before = 0, sum = 0; /* h_k, h_(k-1) */
  const int end = only >= 0 ? only + 1 : count;
  for (int k = 0; k < end; k++) {
    if (only < 0 || k == only) sum += (only < 0 ? (double)a[k] : 1) * (derivative ? sqrt((double)k) * before : now);
    const double next = ((double)u * now - sqrt((double)k) * before) / sqrt((double)(k + 1));
    before = now, now = next;
  }
  return (float)sum;
}

NTK_UNIT_FUNCTION float ntk_unit_value(const ntk_feature_unit *unit, float u) {
  const float *p = unit->params;
  switch (unit->kind) {
    case NTK_UNIT_SIGN: return ntk_unit_sign(u);
    case NTK_UNIT_ERF: return erff(u);
    case NTK_UNIT_GELU: return u * ntk_unit_cumulative(u);
    case NTK_UNIT_WAVE: return p[0] * sinf(p[1] * u + p[2]);
    case NTK_UNIT_EXPONENTIAL: return expf(p[0] * u);
    case NTK_UNIT_MONOMIAL: return powf(u, p[0]);
    case NTK_UNIT_HERMITE: return ntk_unit_hermite_sum(p, 0, (int)p[0], 0, u);
    case NTK_UNIT_SERIES: return ntk_unit_hermite_sum(p, unit->count, -1, 0, u);
    case NTK_UNIT_TANH: return tanhf(u);
    case NTK_UNIT_SIGMOID: return ntk_unit_logistic(u);
    case NTK_UNIT_SILU: return u * ntk_unit_logistic(u);
    case NTK_UNIT_SOFTPLUS: return u > 0 ? u + log1pf(expf(-u)) : log1pf(expf(u));
    case NTK_UNIT_ELU: return u > 0 ? p[1] * u : p[0] * p[1] * expm1f(u);
    case NTK_UNIT_EVEN: return ntk_unit_even(p[0], u);
    default: return 0;
  }
}

NTK_UNIT_FUNCTION float ntk_unit_slope(const ntk_feature_unit *unit, float u) {
  const float *p = unit->params;
  switch (unit->kind) {
    case NTK_UNIT_ERF: return 1.1283791670955125739f * expf(-u * u);
    case NTK_UNIT_GELU: return ntk_unit_cumulative(u) + u * ntk_unit_density(u);
    case NTK_UNIT_WAVE: return p[0] * p[1] * cosf(p[1] * u + p[2]);
    case NTK_UNIT_EXPONENTIAL: return p[0] * expf(p[0] * u);
    case NTK_UNIT_MONOMIAL: return p[0] > 0 ? p[0] * powf(u, p[0] - 1) : 0;
    case NTK_UNIT_HERMITE: return ntk_unit_hermite_sum(p, 0, (int)p[0], 1, u);
    case NTK_UNIT_SERIES: return ntk_unit_hermite_sum(p, unit->count, -1, 1, u);
    case NTK_UNIT_TANH: return 1 - tanhf(u) * tanhf(u);
    case NTK_UNIT_SIGMOID: return ntk_unit_logistic(u) * ntk_unit_logistic(-u);
    case NTK_UNIT_SILU: return ntk_unit_logistic(u) * (1 + u * ntk_unit_logistic(-u));
    case NTK_UNIT_SOFTPLUS: return ntk_unit_logistic(u);
    case NTK_UNIT_ELU: return u > 0 ? p[1] : p[0] * p[1] * expf(u);
    case NTK_UNIT_EVEN: return ntk_unit_sign(u);
    default: return 0; /* sign */
  }
}

#endif
