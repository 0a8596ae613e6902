/* Lowering of networks with branches, strides and poolings: the graph's nodes -> layers, slots, exits and tiles of
 * stages (kernels/program.h). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/gram/graph.h"
#include "host/net/activation.h"
#include "host/status.h"
#include "kernels/packing.h"

static ntk_status no_memory(void) { return ntk_fail(NTK_ERROR_MEMORY, "no memory for a plan"); }

/* Nodes that one layer computes, -1 where it has none: a filter, a sum and an activation, in this order; `copy` alone
 * hands a state on as it is. */
typedef struct unit {
  int conv, sum, act, copy;
  int source, other; /* node that enters the filter; node that the sum adds */
  int chained;       /* the source comes straight from the unit before */
} unit;

/* Everything known while one stage is lowered. */
typedef struct stage_work {
  ntk_graph *graph;
  ntk_plan *plan;
  int index;
  int height, width;
  unit *units;
  int unit_count;
  unsigned char *done; /* [node]: computed */
  int *slot;           /* [node]: its slot, 0 none */
  bool *waits;         /* [node]: some reader takes it from a slot */
  ntk_program_layer *layers;
  const ntk_planes *sets[2][NTK_MAX_DEMANDS]; /* demands of tiles: main and self pass; 0 is the whole stage's */
  int set_count[2];
} stage_work;

static int before_activation(const unit *u) { return u->sum >= 0 ? u->sum : u->conv >= 0 ? u->conv : u->source; }
static int result_of(const unit *u) { return u->act >= 0 ? u->act : u->copy >= 0 ? u->copy : before_activation(u); }

static bool same_demand(const ntk_node *a, const ntk_node *b) {
  return memcmp(a->demand, b->demand, ntk_planes_size(a->height, a->width)) == 0;
}

/* ---- units ---- */

/* The first node of the stage, not yet computed, that reads `source` and is of that kind; -1 if none. */
static int reader_of(const stage_work *w, int source, ntk_node_kind kind) {
  for (int k = source + 1; k < w->graph->count; k++) {
    const ntk_node *n = &w->graph->nodes[k];
    if (n->kind == kind && n->stage == w->index && !w->done[k] && (n->sources[0] == source || n->sources[1] == source))
      return k;
  }
  return -1;
}

/* Takes the sum behind a filter in, if its other state is there already. */
static void take_sum(const stage_work *w, unit *u) {
  const ntk_node *nodes = w->graph->nodes;
  const int sum = nodes[u->conv].consumers == 1 ? reader_of(w, u->conv, NTK_NODE_SUM) : -1;
  if (sum < 0) return;
  const int other = nodes[sum].sources[0] == u->conv ? nodes[sum].sources[1] : nodes[sum].sources[0];
  if (!w->done[other]) return;
  u->sum = sum, u->other = other;
  w->done[sum] = 1;
}

static void take_activation(const stage_work *w, unit *u) {
  const int from = before_activation(u), act = reader_of(w, from, NTK_NODE_ACT);
  if (act < 0 || !same_demand(&w->graph->nodes[from], &w->graph->nodes[act])) return;
  u->act = act;
  w->done[act] = 1;
}

/* Whether node k is computed by a layer of its own or of its stage's first one. */
static bool needs_copy(const ntk_graph *g, int k) {
  const ntk_node *n = &g->nodes[k];
  if (n->kind == NTK_NODE_WINDOW) return ntk_graph_tap(g, k) >= 0;
  if (n->kind != NTK_NODE_INPUT) return false;
  for (int i = 1; i < g->count; i++)
    if (g->nodes[i].sources[0] == k)
      return n->consumers > 1 || ntk_graph_tap(g, k) >= 0 || g->nodes[i].kind != NTK_NODE_CONV;
  return true;
}

static void list_units(stage_work *w) {
  const ntk_graph *g = w->graph;
  for (int k = 0; k < g->count; k++) {
    const ntk_node *n = &g->nodes[k];
    if (n->stage != w->index || w->done[k]) continue;
    unit u = {-1, -1, -1, -1, n->sources[0], -1, 0};
    w->done[k] = 1;
    if (n->kind == NTK_NODE_INPUT || n->kind == NTK_NODE_WINDOW) {
      if (!needs_copy(g, k)) continue;
      u.copy = u.source = k;
    } else if (n->kind == NTK_NODE_CONV) {
      u.conv = k;
      take_sum(w, &u);
      take_activation(w, &u);
    } else if (n->kind == NTK_NODE_SUM) {
      u.sum = k, u.other = n->sources[1];
      take_activation(w, &u);
    } else {
      u.act = k;
    }
    w->units[w->unit_count++] = u;
  }
}

/* ---- slots ---- */

/* Which states wait in slots: what exits and sums read, and sources that are not the unit before. */
static void find_waiting(stage_work *w) {
  const ntk_graph *g = w->graph;
  for (int k = 0; k < g->count; k++) {
    const ntk_node *n = &g->nodes[k];
    if (n->kind == NTK_NODE_WINDOW && g->nodes[n->sources[0]].stage == w->index) w->waits[n->sources[0]] = true;
    if (n->kind == NTK_NODE_WINDOW && n->stage == w->index) w->waits[k] = true;
  }
  for (int k = 0; k < g->count; k++)
    if (g->nodes[k].stage == w->index && ntk_graph_tap(g, k) >= 0) w->waits[k] = true; /* pooled from there */
  for (int k = 0; k < w->unit_count; k++)
    if (w->units[k].other >= 0) w->waits[w->units[k].other] = true;
  for (int k = 0; k < w->unit_count; k++) {
    unit *u = &w->units[k];
    if (u->copy >= 0 && g->nodes[u->copy].kind == NTK_NODE_INPUT) continue;
    if (g->nodes[u->source].kind == NTK_NODE_INPUT && !needs_copy(g, u->source)) continue;
    u->chained = k > 0 && result_of(&w->units[k - 1]) == u->source;
    if (!u->chained) w->waits[u->source] = true;
  }
  for (int k = 0; k < w->unit_count; k++) /* a state that waits anyway is read from its slot */
    if (w->units[k].chained && w->waits[w->units[k].source]) w->units[k].chained = 0;
}

/* The last unit that reads a node's slot; unit_count: it leaves through an exit. */
static int last_reader(const stage_work *w, int node, bool *as_filter) {
  const ntk_graph *g = w->graph;
  int last = -1;
  *as_filter = false;
  for (int k = 0; k < w->unit_count; k++) {
    if (w->units[k].other != node && w->units[k].source != node) continue;
    last = k, *as_filter = w->units[k].source == node;
  }
  for (int k = 0; k < g->count; k++)
    if (g->nodes[k].kind == NTK_NODE_WINDOW && g->nodes[k].sources[0] == node) last = w->unit_count;
  return last;
}

/* A slot for a node that unit `at` computes (-1: loaded); free slots are used again. A slot that unit `at` only adds
 * may take its own result. */
static int take_slot(stage_work *w, int *busy_until, int *slot_count, int node, int at) {
  bool as_filter;
  const int last = last_reader(w, node, &as_filter);
  int slot = 1;
  while (slot <= *slot_count && busy_until[slot] >= 2 * at + 1) slot++;
  if (slot > *slot_count) *slot_count = slot;
  /* even: read by an addition, so that the same unit may write over it; odd: by a filter */
  busy_until[slot] = last == w->unit_count ? 2 * w->unit_count + 2 : 2 * last + (as_filter ? 1 : 0);
  if (busy_until[slot] < 2 * at + 1) busy_until[slot] = 2 * at + 1;
  return slot;
}

static ntk_status assign_slots(stage_work *w, int *slot_count) {
  const ntk_graph *g = w->graph;
  int *busy_until = calloc((size_t)g->count + 2, sizeof *busy_until);
  if (!busy_until) return no_memory();
  *slot_count = 0;
  for (int k = 0; k < g->count + 2; k++) busy_until[k] = -10;
  for (int k = 0; k < g->count; k++)
    if (g->nodes[k].kind == NTK_NODE_WINDOW && g->nodes[k].stage == w->index)
      w->slot[k] = take_slot(w, busy_until, slot_count, k, -1);
  for (int k = 0; k < w->unit_count; k++) {
    const int before = before_activation(&w->units[k]), result = result_of(&w->units[k]);
    const bool loaded = g->nodes[result].kind == NTK_NODE_WINDOW;
    if (w->units[k].act >= 0 && w->waits[before] && w->slot[before] == 0)
      w->slot[before] = take_slot(w, busy_until, slot_count, before, k);
    if (!loaded && w->waits[result]) w->slot[result] = take_slot(w, busy_until, slot_count, result, k);
  }
  free(busy_until);
  return NTK_OK;
}

/* ---- demands ---- */

static ntk_status find_demand(stage_work *w, const ntk_planes *set, int pass, int *index) {
  const size_t size = ntk_planes_size(w->height, w->width);
  for (*index = 0; *index < w->set_count[pass]; ++*index)
    if (memcmp(w->sets[pass][*index], set, size) == 0) return NTK_OK;
  if (*index == NTK_MAX_DEMANDS)
    return ntk_fail(NTK_ERROR_UNSUPPORTED,
                    "the branches at one resolution need more than %d different sets of offsets: take fewer kinds of "
                    "strides and poolings side by side",
                    NTK_MAX_DEMANDS);
  w->sets[pass][w->set_count[pass]++] = set;
  return NTK_OK;
}

/* The whole stage's demand: what any of its states needs. */
static ntk_status start_demands(stage_work *w) {
  const ntk_graph *g = w->graph;
  const size_t size = ntk_planes_size(w->height, w->width);
  for (int pass = 0; pass < 2; pass++) {
    ntk_planes *all = ntk_plan_own(w->plan, size, 1);
    if (!all) return no_memory();
    for (int k = 0; k < g->count; k++) {
      const ntk_planes *set = pass ? g->nodes[k].self : g->nodes[k].demand;
      for (size_t i = 0; g->nodes[k].stage == w->index && i < size; i++) all[i] |= set[i];
    }
    w->sets[pass][0] = all;
    w->set_count[pass] = 1;
  }
  return NTK_OK;
}

static bool tile_has(const ntk_planes *set, int h, int w, int a, int b) {
  return ntk_planes_has(set, h, w, a, b) || ntk_planes_has(set, h, w, a - h, b) ||
         ntk_planes_has(set, h, w, a, b - w) || ntk_planes_has(set, h, w, a - h, b - w);
}

static ntk_status list_tiles(stage_work *w, int pass, ntk_program *program) {
  const int height = w->height, width = w->width;
  ntk_tile *tiles = ntk_plan_own(w->plan, (size_t)height * width, sizeof *tiles);
  int *tile_at = ntk_plan_own(w->plan, (size_t)height * width, sizeof *tile_at), n = 0;
  if (!tiles || !tile_at) return no_memory();
  const ntk_planes *all = w->sets[pass][0];
  for (int b = 0; b < width; b++)
    for (int a = 0; a < height; a++) {
      tile_at[a * width + b] = -1;
      if (!tile_has(all, height, width, a, b)) continue;
      const bool down = ntk_planes_has(all, height, width, a, b) || ntk_planes_has(all, height, width, a, b - width);
      const bool up = a > 0 && (ntk_planes_has(all, height, width, a - height, b) ||
                                ntk_planes_has(all, height, width, a - height, b - width));
      tile_at[a * width + b] = n;
      ntk_tile *tile = &tiles[n++];
      *tile = (ntk_tile){a, b, 0, height, 0};
      if (!up) tile->row_count = height - a;
      if (!down) tile->first_row = height - a, tile->row_count = a;
      for (int k = 0; k < w->set_count[pass]; k++)
        if (tile_has(w->sets[pass][k], height, width, a, b)) tile->demands |= 1u << k;
    }
  program->tiles = tiles, program->tile_count = n, program->tile_at = tile_at;
  return NTK_OK;
}

/* ---- layers ---- */

static double bias_variance(const ntk_plan *plan, const ntk_layer *layer) {
  return ntk_bias_variance(layer, plan->shape.channels);
}

static bool is_circular(const ntk_layer *layer) {
  return layer->padding == NTK_PAD_CIRCULAR && layer->rows * layer->cols > 1;
}

static bool is_conv(const ntk_node *n) { return n->layer && n->layer->kind == NTK_LAYER_CONV; }

/* What a convolution makes of a state's scale and bound, and what it adds (ntk_program_layer). */
static void scale_conv(const stage_work *w, const ntk_layer *layer, double *alpha, double *bound, double *bias,
                       double *gain, double *constant) {
  const double b2 = bias_variance(w->plan, layer), largest = w->plan->program.bias_scale;
  const double weight = layer->weight_std * layer->weight_std / ((double)layer->rows * layer->cols);
  *alpha *= weight;
  *bound *= (double)layer->rows * layer->cols;
  if (b2 > 0) *bound += 4 * (b2 / (largest * largest)) / *alpha;
  *bias = b2 / *alpha;
  *gain = !layer->fixed, *constant = layer->fixed ? 0 : *bias;
  if (layer->width == 0) return;
  ntk_standard_terms(layer, gain, constant);
  *gain /= weight, *constant /= *alpha;
}

/* Scale and bound of the states that a unit computes; its numbers into the layer. */
static ntk_status scale_unit(stage_work *w, const unit *u, ntk_program_layer *out) {
  ntk_node *nodes = w->graph->nodes;
  const double limit = ntk_plan_in_float64(w->plan) ? 900 : 100; /* log2 */
  double alpha = nodes[u->source].alpha, bound = nodes[u->source].bound;
  const ntk_layer *last = NULL;
  if (u->conv >= 0) {
    const ntk_layer *layer = last = nodes[u->conv].layer;
    scale_conv(w, layer, &alpha, &bound, &out->bias, &out->gain, &out->constant);
    nodes[u->conv].alpha = alpha, nodes[u->conv].bound = bound;
  }
  if (u->sum >= 0) {
    out->add_scale = nodes[u->other].alpha / alpha;
    bound += nodes[u->other].bound * out->add_scale;
    last = nodes[u->sum].layer;
    nodes[u->sum].alpha = alpha, nodes[u->sum].bound = bound;
  }
  if (u->act >= 0 && nodes[u->act].dual) {
    last = nodes[u->act].layer;
    out->dual = nodes[u->act].dual, out->dual_alpha = alpha;
    alpha = 1, bound = fmax(1, bound * out->dual_alpha);
  } else if (u->act >= 0) {
    last = nodes[u->act].layer;
    alpha *= last->factor / 2;
  }
  if (last && (!(alpha > 0) || !isfinite(alpha) || !isfinite(bound))) return ntk_out_of_range(last);
  if (log2(bound) > limit && u->act >= 0) {
    const int shift = ilogb(bound);
    out->rescale = ldexp(1, -shift);
    alpha = ldexp(alpha, shift), bound = ldexp(bound, -shift);
  }
  nodes[result_of(u)].alpha = alpha, nodes[result_of(u)].bound = bound;
  return NTK_OK;
}

static ntk_status make_layer(stage_work *w, const unit *u, ntk_program *program, ntk_program_layer *out) {
  const ntk_node *nodes = w->graph->nodes;
  const int before = before_activation(u), result = result_of(u);
  *out = (ntk_program_layer){.rows = 1, .cols = 1, .tap = -1, .norm = -1, .rescale = 1};
  if (u->conv >= 0) {
    const ntk_layer *layer = nodes[u->conv].layer;
    out->rows = layer->rows, out->cols = layer->cols;
    out->circular = is_circular(layer);
    out->trained = !layer->fixed && layer->width == 0;
  }
  NTK_TRY(scale_unit(w, u, out));
  const bool from_image = nodes[u->source].kind == NTK_NODE_INPUT && (u->copy >= 0 || !w->slot[u->source]);
  if (!u->chained && !from_image) out->from = w->slot[u->source];
  if (u->other >= 0) out->add = w->slot[u->other];
  if (u->act >= 0) {
    out->relu = 1, out->signed_rho = nodes[before].may_be_negative, out->norm = program->norm_count++;
    out->table = program->table_count;
    program->table_count += out->dual ? ntk_dual_side_count(out->dual) : 2;
    if (before != u->source) out->save = w->slot[before];
  }
  if (u->copy < 0 || nodes[u->copy].kind == NTK_NODE_INPUT) out->result = w->slot[result];
  out->tap = ntk_graph_tap(w->graph, result);
  return find_demand(w, nodes[before].demand, 0, &out->demand);
}

/* States that come in: their scale. */
static ntk_status scale_windows(stage_work *w) {
  ntk_node *nodes = w->graph->nodes;
  for (int k = 0; k < w->graph->count; k++) {
    ntk_node *n = &nodes[k];
    if (n->kind != NTK_NODE_WINDOW || n->stage != w->index) continue;
    const double size = (double)n->rows.size * n->cols.size;
    n->alpha = nodes[n->sources[0]].alpha / (size * size);
    n->bound = nodes[n->sources[0]].bound * size * size;
    double unused[3];
    if (is_conv(n)) scale_conv(w, n->layer, &n->alpha, &n->bound, &unused[0], &unused[1], &unused[2]);
    if (n->layer && (!(n->alpha > 0) || !isfinite(n->alpha) || !isfinite(n->bound))) return ntk_out_of_range(n->layer);
  }
  return NTK_OK;
}

/* ---- exits ---- */

static ntk_status list_exits(stage_work *w, int pass, const int *buffer, ntk_program *program) {
  const ntk_graph *g = w->graph;
  ntk_exit *exits = ntk_plan_own(w->plan, NTK_MAX_EXITS, sizeof *exits);
  if (!exits) return no_memory();
  program->exits = exits;
  for (int k = 0; k < g->count; k++) {
    const ntk_node *n = &g->nodes[k];
    if (n->kind != NTK_NODE_WINDOW || g->nodes[n->sources[0]].stage != w->index) continue;
    const ntk_planes *out = pass ? n->self : n->demand;
    if (!memchr(out, 1, ntk_planes_size(n->height, n->width))) continue;
    if (program->exit_count == NTK_MAX_EXITS)
      return ntk_fail(NTK_ERROR_UNSUPPORTED, "more than %d strided or pooled branches leave one resolution",
                      NTK_MAX_EXITS);
    ntk_planes *in = ntk_plan_own(w->plan, ntk_planes_size(w->height, w->width), 1);
    if (!in) return no_memory();
    NTK_TRY(ntk_window_demand(&n->rows, &n->cols, out, in));
    ntk_exit *e = &exits[program->exit_count++];
    *e = (ntk_exit){w->slot[n->sources[0]], buffer[k], 0, n->rows, n->cols, 1, 1, 0, 0, 0, 0};
    if (is_conv(n)) {
      double alpha = g->nodes[n->sources[0]].alpha, bound = 1;
      e->filter_rows = n->layer->rows, e->filter_cols = n->layer->cols;
      e->circular = is_circular(n->layer);
      scale_conv(w, n->layer, &alpha, &bound, &e->bias, &e->gain, &e->constant);
      if (e->circular) ntk_close_cyclic(in, w->height, w->width);
    }
    NTK_TRY(find_demand(w, in, pass, &e->demand));
  }
  return NTK_OK;
}

/* The same layers for the self pass: no readout, its own demands. */
static ntk_status self_layers(stage_work *w, const ntk_program *main, ntk_program *self) {
  ntk_program_layer *layers = ntk_plan_own(w->plan, (size_t)main->layer_count + 1, sizeof *layers);
  if (!layers) return no_memory();
  *self = *main;
  self->want_ntk = self->tap_count = self->pool_count = self->exit_count = 0;
  self->layers = layers;
  for (int k = 0; k < main->layer_count; k++) {
    layers[k] = main->layers[k];
    layers[k].tap = -1;
    NTK_TRY(find_demand(w, w->graph->nodes[before_activation(&w->units[k])].self, 1, &layers[k].demand));
  }
  return NTK_OK;
}

/* ---- a stage ---- */

static ntk_status fill_stage(stage_work *w, const int *buffer, ntk_program *out, ntk_program *self) {
  ntk_plan *plan = w->plan;
  int slot_count;
  list_units(w);
  find_waiting(w);
  NTK_TRY(assign_slots(w, &slot_count));
  NTK_TRY(start_demands(w));
  NTK_TRY(scale_windows(w));
  ntk_program_layer *layers = ntk_plan_own(plan, (size_t)w->unit_count + 1, sizeof *layers);
  if (!layers) return no_memory();
  *out = (ntk_program){.channels = w->index == 0 ? plan->program.channels : 0,
                       .height = w->height,
                       .width = w->width,
                       .layer_count = w->unit_count,
                       .layers = layers,
                       .want_ntk = plan->program.want_ntk,
                       .bias_scale = plan->program.bias_scale,
                       .in_stages = 1,
                       .slot_count = slot_count};
  for (int k = 0; k < w->unit_count; k++) NTK_TRY(make_layer(w, &w->units[k], out, &layers[k]));
  for (int k = 0; k < w->graph->count; k++) {
    const ntk_node *n = &w->graph->nodes[k];
    const bool here = n->sources[0] >= 0 && w->graph->nodes[n->sources[0]].stage == w->index;
    if (here && is_conv(n)) out->large_filters |= n->layer->rows > 3 || n->layer->cols > 3 || is_circular(n->layer);
  }
  for (int k = 0; k < plan->program.tap_count; k++)
    if (w->graph->nodes[w->graph->taps[k]].stage == w->index) {
      out->tap_count = plan->program.tap_count;
      out->pool_count = plan->program.pool_count, out->pools = plan->program.pools;
    }
  NTK_TRY(self_layers(w, out, self));
  NTK_TRY(list_exits(w, 0, buffer, out));
  NTK_TRY(list_exits(w, 1, buffer, self));
  NTK_TRY(list_tiles(w, 0, out));
  return list_tiles(w, 1, self);
}

static ntk_status lower_stage(ntk_graph *g, int index, unsigned char *done, int *slot, const int *buffer,
                              ntk_program *out, ntk_program *self) {
  stage_work w = {.graph = g, .plan = g->plan, .index = index, .done = done, .slot = slot};
  for (int k = 0; k < g->count; k++)
    if (g->nodes[k].stage == index) w.height = g->nodes[k].height, w.width = g->nodes[k].width;
  w.units = calloc((size_t)g->count + 1, sizeof *w.units);
  w.waits = calloc((size_t)g->count + 1, sizeof *w.waits);
  const ntk_status status = w.units && w.waits ? fill_stage(&w, buffer, out, self) : no_memory();
  free(w.units), free(w.waits);
  return status;
}

static ntk_status lower_stages(ntk_graph *g, unsigned char *done, int *slot, int *buffer) {
  ntk_plan *plan = g->plan;
  ntk_program *stages = ntk_plan_own(plan, (size_t)g->stage_count, sizeof *stages);
  ntk_program *selves = ntk_plan_own(plan, (size_t)g->stage_count, sizeof *selves);
  ntk_program *self = ntk_plan_own(plan, 1, sizeof *self);
  ntk_buffer *buffers = ntk_plan_own(plan, (size_t)g->count, sizeof *buffers);
  if (!stages || !selves || !self || !buffers) return no_memory();
  int buffer_count = 0;
  bool any = false;
  for (int k = 0; k < g->count; k++) buffer[k] = g->nodes[k].kind == NTK_NODE_WINDOW ? buffer_count++ : -1;
  plan->program.norm_count = 0;
  for (int k = 0; k < g->stage_count; k++) {
    NTK_TRY(lower_stage(g, k, done, slot, buffer, &stages[k], &selves[k]));
    plan->program.norm_count += stages[k].norm_count;
    any = any || selves[k].tile_count > 0;
  }
  for (int k = g->stage_count - 2; k >= 0; k--)
    stages[k].more_relus = stages[k + 1].more_relus || stages[k + 1].norm_count > 0;
  for (int k = 0; k < g->count; k++)
    if (buffer[k] >= 0) buffers[buffer[k]] = (ntk_buffer){g->nodes[k].stage, slot[k]};
  plan->program.stage_count = g->stage_count, plan->program.stages = stages;
  plan->program.buffer_count = buffer_count, plan->program.buffers = buffers;
  if (any) {
    *self = plan->program;
    self->stages = selves, self->want_ntk = 0;
    plan->program.self = self;
  }
  return NTK_OK;
}

/* Entry-layers: the demanded entries of every activation. */
static void count_cost(ntk_graph *g) {
  ntk_plan *plan = g->plan;
  for (int k = 0; k < g->count; k++) {
    const ntk_node *n = &g->nodes[k];
    int64_t entries = 0, planes = 0;
    for (int d1 = 1 - n->height; d1 < n->height; d1++)
      for (int d2 = 1 - n->width; d2 < n->width; d2++) {
        if (!ntk_planes_has(n->demand, n->height, n->width, d1, d2)) continue;
        entries += (int64_t)(n->height - abs(d1)) * (n->width - abs(d2));
        planes++;
      }
    if (k == 0) plan->entries = entries, plan->planes = planes;
    if (n->kind == NTK_NODE_ACT) plan->entry_layers += (double)entries;
  }
}

ntk_status ntk_graph_lower(ntk_graph *g) {
  ntk_plan *plan = g->plan;
  g->nodes[0].alpha = 1.0 / (double)plan->program.channels;
  g->nodes[0].bound = 4.0 * (double)plan->program.channels;
  unsigned char *done = calloc((size_t)g->count, 1);
  int *slot = calloc((size_t)g->count, sizeof *slot), *buffer = calloc((size_t)g->count, sizeof *buffer);
  ntk_status status = done && slot && buffer ? lower_stages(g, done, slot, buffer) : no_memory();
  free(done), free(slot), free(buffer);
  if (status != NTK_OK) return status;
  for (int k = 0; k < plan->program.tap_count; k++) plan->tap_factor[k] = g->nodes[g->taps[k]].alpha;
  count_cost(g);
  return NTK_OK;
}
