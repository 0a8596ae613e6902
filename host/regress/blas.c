#include "host/regress/blas.h"

#include <cblas.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* cblas.h defines OPENBLAS_VERSION only where the functions that set threads exist. */
#ifdef OPENBLAS_VERSION

static char name[256];
static pthread_once_t name_once = PTHREAD_ONCE_INIT;

/* OpenBLAS rebuilds its text in one buffer at every call, so that two threads must not ask at a time. */
static void read_name(void) {
  const char *config = openblas_get_config();
  while (*config == ' ') config++;
  snprintf(name, sizeof name, "%s%s", strncmp(config, "OpenBLAS", 8) == 0 ? "" : "OpenBLAS ", config);
  for (size_t length = strlen(name); length > 0 && name[length - 1] == ' ';) name[--length] = '\0';
}

const char *ntk_blas_name(void) {
  pthread_once(&name_once, read_name);
  return name;
}

static int online_cores(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  const long cores = sysconf(_SC_NPROCESSORS_ONLN);
  return cores > 0 ? (int)cores : 1;
}

/* The one mutable state, because it mirrors a number that the BLAS keeps once a process. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int depth, threads_before;

void ntk_blas_threads_push(int threads) {
  pthread_mutex_lock(&lock);
  if (depth++ == 0) threads_before = openblas_get_num_threads();
  openblas_set_num_threads(threads > 0 ? threads : online_cores());
  pthread_mutex_unlock(&lock);
}

void ntk_blas_threads_pop(void) {
  pthread_mutex_lock(&lock);
  if (depth > 0 && --depth == 0) openblas_set_num_threads(threads_before);
  pthread_mutex_unlock(&lock);
}

#else

const char *ntk_blas_name(void) { return "BLAS"; }
void ntk_blas_threads_push(int threads) { (void)threads; }
void ntk_blas_threads_pop(void) {}

#endif
