/* Internal: a source is where raw records come from: memory, or records at equal distances in one or a few files. */
#ifndef NTK_HOST_DATA_SOURCE_H
#define NTK_HOST_DATA_SOURCE_H

#include <ntk/network.h>
#include <ntk/npy.h>
#include <ntk/status.h>
#include <stdbool.h>
#include <stdint.h>

#define NTK_IMAGE_SIDE_MAX 4096
#define NTK_SOURCE_FILES 5

/* `count` records in one file; record k begins at byte offset + k * stride. */
typedef struct ntk_source_file {
  char *path;
  int fd;
  int64_t count, offset, stride;
} ntk_source_file;

typedef struct ntk_source {
  ntk_dtype dtype; /* U8, F32 or F64 */
  ntk_shape shape;
  int64_t count;   /* records of the whole source */
  int64_t values;  /* values of a record */
  int32_t *labels; /* one a record of the whole source, or NULL */
  int32_t classes;
  const void *memory; /* all records, or NULL: then they are in the files */
  void *owned;        /* freed with the source */
  int files;
  ntk_source_file file[NTK_SOURCE_FILES];
} ntk_source;

/* Checks a shape (vectors: height = width = 0) and fills shape and values. `name` is for messages. */
ntk_status ntk_source_set_shape(ntk_source *source, const char *name, ntk_shape shape);

/* Sets *classes to 1 + the largest label; refuses negative labels. */
ntk_status ntk_labels_check(const int32_t *labels, int64_t count, const char *name, int32_t *classes);

/* Copies `count` raw records from `record` on; thread-safe. */
ntk_status ntk_source_read(const ntk_source *source, int64_t record, int64_t count, void *out);

/* A name for messages: the file that holds a record, and the record's number in it. */
const char *ntk_source_locate(const ntk_source *source, int64_t record, int64_t *within);

void ntk_source_clear(ntk_source *source);

/* The sources; each fills a zeroed source, which the caller clears (after failures too). */

/* Fashion-MNIST in `folder`, or where Debian keeps it if NULL. Inflates images and labels into memory as bytes. */
ntk_status ntk_fashion_mnist_open(const char *folder, bool test, ntk_source *source);

/* The binary version of CIFAR-10 in `folder` or its subfolder cifar-10-batches-bin; records stay in the files. */
ntk_status ntk_cifar10_open(const char *folder, bool test, ntk_source *source);

/* Adds one file of CIFAR-10 records, whose labels it reads and checks. */
ntk_status ntk_cifar10_add(ntk_source *source, const char *path);

/* An array of inputs and, unless NULL, one of labels; inputs stay in their file. */
ntk_status ntk_array_open(const char *inputs, const char *labels, ntk_source *source);

/* Reads an IDX file of bytes with `rank` sizes (1..3), compressed by gzip or not. *bytes is freed by the caller. */
ntk_status ntk_idx_read(const char *path, int rank, int64_t *sizes, unsigned char **bytes);

#endif
