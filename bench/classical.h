/* The classical method, for comparison: layer by layer over the whole 4-D arrays S and T of a pair of images in memory.
 */
#ifndef NTK_BENCH_CLASSICAL_H
#define NTK_BENCH_CLASSICAL_H

#include <stddef.h>

enum { CLASSICAL_SIDE = 32, CLASSICAL_CHANNELS = 3, CLASSICAL_DEEPEST = 32 };

/* One image: its pixels and, for every ReLU layer, the norms sqrt(S_xx[i,j,i,j]) and their reciprocals. */
typedef struct classical_image {
  float pixels[CLASSICAL_CHANNELS][CLASSICAL_SIDE][CLASSICAL_SIDE];
  float norms[CLASSICAL_DEEPEST][CLASSICAL_SIDE][CLASSICAL_SIDE];
  float reciprocals[CLASSICAL_DEEPEST][CLASSICAL_SIDE][CLASSICAL_SIDE];
} classical_image;

/* Floats of each of the arrays S and T. */
enum { CLASSICAL_ENTRIES = CLASSICAL_SIDE * CLASSICAL_SIDE * CLASSICAL_SIDE * CLASSICAL_SIDE };

/* Fills in an image from 3 x 32 x 32 pixels. layers: 1..CLASSICAL_DEEPEST ReLU layers. */
void classical_prepare(const double *pixels, int layers, classical_image *out);

typedef enum classical_variant {
  CLASSICAL_PLAIN,     /* nine terms a box sum, as the published scripts do */
  CLASSICAL_SEPARABLE, /* box sums along one axis after the other, in place; one sweep an operation */
  CLASSICAL_BLOCKED    /* the same, duals and column sums of a block together while it lies in the first-level cache */
} classical_variant;

/* The NTK of `layers*(conv3 relu) gap` for one pair, in the library's generic normalisation. s, t: 64-byte aligned
 * working memory of 2 CLASSICAL_ENTRIES floats each. Two builds of the same loops: the first vectorised for this
 * machine with fast-math and the vector functions of the mathematical library, the second plain -O2. */
double classical_pair(const classical_image *x, const classical_image *z, int layers, classical_variant variant,
                      float *s, float *t);
double classical_pair_scalar(const classical_image *x, const classical_image *z, int layers, classical_variant variant,
                             float *s, float *t);

/* Where the vectorised build takes acos from: "libmvec", or "scalar libm" where the compiler has no vector version. */
const char *classical_acos(void);

#endif
