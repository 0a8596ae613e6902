/* Horizontal mirror images: which networks they commute with, and making them. */
#include <inttypes.h>

#include "host/gram/plan.h"
#include "host/status.h"

/* Columns [first, last] that a window meets; first > last: none. */
typedef struct window {
  int64_t first, last;
} window;

/* Where the window of output column 0 begins; that of column J begins `stride` J further. */
static int64_t window_start(const ntk_layer *layer, int64_t width, int64_t outputs) {
  const int64_t total = (outputs - 1) * layer->stride + layer->cols - width;
  if (layer->padding == NTK_PAD_VALID) return 0;
  /* a zero or circular filter is centred; `same`, and pooling in a circle, put the smaller half before */
  if (layer->kind == NTK_LAYER_CONV && layer->padding != NTK_PAD_SAME) return -(layer->cols / 2);
  return total > 0 ? -(total / 2) : 0;
}

static window inside(int64_t start, int cols, int64_t width) {
  const int64_t end = start + cols - 1;
  return (window){start > 0 ? start : 0, end < width - 1 ? end : width - 1};
}

/* Whether output column J sees the mirror image of what column outputs - 1 - J sees. Two filters at the same shift on
 * two images then meet mirrored pairs of columns, for they are the pairs of both windows at that shift. */
static bool is_mirrored(const ntk_layer *layer, int64_t width, int64_t outputs, int64_t column) {
  const int64_t start = window_start(layer, width, outputs) + column * layer->stride;
  const int64_t other = window_start(layer, width, outputs) + (outputs - 1 - column) * layer->stride;
  const int64_t wanted = width - layer->cols - start; /* where the mirrored window begins */
  if (layer->padding == NTK_PAD_CIRCULAR) return layer->cols == width || (other - wanted) % width == 0;
  const window a = inside(other, layer->cols, width), b = inside(wanted, layer->cols, width);
  return (a.first == b.first && a.last == b.last) || (a.first > a.last && b.first > b.last);
}

static ntk_status check_layers(const ntk_layers *layers, ntk_shape shape) {
  for (size_t k = 0; k < layers->count; k++) {
    const ntk_layer *layer = &layers->items[k];
    ntk_shape out = shape;
    NTK_TRY(ntk_layer_output_shape(layer, shape, &out));
    for (size_t b = 0; b < layer->branch_count; b++) NTK_TRY(check_layers(&layer->branches[b], shape));
    const bool windows = layer->kind == NTK_LAYER_CONV || layer->kind == NTK_LAYER_AVGPOOL;
    for (int64_t j = 0; windows && j < out.width; j++) {
      if (is_mirrored(layer, shape.width, out.width, j)) continue;
      char name[NTK_LAYER_NAME_SIZE];
      ntk_layer_name(layer, name);
      return ntk_fail(
          NTK_ERROR_NETWORK,
          "layer %d, column %d: a flip needs K(Fx, Fz) = K(x, z), but the windows of '%s' with stride %d do "
          "not lie symmetrically on a width of %" PRId64
          ": leave the flip out, or choose a width, stride or padding where they do",
          layer->number, layer->column, name, layer->stride, shape.width);
    }
    shape = out;
  }
  return NTK_OK;
}

ntk_status ntk_plan_check_mirror(const ntk_network *network, ntk_shape shape) {
  if (shape.height == 0)
    return ntk_fail(NTK_ERROR_ARGUMENT, "vectors have no mirror image: leave the flip out, or give images");
  return check_layers(&network->flat, shape);
}

void ntk_plan_mirror(const ntk_plan *plan, int64_t count, double *images) {
  const int64_t width = plan->shape.width, rows = count * plan->shape.channels * plan->shape.height;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t j = 0; j < width / 2; j++) {
      double *const row = images + r * width, kept = row[j];
      row[j] = row[width - 1 - j];
      row[width - 1 - j] = kept;
    }
}
