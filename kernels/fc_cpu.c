/* The fully connected recursion on the CPU (fc.h), one source for every instruction set. float64 always: the GEMM
 * before it dominates, and near-duplicates then need no special care. */
#include "kernels/dual_row.h"
#include "kernels/fc.h"

#define CONCAT2(a, b) a##b
#define CONCAT(a, b) CONCAT2(a, b)

/* LANES pairs from `products` on; every array is readable and writable for LANES values. duals: constant, 1 where there
 * are other activations than ReLUs; without them the loop is small. */
INLINE void fc_vector(const int duals, const ntk_fc_program *p, const double *products, const double *x_sides,
                      const double *z_sides, size_t stride, double *s_out, double *t_out) {
  vec s = vec_loadu(products), t = vec_zero();
  for (int l = 0; l < p->layer_count; l++) {
    const ntk_fc_layer *layer = &p->layers[l];
    t = vec_fma(vec_set(layer->w2), t, vec_fma(vec_set(layer->old_weight), s, vec_set(layer->constant)));
    s = vec_fma(vec_set(layer->w2), s, vec_set(layer->b2));
    if (layer->trained) t = vec_add(t, s);
    if (layer->relu) {
      vec n_x = vec_set(x_sides[layer->norm]), n_z = vec_loadu(z_sides + layer->norm * stride);
      vec i_x = vec_set(x_sides[p->norm_count + layer->norm]);
      vec i_z = vec_loadu(z_sides + (p->norm_count + layer->norm) * stride);
      vec d = vec_fms(n_x, n_z, vec_abs(s)), m[1], poly[1], theta[1];
      m[0] = vec_mul(vec_mul(d, i_x), i_z);
      vec q = vec_sqrt_where(m[0], vec_greater(m[0], vec_set(NTK_DUAL_SNAP)));
      mask positive = vec_greater(s, vec_zero());
      NTK_DUALS_WHOLE(theta, poly, m, 1, 1);
      s = vec_mul(vec_fma(vec_mul(d, q), poly[0], vec_keep(s, positive)), vec_set(layer->half_c));
      vec minus = vec_mul(q, theta[0]);
      t = vec_mul(t, vec_mul(vec_select(positive, vec_set(1) - minus, minus), vec_set(layer->half_c)));
    } else if (duals && layer->dual >= 0) {
      ntk_dual_sides at = {x_sides + layer->side, z_sides + (size_t)layer->side * stride, 1, stride, 0};
      ntk_dual_vector(&p->duals[layer->dual], &at, &s, &t);
    }
    if (layer->tap >= 0) {
      memcpy(s_out + layer->tap * stride, &s, sizeof s);
      memcpy(t_out + layer->tap * stride, &t, sizeof t);
    }
  }
}

void CONCAT(ntk_fc_row_, NTK_ISA)(const ntk_fc_program *p, const double *products, const double *x_sides,
                                  const double *z_sides, size_t stride, size_t count, double *s, double *t) {
  if (p->dual_count == 0) {
    for (size_t j = 0; j < count; j += LANES) fc_vector(0, p, products + j, x_sides, z_sides + j, stride, s + j, t + j);
    return;
  }
  for (size_t j = 0; j < count; j += LANES) fc_vector(1, p, products + j, x_sides, z_sides + j, stride, s + j, t + j);
}
