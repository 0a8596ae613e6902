/* The header of a .npy file: magic, version, length and a Python dictionary of three entries. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "host/data/npy.h"
#include "host/status.h"

#define LONGEST_HEADER (1 << 20)

static const char magic[6] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};

static const struct {
  const char *descr;
  ntk_dtype dtype;
} types[] = {{"|u1", NTK_DTYPE_U8},  {"<u1", NTK_DTYPE_U8},  {"<i4", NTK_DTYPE_I32},
             {"<i8", NTK_DTYPE_I64}, {"<f4", NTK_DTYPE_F32}, {"<f8", NTK_DTYPE_F64}};

typedef struct cursor {
  const char *path;
  const char *at, *end;
} cursor;

int64_t ntk_dtype_size(ntk_dtype dtype) {
  switch (dtype) {
    case NTK_DTYPE_U8: return 1;
    case NTK_DTYPE_I32:
    case NTK_DTYPE_F32: return 4;
    case NTK_DTYPE_I64:
    case NTK_DTYPE_F64: return 8;
  }
  return 0;
}

int64_t ntk_npy_values(ntk_dtype dtype, int rank, const int64_t *shape) {
  int64_t values = 1, bytes;
  for (int axis = 0; axis < rank; axis++)
    if (shape[axis] < 0 || __builtin_mul_overflow(values, shape[axis], &values)) return -1;
  return __builtin_mul_overflow(values, ntk_dtype_size(dtype), &bytes) ? -1 : values;
}

static ntk_status malformed(const cursor *c, const char *why) {
  return ntk_fail(NTK_ERROR_DATA, "the .npy header of %s is malformed: %s; write the file again with numpy.save",
                  c->path, why);
}

static void skip_space(cursor *c) {
  while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t' || *c->at == '\r')) c->at++;
}

static bool take(cursor *c, const char *word) {
  skip_space(c);
  size_t length = strlen(word);
  if ((size_t)(c->end - c->at) < length || memcmp(c->at, word, length) != 0) return false;
  c->at += length;
  return true;
}

/* A Python string without escapes. */
static ntk_status parse_string(cursor *c, char *out, size_t capacity) {
  skip_space(c);
  if (c->at >= c->end || (*c->at != '\'' && *c->at != '"')) return malformed(c, "a quoted string is missing");
  char quote = *c->at++;
  size_t length = 0;
  for (; c->at < c->end && *c->at != quote; c->at++) {
    if (length + 1 >= capacity || *c->at < ' ' || *c->at > '~')
      return malformed(c, "a string is too long or not plain");
    out[length++] = *c->at;
  }
  if (c->at >= c->end) return malformed(c, "a string does not end");
  c->at++;
  out[length] = '\0';
  return NTK_OK;
}

static ntk_status parse_size(cursor *c, int64_t *size) {
  skip_space(c);
  if (c->at >= c->end || *c->at < '0' || *c->at > '9') return malformed(c, "the shape is not a tuple of sizes >= 0");
  int64_t value = 0;
  for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
    if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *c->at - '0', &value))
      return malformed(c, "a size in the shape is too large");
  *size = value;
  return NTK_OK;
}

static ntk_status parse_shape(cursor *c, ntk_npy_info *info) {
  if (!take(c, "(")) return malformed(c, "the shape is not a tuple");
  info->rank = 0;
  bool comma = true;
  while (!take(c, ")")) {
    int64_t size = 0;
    if (!comma) return malformed(c, "a comma is missing in the shape");
    NTK_TRY(parse_size(c, &size));
    if (info->rank == 4)
      return ntk_fail(NTK_ERROR_DATA, "%s has more than 4 axes; reshape it to N x C x H x W or fewer axes", c->path);
    info->shape[info->rank++] = size;
    comma = take(c, ",");
  }
  if (info->rank == 0)
    return ntk_fail(NTK_ERROR_DATA, "%s is a single number without axes; an array of 1 to 4 axes is needed", c->path);
  if (info->rank == 1 && !comma) return malformed(c, "the shape is not a tuple");
  for (int axis = info->rank; axis < 4; axis++) info->shape[axis] = 1;
  return NTK_OK;
}

static ntk_status parse_descr(cursor *c, ntk_npy_info *info) {
  char descr[16];
  if (take(c, "["))
    return ntk_fail(NTK_ERROR_DATA, "%s is a structured array; save one plain field of it with numpy.save", c->path);
  NTK_TRY(parse_string(c, descr, sizeof descr));
  for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
    if (strcmp(descr, types[i].descr) == 0) {
      info->dtype = types[i].dtype;
      return NTK_OK;
    }
  return ntk_fail(NTK_ERROR_DATA,
                  "%s holds values of type '%s', which libntk does not read; convert it with "
                  "numpy.save(path, a.astype('<f8')), or to '|u1', '<i4', '<i8' or '<f4'",
                  c->path, descr);
}

static ntk_status parse_order(cursor *c) {
  if (take(c, "False")) return NTK_OK;
  if (take(c, "True"))
    return ntk_fail(NTK_ERROR_DATA,
                    "%s is in Fortran order; save it in C order with numpy.save(path, numpy.ascontiguousarray(a))",
                    c->path);
  return malformed(c, "fortran_order is neither True nor False");
}

static ntk_status parse_dictionary(cursor *c, ntk_npy_info *info) {
  enum { DESCR = 1, ORDER = 2, SHAPE = 4, ALL = 7 };
  int seen = 0;
  bool comma = true;
  if (!take(c, "{")) return malformed(c, "it does not start with '{'");
  while (!take(c, "}")) {
    char key[16];
    if (!comma) return malformed(c, "a comma is missing between its entries");
    NTK_TRY(parse_string(c, key, sizeof key));
    int which = strcmp(key, "descr") == 0 ? DESCR : strcmp(key, "shape") == 0 ? SHAPE : ORDER;
    if (which == ORDER && strcmp(key, "fortran_order") != 0) return malformed(c, "it has an unknown entry");
    if (seen & which) return malformed(c, "it has an entry twice");
    seen |= which;
    if (!take(c, ":")) return malformed(c, "a colon is missing after a name");
    NTK_TRY(which == DESCR ? parse_descr(c, info) : which == SHAPE ? parse_shape(c, info) : parse_order(c));
    comma = take(c, ",");
  }
  if (seen != ALL) return malformed(c, "one of 'descr', 'fortran_order' and 'shape' is missing");
  skip_space(c);
  return c->at == c->end ? NTK_OK : malformed(c, "something follows the '}'");
}

static ntk_status check_size(const char *path, const ntk_npy_info *info, int64_t file_size) {
  int64_t values = ntk_npy_values(info->dtype, info->rank, info->shape);
  if (values < 0) return ntk_fail(NTK_ERROR_DATA, "the shape in the header of %s is too large for any file", path);
  int64_t want = values * ntk_dtype_size(info->dtype), have = file_size - info->data_offset;
  if (have < want)
    return ntk_fail(NTK_ERROR_DATA,
                    "%s is truncated: %lld bytes are missing of the %lld that its header promises; copy it again", path,
                    (long long)(want - have), (long long)want);
  if (have > want)
    return ntk_fail(NTK_ERROR_DATA,
                    "%s has %lld bytes after the end of its array; write the file again with numpy.save", path,
                    (long long)(have - want));
  return NTK_OK;
}

ntk_status ntk_npy_header_parse(const char *path, const unsigned char *bytes, int64_t size, int64_t file_size,
                                ntk_npy_info *info, int64_t *needed) {
  *needed = 0;
  if (size < 10 || memcmp(bytes, magic, sizeof magic) != 0)
    return ntk_fail(NTK_ERROR_DATA,
                    "%s is not a .npy file (it does not start with \"\\x93NUMPY\"); write it with numpy.save", path);
  int major = bytes[6], minor = bytes[7];
  if (major < 1 || major > 3 || minor != 0)
    return ntk_fail(NTK_ERROR_DATA, "%s is a .npy file of version %d.%d; libntk reads 1.0, 2.0 and 3.0", path, major,
                    minor);
  int64_t start = major == 1 ? 10 : 12;
  int64_t length = bytes[8] | bytes[9] << 8;
  if (major > 1 && size >= 12) length |= (int64_t)bytes[10] << 16 | (int64_t)bytes[11] << 24;
  if (size < start || length > file_size - start)
    return ntk_fail(NTK_ERROR_DATA, "%s is truncated: it ends inside its header; copy it again", path);
  if (length > LONGEST_HEADER)
    return ntk_fail(NTK_ERROR_DATA, "the .npy header of %s is %lld bytes long, too long for a plain array", path,
                    (long long)length);
  if (start + length > size) {
    *needed = start + length;
    return NTK_OK;
  }
  cursor c = {.path = path, .at = (const char *)bytes + start, .end = (const char *)bytes + start + length};
  NTK_TRY(parse_dictionary(&c, info));
  info->data_offset = start + length;
  return check_size(path, info, file_size);
}

static const char *descr_of(ntk_dtype dtype) {
  for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
    if (types[i].dtype == dtype) return types[i].descr;
  return "";
}

int ntk_npy_header_format(ntk_dtype dtype, int rank, const int64_t *shape, unsigned char out[NTK_NPY_HEADER_MAX]) {
  char text[NTK_NPY_HEADER_MAX];
  int length = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr_of(dtype));
  for (int axis = 0; axis < rank; axis++)
    length += snprintf(text + length, sizeof text - (size_t)length, axis ? ", %lld" : "%lld", (long long)shape[axis]);
  length += snprintf(text + length, sizeof text - (size_t)length, rank == 1 ? ",), }" : "), }");
  /* numpy leaves room to enlarge the first size to 21 digits in place; then pads to a multiple of 64, '\n' at the end.
   */
  int spare = 21 - snprintf(NULL, 0, "%lld", (long long)shape[0]);
  int total = (10 + length + spare + 1 + 63) / 64 * 64;
  memset(out, ' ', (size_t)total);
  memcpy(out, magic, sizeof magic);
  out[6] = 1;
  out[7] = 0;
  out[8] = (unsigned char)((total - 10) & 255);
  out[9] = (unsigned char)((total - 10) >> 8);
  memcpy(out + 10, text, (size_t)length);
  out[total - 1] = '\n';
  return total;
}
