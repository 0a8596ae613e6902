/* From an activation layer to its dual: which formula, which parameters, and the tables of the quadrature. */
#include "host/net/activation.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "host/status.h"
#include "kernels/lanes_one.h"

/* after lanes_one.h, whose words they use */
#include "kernels/dual_row.h"
#include "kernels/dual_side.h"

/* ---- quadrature: E[f(u)], u ~ N(0,1), by Gauss and Legendre's rule on panels of [0, 13] and [-13, 0] ---- */

/* Panels double from 2^-10 to 1/4, since steep activations of large variance have all their structure near 0. */
enum { RULE = 10, NARROWEST = 10, WIDEST = 2, PANELS = NTK_DUAL_NODES / RULE };

static double *quadrature;
static pthread_once_t quadrature_once = PTHREAD_ONCE_INIT;

/* Nodes and weights of the rule on [-1, 1], by Newton's method on the Legendre polynomial. */
static void legendre_rule(double node[RULE], double weight[RULE]) {
  for (int i = 0; i < RULE; i++) {
    long double x = cosl((long double)M_PI * (i + 0.75L) / (RULE + 0.5L)), slope = 1;
    for (int step = 0; step < 10; step++) {
      long double now = x, before = 1;
      for (int k = 2; k <= RULE; k++) {
        const long double next = ((2 * k - 1) * x * now - (k - 1) * before) / k;
        before = now, now = next;
      }
      slope = RULE * (x * now - before) / (x * x - 1);
      x -= now / slope;
    }
    node[i] = (double)x, weight[i] = (double)(2 / ((1 - x * x) * slope * slope));
  }
}

/* h_k(x) of the normalised Hermite polynomials times the weight, for all k. */
static void fill_basis(double *basis, int i, double x, double weight) {
  double now = weight, before = 0;
  for (int k = 0; k < NTK_DUAL_DEGREE; k++) {
    basis[(size_t)k * NTK_DUAL_NODES + (size_t)i] = now;
    double next = (x * now - sqrt(k) * before) / sqrt(k + 1);
    before = now, now = next;
  }
}

static void make_quadrature(void) {
  double node[RULE], weight[RULE], left = 0;
  double *table = malloc(NTK_DUAL_TABLE * sizeof *table);
  if (!table) return;
  legendre_rule(node, weight);
  for (int panel = 0; panel < PANELS; panel++) {
    double right = panel <= NARROWEST - WIDEST ? ldexp(1, panel - NARROWEST) : left + ldexp(1, -WIDEST);
    for (int k = 0; k < RULE; k++) {
      const int i = panel * RULE + k;
      const double x = left + (right - left) * (1 + node[k]) / 2;
      table[i] = x;
      table[NTK_DUAL_NODES + i] = weight[k] * (right - left) / 2 * exp(-x * x / 2) / sqrt(2 * M_PI);
      fill_basis(table + 2 * NTK_DUAL_NODES, i, x, table[NTK_DUAL_NODES + i]);
    }
    left = right;
  }
  quadrature = table;
}

/* ---- series ---- */

static void set_terms(ntk_activation_dual *dual, int linear, int first, int step, int terms) {
  dual->linear = linear, dual->first = first, dual->step = step, dual->terms = terms;
  for (int j = 0; j < terms; j++) dual->reciprocals[j] = 1.0 / (first + step * j);
}

/* Degrees of one parity up to k. */
static void set_degree(ntk_activation_dual *dual, ntk_dual_function function, int k) {
  dual->function = function, dual->degree = k;
  set_terms(dual, 0, k % 2 ? 1 : 2, 2, (k + 1) / 2);
}

static ntk_status set_numeric(ntk_activation_dual *dual, ntk_dual_function function) {
  pthread_once(&quadrature_once, make_quadrature);
  if (!quadrature) return ntk_fail(NTK_ERROR_MEMORY, "no memory for the quadrature of an activation");
  /* the poles of tanh are nearest to the real line, so that its coefficients fall most slowly */
  const int terms = function == NTK_DUAL_TANH ? NTK_DUAL_TERMS : 3 * NTK_DUAL_TERMS / 4;
  dual->function = function, dual->table = quadrature;
  switch (function) {
    case NTK_DUAL_TANH:
    case NTK_DUAL_SIGMOID: set_terms(dual, 0, 1, 2, terms); break; /* odd, but for a constant */
    case NTK_DUAL_SILU:
    case NTK_DUAL_SOFTPLUS: set_terms(dual, 1, 2, 2, terms); break; /* even, but for u / 2 */
    default: set_terms(dual, 0, 1, 1, NTK_DUAL_TERMS), dual->kinked = 1; break;
  }
  return NTK_OK;
}

/* ---- the interface ---- */

static void set_params(ntk_activation_dual *dual, int kind, double a, double b, double c) {
  dual->kind = kind;
  dual->params[0] = a, dual->params[1] = b, dual->params[2] = c;
}

ntk_status ntk_activation_make(const ntk_layer *layer, ntk_activation_dual *out) {
  const double *p = layer->params;
  *out = (ntk_activation_dual){.kind = NTK_DUAL_SERIES, .factor = layer->factor, .first = 1, .step = 1};
  switch (layer->activation) {
    case NTK_ACT_RELU: set_params(out, NTK_DUAL_PIECES, 0, 1, 0); break;
    case NTK_ACT_LEAKY: set_params(out, NTK_DUAL_PIECES, p[0], 1, 0); break;
    case NTK_ACT_ABRELU: set_params(out, NTK_DUAL_PIECES, p[0], p[1], 0); break;
    case NTK_ACT_ABS: set_params(out, NTK_DUAL_PIECES, -1, 1, 0); break;
    case NTK_ACT_ERF: set_params(out, NTK_DUAL_ERF, 0, 0, 0); break;
    case NTK_ACT_GELU: set_params(out, NTK_DUAL_GELU, 0, 0, 0); break;
    case NTK_ACT_SIN:
    case NTK_ACT_COS: {
      double of_cos = p[0] * cos(p[2]), of_sin = p[0] * sin(p[2]);
      bool wave = layer->activation == NTK_ACT_SIN;
      of_cos *= of_cos, of_sin *= of_sin;
      set_params(out, NTK_DUAL_WAVE, wave ? of_cos : of_sin, wave ? of_sin : of_cos, p[1] * p[1]);
      break;
    }
    case NTK_ACT_RBF: set_params(out, NTK_DUAL_EXPONENTIAL, 2 * p[0], -1, 0); break;
    case NTK_ACT_EXP: set_params(out, NTK_DUAL_EXPONENTIAL, p[0] * p[0], 1, 0); break;
    case NTK_ACT_SIGN: set_params(out, NTK_DUAL_SIGN, 0, 0, 0); break;
    case NTK_ACT_EXPNORM: set_params(out, NTK_DUAL_EXPNORM, p[0], 0, 0); break;
    case NTK_ACT_HERMITE: set_degree(out, NTK_DUAL_HERMITE, (int)p[0]); break;
    case NTK_ACT_MONOMIAL: set_degree(out, NTK_DUAL_MONOMIAL, (int)p[0]); break;
    case NTK_ACT_SERIES:
      out->function = NTK_DUAL_POLYNOMIAL, out->degree = layer->param_count - 1;
      for (int k = 0; k < layer->param_count; k++) out->coefficients[k] = p[k];
      set_terms(out, 0, 1, 1, out->degree);
      break;
    case NTK_ACT_TANH: return set_numeric(out, NTK_DUAL_TANH);
    case NTK_ACT_SIGMOID: return set_numeric(out, NTK_DUAL_SIGMOID);
    case NTK_ACT_SILU: return set_numeric(out, NTK_DUAL_SILU);
    case NTK_ACT_SOFTPLUS: return set_numeric(out, NTK_DUAL_SOFTPLUS);
    case NTK_ACT_ELU: set_params(out, NTK_DUAL_SERIES, p[0], 1, 0); return set_numeric(out, NTK_DUAL_ELU);
    case NTK_ACT_SELU: /* Klambauer et al. 2017, eq. 14 */
      set_params(out, NTK_DUAL_SERIES, 1.6732632423543772848, 1.0507009873554804934, 0);
      return set_numeric(out, NTK_DUAL_ELU);
  }
  return NTK_OK;
}

int ntk_dual_side_count(const ntk_activation_dual *dual) { return ntk_dual_sides_of(dual); }

void ntk_dual_side(const ntk_activation_dual *dual, double variance, double *side, size_t stride) {
  ntk_dual_fill_side(dual, variance, side, stride);
}

double ntk_dual_self(const ntk_activation_dual *dual, double variance) {
  double side[NTK_DUAL_SIDES], s = variance, t = 0;
  ntk_dual_fill_side(dual, variance, side, 1);
  ntk_dual_sides at = {side, side, 1, 1, 0};
  ntk_dual_vector(dual, &at, &s, &t);
  return s;
}
