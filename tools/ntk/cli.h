/* The program `ntk`: what its verbs share. Order of a call: main.c finds the verb -> options.c fills its settings ->
 * the verb runs (model.c, inputs.c open what it names) -> output.c / json.c print. Everything returns an exit code. */
#ifndef NTK_TOOLS_CLI_H
#define NTK_TOOLS_CLI_H

#include <jansson.h>
#include <ntk/ntk.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit codes (docs/cli.md). A library failure with status s gives CLI_EXIT_STATUS + s. */
enum {
  CLI_EXIT_OK = 0,
  CLI_EXIT_VERIFY = 1,
  CLI_EXIT_USAGE = 2,
  CLI_EXIT_STATUS = 10,
  CLI_EXIT_SIGNAL = 128 /* + the signal's number: 130 after Ctrl-C */
};

/* Returns from the calling function when an exit code is not CLI_EXIT_OK. */
#define CLI_TRY(call)                               \
  do {                                              \
    int try_code_ = (call);                         \
    if (try_code_ != CLI_EXIT_OK) return try_code_; \
  } while (0)

/* ---- options.c: one table per group of options serves the parser and --help ---- */

typedef enum cli_type {
  CLI_FLAG,    /* bool */
  CLI_TEXT,    /* const char * */
  CLI_INTEGER, /* int64_t, low..high */
  CLI_BYTES,   /* uint64_t, low..high: 512MiB, 4GiB, ... */
  CLI_LIST,    /* cli_list, each low..high */
  CLI_CHOICE,  /* int: the index into `value`, written a|b|c */
  CLI_REAL,    /* double, low < value < high */
  CLI_RIDGE,   /* cli_ridge */
  CLI_SHAPE    /* ntk_shape: 3x32x32, or 100 for vectors */
} cli_type;

typedef struct cli_list {
  size_t count;
  int values[64];
} cli_list;

typedef struct cli_ridge {
  bool fixed; /* else chosen by leave-one-out or on held-out records */
  double value;
} cli_ridge;

typedef struct cli_option {
  const char *name;  /* without the dashes */
  const char *value; /* how --help writes the value; for CLI_CHOICE also the legal words; NULL for a flag */
  cli_type type;
  size_t offset; /* into the group's part of the settings */
  double low, high;
  bool required;
  const char *help;
} cli_option;

typedef struct cli_group {
  const char *title;
  const cli_option *options; /* ends with a NULL name */
  size_t offset;             /* of the group's part in the verb's settings */
} cli_group;

typedef struct cli_verb {
  const char *name;
  const char *summary;  /* one line for `ntk help` */
  const char *argument; /* the positional argument's name, or NULL */
  bool argument_optional;
  size_t argument_offset; /* a const char * in the settings */
  const char *description;
  const char *examples;
  cli_group groups[8];  /* ends with a NULL title */
  const void *defaults; /* settings_size bytes */
  size_t settings_size;
  int (*run)(const void *settings);
} cli_verb;

/* Fills `settings` (a copy of the defaults) from argv[1..]; *help is set when --help was asked for. */
int cli_parse(const cli_verb *verb, int argc, char **argv, void *settings, bool *help);

/* The word of `value` (a|b|c) at an index, for messages and JSON. Writes into buffer. */
const char *cli_choice_name(const char *value, int index, char *buffer, size_t size);

/* ---- help.c ---- */

void cli_print_verb_help(const cli_verb *verb);
void cli_print_help(const cli_verb *const *verbs);

/* The candidate nearest to a mistyped word, or NULL when none is near. */
const char *cli_nearest(const char *word, const char *const *candidates, size_t count);

/* ---- message.c: everything for people goes to stderr, one "ntk: <sentence>" a line ---- */

int cli_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
int cli_usage(const char *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cli_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Turns a library status into an exit code and prints its sentence; an interruption gives 128 + signal, silently. */
int cli_check(ntk_status status);

/* ---- signals.c ---- */

/* Remembers the command line (for the hint how to resume) and installs the handlers of SIGINT and SIGTERM. */
void cli_signals_start(int argc, char *const *argv);

/* The context that the handlers cancel; NULL: none. */
void cli_signals_context(ntk_context *context);

/* The signal that asked the program to stop, or 0. */
int cli_signals_caught(void);

/* Prints the sentence that says how to go on: the same command line with --resume, quoted for the shell. */
void cli_print_resume_hint(const char *what);

/* ---- progress.c ---- */

typedef enum cli_progress_mode {
  CLI_PROGRESS_AUTO = 0,
  CLI_PROGRESS_NONE = 1,
  CLI_PROGRESS_JSON = 2
} cli_progress_mode;

void cli_progress_start(ntk_context *context, int mode);

/* Names what the next reports are about, e.g. "train kernel"; static storage. Ends the line of a bar. */
void cli_progress_label(const char *label);

/* Ends the line of a bar, so that other text can follow on stderr. */
void cli_progress_pause(void);

/* ---- model.c: the options that say what to compute and with what ---- */

typedef struct cli_compute {
  const char *device; /* NULL: auto */
  int64_t threads;
  uint64_t memory;
  int isa;
  int progress;
} cli_compute;

typedef struct cli_model {
  const char *net;
  int kernel; /* CLI_KERNEL_BY_NAME: what the network's name promises, the NTK for a text */
  int precision;
  cli_list depths, pools; /* empty: as written */
  int flip;               /* ntk_flip */
  int convention;         /* ntk_convention */
} cli_model;

#define CLI_FLIP_CHOICES "plain|average|both"
#define CLI_CONVENTION_CHOICES "preset|generic|arora|li|neural-tangents"
enum { CLI_KERNEL_BY_NAME = -1 };

extern const cli_option cli_compute_options[];
extern const cli_option cli_model_options[];
#define CLI_MODEL_DEFAULTS \
  { .kernel = CLI_KERNEL_BY_NAME }
#define CLI_COMPUTE_DEFAULTS \
  { .memory = 512ull << 20 }

/* The kernels of --kernel: what the user asked for, else what the network's name promises. */
int cli_model_kernels(int kernel, const ntk_network *network);

int cli_compute_open(const cli_compute *compute, ntk_context **out);
void cli_compute_close(ntk_context *context);

/* What computes, e.g. "2 threads, avx2" or "cuda:0". */
const char *cli_compute_text(const ntk_context *context);
int cli_model_plan(const cli_model *model, ntk_shape shape, ntk_plan **out);
int cli_model_plan_network(const cli_model *model, const ntk_network *network, ntk_shape shape, ntk_plan **out);

/* ---- inputs.c: data sets, their preprocessing, labels ---- */

/* --preprocess and what belongs to it. */
typedef struct cli_preprocess_options {
  const char *choice; /* NULL: standard for image sets, none for npy */
  const char *out;    /* the file that keeps a fitted array */
  bool replace;       /* whatever that file holds */
} cli_preprocess_options;

extern const char cli_preprocess_help[];

/* Refuses a text that names no preprocessing, before data are opened. */
int cli_preprocess_check(const char *verb, const char *choice);

/* Fits to one data set (opened from the text `data`) and applies to `count` of them. */
int cli_preprocess(const cli_preprocess_options *options, const char *data, const ntk_dataset *fit,
                   ntk_dataset *const *apply, size_t count);

/* Opens a data set and says which option named it when that fails. */
int cli_data_open(const char *data, ntk_dataset **out);

/* Labels of a .npy file or a DATA text; *classes grows to their number. Freed with free(). */
int cli_labels_read(const char *source, int64_t *count, int32_t *classes, int32_t **labels);

/* A .npy matrix as float64; freed with ntk_npy_free. */
int cli_matrix_read(const char *path, int64_t *rows, int64_t *columns, double **values);
int cli_vector_read(const char *path, int64_t *count, double **values);

/* Creates a folder and those above it, as far as they are missing. */
int cli_make_folder(const char *path);

/* folder/name, or path with the matrix's name put in when the plan has several outputs; freed with free(). */
int cli_join(const char *folder, const char *name, char **out);
int cli_output_path(const char *path, const ntk_plan *plan, size_t index, char **out);

/* Refuses a job whose working set cannot fit this machine, before hours are spent on it. */
int cli_regress_memory_check(int64_t train, int64_t test, bool choose_ridge);

/* ---- diagonal.c ---- */

/* Computes K(x,x) of each record in blocks and writes one float64 vector per output (names as ntk_gram_output_path). */
int cli_diagonal_write(ntk_context *context, const ntk_plan *plan, const ntk_dataset *data, const char *path);

typedef struct cli_json {
  json_t *object;
  bool failed;
} cli_json;

/* ---- solve.c: what eval and regress share ---- */

typedef struct cli_solve {
  cli_ridge ridge;
  bool unit_diagonal;
  int targets, solver;
} cli_solve;

extern const cli_option cli_solve_options[];

/* Regression from matrices in files; test_diagonal may be NULL. Fills everything of the problem but the kernels. */
typedef struct cli_solve_files {
  const char *train_kernel, *test_kernel, *test_diagonal;
} cli_solve_files;

/* Before hours of computing: whether what the regression insists on is there. */
int cli_solve_check(const cli_solve *solve, const ntk_context *context);

int cli_solve_run(ntk_context *context, const cli_solve *solve, const cli_solve_files *files, bool variance,
                  ntk_regress_problem *problem, ntk_regress_result *result);

/* The numbers of a result that reports show. */
void cli_solve_json(cli_json *json, const ntk_regress_result *result);

/* ---- feature_map.c: what features and eval share ---- */

typedef struct cli_feature_settings {
  int method;                                        /* the index into "rf|sketch", for eval into "exact|rf|sketch" */
  int64_t dim, sketch_dim, order0_dim, degree, seed; /* 0: the library's defaults */
  int sketch;
  bool leverage, gibbs, plain;
} cli_feature_settings;

extern const cli_option cli_feature_options[], cli_method_options[];

/* Refuses options that contradict each other. */
int cli_feature_check(const char *verb, const cli_feature_settings *settings);

int cli_feature_map(const cli_feature_settings *settings, const char *net, int kernel, int convention, bool sketch,
                    ntk_shape shape, ntk_features **out);
void cli_feature_json(cli_json *json, const ntk_features *features);
void cli_feature_report_json(cli_json *json, const char *key, const ntk_features_report *report);

/* Two lines for people: rows, time, and where it went. */
void cli_feature_print(const char *name, const ntk_features *features, const ntk_features_report *report);

/* ---- ridge.c: regression on features instead of matrices ---- */

typedef struct cli_ridge_settings {
  double held_out; /* 0: as ntk_ridge_options */
  int64_t held_out_seed;
  int form; /* ntk_ridge_form */
} cli_ridge_settings;

extern const cli_option cli_ridge_options[];

/* Files, and labels as cli_labels_read gives them; test_labels may be NULL. */
typedef struct cli_ridge_input {
  const char *train_features, *test_features;
  const int32_t *train_labels, *test_labels;
  int64_t train_count, test_count; /* of the labels */
  int32_t classes;
} cli_ridge_input;

/* Refuses options that say nothing about features, before anything is computed. */
int cli_ridge_check(const char *verb, const cli_solve *solve, const cli_ridge_settings *settings);

/* Result to be freed with ntk_ridge_result_free. */
int cli_ridge_run(ntk_context *context, const cli_solve *solve, const cli_ridge_settings *settings,
                  const cli_ridge_input *input, ntk_ridge_result *result);

/* The numbers of a result that reports show, and the same for people. */
void cli_ridge_json(cli_json *json, const ntk_ridge_result *result);
void cli_ridge_print(const ntk_ridge_result *result);

/* ---- table.c: the accuracies of a sweep as the literature prints them: a table a kernel, rows c of lap(c), columns
 * depths, in Markdown ---- */

/* Whether the plan sweeps over something that a table shows. */
bool cli_is_table(const ntk_plan *plan);

/* accuracies: one for each output, in 0..1; NaN: unknown. */
void cli_print_table(const ntk_plan *plan, const double *accuracies);

/* ---- json.c: values that JSON cannot hold become null; a failed allocation is noticed when printing ---- */

cli_json cli_json_open(void);
void cli_json_close(cli_json *json);
void cli_json_text(cli_json *json, const char *key, const char *value);
void cli_json_real(cli_json *json, const char *key, double value);
void cli_json_integer(cli_json *json, const char *key, int64_t value);
void cli_json_bool(cli_json *json, const char *key, bool value);
void cli_json_shape(cli_json *json, const char *key, ntk_shape shape);

/* Begins an empty list under a key. */
void cli_json_list(cli_json *json, const char *key);

/* Moves a child object into its parent, or to the end of a list there. */
void cli_json_object(cli_json *json, const char *key, cli_json *child);
void cli_json_append(cli_json *json, const char *key, cli_json *child);

int cli_json_print(const cli_json *json);
int cli_json_write(const cli_json *json, const char *path);

/* ---- format.c: numbers for people, written into the caller's buffer ---- */

typedef struct cli_text {
  char text[64];
} cli_text;

cli_text cli_format_seconds(double seconds);
cli_text cli_format_bytes(double bytes);
cli_text cli_format_count(int64_t count);
cli_text cli_format_rate(double per_second);
cli_text cli_format_shape(ntk_shape shape);
cli_text cli_format_percent(double fraction);

/* Wall clock in seconds. */
double cli_now(void);

/* ---- the verbs ---- */

extern const cli_verb cli_verb_eval, cli_verb_gram, cli_verb_regress, cli_verb_net, cli_verb_info, cli_verb_verify,
    cli_verb_bench, cli_verb_features;

#endif
