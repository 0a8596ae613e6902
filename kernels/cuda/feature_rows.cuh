/* Kernels that take rows column by column: a thread a column of a row, or of some rows. Included by feature_cuda.cu. */

/* Threads of a block: columns side by side, the rest rows. */
enum { ROW_THREADS = 256, MOST_COLUMN_BLOCKS = 1024 };

typedef struct row_grid {
  dim3 grid, threads;
} row_grid;

static row_grid grid_of(int rows, int columns) {
  unsigned x = 4;
  while (x < ROW_THREADS && x < (unsigned)columns) x *= 2;
  const unsigned y = ROW_THREADS / x, blocks = ((unsigned)columns + x - 1) / x, most = MOST_COLUMN_BLOCKS;
  row_grid g;
  g.threads = dim3(x, y);
  g.grid = dim3(((unsigned)rows + y - 1) / y, blocks < most ? blocks : most);
  return g;
}

INLINE int own_row() { return (int)(blockIdx.x * blockDim.y + threadIdx.y); }
INLINE int first_column() { return (int)(blockIdx.y * blockDim.x + threadIdx.x); }
INLINE int next_column(int column) { return column + (int)(gridDim.y * blockDim.x); }
#define EACH_COLUMN(c, columns) for (int c = first_column(); c < (columns); c = next_column(c))

/* ---- random matrices ---- */

enum { DRAW_THREADS = 128 };

/* A thread a block of four numbers: number k is entry (k / count, k % count). */
__global__ void __launch_bounds__(DRAW_THREADS) feature_normals(uint64_t seed, uint32_t random_stream, uint64_t total,
                                                                int count, ntk_cuda_rows weights) {
  const uint64_t block = (uint64_t)blockIdx.x * DRAW_THREADS + threadIdx.x;
  if (4 * block >= total) return;
  float normals[4];
  ntk_random_normals(seed, random_stream, block, normals);
  UNROLL for (int j = 0; j < 4; j++) {
    const uint64_t k = 4 * block + j;
    if (k < total) weights.at[k / count * weights.stride + k % count] = normals[j];
  }
}

__global__ void __launch_bounds__(DRAW_THREADS) feature_to_sphere(int inputs, int count, ntk_cuda_rows weights) {
  const int column = (int)(blockIdx.x * DRAW_THREADS + threadIdx.x);
  if (column >= count) return;
  float *const w = weights.at + column;
  double square = 0;
  for (int i = 0; i < inputs; i++) square += (double)w[i * weights.stride] * (double)w[i * weights.stride];
  const float scale = (float)(square > 0 ? sqrt(inputs / square) : 0);
  for (int i = 0; i < inputs; i++) w[i * weights.stride] *= scale;
}

/* ---- rows in, between, and out ---- */

__global__ void __launch_bounds__(ROW_THREADS) feature_layout(const float *images, int rows, int pixels, int channels,
                                                              float *out) {
  const int row = own_row();
  if (row >= rows) return;
  const float *const image = images + (size_t)(row / pixels) * channels * pixels + row % pixels;
  EACH_COLUMN(c, channels) out[(size_t)row * channels + c] = image[(size_t)c * pixels];
}

__global__ void __launch_bounds__(ROW_THREADS) feature_fill(ntk_cuda_rows out, int rows, float value) {
  const int row = (int)(blockIdx.x * ROW_THREADS + threadIdx.x);
  if (row < rows) out.at[row * out.stride] = value;
}

__global__ void __launch_bounds__(ROW_THREADS) feature_result(ntk_cuda_rows in, int rows, int columns, float scale,
                                                              float *out) {
  const int row = own_row();
  if (row >= rows) return;
  EACH_COLUMN(c, columns) out[(size_t)row * columns + c] = scale * in.at[row * in.stride + c];
}

/* A warp a row. */
__global__ void __launch_bounds__(ROW_THREADS) feature_norms(ntk_cuda_rows in, int rows, int columns, float *norms) {
  const int row = (int)(blockIdx.x * (ROW_THREADS / 32) + threadIdx.x / 32);
  if (row >= rows) return;
  double square = 0;
  for (int c = (int)threadIdx.x % 32; c < columns; c += 32) {
    const double v = in.at[row * in.stride + c];
    square = fma(v, v, square);
  }
  const float norm = (float)sqrt(warp_sum(square));
  if (threadIdx.x % 32 == 0) norms[2 * row] = norm, norms[2 * row + 1] = norm > 0 ? 1 / norm : 0;
}

/* ---- gathers ---- */

enum { GATHERED = 4 }; /* neighbouring outputs of a thread: they share signs, and their loads overlap */

/* Rows: groups of outputs of an image. */
__global__ void __launch_bounds__(ROW_THREADS) feature_gather(NTK_PARAMETER ntk_feature_gather g, ntk_cuda_rows in,
                                                              ntk_cuda_rows out, int groups, int rows) {
  const int row = own_row();
  if (row >= rows) return;
  const int first = row % groups * GATHERED;
  const float *const image = in.at + (size_t)(row / groups) * g.inputs * in.stride;
  float *const to = out.at + ((size_t)(row / groups) * g.outputs + first) * out.stride;
  float scale[GATHERED];
  UNROLL for (int k = 0; k < GATHERED; k++)
    scale[k] = first + k >= g.outputs ? 0 : g.weight ? g.scale * g.weight[first + k] : g.scale;
  EACH_COLUMN(c, g.span) {
    float sum[GATHERED];
    UNROLL for (int k = 0; k < GATHERED; k++)
      sum[k] = g.adds && first + k < g.outputs ? to[k * out.stride + c] : 0;
    for (int t = 0; t < g.taps; t++) {
      int i = c - (g.shift ? g.shift[t] : 0), source[GATHERED];
      if (i < 0) i += g.span;
      UNROLL for (int k = 0; k < GATHERED; k++)
        source[k] = first + k < g.outputs ? g.source[(size_t)(first + k) * g.taps + t] : -1;
      for (; i < g.columns; i += g.span) {
        const float sign = g.sign ? (float)g.sign[(size_t)t * g.columns + i] : 1;
        UNROLL for (int k = 0; k < GATHERED; k++)
          if (source[k] >= 0) sum[k] += scale[k] * sign * image[source[k] * in.stride + i];
      }
    }
    UNROLL for (int k = 0; k < GATHERED; k++)
      if (first + k < g.outputs) to[k * out.stride + c] = sum[k];
  }
}

/* Taps side by side: every column of `out` has one source. */
__global__ void __launch_bounds__(ROW_THREADS) feature_concatenate(NTK_PARAMETER ntk_feature_gather g,
                                                                   ntk_cuda_rows in, ntk_cuda_rows out, int rows) {
  const int row = own_row();
  if (row >= rows) return;
  const int p = row % g.outputs;
  const float *const image = in.at + (size_t)(row / g.outputs) * g.inputs * in.stride;
  const float scale = g.weight ? g.scale * g.weight[p] : g.scale;
  EACH_COLUMN(c, g.span) {
    const int source = g.source[(size_t)p * g.taps + c / g.columns];
    out.at[row * out.stride + c] = source < 0 ? 0 : scale * image[source * in.stride + c % g.columns];
  }
}

/* ---- units, polynomials ---- */

template <int PIECES>
__global__ void __launch_bounds__(ROW_THREADS)
    feature_unit(NTK_PARAMETER ntk_feature_unit unit, int derivative, ntk_cuda_row_scale scales, ntk_cuda_rows u,
                 ntk_cuda_rows out, int rows, int columns) {
  const int row = own_row();
  if (row >= rows) return;
  const float norm = scales.norms ? scales.norms[2 * row] * scales.norm_scale : 1;
  const float scale = derivative ? scales.scale : scales.scale * norm;
  EACH_COLUMN(c, columns) {
    float v = u.at[row * u.stride + c];
    if (scales.norms) v = norm > 0 ? v / norm : 0;
    if (PIECES && derivative)
      v = ntk_unit_step(scale * unit.params[0], scale * unit.params[1], v);
    else if (PIECES)
      v = ntk_unit_pieces(scale * unit.params[0], scale * unit.params[1], v);
    else
      v = scale * (derivative ? ntk_unit_slope(&unit, v) : ntk_unit_value(&unit, v));
    out.at[row * out.stride + c] = v;
  }
}

INLINE float scale_of(ntk_cuda_row_scale s, int row) {
  return s.norms ? s.scale * (s.norms[2 * row] * s.norm_scale) : s.scale;
}

__global__ void __launch_bounds__(ROW_THREADS) feature_start(ntk_cuda_row_scale scale, float factor, ntk_cuda_rows out,
                                                             int rows, int columns) {
  const int row = own_row();
  if (row >= rows) return;
  EACH_COLUMN(c, columns) out.at[row * out.stride + c] = c == 0 ? scale_of(scale, row) * factor : 0;
}

__global__ void __launch_bounds__(ROW_THREADS)
    feature_rotate(ntk_cuda_row_scale scale, float factor, const int8_t *sign, int shift, ntk_cuda_rows q,
                   ntk_cuda_rows out, int rows, int columns) {
  const int row = own_row();
  if (row >= rows) return;
  const float own = scale_of(scale, row) * factor;
  EACH_COLUMN(c, columns) {
    const int i = c < shift ? c - shift + columns : c - shift;
    out.at[row * out.stride + c] += own * (float)sign[i] * q.at[row * q.stride + i];
  }
}
