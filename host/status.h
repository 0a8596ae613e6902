/* Internal: raising errors. */
#ifndef NTK_HOST_STATUS_H
#define NTK_HOST_STATUS_H

#include <ntk/status.h>

/* Stores the message for ntk_last_error of this thread and returns the status: `return ntk_fail(NTK_ERROR_IO, ...)`. */
ntk_status ntk_fail(ntk_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Forwards a failure: `NTK_TRY(call)` returns the status of a call that did not give NTK_OK. */
#define NTK_TRY(call)                          \
  do {                                         \
    ntk_status try_status_ = (call);           \
    if (try_status_ != NTK_OK) return try_status_; \
  } while (0)

#endif
