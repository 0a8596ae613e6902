/* Fuzz target of the network text: whatever the bytes, parsing ends in a network that prints back exactly or in one
 * clear sentence. */
#include <ntk/network.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/compare_network.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition) {
  if (!condition) __builtin_trap();
}

/* A message is one line of printable text that begins with the place. */
static void require_clear_message(const char *start) {
  const char *message = ntk_last_error();
  require(strncmp(message, start, strlen(start)) == 0);
  for (const char *c = message; *c; c++) require(*c >= ' ' && *c <= '~');
}

static void check_network(const ntk_network *network) {
  static const ntk_shape shapes[] = {{3, 32, 32}, {1, 1, 1}, {2, 7, 10}, {10, 0, 0}, {1, 1 << 20, 1 << 20}};
  require(ntk_test_round_trip(network));
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    double scale;
    ntk_status status = ntk_network_check(network, shapes[i]);
    require(status == NTK_OK || status == NTK_ERROR_NETWORK);
    if (status != NTK_OK) require_clear_message(ntk_network_preset(network) ? "preset '" : "layer ");
    status = ntk_network_scale(network, shapes[i], &scale);
    require(status == NTK_OK ? scale > 0 && scale < 1e300 : status == NTK_ERROR_ARGUMENT);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = malloc(size + 1);
  if (!text) return 0;
  if (size > 0) memcpy(text, data, size);
  text[size] = '\0';
  ntk_network *network;
  ntk_status status = ntk_network_parse(text, &network);
  require(status == NTK_OK || status == NTK_ERROR_NETWORK);
  if (status == NTK_OK) {
    check_network(network);
  } else {
    require(network == NULL);
    require_clear_message("layer ");
  }
  ntk_network_free(network);
  free(text);
  return 0;
}
