/* Pairs of images that are hard for float32: (near-)duplicates and proportional images of several kinds of content. */
#ifndef NTK_TESTS_SUPPORT_PAIRS_H
#define NTK_TESTS_SUPPORT_PAIRS_H

#include <ntk/network.h>
#include <stdint.h>

typedef enum pair_content {
  PAIR_RANDOM,     /* Gaussian values */
  PAIR_SMOOTH,     /* a slow wave */
  PAIR_CONSTANT,   /* one value everywhere */
  PAIR_BACKGROUND, /* constant but for a small random patch */
  PAIR_BLACK,      /* black but for a small random patch */
  PAIR_CARTOON,    /* a few regions of constant colour */
  PAIR_CONTENTS
} pair_content;

/* How the values are stored: as they are; as bytes over 255; as such bytes, standardised. */
typedef enum pair_style { PAIR_CONTINUOUS, PAIR_BYTES, PAIR_STANDARDISED, PAIR_STYLES } pair_style;

/* z = x plus noise of this size, or else. */
typedef enum pair_relation {
  PAIR_NOISE, /* 10^-1 ... 10^-8: PAIR_NOISE + 0 ... 7 */
  PAIR_EQUAL = PAIR_NOISE + 8,
  PAIR_SCALED,    /* 0.3 x */
  PAIR_NEGATED,   /* -x */
  PAIR_ONE_PIXEL, /* one pixel of z differs by 10^-2 */
  PAIR_RELATIONS
} pair_relation;

extern const char *const pair_content_names[PAIR_CONTENTS], *const pair_style_names[PAIR_STYLES],
                                                                *const pair_relation_names[PAIR_RELATIONS];

/* Fills in x and z behind it. Noise is added before the values are stored as bytes. */
void ntk_test_pair(pair_content content, pair_style style, int relation, uint64_t seed, ntk_shape shape, double *x);

#endif
