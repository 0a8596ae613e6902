/* The oracle against published and hand-derived numbers: the proof that the yardstick of the kernel tests is straight.
 */
#include <criterion/criterion.h>
#include <math.h>

#include "tests/oracle.h"

enum { MAX_LAYERS = 32, MAX_VALUES = 3 * 8 * 8 };

/* Agreement with a number printed to `digits` significant digits. */
static void expect(const char *what, long double got, double want, int digits) {
  const double unit = want == 0 ? 1e-12 : pow(10, floor(log10(fabs(want))) + 1 - digits);
  cr_expect(fabsl(got - (long double)want) <= 0.51L * unit, "%s: %.12Lg, expected %.12g", what, got, want);
}

typedef struct kernels {
  long double gp, all, fixed; /* NNGP, NTK with all layers trained, NTK with first and last layer fixed */
} kernels;

/* `depth - 1` times (conv3 relu), then the readout and a dense layer, in Arora's normalisation: generic values by
 * scale. */
static kernels arora(int depth, oracle_padding padding, oracle_layer readout, double gamma, const double *x,
                     const double *z, int c, int h, int w, double scale) {
  oracle_layer net[MAX_LAYERS];
  size_t count = 0;
  for (int n = 0; n < depth - 1; n++) {
    net[count] = oracle_conv(3);
    net[count].padding = padding;
    net[count++].bias_std = gamma / sqrt(9.0 * c);
    net[count++] = oracle_relu();
  }
  net[count++] = readout;
  net[count++] = oracle_dense();
  kernels k;
  oracle_kernel(net, count, x, z, c, h, w, &k.all, &k.gp);
  net[0].trained = net[count - 1].trained = false;
  oracle_kernel(net, count, x, z, c, h, w, &k.fixed, &k.gp);
  k.gp *= scale;
  k.all *= scale;
  k.fixed *= scale;
  return k;
}

Test(oracle, images_have_the_stated_sums) {
  double x[MAX_VALUES], z[MAX_VALUES];
  const struct {
    int c, h, w;
    double sum, squares, products;
  } cases[] = {{2, 4, 5, 2.3371108686, 20.5547087247, 6.8067307779},
               {3, 8, 8, 9.4523109042, 99.1722740778, 8.2638837124}};
  for (size_t n = 0; n < 2; n++) {
    oracle_image(0, cases[n].c, cases[n].h, cases[n].w, x);
    oracle_image(1, cases[n].c, cases[n].h, cases[n].w, z);
    long double sum = 0, squares = 0, products = 0;
    for (int i = 0; i < cases[n].c * cases[n].h * cases[n].w; i++) {
      sum += x[i];
      squares += (long double)x[i] * x[i];
      products += (long double)x[i] * z[i];
    }
    expect("sum x", sum, cases[n].sum, 11);
    expect("sum x^2", squares, cases[n].squares, 12);
    expect("sum xz", products, cases[n].products, 11);
  }
}

/* 4 x 5 x 2 images, pair (x, z): traces and means by depth. */
Test(oracle, plain_networks_in_the_published_normalisation) {
  const struct {
    oracle_padding padding;
    int depth;
    double gp_tr, gp_mean, all_tr, all_mean, fixed_tr, fixed_mean;
  } rows[] = {
      {ORACLE_ZERO, 2, 6.96796012, 0.243521918, 9.62781568, 0.283265452, 0, 0},
      {ORACLE_ZERO, 3, 6.64443598, 0.251930553, 11.52853219, 0.362450251, 3.54873764, 0.0893801481},
      {ORACLE_ZERO, 4, 5.90963829, 0.221491582, 12.27230871, 0.369428663, 5.63108590, 0.136729183},
      {ORACLE_CIRCULAR, 2, 10.22013131, 0.346888116, 14.44185538, 0.398238370, 0, 0},
      {ORACLE_CIRCULAR, 3, 12.38936708, 0.519137167, 22.05881398, 0.782733217, 6.84000762, 0.222458898},
      {ORACLE_CIRCULAR, 4, 13.88420648, 0.626906389, 29.54516748, 1.167061651, 13.65159526, 0.508077161},
  };
  double x[MAX_VALUES], z[MAX_VALUES];
  oracle_image(0, 2, 4, 5, x);
  oracle_image(1, 2, 4, 5, z);
  for (size_t n = 0; n < sizeof rows / sizeof *rows; n++) {
    const kernels tr = arora(rows[n].depth, rows[n].padding, oracle_flatten(), 0, x, z, 2, 4, 5, 2 * 20);
    const kernels mean = arora(rows[n].depth, rows[n].padding, oracle_gap(), 0, x, z, 2, 4, 5, 2);
    expect("GP trace", tr.gp, rows[n].gp_tr, 9);
    expect("GP mean", mean.gp, rows[n].gp_mean, 9);
    expect("CNTK trace", tr.all, rows[n].all_tr, 9);
    expect("CNTK mean", mean.all, rows[n].all_mean, 9);
    expect("fixed trace", tr.fixed, rows[n].fixed_tr, 9);
    expect("fixed mean", mean.fixed, rows[n].fixed_mean, 9);
  }
}

static oracle_layer lap(int c, bool circular) {
  oracle_layer layer = oracle_lap(c);
  layer.pool_circular = circular;
  return layer;
}

Test(oracle, local_average_pooling) {
  double x[MAX_VALUES], z[MAX_VALUES];
  oracle_image(0, 2, 4, 5, x);
  oracle_image(1, 2, 4, 5, z);
  const kernels zero = arora(3, ORACLE_ZERO, lap(1, false), 0, x, z, 2, 4, 5, 40);
  expect("zero GP", zero.gp, 3.47700804, 9);
  expect("zero CNTK", zero.all, 5.46654169, 9);
  expect("zero fixed", zero.fixed, 1.50625681, 9);
  const kernels circular = arora(3, ORACLE_CIRCULAR, lap(1, true), 0, x, z, 2, 4, 5, 40);
  expect("circular GP", circular.gp, 10.68724079, 10);
  expect("circular CNTK", circular.all, 16.6562468772, 12);

  const int pools[] = {0, 1, 2, 3, 7};
  const double gp[] = {12.54816716, 9.805032978, 7.289171359, 5.216042290, 0.9128576290};
  const double ntk[] = {19.14476451, 15.14716971, 10.99085771, 7.819993172, 1.342208995};
  oracle_image(0, 3, 8, 8, x);
  oracle_image(1, 3, 8, 8, z);
  for (int n = 0; n < 5; n++) {
    const kernels k = arora(3, ORACLE_ZERO, lap(pools[n], false), 0, x, z, 3, 8, 8, 64);
    expect("LAP GP", k.gp, gp[n], 10);
    expect("LAP CNTK", k.all, ntk[n], 10);
  }
  /* every pixel in every window: a multiple of the mean over all */
  const kernels gap = arora(3, ORACLE_ZERO, oracle_gap(), 0, x, z, 3, 8, 8, 64);
  expect("LAP 7 from GAP", gap.all * 64 * 64 / powl(15, 4), 1.342208995, 10);
}

/* --- circular networks: pooling is an average over translations --- */

static void translate(const double *x, int c, int h, int w, int u, int v, double *out) {
  for (int m = 0; m < c; m++)
    for (int i = 0; i < h; i++)
      for (int j = 0; j < w; j++) out[(m * h + i) * w + j] = x[(m * h + (i + u + h) % h) * w + (j + v + w) % w];
}

static long double vanilla(const double *x, const double *z) {
  return arora(3, ORACLE_CIRCULAR, oracle_flatten(), 0, x, z, 2, 4, 4, 32).all;
}

Test(oracle, pooling_averages_over_translations) {
  double x[MAX_VALUES], z[MAX_VALUES], tx[MAX_VALUES], tz[MAX_VALUES];
  oracle_image(0, 2, 4, 4, x);
  oracle_image(1, 2, 4, 4, z);
  expect("LAP 1", arora(3, ORACLE_CIRCULAR, lap(1, true), 0, x, z, 2, 4, 4, 32).all, 12.1632618268, 12);
  expect("LAP 2", arora(3, ORACLE_CIRCULAR, lap(2, true), 0, x, z, 2, 4, 4, 32).all, 12.0108394890, 12);
  expect("GAP", arora(3, ORACLE_CIRCULAR, oracle_gap(), 0, x, z, 2, 4, 4, 32).all, 11.9347684433, 12);
  long double all = 0, near = 0;
  for (int u = 0; u < 4; u++)
    for (int v = 0; v < 4; v++) {
      translate(x, 2, 4, 4, u, v, tx);
      all += vanilla(tx, z) / 16;
    }
  expect("average over 16 translations", all, 11.9347684433, 12);
  for (int u = -1; u <= 1; u++)
    for (int v = -1; v <= 1; v++)
      for (int s = -1; s <= 1; s++)
        for (int t = -1; t <= 1; t++) {
          translate(x, 2, 4, 4, u, v, tx);
          translate(z, 2, 4, 4, s, t, tz);
          near += vanilla(tx, tz) / 81;
        }
  expect("average over translations by at most 1", near, 12.1632618268, 12);
}

Test(oracle, equal_images) {
  double x[MAX_VALUES], copy[MAX_VALUES];
  const double zero[] = {14.32787067, 11.08523396, 8.71415245};
  oracle_image(0, 2, 4, 5, x);
  oracle_image(0, 2, 4, 5, copy); /* equal values at another address count as the same image */
  for (int depth = 2; depth <= 4; depth++) {
    const kernels a = arora(depth, ORACLE_ZERO, oracle_flatten(), 0, x, copy, 2, 4, 5, 40);
    const kernels b = arora(depth, ORACLE_CIRCULAR, oracle_flatten(), 0, x, x, 2, 4, 5, 40);
    expect("zero", a.gp, zero[depth - 2], depth < 4 ? 10 : 9);
    expect("circular", b.gp, 20.55470872, 10);
    cr_assert(fabsl(a.all - depth * a.gp) < 1e-15L * a.all && fabsl(b.all - depth * b.gp) < 1e-15L * b.all);
    cr_assert(fabsl(a.fixed - (depth - 2) * a.gp) < 1e-15L * a.all);
    cr_assert(fabsl(b.fixed - (depth - 2) * b.gp) < 1e-15L * b.all);
  }
  const kernels mean = arora(3, ORACLE_ZERO, oracle_gap(), 0, x, x, 2, 4, 5, 2);
  expect("GP mean", mean.gp, 0.25392866, 8);
  expect("CNTK mean", mean.all, 0.38313464, 8);
  expect("fixed mean", mean.fixed, 0.09676445, 7);
}

/* --- composed networks, generic normalisation, 8 x 8 x 3 --- */

static void expect_composed(const char *name, const oracle_layer *layers, size_t count, const double *want) {
  double x[MAX_VALUES], z[MAX_VALUES];
  oracle_layer net[MAX_LAYERS];
  long double ntk[2], nngp[2];
  oracle_image(0, 3, 8, 8, x);
  oracle_image(1, 3, 8, 8, z);
  for (size_t n = 0; n < count; n++) net[n] = layers[n];
  net[count + 1] = oracle_dense();
  for (int gap = 0; gap < 2; gap++) {
    net[count] = gap ? oracle_gap() : oracle_flatten();
    oracle_kernel(net, count + 2, x, z, 3, 8, 8, &ntk[gap], &nngp[gap]);
  }
  const long double got[] = {nngp[0], nngp[1], ntk[0], ntk[1]};
  for (int n = 0; n < 4; n++) {
    cr_expect(fabsl(got[n] - (long double)want[n]) < 0.51e-10L, "%s, column %d: %.12Lg, expected %.10f", name, n + 1,
              got[n], want[n]);
  }
}

#define EXPECT_COMPOSED(name, layers, ...) \
  expect_composed(name, layers, sizeof(layers) / sizeof *(layers), (const double[]){__VA_ARGS__})

static oracle_layer conv(int filter, int stride, oracle_padding padding) {
  oracle_layer layer = oracle_conv(filter);
  layer.stride = stride;
  layer.padding = padding;
  return layer;
}

Test(oracle, strides_and_pooling) {
  const oracle_layer c = conv(3, 1, ORACLE_ZERO), c2 = conv(3, 2, ORACLE_ZERO), o = conv(3, 1, ORACLE_CIRCULAR);
  const oracle_layer c5 = conv(5, 1, ORACLE_ZERO), r = oracle_relu(), p = oracle_avgpool(2);
  const oracle_layer two[] = {c, r, c, r}, stride[] = {c, r, c2, r, c, r}, myrtle[] = {c, r, c, r, p, c, r, p, c, r};
  const oracle_layer circular[] = {o, r, o, r, o, r}, five[] = {c5, r, c5, r};
  EXPECT_COMPOSED("two layers", two, 0.1960651119, 0.1762901972, 0.2991369454, 0.2592061248);
  EXPECT_COMPOSED("stride 2", stride, 0.1735478450, 0.1385988608, 0.3207915015, 0.2212499482);
  EXPECT_COMPOSED("pooling", myrtle, 0.0551763996, 0.0357014217, 0.1606068314, 0.0796377631);
  EXPECT_COMPOSED("circular", circular, 0.3153360891, 0.3119624705, 0.5836009211, 0.5750486899);
  EXPECT_COMPOSED("5x5", five, 0.1490743320, 0.1258274775, 0.2248351506, 0.1749324388);
}

Test(oracle, residual_sums) {
  const oracle_layer c = conv(3, 1, ORACLE_ZERO), c2 = conv(3, 2, ORACLE_ZERO), r = oracle_relu();
  const oracle_layer block[] = {r, c, r, c}, project[] = {conv(1, 2, ORACLE_ZERO)}, down[] = {c2, r, c};
  const oracle_branch identity[] = {{NULL, 0}, {block, 4}}, smaller[] = {{project, 1}, {down, 3}};
  const oracle_layer plain[] = {c, oracle_sum(identity, 2), r, c, r};
  const oracle_layer strided[] = {c, r, oracle_sum(smaller, 2), r, c, r};
  EXPECT_COMPOSED("identity", plain, 0.4007643598, 0.3469627635, 0.7292604823, 0.5833996771);
  EXPECT_COMPOSED("down", strided, 0.3354339988, 0.2657026334, 0.6623204648, 0.4459743763);
}

Test(oracle, bias_of_the_convolutions) {
  double x[MAX_VALUES], z[MAX_VALUES];
  const double want[2][4] = {{0.5288705917, 0.7776183745, 37.64450148, 57.43429352},
                             {2.1288552996, 3.9449434724, 147.3069497, 285.6701991}};
  oracle_image(0, 3, 8, 8, x);
  oracle_image(1, 3, 8, 8, z);
  for (int n = 0; n < 2; n++) {
    const kernels mean = arora(3, ORACLE_ZERO, oracle_gap(), 3.0 * n, x, z, 3, 8, 8, 3);
    const kernels tr = arora(3, ORACLE_ZERO, oracle_flatten(), 3.0 * n, x, z, 3, 8, 8, 3 * 64);
    expect("GP mean", mean.gp, want[n][0], n ? 11 : 10);
    expect("CNTK mean", mean.all, want[n][1], n ? 11 : 10);
    expect("GP trace", tr.gp, want[n][2], 10);
    expect("CNTK trace", tr.all, want[n][3], 10);
  }
}

Test(oracle, mirrored_images) {
  double x[MAX_VALUES], z[MAX_VALUES], fx[MAX_VALUES], fz[MAX_VALUES];
  oracle_image(0, 3, 8, 8, x);
  oracle_image(1, 3, 8, 8, z);
  for (int n = 0; n < 3 * 8; n++)
    for (int j = 0; j < 8; j++) {
      fx[n * 8 + j] = x[n * 8 + 7 - j];
      fz[n * 8 + j] = z[n * 8 + 7 - j];
    }
  const oracle_layer gap = oracle_gap();
  expect("FxFz", arora(3, ORACLE_ZERO, gap, 0, fx, fz, 3, 8, 8, 3).all, 0.7776183745, 10);
  expect("Fxz", arora(3, ORACLE_ZERO, gap, 0, fx, z, 3, 8, 8, 3).all, 0.7306233855, 10);
  expect("xFz", arora(3, ORACLE_ZERO, gap, 0, x, fz, 3, 8, 8, 3).all, 0.7306233855, 10);
}

/* --- fully connected networks --- */

/* `hidden` times (dense relu), then dense; the first `fixed` dense layers are not trained. */
static kernels connected(int hidden, int fixed, double weight, double bias, double factor, const double *x,
                         const double *z, int d) {
  oracle_layer net[MAX_LAYERS];
  size_t count = 0;
  for (int n = 0; n <= hidden; n++) {
    net[count] = oracle_dense();
    net[count].weight_std = weight;
    net[count].bias_std = bias;
    net[count++].trained = n >= fixed;
    if (n == hidden) break;
    net[count] = oracle_relu();
    net[count++].factor = factor;
  }
  kernels k = {0};
  oracle_kernel(net, count, x, z, d, 0, 0, &k.all, &k.gp);
  return k;
}

Test(oracle, fully_connected_table) {
  const int hidden[] = {1, 2, 3, 5};
  const double rows[][9] = {
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
    const double r = rows[n][0], x[] = {1, 0}, z[] = {r, sqrt(1 - r * r)};
    for (int l = 0; l < 4; l++) {
      const kernels k = connected(hidden[l], 0, 1, 0, 2, x, z, 2);
      cr_expect(fabsl(2 * k.gp - (long double)rows[n][1 + l]) < 1e-9L, "Sigma_%d(%g) = %.12Lg", hidden[l], r, 2 * k.gp);
      cr_expect(fabsl(2 * k.all - (long double)rows[n][5 + l]) < 1e-9L, "Theta_%d(%g) = %.12Lg", hidden[l], r,
                2 * k.all);
    }
  }
}

Test(oracle, fully_connected_conventions) {
  const double x[] = {1, 0.3, -0.5}, z[] = {0.2, 0.9, 0.4};
  const double fixed[] = {1.5268109166, 1.4572882384, 1.2263405770, 0.7650996689};
  for (int j = 0; j < 4; j++) {
    expect("first layers fixed", 3 * connected(3, j, 1, 0, 2, x, z, 3).all, fixed[j], j < 3 ? 11 : 10);
    expect("UCI convention", 3 * connected(3, j, 1, 0, 1, x, z, 3).all, fixed[j] / 8, 9);
    /* the kernel of a point with itself: (L + 1 - j) |x|^2 */
    const long double self = 3 * connected(3, j, 1, 0, 2, x, x, 3).all;
    cr_assert(fabsl(self - (4 - j) * 1.34L) < 1e-15L, "%.18Lg", self);
  }
  expect("Sigma_3", 3 * connected(3, 0, 1, 0, 2, x, z, 3).gp, 0.7650996689, 10);
  const double gp[] = {0.4548006483, 0.6626114662, 0.8616519787}, ntk[] = {0.5928346434, 1.0959863426, 1.7219398749};
  for (int l = 1; l <= 3; l++) {
    const kernels k = connected(l, 0, 1.5, 0.1, 1, x, z, 3);
    expect("NNGP with bias", k.gp, gp[l - 1], 10);
    expect("NTK with bias", k.all, ntk[l - 1], l == 1 ? 10 : 11);
  }
  expect("W_std = sqrt(2)", connected(3, 0, sqrt(2), 0, 1, x, z, 3).all, 1.5268109166 * 2 / 3, 10);
}

/* A 1 x 1 image is a vector; images constant in space under circular padding behave as their channel vectors. */
Test(oracle, limits) {
  const double x[] = {1, 0.3, -0.5}, z[] = {0.2, 0.9, 0.4};
  double wide_x[27], wide_z[27];
  for (int c = 0; c < 3; c++)
    for (int p = 0; p < 9; p++) {
      wide_x[c * 9 + p] = x[c];
      wide_z[c * 9 + p] = z[c];
    }
  const kernels fc = connected(2, 0, 1, 0, 2, x, z, 3);
  const oracle_layer one[] = {oracle_conv(1), oracle_relu(), oracle_conv(1),
                              oracle_relu(),  oracle_gap(),  oracle_dense()};
  long double ntk, nngp;
  oracle_kernel(one, 6, x, z, 3, 1, 1, &ntk, &nngp);
  cr_assert(fabsl(ntk - fc.all) < 1e-17L && fabsl(nngp - fc.gp) < 1e-17L);
  for (int gap = 0; gap < 2; gap++) {
    const oracle_layer head = gap ? oracle_gap() : oracle_flatten();
    const kernels k = arora(3, ORACLE_CIRCULAR, head, 0, wide_x, wide_z, 3, 3, 3, 1);
    cr_assert(fabsl(k.all - fc.all) < 1e-17L && fabsl(k.gp - fc.gp) < 1e-17L);
  }
}

Test(oracle, pixels_without_variance) {
  double x[MAX_VALUES], z[MAX_VALUES] = {0};
  oracle_image(0, 2, 4, 5, x);
  const kernels none = arora(3, ORACLE_ZERO, oracle_gap(), 0, x, z, 2, 4, 5, 1);
  cr_assert(none.all == 0 && none.gp == 0 && none.fixed == 0);
  for (int n = 0; n < 10; n++) x[n] = x[20 + n] = 0; /* the upper half is black in both channels */
  const kernels half = arora(3, ORACLE_ZERO, oracle_flatten(), 0, x, x, 2, 4, 5, 1);
  cr_assert(isfinite((double)half.all) && half.all > 0 && fabsl(half.all - 3 * half.gp) < 1e-15L);
}
