/* The benchmark programs: what their files share. They use only the public API of libntk. */
#ifndef NTK_BENCH_BENCH_H
#define NTK_BENCH_BENCH_H

#include <jansson.h>
#include <ntk/ntk.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BENCH_SIDE = 32, BENCH_CHANNELS = 3, BENCH_MOST_IMAGES = 512, BENCH_MOST_RUNS = 64, BENCH_MOST_CASES = 64 };

typedef enum bench_method {
  BENCH_PLANE,               /* libntk */
  BENCH_CLASSICAL,           /* classical.h, plain */
  BENCH_CLASSICAL_SEPARABLE, /* classical.h */
  BENCH_CLASSICAL_BLOCKED,   /* classical.h */
  BENCH_CLASSICAL_SCALAR     /* classical.h, plain, not vectorised */
} bench_method;

/* ---- machine.c: what this machine is, and how busy it is */

typedef struct bench_machine {
  char cpu[128];       /* model name */
  char core[32];       /* "zen4", ... or "family-F-model-M" */
  char name[96];       /* short name for files, e.g. "amd-epyc-zen4" */
  ntk_system_info ntk; /* as the library sees it */
} bench_machine;

int bench_machine_find(bench_machine *machine);
double bench_now(void);         /* seconds, wall clock */
double bench_cpu_seconds(void); /* seconds of processor time that this process used, all threads */
double bench_load(void);        /* the system's load average of the last minute, < 0 if unknown */
double bench_stolen(void);      /* seconds that the hypervisor took from this machine, all cores; < 0 if unknown */

/* ---- shared.c: what both benchmark programs print */

typedef struct bench_summary {
  double best, median, worst;
} bench_summary;

enum { BENCH_DATE = 32 };

bench_summary bench_summarise(const double *values, int count);
json_t *bench_summary_json(bench_summary s);
json_t *bench_clock_json(bench_summary clock);
json_t *bench_machine_json(const bench_machine *machine);
const char *bench_date(char out[BENCH_DATE]); /* now, UTC, ISO 8601 */
/* Writes the object to a file, in place only when it is complete. */
int bench_write(const json_t *object, const char *path);
/* Reads a number within bounds. */
bool bench_number(const char *text, double least, double most, double *out);

/* ---- rates.c: micro-benchmarks of one core */

/* Vector instructions a second, of the widest vectors of an instruction set, on independent operands in registers. */
typedef enum bench_rate {
  BENCH_RATE_FMA,
  BENCH_RATE_ADD,
  BENCH_RATE_ISSUE, /* as many multiply-adds as additions: floating-point instructions of any kind */
  BENCH_RATE_SQRT,
  BENCH_RATE_SHUFFLE,
  BENCH_RATE_LOAD,  /* from the first-level cache */
  BENCH_RATE_STORE, /* to the first-level cache */
  BENCH_RATE_COUNT
} bench_rate;

extern const char *const bench_rate_names[BENCH_RATE_COUNT];

typedef struct bench_rates {
  int lanes; /* floats of a vector; 0: none of the rates is known for this instruction set */
  double per_second[BENCH_RATE_COUNT];
  double all_threads; /* multiply-adds a second of all threads together; 0: not measured */
} bench_rates;

/* Clock of this core in Hz: a chain of dependent additions; 0 where we have none for the processor. */
double bench_clock(double seconds);
/* Raises `best` to what is measured now; start from zeros. isa: "avx512", "avx2", ... seconds: about what it may take.
 */
void bench_rates_measure(const char *isa, int threads, double seconds, bench_rates *best);

/* ---- limits.c: what the counted instructions allow */

typedef struct bench_limit {
  bool known;
  char function[64];                     /* whose loop was counted */
  double per_vector[BENCH_RATE_COUNT];   /* instructions a vector of entries that each rate bounds */
  double entry_layers[BENCH_RATE_COUNT]; /* entry-layers a second on one core that the rate allows; 0: no bound */
  double instructions;                   /* of all kinds, a vector */
  double floating_point;                 /* of those */
  int tightest;                          /* the bench_rate that allows least: the limit */
} bench_limit;

/* Reads the counts (count_instructions.py); NULL with a message on stderr if there are none. */
json_t *bench_counts_read(const char *path);
void bench_limit_find(const json_t *counts, const char *isa, bool ntk, const bench_rates *rates, bench_limit *out);

/* ---- cases.c: what is measured */

typedef struct bench_case {
  bench_method method;
  int depth; /* layers + 1, as published tables count */
  const char *readout;
  ntk_kernel kernel;
  int threads;

  ntk_plan *plan, *exact; /* float32, float64 */
  int64_t images;         /* a call computes images x images pairs */
  double first;           /* first value that verification saw: every timed call must give it again */
  int64_t verified;       /* entries */
  double error, tolerance;

  int runs;
  double seconds[BENCH_MOST_RUNS]; /* of a pair, one number a run */
  double cpu_share;                /* least processor time / (threads x wall time) of a run */
} bench_case;

typedef struct bench_settings {
  bool quick;
  int threads; /* 0: all */
  int rounds;
  double run_seconds;
  const char *json, *counts, *commit;
  const char *only[16]; /* KEY=VALUE */
  int only_count;
} bench_settings;

/* Images, contexts and buffers that all cases share. */
typedef struct bench_world {
  const bench_settings *settings;
  ntk_context *one, *all;
  int threads; /* of `all` */
  double *x, *z, *block;
  struct classical_image *classical;
  float *s, *t;
} bench_world;

extern const char *const bench_method_names[];
const char *bench_kernel_name(ntk_kernel kernel);

int bench_world_open(const bench_settings *settings, bench_world *out);
void bench_world_close(bench_world *world);
/* Makes the cases that the filters leave; their number, or < 0 after a message. */
int bench_cases_make(const bench_world *world, bench_case *cases);
void bench_case_free(bench_case *c);
/* Whether a filter KEY=VALUE is one. */
bool bench_filter_valid(const char *filter);

/* ---- timing.c */

/* Checks values against float64 (the classical method: against the library), chooses the size of a call and warms up.
 */
int bench_case_prepare(const bench_world *world, bench_case *c);
/* One timed run. */
int bench_case_run(const bench_world *world, bench_case *c);

/* ---- report.c */

typedef struct bench_report {
  const bench_settings *settings;
  const bench_machine *machine;
  const bench_world *world;
  const bench_rates *rates;
  const bench_limit *limits; /* [0] NTK, [1] NNGP */
  const json_t *counts;
  const bench_case *cases;
  int case_count;
  bench_summary clock; /* Hz, over the rounds: lowest, median, highest */
  double load, stolen_share, seconds;
} bench_report;

/* The best run's share of the limit; 0 if unknown. */
double bench_limit_share(const bench_report *r, const bench_case *c);
/* The case that differs from `like` in method and threads only; NULL without one. */
const bench_case *bench_find(const bench_report *report, const bench_case *like, bench_method method, int threads);
/* What the plane engine should reach over this case of the classical method on this machine (docs/performance.md); 0:
 * unset. */
double bench_bar(const bench_report *report, const bench_case *classical);

void bench_report_print(const bench_report *report);
int bench_report_write(const bench_report *report);

/* Prints "PROGRAM: ..." on stderr; returns `code`. */
int bench_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
enum { BENCH_OK = 0, BENCH_WRONG = 1, BENCH_USAGE = 2, BENCH_BROKEN = 3 };

#endif
