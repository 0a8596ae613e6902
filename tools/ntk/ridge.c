/* Regression in feature space: what `ntk regress` does with features instead of kernel matrices. */
#include <inttypes.h>
#include <stdio.h>

#include "tools/ntk/cli.h"

#define FORM_CHOICES "auto|primal|dual"

const cli_option cli_ridge_options[] = {
    {"held-out", "F", CLI_REAL, offsetof(cli_ridge_settings, held_out), 0, 1, false,
     "fraction of the training records, the same of each class, that chooses the ridge; all are fitted in the end "
     "(default: leave-one-out for up to 4,000 records, else 0.1)"},
    {"held-out-seed", "N", CLI_INTEGER, offsetof(cli_ridge_settings, held_out_seed), 0, 9007199254740992, false,
     "which records those are (default 0)"},
    {"form", FORM_CHOICES, CLI_CHOICE, offsetof(cli_ridge_settings, form), 0, 0, false,
     "the system to solve: features x features (primal) or records x records (dual); auto (default): the smaller"},
    {0}};

int cli_ridge_check(const char *verb, const cli_solve *solve, const cli_ridge_settings *settings) {
  if (solve->ridge.fixed && settings->held_out > 0)
    return cli_usage(verb, "--held-out chooses the ridge: it goes with --ridge auto");
  if (solve->solver == NTK_SOLVER_CUDA)
    return cli_usage(verb, "--solver cuda is for kernel matrices: features are regressed on the CPU");
  return CLI_EXIT_OK;
}

static int check_rows(const char *path, const ntk_feature_rows *rows, const char *kind, int64_t labels) {
  if (rows->count == labels) return CLI_EXIT_OK;
  return cli_fail(CLI_EXIT_STATUS + NTK_ERROR_DATA, "%s has %" PRId64 " rows but there are %" PRId64 " %s labels", path,
                  rows->count, labels, kind);
}

/* The matrix, the held-out rows, the weights (twice) and right-hand sides; blocks keep within the budget. */
static int check_memory(const ntk_context *context, const ntk_ridge_problem *p, const ntk_ridge_options *o) {
  ntk_system_info info;
  CLI_TRY(cli_check(ntk_system_query(&info)));
  const double n = (double)p->train.count, dim = (double)p->train.dim;
  const bool one_out =
      o->choose_ridge && o->held_out == 0 && o->form != NTK_RIDGE_PRIMAL && n <= NTK_RIDGE_MOST_LEFT_OUT;
  const bool dual = one_out || o->form == NTK_RIDGE_DUAL || (o->form == NTK_RIDGE_AUTO && n < dim);
  const double order = dual ? n : dim, share = o->held_out > 0 ? o->held_out : 0.1;
  const double held = o->choose_ridge && !dual ? 4 * share * n * dim : 0;
  const double needed =
      (one_out ? 32 : 8) * order * order + held + 16 * (dim + order) * p->classes + (double)ntk_context_memory(context);
  if (info.memory_bytes == 0 || needed <= (double)info.memory_bytes) return CLI_EXIT_OK;
  return cli_fail(CLI_EXIT_STATUS + NTK_ERROR_MEMORY,
                  "regression on %s training rows of %s features needs %s of memory, this machine has %s: use fewer "
                  "features or rows%s",
                  cli_format_count(p->train.count).text, cli_format_count(p->train.dim).text,
                  cli_format_bytes(needed).text, cli_format_bytes((double)info.memory_bytes).text,
                  o->form != NTK_RIDGE_AUTO ? ", or --form auto" : "");
}

static int solve_files(ntk_context *context, const ntk_ridge_options *options, const cli_ridge_input *in,
                       const ntk_feature_file *train, const ntk_feature_file *test, ntk_ridge_result *result) {
  const ntk_ridge_problem problem = {.train = ntk_feature_file_rows(train),
                                     .test = ntk_feature_file_rows(test),
                                     .classes = in->classes,
                                     .train_labels = in->train_labels,
                                     .test_labels = in->test_labels};
  CLI_TRY(check_rows(in->train_features, &problem.train, "training", in->train_count));
  if (in->test_labels) CLI_TRY(check_rows(in->test_features, &problem.test, "test", in->test_count));
  if (problem.train.dim != problem.test.dim) {
    return cli_fail(CLI_EXIT_STATUS + NTK_ERROR_DATA,
                    "%s has %" PRId64 " columns but %s has %" PRId64 "; both must come from the same feature map",
                    in->train_features, problem.train.dim, in->test_features, problem.test.dim);
  }
  CLI_TRY(check_memory(context, &problem, options));
  return cli_check(ntk_ridge(context, &problem, options, result));
}

int cli_ridge_run(ntk_context *context, const cli_solve *solve, const cli_ridge_settings *settings,
                  const cli_ridge_input *input, ntk_ridge_result *result) {
  const ntk_ridge_options options = {.targets = (ntk_targets)solve->targets,
                                     .unit_rows = solve->unit_diagonal,
                                     .ridge = solve->ridge.value,
                                     .choose_ridge = !solve->ridge.fixed,
                                     .held_out = settings->held_out,
                                     .held_out_seed = (uint64_t)settings->held_out_seed,
                                     .form = (ntk_ridge_form)settings->form};
  ntk_feature_file *train = NULL, *test = NULL;
  int code = cli_check(ntk_feature_file_open(input->train_features, &train));
  if (code == CLI_EXIT_OK) code = cli_check(ntk_feature_file_open(input->test_features, &test));
  if (code == CLI_EXIT_OK) code = solve_files(context, &options, input, train, test, result);
  ntk_feature_file_free(train);
  ntk_feature_file_free(test);
  return code;
}

void cli_ridge_json(cli_json *json, const ntk_ridge_result *result) {
  char form[32];
  cli_json_real(json, "accuracy", result->accuracy);
  cli_json_real(json, "mean_squared_error", result->mean_squared_error);
  cli_json_real(json, "ridge", result->ridge);
  cli_json_bool(json, "leave_one_out", result->leave_one_out);
  cli_json_integer(json, "held_out_count", result->held_out_count);
  cli_json_real(json, "held_out_accuracy", result->held_out_accuracy);
  cli_json_real(json, "held_out_error", result->held_out_error);
  cli_json_integer(json, "features", result->dim);
  cli_json_text(json, "form", cli_choice_name(FORM_CHOICES, (int)result->form, form, sizeof form));
  cli_json_text(json, "solver", result->solver);
  cli_json timings = cli_json_open();
  cli_json_real(&timings, "accumulate", result->accumulate_seconds);
  cli_json_real(&timings, "solve", result->solve_seconds);
  cli_json_real(&timings, "predict", result->predict_seconds);
  cli_json_object(json, "timings", &timings);
  cli_json_real(json, "accumulate_gflops", result->accumulate_gflops);
}

void cli_ridge_print(const ntk_ridge_result *result) {
  printf("features         %s\n", cli_format_count(result->dim).text);
  printf("ridge            %.6g%s\n", result->ridge,
         !result->held_out_count ? ""
         : result->leave_one_out ? " (chosen by leave-one-out)"
                                 : " (chosen on held-out records)");
  printf("%-17s%s", result->leave_one_out ? "leave-one-out" : "held out",
         cli_format_percent(result->held_out_accuracy).text);
  if (result->held_out_count && !result->leave_one_out) printf(" of %s", cli_format_count(result->held_out_count).text);
  printf("\naccumulating     %s, %.3g Gflop/s\n", cli_format_seconds(result->accumulate_seconds).text,
         result->accumulate_gflops);
  printf("solving          %s\n", cli_format_seconds(result->solve_seconds).text);
}
