/** @file version.h
 *  The version of libntk, at compile time and at run time. */
#ifndef NTK_VERSION_H
#define NTK_VERSION_H

#include <ntk/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NTK_VERSION_MAJOR 0
#define NTK_VERSION_MINOR 1
#define NTK_VERSION_PATCH 0
#define NTK_VERSION_STRING "0.1.0"

/** The version of the library that is linked, e.g. "0.1.0". Static storage. */
NTK_API const char *ntk_version(void);

#ifdef __cplusplus
}
#endif
#endif
