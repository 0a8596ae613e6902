#include "host/cuda/stage_plan.h"

#include <stdlib.h>
#include <string.h>

#include "host/cuda/call.h"
#include "host/cuda/plane.h"
#include "host/gram/plan.h"
#include "kernels/activation.h"
#include "kernels/plane.h"

enum { THREADS = 256, LANES = 32 };

/* Tables on their way to the device: a first round with host == NULL counts their bytes, a second one fills them in. */
typedef struct arena {
  char *host, *device;
  size_t used;
} arena;

/* Where the table will be in device memory. */
static void *place(arena *a, const void *table, size_t bytes) {
  char *const at = a->device + a->used;
  if (a->host && bytes) memcpy(a->host + a->used, table, bytes);
  a->used += (bytes + 255) / 256 * 256;
  return at;
}

/* Sections that are in use at the same time get memory side by side. */
static ntk_cuda_section take_section(size_t *used, size_t reals) {
  const ntk_cuda_section section = {*used, (reals + 31) / 32 * 32};
  *used += section.size;
  return section;
}

static size_t state_reals(const ntk_program *p) { return (p->want_ntk ? 2 : 1) * (size_t)p->height * (size_t)p->width; }

/* ---- the shape of a block ---- */

static int strips(const ntk_program *p, int rows) { return p->width * ((p->height + rows - 1) / rows); }

/* As few rows a thread as 256 threads allow, but two at least: a strip's inner rows spare visits to shared memory, and
 * four leave enough blocks a multiprocessor. */
static int rows_of_thread(const ntk_program *p) {
  if (strips(p, 2) <= LANES) return 2;
  return strips(p, 4) <= THREADS ? 4 : 16;
}

/* The row length, from the width on, with which the fewest lanes of a warp meet in one bank of shared memory. */
static int row_pitch(const ntk_program *p, int rows) {
  int best = p->width, least = LANES + 1;
  for (int pitch = p->width; pitch < p->width + 8; pitch++) {
    int lanes[LANES] = {0}, most = 0;
    for (int k = 0; k < LANES; k++) {
      const int bank = (k / p->width * rows * pitch + k % p->width) % LANES;
      if (++lanes[bank] > most) most = lanes[bank];
    }
    if (most < least) least = most, best = pitch;
  }
  return best;
}

/* ---- one stage ---- */

typedef struct layout {
  const ntk_plan *plan;
  const ntk_cuda_stage_ops *ops;
  size_t shared_most;
  ntk_cuda_section *buffers;
  size_t scratch_first, scratch_most; /* reals a pair behind the buffers */
} layout;

static ntk_window place_window(arena *a, const ntk_window *w) {
  ntk_window out = *w;
  if (w->weights) out.weights = place(a, w->weights, (size_t)w->outputs * sizeof *w->weights);
  return out;
}

static bool single(const ntk_window *w) { return w->size == 1 && !w->circular && !w->weights; }

static bool disjoint(const ntk_window *w) { return w->size <= w->stride && !w->circular; }

static ntk_cuda_exit_kind kind_of(const ntk_exit *e) {
  if (single(&e->rows) && single(&e->cols)) return NTK_EXIT_DIRECT;
  return disjoint(&e->rows) && disjoint(&e->cols) ? NTK_EXIT_DISJOINT : NTK_EXIT_ANY;
}

static void fill_exit(const layout *l, arena *a, const ntk_program *p, const ntk_exit *from, size_t *scratch,
                      ntk_cuda_exit *out) {
  const ntk_program *target = &l->plan->program.stages[l->plan->program.buffers[from->buffer].stage];
  *out =
      (ntk_cuda_exit){.kind = kind_of(from),
                      .slot = from->slot,
                      .demand = from->demand,
                      .rows = place_window(a, &from->rows),
                      .cols = place_window(a, &from->cols),
                      .filter_rows = from->filter_rows,
                      .filter_cols = from->filter_cols,
                      .circular = from->circular,
                      .bias = from->bias,
                      .gain = from->gain,
                      .constant = from->constant,
                      .target_tiles = target->tile_count,
                      .targets = place(a, target->tiles, (size_t)target->tile_count * sizeof *target->tiles),
                      .target_tile_at = place(a, target->tile_at,
                                              (size_t)target->height * (size_t)target->width * sizeof *target->tile_at),
                      .buffer = l->buffers[from->buffer]};
  if (out->kind == NTK_EXIT_DIRECT) return;
  if (out->kind == NTK_EXIT_DISJOINT) {
    const size_t parts = (2 * (size_t)from->rows.size - 1) * (2 * (size_t)from->cols.size - 1);
    out->state = take_section(scratch, parts * (size_t)target->tile_count * state_reals(target));
    return;
  }
  const size_t states = p->want_ntk ? 2 : 1, outputs = (size_t)from->rows.outputs, width = (size_t)p->width;
  out->state = take_section(scratch, (size_t)p->tile_count * state_reals(p));
  out->middle = take_section(scratch, outputs * outputs * width * width * states);
}

/* Slots: the buffers that fill them, else shared memory as far as it goes, else memory of their own. */
static void fill_slots(const layout *l, int stage, size_t *scratch, ntk_cuda_stage *s, ntk_cuda_slot *out) {
  const ntk_program *top = &l->plan->program, *p = &top->stages[stage];
  for (int k = 0; k < p->slot_count; k++) out[k].shared = -2;
  for (int k = 0; k < top->buffer_count; k++)
    if (top->buffers[k].stage == stage && top->buffers[k].slot > 0)
      out[top->buffers[k].slot - 1] = (ntk_cuda_slot){-1, l->buffers[k]};
  for (int k = 0; k < p->slot_count; k++) {
    if (out[k].shared != -2) continue;
    s->shared_slots++;
    if (l->ops->shared_bytes(s) <= l->shared_most) {
      out[k].shared = s->shared_slots - 1;
      continue;
    }
    s->shared_slots--;
    out[k] = (ntk_cuda_slot){-1, take_section(scratch, (size_t)p->tile_count * state_reals(p))};
  }
}

/* The layers of a stage whose errors are estimated: the network's first activation and its last. */
static void find_judged(const ntk_program *top, int stage, int *first, int *last) {
  const ntk_program *p = &top->stages[stage];
  int before = 0;
  *first = *last = -1;
  for (int k = 0; k < stage; k++) before += top->stages[k].norm_count;
  for (int l = 0; l < p->layer_count; l++) {
    const int norm = p->layers[l].norm;
    if (norm < 0) continue;
    if (before + norm == 0)
      *first = l;
    else if (before + norm == top->norm_count - 1)
      *last = l;
  }
}

/* Whether the kernel multiplies the channels itself, as in plane.c. */
static int multiplies_itself(const ntk_program *p) {
  return p->channels <= NTK_INNER_CHANNELS || p->tile_count * 32 <= p->height * p->width;
}

/* The stage's layers, whose duals are placed, too. */
static const ntk_program_layer *place_layers(arena *a, const ntk_program *p, ntk_program_layer *copy) {
  for (int k = 0; k < p->layer_count; k++) {
    copy[k] = p->layers[k];
    if (copy[k].dual) copy[k].dual = place(a, copy[k].dual, sizeof *copy[k].dual);
  }
  return place(a, copy, (size_t)p->layer_count * sizeof *copy);
}

static ntk_status fill_stage(layout *l, arena *a, int stage, size_t norms, ntk_cuda_stage *out) {
  const ntk_program *top = &l->plan->program, *p = &top->stages[stage];
  size_t scratch = l->scratch_first;
  ntk_cuda_exit *exits = calloc((size_t)p->exit_count + 1, sizeof *exits);
  ntk_cuda_slot *slots = calloc((size_t)p->slot_count + 1, sizeof *slots);
  double *weights = calloc(ntk_cuda_pool_reals(p) + 1, sizeof *weights);
  ntk_program_layer *layers = calloc((size_t)p->layer_count + 1, sizeof *layers);
  *out = (ntk_cuda_stage){.channels = p->channels,
                          .height = p->height,
                          .width = p->width,
                          .inner = multiplies_itself(p),
                          .want_ntk = p->want_ntk,
                          .layer_count = p->layer_count,
                          .tile_count = p->tile_count,
                          .slot_count = p->slot_count,
                          .exit_count = p->exit_count,
                          .pool_count = p->pool_count,
                          .hashed = p->channels > 0 && p->channels <= NTK_INNER_CHANNELS,
                          .rows = rows_of_thread(p),
                          .shared_most = l->shared_most,
                          .norms = norms,
                          .host_exits = exits};
  if (!exits || !slots || !weights || !layers) {
    free(slots), free(weights), free(layers);
    return ntk_fail(NTK_ERROR_MEMORY, "no memory for the network's tables");
  }
  out->pitch = row_pitch(p, out->rows);
  find_judged(top, stage, &out->first_judged, &out->last_judged);
  fill_slots(l, stage, &scratch, out, slots);
  for (int k = 0; k < p->exit_count; k++) fill_exit(l, a, p, &p->exits[k], &scratch, &exits[k]);
  ntk_cuda_pool_weights(p, weights);
  out->layers = place_layers(a, p, layers);
  out->tiles = place(a, p->tiles, (size_t)p->tile_count * sizeof *p->tiles);
  out->tile_at = place(a, p->tile_at, (size_t)p->height * (size_t)p->width * sizeof *p->tile_at);
  out->slots = place(a, slots, (size_t)p->slot_count * sizeof *slots);
  out->exits = place(a, exits, (size_t)p->exit_count * sizeof *exits);
  out->pool_weights = place(a, weights, ntk_cuda_pool_reals(p) * sizeof *weights);
  free(slots), free(weights), free(layers);
  if (scratch > l->scratch_most) l->scratch_most = scratch;
  return NTK_OK;
}

/* ---- all stages ---- */

static void free_exits(ntk_cuda_stages *s) {
  for (int k = 0; s->stages && k < s->stage_count; k++) free((void *)s->stages[k].host_exits);
}

void ntk_cuda_stages_free(ntk_cuda_stages *s, void **memory) {
  free_exits(s);
  free((void *)s->stages), free((void *)s->cleared);
  if (memory) cudaFree(*memory), *memory = NULL;
  *s = (ntk_cuda_stages){0};
}

/* Buffers that some exit sums into are written completely by it. */
static void list_cleared(const layout *l, const ntk_cuda_stages *s, ntk_cuda_section *cleared, int *count) {
  const ntk_program *top = &l->plan->program;
  *count = 0;
  for (int k = 0; k < top->buffer_count; k++) {
    bool summed = false;
    for (int n = 0; n < top->stage_count; n++)
      for (int e = 0; e < top->stages[n].exit_count; e++)
        summed |= top->stages[n].exits[e].buffer == k && s->stages[n].host_exits[e].kind != NTK_EXIT_DIRECT;
    if (!summed && l->buffers[k].size > 0) cleared[(*count)++] = l->buffers[k];
  }
}

static ntk_status check_shared(const layout *l, const ntk_cuda_device *device, const ntk_cuda_stages *s) {
  for (int k = 0; k < s->stage_count; k++) {
    const size_t bytes = l->ops->shared_bytes(&s->stages[k]);
    if (bytes > l->shared_most)
      return ntk_fail(NTK_ERROR_DEVICE,
                      "%s has %zu KiB of shared memory for a block, this network needs %zu: use --device cpu",
                      device->name, l->shared_most >> 10, (bytes + 1023) >> 10);
  }
  return NTK_OK;
}

/* One round over all tables. `out` has its arrays, of which host_exits are still those of a round before. */
static ntk_status fill_stages(layout *l, arena *a, ntk_cuda_stages *out) {
  const ntk_program *top = &l->plan->program;
  ntk_cuda_stage *const stages = (ntk_cuda_stage *)out->stages;
  size_t reals = (size_t)top->channels * (size_t)top->height * (size_t)top->width, buffers = 0;
  reals = (reals + 1) / 2 * 2; /* pairs of reals follow */
  for (int k = 0; k < top->buffer_count; k++) {
    const ntk_program *p = &top->stages[top->buffers[k].stage];
    l->buffers[k] = take_section(&buffers, (size_t)p->tile_count * state_reals(p));
  }
  l->scratch_first = l->scratch_most = buffers;
  a->used = 0, out->first_stage = out->last_stage = -1;
  free_exits(out);
  memset(stages, 0, (size_t)top->stage_count * sizeof *stages);
  for (int k = 0; k < top->stage_count; k++) {
    NTK_TRY(fill_stage(l, a, k, reals, &stages[k]));
    if (stages[k].first_judged >= 0) out->first_stage = k;
    if (stages[k].last_judged >= 0) out->last_stage = k;
    reals += (size_t)top->stages[k].table_count * ntk_cuda_table_reals(top->stages[k].height, top->stages[k].width);
  }
  out->table_reals = (reals + 3) / 4 * 4;
  out->pair_reals = l->scratch_most;
  return NTK_OK;
}

static ntk_status start(const ntk_plan *plan, const ntk_cuda_stage_ops *ops, const ntk_cuda_device *device, layout *l,
                        arena *a, ntk_cuda_stages *out) {
  const ntk_program *top = &plan->program;
  *l = (layout){.plan = plan, .ops = ops, .shared_most = device->shared_bytes};
  *out = (ntk_cuda_stages){.stage_count = top->stage_count,
                           .pool_count = top->stages[top->stage_count - 1].pool_count,
                           .norm_count = top->norm_count};
  ntk_cuda_section *const cleared = calloc((size_t)top->buffer_count + 1, sizeof *cleared);
  out->stages = calloc((size_t)top->stage_count, sizeof *out->stages), out->cleared = cleared;
  l->buffers = calloc((size_t)top->buffer_count + 1, sizeof *l->buffers);
  if (!out->stages || !cleared || !l->buffers) return ntk_fail(NTK_ERROR_MEMORY, "no memory for the network's tables");
  NTK_TRY(fill_stages(l, a, out));
  NTK_TRY(check_shared(l, device, out));
  list_cleared(l, out, cleared, &out->cleared_count);
  return NTK_OK;
}

static ntk_status upload(layout *l, arena *a, cudaStream_t stream, ntk_cuda_stages *out, void **memory) {
  const size_t bytes = a->used;
  NTK_TRY(ntk_cuda_memory(memory, bytes, "the network's tables"));
  a->device = *memory;
  if (!(a->host = calloc(1, bytes))) return ntk_fail(NTK_ERROR_MEMORY, "no memory for the network's tables");
  NTK_TRY(fill_stages(l, a, out));
  NTK_CUDA_TRY(cudaMemcpyAsync(*memory, a->host, bytes, cudaMemcpyHostToDevice, stream), "the network's tables");
  NTK_CUDA_TRY(cudaStreamSynchronize(stream), "the network's tables");
  return NTK_OK;
}

ntk_status ntk_cuda_stages_create(const ntk_plan *plan, const ntk_cuda_stage_ops *ops, const ntk_cuda_device *device,
                                  cudaStream_t stream, ntk_cuda_stages *out, void **memory) {
  layout l;
  arena a = {0};
  ntk_status status = start(plan, ops, device, &l, &a, out);
  if (status == NTK_OK) status = upload(&l, &a, stream, out, memory);
  free(a.host), free(l.buffers);
  return status;
}

size_t ntk_cuda_stages_judged_tiles(const ntk_cuda_stages *s) {
  const int first = s->first_stage < 0 ? 0 : s->stages[s->first_stage].tile_count;
  const int last = s->last_stage < 0 ? 0 : s->stages[s->last_stage].tile_count;
  return (size_t)(first > last ? first : last);
}
