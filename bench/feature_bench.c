/* The benchmark program of features: options, inputs, timing, the JSON's head (feature_bench.h). */
#include "bench/feature_bench.h"

#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  const char *name;
  int (*run)(feature_world *world, json_t *out);
} parts[] = {{"growth", feature_growth}, {"error", feature_error}, {"stages", feature_stages}};

int bench_fail(int code, const char *format, ...) {
  va_list arguments;
  fputs("ntk_feature_bench: ", stderr);
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  return code;
}

/* ---- maps, plans, inputs */

int feature_map_make(const char *network, ntk_shape shape, const ntk_features_options *options, ntk_features **out) {
  ntk_network *parsed = NULL;
  ntk_status status = ntk_network_parse(network, &parsed);
  if (status == NTK_OK) status = ntk_features_create(parsed, shape, options, out);
  ntk_network_free(parsed);
  return status == NTK_OK ? BENCH_OK : bench_fail(BENCH_BROKEN, "%s: %s", network, ntk_last_error());
}

int feature_plan_make(const char *network, ntk_shape shape, ntk_precision precision, ntk_plan **out) {
  const ntk_plan_options options = {.precision = precision};
  ntk_network *parsed = NULL;
  ntk_status status = ntk_network_parse(network, &parsed);
  if (status == NTK_OK) status = ntk_plan_create(parsed, shape, &options, out);
  ntk_network_free(parsed);
  return status == NTK_OK ? BENCH_OK : bench_fail(BENCH_BROKEN, "%s: %s", network, ntk_last_error());
}

int64_t feature_pixels(ntk_shape shape) { return shape.height ? shape.height * shape.width : 1; }

/* In 0..1. */
static double uniform(uint64_t *state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (double)(*state >> 11) * 0x1p-53;
}

/* A vector is an image of one row. */
static void add_wave(double *channel, int64_t height, int64_t width, uint64_t *state) {
  const double u = uniform(state) / 4, v = uniform(state) / 4, phase = uniform(state), size = M_SQRT1_2;
  for (int64_t i = 0; i < height; i++)
    for (int64_t j = 0; j < width; j++)
      channel[i * width + j] += size * sin(2 * M_PI * (u * (double)i + v * (double)j + phase));
}

double *feature_inputs(ntk_shape shape, int64_t n, uint64_t seed) {
  enum { WAVES = 4 };
  const bool image = shape.height > 0;
  const int64_t channels = image ? shape.channels : 1, height = image ? shape.height : 1;
  const int64_t width = image ? shape.width : shape.channels;
  double *x = calloc((size_t)(n * channels * height * width), sizeof *x);
  for (int64_t c = 0; x && c < n * channels; c++)
    for (int k = 0; k < WAVES; k++) add_wave(x + c * height * width, height, width, &seed);
  return x;
}

/* ---- timing */

void feature_note_share(feature_world *world, double cpu_seconds, double wall) {
  const double share = cpu_seconds / wall;
  if (wall > 0.01 && share < world->least_cpu_share) world->least_cpu_share = share;
}

int feature_time(feature_world *world, bool all, const ntk_features *features, const double *x, int64_t n, float *out,
                 double *seconds, ntk_features_times *times) {
  const double begin = bench_now(), begin_cpu = bench_cpu_seconds();
  ntk_features_times sum = {0};
  double wall;
  int calls = 0;
  do {
    if (ntk_features_compute(all ? world->all : world->one, features, x, n, out, &sum) != NTK_OK)
      return bench_fail(BENCH_BROKEN, "%s: %s", ntk_features_network_text(features), ntk_last_error());
    calls++, wall = bench_now() - begin;
  } while (wall < world->settings->run_seconds);
  if (!all) feature_note_share(world, bench_cpu_seconds() - begin_cpu, wall);
  *seconds = wall / calls;
  if (times)
    *times = (ntk_features_times){.draw = sum.draw / calls,
                                  .input = sum.input / calls,
                                  .products = sum.products / calls,
                                  .units = sum.units / calls,
                                  .sketches = sum.sketches / calls,
                                  .sums = sum.sums / calls};
  return BENCH_OK;
}

int feature_time_exact(feature_world *world, const ntk_plan *plan, const double *x, int64_t n, double *out,
                       double *seconds) {
  const double begin = bench_now(), begin_cpu = bench_cpu_seconds();
  double wall;
  int calls = 0;
  do {
    if (ntk_plan_block(world->one, plan, x, n, NULL, 0, &out) != NTK_OK)
      return bench_fail(BENCH_BROKEN, "%s: %s", ntk_plan_network_text(plan), ntk_last_error());
    calls++, wall = bench_now() - begin;
  } while (wall < world->settings->run_seconds);
  feature_note_share(world, bench_cpu_seconds() - begin_cpu, wall);
  *seconds = wall / calls;
  return BENCH_OK;
}

void feature_measure_machine(feature_world *world) {
  const double short_while = world->settings->quick ? 0.02 : 0.3;
  if (world->clock_count < BENCH_MOST_RUNS) world->clocks[world->clock_count++] = bench_clock(short_while / 4);
  bench_rates_measure(ntk_context_isa(world->one), world->threads, short_while, &world->rates);
}

/* ---- options */

static void print_usage(FILE *to) {
  fputs(
      "usage: ntk_feature_bench [options]\n"
      "\n"
      "Times and checks random features through the public interface of libntk, beside the exact kernel.\n"
      "  --quick           small cases, short runs: only to see that everything works\n"
      "  --only PART       growth: time against the number of inputs and of pixels\n"
      "                    error: error of Z Z^T against seconds an input\n"
      "                    stages: where the time goes, beside what matrix products and transforms must cost\n"
      "  --threads N       threads beside 1; 0: all cores (default)\n"
      "  --rounds N        runs of every case, seeds of every error (default 5)\n"
      "  --run-seconds S   least length of a run (default 0.2)\n"
      "  --json FILE       also write the results as JSON\n"
      "  --commit TEXT     the commit, for the JSON\n"
      "  --machine         only print this machine's short name\n",
      to);
}

enum { QUICK = 256, ONLY, THREADS, ROUNDS, RUN_SECONDS, JSON, COMMIT, MACHINE, HELP };

static const struct option long_options[] = {{"quick", no_argument, NULL, QUICK},
                                             {"only", required_argument, NULL, ONLY},
                                             {"threads", required_argument, NULL, THREADS},
                                             {"rounds", required_argument, NULL, ROUNDS},
                                             {"run-seconds", required_argument, NULL, RUN_SECONDS},
                                             {"json", required_argument, NULL, JSON},
                                             {"commit", required_argument, NULL, COMMIT},
                                             {"machine", no_argument, NULL, MACHINE},
                                             {"help", no_argument, NULL, HELP},
                                             {0}};

static bool is_part(const char *name) {
  for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
    if (strcmp(name, parts[k].name) == 0) return true;
  return false;
}

static int print_machine(void) {
  bench_machine machine;
  if (bench_machine_find(&machine)) return BENCH_BROKEN;
  return puts(machine.name) < 0 ? BENCH_BROKEN : BENCH_OK;
}

/* -1: go on; otherwise the exit code. */
static int read_options(int argc, char **argv, feature_settings *s) {
  int option;
  double value = 0;
  bool rounds_given = false, seconds_given = false;
  while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
    bool fine = true;
    switch (option) {
      case QUICK: s->quick = true; break;
      case ONLY: fine = is_part(optarg), s->only = optarg; break;
      case THREADS: fine = bench_number(optarg, 0, 1024, &value), s->threads = (int)value; break;
      case ROUNDS:
        fine = bench_number(optarg, 1, BENCH_MOST_RUNS, &value), s->rounds = (int)value;
        rounds_given = true;
        break;
      case RUN_SECONDS: fine = bench_number(optarg, 0, 3600, &s->run_seconds), seconds_given = true; break;
      case JSON: s->json = optarg; break;
      case COMMIT: s->commit = optarg; break;
      case MACHINE: return print_machine();
      case HELP: print_usage(stdout); return BENCH_OK;
      default: return BENCH_USAGE;
    }
    if (!fine) return bench_fail(BENCH_USAGE, "\"%s\" is not possible (see --help)", optarg);
  }
  if (optind < argc) return bench_fail(BENCH_USAGE, "unexpected argument %s (see --help)", argv[optind]);
  if (s->quick && !rounds_given) s->rounds = 2;
  if (s->quick && !seconds_given) s->run_seconds = 0;
  return -1;
}

/* ---- the run */

static int open_context(int threads, ntk_context **out) {
  if (ntk_context_create(out) != NTK_OK || ntk_context_set_device(*out, "cpu") != NTK_OK ||
      ntk_context_set_threads(*out, threads) != NTK_OK)
    return bench_fail(BENCH_BROKEN, "%s", ntk_last_error());
  return BENCH_OK;
}

static json_t *rates_json(const feature_world *world) {
  const bench_rates *r = &world->rates;
  const double fma = r->per_second[BENCH_RATE_FMA] * r->lanes, add = r->per_second[BENCH_RATE_ADD] * r->lanes;
  return json_pack("{sisfsfsf}", "lanes", r->lanes, "fma_gflops_one_core", 2e-9 * fma, "fma_gflops_all_cores",
                   2e-9 * r->all_threads * r->lanes, "additions_per_second_one_core", add);
}

static int write_json(const feature_world *world, const bench_machine *machine, double load, double stolen_share,
                      double seconds, const json_t *results) {
  const feature_settings *s = world->settings;
  char date[BENCH_DATE];
  json_t *out = json_pack(
      "{ssssssss"
      "sbsbsisf"
      "soso"
      "ssssssss"
      "sosisf"
      "s{sfsf}}",
      "format", "ntk-feature-bench 1", "date", bench_date(date), "version", ntk_version(), "commit", s->commit, "quick",
      s->quick, "partial", s->only != NULL, "rounds", s->rounds, "seconds", seconds, "clock_hz",
      bench_clock_json(bench_summarise(world->clocks, world->clock_count)), "machine", bench_machine_json(machine),
      "compiler", machine->ntk.compiler, "build_type", NTK_BENCH_BUILD_TYPE, "isa", ntk_context_isa(world->one), "blas",
      machine->ntk.blas, "rates", rates_json(world), "threads", world->threads, "least_cpu_share",
      world->least_cpu_share, "load", "before", load, "stolen_share", stolen_share);
  if (!out || json_object_update(out, (json_t *)results) != 0)
    return bench_fail(BENCH_BROKEN, "no memory for the results");
  const int code = bench_write(out, s->json);
  json_decref(out);
  return code;
}

static int run(feature_world *world, json_t *results) {
  const feature_settings *s = world->settings;
  const double begin = bench_now(), load = bench_load(), stolen = bench_stolen();
  bench_machine machine;
  if (bench_machine_find(&machine) || open_context(1, &world->one) || open_context(s->threads, &world->all))
    return BENCH_BROKEN;
  world->threads = ntk_context_threads(world->all);
  printf("libntk %s, commit %s: %s, %d cores, %s, %s\n", ntk_version(), s->commit, machine.cpu, machine.ntk.cores,
         ntk_context_isa(world->one), machine.ntk.blas);
  feature_measure_machine(world);
  for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
    if (s->only && strcmp(s->only, parts[k].name) != 0) continue;
    json_t *part = json_array();
    if (!part || json_object_set_new(results, parts[k].name, part) != 0)
      return bench_fail(BENCH_BROKEN, "no memory for the results");
    const int code = parts[k].run(world, part);
    if (code) return code;
    fflush(stdout);
  }
  const double seconds = bench_now() - begin, lost = stolen < 0 ? 0 : bench_stolen() - stolen;
  const double stolen_share = lost / (seconds * machine.ntk.cores);
  if (world->least_cpu_share < 0.95 || stolen_share > 0.01)
    printf("\nThe machine was busy: one thread had %.0f %% of a core, %.1f %% of the time was stolen.\n",
           100 * world->least_cpu_share, 100 * stolen_share);
  return s->json ? write_json(world, &machine, load, stolen_share, seconds, results) : BENCH_OK;
}

int main(int argc, char **argv) {
  feature_settings settings = {.rounds = 5, .run_seconds = 0.2, .commit = "unknown"};
  feature_world world = {.settings = &settings, .least_cpu_share = 1};
  int code = read_options(argc, argv, &settings);
  if (code >= 0) return code;
  json_t *results = json_object();
  code = run(&world, results);
  if (fflush(stdout) != 0 && !code) code = bench_fail(BENCH_BROKEN, "the tables cannot be written");
  json_decref(results);
  ntk_context_free(world.one);
  ntk_context_free(world.all);
  return code;
}
