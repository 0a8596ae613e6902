/* Part of stage_cuda.cu: states that leave a stage through windows (kernels/program.h). No atomics: whoever writes a
 * sum adds it up alone, in a fixed order. */

/* Input index c of output I's window, or -1 outside. */
INLINE int window_input(const ntk_window &w, int output, int c) {
  const int at = w.stride * output - w.before + c;
  if (w.circular) return ((at % w.inputs) + w.inputs) % w.inputs;
  return at >= 0 && at < w.inputs ? at : -1;
}

/* The output of a window of size 1 that reads an input, or -1. */
INLINE int window_output(const ntk_window &w, int input) {
  const int from = input + w.before, output = from / w.stride;
  return from >= 0 && output * w.stride == from && output < w.outputs ? output : -1;
}

INLINE real window_weight(const ntk_window &w, int x, int z) {
  return w.weights ? (real)(w.weights[x] * w.weights[z]) : (real)1;
}

/* From index x of an axis to index z of it, as a packed tile's offset. */
INLINE int packed_offset(int x, int z, int n) { return z >= x ? z - x : z - x + n; }

/* Every entry to the one place that it has in the target. */
template <int ROWS, int NTK>
INLINE void scatter(const ntk_cuda_stage &p, const strip &u, const ntk_cuda_exit &e, real *buffer, const real *s,
                    const real *t) {
  const int J = window_output(e.cols, u.j), J2 = window_output(e.cols, u.partner_j);
  const size_t area = (size_t)e.rows.outputs * e.cols.outputs;
  if (J < 0 || J2 < 0) return;
  const int b = packed_offset(J, J2, e.cols.outputs);
  UNROLL for (int k = 0; k < ROWS; k++) {
    const int r = u.top + k;
    if (!inside(u, k)) continue;
    const int I = window_output(e.rows, r), I2 = window_output(e.rows, ntk_axis_partner(r, p.height, u.tile.a));
    if (I < 0 || I2 < 0) continue;
    const int tile = e.target_tile_at[packed_offset(I, I2, e.rows.outputs) * e.cols.outputs + b];
    if (tile < 0) continue;
    real *const to = buffer + (size_t)tile * (NTK ? 2 : 1) * area + (size_t)I * e.cols.outputs + J;
    to[0] = s[k];
    if (NTK) to[area] = t[k];
  }
}

/* A tile through an exit. */
template <int ROWS, int NTK>
INLINE void leave(const ntk_cuda_stage &p, const ntk_cuda_stage_pairs &q, const strip &u, planes *m, real *slots,
                  double scale, const ntk_cuda_exit &e) {
  real s[ROWS], t[ROWS];
  load_slot<ROWS, NTK>(find_slot<ROWS, NTK>(p, q, u, slots, e.slot), u, s, t);
  filter<ROWS, NTK>(p, u, m, e.filter_rows, e.filter_cols, e.circular, s, t);
  UNROLL for (int k = 0; k < ROWS; k++) {
    s[k] += inside(u, k) ? (real)(e.bias * scale) : 0;
    if (NTK && e.trained) t[k] += s[k];
  }
  if (e.kind == NTK_EXIT_DIRECT) {
    scatter<ROWS, NTK>(p, u, e, section_of(q, e.buffer, u.pair), s, t);
    return;
  }
  const size_t area = (size_t)p.height * p.width;
  real *const tile = section_of(q, e.state, u.pair) + (size_t)u.index * (NTK ? 2 : 1) * area;
  store_slot<ROWS, NTK>({tile + (size_t)u.top * p.width + u.j, p.width, area}, u, s, t);
}

/* ---- sums of whole tiles ---- */

enum { SUM_THREADS = 256 };

/* The sums over rows: middle[A][b][S, T][I][j]. A thread each (A, b, I, j), blockIdx.y: the pair. */
__global__ void __launch_bounds__(SUM_THREADS) NTK_NAME(sum_rows)(ntk_cuda_stage p, ntk_cuda_exit e,
                                                                  ntk_cuda_stage_pairs q) {
  const int height = e.rows.outputs, width = p.width, states = p.want_ntk ? 2 : 1;
  const size_t index = (size_t)blockIdx.x * SUM_THREADS + threadIdx.x, area = (size_t)p.height * width;
  const int j = (int)(index % width), I = (int)(index / width % height);
  const int b = (int)(index / width / height % width), A = (int)(index / width / height / width);
  if (A >= height) return;
  const int I2 = ntk_axis_partner(I, height, A);
  const real *const from = section_of(q, e.state, (int)blockIdx.y);
  real s = 0, t = 0;
  for (int c = 0; c < e.rows.size; c++)
    for (int d = 0; d < e.rows.size; d++) {
      const int r = window_input(e.rows, I, c), partner = window_input(e.rows, I2, d);
      if (r < 0 || partner < 0) continue;
      const int index_of = p.tile_at[packed_offset(r, partner, p.height) * width + b];
      if (index_of < 0) continue;
      const ntk_tile tile = p.tiles[index_of];
      if (!(tile.demands >> e.demand & 1) || r < tile.first_row || r >= tile.first_row + tile.row_count) continue;
      const real *const at = from + (size_t)index_of * states * area + (size_t)r * width + j;
      s += at[0];
      if (states == 2) t += at[area];
    }
  const real weight = window_weight(e.rows, I, I2);
  real *const to = section_of(q, e.middle, (int)blockIdx.y) +
                   (((size_t)A * width + b) * states * height + I) * width + j;
  to[0] = weight * s;
  if (states == 2) to[(size_t)height * width] = weight * t;
}

/* The sums over columns into the target's buffer. A thread each (tile, I, J), blockIdx.y: the pair. */
__global__ void __launch_bounds__(SUM_THREADS) NTK_NAME(sum_columns)(ntk_cuda_stage p, ntk_cuda_exit e,
                                                                     ntk_cuda_stage_pairs q) {
  const int height = e.rows.outputs, width = e.cols.outputs, states = p.want_ntk ? 2 : 1;
  const size_t index = (size_t)blockIdx.x * SUM_THREADS + threadIdx.x, area = (size_t)height * width;
  const int J = (int)(index % width), I = (int)(index / width % height), at = (int)(index / area);
  if (at >= e.target_tiles) return;
  const ntk_tile tile = e.targets[at];
  const int J2 = ntk_axis_partner(J, width, tile.b);
  const size_t row = (size_t)height * p.width; /* reals of S */
  const real *const from = section_of(q, e.middle, (int)blockIdx.y) + (size_t)tile.a * p.width * states * row +
                           (size_t)I * p.width;
  real s = 0, t = 0;
  for (int c = 0; c < e.cols.size; c++)
    for (int d = 0; d < e.cols.size; d++) {
      const int j = window_input(e.cols, J, c), partner = window_input(e.cols, J2, d);
      if (j < 0 || partner < 0) continue;
      const real *const entry = from + (size_t)packed_offset(j, partner, p.width) * states * row + j;
      s += entry[0];
      if (states == 2) t += entry[row];
    }
  const real weight = window_weight(e.cols, J, J2);
  real *const to = section_of(q, e.buffer, (int)blockIdx.y) + (size_t)at * states * area + (size_t)I * width + J;
  to[0] = weight * s;
  if (states == 2) to[area] = weight * t;
}

static unsigned sum_blocks(size_t outputs) { return (unsigned)((outputs + SUM_THREADS - 1) / SUM_THREADS); }

/* Sums what an exit stored. */
static int launch_sums(const ntk_cuda_stage *p, const ntk_cuda_exit *e, const ntk_cuda_stage_pairs *q,
                       cudaStream_t stream) {
  const size_t area = (size_t)e->rows.outputs * (size_t)e->cols.outputs;
  const size_t rows = (size_t)e->rows.outputs * e->rows.outputs * p->width * p->width;
  if (e->kind == NTK_EXIT_DIRECT || e->target_tiles == 0) return cudaSuccess;
  const dim3 first(sum_blocks(rows), (unsigned)q->count), second(sum_blocks(area * e->target_tiles), (unsigned)q->count);
  NTK_LAUNCH(NTK_NAME(sum_rows), first, SUM_THREADS, 0, stream, *p, *e, *q);
  NTK_LAUNCH(NTK_NAME(sum_columns), second, SUM_THREADS, 0, stream, *p, *e, *q);
  return cudaGetLastError();
}
