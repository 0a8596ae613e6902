/* The canonical text: defaults left out, options in the order of the table, numbers that read back exactly. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/net/parser.h"
#include "host/status.h"

typedef struct printer {
  char *text;
  size_t length, capacity;
} printer;

static ntk_status put(printer *out, const char *piece) {
  size_t length = strlen(piece);
  if (out->length + length + 1 > out->capacity) {
    size_t capacity = 2 * (out->length + length + 32);
    char *text = realloc(out->text, capacity);
    if (!text) return ntk_fail(NTK_ERROR_MEMORY, "out of memory while printing a network text: free some memory");
    out->text = text;
    out->capacity = capacity;
  }
  memcpy(out->text + out->length, piece, length + 1);
  out->length += length;
  return NTK_OK;
}

void ntk_print_number(char number[NTK_NUMBER_SIZE], double value) {
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(number, NTK_NUMBER_SIZE, "%.*g", digits, value);
    if (strtod(number, NULL) == value) return;
  }
}

void ntk_layer_name(const ntk_layer *layer, char name[NTK_LAYER_NAME_SIZE]) {
  const ntk_layer_spec *spec = ntk_spec_of(layer);
  const char *stem = spec ? spec->name : "(";
  if (spec && spec->suffix != NTK_SUFFIX_NONE && layer->rows == layer->cols) {
    snprintf(name, NTK_LAYER_NAME_SIZE, "%s%d", stem, layer->rows);
  } else if (spec && spec->suffix != NTK_SUFFIX_NONE) {
    snprintf(name, NTK_LAYER_NAME_SIZE, "%s%dx%d", stem, layer->rows, layer->cols);
  } else {
    snprintf(name, NTK_LAYER_NAME_SIZE, "%s", stem);
  }
}

/* Whether the option stands at its default and so is left out. */
static bool is_default(const ntk_layer *layer, const ntk_layer *standard, const ntk_option_spec *option) {
  switch (option->target) {
    case NTK_OPTION_STRIDE: return layer->stride == standard->stride;
    case NTK_OPTION_W: return layer->weight_std == standard->weight_std;
    case NTK_OPTION_B: return !layer->has_bias;
    case NTK_OPTION_GAMMA: return !layer->has_gamma;
    case NTK_OPTION_FIXED: return !layer->fixed;
    case NTK_OPTION_ZERO:
    case NTK_OPTION_CIRCULAR:
    case NTK_OPTION_VALID:
    case NTK_OPTION_SAME:
      return layer->padding == standard->padding || layer->padding != (ntk_padding)(option->target - NTK_OPTION_ZERO);
    case NTK_OPTION_NORMALIZED: return !layer->normalized;
    case NTK_OPTION_POOL_CIRCULAR: return !layer->pool_circular;
    case NTK_OPTION_PARAM0: return option->name && layer->params[0] == standard->params[0];
    case NTK_OPTION_PARAM1: return option->name && layer->params[1] == standard->params[1];
    case NTK_OPTION_PARAM2: return option->name && layer->params[2] == standard->params[2];
    case NTK_OPTION_FACTOR: return !layer->has_factor;
    case NTK_OPTION_WIDTH: return layer->width == 0;
    case NTK_OPTION_POOL:
    case NTK_OPTION_DEGREE:
    case NTK_OPTION_LIST: return false;
  }
  return false;
}

static void print_value(char value[NTK_NUMBER_SIZE], const ntk_layer *layer, const ntk_option_spec *option) {
  ntk_layer copy = *layer;
  int *whole;
  const double *field = ntk_option_field(&copy, option, &whole);
  if (option->type == NTK_TYPE_FLAG) {
    *value = '\0';
  } else if (option->type == NTK_TYPE_FACTOR && layer->factor_auto) {
    strcpy(value, "auto");
  } else if (whole) {
    snprintf(value, NTK_NUMBER_SIZE, "%d", *whole);
  } else {
    ntk_print_number(value, *field);
  }
}

/* a0, a1, ... of a series. */
static ntk_status print_params(printer *out, const ntk_layer *layer) {
  char value[NTK_NUMBER_SIZE];
  for (int k = 0; k < layer->param_count; k++) {
    if (k > 0) NTK_TRY(put(out, ", "));
    ntk_print_number(value, layer->params[k]);
    NTK_TRY(put(out, value));
  }
  return NTK_OK;
}

static ntk_status print_simple(printer *out, const ntk_layer *layer) {
  const ntk_layer_spec *spec = ntk_spec_of(layer);
  char name[NTK_LAYER_NAME_SIZE], value[NTK_NUMBER_SIZE];
  bool open = false;
  ntk_layer standard = ntk_default_layer(spec);
  if (layer->kind == NTK_LAYER_AVGPOOL) standard.stride = layer->rows;
  ntk_layer_name(layer, name);
  NTK_TRY(put(out, name));
  for (size_t i = 0; i < spec->option_count; i++) {
    const ntk_option_spec *option = &spec->options[i];
    if (is_default(layer, &standard, option)) continue;
    NTK_TRY(put(out, open ? ", " : "("));
    open = true;
    if (option->name) NTK_TRY(put(out, option->name));
    if (option->name && option->type != NTK_TYPE_FLAG) NTK_TRY(put(out, "="));
    if (option->target == NTK_OPTION_LIST) {
      NTK_TRY(print_params(out, layer));
      continue;
    }
    print_value(value, layer, option);
    NTK_TRY(put(out, value));
  }
  return open ? put(out, ")") : NTK_OK;
}

static ntk_status print_list(printer *out, const ntk_layers *layers);

static ntk_status print_nested(printer *out, const ntk_layer *layer) {
  NTK_TRY(put(out, layer->kind == NTK_LAYER_SUM ? "sum(" : "("));
  for (size_t i = 0; i < layer->branch_count; i++) {
    if (i > 0) NTK_TRY(put(out, " | "));
    if (layer->branches[i].count == 0) NTK_TRY(put(out, "id"));
    NTK_TRY(print_list(out, &layer->branches[i]));
  }
  return put(out, ")");
}

static ntk_status print_list(printer *out, const ntk_layers *layers) {
  for (size_t i = 0; i < layers->count; i++) {
    const ntk_layer *layer = &layers->items[i];
    char repeat[NTK_NUMBER_SIZE] = "";
    if (i > 0) NTK_TRY(put(out, " "));
    if (layer->repeat > 1) snprintf(repeat, sizeof repeat, "%d*", layer->repeat);
    NTK_TRY(put(out, repeat));
    bool nested = layer->kind == NTK_LAYER_SUM || layer->kind == NTK_LAYER_GROUP;
    NTK_TRY(nested ? print_nested(out, layer) : print_simple(out, layer));
  }
  return NTK_OK;
}

ntk_status ntk_print_layers(const ntk_layers *layers, char **text) {
  printer out = {0};
  ntk_status status = print_list(&out, layers);
  if (status != NTK_OK) {
    free(out.text);
    return status;
  }
  *text = out.text;
  return NTK_OK;
}
