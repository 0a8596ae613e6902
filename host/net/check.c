/* What a network must satisfy whatever the input's shape: every activation acts on a Gaussian, branches of a sum are
 * independent and end Gaussian, one readout for images, a dense layer at the end. */
#include <stdarg.h>
#include <stdio.h>

#include "host/net/parser.h"
#include "host/status.h"

/* What stands between two layers. */
typedef enum flow {
  FLOW_INPUT,     /* the data itself, linearly pooled perhaps */
  FLOW_GAUSSIAN,  /* behind an affine layer */
  FLOW_ACTIVATED, /* behind an activation */
  FLOW_UNROLLED   /* pixels laid out as units, each with its own variance: no activation may follow */
} flow;

typedef struct walk {
  bool spatial; /* some layer needs pixels: conv or avgpool */
  bool image;   /* spatial, or with a readout */
  bool in_sum;
  const ntk_layer *readout;    /* passed */
  const ntk_layer *activation; /* the last one passed */
  const ntk_layer *dense;      /* passed: the input is a vector from here on */
  flow state;
} walk;

ntk_status ntk_layer_error(const ntk_layer *layer, const char *format, ...) {
  char reason[1536];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(reason, sizeof reason, format, arguments);
  va_end(arguments);
  return ntk_fail(NTK_ERROR_NETWORK, "layer %d, column %d: %s", layer->number, layer->column, reason);
}

static bool is_readout(const ntk_layer *layer) {
  return layer->kind == NTK_LAYER_FLATTEN || layer->kind == NTK_LAYER_GAP || layer->kind == NTK_LAYER_LAP;
}

static void classify(const ntk_layers *layers, walk *w) {
  for (size_t i = 0; i < layers->count; i++) {
    const ntk_layer *layer = &layers->items[i];
    w->spatial = w->spatial || layer->kind == NTK_LAYER_CONV || layer->kind == NTK_LAYER_AVGPOOL;
    w->image = w->image || w->spatial || is_readout(layer);
    for (size_t j = 0; j < layer->branch_count; j++) classify(&layer->branches[j], w);
  }
}

/* The affine layer that may be put where a Gaussian is missing. */
static const char *affine(const walk *w) { return w->image && !w->readout ? "conv1" : "dense"; }

static ntk_status check_activation(walk *w, const ntk_layer *layer, const char *name) {
  if (w->state == FLOW_INPUT)
    return ntk_layer_error(layer,
                           "the activation '%s' would act on the input itself, which is not Gaussian: put %s "
                           "before it",
                           name, affine(w));
  if (w->state == FLOW_UNROLLED)
    return ntk_layer_error(layer,
                           "the activation '%s' stands right behind the readout of layer %d: put dense between "
                           "them",
                           name, w->readout->number);
  if (w->state == FLOW_ACTIVATED) {
    char before[NTK_LAYER_NAME_SIZE];
    ntk_layer_name(w->activation, before);
    return ntk_layer_error(layer,
                           "the activation '%s' would act on the outputs of the activation '%s' of layer %d, "
                           "which are not Gaussian: put %s between them",
                           name, before, w->activation->number, affine(w));
  }
  w->state = FLOW_ACTIVATED;
  w->activation = layer;
  return NTK_OK;
}

static ntk_status check_dense(walk *w, const ntk_layer *layer) {
  if (w->spatial && !w->readout)
    return ntk_layer_error(layer,
                           "'dense' stands before the readout: write conv1 for a layer on the channels of each "
                           "pixel, or put flatten, gap or lap(c) before it");
  w->state = FLOW_GAUSSIAN;
  w->dense = layer;
  return NTK_OK;
}

static ntk_status check_readout(walk *w, const ntk_layer *layer, const char *name) {
  char before[NTK_LAYER_NAME_SIZE];
  if (w->in_sum) return ntk_layer_error(layer, "the readout '%s' stands inside a sum: put it behind the sum", name);
  if (w->readout) {
    ntk_layer_name(w->readout, before);
    return ntk_layer_error(layer, "'%s' is a second readout, after '%s' of layer %d: a network has one", name, before,
                           w->readout->number);
  }
  if (w->dense)
    return ntk_layer_error(layer,
                           "'%s' reads out the pixels of an image, but the dense layer %d has made it a vector: "
                           "put the readout before it, or leave it out",
                           name, w->dense->number);
  w->readout = layer;
  if (layer->kind != NTK_LAYER_GAP) w->state = FLOW_UNROLLED; /* gap keeps one Gaussian per channel */
  return NTK_OK;
}

static ntk_status check_layers(walk *w, const ntk_layers *layers, bool *weightless);

/* A branch is judged by how it ends; the message says where the missing layer goes. */
static ntk_status check_branch_end(const walk *w, const ntk_layer *sum, size_t index) {
  const ntk_layers *branch = &sum->branches[index];
  if (w->state == FLOW_GAUSSIAN) return NTK_OK;
  if (branch->count == 0 && w->state == FLOW_INPUT)
    return ntk_layer_error(sum,
                           "branch %zu of the sum, 'id', is the input itself, which is not Gaussian: put %s before "
                           "the sum",
                           index + 1, affine(w));
  if (branch->count == 0)
    return ntk_layer_error(sum,
                           "branch %zu of the sum, 'id', gives the outputs of the activation of layer %d, which "
                           "are not Gaussian: put %s before the sum or in place of 'id'",
                           index + 1, w->activation->number, affine(w));
  const ntk_layer *last = &branch->items[branch->count - 1];
  char name[NTK_LAYER_NAME_SIZE];
  ntk_layer_name(last, name);
  return ntk_layer_error(last, "branch %zu of the sum ends in '%s', whose outputs are not Gaussian: put %s behind it",
                         index + 1, name, affine(w));
}

/* Two branches that reach the sum without weights carry the same random function: their cross term does not vanish, and
 * the kernel of the sum would not be the sum of the kernels. */
static ntk_status check_sum(walk *w, const ntk_layer *sum, bool *weightless) {
  walk after = *w;
  size_t free_branch = 0; /* from 1 */
  for (size_t i = 0; i < sum->branch_count; i++) {
    walk inner = *w;
    bool without_weights = true;
    inner.in_sum = true;
    NTK_TRY(check_layers(&inner, &sum->branches[i], &without_weights));
    NTK_TRY(check_branch_end(&inner, sum, i));
    if (inner.dense) after.dense = inner.dense;
    if (!without_weights) continue;
    if (free_branch > 0)
      return ntk_layer_error(sum,
                             "branches %zu and %zu of the sum both pass on its input without weights, so they are "
                             "not independent: put %s in one of them",
                             free_branch, i + 1, affine(w));
    free_branch = i + 1;
  }
  *w = after;
  w->state = FLOW_GAUSSIAN;
  *weightless = *weightless && free_branch > 0;
  return NTK_OK;
}

static ntk_status check_layer(walk *w, const ntk_layer *layer, bool *weightless) {
  char name[NTK_LAYER_NAME_SIZE];
  ntk_layer_name(layer, name);
  bool pixels = layer->kind == NTK_LAYER_CONV || layer->kind == NTK_LAYER_AVGPOOL || layer->kind == NTK_LAYER_SUM;
  if (w->readout && pixels)
    return ntk_layer_error(layer,
                           "'%s' stands after the readout of layer %d: only dense layers and activations may "
                           "follow a readout",
                           name, w->readout->number);
  switch (layer->kind) {
    case NTK_LAYER_CONV:
      w->state = FLOW_GAUSSIAN;
      *weightless = false;
      return NTK_OK;
    case NTK_LAYER_DENSE: *weightless = false; return check_dense(w, layer);
    case NTK_LAYER_ACTIVATION: return check_activation(w, layer, name);
    case NTK_LAYER_SUM: return check_sum(w, layer, weightless);
    case NTK_LAYER_FLATTEN:
    case NTK_LAYER_GAP:
    case NTK_LAYER_LAP: return check_readout(w, layer, name);
    case NTK_LAYER_AVGPOOL: return NTK_OK; /* linear: what was Gaussian stays so, what was not does not become it */
    case NTK_LAYER_GROUP: break;
  }
  return ntk_fail(NTK_ERROR_INTERNAL, "a group in the flat form of a network: please report this bug");
}

static ntk_status check_layers(walk *w, const ntk_layers *layers, bool *weightless) {
  for (size_t i = 0; i < layers->count; i++) NTK_TRY(check_layer(w, &layers->items[i], weightless));
  return NTK_OK;
}

static ntk_status check_end(const walk *w, const ntk_layer *last) {
  char name[NTK_LAYER_NAME_SIZE];
  ntk_layer_name(last, name);
  if (w->image && !w->readout)
    return ntk_layer_error(last, "the network ends in '%s' without a readout: put flatten, gap or lap(c) behind it",
                           name);
  if (last->kind == NTK_LAYER_DENSE || (w->readout && !w->dense)) return NTK_OK;
  return ntk_layer_error(last, "the network ends in '%s', but must end in a dense layer: put dense behind it", name);
}

ntk_status ntk_check_sequence(ntk_layers *flat, int count) {
  walk w = {.state = FLOW_INPUT};
  bool weightless = true;
  classify(flat, &w);
  NTK_TRY(check_layers(&w, flat, &weightless));
  NTK_TRY(check_end(&w, &flat->items[flat->count - 1]));
  if (!w.readout || w.dense) return NTK_OK;
  ntk_layer implied = ntk_default_layer(ntk_find_layer_spec("dense", sizeof "dense" - 1));
  implied.number = count + 1;
  return ntk_layers_append(flat, implied);
}
