/* Internal: the linear-algebra library and its threads. */
#ifndef NTK_HOST_REGRESS_BLAS_H
#define NTK_HOST_REGRESS_BLAS_H

/* The library's name and version, e.g. "OpenBLAS 0.3.21 NO_AFFINITY Haswell ...". Static storage. */
const char *ntk_blas_name(void);

/* Sets the number of threads of the BLAS (<= 0: all cores this process may use) until the matching pop. The number is
 * process-wide in the BLAS itself: while several computations overlap, the latest one counts, and the last pop restores
 * what was set before the first push. */
void ntk_blas_threads_push(int threads);
void ntk_blas_threads_pop(void);

#endif
