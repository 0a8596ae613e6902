/* Internal: the syntax tree of a network text (docs/network-text.md), and its flat form for the planner. */
#ifndef NTK_HOST_NET_NETWORK_H
#define NTK_HOST_NET_NETWORK_H

#include <ntk/network.h>
#include <stdbool.h>
#include <stddef.h>

typedef enum ntk_layer_kind {
  NTK_LAYER_CONV,
  NTK_LAYER_DENSE,
  NTK_LAYER_ACTIVATION,
  NTK_LAYER_AVGPOOL,
  NTK_LAYER_SUM,
  NTK_LAYER_FLATTEN,
  NTK_LAYER_GAP,
  NTK_LAYER_LAP,
  NTK_LAYER_GROUP /* N*( ... ): only in the tree, never in the flat form */
} ntk_layer_kind;

typedef enum ntk_padding { NTK_PAD_ZERO, NTK_PAD_CIRCULAR, NTK_PAD_VALID, NTK_PAD_SAME } ntk_padding;

typedef enum ntk_activation {
  NTK_ACT_RELU,
  NTK_ACT_LEAKY,
  NTK_ACT_ABRELU,
  NTK_ACT_ABS,
  NTK_ACT_ERF,
  NTK_ACT_GELU,
  NTK_ACT_SIN,
  NTK_ACT_COS,
  NTK_ACT_RBF,
  NTK_ACT_EXP,
  NTK_ACT_SIGN,
  NTK_ACT_HERMITE,
  NTK_ACT_MONOMIAL,
  NTK_ACT_TANH,
  NTK_ACT_SIGMOID,
  NTK_ACT_SILU,
  NTK_ACT_SOFTPLUS,
  NTK_ACT_ELU,
  NTK_ACT_SELU,
  NTK_ACT_SERIES,
  NTK_ACT_EXPNORM
} ntk_activation;

enum { NTK_PARAM_LIMIT = 16 }; /* parameters of an activation */

typedef struct ntk_layer ntk_layer;

/* A sequence of layers; owns them. */
typedef struct ntk_layers {
  ntk_layer *items;
  size_t count;
} ntk_layers;

struct ntk_layer {
  ntk_layer_kind kind;
  int repeat; /* N of `N*layer`, `N*( ... )`; 1 in the flat form */
  int column; /* 1-based column of the layer's name in the text */
  int number; /* 1-based number in the flat order, nested branches counted too; 0 in the tree */

  /* conv (rows x cols filter), avgpool (rows = cols = window) */
  int rows, cols;
  int stride;
  ntk_padding padding;
  bool normalized; /* avgpool: divide by the pixels in range */

  /* conv, dense */
  double weight_std;  /* W */
  bool has_bias;
  double bias_std;    /* b; meaningful when has_bias */
  bool has_gamma;     /* conv: Li's bias, b = gamma / sqrt(rows cols C0), C0 = channels of the input */
  double gamma;
  bool fixed;         /* neither weights nor bias trained */
  int width;          /* standard parameterisation: channels of the layer's input; 0: NTK parameterisation */

  /* activation */
  ntk_activation activation;
  /* leaky(a), elu(a=): a; abrelu(a,b): a,b; sin/cos: a,b,phase; rbf: gamma; exp: b; hermite/monomial: k; expnorm: g;
   * series: its coefficients, zeros behind them */
  double params[NTK_PARAM_LIMIT];
  int param_count;    /* series: how many were given, zeros at the end left out; others: 0 */
  bool has_factor;    /* c= given */
  bool factor_auto;   /* c=auto */
  double factor;      /* c, the factor on E[s s]; relu: 2 unless given, all others 1 */

  /* lap */
  int pool;           /* c */
  bool pool_circular;

  /* sum: branches (an empty branch is `id`); group: exactly one */
  ntk_layers *branches;
  size_t branch_count;
};

struct ntk_network {
  ntk_layers tree;   /* as written, repeats and groups kept */
  ntk_layers flat;   /* repeats unrolled; no GROUP; the implied final dense added (column 0); sums keep flat branches */
  char *text;        /* canonical */
  char *preset;      /* name or NULL */
  int preset_scale;  /* ntk_scale_rule of the preset */
};

/* How a preset's published convention relates to the generic one; C0 P Q = the input shape, L = hidden layers. */
typedef enum ntk_scale_rule {
  NTK_SCALE_ONE,          /* generic */
  NTK_SCALE_CHANNELS,     /* C0          Arora GAP */
  NTK_SCALE_CHANNELS_PIXELS, /* C0 P Q   Arora V */
  NTK_SCALE_LAP,          /* C0 P Q      Li LAP(c): generic lap value is LAP_c/(P Q), channels unnormalised */
  NTK_SCALE_UCI           /* d 2^-L      UCI family, c_s = 1 and <x,z> */
} ntk_scale_rule;

/* What a plan varies of the network that is written. */
typedef struct ntk_convention_sweep {
  bool depths; /* the readout moves behind other activations */
  bool pools;  /* lap(c) takes its place */
} ntk_convention_sweep;

/* The factor from the generic normalisation to a convention; NTK_ERROR_NETWORK with the layer that the convention cannot
 * express (convention.c). */
ntk_status ntk_convention_scale(const ntk_network *network, ntk_shape shape, ntk_convention convention,
                                ntk_convention_sweep sweep, double *scale);

/* The layer's name with its size and without its options, e.g. "conv3x5", "leaky"; "(" for a group. */
enum { NTK_LAYER_NAME_SIZE = 32 };
void ntk_layer_name(const ntk_layer *layer, char name[NTK_LAYER_NAME_SIZE]);

/* The shape that a flat layer gives. Convolution and pooling give ceil(size / stride), with `valid` padding
 * floor((size - window) / stride) + 1; dense and readouts a vector (height = width = 0); a sum the common shape of its
 * branches. `channels` stays that of the network's input: behind the first affine layer there are infinitely many.
 * NTK_ERROR_NETWORK with layer, column and reason if the layer cannot take the input. */
ntk_status ntk_layer_output_shape(const ntk_layer *layer, ntk_shape in, ntk_shape *out);

#endif
