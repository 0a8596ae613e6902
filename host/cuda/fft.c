#include "host/cuda/fft.h"

#include "host/status.h"

#if NTK_WITH_CUFFT
#include <cufft.h>
#include <pthread.h>
#include <stdlib.h>

#include "host/cuda/library.h"

#define TEXT2(a) #a
#define TEXT(a) TEXT2(a)
#ifndef NTK_CUFFT_FILE
#define NTK_CUFFT_FILE "libcufft.so." TEXT(CUFFT_VER_MAJOR)
#endif

struct ntk_cuda_fft {
  cufftHandle plan;
  int planned; /* the plan exists */
};

static struct {
  __typeof__(&cufftPlanMany) plan_many;
  __typeof__(&cufftDestroy) destroy;
  __typeof__(&cufftSetStream) set_stream;
  __typeof__(&cufftExecC2C) run;
} cufft;

static ntk_status load(void) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static int loaded;
  const ntk_cuda_symbol symbols[] = {
      {"cufftPlanMany", (void **)&cufft.plan_many},
      {"cufftDestroy", (void **)&cufft.destroy},
      {"cufftSetStream", (void **)&cufft.set_stream},
      {"cufftExecC2C", (void **)&cufft.run},
  };
  pthread_mutex_lock(&lock);
  ntk_status status = NTK_OK;
  if (!loaded) status = ntk_cuda_library_load("cuFFT", NTK_CUFFT_FILE, symbols, sizeof symbols / sizeof *symbols);
  loaded |= status == NTK_OK;
  pthread_mutex_unlock(&lock);
  return status;
}

#define CUFFT_TRY(call, what)                                                                               \
  do {                                                                                                      \
    const int error = (int)(call);                                                                          \
    if (error == CUFFT_ALLOC_FAILED)                                                                        \
      return ntk_fail(NTK_ERROR_MEMORY, "the CUDA device has no memory for cuFFT: choose a smaller --dim"); \
    if (error != CUFFT_SUCCESS)                                                                             \
      return ntk_fail(NTK_ERROR_DEVICE, "cuFFT: %s failed with code %d: use --sketch srht", what, error);   \
  } while (0)

ntk_status ntk_cuda_fft_create(int size, int rows, cudaStream_t stream, ntk_cuda_fft **out) {
  NTK_TRY(load());
  ntk_cuda_fft *fft = calloc(1, sizeof *fft);
  if (!fft) return ntk_fail(NTK_ERROR_MEMORY, "no memory for a transform");
  *out = fft;
  CUFFT_TRY(cufft.plan_many(&fft->plan, 1, &size, NULL, 1, size, NULL, 1, size, CUFFT_C2C, rows), "planning");
  fft->planned = 1;
  CUFFT_TRY(cufft.set_stream(fft->plan, stream), "choosing a stream");
  return NTK_OK;
}

void ntk_cuda_fft_free(ntk_cuda_fft *fft) {
  if (fft && fft->planned) cufft.destroy(fft->plan);
  free(fft);
}

ntk_status ntk_cuda_fft_run(const ntk_cuda_fft *fft, int inverse, float *rows) {
  CUFFT_TRY(cufft.run(fft->plan, (cufftComplex *)rows, (cufftComplex *)rows, inverse ? CUFFT_INVERSE : CUFFT_FORWARD),
            "a transform");
  return NTK_OK;
}

#else

ntk_status ntk_cuda_fft_create(int size, int rows, cudaStream_t stream, ntk_cuda_fft **out) {
  (void)size, (void)rows, (void)stream, (void)out;
  return ntk_fail(NTK_ERROR_UNSUPPORTED, "this build has no cuFFT: use --sketch srht or --device cpu");
}

void ntk_cuda_fft_free(ntk_cuda_fft *fft) { (void)fft; }

ntk_status ntk_cuda_fft_run(const ntk_cuda_fft *fft, int inverse, float *rows) {
  (void)fft, (void)inverse, (void)rows;
  return NTK_ERROR_UNSUPPORTED;
}

#endif
