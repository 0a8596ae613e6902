/* The text that names a data set: what is accepted must be written back and read again unchanged. */
#include <stdlib.h>
#include <string.h>

#include "host/data/sampling.h"
#include "host/data/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds) {
  if (!holds) __builtin_trap();
}

static void expect_fixed_point(const ntk_data_spec *spec) {
  ntk_data_spec again;
  char *text, *twice;
  if (ntk_data_spec_format(spec, &text) != NTK_OK) return;
  if (strlen(text) <= NTK_DATA_TEXT_MAX) {
    require(ntk_data_spec_parse(text, &again) == NTK_OK);
    require(ntk_data_spec_format(&again, &twice) == NTK_OK);
    require(strcmp(text, twice) == 0);
    free(twice);
    ntk_data_spec_clear(&again);
  }
  free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = malloc(size + 1);
  if (!text) return 0;
  if (size) memcpy(text, data, size);
  text[size] = '\0';
  ntk_data_spec spec;
  if (ntk_data_spec_parse(text, &spec) == NTK_OK) {
    int64_t first, step, count, total = 1 + (int64_t)(size * 37);
    ntk_slice_resolve(&spec, total, &first, &step, &count);
    require(count >= 0 && count <= total);
    require(count == 0 || (first >= 0 && first + (count - 1) * step < total));
    expect_fixed_point(&spec);
    if (ntk_data_spec_absolute(&spec) == NTK_OK) expect_fixed_point(&spec);
  }
  ntk_data_spec_clear(&spec);
  free(text);
  return 0;
}
