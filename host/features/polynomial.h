/* Internal: features of a function k of the cosine, by polynomial sketches (docs/features.md). */
#ifndef NTK_HOST_FEATURES_POLYNOMIAL_H
#define NTK_HOST_FEATURES_POLYNOMIAL_H

#include "host/features/features.h"

/* Fits SUM_l c_l r^l with c_l >= 0, l <= degree, to k by least squares on 2001 equispaced points of [-1, 1]. */
typedef double (*ntk_cosine_function)(const void *user, double r);
ntk_status ntk_polynomial_fit(ntk_cosine_function k, const void *user, int degree, double *coefficients);

enum { NTK_MOST_DEGREE = 32 };

/* A tree of sketches: leaf l is an SRHT of the unit vector, a node the product of its two subtrees; Q_l joins the first
 * l leaves. Features: sqrt(c_0), then SUM_l sqrt(c_l) Q_l, each rotated and with random signs of its own. */
struct ntk_polynomial {
  int degree, inputs, width, dim; /* dim = 1 + width */
  double coefficients[NTK_MOST_DEGREE + 1];
  ntk_feature_hadamard leaves[NTK_MOST_DEGREE];
  int32_t *samples[NTK_MOST_DEGREE];  /* [width] */
  ntk_product nodes[NTK_MOST_DEGREE]; /* node j joins the subtrees that meet behind leaf j, j = 1.. */
  int32_t *shifts;                    /* [degree] */
  int8_t *signs;                      /* [degree][width] */
};

ntk_status ntk_polynomial_make(ntk_features *features, ntk_cosine_function k, const void *user, int degree, int inputs,
                               int dim, ntk_polynomial **out);

size_t ntk_polynomial_work(const ntk_polynomial *polynomial); /* floats */
double ntk_polynomial_flops(const ntk_polynomial *polynomial);

/* scale times the features of row / |row|, inverse = 1 / |row| (0: of the zero vector, as if its cosines were 0). */
void ntk_polynomial_row(const ntk_polynomial *polynomial, const ntk_feature_ops *ops, const float *row, float inverse,
                        float scale, float *work, float *out);

#endif
