/* Names that are no layer or option: what was probably meant, and why some layers cannot exist here. */
#include <stdio.h>
#include <string.h>

#include "host/net/parser.h"
#include "host/status.h"

enum { WORD_LIMIT = 32 }; /* longer names get no suggestion: the distance below costs their product */

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

size_t ntk_edit_distance(const char *a, size_t a_length, const char *b, size_t b_length) {
  size_t row[WORD_LIMIT + 1];
  if (a_length > WORD_LIMIT || b_length > WORD_LIMIT) return WORD_LIMIT;
  for (size_t j = 0; j <= b_length; j++) row[j] = j;
  for (size_t i = 0; i < a_length; i++) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b_length; j++) {
      size_t replaced = diagonal + (lower(a[i]) != lower(b[j]));
      size_t edited = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;
      diagonal = row[j + 1];
      row[j + 1] = replaced < edited ? replaced : edited;
    }
  }
  return row[b_length];
}

static bool is_close(size_t distance, size_t length) { return distance <= 1 + length / 4 && distance < length; }

#define NO_NORM "a normalisation layer has no exact kernel, because its statistics couple all units"
#define NO_DUAL "this activation's kernel is not computed here"

/* Layers of finite networks, in lower case and without the digits at the end. */
static const struct {
  const char *name, *reason, *instead; /* instead: a layer's name, or NULL */
} familiar[] = {
    {"maxpool", "max pooling has no exact kernel", "avgpool"},
    {"max_pool", "max pooling has no exact kernel", "avgpool"},
    {"batchnorm", NO_NORM, NULL},
    {"batch_norm", NO_NORM, NULL},
    {"bn", NO_NORM, NULL},
    {"layernorm", NO_NORM, NULL},
    {"layer_norm", NO_NORM, NULL},
    {"ln", NO_NORM, NULL},
    {"groupnorm", NO_NORM, NULL},
    {"norm", NO_NORM, NULL},
    {"softmax", "softmax has no exact kernel, because it couples all outputs; kernels are of the network before it",
     NULL},
    {"dropout", "dropout has no exact kernel: it is noise of the training; leave it out", NULL},
    {"attention", "attention has no exact kernel here", NULL},
    {"mish", NO_DUAL, "silu"},
    {"hardtanh", NO_DUAL, "erf"},
    {"logistic", NULL, "sigmoid"},
    {"leakyrelu", NULL, "leaky"},
    {"leaky_relu", NULL, "leaky"},
    {"lrelu", NULL, "leaky"},
    {"prelu", NULL, "leaky"},
    {"fc", NULL, "dense"},
    {"linear", NULL, "dense"},
    {"pool", NULL, "avgpool"},
    {"meanpool", NULL, "avgpool"},
    {"avg_pool", NULL, "avgpool"},
    {"globalavgpool", NULL, "gap"},
    {"global_avg_pool", NULL, "gap"},
    {"identity", NULL, "id"},
    {"skip", NULL, "id"},
    {"residual", NULL, "sum"},
    {"add", NULL, "sum"},
};

/* The layer meant by `stem`, written with the size that the name carries: 'maxpool2' suggests 'avgpool2'. */
static void suggest(char suggestion[2 * NTK_QUOTE_SIZE], const char *instead, const char *suffix, size_t length) {
  const ntk_layer_spec *spec = ntk_find_layer_spec(instead, strlen(instead));
  char size[NTK_QUOTE_SIZE];
  bool sized = spec && spec->suffix != NTK_SUFFIX_NONE && length > 0 && length < 4;
  for (size_t i = 0; sized && i < length; i++) sized = ntk_is_digit(suffix[i]);
  if (sized) {
    snprintf(suggestion, 2 * NTK_QUOTE_SIZE, "%s%s", instead, ntk_quote(size, suffix, length));
  } else {
    snprintf(suggestion, 2 * NTK_QUOTE_SIZE, "%s", spec ? spec->example : instead);
  }
}

static const char *nearest_layer(const char *stem, size_t length) {
  size_t count, best = WORD_LIMIT;
  const ntk_layer_spec *specs = ntk_layer_specs(&count);
  const char *nearest = NULL;
  for (size_t i = 0; i < count; i++) {
    size_t distance = ntk_edit_distance(stem, length, specs[i].name, strlen(specs[i].name));
    if (distance < best) {
      best = distance;
      nearest = specs[i].name;
    }
  }
  return is_close(best, length) ? nearest : NULL;
}

static void list_layers(char *list, size_t size) {
  size_t count, used = 0;
  const ntk_layer_spec *specs = ntk_layer_specs(&count);
  for (size_t i = 0; i < count && used < size; i++)
    used += (size_t)snprintf(list + used, size - used, "%s%s", i > 0 ? ", " : "", specs[i].name);
}

static bool is_option_name(const char *name, size_t length) {
  size_t count;
  const ntk_layer_spec *specs = ntk_layer_specs(&count);
  for (size_t i = 0; i < count; i++)
    for (size_t j = 0; j < specs[i].option_count; j++)
      if (specs[i].options[j].name && ntk_name_is(name, length, specs[i].options[j].name)) return true;
  return false;
}

/* Names that do name something, only not a layer here. */
static ntk_status misplaced(const ntk_parser *parser, size_t at, size_t length, const char *quote, bool *found) {
  const char *name = parser->text + at;
  *found = true;
  if (ntk_name_is(name, length, "id"))
    return ntk_parse_error(parser, at, "'id' can only be a whole branch of a sum, as in sum(id | relu conv3)");
  if (is_option_name(name, length))
    return ntk_parse_error(parser, at,
                           "'%s' is an option: write it in parentheses right behind the name of its layer, "
                           "with no space, as in conv3(fixed)",
                           quote);
  size_t stem = 0;
  char small[WORD_LIMIT];
  bool upper = false;
  for (; stem < length && stem < WORD_LIMIT && ntk_is_letter(name[stem]); stem++) {
    small[stem] = lower(name[stem]);
    upper = upper || small[stem] != name[stem];
  }
  if (upper && (ntk_find_layer_spec(small, stem) || ntk_name_is(small, stem, "id"))) {
    char whole[NTK_QUOTE_SIZE];
    snprintf(whole, sizeof whole, "%s", quote);
    for (char *c = whole; *c; c++) *c = lower(*c);
    return ntk_parse_error(parser, at, "unknown layer '%s': names are in lower case; did you mean '%s'?", quote, whole);
  }
  *found = false;
  return NTK_OK;
}

ntk_status ntk_unknown_layer(const ntk_parser *parser, size_t at, size_t length) {
  char quote[NTK_QUOTE_SIZE], list[512] = "", suggestion[2 * NTK_QUOTE_SIZE];
  const char *name = parser->text + at, *reason = NULL, *instead = NULL;
  bool found;
  ntk_quote(quote, name, length);
  ntk_status status = misplaced(parser, at, length, quote, &found);
  if (found) return status;

  size_t stem = 0;
  while (stem < length && ntk_is_letter(name[stem])) stem++;
  for (size_t i = 0; i < sizeof familiar / sizeof *familiar && !reason && !instead; i++) {
    if (ntk_edit_distance(name, stem, familiar[i].name, strlen(familiar[i].name)) > 0) continue;
    reason = familiar[i].reason;
    instead = familiar[i].instead;
  }
  if (!reason && !instead) instead = nearest_layer(name, stem);
  if (instead) suggest(suggestion, instead, name + stem, length - stem);
  list_layers(list, sizeof list);
  return ntk_parse_error(parser, at, "unknown layer '%s': %s%sthe layers are %s%s%s%s", quote, reason ? reason : "",
                         reason ? "; " : "", list, instead ? "; did you mean '" : "", instead ? suggestion : "",
                         instead ? "'?" : "");
}

/* Other libraries' names of our options. */
static const char *familiar_option(const char *name, size_t length) {
  static const char *const pairs[][2] = {{"w_std", "W"},      {"b_std", "b"},  {"bias", "b"},
                                         {"padding", "same"}, {"pad", "same"}, {"strides", "stride"}};
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
    if (ntk_edit_distance(name, length, pairs[i][0], strlen(pairs[i][0])) == 0) return pairs[i][1];
  return NULL;
}

ntk_status ntk_unknown_option(const ntk_parser *parser, size_t at, size_t length, const ntk_layer_spec *spec,
                              const char *layer) {
  char quote[NTK_QUOTE_SIZE], list[256] = "";
  const char *name = parser->text + at, *familiar_name = familiar_option(name, length), *nearest = NULL;
  size_t used = 0, best = WORD_LIMIT;
  ntk_quote(quote, name, length);
  if (spec->option_count == 0)
    return ntk_parse_error(parser, at, "unknown option '%s': '%s' has no options", quote, layer);
  for (size_t i = 0; i < spec->option_count && used < sizeof list; i++) {
    const ntk_option_spec *option = &spec->options[i];
    const char *known = option->name ? option->name : "a number";
    used += (size_t)snprintf(list + used, sizeof list - used, "%s%s%s", i > 0 ? ", " : "", known,
                             option->name && option->type != NTK_TYPE_FLAG ? "=" : "");
    if (!option->name) continue;
    size_t distance = ntk_edit_distance(name, length, known, strlen(known));
    if (familiar_name && strcmp(known, familiar_name) == 0) distance = 0;
    if (distance >= best) continue;
    best = distance;
    nearest = known;
  }
  size_t stem = 0;
  while (stem < length && ntk_is_letter(name[stem])) stem++;
  if (ntk_find_layer_spec(name, stem))
    return ntk_parse_error(parser, at, "'%s' is a layer and stands in the options of '%s': is a ')' missing before it?",
                           quote, layer);
  bool close = nearest && (best == 0 || is_close(best, length));
  return ntk_parse_error(parser, at, "unknown option '%s' of '%s', which takes %s%s%s%s", quote, layer, list,
                         close ? "; did you mean '" : "", close ? nearest : "", close ? "'?" : "");
}
