#include <stdio.h>

#include "tools/ntk/cli.h"

typedef struct settings {
  bool json;
} settings;

static int print_json(const ntk_system_info *info) {
  cli_json json = cli_json_open();
  cli_json_text(&json, "verb", "info");
  cli_json_text(&json, "version", ntk_version());
  cli_json_text(&json, "cpu", info->cpu);
  cli_json_integer(&json, "cores", info->cores);
  cli_json_integer(&json, "memory_bytes", (int64_t)info->memory_bytes);
  cli_json_text(&json, "isa", info->isa);
  cli_json_text(&json, "isas_built", info->isas_built);
  cli_json_text(&json, "blas", info->blas);
  cli_json_text(&json, "compiler", info->compiler);
  cli_json_text(&json, "cuda", info->cuda);
  int code = cli_json_print(&json);
  cli_json_close(&json);
  return code;
}

static int run(const void *raw) {
  const settings *s = raw;
  ntk_system_info info;
  CLI_TRY(cli_check(ntk_system_query(&info)));
  if (s->json) return print_json(&info);
  printf("ntk                 %s\n", ntk_version());
  printf("processor           %s, %d cores for this process\n", info.cpu, info.cores);
  printf("memory              %s\n", cli_format_bytes((double)info.memory_bytes).text);
  printf("instruction set     %s (built: %s)\n", info.isa, info.isas_built);
  printf("linear algebra      %s\n", info.blas);
  printf("compiler            %s\n", info.compiler);
  printf("CUDA                %s\n", info.cuda);
  return CLI_EXIT_OK;
}

static const cli_option options[] = {
    {"json", NULL, CLI_FLAG, offsetof(settings, json), 0, 0, false, "print one JSON object and nothing else on stdout"},
    {0}};

static const settings defaults = {.json = false};

const cli_verb cli_verb_info = {
    .name = "info",
    .summary = "this machine, this build, its libraries",
    .description = "Says what this machine and this build of ntk can do. Add its output to a bug report.",
    .examples = "  ntk info\n  ntk info --json",
    .groups = {{"output", options, 0}, {0}},
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .run = run,
};
