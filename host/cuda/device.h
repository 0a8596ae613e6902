/* Internal: the CUDA devices of this machine. A build without CUDA has none (none.c). */
#ifndef NTK_HOST_CUDA_DEVICE_H
#define NTK_HOST_CUDA_DEVICE_H

#include <ntk/status.h>
#include <stddef.h>
#include <stdint.h>

#include "host/gram/worker.h"

enum { NTK_CUDA_MOST_DEVICES = 16, NTK_CUDA_WORKERS = 3 /* of a device */ };

typedef struct ntk_cuda_device {
  int id;
  char name[256];
  int major, minor; /* compute capability */
  int multiprocessors;
  uint64_t memory;     /* bytes */
  size_t shared_bytes; /* that one block may have */
} ntk_cuda_device;

/* Number of visible devices, at most NTK_CUDA_MOST_DEVICES. With 0, *problem is NULL where there simply is no device
 * (or no CUDA in this build), else static text that says what is wrong with those that there are. */
int ntk_cuda_device_count(const char **problem);

/* Whether this build has code for a device. */
bool ntk_cuda_device_usable(const ntk_cuda_device *device);

/* 1 in a build with CUDA. */
int ntk_cuda_built(void);

/* NTK_OK, NTK_ERROR_DEVICE. */
ntk_status ntk_cuda_device_describe(int id, ntk_cuda_device *out);

/* Adds to the message of a CUDA error in a worker which tile it was; returns the status. */
ntk_status ntk_cuda_tile_status(ntk_status status, const ntk_cuda_device *device, int64_t row, int64_t column);

/* Workers of CUDA devices, for networks on images, for those in stages and for fully connected ones: index k serves the
 * context's device k modulo their number. */
extern const ntk_worker_ops ntk_cuda_worker_ops, ntk_cuda_stages_ops, ntk_cuda_connected_ops;

#endif
