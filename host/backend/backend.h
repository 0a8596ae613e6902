/* Internal: the table of compute backends. Today the CPU's instruction sets; a GPU is one more row with the same
 * tile-level contract (host/gram/tiles.h). */
#ifndef NTK_HOST_BACKEND_BACKEND_H
#define NTK_HOST_BACKEND_BACKEND_H

#include "kernels/activation.h"
#include "kernels/fc.h"
#include "kernels/feature.h"
#include "kernels/plane.h"

typedef struct ntk_backend {
  const char *name; /* "avx512", "avx2", "baseline" */
  const ntk_plane_ops *plane_f32, *plane_f64;
  ntk_plane_self *plane_self;
  ntk_fc_row fc_row;
  ntk_dual_row dual_row;
  const ntk_feature_ops *features;
  double entry_layers_per_second; /* rough rate of one core, for choosing tile sizes only */
} ntk_backend;

/* The backend of that name, or the best one this machine runs for "auto"; NULL for an unknown name. */
const ntk_backend *ntk_backend_find(const char *name);

/* Whether this machine can run it. */
int ntk_backend_runs(const ntk_backend *backend);

/* The names of all backends in this build, best first, separated by spaces. */
const char *ntk_backend_names(void);

#endif
