/* Fully connected kernels on a CUDA device, float64: the recursion of kernels/fc.h behind the products of inputs.
 *
 * All pointers of the structures below are device memory. Every launcher only queues work on the stream and returns a
 * cudaError_t (0: queued).
 */
#ifndef NTK_KERNELS_CUDA_FC_CUDA_H
#define NTK_KERNELS_CUDA_FC_CUDA_H

#include <cuda_runtime_api.h>

#include "kernels/fc.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ntk_cuda_fc {
  int layer_count, dual_count, norm_count, side_count, tap_count;
  const ntk_fc_layer *layers;
  const ntk_activation_dual *duals;
  int block; /* inputs of a block: products are block x block, sides [side_count][block] as in fc.h */
} ntk_cuda_fc;

/* Sides of the first `count` inputs of a block from its products with itself. */
int ntk_cuda_fc_sides(const ntk_cuda_fc *fc, const double *products, int count, double *sides, cudaStream_t stream);

/* sums[i - first][j][tap] = (NTK, NNGP) after every tap, for inputs first <= i < first + rows of the one block and
 * j < columns of the other. */
int ntk_cuda_fc_pairs(const ntk_cuda_fc *fc, const double *products, const double *x_sides, const double *z_sides,
                      int first, int rows, int columns, double *sums, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
#endif
