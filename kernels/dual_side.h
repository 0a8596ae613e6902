/* The sides of dual activations (activation.h): what depends on one variance only. Shared by the host and CUDA. */
#ifndef NTK_KERNELS_DUAL_SIDE_H
#define NTK_KERNELS_DUAL_SIDE_H

#include <math.h>

#include "kernels/activation.h"
#include "kernels/packing.h"

NTK_SHARED int ntk_dual_sides_of(const ntk_activation_dual *dual) {
  switch (dual->kind) {
    case NTK_DUAL_PIECES:
    case NTK_DUAL_SIGN:
    case NTK_DUAL_EXPNORM: return 2;
    case NTK_DUAL_ERF:
    case NTK_DUAL_GELU: return 3;
    case NTK_DUAL_SERIES: return NTK_DUAL_FIRST_TERM + dual->linear + dual->terms;
    default: return 1;
  }
}

/* s and s' at u and -u. */
typedef struct ntk_dual_values {
  double above, below, slope_above, slope_below;
} ntk_dual_values;

/* For u >= 0, to rounding of the largest values; of functions that are integrated numerically. */
NTK_SHARED ntk_dual_values ntk_dual_evaluate(const ntk_activation_dual *dual, double u) {
  ntk_dual_values at = {0, 0, 0, 0};
  if (dual->function == NTK_DUAL_TANH) {
    at.above = tanh(u), at.below = -at.above;
    at.slope_above = at.slope_below = 1 - at.above * at.above;
    return at;
  }
  const double low = exp(-u), logistic = 1 / (1 + low);
  switch (dual->function) {
    case NTK_DUAL_SIGMOID:
      at.above = logistic, at.below = 1 - logistic;
      at.slope_above = at.slope_below = logistic * (1 - logistic);
      break;
    case NTK_DUAL_SILU:
      at.above = u * logistic, at.below = at.above - u;
      at.slope_above = logistic * (1 + u * (1 - logistic)), at.slope_below = 1 - at.slope_above;
      break;
    case NTK_DUAL_SOFTPLUS:
      at.below = log1p(low), at.above = u + at.below;
      at.slope_above = logistic, at.slope_below = 1 - logistic;
      break;
    default: /* elu */
      at.above = dual->params[1] * u, at.below = dual->params[1] * dual->params[0] * (low - 1);
      at.slope_above = dual->params[1], at.slope_below = dual->params[1] * dual->params[0] * low;
      break;
  }
  return at;
}

/* The term of degree k in a series' side; k = 1 may have a place of its own. */
NTK_SHARED double *ntk_dual_term(const ntk_activation_dual *dual, double *side, size_t stride, int k) {
  if (dual->linear && k == 1) return side + NTK_DUAL_FIRST_TERM * stride;
  return side + (size_t)(NTK_DUAL_FIRST_TERM + dual->linear + (k - dual->first) / dual->step) * stride;
}

/* Adds to the side what `amount` u^m of s' gives: u^m = SUM_i m! / (2^i i! j!) He_j(u), j = m - 2i. n = sqrt(p). */
NTK_SHARED void ntk_dual_add_power(const ntk_activation_dual *dual, double amount, int m, double n, double *side,
                                   size_t stride) {
  for (int k = 1; k <= m; k++) amount *= sqrt((double)k) * n; /* sqrt(m!) n^m */
  for (int j = m; j >= 0; j -= 2) {
    double weight = amount;
    for (int i = 1; i <= (m - j) / 2; i++) weight *= sqrt((double)(j + 2 * i) * (j + 2 * i - 1)) / (2 * i);
    *ntk_dual_term(dual, side, stride, j + 1) += weight;
  }
}

/* The factor of h_j(u) in h_m(sqrt(p) u), m - j even: sqrt(m!/j!) n^j ((p - 1)/2)^i / i!, i = (m - j)/2. */
NTK_SHARED double ntk_dual_scaled(int m, int j, double p, double n) {
  double weight = 1;
  for (int i = 1; i <= (m - j) / 2; i++) weight *= sqrt((double)(j + 2 * i) * (j + 2 * i - 1)) * (p - 1) / (2 * i);
  for (int i = 0; i < j; i++) weight *= n;
  return weight;
}

/* Adds to the side what `amount` h_k(u) gives, whose derivative is sqrt(k) h_(k-1). */
NTK_SHARED void ntk_dual_add_hermite(const ntk_activation_dual *dual, double amount, int k, double p, double n,
                                     double *side, size_t stride) {
  if (k % 2 == 0) side[stride] += amount * ntk_dual_scaled(k, 0, p, n);
  for (int j = k - 1; j >= 0; j -= 2)
    *ntk_dual_term(dual, side, stride, j + 1) += amount * sqrt((double)k) * ntk_dual_scaled(k - 1, j, p, n);
}

/* Integrates against the Hermite polynomials; what the missing terms hold of E and E' follows from E[s^2], E[s'^2]. */
NTK_SHARED void ntk_dual_integrate(const ntk_activation_dual *dual, double p, double n, double *side, size_t stride) {
  const double *const nodes = dual->table, *const weights = nodes + NTK_DUAL_NODES;
  const double *const basis = weights + NTK_DUAL_NODES;
  const int linear = dual->linear;
  double mean = 0, square = 0, slopes = 0;
  double slope_even[NTK_DUAL_NODES], slope_odd[NTK_DUAL_NODES]; /* s'(nx) + s'(-nx), s'(nx) - s'(-nx) */
  for (int i = 0; i < NTK_DUAL_NODES; i++) {
    const ntk_dual_values at = ntk_dual_evaluate(dual, n * nodes[i]);
    mean += weights[i] * (at.above + at.below);
    square += weights[i] * (at.above * at.above + at.below * at.below);
    slopes += weights[i] * (at.slope_above * at.slope_above + at.slope_below * at.slope_below);
    slope_even[i] = at.slope_above + at.slope_below, slope_odd[i] = at.slope_above - at.slope_below;
  }
  side[stride] = mean;
  const double noise = 1e-14, least_square = noise * square, least_slopes = noise * slopes;
  square -= mean * mean;
  for (int place = 0; place < linear + dual->terms; place++) {
    const int k = place < linear ? 1 : dual->first + dual->step * (place - linear);
    const double *const h = basis + (size_t)(k - 1) * NTK_DUAL_NODES, *const of = k % 2 ? slope_even : slope_odd;
    double b = 0, part[8] = {0};
    for (int i = 0; i < NTK_DUAL_NODES; i += 8) /* partial sums are vectors */
      for (int l = 0; l < 8; l++) part[l] += h[i + l] * of[i + l];
    for (int l = 0; l < 8; l++) b += part[l];
    side[(size_t)(NTK_DUAL_FIRST_TERM + place) * stride] = b;
    slopes -= b * b, square -= p * b * b / k;
  }
  if (square > least_square && n > 0) side[2 * stride] = sqrt(square) / n;
  if (slopes > least_slopes) side[3 * stride] = sqrt(slopes);
  if (side[2 * stride] > 0 || side[3 * stride] > 0) return;
  int terms = dual->terms; /* those behind hold less than 1e-16 of E[s'^2], and of a pair's E' by Cauchy and Schwarz */
  for (double rest = 0; terms > 0; terms--) {
    const double b = side[(size_t)(NTK_DUAL_FIRST_TERM + linear + terms - 1) * stride];
    rest += b * b;
    if (rest > 0.01 * least_slopes) break;
  }
  side[4 * stride] = terms;
}

NTK_SHARED void ntk_dual_series_side(const ntk_activation_dual *dual, double p, double n, double *side, size_t stride) {
  for (int q = 0; q < ntk_dual_sides_of(dual); q++) side[(size_t)q * stride] = 0;
  side[0] = n > 0 ? 1 / n : 0;
  side[4 * stride] = dual->terms;
  switch (dual->function) {
    case NTK_DUAL_MONOMIAL: {
      const int k = dual->degree;
      double mean = k % 2 == 0; /* E[(n u)^k] = n^k (k-1)!! */
      for (int i = 1; i < k; i += 2) mean *= i * p;
      side[stride] = mean;
      if (k > 0) ntk_dual_add_power(dual, k, k - 1, n, side, stride);
      break;
    }
    case NTK_DUAL_HERMITE: ntk_dual_add_hermite(dual, 1, dual->degree, p, n, side, stride); break;
    case NTK_DUAL_POLYNOMIAL:
      for (int k = 0; k <= dual->degree; k++) ntk_dual_add_hermite(dual, dual->coefficients[k], k, p, n, side, stride);
      break;
    default: ntk_dual_integrate(dual, p, n, side, stride); break;
  }
}

/* ntk_dual_side. */
NTK_SHARED void ntk_dual_fill_side(const ntk_activation_dual *dual, double p, double *side, size_t stride) {
  if (!(p >= 0 && p <= NTK_DUAL_LARGEST_VARIANCE)) {
    for (int q = 0; q < ntk_dual_sides_of(dual); q++) side[(size_t)q * stride] = NAN;
    if (dual->kind == NTK_DUAL_SERIES) side[4 * stride] = 0;
    return;
  }
  const double n = sqrt(p);
  switch (dual->kind) {
    case NTK_DUAL_PIECES:
    case NTK_DUAL_SIGN:
    case NTK_DUAL_EXPNORM:
      side[0] = n;
      side[stride] = n > 0 ? 1 / n : 0;
      break;
    case NTK_DUAL_ERF:
    case NTK_DUAL_GELU:
      side[0] = p;
      side[stride] = n;
      side[2 * stride] = 1 / sqrt(dual->kind == NTK_DUAL_ERF ? 1 + 2 * p : 1 + p);
      break;
    case NTK_DUAL_SERIES: ntk_dual_series_side(dual, p, n, side, stride); break;
    default: side[0] = p; break;
  }
}

#endif
