/* A stand-in for cuFFT on the CPU (cufft.c): only what libntk calls, with the documented meaning. */
#ifndef NTK_TESTS_CUDA_SHIM_CUFFT_H
#define NTK_TESTS_CUDA_SHIM_CUFFT_H

#include <cuda_runtime_api.h>

#define CUFFT_VER_MAJOR 12
#define CUFFT_FORWARD -1
#define CUFFT_INVERSE 1
typedef enum {
  CUFFT_SUCCESS = 0,
  CUFFT_INVALID_PLAN = 1,
  CUFFT_ALLOC_FAILED = 2,
  CUFFT_INVALID_VALUE = 4,
  CUFFT_EXEC_FAILED = 6
} cufftResult;
typedef enum { CUFFT_C2C = 0x29 } cufftType;
typedef int cufftHandle;
typedef struct {
  float x, y;
} cufftComplex;

cufftResult cufftPlanMany(cufftHandle *plan, int rank, int *n, int *inembed, int istride, int idist, int *onembed,
                          int ostride, int odist, cufftType type, int batch);
cufftResult cufftSetStream(cufftHandle plan, cudaStream_t stream);
cufftResult cufftExecC2C(cufftHandle plan, cufftComplex *in, cufftComplex *out, int direction);
cufftResult cufftDestroy(cufftHandle plan);

#endif
