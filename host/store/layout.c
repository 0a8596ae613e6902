#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "host/status.h"
#include "host/store/internal.h"

enum { BAND_BYTES = 1 << 16 }; /* rows are rounded and transposed through a buffer of about this size */

static int64_t value_bytes(const ntk_store_shape *shape) { return shape->dtype == NTK_DTYPE_F32 ? 4 : 8; }

static int64_t tiles_along(int64_t length, int64_t tile) { return (length - 1) / tile + 1; }

bool ntk_store_shape_valid(const ntk_store_shape *shape) {
  int64_t count;
  if (shape->rows < 1 || shape->columns < 1 || shape->tile < 1) return false;
  if (shape->dtype != NTK_DTYPE_F32 && shape->dtype != NTK_DTYPE_F64) return false;
  if (shape->symmetric && shape->rows != shape->columns) return false;
  if (__builtin_mul_overflow(shape->rows, shape->columns, &count)) return false;
  return count <= (INT64_MAX - NTK_STORE_NPY_HEADER) / value_bytes(shape);
}

int64_t ntk_store_shape_bytes(const ntk_store_shape *shape) {
  return NTK_STORE_NPY_HEADER + shape->rows * shape->columns * value_bytes(shape);
}

int64_t ntk_store_shape_tiles(const ntk_store_shape *shape) {
  int64_t down = tiles_along(shape->rows, shape->tile), across = tiles_along(shape->columns, shape->tile);
  return shape->symmetric ? (across % 2 ? (across + 1) / 2 * across : across / 2 * (across + 1)) : down * across;
}

int64_t ntk_store_tile_index(const ntk_store_shape *shape, int64_t tile_row, int64_t tile_column) {
  int64_t down = tiles_along(shape->rows, shape->tile), across = tiles_along(shape->columns, shape->tile);
  if (tile_row < 0 || tile_column < 0 || tile_row >= down || tile_column >= across) return -1;
  if (!shape->symmetric) return tile_row * across + tile_column;
  if (tile_row > tile_column) return -1;
  return tile_column * (tile_column + 1) / 2 + tile_row; /* column by column of the upper triangle */
}

const char *ntk_store_dtype_name(ntk_dtype dtype) { return dtype == NTK_DTYPE_F32 ? "float32" : "float64"; }

void ntk_store_npy_header(const ntk_store_shape *shape, char header[NTK_STORE_NPY_HEADER]) {
  memset(header, ' ', NTK_STORE_NPY_HEADER);
  memcpy(header, "\x93NUMPY\x01\x00", 8);
  header[8] = NTK_STORE_NPY_HEADER - 10;
  header[9] = 0;
  char text[NTK_STORE_NPY_HEADER - 10];
  int length =
      snprintf(text, sizeof text, "{'descr': '<f%d', 'fortran_order': False, 'shape': (%" PRId64 ", %" PRId64 "), }",
               (int)value_bytes(shape), shape->rows, shape->columns);
  memcpy(header + 10, text, (size_t)length);
  header[NTK_STORE_NPY_HEADER - 1] = '\n';
}

bool ntk_store_npy_parse(const char header[NTK_STORE_NPY_HEADER], ntk_store_shape *shape) {
  char text[NTK_STORE_NPY_HEADER - 9] = "", again[NTK_STORE_NPY_HEADER];
  int width = 0;
  memcpy(text, header + 10, sizeof text - 1);
  if (sscanf(text, "{'descr': '<f%1d', 'fortran_order': False, 'shape': (%18" SCNd64 ", %18" SCNd64 "), }", &width,
             &shape->rows, &shape->columns) != 3)
    return false;
  shape->dtype = width == 4 ? NTK_DTYPE_F32 : NTK_DTYPE_F64;
  shape->tile = 1;
  shape->symmetric = false;
  if (!ntk_store_shape_valid(shape)) return false;
  ntk_store_npy_header(shape, again);
  return memcmp(header, again, sizeof again) == 0;
}

/* A block of the file, and where its values come from. */
typedef struct block {
  int64_t row, column, rows, columns;
  const double *values;
  int64_t row_step, column_step; /* in values */
} block;

static int64_t tile_end(int64_t number, int64_t tile, int64_t length) {
  return number >= tiles_along(length, tile) - 1 ? length : (number + 1) * tile;
}

static block tile_block(const ntk_store_shape *shape, int64_t tile_row, int64_t tile_column, const double *values) {
  block area = {.row = tile_row * shape->tile, .column = tile_column * shape->tile, .values = values};
  area.rows = tile_end(tile_row, shape->tile, shape->rows) - area.row;
  area.columns = tile_end(tile_column, shape->tile, shape->columns) - area.column;
  area.row_step = area.columns;
  area.column_step = 1;
  return area;
}

static block mirrored(block area) {
  return (block){.row = area.column,
                 .column = area.row,
                 .rows = area.columns,
                 .columns = area.rows,
                 .values = area.values,
                 .row_step = area.column_step,
                 .column_step = area.row_step};
}

static void put(void *bytes, bool narrow, int64_t at, double value) {
  if (narrow)
    ((float *)bytes)[at] = (float)value;
  else
    ((double *)bytes)[at] = value;
}

static void encode(const block *area, int64_t first, int64_t count, bool narrow, void *bytes) {
  const double *values = area->values + first * area->row_step;
  if (area->column_step == 1) {
    for (int64_t row = 0; row < count; row++)
      for (int64_t column = 0; column < area->columns; column++)
        put(bytes, narrow, row * area->columns + column, values[row * area->row_step + column]);
  } else { /* transposing: along the values' rows, which are the block's columns */
    for (int64_t column = 0; column < area->columns; column++)
      for (int64_t row = 0; row < count; row++)
        put(bytes, narrow, row * area->columns + column, values[column * area->column_step + row]);
  }
}

typedef struct tile_io {
  const ntk_store_file *data;
  const ntk_store_shape *shape;
  XXH3_state_t *hash;
  void *buffer;
  int64_t buffer_bytes;
} tile_io;

/* Moves `size` bytes between the file and the buffer. */
static ntk_status move(const tile_io *io, bool write, char *bytes, int64_t size, int64_t offset) {
  if (write) return ntk_store_file_write(io->data, bytes, (size_t)size, offset);
  size_t got;
  NTK_TRY(ntk_store_file_read(io->data, bytes, (size_t)size, offset, &got));
  if (got == (size_t)size) return NTK_OK;
  return ntk_fail(NTK_ERROR_CORRUPT,
                  "%s ends at byte %lld although it should have %lld: restore it, or start again with --overwrite",
                  io->data->path, (long long)offset + (long long)got, (long long)io->data->size);
}

/* Writes (with values) or reads a block band by band, hashing its bytes. */
static ntk_status block_io(const tile_io *io, const block *area) {
  int64_t width = value_bytes(io->shape), line = area->columns * width;
  int64_t band = io->buffer_bytes / line;
  bool whole_lines = area->columns == io->shape->columns;
  for (int64_t first = 0; first < area->rows; first += band) {
    int64_t rows = area->rows - first < band ? area->rows - first : band;
    if (area->values) encode(area, first, rows, width == 4, io->buffer);
    int64_t pieces = whole_lines ? 1 : rows, piece = rows * line / pieces;
    for (int64_t k = 0; k < pieces; k++) {
      int64_t place = (area->row + first + k) * io->shape->columns + area->column;
      NTK_TRY(
          move(io, area->values != NULL, (char *)io->buffer + k * piece, piece, NTK_STORE_NPY_HEADER + place * width));
    }
    XXH3_64bits_update(io->hash, io->buffer, (size_t)(rows * line));
  }
  return NTK_OK;
}

static ntk_status tile_io_run(const ntk_store_file *data, const ntk_store_shape *shape, int64_t tile_row,
                              int64_t tile_column, const double *values, uint64_t *checksum) {
  block area = tile_block(shape, tile_row, tile_column, values), mirror = mirrored(area);
  int64_t line = (area.columns > area.rows ? area.columns : area.rows) * value_bytes(shape);
  tile_io io = {.data = data, .shape = shape, .buffer_bytes = line > BAND_BYTES ? line : BAND_BYTES};
  io.buffer = malloc((size_t)io.buffer_bytes);
  io.hash = XXH3_createState();
  ntk_status status;
  if (!io.buffer || !io.hash || XXH3_64bits_reset(io.hash) != XXH_OK) {
    status = ntk_fail(NTK_ERROR_MEMORY, "no memory for a buffer of %lld bytes", (long long)io.buffer_bytes);
  } else {
    status = block_io(&io, &area);
    if (status == NTK_OK && shape->symmetric && tile_row != tile_column) status = block_io(&io, &mirror);
    if (status == NTK_OK) *checksum = XXH3_64bits_digest(io.hash);
  }
  XXH3_freeState(io.hash);
  free(io.buffer);
  return status;
}

ntk_status ntk_store_tile_write(const ntk_store_file *data, const ntk_store_shape *shape, int64_t tile_row,
                                int64_t tile_column, const double *values, uint64_t *checksum) {
  return tile_io_run(data, shape, tile_row, tile_column, values, checksum);
}

ntk_status ntk_store_tile_checksum(const ntk_store_file *data, const ntk_store_shape *shape, int64_t tile_row,
                                   int64_t tile_column, uint64_t *checksum) {
  return tile_io_run(data, shape, tile_row, tile_column, NULL, checksum);
}

void ntk_store_tile_text(const ntk_store_shape *shape, int64_t tile_row, int64_t tile_column, char *text, size_t size) {
  block area = tile_block(shape, tile_row, tile_column, NULL);
  snprintf(text, size, "rows %lld..%lld, columns %lld..%lld", (long long)area.row,
           (long long)(area.row + area.rows - 1), (long long)area.column, (long long)(area.column + area.columns - 1));
}
