/* The kernels of feature maps as plain C++ (tests/cuda/shim). */
#include "kernels/cuda/feature_cuda.cu"
