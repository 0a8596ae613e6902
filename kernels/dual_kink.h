/* elu and selu (kind NTK_DUAL_SERIES, `kinked`): a kink at 0 makes Hermite coefficients fall as a power only, so that a
 * function g with the same jumps at 0 is taken out, whose dual is known:
 *   g(u) = b u for u > 0, a b SUM_(1 <= m <= NTK_DUAL_ORDER + 1) u^m / m! for u < 0.
 * Its dual follows from R_ml = E[|u|^m |v|^l; u, v < 0] of unit variances (Stein's lemma; mu_m = E|u|^m / 2):
 *   R_00 = k0(rho)/2, R_10 = phi(0) (1 + rho)/2, R_m0 = (m-1) R_(m-2)0 + rho phi(0) mu_(m-1) (1 - rho^2)^((m-1)/2),
 *   R_1l = phi(0) mu_l (1 - rho^2)^(l/2) + l rho R_0(l-1), R_ml = (m-1) R_(m-2)l + l rho R_(m-1)(l-1). */
#ifndef NTK_KERNELS_DUAL_KINK_H
#define NTK_KERNELS_DUAL_KINK_H

#include "kernels/activation.h"

/* E = E[g(u) g(v)] and E' = E[g'(u) g'(v)]; root = sqrt(1 - rho^2). */
INLINE void ntk_dual_kink(const ntk_activation_dual *dual, vec n_x, vec n_z, vec rho, vec root, vec *e, vec *de) {
  enum { TOP = NTK_DUAL_ORDER + 1 };
  const double phi = 0.39894228040143267794, a = dual->params[0], b = dual->params[1];
  double mu[TOP + 2] = {0.5, phi};
  vec r[TOP + 1][TOP + 1], power[TOP + 1], x[TOP + 1], z[TOP + 1]; /* x[m] = a b (-n_x)^m / m! */
  UNROLL for (int m = 2; m <= TOP + 1; m++) mu[m] = (m - 1) * mu[m - 2];
  power[0] = vec_set(1), x[0] = z[0] = vec_set(a * b);
  UNROLL for (int m = 1; m <= TOP; m++) {
    power[m] = power[m - 1] * root;
    x[m] = x[m - 1] * n_x * vec_set(-1.0 / m);
    z[m] = z[m - 1] * n_z * vec_set(-1.0 / m);
  }
  r[0][0] = vec_set(0.25) + vec_set(0.5) * ntk_dual_turn(rho, root);
  r[1][0] = r[0][1] = (vec_set(1) + rho) * vec_set(phi / 2);
  UNROLL for (int m = 2; m <= TOP; m++) r[m][0] = r[0][m] =
      vec_set(m - 1) * r[m - 2][0] + vec_set(phi * mu[m - 1]) * rho * power[m - 1];
  UNROLL for (int l = 1; l <= TOP; l++) r[1][l] = r[l][1] =
      vec_set(phi * mu[l]) * power[l] + vec_set(l) * rho * r[0][l - 1];
  UNROLL for (int m = 2; m <= TOP; m++) UNROLL for (int l = m; l <= TOP; l++) r[m][l] = r[l][m] =
      vec_set(m - 1) * r[m - 2][l] + vec_set(l) * rho * r[m - 1][l - 1];
  vec sum = vec_set(b * b) * (n_x * n_z) * r[1][1], slope = vec_set(b * b) * r[0][0];
  UNROLL for (int m = 0; m <= TOP; m++) {
    if (m > 0) sum = sum + vec_set(b) * (n_x * z[m] + n_z * x[m]) * (r[1][m] - rho * vec_set(mu[m + 1]));
    if (m < TOP) slope = slope + vec_set(b) * (x[m] + z[m]) * (vec_set(mu[m]) - r[0][m]);
    vec with = vec_set(0), slope_with = vec_set(0);
    UNROLL for (int l = 0; l <= TOP; l++) {
      if (l > 0) with = with + z[l] * r[m][l];
      if (l < TOP) slope_with = slope_with + z[l] * r[m][l];
    }
    if (m > 0) sum = sum + x[m] * with;
    if (m < TOP) slope = slope + x[m] * slope_with;
  }
  *e = sum, *de = slope;
}

#endif
