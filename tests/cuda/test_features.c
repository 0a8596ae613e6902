/* Feature maps on a CUDA device against the CPU's, which are the reference: both draw the same random numbers, so that
 * features agree to float32 rounding, not only in the kernels that they estimate. */
#include <criterion/criterion.h>
#include <cuda_runtime_api.h>
#include <math.h>
#include <ntk/ntk.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/features/features.h"
#include "kernels/cuda/feature_cuda.h"

typedef struct problem {
  const char *net;
  ntk_shape shape;
  int count; /* inputs */
  ntk_features_options options;
} problem;

static double *noise(size_t count) {
  double *x = malloc(count * sizeof *x);
  unsigned long long state = 1;
  cr_assert(x);
  for (size_t k = 0; k < count; k++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    x[k] = (double)(state >> 11) / (1ull << 52) - 1;
  }
  return x;
}

static size_t input_size(ntk_shape shape) {
  return (size_t)(shape.channels * (shape.height ? shape.height * shape.width : 1));
}

static ntk_features *map_of(const problem *p) {
  ntk_network *network;
  ntk_features *map;
  cr_assert_eq(ntk_network_parse(p->net, &network), NTK_OK, "%s", ntk_last_error());
  cr_assert_eq(ntk_features_create(network, p->shape, &p->options, &map), NTK_OK, "%s: %s", p->net, ntk_last_error());
  ntk_network_free(network);
  return map;
}

static ntk_context *context_of(const char *device) {
  ntk_context *context;
  cr_assert_eq(ntk_context_create(&context), NTK_OK);
  cr_assert_eq(ntk_context_set_threads(context, 2), NTK_OK);
  cr_assert_eq(ntk_context_set_memory(context, 1ull << 30), NTK_OK);
  cr_assert_eq(ntk_context_set_device(context, device), NTK_OK, "%s", ntk_last_error());
  return context;
}

/* Features of inputs [from, to) into their rows of `out`. */
static void compute(const char *device, const ntk_features *map, const double *x, int from, int to, float *out) {
  ntk_context *context = context_of(device);
  ntk_features_times times = {0};
  const size_t size = input_size(ntk_features_shape(map)), dim = (size_t)ntk_features_dim(map);
  cr_assert_eq(ntk_features_compute(context, map, x + (size_t)from * size, to - from, out + (size_t)from * dim, &times),
               NTK_OK, "%s: %s: %s", device, ntk_features_network_text(map), ntk_last_error());
  cr_expect(times.input > 0 && times.draw >= 0 && times.products >= 0 && times.units >= 0 && times.sums >= 0);
  ntk_context_free(context);
}

static float *compute_all(const char *device, const problem *p) {
  ntk_features *map = map_of(p);
  double *x = noise((size_t)p->count * input_size(p->shape));
  float *out = malloc((size_t)p->count * (size_t)ntk_features_dim(map) * sizeof *out);
  cr_assert(out);
  compute(device, map, x, 0, p->count, out);
  free(x);
  ntk_features_free(map);
  return out;
}

/* The largest difference of a row, over its norm. */
static double row_error(const float *got, const float *want, size_t dim) {
  double error = 0, square = 0;
  for (size_t k = 0; k < dim; k++) {
    const double difference = fabs((double)got[k] - (double)want[k]);
    if (!(difference <= error)) error = difference;
    square += (double)want[k] * (double)want[k];
  }
  return square > 0 ? error / sqrt(square) : error;
}

/* Every row within float32 rounding of the CPU's. Where s or s' has a step at 0, a unit within rounding of 0 may fall
 * on the other side of it and carry its row along, a unit of some hundred; with a million units to a case that happens
 * at most once. */
static void agree(const problem *p) {
  const ntk_features_options *o = &p->options;
  const bool steps =
      o->method == NTK_FEATURES_RANDOM && (strstr(p->net, "relu") || strstr(p->net, "abs") || strstr(p->net, "leaky") ||
                                           strstr(p->net, "selu") || strstr(p->net, "sign"));
  ntk_features *map = map_of(p);
  const size_t dim = (size_t)ntk_features_dim(map);
  ntk_features_free(map);
  float *want = compute_all("cpu", p), *got = compute_all("cuda", p);
  int outside = 0;
  double worst = 0, largest = 0;
  for (int i = 0; i < p->count; i++) {
    const double error = row_error(got + (size_t)i * dim, want + (size_t)i * dim, dim);
    for (size_t k = 0; k < dim; k++) largest = fmax(largest, fabs(want[(size_t)i * dim + k]));
    if (steps && error > 1e-5 && error < 0.3)
      outside++;
    else if (!(error <= worst))
      worst = error;
  }
  cr_expect_leq(worst, 1e-5, "%s, sketch %d, sampling %d, dim %d: error %.2g", p->net, (int)o->sketch, (int)o->sampling,
                (int)o->dim, worst);
  cr_expect_leq(outside, 1, "%s, sketch %d: %d rows of %d differ", p->net, (int)o->sketch, outside, p->count);
  cr_expect(largest > 0, "%s: nothing but zeros", p->net);
  free(want), free(got);
}

static const ntk_shape vector = {11, 0, 0}, image = {3, 6, 5};

/* ---- networks ---- */

Test(cuda_features, small) {
  const problem dense = {"dense relu dense(b=0.2) relu dense", vector, 9, {.dim = 64}};
  const problem conv = {"conv3 relu avgpool2 conv3 relu gap dense", image, 3, {.dim = 64}};
  agree(&dense);
  agree(&conv);
}

/* The published maps, whose steps are applied where the sketch reads them. */
Test(cuda_features, plain) {
  for (int sketch = NTK_SKETCH_SRHT; sketch <= NTK_SKETCH_COUNT; sketch++) {
    const ntk_features_options options = {.dim = 96, .plain = true, .sketch = (ntk_sketch)sketch};
    const problem dense = {"2*(dense relu) dense leaky(0.2) dense", vector, 9, options};
    const problem conv = {"conv3 relu avgpool2 conv3 relu gap", image, 3, options};
    agree(&dense);
    agree(&conv);
  }
  const problem sketched = {
      "2*(dense relu) dense", vector, 4, {.method = NTK_FEATURES_SKETCH, .plain = true, .dim = 70}};
  agree(&sketched);
}

Test(cuda_features, connected) {
  static const char *const nets[] = {
      "3*(dense(W=1.2, b=0.3) relu) dense(b=0.1)",
      "dense leaky(0.2) dense(fixed) abs dense",
      "dense(fixed) relu dense(fixed) relu dense",
      "dense sum(id | relu dense(b=0.1)) relu dense",
      "dense(width=11) relu dense(width=32, b=0.2) abrelu(-0.3, 1.1) dense",
      "dense",
  };
  for (size_t k = 0; k < sizeof nets / sizeof *nets; k++)
    for (int sketch = NTK_SKETCH_SRHT; sketch <= NTK_SKETCH_COUNT; sketch++) {
      const problem p = {nets[k], vector, 17, {.dim = 90, .sketch_dim = 54, .sketch = (ntk_sketch)sketch, .seed = k}};
      agree(&p);
    }
}

Test(cuda_features, images) {
  static const char *const nets[] = {
      "2*(conv3 relu) gap",
      "2*(conv3(b=0.2) relu) flatten dense",
      "conv3(circular) relu conv3(same, stride=2) relu gap dense relu dense",
      "conv3(valid) relu conv1(b=0.3) relu lap(1)",
      "conv3 relu avgpool2 conv3(fixed) relu flatten dense(b=0.1)",
      "conv3 sum(id | relu conv3(b=0.1)) relu avgpool2 conv3 relu gap",
      "conv3 sum(conv1(stride=2, same) | relu conv3(stride=2, same) relu conv3) relu gap dense",
      "conv3 relu avgpool3(same, stride=1, normalized) conv3 relu gap",
      "conv3(circular) relu avgpool3(circular, stride=1) conv1 relu lap(1, circular)",
      "flatten dense relu dense",
  };
  for (size_t k = 0; k < sizeof nets / sizeof *nets; k++) {
    const problem p = {nets[k], image, 3, {.dim = 80, .seed = k, .sketch = (ntk_sketch)(k % 3)}};
    agree(&p);
  }
}

/* Long patches: sketches of sums, with rotations and signs. */
Test(cuda_features, sketched_patches) {
  const problem patches = {"conv5 relu conv3 relu conv3 relu gap", {4, 6, 6}, 2, {.dim = 300}};
  const problem flat = {"conv3 relu flatten dense relu dense", {4, 6, 6}, 2, {.dim = 200}};
  const problem sums = {"conv3 2*sum(id | relu conv3 relu conv3) relu gap", {4, 5, 5}, 2, {.dim = 120}};
  agree(&patches);
  agree(&flat);
  agree(&sums);
}

Test(cuda_features, units) {
  static const char *const names[] = {"leaky(0.2)",   "abrelu(-0.3, 1.1)",
                                      "abs",          "erf",
                                      "gelu",         "sin(a=1.2, b=0.8)",
                                      "cos",          "rbf(gamma=0.7)",
                                      "exp(b=0.3)",   "sign",
                                      "hermite(4)",   "monomial(3)",
                                      "tanh",         "sigmoid",
                                      "silu",         "softplus",
                                      "elu",          "selu",
                                      "expnorm(g=2)", "series(0.3, -1, 0.5)"};
  for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
    char text[200];
    snprintf(text, sizeof text, "dense(W=1.1, b=0.2) %s dense(W=1.1, b=0.3) %s dense", names[k], names[k]);
    const problem p = {text, vector, 12, {.dim = 60, .seed = k}};
    agree(&p);
  }
  const problem pixels = {"conv3 expnorm avgpool2 conv3 gelu gap dense", image, 2, {.dim = 60}};
  agree(&pixels);
}

/* Zeros: norms of 0, and steps at 0. */
Test(cuda_features, zeros) {
  static const char *const nets[] = {"dense relu dense", "dense expnorm dense", "dense sign dense relu dense"};
  for (int k = 0; k < 3; k++)
    for (int method = 0; method < 2; method++) {
      double x[2 * 11] = {0};
      float want[2 * 64] = {0}, got[2 * 64] = {0};
      const problem p = {nets[k], vector, 2, {.dim = 40, .method = (ntk_feature_method)method}};
      ntk_features *map = map_of(&p);
      cr_assert_leq(ntk_features_dim(map), 64);
      x[11] = 1;
      compute("cpu", map, x, 0, 2, want);
      compute("cuda", map, x, 0, 2, got);
      const size_t dim = (size_t)ntk_features_dim(map);
      for (size_t i = 0; i < 2; i++)
        cr_expect_leq(row_error(got + i * dim, want + i * dim, dim), 1e-5, "%s, row %zu", nets[k], i);
      ntk_features_free(map);
    }
}

Test(cuda_features, sampling) {
  for (int sampling = NTK_SAMPLING_GAUSSIAN; sampling <= NTK_SAMPLING_GIBBS; sampling++) {
    const ntk_features_options options = {.dim = 96, .sampling = (ntk_sampling)sampling, .seed = 1ull << 40};
    const problem dense = {"3*(dense relu) dense", vector, 10, options};
    const problem conv = {"conv3 leaky(0.1) conv3 relu gap", image, 2, options};
    agree(&dense);
    agree(&conv);
  }
}

Test(cuda_features, polynomials) {
  static const char *const nets[] = {"2*(dense relu) dense(b=0.3)", "dense(b=0.2) leaky(0.2) dense abs dense",
                                     "dense expnorm(g=1.5) dense sign dense", "conv3 relu conv3 relu gap"};
  static const int degrees[] = {0, 1, 7, 13};
  for (int k = 0; k < 4; k++)
    for (int d = 0; d < (k == 0 ? 4 : 1); d++) {
      const problem p = {
          nets[k],
          k == 3 ? image : vector,
          k == 3 ? 1 : 4,
          {.method = NTK_FEATURES_SKETCH, .dim = 70, .degree = degrees[d], .sketch = (ntk_sketch)(k % 3), .seed = 5}};
      agree(&p);
    }
}

Test(cuda_features, gaussian_process) {
  const ntk_features_options options = {.dim = 70, .kernel = NTK_KERNEL_NNGP};
  const problem dense = {"2*(dense(b=0.1) relu) dense", vector, 10, options};
  const problem conv = {"conv3 relu conv3 gelu gap dense", image, 2, options};
  agree(&dense);
  agree(&conv);
}

/* ---- transforms ---- */

static void *on_device(const void *from, size_t bytes) {
  void *memory = NULL;
  cr_assert_eq(cudaMalloc(&memory, bytes), cudaSuccess);
  cr_assert_eq(cudaMemcpyAsync(memory, from, bytes, cudaMemcpyHostToDevice, NULL), cudaSuccess);
  cr_assert_eq(cudaStreamSynchronize(NULL), cudaSuccess);
  return memory;
}

/* Hadamard transforms of every size, in one piece and in several, against the CPU's. */
static void transform_agrees(int dim, int size, size_t shared_most) {
  double *x = noise((size_t)dim);
  float *row = malloc((size_t)dim * sizeof *row), *want = NULL, *got = malloc((size_t)size * sizeof *got);
  int8_t *sign = malloc((size_t)dim);
  int32_t *samples = malloc((size_t)size * sizeof *samples);
  cr_assert(row && got && sign && samples && posix_memalign((void **)&want, 64, (size_t)size * sizeof *want) == 0);
  for (int k = 0; k < dim; k++) row[k] = (float)x[k], sign[k] = k * 7 % 3 ? 1 : -1;
  for (int k = 0; k < size; k++) samples[k] = (int32_t)((k * 13ll + 5) % size);
  ntk_feature_hadamard h = {dim, size, sign};
  ntk_feature_baseline.hadamard(&h, row, want);
  ntk_cuda_rows in = {on_device(row, (size_t)dim * sizeof *row), 0};
  ntk_cuda_rows out = {on_device(got, (size_t)size * sizeof *got), 0};
  h.sign = on_device(sign, (size_t)dim);
  const ntk_cuda_hadamard p = {
      .transform = h, .samples = on_device(samples, (size_t)size * sizeof *samples), .count = size, .scale = 1};
  cr_assert_eq(ntk_cuda_feature_hadamard(&p, in, out, 1, shared_most, NULL), cudaSuccess, "size %d", size);
  cr_assert_eq(cudaMemcpyAsync(got, out.at, (size_t)size * sizeof *got, cudaMemcpyDeviceToHost, NULL), cudaSuccess);
  cr_assert_eq(cudaStreamSynchronize(NULL), cudaSuccess);
  double worst = 0;
  for (int k = 0; k < size; k++) {
    const double error = fabs((double)got[k] - (double)want[samples[k]]) / sqrt(dim);
    if (!(error <= worst)) worst = error;
  }
  cr_expect_leq(worst, 3e-6, "size %d, %zu bytes: error %.2g", size, shared_most, worst);
  cudaFree(in.at), cudaFree(out.at), cudaFree((void *)h.sign), cudaFree((void *)p.samples);
  free(x), free(row), free(want), free(got), free(sign), free(samples);
}

Test(cuda_features, hadamard) {
  struct cudaDeviceProp prop;
  cr_assert_eq(cudaGetDeviceProperties(&prop, 0), cudaSuccess);
  for (int size = 1; size <= 1 << 17; size *= 2)
    transform_agrees(size > 2 ? size - size / 3 : size, size, prop.sharedMemPerBlockOptin);
  for (int size = 256; size <= 1 << 13; size *= 2) transform_agrees(size - 1, size, 7 << 10);
}

/* ---- batches ---- */

static const problem many[] = {
    {"2*(dense(b=0.1) relu) dense", {11, 0, 0}, 23, {.dim = 64}},
    {"conv3 relu avgpool2 conv3 expnorm gap dense relu dense", {3, 6, 5}, 7, {.dim = 64, .sketch = NTK_SKETCH_FOURIER}},
    {"conv3 relu conv3 relu flatten", {3, 4, 5}, 5, {.dim = 64, .sketch = NTK_SKETCH_COUNT}},
};

/* The features of an input have the same bits alone, in any company, in any order of calls, on any number of devices.
 */
Test(cuda_features, batches) {
  for (size_t k = 0; k < sizeof many / sizeof *many; k++) {
    const problem *p = &many[k];
    ntk_features *map = map_of(p);
    const size_t bytes = (size_t)p->count * (size_t)ntk_features_dim(map) * sizeof(float);
    double *x = noise((size_t)p->count * input_size(p->shape));
    float *want = compute_all("cuda", p), *got = malloc(bytes);
    cr_assert(got);
    compute("cuda", map, x, 3, p->count, got);
    compute("cuda", map, x, 2, 3, got);
    compute("cuda", map, x, 0, 2, got);
    cr_expect_eq(memcmp(got, want, bytes), 0, "%s: other batches, other bits", p->net);
    ntk_features_free(map);
    free(x), free(want), free(got);
  }
}

/* Inputs of a data set, not from its first one on, as files of features have them. */
Test(cuda_features, data) {
  const problem *p = &many[1];
  ntk_features *map = map_of(p);
  ntk_dataset *data;
  ntk_context *context = context_of("cuda");
  const size_t dim = (size_t)ntk_features_dim(map);
  double *x = noise((size_t)p->count * input_size(p->shape));
  float *want = compute_all("cuda", p), *got = malloc((size_t)p->count * dim * sizeof *got);
  cr_assert_eq(ntk_dataset_from_memory(x, NULL, p->count, p->shape, &data), NTK_OK, "%s", ntk_last_error());
  cr_assert_eq(ntk_features_run(context, map, (ntk_feature_source){data, NULL}, 2, p->count - 2, got, NULL), NTK_OK,
               "%s", ntk_last_error());
  cr_expect_eq(memcmp(got, want + 2 * dim, (size_t)(p->count - 2) * dim * sizeof *got), 0);
  ntk_dataset_free(data);
  ntk_context_free(context);
  ntk_features_free(map);
  free(x), free(want), free(got);
}

typedef struct user {
  const ntk_features *map;
  const double *x;
  float *out;
  int count;
} user;

static void *use(void *argument) {
  const user *u = argument;
  for (int k = 0; k < 3; k++) compute("cuda", u->map, u->x, k, u->count, u->out);
  return NULL;
}

/* One map shared by several threads. */
Test(cuda_features, threads) {
  enum { USERS = 3 };
  const problem *p = &many[2];
  ntk_features *map = map_of(p);
  const size_t dim = (size_t)ntk_features_dim(map);
  double *x = noise((size_t)p->count * input_size(p->shape));
  float *want = compute_all("cuda", p);
  user users[USERS];
  pthread_t threads[USERS];
  for (int k = 0; k < USERS; k++) {
    users[k] = (user){map, x, malloc((size_t)p->count * dim * sizeof(float)), p->count};
    cr_assert_eq(pthread_create(&threads[k], NULL, use, &users[k]), 0);
  }
  for (int k = 0; k < USERS; k++) {
    cr_assert_eq(pthread_join(threads[k], NULL), 0);
    cr_expect_eq(memcmp(users[k].out, want, (size_t)p->count * dim * sizeof *want), 0, "user %d", k);
    free(users[k].out);
  }
  ntk_features_free(map);
  free(x), free(want);
}

#ifndef NTK_TESTS_CUDA_SHIM_RUNTIME_API_H

/* Several full matrix products, which the stand-in would take minutes for: every place in one gives the same bits. */
Test(cuda_features, many_rows) {
  const problem p = {"2*(dense(b=0.1) relu) dense", {784, 0, 0}, 20000, {.dim = 4096}};
  ntk_features *map = map_of(&p);
  const size_t bytes = (size_t)p.count * (size_t)ntk_features_dim(map) * sizeof(float);
  double *x = noise((size_t)p.count * input_size(p.shape));
  float *want = malloc(bytes), *got = malloc(bytes);
  cr_assert(want && got);
  compute("cuda", map, x, 0, p.count, want);
  compute("cuda", map, x, 37, p.count, got);
  compute("cuda", map, x, 0, 37, got);
  cr_expect_eq(memcmp(got, want, bytes), 0, "other batches, other bits");
  ntk_features_free(map);
  free(x), free(want), free(got);
}

#else

/* Less and less memory, from what a run takes until nothing fits: fewer images at a time, the same bits, an error. */
static void shrink(const problem *p, const float *want, size_t memory) {
  double *x = noise((size_t)p->count * input_size(p->shape));
  ntk_status status = NTK_OK;
  int runs = 0;
  for (; status == NTK_OK; memory = memory * 4 / 5, runs++) {
    ntk_features *map = map_of(p);
    ntk_context *context = context_of("cuda:0");
    const size_t bytes = (size_t)p->count * (size_t)ntk_features_dim(map) * sizeof(float);
    float *got = malloc(bytes);
    char text[32];
    snprintf(text, sizeof text, "%zu", memory);
    setenv("NTK_SHIM_MEMORY", text, 1);
    status = ntk_features_compute(context, map, x, p->count, got, NULL);
    unsetenv("NTK_SHIM_MEMORY");
    if (status == NTK_OK) cr_expect_eq(memcmp(got, want, bytes), 0, "%s: %zu bytes, other bits", p->net, memory);
    ntk_context_free(context);
    ntk_features_free(map);
    cr_expect_eq(ntk_shim_device_bytes(0), 0, "%zu bytes are left", ntk_shim_device_bytes(0));
    free(got);
  }
  cr_expect_eq(status, NTK_ERROR_MEMORY, "%s", ntk_last_error());
  cr_expect(strstr(ntk_last_error(), "use --device cpu"), "%s", ntk_last_error());
  cr_expect_gt(runs, 1);
  free(x);
}

Test(cuda_features, devices_and_memory) {
  setenv("NTK_SHIM_DEVICES", "3", 1);
  for (size_t k = 0; k < sizeof many / sizeof *many; k++) {
    const problem *p = &many[k];
    ntk_features *map = map_of(p);
    const size_t bytes = (size_t)p->count * (size_t)ntk_features_dim(map) * sizeof(float);
    ntk_features_free(map);
    float *want = compute_all("cuda:0", p);
    const size_t memory = ntk_shim_device_bytes(1);
    float *several = compute_all("cuda:2,0", p);
    cr_expect_eq(memcmp(several, want, bytes), 0, "%s: two devices, other bits", p->net);
    shrink(p, want, memory);
    free(want), free(several);
  }
}

/* Every allocation that fails means fewer images or an error, and everything is given back. */
Test(cuda_features, failed_allocations) {
  const problem p = {"conv3 relu conv3 relu gap", {3, 4, 4}, 3, {.dim = 40, .sketch = NTK_SKETCH_COUNT}};
  double *x = noise((size_t)p.count * input_size(p.shape));
  float *want = compute_all("cuda", &p), *got = malloc((size_t)p.count * 40 * sizeof *got);
  int failed = 0;
  for (int after = 0; after < 70; after++) {
    ntk_features *map = map_of(&p);
    ntk_context *context = context_of("cuda");
    ntk_shim_fail_allocation(after);
    const ntk_status status = ntk_features_compute(context, map, x, p.count, got, NULL);
    ntk_shim_fail_allocation(-1);
    cr_expect(status == NTK_OK || status == NTK_ERROR_MEMORY, "%d: %d, %s", after, (int)status, ntk_last_error());
    if (status == NTK_OK)
      cr_expect_eq(memcmp(got, want, (size_t)(p.count * ntk_features_dim(map)) * sizeof *got), 0, "%d", after);
    failed += status != NTK_OK;
    ntk_context_free(context);
    ntk_features_free(map);
    cr_expect_eq(ntk_shim_device_bytes(0), 0, "allocation %d: %zu bytes are left", after, ntk_shim_device_bytes(0));
    cr_expect_eq(ntk_shim_pinned_bytes(), 0, "allocation %d", after);
  }
  cr_expect_gt(failed, 0);
  free(x), free(want), free(got);
}

/* Blocks with little shared memory: transforms in pieces. */
Test(cuda_features, pieces) {
  const problem p = {"dense relu dense relu dense", {700, 0, 0}, 3, {.dim = 2500}};
  setenv("NTK_SHIM_SHARED", "8000", 1);
  agree(&p);
}

static void fails(const problem *p, ntk_status expected, const char *text) {
  ntk_features *map = map_of(p);
  ntk_context *context = context_of("cuda");
  double *x = noise((size_t)p->count * input_size(p->shape));
  float *out = malloc((size_t)p->count * (size_t)ntk_features_dim(map) * sizeof *out);
  if (expected == NTK_ERROR_DATA) x[5] = NAN;
  if (expected == NTK_ERROR_INTERRUPTED) ntk_context_cancel(context);
  cr_expect_eq(ntk_features_compute(context, map, x, p->count, out, NULL), expected, "%s", ntk_last_error());
  cr_expect(strstr(ntk_last_error(), text), "%s", ntk_last_error());
  ntk_context_free(context);
  ntk_features_free(map);
  cr_expect_eq(ntk_shim_device_bytes(0), 0);
  free(x), free(out);
}

Test(cuda_features, errors) {
  const problem p = {"dense relu dense relu dense", {11, 0, 0}, 4, {.dim = 40, .sketch = NTK_SKETCH_FOURIER}};
  fails(&p, NTK_ERROR_DATA, "input 0 holds a value that is not finite");
  fails(&p, NTK_ERROR_INTERRUPTED, "interrupted");
  setenv("NTK_SHIM_FAIL_FFT", "1", 1);
  fails(&p, NTK_ERROR_DEVICE, "use --sketch srht (device 0, stand-in device 0)");
  setenv("NTK_SHIM_FAIL_BLAS", "1", 1);
  fails(&p, NTK_ERROR_DEVICE, "cuBLAS: a product of features failed");
  unsetenv("NTK_SHIM_FAIL_BLAS"), unsetenv("NTK_SHIM_FAIL_FFT");
  setenv("NTK_SHIM_FAIL_LAUNCH", "12", 1);
  fails(&p, NTK_ERROR_DEVICE, "an illegal memory access");
}

#endif
