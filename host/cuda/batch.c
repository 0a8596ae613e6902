#include "host/cuda/batch.h"

#include <stdlib.h>

#include "host/cuda/call.h"

static const size_t batch_bytes = (size_t)64 << 20, product_bytes = (size_t)128 << 20;
static const double batch_entry_layers = 5e10; /* some hundredths of a second: what Ctrl-C waits for */
enum { MOST_BATCH = 1 << 16, LEAST_BATCH = 64, MOST_PRODUCTS = 2048 };

/* (T, S) of every tap and pool. */
static size_t output_count(const ntk_cuda_plane *p) { return 2 * (size_t)p->tap_count * (size_t)p->pool_count; }

int ntk_cuda_batch_capacity(const ntk_plan *plan, int64_t tile) {
  const ntk_program *p = &plan->program;
  const size_t outputs = ntk_plan_sums(plan), groups = (size_t)p->width;
  const size_t each = groups * (outputs * sizeof(double) + 8 * sizeof(float)) + outputs * sizeof(double);
  const double work = plan->entry_layers;
  size_t capacity = batch_bytes / each;
  if ((double)capacity * work > batch_entry_layers) capacity = (size_t)(batch_entry_layers / work);
  if (capacity > MOST_BATCH) capacity = MOST_BATCH;
  if (capacity < LEAST_BATCH) capacity = LEAST_BATCH;
  return capacity > (size_t)(tile * tile) ? (int)(tile * tile) : (int)capacity;
}

uint64_t ntk_cuda_batch_host_bytes(const ntk_plan *plan, int64_t tile) {
  const size_t pair = ntk_plan_sums(plan) * sizeof(double) + sizeof(float) + sizeof(ntk_cuda_pair) + sizeof(int64_t);
  return (uint64_t)ntk_cuda_batch_capacity(plan, tile) * pair;
}

/* ---- products of pixels ---- */

static size_t product_reals(const ntk_cuda_plane *p) {
  const size_t area = (size_t)p->height * (size_t)p->width;
  return area * area;
}

/* Room for at least one product in float64. */
static size_t room(const ntk_cuda_plane *p) {
  const size_t one = product_reals(p) * sizeof(double);
  return one > product_bytes ? one : product_bytes;
}

/* Products of a run. Not of the pairs that there are: the library may choose another order of summation for another
 * number, and the bits of a pair must not depend on its company. */
static int product_count(const ntk_cuda_plane *p, int f64) {
  const size_t count = room(p) / (product_reals(p) * (f64 ? sizeof(double) : sizeof(float)));
  return count < MOST_PRODUCTS ? (int)count : MOST_PRODUCTS;
}

static ntk_status create_products(ntk_cuda_batch *b) {
  const size_t operands = 3 * (size_t)product_count(b->plane, 0) * sizeof *b->operands;
  NTK_TRY(ntk_cuda_memory(&b->products, room(b->plane), "the products of pixels"));
  NTK_TRY(ntk_cuda_pinned_memory((void **)&b->operands, operands));
  return ntk_cuda_memory((void **)&b->device_operands, operands, "the products of pixels");
}

static const char *image(const ntk_cuda_images *images, int index, size_t real) {
  return (const char *)images->tables + (size_t)index * images->stride * real;
}

static ntk_status run_products(ntk_cuda_batch *b, int f64, const ntk_cuda_images *x, const ntk_cuda_images *z,
                               int pairs) {
  const size_t real = f64 ? sizeof(double) : sizeof(float);
  const int count = product_count(b->plane, f64);
  for (int k = 0; k < count; k++) {
    const ntk_cuda_pair pair = b->list[k < pairs ? k : pairs - 1];
    b->operands[k] = image(x, pair.x, real), b->operands[count + k] = image(z, pair.z, real);
    b->operands[2 * count + k] = (char *)b->products + (size_t)k * product_reals(b->plane) * real;
  }
  NTK_CUDA_TRY(cudaMemcpyAsync(b->device_operands, b->operands, 3 * (size_t)count * sizeof *b->operands,
                               cudaMemcpyHostToDevice, b->stream),
               "copying a list of pairs");
  const void **const at = b->device_operands;
  return ntk_cuda_blas_pixels(b->blas, f64, at, at + count, (void *const *)(at + 2 * count), count,
                              b->plane->height * b->plane->width, b->plane->channels);
}

/* ---- a batch ---- */

ntk_status ntk_cuda_batch_create(const ntk_plan *plan, const ntk_cuda_plane *plane, cudaStream_t stream,
                                 ntk_cuda_blas *blas, int64_t tile, ntk_cuda_batch *out) {
  ntk_cuda_batch *b = out;
  const size_t outputs = output_count(plane), groups = (size_t)plane->group_count;
  const size_t count = (size_t)ntk_cuda_batch_capacity(plan, tile);
  *b = (ntk_cuda_batch){.plane = plane, .stream = stream, .blas = blas, .capacity = (int)count};
  NTK_TRY(ntk_cuda_pinned_memory((void **)&b->list, count * sizeof *b->list));
  NTK_TRY(ntk_cuda_pinned_memory((void **)&b->sums, count * outputs * sizeof *b->sums));
  NTK_TRY(ntk_cuda_pinned_memory((void **)&b->risk, count * sizeof *b->risk));
  if (!(b->at = malloc(count * sizeof *b->at))) return ntk_fail(NTK_ERROR_MEMORY, "no memory for a batch of pairs");
  NTK_TRY(ntk_cuda_memory((void **)&b->device_list, count * sizeof *b->list, "a batch of pairs"));
  NTK_TRY(ntk_cuda_memory((void **)&b->partial, count * groups * outputs * sizeof(double), "a batch of pairs"));
  NTK_TRY(ntk_cuda_memory((void **)&b->device_sums, count * outputs * sizeof(double), "a batch of pairs"));
  NTK_TRY(ntk_cuda_memory((void **)&b->partial_risk, count * groups * 8 * sizeof(float), "a batch of pairs"));
  NTK_TRY(ntk_cuda_memory((void **)&b->device_risk, count * sizeof(float), "a batch of pairs"));
  return plane->inner ? NTK_OK : create_products(b);
}

void ntk_cuda_batch_free(ntk_cuda_batch *b) {
  void *const on_device[] = {b->device_list, b->partial,  b->device_sums,    b->partial_risk,
                             b->device_risk, b->products, b->device_operands};
  for (size_t k = 0; k < sizeof on_device / sizeof *on_device; k++) cudaFree(on_device[k]);
  cudaFreeHost(b->list), cudaFreeHost(b->sums), cudaFreeHost(b->risk), cudaFreeHost(b->operands);
  free(b->at);
  *b = (ntk_cuda_batch){0};
}

int ntk_cuda_batch_limit(const ntk_cuda_batch *b, const ntk_cuda_plane_ops *ops) {
  const int products = b->plane->inner ? b->capacity : product_count(b->plane, ops->f64);
  return products < b->capacity ? products : b->capacity;
}

ntk_status ntk_cuda_batch_run(ntk_cuda_batch *b, const ntk_cuda_plane_ops *ops, const ntk_cuda_images *x,
                              const ntk_cuda_images *z, int count) {
  const size_t sums = (size_t)count * output_count(b->plane) * sizeof *b->sums;
  const ntk_cuda_pairs pairs = {.x = *x,
                                .z = *z,
                                .list = b->device_list,
                                .count = count,
                                .products = b->products,
                                .partial = b->partial,
                                .sums = b->device_sums,
                                .risk = b->device_risk,
                                .partial_risk = b->partial_risk};
  if (count == 0) return NTK_OK;
  NTK_CUDA_TRY(
      cudaMemcpyAsync(b->device_list, b->list, (size_t)count * sizeof *b->list, cudaMemcpyHostToDevice, b->stream),
      "copying a list of pairs");
  if (!b->plane->inner) NTK_TRY(run_products(b, ops->f64, x, z, count));
  NTK_CUDA_TRY(ops->pairs(b->plane, &pairs, b->stream), "starting a kernel");
  NTK_CUDA_TRY(cudaMemcpyAsync(b->sums, b->device_sums, sums, cudaMemcpyDeviceToHost, b->stream), "copying results");
  NTK_CUDA_TRY(
      cudaMemcpyAsync(b->risk, b->device_risk, (size_t)count * sizeof(float), cudaMemcpyDeviceToHost, b->stream),
      "copying results");
  NTK_CUDA_TRY(cudaStreamSynchronize(b->stream), "computing pairs");
  return NTK_OK;
}
