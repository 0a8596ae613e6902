/* The texts of a preprocessing, of what to fit and of what was fitted: what is accepted must be written back and read again unchanged. */
#include <ntk/dataset.h>
#include <stdlib.h>
#include <string.h>

#include "host/data/preprocess.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = malloc(size + 1);
  if (!text) return 0;
  if (size) memcpy(text, data, size);
  text[size] = '\0';
  ntk_preprocess *made, *again;
  if (ntk_preprocess_parse(text, &made) == NTK_OK) {
    if (ntk_preprocess_parse(ntk_preprocess_text(made), &again) != NTK_OK) __builtin_trap();
    if (strcmp(ntk_preprocess_text(made), ntk_preprocess_text(again)) != 0) __builtin_trap();
    ntk_preprocess_free(again);
    ntk_preprocess_free(made);
  }
  ntk_preprocess_check(text);
  if (ntk_preprocess_parse_fitted(text, &made) == NTK_OK) {
    if (ntk_preprocess_parse_fitted(ntk_preprocess_text(made), &again) != NTK_OK) __builtin_trap();
    if (strcmp(ntk_preprocess_text(made), ntk_preprocess_text(again)) != 0) __builtin_trap();
    ntk_preprocess_free(again);
    ntk_preprocess_free(made);
  }
  free(text);
  return 0;
}
