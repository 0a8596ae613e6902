/** @file plan.h
 *  Plans: what computing a network's kernel means for inputs of one shape, and the kernel values themselves.
 */
#ifndef NTK_PLAN_H
#define NTK_PLAN_H

#include <ntk/context.h>
#include <ntk/network.h>
#include <ntk/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Which kernels to compute; a bit mask. Both come from one pass. */
typedef enum ntk_kernel {
  NTK_KERNEL_NTK = 1,  /**< Neural tangent kernel Theta (arXiv:1806.07572; CNTK: arXiv:1904.11955). */
  NTK_KERNEL_NNGP = 2, /**< Gaussian-process kernel Sigma: the covariance of the network's output at initialisation. */
  NTK_KERNEL_BOTH = 3
} ntk_kernel;

/** The arithmetic of the inner loops; see docs/accuracy.md for the stated errors. */
typedef enum ntk_precision {
  NTK_F32 = 0, /**< float32 planes; pairs that float32 cannot resolve are recomputed in float64. Within 1e-6 relative. */
  NTK_F64 = 1  /**< float64 throughout. */
} ntk_precision;

/** Averaging over the horizontal mirror images Fx, (Fx)[i,j] = x[i, width-1-j]: regression with
 *  K_flip(x,z) = (K(x,z) + K(Fx,z)) / 2 on N images and ridge lambda predicts what K does on these images, their mirror
 *  images and ridge 2 lambda (arXiv:1911.00809; docs/conventions.md). */
typedef enum ntk_flip {
  NTK_FLIP_PLAIN = 0,   /**< K(x,z). */
  NTK_FLIP_AVERAGE = 1, /**< K_flip(x,z); two evaluations a pair. */
  NTK_FLIP_BOTH = 2     /**< Both, as two outputs, from the same two evaluations. */
} ntk_flip;

/** Which of the network's kernels one pass shall give. Zero-initialise for: the NTK of the text as written, float32. */
typedef struct ntk_plan_options {
  int kernels;             /**< Mask of ntk_kernel; 0 means NTK_KERNEL_NTK. */
  ntk_precision precision; /**< Default NTK_F32. */
  const int *depths;       /**< One result per d: the network cut after its d-th activation, with the same readout
                                ("all depths of a family"); NULL: as written. */
  size_t depth_count;
  const int *pools;        /**< Replace the readout by lap(c) for each c >= 0 (circular if the text's lap is); NULL: as
                                written. */
  size_t pool_count;
  ntk_flip flip;           /**< Default NTK_FLIP_PLAIN; others need images and a network that a mirror commutes with. */
  ntk_convention convention; /**< Default NTK_CONVENTION_BY_NAME; others need a network that the convention knows. */
} ntk_plan_options;

/** One of the matrices that a plan computes. Order: depth-major, then pool, then NTK before NNGP, then plain before
 *  flipped. */
typedef struct ntk_output {
  ntk_kernel kernel; /**< NTK_KERNEL_NTK or NTK_KERNEL_NNGP. */
  int depth;         /**< Number of activations before the readout. */
  int pool;          /**< c of lap(c); -1 for another readout. */
  bool flip;         /**< K_flip instead of K. */
  const char *name;  /**< E.g. "ntk", "nngp-depth5-lap4-flip"; unique within the plan and stable. Owned by the plan. */
} ntk_output;

/** A plan; immutable, so several threads may share one. */
typedef struct ntk_plan ntk_plan;

/** Plans a network for inputs of one shape.
 *  @param options NULL for the defaults. The plan keeps copies of what it needs; network may be freed.
 *  @return NTK_OK; NTK_ERROR_NETWORK (impossible for this shape, a flip of a network that a mirror does not commute with,
 *          or a layer that the convention does not know: says which); NTK_ERROR_UNSUPPORTED (not computed yet: says which
 *          layer); NTK_ERROR_ARGUMENT; NTK_ERROR_MEMORY. */
NTK_API ntk_status ntk_plan_create(const ntk_network *network, ntk_shape shape, const ntk_plan_options *options,
                                   ntk_plan **out);

/** Frees a plan; NULL is allowed. */
NTK_API void ntk_plan_free(ntk_plan *plan);

/** The number of matrices that one pass computes. */
NTK_API size_t ntk_plan_output_count(const ntk_plan *plan);

/** Describes matrix `index`; a zeroed struct when out of range. */
NTK_API ntk_output ntk_plan_output(const ntk_plan *plan, size_t index);

/** The shape that the plan was made for. */
NTK_API ntk_shape ntk_plan_shape(const ntk_plan *plan);

/** The precision that the plan was made for. */
NTK_API ntk_precision ntk_plan_precision(const ntk_plan *plan);

/** The canonical text of the planned network. Owned by the plan. */
NTK_API const char *ntk_plan_network_text(const ntk_plan *plan);

/** The preset's name, or NULL. Owned by the plan. */
NTK_API const char *ntk_plan_preset(const ntk_plan *plan);

/** The convention of the values: NTK_CONVENTION_BY_NAME for a preset in its own convention, NTK_CONVENTION_GENERIC for a
 *  text without another. */
NTK_API ntk_convention ntk_plan_convention(const ntk_plan *plan);

/** The factor from the generic normalisation to that convention, by which every value is multiplied. */
NTK_API double ntk_plan_scale(const ntk_plan *plan);

/** What one pair of inputs costs. */
typedef struct ntk_cost {
  int64_t planes;            /**< Offset planes demanded by the readout (docs/design.md); 1 for a fully connected network. */
  int64_t entries;           /**< Entries [i,j,i',j'] in those planes. */
  int64_t activation_layers; /**< Activations, each counted once. */
  double entry_layers;       /**< Entry-layers of one pair: entries times activation layers; with a flip twice that. */
  int64_t bytes_per_pair;    /**< Working memory of one pair in flight, in bytes. */
  int64_t bytes_per_image;   /**< Tables kept per image while its tile is computed, in bytes. */
} ntk_cost;

/** The cost of one pair. */
NTK_API ntk_cost ntk_plan_cost(const ntk_plan *plan);

/** One line of text per layer: number, name, output shape, filter, trained or fixed; as `ntk net` prints it. Owned by the
 *  plan. */
NTK_API const char *ntk_plan_description(const ntk_plan *plan);

/** Predicted seconds for `pairs` pairs on this context, from a short measurement of this machine (well under a second).
 *  @return NTK_OK, NTK_ERROR_ARGUMENT, NTK_ERROR_MEMORY. */
NTK_API ntk_status ntk_plan_predict(const ntk_context *context, const ntk_plan *plan, double pairs, double *seconds);

/** Computes a block of kernel values in memory.
 *  @param context threads, memory, progress and cancellation; NULL for the defaults.
 *  @param x  nx inputs of the plan's shape, row-major (N, C, H, W), finite.
 *  @param z  nz inputs, or NULL: then the matrix is x against itself, symmetric to the last bit, and nz is ignored.
 *  @param out ntk_plan_output_count(plan) pointers to nx x nz values (nx x nx), row-major, owned by the caller.
 *  @return NTK_OK, NTK_ERROR_ARGUMENT, NTK_ERROR_DATA (a non-finite input), NTK_ERROR_MEMORY, NTK_ERROR_INTERRUPTED. */
NTK_API ntk_status ntk_plan_block(ntk_context *context, const ntk_plan *plan, const double *x, int64_t nx,
                                  const double *z, int64_t nz, double *const *out);

/** Computes the kernel of each input with itself, K(x_i, x_i).
 *  @param out ntk_plan_output_count(plan) pointers to nx values.
 *  @return as ntk_plan_block. */
NTK_API ntk_status ntk_plan_diagonal(ntk_context *context, const ntk_plan *plan, const double *x, int64_t nx,
                                     double *const *out);

#ifdef __cplusplus
}
#endif
#endif
