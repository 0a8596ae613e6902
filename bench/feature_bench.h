/* The benchmark program of features: what its files share (docs/performance.md). Of libntk only the public API. */
#ifndef NTK_BENCH_FEATURE_BENCH_H
#define NTK_BENCH_FEATURE_BENCH_H

#include "bench/bench.h"

typedef struct feature_settings {
  bool quick;
  int threads; /* of what runs on many; 0: all */
  int rounds;
  double run_seconds;
  const char *json, *commit, *only; /* only: one part, or NULL */
} feature_settings;

typedef struct feature_world {
  const feature_settings *settings;
  ntk_context *one, *all;
  int threads; /* of `all` */
  bench_rates rates;
  double clocks[BENCH_MOST_RUNS];
  int clock_count;
  double least_cpu_share; /* processor time over wall time of the worst timed call on one thread */
} feature_world;

/* ---- feature_bench.c */

int feature_map_make(const char *network, ntk_shape shape, const ntk_features_options *options, ntk_features **out);
int feature_plan_make(const char *network, ntk_shape shape, ntk_precision precision, ntk_plan **out);
/* Smooth inputs, n x C x H x W: each channel of an input is the sum of four waves of random direction and phase, at
 * most a quarter of a period a pixel, of mean square 1. The same for the same seed. Owned by the caller; NULL: no
 * memory. */
double *feature_inputs(ntk_shape shape, int64_t n, uint64_t seed);
int64_t feature_pixels(ntk_shape shape); /* 1 for vectors */
/* Notes how busy one thread was between two moments. */
void feature_note_share(feature_world *world, double cpu_seconds, double wall);
/* One run of as many calls as fill run_seconds, on one thread unless `all`; seconds of a call, and what the library
 * says where they went, a call. times may be NULL. */
int feature_time(feature_world *world, bool all, const ntk_features *features, const double *x, int64_t n, float *out,
                 double *seconds, ntk_features_times *times);
/* The same of an n x n matrix: x against itself. */
int feature_time_exact(feature_world *world, const ntk_plan *plan, const double *x, int64_t n, double *out,
                       double *seconds);
/* Clock and instruction rates; once a round. */
void feature_measure_machine(feature_world *world);

/* ---- the parts: each prints a table and appends its results to `out` */

int feature_growth(feature_world *world, json_t *out); /* feature_speed.c */
int feature_error(feature_world *world, json_t *out);  /* feature_error.c */
int feature_stages(feature_world *world, json_t *out); /* feature_stages.c */

#endif
