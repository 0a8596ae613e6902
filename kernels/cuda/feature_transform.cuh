/* Kernels of sketches: Hadamard transforms in shared memory, what stands around FFTs. Included by feature_cuda.cu. */

INLINE float stepped(ntk_cuda_step step, float v) {
  return step.applies ? ntk_unit_step(step.below, step.above, v) : v;
}

/* ---- Hadamard transforms ---- */

/* The lowest `levels` levels of a transform of a thread's own numbers. */
template <int BITS>
INLINE void register_levels(float *v, int levels) {
  UNROLL for (int level = 0; level < BITS; level++) {
    if (level >= levels) return;
    UNROLL for (int j = 0; j < 1 << BITS; j++) {
      if (j >> level & 1) continue;
      const float a = v[j], b = v[j | 1 << level];
      v[j] = a + b, v[j | 1 << level] = a - b;
    }
  }
}

/* Those between the lanes of a warp. */
template <int BITS>
INLINE void lane_levels(float *v) {
  const int lane = (int)threadIdx.x % 32;
  UNROLL for (int step = 1; step < 32; step *= 2)
    UNROLL for (int j = 0; j < 1 << BITS; j++) {
      const float other = __shfl_xor_sync(0xffffffffu, v[j], step);
      v[j] = lane & step ? other - v[j] : v[j] + other;
    }
}

/* Number i of the input with signs, behind it 0. */
INLINE float signed_number(const ntk_cuda_hadamard &p, const float *row, int i) {
  return i < p.transform.dim ? (float)p.transform.sign[i] * stepped(p.step, row[i]) : 0;
}

/* A block a row, 2^WARP_BITS warps, 2^BITS numbers a thread, all in shared memory. An index has three parts: the
 * highest BITS bits are levels in a thread's registers, the lowest 5 between the lanes, those in between between the
 * warps: through shared memory they become a thread's own. A longer transform goes in pieces, each that of a sum of the row's
 * pieces: H(a, b) = (H(a + b), H(a - b)). */
template <int BITS, int WARP_BITS>
__global__ void __launch_bounds__(32 << WARP_BITS)
    feature_hadamard(NTK_PARAMETER ntk_cuda_hadamard p, ntk_cuda_rows in, ntk_cuda_rows out, int pieces) {
  NTK_DYNAMIC_SHARED(float, shared);
  constexpr int THREADS = 32 << WARP_BITS, ALL_BITS = BITS + WARP_BITS + 5, SIZE = 1 << ALL_BITS;
  const int t = (int)threadIdx.x;
  const float *const from = in.at + blockIdx.x * in.stride;
  float *const to = out.at + blockIdx.x * out.stride;
  const float scale = p.norms ? p.scale * p.norms[2 * blockIdx.x + 1] : p.scale;
  for (int piece = 0; piece < pieces; piece++) {
    float v[1 << BITS];
    /* through shared memory, where a thread meets only its own numbers: fewer loads wait in registers */
    _Pragma("unroll 4") for (int i = t; i < SIZE; i += THREADS) {
      float sum = signed_number(p, from, i);
      for (int other = 1; other < pieces; other++) {
        const float number = signed_number(p, from, (other << ALL_BITS) + i);
        sum += __popc((unsigned)(piece & other)) & 1 ? -number : number;
      }
      shared[i] = sum;
    }
    UNROLL for (int j = 0; j < 1 << BITS; j++) v[j] = shared[t + j * THREADS];
    register_levels<BITS>(v, BITS);
    lane_levels<BITS>(v);
    UNROLL for (int j = 0; j < 1 << BITS; j++) shared[t + j * THREADS] = v[j];
    __syncthreads();
    if (WARP_BITS > 0) { /* the lowest WARP_BITS of the highest bits change places with the warp's */
      constexpr int LOW = (1 << WARP_BITS) - 1;
      float *const own = shared + ((t / 32) << (WARP_BITS + 5)) + t % 32;
      UNROLL for (int j = 0; j < 1 << BITS; j++) v[j] = own[(j & ~LOW) << (WARP_BITS + 5) | (j & LOW) << 5];
      register_levels<BITS>(v, WARP_BITS);
      UNROLL for (int j = 0; j < 1 << BITS; j++) own[(j & ~LOW) << (WARP_BITS + 5) | (j & LOW) << 5] = v[j];
      __syncthreads();
    }
    for (int k = t; k < p.count; k += THREADS) {
      const int at = p.samples[k];
      if (pieces > 1 && at >> ALL_BITS != piece) continue;
      const float value = shared[at & (SIZE - 1)];
      to[k] = p.multiplies ? to[k] * value : scale * value;
    }
    __syncthreads();
  }
}

/* ---- around FFTs ---- */

/* The sum of a bucket's columns, in their order. */
INLINE float bucket(const int8_t *sign, const int32_t *order, const int32_t *first, const float *row, int at,
                    ntk_cuda_step step) {
  float sum = 0;
  for (int k = first[at]; k < first[at + 1]; k++) sum += (float)sign[order[k]] * stepped(step, row[order[k]]);
  return sum;
}

__global__ void __launch_bounds__(ROW_THREADS) feature_pack(NTK_PARAMETER ntk_cuda_fourier p, ntk_cuda_rows x,
                                                            ntk_cuda_rows y, int rows, float2 *z) {
  const int row = own_row();
  const ntk_cuda_step none = {0, 0, 0};
  if (row >= rows) return;
  const float *const from_x = x.at + row * x.stride, *const from_y = y.at + row * y.stride;
  EACH_COLUMN(c, p.size) {
    float2 v = {0, 0};
    if (p.first_x) {
      v.x = bucket(p.sign_x, p.index_x, p.first_x, from_x, c, none);
      v.y = bucket(p.sign_y, p.index_y, p.first_y, from_y, c, p.step);
    } else {
      if (c < p.dim_x) v.x = (float)p.sign_x[c] * from_x[c];
      if (c < p.dim_y) v.y = (float)p.sign_y[c] * stepped(p.step, from_y[c]);
    }
    z[(size_t)row * p.size + c] = v;
  }
}

/* X_i Y_k, where X and Y are the transforms of the real and of the imaginary part of what Z is the transform of:
 * X_k = (Z_k + conj Z_-k) / 2, Y_k = (Z_k - conj Z_-k) / 2i. */
INLINE float2 product_of(const float2 *z, int size, int i, int k) {
  const float2 a = z[i], b = z[i ? size - i : 0], c = z[k], d = z[k ? size - k : 0];
  const float2 x = {(a.x + b.x) / 2, (a.y - b.y) / 2}, y = {(c.y + d.y) / 2, (d.x - c.x) / 2};
  const float2 out = {x.x * y.x - x.y * y.y, x.x * y.y + x.y * y.x};
  return out;
}

__global__ void __launch_bounds__(ROW_THREADS) feature_unpack(NTK_PARAMETER ntk_cuda_fourier p, const float2 *z,
                                                              ntk_cuda_rows out, int rows) {
  const int row = own_row();
  if (row >= rows) return;
  float *const to = out.at + row * out.stride;
  EACH_COLUMN(k, (p.dim + 1) / 2) {
    if (2 * k + 1 == p.dim) {
      to[2 * k] = 0;
      return;
    }
    const float2 v = product_of(z + (size_t)row * p.size, p.size, p.index_x[k], p.index_y[k]);
    to[2 * k] = p.scale * v.x, to[2 * k + 1] = p.scale * v.y;
  }
}

/* A thread both k and -k, whose products are conjugates. */
__global__ void __launch_bounds__(ROW_THREADS) feature_multiply(int size, float2 *z, int rows) {
  const int row = own_row();
  if (row >= rows) return;
  float2 *const own = z + (size_t)row * size;
  EACH_COLUMN(k, size / 2 + 1) {
    const float2 v = product_of(own, size, k, k), mirrored = {v.x, -v.y};
    if (k > 0) own[size - k] = mirrored;
    own[k] = v;
  }
}

__global__ void __launch_bounds__(ROW_THREADS) feature_real(NTK_PARAMETER ntk_cuda_fourier p, const float2 *z,
                                                            ntk_cuda_rows out, int rows) {
  const int row = own_row();
  if (row >= rows) return;
  EACH_COLUMN(c, p.dim) out.at[row * out.stride + c] = p.scale * z[(size_t)row * p.size + c].x;
}
