/* Part of plane_cpu.c: the state of a tile, its horizontal sums, its pooling and the estimate of its error. */

/* Vectors a row on the fast path: constant sizes, so that the arrays live in registers. */
enum { MAX_FAST = 4 };
/* More ReLU layers than this leave over 1e-6 in float32 where few entries average it out. */
enum { DEEP = 28 };
enum { MAX_NV = NTK_MAX_SIDE / (LANES > 2 ? 2 : LANES), HALO = NTK_MAX_SIDE };

/* Row of a state in a slot. */
typedef struct slot_row {
  real *s, *t;
  int step; /* reals to the next row */
} slot_row;

/* Where a row of a tile lies, in reals: among the h rows, in a slot, in the tables of x and of z. */
typedef struct row_place {
  ptrdiff_t h, slot, x, z;
} row_place;

/* Small tiles of one column offset pass through the layers as a group, one below the other. */
enum { GROUP_VECTORS = 64 };

INLINE int group_capacity(const ntk_program *p, const layout *g) {
  const int vectors = p->height * g->nv;
  return g->interleaved && vectors < GROUP_VECTORS ? GROUP_VECTORS / vectors : 1;
}

/* Everything that stays the same within one tile. */
typedef struct tile_state {
  const ntk_program *program;
  layout g;
  int seam;  /* first row of the second segment, or -1 */
  int index; /* of the tile in its group */
  int first_row, rows, a, b;
  const real *x_pixels, *z_pixels; /* z rotated by b */
  const real *z_source;            /* not rotated */
  const real *x_norms, *z_norms;
  const real_bits *x_hash, *z_hash;
  const real *products;               /* (height width)^2 input products, or NULL */
  double pair_scale;                  /* 2^-(ex + ez) */
  const double *x_exact, *z_exact;    /* plane_first.h, or NULL */
  int first_relu;                     /* layer of the first ReLU */
  int flat;                           /* the images have constant regions: */
  int deficit;                        /* the state is (D, T, V) after the first ReLU */
  int copies;                         /* x and z are the same image */
  real *h_s[2], *h_t[2], *h_v[2];     /* row sums, (height + 3) rows, ping and pong */
  real *zeros, *nobody;               /* as many rows, for the SKIP kinds (plane_fast.h) */
  real *line;                         /* one row with halos, natural order */
  real *col_weights;                  /* [pool][row] */
  real *accumulators;                 /* pool_sums */
  unsigned char *columns_on;          /* [pool]: gives weight to some column of the tiles of offset b */
  unsigned char *kinds;               /* [layer]: layer_kind */
  unsigned char *pool_on;             /* [pool]: gives weight to some entry of the tile */
  mask up, down, mid[4];              /* interleaved order: which neighbours a filter may add */
  int aligned;                        /* all of mid are full */
  vec risk[2], risk_weight[2];        /* note_risk */
  real *const *slots;                 /* [slot]: height rows of S, at slot_plane those of T */
  row_place places[NTK_MAX_SIDE + 2]; /* of all rows of the group, the last one three times */
  int first_place, place_count;       /* the rows that layer_fast takes */
} tile_state;

/* h row of a row of the tile: a row of zeros before, after and at the seam. */
INLINE int row_position(const tile_state *t, int r) {
  return t->index * (t->program->height + 3) + r + 1 + (t->seam >= 0 && r >= t->seam);
}

/* Whether the duals of a ReLU are those of NTK_DUALS_WHOLE: where layer_fast is FIRST. */
INLINE int whole_duals(const ntk_program_layer *layer) {
  return layer->signed_rho && !layer->add && !layer->save && !layer->result && !(layer->rows == 1 && layer->from);
}

/* Whether layer l hands its state on to layer l + 1 as row sums. */
INLINE int layer_chains(const ntk_program *p, int l) { return l + 1 < p->layer_count && p->layers[l + 1].from == 0; }

/* Reals from S to T of a state in a slot: not a power of two, which would put both into the same cache sets. */
INLINE size_t slot_plane(const ntk_program *p, const layout *g) { return (size_t)p->height * g->row + 48; }

/* Row r of the tile in a slot; the tiles of a group lie one behind the other. */
INLINE slot_row slot_at(const tile_state *t, int slot, int r) {
  const size_t plane = slot_plane(t->program, &t->g);
  real *const s = t->slots[slot] + 2 * t->index * plane + (size_t)r * t->g.row;
  return (slot_row){s, s + plane, t->g.row};
}

INLINE void slot_step(slot_row *at, int rows) { at->s += rows * at->step, at->t += rows * at->step; }

/* Writes the places of the tile's rows from places[first] on; returns where the next tile's begin. */
static int write_places(tile_state *t, int first) {
  const ptrdiff_t row = t->g.row, tile = 2 * t->index * (ptrdiff_t)slot_plane(t->program, &t->g);
  row_place *at = &t->places[first];
  for (int r = t->first_row; r < t->first_row + t->rows; r++)
    *at++ = (row_place){row_position(t, r) * row, tile + r * row, 2 * r * row,
                        2 * ntk_axis_partner(r, t->program->height, t->a) * row};
  at[0] = at[1] = at[-1];
  return first + t->rows;
}

/* ---- horizontal sums ---- */

/* Row sums of a filter 3 wide, interleaved order. */
INLINE void row_sums3(const int NV, const int ALIGNED, const tile_state *t, mask up, mask down, const vec *v,
                      vec *sum) {
  vec left = vec_shift_up(v[NV - 1], up), right = vec_shift_down(v[0], down);
  if (NV == 1) {
    sum[0] = v[0] + (left + right);
  } else if (NV == 2 && ALIGNED) {
    vec pair = v[0] + v[1];
    sum[0] = pair + left;
    sum[1] = pair + right;
  } else {
    UNROLL for (int k = 0; k < NV; k++) sum[k] = v[k];
    UNROLL for (int k = 0; k + 1 < NV; k++) {
      sum[k] = ALIGNED ? vec_add(sum[k], v[k + 1]) : vec_add_where(sum[k], v[k + 1], t->mid[k]);
      sum[k + 1] = ALIGNED ? vec_add(sum[k + 1], v[k]) : vec_add_where(sum[k + 1], v[k], t->mid[k]);
    }
    sum[0] = sum[0] + left;
    sum[NV - 1] = sum[NV - 1] + right;
  }
}

INLINE void row_sum3(const int NV, const int ALIGNED, const tile_state *t, mask up, mask down, const vec *v,
                     real *out) {
  vec sum[MAX_FAST];
  row_sums3(NV, ALIGNED, t, up, down, v, sum);
  UNROLL for (int k = 0; k < NV; k++) vec_store(out + k * LANES, sum[k]);
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

/* ---- pooling ---- */

/* Accumulators of a pool, for every vector of a row: those of T, then those of S. */
INLINE real *pool_sums(const tile_state *t, int pool) { return t->accumulators + (size_t)pool * 2 * t->g.row; }

INLINE vec pool_row_weight(const tile_state *t, const ntk_program_pool *pool, int r) {
  const int height = t->program->height;
  if (!pool->row_weights) return vec_set(1);
  return vec_set((real)pool->row_weights[r * height + ntk_axis_partner(r, height, t->a)]);
}

/* Before a tile is pooled: clears the accumulators and finds out which pools the tile matters to. */
static void start_pools(const tile_state *t) {
  const ntk_program *p = t->program;
  memset(pool_sums(t, 0), 0, (size_t)p->pool_count * 2 * t->g.row * sizeof(real));
  for (int q = 0; q < p->pool_count; q++) {
    const ntk_program_pool *pool = &p->pools[q];
    int on = pool->flatten ? t->a == 0 : !pool->row_weights;
    for (int r = t->first_row; pool->row_weights && !on && r < t->first_row + t->rows; r++)
      on = pool->row_weights[r * p->height + ntk_axis_partner(r, p->height, t->a)] != 0;
    t->pool_on[q] = on && t->columns_on[q];
  }
}

/* Adds a row of S and T to the accumulators. */
INLINE void pool_row(const int NV, const tile_state *t, int r, const vec *s, const vec *tt) {
  for (int q = 0; q < t->program->pool_count; q++) {
    if (!t->pool_on[q]) continue;
    real *acc = pool_sums(t, q);
    vec weight = pool_row_weight(t, &t->program->pools[q], r);
    UNROLL for (int k = 0; k < NV; k++) {
      vec_store(acc + k * LANES, vec_fma(weight, tt[k], vec_load(acc + k * LANES)));
      vec_store(acc + (NV + k) * LANES, vec_fma(weight, s[k], vec_load(acc + (NV + k) * LANES)));
    }
  }
}

/* Weights the columns of a tile's sums and adds them to those of the tap. */
static void pool_columns(const tile_state *t, int tap, double *sums) {
  const ntk_program *p = t->program;
  const int nv = t->g.nv;
  sums += 2 * tap * p->pool_count;
  for (int q = 0; q < p->pool_count; q++, sums += 2) {
    if (!t->pool_on[q]) continue;
    const real *acc = pool_sums(t, q), *weights = t->col_weights + (size_t)q * t->g.row;
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

/* ---- risk ---- */

/* Which of the two risks a ReLU counts for, or -1: those of the network's first ReLU and of its last. */
INLINE int judged_at(const ntk_program *p, const ntk_program_layer *layer) {
  if (layer->norm == 0 && p->channels > 0) return 0;
  return layer->norm == p->norm_count - 1 && !p->more_relus ? 1 : -1;
}

/* Sums up the error that rounding leaves in k0, weighted by the entries' size v (docs/accuracy.md), at the first ReLU
 * (at = 0) and at the last one (at = 1): about 1.5e-8 / q where S carries float32 noise, twice that where D does. At
 * the first, entries of proportional patches do not count: snapping them was right. At the last, a small m almost
 * everywhere tells near-duplicates from images that merely share a flat corner. x, z: places of the vector in rows of
 * one value. */
INLINE void note_risk(tile_state *t, int at, ptrdiff_t x, ptrdiff_t z, vec v, vec m, vec q, vec *weight) {
  mask risky = vec_greater(vec_set((real)1e-2), m);
  *weight = vec_add(*weight, v);
  if (!mask_any(risky)) return;
  if (at == 0 && t->g.few) risky = mask_and(risky, bits_differ(t->x_hash + x, t->z_hash + z));
  mask noisy = vec_greater(m, vec_set((real)NTK_DUAL_SNAP));
  vec error = vec_select(noisy, vec_set((real)(t->flat ? 3e-8 : 1.5e-8)) / q, vec_set(t->deficit ? 0 : (real)3e-4));
  t->risk[at] = vec_add(t->risk[at], vec_keep(vec_mul(v, error), risky));
}

/* Where nothing is at risk: x and z are one image, here beside itself: rho is 1, and snapped to it. */
INLINE int beside_itself(const tile_state *t) { return t->copies && t->a == 0 && t->b == 0; }
