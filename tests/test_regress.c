/* Kernel regression against elimination by hand. */
#include <cblas.h>
#include <criterion/criterion.h>
#include <math.h>
#include <ntk/regress.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/context.h"
#include "host/regress/blas.h"
#include "host/regress/regress.h"
#include "tests/support_regress.h"

static ntk_regress_result solve(const regress_case *c, ntk_regress_options options) {
  ntk_regress_result result;
  const ntk_status status = ntk_regress(NULL, &c->problem, &options, &result);
  cr_assert(status == NTK_OK, "%s: %s", ntk_status_name(status), ntk_last_error());
  return result;
}

/* Predictions, classes, variances, accuracy and error of a result against elimination. */
static void expect_reference(const regress_case *c, ntk_targets targets, const ntk_regress_result *result) {
  long double predictions[REGRESS_MAX * 10], variance[REGRESS_MAX], sum = 0;
  const int m = (int)c->problem.test_count, classes = c->problem.classes;
  int right = 0;
  regress_reference(c, targets, result->ridge, predictions, variance);
  for (int i = 0; i < m; i++) {
    int best = 0;
    for (int k = 0; k < classes; k++) {
      const long double want = predictions[i * classes + k];
      const long double shift = targets == NTK_TARGETS_CENTRED ? 1.0L / classes : 0;
      cr_assert(fabsl(result->predictions[i * classes + k] - want) < 1e-10L, "prediction %d,%d: %.15g, not %.15Lg", i,
                k, result->predictions[i * classes + k], want);
      if (want > predictions[i * classes + best]) best = k;
      sum += powl(want - ((c->test_labels[i] == k) - shift), 2);
    }
    right += best == c->test_labels[i];
    cr_assert(result->predicted[i] == best);
    if (result->variance) {
      cr_assert(fabsl(result->variance[i] - variance[i]) < 1e-10L, "variance %d: %.15g, not %.15Lg", i,
                result->variance[i], variance[i]);
    }
  }
  cr_assert_float_eq(result->accuracy, (double)right / m, 1e-15);
  cr_assert_float_eq(result->mean_squared_error, (double)(sum / ((long double)m * classes)), 1e-11);
}

Test(regress, matches_elimination) {
  const double ridges[] = {0, 1e-3, 2.5};
  for (unsigned seed = 1; seed <= 3; seed++) {
    for (int t = 0; t < 2; t++) {
      regress_case c;
      regress_make(&c, 14 + 5 * (int)seed, 9, 2 + (int)seed, seed);
      const ntk_targets targets = t ? NTK_TARGETS_CENTRED : NTK_TARGETS_ONE_HOT;
      ntk_regress_result r =
          solve(&c, (ntk_regress_options){.targets = targets, .ridge = ridges[seed - 1], .variance = true});
      cr_assert(r.ridge == ridges[seed - 1] && r.test_count == 9 && r.classes == 2 + (int)seed && r.seconds > 0);
      cr_assert(isnan(r.loo_accuracy) && isnan(r.loo_error));
      expect_reference(&c, targets, &r);
      ntk_regress_result_free(&r);
      cr_assert(!r.predictions && !r.predicted && !r.variance);
    }
  }
}

Test(regress, unit_diagonal_is_normalising_by_hand) {
  regress_case c, normalised;
  regress_make(&c, 20, 10, 3, 7);
  regress_normalise(&c, &normalised);
  const double ridge = 5e-5;
  ntk_regress_options options = {.unit_diagonal = true, .ridge = ridge, .variance = true};
  for (int choose = 0; choose < 2; choose++) {
    options.choose_ridge = choose;
    options.ridges = &ridge;
    options.ridge_count = 1;
    ntk_regress_result r = solve(&c, options);
    expect_reference(&normalised, NTK_TARGETS_ONE_HOT, &r);
    ntk_regress_result_free(&r);
  }
}

/* One candidate: the eigendecomposition must agree with elimination and with records really left out. */
Test(regress, leave_one_out_is_leaving_one_out) {
  const double ridges[] = {0, 1e-6, 1e-3, 0.1, 3};
  regress_case c;
  regress_make(&c, 12, 6, 3, 5);
  for (int i = 0; i < 5; i++) {
    for (int t = 0; t < 2; t++) {
      const ntk_targets targets = t ? NTK_TARGETS_CENTRED : NTK_TARGETS_ONE_HOT;
      double accuracy, error;
      regress_leave_one_out(&c, targets, ridges[i], &accuracy, &error);
      ntk_regress_result r = solve(
          &c, (ntk_regress_options){
                  .targets = targets, .choose_ridge = true, .variance = true, .ridges = &ridges[i], .ridge_count = 1});
      cr_assert(r.ridge == ridges[i]);
      cr_assert_float_eq(r.loo_accuracy, accuracy, 1e-15);
      cr_assert_float_eq(r.loo_error, error, 1e-10 * fmax(1, error));
      expect_reference(&c, targets, &r);
      ntk_regress_result_free(&r);
    }
  }
}

Test(regress, chooses_by_accuracy_then_error) {
  const double ridges[] = {10, 1e-9, 3e-3, 1, 1e-5, 0.3, 0.03, 0, 3};
  int ties = 0;
  for (unsigned seed = 1; seed <= 20; seed++) {
    regress_case c;
    regress_make(&c, 12, 4, 2, seed);
    double best_accuracy = -1, best_error = 0, best = -1;
    for (int i = 0; i < 9; i++) {
      double accuracy, error;
      regress_leave_one_out(&c, NTK_TARGETS_CENTRED, ridges[i], &accuracy, &error);
      ties += accuracy == best_accuracy;
      if (accuracy < best_accuracy || (accuracy == best_accuracy && error >= best_error)) continue;
      best_accuracy = accuracy;
      best_error = error;
      best = ridges[i];
    }
    ntk_regress_result r = solve(
        &c, (ntk_regress_options){
                .targets = NTK_TARGETS_CENTRED, .choose_ridge = true, .ridge = -1, .ridges = ridges, .ridge_count = 9});
    cr_assert(r.ridge == best, "seed %u: chose %g, not %g", seed, r.ridge, best);
    cr_assert_float_eq(r.loo_accuracy, best_accuracy, 1e-15);
    expect_reference(&c, NTK_TARGETS_CENTRED, &r);
    ntk_regress_result_free(&r);
  }
  cr_assert(ties > 20, "the error must have had to decide");
}

static void make_identity(regress_case *c, int n, double value) {
  regress_make(c, n, 3, 2, 1);
  for (int i = 0; i < n * n; i++) c->train[i] = i % (n + 1) == 0 ? value : 0;
}

Test(regress, the_larger_ridge_wins_a_full_tie) {
  const double ridges[] = {0.25, 4, 0, 1};
  regress_case c;
  make_identity(&c, 8, 1); /* every record left out is predicted as 0 at every ridge */
  ntk_regress_result r = solve(&c, (ntk_regress_options){.choose_ridge = true, .ridges = ridges, .ridge_count = 4});
  cr_assert(r.ridge == 4);
  cr_assert_float_eq(r.loo_error, 0.5, 1e-15);
  ntk_regress_result_free(&r);
}

Test(regress, default_candidates_follow_the_mean_diagonal) {
  regress_case c;
  make_identity(&c, 8, 300);
  c.train[0] = 500; /* mean 325; all candidates tie, the largest is 10 times the mean */
  ntk_regress_result r = solve(&c, (ntk_regress_options){.choose_ridge = true});
  cr_assert_float_eq(r.ridge, 3250, 1e-9);
  ntk_regress_result_free(&r);
  r = solve(&c, (ntk_regress_options){.choose_ridge = true, .unit_diagonal = true});
  cr_assert_float_eq(r.ridge, 10, 1e-12);
  ntk_regress_result_free(&r);
}

Test(regress, unsafe_candidates_are_skipped) {
  const double ridges[] = {0, 1e-17, 1e-4};
  regress_case c;
  regress_make(&c, 10, 4, 2, 3);
  for (int i = 0; i < 10; i++) c.train[10 + i] = c.train[i]; /* record 1 is record 0 */
  for (int i = 0; i < 10; i++) c.train[i * 10 + 1] = c.train[i * 10];
  for (int i = 0; i < 4; i++) c.test[i * 10 + 1] = c.test[i * 10];
  ntk_regress_result r = solve(&c, (ntk_regress_options){.choose_ridge = true, .ridges = ridges, .ridge_count = 3});
  cr_assert(r.ridge == 1e-4);
  expect_reference(&c, NTK_TARGETS_ONE_HOT, &r);
  ntk_regress_result_free(&r);
}

Test(regress, ties_go_to_the_smaller_class) {
  regress_case c;
  regress_make(&c, 10, 4, 3, 3);
  for (int i = 0; i < 40; i++) c.test[i] = 0;
  ntk_regress_result r = solve(&c, (ntk_regress_options){.ridge = 0.1});
  for (int i = 0; i < 4; i++) cr_assert(r.predicted[i] == 0);
  ntk_regress_result_free(&r);
}

Test(regress, smallest_problems) {
  regress_case c;
  for (int choose = 0; choose < 2; choose++) {
    regress_make(&c, 1, 3, 2, 9);
    ntk_regress_result r = solve(&c, (ntk_regress_options){.choose_ridge = choose, .variance = true});
    expect_reference(&c, NTK_TARGETS_ONE_HOT, &r);
    ntk_regress_result_free(&r);

    regress_make(&c, 10, 0, 2, 9);
    c.problem.test_kernel = c.problem.test_diagonal = NULL;
    r = solve(&c, (ntk_regress_options){.choose_ridge = choose, .variance = true, .unit_diagonal = true});
    cr_assert(r.test_count == 0 && isnan(r.accuracy) && isnan(r.mean_squared_error));
    cr_assert(isnan(r.loo_accuracy) == !choose);
    ntk_regress_result_free(&r);

    regress_make(&c, 10, 4, 2, 9);
    c.problem.test_labels = NULL;
    r = solve(&c, (ntk_regress_options){.choose_ridge = choose});
    cr_assert(isnan(r.accuracy) && isnan(r.mean_squared_error) && !r.variance && isfinite(r.predictions[7]));
    ntk_regress_result_free(&r);
  }
  ntk_regress_result_free(NULL);
}

/* The variance at a training point is 0 without a ridge: rounding must not make it negative, but a test diagonal that
 * contradicts the matrix shows. */
Test(regress, variance_is_clamped_within_rounding_only) {
  const double none = 0;
  for (int choose = 0; choose < 2; choose++) {
    int zeros = 0;
    for (unsigned seed = 1; seed <= 20; seed++) {
      regress_case c;
      regress_make(&c, 20, 20, 2, seed);
      for (int i = 0; i < 20; i++) {
        memcpy(c.test + i * 20, c.train + i * 20, 20 * sizeof *c.test);
        c.diagonal[i] = c.train[i * 21];
      }
      const ntk_regress_options options = {.choose_ridge = choose, .ridges = &none, .ridge_count = 1, .variance = true};
      ntk_regress_result r = solve(&c, options);
      for (int i = 0; i < 20; i++) {
        cr_assert(r.variance[i] >= 0 && r.variance[i] < 1e-12);
        zeros += r.variance[i] == 0;
      }
      ntk_regress_result_free(&r);
      c.diagonal[3] -= 1e-6;
      r = solve(&c, options);
      cr_assert_float_eq(r.variance[3], -1e-6, 1e-12);
      ntk_regress_result_free(&r);
    }
    cr_assert(zeros > 0, "rounding must have been clamped somewhere");
  }
}

/* More test records than one block of the variance. */
Test(regress, variance_in_blocks) {
  static double test[300 * 10], diagonal[300];
  regress_case c;
  regress_make(&c, 10, 50, 2, 4);
  for (int i = 0; i < 300; i++) {
    memcpy(test + i * 10, c.test + i % 50 * 10, 10 * sizeof *test);
    diagonal[i] = c.diagonal[i % 50];
  }
  const ntk_regress_options options = {.ridge = 1e-3, .variance = true};
  ntk_regress_result few = solve(&c, options);
  c.problem.test_count = 300;
  c.problem.test_kernel = test;
  c.problem.test_diagonal = diagonal;
  c.problem.test_labels = NULL;
  ntk_regress_result many = solve(&c, options);
  for (int i = 0; i < 300; i++) cr_assert_float_eq(many.variance[i], few.variance[i % 50], 1e-13);
  ntk_regress_result_free(&few);
  ntk_regress_result_free(&many);
}

Test(regress, a_rounded_matrix_counts_as_symmetric) {
  regress_case c;
  regress_make(&c, 12, 5, 2, 6);
  c.train[3 * 12 + 7] *= 1 + 4e-7;
  const ntk_regress_options options = {.ridge = 1e-2, .variance = true};
  ntk_regress_result r = solve(&c, options);
  const double mean = (c.train[3 * 12 + 7] + c.train[7 * 12 + 3]) / 2;
  c.train[3 * 12 + 7] = c.train[7 * 12 + 3] = mean;
  expect_reference(&c, NTK_TARGETS_ONE_HOT, &r);
  ntk_regress_result_free(&r);
}

/* --- eigenvectors, threads, cancelling --- */

Test(regress, both_eigensolvers) {
  enum { N = 60 };
  regress_case c;
  regress_make(&c, N, 0, 2, 8);
  for (int divide = 0; divide < 2; divide++) {
    double *v = malloc(sizeof *v * N * N), w[N];
    cr_assert(v);
    memcpy(v, c.train, sizeof *v * N * N);
    cr_assert(ntk_eigenvectors(N, &v, w, divide) == NTK_OK);
    for (int i = 0; i < N; i++) {
      cr_assert(i == 0 || w[i] >= w[i - 1]);
      for (int j = 0; j < N; j++) {
        double product = 0, sum = 0;
        for (int k = 0; k < N; k++) {
          product += v[i * N + k] * v[j * N + k];
          sum += v[k * N + i] * v[k * N + j] * w[k];
        }
        cr_assert_float_eq(product, i == j, 1e-12);
        cr_assert_float_eq(sum, c.train[i * N + j], 1e-12);
      }
    }
    free(v);
  }
  cr_assert(ntk_eigen_can_divide(32766) && !ntk_eigen_can_divide(32767) && !ntk_eigen_can_divide(INT32_MAX));
}

Test(regress, threads_change_nothing) {
  enum { N = 300, M = 40, C = 3 };
  static double points[N + M][3], train[N * N], test[M * N], diagonal[M];
  static int32_t labels[N];
  unsigned state = 1;
  for (int i = 0; i < N + M; i++) {
    for (int d = 0; d < 3; d++) points[i][d] = regress_random(&state);
    if (i < N) labels[i] = (int32_t)(C * points[i][0]);
  }
  for (int i = 0; i < N + M; i++) {
    for (int j = 0; j < N; j++) {
      double distance = 0;
      for (int d = 0; d < 3; d++) distance += fabs(points[i][d] - points[j][d]);
      *(i < N ? &train[i * N + j] : &test[(i - N) * N + j]) = exp(-4 * distance);
    }
  }
  for (int i = 0; i < M; i++) diagonal[i] = 1;
  const ntk_regress_problem problem = {N, M, C, train, test, diagonal, labels, NULL};
  const int before = openblas_get_num_threads();
  for (int choose = 0; choose < 2; choose++) {
    const ntk_regress_options options = {.ridge = 1e-3, .choose_ridge = choose, .variance = true};
    ntk_regress_result results[3];
    for (int t = 0; t < 3; t++) {
      struct ntk_context context = {.threads = 1 + t};
      cr_assert(ntk_regress(&context, &problem, &options, &results[t]) == NTK_OK, "%s", ntk_last_error());
      cr_assert(openblas_get_num_threads() == before);
    }
    for (int t = 1; t < 3; t++) {
      cr_assert(results[t].ridge == results[0].ridge);
      for (int i = 0; i < M * C; i++) cr_assert_float_eq(results[t].predictions[i], results[0].predictions[i], 1e-12);
      for (int i = 0; i < M; i++) cr_assert_float_eq(results[t].variance[i], results[0].variance[i], 1e-12);
    }
    for (int t = 0; t < 3; t++) ntk_regress_result_free(&results[t]);
  }
}

/* Several regressions at a time, each with its own result and error message. */
static void *solve_some(void *argument) {
  const unsigned number = *(const unsigned *)argument;
  struct ntk_context context = {.threads = 1 + (int)number % 2};
  for (unsigned i = 0; i < 10; i++) {
    regress_case c;
    regress_make(&c, 30, 5, 2, number);
    const ntk_regress_options options = {.ridge = 1e-2, .choose_ridge = i % 2, .variance = true};
    ntk_regress_result r;
    if (ntk_regress(&context, &c.problem, &options, &r) != NTK_OK) return "failed";
    long double predictions[10], variance[5];
    regress_reference(&c, NTK_TARGETS_ONE_HOT, r.ridge, predictions, variance);
    for (int k = 0; k < 10; k++) {
      if (fabsl(r.predictions[k] - predictions[k]) > 1e-8L) return "differs";
    }
    ntk_regress_result_free(&r);
    c.train_labels[number] = -1;
    char words[32];
    snprintf(words, sizeof words, "train_labels[%u]", number);
    if (ntk_regress(&context, &c.problem, &options, &r) != NTK_ERROR_DATA || !strstr(ntk_last_error(), words)) {
      return "another thread's error";
    }
  }
  return NULL;
}

Test(regress, several_at_a_time) {
  const int before = openblas_get_num_threads();
  pthread_t threads[4];
  unsigned numbers[4] = {0, 1, 2, 3};
  for (int t = 0; t < 4; t++) cr_assert(pthread_create(&threads[t], NULL, solve_some, &numbers[t]) == 0);
  for (int t = 0; t < 4; t++) {
    void *wrong = NULL;
    pthread_join(threads[t], &wrong);
    cr_assert(!wrong, "thread %d: %s", t, (const char *)wrong);
  }
  cr_assert(openblas_get_num_threads() == before);
}

Test(regress, thread_counts_nest) {
  const int before = openblas_get_num_threads();
  ntk_blas_threads_push(1);
  cr_assert(openblas_get_num_threads() == 1);
  ntk_blas_threads_push(2);
  cr_assert(openblas_get_num_threads() == 2);
  ntk_blas_threads_pop();
  ntk_blas_threads_pop();
  cr_assert(openblas_get_num_threads() == before);
  ntk_blas_threads_pop(); /* one too many does no harm */
  cr_assert(openblas_get_num_threads() == before);
  cr_assert(strncmp(ntk_blas_name(), "OpenBLAS ", 9) == 0, "%s", ntk_blas_name());
}

Test(regress, cancelling) {
  regress_case c;
  regress_make(&c, 10, 4, 2, 2);
  struct ntk_context context = {.threads = 1};
  atomic_store(&context.cancelled, 1);
  for (int choose = 0; choose < 2; choose++) {
    const ntk_regress_options options = {.choose_ridge = choose};
    ntk_regress_result result;
    cr_assert(ntk_regress(&context, &c.problem, &options, &result) == NTK_ERROR_INTERRUPTED);
    cr_assert(!result.predictions && !result.predicted && strstr(ntk_last_error(), "cancelled"));
  }
}
