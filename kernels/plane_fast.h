/* Part of plane_cpu.c: one layer, the fast way: 3x3, zero padding, ReLU, no bias. */

/* What a layer does beside the steady state. SIGNED: correlations may be negative. POOLED: not handed on but pooled.
 * In stages also KEEP: into a slot instead; SKIP: with a slot added or a state saved. JUDGED: notes the risk, which
 * costs registers. A function exists for the sets that are named. */
enum {
  SIGNED = 1,
  SKIP = 2,
  KEEP = 4,
  JUDGED = 8,
  POOLED = 16,
  SLOW = 32,
  MIDDLE = 0,
  FIRST = SIGNED | JUDGED,
  LAST = POOLED | JUDGED,
  KEEP_JUDGED = KEEP | JUDGED,
  FIRST_SKIP = SIGNED | SKIP,
  FIRST_SKIP_JUDGED = SIGNED | SKIP | JUDGED,
  FIRST_KEEP = SIGNED | SKIP | KEEP,
  FIRST_KEEP_JUDGED = SIGNED | SKIP | KEEP | JUDGED,
  SKIP_KEEP = SKIP | KEEP,
  SKIP_KEEP_JUDGED = SKIP | KEEP | JUDGED
};

static int layer_kind(const ntk_program *p, const layout *g, int l) {
  const ntk_program_layer *layer = &p->layers[l], *next = layer_chains(p, l) ? layer + 1 : NULL;
  const int sign = layer->signed_rho ? SIGNED : 0, single = layer->rows == 1;
  const int skip = layer->add || layer->save || single ? SKIP : 0;
  const int judged = !NTK_REAL_F64 && p->want_ntk && judged_at(p, layer) >= 0 ? JUDGED : 0;
  if (!g->interleaved || !layer->relu || layer->dual || layer->bias != 0 || layer->rescale != 1) return SLOW;
  if (layer->rows != 3 && !(single && layer->from)) return SLOW;
  if (!next && layer->result) return KEEP | (sign ? SIGNED | SKIP : skip) | judged;
  if (!next) return layer->tap >= 0 && !sign && !skip ? LAST : SLOW;
  if (next->cols != 3 || !next->trained || layer->tap >= 0 || layer->result) return SLOW;
  if (skip) return sign || !judged ? sign | skip | judged : SLOW;
  return sign ? FIRST : MIDDLE;
}

/* Sum of the three h rows around `h`. */
INLINE vec sum3(const real *h, int row) { return vec_load(h) + vec_load(h - row) + vec_load(h + row); }

/* What SKIP kinds read and write beside the h rows, without a branch for every row: zeros where there is nothing to add
 * or nothing to filter, rows for nobody where nothing is to be saved. */
typedef struct side_rows {
  const real *add_s, *add_t;
  real *save_s, *save_t;
  vec scale;
  const real *zeros; /* stands for the rows above and below where the filter has none, or NULL */
} side_rows;

/* The box sum of vector k; `add`: of a slot, for SKIP kinds. */
INLINE vec row_box(const int KIND, const real *h, int row, const side_rows *side, const real *add, int k) {
  h += k * LANES;
  if (!(KIND & SKIP)) return sum3(h, row);
  const real *above = side->zeros ? side->zeros : h - row, *below = side->zeros ? side->zeros : h + row;
  return vec_fma(side->scale, vec_load(add + k * LANES), vec_load(h)) + (vec_load(above) + vec_load(below));
}

/* Where m is more than rounding noise. */
INLINE mask row_apart(const int KIND, const int DEFICIT, vec m) {
  return vec_greater(m, DEFICIT && !(KIND & SIGNED) ? vec_zero() : vec_set((real)NTK_DUAL_SNAP));
}

/* S (DEFICIT: V), D, m and q of a row, from its h rows and those beside. */
INLINE void row_deficit(const int NV, const int KIND, const int DEFICIT, const real *h, const real *h_v, const real *x,
                        const real *z, const side_rows *side, ptrdiff_t slot, vec *s, vec *d, vec *m, vec *q) {
  const int row = NV * LANES;
  const vec gap = vec_set((real)NTK_DUAL_GAP);
  UNROLL for (int k = 0; k < NV; k++) {
    vec n_x = vec_load(x + k * LANES), n_z = vec_load(z + k * LANES);
    vec inverse = vec_load(x + row + k * LANES) * vec_load(z + row + k * LANES);
    vec box = row_box(KIND, h, row, side, side->add_s + slot, k);
    if (DEFICIT && !(KIND & SIGNED)) {
      vec w = vec_fms(n_x, n_z, sum3(h_v + k * LANES, row));
      s[k] = n_x * n_z;
      d[k] = vec_add_where(box, w, vec_greater(w, gap * s[k]));
    } else {
      s[k] = box;
      d[k] = vec_fms(n_x, n_z, KIND & SIGNED ? vec_abs(box) : box);
    }
    m[k] = d[k] * inverse;
    mask apart = row_apart(KIND, DEFICIT, m[k]);
    if (DEFICIT && (KIND & SIGNED)) d[k] = vec_keep(d[k], apart);
    q[k] = vec_root(m[k], apart);
  }
}

/* The dual of a row. In: row_deficit's values and the sums of T. Out: s and tt, of a deficit pair also d and v = n_x
 * n_z, all as the next layer's filter takes them (KEEP: tt alone). */
INLINE void row_activate(const int NV, const int NTK, const int DEFICIT, const int KIND, const vec *sum, vec *s, vec *d,
                         const vec *m, const vec *q, vec *v, vec *tt) {
  vec p[MAX_FAST], poly[MAX_FAST];
  if (KIND == FIRST)
    NTK_DUALS_WHOLE(p, poly, m, NV, NTK);
  else
    NTK_DUALS_LATER(p, poly, m, NV, NTK);
  UNROLL for (int k = 0; k < NV; k++) {
    mask positive, apart = row_apart(KIND, DEFICIT, m[k]);
    if (KIND & SIGNED) positive = vec_greater(s[k], vec_zero());
    vec up = vec_root_mul(q[k], d[k], apart);
    if (DEFICIT) {
      if (!(KIND & SIGNED)) v[k] = s[k];
      d[k] = vec_fnma(up, poly[k], KIND & SIGNED ? vec_select(positive, d[k], v[k]) : d[k]);
      s[k] = v[k] - d[k];
    } else {
      s[k] = vec_fma(up, poly[k], KIND & SIGNED ? vec_keep(s[k], positive) : s[k]);
    }
    if (!NTK) continue;
    vec k0 = vec_root_fnma(q[k], p[k], vec_set(1), apart);
    if (KIND & SIGNED) k0 = vec_select(positive, k0, vec_root_mul(q[k], p[k], apart));
    tt[k] = KIND & (POOLED | KEEP) ? vec_mul(sum[k], k0) : vec_fma(sum[k], k0, s[k]);
  }
}

/* The sums of T of a row; the state before the activation into a slot. */
INLINE void row_tangents(const int NV, const int NTK, const int KIND, const real *h_t, const side_rows *side,
                         ptrdiff_t slot, const vec *s, vec *sum) {
  UNROLL for (int k = 0; k < NV; k++) {
    if (NTK) sum[k] = row_box(KIND, h_t, NV * LANES, side, side->add_t + slot, k);
    if (!(KIND & SKIP)) continue;
    vec_store(side->save_s + slot + k * LANES, s[k]);
    if (NTK) vec_store(side->save_t + slot + k * LANES, sum[k]);
  }
}

/* Whether a layer does nothing to a state from a slot but the activation: then that is what is added, to zeros. */
INLINE int enters_alone(const ntk_program_layer *layer) {
  return layer->from && layer->rows == 1 && !layer->add && layer->gain == 0;
}

INLINE side_rows rows_beside(const tile_state *t, const ntk_program_layer *layer) {
  const int added = enters_alone(layer) ? layer->from : layer->add;
  side_rows side = {t->zeros, t->zeros, t->nobody, t->nobody, vec_zero(), layer->rows == 1 ? t->zeros : NULL};
  if (added) {
    side.add_s = t->slots[added], side.add_t = side.add_s + slot_plane(t->program, &t->g);
    side.scale = vec_set(layer->add ? (real)layer->add_scale : 1);
  }
  if (layer->save) {
    side.save_s = t->slots[layer->save], side.save_t = side.save_s + slot_plane(t->program, &t->g);
  }
  return side;
}

/* The sweep is software-pipelined by one row, so that the square roots of row r + 1 run beside the polynomials of row
 * r. After the last row its loads repeat it: harmless, and the loop stays free of branches. */
INLINE void layer_fast(const int NV, const int NTK, const int DEFICIT, const int ALIGNED, const int KIND, tile_state *t,
                       int l, int from, int to) {
  const ntk_program_layer *layer = &t->program->layers[l];
  const int row = NV * LANES;
  const size_t table = (size_t)layer->table * t->program->height * row;
  const real *const x = t->x_norms + table, *const z = t->z_norms + table;
  const real *h_s = t->h_s[from], *const h_v = t->h_v[from];
  /* S and T start equal */
  const real *h_t = (KIND & SIGNED) && l == 0 && !layer->from && layer->trained ? h_s : t->h_t[from];
  real *const to_s = t->h_s[to], *const to_t = t->h_t[to], *const to_v = t->h_v[to];
  const mask up = t->up, down = t->down;
  const int one_pool = t->program->pool_count == 1; /* its sums stay in registers */
  const int risk = DEFICIT ? KIND == LAST : beside_itself(t) ? -1 : judged_at(t->program, layer);
  const row_place *at = t->places + t->first_place, *const end = at + t->place_count;
  row_place here = at[0], next = at[1];
  vec s[MAX_FAST], d[MAX_FAST], m[MAX_FAST], q[MAX_FAST], v[MAX_FAST], pool_s[MAX_FAST], pool_t[MAX_FAST];
  vec weight = vec_zero();
  side_rows side;
  real *result;
  const size_t plane = slot_plane(t->program, &t->g);
  if (KIND & SKIP) side = rows_beside(t, layer);
  if ((KIND & SKIP) && enters_alone(layer)) h_s = h_t = t->zeros;
  if (KIND & KEEP) result = t->slots[layer->result];
  if (KIND == LAST) UNROLL for (int k = 0; k < NV; k++) pool_s[k] = pool_t[k] = vec_zero();
  row_deficit(NV, KIND, DEFICIT, h_s + here.h, h_v + here.h, x + here.x, z + here.z, &side, here.slot, s, d, m, q);
  for (; at < end; at++) {
    vec s_next[MAX_FAST], d_next[MAX_FAST], m_next[MAX_FAST], q_next[MAX_FAST], tt[MAX_FAST], sum[MAX_FAST];
    if ((KIND & JUDGED) && NTK && risk >= 0) UNROLL for (int k = 0; k < NV; k++) {
        if (DEFICIT)
          v[k] = KIND & SIGNED ? vec_mul(vec_load(x + here.x + k * LANES), vec_load(z + here.z + k * LANES)) : s[k];
        else
          v[k] = vec_add(d[k], KIND & SIGNED ? vec_abs(s[k]) : s[k]); /* n_x n_z, but for rounding */
        if (!NTK_REAL_F64)
          note_risk(t, risk, here.x / 2 + k * LANES, here.z / 2 + k * LANES, v[k], m[k], q[k], &weight);
      }
    row_tangents(NV, NTK, KIND, h_t + here.h, &side, here.slot, s, sum);
    row_deficit(NV, KIND, DEFICIT, h_s + next.h, h_v + next.h, x + next.x, z + next.z, &side, next.slot, s_next, d_next,
                m_next, q_next);
    row_activate(NV, NTK, DEFICIT, KIND, sum, s, d, m, q, v, tt);
    if (KIND == LAST && one_pool) {
      const vec pool_weight = pool_row_weight(t, t->program->pools, (int)(here.x / (2 * row)));
      UNROLL for (int k = 0; k < NV; k++) pool_s[k] = vec_fma(pool_weight, s[k], pool_s[k]);
      if (NTK) UNROLL for (int k = 0; k < NV; k++) pool_t[k] = vec_fma(pool_weight, tt[k], pool_t[k]);
    } else if (KIND == LAST) {
      pool_row(NV, t, (int)(here.x / (2 * row)), s, NTK ? tt : s);
    } else if (KIND & KEEP) {
      UNROLL for (int k = 0; k < NV; k++) vec_store(result + here.slot + k * LANES, s[k]);
      if (NTK) UNROLL for (int k = 0; k < NV; k++) vec_store(result + plane + here.slot + k * LANES, tt[k]);
    } else {
      row_sum3(NV, ALIGNED, t, up, down, DEFICIT ? d : s, to_s + here.h);
      if (NTK) row_sum3(NV, ALIGNED, t, up, down, tt, to_t + here.h);
      if (DEFICIT) row_sum3(NV, ALIGNED, t, up, down, v, to_v + here.h);
    }
    UNROLL for (int k = 0; k < NV; k++) s[k] = s_next[k], d[k] = d_next[k], m[k] = m_next[k], q[k] = q_next[k];
    here = next, next = at[2];
  }
  if ((KIND & JUDGED) && NTK && risk >= 0) t->risk_weight[risk] = vec_add(t->risk_weight[risk], weight);
  if (KIND == LAST && one_pool) UNROLL for (int k = 0; k < NV; k++) {
      vec_store(pool_sums(t, 0) + k * LANES, NTK ? pool_t[k] : pool_s[k]);
      vec_store(pool_sums(t, 0) + (NV + k) * LANES, pool_s[k]);
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
#define STAGE_KINDS(nv, state, aligned)            \
  FAST_CASE(nv, state, aligned, KEEP)              \
  FAST_CASE(nv, state, aligned, KEEP_JUDGED)       \
  FAST_CASE(nv, state, aligned, SKIP)              \
  FAST_CASE(nv, state, aligned, FIRST_SKIP)        \
  FAST_CASE(nv, state, aligned, FIRST_SKIP_JUDGED) \
  FAST_CASE(nv, state, aligned, FIRST_KEEP)        \
  FAST_CASE(nv, state, aligned, FIRST_KEEP_JUDGED) \
  FAST_CASE(nv, state, aligned, SKIP_KEEP)         \
  FAST_CASE(nv, state, aligned, SKIP_KEEP_JUDGED)
#define FAST_ALL(nv)           \
  FAST_KINDS(nv, STATE_S, 0)   \
  FAST_KINDS(nv, STATE_S, 1)   \
  FAST_KINDS(nv, STATE_ST, 0)  \
  FAST_KINDS(nv, STATE_ST, 1)  \
  FAST_KINDS(nv, STATE_DTV, 0) \
  FAST_KINDS(nv, STATE_DTV, 1) \
  STAGE_KINDS(nv, STATE_S, 0) STAGE_KINDS(nv, STATE_S, 1) STAGE_KINDS(nv, STATE_ST, 0) STAGE_KINDS(nv, STATE_ST, 1)
FAST_ALL(1)
FAST_ALL(2)
FAST_ALL(4)

typedef void (*layer_function)(tile_state *t, int l, int from, int to);
#define FAST_NAME(nv, state, aligned, kind) [kind] = fast_##nv##_##state##_##aligned##_##kind
#define FAST_ENTRY(nv, state, aligned) \
  FAST_NAME(nv, state, aligned, FIRST), FAST_NAME(nv, state, aligned, MIDDLE), FAST_NAME(nv, state, aligned, LAST)
#define STAGE_ENTRY(nv, state, aligned)                                                                              \
  {                                                                                                                  \
    FAST_ENTRY(nv, state, aligned), FAST_NAME(nv, state, aligned, KEEP), FAST_NAME(nv, state, aligned, KEEP_JUDGED), \
        FAST_NAME(nv, state, aligned, SKIP), FAST_NAME(nv, state, aligned, FIRST_SKIP),                              \
        FAST_NAME(nv, state, aligned, FIRST_SKIP_JUDGED), FAST_NAME(nv, state, aligned, FIRST_KEEP),                 \
        FAST_NAME(nv, state, aligned, FIRST_KEEP_JUDGED), FAST_NAME(nv, state, aligned, SKIP_KEEP),                  \
        FAST_NAME(nv, state, aligned, SKIP_KEEP_JUDGED)                                                              \
  }
#define FAST_STATES(nv)                                                   \
  {                                                                       \
    {STAGE_ENTRY(nv, STATE_S, 0), STAGE_ENTRY(nv, STATE_S, 1)},           \
        {STAGE_ENTRY(nv, STATE_ST, 0), STAGE_ENTRY(nv, STATE_ST, 1)},     \
        {{FAST_ENTRY(nv, STATE_DTV, 0)}, {FAST_ENTRY(nv, STATE_DTV, 1)}}, \
  }
static const layer_function fast_table[3][STATES][2][SLOW] = {FAST_STATES(1), FAST_STATES(2), FAST_STATES(4)};

static const layer_function *layer_functions(const tile_state *t) {
  int state = t->deficit ? STATE_DTV : t->program->want_ntk ? STATE_ST : STATE_S;
  return fast_table[t->g.shift][state][t->aligned];
}
