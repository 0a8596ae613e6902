/* Networks in stages (kernels/program.h) on a CUDA device: launchers for the host layer, one table a precision.
 *
 * Pointers are device memory unless a comment says host. Launchers only queue work on the stream and return a
 * cudaError_t (0: queued). Results do not depend on how pairs are grouped into calls.
 */
#ifndef NTK_KERNELS_CUDA_STAGE_CUDA_H
#define NTK_KERNELS_CUDA_STAGE_CUDA_H

#include <cuda_runtime_api.h>
#include <stddef.h>

#include "kernels/packing.h"
#include "kernels/program.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Part of a pair's memory: with room for `capacity` pairs that of pair k begins at offset * capacity + k * size. */
typedef struct ntk_cuda_section {
  size_t offset, size; /* reals */
} ntk_cuda_section;

/* Where a slot lives: in shared memory, or in a section as [tile][S, T][height][width]. */
typedef struct ntk_cuda_slot {
  int shared; /* its number there, or -1: */
  ntk_cuda_section section;
} ntk_cuda_slot;

/* How an exit sums. DIRECT: windows of size 1, each entry goes to one place. DISJOINT: no entry is in two windows; the
 * stage's kernel sums what each tile gives to an output, and another one those parts. ANY: whole tiles are stored and
 * summed up by rows, then by columns. */
typedef enum ntk_cuda_exit_kind { NTK_EXIT_DIRECT, NTK_EXIT_DISJOINT, NTK_EXIT_ANY } ntk_cuda_exit_kind;

typedef struct ntk_cuda_exit {
  ntk_cuda_exit_kind kind;
  int slot, demand;
  ntk_window rows, cols; /* their weights in device memory */
  int filter_rows, filter_cols, circular;
  double bias, gain, constant; /* as a layer's */
  int target_tiles;
  const ntk_tile *targets; /* the target's tiles */
  const int *target_tile_at;
  ntk_cuda_section buffer; /* of the target: [tile][S, T][rows.outputs][cols.outputs] */
  /* ANY: [tile][S, T][height][width]; DISJOINT: [2 rows.size - 1][2 cols.size - 1] such buffers */
  ntk_cuda_section state;
  ntk_cuda_section middle; /* ANY: [row offset][column offset b][S, T][rows.outputs][width] */
} ntk_cuda_exit;

typedef struct ntk_cuda_stage {
  int channels, height, width; /* channels: 0 behind the first stage */
  int inner;                   /* 1: channels are multiplied in the kernel; 0: `products` are given */
  int want_ntk;
  int layer_count, tile_count, slot_count, exit_count;
  int pool_count;                /* of a stage with the readout, else 0 */
  int hashed;                    /* 1: patches of the first ReLU are hashed */
  int first_judged, last_judged; /* layers whose errors are estimated, or -1 */
  int rows;                      /* that a thread owns, one below another: 2, 4 or 16 */
  int pitch;                     /* reals a row in shared memory */
  int shared_slots;
  size_t shared_most; /* bytes that a block may have on this device */
  size_t norms;       /* where the stage's activations begin in an image's tables, in reals */
  const ntk_program_layer *layers; /* their duals in device memory */
  const ntk_tile *tiles;
  const int *tile_at;
  const ntk_cuda_slot *slots; /* [slot - 1] */
  const ntk_cuda_exit *exits;
  const double *pool_weights;      /* [pool]: height x height, then width x width; flatten: identities */
  const ntk_cuda_exit *host_exits; /* host: the same exits */
} ntk_cuda_stage;

/* A network: host memory. */
typedef struct ntk_cuda_stages {
  int stage_count, pool_count;
  const ntk_cuda_stage *stages;
  int cleared_count; /* buffers that no exit fills completely */
  const ntk_cuda_section *cleared;
  size_t pair_reals;  /* of all sections */
  size_t table_reals; /* of an image, a multiple of 4 */
  int norm_count;
  int first_stage, last_stage; /* of the judged layers, or -1 */
} ntk_cuda_stages;

/* A pair: image x of the one side, image z of the other. */
typedef struct ntk_cuda_stage_pair {
  int x, z;
  int exponent; /* the sum of those of the two images' powers of two */
  int same;     /* 1: the images are equal */
} ntk_cuda_stage_pair;

/* Tables of an image: channels x height x width pixels scaled by 2^-exponent, then stage after stage `table_count`
 * tables of ntk_cuda_table_reals. A ReLU's two hold [height][width] pairs (n, 1/n) of its normaliser (0, 0 where it is
 * 0), those of another activation (float64 only) a side of its dual each: [side][height][width]. */
NTK_SHARED size_t ntk_cuda_table_reals(int height, int width) {
  return ((size_t)height * (size_t)width + 1) / 2 * 2; /* pairs are aligned */
}

/* Pairs to be computed. */
typedef struct ntk_cuda_stage_pairs {
  const void *x, *z;               /* [image][table_reals] */
  size_t stride;                   /* table_reals */
  const unsigned *x_hash, *z_hash; /* [image][height width]: equal where patches of the first ReLU are proportional */
  const ntk_cuda_stage_pair *list;
  int count, capacity;
  const void *products; /* [pair][height width][height width] reals: SUM_c x[c][p] z[c][q]; unused with `inner` */
  void *memory;         /* capacity * pair_reals reals */
  double *partial;      /* [pair][tile of the last stage][pool][2], working memory */
  float *partial_risk;  /* [2][risk_stride]: [pair][tile of the judged stage][2], working memory; unused in float64 */
  size_t risk_stride;
  /* out */
  double *sums; /* [pair][pool][2]: pooled T and S in state units */
  float *risk;  /* [pair][2]: estimated relative error at the first ReLU and at the last one; 0 in float64 */
} ntk_cuda_stage_pairs;

typedef struct ntk_cuda_stage_ops {
  int f64;
  /* Shared memory that a block of the stage needs, in bytes. */
  size_t (*shared_bytes)(const ntk_cuda_stage *stage);
  int (*pairs)(const ntk_cuda_stages *stages, const ntk_cuda_stage_pairs *pairs, cudaStream_t stream);
} ntk_cuda_stage_ops;

extern const ntk_cuda_stage_ops ntk_cuda_stage_f32, ntk_cuda_stage_f64;

#ifdef __cplusplus
}
#endif
#endif
