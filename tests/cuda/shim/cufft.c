/* The stand-in for cuFFT, loaded as the real one is: kissfft. With NTK_SHIM_FAIL_FFT set transforms fail. */
#include <cufft.h>
#include <kissfft/kiss_fft.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PLANS = 1024 };

static struct plan {
  kiss_fft_cfg forward, inverse;
  int size, batch;
} plans[MOST_PLANS]; /* size 0: free */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

cufftResult cufftPlanMany(cufftHandle *plan, int rank, int *n, int *inembed, int istride, int idist, int *onembed,
                          int ostride, int odist, cufftType type, int batch) {
  if (rank != 1 || n[0] < 1 || istride != 1 || ostride != 1 || idist != n[0] || odist != n[0] || inembed || onembed ||
      type != CUFFT_C2C || batch < 1)
    return CUFFT_INVALID_VALUE;
  pthread_mutex_lock(&lock);
  int k = 0;
  while (k < MOST_PLANS && plans[k].size) k++;
  if (k < MOST_PLANS)
    plans[k] = (struct plan){kiss_fft_alloc(n[0], 0, NULL, NULL), kiss_fft_alloc(n[0], 1, NULL, NULL), n[0], batch};
  pthread_mutex_unlock(&lock);
  *plan = k;
  return k < MOST_PLANS ? CUFFT_SUCCESS : CUFFT_ALLOC_FAILED;
}

cufftResult cufftSetStream(cufftHandle plan, cudaStream_t stream) {
  (void)stream;
  return plan >= 0 && plan < MOST_PLANS && plans[plan].size ? CUFFT_SUCCESS : CUFFT_INVALID_PLAN;
}

cufftResult cufftExecC2C(cufftHandle plan, cufftComplex *in, cufftComplex *out, int direction) {
  if (cufftSetStream(plan, NULL) != CUFFT_SUCCESS) return CUFFT_INVALID_PLAN;
  if (getenv("NTK_SHIM_FAIL_FFT")) return CUFFT_EXEC_FAILED;
  const struct plan *p = &plans[plan];
  const size_t bytes = (size_t)p->size * sizeof *in;
  kiss_fft_cpx *row = malloc(bytes);
  if (!row) return CUFFT_ALLOC_FAILED;
  for (int k = 0; k < p->batch; k++) {
    memcpy(row, in + (size_t)k * (size_t)p->size, bytes);
    kiss_fft(direction == CUFFT_FORWARD ? p->forward : p->inverse, row,
             (kiss_fft_cpx *)out + (size_t)k * (size_t)p->size);
  }
  free(row);
  return CUFFT_SUCCESS;
}

cufftResult cufftDestroy(cufftHandle plan) {
  if (cufftSetStream(plan, NULL) != CUFFT_SUCCESS) return CUFFT_INVALID_PLAN;
  pthread_mutex_lock(&lock);
  kiss_fft_free(plans[plan].forward), kiss_fft_free(plans[plan].inverse);
  plans[plan].size = 0;
  pthread_mutex_unlock(&lock);
  return CUFFT_SUCCESS;
}
