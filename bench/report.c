/* The results as JSON (bench.h); docs/performance.md explains every key. */
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/classical.h"

static double threads_factor(const bench_report *r) {
  double one = r->rates->per_second[BENCH_RATE_FMA];
  return r->rates->all_threads > 0 && one > 0 ? r->rates->all_threads / one : r->world->threads;
}

static json_t *rates(const bench_report *r) {
  json_t *out = json_pack("{sssi}", "isa", ntk_context_isa(r->world->one), "lanes", r->rates->lanes);
  json_t *per_second = json_object(), *per_clock = json_object();
  for (int k = 0; k < BENCH_RATE_COUNT && r->rates->lanes > 0; k++) {
    json_object_set_new(per_second, bench_rate_names[k], json_real(r->rates->per_second[k]));
    if (r->clock.median > 0)
      json_object_set_new(per_clock, bench_rate_names[k], json_real(r->rates->per_second[k] / r->clock.median));
  }
  json_object_set_new(out, "instructions_per_second", per_second);
  json_object_set_new(out, "instructions_per_clock", per_clock);
  json_object_set_new(out, "fma_all_threads_over_one", json_real(threads_factor(r)));
  return out;
}

static json_t *limit(const bench_limit *l) {
  if (!l->known) return json_null();
  json_t *needed = json_object(), *allowed = json_object();
  for (int k = 0; k < BENCH_RATE_COUNT; k++) {
    json_object_set_new(needed, bench_rate_names[k], json_real(l->per_vector[k]));
    if (l->entry_layers[k] > 0) json_object_set_new(allowed, bench_rate_names[k], json_real(l->entry_layers[k]));
  }
  return json_pack("{sssosfsfsosfss}", "function", l->function, "instructions_per_vector", needed,
                   "all_instructions_per_vector", l->instructions, "floating_point_instructions_per_vector",
                   l->floating_point, "entry_layers_per_second", allowed, "limit_entry_layers_per_second",
                   l->entry_layers[l->tightest], "limit", bench_rate_names[l->tightest]);
}

double bench_limit_share(const bench_report *r, const bench_case *c) {
  const bench_limit *l = &r->limits[c->kernel == NTK_KERNEL_NNGP];
  if (!l->known) return 0;
  double speed = ntk_plan_cost(c->plan).entry_layers / bench_summarise(c->seconds, c->runs).best;
  return speed / (l->entry_layers[l->tightest] * (c->threads > 1 ? threads_factor(r) : 1));
}

const bench_case *bench_find(const bench_report *r, const bench_case *like, bench_method method, int threads) {
  for (int k = 0; k < r->case_count; k++) {
    const bench_case *c = &r->cases[k];
    if (c->method == method && c->threads == threads && c->depth == like->depth && c->kernel == like->kernel &&
        strcmp(c->readout, like->readout) == 0)
      return c;
  }
  return NULL;
}

static json_t *result(const bench_report *r, const bench_case *c) {
  const bench_limit *l = &r->limits[c->kernel == NTK_KERNEL_NNGP];
  bench_summary s = bench_summarise(c->seconds, c->runs);
  double entry_layers = ntk_plan_cost(c->plan).entry_layers;
  json_t *out = json_pack("{sssisssssssIsisosos{sfsfsf}sf}", "method", bench_method_names[c->method], "depth", c->depth,
                          "readout", c->readout, "kernel", bench_kernel_name(c->kernel), "network",
                          ntk_plan_network_text(c->plan), "images", (json_int_t)c->images, "threads", c->threads,
                          "seconds_per_pair", bench_summary_json(s), "verification",
                          json_pack("{sIsfsf}", "entries", (json_int_t)c->verified, "max_relative_error", c->error,
                                    "tolerance", c->tolerance),
                          "pairs_per_second", "best", 1 / s.best, "median", 1 / s.median, "worst", 1 / s.worst,
                          "entry_layers_per_second", entry_layers / s.best);
  if (!out) return NULL;
  json_t *runs = json_array();
  for (int k = 0; k < c->runs; k++) json_array_append_new(runs, json_real(c->seconds[k]));
  json_object_set_new(out, "runs_seconds_per_pair", runs);
  json_object_set_new(out, "least_cpu_share", json_real(c->cpu_share));
  json_object_set_new(out, "entry_layers_per_pair", json_real(entry_layers));
  if (r->clock.median > 0) {
    double cycles = r->clock.median * c->threads * s.best / entry_layers;
    json_object_set_new(out, "clocks_per_entry_layer", json_real(cycles));
    if (l->known && c->method == BENCH_PLANE)
      json_object_set_new(out, "instructions_per_clock", json_real(l->instructions / (cycles * r->rates->lanes)));
  }
  if (c->method == BENCH_PLANE && l->known) {
    json_object_set_new(out, "fraction_of_limit", json_real(bench_limit_share(r, c)));
  }
  const bench_case *one = c->threads > 1 ? bench_find(r, c, c->method, 1) : NULL;
  if (one) {
    bench_summary alone = bench_summarise(one->seconds, one->runs);
    json_object_set_new(out, "scaling", json_real(alone.best / s.best));
    json_object_set_new(out, "scaling_of_medians", json_real(alone.median / s.median));
  }
  return out;
}

double bench_bar(const bench_report *r, const bench_case *classical) {
  if (classical->depth != 21 || classical->method != BENCH_CLASSICAL) return 0;
  return strcmp(r->machine->core, "zen4") == 0 ? 7.3 : strcmp(r->machine->core, "zen5") == 0 ? 9 : 0;
}

/* The plane engine over the classical method, both on one core in the same rounds. */
static json_t *comparison(const bench_report *r, const bench_case *c) {
  const bench_case *plane = bench_find(r, c, BENCH_PLANE, 1);
  if (!plane) return NULL;
  bench_summary ours = bench_summarise(plane->seconds, plane->runs), theirs = bench_summarise(c->seconds, c->runs);
  double ratio = theirs.median / ours.median, bar = bench_bar(r, c);
  json_t *out =
      json_pack("{sssisssssfsfsfsf}", "baseline", bench_method_names[c->method], "depth", c->depth, "readout",
                c->readout, "kernel", bench_kernel_name(c->kernel), "pairs_per_second", 1 / theirs.median,
                "plane_pairs_per_second", 1 / ours.median, "ratio", ratio, "ratio_of_bests", theirs.best / ours.best);
  if (c->method != BENCH_CLASSICAL_SCALAR) json_object_set_new(out, "acos", json_string(classical_acos()));
  if (bar > 0) {
    json_object_set_new(out, "bar", json_real(bar));
    json_object_set_new(out, "reached", json_boolean(ratio >= bar));
  }
  return out;
}

static json_t *head(const bench_report *r) {
  const bench_settings *s = r->settings;
  char date[BENCH_DATE];
  return json_pack("{sssssssssbsbsisfsfsos{sfsf}}", "format", "ntk-bench 1", "date", bench_date(date), "version",
                   ntk_version(), "commit", s->commit, "quick", s->quick, "partial", s->only_count > 0, "rounds",
                   s->rounds, "least_run_seconds", s->run_seconds, "seconds", r->seconds, "clock_hz",
                   bench_clock_json(r->clock), "load", "before", r->load, "stolen_share", r->stolen_share);
}

int bench_report_write(const bench_report *r) {
  json_t *out = head(r), *limits = json_object(), *results = json_array(), *comparisons = json_array();
  json_object_set_new(out, "machine", bench_machine_json(r->machine));
  json_object_set_new(out, "compiler", json_string(r->machine->ntk.compiler));
  json_object_set_new(out, "build_type", json_string(NTK_BENCH_BUILD_TYPE));
  json_object_set_new(out, "isa", json_string(ntk_context_isa(r->world->one)));
  json_object_set_new(out, "rates", rates(r));
  json_object_set(out, "counted_compiler", json_object_get(r->counts, "compiler"));
  for (int k = 0; k < 2; k++)
    json_object_set_new(limits, bench_kernel_name(k ? NTK_KERNEL_NNGP : NTK_KERNEL_NTK), limit(&r->limits[k]));
  json_object_set_new(out, "limits", limits);
  for (int k = 0; k < r->case_count; k++) {
    const bench_case *c = &r->cases[k];
    json_array_append_new(results, result(r, c));
    json_t *ratio = c->method == BENCH_PLANE ? NULL : comparison(r, c);
    if (ratio) json_array_append_new(comparisons, ratio);
  }
  json_object_set_new(out, "results", results);
  json_object_set_new(out, "comparisons", comparisons);
  bool whole = (int)json_array_size(results) == r->case_count;
  int code = whole ? bench_write(out, r->settings->json) : bench_fail(BENCH_BROKEN, "no memory for the results");
  json_decref(out);
  return code;
}
