#include "tests/support_ridge.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support_regress.h"

static ntk_status give(ridge_case *c, const float *rows, int64_t dim, int64_t first, int64_t count, float *out) {
  memcpy(out, rows + first * dim, (size_t)(count * dim) * sizeof *out);
  c->calls++;
  c->rows_read += count;
  if (count > c->longest) c->longest = count;
  if (c->cancel) ntk_context_cancel(c->cancel);
  return NTK_OK;
}

static ntk_status give_train(void *user, int64_t first, int64_t count, float *out) {
  ridge_case *c = user;
  return give(c, c->train, c->problem.train.dim, first, count, out);
}

static ntk_status give_test(void *user, int64_t first, int64_t count, float *out) {
  ridge_case *c = user;
  return give(c, c->test, c->problem.test.dim, first, count, out);
}

void ridge_make(ridge_case *out, int n, int m, int dim, int classes, unsigned seed) {
  *out = (ridge_case){.train = malloc((size_t)n * (size_t)dim * sizeof(float)),
                      .test = malloc((size_t)m * (size_t)dim * sizeof(float)),
                      .train_labels = malloc((size_t)n * sizeof(int32_t)),
                      .test_labels = malloc((size_t)m * sizeof(int32_t))};
  double *centres = malloc((size_t)(classes * dim) * sizeof *centres);
  if (!out->train || !out->test || !out->train_labels || !out->test_labels || !centres) abort();
  for (int k = 0; k < classes * dim; k++) centres[k] = regress_random(&seed) - 0.5;
  for (int i = 0; i < n + m; i++) {
    const int32_t label = (int32_t)(regress_random(&seed) * classes) % classes;
    const double scale = 0.5 + regress_random(&seed);
    float *row = i < n ? out->train + (size_t)i * (size_t)dim : out->test + (size_t)(i - n) * (size_t)dim;
    for (int j = 0; j < dim; j++) {
      row[j] = (float)(scale * (0.5 * centres[label * dim + j] + 2 * (regress_random(&seed) - 0.5)));
    }
    *(i < n ? &out->train_labels[i] : &out->test_labels[i - n]) = label;
  }
  free(centres);
  out->problem = (ntk_ridge_problem){.train = {n, dim, give_train, out},
                                     .test = {m, dim, give_test, out},
                                     .classes = classes,
                                     .train_labels = out->train_labels,
                                     .test_labels = out->test_labels};
}

void ridge_free(ridge_case *c) {
  free(c->train);
  free(c->test);
  free(c->train_labels);
  free(c->test_labels);
}
