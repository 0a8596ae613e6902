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
    case NTK_DUAL_SERIES:
      return NTK_DUAL_FIRST_TERM + dual->linear + dual->terms + (dual->kinked ? dual->terms + 4 : 0);
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

/* g and g' of dual_kink.h. */
NTK_SHARED ntk_dual_values ntk_dual_evaluate_kink(const ntk_activation_dual *dual, double u) {
  const double a = dual->params[0], b = dual->params[1];
  ntk_dual_values at = {b * u, 0, b, 0};
  double power = a * b;
  for (int m = 0; m <= NTK_DUAL_ORDER + 1; m++) {
    if (m > 0) at.below += power;
    if (m <= NTK_DUAL_ORDER) at.slope_below += power;
    power *= -u / (m + 1);
  }
  return at;
}

/* What has been integrated: E[s], E[s^2], E[s'^2]. */
typedef struct ntk_dual_means {
  double value, square, slope_square;
} ntk_dual_means;

/* Integrates s, or g if `kink`, against 1 and s' or g' against the Hermite polynomials. */
NTK_SHARED ntk_dual_means ntk_dual_integrate(const ntk_activation_dual *dual, int kink, double n, double *terms,
                                             size_t stride) {
  const double *const nodes = dual->table, *const weights = nodes + NTK_DUAL_NODES;
  const double *const basis = weights + NTK_DUAL_NODES;
  double even[NTK_DUAL_NODES], odd[NTK_DUAL_NODES]; /* s'(nx) + s'(-nx), s'(nx) - s'(-nx) */
  ntk_dual_means mean = {0, 0, 0};
  for (int i = 0; i < NTK_DUAL_NODES; i++) {
    const ntk_dual_values at =
        kink ? ntk_dual_evaluate_kink(dual, n * nodes[i]) : ntk_dual_evaluate(dual, n * nodes[i]);
    mean.value += weights[i] * (at.above + at.below);
    mean.square += weights[i] * (at.above * at.above + at.below * at.below);
    mean.slope_square += weights[i] * (at.slope_above * at.slope_above + at.slope_below * at.slope_below);
    even[i] = at.slope_above + at.slope_below, odd[i] = at.slope_above - at.slope_below;
  }
  for (int place = 0; place < dual->linear + dual->terms; place++) {
    const int k = place < dual->linear ? 1 : dual->first + dual->step * (place - dual->linear);
    const double *const h = basis + (size_t)(k - 1) * NTK_DUAL_NODES, *const of = k % 2 ? even : odd;
    double b = 0, part[8] = {0};
    for (int i = 0; i < NTK_DUAL_NODES; i += 8) /* partial sums are vectors */
      for (int l = 0; l < 8; l++) part[l] += h[i + l] * of[i + l];
    for (int l = 0; l < 8; l++) b += part[l];
    terms[(size_t)place * stride] = b;
  }
  return mean;
}

/* +- sqrt(|a|), or 0 where a is rounding noise. */
NTK_SHARED double ntk_dual_root(double a, double noise) {
  if (!(fabs(a) > noise)) return 0;
  return a > 0 ? sqrt(a) : -sqrt(-a);
}

/* What the terms leave of E and E' to those that are missing, from E[s^2] and E[s'^2]; less what g's terms leave where
 * g is not NULL. */
NTK_SHARED void ntk_dual_remainders(const ntk_activation_dual *dual, double p, double n, const ntk_dual_means *s,
                                    const ntk_dual_means *g, const double *terms, size_t stride, double *value,
                                    double *slope) {
  double square = s->square - s->value * s->value, slopes = s->slope_square;
  double square_noise = 1e-14 * s->square, slope_noise = 1e-14 * s->slope_square;
  if (g) {
    square -= g->square - g->value * g->value, slopes -= g->slope_square;
    square_noise += 3e-16 * g->square, slope_noise += 3e-16 * g->slope_square;
  }
  for (int place = 0; place < dual->linear + dual->terms; place++) {
    const int k = place < dual->linear ? 1 : dual->first + dual->step * (place - dual->linear);
    const double b = terms[(size_t)place * stride], of_g = g ? terms[(size_t)(place + dual->terms) * stride] : 0;
    slopes -= b * b - of_g * of_g, square -= p * (b * b - of_g * of_g) / k;
  }
  *value = n > 0 ? ntk_dual_root(square, square_noise) / n : 0;
  *slope = ntk_dual_root(slopes, slope_noise);
}

/* How many terms count: those behind hold less than 1e-16 of E[s'^2], and of a pair's E' by Cauchy and Schwarz. */
NTK_SHARED int ntk_dual_count_terms(const ntk_activation_dual *dual, const double *terms, size_t stride, double whole) {
  int count = dual->terms;
  for (double rest = 0; count > 0; count--) {
    const double b = terms[(size_t)(dual->linear + count - 1) * stride];
    rest += b * b;
    if (rest > 1e-16 * whole) break;
  }
  return count;
}

NTK_SHARED void ntk_dual_integrated_side(const ntk_activation_dual *dual, double p, double n, double *side,
                                         size_t stride) {
  double *const terms = side + NTK_DUAL_FIRST_TERM * stride, *const value = side + 2 * stride;
  double *const slope = side + 3 * stride;
  const ntk_dual_means s = ntk_dual_integrate(dual, 0, n, terms, stride);
  side[stride] = s.value;
  ntk_dual_remainders(dual, p, n, &s, NULL, terms, stride, value, slope);
  if (!dual->kinked) {
    if (*value == 0 && *slope == 0) side[4 * stride] = ntk_dual_count_terms(dual, terms, stride, s.slope_square);
    return;
  }
  double *const of_g = terms + (size_t)dual->terms * stride, *const behind = of_g + (size_t)dual->terms * stride;
  behind[stride] = n, behind[2 * stride] = *value, behind[3 * stride] = *slope;
  if (n * n > NTK_DUAL_KINK_VARIANCE) return; /* as the row asks */
  const ntk_dual_means g = ntk_dual_integrate(dual, 1, n, of_g, stride);
  behind[0] = g.value;
  ntk_dual_remainders(dual, p, n, &s, &g, terms, stride, value, slope);
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
    default: ntk_dual_integrated_side(dual, p, n, side, stride); break;
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
