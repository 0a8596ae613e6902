/* Normalisers come from the CPU's self pass (kernels/plane.h): they are needed once an image, not once a pair. */
#include "host/cuda/stage_images.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

#include "kernels/activation.h"
#include "kernels/cuda/stage_cuda.h"

static size_t pixel_count(const ntk_program *p) { return (size_t)p->channels * (size_t)p->height * (size_t)p->width; }

static size_t norm_count(const ntk_program *top) {
  size_t count = 0;
  for (int k = 0; k < top->stage_count; k++)
    count += (size_t)top->stages[k].norm_count * (size_t)top->stages[k].height * (size_t)top->stages[k].width;
  return count;
}

static size_t align(size_t bytes) { return (bytes + 63) / 64 * 64; }

size_t ntk_stage_image_scratch(const ntk_plan *plan, const ntk_backend *backend) {
  const ntk_program *top = &plan->program;
  return align(pixel_count(top) * sizeof(double)) + align(norm_count(top) * sizeof(double)) +
         align(backend->plane_f64->image_bytes(top)) + backend->plane_f64->scratch_bytes(top);
}

/* Pixels whose 3 x 3 neighbourhood is constant in every channel, black ones left out: as plane_tables.h counts. */
static int count_flat(const ntk_program *p, const double *pixels) {
  const int width = p->width;
  int count = 0;
  for (int i = 1; i + 1 < p->height; i++)
    for (int j = 1; j + 1 < width; j++) {
      bool flat = true, black = true;
      for (int c = 0; c < p->channels && flat; c++) {
        const double *at = pixels + ((size_t)c * (size_t)p->height + (size_t)i) * (size_t)width + j;
        black &= *at == 0;
        for (int a = -1; a <= 1 && flat; a++)
          flat = at[a * width - 1] == *at && at[a * width] == *at && at[a * width + 1] == *at;
      }
      count += flat && !black;
    }
  return count;
}

/* The power of two of the largest number that a pair of such pixels may meet. */
static int exponent_of(const ntk_program *p, const double *pixels) {
  double largest = p->bias_scale;
  for (size_t k = 0; k < pixel_count(p); k++) largest = fmax(largest, fabs(pixels[k]));
  return largest > 0 ? ilogb(largest) : 0;
}

/* ---- hashes ---- */

typedef struct patch {
  const ntk_program *program;
  const double *pixels;
  int rows, cols, circular; /* half its size */
} patch;

/* The pixel of channel c at (i, j), which may lie outside the image. */
static double pixel_at(const patch *t, int c, int i, int j) {
  const int height = t->program->height, width = t->program->width;
  const bool in = i >= 0 && i < height && j >= 0 && j < width;
  if (!in && !t->circular) return 0;
  if (!in) i = ((i % height) + height) % height, j = ((j % width) + width) % width;
  return t->pixels[((size_t)c * (size_t)height + (size_t)i) * (size_t)width + (size_t)j];
}

/* The direction of the patch around (i, j): equal hashes mean proportional patches, for which rho = +-1 holds exactly
 * and float32 noise is harmless (docs/accuracy.md). With a bias only equal patches are. */
static unsigned hash_patch(const patch *t, int i, int j, bool biased, double scale) {
  double lead = 0;
  uint64_t sum = 0, factor = 0x9e3779b97f4a7c15u;
  for (int c = 0; c < t->program->channels; c++)
    for (int a = i - t->rows; a <= i + t->rows; a++)
      for (int b = j - t->cols; b <= j + t->cols; b++) {
        const double value = pixel_at(t, c, a, b);
        if (lead == 0) lead = value;
        const float ratio = (float)(lead != 0 ? value * (1 / lead) : 0) + 0.0f; /* -0 and 0 are one value */
        uint32_t bits;
        memcpy(&bits, &ratio, sizeof bits);
        factor = factor * 6364136223846793005u + 1442695040888963407u;
        sum += bits * (factor | 1);
      }
  if (biased) {
    const double size = lead * scale;
    uint64_t bits;
    memcpy(&bits, &size, sizeof bits);
    sum += (bits ^ bits >> 32) * factor;
  }
  return (unsigned)(sum >> 24);
}

static void hash_patches(const ntk_program *p, const double *pixels, double scale, unsigned *out) {
  patch t = {.program = p, .pixels = pixels, .circular = p->layer_count && p->layers[0].circular};
  double bias = 0;
  for (int l = 0; l < p->layer_count; l++) {
    t.rows += p->layers[l].rows / 2, t.cols += p->layers[l].cols / 2, bias += p->layers[l].bias;
    if (p->layers[l].relu) break;
  }
  for (int i = 0; i < p->height; i++)
    for (int j = 0; j < p->width; j++) *out++ = hash_patch(&t, i, j, bias > 0, scale);
}

/* ---- tables ---- */

static void place(bool f64, void *tables, size_t at, double value) {
  if (f64)
    ((double *)tables)[at] = value;
  else
    ((float *)tables)[at] = (float)value;
}

/* The tables of an activation, from index `at` on, of the squares n^2 2^-shift of its normaliser before it. */
static void place_activation(bool f64, const ntk_program_layer *layer, size_t area, size_t stride,
                             const double *squares, int shift, double scale, size_t at, void *tables) {
  const double least = f64 ? 1e-290 : 1e-30; /* darker counts as black: 1/n would overflow */
  double side[NTK_DUAL_SIDES];
  for (size_t k = 0; k < area; k++) {
    const double square = ldexp(squares[k], shift);
    if (!layer->dual) {
      const double n = sqrt(square);
      place(f64, tables, at + 2 * k, n < least ? 0 : n);
      place(f64, tables, at + 2 * k + 1, n < least ? 0 : 1 / n);
      continue;
    }
    ntk_dual_side(layer->dual, square * (layer->dual_alpha / (scale * scale)), side, 1);
    for (int q = 0; q < ntk_dual_side_count(layer->dual); q++) place(f64, tables, at + (size_t)q * stride + k, side[q]);
  }
}

void ntk_stage_image_prepare(const ntk_plan *plan, const ntk_backend *backend, bool f64, const double *pixels,
                             void *scratch, void *tables, unsigned *hashes, ntk_stage_image *out) {
  const ntk_program *top = &plan->program;
  const size_t count = pixel_count(top), first = (count + 1) / 2 * 2;
  double *const rounded = scratch;
  double *const squares = (double *)((char *)scratch + align(count * sizeof(double)));
  char *const image = (char *)squares + align(norm_count(top) * sizeof(double));
  char *const work = image + align(backend->plane_f64->image_bytes(top));
  out->exponent = exponent_of(top, pixels), out->flat = count_flat(top, pixels);
  out->content = XXH3_64bits(pixels, count * sizeof *pixels);
  const double scale = ldexp(1, -out->exponent);
  for (size_t k = 0; k < count; k++) {
    /* the kernels see the rounded pixel, so the normalisers must too */
    const double value = f64 ? pixels[k] * scale : (double)(float)(pixels[k] * scale);
    rounded[k] = value / scale;
    place(f64, tables, k, value);
  }
  backend->plane_self(top, rounded, image, work, squares);
  /* rounding may have moved the largest pixel, and with it the power of two */
  const int shift = 2 * (exponent_of(top, rounded) - out->exponent);
  size_t table = first;
  const double *square = squares;
  for (int k = 0; k < top->stage_count; k++) {
    const ntk_program *p = &top->stages[k];
    const size_t area = (size_t)p->height * (size_t)p->width, reals = ntk_cuda_table_reals(p->height, p->width);
    for (int l = 0; l < p->layer_count; l++) {
      if (p->layers[l].norm < 0) continue;
      place_activation(f64, &p->layers[l], area, reals, square, shift, scale,
                       table + reals * (size_t)p->layers[l].table, tables);
      square += area;
    }
    table += reals * (size_t)p->table_count;
  }
  if (hashes) hash_patches(top->stages, pixels, scale, hashes);
}

bool ntk_stage_images_need_f64(const ntk_program *p, const ntk_stage_image *x, const ntk_stage_image *z) {
  enum { DEEP = 28 }; /* ReLU layers, as in kernels/plane_state.h */
  const int few = p->height * p->width / 100;
  if (!p->want_ntk) return false;
  return (p->few_entries && p->norm_count > DEEP) || (p->norm_count > 1 && x->flat > few && z->flat > few);
}
