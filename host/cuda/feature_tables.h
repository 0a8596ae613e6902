/* Internal: a feature map on a CUDA device: its operations with all tables and random matrices in device memory. */
#ifndef NTK_HOST_CUDA_FEATURE_TABLES_H
#define NTK_HOST_CUDA_FEATURE_TABLES_H

#include "host/cuda/device.h"
#include "host/features/features.h"
#include "kernels/cuda/feature_cuda.h"

/* A sketch of products. */
typedef struct ntk_cuda_sketch {
  ntk_sketch kind;
  ntk_cuda_hadamard x, y;   /* SRHT */
  ntk_cuda_fourier fourier; /* FOURIER and COUNT */
} ntk_cuda_sketch;

/* ntk_polynomial on the device, by index of leaf or node. */
typedef struct ntk_cuda_polynomial {
  ntk_cuda_hadamard *leaves;
  ntk_cuda_sketch *nodes;
  const int8_t *signs; /* [degree][width] */
} ntk_cuda_polynomial;

typedef struct ntk_cuda_feature_op {
  ntk_feature_gather gather;
  bool side_by_side;
  float *weights; /* [inputs][stride] */
  int stride;     /* of rows of weights and of units: whole cache lines, whatever their columns */
  ntk_cuda_sketch sketch;
  ntk_cuda_polynomial polynomial[2];
  int rows; /* of a matrix product, of an FFT: always, so that a row's bits do not depend on its neighbours */
} ntk_cuda_feature_op;

/* All numbers are functions of the map alone. */
typedef struct ntk_cuda_feature_tables {
  ntk_cuda_device device;
  ntk_cuda_feature_op *ops;
  int op_count;
  void **memory; /* of the device */
  size_t memory_count;
  int batch;            /* images at a time, at most */
  int rows;             /* the largest of the operations' */
  size_t behind;        /* floats that a matrix product may read behind the last row */
  size_t units, waves;  /* floats: of matrix products, of FFTs */
  size_t branch, trees; /* floats: a buffer of polynomials, and how many */
} ntk_cuda_feature_tables;

/* For a device, which is the current one; what there is must be freed on failure too. Draws the random matrices.
 * context: of threads for what the CPU draws. NTK_ERROR_MEMORY, NTK_ERROR_DEVICE. */
ntk_status ntk_cuda_feature_tables_create(ntk_context *context, const ntk_features *features, int device,
                                          ntk_cuda_feature_tables *out);
void ntk_cuda_feature_tables_free(ntk_cuda_feature_tables *tables);

/* Device memory, and pinned host memory, of an image in a batch. */
size_t ntk_cuda_feature_image_bytes(const ntk_features *features);
size_t ntk_cuda_feature_pinned_bytes(const ntk_features *features);

/* Numbers of an input. */
size_t ntk_cuda_feature_input(const ntk_features *features);

#endif
