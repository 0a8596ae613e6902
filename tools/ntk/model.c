#include <stdio.h>
#include <string.h>

#include "tools/ntk/cli.h"

#define ISA_CHOICES "auto|avx512|avx2|baseline"

const cli_option cli_compute_options[] = {
    {"device", "DEV", CLI_TEXT, offsetof(cli_compute, device), 0, 0, false,
     "auto (default): all CUDA devices, else the CPU; cpu; cuda; or cuda:N[,M...]"},
    {"threads", "N", CLI_INTEGER, offsetof(cli_compute, threads), 0, 1024, false,
     "worker threads; 0: all cores (default)"},
    {"memory", "SIZE", CLI_BYTES, offsetof(cli_compute, memory), 16 << 20, 1e18, false,
     "working memory for tiles, e.g. 4GiB; 512MiB (default). The data set comes on top"},
    {"isa", ISA_CHOICES, CLI_CHOICE, offsetof(cli_compute, isa), 0, 0, false,
     "instruction set of the inner loops; auto (default): the best of this machine"},
    {"progress", "auto|none|json", CLI_CHOICE, offsetof(cli_compute, progress), 0, 0, false,
     "auto (default): a bar when stderr is a terminal; json: one JSON object a line on stderr"},
    {0}};

const cli_option cli_model_options[] = {
    {"net", "NET", CLI_TEXT, offsetof(cli_model, net), 0, 0, true,
     "the network's text or the name of a preset (`ntk net --presets`)"},
    {"kernel", "ntk|nngp|both", CLI_CHOICE, offsetof(cli_model, kernel), 0, 0, false,
     "ntk (default; nngp for the presets cnngp-..., ...-ck and ...-gaussian), the Gaussian-process kernel nngp, or "
     "both from one pass"},
    {"precision", "f32|f64", CLI_CHOICE, offsetof(cli_model, precision), 0, 0, false,
     "f32 (default): within 1e-6 of the exact value; f64: float64 throughout"},
    {"depths", "D,D,..", CLI_LIST, offsetof(cli_model, depths), 1, 100000, false,
     "one matrix for each number of activations, all from one pass; activations in branches, or at another resolution "
     "than the readout, cannot be the last"},
    {"lap", "C,C,..", CLI_LIST, offsetof(cli_model, pools), 0, 100000, false,
     "one matrix for each local average pooling lap(c), all from one pass, in place of the readout"},
    {"flip", CLI_FLIP_CHOICES, CLI_CHOICE, offsetof(cli_model, flip), 0, 0, false,
     "average: over horizontal mirror images, (K(x,z) + K(Fx,z)) / 2, as if each training image stood there mirrored, "
     "too; both: also the plain kernel (default), from the same pass. Takes twice the time"},
    {"convention", CLI_CONVENTION_CHOICES, CLI_CHOICE, offsetof(cli_model, convention), 0, 0, false,
     "how values are scaled (docs/conventions.md); preset (default): as published for a preset, generic for a text; a "
     "network that a convention does not know is refused"},
    {0}};

int cli_compute_open(const cli_compute *compute, ntk_context **out) {
  char isa[16];
  CLI_TRY(cli_check(ntk_context_create(out)));
  cli_signals_context(*out);
  CLI_TRY(cli_check(ntk_context_set_threads(*out, (int)compute->threads)));
  CLI_TRY(cli_check(ntk_context_set_memory(*out, compute->memory)));
  CLI_TRY(cli_check(ntk_context_set_isa(*out, cli_choice_name(ISA_CHOICES, compute->isa, isa, sizeof isa))));
  CLI_TRY(cli_check(ntk_context_set_device(*out, compute->device ? compute->device : "auto")));
  if (!compute->device && ntk_context_device_problem(*out))
    cli_note("computing on the CPU: %s", ntk_context_device_problem(*out));
  cli_progress_start(*out, compute->progress);
  return CLI_EXIT_OK;
}

const char *cli_compute_text(const ntk_context *context) {
  static char text[96];
  if (strcmp(ntk_context_device(context), "cpu") != 0) return ntk_context_device(context);
  snprintf(text, sizeof text, "%d threads, %s", ntk_context_threads(context), ntk_context_isa(context));
  return text;
}

void cli_compute_close(ntk_context *context) {
  cli_progress_pause();
  cli_signals_context(NULL);
  ntk_context_free(context);
}

int cli_model_kernels(int kernel, const ntk_network *network) {
  const char *preset = ntk_network_preset(network);
  if (kernel >= 0) return kernel + 1;
  const char *dash = preset ? strrchr(preset, '-') : NULL;
  const bool nngp = preset && (strncmp(preset, "cnngp-", 6) == 0 || strcmp(dash ? dash : "", "-ck") == 0 ||
                               strcmp(dash ? dash : "", "-gaussian") == 0);
  return nngp ? NTK_KERNEL_NNGP : NTK_KERNEL_NTK;
}

int cli_model_plan_network(const cli_model *model, const ntk_network *network, ntk_shape shape, ntk_plan **out) {
  ntk_plan_options options = {.kernels = cli_model_kernels(model->kernel, network),
                              .precision = (ntk_precision)model->precision,
                              .flip = (ntk_flip)model->flip,
                              .convention = (ntk_convention)model->convention};
  if (model->depths.count) {
    options.depths = model->depths.values;
    options.depth_count = model->depths.count;
  }
  if (model->pools.count) {
    options.pools = model->pools.values;
    options.pool_count = model->pools.count;
  }
  return cli_check(ntk_plan_create(network, shape, &options, out));
}

int cli_model_plan(const cli_model *model, ntk_shape shape, ntk_plan **out) {
  ntk_network *network = NULL;
  CLI_TRY(cli_check(ntk_network_parse(model->net, &network)));
  int code = cli_model_plan_network(model, network, shape, out);
  ntk_network_free(network);
  return code;
}
