/* The factor from the generic normalisation to a published one, for a network that is written out (docs/conventions.md
 * derives the factors). */
#include <math.h>

#include "host/net/network.h"
#include "host/net/parser.h"
#include "host/status.h"

static const char *const names[] = {"preset", "generic", "arora", "li", "neural-tangents"};
enum { CONVENTIONS = sizeof names / sizeof *names };

const char *ntk_convention_name(ntk_convention convention) {
  return (unsigned)convention < CONVENTIONS ? names[convention] : NULL;
}

/* One walk over a network. */
typedef struct inquiry {
  ntk_convention convention;
  const char *name;
  ntk_convention_sweep sweep;
  int exponent; /* neural-tangents: log2 of the factor behind the layers seen so far */
  int tapped;   /* the exponent behind the activations before the readout, once there was one */
  bool any_tap, read;
} inquiry;

static ntk_status refuse(const inquiry *q, const ntk_layer *layer, const char *what, const char *instead) {
  char name[NTK_LAYER_NAME_SIZE];
  ntk_layer_name(layer, name);
  return ntk_layer_error(layer, "the convention '%s' has no %s ('%s'): %s", q->name, what, name, instead);
}

static bool is_affine(const ntk_layer *layer) {
  return layer->kind == NTK_LAYER_CONV || layer->kind == NTK_LAYER_DENSE;
}

static bool is_readout(const ntk_layer *layer) {
  return layer->kind == NTK_LAYER_FLATTEN || layer->kind == NTK_LAYER_GAP || layer->kind == NTK_LAYER_LAP;
}

/* What all published conventions share: W = 1, no bias but Li's, ReLU with c = 2. */
static ntk_status check_layer(const inquiry *q, const ntk_layer *layer) {
  static const char *const plain = "leave it out, or take the convention 'generic'";
  const bool li = q->convention == NTK_CONVENTION_LI;
  if (is_affine(layer) && layer->weight_std != 1) return refuse(q, layer, "W other than 1", plain);
  if (is_affine(layer) && layer->width > 0) return refuse(q, layer, "standard parameterisation", plain);
  if (is_affine(layer) && layer->has_bias)
    return refuse(q, layer, "bias b", li ? "write it as gamma, or take the convention 'generic'" : plain);
  if (is_affine(layer) && layer->has_gamma && !li) return refuse(q, layer, "bias gamma", plain);
  if (layer->kind == NTK_LAYER_ACTIVATION && (layer->activation != NTK_ACT_RELU || layer->factor != 2))
    return refuse(q, layer, "activation but relu with c = 2", "take the convention 'generic'");
  return NTK_OK;
}

/* ---- Arora et al. and Li et al. ---- */

/* Their networks: affine layers that each have a ReLU behind them, except the last, the dense layer of the output. */
static ntk_status check_alternation(const inquiry *q, const ntk_layer *layers, size_t count) {
  static const char *const other = "take the convention 'generic'";
  for (size_t k = 0; k < count; k++) {
    const ntk_layer *layer = &layers[k];
    if (layer->kind == NTK_LAYER_ACTIVATION) continue; /* never the first, never behind another */
    if (!is_affine(layer)) return refuse(q, layer, "pooling or sums inside the network", other);
    if (layer->kind == NTK_LAYER_CONV && (layer->stride != 1 || layer->padding == NTK_PAD_VALID))
      return refuse(q, layer, "strides and no filters without padding", other);
    if (k + 1 == count || layers[k + 1].kind != NTK_LAYER_ACTIVATION)
      return refuse(q, layer, "linear layer inside the network",
                    "put relu behind it, or take the convention 'generic'");
  }
  return NTK_OK;
}

static ntk_status check_readout(const inquiry *q, const ntk_layer *readout) {
  const bool laps = q->sweep.pools || readout->kind == NTK_LAYER_LAP;
  if (q->convention == NTK_CONVENTION_ARORA && laps)
    return refuse(q, readout, "local average pooling", "take the convention 'li'");
  if (q->convention == NTK_CONVENTION_LI && !laps && readout->kind == NTK_LAYER_GAP)
    return refuse(q, readout, "gap", "write lap(c) with c >= the image's size, or take the convention 'arora'");
  return NTK_OK;
}

static ntk_status unnormalised(const inquiry *q, const ntk_layers *flat, ntk_shape shape, double *scale) {
  const double pixels = shape.height ? (double)shape.height * (double)shape.width : 1;
  const double numbers = (double)shape.channels * pixels;
  size_t readout = 0, first = 0, end = flat->count;
  while (readout < end && !is_readout(&flat->items[readout])) readout++;
  if (readout == 0 && end > 1 && flat->items[0].kind == NTK_LAYER_FLATTEN && !q->sweep.pools)
    first = 1, readout = end; /* the image as a vector */
  *scale = numbers;
  if (readout == end) { /* fully connected */
    if (q->convention == NTK_CONVENTION_LI)
      return refuse(q, &flat->items[0], "fully connected networks", "take the convention 'arora' or 'generic'");
    return check_alternation(q, flat->items + first, end - first - 1);
  }
  NTK_TRY(check_alternation(q, flat->items, readout));
  NTK_TRY(check_readout(q, &flat->items[readout]));
  if (end > readout + 2) return refuse(q, &flat->items[readout + 2], "second layer behind the readout", "leave it out");
  if (flat->items[readout].kind == NTK_LAYER_GAP && !q->sweep.pools) *scale = (double)shape.channels;
  return NTK_OK;
}

/* ---- neural-tangents ---- */

/* Every affine layer has W_std = sqrt(2) there and doubles S and T; every plain ReLU halves both. */
static ntk_status count_doublings(inquiry *q, const ntk_layers *layers, bool inside) {
  for (size_t k = 0; k < layers->count; k++) {
    const ntk_layer *layer = &layers->items[k];
    const int before = q->exponent;
    int behind = before;
    if (is_affine(layer)) q->exponent++;
    if (layer->kind == NTK_LAYER_ACTIVATION) q->exponent--;
    for (size_t b = 0; b < layer->branch_count; b++) {
      q->exponent = before;
      NTK_TRY(count_doublings(q, &layer->branches[b], true));
      if (b > 0 && q->exponent != behind)
        return refuse(q, layer, "one factor for this sum, whose branches differ in their layers without relu",
                      "take the convention 'generic'");
      behind = q->exponent;
    }
    if (is_readout(layer)) {
      q->read = true;
      if (q->sweep.depths && q->any_tap) q->exponent = q->tapped; /* it is moved behind an activation */
    }
    if (layer->kind != NTK_LAYER_ACTIVATION || inside || q->read) continue;
    if (q->sweep.depths && q->any_tap && q->tapped != q->exponent)
      return refuse(q, layer, "one factor for all depths", "compute them one by one, or take the convention 'generic'");
    q->tapped = q->exponent, q->any_tap = true;
  }
  return NTK_OK;
}

static ntk_status check_all(const inquiry *q, const ntk_layers *layers) {
  for (size_t k = 0; k < layers->count; k++) {
    NTK_TRY(check_layer(q, &layers->items[k]));
    for (size_t b = 0; b < layers->items[k].branch_count; b++) NTK_TRY(check_all(q, &layers->items[k].branches[b]));
  }
  return NTK_OK;
}

ntk_status ntk_convention_scale(const ntk_network *network, ntk_shape shape, ntk_convention convention,
                                ntk_convention_sweep sweep, double *scale) {
  inquiry q = {.convention = convention, .name = ntk_convention_name(convention), .sweep = sweep};
  if (!q.name) return ntk_fail(NTK_ERROR_ARGUMENT, "convention = %d is no ntk_convention", (int)convention);
  *scale = 1;
  if (convention == NTK_CONVENTION_BY_NAME) return ntk_network_scale(network, shape, scale);
  if (convention == NTK_CONVENTION_GENERIC) return NTK_OK;
  NTK_TRY(check_all(&q, &network->flat));
  if (convention != NTK_CONVENTION_NEURAL_TANGENTS) return unnormalised(&q, &network->flat, shape, scale);
  NTK_TRY(count_doublings(&q, &network->flat, false));
  *scale = ldexp(1, q.exponent);
  return NTK_OK;
}
