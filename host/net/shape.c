/* What shapes the layers make of an input, and which they cannot take. */
#include <inttypes.h>
#include <stdio.h>

#include "host/net/parser.h"
#include "host/status.h"

enum { SHAPE_TEXT_SIZE = 72 };
static const int64_t size_limit = (int64_t)1 << 24;
static const int64_t total_limit = (int64_t)1 << 40; /* one input of 8 TiB */

static bool is_size(int64_t size) { return size >= 1 && size <= size_limit; }

bool ntk_is_vector_shape(ntk_shape shape) { return shape.height == 0 && shape.width == 0; }

ntk_status ntk_check_shape(ntk_shape s) {
  bool pixels = is_size(s.height) && is_size(s.width);
  if (!is_size(s.channels) || !(pixels || ntk_is_vector_shape(s)))
    return ntk_fail(NTK_ERROR_ARGUMENT,
                    "an input of %" PRId64 " x %" PRId64 " x %" PRId64
                    " (channels x height x width) is impossible: "
                    "sizes are from 1 to %" PRId64 ", and a vector has height and width 0",
                    s.channels, s.height, s.width, size_limit);
  if (pixels && s.channels * s.height > total_limit / s.width)
    return ntk_fail(NTK_ERROR_ARGUMENT,
                    "an input of %" PRId64 " x %" PRId64 " x %" PRId64 " has more than 2^40 numbers", s.channels,
                    s.height, s.width);
  return NTK_OK;
}

static const char *print_shape(char text[SHAPE_TEXT_SIZE], ntk_shape shape) {
  if (ntk_is_vector_shape(shape)) {
    snprintf(text, SHAPE_TEXT_SIZE, "a vector");
  } else {
    snprintf(text, SHAPE_TEXT_SIZE, "%" PRId64 " x %" PRId64, shape.height, shape.width);
  }
  return text;
}

static int64_t window_output(int64_t size, int window, int stride, ntk_padding padding) {
  return padding == NTK_PAD_VALID ? (size - window) / stride + 1 : (size + stride - 1) / stride;
}

/* A zero-padded window may reach over the edge, but not past a whole image: of such a filter some rows never see a
 * pixel, and more likely the size is a mistake. 1 x 1 images still take conv3. */
static ntk_status check_window(const ntk_layer *layer, int64_t size, int window, const char *axis) {
  bool inside = layer->padding == NTK_PAD_VALID || layer->padding == NTK_PAD_CIRCULAR;
  char name[NTK_LAYER_NAME_SIZE];
  ntk_layer_name(layer, name);
  if (inside && window > size)
    return ntk_layer_error(layer, "'%s' with %s padding needs %s of %d at least, but the image has %" PRId64 " here",
                           name, layer->padding == NTK_PAD_VALID ? "'valid'" : "'circular'", axis, window, size);
  if (window / 2 > size)
    return ntk_layer_error(layer, "'%s' reaches %d pixels to either side, but the image has %s of %" PRId64 " here",
                           name, window / 2, axis, size);
  if (layer->stride > size)
    return ntk_layer_error(layer, "'%s' has stride %d, but the image has %s of %" PRId64 " here", name, layer->stride,
                           axis, size);
  return NTK_OK;
}

static ntk_status window_shape(const ntk_layer *layer, ntk_shape in, ntk_shape *out) {
  NTK_TRY(check_window(layer, in.height, layer->rows, "a height"));
  NTK_TRY(check_window(layer, in.width, layer->cols, "a width"));
  out->height = window_output(in.height, layer->rows, layer->stride, layer->padding);
  out->width = window_output(in.width, layer->cols, layer->stride, layer->padding);
  return NTK_OK;
}

static ntk_status sum_shape(const ntk_layer *sum, ntk_shape in, ntk_shape *out) {
  ntk_shape first = in;
  for (size_t i = 0; i < sum->branch_count; i++) {
    const ntk_layers *branch = &sum->branches[i];
    ntk_shape shape = in;
    for (size_t j = 0; j < branch->count; j++) NTK_TRY(ntk_layer_output_shape(&branch->items[j], shape, &shape));
    if (i == 0) first = shape;
    if (shape.height == first.height && shape.width == first.width) continue;
    char a[SHAPE_TEXT_SIZE], b[SHAPE_TEXT_SIZE];
    return ntk_layer_error(sum,
                           "the branches of the sum have different shapes: branch 1 gives %s, branch %zu gives %s; "
                           "give them equal strides and paddings",
                           print_shape(a, first), i + 1, print_shape(b, shape));
  }
  *out = first;
  return NTK_OK;
}

ntk_status ntk_layer_output_shape(const ntk_layer *layer, ntk_shape in, ntk_shape *out) {
  bool vector = ntk_is_vector_shape(in);
  char name[NTK_LAYER_NAME_SIZE];
  *out = in;
  switch (layer->kind) {
    case NTK_LAYER_ACTIVATION: return NTK_OK;
    case NTK_LAYER_SUM: return sum_shape(layer, in, out);
    case NTK_LAYER_DENSE: out->height = out->width = 0; return NTK_OK;
    default: break;
  }
  if (vector) {
    ntk_layer_name(layer, name);
    return ntk_layer_error(layer, "'%s' needs images, but the inputs are vectors of %" PRId64 " numbers", name,
                           in.channels);
  }
  if (layer->kind == NTK_LAYER_CONV || layer->kind == NTK_LAYER_AVGPOOL) return window_shape(layer, in, out);
  out->height = out->width = 0; /* a readout */
  return NTK_OK;
}

ntk_status ntk_network_check(const ntk_network *network, ntk_shape shape) {
  if (!network) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_network_check: network must not be NULL");
  NTK_TRY(ntk_check_shape(shape));
  ntk_status status = NTK_OK;
  for (size_t i = 0; i < network->flat.count && status == NTK_OK; i++)
    status = ntk_layer_output_shape(&network->flat.items[i], shape, &shape);
  if (status != NTK_ERROR_NETWORK || !network->preset) return status;
  /* The user wrote a name: say which text the layer and column are of. */
  char reason[1536];
  snprintf(reason, sizeof reason, "%s", ntk_last_error());
  return ntk_fail(status, "preset '%s', %s (in its text '%.300s')", network->preset, reason, network->text);
}
