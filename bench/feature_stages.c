/* Where the time of features goes, beside what their matrix products and transforms must cost (feature_bench.h). */
#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/feature_bench.h"

/* Rows of a bare product: as many as the library multiplies at once when a batch has them. */
enum { CASES = 3, RUNS_KINDS = 2, MOST_LAYERS = 3, BARE_ROWS = 512 };

/* Pixels behind the activations, for the shapes of the matrix products of 1x28x28 images. */
typedef struct stage_case {
  const char *network;
  ntk_feature_method method;
  int64_t dim, quick_dim, inputs; /* inputs of a call and thread */
  int layers;
  int pixels[MOST_LAYERS];
  int first; /* numbers that the first product reads */
} stage_case;

static const char conv_network[] = "conv3 relu avgpool2 conv3 relu avgpool2 conv3 relu gap";

static const stage_case cases[CASES] = {
    {"3*(dense relu) dense", NTK_FEATURES_RANDOM, 8192, 256, 1024, 3, {1, 1, 1}, 784},
    {conv_network, NTK_FEATURES_RANDOM, 2048, 256, 64, 3, {784, 196, 49}, 9},
    {conv_network, NTK_FEATURES_SKETCH, 2048, 256, 64, 3, {784, 196, 49}, 9},
};

typedef struct stage_run {
  double seconds[BENCH_MOST_RUNS]; /* of a call */
  double best;
  ntk_features_times times; /* of the best */
} stage_run;

typedef struct stage_state {
  const stage_case *c;
  int64_t dim, n[RUNS_KINDS];
  ntk_features *features;
  double *x;
  float *z;
  stage_run runs[RUNS_KINDS]; /* one thread, all */
  double bare;                /* seconds an input that bare products take on one thread; 0: none, or unknown shapes */
} stage_state;

/* Times one bare product; seconds a row. */
static double bare_product(int inputs, int columns, double least) {
  float *a = aligned_alloc(64, sizeof *a * BARE_ROWS * (size_t)inputs);
  float *b = aligned_alloc(64, sizeof *b * (size_t)inputs * (size_t)columns);
  float *c = aligned_alloc(64, sizeof *c * BARE_ROWS * (size_t)columns);
  double wall = 0;
  int calls = 0;
  if (a && b && c) {
    for (size_t k = 0; k < (size_t)BARE_ROWS * (size_t)inputs; k++) a[k] = (float)(k % 7) - 3;
    for (size_t k = 0; k < (size_t)inputs * (size_t)columns; k++) b[k] = (float)(k % 5) - 2;
    memset(c, 0, sizeof *c * BARE_ROWS * (size_t)columns);
    const double begin = bench_now();
    do {
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, BARE_ROWS, columns, inputs, 1, a, inputs, b, columns, 0, c,
                  columns);
      calls++, wall = bench_now() - begin;
    } while (wall < least);
  }
  free(a), free(b), free(c);
  return calls ? wall / calls / BARE_ROWS : 0;
}

/* The products of the library's map, bare, if their sizes sum up to what the map says that it multiplies. */
static double bare_products(const feature_world *world, const stage_state *s) {
  const ntk_features_options used = ntk_features_used(s->features);
  const double least = world->settings->run_seconds / MOST_LAYERS;
  const int order1 = (int)(used.dim - used.sketch_dim), order0 = (int)used.order0_dim;
  double seconds = 0, flops = 0;
  for (int k = 0; k < s->c->layers; k++) {
    const int inputs = k == 0 ? s->c->first : order1;
    const int columns = order1 + order0;
    flops += 2.0 * s->c->pixels[k] * inputs * columns;
    seconds += s->c->pixels[k] * bare_product(inputs, columns, least);
  }
  if (flops == ntk_features_cost_of(s->features).product_flops) return seconds;
  fprintf(stderr, "ntk_feature_bench: the products of %s have other sizes than this program knows\n", s->c->network);
  return 0;
}

static int open_state(const feature_world *world, const stage_case *c, stage_state *s) {
  const bool quick = world->settings->quick;
  *s = (stage_state){.c = c, .dim = quick ? c->quick_dim : c->dim};
  s->n[0] = quick ? c->inputs / 16 : c->inputs, s->n[1] = s->n[0] * world->threads;
  const ntk_features_options options = {.method = c->method, .dim = s->dim};
  const ntk_shape shape = {1, 28, 28};
  const int code = feature_map_make(c->network, shape, &options, &s->features);
  if (code) return code;
  s->x = feature_inputs(shape, s->n[1], 5);
  s->z = malloc((size_t)(s->n[1] * s->dim) * sizeof *s->z);
  return s->x && s->z ? BENCH_OK : bench_fail(BENCH_BROKEN, "no memory for %lld inputs", (long long)s->n[1]);
}

static void close_state(stage_state *s) {
  ntk_features_free(s->features);
  free(s->x), free(s->z);
}

static int time_state(feature_world *world, stage_state *s, int all, int round) {
  stage_run *run = &s->runs[all];
  ntk_features_times times;
  double seconds;
  const int code = feature_time(world, all, s->features, s->x, s->n[all], s->z, &seconds, &times);
  if (code || round < 0) return code;
  run->seconds[round] = seconds;
  if (run->best == 0 || seconds < run->best) run->best = seconds, run->times = times;
  return BENCH_OK;
}

static int time_round(feature_world *world, stage_state *states, int round) {
  feature_measure_machine(world);
  for (int k = 0; k < CASES; k++) {
    stage_state *s = &states[k];
    for (int all = 0; all < (world->threads > 1 ? RUNS_KINDS : 1); all++) {
      const int code = time_state(world, s, all, round);
      if (code) return code;
    }
    if (s->c->method != NTK_FEATURES_RANDOM) continue;
    const double bare = bare_products(world, s);
    if (s->bare == 0 || (bare > 0 && bare < s->bare)) s->bare = bare;
  }
  return BENCH_OK;
}

/* What follows from one run; times are thread-seconds an input, rates those of one core. */
typedef struct stage_figures {
  double records, whole, products, transforms;
  double product_gflops, of_peak, of_bare, transform_gflops, of_additions, floor;
} stage_figures;

static double over(double a, double b) { return b > 0 ? a / b : 0; }

static stage_figures figures(const feature_world *world, const stage_state *s, int all) {
  const stage_run *run = &s->runs[all];
  const bench_rates *r = &world->rates;
  const ntk_features_cost cost = ntk_features_cost_of(s->features);
  const double n = (double)s->n[all], threads = all ? world->threads : 1, lanes = r->lanes;
  const double one = r->per_second[BENCH_RATE_FMA], fma = all ? r->all_threads / threads : one;
  const double add = r->per_second[BENCH_RATE_ADD] * lanes * over(fma, one), slower = over(one, fma);
  const bool sketch = s->c->method == NTK_FEATURES_SKETCH;
  stage_figures f = {.records = n / run->best, .whole = run->best * threads / n};
  f.products = run->times.products / n;
  f.transforms = (run->times.sketches + (sketch ? run->times.units : 0)) / n;
  f.product_gflops = 1e-9 * over(cost.product_flops, f.products);
  f.of_peak = over(1e9 * f.product_gflops, 2 * fma * lanes);
  f.of_bare = over(s->bare * slower, f.products);
  f.transform_gflops = 1e-9 * over(cost.transform_flops, f.transforms);
  f.of_additions = over(1e9 * f.transform_gflops, add);
  f.floor = add > 0 && (sketch || s->bare > 0) ? (s->bare * slower + cost.transform_flops / add) / f.whole : 0;
  return f;
}

static json_t *shares(const stage_run *run, double threads) {
  const ntk_features_times *t = &run->times;
  const double whole = run->best * threads, known = t->input + t->products + t->units + t->sketches + t->sums;
  return json_pack("{sfsfsfsfsfsf}", "input", t->input / whole, "products", t->products / whole, "units",
                   t->units / whole, "sketches", t->sketches / whole, "sums", t->sums / whole, "rest",
                   1 - known / whole);
}

static json_t *describe(const feature_world *world, const stage_state *s, int all) {
  const stage_run *run = &s->runs[all];
  const stage_figures f = figures(world, s, all);
  const ntk_features_cost cost = ntk_features_cost_of(s->features);
  const int threads = all ? world->threads : 1;
  return json_pack(
      "{sssssIsIsi"
      "sosfso"
      "sfsfsfsf"
      "sfsfsf"
      "sfsf}",
      "network", s->c->network, "method", s->c->method == NTK_FEATURES_SKETCH ? "sketch" : "rf", "dim",
      (json_int_t)s->dim, "inputs", (json_int_t)s->n[all], "threads", threads, "seconds",
      bench_summary_json(bench_summarise(run->seconds, world->settings->rounds)), "records_per_second", f.records,
      "shares", shares(run, threads), "product_flops_per_record", cost.product_flops, "product_gflops_per_core",
      f.product_gflops, "product_fraction_of_fma_peak", f.of_peak, "product_fraction_of_bare_sgemm", f.of_bare,
      "transform_flops_per_record", cost.transform_flops, "transform_gflops_per_core", f.transform_gflops,
      "transform_fraction_of_additions", f.of_additions, "products_and_transforms_share",
      (f.products + f.transforms) / f.whole, "floor_share", f.floor);
}

static void print(const feature_world *world, const stage_state *s, int all) {
  const stage_figures f = figures(world, s, all);
  const stage_run *run = &s->runs[all];
  const double whole = run->best * (all ? world->threads : 1) / 100;
  printf("\n%s, %s, M = %lld, %d thread%s: %.4g records/s\n", s->c->network,
         s->c->method == NTK_FEATURES_SKETCH ? "sketch" : "rf", (long long)s->dim, all ? world->threads : 1,
         all ? "s" : "", f.records);
  printf("  time         products %.0f %%, units %.0f %%, sketches %.0f %%, sums %.0f %%, input %.0f %%\n",
         run->times.products / whole, run->times.units / whole, run->times.sketches / whole, run->times.sums / whole,
         run->times.input / whole);
  if (f.products > 0)
    printf("  products     %.4g Gflop/s a core, %.0f %% of the multiply-add peak, %.0f %% of a bare sgemm's speed\n",
           f.product_gflops, 100 * f.of_peak, 100 * f.of_bare);
  printf("  transforms   %.4g Gflop/s a core, %.0f %% of the addition peak\n", f.transform_gflops,
         100 * f.of_additions);
  printf("  together     %.0f %% of the time; at bare sgemm's speed and the addition peak %.0f %%\n",
         100 * (f.products + f.transforms) / f.whole, 100 * f.floor);
}

int feature_stages(feature_world *world, json_t *out) {
  stage_state states[CASES] = {{0}};
  int code = BENCH_OK;
  openblas_set_num_threads(1); /* as the library does while it computes features */
  for (int k = 0; k < CASES && !code; k++) code = open_state(world, &cases[k], &states[k]);
  for (int round = -1; round < world->settings->rounds && !code; round++) /* the first one draws and warms up */
    code = time_round(world, states, round);
  if (!code) printf("\nStages of ntk_features_compute, 1x28x28 images, best of %d runs\n", world->settings->rounds);
  for (int k = 0; k < CASES && !code; k++)
    for (int all = 0; all < (world->threads > 1 ? RUNS_KINDS : 1); all++) {
      print(world, &states[k], all);
      json_array_append_new(out, describe(world, &states[k], all));
    }
  for (int k = 0; k < CASES; k++) close_state(&states[k]);
  return code;
}
