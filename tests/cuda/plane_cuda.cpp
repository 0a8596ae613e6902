/* The plane kernels as plain C++ (tests/cuda/shim). */
#include "kernels/cuda/plane_cuda.cu"
