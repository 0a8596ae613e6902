/* Internal: factorisations of symmetric float64 matrices on one CUDA device, by cuSOLVER. Matrices are on the host,
 * n x n, column-major, the upper triangle given, as for LAPACK. */
#ifndef NTK_HOST_CUDA_SOLVER_H
#define NTK_HOST_CUDA_SOLVER_H

#include <ntk/status.h>
#include <stdint.h>

typedef enum ntk_cuda_factorisation {
  NTK_CUDA_CHOLESKY,
  NTK_CUDA_EIGENVALUES,
  NTK_CUDA_EIGENVECTORS
} ntk_cuda_factorisation;

/* What a factorisation would take: seconds, from the device's datasheet; device memory in bytes, with its workspace;
 * and what is free now. */
typedef struct ntk_cuda_solver_cost {
  double seconds;
  uint64_t bytes, free_bytes;
} ntk_cuda_solver_cost;

ntk_status ntk_cuda_solver_estimate(int device, ntk_cuda_factorisation kind, int64_t n, ntk_cuda_solver_cost *out);

/* Loads cuSOLVER; NTK_ERROR_DEVICE where it is not installed. */
ntk_status ntk_cuda_solver_load(void);

/* Factorises in place: the Cholesky factor; nothing of use; eigenvectors as columns. values: n eigenvalues, ascending,
 * or NULL for Cholesky. *info as LAPACK's: > 0 is not positive definite, or not converged.
 * NTK_ERROR_MEMORY: the device has too little; the message does the sum. NTK_ERROR_DEVICE. */
ntk_status ntk_cuda_solver_run(int device, ntk_cuda_factorisation kind, int64_t n, double *matrix, double *values,
                               int *info);

#endif
