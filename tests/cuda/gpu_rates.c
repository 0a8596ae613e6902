/* What the plane kernels do by themselves, timed by events on the device: no transfers, no host. One JSON list; rows
 * are network, size and kernel with pairs/s and entry-layers/s (the best of some runs), for tools/gpu-check. The
 * argument is the pairs of the first, trying run. */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/cuda/call.h"
#include "host/cuda/plane.h"
#include "host/gram/plan.h"
#include "host/gram/tiles.h"

enum { IMAGES = 256, CHANNELS = 3, RUNS = 5, MOST_PAIRS = IMAGES * IMAGES };

typedef struct bench {
  ntk_plan *plan;
  ntk_cuda_plane plane;
  void *plane_memory;
  ntk_cuda_pairs pairs;
  cudaStream_t stream;
  cudaEvent_t begin, end;
} bench;

static void fail(const char *what) {
  fprintf(stderr, "gpu_rates: %s: %s\n", what, ntk_last_error());
  exit(1);
}

static void check(int error, const char *what) {
  if (error != cudaSuccess) ntk_cuda_failed(error, what), fail(what);
}

static void *take(size_t bytes) {
  void *memory;
  check(cudaMalloc(&memory, bytes), "device memory");
  return memory;
}

/* Images of noise, prepared. */
static void prepare(bench *b) {
  const size_t size = ntk_plan_input_size(b->plan), bytes = IMAGES * size * sizeof(double);
  double *const pixels = malloc(bytes), *const on_device = take(bytes);
  uint64_t state = 1;
  if (!pixels) fail("no memory");
  for (size_t k = 0; k < IMAGES * size; k++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    pixels[k] = (double)(state >> 11) / (1ull << 52) - 1;
  }
  ntk_cuda_images *const x = &b->pairs.x;
  x->stride = ntk_cuda_plane_f32.image_reals(&b->plane);
  x->tables = take(IMAGES * x->stride * sizeof(float));
  x->exponent = take(IMAGES * sizeof(int)), x->flat = take(IMAGES * sizeof(int));
  check(cudaMemcpyAsync(on_device, pixels, bytes, cudaMemcpyHostToDevice, b->stream), "copying images");
  check(ntk_cuda_plane_f32.prepare(&b->plane, on_device, IMAGES, x, b->stream), "preparing images");
  check(cudaStreamSynchronize(b->stream), "preparing images");
  b->pairs.z = *x;
  cudaFree(on_device);
  free(pixels);
}

/* All pairs, in tiles of 16 x 16 as neighbouring blocks would share their images. */
static void list_pairs(bench *b, int most) {
  ntk_cuda_pair *const list = malloc((size_t)most * sizeof *list), *const on_device = take((size_t)most * sizeof *list);
  if (!list) fail("no memory");
  for (int k = 0; k < most; k++) {
    const int tile = k / 256 % (MOST_PAIRS / 256), place = k % 256;
    list[k] = (ntk_cuda_pair){tile / 16 * 16 + place / 16, tile % 16 * 16 + place % 16};
  }
  check(cudaMemcpyAsync(on_device, list, (size_t)most * sizeof *list, cudaMemcpyHostToDevice, b->stream), "pairs");
  check(cudaStreamSynchronize(b->stream), "pairs");
  b->pairs.list = on_device;
  free(list);
}

static double seconds(bench *b, int count) {
  float milliseconds;
  b->pairs.count = count;
  check(cudaEventRecord(b->begin, b->stream), "an event");
  check(ntk_cuda_plane_f32.pairs(&b->plane, &b->pairs, b->stream), "a kernel");
  check(cudaEventRecord(b->end, b->stream), "an event");
  check(cudaStreamSynchronize(b->stream), "a kernel");
  check(cudaEventElapsedTime(&milliseconds, b->begin, b->end), "an event");
  return milliseconds / 1e3;
}

static void open_bench(bench *b, const char *net, int size, int kernels, int most) {
  ntk_network *network;
  ntk_cuda_device device;
  const ntk_plan_options options = {.kernels = kernels};
  if (ntk_network_parse(net, &network) != NTK_OK) fail(net);
  if (ntk_plan_create(network, (ntk_shape){CHANNELS, size, size}, &options, &b->plan) != NTK_OK) fail(net);
  ntk_network_free(network);
  if (ntk_cuda_device_describe(0, &device) != NTK_OK) fail("device 0");
  check(cudaStreamCreateWithFlags(&b->stream, cudaStreamNonBlocking), "a stream");
  check(cudaEventCreate(&b->begin), "an event"), check(cudaEventCreate(&b->end), "an event");
  if (ntk_cuda_plane_create(b->plan, &device, b->stream, &b->plane, &b->plane_memory) != NTK_OK) fail(net);
  const size_t outputs = ntk_plan_sums(b->plan), groups = (size_t)b->plane.group_count, pairs = (size_t)most;
  b->pairs.partial = take(pairs * groups * outputs * sizeof(double));
  b->pairs.sums = take(pairs * outputs * sizeof(double)), b->pairs.risk = take(pairs * sizeof(float));
  b->pairs.partial_risk = take(pairs * groups * 8 * sizeof(float));
  prepare(b);
  list_pairs(b, most);
}

static void close_bench(bench *b) {
  void *const used[] = {b->plane_memory,   b->pairs.partial,      b->pairs.sums,
                        b->pairs.risk,     b->pairs.partial_risk, (void *)b->pairs.list,
                        b->pairs.x.tables, b->pairs.x.exponent,   b->pairs.x.flat};
  for (size_t k = 0; k < sizeof used / sizeof *used; k++) cudaFree(used[k]);
  cudaEventDestroy(b->begin), cudaEventDestroy(b->end);
  cudaStreamDestroy(b->stream);
  ntk_plan_free(b->plan);
}

int main(int argc, char **argv) {
  static const struct {
    const char *readout;
    int most;
  } readouts[] = {{"gap", 4096}, {"lap(4)", 16384}, {"lap(1)", MOST_PAIRS}, {"flatten", MOST_PAIRS}};
  static const int sizes[] = {32, 28};
  const int wanted = argc > 1 ? atoi(argv[1]) : 64, first = wanted > 0 && wanted < 4096 ? wanted : 64;
  const double enough = argc > 1 ? 0 : 0.1;
  printf("[");
  for (size_t s = 0; s < 2; s++)
    for (size_t r = 0; r < sizeof readouts / sizeof *readouts; r++)
      for (int gp = 0; gp < 2; gp++) {
        bench b = {0};
        char net[64];
        snprintf(net, sizeof net, "20*(conv3 relu) %s", readouts[r].readout);
        open_bench(&b, net, sizes[s], gp ? NTK_KERNEL_NNGP : NTK_KERNEL_NTK, readouts[r].most);
        int count = first;
        while (seconds(&b, count) < enough && count * 2 <= readouts[r].most) count *= 2;
        double best = seconds(&b, count);
        for (int k = 1; k < RUNS; k++) {
          const double again = seconds(&b, count);
          if (again < best) best = again;
        }
        const double rate = count / best;
        printf(
            "%s\n{\"network\": \"%s\", \"size\": %d, \"kernel\": \"%s\", \"pairs\": %d, \"pairs_per_second\": %.6g, "
            "\"entry_layers_per_second\": %.6g}",
            s + r + (size_t)gp ? "," : "", net, sizes[s], gp ? "nngp" : "ntk", count, rate,
            rate * (double)b.plan->entries * b.plan->activation_layers);
        fflush(stdout);
        close_bench(&b);
      }
  printf("\n]\n");
  return 0;
}
