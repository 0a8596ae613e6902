/* Internal to host/store: the three files of a matrix and what is done with them. docs/store-format.md specifies them.
 */
#ifndef NTK_HOST_STORE_INTERNAL_H
#define NTK_HOST_STORE_INTERNAL_H

#include <jansson.h>
#include <pthread.h>

#include "host/store/store.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the files are little endian and are written from memory as it is"
#endif

/* ---- files.c: names, whole reads and writes, messages of failed system calls ---- */

/* In the order in which new files get their names: a manifest means that the other two are there. */
typedef enum ntk_store_kind { NTK_STORE_JOURNAL, NTK_STORE_DATA, NTK_STORE_MANIFEST, NTK_STORE_KINDS } ntk_store_kind;

/* Where a matrix lies. Names are relative to the open folder, so that a later chdir does not matter. */
typedef struct ntk_store_place {
  char *path[NTK_STORE_KINDS];   /* for messages */
  char *staged[NTK_STORE_KINDS]; /* names in the folder while a file is being prepared: <name>.new */
  const char *name[NTK_STORE_KINDS];
  int folder;
} ntk_store_place;

typedef struct ntk_store_file {
  int fd;           /* -1: not open */
  const char *path; /* for messages; owned by the place */
  int64_t size;     /* bytes in the end */
} ntk_store_file;

ntk_status ntk_store_place_init(ntk_store_place *place, const char *path);
void ntk_store_place_free(ntk_store_place *place);
ntk_status ntk_store_place_sync(const ntk_store_place *place);
/* Whether a file is there. It must then be a regular file: a link or a folder is refused. */
ntk_status ntk_store_place_has(const ntk_store_place *place, ntk_store_kind kind, bool *there);

/* "K.npy cannot be <verb>: <errno>", with bytes needed and free when the disk is full. */
ntk_status ntk_store_file_fail(const ntk_store_file *file, const char *verb);
ntk_status ntk_store_file_write(const ntk_store_file *file, const void *bytes, size_t size, int64_t offset);
/* *got < size only at the end of the file. */
ntk_status ntk_store_file_read(const ntk_store_file *file, void *bytes, size_t size, int64_t offset, size_t *got);
ntk_status ntk_store_file_sync(const ntk_store_file *file);
/* Reserves blocks for file->size bytes; extends the file to that size if `extend`. */
ntk_status ntk_store_file_reserve(const ntk_store_file *file, bool extend);
ntk_status ntk_store_file_resize(const ntk_store_file *file, int64_t size);
/* Takes the lock of a journal without waiting. */
ntk_status ntk_store_file_lock(const ntk_store_file *journal, const char *matrix);
void ntk_store_file_close(ntk_store_file *file);

/* ---- layout.c: the .npy file ---- */

typedef struct ntk_store_shape {
  int64_t rows, columns, tile;
  ntk_dtype dtype;
  bool symmetric;
} ntk_store_shape;

enum { NTK_STORE_NPY_HEADER = 128 }; /* the longest header fits, and the data stay aligned to 64 bytes */

/* Whether the numbers make sense and no size overflows. */
bool ntk_store_shape_valid(const ntk_store_shape *shape);
int64_t ntk_store_shape_bytes(const ntk_store_shape *shape); /* of the whole .npy file */
int64_t ntk_store_shape_tiles(const ntk_store_shape *shape); /* to be computed: the triangle of a symmetric matrix */
/* 0 .. tiles - 1, or -1 if there is no such tile. */
int64_t ntk_store_tile_index(const ntk_store_shape *shape, int64_t tile_row, int64_t tile_column);
const char *ntk_store_dtype_name(ntk_dtype dtype);

void ntk_store_npy_header(const ntk_store_shape *shape, char header[NTK_STORE_NPY_HEADER]);
/* Accepts exactly what ntk_store_npy_header writes; fills in rows, columns and dtype. */
bool ntk_store_npy_parse(const char header[NTK_STORE_NPY_HEADER], ntk_store_shape *shape);

/* Writes a tile (and its mirror image) and gives the checksum of the bytes stored. */
ntk_status ntk_store_tile_write(const ntk_store_file *data, const ntk_store_shape *shape, int64_t tile_row,
                                int64_t tile_column, const double *values, uint64_t *checksum);
/* The checksum of a tile as it is stored now. */
ntk_status ntk_store_tile_checksum(const ntk_store_file *data, const ntk_store_shape *shape, int64_t tile_row,
                                   int64_t tile_column, uint64_t *checksum);
/* "rows 0..63, columns 64..99" */
void ntk_store_tile_text(const ntk_store_shape *shape, int64_t tile_row, int64_t tile_column, char *text, size_t size);

/* ---- journal.c ---- */

enum { NTK_STORE_JOURNAL_HEADER = 64, NTK_STORE_JOURNAL_RECORD = 40 };

typedef struct ntk_store_record {
  int64_t tile_row, tile_column;
  uint64_t checksum; /* of the tile's stored bytes */
  int64_t durable;   /* records known to be durable when this one was written */
} ntk_store_record;

/* Called for the whole records in order. */
typedef ntk_status (*ntk_store_visit)(void *user, int64_t index, const ntk_store_record *record);

/* *seed binds records to their header. */
void ntk_store_journal_header(const ntk_store_shape *shape, uint8_t header[NTK_STORE_JOURNAL_HEADER], uint64_t *seed);
void ntk_store_journal_encode(const ntk_store_record *record, uint64_t seed, uint8_t bytes[NTK_STORE_JOURNAL_RECORD]);
ntk_status ntk_store_journal_open(const ntk_store_file *journal, ntk_store_shape *shape, uint64_t *seed);
/* *records: how many whole records there are; what a crash tore is not counted. */
ntk_status ntk_store_journal_scan(const ntk_store_file *journal, const ntk_store_shape *shape, uint64_t seed,
                                  ntk_store_visit visit, void *user, int64_t *records);
int64_t ntk_store_journal_bytes(int64_t records);

/* ---- manifest.c ---- */

/* Parses and checks what the caller of ntk_store_open gives. */
ntk_status ntk_store_manifest_information(const char *path, const char *text, json_t **information);
/* Parses and checks a stored manifest. */
ntk_status ntk_store_manifest_parse(const char *path, const char *text, size_t size, json_t **manifest,
                                    ntk_store_shape *shape, bool *complete);
ntk_status ntk_store_manifest_load(const char *path, int folder, const char *name, char **text, size_t *size);
/* NTK_ERROR_MISMATCH unless the identities are equal. */
ntk_status ntk_store_manifest_compare(const char *path, const json_t *stored, const json_t *wanted);
ntk_status ntk_store_manifest_text(const json_t *information, const ntk_store_shape *shape, const char *journal,
                                   bool complete, char **text);
/* Writes the text under its staged name and makes it durable. */
ntk_status ntk_store_manifest_stage(const ntk_store_place *place, const char *text);
/* Puts a manifest in the place of the present one. */
ntk_status ntk_store_manifest_replace(const ntk_store_place *place, const json_t *information,
                                      const ntk_store_shape *shape, bool complete);

/* ---- open.c, write.c ---- */

typedef struct ntk_store_matrix {
  ntk_store_place place;
  ntk_store_file data, journal;
  ntk_store_file replaced;    /* the journal of the matrix that a new one replaces, kept locked meanwhile */
  json_t *information;        /* what the caller says about the matrix */
  bool fresh;                 /* created by this ntk_store_open */
  bool complete;              /* what the manifest says */
  unsigned staged, installed; /* kinds with a file to remove should ntk_store_open fail: .new, final name */
  uint64_t seed;              /* of the journal's records */
  int64_t records;            /* durable */
  int64_t appended;           /* written, not yet durable */
  uint8_t *done;              /* by tile */
} ntk_store_matrix;

/* A tile that is written but not yet journalled. */
typedef struct ntk_store_pending {
  struct ntk_store_pending *next;
  int64_t tile_row, tile_column, index;
  uint64_t checksums[]; /* by matrix; unused where the matrix had the tile already */
} ntk_store_pending;

struct ntk_store {
  ntk_store_shape shape;
  int64_t tiles;
  size_t count;
  ntk_store_matrix *matrices;
  pthread_mutex_t lock; /* guards everything below, and done and records of the matrices */
  pthread_cond_t idle;  /* signalled when a commit ends */
  bool committing;
  uint8_t *claimed; /* by tile: finished, pending, or being written */
  ntk_store_pending *pending, *pending_last;
  int64_t last_commit; /* monotonic nanoseconds */
  ntk_status failed;   /* a sync failed: what was pending may be lost, so that nothing more is journalled */
  char failure[1024];
};

int64_t ntk_store_now(void);
/* Closes and frees everything; removes the files that a failed ntk_store_open had begun. */
void ntk_store_free(ntk_store *store);

#endif
