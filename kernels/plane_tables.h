/* Part of plane_cpu.c: lane order, prepared images and their rotation.
 *
 * A row of `width` entries lives in NV vectors. Lane order "interleaved" (filters up to 3 wide): column j is lane j /
 * NV of vector j mod NV, so that most horizontal neighbours are whole vectors; "natural" (any filter): column j is lane
 * j mod LANES of vector j / LANES. Lanes beyond the width hold zero.
 */

typedef struct layout {
  int nv;  /* vectors a row */
  int row; /* reals a row: nv * LANES */
  int interleaved;
  int few; /* few channels: multiplied here */
} layout;

typedef struct image_head {
  int exponent; /* pixels are scaled by 2^-exponent */
  int reserved[15];
} image_head;

static layout layout_of(const ntk_program *p) {
  layout g;
  int all_small = 1;
  for (int l = 0; l < p->layer_count; l++)
    if (p->layers[l].rows > 3 || p->layers[l].cols > 3 || p->layers[l].circular) all_small = 0;
  g.nv = (p->width + LANES - 1) / LANES;
  if (g.nv == 3) g.nv = 4;
  g.interleaved = all_small && g.nv <= 4;
  g.row = g.nv * LANES;
  g.few = p->channels <= NTK_INNER_CHANNELS;
  return g;
}

/* Position of column j in a row. */
INLINE int lane_of(const layout *g, int j) { return g->interleaved ? j % g->nv * LANES + j / g->nv : j; }

/* Sections of a prepared image, in reals after the head: pixels, then per ReLU and row n and 1/n, then patch hashes. */
static size_t pixel_reals(const ntk_program *p, const layout *g) {
  size_t count = g->few ? (size_t)p->channels * p->height * g->row : (size_t)p->channels * p->height * p->width;
  return (count + 15) / 16 * 16;
}
static size_t norm_reals(const ntk_program *p, const layout *g) {
  return (size_t)p->norm_count * p->height * 2 * g->row;
}
static size_t hash_reals(const ntk_program *p, const layout *g) { return (size_t)p->height * g->row; }

static size_t image_bytes(const ntk_program *p) {
  layout g = layout_of(p);
  size_t reals = pixel_reals(p, &g) + norm_reals(p, &g) + hash_reals(p, &g);
  return sizeof(image_head) + (reals * sizeof(real) + 63) / 64 * 64;
}

static const real *image_pixels(const void *image) { return (const real *)((const char *)image + sizeof(image_head)); }

static const void *channel_matrix(const ntk_program *p, const void *image) {
  layout g = layout_of(p);
  return g.few ? NULL : (const void *)image_pixels(image);
}

/* Zero-padded or circular box sum of a height x width array, in place; tmp holds as many values. */
static void box_f64(double *v, double *tmp, int height, int width, int rows, int cols, int circular) {
  int wr = rows / 2, wc = cols / 2;
  for (int i = 0; i < height; i++)
    for (int j = 0; j < width; j++) {
      double sum = 0;
      for (int k = -wc; k <= wc; k++) {
        int c = j + k;
        if (circular) c = ((c % width) + width) % width;
        if (c >= 0 && c < width) sum += v[i * width + c];
      }
      tmp[i * width + j] = sum;
    }
  for (int i = 0; i < height; i++)
    for (int j = 0; j < width; j++) {
      double sum = 0;
      for (int k = -wr; k <= wr; k++) {
        int r = i + k;
        if (circular) r = ((r % height) + height) % height;
        if (r >= 0 && r < height) sum += tmp[r * width + j];
      }
      v[i * width + j] = sum;
    }
}

static uint64_t mix64(uint64_t h, uint64_t value) {
  h = (h ^ value) * 0x9e3779b97f4a7c15u;
  return h ^ (h >> 29);
}

/* Hashes the direction of the first ReLU's receptive patch around every pixel: equal hashes mean that the two patches
 * are proportional, so that rho = +-1 holds exactly and float32 noise there is harmless (docs/accuracy.md). */
static void hash_patches(const ntk_program *p, const layout *g, const double *pixels, double scale, real_bits *hash) {
  int wr = 0, wc = 0, circular = p->layers[0].circular, height = p->height, width = p->width;
  double bias = 0;
  for (int l = 0; l < p->layer_count; l++) {
    wr += p->layers[l].rows / 2, wc += p->layers[l].cols / 2, bias += p->layers[l].bias;
    if (p->layers[l].relu) break;
  }
  for (int i = 0; i < height; i++)
    for (int j = 0; j < width; j++) {
      uint64_t h = 1;
      double lead = 0;
      for (int c = 0; c < p->channels; c++)
        for (int a = -wr; a <= wr; a++)
          for (int b = -wc; b <= wc; b++) {
            int r = i + a, s = j + b;
            if (circular) r = (r % height + height) % height, s = (s % width + width) % width;
            double value =
                r < 0 || r >= height || s < 0 || s >= width ? 0 : pixels[((size_t)c * height + r) * width + s];
            if (lead == 0 && value != 0) lead = value;
            float ratio = lead == 0 ? 0 : (float)(value / lead);
            uint32_t bits;
            ratio += 0.0f; /* -0 and 0 are one value */
            memcpy(&bits, &ratio, sizeof bits);
            h = mix64(h, bits);
          }
      if (bias > 0) { /* S + bias: proportional only if the patches are equal */
        double ratio = lead * scale;
        uint64_t bits;
        memcpy(&bits, &ratio, sizeof bits);
        h = mix64(h, bits);
      }
      hash[(size_t)i * g->row + lane_of(g, j)] = (real_bits)(h >> 8);
    }
}

static void prepare(const ntk_program *p, const double *pixels, void *image, void *scratch) {
  layout g = layout_of(p);
  size_t area = (size_t)p->height * p->width;
  image_head *head = image;
  real *out = (real *)((char *)image + sizeof(image_head));
  double *v = scratch, *tmp = v + area;
  memset(image, 0, image_bytes(p));

  double largest = p->bias_scale;
  for (size_t k = 0; k < area * p->channels; k++)
    if (fabs(pixels[k]) > largest) largest = fabs(pixels[k]);
  head->exponent = largest > 0 ? ilogb(largest) : 0;
  double scale = ldexp(1, -head->exponent);

  memset(v, 0, area * sizeof *v);
  for (int c = 0; c < p->channels; c++)
    for (size_t k = 0; k < area; k++) {
      /* the kernels see the rounded pixel, so the normalisers must too */
      real value = (real)(pixels[c * area + k] * scale);
      v[k] += (double)value * (double)value;
      int i = (int)(k / p->width), j = (int)(k % p->width);
      if (g.few)
        out[((size_t)c * p->height + i) * g.row + lane_of(&g, j)] = value;
      else
        out[c * area + k] = value;
    }

  real *norms = out + pixel_reals(p, &g);
  for (int l = 0; l < p->layer_count; l++) {
    const ntk_program_layer *layer = &p->layers[l];
    box_f64(v, tmp, p->height, p->width, layer->rows, layer->cols, layer->circular);
    double bias = layer->bias * scale * scale;
    for (size_t k = 0; k < area; k++) v[k] += bias;
    if (layer->norm >= 0)
      for (size_t k = 0; k < area; k++) {
        int i = (int)(k / p->width), j = (int)(k % p->width);
        real *at = norms + ((size_t)layer->norm * p->height + i) * 2 * g.row + lane_of(&g, j);
        double n = sqrt(v[k]);
        at[0] = (real)n;
        at[g.row] = n > 0 ? (real)(1 / n) : 0;
      }
    if (layer->rescale != 1)
      for (size_t k = 0; k < area; k++) v[k] *= layer->rescale;
  }
  if (!NTK_REAL_F64 && p->norm_count > 0 && g.few)
    hash_patches(p, &g, pixels, scale, (real_bits *)(norms + norm_reals(p, &g)));
}

/* A copy of z's rows with columns moved by b: entry j of the copy is column (j + b) mod width. Rows are whole groups of
 * nv vectors.*/
static void rotate_rows(const layout *g, int width, int b, const real *from, real *to, size_t rows) {
  if (g->interleaved && width % g->nv == 0) {
    /* Columns of one vector are one residue class mod nv; the class wraps onto itself. */
    real_bits index[4][LANES];
    int period = width / g->nv;
    for (int k = 0; k < g->nv; k++)
      for (int l = 0; l < LANES; l++) index[k][l] = l < period ? (l + (k + b) / g->nv) % period : l;
    for (size_t r = 0; r < rows; r++)
      for (int k = 0; k < g->nv; k++)
        vec_store(to + r * g->row + k * LANES,
                  vec_permute(vec_load(from + r * g->row + (k + b) % g->nv * LANES), index[k]));
    return;
  }
  int source[NTK_MAX_SIDE];
  memset(to, 0, rows * g->row * sizeof(real)); /* lanes beyond the width */
  for (int j = 0; j < width; j++) source[j] = lane_of(g, (j + b) % width);
  for (size_t r = 0; r < rows; r++)
    for (int j = 0; j < width; j++) to[r * g->row + lane_of(g, j)] = from[r * g->row + source[j]];
}
