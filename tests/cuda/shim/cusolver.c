/* The stand-in for cuSOLVER, loaded as the real one is: the CPU's LAPACK. With NTK_SHIM_FAIL_SOLVER set it fails. */
#include <cusolverDn.h>
#include <lapacke.h>
#include <stdlib.h>
#include <string.h>

cusolverStatus_t cusolverDnCreate(cusolverDnHandle_t *out) {
  *out = malloc(1);
  return *out ? CUSOLVER_STATUS_SUCCESS : CUSOLVER_STATUS_ALLOC_FAILED;
}
cusolverStatus_t cusolverDnDestroy(cusolverDnHandle_t handle) { return free(handle), CUSOLVER_STATUS_SUCCESS; }
cusolverStatus_t cusolverDnSetStream(cusolverDnHandle_t handle, cudaStream_t stream) {
  (void)stream;
  return handle ? CUSOLVER_STATUS_SUCCESS : CUSOLVER_STATUS_INVALID_VALUE;
}

/* Everything that the real library would refuse. */
static cusolverStatus_t check(cusolverDnHandle_t handle, int64_t n, cudaDataType type, int64_t lda, const void *a) {
  if (!handle || n < 1 || lda < n || !a || type != CUDA_R_64F) return CUSOLVER_STATUS_INVALID_VALUE;
  return getenv("NTK_SHIM_FAIL_SOLVER") ? CUSOLVER_STATUS_EXECUTION_FAILED : CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnXpotrf_bufferSize(cusolverDnHandle_t handle, cusolverDnParams_t params,
                                             cublasFillMode_t uplo, int64_t n, cudaDataType type, const void *a,
                                             int64_t lda, cudaDataType compute, size_t *device, size_t *host) {
  (void)params, (void)uplo, (void)compute;
  *device = (size_t)n * 64, *host = 0;
  return check(handle, n, type, lda, a);
}

cusolverStatus_t cusolverDnXpotrf(cusolverDnHandle_t handle, cusolverDnParams_t params, cublasFillMode_t uplo,
                                  int64_t n, cudaDataType type, void *a, int64_t lda, cudaDataType compute,
                                  void *device_work, size_t device, void *host_work, size_t host, int *info) {
  (void)params, (void)compute, (void)host_work, (void)host;
  const cusolverStatus_t status = check(handle, n, type, lda, a);
  if (status != CUSOLVER_STATUS_SUCCESS) return status;
  memset(device_work, 0, device);
  *info = LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, uplo == CUBLAS_FILL_MODE_UPPER ? 'U' : 'L', (lapack_int)n, a,
                              (lapack_int)lda);
  return status;
}

cusolverStatus_t cusolverDnXsyevd_bufferSize(cusolverDnHandle_t handle, cusolverDnParams_t params,
                                             cusolverEigMode_t jobz, cublasFillMode_t uplo, int64_t n,
                                             cudaDataType type, const void *a, int64_t lda, cudaDataType type_w,
                                             const void *w, cudaDataType compute, size_t *device, size_t *host) {
  (void)params, (void)jobz, (void)uplo, (void)type_w, (void)w, (void)compute;
  *device = (size_t)n * (size_t)n * 8, *host = (size_t)n;
  return check(handle, n, type, lda, a);
}

cusolverStatus_t cusolverDnXsyevd(cusolverDnHandle_t handle, cusolverDnParams_t params, cusolverEigMode_t jobz,
                                  cublasFillMode_t uplo, int64_t n, cudaDataType type, void *a, int64_t lda,
                                  cudaDataType type_w, void *w, cudaDataType compute, void *device_work, size_t device,
                                  void *host_work, size_t host, int *info) {
  (void)params, (void)type_w, (void)compute;
  const cusolverStatus_t status = check(handle, n, type, lda, a);
  if (status != CUSOLVER_STATUS_SUCCESS) return status;
  memset(device_work, 0, device), memset(host_work, 0, host);
  *info = LAPACKE_dsyevd(LAPACK_COL_MAJOR, jobz == CUSOLVER_EIG_MODE_VECTOR ? 'V' : 'N',
                         uplo == CUBLAS_FILL_MODE_UPPER ? 'U' : 'L', (lapack_int)n, a, (lapack_int)lda, w);
  return status;
}
