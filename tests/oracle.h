/* The brute-force oracle: kernels of infinitely wide ReLU networks by the plain four-dimensional recursion, in long
 * double.
 *
 * It is written from the formulas alone (docs/conventions.md), shares no code with the library, and carries
 * S_xz, S_xx, S_zz and T_xz as full P x Q x P' x Q' arrays, so that it is slow and easy to believe. All values are in
 * the generic normalisation: input S = (1/C0) SUM_c x z (vectors: <x,z>/d), T = 0.
 *
 *   oracle_layer net[] = {oracle_conv(3), oracle_relu(), oracle_gap(), oracle_dense()};
 *   net[0].padding = ORACLE_CIRCULAR;
 *   oracle_kernel(net, 4, x, z, channels, height, width, &ntk, &nngp);
 */
#ifndef NTK_TESTS_ORACLE_H
#define NTK_TESTS_ORACLE_H

#include <stdbool.h>
#include <stddef.h>

typedef enum oracle_kind {
  ORACLE_CONV,
  ORACLE_DENSE,
  ORACLE_RELU,
  ORACLE_AVGPOOL,
  ORACLE_SUM,
  ORACLE_FLATTEN,
  ORACLE_GAP,
  ORACLE_LAP
} oracle_kind;

typedef enum oracle_padding {
  ORACLE_ZERO,     /* conv: (q-1)/2 zeros on each side */
  ORACLE_CIRCULAR, /* conv: as zero, avgpool: as same, with indices modulo the image */
  ORACLE_VALID,    /* none */
  ORACLE_SAME      /* ceil(P/s) outputs, the smaller half of the padding before */
} oracle_padding;

typedef struct oracle_layer oracle_layer;

/* One branch of a sum; count = 0 is the identity. */
typedef struct oracle_branch {
  const oracle_layer *layers;
  size_t count;
} oracle_branch;

struct oracle_layer {
  oracle_kind kind;
  int rows, cols, stride; /* conv: filter; avgpool: window */
  oracle_padding padding; /* conv, avgpool */
  double weight_std;      /* conv, dense: W_std, 1 */
  double bias_std;        /* conv, dense: b_std, 0 */
  bool trained;           /* conv, dense: true */
  double factor;          /* relu: c_s, 2 */
  bool normalized;        /* avgpool: divide by the pixels in range */
  int pool;               /* lap: c */
  bool pool_circular;     /* lap */
  const oracle_branch *branches;
  size_t branch_count;
};

/* Layers with the defaults above; set the fields that differ. */
oracle_layer oracle_conv(int filter);
oracle_layer oracle_dense(void);
oracle_layer oracle_relu(void);
oracle_layer oracle_avgpool(int window); /* stride = window, valid */
oracle_layer oracle_sum(const oracle_branch *branches, size_t count);
oracle_layer oracle_flatten(void); /* mean of the diagonal */
oracle_layer oracle_gap(void);     /* mean over all four indices */
oracle_layer oracle_lap(int c);    /* LAP_c / (P Q) */

/* The kernels of one pair. x and z: channels x height x width values, or `channels` values when height = width = 0 (a
 * vector). Every layer counts: a readout is not followed by a dense layer unless the list says so. Layers after a
 * readout work on the 1 x 1 result. Where x and z are equal, entries with equal pixels have correlation exactly 1. A
 * list that makes no sense aborts the test. */
void oracle_kernel(const oracle_layer *layers, size_t count, const double *x, const double *z, int channels, int height,
                   int width, long double *ntk, long double *nngp);

/* The deterministic test image number k:
 * sin(1 + k + (2c+1)(0.7 i + 1.3 j) + 0.5 c k) + 0.1 cos(3 i j + k), c x h x w values. */
void oracle_image(int k, int c, int h, int w, double *out);

#endif
