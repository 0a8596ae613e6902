#include "host/cuda/stage_batch.h"

#include <stdlib.h>

#include "host/cuda/call.h"

static const size_t product_bytes = (size_t)32 << 20;
static const double batch_entry_layers = 5e10; /* some tenths of a second: what Ctrl-C waits for */
enum { MOST_BATCH = 1 << 12, MOST_PRODUCTS = 8 };

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static bool multiplies_itself(const ntk_stage_program *program) { return program->stages.stages[0].inner; }

static size_t product_reals(const ntk_plan *plan) {
  const size_t area = (size_t)(plan->shape.height * plan->shape.width);
  return area * area;
}

/* Products of one call of the library. Not of the pairs that there are: it may choose another order of summation for
 * another number, and the bits of a pair must not depend on its company. */
static int product_count(const ntk_stage_batch *b, const ntk_stage_program *program) {
  const size_t count = product_bytes / (product_reals(b->plan) * ntk_stage_real(program));
  return count < 1 ? 1 : count < MOST_PRODUCTS ? (int)count : MOST_PRODUCTS;
}

static int product_calls(const ntk_stage_batch *b, const ntk_stage_program *program, int pairs) {
  const int each = product_count(b, program);
  return (pairs + each - 1) / each;
}

/* ---- sizes ---- */

static size_t outputs(const ntk_stage_program *program) { return 2 * (size_t)program->stages.pool_count; }

static size_t readout_tiles(const ntk_stage_program *program) {
  return (size_t)program->stages.stages[program->stages.stage_count - 1].tile_count;
}

static size_t memory_bytes(const ntk_stage_program *program) {
  return program->stages.pair_reals * ntk_stage_real(program);
}

static size_t partial_bytes(const ntk_stage_program *program) {
  return readout_tiles(program) * outputs(program) * sizeof(double);
}

static size_t risk_bytes(const ntk_stage_program *program) {
  return program->ops->f64 ? 0 : 4 * ntk_cuda_stages_judged_tiles(&program->stages) * sizeof(float);
}

int64_t ntk_stage_batch_most(const ntk_plan *plan, int64_t tile) {
  const double pairs = batch_entry_layers / (plan->entry_layers + 1);
  int64_t most = pairs < MOST_BATCH ? (int64_t)pairs : MOST_BATCH;
  if (most > tile * tile) most = tile * tile;
  return most < 1 ? 1 : most;
}

int ntk_stage_batch_limit(const ntk_stage_batch *b, const ntk_stage_program *program) {
  size_t pair = memory_bytes(program) + partial_bytes(program) + risk_bytes(program);
  if (!multiplies_itself(program)) pair += product_reals(b->plan) * ntk_stage_real(program);
  const size_t count = b->bytes / (pair + 1);
  return count < 1 ? 1 : (int64_t)count < b->most ? (int)count : (int)b->most;
}

uint64_t ntk_stage_batch_host_bytes(const ntk_plan *plan, int64_t tile) {
  const size_t pair = ntk_plan_sums(plan) * sizeof(double) + 2 * sizeof(float) + sizeof(ntk_cuda_stage_pair) +
                      sizeof(int64_t) + 3 * sizeof(void *);
  return (uint64_t)ntk_stage_batch_most(plan, tile) * pair;
}

/* ---- a batch ---- */

/* The most that one of the programs needs for its runs. */
typedef struct needs {
  size_t memory, partial, risk, products, operands;
} needs;

static void add_needs(const ntk_stage_batch *b, const ntk_stage_program *program, needs *n) {
  const size_t pairs = (size_t)ntk_stage_batch_limit(b, program);
  n->memory = larger(n->memory, pairs * memory_bytes(program));
  n->partial = larger(n->partial, pairs * partial_bytes(program));
  n->risk = larger(n->risk, pairs * risk_bytes(program));
  if (multiplies_itself(program)) return;
  const size_t products = (size_t)product_calls(b, program, (int)pairs) * (size_t)product_count(b, program);
  n->products = larger(n->products, products * product_reals(b->plan) * ntk_stage_real(program));
  n->operands = larger(n->operands, 3 * products * sizeof(void *));
}

ntk_status ntk_stage_batch_create(ntk_stage_batch *b, const ntk_stage_program *program, const ntk_stage_program *twin) {
  static const char *const what = "a batch of pairs";
  needs n = {0};
  b->capacity = ntk_stage_batch_limit(b, program);
  add_needs(b, program, &n);
  if (twin) {
    add_needs(b, twin, &n);
    if (ntk_stage_batch_limit(b, twin) > b->capacity) b->capacity = ntk_stage_batch_limit(b, twin);
  }
  const size_t count = (size_t)b->capacity, sums = count * outputs(program) * sizeof(double);
  NTK_TRY(ntk_cuda_memory(&b->memory, n.memory, what));
  NTK_TRY(ntk_cuda_memory((void **)&b->partial, n.partial, what));
  NTK_TRY(ntk_cuda_memory((void **)&b->partial_risk, n.risk, what));
  NTK_TRY(ntk_cuda_memory((void **)&b->device_list, count * sizeof *b->list, what));
  NTK_TRY(ntk_cuda_memory((void **)&b->device_sums, sums, what));
  NTK_TRY(ntk_cuda_memory((void **)&b->device_risk, 2 * count * sizeof(float), what));
  NTK_TRY(ntk_cuda_pinned_memory((void **)&b->list, count * sizeof *b->list));
  NTK_TRY(ntk_cuda_pinned_memory((void **)&b->sums, sums));
  NTK_TRY(ntk_cuda_pinned_memory((void **)&b->risk, 2 * count * sizeof(float)));
  if (!(b->at = malloc(count * sizeof *b->at))) return ntk_fail(NTK_ERROR_MEMORY, "no memory for a batch of pairs");
  if (n.operands == 0) return NTK_OK;
  NTK_TRY(ntk_cuda_memory(&b->products, n.products, "the products of pixels"));
  NTK_TRY(ntk_cuda_pinned_memory((void **)&b->operands, n.operands));
  return ntk_cuda_memory((void **)&b->device_operands, n.operands, "the products of pixels");
}

void ntk_stage_batch_free(ntk_stage_batch *b) {
  void *const on_device[] = {b->memory,      b->partial,     b->partial_risk, b->device_list,
                             b->device_sums, b->device_risk, b->products,     b->device_operands};
  for (size_t k = 0; k < sizeof on_device / sizeof *on_device; k++) cudaFree(on_device[k]);
  cudaFreeHost(b->list), cudaFreeHost(b->sums), cudaFreeHost(b->risk), cudaFreeHost(b->operands);
  free(b->at);
  const ntk_stage_batch kept = {
      .plan = b->plan, .stream = b->stream, .blas = b->blas, .bytes = b->bytes, .most = b->most};
  *b = kept;
}

/* ---- a run ---- */

static const char *image(const ntk_stage_program *program, const ntk_stage_tables *side, int index) {
  return (const char *)side->tables + (size_t)index * program->stages.table_reals * ntk_stage_real(program);
}

static ntk_status run_products(ntk_stage_batch *b, const ntk_stage_program *program, const ntk_stage_tables *x,
                               const ntk_stage_tables *z, int pairs) {
  const size_t real = ntk_stage_real(program);
  const int each = product_count(b, program), calls = product_calls(b, program, pairs);
  for (int k = 0; k < calls * each; k++) {
    const ntk_cuda_stage_pair pair = b->list[k < pairs ? k : pairs - 1];
    const void **const to = b->operands + (size_t)(k / each) * 3 * (size_t)each + k % each;
    to[0] = image(program, x, pair.x), to[each] = image(program, z, pair.z);
    to[2 * each] = (char *)b->products + (size_t)k * product_reals(b->plan) * real;
  }
  NTK_CUDA_TRY(cudaMemcpyAsync(b->device_operands, b->operands, 3 * (size_t)(calls * each) * sizeof(void *),
                               cudaMemcpyHostToDevice, b->stream),
               "copying a list of pairs");
  for (int k = 0; k < calls; k++) {
    const void **const at = b->device_operands + (size_t)k * 3 * (size_t)each;
    NTK_TRY(ntk_cuda_blas_pixels(b->blas, program->ops->f64, at, at + each, (void *const *)(at + 2 * each), each,
                                 (int)(b->plan->shape.height * b->plan->shape.width), (int)b->plan->shape.channels));
  }
  return NTK_OK;
}

ntk_status ntk_stage_batch_run(ntk_stage_batch *b, const ntk_stage_program *program, const ntk_stage_tables *x,
                               const ntk_stage_tables *z, int count) {
  const size_t sums = (size_t)count * outputs(program) * sizeof *b->sums;
  const int limit = ntk_stage_batch_limit(b, program);
  const ntk_cuda_stage_pairs pairs = {.x = x->tables,
                                      .z = z->tables,
                                      .stride = program->stages.table_reals,
                                      .x_hash = x->hashes,
                                      .z_hash = z->hashes,
                                      .list = b->device_list,
                                      .count = count,
                                      .capacity = limit,
                                      .products = b->products,
                                      .memory = b->memory,
                                      .partial = b->partial,
                                      .partial_risk = b->partial_risk,
                                      .risk_stride = 2 * (size_t)limit * ntk_cuda_stages_judged_tiles(&program->stages),
                                      .sums = b->device_sums,
                                      .risk = b->device_risk};
  if (count == 0) return NTK_OK;
  NTK_CUDA_TRY(
      cudaMemcpyAsync(b->device_list, b->list, (size_t)count * sizeof *b->list, cudaMemcpyHostToDevice, b->stream),
      "copying a list of pairs");
  if (!multiplies_itself(program)) NTK_TRY(run_products(b, program, x, z, count));
  NTK_CUDA_TRY(program->ops->pairs(&program->stages, &pairs, b->stream), "starting a kernel");
  NTK_CUDA_TRY(cudaMemcpyAsync(b->sums, b->device_sums, sums, cudaMemcpyDeviceToHost, b->stream), "copying results");
  NTK_CUDA_TRY(
      cudaMemcpyAsync(b->risk, b->device_risk, 2 * (size_t)count * sizeof(float), cudaMemcpyDeviceToHost, b->stream),
      "copying results");
  NTK_CUDA_TRY(cudaStreamSynchronize(b->stream), "computing pairs");
  return NTK_OK;
}
