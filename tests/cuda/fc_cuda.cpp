/* The fully connected kernels as plain C++ (tests/cuda/shim). */
#include "kernels/cuda/fc_cuda.cu"
