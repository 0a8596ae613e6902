/* Inputs and labels in .npy files. */
#include <stdlib.h>
#include <string.h>

#include "host/data/npy.h"
#include "host/data/source.h"
#include "host/status.h"

static ntk_status set_inputs(ntk_source *source, const char *path, const ntk_npy_info *info) {
  if (info->dtype == NTK_DTYPE_I32 || info->dtype == NTK_DTYPE_I64)
    return ntk_fail(
        NTK_ERROR_DATA,
        "the inputs in %s are of type int%d; convert them with numpy.save(path, a.astype('<f8')), or to '|u1' or "
        "'<f4'",
        path, info->dtype == NTK_DTYPE_I32 ? 32 : 64);
  if (info->rank != 2 && info->rank != 4)
    return ntk_fail(
        NTK_ERROR_DATA,
        "%s has %d axes; inputs are N x C x H x W (images) or N x D (vectors): reshape it, e.g. one image or "
        "one channel with a[None] or a[:, None]",
        path, info->rank);
  if (info->shape[0] == 0) return ntk_fail(NTK_ERROR_DATA, "%s holds no records; at least one is needed", path);
  bool images = info->rank == 4;
  if (images && (info->shape[2] == 0 || info->shape[3] == 0))
    return ntk_fail(NTK_ERROR_DATA, "%s holds images without pixels; height and width must be at least 1", path);
  source->dtype = info->dtype;
  source->count = info->shape[0];
  ntk_shape shape = {info->shape[1], images ? info->shape[2] : 0, images ? info->shape[3] : 0};
  NTK_TRY(ntk_source_set_shape(source, path, shape));
  source->file[0].count = source->count;
  source->file[0].offset = info->data_offset;
  source->file[0].stride = source->values * ntk_dtype_size(info->dtype);
  return NTK_OK;
}

static ntk_status set_labels(ntk_source *source, const char *path, const char *inputs) {
  ntk_npy_info info;
  NTK_TRY(ntk_npy_read_i32(path, &info, &source->labels));
  if (info.rank != 1 && !(info.rank == 2 && info.shape[1] == 1))
    return ntk_fail(NTK_ERROR_DATA,
                    "%s has %d axes; labels are N class numbers in one axis: save a.ravel() or a.argmax(1)", path,
                    info.rank);
  if (info.shape[0] != source->count)
    return ntk_fail(NTK_ERROR_DATA, "%s holds %lld labels, but %s holds %lld records; every record needs one label",
                    path, (long long)info.shape[0], inputs, (long long)source->count);
  return ntk_labels_check(source->labels, source->count, path, &source->classes);
}

ntk_status ntk_array_open(const char *inputs, const char *labels, ntk_source *source) {
  ntk_npy_info info;
  NTK_TRY(ntk_npy_open(inputs, &info, &source->file[0].fd));
  source->files = 1;
  source->file[0].path = strdup(inputs);
  if (!source->file[0].path) return ntk_fail(NTK_ERROR_MEMORY, "no memory for the path %s", inputs);
  NTK_TRY(set_inputs(source, inputs, &info));
  return labels ? set_labels(source, labels, inputs) : NTK_OK;
}
