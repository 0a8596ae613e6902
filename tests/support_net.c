#include "tests/support_net.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "host/net/network.h"
#include "tests/oracle.h"

static oracle_padding padding_of(ntk_padding padding) {
  switch (padding) {
    case NTK_PAD_CIRCULAR: return ORACLE_CIRCULAR;
    case NTK_PAD_VALID: return ORACLE_VALID;
    case NTK_PAD_SAME: return ORACLE_SAME;
    case NTK_PAD_ZERO: break;
  }
  return ORACLE_ZERO;
}

static oracle_layer *translate(const ntk_layers *layers, int64_t channels);

static oracle_layer sum(const ntk_layer *layer, int64_t channels) {
  oracle_branch *branches = calloc(layer->branch_count, sizeof *branches);
  cr_assert(branches);
  for (size_t k = 0; k < layer->branch_count; k++)
    branches[k] = (oracle_branch){translate(&layer->branches[k], channels), layer->branches[k].count};
  return oracle_sum(branches, layer->branch_count);
}

static oracle_layer affine(const ntk_layer *layer, int64_t channels) {
  oracle_layer out = layer->kind == NTK_LAYER_DENSE ? oracle_dense() : oracle_conv(layer->rows);
  out.weight_std = layer->weight_std;
  out.bias_std = layer->has_bias ? layer->bias_std : 0;
  if (layer->has_gamma) out.bias_std = layer->gamma / sqrt((double)layer->rows * layer->cols * (double)channels);
  out.trained = !layer->fixed;
  if (layer->kind == NTK_LAYER_DENSE) return out;
  out.cols = layer->cols;
  out.stride = layer->stride;
  out.padding = padding_of(layer->padding);
  return out;
}

static oracle_layer translate_one(const ntk_layer *layer, int64_t channels) {
  oracle_layer out = {0};
  switch (layer->kind) {
    case NTK_LAYER_CONV:
    case NTK_LAYER_DENSE: return affine(layer, channels);
    case NTK_LAYER_ACTIVATION:
      cr_assert(layer->activation == NTK_ACT_RELU && !layer->factor_auto, "the oracle knows relu only");
      out = oracle_relu();
      out.factor = layer->factor;
      return out;
    case NTK_LAYER_AVGPOOL:
      out = oracle_avgpool(layer->rows);
      out.stride = layer->stride;
      out.padding = padding_of(layer->padding);
      out.normalized = layer->normalized;
      return out;
    case NTK_LAYER_SUM: return sum(layer, channels);
    case NTK_LAYER_FLATTEN: return oracle_flatten();
    case NTK_LAYER_GAP: return oracle_gap();
    case NTK_LAYER_LAP:
      out = oracle_lap(layer->pool);
      out.pool_circular = layer->pool_circular;
      return out;
    case NTK_LAYER_GROUP: break;
  }
  cr_assert(false, "a group in a flat list");
  return out;
}

static oracle_layer *translate(const ntk_layers *layers, int64_t channels) {
  oracle_layer *out = calloc(layers->count + 1, sizeof *out);
  cr_assert(out);
  for (size_t k = 0; k < layers->count; k++) out[k] = translate_one(&layers->items[k], channels);
  return out;
}

static void release(oracle_layer *layers, size_t count) {
  for (size_t k = 0; k < count; k++) {
    for (size_t b = 0; b < layers[k].branch_count; b++)
      release((oracle_layer *)layers[k].branches[b].layers, layers[k].branches[b].count);
    free((void *)layers[k].branches);
  }
  free(layers);
}

void ntk_test_oracle(const ntk_network *network, ntk_shape shape, const double *x, const double *z, long double *ntk,
                     long double *nngp) {
  const size_t count = network->flat.count;
  oracle_layer *layers = translate(&network->flat, shape.channels);
  if (network->flat.items[0].kind == NTK_LAYER_DENSE && shape.height > 0) { /* the image as a vector */
    shape.channels *= shape.height * shape.width;
    shape.height = shape.width = 0;
  }
  oracle_kernel(layers, count, x, z, (int)shape.channels, (int)shape.height, (int)shape.width, ntk, nngp);
  release(layers, count);
}

void ntk_test_oracle_text(const char *text, ntk_shape shape, const double *x, const double *z, long double *ntk,
                          long double *nngp) {
  ntk_network *network = NULL;
  cr_assert_eq(ntk_network_parse(text, &network), NTK_OK, "%s: %s", text, ntk_last_error());
  ntk_test_oracle(network, shape, x, z, ntk, nngp);
  ntk_network_free(network);
}
