#include "host/cuda/blas.h"

#include <cublas_v2.h>
#include <pthread.h>
#include <stdlib.h>

#include "host/cuda/library.h"
#include "host/status.h"

#define TEXT2(a) #a
#define TEXT(a) TEXT2(a)
#ifndef NTK_CUBLAS_FILE
#define NTK_CUBLAS_FILE "libcublas.so." TEXT(CUBLAS_VER_MAJOR)
#endif

struct ntk_cuda_blas {
  cublasHandle_t handle;
};

static struct {
  __typeof__(&cublasCreate_v2) create;
  __typeof__(&cublasDestroy_v2) destroy;
  __typeof__(&cublasSetStream_v2) set_stream;
  __typeof__(&cublasDgemm_v2) dgemm;
  __typeof__(&cublasSgemm_v2) sgemm;
  __typeof__(&cublasSgemmBatched) sgemm_batched;
  __typeof__(&cublasDgemmBatched) dgemm_batched;
  __typeof__(&cublasGetStatusString) text;
} cublas;

static ntk_status load(void) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static int loaded;
  const ntk_cuda_symbol symbols[] = {
      {"cublasCreate_v2", (void **)&cublas.create},
      {"cublasDestroy_v2", (void **)&cublas.destroy},
      {"cublasSetStream_v2", (void **)&cublas.set_stream},
      {"cublasDgemm_v2", (void **)&cublas.dgemm},
      {"cublasSgemm_v2", (void **)&cublas.sgemm},
      {"cublasSgemmBatched", (void **)&cublas.sgemm_batched},
      {"cublasDgemmBatched", (void **)&cublas.dgemm_batched},
      {"cublasGetStatusString", (void **)&cublas.text},
  };
  pthread_mutex_lock(&lock);
  ntk_status status = NTK_OK;
  if (!loaded) status = ntk_cuda_library_load("cuBLAS", NTK_CUBLAS_FILE, symbols, sizeof symbols / sizeof *symbols);
  loaded |= status == NTK_OK;
  pthread_mutex_unlock(&lock);
  return status;
}

static ntk_status failed(cublasStatus_t error, const char *what) {
  if (error == CUBLAS_STATUS_ALLOC_FAILED)
    return ntk_fail(NTK_ERROR_MEMORY, "the CUDA device has no memory for cuBLAS: use smaller tiles (--tile)");
  return ntk_fail(NTK_ERROR_DEVICE, "cuBLAS: %s failed: %s", what, cublas.text(error));
}

#define CUBLAS_TRY(call, what)                                      \
  do {                                                              \
    const cublasStatus_t error = (call);                            \
    if (error != CUBLAS_STATUS_SUCCESS) return failed(error, what); \
  } while (0)

ntk_status ntk_cuda_blas_create(cudaStream_t stream, ntk_cuda_blas **out) {
  NTK_TRY(load());
  ntk_cuda_blas *blas = calloc(1, sizeof *blas);
  if (!blas) return ntk_fail(NTK_ERROR_MEMORY, "no memory for a handle of cuBLAS");
  *out = blas;
  CUBLAS_TRY(cublas.create(&blas->handle), "its start");
  CUBLAS_TRY(cublas.set_stream(blas->handle, stream), "choosing a stream");
  return NTK_OK;
}

void ntk_cuda_blas_free(ntk_cuda_blas *blas) {
  if (blas && blas->handle) cublas.destroy(blas->handle);
  free(blas);
}

/* cuBLAS counts columns first: it sees row-major matrices transposed, and out^T = z x^T. */

ntk_status ntk_cuda_blas_rows(ntk_cuda_blas *blas, const double *x, const double *z, int rows, int length,
                              double factor, double *out) {
  const double zero = 0;
  CUBLAS_TRY(cublas.dgemm(blas->handle, CUBLAS_OP_T, CUBLAS_OP_N, rows, rows, length, &factor, z, length, x, length,
                          &zero, out, rows),
             "a product of inputs");
  return NTK_OK;
}

ntk_status ntk_cuda_blas_pixels(ntk_cuda_blas *blas, int f64, const void *const *x, const void *const *z,
                                void *const *out, int count, int area, int channels) {
  const double one = 1, zero = 0;
  const float one_f32 = 1, zero_f32 = 0;
  const cublasStatus_t error =
      f64 ? cublas.dgemm_batched(blas->handle, CUBLAS_OP_N, CUBLAS_OP_T, area, area, channels, &one,
                                 (const double *const *)z, area, (const double *const *)x, area, &zero,
                                 (double *const *)out, area, count)
          : cublas.sgemm_batched(blas->handle, CUBLAS_OP_N, CUBLAS_OP_T, area, area, channels, &one_f32,
                                 (const float *const *)z, area, (const float *const *)x, area, &zero_f32,
                                 (float *const *)out, area, count);
  return error == CUBLAS_STATUS_SUCCESS ? NTK_OK : failed(error, "the products of pixels");
}

ntk_status ntk_cuda_blas_product(ntk_cuda_blas *blas, ntk_cuda_rows a, const float *b, int rows, int inner, int columns,
                                 float factor, ntk_cuda_rows out) {
  const float zero = 0;
  const int stride = (int)out.stride;
  CUBLAS_TRY(cublas.sgemm(blas->handle, CUBLAS_OP_N, CUBLAS_OP_N, columns, rows, inner, &factor, b, stride, a.at,
                          (int)a.stride, &zero, out.at, stride),
             "a product of features");
  return NTK_OK;
}
