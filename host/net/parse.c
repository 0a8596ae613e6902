/* The grammar: items, repeats, groups and sums (docs/network-text.md); ntk_network_parse. */
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "host/net/parser.h"
#include "host/status.h"

static ntk_status parse_items(ntk_parser *parser, ntk_layers *layers);

static ntk_status enter(ntk_parser *parser, size_t open) {
  if (parser->depth == NTK_DEPTH_LIMIT)
    return ntk_parse_error(parser, open, "parentheses are nested more than %d deep", NTK_DEPTH_LIMIT);
  parser->depth++;
  return NTK_OK;
}

static ntk_status add_branch(ntk_layer *layer) {
  size_t count = layer->branch_count;
  if ((count & (count - 1)) == 0) {
    ntk_layers *branches = realloc(layer->branches, (count > 0 ? 2 * count : 1) * sizeof *branches);
    if (!branches) return ntk_fail(NTK_ERROR_MEMORY, "out of memory while reading a network text: free some memory");
    layer->branches = branches;
  }
  layer->branches[layer->branch_count++] = (ntk_layers){0};
  return NTK_OK;
}

static ntk_status parse_group(ntk_parser *parser, ntk_layer *layer) {
  size_t open = parser->at++;
  int64_t first = parser->layers + 1;
  *layer = (ntk_layer){.kind = NTK_LAYER_GROUP, .repeat = 1, .column = (int)open + 1};
  NTK_TRY(enter(parser, open));
  NTK_TRY(add_branch(layer));
  NTK_TRY(parse_items(parser, &layer->branches[0]));
  if (parser->at == parser->length) {
    parser->layers = first; /* the layer that stands at the column */
    return ntk_parse_error(parser, open, "this '(' is never closed");
  }
  if (ntk_peek(parser) == '|')
    return ntk_parse_error(parser, parser->at,
                           "'|' separates the branches of a sum, as in sum(id | relu conv3), and "
                           "stands nowhere else");
  if (layer->branches[0].count == 0) return ntk_parse_error(parser, open, "these parentheses hold no layer");
  parser->at++;
  parser->depth--;
  return NTK_OK;
}

/* `id` is an empty branch; with anything beside it, it is left for parse_items to refuse. */
static bool skip_identity(ntk_parser *parser) {
  size_t start = parser->at;
  size_t length = ntk_read_name(parser);
  if (ntk_name_is(parser->text + start, length, "id")) {
    ntk_skip_spaces(parser);
    char c = ntk_peek(parser);
    if (c == '|' || c == ')' || parser->at == parser->length) return true;
  }
  parser->at = start;
  return false;
}

static ntk_status parse_branch(ntk_parser *parser, ntk_layer *sum, size_t open, int64_t number) {
  NTK_TRY(add_branch(sum));
  ntk_layers *branch = &sum->branches[sum->branch_count - 1];
  ntk_skip_spaces(parser);
  bool identity = skip_identity(parser);
  if (!identity) NTK_TRY(parse_items(parser, branch));
  if (parser->at == parser->length) {
    parser->layers = number;
    return ntk_parse_error(parser, open, "the '(' of this sum is never closed");
  }
  if (!identity && branch->count == 0)
    return ntk_parse_error(parser, parser->at, "branch %zu of the sum is empty: write 'id' for the identity",
                           sum->branch_count);
  return NTK_OK;
}

static ntk_status parse_sum(ntk_parser *parser, size_t name, ntk_layer *layer) {
  *layer = (ntk_layer){.kind = NTK_LAYER_SUM, .repeat = 1, .column = (int)name + 1};
  int64_t number = parser->layers;
  ntk_skip_spaces(parser);
  size_t open = parser->at;
  if (ntk_peek(parser) != '(') return ntk_parse_error(parser, name, "'sum' needs its branches: sum(id | relu conv3)");
  NTK_TRY(enter(parser, open));
  do {
    parser->at++;
    NTK_TRY(parse_branch(parser, layer, open, number));
  } while (ntk_peek(parser) == '|');
  parser->at++;
  parser->depth--;
  if (layer->branch_count >= 2) return NTK_OK;
  parser->layers = number;
  return ntk_parse_error(parser, name, "this sum has one branch, but needs at least two, as in sum(id | relu conv3)");
}

static ntk_status parse_named(ntk_parser *parser, ntk_layer *layer) {
  size_t start = parser->at;
  size_t length = ntk_read_name(parser);
  parser->layers++;
  if (ntk_peek(parser) == '-')
    return ntk_parse_error(parser, parser->at, "unexpected '-': if this is the name of a preset, it must stand alone");
  if (ntk_name_is(parser->text + start, length, "sum")) return parse_sum(parser, start, layer);
  return ntk_parse_layer(parser, start, length, layer);
}

static ntk_status parse_repeat(ntk_parser *parser, int *repeat) {
  size_t start = parser->at;
  NTK_TRY(ntk_read_integer(parser, "a repeat count", 1, NTK_REPEAT_LIMIT, repeat));
  ntk_skip_spaces(parser);
  if (ntk_peek(parser) != '*')
    return ntk_parse_error(parser, start, "a number here is a repeat count and needs a '*', as in 3*(conv3 relu)");
  parser->at++;
  ntk_skip_spaces(parser);
  if (ntk_is_digit(ntk_peek(parser)))
    return ntk_parse_error(parser, parser->at, "a layer takes one repeat count: multiply the two");
  if (ntk_peek(parser) != '(' && !ntk_is_letter(ntk_peek(parser)))
    return ntk_parse_error(parser, parser->at, "a layer or '(' must follow the repeat count");
  return NTK_OK;
}

static ntk_status unexpected(const ntk_parser *parser) {
  char c = ntk_peek(parser);
  if (c == ',') return ntk_parse_error(parser, parser->at, "unexpected ',': layers are separated by spaces");
  if (c == '*')
    return ntk_parse_error(parser, parser->at, "unexpected '*': a repeat count stands before it, as in 3*(conv3 relu)");
  if (c == '=')
    return ntk_parse_error(parser, parser->at,
                           "unexpected '=': options stand in parentheses right behind the name of "
                           "their layer, with no space, as in conv3(stride=2)");
  if (c < ' ' || c > '~')
    return ntk_parse_error(parser, parser->at, "unexpected byte 0x%02X: a text is plain ASCII", (unsigned char)c);
  return ntk_parse_error(parser, parser->at, "unexpected '%c': a layer should stand here", c);
}

/* [N*]layer or [N*]( ... ), added to `layers` even when it fails, so that whoever frees them frees it. */
static ntk_status parse_item(ntk_parser *parser, ntk_layers *layers) {
  size_t start = parser->at;
  int64_t before = parser->layers;
  int repeat = 1;
  if (ntk_is_digit(ntk_peek(parser))) NTK_TRY(parse_repeat(parser, &repeat));
  if (ntk_peek(parser) != '(' && !ntk_is_letter(ntk_peek(parser))) return unexpected(parser);
  ntk_layer layer = {.repeat = 1};
  ntk_status status = ntk_peek(parser) == '(' ? parse_group(parser, &layer) : parse_named(parser, &layer);
  layer.repeat = repeat;
  ntk_status appended = ntk_layers_append(layers, layer);
  if (appended != NTK_OK) {
    ntk_layer_free(&layer);
    return appended;
  }
  NTK_TRY(status);
  parser->layers = before + repeat * (parser->layers - before);
  if (parser->layers <= NTK_LAYER_LIMIT) return NTK_OK;
  parser->layers = before + 1;
  return ntk_parse_error(parser, start, "the network has more than %d layers once its repeats are unrolled",
                         NTK_LAYER_LIMIT);
}

/* Up to the end, a ')' or a '|', which the caller judges. */
static ntk_status parse_items(ntk_parser *parser, ntk_layers *layers) {
  for (;;) {
    ntk_skip_spaces(parser);
    char c = ntk_peek(parser);
    if (parser->at == parser->length || c == ')' || c == '|') return NTK_OK;
    NTK_TRY(parse_item(parser, layers));
  }
}

static ntk_status parse_text(ntk_network *network, const char *text, size_t length) {
  ntk_parser parser = {.text = text, .length = length};
  NTK_TRY(parse_items(&parser, &network->tree));
  if (ntk_peek(&parser) == ')') return ntk_parse_error(&parser, parser.at, "this ')' closes nothing");
  if (ntk_peek(&parser) == '|')
    return ntk_parse_error(&parser, parser.at,
                           "'|' separates the branches of a sum, as in sum(id | relu conv3), and "
                           "stands nowhere else");
  if (network->tree.count == 0)
    return ntk_parse_error(&parser, 0, "the network text is empty; an example is 20*(conv3 relu) gap");
  int number = 0;
  NTK_TRY(ntk_flatten_tree(&network->tree, &network->flat, &number));
  NTK_TRY(ntk_check_sequence(&network->flat, number));
  NTK_TRY(ntk_print_layers(&network->tree, &network->text));
  size_t printed = strlen(network->text);
  if (printed > NTK_TEXT_LIMIT) /* else the canonical text would not parse */
    return ntk_parse_error(&parser, 0, "the network's canonical text has %zu characters, more than %d", printed,
                           NTK_TEXT_LIMIT);
  return NTK_OK;
}

static ntk_status parse_text_or_preset(ntk_network *network, const char *text) {
  size_t length = strnlen(text, NTK_TEXT_LIMIT + 1);
  if (length > NTK_TEXT_LIMIT)
    return ntk_fail(NTK_ERROR_NETWORK, "layer 1, column %d: the network text has more than %d characters",
                    NTK_TEXT_LIMIT + 1, NTK_TEXT_LIMIT);
  char *expanded = NULL;
  NTK_TRY(ntk_expand_preset(text, length, &expanded, &network->preset, &network->preset_scale));
  if (!expanded) return parse_text(network, text, length);
  ntk_status status = parse_text(network, expanded, strlen(expanded));
  free(expanded);
  return status;
}

ntk_status ntk_network_parse(const char *text, ntk_network **out) {
  if (!out) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_network_parse: out must not be NULL");
  *out = NULL;
  if (!text) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_network_parse: text must not be NULL");
  ntk_network *network = calloc(1, sizeof *network);
  if (!network) return ntk_fail(NTK_ERROR_MEMORY, "out of memory while reading a network text: free some memory");
  /* The host program's locale may write numbers with a comma; this thread reads and prints in "C" meanwhile. */
  locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  if (plain == (locale_t)0) {
    free(network);
    return ntk_fail(NTK_ERROR_MEMORY, "out of memory while reading a network text: free some memory");
  }
  locale_t previous = uselocale(plain);
  ntk_status status = parse_text_or_preset(network, text);
  uselocale(previous);
  freelocale(plain);
  if (status != NTK_OK) {
    ntk_network_free(network);
    return status;
  }
  *out = network;
  return NTK_OK;
}

void ntk_network_free(ntk_network *network) {
  if (!network) return;
  ntk_layers_free(&network->tree);
  ntk_layers_free(&network->flat);
  free(network->text);
  free(network->preset);
  free(network);
}

const char *ntk_network_text(const ntk_network *network) { return network ? network->text : NULL; }

const char *ntk_network_preset(const ntk_network *network) { return network ? network->preset : NULL; }
