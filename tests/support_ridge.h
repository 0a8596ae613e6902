/* Small regressions on features held in memory. */
#ifndef NTK_TESTS_SUPPORT_RIDGE_H
#define NTK_TESTS_SUPPORT_RIDGE_H

#include <ntk/ridge.h>

enum { RIDGE_CLASSES = 8 };

/* Must stay where ridge_make found it: the sources of rows point at it. */
typedef struct ridge_case {
  ntk_ridge_problem problem;
  float *train, *test; /* n x dim, m x dim */
  int32_t *train_labels, *test_labels;
  int64_t calls, rows_read, longest; /* what the sources were asked for: longest in rows */
  ntk_context *cancel;               /* cancelled by the first call, unless NULL */
} ridge_case;

/* Random features around a centre for each class, with random scales, so that row norms differ; classes <=
 * RIDGE_CLASSES. Freed with ridge_free. */
void ridge_make(ridge_case *out, int n, int m, int dim, int classes, unsigned seed);
void ridge_free(ridge_case *c);

#endif
