/** @file context.h
 *  A context: the resources and the callbacks that computations run with.
 *
 *  Any number of contexts may live side by side. One context may be used by several threads, but its setters must not
 * run while a computation uses it; ntk_context_cancel may be called at any time, from any thread or signal handler.
 */
#ifndef NTK_CONTEXT_H
#define NTK_CONTEXT_H

#include <ntk/status.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ntk_context ntk_context;

/** A report of progress. Numbers count pairs of images; in the stage "ridge" rows of features. */
typedef struct ntk_progress {
  const char *stage;              /**< What runs, e.g. "gram"; static storage. */
  int64_t done;                   /**< Pairs finished, those of an earlier, resumed run included. */
  int64_t total;                  /**< Pairs in all. */
  double seconds;                 /**< Seconds since this computation began. */
  double pairs_per_second;        /**< Rate of this run, 0 while unknown. */
  double seconds_left;            /**< Estimated seconds to the end, < 0 while unknown. */
  double entry_layers_per_second; /**< Rate in entry-layers (docs/performance.md), 0 while unknown. */
} ntk_progress;

/** Receives progress, at most about ten times a second, from one thread at a time; must not call back into the
 * context.*/
typedef void (*ntk_progress_fn)(const ntk_progress *progress, void *user);

/** Creates a context with all cores, a memory budget of 512 MiB, the best instruction set and no callbacks.
 *  @param out receives the context; free it with ntk_context_free.
 *  @return NTK_OK, NTK_ERROR_ARGUMENT (out is NULL), NTK_ERROR_MEMORY. */
NTK_API ntk_status ntk_context_create(ntk_context **out);

/** Frees a context; NULL is allowed. No computation may still use it. */
NTK_API void ntk_context_free(ntk_context *context);

/** Sets the number of worker threads. @param threads 1..1024, or 0 for all cores this process may use.
 *  @return NTK_OK, NTK_ERROR_ARGUMENT. */
NTK_API ntk_status ntk_context_set_threads(ntk_context *context, int threads);

/** The number of worker threads that a computation will use (never 0). */
NTK_API int ntk_context_threads(const ntk_context *context);

/** Sets the budget for working memory in bytes (at least 16 MiB): everything but the output file and the input data.
 *  @return NTK_OK, NTK_ERROR_ARGUMENT. */
NTK_API ntk_status ntk_context_set_memory(ntk_context *context, uint64_t bytes);

/** The budget for working memory in bytes. */
NTK_API uint64_t ntk_context_memory(const ntk_context *context);

/** Chooses the instruction set of the CPU kernels.
 *  @param isa "auto" (the best this machine runs), "avx512", "avx2" or "baseline".
 *  @return NTK_OK, NTK_ERROR_ARGUMENT (unknown name), NTK_ERROR_DEVICE (this machine cannot run it). */
NTK_API ntk_status ntk_context_set_isa(ntk_context *context, const char *isa);

/** The instruction set that computations will use: "avx512", "avx2" or "baseline". Static storage. */
NTK_API const char *ntk_context_isa(const ntk_context *context);

/** Chooses where kernels are computed.
 *  @param device "auto" (all visible CUDA devices of the first one's kind, else the CPU; the default), "cpu", "cuda"
 *         (these) or "cuda:N[,M...]" (counted from 0, of one kind).
 *  @return NTK_OK, NTK_ERROR_ARGUMENT (bad text), NTK_ERROR_DEVICE (no such device, or a build without CUDA). */
NTK_API ntk_status ntk_context_set_device(ntk_context *context, const char *device);

/** Where computations will run: "cpu", or e.g. "cuda:0,1". Valid until the next ntk_context_set_device. */
NTK_API const char *ntk_context_device(const ntk_context *context);

/** NULL, or what keeps CUDA devices that this machine seems to have from being used. Static storage. */
NTK_API const char *ntk_context_device_problem(const ntk_context *context);

/** Installs a progress callback; NULL removes it. */
NTK_API void ntk_context_set_progress(ntk_context *context, ntk_progress_fn callback, void *user);

/** Asks the computations of this context to stop soon with NTK_ERROR_INTERRUPTED. The context stays cancelled: later
 *  computations need a new one. Async-signal-safe. */
NTK_API void ntk_context_cancel(ntk_context *context);

#ifdef __cplusplus
}
#endif
#endif
