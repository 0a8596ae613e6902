/* Part of stage_cuda.cu: layers, and the kernel that takes a tile through a stage. */

/* The estimate of a pair's error (docs/accuracy.md). */
struct risk_sums {
  float risk, weight;
};

/* What a judged activation needs to know. */
struct judge {
  int judged;
  const unsigned *x, *z; /* hashes of the images' patches, NULL: none */
};

/* k0 has infinite slope at rho = 1: rounding leaves about 1.5e-8 / q in it; where patches are proportional, none. */
INLINE void note_risk(risk_sums *sums, const judge &j, int x_at, int z_at, real v, real m, real q) {
  sums->weight += (float)v;
  if (!(m < (real)1e-2) || (j.x && j.x[x_at] == j.z[z_at])) return;
  sums->risk += (float)v * (m > (real)NTK_DUAL_SNAP ? 1.5e-8f * fast_reciprocal((float)q) : 3e-4f);
}

#if NTK_REAL_F64
typedef double2 real2;
#else
typedef float2 real2;
#endif

/* The strip through a ReLU. x, z: the images' normalisers of this layer. Returns what a judge notes. */
template <int ROWS, int NTK, int JUDGED>
INLINE risk_sums activate(const ntk_cuda_stage &p, const strip &u, const real2 *x, const real2 *z, int signed_rho,
                          const judge &judge, real *s, real *t) {
  risk_sums noted = {};
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
      if (JUDGED && in) note_risk(&noted, judge, x_at, z_at, v, m[k], q[k]);
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
  return noted;
}

#if NTK_REAL_F64
/* One entry through an activation other than ReLU: S and T. */
OUT_OF_LINE double2 through_dual(const ntk_activation_dual *dual, const double *x, const double *z, size_t stride,
                                 double s, double t) {
  const ntk_dual_sides at = {x, z, stride, stride, 0};
  ntk_dual_vector(dual, &at, &s, &t);
  return make_double2(s, t);
}

/* The strip through it: covariances proper, and alpha is 1 behind it. x, z: the images' tables of this layer; scale:
 * 2^-exponent of the pair. */
template <int ROWS, int NTK>
INLINE void activate_smooth(const ntk_cuda_stage &p, const strip &u, const ntk_program_layer *layer, const double *x,
                            const double *z, double scale, double *s, double *t) {
  const double covariance = layer->dual_alpha / scale, tangent = layer->dual_alpha;
  const size_t stride = ntk_cuda_table_reals(p.height, p.width);
  UNROLL for (int k = 0; k < ROWS; k++) {
    if (!inside(u, k)) continue;
    const int r = u.top + k, x_at = r * p.width + u.j;
    const int z_at = ntk_axis_partner(r, p.height, u.tile.a) * p.width + u.partner_j;
    const double2 out =
        through_dual(layer->dual, x + x_at, z + z_at, stride, s[k] * covariance, NTK ? t[k] * tangent : 0);
    s[k] = out.x * scale;
    if (NTK) t[k] = out.y;
  }
}
#endif

/* ---- a tile ---- */

/* The products of the images' pixels. */
template <int ROWS>
INLINE void enter_input(const ntk_cuda_stage &p, const ntk_cuda_stage_pairs &q, const strip &u, const real *x,
                        const real *z, real *s) {
  const size_t area = (size_t)p.height * p.width;
  const real *const products = (const real *)q.products + (size_t)u.pair * area * area;
  for (int c = 0; c < (p.inner ? p.channels : 1); c++)
    UNROLL for (int k = 0; k < ROWS; k++) {
      const int r = u.top + k, at = r * p.width + u.j;
      const int partner = ntk_axis_partner(r, p.height, u.tile.a) * p.width + u.partner_j;
      if (!inside(u, k)) continue;
      s[k] = p.inner ? fma(x[c * area + at], z[c * area + partner], s[k]) : products[at * area + partner];
    }
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
  double2 *partial;
  risk_sums first, last; /* of this thread, at the judged layers */
};

INLINE judge judge_of(const ntk_cuda_stage &p, const ntk_cuda_stage_pairs &q, const strip &u, int l) {
  judge j = {};
  const ntk_cuda_stage_pair pair = q.list[u.pair];
  const size_t area = (size_t)p.height * p.width;
  if (NTK_REAL_F64 || (l != p.first_judged && l != p.last_judged)) return j;
  if (pair.same && u.tile.a == 0 && u.tile.b == 0) return j; /* rho is 1, and snapped to it */
  j.judged = 1;
  if (l == p.first_judged && p.hashed) j.x = q.x_hash + pair.x * area, j.z = q.z_hash + pair.z * area;
  return j;
}

/* One layer; s and t hold the state before it, T without the S of a trained layer. */
template <int ROWS, int NTK>
INLINE void run_layer(const ntk_cuda_stage &p, const ntk_cuda_stage_pairs &q, const strip &u, stage_block *b, int l,
                      real *s, real *t) {
  const ntk_program_layer *const layer = &p.layers[l]; /* not a copy: it would fill the registers */
  if (layer->from) load_slot<ROWS, NTK>(find_slot<ROWS, NTK>(p, q, u, b->m, layer->from), u, s, t);
  if (NTK && layer->gain != 0) {
    const real gain = (real)layer->gain;
    UNROLL for (int k = 0; k < ROWS; k++) t[k] = fma(gain, s[k], t[k]);
  }
  filter<ROWS, NTK>(p, u, &b->m, layer->rows, layer->cols, layer->circular, s, t);
  if (layer->bias > 0 || layer->constant > 0) {
    const real bias = (real)(layer->bias * b->scale), constant = (real)(layer->constant * b->scale);
    UNROLL for (int k = 0; k < ROWS; k++) {
      s[k] += inside(u, k) ? bias : 0;
      if (NTK) t[k] += inside(u, k) ? constant : 0;
    }
  }
  if (layer->add) {
    const slot_rows add = find_slot<ROWS, NTK>(p, q, u, b->m, layer->add);
    const real scale = (real)layer->add_scale;
    UNROLL for (int k = 0; k < ROWS; k++) {
      if (!inside(u, k)) continue;
      s[k] = fma(scale, add.at[k * add.step], s[k]);
      if (NTK) t[k] = fma(scale, add.at[add.state + k * add.step], t[k]);
    }
  }
  if (layer->save) store_slot<ROWS, NTK>(find_slot<ROWS, NTK>(p, q, u, b->m, layer->save), u, s, t);
  const size_t table = p.norms + ntk_cuda_table_reals(p.height, p.width) * layer->table;
#if NTK_REAL_F64
  if (layer->dual) activate_smooth<ROWS, NTK>(p, u, layer, b->x + table, b->z + table, b->scale, s, t);
#endif
  if (layer->relu && !layer->dual) {
    const real2 *const x = (const real2 *)(b->x + table), *const z = (const real2 *)(b->z + table);
    const judge j = !NTK_REAL_F64 && NTK ? judge_of(p, q, u, l) : judge();
    if (j.judged)
      (l == p.first_judged ? b->first : b->last) = activate<ROWS, NTK, 1>(p, u, x, z, layer->signed_rho, j, s, t);
    else
      activate<ROWS, NTK, 0>(p, u, x, z, layer->signed_rho, j, s, t);
  }
  if (layer->rescale != 1) {
    const real rescale = (real)layer->rescale;
    UNROLL for (int k = 0; k < ROWS; k++) {
      s[k] *= rescale;
      if (NTK) t[k] *= rescale;
    }
  }
  if (layer->tap >= 0)
    pool_strip<ROWS, NTK>(p, u, s, t, b->partial,
                          q.partial + ((size_t)u.pair * p.tile_count + u.index) * 2 * p.pool_count);
  if (layer->result) store_slot<ROWS, NTK>(find_slot<ROWS, NTK>(p, q, u, b->m, layer->result), u, s, t);
}

/* The block's estimates of error at a judged layer. */
INLINE void store_risk(const ntk_cuda_stage &p, const ntk_cuda_stage_pairs &q, const strip &u, const risk_sums &risk,
                       double2 *partial, int at) {
  const double2 sum = block_sum(risk.risk, risk.weight, partial);
  if (threadIdx.x != 0) return;
  float *const to = q.partial_risk + at * q.risk_stride + 2 * ((size_t)u.pair * p.tile_count + u.index);
  to[0] = (float)sum.x, to[1] = (float)sum.y;
}

/* A tile of a pair; blockIdx.x = pair * tile_count + tile. */
template <int ROWS, int NTK>
__global__ void __launch_bounds__(256, NTK_REAL_F64 || ROWS > 4 ? 2 : 3) /* registers: 128; 80 */
    NTK_NAME(stage_tiles)(NTK_PARAMETER ntk_cuda_stage p, NTK_PARAMETER ntk_cuda_stage_pairs q) {
  __shared__ double2 partial[8];
  const int pair = (int)(blockIdx.x / (unsigned)p.tile_count), index = (int)(blockIdx.x % (unsigned)p.tile_count);
  const ntk_cuda_stage_pair images = q.list[pair];
  const strip u = make_strip<ROWS>(p, pair, index);
  const int states = NTK ? 2 : 1, copies = ROWS > 4 ? 1 : 2;
  stage_block b = {};
  b.x = (const real *)q.x + (size_t)images.x * q.stride, b.z = (const real *)q.z + (size_t)images.z * q.stride;
  b.scale = scalbn(1.0, -images.exponent);
  b.m.size = (p.height + ROWS - 1) / ROWS * ROWS * p.pitch;
  b.m.other = (copies - 1) * states * b.m.size;
  b.partial = partial;
  real *const slots = shared_memory() + copies * states * b.m.size;
  for (int k = 0; k < p.shared_slots * ROWS * states; k++) slots[k * (int)blockDim.x + (int)threadIdx.x] = 0;
  real s[ROWS], t[ROWS];
  UNROLL for (int k = 0; k < ROWS; k++) s[k] = t[k] = 0;
  if (p.channels > 0) enter_input<ROWS>(p, q, u, b.x, b.z, s);
  for (int k = (int)threadIdx.x; k < 2 * p.pool_count; k += (int)blockDim.x) /* tiles that no readout demands */
    q.partial[((size_t)pair * p.tile_count + index) * 2 * p.pool_count + k] = 0;
  __syncthreads();
  for (int l = 0; l < p.layer_count; l++)
    if (u.tile.demands >> p.layers[l].demand & 1) run_layer<ROWS, NTK>(p, q, u, &b, l, s, t);
  for (int e = 0; e < p.exit_count; e++)
    if (u.tile.demands >> p.exits[e].demand & 1) b.m = leave<ROWS, NTK>(p, q, u, b.m, b.scale, p.exits[e]);
  if (!NTK_REAL_F64 && NTK && p.first_judged >= 0) store_risk(p, q, u, b.first, partial, 0);
  if (!NTK_REAL_F64 && NTK && p.last_judged >= 0) store_risk(p, q, u, b.last, partial, 1);
}
