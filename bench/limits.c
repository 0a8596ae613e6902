/* The limit: what the machine's instruction rates allow, given the instructions counted in the hot loop (bench.h). */
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"

json_t *bench_counts_read(const char *path) {
  json_error_t error;
  json_t *counts = json_load_file(path, 0, &error);
  const char *format = json_string_value(json_object_get(counts, "format"));
  if (counts && (!format || strcmp(format, "ntk-instruction-counts 1") != 0)) {
    snprintf(error.text, sizeof error.text, "it is not of format \"ntk-instruction-counts 1\"");
    json_decref(counts);
    counts = NULL;
  }
  if (!counts)
    fprintf(stderr,
            "ntk_bench: no instruction counts, so no limit (%s: %s): run bench/count_instructions.py --write %s\n",
            path, error.text, path);
  return counts;
}

static double per_vector(const json_t *counts, const char *kind) {
  return json_number_value(json_object_get(counts, kind));
}

void bench_limit_find(const json_t *counts, const char *isa, bool ntk, const bench_rates *rates, bench_limit *out) {
  memset(out, 0, sizeof *out);
  const json_t *entry = json_object_get(json_object_get(counts, "isas"), isa);
  int lanes = (int)json_integer_value(json_object_get(entry, "lanes"));
  if (lanes < 1 || rates->lanes != lanes) return;
  const char *name = json_string_value(json_object_get(json_object_get(entry, "steady"), ntk ? "ntk" : "nngp"));
  if (name) snprintf(out->function, sizeof out->function, "%s", name);
  const json_t *function = json_object_get(json_object_get(entry, "functions"), out->function);
  const json_t *kinds = json_object_get(function, "per_vector");
  if (!kinds) {
    fprintf(stderr,
            "ntk_bench: the instruction counts lack the %s loop for %s: run bench/count_instructions.py again\n",
            ntk ? "NTK" : "NNGP", isa);
    return;
  }
  double fma = per_vector(kinds, "fma") + per_vector(kinds, "mul"), add = per_vector(kinds, "add");
  const double needed[BENCH_RATE_COUNT] = {
      [BENCH_RATE_FMA] = fma,
      [BENCH_RATE_ADD] = add,
      [BENCH_RATE_ISSUE] = per_vector(kinds, "floating_point"),
      [BENCH_RATE_SQRT] = per_vector(kinds, "sqrt"),
      [BENCH_RATE_SHUFFLE] = per_vector(kinds, "shuffle"),
      [BENCH_RATE_LOAD] = per_vector(kinds, "load") + per_vector(kinds, "folded_load"),
      [BENCH_RATE_STORE] = per_vector(kinds, "store")};
  for (int k = 0; k < BENCH_RATE_COUNT; k++) {
    out->per_vector[k] = needed[k];
    if (needed[k] <= 0) continue;
    out->entry_layers[k] = rates->per_second[k] / needed[k] * lanes;
    if (out->entry_layers[k] < out->entry_layers[out->tightest]) out->tightest = k;
  }
  out->instructions = per_vector(kinds, "all");
  out->floating_point = per_vector(kinds, "floating_point");
  out->known = fma > 0 && rates->per_second[BENCH_RATE_FMA] > 0;
}
