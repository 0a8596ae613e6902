/* Fully connected kernels: the elementwise recursion of arXiv:1806.07572 over one row of a tile, in float64.
 *
 * In:  products[j] = <x, z_j> / d.
 * Out: per tap k the covariance s[k][j] (NNGP) and t[k][j] (NTK) after its activation, for j < count.
 */
#ifndef NTK_KERNELS_FC_H
#define NTK_KERNELS_FC_H

#include <stddef.h>

/* A dense layer followed by an activation or nothing. */
typedef struct ntk_fc_layer {
  double w2, b2; /* W_std^2, b_std^2 */
  int trained;   /* 1: the layer adds the new S to T */
  int relu;
  double half_c; /* c / 2 of the ReLU */
  int norm;      /* index of the ReLU's norms, or -1 */
  int tap;       /* index of the readout after this layer, or -1 */
  double old_weight, constant; /* adds old_weight times the old S, and a constant, to T (standard parameterisation) */
} ntk_fc_layer;

typedef struct ntk_fc_program {
  int layer_count;
  const ntk_fc_layer *layers;
  int norm_count, tap_count;
  int want_ntk;
} ntk_fc_program;

/* x_norms[norm], z_norms[norm * stride + j]: n = sqrt(q(x,x)) before each ReLU, then the same count of reciprocals (0
 * for n = 0) at x_norms + norm_count and z_norms + norm_count * stride. s, t: tap-major with the given stride. */
typedef void (*ntk_fc_row)(const ntk_fc_program *program, const double *products, const double *x_norms,
                           const double *z_norms, size_t stride, size_t count, double *s, double *t);

void ntk_fc_row_baseline(const ntk_fc_program *, const double *, const double *, const double *, size_t, size_t,
                         double *, double *);
void ntk_fc_row_avx2(const ntk_fc_program *, const double *, const double *, const double *, size_t, size_t, double *,
                     double *);
void ntk_fc_row_avx512(const ntk_fc_program *, const double *, const double *, const double *, size_t, size_t, double *,
                       double *);

#endif
