/* Uses the installed library: the NTK of one dense ReLU layer of a unit vector with itself is
 * NNGP + T = 1/d + 1/d (d = 2, normalised ReLU, generic convention). */
#include <math.h>
#include <ntk/ntk.h>
#include <stdio.h>
#include <string.h>

static int run(void) {
  const double x[2] = {1, 0};
  double value = 0;
  double *const out[] = {&value};
  ntk_network *network = NULL;
  ntk_plan *plan = NULL;
  ntk_status status = ntk_network_parse("dense relu dense", &network);
  if (status == NTK_OK) status = ntk_plan_create(network, (ntk_shape){2, 0, 0}, NULL, &plan);
  if (status == NTK_OK) status = ntk_plan_block(NULL, plan, x, 1, NULL, 0, out);
  ntk_plan_free(plan);
  ntk_network_free(network);
  if (status != NTK_OK) fprintf(stderr, "%s: %s\n", ntk_status_name(status), ntk_last_error());
  if (status == NTK_OK && fabs(value - 1.0) > 1e-6) {
    fprintf(stderr, "expected 1, got %.9g\n", value);
    return 1;
  }
  return status == NTK_OK ? 0 : 1;
}

int main(void) {
  if (strcmp(ntk_version(), NTK_VERSION_STRING) != 0) {
    fprintf(stderr, "the headers are version %s, the library %s\n", NTK_VERSION_STRING, ntk_version());
    return 1;
  }
  return run();
}
