/* What the two roads of `ntk eval` share: kernel matrices (eval.c) and features (eval_features.c). */
#ifndef NTK_TOOLS_EVAL_H
#define NTK_TOOLS_EVAL_H

#include "tools/ntk/cli.h"

typedef struct eval_settings {
  cli_model model;
  cli_compute compute;
  cli_solve solve;
  cli_feature_settings map;
  cli_ridge_settings ridge;
  const char *train, *test, *preprocess, *out;
  bool resume, overwrite, json;
} eval_settings;

typedef struct eval_data {
  ntk_dataset *train, *test;
  char *preprocess_path, *report_path;
} eval_data;

/* Opens and preprocesses both sets, makes the folder, names the report. Closed in any case. */
int eval_open_data(const eval_settings *settings, eval_data *data);
void eval_close_data(eval_data *data);

/* Classes of both sets, at least two. */
int32_t eval_classes(const eval_data *data);

void eval_describe_data(cli_json *json, const eval_data *data);

/* Refuses what makes no sense for features, and what only features have. */
int eval_check_method(const eval_settings *settings);

/* eval_features.c: the road of --method rf and sketch. *computed: whether anything was written that --resume keeps. */
int eval_features(const eval_settings *settings, bool *computed);

#endif
