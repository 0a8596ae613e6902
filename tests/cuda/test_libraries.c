/* The libraries of the toolkit that this build is for have the functions that libntk looks up. No device is needed. */
#include <stdio.h>
#include <string.h>

#include "host/cuda/blas.h"
#include "host/cuda/fft.h"
#include "host/cuda/solver.h"
#include "host/status.h"

enum { SKIPPED = 77 };

static int check(const char *what, ntk_status status) {
  const char *const message = status == NTK_OK ? "" : ntk_last_error();
  printf("%s: %s\n", what, status == NTK_OK ? "found" : message);
  if (strstr(message, "cannot be loaded")) return SKIPPED;
  return strstr(message, " has no ") ? 1 : 0;
}

int main(void) {
  ntk_cuda_blas *blas = NULL;
  ntk_cuda_fft *fft = NULL;
  /* without a device cuBLAS and cuFFT are found and do not start */
  const int first = check("cuBLAS", ntk_cuda_blas_create(NULL, &blas));
  const int second = check("cuSOLVER", ntk_cuda_solver_load());
  const int third = check("cuFFT", ntk_cuda_fft_create(64, 2, NULL, &fft));
  ntk_cuda_blas_free(blas);
  ntk_cuda_fft_free(fft);
  return first ? first : second ? second : third == SKIPPED ? 0 : third; /* few computations need cuFFT */
}
