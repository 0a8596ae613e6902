/* Lists of layers: growing, freeing, and unrolling the repeats. Recursion is bounded by NTK_DEPTH_LIMIT. */
#include <stdlib.h>

#include "host/net/parser.h"
#include "host/status.h"

static ntk_status out_of_memory(void) {
  return ntk_fail(NTK_ERROR_MEMORY, "out of memory while reading a network text: free some memory");
}

ntk_status ntk_layers_append(ntk_layers *layers, ntk_layer layer) {
  size_t count = layers->count;
  if ((count & (count - 1)) == 0) { /* full: capacities are powers of two */
    ntk_layer *items = realloc(layers->items, (count > 0 ? 2 * count : 1) * sizeof *items);
    if (!items) return out_of_memory();
    layers->items = items;
  }
  layers->items[layers->count++] = layer;
  return NTK_OK;
}

void ntk_layer_free(ntk_layer *layer) {
  for (size_t i = 0; i < layer->branch_count; i++) ntk_layers_free(&layer->branches[i]);
  free(layer->branches);
}

void ntk_layers_free(ntk_layers *layers) {
  for (size_t i = 0; i < layers->count; i++) ntk_layer_free(&layers->items[i]);
  free(layers->items);
  *layers = (ntk_layers){0};
}

static ntk_status flatten_sum(const ntk_layer *sum, ntk_layer *flat, int *number) {
  flat->branches = calloc(sum->branch_count, sizeof *flat->branches);
  if (!flat->branches) return out_of_memory();
  flat->branch_count = sum->branch_count;
  for (size_t i = 0; i < sum->branch_count; i++)
    NTK_TRY(ntk_flatten_tree(&sum->branches[i], &flat->branches[i], number));
  return NTK_OK;
}

static ntk_status flatten_once(const ntk_layer *layer, ntk_layers *flat, int *number) {
  if (layer->kind == NTK_LAYER_GROUP) return ntk_flatten_tree(&layer->branches[0], flat, number);
  ntk_layer copy = *layer;
  copy.repeat = 1;
  copy.number = ++*number;
  copy.branches = NULL;
  copy.branch_count = 0;
  NTK_TRY(ntk_layers_append(flat, copy));
  if (layer->kind == NTK_LAYER_SUM) return flatten_sum(layer, &flat->items[flat->count - 1], number);
  return NTK_OK;
}

ntk_status ntk_flatten_tree(const ntk_layers *tree, ntk_layers *flat, int *number) {
  for (size_t i = 0; i < tree->count; i++)
    for (int n = 0; n < tree->items[i].repeat; n++) NTK_TRY(flatten_once(&tree->items[i], flat, number));
  return NTK_OK;
}
