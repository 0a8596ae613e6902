#include "host/status.h"

#include <ntk/version.h>
#include <stdarg.h>
#include <stdio.h>

static _Thread_local char last_error[2048];

ntk_status ntk_fail(ntk_status status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(last_error, sizeof last_error, format, arguments);
  va_end(arguments);
  return status;
}

const char *ntk_last_error(void) { return last_error; }

const char *ntk_status_name(ntk_status status) {
  switch (status) {
    case NTK_OK: return "NTK_OK";
    case NTK_ERROR_ARGUMENT: return "NTK_ERROR_ARGUMENT";
    case NTK_ERROR_NETWORK: return "NTK_ERROR_NETWORK";
    case NTK_ERROR_UNSUPPORTED: return "NTK_ERROR_UNSUPPORTED";
    case NTK_ERROR_DATA: return "NTK_ERROR_DATA";
    case NTK_ERROR_IO: return "NTK_ERROR_IO";
    case NTK_ERROR_MEMORY: return "NTK_ERROR_MEMORY";
    case NTK_ERROR_MISMATCH: return "NTK_ERROR_MISMATCH";
    case NTK_ERROR_CORRUPT: return "NTK_ERROR_CORRUPT";
    case NTK_ERROR_NUMERIC: return "NTK_ERROR_NUMERIC";
    case NTK_ERROR_INTERRUPTED: return "NTK_ERROR_INTERRUPTED";
    case NTK_ERROR_DEVICE: return "NTK_ERROR_DEVICE";
    case NTK_ERROR_INTERNAL: return "NTK_ERROR_INTERNAL";
  }
  return "NTK_ERROR_UNKNOWN";
}

const char *ntk_version(void) { return NTK_VERSION_STRING; }
