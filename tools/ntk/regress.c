#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/ntk/cli.h"

typedef struct settings {
  cli_solve solve;
  cli_ridge_settings ridge;
  const char *train_features, *test_features, *weights;
  const char *train_kernel, *train_labels, *test_kernel, *test_labels, *test_diagonal;
  const char *variance, *predictions, *report;
  const char *device;
  int64_t threads;
  bool json;
} settings;

typedef struct job {
  const settings *settings;
  ntk_context *context;
  int32_t *train_labels, *test_labels;
  ntk_regress_problem problem;
  ntk_regress_result result;
  ntk_ridge_result ridge; /* of features */
  double started;
} job;

static int read_labels(job *j) {
  const settings *s = j->settings;
  ntk_regress_problem *p = &j->problem;
  CLI_TRY(cli_labels_read(s->train_labels, &p->train_count, &p->classes, &j->train_labels));
  if (s->test_labels) CLI_TRY(cli_labels_read(s->test_labels, &p->test_count, &p->classes, &j->test_labels));
  p->train_labels = j->train_labels;
  p->test_labels = j->test_labels;
  if (p->classes < 2) p->classes = 2; /* all training labels may be 0 */
  return CLI_EXIT_OK;
}

static int write_results(const job *j) {
  const settings *s = j->settings;
  int64_t shape[] = {j->problem.test_count, j->problem.classes};
  const double *predictions = s->train_features ? j->ridge.predictions : j->result.predictions;
  if (s->predictions) CLI_TRY(cli_check(ntk_npy_write(s->predictions, NTK_DTYPE_F64, 2, shape, predictions)));
  if (s->variance) CLI_TRY(cli_check(ntk_npy_write(s->variance, NTK_DTYPE_F64, 1, shape, j->result.variance)));
  if (!s->weights) return CLI_EXIT_OK;
  shape[0] = j->ridge.dim;
  return cli_check(ntk_npy_write(s->weights, NTK_DTYPE_F64, 2, shape, j->ridge.weights));
}

static cli_json describe(const job *j) {
  const settings *s = j->settings;
  cli_json json = cli_json_open();
  cli_json_text(&json, "verb", "regress");
  cli_json_text(&json, "version", ntk_version());
  if (s->train_features) {
    cli_ridge_json(&json, &j->ridge);
  } else {
    cli_solve_json(&json, &j->result);
  }
  cli_json_integer(&json, "train_count", j->problem.train_count);
  cli_json_integer(&json, "test_count", j->problem.test_count);
  cli_json_integer(&json, "classes", j->problem.classes);
  cli_json_bool(&json, "unit_diagonal", s->solve.unit_diagonal);
  cli_json_text(&json, "targets", s->solve.targets ? "centred" : "one-hot");
  cli_json_text(&json, s->train_features ? "train_features" : "train_kernel",
                s->train_features ? s->train_features : s->train_kernel);
  cli_json_text(&json, s->test_features ? "test_features" : "test_kernel",
                s->test_features ? s->test_features : s->test_kernel);
  const char *const names[] = {"predictions", "variance", "weights", "report"};
  const char *const paths[] = {s->predictions, s->variance, s->weights, s->report};
  cli_json_list(&json, "outputs");
  for (int i = 0; i < 4; ++i) {
    if (!paths[i]) continue;
    cli_json child = cli_json_open();
    cli_json_text(&child, "name", names[i]);
    cli_json_text(&child, "path", paths[i]);
    cli_json_append(&json, "outputs", &child);
  }
  cli_json_real(&json, "seconds", cli_now() - j->started);
  return json;
}

static void print_solution(const job *j) {
  const ntk_regress_result *r = &j->result;
  if (j->settings->train_features) {
    cli_ridge_print(&j->ridge);
    return;
  }
  printf("ridge            %.6g%s\n", r->ridge, j->settings->solve.ridge.fixed ? "" : " (chosen by leave-one-out)");
  printf("leave-one-out    %s\n", cli_format_percent(r->loo_accuracy).text);
}

static void print_people(const job *j) {
  const settings *s = j->settings;
  const double accuracy = s->train_features ? j->ridge.accuracy : j->result.accuracy;
  printf("training points  %s\n", cli_format_count(j->problem.train_count).text);
  printf("test points      %s\n", cli_format_count(j->problem.test_count).text);
  printf("classes          %" PRId32 "\n", j->problem.classes);
  print_solution(j);
  printf("accuracy         %s%s\n", cli_format_percent(accuracy).text, s->test_labels ? "" : " (no --test-labels)");
  printf("time             %s (%s)\n", cli_format_seconds(cli_now() - j->started).text,
         s->train_features ? j->ridge.solver : j->result.solver);
  if (s->predictions) printf("predictions      %s\n", s->predictions);
  if (s->variance) printf("variance         %s\n", s->variance);
  if (s->weights) printf("weights          %s\n", s->weights);
  if (s->report) printf("report           %s\n", s->report);
}

static int solve(job *j) {
  const settings *s = j->settings;
  ntk_regress_problem *p = &j->problem;
  const cli_solve_files files = {s->train_kernel, s->test_kernel, s->test_diagonal};
  const cli_ridge_input input = {s->train_features, s->test_features, j->train_labels, j->test_labels,
                                 p->train_count,    p->test_count,    p->classes};
  if (!s->train_features) return cli_solve_run(j->context, &s->solve, &files, s->variance != NULL, p, &j->result);
  CLI_TRY(cli_ridge_run(j->context, &s->solve, &s->ridge, &input, &j->ridge));
  p->test_count = j->ridge.test_count;
  return CLI_EXIT_OK;
}

static int work(job *j) {
  const settings *s = j->settings;
  const cli_compute compute = {
      .device = s->device, .threads = s->threads, .memory = 512ull << 20, .progress = CLI_PROGRESS_AUTO};
  CLI_TRY(cli_compute_open(&compute, &j->context));
  CLI_TRY(cli_solve_check(&s->solve, j->context));
  CLI_TRY(read_labels(j));
  CLI_TRY(solve(j));
  CLI_TRY(write_results(j));
  cli_json json = describe(j);
  int code = s->report ? cli_json_write(&json, s->report) : CLI_EXIT_OK;
  cli_progress_pause();
  if (code == CLI_EXIT_OK && s->json) code = cli_json_print(&json);
  if (code == CLI_EXIT_OK && !s->json) print_people(j);
  cli_json_close(&json);
  return code;
}

/* One of the two pairs, and nothing that belongs to the other. */
static int check_pair(const char *train_name, const char *train, const char *test_name, const char *test) {
  if (!train) return cli_usage("regress", "--%s wants --%s beside it", test_name, train_name);
  if (!test) return cli_usage("regress", "--%s wants --%s beside it", train_name, test_name);
  return CLI_EXIT_OK;
}

static int check(const settings *s) {
  const bool kernels = s->train_kernel || s->test_kernel, features = s->train_features || s->test_features;
  if (kernels && features) {
    return cli_usage("regress",
                     "kernel matrices (--train-kernel, --test-kernel) and features (--train-features, "
                     "--test-features) exclude each other");
  }
  if (!kernels && !features) {
    return cli_usage("regress",
                     "`ntk regress` wants --train-kernel K.npy and --test-kernel K.npy, or "
                     "--train-features Z.npy and --test-features Z.npy");
  }
  if (features) {
    CLI_TRY(check_pair("train-features", s->train_features, "test-features", s->test_features));
    if (!s->variance && !s->test_diagonal) return cli_ridge_check("regress", &s->solve, &s->ridge);
    return cli_usage("regress", "--%s is for kernel matrices, not for features",
                     s->variance ? "variance" : "test-diagonal");
  }
  CLI_TRY(check_pair("train-kernel", s->train_kernel, "test-kernel", s->test_kernel));
  if (s->weights || s->ridge.held_out > 0 || s->ridge.held_out_seed || s->ridge.form) {
    return cli_usage("regress", "--%s is for features, not for kernel matrices",
                     s->weights               ? "weights"
                     : s->ridge.held_out > 0  ? "held-out"
                     : s->ridge.held_out_seed ? "held-out-seed"
                                              : "form");
  }
  if ((s->variance || s->solve.unit_diagonal) && !s->test_diagonal) {
    return cli_usage("regress", "--%s needs --test-diagonal, which `ntk gram --diagonal` writes",
                     s->variance ? "variance" : "unit-diagonal");
  }
  return CLI_EXIT_OK;
}

static int run(const void *raw) {
  const settings *s = raw;
  job j = {.settings = s, .started = cli_now()};
  CLI_TRY(check(s));
  int code = work(&j);
  ntk_regress_result_free(&j.result);
  ntk_ridge_result_free(&j.ridge);
  free(j.train_labels);
  free(j.test_labels);
  cli_compute_close(j.context);
  return code;
}

static const cli_option input_options[] = {
    {"train-kernel", "K.npy", CLI_TEXT, offsetof(settings, train_kernel), 0, 0, false, "train x train, symmetric"},
    {"train-labels", "LABELS", CLI_TEXT, offsetof(settings, train_labels), 0, 0, true,
     "a .npy vector of class numbers, or the DATA that the matrix was made from"},
    {"test-kernel", "K.npy", CLI_TEXT, offsetof(settings, test_kernel), 0, 0, false,
     "test x train: rows are test points"},
    {"train-features", "Z.npy", CLI_TEXT, offsetof(settings, train_features), 0, 0, false,
     "instead of kernels: train x features, a row a record; read in blocks"},
    {"test-features", "Z.npy", CLI_TEXT, offsetof(settings, test_features), 0, 0, false,
     "test x features, of the same feature map"},
    {"test-labels", "LABELS", CLI_TEXT, offsetof(settings, test_labels), 0, 0, false,
     "as --train-labels; without them predictions are made but no accuracy"},
    {"test-diagonal", "D.npy", CLI_TEXT, offsetof(settings, test_diagonal), 0, 0, false,
     "K(z,z) of the test points; needed for --unit-diagonal and --variance of kernels"},
    {0}};

static const cli_option output_options[] = {
    {"predictions", "P.npy", CLI_TEXT, offsetof(settings, predictions), 0, 0, false,
     "write the regression values, test x classes, float64"},
    {"variance", "V.npy", CLI_TEXT, offsetof(settings, variance), 0, 0, false,
     "write the Gaussian-process posterior variance of each test point"},
    {"weights", "W.npy", CLI_TEXT, offsetof(settings, weights), 0, 0, false,
     "write the weights of the features, features x classes, float64"},
    {"report", "R.json", CLI_TEXT, offsetof(settings, report), 0, 0, false, "write the report to a file"},
    {"json", NULL, CLI_FLAG, offsetof(settings, json), 0, 0, false,
     "print the report as one JSON object (accuracy in 0..1, ridge, seconds, ...) and nothing else on stdout"},
    {"device", "DEV", CLI_TEXT, offsetof(settings, device), 0, 0, false,
     "auto (default): the first CUDA device, else the CPU; cpu; cuda; or cuda:N"},
    {"threads", "N", CLI_INTEGER, offsetof(settings, threads), 0, 1024, false,
     "threads of the linear algebra; 0: all cores (default)"},
    {0}};

static const settings defaults = {.threads = 0};

const cli_verb cli_verb_regress = {
    .name = "regress",
    .summary = "stored matrices or features, and labels, to predictions and accuracy",
    .description =
        "Solves (K + lambda I) alpha = Y in float64 on stored kernel matrices and predicts the test points.\n"
        "The ridge lambda is given or chosen by leave-one-out on the training set. With random features Z instead\n"
        "of kernels, K ~ Z Z^T: solves (Z^T Z + lambda I) W = Z^T Y block by block, the ridge given or chosen by\n"
        "leave-one-out or on held-out training records (docs/regression.md).",
    .examples =
        "  ntk regress --train-kernel ntk-out/train.npy --train-labels fashion-mnist:train~1000 \\\n"
        "              --test-kernel ntk-out/test.npy --test-labels fashion-mnist:test~1000 --json\n"
        "  ntk regress --train-kernel K.npy --train-labels y.npy --test-kernel Kt.npy --test-diagonal d.npy \\\n"
        "              --ridge 1e-6 --predictions P.npy --variance V.npy\n"
        "  ntk regress --train-features Z.npy --train-labels y.npy --test-features Zt.npy --test-labels yt.npy \\\n"
        "              --held-out 0.2 --unit-diagonal --json",
    .groups = {{"matrices or features, and labels", input_options, 0},
               {"regression", cli_solve_options, offsetof(settings, solve)},
               {"regression on features", cli_ridge_options, offsetof(settings, ridge)},
               {"output", output_options, 0},
               {0}},
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .run = run,
};
