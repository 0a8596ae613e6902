/* The plane engine on the CPU, one source for every instruction set and precision (kernels/CMakeLists.txt compiles it
 * with NTK_ISA and NTK_REAL_F64 set). Read plane.h and program.h first.
 *
 * A packed tile of S and T lives in L1 and passes through all layers. Between layers it is stored as row sums of the
 * next filter
 * ("h"), so that a layer is one sweep over rows: add the h rows that the filter covers, apply the duals, form the next
 * row sums, store. Rows on the two sides of the seam are kept apart by a row of zeros.
 */
#include "kernels/duals.h"
#include "kernels/lanes.h"
#include "kernels/packing.h"
#include "kernels/plane.h"
#include "kernels/plane_tables.h"

#define CONCAT2(a, b, c) a##b##c
#define CONCAT(a, b, c) CONCAT2(a, b, c)

/* Vectors a row on the fast path: constant sizes, so that the arrays live in registers. */
enum { MAX_FAST = 4 };
enum { MAX_NV = NTK_MAX_SIDE / (LANES > 2 ? 2 : LANES), HALO = NTK_MAX_SIDE };

/* Everything that stays the same within one tile. */
typedef struct tile_state {
  const ntk_program *program;
  layout g;
  int seam; /* first row of the second segment, or -1 */
  int first_row, rows, a, b;
  const real *x_pixels, *z_pixels; /* z rotated by b */
  const real *x_norms, *z_norms;
  const real_bits *x_hash, *z_hash;
  const real *products;  /* (height width)^2 input products, or NULL */
  double pair_scale;     /* 2^-(ex + ez) */
  real *h_s[2], *h_t[2]; /* row sums, (height + 3) rows, ping and pong */
  real *line_s, *line_t; /* one row with halos, natural order */
  real *col_weights;     /* [pool][row] */
  real *accumulators;    /* [tap][pool][2][LANES] */
  mask up, down, mid[4]; /* interleaved order: which neighbours a filter may add */
  int aligned;           /* all of mid are full */
  vec risk, risk_weight; /* note_risk */
} tile_state;

INLINE int row_position(const tile_state *t, int r) { return r + 1 + (t->seam >= 0 && r >= t->seam); }

/* ---- horizontal sums
 * ------------------------------------------------------------------------------------------------- */

/* Row sums of a filter 3 wide, interleaved order. */
INLINE void row_sum3(const int NV, const int ALIGNED, const tile_state *t, const vec *v, real *out) {
  vec left = vec_shift_up(v[NV - 1], t->up), right = vec_shift_down(v[0], t->down);
  if (NV == 1) {
    vec_store(out, v[0] + (left + right));
  } else if (NV == 2 && ALIGNED) {
    vec pair = v[0] + v[1];
    vec_store(out, pair + left);
    vec_store(out + LANES, pair + right);
  } else {
    vec sum[4];
    UNROLL for (int k = 0; k < NV; k++) sum[k] = v[k];
    UNROLL for (int k = 0; k + 1 < NV; k++) {
      sum[k] = ALIGNED ? vec_add(sum[k], v[k + 1]) : vec_add_where(sum[k], v[k + 1], t->mid[k]);
      sum[k + 1] = ALIGNED ? vec_add(sum[k + 1], v[k]) : vec_add_where(sum[k + 1], v[k], t->mid[k]);
    }
    sum[0] = sum[0] + left;
    sum[NV - 1] = sum[NV - 1] + right;
    UNROLL for (int k = 0; k < NV; k++) vec_store(out + k * LANES, sum[k]);
  }
}

/* Row sums of any odd filter in natural order; line has HALO reals on both sides. */
static void row_sum_any(const tile_state *t, int cols, int circular, real *line, real *out) {
  const ntk_program *p = t->program;
  int w = cols / 2, width = p->width;
  if (circular)
    for (int k = 1; k <= w; k++) {
      line[-k] = line[((width - k) % width + width) % width];
      line[width - 1 + k] = line[(k - 1) % width];
    }
  for (int k = 0; k < t->g.nv; k++) {
    vec sum = vec_zero();
    for (int s = -w; s <= w; s++) {
      uint64_t bits = 0;
      for (int l = 0; l < LANES; l++) {
        int j = k * LANES + l, n = j + s;
        int ok =
            j < width &&
            (circular || (n >= 0 && n < width && ntk_axis_offset(j, width, t->b) == ntk_axis_offset(n, width, t->b)));
        bits |= (uint64_t)ok << l;
      }
      sum = vec_add_where(sum, vec_loadu(line + k * LANES + s), mask_make(bits));
    }
    vec_store(out + k * LANES, sum);
  }
  if (circular)
    for (int k = 1; k <= w; k++) line[-k] = line[width - 1 + k] = 0;
}

/* ---- one layer, the general way
 * -------------------------------------------------------------------------------------- */

/* Vertical sum of h at row r, vector k. */
INLINE vec column_sum(const tile_state *t, const ntk_program_layer *layer, const real *h, int r, int k) {
  int w = layer->rows / 2, height = t->program->height, row = t->g.row;
  vec sum = vec_zero();
  for (int s = -w; s <= w; s++) {
    int n = r + s;
    if (layer->circular)
      n = ((n % height) + height) % height;
    else if (n < 0 || n >= height || ntk_axis_offset(n, height, t->a) != ntk_axis_offset(r, height, t->a))
      continue;
    sum = sum + vec_load(h + (size_t)row_position(t, n) * row + k * LANES);
  }
  return sum;
}

/* Adds a row of S and T, weighted, to the accumulators of a tap. */
INLINE void pool_row(const int NV, const tile_state *t, int tap, int r, const vec *s, const vec *tt) {
  const ntk_program *p = t->program;
  const int partner = ntk_axis_partner(r, p->height, t->a);
  for (int q = 0; q < p->pool_count; q++) {
    const ntk_program_pool *pool = &p->pools[q];
    if (pool->flatten && (t->a != 0 || t->b != 0)) continue;
    real *acc = t->accumulators + ((size_t)tap * p->pool_count + q) * 2 * LANES;
    const real *weights = t->col_weights + (size_t)q * t->g.row;
    vec row_weight = vec_set(pool->row_weights ? (real)pool->row_weights[r * p->height + partner] : 1);
    vec sum_s = vec_zero(), sum_t = vec_zero();
    UNROLL for (int k = 0; k < NV; k++) {
      vec weight = vec_load(weights + k * LANES);
      sum_s = vec_fma(weight, s[k], sum_s);
      sum_t = vec_fma(weight, tt[k], sum_t);
    }
    vec_store(acc, vec_fma(row_weight, sum_t, vec_load(acc)));
    vec_store(acc + LANES, vec_fma(row_weight, sum_s, vec_load(acc + LANES)));
  }
}

/* Sums up the error that rounding leaves in k0 of the first ReLU, weighted by the entries' size (docs/accuracy.md):
 * about 1.5e-8 / q where S carries float32 noise, nothing where the two patches are proportional (then snapping was
 * right). */
INLINE void note_risk(tile_state *t, int r, int k, vec v, vec m, vec q) {
  size_t x = (size_t)r * t->g.row + k * LANES;
  size_t z = (size_t)ntk_axis_partner(r, t->program->height, t->a) * t->g.row + k * LANES;
  mask risky = vec_greater(vec_set((real)1e-2), m);
  if (t->g.few) risky = mask_and(risky, bits_differ(t->x_hash + x, t->z_hash + z));
  mask noisy = vec_greater(m, vec_set((real)NTK_DUAL_SNAP));
  vec error = vec_select(noisy, vec_set((real)1.5e-8) / q, vec_set((real)3e-4));
  t->risk = vec_add(t->risk, vec_keep(vec_mul(v, error), risky));
  t->risk_weight = vec_add(t->risk_weight, v);
}

/* The dual of one row: s, tt (in: pre-activation S and T; out: v k1 and T k0). */
static void activate_row(tile_state *t, const ntk_program_layer *layer, int r, vec *s, vec *tt) {
  const ntk_program *p = t->program;
  int row = t->g.row, partner = ntk_axis_partner(r, p->height, t->a);
  const real *x = t->x_norms + ((size_t)layer->norm * p->height + r) * 2 * row;
  const real *z = t->z_norms + ((size_t)layer->norm * p->height + partner) * 2 * row;
  for (int k = 0; k < t->g.nv; k++) {
    vec n_x = vec_load(x + k * LANES), n_z = vec_load(z + k * LANES);
    vec d = vec_fms(n_x, n_z, layer->signed_rho ? vec_abs(s[k]) : s[k]), m[1], q, poly[1];
    m[0] = d * vec_load(x + row + k * LANES) * vec_load(z + row + k * LANES);
    q = vec_sqrt_where(m[0], vec_greater(m[0], vec_set((real)NTK_DUAL_SNAP)));
    if (layer->signed_rho && p->want_ntk && !NTK_REAL_F64) note_risk(t, r, k, n_x * n_z, m[0], q);
    mask positive = vec_greater(s[k], vec_zero());
    if (layer->signed_rho) s[k] = vec_keep(s[k], positive);
    NTK_DUAL_S(poly, m, 1, p->wide);
    s[k] = vec_fma(d * q, poly[0], s[k]);
    if (p->want_ntk) {
      NTK_DUAL_P(poly, m, 1, p->wide);
      vec minus = q * poly[0], k0 = vec_set(1) - minus;
      if (layer->signed_rho) k0 = vec_select(positive, k0, minus);
      tt[k] = tt[k] * k0;
    }
  }
}

/* Forms and stores the row sums that the next layer's filter needs. */
static void store_row(const tile_state *t, const ntk_program_layer *next, int r, const vec *s, const vec *tt, int to) {
  int nv = t->g.nv;
  real *out_s = t->h_s[to] + (size_t)row_position(t, r) * t->g.row;
  real *out_t = t->h_t[to] + (size_t)row_position(t, r) * t->g.row;
  for (int pass = 0; pass < (t->program->want_ntk ? 2 : 1); pass++) {
    const vec *v = pass ? tt : s;
    real *out = pass ? out_t : out_s, *line = pass ? t->line_t : t->line_s;
    if (next->cols == 1) {
      for (int k = 0; k < nv; k++) vec_store(out + k * LANES, v[k]);
    } else if (t->g.interleaved) {
      if (nv == 1)
        row_sum3(1, 0, t, v, out);
      else if (nv == 2)
        row_sum3(2, 0, t, v, out);
      else
        row_sum3(4, 0, t, v, out);
    } else {
      for (int k = 0; k < nv; k++) vec_store(line + k * LANES, v[k]);
      row_sum_any(t, next->cols, next->circular, line, out);
    }
  }
}

static void layer_any(tile_state *t, int l, int from, int to) {
  const ntk_program *p = t->program;
  const ntk_program_layer *layer = &p->layers[l], *next = l + 1 < p->layer_count ? layer + 1 : NULL;
  vec bias = vec_set((real)(layer->bias * t->pair_scale)), rescale = vec_set((real)layer->rescale);
  /* Rows outside the demanded range only matter to circular filters, whose planes are whole tiles. */
  for (int r = t->first_row; r < t->first_row + t->rows; r++) {
    vec s[MAX_NV], tt[MAX_NV];
    for (int k = 0; k < t->g.nv; k++) {
      s[k] = column_sum(t, layer, t->h_s[from], r, k);
      tt[k] = p->want_ntk ? column_sum(t, layer, t->h_t[from], r, k) : vec_zero();
    }
    if (layer->bias > 0) {
      int width = p->width;
      for (int k = 0; k < t->g.nv; k++) {
        uint64_t bits = 0; /* lanes beyond the width stay zero */
        for (int lane = 0; lane < LANES; lane++) {
          int j = t->g.interleaved ? lane * t->g.nv + k : k * LANES + lane;
          bits |= (uint64_t)(j < width) << lane;
        }
        s[k] = vec_add_where(s[k], bias, mask_make(bits));
        if (layer->trained) tt[k] = vec_add_where(tt[k], bias, mask_make(bits));
      }
    }
    if (layer->relu) activate_row(t, layer, r, s, tt);
    if (layer->rescale != 1)
      for (int k = 0; k < t->g.nv; k++) s[k] = s[k] * rescale, tt[k] = tt[k] * rescale;
    if (layer->tap >= 0) pool_row(t->g.nv, t, layer->tap, r, s, tt);
    if (!next) continue;
    if (next->trained)
      for (int k = 0; k < t->g.nv; k++) tt[k] = tt[k] + s[k];
    store_row(t, next, r, s, tt, to);
  }
}

/* ---- one layer, the fast way: 3x3, zero padding, ReLU, no bias
 * --------------------------------------------------------- */

/* FIRST: signed correlations. MIDDLE: the steady state. LAST: pooled instead of stored. */
enum { FIRST, MIDDLE, LAST, SLOW };

static int layer_kind(const ntk_program *p, const layout *g, int l) {
  const ntk_program_layer *layer = &p->layers[l], *next = l + 1 < p->layer_count ? layer + 1 : NULL;
  if (!g->interleaved || layer->rows != 3 || !layer->relu || layer->bias != 0 || layer->rescale != 1) return SLOW;
  if (!next) return layer->tap >= 0 && !layer->signed_rho ? LAST : SLOW;
  if (next->cols != 3 || !next->trained || layer->tap >= 0) return SLOW;
  return layer->signed_rho ? FIRST : MIDDLE;
}

/* S, D, m and q of a row, from its h rows. */
INLINE void row_deficit(const int NV, const int KIND, const real *h, const real *x, const real *z, vec *s, vec *d,
                        vec *m, vec *q) {
  const int row = NV * LANES;
  UNROLL for (int k = 0; k < NV; k++) {
    s[k] = vec_load(h + k * LANES) + vec_load(h - row + k * LANES) + vec_load(h + row + k * LANES);
    d[k] = vec_fms(vec_load(x + k * LANES), vec_load(z + k * LANES), KIND == FIRST ? vec_abs(s[k]) : s[k]);
    m[k] = d[k] * vec_load(x + row + k * LANES) * vec_load(z + row + k * LANES);
    q[k] = vec_sqrt_where(m[k], vec_greater(m[k], vec_set((real)NTK_DUAL_SNAP)));
  }
}

/* The sweep is software-pipelined by one row, so that the square roots of row r + 1 run beside the polynomials of row
 * r. */
INLINE void layer_fast(const int NV, const int NTK, const int WIDE, const int ALIGNED, const int KIND, tile_state *t,
                       const ntk_program_layer *layer, const real *h_s, const real *h_t, real *out_s, real *out_t) {
  const int row = NV * LANES, height = t->program->height;
  (void)WIDE; /* float64 has one pair of polynomials */
  const int partner = ntk_axis_partner(t->first_row, height, t->a);
  const real *x = t->x_norms + ((size_t)layer->norm * height + t->first_row) * 2 * row;
  const real *z = t->z_norms + ((size_t)layer->norm * height + partner) * 2 * row;
  const int last = t->first_row + t->rows - 1;
  size_t at = (size_t)row_position(t, t->first_row) * row;
  vec s[MAX_FAST], d[MAX_FAST], m[MAX_FAST], q[MAX_FAST];
  row_deficit(NV, KIND, h_s + at, x, z, s, d, m, q);
  for (int r = t->first_row; r <= last; r++) {
    vec s_next[MAX_FAST], d_next[MAX_FAST], m_next[MAX_FAST], q_next[MAX_FAST];
    vec p[MAX_FAST], poly[MAX_FAST], tt[MAX_FAST];
    if (KIND == FIRST && NTK && !NTK_REAL_F64)
      UNROLL for (int k = 0; k < NV; k++)
          note_risk(t, r, k, vec_load(x + k * LANES) * vec_load(z + k * LANES), m[k], q[k]);
    /* after the last row the loads repeat it: harmless, and the loop stays free of branches */
    const int step = r < last, cross = r + 1 == t->seam;
    size_t at_next = at + (step ? row : 0) + (cross && step ? row : 0);
    x += step ? 2 * row : 0;
    z += step ? 2 * row : 0;
    z -= cross && step ? (size_t)height * 2 * row : 0;
    row_deficit(NV, KIND, h_s + at_next, x, z, s_next, d_next, m_next, q_next);
    NTK_DUAL_S(poly, m, NV, WIDE);
    if (NTK) NTK_DUAL_P(p, m, NV, WIDE);
    mask positive[MAX_FAST];
    UNROLL for (int k = 0; k < NV; k++) {
      if (KIND == FIRST) positive[k] = vec_greater(s[k], vec_zero()), s[k] = vec_keep(s[k], positive[k]);
      s[k] = vec_fma(d[k] * q[k], poly[k], s[k]);
      if (!NTK) continue;
      const real *h = h_t + at + k * LANES;
      vec sum = vec_load(h) + vec_load(h - row) + vec_load(h + row), k0 = vec_fnma(q[k], p[k], vec_set(1));
      if (KIND == FIRST) k0 = vec_select(positive[k], k0, vec_mul(q[k], p[k]));
      tt[k] = KIND == LAST ? vec_mul(sum, k0) : vec_fma(sum, k0, s[k]);
    }
    if (KIND == LAST) {
      pool_row(NV, t, layer->tap, r, s, NTK ? tt : s);
    } else {
      row_sum3(NV, ALIGNED, t, s, out_s + at);
      if (NTK) row_sum3(NV, ALIGNED, t, tt, out_t + at);
    }
    at = at_next;
    UNROLL for (int k = 0; k < NV; k++) s[k] = s_next[k], d[k] = d_next[k], m[k] = m_next[k], q[k] = q_next[k];
  }
}

/* One function per row length, kernel, polynomial degree, alignment and kind; looked up in fast_table. */
#define FAST_CASE(nv, ntk, wide, aligned, kind)                                                                       \
  __attribute__((noinline)) static void fast_##nv##ntk##wide##aligned##kind(tile_state *t, int l, int from, int to) { \
    layer_fast(nv, ntk, wide, aligned, kind, t, &t->program->layers[l], t->h_s[from], t->h_t[from], t->h_s[to],       \
               t->h_t[to]);                                                                                           \
  }
#define FAST_KINDS(nv, ntk, wide, aligned)  \
  FAST_CASE(nv, ntk, wide, aligned, FIRST)  \
  FAST_CASE(nv, ntk, wide, aligned, MIDDLE) \
  FAST_CASE(nv, ntk, wide, aligned, LAST)
#define FAST_ALL(nv)                                                                              \
  FAST_KINDS(nv, 0, 0, 0)                                                                         \
  FAST_KINDS(nv, 0, 0, 1) FAST_KINDS(nv, 0, 1, 0) FAST_KINDS(nv, 0, 1, 1) FAST_KINDS(nv, 1, 0, 0) \
      FAST_KINDS(nv, 1, 0, 1) FAST_KINDS(nv, 1, 1, 0) FAST_KINDS(nv, 1, 1, 1)
FAST_ALL(1)
FAST_ALL(2)
FAST_ALL(4)

typedef void (*layer_function)(tile_state *t, int l, int from, int to);
#define FAST_ENTRY(nv, ntk, wide, aligned) \
  { fast_##nv##ntk##wide##aligned##FIRST, fast_##nv##ntk##wide##aligned##MIDDLE, fast_##nv##ntk##wide##aligned##LAST }
#define FAST_ROW(nv)                                                                                            \
  {                                                                                                             \
    {{FAST_ENTRY(nv, 0, 0, 0), FAST_ENTRY(nv, 0, 0, 1)}, {FAST_ENTRY(nv, 0, 1, 0), FAST_ENTRY(nv, 0, 1, 1)}}, { \
      {FAST_ENTRY(nv, 1, 0, 0), FAST_ENTRY(nv, 1, 0, 1)}, { FAST_ENTRY(nv, 1, 1, 0), FAST_ENTRY(nv, 1, 1, 1) }  \
    }                                                                                                           \
  }
static const layer_function fast_table[3][2][2][2][3] = {FAST_ROW(1), FAST_ROW(2), FAST_ROW(4)};

/* ---- a tile and a pair
 * ------------------------------------------------------------------------------------------------ */

/* Input products of a row: SUM_c x z, then the first layer's row sums. */
static void input_row(tile_state *t, int r) {
  const ntk_program *p = t->program;
  int row = t->g.row, partner = ntk_axis_partner(r, p->height, t->a);
  vec s[MAX_NV], tt[MAX_NV];
  for (int k = 0; k < t->g.nv; k++) s[k] = tt[k] = vec_zero();
  if (t->g.few) {
    for (int c = 0; c < p->channels; c++) {
      const real *x = t->x_pixels + ((size_t)c * p->height + r) * row;
      const real *z = t->z_pixels + ((size_t)c * p->height + partner) * row;
      for (int k = 0; k < t->g.nv; k++) s[k] = vec_fma(vec_load(x + k * LANES), vec_load(z + k * LANES), s[k]);
    }
  } else {
    const real *products = t->products + (size_t)r * p->width * p->height * p->width + (size_t)partner * p->width;
    for (int j = 0; j < p->width; j++) {
      int at = lane_of(&t->g, j);
      ((real *)s)[at] = products[(size_t)j * p->height * p->width + ntk_axis_partner(j, p->width, t->b)];
    }
  }
  if (p->layers[0].trained)
    for (int k = 0; k < t->g.nv; k++) tt[k] = s[k];
  store_row(t, &p->layers[0], r, s, tt, 0);
}

/* Which horizontal neighbours belong together in this tile (interleaved order). */
static void find_masks(tile_state *t) {
  int nv = t->g.nv, width = t->program->width;
  uint64_t up = 0, down = 0, full = LANES == 64 ? ~0ull : (1ull << LANES) - 1;
  t->aligned = 1;
  for (int l = 0; l < LANES; l++) {
    up |= (uint64_t)ntk_axis_connected(nv * l - 1, width, t->b) << l;
    down |= (uint64_t)ntk_axis_connected(nv * l + nv - 1, width, t->b) << l;
  }
  t->up = mask_make(up), t->down = mask_make(down);
  for (int k = 0; k + 1 < nv && k < 4; k++) {
    uint64_t mid = 0;
    for (int l = 0; l < LANES; l++) {
      int j = nv * l + k; /* beyond the width both lanes are zero: any mask will do */
      mid |= (uint64_t)(j >= width || ntk_axis_connected(j, width, t->b)) << l;
    }
    t->mid[k] = mask_make(mid);
    if (mid != full) t->aligned = 0;
  }
}

static void run_tile(tile_state *t, const ntk_tile *tile, double *sums) {
  const ntk_program *p = t->program;
  int row = t->g.row, outputs = p->tap_count * p->pool_count * 2;
  t->a = tile->a, t->first_row = tile->first_row, t->rows = tile->row_count;
  t->seam = p->layers[0].circular || tile->a == 0 ? -1 : p->height - tile->a;
  int before = row_position(t, t->first_row) - 1, after = row_position(t, t->first_row + t->rows - 1) + 1;
  for (int k = 0; k < 2; k++) {
    real *h[2] = {t->h_s[k], t->h_t[k]};
    for (int q = 0; q < 2; q++) {
      memset(h[q] + (size_t)before * row, 0, (size_t)row * sizeof(real));
      memset(h[q] + (size_t)after * row, 0, (size_t)row * sizeof(real));
      if (t->seam >= 0) memset(h[q] + ((size_t)t->seam + 1) * row, 0, (size_t)row * sizeof(real));
    }
  }
  memset(t->accumulators, 0, (size_t)outputs * LANES * sizeof(real));
  for (int r = t->first_row; r < t->first_row + t->rows; r++) input_row(t, r);
  int from = 0, nv_index = t->g.nv == 1 ? 0 : t->g.nv == 2 ? 1 : 2;
  for (int l = 0; l < p->layer_count; l++, from = !from) {
    int kind = layer_kind(p, &t->g, l);
    if (kind == SLOW)
      layer_any(t, l, from, !from);
    else
      fast_table[nv_index][p->want_ntk][p->wide != 0][t->aligned][kind](t, l, from, !from);
  }
  for (int k = 0; k < outputs; k++) sums[k] += vec_sum(vec_load(t->accumulators + (size_t)k * LANES));
}

/* Rotated copies of z and column weights for the tiles of one b. */
static void enter_columns(tile_state *t, int b, const void *z, real *rotated) {
  const ntk_program *p = t->program;
  const real *pixels = image_pixels(z), *norms = pixels + pixel_reals(p, &t->g);
  const real *hash = norms + norm_reals(p, &t->g);
  t->b = b;
  if (t->g.interleaved) find_masks(t);
  if (b == 0) {
    t->z_pixels = pixels, t->z_norms = norms, t->z_hash = (const real_bits *)hash;
  } else {
    real *to = rotated;
    if (t->g.few) rotate_rows(&t->g, p->width, b, pixels, to, (size_t)p->channels * p->height);
    t->z_pixels = to;
    to += pixel_reals(p, &t->g);
    rotate_rows(&t->g, p->width, b, norms, to, (size_t)p->norm_count * p->height * 2);
    t->z_norms = to;
    to += norm_reals(p, &t->g);
    if (!NTK_REAL_F64) rotate_rows(&t->g, p->width, b, hash, to, (size_t)p->height);
    t->z_hash = (const real_bits *)to;
  }
  for (int q = 0; q < p->pool_count; q++) {
    const double *weights = p->pools[q].col_weights;
    for (int j = 0; j < p->width; j++)
      t->col_weights[(size_t)q * t->g.row + lane_of(&t->g, j)] =
          weights ? (real)weights[j * p->width + ntk_axis_partner(j, p->width, b)] : 1;
  }
}

typedef struct scratch_plan {
  size_t h, line, weights, accumulators, rotated, total; /* sizes in reals, multiples of 16 */
} scratch_plan;

static size_t round16(size_t n) { return (n + 15) / 16 * 16; }

static scratch_plan plan_scratch(const ntk_program *p) {
  layout g = layout_of(p);
  scratch_plan s;
  s.h = round16((size_t)(p->height + 3) * g.row) + 64; /* +64: keeps the four buffers off one another's cache sets */
  s.line = (size_t)2 * HALO + g.row;
  s.weights = round16((size_t)p->pool_count * g.row);
  s.accumulators = round16((size_t)p->tap_count * p->pool_count * 2 * LANES);
  s.rotated = pixel_reals(p, &g) + norm_reals(p, &g) + hash_reals(p, &g);
  s.total = 4 * s.h + 2 * s.line + s.weights + s.accumulators + s.rotated;
  return s;
}

static size_t scratch_bytes(const ntk_program *p) {
  size_t pair = plan_scratch(p).total * sizeof(real), norms = 2 * (size_t)p->height * p->width * sizeof(double);
  return ((pair > norms ? pair : norms) + 63) / 64 * 64;
}

static double pair(const ntk_program *p, const void *x, const void *z, const void *products, void *scratch,
                   double *sums) {
  tile_state t = {.program = p, .g = layout_of(p), .products = products};
  t.risk = t.risk_weight = vec_zero();
  scratch_plan sizes = plan_scratch(p);
  real *at = scratch;
  for (int k = 0; k < 2; k++) {
    t.h_s[k] = at, at += sizes.h;
    t.h_t[k] = at, at += sizes.h;
  }
  memset(at, 0, 2 * sizes.line * sizeof(real));
  t.line_s = at + HALO, at += sizes.line;
  t.line_t = at + HALO, at += sizes.line;
  t.col_weights = at, at += sizes.weights;
  memset(t.col_weights, 0, sizes.weights * sizeof(real)); /* lanes beyond the width */
  t.accumulators = at, at += sizes.accumulators;

  int exponent = ((const image_head *)x)->exponent + ((const image_head *)z)->exponent;
  t.pair_scale = ldexp(1, -exponent);
  t.x_pixels = image_pixels(x);
  t.x_norms = t.x_pixels + pixel_reals(p, &t.g);
  t.x_hash = (const real_bits *)(t.x_norms + norm_reals(p, &t.g));
  int outputs = p->tap_count * p->pool_count * 2;
  for (int k = 0; k < outputs; k++) sums[k] = 0;
  for (int k = 0; k < p->tile_count; k++) {
    if (k == 0 || p->tiles[k].b != t.b) enter_columns(&t, p->tiles[k].b, z, at);
    run_tile(&t, &p->tiles[k], sums);
  }
  for (int k = 0; k < outputs; k++) sums[k] = ldexp(sums[k], exponent);
  double weight = vec_sum(t.risk_weight);
  return weight > 0 ? vec_sum(t.risk) / weight : 0;
}

#if NTK_REAL_F64
#define OPS CONCAT(ntk_plane_, NTK_ISA, _f64)
#else
#define OPS CONCAT(ntk_plane_, NTK_ISA, _f32)
#endif
#define STRING2(x) #x
#define STRING(x) STRING2(x)

const ntk_plane_ops OPS = {STRING(NTK_ISA), NTK_REAL_F64, image_bytes, scratch_bytes, prepare, channel_matrix, pair};
