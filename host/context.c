#include "host/context.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/backend/backend.h"
#include "host/status.h"

static const uint64_t default_memory = 512ull << 20, least_memory = 16ull << 20;

int ntk_cores(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? (int)online : 1;
}

ntk_status ntk_context_create(ntk_context **out) {
  if (!out) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_context_create: out is NULL");
  ntk_context *context = calloc(1, sizeof *context);
  if (!context) return ntk_fail(NTK_ERROR_MEMORY, "no memory for a context");
  context->memory = default_memory;
  context->backend = ntk_backend_find("auto");
  const ntk_status status = ntk_context_set_device(context, "auto");
  *out = status == NTK_OK ? context : NULL;
  if (status != NTK_OK) free(context);
  return status;
}

void ntk_context_free(ntk_context *context) { free(context); }

ntk_status ntk_context_set_threads(ntk_context *context, int threads) {
  if (!context) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_context_set_threads: context is NULL");
  if (threads < 0 || threads > 1024)
    return ntk_fail(NTK_ERROR_ARGUMENT, "%d threads are impossible: choose 1 to 1024, or 0 for all cores", threads);
  context->threads = threads;
  return NTK_OK;
}

int ntk_context_threads(const ntk_context *context) {
  return context && context->threads > 0 ? context->threads : ntk_cores();
}

ntk_status ntk_context_set_memory(ntk_context *context, uint64_t bytes) {
  if (!context) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_context_set_memory: context is NULL");
  if (bytes < least_memory)
    return ntk_fail(NTK_ERROR_ARGUMENT, "a memory budget of %llu bytes is too small: give at least 16 MiB",
                    (unsigned long long)bytes);
  context->memory = bytes;
  return NTK_OK;
}

uint64_t ntk_context_memory(const ntk_context *context) { return context ? context->memory : default_memory; }

ntk_status ntk_context_set_isa(ntk_context *context, const char *isa) {
  if (!context || !isa) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_context_set_isa: a NULL pointer");
  const ntk_backend *backend = ntk_backend_find(isa);
  if (!backend)
    return ntk_fail(NTK_ERROR_ARGUMENT, "unknown instruction set '%s': this build has auto %s", isa,
                    ntk_backend_names());
  if (!ntk_backend_runs(backend))
    return ntk_fail(NTK_ERROR_DEVICE, "this machine has no %s: choose auto, which picks %s here", isa,
                    ntk_backend_find("auto")->name);
  context->backend = backend;
  return NTK_OK;
}

const char *ntk_context_isa(const ntk_context *context) { return ntk_context_backend(context)->name; }

const ntk_backend *ntk_context_backend(const ntk_context *context) {
  return context ? context->backend : ntk_backend_find("auto");
}

/* Devices whose results have the same bits: libraries may round otherwise even where only the number of
 * multiprocessors differs. */
static bool same_kind(const ntk_cuda_device *a, const ntk_cuda_device *b) {
  return a->major == b->major && a->minor == b->minor && a->multiprocessors == b->multiprocessors;
}

/* All devices that are like the first usable one: the bits of a value must not depend on which took its tile. */
static ntk_status find_devices(ntk_context *context, int count, int *chosen) {
  ntk_cuda_device first, other;
  for (int k = 0; k < count; k++) {
    NTK_TRY(ntk_cuda_device_describe(k, &other));
    if (*chosen == 0) first = other;
    if (ntk_cuda_device_usable(&other) && same_kind(&first, &other)) context->devices[(*chosen)++] = k;
  }
  return NTK_OK;
}

/* The devices of "N,M,...". */
static ntk_status read_devices(ntk_context *context, const char *text, int count, int *chosen) {
  for (const char *at = text; *at;) {
    char *end;
    const long id = strtol(at, &end, 10);
    if (end == at || (*end != ',' && *end) || (*end == ',' && !end[1]))
      return ntk_fail(NTK_ERROR_ARGUMENT, "bad device list '%s': write cuda:0 or cuda:0,1", text);
    if (id < 0 || id >= count)
      return ntk_fail(NTK_ERROR_DEVICE, "there is no CUDA device %ld: this machine has %d, counted from 0", id, count);
    for (int k = 0; k < *chosen; k++)
      if (context->devices[k] == id) return ntk_fail(NTK_ERROR_ARGUMENT, "CUDA device %ld is named twice", id);
    context->devices[(*chosen)++] = (int)id;
    at = *end ? end + 1 : end;
  }
  return NTK_OK;
}

/* Devices by text, or all with an empty one. */
static ntk_status choose_devices(ntk_context *context, const char *text, int count) {
  ntk_cuda_device first, other;
  int chosen = 0;
  NTK_TRY(*text ? read_devices(context, text, count, &chosen) : find_devices(context, count, &chosen));
  NTK_TRY(ntk_cuda_device_describe(context->devices[0], &first));
  for (int k = 0; k < chosen; k++) {
    NTK_TRY(ntk_cuda_device_describe(context->devices[k], &other));
    if (!ntk_cuda_device_usable(&other))
      return ntk_fail(NTK_ERROR_DEVICE,
                      "CUDA device %d (sm_%d%d) is older than what this build has code for: rebuild "
                      "with its CMAKE_CUDA_ARCHITECTURES, or use --device cpu",
                      other.id, other.major, other.minor);
    if (!same_kind(&first, &other))
      return ntk_fail(NTK_ERROR_DEVICE, "CUDA devices %d (%s) and %d (%s) may round differently: choose one kind",
                      first.id, first.name, other.id, other.name);
  }
  context->device_count = chosen;
  snprintf(context->engine, sizeof context->engine, "cuda sm_%d%d", first.major % 100, first.minor % 10);
  size_t length = (size_t)snprintf(context->device_text, sizeof context->device_text, "cuda:");
  for (int k = 0; k < chosen && length < sizeof context->device_text; k++)
    length += (size_t)snprintf(context->device_text + length, sizeof context->device_text - length, "%s%d",
                               k ? "," : "", context->devices[k]);
  return NTK_OK;
}

ntk_status ntk_context_set_device(ntk_context *context, const char *device) {
  if (!context || !device) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_context_set_device: a NULL pointer");
  const bool automatic = strcmp(device, "auto") == 0, cuda = strncmp(device, "cuda", 4) == 0;
  if (!automatic && strcmp(device, "cpu") != 0 &&
      (!cuda || (device[4] && device[4] != ':') || !strcmp(device, "cuda:")))
    return ntk_fail(NTK_ERROR_ARGUMENT, "unknown device '%s': use auto, cpu, cuda, or cuda:N[,M...]", device);
  const char *problem = NULL;
  const int count = automatic || cuda ? ntk_cuda_device_count(&problem) : 0;
  context->device_count = 0;
  snprintf(context->device_text, sizeof context->device_text, "cpu");
  if (cuda && !ntk_cuda_built())
    return ntk_fail(NTK_ERROR_DEVICE, "this build has no CUDA: rebuild with nvcc installed, or use --device cpu");
  if (cuda && count == 0)
    return ntk_fail(NTK_ERROR_DEVICE, "%s: use --device cpu", problem ? problem : "this machine has no CUDA device");
  if (count > 0) return choose_devices(context, cuda && device[4] ? device + 5 : "", count);
  return NTK_OK;
}

const char *ntk_context_device(const ntk_context *context) {
  return context && context->device_count > 0 ? context->device_text : "cpu";
}

const char *ntk_context_device_problem(const ntk_context *context) {
  const char *problem = NULL;
  if (!context || context->device_count > 0) return NULL;
  ntk_cuda_device_count(&problem);
  return problem;
}

const char *ntk_context_engine(const ntk_context *context) {
  return ntk_context_uses_cuda(context) ? context->engine : ntk_context_isa(context);
}

bool ntk_context_uses_cuda(const ntk_context *context) { return context && context->device_count > 0; }

void ntk_context_set_progress(ntk_context *context, ntk_progress_fn callback, void *user) {
  if (!context) return;
  context->progress = callback;
  context->progress_user = user;
}

void ntk_context_cancel(ntk_context *context) {
  if (context) atomic_store(&context->cancelled, 1);
}
