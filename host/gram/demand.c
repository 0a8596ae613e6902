/* Which offset planes every state of a network needs: the readout's demand, carried backwards (docs/design.md). */
#include <stdlib.h>
#include <string.h>

#include "host/gram/graph.h"
#include "host/status.h"

/* Whether a pool gives weight to entries of one axis with offset d. */
static bool pool_reads(const ntk_program_pool *pool, const double *weights, int d, int n) {
  if (pool->uniform) return true;
  if (pool->flatten) return d == 0;
  for (int i = 0; i < n; i++)
    if (i + d >= 0 && i + d < n && weights[i * n + i + d] != 0) return true;
  return false;
}

static void readout_demand(const ntk_plan *plan, ntk_node *node) {
  const int h = node->height, w = node->width;
  for (int q = 0; q < plan->program.pool_count; q++) {
    const ntk_program_pool *pool = &plan->program.pools[q];
    for (int d1 = 1 - h; d1 < h; d1++) {
      if (!pool_reads(pool, pool->row_weights, d1, h)) continue;
      for (int d2 = 1 - w; d2 < w; d2++)
        if (pool_reads(pool, pool->col_weights, d2, w)) node->demand[(d1 + h - 1) * (2 * w - 1) + d2 + w - 1] = 1;
    }
  }
}

static int input_of(const ntk_window *w, int output, int c) {
  const int at = w->stride * output - w->before + c;
  if (w->circular) return ((at % w->inputs) + w->inputs) % w->inputs;
  return at >= 0 && at < w->inputs ? at : -1;
}

/* reads[D][d]: whether output offset D of an axis reads input offset d. */
static unsigned char *axis_reads(const ntk_window *w) {
  const int wide = 2 * w->inputs - 1;
  unsigned char *reads = calloc((size_t)(2 * w->outputs - 1) * wide, 1);
  for (int x = 0; reads && x < w->outputs; x++)
    for (int z = 0; z < w->outputs; z++)
      for (int c = 0; c < w->size; c++)
        for (int d = 0; d < w->size; d++) {
          const int i = input_of(w, x, c), k = input_of(w, z, d);
          if (i >= 0 && k >= 0) reads[(size_t)(z - x + w->outputs - 1) * wide + k - i + w->inputs - 1] = 1;
        }
  return reads;
}

ntk_status ntk_window_demand(const ntk_window *rows, const ntk_window *cols, const ntk_planes *out, ntk_planes *in) {
  const int high = 2 * rows->outputs - 1, low = 2 * rows->inputs - 1;
  const int wide = 2 * cols->outputs - 1, narrow = 2 * cols->inputs - 1;
  unsigned char *down = axis_reads(rows), *across = axis_reads(cols), *line = malloc((size_t)narrow);
  const bool ok = down && across && line;
  for (int d = 0; ok && d < high; d++) {
    memset(line, 0, (size_t)narrow);
    for (int e = 0; e < wide; e++)
      for (int k = 0; out[d * wide + e] && k < narrow; k++) line[k] |= across[e * narrow + k];
    for (int i = 0; i < low; i++)
      for (int k = 0; down[d * low + i] && k < narrow; k++) in[i * narrow + k] |= line[k];
  }
  free(down), free(across), free(line);
  return ok ? NTK_OK : ntk_fail(NTK_ERROR_MEMORY, "no memory for a plan");
}

/* A circular filter passes from plane d to d - P and back: all or none of them. */
void ntk_close_cyclic(ntk_planes *set, int h, int w) {
  const int wide = 2 * w - 1;
  for (int d1 = 0; d1 < h; d1++)
    for (int d2 = 0; d2 < w; d2++) {
      unsigned char any = 0;
      for (int k = 0; k < 4; k++) {
        const int e1 = k & 1 ? d1 - h : d1, e2 = k & 2 ? d2 - w : d2;
        if (e1 > -h && e2 > -w) any |= set[(e1 + h - 1) * wide + e2 + w - 1];
      }
      for (int k = 0; k < 4; k++) {
        const int e1 = k & 1 ? d1 - h : d1, e2 = k & 2 ? d2 - w : d2;
        if (e1 > -h && e2 > -w) set[(e1 + h - 1) * wide + e2 + w - 1] = any;
      }
    }
}

static ntk_status carry(ntk_graph *g, const ntk_node *node, bool self) {
  const ntk_planes *set = self ? node->self : node->demand;
  const size_t size = ntk_planes_size(node->height, node->width);
  if (!memchr(set, 1, size)) return NTK_OK;
  for (int k = 0; k < 2 && node->sources[k] >= 0; k++) {
    const ntk_node *source = &g->nodes[node->sources[k]];
    ntk_planes *to = self ? source->self : source->demand;
    if (node->kind == NTK_NODE_WINDOW)
      NTK_TRY(ntk_window_demand(&node->rows, &node->cols, set, to));
    else
      for (size_t i = 0; i < size; i++) to[i] |= set[i];
    if (node->layer && node->layer->kind == NTK_LAYER_CONV && node->layer->padding == NTK_PAD_CIRCULAR &&
        (node->layer->rows > 1 || node->layer->cols > 1))
      ntk_close_cyclic(to, source->height, source->width);
  }
  return NTK_OK;
}

ntk_status ntk_graph_demand(ntk_graph *g) {
  for (int t = 0; t < g->plan->program.tap_count; t++) readout_demand(g->plan, &g->nodes[g->taps[t]]);
  for (int k = g->count - 1; k >= 0; k--) {
    ntk_node *node = &g->nodes[k];
    NTK_TRY(carry(g, node, false));
    for (int i = 0; i < 2 && node->sources[i] >= 0; i++)
      g->nodes[node->sources[i]].judged |= node->judged || node->kind == NTK_NODE_ACT;
    /* the diagonal behind a pooling is more than a recursion of diagonals */
    if (node->judged && node->kind == NTK_NODE_WINDOW && (node->rows.size > 1 || node->cols.size > 1))
      node->self[(size_t)(node->height - 1) * (2 * node->width - 1) + node->width - 1] = 1;
    NTK_TRY(carry(g, node, true));
  }
  return NTK_OK;
}
