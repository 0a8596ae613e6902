/* Reading manifests: what is accepted can be written and read again, means the same, and differs from another identity.
 */
#include <stdlib.h>
#include <string.h>

#include "host/store/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const own_keys[] = {"format",  "format_version", "complete",  "journal", "rows",
                                       "columns", "dtype",          "symmetric", "tile",    "checksum"};

static void write_again(json_t *manifest, const ntk_store_shape *shape, bool complete) {
  json_t *information = json_deep_copy(manifest), *again = NULL;
  ntk_store_shape reread;
  bool still;
  char *text;
  for (size_t k = 0; k < sizeof own_keys / sizeof *own_keys; k++) json_object_del(information, own_keys[k]);
  if (ntk_store_manifest_text(information, shape, "K.npy.journal", complete, &text) != NTK_OK) abort();
  if (ntk_store_manifest_parse("K.npy.json", text, strlen(text), &again, &reread, &still) != NTK_OK) abort();
  if (reread.rows != shape->rows || reread.columns != shape->columns || reread.tile != shape->tile ||
      reread.dtype != shape->dtype || reread.symmetric != shape->symmetric || still != complete)
    abort();
  if (ntk_store_manifest_compare("K.npy", again, manifest) != NTK_OK) abort();
  free(text);
  json_decref(again);
  json_decref(information);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  json_t *manifest, *other = json_loads("{\"identity\": {\"network\": [1, {\"a\": 2}], \"x\": null}}", 0, NULL);
  ntk_store_shape shape;
  bool complete;
  if (ntk_store_manifest_parse("K.npy.json", (const char *)data, size, &manifest, &shape, &complete) == NTK_OK) {
    if (!ntk_store_shape_valid(&shape)) abort();
    write_again(manifest, &shape, complete);
    bool equal = json_equal(json_object_get(manifest, "identity"), json_object_get(other, "identity"));
    if (equal != (ntk_store_manifest_compare("K.npy", manifest, other) == NTK_OK)) abort();
    if (equal != (ntk_store_manifest_compare("K.npy", other, manifest) == NTK_OK)) abort();
  }
  json_decref(manifest);
  json_decref(other);
  return 0;
}
