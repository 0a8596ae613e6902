/* Regression with the training matrix factorised on a device: the CPU's results; on the stand-in, what goes wrong. */
#include <criterion/criterion.h>
#include <math.h>
#include <ntk/ntk.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support_regress.h"

static ntk_context *context(void) {
  ntk_context *out;
  cr_assert_eq(ntk_context_create(&out), NTK_OK, "%s", ntk_last_error());
  cr_assert_eq(strncmp(ntk_context_device(out), "cuda:0", 6), 0);
  return out;
}

static void expect_equal(const double *a, const double *b, int64_t count) {
  for (int64_t k = 0; k < count; k++) cr_assert_float_eq(a[k], b[k], 1e-9 * (1 + fabs(b[k])));
}

Test(cuda_solver, gives_the_results_of_the_cpu) {
  regress_case c;
  ntk_context *const cuda = context();
  regress_make(&c, 40, 12, 3, 5);
  for (int choose = 0; choose < 2; choose++) {
    ntk_regress_options options = {.ridge = 1e-3, .choose_ridge = choose, .variance = true, .solver = NTK_SOLVER_CPU};
    ntk_regress_result cpu, device;
    cr_assert_eq(ntk_regress(cuda, &c.problem, &options, &cpu), NTK_OK, "%s", ntk_last_error());
    options.solver = NTK_SOLVER_CUDA;
    cr_assert_eq(ntk_regress(cuda, &c.problem, &options, &device), NTK_OK, "%s", ntk_last_error());
    cr_assert_str_eq(cpu.solver, "CPU, LAPACK");
    cr_assert(strstr(device.solver, "CUDA device 0 ("), "%s", device.solver);
    cr_assert_eq(cpu.ridge, device.ridge);
    cr_assert_eq(cpu.accuracy, device.accuracy);
    expect_equal(device.predictions, cpu.predictions, 12 * 3);
    expect_equal(device.variance, cpu.variance, 12);
    ntk_regress_result_free(&cpu);
    ntk_regress_result_free(&device);
  }
  ntk_context_free(cuda);
}

/* A matrix of this size is factorised before a library is loaded. */
Test(cuda_solver_stand_in, auto_leaves_small_matrices_to_the_cpu) {
  regress_case c;
  ntk_context *const cuda = context();
  ntk_regress_result r;
  regress_make(&c, 30, 5, 3, 5);
  cr_assert_eq(ntk_regress(cuda, &c.problem, &(ntk_regress_options){.ridge = 1e-3}, &r), NTK_OK);
  cr_assert_str_eq(r.solver, "CPU, LAPACK");
  ntk_regress_result_free(&r);
  ntk_context_free(cuda);
}

static void expect_failure(const char *device, ntk_status status, const char *text) {
  regress_case c;
  ntk_context *cuda;
  ntk_regress_result r;
  regress_make(&c, 30, 5, 3, 5);
  cr_assert_eq(ntk_context_create(&cuda), NTK_OK);
  cr_assert_eq(ntk_context_set_device(cuda, device), NTK_OK);
  const ntk_regress_options options = {.ridge = 1e-3, .solver = NTK_SOLVER_CUDA};
  cr_assert_eq(ntk_regress(cuda, &c.problem, &options, &r), status, "%s", ntk_last_error());
  cr_assert(strstr(ntk_last_error(), text), "%s", ntk_last_error());
  cr_assert_null(r.predictions);
  ntk_context_free(cuda);
}

Test(cuda_solver_stand_in, refuses_without_a_device) { expect_failure("cpu", NTK_ERROR_DEVICE, "needs a CUDA device"); }

Test(cuda_solver_stand_in, does_the_sum_when_memory_lacks) {
  setenv("NTK_SHIM_MEMORY", "5000", 1); /* the matrix takes 7,200 bytes */
  expect_failure("cuda", NTK_ERROR_MEMORY, "the matrix would take");
}

Test(cuda_solver_stand_in, reports_a_library_that_fails) {
  setenv("NTK_SHIM_FAIL_SOLVER", "1", 1);
  expect_failure("cuda", NTK_ERROR_DEVICE, "cuSOLVER");
}

Test(cuda_solver, not_positive_definite) {
  regress_case c;
  ntk_context *const cuda = context();
  ntk_regress_result r;
  regress_make(&c, 10, 5, 3, 5);
  c.train[0] = -1; /* no kernel matrix */
  const ntk_regress_options options = {.ridge = 1e-9, .solver = NTK_SOLVER_CUDA};
  cr_assert_eq(ntk_regress(cuda, &c.problem, &options, &r), NTK_ERROR_NUMERIC, "%s", ntk_last_error());
  cr_assert(strstr(ntk_last_error(), "smallest eigenvalue"), "%s", ntk_last_error());
  ntk_context_free(cuda);
}
