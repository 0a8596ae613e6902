/* The library's networks as networks of the oracle. */
#ifndef NTK_TESTS_SUPPORT_NET_H
#define NTK_TESTS_SUPPORT_NET_H

#include <ntk/network.h>

/* The kernels of one pair by the oracle, in the generic normalisation (a preset's scale is left out). Aborts the test
 * where the oracle has no such layer. */
void ntk_test_oracle(const ntk_network *network, ntk_shape shape, const double *x, const double *z, long double *ntk,
                     long double *nngp);

/* The same for a text. */
void ntk_test_oracle_text(const char *text, ntk_shape shape, const double *x, const double *z, long double *ntk,
                          long double *nngp);

#endif
