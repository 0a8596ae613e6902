/* Internal: a feature map as a list of operations on rows of features, made from the network by build.c, run batch by
 * batch by run.c (docs/features.md).
 *
 * Every pixel of an image has a row f with <f(x)[p], f(z)[p']> ~ S[p,p'] and a row psi with <psi, psi'> ~ T[p,p']. Rows
 * stand in slots; a view is a range of columns of a slot. */
#ifndef NTK_HOST_FEATURES_FEATURES_H
#define NTK_HOST_FEATURES_FEATURES_H

#include <ntk/features.h>
#include <pthread.h>
#include <stdatomic.h>

#include "host/net/network.h"
#include "kernels/feature.h"

/* Rows of `stride` floats, one a pixel: [image][pixel][stride]. */
typedef struct ntk_slot {
  int pixels, stride;
  int first, last; /* operations that write and read it */
  size_t place;    /* in floats an image, where it lies in a worker's memory */
  bool shared;     /* on the CPU all images of a batch take turns in the first one's place */
} ntk_slot;

/* Columns [column, column + dim) of a slot, times scale; dim 0: nothing. */
typedef struct ntk_view {
  int slot, column, dim;
  float scale;
} ntk_view;

/* A sketch of products: see ntk_sketch. */
typedef struct ntk_product {
  ntk_sketch kind;
  int dim_x, dim_y, dim;
  ntk_feature_hadamard x, y;  /* SRHT; FOURIER and COUNT: only signs, and the length of the FFT as size */
  int32_t *index_x, *index_y; /* [dim] coordinates, FOURIER: [dim / 2]; COUNT: [dim_x], [dim_y] buckets */
  int32_t *blocks;            /* SRHT: the same in few bytes, or NULL: index_x[k] = k mod x.size, index_y[k] =
                                 blocks[k / 16] ^ k % 16 */
  float scale;
} ntk_product;

/* A random matrix, inputs x columns, row-major, leading dimension `columns` of the whole. */
typedef struct ntk_directions {
  uint32_t stream;
  int first, count; /* columns of it */
  ntk_sampling sampling;
} ntk_directions;

typedef struct ntk_polynomial ntk_polynomial;

/* An activation: u = a W; f' = scale1 s(u), psi' = S(psi, scale0 s'(u)). */
typedef struct ntk_unit_layer {
  ntk_feature_unit unit;
  bool normalise; /* u = a W / |a|, and f' is multiplied by |a| */
  int inputs, order1, order0;
  float scale1, scale0;
  ntk_directions directions[2];
  float *weights;                /* inputs x (order1 + order0), drawn by ntk_features_draw */
  double linear, mean;           /* f' gets linear f besides, psi' gets mean psi: what features do not stand for */
  float constant;                /* if not 0: by what column 0 of f' is still to be multiplied */
  ntk_polynomial *polynomial[2]; /* NTK_FEATURES_SKETCH: instead, of s and of s' */
  ntk_product product;
  int rows; /* of one matrix product, always, so that a row's bits do not depend on its neighbours */
} ntk_unit_layer;

typedef enum ntk_feature_op_kind { NTK_OP_GATHER, NTK_OP_FILL, NTK_OP_UNIT } ntk_feature_op_kind;

typedef struct ntk_feature_op {
  ntk_feature_op_kind kind;
  ntk_view in, psi, out, psi_out;
  ntk_feature_gather gather;
  float fill; /* the value of `out`, one column */
  ntk_unit_layer *unit;
} ntk_feature_op;

struct ntk_features {
  ntk_features_options options; /* defaults filled in */
  ntk_shape shape;
  char *text, *preset;
  ntk_convention convention;
  double scale;
  int order1; /* features of s in every layer */
  ntk_slot *slots;
  int slot_count;
  ntk_feature_op *ops;
  int op_count;
  ntk_view result;         /* of one row an image */
  size_t floats_per_image; /* of all slots */
  int batch;               /* images at a time: a function of the network alone */
  int single_ops;          /* on the CPU the first so many operations take one image after the other */
  ntk_features_cost cost;
  uint32_t streams; /* random objects so far */
  void **owned;
  size_t owned_count, owned_bytes;
  /* random matrices, drawn once */
  pthread_mutex_t lock;
  atomic_bool drawn;
  /* what stays on CUDA devices (host/cuda/features.c), and who frees it */
  void *cuda;
  void (*free_cuda)(void *);
};

/* Adds seconds of every stage. */
static inline void ntk_features_times_add(ntk_features_times *to, const ntk_features_times *from) {
  to->draw += from->draw, to->input += from->input, to->products += from->products;
  to->units += from->units, to->sketches += from->sketches, to->sums += from->sums;
}

/* build.c: network -> operations. */
ntk_status ntk_features_build(ntk_features *features, const ntk_network *network);

/* Zeroed memory freed with the features; NULL when there is none. */
void *ntk_features_own(ntk_features *features, size_t count, size_t size);

/* random.c: what is drawn at once. Each takes the next stream. NULL: no memory. */
int8_t *ntk_draw_signs(ntk_features *features, size_t count);           /* +-1 */
int32_t *ntk_draw_below(ntk_features *features, size_t count, int n);   /* 0..n-1, independent */
int32_t *ntk_draw_samples(ntk_features *features, size_t count, int n); /* 0..n-1, each equally often up to one */

/* random.c: fills the weights of all layers; idempotent, thread-safe. */
ntk_status ntk_features_draw(ntk_context *context, ntk_features *features, double *seconds);

/* product.c */
ntk_status ntk_product_make(ntk_features *features, int dim_x, int dim_y, int dim, ntk_product *out);
size_t ntk_product_work(const ntk_product *product); /* floats */
double ntk_product_flops(const ntk_product *product);
/* One row; work: 64-byte aligned. fft: of ntk_product_fft for that size, NULL for SRHT. */
typedef struct ntk_product_fft ntk_product_fft;
ntk_status ntk_product_fft_create(const ntk_product *product, ntk_product_fft **out);
void ntk_product_fft_free(ntk_product_fft *fft);
void ntk_product_row(const ntk_product *product, const ntk_feature_ops *ops, const ntk_product_fft *fft, const float *x,
                     const float *y, float *work, float *out);

/* run.c: features of `count` inputs read by `read` (float64, as in the data set) into out, row-major. */
typedef struct ntk_feature_source {
  const ntk_dataset *data; /* or NULL: */
  const double *values;
} ntk_feature_source;
/* As many threads as `count` inputs need and the memory budget has room for; NTK_ERROR_MEMORY if not even one fits. */
ntk_status ntk_features_threads(const ntk_context *context, const ntk_features *features, int64_t count, int *threads);

ntk_status ntk_features_run(ntk_context *context, const ntk_features *features, ntk_feature_source source,
                            int64_t first, int64_t count, float *out, ntk_features_times *times);

#endif
