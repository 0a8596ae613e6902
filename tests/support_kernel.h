/* Plans, inputs and comparisons for the tests of the engine. Everything asserts that it succeeds. */
#ifndef NTK_TESTS_SUPPORT_KERNEL_H
#define NTK_TESTS_SUPPORT_KERNEL_H

#include <ntk/ntk.h>
#include <stdbool.h>
#include <stdint.h>

/* The instruction sets of this build, best first; NULL behind the last. */
extern const char *const ntk_test_isas[];

/* A context with one thread and that instruction set; NULL where this machine or build lacks it. */
ntk_context *ntk_test_context(const char *isa);

/* The number of values of one input. */
size_t ntk_test_size(ntk_shape shape);

ntk_plan *ntk_test_plan(const char *text, ntk_shape shape, int kernels, ntk_precision precision);
ntk_plan *ntk_test_plan_with(const char *text, ntk_shape shape, const ntk_plan_options *options);

/* The block of all outputs, [output][nx][nz] (z = NULL: [output][nx][nx]), to be freed. context may be NULL: one
 * thread. */
double *ntk_test_block(ntk_context *context, const ntk_plan *plan, const double *x, int64_t nx, const double *z,
                       int64_t nz);

/* The first output for one pair, computed by a plan made for the purpose. */
double ntk_test_value(const char *text, ntk_shape shape, ntk_kernel kernel, ntk_precision precision, const double *x,
                      const double *z);

/* SplitMix64 (Steele, Lea and Flood 2014): the same numbers everywhere. */
typedef struct ntk_test_random {
  uint64_t state;
} ntk_test_random;
uint64_t ntk_test_bits(ntk_test_random *random);
int ntk_test_below(ntk_test_random *random, int n); /* 0 .. n - 1 */
double ntk_test_uniform(ntk_test_random *random);   /* [-1, 1) */
double ntk_test_gaussian(ntk_test_random *random);
/* count inputs of Gaussian values, to be freed. */
double *ntk_test_inputs(uint64_t seed, ntk_shape shape, int64_t count);

/* Gathers the tiles of ntk_tiles_job in one array (job.write and job.user). */
typedef struct ntk_test_matrix {
  double *out; /* [output][rows][columns] */
  size_t outputs;
  int64_t tile, rows, columns;
} ntk_test_matrix;
ntk_status ntk_test_matrix_write(void *matrix, int64_t tile_row, int64_t tile_column, int64_t rows, int64_t columns,
                                 const double *const *values);

/* |got - want| / |want|; absolute where want is 0; infinite for a NaN. */
double ntk_test_error(double got, long double want);

/* Whether NTK_TEST_VERBOSE is set: tests then print the errors that they measured. */
bool ntk_test_verbose(void);

#endif
