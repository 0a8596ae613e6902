/* Fully connected networks with other activations than ReLU, through the public interface. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support_data.h"
#include "tests/support_dual.h"
#include "tests/support_kernel.h"

static const double point_x[3] = {1, 0.3, -0.5}, point_z[3] = {0.2, 0.9, 0.4};

static double value(const char *text, ntk_shape shape, ntk_kernel kernel, const double *x, const double *z) {
  return ntk_test_value(text, shape, kernel, NTK_F64, x, z);
}

/* Values of an independent implementation, to ten digits. */
Test(activation_networks, check_values) {
  static const struct {
    const char *text;
    double nngp, ntk;
  } cases[] = {
      {"dense(W=1.5, b=0.1) relu(c=1) dense(W=1.5, b=0.1)", 0.4548006483, 0.5928346434},
      {"2*(dense(W=1.5, b=0.1) relu(c=1)) dense(W=1.5, b=0.1)", 0.6626114662, 1.0959863426},
      {"2*(dense(W=1.5, b=0.1) leaky(0)) dense(W=1.5, b=0.1)", 0.6626114662, 1.0959863426},
      {"dense(W=1.5, b=0.1) erf dense(W=1.5, b=0.1)", 0.2305252206, 0.4528094415},
      {"2*(dense(W=1.5, b=0.1) erf) dense(W=1.5, b=0.1)", 0.2309460699, 0.6684147173},
      {"3*(dense(W=1.5, b=0.1) erf) dense(W=1.5, b=0.1)", 0.2235368362, 0.8461843512},
  };
  const ntk_shape shape = {3, 0, 0};
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
    for (int precision = NTK_F32; precision <= NTK_F64; precision++) {
      const double nngp =
          ntk_test_value(cases[k].text, shape, NTK_KERNEL_NNGP, (ntk_precision)precision, point_x, point_z);
      const double ntk =
          ntk_test_value(cases[k].text, shape, NTK_KERNEL_NTK, (ntk_precision)precision, point_x, point_z);
      const double bound = precision == NTK_F64 ? 1e-10 : 1e-6;
      cr_expect_float_eq(nngp, cases[k].nngp, bound, "%s: NNGP %.12g", cases[k].text, nngp);
      cr_expect_float_eq(ntk, cases[k].ntk, bound, "%s: NTK %.12g", cases[k].text, ntk);
    }
}

/* ---- the recursion once more, with every expectation by brute force */

typedef struct layer {
  double weight, bias;
  bool trained;
  const char *activation; /* of ntk_test_dual_functions, or NULL */
} layer;

static const dual_function *function(const char *text) {
  for (const dual_function *f = ntk_test_dual_functions; f->text; f++)
    if (strcmp(f->text, text) == 0) return f;
  cr_assert_fail("%s is unknown", text);
  return NULL;
}

static void recursion(const layer *layers, size_t count, const double *x, const double *z, int length,
                      long double *nngp, long double *ntk) {
  long double xx = 0, zz = 0, xz = 0, t = 0;
  for (int k = 0; k < length; k++)
    xx += (long double)x[k] * x[k] / length, zz += (long double)z[k] * z[k] / length,
        xz += (long double)x[k] * z[k] / length;
  for (size_t l = 0; l < count; l++) {
    const long double w2 = (long double)layers[l].weight * layers[l].weight;
    const long double b2 = (long double)layers[l].bias * layers[l].bias;
    xx = w2 * xx + b2, zz = w2 * zz + b2, xz = w2 * xz + b2;
    t = w2 * t + (layers[l].trained ? xz : 0);
    if (!layers[l].activation) continue;
    const dual_function *f = function(layers[l].activation);
    const long double rho = xz / sqrtl(xx * zz);
    const long double next = ntk_test_expectation(f->value, xx, zz, rho);
    t *= ntk_test_expectation(f->slope, xx, zz, rho);
    xx = ntk_test_expectation(f->value, xx, xx, 1), zz = ntk_test_expectation(f->value, zz, zz, 1), xz = next;
  }
  *nngp = xz, *ntk = t;
}

static void check_recursion(const char *text, const layer *layers, size_t count) {
  const ntk_shape shape = {3, 0, 0};
  long double nngp, ntk;
  recursion(layers, count, point_x, point_z, 3, &nngp, &ntk);
  const double got_nngp = value(text, shape, NTK_KERNEL_NNGP, point_x, point_z);
  const double got_ntk = value(text, shape, NTK_KERNEL_NTK, point_x, point_z);
  cr_expect_leq(ntk_test_error(got_nngp, nngp), 1e-11, "%s: NNGP %.15g, not %.15Lg", text, got_nngp, nngp);
  cr_expect_leq(ntk_test_error(got_ntk, ntk), 1e-11, "%s: NTK %.15g, not %.15Lg", text, got_ntk, ntk);
}

Test(activation_networks, mixed) {
  const layer a[] = {
      {1.2, 0.1, true, "tanh"}, {1, 0, true, "leaky(0.2)"}, {1.1, 0, false, "gelu"}, {1, 0.3, true, NULL}};
  check_recursion("dense(W=1.2, b=0.1) tanh dense leaky(0.2) dense(W=1.1, fixed) gelu dense(b=0.3)", a, 4);
  const layer b[] = {{1, 0.5, false, "silu"}, {1, 0, true, "relu(c=1)"}, {2, 0, true, "erf"}, {1, 0, false, NULL}};
  check_recursion("dense(b=0.5, fixed) silu dense relu(c=1) dense(W=2) erf dense(fixed)", b, 4);
  const layer c[] = {{0.9, 0, true, "softplus"}, {1.3, 0, true, NULL}, {0.5, 0.1, true, "sigmoid"}, {1, 0, true, NULL}};
  check_recursion("dense(W=0.9) softplus dense(W=1.3) dense(W=0.5, b=0.1) sigmoid dense", c, 4);
  const layer d[] = {
      {1, 0, true, "series(0.3, -1.5, 0.7, 0, 0.2)"}, {0.8, 0, true, "cos"}, {1, 0, true, "abs"}, {1, 0, true, NULL}};
  check_recursion("dense series(0.3, -1.5, 0.7, 0, 0.2) dense(W=0.8) cos dense abs dense", d, 4);
  const layer e[] = {{1, 0, true, "sign"}, {1, 0, true, "monomial(2)"}, {1, 0, true, NULL}};
  check_recursion("dense sign dense monomial(2) dense", e, 3);
}

/* ---- what must hold exactly or nearly */

Test(activation_networks, other_names_of_the_same_network) {
  static const char *const same[][2] = {
      {"2*(dense series(0, 1)) dense", "2*(dense hermite(1)) dense"},
      {"2*(dense leaky(1)) dense", "2*(dense monomial(1)) dense"},
      {"2*(dense abrelu(0, 1, c=2)) dense", "2*(dense relu) dense"},
      {"2*(dense leaky(-1)) dense", "2*(dense abs) dense"},
      {"2*(dense(b=0.3) series(0, 0, 1)) dense", "2*(dense(b=0.3) hermite(2)) dense"},
      {"2*(dense cos(phase=-1.5707963267948966)) dense", "2*(dense sin) dense"},
      {"2*(dense swish) dense", "2*(dense silu) dense"},
      {"2*(dense elu(a=0)) dense", "2*(dense relu(c=1)) dense"},
      {"dense rbf(gamma=0.7) dense",
       "dense sin(a=1.4142135623730951, b=1.1832159566199232, phase=0.7853981633974483) dense"},
  };
  const ntk_shape shape = {3, 0, 0};
  for (size_t k = 0; k < sizeof same / sizeof *same; k++)
    for (int kernel = NTK_KERNEL_NTK; kernel <= NTK_KERNEL_NNGP; kernel++) {
      const double a = value(same[k][0], shape, (ntk_kernel)kernel, point_x, point_z);
      const double b = value(same[k][1], shape, (ntk_kernel)kernel, point_x, point_z);
      /* elu(a=0) is a ReLU with its kink taken out */
      cr_expect_leq(ntk_test_error(a, b), strstr(same[k][0], "elu(a=0)") ? 1e-13 : 1e-14, "%s: %.17g, %s: %.17g",
                    same[k][0], a, same[k][1], b);
    }
}

Test(activation_networks, expnorm) {
  const ntk_shape shape = {3, 0, 0};
  double c = 0, p = 0, q = 0;
  for (int k = 0; k < 3; k++)
    c += point_x[k] * point_z[k] / 3, p += point_x[k] * point_x[k] / 3, q += point_z[k] * point_z[k] / 3;
  const double v = sqrt(p * q), grown = exp(0.5 * (c / v - 1));
  cr_expect_leq(
      ntk_test_error(value("dense expnorm(g=0.5) dense", shape, NTK_KERNEL_NNGP, point_x, point_z), v * grown), 1e-14);
  cr_expect_leq(ntk_test_error(value("dense expnorm(g=0.5) dense", shape, NTK_KERNEL_NTK, point_x, point_z),
                               0.5 * grown * c + v * grown),
                1e-14);
}

/* c=auto keeps a unit variance. */
Test(activation_networks, automatic_factor) {
  static const char *const names[] = {"erf",        "gelu",       "tanh",       "sigmoid",  "silu",
                                      "softplus",   "elu",        "selu",       "sin(b=2)", "series(1, 2, 3)",
                                      "leaky(0.3)", "hermite(4)", "exp(b=0.3)", "expnorm"};
  const double x[4] = {1, -1, 1, 1};
  for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
    char text[200];
    const char *open = strchr(names[k], '(');
    snprintf(text, sizeof text, "3*(dense %.*s%sc=auto)) dense", (int)strcspn(names[k], ")"), names[k],
             open ? ", " : "(");
    const double nngp = value(text, (ntk_shape){4, 0, 0}, NTK_KERNEL_NNGP, x, x);
    cr_expect_float_eq(nngp, 1, 1e-12, "%s: %.15g", text, nngp);
  }
}

/* An input, its copy elsewhere in the block, and the copy as its own pair give one value. */
Test(activation_networks, copies) {
  enum { COUNT = 70, SIZE = 20 };
  static const char *const texts[] = {"2*(dense(W=1.3, b=0.2) leaky(0.1)) dense",
                                      "2*(dense(b=0.5) tanh) dense relu dense", "dense gelu dense sign dense",
                                      "3*(dense(W=1.7, b=0.3) erf) dense abs dense"};
  const ntk_shape shape = {SIZE, 0, 0};
  double *x = ntk_test_inputs(5, shape, COUNT);
  for (int copy = 3; copy < COUNT; copy += 11) memcpy(x + copy * SIZE, x, SIZE * sizeof *x);
  for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
    ntk_plan *plan = ntk_test_plan(texts[k], shape, NTK_KERNEL_BOTH, NTK_F64);
    double *values = ntk_test_block(NULL, plan, x, COUNT, NULL, 0);
    for (int output = 0; output < 2; output++)
      for (int i = 3; i < COUNT; i += 11)
        for (int j = 3; j < COUNT; j += 11)
          cr_expect_eq(values[(output * COUNT + i) * COUNT + j], values[output * COUNT * COUNT], "%s: %d, %d", texts[k],
                       i, j);
    free(values);
    ntk_plan_free(plan);
  }
  free(x);
}

/* Cholesky with a jitter of rounding's size finds no negative pivot. */
static bool positive(const double *matrix, int n) {
  double *a = malloc((size_t)n * (size_t)n * sizeof *a), trace = 0;
  bool fine = true;
  memcpy(a, matrix, (size_t)n * (size_t)n * sizeof *a);
  for (int i = 0; i < n; i++) trace += a[i * n + i];
  for (int j = 0; j < n && fine; j++) {
    a[j * n + j] += 1e-13 * trace;
    for (int k = 0; k < j; k++) a[j * n + j] -= a[j * n + k] * a[j * n + k];
    fine = a[j * n + j] > 0;
    for (int i = j + 1; i < n && fine; i++) {
      for (int k = 0; k < j; k++) a[i * n + j] -= a[i * n + k] * a[j * n + k];
      a[i * n + j] /= sqrt(a[j * n + j]);
    }
    a[j * n + j] = sqrt(a[j * n + j]);
  }
  free(a);
  return fine;
}

/* Positive semi-definite and symmetric, near-duplicates and opposite inputs included. */
Test(activation_networks, gram_matrices) {
  enum { COUNT = 24, SIZE = 5 };
  static const char *const names[] = {"leaky(0.2)",
                                      "abrelu(-2, 1)",
                                      "abs",
                                      "erf",
                                      "gelu",
                                      "sin(phase=0.4)",
                                      "cos",
                                      "rbf",
                                      "exp(b=0.4)",
                                      "sign",
                                      "tanh",
                                      "hermite(3)",
                                      "monomial(3)",
                                      "sigmoid",
                                      "silu",
                                      "softplus",
                                      "elu",
                                      "selu",
                                      "series(1, 0.5, -2)",
                                      "expnorm(g=2)"};
  const ntk_shape shape = {SIZE, 0, 0};
  double *x = ntk_test_inputs(9, shape, COUNT);
  for (int k = 0; k < SIZE; k++) {
    x[SIZE + k] = -x[k], x[2 * SIZE + k] = 1.5 * x[k];
    x[3 * SIZE + k] = x[k] * (1 + 1e-9 * k), x[4 * SIZE + k] = x[k] + 1e-4 * k;
  }
  for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
    char text[200];
    snprintf(text, sizeof text, "2*(dense(W=1.4, b=0.1) %s) dense", names[n]);
    ntk_plan *plan = ntk_test_plan(text, shape, NTK_KERNEL_BOTH, NTK_F64);
    double *values = ntk_test_block(NULL, plan, x, COUNT, NULL, 0);
    for (int output = 0; output < 2; output++) {
      const double *matrix = values + output * COUNT * COUNT;
      cr_expect(positive(matrix, COUNT), "%s: %s is not positive", text, output ? "NNGP" : "NTK");
      for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < COUNT; j++) cr_expect_eq(matrix[i * COUNT + j], matrix[j * COUNT + i], "%s", text);
    }
    free(values);
    ntk_plan_free(plan);
  }
  free(x);
}

/* A depth reads what the network cut behind that activation gives, with the same head. */
Test(activation_networks, depths) {
  static const char *const cut[] = {"dense(b=0.2) erf dense(W=2)", "dense(b=0.2) erf dense relu dense(W=2)",
                                    "dense(b=0.2) erf dense relu dense tanh dense(W=2)"};
  static const int depths[] = {1, 2, 3};
  const ntk_shape shape = {3, 0, 0};
  const ntk_plan_options options = {
      .kernels = NTK_KERNEL_BOTH, .precision = NTK_F64, .depths = depths, .depth_count = 3};
  ntk_plan *plan = ntk_test_plan_with(cut[2], shape, &options);
  double *values = ntk_test_block(NULL, plan, point_x, 1, point_z, 1);
  for (int k = 0; k < 3; k++) {
    cr_expect_eq(values[2 * k], value(cut[k], shape, NTK_KERNEL_NTK, point_x, point_z), "%s", cut[k]);
    cr_expect_eq(values[2 * k + 1], value(cut[k], shape, NTK_KERNEL_NNGP, point_x, point_z), "%s", cut[k]);
  }
  free(values);
  ntk_plan_free(plan);
}

Test(activation_networks, images_as_vectors) {
  const ntk_shape image = {2, 3, 4}, vector = {24, 0, 0};
  double *x = ntk_test_inputs(11, image, 2);
  cr_expect_eq(value("flatten 2*(dense gelu) dense", image, NTK_KERNEL_NTK, x, x + 24),
               value("2*(dense gelu) dense", vector, NTK_KERNEL_NTK, x, x + 24));
  free(x);
}

Test(activation_networks, instruction_sets) {
  enum { COUNT = 19 };
  const ntk_shape shape = {7, 0, 0};
  double *x = ntk_test_inputs(12, shape, COUNT);
  ntk_plan *plan = ntk_test_plan("dense gelu dense(b=0.1) silu dense leaky(0.3) dense erf dense sin dense", shape,
                                 NTK_KERNEL_BOTH, NTK_F64);
  double *best = ntk_test_block(NULL, plan, x, COUNT, NULL, 0);
  for (const char *const *isa = ntk_test_isas; *isa; isa++) {
    ntk_context *context = ntk_test_context(*isa);
    if (!context) continue;
    double *values = ntk_test_block(context, plan, x, COUNT, NULL, 0);
    for (int k = 0; k < 2 * COUNT * COUNT; k++)
      cr_expect(fabs(values[k] - best[k]) <= 1e-13 * fabs(best[0]), "%s: %.17g, not %.17g", *isa, values[k], best[k]);
    free(values);
    ntk_context_free(context);
  }
  free(best), free(x);
  ntk_plan_free(plan);
}

/* Growth out of the range of numbers is an error that says so, never a number. */
Test(activation_networks, growth) {
  static const struct {
    const char *text, *word;
  } cases[] = {
      {"4*(dense(W=3) exp) dense", "the variance of input 0 is not finite or above 1e+100"},
      {"dense(W=30) exp dense", "the kernel of inputs 0 and 0 is not finite"},
      {"3*(dense(W=10) monomial(50)) dense", "the variance of input 0"},
      {"2*(dense(W=1e60) leaky(0.5)) dense relu dense", "the variance of input 0"},
      {"dense(W=1000) monomial(100) dense relu dense", "not finite"},
  };
  const ntk_shape shape = {3, 0, 0};
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    ntk_plan *plan = ntk_test_plan(cases[k].text, shape, NTK_KERNEL_BOTH, NTK_F64);
    double values[2], *out[2] = {&values[0], &values[1]};
    ntk_test_expect_failure(ntk_plan_block(NULL, plan, point_x, 1, NULL, 0, out), NTK_ERROR_DATA, cases[k].word);
    ntk_plan_free(plan);
  }
}

/* What `ntk net` prints. */
Test(activation_networks, description) {
  ntk_plan *plan = ntk_test_plan("dense leaky(0.1, c=2) dense series(0, 1, 0.5) dense tanh(c=auto) dense",
                                 (ntk_shape){3, 0, 0}, NTK_KERNEL_NTK, NTK_F64);
  const char *text = ntk_plan_description(plan);
  cr_expect(strstr(text, "leaky(0.1) ") && strstr(text, "c_s = 2") && strstr(text, "series(0, 1, 0.5) ") &&
                strstr(text, "tanh ") && strstr(text, "c_s = 2.53"),
            "%s", text);
  ntk_plan_free(plan);
}
