/* The engine against published check values, through presets and network texts, in both precisions.
 *
 * Presets give the values of their papers' conventions. Texts give generic values, which the tests convert: Arora's GAP
 * is C0 times, V is C0 P Q times the generic value (docs/conventions.md). */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/oracle.h"
#include "tests/support_kernel.h"

/* Agreement with a number printed to so many significant digits: half a unit of the last, in float32 1e-6 at least. */
static void expect(const char *what, int precision, double got, double want, int digits) {
  const double unit = want == 0 ? 1e-9 : pow(10, floor(log10(fabs(want))) + 1 - digits);
  const double bound = 0.51 * unit + (precision == NTK_F32 ? 1e-6 * fabs(want) : 0);
  cr_expect(fabs(got - want) <= bound, "%s (%s): %.12g, expected %.12g", what, precision ? "f64" : "f32", got, want);
}

#define BOTH_PRECISIONS(precision) for (int precision = NTK_F32; precision <= NTK_F64; precision++)

static double value(const char *text, ntk_shape shape, ntk_kernel kernel, int precision, const double *x,
                    const double *z) {
  return ntk_test_value(text, shape, kernel, (ntk_precision)precision, x, z);
}

/* The test images number 0 and 1 behind each other. */
static const double *images(ntk_shape s) {
  static _Thread_local double values[2 * 3 * 8 * 8];
  const int c = (int)s.channels, h = (int)s.height, w = (int)s.width;
  cr_assert(2 * c * h * w <= (int)(sizeof values / sizeof *values));
  oracle_image(0, c, h, w, values);
  oracle_image(1, c, h, w, values + c * h * w);
  return values;
}

/* The printed value of the pair of test images. */
static void check(const char *text, ntk_shape shape, ntk_kernel kernel, double factor, double want, int digits) {
  const double *x = images(shape);
  BOTH_PRECISIONS(precision)
  expect(text, precision, factor * value(text, shape, kernel, precision, x, x + ntk_test_size(shape)), want, digits);
}

/* The same for the first image with itself. */
static void check_self(const char *text, ntk_shape shape, ntk_kernel kernel, double factor, double want, int digits) {
  const double *x = images(shape);
  BOTH_PRECISIONS(precision)
  expect(text, precision, factor * value(text, shape, kernel, precision, x, x), want, digits);
}

static const ntk_shape small = {2, 4, 5}, square = {3, 8, 8};
static const double small_trace = 2 * 4 * 5, small_mean = 2; /* generic to Arora */

/* ---- arXiv:1904.11955 */

Test(check_values, cntk_presets) {
  check("cnngp-2-v", small, NTK_KERNEL_NNGP, 1, 6.96796012, 9);
  check("cnngp-3-v", small, NTK_KERNEL_NNGP, 1, 6.64443598, 9);
  check("cnngp-4-v", small, NTK_KERNEL_NNGP, 1, 5.90963829, 9);
  check("cnngp-2-gap", small, NTK_KERNEL_NNGP, 1, 0.243521918, 9);
  check("cnngp-3-gap", small, NTK_KERNEL_NNGP, 1, 0.251930553, 9);
  check("cnngp-4-gap", small, NTK_KERNEL_NNGP, 1, 0.221491582, 9);
  check("cntk-2-v", small, NTK_KERNEL_NTK, 1, 9.62781568, 9);
  check("cntk-3-v", small, NTK_KERNEL_NTK, 1, 11.52853219, 9);
  check("cntk-4-v", small, NTK_KERNEL_NTK, 1, 12.27230871, 9);
  check("cntk-2-gap", small, NTK_KERNEL_NTK, 1, 0, 9);
  check("cntk-3-gap", small, NTK_KERNEL_NTK, 1, 0.0893801481, 9);
  check("cntk-4-gap", small, NTK_KERNEL_NTK, 1, 0.136729183, 9);
}

Test(check_values, zero_padding) {
  static const struct {
    const char *text;
    double tr, mean;
  } rows[] = {
      {"conv3 relu %s", 9.62781568, 0.283265452},
      {"2*(conv3 relu) %s", 11.52853219, 0.362450251},
      {"3*(conv3 relu) %s", 12.27230871, 0.369428663},
      {"conv3(fixed) relu %s dense(fixed)", 0, 0},
      {"conv3(fixed) relu conv3 relu %s dense(fixed)", 3.54873764, 0.0893801481},
      {"conv3(fixed) relu 2*(conv3 relu) %s dense(fixed)", 5.63108590, 0.136729183},
  };
  for (size_t n = 0; n < sizeof rows / sizeof *rows; n++) {
    char text[128];
    snprintf(text, sizeof text, rows[n].text, "flatten");
    check(text, small, NTK_KERNEL_NTK, small_trace, rows[n].tr, 9);
    snprintf(text, sizeof text, rows[n].text, "gap");
    check(text, small, NTK_KERNEL_NTK, small_mean, rows[n].mean, 9);
  }
}

Test(check_values, circular_padding) {
  static const struct {
    double gp_tr, gp_mean, all_tr, all_mean, fixed_tr, fixed_mean;
  } rows[] = {{10.22013131, 0.346888116, 14.44185538, 0.398238370, 0, 0},
              {12.38936708, 0.519137167, 22.05881398, 0.782733217, 6.84000762, 0.222458898},
              {13.88420648, 0.626906389, 29.54516748, 1.167061651, 13.65159526, 0.508077161}};
  for (int n = 0; n < 3; n++) {
    char all[128], fixed[128];
    for (int gap = 0; gap < 2; gap++) {
      const char *readout = gap ? "gap" : "flatten";
      const double factor = gap ? small_mean : small_trace;
      snprintf(all, sizeof all, "%d*(conv3(circular) relu) %s", n + 1, readout);
      check(all, small, NTK_KERNEL_NNGP, factor, gap ? rows[n].gp_mean : rows[n].gp_tr, gap ? 9 : 10);
      check(all, small, NTK_KERNEL_NTK, factor, gap ? rows[n].all_mean : rows[n].all_tr, gap ? 9 : 10);
      if (n == 0) continue;
      snprintf(fixed, sizeof fixed, "conv3(circular, fixed) relu %d*(conv3(circular) relu) %s dense(fixed)", n,
               readout);
      check(fixed, small, NTK_KERNEL_NTK, factor, gap ? rows[n].fixed_mean : rows[n].fixed_tr, 9);
    }
  }
}

/* An image with itself. Circular padding leaves SUM x^2 at every depth. */
Test(check_values, self_kernels) {
  static const double traces[] = {14.32787067, 11.08523396, 8.71415245};
  for (int depth = 2; depth <= 4; depth++) {
    char text[128];
    snprintf(text, sizeof text, "cnngp-%d-v", depth);
    check_self(text, small, NTK_KERNEL_NNGP, 1, traces[depth - 2], depth < 4 ? 10 : 9);
    snprintf(text, sizeof text, "cntk-%d-v", depth);
    check_self(text, small, NTK_KERNEL_NTK, 1.0 / depth, traces[depth - 2], depth < 4 ? 10 : 9);
    snprintf(text, sizeof text, "%d*(conv3(circular) relu) flatten", depth - 1);
    check_self(text, small, NTK_KERNEL_NNGP, small_trace, 20.55470872, 10);
  }
  check_self("cnngp-3-gap", small, NTK_KERNEL_NNGP, 1, 0.25392866, 8);
  check_self("2*(conv3 relu) gap", small, NTK_KERNEL_NTK, small_mean, 0.38313464, 8);
  check_self("cntk-3-gap", small, NTK_KERNEL_NTK, 1, 0.09676445, 7);
}

Test(check_values, generic_normalisation) {
  static const struct {
    const char *body;
    double values[4]; /* NNGP flatten, NNGP gap, NTK flatten, NTK gap */
  } rows[] = {{"2*(conv3 relu)", {0.1960651119, 0.1762901972, 0.2991369454, 0.2592061248}},
              {"3*(conv3(circular) relu)", {0.3153360891, 0.3119624705, 0.5836009211, 0.5750486899}},
              {"2*(conv5 relu)", {0.1490743320, 0.1258274775, 0.2248351506, 0.1749324388}},
              {"conv3 relu conv3(stride=2) relu conv3 relu", {0.1735478450, 0.1385988608, 0.3207915015, 0.2212499482}},
              {"2*(conv3 relu) 2*(avgpool2 conv3 relu)", {0.0551763996, 0.0357014217, 0.1606068314, 0.0796377631}},
              {"conv3 sum(id | relu conv3 relu conv3) relu conv3 relu",
               {0.4007643598, 0.3469627635, 0.7292604823, 0.5833996771}},
              {"conv3 relu sum(conv1(stride=2) | conv3(stride=2) relu conv3) relu conv3 relu",
               {0.3354339988, 0.2657026334, 0.6623204648, 0.4459743763}}};
  for (size_t n = 0; n < sizeof rows / sizeof *rows; n++)
    for (int k = 0; k < 4; k++) {
      char text[128];
      snprintf(text, sizeof text, "%s %s", rows[n].body, k % 2 ? "gap" : "flatten");
      check(text, square, k < 2 ? NTK_KERNEL_NNGP : NTK_KERNEL_NTK, 1, rows[n].values[k],
            rows[n].values[k] < 0.1 ? 9 : 10);
    }
}

Test(check_values, bias) {
  check("2*(conv3 relu) gap", square, NTK_KERNEL_NNGP, 3, 0.5288705917, 10);
  check("2*(conv3 relu) gap", square, NTK_KERNEL_NTK, 3, 0.7776183745, 10);
  check("2*(conv3(gamma=3) relu) gap", square, NTK_KERNEL_NNGP, 3, 2.1288552996, 11);
  check("2*(conv3(gamma=3) relu) gap", square, NTK_KERNEL_NTK, 3, 3.9449434724, 11);
  check("lap-2-0", square, NTK_KERNEL_NNGP, 1, 37.64450148, 10);
  check("lap-2-0", square, NTK_KERNEL_NTK, 1, 57.43429352, 10);
  check("lap-2-0-bias", square, NTK_KERNEL_NNGP, 1, 147.3069497, 10);
  check("lap-2-0-bias", square, NTK_KERNEL_NTK, 1, 285.6701991, 10);
  check("2*(conv3(gamma=3) relu) flatten", square, NTK_KERNEL_NTK, 3 * 64, 285.6701991, 10);
}

/* ---- arXiv:1911.00809 */

/* The table is for channels over C0; the presets are not. */
Test(check_values, local_average_pooling) {
  static const int pools[] = {0, 1, 2, 3, 7};
  static const double gp[] = {12.54816716, 9.805032978, 7.289171359, 5.216042290, 0.9128576290};
  static const double ntk[] = {19.14476451, 15.14716971, 10.99085771, 7.819993172, 1.342208995};
  for (int n = 0; n < 5; n++) {
    char text[64];
    snprintf(text, sizeof text, "lap-2-%d", pools[n]);
    check(text, square, NTK_KERNEL_NNGP, 1.0 / 3, gp[n], 10);
    check(text, square, NTK_KERNEL_NTK, 1.0 / 3, ntk[n], 10);
  }
  check("lap-2-1", small, NTK_KERNEL_NNGP, 1, 3.47700804, 9);
  check("lap-2-1", small, NTK_KERNEL_NTK, 1, 5.46654169, 9);
  check("conv3(fixed) relu conv3 relu lap(1) dense(fixed)", small, NTK_KERNEL_NTK, small_trace, 1.50625681, 9);
  check("2*(conv3(circular) relu) lap(1, circular)", small, NTK_KERNEL_NNGP, small_trace, 10.68724079, 10);
  check("2*(conv3(circular) relu) lap(1, circular)", small, NTK_KERNEL_NTK, small_trace, 16.6562468772, 12);
  const ntk_shape four = {2, 4, 4};
  check("2*(conv3(circular) relu) lap(1, circular)", four, NTK_KERNEL_NTK, 32, 12.1632618268, 12);
  check("2*(conv3(circular) relu) lap(2, circular)", four, NTK_KERNEL_NTK, 32, 12.0108394890, 12);
  check("2*(conv3(circular) relu) gap", four, NTK_KERNEL_NTK, 32, 11.9347684433, 12);
}

Test(check_values, mirrored_images) {
  double x[192], z[192], fx[192], fz[192];
  oracle_image(0, 3, 8, 8, x);
  oracle_image(1, 3, 8, 8, z);
  for (int n = 0; n < 192; n++) fx[n] = x[n / 8 * 8 + 7 - n % 8], fz[n] = z[n / 8 * 8 + 7 - n % 8];
  BOTH_PRECISIONS(precision) {
    const char *text = "2*(conv3 relu) gap";
    expect("FxFz", precision, 3 * value(text, square, NTK_KERNEL_NTK, precision, fx, fz), 0.7776183745, 10);
    expect("Fxz", precision, 3 * value(text, square, NTK_KERNEL_NTK, precision, fx, z), 0.7306233855, 10);
    expect("xFz", precision, 3 * value(text, square, NTK_KERNEL_NTK, precision, x, fz), 0.7306233855, 10);
  }
}

/* ---- fully connected */

static const double fc_x[] = {1, 0.3, -0.5}, fc_z[] = {0.2, 0.9, 0.4};
static const ntk_shape vector3 = {3, 0, 0};

/* Unit vectors with <x,z> = rho: Sigma and Theta for 1, 2, 3 and 5 hidden layers; generic values are over d. */
Test(check_values, connected_table) {
  static const int hidden[] = {1, 2, 3, 5};
  static const double rows[][9] = {
      {-1, 0.0, 0.3183098862, 0.4937310902, 0.6809535334, 0.0, 0.3183098862, 0.6857086363, 1.4303904972},
      {-0.5, 0.1089977810, 0.3747014983, 0.5282793877, 0.6974392828, -0.0576688856, 0.3438622463, 0.7422493226,
       1.5071068020},
      {0, 0.3183098862, 0.4937310902, 0.6048257201, 0.7359463506, 0.3183098862, 0.6857086363, 1.0603881068,
       1.7921959668},
      {0.25, 0.4533098778, 0.5782676886, 0.6623232595, 0.7668291407, 0.5984175337, 0.9670936083, 1.3356825636,
       2.0519562435},
      {0.5, 0.6089977810, 0.6839056509, 0.7381281923, 0.8104542010, 0.9423311144, 1.3514795611, 1.7378446792,
       2.4628931325},
      {0.9, 0.9095383988, 0.9177411442, 0.9248508954, 0.9365084202, 1.6803287350, 2.3688136627, 2.9856931874,
       4.0608947406},
      {0.99, 0.9903002557, 0.9905870861, 0.9908612844, 0.9913746720, 1.9356973762, 2.8403960846, 3.7071071967,
       5.3373228045},
      {1, 1, 1, 1, 1, 2, 3, 4, 6}};
  for (size_t n = 0; n < sizeof rows / sizeof *rows; n++) {
    const double r = rows[n][0], x[] = {1, 0}, z[] = {r, sqrt((1 - r) * (1 + r))};
    for (int l = 0; l < 4; l++) BOTH_PRECISIONS(precision) {
        char text[16];
        snprintf(text, sizeof text, "fc-%d", hidden[l]);
        const double gp = 2 * value(text, (ntk_shape){2, 0, 0}, NTK_KERNEL_NNGP, precision, x, z);
        const double ntk = 2 * value(text, (ntk_shape){2, 0, 0}, NTK_KERNEL_NTK, precision, x, z);
        cr_expect(fabs(gp - rows[n][1 + l]) < 1e-9, "Sigma_%d(%g) = %.12g", hidden[l], r, gp);
        cr_expect(fabs(ntk - rows[n][5 + l]) < 1e-9, "Theta_%d(%g) = %.12g", hidden[l], r, ntk);
      }
  }
}

Test(check_values, connected_conventions) {
  static const double fixed[] = {1.5268109166, 1.4572882384, 1.2263405770, 0.7650996689};
  static const double gp[] = {0.4548006483, 0.6626114662, 0.8616519787};
  static const double ntk[] = {0.5928346434, 1.0959863426, 1.7219398749};
  char text[128];
  BOTH_PRECISIONS(precision) {
    for (int j = 0; j < 4; j++) { /* arXiv:1910.01663: c_s = 1, so 2^-3 of Theta */
      snprintf(text, sizeof text, "uci-3-%d", j);
      expect(text, precision, 8 * value(text, vector3, NTK_KERNEL_NTK, precision, fc_x, fc_z), fixed[j], 10);
      expect(text, precision, 8 * value(text, vector3, NTK_KERNEL_NTK, precision, fc_x, fc_x), (4 - j) * 1.34, 13);
    }
    expect("fc-3", precision, 3 * value("fc-3", vector3, NTK_KERNEL_NTK, precision, fc_x, fc_z), fixed[0], 11);
    expect("fc-3", precision, 3 * value("fc-3", vector3, NTK_KERNEL_NNGP, precision, fc_x, fc_z), fixed[3], 10);
    for (int l = 1; l <= 3; l++) {
      snprintf(text, sizeof text, "%d*(dense(W=1.5, b=0.1) relu(c=1)) dense(W=1.5, b=0.1)", l);
      expect(text, precision, value(text, vector3, NTK_KERNEL_NNGP, precision, fc_x, fc_z), gp[l - 1], 10);
      expect(text, precision, value(text, vector3, NTK_KERNEL_NTK, precision, fc_x, fc_z), ntk[l - 1], 10);
    }
    snprintf(text, sizeof text, "3*(dense(W=%.17g) relu(c=1)) dense(W=%.17g)", sqrt(2), sqrt(2));
    expect(text, precision, value(text, vector3, NTK_KERNEL_NTK, precision, fc_x, fc_z), 1.5268109166 * 2 / 3, 10);
  }
}
