/* The dual activations of a vector of pairs (activation.h), for any type with the lane vocabulary: kernels/lanes.h with
 * lanes_exp.h, or lanes_one.h. float64.
 *
 * rho near 1: with v = n_x n_z, v - |c| below NTK_DUAL_SNAP v is rounding noise and taken as 0 (duals.h), so that equal
 * inputs have rho = 1 exactly; 1 - a^2 of an angle's sine a is built from it, never from a. */
#ifndef NTK_KERNELS_DUAL_ROW_H
#define NTK_KERNELS_DUAL_ROW_H

#include "kernels/activation.h"
#include "kernels/duals.h"
#ifndef NTK_KERNELS_LANES_ONE_H
#include "kernels/lanes_exp.h"
#endif

#define NTK_INV_PI 0.31830988618379067154

/* Where the sides of a vector of pairs lie: side q of x at x[q * x_stride], one value or LANES of them. */
typedef struct ntk_dual_sides {
  const double *x, *z;
  size_t x_stride, z_stride;
  int x_lanes;
} ntk_dual_sides;

INLINE vec ntk_x_side(const ntk_dual_sides *at, int q) {
  const double *from = at->x + (size_t)q * at->x_stride;
  return at->x_lanes ? vec_loadu(from) : vec_set(*from);
}
INLINE vec ntk_z_side(const ntk_dual_sides *at, int q) { return vec_loadu(at->z + (size_t)q * at->z_stride); }

/* v - |c|, rounding noise left out. */
INLINE vec ntk_dual_gap(vec n_x, vec n_z, vec c) {
  vec d = vec_fms(n_x, n_z, vec_abs(c));
  return vec_keep(d, vec_greater(d, n_x * n_z * vec_set(NTK_DUAL_SNAP)));
}

INLINE vec ntk_dual_sqrt(vec a) { return vec_sqrt_where(a, vec_greater(a, vec_set(0))); }

/* asin(sine) / pi, given the cosine >= 0 too: from the smaller of the two, so that neither end loses digits. */
INLINE vec ntk_dual_turn(vec sine, vec cosine) {
  vec size = vec_abs(sine);
  mask steep = vec_greater(size, cosine);
  vec y = vec_select(steep, cosine, size), square[1] = {y * y}, poly[1];
  NTK_HORNER(poly, square, 1, NTK_DUAL_ASIN18);
  vec turn = y * poly[0];
  turn = vec_select(steep, vec_set(0.5) - turn, turn);
  return vec_select(vec_greater(vec_set(0), sine), vec_set(0) - turn, turn);
}

INLINE void ntk_dual_pieces(const ntk_activation_dual *dual, const ntk_dual_sides *at, vec c, vec *e, vec *de) {
  vec n_x = ntk_x_side(at, 0), n_z = ntk_z_side(at, 0), d = vec_fms(n_x, n_z, vec_abs(c)), m[1], p[1], s[1];
  m[0] = d * (ntk_x_side(at, 1) * ntk_z_side(at, 1));
  vec q = vec_sqrt_where(m[0], vec_greater(m[0], vec_set(NTK_DUAL_SNAP)));
  mask positive = vec_greater(c, vec_set(0));
  NTK_DUALS_WHOLE(p, s, m, 1, 1);
  vec minus = q * p[0], k1 = vec_fma(d * q, s[0], vec_keep(c, positive));
  vec k0 = vec_select(positive, vec_set(1) - minus, minus);
  double a = dual->params[0], b = dual->params[1];
  vec bend = vec_set((a - b) * (a - b) / 2), line = vec_set(a * b);
  *e = vec_fma(bend, k1, line * c);
  *de = vec_fma(bend, k0, line);
}

INLINE void ntk_dual_sign(const ntk_dual_sides *at, vec c, vec *e, vec *de) {
  vec n_x = ntk_x_side(at, 0), n_z = ntk_z_side(at, 0), inverse = ntk_x_side(at, 1) * ntk_z_side(at, 1);
  vec rho = c * inverse, m = ntk_dual_gap(n_x, n_z, c) * inverse;
  vec turn = ntk_dual_turn(rho, ntk_dual_sqrt(m * (vec_set(1) + vec_abs(rho))));
  *e = turn + turn;
  *de = vec_set(0);
}

INLINE void ntk_dual_erf(const ntk_dual_sides *at, vec c, vec *e, vec *de) {
  vec p = ntk_x_side(at, 0), q = ntk_z_side(at, 0), n_x = ntk_x_side(at, 1), n_z = ntk_z_side(at, 1);
  vec inverse = ntk_x_side(at, 2) * ntk_z_side(at, 2);                     /* 1 / sqrt((1+2p)(1+2q)) */
  vec product = vec_fma(n_x, n_z, vec_abs(c)) * ntk_dual_gap(n_x, n_z, c); /* pq - c^2 */
  vec root = ntk_dual_sqrt(vec_fma(vec_set(4), product, vec_fma(vec_set(2), p + q, vec_set(1))));
  vec turn = ntk_dual_turn(vec_set(2) * c * inverse, root * inverse);
  *e = turn + turn;
  *de = vec_set(4 * NTK_INV_PI) / root;
}

/* With a = c / sqrt((1+p)(1+q)) and D^2 = (1+p)(1+q) - c^2:
 * E = (a^2 / D + p/(1+p) q/(1+q) D) / (2 pi) + c k0(a) / 2,
 * E' = c / D (1/D^2 + 1/(1+p) + 1/(1+q)) / (2 pi) + k0(a) / 2. */
INLINE void ntk_dual_gelu(const ntk_dual_sides *at, vec c, vec *e, vec *de) {
  vec p = ntk_x_side(at, 0), q = ntk_z_side(at, 0), n_x = ntk_x_side(at, 1), n_z = ntk_z_side(at, 1);
  vec i_x = ntk_x_side(at, 2), i_z = ntk_z_side(at, 2), inverse = i_x * i_z, i2_x = i_x * i_x, i2_z = i_z * i_z;
  vec product = vec_fma(n_x, n_z, vec_abs(c)) * ntk_dual_gap(n_x, n_z, c);
  vec root = ntk_dual_sqrt(product + (vec_set(1) + (p + q))), over = vec_set(1) / root, a = c * inverse;
  vec half = vec_set(0.25) + vec_set(0.5) * ntk_dual_turn(a, root * inverse); /* k0(a) / 2 */
  vec smooth = vec_fma((p * i2_x) * (q * i2_z), root, a * a * over);
  *e = vec_fma(c, half, smooth * vec_set(NTK_INV_PI / 2));
  *de = vec_fma(c * over * vec_set(NTK_INV_PI / 2), vec_fma(over, over, i2_x + i2_z), half);
}

/* E = exp(-b^2 (p+q)/2) (a^2 cos^2 w sinh y + a^2 sin^2 w cosh y), y = b^2 c; E' = b^2 times that with sinh and cosh
 * exchanged. */
INLINE void ntk_dual_wave(const ntk_activation_dual *dual, const ntk_dual_sides *at, vec c, vec *e, vec *de) {
  vec odd = vec_set(dual->params[0]), even = vec_set(dual->params[1]), b2 = vec_set(dual->params[2]);
  vec size = vec_abs(c), mean = (ntk_x_side(at, 0) + ntk_z_side(at, 0)) * vec_set(0.5);
  vec high = vec_exp(b2 * (size - mean)), half = vec_expm1(b2 * size * vec_set(-2)) * vec_set(0.5);
  vec cosh = vec_fma(high, half, high), sinh = vec_set(0) - high * half;
  sinh = vec_select(vec_greater(vec_set(0), c), vec_set(0) - sinh, sinh);
  *e = vec_fma(odd, sinh, even * cosh);
  *de = b2 * vec_fma(odd, cosh, even * sinh);
}

INLINE void ntk_dual_exponential(const ntk_activation_dual *dual, const ntk_dual_sides *at, vec c, vec *e, vec *de) {
  vec mean = (ntk_x_side(at, 0) + ntk_z_side(at, 0)) * vec_set(0.5 * dual->params[1]);
  *e = vec_exp(vec_set(dual->params[0]) * (mean + c));
  *de = vec_set(dual->params[0]) * *e;
}

INLINE void ntk_dual_expnorm(const ntk_activation_dual *dual, const ntk_dual_sides *at, vec c, vec *e, vec *de) {
  vec n_x = ntk_x_side(at, 0), n_z = ntk_z_side(at, 0), g = vec_set(dual->params[0]);
  vec m = ntk_dual_gap(n_x, n_z, c) * (ntk_x_side(at, 1) * ntk_z_side(at, 1));
  vec below = vec_select(vec_greater(vec_set(0), c), m - vec_set(2), vec_set(0) - m); /* rho - 1 */
  vec value = vec_exp(g * below);
  *e = n_x * n_z * value;
  *de = g * value;
}

#include "kernels/dual_kink.h"

/* The largest lane of a whole number. */
INLINE int ntk_dual_most(vec numbers) {
  double lane[sizeof numbers / sizeof(double)], most = 0;
  vec_storeu(lane, numbers);
  for (size_t l = 0; l < sizeof lane / sizeof *lane; l++)
    if (lane[l] > most) most = lane[l];
  return (int)most;
}

/* Of two remainders, which may be negative. */
INLINE vec ntk_dual_rest(vec x, vec z) { return vec_set(0.5) * vec_fma(vec_abs(x), z, x * vec_abs(z)); }

INLINE void ntk_dual_series(const ntk_activation_dual *dual, const ntk_dual_sides *at, vec c, vec *e, vec *de) {
  const int first = NTK_DUAL_FIRST_TERM + dual->linear, kink = first + dual->terms, behind = kink + dual->terms;
  vec inverse = ntk_x_side(at, 0) * ntk_z_side(at, 0), rho = c * inverse, size = vec_abs(rho), one = vec_set(1);
  rho = vec_select(vec_greater(size, one), rho / size, rho);
  vec power = rho, n_x = one, n_z = one;
  if (dual->step == 2) power = power * rho;
  vec sum = ntk_dual_rest(ntk_x_side(at, 2), ntk_z_side(at, 2));
  vec slope = ntk_dual_rest(ntk_x_side(at, 3), ntk_z_side(at, 3));
  mask wide = vec_greater(one, one); /* pairs from which g is not taken out */
  if (dual->kinked) {
    n_x = ntk_x_side(at, behind + 1), n_z = ntk_z_side(at, behind + 1);
    vec most = vec_select(vec_greater(n_x, n_z), n_x, n_z);
    wide = vec_greater(most * most, vec_set(NTK_DUAL_KINK_VARIANCE));
    sum = vec_select(wide, ntk_dual_rest(ntk_x_side(at, behind + 2), ntk_z_side(at, behind + 2)), sum);
    slope = vec_select(wide, ntk_dual_rest(ntk_x_side(at, behind + 3), ntk_z_side(at, behind + 3)), slope);
  }
  /* each pair has its own number of terms, lest its bits depend on its neighbours */
  vec x_terms = ntk_x_side(at, 4), terms = ntk_z_side(at, 4);
  terms = vec_select(vec_greater(x_terms, terms), x_terms, terms);
  for (int j = ntk_dual_most(terms) - 1; j >= 0; j--) {
    vec product = ntk_x_side(at, first + j) * ntk_z_side(at, first + j);
    if (dual->kinked)
      product = product - vec_select(wide, vec_set(0), ntk_x_side(at, kink + j) * ntk_z_side(at, kink + j));
    product = vec_keep(product, vec_greater(terms, vec_set((double)j)));
    sum = vec_fma(sum, power, product * vec_set(dual->reciprocals[j]));
    slope = vec_fma(slope, power, product);
  }
  if (dual->first == 2) sum = sum * rho, slope = slope * rho;
  if (dual->linear) {
    vec product = ntk_x_side(at, NTK_DUAL_FIRST_TERM) * ntk_z_side(at, NTK_DUAL_FIRST_TERM);
    sum = sum + product, slope = slope + product;
  }
  *e = vec_fma(c, sum, ntk_x_side(at, 1) * ntk_z_side(at, 1));
  *de = slope;
  if (!dual->kinked) return;
  vec m = ntk_dual_gap(n_x, n_z, c) * inverse, sum_g, slope_g;
  ntk_dual_kink(dual, n_x, n_z, rho, ntk_dual_sqrt(m * (one + vec_abs(rho))), &sum_g, &slope_g);
  sum_g = sum_g - ntk_x_side(at, behind) * ntk_z_side(at, behind);
  *e = *e + vec_select(wide, vec_set(0), sum_g);
  *de = *de + vec_select(wide, vec_set(0), slope_g);
}

/* s and t of a vector of pairs from before to after the activation. */
INLINE void ntk_dual_vector(const ntk_activation_dual *dual, const ntk_dual_sides *at, vec *s, vec *t) {
  vec e = *s, de = *s;
  switch (dual->kind) {
    case NTK_DUAL_PIECES: ntk_dual_pieces(dual, at, *s, &e, &de); break;
    case NTK_DUAL_SIGN: ntk_dual_sign(at, *s, &e, &de); break;
    case NTK_DUAL_ERF: ntk_dual_erf(at, *s, &e, &de); break;
    case NTK_DUAL_GELU: ntk_dual_gelu(at, *s, &e, &de); break;
    case NTK_DUAL_WAVE: ntk_dual_wave(dual, at, *s, &e, &de); break;
    case NTK_DUAL_EXPONENTIAL: ntk_dual_exponential(dual, at, *s, &e, &de); break;
    case NTK_DUAL_EXPNORM: ntk_dual_expnorm(dual, at, *s, &e, &de); break;
    case NTK_DUAL_SERIES: ntk_dual_series(dual, at, *s, &e, &de); break;
    default: break;
  }
  *s = e * vec_set(dual->factor);
  *t = *t * de * vec_set(dual->factor);
}

#endif
