/* Part of plane_cuda.cu, float32: pairs of images that both have constant regions, for the networks of plane_warp.cuh.
 *
 * There rho is 1 over whole areas, and 1 - rho would drown in the rounding of S. The state is therefore (D, T, V) with
 * S = V - D, where V = n_x n_z after every ReLU (docs/accuracy.md; the CPU's is kernels/plane_any.h):
 *   D_next = box(D) + W,   W = n'_x n'_z - box(V) >= 0 by Cauchy and Schwarz,
 * with W below the rounding noise taken as 0. The first layer is computed in float64, from tables of its own.
 */

/* Three states want more registers than 16 warps leave a thread. */
enum { FLAT_WARPS = 8 };

template <int ROWS>
struct flat_patch {
  float d[ROWS][4], t[ROWS][4], v[ROWS][4];
};

/* The float64 tables behind the others of an image: channels x height x width pixels, then n of the first ReLU. */
INLINE const double *exact_tables(const ntk_cuda_plane &p, const float *image) {
  return (const double *)(image + exact_offset(p));
}

/* Sums of three along the columns of a float64 state, and then along the rows at row k: the plain way, since it is done
 * once. */
template <int ROWS>
INLINE void sum_exact_columns(double (*v)[4], const float *left) {
  UNROLL for (int k = 0; k < ROWS; k++) {
    double before = __shfl_up_sync(0xffffffffu, v[k][3], 1), after = __shfl_down_sync(0xffffffffu, v[k][0], 1);
    UNROLL for (int c = 0; c < 4; c++) {
      const double own = v[k][c], right = c < 3 ? v[k][c < 3 ? c + 1 : 3] : after;
      v[k][c] = fma((double)left[c + 1], right, fma((double)left[c], before, own));
      before = own;
    }
  }
}

/* The first layer of a tile: D, T and V after its ReLU, T with S added for the next layer. Returns whether the images
 * are the same wherever the tile compares a pixel with itself. */
template <int ROWS, int WIDTH>
INLINE int enter_flat(const ntk_cuda_plane &p, const ntk_tile &tile, const place &at, const edges<ROWS> &cut,
                      const double *x, const double *z, flat_patch<ROWS> &f) {
  constexpr int HEIGHT = 4 * ROWS;
  double s[ROWS][4];
  int column[4], same = tile.a == 0 && tile.b == 0;
  UNROLL for (int c = 0; c < 4; c++) column[c] = ntk_axis_partner(at.column + c, WIDTH, tile.b);
  UNROLL for (int k = 0; k < ROWS; k++) UNROLL for (int c = 0; c < 4; c++) s[k][c] = 0;
  for (int channel = 0; channel < p.channels; channel++, x += HEIGHT * WIDTH, z += HEIGHT * WIDTH)
    UNROLL for (int k = 0; k < ROWS; k++) {
      const double *const from = x + (at.row + k) * WIDTH + at.column;
      const double *const row = z + ntk_axis_partner(at.row + k, HEIGHT, tile.a) * WIDTH;
      UNROLL for (int c = 0; c < 4; c++) {
        s[k][c] = fma(from[c], row[column[c]], s[k][c]);
        same &= from[c] == row[column[c]];
      }
    }
  const float trained = p.layers[0].trained ? 1.0f : 0.0f;
  double above[4], below[4];
  sum_exact_columns<ROWS>(s, cut.left);
  UNROLL for (int c = 0; c < 4; c++) {
    above[c] = __shfl_up_sync(0xffffffffu, s[ROWS - 1][c], 8);
    below[c] = __shfl_down_sync(0xffffffffu, s[0][c], 8);
  }
  UNROLL for (int k = 0; k < ROWS; k++) {
    const int partner = ntk_axis_partner(at.row + k, HEIGHT, tile.a) * WIDTH;
    float m[4], q[4], pp[4], poly[4], d[4], v[4], covariance[4];
    UNROLL for (int c = 0; c < 4; c++) {
      const double next = k + 1 < ROWS ? s[k + 1 < ROWS ? k + 1 : k][c] : below[c];
      const double sum = fma((double)cut.up[k + 1], next, fma((double)cut.up[k], above[c], s[k][c]));
      /* n lies behind the pixels, where x and z point now */
      const double product = x[(at.row + k) * WIDTH + at.column + c] * z[partner + column[c]];
      above[c] = s[k][c];
      d[c] = (float)(product - fabs(sum)), v[c] = (float)product, covariance[c] = (float)sum;
      m[c] = __saturatef(d[c] * fast_reciprocal(v[c])); /* a black pixel's NaN becomes 0 */
      if (m[c] < 4e-15f) m[c] = d[c] = 0;
      q[c] = fast_sqrt(m[c]);
    }
    NTK_DUALS_WHOLE(pp, poly, m, 4, 1);
    UNROLL for (int c = 0; c < 4; c++) {
      const int positive = covariance[c] > 0;
      const float minus = q[c] * pp[c], k0 = positive ? 1 - minus : minus;
      f.v[k][c] = v[c];
      f.d[k][c] = fmaf(-d[c] * q[c], poly[c], positive ? d[c] : v[c]);
      f.t[k][c] = fmaf(trained * covariance[c], k0, v[c] - f.d[k][c]);
    }
  }
  return __ballot_sync(0xffffffffu, same) == 0xffffffffu;
}

/* A later layer. gap: W below this share of n_x n_z is noise. The rest as layer_warp. */
template <int ROWS, int WIDTH, int ROW_ODD, int COLUMN_ODD, int LAST>
INLINE void layer_flat(flat_patch<ROWS> &f, const edges<ROWS> &cut, const float *x, const float *z, float gap,
                       float *warp_risk) {
  risk_sums risk = {};
  float keep[3][4], below[3][4];
  float(*const states[3])[4] = {f.d, f.t, f.v};
  UNROLL for (int n = 0; n < 3; n++) {
    sum_columns<ROWS, COLUMN_ODD>(states[n], cut.left);
    UNROLL for (int c = 0; c < 4; c++) {
      keep[n][c] = __shfl_up_sync(0xffffffffu, states[n][ROWS - 1][c], 8);
      below[n][c] = __shfl_down_sync(0xffffffffu, states[n][0][c], 8);
    }
  }
  UNROLL for (int k = 0; k < ROWS; k++) {
    const float4 n_x = *(const float4 *)(x + k * WIDTH), n_z = *(const float4 *)(z + k * WIDTH);
    const float nx[4] = {n_x.x, n_x.y, n_x.z, n_x.w}, nz[4] = {n_z.x, n_z.y, n_z.z, n_z.w};
    float d[4], t[4], m[4], q[4], pp[4], poly[4];
    UNROLL for (int c = 0; c < 4; c++) {
      float sums[3];
      UNROLL for (int n = 0; n < 3; n++) {
        const float next = k + 1 < ROWS ? states[n][k + 1 < ROWS ? k + 1 : k][c] : below[n][c];
        sums[n] = sum_rows<ROWS, ROW_ODD>(states[n], k, c, next, cut.up, keep[n]);
      }
      const float product = nx[c] * nz[c], w = fmaf(nx[c], nz[c], -sums[2]);
      d[c] = sums[0] + (w > gap * product ? w : 0.0f), t[c] = sums[1];
      m[c] = __saturatef(d[c] * fast_reciprocal(product));
      q[c] = fast_sqrt(m[c]);
      f.v[k][c] = product;
      if (LAST && m[c] < 1e-2f && m[c] > NTK_DUAL_SNAP) risk.risk[1] += product * 3e-8f * fast_reciprocal(q[c]);
      if (LAST) risk.weight[1] += product;
    }
    NTK_DUALS_WHOLE(pp, poly, m, 4, 1);
    UNROLL for (int c = 0; c < 4; c++) {
      const float k0 = fmaf(-q[c], pp[c], 1.0f);
      f.d[k][c] = fmaf(-d[c] * q[c], poly[c], d[c]);
      f.t[k][c] = LAST ? t[c] * k0 : fmaf(t[c], k0, f.v[k][c] - f.d[k][c]);
    }
  }
  if (LAST) add_risk(risk, 1, warp_risk);
}

/* Layers [first, last), first > 0; the rest as run_layers. */
template <int ROWS, int WIDTH, int ROW_ODD, int COLUMN_ODD>
INLINE void run_flat(const ntk_cuda_plane &p, flat_patch<ROWS> &f, const edges<ROWS> &cut, int first, int last,
                     const float *x, const float *z, int step, float gap, float *warp_risk) {
  const int end = p.layer_count - 1, before = last < end ? last : end;
  for (; first < before; first++, x += step, z += step)
    layer_flat<ROWS, WIDTH, ROW_ODD, COLUMN_ODD, 0>(f, cut, x, z, gap, warp_risk);
  if (first < last) layer_flat<ROWS, WIDTH, ROW_ODD, COLUMN_ODD, 1>(f, cut, x, z, gap, warp_risk);
}

template <int ROWS, int WIDTH>
INLINE void pool_flat(const ntk_cuda_plane &p, const ntk_tile &tile, const place &at, const flat_patch<ROWS> &f,
                      int last, float share, double *sums) {
  patch<ROWS, 1> v;
  if (p.layers[last - 1].tap < 0) return;
  UNROLL for (int k = 0; k < ROWS; k++)
    UNROLL for (int c = 0; c < 4; c++) v.s[k][c] = f.v[k][c] - f.d[k][c], v.t[k][c] = f.t[k][c];
  pool_patch<ROWS, WIDTH, 1>(p, tile, at, v, last, share, sums);
}

/* As warp_tiles, for the pairs that it leaves out. */
template <int ROWS, int WIDTH>
__global__ void __launch_bounds__(32 * FLAT_WARPS, 1) flat_tiles(ntk_cuda_plane p, ntk_cuda_pairs q, int chunk) {
  NTK_DYNAMIC_SHARED(double, shared);
  __shared__ float warp_risk[FLAT_WARPS][8];
  __shared__ warp_block block;
  constexpr int AREA = 4 * ROWS * WIDTH, STEP = AREA + (4 * ROWS + ROWS - 1) * WIDTH;
  const int outputs = 2 * p.tap_count * p.pool_count, warps = (int)blockDim.x / 32, warp = (int)threadIdx.x / 32;
  float *const tables = (float *)(shared + warps * outputs);
  if (!both_flat(p, q, q.list[blockIdx.x / p.group_count])) return;
  for (int k = (int)threadIdx.x; k < warps * outputs; k += (int)blockDim.x) shared[k] = 0;
  for (int k = (int)threadIdx.x; k < warps * 8; k += (int)blockDim.x) warp_risk[k / 8][k % 8] = 0;
  if (threadIdx.x == 0) open_block(p, q, &block);
  __syncthreads();
  for (int round = block.begin; round < block.end; round = next_round(block, round)) {
    int own;
    const ntk_tile tile = round_tile(p, block, round, &own);
    const place at = find_place<ROWS, WIDTH>(tile);
    const edges<ROWS> cut = find_edges<ROWS, WIDTH>(tile, at);
    flat_patch<ROWS> f;
    const int copies = enter_flat<ROWS, WIDTH>(p, tile, at, cut, exact_tables(p, block.x), exact_tables(p, block.z), f);
    const float gap = copies ? INFINITY : NTK_DUAL_GAP; /* an image with its copy: rho is 1 and stays 1 */
    float *const risk = warp_risk[warp] + (own ? 0 : 4);
    for (int first = 0, base = 0, loaded = 0, last; first < p.layer_count; first = last) {
      if (first == loaded) {
        base = first, loaded = first + chunk < p.layer_count ? first + chunk : p.layer_count;
        if (round == block.begin || chunk < p.layer_count) {
          __syncthreads();
          load_tables<ROWS, WIDTH>(base, loaded, tile.b, block.x + pixel_reals(p), block.z + pixel_reals(p), tables);
          __syncthreads();
        }
      }
      last = next_stop(p, first, loaded);
      const int from = first > 0 ? first : 1; /* the first layer is done */
      const float *const n_x = tables + (from - base) * STEP + at.row * WIDTH + at.column;
      const float *const n_z = tables + (from - base) * STEP + AREA + at.z_row * WIDTH + at.column;
      const int column_odd = (WIDTH - tile.b) % 4 % 2;
      if (round >= block.middle && column_odd)
        run_flat<ROWS, WIDTH, 1, 1>(p, f, cut, from, last, n_x, n_z, STEP, gap, risk);
      else if (round >= block.middle)
        run_flat<ROWS, WIDTH, 1, 0>(p, f, cut, from, last, n_x, n_z, STEP, gap, risk);
      else if (column_odd)
        run_flat<ROWS, WIDTH, 0, 1>(p, f, cut, from, last, n_x, n_z, STEP, gap, risk);
      else
        run_flat<ROWS, WIDTH, 0, 0>(p, f, cut, from, last, n_x, n_z, STEP, gap, risk);
      __syncwarp();
      pool_flat<ROWS, WIDTH>(p, tile, at, f, last, own ? 1.0f : 0.0f, shared + warp * outputs);
    }
    if (round == 0 && threadIdx.x == 0) /* tile 0 */
      for (int k = 0; k < 4; k++) q.partial_risk[8 * (size_t)blockIdx.x + 4 + k] = warp_risk[0][k];
  }
  __syncthreads();
  close_block(p, q, shared, warp_risk);
}

static int launch_flat(const ntk_cuda_plane *p, const ntk_cuda_pairs *q, cudaStream_t stream) {
  switch (p->height) {
    case 32: return launch_tiles(flat_tiles<8, 32>, FLAT_WARPS, p, q, stream);
    case 28: return launch_tiles(flat_tiles<7, 28>, FLAT_WARPS, p, q, stream);
    default: return launch_tiles(flat_tiles<4, 16>, FLAT_WARPS, p, q, stream);
  }
}
