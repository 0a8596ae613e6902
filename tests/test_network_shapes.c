/* ntk_network_check and ntk_layer_output_shape: what an input's shape allows. */
#include <criterion/criterion.h>
#include <ntk/network.h>
#include <stdio.h>
#include <string.h>

#include "host/net/network.h"

static ntk_network *parse(const char *text) {
  ntk_network *network;
  ntk_status status = ntk_network_parse(text, &network);
  cr_assert_eq(status, NTK_OK, "'%s': %s", text, ntk_last_error());
  return network;
}

static void assert_shape(const char *layer, int64_t height, int64_t width, int64_t out_height, int64_t out_width) {
  char text[100];
  snprintf(text, sizeof text, "%s%s", layer, out_height > 0 ? " gap" : "");
  ntk_network *network = parse(text);
  ntk_shape out = {0, 0, 0};
  ntk_status status = ntk_layer_output_shape(&network->flat.items[0], (ntk_shape){5, height, width}, &out);
  cr_assert_eq(status, NTK_OK, "%s on %d x %d: %s", layer, (int)height, (int)width, ntk_last_error());
  cr_assert(out.height == out_height && out.width == out_width && out.channels == 5, "%s on %d x %d: %d x %d", layer,
            (int)height, (int)width, (int)out.height, (int)out.width);
  ntk_network_free(network);
}

static void assert_fits(const char *text, ntk_shape shape) {
  ntk_network *network = parse(text);
  ntk_status status = ntk_network_check(network, shape);
  cr_assert_eq(status, NTK_OK, "'%s': %s", text, ntk_last_error());
  ntk_network_free(network);
}

static void assert_unfit(const char *text, ntk_shape shape, const char *start, const char *reason) {
  ntk_network *network = parse(text);
  cr_assert_eq(ntk_network_check(network, shape), NTK_ERROR_NETWORK, "'%s' was accepted", text);
  const char *message = ntk_last_error();
  cr_assert(strncmp(message, start, strlen(start)) == 0, "'%s': %s", text, message);
  cr_assert_not_null(strstr(message, reason), "'%s': %s", text, message);
  ntk_network_free(network);
}

Test(shapes, of_layers) {
  assert_shape("conv3", 7, 10, 7, 10);
  assert_shape("conv3x5(circular)", 7, 10, 7, 10);
  assert_shape("conv3x5(valid)", 7, 10, 5, 6);
  assert_shape("conv3(stride=2)", 15, 16, 8, 8);
  assert_shape("conv3(stride=2, same)", 15, 16, 8, 8);
  assert_shape("conv3(stride=2, valid)", 15, 16, 7, 7);
  assert_shape("conv3(stride=3, circular)", 10, 9, 4, 3);
  assert_shape("conv1(stride=2)", 7, 8, 4, 4);
  assert_shape("avgpool2", 7, 8, 3, 4);
  assert_shape("avgpool3(stride=1, same)", 7, 8, 7, 8);
  assert_shape("avgpool3(stride=2)", 7, 8, 3, 3);
  assert_shape("avgpool2(circular)", 7, 8, 4, 4);
  assert_shape("conv3", 1, 1, 1, 1);
  assert_shape("avgpool1", 1, 1, 1, 1);
  assert_shape("sum(conv3(stride=2) | conv1(stride=2))", 7, 10, 4, 5);
  assert_shape("flatten", 7, 10, 0, 0);
  assert_shape("lap(30)", 7, 10, 0, 0);
}

Test(shapes, networks_that_fit) {
  ntk_shape pixel = {3, 1, 1}, cifar = {3, 32, 32}, vector = {10, 0, 0};
  assert_fits("3*(conv3 relu) gap", pixel);
  assert_fits("3*(conv3 relu) lap(32)", cifar); /* published tables pool far over the edge */
  assert_fits("conv3(same) relu conv1(circular) flatten", pixel);
  assert_fits("conv5(valid) gap", (ntk_shape){1, 5, 5});
  assert_fits("conv1x5 gap", (ntk_shape){1, 1, 9});
  assert_fits("conv5(circular) gap", (ntk_shape){1, 5, 5});
  assert_fits("conv65 gap", cifar);
  assert_fits("3*(dense relu) dense", vector);
  assert_fits("3*(dense relu) dense", cifar); /* an image is a vector, too */
  assert_fits("dense sum(id | relu dense) dense", cifar);
  assert_fits("flatten dense relu dense", cifar);
  assert_fits("resnet-20", cifar);
  assert_fits("myrtle10", cifar);
  assert_fits("gap", (ntk_shape){1, 1 << 20, 1 << 20});
}

Test(shapes, networks_that_do_not_fit) {
  ntk_shape small = {3, 4, 6}, vector = {10, 0, 0};
  assert_unfit("conv1 conv5(valid) gap", small,
               "layer 2, column 7: ", "needs a height of 5 at least, but the image has 4");
  assert_unfit("conv3x7(valid) gap", small, "layer 1, column 1: ", "needs a width of 7 at least, but the image has 6");
  assert_unfit("conv5(circular) gap", small, "layer 1, column 1: ", "'circular' padding needs a height of 5");
  assert_unfit("2*(conv3(valid) relu) gap", small, "layer 3, column 4: ", "the image has 2 here");
  assert_unfit("conv11 gap", small, "layer 1, column 1: ",
               "reaches 5 pixels to either side, but the image has a height "
               "of 4");
  assert_unfit("conv5(same) gap", (ntk_shape){1, 1, 1}, "layer 1, column 1: ", "reaches 2 pixels");
  assert_unfit("conv3(stride=5) gap", small, "layer 1, column 1: ", "stride 5, but the image has a height of 4");
  assert_unfit("conv1x3(stride=7, same) gap", (ntk_shape){1, 9, 6}, "layer 1, column 1: ", "a width of 6");
  assert_unfit("3*avgpool2 gap", small, "layer 3, column 3: ", "needs a height of 2 at least, but the image has 1");
  assert_unfit("avgpool9(same, stride=1) gap", (ntk_shape){3, 3, 3}, "layer 1, column 1: ", "reaches 4 pixels");
  assert_unfit("conv3 sum(conv1(stride=2) | conv3 relu conv3) gap", small,
               "layer 2, column 7: ", "branch 1 gives 2 x 3, branch 2 gives 4 x 6");
  assert_unfit("conv3 sum(id | conv3 | avgpool2 conv1) gap", small,
               "layer 2, column 7: ", "branch 1 gives 4 x 6, branch 3 gives 2 x 3");
  assert_unfit("conv3 sum(id | relu conv1(stride=9)) gap", small, "layer 4, column 21: ", "stride 9");
  assert_unfit("3*(conv3 relu) gap", vector, "layer 1, column 4: ",
               "'conv3' needs images, but the inputs are vectors of "
               "10 numbers");
  assert_unfit("lap(2)", vector, "layer 1, column 1: ", "'lap' needs images");
  assert_unfit("flatten dense relu dense", vector, "layer 1, column 1: ", "'flatten' needs images");
  assert_unfit("myrtle5", (ntk_shape){3, 16, 16}, "preset 'myrtle5', layer 13, column 58: ", "'avgpool2'");
}

Test(shapes, impossible_shapes) {
  static const ntk_shape shapes[] = {{0, 8, 8},
                                     {-1, 8, 8},
                                     {3, 0, 8},
                                     {3, 8, 0},
                                     {3, -1, 8},
                                     {0, 0, 0},
                                     {(1 << 24) + 1, 0, 0},
                                     {3, (1 << 24) + 1, 1},
                                     {3, 1 << 24, 1 << 24},
                                     {1, INT64_MAX, INT64_MIN}};
  ntk_network *network = parse("flatten");
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    double scale;
    cr_assert_eq(ntk_network_check(network, shapes[i]), NTK_ERROR_ARGUMENT, "shape %zu", i);
    cr_assert_eq(ntk_network_scale(network, shapes[i], &scale), NTK_ERROR_ARGUMENT, "shape %zu", i);
  }
  ntk_network_free(network);
  assert_fits("dense", (ntk_shape){1 << 24, 0, 0});
  assert_fits("gap", (ntk_shape){1, 1 << 24, 1});
}
