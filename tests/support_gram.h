/* Matrices on disk for the tests of ntk_gram. */
#ifndef NTK_TESTS_SUPPORT_GRAM_H
#define NTK_TESTS_SUPPORT_GRAM_H

#include <ntk/gram.h>

/* A data set of `count` Gaussian inputs in memory; its values live as long as the test. */
ntk_dataset *ntk_test_dataset(uint64_t seed, ntk_shape shape, int64_t count);

/* The same inputs as an .npy file, opened. */
ntk_dataset *ntk_test_dataset_file(const char *path, uint64_t seed, ntk_shape shape, int64_t count);

/* All records of a data set, to be freed. */
double *ntk_test_records(const ntk_dataset *data);

/* Asserts that the file of output `index` holds exactly these values, rounded to float32 in float32 files. */
void ntk_test_expect_matrix(const ntk_plan *plan, const char *path, size_t index, int64_t rows, int64_t columns,
                            const double *want);

/* ntk_gram that must work; context may be NULL. */
ntk_gram_report ntk_test_gram(ntk_context *context, const ntk_plan *plan, const ntk_dataset *rows,
                              const ntk_dataset *columns, ntk_gram_options options);

#endif
