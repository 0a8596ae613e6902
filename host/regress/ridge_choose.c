/* The ridge that does best on training rows that are held out for that. */
#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/data/random.h"
#include "host/data/sampling.h"
#include "host/regress/regress.h"
#include "host/regress/ridge.h"

enum { POWERS = 11, FINER = 4 }; /* default candidates: powers of ten, and steps around the best of them */

/* --- which rows --- */

typedef struct share {
  int64_t rows, wanted, remainder;
  int32_t class;
} share;

static int by_remainder(const void *a, const void *b) {
  const share *x = a, *y = b;
  if (x->remainder != y->remainder) return x->remainder > y->remainder ? -1 : 1;
  return (x->class > y->class) - (x->class < y->class);
}

static int by_class(const void *a, const void *b) {
  const share *x = a, *y = b;
  return (x->class > y->class) - (x->class < y->class);
}

/* `wanted` rows in proportion to the classes, by the method of the largest remainder. */
static void set_shares(share *shares, int32_t classes, int64_t total, int64_t wanted) {
  int64_t left = wanted;
  for (int32_t c = 0; c < classes; c++) {
    const __int128 product = (__int128)wanted * shares[c].rows;
    shares[c].wanted = (int64_t)(product / total);
    shares[c].remainder = (int64_t)(product % total);
    left -= shares[c].wanted;
  }
  qsort(shares, (size_t)classes, sizeof *shares, by_remainder);
  for (int32_t c = 0; c < left; c++) shares[c].wanted++;
  qsort(shares, (size_t)classes, sizeof *shares, by_class);
}

/* Marks the rows of one class; `rows` and `chosen` are scratch, `zeros` labels them all alike. */
static ntk_status choose_class(const ntk_ridge_fit *fit, const share *s, int64_t *rows, const int32_t *zeros,
                               int64_t *chosen, bool *held) {
  const uint64_t seed = ntk_random_stream(fit->options->held_out_seed, (uint64_t)s->class);
  int64_t count = 0;
  if (s->wanted == 0) return NTK_OK;
  for (int64_t i = 0; i < fit->problem->train.count; i++) {
    if (fit->problem->train_labels[i] == s->class) rows[count++] = i;
  }
  NTK_TRY(ntk_subset_choose(zeros, count, 1, s->wanted, seed, chosen));
  for (int64_t k = 0; k < s->wanted; k++) held[rows[chosen[k]]] = true;
  return NTK_OK;
}

static void set_positions(ntk_ridge_fit *fit, const bool *held) {
  const int64_t n = fit->problem->train.count;
  int64_t fitted = 0, behind = 0;
  for (int64_t i = 0; i < n; i++) {
    if (held && held[i]) {
      fit->position[i] = n - fit->held_count + behind;
      fit->held_rows[behind++] = i;
    } else {
      fit->position[i] = fitted++;
    }
  }
}

static ntk_status hold_out(ntk_ridge_fit *fit, share *shares, int64_t *scratch, int32_t *zeros, bool *held) {
  const int64_t n = fit->problem->train.count;
  for (int32_t c = 0; c < fit->problem->classes; c++) shares[c].class = c;
  for (int64_t i = 0; i < n; i++) shares[fit->problem->train_labels[i]].rows++;
  set_shares(shares, fit->problem->classes, n, fit->held_count);
  for (int32_t c = 0; c < fit->problem->classes; c++) {
    NTK_TRY(choose_class(fit, &shares[c], scratch, zeros, scratch + n, held));
  }
  set_positions(fit, held);
  return NTK_OK;
}

ntk_status ntk_ridge_hold_out(ntk_ridge_fit *fit) {
  const int64_t n = fit->problem->train.count;
  const char *what = "the numbers of the training rows";
  NTK_TRY(ntk_ridge_allocate(n, 1, sizeof *fit->position, what, (void **)&fit->position));
  if (!fit->options->choose_ridge || fit->leave_one_out) {
    set_positions(fit, NULL);
    return NTK_OK;
  }
  const double fraction = fit->options->held_out > 0 ? fit->options->held_out : 0.1;
  fit->held_count = (int64_t)fmin(fmax(1, floor(fraction * (double)n + 0.5)), (double)(n - 1));
  NTK_TRY(ntk_ridge_allocate(fit->held_count, 1, sizeof *fit->held_rows, what, (void **)&fit->held_rows));
  share *shares = calloc((size_t)fit->problem->classes, sizeof *shares);
  int64_t *scratch = calloc((size_t)n, 2 * sizeof *scratch);
  int32_t *zeros = calloc((size_t)n, sizeof *zeros);
  bool *held = calloc((size_t)n, sizeof *held);
  const ntk_status status = shares && scratch && zeros && held
                                ? hold_out(fit, shares, scratch, zeros, held)
                                : ntk_fail(NTK_ERROR_MEMORY, "no memory to hold out some of %lld rows", (long long)n);
  free(shares);
  free(scratch);
  free(zeros);
  free(held);
  return status;
}

/* --- which ridge --- */

typedef struct quality {
  int64_t right;
  double squared_error, ridge;
} quality;

/* held_count x classes. */
static void predict_held(ntk_ridge_fit *fit, double *out) {
  const blasint classes = fit->problem->classes, order = (blasint)fit->order;
  const int64_t fitted = fit->problem->train.count - fit->held_count;
  if (fit->dual) {
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)fit->held_count, classes, (blasint)fitted, 1,
                fit->matrix + fitted * fit->order, order, fit->solution, (blasint)fitted, 0, out, classes);
    return;
  }
  for (int64_t first = 0; first < fit->held_count; first += fit->most) {
    const int64_t count = fit->held_count - first < fit->most ? fit->held_count - first : fit->most;
    ntk_ridge_convert(fit, fit->held + first * fit->order, count, fit->rows);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)count, classes, order, 1, fit->rows, order,
                fit->solution, order, 0, out + first * classes, classes);
  }
}

static quality judge(ntk_ridge_fit *fit, double ridge, double *predictions) {
  const int32_t classes = fit->problem->classes;
  quality q = {0, 0, ridge};
  predict_held(fit, predictions);
  for (int64_t i = 0; i < fit->held_count; i++) {
    const int32_t label = fit->problem->train_labels[fit->held_rows[i]];
    const double *row = predictions + i * classes;
    for (int32_t c = 0; c < classes; c++) {
      const double error = row[c] - ntk_regress_target(fit->options->targets, classes, label, c);
      q.squared_error += error * error;
    }
    q.right += ntk_regress_argmax(row, classes) == label;
  }
  return q;
}

/* What was judged so far. */
typedef struct search {
  ntk_ridge_fit *fit;
  double *predictions;
  quality *judged;
  size_t count;
  int64_t most_right;
  double least_error;
} search;

/* Of the candidates whose accuracy is within one standard error of the best one's, that with the smallest squared
 * error, among equals the larger: accuracies of a few hundred rows are too noisy to tell ridges apart, those of
 * thousands tell more than the error does. NULL: none. */
static const quality *chosen(const search *s) {
  const double n = (double)s->fit->held_count, rate = (double)s->most_right / n;
  const double least = (double)s->most_right - sqrt(n * rate * (1 - rate));
  const quality *best = NULL;
  for (size_t k = 0; k < s->count; k++) {
    const quality *q = &s->judged[k];
    if ((double)q->right < least) continue;
    if (best && (q->squared_error > best->squared_error ||
                 (q->squared_error == best->squared_error && q->ridge <= best->ridge)))
      continue;
    best = q;
  }
  return best;
}

size_t ntk_ridge_candidates(const ntk_ridge_options *options) {
  if (!options->choose_ridge) return 0;
  return options->ridges ? options->ridge_count : POWERS + FINER;
}

/* Judges one candidate; *improved: no other has so many right, or so small an error. */
static ntk_status try_ridge(search *s, double ridge, bool *improved) {
  ntk_ridge_fit *fit = s->fit;
  const int64_t order = fit->dual ? fit->problem->train.count - fit->held_count : fit->order;
  bool factored, definite;
  *improved = false;
  NTK_TRY(ntk_ridge_factorise(fit, order, ridge, &factored, &definite));
  if (!definite) return NTK_OK;
  NTK_TRY(ntk_ridge_solve(fit, order));
  const quality q = judge(fit, ridge, s->predictions);
  *improved = s->count == 0 || q.right > s->most_right || q.squared_error < s->least_error;
  if (s->count == 0 || q.right > s->most_right) s->most_right = q.right;
  if (s->count == 0 || q.squared_error < s->least_error) s->least_error = q.squared_error;
  s->judged[s->count++] = q;
  return NTK_OK;
}

/* Downwards from the largest, a factor 10 apart, until three in a row are no better; then around the chosen one,
 * 10^(1/2) and 10^(1/4) apart. */
static ntk_status search_default(search *s) {
  const double unit = ntk_ridge_mean_square(s->fit);
  bool improved;
  for (int k = POWERS - 1, failures = 0; k >= 0 && failures < 3; k--) {
    NTK_TRY(try_ridge(s, unit * pow(10, k - 9), &improved));
    failures = improved ? 0 : failures + 1;
  }
  for (double step = 0.5; step > 0.2 && s->count > 0; step /= 2) {
    const double centre = chosen(s)->ridge;
    NTK_TRY(try_ridge(s, centre * pow(10, -step), &improved));
    NTK_TRY(try_ridge(s, centre * pow(10, step), &improved));
  }
  return NTK_OK;
}

static ntk_status run_search(search *s) {
  const ntk_ridge_options *options = s->fit->options;
  bool improved;
  if (!options->ridges) NTK_TRY(search_default(s));
  for (size_t k = 0; options->ridges && k < options->ridge_count; k++)
    NTK_TRY(try_ridge(s, options->ridges[k], &improved));
  const quality *best = chosen(s);
  if (!best) return ntk_ridge_not_definite(s->fit, "no candidate ridge makes the matrix positive definite");
  ntk_ridge_fit *fit = s->fit;
  fit->ridge = best->ridge;
  fit->held_out_accuracy = (double)best->right / (double)fit->held_count;
  fit->held_out_error = best->squared_error / ((double)fit->held_count * fit->problem->classes);
  return NTK_OK;
}

ntk_status ntk_ridge_choose(ntk_ridge_fit *fit) {
  search s = {.fit = fit};
  NTK_TRY(ntk_ridge_allocate(fit->held_count, fit->problem->classes, sizeof *s.predictions, "the held-out predictions",
                             (void **)&s.predictions));
  s.judged = calloc(ntk_ridge_candidates(fit->options), sizeof *s.judged);
  const ntk_status status =
      s.judged ? run_search(&s) : ntk_fail(NTK_ERROR_MEMORY, "no memory for the candidate ridges");
  free(s.predictions);
  free(s.judged);
  return status;
}
