/* Internal: a plan, the network lowered to the programs that the kernels run. */
#ifndef NTK_HOST_GRAM_PLAN_H
#define NTK_HOST_GRAM_PLAN_H

#include <ntk/plan.h>
#include <stdbool.h>

#include "host/net/network.h"
#include "kernels/fc.h"
#include "kernels/program.h"

/* A dense layer or an activation after the readout, on the pooled scalars. */
typedef struct ntk_head_layer {
  double w2, b2;
  bool trained;                    /* adds the new S to T */
  double old_weight, constant;     /* adds old_weight times the old S, and a constant, to T */
  const ntk_activation_dual *dual; /* NULL: dense */
} ntk_head_layer;

struct ntk_plan {
  ntk_shape shape;
  ntk_precision precision;
  int kernels; /* mask of ntk_kernel */
  ntk_flip flip;
  ntk_convention convention;
  char *text, *preset, *description;
  double scale;

  bool float64;   /* computed in float64 whatever the precision of the values */
  bool connected; /* fully connected: `fc`, else the plane `program` */
  ntk_fc_program fc;
  ntk_fc_layer *fc_layers;
  ntk_activation_dual *fc_duals;
  ntk_program program;
  ntk_program_layer *layers;
  ntk_program_pool *pools;
  ntk_tile *tiles;
  double *weights; /* backs the pools' weights */

  double *tap_factor;  /* per tap: state units -> generic normalisation (alpha) */
  int *tap_depth;      /* per tap: activations before it */
  double *pool_factor; /* per pool: sum -> pooled value */
  int *pool_size;      /* per pool: c of lap(c), or -1 */
  ntk_head_layer *head;
  size_t head_count;
  bool head_activates; /* the pooled values of every input with itself are needed, too */

  ntk_output *outputs;
  char *names; /* backs the outputs' names */
  size_t output_count;
  int64_t planes, entries; /* of the input's resolution */
  double entry_layers;     /* of one pair */
  int activation_layers;
  void **owned; /* ntk_plan_own */
  size_t owned_count;
};

/* Whether pairs are computed in float64. */
static inline bool ntk_plan_in_float64(const ntk_plan *plan) { return plan->precision == NTK_F64 || plan->float64; }

/* Memory that lives as long as the plan, zeroed; NULL when there is none. */
void *ntk_plan_own(ntk_plan *plan, size_t count, size_t size);

/* b_std^2 of an affine layer; channels: those of the network's input. */
double ntk_bias_variance(const ntk_layer *layer, int64_t channels);

/* Evaluations of one pair of inputs: K(x,z), and with a flip K(Fx,z). */
int ntk_plan_evaluations(const ntk_plan *plan);

/* Number of pooled (T, S) pairs that the kernels return for one evaluation. */
size_t ntk_plan_sums(const ntk_plan *plan);

/* Turns the kernels' sums[tap][pool][2] = (T, S) of one evaluation into values, ordered as the outputs of a plan
 * without flips; returns their number. */
size_t ntk_plan_finish(const ntk_plan *plan, const double *sums, const double *x_self, const double *z_self,
                       double *values);

/* Lowering (lower.c): fills in everything but text, outputs and description. */
ntk_status ntk_plan_lower(ntk_plan *plan, const ntk_network *network, const ntk_plan_options *options);

/* What one can know of widths in the standard parameterisation (standard.c). */
ntk_status ntk_plan_check_widths(const ntk_network *network, ntk_shape shape);

/* What a trained layer adds to T besides S_new: old_weight times the old S, and a constant (standard.c). */
void ntk_standard_terms(const ntk_layer *layer, double *old_weight, double *constant);

/* Whether a mirror commutes with the network; NTK_ERROR_NETWORK with the layer that it does not (mirror.c). */
ntk_status ntk_plan_check_mirror(const ntk_network *network, ntk_shape shape);

/* Replaces `count` images of the plan's shape by their mirror images (mirror.c). */
void ntk_plan_mirror(const ntk_plan *plan, int64_t count, double *images);

/* Writes plan->description (describe.c). */
ntk_status ntk_plan_describe(ntk_plan *plan, const ntk_network *network);

#endif
