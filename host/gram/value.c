/* What workers of every kind do with the kernels' sums. */
#include <math.h>

#include "host/gram/worker.h"
#include "host/status.h"

bool ntk_worker_stopped(const ntk_worker_shared *shared) {
  return atomic_load_explicit(&shared->stop, memory_order_relaxed) ||
         (shared->cancelled && atomic_load_explicit(shared->cancelled, memory_order_relaxed));
}

ntk_status ntk_worker_interrupted(void) { return ntk_fail(NTK_ERROR_INTERRUPTED, "interrupted"); }

double ntk_risk_limit(const ntk_plan *plan) {
  /* deep networks need more care, since the errors of layers add up in S */
  return fmin(4e-7, 3e-6 / plan->activation_layers);
}

ntk_status ntk_value_store(const ntk_plan *plan, int evaluation, const double *sums, double *one, double *const *values,
                           size_t at, int64_t i, int64_t j) {
  return ntk_value_store_head(plan, evaluation, sums, NULL, NULL, one, values, at, i, j);
}

ntk_status ntk_value_store_head(const ntk_plan *plan, int evaluation, const double *sums, const double *x_self,
                                const double *z_self, double *one, double *const *values, size_t at, int64_t i,
                                int64_t j) {
  const size_t count = ntk_plan_finish(plan, sums, x_self, z_self, one);
  for (size_t k = 0; k < count; k++) {
    if (!isfinite(one[k]))
      return ntk_fail(NTK_ERROR_DATA, "the kernel of inputs %lld and %lld is not finite: scale the data or the weights",
                      (long long)i, (long long)j);
    const bool both = plan->flip == NTK_FLIP_BOTH;
    const size_t plain = both ? 2 * k : k, flipped = both ? 2 * k + 1 : k;
    if (plan->flip != NTK_FLIP_AVERAGE && evaluation == 0) values[plain][at] = one[k];
    if (plan->flip == NTK_FLIP_PLAIN) continue;
    values[flipped][at] = evaluation == 0 ? one[k] / 2 : values[flipped][at] + one[k] / 2;
  }
  return NTK_OK;
}

void ntk_values_mirror(const ntk_plan *plan, double *const *values, int64_t n) {
  for (size_t k = 0; k < plan->output_count; k++)
    for (int64_t i = 0; i < n; i++)
      for (int64_t j = 0; j < i; j++) values[k][i * n + j] = values[k][j * n + i];
}
