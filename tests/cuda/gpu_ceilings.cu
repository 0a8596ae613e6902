/* A GPU's own ceilings, as one JSON object: copy bandwidth, rate of float32 multiply-adds and the clock that it keeps
 * under them, for the fractions of the limit that tools/gpu-check reports. */
#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>

#define TRY(call)                                                                         \
  do {                                                                                    \
    cudaError_t error = (call);                                                           \
    if (error != cudaSuccess) {                                                           \
      fprintf(stderr, "gpu_ceilings: %s: %s\n", #call, cudaGetErrorString(error));        \
      exit(1);                                                                            \
    }                                                                                     \
  } while (0)

enum { CHAINS = 8, STEPS = 4096, RUNS = 9 };

/* Independent chains of multiply-adds: one issue slot each. Also the clock cycles that one block took. */
__global__ void multiply_add(float *out, long long *cycles, float a, float b) {
  float v[CHAINS];
  for (int k = 0; k < CHAINS; k++) v[k] = (float)threadIdx.x + (float)k;
  const long long begin = clock64();
  for (int s = 0; s < STEPS; s++) {
#pragma unroll
    for (int k = 0; k < CHAINS; k++) v[k] = fmaf(v[k], a, b);
  }
  const long long end = clock64();
  float sum = 0;
  for (int k = 0; k < CHAINS; k++) sum += v[k];
  out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
  if (threadIdx.x == 0) cycles[blockIdx.x] = end - begin;
}

static int ascending(const void *a, const void *b) {
  const float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

int main(void) {
  const size_t bytes = (size_t)1 << 30;
  cudaDeviceProp prop;
  cudaEvent_t begin, end;
  char *from, *to;
  float *out, seconds[RUNS];
  long long *cycles, block_cycles = 0;
  TRY(cudaGetDeviceProperties(&prop, 0));
  TRY(cudaEventCreate(&begin));
  TRY(cudaEventCreate(&end));
  TRY(cudaMalloc((void **)&from, bytes));
  TRY(cudaMalloc((void **)&to, bytes));
  TRY(cudaMemset(from, 1, bytes));
  for (int r = 0; r < RUNS; r++) {
    TRY(cudaEventRecord(begin));
    TRY(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice));
    TRY(cudaEventRecord(end));
    TRY(cudaEventSynchronize(end));
    TRY(cudaEventElapsedTime(&seconds[r], begin, end));
  }
  qsort(seconds, RUNS, sizeof *seconds, ascending);
  const double copy = 2.0 * (double)bytes / (1e-3 * (double)seconds[RUNS / 2]);

  const int threads = 512, blocks = prop.multiProcessorCount * 4 * 64; /* long enough for the clock to settle */
  TRY(cudaMalloc((void **)&out, (size_t)threads * (size_t)blocks * sizeof *out));
  TRY(cudaMalloc((void **)&cycles, (size_t)blocks * sizeof *cycles));
  for (int r = 0; r < RUNS; r++) {
    TRY(cudaEventRecord(begin));
    multiply_add<<<blocks, threads>>>(out, cycles, 0.999f, 0.5f);
    TRY(cudaGetLastError());
    TRY(cudaEventRecord(end));
    TRY(cudaEventSynchronize(end));
    TRY(cudaEventElapsedTime(&seconds[r], begin, end));
  }
  qsort(seconds, RUNS, sizeof *seconds, ascending);
  TRY(cudaMemcpy(&block_cycles, cycles, sizeof block_cycles, cudaMemcpyDeviceToHost));
  const double adds = (double)threads * blocks * CHAINS * STEPS, rate = adds / (1e-3 * (double)seconds[RUNS / 2]);
  /* 128 lanes a multiprocessor and clock: the clock that this rate means */
  printf("{\"name\": \"%s\", \"compute_capability\": \"%d.%d\", \"multiprocessors\": %d, \"memory_bytes\": %zu, "
         "\"copy_bytes_per_second\": %.4g, \"fma_per_second\": %.4g, \"clock_hz_at_full_issue\": %.4g}\n",
         prop.name, prop.major, prop.minor, prop.multiProcessorCount, prop.totalGlobalMem, copy, rate,
         rate / (128.0 * prop.multiProcessorCount));
  return 0;
}
