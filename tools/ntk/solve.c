#include <inttypes.h>
#include <string.h>

#include "tools/ntk/cli.h"

const cli_option cli_solve_options[] = {
    {"ridge", "R|auto", CLI_RIDGE, offsetof(cli_solve, ridge), 0, 0, false,
     "lambda added to the training diagonal; auto (default): chosen by "
     "leave-one-out on the training set (features of more than 4,000 records: by held-out ones), never by test "
     "data; 0: none"},
    {"unit-diagonal", NULL, CLI_FLAG, offsetof(cli_solve, unit_diagonal), 0, 0, false,
     "divide K(x,z) by sqrt(K(x,x) K(z,z)), and rows of features by their norm, first"},
    {"targets", "one-hot|centred", CLI_CHOICE, offsetof(cli_solve, targets), 0, 0, false,
     "1 and 0 (default), or 1 - 1/C and -1/C for C classes"},
    {"solver", "auto|cpu|cuda", CLI_CHOICE, offsetof(cli_solve, solver), 0, 0, false,
     "where the training matrix is factorised; auto (default): on the CUDA device "
     "where that is faster and it fits"},
    {0}};

static int check_shapes(const cli_solve_files *files, const ntk_regress_problem *problem, const int64_t train[2],
                        const int64_t test[2]) {
  const int data = CLI_EXIT_STATUS + NTK_ERROR_DATA;
  if (train[0] != train[1]) {
    return cli_fail(data, "%s is %" PRId64 " x %" PRId64 "; the training kernel is a square matrix",
                    files->train_kernel, train[0], train[1]);
  }
  if (train[0] != problem->train_count) {
    return cli_fail(data, "%s is %" PRId64 " x %" PRId64 " but there are %" PRId64 " training labels",
                    files->train_kernel, train[0], train[1], problem->train_count);
  }
  if (test[1] != train[0]) {
    return cli_fail(
        data, "%s has %" PRId64 " columns but %s has %" PRId64 "; rows are test points, columns training points%s",
        files->test_kernel, test[1], files->train_kernel, train[0],
        test[0] == train[0] ? " (this one looks transposed)" : "");
  }
  if (problem->test_labels && test[0] != problem->test_count) {
    return cli_fail(data, "%s has %" PRId64 " rows but there are %" PRId64 " test labels", files->test_kernel, test[0],
                    problem->test_count);
  }
  return CLI_EXIT_OK;
}

/* Shapes first, from the headers alone: reading a matrix can take minutes. */
static int check_files(const cli_solve *solve, const cli_solve_files *files, ntk_regress_problem *problem) {
  const char *const paths[] = {files->train_kernel, files->test_kernel};
  int64_t shapes[2][2];
  for (int i = 0; i < 2; ++i) {
    ntk_npy_info info;
    CLI_TRY(cli_check(ntk_npy_stat(paths[i], &info)));
    if (info.rank != 2) {
      return cli_fail(CLI_EXIT_STATUS + NTK_ERROR_DATA, "%s has rank %d; a kernel matrix has rank 2", paths[i],
                      info.rank);
    }
    shapes[i][0] = info.shape[0];
    shapes[i][1] = info.shape[1];
  }
  CLI_TRY(check_shapes(files, problem, shapes[0], shapes[1]));
  problem->test_count = shapes[1][0];
  return cli_regress_memory_check(problem->train_count, problem->test_count, !solve->ridge.fixed);
}

static int read_diagonal(const char *path, int64_t expected, double **values) {
  int64_t count;
  if (!path) return CLI_EXIT_OK;
  CLI_TRY(cli_vector_read(path, &count, values));
  if (count == expected) return CLI_EXIT_OK;
  return cli_fail(CLI_EXIT_STATUS + NTK_ERROR_DATA, "%s holds %" PRId64 " values but there are %" PRId64 " test points",
                  path, count, expected);
}

int cli_solve_check(const cli_solve *solve, const ntk_context *context) {
  if (solve->solver != NTK_SOLVER_CUDA || strcmp(ntk_context_device(context), "cpu") != 0) return CLI_EXIT_OK;
  return cli_fail(CLI_EXIT_STATUS + NTK_ERROR_DEVICE,
                  "--solver cuda needs a CUDA device, and this computes on the CPU: use --solver auto");
}

int cli_solve_run(ntk_context *context, const cli_solve *solve, const cli_solve_files *files, bool variance,
                  ntk_regress_problem *problem, ntk_regress_result *result) {
  double *train = NULL, *test = NULL, *diagonal = NULL;
  int64_t rows, columns;
  ntk_regress_options options = {.targets = (ntk_targets)solve->targets,
                                 .unit_diagonal = solve->unit_diagonal,
                                 .ridge = solve->ridge.value,
                                 .choose_ridge = !solve->ridge.fixed,
                                 .solver = (ntk_solver)solve->solver,
                                 .variance = variance};
  CLI_TRY(check_files(solve, files, problem));
  int code = cli_matrix_read(files->train_kernel, &rows, &columns, &train);
  if (code == CLI_EXIT_OK) code = cli_matrix_read(files->test_kernel, &rows, &columns, &test);
  if (code == CLI_EXIT_OK) code = read_diagonal(files->test_diagonal, problem->test_count, &diagonal);
  if (code == CLI_EXIT_OK) {
    problem->train_kernel = train;
    problem->test_kernel = test;
    problem->test_diagonal = diagonal;
    code = cli_check(ntk_regress(context, problem, &options, result));
    problem->train_kernel = problem->test_kernel = problem->test_diagonal = NULL;
  }
  ntk_npy_free(train);
  ntk_npy_free(test);
  ntk_npy_free(diagonal);
  return code;
}

void cli_solve_json(cli_json *json, const ntk_regress_result *result) {
  cli_json_real(json, "accuracy", result->accuracy);
  cli_json_real(json, "mean_squared_error", result->mean_squared_error);
  cli_json_real(json, "ridge", result->ridge);
  cli_json_real(json, "loo_accuracy", result->loo_accuracy);
  cli_json_real(json, "loo_error", result->loo_error);
  cli_json_text(json, "solver", result->solver);
}
