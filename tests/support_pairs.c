#include "tests/support_pairs.h"

#include <math.h>
#include <string.h>

#include "tests/support_kernel.h"

const char *const pair_content_names[PAIR_CONTENTS] = {"random",     "smooth", "constant",
                                                       "background", "black",  "cartoon"};
const char *const pair_style_names[PAIR_STYLES] = {"continuous", "bytes", "standardised"};
const char *const pair_relation_names[PAIR_RELATIONS] = {"noise 1e-1", "noise 1e-2", "noise 1e-3", "noise 1e-4",
                                                         "noise 1e-5", "noise 1e-6", "noise 1e-7", "noise 1e-8",
                                                         "equal",      "0.3 x",      "-x",         "one pixel"};

static double content_value(pair_content content, ntk_test_random *random, int c, int i, int j, int height, int width) {
  const bool patch = i >= height / 3 && i < height / 3 + 3 && j >= width / 2 && j < width / 2 + 3;
  const double value = ntk_test_gaussian(random);
  switch (content) {
    case PAIR_SMOOTH: return sin(0.3 * i + 0.2 * j + c) + 0.5;
    case PAIR_CONSTANT: return 0.8 - 0.3 * c;
    case PAIR_BACKGROUND: return patch ? value : 0.8 - 0.3 * c;
    case PAIR_BLACK: return patch ? fabs(value) : 0;
    case PAIR_CARTOON: return i < height / 2 ? 0.9 : j < width / 3 ? 0.2 + 0.1 * c : j < 2 * width / 3 ? -0.5 : 0;
    case PAIR_RANDOM:
    case PAIR_CONTENTS: break;
  }
  return value;
}

/* Bytes hold -1.5 ... 1.5, black contents 0 ... 2. */
static double stored(double value, pair_content content, pair_style style) {
  if (style == PAIR_CONTINUOUS) return value;
  double byte = nearbyint(255 * (content == PAIR_BLACK ? value / 2 : value / 3 + 0.5));
  byte = fmin(fmax(byte, 0), 255) / 255;
  return style == PAIR_BYTES ? byte : (byte - 0.2860) / 0.3530;
}

void ntk_test_pair(pair_content content, pair_style style, int relation, uint64_t seed, ntk_shape shape, double *x) {
  ntk_test_random random = {seed};
  const int height = (int)shape.height, width = (int)shape.width, size = (int)ntk_test_size(shape);
  for (int k = 0; k < size; k++)
    x[k] = content_value(content, &random, k / (height * width), k / width % height, k % width, height, width);
  for (int k = 0; k < size; k++) {
    double *z = &x[size + k];
    const double noise = ntk_test_gaussian(&random);
    *z = x[k];
    if (relation < PAIR_EQUAL) *z += pow(10, -1 - relation) * noise;
    if (relation == PAIR_ONE_PIXEL && k == size / 2) *z += 0.01;
    x[k] = stored(x[k], content, style);
    *z = stored(*z, content, style);
    if (relation == PAIR_SCALED) *z *= 0.3;
    if (relation == PAIR_NEGATED) *z = -*z;
  }
}
