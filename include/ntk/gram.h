/** @file gram.h
 *  Whole kernel matrices on disk: tile by tile, crash-safe, resumable.
 *
 *  For the output path K.npy three files are kept: K.npy (a plain NumPy array, version 1.0, C order), K.npy.json (the
 *  manifest: network, data, preprocessing, precision, version) and K.npy.journal (finished tiles with checksums). A tile is
 *  journalled only after its values are durable, so that a process killed at any instant loses only tiles in flight.
 *  docs/store-format.md specifies the files.
 */
#ifndef NTK_GRAM_H
#define NTK_GRAM_H

#include <ntk/context.h>
#include <ntk/dataset.h>
#include <ntk/plan.h>
#include <ntk/status.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How a matrix is written. */
typedef struct ntk_gram_options {
  const char *path; /**< Where the matrix goes. With several outputs the name of each is put before ".npy":
                         K.npy gives K-ntk-lap4.npy and so on (ntk_gram_output_path). */
  bool resume;      /**< Go on with an interrupted computation of the same matrix; without it an existing path is refused. */
  bool overwrite;   /**< Replace an existing matrix (and its manifest and journal). */
  int64_t tile;     /**< Rows and columns of a tile; 0: chosen from the memory budget. Never changes a value. */
} ntk_gram_options;

/** What was done. */
typedef struct ntk_gram_report {
  int64_t pairs;            /**< Pairs of the whole matrix (the triangle of a symmetric one). */
  int64_t pairs_computed;   /**< Pairs computed by this run. */
  int64_t pairs_resumed;    /**< Pairs found finished. */
  int64_t pairs_recomputed; /**< Pairs recomputed in float64 because float32 could not resolve them; with a flip K(x,z)
                                 and K(Fx,z) count apart. */
  double seconds;           /**< Wall time of this run. */
  double entry_layers_per_second;
  int64_t tile;             /**< Tile size used. */
} ntk_gram_report;

/** The path of output `index` of a plan for ntk_gram_options.path `path`: the path itself when the plan has one output.
 *  @return NTK_OK, NTK_ERROR_ARGUMENT (index out of range, buffer too small). */
NTK_API ntk_status ntk_gram_output_path(const char *path, const ntk_plan *plan, size_t index, char *buffer, size_t size);

/** Computes K(rows, columns) to files: float32 values for NTK_F32 plans, float64 for NTK_F64.
 *  @param rows    data set of the rows.
 *  @param columns data set of the columns, or NULL: the symmetric matrix of `rows` against itself.
 *  @param report  receives what was done (also on failure, as far as it went); may be NULL.
 *  @return NTK_OK; NTK_ERROR_INTERRUPTED (cancelled; resumable); NTK_ERROR_MISMATCH (resume with another plan or data set);
 *          NTK_ERROR_CORRUPT; NTK_ERROR_IO (full disk: resumable); NTK_ERROR_MEMORY; NTK_ERROR_ARGUMENT. */
NTK_API ntk_status ntk_gram(ntk_context *context, const ntk_plan *plan, const ntk_dataset *rows,
                            const ntk_dataset *columns, const ntk_gram_options *options, ntk_gram_report *report);

/** What a verification found. */
typedef struct ntk_verify_report {
  int64_t entries;          /**< Entries recomputed. */
  double max_relative_error;/**< max |stored - float64| / |float64| (absolute where the float64 value is 0). */
  double mean_relative_error;
  int64_t worst_row, worst_column;
  double tolerance;         /**< The stated bound of the stored precision. */
} ntk_verify_report;

/** Recomputes a reproducible random sample of a finished matrix's entries in float64, from its manifest (whose data files
 *  must still be there).
 *  @param samples number of entries, >= 1. @param seed chooses them.
 *  @return NTK_OK; NTK_ERROR_IO; NTK_ERROR_CORRUPT; NTK_ERROR_MISMATCH (the data changed); others as ntk_gram. */
NTK_API ntk_status ntk_gram_verify(ntk_context *context, const char *path, int64_t samples, uint64_t seed,
                                   ntk_verify_report *report);

#ifdef __cplusplus
}
#endif
#endif
