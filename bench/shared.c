/* Summaries, and the parts of the JSON that both benchmark programs write (bench.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

bench_summary bench_summarise(const double *values, int count) {
  double sorted[BENCH_MOST_RUNS];
  if (count < 1) return (bench_summary){0, 0, 0};
  memcpy(sorted, values, (size_t)count * sizeof *sorted);
  qsort(sorted, (size_t)count, sizeof *sorted, ascending);
  return (bench_summary){sorted[0], (sorted[(count - 1) / 2] + sorted[count / 2]) / 2, sorted[count - 1]};
}

json_t *bench_summary_json(bench_summary s) {
  return json_pack("{sfsfsf}", "best", s.best, "median", s.median, "worst", s.worst);
}

json_t *bench_clock_json(bench_summary clock) {
  return json_pack("{sfsfsf}", "lowest", clock.best, "median", clock.median, "highest", clock.worst);
}

json_t *bench_machine_json(const bench_machine *machine) {
  const ntk_system_info *ntk = &machine->ntk;
  struct utsname system;
  if (uname(&system) != 0) snprintf(system.release, sizeof system.release, "unknown");
  return json_pack("{sssssssisIsIss}", "name", machine->name, "cpu", machine->cpu, "core", machine->core, "cores",
                   ntk->cores, "memory_bytes", (json_int_t)ntk->memory_bytes, "l2_bytes",
                   (json_int_t)sysconf(_SC_LEVEL2_CACHE_SIZE), "kernel", system.release);
}

const char *bench_date(char out[BENCH_DATE]) {
  time_t now = time(NULL);
  struct tm utc;
  gmtime_r(&now, &utc);
  strftime(out, BENCH_DATE, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return out;
}

int bench_write(const json_t *object, const char *to) {
  char path[4096];
  bool whole = snprintf(path, sizeof path, "%s.part", to) < (int)sizeof path;
  if (whole) whole = json_dump_file(object, path, JSON_INDENT(1) | JSON_REAL_PRECISION(8)) == 0;
  if (whole) whole = rename(path, to) == 0;
  return whole ? BENCH_OK : bench_fail(BENCH_BROKEN, "the results cannot be written to %s", to);
}

bool bench_number(const char *text, double least, double most, double *out) {
  char *end;
  *out = strtod(text, &end);
  return end != text && !*end && *out >= least && *out <= most;
}
