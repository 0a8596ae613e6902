/* One layer: its name with the size in it, and its options. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "host/net/parser.h"
#include "host/status.h"

typedef struct option_reader {
  ntk_parser *parser;
  const ntk_layer_spec *spec;
  const char *name; /* the layer's, for messages */
  unsigned seen;    /* a bit per ntk_option_target */
  size_t values;    /* without a key, so far */
  size_t factor_at; /* where the factor stands */
} option_reader;

enum { FILTER_LIMIT = 255, WINDOW_LIMIT = 10000 };

/* Reads digits from the end of a name: at most 9, so that an int holds them. */
static size_t read_size(const char *suffix, size_t length, int *size) {
  size_t at = 0;
  *size = 0;
  for (; at < length && at < 9 && ntk_is_digit(suffix[at]); at++) *size = 10 * *size + (suffix[at] - '0');
  return at;
}

static ntk_status check_filter(const ntk_parser *parser, size_t column, const char *name, int size) {
  if (size >= 1 && size <= FILTER_LIMIT && size % 2 == 1) return NTK_OK;
  if (size >= 1 && size < FILTER_LIMIT)
    return ntk_parse_error(parser, column,
                           "'%s' has an even filter size, %d: a filter needs a centre, so take %d or %d", name, size,
                           size - 1, size + 1);
  return ntk_parse_error(parser, column, "'%s' has filter size %d, but sizes are odd numbers from 1 to %d", name, size,
                         FILTER_LIMIT);
}

static ntk_status parse_filter(ntk_parser *parser, size_t column, const char *name, const char *suffix, size_t length,
                               ntk_layer *layer) {
  size_t rows = read_size(suffix, length, &layer->rows), used = rows;
  layer->cols = layer->rows;
  if (rows > 0 && used < length && suffix[used] == 'x') {
    size_t cols = read_size(suffix + rows + 1, length - rows - 1, &layer->cols);
    used = cols > 0 ? rows + 1 + cols : 0;
  }
  if (length == 0)
    return ntk_parse_error(parser, column,
                           "'conv' needs the filter size in its name: conv3, or conv3x5 for 3 rows "
                           "and 5 columns");
  if (used != length)
    return ntk_parse_error(parser, column,
                           "'%s' has no readable filter size: write conv3, or conv3x5 for 3 rows and "
                           "5 columns",
                           name);
  NTK_TRY(check_filter(parser, column, name, layer->rows));
  return check_filter(parser, column, name, layer->cols);
}

static ntk_status parse_window(ntk_parser *parser, size_t column, const char *name, const char *suffix, size_t length,
                               ntk_layer *layer) {
  size_t used = read_size(suffix, length, &layer->rows);
  layer->cols = layer->stride = layer->rows;
  if (length == 0) return ntk_parse_error(parser, column, "'avgpool' needs the window size in its name: avgpool2");
  if (used != length)
    return ntk_parse_error(parser, column, "'%s' has no readable window size: write avgpool2 for windows of 2 x 2",
                           name);
  if (layer->rows < 1 || layer->rows > WINDOW_LIMIT)
    return ntk_parse_error(parser, column, "'%s' has window size %d, but sizes are from 1 to %d", name, layer->rows,
                           WINDOW_LIMIT);
  return NTK_OK;
}

static ntk_status read_factor(option_reader *reader, const char *what, ntk_layer *layer) {
  ntk_parser *parser = reader->parser;
  size_t start = parser->at;
  reader->factor_at = start;
  size_t length = ntk_read_name(parser);
  if (length > 0 && ntk_name_is(parser->text + start, length, "auto")) {
    layer->factor_auto = true;
    return NTK_OK;
  }
  parser->at = start;
  if (length > 0) return ntk_parse_error(parser, start, "%s needs a number or 'auto'", what);
  NTK_TRY(ntk_read_real(parser, what, &layer->factor));
  if (layer->factor > 0) return NTK_OK;
  return ntk_parse_error(parser, start, "%s must be greater than 0", what);
}

static ntk_status read_value(option_reader *reader, const ntk_option_spec *option, const char *what, ntk_layer *layer) {
  ntk_parser *parser = reader->parser;
  size_t start = parser->at;
  if (option->type == NTK_TYPE_FACTOR) return read_factor(reader, what, layer);
  int *whole;
  double *field = ntk_option_field(layer, option, &whole);
  if (option->type == NTK_TYPE_INTEGER) {
    int number = 0;
    NTK_TRY(ntk_read_integer(parser, what, option->low, option->high, &number));
    if (whole) {
      *whole = number;
    } else {
      *field = number;
    }
    return NTK_OK;
  }
  NTK_TRY(ntk_read_real(parser, what, field));
  if (option->type == NTK_TYPE_NOT_NEGATIVE && *field < 0)
    return ntk_parse_error(parser, start, "%s must not be negative", what);
  if (option->type == NTK_TYPE_POSITIVE && *field <= 0)
    return ntk_parse_error(parser, start, "%s must be greater than 0", what);
  return NTK_OK;
}

static bool is_padding(const ntk_option_spec *option) {
  return option->target >= NTK_OPTION_ZERO && option->target <= NTK_OPTION_SAME;
}

static void set_flag(const ntk_option_spec *option, ntk_layer *layer) {
  if (is_padding(option)) layer->padding = (ntk_padding)(option->target - NTK_OPTION_ZERO);
  if (option->target == NTK_OPTION_FIXED) layer->fixed = true;
  if (option->target == NTK_OPTION_NORMALIZED) layer->normalized = true;
  if (option->target == NTK_OPTION_POOL_CIRCULAR) layer->pool_circular = true;
}

/* An option twice, two paddings, or two kinds of bias: which of them counts would be a guess. */
static ntk_status check_unseen(option_reader *reader, const ntk_option_spec *option, size_t at) {
  const unsigned paddings =
      1u << NTK_OPTION_ZERO | 1u << NTK_OPTION_CIRCULAR | 1u << NTK_OPTION_VALID | 1u << NTK_OPTION_SAME;
  const unsigned biases = 1u << NTK_OPTION_B | 1u << NTK_OPTION_GAMMA;
  unsigned bit = 1u << option->target;
  if (reader->seen & bit)
    return ntk_parse_error(reader->parser, at, "'%s' gives the option '%s' twice", reader->name, option->name);
  if ((paddings & bit) && (reader->seen & paddings))
    return ntk_parse_error(reader->parser, at, "'%s' gives two paddings, but a layer has one", reader->name);
  if ((biases & bit) && (reader->seen & biases) && reader->spec->kind == NTK_LAYER_CONV)
    return ntk_parse_error(reader->parser, at,
                           "'%s' gives both b and gamma: they are two ways to set one bias, keep "
                           "one",
                           reader->name);
  reader->seen |= bit;
  return NTK_OK;
}

static ntk_status read_named_option(option_reader *reader, ntk_layer *layer) {
  ntk_parser *parser = reader->parser;
  size_t start = parser->at;
  size_t length = ntk_read_name(parser);
  const ntk_option_spec *option = NULL;
  for (size_t i = 0; i < reader->spec->option_count; i++) {
    const char *known = reader->spec->options[i].name;
    if (known && ntk_name_is(parser->text + start, length, known)) option = &reader->spec->options[i];
  }
  if (!option) return ntk_unknown_option(parser, start, length, reader->spec, reader->name);
  NTK_TRY(check_unseen(reader, option, start));
  ntk_skip_spaces(parser);
  bool has_value = ntk_peek(parser) == '=';
  if (option->type == NTK_TYPE_FLAG) {
    if (has_value)
      return ntk_parse_error(parser, parser->at, "'%s' takes no value: leave out what follows it", option->name);
    set_flag(option, layer);
    return NTK_OK;
  }
  if (!has_value) return ntk_parse_error(parser, start, "'%s' needs a value: %s=...", option->name, option->name);
  parser->at++;
  ntk_skip_spaces(parser);
  char what[2 * NTK_QUOTE_SIZE];
  snprintf(what, sizeof what, "'%s' of '%s'", option->name, reader->name);
  return read_value(reader, option, what, layer);
}

static size_t values_wanted(const ntk_layer_spec *spec) {
  size_t count = 0;
  while (count < spec->option_count && !spec->options[count].name) count++;
  return count;
}

static ntk_status read_option(option_reader *reader, ntk_layer *layer) {
  ntk_parser *parser = reader->parser;
  char c = ntk_peek(parser), what[NTK_QUOTE_SIZE + 16], quote[NTK_QUOTE_SIZE];
  if (ntk_is_letter(c)) return read_named_option(reader, layer);
  if (!ntk_is_digit(c) && !(c && strchr("+-.", c)))
    return ntk_parse_error(parser, parser->at, "an option of '%s' should stand here, not '%s'", reader->name,
                           ntk_quote(quote, &c, 1));
  size_t wanted = values_wanted(reader->spec);
  snprintf(what, sizeof what, "the value of '%s'", reader->name);
  if (wanted > 0 && reader->spec->options[0].target == NTK_OPTION_LIST) {
    if (layer->param_count == NTK_PARAM_LIMIT)
      return ntk_parse_error(parser, parser->at, "'%s' takes at most %d values", reader->name, NTK_PARAM_LIMIT);
    NTK_TRY(read_value(reader, &reader->spec->options[0], what, layer));
    layer->param_count++, reader->values = wanted;
    return NTK_OK;
  }
  if (reader->values >= wanted)
    return ntk_parse_error(parser, parser->at, "'%s' takes %s without a key", reader->name,
                           wanted == 0   ? "no value"
                           : wanted == 1 ? "only one value"
                                         : "only two values");
  return read_value(reader, &reader->spec->options[reader->values++], what, layer);
}

static ntk_status read_options(option_reader *reader, ntk_layer *layer) {
  ntk_parser *parser = reader->parser;
  size_t open = parser->at++;
  char quote[NTK_QUOTE_SIZE];
  ntk_skip_spaces(parser);
  if (ntk_peek(parser) == ')')
    return ntk_parse_error(parser, open, "the parentheses of '%s' are empty: leave them out", reader->name);
  for (;;) {
    ntk_skip_spaces(parser);
    if (parser->at == parser->length)
      return ntk_parse_error(parser, open, "the '(' of '%s' is never closed", reader->name);
    NTK_TRY(read_option(reader, layer));
    ntk_skip_spaces(parser);
    char c = ntk_peek(parser);
    if (parser->at == parser->length) continue; /* the message above */
    if (c != ',' && c != ')')
      return ntk_parse_error(parser, parser->at, "',' or ')' should follow an option of '%s', not '%s'", reader->name,
                             ntk_quote(quote, &c, 1));
    parser->at++;
    if (c == ')') return NTK_OK;
  }
}

/* Defaults that are spelled out become defaults again: equal networks print equally. */
static ntk_status settle(option_reader *reader, ntk_layer *layer) {
  layer->has_bias = layer->bias_std > 0;
  layer->has_gamma = layer->gamma > 0;
  if (layer->kind != NTK_LAYER_ACTIVATION) return NTK_OK;
  while (layer->param_count > 1 && layer->params[layer->param_count - 1] == 0) layer->param_count--;
  if (layer->factor_auto) layer->factor = ntk_auto_factor(layer);
  if (!isfinite(layer->factor))
    return ntk_parse_error(reader->parser, reader->factor_at,
                           "c=auto of '%s' is 1/E[s(u)^2], but that mean square is 0 or too large here", reader->name);
  layer->has_factor = layer->factor_auto || layer->factor != ntk_default_factor(layer->activation);
  return NTK_OK;
}

ntk_status ntk_parse_layer(ntk_parser *parser, size_t start, size_t length, ntk_layer *layer) {
  const char *name = parser->text + start;
  size_t stem = 0;
  while (stem < length && ntk_is_letter(name[stem])) stem++;
  const ntk_layer_spec *spec = ntk_find_layer_spec(name, stem);
  if (!spec || (spec->suffix == NTK_SUFFIX_NONE && stem < length)) return ntk_unknown_layer(parser, start, length);

  char quote[NTK_QUOTE_SIZE];
  option_reader reader = {.parser = parser, .spec = spec, .name = ntk_quote(quote, name, length)};
  *layer = ntk_default_layer(spec);
  layer->column = (int)start + 1;
  if (spec->suffix == NTK_SUFFIX_FILTER) NTK_TRY(parse_filter(parser, start, quote, name + stem, length - stem, layer));
  if (spec->suffix == NTK_SUFFIX_WINDOW) NTK_TRY(parse_window(parser, start, quote, name + stem, length - stem, layer));

  if (ntk_peek(parser) == '(') NTK_TRY(read_options(&reader, layer));
  if (reader.values < values_wanted(spec)) {
    size_t end = parser->at;
    ntk_skip_spaces(parser);
    bool apart = end == start + length && ntk_peek(parser) == '(';
    return ntk_parse_error(parser, start, "'%s' needs %s: write %s%s", quote,
                           values_wanted(spec) == 1 ? "a value" : "two values", spec->example,
                           apart ? ", with no space before the '('" : "");
  }
  return settle(&reader, layer);
}
