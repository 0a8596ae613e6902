/* How time grows with the number of inputs and of pixels: features linearly, the exact kernel with the square
 * (feature_bench.h). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/feature_bench.h"

enum { MOST_POINTS = 5 };

static const char *const dense_network = "2*(dense relu) dense", *const conv_network = "conv3 relu conv3 relu gap";

/* One size of a series: features of n inputs, or an n x n matrix. */
typedef struct point {
  ntk_shape shape;
  int64_t n;
  ntk_features *features; /* or */
  ntk_plan *plan;
  double *x;
  void *out;
  double entry_layers;             /* of a pair */
  double seconds[BENCH_MOST_RUNS]; /* of a call */
} point;

/* Sizes double from point to point. */
typedef struct series {
  const char *engine, *grows, *network;
  int64_t dim; /* of features */
  int expected;
  int count;
  point points[MOST_POINTS];
} series;

static int open_point(const series *s, point *p) {
  const ntk_features_options options = {.dim = s->dim};
  const int code = s->dim ? feature_map_make(s->network, p->shape, &options, &p->features)
                          : feature_plan_make(s->network, p->shape, NTK_F32, &p->plan);
  if (code) return code;
  p->entry_layers = p->plan ? ntk_plan_cost(p->plan).entry_layers : 0;
  p->x = feature_inputs(p->shape, p->n, 1);
  p->out = s->dim ? calloc((size_t)(p->n * s->dim), sizeof(float)) : calloc((size_t)(p->n * p->n), sizeof(double));
  return p->x && p->out ? BENCH_OK : bench_fail(BENCH_BROKEN, "no memory for %lld inputs", (long long)p->n);
}

static void close_point(point *p) {
  ntk_features_free(p->features);
  ntk_plan_free(p->plan);
  free(p->x), free(p->out);
  p->features = NULL, p->plan = NULL, p->x = NULL, p->out = NULL;
}

static int time_point(feature_world *world, point *p, double *seconds) {
  return p->features ? feature_time(world, false, p->features, p->x, p->n, p->out, seconds, NULL)
                     : feature_time_exact(world, p->plan, p->x, p->n, p->out, seconds);
}

static double best_of(const series *s, int k, int rounds) { return bench_summarise(s->points[k].seconds, rounds).best; }

/* The factor that a doubling costs, on the average and the last time. */
static double ratio_per_doubling(const series *s, int rounds) {
  return pow(best_of(s, s->count - 1, rounds) / best_of(s, 0, rounds), 1.0 / (s->count - 1));
}

static double last_ratio(const series *s, int rounds) {
  return best_of(s, s->count - 1, rounds) / best_of(s, s->count - 2, rounds);
}

static json_t *describe(const series *s, int rounds) {
  json_t *points = json_array();
  for (int k = 0; k < s->count; k++) {
    const point *p = &s->points[k];
    json_t *one = json_pack("{sIsIso}", "inputs", (json_int_t)p->n, "pixels", (json_int_t)feature_pixels(p->shape),
                            "seconds", bench_summary_json(bench_summarise(p->seconds, rounds)));
    if (p->entry_layers > 0) json_object_set_new(one, "entry_layers_per_pair", json_real(p->entry_layers));
    json_array_append_new(points, one);
  }
  return json_pack("{sssssssIsisfsfso}", "engine", s->engine, "grows", s->grows, "network", s->network, "dim",
                   (json_int_t)s->dim, "expected_per_doubling", s->expected, "ratio_per_doubling",
                   ratio_per_doubling(s, rounds), "last_ratio", last_ratio(s, rounds), "points", points);
}

static void print(const series *s, int rounds) {
  printf("%-9s %-7s %-26s", s->engine, s->grows, s->network);
  for (int k = 0; k < s->count; k++) printf(" %9.3g", best_of(s, k, rounds));
  printf("   x %.2f a doubling, the last x %.2f (%d expected)\n", ratio_per_doubling(s, rounds), last_ratio(s, rounds),
         s->expected);
}

/* In rounds, so that a drift of the machine hits all sizes alike; the first call draws the random numbers. */
static int measure(feature_world *world, series *s) {
  double ignored;
  int code = BENCH_OK;
  for (int k = 0; k < s->count && !code; k++) {
    code = open_point(s, &s->points[k]);
    if (!code) code = time_point(world, &s->points[k], &ignored);
  }
  for (int round = 0; round < world->settings->rounds; round++)
    for (int k = 0; k < s->count && !code; k++) code = time_point(world, &s->points[k], &s->points[k].seconds[round]);
  for (int k = 0; k < s->count; k++) close_point(&s->points[k]);
  return code;
}

static series by_inputs(bool features, bool quick) {
  series s = {.engine = features ? "features" : "exact",
              .grows = "inputs",
              .network = dense_network,
              .dim = features ? 1024 : 0,
              .expected = features ? 2 : 4,
              .count = 4};
  if (quick) s.dim /= 8;
  for (int k = 0; k < s.count; k++)
    s.points[k] = (point){.shape = {784, 0, 0}, .n = (int64_t)(quick ? 128 : features ? 1024 : 512) << k};
  return s;
}

static series by_pixels(bool features, bool quick) {
  series s = {.engine = features ? "features" : "exact",
              .grows = "pixels",
              .network = conv_network,
              .dim = features ? 512 : 0,
              .expected = features ? 2 : 4,
              .count = 5};
  if (quick) s.dim /= 4, s.count = 3;
  for (int k = 0; k < s.count; k++)
    s.points[k] = (point){.shape = {3, (int64_t)8 << (k / 2), (int64_t)8 << ((k + 1) / 2)},
                          .n = (features ? 64 : 8) / (quick ? 4 : 1)};
  return s;
}

int feature_growth(feature_world *world, json_t *out) {
  const bool quick = world->settings->quick;
  const int rounds = world->settings->rounds;
  printf("\nGrowth, one thread: seconds of a call, every column twice the size of the one before\n");
  for (int k = 0; k < 4; k++) {
    const bool features = k % 2 == 0;
    series s = k < 2 ? by_inputs(features, quick) : by_pixels(features, quick);
    const int code = measure(world, &s);
    if (code) return code;
    print(&s, rounds);
    json_array_append_new(out, describe(&s, rounds));
    feature_measure_machine(world);
  }
  return BENCH_OK;
}
