/* Internal: queues the operations of a feature map for the images of a batch. */
#ifndef NTK_HOST_CUDA_FEATURE_STEPS_H
#define NTK_HOST_CUDA_FEATURE_STEPS_H

#include "host/cuda/feature_batch.h"

/* From b->images to b->out. */
ntk_status ntk_cuda_feature_steps(ntk_cuda_feature_batch *b, int count);

/* Marks the end of a phase on the stream. */
ntk_status ntk_cuda_feature_mark(ntk_cuda_feature_batch *b, ntk_cuda_phase phase);

#endif
