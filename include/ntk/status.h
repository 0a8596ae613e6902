/** @file status.h
 *  Status codes and error messages of libntk.
 *
 *  Every function that can fail returns an ntk_status. The library never prints, aborts or exits; the text of the last
 *  failure is kept per thread (ntk_last_error). Numbers are never reused; docs/errors.md explains each code.
 */
#ifndef NTK_STATUS_H
#define NTK_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/** Marks the public symbols; everything else in the shared library is hidden. */
#if defined(__GNUC__)
#define NTK_API __attribute__((visibility("default")))
#else
#define NTK_API
#endif

typedef enum ntk_status {
  NTK_OK = 0,
  NTK_ERROR_ARGUMENT = 1,     /**< A parameter is outside its documented range. */
  NTK_ERROR_NETWORK = 2,      /**< A network text cannot be parsed, or no such network exists for this input shape. */
  NTK_ERROR_UNSUPPORTED = 3,  /**< Understood, but not computed by this version. */
  NTK_ERROR_DATA = 4,         /**< Malformed, truncated or non-finite data; labels that do not match. */
  NTK_ERROR_IO = 5,           /**< A file cannot be opened, read or written; the disk is full. */
  NTK_ERROR_MEMORY = 6,       /**< The memory budget, or the machine's memory, is too small. */
  NTK_ERROR_MISMATCH = 7,     /**< A stored result belongs to another network, data set or precision. */
  NTK_ERROR_CORRUPT = 8,      /**< A stored result does not match its own checksums. */
  NTK_ERROR_NUMERIC = 9,      /**< A matrix is not positive definite. */
  NTK_ERROR_INTERRUPTED = 10, /**< ntk_context_cancel was called; finished tiles are safe. */
  NTK_ERROR_DEVICE = 11,      /**< A device is missing or failed. */
  NTK_ERROR_INTERNAL = 12     /**< A bug in libntk: please report it. */
} ntk_status;

/** The code's name, e.g. "NTK_ERROR_DATA"; "NTK_ERROR_UNKNOWN" for a number that is no code. Static storage. */
NTK_API const char *ntk_status_name(ntk_status status);

/** One clear sentence about the last call that failed in the calling thread, saying what to do about it; "" if none
 *  has failed. Owned by the library, valid until the next failing call of this thread. */
NTK_API const char *ntk_last_error(void);

#ifdef __cplusplus
}
#endif
#endif
