/* Part of plane_cpu.c: the first layer of a deficit pair, in float64.
 *
 * Everything later starts from D = v - |S| of the first ReLU. For nearly parallel patches float32 products leave of it
 * nothing but noise, so it is computed in float64 here, in natural order and plain loops that the compiler vectorises.
 */

/* Whether the first layer can be computed here. */
static int first_is_exact(const ntk_program *p, const layout *g) {
  return exact_doubles(p, g) > 0 && p->layer_count > 1 && p->layers[0].relu && !p->layers[0].circular;
}

/* out[j] = SUM of in[j - w .. j + w] inside [begin, end). */
static void window_row(const double *in, double *out, int begin, int end, int w) {
  for (int j = begin; j < end; j++) out[j] = in[j];
  for (int s = 1; s <= w; s++) {
    for (int j = begin + s; j < end; j++) out[j] += in[j - s];
    for (int j = begin; j < end - s; j++) out[j] += in[j + s];
  }
}

/* Input products and their row sums for all demanded rows. */
static void exact_products(const tile_state *t, double *sums) {
  const ntk_program *p = t->program;
  int width = p->width, area = p->height * width, left = width - t->b;
  for (int r = t->first_row; r < t->first_row + t->rows; r++) {
    double product[NTK_MAX_SIDE] = {0};
    int partner = ntk_axis_partner(r, p->height, t->a);
    for (int c = 0; c < p->channels; c++) {
      const double *x = t->x_exact + (size_t)c * area + r * width, *z = t->z_exact + (size_t)c * area + partner * width;
      for (int j = 0; j < left; j++) product[j] += x[j] * z[j + t->b];
      for (int j = left; j < width; j++) product[j] += x[j] * z[j - left];
    }
    window_row(product, sums + r * width, 0, left, p->layers[0].cols / 2);
    window_row(product, sums + r * width, left, width, p->layers[0].cols / 2);
  }
}

/* The state (D, T, V) of one row after the first ReLU, in lane order. */
static void exact_row(const tile_state *t, const double *sums, int r, real *d_out, real *t_out, real *v_out) {
  static const double p_poly[] = {NTK_DUAL_P6}, s_poly[] = {NTK_DUAL_S5};
  const ntk_program *p = t->program;
  const ntk_program_layer *layer = &p->layers[0];
  int width = p->width, left = width - t->b, partner = ntk_axis_partner(r, p->height, t->a);
  size_t norms = (size_t)p->channels * p->height * width;
  const double *n_x = t->x_exact + norms + r * width, *n_z = t->z_exact + norms + partner * width;
  double s[NTK_MAX_SIDE] = {0}, v[NTK_MAX_SIDE], bias = layer->bias * t->pair_scale;
  for (int j = 0; j < left; j++) v[j] = n_x[j] * n_z[j + t->b];
  for (int j = left; j < width; j++) v[j] = n_x[j] * n_z[j - left];
  for (int n = r - layer->rows / 2; n <= r + layer->rows / 2; n++) {
    if (n < 0 || n >= p->height || ntk_axis_offset(n, p->height, t->a) != ntk_axis_offset(r, p->height, t->a)) continue;
    for (int j = 0; j < width; j++) s[j] += sums[n * width + j];
  }
  /* Whole arrays at constant length, without branches: this loop must vectorise. */
  double deficit[NTK_MAX_SIDE], theta[NTK_MAX_SIDE];
  const double trained = layer->trained;
  const int padded = (width + 15) / 16 * 16;
  for (int j = width; j < padded; j++) v[j] = 1;
  for (int j = 0; j < padded; j++) {
    double covariance = s[j] + bias, positive = covariance > 0 ? 1.0 : 0.0;
    double m = (v[j] - fabs(covariance)) / (v[j] > 0 ? v[j] : 1);
    m = m > 4e-15 ? m : 0;
    double q = sqrt(m), sp = s_poly[5], pp = p_poly[6];
    sp = sp * m + s_poly[4], sp = sp * m + s_poly[3], sp = sp * m + s_poly[2], sp = sp * m + s_poly[1],
    sp = sp * m + s_poly[0];
    pp = pp * m + p_poly[5], pp = pp * m + p_poly[4], pp = pp * m + p_poly[3], pp = pp * m + p_poly[2],
    pp = pp * m + p_poly[1], pp = pp * m + p_poly[0];
    double minus = q * pp, k0 = positive + (1 - 2 * positive) * minus;
    deficit[j] = v[j] * ((positive > 0 ? m : 1.0) - m * q * sp);
    theta[j] = trained * covariance * k0;
  }
  if (t->g.interleaved && t->g.nv == 2) {
    for (int k = 0; 2 * k < width; k++) {
      int odd = 2 * k + 1 < width;
      d_out[k] = (real)deficit[2 * k], d_out[LANES + k] = odd ? (real)deficit[2 * k + 1] : 0;
      t_out[k] = (real)theta[2 * k], t_out[LANES + k] = odd ? (real)theta[2 * k + 1] : 0;
      v_out[k] = (real)v[2 * k], v_out[LANES + k] = odd ? (real)v[2 * k + 1] : 0;
    }
    return;
  }
  for (int j = 0; j < width; j++) {
    int at = lane_of(&t->g, j);
    d_out[at] = (real)deficit[j], t_out[at] = (real)theta[j], v_out[at] = (real)v[j];
  }
}

/* The whole first layer of a tile, into h buffers 1. */
static void first_exact(tile_state *t, double *sums) {
  const ntk_program *p = t->program;
  const ntk_program_layer *layer = &p->layers[0];
  const vec rescale = vec_set((real)layer->rescale);
  exact_products(t, sums);
  for (int r = t->first_row; r < t->first_row + t->rows; r++) {
    vec d[MAX_NV], tt[MAX_NV], v[MAX_NV], s[MAX_NV];
    for (int k = 0; k < t->g.nv; k++) d[k] = tt[k] = v[k] = vec_zero();
    exact_row(t, sums, r, (real *)d, (real *)tt, (real *)v);
    for (int k = 0; k < t->g.nv; k++) {
      d[k] = d[k] * rescale, tt[k] = tt[k] * rescale, v[k] = v[k] * rescale;
      s[k] = v[k] - d[k];
    }
    if (layer->tap >= 0) pool_row(t->g.nv, t, r, s, tt);
    if (layer[1].trained)
      for (int k = 0; k < t->g.nv; k++) tt[k] = tt[k] + s[k];
    store_row(t, &layer[1], r, d, tt, v, 1);
  }
}
