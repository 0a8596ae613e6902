/* The fully connected recursion (fc_cuda.h): a thread a pair. Compiled with NTK_REAL_F64 = 1. */
#include "kernels/cuda/fc_cuda.h"

#include "kernels/cuda/lanes.cuh"

enum { FC_THREADS = 128 };

__global__ void __launch_bounds__(FC_THREADS) fc_norms(ntk_cuda_fc p, const double *products, double *norms) {
  const int i = (int)(blockIdx.x * FC_THREADS + threadIdx.x);
  if (i >= p.block) return;
  /* of the very product that makes the pairs', so that an input and its copy have rho = 1 to the last bit */
  double q = products[(size_t)i * p.block + i];
  for (int l = 0; l < p.layer_count; l++) {
    const ntk_fc_layer layer = p.layers[l];
    q = fma(layer.w2, q, layer.b2);
    if (!layer.relu) continue;
    const double n = sqrt(q);
    norms[(size_t)layer.norm * p.block + i] = n;
    norms[(size_t)(p.norm_count + layer.norm) * p.block + i] = n > 0 ? 1 / n : 0;
    q *= layer.half_c;
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

__global__ void __launch_bounds__(FC_THREADS) fc_pairs(ntk_cuda_fc p, const double *products, const double *x_norms,
                                                       const double *z_norms, int first, int columns, double *sums) {
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
      through_relu(layer, x_norms[at + i], z_norms[at + j], x_norms[reciprocal + i], z_norms[reciprocal + j], &s, &t);
    }
    if (layer.tap >= 0) to[layer.tap] = make_double2(t, s);
  }
}

int ntk_cuda_fc_norms(const ntk_cuda_fc *fc, const double *products, double *norms, cudaStream_t stream) {
  NTK_LAUNCH(fc_norms, (fc->block + FC_THREADS - 1) / FC_THREADS, FC_THREADS, 0, stream, *fc, products, norms);
  return cudaGetLastError();
}

int ntk_cuda_fc_pairs(const ntk_cuda_fc *fc, const double *products, const double *x_norms, const double *z_norms,
                      int first, int rows, int columns, double *sums, cudaStream_t stream) {
  const dim3 grid((unsigned)(columns + FC_THREADS - 1) / FC_THREADS, (unsigned)rows);
  NTK_LAUNCH(fc_pairs, grid, FC_THREADS, 0, stream, *fc, products, x_norms, z_norms, first, columns, sums);
  return cudaGetLastError();
}
