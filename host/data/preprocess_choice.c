/* The text that says what to fit: a mode, with options where it has some. */
#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/data/preprocess.h"
#include "host/status.h"

static const char *const names[] = {"none", "standard", "unit", "image", "zca", "patches"};
enum { MODES = sizeof names / sizeof *names };

const char *ntk_preprocess_mode_name(ntk_preprocess_mode mode) { return names[mode]; }

typedef enum option_type { EPSILON, BEFORE, COUNT, SEED, THRESHOLD, NO_MIRROR } option_type;

typedef struct option {
  ntk_preprocess_mode mode;
  const char *name;
  option_type type;
  size_t offset;      /* COUNT: in the choice */
  const char *wanted; /* for the message about another value */
} option;

enum { MOST_COUNT = 1 << 20, MOST_SIZE = 1 << 10, MOST_SAMPLE = 1 << 30 };

static const char wanted_before[] = "before= wants none, standard, unit or image";
static const option options[] = {
    {NTK_PREPROCESS_ZCA, "eps", EPSILON, 0, "eps= wants a number above 0, or one with rel after it"},
    {NTK_PREPROCESS_ZCA, "before", BEFORE, 0, wanted_before},
    {NTK_PREPROCESS_PATCHES, "count", COUNT, offsetof(ntk_preprocess_choice, count),
     "count= wants a whole number from 1 to 1048576"},
    {NTK_PREPROCESS_PATCHES, "size", COUNT, offsetof(ntk_preprocess_choice, size),
     "size= wants a whole number from 1 to 1024"},
    {NTK_PREPROCESS_PATCHES, "eps", EPSILON, 0, "eps= wants a number above 0"},
    {NTK_PREPROCESS_PATCHES, "seed", SEED, 0, "seed= wants a whole number of at least 0"},
    {NTK_PREPROCESS_PATCHES, "threshold", THRESHOLD, 0, "threshold= wants a number"},
    {NTK_PREPROCESS_PATCHES, "sample", COUNT, offsetof(ntk_preprocess_choice, sample),
     "sample= wants a whole number from 1 to 1073741824"},
    {NTK_PREPROCESS_PATCHES, "before", BEFORE, 0, wanted_before},
    {NTK_PREPROCESS_PATCHES, "nomirror", NO_MIRROR, 0, NULL},
};
enum { OPTIONS = sizeof options / sizeof *options };

ntk_preprocess_choice ntk_preprocess_choice_of(ntk_preprocess_mode mode) {
  ntk_preprocess_choice choice = {.mode = mode};
  if (mode == NTK_PREPROCESS_ZCA) choice.before = NTK_PREPROCESS_IMAGE, choice.eps = 1e-4;
  if (mode == NTK_PREPROCESS_PATCHES) {
    choice.count = 2048, choice.size = 5, choice.sample = 100000;
    choice.eps = 1e-3, choice.threshold = 1, choice.mirror = true;
  }
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

static bool read_integer(const char **at, uint64_t most, uint64_t *value) {
  char *end;
  errno = 0;
  *value = strtoull(*at, &end, 10);
  if (**at < '0' || **at > '9' || errno || *value > most) return false;
  *at = end;
  return true;
}

static bool read_count(const char **at, const option *o, ntk_preprocess_choice *out) {
  int64_t *const target = (int64_t *)(void *)((char *)out + o->offset);
  uint64_t value;
  if (!read_integer(at, target == &out->count ? MOST_COUNT : target == &out->size ? MOST_SIZE : MOST_SAMPLE, &value))
    return false;
  *target = (int64_t)value;
  return value > 0;
}

static bool read_value(const char **at, locale_t plain, const option *o, ntk_preprocess_choice *out) {
  switch (o->type) {
    case EPSILON:
      if (!read_real(at, plain, &out->eps) || !(out->eps > 0)) return false;
      out->relative = o->mode == NTK_PREPROCESS_ZCA && skip_word(at, "rel");
      return true;
    case BEFORE: return read_mode(at, &out->before) && !ntk_preprocess_has_array(out->before);
    case COUNT: return read_count(at, o, out);
    case SEED: return read_integer(at, UINT64_MAX, &out->seed);
    case THRESHOLD: return read_real(at, plain, &out->threshold);
    case NO_MIRROR: return false; /* it has no value */
  }
  return false;
}

static const char *read_option(const char **at, locale_t plain, ntk_preprocess_choice *out) {
  const option *found = NULL;
  for (size_t k = 0; k < OPTIONS && !found; k++)
    if (options[k].mode == out->mode && skip_word(at, options[k].name)) found = &options[k];
  if (!found) {
    if (out->mode == NTK_PREPROCESS_ZCA) return "the options of zca are eps= and before=";
    if (out->mode == NTK_PREPROCESS_PATCHES)
      return "the options of patches are count=, size=, eps=, seed=, threshold=, sample=, before= and nomirror";
    return "it has no options";
  }
  skip_spaces(at);
  if (found->type == NO_MIRROR) return out->mirror = false, NULL;
  if (**at != '=') return "'=' is missing after the name of an option";
  (*at)++;
  skip_spaces(at);
  if (!read_value(at, plain, found, out)) return found->wanted;
  skip_spaces(at);
  return NULL;
}

/* The options in brackets, *at behind the bracket. NULL, or what is wrong. */
static const char *read_options(const char **at, locale_t plain, ntk_preprocess_choice *out) {
  skip_spaces(at);
  while (**at != ')') {
    const char *wrong = read_option(at, plain, out);
    if (wrong) return wrong;
    if (**at == ')') break;
    if (**at != ',') return "expected ',' or ')' after an option";
    (*at)++;
    skip_spaces(at);
    if (**at == ')') return "an option is missing after ','";
  }
  (*at)++;
  return out->sample < out->count ? "sample= must be at least count=, which are drawn from it" : NULL;
}

ntk_status ntk_preprocess_choice_parse(const char *text, const char **end, ntk_preprocess_choice *out) {
  const char *at = text;
  ntk_preprocess_mode mode;
  if (!read_mode(&at, &mode))
    return ntk_preprocess_refuse(text, "known are none, standard, unit, image, zca and patches");
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

static void write_value(FILE *out, const option *o, const ntk_preprocess_choice *choice, locale_t plain) {
  switch (o->type) {
    case EPSILON:
      write_real(out, choice->eps, plain);
      if (choice->relative) fputs("rel", out);
      break;
    case BEFORE: fputs(names[choice->before], out); break;
    case COUNT: fprintf(out, "%" PRId64, *(const int64_t *)(const void *)((const char *)choice + o->offset)); break;
    case SEED: fprintf(out, "%" PRIu64, choice->seed); break;
    case THRESHOLD: write_real(out, choice->threshold, plain); break;
    case NO_MIRROR: break;
  }
}

static void write_choice(FILE *out, const ntk_preprocess_choice *choice, locale_t plain) {
  char between = '(';
  fputs(names[choice->mode], out);
  for (size_t k = 0; k < OPTIONS; k++) {
    const option *o = &options[k];
    if (o->mode != choice->mode || (o->type == NO_MIRROR && choice->mirror)) continue;
    fprintf(out, o->type == NO_MIRROR ? "%c%s" : "%c%s=", between, o->name);
    write_value(out, o, choice, plain);
    between = ',';
  }
  if (between == ',') fputc(')', out);
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
