/* The ridge of the best leave-one-out accuracy, from one eigendecomposition A = V diag(w) V^T:
 * leaving record i out changes its prediction by [(A + lambda)^-1 Y]_i / [(A + lambda)^-1]_ii. */
#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/regress/regress.h"

enum { DEFAULT_CANDIDATES = 12, SQUARED_ROWS = 64 };

typedef struct search {
  double ridges[DEFAULT_CANDIDATES];
  const double *candidates;
  int count;
  double *projected; /* classes x n: Y V, the targets in the eigenbasis */
  double *weighted;  /* classes x n: Y V (w + lambda)^-1 */
  double *solution;  /* classes x n: (A + lambda)^-1 Y */
  double *inverses;  /* count x n: 1/(w + lambda); 0 for a candidate that is skipped */
  double *diagonals; /* count x n: the diagonal of (A + lambda)^-1 */
  double *squares;   /* SQUARED_ROWS x n */
  double *scores;    /* classes values: one leave-one-out prediction */
} search;

static void default_candidates(const ntk_regression *r, search *s) {
  const double mean = ntk_regress_mean_diagonal(r);
  s->ridges[0] = 0;
  for (int i = 1; i < DEFAULT_CANDIDATES; i++) s->ridges[i] = fmax(0, mean * pow(10, i - 10));
  s->candidates = s->ridges;
  s->count = DEFAULT_CANDIDATES;
}

static ntk_status allocate(const ntk_regression *r, search *s) {
  const int64_t n = r->problem->train_count, classes = r->problem->classes;
  const char *what = "the leave-one-out errors";
  NTK_TRY(ntk_regress_allocate(classes, n, what, &s->projected));
  NTK_TRY(ntk_regress_allocate(classes, n, what, &s->weighted));
  NTK_TRY(ntk_regress_allocate(classes, n, what, &s->solution));
  NTK_TRY(ntk_regress_allocate(s->count, n, what, &s->inverses));
  NTK_TRY(ntk_regress_allocate(s->count, n, what, &s->diagonals));
  NTK_TRY(ntk_regress_allocate(SQUARED_ROWS, n, what, &s->squares));
  return ntk_regress_allocate(classes, 1, what, &s->scores);
}

static void release(search *s) {
  free(s->projected);
  free(s->weighted);
  free(s->solution);
  free(s->inverses);
  free(s->diagonals);
  free(s->squares);
  free(s->scores);
}

static bool allowed(const ntk_regression *r, const search *s, int candidate) {
  const int64_t n = r->problem->train_count;
  return ntk_regress_definite(n, r->eigenvalues[0], r->eigenvalues[n - 1], s->candidates[candidate]);
}

/* The diagonals of all (A + lambda)^-1 at once: SUM_k V_ki^2 / (w_k + lambda). */
static void inverse_diagonals(const ntk_regression *r, search *s) {
  const int64_t n = r->problem->train_count;
  for (int c = 0; c < s->count; c++) {
    const bool use = allowed(r, s, c);
    for (int64_t k = 0; k < n; k++) s->inverses[c * n + k] = use ? 1 / (r->eigenvalues[k] + s->candidates[c]) : 0;
  }
  for (int64_t first = 0; first < n; first += SQUARED_ROWS) {
    const int64_t rows = n - first < SQUARED_ROWS ? n - first : SQUARED_ROWS;
    for (int64_t i = 0; i < rows * n; i++) s->squares[i] = r->factor[first * n + i] * r->factor[first * n + i];
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, s->count, (blasint)n, (blasint)rows, 1, s->inverses + first,
                (blasint)n, s->squares, (blasint)n, first > 0, s->diagonals, (blasint)n);
  }
}

/* out = (A + lambda)^-1 Y for a candidate. */
static void solve(const ntk_regression *r, const search *s, int candidate, double *out) {
  const int64_t n = r->problem->train_count;
  const int32_t classes = r->problem->classes;
  for (int64_t c = 0; c < classes; c++) {
    for (int64_t k = 0; k < n; k++) s->weighted[c * n + k] = s->projected[c * n + k] * s->inverses[candidate * n + k];
  }
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, classes, (blasint)n, (blasint)n, 1, s->weighted, (blasint)n,
              r->factor, (blasint)n, 0, out, (blasint)n);
}

typedef struct quality {
  int64_t right;
  double squared_error;
} quality;

static quality judge(const ntk_regression *r, const search *s, int candidate) {
  const int64_t n = r->problem->train_count;
  const int32_t classes = r->problem->classes;
  quality q = {0, 0};
  solve(r, s, candidate, s->solution);
  for (int64_t i = 0; i < n; i++) {
    for (int32_t c = 0; c < classes; c++) {
      const double residual = s->solution[c * n + i] / s->diagonals[candidate * n + i];
      s->scores[c] = r->targets[c * n + i] - residual;
      q.squared_error += residual * residual;
    }
    q.right += ntk_regress_argmax(s->scores, classes) == r->problem->train_labels[i];
  }
  return q;
}

static bool better(quality a, double ridge_a, quality b, double ridge_b) {
  if (a.right != b.right) return a.right > b.right;
  if (a.squared_error != b.squared_error) return a.squared_error < b.squared_error;
  return ridge_a > ridge_b;
}

static ntk_status choose(ntk_regression *r, search *s) {
  const int64_t n = r->problem->train_count;
  const int32_t classes = r->problem->classes;
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, classes, (blasint)n, (blasint)n, 1, r->targets, (blasint)n,
              r->factor, (blasint)n, 0, s->projected, (blasint)n);
  inverse_diagonals(r, s);
  int best = -1;
  quality best_quality = {0, 0};
  for (int c = 0; c < s->count; c++) {
    if (!allowed(r, s, c)) continue;
    NTK_TRY(ntk_regress_cancelled(r));
    const quality q = judge(r, s, c);
    if (best >= 0 && !better(q, s->candidates[c], best_quality, s->candidates[best])) continue;
    best = c;
    best_quality = q;
  }
  if (best < 0) {
    return ntk_regress_not_definite(r, "no candidate ridge makes the training matrix positive definite",
                                    r->eigenvalues[0], r->eigenvalues[n - 1]);
  }
  r->ridge = s->candidates[best];
  r->loo_accuracy = (double)best_quality.right / (double)n;
  r->loo_error = best_quality.squared_error / ((double)n * classes);
  solve(r, s, best, r->alpha);
  return NTK_OK;
}

static ntk_status decompose(ntk_regression *r) {
  const int64_t n = r->problem->train_count;
  NTK_TRY(ntk_regress_allocate(n, n, "the copy of the training matrix", &r->factor));
  NTK_TRY(ntk_regress_allocate(1, n, "the eigenvalues", &r->eigenvalues));
  ntk_regress_fill(r, 0, r->factor);
  NTK_TRY(ntk_regress_eigenvectors(r, &r->factor, r->eigenvalues));
  return ntk_regress_cancelled(r);
}

ntk_status ntk_regress_choose(ntk_regression *r) {
  search s = {.candidates = r->options->ridges, .count = (int)r->options->ridge_count};
  if (!r->options->ridges) default_candidates(r, &s);
  NTK_TRY(decompose(r));
  ntk_status status = allocate(r, &s);
  if (status == NTK_OK) status = choose(r, &s);
  release(&s);
  return status;
}
