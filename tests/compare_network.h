/* Equality of two networks, for the round-trip tests and the fuzz target: everything but the columns, which differ
 * between a text and its canonical form. */
#ifndef NTK_TESTS_COMPARE_NETWORK_H
#define NTK_TESTS_COMPARE_NETWORK_H

#include <string.h>

#include "host/net/network.h"

static inline bool ntk_test_same_layers(const ntk_layers *a, const ntk_layers *b);

static inline bool ntk_test_same_layer(const ntk_layer *a, const ntk_layer *b) {
  bool same = a->kind == b->kind && a->repeat == b->repeat && a->number == b->number && a->rows == b->rows &&
              a->cols == b->cols && a->stride == b->stride && a->padding == b->padding &&
              a->normalized == b->normalized && a->weight_std == b->weight_std && a->has_bias == b->has_bias &&
              a->bias_std == b->bias_std && a->has_gamma == b->has_gamma && a->gamma == b->gamma &&
              a->fixed == b->fixed && a->width == b->width && a->activation == b->activation &&
              a->has_factor == b->has_factor && a->param_count == b->param_count && a->factor_auto == b->factor_auto &&
              a->factor == b->factor && a->pool == b->pool && a->pool_circular == b->pool_circular &&
              a->branch_count == b->branch_count;
  for (int i = 0; i < NTK_PARAM_LIMIT; i++) same = same && a->params[i] == b->params[i];
  for (size_t i = 0; same && i < a->branch_count; i++) same = ntk_test_same_layers(&a->branches[i], &b->branches[i]);
  return same;
}

static inline bool ntk_test_same_layers(const ntk_layers *a, const ntk_layers *b) {
  bool same = a->count == b->count;
  for (size_t i = 0; same && i < a->count; i++) same = ntk_test_same_layer(&a->items[i], &b->items[i]);
  return same;
}

/* The canonical text of `network` parses to the same tree, flat form and text. */
static inline bool ntk_test_round_trip(const ntk_network *network) {
  ntk_network *again;
  if (ntk_network_parse(ntk_network_text(network), &again) != NTK_OK) return false;
  bool same = ntk_test_same_layers(&network->tree, &again->tree) &&
              ntk_test_same_layers(&network->flat, &again->flat) &&
              strcmp(ntk_network_text(network), ntk_network_text(again)) == 0 && ntk_network_preset(again) == NULL;
  ntk_network_free(again);
  return same;
}

#endif
