/* Published networks by name: what a name stands for, and the factor between its source's convention and the generic
 * one (derived in docs/network-text.md). */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/net/parser.h"
#include "host/status.h"

enum { EXPANSION_SIZE = 512, LARGEST = NTK_REPEAT_LIMIT };

typedef struct expansion {
  char text[EXPANSION_SIZE];
  size_t length;
} expansion;

static void add(expansion *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(expansion *out, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int written = vsnprintf(out->text + out->length, sizeof out->text - out->length, format, arguments);
  va_end(arguments);
  if (written > 0) out->length += (size_t)written;
  if (out->length >= sizeof out->text) out->length = sizeof out->text - 1;
}

/* "conv3 relu" or "9*(conv3 relu)", nothing for count 0, and a space behind it. */
static void add_repeated(expansion *out, int count, const char *layers) {
  if (count == 1) add(out, "%s ", layers);
  if (count > 1) add(out, "%d*(%s) ", count, layers);
}

static void expand_vanilla(expansion *out, const int *numbers) {
  add_repeated(out, numbers[0] - 1, "conv3 relu");
  add(out, "flatten");
}

static void expand_gap(expansion *out, const int *numbers) {
  add(out, "conv3(fixed) relu ");
  add_repeated(out, numbers[0] - 2, "conv3 relu");
  add(out, "gap dense(fixed)");
}

static void expand_lap(expansion *out, const int *numbers) {
  add_repeated(out, numbers[0], "conv3 relu");
  add(out, "lap(%d)", numbers[1]);
}

static void expand_lap_bias(expansion *out, const int *numbers) {
  add_repeated(out, numbers[0], "conv3(gamma=3) relu");
  add(out, "lap(%d)", numbers[1]);
}

static void expand_fc(expansion *out, const int *numbers) {
  add_repeated(out, numbers[0], "dense relu");
  add(out, "dense");
}

static void expand_uci(expansion *out, const int *numbers) {
  add_repeated(out, numbers[1], "dense(fixed) relu");
  add_repeated(out, numbers[0] - numbers[1], "dense relu");
  add(out, "dense");
}

static void expand_myrtle5(expansion *out, const int *numbers) {
  (void)numbers;
  add(out, "2*(conv3 relu) avgpool2 conv3 relu avgpool2 conv3 relu 3*avgpool2 flatten");
}

static void expand_myrtle7(expansion *out, const int *numbers) {
  (void)numbers;
  add(out, "2*(conv3 relu) avgpool2 2*(conv3 relu) avgpool2 2*(conv3 relu) 3*avgpool2 flatten");
}

static void expand_myrtle10(expansion *out, const int *numbers) {
  (void)numbers;
  add(out, "3*(conv3 relu) avgpool2 3*(conv3 relu) avgpool2 3*(conv3 relu) 3*avgpool2 flatten");
}

/* The compositional kernels: 3x3 convolutions in three stages between 2x2 poolings, the average of what is left, and
 * one more activation: a hidden dense layer, as far as the Gaussian process is concerned. */
static void expand_compositional(expansion *out, const int *counts, const char *activation) {
  char block[64];
  snprintf(block, sizeof block, "conv3 %s", activation);
  for (int stage = 0; stage < 3; stage++) {
    if (stage > 0) add(out, "avgpool2 ");
    add_repeated(out, counts[stage], block);
  }
  add(out, "gap dense %s dense", activation);
}

static const int myrtle_stages[3][3] = {{2, 1, 1}, {2, 2, 2}, {3, 3, 3}};

/* Myrtle5, 7 or 10. */
static const int *myrtle(const int *numbers) { return myrtle_stages[numbers[0] == 5 ? 0 : numbers[0] == 7 ? 1 : 2]; }

static void expand_myrtle_ck(expansion *out, const int *numbers) { expand_compositional(out, myrtle(numbers), "relu"); }

static void expand_myrtle_gaussian(expansion *out, const int *numbers) {
  expand_compositional(out, myrtle(numbers), "expnorm");
}

static void expand_wide_resnet(expansion *out, const int *numbers) {
  const int blocks = (numbers[0] - 4) / 6;
  add(out, "conv3 ");
  for (int stage = 0; stage < 3; stage++) {
    const char *stride = stage > 0 ? "(stride=2, same)" : "";
    add(out, "sum(conv3%s | relu conv3%s relu conv3) ", stride, stride);
    if (blocks > 2) add(out, "%d*", blocks - 1);
    if (blocks > 1) add(out, "sum(id | relu conv3 relu conv3) ");
  }
  add(out, "gap");
}

static void add_blocks(expansion *out, int count) {
  if (count > 1) add(out, "%d*", count);
  if (count > 0) add(out, "sum(id | relu conv3 relu conv3) ");
}

static void expand_resnet(expansion *out, const int *numbers) {
  int blocks = (numbers[0] - 2) / 6;
  add(out, "conv3 ");
  add_blocks(out, blocks);
  for (int stage = 0; stage < 2; stage++) {
    add(out, "relu sum(conv1(stride=2, same) | conv3(stride=2, same) relu conv3) ");
    add_blocks(out, blocks - 1);
  }
  add(out, "relu gap");
}

typedef struct preset {
  const char *pattern, *description;
  ntk_scale_rule scale;
  struct {
    int low, high;
    const char *meaning; /* ends the message about a number out of range */
  } numbers[2];
  void (*expand)(expansion *out, const int *numbers);
} preset;

#define DEPTH "the depth counts the convolutions and the final dense layer"
#define LAYERS "the first number counts the convolutions"
#define POOL "the second number is the c of lap(c)"

static const preset presets[] = {
    {"cntk-<depth>-v",
     "CNTK-V of Arora et al. (arXiv:1904.11955): depth-1 convolutions 3x3, all layers trained, no "
     "pooling; scale C0 P Q.",
     NTK_SCALE_CHANNELS_PIXELS,
     {{2, LARGEST, DEPTH}},
     expand_vanilla},
    {"cntk-<depth>-gap",
     "CNTK-GAP of Arora et al. (arXiv:1904.11955): global average pooling, the first and the last "
     "layer fixed; scale C0.",
     NTK_SCALE_CHANNELS,
     {{2, LARGEST, DEPTH}},
     expand_gap},
    {"cnngp-<depth>-v",
     "The Gaussian process (NNGP) of the network cntk-<depth>-v; scale C0 P Q.",
     NTK_SCALE_CHANNELS_PIXELS,
     {{2, LARGEST, DEPTH}},
     expand_vanilla},
    {"cnngp-<depth>-gap",
     "The Gaussian process (NNGP) of the network cntk-<depth>-gap; scale C0.",
     NTK_SCALE_CHANNELS,
     {{2, LARGEST, DEPTH}},
     expand_gap},
    {"lap-<d>-<c>",
     "LAP of Li et al. (arXiv:1911.00809, Tables 1-4): d convolutions 3x3, all layers trained, local "
     "average pooling lap(c); scale C0 P Q.",
     NTK_SCALE_LAP,
     {{1, LARGEST, LAYERS}, {0, 10000, POOL}},
     expand_lap},
    {"lap-<d>-<c>-bias",
     "LAP of Li et al. with the bias gamma = 3 of their random-patch experiments (arXiv:1911.00809, "
     "Tables 5-6); scale C0 P Q.",
     NTK_SCALE_LAP,
     {{1, LARGEST, LAYERS}, {0, 10000, POOL}},
     expand_lap_bias},
    {"fc-<L>",
     "Fully connected ReLU network with L hidden layers (arXiv:1806.07572) in the generic normalisation; "
     "scale 1.",
     NTK_SCALE_ONE,
     {{0, LARGEST, "L counts the hidden layers"}},
     expand_fc},
    {"uci-<L>-<j>",
     "UCI kernels of Arora et al. (arXiv:1910.01663): L hidden layers, the first j layers fixed, ReLU "
     "with c_s = 1; scale d / 2^L.",
     NTK_SCALE_UCI,
     {{0, 1000, "L counts the hidden layers"}, {0, 1000, "j counts the fixed layers, at most L"}},
     expand_uci},
    {"myrtle5",
     "Myrtle5 of Shankar et al. (arXiv:2003.02237) for 32x32 images, as a network with average pooling and a "
     "dense layer; scale 1.",
     NTK_SCALE_ONE,
     {{0}},
     expand_myrtle5},
    {"myrtle7",
     "Myrtle7 of Shankar et al. (arXiv:2003.02237) for 32x32 images, as a network with average pooling and a "
     "dense layer; scale 1.",
     NTK_SCALE_ONE,
     {{0}},
     expand_myrtle7},
    {"myrtle10",
     "Myrtle10 of Shankar et al. (arXiv:2003.02237) for 32x32 images, as a network with average pooling and "
     "a dense layer; scale 1.",
     NTK_SCALE_ONE,
     {{0}},
     expand_myrtle10},
    {"myrtle<n>-ck",
     "Compositional kernel Myrtle5, 7 or 10 of Shankar et al. (arXiv:2003.02237): the Gaussian-process kernel with a "
     "last normalised ReLU; with --unit-diagonal as published; scale 1.",
     NTK_SCALE_ONE,
     {{5, 10, "n is 5, 7 or 10"}},
     expand_myrtle_ck},
    {"myrtle<n>-gaussian",
     "The same with normalised exponentials in place of ReLUs (arXiv:2003.02237); scale 1.",
     NTK_SCALE_ONE,
     {{5, 10, "n is 5, 7 or 10"}},
     expand_myrtle_gaussian},
    {"wide-resnet-<n>",
     "Wide ResNet (arXiv:1605.07146) without normalisation, as in the examples of neural-tangents, n = 6 m + 4; "
     "scale 1.",
     NTK_SCALE_ONE,
     {{10, 6004, "n counts the layers with weights and is 6 m + 4, m blocks a stage"}},
     expand_wide_resnet},
    {"resnet-<n>",
     "Pre-activation ResNet-n for CIFAR (arXiv:1603.05027) without normalisation, n = 6 m + 2; scale 1.",
     NTK_SCALE_ONE,
     {{8, 6002, "n counts the layers with weights and is 6 m + 2, m blocks a stage"}},
     expand_resnet},
};

enum { PRESET_COUNT = sizeof presets / sizeof *presets };

static bool is_word(const char *text, size_t length) {
  bool word = length > 0;
  for (size_t i = 0; i < length && word; i++) word = text[i] == '-' || ntk_is_digit(text[i]) || ntk_is_letter(text[i]);
  return word;
}

/* Whether a word that is no layer should be taken for a preset's name, so that the message speaks of presets. */
static bool looks_like_preset(const char *word, size_t length) {
  static const char *const stems[] = {"cntk", "cnngp", "uci", "myrtle", "resnet", "wide"};
  if (!ntk_is_letter(*word)) return false;
  if (memchr(word, '-', length)) return true;
  for (size_t i = 0; i < sizeof stems / sizeof *stems; i++)
    if (length >= strlen(stems[i]) && strncasecmp(word, stems[i], strlen(stems[i])) == 0) return true;
  return false;
}

/* Matches a name against a pattern; the digits that stand for <...> go to `numbers`, -1 for a number too long to read.
 */
static bool match(const char *pattern, const char *name, size_t length, int numbers[2]) {
  size_t at = 0, count = 0;
  while (*pattern) {
    if (*pattern != '<') {
      if (at == length || name[at++] != *pattern++) return false;
      continue;
    }
    size_t start = at;
    int number = 0;
    for (; at < length && ntk_is_digit(name[at]); at++)
      number = at - start < 9 && number >= 0 ? 10 * number + (name[at] - '0') : -1;
    bool padded = at - start > 1 && name[start] == '0';
    if (at == start || padded) return false;
    numbers[count++] = number;
    pattern = strchr(pattern, '>') + 1;
  }
  return at == length;
}

/* Digits and <...> become '#', so that a distance sees the words alone. */
static size_t shape_of(char shape[NTK_QUOTE_SIZE], const char *name, size_t length) {
  size_t used = 0;
  for (size_t i = 0; i < length && used < NTK_QUOTE_SIZE; i++) {
    bool number = ntk_is_digit(name[i]);
    while (number && i + 1 < length && ntk_is_digit(name[i + 1])) i++;
    if (name[i] == '<') {
      while (name[i] != '>') i++;
      number = true;
    }
    shape[used++] = number ? '#' : name[i];
  }
  return used;
}

static ntk_status unknown_preset(const char *name, size_t length, size_t column) {
  char list[320] = "", quote[NTK_QUOTE_SIZE], a[NTK_QUOTE_SIZE], b[NTK_QUOTE_SIZE];
  size_t used = 0, best = 4;
  const char *nearest = NULL;
  size_t a_length = shape_of(a, name, length);
  bool upper = false;
  for (size_t i = 0; i < length; i++) upper = upper || (name[i] >= 'A' && name[i] <= 'Z');
  for (size_t i = 0; i < PRESET_COUNT && used < sizeof list; i++) {
    used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", presets[i].pattern);
    size_t distance = ntk_edit_distance(a, a_length, b, shape_of(b, presets[i].pattern, strlen(presets[i].pattern)));
    if (distance >= best) continue;
    best = distance;
    nearest = presets[i].pattern;
  }
  return ntk_fail(NTK_ERROR_NETWORK, "layer 1, column %zu: unknown preset '%s': %sthe presets are %s%s%s%s", column + 1,
                  ntk_quote(quote, name, length), upper ? "names are in lower case; " : "", list,
                  nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

static ntk_status check_numbers(const preset *chosen, const char *quote, const int *numbers, size_t column) {
  for (size_t i = 0; i < 2; i++) {
    int low = chosen->numbers[i].low, high = chosen->numbers[i].high;
    if (!chosen->numbers[i].meaning || (numbers[i] >= low && numbers[i] <= high)) continue;
    return ntk_fail(NTK_ERROR_NETWORK, "layer 1, column %zu: preset '%s' (%s) needs a number from %d to %d: %s",
                    column + 1, quote, chosen->pattern, low, high, chosen->numbers[i].meaning);
  }
  if (chosen->expand == expand_uci && numbers[1] > numbers[0])
    return ntk_fail(NTK_ERROR_NETWORK,
                    "layer 1, column %zu: preset '%s' (%s) fixes %d layers, but at most L = %d can be fixed",
                    column + 1, quote, chosen->pattern, numbers[1], numbers[0]);
  const bool myrtle_family = chosen->expand == expand_myrtle_ck || chosen->expand == expand_myrtle_gaussian;
  if (myrtle_family && numbers[0] != 5 && numbers[0] != 7 && numbers[0] != 10)
    return ntk_fail(NTK_ERROR_NETWORK, "layer 1, column %zu: preset '%s' (%s) does not exist: n is 5, 7 or 10",
                    column + 1, quote, chosen->pattern);
  if (chosen->expand == expand_wide_resnet && numbers[0] % 6 != 4)
    return ntk_fail(NTK_ERROR_NETWORK,
                    "layer 1, column %zu: preset '%s' (%s) does not exist: n is 6 m + 4, the nearest are "
                    "wide-resnet-%d and wide-resnet-%d",
                    column + 1, quote, chosen->pattern, (numbers[0] - 4) / 6 * 6 + 4, (numbers[0] - 4) / 6 * 6 + 10);
  if (chosen->expand == expand_resnet && numbers[0] % 6 != 2)
    return ntk_fail(NTK_ERROR_NETWORK,
                    "layer 1, column %zu: preset '%s' (%s) does not exist: n is 6 m + 2, the nearest are resnet-%d and "
                    "resnet-%d",
                    column + 1, quote, chosen->pattern, (numbers[0] - 2) / 6 * 6 + 2, (numbers[0] - 2) / 6 * 6 + 8);
  return NTK_OK;
}

ntk_status ntk_expand_preset(const char *text, size_t length, char **preset_text, char **name, int *scale_rule) {
  ntk_parser parser = {.text = text, .length = length};
  ntk_skip_spaces(&parser);
  size_t start = parser.at, end = start;
  while (end < length && !strchr(" \t\n\r", text[end])) end++;
  parser.at = end;
  ntk_skip_spaces(&parser);
  const char *word = text + start;
  *preset_text = *name = NULL;
  if (parser.at < length || !is_word(word, end - start) || !looks_like_preset(word, end - start)) return NTK_OK;

  const preset *chosen = NULL;
  int numbers[2] = {0, 0};
  for (size_t i = 0; i < PRESET_COUNT && !chosen; i++)
    if (match(presets[i].pattern, word, end - start, numbers)) chosen = &presets[i];
  if (!chosen) return unknown_preset(word, end - start, start);
  char quote[NTK_QUOTE_SIZE];
  NTK_TRY(check_numbers(chosen, ntk_quote(quote, word, end - start), numbers, start));

  expansion out = {.length = 0};
  chosen->expand(&out, numbers);
  *preset_text = strdup(out.text);
  *name = strndup(word, end - start);
  *scale_rule = (int)chosen->scale;
  if (*preset_text && *name) return NTK_OK;
  free(*preset_text);
  *preset_text = NULL; /* the name is the network's, which frees it */
  return ntk_fail(NTK_ERROR_MEMORY, "out of memory while reading a network text: free some memory");
}

size_t ntk_preset_count(void) { return PRESET_COUNT; }

const char *ntk_preset_pattern(size_t index) { return index < PRESET_COUNT ? presets[index].pattern : NULL; }

const char *ntk_preset_description(size_t index) { return index < PRESET_COUNT ? presets[index].description : NULL; }

static int hidden_layers(const ntk_network *network) {
  int count = 0;
  for (size_t i = 0; i < network->flat.count; i++) count += network->flat.items[i].kind == NTK_LAYER_ACTIVATION;
  return count;
}

ntk_status ntk_network_scale(const ntk_network *network, ntk_shape shape, double *scale) {
  if (!network || !scale) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_network_scale: a pointer is NULL");
  NTK_TRY(ntk_check_shape(shape));
  ntk_scale_rule rule = (ntk_scale_rule)network->preset_scale;
  bool vector = ntk_is_vector_shape(shape);
  bool image_rule = rule != NTK_SCALE_ONE && rule != NTK_SCALE_UCI;
  if (vector && image_rule)
    return ntk_fail(NTK_ERROR_ARGUMENT, "preset '%s' is for images, but the inputs are vectors of %" PRId64 " numbers",
                    network->preset, shape.channels);
  double channels = (double)shape.channels;
  double numbers = vector ? channels : channels * (double)shape.height * (double)shape.width;
  *scale = 1;
  if (rule == NTK_SCALE_CHANNELS) *scale = channels;
  if (rule == NTK_SCALE_CHANNELS_PIXELS || rule == NTK_SCALE_LAP) *scale = numbers;
  if (rule == NTK_SCALE_UCI) *scale = ldexp(numbers, -hidden_layers(network));
  return NTK_OK;
}
