#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools/ntk/cli.h"

/* The program computes one thing at a time; the library reports from one thread at a time. */
static struct {
  int mode;
  bool terminal;
  bool open; /* a bar stands on the current line */
  const char *label;
} state;

static void print_json(const ntk_progress *report) {
  char line[512];
  snprintf(line, sizeof line,
           "{\"stage\":\"%s\",\"label\":\"%s\",\"done\":%lld,\"total\":%lld,\"seconds\":%.3f,\"pairs_per_second\":%.6g,"
           "\"entry_layers_per_second\":%.6g,\"seconds_left\":%.3f}\n",
           report->stage, state.label ? state.label : report->stage, (long long)report->done, (long long)report->total,
           report->seconds, report->pairs_per_second, report->entry_layers_per_second,
           report->seconds_left >= 0 ? report->seconds_left : -1.0);
  fputs(line, stderr); /* one write, so that lines stay whole beside other programs' */
}

static int terminal_width(void) {
  struct winsize size;
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20 ? size.ws_col : 80;
}

static void print_bar(const ntk_progress *report) {
  enum { CELLS = 24 };
  char bar[CELLS + 1], line[256];
  double fraction = report->total > 0 ? (double)report->done / (double)report->total : 0;
  int filled = (int)(fraction * CELLS);
  for (int i = 0; i < CELLS; ++i) bar[i] = i < filled ? '#' : '.';
  bar[CELLS] = '\0';
  const char *unit = strcmp(report->stage, "ridge") == 0 ? "rows" : "pairs";
  int used = snprintf(line, sizeof line, "%s [%s] %3d %%  %s %s/s", state.label ? state.label : report->stage, bar,
                      (int)(100 * fraction), cli_format_rate(report->pairs_per_second).text, unit);
  if (report->entry_layers_per_second > 0) {
    used += snprintf(line + used, sizeof line - (size_t)used, "  %.2e entry-layers/s", report->entry_layers_per_second);
  }
  if (report->seconds_left >= 0) {
    snprintf(line + used, sizeof line - (size_t)used, "  %s left", cli_format_seconds(report->seconds_left).text);
  }
  /* Never wrap: a wrapped line cannot be overwritten. */
  fprintf(stderr, "\r%.*s\033[K", terminal_width() - 1, line);
  fflush(stderr);
  state.open = true;
}

static void on_progress(const ntk_progress *report, void *user) {
  (void)user;
  if (state.mode == CLI_PROGRESS_JSON) {
    print_json(report);
  } else {
    print_bar(report);
  }
}

void cli_progress_start(ntk_context *context, int mode) {
  const char *kind = getenv("TERM");
  state.mode = mode;
  state.terminal = isatty(STDERR_FILENO) && (!kind || strcmp(kind, "dumb") != 0);
  if (mode == CLI_PROGRESS_JSON || (mode == CLI_PROGRESS_AUTO && state.terminal)) {
    ntk_context_set_progress(context, on_progress, NULL);
  }
}

void cli_progress_label(const char *label) {
  cli_progress_pause();
  state.label = label;
}

void cli_progress_pause(void) {
  if (state.open) fputc('\n', stderr);
  state.open = false;
}
