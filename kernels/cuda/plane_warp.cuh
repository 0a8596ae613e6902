/* Part of plane_cuda.cu, float32: a warp owns a packed tile, S and T in registers through all layers. For the common
 * networks (ntk_cuda_plane.plain) on images of 4 ROWS x WIDTH: 32x32, 28x28 and 16x16.
 *
 * Lane 8 y + x of the warp holds rows ROWS y .. and columns 4 x .. of the tile. Filters reach the neighbours by
 * shuffles; where a seam or the image ends, a factor of 0 instead of 1 cuts the connection. With WIDTH < 32 the lanes
 * beyond repeat the last columns: nothing connects to them and their weight is 0.
 */

/* Warps of a block, at most: with 16 a thread has 128 registers; warp_pairs, which loads ahead, wants more. */
enum { WARPS = 16, PAIR_WARPS = 8 };

/* The offset-plane seam of a tile cuts each axis once, at edge (HEIGHT - a) mod ROWS of some lane's patch, and (WIDTH -
 * b) mod 4. Kernels know its parity (ROW_ODD, COLUMN_ODD), so that across edges of the other parity neighbouring sums
 * share their common part: 1.5 additions instead of 2 along an axis, and half the factors to keep. */

/* S and T of a lane's entries. */
template <int ROWS, int NTK>
struct patch {
  float s[ROWS][4], t[NTK ? ROWS : 1][4];
};

/* Where a lane's patch lies: its first row and column of x, and the first row of z. */
struct place {
  int row, column, z_row;
};

/* What a lane's patch is connected with: 1 or 0. */
template <int ROWS>
struct edges {
  float up[ROWS + 1]; /* rows k - 1 and k of the patch */
  float left[5];      /* columns k - 1 and k */
};

template <int ROWS, int WIDTH>
INLINE place find_place(const ntk_tile &tile) {
  const int lane = (int)threadIdx.x % 32, row = lane / 8 * ROWS, column = lane % 8 * 4;
  return {row, column < WIDTH ? column : WIDTH - 4, ntk_axis_partner(row, 4 * ROWS, tile.a)};
}

template <int ROWS, int WIDTH>
INLINE edges<ROWS> find_edges(const ntk_tile &tile, const place &at) {
  edges<ROWS> cut;
  UNROLL for (int k = 0; k <= ROWS; k++)
    cut.up[k] = ntk_axis_connected(at.row + k - 1, 4 * ROWS, tile.a) ? 1.0f : 0.0f;
  UNROLL for (int k = 0; k <= 4; k++)
    cut.left[k] = ntk_axis_connected(at.column + k - 1, WIDTH, tile.b) ? 1.0f : 0.0f;
  return cut;
}

/* Sums of three along the columns, in place. */
template <int ROWS, int COLUMN_ODD>
INLINE void sum_columns(float (*v)[4], const float *left) {
  UNROLL for (int k = 0; k < ROWS; k++) {
    const float before = __shfl_up_sync(0xffffffffu, v[k][3], 1), after = __shfl_down_sync(0xffffffffu, v[k][0], 1);
    const float a = v[k][0], b = v[k][1], c = v[k][2], d = v[k][3];
    if (COLUMN_ODD) {
      const float both = b + c;
      v[k][0] = fmaf(left[1], b, fmaf(left[0], before, a));
      v[k][1] = fmaf(left[1], a, both);
      v[k][2] = fmaf(left[3], d, both);
      v[k][3] = fmaf(left[4], after, fmaf(left[3], c, d));
    } else {
      const float low = a + b, high = c + d;
      v[k][0] = fmaf(left[0], before, low);
      v[k][1] = fmaf(left[2], c, low);
      v[k][2] = fmaf(left[2], b, high);
      v[k][3] = fmaf(left[4], after, high);
    }
  }
}

/* Whether rows k and k + 1 of a patch are never apart and share the sum of both. */
template <int ROWS, int ROW_ODD>
INLINE constexpr bool opens_pair(int k) {
  return k >= ROW_ODD && (k - ROW_ODD) % 2 == 0 && k + 1 < ROWS;
}

/* Sum of three along the rows at row k, entry c; below: that of row k + 1. `keep` holds what the row before leaves for
 * this one, and then what this one leaves for the next: the pair's sum, or the row's own old value. */
template <int ROWS, int ROW_ODD>
INLINE float sum_rows(const float (*v)[4], int k, int c, float below, const float *up, float *keep) {
  const float own = v[k][c];
  float sum;
  if (opens_pair<ROWS, ROW_ODD>(k)) {
    const float pair = own + below;
    sum = fmaf(up[k], keep[c], pair);
    keep[c] = pair;
  } else if (k > 0 && opens_pair<ROWS, ROW_ODD>(k - 1)) {
    sum = fmaf(up[k + 1], below, keep[c]);
    keep[c] = own;
  } else {
    sum = fmaf(up[k + 1], below, fmaf(up[k], keep[c], own));
    keep[c] = own;
  }
  return sum;
}

enum { FIRST_LAYER = 1, LAST_LAYER = 2 };

/* Adds the lanes' estimates of error to the warp's sums: risk and weight at the first ReLU, then at the last. */
INLINE void add_risk(const risk_sums &risk, int at, float *warp_risk) {
  const double sum = warp_sum(risk.risk[at]), weight = warp_sum(risk.weight[at]);
  if (threadIdx.x % 32 == 0) warp_risk[2 * at] += (float)sum, warp_risk[2 * at + 1] += (float)weight;
}

/* One layer of a patch. x, z: the layer's n in rows of WIDTH, from the patch's first entry on. KIND: FIRST_LAYER
 * where correlations may be negative, LAST_LAYER where S is not added to T for a next layer. */
template <int ROWS, int WIDTH, int NTK, int ROW_ODD, int COLUMN_ODD, int KIND>
INLINE void layer_warp(patch<ROWS, NTK> &v, const edges<ROWS> &cut, const float *x, const float *z, float *warp_risk) {
  risk_sums risk = {};
  float keep_s[4], keep_t[4], below_s[4], below_t[4];
  sum_columns<ROWS, COLUMN_ODD>(v.s, cut.left);
  if (NTK) sum_columns<ROWS, COLUMN_ODD>(v.t, cut.left);
  UNROLL for (int c = 0; c < 4; c++) {
    keep_s[c] = __shfl_up_sync(0xffffffffu, v.s[ROWS - 1][c], 8);
    below_s[c] = __shfl_down_sync(0xffffffffu, v.s[0][c], 8);
    if (!NTK) continue;
    keep_t[c] = __shfl_up_sync(0xffffffffu, v.t[ROWS - 1][c], 8);
    below_t[c] = __shfl_down_sync(0xffffffffu, v.t[0][c], 8);
  }
  UNROLL for (int k = 0; k < ROWS; k++) {
    const float4 n_x = *(const float4 *)(x + k * WIDTH), n_z = *(const float4 *)(z + k * WIDTH);
    const float nx[4] = {n_x.x, n_x.y, n_x.z, n_x.w}, nz[4] = {n_z.x, n_z.y, n_z.z, n_z.w};
    float s[4], d[4], m[4], q[4], pp[4], poly[4];
    UNROLL for (int c = 0; c < 4; c++) {
      const float below = k + 1 < ROWS ? v.s[k + 1 < ROWS ? k + 1 : k][c] : below_s[c];
      s[c] = sum_rows<ROWS, ROW_ODD>(v.s, k, c, below, cut.up, keep_s);
      const float product = nx[c] * nz[c];
      d[c] = fmaf(nx[c], nz[c], KIND == FIRST_LAYER ? -fabsf(s[c]) : -s[c]);
      m[c] = __saturatef(d[c] * fast_reciprocal(product)); /* a black pixel's NaN becomes 0 */
      q[c] = fast_sqrt(m[c]);
      if (KIND && NTK) note_risk(&risk, KIND == FIRST_LAYER ? 0 : 1, product, m[c], q[c]);
    }
    if (KIND == FIRST_LAYER)
      NTK_DUALS_WHOLE(pp, poly, m, 4, NTK);
    else
      NTK_DUALS_LATER(pp, poly, m, 4, NTK);
    UNROLL for (int c = 0; c < 4; c++) {
      const float rise = d[c] * q[c], base = KIND == FIRST_LAYER ? fmaxf(s[c], 0.0f) : s[c];
      v.s[k][c] = fmaf(rise, poly[c], base);
      if (!NTK) continue;
      const float below = k + 1 < ROWS ? v.t[k + 1 < ROWS ? k + 1 : k][c] : below_t[c];
      const float t = sum_rows<ROWS, ROW_ODD>(v.t, k, c, below, cut.up, keep_t);
      float k0 = fmaf(-q[c], pp[c], 1.0f);
      if (KIND == FIRST_LAYER && !(s[c] > 0)) k0 = q[c] * pp[c];
      v.t[k][c] = KIND == LAST_LAYER ? t * k0 : fmaf(t, k0, v.s[k][c]);
    }
  }
  if (KIND && NTK) add_risk(risk, KIND == FIRST_LAYER ? 0 : 1, warp_risk);
}

/* The input products of a patch; `products`: of the pair's pixels, or NULL to multiply here. */
template <int ROWS, int WIDTH, int NTK>
INLINE void enter_patch(const ntk_cuda_plane &p, const ntk_tile &tile, const place &at, const float *x,
                        const float *z, const float *products, patch<ROWS, NTK> &v) {
  constexpr int HEIGHT = 4 * ROWS;
  int column[4];
  UNROLL for (int c = 0; c < 4; c++) column[c] = ntk_axis_partner(at.column + c, WIDTH, tile.b);
  UNROLL for (int k = 0; k < ROWS; k++) UNROLL for (int c = 0; c < 4; c++) v.s[k][c] = 0;
  /* one loop for both: with two, the compiler spills registers */
  const size_t area = (size_t)HEIGHT * WIDTH, step = products ? area : 0;
  const int channels = products ? 1 : p.channels;
  if (products) z = products + (at.row * WIDTH + at.column) * area;
  for (int channel = 0; channel < channels; channel++, x += area, z += area)
    UNROLL for (int k = 0; k < ROWS; k++) {
      float4 from = *(const float4 *)(x + (at.row + k) * WIDTH + at.column);
      if (products) from = make_float4(1, 1, 1, 1);
      const float *const row = z + k * WIDTH * step + ntk_axis_partner(at.row + k, HEIGHT, tile.a) * WIDTH;
      v.s[k][0] = fmaf(from.x, row[column[0]], v.s[k][0]);
      v.s[k][1] = fmaf(from.y, row[column[1] + step], v.s[k][1]);
      v.s[k][2] = fmaf(from.z, row[column[2] + 2 * step], v.s[k][2]);
      v.s[k][3] = fmaf(from.w, row[column[3] + 3 * step], v.s[k][3]);
    }
  if (!NTK) return;
  const float trained = p.layers[0].trained ? 1.0f : 0.0f;
  UNROLL for (int k = 0; k < ROWS; k++) UNROLL for (int c = 0; c < 4; c++) v.t[k][c] = trained * v.s[k][c];
}

/* Adds `share` (0 or 1) times a patch's weighted sums of T and S after layer `last - 1`, for every pool, to `sums`
 * ([tap][pool][2], the warp's own), if there is a tap. */
template <int ROWS, int WIDTH, int NTK>
INLINE void pool_patch(const ntk_cuda_plane &p, const ntk_tile &tile, const place &at, const patch<ROWS, NTK> &v,
                       int last, float share, double *sums) {
  constexpr int HEIGHT = 4 * ROWS;
  const int lane = (int)threadIdx.x % 32;
  const float own = lane % 8 * 4 < WIDTH ? share : 0.0f;
  const int tap = p.layers[last - 1].tap;
  if (tap < 0) return;
  sums += 2 * tap * p.pool_count;
  for (int pool = 0; pool < p.pool_count; pool++) {
    const double *rows = p.pool_weights + (size_t)pool * (HEIGHT * HEIGHT + WIDTH * WIDTH);
    const double *columns = rows + HEIGHT * HEIGHT;
    float column[4], sum_s = 0, sum_t = 0;
    UNROLL for (int c = 0; c < 4; c++)
      column[c] = own * (float)columns[(at.column + c) * WIDTH + ntk_axis_partner(at.column + c, WIDTH, tile.b)];
    UNROLL for (int k = 0; k < ROWS; k++) {
      const float row = (float)rows[(at.row + k) * HEIGHT + ntk_axis_partner(at.row + k, HEIGHT, tile.a)];
      float s = 0, t = 0;
      UNROLL for (int c = 0; c < 4; c++) {
        s = fmaf(column[c], v.s[k][c], s);
        if (NTK) t = fmaf(column[c], v.t[k][c], t);
      }
      sum_s = fmaf(row, s, sum_s), sum_t = fmaf(row, t, sum_t);
    }
    const double total_s = warp_sum(sum_s), total_t = NTK ? warp_sum(sum_t) : total_s;
    /* in the middle S is in T already, for the next layer */
    const double added = NTK && last < p.layer_count ? total_s : 0;
    if (lane == 0) sums[2 * pool] += total_t - added, sums[2 * pool + 1] += total_s;
  }
}

/* Layers [first, last) of a patch; x and z: n of layer `first` at the patch's first entry, layers x_step and z_step
 * apart. */
template <int ROWS, int WIDTH, int NTK, int ROW_ODD, int COLUMN_ODD>
INLINE void run_layers(const ntk_cuda_plane &p, patch<ROWS, NTK> &v, const ntk_tile &tile, const place &at, int first,
                       int last, const float *x, int x_step, const float *z, int z_step, float *warp_risk) {
  const edges<ROWS> cut = find_edges<ROWS, WIDTH>(tile, at);
  const int end = p.layer_count - 1, before = last < end ? last : end;
  int l = first;
  if (l == 0) {
    layer_warp<ROWS, WIDTH, NTK, ROW_ODD, COLUMN_ODD, FIRST_LAYER>(v, cut, x, z, warp_risk);
    l++, x += x_step, z += z_step;
  }
  for (; l < before; l++, x += x_step, z += z_step)
    layer_warp<ROWS, WIDTH, NTK, ROW_ODD, COLUMN_ODD, 0>(v, cut, x, z, warp_risk);
  if (l < last) layer_warp<ROWS, WIDTH, NTK, ROW_ODD, COLUMN_ODD, LAST_LAYER>(v, cut, x, z, warp_risk);
}

/* Where the layers from `first` on must stop: at `end`, or behind a tap before it. */
INLINE int next_stop(const ntk_cuda_plane &p, int first, int end) {
  int last = p.tap_count > 1 ? first + 1 : end;
  while (last < end && p.layers[last - 1].tap < 0) last++;
  return last;
}

/* Copies n of layers [first, last) into shared memory: x's rows as they are; z's rotated by b, so that a patch's four
 * columns are one aligned load, and with the first rows repeated below the last, so that no patch wraps. */
template <int ROWS, int WIDTH>
INLINE void load_tables(int first, int last, int b, const float *x, const float *z, float *to) {
  constexpr int HEIGHT = 4 * ROWS, area = HEIGHT * WIDTH, z_area = (HEIGHT + ROWS - 1) * WIDTH;
  for (int l = first; l < last; l++, to += area + z_area) {
    const float *const n_x = x + (size_t)l * area, *const n_z = z + (size_t)l * area;
    for (int k = (int)threadIdx.x; k < area; k += (int)blockDim.x) to[k] = n_x[k];
    for (int k = (int)threadIdx.x; k < z_area; k += (int)blockDim.x) {
      const int row = k / WIDTH, column = ntk_axis_partner(k % WIDTH, WIDTH, b);
      to[area + k] = n_z[(row < HEIGHT ? row : row - HEIGHT) * WIDTH + column];
    }
  }
}

/* What a block works on; in shared memory, since the state of the tiles leaves no registers for it. */
struct warp_block {
  const float *x, *z; /* prepared images */
  int begin, middle, end; /* tiles; from `middle` on their row seam is odd */
};

/* How far a warp is: its next layer, and the layers whose tables are in shared memory. Kept there too while layers
 * run, which need all registers. */
struct progress {
  volatile int layer, base, loaded;
};

INLINE void save_progress(progress *warps, int layer, int base, int loaded) {
  progress *const own = &warps[threadIdx.x / 32];
  __syncwarp();
  if (threadIdx.x % 32 == 0) own->layer = layer, own->base = base, own->loaded = loaded;
  __syncwarp();
}

INLINE int load_progress(const progress *warps, int *base) {
  *base = warps[threadIdx.x / 32].base;
  return warps[threadIdx.x / 32].loaded;
}

INLINE int next_layer(const progress *warps) { return warps[threadIdx.x / 32].layer; }

INLINE void open_block(const ntk_cuda_plane &p, const ntk_cuda_pairs &q, warp_block *block) {
  const int group = (int)blockIdx.x % p.group_count, pair = (int)blockIdx.x / p.group_count;
  block->x = (const float *)q.x.tables + (size_t)q.list[pair].x * q.x.stride;
  block->z = (const float *)q.z.tables + (size_t)q.list[pair].z * q.z.stride;
  block->begin = p.groups[group], block->end = p.groups[group + 1];
  block->middle = block->begin + p.even_tiles[group];
}

/* The tile of a warp in a round. Warps without one of their own repeat the last one and throw it away (*own = 0): no
 * branch may split a warp. */
INLINE ntk_tile round_tile(const ntk_cuda_plane &p, const warp_block &block, int round, int *own) {
  const int stop = round >= block.middle ? block.end : block.middle, mine = round + (int)threadIdx.x / 32;
  *own = mine < stop;
  return p.tiles[mine < stop ? mine : stop - 1];
}

INLINE int next_round(const warp_block &block, int round) {
  const int next = round + (int)blockDim.x / 32;
  return round < block.middle && next > block.middle ? block.middle : next;
}

/* Adds up what the warps have left, and stores it. */
INLINE void close_block(const ntk_cuda_plane &p, const ntk_cuda_pairs &q, const double *sums, const float (*risk)[8]) {
  const int outputs = 2 * p.tap_count * p.pool_count, warps = (int)blockDim.x / 32;
  for (int k = (int)threadIdx.x; k < outputs; k += (int)blockDim.x) {
    double sum = 0;
    for (int w = 0; w < warps; w++) sum += sums[w * outputs + k];
    q.partial[(size_t)blockIdx.x * outputs + k] = sum;
  }
  if (threadIdx.x >= 4) return;
  float sum = 0;
  for (int w = 0; w < warps; w++) sum += risk[w][threadIdx.x];
  q.partial_risk[8 * (size_t)blockIdx.x + threadIdx.x] = sum;
}

/* Pools the warp's tile of a round after layer `last - 1`. */
template <int ROWS, int WIDTH, int NTK>
INLINE void pool_again(const ntk_cuda_plane &p, const warp_block &block, int round, int last, const patch<ROWS, NTK> &v,
                       double *shared) {
  int own;
  const ntk_tile tile = round_tile(p, block, round, &own); /* once more: the layers left no registers to keep it in */
  pool_patch<ROWS, WIDTH, NTK>(p, tile, find_place<ROWS, WIDTH>(tile), v, last, own ? 1.0f : 0.0f,
                               shared + threadIdx.x / 32 * 2 * p.tap_count * p.pool_count);
}

/* One group of tiles (of one b) of one pair, a warp a tile; blockIdx.x = pair * group_count + group. `chunk` layers'
 * tables are in shared memory at a time. */
template <int ROWS, int WIDTH, int NTK>
__global__ void __launch_bounds__(32 * WARPS, 1) warp_tiles(ntk_cuda_plane p, ntk_cuda_pairs q, int chunk) {
  NTK_DYNAMIC_SHARED(double, shared); /* [warp][tap][pool][2] sums, then the tables */
  __shared__ float warp_risk[WARPS][8]; /* estimates of error: of the warp's tiles, and of those that it throws away */
  __shared__ warp_block block;
  __shared__ progress at_warp[WARPS];
  constexpr int AREA = 4 * ROWS * WIDTH, STEP = AREA + (4 * ROWS + ROWS - 1) * WIDTH;
  const int outputs = 2 * p.tap_count * p.pool_count, warps = (int)blockDim.x / 32;
  float *const tables = (float *)(shared + warps * outputs);
  if (both_flat(p, q, q.list[blockIdx.x / p.group_count])) return; /* plane_flat.cuh's, or handed back */
  for (int k = (int)threadIdx.x; k < warps * outputs; k += (int)blockDim.x) shared[k] = 0;
  for (int k = (int)threadIdx.x; k < warps * 8; k += (int)blockDim.x) warp_risk[k / 8][k % 8] = 0;
  if (threadIdx.x == 0) open_block(p, q, &block);
  __syncthreads();
  for (int round = block.begin; round < block.end; round = next_round(block, round)) {
    int own;
    patch<ROWS, NTK> v;
    {
      const ntk_tile tile = round_tile(p, block, round, &own);
      const size_t area = (size_t)4 * ROWS * WIDTH, pair = blockIdx.x / (unsigned)p.group_count;
      const float *const products = p.inner ? NULL : (const float *)q.products + pair * area * area;
      enter_patch<ROWS, WIDTH, NTK>(p, tile, find_place<ROWS, WIDTH>(tile), block.x, block.z, products, v);
    }
    int base = 0, first = 0, last = 0;
    save_progress(at_warp, 0, 0, 0);
    while (first < p.layer_count) {
      const ntk_tile tile = round_tile(p, block, round, &own);
      const place at = find_place<ROWS, WIDTH>(tile);
      int loaded = load_progress(at_warp, &base);
      if (first == loaded) { /* the next tables */
        base = first, loaded = first + chunk < p.layer_count ? first + chunk : p.layer_count;
        if (round == block.begin || chunk < p.layer_count) {
          __syncthreads();
          load_tables<ROWS, WIDTH>(base, loaded, tile.b, block.x + pixel_reals(p), block.z + pixel_reals(p), tables);
          __syncthreads();
        }
      }
      last = next_stop(p, first, loaded);
      save_progress(at_warp, last, base, loaded);
      float *const risk = warp_risk[threadIdx.x / 32] + (own ? 0 : 4);
      const float *const n_x = tables + (first - base) * STEP + at.row * WIDTH + at.column;
      const float *const n_z = tables + (first - base) * STEP + AREA + at.z_row * WIDTH + at.column;
      const int column_odd = (WIDTH - tile.b) % 4 % 2;
      if (round >= block.middle && column_odd)
        run_layers<ROWS, WIDTH, NTK, 1, 1>(p, v, tile, at, first, last, n_x, STEP, n_z, STEP, risk);
      else if (round >= block.middle)
        run_layers<ROWS, WIDTH, NTK, 1, 0>(p, v, tile, at, first, last, n_x, STEP, n_z, STEP, risk);
      else if (column_odd)
        run_layers<ROWS, WIDTH, NTK, 0, 1>(p, v, tile, at, first, last, n_x, STEP, n_z, STEP, risk);
      else
        run_layers<ROWS, WIDTH, NTK, 0, 0>(p, v, tile, at, first, last, n_x, STEP, n_z, STEP, risk);
      first = next_layer(at_warp);
      pool_again<ROWS, WIDTH, NTK>(p, block, round, first, v, shared);
    }
    if (round == 0 && threadIdx.x == 0) /* tile 0 */
      for (int k = 0; k < 4; k++) q.partial_risk[8 * (size_t)blockIdx.x + 4 + k] = warp_risk[0][k];
  }
  __syncthreads();
  close_block(p, q, shared, warp_risk);
}

/* A single tile a pair (flatten): a warp a pair, tables straight from the caches, which neighbouring pairs share. */
template <int ROWS, int WIDTH, int NTK>
__global__ void __launch_bounds__(32 * PAIR_WARPS, 1) warp_pairs(ntk_cuda_plane p, ntk_cuda_pairs q) {
  constexpr int HEIGHT = 4 * ROWS;
  NTK_DYNAMIC_SHARED(double, shared);
  __shared__ float warp_risk[PAIR_WARPS][4];
  const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32, outputs = 2 * p.tap_count * p.pool_count;
  const int own = (int)blockIdx.x * ((int)blockDim.x / 32) + warp, area = HEIGHT * WIDTH;
  const int pair = own < q.count ? own : q.count - 1; /* no branch may split a warp */
  double *const sums = shared + warp * outputs;
  const real *const x = (const real *)q.x.tables + (size_t)q.list[pair].x * q.x.stride;
  const real *const z = (const real *)q.z.tables + (size_t)q.list[pair].z * q.z.stride;
  const ntk_tile tile = p.tiles[0];
  const place at = find_place<ROWS, WIDTH>(tile);
  const size_t from = pixel_reals(p) + at.row * WIDTH + at.column;
  patch<ROWS, NTK> v;
  for (int k = lane; k < outputs; k += 32) sums[k] = 0;
  if (lane < 4) warp_risk[warp][lane] = 0;
  __syncwarp();
  enter_patch<ROWS, WIDTH, NTK>(p, tile, at, x, z, NULL, v); /* a single tile: always multiplied here */
  for (int first = 0, last; first < p.layer_count; first = last) {
    last = next_stop(p, first, p.layer_count);
    run_layers<ROWS, WIDTH, NTK, 0, 0>(p, v, tile, at, first, last, x + from + first * area, area,
                                       z + from + first * area, area, warp_risk[warp]);
    pool_patch<ROWS, WIDTH, NTK>(p, tile, at, v, last, 1.0f, sums);
  }
  __syncwarp();
  if (own >= q.count) return;
  for (int k = lane; k < outputs; k += 32) q.partial[(size_t)pair * outputs + k] = sums[k];
  float *const to = q.partial_risk + 8 * (size_t)pair;
  if (lane < 4) to[lane] = to[4 + lane] = warp_risk[warp][lane];
}

/* Shared memory that a block costs the multiprocessor besides its own. */
enum { BLOCK_SHARED_COST = 1024, WARP_OUTPUTS_MOST = 64 };

/* Sums of `warps` warps. */
static size_t warp_fixed_bytes(const ntk_cuda_plane *p, int warps) {
  return (size_t)warps * 2 * p->tap_count * p->pool_count * sizeof(double);
}

static size_t warp_layer_bytes(const ntk_cuda_plane *p) {
  const int rows = p->height / 4;
  return ((size_t)2 * p->height + rows - 1) * p->width * sizeof(float);
}

/* Whether plane_warp.cuh computes this plane. */
static int warp_computes(const ntk_cuda_plane *p) {
  const int rows = p->height / 4;
  return p->plain && p->height == p->width && p->height % 4 == 0 && (rows == 8 || rows == 7 || rows == 4) &&
         p->tap_count * p->pool_count <= WARP_OUTPUTS_MOST &&
         p->shared_most >= SHARED_STATIC + warp_fixed_bytes(p, WARPS) + warp_layer_bytes(p);
}

/* How warp_tiles is launched: warps of a block, and layers whose tables it holds at a time. */
struct warp_shape {
  int warps, chunk;
};

static int ceil_div(int a, int b) { return (a + b - 1) / b; }

/* Layers whose tables fit when `blocks` blocks share a multiprocessor. */
static int chunk_layers(const ntk_cuda_plane *p, int warps, int blocks) {
  const size_t share = (p->shared_most + BLOCK_SHARED_COST) / blocks, fixed = warp_fixed_bytes(p, warps);
  if (share < BLOCK_SHARED_COST + SHARED_STATIC + fixed) return 0;
  const size_t layers = (share - BLOCK_SHARED_COST - SHARED_STATIC - fixed) / warp_layer_bytes(p);
  return layers < (size_t)p->layer_count ? (int)layers : p->layer_count;
}

/* A round gives every warp a tile, one parity of seams at a time: with 17 tiles, 9 and 8, blocks of 9 warps waste one
 * place, blocks of 16 fifteen. Small blocks share a multiprocessor and its shared memory, and bring their tables again
 * every round when these do not fit. Costs are in tiles; loading all tables costs about half a tile's arithmetic, and
 * fewer than 8 warps do not keep a multiprocessor busy. */
static warp_shape choose_shape(const ntk_cuda_plane *p, int most_warps) {
  warp_shape best = {};
  double least = INFINITY;
  for (int warps = most_warps; warps > 0; warps--)
    for (int blocks = 1; blocks <= most_warps / warps; blocks++) {
      const int chunk = chunk_layers(p, warps, blocks), resident = warps * blocks;
      const int rounds = ceil_div(p->most_even, warps) + ceil_div(p->most_odd, warps);
      const double loads = 0.5 * (chunk < p->layer_count ? rounds : 1);
      const double cost = (rounds * warps + loads) / (resident < 8 ? resident / 8.0 : 1);
      if (chunk > 0 && cost < least) least = cost, best = {warps, chunk};
    }
  return best;
}

/* Launches warp_tiles or plane_flat.cuh's flat_tiles, of one shape. */
static int launch_tiles(void (*kernel)(ntk_cuda_plane, ntk_cuda_pairs, int), int most_warps, const ntk_cuda_plane *p,
                        const ntk_cuda_pairs *q, cudaStream_t stream) {
  const warp_shape shape = choose_shape(p, most_warps);
  const size_t bytes = warp_fixed_bytes(p, shape.warps) + (size_t)shape.chunk * warp_layer_bytes(p);
  const unsigned blocks = (unsigned)q->count * (unsigned)p->group_count;
  int error = allow_shared((const void *)kernel, p);
  /* several blocks are to share a multiprocessor: it should split its memory for them */
  if (!error) error = cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributePreferredSharedMemoryCarveout, 100);
  if (error) return error;
  NTK_LAUNCH(kernel, blocks, 32 * shape.warps, bytes, stream, *p, *q, shape.chunk);
  return cudaGetLastError();
}

template <int ROWS, int WIDTH, int NTK>
static int launch_rows(const ntk_cuda_plane *p, const ntk_cuda_pairs *q, cudaStream_t stream) {
  if (p->tile_count == 1) { /* the offset-0 plane: no seams */
    const unsigned blocks = ((unsigned)q->count + PAIR_WARPS - 1) / PAIR_WARPS;
    const size_t bytes = warp_fixed_bytes(p, PAIR_WARPS);
    int error = allow_shared((const void *)warp_pairs<ROWS, WIDTH, NTK>, p);
    if (error) return error;
    NTK_LAUNCH((warp_pairs<ROWS, WIDTH, NTK>), blocks, 32 * PAIR_WARPS, bytes, stream, *p, *q);
    return cudaGetLastError();
  }
  return launch_tiles(warp_tiles<ROWS, WIDTH, NTK>, WARPS, p, q, stream);
}

static int launch_warp(const ntk_cuda_plane *p, const ntk_cuda_pairs *q, cudaStream_t stream) {
  switch (p->height / 4 * 2 + (p->want_ntk != 0)) {
    case 17: return launch_rows<8, 32, 1>(p, q, stream);
    case 16: return launch_rows<8, 32, 0>(p, q, stream);
    case 15: return launch_rows<7, 28, 1>(p, q, stream);
    case 14: return launch_rows<7, 28, 0>(p, q, stream);
    case 9: return launch_rows<4, 16, 1>(p, q, stream);
    default: return launch_rows<4, 16, 0>(p, q, stream);
  }
}
