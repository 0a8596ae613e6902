/* Internal to host/net: the cursor that the parser's parts share, and the table of layers and their options. */
#ifndef NTK_HOST_NET_PARSER_H
#define NTK_HOST_NET_PARSER_H

#include "host/net/network.h"

enum {
  NTK_TEXT_LIMIT = 64 * 1024, /* bytes of a text */
  NTK_LAYER_LIMIT = 100000,   /* layers once the repeats are unrolled */
  NTK_DEPTH_LIMIT = 64,       /* nested parentheses; bounds every recursion over a network */
  NTK_REPEAT_LIMIT = 10000,
  NTK_QUOTE_SIZE = 48, /* buffers of ntk_quote and ntk_layer_name */
  NTK_NUMBER_SIZE = 32 /* buffers of ntk_print_number */
};

typedef struct ntk_parser {
  const char *text;
  size_t length;
  size_t at;
  int64_t layers; /* started so far, in the flat numbering */
  int depth;      /* of open parentheses */
} ntk_parser;

/* lex.c */
ntk_status ntk_parse_error(const ntk_parser *parser, size_t at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
char ntk_peek(const ntk_parser *parser); /* the character at the cursor, '\0' at the end */
void ntk_skip_spaces(ntk_parser *parser);
bool ntk_is_digit(char c);
bool ntk_is_letter(char c);
size_t ntk_read_name(ntk_parser *parser); /* its length, 0 if no letter stands here */
bool ntk_name_is(const char *name, size_t length, const char *known);
/* A printable copy, shortened: what a message may repeat of a text that can hold anything. */
const char *ntk_quote(char quote[NTK_QUOTE_SIZE], const char *start, size_t length);
ntk_status ntk_read_integer(ntk_parser *parser, const char *what, int low, int high, int *value);
ntk_status ntk_read_real(ntk_parser *parser, const char *what, double *value);

/* layers.c */
typedef enum ntk_option_target {
  NTK_OPTION_STRIDE,
  NTK_OPTION_W,
  NTK_OPTION_B,
  NTK_OPTION_GAMMA,
  NTK_OPTION_FIXED,
  NTK_OPTION_ZERO, /* the paddings stand in the order of ntk_padding */
  NTK_OPTION_CIRCULAR,
  NTK_OPTION_VALID,
  NTK_OPTION_SAME,
  NTK_OPTION_NORMALIZED,
  NTK_OPTION_POOL,
  NTK_OPTION_POOL_CIRCULAR,
  NTK_OPTION_PARAM0,
  NTK_OPTION_PARAM1,
  NTK_OPTION_PARAM2,
  NTK_OPTION_DEGREE, /* params[0], a whole number */
  NTK_OPTION_LIST,   /* params, one value or more */
  NTK_OPTION_FACTOR,
  NTK_OPTION_WIDTH
} ntk_option_target;

typedef enum ntk_option_type {
  NTK_TYPE_FLAG,
  NTK_TYPE_INTEGER, /* low..high */
  NTK_TYPE_REAL,
  NTK_TYPE_NOT_NEGATIVE,
  NTK_TYPE_POSITIVE,
  NTK_TYPE_FACTOR /* positive, or `auto` */
} ntk_option_type;

typedef struct ntk_option_spec {
  const char *name; /* NULL: a value without a key, which must be given */
  ntk_option_target target;
  ntk_option_type type;
  int low, high;
} ntk_option_spec;

typedef enum ntk_suffix { NTK_SUFFIX_NONE, NTK_SUFFIX_FILTER, NTK_SUFFIX_WINDOW } ntk_suffix;

typedef struct ntk_layer_spec {
  const char *name; /* without the size: conv, avgpool */
  ntk_layer_kind kind;
  ntk_activation activation;
  ntk_suffix suffix;
  const ntk_option_spec *options; /* values without a key first, then in the order of the canonical text */
  size_t option_count;
  double params[3];    /* defaults */
  const char *example; /* with the options that must be given */
} ntk_layer_spec;

const ntk_layer_spec *ntk_layer_specs(size_t *count);
const ntk_layer_spec *ntk_find_layer_spec(const char *name, size_t length);
const ntk_layer_spec *ntk_spec_of(const ntk_layer *layer);
/* The layer with every option at its default. */
ntk_layer ntk_default_layer(const ntk_layer_spec *spec);
double ntk_default_factor(ntk_activation activation);
/* Where an option's number stands; NULL for flags. An integer's is `*whole`. */
double *ntk_option_field(ntk_layer *layer, const ntk_option_spec *option, int **whole);

/* options.c: everything of a layer but a sum, from its name (already read) to the closing parenthesis. */
ntk_status ntk_parse_layer(ntk_parser *parser, size_t name, size_t length, ntk_layer *layer);

/* unknown.c */
ntk_status ntk_unknown_layer(const ntk_parser *parser, size_t name, size_t length);
ntk_status ntk_unknown_option(const ntk_parser *parser, size_t name, size_t length, const ntk_layer_spec *spec,
                              const char *layer);
size_t ntk_edit_distance(const char *a, size_t a_length, const char *b, size_t b_length);

/* factor.c: 1/E[s(u)^2], u ~ N(0,1); not finite if s is zero or too large. */
double ntk_auto_factor(const ntk_layer *layer);

/* tree.c */
ntk_status ntk_layers_append(ntk_layers *layers, ntk_layer layer);
void ntk_layer_free(ntk_layer *layer);
void ntk_layers_free(ntk_layers *layers);
ntk_status ntk_flatten_tree(const ntk_layers *tree, ntk_layers *flat, int *number);

/* check.c: what can be judged without a shape; also completes the flat form with the implied dense layer. */
ntk_status ntk_check_sequence(ntk_layers *flat, int count);
ntk_status ntk_layer_error(const ntk_layer *layer, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* print.c */
ntk_status ntk_print_layers(const ntk_layers *layers, char **text);
void ntk_print_number(char number[NTK_NUMBER_SIZE], double value);

/* shape.c */
ntk_status ntk_check_shape(ntk_shape shape);
bool ntk_is_vector_shape(ntk_shape shape);

/* presets.c: *text = NULL if the text is no preset's name; else the preset's text, name and rule, both owned by the
 * caller. */
ntk_status ntk_expand_preset(const char *text, size_t length, char **preset_text, char **name, int *scale_rule);

#endif
