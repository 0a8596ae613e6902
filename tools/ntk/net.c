#include <stdio.h>
#include <string.h>

#include "tools/ntk/cli.h"

typedef struct settings {
  const char *net;
  ntk_shape shape; /* all 0: chosen by the network */
  int kernel, precision, flip, convention;
  cli_list depths, pools;
  bool presets, json;
  int64_t threads;
} settings;

static const int64_t sizes[] = {1000, 10000, 60000};
enum { SIZE_COUNT = sizeof sizes / sizeof *sizes };

typedef struct job {
  const settings *settings;
  ntk_context *context;
  ntk_network *network;
  ntk_plan *plan;
  double seconds[SIZE_COUNT];
} job;

static int print_presets(bool as_json) {
  if (as_json) {
    cli_json json = cli_json_open();
    cli_json_list(&json, "presets");
    for (size_t i = 0; i < ntk_preset_count(); ++i) {
      cli_json child = cli_json_open();
      cli_json_text(&child, "pattern", ntk_preset_pattern(i));
      cli_json_text(&child, "description", ntk_preset_description(i));
      cli_json_append(&json, "presets", &child);
    }
    int code = cli_json_print(&json);
    cli_json_close(&json);
    return code;
  }
  for (size_t i = 0; i < ntk_preset_count(); ++i) {
    printf("%-24s %s\n", ntk_preset_pattern(i), ntk_preset_description(i));
  }
  return CLI_EXIT_OK;
}

/* Networks that take vectors are shown for one, the others for CIFAR-10's shape. */
static ntk_shape choose_shape(const job *j) {
  const ntk_shape image = {3, 32, 32}, vector = {100, 0, 0};
  if (j->settings->shape.channels > 0) return j->settings->shape;
  return ntk_network_check(j->network, vector) == NTK_OK ? vector : image;
}

static int plan(job *j) {
  const settings *s = j->settings;
  const cli_model model = {.kernel = s->kernel,
                           .precision = s->precision,
                           .depths = s->depths,
                           .pools = s->pools,
                           .flip = s->flip,
                           .convention = s->convention};
  CLI_TRY(cli_check(ntk_network_parse(s->net, &j->network)));
  ntk_shape shape = choose_shape(j);
  CLI_TRY(cli_check(ntk_network_check(j->network, shape)));
  CLI_TRY(cli_model_plan_network(&model, j->network, shape, &j->plan));
  for (int i = 0; i < SIZE_COUNT; ++i) {
    double n = (double)sizes[i];
    CLI_TRY(cli_check(ntk_plan_predict(j->context, j->plan, n * (n + 1) / 2, &j->seconds[i])));
  }
  return CLI_EXIT_OK;
}

static int print_json(const job *j) {
  static const char *const keys[SIZE_COUNT] = {"1000", "10000", "60000"};
  ntk_cost cost = ntk_plan_cost(j->plan);
  cli_json json = cli_json_open(), predicted = cli_json_open();
  cli_json_text(&json, "verb", "net");
  cli_json_text(&json, "version", ntk_version());
  cli_json_text(&json, "network", ntk_plan_network_text(j->plan));
  cli_json_text(&json, "preset", ntk_plan_preset(j->plan));
  cli_json_text(&json, "convention", ntk_convention_name(ntk_plan_convention(j->plan)));
  cli_json_real(&json, "scale", ntk_plan_scale(j->plan));
  cli_json_shape(&json, "shape", ntk_plan_shape(j->plan));
  cli_json_text(&json, "layers", ntk_plan_description(j->plan));
  cli_json_integer(&json, "planes", cost.planes);
  cli_json_integer(&json, "entries", cost.entries);
  cli_json_integer(&json, "activation_layers", cost.activation_layers);
  cli_json_real(&json, "entry_layers_per_pair", cost.entry_layers);
  cli_json_integer(&json, "bytes_per_pair", cost.bytes_per_pair);
  cli_json_integer(&json, "bytes_per_image", cost.bytes_per_image);
  cli_json_list(&json, "outputs");
  for (size_t k = 0; k < ntk_plan_output_count(j->plan); ++k) {
    ntk_output output = ntk_plan_output(j->plan, k);
    cli_json child = cli_json_open();
    cli_json_text(&child, "name", output.name);
    cli_json_integer(&child, "depth", output.depth);
    cli_json_integer(&child, "pool", output.pool);
    cli_json_bool(&child, "flip", output.flip);
    cli_json_append(&json, "outputs", &child);
  }
  for (int i = 0; i < SIZE_COUNT; ++i) cli_json_real(&predicted, keys[i], j->seconds[i]);
  cli_json_object(&json, "predicted_seconds", &predicted);
  int code = cli_json_print(&json);
  cli_json_close(&json);
  return code;
}

static void print_people(const job *j) {
  ntk_cost cost = ntk_plan_cost(j->plan);
  size_t outputs = ntk_plan_output_count(j->plan);
  const char *layers = ntk_plan_description(j->plan);
  printf("network             %s\n", ntk_plan_network_text(j->plan));
  if (ntk_plan_preset(j->plan)) {
    printf("preset              %s\n", ntk_plan_preset(j->plan));
  }
  printf("convention          %s; values are multiplied by %.17g\n", ntk_convention_name(ntk_plan_convention(j->plan)),
         ntk_plan_scale(j->plan));
  printf("input               %s\n\n", cli_format_shape(ntk_plan_shape(j->plan)).text);
  size_t length = strlen(layers);
  printf("%s%s\n", layers, length && layers[length - 1] == '\n' ? "" : "\n");
  printf("offset planes       %s\n", cli_format_count(cost.planes).text);
  printf("entries             %s a pair\n", cli_format_count(cost.entries).text);
  printf("entry-layers        %s a pair (%s activation layers)\n", cli_format_rate(cost.entry_layers).text,
         cli_format_count(cost.activation_layers).text);
  printf("working memory      %s a pair in flight, %s an image of a tile\n",
         cli_format_bytes((double)cost.bytes_per_pair).text, cli_format_bytes((double)cost.bytes_per_image).text);
  printf("matrices            %zu:", outputs);
  for (size_t k = 0; k < outputs; ++k) printf(" %s", ntk_plan_output(j->plan, k).name);
  printf("\n\n%-19s %-16s (%s)\n", "matrix", "predicted time", cli_compute_text(j->context));
  for (int i = 0; i < SIZE_COUNT; ++i) {
    const cli_text size = cli_format_count(sizes[i]);
    char matrix[2 * sizeof size.text + 4];
    snprintf(matrix, sizeof matrix, "%s x %s", size.text, size.text);
    printf("%-19s %s\n", matrix, cli_format_seconds(j->seconds[i]).text);
  }
}

static int run(const void *raw) {
  const settings *s = raw;
  job j = {.settings = s};
  if (s->presets) return print_presets(s->json);
  if (!s->net)
    return cli_usage("net", "`ntk net` wants a network's text, e.g. ntk net '3*(conv3 relu) gap', or --presets");
  const cli_compute compute = {.threads = s->threads, .memory = 512ull << 20, .progress = CLI_PROGRESS_NONE};
  int code = cli_compute_open(&compute, &j.context);
  if (code == CLI_EXIT_OK) code = plan(&j);
  if (code == CLI_EXIT_OK && s->json) code = print_json(&j);
  if (code == CLI_EXIT_OK && !s->json) print_people(&j);
  ntk_plan_free(j.plan);
  ntk_network_free(j.network);
  cli_compute_close(j.context);
  return code;
}

static const cli_option options[] = {
    {"shape", "CxHxW", CLI_SHAPE, offsetof(settings, shape), 0, 0, false,
     "the input: channels x height x width, or a dimension; 3x32x32 or 100 (default)"},
    {"kernel", "ntk|nngp|both", CLI_CHOICE, offsetof(settings, kernel), 0, 0, false, "ntk (default), nngp or both"},
    {"precision", "f32|f64", CLI_CHOICE, offsetof(settings, precision), 0, 0, false, "f32 (default) or f64"},
    {"depths", "D,D,..", CLI_LIST, offsetof(settings, depths), 1, 100000, false, "as for `ntk gram`"},
    {"lap", "C,C,..", CLI_LIST, offsetof(settings, pools), 0, 100000, false, "as for `ntk gram`"},
    {"flip", CLI_FLIP_CHOICES, CLI_CHOICE, offsetof(settings, flip), 0, 0, false, "as for `ntk gram`"},
    {"convention", CLI_CONVENTION_CHOICES, CLI_CHOICE, offsetof(settings, convention), 0, 0, false,
     "as for `ntk gram`"},
    {"threads", "N", CLI_INTEGER, offsetof(settings, threads), 0, 1024, false,
     "threads of the predicted run; 0: all cores (default)"},
    {"presets", NULL, CLI_FLAG, offsetof(settings, presets), 0, 0, false, "list the presets of published networks"},
    {"json", NULL, CLI_FLAG, offsetof(settings, json), 0, 0, false, "print one JSON object and nothing else on stdout"},
    {0}};

static const settings defaults = {.kernel = CLI_KERNEL_BY_NAME};

const cli_verb cli_verb_net = {
    .name = "net",
    .summary = "what a network's text means, and what its matrix will cost",
    .argument = "NET",
    .argument_optional = true,
    .argument_offset = offsetof(settings, net),
    .description =
        "Explains a network: its layers and shapes, the offset planes that its readout demands, the work of\n"
        "one pair of inputs and the predicted time of whole matrices on this machine.",
    .examples = "  ntk net '20*(conv3 relu) gap'\n  ntk net cntk-21-gap --shape 1x28x28 --json",
    .groups = {{"options", options, 0}, {0}},
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .run = run,
};
