/** @file features.h
 *  Random features: maps Z of inputs with <Z(x), Z(z)> close to a kernel, so that regression costs time linear in the
 *  number of inputs and of pixels (docs/features.md; arXiv:2104.01351, arXiv:2106.07880).
 *
 *  Features are functions of the network, the options and the seed alone: computed in any batches, by any number of
 *  threads, now or when a file is resumed, those of an input have the same bits on the same machine. CUDA devices of one
 *  kind, however many, give theirs, which differ from the CPU's by rounding.
 */
#ifndef NTK_FEATURES_H
#define NTK_FEATURES_H

#include <ntk/context.h>
#include <ntk/dataset.h>
#include <ntk/plan.h>
#include <ntk/status.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How the kernels of an activation get features. */
typedef enum ntk_feature_method {
  NTK_FEATURES_RANDOM = 0, /**< Random features: sqrt(c/m) s(W^T a) and sqrt(c/m) s'(W^T a), W Gaussian (arXiv:2104.01351:
                                "NTKRF"); any activation. */
  NTK_FEATURES_SKETCH = 1  /**< Polynomials of the cosine, each power a sketch (PolySketch; arXiv:2106.07880: "NTKSketch",
                                "CNTKSketch"); activations whose kernel is a function of the cosine times the norms: relu,
                                leaky, abrelu, abs, sign, expnorm. */
} ntk_feature_method;

/** How products of features are sketched: <S(x,y), S(x',y')> has the mean <x,x'> <y,y'>. */
typedef enum ntk_sketch {
  NTK_SKETCH_SRHT = 0,    /**< TensorSRHT: random signs, Hadamard transforms, sampled coordinates. The fastest. */
  NTK_SKETCH_FOURIER = 1, /**< The same with discrete Fourier transforms, real and imaginary parts (the complex variant of
                               the public code of arXiv:2106.07880); of an odd sketch_dim the last column is 0. */
  NTK_SKETCH_COUNT = 2    /**< TensorSketch: CountSketch of both, convolved by FFT (Pham and Pagh 2013). */
} ntk_sketch;

/** How the directions of order-1 random features are drawn; order 0 always takes Gaussian ones. */
typedef enum ntk_sampling {
  NTK_SAMPLING_GAUSSIAN = 0, /**< N(0, I). */
  NTK_SAMPLING_LEVERAGE = 1, /**< From the density |w|^2/d N(w; 0, I), reweighted: the leverage-score bound of
                                  arXiv:2104.01351, drawn exactly (uniform on the sphere). relu, leaky, abrelu and abs. */
  NTK_SAMPLING_GIBBS = 2     /**< The same density by the published sampler: one Gibbs sweep from N(0, I). Slow, biased a
                                  little; for comparisons. */
} ntk_sampling;

/** Zero-initialise for: random features of the NTK, 1024 columns. */
typedef struct ntk_features_options {
  ntk_feature_method method;
  int kernel;              /**< NTK_KERNEL_NTK (also 0) or NTK_KERNEL_NNGP. */
  int64_t dim;             /**< M, columns of Z, 8..2^20; 0: 1024. Networks that need fewer (without activations) give fewer. */
  int64_t sketch_dim;      /**< ms, columns of the sketched product of every layer, < M; 0: 5/8 of M (3/4 where layers
                                convolve). The others, M - ms, hold the layer's own features. */
  int64_t order0_dim;      /**< m0, features of s' in every layer; 0: as many as of s. */
  ntk_sketch sketch;
  ntk_sampling sampling;
  bool plain;              /**< The published maps. Otherwise the constant and the linear part of relu, leaky, abrelu and abs,
                                and the constant part of the derivatives, are taken as they are, and random features or
                                sketches stand for the rest alone: unbiased as well, with smaller errors. */
  int degree;              /**< NTK_FEATURES_SKETCH: of the polynomials, 1..32; 0: 4 for s and 8 for s'. */
  uint64_t seed;
  ntk_convention convention; /**< As in ntk_plan_options. */
} ntk_features_options;

/** A feature map; immutable, so several threads may share one. */
typedef struct ntk_features ntk_features;

/** Plans the features of a network for inputs of one shape. Random numbers are drawn when features are first computed.
 *  @param options NULL for the defaults.
 *  @return NTK_OK; NTK_ERROR_NETWORK (impossible for this shape); NTK_ERROR_UNSUPPORTED (an activation that the method or
 *          the sampling does not know: says which layer, and what to use); NTK_ERROR_ARGUMENT; NTK_ERROR_MEMORY. */
NTK_API ntk_status ntk_features_create(const ntk_network *network, ntk_shape shape, const ntk_features_options *options,
                                       ntk_features **out);

/** Frees a feature map; NULL is allowed. */
NTK_API void ntk_features_free(ntk_features *features);

/** The number of columns of Z. */
NTK_API int64_t ntk_features_dim(const ntk_features *features);

/** The shape of the inputs. */
NTK_API ntk_shape ntk_features_shape(const ntk_features *features);

/** The options with every default filled in. */
NTK_API ntk_features_options ntk_features_used(const ntk_features *features);

/** The canonical text of the network. Owned by the map. */
NTK_API const char *ntk_features_network_text(const ntk_features *features);

/** The factor from the generic normalisation to the convention, included in Z Z^T. */
NTK_API double ntk_features_scale(const ntk_features *features);

/** What the features of one input cost. */
typedef struct ntk_features_cost {
  double product_flops;    /**< Floating-point operations in matrix products with random matrices, 2 a multiply-add. */
  double transform_flops;  /**< In sketches: additions of Hadamard transforms, 2.5 n log2 n an FFT of n real numbers. */
  double sum_flops;        /**< In sums over patches, windows and branches. */
  int64_t random_bytes;    /**< Random matrices, signs, indices: what is kept for all inputs. */
  int64_t bytes_per_thread; /**< Working memory of one thread. */
} ntk_features_cost;

NTK_API ntk_features_cost ntk_features_cost_of(const ntk_features *features);

/** Where the time of ntk_features_compute and ntk_features_write went, in seconds summed over threads. */
typedef struct ntk_features_times {
  double draw;      /**< Random numbers, once a map. */
  double input;     /**< Reading and laying out images. */
  double products;  /**< Matrix products. */
  double units;     /**< Activations and their derivatives, powers of polynomials. */
  double sketches;  /**< Transforms and sampling. */
  double sums;      /**< Patches, pooling, readouts, branches. */
} ntk_features_times;

/** Computes features in memory.
 *  @param x   n inputs of the map's shape, row-major (N, C, H, W), finite.
 *  @param out n x ntk_features_dim values, row-major, owned by the caller.
 *  @param times is added to; may be NULL.
 *  @return NTK_OK; NTK_ERROR_ARGUMENT; NTK_ERROR_DATA (a non-finite input); NTK_ERROR_NETWORK (features that leave the
 *          range of float32); NTK_ERROR_MEMORY (says how much is needed);
 *          NTK_ERROR_DEVICE (a CUDA device or library); NTK_ERROR_INTERRUPTED. */
NTK_API ntk_status ntk_features_compute(ntk_context *context, const ntk_features *features, const double *x, int64_t n,
                                        float *out, ntk_features_times *times);

/** How features are written. */
typedef struct ntk_features_write_options {
  const char *path; /**< The .npy file, N x M float32; manifest and journal lie beside it as for a kernel matrix. */
  bool resume;      /**< Go on with an interrupted computation of the same features. */
  bool overwrite;   /**< Replace an existing file. */
} ntk_features_write_options;

/** What was done. */
typedef struct ntk_features_report {
  int64_t rows, rows_computed, rows_resumed;
  double seconds;             /**< Wall time of this run. */
  ntk_features_times times;
} ntk_features_report;

/** Computes the features of a data set to a file: streamed, crash-safe, resumable (docs/store-format.md).
 *  @param report receives what was done, also on failure; may be NULL.
 *  @return as ntk_gram and ntk_features_compute. */
NTK_API ntk_status ntk_features_write(ntk_context *context, const ntk_features *features, const ntk_dataset *data,
                                      const ntk_features_write_options *options, ntk_features_report *report);

#ifdef __cplusplus
}
#endif
#endif
