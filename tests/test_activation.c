/* The dual activations: check values, brute-force quadrature, limits, derivatives, inequalities. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/backend/backend.h"
#include "tests/support_dual.h"
#include "tests/support_kernel.h"

static void pair(const char *text, double p, double q, double c, double *s, double *t) {
  const ntk_activation_dual dual = ntk_test_dual(text);
  ntk_test_dual_pair(NULL, &dual, p, q, c, s, t);
}

/* Values of an independent implementation, to ten digits. */
Test(activation, check_values) {
  static const struct {
    const char *text;
    double e, de;
  } cases[] = {
      {"erf", 0.1754796561, 0.4501581581},
      {"gelu", 0.1880606767, 0.3248172218},
      {"sin(a=1.2, b=0.8, phase=0.3)", 0.2478456672, 0.4691094963},
      {"abrelu(-0.3, 1.1)", 0.3881410594, NAN},
  };
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    double s, t;
    pair(cases[k].text, 1.3, 0.7, 0.4, &s, &t);
    cr_expect_float_eq(s, cases[k].e, 1e-10, "%s: E = %.12g", cases[k].text, s);
    if (!isnan(cases[k].de)) cr_expect_float_eq(t, cases[k].de, 1e-10, "%s: E' = %.12g", cases[k].text, t);
  }
}

/* Largest errors of E and E' that docs/accuracy.md states, relative to sqrt(E(p,p) E(q,q)), for the larger of two
 * variances. */
static void bounds(const ntk_activation_dual *dual, double p, double *e, double *de) {
  *e = 1e-13, *de = 1e-12;
  if (dual->kind != NTK_DUAL_SERIES || !dual->table) return;
  const bool kinked = dual->function == NTK_DUAL_ELU, steep = dual->function == NTK_DUAL_TANH;
  if (p > NTK_DUAL_KINK_VARIANCE) {
    *e = kinked ? 1e-4 : 1e-5, *de = kinked ? 2e-2 : 2e-3;
  } else if (p > 4) {
    *e = kinked ? 1e-6 : steep ? 5e-6 : 1e-8, *de = kinked ? 5e-5 : steep ? 5e-4 : 1e-6;
  } else {
    *e = kinked ? 1e-10 : 1e-12, *de = kinked ? 2e-8 : 1e-10;
  }
}

static void check_point(const dual_function *f, const ntk_activation_dual *dual, double p, double q, double rho) {
  const double c = rho * sqrt(p * q);
  const long double r = fabs(rho) == 1 ? (long double)rho : (long double)c / sqrtl((long double)p * q);
  double s, t, e_bound, de_bound, p_scale, q_scale, p_slope, q_slope;
  ntk_test_dual_pair(NULL, dual, p, p, p, &p_scale, &p_slope); /* right: equal_inputs */
  ntk_test_dual_pair(NULL, dual, q, q, q, &q_scale, &q_slope);
  const double scale = sqrt(p_scale * q_scale), slope_scale = sqrt(p_slope * q_slope);
  ntk_test_dual_pair(NULL, dual, p, q, c, &s, &t);
  bounds(dual, fmax(p, q), &e_bound, &de_bound);
  const double e = (double)ntk_test_expectation(f->value, p, q, r),
               de = (double)ntk_test_expectation(f->slope, p, q, r);
  cr_expect(fabs(s - e) <= e_bound * scale, "%s at %g, %g, rho %g: E = %.15g, not %.15g", f->text, p, q, rho, s, e);
  cr_expect(fabs(t - de) <= de_bound * slope_scale, "%s at %g, %g, rho %g: E' = %.15g, not %.15g", f->text, p, q, rho,
            t, de);
}

Test(activation, quadrature) {
  static const double points[][3] = {{1.3, 0.7, 0.42},   {1, 1, -0.6},  {0.02, 3.5, 0.97}, {2, 2, 0.9999},
                                     {0.5, 4, -0.99995}, {1, 0.001, 0}, {1.7, 1.7, 1},     {0.3, 0.9, -1}};
  for (const dual_function *f = ntk_test_dual_functions; f->text; f++) {
    const ntk_activation_dual dual = ntk_test_dual(f->text);
    for (size_t k = 0; k < sizeof points / sizeof *points; k++)
      check_point(f, &dual, points[k][0], points[k][1], points[k][2]);
  }
}

/* Large variances, where steep activations look like steps. */
Test(activation, quadrature_of_large_variances) {
  static const double points[][3] = {{30, 20, 0.8}, {25, 25, 0.999}, {100, 1, 0.9}};
  for (const dual_function *f = ntk_test_dual_functions; f->text; f++) {
    const ntk_activation_dual dual = ntk_test_dual(f->text);
    for (size_t k = 0; k < sizeof points / sizeof *points; k++)
      check_point(f, &dual, points[k][0], points[k][1], points[k][2]);
  }
}

/* An input with itself: E[s^2] and E[s'^2] at rho = 1, to all digits, also where the terms of a series were cut off. */
Test(activation, equal_inputs) {
  static const double variances[] = {1e-3, 1, 30};
  for (const dual_function *f = ntk_test_dual_functions; f->text; f++)
    for (size_t k = 0; k < sizeof variances / sizeof *variances; k++) {
      const ntk_activation_dual dual = ntk_test_dual(f->text);
      const double p = variances[k];
      double s, t;
      ntk_test_dual_pair(NULL, &dual, p, p, p, &s, &t);
      const double e = (double)ntk_test_expectation(f->value, p, p, 1);
      const double de = (double)ntk_test_expectation(f->slope, p, p, 1);
      /* powers of a large variance cancel in elu */
      const double slack = dual.kinked && p > 4 ? 1e-6 : 1e-12;
      cr_expect(fabs(s - e) <= slack * e, "%s at %g: E = %.15g, not %.15g", f->text, p, s, e);
      cr_expect(fabs(t - de) <= slack * de, "%s at %g: E' = %.15g, not %.15g", f->text, p, t, de);
      cr_expect(fabs(ntk_dual_self(&dual, p) - s) <= (dual.kinked && p > 4 ? slack : 1e-14) * s, "%s at %g", f->text,
                p);
    }
}

/* dE/dc = E' (Price 1958), by the five-point rule. */
Test(activation, derivative) {
  static const double points[][3] = {
      {1.3, 0.7, 0.4}, {1, 1, -0.5}, {2, 0.1, 0.1}, {0.9, 1.1, 0.8}, {0.01, 0.02, 0.001}};
  static const char *const more[] = {"expnorm", "expnorm(g=0.3)", "hermite(9)", "monomial(11)", "elu(a=3)"};
  for (size_t n = 0;; n++) {
    const bool listed = ntk_test_dual_functions[n].text != NULL;
    static size_t extra;
    if (!listed && extra == sizeof more / sizeof *more) break;
    const char *text = listed ? ntk_test_dual_functions[n].text : more[extra++];
    if (!listed) n--;
    if (strcmp(text, "sign") == 0) continue; /* whose E' is 0 by convention */
    const ntk_activation_dual dual = ntk_test_dual(text);
    for (size_t k = 0; k < sizeof points / sizeof *points; k++) {
      const double p = points[k][0], q = points[k][1], c = points[k][2], h = 1e-3 * sqrt(p * q);
      double at[4], t, unused;
      for (int i = 0; i < 4; i++)
        ntk_test_dual_pair(NULL, &dual, p, q, c + (i < 2 ? i - 2 : i - 1) * h, &at[i], &unused);
      double centre;
      ntk_test_dual_pair(NULL, &dual, p, q, c, &centre, &t);
      const double slope = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * h);
      /* expnorm's tangent factor is that of its normalised kernel, which is dE/dc as well */
      cr_expect(fabs(slope - t) <= 1e-8 * fmax(fabs(t), 1e-2), "%s at %g, %g, %g: E' = %.12g, not %.12g", text, p, q, c,
                t, slope);
    }
  }
}

/* Values without variance: u = 0. */
Test(activation, no_variance) {
  static const struct {
    const char *text;
    double at_zero, square; /* s(0)^2, s(0) E[s(v)] for v of variance 0.8 */
  } cases[] = {
      {"leaky(0.2)", 0, 0},
      {"abs", 0, 0},
      {"erf", 0, 0},
      {"gelu", 0, 0},
      {"sign", 0, 0},
      {"tanh", 0, 0},
      {"cos", 1, 0.67032004603563930},
      {"rbf(gamma=0.7)", 1, 0.57120906384881490},
      {"exp", 1, 1.49182469764127032},
      {"sigmoid", 0.25, 0.25},
      {"monomial(0)", 1, 1},
      {"monomial(3)", 0, 0},
      {"hermite(2)", 0.5, 0.1}, /* (v - 1)/sqrt(2) -1/sqrt(2) */
      {"series(2)", 4, 4},
      {"expnorm", 0, 0},
  };
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    double s, t;
    pair(cases[k].text, 0, 0, 0, &s, &t);
    cr_expect_float_eq(s, cases[k].at_zero, 1e-14, "%s: E(0,0) = %.15g", cases[k].text, s);
    cr_expect(isfinite(t), "%s", cases[k].text);
    pair(cases[k].text, 0, 0.8, 0, &s, &t);
    cr_expect_float_eq(s, cases[k].square, 1e-14, "%s: E(0,0.8) = %.15g", cases[k].text, s);
    cr_expect(isfinite(t), "%s", cases[k].text);
    pair(cases[k].text, 1e-300, 1e-300, 1e-300, &s, &t);
    cr_expect(isfinite(s) && isfinite(t) && fabs(s - cases[k].at_zero) <= (k == 4 ? 1 : 1e-14), "%s", cases[k].text);
  }
}

/* E(p,q,c)^2 <= E(p,p,p) E(q,q,q), symmetry, and no NaN where rounding puts rho beyond 1. */
Test(activation, inequalities) {
  static const char *const more[] = {"relu",          "expnorm(g=2)", "hermite(50)",
                                     "monomial(100)", "monomial(1)",  "hermite(0)"};
  ntk_test_random random = {7};
  for (size_t n = 0; n < 24 + sizeof more / sizeof *more; n++) {
    const ntk_activation_dual dual = ntk_test_dual(n < 24 ? ntk_test_dual_functions[n].text : more[n - 24]);
    for (int k = 0; k < 50; k++) {
      const double p = exp(4 * ntk_test_uniform(&random)), q = exp(4 * ntk_test_uniform(&random));
      double rho = sin(8 * ntk_test_uniform(&random)), s, t, mirrored, mirrored_t;
      if (k % 5 == 0) rho = (k % 2 ? 1 : -1) * (1 + 1e-15 * ntk_test_uniform(&random));
      const double c = rho * sqrt(p) * sqrt(q);
      ntk_test_dual_pair(NULL, &dual, p, q, c, &s, &t);
      ntk_test_dual_pair(NULL, &dual, q, p, c, &mirrored, &mirrored_t);
      const double most = sqrt(ntk_dual_self(&dual, p)) * sqrt(ntk_dual_self(&dual, q));
      cr_expect(fabs(s) <= most * (1 + 1e-12), "activation %zu: |%.15g| > %.15g at %g, %g, %g", n, s, most, p, q, c);
      if (!isfinite(most)) continue; /* u^100 of variances above 30 */
      cr_expect(isfinite(s) && isfinite(t), "activation %zu at %g, %g, %g: %g, %g", n, p, q, c, s, t);
      const double slack = dual.kinked ? 1e-7 : 0; /* powers of a large variance cancel in elu */
      cr_expect(fabs(s - mirrored) <= slack * most && fabs(t - mirrored_t) <= slack,
                "activation %zu at %g, %g, %g: not symmetric", n, p, q, c);
    }
  }
}

/* Rows: any count and stride, x one value or as many as z, all instruction sets, t left out. */
static void check_row(const char *isa, const ntk_activation_dual *dual, size_t count, size_t x_step) {
  enum { STRIDE = 43 };
  const int sides = ntk_dual_side_count(dual);
  double *x = calloc(STRIDE * (size_t)sides, sizeof *x), *z = calloc(STRIDE * (size_t)sides, sizeof *z);
  double s[STRIDE], t[STRIDE], s_alone[STRIDE], p[STRIDE], q[STRIDE], c[STRIDE];
  ntk_test_random random = {count};
  for (size_t j = 0; j < STRIDE; j++) {
    p[j] = j == 0 || x_step ? 1 + ntk_test_uniform(&random) / 2 : p[0], q[j] = 1 + ntk_test_uniform(&random) / 2;
    c[j] = s[j] = s_alone[j] = sqrt(p[j] * q[j]) * ntk_test_uniform(&random), t[j] = 1;
    ntk_dual_side(dual, p[j], x + j, STRIDE);
    ntk_dual_side(dual, q[j], z + j, STRIDE);
  }
  const ntk_dual_row row = ntk_backend_find(isa)->dual_row;
  row(dual, count, STRIDE, x, x_step, z, s, t);
  row(dual, count, STRIDE, x, x_step, z, s_alone, NULL);
  for (size_t j = 0; j < STRIDE; j++) {
    double s_one = c[j], t_one = 1;
    if (j < count) ntk_test_dual_pair(isa, dual, p[j], q[j], c[j], &s_one, &t_one);
    cr_expect(s[j] == s_one && t[j] == t_one && s_alone[j] == s_one, "%s, %zu of %zu: %.17g, not %.17g", isa, j, count,
              s[j], s_one);
  }
  free(x), free(z);
}

Test(activation, rows) {
  for (const char *const *isa = ntk_test_isas; *isa; isa++) {
    if (!ntk_backend_runs(ntk_backend_find(*isa))) continue;
    for (const dual_function *f = ntk_test_dual_functions; f->text; f++) {
      const ntk_activation_dual dual = ntk_test_dual(f->text);
      for (size_t count = 0; count < 40; count += 1 + count / 5) check_row(*isa, &dual, count, count % 2);
    }
  }
}

/* The instruction sets against each other. */
Test(activation, instruction_sets) {
  ntk_test_random random = {3};
  for (const dual_function *f = ntk_test_dual_functions; f->text; f++) {
    const ntk_activation_dual dual = ntk_test_dual(f->text);
    for (int k = 0; k < 20; k++) {
      const double p = exp(2 * ntk_test_uniform(&random)), q = exp(2 * ntk_test_uniform(&random));
      const double c = sqrt(p * q) * ntk_test_uniform(&random);
      double best, best_t, s, t;
      ntk_test_dual_pair("baseline", &dual, p, q, c, &best, &best_t);
      for (const char *const *isa = ntk_test_isas; *isa; isa++) {
        if (!ntk_backend_runs(ntk_backend_find(*isa))) continue;
        ntk_test_dual_pair(*isa, &dual, p, q, c, &s, &t);
        const double scale = sqrt(ntk_dual_self(&dual, p) * ntk_dual_self(&dual, q)),
                     slack = dual.kinked ? 1e-11 : 1e-14;
        cr_expect(fabs(s - best) <= slack * scale && fabs(t - best_t) <= 10 * slack * (1 + fabs(t)), "%s on %s: %g",
                  f->text, *isa, (s - best) / scale);
      }
    }
  }
}

/* Exponentials over their whole range, against the C library. */
Test(activation, exponentials) {
  const ntk_activation_dual rising = ntk_test_dual("exp"), falling = ntk_test_dual("rbf(gamma=0.5)");
  for (const char *const *isa = ntk_test_isas; *isa; isa++) {
    if (!ntk_backend_runs(ntk_backend_find(*isa))) continue;
    for (double p = 1e-9; p < 400; p *= 1.7) {
      double s, t;
      ntk_test_dual_pair(*isa, &rising, p, p / 2, 0.2 * p, &s, &t);
      cr_expect(fabs(s / exp(0.75 * p + 0.2 * p) - 1) <= 1e-15 * (4 + p), "%s, exp: %g", *isa, p);
      ntk_test_dual_pair(*isa, &falling, p, p, -0.5 * p, &s, &t);
      cr_expect(fabs(s / exp(-p - 0.5 * p) - 1) <= 1e-15 * (4 + 2 * p), "%s, rbf: %g", *isa, p);
    }
    double s, t;
    ntk_test_dual_pair(*isa, &rising, 800, 800, 800, &s, &t);
    cr_expect(isinf(s) && isinf(t));
    ntk_test_dual_pair(*isa, &falling, 2000, 2000, 0, &s, &t);
    cr_expect(s == 0 && t == 0);
  }
}

/* What is no variance must not give a number. */
Test(activation, impossible_variances) {
  static const double wrong[] = {NAN, INFINITY, -1, 1e101};
  for (const dual_function *f = ntk_test_dual_functions; f->text; f++) {
    const ntk_activation_dual dual = ntk_test_dual(f->text);
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
      double s, t;
      ntk_test_dual_pair(NULL, &dual, wrong[k], 1, 0.1, &s, &t);
      cr_expect(isnan(s), "%s at variance %g: %g", f->text, wrong[k], s);
    }
  }
}
