/* Dual activations: E[s(u) s(v)] and E[s'(u) s'(v)] of Gaussian (u, v) with variances p, q and covariance c, for rows
 * of pairs, in float64 (docs/accuracy.md).
 *
 * What depends on one variance only is computed once per value, as its side; a row combines the sides of x and z. The
 * formulas stand in dual_side.h and dual_row.h, for CPU and CUDA alike. */
#ifndef NTK_KERNELS_ACTIVATION_H
#define NTK_KERNELS_ACTIVATION_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Formulas of E and E', factor left out; v = sqrt(pq), rho = c/v, k0 and k1 the arc-cosine kernels. */
typedef enum ntk_dual_kind {
  NTK_DUAL_PIECES,      /* a min(u,0) + b max(u,0): E = (a-b)^2/2 v k1(rho) + a b c,  E' = (a-b)^2/2 k0(rho) + a b */
  NTK_DUAL_SIGN,        /* E = (2/pi) asin(rho),  E' = 0 */
  NTK_DUAL_ERF,         /* E = (2/pi) asin(2c / sqrt((1+2p)(1+2q)))  (Williams 1997) */
  NTK_DUAL_GELU,        /* u Phi(u) */
  NTK_DUAL_WAVE,        /* a sin(b u + w) */
  NTK_DUAL_EXPONENTIAL, /* E = exp(w (c + sigma (p+q)/2)),  E' = w E: exp(b u) with w = b^2, sigma = 1; the Gaussian
                           kernel of rbf with w = 2 gamma, sigma = -1 */
  NTK_DUAL_EXPNORM,     /* E = v exp(g (rho - 1)),  E' = g exp(g (rho - 1))  (arXiv:2003.02237) */
  NTK_DUAL_SERIES /* E = a0(p) a0(q) + c SUM_k b_k(p) b_k(q) rho^(k-1) / k,  E' = SUM_k b_k(p) b_k(q) rho^(k-1) with
                     a0(p) = E[s(sqrt(p) u)], b_k(p) = E[s'(sqrt(p) u) h_(k-1)(u)], h_k the normalised Hermite
                     polynomials (Mehler's formula) */
} ntk_dual_kind;

/* The activation of a series. Polynomials are exact; the others are integrated numerically and cut off at
 * NTK_DUAL_TERMS terms, the remaining mass of E and E' being given to the next term. */
typedef enum ntk_dual_function {
  NTK_DUAL_MONOMIAL,   /* u^k */
  NTK_DUAL_POLYNOMIAL, /* SUM_k coefficients[k] h_k(u) */
  NTK_DUAL_HERMITE,    /* h_k(u) */
  NTK_DUAL_TANH,
  NTK_DUAL_SIGMOID,
  NTK_DUAL_SILU,
  NTK_DUAL_SOFTPLUS,
  NTK_DUAL_ELU /* b u for u > 0, a b (exp(u) - 1) below */
} ntk_dual_function;

enum {
  NTK_DUAL_COEFFICIENTS = 16, /* most of a polynomial given by its coefficients */
  NTK_DUAL_TERMS = 128,       /* most of a series */
  NTK_DUAL_DEGREE = 256,      /* the highest of a term */
  NTK_DUAL_ORDER = 7,         /* of the jumps at 0 that are taken out of elu's derivative (dual_kink.h) */
  /* a series' side: 1/n, a0, what the missing terms hold of E and of E', how many terms count, the terms; kinked: then
   * the terms of g, its a0, n, and what the terms without g's leave of E and E' */
  NTK_DUAL_FIRST_TERM = 5,
  NTK_DUAL_SIDES = NTK_DUAL_FIRST_TERM + 1 + 2 * NTK_DUAL_TERMS + 4,
  NTK_DUAL_NODES = 600, /* of the quadrature */
  NTK_DUAL_TABLE = NTK_DUAL_NODES * (2 + NTK_DUAL_DEGREE)
};

/* An activation, ready to be computed; plain data. Made by ntk_activation_make (host/net/activation.h). */
typedef struct ntk_activation_dual {
  int kind;      /* ntk_dual_kind */
  double factor; /* c: E and E' are multiplied by it */
  /* pieces: a, b; wave: a^2 cos^2 w, a^2 sin^2 w, b^2; exponential: w, sigma; expnorm: g; elu: a, b */
  double params[3];
  /* series: the terms are k = 1 if `linear`, then first + step j for j < terms */
  int function; /* ntk_dual_function */
  int degree;   /* of a polynomial */
  int linear, first, step, terms;
  int kinked;          /* dual_kink.h; linear = 0 */
  const double *table; /* quadrature, shared by all, NTK_DUAL_TABLE values: nodes[NODES], weights[NODES], then weights
                          times h_k for k < DEGREE; NULL for polynomials */
  double coefficients[NTK_DUAL_COEFFICIENTS];
  double reciprocals[NTK_DUAL_TERMS]; /* 1 / (first + step j) */
} ntk_activation_dual;

/* Largest variance that sides and rows are made for: beyond it products could overflow. */
#define NTK_DUAL_LARGEST_VARIANCE 1e100

/* Up to this variance g (dual_kink.h) is taken out; its powers grow, and rounding errors with them. */
#define NTK_DUAL_KINK_VARIANCE 50

/* Doubles of one value's side, at most NTK_DUAL_SIDES. */
int ntk_dual_side_count(const ntk_activation_dual *dual);

/* The side of a value with that variance >= 0, side[q * stride] for q < ntk_dual_side_count. A variance that is not
 * finite or above NTK_DUAL_LARGEST_VARIANCE gives NaN. */
void ntk_dual_side(const ntk_activation_dual *dual, double variance, double *side, size_t stride);

/* factor E[s(u)^2], u ~ N(0, variance): the variance after the activation, up to rounding. Where a later kernel has
 * infinite slope at rho = 1 (relu, sign ...) take the variance from ntk_dual_row with c = p instead: it has the very
 * rounding that a pair of equal inputs meets. */
double ntk_dual_self(const ntk_activation_dual *dual, double variance);

/* Pairs j < count through the activation: s[j] = c -> factor E, t[j] -> t[j] factor E'; t may be NULL. Side q of pair j
 * is z_side[q * stride + j] for z and x_side[q * stride + j * x_step] for x, x_step = 0 (one x for the row) or 1.
 * Nothing need be aligned or padded; the results of a pair do not depend on its place in the row. */
typedef void (*ntk_dual_row)(const ntk_activation_dual *dual, size_t count, size_t stride, const double *x_side,
                             size_t x_step, const double *z_side, double *s, double *t);

void ntk_dual_row_baseline(const ntk_activation_dual *, size_t, size_t, const double *, size_t, const double *,
                           double *, double *);
void ntk_dual_row_avx2(const ntk_activation_dual *, size_t, size_t, const double *, size_t, const double *, double *,
                       double *);
void ntk_dual_row_avx512(const ntk_activation_dual *, size_t, size_t, const double *, size_t, const double *, double *,
                         double *);

#ifdef __cplusplus
}
#endif
#endif
