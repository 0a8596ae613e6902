/* Feature maps: the operations on rows of features that stand between matrix products. One row holds the features of
 * one pixel of one image (a vector network: of one input), float32; formulas in docs/features.md.
 *
 * All structures are plain data, shared by CPU and CUDA. */
#ifndef NTK_KERNELS_FEATURE_H
#define NTK_KERNELS_FEATURE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Patches, windows, readouts, branches: out[p] = scale weight[p] SUM_t fold_t(in[source[p][t]]).
 * fold_t puts column i at (shift[t] + i) mod span with sign[t][i]: a CountSketch whose hash is a rotation a tap. Random
 * signs make <out, out'> an unbiased estimate of the inner product of the concatenations of all taps; where
 * shift[t] = t columns and nothing wraps it is that concatenation. */
typedef struct ntk_feature_gather {
  int inputs, outputs, taps; /* pixels of an image before and behind; terms of a sum */
  int columns, span;
  const int32_t *source; /* [outputs][taps], -1: outside the image, nothing */
  const float *weight;   /* [outputs], or NULL: 1 */
  const int32_t *shift;  /* [taps], 0 <= shift < span, or NULL: 0 */
  const int8_t *sign;    /* [taps][columns], or NULL: 1 */
  float scale;
  int adds; /* to what `out` holds, instead of to 0 */
} ntk_feature_gather;

/* One image; strides in floats. */
typedef void (*ntk_feature_gather_fn)(const ntk_feature_gather *gather, const float *in, size_t in_stride, float *out,
                                      size_t out_stride);

/* Functions of units: s(u), or its derivative. */
typedef enum ntk_unit_kind {
  NTK_UNIT_PIECES, /* a min(u,0) + b max(u,0), params a, b */
  NTK_UNIT_SIGN,   /* derivative 0 */
  NTK_UNIT_ERF,
  NTK_UNIT_GELU,        /* u Phi(u) */
  NTK_UNIT_WAVE,        /* a sin(b u + w), params a, b, w */
  NTK_UNIT_EXPONENTIAL, /* exp(b u), params b */
  NTK_UNIT_MONOMIAL,    /* u^k, params k */
  NTK_UNIT_HERMITE,     /* h_k(u) = He_k(u) / sqrt(k!), params k */
  NTK_UNIT_SERIES,      /* SUM params[k] h_k(u), k < count */
  NTK_UNIT_TANH,
  NTK_UNIT_SIGMOID,
  NTK_UNIT_SILU,
  NTK_UNIT_SOFTPLUS,
  NTK_UNIT_ELU, /* b u for u > 0, a b (exp(u) - 1) below, params a, b */
  NTK_UNIT_EVEN /* |u| - a, params a; derivative the sign of u */
} ntk_unit_kind;

enum { NTK_UNIT_PARAMS = 16 };

typedef struct ntk_feature_unit {
  int kind, count;
  float params[NTK_UNIT_PARAMS];
} ntk_feature_unit;

/* out[i] = scale s(u[i]), or scale s'(u[i]); out may be u. */
typedef void (*ntk_feature_unit_fn)(const ntk_feature_unit *unit, int derivative, const float *u, size_t count,
                                    float scale, float *out);

/* A random-sign Hadamard transform: pads a row of `dim` numbers times `sign` with zeros to `size`, a power of two, and
 * multiplies by the unnormalised Hadamard matrix of that size. work: 64-byte aligned, `size` numbers. */
typedef struct ntk_feature_hadamard {
  int dim, size;
  const int8_t *sign; /* [dim] */
} ntk_feature_hadamard;

typedef void (*ntk_feature_hadamard_fn)(const ntk_feature_hadamard *transform, const float *in, float *work);

/* out[k] = scale x[ix[k]] y[iy[k]], or without y: scale x[ix[k]]. */
typedef void (*ntk_feature_sample_fn)(const float *x, const int32_t *ix, const float *y, const int32_t *iy,
                                      size_t count, float scale, float *out);

/* out[k] = scale x[k mod size] y[blocks[k / 16] ^ k mod 16]; x and y 64-byte aligned, size a power of two >= 16. */
typedef void (*ntk_feature_pair_fn)(const float *x, int size, const float *y, const int32_t *blocks, size_t count,
                                    float scale, float *out);

/* out[k] = scale x[k mod size]. */
typedef void (*ntk_feature_repeat_fn)(const float *x, int size, size_t count, float scale, float *out);

/* out[k] += scale sign[k] in[k]. */
typedef void (*ntk_feature_add_fn)(const float *in, const int8_t *sign, size_t count, float scale, float *out);

/* The operations of one instruction set. */
typedef struct ntk_feature_ops {
  ntk_feature_gather_fn gather;
  ntk_feature_unit_fn unit;
  ntk_feature_hadamard_fn hadamard;
  ntk_feature_sample_fn sample;
  ntk_feature_pair_fn pair;
  ntk_feature_repeat_fn repeat;
  ntk_feature_add_fn add;
} ntk_feature_ops;

extern const ntk_feature_ops ntk_feature_baseline, ntk_feature_avx2, ntk_feature_avx512;

#ifdef __cplusplus
}
#endif
#endif
