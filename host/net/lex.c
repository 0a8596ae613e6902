/* Characters, names and numbers of a network text. The caller has set the "C" locale for this thread. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/net/parser.h"
#include "host/status.h"

ntk_status ntk_parse_error(const ntk_parser *parser, size_t at, const char *format, ...) {
  char reason[1536];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(reason, sizeof reason, format, arguments);
  va_end(arguments);
  long long layer = parser->layers > 0 ? (long long)parser->layers : 1;
  return ntk_fail(NTK_ERROR_NETWORK, "layer %lld, column %zu: %s", layer, at + 1, reason);
}

char ntk_peek(const ntk_parser *parser) { return parser->at < parser->length ? parser->text[parser->at] : '\0'; }

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

void ntk_skip_spaces(ntk_parser *parser) {
  while (is_space(ntk_peek(parser))) parser->at++;
}

bool ntk_is_digit(char c) { return c >= '0' && c <= '9'; }

/* Upper case is read as part of a name so that the message can say what is wrong with it. */
bool ntk_is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

size_t ntk_read_name(ntk_parser *parser) {
  size_t start = parser->at;
  if (!ntk_is_letter(ntk_peek(parser))) return 0;
  while (ntk_is_letter(ntk_peek(parser)) || ntk_is_digit(ntk_peek(parser))) parser->at++;
  return parser->at - start;
}

bool ntk_name_is(const char *name, size_t length, const char *known) {
  return strlen(known) == length && memcmp(name, known, length) == 0;
}

const char *ntk_quote(char quote[NTK_QUOTE_SIZE], const char *start, size_t length) {
  size_t shown = length <= NTK_QUOTE_SIZE - 4 ? length : NTK_QUOTE_SIZE - 4;
  for (size_t i = 0; i < shown; i++) quote[i] = start[i] >= ' ' && start[i] <= '~' ? start[i] : '?';
  strcpy(quote + shown, shown < length ? "..." : "");
  return quote;
}

/* The length of what stands where a number should: up to the next separator. */
static size_t word_length(const ntk_parser *parser) {
  size_t end = parser->at;
  while (end < parser->length && !is_space(parser->text[end]) && !strchr(",()|*=", parser->text[end])) end++;
  return end - parser->at;
}

static size_t skip_digits(const char *text, size_t at, size_t end) {
  while (at < end && ntk_is_digit(text[at])) at++;
  return at;
}

/* [sign] digits [. digits] [e [sign] digits], at least one digit before the exponent: no hexadecimal, inf or nan. */
static bool is_real(const char *word, size_t length) {
  size_t at = length > 0 && (word[0] == '+' || word[0] == '-') ? 1 : 0;
  size_t whole = skip_digits(word, at, length);
  size_t digits = whole - at;
  at = whole;
  if (at < length && word[at] == '.') {
    size_t fraction = skip_digits(word, at + 1, length);
    digits += fraction - at - 1;
    at = fraction;
  }
  if (digits == 0) return false;
  if (at < length && (word[at] == 'e' || word[at] == 'E')) {
    at++;
    if (at < length && (word[at] == '+' || word[at] == '-')) at++;
    size_t exponent = skip_digits(word, at, length);
    if (exponent == at) return false;
    at = exponent;
  }
  return at == length;
}

ntk_status ntk_read_integer(ntk_parser *parser, const char *what, int low, int high, int *value) {
  char quote[NTK_QUOTE_SIZE];
  const char *word = parser->text + parser->at;
  size_t length = word_length(parser);
  if (length == 0) return ntk_parse_error(parser, parser->at, "%s needs a whole number from %d to %d", what, low, high);
  ntk_quote(quote, word, length);
  bool negative = word[0] == '-' && length > 1;
  if (skip_digits(word, negative ? 1 : 0, length) != length)
    return ntk_parse_error(parser, parser->at, "%s needs a whole number from %d to %d, not '%s'", what, low, high,
                           quote);
  int64_t number = 0;
  for (size_t i = negative ? 1 : 0; i < length && number <= high; i++) number = 10 * number + (word[i] - '0');
  if (negative) number = -number;
  if (number < low || number > high)
    return ntk_parse_error(parser, parser->at, "%s is %s, but must be from %d to %d", what, quote, low, high);
  parser->at += length;
  *value = (int)number;
  return NTK_OK;
}

ntk_status ntk_read_real(ntk_parser *parser, const char *what, double *value) {
  char quote[NTK_QUOTE_SIZE], copy[64 + 1];
  const char *word = parser->text + parser->at;
  size_t length = word_length(parser);
  if (length == 0) return ntk_parse_error(parser, parser->at, "%s needs a number, e.g. 1.5", what);
  ntk_quote(quote, word, length);
  if (!is_real(word, length))
    return ntk_parse_error(parser, parser->at, "%s needs a decimal number such as 1.5, not '%s'", what, quote);
  if (length >= sizeof copy)
    return ntk_parse_error(parser, parser->at, "%s has a number of %zu characters, more than 64", what, length);
  memcpy(copy, word, length);
  copy[length] = '\0';
  double number = strtod(copy, NULL);
  /* A number that is not zero must not become zero: the text would no longer say what is computed. */
  bool lost = number == 0 && strcspn(copy, "123456789") < strcspn(copy, "eE");
  if (!isfinite(number) || lost)
    return ntk_parse_error(parser, parser->at, "%s is %s, which a double cannot hold", what, quote);
  parser->at += length;
  *value = number + 0.0; /* -0 becomes 0: both mean the same, so they print the same */
  return NTK_OK;
}
