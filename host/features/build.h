/* Internal: what the files that lower a network into a feature map share. */
#ifndef NTK_HOST_FEATURES_BUILD_H
#define NTK_HOST_FEATURES_BUILD_H

#include "host/features/features.h"

typedef struct ntk_feature_builder {
  ntk_features *features;
  int nesting; /* depth of sums */
} ntk_feature_builder;

/* Features behind a layer. */
typedef struct ntk_feature_node {
  int height, width; /* 0: one row an image */
  ntk_view f, psi;
  bool free_column; /* the slot has one column behind f that is nobody's */
} ntk_feature_node;

/* Where the terms of a gather come from (kernels/feature.h). */
typedef struct ntk_taps {
  int inputs, outputs, taps;
  const int32_t *source;
  const float *weight;
} ntk_taps;

ntk_status ntk_feature_add(ntk_feature_builder *b, ntk_feature_op op);

/* unit.c: an activation of rows of `inputs` numbers. order0 = 0 in what it makes: nothing of T is left. */
ntk_status ntk_feature_unit_make(ntk_feature_builder *b, const ntk_layer *layer, int inputs, int order1, bool tangent,
                                 ntk_unit_layer **out);

#endif
