#include "tools/ntk/eval.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* One matrix pair of the plan: its files and what regression made of it. */
typedef struct outcome {
  char *train_kernel, *test_kernel, *test_diagonal;
  ntk_regress_result result; /* its buffers are freed at once; the numbers stay */
} outcome;

typedef struct evaluation {
  const eval_settings *settings;
  ntk_context *context;
  eval_data data;
  ntk_plan *plan;
  char *train_path, *test_path, *diagonal_path;
  ntk_gram_report train_report, test_report;
  outcome *outcomes;
  double started, solved;
} evaluation;

int eval_open_data(const eval_settings *s, eval_data *data) {
  CLI_TRY(cli_data_open(s->train, &data->train));
  CLI_TRY(cli_data_open(s->test, &data->test));
  ntk_shape a = ntk_dataset_shape(data->train), b = ntk_dataset_shape(data->test);
  if (a.channels != b.channels || a.height != b.height || a.width != b.width) {
    return cli_fail(CLI_EXIT_STATUS + NTK_ERROR_DATA, "the records of %s are %s, those of %s are %s", s->train,
                    cli_format_shape(a).text, s->test, cli_format_shape(b).text);
  }
  if (!ntk_dataset_labels(data->train)) {
    return cli_fail(CLI_EXIT_STATUS + NTK_ERROR_DATA, "%s has no labels; name them as npy:X.npy:y.npy", s->train);
  }
  if (s->map.method == 0) {
    CLI_TRY(
        cli_regress_memory_check(ntk_dataset_count(data->train), ntk_dataset_count(data->test), !s->solve.ridge.fixed));
  }
  ntk_dataset *const both[] = {data->train, data->test};
  CLI_TRY(cli_join(s->out, "preprocess.npy", &data->preprocess_path));
  CLI_TRY(cli_join(s->out, "report.json", &data->report_path));
  CLI_TRY(cli_make_folder(s->out));
  cli_preprocess_options options = {s->preprocess, data->preprocess_path, s->overwrite};
  return cli_preprocess(&options, s->train, data->train, both, 2);
}

void eval_close_data(eval_data *data) {
  free(data->preprocess_path);
  free(data->report_path);
  ntk_dataset_free(data->train);
  ntk_dataset_free(data->test);
}

int32_t eval_classes(const eval_data *data) {
  const int32_t a = ntk_dataset_classes(data->train), b = ntk_dataset_classes(data->test);
  const int32_t most = a > b ? a : b;
  return most < 2 ? 2 : most;
}

static int name_files(evaluation *e) {
  size_t outputs = ntk_plan_output_count(e->plan);
  CLI_TRY(cli_join(e->settings->out, "train.npy", &e->train_path));
  CLI_TRY(cli_join(e->settings->out, "test.npy", &e->test_path));
  CLI_TRY(cli_join(e->settings->out, "test-diagonal.npy", &e->diagonal_path));
  e->outcomes = calloc(outputs, sizeof *e->outcomes);
  if (!e->outcomes) return cli_fail(CLI_EXIT_STATUS + NTK_ERROR_MEMORY, "no memory is left");
  for (size_t k = 0; k < outputs; ++k) {
    CLI_TRY(cli_output_path(e->train_path, e->plan, k, &e->outcomes[k].train_kernel));
    CLI_TRY(cli_output_path(e->test_path, e->plan, k, &e->outcomes[k].test_kernel));
    CLI_TRY(cli_output_path(e->diagonal_path, e->plan, k, &e->outcomes[k].test_diagonal));
  }
  return CLI_EXIT_OK;
}

static void announce(const evaluation *e) {
  int64_t n = ntk_dataset_count(e->data.train), m = ntk_dataset_count(e->data.test);
  if (e->settings->compute.progress != CLI_PROGRESS_AUTO) return;
  cli_note("%s: %s training and %s test records of %s, %s pairs, %s", ntk_plan_network_text(e->plan),
           cli_format_count(n).text, cli_format_count(m).text, cli_format_shape(ntk_plan_shape(e->plan)).text,
           cli_format_count(n * (n + 1) / 2 + m * n).text, cli_compute_text(e->context));
}

static int compute_kernels(evaluation *e) {
  const eval_settings *s = e->settings;
  ntk_gram_options options = {.path = e->train_path, .resume = s->resume, .overwrite = s->overwrite};
  cli_progress_label("train kernel");
  CLI_TRY(cli_check(ntk_gram(e->context, e->plan, e->data.train, NULL, &options, &e->train_report)));
  options.path = e->test_path;
  cli_progress_label("test kernel");
  CLI_TRY(cli_check(ntk_gram(e->context, e->plan, e->data.test, e->data.train, &options, &e->test_report)));
  cli_progress_label("test diagonal");
  return cli_diagonal_write(e->context, e->plan, e->data.test, e->diagonal_path);
}

static int solve_one(evaluation *e, outcome *o) {
  cli_solve_files files = {o->train_kernel, o->test_kernel, o->test_diagonal};
  ntk_regress_problem problem = {.train_count = ntk_dataset_count(e->data.train),
                                 .test_count = ntk_dataset_count(e->data.test),
                                 .classes = eval_classes(&e->data),
                                 .train_labels = ntk_dataset_labels(e->data.train),
                                 .test_labels = ntk_dataset_labels(e->data.test)};
  CLI_TRY(cli_solve_run(e->context, &e->settings->solve, &files, false, &problem, &o->result));
  ntk_regress_result numbers = o->result;
  ntk_regress_result_free(&o->result);
  numbers.predictions = NULL;
  numbers.predicted = NULL;
  numbers.variance = NULL;
  o->result = numbers;
  return CLI_EXIT_OK;
}

static int solve_all(evaluation *e) {
  double started = cli_now();
  cli_progress_label("regression");
  for (size_t k = 0; k < ntk_plan_output_count(e->plan); ++k) CLI_TRY(solve_one(e, &e->outcomes[k]));
  e->solved = cli_now() - started;
  return CLI_EXIT_OK;
}

/* The output that the report's first lines speak of: best leave-one-out accuracy (never test accuracy), else the first.
 */
static size_t selected(const evaluation *e) {
  size_t best = 0;
  for (size_t k = 1; k < ntk_plan_output_count(e->plan); ++k) {
    const ntk_regress_result *a = &e->outcomes[best].result, *b = &e->outcomes[k].result;
    if (isnan(a->loo_accuracy) || isnan(b->loo_accuracy)) return 0;
    if (b->loo_accuracy > a->loo_accuracy || (b->loo_accuracy == a->loo_accuracy && b->loo_error < a->loo_error)) {
      best = k;
    }
  }
  return best;
}

static double rate(const evaluation *e) {
  double seconds = e->train_report.seconds + e->test_report.seconds;
  return (double)(e->train_report.pairs_computed + e->test_report.pairs_computed) / seconds;
}

static void describe_output(const evaluation *e, size_t k, cli_json *json) {
  const outcome *o = &e->outcomes[k];
  ntk_output output = ntk_plan_output(e->plan, k);
  cli_json_text(json, "name", output.name);
  cli_json_text(json, "kernel", output.kernel == NTK_KERNEL_NNGP ? "nngp" : "ntk");
  cli_json_integer(json, "depth", output.depth);
  cli_json_integer(json, "pool", output.pool);
  cli_json_bool(json, "flip", output.flip);
  cli_solve_json(json, &o->result);
  cli_json_real(json, "seconds", o->result.seconds);
  cli_json_text(json, "train_kernel", o->train_kernel);
  cli_json_text(json, "test_kernel", o->test_kernel);
  cli_json_text(json, "test_diagonal", o->test_diagonal);
}

static void describe_data(cli_json *json, const char *key, const ntk_dataset *data) {
  cli_json child = cli_json_open();
  cli_json_text(&child, "data", ntk_dataset_spec(data));
  cli_json_text(&child, "hash", ntk_dataset_hash(data));
  cli_json_integer(&child, "count", ntk_dataset_count(data));
  cli_json_integer(&child, "classes", ntk_dataset_classes(data));
  cli_json_object(json, key, &child);
}

void eval_describe_data(cli_json *json, const eval_data *data) {
  describe_data(json, "train", data->train);
  describe_data(json, "test", data->test);
}

static void describe_times(const evaluation *e, cli_json *json) {
  cli_json times = cli_json_open();
  cli_json_real(&times, "train_kernel", e->train_report.seconds);
  cli_json_real(&times, "test_kernel", e->test_report.seconds);
  cli_json_real(&times, "regression", e->solved);
  cli_json_real(json, "seconds", cli_now() - e->started);
  cli_json_object(json, "timings", &times);
  cli_json_integer(json, "pairs", e->train_report.pairs + e->test_report.pairs);
  cli_json_integer(json, "pairs_resumed", e->train_report.pairs_resumed + e->test_report.pairs_resumed);
  cli_json_integer(json, "pairs_recomputed", e->train_report.pairs_recomputed + e->test_report.pairs_recomputed);
  cli_json_real(json, "pairs_per_second", rate(e));
  cli_json_real(json, "entry_layers_per_second", rate(e) * ntk_plan_cost(e->plan).entry_layers);
}

static cli_json describe(const evaluation *e) {
  cli_json json = cli_json_open();
  size_t best = selected(e);
  cli_json_text(&json, "verb", "eval");
  cli_json_text(&json, "version", ntk_version());
  cli_json_text(&json, "network", ntk_plan_network_text(e->plan));
  cli_json_text(&json, "preset", ntk_plan_preset(e->plan));
  cli_json_text(&json, "convention", ntk_convention_name(ntk_plan_convention(e->plan)));
  cli_json_real(&json, "scale", ntk_plan_scale(e->plan));
  cli_json_text(&json, "precision", ntk_plan_precision(e->plan) == NTK_F64 ? "f64" : "f32");
  cli_json_text(&json, "preprocess", ntk_dataset_preprocess_text(e->data.train));
  cli_json_text(&json, "preprocess_file", ntk_dataset_preprocess_path(e->data.train));
  cli_json_bool(&json, "unit_diagonal", e->settings->solve.unit_diagonal);
  cli_json_text(&json, "targets", e->settings->solve.targets ? "centred" : "one-hot");
  eval_describe_data(&json, &e->data);
  cli_json_text(&json, "selected", ntk_plan_output(e->plan, best).name);
  cli_solve_json(&json, &e->outcomes[best].result);
  describe_times(e, &json);
  cli_json_list(&json, "outputs");
  for (size_t k = 0; k < ntk_plan_output_count(e->plan); ++k) {
    cli_json child = cli_json_open();
    describe_output(e, k, &child);
    cli_json_append(&json, "outputs", &child);
  }
  return json;
}

static void print_kernel_line(const char *name, const ntk_gram_report *report) {
  printf("%-13s%s pairs in %s", name, cli_format_count(report->pairs_computed).text,
         cli_format_seconds(report->seconds).text);
  if (report->pairs_computed > 0) {
    printf(", %s pairs/s, %.2e entry-layers/s", cli_format_rate((double)report->pairs_computed / report->seconds).text,
           report->entry_layers_per_second);
  }
  if (report->pairs_resumed > 0) printf(" (%s pairs were there)", cli_format_count(report->pairs_resumed).text);
  putchar('\n');
}

static void print_list(const evaluation *e) {
  printf("%-24s %10s %12s %14s\n", "output", "accuracy", "ridge", "leave-one-out");
  for (size_t k = 0; k < ntk_plan_output_count(e->plan); ++k) {
    const ntk_regress_result *result = &e->outcomes[k].result;
    printf("%-24s %10s %12.4g %14s\n", ntk_plan_output(e->plan, k).name, cli_format_percent(result->accuracy).text,
           result->ridge, cli_format_percent(result->loo_accuracy).text);
  }
}

/* The output that is best by leave-one-out, for the reader of a table: the best cell was chosen by test data. */
static void print_selected(const evaluation *e) {
  const size_t best = selected(e);
  const ntk_regress_result *result = &e->outcomes[best].result;
  if (isnan(result->loo_accuracy)) return;
  printf("chosen without test data: %s, accuracy %s (leave-one-out %s, ridge %.4g)\n",
         ntk_plan_output(e->plan, best).name, cli_format_percent(result->accuracy).text,
         cli_format_percent(result->loo_accuracy).text, result->ridge);
}

static int print_people(const evaluation *e) {
  size_t outputs = ntk_plan_output_count(e->plan);
  double *accuracies = malloc(outputs * sizeof *accuracies);
  if (!accuracies) return cli_fail(CLI_EXIT_STATUS + NTK_ERROR_MEMORY, "no memory is left");
  printf("network      %s\n", ntk_plan_network_text(e->plan));
  printf("training     %s, %s records\n", ntk_dataset_spec(e->data.train),
         cli_format_count(ntk_dataset_count(e->data.train)).text);
  printf("test         %s, %s records\n", ntk_dataset_spec(e->data.test),
         cli_format_count(ntk_dataset_count(e->data.test)).text);
  print_kernel_line("train kernel", &e->train_report);
  print_kernel_line("test kernel", &e->test_report);
  printf("regression   %s (%s)\n\n", cli_format_seconds(e->solved).text, e->outcomes[0].result.solver);
  for (size_t k = 0; k < outputs; ++k) accuracies[k] = e->outcomes[k].result.accuracy;
  if (cli_is_table(e->plan)) {
    cli_print_table(e->plan, accuracies);
    putchar('\n');
  } else {
    print_list(e);
  }
  free(accuracies);
  if (outputs > 1) print_selected(e);
  printf("\nmatrices     %s\n             %s\n", e->outcomes[0].train_kernel, e->outcomes[0].test_kernel);
  if (outputs > 1) printf("             and so on for each output, see %s\n", e->data.report_path);
  printf("report       %s\n", e->data.report_path);
  return CLI_EXIT_OK;
}

static int work(evaluation *e) {
  CLI_TRY(cli_compute_open(&e->settings->compute, &e->context));
  CLI_TRY(cli_solve_check(&e->settings->solve, e->context));
  CLI_TRY(eval_open_data(e->settings, &e->data));
  CLI_TRY(cli_model_plan(&e->settings->model, ntk_dataset_shape(e->data.train), &e->plan));
  CLI_TRY(name_files(e));
  announce(e);
  CLI_TRY(compute_kernels(e));
  CLI_TRY(solve_all(e));
  cli_json json = describe(e);
  int code = cli_json_write(&json, e->data.report_path);
  cli_progress_pause();
  if (code == CLI_EXIT_OK && e->settings->json) code = cli_json_print(&json);
  if (code == CLI_EXIT_OK && !e->settings->json) code = print_people(e);
  cli_json_close(&json);
  return code;
}

static void release(evaluation *e) {
  for (size_t k = 0; e->outcomes && k < ntk_plan_output_count(e->plan); ++k) {
    free(e->outcomes[k].train_kernel);
    free(e->outcomes[k].test_kernel);
    free(e->outcomes[k].test_diagonal);
    ntk_regress_result_free(&e->outcomes[k].result);
  }
  free(e->outcomes);
  free(e->train_path);
  free(e->test_path);
  free(e->diagonal_path);
  ntk_plan_free(e->plan);
  eval_close_data(&e->data);
  cli_compute_close(e->context);
}

static int eval_kernels(const eval_settings *s, bool *computed) {
  evaluation e = {.settings = s, .started = cli_now()};
  const int code = work(&e);
  *computed = e.train_report.pairs_computed > 0;
  if (code == CLI_EXIT_STATUS + NTK_ERROR_NUMERIC) {
    cli_note("the matrices are finished: add --resume and another --ridge to repeat the regression alone");
  }
  release(&e);
  return code;
}

int eval_check_method(const eval_settings *s) {
  const cli_feature_settings *m = &s->map;
  const bool map = m->dim || m->sketch_dim || m->order0_dim || m->degree || m->seed || m->sketch || m->leverage ||
                   m->gibbs || m->plain;
  const bool ridge = s->ridge.held_out > 0 || s->ridge.held_out_seed || s->ridge.form;
  if (m->method == 0 && (map || ridge)) {
    return cli_usage("eval", "--dim, --seed, --held-out and their like are for features: add --method rf or sketch");
  }
  if (m->method == 0) return CLI_EXIT_OK;
  if (s->model.kernel == 2 || s->model.depths.count || s->model.pools.count || s->model.flip || s->model.precision) {
    return cli_usage(
        "eval",
        "features are of one network and one kernel, in float32: --kernel both, --depths, --lap, --flip and "
        "--precision f64 need --method exact");
  }
  CLI_TRY(cli_feature_check("eval", m));
  return cli_ridge_check("eval", &s->solve, &s->ridge);
}

static int run(const void *raw) {
  const eval_settings *s = raw;
  bool computed = false;
  if (s->resume && s->overwrite) return cli_usage("eval", "--resume and --overwrite exclude each other");
  CLI_TRY(cli_preprocess_check("eval", s->preprocess));
  CLI_TRY(eval_check_method(s));
  const int code = s->map.method ? eval_features(s, &computed) : eval_kernels(s, &computed);
  const bool stopped = code > CLI_EXIT_SIGNAL, halfway = code == CLI_EXIT_STATUS + NTK_ERROR_IO && computed;
  if (stopped || halfway) cli_print_resume_hint(stopped ? "interrupted" : "stopped");
  return code;
}

static const cli_option data_options[] = {
    {"train", "DATA", CLI_TEXT, offsetof(eval_settings, train), 0, 0, true, "the labelled training set (`ntk help`)"},
    {"test", "DATA", CLI_TEXT, offsetof(eval_settings, test), 0, 0, true,
     "the test set; without labels there is no accuracy"},
    {"preprocess", "HOW", CLI_TEXT, offsetof(eval_settings, preprocess), 0, 0, false, cli_preprocess_help},
    {0}};

static const cli_option output_options[] = {
    {"out", "DIR", CLI_TEXT, offsetof(eval_settings, out), 0, 0, false,
     "folder for train.npy, test.npy (test x train), test-diagonal.npy, or train-features.npy and test-features.npy, "
     "and "
     "report.json; ntk-out (default)"},
    {"resume", NULL, CLI_FLAG, offsetof(eval_settings, resume), 0, 0, false,
     "keep the finished tiles in DIR; only what is missing is computed. Refused for another network, flip, data "
     "or precision"},
    {"overwrite", NULL, CLI_FLAG, offsetof(eval_settings, overwrite), 0, 0, false, "replace the matrices in DIR"},
    {"json", NULL, CLI_FLAG, offsetof(eval_settings, json), 0, 0, false,
     "print one JSON object (accuracy in 0..1, ridge, seconds, outputs, ...) and nothing else on stdout"},
    {0}};

static const eval_settings defaults = {.model = CLI_MODEL_DEFAULTS, .compute = CLI_COMPUTE_DEFAULTS, .out = "ntk-out"};

const cli_verb cli_verb_eval = {
    .name = "eval",
    .summary = "kernel matrices, regression and accuracy in one go",
    .description =
        "Computes the kernel matrix of the training set and that of test against training set, solves the\n"
        "ridge regression on the labels and prints the accuracy on the test set. The matrices stay in a\n"
        "folder as plain .npy files. --depths, --lap, --kernel both and --flip both give many kernels from one\n"
        "pass over the pairs, and a table: rows lap(c), columns depths, cells plain (flipped). Every cell has\n"
        "its own ridge; report.json holds all numbers. --method rf and --method sketch take random features\n"
        "instead, close to the kernel in time linear in the number of records (docs/features.md).",
    .examples =
        "  ntk eval --net '3*(conv3 relu) lap(4)' --train fashion-mnist:train~1000 --test fashion-mnist:test~1000\n"
        "  ntk eval --net '8*(conv3 relu) gap' --depths 5,8 --lap 0,4,8 --kernel both --flip both --unit-diagonal \\\n"
        "           --train fashion-mnist:train~500 --test fashion-mnist:test~500 --out table\n"
        "  ntk eval --net '3*(dense relu) dense' --method rf --dim 8192 --train fashion-mnist:train --test \\\n"
        "           fashion-mnist:test --out features\n"
        "  ntk eval --net cntk-21-v --train cifar10:cifar:train[0:2000] --test cifar10:cifar:test --ridge 0 \\\n"
        "           --targets centred --out cntk-21-v --json",
    .groups = {{"what to compute", cli_model_options, offsetof(eval_settings, model)},
               {"how: exactly or by features", cli_method_options, offsetof(eval_settings, map)},
               {"data", data_options, 0},
               {"regression", cli_solve_options, offsetof(eval_settings, solve)},
               {"regression on features", cli_ridge_options, offsetof(eval_settings, ridge)},
               {"output", output_options, 0},
               {"how to compute", cli_compute_options, offsetof(eval_settings, compute)},
               {0}},
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .run = run,
};
