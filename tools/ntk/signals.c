#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "tools/ntk/cli.h"

static _Atomic(ntk_context *) active;
static volatile sig_atomic_t caught;
static int command_count;
static char *const *command;

static void on_signal(int signal_number) {
  if (caught) { /* asked twice: do not wait for the workers */
    signal(signal_number, SIG_DFL);
    raise(signal_number);
    return;
  }
  caught = signal_number;
  ntk_context *context = atomic_load(&active);
  if (context) ntk_context_cancel(context);
}

static void install(int signal_number) {
  struct sigaction action;
  /* A shell starts background jobs with SIGINT ignored: leave it so. */
  if (sigaction(signal_number, NULL, &action) == 0 && action.sa_handler == SIG_IGN) return;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(signal_number, &action, NULL);
}

void cli_signals_start(int argc, char *const *argv) {
  command_count = argc;
  command = argv;
  install(SIGINT);
  install(SIGTERM);
  signal(SIGPIPE, SIG_IGN); /* a closed pipe or a file-size limit is an error to report, not a silent death */
  signal(SIGXFSZ, SIG_IGN);
}

void cli_signals_context(ntk_context *context) {
  atomic_store(&active, context);
  if (caught && context) ntk_context_cancel(context);
}

int cli_signals_caught(void) { return caught; }

static void print_quoted(const char *word) {
  static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";
  if (*word && strspn(word, plain) == strlen(word)) {
    fputs(word, stderr);
    return;
  }
  fputc('\'', stderr);
  for (; *word; ++word) {
    if (*word == '\'') {
      fputs("'\\''", stderr);
    } else {
      fputc(*word, stderr);
    }
  }
  fputc('\'', stderr);
}

void cli_print_resume_hint(const char *what) {
  bool resumes = false;
  cli_progress_pause();
  fprintf(stderr, "ntk: %s; finished tiles are kept, go on with:", what);
  for (int i = 0; i < command_count; ++i) {
    if (strcmp(command[i], "--overwrite") == 0) continue; /* would begin again */
    if (strcmp(command[i], "--resume") == 0) resumes = true;
    fputc(' ', stderr);
    print_quoted(command[i]);
  }
  fputs(resumes ? "\n" : " --resume\n", stderr);
}
