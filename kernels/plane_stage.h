/* Part of plane_cpu.c: networks in stages (kernels/program.h).
 *
 * Stage after stage, all demanded tiles of a stage pass through its layers like those of a plain network; states that
 * go on to another resolution, or are pooled, leave through exits into buffers. Normalisers come from the self pass:
 * the diagonal S_xx[i,j,i,j] follows a recursion of its own through layers and subsamplings; where a pooling mixes
 * planes, the few planes around the diagonal that it needs are computed as for a pair (x, x), in float64.
 */

/* Room for the working memory of a pair, in reals. */
typedef struct stages_plan {
  size_t program, slots, sums, buffers, total;
  size_t moves, tables; /* bytes */
  size_t pointers;      /* slots of a stage, the none included */
} stages_plan;

static size_t state_reals(const ntk_program *p, const layout *g) { return 2 * slot_plane(p, g); }

static size_t buffer_reals(const ntk_program *top, int buffer) {
  const ntk_program *stage = &top->stages[top->buffers[buffer].stage];
  const layout g = layout_of(stage);
  return round16((size_t)stage->tile_count * state_reals(stage, &g));
}

/* A slot of a group of tiles. */
static size_t slot_reals(const ntk_program *p, const layout *g) {
  return round16((size_t)group_capacity(p, g) * state_reals(p, g));
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static stages_plan plan_stages(const ntk_program *top) {
  stages_plan s = {0};
  for (int k = 0; k < top->stage_count; k++) {
    const ntk_program *p = &top->stages[k];
    const layout g = layout_of(p);
    const scratch_plan sizes = plan_scratch(p, &g);
    size_t sums = 0, moves = 0, tables = 0;
    for (int e = 0; e < p->exit_count; e++) {
      sums += round16(exit_reals(&g, &p->exits[e])), moves = larger(moves, exit_moves(&p->exits[e]));
      tables += table_shorts(&p->exits[e].rows);
    }
    s.program = larger(s.program, sizes.total);
    s.slots = larger(s.slots, (size_t)p->slot_count * slot_reals(p, &g));
    s.sums = larger(s.sums, sums);
    s.moves = larger(s.moves, (moves * sizeof(column_move) + 63) / 64 * 64);
    s.tables = larger(s.tables, (tables * sizeof(short) + 63) / 64 * 64);
    s.pointers = larger(s.pointers, ((size_t)p->slot_count + 16) / 16 * 16);
  }
  for (int k = 0; k < top->buffer_count; k++) s.buffers += buffer_reals(top, k);
  s.total = s.program + s.slots + s.sums + s.buffers;
  return s;
}

static size_t pair_bytes(const ntk_program *top) {
  const stages_plan s = plan_stages(top);
  return s.total * sizeof(real) + s.moves + s.tables + s.pointers * sizeof(real *) +
         (size_t)(top->buffer_count + 16) / 16 * 16 * sizeof(real *);
}

/* The working memory of a pair. */
typedef struct stages_run {
  const ntk_program *top;
  real *program, *local, *sums; /* of one stage at a time */
  real **buffers;
  column_move *moves;
  short *tables;
  real **slots;
} stages_run;

static stages_run open_stages(const ntk_program *top, void *scratch) {
  const stages_plan s = plan_stages(top);
  stages_run run = {.top = top, .program = scratch};
  run.local = run.program + s.program;
  run.sums = run.local + s.slots;
  real *buffer = run.sums + s.sums;
  run.moves = (column_move *)(buffer + s.buffers);
  run.tables = (short *)((char *)run.moves + s.moves);
  run.slots = (real **)((char *)run.tables + s.tables);
  run.buffers = run.slots + s.pointers;
  memset(buffer, 0, s.buffers * sizeof(real));
  for (int k = 0; k < top->buffer_count; k++) run.buffers[k] = buffer, buffer += buffer_reals(top, k);
  return run;
}

/* Points the slots of a group of tiles to the buffers that fill them, or to memory of their own. */
static void point_slots(const stages_run *run, const tile_state *t, int stage, int first_tile) {
  const ntk_program *p = t->program;
  const size_t state = state_reals(p, &t->g), slot = slot_reals(p, &t->g);
  run->slots[0] = NULL;
  for (int k = 1; k <= p->slot_count; k++) run->slots[k] = run->local + (size_t)(k - 1) * slot;
  for (int k = 0; k < run->top->buffer_count; k++)
    if (run->top->buffers[k].stage == stage)
      run->slots[run->top->buffers[k].slot] = run->buffers[k] + first_tile * state;
}

/* What the exits of a stage keep between its tiles. */
typedef struct exit_work {
  int direct;
  const ntk_program *target;
  layout out;
  real *sums;
  window_table table;
  unsigned char touched[NTK_MAX_SIDE];
} exit_work;

static void open_exits(const stages_run *run, const tile_state *t, exit_work *work) {
  const ntk_program *p = t->program;
  real *sums = run->sums;
  short *table = run->tables;
  for (int k = 0; k < p->exit_count; k++) {
    const ntk_exit *e = &p->exits[k];
    work[k].target = &run->top->stages[run->top->buffers[e->buffer].stage];
    work[k].out = layout_of(work[k].target);
    work[k].direct = exit_is_direct(&t->g, e, &work[k].out);
    if (work[k].direct) continue;
    work[k].sums = sums;
    work[k].table = fill_table(&e->rows, table);
    memset(work[k].touched, 0, sizeof work[k].touched);
    memset(sums, 0, exit_reals(&t->g, e) * sizeof(real));
    sums += round16(exit_reals(&t->g, e));
    table += table_shorts(&e->rows);
  }
}

/* A tile through the exits; last: the last tile of its column offset. */
static void leave_tile(const stages_run *run, const tile_state *t, const ntk_tile *tile, exit_work *work, int last) {
  const ntk_program *p = t->program;
  for (int k = 0; k < p->exit_count; k++) {
    const ntk_exit *e = &p->exits[k];
    const int demanded = tile->demands >> e->demand & 1;
    if (work[k].direct) {
      if (demanded) exit_direct(t, e, work[k].target, &work[k].out, run->buffers[e->buffer]);
      continue;
    }
    if (demanded) exit_rows(t, e, &work[k].table, work[k].sums, work[k].touched);
    if (last) exit_columns(t, e, work[k].target, run->buffers[e->buffer], work[k].sums, work[k].touched, run->moves);
  }
}

/* All tiles of a stage. x, z: the stage's prepared images. Adds to the two risks. */
static void run_stage(const stages_run *run, int stage, const void *x, const void *z, const void *products,
                      double *sums, double *risks) {
  const ntk_program *p = &run->top->stages[stage];
  tile_state t = {.program = p, .g = layout_of(p), .products = products, .slots = run->slots};
  const scratch_plan sizes = plan_scratch(p, &t.g);
  exit_work work[NTK_MAX_EXITS];
  real *rotated = lay_out(&t, &sizes, run->program + sizes.first);
  open_exits(run, &t, work);
  enter_pair(&t, x, z);
  for (int first = 0, count; first < p->tile_count; first += count) {
    const ntk_tile *tiles = &p->tiles[first];
    count = group_at(&t, first);
    if (first == 0 || tiles->b != t.b) enter_columns(&t, tiles->b, z, rotated);
    point_slots(run, &t, stage, first);
    run_tiles(&t, tiles, count, NULL, sums);
    for (int k = 0; k < count; k++) {
      enter_tile(&t, &tiles[k], k);
      leave_tile(run, &t, &tiles[k], work, first + k + 1 == p->tile_count || tiles[k + 1].b != tiles->b);
    }
  }
  for (int k = 0; k < 2; k++) risks[k] += risk_at(&t, k);
}

static double pair_stages(const ntk_program *top, const void *x, const void *z, const void *products, void *scratch,
                          double *sums) {
  const stages_run run = open_stages(top, scratch);
  double risks[2] = {0, 0};
  if (!NTK_REAL_F64 && top->want_ntk && ((top->few_entries && top->norm_count > DEEP) || needs_deficit(top, x, z)))
    return HUGE_VAL;
  size_t at = 0;
  for (int k = 0; k < top->stage_count; k++) {
    const layout g = layout_of(&top->stages[k]);
    run_stage(&run, k, (const char *)x + at, (const char *)z + at, products, sums, risks);
    at += image_bytes_of(&top->stages[k], &g);
  }
  /* a single activation behind a stride or a pooling is judged as the last one */
  return risks[0] + (top->norm_count > 1 ? top->norm_count - 1 : 1) * risks[1];
}

/* ---- the self pass ---- */

#if NTK_REAL_F64

/* Doubles of the diagonals in slots, of those in buffers, and of two more. */
static size_t diagonal_doubles(const ntk_program *top) {
  size_t slots = 0, area = 0;
  for (int k = 0; k < top->stage_count; k++) {
    const ntk_program *p = &top->stages[k];
    area = larger(area, (size_t)p->height * p->width);
    slots = larger(slots, (size_t)p->slot_count);
  }
  return (slots + (size_t)top->buffer_count + 2) * area;
}

typedef struct self_pass {
  const ntk_program *top;
  size_t area; /* of the largest stage */
  double *v, *tmp, *slots, *buffers;
  double *out;  /* where the next n^2 goes, or NULL */
  double scale; /* 2^-exponent */
} self_pass;

/* The diagonal through an activation other than ReLU, whose sides go to the prepared image. */
static void self_smooth(self_pass *s, const ntk_program *p, const ntk_program_layer *layer, void *image) {
  const layout g = layout_of(p);
  const int sides = ntk_dual_side_count(layer->dual);
  const double unscale = layer->dual_alpha / (s->scale * s->scale);
  for (int i = 0; i < p->height; i++) {
    real *row = image_table(p, &g, image, layer->table) + (size_t)sides * i * g.row;
    real variance[NTK_MAX_SIDE + LANES] = {0};
    for (int j = 0; j < p->width; j++) {
      variance[lane_of(&g, j)] = s->v[i * p->width + j] * unscale;
      ntk_dual_side(layer->dual, s->v[i * p->width + j] * unscale, row + lane_of(&g, j), (size_t)g.row);
    }
    /* as for a pair: the very rounding that a pixel beside itself meets */
    CONCAT(ntk_dual_row_, NTK_ISA, )(layer->dual, (size_t)g.row, (size_t)g.row, row, 1, row, variance, NULL);
    for (int j = 0; j < p->width; j++) s->v[i * p->width + j] = variance[lane_of(&g, j)] * s->scale * s->scale;
  }
}

/* The diagonal through the layers of a stage, whose normalisers go to its prepared image. */
static void self_layers(self_pass *s, const ntk_program *p, void *image) {
  const layout g = layout_of(p);
  const size_t area = (size_t)p->height * p->width;
  for (int l = 0; l < p->layer_count; l++) {
    const ntk_program_layer *layer = &p->layers[l];
    double *v = s->v;
    if (layer->from) memcpy(v, s->slots + (size_t)(layer->from - 1) * s->area, area * sizeof *v);
    box_f64(v, s->tmp, p->height, p->width, layer->rows, layer->cols, layer->circular);
    const double bias = layer->bias * s->scale * s->scale;
    const double *add = layer->add ? s->slots + (size_t)(layer->add - 1) * s->area : NULL;
    for (size_t k = 0; k < area; k++) v[k] += bias + (add ? layer->add_scale * add[k] : 0);
    if (layer->save) memcpy(s->slots + (size_t)(layer->save - 1) * s->area, v, area * sizeof *v);
    if (layer->norm >= 0) {
      if (!layer->dual) place_norms(p, &g, v, whole_duals(layer), image_table(p, &g, image, layer->table));
      if (s->out) memcpy(s->out, v, area * sizeof *v), s->out += area;
    }
    if (layer->dual) self_smooth(s, p, layer, image);
    for (size_t k = 0; k < area; k++) v[k] *= layer->rescale;
    if (layer->result) memcpy(s->slots + (size_t)(layer->result - 1) * s->area, v, area * sizeof *v);
  }
}

/* The diagonal of a state that was filtered and subsampled. */
static void subsample_diagonal(self_pass *s, const ntk_program *p, const ntk_exit *e, double *out) {
  const size_t area = (size_t)p->height * p->width;
  double *in = s->v;
  memcpy(in, s->slots + (size_t)(e->slot - 1) * s->area, area * sizeof *in);
  box_f64(in, s->tmp, p->height, p->width, e->filter_rows, e->filter_cols, e->circular);
  for (size_t k = 0; k < area; k++) in[k] += e->bias * s->scale * s->scale;
  for (int i = 0; i < e->rows.outputs; i++)
    for (int j = 0; j < e->cols.outputs; j++)
      out[i * e->cols.outputs + j] = in[(size_t)window_input(&e->rows, i, 0) * p->width + window_input(&e->cols, j, 0)];
}

/* The diagonal of the offset-0 tile of a pooled state. */
static void pooled_diagonal(const ntk_program *target, const real *buffer, double *out) {
  const layout g = layout_of(target);
  const real *tile = buffer + (size_t)target->tile_at[0] * state_reals(target, &g);
  for (int i = 0; i < target->height; i++)
    for (int j = 0; j < target->width; j++) out[i * target->width + j] = tile[(size_t)i * g.row + lane_of(&g, j)];
}

static void self_exits(self_pass *s, int stage, const stages_run *run) {
  const ntk_program *p = &s->top->stages[stage];
  for (int k = 0; k < p->exit_count; k++) {
    const ntk_exit *e = &p->exits[k];
    double *to = s->buffers + (size_t)e->buffer * s->area;
    if (e->rows.size == 1 && e->cols.size == 1)
      subsample_diagonal(s, p, e, to);
    else if (run->top && run->top->stages[run->top->buffers[e->buffer].stage].tile_count > 0)
      pooled_diagonal(&run->top->stages[run->top->buffers[e->buffer].stage], run->buffers[e->buffer], to);
  }
}

/* Prepares an image; out receives self_doubles values unless it is NULL. */
static void prepare_self(const ntk_program *top, const double *pixels, void *image, void *scratch, double *out) {
  self_pass s = {.top = top, .v = scratch, .out = out};
  memset(image, 0, image_bytes(top));
  for (int k = 0; k < top->stage_count; k++)
    s.area = larger(s.area, (size_t)top->stages[k].height * top->stages[k].width);
  s.tmp = s.v + s.area, s.slots = s.tmp + s.area;
  s.buffers = s.v + diagonal_doubles(top) - (size_t)top->buffer_count * s.area;
  real *rest = s.v + round16(diagonal_doubles(top));
  stages_run run = {0};
  if (top->self) run = open_stages(top->self, rest);
  char *section = image;
  for (int k = 0; k < top->stage_count; k++) {
    const ntk_program *p = &top->stages[k];
    const layout g = layout_of(p);
    if (k == 0)
      s.scale = place_pixels(p, &g, pixels, section, s.v, NULL);
    else
      memcpy(section, image, sizeof(image_head));
    for (int b = 0; b < top->buffer_count; b++)
      if (top->buffers[b].stage == k)
        memcpy(s.slots + (size_t)(top->buffers[b].slot - 1) * s.area, s.buffers + (size_t)b * s.area,
               (size_t)p->height * p->width * sizeof(double));
    self_layers(&s, p, section);
    if (top->self && top->self->stages[k].tile_count > 0) {
      double none[2] = {0, 0};
      run_stage(&run, k, section, section, NULL, none, none);
    }
    self_exits(&s, k, &run);
    section += image_bytes_of(p, &g);
  }
}

void SELF(const ntk_program *top, const double *pixels, void *image, void *scratch, double *out) {
  prepare_self(top, pixels, image, scratch, out);
}

static size_t self_bytes(const ntk_program *top) {
  return round16(diagonal_doubles(top)) * sizeof(double) + (top->self ? pair_bytes(top->self) : 0);
}

static void prepare_stages(const ntk_program *top, const double *pixels, void *image, void *scratch) {
  prepare_self(top, pixels, image, scratch, NULL);
}

static size_t stages_bytes(const ntk_program *top) { return larger(pair_bytes(top), self_bytes(top)); }

#else

/* The normalisers n^2 of every activation, stage after stage: [norm][height width]. */
static size_t self_doubles(const ntk_program *top) {
  size_t count = 0;
  for (int k = 0; k < top->stage_count; k++)
    count += (size_t)top->stages[k].norm_count * top->stages[k].height * top->stages[k].width;
  return count;
}

/* Pixels, normalisers, and what the float64 pass needs. */
static size_t stages_bytes(const ntk_program *top) {
  const size_t pixels = (size_t)top->channels * top->height * top->width;
  const size_t self =
      (round16(pixels) + round16(self_doubles(top))) * sizeof(double) + TWIN.image_bytes(top) + TWIN.scratch_bytes(top);
  return larger(larger(pair_bytes(top), self), (framed_bytes(top->stages) + 63) / 64 * 64);
}

static void prepare_stages(const ntk_program *top, const double *pixels, void *image, void *scratch) {
  const size_t count = (size_t)top->channels * top->height * top->width;
  const layout first = layout_of(top->stages);
  double *rounded = scratch, *v = rounded + round16(count);
  char *twin = (char *)(v + round16(self_doubles(top)));
  memset(image, 0, image_bytes(top));
  const double scale = place_pixels(top->stages, &first, pixels, image, v, NULL);
  for (size_t k = 0; k < count; k++) rounded[k] = (double)(real)(pixels[k] * scale) / scale;
  SELF(top, rounded, twin, twin + TWIN.image_bytes(top), v);
  /* rounding may have moved the largest pixel, and with it the power of two */
  const int shift = ((const image_head *)twin)->exponent - ((const image_head *)image)->exponent;
  for (size_t k = 0; shift && k < self_doubles(top); k++) v[k] = ldexp(v[k], 2 * shift);
  char *section = image;
  for (int k = 0; k < top->stage_count; k++) {
    const ntk_program *p = &top->stages[k];
    const layout g = layout_of(p);
    if (k > 0) memcpy(section, image, sizeof(image_head));
    for (int l = 0; l < p->layer_count; l++) {
      if (p->layers[l].norm < 0) continue;
      place_norms(p, &g, v, whole_duals(&p->layers[l]), image_table(p, &g, section, p->layers[l].table));
      v += (size_t)p->height * p->width;
    }
    section += image_bytes_of(p, &g);
  }
  if (top->stages->norm_count > 0 && first.few) /* last: it takes the whole of scratch */
    hash_patches(top->stages, &first, pixels, scale,
                 (real_bits *)image_table(top->stages, &first, image, top->stages->table_count), scratch);
}

#endif
