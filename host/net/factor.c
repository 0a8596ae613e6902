/* c=auto: 1/E[s(u)^2] for u ~ N(0,1), from the closed forms of the dual activations at p = q = c = 1 where there are.
 */
#include <math.h>

#include "host/net/activation.h"
#include "host/net/parser.h"

static double mean_square(const ntk_layer *layer) {
  const double *p = layer->params;
  switch (layer->activation) {
    case NTK_ACT_RELU: return 0.5;
    case NTK_ACT_LEAKY: return (1 + p[0] * p[0]) / 2;
    case NTK_ACT_ABRELU: return (p[0] * p[0] + p[1] * p[1]) / 2;
    case NTK_ACT_ERF: return 2 / M_PI * asin(2.0 / 3);
    case NTK_ACT_GELU: return (1 / sqrt(3) + M_PI / 6) / (2 * M_PI) + 0.25;
    /* a^2/2 (1 -+ exp(-2 b^2) cos(2 phase)), written so that a small b or phase keeps its digits. */
    case NTK_ACT_SIN:
    case NTK_ACT_COS: {
      double damped = exp(-2 * p[1] * p[1]), lost = -expm1(-2 * p[1] * p[1]);
      double wave = layer->activation == NTK_ACT_SIN ? sin(p[2]) : cos(p[2]);
      return p[0] * p[0] * (lost / 2 + damped * wave * wave);
    }
    case NTK_ACT_EXP: return exp(2 * p[0] * p[0]);
    case NTK_ACT_MONOMIAL: {
      double moment = 1; /* E[u^2k] = (2k-1)!! */
      for (int k = (int)p[0]; k > 0; k--) moment *= 2 * k - 1;
      return moment;
    }
    case NTK_ACT_ABS:
    case NTK_ACT_RBF:
    case NTK_ACT_SIGN:
    case NTK_ACT_EXPNORM:
    case NTK_ACT_HERMITE: return 1;
    case NTK_ACT_SERIES: {
      double sum = 0;
      for (int k = 0; k < layer->param_count; k++) sum += p[k] * p[k];
      return sum;
    }
    default: break;
  }
  ntk_activation_dual dual; /* numerically */
  if (ntk_activation_make(layer, &dual) != NTK_OK) return NAN;
  dual.factor = 1;
  return ntk_dual_self(&dual, 1);
}

double ntk_auto_factor(const ntk_layer *layer) {
  double factor = 1 / mean_square(layer);
  return factor > 0 ? factor : INFINITY;
}
