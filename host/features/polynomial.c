/* PolySketch: features of powers of the cosine (Ahle et al., arXiv:1909.01410), and with them of functions of it. */
#include "host/features/polynomial.h"

#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/status.h"

static ntk_status no_memory(void) { return ntk_fail(NTK_ERROR_MEMORY, "no memory for a polynomial sketch"); }

/* ---- the fit: least squares with c >= 0, by the active sets of Lawson and Hanson (1974) ---- */

enum { POINTS = 2001, MOST = NTK_MOST_DEGREE + 1 };

typedef struct fit {
  int count;
  double *powers, *values; /* [count][POINTS], [POINTS] */
  double *matrix, *right;  /* of a subproblem */
  bool free[MOST];         /* coefficients that are not held at 0 */
  double c[MOST];
} fit;

/* Unconstrained least squares in the free coefficients. */
static bool solve_free(fit *f, double *c) {
  int columns[MOST], count = 0;
  for (int l = 0; l < f->count; l++)
    if (f->free[l]) columns[count++] = l;
  for (int k = 0; k < count; k++)
    memcpy(f->matrix + (size_t)k * POINTS, f->powers + (size_t)columns[k] * POINTS, POINTS * sizeof(double));
  memcpy(f->right, f->values, POINTS * sizeof(double));
  memset(c, 0, MOST * sizeof *c);
  if (count && LAPACKE_dgels(LAPACK_COL_MAJOR, 'N', POINTS, count, 1, f->matrix, POINTS, f->right, POINTS) != 0)
    return false;
  for (int k = 0; k < count; k++) c[columns[k]] = f->right[k];
  return true;
}

/* The coefficient at 0 whose growth lowers the error most, or -1. */
static int steepest(const fit *f) {
  double best = 1e-9;
  int found = -1;
  for (int l = 0; l < f->count; l++) {
    double slope = 0, size = 0;
    if (f->free[l]) continue;
    for (int i = 0; i < POINTS; i++) {
      double left = f->values[i];
      for (int m = 0; m < f->count; m++) left -= f->c[m] * f->powers[(size_t)m * POINTS + (size_t)i];
      slope += left * f->powers[(size_t)l * POINTS + (size_t)i];
      size += f->powers[(size_t)l * POINTS + (size_t)i] * f->powers[(size_t)l * POINTS + (size_t)i];
    }
    if (slope / size > best) best = slope / size, found = l;
  }
  return found;
}

static bool fit_nonnegative(fit *f) {
  double c[MOST];
  for (int round = 0; round < 10 * MOST; round++) {
    const int l = steepest(f);
    if (l < 0) return true;
    f->free[l] = true;
    for (;;) { /* back from where a coefficient would turn negative */
      double step = 1;
      if (!solve_free(f, c)) return false;
      for (int m = 0; m < f->count; m++)
        if (f->free[m] && c[m] <= 0 && f->c[m] - c[m] > 0) step = fmin(step, f->c[m] / (f->c[m] - c[m]));
      bool inside = true;
      for (int m = 0; m < f->count; m++) inside = inside && (!f->free[m] || c[m] > 0);
      for (int m = 0; m < f->count; m++) f->c[m] += (inside ? 1 : step) * (c[m] - f->c[m]);
      if (inside) break;
      for (int m = 0; m < f->count; m++)
        if (f->free[m] && f->c[m] <= 1e-12) f->free[m] = false, f->c[m] = 0;
    }
  }
  return true;
}

ntk_status ntk_polynomial_fit(ntk_cosine_function k, const void *user, int degree, double *coefficients) {
  fit f = {.count = degree + 1};
  f.powers = malloc((size_t)f.count * POINTS * sizeof(double)),
  f.matrix = malloc((size_t)f.count * POINTS * sizeof(double));
  f.values = malloc(POINTS * sizeof(double)), f.right = malloc(POINTS * sizeof(double));
  bool fine = f.powers && f.matrix && f.values && f.right;
  for (int i = 0; i < POINTS && fine; i++) {
    const double r = -1 + 2.0 * i / (POINTS - 1);
    f.values[i] = k(user, r);
    for (int l = 0; l < f.count; l++) f.powers[(size_t)l * POINTS + (size_t)i] = l ? pow(r, l) : 1;
  }
  fine = fine && fit_nonnegative(&f);
  memcpy(coefficients, f.c, (size_t)f.count * sizeof(double));
  free(f.powers), free(f.matrix), free(f.values), free(f.right);
  return fine ? NTK_OK : no_memory();
}

/* ---- the tree ---- */

ntk_status ntk_polynomial_make(ntk_features *features, ntk_cosine_function k, const void *user, int degree, int inputs,
                               int dim, ntk_polynomial **out) {
  ntk_polynomial *p = ntk_features_own(features, 1, sizeof *p);
  if (!p) return no_memory();
  p->degree = degree, p->inputs = inputs, p->dim = dim, p->width = dim > 0 ? dim - 1 : 0;
  NTK_TRY(ntk_polynomial_fit(k, user, degree, p->coefficients));
  const ntk_sketch asked = features->options.sketch;
  features->options.sketch = NTK_SKETCH_SRHT;
  ntk_status status = NTK_OK;
  int size = 1;
  while (size < inputs) size *= 2;
  for (int l = 0; l < degree && status == NTK_OK; l++) {
    p->leaves[l] = (ntk_feature_hadamard){inputs, size, ntk_draw_signs(features, (size_t)inputs)};
    /* any coordinate of a transform with random signs is unbiased: they are taken in order */
    p->samples[l] = ntk_features_own(features, (size_t)p->width, sizeof *p->samples[l]);
    if (!p->leaves[l].sign || !p->samples[l]) status = no_memory();
    for (int c = 0; c < p->width && status == NTK_OK; c++) p->samples[l][c] = c % size;
    if (l > 0 && status == NTK_OK) status = ntk_product_make(features, p->width, p->width, p->width, &p->nodes[l]);
  }
  features->options.sketch = asked;
  p->shifts = ntk_draw_below(features, (size_t)degree, p->width > 0 ? p->width : 1);
  p->signs = ntk_draw_signs(features, (size_t)degree * (size_t)p->width);
  *out = p;
  return status == NTK_OK && (!p->shifts || !p->signs) ? no_memory() : status;
}

static size_t padded(int n) { return ((size_t)n + 15) / 16 * 16; }

enum { LEVELS = 6 }; /* subtrees of 1, 2, 4, ... 32 leaves */

size_t ntk_polynomial_work(const ntk_polynomial *p) {
  const size_t node = p->degree > 1 ? ntk_product_work(&p->nodes[1]) : 0;
  return (LEVELS + 2) * padded(p->width) + padded(p->leaves[0].size) + node + 32;
}

double ntk_polynomial_flops(const ntk_polynomial *p) {
  const double n = p->leaves[0].size, leaf = n * log2(n);
  double sum = 0;
  for (int l = 1; l <= p->degree; l++) {
    int joins = 0;
    for (int rest = l; rest; rest &= rest - 1) joins++;   /* complete subtrees of Q_l */
    for (int full = l; full % 2 == 0; full /= 2) joins++; /* those that leaf l completes */
    sum += leaf + (l > 1 ? (joins - 1) * ntk_product_flops(&p->nodes[1]) : 0) + 2.0 * p->width;
  }
  return sum;
}

static void add_rotated(const ntk_polynomial *p, const ntk_feature_ops *ops, int l, const float *q, float scale,
                        float *out) {
  const int8_t *sign = p->signs + (size_t)l * (size_t)p->width;
  const size_t shift = (size_t)p->shifts[l], room = (size_t)p->width - shift;
  ops->add(q, sign, room, scale, out + shift);
  ops->add(q + room, sign + room, shift, scale, out);
}

/* Nodes are numbered by the leaf behind which their subtrees meet, so that a complete subtree of 2^j leaves that ends
 * with leaf l is joined at l - 2^(j-1), and its randomness is the same in every Q that holds it. */
void ntk_polynomial_row(const ntk_polynomial *p, const ntk_feature_ops *ops, const float *row, float inverse,
                        float scale, float *work, float *out) {
  const size_t width = padded(p->width);
  float *full[LEVELS], *open = work + LEVELS * width, *joined = open + width, *transform = joined + width;
  float *node = transform + padded(p->leaves[0].size);
  const float sample = inverse / sqrtf((float)p->width);
  for (int j = 0; j < LEVELS; j++) full[j] = work + (size_t)j * width;
  memset(out, 0, (size_t)p->dim * sizeof *out);
  out[0] = scale * (float)sqrt(p->coefficients[0]);
  for (int l = 1; l <= p->degree && p->width > 0; l++) {
    /* leaf l, and the subtrees that it completes */
    int level = 0;
    ops->hadamard(&p->leaves[l - 1], row, transform);
    ops->repeat(transform, p->leaves[l - 1].size, (size_t)p->width, sample, open);
    for (; !(l >> level & 1); level++) {
      ntk_product_row(&p->nodes[l - (1 << level)], ops, NULL, full[level], open, node, joined);
      float *swap = open;
      open = joined, joined = swap;
    }
    memcpy(full[level], open, (size_t)p->width * sizeof *open);
    if (p->coefficients[l] <= 0) continue;
    /* Q_l: the complete subtrees of l's binary digits, the smallest first */
    int end = l - (1 << level);
    for (int j = level + 1; end > 0; j++) {
      if (!(end >> j & 1)) continue;
      ntk_product_row(&p->nodes[end], ops, NULL, full[j], open, node, joined);
      float *swap = open;
      open = joined, joined = swap;
      end -= 1 << j;
    }
    add_rotated(p, ops, l - 1, open, scale * (float)sqrt(p->coefficients[l]), out + 1);
  }
}
