/* Part of plane_cuda.cu: prepared images (plane_cuda.h), one block an image, all sums in float64. */

enum { IMAGE_THREADS = 256 };

INLINE size_t pixel_reals(const ntk_cuda_plane &p) { return (size_t)p.channels * p.height * p.width; }

/* Where plane_flat.cuh's float64 tables begin in those of an image, in reals: aligned to 8 bytes. */
static inline __host__ __device__ size_t exact_offset(const ntk_cuda_plane &p) {
  return (((size_t)p.channels + p.norm_count) * p.height * p.width + 1) / 2 * 2;
}

static size_t table_reals(const ntk_cuda_plane &p) {
  const size_t exact = p.deficit ? 2 * ((size_t)p.channels + 1) * p.height * p.width : 0;
  return (exact_offset(p) + exact + 3) / 4 * 4;
}

/* Largest value among the threads of the block. */
INLINE double block_max(double v) {
  __shared__ double largest[IMAGE_THREADS / 32];
  for (int step = 16; step > 0; step /= 2) v = fmax(v, __shfl_xor_sync(0xffffffffu, v, step));
  if (threadIdx.x % 32 == 0) largest[threadIdx.x / 32] = v;
  __syncthreads();
  v = largest[0];
  for (int k = 1; k < IMAGE_THREADS / 32; k++) v = fmax(v, largest[k]);
  return v;
}

/* SUM of in[i + s] for |s| <= w along an axis of length n whose values are `step` apart; `at` is index i. */
INLINE double window_sum(const double *in, int at, int i, int n, int step, int w, int circular) {
  double sum = in[at];
  for (int s = 1; s <= w; s++) {
    int below = i - s, above = i + s;
    if (circular) below = (below % n + n) % n, above %= n;
    if (below >= 0) sum += in[at + (below - i) * step];
    if (above < n) sum += in[at + (above - i) * step];
  }
  return sum;
}

/* Whether the 3x3 neighbourhood of pixel (i, j) is constant in every channel and not black. */
INLINE int is_flat(const ntk_cuda_plane &p, const double *pixels, int i, int j) {
  if (i < 1 || i + 1 >= p.height || j < 1 || j + 1 >= p.width) return 0;
  int black = 1;
  for (int c = 0; c < p.channels; c++) {
    const double *at = pixels + ((size_t)c * p.height + i) * p.width + j;
    black &= *at == 0;
    for (int a = -1; a <= 1; a++)
      if (at[a * p.width - 1] != *at || at[a * p.width] != *at || at[a * p.width + 1] != *at) return 0;
  }
  return !black;
}

__global__ void __launch_bounds__(IMAGE_THREADS) NTK_NAME(prepare_image)(ntk_cuda_plane p, const double *pixels,
                                                                          ntk_cuda_images out) {
  NTK_DYNAMIC_SHARED(double, v); /* K(p, p) / alpha of every pixel, then room for its row sums */
  __shared__ int flat;
  const int area = p.height * p.width, first = (int)threadIdx.x;
  double *const sums = v + area;
  const double *const in = pixels + blockIdx.x * pixel_reals(p);
  real *const to = (real *)out.tables + blockIdx.x * out.stride, *const norms = to + pixel_reals(p);
  double *const exact = p.deficit ? (double *)(to + exact_offset(p)) : NULL;
  double largest = p.bias_scale;
  if (first == 0) flat = 0;
  for (size_t k = threadIdx.x; k < pixel_reals(p); k += IMAGE_THREADS) largest = fmax(largest, fabs(in[k]));
  largest = block_max(largest);
  const int exponent = largest > 0 ? ilogb(largest) : 0;
  const double scale = scalbn(1.0, -exponent);
  for (int k = first; k < area; k += IMAGE_THREADS) {
    double square = 0;
    for (int c = 0; c < p.channels; c++) {
      /* the kernels see the rounded pixel, so the normalisers must too */
      const real value = (real)(in[(size_t)c * area + k] * scale);
      to[(size_t)c * area + k] = value;
      if (exact) exact[(size_t)c * area + k] = value;
      square += (double)value * (double)value;
    }
    v[k] = square;
    if (is_flat(p, in, k / p.width, k % p.width)) atomicAdd(&flat, 1);
  }
  __syncthreads();
  if (first == 0) out.exponent[blockIdx.x] = exponent, out.flat[blockIdx.x] = flat;

  const double least = NTK_REAL_F64 ? 1e-290 : 1e-30; /* darker counts as black: 1/n would overflow */
  for (int l = 0; l < p.layer_count; l++) {
    const ntk_program_layer layer = p.layers[l];
    for (int k = first; k < area; k += IMAGE_THREADS)
      sums[k] = window_sum(v, k, k % p.width, p.width, 1, layer.cols / 2, layer.circular);
    __syncthreads();
    for (int k = first; k < area; k += IMAGE_THREADS) {
      double variance = window_sum(sums, k, k / p.width, p.height, p.width, layer.rows / 2, layer.circular);
      variance += layer.bias * scale * scale;
      if (layer.norm >= 0) {
        const double n = sqrt(variance);
        norms[(size_t)layer.norm * area + k] = (real)(n < least ? 0 : n);
        if (exact && layer.norm == 0) exact[pixel_reals(p) + k] = n < least ? 0 : n;
      }
      v[k] = variance * layer.rescale;
    }
    __syncthreads();
  }
}

static int launch_prepare(const ntk_cuda_plane &p, const double *pixels, int count, const ntk_cuda_images *out,
                          cudaStream_t stream) {
  const size_t shared = 2 * (size_t)p.height * p.width * sizeof(double);
  int error = allow_shared((const void *)NTK_NAME(prepare_image), &p);
  if (error) return error;
  NTK_LAUNCH(NTK_NAME(prepare_image), count, IMAGE_THREADS, shared, stream, p, pixels, *out);
  return cudaGetLastError();
}
