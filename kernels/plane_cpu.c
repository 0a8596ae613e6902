/* The plane engine on the CPU, one source for every instruction set and precision (kernels/CMakeLists.txt compiles it
 * with NTK_ISA and NTK_REAL_F64 set). Read plane.h and program.h first.
 *
 * A packed tile of S and T lives in L1 and passes through all layers. Between layers it is stored as row sums of the
 * next filter ("h"), so that a layer is one sweep over rows: add the h rows that the filter covers, apply the duals,
 * form the next row sums, store. Rows on the two sides of the seam are kept apart by a row of zeros.
 *
 * The state is (S, T), or for pairs with constant regions (D, T, V) with S = V - D, where V = n_x n_z after every ReLU:
 *   D_next = box(D) + W,   W = n'_x n'_z - box(V) >= 0 by Cauchy and Schwarz,
 * with W below the rounding noise taken as 0, so that tiny deficits survive from layer to layer (docs/accuracy.md).
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
/* More ReLU layers than this leave over 1e-6 in float32 where few entries average it out. */
enum { DEEP = 28 };
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
  const real *products;            /* (height width)^2 input products, or NULL */
  double pair_scale;               /* 2^-(ex + ez) */
  const double *x_exact, *z_exact; /* plane_first.h, or NULL */
  int first_relu;                  /* layer of the first ReLU */
  int deficit;                     /* the state is (D, T, V) after the first ReLU */
  real *h_s[2], *h_t[2], *h_v[2];  /* row sums, (height + 3) rows, ping and pong */
  real *line;                      /* one row with halos, natural order */
  real *col_weights;               /* [pool][row] */
  real *accumulators;              /* pool_sums */
  mask up, down, mid[4];           /* interleaved order: which neighbours a filter may add */
  int aligned;                     /* all of mid are full */
  vec risk[2], risk_weight[2];     /* note_risk */
} tile_state;

INLINE int row_position(const tile_state *t, int r) { return r + 1 + (t->seam >= 0 && r >= t->seam); }

/* ---- horizontal sums ---- */

/* Row sums of a filter 3 wide, interleaved order. */
INLINE void row_sum3(const int NV, const int ALIGNED, const tile_state *t, mask up, mask down, const vec *v,
                     real *out) {
  vec left = vec_shift_up(v[NV - 1], up), right = vec_shift_down(v[0], down);
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

/* ---- one layer, the general way ---- */

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

/* Accumulators of a tap and a pool, for every vector of a row: those of T, then those of S. */
INLINE real *pool_sums(const tile_state *t, int tap, int pool) {
  return t->accumulators + ((size_t)tap * t->program->pool_count + pool) * 2 * t->g.row;
}

INLINE vec pool_row_weight(const tile_state *t, const ntk_program_pool *pool, int r) {
  const int height = t->program->height;
  if (!pool->row_weights) return vec_set(1);
  return vec_set((real)pool->row_weights[r * height + ntk_axis_partner(r, height, t->a)]);
}

/* Adds a row of S and T to the accumulators of a tap. */
INLINE void pool_row(const int NV, const tile_state *t, int tap, int r, const vec *s, const vec *tt) {
  for (int q = 0; q < t->program->pool_count; q++) {
    real *acc = pool_sums(t, tap, q);
    vec weight = pool_row_weight(t, &t->program->pools[q], r);
    UNROLL for (int k = 0; k < NV; k++) {
      vec_store(acc + k * LANES, vec_fma(weight, tt[k], vec_load(acc + k * LANES)));
      vec_store(acc + (NV + k) * LANES, vec_fma(weight, s[k], vec_load(acc + (NV + k) * LANES)));
    }
  }
}

/* Weights the columns of a tile's sums and adds them up. */
static void pool_columns(const tile_state *t, double *sums) {
  const ntk_program *p = t->program;
  const int nv = t->g.nv;
  for (int tap = 0; tap < p->tap_count; tap++)
    for (int q = 0; q < p->pool_count; q++, sums += 2) {
      if (p->pools[q].flatten && (t->a != 0 || t->b != 0)) continue;
      const real *acc = pool_sums(t, tap, q), *weights = t->col_weights + (size_t)q * t->g.row;
      vec sum_t = vec_zero(), sum_s = vec_zero();
      for (int k = 0; k < nv; k++) {
        vec weight = vec_load(weights + k * LANES);
        sum_t = vec_fma(weight, vec_load(acc + k * LANES), sum_t);
        sum_s = vec_fma(weight, vec_load(acc + (nv + k) * LANES), sum_s);
      }
      sums[0] += vec_sum(sum_t);
      sums[1] += vec_sum(sum_s);
    }
}

/* Sums up the error that rounding leaves in k0, weighted by the entries' size (docs/accuracy.md), at the first ReLU (at
 * = 0) and at the last one (at = 1): about 1.5e-8 / q where S carries float32 noise. At the first, entries of
 * proportional patches do not count: snapping them was right. At the last, a small m almost everywhere tells
 * near-duplicates from images that merely share a flat corner. */
INLINE void note_risk(tile_state *t, int at, int r, int k, vec v, vec m, vec q) {
  mask risky = vec_greater(vec_set((real)1e-2), m), noisy = vec_greater(m, vec_set((real)NTK_DUAL_SNAP));
  if (at == 0 && t->g.few) {
    size_t x = (size_t)r * t->g.row + k * LANES;
    size_t z = (size_t)ntk_axis_partner(r, t->program->height, t->a) * t->g.row + k * LANES;
    risky = mask_and(risky, bits_differ(t->x_hash + x, t->z_hash + z));
  }
  t->risk_weight[at] = vec_add(t->risk_weight[at], v);
  if (!mask_any(risky)) return;
  vec error = vec_select(noisy, vec_set((real)1.5e-8) / q, vec_set(t->deficit ? 0 : (real)3e-4));
  t->risk[at] = vec_add(t->risk[at], vec_keep(vec_mul(v, error), risky));
}

/* The dual of one row. In: pre-activation S and T (after the first ReLU of a deficit pair: box sums of D, T and V).
 * Out: v k1 and T k0 (D, T k0 and V). */
static void activate_row(tile_state *t, const ntk_program_layer *layer, int r, vec *s, vec *tt, vec *vv) {
  const ntk_program *p = t->program;
  int row = t->g.row, partner = ntk_axis_partner(r, p->height, t->a), signed_rho = layer->signed_rho;
  const real *x = t->x_norms + ((size_t)layer->norm * p->height + r) * 2 * row;
  const real *z = t->z_norms + ((size_t)layer->norm * p->height + partner) * 2 * row;
  const vec snap = vec_set((real)NTK_DUAL_SNAP);
  for (int k = 0; k < t->g.nv; k++) {
    vec n_x = vec_load(x + k * LANES), n_z = vec_load(z + k * LANES), v = n_x * n_z, d, m[1], q, poly[1], theta[1];
    int from_deficit = t->deficit && !signed_rho;
    if (from_deficit) {
      vec w = vec_fms(n_x, n_z, vv[k]);
      d = vec_add_where(s[k], w, vec_greater(w, vec_set((real)NTK_DUAL_GAP) * v));
    } else {
      d = vec_fms(n_x, n_z, signed_rho ? vec_abs(s[k]) : s[k]);
    }
    m[0] = d * vec_load(x + row + k * LANES) * vec_load(z + row + k * LANES);
    mask apart = vec_greater(m[0], from_deficit ? vec_zero() : snap);
    q = vec_sqrt_where(m[0], apart);
    if (p->want_ntk && !NTK_REAL_F64 && (signed_rho || layer->norm == p->norm_count - 1))
      note_risk(t, !signed_rho, r, k, v, m[0], q);
    mask positive = vec_greater(from_deficit ? v : s[k], vec_zero());
    if (signed_rho)
      NTK_DUALS_WHOLE(theta, poly, m, 1, 1);
    else
      NTK_DUALS_LATER(theta, poly, m, 1, 1);
    vec up = d * q * poly[0];
    if (t->deficit)
      s[k] = vec_select(positive, vec_keep(d, apart), v) - up;
    else
      s[k] = (signed_rho ? vec_keep(s[k], positive) : s[k]) + up;
    vv[k] = v;
    if (!p->want_ntk) continue;
    vec minus = q * theta[0], k0 = vec_set(1) - minus;
    if (signed_rho) k0 = vec_select(positive, k0, minus);
    tt[k] = tt[k] * k0;
  }
}

/* Forms and stores the row sums that the next layer's filter needs. */
static void store_row(const tile_state *t, const ntk_program_layer *next, int r, const vec *s, const vec *tt,
                      const vec *vv, int to) {
  const int nv = t->g.nv;
  const vec *state[3] = {s, t->program->want_ntk ? tt : NULL, vv};
  real *const h[3] = {t->h_s[to], t->h_t[to], t->h_v[to]};
  for (int pass = 0; pass < 3; pass++) {
    const vec *v = state[pass];
    if (!v) continue;
    real *out = h[pass] + (size_t)row_position(t, r) * t->g.row, *line = t->line;
    if (next->cols == 1) {
      for (int k = 0; k < nv; k++) vec_store(out + k * LANES, v[k]);
    } else if (t->g.interleaved) {
      if (nv == 1)
        row_sum3(1, 0, t, t->up, t->down, v, out);
      else if (nv == 2)
        row_sum3(2, 0, t, t->up, t->down, v, out);
      else
        row_sum3(4, 0, t, t->up, t->down, v, out);
    } else {
      for (int k = 0; k < nv; k++) vec_store(line + k * LANES, v[k]);
      row_sum_any(t, next->cols, next->circular, line, out);
    }
  }
}

/* Adds the bias to the lanes inside the image. */
static void add_bias(const tile_state *t, real bias, vec *v) {
  for (int k = 0; k < t->g.nv; k++) {
    uint64_t bits = 0; /* lanes beyond the width stay zero */
    for (int lane = 0; lane < LANES; lane++) {
      int j = t->g.interleaved ? lane * t->g.nv + k : k * LANES + lane;
      bits |= (uint64_t)(j < t->program->width) << lane;
    }
    v[k] = vec_add_where(v[k], vec_set(bias), mask_make(bits));
  }
}

static void layer_any(tile_state *t, int l, int from, int to) {
  const ntk_program *p = t->program;
  const ntk_program_layer *layer = &p->layers[l], *next = l + 1 < p->layer_count ? layer + 1 : NULL;
  const int nv = t->g.nv;
  const real bias = (real)(layer->bias * t->pair_scale);
  const vec rescale = vec_set((real)layer->rescale);
  const int deficit_in = t->deficit && l > t->first_relu, deficit_out = t->deficit && l >= t->first_relu;
  /* Rows outside the demanded range only matter to circular filters, whose planes are whole tiles. */
  for (int r = t->first_row; r < t->first_row + t->rows; r++) {
    vec s[MAX_NV], tt[MAX_NV], vv[MAX_NV];
    for (int k = 0; k < nv; k++) {
      s[k] = column_sum(t, layer, t->h_s[from], r, k);
      tt[k] = p->want_ntk ? column_sum(t, layer, t->h_t[from], r, k) : vec_zero();
      vv[k] = deficit_in ? column_sum(t, layer, t->h_v[from], r, k) : vec_zero();
    }
    if (layer->bias > 0) {
      add_bias(t, bias, deficit_in ? vv : s);
      if (layer->trained) add_bias(t, bias, tt);
    }
    if (layer->relu) activate_row(t, layer, r, s, tt, vv);
    if (layer->rescale != 1)
      for (int k = 0; k < nv; k++) s[k] = s[k] * rescale, tt[k] = tt[k] * rescale, vv[k] = vv[k] * rescale;
    vec covariance[MAX_NV];
    for (int k = 0; k < nv; k++) covariance[k] = deficit_out ? vec_sub(vv[k], s[k]) : s[k];
    if (layer->tap >= 0) pool_row(nv, t, layer->tap, r, covariance, tt);
    if (!next) continue;
    if (next->trained)
      for (int k = 0; k < nv; k++) tt[k] = tt[k] + covariance[k];
    store_row(t, next, r, s, tt, deficit_out ? vv : NULL, to);
  }
}

/* ---- one layer, the fast way: 3x3, zero padding, ReLU, no bias ---- */

/* FIRST: signed correlations. MIDDLE: the steady state. LAST: pooled instead of stored. */
enum { FIRST, MIDDLE, LAST, SLOW };

static int layer_kind(const ntk_program *p, const layout *g, int l) {
  const ntk_program_layer *layer = &p->layers[l], *next = l + 1 < p->layer_count ? layer + 1 : NULL;
  if (!g->interleaved || layer->rows != 3 || !layer->relu || layer->bias != 0 || layer->rescale != 1) return SLOW;
  if (!next) return layer->tap >= 0 && !layer->signed_rho ? LAST : SLOW;
  if (next->cols != 3 || !next->trained || layer->tap >= 0) return SLOW;
  return layer->signed_rho ? FIRST : MIDDLE;
}

/* Sum of the three h rows around `h`. */
INLINE vec sum3(const real *h, int row) { return vec_load(h) + vec_load(h - row) + vec_load(h + row); }

/* S (DEFICIT: V), D, m and q of a row, from its h rows. */
INLINE void row_deficit(const int NV, const int KIND, const int DEFICIT, const real *h, const real *h_v, const real *x,
                        const real *z, vec *s, vec *d, vec *m, vec *q) {
  const int row = NV * LANES;
  const vec snap = vec_set((real)NTK_DUAL_SNAP), gap = vec_set((real)NTK_DUAL_GAP);
  UNROLL for (int k = 0; k < NV; k++) {
    vec n_x = vec_load(x + k * LANES), n_z = vec_load(z + k * LANES), box = sum3(h + k * LANES, row);
    mask apart;
    if (DEFICIT && KIND != FIRST) {
      vec w = vec_fms(n_x, n_z, sum3(h_v + k * LANES, row));
      s[k] = n_x * n_z;
      d[k] = vec_add_where(box, w, vec_greater(w, gap * s[k]));
      m[k] = d[k] * vec_load(x + row + k * LANES) * vec_load(z + row + k * LANES);
      apart = vec_greater(m[k], vec_zero());
    } else {
      s[k] = box;
      d[k] = vec_fms(n_x, n_z, KIND == FIRST ? vec_abs(box) : box);
      m[k] = d[k] * vec_load(x + row + k * LANES) * vec_load(z + row + k * LANES);
      apart = vec_greater(m[k], snap);
      if (DEFICIT) d[k] = vec_keep(d[k], apart);
    }
    q[k] = vec_sqrt_where(m[k], apart);
  }
}

/* The dual of a row. In: row_deficit's values and the h rows of T. Out: s and tt, of a deficit pair also d and v = n_x
 * n_z, all as the next layer's filter takes them. */
INLINE void row_activate(const int NV, const int NTK, const int DEFICIT, const int KIND, const real *h_t, vec *s, vec *d,
                         const vec *m, const vec *q, vec *v, vec *tt) {
  vec p[MAX_FAST], poly[MAX_FAST];
  if (KIND == FIRST)
    NTK_DUALS_WHOLE(p, poly, m, NV, NTK);
  else
    NTK_DUALS_LATER(p, poly, m, NV, NTK);
  UNROLL for (int k = 0; k < NV; k++) {
    mask positive;
    if (KIND == FIRST) positive = vec_greater(s[k], vec_zero());
    vec up = d[k] * q[k];
    if (DEFICIT) {
      if (KIND != FIRST) v[k] = s[k];
      d[k] = vec_fnma(up, poly[k], KIND == FIRST ? vec_select(positive, d[k], v[k]) : d[k]);
      s[k] = v[k] - d[k];
    } else {
      s[k] = vec_fma(up, poly[k], KIND == FIRST ? vec_keep(s[k], positive) : s[k]);
    }
    if (!NTK) continue;
    vec k0 = vec_fnma(q[k], p[k], vec_set(1)), sum = sum3(h_t + k * LANES, NV * LANES);
    if (KIND == FIRST) k0 = vec_select(positive, k0, vec_mul(q[k], p[k]));
    tt[k] = KIND == LAST ? vec_mul(sum, k0) : vec_fma(sum, k0, s[k]);
  }
}

/* The sweep is software-pipelined by one row, so that the square roots of row r + 1 run beside the polynomials of row
 * r. */
INLINE void layer_fast(const int NV, const int NTK, const int DEFICIT, const int ALIGNED, const int KIND, tile_state *t,
                       int l, int from, int to) {
  const ntk_program_layer *layer = &t->program->layers[l];
  const int row = NV * LANES, height = t->program->height, last = t->first_row + t->rows - 1;
  const int partner = ntk_axis_partner(t->first_row, height, t->a);
  const real *x = t->x_norms + ((size_t)layer->norm * height + t->first_row) * 2 * row;
  const real *z = t->z_norms + ((size_t)layer->norm * height + partner) * 2 * row;
  const real *h_s = t->h_s[from], *h_v = t->h_v[from];
  const real *h_t = KIND == FIRST && l == 0 && layer->trained ? h_s : t->h_t[from]; /* S and T start equal */
  const mask up = t->up, down = t->down;
  const int one_pool = t->program->pool_count == 1; /* its sums stay in registers */
  size_t at = (size_t)row_position(t, t->first_row) * row;
  vec s[MAX_FAST], d[MAX_FAST], m[MAX_FAST], q[MAX_FAST], v[MAX_FAST], pool_s[MAX_FAST], pool_t[MAX_FAST];
  if (KIND == LAST) UNROLL for (int k = 0; k < NV; k++) pool_s[k] = pool_t[k] = vec_zero();
  row_deficit(NV, KIND, DEFICIT, h_s + at, h_v + at, x, z, s, d, m, q);
  for (int r = t->first_row; r <= last; r++) {
    vec s_next[MAX_FAST], d_next[MAX_FAST], m_next[MAX_FAST], q_next[MAX_FAST], tt[MAX_FAST];
    if (KIND != MIDDLE && NTK) UNROLL for (int k = 0; k < NV; k++) {
        v[k] = vec_load(x + k * LANES) * vec_load(z + k * LANES);
        if (!NTK_REAL_F64) note_risk(t, KIND == LAST, r, k, v[k], m[k], q[k]);
      }
    /* after the last row the loads repeat it: harmless, and the loop stays free of branches */
    const int step = r < last, cross = r + 1 == t->seam;
    size_t at_next = at + (step ? row : 0) + (cross && step ? row : 0);
    x += step ? 2 * row : 0;
    z += step ? 2 * row : 0;
    z -= cross && step ? (size_t)height * 2 * row : 0;
    row_deficit(NV, KIND, DEFICIT, h_s + at_next, h_v + at_next, x, z, s_next, d_next, m_next, q_next);
    row_activate(NV, NTK, DEFICIT, KIND, h_t + at, s, d, m, q, v, tt);
    if (KIND == LAST && one_pool) {
      const vec weight = pool_row_weight(t, t->program->pools, r);
      UNROLL for (int k = 0; k < NV; k++) pool_s[k] = vec_fma(weight, s[k], pool_s[k]);
      if (NTK) UNROLL for (int k = 0; k < NV; k++) pool_t[k] = vec_fma(weight, tt[k], pool_t[k]);
    } else if (KIND == LAST) {
      pool_row(NV, t, layer->tap, r, s, NTK ? tt : s);
    } else {
      row_sum3(NV, ALIGNED, t, up, down, DEFICIT ? d : s, t->h_s[to] + at);
      if (NTK) row_sum3(NV, ALIGNED, t, up, down, tt, t->h_t[to] + at);
      if (DEFICIT) row_sum3(NV, ALIGNED, t, up, down, v, t->h_v[to] + at);
    }
    at = at_next;
    UNROLL for (int k = 0; k < NV; k++) s[k] = s_next[k], d[k] = d_next[k], m[k] = m_next[k], q[k] = q_next[k];
  }
  if (KIND == LAST && one_pool) UNROLL for (int k = 0; k < NV; k++) {
      vec_store(pool_sums(t, layer->tap, 0) + k * LANES, NTK ? pool_t[k] : pool_s[k]);
      vec_store(pool_sums(t, layer->tap, 0) + (NV + k) * LANES, pool_s[k]);
    }
}

/* One function per row length, state, alignment and kind; looked up in fast_table. */
enum { STATE_S, STATE_ST, STATE_DTV, STATES };
#define FAST_CASE(nv, state, aligned, kind)                                                                      \
  __attribute__((noinline)) static void fast_##nv##_##state##_##aligned##_##kind(tile_state *t, int l, int from, \
                                                                                 int to) {                       \
    layer_fast(nv, state != STATE_S, state == STATE_DTV, aligned, kind, t, l, from, to);                         \
  }
#define FAST_KINDS(nv, state, aligned)  \
  FAST_CASE(nv, state, aligned, FIRST)  \
  FAST_CASE(nv, state, aligned, MIDDLE) \
  FAST_CASE(nv, state, aligned, LAST)
#define FAST_ALL(nv)         \
  FAST_KINDS(nv, STATE_S, 0) \
  FAST_KINDS(nv, STATE_S, 1) \
  FAST_KINDS(nv, STATE_ST, 0) FAST_KINDS(nv, STATE_ST, 1) FAST_KINDS(nv, STATE_DTV, 0) FAST_KINDS(nv, STATE_DTV, 1)
FAST_ALL(1)
FAST_ALL(2)
FAST_ALL(4)

typedef void (*layer_function)(tile_state *t, int l, int from, int to);
#define FAST_ENTRY(nv, state, aligned)                                                 \
  {                                                                                    \
    fast_##nv##_##state##_##aligned##_FIRST, fast_##nv##_##state##_##aligned##_MIDDLE, \
        fast_##nv##_##state##_##aligned##_LAST                                         \
  }
#define FAST_STATES(nv)                                               \
  {                                                                   \
    {FAST_ENTRY(nv, STATE_S, 0), FAST_ENTRY(nv, STATE_S, 1)},         \
        {FAST_ENTRY(nv, STATE_ST, 0), FAST_ENTRY(nv, STATE_ST, 1)},   \
        {FAST_ENTRY(nv, STATE_DTV, 0), FAST_ENTRY(nv, STATE_DTV, 1)}, \
  }
static const layer_function fast_table[3][STATES][2][3] = {FAST_STATES(1), FAST_STATES(2), FAST_STATES(4)};

#include "kernels/plane_first.h"

/* ---- a tile and a pair ---- */

/* Input products of a row, SUM_c x z. */
static void input_products(const tile_state *t, int r, int partner, vec *s) {
  const ntk_program *p = t->program;
  const int row = t->g.row;
  for (int k = 0; k < t->g.nv; k++) s[k] = vec_zero();
  if (t->g.few) {
    for (int c = 0; c < p->channels; c++) {
      const real *x = t->x_pixels + ((size_t)c * p->height + r) * row;
      const real *z = t->z_pixels + ((size_t)c * p->height + partner) * row;
      for (int k = 0; k < t->g.nv; k++) s[k] = vec_fma(vec_load(x + k * LANES), vec_load(z + k * LANES), s[k]);
    }
  } else {
    const real *products = t->products + (size_t)r * p->width * p->height * p->width + (size_t)partner * p->width;
    for (int j = 0; j < p->width; j++)
      ((real *)s)[lane_of(&t->g, j)] =
          products[(size_t)j * p->height * p->width + ntk_axis_partner(j, p->width, t->b)];
  }
}

/* The first layer's row sums, where layer_fast goes on: T is S. */
INLINE void input_fast(const int NV, tile_state *t) {
  const ntk_program *p = t->program;
  const int row = NV * LANES;
  const size_t channel = (size_t)p->height * row;
  for (int r = t->first_row; r < t->first_row + t->rows; r++) {
    const real *x = t->x_pixels + r * row, *z = t->z_pixels + ntk_axis_partner(r, p->height, t->a) * row;
    vec s[MAX_FAST];
    UNROLL for (int k = 0; k < NV; k++) s[k] = vec_load(x + k * LANES) * vec_load(z + k * LANES);
    for (int c = 1; c < p->channels; c++) {
      x += channel, z += channel;
      UNROLL for (int k = 0; k < NV; k++) s[k] = vec_fma(vec_load(x + k * LANES), vec_load(z + k * LANES), s[k]);
    }
    row_sum3(NV, 0, t, t->up, t->down, s, t->h_s[0] + (size_t)row_position(t, r) * row);
  }
}

/* Fills the h buffers 0 with the row sums of the input products. */
static void enter_input(tile_state *t) {
  const ntk_program *p = t->program;
  if (t->g.few && p->layers[0].trained && p->layers[0].cols == 3 && layer_kind(p, &t->g, 0) == FIRST) {
    if (t->g.nv == 1)
      input_fast(1, t);
    else if (t->g.nv == 2)
      input_fast(2, t);
    else
      input_fast(4, t);
    return;
  }
  for (int r = t->first_row; r < t->first_row + t->rows; r++) {
    vec s[MAX_NV], tt[MAX_NV];
    input_products(t, r, ntk_axis_partner(r, p->height, t->a), s);
    for (int k = 0; k < t->g.nv; k++) tt[k] = p->layers[0].trained ? s[k] : vec_zero();
    store_row(t, &p->layers[0], r, s, tt, NULL, 0);
  }
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

static void run_tile(tile_state *t, const ntk_tile *tile, double *first_sums, double *sums) {
  const ntk_program *p = t->program;
  int row = t->g.row;
  t->a = tile->a, t->first_row = tile->first_row, t->rows = tile->row_count;
  t->seam = p->layers[0].circular || tile->a == 0 ? -1 : p->height - tile->a;
  int before = row_position(t, t->first_row) - 1, after = row_position(t, t->first_row + t->rows - 1) + 1;
  real *const buffers[6] = {t->h_s[0], t->h_s[1], t->h_t[0], t->h_t[1], t->h_v[0], t->h_v[1]};
  for (int q = 0; q < (t->deficit ? 6 : 4); q++)
    for (int k = 0; k < row; k += LANES) {
      vec_store(buffers[q] + (size_t)before * row + k, vec_zero());
      vec_store(buffers[q] + (size_t)after * row + k, vec_zero());
      if (t->seam >= 0) vec_store(buffers[q] + ((size_t)t->seam + 1) * row + k, vec_zero());
    }
  memset(t->accumulators, 0, (size_t)p->tap_count * p->pool_count * 2 * row * sizeof(real));
  int from = 0, l = 0;
  if (t->x_exact) {
    first_exact(t, first_sums);
    from = l = 1;
  } else {
    enter_input(t);
  }
  for (; l < p->layer_count; l++, from = !from) {
    int kind = layer_kind(p, &t->g, l);
    if (kind == SLOW)
      layer_any(t, l, from, !from);
    else
      fast_table[t->g.shift][t->deficit    ? STATE_DTV
                             : p->want_ntk ? STATE_ST
                                           : STATE_S][t->aligned][kind](t, l, from, !from);
  }
  pool_columns(t, sums);
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
  size_t first, h, line, weights, accumulators, rotated, total; /* sizes in reals, multiples of 16 */
} scratch_plan;

static size_t round16(size_t n) { return (n + 15) / 16 * 16; }

static scratch_plan plan_scratch(const ntk_program *p) {
  layout g = layout_of(p);
  scratch_plan s;
  s.h = round16((size_t)(p->height + 3) * g.row) + 64; /* +64: keeps the buffers off one another's cache sets */
  s.line = (size_t)2 * HALO + g.row;
  s.weights = round16((size_t)p->pool_count * g.row);
  s.accumulators = round16((size_t)p->tap_count * p->pool_count * 2 * g.row);
  s.rotated = pixel_reals(p, &g) + norm_reals(p, &g) + hash_reals(p, &g);
  s.first = round16((size_t)p->height * p->width * sizeof(double) / sizeof(real));
  s.total = s.first + 6 * s.h + s.line + s.weights + s.accumulators + s.rotated;
  return s;
}

static size_t scratch_bytes(const ntk_program *p) {
  int rows, cols;
  first_patch(p, &rows, &cols);
  size_t framed = p->channels <= NTK_INNER_CHANNELS ? (size_t)p->channels : 0;
  framed *= (size_t)(p->height + 2 * rows) * (p->width + 2 * cols) * sizeof(double);
  size_t pair = plan_scratch(p).total * sizeof(real), norms = 2 * (size_t)p->height * p->width * sizeof(double);
  if (norms > pair) pair = norms;
  return ((pair > framed ? pair : framed) + 63) / 64 * 64;
}

static double estimated_risk(const tile_state *t) {
  double risk[2];
  for (int k = 0; k < 2; k++) {
    double weight = vec_sum(t->risk_weight[k]);
    risk[k] = weight > 0 ? vec_sum(t->risk[k]) / weight : 0;
  }
  return risk[0] + (t->program->norm_count - 1) * risk[1];
}

static double pair(const ntk_program *p, const void *x, const void *z, const void *products, void *scratch,
                   double *sums) {
  if (!NTK_REAL_F64 && p->want_ntk && p->few_entries && (p->norm_count > DEEP || needs_deficit(p, x, z)))
    return HUGE_VAL;
  tile_state t = {.program = p, .g = layout_of(p), .products = products};
  for (int k = 0; k < 2; k++) t.risk[k] = t.risk_weight[k] = vec_zero();
  scratch_plan sizes = plan_scratch(p);
  double *first_sums = scratch, central_risk = 0;
  real *at = (real *)scratch + sizes.first;
  for (int k = 0; k < 2; k++) {
    t.h_s[k] = at, at += sizes.h;
    t.h_t[k] = at, at += sizes.h;
    t.h_v[k] = at, at += sizes.h;
  }
  memset(at, 0, sizes.line * sizeof(real));
  t.line = at + HALO, at += sizes.line;
  t.col_weights = at, at += sizes.weights;
  memset(t.col_weights, 0, sizes.weights * sizeof(real)); /* lanes beyond the width */
  t.accumulators = at, at += sizes.accumulators;

  t.deficit = needs_deficit(p, x, z);
  if (t.deficit && first_is_exact(p, &t.g))
    t.x_exact = exact_section(p, &t.g, x), t.z_exact = exact_section(p, &t.g, z);
  while (t.first_relu < p->layer_count && !p->layers[t.first_relu].relu) t.first_relu++;
  int exponent = ((const image_head *)x)->exponent + ((const image_head *)z)->exponent;
  t.pair_scale = ldexp(1, -exponent);
  t.x_pixels = image_pixels(x);
  t.x_norms = t.x_pixels + pixel_reals(p, &t.g);
  t.x_hash = (const real_bits *)(t.x_norms + norm_reals(p, &t.g));
  int outputs = p->tap_count * p->pool_count * 2;
  for (int k = 0; k < outputs; k++) sums[k] = 0;
  for (int k = 0; k < p->tile_count; k++) {
    if (k == 0 || p->tiles[k].b != t.b) enter_columns(&t, p->tiles[k].b, z, at);
    run_tile(&t, &p->tiles[k], first_sums, sums);
    /* among several pools a small one must not have its near-duplicates diluted by the planes of a large one */
    if (k == 0 && p->pool_count > 1) central_risk = estimated_risk(&t);
  }
  for (int k = 0; k < outputs; k++) sums[k] = ldexp(sums[k], exponent);
  return fmax(central_risk, estimated_risk(&t));
}

#if NTK_REAL_F64
#define OPS CONCAT(ntk_plane_, NTK_ISA, _f64)
#else
#define OPS CONCAT(ntk_plane_, NTK_ISA, _f32)
#endif
#define STRING2(x) #x
#define STRING(x) STRING2(x)

const ntk_plane_ops OPS = {STRING(NTK_ISA), NTK_REAL_F64, image_bytes, scratch_bytes, prepare, channel_matrix, pair};
