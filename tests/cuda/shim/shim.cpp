/* The lock-step machine and the memory of the stand-in device (cuda_runtime.h, cuda_runtime_api.h).
 *
 * A block's threads are coroutines, run one after another until each waits at a barrier; when all that must meet there
 * have arrived, they go on. Blocks run in order. */
#include <cuda_runtime.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <ucontext.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <vector>


thread_local ntk_shim_state *ntk_shim;

namespace {

enum class waiting { nothing, warp, block, finished };
enum { STACK = 128 * 1024, WARP = 32, POISON = 64 << 20 };

struct coroutine {
  ntk_shim_state state;
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  waiting at;
};

/* One operating-system thread's machine. */
struct machine {
  ucontext_t scheduler;
  std::vector<std::unique_ptr<coroutine>> threads;
  std::vector<uint64_t> slots; /* [warp][2][32] */
  const std::function<void()> *kernel;
  coroutine *running;
};
thread_local machine *current;

void start() {
  machine *m = current;
  (*m->kernel)();
  m->running->at = waiting::finished;
  setcontext(&m->scheduler);
}

void wait(waiting at) {
  machine *m = current;
  coroutine *self = m->running;
  self->at = at;
  swapcontext(&self->context, &m->scheduler);
}

[[noreturn]] void stuck(const machine &m) {
  fprintf(stderr, "shim: block (%u, %u) hangs: threads wait at different barriers:", m.threads[0]->state.block.x,
          m.threads[0]->state.block.y);
  for (const auto &t : m.threads) fprintf(stderr, " %d", (int)t->at);
  fprintf(stderr, "\n");
  abort();
}

/* Frees the threads whose barrier is complete; returns whether any can run. */
bool release(machine &m, size_t count) {
  bool all_block = true, any = false;
  for (size_t k = 0; k < count; k++)
    all_block = all_block && (m.threads[k]->at == waiting::block || m.threads[k]->at == waiting::finished);
  for (size_t first = 0; first < count; first += WARP) {
    bool warp = true;
    for (size_t k = first; k < first + WARP && k < count; k++) warp = warp && m.threads[k]->at == waiting::warp;
    for (size_t k = first; k < first + WARP && k < count; k++) {
      if ((warp || (all_block && m.threads[k]->at == waiting::block))) m.threads[k]->at = waiting::nothing, any = true;
    }
  }
  return any;
}

void run_block(machine &m, uint3 block, dim3 grid, dim3 threads, void *shared) {
  const size_t count = (size_t)threads.x * threads.y * threads.z;
  if (count % WARP != 0) {
    fprintf(stderr, "shim: %zu threads are not whole warps\n", count);
    abort();
  }
  while (m.threads.size() < count) {
    m.threads.push_back(std::make_unique<coroutine>());
    m.threads.back()->stack = std::make_unique<char[]>(STACK);
  }
  m.slots.resize(count * 2);
  for (size_t k = 0; k < count; k++) {
    coroutine &t = *m.threads[k];
    t.state.thread = {(unsigned)(k % threads.x), (unsigned)(k / threads.x % threads.y),
                      (unsigned)(k / threads.x / threads.y)};
    t.state.block = block, t.state.threads = threads, t.state.grid = grid;
    t.state.lane = (int)(k % WARP), t.state.shared = shared, t.state.shuffles = 0;
    t.state.slots = (uint64_t(*)[32])(m.slots.data() + k / WARP * 2 * WARP);
    t.at = waiting::nothing;
    getcontext(&t.context);
    t.context.uc_stack.ss_sp = t.stack.get();
    t.context.uc_stack.ss_size = STACK;
    t.context.uc_link = nullptr;
    makecontext(&t.context, start, 0);
  }
  for (;;) {
    bool finished = true;
    for (size_t k = 0; k < count; k++) {
      coroutine &t = *m.threads[k];
      if (t.at == waiting::nothing) {
        m.running = &t;
        ntk_shim = &t.state;
        swapcontext(&m.scheduler, &t.context);
      }
      finished = finished && t.at == waiting::finished;
    }
    if (finished) return;
    if (!release(m, count)) stuck(m);
  }
}

std::mutex lock;
std::map<void *, size_t> allocations;
size_t bytes_now, bytes_peak;
std::map<void *, size_t> pinned;
size_t pinned_now;
int fail_after = -1;

bool allocation_fails() {
  std::lock_guard<std::mutex> guard(lock);
  return fail_after >= 0 && fail_after-- == 0;
}

}  // namespace

namespace {

/* The number in an environment variable, or `otherwise`. */
long long setting(const char *name, long long otherwise) {
  const char *text = getenv(name);
  return text ? atoll(text) : otherwise;
}
size_t device_memory() { return (size_t)setting("NTK_SHIM_MEMORY", 4ll << 30); }
std::atomic<long long> launches;
std::atomic<bool> broken; /* a sticky error, as an illegal address is */
thread_local cudaError_t last_error = cudaSuccess;
std::map<const void *, size_t> attributes; /* dynamic shared memory that a function has been allowed */

/* Without leave a block has 48 KiB in all; no kernel declares more than 1 KiB besides the dynamic memory. */
size_t allowed_shared(const void *function) {
  std::lock_guard<std::mutex> guard(lock);
  const auto found = attributes.find(function);
  return found == attributes.end() ? 47 * 1024 : found->second;
}

}  // namespace

void ntk_shim_wait_block() { wait(waiting::block); }
void ntk_shim_wait_warp() { wait(waiting::warp); }

void ntk_shim_launch(const void *function, dim3 grid, dim3 threads, size_t shared,
                     const std::function<void()> &kernel) {
  const long long failing = setting("NTK_SHIM_FAIL_LAUNCH", -1);
  if (failing >= 0 && launches++ >= failing) broken = true;
  if (broken) return;
  const size_t threads_in_all = (size_t)threads.x * threads.y * threads.z;
  if (shared > allowed_shared(function) || threads_in_all > 1024 || grid.x == 0 || grid.y > 65535 || grid.z > 65535) {
    last_error = cudaErrorInvalidValue;
    return;
  }
  static thread_local machine own;
  machine *const outer = current;
  current = &own;
  own.kernel = &kernel;
  for (unsigned z = 0; z < grid.z; z++)
    for (unsigned y = 0; y < grid.y; y++)
      for (unsigned x = 0; x < grid.x; x++) {
        void *memory = nullptr; /* fresh for every block: nothing may depend on the block before */
        if (shared > 0 && posix_memalign(&memory, 16, shared) != 0) abort();
        if (memory) memset(memory, 0xff, shared);
        run_block(own, {x, y, z}, grid, threads, memory);
        free(memory);
      }
  current = outer;
}

extern "C" {

cudaError_t cudaGetDeviceCount(int *count) {
  const char *text = getenv("NTK_SHIM_DEVICES");
  *count = text ? atoi(text) : 1;
  return *count > 0 ? cudaSuccess : cudaErrorNoDevice;
}
cudaError_t cudaSetDevice(int device) {
  int count;
  return cudaGetDeviceCount(&count) == cudaSuccess && device >= 0 && device < count ? cudaSuccess
                                                                                   : cudaErrorInvalidDevice;
}
cudaError_t cudaGetDevice(int *device) { return *device = 0, cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *prop, int device) {
  memset(prop, 0, sizeof *prop);
  snprintf(prop->name, sizeof prop->name, "stand-in device %d", device);
  prop->totalGlobalMem = (size_t)4 << 30, prop->sharedMemPerBlockOptin = (size_t)setting("NTK_SHIM_SHARED", 227 * 1024);
  prop->major = 9, prop->minor = 0, prop->multiProcessorCount = 2;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrClockRate: *value = 1000000; break;
    case cudaDevAttrMultiProcessorCount: *value = 2; break;
    case cudaDevAttrComputeCapabilityMajor: *value = 9; break;
    case cudaDevAttrComputeCapabilityMinor: *value = 0; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = 227 * 1024; break;
    default: return cudaErrorInvalidValue;
  }
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int *version) { return *version = 13000, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int *version) { return *version = 13000, cudaSuccess; }
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes) {
  std::lock_guard<std::mutex> guard(lock);
  *total_bytes = device_memory();
  *free_bytes = *total_bytes - bytes_now;
  return cudaSuccess;
}
cudaError_t cudaMalloc(void **out, size_t bytes) {
  *out = nullptr;
  if (allocation_fails()) return cudaErrorMemoryAllocation;
  {
    std::lock_guard<std::mutex> guard(lock);
    if (bytes_now + bytes > device_memory()) return cudaErrorMemoryAllocation;
  }
  if (posix_memalign(out, 256, bytes ? bytes : 1) != 0) return cudaErrorMemoryAllocation;
  memset(*out, 0xff, bytes < POISON ? bytes : (size_t)POISON); /* NaN: memory of a device is not cleared */
  std::lock_guard<std::mutex> guard(lock);
  allocations[*out] = bytes;
  bytes_now += bytes;
  if (bytes_now > bytes_peak) bytes_peak = bytes_now;
  return cudaSuccess;
}
cudaError_t cudaFree(void *memory) {
  if (!memory) return cudaSuccess;
  std::lock_guard<std::mutex> guard(lock);
  auto found = allocations.find(memory);
  if (found == allocations.end()) return cudaErrorInvalidValue;
  bytes_now -= found->second;
  allocations.erase(found);
  free(memory);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned) {
  *out = nullptr;
  if (allocation_fails()) return cudaErrorMemoryAllocation;
  *out = malloc(bytes ? bytes : 1);
  if (!*out) return cudaErrorMemoryAllocation;
  std::lock_guard<std::mutex> guard(lock);
  pinned[*out] = bytes;
  pinned_now += bytes;
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void *memory) {
  std::lock_guard<std::mutex> guard(lock);
  if (memory) pinned_now -= pinned[memory], pinned.erase(memory);
  return free(memory), cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  if (bytes) memcpy(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind, cudaStream_t) {
  if (width > to_pitch || width > from_pitch) return cudaErrorInvalidValue;
  for (size_t k = 0; k < height; k++) memcpy((char *)to + k * to_pitch, (const char *)from + k * from_pitch, width);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t) {
  if (bytes) memset(to, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned) { return *out = nullptr, cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return broken ? cudaErrorIllegalAddress : cudaSuccess; }
cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaEventCreate(cudaEvent_t *out) {
  *out = (cudaEvent_t)calloc(1, sizeof(timespec));
  return *out ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  clock_gettime(CLOCK_MONOTONIC, (timespec *)event);
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  const timespec *a = (timespec *)begin, *b = (timespec *)end;
  *milliseconds = (float)(1e3 * (double)(b->tv_sec - a->tv_sec) + 1e-6 * (double)(b->tv_nsec - a->tv_nsec));
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) { return free(event), cudaSuccess; }
cudaError_t cudaFuncSetAttribute(const void *function, cudaFuncAttribute attribute, int value) {
  if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout)
    return value >= 0 && value <= 100 ? cudaSuccess : cudaErrorInvalidValue;
  if (value < 0 || value > setting("NTK_SHIM_SHARED", 227 * 1024) - 736) return cudaErrorInvalidValue;
  std::lock_guard<std::mutex> guard(lock);
  attributes[function] = (size_t)value;
  return cudaSuccess;
}
cudaError_t cudaGetLastError(void) {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}
const char *cudaGetErrorName(cudaError_t error) { return error == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation" : "cudaError"; }
const char *cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    case cudaErrorIllegalAddress: return "an illegal memory access was encountered";
    default: return "an error";
  }
}

void ntk_shim_fail_allocation(int after) {
  std::lock_guard<std::mutex> guard(lock);
  fail_after = after;
}
size_t ntk_shim_pinned_bytes(void) {
  std::lock_guard<std::mutex> guard(lock);
  return pinned_now;
}
size_t ntk_shim_device_bytes(int peak) {
  std::lock_guard<std::mutex> guard(lock);
  return peak ? bytes_peak : bytes_now;
}

}  // extern "C"
