#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ntk/cli.h"

typedef struct settings {
  cli_model model;
  cli_compute compute;
  const char *data, *against, *preprocess, *preprocess_from, *out, *diagonal;
  int64_t tile;
  bool resume, overwrite, json;
} settings;

typedef struct job {
  const settings *settings;
  ntk_context *context;
  ntk_dataset *rows, *columns; /* columns: NULL for the symmetric matrix */
  ntk_plan *plan;
  ntk_gram_report report;
} job;

/* The statistics belong to the training data, which stand in the columns unless the user says otherwise. */
static int preprocess_both(job *j, const cli_preprocess_options *options) {
  const settings *s = j->settings;
  ntk_dataset *const both[] = {j->rows, j->columns};
  size_t count = j->columns ? 2 : 1;
  if (!s->preprocess_from) {
    return cli_preprocess(options, s->against ? s->against : s->data, j->columns ? j->columns : j->rows, both, count);
  }
  ntk_dataset *from = NULL;
  CLI_TRY(cli_data_open(s->preprocess_from, &from));
  int code = cli_preprocess(options, s->preprocess_from, from, both, count);
  ntk_dataset_free(from);
  return code;
}

static int preprocess(job *j) {
  const settings *s = j->settings;
  char *file = NULL;
  if (asprintf(&file, "%.*s.preprocess.npy", (int)strlen(s->out) - 4, s->out) < 0) {
    return cli_fail(CLI_EXIT_STATUS + NTK_ERROR_MEMORY, "no memory is left");
  }
  cli_preprocess_options options = {s->preprocess, file, s->overwrite};
  int code = preprocess_both(j, &options);
  free(file);
  return code;
}

static int open_data(job *j) {
  const settings *s = j->settings;
  CLI_TRY(cli_data_open(s->data, &j->rows));
  if (s->against) {
    CLI_TRY(cli_data_open(s->against, &j->columns));
    ntk_shape a = ntk_dataset_shape(j->rows), b = ntk_dataset_shape(j->columns);
    if (a.channels != b.channels || a.height != b.height || a.width != b.width) {
      return cli_fail(CLI_EXIT_STATUS + NTK_ERROR_DATA, "the records of %s are %s, those of %s are %s", s->data,
                      cli_format_shape(a).text, s->against, cli_format_shape(b).text);
    }
  }
  return preprocess(j);
}

static int64_t pairs(const job *j) {
  int64_t n = ntk_dataset_count(j->rows);
  return j->columns ? n * ntk_dataset_count(j->columns) : n * (n + 1) / 2;
}

static void announce(const job *j) {
  if (j->settings->compute.progress != CLI_PROGRESS_AUTO) return;
  cli_note("%s: %s x %s records of %s, %s pairs, %s", ntk_plan_network_text(j->plan),
           cli_format_count(ntk_dataset_count(j->rows)).text,
           cli_format_count(ntk_dataset_count(j->columns ? j->columns : j->rows)).text,
           cli_format_shape(ntk_plan_shape(j->plan)).text, cli_format_count(pairs(j)).text,
           cli_compute_text(j->context));
}

static int print_json(const job *j) {
  cli_json json = cli_json_open();
  int code = CLI_EXIT_OK;
  cli_json_text(&json, "verb", "gram");
  cli_json_text(&json, "version", ntk_version());
  cli_json_text(&json, "network", ntk_plan_network_text(j->plan));
  cli_json_text(&json, "preset", ntk_plan_preset(j->plan));
  cli_json_text(&json, "convention", ntk_convention_name(ntk_plan_convention(j->plan)));
  cli_json_real(&json, "scale", ntk_plan_scale(j->plan));
  cli_json_text(&json, "preprocess", ntk_dataset_preprocess_text(j->rows));
  cli_json_text(&json, "preprocess_file", ntk_dataset_preprocess_path(j->rows));
  cli_json_integer(&json, "rows", ntk_dataset_count(j->rows));
  cli_json_integer(&json, "columns", ntk_dataset_count(j->columns ? j->columns : j->rows));
  cli_json_bool(&json, "symmetric", !j->columns);
  cli_json_integer(&json, "pairs", j->report.pairs);
  cli_json_integer(&json, "pairs_computed", j->report.pairs_computed);
  cli_json_integer(&json, "pairs_resumed", j->report.pairs_resumed);
  cli_json_integer(&json, "pairs_recomputed", j->report.pairs_recomputed);
  cli_json_real(&json, "seconds", j->report.seconds);
  cli_json_real(&json, "pairs_per_second", (double)j->report.pairs_computed / j->report.seconds);
  cli_json_real(&json, "entry_layers_per_second", j->report.entry_layers_per_second);
  cli_json_integer(&json, "tile", j->report.tile);
  cli_json_list(&json, "outputs");
  for (size_t k = 0; k < ntk_plan_output_count(j->plan) && code == CLI_EXIT_OK; ++k) {
    cli_json child = cli_json_open();
    ntk_output output = ntk_plan_output(j->plan, k);
    char *path = NULL;
    code = cli_output_path(j->settings->out, j->plan, k, &path);
    cli_json_text(&child, "name", output.name);
    cli_json_text(&child, "path", path);
    cli_json_text(&child, "kernel", output.kernel == NTK_KERNEL_NNGP ? "nngp" : "ntk");
    cli_json_integer(&child, "depth", output.depth);
    cli_json_integer(&child, "pool", output.pool);
    cli_json_bool(&child, "flip", output.flip);
    cli_json_append(&json, "outputs", &child);
    free(path);
  }
  if (code == CLI_EXIT_OK) code = cli_json_print(&json);
  cli_json_close(&json);
  return code;
}

static int print_people(const job *j) {
  printf("%s pairs in %s", cli_format_count(j->report.pairs_computed).text, cli_format_seconds(j->report.seconds).text);
  if (j->report.pairs_computed > 0) {
    printf(", %s pairs/s, %.2e entry-layers/s",
           cli_format_rate((double)j->report.pairs_computed / j->report.seconds).text,
           j->report.entry_layers_per_second);
  }
  if (j->report.pairs_resumed > 0) printf(" (%s pairs were there)", cli_format_count(j->report.pairs_resumed).text);
  putchar('\n');
  for (size_t k = 0; k < ntk_plan_output_count(j->plan); ++k) {
    char *path = NULL;
    int code = cli_output_path(j->settings->out, j->plan, k, &path);
    if (code == CLI_EXIT_OK) printf("%-24s %s\n", ntk_plan_output(j->plan, k).name, path);
    free(path);
    CLI_TRY(code);
  }
  return CLI_EXIT_OK;
}

static int work(job *j) {
  const settings *s = j->settings;
  CLI_TRY(cli_compute_open(&s->compute, &j->context));
  CLI_TRY(open_data(j));
  CLI_TRY(cli_model_plan(&s->model, ntk_dataset_shape(j->rows), &j->plan));
  announce(j);
  ntk_gram_options options = {.path = s->out, .resume = s->resume, .overwrite = s->overwrite, .tile = s->tile};
  CLI_TRY(cli_check(ntk_gram(j->context, j->plan, j->rows, j->columns, &options, &j->report)));
  if (s->diagonal) {
    cli_progress_label("diagonal");
    CLI_TRY(cli_diagonal_write(j->context, j->plan, j->rows, s->diagonal));
  }
  cli_progress_pause();
  return s->json ? print_json(j) : print_people(j);
}

static int run(const void *raw) {
  const settings *s = raw;
  job j = {.settings = s};
  if (s->resume && s->overwrite) return cli_usage("gram", "--resume and --overwrite exclude each other");
  size_t length = strlen(s->out);
  if (length < 5 || strcmp(s->out + length - 4, ".npy") != 0) {
    return cli_usage("gram", "--out wants a name that ends in .npy, not \"%s\"", s->out);
  }
  CLI_TRY(cli_preprocess_check("gram", s->preprocess));
  int code = work(&j);
  bool stopped = code > CLI_EXIT_SIGNAL;
  bool halfway = code == CLI_EXIT_STATUS + NTK_ERROR_IO && j.report.pairs_computed > 0;
  if (stopped || halfway) cli_print_resume_hint(stopped ? "interrupted" : "stopped");
  ntk_plan_free(j.plan);
  ntk_dataset_free(j.rows);
  ntk_dataset_free(j.columns);
  cli_compute_close(j.context);
  return code;
}

static const cli_option data_options[] = {
    {"data", "DATA", CLI_TEXT, offsetof(settings, data), 0, 0, true,
     "the records of the rows; alone, those of the columns too (`ntk help`)"},
    {"against", "DATA", CLI_TEXT, offsetof(settings, against), 0, 0, false,
     "the records of the columns. For `ntk regress` the rows are the test set, the columns the training set"},
    {"preprocess", "HOW", CLI_TEXT, offsetof(settings, preprocess), 0, 0, false, cli_preprocess_help},
    {"preprocess-from", "DATA", CLI_TEXT, offsetof(settings, preprocess_from), 0, 0, false,
     "the set that `standard`, `zca` and `patches` are fitted to; default: the columns' set (--against, else --data), "
     "so that "
     "test x train matrices use the training set's"},
    {0}};

static const cli_option output_options[] = {
    {"out", "K.npy", CLI_TEXT, offsetof(settings, out), 0, 0, true,
     "the matrix, rows x columns; beside it K.npy.json says what it is and K.npy.journal which tiles are finished. "
     "Several "
     "kernels give K-NAME.npy each"},
    {"diagonal", "D.npy", CLI_TEXT, offsetof(settings, diagonal), 0, 0, false,
     "also write K(x,x) of every row, for `ntk regress --test-diagonal`"},
    {"resume", NULL, CLI_FLAG, offsetof(settings, resume), 0, 0, false,
     "keep the finished tiles; only what is missing is computed. Refused for another network, flip, data or precision"},
    {"overwrite", NULL, CLI_FLAG, offsetof(settings, overwrite), 0, 0, false, "replace an existing matrix"},
    {"tile", "N", CLI_INTEGER, offsetof(settings, tile), 0, 1 << 20, false,
     "rows and columns of a tile; 0: chosen from --memory (default). Never changes a value"},
    {"json", NULL, CLI_FLAG, offsetof(settings, json), 0, 0, false,
     "print one JSON object (pairs, seconds, outputs, ...) and nothing else on stdout"},
    {0}};

static const settings defaults = {.model = CLI_MODEL_DEFAULTS, .compute = CLI_COMPUTE_DEFAULTS};

const cli_verb cli_verb_gram = {
    .name = "gram",
    .summary = "any kernel matrix, or a block of one, to .npy files",
    .description =
        "Computes a kernel matrix tile by tile to a .npy file that NumPy can map into memory: the symmetric\n"
        "matrix of one data set, or rows x columns of two. A run that is stopped, even by kill -9, goes on\n"
        "with --resume and ends in the same bytes.",
    .examples =
        "  ntk gram --net '5*(conv3 relu) gap' --data fashion-mnist:train[0:5000] --out K.npy --threads 8\n"
        "  ntk gram --net '5*(conv3 relu) gap' --data fashion-mnist:test --against fashion-mnist:train[0:5000] \\\n"
        "           --out Ktest.npy --diagonal dtest.npy --memory 4GiB",
    .groups = {{"what to compute", cli_model_options, offsetof(settings, model)},
               {"data", data_options, 0},
               {"output", output_options, 0},
               {"how to compute", cli_compute_options, offsetof(settings, compute)},
               {0}},
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .run = run,
};
