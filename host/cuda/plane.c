#include "host/cuda/plane.h"

#include <stdlib.h>
#include <string.h>

#include "host/cuda/call.h"
#include "kernels/plane.h"

/* Whether kernels/cuda/plane_warp.cuh may compute the program. */
static int is_plain(const ntk_program *p) {
  for (int l = 0; l < p->layer_count; l++) {
    const ntk_program_layer *layer = &p->layers[l];
    const int last = l + 1 == p->layer_count;
    if (layer->rows != 3 || layer->cols != 3 || layer->circular || !layer->relu) return 0;
    if (layer->bias != 0 || layer->rescale != 1 || (last && layer->tap < 0)) return 0;
    if (layer->signed_rho != (l == 0) || (l > 0 && !layer->trained) || layer->norm != l) return 0;
  }
  return p->layer_count > 1;
}

/* Whether the kernels multiply the channels themselves: few channels, or so few planes that most of the products of all
 * pixels would be for nothing. */
static int multiplies_itself(const ntk_program *p) {
  return p->channels <= NTK_INNER_CHANNELS || p->tile_count * 32 <= p->height * p->width;
}

static size_t align(size_t bytes) { return (bytes + 255) / 256 * 256; }

size_t ntk_cuda_pool_reals(const ntk_program *p) {
  const size_t height = (size_t)p->height, width = (size_t)p->width;
  return (size_t)p->pool_count * (height * height + width * width);
}

void ntk_cuda_pool_weights(const ntk_program *p, double *out) {
  for (int q = 0; q < p->pool_count; q++) {
    const ntk_program_pool *pool = &p->pools[q];
    const int sides[2] = {p->height, p->width};
    const double *from[2] = {pool->row_weights, pool->col_weights};
    for (int axis = 0; axis < 2; axis++)
      for (int i = 0; i < sides[axis]; i++)
        for (int k = 0; k < sides[axis]; k++)
          *out++ = pool->flatten ? i == k : from[axis] ? from[axis][i * sides[axis] + k] : 1;
  }
}

/* The tiles by groups of one b; in a group those first whose row seam lies at an even edge of plane_warp.cuh's patches
 * of height / 4 rows. Returns the number of groups. */
static int group_tiles(const ntk_program *p, ntk_tile *tiles, int *first, int *even) {
  const int rows = p->height % 4 == 0 ? p->height / 4 : 1;
  int groups = 0, at = 0;
  for (int k = 0, end; k < p->tile_count; k = end) {
    first[groups] = at;
    for (end = k; end < p->tile_count && p->tiles[end].b == p->tiles[k].b; end++) continue;
    for (int odd = 0; odd < 2; odd++) {
      for (int t = k; t < end; t++)
        if ((p->height - p->tiles[t].a) % rows % 2 == odd) tiles[at++] = p->tiles[t];
      if (!odd) even[groups] = at - first[groups];
    }
    groups++;
  }
  first[groups] = at;
  return groups;
}

ntk_status ntk_cuda_plane_create(const ntk_plan *plan, const ntk_cuda_device *device, cudaStream_t stream,
                                 ntk_cuda_plane *out, void **memory) {
  const ntk_program *p = &plan->program;
  const size_t layers = align((size_t)p->layer_count * sizeof *p->layers);
  const size_t tiles = align((size_t)p->tile_count * sizeof *p->tiles);
  const size_t groups = align(((size_t)p->tile_count + 1) * sizeof(int));
  const size_t weights = ntk_cuda_pool_reals(p) * sizeof(double);
  const size_t bytes = layers + tiles + 2 * groups + weights;
  char *host = calloc(1, bytes), *at = NULL;
  if (!host) return ntk_fail(NTK_ERROR_MEMORY, "no memory for the network's tables");
  memcpy(host, p->layers, (size_t)p->layer_count * sizeof *p->layers);
  int *const first = (int *)(host + layers + tiles), *const even = (int *)(host + layers + tiles + groups);
  const int group_count = group_tiles(p, (ntk_tile *)(host + layers), first, even);
  int most_even = 0, most_odd = 0;
  for (int g = 0; g < group_count; g++) {
    const int odd = first[g + 1] - first[g] - even[g];
    most_even = even[g] > most_even ? even[g] : most_even, most_odd = odd > most_odd ? odd : most_odd;
  }
  ntk_cuda_pool_weights(p, (double *)(host + layers + tiles + 2 * groups));
  int error = cudaMalloc(memory, bytes);
  if (error == cudaSuccess) {
    error = cudaMemcpyAsync(*memory, host, bytes, cudaMemcpyHostToDevice, stream);
    if (error == cudaSuccess) error = cudaStreamSynchronize(stream);
  }
  free(host);
  if (error != cudaSuccess) return ntk_cuda_failed(error, "the network's tables");
  at = *memory;
  *out = (ntk_cuda_plane){.channels = p->channels,
                          .height = p->height,
                          .width = p->width,
                          .inner = multiplies_itself(p),
                          .layer_count = p->layer_count,
                          .norm_count = p->norm_count,
                          .tap_count = p->tap_count,
                          .pool_count = p->pool_count,
                          .want_ntk = p->want_ntk,
                          .few_entries = p->few_entries,
                          .deficit = is_plain(p) && p->want_ntk && !p->few_entries,
                          .tile_count = p->tile_count,
                          .group_count = group_count,
                          .bias_scale = p->bias_scale,
                          .layers = (const ntk_program_layer *)at,
                          .tiles = (const ntk_tile *)(at + layers),
                          .groups = (const int *)(at + layers + tiles),
                          .even_tiles = (const int *)(at + layers + tiles + groups),
                          .most_even = most_even,
                          .most_odd = most_odd,
                          .pool_weights = (const double *)(at + layers + tiles + 2 * groups),
                          .shared_most = device->shared_bytes,
                          .plain = is_plain(p)};
  return NTK_OK;
}
