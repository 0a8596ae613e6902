/** @file system.h
 *  What this machine and this build can do, as `ntk info` prints it.
 */
#ifndef NTK_SYSTEM_H
#define NTK_SYSTEM_H

#include <ntk/status.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Facts about the machine and the build; strings have static storage. */
typedef struct ntk_system_info {
  const char *cpu;            /**< The processor's model name, "unknown" if the system does not tell. */
  int cores;                  /**< Cores that this process may use. */
  uint64_t memory_bytes;      /**< Physical memory. */
  const char *isa;            /**< The best instruction set here: "avx512", "avx2" or "baseline". */
  const char *isas_built;     /**< Those in this build, e.g. "avx512 avx2 baseline". */
  const char *blas;           /**< The linear-algebra library, e.g. "OpenBLAS 0.3.21 ...". */
  const char *compiler;       /**< The compiler that built the library. */
  const char *cuda;           /**< "not built" in a CPU-only build, else the devices or why there are none. */
} ntk_system_info;

/** Fills in the facts. @return NTK_OK, NTK_ERROR_ARGUMENT. */
NTK_API ntk_status ntk_system_query(ntk_system_info *info);

#ifdef __cplusplus
}
#endif
#endif
