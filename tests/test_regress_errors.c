/* What ntk_regress refuses, and what it then says. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <ntk/regress.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "host/context.h"
#include "host/regress/regress.h"
#include "tests/support_regress.h"

static ntk_status attempt(const regress_case *c, ntk_regress_options options) {
  ntk_regress_result result;
  memset(&result, 0x55, sizeof result);
  const ntk_status status = ntk_regress(NULL, &c->problem, &options, &result);
  if (status != NTK_OK) cr_assert(!result.predictions && !result.predicted && !result.variance);
  ntk_regress_result_free(&result);
  return status;
}

static void expect(const regress_case *c, ntk_regress_options options, ntk_status status, const char *words) {
  const ntk_status got = attempt(c, options);
  cr_assert(got == status, "%s instead of %s (%s): %s", ntk_status_name(got), ntk_status_name(status), words,
            ntk_last_error());
  cr_assert(strstr(ntk_last_error(), words), "no \"%s\" in: %s", words, ntk_last_error());
}

/* --- matrices that are not positive definite --- */

static double number_after(const char *words) {
  const char *place = strstr(ntk_last_error(), words);
  cr_assert(place, "no \"%s\" in: %s", words, ntk_last_error());
  char *end;
  const double value = strtod(place + strlen(words), &end);
  cr_assert(end > place + strlen(words), "no number after \"%s\" in: %s", words, ntk_last_error());
  return value;
}

/* Fails without a ridge, names the smallest eigenvalue, and works with the suggested ridge; chosen ridges likewise. */
static void expect_suggestion(const regress_case *c, bool unit_diagonal, double smallest, double tolerance) {
  const double none = 0;
  for (int choose = 0; choose < 2; choose++) {
    ntk_regress_options options = {
        .unit_diagonal = unit_diagonal, .choose_ridge = choose, .ridges = &none, .ridge_count = 1};
    const ntk_status status = attempt(c, options);
    cr_assert(status == NTK_ERROR_NUMERIC, "%s", ntk_status_name(status));
    cr_assert_float_eq(number_after("training matrix is "), smallest, tolerance);
    const double ridge = number_after("a ridge of at least ");
    cr_assert(ridge > 0 && ridge < 1e-6 + 20 * fabs(smallest), "ridge %g", ridge);
    options.ridge = ridge;
    options.ridges = &ridge;
    cr_assert(attempt(c, options) == NTK_OK, "%s", ntk_last_error());
  }
}

static void duplicate(regress_case *c, int from, int to) {
  const int n = (int)c->problem.train_count;
  for (int i = 0; i < n; i++) c->train[to * n + i] = c->train[from * n + i];
  for (int i = 0; i < n; i++) c->train[i * n + to] = c->train[i * n + from];
}

Test(regress_errors, duplicates) {
  for (unsigned seed = 1; seed <= 10; seed++) {
    regress_case c;
    regress_make(&c, 30, 5, 2, seed);
    duplicate(&c, 4, 17);
    duplicate(&c, 4, 29);
    expect_suggestion(&c, seed % 2, 0, 1e-14);
  }
}

Test(regress_errors, indefinite) {
  regress_case c;
  regress_make(&c, 2, 1, 2, 1);
  memcpy(c.train, (double[]){1, 2, 2, 1}, 4 * sizeof(double));
  expect_suggestion(&c, false, -1, 1e-14);
  cr_assert(attempt(&c, (ntk_regress_options){.ridge = 0.9}) == NTK_ERROR_NUMERIC);
  cr_assert_float_eq(number_after("with the ridge "), 0.9, 0);
  cr_assert(attempt(&c, (ntk_regress_options){.ridge = 1.1}) == NTK_OK);
}

Test(regress_errors, zero_matrix) {
  regress_case c;
  regress_make(&c, 3, 1, 2, 1);
  memset(c.train, 0, sizeof c.train);
  cr_assert(attempt(&c, (ntk_regress_options){0}) == NTK_ERROR_NUMERIC);
  cr_assert(attempt(&c, (ntk_regress_options){.choose_ridge = true}) == NTK_ERROR_NUMERIC);
  cr_assert(attempt(&c, (ntk_regress_options){.ridge = number_after("at least ")}) == NTK_OK);
}

/* A + (1 - delta) 1 1^T / n: eigenvalues 1 and delta, while the condition estimate in the 1-norm is twice as bad. */
Test(regress_errors, the_eigenvalues_decide_in_doubt) {
  enum { N = 40 };
  regress_case c;
  regress_make(&c, N, 1, 2, 1);
  const double factors[] = {0.5, 1.5};
  for (int k = 0; k < 2; k++) {
    const double delta = factors[k] * N * DBL_EPSILON;
    for (int i = 0; i < N; i++) {
      for (int j = 0; j < N; j++) c.train[i * N + j] = (1 - delta) / N + (i == j ? delta : 0);
    }
    cr_assert(attempt(&c, (ntk_regress_options){0}) == (k ? NTK_OK : NTK_ERROR_NUMERIC), "%d", k);
  }
}

/* --- arguments --- */

Test(regress_errors, null_pointers) {
  regress_case c;
  regress_make(&c, 4, 2, 2, 1);
  const ntk_regress_options options = {0};
  ntk_regress_result result;
  cr_assert(ntk_regress(NULL, NULL, &options, &result) == NTK_ERROR_ARGUMENT);
  cr_assert(ntk_regress(NULL, &c.problem, NULL, &result) == NTK_ERROR_ARGUMENT);
  cr_assert(ntk_regress(NULL, &c.problem, &options, NULL) == NTK_ERROR_ARGUMENT);
  ntk_regress_problem full = c.problem;
  c.problem.train_kernel = NULL;
  expect(&c, options, NTK_ERROR_ARGUMENT, "train_kernel");
  c.problem = full;
  c.problem.train_labels = NULL;
  expect(&c, options, NTK_ERROR_ARGUMENT, "train_labels");
  c.problem = full;
  c.problem.test_kernel = NULL;
  expect(&c, options, NTK_ERROR_ARGUMENT, "test_kernel");
  c.problem = full;
  c.problem.test_diagonal = NULL;
  cr_assert(attempt(&c, options) == NTK_OK);
  expect(&c, (ntk_regress_options){.unit_diagonal = true}, NTK_ERROR_ARGUMENT, "test_diagonal");
  expect(&c, (ntk_regress_options){.variance = true}, NTK_ERROR_ARGUMENT, "test_diagonal");
}

Test(regress_errors, ranges) {
  regress_case c;
  regress_make(&c, 4, 2, 2, 1);
  const double bad[] = {1, -1}, infinite = INFINITY;
  expect(&c, (ntk_regress_options){.ridge = -1e-9}, NTK_ERROR_ARGUMENT, "ridge is -1e-09");
  expect(&c, (ntk_regress_options){.ridge = NAN}, NTK_ERROR_ARGUMENT, "ridge");
  expect(&c, (ntk_regress_options){.choose_ridge = true, .ridges = bad, .ridge_count = 2}, NTK_ERROR_ARGUMENT,
         "ridges[1]");
  expect(&c, (ntk_regress_options){.choose_ridge = true, .ridges = &infinite, .ridge_count = 1}, NTK_ERROR_ARGUMENT,
         "ridges[0]");
  expect(&c, (ntk_regress_options){.choose_ridge = true, .ridges = bad}, NTK_ERROR_ARGUMENT, "ridge_count");
  expect(&c, (ntk_regress_options){.targets = (ntk_targets)2}, NTK_ERROR_ARGUMENT, "targets");
  const int64_t counts[] = {0, -1, INT64_C(1) << 40};
  for (int i = 0; i < 3; i++) {
    c.problem.train_count = counts[i];
    expect(&c, (ntk_regress_options){0}, NTK_ERROR_ARGUMENT, "train_count");
  }
  c.problem.train_count = 4;
  for (int i = 1; i < 3; i++) {
    c.problem.test_count = counts[i];
    expect(&c, (ntk_regress_options){0}, NTK_ERROR_ARGUMENT, "test_count");
  }
  c.problem.test_count = 2;
  c.problem.classes = 1;
  expect(&c, (ntk_regress_options){0}, NTK_ERROR_ARGUMENT, "classes");
}

/* --- data --- */

Test(regress_errors, labels) {
  regress_case c;
  regress_make(&c, 6, 3, 3, 1);
  const int32_t bad[] = {-1, 3};
  for (int i = 0; i < 2; i++) {
    const int32_t train = c.train_labels[5], test = c.test_labels[2];
    c.train_labels[5] = bad[i];
    expect(&c, (ntk_regress_options){0}, NTK_ERROR_DATA, "train_labels[5]");
    c.train_labels[5] = train;
    c.test_labels[2] = bad[i];
    expect(&c, (ntk_regress_options){0}, NTK_ERROR_DATA, "test_labels[2]");
    c.test_labels[2] = test;
  }
}

Test(regress_errors, values_that_are_not_finite) {
  const double bad[] = {NAN, INFINITY, -INFINITY};
  for (int i = 0; i < 3; i++) {
    regress_case c;
    regress_make(&c, 6, 3, 3, 1);
    c.train[2 * 6 + 4] = bad[i];
    expect(&c, (ntk_regress_options){0}, NTK_ERROR_DATA, "train_kernel[2][4]");
    regress_make(&c, 6, 3, 3, 1);
    c.test[2 * 6 + 5] = bad[i];
    expect(&c, (ntk_regress_options){0}, NTK_ERROR_DATA, "test_kernel[2][5]");
    regress_make(&c, 6, 3, 3, 1);
    c.diagonal[1] = bad[i];
    cr_assert(attempt(&c, (ntk_regress_options){0}) == NTK_OK);
    expect(&c, (ntk_regress_options){.variance = true}, NTK_ERROR_DATA, "test_diagonal value 1");
  }
}

Test(regress_errors, asymmetric) {
  regress_case c;
  regress_make(&c, 6, 3, 3, 1);
  c.train[2 * 6 + 4] *= 1 + 1e-4;
  c.train[2 * 6 + 4] += 1e-5;
  expect(&c, (ntk_regress_options){0}, NTK_ERROR_DATA, "train_kernel[4][2]");
}

Test(regress_errors, diagonals) {
  regress_case c;
  regress_make(&c, 6, 3, 3, 1);
  c.diagonal[2] = 0;
  cr_assert(attempt(&c, (ntk_regress_options){.variance = true}) == NTK_OK);
  expect(&c, (ntk_regress_options){.unit_diagonal = true}, NTK_ERROR_DATA, "test_diagonal value 2 is 0");
  c.diagonal[2] = -1;
  expect(&c, (ntk_regress_options){.variance = true}, NTK_ERROR_DATA, "test_diagonal value 2 is -1");
  c.diagonal[2] = 1;
  for (int i = 0; i < 6; i++) c.train[5 * 6 + i] = c.train[i * 6 + 5] = 0;
  expect(&c, (ntk_regress_options){.unit_diagonal = true, .ridge = 1}, NTK_ERROR_DATA, "diagonal value 5 is 0");
  cr_assert(attempt(&c, (ntk_regress_options){.ridge = 1}) == NTK_OK);
}

Test(regress_errors, overflow) {
  regress_case c;
  regress_make(&c, 6, 3, 3, 1);
  for (int i = 0; i < 18; i++) c.test[i] = DBL_MAX;
  for (int i = 0; i < 36; i++) c.train[i] *= 1e-200;
  expect(&c, (ntk_regress_options){0}, NTK_ERROR_NUMERIC, "prediction for test record 0");
}

/* --- memory --- */

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif

Test(regress_errors, no_memory_is_said_with_the_amount) {
  double *values = (double *)1;
  cr_assert(ntk_regress_allocate(INT64_C(1) << 31, INT64_C(1) << 31, "the matrix", &values) == NTK_ERROR_MEMORY);
  cr_assert(!values && strstr(ntk_last_error(), "3.44e+10 GiB"), "%s", ntk_last_error());
}

static size_t address_space(void) {
  size_t pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (!file || fscanf(file, "%zu", &pages) != 1) pages = 0;
  if (file) fclose(file);
  return pages * 4096;
}

Test(regress_errors, memory_runs_out) {
#if defined(SANITIZED)
  cr_skip_test("a sanitizer needs more address space than this test leaves");
#endif
  enum { N = 2000 };
  double *train = calloc((size_t)N * N, sizeof *train);
  int32_t *labels = calloc(N, sizeof *labels);
  cr_assert(train && labels);
  for (int i = 0; i < N; i++) train[i * (N + 1)] = 1;
  const ntk_regress_problem problem = {N, 0, 2, train, NULL, NULL, labels, NULL};
  struct ntk_context context = {.threads = 1};
  ntk_regress_result result;
  const ntk_regress_options options = {0};
  struct rlimit before, limit;
  cr_assert(getrlimit(RLIMIT_AS, &before) == 0 && address_space() > 0);
  limit = before;
  limit.rlim_cur = address_space() + (8u << 20);
  cr_assert(setrlimit(RLIMIT_AS, &limit) == 0);
  const ntk_status status = ntk_regress(&context, &problem, &options, &result);
  setrlimit(RLIMIT_AS, &before);
  cr_assert(status == NTK_ERROR_MEMORY, "%s", ntk_status_name(status));
  cr_assert(strstr(ntk_last_error(), "2000 x 2000 float64 numbers or 0.0298 GiB"), "%s", ntk_last_error());
  free(train);
  free(labels);
}
