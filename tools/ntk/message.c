#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "tools/ntk/cli.h"

static void print(const char *format, va_list arguments, const char *tail)
    __attribute__((format(printf, 1, 0), nonnull(1, 3)));
static void print(const char *format, va_list arguments, const char *tail) {
  cli_progress_pause();
  fputs("ntk: ", stderr);
  vfprintf(stderr, format, arguments);
  fputs(tail, stderr);
}

int cli_fail(int code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  print(format, arguments, "\n");
  va_end(arguments);
  return code;
}

void cli_note(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  print(format, arguments, "\n");
  va_end(arguments);
}

int cli_usage(const char *verb, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  print(format, arguments, " (");
  va_end(arguments);
  fprintf(stderr, "see `ntk %s%s--help`)\n", verb ? verb : "", verb ? " " : "");
  return CLI_EXIT_USAGE;
}

int cli_check(ntk_status status) {
  if (cli_signals_caught() && (status == NTK_OK || status == NTK_ERROR_INTERRUPTED)) {
    return CLI_EXIT_SIGNAL + cli_signals_caught();
  }
  if (status == NTK_OK) return CLI_EXIT_OK;
  const char *message = ntk_last_error();
  return cli_fail(CLI_EXIT_STATUS + (int)status, "%s", *message ? message : ntk_status_name(status));
}
