#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ntk/cli.h"

enum { WIDTH = 100, INDENT = 28 };

/* Prints words from column `at` on, wrapped before WIDTH and continued at `indent`. */
static void print_wrapped(const char *text, int at, int indent) {
  while (*text) {
    int length = (int)strcspn(text, " ");
    if (at > indent && at + 1 + length > WIDTH) {
      printf("\n%*s", indent, "");
      at = indent;
    } else if (at > indent) {
      putchar(' ');
      ++at;
    }
    printf("%.*s", length, text);
    at += length;
    text += length;
    text += strspn(text, " ");
  }
  putchar('\n');
}

static void print_option(const cli_option *option) {
  int at = option->value ? printf("  --%s %s", option->name, option->value) : printf("  --%s", option->name);
  if (at > INDENT - 2) {
    putchar('\n');
    at = 0;
  }
  printf("%*s", INDENT - at, "");
  print_wrapped(option->help, INDENT, INDENT);
}

static void print_usage_line(const cli_verb *verb) {
  printf("usage: ntk %s", verb->name);
  if (verb->argument) printf(verb->argument_optional ? " [%s]" : " %s", verb->argument);
  for (const cli_group *group = verb->groups; group->title; ++group) {
    for (const cli_option *option = group->options; option->name; ++option) {
      if (option->required) printf(" --%s %s", option->name, option->value);
    }
  }
  puts(" [options]\n");
}

void cli_print_verb_help(const cli_verb *verb) {
  print_usage_line(verb);
  puts(verb->description);
  for (const cli_group *group = verb->groups; group->title; ++group) {
    printf("\n%s\n", group->title);
    for (const cli_option *option = group->options; option->name; ++option) print_option(option);
  }
  printf("\nexamples\n%s\n", verb->examples);
  puts(
      "\nexit codes\n"
      "  0 done; 1 a verification failed; 2 wrong usage; 10 + n error n of the library, e.g. 14 bad data,\n"
      "  15 a file cannot be read or written (`ntk help` lists all); 130 stopped by Ctrl-C");
}

void cli_print_help(const cli_verb *const *verbs) {
  puts(
      "ntk computes exact kernels of infinitely wide neural networks: the neural tangent kernel (NTK,\n"
      "CNTK) and the Gaussian-process kernel (NNGP, CNN-GP), whole matrices of them, and what they predict.\n"
      "\n"
      "usage: ntk VERB [options]        ntk VERB --help teaches the verb\n");
  for (; *verbs; ++verbs) printf("  %-9s%s\n", (*verbs)->name, (*verbs)->summary);
  puts(
      "\n"
      "NET is a network in one line of text, e.g. '3*(conv3 relu) gap', or a preset such as cntk-21-gap.\n"
      "DATA is SOURCE[SLICE][SUBSET]:\n"
      "  SOURCE   fashion-mnist:train  fashion-mnist:test   the Debian package dataset-fashion-mnist\n"
      "           cifar10:DIR:train    cifar10:DIR:test     CIFAR-10's binary files in the folder DIR\n"
      "           npy:X.npy            npy:X.npy:y.npy      N x C x H x W or N x D array, and its labels\n"
      "  SLICE    [start:stop] or [start:stop:step], as in Python\n"
      "  SUBSET   ~N or ~N:SEED, a class-balanced random subset of N records\n"
      "\n"
      "--preprocess of eval and gram is one of\n"
      "  none  standard  unit  image                        what is done to each record, see `ntk eval --help`\n"
      "  zca  zca(eps=1e-5,before=standard)  zca(eps=0.1rel)     whitening, fitted to the training set\n"
      "  patches  patches(count=2048,size=5,eps=0.001,seed=0,threshold=1,sample=100000,before=none,nomirror)\n"
      "  zca:FILE  patches:FILE                             one that was kept in a file\n"
      "\n"
      "exit codes\n"
      "    0  done                               16  not enough memory\n"
      "    1  a verification failed              17  a stored result belongs to another computation\n"
      "    2  wrong usage                        18  a stored result is damaged\n"
      "   11  a value out of range               19  a matrix is not positive definite\n"
      "   12  impossible network                 21  a device is missing or failed\n"
      "   13  not computed by this version       22  a bug in libntk\n"
      "   14  bad data                          130  stopped by Ctrl-C (143: by SIGTERM)\n"
      "   15  a file cannot be read or written");
}

static size_t smallest(size_t a, size_t b, size_t c) {
  size_t least = a < b ? a : b;
  return least < c ? least : c;
}

/* Edits (insert, delete, replace, swap of neighbours) that lead from one word to the other. */
static size_t edit_distance(const char *a, const char *b) {
  enum { LONGEST = 40 };
  size_t rows[3][LONGEST + 1];
  size_t m = strlen(a), n = strlen(b);
  if (m > LONGEST || n > LONGEST) return LONGEST;
  size_t *before = rows[0], *last = rows[1], *now = rows[2];
  for (size_t j = 0; j <= n; ++j) last[j] = j;
  for (size_t i = 1; i <= m; ++i) {
    now[0] = i;
    for (size_t j = 1; j <= n; ++j) {
      now[j] = smallest(last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < now[j]) {
        now[j] = before[j - 2] + 1;
      }
    }
    size_t *free_row = before;
    before = last;
    last = now;
    now = free_row;
  }
  return last[n];
}

const char *cli_nearest(const char *word, const char *const *candidates, size_t count) {
  const char *best = NULL;
  size_t least = strlen(word) / 3 + 1;
  for (size_t i = 0; i < count; ++i) {
    size_t distance = edit_distance(word, candidates[i]);
    if (distance <= least && (!best || distance < least)) {
      best = candidates[i];
      least = distance;
    }
  }
  return best;
}
