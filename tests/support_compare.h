/* The engine against the brute-force oracle, on every instruction set and in both precisions. */
#ifndef NTK_TESTS_SUPPORT_COMPARE_H
#define NTK_TESTS_SUPPORT_COMPARE_H

#include <ntk/network.h>
#include <stdint.h>

/* The bounds that random inputs keep, of NTK_F32 and NTK_F64. float64 reaches 1e-12 because no rho of random inputs
 * lies near +-1 but those of an image with itself, which are 1 exactly on both sides. Near 1 the slope of k0 magnifies
 * rounding, in the oracle too. */
extern const double ntk_test_tolerance[2];

/* Compares both kernels of (x, x) and (x, z), x = inputs[0], z = inputs[1]. Errors are relative to |K(x,z)|, but at
 * least to 1 % of K(x,x): a kernel of either sign may cancel. */
void ntk_test_compare_inputs(const char *text, ntk_shape shape, const double *inputs, const double *bound);

/* The same for two random inputs within ntk_test_tolerance. */
void ntk_test_compare(const char *text, ntk_shape shape, uint64_t seed);

/* For the end of a suite: prints the largest errors if the test is verbose. */
void ntk_test_compare_report(void);

#endif
