#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ntk/cli.h"

typedef struct settings {
  cli_feature_settings map;
  cli_compute compute;
  const char *net, *data, *preprocess, *preprocess_from, *out;
  int kernel, convention;
  bool resume, overwrite, json;
} settings;

typedef struct job {
  const settings *settings;
  ntk_context *context;
  ntk_dataset *data;
  ntk_features *features;
  ntk_features_report report;
} job;

/* Fitted to the training set: --preprocess-from, or the records themselves. */
static int preprocess(job *j) {
  const settings *s = j->settings;
  ntk_dataset *from = NULL;
  char *file = NULL;
  if (asprintf(&file, "%.*s.preprocess.npy", (int)strlen(s->out) - 4, s->out) < 0)
    return cli_fail(CLI_EXIT_STATUS + NTK_ERROR_MEMORY, "no memory is left");
  const cli_preprocess_options options = {s->preprocess, file, s->overwrite};
  int code = s->preprocess_from ? cli_data_open(s->preprocess_from, &from) : CLI_EXIT_OK;
  if (code == CLI_EXIT_OK)
    code = cli_preprocess(&options, from ? s->preprocess_from : s->data, from ? from : j->data, &j->data, 1);
  ntk_dataset_free(from);
  free(file);
  return code;
}

static int print_json(const job *j) {
  cli_json json = cli_json_open();
  cli_json_text(&json, "verb", "features");
  cli_json_text(&json, "version", ntk_version());
  cli_feature_json(&json, j->features);
  cli_json_text(&json, "preprocess", ntk_dataset_preprocess_text(j->data));
  cli_json_text(&json, "preprocess_file", ntk_dataset_preprocess_path(j->data));
  cli_json_text(&json, "path", j->settings->out);
  cli_feature_report_json(&json, "report", &j->report);
  const int code = cli_json_print(&json);
  cli_json_close(&json);
  return code;
}

static int work(job *j) {
  const settings *s = j->settings;
  CLI_TRY(cli_compute_open(&s->compute, &j->context));
  CLI_TRY(cli_data_open(s->data, &j->data));
  CLI_TRY(preprocess(j));
  CLI_TRY(cli_feature_map(&s->map, s->net, s->kernel, s->convention, s->map.method == 1, ntk_dataset_shape(j->data),
                          &j->features));
  if (s->compute.progress == CLI_PROGRESS_AUTO)
    cli_note("%s: %s features of %s records of %s, %s", ntk_features_network_text(j->features),
             cli_format_count(ntk_features_dim(j->features)).text, cli_format_count(ntk_dataset_count(j->data)).text,
             cli_format_shape(ntk_dataset_shape(j->data)).text, cli_compute_text(j->context));
  const ntk_features_write_options options = {s->out, s->resume, s->overwrite};
  CLI_TRY(cli_check(ntk_features_write(j->context, j->features, j->data, &options, &j->report)));
  cli_progress_pause();
  if (s->json) return print_json(j);
  cli_feature_print("features", j->features, &j->report);
  printf("%-13s%s\n", "file", s->out);
  return CLI_EXIT_OK;
}

static int run(const void *raw) {
  const settings *s = raw;
  job j = {.settings = s};
  if (s->resume && s->overwrite) return cli_usage("features", "--resume and --overwrite exclude each other");
  const size_t length = strlen(s->out);
  if (length < 5 || strcmp(s->out + length - 4, ".npy") != 0)
    return cli_usage("features", "--out wants a name that ends in .npy, not \"%s\"", s->out);
  CLI_TRY(cli_preprocess_check("features", s->preprocess));
  CLI_TRY(cli_feature_check("features", &s->map));
  const int code = work(&j);
  const bool stopped = code > CLI_EXIT_SIGNAL;
  const bool halfway = code == CLI_EXIT_STATUS + NTK_ERROR_IO && j.report.rows_computed > 0;
  if (stopped || halfway) cli_print_resume_hint(stopped ? "interrupted" : "stopped");
  ntk_features_free(j.features);
  ntk_dataset_free(j.data);
  cli_compute_close(j.context);
  return code;
}

static const cli_option model_options[] = {
    {"net", "NET", CLI_TEXT, offsetof(settings, net), 0, 0, true,
     "the network's text or the name of a preset (`ntk net --presets`)"},
    {"kernel", "ntk|nngp", CLI_CHOICE, offsetof(settings, kernel), 0, 0, false,
     "ntk (default; nngp for the presets cnngp-..., ...-ck and ...-gaussian) or the Gaussian-process kernel nngp"},
    {"convention", CLI_CONVENTION_CHOICES, CLI_CHOICE, offsetof(settings, convention), 0, 0, false,
     "how the kernel is scaled (docs/conventions.md)"},
    {0}};

static const cli_option data_options[] = {
    {"data", "DATA", CLI_TEXT, offsetof(settings, data), 0, 0, true, "the records, one row of Z each (`ntk help`)"},
    {"preprocess", "HOW", CLI_TEXT, offsetof(settings, preprocess), 0, 0, false, cli_preprocess_help},
    {"preprocess-from", "DATA", CLI_TEXT, offsetof(settings, preprocess_from), 0, 0, false,
     "the set that `standard`, `zca` and `patches` are fitted to; default: --data. For test features the training set"},
    {0}};

static const cli_option output_options[] = {
    {"out", "Z.npy", CLI_TEXT, offsetof(settings, out), 0, 0, true,
     "the features, records x M, float32; beside it Z.npy.json says what they are and Z.npy.journal which are "
     "finished"},
    {"resume", NULL, CLI_FLAG, offsetof(settings, resume), 0, 0, false,
     "keep the finished rows; only what is missing is computed. Refused for another network, map, data or seed"},
    {"overwrite", NULL, CLI_FLAG, offsetof(settings, overwrite), 0, 0, false, "replace existing features"},
    {"json", NULL, CLI_FLAG, offsetof(settings, json), 0, 0, false,
     "print one JSON object (dimensions, seconds by stage, ...) and nothing else on stdout"},
    {0}};

static const settings defaults = {.kernel = CLI_KERNEL_BY_NAME, .compute = CLI_COMPUTE_DEFAULTS};

const cli_verb cli_verb_features = {
    .name = "features",
    .summary = "random features whose products approximate a kernel, to a .npy file",
    .description =
        "Computes a matrix Z with a row for each record so that Z Z^T is close to the kernel matrix, in time\n"
        "linear in the number of records and of pixels. Any network is taken. Rows depend on the network, the\n"
        "dimensions and the seed alone, so features of training and test set fit together. A run that is\n"
        "stopped goes on with --resume and ends in the same bytes. `ntk regress --train-features` and\n"
        "`ntk eval --method rf` take them from here.",
    .examples =
        "  ntk features --net '3*(dense relu) dense' --data fashion-mnist:train --dim 8192 --out Z.npy\n"
        "  ntk features --net '3*(dense relu) dense' --data fashion-mnist:test --preprocess-from fashion-mnist:train "
        "\\\n"
        "               --dim 8192 --out Ztest.npy\n"
        "  ntk features --net 'conv3 relu avgpool2 conv3 relu gap' --data fashion-mnist:train --method sketch --out "
        "S.npy",
    .groups = {{"what to compute", model_options, 0},
               {"features", cli_feature_options, offsetof(settings, map)},
               {"data", data_options, 0},
               {"output", output_options, 0},
               {"how to compute", cli_compute_options, offsetof(settings, compute)},
               {0}},
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .run = run,
};
