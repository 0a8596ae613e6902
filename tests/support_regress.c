#include "tests/support_regress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double regress_random(unsigned *state) {
  *state = *state * 1664525u + 1013904223u;
  return ((double)(*state >> 8) + 0.5) / 16777216.0;
}

void regress_make(regress_case *out, int n, int m, int classes, unsigned seed) {
  double points[2 * REGRESS_MAX][4], scale[2 * REGRESS_MAX];
  memset(out, 0, sizeof *out);
  for (int i = 0; i < n + m; i++) {
    for (int d = 0; d < 4; d++) points[i][d] = 3 * regress_random(&seed);
    scale[i] = 0.5 + 2 * regress_random(&seed);
  }
  for (int i = 0; i < n + m; i++) {
    for (int j = 0; j < n; j++) {
      double distance = 0;
      for (int d = 0; d < 4; d++) distance += pow(points[i][d] - points[j][d], 2);
      const double value = scale[i] * scale[j] * exp(-distance / 2);
      *(i < n ? &out->train[i * n + j] : &out->test[(i - n) * n + j]) = value;
    }
    const int32_t label = (int32_t)(points[i][0] / 3 * classes) % classes;
    *(i < n ? &out->train_labels[i] : &out->test_labels[i - n]) = label;
    if (i >= n) out->diagonal[i - n] = scale[i] * scale[i];
  }
  out->problem =
      (ntk_regress_problem){n, m, classes, out->train, out->test, out->diagonal, out->train_labels, out->test_labels};
}

void regress_eliminate(int n, int count, long double *a, long double *b) {
  for (int k = 0; k < n; k++) {
    int pivot = k;
    for (int i = k + 1; i < n; i++) {
      if (fabsl(a[i * n + k]) > fabsl(a[pivot * n + k])) pivot = i;
    }
    for (int j = 0; j < n; j++) {
      const long double swap = a[k * n + j];
      a[k * n + j] = a[pivot * n + j];
      a[pivot * n + j] = swap;
    }
    for (int j = 0; j < count; j++) {
      const long double swap = b[k * count + j];
      b[k * count + j] = b[pivot * count + j];
      b[pivot * count + j] = swap;
    }
    for (int i = 0; i < n; i++) {
      if (i == k) continue;
      const long double factor = a[i * n + k] / a[k * n + k];
      for (int j = k; j < n; j++) a[i * n + j] -= factor * a[k * n + j];
      for (int j = 0; j < count; j++) b[i * count + j] -= factor * b[k * count + j];
    }
  }
  for (int i = 0; i < n; i++) {
    for (int j = 0; j < count; j++) b[i * count + j] /= a[i * n + i];
  }
}

void regress_normalise(const regress_case *in, regress_case *out) {
  const int n = (int)in->problem.train_count, m = (int)in->problem.test_count;
  *out = *in;
  for (int i = 0; i < n; i++) {
    for (int j = 0; j < n; j++) out->train[i * n + j] /= sqrt(in->train[i * n + i] * in->train[j * n + j]);
  }
  for (int i = 0; i < m; i++) {
    for (int j = 0; j < n; j++) out->test[i * n + j] /= sqrt(in->diagonal[i] * in->train[j * n + j]);
    out->diagonal[i] = 1;
  }
  out->problem.train_kernel = out->train;
  out->problem.test_kernel = out->test;
  out->problem.test_diagonal = out->diagonal;
}

static long double target(ntk_targets targets, int32_t label, int c, int classes) {
  return (label == c ? 1 : 0) - (targets == NTK_TARGETS_CENTRED ? 1.0L / classes : 0);
}

/* Predictions for one kernel row from the records other than `without` (-1: all); variance too if wanted. */
static void predict(const regress_case *in, ntk_targets targets, double ridge, int without, const double *row,
                    double self, long double *prediction, long double *variance) {
  const int n = (int)in->problem.train_count, classes = in->problem.classes, count = classes + 1;
  long double *a = malloc(sizeof *a * (size_t)(n * n)), *b = malloc(sizeof *b * (size_t)(n * count));
  int kept[REGRESS_MAX], size = 0;
  if (!a || !b) abort();
  for (int i = 0; i < n; i++) {
    if (i != without) kept[size++] = i;
  }
  for (int i = 0; i < size; i++) {
    for (int j = 0; j < size; j++)
      a[i * size + j] = in->train[kept[i] * n + kept[j]] + (i == j ? (long double)ridge : 0);
    for (int c = 0; c < classes; c++) b[i * count + c] = target(targets, in->train_labels[kept[i]], c, classes);
    b[i * count + classes] = row[kept[i]];
  }
  regress_eliminate(size, count, a, b);
  for (int c = 0; c < classes; c++) prediction[c] = 0;
  if (variance) *variance = self;
  for (int i = 0; i < size; i++) {
    for (int c = 0; c < classes; c++) prediction[c] += row[kept[i]] * b[i * count + c];
    if (variance) *variance -= row[kept[i]] * b[i * count + classes];
  }
  free(a);
  free(b);
}

void regress_reference(const regress_case *in, ntk_targets targets, double ridge, long double *predictions,
                       long double *variance) {
  const int n = (int)in->problem.train_count, classes = in->problem.classes;
  for (int i = 0; i < in->problem.test_count; i++) {
    predict(in, targets, ridge, -1, in->test + i * n, in->diagonal[i], predictions + i * classes, variance + i);
  }
}

void regress_leave_one_out(const regress_case *in, ntk_targets targets, double ridge, double *accuracy, double *error) {
  const int n = (int)in->problem.train_count, classes = in->problem.classes;
  long double sum = 0, *prediction = malloc(sizeof *prediction * (size_t)classes);
  int right = 0;
  if (!prediction) abort();
  for (int i = 0; i < n; i++) {
    predict(in, targets, ridge, i, in->train + i * n, 0, prediction, NULL);
    int best = 0;
    for (int c = 0; c < classes; c++) {
      if (prediction[c] > prediction[best]) best = c;
      sum += powl(prediction[c] - target(targets, in->train_labels[i], c, classes), 2);
    }
    right += best == in->train_labels[i];
  }
  *accuracy = (double)right / n;
  *error = (double)(sum / ((long double)n * classes));
  free(prediction);
}
