#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/ntk/cli.h"

static const cli_verb *const verbs[] = {&cli_verb_eval,    &cli_verb_gram,  &cli_verb_features,
                                        &cli_verb_regress, &cli_verb_net,   &cli_verb_info,
                                        &cli_verb_verify,  &cli_verb_bench, NULL};

static const cli_verb *find_verb(const char *name) {
  for (const cli_verb *const *verb = verbs; *verb; ++verb) {
    if (strcmp((*verb)->name, name) == 0) return *verb;
  }
  return NULL;
}

static int unknown_verb(const char *name) {
  const char *names[sizeof verbs / sizeof *verbs + 1];
  size_t count = 0;
  for (; verbs[count]; ++count) names[count] = verbs[count]->name;
  names[count++] = "help";
  const char *nearest = cli_nearest(name, names, count);
  if (nearest) return cli_usage(NULL, "unknown verb \"%s\"; did you mean `ntk %s`?", name, nearest);
  return cli_usage(NULL, "unknown verb \"%s\"", name);
}

static int help(const char *name) {
  if (!name) {
    cli_print_help(verbs);
    return CLI_EXIT_OK;
  }
  const cli_verb *verb = find_verb(name);
  if (!verb) return unknown_verb(name);
  cli_print_verb_help(verb);
  return CLI_EXIT_OK;
}

static int run_verb(const cli_verb *verb, int argc, char **argv) {
  bool wants_help;
  void *settings = malloc(verb->settings_size);
  if (!settings) return cli_fail(CLI_EXIT_STATUS + NTK_ERROR_MEMORY, "no memory is left");
  int code = cli_parse(verb, argc, argv, settings, &wants_help);
  if (code == CLI_EXIT_OK) {
    if (wants_help) {
      cli_print_verb_help(verb);
    } else {
      code = verb->run(settings);
    }
  }
  free(settings);
  return code;
}

static int dispatch(int argc, char **argv) {
  const char *word = argc > 1 ? argv[1] : NULL;
  if (!word) {
    return cli_usage(NULL, "which verb? eval, gram, features, regress, net, info, verify or bench");
  }
  if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) return help(NULL);
  if (strcmp(word, "help") == 0) return help(argc > 2 ? argv[2] : NULL);
  if (strcmp(word, "--version") == 0) {
    printf("ntk %s\n", ntk_version());
    return CLI_EXIT_OK;
  }
  const cli_verb *verb = find_verb(word);
  return verb ? run_verb(verb, argc - 1, argv + 1) : unknown_verb(word);
}

/* A stream that the caller closed must not become the number of a matrix file that the library opens. */
static bool hold_standard_streams(void) {
  static const int modes[] = {O_RDONLY, O_RDONLY, O_WRONLY}; /* writing to a closed stdout goes on failing */
  bool output = fcntl(STDOUT_FILENO, F_GETFD) != -1;
  for (int stream = 0; stream < 3; ++stream) {
    if (fcntl(stream, F_GETFD) == -1 && open("/dev/null", modes[stream]) != stream) return false;
  }
  return output;
}

int main(int argc, char **argv) {
  if (!hold_standard_streams()) {
    return cli_fail(CLI_EXIT_STATUS + NTK_ERROR_IO, "the standard output is closed");
  }
  char **command = calloc((size_t)argc + 1, sizeof *command); /* getopt_long reorders argv */
  if (!command) return cli_fail(CLI_EXIT_STATUS + NTK_ERROR_MEMORY, "no memory is left");
  memcpy(command, argv, (size_t)argc * sizeof *command);
  cli_signals_start(argc, command);
  int code = dispatch(argc, argv);
  errno = 0;
  if (fflush(stdout) != 0 || ferror(stdout)) {
    int reason = errno;
    int failed = cli_fail(CLI_EXIT_STATUS + NTK_ERROR_IO, "cannot write to the standard output%s%s", reason ? ": " : "",
                          reason ? strerror(reason) : "");
    if (code == CLI_EXIT_OK) code = failed;
  }
  free(command);
  return code;
}
