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

/* Takes the devices of "N,M,...", or with an empty text all of the first one's kind: others might round otherwise, and
 * the bits of a value must not depend on which device took its tile. */
static ntk_status choose_devices(ntk_context *context, const char *text, int count) {
  ntk_cuda_device first, other;
  int chosen = 0;
  for (int k = 0; !*text && k < count; k++) {
    NTK_TRY(ntk_cuda_device_describe(k, k ? &other : &first));
    if (k == 0 || (other.major == first.major && other.minor == first.minor)) context->devices[chosen++] = k;
  }
  for (const char *at = text; *at;) {
    char *end;
    const long id = strtol(at, &end, 10);
    if (end == at || (*end != ',' && *end) || (*end == ',' && !end[1]))
      return ntk_fail(NTK_ERROR_ARGUMENT, "bad device list '%s': write cuda:0 or cuda:0,1", text);
    if (id < 0 || id >= count)
      return ntk_fail(NTK_ERROR_DEVICE, "there is no CUDA device %ld: this machine has %d, counted from 0", id, count);
    for (int k = 0; k < chosen; k++)
      if (context->devices[k] == id) return ntk_fail(NTK_ERROR_ARGUMENT, "CUDA device %ld is named twice", id);
    context->devices[chosen++] = (int)id;
    at = *end ? end + 1 : end;
  }
  NTK_TRY(ntk_cuda_device_describe(context->devices[0], &first));
  for (int k = 1; k < chosen; k++) {
    NTK_TRY(ntk_cuda_device_describe(context->devices[k], &other));
    if (other.major != first.major || other.minor != first.minor)
      return ntk_fail(NTK_ERROR_DEVICE,
                      "CUDA devices %d (sm_%d%d) and %d (sm_%d%d) may round differently: choose one kind",
                      context->devices[0], first.major, first.minor, context->devices[k], other.major, other.minor);
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
  context->device_count = 0, context->insist = cuda;
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
