#include <float.h>
#include <math.h>

#include "host/regress/regress.h"

/* Below this, rounding in a factorisation may have the wrong sign. */
static double resolution(int64_t n, double smallest, double largest) {
  return (double)n * DBL_EPSILON * fmax(fabs(smallest), fabs(largest));
}

bool ntk_regress_definite(int64_t n, double smallest, double largest, double ridge) {
  return ridge + smallest > resolution(n, smallest, largest);
}

double ntk_regress_round_up(double value) {
  if (!(value > 0)) return 1;
  const double unit = pow(10, floor(log10(value)));
  return ceil(value / unit) * unit;
}

/* Twice the smallest eigenvalue's deficit, clearly above rounding, and not so small that duplicates with different
 * labels blow up the solution. */
static double suggestion(const ntk_regression *r, double smallest, double largest) {
  const double deficit = 2 * fmax(0, -smallest);
  const double rounding = 100 * resolution(r->problem->train_count, smallest, largest);
  return ntk_regress_round_up(fmax(fmax(deficit, rounding), 1e-8 * fabs(ntk_regress_mean_diagonal(r))));
}

ntk_status ntk_regress_not_definite(const ntk_regression *r, const char *subject, double smallest, double largest) {
  return ntk_fail(
      NTK_ERROR_NUMERIC,
      "%s: the smallest eigenvalue of the %straining matrix is %.6e and the largest %.6e (n = %lld), so use "
      "a ridge of at least %.0e, and look for duplicate records or too coarse kernel values",
      subject, r->scale ? "normalised " : "", smallest, largest, (long long)r->problem->train_count,
      suggestion(r, smallest, largest));
}
