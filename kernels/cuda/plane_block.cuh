/* Part of plane_cuda.cu: a block owns a packed tile. Any filter, padding, bias, readout and image size: S and T of the
 * tile's entries stay in registers, and visit shared memory for the filters. plane_warp.cuh is the fast way of the
 * common networks. */

/* The estimate of a pair's error (docs/accuracy.md), at the first ReLU and at the last one. */
struct risk_sums {
  float risk[2], weight[2];
};

/* k0 has infinite slope at rho = 1: rounding leaves about 1.5e-8 / q in it. */
INLINE void note_risk(risk_sums *sums, int at, real v, real m, real q) {
  sums->weight[at] += (float)v;
  if (m < (real)1e-2)
    sums->risk[at] += (float)v * (m > (real)NTK_DUAL_SNAP ? 1.5e-8f * fast_reciprocal((float)q) : 3e-4f);
}

/* Whether both images have constant regions, where float32 loses 1 - rho (docs/accuracy.md). */
INLINE int both_flat(const ntk_cuda_plane &p, const ntk_cuda_pairs &q, ntk_cuda_pair pair) {
  const int few = p.height * p.width / 100;
  return !NTK_REAL_F64 && p.want_ntk && p.norm_count > 1 && q.x.flat[pair.x] > few && q.z.flat[pair.z] > few;
}

/* An entry after a ReLU: v k1 and T k0, and m and q for note_risk. */
struct activated {
  real s, t, m, q;
};

/* One entry through a ReLU, from pre-activation S and T. */
OUT_OF_LINE activated activate(real n_x, real n_z, real s, real t, int signed_rho, int want_ntk) {
  const real v = n_x * n_z, d = fma(n_x, n_z, signed_rho ? -fabs(s) : -s);
  real m[1], p[1], poly[1];
  m[0] = v > 0 ? d / v : 0;
  m[0] = m[0] > (real)NTK_DUAL_SNAP ? m[0] : 0;
  const real q = sqrt(m[0]);
  NTK_DUALS_WHOLE(p, poly, m, 1, want_ntk);
  if (want_ntk) {
    const real minus = q * p[0];
    t *= signed_rho && !(s > 0) ? minus : 1 - minus;
  }
  return {fma(d * q, poly[0], signed_rho && !(s > 0) ? 0 : s), t, m[0], q};
}

/* The product of x's pixel `at` and z's pixel `partner`. */
INLINE real input_product(const ntk_cuda_plane &p, const ntk_cuda_pairs &q, int pair, const real *x, const real *z,
                          int at, int partner) {
  const int area = p.height * p.width;
  if (!p.inner) return ((const real *)q.products)[((size_t)pair * area + at) * area + partner];
  real sum = 0;
  for (int c = 0; c < p.channels; c++) sum = fma(x[c * area + at], z[c * area + partner], sum);
  return sum;
}

/* Everything of a tile that a thread needs besides its entries. */
struct block_tile {
  ntk_tile tile;
  int pair;
  const real *x, *z;         /* prepared images */
  real *shared_s, *shared_t; /* the whole tile */
  double2 *partial;
  double *sums;              /* [tap][pool][2] of the group */
};

template <int OWNED>
INLINE void pool_block(const ntk_cuda_plane &p, const block_tile &b, int tap, const real *s, const real *t) {
  for (int pool = 0; pool < p.pool_count; pool++) {
    const double *rows = p.pool_weights + (size_t)pool * (p.height * p.height + p.width * p.width);
    const double *columns = rows + p.height * p.height;
    double sum_t = 0, sum_s = 0;
    UNROLL for (int k = 0; k < OWNED; k++) {
      const int e = (int)(threadIdx.x + k * blockDim.x), r = b.tile.first_row + e / p.width, j = e % p.width;
      if (e >= b.tile.row_count * p.width) continue;
      const double weight = rows[r * p.height + ntk_axis_partner(r, p.height, b.tile.a)] *
                            columns[j * p.width + ntk_axis_partner(j, p.width, b.tile.b)];
      sum_t += weight * (double)(p.want_ntk ? t[k] : s[k]), sum_s += weight * (double)s[k];
    }
    const double2 sum = block_sum(sum_t, sum_s, b.partial);
    if (threadIdx.x == 0) {
      double *to = b.sums + 2 * (tap * p.pool_count + pool);
      to[0] += sum.x, to[1] += sum.y;
    }
  }
}

/* One tile through all layers. A thread owns entries threadIdx.x + k blockDim.x of the demanded rows. */
template <int OWNED>
INLINE void run_tile(const ntk_cuda_plane &p, const ntk_cuda_pairs &q, const block_tile &b, risk_sums *risk) {
  const int area = p.height * p.width, entries = b.tile.row_count * p.width;
  const int exponent = q.x.exponent[q.list[b.pair].x] + q.z.exponent[q.list[b.pair].z];
  const real *const x_norms = b.x + pixel_reals(p), *const z_norms = b.z + pixel_reals(p);
  real s[OWNED], t[OWNED];
  UNROLL for (int k = 0; k < OWNED; k++) {
    const int e = (int)(threadIdx.x + k * blockDim.x), r = b.tile.first_row + e / p.width, j = e % p.width;
    s[k] = t[k] = 0;
    if (e >= entries) continue;
    const int partner = ntk_axis_partner(r, p.height, b.tile.a) * p.width + ntk_axis_partner(j, p.width, b.tile.b);
    s[k] = input_product(p, q, b.pair, b.x, b.z, r * p.width + j, partner);
    t[k] = p.layers[0].trained ? s[k] : 0;
  }
  for (int l = 0; l < p.layer_count; l++) {
    const ntk_program_layer layer = p.layers[l];
    const real bias = (real)(layer.bias * scalbn(1.0, -exponent));
    for (int axis = 0; axis < 2; axis++) { /* along rows of pixels, then along columns */
      UNROLL for (int k = 0; k < OWNED; k++) {
        const int e = (int)(threadIdx.x + k * blockDim.x), at = b.tile.first_row * p.width + e;
        if (e < entries) b.shared_s[at] = s[k], b.shared_t[at] = t[k];
      }
      __syncthreads();
      UNROLL for (int k = 0; k < OWNED; k++) {
        const int e = (int)(threadIdx.x + k * blockDim.x), at = b.tile.first_row * p.width + e;
        if (e >= entries) continue;
        const int i = axis ? at / p.width : at % p.width, n = axis ? p.height : p.width, step = axis ? p.width : 1;
        const int a = axis ? b.tile.a : b.tile.b, w = (axis ? layer.rows : layer.cols) / 2;
        s[k] = filter_sum(b.shared_s, at, i, n, step, a, w, layer.circular);
        if (p.want_ntk) t[k] = filter_sum(b.shared_t, at, i, n, step, a, w, layer.circular);
      }
      __syncthreads();
    }
    UNROLL for (int k = 0; k < OWNED; k++) {
      const int e = (int)(threadIdx.x + k * blockDim.x), r = b.tile.first_row + e / p.width, j = e % p.width;
      if (e >= entries) continue;
      s[k] += bias;
      if (layer.trained) t[k] += bias;
      if (layer.relu) {
        const int partner = ntk_axis_partner(r, p.height, b.tile.a) * p.width + ntk_axis_partner(j, p.width, b.tile.b);
        const real n_x = x_norms[(size_t)layer.norm * area + r * p.width + j];
        const real n_z = z_norms[(size_t)layer.norm * area + partner];
        const activated out = activate(n_x, n_z, s[k], t[k], layer.signed_rho, p.want_ntk);
        s[k] = out.s, t[k] = out.t;
        if (!NTK_REAL_F64 && (layer.signed_rho || layer.norm == p.norm_count - 1))
          note_risk(risk, layer.signed_rho ? 0 : 1, n_x * n_z, out.m, out.q);
      }
      s[k] *= (real)layer.rescale, t[k] *= (real)layer.rescale;
    }
    if (layer.tap >= 0) pool_block<OWNED>(p, b, layer.tap, s, t);
    if (l + 1 < p.layer_count && p.layers[l + 1].trained) UNROLL for (int k = 0; k < OWNED; k++) t[k] += s[k];
  }
}

/* Adds up the block's estimates of error; `to` holds those of all tiles, then those of the first tile. */
INLINE void store_risk(const risk_sums &risk, double2 *partial, float *to) {
  const double2 first = block_sum(risk.risk[0], risk.weight[0], partial);
  const double2 last = block_sum(risk.risk[1], risk.weight[1], partial);
  if (threadIdx.x != 0) return;
  to[0] = (float)first.x, to[1] = (float)first.y, to[2] = (float)last.x, to[3] = (float)last.y;
}

/* One group of tiles of one pair; blockIdx.x = pair * group_count + group. */
template <int OWNED>
__global__ void __launch_bounds__(256) NTK_NAME(block_tiles)(ntk_cuda_plane p, ntk_cuda_pairs q) {
  NTK_DYNAMIC_SHARED(double, shared);
  __shared__ double2 partial[32];
  const int group = (int)blockIdx.x % p.group_count, outputs = 2 * p.tap_count * p.pool_count;
  const int pair = (int)blockIdx.x / p.group_count, area = p.height * p.width;
  block_tile b = {};
  b.pair = pair, b.partial = partial, b.sums = shared;
  b.shared_s = (real *)(shared + outputs), b.shared_t = b.shared_s + area;
  b.x = (const real *)q.x.tables + (size_t)q.list[pair].x * q.x.stride;
  b.z = (const real *)q.z.tables + (size_t)q.list[pair].z * q.z.stride;
  for (int k = (int)threadIdx.x; k < outputs; k += (int)blockDim.x) b.sums[k] = 0;
  risk_sums risk = {};
  float *const to = q.partial_risk + 8 * (size_t)blockIdx.x;
  __syncthreads();
  if (both_flat(p, q, q.list[pair])) return; /* finish_pair hands it back */
  for (int k = p.groups[group]; k < p.groups[group + 1]; k++) {
    b.tile = p.tiles[k];
    run_tile<OWNED>(p, q, b, &risk);
    if (k == 0) store_risk(risk, partial, to + 4);
  }
  store_risk(risk, partial, to);
  for (int k = (int)threadIdx.x; k < outputs; k += (int)blockDim.x)
    q.partial[(size_t)blockIdx.x * outputs + k] = b.sums[k];
}

INLINE float estimated_risk(const float *sums, int norm_count) {
  const float first = sums[1] > 0 ? sums[0] / sums[1] : 0, last = sums[3] > 0 ? sums[2] / sums[3] : 0;
  return first + (float)(norm_count - 1) * last;
}

/* More ReLU layers than this leave over 1e-6 in float32 where few entries average it out. */
enum { DEEP = 28 };

/* Adds up the groups of a pair, one thread each output; always in the order of the groups. */
__global__ void NTK_NAME(finish_pair)(ntk_cuda_plane p, ntk_cuda_pairs q) {
  const int outputs = 2 * p.tap_count * p.pool_count, at = (int)(blockIdx.x * blockDim.x + threadIdx.x);
  const int pair = at / outputs, output = at % outputs;
  if (pair >= q.count) return;
  const ntk_cuda_pair images = q.list[pair];
  const double *from = q.partial + (size_t)pair * p.group_count * outputs + output;
  const int flat = !p.deficit && both_flat(p, q, images);
  double sum = 0;
  for (int g = 0; !flat && g < p.group_count; g++) sum += from[(size_t)g * outputs];
  q.sums[(size_t)pair * outputs + output] = scalbn(sum, q.x.exponent[images.x] + q.z.exponent[images.z]);
  if (output > 0) return;
  float total[4] = {0, 0, 0, 0};
  const float *risk = q.partial_risk + 8 * (size_t)pair * p.group_count;
  for (int g = 0; !flat && g < p.group_count; g++)
    for (int k = 0; k < 4; k++) total[k] += risk[8 * g + k];
  float estimate = flat || (p.few_entries && p.norm_count > DEEP) ? INFINITY : estimated_risk(total, p.norm_count);
  /* among several pools a small one must not have its near-duplicates diluted by the planes of a large one */
  if (!flat && p.pool_count > 1) estimate = fmaxf(estimate, estimated_risk(risk + 4, p.norm_count));
  q.risk[pair] = NTK_REAL_F64 || !p.want_ntk ? 0 : estimate;
}

/* Threads, of at most 256, when each has that many entries: 4 up to 32x32, 16 beyond. */
static int block_threads(const ntk_cuda_plane *p, int owned) {
  return ((p->height * p->width + owned - 1) / owned + 31) / 32 * 32;
}

static size_t block_shared(const ntk_cuda_plane *p) {
  return 2 * (size_t)p->tap_count * p->pool_count * sizeof(double) + 2 * (size_t)p->height * p->width * sizeof(real);
}

static int launch_block(const ntk_cuda_plane *p, const ntk_cuda_pairs *q, cudaStream_t stream) {
  const int small = p->height * p->width <= 1024, owned = small ? 4 : 16;
  const unsigned grid = (unsigned)q->count * (unsigned)p->group_count;
  const size_t shared = block_shared(p);
  int error = allow_shared(small ? (const void *)NTK_NAME(block_tiles)<4> : (const void *)NTK_NAME(block_tiles)<16>,
                           p);
  if (error) return error;
  if (small)
    NTK_LAUNCH(NTK_NAME(block_tiles)<4>, grid, block_threads(p, owned), shared, stream, *p, *q);
  else
    NTK_LAUNCH(NTK_NAME(block_tiles)<16>, grid, block_threads(p, owned), shared, stream, *p, *q);
  return cudaGetLastError();
}
