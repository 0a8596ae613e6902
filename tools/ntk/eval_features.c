#include <stdio.h>
#include <stdlib.h>

#include "tools/ntk/eval.h"

typedef struct evaluation {
  const eval_settings *settings;
  ntk_context *context;
  eval_data data;
  ntk_features *features;
  char *train_path, *test_path;
  ntk_features_report train, test;
  ntk_ridge_result result;
  double started;
} evaluation;

static int compute(evaluation *e) {
  const eval_settings *s = e->settings;
  CLI_TRY(cli_join(s->out, "train-features.npy", &e->train_path));
  CLI_TRY(cli_join(s->out, "test-features.npy", &e->test_path));
  ntk_features_write_options options = {e->train_path, s->resume, s->overwrite};
  cli_progress_label("train features");
  CLI_TRY(cli_check(ntk_features_write(e->context, e->features, e->data.train, &options, &e->train)));
  options.path = e->test_path;
  cli_progress_label("test features");
  return cli_check(ntk_features_write(e->context, e->features, e->data.test, &options, &e->test));
}

static int solve(evaluation *e) {
  const cli_ridge_input input = {.train_features = e->train_path,
                                 .test_features = e->test_path,
                                 .train_labels = ntk_dataset_labels(e->data.train),
                                 .test_labels = ntk_dataset_labels(e->data.test),
                                 .train_count = ntk_dataset_count(e->data.train),
                                 .test_count = ntk_dataset_count(e->data.test),
                                 .classes = eval_classes(&e->data)};
  cli_progress_label("regression");
  return cli_ridge_run(e->context, &e->settings->solve, &e->settings->ridge, &input, &e->result);
}

static cli_json describe(const evaluation *e) {
  cli_json json = cli_json_open();
  cli_json_text(&json, "verb", "eval");
  cli_json_text(&json, "version", ntk_version());
  cli_feature_json(&json, e->features);
  cli_json_text(&json, "preprocess", ntk_dataset_preprocess_text(e->data.train));
  cli_json_text(&json, "preprocess_file", ntk_dataset_preprocess_path(e->data.train));
  cli_json_bool(&json, "unit_diagonal", e->settings->solve.unit_diagonal);
  cli_json_text(&json, "targets", e->settings->solve.targets ? "centred" : "one-hot");
  eval_describe_data(&json, &e->data);
  cli_ridge_json(&json, &e->result);
  cli_feature_report_json(&json, "train_features", &e->train);
  cli_feature_report_json(&json, "test_features", &e->test);
  cli_json_text(&json, "train_file", e->train_path);
  cli_json_text(&json, "test_file", e->test_path);
  cli_json_real(&json, "regression_seconds", e->result.seconds);
  cli_json_real(&json, "seconds", cli_now() - e->started);
  return json;
}

static void print_people(const evaluation *e) {
  const ntk_ridge_result *r = &e->result;
  printf("network      %s\n", ntk_features_network_text(e->features));
  printf("training     %s, %s records\n", ntk_dataset_spec(e->data.train),
         cli_format_count(ntk_dataset_count(e->data.train)).text);
  printf("test         %s, %s records\n", ntk_dataset_spec(e->data.test),
         cli_format_count(ntk_dataset_count(e->data.test)).text);
  cli_feature_print("train", e->features, &e->train);
  cli_feature_print("test", e->features, &e->test);
  printf("regression   %s: Gram matrix %s (%.3g Gflop/s), ridge and solution %s, prediction %s\n\n",
         cli_format_seconds(r->seconds).text, cli_format_seconds(r->accumulate_seconds).text, r->accumulate_gflops,
         cli_format_seconds(r->solve_seconds).text, cli_format_seconds(r->predict_seconds).text);
  printf("%-24s %10s %12s %12s %14s\n", "features", "accuracy", "MSE", "ridge",
         r->leave_one_out ? "leave-one-out" : "held out");
  printf("%-24s %10s %12.4g %12.4g %14s\n\n", cli_format_count(r->dim).text, cli_format_percent(r->accuracy).text,
         r->mean_squared_error, r->ridge, cli_format_percent(r->held_out_accuracy).text);
  printf("features     %s\n             %s\n", e->train_path, e->test_path);
  printf("report       %s\n", e->data.report_path);
  printf("time         %s\n", cli_format_seconds(cli_now() - e->started).text);
}

static int work(evaluation *e) {
  const eval_settings *s = e->settings;
  CLI_TRY(cli_compute_open(&s->compute, &e->context));
  CLI_TRY(eval_open_data(s, &e->data));
  CLI_TRY(cli_feature_map(&s->map, s->model.net, s->model.kernel, s->model.convention, s->map.method == 2,
                          ntk_dataset_shape(e->data.train), &e->features));
  if (s->compute.progress == CLI_PROGRESS_AUTO)
    cli_note("%s: %s features of %s training and %s test records of %s, %s", ntk_features_network_text(e->features),
             cli_format_count(ntk_features_dim(e->features)).text,
             cli_format_count(ntk_dataset_count(e->data.train)).text,
             cli_format_count(ntk_dataset_count(e->data.test)).text,
             cli_format_shape(ntk_features_shape(e->features)).text, cli_compute_text(e->context));
  CLI_TRY(compute(e));
  CLI_TRY(solve(e));
  cli_json json = describe(e);
  int code = cli_json_write(&json, e->data.report_path);
  cli_progress_pause();
  if (code == CLI_EXIT_OK && s->json) code = cli_json_print(&json);
  if (code == CLI_EXIT_OK && !s->json) print_people(e);
  cli_json_close(&json);
  return code;
}

int eval_features(const eval_settings *settings, bool *computed) {
  evaluation e = {.settings = settings, .started = cli_now()};
  const int code = work(&e);
  *computed = e.train.rows_computed > 0;
  if (code == CLI_EXIT_STATUS + NTK_ERROR_NUMERIC)
    cli_note("the features are finished: add --resume and another --ridge to repeat the regression alone");
  ntk_ridge_result_free(&e.result);
  ntk_features_free(e.features);
  free(e.train_path);
  free(e.test_path);
  eval_close_data(&e.data);
  cli_compute_close(e.context);
  return code;
}
