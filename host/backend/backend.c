#include "host/backend/backend.h"

#include <string.h>

static const ntk_backend backends[] = {
#ifdef NTK_X86
    {"avx512", &ntk_plane_avx512_f32, &ntk_plane_avx512_f64, ntk_plane_self_avx512, ntk_fc_row_avx512,
     ntk_dual_row_avx512, &ntk_feature_avx512, 2e9},
    {"avx2", &ntk_plane_avx2_f32, &ntk_plane_avx2_f64, ntk_plane_self_avx2, ntk_fc_row_avx2, ntk_dual_row_avx2,
     &ntk_feature_avx2, 1e9},
#endif
    {"baseline", &ntk_plane_baseline_f32, &ntk_plane_baseline_f64, ntk_plane_self_baseline, ntk_fc_row_baseline,
     ntk_dual_row_baseline, &ntk_feature_baseline, 3e8},
};
enum { BACKEND_COUNT = sizeof backends / sizeof *backends };

int ntk_backend_runs(const ntk_backend *backend) {
#ifdef NTK_X86
  __builtin_cpu_init();
  if (strcmp(backend->name, "avx512") == 0)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  if (strcmp(backend->name, "avx2") == 0) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
  (void)backend;
  return 1;
}

const ntk_backend *ntk_backend_find(const char *name) {
  for (int k = 0; k < BACKEND_COUNT; k++)
    if (strcmp(name, "auto") == 0 ? ntk_backend_runs(&backends[k]) : strcmp(name, backends[k].name) == 0)
      return &backends[k];
  return NULL;
}

const char *ntk_backend_names(void) {
#ifdef NTK_X86
  return "avx512 avx2 baseline";
#else
  return "baseline";
#endif
}
