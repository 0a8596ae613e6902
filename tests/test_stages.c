/* Networks in stages (strides, paddings, average pooling, residual sums) against the oracle, the demand rule's minimum,
 * and float32 beside float64 where it is hard. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support_compare.h"
#include "tests/support_kernel.h"
#include "tests/support_pairs.h"

TestSuite(stages, .fini = ntk_test_compare_report);

/* Every text on a few shapes, of few and of many channels, even and odd. */
static void compare_all(const char *const *texts, size_t count) {
  static const ntk_shape shapes[] = {{3, 8, 8}, {2, 7, 9}, {14, 6, 5}};
  for (size_t n = 0; n < count; n++)
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) ntk_test_compare(texts[n], shapes[k], 7000 + n);
}
#define COMPARE(...)                                     \
  do {                                                   \
    static const char *const texts_[] = {__VA_ARGS__};   \
    compare_all(texts_, sizeof texts_ / sizeof *texts_); \
  } while (0)

Test(stages, strides) {
  COMPARE("conv3 relu conv3(stride=2) relu conv3 relu gap", "conv3(stride=2) relu conv3 relu flatten",
          "conv3 relu conv3(stride=2, same) relu gap", "conv3 relu conv1(stride=2) relu conv3 relu lap(1)",
          "conv3(stride=3) relu conv3 relu gap", "conv5(stride=2, same, b=0.3) relu conv3(b=0.2) relu gap",
          "conv3 relu conv3(stride=2) relu conv3(stride=2) relu gap", "conv3(stride=2, fixed) relu conv3 relu flatten",
          "conv3 relu conv3(stride=2) gap", "conv3 relu conv3x1(stride=2, b=0.1) relu conv1x3 relu gap");
}

Test(stages, circular_strides) {
  COMPARE("conv3(circular) relu conv3(stride=2, circular) relu conv3(circular) relu gap",
          "conv3 relu conv3(stride=2, circular) relu conv3 relu flatten",
          "conv3(stride=2) relu conv3(circular) relu lap(1, circular)",
          "conv3(circular) relu conv3(stride=3, circular) relu gap");
}

Test(stages, valid_padding) {
  COMPARE("conv3(valid) relu conv3(valid) relu gap", "conv3 relu conv3(valid) relu conv3 relu flatten",
          "conv3(valid, stride=2) relu conv1 relu gap", "conv5(valid, b=0.2) relu gap",
          "conv3x1(valid) relu conv3 relu lap(1)");
}

Test(stages, average_pooling) {
  COMPARE("conv3 relu avgpool2 conv3 relu gap", "conv3 relu avgpool2 conv3 relu flatten", "avgpool2 conv3 relu gap",
          "conv3 relu avgpool2 avgpool2 conv3 relu gap", "conv3 relu avgpool3(stride=1, same) conv3 relu flatten",
          "conv3 relu avgpool3(stride=2, same) conv3 relu gap", "conv3 avgpool2 relu conv3 relu lap(1)",
          "conv3 relu avgpool3(stride=2, same, normalized) conv3 relu gap",
          "conv3 relu avgpool4(stride=3) conv1 relu gap", "conv3 relu avgpool3(stride=1, circular) conv3 relu gap",
          "conv3 relu avgpool2(stride=2, circular) conv3 relu gap", "conv3 relu avgpool2(stride=1) conv3 relu flatten",
          "conv3 relu avgpool5(stride=5, same, normalized) gap", "conv3 relu avgpool2 flatten dense(fixed)");
}

Test(stages, sums) {
  COMPARE("conv3 sum(id | relu conv3 relu conv3) relu gap", "conv3 2*sum(id | relu conv3) relu flatten",
          "conv3 sum(relu conv3 | id) relu gap", "sum(conv3 | conv1) relu conv3 relu gap",
          "conv3 relu sum(conv1 | conv3 relu conv3) relu gap",
          "conv3 sum(id | relu conv3 | relu conv1(b=0.2)) relu lap(1)",
          "conv3 sum(id | relu conv3 sum(id | relu conv3) relu conv3) relu gap", "conv3 sum(id | relu conv3) gap",
          "conv3 sum(relu conv3(fixed) | relu conv3(W=1.4)) relu conv3 relu gap",
          "sum(conv3 | conv3 relu conv3 relu conv3) relu conv3 relu flatten");
}

Test(stages, strided_sums) {
  COMPARE("conv3 relu sum(conv1(stride=2) | conv3(stride=2) relu conv3) relu conv3 relu gap",
          "conv3 relu sum(conv1(stride=2, same) | conv3(stride=2, same) relu conv3) relu conv3 relu flatten",
          "conv3 relu sum(conv1 | conv3 relu avgpool3(stride=1, same) conv3) relu gap",
          "conv3 relu sum(avgpool2(stride=2, same) conv1 | conv3(stride=2) relu conv3) relu gap",
          "conv3 relu sum(conv1(stride=4) | conv3(stride=2) relu conv1(stride=2)) relu gap",
          "conv3 sum(avgpool2 | relu conv3 avgpool2) relu conv3 relu gap",
          "conv3 sum(id | relu conv3) relu sum(conv1(stride=2) | conv3(stride=2)) sum(id | relu conv3) relu gap");
}

/* Widths around the vectors of every instruction set: halves that are whole vectors, lanes of one, and neither. */
Test(stages, widths) {
  static const int widths[] = {2, 3, 4, 6, 8, 12, 16, 17, 20, 24, 30, 32, 34, 48, 64};
  for (size_t k = 0; k < sizeof widths / sizeof *widths; k++) {
    const uint64_t seed = 7500 + k;
    ntk_test_compare("conv3 relu avgpool2 conv3 relu gap", (ntk_shape){2, 2, widths[k]}, seed);
    ntk_test_compare(
        "conv3 sum(id | relu conv3) relu sum(conv1(stride=2, same) | conv3(stride=2, same) relu conv3) relu gap",
        (ntk_shape){1, 3, widths[k]}, seed);
  }
}

/* Fully connected networks with branches, as vectors and as images made flat. */
Test(stages, branched_vectors) {
  static const char *const texts[] = {"dense sum(id | relu dense) relu dense",
                                      "dense(b=0.3) 2*sum(id | relu dense(W=1.2) relu dense) relu dense(fixed)",
                                      "sum(dense | dense relu dense) dense"};
  for (size_t n = 0; n < sizeof texts / sizeof *texts; n++) {
    ntk_test_compare(texts[n], (ntk_shape){10, 0, 0}, 7600 + n);
    ntk_test_compare(texts[n], (ntk_shape){30, 0, 0}, 7610 + n);
  }
}

/* ---- random networks */

static int put(char *at, const char *text) { return sprintf(at, "%s ", text); }

/* A branch that ends in a convolution and keeps the resolution. */
static int put_branch(ntk_test_random *random, char *at) {
  static const char *const filters[] = {"conv3", "conv1", "conv1x3(b=0.3)", "conv3(fixed)", "conv3(W=1.3)", "conv5x1"};
  int n = 0;
  for (int k = ntk_test_below(random, 3); k >= 0; k--)
    n += sprintf(at + n, "relu %s ", filters[ntk_test_below(random, 6)]);
  return n;
}

static void random_network(ntk_test_random *random, char *text) {
  static const char *const changes[] = {"conv3(stride=2) ",
                                        "conv3(stride=2, same) ",
                                        "avgpool2 conv1 ",
                                        "conv3(valid) ",
                                        "avgpool3(stride=2, same, normalized) conv3 ",
                                        "conv1(stride=2) "};
  int n = put(text, "conv3");
  for (int part = ntk_test_below(random, 3); part >= 0; part--) {
    if (ntk_test_below(random, 2)) {
      n += put(text + n, "sum(id |");
      n += put_branch(random, text + n);
      n += put(text + n, ")");
    } else {
      n += put_branch(random, text + n);
    }
    if (ntk_test_below(random, 2)) n += sprintf(text + n, "relu %s", changes[ntk_test_below(random, 6)]);
  }
  static const char *const readouts[] = {"gap", "flatten", "lap(1)"};
  n += put(text + n, "relu");
  put(text + n, readouts[ntk_test_below(random, 3)]);
}

Test(stages, random_networks) {
  ntk_test_random random = {77};
  int computed = 0;
  for (int k = 0; k < 120; k++) {
    char text[1024];
    const ntk_shape shape = {1 + ntk_test_below(&random, 3), 4 + ntk_test_below(&random, 6),
                             4 + ntk_test_below(&random, 6)};
    random_network(&random, text);
    ntk_network *network = NULL;
    cr_assert_eq(ntk_network_parse(text, &network), NTK_OK, "%s: %s", text, ntk_last_error());
    const bool fits = ntk_network_check(network, shape) == NTK_OK;
    ntk_network_free(network);
    if (!fits) continue; /* a filter larger than what strides have left */
    ntk_test_compare(text, shape, 8000 + (uint64_t)k);
    computed++;
  }
  cr_expect(computed > 60, "only %d networks fit their image", computed);
}

/* ---- activations, against fully connected networks, whose duals have oracles of their own */

static const char *const activations[] = {
    "leaky(0.2)", "abrelu(-0.5, 1.2)", "abs",        "erf",        "gelu",        "sin(a=1.2, b=0.8, phase=0.3)",
    "cos",        "rbf(gamma=0.7)",    "exp(b=0.3)", "hermite(3)", "monomial(2)", "tanh",
    "softplus",   "expnorm",           "relu(c=1)"};

/* Images of one pixel with 1 x 1 filters are vectors; so are, with circular filters, images that are constant. */
Test(stages, activations) {
  const ntk_shape vector = {5, 0, 0}, pixel = {5, 1, 1}, image = {5, 6, 6};
  double *v = ntk_test_inputs(95, vector, 2), *constant = malloc(2 * ntk_test_size(image) * sizeof *constant);
  for (size_t k = 0; k < 2 * ntk_test_size(image); k++) constant[k] = v[k / 36];
  for (size_t n = 0; n < sizeof activations / sizeof *activations; n++)
    for (int kernel = NTK_KERNEL_NTK; kernel <= NTK_KERNEL_NNGP; kernel++) {
      char dense[128], one[128], many[192], head[128];
      const char *a = activations[n];
      snprintf(dense, sizeof dense, "dense(W=1.2, b=0.3) %s dense(b=0.1) %s dense", a, a);
      snprintf(one, sizeof one, "conv1(W=1.2, b=0.3) %s conv1(b=0.1) %s flatten", a, a);
      snprintf(many, sizeof many, "conv3(W=1.2, b=0.3, circular) %s avgpool2 conv3(b=0.1, circular) %s gap", a, a);
      snprintf(head, sizeof head, "conv3(W=1.2, b=0.3, circular) %s gap dense(b=0.1) %s dense", a, a);
      for (int self = 0; self < 2; self++) {
        const ntk_kernel k = (ntk_kernel)kernel;
        const double want = ntk_test_value(dense, vector, k, NTK_F64, v, self ? v : v + 5);
        const double *z = self ? constant : constant + 180;
        const double got[3] = {ntk_test_value(one, pixel, k, NTK_F64, v, self ? v : v + 5),
                               ntk_test_value(many, image, k, NTK_F64, constant, z),
                               ntk_test_value(head, image, k, NTK_F64, constant, z)};
        for (int i = 0; i < 3; i++)
          cr_expect(ntk_test_error(got[i], want) <= 1e-9, "%s, %s, %s: %.15g, not %.15g", a,
                    kernel == 1 ? "NTK" : "NNGP",
                    i == 0   ? one
                    : i == 1 ? many
                             : head,
                    got[i], want);
      }
    }
  free(v), free(constant);
}

/* ---- the demand rule's minimum */

/* Entries in the planes |d| <= c of an n x n state, or in those that are multiples of s. */
static double near_entries(int n, int c) {
  double sum = 0;
  for (int d = -c; d <= c; d++) sum += n - abs(d);
  return sum * sum;
}

static void expect_entry_layers(const char *text, int side, double entry_layers) {
  ntk_plan *plan = ntk_test_plan(text, (ntk_shape){3, side, side}, NTK_KERNEL_NTK, NTK_F32);
  const ntk_cost cost = ntk_plan_cost(plan);
  cr_expect_eq(cost.entry_layers, entry_layers, "%s: %.0f entry-layers, the least is %.0f", text, cost.entry_layers,
               entry_layers);
  ntk_plan_free(plan);
}

/* Entries of the planes whose offsets are multiples of s: (SUM_k n - |s k|)^2. */
static double every(int n, int s) {
  double sum = 0;
  for (int d = -(n - 1) / s * s; d < n; d += s) sum += n - abs(d);
  return sum * sum;
}

Test(stages, entry_layers_are_least) {
  const double all = 1024.0 * 1024;
  /* flatten above strides: offset 0 alone, also through residual blocks */
  expect_entry_layers("conv3 relu conv3(stride=2) relu conv3 relu flatten", 32, 1024 + 256 + 256);
  expect_entry_layers("resnet-20 ", 32, 7 * every(32, 4) + 6 * every(16, 2) + 6 * 4096.0);
  cr_expect_eq(every(32, 4), all / 16); /* a total stride of 4 under GAP: a sixteenth */
  expect_entry_layers("conv3 relu sum(conv1(stride=2) | conv3(stride=2) relu conv3) relu conv3 relu flatten", 32,
                      1024 + 3 * 256);
  /* pooling mixes planes: 2x2 above flatten needs the neighbours of offset 0 */
  expect_entry_layers("conv3 relu avgpool2 conv3 relu flatten", 16, near_entries(16, 1) + 64);
  expect_entry_layers("conv3 relu avgpool3(stride=1, same) conv3 relu flatten", 16, near_entries(16, 2) + 256);
  expect_entry_layers("conv3 relu avgpool2 conv3 relu lap(1)", 16, near_entries(16, 5) + near_entries(8, 2));
  expect_entry_layers("conv3 relu avgpool2 conv3 relu avgpool2 conv3 relu flatten", 32,
                      near_entries(32, 3) + near_entries(16, 1) + 64);
  expect_entry_layers("myrtle10", 32, 3 * all + 3 * 65536.0 + 3 * 4096.0);
  /* strides above a pooling, and the other way round */
  expect_entry_layers("conv3 relu conv3(stride=2) relu avgpool2 conv3 relu flatten", 32,
                      (32 + 2 * 30.0) * (32 + 2 * 30.0) + near_entries(16, 1) + 64);
}

/* ---- float32 */

static const char *const hard_texts[] = {"2*(conv3 relu) avgpool2 2*(conv3 relu) gap",
                                         "2*(conv3 relu) avgpool2 conv3 relu 2*avgpool2 flatten",
                                         "conv3 2*sum(id | relu conv3 relu conv3) relu gap",
                                         "conv3 sum(id | relu conv3 relu conv3) relu sum(conv1(stride=2, same) | "
                                         "conv3(stride=2, same) relu conv3) relu flatten"};

/* Near-duplicates and images with constant regions: within the stated bound of float64. */
Test(stages, hard_pairs_in_float32) {
  const ntk_shape shape = {3, 16, 16};
  double worst = 0;
  double *x = malloc(2 * ntk_test_size(shape) * sizeof *x);
  for (size_t n = 0; n < sizeof hard_texts / sizeof *hard_texts; n++) {
    ntk_plan *plans[2] = {ntk_test_plan(hard_texts[n], shape, NTK_KERNEL_BOTH, NTK_F32),
                          ntk_test_plan(hard_texts[n], shape, NTK_KERNEL_BOTH, NTK_F64)};
    for (int content = 0; content < PAIR_CONTENTS; content++)
      for (int relation = 0; relation < PAIR_RELATIONS; relation++) {
        ntk_test_pair((pair_content)content, PAIR_STANDARDISED, relation, 90 + n, shape, x);
        double *got = ntk_test_block(NULL, plans[0], x, 1, x + ntk_test_size(shape), 1);
        double *want = ntk_test_block(NULL, plans[1], x, 1, x + ntk_test_size(shape), 1);
        for (int k = 0; k < 2; k++) {
          const double error = ntk_test_error(got[k], want[k]);
          worst = fmax(worst, error);
          cr_expect(error <= 1e-6, "%s, %s, %s, %s: off by %.2g", hard_texts[n], pair_content_names[content],
                    pair_relation_names[relation], k ? "NNGP" : "NTK", error);
        }
        free(got), free(want);
      }
    ntk_plan_free(plans[0]), ntk_plan_free(plans[1]);
  }
  if (ntk_test_verbose()) fprintf(stderr, "hard pairs: worst relative error %.2e\n", worst);
  free(x);
}

/* ---- properties */

/* The same value in blocks of every cut, and on the diagonal. */
Test(stages, blocks_and_diagonal) {
  enum { N = 5 };
  const ntk_shape shape = {2, 8, 8};
  double *x = ntk_test_inputs(91, shape, N), diagonal[N], *out = diagonal;
  for (size_t n = 0; n < sizeof hard_texts / sizeof *hard_texts; n++) {
    ntk_plan *plan = ntk_test_plan(hard_texts[n], shape, NTK_KERNEL_NTK, NTK_F32);
    double *all = ntk_test_block(NULL, plan, x, N, NULL, 0);
    cr_assert_eq(ntk_plan_diagonal(NULL, plan, x, N, &out), NTK_OK, "%s", ntk_last_error());
    for (int i = 0; i < N; i++) {
      cr_expect_eq(diagonal[i], all[i * N + i], "%s", hard_texts[n]);
      double *row = ntk_test_block(NULL, plan, x + (size_t)i * ntk_test_size(shape), 1, x, N);
      for (int j = i; j < N; j++) cr_expect_eq(row[j], all[i * N + j], "%s: (%d, %d)", hard_texts[n], i, j);
      free(row);
    }
    free(all);
    ntk_plan_free(plan);
  }
  free(x);
}

/* Depths of the main line give what the text that ends there gives. */
Test(stages, depths) {
  static const int depths[] = {1, 4, 2};
  static const char *const whole = "conv3 relu conv3 erf sum(conv3 | conv3 relu conv3) relu conv3 gap";
  static const char *const cut[] = {"conv3 relu gap", "conv3 relu conv3 erf sum(conv3 | conv3 relu conv3) relu gap",
                                    "conv3 relu conv3 erf gap"};
  const ntk_shape shape = {2, 6, 6};
  double *x = ntk_test_inputs(92, shape, 2);
  const ntk_plan_options options = {
      .kernels = NTK_KERNEL_BOTH, .precision = NTK_F64, .depths = depths, .depth_count = 3};
  ntk_plan *plan = ntk_test_plan_with(whole, shape, &options);
  double *got = ntk_test_block(NULL, plan, x, 1, x + ntk_test_size(shape), 1);
  for (int k = 0; k < 6; k++) {
    const double want = ntk_test_value(cut[k / 2], shape, k % 2 ? NTK_KERNEL_NNGP : NTK_KERNEL_NTK, NTK_F64, x,
                                       x + ntk_test_size(shape));
    cr_expect(ntk_test_error(got[k], want) < 1e-13, "%s: %.15g, expected %.15g", cut[k / 2], got[k], want);
  }
  free(got), free(x);
  ntk_plan_free(plan);
}
