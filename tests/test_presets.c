/* Presets: the texts they stand for, their scale factors, and numbers that name no network. */
#include <criterion/criterion.h>
#include <math.h>
#include <ntk/network.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/compare_network.h"

static ntk_network *parse(const char *text) {
  ntk_network *network;
  ntk_status status = ntk_network_parse(text, &network);
  cr_assert_eq(status, NTK_OK, "'%s': %s", text, ntk_last_error());
  return network;
}

#define RESNET_DOWN "relu sum(conv1(stride=2, same) | conv3(stride=2, same) relu conv3) "
#define WIDE(stride) "sum(conv3" stride " | relu conv3" stride " relu conv3) "
#define RESNET_BLOCK "sum(id | relu conv3 relu conv3) "

/* The scale is for 3 x 32 x 32 images, or vectors of 96 numbers. */
static const struct {
  const char *name, *text;
  double scale;
} expected[] = {
    {"cntk-2-v", "conv3 relu flatten", 3072},
    {"cntk-3-v", "2*(conv3 relu) flatten", 3072},
    {"cntk-21-v", "20*(conv3 relu) flatten", 3072},
    {"cntk-2-gap", "conv3(fixed) relu gap dense(fixed)", 3},
    {"cntk-3-gap", "conv3(fixed) relu conv3 relu gap dense(fixed)", 3},
    {"cntk-11-gap", "conv3(fixed) relu 9*(conv3 relu) gap dense(fixed)", 3},
    {"cnngp-11-v", "10*(conv3 relu) flatten", 3072},
    {"cnngp-21-gap", "conv3(fixed) relu 19*(conv3 relu) gap dense(fixed)", 3},
    {"lap-14-12", "14*(conv3 relu) lap(12)", 3072},
    {"lap-1-0", "conv3 relu lap(0)", 3072},
    {"lap-14-12-bias", "14*(conv3(gamma=3) relu) lap(12)", 3072},
    {"fc-0", "dense", 1},
    {"fc-3", "3*(dense relu) dense", 1},
    {"uci-0-0", "dense", 3072},
    {"uci-3-0", "3*(dense relu) dense", 384},
    {"uci-3-1", "dense(fixed) relu 2*(dense relu) dense", 384},
    {"uci-4-4", "4*(dense(fixed) relu) dense", 192},
    {"myrtle5", "2*(conv3 relu) avgpool2 conv3 relu avgpool2 conv3 relu 3*avgpool2 flatten", 1},
    {"myrtle7", "2*(conv3 relu) avgpool2 2*(conv3 relu) avgpool2 2*(conv3 relu) 3*avgpool2 flatten", 1},
    {"myrtle10", "3*(conv3 relu) avgpool2 3*(conv3 relu) avgpool2 3*(conv3 relu) 3*avgpool2 flatten", 1},
    {"myrtle5-ck", "2*(conv3 relu) avgpool2 conv3 relu avgpool2 conv3 relu gap dense relu dense", 1},
    {"myrtle10-gaussian", "3*(conv3 expnorm) avgpool2 3*(conv3 expnorm) avgpool2 3*(conv3 expnorm) gap dense expnorm dense", 1},
    {"wide-resnet-10", "conv3 " WIDE("") WIDE("(stride=2, same)") WIDE("(stride=2, same)") "gap", 1},
    {"wide-resnet-28",
     "conv3 " WIDE("") "3*" RESNET_BLOCK WIDE("(stride=2, same)") "3*" RESNET_BLOCK WIDE(
         "(stride=2, same)") "3*" RESNET_BLOCK "gap",
     1},
    {"resnet-8", "conv3 " RESNET_BLOCK RESNET_DOWN RESNET_DOWN "relu gap", 1},
    {"resnet-14", "conv3 2*" RESNET_BLOCK RESNET_DOWN RESNET_BLOCK RESNET_DOWN RESNET_BLOCK "relu gap", 1},
    {"resnet-20", "conv3 3*" RESNET_BLOCK RESNET_DOWN "2*" RESNET_BLOCK RESNET_DOWN "2*" RESNET_BLOCK "relu gap", 1},
};

Test(presets, texts_and_scales) {
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
    ntk_network *network = parse(expected[i].name);
    cr_assert_str_eq(ntk_network_text(network), expected[i].text);
    cr_assert_str_eq(ntk_network_preset(network), expected[i].name);
    cr_assert(ntk_test_round_trip(network));
    double scale = 0;
    cr_assert_eq(ntk_network_scale(network, (ntk_shape){3, 32, 32}, &scale), NTK_OK);
    cr_assert_float_eq(scale, expected[i].scale, 0, "%s: %g", expected[i].name, scale);
    ntk_network_free(network);
  }
}

static size_t count_weights(const ntk_layers *layers) {
  size_t count = 0;
  for (size_t i = 0; i < layers->count; i++) {
    const ntk_layer *layer = &layers->items[i];
    bool shortcut = layer->kind == NTK_LAYER_CONV && layer->rows == 1;
    count += (layer->kind == NTK_LAYER_CONV && !shortcut) || layer->kind == NTK_LAYER_DENSE;
    for (size_t j = 0; j < layer->branch_count; j++) count += count_weights(&layer->branches[j]);
  }
  return count;
}

/* Every family's depth counts what its paper counts. */
Test(presets, depths_count_layers) {
  static const struct {
    const char *name;
    size_t weights;
  } cases[] = {{"cntk-11-v", 11}, {"cntk-11-gap", 11}, {"cnngp-21-gap", 21},  {"lap-14-4", 15},         {"fc-5", 6},
               {"uci-4-2", 5},    {"myrtle5", 5},      {"myrtle7", 7},        {"myrtle10", 10},         {"resnet-8", 8},
               {"resnet-20", 20}, {"resnet-56", 56},   {"resnet-6002", 6002}, {"cntk-10000-gap", 10000}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ntk_network *network = parse(cases[i].name);
    cr_assert_eq(count_weights(&network->flat), cases[i].weights, "%s", cases[i].name);
    ntk_network_free(network);
  }
}

/* The networks that other libraries' values exist for, written out. */
Test(presets, same_layers_as_written_out) {
  static const char *const pairs[][2] = {
      {"myrtle5", "conv3 relu conv3 relu avgpool2 conv3 relu avgpool2 conv3 relu avgpool2 avgpool2 avgpool2 flatten"},
      {"cntk-4-gap", "conv3(fixed) relu 2*(conv3 relu) gap dense(fixed)"},
      {"uci-2-1", "dense(fixed) relu dense relu dense"}};
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    ntk_network *a = parse(pairs[i][0]), *b = parse(pairs[i][1]);
    double scale = 0;
    cr_assert(ntk_test_same_layers(&a->flat, &b->flat), "%s", pairs[i][0]);
    cr_assert_null(ntk_network_preset(b));
    cr_assert_eq(ntk_network_scale(b, (ntk_shape){3, 8, 8}, &scale), NTK_OK);
    cr_assert_float_eq(scale, 1, 0); /* a written network is generic, whatever it looks like */
    ntk_network_free(a);
    ntk_network_free(b);
  }
}

Test(presets, scales_of_other_shapes) {
  double scale = 0;
  ntk_network *network = parse("uci-3-1");
  cr_assert_eq(ntk_network_scale(network, (ntk_shape){10, 0, 0}, &scale), NTK_OK);
  cr_assert_float_eq(scale, 10.0 / 8, 0);
  cr_assert_eq(ntk_network_scale(network, (ntk_shape){10, 0, 0}, NULL), NTK_ERROR_ARGUMENT);
  ntk_network_free(network);
  network = parse("uci-1000-0");
  cr_assert_eq(ntk_network_scale(network, (ntk_shape){1, 0, 0}, &scale), NTK_OK);
  cr_assert_float_eq(scale, ldexp(1, -1000), 0);
  ntk_network_free(network);
  network = parse("cntk-3-v");
  cr_assert_eq(ntk_network_scale(network, (ntk_shape){2, 4, 5}, &scale), NTK_OK);
  cr_assert_float_eq(scale, 40, 0);
  cr_assert_eq(ntk_network_scale(network, (ntk_shape){10, 0, 0}, &scale), NTK_ERROR_ARGUMENT);
  cr_assert_not_null(strstr(ntk_last_error(), "preset 'cntk-3-v' is for images"));
  ntk_network_free(network);
}

Test(presets, spaces_around_a_name) {
  ntk_network *network = parse("  cntk-11-gap\n");
  cr_assert_str_eq(ntk_network_preset(network), "cntk-11-gap");
  ntk_network_free(network);
}

Test(presets, numbers_that_name_no_network) {
  static const struct {
    const char *name, *reason;
  } cases[] = {
      {"cntk-1-gap",
       "'cntk-1-gap' (cntk-<depth>-gap) needs a number from 2 to 10000: the depth counts the convolutions"},
      {"cntk-0-v", "needs a number from 2 to 10000"},
      {"cntk-10001-v", "needs a number from 2 to 10000"},
      {"cntk-99999999999999999999-v", "needs a number from 2 to 10000"},
      {"cnngp-1-v", "needs a number from 2"},
      {"lap-0-4", "needs a number from 1 to 10000: the first number counts the convolutions"},
      {"lap-4-10001", "needs a number from 0 to 10000: the second number is the c of lap(c)"},
      {"fc-10001", "L counts the hidden layers"},
      {"uci-2-5", "fixes 5 layers, but at most L = 2 can be fixed"},
      {"uci-1001-0", "needs a number from 0 to 1000"},
      {"resnet-19", "n is 6 m + 2, the nearest are resnet-14 and resnet-20"},
      {"resnet-2", "needs a number from 8 to 6002"},
      {"resnet-6008", "needs a number from 8 to 6002"},
      {"cntk-21", "unknown preset 'cntk-21': the presets are cntk-<depth>-v, cntk-<depth>-gap, "},
      {"cntk-21-lap", "did you mean 'cntk-<depth>-"},
      {"cntk-021-gap", "did you mean 'cntk-<depth>-gap'?"},
      {"cntk--3-gap", "unknown preset"},
      {"cntk-21-gap-", "did you mean 'cntk-<depth>-gap'?"},
      {"CNTK-21-GAP", "names are in lower case; "},
      {"myrtle6", "did you mean 'myrtle5'?"},
      {"myrtle", "did you mean 'myrtle5'?"},
      {"resnet20", "did you mean 'resnet-<n>'?"},
      {"fc-", "did you mean 'fc-<L>'?"},
      {"conv3-relu", "unknown preset 'conv3-relu'"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ntk_network *network;
    char text[100];
    snprintf(text, sizeof text, " %s", cases[i].name);
    cr_assert_eq(ntk_network_parse(text, &network), NTK_ERROR_NETWORK, "%s was accepted", cases[i].name);
    const char *message = ntk_last_error();
    cr_assert(strncmp(message, "layer 1, column 2: ", 19) == 0, "%s", message);
    cr_assert_not_null(strstr(message, cases[i].reason), "%s: %s", cases[i].name, message);
  }
}

Test(presets, are_listed) {
  cr_assert_eq(ntk_preset_count(), 15);
  for (size_t i = 0; i < ntk_preset_count(); i++) {
    cr_assert_not_null(ntk_preset_pattern(i));
    cr_assert_gt(strlen(ntk_preset_description(i)), 30);
    cr_assert_not_null(strstr(ntk_preset_description(i), "scale "), "%s", ntk_preset_pattern(i));
  }
  cr_assert_str_eq(ntk_preset_pattern(1), "cntk-<depth>-gap");
  cr_assert_null(ntk_preset_pattern(15));
  cr_assert_null(ntk_preset_description(15));
}
