/* Network texts that are accepted: the tree, the flat form, the canonical text. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <ntk/network.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/compare_network.h"
#include "tests/support.h"

static ntk_network *parse(const char *text) {
  ntk_network *network;
  ntk_status status = ntk_network_parse(text, &network);
  cr_assert_eq(status, NTK_OK, "'%.200s': %s", text, ntk_last_error());
  return network;
}

/* The first layer of a text, as a copy that outlives the network. */
static ntk_layer first_layer(const char *text) {
  ntk_network *network = parse(text);
  ntk_layer layer = network->flat.items[0];
  ntk_network_free(network);
  return layer;
}

/* The activation s in "dense s dense". */
static ntk_layer activation(const char *name) {
  char text[200];
  snprintf(text, sizeof text, "dense %s dense", name);
  ntk_network *network = parse(text);
  ntk_layer layer = network->flat.items[1];
  ntk_network_free(network);
  return layer;
}

static void assert_canonical(const char *text, const char *canonical) {
  ntk_network *network = parse(text);
  cr_assert_str_eq(ntk_network_text(network), canonical);
  cr_assert(ntk_test_round_trip(network), "'%s' does not parse to the same network", canonical);
  cr_assert_null(ntk_network_preset(network));
  ntk_network_free(network);
}

Test(network, convolution_options) {
  ntk_layer plain = first_layer("conv3 gap");
  cr_assert(plain.kind == NTK_LAYER_CONV && plain.rows == 3 && plain.cols == 3 && plain.stride == 1);
  cr_assert(plain.padding == NTK_PAD_ZERO && plain.weight_std == 1 && !plain.has_bias && !plain.has_gamma);
  cr_assert(!plain.fixed && plain.repeat == 1 && plain.column == 1 && plain.number == 1);
  ntk_layer full = first_layer("conv3x5(stride=2, W=1.5, b=0.25, fixed, same) gap");
  cr_assert(full.rows == 3 && full.cols == 5 && full.stride == 2 && full.weight_std == 1.5 && full.has_bias);
  cr_assert(full.bias_std == 0.25 && full.fixed && full.padding == NTK_PAD_SAME && !full.has_gamma);
  ntk_layer li = first_layer("conv255x1(gamma=3, circular) gap");
  cr_assert(li.rows == 255 && li.cols == 1 && li.has_gamma && li.gamma == 3 && li.padding == NTK_PAD_CIRCULAR);
  cr_assert(!li.has_bias);
  cr_assert_eq(first_layer("conv3(valid) gap").padding, NTK_PAD_VALID);
  cr_assert_eq(first_layer("conv3(zero) gap").padding, NTK_PAD_ZERO);
}

Test(network, dense_pooling_and_readout_options) {
  ntk_layer dense = first_layer("dense(W=2, b=3, fixed) dense");
  cr_assert(dense.kind == NTK_LAYER_DENSE && dense.weight_std == 2 && dense.bias_std == 3 && dense.has_bias);
  cr_assert(dense.fixed);
  ntk_layer pool = first_layer("avgpool3 gap");
  cr_assert(pool.kind == NTK_LAYER_AVGPOOL && pool.rows == 3 && pool.cols == 3 && pool.stride == 3);
  cr_assert(pool.padding == NTK_PAD_VALID && !pool.normalized);
  pool = first_layer("avgpool3(stride=2, same, normalized) gap");
  cr_assert(pool.stride == 2 && pool.padding == NTK_PAD_SAME && pool.normalized);
  cr_assert_eq(first_layer("avgpool3(circular) gap").padding, NTK_PAD_CIRCULAR);
  ntk_layer lap = first_layer("lap(12, circular)");
  cr_assert(lap.kind == NTK_LAYER_LAP && lap.pool == 12 && lap.pool_circular);
  lap = first_layer("lap(0)");
  cr_assert(lap.pool == 0 && !lap.pool_circular);
  cr_assert_eq(first_layer("flatten").kind, NTK_LAYER_FLATTEN);
  cr_assert_eq(first_layer("gap").kind, NTK_LAYER_GAP);
}

Test(network, activations_and_their_parameters) {
  static const struct {
    const char *text;
    ntk_activation activation;
    double params[3], factor;
    bool has_factor;
  } cases[] = {
      {"relu", NTK_ACT_RELU, {0}, 2, false},
      {"relu(c=2)", NTK_ACT_RELU, {0}, 2, false},
      {"relu(c=1)", NTK_ACT_RELU, {0}, 1, true},
      {"leaky(0.2)", NTK_ACT_LEAKY, {0.2}, 1, false},
      {"leaky(-.5, c=3)", NTK_ACT_LEAKY, {-0.5}, 3, true},
      {"abrelu(-0.3, 1.1)", NTK_ACT_ABRELU, {-0.3, 1.1}, 1, false},
      {"abrelu(c=2, -1, +1)", NTK_ACT_ABRELU, {-1, 1}, 2, true},
      {"abs", NTK_ACT_ABS, {0}, 1, false},
      {"abs(c=1)", NTK_ACT_ABS, {0}, 1, false},
      {"erf", NTK_ACT_ERF, {0}, 1, false},
      {"gelu", NTK_ACT_GELU, {0}, 1, false},
      {"sin", NTK_ACT_SIN, {1, 1, 0}, 1, false},
      {"sin(a=1.2, b=0.8, phase=0.3)", NTK_ACT_SIN, {1.2, 0.8, 0.3}, 1, false},
      {"cos(phase=-1)", NTK_ACT_COS, {1, 1, -1}, 1, false},
      {"rbf", NTK_ACT_RBF, {1}, 1, false},
      {"rbf(gamma=0.7)", NTK_ACT_RBF, {0.7}, 1, false},
      {"exp", NTK_ACT_EXP, {1}, 1, false},
      {"exp(b=-2)", NTK_ACT_EXP, {-2}, 1, false},
      {"sign", NTK_ACT_SIGN, {0}, 1, false},
      {"hermite(3)", NTK_ACT_HERMITE, {3}, 1, false},
      {"monomial(100, c=0.5)", NTK_ACT_MONOMIAL, {100}, 0.5, true},
      {"tanh", NTK_ACT_TANH, {0}, 1, false},
      {"sigmoid", NTK_ACT_SIGMOID, {0}, 1, false},
      {"silu", NTK_ACT_SILU, {0}, 1, false},
      {"swish(c=3)", NTK_ACT_SILU, {0}, 3, true},
      {"softplus", NTK_ACT_SOFTPLUS, {0}, 1, false},
      {"elu", NTK_ACT_ELU, {1}, 1, false},
      {"elu(a=0.7)", NTK_ACT_ELU, {0.7}, 1, false},
      {"selu", NTK_ACT_SELU, {0}, 1, false},
      {"expnorm", NTK_ACT_EXPNORM, {1}, 1, false},
      {"expnorm(g=0.5)", NTK_ACT_EXPNORM, {0.5}, 1, false},
      {"series(-2)", NTK_ACT_SERIES, {-2}, 1, false},
      {"series(1, c=2, 0.5, -3)", NTK_ACT_SERIES, {1, 0.5, -3}, 2, true},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ntk_layer layer = activation(cases[i].text);
    cr_assert_eq(layer.kind, NTK_LAYER_ACTIVATION);
    cr_assert_eq(layer.activation, cases[i].activation, "%s", cases[i].text);
    for (int k = 0; k < 3; k++) cr_assert_eq(layer.params[k], cases[i].params[k], "%s: %d", cases[i].text, k);
    cr_assert(layer.factor == cases[i].factor && layer.has_factor == cases[i].has_factor, "%s", cases[i].text);
    cr_assert(!layer.factor_auto);
  }
}

static double value(const ntk_layer *layer, double u) {
  const double *p = layer->params;
  switch (layer->activation) {
    case NTK_ACT_RELU: return u > 0 ? u : 0;
    case NTK_ACT_LEAKY: return u > 0 ? u : p[0] * u;
    case NTK_ACT_ABRELU: return u > 0 ? p[1] * u : p[0] * u;
    case NTK_ACT_ABS: return fabs(u);
    case NTK_ACT_ERF: return erf(u);
    case NTK_ACT_GELU: return u / 2 * erfc(-u / sqrt(2));
    case NTK_ACT_SIN: return p[0] * sin(p[1] * u + p[2]);
    case NTK_ACT_COS: return p[0] * cos(p[1] * u + p[2]);
    case NTK_ACT_RBF: return sqrt(2) * sin(sqrt(2 * p[0]) * u + M_PI / 4);
    case NTK_ACT_EXP: return exp(p[0] * u);
    case NTK_ACT_SIGN: return u > 0 ? 1 : u < 0 ? -1 : 0;
    case NTK_ACT_HERMITE: return (u * u * u - 3 * u) / sqrt(6); /* degree 3 */
    case NTK_ACT_MONOMIAL: return pow(u, p[0]);
    case NTK_ACT_TANH: return tanh(u);
    case NTK_ACT_SIGMOID: return 1 / (1 + exp(-u));
    case NTK_ACT_SILU: return u / (1 + exp(-u));
    case NTK_ACT_SOFTPLUS: return log(1 + exp(u));
    case NTK_ACT_ELU: return u > 0 ? u : p[0] * (exp(u) - 1);
    case NTK_ACT_SELU: return 1.0507009873554805 * (u > 0 ? u : 1.6732632423543772 * (exp(u) - 1));
    case NTK_ACT_SERIES: return p[0] + p[1] * u + p[2] * (u * u - 1) / sqrt(2) + p[3] * (u * u * u - 3 * u) / sqrt(6);
    case NTK_ACT_EXPNORM: break; /* no function */
  }
  return NAN;
}

/* c=auto against the trapezoid rule on s(u)^2. */
Test(network, automatic_factor_is_the_inverse_mean_square) {
  static const char *const names[] = {"relu(c=auto)",
                                      "leaky(0.2, c=auto)",
                                      "abrelu(-0.3, 1.1, c=auto)",
                                      "abs(c=auto)",
                                      "erf(c=auto)",
                                      "gelu(c=auto)",
                                      "sin(a=1.2, b=0.8, phase=0.3, c=auto)",
                                      "sin(b=0.01, c=auto)",
                                      "cos(a=2, b=0.5, phase=1, c=auto)",
                                      "rbf(gamma=0.7, c=auto)",
                                      "exp(b=0.5, c=auto)",
                                      "sign(c=auto)",
                                      "hermite(3, c=auto)",
                                      "monomial(4, c=auto)",
                                      "tanh(c=auto)",
                                      "sigmoid(c=auto)",
                                      "silu(c=auto)",
                                      "softplus(c=auto)",
                                      "elu(a=0.7, c=auto)",
                                      "selu(c=auto)",
                                      "series(0.5, -1, 0.25, 2, c=auto)"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    ntk_layer layer = activation(names[i]);
    double sum = 0, step = 1.0 / 1024;
    for (int n = -16 * 1024; n <= 16 * 1024; n++) {
      double u = n * step, s = value(&layer, u);
      sum += s * s * exp(-u * u / 2);
    }
    double expected = sqrt(2 * M_PI) / (sum * step);
    cr_assert(layer.factor_auto && layer.has_factor);
    double slack = layer.activation == NTK_ACT_SIGN ? 1e-3 : 1e-7; /* the rule is coarse at a jump */
    cr_assert_float_eq(layer.factor, expected, slack * expected, "%s: %.12g, not %.12g", names[i], layer.factor,
                       expected);
  }
}

Test(network, canonical_text) {
  assert_canonical("20*(conv3 relu) gap", "20*(conv3 relu) gap");
  assert_canonical("  3 * ( dense relu )dense\n", "3*(dense relu) dense");
  assert_canonical("conv3x3( W = 1.0 , b=.5,stride=1,zero)\trelu(c=2) gap", "conv3(b=0.5) relu gap");
  assert_canonical("conv3(b=0) conv3(gamma=0) conv5x3(W=-0) gap", "conv3 conv3 conv5x3(W=0) gap");
  assert_canonical("conv3 avgpool2(stride=2, valid) avgpool2(stride=1) gap", "conv3 avgpool2 avgpool2(stride=1) gap");
  assert_canonical("1*conv3 1*(conv3) (conv3 relu) gap", "conv3 (conv3) (conv3 relu) gap");
  assert_canonical("conv3 2*sum (id|relu conv3|conv1(same, fixed))gap",
                   "conv3 2*sum(id | relu conv3 | conv1(fixed, same)) gap");
  assert_canonical("dense abrelu(c=auto,1e0,-2) dense exp(b=1) dense sin(phase=0,b=2) dense",
                   "dense abrelu(1, -2, c=auto) dense exp dense sin(b=2) dense");
  assert_canonical("dense series(1,0.50,0,-0,0) dense series(0, 0) dense series(0,1,c=auto) dense",
                   "dense series(1, 0.5) dense series(0) dense series(0, 1, c=auto) dense");
  assert_canonical("dense series(0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1) dense",
                   "dense series(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1) dense");
  assert_canonical("dense swish dense elu(a=1) dense elu(a=2, c=auto) dense expnorm(g=1) dense",
                   "dense silu dense elu dense elu(a=2, c=auto) dense expnorm dense");
  assert_canonical("conv1 hermite(007) lap( circular , 3 )", "conv1 hermite(7) lap(3, circular)");
  assert_canonical("avgpool3(normalized, same, stride=2) flatten dense(fixed, b=1e-3)",
                   "avgpool3(stride=2, same, normalized) flatten dense(b=0.001, fixed)");
}

Test(network, numbers_print_back_exactly) {
  static const double numbers[] = {0.1,       1.0 / 3, 1e22,  1e23,      5e-324,           2.2250738585072014e-308,
                                   0.1 + 0.2, M_PI,    1e300, 123456789, 9007199254740991, 1.7976931348623157e308};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    char text[100];
    snprintf(text, sizeof text, "dense(W=%.17g)", numbers[i]);
    ntk_network *network = parse(text);
    cr_assert_eq(network->flat.items[0].weight_std, numbers[i]);
    cr_assert(ntk_test_round_trip(network), "%s", ntk_network_text(network));
    ntk_network_free(network);
  }
  assert_canonical("dense(W=0.1000, b=0.30000000000000004)", "dense(W=0.1, b=0.30000000000000004)");
  assert_canonical("dense(W=1e+05)", "dense(W=100000)");
}

Test(network, repeats_unroll_and_layers_are_numbered) {
  ntk_network *network = parse("conv1 2*(relu conv3 2*sum(id | relu conv3)) gap");
  /* conv1, then twice: relu, conv3, twice: sum with relu, conv3; gap; the implied dense */
  static const ntk_layer_kind kinds[] = {NTK_LAYER_CONV, NTK_LAYER_ACTIVATION, NTK_LAYER_CONV, NTK_LAYER_SUM,
                                         NTK_LAYER_SUM,  NTK_LAYER_ACTIVATION, NTK_LAYER_CONV, NTK_LAYER_SUM,
                                         NTK_LAYER_SUM,  NTK_LAYER_GAP,        NTK_LAYER_DENSE};
  static const int numbers[] = {1, 2, 3, 4, 7, 10, 11, 12, 15, 18, 19};
  static const int columns[] = {1, 10, 15, 23, 23, 10, 15, 23, 23, 45, 0};
  cr_assert_eq(network->flat.count, sizeof kinds / sizeof *kinds);
  for (size_t i = 0; i < network->flat.count; i++) {
    const ntk_layer *layer = &network->flat.items[i];
    cr_assert(layer->kind == kinds[i] && layer->number == numbers[i] && layer->repeat == 1, "layer %zu", i);
    cr_assert_eq(layer->column, columns[i], "layer %zu at %d", i, layer->column);
    if (layer->kind != NTK_LAYER_SUM) continue;
    cr_assert(layer->branch_count == 2 && layer->branches[0].count == 0 && layer->branches[1].count == 2);
    cr_assert_eq(layer->branches[1].items[0].number, numbers[i] + 1);
    cr_assert_eq(layer->branches[1].items[1].number, numbers[i] + 2);
  }
  cr_assert_eq(network->tree.count, 3);
  const ntk_layer *group = &network->tree.items[1];
  cr_assert(group->kind == NTK_LAYER_GROUP && group->repeat == 2 && group->number == 0 && group->branch_count == 1);
  cr_assert(group->branches[0].count == 3 && group->branches[0].items[2].repeat == 2);
  ntk_network_free(network);
}

Test(network, dense_is_implied_after_a_readout_only) {
  static const struct {
    const char *text;
    size_t layers;
    bool implied;
  } cases[] = {{"conv3 relu gap", 4, true},
               {"conv3 relu flatten dense", 4, false},
               {"conv3 relu gap dense(fixed)", 4, false},
               {"conv3 gap relu", 4, true},
               {"flatten", 2, true},
               {"flatten dense relu dense", 4, false},
               {"lap(2)", 2, true},
               {"dense", 1, false},
               {"dense relu dense", 3, false},
               {"sum(dense | dense relu dense) dense", 2, false}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ntk_network *network = parse(cases[i].text);
    const ntk_layer *last = &network->flat.items[network->flat.count - 1];
    cr_assert_eq(network->flat.count, cases[i].layers, "%s", cases[i].text);
    cr_assert_eq(last->kind, NTK_LAYER_DENSE);
    cr_assert_eq(last->column == 0, cases[i].implied, "%s", cases[i].text);
    cr_assert(last->weight_std == 1 && (!cases[i].implied || (!last->fixed && !last->has_bias)));
    cr_assert_str_eq(ntk_network_text(network), cases[i].text);
    ntk_network_free(network);
  }
}

Test(network, golden_networks_print_back) {
  const char *shared = ntk_test_shared_dir();
  if (!shared) cr_skip_test("no shared folder: set NTK_SHARED_DIR");
  char path[1024];
  snprintf(path, sizeof path, "%s/golden/index.json", shared);
  json_t *index = json_load_file(path, 0, NULL), *item;
  cr_assert(json_is_array(index) && json_array_size(index) > 40, "%s", path);
  size_t i;
  json_array_foreach(index, i, item) {
    const char *text = json_string_value(json_object_get(item, "network"));
    const json_t *sizes = json_object_get(item, "shape");
    int64_t size[4] = {0};
    for (size_t k = 0; k < json_array_size(sizes) && k < 4; k++) size[k] = json_integer_value(json_array_get(sizes, k));
    assert_canonical(text, text); /* the golden texts are canonical as they stand */
    ntk_network *network = parse(text);
    ntk_status status = ntk_network_check(network, (ntk_shape){size[1], size[2], size[3]});
    cr_assert_eq(status, NTK_OK, "%s: %s", text, ntk_last_error());
    ntk_network_free(network);
  }
  json_decref(index);
}

typedef struct writer {
  char text[8192];
  size_t length;
  uint32_t state;
} writer;

static uint32_t draw(writer *out, uint32_t count) {
  out->state = out->state * 1664525u + 1013904223u;
  return (out->state >> 8) % count;
}

static void write_word(writer *out, const char *word) {
  out->length += (size_t)snprintf(out->text + out->length, sizeof out->text - out->length, "%s", word);
}

static void write_spaces(writer *out, bool one) {
  write_word(out, draw(out, 3) == 0 ? "  " : one || draw(out, 2) == 0 ? " " : "");
}

/* Up to three of the options, in any order and spacing, each once. */
static void write_options(writer *out, const char *const *options, uint32_t count, bool must) {
  uint32_t wanted = draw(out, 4), used = 0, written = 0;
  for (uint32_t n = 0; n < wanted; n++) {
    uint32_t pick = draw(out, count);
    if (used & 1u << pick) continue;
    used |= 1u << pick;
    write_word(out, written++ > 0 || must ? "," : "(");
    write_spaces(out, false);
    write_word(out, options[pick]);
    if (options[pick][strlen(options[pick]) - 1] != '=') continue;
    char number[40];
    snprintf(number, sizeof number, "%.*g", 1 + (int)draw(out, 17),
             (1 + draw(out, 1000)) / 7.0 * pow(10, draw(out, 9)));
    write_word(out, number);
  }
  if (written > 0 || must) write_word(out, ")");
}

#define OPTIONS(...) (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)

static void write_activation(writer *out) {
  switch (draw(out, 6)) {
    case 0: write_word(out, "relu"), write_options(out, OPTIONS("c="), false); break;
    case 1: write_word(out, "leaky(-0.25"), write_options(out, OPTIONS("c=auto"), true); break;
    case 2: write_word(out, "abrelu( .5,1e-2"), write_options(out, OPTIONS("c="), true); break;
    case 3: write_word(out, "sin"), write_options(out, OPTIONS("a=", "b=", "phase=", "c="), false); break;
    case 4: write_word(out, "hermite(5"), write_options(out, OPTIONS("c=auto"), true); break;
    default: write_word(out, "gelu"), write_options(out, OPTIONS("c=auto"), false); break;
  }
  write_spaces(out, true);
}

static void write_conv(writer *out) {
  static const char *const names[] = {"conv1", "conv3", "conv5x1", "3*conv3", "2 * conv1x3"};
  write_word(out, names[draw(out, 5)]);
  write_options(out, OPTIONS("W=", "b=", "fixed", "stride=2", "circular"), false);
  write_spaces(out, true);
}

/* Layers that start and end Gaussian. */
static void write_blocks(writer *out, int depth) {
  for (uint32_t n = 1 + draw(out, 3); n > 0; n--) {
    uint32_t kind = draw(out, depth > 0 ? 4 : 2);
    if (kind == 3) write_word(out, "2*"), write_spaces(out, false);
    if (kind == 2) write_word(out, "sum(id |");
    if (kind == 3) write_word(out, "(");
    if (kind >= 2) {
      write_activation(out);
      write_conv(out);
      write_blocks(out, depth - 1);
      write_word(out, kind == 2 ? "| conv1)" : ")");
      continue;
    }
    if (kind == 1) write_word(out, "avgpool2"), write_options(out, OPTIONS("stride=1", "same", "normalized"), false);
    write_spaces(out, true);
    write_activation(out);
    write_conv(out);
  }
}

Test(network, random_texts_print_back) {
  static writer out;
  for (uint32_t seed = 1; seed <= 500; seed++) {
    out = (writer){.state = seed * 7919};
    write_conv(&out);
    write_blocks(&out, 3);
    write_word(&out, draw(&out, 2) ? " gap" : " lap(3) dense relu dense(b=2)");
    cr_assert_lt(out.length, sizeof out.text);
    ntk_network *network = parse(out.text);
    cr_assert(ntk_test_round_trip(network), "'%s' gives '%s'", out.text, ntk_network_text(network));
    ntk_network_free(network);
  }
}

/* A locale with a decimal comma: an installed one, else one compiled for this test. */
static bool set_comma_locale(char folder[64]) {
  static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "ru_RU.UTF-8", "nl_NL.UTF-8"};
  char command[200];
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (setlocale(LC_ALL, names[i]) && localeconv()->decimal_point[0] == ',') return true;
  strcpy(folder, "/tmp/ntk-locale-XXXXXX");
  if (!mkdtemp(folder)) return false;
  snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 >/dev/null 2>&1", folder);
  if (system(command) != 0) return false;
  setenv("LOCPATH", folder, 1);
  return setlocale(LC_ALL, "de_DE.UTF-8") && localeconv()->decimal_point[0] == ',';
}

Test(network, a_decimal_comma_in_the_locale_changes_nothing) {
  char folder[64] = "", command[100];
  bool comma = set_comma_locale(folder);
  if (comma) {
    cr_assert_float_eq(strtod("1,5", NULL), 1.5, 0); /* the locale is in force */
    locale_t before = uselocale((locale_t)0);
    assert_canonical("dense(W=1.5, b=0.1) leaky(0.25) dense", "dense(W=1.5, b=0.1) leaky(0.25) dense");
    ntk_network *network;
    cr_assert_eq(ntk_network_parse("dense(W=1,5)", &network), NTK_ERROR_NETWORK);
    cr_assert_eq(uselocale((locale_t)0), before);
    setlocale(LC_ALL, "C");
  }
  snprintf(command, sizeof command, "rm -rf '%s'", folder);
  if (folder[0]) cr_assert_eq(system(command), 0);
  if (!comma) cr_skip_test("no locale with a decimal comma here, and localedef cannot make one");
}

Test(network, null_pointers) {
  ntk_network *network = (ntk_network *)1;
  double scale;
  ntk_shape shape = {3, 8, 8};
  cr_assert_eq(ntk_network_parse(NULL, &network), NTK_ERROR_ARGUMENT);
  cr_assert_null(network);
  cr_assert_eq(ntk_network_parse("gap", NULL), NTK_ERROR_ARGUMENT);
  cr_assert_eq(ntk_network_check(NULL, shape), NTK_ERROR_ARGUMENT);
  cr_assert_eq(ntk_network_scale(NULL, shape, &scale), NTK_ERROR_ARGUMENT);
  cr_assert_null(ntk_network_text(NULL));
  cr_assert_null(ntk_network_preset(NULL));
  ntk_network_free(NULL);
}
