/* The engine against the oracle. */
#include "tests/support_compare.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support_kernel.h"
#include "tests/support_net.h"

const double ntk_test_tolerance[2] = {1e-6, 1e-12};

/* The largest errors of a test, printed when it is verbose. */
static double worst[2];

/* got, want: NTK(x,x), NTK(x,z), NNGP(x,x), NNGP(x,z). */
static void compare(const char *text, ntk_shape shape, const char *isa, ntk_precision precision, double bound,
                    const double *got, const long double *want) {
  static const char *const names[] = {"NTK(x,x)", "NTK(x,z)", "NNGP(x,x)", "NNGP(x,z)"};
  for (int k = 0; k < 4; k++) {
    const long double unit = fmaxl(fabsl(want[k]), fabsl(want[k / 2 * 2]) / 100);
    double error = unit > 0 ? (double)(fabsl((long double)got[k] - want[k]) / unit) : fabs(got[k]);
    if (isnan(error)) error = INFINITY;
    worst[precision] = fmax(worst[precision], error);
    cr_expect(error <= bound, "%s, %d x %d x %d, %s %s, %s: %.15g, expected %.15Lg, off by %.2g", text,
              (int)shape.channels, (int)shape.height, (int)shape.width, isa, precision ? "f64" : "f32", names[k],
              got[k], want[k], error);
  }
}

/* Both kernels of (x, x) and (x, z) on every instruction set in both precisions; x = inputs[0], z = inputs[1]. */
void ntk_test_compare_inputs(const char *text, ntk_shape shape, const double *x, const double *bound) {
  const double *z = x + ntk_test_size(shape);
  long double want[4];
  ntk_test_oracle_text(text, shape, x, x, &want[0], &want[2]);
  ntk_test_oracle_text(text, shape, x, z, &want[1], &want[3]);
  for (int precision = NTK_F32; precision <= NTK_F64; precision++) {
    ntk_plan *plan = ntk_test_plan(text, shape, NTK_KERNEL_BOTH, (ntk_precision)precision);
    for (int k = 0; ntk_test_isas[k]; k++) {
      ntk_context *context = ntk_test_context(ntk_test_isas[k]);
      if (!context) continue;
      double *got = ntk_test_block(context, plan, x, 1, x, 2);
      compare(text, shape, ntk_test_isas[k], (ntk_precision)precision, bound[precision], got, want);
      free(got);
      ntk_context_free(context);
    }
    ntk_plan_free(plan);
  }
}

void ntk_test_compare(const char *text, ntk_shape shape, uint64_t seed) {
  double *inputs = ntk_test_inputs(seed, shape, 2);
  ntk_test_compare_inputs(text, shape, inputs, ntk_test_tolerance);
  free(inputs);
}

void ntk_test_compare_report(void) {
  if (ntk_test_verbose()) fprintf(stderr, "worst relative error: f32 %.2e, f64 %.2e\n", worst[0], worst[1]);
}
