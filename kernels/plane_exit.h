/* Part of plane_cpu.c: states that leave a stage through an average pooling or a subsampling into a buffer.
 *
 * Entry (i, j, i', j') of the stage goes to every (I, J, I', J') whose windows hold i, j, i' and j': rows first, tile
 * by tile; once all tiles of one column offset b are through, columns. Both in a fixed order, so that sums are
 * reproducible. Sums of rows are kept as [a'][I][S, T][lanes] for the target's row offset a'.
 */

/* Input index c of output I's window, or -1 outside. */
INLINE int window_input(const ntk_window *w, int output, int c) {
  const int at = w->stride * output - w->before + c;
  if (w->circular) return ((at % w->inputs) + w->inputs) % w->inputs;
  return at >= 0 && at < w->inputs ? at : -1;
}

INLINE real window_weight(const ntk_window *w, int a, int b) {
  return w->weights ? (real)(w->weights[a] * w->weights[b]) : 1;
}

static size_t exit_reals(const layout *g, const ntk_exit *e) {
  return (size_t)e->rows.outputs * e->rows.outputs * 2 * g->row;
}

/* A column of the sums that goes to a column of the tiles of offset b. */
typedef struct column_move {
  int from, to, b;
  real weight;
} column_move;

/* Windows that hold one input, at most. */
INLINE int window_overlap(const ntk_window *w) { return (w->size + w->stride - 1) / w->stride + (w->circular != 0); }

static size_t exit_moves(const ntk_exit *e) {
  return (size_t)e->cols.outputs * e->cols.size * window_overlap(&e->cols);
}

/* The outputs whose windows hold input i: list[start[i]] .. list[start[i + 1] - 1]. */
typedef struct window_table {
  short *start, *list;
} window_table;

static size_t table_shorts(const ntk_window *w) { return (size_t)w->inputs + 1 + (size_t)w->outputs * w->size; }

static window_table fill_table(const ntk_window *w, short *memory) {
  const window_table table = {memory, memory + w->inputs + 1};
  short count = 0;
  for (int i = 0; i < w->inputs; i++) {
    table.start[i] = count;
    for (short output = 0; output < w->outputs; output++)
      for (int c = 0; c < w->size; c++)
        if (window_input(w, output, c) == i) table.list[count++] = output;
  }
  table.start[w->inputs] = count;
  return table;
}

/* Sum of the rows of a slot that a filter at row r covers. */
INLINE void exit_column_sums(int nv, const tile_state *t, const ntk_exit *e, int r, const real *slot, vec *sum) {
  const int row = t->g.row, height = t->program->height, w = e->filter_rows / 2;
  for (int k = 0; k < nv; k++) sum[k] = vec_load(slot + (size_t)r * row + k * LANES);
  for (int i = r - w; i <= r + w; i++) {
    const int n = e->circular ? ((i % height) + height) % height : i;
    if (i == r || n < 0 || n >= height) continue;
    if (!e->circular && ntk_axis_offset(n, height, t->a) != ntk_axis_offset(r, height, t->a)) continue;
    for (int k = 0; k < nv; k++) sum[k] = sum[k] + vec_load(slot + (size_t)n * row + k * LANES);
  }
}

INLINE void exit_filter_rows(const int NV, const tile_state *t, const ntk_exit *e, int r, real *out) {
  const int nv = NV ? NV : t->g.nv;
  const int row = t->g.row, ntk = t->program->want_ntk;
  const real *slot = slot_at(t, e->slot, 0).s;
  vec s[MAX_NV], tt[MAX_NV];
  exit_column_sums(nv, t, e, r, slot, s);
  row_sums(NV, t, e->filter_cols, e->circular, s, out);
  if (ntk) {
    exit_column_sums(nv, t, e, r, slot + slot_plane(t->program, &t->g), tt);
    row_sums(NV, t, e->filter_cols, e->circular, tt, out + row);
    if (e->gain != 0) {
      const vec gain = vec_set((real)e->gain);
      for (int k = 0; k < nv; k++) tt[k] = vec_fma(gain, vec_load(out + k * LANES), vec_load(out + row + k * LANES));
      if (e->constant > 0) add_bias(t, (real)(e->constant * t->pair_scale), tt);
      for (int k = 0; k < nv; k++) vec_store(out + row + k * LANES, tt[k]);
    }
  }
  if (e->bias > 0) {
    for (int k = 0; k < nv; k++) s[k] = vec_load(out + k * LANES);
    add_bias(t, (real)(e->bias * t->pair_scale), s);
    for (int k = 0; k < nv; k++) vec_store(out + k * LANES, s[k]);
  }
}

/* Row r of the state behind the exit's filter: S, then T. */
static void exit_filter(const tile_state *t, const ntk_exit *e, int r, real *out) {
  if (t->g.nv == 1)
    exit_filter_rows(1, t, e, r, out);
  else if (t->g.nv == 2)
    exit_filter_rows(2, t, e, r, out);
  else if (t->g.nv == 4)
    exit_filter_rows(4, t, e, r, out);
  else
    exit_filter_rows(0, t, e, r, out);
}

INLINE int exit_is_filtered(const ntk_exit *e) {
  return e->filter_rows * e->filter_cols > 1 || e->gain != 0 || e->bias > 0;
}

/* ---- windows of two, or every second entry ---- */

/* Whether a window takes entries 2 I + c alone: c = 0 and 1, or one of them. */
static int halves(const ntk_window *w) {
  const int known = (w->size == 2 && w->before == 0) || (w->size == 1 && w->before <= 0 && w->before > -2);
  return known && w->stride == 2 && w->inputs == 2 * w->outputs && !w->circular && !w->weights;
}

/* Then columns 2 J + c of a row should be whole vectors, or the lanes of one vector. */
static int exit_is_direct(const layout *g, const ntk_exit *e, const layout *out) {
  const int vectors = g->interleaved && g->nv == 2 * out->nv && (out->interleaved || out->nv == 1);
  return halves(&e->rows) && halves(&e->cols) && (vectors || (g->nv == 1 && out->nv == 1));
}

/* Where a class of rows and columns comes from and goes to. */
typedef struct class_rows {
  const real *from;
  real *to;
  int count;
  size_t step;     /* reals from one row of `from` to the next */
  int out;         /* reals of a row of `to` */
  size_t next_row; /* from a row to the one behind it, which is added to it; 0: none */
} class_rows;

/* Adds every other column (the first one is at `from`), NV vectors a row: whole vectors, or permuted lanes of one. */
INLINE void add_class(const int NV, const int PERMUTED, const int PAIR, const class_rows *c, const real_bits *lanes) {
  const real *from = c->from;
  real *to = c->to;
  for (int i = 0; i < c->count; i++, from += c->step, to += c->out) {
    vec v[MAX_FAST];
    UNROLL for (int m = 0; m < NV; m++) {
      v[m] = vec_load(from + 2 * m * LANES);
      if (PAIR) v[m] = v[m] + vec_load(from + c->next_row + 2 * m * LANES);
      if (PERMUTED) v[m] = vec_permute(v[m], lanes);
    }
    UNROLL for (int m = 0; m < NV; m++) vec_store(to + m * LANES, vec_load(to + m * LANES) + v[m]);
  }
}

static void add_class_any(int nv, int permuted, const class_rows *c, const real_bits *lanes) {
  if (permuted && c->next_row)
    add_class(1, 1, 1, c, lanes);
  else if (permuted)
    add_class(1, 1, 0, c, lanes);
  else if (nv == 1 && c->next_row)
    add_class(1, 0, 1, c, lanes);
  else if (nv == 1)
    add_class(1, 0, 0, c, lanes);
  else if (c->next_row)
    add_class(2, 0, 1, c, lanes);
  else
    add_class(2, 0, 0, c, lanes);
}

/* Rows r, NV vectors each, of S or T behind a filter SIZE x SIZE with zero padding. */
INLINE void box_row(const int NV, const int SIZE, const tile_state *t, const real *at, int above, int below, vec *sum) {
  const int row = NV * LANES;
  UNROLL for (int k = 0; k < NV; k++) sum[k] = vec_load(at + k * LANES);
  if (SIZE == 1) return;
  vec column[MAX_FAST];
  const real *up = above ? at - row : t->zeros, *down = below ? at + row : t->zeros;
  UNROLL for (int k = 0; k < NV; k++) column[k] = sum[k] + vec_load(up + k * LANES) + vec_load(down + k * LANES);
  row_sums3(NV, 0, t, t->up, t->down, column, sum);
}

/* Adds every other column, those of vectors D + 2 m (NV = 1: every other lane), of rows 2 I + c behind the exit's
 * filter, I = first .. end - 1, to a tile of the buffer. */
INLINE void add_filtered(const int NV, const int SIZE, const int D, const tile_state *t, const ntk_exit *e,
                         const real_bits *lanes, int c, int first, int end, real *to, size_t out_plane) {
  const int height = t->program->height, row = NV * LANES, outs = NV == 1 ? 1 : NV / 2;
  const int seam = t->a ? height - t->a : -1, ntk = t->program->want_ntk;
  const real *slot = slot_at(t, e->slot, 2 * first + c).s;
  const size_t plane = slot_plane(t->program, &t->g);
  const vec gain = vec_set((real)e->gain);
  to += (size_t)first * outs * LANES;
  for (int r = 2 * first + c; r < 2 * end + c; r += 2, slot += 2 * row, to += outs * LANES) {
    const int above = r > 0 && r != seam, below = r + 1 < height && r + 1 != seam;
    vec s[MAX_FAST], tt[MAX_FAST];
    box_row(NV, SIZE, t, slot, above, below, s);
    if (ntk) {
      box_row(NV, SIZE, t, slot + plane, above, below, tt);
      UNROLL for (int k = 0; k < NV; k++) tt[k] = vec_fma(gain, s[k], tt[k]);
    }
    UNROLL for (int m = 0; m < outs; m++) {
      real *const out = to + m * LANES;
      const int k = NV == 1 ? 0 : 2 * m + D;
      vec_store(out, vec_load(out) + (NV == 1 ? vec_permute(s[k], lanes) : s[k]));
      if (ntk) vec_store(out + out_plane, vec_load(out + out_plane) + (NV == 1 ? vec_permute(tt[k], lanes) : tt[k]));
    }
  }
}

/* Whether add_filtered knows the exit's filter. */
static int filters_fast(const layout *g, const ntk_exit *e) {
  const int size = e->filter_rows;
  if (!g->interleaved || e->bias > 0 || e->constant > 0 || e->circular) return 0;
  return (size == 1 || size == 3) && e->filter_cols == size;
}

static void add_filtered_any(int d, const tile_state *t, const ntk_exit *e, const real_bits *lanes, int c, int first,
                             int end, real *to, size_t out_plane) {
#define FILTERED(nv, size, d) \
  case 100 * nv + 10 * size + d: add_filtered(nv, size, d, t, e, lanes, c, first, end, to, out_plane); break
  switch (100 * t->g.nv + 10 * e->filter_rows + (t->g.nv > 1 ? d : 0)) {
    FILTERED(1, 1, 0);
    FILTERED(1, 3, 0);
    FILTERED(2, 1, 0);
    FILTERED(2, 1, 1);
    FILTERED(2, 3, 0);
    FILTERED(2, 3, 1);
    FILTERED(4, 1, 0);
    FILTERED(4, 1, 1);
    FILTERED(4, 3, 0);
    FILTERED(4, 3, 1);
  }
#undef FILTERED
}

/* Rows 2 I + c of the tile (pair: also those behind them), columns 2 J + d, into a tile of the buffer. */
static void exit_class(const tile_state *t, const ntk_exit *e, const layout *out, int c, int pair, int d, real *to,
                       size_t out_plane) {
  const ntk_program *p = t->program;
  const int row = t->g.row, states = p->want_ntk ? 2 : 1, permuted = t->g.nv == 1;
  real_bits lanes[LANES];
  real line[2 * MAX_NV * LANES] __attribute__((aligned(64)));
  const int first = (t->first_row + 1 - c) / 2, end = (t->first_row + t->rows + 1 - c) / 2;
  for (int l = 0; permuted && l < LANES; l++) lanes[l] = 2 * l + d < LANES ? 2 * l + d : LANES - 1;
  const int column = permuted ? 0 : d * LANES;
  if (exit_is_filtered(e) && filters_fast(&t->g, e)) {
    add_filtered_any(d, t, e, lanes, c, first, end, to, out_plane);
    return;
  }
  for (int n = 0; !exit_is_filtered(e) && n < states; n++) {
    const real *from = slot_at(t, e->slot, 2 * first + c).s + n * slot_plane(p, &t->g) + column;
    const class_rows rows = {from,        to + n * out_plane + (size_t)first * out->row,
                             end - first, (size_t)2 * row,
                             out->row,    pair ? (size_t)row : 0};
    add_class_any(out->nv, permuted, &rows, lanes);
  }
  for (int i = first; exit_is_filtered(e) && i < end; i++) {
    exit_filter(t, e, 2 * i + c, line);
    for (int n = 0; n < states; n++) {
      const class_rows rows = {line + (size_t)n * row + column, to + n * out_plane + (size_t)i * out->row, 1, 0, 0, 0};
      add_class_any(out->nv, permuted, &rows, lanes);
    }
  }
}

static void exit_direct(const tile_state *t, const ntk_exit *e, const ntk_program *target, const layout *out,
                        real *buffer) {
  const int height = target->height, width = target->width;
  const int pair = e->rows.size == 2 && t->a % 2 == 0; /* rows 2 I and 2 I + 1 go the same way */
  for (int k = 0; k < (pair ? 1 : e->rows.size); k++) {
    const int c = k - e->rows.before, a = e->rows.size == 1 ? t->a / 2 : (c + t->a) / 2 % height;
    if (e->rows.size == 1 && t->a % 2) continue;
    for (int l = 0; l < e->cols.size; l++) {
      const int d = l - e->cols.before, b = e->cols.size == 1 ? t->b / 2 : (d + t->b) / 2 % width;
      const int tile = target->tile_at[a * width + b];
      if (tile < 0 || (e->cols.size == 1 && t->b % 2)) continue;
      exit_class(t, e, out, c, pair, d, buffer + 2 * tile * slot_plane(target, out), slot_plane(target, out));
    }
  }
}

/* ---- all windows ---- */

/* Adds the tile's rows to the sums. */
static void exit_rows(const tile_state *t, const ntk_exit *e, const window_table *table, real *sums,
                      unsigned char *touched) {
  const ntk_program *p = t->program;
  const int row = t->g.row, outputs = e->rows.outputs, states = p->want_ntk ? 2 : 1, filtered = exit_is_filtered(e);
  const size_t plane = slot_plane(p, &t->g);
  real line[2 * MAX_NV * LANES] __attribute__((aligned(64)));
  for (int r = t->first_row; r < t->first_row + t->rows; r++) {
    const int partner = ntk_axis_partner(r, p->height, t->a);
    if (table->start[r] == table->start[r + 1] || table->start[partner] == table->start[partner + 1]) continue;
    if (filtered) exit_filter(t, e, r, line);
    const real *from = filtered ? line : slot_at(t, e->slot, r).s;
    const size_t state = filtered ? (size_t)row : plane;
    for (int x = table->start[r]; x < table->start[r + 1]; x++)
      for (int z = table->start[partner]; z < table->start[partner + 1]; z++) {
        const int output = table->list[x], other = table->list[z];
        const int a = other >= output ? other - output : other - output + outputs;
        real *to = sums + ((size_t)a * outputs + output) * 2 * row;
        const vec weight = vec_set(window_weight(&e->rows, output, other));
        touched[a] = 1;
        for (int n = 0; n < states; n++, to += row)
          for (int k = 0; k < row; k += LANES)
            vec_store(to + k, vec_fma(weight, vec_load(from + n * state + k), vec_load(to + k)));
      }
  }
}

/* The moves of the columns of offset b. */
static size_t list_moves(const tile_state *t, const ntk_exit *e, const layout *out, column_move *moves) {
  const ntk_window *w = &e->cols;
  size_t count = 0;
  for (int output = 0; output < w->outputs; output++)
    for (int c = 0; c < w->size; c++) {
      const int j = window_input(w, output, c);
      if (j < 0) continue;
      const int partner = ntk_axis_partner(j, t->program->width, t->b);
      for (int other = 0; other < w->outputs; other++)
        for (int d = 0; d < w->size; d++) {
          if (window_input(w, other, d) != partner) continue;
          const int b = other >= output ? other - output : other - output + w->outputs;
          moves[count++] = (column_move){lane_of(&t->g, j), lane_of(out, output), b, window_weight(w, output, other)};
        }
    }
  return count;
}

/* Adds the sums of all row offsets to the buffer's tiles and clears them. */
static void exit_columns(const tile_state *t, const ntk_exit *e, const ntk_program *target, real *buffer, real *sums,
                         unsigned char *touched, column_move *moves) {
  const layout out = layout_of(target);
  const int row = t->g.row, height = target->height, width = target->width, states = t->program->want_ntk ? 2 : 1;
  const size_t plane = slot_plane(target, &out), count = list_moves(t, e, &out, moves);
  for (int a = 0; a < height; a++) {
    if (!touched[a]) continue;
    touched[a] = 0;
    real *const first = sums + (size_t)a * height * 2 * row;
    for (size_t k = 0; k < count; k++) {
      const column_move *move = &moves[k];
      const int tile = target->tile_at[a * width + move->b];
      if (tile < 0) continue;
      const real *from = first + move->from;
      real *to = buffer + (size_t)2 * tile * plane + move->to;
      for (int r = 0; r < height; r++) {
        to[(size_t)r * out.row] += move->weight * from[(size_t)2 * r * row];
        if (states == 2) to[plane + (size_t)r * out.row] += move->weight * from[(size_t)(2 * r + 1) * row];
      }
    }
    memset(first, 0, (size_t)height * 2 * row * sizeof(real));
  }
}
