#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ntk/cli.h"

typedef struct settings {
  bool quick, json;
  const char *device;
  int kernel, precision, isa;
  ntk_shape shape;
  int64_t threads;
} settings;

typedef struct job {
  const settings *settings;
  ntk_context *context;
  int64_t most;           /* images: a device needs more to be busy */
  double *images, *block; /* `most` random images, most^2 / 4 values for each of two kernels */
  cli_json json;
} job;

enum { MOST_ON_CPU = 1024, MOST_ON_DEVICE = 4096, RUNS = 3 };

static const int depths[] = {3, 6, 11, 21}; /* convolutions and the final dense layer, as published tables count */
static const char *const readouts[] = {"flatten", "lap(4)", "gap"};

typedef struct timing {
  int64_t images; /* the block was images x images */
  double pairs_per_second, entry_layers_per_second;
} timing;

/* Reproducible noise in -1..1: speed does not depend on what the images show. */
static void fill_images(double *images, size_t count) {
  uint64_t state = 1;
  for (size_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    images[i] = (double)(int64_t)(state >> 11) * 0x1p-52 - 1;
  }
}

static int run_block(const job *j, const ntk_plan *plan, int64_t images, double *seconds) {
  ntk_shape shape = ntk_plan_shape(plan);
  size_t half = (size_t)(shape.channels * shape.height * shape.width) * (size_t)(images / 2);
  double *out[] = {j->block, j->block + (size_t)(j->most * j->most / 4)};
  double started = cli_now();
  CLI_TRY(cli_check(ntk_plan_block(j->context, plan, j->images, images / 2, j->images + half, images / 2, out)));
  *seconds = cli_now() - started;
  return CLI_EXIT_OK;
}

/* Grows the block until one run is long enough to time, then takes the fastest of a few. */
static int time_plan(const job *j, const ntk_plan *plan, timing *out) {
  double enough = j->settings->quick ? 0.04 : 0.4;
  double best, seconds;
  int64_t images = 8;
  CLI_TRY(run_block(j, plan, images, &best));
  CLI_TRY(run_block(j, plan, images, &best)); /* the first one warmed up */
  while (best < enough && images < j->most) {
    images *= 2;
    CLI_TRY(run_block(j, plan, images, &best));
  }
  for (int i = 1; i < RUNS; ++i) {
    CLI_TRY(run_block(j, plan, images, &seconds));
    if (seconds < best) best = seconds;
  }
  double pairs = (double)(images / 2) * (double)(images / 2);
  out->images = images / 2;
  out->pairs_per_second = pairs / best;
  out->entry_layers_per_second = out->pairs_per_second * ntk_plan_cost(plan).entry_layers;
  return CLI_EXIT_OK;
}

static int plan_network(const job *j, const char *text, ntk_plan **out) {
  ntk_network *network = NULL;
  const settings *s = j->settings;
  ntk_plan_options options = {.kernels = s->kernel + 1, .precision = (ntk_precision)s->precision};
  CLI_TRY(cli_check(ntk_network_parse(text, &network)));
  int code = cli_check(ntk_plan_create(network, s->shape, &options, out));
  ntk_network_free(network);
  return code;
}

static void report(job *j, int depth, const char *readout, const char *text, const timing *t) {
  if (!j->settings->json) {
    printf("%5d  %-8s %7d %14s %16.3e\n", depth, readout, ntk_context_threads(j->context),
           cli_format_rate(t->pairs_per_second).text, t->entry_layers_per_second);
    fflush(stdout);
    return;
  }
  cli_json row = cli_json_open();
  cli_json_integer(&row, "depth", depth);
  cli_json_text(&row, "readout", readout);
  cli_json_text(&row, "network", text);
  cli_json_integer(&row, "threads", ntk_context_threads(j->context));
  cli_json_integer(&row, "block", t->images);
  cli_json_real(&row, "pairs_per_second", t->pairs_per_second);
  cli_json_real(&row, "entry_layers_per_second", t->entry_layers_per_second);
  cli_json_append(&j->json, "results", &row);
}

static int bench_one(job *j, int depth, const char *readout) {
  char text[64];
  ntk_plan *plan = NULL;
  timing t;
  snprintf(text, sizeof text, "%d*(conv3 relu) %s", depth - 1, readout);
  int code = plan_network(j, text, &plan);
  if (code == CLI_EXIT_OK) code = time_plan(j, plan, &t);
  if (code == CLI_EXIT_OK) report(j, depth, readout, text, &t);
  ntk_plan_free(plan);
  return code;
}

static int bench_all(job *j, int threads) {
  CLI_TRY(cli_check(ntk_context_set_threads(j->context, threads)));
  for (size_t d = 0; d < sizeof depths / sizeof *depths; ++d) {
    for (size_t r = 0; r < sizeof readouts / sizeof *readouts; ++r) CLI_TRY(bench_one(j, depths[d], readouts[r]));
  }
  return CLI_EXIT_OK;
}

static int introduce(job *j, const ntk_system_info *info) {
  const settings *s = j->settings;
  static const char *const kernels[] = {"ntk", "nngp", "both"};
  const char *precision = s->precision == NTK_F64 ? "f64" : "f32";
  if (!s->json) {
    printf("%s, %s, %s, %s, images of %s, best of %d runs\n\n", info->cpu, cli_compute_text(j->context),
           kernels[s->kernel], precision, cli_format_shape(s->shape).text, RUNS);
    printf("depth  readout  threads        pairs/s   entry-layers/s\n");
    return CLI_EXIT_OK;
  }
  j->json = cli_json_open();
  cli_json_text(&j->json, "verb", "bench");
  cli_json_text(&j->json, "version", ntk_version());
  cli_json_text(&j->json, "cpu", info->cpu);
  cli_json_text(&j->json, "isa", ntk_context_isa(j->context));
  cli_json_text(&j->json, "device", ntk_context_device(j->context));
  cli_json_text(&j->json, "kernel", kernels[s->kernel]);
  cli_json_text(&j->json, "precision", precision);
  cli_json_shape(&j->json, "shape", s->shape);
  cli_json_list(&j->json, "results");
  return CLI_EXIT_OK;
}

static int work(job *j) {
  ntk_system_info info;
  const settings *s = j->settings;
  const cli_compute compute = {
      .threads = s->threads, .memory = 512ull << 20, .isa = s->isa, .device = s->device, .progress = CLI_PROGRESS_NONE};
  CLI_TRY(cli_compute_open(&compute, &j->context));
  CLI_TRY(cli_check(ntk_system_query(&info)));
  int all = ntk_context_threads(j->context);
  j->most = strcmp(ntk_context_device(j->context), "cpu") == 0 ? MOST_ON_CPU : MOST_ON_DEVICE;
  size_t values = (size_t)(s->shape.channels * s->shape.height * s->shape.width * j->most);
  j->images = malloc(values * sizeof *j->images);
  j->block = malloc((size_t)(j->most * j->most / 2) * sizeof *j->block);
  if (!j->images || !j->block) {
    return cli_fail(CLI_EXIT_STATUS + NTK_ERROR_MEMORY, "no memory is left for %d images", (int)j->most);
  }
  fill_images(j->images, values);
  CLI_TRY(introduce(j, &info));
  CLI_TRY(bench_all(j, 1));
  if (all > 1 && strcmp(ntk_context_device(j->context), "cpu") == 0) CLI_TRY(bench_all(j, all));
  return s->json ? cli_json_print(&j->json) : CLI_EXIT_OK;
}

static int run(const void *raw) {
  job j = {.settings = raw};
  if (j.settings->shape.height == 0) return cli_usage("bench", "--shape wants images, e.g. 3x32x32");
  int code = work(&j);
  if (code > CLI_EXIT_SIGNAL) cli_note("interrupted");
  cli_json_close(&j.json);
  free(j.images);
  free(j.block);
  cli_compute_close(j.context);
  return code;
}

static const cli_option options[] = {
    {"quick", NULL, CLI_FLAG, offsetof(settings, quick), 0, 0, false, "shorter runs: a first idea in seconds"},
    {"kernel", "ntk|nngp|both", CLI_CHOICE, offsetof(settings, kernel), 0, 0, false, "ntk (default), nngp or both"},
    {"precision", "f32|f64", CLI_CHOICE, offsetof(settings, precision), 0, 0, false, "f32 (default) or f64"},
    {"shape", "CxHxW", CLI_SHAPE, offsetof(settings, shape), 0, 0, false, "the images; 3x32x32 (default)"},
    {"threads", "N", CLI_INTEGER, offsetof(settings, threads), 0, 1024, false,
     "threads of the second half of the table; 0: all cores (default)"},
    {"device", "DEV", CLI_TEXT, offsetof(settings, device), 0, 0, false,
     "auto (default): all CUDA devices, else the CPU; cpu; cuda; or cuda:N[,M...]"},
    {"isa", "auto|avx512|avx2|baseline", CLI_CHOICE, offsetof(settings, isa), 0, 0, false,
     "instruction set of the inner loops; auto (default): the best of this machine"},
    {"json", NULL, CLI_FLAG, offsetof(settings, json), 0, 0, false, "print one JSON object and nothing else on stdout"},
    {0}};

static const settings defaults = {.shape = {3, 32, 32}};

const cli_verb cli_verb_bench = {
    .name = "bench",
    .summary = "how fast this machine computes kernels",
    .description =
        "Times the networks (depth - 1)*(conv3 relu) READOUT on random images in memory, on one thread and\n"
        "on all. An entry-layer is one entry [i,j,i',j'] of a pair of images taken through one activation layer:\n"
        "the unit that compares networks and machines.",
    .examples = "  ntk bench --quick\n  ntk bench --kernel nngp --shape 1x28x28 --json",
    .groups = {{"options", options, 0}, {0}},
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .run = run,
};
