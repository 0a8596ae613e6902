/* The kernels of networks in stages as plain C++ (tests/cuda/shim). */
#include "kernels/cuda/stage_cuda.cu"
