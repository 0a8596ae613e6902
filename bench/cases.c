/* What is measured: networks, kernels, threads, and the classical method beside them (bench.h). */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/classical.h"

const char *const bench_method_names[] = {"plane", "classical", "classical-separable", "classical-blocked",
                                          "classical-scalar"};

static const int depths[] = {3, 6, 11, 21}; /* convolutions and the final dense layer, as published tables count */
static const char *const readouts[] = {"flatten", "lap(4)", "gap"};
static const ntk_kernel kernels[] = {NTK_KERNEL_NTK, NTK_KERNEL_NNGP};
/* Networks in stages: instead of a readout their preset, which stands for all layers. Beside each a plain network with
 * as many activations as its first stage, where most of its entries are. */
static const struct {
  const char *preset;
  int depth, first_stage;
} presets[] = {{"myrtle10", 10, 3}, {"resnet-20", 20, 7}};
static const char *const keys[] = {"depth", "readout", "kernel", "threads", "method"};

enum { QUICK_DEPTHS = 1, CLASSICAL_DEPTH = 21, QUICK_CLASSICAL_DEPTH = 3 };

const char *bench_kernel_name(ntk_kernel kernel) { return kernel == NTK_KERNEL_NTK ? "ntk" : "nngp"; }

int bench_fail(int code, const char *format, ...) {
  va_list arguments;
  fputs("ntk_bench: ", stderr);
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  return code;
}

/* Reproducible noise in -1..1: speed does not depend on what the images show. */
static void fill_images(double *images, size_t count, uint64_t seed) {
  for (size_t i = 0; i < count; i++) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    images[i] = (double)(int64_t)(seed >> 11) * 0x1p-52 - 1;
  }
}

static int open_context(int threads, ntk_context **out) {
  if (ntk_context_create(out) != NTK_OK || ntk_context_set_device(*out, "cpu") != NTK_OK ||
      ntk_context_set_threads(*out, threads) != NTK_OK)
    return bench_fail(BENCH_BROKEN, "%s", ntk_last_error());
  return BENCH_OK;
}

int bench_world_open(const bench_settings *settings, bench_world *out) {
  const size_t values = (size_t)BENCH_MOST_IMAGES * BENCH_CHANNELS * BENCH_SIDE * BENCH_SIDE;
  memset(out, 0, sizeof *out);
  out->settings = settings;
  if (open_context(1, &out->one) || open_context(settings->threads, &out->all)) return BENCH_BROKEN;
  out->threads = ntk_context_threads(out->all);
  out->x = malloc(values * sizeof *out->x);
  out->z = malloc(values * sizeof *out->z);
  out->block = malloc((size_t)BENCH_MOST_IMAGES * BENCH_MOST_IMAGES * sizeof *out->block);
  out->classical = calloc(4, sizeof *out->classical);
  out->s = aligned_alloc(64, 2 * CLASSICAL_ENTRIES * sizeof *out->s);
  out->t = aligned_alloc(64, 2 * CLASSICAL_ENTRIES * sizeof *out->t);
  if (!out->x || !out->z || !out->block || !out->classical || !out->s || !out->t)
    return bench_fail(BENCH_BROKEN, "no memory for %d images", 2 * BENCH_MOST_IMAGES);
  fill_images(out->x, values, 1);
  fill_images(out->z, values, 2);
  return BENCH_OK;
}

void bench_world_close(bench_world *world) {
  ntk_context_free(world->one);
  ntk_context_free(world->all);
  free(world->x), free(world->z), free(world->block), free(world->classical), free(world->s), free(world->t);
  memset(world, 0, sizeof *world);
}

bool bench_filter_valid(const char *filter) {
  for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
    size_t length = strlen(keys[k]);
    if (strncmp(filter, keys[k], length) == 0 && filter[length] == '=' && filter[length + 1]) return true;
  }
  return false;
}

/* Several filters of one key are alternatives. */
static bool passes(const bench_settings *settings, const char *key, const char *value) {
  bool asked = false;
  size_t length = strlen(key);
  for (int k = 0; k < settings->only_count; k++) {
    const char *filter = settings->only[k];
    if (strncmp(filter, key, length) != 0 || filter[length] != '=') continue;
    asked = true;
    if (strcmp(filter + length + 1, value) == 0) return true;
  }
  return !asked;
}

static bool asks_for(const bench_settings *settings, const char *key) { return !passes(settings, key, ""); }

static bool wanted(const bench_settings *settings, const bench_case *c) {
  char depth[16], threads[16];
  snprintf(depth, sizeof depth, "%d", c->depth);
  snprintf(threads, sizeof threads, "%d", c->threads);
  return passes(settings, "depth", depth) && passes(settings, "readout", c->readout) &&
         passes(settings, "kernel", bench_kernel_name(c->kernel)) &&
         (passes(settings, "threads", threads) || (c->threads > 1 && passes(settings, "threads", "all"))) &&
         passes(settings, "method", bench_method_names[c->method]);
}

static int plan_network(bench_case *c, ntk_precision precision, ntk_plan **out) {
  char text[64];
  ntk_network *network = NULL;
  ntk_plan_options options = {.kernels = c->kernel, .precision = precision};
  ntk_shape shape = {BENCH_CHANNELS, BENCH_SIDE, BENCH_SIDE};
  bool preset = false;
  for (size_t k = 0; k < sizeof presets / sizeof *presets; k++) preset |= strcmp(c->readout, presets[k].preset) == 0;
  if (preset)
    snprintf(text, sizeof text, "%s", c->readout);
  else
    snprintf(text, sizeof text, "%d*(conv3 relu) %s", c->depth - 1, c->readout);
  ntk_status status = ntk_network_parse(text, &network);
  if (status == NTK_OK) status = ntk_plan_create(network, shape, &options, out);
  ntk_network_free(network);
  return status == NTK_OK ? BENCH_OK : bench_fail(BENCH_BROKEN, "%s: %s", text, ntk_last_error());
}

/* Adds a case if the filters leave it; < 0 on failure, else the new number of cases. */
static int add(const bench_world *world, bench_case *cases, int count, bench_case c) {
  if (count < 0 || !wanted(world->settings, &c)) return count;
  cases[count] = c;
  if (plan_network(&cases[count], NTK_F32, &cases[count].plan) ||
      plan_network(&cases[count], NTK_F64, &cases[count].exact))
    return -1;
  return count + 1;
}

int bench_cases_make(const bench_world *world, bench_case *cases) {
  const bool quick = world->settings->quick;
  int count = 0;
  size_t depth_count = quick && !asks_for(world->settings, "depth") ? QUICK_DEPTHS : sizeof depths / sizeof *depths;
  for (size_t d = 0; d < depth_count; d++)
    for (size_t r = 0; r < sizeof readouts / sizeof *readouts; r++)
      for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++)
        for (int all = 0; all < (world->threads > 1 ? 2 : 1); all++)
          count = add(world, cases, count,
                      (bench_case){.method = BENCH_PLANE,
                                   .depth = depths[d],
                                   .readout = readouts[r],
                                   .kernel = kernels[k],
                                   .threads = all ? world->threads : 1});
  for (size_t p = 0; p < sizeof presets / sizeof *presets; p++)
    for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++)
      for (int plain = 0; plain < (quick ? 1 : 2); plain++)
        count = add(world, cases, count,
                    (bench_case){.method = BENCH_PLANE,
                                 .depth = plain ? presets[p].first_stage + 1 : presets[p].depth,
                                 .readout = plain ? "gap" : presets[p].preset,
                                 .kernel = kernels[k],
                                 .threads = 1});
  for (int m = BENCH_CLASSICAL; m <= BENCH_CLASSICAL_SCALAR; m++)
    count = add(world, cases, count,
                (bench_case){.method = (bench_method)m,
                             .depth = quick ? QUICK_CLASSICAL_DEPTH : CLASSICAL_DEPTH,
                             .readout = "gap",
                             .kernel = NTK_KERNEL_NTK,
                             .threads = 1});
  if (count == 0) return bench_fail(-1, "the filters leave nothing to measure");
  return count;
}

void bench_case_free(bench_case *c) {
  ntk_plan_free(c->plan);
  ntk_plan_free(c->exact);
  c->plan = c->exact = NULL;
}
