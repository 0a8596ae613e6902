/* Dual activations by brute force: E[s(u) s(v)] and E[s'(u) s'(v)] as two-dimensional integrals in 80-bit numbers. */
#ifndef NTK_TESTS_SUPPORT_DUAL_H
#define NTK_TESTS_SUPPORT_DUAL_H

#include "kernels/activation.h"

typedef struct dual_function {
  const char *text; /* of the network language */
  long double (*value)(long double u);
  long double (*slope)(long double u); /* NULL: none that E' would follow from */
} dual_function;

/* All activations that have a function, ended by text = NULL. */
extern const dual_function ntk_test_dual_functions[];

/* The dual of an activation's text. */
ntk_activation_dual ntk_test_dual(const char *text);

/* E[f(u) f(v)] of variances p, q and correlation rho. In polar coordinates, so that kinks of f at 0 lie on four rays,
 * between which panels are refined towards the rays. */
long double ntk_test_expectation(long double (*f)(long double), long double p, long double q, long double rho);

/* One pair through the row function of an instruction set ("avx512", ..., NULL: the best); t is 1 before it. */
void ntk_test_dual_pair(const char *isa, const ntk_activation_dual *dual, double p, double q, double c, double *s,
                        double *t);

#endif
