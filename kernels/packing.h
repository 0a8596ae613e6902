/* Offset planes packed into cyclic tiles: seams, connectivity and readout weights. Shared by the CPU and CUDA kernels.
 *
 * Along an axis of length n, tile offset a pairs index i of x with (i + a) mod n of z. Indices i < n - a belong to the
 * plane of offset a, the others to offset a - n; a zero-padded filter must not cross the seam between n - a - 1 and n -
 * a.
 */
#ifndef NTK_KERNELS_PACKING_H
#define NTK_KERNELS_PACKING_H

#include <stdint.h>

#ifdef __CUDACC__
#define NTK_SHARED static __host__ __device__ inline
#else
#define NTK_SHARED static inline
#endif

/* 1 if a zero-padded filter may combine entries i and i + 1 of a tile axis: both inside and on one side of the seam. */
NTK_SHARED int ntk_axis_connected(int i, int n, int a) { return i >= 0 && i + 1 < n && i + 1 != n - a; }

/* Bit i: ntk_axis_connected(i, n, a), for n up to 64. */
NTK_SHARED uint64_t ntk_axis_connections(int n, int a) {
  const uint64_t inside = ((uint64_t)1 << (n - 1)) - 1;
  return a > 0 ? inside & ~((uint64_t)1 << (n - a - 1)) : inside;
}

/* The index of z that a tile pairs with index i of x. */
NTK_SHARED int ntk_axis_partner(int i, int n, int a) { return i + a < n ? i + a : i + a - n; }

/* The plane offset that entry i of a tile axis belongs to. */
NTK_SHARED int ntk_axis_offset(int i, int n, int a) { return i + a < n ? a : a - n; }

/* LAP weight w_n(i, k) of arXiv:1911.00809 (zero padding): the number of windows of half-width c, centred inside the
 * axis, that hold both i and k. */
NTK_SHARED int ntk_lap_weight(int i, int k, int n, int c) {
  int low = (i > k ? i : k) - c, high = (i < k ? i : k) + c;
  if (low < 0) low = 0;
  if (high > n - 1) high = n - 1;
  return high >= low ? high - low + 1 : 0;
}

/* The same with circular pooling: SUM over integers t of max(0, 2c + 1 - |k - i + t n|). */
NTK_SHARED long ntk_lap_weight_circular(int i, int k, int n, int c) {
  int d = (k - i) % n;
  long sum = 0;
  if (d < 0) d += n;
  for (int shift = d; shift <= 2 * c; shift += n) sum += 2 * c + 1 - shift;
  for (int shift = n - d; shift <= 2 * c; shift += n) sum += 2 * c + 1 - shift;
  return sum;
}

#endif
