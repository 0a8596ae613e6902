/* Random patches against a plain implementation of docs/data.md: its own random numbers, moments, elimination, loops.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support_data.h"
#include "tests/support_gram.h"
#include "tests/support_kernel.h"

enum { CHANNELS = 2, HEIGHT = 6, WIDTH = 7, IMAGES = 9, MOST_PATCH = CHANNELS * 3 * 3 };
static const ntk_shape shape = {CHANNELS, HEIGHT, WIDTH};

typedef struct options {
  int count, size, sample, mirror;
  uint64_t seed;
  double eps, threshold;
} options;

/* ---- the oracle */

static uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static uint64_t below(uint64_t *state, uint64_t n) {
  for (;;) {
    const uint64_t value = mix(*state += 0x9e3779b97f4a7c15u);
    if (value >= (0 - n) % n) return value % n;
  }
}

static double pixel(const double *image, int c, int i, int j) { return image[(c * HEIGHT + i) * WIDTH + j]; }

/* Solves M x = b by Gauss-Jordan elimination with pivots; destroys M. */
static void eliminate(int n, double m[MOST_PATCH][MOST_PATCH], double *x) {
  for (int k = 0; k < n; k++) {
    int pivot = k;
    for (int i = k; i < n; i++)
      if (fabs(m[i][k]) > fabs(m[pivot][k])) pivot = i;
    for (int j = 0; j < n; j++) {
      const double swap = m[k][j];
      m[k][j] = m[pivot][j], m[pivot][j] = swap;
    }
    const double swap = x[k];
    x[k] = x[pivot], x[pivot] = swap;
    for (int i = 0; i < n; i++) {
      if (i == k) continue;
      const double factor = m[i][k] / m[k][k];
      for (int j = k; j < n; j++) m[i][j] -= factor * m[k][j];
      x[i] -= factor * x[k];
    }
  }
  for (int k = 0; k < n; k++) x[k] /= m[k][k];
}

/* filters[f][channel, row, column] */
static void draw_filters(const options *o, const double *images, double (*filters)[MOST_PATCH]) {
  const int n = CHANNELS * o->size * o->size, rows = HEIGHT - o->size + 1, columns = WIDTH - o->size + 1;
  double moments[MOST_PATCH][MOST_PATCH] = {{0}}, (*patches)[MOST_PATCH] = calloc((size_t)o->sample, sizeof *patches);
  uint64_t state = mix(o->seed + 0x9e3779b97f4a7c15u);
  for (int k = 0; k < o->sample; k++) {
    const int at = (int)below(&state, (uint64_t)(IMAGES * rows * columns));
    const double *image = images + at / (rows * columns) * CHANNELS * HEIGHT * WIDTH;
    double *p = patches[k], mean = 0, norm = 0;
    for (int i = 0; i < n; i++)
      p[i] = pixel(image, i / (o->size * o->size), at % (rows * columns) / columns + i / o->size % o->size,
                   at % columns + i % o->size);
    for (int i = 0; i < n; i++) mean += p[i] / n;
    for (int i = 0; i < n; i++) p[i] -= mean, norm += p[i] * p[i];
    norm = sqrt(norm) < 1e-8 ? 1 : sqrt(norm);
    for (int i = 0; i < n; i++) p[i] /= norm;
    for (int i = 0; i < n; i++)
      for (int j = 0; j < n; j++) moments[i][j] += p[i] * p[j] / o->sample;
  }
  for (int i = 0; i < n; i++) moments[i][i] += o->eps;
  for (int f = 0; f < o->count; f++) {
    double copy[MOST_PATCH][MOST_PATCH];
    memcpy(copy, moments, sizeof copy);
    memcpy(filters[f], patches[f], sizeof *filters);
    eliminate(n, copy, filters[f]);
    for (int i = 0; i < n; i++) filters[o->count + f][i] = filters[f][i - i % o->size + o->size - 1 - i % o->size];
  }
  free(patches);
}

/* All features of one image, in the order of the library's output. */
static void features(const options *o, const double *image, double (*filters)[MOST_PATCH], double *out) {
  const int rows = HEIGHT - o->size + 1, columns = WIDTH - o->size + 1, count = (o->mirror ? 2 : 1) * o->count;
  for (int f = 0; f < count; f++)
    for (int i = 0; i < rows; i++)
      for (int j = 0; j < columns; j++) {
        double sum = 0;
        for (int k = 0; k < CHANNELS * o->size * o->size; k++)
          sum += filters[f][k] * pixel(image, k / (o->size * o->size), i + k / o->size % o->size, j + k % o->size);
        out[(f * rows + i) * columns + j] = sum > o->threshold ? sum - o->threshold : 0;
        out[((count + f) * rows + i) * columns + j] = -sum > o->threshold ? -sum - o->threshold : 0;
      }
}

/* ---- */

static ntk_preprocess *fit(const char *text, const ntk_dataset *train) {
  ntk_preprocess *made = NULL;
  cr_assert_eq(ntk_preprocess_fit_text(text, train, &made), NTK_OK, "%s: %s", text, ntk_last_error());
  return made;
}

static void apply(ntk_dataset *dataset, const char *text) {
  ntk_preprocess *made = fit(text, dataset);
  cr_assert_eq(ntk_dataset_preprocess(dataset, made), NTK_OK, "%s", ntk_last_error());
  ntk_preprocess_free(made);
}

Test(patches, match_a_plain_implementation) {
  static const struct {
    const char *text, *before;
    options o;
  } cases[] = {
      {"patches(count=5,size=3,sample=200)", "none", {5, 3, 200, 1, 0, 1e-3, 1}},
      {"patches(count=4,size=2,sample=4,eps=0.5,seed=18446744073709551615)", "none", {4, 2, 4, 1, UINT64_MAX, 0.5, 1}},
      {"patches( count=3, size=1, threshold=0.25, nomirror, sample=50 )", "none", {3, 1, 50, 0, 0, 1e-3, 0.25}},
      {"patches(count=6,size=3,sample=60,seed=7,before=standard,threshold=0)", "standard", {6, 3, 60, 1, 7, 1e-3, 0}},
  };
  for (int k = 0; k < 4; k++) {
    const options *o = &cases[k].o;
    const int count = (o->mirror ? 4 : 2) * o->count, rows = HEIGHT - o->size + 1, columns = WIDTH - o->size + 1;
    const size_t size = (size_t)(count * rows * columns);
    ntk_dataset *data = ntk_test_dataset(1000, shape, IMAGES);
    ntk_preprocess *patches = fit(cases[k].text, data);
    apply(data, cases[k].before);
    double *images = ntk_test_records(data), filters[12][MOST_PATCH], *want = malloc(size * sizeof *want), scale = 0;
    draw_filters(o, images, filters);
    cr_assert_eq(ntk_dataset_preprocess(data, patches), NTK_OK, "%s", ntk_last_error());
    const ntk_shape got_shape = ntk_dataset_shape(data);
    cr_assert(got_shape.channels == count && got_shape.height == rows && got_shape.width == columns);
    double *got = ntk_test_records(data);
    for (int image = 0; image < IMAGES; image++) {
      features(o, images + image * CHANNELS * HEIGHT * WIDTH, filters, want);
      for (size_t i = 0; i < size; i++) scale = fmax(scale, want[i]);
      for (size_t i = 0; i < size; i++)
        cr_expect_float_eq(got[(size_t)image * size + i], want[i], 1e-10 * scale, "%d %d %zu", k, image, i);
    }
    cr_expect(scale > 0, "some responses are beyond the threshold");
    free(images), free(want), free(got);
    ntk_preprocess_free(patches);
    ntk_dataset_free(data);
  }
}

/* Values that every machine computes alike, and so filters, down to the last bit. */
Test(patches, the_filters_are_the_same_everywhere) {
  double values[IMAGES * CHANNELS * HEIGHT * WIDTH];
  for (int i = 0; i < IMAGES * CHANNELS * HEIGHT * WIDTH; i++) values[i] = (i * i * 37 + i * 11) % 257 / 256.0;
  ntk_dataset *data;
  cr_assert_eq(ntk_dataset_from_memory(values, NULL, IMAGES, shape, &data), NTK_OK);
  ntk_preprocess *one = fit("patches(count=20,size=3,sample=500,seed=3)", data);
  ntk_preprocess *two = fit("patches(seed=3,sample=500,count=20,size=3)", data);
  ntk_preprocess *three = fit("patches(seed=4,sample=500,count=20,size=3)", data);
  cr_expect_str_eq(ntk_preprocess_text(one), ntk_preprocess_text(two));
  const char *values_of = strstr(ntk_preprocess_text(one), " values=");
  cr_assert(values_of);
  cr_expect_str_eq(values_of, " values=e92e136abc4beceb25ce10cafbceb96a");
  cr_expect_eq(
      strncmp(ntk_preprocess_text(one),
              "patches(count=20,size=3,eps=0.001,seed=3,threshold=1,sample=500,before=none) shape=2x6x7 train=", 95),
      0, "%s", ntk_preprocess_text(one));
  cr_expect_str_neq(values_of, strstr(ntk_preprocess_text(three), " values="));
  ntk_preprocess_free(one);
  ntk_preprocess_free(two);
  ntk_preprocess_free(three);
  ntk_dataset_free(data);
}

Test(patches, records_do_not_depend_on_how_they_are_read) {
  ntk_dataset *data = ntk_test_dataset(1010, shape, IMAGES);
  apply(data, "patches(count=7,size=3,sample=100)");
  const size_t size = 28 * 4 * 5;
  double *all = ntk_test_records(data), *some = malloc(IMAGES * size * sizeof *some);
  for (int64_t first = 0; first < IMAGES; first++)
    for (int64_t count = 1; first + count <= IMAGES; count += 2) {
      cr_assert_eq(ntk_dataset_read(data, first, count, some), NTK_OK);
      cr_expect_eq(memcmp(some, all + (size_t)first * size, (size_t)count * size * sizeof *some), 0);
    }
  free(all), free(some);
  ntk_dataset_free(data);
}

static void mirror(const double *from, int planes, int width, double *to) {
  for (int i = 0; i < planes; i++)
    for (int j = 0; j < width; j++) to[i * width + j] = from[i * width + width - 1 - j];
}

/* Features of a mirrored image are the mirrored features, with every filter and its mirror image exchanged, so that no
 * kernel sees a mirror. Without the mirrored filters it does. */
Test(patches, a_mirrored_image_gives_mirrored_features) {
  enum { FILTERS = 6, OUT_WIDTH = WIDTH - 2, PLANE = (HEIGHT - 2) * OUT_WIDTH, IMAGE = CHANNELS * HEIGHT * WIDTH };
  ntk_dataset *data = ntk_test_dataset(1020, shape, IMAGES), *flipped;
  double *images = ntk_test_records(data), *mirrored = malloc(IMAGES * IMAGE * sizeof *mirrored);
  mirror(images, IMAGES * CHANNELS * HEIGHT, WIDTH, mirrored);
  cr_assert_eq(ntk_dataset_from_memory(mirrored, NULL, IMAGES, shape, &flipped), NTK_OK);
  for (int with = 0; with < 2; with++) {
    ntk_preprocess *p = fit(with ? "patches(count=6,size=3,sample=90,threshold=0.5)"
                                 : "patches(count=6,size=3,sample=90,threshold=0.5,nomirror)",
                            data);
    cr_assert_eq(ntk_dataset_preprocess(data, p), NTK_OK);
    cr_assert_eq(ntk_dataset_preprocess(flipped, p), NTK_OK);
    const ntk_shape out = ntk_dataset_shape(data);
    double *x = ntk_test_records(data), *fx = ntk_test_records(flipped), want[PLANE];
    for (int channel = 0; with && channel < 4 * FILTERS; channel++) {
      const int twin = channel % (2 * FILTERS) < FILTERS ? channel + FILTERS : channel - FILTERS;
      for (int image = 0; image < IMAGES; image++) {
        const int planes = 4 * FILTERS;
        mirror(x + (image * planes + twin) * PLANE, HEIGHT - 2, OUT_WIDTH, want);
        for (int i = 0; i < PLANE; i++) cr_expect_float_eq(fx[(image * planes + channel) * PLANE + i], want[i], 1e-9);
      }
    }
    ntk_plan *plan = ntk_test_plan("conv3(b=3) relu conv3 relu lap(1)", out, NTK_KERNEL_NTK, NTK_F64);
    double *k = ntk_test_block(NULL, plan, x, 3, NULL, 0), *fk = ntk_test_block(NULL, plan, fx, 3, NULL, 0), off = 0;
    for (int i = 0; i < 9; i++) off = fmax(off, fabs(fk[i] / k[i] - 1));
    cr_expect(with ? off < 1e-11 : off > 1e-6, "%g", off);
    free(x), free(fx), free(k), free(fk);
    ntk_plan_free(plan);
    ntk_preprocess_free(p);
  }
  free(images), free(mirrored);
  ntk_dataset_free(flipped);
  ntk_dataset_free(data);
}

Test(patches, a_stored_one_is_read_back_and_matrices_are_verified_with_it) {
  char *folder = ntk_test_folder();
  const char *file = ntk_test_text("%s/p.npy", folder), *path = ntk_test_text("%s/K.npy", folder);
  ntk_dataset *data = ntk_test_dataset_file(ntk_test_text("%s/x.npy", folder), 1030, shape, IMAGES);
  ntk_preprocess *p = fit("patches(count=8,size=3,sample=90)", data), *loaded;
  cr_assert_eq(ntk_preprocess_save(p, file), NTK_OK, "%s", ntk_last_error());
  ntk_npy_info info;
  cr_assert_eq(ntk_npy_stat(file, &info), NTK_OK);
  cr_expect(info.rank == 4 && info.shape[0] == 8 && info.shape[1] == CHANNELS && info.shape[2] == 3 &&
            info.shape[3] == 3);
  cr_assert_eq(ntk_preprocess_load(file, &loaded), NTK_OK, "%s", ntk_last_error());
  cr_expect_str_eq(ntk_preprocess_text(loaded), ntk_preprocess_text(p));
  cr_assert_eq(ntk_dataset_preprocess(data, p), NTK_OK);
  double *want = ntk_test_records(data);
  cr_assert_eq(ntk_dataset_preprocess(data, loaded), NTK_OK);
  double *got = ntk_test_records(data);
  cr_expect_eq(memcmp(got, want, IMAGES * 32 * 4 * 5 * sizeof *got), 0);
  for (int precision = NTK_F32; precision <= NTK_F64; precision++) {
    ntk_plan *plan =
        ntk_test_plan("2*(conv3 relu) gap", ntk_dataset_shape(data), NTK_KERNEL_NTK, (ntk_precision)precision);
    const ntk_gram_options gram = {.path = path, .overwrite = true};
    ntk_verify_report report;
    double *matrix = ntk_test_block(NULL, plan, want, IMAGES, NULL, 0);
    ntk_test_gram(NULL, plan, data, NULL, gram);
    ntk_test_expect_matrix(plan, path, 0, IMAGES, IMAGES, matrix);
    cr_assert_eq(ntk_gram_verify(NULL, path, 20, 1, &report), NTK_OK, "%s", ntk_last_error());
    cr_expect(report.max_relative_error <= report.tolerance);
    free(matrix);
    ntk_plan_free(plan);
  }
  ntk_test_expect_failure(ntk_preprocess_fit_text(ntk_test_text("zca:%s", file), data, &loaded), NTK_ERROR_MISMATCH,
                          "a fitted patches, not zca");
  free(got), free(want);
  ntk_preprocess_free(p);
  ntk_preprocess_free(loaded);
  ntk_dataset_free(data);
  ntk_test_remove_folder(folder);
}

Test(patches, what_cannot_be_is_refused) {
  static const char *const wrong[][2] = {{"patches(count=0)", "count="},
                                         {"patches(count=1048577)", "count="},
                                         {"patches(count=-1)", "count="},
                                         {"patches(size=0)", "size="},
                                         {"patches(sample=10)", "at least count"},
                                         {"patches(eps=1rel)", "')'"},
                                         {"patches(seed=18446744073709551616)", "seed="},
                                         {"patches(threshold=x)", "threshold="},
                                         {"patches(nomirror=1)", "')'"},
                                         {"patches(mirror)", "options of patches"},
                                         {"patches(eps=0)", "above 0"}};
  for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++)
    ntk_test_expect_failure(ntk_preprocess_check(wrong[k][0]), NTK_ERROR_ARGUMENT, wrong[k][1]);
  ntk_dataset *images = ntk_test_dataset(1040, shape, IMAGES),
              *vectors = ntk_test_dataset(1040, (ntk_shape){30, 0, 0}, 4);
  ntk_preprocess *made;
  ntk_test_expect_failure(ntk_preprocess_fit_text("patches", vectors, &made), NTK_ERROR_ARGUMENT, "vectors of 30");
  ntk_test_expect_failure(ntk_preprocess_fit_text("patches(size=7)", images, &made), NTK_ERROR_ARGUMENT,
                          "images of 6 x 7");
  ntk_test_expect_failure(ntk_preprocess_fit((ntk_preprocess_mode)6, images, &made), NTK_ERROR_ARGUMENT, "patches (5)");
  cr_expect_eq(ntk_preprocess_fit_text("patches(size=6,count=1,sample=1)", images, &made), NTK_OK,
               "as large as the image");
  ntk_preprocess_free(made);
  ntk_dataset_free(vectors);
  ntk_dataset_free(images);
}
