/* Internal: Fourier transforms of rows by cuFFT, always of the same number of rows, so that no bit depends on how
 * inputs are cut into batches. */
#ifndef NTK_HOST_CUDA_FFT_H
#define NTK_HOST_CUDA_FFT_H

#include <cuda_runtime_api.h>
#include <ntk/status.h>

typedef struct ntk_cuda_fft ntk_cuda_fft;

/* Of `rows` rows of `size` complex float32 numbers, on the current device; calls are queued on the stream.
 * NTK_ERROR_UNSUPPORTED: a build without cuFFT. */
ntk_status ntk_cuda_fft_create(int size, int rows, cudaStream_t stream, ntk_cuda_fft **out);
void ntk_cuda_fft_free(ntk_cuda_fft *fft);

/* In place, not normalised. */
ntk_status ntk_cuda_fft_run(const ntk_cuda_fft *fft, int inverse, float *rows);

#endif
