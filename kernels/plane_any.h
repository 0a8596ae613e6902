/* Part of plane_cpu.c: one layer, the general way. Any odd filter, both paddings, biases, layers without ReLU. */

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

/* The lanes of vector k that hold columns of the image. */
static uint64_t inside_bits(const tile_state *t, int k) {
  uint64_t bits = 0;
  for (int lane = 0; lane < LANES; lane++) {
    int j = t->g.interleaved ? lane * t->g.nv + k : k * LANES + lane;
    bits |= (uint64_t)(j < t->program->width) << lane;
  }
  return bits;
}

/* The dual of one row. In: pre-activation S and T (after the first ReLU of a deficit pair: box sums of D, T and V).
 * Out: v k1 and T k0 (D, T k0 and V). */
static void activate_row(tile_state *t, const ntk_program_layer *layer, int r, vec *s, vec *tt, vec *vv) {
  const ntk_program *p = t->program;
  int row = t->g.row, partner = ntk_axis_partner(r, p->height, t->a), signed_rho = layer->signed_rho;
  const int whole = whole_duals(layer);
  const int risk = !p->want_ntk || NTK_REAL_F64 || beside_itself(t) ? -1 : judged_at(p, layer);
  const real *x = t->x_norms + ((size_t)layer->table * p->height + 2 * r) * row;
  const real *z = t->z_norms + ((size_t)layer->table * p->height + 2 * partner) * row;
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
    m[0] = d * (vec_load(x + row + k * LANES) * vec_load(z + row + k * LANES));
    mask apart = vec_greater(m[0], from_deficit ? vec_zero() : snap);
    q = vec_sqrt_where(m[0], apart);
    if (risk >= 0)
      note_risk(t, risk, (ptrdiff_t)r * row + k * LANES, (ptrdiff_t)partner * row + k * LANES, v, m[0], q,
                &t->risk_weight[risk]);
    mask positive = vec_greater(from_deficit ? v : s[k], vec_zero());
    if (whole)
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

/* The same for activations other than ReLU: covariances proper, and alpha is 1 behind it. */
static void activate_smooth(tile_state *t, const ntk_program_layer *layer, int r, vec *s, vec *tt) {
#if NTK_REAL_F64
  const ntk_program *p = t->program;
  const int row = t->g.row, sides = ntk_dual_side_count(layer->dual);
  const int partner = ntk_axis_partner(r, p->height, t->a);
  const real *x = t->x_norms + ((size_t)layer->table * p->height + (size_t)sides * r) * row;
  const real *z = t->z_norms + ((size_t)layer->table * p->height + (size_t)sides * partner) * row;
  const vec covariance = vec_set(layer->dual_alpha / t->pair_scale), tangent = vec_set(layer->dual_alpha);
  for (int k = 0; k < t->g.nv; k++) s[k] = s[k] * covariance, tt[k] = tt[k] * tangent;
  CONCAT(ntk_dual_row_, NTK_ISA, )
  (layer->dual, (size_t)row, (size_t)row, x, 1, z, (real *)s, p->want_ntk ? (real *)tt : NULL);
  for (int k = 0; k < t->g.nv; k++) {
    uint64_t bits = inside_bits(t, k); /* lanes beyond the width stay zero */
    s[k] = vec_keep(s[k] * vec_set(t->pair_scale), mask_make(bits)), tt[k] = vec_keep(tt[k], mask_make(bits));
  }
#else
  (void)t, (void)layer, (void)r, (void)s, (void)tt; /* such networks are computed in float64 */
#endif
}

/* Row sums of a filter `cols` wide; NV: vectors a row, 0 for those of t. */
INLINE void row_sums(const int NV, const tile_state *t, int cols, int circular, const vec *v, real *out) {
  const int nv = NV ? NV : t->g.nv;
  if (cols == 1) {
    for (int k = 0; k < nv; k++) vec_store(out + k * LANES, v[k]);
  } else if (t->g.interleaved) {
    if (NV == 1 || (NV == 0 && nv == 1))
      row_sum3(1, 0, t, t->up, t->down, v, out);
    else if (NV == 2 || (NV == 0 && nv == 2))
      row_sum3(2, 0, t, t->up, t->down, v, out);
    else if (NV == 4 || NV == 0)
      row_sum3(4, 0, t, t->up, t->down, v, out);
  } else {
    for (int k = 0; k < nv; k++) vec_store(t->line + k * LANES, v[k]);
    row_sum_any(t, cols, circular, t->line, out);
  }
}

/* Forms and stores the row sums that the next layer's filter needs. */
static void store_row(const tile_state *t, const ntk_program_layer *next, int r, const vec *s, const vec *tt,
                      const vec *vv, int to) {
  const size_t at = (size_t)row_position(t, r) * t->g.row;
  row_sums(0, t, next->cols, next->circular, s, t->h_s[to] + at);
  if (t->program->want_ntk) row_sums(0, t, next->cols, next->circular, tt, t->h_t[to] + at);
  if (vv) row_sums(0, t, next->cols, next->circular, vv, t->h_v[to] + at);
}

/* Adds the bias to the lanes inside the image. */
static void add_bias(const tile_state *t, real bias, vec *v) {
  for (int k = 0; k < t->g.nv; k++) v[k] = vec_add_where(v[k], vec_set(bias), mask_make(inside_bits(t, k)));
}

/* Row sums of the state in a slot, for the filter of layer l. */
static void enter_slot(tile_state *t, int l, int to) {
  const ntk_program *p = t->program;
  const ntk_program_layer *layer = &p->layers[l];
  slot_row at = slot_at(t, layer->from, t->first_row);
  const vec gain = vec_set((real)layer->gain);
  for (int r = t->first_row; r < t->first_row + t->rows; r++, slot_step(&at, 1)) {
    vec s[MAX_NV], tt[MAX_NV];
    for (int k = 0; k < t->g.nv; k++) {
      s[k] = vec_load(at.s + k * LANES);
      tt[k] = p->want_ntk ? vec_load(at.t + k * LANES) : vec_zero();
      tt[k] = vec_fma(gain, s[k], tt[k]);
    }
    store_row(t, layer, r, s, tt, NULL, to);
  }
}

INLINE void store_slot(const tile_state *t, int slot, int r, const vec *s, const vec *tt) {
  const slot_row at = slot_at(t, slot, r);
  for (int k = 0; k < t->g.nv; k++) {
    vec_store(at.s + k * LANES, s[k]);
    if (t->program->want_ntk) vec_store(at.t + k * LANES, tt[k]);
  }
}

static void layer_any(tile_state *t, int l, int from, int to) {
  const ntk_program *p = t->program;
  const ntk_program_layer *layer = &p->layers[l], *next = layer_chains(p, l) ? layer + 1 : NULL;
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
    if (layer->bias > 0) add_bias(t, bias, deficit_in ? vv : s);
    if (layer->constant > 0) add_bias(t, (real)(layer->constant * t->pair_scale), tt);
    if (layer->add) {
      const vec scale = vec_set((real)layer->add_scale);
      const slot_row add = slot_at(t, layer->add, r);
      for (int k = 0; k < nv; k++) {
        s[k] = vec_fma(scale, vec_load(add.s + k * LANES), s[k]);
        if (p->want_ntk) tt[k] = vec_fma(scale, vec_load(add.t + k * LANES), tt[k]);
      }
    }
    if (layer->save) store_slot(t, layer->save, r, s, tt);
    if (layer->dual)
      activate_smooth(t, layer, r, s, tt);
    else if (layer->relu)
      activate_row(t, layer, r, s, tt, vv);
    if (layer->rescale != 1)
      for (int k = 0; k < nv; k++) s[k] = s[k] * rescale, tt[k] = tt[k] * rescale, vv[k] = vv[k] * rescale;
    vec covariance[MAX_NV];
    for (int k = 0; k < nv; k++) covariance[k] = deficit_out ? vec_sub(vv[k], s[k]) : s[k];
    if (layer->tap >= 0) pool_row(nv, t, r, covariance, tt);
    if (layer->result) store_slot(t, layer->result, r, covariance, tt);
    if (!next) continue;
    if (next->gain != 0)
      for (int k = 0; k < nv; k++) tt[k] = vec_fma(vec_set((real)next->gain), covariance[k], tt[k]);
    store_row(t, next, r, s, tt, deficit_out ? vv : NULL, to);
  }
}
