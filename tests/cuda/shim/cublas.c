/* The stand-in for the library, loaded as the real one is. Products by the BLAS of the CPU; with NTK_SHIM_FAIL_BLAS
 * they fail. */
#include <cblas.h>
#include <cublas_v2.h>
#include <stdlib.h>

static CBLAS_TRANSPOSE operation(cublasOperation_t op) { return op == CUBLAS_OP_T ? CblasTrans : CblasNoTrans; }

/* Room for one handle is enough: it holds nothing. */
cublasStatus_t cublasCreate_v2(cublasHandle_t *out) {
  *out = malloc(1);
  return *out ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}
cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) { return free(handle), CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  (void)stream;
  return handle ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_INITIALIZED;
}
static cublasStatus_t state(void) {
  return getenv("NTK_SHIM_FAIL_BLAS") ? CUBLAS_STATUS_EXECUTION_FAILED : CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDgemm_v2(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n,
                              int k, const double *alpha, const double *a, int lda, const double *b, int ldb,
                              const double *beta, double *c, int ldc) {
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  cblas_dgemm(CblasColMajor, operation(op_a), operation(op_b), m, n, k, *alpha, a, lda, b, ldb, *beta, c, ldc);
  return state();
}
cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n,
                              int k, const float *alpha, const float *a, int lda, const float *b, int ldb,
                              const float *beta, float *c, int ldc) {
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  cblas_sgemm(CblasColMajor, operation(op_a), operation(op_b), m, n, k, *alpha, a, lda, b, ldb, *beta, c, ldc);
  return state();
}
cublasStatus_t cublasSgemmBatched(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n,
                                  int k, const float *alpha, const float *const a[], int lda, const float *const b[],
                                  int ldb, const float *beta, float *const c[], int ldc, int count) {
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  for (int i = 0; i < count; i++)
    if (i == 0 || a[i] != a[i - 1] || b[i] != b[i - 1]) /* padding repeats the last one */
      cblas_sgemm(CblasColMajor, operation(op_a), operation(op_b), m, n, k, *alpha, a[i], lda, b[i], ldb, *beta, c[i],
                  ldc);
  return state();
}
cublasStatus_t cublasDgemmBatched(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n,
                                  int k, const double *alpha, const double *const a[], int lda, const double *const b[],
                                  int ldb, const double *beta, double *const c[], int ldc, int count) {
  for (int i = 0; i < count; i++)
    if (i == 0 || a[i] != a[i - 1] || b[i] != b[i - 1]) {
      const cublasStatus_t status =
          cublasDgemm_v2(handle, op_a, op_b, m, n, k, alpha, a[i], lda, b[i], ldb, beta, c[i], ldc);
      if (status != CUBLAS_STATUS_SUCCESS) return status;
    }
  return state();
}
const char *cublasGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_EXECUTION_FAILED ? "the GPU program failed to execute" : "an error";
}
