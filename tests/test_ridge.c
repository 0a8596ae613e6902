/* Ridge regression on features against kernel regression on Z Z^T and against elimination by hand. */
#include <criterion/criterion.h>
#include <math.h>
#include <ntk/ntk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/context.h"
#include "host/regress/ridge.h"
#include "tests/support_regress.h"
#include "tests/support_ridge.h"

static ntk_ridge_result solve(ntk_context *context, const ridge_case *c, ntk_ridge_options options) {
  ntk_ridge_result result;
  const ntk_status status = ntk_ridge(context, &c->problem, &options, &result);
  cr_assert(status == NTK_OK, "%s: %s", ntk_status_name(status), ntk_last_error());
  return result;
}

static void expect_near(const double *a, const double *b, int64_t count, double tolerance, const char *what) {
  double most = 0;
  for (int64_t i = 0; i < count; i++) most = fmax(most, fabs(b[i]));
  for (int64_t i = 0; i < count; i++) {
    cr_assert(fabs(a[i] - b[i]) <= tolerance * most, "%s %lld: %.17g, not %.17g", what, (long long)i, a[i], b[i]);
  }
}

static double dot(const float *a, const float *b, int64_t dim) {
  double sum = 0;
  for (int64_t j = 0; j < dim; j++) sum += (double)a[j] * b[j];
  return sum;
}

/* ntk_regress on the kernel of the features. */
static ntk_regress_result by_kernel(const ridge_case *c, ntk_regress_options options) {
  const int64_t n = c->problem.train.count, m = c->problem.test.count, dim = c->problem.train.dim;
  double *train = malloc(sizeof *train * (size_t)(n * n)), *test = malloc(sizeof *test * (size_t)(m * n)),
         *diagonal = malloc(sizeof *diagonal * (size_t)m);
  cr_assert(train && test && diagonal);
  for (int64_t i = 0; i < n; i++) {
    for (int64_t j = 0; j < n; j++) train[i * n + j] = dot(c->train + i * dim, c->train + j * dim, dim);
  }
  for (int64_t i = 0; i < m; i++) {
    for (int64_t j = 0; j < n; j++) test[i * n + j] = dot(c->test + i * dim, c->train + j * dim, dim);
    diagonal[i] = dot(c->test + i * dim, c->test + i * dim, dim);
  }
  const ntk_regress_problem problem = {n,    m,        c->problem.classes,      train,
                                       test, diagonal, c->problem.train_labels, c->problem.test_labels};
  ntk_regress_result result;
  cr_assert(ntk_regress(NULL, &problem, &options, &result) == NTK_OK, "%s", ntk_last_error());
  free(train);
  free(test);
  free(diagonal);
  return result;
}

/* predictions = rows W, with unit_rows rows / |row|. */
static void expect_weights(const ridge_case *c, const ntk_ridge_result *r, bool unit_rows) {
  const int64_t dim = c->problem.test.dim;
  for (int64_t i = 0; i < r->test_count; i++) {
    const float *row = c->test + i * dim;
    const double norm = unit_rows ? sqrt(dot(row, row, dim)) : 1;
    for (int k = 0; k < r->classes; k++) {
      double sum = 0;
      for (int64_t j = 0; j < dim; j++) sum += row[j] / norm * r->weights[j * r->classes + k];
      cr_assert_float_eq(r->predictions[i * r->classes + k], sum, 1e-10 * fmax(1, fabs(sum)));
    }
  }
}

Test(ridge, both_forms_are_kernel_regression) {
  const int sizes[][2] = {{60, 21}, {21, 60}, {40, 40}, {33, 2}, {1, 5}};
  for (int s = 0; s < 5; s++) {
    for (int variant = 0; variant < 4; variant++) {
      ridge_case c;
      ridge_make(&c, sizes[s][0], 17, sizes[s][1], 2 + s % 4, (unsigned)(7 * s + variant + 1));
      const bool unit = variant % 2;
      const ntk_targets targets = variant / 2 ? NTK_TARGETS_CENTRED : NTK_TARGETS_ONE_HOT;
      const double ridge = unit ? 0.03 : 0.5;
      ntk_regress_result want =
          by_kernel(&c, (ntk_regress_options){.targets = targets, .unit_diagonal = unit, .ridge = ridge});
      for (int form = 0; form < 3; form++) {
        ntk_ridge_result got = solve(
            NULL, &c,
            (ntk_ridge_options){.targets = targets, .unit_rows = unit, .ridge = ridge, .form = (ntk_ridge_form)form});
        expect_near(got.predictions, want.predictions, 17 * want.classes, 1e-9, "prediction");
        expect_weights(&c, &got, unit);
        if (sizes[s][0] > 1) { /* one record: the classes without any tie up to rounding */
          cr_assert(memcmp(got.predicted, want.predicted, 17 * sizeof *want.predicted) == 0, "%d %d", s, variant);
          cr_assert_float_eq(got.accuracy, want.accuracy, 1e-15);
        }
        cr_assert_float_eq(got.mean_squared_error, want.mean_squared_error, 1e-9 * fmax(1, want.mean_squared_error));
        const ntk_ridge_form expected = form                         ? (ntk_ridge_form)form
                                        : sizes[s][0] >= sizes[s][1] ? NTK_RIDGE_PRIMAL
                                                                     : NTK_RIDGE_DUAL;
        cr_assert(got.form == expected && got.ridge == ridge && got.held_out_count == 0);
        cr_assert(isnan(got.held_out_accuracy) && isnan(got.held_out_error));
        cr_assert(got.seconds > 0 && got.accumulate_seconds > 0 && got.accumulate_gflops > 0);
        ntk_ridge_result_free(&got);
        cr_assert(!got.predictions && !got.weights && !got.predicted);
      }
      ntk_regress_result_free(&want);
      ridge_free(&c);
    }
  }
}

/* A budget of 16 MiB holds only some of these long rows at a time. */
Test(ridge, the_memory_budget_changes_nothing) {
  for (int form = NTK_RIDGE_PRIMAL; form <= NTK_RIDGE_DUAL; form++) {
    const bool dual = form == NTK_RIDGE_DUAL;
    ridge_case c;
    ridge_make(&c, dual ? 150 : 3000, dual ? 70 : 2500, dual ? 12000 : 700, 3, 5);
    ntk_ridge_result results[2];
    for (int k = 0; k < 2; k++) {
      ntk_context *context;
      cr_assert(ntk_context_create(&context) == NTK_OK);
      cr_assert(ntk_context_set_memory(context, k ? 4ull << 30 : 16ull << 20) == NTK_OK);
      c.calls = 0;
      const double ridge[] = {1, 30};
      results[k] = solve(
          context, &c,
          (ntk_ridge_options){.choose_ridge = true, .ridges = ridge, .ridge_count = 2, .form = (ntk_ridge_form)form});
      cr_assert(k ? c.longest > 140 : c.longest < (dual ? 100 : 2000), "%lld rows at a time", (long long)c.longest);
      if (!dual) cr_assert(c.rows_read == 3000 + 2500, "%lld rows read", (long long)c.rows_read);
      c.longest = c.rows_read = 0;
      ntk_context_free(context);
    }
    expect_near(results[0].predictions, results[1].predictions, c.problem.test.count * 3, 1e-12, "prediction");
    expect_near(results[0].weights, results[1].weights, c.problem.test.dim * 3, 1e-12, "weight");
    cr_assert(results[0].ridge == results[1].ridge);
    cr_assert(results[0].held_out_accuracy == results[1].held_out_accuracy);
    for (int k = 0; k < 2; k++) ntk_ridge_result_free(&results[k]);
    ridge_free(&c);
  }
}

/* --- choosing the ridge --- */

/* The held-out rows, as flags. */
static void held_rows(const ridge_case *c, const ntk_ridge_options *options, bool *held, int64_t *count) {
  ntk_ridge_fit fit = {.problem = &c->problem, .options = options};
  cr_assert(ntk_ridge_hold_out(&fit) == NTK_OK, "%s", ntk_last_error());
  const int64_t n = c->problem.train.count;
  memset(held, 0, (size_t)n * sizeof *held);
  for (int64_t k = 0; k < fit.held_count; k++) {
    cr_assert(k == 0 || fit.held_rows[k] > fit.held_rows[k - 1]);
    held[fit.held_rows[k]] = true;
    cr_assert(fit.position[fit.held_rows[k]] == n - fit.held_count + k);
  }
  int64_t next = 0;
  for (int64_t i = 0; i < n; i++) {
    if (!held[i]) cr_assert(fit.position[i] == next++);
  }
  *count = fit.held_count;
  free(fit.held_rows);
  free(fit.position);
}

Test(ridge, holds_out_the_same_share_of_each_class) {
  ridge_case c;
  ridge_make(&c, 1000, 1, 2, 5, 3);
  for (int i = 0; i < 1000; i++) c.train_labels[i] = i < 500 ? 0 : i < 800 ? 1 : i < 990 ? 2 : i < 999 ? 3 : 4;
  const double fractions[] = {0, 0.2, 0.5, 0.999999};
  const int64_t counts[] = {100, 200, 500, 999};
  bool first[1000], second[1000];
  for (int f = 0; f < 4; f++) {
    ntk_ridge_options options = {.choose_ridge = true, .held_out = fractions[f], .held_out_seed = 11};
    int64_t count, by_class[5] = {0};
    held_rows(&c, &options, first, &count);
    cr_assert(count == counts[f], "%lld", (long long)count);
    for (int i = 0; i < 1000; i++) by_class[c.train_labels[i]] += first[i];
    const double sizes[] = {500, 300, 190, 9, 1};
    for (int k = 0; k < 5; k++) {
      cr_assert(fabs((double)by_class[k] - (double)count * sizes[k] / 1000) < 1, "class %d: %lld", k,
                (long long)by_class[k]);
    }
    held_rows(&c, &options, second, &count);
    cr_assert(memcmp(first, second, sizeof first) == 0);
    options.held_out_seed = 12;
    held_rows(&c, &options, second, &count);
    cr_assert(f == 3 || memcmp(first, second, sizeof first) != 0);
  }
  ridge_free(&c);
}

/* Fits by elimination on some rows and predicts a row, in long double. */
static void eliminate(const ridge_case *c, ntk_targets targets, double ridge, const bool *held, bool unit,
                      double *accuracy, double *error) {
  const int n = (int)c->problem.train.count, dim = (int)c->problem.train.dim, classes = c->problem.classes;
  long double *a = calloc((size_t)(dim * dim), sizeof *a), *b = calloc((size_t)(dim * classes), sizeof *b);
  long double *z = malloc((size_t)(n * dim) * sizeof *z);
  int right = 0, count = 0;
  long double sum = 0;
  cr_assert(a && b && z);
  for (int i = 0; i < n; i++) {
    const long double norm = unit ? sqrtl(dot(c->train + i * dim, c->train + i * dim, dim)) : 1;
    for (int j = 0; j < dim; j++) z[i * dim + j] = c->train[i * dim + j] / norm;
  }
  const long double shift = targets == NTK_TARGETS_CENTRED ? 1.0L / classes : 0;
  for (int j = 0; j < dim; j++) a[j * dim + j] = ridge;
  for (int i = 0; i < n; i++) {
    for (int j = 0; j < dim && !held[i]; j++) {
      for (int k = 0; k < dim; k++) a[j * dim + k] += z[i * dim + j] * z[i * dim + k];
      for (int k = 0; k < classes; k++) b[j * classes + k] += z[i * dim + j] * ((c->train_labels[i] == k) - shift);
    }
  }
  regress_eliminate(dim, classes, a, b);
  for (int i = 0; i < n; i++) {
    if (!held[i]) continue;
    int best = 0;
    long double values[RIDGE_CLASSES] = {0};
    for (int k = 0; k < classes; k++) {
      for (int j = 0; j < dim; j++) values[k] += z[i * dim + j] * b[j * classes + k];
      if (values[k] > values[best]) best = k;
      sum += powl(values[k] - ((c->train_labels[i] == k) - shift), 2);
    }
    right += best == c->train_labels[i];
    count++;
  }
  *accuracy = (double)right / count;
  *error = (double)(sum / ((long double)count * classes));
  free(a);
  free(b);
  free(z);
}

static double square_mean(const ridge_case *c) {
  const int64_t n = c->problem.train.count, dim = c->problem.train.dim;
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += dot(c->train + i * dim, c->train + i * dim, dim);
  return sum / (double)n;
}

typedef struct by_hand {
  const ridge_case *c;
  const ntk_ridge_options *options;
  const bool *held;
  int64_t held_count;
  int count;
  double ridge[24], accuracy[24], error[24];
} by_hand;

/* Whether its accuracy or its error is the best so far. */
static bool try_by_hand(by_hand *h, double ridge) {
  bool best_accuracy = true, best_error = true;
  const int k = h->count++;
  h->ridge[k] = ridge;
  eliminate(h->c, h->options->targets, ridge, h->held, h->options->unit_rows, &h->accuracy[k], &h->error[k]);
  for (int i = 0; i < k; i++) {
    best_accuracy = best_accuracy && h->accuracy[k] > h->accuracy[i];
    best_error = best_error && h->error[k] < h->error[i];
  }
  return best_accuracy || best_error;
}

/* Of those within one standard error of the best accuracy, the smallest error. */
static int chosen_by_hand(const by_hand *h) {
  double best = 0;
  int at = -1;
  for (int k = 0; k < h->count; k++) best = fmax(best, h->accuracy[k]);
  const double error = sqrt(best * (1 - best) / (double)h->held_count);
  for (int k = 0; k < h->count; k++)
    if (h->accuracy[k] >= best - error && (at < 0 || h->error[k] < h->error[at])) at = k;
  return at;
}

/* Powers of ten from above until three in a row are no better, then finer steps around the choice. */
static void search_by_hand(by_hand *h) {
  const double unit = h->options->unit_rows ? 1 : square_mean(h->c);
  for (int k = 1, failures = 0; k >= -9 && failures < 3; k--)
    failures = try_by_hand(h, unit * pow(10, k)) ? 0 : failures + 1;
  const double steps[] = {0.5, 0.25};
  for (int i = 0; i < 2; i++) {
    const double centre = h->ridge[chosen_by_hand(h)];
    try_by_hand(h, centre * pow(10, -steps[i]));
    try_by_hand(h, centre * pow(10, steps[i]));
  }
}

/* Chosen by hand, then fitted to all rows: in both forms, with given and with default candidates. */
Test(ridge, chooses_on_held_out_rows_then_fits_all) {
  const double given[] = {20, 1e-6, 0.4, 3, 1e-3, 100, 0.05};
  int more_accurate = 0, less_wrong = 0;
  for (unsigned seed = 1; seed <= 24; seed++) {
    ridge_case c;
    ridge_make(&c, 57, 9, seed % 2 ? 13 : 24, 3, seed);
    ntk_ridge_options options = {.targets = seed % 3 ? NTK_TARGETS_ONE_HOT : NTK_TARGETS_CENTRED,
                                 .unit_rows = seed % 4 == 1,
                                 .choose_ridge = true,
                                 .ridges = seed % 5 > 1 ? given : NULL,
                                 .ridge_count = 7,
                                 .held_out = seed % 2 ? 0.35 : 0.1,
                                 .held_out_seed = seed};
    bool held[57];
    int64_t count;
    held_rows(&c, &options, held, &count);
    by_hand hand = {.c = &c, .options = &options, .held = held, .held_count = count};
    for (int k = 0; k < 7 && options.ridges; k++) try_by_hand(&hand, given[k]);
    if (!options.ridges) search_by_hand(&hand);
    const int k = chosen_by_hand(&hand);
    for (int i = 0; i < hand.count; i++) {
      more_accurate += hand.accuracy[i] > hand.accuracy[k];
      less_wrong += hand.error[i] < hand.error[k];
    }
    for (int form = NTK_RIDGE_PRIMAL; form <= NTK_RIDGE_DUAL; form++) {
      options.form = (ntk_ridge_form)form;
      options.choose_ridge = true;
      ntk_ridge_result chosen = solve(NULL, &c, options);
      cr_assert(fabs(chosen.ridge - hand.ridge[k]) <= 1e-12 * hand.ridge[k], "seed %u: %g, not %g", seed, chosen.ridge,
                hand.ridge[k]);
      cr_assert(chosen.held_out_count == count);
      cr_assert_float_eq(chosen.held_out_accuracy, hand.accuracy[k], 1e-15);
      cr_assert_float_eq(chosen.held_out_error, hand.error[k], 1e-8 * hand.error[k]);
      options.choose_ridge = false;
      options.ridge = chosen.ridge;
      options.form = NTK_RIDGE_AUTO;
      ntk_ridge_result fixed = solve(NULL, &c, options);
      expect_near(chosen.predictions, fixed.predictions, 9 * 3, form == NTK_RIDGE_PRIMAL ? 1e-10 : 1e-6, "prediction");
      ntk_ridge_result_free(&chosen);
      ntk_ridge_result_free(&fixed);
    }
    ridge_free(&c);
  }
  cr_assert(more_accurate > 0 && less_wrong > 0, "accuracy and error never disagree: %d, %d", more_accurate,
            less_wrong);
}

/* Every row left out and predicted by a fit to the others. */
static void leave_out_by_hand(const ridge_case *c, const ntk_ridge_options *o, double ridge, double *accuracy,
                              double *error) {
  const int64_t n = c->problem.train.count;
  *accuracy = *error = 0;
  for (int64_t i = 0; i < n; i++) {
    bool held[40] = {false};
    double right, wrong;
    held[i] = true;
    eliminate(c, o->targets, ridge, held, o->unit_rows, &right, &wrong);
    *accuracy += right / (double)n, *error += wrong / (double)n;
  }
}

/* Few rows: leave-one-out against as many fits, with given and with default candidates; the primal form and a share to
 * hold out still hold out. */
Test(ridge, few_rows_are_left_out_one_by_one) {
  const double given[] = {20, 0.4, 3, 1e-2, 100};
  for (unsigned seed = 1; seed <= 8; seed++) {
    ridge_case c;
    ridge_make(&c, 40, 9, seed % 2 ? 7 : 60, 3, seed);
    ntk_ridge_options options = {.targets = seed % 3 ? NTK_TARGETS_ONE_HOT : NTK_TARGETS_CENTRED,
                                 .unit_rows = seed % 4 == 1,
                                 .choose_ridge = true,
                                 .ridges = seed > 2 ? given : NULL,
                                 .ridge_count = 5,
                                 .form = seed % 2 ? NTK_RIDGE_AUTO : NTK_RIDGE_DUAL};
    ntk_ridge_result chosen = solve(NULL, &c, options);
    cr_assert(chosen.leave_one_out && chosen.held_out_count == 40 && chosen.form == NTK_RIDGE_DUAL);
    double accuracy, error, unit = options.unit_rows ? 1 : square_mean(&c);
    leave_out_by_hand(&c, &options, chosen.ridge, &accuracy, &error);
    cr_assert_float_eq(chosen.held_out_accuracy, accuracy, 1e-12);
    cr_assert_float_eq(chosen.held_out_error, error, 1e-7 * error);
    bool known = false;
    for (int k = 0; k < (seed > 2 ? 5 : 17); k++) { /* the upper powers: the lower ones are singular here */
      const double ridge = seed > 2 ? given[k] : unit * pow(10, 1 - k / 4.0);
      double other_accuracy, other_error;
      leave_out_by_hand(&c, &options, ridge, &other_accuracy, &other_error);
      cr_assert(accuracy > other_accuracy - 1e-9, "seed %u: %g does better than %g", seed, ridge, chosen.ridge);
      if (accuracy < other_accuracy + 1e-9) cr_assert(error <= other_error * (1 + 1e-9), "seed %u: %g", seed, ridge);
      known = known || fabs(ridge - chosen.ridge) < 1e-9 * ridge;
    }
    cr_assert(known || seed <= 2, "seed %u: %g is no candidate", seed, chosen.ridge);
    ntk_ridge_result fixed =
        solve(NULL, &c,
              (ntk_ridge_options){.targets = options.targets, .unit_rows = options.unit_rows, .ridge = chosen.ridge});
    expect_near(chosen.predictions, fixed.predictions, 9 * 3, 1e-7, "prediction");
    expect_weights(&c, &chosen, options.unit_rows);
    ntk_ridge_result_free(&chosen);
    ntk_ridge_result_free(&fixed);
    const ntk_ridge_options hold[] = {{.choose_ridge = true, .form = NTK_RIDGE_PRIMAL},
                                      {.choose_ridge = true, .held_out = 0.1}};
    for (int k = 0; k < 2; k++) {
      chosen = solve(NULL, &c, hold[k]);
      cr_assert(!chosen.leave_one_out && chosen.held_out_count == 4);
      ntk_ridge_result_free(&chosen);
    }
    ridge_free(&c);
  }
}

/* Candidates that rounding makes singular are skipped; where none is left there is no answer. */
Test(ridge, skips_candidates_that_are_not_definite) {
  ridge_case c;
  ridge_make(&c, 30, 4, 6, 2, 9);
  for (int i = 0; i < 30; i++) c.train[i * 6 + 5] = c.train[i * 6 + 4];
  const double ridges[] = {0, 1e-300, 2};
  ntk_ridge_result r = solve(NULL, &c, (ntk_ridge_options){.choose_ridge = true, .ridges = ridges, .ridge_count = 3});
  cr_assert(r.ridge == 2);
  ntk_ridge_result_free(&r);
  const ntk_ridge_options none = {.choose_ridge = true, .ridges = ridges, .ridge_count = 2};
  cr_assert(ntk_ridge(NULL, &c.problem, &none, &r) == NTK_ERROR_NUMERIC);
  cr_assert(strstr(ntk_last_error(), "no candidate ridge"), "%s", ntk_last_error());
  cr_assert(ntk_ridge(NULL, &c.problem, &(ntk_ridge_options){0}, &r) == NTK_ERROR_NUMERIC);
  const char *words = "a ridge of at least ", *place = strstr(ntk_last_error(), words);
  cr_assert(place, "%s", ntk_last_error());
  r = solve(NULL, &c, (ntk_ridge_options){.ridge = strtod(place + strlen(words), NULL)});
  ntk_ridge_result_free(&r);
  ridge_free(&c);
}

Test(ridge, no_test_rows_or_labels) {
  ridge_case c;
  ridge_make(&c, 20, 5, 4, 2, 1);
  c.problem.test_labels = NULL;
  ntk_ridge_result r = solve(NULL, &c, (ntk_ridge_options){.ridge = 1});
  cr_assert(isnan(r.accuracy) && isnan(r.mean_squared_error) && r.test_count == 5);
  ntk_ridge_result_free(&r);
  c.problem.test = (ntk_feature_rows){0};
  r = solve(NULL, &c, (ntk_ridge_options){.ridge = 1});
  cr_assert(r.test_count == 0 && r.dim == 4 && isfinite(r.weights[7]));
  ntk_ridge_result_free(&r);
  ridge_free(&c);
}

/* --- progress and cancellation --- */

typedef struct watch {
  ntk_context *context;
  int64_t reports, done, total, cancel_at;
} watch;

static void note(const ntk_progress *p, void *user) {
  watch *w = user;
  cr_assert(strcmp(p->stage, "ridge") == 0 && p->done >= w->done && p->done <= p->total);
  w->reports++;
  w->done = p->done;
  w->total = p->total;
  if (w->cancel_at >= 0 && p->done >= w->cancel_at) ntk_context_cancel(w->context);
}

Test(ridge, progress_counts_rows_and_cancelling_stops) {
  ridge_case c;
  ridge_make(&c, 3000, 20, 700, 2, 4);
  const int64_t cancel_at[] = {-1, 0, 3000};
  for (int k = 0; k < 3; k++) {
    watch w = {.cancel_at = cancel_at[k]};
    cr_assert(ntk_context_create(&w.context) == NTK_OK && ntk_context_set_memory(w.context, 16 << 20) == NTK_OK);
    ntk_context_set_progress(w.context, note, &w);
    ntk_ridge_result r;
    c.rows_read = 0;
    const ntk_status status = ntk_ridge(w.context, &c.problem, &(ntk_ridge_options){.ridge = 1}, &r);
    if (k == 0) {
      cr_assert(status == NTK_OK && w.done == 3020 && w.total == 3020 && w.reports > 0);
      ntk_ridge_result_free(&r);
    } else {
      cr_assert(status == NTK_ERROR_INTERRUPTED || k == 2, "%s", ntk_status_name(status));
      cr_assert(!r.predictions || status == NTK_OK);
      if (k == 1) cr_assert(c.rows_read == 0);
      if (status == NTK_OK) ntk_ridge_result_free(&r);
    }
    ntk_context_free(w.context);
  }
  /* between blocks, from the source itself */
  ntk_context *context;
  cr_assert(ntk_context_create(&context) == NTK_OK && ntk_context_set_memory(context, 16 << 20) == NTK_OK);
  c.cancel = context;
  c.rows_read = 0;
  ntk_ridge_result r;
  cr_assert(ntk_ridge(context, &c.problem, &(ntk_ridge_options){.ridge = 1}, &r) == NTK_ERROR_INTERRUPTED);
  cr_assert(c.rows_read < 3000 && c.rows_read > 0);
  ntk_context_free(context);
  ridge_free(&c);
}
