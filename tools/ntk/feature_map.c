#include <stdio.h>
#include <string.h>

#include "tools/ntk/cli.h"

/* clang-format off */
#define OPTION(name, value, type, field, low, high, help) \
  {name, value, type, offsetof(cli_feature_settings, field), low, high, false, help}
#define MAP_OPTIONS \
  OPTION("dim", "M", CLI_INTEGER, dim, 8, 1 << 20, \
         "features of an input, the columns of Z; 1024 (default). The error falls as 1/sqrt(M)"), \
  OPTION("sketch-dim", "MS", CLI_INTEGER, sketch_dim, 0, 1 << 20, \
         "how many of them hold what earlier layers learn; default: 5/8 of M, 3/4 with convolutions"), \
  OPTION("order0-dim", "M0", CLI_INTEGER, order0_dim, 0, 1 << 20, \
         "features of a layer's derivative; default: M - MS, as many as of the layer itself"), \
  OPTION("sketch", "srht|fourier|count", CLI_CHOICE, sketch, 0, 0, \
         "how products are sketched: by Hadamard transforms (default), by Fourier transforms, by TensorSketch"), \
  OPTION("leverage", NULL, CLI_FLAG, leverage, 0, 0, \
         "rf: draw directions by leverage scores (relu, leaky, abrelu, abs)"), \
  OPTION("gibbs", NULL, CLI_FLAG, gibbs, 0, 0, \
         "with --leverage: by the published Gibbs sampler instead of exactly; slow"), \
  OPTION("plain", NULL, CLI_FLAG, plain, 0, 0, \
         "the published maps: also the constant and linear parts of ReLU-like activations by features; larger errors"), \
  OPTION("degree", "P", CLI_INTEGER, degree, 1, 32, \
         "sketch: degree of the polynomials; default: 4 for a layer, 8 for its derivative"), \
  OPTION("seed", "S", CLI_INTEGER, seed, 0, 9e15, \
         "of the random numbers; 0 (default). Training and test features must have the same"), \
  {0}
/* clang-format on */

/* The two tables differ in their first line: `ntk features` knows no exact kernel. */
const cli_option cli_feature_options[] = {
    {"method", "rf|sketch", CLI_CHOICE, offsetof(cli_feature_settings, method), 0, 0, false,
     "rf (default): random features, any activation; sketch: polynomial sketches, ReLU-like activations"},
    MAP_OPTIONS};

const cli_option cli_method_options[] = {
    {"method", "exact|rf|sketch", CLI_CHOICE, offsetof(cli_feature_settings, method), 0, 0, false,
     "exact (default): kernel matrices; rf, sketch: features, in time linear in the number of records"},
    MAP_OPTIONS};

int cli_feature_check(const char *verb, const cli_feature_settings *s) {
  if (s->gibbs && !s->leverage) return cli_usage(verb, "--gibbs says how --leverage draws: add --leverage");
  if (s->sketch_dim && s->sketch_dim > (s->dim ? s->dim : 1024) - 2)
    return cli_usage(verb, "--sketch-dim %lld leaves no features for the last layer: it is at most --dim - 2",
                     (long long)s->sketch_dim);
  return CLI_EXIT_OK;
}

int cli_feature_map(const cli_feature_settings *s, const char *net, int kernel, int convention, bool sketch,
                    ntk_shape shape, ntk_features **out) {
  ntk_network *network = NULL;
  const ntk_features_options options = {
      .method = sketch ? NTK_FEATURES_SKETCH : NTK_FEATURES_RANDOM,
      .dim = s->dim,
      .sketch_dim = s->sketch_dim,
      .order0_dim = s->order0_dim,
      .sketch = (ntk_sketch)s->sketch,
      .sampling = s->gibbs      ? NTK_SAMPLING_GIBBS
                  : s->leverage ? NTK_SAMPLING_LEVERAGE
                                : NTK_SAMPLING_GAUSSIAN,
      .plain = s->plain,
      .degree = (int)s->degree,
      .seed = (uint64_t)s->seed,
      .convention = (ntk_convention)convention,
  };
  CLI_TRY(cli_check(ntk_network_parse(net, &network)));
  ntk_features_options with_kernel = options;
  with_kernel.kernel = cli_model_kernels(kernel, network);
  const int code = cli_check(ntk_features_create(network, shape, &with_kernel, out));
  ntk_network_free(network);
  return code;
}

void cli_feature_json(cli_json *json, const ntk_features *features) {
  static const char *const methods[] = {"rf", "sketch"}, *const sketches[] = {"srht", "fourier", "count"};
  static const char *const samplings[] = {"gaussian", "leverage", "gibbs"};
  const ntk_features_options o = ntk_features_used(features);
  const ntk_features_cost cost = ntk_features_cost_of(features);
  cli_json_text(json, "network", ntk_features_network_text(features));
  cli_json_text(json, "kernel", o.kernel == NTK_KERNEL_NNGP ? "nngp" : "ntk");
  cli_json_real(json, "scale", ntk_features_scale(features));
  cli_json_text(json, "method", methods[o.method]);
  cli_json_integer(json, "dim", ntk_features_dim(features));
  cli_json_integer(json, "sketch_dim", o.sketch_dim);
  cli_json_integer(json, "order0_dim", o.order0_dim);
  cli_json_text(json, "sketch", sketches[o.sketch]);
  cli_json_text(json, "sampling", samplings[o.sampling]);
  cli_json_bool(json, "plain", o.plain);
  cli_json_integer(json, "degree", o.degree);
  cli_json_integer(json, "seed", (int64_t)o.seed);
  cli_json_real(json, "product_flops_per_record", cost.product_flops);
  cli_json_real(json, "transform_flops_per_record", cost.transform_flops);
  cli_json_real(json, "sum_flops_per_record", cost.sum_flops);
  cli_json_integer(json, "random_bytes", cost.random_bytes);
  cli_json_integer(json, "bytes_per_thread", cost.bytes_per_thread);
}

void cli_feature_report_json(cli_json *json, const char *key, const ntk_features_report *report) {
  cli_json child = cli_json_open();
  cli_json_integer(&child, "rows", report->rows);
  cli_json_integer(&child, "rows_computed", report->rows_computed);
  cli_json_integer(&child, "rows_resumed", report->rows_resumed);
  cli_json_real(&child, "seconds", report->seconds);
  cli_json_real(&child, "thread_seconds_draw", report->times.draw);
  cli_json_real(&child, "thread_seconds_input", report->times.input);
  cli_json_real(&child, "thread_seconds_products", report->times.products);
  cli_json_real(&child, "thread_seconds_units", report->times.units);
  cli_json_real(&child, "thread_seconds_sketches", report->times.sketches);
  cli_json_real(&child, "thread_seconds_sums", report->times.sums);
  cli_json_object(json, key, &child);
}

void cli_feature_print(const char *name, const ntk_features *features, const ntk_features_report *report) {
  const ntk_features_times *t = &report->times;
  const double all = t->draw + t->input + t->products + t->units + t->sketches + t->sums;
  const struct {
    const char *name;
    double seconds;
  } stages[] = {{"drawing", t->draw}, {"images", t->input},      {"products", t->products},
                {"units", t->units},  {"sketches", t->sketches}, {"sums", t->sums}};
  printf("%-13s%s x %s in %s", name, cli_format_count(report->rows).text,
         cli_format_count(ntk_features_dim(features)).text, cli_format_seconds(report->seconds).text);
  if (report->rows_computed > 0)
    printf(", %s records/s", cli_format_rate((double)report->rows_computed / report->seconds).text);
  if (report->rows_resumed > 0) printf(" (%s rows were there)", cli_format_count(report->rows_resumed).text);
  if (report->rows_computed > 0 && all > 0) {
    const char *comma = "";
    printf("\n%-13s", "");
    for (size_t k = 0; k < sizeof stages / sizeof *stages; ++k) {
      if (stages[k].seconds < 0.005 * all) continue;
      printf("%s%s %.0f %%", comma, stages[k].name, 100 * stages[k].seconds / all);
      comma = ", ";
    }
    printf(" of the threads' time");
    if (t->products > 0)
      printf("; products at %.3g Gflop/s a thread",
             1e-9 * ntk_features_cost_of(features).product_flops * (double)report->rows_computed / t->products);
  }
  putchar('\n');
}
