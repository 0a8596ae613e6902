/* From a network to the operations of its feature map: every layer turns the features f of S and psi of T of a node
 * into those behind it, as it turns S and T themselves (docs/network-text.md, docs/features.md). */
#include "host/features/build.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/gram/graph.h"
#include "host/status.h"

/* Patches of so few numbers are kept whole, whatever the number of features. */
enum { LEAST_WHOLE = 256 };

static ntk_status no_memory(void) { return ntk_fail(NTK_ERROR_MEMORY, "no memory for a feature map"); }

void *ntk_features_own(ntk_features *features, size_t count, size_t size) {
  void **owned = realloc(features->owned, (features->owned_count + 1) * sizeof *owned);
  if (!owned) return NULL;
  features->owned = owned;
  void *memory = calloc(count ? count : 1, size);
  if (memory) owned[features->owned_count++] = memory, features->owned_bytes += count * size;
  return memory;
}

/* ---- slots, operations, views ---- */

static ntk_status add_slot(ntk_feature_builder *b, int pixels, int64_t stride, int *slot) {
  ntk_features *f = b->features;
  if (stride < 1) stride = 1;
  if (stride > 1 << 24)
    return ntk_fail(NTK_ERROR_MEMORY, "rows of %lld features are too long: choose a smaller --dim", (long long)stride);
  ntk_slot *slots = realloc(f->slots, (size_t)(f->slot_count + 1) * sizeof *slots);
  if (!slots) return no_memory();
  f->slots = slots;
  slots[f->slot_count] = (ntk_slot){.pixels = pixels, .stride = (int)stride, .first = f->op_count, .last = f->op_count};
  *slot = f->slot_count++;
  return NTK_OK;
}

static void use(ntk_features *f, ntk_view view) {
  if (view.dim > 0) f->slots[view.slot].last = f->op_count;
}

ntk_status ntk_feature_add(ntk_feature_builder *b, ntk_feature_op op) {
  ntk_features *f = b->features;
  ntk_feature_op *ops = realloc(f->ops, (size_t)(f->op_count + 1) * sizeof *ops);
  if (!ops) return no_memory();
  f->ops = ops;
  use(f, op.in), use(f, op.psi), use(f, op.out), use(f, op.psi_out);
  f->ops[f->op_count++] = op;
  return NTK_OK;
}

static int pixels_of(const ntk_feature_node *n) { return n->height ? n->height * n->width : 1; }

/* Whether f's columns stand right behind psi's, so that one view has both. */
static bool together(const ntk_feature_node *n) {
  return n->psi.dim > 0 && n->psi.slot == n->f.slot && n->psi.column + n->psi.dim == n->f.column &&
         n->psi.scale == n->f.scale;
}

static ntk_view both(const ntk_feature_node *n) {
  ntk_view view = n->psi;
  view.dim += n->f.dim;
  return view;
}

static ntk_status fill(ntk_feature_builder *b, int slot, int column, double value) {
  return ntk_feature_add(b, (ntk_feature_op){.kind = NTK_OP_FILL, .out = {slot, column, 1, 1}, .fill = (float)value});
}

/* ---- gathers ---- */

/* How the terms of a sum fall together. */
typedef enum folding {
  FOLD_SUM,    /* column upon column */
  FOLD_CONCAT, /* side by side */
  FOLD_SKETCH  /* with random signs and rotations */
} folding;

/* `in` through the taps into columns [column, column + span) of a slot. */
static ntk_status gather(ntk_feature_builder *b, const ntk_taps *taps, ntk_view in, folding how, double scale,
                         bool adds, int slot, int column, int span) {
  if (in.dim == 0) return NTK_OK;
  ntk_feature_gather g = {.inputs = taps->inputs,
                          .outputs = taps->outputs,
                          .taps = taps->taps,
                          .columns = in.dim,
                          .span = span,
                          .source = taps->source,
                          .weight = taps->weight,
                          .scale = (float)(scale * in.scale),
                          .adds = adds};
  if (how == FOLD_SKETCH) {
    g.sign = ntk_draw_signs(b->features, (size_t)taps->taps * (size_t)in.dim);
    /* different rotations: the same column of two terms, often the largest of both, never falls upon itself */
    g.shift = ntk_draw_samples(b->features, (size_t)taps->taps, span);
    if (!g.sign || !g.shift) return no_memory();
  } else if (how == FOLD_CONCAT) {
    int32_t *shift = ntk_features_own(b->features, (size_t)taps->taps, sizeof *shift);
    if (!shift) return no_memory();
    for (int t = 0; t < taps->taps; t++) shift[t] = t * in.dim;
    g.shift = shift;
  }
  return ntk_feature_add(
      b, (ntk_feature_op){.kind = NTK_OP_GATHER, .in = in, .out = {slot, column, span, 1}, .gather = g});
}

/* The columns that taps x dim numbers take, side by side if they fit into `most`. */
static int folded(const ntk_taps *taps, int dim, int most, folding *how) {
  const int64_t whole = (int64_t)taps->taps * dim;
  *how = whole <= most ? FOLD_CONCAT : FOLD_SKETCH;
  return whole <= most ? (int)whole : most;
}

/* ---- layers ---- */

static ntk_status one_tap(ntk_feature_builder *b, int pixels, ntk_taps *out) {
  int32_t *source = ntk_features_own(b->features, (size_t)pixels, sizeof *source);
  if (!source) return no_memory();
  for (int p = 0; p < pixels; p++) source[p] = p;
  *out = (ntk_taps){pixels, pixels, 1, source, NULL};
  return NTK_OK;
}

/* All pixels into one row. */
static ntk_status all_taps(ntk_feature_builder *b, int pixels, ntk_taps *out) {
  NTK_TRY(one_tap(b, pixels, out));
  out->outputs = 1, out->taps = pixels;
  return NTK_OK;
}

/* The windows of a convolution or a pooling: which pixel of the input tap (a, b) of output (I, J) reads. */
static ntk_status window_taps(ntk_feature_builder *b, const ntk_layer *layer, const ntk_feature_node *n, ntk_taps *out,
                              int *height, int *width) {
  const ntk_window r = ntk_layer_window(layer, layer->rows, n->height);
  const ntk_window c = ntk_layer_window(layer, layer->cols, n->width);
  const int taps = layer->rows * layer->cols;
  int32_t *source = ntk_features_own(b->features, (size_t)r.outputs * c.outputs * taps, sizeof *source);
  float *weight =
      layer->normalized ? ntk_features_own(b->features, (size_t)r.outputs * c.outputs, sizeof *weight) : NULL;
  if (!source || (layer->normalized && !weight)) return no_memory();
  for (int p = 0; p < r.outputs * c.outputs; p++) {
    int inside = 0;
    for (int t = 0; t < taps; t++) {
      int i = p / c.outputs * r.stride - r.before + t / layer->cols,
          j = p % c.outputs * c.stride - c.before + t % layer->cols;
      if (r.circular) i = (i % n->height + n->height) % n->height, j = (j % n->width + n->width) % n->width;
      const bool in = i >= 0 && i < n->height && j >= 0 && j < n->width;
      source[(size_t)p * taps + t] = in ? i * n->width + j : -1;
      inside += in;
    }
    if (weight) weight[p] = inside ? (float)taps / (float)inside : 0;
  }
  *height = r.outputs, *width = c.outputs;
  *out = (ntk_taps){n->height * n->width, r.outputs * c.outputs, taps, source, weight};
  return NTK_OK;
}

/* A layer with weights. */
typedef struct affine {
  double w, bias;  /* W / sqrt(filter), b */
  double standard; /* sqrt(N) of the standard parameterisation's T, else 0 */
  bool trained;    /* T gets the new S */
} affine;

static affine affine_of(const ntk_feature_builder *b, const ntk_layer *layer) {
  const bool conv = layer->kind == NTK_LAYER_CONV;
  const double filter = conv ? (double)layer->rows * layer->cols : 1;
  return (affine){.w = layer->weight_std / sqrt(filter),
                  .bias = sqrt(ntk_bias_variance(layer, b->features->shape.channels)),
                  .standard = layer->width && !layer->fixed ? sqrt(layer->width) : 0,
                  .trained = !layer->fixed && !layer->width};
}

/* Without a filter everything may be a matter of views: b's column was left free behind f. */
static ntk_status affine_in_place(ntk_feature_builder *b, const affine *a, ntk_feature_node *n, bool *done) {
  const bool joins = a->trained && (n->psi.dim == 0 || together(n));
  *done = false;
  if (a->standard != 0 || a->w == 0 || (a->trained && !joins)) return NTK_OK;
  if (a->bias != 0) {
    const ntk_slot *slot = &b->features->slots[n->f.slot];
    const int column = n->f.column + n->f.dim;
    if (!n->free_column || column >= slot->stride) return NTK_OK;
    NTK_TRY(fill(b, n->f.slot, column, a->bias / (a->w * n->f.scale)));
    n->f.dim++;
  }
  if (a->trained) n->psi = n->psi.dim ? both(n) : n->f;
  n->f.scale *= (float)a->w, n->psi.scale *= (float)a->w;
  n->free_column = false, *done = true;
  return NTK_OK;
}

static ntk_status lower_affine(ntk_feature_builder *b, const ntk_layer *layer, ntk_feature_node *n) {
  const affine a = affine_of(b, layer);
  const bool filter = layer->kind == NTK_LAYER_CONV && (layer->rows * layer->cols > 1 || layer->stride > 1);
  ntk_taps taps = {0};
  int height = n->height, width = n->width, slot;
  bool done = false;
  if (!filter) {
    NTK_TRY(affine_in_place(b, &a, n, &done));
    if (done) return NTK_OK;
    NTK_TRY(one_tap(b, pixels_of(n), &taps));
  } else {
    NTK_TRY(ntk_check_conv(layer, n->height, n->width));
    NTK_TRY(window_taps(b, layer, n, &taps, &height, &width));
  }
  const int bias = a.bias != 0, order1 = b->features->order1, most = order1 > LEAST_WHOLE ? order1 : LEAST_WHOLE;
  folding how_f, how_psi = FOLD_CONCAT;
  /* what fits side by side stays; what does not is sketched into what the layer behind is made for */
  int f = folded(&taps, n->f.dim, taps.taps == 1 ? n->f.dim : most - bias, &how_f), psi = 0;
  if (how_f == FOLD_SKETCH) f = order1 - bias;
  const int own = a.trained || a.standard != 0 ? f + bias : 0; /* columns of T from this layer */
  if (n->psi.dim > 0) {
    const int64_t dim = b->features->options.dim, sketch = b->features->options.sketch_dim;
    psi = folded(&taps, n->psi.dim, (int)(dim - own > sketch ? dim - own : sketch), &how_psi);
  }
  const bool copies = a.standard != 0; /* T gets the sum of the old S over the filter, not the new S */
  const int at = psi + (copies ? f + bias : 0);
  NTK_TRY(add_slot(b, taps.outputs, (int64_t)at + f + bias, &slot));
  NTK_TRY(gather(b, &taps, n->psi, how_psi, a.w, false, slot, 0, psi));
  if (copies) NTK_TRY(gather(b, &taps, n->f, how_f, a.standard, false, slot, psi, f));
  if (copies && bias) NTK_TRY(fill(b, slot, psi + f, 1));
  NTK_TRY(gather(b, &taps, n->f, how_f, a.w, false, slot, at, f));
  if (bias) NTK_TRY(fill(b, slot, at + f, a.bias));
  n->psi = (ntk_view){slot, 0, psi + own, 1};
  n->f = (ntk_view){slot, at, f + bias, 1}, n->height = height, n->width = width, n->free_column = false;
  return NTK_OK;
}

/* Sums over windows, and the readouts: psi and f alike, in one go where they stand together. */
static ntk_status pool_rows(ntk_feature_builder *b, const ntk_taps *taps, double scale, bool reserve,
                            ntk_feature_node *n) {
  int slot = 0;
  const ntk_feature_node old = *n;
  NTK_TRY(add_slot(b, taps->outputs, (int64_t)old.psi.dim + old.f.dim + reserve, &slot));
  if (together(&old)) {
    NTK_TRY(gather(b, taps, both(&old), FOLD_SUM, scale, false, slot, 0, old.psi.dim + old.f.dim));
  } else {
    NTK_TRY(gather(b, taps, old.psi, FOLD_SUM, scale, false, slot, 0, old.psi.dim));
    NTK_TRY(gather(b, taps, old.f, FOLD_SUM, scale, false, slot, old.psi.dim, old.f.dim));
  }
  n->psi = (ntk_view){slot, 0, old.psi.dim, 1}, n->f = (ntk_view){slot, old.psi.dim, old.f.dim, 1};
  n->free_column = reserve;
  return NTK_OK;
}

/* Whether an affine layer that stands right behind layer k needs a column for its bias. */
static bool reserves(const ntk_layers *layers, size_t k) {
  if (k + 1 >= layers->count) return false;
  const ntk_layer *next = &layers->items[k + 1];
  const bool dense = next->kind == NTK_LAYER_DENSE ||
                     (next->kind == NTK_LAYER_CONV && next->rows * next->cols == 1 && next->stride == 1);
  return dense && (next->has_bias || next->has_gamma);
}

/* Whether the next affine layer from `from` on is trained; where there is none, what `outside` says of the one behind
 * the branch. */
static bool trained_next(const ntk_layers *layers, size_t from, bool outside) {
  for (size_t k = from; k < layers->count; k++) {
    const ntk_layer *layer = &layers->items[k];
    if (layer->kind == NTK_LAYER_CONV || layer->kind == NTK_LAYER_DENSE) return !layer->fixed;
    if (layer->kind != NTK_LAYER_SUM) continue;
    for (size_t i = 0; i < layer->branch_count; i++)
      if (trained_next(&layer->branches[i], 0, true)) return true;
    return false;
  }
  return outside;
}

/* Whether anything behind layer k reads f. */
static bool needs_f(const ntk_feature_builder *b, const ntk_layers *layers, size_t k) {
  if (b->features->options.kernel == NTK_KERNEL_NNGP || b->nesting > 0) return true;
  for (size_t j = k + 1; j < layers->count; j++) {
    const ntk_layer *layer = &layers->items[j];
    if (layer->kind == NTK_LAYER_ACTIVATION || layer->kind == NTK_LAYER_SUM) return true;
    if ((layer->kind == NTK_LAYER_CONV || layer->kind == NTK_LAYER_DENSE) && !layer->fixed) return true;
  }
  return false;
}

/* Columns of a sketched product in front of the layer behind `k`. */
static int product_dim(const ntk_feature_builder *b, const ntk_layers *layers, size_t k) {
  const ntk_features_options *o = &b->features->options;
  return (int)(trained_next(layers, k + 1, b->nesting > 0) ? o->sketch_dim : o->dim);
}

/* flatten: all pixels side by side, over sqrt(pixels). */
static ntk_status lower_flatten(ntk_feature_builder *b, const ntk_layers *layers, size_t k, ntk_feature_node *n) {
  const int pixels = pixels_of(n), reserve = reserves(layers, k);
  const double scale = 1 / sqrt(pixels);
  const bool input = k == 0; /* an image as a vector */
  folding how_f, how_psi = FOLD_CONCAT;
  ntk_taps taps = {0};
  int slot, psi = 0;
  NTK_TRY(all_taps(b, pixels, &taps));
  const int f = folded(&taps, n->f.dim, input ? 1 << 24 : b->features->order1 - reserve, &how_f);
  if (n->psi.dim) psi = folded(&taps, n->psi.dim, product_dim(b, layers, k), &how_psi);
  NTK_TRY(add_slot(b, 1, (int64_t)psi + f + reserve, &slot));
  NTK_TRY(gather(b, &taps, n->psi, how_psi, scale, false, slot, 0, psi));
  NTK_TRY(gather(b, &taps, n->f, how_f, scale, false, slot, psi, f));
  *n = (ntk_feature_node){.psi = {slot, 0, psi, 1}, .f = {slot, psi, f, 1}, .free_column = reserve};
  return NTK_OK;
}

/* lap(c): windows of 2c+1 around every pixel, one axis after the other, then flatten. */
static ntk_status lower_lap(ntk_feature_builder *b, const ntk_layers *layers, size_t k, ntk_feature_node *n) {
  enum { MOST_TURNS = 1000 };
  const ntk_layer *lap = &layers->items[k];
  const int longest = n->height > n->width ? n->height : n->width;
  if (lap->pool_circular && lap->pool > MOST_TURNS)
    return ntk_fail(NTK_ERROR_UNSUPPORTED, "layer %d, column %d: features of a circular lap(c) are made for c up to %d",
                    lap->number, lap->column, MOST_TURNS);
  const int reach = lap->pool < longest || lap->pool_circular ? lap->pool : longest;
  ntk_layer window = {
      .kind = NTK_LAYER_CONV, .stride = 1, .padding = lap->pool_circular ? NTK_PAD_CIRCULAR : NTK_PAD_ZERO};
  for (int axis = 0; axis < 2 && reach > 0; axis++) {
    ntk_taps taps = {0};
    int height, width;
    window.rows = axis == 0 ? 2 * reach + 1 : 1, window.cols = axis == 0 ? 1 : 2 * reach + 1;
    NTK_TRY(window_taps(b, &window, n, &taps, &height, &width));
    NTK_TRY(pool_rows(b, &taps, 1 / (2.0 * lap->pool + 1), false, n));
  }
  return lower_flatten(b, layers, k, n);
}

static ntk_status lower_pool(ntk_feature_builder *b, const ntk_layers *layers, size_t k, ntk_feature_node *n) {
  const ntk_layer *pool = &layers->items[k];
  const int pixels = pixels_of(n), reserve = reserves(layers, k);
  ntk_taps taps = {0};
  int height = 0, width = 0;
  if (pool->kind == NTK_LAYER_GAP) {
    NTK_TRY(all_taps(b, pixels, &taps));
    NTK_TRY(pool_rows(b, &taps, 1.0 / pixels, reserve, n));
  } else {
    NTK_TRY(window_taps(b, pool, n, &taps, &height, &width));
    NTK_TRY(pool_rows(b, &taps, 1.0 / taps.taps, reserve, n));
  }
  n->height = height, n->width = width;
  return NTK_OK;
}

static ntk_status lower_layers(ntk_feature_builder *b, const ntk_layers *layers, ntk_feature_node *n);

/* The views of all branches into one: side by side if they fit, else each but the first with random signs. */
static ntk_status add_branches(ntk_feature_builder *b, const ntk_view *views, size_t count, int pixels, int slot,
                               int column, int span, bool fits) {
  ntk_taps taps = {0};
  bool adds = false;
  int at = column;
  NTK_TRY(one_tap(b, pixels, &taps));
  for (size_t i = 0; i < count; i++) {
    if (views[i].dim == 0) continue;
    if (fits) {
      NTK_TRY(gather(b, &taps, views[i], FOLD_SUM, 1, false, slot, at, views[i].dim));
      at += views[i].dim;
    } else {
      const bool plain = !adds && views[i].dim == span;
      NTK_TRY(gather(b, &taps, views[i], plain ? FOLD_SUM : FOLD_SKETCH, 1, adds, slot, column, span));
      adds = true;
    }
  }
  return NTK_OK;
}

/* Columns for the sum of all branches' views. */
static int sum_span(const ntk_view *views, size_t count, int64_t most, bool *fits) {
  int64_t total = 0, largest = 0;
  for (size_t i = 0; i < count; i++) {
    total += views[i].dim;
    if (views[i].dim > largest) largest = views[i].dim;
  }
  *fits = total <= most;
  return (int)(*fits ? total : largest > most ? largest : most);
}

static ntk_status lower_sum(ntk_feature_builder *b, const ntk_layers *layers, size_t k, ntk_feature_node *n) {
  const ntk_layer *sum = &layers->items[k];
  const size_t count = sum->branch_count;
  ntk_view *f = calloc(count, sizeof *f), *psi = calloc(count, sizeof *psi);
  ntk_status status = f && psi ? NTK_OK : no_memory();
  ntk_feature_node branch = *n;
  b->nesting++;
  for (size_t i = 0; i < count && status == NTK_OK; i++) {
    branch = *n;
    if (sum->branches[i].count > 0) branch.free_column = false; /* it is shared: no branch may write it */
    status = lower_layers(b, &sum->branches[i], &branch);
    f[i] = branch.f, psi[i] = branch.psi;
  }
  b->nesting--;
  if (status == NTK_OK) {
    bool f_fits, psi_fits;
    int slot = 0;
    const int reserve = reserves(layers, k), pixels = pixels_of(&branch);
    const int f_span = sum_span(f, count, b->features->order1, &f_fits);
    const int psi_span = sum_span(psi, count, b->features->options.dim, &psi_fits);
    int64_t psi_total = 0;
    for (size_t i = 0; i < count; i++) psi_total += psi[i].dim;
    const int psi_dim = psi_total ? psi_span : 0;
    status = add_slot(b, pixels, (int64_t)psi_dim + f_span + reserve, &slot);
    if (status == NTK_OK && psi_dim) status = add_branches(b, psi, count, pixels, slot, 0, psi_dim, psi_fits);
    if (status == NTK_OK) status = add_branches(b, f, count, pixels, slot, psi_dim, f_span, f_fits);
    *n = (ntk_feature_node){.height = branch.height,
                            .width = branch.width,
                            .psi = {slot, 0, psi_dim, 1},
                            .f = {slot, psi_dim, f_span, 1},
                            .free_column = reserve};
  }
  free(f), free(psi);
  return status;
}

/* What the features of an activation do not stand for (unit.c), from the node before it onto f and psi behind it. */
static ntk_status add_rest(ntk_feature_builder *b, const ntk_unit_layer *unit, const ntk_feature_node *n, ntk_view f,
                           ntk_view psi) {
  ntk_taps taps = {0};
  if (unit->linear == 0 && unit->mean == 0 && unit->constant == 0) return NTK_OK;
  NTK_TRY(one_tap(b, pixels_of(n), &taps));
  if (unit->constant != 0 && f.dim > 0)
    NTK_TRY(gather(b, &taps, (ntk_view){f.slot, f.column, 1, 1}, FOLD_SUM, (double)unit->constant - 1, true, f.slot,
                   f.column, 1));
  if (unit->linear != 0 && f.dim > 0)
    NTK_TRY(gather(b, &taps, n->f, FOLD_SKETCH, unit->linear, true, f.slot, f.column + 1, f.dim - 1));
  if (unit->mean != 0 && psi.dim > 0)
    NTK_TRY(gather(b, &taps, n->psi, FOLD_SKETCH, unit->mean, true, psi.slot, psi.column, psi.dim));
  return NTK_OK;
}

static ntk_status lower_activation(ntk_feature_builder *b, const ntk_layers *layers, size_t k, ntk_feature_node *n) {
  const int reserve = reserves(layers, k), order1 = needs_f(b, layers, k) ? b->features->order1 - reserve : 0;
  ntk_unit_layer *unit = NULL;
  int slot = 0;
  NTK_TRY(ntk_feature_unit_make(b, &layers->items[k], n->f.dim, order1, n->psi.dim > 0, &unit));
  const int psi = unit->order0 > 0 ? product_dim(b, layers, k) : 0;
  if (psi) NTK_TRY(ntk_product_make(b->features, n->psi.dim, unit->order0, psi, &unit->product));
  NTK_TRY(add_slot(b, pixels_of(n), (int64_t)psi + order1 + reserve, &slot));
  const ntk_view f = {slot, psi, order1, 1}, product = {slot, 0, psi, 1};
  const ntk_view none = {slot, 0, 0, 1};
  NTK_TRY(ntk_feature_add(
      b, (ntk_feature_op){
             .kind = NTK_OP_UNIT, .in = n->f, .psi = psi ? n->psi : none, .out = f, .psi_out = product, .unit = unit}));
  NTK_TRY(add_rest(b, unit, n, f, product));
  n->f = f, n->psi = product, n->free_column = reserve;
  return NTK_OK;
}

static ntk_status lower_layers(ntk_feature_builder *b, const ntk_layers *layers, ntk_feature_node *n) {
  for (size_t k = 0; k < layers->count; k++) {
    switch (layers->items[k].kind) {
      case NTK_LAYER_CONV:
      case NTK_LAYER_DENSE: NTK_TRY(lower_affine(b, &layers->items[k], n)); break;
      case NTK_LAYER_ACTIVATION: NTK_TRY(lower_activation(b, layers, k, n)); break;
      case NTK_LAYER_SUM: NTK_TRY(lower_sum(b, layers, k, n)); break;
      case NTK_LAYER_FLATTEN: NTK_TRY(lower_flatten(b, layers, k, n)); break;
      case NTK_LAYER_AVGPOOL:
      case NTK_LAYER_GAP: NTK_TRY(lower_pool(b, layers, k, n)); break;
      case NTK_LAYER_LAP: NTK_TRY(lower_lap(b, layers, k, n)); break;
      case NTK_LAYER_GROUP: break;
    }
    /* the NNGP kernel has no use for T */
    if (b->features->options.kernel == NTK_KERNEL_NNGP) n->psi.dim = 0;
  }
  return NTK_OK;
}

static bool has_pixels(const ntk_network *network) {
  for (size_t k = 0; k < network->flat.count; k++) {
    const ntk_layer_kind kind = network->flat.items[k].kind;
    if (kind == NTK_LAYER_FLATTEN || kind == NTK_LAYER_GAP || kind == NTK_LAYER_LAP) return true;
  }
  return false;
}

/* The input: one row a pixel, or one row. */
static ntk_status add_input(ntk_feature_builder *b, const ntk_network *network, ntk_feature_node *n) {
  const ntk_shape shape = b->features->shape;
  const bool pixels = has_pixels(network);
  const int64_t columns = pixels || !shape.height ? shape.channels : shape.channels * shape.height * shape.width;
  int slot = 0;
  if (pixels) n->height = (int)shape.height, n->width = (int)shape.width;
  NTK_TRY(add_slot(b, pixels_of(n), columns, &slot));
  n->f = (ntk_view){slot, 0, (int)columns, (float)(1 / sqrt((double)columns))};
  n->psi = (ntk_view){slot, 0, 0, 1};
  return NTK_OK;
}

/* The row of an image, folded when the network's last layers made it longer than asked for. */
static ntk_status add_result(ntk_feature_builder *b, const ntk_feature_node *n) {
  ntk_features *f = b->features;
  ntk_view result = f->options.kernel == NTK_KERNEL_NNGP ? n->f : n->psi;
  int slot = 0;
  ntk_taps taps = {0};
  if (result.dim == 0) { /* nothing is trained: the kernel is 0 */
    NTK_TRY(add_slot(b, 1, 1, &slot));
    NTK_TRY(fill(b, slot, 0, 0));
    result = (ntk_view){slot, 0, 1, 1};
  } else if (result.dim > f->options.dim) {
    NTK_TRY(one_tap(b, 1, &taps));
    NTK_TRY(add_slot(b, 1, f->options.dim, &slot));
    NTK_TRY(gather(b, &taps, result, FOLD_SKETCH, 1, false, slot, 0, (int)f->options.dim));
    result = (ntk_view){slot, 0, (int)f->options.dim, 1};
  }
  f->slots[result.slot].last = f->op_count;
  f->result = result;
  return NTK_OK;
}

ntk_status ntk_features_build(ntk_features *features, const ntk_network *network) {
  ntk_feature_builder b = {.features = features};
  ntk_feature_node node = {0};
  NTK_TRY(add_input(&b, network, &node));
  NTK_TRY(lower_layers(&b, &network->flat, &node));
  return add_result(&b, &node);
}
