#include "host/store/create.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/status.h"

ntk_status ntk_store_still_named(const ntk_store_place *place, const ntk_store_file *file, const char *name) {
  struct stat mine, there;
  if (fstat(file->fd, &mine) == 0 && fstatat(place->folder, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
      mine.st_ino == there.st_ino && mine.st_dev == there.st_dev)
    return NTK_OK;
  return ntk_fail(NTK_ERROR_IO, "another run created %s at the same moment: try again", place->path[NTK_STORE_DATA]);
}

static ntk_status stage_file(ntk_store_matrix *matrix, ntk_store_kind kind, ntk_store_file *file) {
  const ntk_store_place *place = &matrix->place;
  file->path = place->path[kind];
  file->fd = openat(place->folder, place->staged[kind], O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  return file->fd < 0 ? ntk_store_file_fail(file, "created") : NTK_OK;
}

/* Writes a header into a staged file and reserves the rest. */
static ntk_status fill(const ntk_store_file *file, const void *header, size_t size, bool extend) {
  NTK_TRY(ntk_store_file_resize(file, 0));
  NTK_TRY(ntk_store_file_reserve(file, extend));
  NTK_TRY(ntk_store_file_write(file, header, size, 0));
  return ntk_store_file_sync(file);
}

/* The staged journal's lock also says who may touch the other staged files. */
static ntk_status stage_journal(ntk_store_matrix *matrix, const ntk_store_shape *shape) {
  const ntk_store_place *place = &matrix->place;
  ntk_store_file *journal = &matrix->journal;
  uint8_t header[NTK_STORE_JOURNAL_HEADER];
  journal->size = ntk_store_journal_bytes(ntk_store_shape_tiles(shape));
  NTK_TRY(stage_file(matrix, NTK_STORE_JOURNAL, journal));
  NTK_TRY(ntk_store_file_lock(journal, place->path[NTK_STORE_DATA]));
  NTK_TRY(ntk_store_still_named(place, journal, place->staged[NTK_STORE_JOURNAL]));
  matrix->staged = (1u << NTK_STORE_KINDS) - 1;
  ntk_store_journal_header(shape, header, &matrix->seed);
  return fill(journal, header, sizeof header, false);
}

static ntk_status stage_data(ntk_store_matrix *matrix, const ntk_store_shape *shape) {
  char header[NTK_STORE_NPY_HEADER];
  matrix->data.size = ntk_store_shape_bytes(shape);
  NTK_TRY(stage_file(matrix, NTK_STORE_DATA, &matrix->data));
  ntk_store_npy_header(shape, header);
  return fill(&matrix->data, header, sizeof header, true);
}

ntk_status ntk_store_stage(ntk_store_matrix *matrix, const ntk_store_shape *shape) {
  const ntk_store_place *place = &matrix->place;
  NTK_TRY(stage_journal(matrix, shape));
  /* Since the journal was looked for another run may have come and gone. */
  bool there;
  NTK_TRY(ntk_store_place_has(place, NTK_STORE_JOURNAL, &there));
  if (there && matrix->replaced.fd < 0)
    return ntk_fail(NTK_ERROR_IO, "another run created %s at the same moment: try again", place->path[NTK_STORE_DATA]);
  NTK_TRY(stage_data(matrix, shape));
  char *text;
  NTK_TRY(ntk_store_manifest_text(matrix->information, shape, place->name[NTK_STORE_JOURNAL], false, &text));
  ntk_status status = ntk_store_manifest_stage(place, text);
  free(text);
  return status;
}

static ntk_status install_file(ntk_store_matrix *matrix, ntk_store_kind kind) {
  const ntk_store_place *place = &matrix->place;
  if (renameat(place->folder, place->staged[kind], place->folder, place->name[kind]) < 0) {
    ntk_store_file file = {.fd = -1, .path = place->path[kind]};
    return ntk_store_file_fail(&file, "given its name");
  }
  matrix->staged &= ~(1u << kind);
  matrix->installed |= 1u << kind;
  return NTK_OK;
}

/* The old manifest goes first and the new one comes last, each step durable before the next: at no time does a manifest
 * describe another matrix's values. */
ntk_status ntk_store_install(ntk_store_matrix *matrix) {
  const ntk_store_place *place = &matrix->place;
  if (unlinkat(place->folder, place->name[NTK_STORE_MANIFEST], 0) == 0) {
    NTK_TRY(ntk_store_place_sync(place));
  } else if (errno != ENOENT) {
    ntk_store_file file = {.fd = -1, .path = place->path[NTK_STORE_MANIFEST]};
    return ntk_store_file_fail(&file, "removed");
  }
  NTK_TRY(install_file(matrix, NTK_STORE_JOURNAL));
  NTK_TRY(ntk_store_place_sync(place));
  NTK_TRY(install_file(matrix, NTK_STORE_DATA));
  NTK_TRY(ntk_store_place_sync(place));
  NTK_TRY(install_file(matrix, NTK_STORE_MANIFEST));
  return ntk_store_place_sync(place);
}
