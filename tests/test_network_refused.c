/* Network texts that are refused, with the exact place, and the limits. */
#include <criterion/criterion.h>
#include <ntk/network.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/compare_network.h"

typedef struct refusal {
  const char *text;
  int layer, column;
  const char *reason; /* part of the message */
} refusal;

static void assert_refused(const char *text, int layer, int column, const char *reason) {
  ntk_network *network = (ntk_network *)1;
  char place[60];
  cr_assert_eq(ntk_network_parse(text, &network), NTK_ERROR_NETWORK, "'%.200s' was accepted", text);
  cr_assert_null(network);
  snprintf(place, sizeof place, "layer %d, column %d: ", layer, column);
  const char *message = ntk_last_error();
  cr_assert(strncmp(message, place, strlen(place)) == 0, "'%.200s': %s, expected %s", text, message, place);
  cr_assert_not_null(strstr(message, reason), "'%.200s': %s, expected '%s'", text, message, reason);
}

static void assert_all_refused(const refusal *cases, size_t count) {
  for (size_t i = 0; i < count; i++) assert_refused(cases[i].text, cases[i].layer, cases[i].column, cases[i].reason);
}

#define ASSERT_ALL_REFUSED(cases) assert_all_refused(cases, sizeof(cases) / sizeof *(cases))

Test(refused, unknown_layers) {
  static const refusal cases[] = {
      {"conv3 relu maxpool2 gap", 3, 12,
       "'maxpool2': max pooling has no exact kernel; the layers are conv, dense, relu, "},
      {"conv3 relu maxpool2 gap", 3, 12, "did you mean 'avgpool2'?"},
      {"conv3 relu max_pool gap", 3, 12, "did you mean 'avgpool2'?"},
      {"conv3 batchnorm relu gap", 2, 7, "a normalisation layer has no exact kernel"},
      {"conv3 BatchNorm2 relu gap", 2, 7, "a normalisation layer has no exact kernel"},
      {"conv3 layernorm relu gap", 2, 7, "a normalisation layer has no exact kernel"},
      {"dense relu dense softmax", 4, 18, "softmax has no exact kernel"},
      {"dense relu dropout dense", 3, 12, "dropout has no exact kernel"},
      {"dense mish dense", 2, 7, "this activation's kernel is not computed here; the layers are conv, dense"},
      {"dense mish dense", 2, 7, "did you mean 'silu'?"},
      {"dense logistic dense", 2, 7, "did you mean 'sigmoid'?"},
      {"dense tanhh dense", 2, 7, "did you mean 'tanh'?"},
      {"dense serie(1) dense", 2, 7, "did you mean 'series(0, 1, 0.5)'?"},
      {"3*(conv3 rleu) gap", 2, 10,
       "unknown layer 'rleu': the layers are conv, dense, relu, leaky, abrelu, abs, erf, "
       "gelu, sin, cos, rbf, exp, sign, hermite, monomial, tanh, sigmoid, silu, swish, softplus, elu, selu, series, "
       "expnorm, avgpool, sum, flatten, gap, lap; did you mean 'relu'?"},
      {"cnov3 gap", 1, 1, "did you mean 'conv3'?"},
      {"relu6 gap", 1, 1, "did you mean 'relu'?"},
      {"dence", 1, 1, "did you mean 'dense'?"},
      {"conv3 leakyrelu(0.1) gap", 2, 7, "did you mean 'leaky(0.1)'?"},
      {"linear", 1, 1, "did you mean 'dense'?"},
      {"fc3", 1, 1, "did you mean 'dense'?"},
      {"Conv3 gap", 1, 1, "names are in lower case; did you mean 'conv3'?"},
      {"conv3 RELU gap", 2, 7, "names are in lower case; did you mean 'relu'?"},
      {"conv3 Sum(id | conv3) gap", 2, 7, "did you mean 'sum'?"},
      {"conv3 sum2(id | conv3) gap", 2, 7, "unknown layer 'sum2'"},
      {"gap conv3relu", 2, 5, "'conv3relu' has no readable filter size"},
      {"conv3 fixed gap", 2, 7, "'fixed' is an option"},
      {"conv3 (fixed) gap", 2, 8, "'fixed' is an option"},
      {"conv3 stride=2 gap", 2, 7, "'stride' is an option"},
      {"conv3 id gap", 2, 7, "'id' can only be a whole branch"},
      {"qwertyuiopasdfghjklzxcvbnmqwertyuiopasdfghjklzxcvbnm", 1, 1,
       "unknown layer 'qwertyuiopasdfghjklzxcvbnmqwertyuiopasdfghjk...': the"},
      {"conv3 \xc3\xbc gap", 1, 7, "unexpected byte 0xC3"},
      {"conv3\x01 gap", 1, 6, "unexpected byte 0x01"},
      {"conv3 ; gap", 1, 7, "unexpected ';'"},
      {"", 1, 1, "empty"},
      {" \n ", 1, 1, "empty"},
  };
  ASSERT_ALL_REFUSED(cases);
}

Test(refused, sizes_in_names) {
  static const refusal cases[] = {
      {"conv3 conv4 gap", 2, 7, "even filter size, 4: a filter needs a centre, so take 3 or 5"},
      {"conv3x2 gap", 1, 1, "even filter size, 2"},
      {"conv gap", 1, 1, "needs the filter size"},
      {"conv(fixed) gap", 1, 1, "needs the filter size"},
      {"conv0 gap", 1, 1, "filter size 0"},
      {"conv257 gap", 1, 1, "odd numbers from 1 to 255"},
      {"conv256 gap", 1, 1, "odd numbers from 1 to 255"},
      {"conv99999999999 gap", 1, 1, "no readable filter size"},
      {"conv3x gap", 1, 1, "no readable filter size"},
      {"conv3x3x3 gap", 1, 1, "no readable filter size"},
      {"conv2d gap", 1, 1, "no readable filter size"},
      {"conv3 avgpool gap", 2, 7, "needs the window size"},
      {"conv3 avgpool0 gap", 2, 7, "from 1 to 10000"},
      {"conv3 avgpool10001 gap", 2, 7, "from 1 to 10000"},
      {"conv3 avgpool2x2 gap", 2, 7, "no readable window size"},
  };
  ASSERT_ALL_REFUSED(cases);
}

Test(refused, options) {
  static const refusal cases[] = {
      {"conv3(stride=0) gap", 1, 14, "must be from 1 to 10000"},
      {"conv3(stride=10001) gap", 1, 14, "must be from 1 to 10000"},
      {"conv3(stride=99999999999999999999) gap", 1, 14, "must be from 1 to 10000"},
      {"conv3(stride=-1) gap", 1, 14, "must be from 1 to 10000"},
      {"conv3(stride=1.5) gap", 1, 14, "whole number from 1 to 10000, not '1.5'"},
      {"conv3(stride=) gap", 1, 14, "needs a whole number"},
      {"conv3(W=-1) gap", 1, 9, "must not be negative"},
      {"conv3(b = -1e-300) gap", 1, 11, "must not be negative"},
      {"conv3(gamma=-3) gap", 1, 13, "must not be negative"},
      {"conv3(W=1e309) gap", 1, 9, "a double cannot hold"},
      {"conv3(W=1e-400) gap", 1, 9, "a double cannot hold"},
      {"conv3(W=nan) gap", 1, 9, "needs a decimal number"},
      {"conv3(W=inf) gap", 1, 9, "needs a decimal number"},
      {"conv3(W=0x1p3) gap", 1, 9, "needs a decimal number"},
      {"conv3(W=1,5) gap", 1, 11, "'conv3' takes no value without a key"},
      {"conv3(W=1.5.2) gap", 1, 9, "needs a decimal number"},
      {"conv3(W=1e) gap", 1, 9, "needs a decimal number"},
      {"conv3(W=.) gap", 1, 9, "needs a decimal number"},
      {"conv3(W=) gap", 1, 9, "needs a number"},
      {"conv3(W=0.00000000000000000000000000000000000000000000000000000000000000001) gap", 1, 9, "more than 64"},
      {"conv3(W) gap", 1, 7, "'W' needs a value"},
      {"conv3(w=1) gap", 1, 7, "did you mean 'W'?"},
      {"conv3(W_std=1) gap", 1, 7, "did you mean 'W'?"},
      {"conv3(strid=2) gap", 1, 7,
       "takes stride=, W=, b=, gamma=, fixed, width=, zero, circular, valid, same; did you mean "
       "'stride'?"},
      {"conv3(padding=same) gap", 1, 7, "did you mean 'same'?"},
      {"conv3(normalized) gap", 1, 7, "unknown option 'normalized' of 'conv3'"},
      {"conv3(zero, same) gap", 1, 13, "two paddings"},
      {"conv3(same, same) gap", 1, 13, "twice"},
      {"conv3(W=1, W=1) gap", 1, 12, "the option 'W' twice"},
      {"conv3(fixed, stride=2, fixed) gap", 1, 24, "the option 'fixed' twice"},
      {"conv3(fixed=1) gap", 1, 12, "'fixed' takes no value"},
      {"conv3(circular = true) gap", 1, 16, "'circular' takes no value"},
      {"conv3(b=1, gamma=2) gap", 1, 12, "both b and gamma"},
      {"conv3(gamma=2, b=0) gap", 1, 16, "both b and gamma"},
      {"conv3() gap", 1, 6, "empty"},
      {"conv3(fixed,) gap", 1, 13, "an option of 'conv3' should stand here, not ')'"},
      {"conv3(,fixed) gap", 1, 7, "an option of 'conv3' should stand here, not ','"},
      {"conv3(fixed circular) gap", 1, 13, "',' or ')' should follow"},
      {"conv3(fixed gap", 1, 13, "',' or ')' should follow"},
      {"conv3(fixed, gap", 1, 14, "is a ')' missing before it?"},
      {"conv3(fixed", 1, 6, "the '(' of 'conv3' is never closed"},
      {"conv3(fixed, ", 1, 6, "never closed"},
      {"conv3(", 1, 6, "never closed"},
      {"conv3(W=", 1, 9, "needs a number"},
      {"dense(gamma=1)", 1, 7, "unknown option 'gamma' of 'dense', which takes W=, b=, fixed"},
      {"dense(stride=1)", 1, 7, "unknown option 'stride' of 'dense'"},
      {"dense(1.5)", 1, 7, "'dense' takes no value without a key"},
      {"conv3 gap(2)", 2, 11, "'gap' takes no value"},
      {"conv3 flatten(circular)", 2, 15, "'flatten' has no options"},
      {"avgpool2(zero) gap", 1, 10, "unknown option 'zero'"},
      {"avgpool2(W=1) gap", 1, 10, "takes stride=, valid, same, circular, normalized"},
      {"avgpool2(valid, circular) gap", 1, 17, "two paddings"},
      {"avgpool2(stride=0) gap", 1, 17, "must be from 1 to 10000"},
  };
  ASSERT_ALL_REFUSED(cases);
}

Test(refused, values_of_activations_and_lap) {
  static const refusal cases[] = {
      {"dense leaky dense", 2, 7, "needs a value: write leaky(0.1)"},
      {"dense leaky (0.2) dense", 2, 7, "with no space before the '('"},
      {"dense leaky(a=0.2) dense", 2, 13, "unknown option 'a' of 'leaky', which takes a number, c="},
      {"dense leaky(1, 2) dense", 2, 16, "takes only one value"},
      {"dense abrelu(1) dense", 2, 7, "needs two values"},
      {"dense abrelu(1, 2, 3) dense", 2, 20, "takes only two values"},
      {"dense leaky(1e400) dense", 2, 13, "a double cannot hold"},
      {"dense relu(2) dense", 2, 12, "takes no value without a key"},
      {"dense relu(c=0) dense", 2, 14, "greater than 0"},
      {"dense relu(c=-1) dense", 2, 14, "greater than 0"},
      {"dense relu(c=Auto) dense", 2, 14, "a number or 'auto'"},
      {"dense relu(c=1, c=auto) dense", 2, 17, "twice"},
      {"dense relu(W=1) dense", 2, 12, "unknown option 'W'"},
      {"dense abrelu(0, 0, c=auto) dense", 2, 22, "that mean square is 0"},
      {"dense sin(b=0, c=auto) dense", 2, 18, "that mean square is 0"},
      {"dense exp(c=auto, b=100) dense", 2, 13, "too large"},
      {"dense rbf(gamma=0) dense", 2, 17, "greater than 0"},
      {"dense rbf(0.5) dense", 2, 11, "takes no value without a key"},
      {"dense sin(gamma=1) dense", 2, 11, "takes a=, b=, phase=, c="},
      {"dense hermite dense", 2, 7, "needs a value"},
      {"dense hermite(101) dense", 2, 15, "must be from 0 to 100"},
      {"dense monomial(-1) dense", 2, 16, "must be from 0 to 100"},
      {"dense monomial(2.0) dense", 2, 16, "whole number"},
      {"dense tanh(2) dense", 2, 12, "takes no value without a key"},
      {"dense elu(0.5) dense", 2, 11, "takes no value without a key"},
      {"dense elu(alpha=0.5) dense", 2, 11, "unknown option 'alpha' of 'elu', which takes a=, c="},
      {"dense expnorm(g=-1) dense", 2, 17, "must not be negative"},
      {"dense series dense", 2, 7, "'series' needs a value: write series(0, 1, 0.5)"},
      {"dense series() dense", 2, 13, "the parentheses of 'series' are empty"},
      {"dense series(c=2) dense", 2, 7, "needs a value"},
      {"dense series(1, x) dense", 2, 17, "unknown option 'x' of 'series'"},
      {"dense series(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1) dense", 2, 46, "'series' takes at most 16 values"},
      {"dense series(0, 0, c=auto) dense", 2, 22, "that mean square is 0"},
      {"conv3 lap", 2, 7, "needs a value: write lap(4)"},
      {"conv3 lap(circular)", 2, 7, "needs a value"},
      {"conv3 lap(-1)", 2, 11, "must be from 0 to 10000"},
      {"conv3 lap(10001)", 2, 11, "must be from 0 to 10000"},
      {"conv3 lap(1, 2)", 2, 14, "takes only one value"},
      {"conv3 lap(1, zero)", 2, 14, "unknown option 'zero' of 'lap', which takes a number, circular"},
  };
  ASSERT_ALL_REFUSED(cases);
}

Test(refused, repeats_and_parentheses) {
  static const refusal cases[] = {
      {"3*(conv3 relu gap", 1, 3, "never closed"},
      {"conv3 3*(relu (conv3 relu) gap", 2, 9, "never closed"},
      {"3*(conv3 relu)) gap", 6, 15, "this ')' closes nothing"},
      {") gap", 1, 1, "this ')' closes nothing"},
      {"() gap", 1, 1, "hold no layer"},
      {"conv3 2*( ) gap", 1, 9, "hold no layer"},
      {"3 conv3 gap", 1, 1, "needs a '*'"},
      {"conv3 3", 1, 7, "needs a '*'"},
      {"0*conv3 gap", 1, 1, "must be from 1 to 10000"},
      {"10001*conv3 gap", 1, 1, "must be from 1 to 10000"},
      {"2.5*conv3 gap", 1, 1, "whole number"},
      {"-2*conv3 gap", 1, 1, "unexpected '-'"},
      {"3*3*conv3 gap", 1, 3, "one repeat count"},
      {"3*", 1, 3, "must follow the repeat count"},
      {"conv3 3* ) gap", 1, 10, "must follow the repeat count"},
      {"conv3*3 gap", 1, 6, "unexpected '*'"},
      {"conv3, relu gap", 1, 6, "separated by spaces"},
      {"conv3 | relu gap", 1, 7, "'|' separates the branches of a sum"},
      {"(conv3 | relu) gap", 1, 8, "'|' separates the branches of a sum"},
      {"conv3 relu gap |", 3, 16, "'|' separates the branches of a sum"},
      {"cntk-21-gap relu", 1, 5, "the name of a preset, it must stand alone"},
  };
  ASSERT_ALL_REFUSED(cases);
}

Test(refused, sums) {
  static const refusal cases[] = {
      {"conv3 sum gap", 2, 7, "needs its branches"},
      {"conv3 sum() gap", 2, 11, "branch 1 of the sum is empty: write 'id'"},
      {"conv3 sum(conv3) gap", 2, 7, "one branch"},
      {"conv3 sum(id) gap", 2, 7, "one branch"},
      {"conv3 sum(conv3 | ) gap", 3, 19, "branch 2 of the sum is empty"},
      {"conv3 sum( | conv3) gap", 2, 12, "branch 1 of the sum is empty"},
      {"conv3 sum(conv3 | conv3", 2, 10, "never closed"},
      {"conv3 sum(id", 2, 10, "never closed"},
      {"conv3 sum(", 2, 10, "never closed"},
      {"conv3 sum(conv3 |", 2, 10, "never closed"},
      {"conv3 sum(id relu conv3 | conv3) gap", 3, 11, "'id' can only be a whole branch"},
      {"conv3 sum(conv3 id | conv3) gap", 4, 17, "'id' can only be a whole branch"},
      {"conv3 sum(2*id | conv3) gap", 3, 13, "'id' can only be a whole branch"},
      {"conv3 sum((id) | conv3) gap", 3, 12, "'id' can only be a whole branch"},
      {"conv3 sum(conv3 relu | id) gap", 4, 17,
       "branch 1 of the sum ends in 'relu', whose outputs are not Gaussian: put "
       "conv1 behind it"},
      {"conv3 sum(id | relu) gap", 3, 16, "branch 2 of the sum ends in 'relu'"},
      {"conv3 sum(id | conv3 relu avgpool2(same, stride=1)) gap", 5, 27, "branch 2 of the sum ends in 'avgpool2'"},
      {"dense sum(id | relu) dense", 3, 16, "put dense behind it"},
      {"conv3 relu sum(conv3 | id) gap", 3, 12,
       "branch 2 of the sum, 'id', gives the outputs of the activation of layer "
       "2, which are not Gaussian: put conv1"},
      {"sum(id | conv3) gap", 1, 1, "is the input itself"},
      {"conv3 sum(id | id) gap", 2, 7, "branches 1 and 2 of the sum both pass on its input without weights"},
      {"conv3 sum(conv3 | id | avgpool1) gap", 2, 7, "branches 2 and 3"},
      {"conv3 sum(id | sum(relu conv3 | id)) gap", 2, 7, "branches 1 and 2"},
      {"conv3 sum(conv3 gap | conv3) gap", 4, 17, "the readout 'gap' stands inside a sum"},
      {"conv3 sum(dense | conv3) gap", 3, 11, "'dense' stands before the readout"},
      {"conv3 relu gap sum(dense | dense)", 4, 16, "'sum' stands after the readout of layer 3"},
      {"flatten sum(dense | dense)", 2, 9, "only dense layers and activations may follow"},
  };
  ASSERT_ALL_REFUSED(cases);
}

Test(refused, orders_of_layers) {
  static const refusal cases[] = {
      {"relu conv3 gap", 1, 1,
       "the activation 'relu' would act on the input itself, which is not Gaussian: put conv1 "
       "before it"},
      {"relu dense", 1, 1, "put dense before it"},
      {"avgpool2 relu conv3 gap", 2, 10, "put conv1 before it"},
      {"gap relu dense", 2, 5, "put dense before it"},
      {"conv3 relu erf gap", 3, 12, "would act on the outputs of the activation 'relu' of layer 2"},
      {"conv3 relu erf gap", 3, 12, "put conv1 between them"},
      {"2*(conv3 2*relu) gap", 3, 12, "put conv1 between them"},
      {"conv3 relu avgpool2 relu gap", 4, 21, "put conv1 between them"},
      {"dense relu leaky(0.1) dense", 3, 12, "put dense between them"},
      {"conv3 relu gap relu dense", 4, 16, "put dense between them"},
      {"conv3 sum(id | relu erf conv3) gap", 4, 21, "of layer 3, which are not Gaussian"},
      {"conv3 relu sum(relu conv3 | conv3) gap", 4, 16, "of layer 2, which are not Gaussian"},
      {"conv3 flatten relu dense", 3, 15, "right behind the readout of layer 2: put dense between them"},
      {"conv3 lap(2) relu dense", 3, 14, "right behind the readout of layer 2"},
      {"flatten relu dense", 2, 9, "right behind the readout of layer 1"},
      {"conv3 relu", 2, 7, "ends in 'relu' without a readout: put flatten, gap or lap(c) behind it"},
      {"avgpool2", 1, 1, "without a readout"},
      {"conv3 relu dense", 3, 12, "'dense' stands before the readout: write conv1"},
      {"conv3 dense relu gap", 2, 7, "'dense' stands before the readout"},
      {"dense relu conv3 gap", 1, 1, "'dense' stands before the readout"},
      {"dense relu lap(2)", 3, 12, "the dense layer 1 has made it a vector"},
      {"dense relu dense gap", 4, 18, "'gap' reads out the pixels of an image"},
      {"sum(dense | dense) flatten", 4, 20, "'flatten' reads out the pixels of an image"},
      {"conv3 relu gap conv3", 4, 16, "'conv3' stands after the readout of layer 3: only dense layers and activations"},
      {"conv3 relu gap dense avgpool2", 5, 22, "'avgpool2' stands after the readout"},
      {"2*(conv3 relu gap)", 4, 4, "'conv3' stands after the readout of layer 3"},
      {"conv3 relu gap flatten", 4, 16, "'flatten' is a second readout, after 'gap' of layer 3"},
      {"conv3 relu 2*gap", 4, 14, "'gap' is a second readout"},
      {"conv3 relu flatten dense lap(1)", 5, 26, "'lap' is a second readout"},
      {"conv3 relu gap dense relu", 5, 22, "must end in a dense layer: put dense behind it"},
      {"dense relu", 2, 7, "must end in a dense layer"},
      {"sum(dense | dense)", 1, 1, "must end in a dense layer"},
  };
  ASSERT_ALL_REFUSED(cases);
}

/* `count` copies of a piece between a head and a tail. */
static char *repeat(const char *head, const char *piece, size_t count, const char *tail) {
  size_t length = strlen(piece), at = strlen(head);
  char *text = malloc(at + count * length + strlen(tail) + 1);
  cr_assert_not_null(text);
  strcpy(text, head);
  for (size_t i = 0; i < count; i++, at += length) memcpy(text + at, piece, length);
  strcpy(text + at, tail);
  return text;
}

static void assert_accepted(const char *text, size_t layers) {
  ntk_network *network;
  ntk_status status = ntk_network_parse(text, &network);
  cr_assert_eq(status, NTK_OK, "%s", ntk_last_error());
  if (layers > 0) cr_assert_eq(network->flat.count, layers);
  cr_assert(ntk_test_round_trip(network));
  ntk_network_free(network);
}

static void assert_repeat_refused(const char *head, const char *piece, size_t count, const char *tail, int layer,
                                  int column, const char *reason) {
  char *text = repeat(head, piece, count, tail);
  assert_refused(text, layer, column, reason);
  free(text);
}

Test(limits, nesting) {
  char tail[80];
  memset(tail, ')', 64);
  strcpy(tail + 64, " gap");
  char *text = repeat("", "(", 64, "conv3");
  char *deepest = repeat(text, tail, 1, "");
  assert_accepted(deepest, 3);
  free(text);
  free(deepest);
  assert_repeat_refused("", "(", 65, "conv3", 1, 65, "nested more than 64 deep");
  assert_repeat_refused("conv3 ", "sum(id | relu conv3 ", 65, "", 194, 1290, "nested more than 64 deep");
  assert_repeat_refused("", "(", 65000, "", 1, 65, "nested more than 64 deep");
}

Test(limits, unrolled_layers) {
  assert_accepted("10000*(9*dense) 9999*dense dense", 100000);
  assert_accepted("9999*(5*(dense relu)) dense", 99991);
  assert_refused("10000*(5*(dense relu)) dense", 100001, 24, "more than 100000 layers");
  assert_refused("10000*(10000*(dense relu))", 1, 1, "more than 100000 layers");
  assert_refused("dense 10000*(10000*(dense relu))", 2, 7, "more than 100000 layers");
  assert_refused("conv3 10000*sum(id | 100*(relu conv3)) gap", 2, 7, "more than 100000 layers");
  char tail[80] = "dense";
  memset(tail + 5, ')', 60);
  tail[65] = '\0';
  assert_repeat_refused("", "10000*(", 60, tail, 1, 58 * 7 + 1, "more than 100000 layers");
}

Test(limits, length_of_the_text) {
  char *text = repeat("dense", " ", 65536 - 5, "");
  assert_accepted(text, 1);
  free(text);
  assert_repeat_refused("dense", " ", 65536 - 4, "", 1, 65537, "more than 65536 characters");
  assert_repeat_refused("dense", " ", 1000000, "", 1, 65537, "more than 65536 characters");
  /* Short enough as written, but not in the canonical spelling, which must parse too. */
  assert_repeat_refused("conv1 ", "sum(id|conv1)", 5000, " gap", 10002, 1, "canonical text has 8");
}

/* Long hostile inputs end quickly in a message: nothing is quadratic in the text or copied whole into it. */
Test(limits, huge_words) {
  assert_repeat_refused("", "a", 65000, "", 1, 1, "unknown layer 'aaaa");
  assert_repeat_refused("conv3(", "b", 65000, "", 1, 7, "unknown option 'bbbb");
  assert_repeat_refused("conv3(W=", "1", 65000, "", 1, 9, "65000 characters, more than 64");
  assert_repeat_refused("conv3(stride=", "1", 65000, "", 1, 14, "must be from 1 to 10000");
  assert_repeat_refused("", "9", 65000, "", 1, 1, "must be from 1 to 10000");
  assert_repeat_refused("cntk-", "9", 65000, "-gap", 1, 1, "needs a number from 2 to 10000");
  assert_repeat_refused("cntk-", "x-", 30000, "", 1, 1, "unknown preset");
  assert_repeat_refused("conv3(", "fixed,", 10000, "", 1, 13, "twice");
  assert_repeat_refused("conv3 sum(conv1", "|conv1", 10000, "", 2, 10, "never closed");
  assert_repeat_refused("conv3 sum(conv1", "|conv1", 6000, ") relu relu gap", 6005, 36023, "put conv1 between them");
  assert_repeat_refused("", "relu ", 13000, "", 1, 1, "would act on the input itself");
}
