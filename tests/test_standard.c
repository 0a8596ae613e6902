/* The standard parameterisation against neural-tangents 0.6.5 (jax 0.4.30, float64), and what is refused. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/compare_network.h"
#include "tests/oracle.h"
#include "tests/support_data.h"
#include "tests/support_kernel.h"

static const ntk_shape square = {3, 8, 8}, vector3 = {3, 0, 0};

static void values(const char *text, ntk_shape shape, double out[2]) {
  double x[192] = {1, 0.3, -0.5}, z[192] = {0.2, 0.9, 0.4};
  if (shape.height > 0) oracle_image(0, 3, 8, 8, x), oracle_image(1, 3, 8, 8, z);
  ntk_plan *plan = ntk_test_plan(text, shape, NTK_KERNEL_BOTH, NTK_F64);
  double *got = ntk_test_block(NULL, plan, x, 1, z, 1);
  out[0] = got[0], out[1] = got[1];
  free(got);
  ntk_plan_free(plan);
}

static void check(const char *text, ntk_shape shape, double ntk, double nngp) {
  double got[2];
  values(text, shape, got);
  cr_expect(ntk_test_error(got[0], ntk) <= 1e-12, "%s: NTK %.15g, not %.15g", text, got[0], ntk);
  cr_expect(ntk_test_error(got[1], nngp) <= 1e-12, "%s: NNGP %.15g, not %.15g", text, got[1], nngp);
}

/* stax.Dense(n, parameterization='standard') behind inputs, or layers, of 3, 100 and 50 units. */
Test(standard, connected) {
  check("dense(width=3) relu(c=1) dense(width=100) relu(c=1) dense(width=50)", vector3, 5.57010864789396,
        0.0554112140258427);
  check("dense(W=1.5, b=0.2, width=3) relu(c=1) dense(W=1.5, b=0.2, width=100) relu(c=1) dense(W=1.5, b=0.2, width=50)",
        vector3, 33.9815842722652, 0.757270278488024);
  check("dense relu(c=1) dense(W=1.2, b=0.3, width=64) relu(c=1) dense", vector3, 2.39641238177599, 0.122417355119684);
}

/* Behind a readout: gap has 16 numbers there, flatten 16 of each of 64 pixels. */
Test(standard, behind_readouts) {
  check("2*(conv3 relu(c=1)) gap dense(W=1.3, b=0.1, width=16)", square, 1.74019276839862, 0.0844826083380713);
  check("2*(conv3 relu(c=1)) flatten dense(W=1.3, b=0.1, width=1024)", square, 51.2362164942184, 0.092837509774688);
}

/* stax.Conv(n, ..., padding='SAME', parameterization='standard'), filters on inputs of 3 and 16 channels. */
Test(standard, convolutions) {
  check("conv3(width=3) relu(c=1) conv3(width=16) relu(c=1) gap dense(width=20)", square, 3.4378107285181,
        0.0440725493124682);
  check(
      "conv3(W=1.3, b=0.2, width=3) relu(c=1) conv5(W=1.1, b=0.1, width=16) relu(c=1) flatten dense(W=1.2, b=0.3, "
      "width=1280)",
      square, 148.938638561296, 0.232071548662768);
}

/* With strides and branches: the sum over layers with all others fixed. */
Test(standard, convolutions_add_up) {
  static const char *const one[] = {
      "conv3(b=0.3, width=3) relu sum(conv1(stride=2, fixed) | conv3(stride=2, b=0.2, fixed) relu conv3(fixed)) relu "
      "gap "
      "dense(fixed)",
      "conv3(b=0.3, fixed) relu sum(conv1(stride=2, width=9) | conv3(stride=2, b=0.2, fixed) relu conv3(fixed)) relu "
      "gap "
      "dense(fixed)",
      "conv3(b=0.3, fixed) relu sum(conv1(stride=2, fixed) | conv3(stride=2, b=0.2, width=5) relu conv3(fixed)) relu "
      "gap "
      "dense(fixed)",
      "conv3(b=0.3, fixed) relu sum(conv1(stride=2, fixed) | conv3(stride=2, b=0.2, fixed) relu conv3(width=7)) relu "
      "gap "
      "dense(fixed)"};
  double all[2], part[2], sum = 0;
  values(
      "conv3(b=0.3, width=3) relu sum(conv1(stride=2, width=9) | conv3(stride=2, b=0.2, width=5) relu conv3(width=7)) "
      "relu gap dense(fixed)",
      square, all);
  for (int k = 0; k < 4; k++) values(one[k], square, part), sum += part[0];
  cr_expect(ntk_test_error(sum, all[0]) <= 1e-14, "%.17g, not %.17g", sum, all[0]);
  cr_expect_eq(part[1], all[1]);
}

/* T adds up layer by layer: the sum over layers with all others fixed. A fixed layer has no parameterisation. */
Test(standard, layers_add_up) {
  double all[2], one[2], sum = 0, fixed[2], plain[2];
  values("dense(b=0.4, width=3) relu dense(width=7) relu dense(W=0.8, b=0.1, width=11)", vector3, all);
  values("dense(b=0.4, width=3) relu dense(fixed) relu dense(W=0.8, b=0.1, fixed)", vector3, one), sum += one[0];
  values("dense(b=0.4, fixed) relu dense(width=7) relu dense(W=0.8, b=0.1, fixed)", vector3, one), sum += one[0];
  values("dense(b=0.4, fixed) relu dense(fixed) relu dense(W=0.8, b=0.1, width=11)", vector3, one), sum += one[0];
  cr_expect(ntk_test_error(sum, all[0]) <= 1e-14, "%.17g, not %.17g", sum, all[0]);
  cr_expect_eq(one[1], all[1]);
  values("dense(fixed, width=3) relu dense", vector3, fixed), values("dense(fixed) relu dense", vector3, plain);
  cr_expect(fixed[0] == plain[0] && fixed[1] == plain[1]);
}

Test(standard, text) {
  static const char *const texts[] = {"dense(W=1.2, b=0.3, fixed, width=64) relu dense",
                                      "conv3(stride=2, gamma=1, width=5, circular) relu gap dense(width=1000000000)"};
  for (int k = 0; k < 2; k++) {
    ntk_network *network = NULL;
    cr_assert_eq(ntk_network_parse(texts[k], &network), NTK_OK, "%s", ntk_last_error());
    cr_expect(ntk_test_round_trip(network), "%s", ntk_network_text(network));
    if (k == 0) cr_expect_str_eq(ntk_network_text(network), texts[k]);
    cr_expect_eq(network->flat.items[0].width, k ? 5 : 64);
    ntk_network_free(network);
  }
  static const char *const bad[] = {"dense(width=0)", "dense(width=-3)", "dense(width=1.5)", "dense(width)",
                                    "dense(width=3, width=4)"};
  for (int k = 0; k < 5; k++) {
    ntk_network *network = NULL;
    ntk_test_expect_failure(ntk_network_parse(bad[k], &network), NTK_ERROR_NETWORK, "width");
  }
}

static void expect_refused(const char *text, ntk_shape shape, ntk_convention convention, ntk_status want,
                           const char *word) {
  ntk_network *network = NULL;
  ntk_plan *plan = NULL;
  const ntk_plan_options options = {.convention = convention};
  cr_assert_eq(ntk_network_parse(text, &network), NTK_OK, "%s", ntk_last_error());
  ntk_test_expect_failure(ntk_plan_create(network, shape, &options, &plan), want, word);
  ntk_network_free(network);
}

Test(standard, refused) {
  expect_refused("conv3(width=5) relu gap", square, 0, NTK_ERROR_NETWORK, "write width=3");
  expect_refused("dense(width=4) relu dense", vector3, 0, NTK_ERROR_NETWORK, "write width=3");
  expect_refused("dense(width=3) relu dense", square, 0, NTK_ERROR_NETWORK, "write width=192");
  expect_refused("flatten dense(width=3) relu dense", square, 0, NTK_ERROR_NETWORK, "write width=192");
  expect_refused("dense relu dense(width=9)", vector3, NTK_CONVENTION_ARORA, NTK_ERROR_NETWORK, "standard");
  expect_refused("dense relu dense(width=9)", vector3, NTK_CONVENTION_NEURAL_TANGENTS, NTK_ERROR_NETWORK, "standard");
}
