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

/* ---- windows that share no entry ---- */

/* Inputs x of an axis, first .. first + count - 1, whose partners are x + d, that output I reads where output I + D
 * reads the partners. */
struct window_run {
  int first, count;
};

INLINE window_run find_run(const ntk_window &w, int I, int D, int d) {
  const int from = w.stride * I - w.before, other = w.stride * (I + D) - w.before - d;
  int first = from > other ? from : other, end = (from < other ? from : other) + w.size;
  if (first < 0) first = 0;
  if (first < -d) first = -d;
  if (end > w.inputs) end = w.inputs;
  if (end > w.inputs - d) end = w.inputs - d;
  return {first, I + D >= 0 && I + D < w.outputs && end > first ? end - first : 0};
}

/* Output offsets D with |d - stride D| < size, from the least one on: at most two as size <= stride. */
INLINE int first_offset(const ntk_window &w, int d) {
  const int least = d - (w.size - 1); /* rounded up: */
  return least >= 0 ? (least + w.stride - 1) / w.stride : -(-least / w.stride);
}

/* Which of the 2 size - 1 parts of an output at offset D comes from input offset d. */
INLINE int part_of(const ntk_window &w, int D, int d) { return d - w.stride * D + w.size - 1; }

INLINE size_t part_reals(const ntk_cuda_exit &e, int states) {
  return (size_t)e.target_tiles * states * e.rows.outputs * e.cols.outputs;
}

/* What a published tile gives away, and where to. */
struct gift {
  ntk_window rows, cols;
  const int *target_tile_at;
  const real *s, *t; /* published planes */
  real *parts;
  size_t part, area; /* reals of a part; of a plane of the target */
};

/* To output (I, J), from the rows that `run` says, of offset d, to output offset D; for all column offsets. */
template <int NTK>
INLINE void give_row(const ntk_cuda_stage &p, const strip &u, const gift &g, const window_run &run, int I, int J, int d,
                     int D) {
  const int A = D < 0 ? D + g.rows.outputs : D, k = part_of(g.rows, D, d);
  for (int wrap = 0; wrap < (u.tile.b > 0 ? 2 : 1); wrap++) {
    const int f = u.tile.b - (wrap ? p.width : 0);
    for (int F = first_offset(g.cols, f); F * g.cols.stride <= f + g.cols.size - 1; F++) {
      const window_run cols = find_run(g.cols, J, F, f);
      if (cols.count == 0) continue;
      const int tile = g.target_tile_at[A * g.cols.outputs + (F < 0 ? F + g.cols.outputs : F)];
      if (tile < 0) continue;
      real s = 0, t = 0;
      for (int r = 0; r < run.count; r++) {
        const int at = (run.first - u.tile.first_row + r) * p.pitch + cols.first;
        for (int c = 0; c < cols.count; c++) {
          s += g.s[at + c];
          if (NTK) t += g.t[at + c];
        }
      }
      real *const to = g.parts + (size_t)(k * (2 * g.cols.size - 1) + part_of(g.cols, F, f)) * g.part +
                       (size_t)tile * (NTK ? 2 : 1) * g.area + (size_t)(I * g.cols.outputs + J);
      to[0] = s;
      if (NTK) to[g.area] = t;
    }
  }
}

template <int NTK>
INLINE void give_parts(const ntk_cuda_stage &p, const strip &u, const ntk_cuda_exit &e, const planes &m, real *parts) {
  const real *const plane = shared_memory() + m.now;
  const gift g = {e.rows,          e.cols, e.target_tile_at,           plane,
                  plane + m.size, parts,  part_reals(e, NTK ? 2 : 1), (size_t)e.rows.outputs * e.cols.outputs};
  const int end = u.tile.first_row + u.tile.row_count;
  for (int k = (int)threadIdx.x; k < g.rows.outputs * g.cols.outputs; k += (int)blockDim.x)
    for (int wrap = 0; wrap < (u.tile.a > 0 ? 2 : 1); wrap++) {
      const int d = u.tile.a - (wrap ? p.height : 0), I = k / g.cols.outputs;
      for (int D = first_offset(g.rows, d); D * g.rows.stride <= d + g.rows.size - 1; D++) {
        const window_run run = find_run(g.rows, I, D, d);
        if (run.count > 0 && run.first >= u.tile.first_row && run.first < end)
          give_row<NTK>(p, u, g, run, I, k % g.cols.outputs, d, D);
      }
    }
}

/* A tile through an exit. Returns where the planes are afterwards. */
template <int ROWS, int NTK>
OUT_OF_LINE planes leave(const ntk_cuda_stage &p, const ntk_cuda_stage_pairs &q, strip u, planes m, double scale,
                         const ntk_cuda_exit &e) {
  real s[ROWS], t[ROWS];
  load_slot<ROWS, NTK>(find_slot<ROWS, NTK>(p, q, u, m, e.slot), u, s, t);
  filter<ROWS, NTK>(p, u, &m, e.filter_rows, e.filter_cols, e.circular, s, t);
  UNROLL for (int k = 0; k < ROWS; k++) {
    if (NTK) t[k] = fma((real)e.gain, s[k], t[k]) + (inside(u, k) ? (real)(e.constant * scale) : 0);
    s[k] += inside(u, k) ? (real)(e.bias * scale) : 0;
  }
  if (e.kind == NTK_EXIT_DIRECT) {
    scatter<ROWS, NTK>(p, u, e, section_of(q, e.buffer, u.pair), s, t);
    return m;
  }
  if (e.kind == NTK_EXIT_DISJOINT) {
    publish<ROWS, NTK>(u, p.pitch, &m, s, t);
    give_parts<NTK>(p, u, e, m, section_of(q, e.state, u.pair));
    return m;
  }
  const size_t area = (size_t)p.height * p.width;
  real *const tile = section_of(q, e.state, u.pair) + (size_t)u.index * (NTK ? 2 : 1) * area;
  store_slot<ROWS, NTK>({tile + (size_t)u.top * p.width + u.j, p.width, area}, u, s, t);
  return m;
}

enum { SUM_THREADS = 256 };

/* Whether an exit has the entries of a stage's packed offset from row r on. */
INLINE int exit_has(const ntk_cuda_stage &p, const ntk_cuda_exit &e, int index, int r) {
  if (index < 0) return 0;
  const ntk_tile tile = p.tiles[index];
  return (tile.demands >> e.demand & 1) && r >= tile.first_row && r < tile.first_row + tile.row_count;
}

/* The sums of the parts that tiles gave. A thread each (tile, I, J), blockIdx.y: the pair. */
__global__ void __launch_bounds__(SUM_THREADS)
    NTK_NAME(sum_parts)(NTK_PARAMETER ntk_cuda_stage p, NTK_PARAMETER ntk_cuda_exit e,
                        NTK_PARAMETER ntk_cuda_stage_pairs q) {
  const int height = e.rows.outputs, width = e.cols.outputs, states = p.want_ntk ? 2 : 1;
  const int area = height * width, index = (int)(blockIdx.x * SUM_THREADS + threadIdx.x);
  const int J = index % width, I = index / width % height, at = index / area;
  if (at >= e.target_tiles) return;
  const ntk_tile tile = e.targets[at];
  const int I2 = ntk_axis_partner(I, height, tile.a), J2 = ntk_axis_partner(J, width, tile.b);
  const size_t place = (size_t)at * states * area + (size_t)(I * width + J), step = part_reals(e, states);
  const real *const parts = section_of(q, e.state, (int)blockIdx.y);
  real s = 0, t = 0;
  for (int k = 0; k < 2 * e.rows.size - 1; k++) {
    const int d = e.rows.stride * (I2 - I) + k - (e.rows.size - 1);
    const window_run rows = find_run(e.rows, I, I2 - I, d);
    if (rows.count == 0) continue;
    for (int l = 0; l < 2 * e.cols.size - 1; l++) {
      const int f = e.cols.stride * (J2 - J) + l - (e.cols.size - 1);
      if (find_run(e.cols, J, J2 - J, f).count == 0) continue;
      const int from = p.tile_at[(d < 0 ? d + p.height : d) * p.width + (f < 0 ? f + p.width : f)];
      if (!exit_has(p, e, from, rows.first)) continue;
      const real *const part = parts + (size_t)(k * (2 * e.cols.size - 1) + l) * step + place;
      s += part[0];
      if (states == 2) t += part[area];
    }
  }
  const real weight = window_weight(e.rows, I, I2) * window_weight(e.cols, J, J2);
  real *const to = section_of(q, e.buffer, (int)blockIdx.y) + place;
  to[0] = weight * s;
  if (states == 2) to[area] = weight * t;
}

/* ---- sums of whole tiles ---- */

/* The sums over rows: middle[A][b][S, T][I][j]. A thread each (A, b, I, j), blockIdx.y: the pair. */
__global__ void __launch_bounds__(SUM_THREADS)
    NTK_NAME(sum_rows)(NTK_PARAMETER ntk_cuda_stage p, NTK_PARAMETER ntk_cuda_exit e,
                       NTK_PARAMETER ntk_cuda_stage_pairs q) {
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
      if (!exit_has(p, e, index_of, r)) continue;
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
__global__ void __launch_bounds__(SUM_THREADS)
    NTK_NAME(sum_columns)(NTK_PARAMETER ntk_cuda_stage p, NTK_PARAMETER ntk_cuda_exit e,
                          NTK_PARAMETER ntk_cuda_stage_pairs q) {
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
  const dim3 first(sum_blocks(rows), (unsigned)q->count);
  const dim3 second(sum_blocks(area * e->target_tiles), (unsigned)q->count);
  if (e->kind == NTK_EXIT_DISJOINT) {
    NTK_LAUNCH(NTK_NAME(sum_parts), second, SUM_THREADS, 0, stream, *p, *e, *q);
    return cudaGetLastError();
  }
  NTK_LAUNCH(NTK_NAME(sum_rows), first, SUM_THREADS, 0, stream, *p, *e, *q);
  NTK_LAUNCH(NTK_NAME(sum_columns), second, SUM_THREADS, 0, stream, *p, *e, *q);
  return cudaGetLastError();
}
