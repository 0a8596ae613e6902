/* The public face of feature maps: creation, options, cost. */
#include "host/features/features.h"

#include <stdlib.h>
#include <string.h>

#include "host/features/polynomial.h"
#include "host/gram/plan.h"
#include "host/status.h"

/* Rows that a matrix product takes at most, and what the features of a batch should stay within. */
enum { MOST_ROWS = 512, LEAST_ROWS = 64, BATCH_BYTES = 64 << 20, MOST_BATCH = 512 };

static ntk_status check_range(const char *what, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return NTK_OK;
  return ntk_fail(NTK_ERROR_ARGUMENT, "%s = %lld is impossible: it is from %lld to %lld", what, (long long)value,
                  (long long)low, (long long)high);
}

/* Whether a readout comes behind other layers: a network on images, and so with convolutions. */
static bool convolves(const ntk_network *network) {
  for (size_t k = 0; k < network->flat.count; k++) {
    const ntk_layer_kind kind = network->flat.items[k].kind;
    if (kind == NTK_LAYER_GAP || kind == NTK_LAYER_LAP || (kind == NTK_LAYER_FLATTEN && k > 0)) return true;
  }
  return false;
}

static ntk_status complete_options(ntk_features *f, const ntk_network *network) {
  ntk_features_options *o = &f->options;
  if (o->kernel == 0) o->kernel = NTK_KERNEL_NTK;
  if (o->kernel != NTK_KERNEL_NTK && o->kernel != NTK_KERNEL_NNGP)
    return ntk_fail(NTK_ERROR_ARGUMENT, "features are of one kernel: choose NTK_KERNEL_NTK or NTK_KERNEL_NNGP");
  NTK_TRY(check_range("the method", o->method, NTK_FEATURES_RANDOM, NTK_FEATURES_SKETCH));
  NTK_TRY(check_range("the sketch", o->sketch, NTK_SKETCH_SRHT, NTK_SKETCH_COUNT));
  NTK_TRY(check_range("the sampling", o->sampling, NTK_SAMPLING_GAUSSIAN, NTK_SAMPLING_GIBBS));
  if (o->dim == 0) o->dim = 1024;
  NTK_TRY(check_range("the dimension", o->dim, 8, 1 << 20));
  if (o->kernel == NTK_KERNEL_NNGP) {
    o->sketch_dim = 0, o->order0_dim = 0;
    f->order1 = (int)o->dim;
  } else {
    if (o->sketch_dim == 0) o->sketch_dim = convolves(network) ? o->dim * 3 / 4 : o->dim * 5 / 8;
    NTK_TRY(check_range("the sketch dimension", o->sketch_dim, 2, o->dim - 2));
    f->order1 = (int)(o->dim - o->sketch_dim);
    if (o->order0_dim == 0) o->order0_dim = f->order1;
    NTK_TRY(check_range("the number of order-0 features", o->order0_dim, 1, 1 << 20));
  }
  if (o->method == NTK_FEATURES_SKETCH && o->sampling != NTK_SAMPLING_GAUSSIAN)
    return ntk_fail(NTK_ERROR_ARGUMENT, "leverage scores choose random features; a sketch has none: leave them out");
  return check_range("the degree", o->degree, 0, 32);
}

/* What one image leaves in the caches is read from there: wherever it fills the matrix products alone, by its many
 * pixels, or there are none. */
static void choose_single(ntk_features *f) {
  enum { ENOUGH_ROWS = 256 };
  for (f->single_ops = 0; f->single_ops < f->op_count; f->single_ops++) {
    const ntk_feature_op *op = &f->ops[f->single_ops];
    if (op->unit && !op->unit->polynomial[0] && f->slots[op->in.slot].pixels < ENOUGH_ROWS) break;
  }
  for (int s = 1; s < f->slot_count; s++) f->slots[s].shared = f->slots[s].last < f->single_ops; /* 0: the inputs */
}

/* ---- memory ---- */

/* Floats of an image in a slot, whole cache lines: every slot of a batch begins at one. */
static size_t place_size(const ntk_slot *slot) { return ((size_t)slot->pixels * (size_t)slot->stride + 15) / 16 * 16; }

/* The operations between which a slot keeps its place. While images take turns, what later operations read of the
 * earlier ones must stay, and so must all inputs. */
static int lives_from(const ntk_features *f, int s) {
  const ntk_slot *slot = &f->slots[s];
  return !slot->shared && slot->first < f->single_ops ? 0 : slot->first;
}

static int lives_until(const ntk_features *f, int s) {
  return s == 0 && f->slots[0].last < f->single_ops ? f->single_ops - 1 : f->slots[s].last;
}

/* Gives every slot a place among those that live at the same time: the lowest gap that is wide enough. */
static ntk_status place_slots(ntk_features *f) {
  int *order = malloc(((size_t)f->slot_count + 1) * sizeof *order);
  if (!order) return ntk_fail(NTK_ERROR_MEMORY, "no memory for a feature map");
  for (int s = 0; s < f->slot_count; s++) {
    ntk_slot *slot = &f->slots[s];
    const size_t size = place_size(slot);
    int count = 0;
    for (int other = 0; other < s; other++) { /* neighbours in time, by place */
      if (lives_until(f, other) < lives_from(f, s)) continue;
      int at = count++;
      for (; at > 0 && f->slots[order[at - 1]].place > f->slots[other].place; at--) order[at] = order[at - 1];
      order[at] = other;
    }
    slot->place = 0;
    for (int k = 0; k < count; k++) {
      const ntk_slot *other = &f->slots[order[k]];
      if (slot->place + size <= other->place) break;
      const size_t end = other->place + place_size(other);
      if (end > slot->place) slot->place = end;
    }
    if (slot->place + size > f->floats_per_image) f->floats_per_image = slot->place + size;
  }
  free(order);
  return NTK_OK;
}

/* Images at a time: enough rows for the matrix products, few enough to stay near the cores. */
static void choose_batch(ntk_features *f) {
  int fewest = 0; /* pixels of an activation; 0: only behind the readout, one row an image */
  for (int k = 0; k < f->op_count; k++) {
    const int pixels = f->ops[k].unit ? f->slots[f->ops[k].in.slot].pixels : 0;
    if (pixels > 1 && (fewest == 0 || pixels < fewest)) fewest = pixels;
  }
  const size_t fit = (size_t)BATCH_BYTES / (f->floats_per_image * sizeof(float));
  int batch = fewest == 0 ? MOST_BATCH : MOST_ROWS / fewest;
  if (f->slots[0].pixels > 1 && (size_t)batch > fit) batch = (int)fit;
  f->batch = batch < 1 ? 1 : batch;
  for (int k = 0; k < f->op_count; k++) {
    if (!f->ops[k].unit) continue;
    const int pixels = f->slots[f->ops[k].in.slot].pixels, rows = pixels * (k < f->single_ops ? 1 : f->batch);
    const int products = (rows + MOST_ROWS - 1) / MOST_ROWS, each = (rows + products - 1) / products;
    f->ops[k].unit->rows = (each + LEAST_ROWS - 1) / LEAST_ROWS * LEAST_ROWS;
  }
}

static void count_cost(ntk_features *f) {
  ntk_features_cost *c = &f->cost;
  int64_t scratch = 0;
  c->random_bytes = (int64_t)f->owned_bytes; /* tables; the matrices are drawn later */
  for (int k = 0; k < f->op_count; k++) {
    const ntk_feature_op *op = &f->ops[k];
    if (op->kind == NTK_OP_GATHER) c->sum_flops += 2.0 * op->gather.outputs * op->gather.taps * op->gather.columns;
    if (!op->unit) continue;
    const ntk_unit_layer *u = op->unit;
    const int pixels = f->slots[op->in.slot].pixels, columns = u->order1 + u->order0;
    if (!u->polynomial[0]) {
      c->product_flops += 2.0 * pixels * u->inputs * columns;
      c->random_bytes += (int64_t)u->inputs * columns * (int64_t)sizeof(float);
    }
    for (int kind = 0; kind < 2; kind++)
      if (u->polynomial[kind]) c->transform_flops += pixels * ntk_polynomial_flops(u->polynomial[kind]);
    if (op->psi_out.dim) c->transform_flops += pixels * ntk_product_flops(&u->product);
    const int64_t own =
        ((int64_t)u->rows * (columns + u->inputs) + (int64_t)ntk_product_work(&u->product)) * (int64_t)sizeof(float);
    if (own > scratch) scratch = own;
  }
  const int64_t input = f->shape.channels * (f->shape.height ? f->shape.height * f->shape.width : 1);
  c->bytes_per_thread =
      (int64_t)f->floats_per_image * f->batch * (int64_t)sizeof(float) + scratch + input * (int64_t)sizeof(double);
}

static char *copy_text(const char *text) { return text ? strdup(text) : NULL; }

static ntk_status create(ntk_features *f, const ntk_network *network) {
  const ntk_convention_sweep sweep = {false, false};
  NTK_TRY(complete_options(f, network));
  NTK_TRY(ntk_network_check(network, f->shape));
  NTK_TRY(ntk_convention_scale(network, f->shape, f->options.convention, sweep, &f->scale));
  f->convention = f->options.convention;
  if (f->convention == NTK_CONVENTION_BY_NAME && !ntk_network_preset(network)) f->convention = NTK_CONVENTION_GENERIC;
  f->text = copy_text(ntk_network_text(network)), f->preset = copy_text(ntk_network_preset(network));
  if (!f->text || (ntk_network_preset(network) && !f->preset))
    return ntk_fail(NTK_ERROR_MEMORY, "no memory for a feature map");
  NTK_TRY(ntk_plan_check_widths(network, f->shape));
  NTK_TRY(ntk_features_build(f, network));
  choose_single(f);
  NTK_TRY(place_slots(f));
  choose_batch(f);
  count_cost(f);
  return NTK_OK;
}

ntk_status ntk_features_create(const ntk_network *network, ntk_shape shape, const ntk_features_options *options,
                               ntk_features **out) {
  if (!network || !out) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_features_create: a NULL pointer");
  ntk_features *f = calloc(1, sizeof *f);
  if (!f) return ntk_fail(NTK_ERROR_MEMORY, "no memory for a feature map");
  if (options) f->options = *options;
  f->shape = shape;
  pthread_mutex_init(&f->lock, NULL);
  const ntk_status status = create(f, network);
  *out = status == NTK_OK ? f : NULL;
  if (status != NTK_OK) ntk_features_free(f);
  return status;
}

void ntk_features_free(ntk_features *f) {
  if (!f) return;
  if (f->cuda) f->free_cuda(f->cuda);
  for (size_t k = 0; k < f->owned_count; k++) free(f->owned[k]);
  free(f->owned), free(f->slots), free(f->ops), free(f->text), free(f->preset);
  pthread_mutex_destroy(&f->lock);
  free(f);
}

int64_t ntk_features_dim(const ntk_features *f) { return f->result.dim; }
ntk_shape ntk_features_shape(const ntk_features *f) { return f->shape; }
ntk_features_options ntk_features_used(const ntk_features *f) { return f->options; }
const char *ntk_features_network_text(const ntk_features *f) { return f->text; }
double ntk_features_scale(const ntk_features *f) { return f->scale; }
ntk_features_cost ntk_features_cost_of(const ntk_features *f) { return f->cost; }
