/* Fully connected kernels: the elementwise recursion of arXiv:1806.07572 over one row of a tile, in float64.
 *
 * In:  products[j] = <x, z_j> / d.
 * Out: per tap k the covariance s[k][j] (NNGP) and t[k][j] (NTK) after its activation, for j < count.
 */
#ifndef NTK_KERNELS_FC_H
#define NTK_KERNELS_FC_H

#include <stddef.h>

#include "kernels/activation.h"

/* A dense layer followed by an activation or nothing. */
typedef struct ntk_fc_layer {
  double w2, b2; /* W_std^2, b_std^2 */
  int trained;   /* 1: the layer adds the new S to T */
  int relu;
  double half_c; /* c / 2 of the ReLU */
  int norm;      /* index of the ReLU's norms, or -1 */
  int dual;      /* index of another activation's dual, or -1 */
  int side;      /* index of that dual's first side */
  int tap;       /* index of the readout after this layer, or -1 */
  double old_weight, constant; /* adds old_weight times the old S, and a constant, to T (standard parameterisation) */
} ntk_fc_layer;

typedef struct ntk_fc_program {
  int layer_count;
  const ntk_fc_layer *layers;
  const ntk_activation_dual *duals;
  int dual_count, norm_count, side_count, tap_count; /* side_count: what is kept of an input, see below */
  int want_ntk;
} ntk_fc_program;

/* x_sides[side], z_sides[side * stride + j], side < side_count: n = sqrt(q(x,x)) before each ReLU; from norm_count on
 * the same count of reciprocals (0 for n = 0); from 2 norm_count on the sides of the duals (activation.h), in the order
 * of the layers. s, t: tap-major with the given stride. */
typedef void (*ntk_fc_row)(const ntk_fc_program *program, const double *products, const double *x_sides,
                           const double *z_sides, size_t stride, size_t count, double *s, double *t);

void ntk_fc_row_baseline(const ntk_fc_program *, const double *, const double *, const double *, size_t, size_t,
                         double *, double *);
void ntk_fc_row_avx2(const ntk_fc_program *, const double *, const double *, const double *, size_t, size_t, double *,
                     double *);
void ntk_fc_row_avx512(const ntk_fc_program *, const double *, const double *, const double *, size_t, size_t, double *,
                       double *);

#endif
