#include <math.h>
#include <stdio.h>

#include "tools/ntk/cli.h"

enum { MOST = 64, CELL = 24 }; /* a list on the command line has at most 64 numbers */

/* The depths and pools of a plan, each once, in the order of its outputs. */
typedef struct axes {
  int depths[MOST], pools[MOST];
  size_t depth_count, pool_count;
} axes;

static void add(int value, int *values, size_t *count) {
  for (size_t k = 0; k < *count; ++k) {
    if (values[k] == value) return;
  }
  if (*count < MOST) values[(*count)++] = value;
}

static axes find_axes(const ntk_plan *plan) {
  axes a = {.depth_count = 0};
  for (size_t k = 0; k < ntk_plan_output_count(plan); ++k) {
    add(ntk_plan_output(plan, k).depth, a.depths, &a.depth_count);
    add(ntk_plan_output(plan, k).pool, a.pools, &a.pool_count);
  }
  return a;
}

/* The accuracies of a cell in per cent: "66.55", or "66.55 (69.87)" with the flipped kernel's in parentheses. */
static void print_cell(const ntk_plan *plan, const double *accuracies, ntk_kernel kernel, int depth, int pool) {
  char text[2][CELL / 2] = {"", ""}, cell[CELL + 4];
  for (size_t k = 0; k < ntk_plan_output_count(plan); ++k) {
    const ntk_output o = ntk_plan_output(plan, k);
    if (o.kernel != kernel || o.depth != depth || o.pool != pool) continue;
    snprintf(text[o.flip], sizeof text[0], isnan(accuracies[k]) ? "-" : "%.2f", 100 * accuracies[k]);
  }
  if (*text[0] && *text[1]) {
    snprintf(cell, sizeof cell, "%s (%s)", text[0], text[1]);
  } else {
    snprintf(cell, sizeof cell, "%s", *text[0] ? text[0] : text[1]);
  }
  printf(" %-15s |", cell);
}

static void print_kernel(const ntk_plan *plan, const axes *a, const double *accuracies, ntk_kernel kernel) {
  printf("| %-8s |", kernel == NTK_KERNEL_NNGP ? "NNGP" : "NTK");
  for (size_t d = 0; d < a->depth_count; ++d) {
    char head[CELL];
    snprintf(head, sizeof head, "d = %d", a->depths[d]);
    printf(" %-15s |", head);
  }
  printf("\n| -------- |");
  for (size_t d = 0; d < a->depth_count; ++d) printf(" --------------- |");
  putchar('\n');
  for (size_t p = 0; p < a->pool_count; ++p) {
    char row[CELL];
    snprintf(row, sizeof row, a->pools[p] < 0 ? "readout" : "c = %d", a->pools[p]);
    printf("| %-8s |", row);
    for (size_t d = 0; d < a->depth_count; ++d) print_cell(plan, accuracies, kernel, a->depths[d], a->pools[p]);
    putchar('\n');
  }
}

bool cli_is_table(const ntk_plan *plan) {
  const axes a = find_axes(plan);
  bool flips[2] = {false, false};
  for (size_t k = 0; k < ntk_plan_output_count(plan); ++k) flips[ntk_plan_output(plan, k).flip] = true;
  return a.depth_count > 1 || a.pool_count > 1 || (flips[0] && flips[1]);
}

void cli_print_table(const ntk_plan *plan, const double *accuracies) {
  const axes a = find_axes(plan);
  bool kernels[NTK_KERNEL_BOTH] = {false}, flips[2] = {false, false};
  for (size_t k = 0; k < ntk_plan_output_count(plan); ++k) {
    kernels[ntk_plan_output(plan, k).kernel] = flips[ntk_plan_output(plan, k).flip] = true;
  }
  printf("test accuracy in per cent%s\n", flips[0] && flips[1] ? ": plain (averaged over mirror images)"
                                          : flips[1]           ? ", averaged over mirror images"
                                                               : "");
  for (int kernel = NTK_KERNEL_NTK; kernel < NTK_KERNEL_BOTH; ++kernel) {
    if (!kernels[kernel]) continue;
    putchar('\n');
    print_kernel(plan, &a, accuracies, (ntk_kernel)kernel);
  }
}
