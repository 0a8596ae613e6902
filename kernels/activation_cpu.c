/* Rows of dual activations on the CPU (activation.h), one source for every instruction set. float64. */
#include "kernels/dual_row.h"

#define CONCAT2(a, b) a##b
#define CONCAT(a, b) CONCAT2(a, b)

/* The pairs behind the last whole vector, padded with zeros. */
static void row_end(const ntk_activation_dual *dual, const ntk_dual_sides *at, int sides, size_t count, double *s,
                    double *t) {
  double x[NTK_DUAL_SIDES * LANES], z[NTK_DUAL_SIDES * LANES], c[LANES] = {0}, slope[LANES] = {0};
  for (int q = 0; q < sides; q++)
    for (size_t j = 0; j < LANES; j++) {
      x[q * LANES + j] = j < count ? at->x[(size_t)q * at->x_stride + (at->x_lanes ? j : 0)] : 0;
      z[q * LANES + j] = j < count ? at->z[(size_t)q * at->z_stride + j] : 0;
    }
  memcpy(c, s, count * sizeof *s);
  if (t) memcpy(slope, t, count * sizeof *t);
  vec e = vec_loadu(c), de = vec_loadu(slope);
  ntk_dual_sides padded = {x, z, LANES, LANES, 1};
  ntk_dual_vector(dual, &padded, &e, &de);
  memcpy(c, &e, sizeof e);
  memcpy(slope, &de, sizeof de);
  memcpy(s, c, count * sizeof *s);
  if (t) memcpy(t, slope, count * sizeof *t);
}

void CONCAT(ntk_dual_row_, NTK_ISA)(const ntk_activation_dual *dual, size_t count, size_t stride, const double *x_side,
                                    size_t x_step, const double *z_side, double *s, double *t) {
  ntk_dual_sides at = {x_side, z_side, stride, stride, x_step != 0};
  size_t j = 0;
  for (; j + LANES <= count; j += LANES, at.x += LANES * x_step, at.z += LANES) {
    vec e = vec_loadu(s + j), de = t ? vec_loadu(t + j) : vec_zero();
    ntk_dual_vector(dual, &at, &e, &de);
    memcpy(s + j, &e, sizeof e);
    if (t) memcpy(t + j, &de, sizeof de);
  }
  if (j < count) row_end(dual, &at, ntk_dual_side_count(dual), count - j, s + j, t ? t + j : NULL);
}
