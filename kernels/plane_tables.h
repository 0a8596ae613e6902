/* Part of plane_cpu.c: lane order, prepared images and their rotation.
 *
 * A row of `width` entries lives in NV vectors. Lane order "interleaved" (filters up to 3 wide): column j is lane j /
 * NV of vector j mod NV, so that most horizontal neighbours are whole vectors; "natural" (any filter): column j is lane
 * j mod LANES of vector j / LANES. Lanes beyond the width hold zero.
 */

typedef struct layout {
  int nv;    /* vectors a row */
  int shift; /* log2(nv) in the interleaved order */
  int row;   /* reals a row: nv * LANES */
  int interleaved;
  int few; /* few channels: multiplied here */
} layout;

typedef struct image_head {
  int exponent; /* pixels are scaled by 2^-exponent */
  int flat;     /* pixels in the middle of a constant patch */
  int reserved[14];
} image_head;

static layout layout_of(const ntk_program *p) {
  layout g;
  int all_small = 1;
  for (int l = 0; l < p->layer_count; l++)
    if (p->layers[l].rows > 3 || p->layers[l].cols > 3 || p->layers[l].circular) all_small = 0;
  if (p->large_filters) all_small = 0;
  g.nv = (p->width + LANES - 1) / LANES;
  if (g.nv == 3) g.nv = 4;
  g.interleaved = all_small && g.nv <= 4;
  g.shift = g.nv == 4 ? 2 : g.nv == 2;
  g.row = g.nv * LANES;
  g.few = p->channels <= NTK_INNER_CHANNELS;
  return g;
}

/* Position of column j in a row. */
INLINE int lane_of(const layout *g, int j) { return g->interleaved ? (j & (g->nv - 1)) * LANES + (j >> g->shift) : j; }

/* Sections of a prepared image, in reals after the head: pixels, then per ReLU and row n and 1/n, then patch hashes. */
static size_t pixel_reals(const ntk_program *p, const layout *g) {
  size_t count = g->few ? (size_t)p->channels * p->height * g->row : (size_t)p->channels * p->height * p->width;
  return (count + 15) / 16 * 16;
}
static size_t norm_reals(const ntk_program *p, const layout *g) { return (size_t)p->table_count * p->height * g->row; }
static size_t hash_reals(const ntk_program *p, const layout *g) { return (size_t)p->height * g->row; }

/* Natural-order float64 copies for plane_first.h: pixels, then n of the first ReLU. */
static size_t exact_doubles(const ntk_program *p, const layout *g) {
  if (NTK_REAL_F64 || !g->few || !p->want_ntk || p->norm_count < 2 || p->in_stages) return 0;
  return ((size_t)p->channels + 1) * p->height * p->width;
}

static size_t lane_bytes(const ntk_program *p, const layout *g) {
  size_t reals = pixel_reals(p, g) + norm_reals(p, g) + hash_reals(p, g);
  return sizeof(image_head) + (reals * sizeof(real) + 63) / 64 * 64;
}

static size_t image_bytes_of(const ntk_program *p, const layout *g) {
  return lane_bytes(p, g) + (exact_doubles(p, g) * sizeof(double) + 63) / 64 * 64;
}

/* Networks in stages: one prepared image a stage, one behind the other. */
static size_t image_bytes(const ntk_program *p) {
  size_t bytes = 0;
  for (int k = 0; k < (p->stage_count ? p->stage_count : 1); k++) {
    const ntk_program *stage = p->stage_count ? &p->stages[k] : p;
    const layout g = layout_of(stage);
    bytes += image_bytes_of(stage, &g);
  }
  return bytes;
}

static const double *exact_section(const ntk_program *p, const layout *g, const void *image) {
  return (const double *)((const char *)image + lane_bytes(p, g));
}

static const real *image_pixels(const void *image) { return (const real *)((const char *)image + sizeof(image_head)); }

static const void *channel_matrix(const ntk_program *p, const void *image) {
  if (p->stage_count) p = p->stages;
  layout g = layout_of(p);
  return g.few ? NULL : (const void *)image_pixels(image);
}

/* out[i] = SUM of in[i - w .. i + w], zero-padded or circular; rows of `inner` values are summed as vectors. */
static void box_axis(const double *in, double *out, int n, size_t inner, int w, int circular) {
  for (int i = 0; i < n; i++) {
    double *to = out + i * inner;
    memcpy(to, in + i * inner, inner * sizeof *to);
    for (int s = 1; s <= w; s++) {
      int below = i - s, above = i + s;
      if (circular) below = (below % n + n) % n, above %= n;
      if (below >= 0)
        for (size_t k = 0; k < inner; k++) to[k] += in[below * inner + k];
      if (above < n)
        for (size_t k = 0; k < inner; k++) to[k] += in[above * inner + k];
    }
  }
}

/* Box sum of a height x width array in place; tmp holds as many values. */
static void box_f64(double *v, double *tmp, int height, int width, int rows, int cols, int circular) {
  box_axis(v, tmp, height, (size_t)width, rows / 2, circular);
  for (int i = 0; i < height; i++) {
    const double *in = tmp + i * width;
    double *to = v + i * width;
    if (circular || cols > 3 || width < 2) {
      box_axis(in, to, width, 1, cols / 2, circular);
    } else if (cols == 3) { /* the common case, in a form that vectorises */
      to[0] = in[0] + in[1];
      for (int j = 1; j < width - 1; j++) to[j] = in[j - 1] + in[j] + in[j + 1];
      to[width - 1] = in[width - 2] + in[width - 1];
    } else {
      memcpy(to, in, (size_t)width * sizeof *to);
    }
  }
}

/* A row in natural order into lane order. */
static void place_row(const layout *g, int width, const real *from, real *to) {
  if (!g->interleaved || g->nv == 1) {
    for (int j = 0; j < width; j++) to[j] = from[j];
  } else if (g->nv == 2) { /* the common case, in a form that vectorises */
    for (int l = 0; l < width / 2; l++) to[l] = from[2 * l], to[LANES + l] = from[2 * l + 1];
    if (width % 2) to[width / 2] = from[width - 1];
  } else {
    for (int k = 0; k < g->nv; k++)
      for (int j = k, l = 0; j < width; j += g->nv, l++) to[k * LANES + l] = from[j];
  }
}

/* n = sqrt(v) and 1/n of every pixel, in lane order; 1/n scaled as the duals want it. */
static void place_norms(const ntk_program *p, const layout *g, const double *v, int whole, real *out) {
  /* pixels this dark beside others (which are of size 1) count as black: 1/n would overflow */
  const double least = NTK_REAL_F64 ? 1e-290 : 1e-30;
  const double root = whole ? 1 : sqrt((double)NTK_DUAL_SCALE);
  real n[NTK_MAX_SIDE], inverse[NTK_MAX_SIDE];
  for (int i = 0; i < p->height; i++, out += 2 * g->row, v += p->width) {
    for (int j = 0; j < p->width; j++) {
      const double size = sqrt(v[j]), inside = size < least ? 1 : size, reciprocal = root / inside;
      n[j] = (real)(size < least ? 0 : size);
      inverse[j] = (real)(size < least ? 0 : reciprocal);
    }
    place_row(g, p->width, n, out);
    place_row(g, p->width, inverse, out + g->row);
  }
}

/* Half the height and width of the first ReLU's receptive patch. */
static void first_patch(const ntk_program *p, int *rows, int *cols) {
  *rows = *cols = 0;
  for (int l = 0; l < p->layer_count; l++) {
    *rows += p->layers[l].rows / 2, *cols += p->layers[l].cols / 2;
    if (p->layers[l].relu) return;
  }
}

/* One channel inside a frame of `rows` and `cols` pixels: zeros, or the opposite side. */
static void frame_channel(const double *pixels, int height, int width, int rows, int cols, int circular, double *out) {
  const int wide = width + 2 * cols;
  for (int i = -rows; i < height + rows; i++) {
    double *to = out + (size_t)(i + rows) * wide + cols;
    const int inside = i >= 0 && i < height, from = ((i % height) + height) % height;
    for (int j = -cols; j < width + cols; j++) to[j] = 0;
    if (!inside && !circular) continue;
    memcpy(to, pixels + (size_t)from * width, (size_t)width * sizeof *to);
    for (int j = 1; circular && j <= cols; j++) {
      to[-j] = pixels[(size_t)from * width + ((width - j) % width + width) % width];
      to[width - 1 + j] = pixels[(size_t)from * width + (j - 1) % width];
    }
  }
}

/* Hashes the direction of the first ReLU's receptive patch around every pixel: equal hashes mean that the two patches
 * are proportional, so that rho = +-1 holds exactly and float32 noise there is harmless (docs/accuracy.md). The hash is
 * the sum of the bits of value / first value that is not 0, each times a number of its own; whole rows at a time. */
static void hash_patches(const ntk_program *p, const layout *g, const double *pixels, double scale, real_bits *hash,
                         double *framed) {
  int wr, wc, circular = p->layers[0].circular, height = p->height, width = p->width;
  double bias = 0;
  for (int l = 0; l < p->layer_count && (l == 0 || !p->layers[l - 1].relu); l++) bias += p->layers[l].bias;
  first_patch(p, &wr, &wc);
  const int wide = width + 2 * wc;
  const size_t channel = (size_t)(height + 2 * wr) * wide;
  for (int c = 0; c < p->channels; c++)
    frame_channel(pixels + (size_t)c * height * width, height, width, wr, wc, circular, framed + c * channel);
  for (int i = 0; i < height; i++) {
    double lead[NTK_MAX_SIDE] = {0}, inverse[NTK_MAX_SIDE];
    uint64_t sum[NTK_MAX_SIDE] = {0}, factor = 0x9e3779b97f4a7c15u;
    for (int pass = 0; pass < 2; pass++) {
      for (int c = 0; c < p->channels; c++)
        for (int a = 0; a <= 2 * wr; a++)
          for (int b = 0; b <= 2 * wc; b++) {
            const double *at = framed + c * channel + (size_t)(i + a) * wide + b;
            if (pass == 0) {
              for (int j = 0; j < width; j++) lead[j] = lead[j] != 0 ? lead[j] : at[j];
              continue;
            }
            factor = factor * 6364136223846793005u + 1442695040888963407u;
            for (int j = 0; j < width; j++) {
              float ratio = (float)(at[j] * inverse[j]) + 0.0f; /* -0 and 0 are one value */
              uint32_t bits;
              memcpy(&bits, &ratio, sizeof bits);
              sum[j] += bits * (factor | 1);
            }
          }
      for (int j = 0; j < width; j++) inverse[j] = lead[j] != 0 ? 1 / lead[j] : 0;
    }
    for (int j = 0; j < width; j++) {
      if (bias > 0) { /* S + bias: proportional only if the patches are equal */
        double size = lead[j] * scale;
        uint64_t bits;
        memcpy(&bits, &size, sizeof bits);
        sum[j] += (bits ^ bits >> 32) * factor;
      }
      hash[(size_t)i * g->row + lane_of(g, j)] = (real_bits)(sum[j] >> 24);
    }
  }
}

/* Counts the pixels whose 3 x 3 neighbourhood is constant in every channel, black ones (which have no rho) left out. */
static int count_flat(const ntk_program *p, const double *pixels) {
  int height = p->height, width = p->width, count = 0;
  for (int i = 1; i + 1 < height; i++)
    for (int j = 1; j + 1 < width; j++) {
      int flat = 1, black = 1;
      for (int c = 0; c < p->channels && flat; c++) {
        const double *at = pixels + ((size_t)c * height + i) * width + j;
        black &= *at == 0;
        for (int a = -1; a <= 1 && flat; a++)
          flat = at[a * width - 1] == *at && at[a * width] == *at && at[a * width + 1] == *at;
      }
      count += flat && !black;
    }
  return count;
}

/* Whether the planes of a pair carry the deficit D = v - S instead of S. Where both images have constant regions, rho
 * is 1 to many digits over whole areas, and 1 - rho would drown in the rounding of S (docs/accuracy.md). */
static int needs_deficit(const ntk_program *p, const image_head *x, const image_head *z) {
  int few = p->height * p->width / 100;
  return p->want_ntk && p->norm_count > 1 && x->flat > few && z->flat > few;
}

/* The head and the pixels of a prepared image; v receives the sum of the squares of each pixel's channels, exact the
 * rounded pixels (may be NULL). Returns the factor 2^-exponent of the pixels. */
static double place_pixels(const ntk_program *p, const layout *g, const double *pixels, void *image, double *v,
                           double *exact) {
  const size_t area = (size_t)p->height * p->width;
  image_head *head = image;
  real *out = (real *)((char *)image + sizeof(image_head));
  memset(head, 0, sizeof *head);
  double largest = p->bias_scale;
  for (size_t k = 0; k < area * p->channels; k++)
    if (fabs(pixels[k]) > largest) largest = fabs(pixels[k]);
  head->exponent = largest > 0 ? ilogb(largest) : 0;
  head->flat = count_flat(p, pixels);
  double scale = ldexp(1, -head->exponent);

  memset(v, 0, area * sizeof *v);
  for (int row = 0; row < p->channels * p->height; row++) {
    const size_t first = (size_t)row * p->width;
    double *const squares = v + first % area;
    real values[NTK_MAX_SIDE];
    for (int j = 0; j < p->width; j++) {
      /* the kernels see the rounded pixel, so the normalisers must too */
      values[j] = (real)(pixels[first + j] * scale);
      squares[j] += (double)values[j] * (double)values[j];
    }
    if (exact)
      for (int j = 0; j < p->width; j++) exact[first + j] = (double)values[j];
    if (g->few)
      place_row(g, p->width, values, out + (size_t)row * g->row);
    else
      memcpy(out + first, values, (size_t)p->width * sizeof *values);
  }
  return scale;
}

static real *image_table(const ntk_program *p, const layout *g, void *image, int table) {
  real *const tables = (real *)((char *)image + sizeof(image_head)) + pixel_reals(p, g);
  return tables + (size_t)table * p->height * g->row;
}

static void prepare_plain(const ntk_program *p, const double *pixels, void *image, void *scratch) {
  layout g = layout_of(p);
  size_t area = (size_t)p->height * p->width;
  double *v = scratch, *tmp = v + area, *exact = exact_doubles(p, &g) ? (double *)exact_section(p, &g, image) : NULL;
  const int hashed = !NTK_REAL_F64 && p->norm_count > 0 && g.few;
  /* clear what is not written below (lanes beyond the width, padding, hashes): copies are compared byte by byte */
  if (!hashed || g.row != p->width || g.row % 16 != 0) memset(image, 0, image_bytes_of(p, &g));
  const double scale = place_pixels(p, &g, pixels, image, v, exact);
  for (int l = 0; l < p->layer_count; l++) {
    const ntk_program_layer *layer = &p->layers[l];
    box_f64(v, tmp, p->height, p->width, layer->rows, layer->cols, layer->circular);
    double bias = layer->bias * scale * scale;
    if (bias > 0)
      for (size_t k = 0; k < area; k++) v[k] += bias;
    if (layer->norm == 0 && exact)
      for (size_t k = 0; k < area; k++) exact[p->channels * area + k] = sqrt(v[k]);
    if (layer->norm >= 0) place_norms(p, &g, v, layer->signed_rho, image_table(p, &g, image, layer->table));
    if (layer->rescale != 1)
      for (size_t k = 0; k < area; k++) v[k] *= layer->rescale;
  }
  if (hashed) hash_patches(p, &g, pixels, scale, (real_bits *)image_table(p, &g, image, p->table_count), scratch);
}

/* A copy of z's rows with columns moved by b: entry j of the copy is column (j + b) mod width. Rows are whole groups of
 * nv vectors.*/
static void rotate_rows(const layout *g, int width, int b, const real *from, real *to, size_t rows) {
  if (g->interleaved && width % g->nv == 0) {
    /* Columns of one vector are one residue class mod nv; the class wraps onto itself. */
    const int period = width / g->nv;
    for (int k = 0; k < g->nv; k++) {
      real_bits index[LANES];
      const real *in = from + (k + b) % g->nv * LANES;
      real *out = to + k * LANES;
      for (int l = 0; l < LANES; l++) index[l] = l < period ? (l + (k + b) / g->nv) % period : l;
      for (size_t r = 0; r < rows; r++, in += g->row, out += g->row) vec_store(out, vec_permute(vec_load(in), index));
    }
    return;
  }
  int source[NTK_MAX_SIDE];
  memset(to, 0, rows * g->row * sizeof(real)); /* lanes beyond the width */
  for (int j = 0; j < width; j++) source[j] = lane_of(g, (j + b) % width);
  for (size_t r = 0; r < rows; r++)
    for (int j = 0; j < width; j++) to[r * g->row + lane_of(g, j)] = from[r * g->row + source[j]];
}
