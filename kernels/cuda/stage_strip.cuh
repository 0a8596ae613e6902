/* Part of stage_cuda.cu: strips. A block owns a packed tile of a pair, a thread a strip of it: ROWS entries of one
 * column, one below another. S and T stay in registers through all layers; filters visit shared memory. */

/* A thread's entries and their neighbours. */
struct strip {
  ntk_tile tile;
  int pair, index; /* which pair, which tile */
  int top, j, partner_j;
  int at;          /* of the first entry in a plane in shared memory */
  unsigned inside; /* bit k: entry k is demanded; none: the thread has no strip */
  unsigned joined; /* bit k: a zero-padded filter passes between entries k - 1 and k */
  int left, right; /* 1: and to the entries beside */
};

INLINE int inside(const strip &u, int k) { return (int)(u.inside >> k & 1); }

template <int ROWS>
INLINE strip make_strip(const ntk_cuda_stage &p, int pair, int index) {
  strip u = {};
  u.pair = pair, u.index = index, u.tile = p.tiles[index];
  const int row = (int)threadIdx.x / p.width * ROWS, end = u.tile.first_row + u.tile.row_count;
  u.j = (int)threadIdx.x % p.width;
  u.partner_j = ntk_axis_partner(u.j, p.width, u.tile.b);
  u.top = u.tile.first_row + row;
  u.at = row * p.pitch + u.j;
  UNROLL for (int k = 0; k < ROWS; k++) u.inside |= (unsigned)(u.top + k < end) << k;
  UNROLL for (int k = 0; k <= ROWS; k++) {
    const int r = u.top + k;
    u.joined |= (unsigned)(r > u.tile.first_row && r < end && ntk_axis_connected(r - 1, p.height, u.tile.a)) << k;
  }
  u.left = ntk_axis_connected(u.j - 1, p.width, u.tile.b), u.right = ntk_axis_connected(u.j, p.width, u.tile.b);
  return u;
}

/* Two planes in shared memory, S and T, twice if a thread owns few rows: then one barrier a filter is enough. */
struct planes {
  real *s, *t, *next_s, *next_t;
};

/* Puts a state where the other threads can read it. */
template <int ROWS, int NTK>
INLINE void publish(const strip &u, int pitch, planes *to, const real *s, const real *t) {
  if (ROWS > 4) {
    __syncthreads(); /* the last reader is done */
  } else {
    real *const old_s = to->s, *const old_t = to->t;
    to->s = to->next_s, to->t = to->next_t, to->next_s = old_s, to->next_t = old_t;
  }
  if (u.inside) UNROLL for (int k = 0; k < ROWS; k++) {
    to->s[u.at + k * pitch] = s[k];
    if (NTK) to->t[u.at + k * pitch] = t[k];
  }
  __syncthreads();
}

/* Sums of a published plane over a zero-padded filter of 3 or 1 rows and columns. v: the strip's own entries. */
template <int ROWS>
INLINE void sum3(const strip &u, const real *plane, int pitch, int tall, int wide, real *v) {
  const real left = (real)u.left, right = (real)u.right;
  const real *const own = plane + u.at, *const beside_l = own - u.left, *const beside_r = own + u.right;
  real h[ROWS + 2];
  UNROLL for (int k = -1; k <= ROWS; k++) {
    /* beyond the tile's edges the strip reads itself, times 0 */
    const int row = k < 0 ? (u.joined & 1 ? -pitch : 0)
                    : k == ROWS ? (u.joined >> ROWS & 1 ? ROWS : ROWS - 1) * pitch
                                : k * pitch;
    if (!tall && (k < 0 || k == ROWS)) continue;
    h[k + 1] = k < 0 || k == ROWS ? own[row] : v[k];
    if (wide) h[k + 1] = fma(left, beside_l[row], fma(right, beside_r[row], h[k + 1]));
  }
  UNROLL for (int k = 0; k < ROWS; k++) {
    v[k] = h[k + 1];
    if (!tall) continue;
    v[k] += (u.joined >> k & 1 ? h[k] : 0) + (u.joined >> (k + 1) & 1 ? h[k + 2] : 0);
  }
}

OUT_OF_LINE real any_sum(const real *state, int at, int i, int n, int step, int a, int w, int circular) {
  return filter_sum(state, at, i, n, step, a, w, circular);
}

/* Sums along one axis, any odd filter. */
template <int ROWS>
INLINE void sum_axis(const ntk_cuda_stage &p, const strip &u, const real *plane, int down, int w, int circular,
                     real *v) {
  const int n = down ? p.height : p.width, step = down ? p.pitch : 1, a = down ? u.tile.a : u.tile.b;
  UNROLL for (int k = 0; k < ROWS; k++)
    if (inside(u, k)) v[k] = any_sum(plane, u.at + k * p.pitch, down ? u.top + k : u.j, n, step, a, w, circular);
}

/* S and T through a filter. */
template <int ROWS, int NTK>
INLINE void filter(const ntk_cuda_stage &p, const strip &u, planes *m, int rows, int cols, int circular, real *s,
                   real *t) {
  if (rows == 1 && cols == 1) return;
  if (rows <= 3 && cols <= 3 && !circular) {
    publish<ROWS, NTK>(u, p.pitch, m, s, t);
    if (!u.inside) return;
    sum3<ROWS>(u, m->s, p.pitch, rows == 3, cols == 3, s);
    if (NTK) sum3<ROWS>(u, m->t, p.pitch, rows == 3, cols == 3, t);
    return;
  }
  for (int down = 0; down < 2; down++) {
    publish<ROWS, NTK>(u, p.pitch, m, s, t);
    const int w = (down ? rows : cols) / 2;
    sum_axis<ROWS>(p, u, m->s, down, w, circular, s);
    if (NTK) sum_axis<ROWS>(p, u, m->t, down, w, circular, t);
  }
}

/* ---- slots ---- */

/* A strip's entries of a state in a slot: S at at[k * step], T `state` further. */
struct slot_rows {
  real *at;
  int step;
  size_t state;
};

INLINE real *section_of(const ntk_cuda_stage_pairs &q, const ntk_cuda_section &section, int pair) {
  return (real *)q.memory + section.offset * (size_t)q.capacity + section.size * (size_t)pair;
}

template <int ROWS, int NTK>
INLINE slot_rows find_slot(const ntk_cuda_stage &p, const ntk_cuda_stage_pairs &q, const strip &u, real *shared,
                           int slot) {
  const ntk_cuda_slot place = p.slots[slot - 1];
  const size_t states = NTK ? 2 : 1, area = (size_t)p.height * p.width;
  if (place.shared >= 0) {
    const size_t state = (size_t)ROWS * blockDim.x;
    return {shared + (size_t)place.shared * states * state + threadIdx.x, (int)blockDim.x, state};
  }
  real *const tile = section_of(q, place.section, u.pair) + (size_t)u.index * states * area;
  return {tile + (size_t)u.top * p.width + u.j, p.width, area};
}

template <int ROWS, int NTK>
INLINE void load_slot(const slot_rows &from, const strip &u, real *s, real *t) {
  UNROLL for (int k = 0; k < ROWS; k++) {
    s[k] = inside(u, k) ? from.at[k * from.step] : 0;
    if (NTK) t[k] = inside(u, k) ? from.at[from.state + k * from.step] : 0;
  }
}

template <int ROWS, int NTK>
INLINE void store_slot(const slot_rows &to, const strip &u, const real *s, const real *t) {
  UNROLL for (int k = 0; k < ROWS; k++) {
    if (!inside(u, k)) continue;
    to.at[k * to.step] = s[k];
    if (NTK) to.at[to.state + k * to.step] = t[k];
  }
}
