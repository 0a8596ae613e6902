#include <inttypes.h>
#include <stdio.h>

#include "tools/ntk/cli.h"

typedef struct settings {
  cli_compute compute;
  const char *path;
  int64_t samples, seed;
  bool json;
} settings;

static int print_json(const settings *s, const ntk_verify_report *report, bool fine) {
  cli_json json = cli_json_open();
  cli_json_text(&json, "verb", "verify");
  cli_json_text(&json, "version", ntk_version());
  cli_json_text(&json, "path", s->path);
  cli_json_bool(&json, "verified", fine);
  cli_json_integer(&json, "entries", report->entries);
  cli_json_real(&json, "max_relative_error", report->max_relative_error);
  cli_json_real(&json, "mean_relative_error", report->mean_relative_error);
  cli_json_integer(&json, "worst_row", report->worst_row);
  cli_json_integer(&json, "worst_column", report->worst_column);
  cli_json_real(&json, "tolerance", report->tolerance);
  int code = cli_json_print(&json);
  cli_json_close(&json);
  return code;
}

static int work(const settings *s, ntk_context *context) {
  ntk_verify_report report;
  CLI_TRY(cli_check(ntk_gram_verify(context, s->path, s->samples, (uint64_t)s->seed, &report)));
  bool fine = report.max_relative_error <= report.tolerance; /* false for NaN */
  cli_progress_pause();
  if (s->json) {
    CLI_TRY(print_json(s, &report, fine));
  } else {
    printf("%s entries recomputed in float64: largest relative error %.2e at [%" PRId64 ", %" PRId64
           "], mean %.2e, tolerance %.0e\n",
           cli_format_count(report.entries).text, report.max_relative_error, report.worst_row, report.worst_column,
           report.mean_relative_error, report.tolerance);
  }
  if (fine) return CLI_EXIT_OK;
  return cli_fail(CLI_EXIT_VERIFY,
                  "%s does not agree with its manifest: entry [%" PRId64 ", %" PRId64
                  "] is off by %.2e relative, the tolerance is %.0e",
                  s->path, report.worst_row, report.worst_column, report.max_relative_error, report.tolerance);
}

static int run(const void *raw) {
  const settings *s = raw;
  ntk_context *context = NULL;
  int code = cli_compute_open(&s->compute, &context);
  if (code == CLI_EXIT_OK) code = work(s, context);
  if (code > CLI_EXIT_SIGNAL) cli_note("interrupted");
  cli_compute_close(context);
  return code;
}

static const cli_option options[] = {
    {"samples", "N", CLI_INTEGER, offsetof(settings, samples), 1, 1e9, false, "entries to recompute; 100 (default)"},
    {"seed", "N", CLI_INTEGER, offsetof(settings, seed), 0, 9e15, false, "chooses the entries; 0 (default)"},
    {"json", NULL, CLI_FLAG, offsetof(settings, json), 0, 0, false, "print one JSON object and nothing else on stdout"},
    {0}};

static const settings defaults = {.compute = CLI_COMPUTE_DEFAULTS, .samples = 100};

const cli_verb cli_verb_verify = {
    .name = "verify",
    .summary = "recompute a sample of a stored matrix in float64",
    .argument = "K.npy",
    .argument_offset = offsetof(settings, path),
    .description =
        "Recomputes a reproducible random sample of a finished matrix in float64, from the network and the\n"
        "data that K.npy.json names, and reports the observed error. The exit code is 1 when an entry is\n"
        "off by more than the stated bound of the matrix's precision.",
    .examples = "  ntk verify ntk-out/train.npy\n  ntk verify K.npy --samples 10000 --seed 7 --json",
    .groups = {{"what to check", options, 0},
               {"how to compute", cli_compute_options, offsetof(settings, compute)},
               {0}},
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .run = run,
};
