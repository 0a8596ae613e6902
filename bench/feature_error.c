/* How far Z Z^T is from the exact kernel, against what an input costs (feature_bench.h). */
#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/feature_bench.h"

enum { DIMS = 5, MOST_GIBBS_DIM = 1024, QUICK_INPUTS = 24, INPUTS = 100 };

typedef struct error_case {
  const char *network;
  ntk_shape shape;
  int64_t timed; /* inputs of a timed call: so many that no batch is padded much */
} error_case;

static const error_case cases[] = {{"2*(dense relu) dense", {64, 0, 0}, 1024},
                                   {"conv3 relu avgpool2 conv3 relu gap", {3, 12, 12}, 112}};

static const struct {
  const char *name;
  ntk_feature_method method;
  ntk_sampling sampling;
} methods[] = {{"rf", NTK_FEATURES_RANDOM, NTK_SAMPLING_GAUSSIAN},
               {"rf leverage", NTK_FEATURES_RANDOM, NTK_SAMPLING_LEVERAGE},
               {"rf gibbs", NTK_FEATURES_RANDOM, NTK_SAMPLING_GIBBS},
               {"sketch", NTK_FEATURES_SKETCH, NTK_SAMPLING_GAUSSIAN}};

/* The exact kernel of one network, and what computing it costs. */
typedef struct exact {
  int64_t n;
  double *x, *kernel, *estimate; /* n inputs, n x n, n x n */
  double seconds_per_pair;
} exact;

/* Subtracts the means of rows and columns, which a constant in the regression takes up. Symmetric matrices. */
static void centre(double *matrix, int64_t n) {
  double *mean = calloc((size_t)n, sizeof *mean), all = 0;
  if (!mean) return;
  for (int64_t i = 0; i < n; i++) {
    for (int64_t j = 0; j < n; j++) mean[i] += matrix[i * n + j] / (double)n;
    all += mean[i] / (double)n;
  }
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < n; j++) matrix[i * n + j] += all - mean[i] - mean[j];
  free(mean);
}

static double size_of(const double *matrix, int64_t n) { return cblas_dnrm2((int)(n * n), matrix, 1); }

/* Relative Frobenius errors of Z Z^T, as it is and with both matrices centred. */
static int compare(exact *e, const float *z, int64_t dim, double *error, double *centred) {
  const int64_t n = e->n;
  double *wide = malloc((size_t)(n * dim) * sizeof *wide), *kernel = malloc((size_t)(n * n) * sizeof *kernel);
  if (!wide || !kernel) {
    free(wide), free(kernel);
    return bench_fail(BENCH_BROKEN, "no memory for %lld x %lld features", (long long)n, (long long)dim);
  }
  for (int64_t k = 0; k < n * dim; k++) wide[k] = (double)z[k];
  for (int64_t k = 0; k < n * n; k++) e->estimate[k] = kernel[k] = e->kernel[k];
  const double size = size_of(kernel, n);
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)n, (int)dim, 1, wide, (int)dim, wide, (int)dim, -1,
              e->estimate, (int)n); /* the difference */
  *error = size_of(e->estimate, n) / size;
  centre(e->estimate, n), centre(kernel, n);
  *centred = size_of(e->estimate, n) / size_of(kernel, n);
  free(wide), free(kernel);
  return BENCH_OK;
}

/* As many inputs as features are timed on, so that both pay their overheads alike. */
static int time_exact(feature_world *world, const error_case *c, exact *e) {
  const int64_t n = world->settings->quick ? e->n : c->timed;
  double *matrix = malloc((size_t)(n * n) * sizeof *matrix), least = 0, seconds;
  ntk_plan *plan = NULL;
  int code = matrix ? feature_plan_make(c->network, c->shape, NTK_F32, &plan)
                    : bench_fail(BENCH_BROKEN, "no memory for a kernel matrix");
  for (int round = 0; round < world->settings->rounds && !code; round++) {
    code = feature_time_exact(world, plan, e->x, n, matrix, &seconds);
    if (!code && (round == 0 || seconds < least)) least = seconds;
  }
  e->seconds_per_pair = 2 * least / ((double)n * (double)(n + 1));
  ntk_plan_free(plan);
  free(matrix);
  return code;
}

static int open_exact(feature_world *world, const error_case *c, exact *e) {
  ntk_plan *plan = NULL;
  e->n = world->settings->quick ? QUICK_INPUTS : INPUTS;
  e->x = feature_inputs(c->shape, e->n > c->timed ? e->n : c->timed, 3);
  e->kernel = malloc((size_t)(e->n * e->n) * sizeof *e->kernel);
  e->estimate = malloc((size_t)(e->n * e->n) * sizeof *e->estimate);
  int code = e->x && e->kernel && e->estimate ? BENCH_OK : bench_fail(BENCH_BROKEN, "no memory for a kernel matrix");
  if (!code) code = time_exact(world, c, e);
  if (!code) code = feature_plan_make(c->network, c->shape, NTK_F64, &plan);
  if (!code && ntk_plan_block(world->all, plan, e->x, e->n, NULL, 0, &e->kernel) != NTK_OK)
    code = bench_fail(BENCH_BROKEN, "%s: %s", c->network, ntk_last_error());
  ntk_plan_free(plan);
  return code;
}

typedef struct measured {
  int seeds;
  double error[BENCH_MOST_RUNS], centred[BENCH_MOST_RUNS], seconds[BENCH_MOST_RUNS]; /* of an input */
  double draw;                                                                       /* seconds, of one map */
} measured;

static double mean_of(const double *values, int count) {
  double sum = 0;
  for (int k = 0; k < count; k++) sum += values[k] / count;
  return sum;
}

static double deviation_of(const double *values, int count) {
  const double mean = mean_of(values, count);
  double sum = 0;
  for (int k = 0; k < count; k++) sum += (values[k] - mean) * (values[k] - mean);
  return count > 1 ? sqrt(sum / (count - 1)) : 0;
}

static int measure_seed(feature_world *world, const error_case *c, exact *e, ntk_features_options options, float *z,
                        measured *m) {
  ntk_features *features = NULL;
  ntk_features_times times = {0};
  const int64_t timed = world->settings->quick ? e->n : c->timed;
  int code = feature_map_make(c->network, c->shape, &options, &features);
  if (!code && ntk_features_compute(world->all, features, e->x, e->n, z, &times) != NTK_OK)
    code = bench_fail(BENCH_BROKEN, "%s: %s", c->network, ntk_last_error());
  if (!code) code = compare(e, z, ntk_features_dim(features), &m->error[m->seeds], &m->centred[m->seeds]);
  if (!code) code = feature_time(world, false, features, e->x, timed, z, &m->seconds[m->seeds], NULL);
  m->seconds[m->seeds++] /= (double)timed, m->draw = times.draw;
  ntk_features_free(features);
  return code;
}

static json_t *describe(const error_case *c, const exact *e, const char *method, int64_t dim, const measured *m) {
  const bench_summary seconds = bench_summarise(m->seconds, m->seeds);
  return json_pack(
      "{sssssIsIsi"
      "s{sfsf}s{sfsf}"
      "sosfsfsf}",
      "network", c->network, "method", method, "dim", (json_int_t)dim, "inputs", (json_int_t)e->n, "seeds", m->seeds,
      "error", "mean", mean_of(m->error, m->seeds), "deviation", deviation_of(m->error, m->seeds), "centred_error",
      "mean", mean_of(m->centred, m->seeds), "deviation", deviation_of(m->centred, m->seeds), "seconds_per_input",
      bench_summary_json(seconds), "draw_seconds", m->draw, "exact_seconds_per_pair", e->seconds_per_pair,
      "exact_dearer_from_inputs", 2 * seconds.best / e->seconds_per_pair);
}

static int measure_case(feature_world *world, const error_case *c, json_t *out) {
  const bool quick = world->settings->quick;
  const int64_t least = quick ? 64 : 256, most = least << (DIMS - 1);
  exact e = {0};
  int code = open_exact(world, c, &e);
  float *z = malloc((size_t)((e.n > c->timed ? e.n : c->timed) * most) * sizeof *z);
  if (!code && !z) code = bench_fail(BENCH_BROKEN, "no memory for features");
  if (!code)
    printf(
        "\nError of Z Z^T, %s, %lld inputs, %d seeds; exact: %.3g us a pair, one thread\n"
        "%-12s %6s %16s %16s %12s %12s %18s\n",
        c->network, (long long)e.n, world->settings->rounds, 1e6 * e.seconds_per_pair, "method", "M", "error",
        "centred", "us/input", "draw, ms", "exact dearer from");
  for (size_t k = 0; k < sizeof methods / sizeof *methods; k++)
    for (int64_t dim = least; dim <= most && !code; dim *= quick ? 4 : 2) {
      measured m = {0};
      if (methods[k].sampling == NTK_SAMPLING_GIBBS && dim > MOST_GIBBS_DIM) continue;
      for (int seed = 0; seed < world->settings->rounds && !code; seed++)
        code = measure_seed(
            world, c, &e,
            (ntk_features_options){
                .method = methods[k].method, .sampling = methods[k].sampling, .dim = dim, .seed = (uint64_t)seed + 1},
            z, &m);
      if (code) break;
      const double best = bench_summarise(m.seconds, m.seeds).best;
      printf("%-12s %6lld %8.4f +-%5.4f %8.4f +-%5.4f %12.4g %12.3g %18.0f\n", methods[k].name, (long long)dim,
             mean_of(m.error, m.seeds), deviation_of(m.error, m.seeds), mean_of(m.centred, m.seeds),
             deviation_of(m.centred, m.seeds), 1e6 * best, 1e3 * m.draw, 2 * best / e.seconds_per_pair);
      json_array_append_new(out, describe(c, &e, methods[k].name, dim, &m));
    }
  free(e.x), free(e.kernel), free(e.estimate), free(z);
  return code;
}

int feature_error(feature_world *world, json_t *out) {
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    const int code = measure_case(world, &cases[k], out);
    if (code) return code;
  }
  return BENCH_OK;
}
