/* Internal: a plan, the network lowered to the programs that the kernels run. */
#ifndef NTK_HOST_GRAM_PLAN_H
#define NTK_HOST_GRAM_PLAN_H

#include <ntk/plan.h>
#include <stdbool.h>

#include "host/net/network.h"
#include "kernels/fc.h"
#include "kernels/program.h"

/* A dense layer after the readout, on the pooled scalars. */
typedef struct ntk_head_layer {
  double w2, b2;
  bool trained;
} ntk_head_layer;

struct ntk_plan {
  ntk_shape shape;
  ntk_precision precision;
  int kernels; /* mask of ntk_kernel */
  char *text, *preset, *description;
  double scale;

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

  ntk_output *outputs;
  char *names; /* backs the outputs' names */
  size_t output_count;
  int64_t planes, entries; /* of the input's resolution */
  double entry_layers;     /* of one pair */
  int activation_layers;
  void **owned; /* ntk_plan_own */
  size_t owned_count;
};

/* Memory that lives as long as the plan, zeroed; NULL when there is none. */
void *ntk_plan_own(ntk_plan *plan, size_t count, size_t size);

/* b_std^2 of an affine layer; channels: those of the network's input. */
double ntk_bias_variance(const ntk_layer *layer, int64_t channels);

/* Number of pooled (T, S) pairs that the kernels return for one pair of inputs. */
size_t ntk_plan_sums(const ntk_plan *plan);

/* Turns the kernels' sums[tap][pool][2] = (T, S) of one pair into the plan's output values. */
void ntk_plan_finish(const ntk_plan *plan, const double *sums, double *values);

/* Lowering (lower.c): fills in everything but text, outputs and description. */
ntk_status ntk_plan_lower(ntk_plan *plan, const ntk_network *network, const ntk_plan_options *options);

/* Writes plan->description (describe.c). */
ntk_status ntk_plan_describe(ntk_plan *plan, const ntk_network *network);

#endif
