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

/* Row r of the state behind the exit's filter: S, then T. */
static void exit_filter(const tile_state *t, const ntk_exit *e, int r, real *out) {
  const int row = t->g.row, nv = t->g.nv, height = t->program->height, ntk = t->program->want_ntk,
            w = e->filter_rows / 2;
  const real *slot_s = t->slots[e->slot], *slot_t = slot_s + (size_t)height * row;
  vec s[MAX_NV], tt[MAX_NV];
  for (int k = 0; k < nv; k++) s[k] = tt[k] = vec_zero();
  for (int i = r - w; i <= r + w; i++) {
    const int n = e->circular ? ((i % height) + height) % height : i;
    if (!e->circular && (n < 0 || n >= height || ntk_axis_offset(n, height, t->a) != ntk_axis_offset(r, height, t->a)))
      continue;
    for (int k = 0; k < nv; k++) {
      s[k] = s[k] + vec_load(slot_s + (size_t)n * row + k * LANES);
      if (ntk) tt[k] = tt[k] + vec_load(slot_t + (size_t)n * row + k * LANES);
    }
  }
  row_sums(t, e->filter_cols, e->circular, s, out);
  if (ntk) row_sums(t, e->filter_cols, e->circular, tt, out + row);
  for (int k = 0; k < nv; k++) s[k] = vec_load(out + k * LANES);
  if (e->bias > 0) {
    add_bias(t, (real)(e->bias * t->pair_scale), s);
    for (int k = 0; k < nv; k++) vec_store(out + k * LANES, s[k]);
  }
  for (int k = 0; ntk && e->trained && k < nv; k++)
    vec_store(out + row + k * LANES, vec_load(out + row + k * LANES) + s[k]);
}

/* Adds the tile's rows to the sums. */
static void exit_rows(const tile_state *t, const ntk_exit *e, const window_table *table, real *sums,
                      unsigned char *touched) {
  const ntk_program *p = t->program;
  const int row = t->g.row, outputs = e->rows.outputs, states = p->want_ntk ? 2 : 1;
  const int filtered = e->filter_rows * e->filter_cols > 1 || e->trained || e->bias > 0;
  const size_t plane = (size_t)p->height * row;
  real line[2 * MAX_NV * LANES] __attribute__((aligned(64)));
  for (int r = t->first_row; r < t->first_row + t->rows; r++) {
    const int partner = ntk_axis_partner(r, p->height, t->a);
    if (table->start[r] == table->start[r + 1] || table->start[partner] == table->start[partner + 1]) continue;
    if (filtered) exit_filter(t, e, r, line);
    const real *from = filtered ? line : t->slots[e->slot] + (size_t)r * row;
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

/* Whether columns 2 J + c of a row are whole vectors, or the lanes of one vector. */
static int columns_fast(const tile_state *t, const ntk_exit *e, const layout *out) {
  const ntk_window *w = &e->cols;
  const int pairs = w->stride == 2 && w->inputs == 2 * w->outputs && !w->circular && !w->weights;
  const int known = (w->size == 2 && w->before == 0) || (w->size == 1 && w->before <= 0 && w->before > -2);
  const int vectors = t->g.interleaved && t->g.nv == 2 * out->nv && (out->interleaved || out->nv == 1);
  return pairs && known && (vectors || (t->g.nv == 1 && out->nv == 1));
}

/* Adds columns 2 J + c of a row of sums to a row of the buffer. */
INLINE void add_columns(const tile_state *t, int nv, int c, const real_bits *every_second, const real *from, real *to) {
  for (int m = 0; m < nv; m++) {
    vec v = t->g.nv == 1 ? vec_permute(vec_load(from), every_second) : vec_load(from + (2 * m + c) * LANES);
    vec_store(to + m * LANES, vec_load(to + m * LANES) + v);
  }
}

/* Adds the sums of all row offsets to the buffer's tiles and clears them. */
static void exit_columns(const tile_state *t, const ntk_exit *e, const ntk_program *target, real *buffer, real *sums,
                         unsigned char *touched, column_move *moves) {
  const layout out = layout_of(target);
  const int row = t->g.row, height = target->height, width = target->width, states = t->program->want_ntk ? 2 : 1;
  const size_t plane = (size_t)height * out.row;
  const int fast = columns_fast(t, e, &out), low = e->cols.size == 1 ? -e->cols.before : 0;
  real_bits every_second[2][LANES];
  for (int l = 0; l < LANES; l++)
    for (int c = 0; c < 2; c++) every_second[c][l] = 2 * l + c < LANES ? 2 * l + c : LANES - 1;
  const size_t count = fast ? 0 : list_moves(t, e, &out, moves);
  for (int a = 0; a < height; a++) {
    if (!touched[a]) continue;
    touched[a] = 0;
    real *const first = sums + (size_t)a * height * 2 * row;
    for (int c = low; fast && c < low + e->cols.size; c++) {
      if (e->cols.size == 1 && t->b % 2) break;
      const int tile = target->tile_at[a * width + (e->cols.size == 1 ? t->b / 2 : (c + t->b) / 2 % width)];
      if (tile < 0) continue;
      for (int r = 0; r < height; r++)
        for (int state = 0; state < states; state++)
          add_columns(t, out.nv, c, every_second[c], first + (size_t)(2 * r + state) * row,
                      buffer + (size_t)(2 * tile + state) * plane + (size_t)r * out.row);
    }
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
