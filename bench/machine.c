/* What the machine is and how busy it is (bench.h). */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"

/* The value of the first line of /proc/cpuinfo that starts with key; "" without one. */
static void cpuinfo(const char *key, char *out, size_t size) {
  FILE *file = fopen("/proc/cpuinfo", "r");
  char line[512];
  out[0] = 0;
  while (file && fgets(line, sizeof line, file)) {
    const char *colon = strchr(line, ':');
    size_t length = strlen(key);
    if (!colon || strncmp(line, key, length) != 0 || (line[length] != '\t' && line[length] != ' ')) continue;
    snprintf(out, size, "%s", colon + 1 + strspn(colon + 1, " "));
    out[strcspn(out, "\n")] = 0;
    break;
  }
  if (file) fclose(file);
}

static bool between(int value, int low, int high) { return value >= low && value <= high; }

/* The cores whose bars docs/performance.md states have names; virtual machines hide the marketing name, not the family.
 */
static void find_core(char *out, size_t size) {
  char vendor[64], text[64];
  cpuinfo("vendor_id", vendor, sizeof vendor);
  cpuinfo("cpu family", text, sizeof text);
  int family = atoi(text);
  cpuinfo("model", text, sizeof text);
  int model = atoi(text);
  bool amd = strcmp(vendor, "AuthenticAMD") == 0;
  if (amd && family == 25)
    snprintf(out, size, "%s",
             between(model, 0x10, 0x1f) || between(model, 0x60, 0x7f) || between(model, 0xa0, 0xaf) ? "zen4" : "zen3");
  else if (amd && family == 26)
    snprintf(out, size, "zen5");
  else if (family > 0)
    snprintf(out, size, "family%d-model%d", family, model);
  else
    snprintf(out, size, "unknown");
}

/* Lower case, without trademarks and clock rates: "amd-epyc-zen4". */
static void make_name(const char *cpu, const char *core, char *out, size_t size) {
  static const char *const noise[] = {"(R)", "(TM)", "(r)", "(tm)", "CPU", "Processor"};
  char text[256];
  size_t used = 0;
  snprintf(text, sizeof text, "%.120s", cpu);
  text[strcspn(text, "@")] = 0;
  for (size_t k = 0; k < sizeof noise / sizeof *noise; k++)
    for (char *at; (at = strstr(text, noise[k])) != NULL;) memset(at, ' ', strlen(noise[k]));
  snprintf(text + strlen(text), sizeof text - strlen(text), " %s", core);
  for (const char *c = text; *c && used + 1 < size; c++) {
    if (isalnum((unsigned char)*c))
      out[used++] = (char)tolower((unsigned char)*c);
    else if (used > 0 && out[used - 1] != '-' && c[1])
      out[used++] = '-';
  }
  out[used] = 0;
}

int bench_machine_find(bench_machine *machine) {
  memset(machine, 0, sizeof *machine);
  if (ntk_system_query(&machine->ntk) != NTK_OK) return bench_fail(BENCH_BROKEN, "%s", ntk_last_error());
  snprintf(machine->cpu, sizeof machine->cpu, "%s", machine->ntk.cpu);
  find_core(machine->core, sizeof machine->core);
  make_name(machine->cpu, machine->core, machine->name, sizeof machine->name);
  return BENCH_OK;
}

static double clock_seconds(clockid_t id) {
  struct timespec now;
  clock_gettime(id, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double bench_now(void) { return clock_seconds(CLOCK_MONOTONIC); }

double bench_cpu_seconds(void) { return clock_seconds(CLOCK_PROCESS_CPUTIME_ID); }

double bench_load(void) {
  double load;
  return getloadavg(&load, 1) == 1 ? load : -1;
}

double bench_stolen(void) {
  FILE *file = fopen("/proc/stat", "r");
  unsigned long long steal;
  int found = file ? fscanf(file, "cpu %*u %*u %*u %*u %*u %*u %*u %llu", &steal) : 0;
  if (file) fclose(file);
  return found == 1 ? (double)steal / (double)sysconf(_SC_CLK_TCK) : -1;
}
