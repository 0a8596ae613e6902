/* Small regression problems, and their solutions by Gaussian elimination in long double. */
#ifndef NTK_TESTS_SUPPORT_REGRESS_H
#define NTK_TESTS_SUPPORT_REGRESS_H

#include <ntk/regress.h>

enum { REGRESS_MAX = 64 };

/* Arrays of fixed size behind an ntk_regress_problem; regress_case points the problem at them. */
typedef struct regress_case {
  ntk_regress_problem problem;
  double train[REGRESS_MAX * REGRESS_MAX], test[REGRESS_MAX * REGRESS_MAX], diagonal[REGRESS_MAX];
  int32_t train_labels[REGRESS_MAX], test_labels[REGRESS_MAX];
} regress_case;

/* A Gaussian kernel of random points with random scales, so that the diagonal is far from constant; n, m <=
 * REGRESS_MAX. */
void regress_make(regress_case *out, int n, int m, int classes, unsigned seed);

/* Solves a x = b for `count` right-hand sides, a (n x n, row-major) and b (n x count) overwritten, by Gaussian
 * elimination with pivoting. */
void regress_eliminate(int n, int count, long double *a, long double *b);

/* The problem with all matrices divided by sqrt(K(x,x) K(z,z)), by hand. */
void regress_normalise(const regress_case *in, regress_case *out);

/* Predictions (m x classes) and variances (m) at a ridge, without normalisation. */
void regress_reference(const regress_case *in, ntk_targets targets, double ridge, long double *predictions,
                       long double *variance);

/* Leave-one-out accuracy and mean squared error, every record really left out. */
void regress_leave_one_out(const regress_case *in, ntk_targets targets, double ridge, double *accuracy, double *error);

/* A pseudo-random number in (0, 1). */
double regress_random(unsigned *state);

#endif
