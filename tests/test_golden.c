/* The engine against kernel values made with other people's software (shared/golden), in both precisions. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <ntk/ntk.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support.h"

static double *read_array(const char *folder, const char *name, const char *file, ntk_npy_info *info) {
  char path[1024];
  double *values = NULL;
  snprintf(path, sizeof path, "%s/golden/%s/%s.npy", folder, name, file);
  if (ntk_npy_read_f64(path, info, &values) != NTK_OK) return NULL;
  return values;
}

/* The golden values of an input with itself are good to 1e-7 only (their rho misses 1 by rounding, and k0 has infinite
 * slope there); ours are checked against the closed form in test_properties. */
static double worst_error(const double *got, const double *expected, int64_t rows, int64_t columns, bool symmetric,
                          double tolerance) {
  double worst = 0;
  for (int64_t k = 0; k < rows * columns; k++) {
    if (symmetric && k / columns == k % columns && fabs(got[k] / expected[k] - 1) <= fmax(tolerance, 1e-7)) continue;
    double error = expected[k] != 0 ? fabs(got[k] / expected[k] - 1) : fabs(got[k]);
    if (!(error <= worst)) worst = error;
  }
  return worst;
}

static void check_case(const char *folder, json_t *entry, ntk_precision precision, double tolerance) {
  const char *name = json_string_value(json_object_get(entry, "name"));
  const char *text = json_string_value(json_object_get(entry, "network"));
  ntk_npy_info x_info, z_info, info;
  double *x = read_array(folder, name, "X", &x_info), *z = read_array(folder, name, "Z", &z_info);
  double *ntk = read_array(folder, name, "ntk", &info), *nngp = read_array(folder, name, "nngp", &info);
  cr_assert(x && ntk && nngp, "golden case %s cannot be read: %s", name, ntk_last_error());
  int64_t nx = x_info.shape[0], nz = z ? z_info.shape[0] : nx;
  ntk_shape shape = {x_info.shape[1], 0, 0};
  if (x_info.rank == 4) shape = (ntk_shape){x_info.shape[1], x_info.shape[2], x_info.shape[3]};
  ntk_network *network = NULL;
  cr_assert_eq(ntk_network_parse(text, &network), NTK_OK, "%s: %s", name, ntk_last_error());
  ntk_plan *plan = NULL;
  ntk_plan_options options = {.kernels = NTK_KERNEL_BOTH, .precision = precision};
  cr_assert_eq(ntk_plan_create(network, shape, &options, &plan), NTK_OK, "%s: %s", name, ntk_last_error());
  double *out[2] = {calloc((size_t)(nx * nz), sizeof(double)), calloc((size_t)(nx * nz), sizeof(double))};
  cr_assert_eq(ntk_plan_block(NULL, plan, x, nx, z, nz, out), NTK_OK, "%s: %s", name, ntk_last_error());
  double e_ntk = worst_error(out[0], ntk, nx, nz, !z, tolerance),
         e_nngp = worst_error(out[1], nngp, nx, nz, !z, tolerance);
  if (getenv("NTK_TEST_VERBOSE"))
    fprintf(stderr, "%-24s %s ntk %.2e nngp %.2e\n", name, precision ? "f64" : "f32", e_ntk, e_nngp);
  cr_expect(e_ntk <= tolerance, "%s (%s): NTK off by %.3g", name, precision ? "f64" : "f32", e_ntk);
  cr_expect(e_nngp <= tolerance, "%s (%s): NNGP off by %.3g", name, precision ? "f64" : "f32", e_nngp);
  free(out[0]), free(out[1]);
  ntk_plan_free(plan);
  ntk_network_free(network);
  ntk_npy_free(x), ntk_npy_free(z), ntk_npy_free(ntk), ntk_npy_free(nngp);
}

static void check_all(ntk_precision precision, double tolerance) {
  const char *folder = ntk_test_shared_dir();
  char path[1024];
  if (!folder) cr_skip_test("no shared folder with golden values: set NTK_SHARED_DIR");
  snprintf(path, sizeof path, "%s/golden/index.json", folder);
  json_t *index = json_load_file(path, 0, NULL);
  cr_assert(json_is_array(index), "%s is missing or no JSON list", path);
  size_t k, cases = 0;
  json_t *entry;
  json_array_foreach(index, k, entry) {
    const char *only = getenv("NTK_GOLDEN"); /* part of a name */
    if (only && !strstr(json_string_value(json_object_get(entry, "name")), only)) continue;
    check_case(folder, entry, precision, tolerance);
    cases++;
  }
  cr_expect(cases > 40 || getenv("NTK_GOLDEN"), "only %zu golden cases", cases);
  json_decref(index);
}

Test(golden, float32) { check_all(NTK_F32, 1e-6); }
Test(golden, float64) { check_all(NTK_F64, 1e-9); }
