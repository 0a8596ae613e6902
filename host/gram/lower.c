/* Lowering: the flat layer list of a network -> the program of the plane engine or of the fully connected recursion. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/gram/graph.h"
#include "host/gram/plan.h"
#include "host/gram/tiles.h"
#include "host/net/activation.h"
#include "host/status.h"
#include "kernels/packing.h"

/* From this many entries on, the rounding errors of a pair with constant regions average out (docs/accuracy.md). */
enum { averaging_entries = 50000 };

static ntk_status no_memory(void) { return ntk_fail(NTK_ERROR_MEMORY, "no memory for a plan"); }

static const char *layer_name(const ntk_layer *layer) {
  switch (layer->kind) {
    case NTK_LAYER_CONV: return "conv";
    case NTK_LAYER_DENSE: return "dense";
    case NTK_LAYER_ACTIVATION: return "this activation";
    case NTK_LAYER_AVGPOOL: return "average pooling";
    case NTK_LAYER_SUM: return "a residual sum";
    case NTK_LAYER_FLATTEN: return "flatten";
    case NTK_LAYER_GAP: return "gap";
    case NTK_LAYER_LAP: return "lap";
    case NTK_LAYER_GROUP: break;
  }
  return "this layer";
}

static ntk_status not_yet(const ntk_layer *layer, const char *what) {
  return ntk_fail(NTK_ERROR_UNSUPPORTED, "layer %d, column %d: %s %s not computed by this version of libntk",
                  layer->number, layer->column, layer_name(layer), what);
}

static bool is_readout(const ntk_layer *layer) {
  return layer->kind == NTK_LAYER_FLATTEN || layer->kind == NTK_LAYER_GAP || layer->kind == NTK_LAYER_LAP;
}

double ntk_bias_variance(const ntk_layer *layer, int64_t channels) {
  if (layer->has_gamma) return layer->gamma * layer->gamma / ((double)layer->rows * layer->cols * (double)channels);
  return layer->has_bias ? layer->bias_std * layer->bias_std : 0;
}

/* The depths to read out, sorted as given; all = total activations when none were asked for. */
static ntk_status choose_taps(ntk_plan *plan, const ntk_plan_options *options, int activations) {
  size_t count = options->depth_count ? options->depth_count : 1;
  plan->tap_depth = calloc(count, sizeof *plan->tap_depth);
  plan->tap_factor = calloc(count, sizeof *plan->tap_factor);
  if (!plan->tap_depth || !plan->tap_factor) return no_memory();
  for (size_t k = 0; k < count; k++) {
    int depth = options->depth_count ? options->depths[k] : activations;
    if (options->depth_count && (depth < 1 || depth > activations))
      return ntk_fail(NTK_ERROR_ARGUMENT, "depth %d is impossible: the network has %d activations before its readout",
                      depth, activations);
    for (size_t j = 0; j < k; j++)
      if (plan->tap_depth[j] == depth) return ntk_fail(NTK_ERROR_ARGUMENT, "depth %d is asked for twice", depth);
    plan->tap_depth[k] = depth;
  }
  plan->program.tap_count = plan->fc.tap_count = (int)count;
  return NTK_OK;
}

static int tap_of(const ntk_plan *plan, int activations) {
  for (int k = 0; k < plan->program.tap_count; k++)
    if (plan->tap_depth[k] == activations) return k;
  return -1;
}

static ntk_status lower_head(ntk_plan *plan, const ntk_layer *layers, size_t count) {
  plan->head = calloc(count + 1, sizeof *plan->head);
  if (!plan->head) return no_memory();
  for (size_t k = 0; k < count; k++) {
    const ntk_layer *layer = &layers[k];
    if (layer->kind == NTK_LAYER_ACTIVATION) {
      ntk_activation_dual *dual = ntk_plan_own(plan, 1, sizeof *dual);
      if (!dual) return no_memory();
      NTK_TRY(ntk_activation_make(layer, dual));
      plan->head[k].dual = dual;
      plan->head_activates = true;
      plan->float64 |= (plan->kernels & NTK_KERNEL_NTK) != 0; /* k0 magnifies the rounding of a float32 rho */
      plan->activation_layers++;
      continue;
    }
    if (layer->kind != NTK_LAYER_DENSE) return not_yet(layer, "after a readout is");
    plan->head[k] = (ntk_head_layer){.w2 = layer->weight_std * layer->weight_std,
                                     .b2 = ntk_bias_variance(layer, plan->shape.channels),
                                     .trained = !layer->fixed && !layer->width};
    ntk_standard_terms(layer, &plan->head[k].old_weight, &plan->head[k].constant);
  }
  plan->head_count = count;
  return NTK_OK;
}

/* ---- fully connected ---- */

/* An activation into the dense layer before it. */
static ntk_status lower_activation(ntk_plan *plan, const ntk_layer *layer, ntk_fc_layer *fc) {
  ntk_fc_program *program = &plan->fc;
  if (layer->activation == NTK_ACT_RELU) {
    fc->relu = 1, fc->half_c = layer->factor / 2, fc->norm = program->norm_count++;
  } else {
    ntk_activation_dual *dual = &plan->fc_duals[program->dual_count];
    NTK_TRY(ntk_activation_make(layer, dual));
    fc->dual = program->dual_count++, fc->side = program->side_count;
    program->side_count += ntk_dual_side_count(dual);
  }
  fc->tap = tap_of(plan, program->norm_count + program->dual_count);
  return NTK_OK;
}

static ntk_status lower_connected(ntk_plan *plan, const ntk_layer *layers, size_t count,
                                  const ntk_plan_options *options) {
  if (options->pool_count)
    return ntk_fail(NTK_ERROR_ARGUMENT, "a fully connected network has no pooling to vary: leave the lap sizes out");
  size_t body = 0; /* layers up to the last activation; the rest is the head */
  int activations = 0, relus = 0, n = 0;
  for (size_t k = 0; k < count; k++) {
    if (layers[k].kind != NTK_LAYER_ACTIVATION) continue;
    activations++, relus += layers[k].activation == NTK_ACT_RELU;
    body = k + 1;
  }
  NTK_TRY(choose_taps(plan, options, activations));
  NTK_TRY(lower_head(plan, layers + body, count - body));
  plan->fc_layers = calloc(body + 1, sizeof *plan->fc_layers);
  plan->fc_duals = calloc((size_t)(activations - relus) + 1, sizeof *plan->fc_duals);
  if (!plan->fc_layers || !plan->fc_duals) return no_memory();
  plan->fc.side_count = 2 * relus;
  for (size_t k = 0; k < body; k++) {
    ntk_fc_layer *fc = &plan->fc_layers[n];
    if (layers[k].kind == NTK_LAYER_ACTIVATION) {
      NTK_TRY(lower_activation(plan, &layers[k], &fc[-1]));
      continue;
    }
    *fc = (ntk_fc_layer){.w2 = layers[k].weight_std * layers[k].weight_std,
                         .b2 = ntk_bias_variance(&layers[k], 1),
                         .trained = !layers[k].fixed && !layers[k].width,
                         .norm = -1,
                         .dual = -1,
                         .tap = -1};
    ntk_standard_terms(&layers[k], &fc->old_weight, &fc->constant);
    n++;
  }
  if (activations == 0) /* linear: read the products */
    plan->fc_layers[n++] = (ntk_fc_layer){.w2 = 1, .norm = -1, .dual = -1, .tap = 0};
  plan->fc.layer_count = n, plan->fc.layers = plan->fc_layers, plan->fc.duals = plan->fc_duals;
  plan->fc.want_ntk = (plan->kernels & NTK_KERNEL_NTK) != 0;
  for (int k = 0; k < plan->program.tap_count; k++) plan->tap_factor[k] = 1;
  plan->program.pool_count = 1;
  plan->pool_factor = calloc(1, sizeof *plan->pool_factor);
  plan->pool_size = calloc(1, sizeof *plan->pool_size);
  if (!plan->pool_factor || !plan->pool_size) return no_memory();
  plan->pool_factor[0] = 1, plan->pool_size[0] = -1;
  plan->planes = plan->entries = 1;
  plan->activation_layers = activations;
  return NTK_OK;
}

/* ---- images ---- */

/* Largest eigenvalue of the 1-D box sum of `taps` on `n` points: how much a filter can grow the state. */
static double box_growth(int n, int taps, int circular) {
  double v[NTK_MAX_SIDE], next[NTK_MAX_SIDE], growth = taps;
  if (circular) return taps;
  for (int i = 0; i < n; i++) v[i] = 1;
  for (int step = 0; step < 50; step++) {
    double norm = 0;
    for (int i = 0; i < n; i++) {
      next[i] = 0;
      for (int k = i - taps / 2; k <= i + taps / 2; k++)
        if (k >= 0 && k < n) next[i] += v[k];
      if (next[i] > norm) norm = next[i];
    }
    for (int i = 0; i < n; i++) v[i] = next[i] / norm;
    growth = norm;
  }
  return growth;
}

/* cut: the readouts follow given activations (depths), else the last layer.
 * Program layers and the running factor alpha (program.h); rescales by powers of two before float can overflow. */
static ntk_status lower_layers(ntk_plan *plan, const ntk_layer *layers, size_t count, bool cut) {
  const double limit = plan->precision == NTK_F32 ? 100 : 900; /* log2 */
  double alpha = 1.0 / (double)plan->shape.channels, bound = 4.0 * (double)plan->shape.channels, largest_bias = 0;
  int n = 0, relus = 0;
  for (size_t k = 0; k < count; k++)
    if (layers[k].kind == NTK_LAYER_CONV)
      largest_bias = fmax(largest_bias, ntk_bias_variance(&layers[k], plan->shape.channels));
  for (size_t k = 0; k < count; k++) {
    const ntk_layer *layer = &layers[k];
    ntk_program_layer *out = &plan->layers[n];
    if (layer->kind == NTK_LAYER_ACTIVATION) {
      out--;
      out->relu = 1, out->signed_rho = relus == 0, out->table = 2 * relus, out->norm = relus++,
      out->tap = tap_of(plan, relus);
      alpha *= layer->factor / 2;
    } else {
      NTK_TRY(ntk_check_conv(layer, (int)plan->shape.height, (int)plan->shape.width));
      int circular = layer->padding == NTK_PAD_CIRCULAR;
      alpha *= layer->weight_std * layer->weight_std / ((double)layer->rows * layer->cols);
      double b2 = ntk_bias_variance(layer, plan->shape.channels);
      *out = (ntk_program_layer){.rows = layer->rows,
                                 .cols = layer->cols,
                                 .circular = circular,
                                 .trained = !layer->fixed,
                                 .tap = -1,
                                 .norm = -1,
                                 .bias = b2 / alpha,
                                 .gain = !layer->fixed,
                                 .constant = layer->fixed ? 0 : b2 / alpha,
                                 .rescale = 1};
      n++;
      bound *= box_growth((int)plan->shape.height, layer->rows, circular) *
               box_growth((int)plan->shape.width, layer->cols, circular);
      if (b2 > 0) bound += 4 * (b2 / largest_bias) / alpha;
    }
    if (!(alpha > 0) || !isfinite(alpha) || !isfinite(bound)) return ntk_out_of_range(layer);
    bool closes = k + 1 == count || layers[k + 1].kind == NTK_LAYER_CONV; /* no activation follows this layer */
    if (closes && log2(bound) > limit) {
      ntk_program_layer *done = &plan->layers[n - 1];
      int shift = ilogb(bound);
      done->rescale = ldexp(1, -shift);
      alpha = ldexp(alpha, shift);
      bound = ldexp(bound, -shift);
    }
    if (closes && n > 0 && plan->layers[n - 1].tap >= 0) plan->tap_factor[plan->layers[n - 1].tap] = alpha;
  }
  if (n == 0) plan->layers[n++] = (ntk_program_layer){.rows = 1, .cols = 1, .tap = -1, .norm = -1, .rescale = 1};
  if (!cut) { /* as written: the readout follows the last layer, activation or not */
    for (int l = 0; l < n; l++) plan->layers[l].tap = -1;
    plan->layers[n - 1].tap = 0, plan->tap_factor[0] = alpha;
  }
  plan->program.layer_count = n;
  plan->program.norm_count = relus;
  plan->program.table_count = 2 * relus;
  plan->program.bias_scale = sqrt(largest_bias);
  plan->activation_layers = relus;
  return NTK_OK;
}

static ntk_status lower_pools(ntk_plan *plan, int height, int width, const ntk_layer *readout,
                              const ntk_plan_options *options) {
  size_t count = options->pool_count ? options->pool_count : 1, area = (size_t)height * height + (size_t)width * width;
  plan->pools = calloc(count, sizeof *plan->pools);
  plan->pool_factor = calloc(count, sizeof *plan->pool_factor);
  plan->pool_size = calloc(count, sizeof *plan->pool_size);
  plan->weights = calloc(count * area, sizeof *plan->weights);
  if (!plan->pools || !plan->pool_factor || !plan->pool_size || !plan->weights) return no_memory();
  bool circular = readout->kind == NTK_LAYER_LAP && readout->pool_circular;
  double pixels = (double)height * width;
  for (size_t q = 0; q < count; q++) {
    ntk_program_pool *pool = &plan->pools[q];
    int c = options->pool_count ? options->pools[q] : readout->kind == NTK_LAYER_LAP ? readout->pool : -1;
    if (options->pool_count && (c < 0 || c > 10000))
      return ntk_fail(NTK_ERROR_ARGUMENT, "lap(%d) is impossible: the size must be 0 to 10000", c);
    for (size_t j = 0; j < q; j++)
      if (plan->pool_size[j] == c) return ntk_fail(NTK_ERROR_ARGUMENT, "lap(%d) is asked for twice", c);
    plan->pool_size[q] = c;
    if (c == 0 || (c < 0 && readout->kind == NTK_LAYER_FLATTEN)) {
      pool->flatten = 1, plan->pool_factor[q] = 1 / pixels;
    } else if (c < 0) {
      pool->uniform = 1, plan->pool_factor[q] = 1 / (pixels * pixels);
    } else {
      double *rows = plan->weights + q * area, *cols = rows + (size_t)height * height;
      for (int i = 0; i < height; i++)
        for (int k = 0; k < height; k++)
          rows[i * height + k] =
              circular ? (double)ntk_lap_weight_circular(i, k, height, c) : ntk_lap_weight(i, k, height, c);
      for (int i = 0; i < width; i++)
        for (int k = 0; k < width; k++)
          cols[i * width + k] =
              circular ? (double)ntk_lap_weight_circular(i, k, width, c) : ntk_lap_weight(i, k, width, c);
      pool->row_weights = rows, pool->col_weights = cols;
      plan->pool_factor[q] = pow(2.0 * c + 1, -4) / pixels;
    }
  }
  plan->program.pool_count = (int)count;
  plan->program.pools = plan->pools;
  return NTK_OK;
}

/* Whether any pool gives weight to the entries of one axis whose plane offset is d (all positions of the plane). */
static bool offset_demanded(const ntk_plan *plan, int rows, int d, int n) {
  for (int q = 0; q < plan->program.pool_count; q++) {
    const ntk_program_pool *pool = &plan->pools[q];
    if (pool->uniform || (pool->flatten && d == 0)) return true;
    if (pool->flatten) continue;
    const double *weights = rows ? pool->row_weights : pool->col_weights;
    for (int i = 0; i < n; i++)
      if (i + d >= 0 && i + d < n && weights[i * n + i + d] != 0) return true;
  }
  return false;
}

/* Entries that the smallest pool sums. */
static double fewest_entries(const ntk_plan *plan, int height, int width) {
  double fewest = INFINITY;
  for (int q = 0; q < plan->program.pool_count; q++) {
    const ntk_program_pool *pool = &plan->pools[q];
    double rows = (double)height * height, cols = (double)width * width;
    if (pool->flatten) rows = height, cols = width;
    for (int k = 0; pool->row_weights && k < height * height; k++) rows -= pool->row_weights[k] == 0;
    for (int k = 0; pool->col_weights && k < width * width; k++) cols -= pool->col_weights[k] == 0;
    fewest = fmin(fewest, rows * cols);
  }
  return fewest;
}

/* The packed tiles that hold demanded planes, ordered by b so that z is rotated once per b. */
static ntk_status lower_tiles(ntk_plan *plan) {
  int height = (int)plan->shape.height, width = (int)plan->shape.width, n = 0;
  bool circular = false;
  for (int l = 0; l < plan->program.layer_count; l++)
    circular |= plan->layers[l].circular && plan->layers[l].rows * plan->layers[l].cols > 1;
  plan->tiles = calloc((size_t)height * width, sizeof *plan->tiles);
  if (!plan->tiles) return no_memory();
  for (int b = 0; b < width; b++) {
    bool right = offset_demanded(plan, 0, b, width), left = b > 0 && offset_demanded(plan, 0, b - width, width);
    if (!right && !left) continue;
    int64_t columns = circular ? width : (right ? width - b : 0) + (left ? b : 0);
    for (int a = 0; a < height; a++) {
      bool down = offset_demanded(plan, 1, a, height), up = a > 0 && offset_demanded(plan, 1, a - height, height);
      if (!down && !up) continue;
      ntk_tile *tile = &plan->tiles[n++];
      *tile = (ntk_tile){a, b, 0, height, 0};
      if (!circular && !up) tile->row_count = height - a;
      if (!circular && !down) tile->first_row = height - a, tile->row_count = a;
      plan->entries += tile->row_count * columns;
      plan->planes += circular ? 1 : (right + left) * (down + up);
    }
  }
  plan->entry_layers = (double)plan->entries * plan->program.norm_count;
  plan->program.few_entries = fewest_entries(plan, height, width) < averaging_entries;
  plan->program.tiles = plan->tiles;
  plan->program.tile_count = n;
  return NTK_OK;
}

static double largest_bias(const ntk_plan *plan, const ntk_layers *layers) {
  double largest = 0;
  for (size_t k = 0; k < layers->count; k++) {
    const ntk_layer *layer = &layers->items[k];
    if (layer->kind == NTK_LAYER_CONV) largest = fmax(largest, ntk_bias_variance(layer, plan->shape.channels));
    for (size_t i = 0; i < layer->branch_count; i++) largest = fmax(largest, largest_bias(plan, &layer->branches[i]));
  }
  return largest;
}

/* Networks with branches, strides or poolings. */
static ntk_status lower_graph(ntk_plan *plan, const ntk_layers *flat, size_t readout, const ntk_plan_options *options) {
  plan->program.bias_scale = sqrt(largest_bias(plan, flat));
  ntk_graph graph = {0};
  ntk_status status = ntk_graph_build(plan, flat->items, readout, &graph);
  if (status == NTK_OK) status = choose_taps(plan, options, plan->activation_layers);
  if (status == NTK_OK) status = ntk_graph_cut(&graph, options->depth_count > 0);
  if (status == NTK_OK) {
    const ntk_node *read = &graph.nodes[graph.taps[0]];
    const int height = read->height, width = read->width;
    status = lower_pools(plan, height, width, &flat->items[readout], options);
    plan->program.few_entries = status == NTK_OK && fewest_entries(plan, height, width) < averaging_entries;
  }
  if (status == NTK_OK) status = ntk_graph_demand(&graph);
  if (status == NTK_OK) status = ntk_graph_lower(&graph);
  ntk_graph_free(&graph);
  if (status != NTK_OK) return status;
  return lower_head(plan, flat->items + readout + 1, flat->count - readout - 1);
}

static int count_activations(const ntk_layer *layers, size_t count) {
  int activations = 0;
  for (size_t k = 0; k < count; k++) activations += layers[k].kind == NTK_LAYER_ACTIVATION;
  return activations;
}

/* How many of the layers before the readout the outputs need: those up to the deepest of the plan's depths. */
static size_t last_read(const ntk_plan *plan, const ntk_layer *layers, size_t readout,
                        const ntk_plan_options *options) {
  int left = 0;
  if (options->depth_count == 0) return readout;
  for (int t = 0; t < plan->program.tap_count; t++) left = plan->tap_depth[t] > left ? plan->tap_depth[t] : left;
  size_t count = 0;
  while (left > 0) left -= layers[count++].kind == NTK_LAYER_ACTIVATION;
  return count;
}

static ntk_status lower_images(ntk_plan *plan, const ntk_layers *flat, size_t readout,
                               const ntk_plan_options *options) {
  if (plan->shape.height > NTK_MAX_SIDE || plan->shape.width > NTK_MAX_SIDE)
    return ntk_fail(NTK_ERROR_UNSUPPORTED,
                    "images of %lld x %lld pixels are too large: this version computes up to %d x %d",
                    (long long)plan->shape.height, (long long)plan->shape.width, NTK_MAX_SIDE, NTK_MAX_SIDE);
  plan->program.channels = (int)plan->shape.channels;
  plan->program.height = (int)plan->shape.height;
  plan->program.width = (int)plan->shape.width;
  plan->program.want_ntk = (plan->kernels & NTK_KERNEL_NTK) != 0;
  if (!ntk_graph_is_plain(flat->items, readout)) return lower_graph(plan, flat, readout, options);
  NTK_TRY(choose_taps(plan, options, count_activations(flat->items, readout)));
  plan->layers = calloc(readout + 1, sizeof *plan->layers);
  if (!plan->layers) return no_memory();
  plan->program.layers = plan->layers;
  NTK_TRY(lower_layers(plan, flat->items, last_read(plan, flat->items, readout, options), options->depth_count > 0));
  NTK_TRY(lower_pools(plan, (int)plan->shape.height, (int)plan->shape.width, &flat->items[readout], options));
  NTK_TRY(lower_head(plan, flat->items + readout + 1, flat->count - readout - 1));
  NTK_TRY(lower_tiles(plan));
  return NTK_OK;
}

/* ---- fully connected networks with branches: as images of one pixel ---- */

static bool branches(const ntk_layers *layers) {
  for (size_t k = 0; k < layers->count; k++)
    if (layers->items[k].kind == NTK_LAYER_SUM) return true;
  return false;
}

/* A copy whose dense layers are 1 x 1 convolutions; it lives as long as the plan. */
static ntk_status as_convolutions(ntk_plan *plan, const ntk_layers *from, ntk_layers *out) {
  out->items = ntk_plan_own(plan, from->count + 1, sizeof *out->items);
  out->count = from->count;
  if (!out->items) return no_memory();
  for (size_t k = 0; k < from->count; k++) {
    ntk_layer *layer = &out->items[k];
    *layer = from->items[k];
    if (layer->kind == NTK_LAYER_DENSE)
      layer->kind = NTK_LAYER_CONV, layer->rows = layer->cols = layer->stride = 1, layer->padding = NTK_PAD_ZERO;
    if (layer->kind != NTK_LAYER_SUM) continue;
    layer->branches = ntk_plan_own(plan, layer->branch_count, sizeof *layer->branches);
    if (!layer->branches) return no_memory();
    for (size_t i = 0; i < layer->branch_count; i++)
      NTK_TRY(as_convolutions(plan, &from->items[k].branches[i], &layer->branches[i]));
  }
  return NTK_OK;
}

static ntk_status lower_branched_vectors(ntk_plan *plan, const ntk_layers *layers, const ntk_plan_options *options) {
  ntk_layers flat;
  if (options->pool_count)
    return ntk_fail(NTK_ERROR_ARGUMENT, "a fully connected network has no pooling to vary: leave the lap sizes out");
  NTK_TRY(as_convolutions(plan, layers, &flat));
  flat.items[flat.count++] = (ntk_layer){.kind = NTK_LAYER_GAP}; /* of the one pixel */
  plan->program.channels = (int)ntk_plan_input_size(plan);
  plan->program.height = plan->program.width = 1;
  plan->program.want_ntk = (plan->kernels & NTK_KERNEL_NTK) != 0;
  plan->float64 = true;
  return lower_graph(plan, &flat, flat.count - 1, options);
}

ntk_status ntk_plan_lower(ntk_plan *plan, const ntk_network *network, const ntk_plan_options *options) {
  const ntk_layers *flat = &network->flat;
  size_t readout = 0;
  while (readout < flat->count && !is_readout(&flat->items[readout])) readout++;
  bool image_layers = false;
  for (size_t k = 0; k < flat->count; k++)
    image_layers |= flat->items[k].kind != NTK_LAYER_DENSE && flat->items[k].kind != NTK_LAYER_ACTIVATION &&
                    flat->items[k].kind != NTK_LAYER_SUM;
  if (!image_layers && branches(flat)) return lower_branched_vectors(plan, flat, options);
  if (!image_layers) {
    plan->connected = true;
    return lower_connected(plan, flat->items, flat->count, options);
  }
  if (readout == 0 && flat->items[0].kind == NTK_LAYER_FLATTEN && !options->pool_count) {
    plan->connected = true; /* the image as one vector: flatten's mean over pixels and channels is <x,z>/d */
    return lower_connected(plan, flat->items + 1, flat->count - 1, options);
  }
  if (readout == flat->count) return ntk_fail(NTK_ERROR_INTERNAL, "a network without a readout passed the check");
  return lower_images(plan, flat, readout, options);
}
