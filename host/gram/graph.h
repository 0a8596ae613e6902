/* Internal: a network with branches, strides or poolings as a graph of states, for lowering into stages (graph.c,
 * demand.c, stages.c). */
#ifndef NTK_HOST_GRAM_GRAPH_H
#define NTK_HOST_GRAM_GRAPH_H

#include <stdbool.h>

#include "host/gram/plan.h"

typedef enum ntk_node_kind {
  NTK_NODE_INPUT,
  NTK_NODE_CONV, /* as many outputs as inputs */
  NTK_NODE_ACT,
  NTK_NODE_WINDOW, /* the way from one stage to another: average pooling, a copy, or a convolution with a stride or
                      valid padding, which is a filter and a subsampling */
  NTK_NODE_SUM     /* of two */
} ntk_node_kind;

/* A set of offset planes of an h x w state: [(d1 + h - 1) (2 w - 1) + d2 + w - 1] for d = (i' - i, j' - j). */
typedef unsigned char ntk_planes;

typedef struct ntk_node {
  ntk_node_kind kind;
  const ntk_layer *layer;          /* NULL for the input and copies */
  const ntk_activation_dual *dual; /* activations other than ReLU */
  int sources[2];                  /* the second one of sums only, else -1 */
  int height, width;
  int level, stage; /* windows lead to higher levels; a stage is a level and a resolution */
  int consumers;
  int depth;             /* activations of the main line: how many stand up to here, this one included; else 0 */
  bool may_be_negative;  /* S */
  bool judged;           /* an activation follows: its normaliser needs the diagonal of S_xx */
  ntk_window rows, cols; /* windows */
  double alpha, bound;   /* program.h; bound: on the state, when the pixels are at most 2 */
  ntk_planes *demand;    /* planes that something reads */
  ntk_planes *self;      /* of the self pass */
} ntk_node;

typedef struct ntk_graph {
  ntk_plan *plan;
  ntk_node *nodes;
  int count, capacity;
  int last;    /* node behind all layers */
  int nesting; /* while it is built: depth of sums */
  int stage_count;
  int *taps; /* [tap]: node that the readout reads */
} ntk_graph;

/* What a convolution on images of that size must not be, and the answer to weights that no number can hold. */
ntk_status ntk_check_conv(const ntk_layer *layer, int height, int width);
ntk_status ntk_out_of_range(const ntk_layer *layer);

/* One axis of a layer's window grid: output 0 reads from input -before on. */
ntk_window ntk_layer_window(const ntk_layer *layer, int window, int inputs);

/* Whether the plane engine takes the layers before the readout as they are: one stage and no branch. */
bool ntk_graph_is_plain(const ntk_layer *layers, size_t count);

/* Builds the graph of the layers before the readout. Free with ntk_graph_free in any case. */
ntk_status ntk_graph_build(ntk_plan *plan, const ntk_layer *layers, size_t count, ntk_graph *out);
void ntk_graph_free(ntk_graph *graph);

/* Where the readouts read: behind all layers, or, `cut`, behind activations of the main line (the plan's depths); what
 * stands behind the last of them is dropped. Assigns the stages. */
ntk_status ntk_graph_cut(ntk_graph *graph, bool cut);

/* Index of the readout that reads a node, or -1. */
int ntk_graph_tap(const ntk_graph *graph, int node);

/* Propagates the demand of the plan's pools, and that of the self pass, backwards from the readout. */
ntk_status ntk_graph_demand(ntk_graph *graph);

/* Lowers the graph into the stages of the plan's program. */
ntk_status ntk_graph_lower(ntk_graph *graph);

/* Adds to `in` (planes of the window's input) what the planes `out` of its output read. */
ntk_status ntk_window_demand(const ntk_window *rows, const ntk_window *cols, const ntk_planes *out, ntk_planes *in);

/* Adds to every plane d of the set d - P or d + P along both axes: what a circular filter reads together. */
void ntk_close_cyclic(ntk_planes *set, int height, int width);

static inline size_t ntk_planes_size(int height, int width) { return (size_t)(2 * height - 1) * (2 * width - 1); }

static inline bool ntk_planes_has(const ntk_planes *set, int height, int width, int d1, int d2) {
  const bool inside = d1 > -height && d1 < height && d2 > -width && d2 < width;
  return inside && set[(size_t)(d1 + height - 1) * (2 * width - 1) + d2 + width - 1];
}

#endif
