#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/ntk/cli.h"

typedef struct settings {
  cli_solve solve;
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
  const ntk_regress_result *r = &j->result;
  int64_t shape[] = {r->test_count, r->classes};
  if (s->predictions) CLI_TRY(cli_check(ntk_npy_write(s->predictions, NTK_DTYPE_F64, 2, shape, r->predictions)));
  if (s->variance) CLI_TRY(cli_check(ntk_npy_write(s->variance, NTK_DTYPE_F64, 1, shape, r->variance)));
  return CLI_EXIT_OK;
}

static cli_json describe(const job *j) {
  const settings *s = j->settings;
  cli_json json = cli_json_open();
  cli_json_text(&json, "verb", "regress");
  cli_json_text(&json, "version", ntk_version());
  cli_solve_json(&json, &j->result);
  cli_json_integer(&json, "train_count", j->problem.train_count);
  cli_json_integer(&json, "test_count", j->problem.test_count);
  cli_json_integer(&json, "classes", j->problem.classes);
  cli_json_bool(&json, "unit_diagonal", s->solve.unit_diagonal);
  cli_json_text(&json, "targets", s->solve.targets ? "centred" : "one-hot");
  cli_json_text(&json, "train_kernel", s->train_kernel);
  cli_json_text(&json, "test_kernel", s->test_kernel);
  const char *const names[] = {"predictions", "variance", "report"};
  const char *const paths[] = {s->predictions, s->variance, s->report};
  cli_json_list(&json, "outputs");
  for (int i = 0; i < 3; ++i) {
    if (!paths[i]) continue;
    cli_json child = cli_json_open();
    cli_json_text(&child, "name", names[i]);
    cli_json_text(&child, "path", paths[i]);
    cli_json_append(&json, "outputs", &child);
  }
  cli_json_real(&json, "seconds", cli_now() - j->started);
  return json;
}

static void print_people(const job *j) {
  const settings *s = j->settings;
  const ntk_regress_result *r = &j->result;
  printf("training points  %s\n", cli_format_count(j->problem.train_count).text);
  printf("test points      %s\n", cli_format_count(j->problem.test_count).text);
  printf("classes          %" PRId32 "\n", j->problem.classes);
  printf("ridge            %.6g%s\n", r->ridge, s->solve.ridge.fixed ? "" : " (chosen by leave-one-out)");
  printf("leave-one-out    %s\n", cli_format_percent(r->loo_accuracy).text);
  printf("accuracy         %s%s\n", cli_format_percent(r->accuracy).text, s->test_labels ? "" : " (no --test-labels)");
  printf("time             %s (%s)\n", cli_format_seconds(cli_now() - j->started).text, r->solver);
  if (s->predictions) printf("predictions      %s\n", s->predictions);
  if (s->variance) printf("variance         %s\n", s->variance);
  if (s->report) printf("report           %s\n", s->report);
}

static int work(job *j) {
  const settings *s = j->settings;
  cli_solve_files files = {s->train_kernel, s->test_kernel, s->test_diagonal};
  const cli_compute compute = {
      .device = s->device, .threads = s->threads, .memory = 512ull << 20, .progress = CLI_PROGRESS_AUTO};
  CLI_TRY(cli_compute_open(&compute, &j->context));
  CLI_TRY(cli_solve_check(&s->solve, j->context));
  CLI_TRY(read_labels(j));
  CLI_TRY(cli_solve_run(j->context, &s->solve, &files, s->variance != NULL, &j->problem, &j->result));
  CLI_TRY(write_results(j));
  cli_json json = describe(j);
  int code = s->report ? cli_json_write(&json, s->report) : CLI_EXIT_OK;
  cli_progress_pause();
  if (code == CLI_EXIT_OK && s->json) code = cli_json_print(&json);
  if (code == CLI_EXIT_OK && !s->json) print_people(j);
  cli_json_close(&json);
  return code;
}

static int run(const void *raw) {
  const settings *s = raw;
  job j = {.settings = s, .started = cli_now()};
  if ((s->variance || s->solve.unit_diagonal) && !s->test_diagonal) {
    return cli_usage("regress", "--%s needs --test-diagonal, which `ntk gram --diagonal` writes",
                     s->variance ? "variance" : "unit-diagonal");
  }
  int code = work(&j);
  ntk_regress_result_free(&j.result);
  free(j.train_labels);
  free(j.test_labels);
  cli_compute_close(j.context);
  return code;
}

static const cli_option input_options[] = {
    {"train-kernel", "K.npy", CLI_TEXT, offsetof(settings, train_kernel), 0, 0, true, "train x train, symmetric"},
    {"train-labels", "LABELS", CLI_TEXT, offsetof(settings, train_labels), 0, 0, true,
     "a .npy vector of class numbers, or the DATA that the matrix was made from"},
    {"test-kernel", "K.npy", CLI_TEXT, offsetof(settings, test_kernel), 0, 0, true,
     "test x train: rows are test points"},
    {"test-labels", "LABELS", CLI_TEXT, offsetof(settings, test_labels), 0, 0, false,
     "as --train-labels; without them predictions are made but no accuracy"},
    {"test-diagonal", "D.npy", CLI_TEXT, offsetof(settings, test_diagonal), 0, 0, false,
     "K(z,z) of the test points; needed for --unit-diagonal and --variance"},
    {0}};

static const cli_option output_options[] = {
    {"predictions", "P.npy", CLI_TEXT, offsetof(settings, predictions), 0, 0, false,
     "write the regression values, test x classes, float64"},
    {"variance", "V.npy", CLI_TEXT, offsetof(settings, variance), 0, 0, false,
     "write the Gaussian-process posterior variance of each test point"},
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
    .summary = "stored matrices and labels to predictions and accuracy",
    .description =
        "Solves (K + lambda I) alpha = Y in float64 on stored kernel matrices and predicts the test points.\n"
        "The ridge lambda is given or chosen by leave-one-out on the training set.",
    .examples =
        "  ntk regress --train-kernel ntk-out/train.npy --train-labels fashion-mnist:train~1000 \\\n"
        "              --test-kernel ntk-out/test.npy --test-labels fashion-mnist:test~1000 --json\n"
        "  ntk regress --train-kernel K.npy --train-labels y.npy --test-kernel Kt.npy --test-diagonal d.npy \\\n"
        "              --ridge 1e-6 --predictions P.npy --variance V.npy",
    .groups = {{"matrices and labels", input_options, 0},
               {"regression", cli_solve_options, offsetof(settings, solve)},
               {"output", output_options, 0},
               {0}},
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .run = run,
};
