/* Temporary folders and files for the tests of data sets. */
#ifndef NTK_TESTS_SUPPORT_DATA_H
#define NTK_TESTS_SUPPORT_DATA_H

#include <ntk/dataset.h>
#include <ntk/npy.h>
#include <stddef.h>

/* A new folder under /tmp; remove it with ntk_test_remove_folder. */
char *ntk_test_folder(void);
void ntk_test_remove_folder(char *folder);

/* Paths are printed like printf does and kept in a ring of 16 buffers. */
const char *ntk_test_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

void ntk_test_write_file(const char *path, const void *bytes, size_t size);
unsigned char *ntk_test_read_file(const char *path, size_t *size);

/* Expects a failure with this status whose message holds `word`. */
void ntk_test_expect_failure(ntk_status status, ntk_status want, const char *word);

/* Opens a data set that must open. */
ntk_dataset *ntk_test_open(const char *text);

#endif
