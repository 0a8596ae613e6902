/* What a backend executes for one pair of images: the lowered network, free of text, files and policy.
 *
 * State convention. The planes hold S / alpha and T / alpha with one running factor alpha per layer (W_std^2 / (Q R), c
 * / 2 and the powers of two of the images are all in alpha), so that a layer needs no multiplication by constants.
 * `bias` is b_std^2 / alpha at its layer. The host multiplies the accumulated readouts by alpha of their layer.
 */
#ifndef NTK_KERNELS_PROGRAM_H
#define NTK_KERNELS_PROGRAM_H

#include <stddef.h>

enum {
  NTK_MAX_SIDE = 64,  /* largest height and width */
  NTK_MAX_EXITS = 64, /* exits of a stage */
  NTK_MAX_DEMANDS = 31
};

/* One affine layer followed by an activation or nothing. Where networks branch, states wait in slots, numbered from 1;
 * slot 0 is none. A state in a slot is (S, T), T without the S that the next trained layer adds. */
typedef struct ntk_program_layer {
  int rows, cols;  /* filter, odd */
  int circular;    /* padding: 0 zero, 1 circular */
  int trained;     /* 1: the affine layer adds S to T: gain 1 */
  int relu;        /* 1: an activation follows; 0: the next affine layer follows directly */
  int signed_rho;  /* 1: S may be negative before this ReLU (no earlier one) */
  int tap;         /* index of the readout taken after this layer, or -1 */
  int norm;        /* index of this activation among its program's, or -1 */
  int table;       /* where its tables of an image begin, in tables of height rows */
  double bias;     /* b_std^2 / alpha, before the images' powers of two */
  double gain;     /* T gets gain times the filter of the old S: 1 where the layer is trained, ... */
  double constant; /* ... and this: the bias where it is trained. Others in the standard parameterisation */
  double rescale;  /* power of two that S and T are multiplied by after the activation (1 almost always) */
  int from; /* slot that the filter reads; 0: the layer before (the first layer of an image: the input products) */
  int add;  /* slot added behind filter and bias: a residual sum */
  double add_scale;                       /* alpha of that slot / alpha of this layer */
  int save;                               /* slot that receives the state before the activation */
  int result;                             /* slot that receives the state after it */
  int demand;                             /* which demand of its stage's tiles the layer has (ntk_tile) */
  const struct ntk_activation_dual *dual; /* an activation other than ReLU (float64 only); behind it alpha is 1 */
  double dual_alpha;                      /* alpha before it */
} ntk_program_layer;

/* One axis of an average pooling or of a subsampling (size 1): output I covers inputs stride I - before .. + size - 1,
 * zeros outside (circular: indices modulo inputs). */
typedef struct ntk_window {
  int size, stride, before;
  int inputs, outputs;
  int circular;
  const double *weights; /* per output: size / inputs in range, for edges that are normalised; NULL: 1 */
} ntk_window;

/* A state that leaves a stage, through an affine layer first (1 x 1 and untrained: none): strided and valid
 * convolutions are a filter and a subsampling. The windows of x and of z are independent, so that planes mix. */
typedef struct ntk_exit {
  int slot, buffer;
  int demand;
  ntk_window rows, cols;
  int filter_rows, filter_cols, circular;
  double bias, gain, constant; /* as a layer's */
} ntk_exit;

/* What a stage receives: its demanded tiles of one state, zero where nothing was written. */
typedef struct ntk_buffer {
  int stage, slot; /* receiver */
} ntk_buffer;

/* One way to pool a tap: weight of entry [i,j,i',j'] = row_weights[i,i'] * col_weights[j,j']. */
typedef struct ntk_program_pool {
  int flatten;               /* 1: only the offset-0 plane, all weights 1 */
  int uniform;               /* 1: all weights 1 */
  const double *row_weights; /* height x height, NULL when uniform or flatten */
  const double *col_weights; /* width x width */
} ntk_program_pool;

typedef struct ntk_program {
  int channels, height, width;
  int layer_count;
  const ntk_program_layer *layers;
  int norm_count;  /* activations */
  int table_count; /* tables of an image: n and 1/n of a ReLU, the sides of another activation */
  int tap_count;   /* readouts after layers; every tap is pooled in every way */
  int pool_count;
  const ntk_program_pool *pools;
  int want_ntk;      /* 0: T is not computed */
  double bias_scale; /* largest b_std: fixes the images' powers of two together with the pixels; 0 without biases */
  int few_entries;   /* 1: too few for rounding errors to average out: float32 hands structured pairs back */
  int tile_count;    /* packed tiles that hold the demanded planes */
  const struct ntk_tile *tiles;

  /* Networks whose layers mix planes or change the resolution run in stages, each a program of its own that hands its
   * states on in buffers. The network's program then has no layers itself, and its readout is in the last stage. */
  int stage_count; /* 0: no stages, layers and tiles are here */
  const struct ntk_program *stages;
  int buffer_count;
  const ntk_buffer *buffers;
  const struct ntk_program *self; /* the same stages with S only and the few tiles that S_xx[i,j,i,j] needs; or NULL */

  /* of a stage: */
  int in_stages, large_filters; /* large: some filter, or that of an exit, is over 3 wide or circular */
  int more_relus;               /* in later stages */
  int slot_count, exit_count;
  const ntk_exit *exits;
  const int *tile_at; /* [a * width + b]: index of that tile, or -1 */
} ntk_program;

/* A packed tile: the entries (i, j, (i + a) mod P, (j + b) mod Q), that is the planes d = (a or a - P, b or b - Q).
 * Only rows first_row .. first_row + row_count - 1 are demanded; the rest of the tile belongs to planes with weight 0.
 */
typedef struct ntk_tile {
  int a, b;
  int first_row, row_count;
  unsigned demands; /* of a stage: bit k set: the tile holds planes of its demand k */
} ntk_tile;

#endif
