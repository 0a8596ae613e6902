/* The text that says what to fit: a mode, with options where it has some. */
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/data/preprocess.h"
#include "host/status.h"

static const char *const names[] = {"none", "standard", "unit", "image", "zca"};
enum { MODES = sizeof names / sizeof *names };

const char *ntk_preprocess_mode_name(ntk_preprocess_mode mode) { return names[mode]; }

typedef enum option_type { EPSILON, BEFORE } option_type;

typedef struct option {
  ntk_preprocess_mode mode;
  const char *name;
  option_type type;
  const char *wanted; /* for the message about another value */
} option;

static const option options[] = {
    {NTK_PREPROCESS_ZCA, "eps", EPSILON, "eps= wants a number above 0, or one with rel after it"},
    {NTK_PREPROCESS_ZCA, "before", BEFORE, "before= wants none, standard, unit or image"},
};
enum { OPTIONS = sizeof options / sizeof *options };

ntk_preprocess_choice ntk_preprocess_choice_of(ntk_preprocess_mode mode) {
  ntk_preprocess_choice choice = {.mode = mode};
  if (mode == NTK_PREPROCESS_ZCA) choice.before = NTK_PREPROCESS_IMAGE, choice.eps = 1e-4;
  return choice;
}

ntk_status ntk_preprocess_refuse(const char *text, const char *why) {
  return ntk_fail(NTK_ERROR_ARGUMENT, "\"%.200s\" is not a preprocessing: %s", text, why);
}

/* ---- reading ---- */

static void skip_spaces(const char **at) { *at += strspn(*at, " "); }

static bool skip_word(const char **at, const char *word) {
  const size_t length = strlen(word);
  if (strncmp(*at, word, length) != 0 || strspn(*at + length, "abcdefghijklmnopqrstuvwxyz") > 0) return false;
  *at += length;
  return true;
}

static bool read_mode(const char **at, ntk_preprocess_mode *mode) {
  for (int k = 0; k < MODES; k++)
    if (skip_word(at, names[k])) {
      *mode = (ntk_preprocess_mode)k;
      return true;
    }
  return false;
}

static bool read_real(const char **at, locale_t plain, double *value) {
  const size_t length = strspn(*at, "+-.0123456789e");
  char *end;
  *value = strtod_l(*at, &end, plain);
  if (length == 0 || end > *at + length || !isfinite(*value)) return false; /* strtod also reads hexadecimal and inf */
  *at = end;
  return true;
}

static bool read_value(const char **at, locale_t plain, const option *o, ntk_preprocess_choice *out) {
  switch (o->type) {
    case EPSILON:
      if (!read_real(at, plain, &out->eps) || !(out->eps > 0)) return false;
      out->relative = skip_word(at, "rel");
      return true;
    case BEFORE: return read_mode(at, &out->before) && !ntk_preprocess_has_array(out->before);
  }
  return false;
}

/* The options in brackets, *at behind the bracket. NULL, or what is wrong. */
static const char *read_options(const char **at, locale_t plain, ntk_preprocess_choice *out) {
  skip_spaces(at);
  if (**at == ')') return (*at)++, NULL;
  for (;;) {
    const option *found = NULL;
    for (size_t k = 0; k < OPTIONS && !found; k++)
      if (options[k].mode == out->mode && skip_word(at, options[k].name)) found = &options[k];
    if (!found)
      return out->mode == NTK_PREPROCESS_ZCA ? "the options of zca are eps= and before=" : "it has no options";
    skip_spaces(at);
    if (**at != '=') return "'=' is missing after the name of an option";
    (*at)++;
    skip_spaces(at);
    if (!read_value(at, plain, found, out)) return found->wanted;
    skip_spaces(at);
    if (**at == ')') return (*at)++, NULL;
    if (**at != ',') return "expected ',' or ')' after an option";
    (*at)++;
    skip_spaces(at);
  }
}

ntk_status ntk_preprocess_choice_parse(const char *text, const char **end, ntk_preprocess_choice *out) {
  const char *at = text;
  ntk_preprocess_mode mode;
  if (!read_mode(&at, &mode)) return ntk_preprocess_refuse(text, "known are none, standard, unit, image and zca");
  *out = ntk_preprocess_choice_of(mode);
  if (*at == '(') {
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* '.' whatever the program's locale is */
    if (!plain) return ntk_fail(NTK_ERROR_MEMORY, "no memory to read a preprocessing");
    at++;
    const char *wrong = read_options(&at, plain, out);
    freelocale(plain);
    if (wrong) return ntk_preprocess_refuse(text, wrong);
  }
  *end = at;
  return NTK_OK;
}

/* ---- writing ---- */

/* As short as it can be read back exactly. */
static void write_real(FILE *out, double value, locale_t plain) {
  char digits[40];
  for (int precision = 15; precision <= 17; precision++) {
    snprintf(digits, sizeof digits, "%.*g", precision, value);
    if (strtod_l(digits, NULL, plain) == value) break;
  }
  fputs(digits, out);
}

static void write_option(FILE *out, const option *o, const ntk_preprocess_choice *choice, locale_t plain) {
  switch (o->type) {
    case EPSILON:
      fprintf(out, "%s=", o->name);
      write_real(out, choice->eps, plain);
      if (choice->relative) fputs("rel", out);
      break;
    case BEFORE: fprintf(out, "%s=%s", o->name, names[choice->before]); break;
  }
}

static void write_choice(FILE *out, const ntk_preprocess_choice *choice, locale_t plain) {
  char before = '(';
  fputs(names[choice->mode], out);
  for (size_t k = 0; k < OPTIONS; k++) {
    if (options[k].mode != choice->mode) continue;
    fputc(before, out);
    write_option(out, &options[k], choice, plain);
    before = ',';
  }
  if (before == ',') fputc(')', out);
}

ntk_status ntk_preprocess_choice_text(const ntk_preprocess_choice *choice, char **text) {
  size_t size;
  *text = NULL;
  FILE *out = open_memstream(text, &size);
  locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  if (out && plain) {
    locale_t before = uselocale(plain);
    write_choice(out, choice, plain);
    uselocale(before);
  }
  int failed = !out || !plain || ferror(out);
  if (out) failed |= fclose(out);
  if (plain) freelocale(plain);
  if (!failed && *text) return NTK_OK;
  free(*text);
  *text = NULL;
  return ntk_fail(NTK_ERROR_MEMORY, "no memory for the text of a preprocessing");
}
