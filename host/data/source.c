#include "host/data/source.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/data/file.h"
#include "host/data/npy.h"
#include "host/status.h"

ntk_status ntk_source_set_shape(ntk_source *source, const char *name, ntk_shape shape) {
  bool vector = shape.height == 0 && shape.width == 0;
  if (shape.channels < 1 || (!vector && (shape.height < 1 || shape.width < 1)))
    return ntk_fail(NTK_ERROR_DATA, "%s has records of %lld x %lld x %lld values; every size must be at least 1", name,
                    (long long)shape.channels, (long long)shape.height, (long long)shape.width);
  if (shape.height > NTK_IMAGE_SIDE_MAX || shape.width > NTK_IMAGE_SIDE_MAX)
    return ntk_fail(NTK_ERROR_DATA, "%s has images of %lld x %lld pixels; libntk takes up to %d x %d", name,
                    (long long)shape.height, (long long)shape.width, NTK_IMAGE_SIDE_MAX, NTK_IMAGE_SIDE_MAX);
  int64_t values, bytes;
  if (__builtin_mul_overflow(shape.channels, vector ? 1 : shape.height * shape.width, &values) ||
      __builtin_mul_overflow(values, (int64_t)sizeof(double), &bytes))
    return ntk_fail(NTK_ERROR_DATA, "the records of %s are too large to address", name);
  source->shape = shape;
  source->values = values;
  return NTK_OK;
}

ntk_status ntk_labels_check(const int32_t *labels, int64_t count, const char *name, int32_t *classes) {
  int32_t largest = 0;
  for (int64_t i = 0; i < count; i++) {
    int32_t label = labels[i];
    if (label < 0 || label == INT32_MAX)
      return ntk_fail(NTK_ERROR_DATA, "label number %lld (from 0) of %s is %d; labels are class numbers 0, 1, 2, ...",
                      (long long)i, name, label);
    if (label > largest) largest = label;
  }
  *classes = largest + 1;
  return NTK_OK;
}

static const ntk_source_file *file_of(const ntk_source *source, int64_t *record) {
  const ntk_source_file *file = source->file;
  while (*record >= file->count) *record -= file++->count;
  return file;
}

const char *ntk_source_locate(const ntk_source *source, int64_t record, int64_t *within) {
  *within = record;
  return source->memory ? "the data in memory" : file_of(source, within)->path;
}

ntk_status ntk_source_read(const ntk_source *source, int64_t record, int64_t count, void *out) {
  int64_t bytes = source->values * ntk_dtype_size(source->dtype);
  unsigned char *to = out;
  if (source->memory) {
    memcpy(to, (const unsigned char *)source->memory + record * bytes, (size_t)(count * bytes));
    return NTK_OK;
  }
  while (count > 0) {
    int64_t within = record;
    const ntk_source_file *file = file_of(source, &within);
    int64_t run = file->stride == bytes ? file->count - within : 1;
    if (run > count) run = count;
    NTK_TRY(ntk_file_read(file->fd, file->path, file->offset + within * file->stride, run * bytes, to));
    to += run * bytes;
    record += run;
    count -= run;
  }
  return NTK_OK;
}

void ntk_source_clear(ntk_source *source) {
  for (int i = 0; i < source->files; i++) {
    close(source->file[i].fd);
    free(source->file[i].path);
  }
  free(source->labels);
  free(source->owned);
  memset(source, 0, sizeof *source);
}
