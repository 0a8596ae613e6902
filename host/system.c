#include <ntk/system.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/backend/backend.h"
#include "host/context.h"
#include "host/regress/blas.h"
#include "host/status.h"

/* The model name of the first processor in /proc/cpuinfo. */
static const char *cpu_name(void) {
  static _Thread_local char name[128];
  FILE *file = fopen("/proc/cpuinfo", "r");
  char line[256];
  strcpy(name, "unknown");
  while (file && fgets(line, sizeof line, file)) {
    char *colon = strchr(line, ':');
    if (strncmp(line, "model name", 10) != 0 || !colon) continue;
    snprintf(name, sizeof name, "%s", colon + 2);
    name[strcspn(name, "\n")] = 0;
    break;
  }
  if (file) fclose(file);
  return name;
}

static const char *cuda_devices(void) {
  static _Thread_local char text[512];
  const char *problem;
  const int count = ntk_cuda_device_count(&problem);
  size_t length = 0;
  if (!ntk_cuda_built()) return "not built";
  if (count == 0) return problem ? problem : "no device";
  for (int k = 0; k < count && length < sizeof text; k++) {
    ntk_cuda_device device;
    if (ntk_cuda_device_describe(k, &device) != NTK_OK) continue;
    length += (size_t)snprintf(text + length, sizeof text - length, "%s%d: %s (sm_%d%d, %d multiprocessors, %.0f GiB)",
                               k ? "; " : "", k, device.name, device.major, device.minor, device.multiprocessors,
                               (double)device.memory / (1 << 30));
  }
  return text;
}

ntk_status ntk_system_query(ntk_system_info *info) {
  if (!info) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_system_query: info is NULL");
  long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  *info = (ntk_system_info) {
    .cpu = cpu_name(), .cores = ntk_cores(),
    .memory_bytes = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0, .isa = ntk_backend_find("auto")->name,
    .isas_built = ntk_backend_names(), .blas = ntk_blas_name(),
#if defined(__clang__)
    .compiler = "clang " __clang_version__,
#else
    .compiler = "GCC " __VERSION__,
#endif
    .cuda = cuda_devices(),
  };
  return NTK_OK;
}
