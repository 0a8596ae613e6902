/* The table of layers and their options; the parser, the printer and the messages all read it. */
#include <string.h>

#include "host/net/parser.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define FLAG(name, target) \
  { name, target, NTK_TYPE_FLAG, 0, 0 }
#define NUMBER(name, target, type) \
  { name, target, type, 0, 0 }
#define INTEGER(name, target, low, high) \
  { name, target, NTK_TYPE_INTEGER, low, high }
#define WIDTH INTEGER("width", NTK_OPTION_WIDTH, 1, 1000000000)
#define FACTOR NUMBER("c", NTK_OPTION_FACTOR, NTK_TYPE_FACTOR)

static const ntk_option_spec conv_options[] = {
    INTEGER("stride", NTK_OPTION_STRIDE, 1, 10000),
    NUMBER("W", NTK_OPTION_W, NTK_TYPE_NOT_NEGATIVE),
    NUMBER("b", NTK_OPTION_B, NTK_TYPE_NOT_NEGATIVE),
    NUMBER("gamma", NTK_OPTION_GAMMA, NTK_TYPE_NOT_NEGATIVE),
    FLAG("fixed", NTK_OPTION_FIXED),
    WIDTH,
    FLAG("zero", NTK_OPTION_ZERO),
    FLAG("circular", NTK_OPTION_CIRCULAR),
    FLAG("valid", NTK_OPTION_VALID),
    FLAG("same", NTK_OPTION_SAME),
};
static const ntk_option_spec dense_options[] = {
    NUMBER("W", NTK_OPTION_W, NTK_TYPE_NOT_NEGATIVE),
    NUMBER("b", NTK_OPTION_B, NTK_TYPE_NOT_NEGATIVE),
    FLAG("fixed", NTK_OPTION_FIXED),
    WIDTH,
};
static const ntk_option_spec plain_options[] = {FACTOR};
static const ntk_option_spec one_value_options[] = {NUMBER(NULL, NTK_OPTION_PARAM0, NTK_TYPE_REAL), FACTOR};
static const ntk_option_spec two_value_options[] = {NUMBER(NULL, NTK_OPTION_PARAM0, NTK_TYPE_REAL),
                                                    NUMBER(NULL, NTK_OPTION_PARAM1, NTK_TYPE_REAL), FACTOR};
static const ntk_option_spec wave_options[] = {NUMBER("a", NTK_OPTION_PARAM0, NTK_TYPE_REAL),
                                               NUMBER("b", NTK_OPTION_PARAM1, NTK_TYPE_REAL),
                                               NUMBER("phase", NTK_OPTION_PARAM2, NTK_TYPE_REAL), FACTOR};
static const ntk_option_spec rbf_options[] = {NUMBER("gamma", NTK_OPTION_PARAM0, NTK_TYPE_POSITIVE), FACTOR};
static const ntk_option_spec exp_options[] = {NUMBER("b", NTK_OPTION_PARAM0, NTK_TYPE_REAL), FACTOR};
static const ntk_option_spec degree_options[] = {INTEGER(NULL, NTK_OPTION_DEGREE, 0, 100), FACTOR};
static const ntk_option_spec elu_options[] = {NUMBER("a", NTK_OPTION_PARAM0, NTK_TYPE_REAL), FACTOR};
static const ntk_option_spec expnorm_options[] = {NUMBER("g", NTK_OPTION_PARAM0, NTK_TYPE_NOT_NEGATIVE), FACTOR};
static const ntk_option_spec series_options[] = {NUMBER(NULL, NTK_OPTION_LIST, NTK_TYPE_REAL), FACTOR};
static const ntk_option_spec pool_options[] = {
    INTEGER("stride", NTK_OPTION_STRIDE, 1, 10000),
    FLAG("valid", NTK_OPTION_VALID),
    FLAG("same", NTK_OPTION_SAME),
    FLAG("circular", NTK_OPTION_CIRCULAR),
    FLAG("normalized", NTK_OPTION_NORMALIZED),
};
static const ntk_option_spec lap_options[] = {INTEGER(NULL, NTK_OPTION_POOL, 0, 10000),
                                              FLAG("circular", NTK_OPTION_POOL_CIRCULAR)};

#define ACTIVATION(name, value, options, a, b, phase, example) \
  { name, NTK_LAYER_ACTIVATION, value, NTK_SUFFIX_NONE, options, COUNT(options), {a, b, phase}, example }
#define LAYER(name, kind, suffix, options, example) \
  { name, kind, NTK_ACT_RELU, suffix, options, COUNT(options), {0, 0, 0}, example }
#define BARE(name, kind, example) \
  { name, kind, NTK_ACT_RELU, NTK_SUFFIX_NONE, NULL, 0, {0, 0, 0}, example }

static const ntk_layer_spec specs[] = {
    LAYER("conv", NTK_LAYER_CONV, NTK_SUFFIX_FILTER, conv_options, "conv3"),
    LAYER("dense", NTK_LAYER_DENSE, NTK_SUFFIX_NONE, dense_options, "dense"),
    ACTIVATION("relu", NTK_ACT_RELU, plain_options, 0, 0, 0, "relu"),
    ACTIVATION("leaky", NTK_ACT_LEAKY, one_value_options, 0, 0, 0, "leaky(0.1)"),
    ACTIVATION("abrelu", NTK_ACT_ABRELU, two_value_options, 0, 0, 0, "abrelu(-0.3, 1.1)"),
    ACTIVATION("abs", NTK_ACT_ABS, plain_options, 0, 0, 0, "abs"),
    ACTIVATION("erf", NTK_ACT_ERF, plain_options, 0, 0, 0, "erf"),
    ACTIVATION("gelu", NTK_ACT_GELU, plain_options, 0, 0, 0, "gelu"),
    ACTIVATION("sin", NTK_ACT_SIN, wave_options, 1, 1, 0, "sin"),
    ACTIVATION("cos", NTK_ACT_COS, wave_options, 1, 1, 0, "cos"),
    ACTIVATION("rbf", NTK_ACT_RBF, rbf_options, 1, 0, 0, "rbf"),
    ACTIVATION("exp", NTK_ACT_EXP, exp_options, 1, 0, 0, "exp"),
    ACTIVATION("sign", NTK_ACT_SIGN, plain_options, 0, 0, 0, "sign"),
    ACTIVATION("hermite", NTK_ACT_HERMITE, degree_options, 0, 0, 0, "hermite(2)"),
    ACTIVATION("monomial", NTK_ACT_MONOMIAL, degree_options, 0, 0, 0, "monomial(2)"),
    ACTIVATION("tanh", NTK_ACT_TANH, plain_options, 0, 0, 0, "tanh"),
    ACTIVATION("sigmoid", NTK_ACT_SIGMOID, plain_options, 0, 0, 0, "sigmoid"),
    ACTIVATION("silu", NTK_ACT_SILU, plain_options, 0, 0, 0, "silu"),
    ACTIVATION("swish", NTK_ACT_SILU, plain_options, 0, 0, 0, "silu"), /* another name: prints as the first */
    ACTIVATION("softplus", NTK_ACT_SOFTPLUS, plain_options, 0, 0, 0, "softplus"),
    ACTIVATION("elu", NTK_ACT_ELU, elu_options, 1, 0, 0, "elu"),
    ACTIVATION("selu", NTK_ACT_SELU, plain_options, 0, 0, 0, "selu"),
    ACTIVATION("series", NTK_ACT_SERIES, series_options, 0, 0, 0, "series(0, 1, 0.5)"),
    ACTIVATION("expnorm", NTK_ACT_EXPNORM, expnorm_options, 1, 0, 0, "expnorm"),
    LAYER("avgpool", NTK_LAYER_AVGPOOL, NTK_SUFFIX_WINDOW, pool_options, "avgpool2"),
    BARE("sum", NTK_LAYER_SUM, "sum(id | relu conv3)"),
    BARE("flatten", NTK_LAYER_FLATTEN, "flatten"),
    BARE("gap", NTK_LAYER_GAP, "gap"),
    LAYER("lap", NTK_LAYER_LAP, NTK_SUFFIX_NONE, lap_options, "lap(4)"),
};

const ntk_layer_spec *ntk_layer_specs(size_t *count) {
  *count = COUNT(specs);
  return specs;
}

const ntk_layer_spec *ntk_find_layer_spec(const char *name, size_t length) {
  for (size_t i = 0; i < COUNT(specs); i++)
    if (ntk_name_is(name, length, specs[i].name)) return &specs[i];
  return NULL;
}

const ntk_layer_spec *ntk_spec_of(const ntk_layer *layer) {
  for (size_t i = 0; i < COUNT(specs); i++) {
    bool activation = layer->kind == NTK_LAYER_ACTIVATION;
    if (specs[i].kind == layer->kind && (!activation || specs[i].activation == layer->activation)) return &specs[i];
  }
  return NULL;
}

double ntk_default_factor(ntk_activation activation) { return activation == NTK_ACT_RELU ? 2 : 1; }

ntk_layer ntk_default_layer(const ntk_layer_spec *spec) {
  ntk_layer layer = {.kind = spec->kind, .repeat = 1};
  switch (spec->kind) {
    case NTK_LAYER_CONV:
      layer.stride = 1;
      layer.weight_std = 1;
      break;
    case NTK_LAYER_DENSE: layer.weight_std = 1; break;
    case NTK_LAYER_AVGPOOL: layer.padding = NTK_PAD_VALID; break; /* the stride is the window: set when that is known */
    case NTK_LAYER_ACTIVATION:
      layer.activation = spec->activation;
      memcpy(layer.params, spec->params, sizeof spec->params);
      layer.factor = ntk_default_factor(spec->activation);
      break;
    default: break;
  }
  return layer;
}

double *ntk_option_field(ntk_layer *layer, const ntk_option_spec *option, int **whole) {
  *whole = NULL;
  switch (option->target) {
    case NTK_OPTION_STRIDE: *whole = &layer->stride; return NULL;
    case NTK_OPTION_POOL: *whole = &layer->pool; return NULL;
    case NTK_OPTION_WIDTH: *whole = &layer->width; return NULL;
    case NTK_OPTION_W: return &layer->weight_std;
    case NTK_OPTION_B: return &layer->bias_std;
    case NTK_OPTION_GAMMA: return &layer->gamma;
    case NTK_OPTION_FACTOR: return &layer->factor;
    case NTK_OPTION_PARAM0:
    case NTK_OPTION_DEGREE: return &layer->params[0];
    case NTK_OPTION_PARAM1: return &layer->params[1];
    case NTK_OPTION_PARAM2: return &layer->params[2];
    case NTK_OPTION_LIST: return &layer->params[layer->param_count];
    default: return NULL;
  }
}
