/* What feature maps are made of: random numbers, sketches of products, directions, polynomials. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/backend/backend.h"
#include "host/features/features.h"
#include "host/features/polynomial.h"
#include "kernels/random.h"
#include "tests/support_kernel.h"

static const ntk_feature_ops *ops(void) { return ntk_backend_find("auto")->features; }

static double dot(const float *a, const float *b, int n) {
  double sum = 0;
  for (int i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
  return sum;
}

/* Gaussian rows; the second of each pair correlates with the first. */
static void fill_rows(uint64_t seed, float *x, float *z, int n) {
  ntk_test_random random = {seed};
  for (int i = 0; i < n; i++) {
    x[i] = (float)ntk_test_gaussian(&random);
    z[i] = 0.6f * x[i] + 0.8f * (float)ntk_test_gaussian(&random);
  }
}

/* Owns what is drawn; a new one draws the same. */
static ntk_features *new_map(uint64_t seed, ntk_sketch sketch) {
  ntk_features *f = calloc(1, sizeof *f);
  cr_assert(f);
  pthread_mutex_init(&f->lock, NULL);
  f->options.seed = seed, f->options.sketch = sketch;
  return f;
}

/* ---- random numbers */

/* The known answers of Random123's own test (kat_vectors, philox 4x32 of 10 rounds). */
Test(features, philox) {
  const ntk_random_words zero = ntk_random_block(0, 0, 0);
  const uint32_t want[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
  for (int k = 0; k < 4; k++) cr_expect_eq(zero.word[k], want[k]);
}

Test(features, normal_numbers) {
  enum { BLOCKS = 250000 };
  double moment[5] = {0}, products = 0;
  for (uint64_t b = 0; b < BLOCKS; b++) {
    float z[4];
    ntk_random_normals(7, 3, b, z);
    for (int k = 0; k < 4; k++)
      for (int m = 1; m < 5; m++) moment[m] += pow((double)z[k], m) / (4.0 * BLOCKS);
    products += (double)z[0] * (double)z[1] / BLOCKS + (double)z[0] * (double)z[2] / BLOCKS;
  }
  const double n = 4.0 * BLOCKS; /* four standard errors of each */
  cr_expect(fabs(moment[1]) < 4 / sqrt(n) && fabs(moment[2] - 1) < 4 * sqrt(2 / n));
  cr_expect(fabs(moment[3]) < 4 * sqrt(15 / n) && fabs(moment[4] - 3) < 4 * sqrt(96 / n));
  cr_expect(fabs(products) < 4 * sqrt(2.0 / BLOCKS));
}

Test(features, samples_are_fair) {
  ntk_features *f = new_map(5, NTK_SKETCH_SRHT);
  int32_t *s = ntk_draw_samples(f, 1000, 64);
  int count[64] = {0}, in_place = 0;
  for (int k = 0; k < 1000; k++) count[s[k]]++, in_place += s[k] == k % 64;
  for (int i = 0; i < 64; i++) cr_expect(count[i] == 15 || count[i] == 16, "%d times", count[i]);
  cr_expect(in_place < 50, "a permutation that moves nothing");
  int8_t *signs = ntk_draw_signs(f, 10000);
  int sum = 0;
  for (int k = 0; k < 10000; k++) sum += signs[k];
  cr_expect(abs(sum) < 400);
  ntk_features_free(f);
}

/* ---- sketches of products */

/* With every pair of coordinates exactly once the product is exact, whatever the signs. */
static void check_enumeration(ntk_sketch kind, int dim_x, int dim_y) {
  ntk_features *f = new_map(11, kind);
  ntk_product p;
  cr_assert_eq(ntk_product_make(f, dim_x, dim_y, 64, &p), NTK_OK);
  const int pairs = p.x.size * p.y.size, dim = kind == NTK_SKETCH_FOURIER ? 2 * pairs : pairs;
  int32_t *ix = calloc((size_t)pairs, sizeof *ix), *iy = calloc((size_t)pairs, sizeof *iy);
  for (int k = 0; k < pairs; k++) ix[k] = k % p.x.size, iy[k] = k / p.x.size;
  p.index_x = ix, p.index_y = iy, p.blocks = NULL, p.dim = dim, p.scale = 1 / sqrtf((float)pairs);
  float x[32], z[32], y[32], w[32], *a = calloc((size_t)dim, sizeof *a), *b = calloc((size_t)dim, sizeof *b);
  float *work = aligned_alloc(64, (ntk_product_work(&p) + 16) / 16 * 64);
  ntk_product_fft *fft;
  cr_assert(a && b && work && ntk_product_fft_create(&p, &fft) == NTK_OK);
  fill_rows(1, x, z, dim_x), fill_rows(2, y, w, dim_y);
  ntk_product_row(&p, ops(), fft, x, y, work, a);
  ntk_product_row(&p, ops(), fft, z, w, work, b);
  const double want = dot(x, z, dim_x) * dot(y, w, dim_y);
  cr_expect(fabs(dot(a, b, dim) - want) < 2e-5 * fabs(want), "%g instead of %g", dot(a, b, dim), want);
  ntk_product_fft_free(fft);
  free(ix), free(iy), free(a), free(b), free(work);
  ntk_features_free(f);
}

Test(features, products_enumerated) {
  check_enumeration(NTK_SKETCH_SRHT, 7, 5);
  check_enumeration(NTK_SKETCH_SRHT, 20, 16);
  check_enumeration(NTK_SKETCH_FOURIER, 7, 5);
  check_enumeration(NTK_SKETCH_FOURIER, 12, 17);
}

typedef struct statistics {
  double mean, deviation, error; /* of one draw; the standard error of the mean */
} statistics;

static statistics summarise(double sum, double squares, int draws) {
  const double mean = sum / draws, variance = fmax(0, squares / draws - mean * mean);
  return (statistics){mean, sqrt(variance), sqrt(variance / draws)};
}

static statistics sample_product(ntk_sketch kind, int dim_x, int dim_y, int dim, int draws, double *want) {
  float x[32], z[32], y[32], w[32], a[64], b[64];
  double sum = 0, squares = 0;
  fill_rows(3, x, z, dim_x), fill_rows(4, y, w, dim_y);
  *want = dot(x, z, dim_x) * dot(y, w, dim_y);
  for (int k = 0; k < draws; k++) {
    ntk_features *f = new_map((uint64_t)k, kind);
    ntk_product p;
    ntk_product_fft *fft;
    float work[1024] __attribute__((aligned(64)));
    cr_assert_eq(ntk_product_make(f, dim_x, dim_y, dim, &p), NTK_OK);
    cr_assert(ntk_product_work(&p) <= 1024 && ntk_product_fft_create(&p, &fft) == NTK_OK);
    ntk_product_row(&p, ops(), fft, x, y, work, a);
    ntk_product_row(&p, ops(), fft, z, w, work, b);
    const double value = dot(a, b, dim);
    sum += value, squares += value * value;
    ntk_product_fft_free(fft);
    ntk_features_free(f);
  }
  return summarise(sum, squares, draws);
}

Test(features, products_unbiased) {
  for (int kind = NTK_SKETCH_SRHT; kind <= NTK_SKETCH_COUNT; kind++)
    for (int large = 0; large < 2; large++) {
      double want;
      const statistics s =
          sample_product((ntk_sketch)kind, large ? 20 : 3, large ? 17 : 5, large ? 40 : 6, 100000, &want);
      cr_expect(fabs(s.mean - want) < 4 * s.error, "sketch %d: mean %g +- %g instead of %g", kind, s.mean, s.error,
                want);
      /* a sketch of full rank would have |x||z||y||w| / sqrt(dim): allow twice the constant of independent samples */
      cr_expect(s.deviation < 6 * fabs(want), "sketch %d: deviation %g", kind, s.deviation);
    }
}

/* ---- transforms */

Test(features, hadamard_transforms) {
  for (const char *const *isa = ntk_test_isas; *isa; isa++) {
    const ntk_backend *backend = ntk_backend_find(*isa);
    if (!backend || !ntk_backend_runs(backend)) continue;
    for (int size = 1; size <= 2048; size *= 2) {
      const int dim = size > 3 ? size - size / 3 : size;
      float in[2048], work[2048] __attribute__((aligned(64)));
      int8_t sign[2048];
      ntk_test_random random = {9};
      for (int i = 0; i < dim; i++)
        in[i] = (float)ntk_test_gaussian(&random), sign[i] = ntk_test_below(&random, 2) ? 1 : -1;
      const ntk_feature_hadamard h = {dim, size, sign};
      backend->features->hadamard(&h, in, work);
      for (int k = 0; k<size; k += size> 64 ? 37 : 1) {
        double want = 0;
        for (int i = 0; i < dim; i++)
          want += (__builtin_popcount((unsigned)(i & k)) % 2 ? -1.0 : 1.0) * sign[i] * (double)in[i];
        cr_expect(fabs((double)work[k] - want) < 1e-5 * sqrt(size) * 4, "%s, size %d, coordinate %d", *isa, size, k);
      }
    }
  }
}

/* ---- polynomials */

static double arccosine(const void *order, double r) {
  if (*(const int *)order == 0) return 1 - acos(r) / M_PI;
  return (sqrt((1 - r) * (1 + r)) + r * (M_PI - acos(r))) / M_PI;
}

/* The normalised NTK of L hidden layers (arXiv:1904.11955, sections 3 and 4). */
static double tangent(const void *layers, double r) {
  const int zero = 0, one = 1;
  double t = r;
  for (int l = 0; l < *(const int *)layers; l++) {
    const double slope = arccosine(&zero, fmax(-1, fmin(1, r)));
    r = arccosine(&one, fmax(-1, fmin(1, r)));
    t = t * slope + r;
  }
  return t;
}

/* Errors of the best fits to two digits, as published in the specification of this field's sketches. */
static void check_fit(ntk_cosine_function k, int parameter, int degree, double largest, double mean) {
  double c[NTK_MOST_DEGREE + 1], worst = 0, squares = 0;
  cr_assert_eq(ntk_polynomial_fit(k, &parameter, degree, c), NTK_OK);
  for (int i = 0; i <= 2000; i++) {
    const double r = -1 + i / 1000.0;
    double value = 0;
    for (int l = degree; l >= 0; l--) value = value * r + c[l];
    worst = fmax(worst, fabs(value - k(&parameter, r)));
    squares += pow(value - k(&parameter, r), 2) / 2001;
  }
  for (int l = 0; l <= degree; l++) cr_expect(c[l] >= 0);
  cr_expect(fabs(worst / largest - 1) < 0.06, "degree %d: %g, not %g", degree, worst, largest);
  cr_expect(fabs(sqrt(squares) / mean - 1) < 0.06, "degree %d: rms %g, not %g", degree, sqrt(squares), mean);
}

Test(features, polynomial_fits) {
  check_fit(arccosine, 1, 2, 0.0078, 0.0020);
  check_fit(arccosine, 1, 4, 0.0019, 0.00035);
  check_fit(arccosine, 0, 2, 0.125, 0.022);
  check_fit(arccosine, 0, 4, 0.070, 0.0076);
  check_fit(arccosine, 0, 8, 0.043, 0.0031);
  check_fit(tangent, 1, 4, 0.062, 0.0061);
  check_fit(tangent, 2, 8, 0.13, 0.0063);
  check_fit(tangent, 3, 4, 0.41, 0.032);
  check_fit(tangent, 5, 16, 0.43, 0.016);
  double c[5];
  const int one = 1;
  cr_assert_eq(ntk_polynomial_fit(arccosine, &one, 4, c), NTK_OK);
  const double want[] = {0.3186, 0.5, 0.1538, 0, 0.0257};
  for (int l = 0; l < 5; l++) cr_expect(fabs(c[l] - want[l]) < 1e-4);
}

static double nothing(const void *user, double r) { return (void)user, (void)r, 0; }

/* Q_l alone: its mean is the l-th power of the cosine, for every l and so for every shape of the tree. */
Test(features, powers_unbiased) {
  enum { INPUTS = 6, DIM = 33, DRAWS = 5000, DEGREE = 7 };
  float x[INPUTS], z[INPUTS];
  fill_rows(8, x, z, INPUTS);
  const double length = sqrt(dot(x, x, INPUTS) * dot(z, z, INPUTS)), r = dot(x, z, INPUTS) / length;
  for (int power = 1; power <= DEGREE; power++) {
    double sum = 0, squares = 0;
    for (int k = 0; k < DRAWS; k++) {
      ntk_features *f = new_map((uint64_t)k, NTK_SKETCH_SRHT);
      ntk_polynomial *p;
      float a[DIM], b[DIM], work[2048] __attribute__((aligned(64)));
      cr_assert_eq(ntk_polynomial_make(f, nothing, NULL, power, INPUTS, DIM, &p), NTK_OK);
      cr_assert(ntk_polynomial_work(p) <= 2048);
      p->coefficients[power] = 1;
      ntk_polynomial_row(p, ops(), x, (float)(1 / sqrt(dot(x, x, INPUTS))), 1, work, a);
      ntk_polynomial_row(p, ops(), z, (float)(1 / sqrt(dot(z, z, INPUTS))), 1, work, b);
      const double value = dot(a, b, DIM);
      sum += value, squares += value * value;
      ntk_features_free(f);
    }
    const statistics s = summarise(sum, squares, DRAWS);
    cr_expect(fabs(s.mean - pow(r, power)) < 4.5 * s.error + 1e-6, "power %d: %g +- %g, not %g", power, s.mean, s.error,
              pow(r, power));
    cr_expect(s.deviation < 0.8, "power %d: deviation %g", power, s.deviation);
  }
}
