/* Part of stage_cuda.cu: layers, and the kernel that takes a tile through a stage. */

/* The estimate of a pair's error (docs/accuracy.md). */
struct risk_sums {
  float risk, weight;
};

/* What a judged activation needs to know. */
struct judge {
  risk_sums *sums;      /* NULL: not judged */
  const unsigned *x, *z; /* hashes of the images' patches, NULL: none */
};

/* k0 has infinite slope at rho = 1: rounding leaves about 1.5e-8 / q in it; where patches are proportional, none. */
INLINE void note_risk(const judge &j, int x_at, int z_at, real v, real m, real q) {
  j.sums->weight += (float)v;
  if (!(m < (real)1e-2) || (j.x && j.x[x_at] == j.z[z_at])) return;
  j.sums->risk += (float)v * (m > (real)NTK_DUAL_SNAP ? 1.5e-8f * fast_reciprocal((float)q) : 3e-4f);
}

#if NTK_REAL_F64
typedef double2 real2;
#else
typedef float2 real2;
#endif

/* The strip through a ReLU. x, z: the images' normalisers of this layer. */
template <int ROWS, int NTK>
INLINE void activate(const ntk_cuda_stage &p, const strip &u, const real2 *x, const real2 *z, int signed_rho,
                     const judge &judged, real *s, real *t) {
  enum { GROUP = NTK_REAL_F64 ? 2 : ROWS < 4 ? ROWS : 4 };
  UNROLL for (int g = 0; g < ROWS; g += GROUP) {
    real d[GROUP], m[GROUP], q[GROUP], theta[GROUP], poly[GROUP];
    UNROLL for (int k = 0; k < GROUP; k++) {
      const int r = u.top + g + k, in = inside(u, g + k);
      const int x_at = r * p.width + u.j, z_at = ntk_axis_partner(r, p.height, u.tile.a) * p.width + u.partner_j;
      const real2 n_x = x[in ? x_at : 0], n_z = z[in ? z_at : 0];
      const real v = in ? n_x.x * n_z.x : 0;
      d[k] = fma(n_x.x, n_z.x, signed_rho ? -fabs(s[g + k]) : -s[g + k]);
      m[k] = in ? d[k] * n_x.y * n_z.y : 0;
      q[k] = fast_sqrt(m[k] > (real)NTK_DUAL_SNAP ? m[k] : (real)0);
      if (!NTK_REAL_F64 && NTK && judged.sums && in) note_risk(judged, x_at, z_at, v, m[k], q[k]);
      m[k] = m[k] > (real)NTK_DUAL_SNAP ? m[k] : (real)0;
    }
    NTK_DUALS_WHOLE(theta, poly, m, GROUP, NTK);
    UNROLL for (int k = 0; k < GROUP; k++) {
      const int positive = !signed_rho || s[g + k] > 0;
      s[g + k] = fma(d[k] * q[k], poly[k], positive ? s[g + k] : (real)0);
      if (!NTK) continue;
      const real minus = q[k] * theta[k];
      t[g + k] *= positive ? 1 - minus : minus;
    }
  }
}

/* ---- a tile ---- */

/* The product of x's pixel `at` and z's pixel `partner`. */
INLINE real input_product(const ntk_cuda_stage &p, const ntk_cuda_stage_pairs &q, int pair, const real *x,
                          const real *z, int at, int partner) {
  const size_t area = (size_t)p.height * p.width;
  if (!p.inner) return ((const real *)q.products)[((size_t)pair * area + at) * area + partner];
  real sum = 0;
  for (int c = 0; c < p.channels; c++) sum = fma(x[c * area + at], z[c * area + partner], sum);
  return sum;
}

/* Pools the readout's state; the block's sums go to `to`. */
template <int ROWS, int NTK>
INLINE void pool_strip(const ntk_cuda_stage &p, const strip &u, const real *s, const real *t, double2 *partial,
                       double *to) {
  for (int pool = 0; pool < p.pool_count; pool++) {
    const double *rows = p.pool_weights + (size_t)pool * (p.height * p.height + p.width * p.width);
    const double *columns = rows + p.height * p.height;
    double sum_t = 0, sum_s = 0;
    UNROLL for (int k = 0; k < ROWS; k++) {
      const int r = u.top + k;
      if (!inside(u, k)) continue;
      const double weight =
          rows[r * p.height + ntk_axis_partner(r, p.height, u.tile.a)] * columns[u.j * p.width + u.partner_j];
      sum_t += weight * (double)(NTK ? t[k] : s[k]), sum_s += weight * (double)s[k];
    }
    const double2 sum = block_sum(sum_t, sum_s, partial);
    if (threadIdx.x == 0) to[2 * pool] = sum.x, to[2 * pool + 1] = sum.y;
  }
}

/* Everything of a block besides its strips. */
struct stage_block {
  const real *x, *z; /* the images' tables */
  double scale;      /* 2^-exponent of the pair */
  planes m;
  real *slots; /* in shared memory */
  double2 *partial;
  risk_sums risk[2]; /* of this thread */
};

template <int ROWS, int NTK>
INLINE judge judge_of(const ntk_cuda_stage &p, const ntk_cuda_stage_pairs &q, const strip &u, stage_block *b, int l) {
  judge j = {};
  const ntk_cuda_stage_pair pair = q.list[u.pair];
  const size_t area = (size_t)p.height * p.width;
  if (NTK_REAL_F64 || (l != p.first_judged && l != p.last_judged)) return j;
  if (pair.same && u.tile.a == 0 && u.tile.b == 0) return j; /* rho is 1, and snapped to it */
  j.sums = &b->risk[l != p.first_judged];
  if (l == p.first_judged && p.hashed) j.x = q.x_hash + pair.x * area, j.z = q.z_hash + pair.z * area;
  return j;
}

/* One layer; s and t hold the state before it, T without the S of a trained layer. */
template <int ROWS, int NTK>
INLINE void run_layer(const ntk_cuda_stage &p, const ntk_cuda_stage_pairs &q, const strip &u, stage_block *b, int l,
                      real *s, real *t) {
  const ntk_program_layer layer = p.layers[l];
  const size_t area = (size_t)p.height * p.width;
  const real bias = (real)(layer.bias * b->scale);
  if (layer.from) load_slot<ROWS, NTK>(find_slot<ROWS, NTK>(p, q, u, b->slots, layer.from), u, s, t);
  if (NTK && layer.trained) UNROLL for (int k = 0; k < ROWS; k++) t[k] += s[k];
  filter<ROWS, NTK>(p, u, &b->m, layer.rows, layer.cols, layer.circular, s, t);
  UNROLL for (int k = 0; k < ROWS; k++) {
    s[k] += inside(u, k) ? bias : 0;
    if (NTK && layer.trained) t[k] += inside(u, k) ? bias : 0;
  }
  if (layer.add) {
    const slot_rows add = find_slot<ROWS, NTK>(p, q, u, b->slots, layer.add);
    UNROLL for (int k = 0; k < ROWS; k++) {
      if (!inside(u, k)) continue;
      s[k] = fma((real)layer.add_scale, add.at[k * add.step], s[k]);
      if (NTK) t[k] = fma((real)layer.add_scale, add.at[add.state + k * add.step], t[k]);
    }
  }
  if (layer.save) store_slot<ROWS, NTK>(find_slot<ROWS, NTK>(p, q, u, b->slots, layer.save), u, s, t);
  if (layer.relu) {
    const size_t norms = p.norms + 2 * area * layer.norm;
    activate<ROWS, NTK>(p, u, (const real2 *)(b->x + norms), (const real2 *)(b->z + norms), layer.signed_rho,
                        judge_of<ROWS, NTK>(p, q, u, b, l), s, t);
  }
  if (layer.rescale != 1) UNROLL for (int k = 0; k < ROWS; k++) {
    s[k] *= (real)layer.rescale;
    if (NTK) t[k] *= (real)layer.rescale;
  }
  if (layer.tap >= 0)
    pool_strip<ROWS, NTK>(p, u, s, t, b->partial,
                          q.partial + ((size_t)u.pair * p.tile_count + u.index) * 2 * p.pool_count);
  if (layer.result) store_slot<ROWS, NTK>(find_slot<ROWS, NTK>(p, q, u, b->slots, layer.result), u, s, t);
}

/* The block's estimates of error at a judged layer. */
INLINE void store_risk(const ntk_cuda_stage &p, const ntk_cuda_stage_pairs &q, const strip &u, stage_block *b, int at) {
  const double2 sum = block_sum(b->risk[at].risk, b->risk[at].weight, b->partial);
  if (threadIdx.x != 0) return;
  float *const to = q.partial_risk + at * q.risk_stride + 2 * ((size_t)u.pair * p.tile_count + u.index);
  to[0] = (float)sum.x, to[1] = (float)sum.y;
}

/* A tile of a pair; blockIdx.x = pair * tile_count + tile. */
template <int ROWS, int NTK>
__global__ void __launch_bounds__(256) NTK_NAME(stage_tiles)(ntk_cuda_stage p, ntk_cuda_stage_pairs q) {
  NTK_DYNAMIC_SHARED(real, shared);
  __shared__ double2 partial[32];
  const int pair = (int)(blockIdx.x / (unsigned)p.tile_count), index = (int)(blockIdx.x % (unsigned)p.tile_count);
  const ntk_cuda_stage_pair images = q.list[pair];
  const strip u = make_strip<ROWS>(p, pair, index);
  const size_t plane = (size_t)((p.height + ROWS - 1) / ROWS) * ROWS * p.pitch;
  stage_block b = {};
  b.x = (const real *)q.x + (size_t)images.x * q.stride, b.z = (const real *)q.z + (size_t)images.z * q.stride;
  b.scale = scalbn(1.0, -images.exponent);
  b.m = {shared, shared + plane, shared + (NTK ? 2 : 1) * plane, shared + 3 * plane};
  b.slots = shared + (NTK ? 2 : 1) * (ROWS > 4 ? 1 : 2) * plane;
  b.partial = partial;
  for (int k = 0; k < p.shared_slots * ROWS * (NTK ? 2 : 1); k++) b.slots[k * blockDim.x + threadIdx.x] = 0;
  real s[ROWS], t[ROWS];
  UNROLL for (int k = 0; k < ROWS; k++) {
    const int r = u.top + k;
    s[k] = t[k] = 0;
    if (p.channels == 0 || !inside(u, k)) continue;
    s[k] = input_product(p, q, pair, b.x, b.z, r * p.width + u.j,
                         ntk_axis_partner(r, p.height, u.tile.a) * p.width + u.partner_j);
  }
  if (p.pool_count > 0) /* tiles that the readout does not demand */
    for (int k = (int)threadIdx.x; k < 2 * p.pool_count; k += (int)blockDim.x)
      q.partial[((size_t)pair * p.tile_count + index) * 2 * p.pool_count + k] = 0;
  __syncthreads();
  for (int l = 0; l < p.layer_count; l++)
    if (u.tile.demands >> p.layers[l].demand & 1) run_layer<ROWS, NTK>(p, q, u, &b, l, s, t);
  for (int e = 0; e < p.exit_count; e++)
    if (u.tile.demands >> p.exits[e].demand & 1) leave<ROWS, NTK>(p, q, u, &b.m, b.slots, b.scale, p.exits[e]);
  if (!NTK_REAL_F64 && NTK && p.first_judged >= 0) store_risk(p, q, u, &b, 0);
  if (!NTK_REAL_F64 && NTK && p.last_judged >= 0) store_risk(p, q, u, &b, 1);
}
