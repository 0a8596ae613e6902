#include "tests/support_dual.h"

#include <criterion/criterion.h>
#include <math.h>
#include <ntk/ntk.h>
#include <stdio.h>

#include "host/backend/backend.h"
#include "host/net/activation.h"

static const long double pi = 3.141592653589793238462643383279502884L;

/* ---- the activations, from their definitions ---- */

#define FUNCTION(name, of_u, slope_of_u)                  \
  static long double name(long double u) { return of_u; } \
  static long double name##_slope(long double u) { return slope_of_u; }

static long double normal_cdf(long double u) { return erfcl(-u / sqrtl(2)) / 2; }
static long double normal_density(long double u) { return expl(-u * u / 2) / sqrtl(2 * pi); }
static long double logistic(long double u) { return 1 / (1 + expl(-u)); }

FUNCTION(relu, u > 0 ? u : 0, u > 0)
FUNCTION(leaky, u > 0 ? u : 0.2L * u, u > 0 ? 1 : 0.2L)
FUNCTION(abrelu, u > 0 ? 1.1L * u : -0.3L * u, u > 0 ? 1.1L : -0.3L)
FUNCTION(absolute, fabsl(u), u > 0 ? 1 : -1)
FUNCTION(error, erfl(u), 2 / sqrtl(pi) * expl(-u * u))
FUNCTION(gelu, u *normal_cdf(u), normal_cdf(u) + u * normal_density(u))
FUNCTION(wave, 1.2L * sinl(0.8L * u + 0.3L), 0.96L * cosl(0.8L * u + 0.3L))
FUNCTION(cosine, cosl(u), -sinl(u))
FUNCTION(rbf, sqrtl(2) * sinl(sqrtl(1.4L) * u + pi / 4), sqrtl(2.8L) * cosl(sqrtl(1.4L) * u + pi / 4))
FUNCTION(exponential, expl(-0.5L * u), -0.5L * expl(-0.5L * u))
FUNCTION(signum, u > 0 ? 1 : u < 0 ? -1 : 0, 0 * u)
FUNCTION(square, u *u, 2 * u)
FUNCTION(seventh, u *u *u *u *u *u *u, 7 * u * u * u * u * u * u)
FUNCTION(hermite1, u, 1 + 0 * u)
FUNCTION(hermite3, (u * u * u - 3 * u) / sqrtl(6), (3 * u * u - 3) / sqrtl(6))
FUNCTION(hermite4, (u * u * u * u - 6 * u * u + 3) / sqrtl(24), (4 * u * u * u - 12 * u) / sqrtl(24))
FUNCTION(series, 0.3L - 1.5L * u + 0.7L * (u * u - 1) / sqrtl(2) + 0.2L * hermite4(u),
         -1.5L + 1.4L * u / sqrtl(2) + 0.2L * hermite4_slope(u))
FUNCTION(hyperbolic, tanhl(u), 1 / (coshl(u) * coshl(u)))
FUNCTION(sigmoid, logistic(u), logistic(u) * logistic(-u))
FUNCTION(silu, u *logistic(u), logistic(u) * (1 + u * logistic(-u)))
FUNCTION(softplus, fmaxl(u, 0) + log1pl(expl(-fabsl(u))), logistic(u))
FUNCTION(elu, u > 0 ? u : 0.7L * expm1l(u), u > 0 ? 1 : 0.7L * expl(u))
FUNCTION(elu1, u > 0 ? u : expm1l(u), u > 0 ? 1 : expl(u))

static const long double selu_alpha = 1.6732632423543772848170429916717L,
                         selu_scale = 1.0507009873554804934193349852946L;
FUNCTION(selu, selu_scale *(u > 0 ? u : selu_alpha * expm1l(u)), selu_scale *(u > 0 ? 1 : selu_alpha * expl(u)))

const dual_function ntk_test_dual_functions[] = {
    {"relu(c=1)", relu, relu_slope},
    {"leaky(0.2)", leaky, leaky_slope},
    {"abrelu(-0.3, 1.1)", abrelu, abrelu_slope},
    {"abs", absolute, absolute_slope},
    {"erf", error, error_slope},
    {"gelu", gelu, gelu_slope},
    {"sin(a=1.2, b=0.8, phase=0.3)", wave, wave_slope},
    {"cos", cosine, cosine_slope},
    {"rbf(gamma=0.7)", rbf, rbf_slope},
    {"exp(b=-0.5)", exponential, exponential_slope},
    {"sign", signum, signum_slope},
    {"monomial(2)", square, square_slope},
    {"monomial(7)", seventh, seventh_slope},
    {"hermite(1)", hermite1, hermite1_slope},
    {"hermite(3)", hermite3, hermite3_slope},
    {"hermite(4)", hermite4, hermite4_slope},
    {"series(0.3, -1.5, 0.7, 0, 0.2)", series, series_slope},
    {"tanh", hyperbolic, hyperbolic_slope},
    {"sigmoid", sigmoid, sigmoid_slope},
    {"silu", silu, silu_slope},
    {"softplus", softplus, softplus_slope},
    {"elu", elu1, elu1_slope},
    {"elu(a=0.7)", elu, elu_slope},
    {"selu", selu, selu_slope},
    {0},
};

ntk_activation_dual ntk_test_dual(const char *text) {
  char whole[200];
  ntk_network *network = NULL;
  ntk_activation_dual dual;
  snprintf(whole, sizeof whole, "dense %s dense", text);
  cr_assert_eq(ntk_network_parse(whole, &network), NTK_OK, "%s: %s", text, ntk_last_error());
  cr_assert_eq(ntk_activation_make(&network->flat.items[1], &dual), NTK_OK, "%s", ntk_last_error());
  ntk_network_free(network);
  return dual;
}

/* ---- the integral ---- */

enum { RULE = 14 };

static void legendre_rule(long double node[RULE], long double weight[RULE]) {
  for (int i = 0; i < RULE; i++) {
    long double x = cosl(pi * (i + 0.75L) / (RULE + 0.5L)), slope = 1;
    for (int step = 0; step < 20; step++) {
      long double now = x, before = 1;
      for (int k = 2; k <= RULE; k++) {
        const long double next = ((2 * k - 1) * x * now - (k - 1) * before) / k;
        before = now, now = next;
      }
      slope = RULE * (x * now - before) / (x * x - 1);
      x -= now / slope;
    }
    node[i] = x, weight[i] = 2 / ((1 - x * x) * slope * slope);
  }
}

/* The integral over the radius of f(u) f(v) on the ray u = a R, v = b R. */
static long double along_ray(long double (*f)(long double), long double a, long double b, const long double *node,
                             const long double *weight, int panels) {
  long double sum = 0, left = 0;
  for (int panel = 0; panel < panels; panel++) {
    const long double right = 18.0L * (panel + 1) / panels;
    for (int k = 0; k < RULE; k++) {
      const long double r = left + (right - left) * (1 + node[k]) / 2;
      sum += weight[k] * (right - left) / 2 * r * expl(-r * r / 2) * f(a * r) * f(b * r);
    }
    left = right;
  }
  return sum / (2 * pi);
}

long double ntk_test_expectation(long double (*f)(long double), long double p, long double q, long double rho) {
  const long double n_x = sqrtl(p), n_z = sqrtl(q), turn = asinl(rho); /* u = n_x cos t, v = n_z sin(t + turn) */
  /* zeros of u and v in order, and the ends */
  const long double rays[5] = {-turn, pi / 2, pi - turn, 3 * pi / 2, 2 * pi - turn};
  long double node[RULE], weight[RULE], sum = 0;
  /* steep functions of large variances need more panels */
  const int levels = p > 4 || q > 4 ? 6 : 4, radial = p > 4 || q > 4 ? 45 : 20;
  legendre_rule(node, weight);
  for (int sector = 0; sector < 4; sector++)
    for (int panel = 0; panel < 2 * levels; panel++) {
      /* halves, quarters, ... towards both rays; the last panel reaches the ray */
      const int level = panel % levels, mirrored = panel >= levels;
      const long double width = rays[sector + 1] - rays[sector];
      const long double low = level == levels - 1 ? 0 : ldexpl(0.5L, -level - 1), high = ldexpl(0.5L, -level);
      for (int k = 0; k < RULE; k++) {
        const long double part = low + (high - low) * (1 + node[k]) / 2;
        const long double from_ray = part * width;
        const long double t = mirrored ? rays[sector + 1] - from_ray : rays[sector] + from_ray;
        sum += weight[k] * (high - low) / 2 * width *
               along_ray(f, n_x * cosl(t), n_z * sinl(t + turn), node, weight, radial);
      }
    }
  return sum;
}

void ntk_test_dual_pair(const char *isa, const ntk_activation_dual *dual, double p, double q, double c, double *s,
                        double *t) {
  double x[NTK_DUAL_SIDES], z[NTK_DUAL_SIDES];
  ntk_dual_side(dual, p, x, 1);
  ntk_dual_side(dual, q, z, 1);
  *s = c, *t = 1;
  ntk_backend_find(isa ? isa : "auto")->dual_row(dual, 1, 1, x, 0, z, s, t);
}
