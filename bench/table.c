/* The results as a table for people (bench.h). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/classical.h"

static void print_machine(const bench_report *r) {
  const ntk_system_info *ntk = &r->machine->ntk;
  printf("%s (%s), %d cores, %.0f GiB; libntk %s, %s, %s, commit %s\n", r->machine->cpu, r->machine->core, ntk->cores,
         (double)ntk->memory_bytes / 0x1p30, ntk_version(), ntk->compiler, ntk_context_isa(r->world->one),
         r->settings->commit);
  printf(
      "clock %.3f GHz measured (%.3f .. %.3f); load average %.2f before, stolen %.1f %%; %d rounds, runs of at least "
      "%g s\n",
      r->clock.median / 1e9, r->clock.best / 1e9, r->clock.worst / 1e9, r->load, 100 * r->stolen_share,
      r->settings->rounds, r->settings->run_seconds);
}

static void print_limits(const bench_report *r) {
  if (r->rates->lanes == 0) return;
  printf("\ninstructions a clock, %d floats each:", r->rates->lanes);
  for (int k = 0; k < BENCH_RATE_COUNT && r->clock.median > 0; k++)
    printf(" %s %.2f", bench_rate_names[k], r->rates->per_second[k] / r->clock.median);
  putchar('\n');
  for (int n = 0; n < 2; n++) {
    const bench_limit *l = &r->limits[n];
    if (!l->known) continue;
    printf(
        "limit %-5s %s: %s, %.3g a vector -> %.3g entry-layers/s a core; %.3g instructions a vector, %.3g of them "
        "floating point\n",
        n ? "nngp" : "ntk", l->function, bench_rate_names[l->tightest], l->per_vector[l->tightest],
        l->entry_layers[l->tightest], l->instructions, l->floating_point);
  }
}

static void print_rate(char *out, size_t size, double rate) {
  snprintf(out, size, rate < 1000 ? "%.4g" : "%.0f", rate);
}

static void print_case(const bench_report *r, const bench_case *c) {
  bench_summary s = bench_summarise(c->seconds, c->runs);
  double entry_layers = ntk_plan_cost(c->plan).entry_layers;
  char limit[16] = "", scaling[16] = "", best[24], median[24];
  print_rate(best, sizeof best, 1 / s.best);
  print_rate(median, sizeof median, 1 / s.median);
  double share = c->method == BENCH_PLANE ? bench_limit_share(r, c) : 0;
  const bench_case *one = c->threads > 1 ? bench_find(r, c, c->method, 1) : NULL;
  if (share > 0) snprintf(limit, sizeof limit, "%.0f %%", 100 * share);
  if (one) snprintf(scaling, sizeof scaling, "%.2f", bench_summarise(one->seconds, one->runs).best / s.best);
  printf("%-17s %-4s %5d  %-8s %7d %6d %11s %11s %5.1f %% %11.3e %7.2f %6s %7s  %.0e\n", bench_method_names[c->method],
         bench_kernel_name(c->kernel), c->depth, c->readout, c->threads, (int)c->images, best, median,
         100 * (s.worst / s.best - 1), entry_layers / s.best, r->clock.median * c->threads * s.best / entry_layers,
         limit, scaling, c->error);
}

static void print_comparisons(const bench_report *r) {
  for (int k = 0; k < r->case_count; k++) {
    const bench_case *c = &r->cases[k], *plane = bench_find(r, c, BENCH_PLANE, 1);
    if (c->method == BENCH_PLANE || !plane) continue;
    double ratio = bench_summarise(c->seconds, c->runs).median / bench_summarise(plane->seconds, plane->runs).median;
    double bar = bench_bar(r, c);
    printf("plane engine / %s (depth %d %s, one core): %.2f", bench_method_names[c->method], c->depth, c->readout,
           ratio);
    if (c->method != BENCH_CLASSICAL_SCALAR) printf(", acos: %s", classical_acos());
    if (bar > 0) printf("; bar %g: %s", bar, ratio >= bar ? "reached" : "missed");
    putchar('\n');
  }
}

/* A machine with other work gives figures of that work. One thread should have a processor to itself; several may have
 * to wait for the last tile. */
static void print_warnings(const bench_report *r) {
  double share = 1;
  for (int k = 0; k < r->case_count; k++)
    if (r->cases[k].threads == 1) share = fmin(share, r->cases[k].cpu_share);
  if (share < 0.95 || r->stolen_share > 0.01)
    printf(
        "\nwarning: the machine was busy: a run on one thread got only %.0f %% of a processor, %.1f %% were stolen: do "
        "not "
        "keep these figures\n",
        100 * share, 100 * r->stolen_share);
  if (strcmp(NTK_BENCH_BUILD_TYPE, "Release") != 0) printf("\nwarning: a build of type \"%s\"\n", NTK_BENCH_BUILD_TYPE);
}

void bench_report_print(const bench_report *r) {
  print_machine(r);
  print_limits(r);
  printf("\n%-17s %-4s %5s  %-8s %7s %6s %11s %11s %7s %11s %7s %6s %7s  %s\n", "method", "", "depth", "readout",
         "threads", "images", "pairs/s", "median", "spread", "entry-l./s", "clocks", "limit", "scaling", "error");
  for (int k = 0; k < r->case_count; k++) print_case(r, &r->cases[k]);
  printf(
      "\npairs/s: best of %d runs; spread: slowest over fastest run; clocks: of a core per entry-layer; limit: share "
      "of the limit above;\nscaling: all threads over one; error: largest relative error of the verified entries\n\n",
      r->settings->rounds);
  print_comparisons(r);
  print_warnings(r);
}
