/* Matrix and right-hand sides, block by block. */
#include <cblas.h>
#include <string.h>

#include "host/regress/regress.h"
#include "host/regress/ridge.h"

static const char train[] = "the training features";

static bool is_held(const ntk_ridge_fit *fit, int64_t row) {
  return fit->position[row] >= fit->problem->train.count - fit->held_count;
}

static void set_targets(ntk_ridge_fit *fit, int64_t at, int64_t row) {
  const int32_t classes = fit->problem->classes, label = fit->problem->train_labels[row];
  for (int32_t c = 0; c < classes; c++) {
    fit->targets[at * classes + c] = ntk_regress_target(fit->options->targets, classes, label, c);
  }
}

static void add_squares(ntk_ridge_fit *fit, int64_t count) {
  for (int64_t i = 0; i < count; i++) fit->trace += fit->options->unit_rows ? 1 : fit->squares[i];
}

static double primal_flops(const ntk_ridge_fit *fit, int64_t rows) {
  return (double)rows * (double)fit->order * ((double)fit->order + 1);
}

/* --- primal: Z^T Z and (Z^T Y)^T --- */

/* Adds `count` rows in fit->rows with their targets. */
static void add_rows(ntk_ridge_fit *fit, int64_t count) {
  const blasint dim = (blasint)fit->order, classes = fit->problem->classes, rows = (blasint)count;
  cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, dim, rows, 1, fit->rows, dim, 1, fit->matrix, dim);
  cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, classes, dim, rows, 1, fit->targets, classes, fit->rows, dim, 1,
              fit->right, dim);
}

/* Moves the held-out rows of a block to their store and the others together; returns how many are left. */
static int64_t set_aside(ntk_ridge_fit *fit, int64_t first, int64_t count) {
  const int64_t dim = fit->order, fitted = fit->problem->train.count - fit->held_count;
  const size_t bytes = (size_t)dim * sizeof *fit->rows;
  int64_t kept = 0;
  for (int64_t i = 0; i < count; i++) {
    if (is_held(fit, first + i)) {
      float *store = fit->held + (fit->position[first + i] - fitted) * dim;
      memcpy(store, fit->raw + i * dim, (size_t)dim * sizeof *store);
      continue;
    }
    if (kept < i) memmove(fit->rows + kept * dim, fit->rows + i * dim, bytes);
    set_targets(fit, kept++, first + i);
  }
  return kept;
}

static ntk_status accumulate_primal(ntk_ridge_fit *fit) {
  const ntk_feature_rows *source = &fit->problem->train;
  for (int64_t first = 0; first < source->count; first += fit->most) {
    const int64_t count = source->count - first < fit->most ? source->count - first : fit->most;
    NTK_TRY(ntk_ridge_load(fit, source, train, first, count, fit->rows));
    add_squares(fit, count);
    const int64_t kept = set_aside(fit, first, count);
    if (kept > 0) add_rows(fit, kept);
    NTK_TRY(ntk_ridge_advance(fit, count, primal_flops(fit, kept)));
  }
  return NTK_OK;
}

/* --- dual: Z Z^T and Y^T, rows and columns by position --- */

/* Puts the products of two blocks of rows in their places in the lower triangle. */
static void scatter(ntk_ridge_fit *fit, int64_t first, int64_t rows, int64_t other, int64_t columns) {
  const int64_t n = fit->order;
  for (int64_t i = 0; i < rows; i++) {
    for (int64_t j = 0; j < columns && other + j <= first + i; j++) {
      const int64_t a = fit->position[first + i], b = fit->position[other + j];
      fit->matrix[a > b ? a * n + b : b * n + a] = fit->tile[i * fit->most + j];
    }
  }
}

static ntk_status multiply(ntk_ridge_fit *fit, int64_t first, int64_t rows, int64_t other, int64_t columns) {
  const blasint dim = (blasint)fit->problem->train.dim, most = (blasint)fit->most;
  if (other == first) {
    cblas_dsyrk(CblasRowMajor, CblasLower, CblasNoTrans, (blasint)rows, dim, 1, fit->rows, dim, 0, fit->tile, most);
  } else {
    NTK_TRY(ntk_ridge_load(fit, &fit->problem->train, train, other, columns, fit->other));
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)rows, (blasint)columns, dim, 1, fit->rows, dim,
                fit->other, dim, 0, fit->tile, most);
  }
  scatter(fit, first, rows, other, columns);
  const double products = (double)rows * (other == first ? (double)rows + 1 : 2.0 * (double)columns);
  return ntk_ridge_advance(fit, other == first ? rows : 0, products * dim);
}

static ntk_status accumulate_dual(ntk_ridge_fit *fit) {
  const ntk_feature_rows *source = &fit->problem->train;
  const int32_t classes = fit->problem->classes;
  for (int64_t first = 0; first < source->count; first += fit->most) {
    const int64_t rows = source->count - first < fit->most ? source->count - first : fit->most;
    NTK_TRY(ntk_ridge_load(fit, source, train, first, rows, fit->rows));
    add_squares(fit, rows);
    for (int64_t i = 0; i < rows; i++) {
      set_targets(fit, i, first + i);
      for (int32_t c = 0; c < classes; c++) {
        fit->right[c * fit->order + fit->position[first + i]] = fit->targets[i * classes + c];
      }
    }
    for (int64_t other = 0; other < first; other += fit->most) {
      NTK_TRY(multiply(fit, first, rows, other, fit->most));
    }
    NTK_TRY(multiply(fit, first, rows, first, rows));
  }
  return NTK_OK;
}

static void keep_diagonal(ntk_ridge_fit *fit) {
  for (int64_t i = 0; i < fit->order; i++) fit->diagonal[i] = fit->matrix[i * (fit->order + 1)];
}

ntk_status ntk_ridge_accumulate(ntk_ridge_fit *fit) {
  const int64_t order = fit->order;
  for (int64_t i = 0; i < order; i++) memset(fit->matrix + i * order, 0, (size_t)(i + 1) * sizeof *fit->matrix);
  memset(fit->right, 0, (size_t)order * (size_t)fit->problem->classes * sizeof *fit->right);
  NTK_TRY(fit->dual ? accumulate_dual(fit) : accumulate_primal(fit));
  keep_diagonal(fit);
  return NTK_OK;
}

ntk_status ntk_ridge_accumulate_held(ntk_ridge_fit *fit) {
  if (fit->dual) return NTK_OK; /* they are in the matrix already */
  for (int64_t i = 0; i < fit->order; i++) fit->matrix[i * (fit->order + 1)] = fit->diagonal[i];
  for (int64_t first = 0; first < fit->held_count; first += fit->most) {
    const int64_t count = fit->held_count - first < fit->most ? fit->held_count - first : fit->most;
    ntk_ridge_convert(fit, fit->held + first * fit->order, count, fit->rows);
    for (int64_t i = 0; i < count; i++) set_targets(fit, i, fit->held_rows[first + i]);
    add_rows(fit, count);
    NTK_TRY(ntk_ridge_advance(fit, 0, primal_flops(fit, count)));
  }
  keep_diagonal(fit);
  return NTK_OK;
}
