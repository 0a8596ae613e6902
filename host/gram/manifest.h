/* Internal: what a stored matrix says about itself. */
#ifndef NTK_HOST_GRAM_MANIFEST_H
#define NTK_HOST_GRAM_MANIFEST_H

#include <jansson.h>
#include <ntk/dataset.h>
#include <ntk/plan.h>

/* The manifest of output `index`, the matrix at `path`, as JSON text, to be freed with free(); NULL without memory.
 * columns may be NULL. */
char *ntk_manifest_write(const ntk_plan *plan, size_t index, const char *isa, const ntk_dataset *rows,
                         const ntk_dataset *columns, const char *path);

/* What a data set is, for an identity, and for people the way to it again; NULL without memory. `path`: of the matrix.
 */
json_t *ntk_manifest_data(const ntk_dataset *data);
const char *ntk_manifest_preprocess_file(const ntk_dataset *data, const char *path);

/* Rebuilds, in float64, the plan that the manifest of the matrix at `path` describes, and opens its data sets (*columns
 * NULL when symmetric). NTK_ERROR_MISMATCH when the data changed. On success the caller frees all three. */
ntk_status ntk_manifest_rebuild(const json_t *manifest, const char *path, ntk_plan **plan, ntk_dataset **rows,
                                ntk_dataset **columns);

#endif
