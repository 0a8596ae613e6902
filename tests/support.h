/* Helpers that several tests share. */
#ifndef NTK_TESTS_SUPPORT_H
#define NTK_TESTS_SUPPORT_H

/* The folder with the golden values and the CIFAR-10 subset ($NTK_SHARED_DIR, else ../shared beside the source tree),
 * or NULL: tests that need it skip and say so. */
const char *ntk_test_shared_dir(void);

#endif
