/* Random features on a device, whole: rows/s from inputs in memory to features in memory, and how long the phases of
 * its streams took. One JSON list for tools/gpu-check. The argument divides the numbers of inputs. */
#include <ntk/ntk.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct problem {
  const char *net;
  ntk_shape shape;
  int64_t count;
  ntk_features_options options;
} problem;

static void fail(const char *what) {
  fprintf(stderr, "gpu_feature_rates: %s: %s\n", what, ntk_last_error());
  exit(1);
}

static void check(ntk_status status, const char *what) {
  if (status != NTK_OK) fail(what);
}

static void *take(size_t bytes) {
  void *memory = malloc(bytes);
  if (!memory) fail("no memory");
  return memory;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static size_t input_size(ntk_shape shape) {
  return (size_t)(shape.channels * (shape.height ? shape.height * shape.width : 1));
}

/* The best of some runs; the first one draws the random matrices and takes memory. */
static void measure(ntk_context *context, const problem *p, int64_t count, bool last) {
  enum { RUNS = 4 };
  static const char *const sketches[] = {"srht", "fourier", "count"};
  ntk_network *network;
  ntk_features *map;
  check(ntk_network_parse(p->net, &network), p->net);
  check(ntk_features_create(network, p->shape, &p->options, &map), p->net);
  const size_t size = input_size(p->shape), dim = (size_t)ntk_features_dim(map);
  double *x = take((size_t)count * size * sizeof *x), best = 0, first = 0;
  float *out = take((size_t)count * dim * sizeof *out);
  unsigned long long state = 1;
  for (size_t k = 0; k < (size_t)count * size; k++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    x[k] = (double)(state >> 11) / (1ull << 52) - 1;
  }
  ntk_features_times times = {0};
  for (int run = 0; run < RUNS; run++) {
    ntk_features_times own = {0};
    const double begin = now();
    check(ntk_features_compute(context, map, x, count, out, &own), p->net);
    const double seconds = now() - begin;
    if (run == 0) first = seconds;
    if (run == 1 || (run > 1 && seconds < best)) best = seconds, times = own;
  }
  const double device = times.products + times.units + times.sketches + times.sums;
  const double flops = ntk_features_cost_of(map).product_flops * (double)count;
  printf(
      "{\"network\": \"%s\", \"sketch\": \"%s\", \"polynomials\": %s, \"dim\": %zu, \"rows\": %lld, "
      "\"rows_per_second\": %.6g, \"first_seconds\": %.4g, \"seconds\": %.4g, \"input_seconds\": %.4g, "
      "\"product_share\": %.4g, \"unit_share\": %.4g, \"sketch_share\": %.4g, \"sum_share\": %.4g, "
      "\"product_flops_per_second\": %.4g}%s\n",
      p->net, sketches[p->options.sketch], p->options.method == NTK_FEATURES_SKETCH ? "true" : "false", dim,
      (long long)count, (double)count / best, first, best, times.input, times.products / device, times.units / device,
      times.sketches / device, times.sums / device, flops / best, last ? "" : ",");
  fflush(stdout);
  free(x), free(out);
  ntk_features_free(map);
  ntk_network_free(network);
}

int main(int count, char **arguments) {
  static const ntk_shape digits = {784, 0, 0}, cifar = {3, 32, 32};
  static const problem problems[] = {
      {"3*(dense relu) dense", digits, 100000, {.dim = 4096}},
      {"3*(dense relu) dense", digits, 50000, {.dim = 16384}},
      {"3*(dense relu) dense", digits, 50000, {.dim = 4096, .sketch = NTK_SKETCH_FOURIER}},
      {"3*(dense relu) dense", digits, 50000, {.dim = 4096, .sketch = NTK_SKETCH_COUNT}},
      {"2*(dense gelu) dense", digits, 50000, {.dim = 4096}},
      {"3*(dense relu) dense", digits, 10000, {.dim = 4096, .method = NTK_FEATURES_SKETCH}},
      {"3*(conv3 relu) gap", cifar, 2000, {.dim = 4096}},
      {"3*(conv3 relu) flatten", cifar, 2000, {.dim = 4096}},
      {"myrtle5", cifar, 2000, {.dim = 4096}},
  };
  const int64_t divisor = count > 1 ? atoll(arguments[1]) : 1;
  const size_t problem_count = sizeof problems / sizeof *problems;
  ntk_context *context;
  check(ntk_context_create(&context), "a context");
  check(ntk_context_set_memory(context, 4ull << 30), "memory");
  check(ntk_context_set_device(context, "cuda:0"), "a device");
  printf("[");
  for (size_t k = 0; k < problem_count; k++)
    measure(context, &problems[k], problems[k].count / (divisor > 0 ? divisor : 1) + 1, k + 1 == problem_count);
  printf("]\n");
  ntk_context_free(context);
  return 0;
}
