#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ntk/cli.h"

enum { MAX_OPTIONS = 48, FIRST_OPTION = 1000 }; /* above every character that getopt could report */

/* What one call of cli_parse works on. */
typedef struct parser {
  const cli_verb *verb;
  char *settings;
  size_t count;
  const cli_option *options[MAX_OPTIONS];
  size_t offsets[MAX_OPTIONS];
  bool seen[MAX_OPTIONS];
  struct option getopt_options[MAX_OPTIONS + 2];
} parser;

static void collect(parser *p) {
  for (const cli_group *group = p->verb->groups; group->title; ++group) {
    for (const cli_option *option = group->options; option->name && p->count < MAX_OPTIONS; ++option) {
      p->options[p->count] = option;
      p->offsets[p->count] = group->offset + option->offset;
      p->getopt_options[p->count] = (struct option){
          option->name, option->type == CLI_FLAG ? no_argument : required_argument, NULL, FIRST_OPTION + (int)p->count};
      ++p->count;
    }
  }
  p->getopt_options[p->count] = (struct option){"help", no_argument, NULL, 'h'};
}

const char *cli_choice_name(const char *value, int index, char *buffer, size_t size) {
  for (; index > 0 && *value; ++value) {
    if (*value == '|') --index;
  }
  snprintf(buffer, size, "%.*s", (int)strcspn(value, "|"), value);
  return buffer;
}

static bool parse_choice(const char *value, const char *text, int *out) {
  char word[32];
  int count = 1;
  for (const char *c = value; *c; ++c) count += *c == '|';
  for (int i = 0; i < count; ++i) {
    if (strcmp(cli_choice_name(value, i, word, sizeof word), text) == 0) {
      *out = i;
      return true;
    }
  }
  return false;
}

static bool parse_integer(const char *text, double low, double high, int64_t *out) {
  char *end;
  errno = 0;
  long long value = strtoll(text, &end, 10);
  if (errno || end == text || *end || (double)value < low || (double)value > high) return false;
  *out = value;
  return true;
}

static bool parse_bytes(const char *text, double low, double high, uint64_t *out) {
  static const struct {
    const char *name;
    double factor;
  } units[] = {{"", 1},
               {"B", 1},
               {"K", 1024.},
               {"KiB", 1024.},
               {"KB", 1e3},
               {"M", 1048576.},
               {"MiB", 1048576.},
               {"MB", 1e6},
               {"G", 1073741824.},
               {"GiB", 1073741824.},
               {"GB", 1e9},
               {"T", 1099511627776.},
               {"TiB", 1099511627776.},
               {"TB", 1e12}};
  char *end;
  double value = strtod(text, &end);
  if (end == text) return false;
  while (*end == ' ') ++end;
  for (size_t i = 0; i < sizeof units / sizeof *units; ++i) {
    if (strcmp(end, units[i].name) != 0) continue;
    value *= units[i].factor;
    if (!(value >= low && value <= high)) return false;
    *out = (uint64_t)value;
    return true;
  }
  return false;
}

static bool parse_list(const char *text, double low, double high, cli_list *out) {
  char item[24];
  out->count = 0;
  for (;;) {
    size_t length = strcspn(text, ",");
    int64_t value;
    if (length >= sizeof item || out->count == sizeof out->values / sizeof *out->values) return false;
    memcpy(item, text, length);
    item[length] = '\0';
    if (!parse_integer(item, low, high, &value)) return false;
    out->values[out->count++] = (int)value;
    if (!text[length]) return true;
    text += length + 1;
  }
}

/* Strictly between the two. */
static bool parse_real(const char *text, double low, double high, double *out) {
  char *end;
  double value = strtod(text, &end);
  if (end == text || *end || !(value > low && value < high)) return false;
  *out = value;
  return true;
}

static bool parse_ridge(const char *text, cli_ridge *out) {
  char *end;
  if (strcmp(text, "auto") == 0) {
    *out = (cli_ridge){false, 0};
    return true;
  }
  double value = strtod(text, &end);
  if (end == text || *end || !isfinite(value) || value < 0) return false;
  *out = (cli_ridge){true, value};
  return true;
}

static bool parse_shape(const char *text, ntk_shape *out) {
  int64_t sizes[3];
  char item[24];
  int count = 0;
  for (;;) {
    size_t length = strcspn(text, "x");
    if (count == 3 || length >= sizeof item) return false;
    memcpy(item, text, length);
    item[length] = '\0';
    if (!parse_integer(item, 1, 1 << 24, &sizes[count++])) return false;
    if (!text[length]) break;
    text += length + 1;
  }
  if (count == 2) return false;
  *out = count == 1 ? (ntk_shape){sizes[0], 0, 0} : (ntk_shape){sizes[0], sizes[1], sizes[2]};
  return true;
}

/* What a value must look like, for the message about one that does not. */
static const char *expectation(const cli_option *option, char *buffer, size_t size) {
  switch (option->type) {
    case CLI_INTEGER: snprintf(buffer, size, "a whole number from %.0f to %.0f", option->low, option->high); break;
    case CLI_BYTES:
      snprintf(buffer, size, "a size such as 512MiB or 4GiB, at least %s", cli_format_bytes(option->low).text);
      break;
    case CLI_LIST:
      snprintf(buffer, size, "whole numbers from %.0f to %.0f separated by commas (at most 64)", option->low,
               option->high);
      break;
    case CLI_CHOICE: snprintf(buffer, size, "one of %s", option->value); break;
    case CLI_REAL: snprintf(buffer, size, "a number between %g and %g", option->low, option->high); break;
    case CLI_RIDGE: snprintf(buffer, size, "auto or a number >= 0"); break;
    case CLI_SHAPE: snprintf(buffer, size, "channels x height x width, e.g. 3x32x32, or a dimension, e.g. 100"); break;
    default: snprintf(buffer, size, "another value"); break;
  }
  return buffer;
}

static int store_value(parser *p, size_t index, const char *text) {
  const cli_option *option = p->options[index];
  void *target = p->settings + p->offsets[index];
  bool fine = true;
  switch (option->type) {
    case CLI_FLAG: *(bool *)target = true; break;
    case CLI_TEXT:
      *(const char **)target = text;
      if (!*text) return cli_usage(p->verb->name, "--%s wants %s, not an empty text", option->name, option->value);
      break;
    case CLI_INTEGER: fine = parse_integer(text, option->low, option->high, target); break;
    case CLI_BYTES: fine = parse_bytes(text, option->low, option->high, target); break;
    case CLI_LIST: fine = parse_list(text, option->low, option->high, target); break;
    case CLI_CHOICE: fine = parse_choice(option->value, text, target); break;
    case CLI_REAL: fine = parse_real(text, option->low, option->high, target); break;
    case CLI_RIDGE: fine = parse_ridge(text, target); break;
    case CLI_SHAPE: fine = parse_shape(text, target); break;
  }
  p->seen[index] = true;
  if (fine) return CLI_EXIT_OK;
  char wanted[160];
  return cli_usage(p->verb->name, "--%s wants %s, not \"%s\"", option->name, expectation(option, wanted, sizeof wanted),
                   text);
}

/* getopt_long found something wrong with `word`; `code` is its optopt. */
static int explain(const parser *p, const char *word, int code) {
  const char *verb = p->verb->name;
  if (code >= FIRST_OPTION) {
    return cli_usage(verb, "--%s takes no value", p->options[code - FIRST_OPTION]->name);
  }
  if (code != 0) return cli_usage(verb, "unknown option -%c", code);
  const char *names[MAX_OPTIONS + 1];
  char bare[64];
  size_t length = strcspn(word + 2, "="), prefixed = 0;
  snprintf(bare, sizeof bare, "%.*s", (int)length, word + 2);
  for (size_t i = 0; i < p->count; ++i) {
    names[i] = p->options[i]->name;
    prefixed += strncmp(names[i], bare, strlen(bare)) == 0;
  }
  names[p->count] = "help";
  if (prefixed > 1) return cli_usage(verb, "--%s is ambiguous: write the option out", bare);
  const char *nearest = cli_nearest(bare, names, p->count + 1);
  if (nearest) return cli_usage(verb, "unknown option --%s of `ntk %s`; did you mean --%s?", bare, verb, nearest);
  return cli_usage(verb, "unknown option --%s of `ntk %s`", bare, verb);
}

static int store_arguments(parser *p, int count, char **arguments) {
  const cli_verb *verb = p->verb;
  if (count > (verb->argument ? 1 : 0)) {
    return cli_usage(verb->name, "\"%s\" is one argument too many", arguments[verb->argument ? 1 : 0]);
  }
  if (count == 1) *(const char **)(p->settings + verb->argument_offset) = arguments[0];
  if (count == 0 && verb->argument && !verb->argument_optional) {
    return cli_usage(verb->name, "`ntk %s` wants %s", verb->name, verb->argument);
  }
  for (size_t i = 0; i < p->count; ++i) {
    if (p->options[i]->required && !p->seen[i]) {
      return cli_usage(verb->name, "`ntk %s` wants --%s %s", verb->name, p->options[i]->name, p->options[i]->value);
    }
  }
  return CLI_EXIT_OK;
}

int cli_parse(const cli_verb *verb, int argc, char **argv, void *settings, bool *help) {
  parser p = {.verb = verb, .settings = settings};
  collect(&p);
  memcpy(settings, verb->defaults, verb->settings_size);
  *help = false;
  opterr = 0;
  optind = 1;
  for (;;) {
    int at = optind;
    int code = getopt_long(argc, argv, ":h", p.getopt_options, NULL);
    if (code == -1) break;
    if (code == 'h') {
      *help = true;
      return CLI_EXIT_OK;
    }
    if (code == ':') {
      if (optopt < FIRST_OPTION) return cli_usage(verb->name, "-%c wants a value", optopt);
      const cli_option *option = p.options[optopt - FIRST_OPTION];
      return cli_usage(verb->name, "--%s wants %s after it", option->name, option->value);
    }
    if (code == '?') return explain(&p, argv[optind > at ? optind - 1 : at], optopt);
    CLI_TRY(store_value(&p, (size_t)(code - FIRST_OPTION), optarg));
  }
  return store_arguments(&p, argc - optind, argv + optind);
}
