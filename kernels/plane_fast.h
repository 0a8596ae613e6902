/* Part of plane_cpu.c: one layer, the fast way: 3x3, zero padding, ReLU, no bias. */

/* FIRST: signed correlations. MIDDLE: the steady state. LAST: pooled instead of stored. In stages also: KEEP with the
 * result into a slot instead, SKIP with a slot added or a state saved. */
enum { FIRST, MIDDLE, LAST, KEEP, FIRST_SKIP, MIDDLE_SKIP, FIRST_SKIP_KEEP, MIDDLE_SKIP_KEEP, SLOW };
#define KIND_SIGNED(kind) ((kind) == FIRST || (kind) == FIRST_SKIP || (kind) == FIRST_SKIP_KEEP)
#define KIND_KEEPS(kind) ((kind) == KEEP || (kind) == FIRST_SKIP_KEEP || (kind) == MIDDLE_SKIP_KEEP)
#define KIND_SKIPS(kind) ((kind) >= FIRST_SKIP)

static int layer_kind(const ntk_program *p, const layout *g, int l) {
  const ntk_program_layer *layer = &p->layers[l], *next = layer_chains(p, l) ? layer + 1 : NULL;
  const int sign = layer->signed_rho, single = layer->rows == 1, skip = layer->add || layer->save || single;
  if (!g->interleaved || !layer->relu || layer->dual || layer->bias != 0 || layer->rescale != 1) return SLOW;
  if (layer->rows != 3 && !(single && layer->from)) return SLOW;
  if (!next && layer->result) return sign ? FIRST_SKIP_KEEP : skip ? MIDDLE_SKIP_KEEP : KEEP;
  if (!next) return layer->tap >= 0 && !sign && !skip ? LAST : SLOW;
  if (next->cols != 3 || !next->trained || layer->tap >= 0 || layer->result) return SLOW;
  if (skip) return sign ? FIRST_SKIP : MIDDLE_SKIP;
  return sign ? FIRST : MIDDLE;
}

/* Sum of the three h rows around `h`. */
INLINE vec sum3(const real *h, int row) { return vec_load(h) + vec_load(h - row) + vec_load(h + row); }

/* What SKIP kinds read and write beside the h rows, for every row without a branch: rows of zeros where there is
 * nothing to add or no row above and below to be summed, a row for nobody where nothing is to be saved. */
typedef struct side_rows {
  slot_row add, save;
  vec scale;
  const real *zeros; /* stands for the rows above and below, or NULL */
} side_rows;

INLINE vec row_box(const int KIND, const real *h, int row, const side_rows *side, int k) {
  if (!KIND_SKIPS(KIND)) return sum3(h + k * LANES, row);
  const real *above = side->zeros ? side->zeros : h - row, *below = side->zeros ? side->zeros : h + row;
  return vec_load(h + k * LANES) + vec_load(above + k * LANES) + vec_load(below + k * LANES);
}

/* S (DEFICIT: V), D, m and q of a row, from its h rows and those beside. */
INLINE void row_deficit(const int NV, const int KIND, const int DEFICIT, const real *h, const real *h_v, const real *x,
                        const real *z, const side_rows *side, vec *s, vec *d, vec *m, vec *q) {
  const int row = NV * LANES;
  const vec snap = vec_set((real)NTK_DUAL_SNAP), gap = vec_set((real)NTK_DUAL_GAP);
  UNROLL for (int k = 0; k < NV; k++) {
    vec n_x = vec_load(x + k * LANES), n_z = vec_load(z + k * LANES), box;
    mask apart;
    box = row_box(KIND, h, row, side, k);
    if (KIND_SKIPS(KIND)) box = vec_fma(side->scale, vec_load(side->add.s + k * LANES), box);
    if (DEFICIT && !KIND_SIGNED(KIND)) {
      vec w = vec_fms(n_x, n_z, sum3(h_v + k * LANES, row));
      s[k] = n_x * n_z;
      d[k] = vec_add_where(box, w, vec_greater(w, gap * s[k]));
      m[k] = d[k] * vec_load(x + row + k * LANES) * vec_load(z + row + k * LANES);
      apart = vec_greater(m[k], vec_zero());
    } else {
      s[k] = box;
      d[k] = vec_fms(n_x, n_z, KIND_SIGNED(KIND) ? vec_abs(box) : box);
      m[k] = d[k] * vec_load(x + row + k * LANES) * vec_load(z + row + k * LANES);
      apart = vec_greater(m[k], snap);
      if (DEFICIT) d[k] = vec_keep(d[k], apart);
    }
    q[k] = vec_sqrt_where(m[k], apart);
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
    mask positive;
    if (KIND_SIGNED(KIND)) positive = vec_greater(s[k], vec_zero());
    vec up = d[k] * q[k];
    if (DEFICIT) {
      if (!KIND_SIGNED(KIND)) v[k] = s[k];
      d[k] = vec_fnma(up, poly[k], KIND_SIGNED(KIND) ? vec_select(positive, d[k], v[k]) : d[k]);
      s[k] = v[k] - d[k];
    } else {
      s[k] = vec_fma(up, poly[k], KIND_SIGNED(KIND) ? vec_keep(s[k], positive) : s[k]);
    }
    if (!NTK) continue;
    vec k0 = vec_fnma(q[k], p[k], vec_set(1));
    if (KIND_SIGNED(KIND)) k0 = vec_select(positive, k0, vec_mul(q[k], p[k]));
    tt[k] = KIND == LAST || KIND_KEEPS(KIND) ? vec_mul(sum[k], k0) : vec_fma(sum[k], k0, s[k]);
  }
}

/* The sums of T of a row; the state before the activation into a slot. */
INLINE void row_tangents(const int NV, const int NTK, const int KIND, const real *h_t, const side_rows *side,
                         const vec *s, vec *sum) {
  UNROLL for (int k = 0; k < NV; k++) {
    if (NTK) sum[k] = row_box(KIND, h_t, NV * LANES, side, k);
    if (!KIND_SKIPS(KIND)) continue;
    if (NTK) sum[k] = vec_fma(side->scale, vec_load(side->add.t + k * LANES), sum[k]);
    vec_store(side->save.s + k * LANES, s[k]);
    if (NTK) vec_store(side->save.t + k * LANES, sum[k]);
  }
}

INLINE side_rows rows_beside(const tile_state *t, const ntk_program_layer *layer) {
  side_rows side = {.scale = vec_zero(), .zeros = layer->rows == 1 ? t->zeros : NULL};
  const slot_row zeros = {t->zeros, t->zeros, 0}, nobody = {t->nobody, t->nobody, 0};
  side.add = layer->add ? slot_at(t, layer->add, t->first_row) : zeros;
  side.save = layer->save ? slot_at(t, layer->save, t->first_row) : nobody;
  if (layer->add) side.scale = vec_set((real)layer->add_scale);
  return side;
}

/* The sweep is software-pipelined by one row, so that the square roots of row r + 1 run beside the polynomials of row
 * r. */
INLINE void layer_fast(const int NV, const int NTK, const int DEFICIT, const int ALIGNED, const int KIND, tile_state *t,
                       int l, int from, int to) {
  const ntk_program_layer *layer = &t->program->layers[l];
  const int row = NV * LANES, height = t->program->height, last = t->first_row + t->rows - 1;
  const int partner = ntk_axis_partner(t->first_row, height, t->a);
  const real *x = t->x_norms + ((size_t)layer->table * height + 2 * t->first_row) * row;
  const real *z = t->z_norms + ((size_t)layer->table * height + 2 * partner) * row;
  const real *h_s = t->h_s[from], *h_v = t->h_v[from];
  /* S and T start equal */
  const real *h_t = KIND_SIGNED(KIND) && l == 0 && !layer->from && layer->trained ? h_s : t->h_t[from];
  const mask up = t->up, down = t->down;
  const int one_pool = t->program->pool_count == 1; /* its sums stay in registers */
  const int risk = KIND == MIDDLE ? -1 : DEFICIT ? KIND == LAST : judged_at(t->program, layer);
  size_t at = (size_t)row_position(t, t->first_row) * row;
  vec s[MAX_FAST], d[MAX_FAST], m[MAX_FAST], q[MAX_FAST], v[MAX_FAST], pool_s[MAX_FAST], pool_t[MAX_FAST];
  side_rows side;
  slot_row result;
  if (KIND_SKIPS(KIND)) side = rows_beside(t, layer);
  if (KIND_KEEPS(KIND)) result = slot_at(t, layer->result, t->first_row);
  if (KIND == LAST) UNROLL for (int k = 0; k < NV; k++) pool_s[k] = pool_t[k] = vec_zero();
  row_deficit(NV, KIND, DEFICIT, h_s + at, h_v + at, x, z, &side, s, d, m, q);
  for (int r = t->first_row; r <= last; r++) {
    vec s_next[MAX_FAST], d_next[MAX_FAST], m_next[MAX_FAST], q_next[MAX_FAST], tt[MAX_FAST], sum[MAX_FAST];
    if (KIND != MIDDLE && NTK && risk >= 0) UNROLL for (int k = 0; k < NV; k++) {
        if (DEFICIT)
          v[k] = KIND_SIGNED(KIND) ? vec_mul(vec_load(x + k * LANES), vec_load(z + k * LANES)) : s[k];
        else
          v[k] = vec_add(d[k], KIND_SIGNED(KIND) ? vec_abs(s[k]) : s[k]); /* n_x n_z, but for rounding */
        if (!NTK_REAL_F64) note_risk(t, risk, r, k, v[k], m[k], q[k]);
      }
    /* after the last row the loads repeat it: harmless, and the loop stays free of branches */
    const int step = r < last, cross = r + 1 == t->seam;
    size_t at_next = at + (step ? row : 0) + (cross && step ? row : 0);
    x += step ? 2 * row : 0;
    z += step ? 2 * row : 0;
    z -= cross && step ? (size_t)height * 2 * row : 0;
    row_tangents(NV, NTK, KIND, h_t + at, &side, s, sum);
    if (KIND_SKIPS(KIND)) slot_step(&side.add, step), slot_step(&side.save, 1);
    row_deficit(NV, KIND, DEFICIT, h_s + at_next, h_v + at_next, x, z, &side, s_next, d_next, m_next, q_next);
    row_activate(NV, NTK, DEFICIT, KIND, sum, s, d, m, q, v, tt);
    if (KIND == LAST && one_pool) {
      const vec weight = pool_row_weight(t, t->program->pools, r);
      UNROLL for (int k = 0; k < NV; k++) pool_s[k] = vec_fma(weight, s[k], pool_s[k]);
      if (NTK) UNROLL for (int k = 0; k < NV; k++) pool_t[k] = vec_fma(weight, tt[k], pool_t[k]);
    } else if (KIND == LAST) {
      pool_row(NV, t, layer->tap, r, s, NTK ? tt : s);
    } else if (KIND_KEEPS(KIND)) {
      UNROLL for (int k = 0; k < NV; k++) vec_store(result.s + k * LANES, s[k]);
      if (NTK) UNROLL for (int k = 0; k < NV; k++) vec_store(result.t + k * LANES, tt[k]);
      slot_step(&result, 1);
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
#define STAGE_KINDS(nv, state, aligned)          \
  FAST_CASE(nv, state, aligned, KEEP)            \
  FAST_CASE(nv, state, aligned, FIRST_SKIP)      \
  FAST_CASE(nv, state, aligned, MIDDLE_SKIP)     \
  FAST_CASE(nv, state, aligned, FIRST_SKIP_KEEP) \
  FAST_CASE(nv, state, aligned, MIDDLE_SKIP_KEEP)
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
#define FAST_NAME(nv, state, aligned, kind) fast_##nv##_##state##_##aligned##_##kind
#define FAST_ENTRY(nv, state, aligned) \
  FAST_NAME(nv, state, aligned, FIRST), FAST_NAME(nv, state, aligned, MIDDLE), FAST_NAME(nv, state, aligned, LAST)
#define STAGE_ENTRY(nv, state, aligned)                                                                             \
  {                                                                                                                 \
    FAST_ENTRY(nv, state, aligned), FAST_NAME(nv, state, aligned, KEEP), FAST_NAME(nv, state, aligned, FIRST_SKIP), \
        FAST_NAME(nv, state, aligned, MIDDLE_SKIP), FAST_NAME(nv, state, aligned, FIRST_SKIP_KEEP),                 \
        FAST_NAME(nv, state, aligned, MIDDLE_SKIP_KEEP)                                                             \
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
