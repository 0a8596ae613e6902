#include "host/cuda/solver.h"

#include <cusolverDn.h>
#include <pthread.h>
#include <stdlib.h>

#include "host/cuda/call.h"
#include "host/cuda/library.h"

#define TEXT2(a) #a
#define TEXT(a) TEXT2(a)
#ifndef NTK_CUSOLVER_FILE
#define NTK_CUSOLVER_FILE "libcusolver.so." TEXT(CUSOLVER_VER_MAJOR)
#endif

static struct {
  __typeof__(&cusolverDnCreate) create;
  __typeof__(&cusolverDnDestroy) destroy;
  __typeof__(&cusolverDnSetStream) set_stream;
  __typeof__(&cusolverDnXpotrf_bufferSize) potrf_size;
  __typeof__(&cusolverDnXpotrf) potrf;
  __typeof__(&cusolverDnXsyevd_bufferSize) syevd_size;
  __typeof__(&cusolverDnXsyevd) syevd;
} cusolver;

ntk_status ntk_cuda_solver_load(void) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static int loaded;
  const ntk_cuda_symbol symbols[] = {
      {"cusolverDnCreate", (void **)&cusolver.create},
      {"cusolverDnDestroy", (void **)&cusolver.destroy},
      {"cusolverDnSetStream", (void **)&cusolver.set_stream},
      {"cusolverDnXpotrf_bufferSize", (void **)&cusolver.potrf_size},
      {"cusolverDnXpotrf", (void **)&cusolver.potrf},
      {"cusolverDnXsyevd_bufferSize", (void **)&cusolver.syevd_size},
      {"cusolverDnXsyevd", (void **)&cusolver.syevd},
  };
  pthread_mutex_lock(&lock);
  ntk_status status = NTK_OK;
  if (!loaded) status = ntk_cuda_library_load("cuSOLVER", NTK_CUSOLVER_FILE, symbols, sizeof symbols / sizeof *symbols);
  loaded |= status == NTK_OK;
  pthread_mutex_unlock(&lock);
  return status;
}

#define CUSOLVER_TRY(call, what)                                                                            \
  do {                                                                                                      \
    const int error = (int)(call);                                                                          \
    if (error == CUSOLVER_STATUS_ALLOC_FAILED)                                                              \
      return ntk_fail(NTK_ERROR_MEMORY, "the CUDA device has no memory for cuSOLVER: use --solver cpu");    \
    if (error != CUSOLVER_STATUS_SUCCESS)                                                                   \
      return ntk_fail(NTK_ERROR_DEVICE, "cuSOLVER: %s failed with code %d: use --solver cpu", what, error); \
  } while (0)

/* ---- what it takes ---- */

static double attribute(int device, enum cudaDeviceAttr which, double otherwise) {
  int value = 0;
  return cudaDeviceGetAttribute(&value, which, device) == cudaSuccess && value > 0 ? value : otherwise;
}

ntk_status ntk_cuda_solver_estimate(int device, ntk_cuda_factorisation kind, int64_t n, ntk_cuda_solver_cost *out) {
  size_t free_bytes = 0, all = 0;
  int before = 0;
  NTK_CUDA_TRY(cudaGetDevice(&before), "asking for the device");
  NTK_CUDA_TRY(cudaSetDevice(device), "choosing the device");
  const int error = cudaMemGetInfo(&free_bytes, &all);
  cudaSetDevice(before); /* this is the caller's thread */
  NTK_CUDA_TRY(error, "asking for the free memory");
  const double square = 8.0 * (double)n * (double)n;
  const double lanes = 128 * attribute(device, cudaDevAttrMultiProcessorCount, 1);
  const double flops = 2e3 * lanes * attribute(device, cudaDevAttrClockRate, 1e6) /
                       attribute(device, cudaDevAttrSingleToDoublePrecisionPerfRatio, 32);
  const double bandwidth = 2e3 / 8 * attribute(device, cudaDevAttrMemoryClockRate, 1e6) *
                           attribute(device, cudaDevAttrGlobalMemoryBusWidth, 128);
  const double start = 1.5, link = 6e9; /* loading the library; pageable host memory */
  const double cube = (double)n * (double)n * (double)n;
  const double cholesky = cube / 3 / (0.4 * flops);
  /* reducing to a tridiagonal matrix reads the rest of the matrix for every column; then products */
  const double eigen = 8 * cube / 3 / (0.5 * bandwidth) + 6 * cube / (0.3 * flops);
  out->seconds = start + 2 * square / link + (kind == NTK_CUDA_CHOLESKY ? cholesky : eigen);
  out->bytes = (uint64_t)(square * (kind == NTK_CUDA_CHOLESKY ? 1.1 : 3.2)) + (64u << 20);
  out->free_bytes = free_bytes;
  return NTK_OK;
}

/* ---- a factorisation ---- */

typedef struct factorisation {
  ntk_cuda_factorisation kind;
  int64_t n;
  cudaStream_t stream;
  int streaming; /* the stream exists */
  cusolverDnHandle_t handle;
  double *matrix, *values; /* on the device */
  void *device_work, *host_work;
  size_t device_bytes, host_bytes;
  int *info;
} factorisation;

static cusolverEigMode_t mode(const factorisation *f) {
  return f->kind == NTK_CUDA_EIGENVECTORS ? CUSOLVER_EIG_MODE_VECTOR : CUSOLVER_EIG_MODE_NOVECTOR;
}

/* Device memory, or the sum that does not come out. */
static ntk_status take(const factorisation *f, void **out, size_t bytes, const char *what) {
  const ntk_status status = ntk_cuda_memory(out, bytes, what);
  if (status != NTK_ERROR_MEMORY) return status;
  size_t free_bytes = 0, all = 0;
  NTK_CUDA_TRY(cudaMemGetInfo(&free_bytes, &all), "asking for the free memory");
  return ntk_fail(NTK_ERROR_MEMORY,
                  "factorising %lld x %lld float64 numbers on the CUDA device: %s would take %.3g GiB, and %.3g of its "
                  "%.3g GiB are free: use --solver cpu",
                  (long long)f->n, (long long)f->n, what, (double)bytes / 0x1p30, (double)free_bytes / 0x1p30,
                  (double)all / 0x1p30);
}

static ntk_status prepare(factorisation *f) {
  const size_t count = (size_t)f->n;
  NTK_CUDA_TRY(cudaStreamCreateWithFlags(&f->stream, cudaStreamNonBlocking), "creating a stream");
  f->streaming = 1;
  CUSOLVER_TRY(cusolver.create(&f->handle), "its start");
  CUSOLVER_TRY(cusolver.set_stream(f->handle, f->stream), "choosing a stream");
  NTK_TRY(take(f, (void **)&f->matrix, count * count * sizeof(double), "the matrix"));
  NTK_TRY(take(f, (void **)&f->values, count * sizeof(double), "the eigenvalues"));
  NTK_TRY(take(f, (void **)&f->info, sizeof *f->info, "the result"));
  if (f->kind == NTK_CUDA_CHOLESKY)
    CUSOLVER_TRY(cusolver.potrf_size(f->handle, NULL, CUBLAS_FILL_MODE_UPPER, f->n, CUDA_R_64F, f->matrix, f->n,
                                     CUDA_R_64F, &f->device_bytes, &f->host_bytes),
                 "asking for the workspace");
  else
    CUSOLVER_TRY(cusolver.syevd_size(f->handle, NULL, mode(f), CUBLAS_FILL_MODE_UPPER, f->n, CUDA_R_64F, f->matrix,
                                     f->n, CUDA_R_64F, f->values, CUDA_R_64F, &f->device_bytes, &f->host_bytes),
                 "asking for the workspace");
  NTK_TRY(take(f, &f->device_work, f->device_bytes, "the workspace"));
  f->host_work = malloc(f->host_bytes ? f->host_bytes : 1);
  return f->host_work ? NTK_OK : ntk_fail(NTK_ERROR_MEMORY, "no memory for the workspace of the factorisation");
}

static ntk_status factorise(factorisation *f, double *matrix, double *values, int *info) {
  const size_t count = (size_t)f->n, bytes = count * count * sizeof(double);
  NTK_CUDA_TRY(cudaMemcpyAsync(f->matrix, matrix, bytes, cudaMemcpyHostToDevice, f->stream), "copying the matrix");
  if (f->kind == NTK_CUDA_CHOLESKY)
    CUSOLVER_TRY(cusolver.potrf(f->handle, NULL, CUBLAS_FILL_MODE_UPPER, f->n, CUDA_R_64F, f->matrix, f->n, CUDA_R_64F,
                                f->device_work, f->device_bytes, f->host_work, f->host_bytes, f->info),
                 "the Cholesky factorisation");
  else
    CUSOLVER_TRY(
        cusolver.syevd(f->handle, NULL, mode(f), CUBLAS_FILL_MODE_UPPER, f->n, CUDA_R_64F, f->matrix, f->n, CUDA_R_64F,
                       f->values, CUDA_R_64F, f->device_work, f->device_bytes, f->host_work, f->host_bytes, f->info),
        "the eigendecomposition");
  NTK_CUDA_TRY(cudaMemcpyAsync(info, f->info, sizeof *info, cudaMemcpyDeviceToHost, f->stream), "copying the result");
  NTK_CUDA_TRY(cudaMemcpyAsync(matrix, f->matrix, bytes, cudaMemcpyDeviceToHost, f->stream), "copying the factor");
  if (values)
    NTK_CUDA_TRY(cudaMemcpyAsync(values, f->values, count * sizeof(double), cudaMemcpyDeviceToHost, f->stream),
                 "copying the eigenvalues");
  NTK_CUDA_TRY(cudaStreamSynchronize(f->stream), "factorising the matrix");
  return NTK_OK;
}

ntk_status ntk_cuda_solver_run(int device, ntk_cuda_factorisation kind, int64_t n, double *matrix, double *values,
                               int *info) {
  factorisation f = {.kind = kind, .n = n};
  int before = 0;
  NTK_TRY(ntk_cuda_solver_load());
  NTK_CUDA_TRY(cudaGetDevice(&before), "asking for the device");
  NTK_CUDA_TRY(cudaSetDevice(device), "choosing the device");
  ntk_status status = prepare(&f);
  if (status == NTK_OK) status = factorise(&f, matrix, values, info);
  if (f.streaming) cudaStreamSynchronize(f.stream); /* nothing may still use what is freed */
  if (f.handle) cusolver.destroy(f.handle);
  cudaFree(f.matrix), cudaFree(f.values), cudaFree(f.info), cudaFree(f.device_work);
  free(f.host_work);
  if (f.streaming) cudaStreamDestroy(f.stream);
  cudaSetDevice(before); /* this is the caller's thread */
  return status;
}
