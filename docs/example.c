/* libntk in one screen: the kernel matrix of a few synthetic images, and a regression with it.
 * cc example.c $(pkg-config --cflags --libs ntk) -lm */
#include <math.h>
#include <ntk/ntk.h>
#include <stdio.h>

enum { TRAIN = 24, TEST = 16, SIDE = 8, PIXELS = SIDE * SIDE };

/* Class 0: upright stripes, class 1: level stripes, each image with another phase. */
static void draw(double *image, int number, int label) {
  for (int i = 0; i < SIDE; ++i) {
    for (int j = 0; j < SIDE; ++j) image[i * SIDE + j] = sin(1.9 * (label ? i : j) + 0.7 * number);
  }
}

/* Kernel values of the text's network: train x train and test x train, row-major. */
static ntk_status kernels(const double *train, const double *test, double *train_kernel, double *test_kernel) {
  ntk_network *network = NULL;
  ntk_plan *plan = NULL;
  ntk_status status = ntk_network_parse("2*(conv3 relu) gap", &network);
  if (status == NTK_OK) status = ntk_plan_create(network, (ntk_shape){1, SIDE, SIDE}, NULL, &plan);
  if (status == NTK_OK) status = ntk_plan_block(NULL, plan, train, TRAIN, NULL, 0, &train_kernel);
  if (status == NTK_OK) status = ntk_plan_block(NULL, plan, test, TEST, train, TRAIN, &test_kernel);
  ntk_plan_free(plan);
  ntk_network_free(network);
  return status;
}

int main(void) {
  static double images[TRAIN + TEST][PIXELS], train_kernel[TRAIN * TRAIN], test_kernel[TEST * TRAIN];
  int32_t labels[TRAIN + TEST];
  for (int n = 0; n < TRAIN + TEST; ++n) {
    labels[n] = n % 2;
    draw(images[n], n, labels[n]);
  }
  ntk_regress_result result = {0};
  ntk_status status = kernels(images[0], images[TRAIN], train_kernel, test_kernel);
  if (status == NTK_OK) {
    const ntk_regress_problem problem = {.train_count = TRAIN,
                                         .test_count = TEST,
                                         .classes = 2,
                                         .train_kernel = train_kernel,
                                         .test_kernel = test_kernel,
                                         .train_labels = labels,
                                         .test_labels = labels + TRAIN};
    const ntk_regress_options options = {.choose_ridge = true}; /* by leave-one-out */
    status = ntk_regress(NULL, &problem, &options, &result);
  }
  if (status == NTK_OK) {
    printf("K(x0,x0) = %.6f, K(x0,x1) = %.6f\n", train_kernel[0], train_kernel[1]);
    printf("ridge %.3g, accuracy %.2f\n", result.ridge, result.accuracy);
  } else {
    fprintf(stderr, "%s: %s\n", ntk_status_name(status), ntk_last_error());
  }
  ntk_regress_result_free(&result);
  return status == NTK_OK ? 0 : 1;
}
