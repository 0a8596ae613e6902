/* The standard parameterisation: weights of variance W^2/(q r N) that are trained themselves, in a layer whose input
 * has N channels. S is as ever; T gets the sum of squared gradients (docs/conventions.md). */
#include <inttypes.h>

#include "host/gram/plan.h"
#include "host/status.h"

void ntk_standard_terms(const ntk_layer *layer, double *old_weight, double *constant) {
  const bool trained = layer->width > 0 && !layer->fixed;
  *old_weight = trained ? layer->width : 0;
  *constant = trained && (layer->has_bias || layer->has_gamma) ? 1 : 0;
}

ntk_status ntk_plan_check_widths(const ntk_network *network, ntk_shape shape) {
  const ntk_layers *flat = &network->flat;
  const bool flattened = flat->items[0].kind == NTK_LAYER_FLATTEN;
  const int64_t numbers = shape.channels * (shape.height ? shape.height * shape.width : 1);
  const ntk_layer *first = &flat->items[flattened && flat->count > 1];
  if (first->kind == NTK_LAYER_CONV && first->width > 0 && first->width != shape.channels)
    return ntk_fail(NTK_ERROR_NETWORK,
                    "layer %d, column %d: width=%d, but the layer's input has %" PRId64
                    " channels: write width=%" PRId64,
                    first->number, first->column, first->width, shape.channels, shape.channels);
  if (first->kind == NTK_LAYER_DENSE && first->width > 0 && first->width != numbers)
    return ntk_fail(NTK_ERROR_NETWORK,
                    "layer %d, column %d: width=%d, but the layer's input has %" PRId64
                    " numbers: write width=%" PRId64,
                    first->number, first->column, first->width, numbers, numbers);
  return NTK_OK;
}
