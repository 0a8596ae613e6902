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

/* Shared memory: planes of S and T, twice if a thread owns few rows (one barrier a filter is then enough), then slots.
 * Offsets in reals: those of the planes that hold the published state, and of the other pair. */
struct planes {
  int now, other, size;
};

INLINE real *shared_memory() {
  NTK_DYNAMIC_SHARED(real, shared);
  return shared;
}

/* Puts a state where the other threads can read it. */
template <int ROWS, int NTK>
INLINE void publish(const strip &u, int pitch, planes *m, const real *s, const real *t) {
  if (ROWS > 4) {
    __syncthreads(); /* the last reader is done */
  } else {
    const int now = m->now;
    m->now = m->other, m->other = now;
  }
  real *const to = shared_memory() + m->now + u.at;
  if (u.inside) UNROLL for (int k = 0; k < ROWS; k++) {
    to[k * pitch] = s[k];
    if (NTK) to[m->size + k * pitch] = t[k];
  }
  __syncthreads();
}

/* Sums of a published plane over a zero-padded 3x3 filter. v: the strip's own entries. */
template <int ROWS>
INLINE void sum3(const strip &u, const real *plane, int pitch, real *v) {
  const real left = (real)u.left, right = (real)u.right;
  const real *const own = plane + u.at, *const beside_l = own - u.left, *const beside_r = own + u.right;
  /* beyond the tile's edges the strip reads itself, and what it reads does not count */
  const int above = u.joined & 1 ? -pitch : 0, below = (u.joined >> ROWS & 1 ? ROWS : ROWS - 1) * pitch;
  real h[ROWS + 2];
  UNROLL for (int k = -1; k <= ROWS; k++) {
    const int row = k < 0 ? above : k == ROWS ? below : k * pitch;
    h[k + 1] = k < 0 || k == ROWS ? own[row] : v[k];
    h[k + 1] = fma(left, beside_l[row], fma(right, beside_r[row], h[k + 1]));
  }
  UNROLL for (int k = 0; k < ROWS; k++)
    v[k] = h[k + 1] + ((u.joined >> k & 1 ? h[k] : 0) + (u.joined >> (k + 1) & 1 ? h[k + 2] : 0));
}

/* A published plane through any odd filter, in place, along one axis after the other. */
template <int ROWS>
OUT_OF_LINE void sum_any(strip u, int plane, int height, int width, int pitch, int rows, int cols,
                         int circular) {
  real *const state = shared_memory() + plane;
  real v[ROWS];
  for (int down = 0; down < 2; down++) {
    const int n = down ? height : width, step = down ? pitch : 1, a = down ? u.tile.a : u.tile.b;
    const int w = (down ? rows : cols) / 2;
    for (int k = 0; k < ROWS; k++)
      v[k] = inside(u, k) ? filter_sum(state, u.at + k * pitch, down ? u.top + k : u.j, n, step, a, w, circular) : 0;
    __syncthreads();
    for (int k = 0; k < ROWS; k++)
      if (inside(u, k)) state[u.at + k * pitch] = v[k];
    __syncthreads();
  }
}

/* S and T through a filter. */
template <int ROWS, int NTK>
INLINE void filter(const ntk_cuda_stage &p, const strip &u, planes *m, int rows, int cols, int circular, real *s,
                   real *t) {
  if (rows == 1 && cols == 1) return;
  publish<ROWS, NTK>(u, p.pitch, m, s, t);
  const real *const plane = shared_memory() + m->now;
  if (rows == 3 && cols == 3 && !circular) {
    if (!u.inside) return;
    sum3<ROWS>(u, plane, p.pitch, s);
    if (NTK) sum3<ROWS>(u, plane + m->size, p.pitch, t);
    return;
  }
  for (int k = 0; k < (NTK ? 2 : 1); k++)
    sum_any<ROWS>(u, m->now + k * m->size, p.height, p.width, p.pitch, rows, cols, circular);
  UNROLL for (int k = 0; k < ROWS; k++) {
    s[k] = inside(u, k) ? plane[u.at + k * p.pitch] : 0;
    if (NTK) t[k] = inside(u, k) ? plane[m->size + u.at + k * p.pitch] : 0;
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
INLINE slot_rows find_slot(const ntk_cuda_stage &p, const ntk_cuda_stage_pairs &q, const strip &u, const planes &m,
                           int slot) {
  const ntk_cuda_slot place = p.slots[slot - 1];
  const size_t states = NTK ? 2 : 1, area = (size_t)p.height * p.width;
  if (place.shared >= 0) {
    const size_t state = (size_t)ROWS * blockDim.x;
    real *const slots = shared_memory() + (ROWS > 4 ? 1 : 2) * states * m.size;
    return {slots + (size_t)place.shared * states * state + threadIdx.x, (int)blockDim.x, state};
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
