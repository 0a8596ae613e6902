/* Activations of a feature map: s and s' as functions of a unit, and the directions of their random features. */
#include <math.h>

#include "host/features/build.h"
#include "host/features/polynomial.h"
#include "host/status.h"

static ntk_feature_unit pieces(double below, double above) {
  return (ntk_feature_unit){.kind = NTK_UNIT_PIECES, .params = {(float)below, (float)above}};
}

static ntk_feature_unit wave(double a, double b, double phase) {
  return (ntk_feature_unit){.kind = NTK_UNIT_WAVE, .params = {(float)a, (float)b, (float)phase}};
}

static ntk_feature_unit function_of(const ntk_layer *layer) {
  const double *p = layer->params;
  ntk_feature_unit unit = {.kind = NTK_UNIT_PIECES};
  switch (layer->activation) {
    case NTK_ACT_RELU: return pieces(0, 1);
    case NTK_ACT_LEAKY: return pieces(p[0], 1);
    case NTK_ACT_ABRELU: return pieces(p[0], p[1]);
    case NTK_ACT_ABS: return pieces(-1, 1);
    case NTK_ACT_SIN: return wave(p[0], p[1], p[2]);
    case NTK_ACT_COS: return wave(p[0], p[1], p[2] + M_PI_2);
    case NTK_ACT_RBF: return wave(M_SQRT2, sqrt(2 * p[0]), M_PI_4);
    /* exp(g (rho - 1)) is the Gaussian kernel of unit vectors, gamma = g/2: that of rbf */
    case NTK_ACT_EXPNORM: return wave(M_SQRT2, sqrt(p[0]), M_PI_4);
    case NTK_ACT_SELU: /* Klambauer et al. 2017, eq. 14 */
      unit.params[0] = 1.6732632423543772848f, unit.params[1] = 1.0507009873554804934f;
      break;
    case NTK_ACT_ELU: unit.params[0] = (float)p[0], unit.params[1] = 1; break;
    case NTK_ACT_SERIES:
      unit.count = layer->param_count;
      for (int k = 0; k < unit.count; k++) unit.params[k] = (float)p[k];
      break;
    default: unit.params[0] = (float)p[0]; break;
  }
  switch (layer->activation) {
    case NTK_ACT_ERF: unit.kind = NTK_UNIT_ERF; break;
    case NTK_ACT_GELU: unit.kind = NTK_UNIT_GELU; break;
    case NTK_ACT_EXP: unit.kind = NTK_UNIT_EXPONENTIAL; break;
    case NTK_ACT_SIGN: unit.kind = NTK_UNIT_SIGN; break;
    case NTK_ACT_HERMITE: unit.kind = NTK_UNIT_HERMITE; break;
    case NTK_ACT_MONOMIAL: unit.kind = NTK_UNIT_MONOMIAL; break;
    case NTK_ACT_TANH: unit.kind = NTK_UNIT_TANH; break;
    case NTK_ACT_SIGMOID: unit.kind = NTK_UNIT_SIGMOID; break;
    case NTK_ACT_SILU: unit.kind = NTK_UNIT_SILU; break;
    case NTK_ACT_SOFTPLUS: unit.kind = NTK_UNIT_SOFTPLUS; break;
    case NTK_ACT_SERIES: unit.kind = NTK_UNIT_SERIES; break;
    default: unit.kind = NTK_UNIT_ELU; break; /* elu, selu */
  }
  return unit;
}

static ntk_directions directions(ntk_features *features, int first, int count, ntk_sampling sampling) {
  const ntk_directions d = {features->streams, first, count, sampling};
  features->streams += 2; /* the second one is a Gibbs sweep's */
  return d;
}

/* ---- kernels as functions of the cosine, for sketches ---- */

static double arccosine0(double r) { return 1 - acos(r) / M_PI; }
static double arccosine1(double r) { return (sqrt((1 - r) * (1 + r)) + r * (M_PI - acos(r))) / M_PI; }

/* E[s s] / (|a| |a'|); sign: E[s s] (kernels/activation.h). */
static double value_kernel(const void *user, double r) {
  const ntk_layer *layer = user;
  const ntk_feature_unit f = function_of(layer);
  const double a = f.params[0], b = f.params[1];
  if (layer->activation == NTK_ACT_EXPNORM) return exp(layer->params[0] * (r - 1));
  if (layer->activation == NTK_ACT_SIGN) return 2 / M_PI * asin(r);
  return (a - b) * (a - b) / 2 * arccosine1(r) + a * b * r;
}

/* E[s' s']. */
static double slope_kernel(const void *user, double r) {
  const ntk_layer *layer = user;
  const ntk_feature_unit f = function_of(layer);
  const double a = f.params[0], b = f.params[1];
  if (layer->activation == NTK_ACT_EXPNORM) return layer->params[0] * exp(layer->params[0] * (r - 1));
  return (a - b) * (a - b) / 2 * arccosine0(r) + a * b;
}

static ntk_status make_polynomials(ntk_features *features, const ntk_layer *layer, ntk_unit_layer *unit) {
  enum { VALUE_DEGREE = 4, SLOPE_DEGREE = 8 };
  const int degree = features->options.degree;
  const bool known = unit->unit.kind == NTK_UNIT_PIECES || layer->activation == NTK_ACT_SIGN || unit->normalise;
  if (!known)
    return ntk_fail(
        NTK_ERROR_UNSUPPORTED,
        "layer %d, column %d: the kernel of this activation is no function of the cosine alone: take random "
        "features (--method rf)",
        layer->number, layer->column);
  /* asin has infinite slope at 1, as the derivatives' kernels have */
  const int value_degree = layer->activation == NTK_ACT_SIGN ? SLOPE_DEGREE : VALUE_DEGREE;
  NTK_TRY(ntk_polynomial_make(features, value_kernel, layer, degree ? degree : value_degree, unit->inputs, unit->order1,
                              &unit->polynomial[0]));
  NTK_TRY(ntk_polynomial_make(features, slope_kernel, layer, degree ? degree : SLOPE_DEGREE, unit->inputs, unit->order0,
                              &unit->polynomial[1]));
  if (!features->options.plain) {
    unit->mean = sqrt(layer->factor * unit->polynomial[1]->coefficients[0]);
    unit->polynomial[1]->coefficients[0] = 0;
  }
  unit->scale1 = unit->scale0 = (float)sqrt(layer->factor);
  unit->normalise = layer->activation != NTK_ACT_SIGN; /* whether f' gets the norm of f */
  return NTK_OK;
}

/* E|u| for u = <w, a> / |a|: of Gaussian directions w, or of those of length sqrt(d) in d dimensions. */
static double mean_length(ntk_sampling sampling, int d) {
  if (sampling == NTK_SAMPLING_GAUSSIAN) return sqrt(2 / M_PI);
  return sqrt(d / M_PI) * exp(lgamma(d / 2.0) - lgamma((d + 1) / 2.0));
}

/* s(u) = (a+b)/2 u + (b-a)/2 |u| for a unit of slopes a below 0 and b above, s'(u) = (a+b)/2 + (b-a)/2 sign(u). The
 * part in u is f itself, and the constant of s' leaves psi as it is; |u| has the mean `length` times the norm, which
 * column 0 gets from a direction of zeros, and features stand for the rest. */
static void split(ntk_unit_layer *unit, double factor, ntk_sampling sampling) {
  enum { LEAST = 4 };
  const double a = (double)unit->unit.params[0], b = (double)unit->unit.params[1], even = (b - a) / 2;
  const double length = mean_length(sampling, unit->inputs);
  const int rest = unit->order1 - 1;
  if (unit->order1 > 0 && unit->order1 < LEAST) return;
  unit->unit = (ntk_feature_unit){.kind = NTK_UNIT_EVEN, .params = {(float)length}};
  unit->linear = unit->mean = sqrt(factor) * (a + b) / 2;
  unit->normalise = true;
  unit->scale0 *= (float)even;
  if (unit->order1 == 0) return;
  unit->directions[0].first = 1, unit->directions[0].count = rest;
  unit->scale1 = (float)(sqrt(factor / rest) * even);
  unit->constant = (float)sqrt(rest);
}

ntk_status ntk_feature_unit_make(ntk_feature_builder *b, const ntk_layer *layer, int inputs, int order1, bool tangent,
                                 ntk_unit_layer **out) {
  ntk_features *features = b->features;
  const ntk_features_options *options = &features->options;
  ntk_unit_layer *unit = ntk_features_own(features, 1, sizeof *unit);
  if (!unit) return ntk_fail(NTK_ERROR_MEMORY, "no memory for a feature map");
  unit->unit = function_of(layer);
  if (options->sampling != NTK_SAMPLING_GAUSSIAN && unit->unit.kind != NTK_UNIT_PIECES)
    return ntk_fail(
        NTK_ERROR_UNSUPPORTED,
        "layer %d, column %d: leverage scores are known for relu, leaky, abrelu and abs only: leave them out",
        layer->number, layer->column);
  unit->normalise = layer->activation == NTK_ACT_EXPNORM;
  unit->inputs = inputs, unit->order1 = order1;
  unit->order0 = tangent && layer->activation != NTK_ACT_SIGN ? (int)options->order0_dim : 0;
  unit->scale1 = order1 ? (float)sqrt(layer->factor / order1) : 0;
  unit->scale0 = unit->order0 ? (float)sqrt(layer->factor / unit->order0) : 0;
  if (options->method == NTK_FEATURES_SKETCH) {
    *out = unit;
    return make_polynomials(features, layer, unit);
  }
  unit->directions[0] = directions(features, 0, order1, options->sampling);
  unit->directions[1] = directions(features, order1, unit->order0, NTK_SAMPLING_GAUSSIAN);
  if (unit->unit.kind == NTK_UNIT_PIECES && !options->plain) split(unit, layer->factor, options->sampling);
  *out = unit;
  return NTK_OK;
}
