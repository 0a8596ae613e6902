/* The layer table that `ntk net` prints. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/gram/plan.h"
#include "host/net/parser.h"
#include "host/status.h"

typedef struct text_buffer {
  char *text;
  size_t used, size;
  bool failed;
} text_buffer;

__attribute__((format(printf, 2, 3))) static void append(text_buffer *buffer, const char *format, ...) {
  for (;;) {
    va_list arguments;
    va_start(arguments, format);
    size_t room = buffer->size - buffer->used;
    int length = vsnprintf(buffer->text ? buffer->text + buffer->used : NULL, room, format, arguments);
    va_end(arguments);
    if (length < 0) buffer->failed = true;
    if (buffer->failed) return;
    if ((size_t)length < room) {
      buffer->used += (size_t)length;
      return;
    }
    size_t size = 2 * (buffer->used + (size_t)length + 64);
    char *text = realloc(buffer->text, size);
    if (!text) {
      buffer->failed = true;
      return;
    }
    buffer->text = text, buffer->size = size;
  }
}

static void describe_affine(text_buffer *out, const ntk_layer *layer) {
  append(out, "%s", layer->fixed ? "fixed" : "trained");
  if (layer->weight_std != 1) append(out, ", W %g", layer->weight_std);
  if (layer->has_bias) append(out, ", b %g", layer->bias_std);
  if (layer->has_gamma) append(out, ", gamma %g", layer->gamma);
  if (layer->width) append(out, ", standard, width %d", layer->width);
}

/* As the network text has it, but the factor. */
static void describe_activation(text_buffer *out, const ntk_layer *layer) {
  ntk_layer plain = *layer;
  char *text = NULL;
  plain.has_factor = false;
  out->failed = out->failed || ntk_print_layers(&(ntk_layers){&plain, 1}, &text) != NTK_OK;
  if (text) append(out, "%-25s c_s = %g", text, layer->factor);
  free(text);
}

/* The layer as the network text has it. */
static void describe_text(text_buffer *out, const ntk_layer *layer) {
  char *text = NULL;
  out->failed = out->failed || ntk_print_layers(&(ntk_layers){(ntk_layer *)layer, 1}, &text) != NTK_OK;
  if (text) append(out, "%-26s", text);
  free(text);
}

static void describe_layer(text_buffer *out, const ntk_layer *layer) {
  static const char *const paddings[] = {"zero-padded", "circular", "valid", "same"};
  char name[48];
  switch (layer->kind) {
    case NTK_LAYER_CONV:
      snprintf(name, sizeof name, "conv %dx%d %s", layer->rows, layer->cols, paddings[layer->padding]);
      append(out, "%-26s", name);
      if (layer->stride > 1) append(out, "stride %d, ", layer->stride);
      describe_affine(out, layer);
      break;
    case NTK_LAYER_DENSE:
      append(out, "%-26s", layer->column ? "dense" : "dense (implied)");
      describe_affine(out, layer);
      break;
    case NTK_LAYER_ACTIVATION: describe_activation(out, layer); break;
    case NTK_LAYER_FLATTEN: append(out, "%-26s%s", "flatten", "reads the offset-0 plane"); break;
    case NTK_LAYER_GAP: append(out, "%-26s%s", "gap", "reads all planes"); break;
    case NTK_LAYER_LAP:
      append(out, "lap(%d)%-20sreads planes up to offset %d", layer->pool, layer->pool_circular ? " circular" : "",
             2 * layer->pool);
      break;
    case NTK_LAYER_AVGPOOL:
      describe_text(out, layer);
      append(out, "mixes planes");
      break;
    case NTK_LAYER_SUM: describe_text(out, layer); break;
    default: append(out, "layer"); break;
  }
}

ntk_status ntk_plan_describe(ntk_plan *plan, const ntk_network *network) {
  text_buffer out = {0};
  ntk_shape shape = plan->shape;
  for (size_t k = 0; k < network->flat.count; k++) {
    const ntk_layer *layer = &network->flat.items[k];
    ntk_shape next = shape;
    if (!plan->connected && shape.height > 0 && ntk_layer_output_shape(layer, shape, &next) != NTK_OK) next = shape;
    append(&out, "%4zu  ", k + 1);
    describe_layer(&out, layer);
    if (!plan->connected && shape.height > 0 && next.height > 0 && layer->kind != NTK_LAYER_ACTIVATION)
      append(&out, ", %lld x %lld", (long long)next.height, (long long)next.width);
    append(&out, "\n");
    shape = next;
  }
  if (out.failed) {
    free(out.text);
    return ntk_fail(NTK_ERROR_MEMORY, "no memory for a plan's description");
  }
  plan->description = out.text;
  return NTK_OK;
}
