/* The public face of plans: creation, outputs, cost. */
#include "host/gram/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/backend/backend.h"
#include "host/status.h"

enum { NAME_SIZE = 48 };

/* Adds the output with this name, its flip behind it or in its place. */
static void add_output(ntk_plan *plan, ntk_output output, const char *name) {
  for (int flip = 0; flip < 2; flip++) {
    if (plan->flip == (flip ? NTK_FLIP_PLAIN : NTK_FLIP_AVERAGE)) continue;
    char *own = plan->names + plan->output_count * NAME_SIZE;
    snprintf(own, NAME_SIZE, "%s%s", name, flip ? "-flip" : "");
    output.flip = flip, output.name = own;
    plan->outputs[plan->output_count++] = output;
  }
}

static ntk_status make_outputs(ntk_plan *plan, bool depths, bool pools) {
  size_t kernels = (plan->kernels == NTK_KERNEL_BOTH ? 2 : 1) * (plan->flip == NTK_FLIP_BOTH ? 2 : 1);
  size_t count = (size_t)plan->program.tap_count * plan->program.pool_count * kernels;
  plan->outputs = calloc(count, sizeof *plan->outputs);
  plan->names = calloc(count, NAME_SIZE);
  if (!plan->outputs || !plan->names) return ntk_fail(NTK_ERROR_MEMORY, "no memory for a plan");
  for (int t = 0; t < plan->program.tap_count; t++)
    for (int q = 0; q < plan->program.pool_count; q++)
      for (int kernel = NTK_KERNEL_NTK; kernel <= NTK_KERNEL_NNGP; kernel++) {
        if (!(plan->kernels & kernel)) continue;
        char name[NAME_SIZE - sizeof "-flip"];
        int at = snprintf(name, sizeof name, "%s", kernel == NTK_KERNEL_NTK ? "ntk" : "nngp");
        if (depths) at += snprintf(name + at, sizeof name - (size_t)at, "-depth%d", plan->tap_depth[t]);
        if (pools) snprintf(name + at, sizeof name - (size_t)at, "-lap%d", plan->pool_size[q]);
        add_output(plan, (ntk_output){(ntk_kernel)kernel, plan->tap_depth[t], plan->pool_size[q], false, NULL}, name);
      }
  return NTK_OK;
}

static char *copy_text(const char *text) {
  char *copy = text ? malloc(strlen(text) + 1) : NULL;
  if (copy) strcpy(copy, text);
  return copy;
}

static ntk_status build(ntk_plan *plan, const ntk_network *network, const ntk_plan_options *options) {
  plan->kernels = options->kernels ? options->kernels : NTK_KERNEL_NTK;
  plan->precision = options->precision;
  plan->flip = options->flip;
  if (plan->kernels & ~NTK_KERNEL_BOTH)
    return ntk_fail(NTK_ERROR_ARGUMENT, "kernels = %d is no mask of ntk_kernel", plan->kernels);
  if (plan->precision != NTK_F32 && plan->precision != NTK_F64)
    return ntk_fail(NTK_ERROR_ARGUMENT, "precision = %d is no ntk_precision", (int)plan->precision);
  if (plan->flip != NTK_FLIP_PLAIN && plan->flip != NTK_FLIP_AVERAGE && plan->flip != NTK_FLIP_BOTH)
    return ntk_fail(NTK_ERROR_ARGUMENT, "flip = %d is no ntk_flip", (int)plan->flip);
  if ((options->depth_count && !options->depths) || (options->pool_count && !options->pools) ||
      options->depth_count > 1000 || options->pool_count > 1000)
    return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_plan_options: a count without its list, or over 1000");
  NTK_TRY(ntk_network_check(network, plan->shape));
  const ntk_convention_sweep sweep = {options->depth_count > 0, options->pool_count > 0};
  NTK_TRY(ntk_convention_scale(network, plan->shape, options->convention, sweep, &plan->scale));
  plan->convention = options->convention;
  if (plan->convention == NTK_CONVENTION_BY_NAME && !ntk_network_preset(network))
    plan->convention = NTK_CONVENTION_GENERIC;
  plan->text = copy_text(ntk_network_text(network));
  plan->preset = copy_text(ntk_network_preset(network));
  if (!plan->text || (ntk_network_preset(network) && !plan->preset))
    return ntk_fail(NTK_ERROR_MEMORY, "no memory for a plan");
  NTK_TRY(ntk_plan_check_widths(network, plan->shape));
  NTK_TRY(ntk_plan_lower(plan, network, options));
  if (plan->flip != NTK_FLIP_PLAIN) NTK_TRY(ntk_plan_check_mirror(network, plan->shape));
  if (plan->entry_layers == 0) plan->entry_layers = (double)plan->entries * plan->activation_layers;
  NTK_TRY(make_outputs(plan, options->depth_count > 0, options->pool_count > 0));
  return ntk_plan_describe(plan, network);
}

ntk_status ntk_plan_create(const ntk_network *network, ntk_shape shape, const ntk_plan_options *options,
                           ntk_plan **out) {
  static const ntk_plan_options defaults = {0};
  if (!network || !out) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_plan_create: a NULL pointer");
  ntk_plan *plan = calloc(1, sizeof *plan);
  if (!plan) return ntk_fail(NTK_ERROR_MEMORY, "no memory for a plan");
  plan->shape = shape;
  ntk_status status = build(plan, network, options ? options : &defaults);
  if (status != NTK_OK) {
    ntk_plan_free(plan);
    return status;
  }
  *out = plan;
  return NTK_OK;
}

void *ntk_plan_own(ntk_plan *plan, size_t count, size_t size) {
  void **owned = realloc(plan->owned, (plan->owned_count + 1) * sizeof *owned);
  if (!owned) return NULL;
  plan->owned = owned;
  void *memory = calloc(count ? count : 1, size);
  if (memory) plan->owned[plan->owned_count++] = memory;
  return memory;
}

void ntk_plan_free(ntk_plan *plan) {
  if (!plan) return;
  free(plan->text), free(plan->preset), free(plan->description);
  free(plan->fc_layers), free(plan->fc_duals), free(plan->layers), free(plan->pools), free(plan->tiles),
      free(plan->weights);
  free(plan->tap_factor), free(plan->tap_depth), free(plan->pool_factor), free(plan->pool_size);
  free(plan->head), free(plan->outputs), free(plan->names);
  for (size_t k = 0; k < plan->owned_count; k++) free(plan->owned[k]);
  free(plan->owned);
  free(plan);
}

size_t ntk_plan_output_count(const ntk_plan *plan) { return plan->output_count; }

ntk_output ntk_plan_output(const ntk_plan *plan, size_t index) {
  return index < plan->output_count ? plan->outputs[index] : (ntk_output){0};
}

ntk_shape ntk_plan_shape(const ntk_plan *plan) { return plan->shape; }
ntk_precision ntk_plan_precision(const ntk_plan *plan) { return plan->precision; }
const char *ntk_plan_network_text(const ntk_plan *plan) { return plan->text; }
const char *ntk_plan_preset(const ntk_plan *plan) { return plan->preset; }
ntk_convention ntk_plan_convention(const ntk_plan *plan) { return plan->convention; }
double ntk_plan_scale(const ntk_plan *plan) { return plan->scale; }
const char *ntk_plan_description(const ntk_plan *plan) { return plan->description; }

ntk_cost ntk_plan_cost(const ntk_plan *plan) {
  ntk_cost cost = {.planes = plan->planes, .entries = plan->entries, .activation_layers = plan->activation_layers};
  cost.entry_layers = plan->entry_layers * ntk_plan_evaluations(plan);
  if (plan->connected) {
    cost.bytes_per_pair = (int64_t)(sizeof(double) * (1 + 2 * (size_t)plan->fc.tap_count));
    cost.bytes_per_image = (int64_t)sizeof(double) * plan->fc.side_count +
                           (int64_t)sizeof(double) * plan->shape.channels *
                               (plan->shape.height ? plan->shape.height * plan->shape.width : 1);
  } else {
    const ntk_backend *backend = ntk_backend_find("auto");
    const ntk_plane_ops *ops = ntk_plan_in_float64(plan) ? backend->plane_f64 : backend->plane_f32;
    cost.bytes_per_pair = (int64_t)ops->scratch_bytes(&plan->program);
    cost.bytes_per_image = (int64_t)ops->image_bytes(&plan->program);
  }
  return cost;
}

int ntk_plan_evaluations(const ntk_plan *plan) { return plan->flip == NTK_FLIP_PLAIN ? 1 : 2; }

size_t ntk_plan_sums(const ntk_plan *plan) { return (size_t)plan->program.tap_count * plan->program.pool_count * 2; }

/* (NTK, NNGP, and the variances of both inputs) through an activation. */
static void finish_activation(const ntk_activation_dual *dual, double *ntk, double *nngp, double *p, double *q) {
  double x[NTK_DUAL_SIDES], z[NTK_DUAL_SIDES], variance[2] = {*p, *q};
  ntk_dual_side(dual, *p, x, 1), ntk_dual_side(dual, *q, z, 1);
  const ntk_dual_row row = ntk_dual_row_baseline; /* one value: the same bits on every machine */
  row(dual, 1, 1, x, 0, z, nngp, ntk);
  row(dual, 1, 1, x, 0, x, &variance[0], NULL);
  row(dual, 1, 1, z, 0, z, &variance[1], NULL);
  *p = variance[0], *q = variance[1];
}

size_t ntk_plan_finish(const ntk_plan *plan, const double *sums, const double *x_self, const double *z_self,
                       double *values) {
  size_t n = 0;
  for (int t = 0; t < plan->program.tap_count; t++)
    for (int q = 0; q < plan->program.pool_count; q++) {
      const double *sum = sums + ((size_t)t * plan->program.pool_count + q) * 2;
      double factor = plan->tap_factor[t] * plan->pool_factor[q], ntk = sum[0] * factor, nngp = sum[1] * factor;
      const size_t at = ((size_t)t * plan->program.pool_count + q) * 2 + 1;
      double x_variance = x_self ? x_self[at] * factor : 0, z_variance = z_self ? z_self[at] * factor : 0;
      for (size_t k = 0; k < plan->head_count; k++) {
        const ntk_head_layer *dense = &plan->head[k];
        if (dense->dual) {
          finish_activation(dense->dual, &ntk, &nngp, &x_variance, &z_variance);
          continue;
        }
        x_variance = dense->w2 * x_variance + dense->b2, z_variance = dense->w2 * z_variance + dense->b2;
        const double old = dense->old_weight * nngp + dense->constant;
        nngp = dense->w2 * nngp + dense->b2;
        ntk = dense->w2 * ntk + (dense->trained ? nngp : old);
      }
      if (plan->kernels & NTK_KERNEL_NTK) values[n++] = ntk * plan->scale;
      if (plan->kernels & NTK_KERNEL_NNGP) values[n++] = nngp * plan->scale;
    }
  return n;
}
