/* The graph of a network's states, and its stages. */
#include "host/gram/graph.h"

#include <stdlib.h>
#include <string.h>

#include "host/net/activation.h"
#include "host/status.h"

static ntk_status no_memory(void) { return ntk_fail(NTK_ERROR_MEMORY, "no memory for a plan"); }

bool ntk_graph_is_plain(const ntk_layer *layers, size_t count) {
  for (size_t k = 0; k < count; k++) {
    const ntk_layer *layer = &layers[k];
    const bool one = layer->rows == 1 && layer->cols == 1;
    if (layer->kind == NTK_LAYER_SUM || layer->kind == NTK_LAYER_AVGPOOL) return false;
    if (layer->kind == NTK_LAYER_CONV && layer->width > 0) return false;
    if (layer->kind == NTK_LAYER_CONV && (layer->stride != 1 || (layer->padding == NTK_PAD_VALID && !one)))
      return false;
    if (layer->kind == NTK_LAYER_ACTIVATION && layer->activation != NTK_ACT_RELU) return false;
    if (layer->kind == NTK_LAYER_ACTIVATION && k > 0 && layers[k - 1].kind == NTK_LAYER_ACTIVATION) return false;
  }
  return count == 0 || layers[0].kind == NTK_LAYER_CONV;
}

static ntk_status add_node(ntk_graph *g, ntk_node node, int *out) {
  if (g->count == g->capacity) {
    const int capacity = 2 * g->capacity + 16;
    ntk_node *nodes = realloc(g->nodes, (size_t)capacity * sizeof *nodes);
    if (!nodes) return no_memory();
    g->nodes = nodes, g->capacity = capacity;
  }
  const size_t planes = ntk_planes_size(node.height, node.width);
  node.demand = calloc(planes, 1), node.self = calloc(planes, 1);
  g->nodes[g->count] = node; /* its sets are freed with the graph */
  *out = g->count++;
  return node.demand && node.self ? NTK_OK : no_memory();
}

void ntk_graph_free(ntk_graph *g) {
  for (int k = 0; k < g->count; k++) free(g->nodes[k].demand), free(g->nodes[k].self);
  free(g->nodes), free(g->taps);
}

/* ---- windows ---- */

ntk_window ntk_layer_window(const ntk_layer *layer, int window, int inputs) {
  ntk_window w = {.size = window, .stride = layer->stride, .inputs = inputs};
  int padded = 0;
  const bool valid = layer->padding == NTK_PAD_VALID, conv = layer->kind == NTK_LAYER_CONV;
  w.outputs = valid ? (inputs - window) / w.stride + 1 : (inputs + w.stride - 1) / w.stride;
  if (layer->padding == NTK_PAD_SAME || (!conv && layer->padding == NTK_PAD_CIRCULAR)) {
    padded = (w.outputs - 1) * w.stride + window - inputs;
    w.before = padded > 0 ? padded / 2 : 0;
  } else if (!valid) {
    w.before = (window - 1) / 2;
  }
  w.circular = layer->padding == NTK_PAD_CIRCULAR;
  return w;
}

/* size / pixels in range, for every output; NULL if all are 1. */
static ntk_status edge_weights(ntk_plan *plan, ntk_window *w) {
  double *weights = ntk_plan_own(plan, (size_t)w->outputs, sizeof *weights);
  bool whole = true;
  if (!weights) return no_memory();
  for (int output = 0; output < w->outputs; output++) {
    int inside = 0;
    for (int c = 0; c < w->size; c++) {
      const int at = w->stride * output - w->before + c;
      inside += w->circular || (at >= 0 && at < w->inputs);
    }
    weights[output] = inside > 0 ? (double)w->size / inside : 0;
    whole = whole && inside == w->size;
  }
  if (!whole) w->weights = weights;
  return NTK_OK;
}

static ntk_status add_window(ntk_graph *g, const ntk_layer *layer, int source, ntk_window rows, ntk_window cols,
                             int *out) {
  const ntk_node from = g->nodes[source];
  g->nodes[source].consumers++;
  return add_node(g,
                  (ntk_node){.kind = NTK_NODE_WINDOW,
                             .layer = layer,
                             .sources = {source, -1},
                             .height = rows.outputs,
                             .width = cols.outputs,
                             .level = from.level + 1,
                             .may_be_negative = from.may_be_negative,
                             .rows = rows,
                             .cols = cols},
                  out);
}

/* Every `stride`-th entry from `first` on, `outputs` of them. */
static ntk_window subsampling(int stride, int first, int inputs, int outputs) {
  return (ntk_window){.size = 1, .stride = stride, .before = -first, .inputs = inputs, .outputs = outputs};
}

/* ---- layers ---- */

ntk_status ntk_check_conv(const ntk_layer *layer, int height, int width) {
  if (layer->weight_std == 0)
    return ntk_fail(NTK_ERROR_UNSUPPORTED, "layer %d, column %d: W=0 cuts the network off its input", layer->number,
                    layer->column);
  if (layer->rows / 2 > NTK_MAX_SIDE / 2 || layer->cols / 2 > NTK_MAX_SIDE / 2 ||
      (layer->padding == NTK_PAD_CIRCULAR && (layer->rows > height || layer->cols > width)))
    return ntk_fail(NTK_ERROR_UNSUPPORTED, "layer %d, column %d: a filter of %d x %d is larger than this version takes",
                    layer->number, layer->column, layer->rows, layer->cols);
  return NTK_OK;
}

ntk_status ntk_out_of_range(const ntk_layer *layer) {
  return ntk_fail(NTK_ERROR_NETWORK,
                  "layer %d, column %d: the weights are so large or so small that the kernel leaves the range of "
                  "numbers: choose W nearer to 1",
                  layer->number, layer->column);
}

static ntk_status add_conv(ntk_graph *g, const ntk_layer *layer, int source, int *out) {
  const ntk_node from = g->nodes[source];
  NTK_TRY(ntk_check_conv(layer, from.height, from.width));
  const ntk_window rows = ntk_layer_window(layer, layer->rows, from.height);
  const ntk_window cols = ntk_layer_window(layer, layer->cols, from.width);
  if (rows.outputs != from.height || cols.outputs != from.width || layer->stride != 1)
    return add_window(g, layer, source,
                      subsampling(layer->stride, layer->rows / 2 - rows.before, from.height, rows.outputs),
                      subsampling(layer->stride, layer->cols / 2 - cols.before, from.width, cols.outputs), out);
  g->nodes[source].consumers++;
  return add_node(g,
                  (ntk_node){.kind = NTK_NODE_CONV,
                             .layer = layer,
                             .sources = {source, -1},
                             .height = from.height,
                             .width = from.width,
                             .level = from.level,
                             .may_be_negative = from.may_be_negative},
                  out);
}

/* Whether two windows in a row are one: the first ones lie side by side and fill the second ones. */
static bool windows_merge(const ntk_window *first, const ntk_window *second) {
  return first->size == first->stride && first->before == 0 && second->before == 0 && !first->circular &&
         !second->circular && !first->weights && !second->weights && first->size > 1 &&
         (second->outputs - 1) * second->stride + second->size <= second->inputs &&
         (first->outputs - 1) * first->stride + first->size <= first->inputs;
}

static ntk_window merged(ntk_window first, ntk_window second) {
  first.size *= second.size, first.stride *= second.stride, first.outputs = second.outputs;
  return first;
}

static ntk_status add_pool(ntk_graph *g, const ntk_layer *layer, int source, int *out) {
  ntk_node *from = &g->nodes[source];
  ntk_window rows = ntk_layer_window(layer, layer->rows, from->height);
  ntk_window cols = ntk_layer_window(layer, layer->cols, from->width);
  if (layer->normalized) {
    NTK_TRY(edge_weights(g->plan, &rows));
    NTK_TRY(edge_weights(g->plan, &cols));
  }
  if (from->kind == NTK_NODE_WINDOW && from->consumers == 0 && source == g->count - 1 && from->layer &&
      from->layer->kind == NTK_LAYER_AVGPOOL && windows_merge(&from->rows, &rows) &&
      windows_merge(&from->cols, &cols)) {
    const int before = from->sources[0];
    rows = merged(from->rows, rows), cols = merged(from->cols, cols);
    free(from->demand), free(from->self);
    g->count--;
    g->nodes[before].consumers--;
    source = before;
  }
  return add_window(g, layer, source, rows, cols, out);
}

static ntk_status add_act(ntk_graph *g, const ntk_layer *layer, int source, int *out) {
  const ntk_node from = g->nodes[source];
  const bool relu = layer->activation == NTK_ACT_RELU;
  ntk_activation_dual *dual = relu ? NULL : ntk_plan_own(g->plan, 1, sizeof *dual);
  if (!relu && !dual) return no_memory();
  if (!relu) NTK_TRY(ntk_activation_make(layer, dual));
  if (!relu) g->plan->float64 = true;
  g->nodes[source].consumers++;
  g->plan->activation_layers++;
  return add_node(g,
                  (ntk_node){.kind = NTK_NODE_ACT,
                             .layer = layer,
                             .dual = dual,
                             .depth = g->nesting ? 0 : g->plan->activation_layers,
                             .sources = {source, -1},
                             .height = from.height,
                             .width = from.width,
                             .level = from.level,
                             .may_be_negative = !relu},
                  out);
}

/* Raises a state to a level: a window is simply read later, anything else is copied. */
static ntk_status raise_level(ntk_graph *g, int level, int *node) {
  ntk_node *n = &g->nodes[*node];
  if (n->level == level) return NTK_OK;
  if (n->kind == NTK_NODE_WINDOW && n->consumers == 0) {
    n->level = level;
    return NTK_OK;
  }
  NTK_TRY(
      add_window(g, NULL, *node, subsampling(1, 0, n->height, n->height), subsampling(1, 0, n->width, n->width), node));
  g->nodes[*node].level = level;
  return NTK_OK;
}

static ntk_status add_layers(ntk_graph *g, const ntk_layer *layers, size_t count, int source, int *out);

static ntk_status add_sum(ntk_graph *g, const ntk_layer *layer, int source, int *out) {
  int sum = -1;
  for (size_t k = 0; k < layer->branch_count; k++) {
    int branch;
    /* the split point has a reader more until the sum is complete, so that nothing merges with it */
    g->nodes[source].consumers++;
    g->nesting++;
    NTK_TRY(add_layers(g, layer->branches[k].items, layer->branches[k].count, source, &branch));
    g->nesting--;
    g->nodes[source].consumers--;
    if (sum < 0) {
      sum = branch;
      g->nodes[sum].consumers++; /* likewise */
      continue;
    }
    g->nodes[sum].consumers--;
    const int level = g->nodes[sum].level > g->nodes[branch].level ? g->nodes[sum].level : g->nodes[branch].level;
    NTK_TRY(raise_level(g, level, &sum));
    NTK_TRY(raise_level(g, level, &branch));
    const ntk_node a = g->nodes[sum], b = g->nodes[branch];
    g->nodes[sum].consumers++, g->nodes[branch].consumers++;
    NTK_TRY(add_node(g,
                     (ntk_node){.kind = NTK_NODE_SUM,
                                .layer = layer,
                                .sources = {branch, sum},
                                .height = b.height,
                                .width = b.width,
                                .level = level,
                                .may_be_negative = a.may_be_negative || b.may_be_negative},
                     &sum));
    g->nodes[sum].consumers++;
  }
  g->nodes[sum].consumers--;
  *out = sum;
  return NTK_OK;
}

static ntk_status add_layers(ntk_graph *g, const ntk_layer *layers, size_t count, int source, int *out) {
  *out = source;
  for (size_t k = 0; k < count; k++) {
    const ntk_layer *layer = &layers[k];
    switch (layer->kind) {
      case NTK_LAYER_CONV: NTK_TRY(add_conv(g, layer, *out, out)); break;
      case NTK_LAYER_ACTIVATION: NTK_TRY(add_act(g, layer, *out, out)); break;
      case NTK_LAYER_AVGPOOL: NTK_TRY(add_pool(g, layer, *out, out)); break;
      case NTK_LAYER_SUM: NTK_TRY(add_sum(g, layer, *out, out)); break;
      default:
        return ntk_fail(NTK_ERROR_UNSUPPORTED, "layer %d, column %d: this layer is not computed here by this version",
                        layer->number, layer->column);
    }
  }
  return NTK_OK;
}

/* Numbers the stages, lower levels first. */
static void number_stages(ntk_graph *g) {
  for (int k = 0; k < g->count; k++) g->nodes[k].stage = -1;
  for (;;) {
    int first = -1;
    for (int k = 0; k < g->count; k++)
      if (g->nodes[k].stage < 0 && (first < 0 || g->nodes[k].level < g->nodes[first].level)) first = k;
    if (first < 0) return;
    const ntk_node like = g->nodes[first];
    for (int k = first; k < g->count; k++) {
      ntk_node *n = &g->nodes[k];
      if (n->stage < 0 && n->level == like.level && n->height == like.height && n->width == like.width)
        n->stage = g->stage_count;
    }
    g->stage_count++;
  }
}

int ntk_graph_tap(const ntk_graph *g, int node) {
  for (int k = 0; k < g->plan->program.tap_count; k++)
    if (g->taps[k] == node) return k;
  return -1;
}

ntk_status ntk_graph_cut(ntk_graph *g, bool cut) {
  const ntk_plan *plan = g->plan;
  g->taps = calloc((size_t)plan->program.tap_count, sizeof *g->taps);
  if (!g->taps) return no_memory();
  g->taps[0] = g->last;
  for (int t = 0; cut && t < plan->program.tap_count; t++) {
    const ntk_node *last = &g->nodes[g->last];
    g->taps[t] = -1;
    for (int k = 0; k < g->count; k++)
      if (g->nodes[k].depth == plan->tap_depth[t]) g->taps[t] = k;
    const ntk_node *node = g->taps[t] < 0 ? NULL : &g->nodes[g->taps[t]];
    if (!node || node->height != last->height || node->width != last->width)
      return ntk_fail(NTK_ERROR_ARGUMENT,
                      "depth %d is impossible: activation %d of this network stands %s, and the readout cannot follow "
                      "it there",
                      plan->tap_depth[t], plan->tap_depth[t], node ? "at another resolution" : "in a branch of a sum");
  }
  int last = 0;
  for (int t = 0; t < plan->program.tap_count; t++) last = g->taps[t] > last ? g->taps[t] : last;
  for (; g->count > last + 1; g->count--) free(g->nodes[g->count - 1].demand), free(g->nodes[g->count - 1].self);
  number_stages(g);
  return NTK_OK;
}

ntk_status ntk_graph_build(ntk_plan *plan, const ntk_layer *layers, size_t count, ntk_graph *g) {
  int input;
  *g = (ntk_graph){.plan = plan};
  NTK_TRY(add_node(g,
                   (ntk_node){.kind = NTK_NODE_INPUT,
                              .sources = {-1, -1},
                              .height = plan->program.height,
                              .width = plan->program.width,
                              .may_be_negative = true},
                   &input));
  return add_layers(g, layers, count, input, &g->last);
}
