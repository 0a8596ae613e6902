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
#include "kernels/activation.h"
#include "kernels/duals.h"
#include "kernels/lanes.h"
#include "kernels/packing.h"
#include "kernels/plane.h"

#define CONCAT2(a, b, c) a##b##c
#define CONCAT(a, b, c) CONCAT2(a, b, c)

/* The parts of this file, in the order that they need. */
/* clang-format off */
#include "kernels/plane_tables.h"
#include "kernels/plane_state.h"
#include "kernels/plane_any.h"
#include "kernels/plane_fast.h"
#include "kernels/plane_first.h"
/* clang-format on */

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
  } else if (!t->products) { /* the self pass, a few planes */
    const size_t area = (size_t)p->height * p->width;
    for (int c = 0; c < p->channels; c++)
      for (int j = 0; j < p->width; j++)
        ((real *)s)[lane_of(&t->g, j)] +=
            t->x_pixels[c * area + (size_t)r * p->width + j] *
            t->z_source[c * area + (size_t)partner * p->width + ntk_axis_partner(j, p->width, t->b)];
  } else {
    const real *products = t->products + (size_t)r * p->width * p->height * p->width + (size_t)partner * p->width;
    for (int j = 0; j < p->width; j++)
      ((real *)s)[lane_of(&t->g, j)] = products[(size_t)j * p->height * p->width + ntk_axis_partner(j, p->width, t->b)];
  }
}

/* The first layer's row sums, where layer_fast goes on: T is `gain` times S, and only kept where it is not S. */
INLINE void input_fast(const int NV, tile_state *t) {
  const ntk_program *p = t->program;
  const int row = NV * LANES, own_tangent = p->want_ntk && !p->layers[0].trained;
  const vec gain = vec_set((real)p->layers[0].gain);
  const size_t channel = (size_t)p->height * row;
  for (int r = t->first_row; r < t->first_row + t->rows; r++) {
    const real *x = t->x_pixels + r * row, *z = t->z_pixels + ntk_axis_partner(r, p->height, t->a) * row;
    vec s[MAX_FAST];
    UNROLL for (int k = 0; k < NV; k++) s[k] = vec_load(x + k * LANES) * vec_load(z + k * LANES);
    for (int c = 1; c < p->channels; c++) {
      x += channel, z += channel;
      UNROLL for (int k = 0; k < NV; k++) s[k] = vec_fma(vec_load(x + k * LANES), vec_load(z + k * LANES), s[k]);
    }
    const size_t at = (size_t)row_position(t, r) * row;
    row_sum3(NV, 0, t, t->up, t->down, s, t->h_s[0] + at);
    if (own_tangent)
      UNROLL for (int k = 0; k < NV; k++)
          vec_store(t->h_t[0] + at + k * LANES, gain * vec_load(t->h_s[0] + at + k * LANES));
  }
}

/* Fills the h buffers 0 with the row sums of the input products. */
static void enter_input(tile_state *t) {
  const ntk_program *p = t->program;
  const int kind = t->kinds[0];
  if (t->g.few && p->layers[0].cols == 3 && kind != SLOW && (kind & SIGNED)) {
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
    for (int k = 0; k < t->g.nv; k++) tt[k] = vec_set((real)p->layers[0].gain) * s[k];
    store_row(t, &p->layers[0], r, s, tt, NULL, 0);
  }
}

/* Every nv-th bit from bit k on. */
INLINE uint64_t every_bit(uint64_t bits, int nv, int k) {
  uint64_t out = 0;
  for (int l = 0; l < LANES; l++) out |= (bits >> (nv * l + k) & 1) << l;
  return out;
}

/* Which horizontal neighbours belong together in this tile (interleaved order). */
static void find_masks(tile_state *t) {
  const int nv = t->g.nv, width = t->program->width;
  const uint64_t connected = ntk_axis_connections(width, t->b), full = every_bit(~0ull, nv, 0);
  const uint64_t beyond = width < 64 ? ~0ull << width : 0; /* both lanes are zero there: any mask will do */
  t->up = mask_make(every_bit(connected << 1, nv, 0));
  t->down = mask_make(every_bit(connected, nv, nv - 1));
  t->aligned = 1;
  for (int k = 0; k + 1 < nv; k++) {
    const uint64_t mid = every_bit(connected | beyond, nv, k);
    t->mid[k] = mask_make(mid);
    if (mid != full) t->aligned = 0;
  }
}

/* Pools the state in a layer's slot. */
static void pool_slot(const tile_state *t, const ntk_program_layer *layer) {
  for (int r = t->first_row; r < t->first_row + t->rows; r++) {
    const slot_row at = slot_at(t, layer->result, r);
    vec s[MAX_NV], tt[MAX_NV];
    for (int k = 0; k < t->g.nv; k++) {
      s[k] = vec_load(at.s + k * LANES);
      tt[k] = t->program->want_ntk ? vec_load(at.t + k * LANES) : vec_zero();
    }
    pool_row(t->g.nv, t, r, s, tt);
  }
}

/* Makes tile `index` of a group the current one. */
static void enter_tile(tile_state *t, const ntk_tile *tile, int index) {
  const ntk_program *p = t->program;
  t->index = index;
  t->a = tile->a, t->first_row = tile->first_row, t->rows = tile->row_count;
  /* an image with its copy has rho = 1 on the offset-0 plane, which snapping keeps exact */
  t->deficit = t->flat && !(t->copies && t->a == 0 && t->b == 0);
  t->seam = p->layers[0].circular || tile->a == 0 ? -1 : p->height - tile->a;
}

/* Rows of zeros around those of the tile. */
static void frame_rows(const tile_state *t) {
  const int row = t->g.row;
  const size_t before = (size_t)(row_position(t, t->first_row) - 1) * row;
  const size_t after = (size_t)(row_position(t, t->first_row + t->rows - 1) + 1) * row;
  const size_t seam = t->seam >= 0 ? (size_t)(row_position(t, t->seam) - 1) * row : before;
  real *const buffers[6] = {t->h_s[0], t->h_s[1], t->h_t[0], t->h_t[1], t->h_v[0], t->h_v[1]};
  for (int q = 0; q < (t->deficit ? 6 : 4); q++)
    for (int k = 0; k < row; k += LANES) {
      vec_store(buffers[q] + before + k, vec_zero());
      vec_store(buffers[q] + after + k, vec_zero());
      vec_store(buffers[q] + seam + k, vec_zero());
    }
}

/* One layer of one tile. */
static void run_tile_layer(tile_state *t, int l, int kind, int from, double *sums) {
  const ntk_program_layer *layer = &t->program->layers[l];
  if (layer->from && (kind == SLOW || !enters_alone(layer))) enter_slot(t, l, from);
  if (layer->tap >= 0) start_pools(t);
  if (kind == SLOW) {
    layer_any(t, l, from, !from);
  } else {
    layer_functions(t)[kind](t, l, from, !from);
    if ((kind & KEEP) && layer->tap >= 0) pool_slot(t, layer);
  }
  if (layer->tap >= 0) pool_columns(t, layer->tap, sums);
}

/* A group of tiles through all layers (group_at). Each tile is pooled on its own, so that the sums do not depend on
 * the groups. */
static void run_tiles(tile_state *t, const ntk_tile *tiles, int count, double *first_sums, double *sums) {
  const ntk_program *p = t->program;
  int starts[GROUP_VECTORS + 1] = {0}, from = 0, l = 0;
  for (int k = 0; k < count; k++) {
    enter_tile(t, &tiles[k], k);
    frame_rows(t);
    starts[k + 1] = write_places(t, starts[k]);
    if (t->deficit && t->x_exact) {
      if (p->layers[0].tap >= 0) start_pools(t);
      first_exact(t, first_sums);
      if (p->layers[0].tap >= 0) pool_columns(t, p->layers[0].tap, sums);
      from = l = 1;
    } else if (p->channels > 0) {
      enter_input(t);
    }
  }
  for (; l < p->layer_count; l++, from = !from) {
    const ntk_program_layer *layer = &p->layers[l];
    const int kind = t->kinds[l];
    if (p->in_stages && !(tiles->demands >> layer->demand & 1)) continue;
    if (kind != SLOW && layer->tap < 0 && (!layer->from || enters_alone(layer))) {
      t->first_place = 0, t->place_count = starts[count];
      layer_functions(t)[kind](t, l, from, !from);
      continue;
    }
    for (int k = 0; k < count; k++) {
      enter_tile(t, &tiles[k], k);
      t->first_place = starts[k], t->place_count = t->rows;
      run_tile_layer(t, l, kind, from, sums);
    }
  }
}

/* How many of the tiles from number `first` on pass together: of one column offset and one demand, and none that is
 * treated in a way of its own. */
static int group_at(const tile_state *t, int first) {
  const ntk_program *p = t->program;
  const ntk_tile *tiles = &p->tiles[first];
  const int most = t->flat || (first == 0 && (t->copies || p->pool_count > 1)) ? 1 : group_capacity(p, &t->g);
  int count = 1;
  while (count < most && first + count < p->tile_count && tiles[count].b == tiles->b &&
         tiles[count].demands == tiles->demands)
    count++;
  return count;
}

/* Rotated copies of z and column weights for the tiles of one b. */
static void enter_columns(tile_state *t, int b, const void *z, real *rotated) {
  const ntk_program *p = t->program;
  const real *pixels = image_pixels(z), *norms = pixels + pixel_reals(p, &t->g);
  const real *hash = norms + norm_reals(p, &t->g);
  t->b = b;
  t->z_source = pixels;
  if (t->g.interleaved) find_masks(t);
  if (b == 0) {
    t->z_pixels = pixels, t->z_norms = norms, t->z_hash = (const real_bits *)hash;
  } else {
    real *to = rotated;
    if (t->g.few) rotate_rows(&t->g, p->width, b, pixels, to, (size_t)p->channels * p->height);
    t->z_pixels = to;
    to += pixel_reals(p, &t->g);
    rotate_rows(&t->g, p->width, b, norms, to, (size_t)p->table_count * p->height);
    t->z_norms = to;
    to += norm_reals(p, &t->g);
    if (!NTK_REAL_F64) rotate_rows(&t->g, p->width, b, hash, to, (size_t)p->height);
    t->z_hash = (const real_bits *)to;
  }
  for (int q = 0; q < p->pool_count; q++) {
    const double *weights = p->pools[q].col_weights;
    t->columns_on[q] = p->pools[q].flatten ? b == 0 : !weights;
    for (int j = 0; weights && !t->columns_on[q] && j < p->width; j++)
      t->columns_on[q] = weights[j * p->width + ntk_axis_partner(j, p->width, b)] != 0;
    for (int j = 0; j < p->width; j++)
      t->col_weights[(size_t)q * t->g.row + lane_of(&t->g, j)] =
          weights ? (real)weights[j * p->width + ntk_axis_partner(j, p->width, b)] : 1;
  }
}

typedef struct scratch_plan {
  size_t first, h, line, idle, weights, accumulators, pools, kinds, rotated,
      total; /* sizes in reals, multiples of 16 */
} scratch_plan;

static size_t round16(size_t n) { return (n + 15) / 16 * 16; }

static scratch_plan plan_scratch(const ntk_program *p, const layout *g) {
  scratch_plan s;
  const size_t tiles = (size_t)group_capacity(p, g), slot = 2 * slot_plane(p, g);
  s.h = round16(tiles * (p->height + 3) * g->row) + 64; /* +64: keeps the buffers off one another's cache sets */
  s.line = (size_t)2 * HALO + (size_t)g->row;
  s.idle = p->in_stages ? round16((tiles * slot > s.h ? tiles * slot : s.h) + 2 * (size_t)g->row) : 0;
  s.weights = round16((size_t)p->pool_count * g->row);
  s.accumulators = round16((size_t)p->pool_count * 2 * g->row);
  s.rotated = pixel_reals(p, g) + norm_reals(p, g) + hash_reals(p, g);
  s.first = round16((size_t)p->height * p->width * sizeof(double) / sizeof(real));
  s.pools = round16(2 * (size_t)p->pool_count / sizeof(real) + 1);
  s.kinds = round16((size_t)p->layer_count / sizeof(real) + 1);
  s.total = s.first + 6 * s.h + s.line + 2 * s.idle + s.weights + s.accumulators + s.pools + s.kinds + s.rotated;
  return s;
}

/* What hash_patches needs. */
static size_t framed_bytes(const ntk_program *p) {
  int rows, cols;
  first_patch(p, &rows, &cols);
  size_t framed = p->channels <= NTK_INNER_CHANNELS ? (size_t)p->channels : 0;
  return framed * (size_t)(p->height + 2 * rows) * (p->width + 2 * cols) * sizeof(double);
}

static size_t scratch_plain(const ntk_program *p) {
  const layout g = layout_of(p);
  const size_t framed = framed_bytes(p), norms = 2 * (size_t)p->height * p->width * sizeof(double);
  size_t pair = plan_scratch(p, &g).total * sizeof(real);
  if (norms > pair) pair = norms;
  return ((pair > framed ? pair : framed) + 63) / 64 * 64;
}

static double risk_at(const tile_state *t, int at) {
  const double weight = vec_sum(t->risk_weight[at]);
  return weight > 0 ? vec_sum(t->risk[at]) / weight : 0;
}

static double estimated_risk(const tile_state *t) {
  return risk_at(t, 0) + (t->program->norm_count - 1) * risk_at(t, 1);
}

/* Lays the working memory of a program out; returns where the rotated copies of z go. */
static real *lay_out(tile_state *t, const scratch_plan *sizes, real *at) {
  for (int k = 0; k < 2; k++) {
    t->h_s[k] = at, at += sizes->h;
    t->h_t[k] = at, at += sizes->h;
    t->h_v[k] = at, at += sizes->h;
  }
  memset(at, 0, (sizes->line + sizes->idle) * sizeof(real));
  t->line = at + HALO, at += sizes->line;
  t->zeros = at + t->g.row, at += sizes->idle; /* a filter reads a row before them */
  t->nobody = at, at += sizes->idle;
  t->col_weights = at, at += sizes->weights;
  memset(t->col_weights, 0, sizes->weights * sizeof(real)); /* lanes beyond the width */
  t->accumulators = at, at += sizes->accumulators;
  t->columns_on = (unsigned char *)at, t->pool_on = t->columns_on + t->program->pool_count;
  at += sizes->pools;
  t->kinds = (unsigned char *)at;
  for (int l = 0; l < t->program->layer_count; l++) t->kinds[l] = (unsigned char)layer_kind(t->program, &t->g, l);
  return at + sizes->kinds;
}

static void enter_pair(tile_state *t, const void *x, const void *z) {
  const ntk_program *p = t->program;
  t->pair_scale = ldexp(1, -((const image_head *)x)->exponent - ((const image_head *)z)->exponent);
  t->copies = x == z || memcmp(x, z, image_bytes_of(p, &t->g)) == 0;
  t->x_pixels = image_pixels(x);
  t->x_norms = t->x_pixels + pixel_reals(p, &t->g);
  t->x_hash = (const real_bits *)(t->x_norms + norm_reals(p, &t->g));
  while (t->first_relu < p->layer_count && !p->layers[t->first_relu].relu) t->first_relu++;
  for (int k = 0; k < 2; k++) t->risk[k] = t->risk_weight[k] = vec_zero();
}

static double pair_plain(const ntk_program *p, const void *x, const void *z, const void *products, void *scratch,
                         double *sums) {
  if (!NTK_REAL_F64 && p->want_ntk && p->few_entries && (p->norm_count > DEEP || needs_deficit(p, x, z)))
    return HUGE_VAL;
  tile_state t = {.program = p, .g = layout_of(p), .products = products};
  scratch_plan sizes = plan_scratch(p, &t.g);
  double *first_sums = scratch, central_risk = 0;
  real *rotated = lay_out(&t, &sizes, (real *)scratch + sizes.first);
  enter_pair(&t, x, z);
  t.flat = needs_deficit(p, x, z);
  if (t.flat && first_is_exact(p, &t.g)) t.x_exact = exact_section(p, &t.g, x), t.z_exact = exact_section(p, &t.g, z);
  for (int k = 0, count; k < p->tile_count; k += count) {
    count = group_at(&t, k);
    if (k == 0 || p->tiles[k].b != t.b) enter_columns(&t, p->tiles[k].b, z, rotated);
    run_tiles(&t, &p->tiles[k], count, first_sums, sums);
    /* among several pools a small one must not have its near-duplicates diluted by the planes of a large one */
    if (k == 0 && p->pool_count > 1) central_risk = estimated_risk(&t);
  }
  return fmax(central_risk, estimated_risk(&t));
}

#define TWIN CONCAT(ntk_plane_, NTK_ISA, _f64)
#define SELF CONCAT(ntk_plane_self_, NTK_ISA, )

/* clang-format off */
#include "kernels/plane_exit.h"
#include "kernels/plane_stage.h"
/* clang-format on */

static size_t scratch_bytes(const ntk_program *p) { return p->stage_count ? stages_bytes(p) : scratch_plain(p); }

static void prepare(const ntk_program *p, const double *pixels, void *image, void *scratch) {
  (p->stage_count ? prepare_stages : prepare_plain)(p, pixels, image, scratch);
}

static double pair(const ntk_program *p, const void *x, const void *z, const void *products, void *scratch,
                   double *sums) {
  const int outputs = p->tap_count * p->pool_count * 2;
  for (int k = 0; k < outputs; k++) sums[k] = 0;
  const double risk = (p->stage_count ? pair_stages : pair_plain)(p, x, z, products, scratch, sums);
  const int exponent = ((const image_head *)x)->exponent + ((const image_head *)z)->exponent;
  for (int k = 0; k < outputs; k++) sums[k] = ldexp(sums[k], exponent);
  return risk;
}

#if NTK_REAL_F64
#define OPS TWIN
#else
#define OPS CONCAT(ntk_plane_, NTK_ISA, _f32)
#endif
#define STRING2(x) #x
#define STRING(x) STRING2(x)

const ntk_plane_ops OPS = {STRING(NTK_ISA), NTK_REAL_F64, image_bytes, scratch_bytes, prepare, channel_matrix, pair};
