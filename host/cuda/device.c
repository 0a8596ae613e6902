#include "host/cuda/device.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/cuda/call.h"

#ifndef NTK_CUDA_LEAST_ARCH /* least architecture that the build has code for */
#define NTK_CUDA_LEAST_ARCH 80
#endif

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int count;
static char problem_text[256];

/* A driver's files exist although the runtime finds no device: worth a word. */
static int driver_present(void) { return access("/dev/nvidiactl", F_OK) == 0; }

bool ntk_cuda_device_usable(const ntk_cuda_device *device) {
  return 10 * device->major + device->minor >= NTK_CUDA_LEAST_ARCH;
}

static void find_devices(void) {
  int usable = 0;
  cudaError_t error = cudaGetDeviceCount(&count);
  if (count > NTK_CUDA_MOST_DEVICES) count = NTK_CUDA_MOST_DEVICES;
  for (int k = 0; error == cudaSuccess && k < count; k++) {
    struct cudaDeviceProp prop;
    error = cudaGetDeviceProperties(&prop, k);
    usable +=
        error == cudaSuccess && ntk_cuda_device_usable(&(ntk_cuda_device){.major = prop.major, .minor = prop.minor});
  }
  if (error == cudaSuccess && usable > 0) return;
  if (error == cudaSuccess && count > 0)
    snprintf(problem_text, sizeof problem_text, "the CUDA devices are older than sm_%d, for which this was built",
             NTK_CUDA_LEAST_ARCH);
  count = 0;
  (void)cudaGetLastError();
  if (error == cudaSuccess || error == cudaErrorNoDevice || !driver_present()) return;
  snprintf(problem_text, sizeof problem_text, "the CUDA devices cannot be used: %s", cudaGetErrorString(error));
}

int ntk_cuda_device_count(const char **problem) {
  pthread_once(&once, find_devices);
  *problem = count == 0 && problem_text[0] ? problem_text : NULL;
  return count;
}

int ntk_cuda_built(void) { return 1; }

ntk_status ntk_cuda_device_describe(int id, ntk_cuda_device *out) {
  struct cudaDeviceProp prop;
  memset(out, 0, sizeof *out);
  NTK_CUDA_TRY(cudaGetDeviceProperties(&prop, id), "asking for the device's properties");
  out->id = id;
  snprintf(out->name, sizeof out->name, "%s", prop.name);
  out->major = prop.major, out->minor = prop.minor;
  out->multiprocessors = prop.multiProcessorCount;
  out->memory = prop.totalGlobalMem, out->shared_bytes = prop.sharedMemPerBlockOptin;
  return NTK_OK;
}

ntk_status ntk_cuda_tile_status(ntk_status status, const ntk_cuda_device *device, int64_t row, int64_t column) {
  if (status != NTK_ERROR_DEVICE) return status;
  char message[512];
  snprintf(message, sizeof message, "%s", ntk_last_error());
  return ntk_fail(status, "%s (device %d, %s, tile %lld, %lld); finished tiles are safe", message, device->id,
                  device->name, (long long)row, (long long)column);
}
