/* The CUDA engine on the stand-in device against the CPU's float64 engine, through the public interface. */
#include <criterion/criterion.h>
#include <math.h>
#include <ntk/ntk.h>
#include <stdlib.h>
#include <string.h>

#include "host/cuda/plane.h"
#include "host/gram/plan.h"

typedef struct problem {
  const char *net;
  int channels, height, width, images;
  ntk_precision precision;
} problem;

/* What is swept over; 0: nothing. */
static struct {
  int depths[4], pools[4];
  size_t depth_count, pool_count;
  ntk_flip flip;
} sweep;

static ntk_plan_options plan_options(ntk_precision precision) {
  return (ntk_plan_options){.kernels = NTK_KERNEL_BOTH,
                            .precision = precision,
                            .depths = sweep.depth_count ? sweep.depths : NULL,
                            .depth_count = sweep.depth_count,
                            .pools = sweep.pool_count ? sweep.pools : NULL,
                            .pool_count = sweep.pool_count,
                            .flip = sweep.flip};
}

static double random_pixel(uint64_t *state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (double)(*state >> 11) / (1ull << 52) - 1;
}

/* Noise; with `background` inside a wide border of that value, as standardised pictures of clothes have. */
static double background;

static double *random_images(const problem *p, uint64_t state) {
  const int height = p->height ? p->height : 1, width = p->width ? p->width : 1, border = height / 4;
  double *const x = malloc((size_t)p->images * (size_t)(p->channels * height * width) * sizeof *x);
  for (int k = 0; k < p->images * p->channels; k++)
    for (int i = 0; i < height; i++)
      for (int j = 0; j < width; j++) {
        const int inside = i >= border && i < height - border && j >= border && j < width - border;
        const double noise = random_pixel(&state);
        x[(k * height + i) * width + j] = background == 0 || inside ? noise : background;
      }
  const int image = p->channels * height * width;
  for (int at = 0; sweep.flip != NTK_FLIP_PLAIN && at < image; at++)
    x[image + at] = x[at / width * width + width - 1 - at % width];
  return x;
}

/* All outputs of all pairs of x (and z, if nz > 0) on a device. */
static double *block(const char *device, const problem *p, ntk_precision precision, const double *x, int nx,
                     const double *z, int nz, size_t *outputs) {
  ntk_network *network;
  ntk_plan *plan;
  ntk_context *context;
  cr_assert_eq(ntk_network_parse(p->net, &network), NTK_OK, "%s", ntk_last_error());
  const ntk_plan_options options = plan_options(precision);
  const ntk_shape shape = {p->channels, p->height, p->width}; /* height 0: vectors */
  cr_assert_eq(ntk_plan_create(network, shape, &options, &plan), NTK_OK, "%s", ntk_last_error());
  cr_assert_eq(ntk_context_create(&context), NTK_OK);
  cr_assert_eq(ntk_context_set_threads(context, 1), NTK_OK);
  cr_assert_eq(ntk_context_set_device(context, device), NTK_OK, "%s", ntk_last_error());
  *outputs = ntk_plan_output_count(plan);
  const size_t pairs = (size_t)nx * (size_t)(nz ? nz : nx);
  double *values = malloc(*outputs * pairs * sizeof *values), *out[64];
  cr_assert_leq(*outputs, 64);
  for (size_t k = 0; k < *outputs; k++) out[k] = values + k * pairs;
  cr_assert_eq(ntk_plan_block(context, plan, x, nx, nz ? z : NULL, nz, out), NTK_OK, "%s", ntk_last_error());
  ntk_context_free(context);
  ntk_plan_free(plan);
  ntk_network_free(network);
  return values;
}

static void agree(const problem *p) {
  double *const x = random_images(p, 1);
  size_t outputs;
  double *expected = block("cpu", p, NTK_F64, x, p->images, NULL, 0, &outputs);
  double *got = block("cuda", p, p->precision, x, p->images, NULL, 0, &outputs), worst = 0;
  for (size_t k = 0; k < outputs * (size_t)(p->images * p->images); k++) {
    const double error = fabs(got[k] - expected[k]) / fabs(expected[k]);
    if (!(error <= worst)) worst = error;
  }
  cr_expect_leq(worst, p->precision == NTK_F64 ? 1e-11 : 1e-6, "%s on %dx%d, %s: error %.2g", p->net, p->height,
                p->width, p->precision == NTK_F64 ? "f64" : "f32", worst);
  free(x), free(expected), free(got);
}

/* Device memory, with a copy of `from` unless NULL. */
static void *on_device(const void *from, size_t bytes) {
  void *memory;
  cr_assert_eq(cudaMalloc(&memory, bytes), 0);
  if (from) cr_assert_eq(cudaMemcpyAsync(memory, from, bytes, cudaMemcpyHostToDevice, NULL), 0);
  return memory;
}

/* Prepares images, and computes the pairs of the first with the others by one table of kernels, without any second
 * opinion. */
static void kernel_sums(const ntk_plan *plan, const ntk_cuda_plane_ops *ops, const double *x, int images, double *sums,
                        float *risk) {
  enum { MOST = 8 };
  const size_t real = ops->f64 ? sizeof(double) : sizeof(float);
  ntk_cuda_device device;
  ntk_cuda_plane plane;
  void *memory;
  cr_assert_eq(ntk_cuda_device_describe(0, &device), NTK_OK);
  cr_assert_eq(ntk_cuda_plane_create(plan, &device, NULL, &plane, &memory), NTK_OK, "%s", ntk_last_error());
  ntk_cuda_images prepared = {.stride = ops->image_reals(&plane)};
  const size_t size = ntk_plan_input_size(plan), outputs = ntk_plan_sums(plan), groups = (size_t)plane.group_count;
  ntk_cuda_pair list[MOST];
  for (int k = 0; k < images - 1; k++) list[k] = (ntk_cuda_pair){0, k + 1};
  prepared.tables = on_device(NULL, (size_t)images * prepared.stride * real);
  prepared.exponent = on_device(NULL, MOST * sizeof(int)), prepared.flat = on_device(NULL, MOST * sizeof(int));
  double *pixels = on_device(x, (size_t)images * size * sizeof *x);
  cr_assert_eq(ops->prepare(&plane, pixels, images, &prepared, NULL), 0);
  ntk_cuda_pairs pairs = {.x = prepared, .z = prepared, .count = images - 1};
  pairs.list = on_device(list, sizeof list);
  pairs.sums = on_device(NULL, MOST * outputs * sizeof(double)), pairs.risk = on_device(NULL, MOST * sizeof(float));
  pairs.partial = on_device(NULL, MOST * groups * outputs * sizeof(double));
  pairs.partial_risk = on_device(NULL, MOST * groups * 8 * sizeof(float));
  cr_assert_eq(ops->pairs(&plane, &pairs, NULL), 0);
  const size_t count = (size_t)pairs.count;
  cr_assert_eq(cudaMemcpyAsync(sums, pairs.sums, count * outputs * sizeof *sums, cudaMemcpyDeviceToHost, NULL), 0);
  cr_assert_eq(cudaMemcpyAsync(risk, pairs.risk, count * sizeof *risk, cudaMemcpyDeviceToHost, NULL), 0);
  cr_assert_eq(cudaStreamSynchronize(NULL), 0);
  void *const used[] = {prepared.tables, prepared.exponent, prepared.flat,      pixels, (void *)pairs.list, pairs.sums,
                        pairs.risk,      pairs.partial,     pairs.partial_risk, memory};
  for (size_t k = 0; k < sizeof used / sizeof *used; k++) cudaFree(used[k]);
}

/* float32 kernels against the float64 ones, on different random images: none may need a second opinion. */
static void kernels_agree(const problem *p) {
  ntk_network *network;
  ntk_plan *plan;
  cr_assert_eq(ntk_network_parse(p->net, &network), NTK_OK, "%s", ntk_last_error());
  const ntk_plan_options options = plan_options(NTK_F32);
  const ntk_shape shape = {p->channels, p->height, p->width};
  cr_assert_eq(ntk_plan_create(network, shape, &options, &plan), NTK_OK, "%s", ntk_last_error());
  const size_t count = ntk_plan_sums(plan) * (size_t)(p->images - 1);
  double *const x = random_images(p, 7), *sums[2];
  float risk[2][8];
  for (int k = 0; k < 2; k++) {
    sums[k] = calloc(count, sizeof(double));
    kernel_sums(plan, k ? &ntk_cuda_plane_f64 : &ntk_cuda_plane_f32, x, p->images, sums[k], risk[k]);
  }
  for (size_t k = 0; k < count; k++)
    cr_expect_leq(fabs(sums[0][k] - sums[1][k]), 1e-6 * fabs(sums[1][k]), "%s on %dx%d: sum %zu is %.9g, not %.9g",
                  p->net, p->height, p->width, k, sums[0][k], sums[1][k]);
  for (int k = 0; k < p->images - 1; k++) {
    cr_expect_leq(risk[0][k], 4e-7f, "%s on %dx%d: risk %g", p->net, p->height, p->width, (double)risk[0][k]);
    cr_expect_eq(risk[1][k], 0);
  }
  free(x), free(sums[0]), free(sums[1]);
  ntk_plan_free(plan);
  ntk_network_free(network);
}

/* Through the public interface, and the kernels alone. */
static void all_agree(const problem *problems, size_t count) {
  for (size_t k = 0; k < count; k++) {
    agree(&problems[k]);
    /* 1x1 images are all proportional: float32 hands them back */
    if (problems[k].height > 1) kernels_agree(&problems[k]);
  }
}

/* Any shape, filter, padding, bias and readout, by the block kernel. */
Test(cuda_plane, general) {
  static const problem problems[] = {
      {"2*(conv3 relu) gap", 3, 8, 8, 3, NTK_F64},        {"3*(conv3 relu) gap", 2, 5, 7, 3, NTK_F64},
      {"2*(conv3 relu) flatten", 1, 1, 1, 2, NTK_F64},    {"2*(conv5 relu) lap(1)", 2, 6, 9, 2, NTK_F64},
      {"conv3 relu conv1 relu gap", 2, 7, 4, 2, NTK_F64}, {"2*(conv3 relu) gap", 3, 8, 8, 3, NTK_F32},
      {"3*(conv3 relu) flatten", 3, 12, 11, 3, NTK_F32},  {"2*(conv3 relu) gap", 1, 33, 9, 2, NTK_F32},
      {"conv3 relu gap", 1, 40, 36, 2, NTK_F32},
  };
  all_agree(problems, sizeof problems / sizeof *problems);
}

/* Depths and sizes that bring a block's shared memory just below what it has without leave. */
Test(cuda_plane, shared_memory) {
  static const problem problems[] = {
      {"7*(conv3 relu) lap(4)", 1, 28, 28, 2, NTK_F32},
      {"5*(conv3 relu) lap(1)", 1, 32, 32, 2, NTK_F32},
      {"18*(conv3 relu) lap(2)", 1, 16, 16, 2, NTK_F32},
  };
  for (size_t k = 0; k < sizeof problems / sizeof *problems; k++) agree(&problems[k]);
}

/* Every size of the warp kernel, all readouts. */
Test(cuda_plane, warp) {
  static const problem problems[] = {
      {"conv3 relu gap", 3, 16, 16, 2, NTK_F32},        {"3*(conv3 relu) gap", 3, 16, 16, 3, NTK_F32},
      {"3*(conv3 relu) lap(2)", 3, 16, 16, 3, NTK_F32}, {"6*(conv3 relu) flatten", 3, 16, 16, 6, NTK_F32},
      {"2*(conv3 relu) lap(3)", 1, 28, 28, 2, NTK_F32}, {"4*(conv3 relu) flatten", 1, 28, 28, 5, NTK_F32},
      {"3*(conv3 relu) lap(4)", 3, 32, 32, 2, NTK_F32}, {"5*(conv3 relu) flatten", 3, 32, 32, 5, NTK_F32},
  };
  all_agree(problems, sizeof problems / sizeof *problems);
}

/* Sweeps of depths and pools in the warp kernel, and tables that shared memory holds only a few layers of. */
Test(cuda_plane, sweeps) {
  static const problem problems[] = {
      {"5*(conv3 relu) gap", 3, 16, 16, 3, NTK_F32},
      {"5*(conv3 relu) flatten", 3, 16, 16, 5, NTK_F32},
      {"5*(conv3 relu) gap", 2, 9, 8, 3, NTK_F64},
      {"5*(conv3 relu) lap(1)", 3, 16, 16, 2, NTK_F32},
  };
  setenv("NTK_SHIM_SHARED", "8000", 1); /* a real device has what it has */
  sweep.depths[0] = 1, sweep.depths[1] = 2, sweep.depths[2] = 5, sweep.depth_count = 3;
  for (size_t k = 0; k < sizeof problems / sizeof *problems; k++) {
    if (k == 3) sweep.pools[1] = 2, sweep.pools[2] = 15, sweep.pool_count = 3; /* 0, 2, 15 */
    agree(&problems[k]);
    kernels_agree(&problems[k]);
  }
}

/* Images with constant regions, whose pairs carry the deficit; with the diagonal; and where few entries leave them to
 * float64. */
Test(cuda_plane, constant_regions) {
  static const problem problems[] = {
      {"4*(conv3 relu) gap", 3, 16, 16, 3, NTK_F32},     {"2*(conv3 relu) lap(7)", 1, 16, 16, 3, NTK_F32},
      {"3*(conv3 relu) lap(4)", 1, 28, 28, 2, NTK_F32},  {"2*(conv3 relu) lap(4)", 3, 32, 32, 2, NTK_F32},
      {"3*(conv3 relu) flatten", 1, 16, 16, 3, NTK_F32},
  };
  background = -0.81;
  for (size_t k = 0; k < sizeof problems / sizeof *problems; k++) {
    agree(&problems[k]);
    if (k < 4) kernels_agree(&problems[k]);
  }
  sweep.depths[0] = 1, sweep.depths[1] = 2, sweep.depths[2] = 4, sweep.depth_count = 3;
  setenv("NTK_SHIM_SHARED", "9000", 1); /* tables in chunks */
  agree(&problems[0]);
  kernels_agree(&problems[0]);
}

/* Averages over mirror images; the second image is the first one's mirror image, so that K(Fx,z) needs a second opinion
 * where K(x,z) does not. */
Test(cuda_plane, flips) {
  static const problem problems[] = {
      {"2*(conv3 relu) gap", 3, 8, 7, 3, NTK_F64},      {"3*(conv3 relu) flatten", 3, 16, 16, 4, NTK_F32},
      {"2*(conv3 relu) lap(2)", 2, 9, 12, 3, NTK_F32},  {"2*(conv3 relu) lap(3)", 1, 28, 28, 3, NTK_F32},
      {"2*(conv3 relu) flatten", 40, 8, 8, 3, NTK_F32}, {"2*(dense relu) dense", 2, 4, 3, 9, NTK_F32},
  };
  for (int flip = NTK_FLIP_AVERAGE; flip <= NTK_FLIP_BOTH; flip++)
    for (size_t k = 0; k < sizeof problems / sizeof *problems; k++) {
      sweep.flip = (ntk_flip)flip;
      agree(&problems[k]);
    }
}

/* Fully connected networks: several taps, biases, more inputs than a block, one more than a tile. */
Test(cuda_plane, connected) {
  static const problem problems[] = {
      {"dense relu dense", 7, 0, 0, 5, NTK_F64},
      {"3*(dense relu) dense", 784, 0, 0, 37, NTK_F32},
      {"4*(dense(W=1.3,b=0.2) relu) dense", 30, 0, 0, 20, NTK_F64},
      {"dense(width=30) relu dense(W=1.3,b=0.2,width=64) relu dense(width=99)", 30, 0, 0, 9, NTK_F64},
      {"2*(dense relu) dense", 3, 0, 0, 600, NTK_F32},
      {"flatten 2*(dense relu) dense", 2, 4, 3, 9, NTK_F32},
  };
  for (size_t k = 0; k < sizeof problems / sizeof *problems; k++) agree(&problems[k]);
}

/* The bits of a pair must not depend on where in a product of the library it lies. */
Test(cuda_plane, connected_copies) {
  enum { COUNT = 600, SIZE = 100 };
  static const int places[] = {0, 1, 63, 64, 300, 511, 512, 599};
  const problem p = {"2*(dense relu) dense", SIZE, 0, 0, COUNT, NTK_F32};
  double *const x = random_images(&p, 3);
  for (size_t k = 1; k < sizeof places / sizeof *places; k++)
    memcpy(x + places[k] * SIZE, x + places[0] * SIZE, SIZE * sizeof *x);
  size_t outputs;
  double *const values = block("cuda", &p, NTK_F32, x, COUNT, NULL, 0, &outputs);
  for (size_t k = 0; k < sizeof places / sizeof *places; k++)
    for (size_t j = 0; j < sizeof places / sizeof *places; j++)
      cr_expect_eq(values[places[k] * COUNT + places[j]], values[0], "%d, %d", places[k], places[j]);
  for (size_t k = 1; k < sizeof places / sizeof *places; k++)
    cr_expect_eq(values[2 * COUNT + places[k]], values[2 * COUNT], "%d", places[k]);
  free(x), free(values);
}

/* Many channels, whose products come from the library: by the block kernel, by the warp kernel, and with so few planes
 * that the kernels multiply themselves. */
Test(cuda_plane, channels) {
  static const problem problems[] = {
      {"2*(conv3 relu) gap", 40, 6, 7, 3, NTK_F64},
      {"2*(conv3 relu) gap", 64, 9, 8, 3, NTK_F32},
      {"2*(conv3 relu) flatten", 40, 8, 8, 3, NTK_F32},
      {"2*(conv3 relu) gap", 32, 16, 16, 3, NTK_F32},
  };
  for (size_t k = 0; k < sizeof problems / sizeof *problems; k++) agree(&problems[k]);
}

/* Short cases of every kernel, for tools that slow a GPU down a thousand times. */
Test(cuda_plane, small) {
  static const problem problems[] = {
      {"2*(conv3 relu) gap", 2, 5, 4, 3, NTK_F64},
      {"2*(conv3 relu) lap(1)", 2, 6, 5, 3, NTK_F32},
      {"2*(conv3 relu) lap(1)", 3, 16, 16, 2, NTK_F32},
      {"3*(conv3 relu) flatten", 3, 32, 32, 3, NTK_F32},
  };
  for (size_t k = 0; k < sizeof problems / sizeof *problems; k++) kernels_agree(&problems[k]);
}
