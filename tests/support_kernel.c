#include "tests/support_kernel.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const ntk_test_isas[] = {"avx512", "avx2", "baseline", NULL};

ntk_context *ntk_test_context(const char *isa) {
  ntk_context *context = NULL;
  cr_assert_eq(ntk_context_create(&context), NTK_OK, "%s", ntk_last_error());
  cr_assert_eq(ntk_context_set_threads(context, 1), NTK_OK);
  cr_assert_eq(ntk_context_set_device(context, "cpu"), NTK_OK);
  if (ntk_context_set_isa(context, isa) == NTK_OK) return context;
  ntk_context_free(context);
  return NULL;
}

size_t ntk_test_size(ntk_shape shape) {
  return (size_t)shape.channels * (size_t)(shape.height ? shape.height * shape.width : 1);
}

ntk_plan *ntk_test_plan_with(const char *text, ntk_shape shape, const ntk_plan_options *options) {
  ntk_network *network = NULL;
  ntk_plan *plan = NULL;
  cr_assert_eq(ntk_network_parse(text, &network), NTK_OK, "%s: %s", text, ntk_last_error());
  cr_assert_eq(ntk_plan_create(network, shape, options, &plan), NTK_OK, "%s: %s", text, ntk_last_error());
  ntk_network_free(network);
  return plan;
}

ntk_plan *ntk_test_plan(const char *text, ntk_shape shape, int kernels, ntk_precision precision) {
  return ntk_test_plan_with(text, shape, &(ntk_plan_options){.kernels = kernels, .precision = precision});
}

double *ntk_test_block(ntk_context *context, const ntk_plan *plan, const double *x, int64_t nx, const double *z,
                       int64_t nz) {
  const size_t outputs = ntk_plan_output_count(plan), entries = (size_t)(nx * (z ? nz : nx));
  double *values = malloc(outputs * entries * sizeof *values), **out = malloc(outputs * sizeof *out);
  cr_assert(values && out);
  for (size_t k = 0; k < outputs; k++) out[k] = values + k * entries;
  ntk_context *own = context ? NULL : ntk_test_context("auto");
  cr_assert_eq(ntk_plan_block(context ? context : own, plan, x, nx, z, nz, out), NTK_OK, "%s: %s",
               ntk_plan_network_text(plan), ntk_last_error());
  ntk_context_free(own);
  free(out);
  return values;
}

double ntk_test_value(const char *text, ntk_shape shape, ntk_kernel kernel, ntk_precision precision, const double *x,
                      const double *z) {
  ntk_plan *plan = ntk_test_plan(text, shape, kernel, precision);
  double *values = ntk_test_block(NULL, plan, x, 1, z, 1), value = values[0];
  free(values);
  ntk_plan_free(plan);
  return value;
}

uint64_t ntk_test_bits(ntk_test_random *random) {
  uint64_t z = random->state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

int ntk_test_below(ntk_test_random *random, int n) { return (int)(ntk_test_bits(random) % (uint64_t)n); }

double ntk_test_uniform(ntk_test_random *random) { return ldexp((double)(ntk_test_bits(random) >> 11), -52) - 1; }

double ntk_test_gaussian(ntk_test_random *random) {
  const double radius = sqrt(-2 * log((ntk_test_uniform(random) + 1) / 2 + 1e-18));
  return radius * cos(3.14159265358979323846 * ntk_test_uniform(random));
}

double *ntk_test_inputs(uint64_t seed, ntk_shape shape, int64_t count) {
  ntk_test_random random = {seed};
  const size_t size = ntk_test_size(shape) * (size_t)count;
  double *values = malloc(size * sizeof *values);
  cr_assert(values);
  for (size_t k = 0; k < size; k++) values[k] = ntk_test_gaussian(&random);
  return values;
}

double ntk_test_error(double got, long double want) {
  if (isnan(got)) return INFINITY;
  const long double error = fabsl((long double)got - want);
  return (double)(want == 0 ? error : error / fabsl(want));
}

bool ntk_test_verbose(void) { return getenv("NTK_TEST_VERBOSE") != NULL; }

ntk_status ntk_test_matrix_write(void *matrix, int64_t tile_row, int64_t tile_column, int64_t rows, int64_t columns,
                                 const double *const *values) {
  const ntk_test_matrix *sink = matrix;
  for (size_t k = 0; k < sink->outputs; k++)
    for (int64_t i = 0; i < rows; i++)
      for (int64_t j = 0; j < columns; j++) {
        const int64_t row = tile_row * sink->tile + i, column = tile_column * sink->tile + j;
        sink->out[((int64_t)k * sink->rows + row) * sink->columns + column] = values[k][i * columns + j];
      }
  return NTK_OK;
}
