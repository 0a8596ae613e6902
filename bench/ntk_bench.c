/* The benchmark program: verifies, warms up, times in interleaved rounds, reports (bench.h, docs/performance.md). */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"

static void print_usage(FILE *to) {
  fputs(
      "usage: ntk_bench [options]\n"
      "\n"
      "Times kernels of random 3x32x32 images through the public interface of libntk, after checking values, and the\n"
      "classical method beside it, in interleaved rounds.\n"
      "  --quick           a few small cases, short runs: only to see that everything works\n"
      "  --only KEY=VALUE  only these cases; again for more. Keys: depth, readout, kernel, threads, method, e.g.\n"
      "                    --only depth=21 --only readout=gap --only readout='lap(4)' --only threads=all\n"
      "                    methods: plane, classical, classical-separable, classical-blocked, classical-scalar\n"
      "  --threads N       threads beside 1; 0: all cores (default)\n"
      "  --rounds N        runs of every case (default 9)\n"
      "  --run-seconds S   least length of a run (default 0.5)\n"
      "  --json FILE       also write the results as JSON\n"
      "  --counts FILE     instruction counts made by count_instructions.py\n"
      "  --commit TEXT     the commit, for the JSON\n"
      "  --machine         only print this machine's short name\n",
      to);
}

enum { QUICK = 256, ONLY, THREADS, ROUNDS, RUN_SECONDS, JSON, COUNTS, COMMIT, MACHINE, HELP };

static const struct option long_options[] = {{"quick", no_argument, NULL, QUICK},
                                             {"only", required_argument, NULL, ONLY},
                                             {"threads", required_argument, NULL, THREADS},
                                             {"rounds", required_argument, NULL, ROUNDS},
                                             {"run-seconds", required_argument, NULL, RUN_SECONDS},
                                             {"json", required_argument, NULL, JSON},
                                             {"counts", required_argument, NULL, COUNTS},
                                             {"commit", required_argument, NULL, COMMIT},
                                             {"machine", no_argument, NULL, MACHINE},
                                             {"help", no_argument, NULL, HELP},
                                             {0}};

static int add_filter(bench_settings *s, const char *filter) {
  if (!bench_filter_valid(filter))
    return bench_fail(BENCH_USAGE, "--only %s: KEY=VALUE is wanted (see --help)", filter);
  if (s->only_count == (int)(sizeof s->only / sizeof *s->only))
    return bench_fail(BENCH_USAGE, "too many --only options");
  s->only[s->only_count++] = filter;
  return BENCH_OK;
}

/* -1: go on; otherwise the exit code. */
static int read_options(int argc, char **argv, bench_settings *s) {
  int option;
  double value = 0;
  bool rounds_given = false, seconds_given = false;
  while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
    bool fine = true;
    switch (option) {
      case QUICK: s->quick = true; break;
      case ONLY:
        if (add_filter(s, optarg)) return BENCH_USAGE;
        break;
      case THREADS: fine = bench_number(optarg, 0, 1024, &value), s->threads = (int)value; break;
      case ROUNDS:
        fine = bench_number(optarg, 1, BENCH_MOST_RUNS, &value), s->rounds = (int)value;
        rounds_given = true;
        break;
      case RUN_SECONDS:
        fine = bench_number(optarg, 0, 3600, &s->run_seconds);
        seconds_given = true;
        break;
      case JSON: s->json = optarg; break;
      case COUNTS: s->counts = optarg; break;
      case COMMIT: s->commit = optarg; break;
      case MACHINE: {
        bench_machine machine;
        if (bench_machine_find(&machine)) return BENCH_BROKEN;
        return puts(machine.name) < 0 ? BENCH_BROKEN : BENCH_OK;
      }
      case HELP: print_usage(stdout); return BENCH_OK;
      default: return BENCH_USAGE;
    }
    if (!fine) return bench_fail(BENCH_USAGE, "\"%s\" is out of range (see --help)", optarg);
  }
  if (optind < argc) return bench_fail(BENCH_USAGE, "unexpected argument %s (see --help)", argv[optind]);
  if (s->quick && !rounds_given) s->rounds = 2;
  if (s->quick && !seconds_given) s->run_seconds = 0.01;
  return -1;
}

/* round 0: verification. */
static void show_progress(int round, int rounds, int done, int count) {
  if (!isatty(STDERR_FILENO)) return;
  if (round == 0)
    fprintf(stderr, "\rverifying case %d of %d ", done, count);
  else
    fprintf(stderr, "\rround %d of %d, case %d of %d ", round, rounds, done, count);
  if (round == rounds && done == count) fputs("\r                                        \r", stderr);
  fflush(stderr);
}

/* Every round runs every case once, so that a drift of the machine hits all alike. */
static int measure(const bench_world *world, bench_case *cases, int count, double *clocks, bench_rates *rates) {
  const int rounds = world->settings->rounds;
  const double short_while = world->settings->quick ? 0.02 : 0.3;
  for (int k = 0; k < count; k++) {
    show_progress(0, rounds, k + 1, count);
    int code = bench_case_prepare(world, &cases[k]);
    if (code) return code;
  }
  for (int round = 0; round < rounds; round++) {
    clocks[round] = bench_clock(short_while / 4);
    bench_rates_measure(ntk_context_isa(world->one), world->threads, short_while, rates);
    for (int k = 0; k < count; k++) {
      show_progress(round + 1, rounds, k + 1, count);
      int code = bench_case_run(world, &cases[k]);
      if (code) return code;
    }
  }
  return BENCH_OK;
}

static int run(const bench_settings *settings, bench_world *world, bench_case *cases) {
  bench_machine machine;
  bench_rates rates = {0};
  bench_limit limits[2];
  double clocks[BENCH_MOST_RUNS], begin = bench_now(), load = bench_load(), stolen = bench_stolen();
  int code = bench_machine_find(&machine);
  if (!code) code = bench_world_open(settings, world);
  if (code) return code;
  int count = bench_cases_make(world, cases);
  if (count < 0) return BENCH_USAGE;
  json_t *counts = bench_counts_read(settings->counts);
  code = measure(world, cases, count, clocks, &rates);
  if (!code) {
    for (int k = 0; k < 2; k++) bench_limit_find(counts, ntk_context_isa(world->one), k == 0, &rates, &limits[k]);
    double seconds = bench_now() - begin, lost = stolen < 0 ? 0 : bench_stolen() - stolen;
    bench_report report = {settings,
                           &machine,
                           world,
                           &rates,
                           limits,
                           counts,
                           cases,
                           count,
                           bench_summarise(clocks, settings->rounds),
                           load,
                           lost / (seconds * machine.ntk.cores),
                           seconds};
    bench_report_print(&report);
    if (settings->json) code = bench_report_write(&report);
    if (fflush(stdout) != 0) code = bench_fail(BENCH_BROKEN, "the table cannot be written");
  }
  json_decref(counts);
  return code;
}

int main(int argc, char **argv) {
  static bench_case cases[BENCH_MOST_CASES];
  bench_settings settings = {.rounds = 9, .run_seconds = 0.5, .counts = NTK_BENCH_COUNTS, .commit = "unknown"};
  bench_world world = {0};
  int code = read_options(argc, argv, &settings);
  if (code >= 0) return code;
  code = run(&settings, &world, cases);
  for (int k = 0; k < BENCH_MOST_CASES; k++) bench_case_free(&cases[k]);
  bench_world_close(&world);
  return code;
}
