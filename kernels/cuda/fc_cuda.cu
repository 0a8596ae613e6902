/* The fully connected recursion (fc_cuda.h): a thread a pair. Compiled with NTK_REAL_F64 = 1. */
#include "kernels/cuda/fc_cuda.h"

#include "kernels/cuda/lanes.cuh"
#include "kernels/lanes_one.h"
/* which use them */
#include "kernels/dual_row.h"
#include "kernels/dual_side.h"

enum { FC_THREADS = 128 };

__global__ void __launch_bounds__(FC_THREADS) fc_sides(ntk_cuda_fc p, const double *products, int count,
                                                       double *sides) {
  const int i = (int)(blockIdx.x * FC_THREADS + threadIdx.x);
  if (i >= count) return;
  /* of the very product that makes the pairs', so that an input and its copy have rho = 1 to the last bit */
  double q = products[(size_t)i * p.block + i];
  for (int l = 0; l < p.layer_count; l++) {
    const ntk_fc_layer layer = p.layers[l];
    q = fma(layer.w2, q, layer.b2);
    if (layer.relu) {
      const double n = sqrt(q);
      sides[(size_t)layer.norm * p.block + i] = n;
      sides[(size_t)(p.norm_count + layer.norm) * p.block + i] = n > 0 ? 1 / n : 0;
      q *= layer.half_c;
    } else if (layer.dual >= 0) {
      double *const side = sides + (size_t)layer.side * p.block + i, unused = 0;
      const ntk_dual_sides at = {side, side, (size_t)p.block, (size_t)p.block, 0};
      ntk_dual_fill_side(&p.duals[layer.dual], q, side, (size_t)p.block);
      ntk_dual_vector(&p.duals[layer.dual], &at, &q, &unused);
    }
  }
}

/* A ReLU: s and t of a pair from before to after it. */
INLINE void through_relu(const ntk_fc_layer &layer, double n_x, double n_z, double i_x, double i_z, double *s,
                         double *t) {
  const double d = fma(n_x, n_z, -fabs(*s));
  double m[1] = {d * i_x * i_z}, poly[1], theta[1];
  m[0] = m[0] > NTK_DUAL_SNAP ? m[0] : 0;
  const double q = sqrt(m[0]);
  NTK_DUALS_WHOLE(theta, poly, m, 1, 1);
  const double minus = q * theta[0];
  *t *= (*s > 0 ? 1 - minus : minus) * layer.half_c;
  *s = fma(d * q, poly[0], *s > 0 ? *s : 0) * layer.half_c;
}

/* duals: 1 where there are other activations than ReLUs; without them the kernel is small. */
template <int duals>
__global__ void __launch_bounds__(FC_THREADS) fc_pairs(ntk_cuda_fc p, const double *products, const double *x_sides,
                                                       const double *z_sides, int first, int columns, double *sums) {
  const int i = first + (int)blockIdx.y, j = (int)(blockIdx.x * FC_THREADS + threadIdx.x);
  if (j >= columns) return;
  const size_t block = (size_t)p.block;
  double2 *const to = (double2 *)sums + ((size_t)blockIdx.y * columns + j) * p.tap_count;
  double s = products[i * block + j], t = 0;
  for (int l = 0; l < p.layer_count; l++) {
    const ntk_fc_layer layer = p.layers[l];
    t = fma(layer.w2, t, fma(layer.old_weight, s, layer.constant));
    s = fma(layer.w2, s, layer.b2);
    if (layer.trained) t += s;
    if (layer.relu) {
      const size_t at = layer.norm * block, reciprocal = (p.norm_count + layer.norm) * block;
      through_relu(layer, x_sides[at + i], z_sides[at + j], x_sides[reciprocal + i], z_sides[reciprocal + j], &s, &t);
    } else if (duals && layer.dual >= 0) {
      const size_t side = layer.side * block;
      const ntk_dual_sides at = {x_sides + side + i, z_sides + side + j, block, block, 0};
      ntk_dual_vector(&p.duals[layer.dual], &at, &s, &t);
    }
    if (layer.tap >= 0) to[layer.tap] = make_double2(t, s);
  }
}

int ntk_cuda_fc_sides(const ntk_cuda_fc *fc, const double *products, int count, double *sides, cudaStream_t stream) {
  NTK_LAUNCH(fc_sides, (count + FC_THREADS - 1) / FC_THREADS, FC_THREADS, 0, stream, *fc, products, count, sides);
  return cudaGetLastError();
}

int ntk_cuda_fc_pairs(const ntk_cuda_fc *fc, const double *products, const double *x_sides, const double *z_sides,
                      int first, int rows, int columns, double *sums, cudaStream_t stream) {
  const dim3 grid((unsigned)(columns + FC_THREADS - 1) / FC_THREADS, (unsigned)rows);
  if (fc->dual_count > 0)
    NTK_LAUNCH(fc_pairs<1>, grid, FC_THREADS, 0, stream, *fc, products, x_sides, z_sides, first, columns, sums);
  else
    NTK_LAUNCH(fc_pairs<0>, grid, FC_THREADS, 0, stream, *fc, products, x_sides, z_sides, first, columns, sums);
  return cudaGetLastError();
}
