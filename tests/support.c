#include "tests/support.h"

#include <stdlib.h>
#include <sys/stat.h>

#ifndef NTK_SOURCE_DIR
#define NTK_SOURCE_DIR "."
#endif

const char *ntk_test_shared_dir(void) {
  const char *named = getenv("NTK_SHARED_DIR");
  const char *folder = named ? named : NTK_SOURCE_DIR "/../shared";
  struct stat status;
  return stat(folder, &status) == 0 ? folder : NULL;
}
