/* A pair's value depends on the pair alone: neither tile size nor threads nor the rest of the block change a bit. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "host/gram/tiles.h"
#include "tests/support_kernel.h"

enum { ROWS = 11, COLUMNS = 7 };

static const struct {
  const char *text;
  ntk_shape shape;
} networks[] = {
    {"3*(conv3 relu) flatten", {1, 6, 7}},
    {"2*(conv3(b=0.1) relu) gap", {3, 5, 17}},
    {"2*(conv5(circular) relu) lap(1)", {2, 5, 6}},
    {"2*(conv3 relu) flatten", {14, 4, 5}},
    {"3*(dense relu) dense", {3, 0, 0}},
    {"2*(dense(b=0.1) relu) dense", {130, 0, 0}},
    {"dense relu dense", {784, 0, 0}},
};
enum { NETWORKS = sizeof networks / sizeof *networks };

static ntk_plan *make_plan(int k) {
  return ntk_test_plan(networks[k / 2].text, networks[k / 2].shape, NTK_KERNEL_BOTH, (ntk_precision)(k % 2));
}

/* Inputs of which some are near-duplicates, so that float32 plans compute pairs in both precisions. */
static double *inputs(ntk_shape shape) {
  const size_t size = ntk_test_size(shape);
  double *x = ntk_test_inputs(300, shape, ROWS);
  for (size_t p = 0; p < size; p++) {
    x[3 * size + p] = x[size + p] + 1e-4 * x[2 * size + p];
    x[9 * size + p] = x[p];
  }
  return x;
}

/* ---- tiles and threads */

/* The hash of the tiles that are handed out; those below the diagonal of a symmetric matrix stay 0. */
static uint64_t run_hash(const ntk_plan *plan, int threads, int64_t tile, const double *x, const double *z,
                         bool diagonal) {
  const size_t outputs = ntk_plan_output_count(plan);
  const int64_t columns = diagonal ? 1 : z ? COLUMNS : ROWS;
  const size_t count = outputs * ROWS * (size_t)columns;
  double *out = calloc(count, sizeof *out);
  ntk_test_matrix sink = {out, outputs, tile, ROWS, columns};
  ntk_tiles_job job = {.stage = "test", .rows = {NULL, x, ROWS}, .diagonal = diagonal, .tile = tile};
  job.sink = (ntk_tile_sink){&sink, NULL, ntk_test_matrix_write};
  if (z) job.columns = (ntk_inputs){NULL, z, COLUMNS};
  ntk_context *context = ntk_test_context("auto");
  cr_assert_eq(ntk_context_set_threads(context, threads), NTK_OK);
  cr_assert_eq(ntk_tiles_run(context, plan, &job), NTK_OK, "%s", ntk_last_error());
  cr_assert_eq(job.pairs, diagonal ? ROWS : z ? ROWS * COLUMNS : ROWS * (ROWS + 1) / 2);
  cr_assert_eq(job.pairs_done, job.pairs);
  for (size_t k = 0; !z && !diagonal && k < outputs; k++) /* a larger tile fills more of the lower triangle */
    for (int i = 0; i < ROWS; i++)
      for (int j = 0; j < i; j++) out[(k * ROWS + (size_t)i) * ROWS + (size_t)j] = 0;
  const uint64_t hash = XXH3_64bits(out, count * sizeof *out);
  ntk_context_free(context);
  free(out);
  return hash;
}

Test(invariance, tiles_and_threads) {
  static const int64_t tiles[] = {1, 2, 3, 5, 8, ROWS};
  for (int k = 0; k < 2 * NETWORKS; k++) {
    ntk_plan *plan = make_plan(k);
    double *x = inputs(networks[k / 2].shape), *z = ntk_test_inputs(301, networks[k / 2].shape, COLUMNS);
    const uint64_t square = run_hash(plan, 1, ROWS, x, NULL, false), block = run_hash(plan, 1, ROWS, x, z, false);
    const uint64_t diagonal = run_hash(plan, 1, ROWS, x, NULL, true);
    for (size_t t = 0; t < sizeof tiles / sizeof *tiles; t++)
      for (int threads = 1; threads <= 3; threads++) {
        const char *text = networks[k / 2].text;
        cr_expect_eq(run_hash(plan, threads, tiles[t], x, NULL, false), square,
                     "%s, symmetric: tile %d, %d threads give other bits", text, (int)tiles[t], threads);
        cr_expect_eq(run_hash(plan, threads, tiles[t], x, z, false), block,
                     "%s, rectangular: tile %d, %d threads give other bits", text, (int)tiles[t], threads);
        cr_expect_eq(run_hash(plan, threads, tiles[t], x, NULL, true), diagonal,
                     "%s, diagonal: tile %d, %d threads give other bits", text, (int)tiles[t], threads);
      }
    free(x), free(z);
    ntk_plan_free(plan);
  }
}

/* The public functions choose tiles by themselves. */
Test(invariance, threads_of_blocks) {
  for (int k = 0; k < 2 * NETWORKS; k++) {
    ntk_plan *plan = make_plan(k);
    ntk_context *context = ntk_test_context("auto");
    double *x = inputs(networks[k / 2].shape), *want = ntk_test_block(context, plan, x, ROWS, NULL, 0);
    for (int threads = 2; threads <= 3; threads++) {
      ntk_context_set_threads(context, threads);
      double *got = ntk_test_block(context, plan, x, ROWS, NULL, 0);
      cr_expect(memcmp(got, want, 2 * ROWS * ROWS * sizeof *got) == 0, "%s: %d threads", networks[k / 2].text, threads);
      free(got);
    }
    free(x), free(want);
    ntk_context_free(context);
    ntk_plan_free(plan);
  }
}

/* ---- blocks and their parts */

static void check_part(const ntk_plan *plan, const double *x, const double *z, const double *whole, int a, int b, int c,
                       int d) {
  const size_t size = ntk_test_size(ntk_plan_shape(plan));
  double *part = ntk_test_block(NULL, plan, x + (size_t)a * size, b - a, z + (size_t)c * size, d - c);
  for (int o = 0; o < 2; o++)
    for (int i = a; i < b; i++)
      for (int j = c; j < d; j++) {
        const double *got = part + (o * (b - a) + i - a) * (d - c) + j - c;
        const double *want = whole + (o * ROWS + i) * COLUMNS + j;
        cr_expect(memcmp(got, want, sizeof *got) == 0, "%s, K[%d:%d, %d:%d] alone differs at (%d, %d): %.17g, %.17g",
                  ntk_plan_network_text(plan), a, b, c, d, i, j, *got, *want);
      }
  free(part);
}

Test(invariance, blocks_and_their_parts) {
  for (int k = 0; k < 2 * NETWORKS; k++) {
    ntk_plan *plan = make_plan(k);
    double *x = inputs(networks[k / 2].shape), *z = ntk_test_inputs(302, networks[k / 2].shape, COLUMNS);
    double *whole = ntk_test_block(NULL, plan, x, ROWS, z, COLUMNS);
    check_part(plan, x, z, whole, 0, 4, 0, 3);
    check_part(plan, x, z, whole, 4, 11, 3, 7);
    check_part(plan, x, z, whole, 5, 6, 0, 7);
    check_part(plan, x, z, whole, 0, 11, 6, 7);
    for (int i = 0; i < ROWS; i += 3)
      for (int j = 0; j < COLUMNS; j += 2) check_part(plan, x, z, whole, i, i + 1, j, j + 1);
    free(x), free(z), free(whole);
    ntk_plan_free(plan);
  }
}

/* In a symmetric matrix a pair (i, j) is computed with the smaller index first. */
Test(invariance, symmetric_blocks_and_their_parts) {
  for (int k = 0; k < 2 * NETWORKS; k++) {
    ntk_plan *plan = make_plan(k);
    const size_t size = ntk_test_size(networks[k / 2].shape);
    double *x = inputs(networks[k / 2].shape), *whole = ntk_test_block(NULL, plan, x, ROWS, NULL, 0);
    for (int i = 0; i < ROWS; i++)
      for (int j = i; j < ROWS; j += 2) {
        double *pair = ntk_test_block(NULL, plan, x + (size_t)i * size, 1, x + (size_t)j * size, 1);
        for (int o = 0; o < 2; o++)
          cr_expect(memcmp(&pair[o], &whole[(o * ROWS + i) * ROWS + j], sizeof *pair) == 0,
                    "%s: the pair (%d, %d) alone gives other bits", networks[k / 2].text, i, j);
        free(pair);
      }
    free(x), free(whole);
    ntk_plan_free(plan);
  }
}

/* More rows than one matrix product of the fully connected recursion takes. */
Test(invariance, many_vectors) {
  enum { N = 150 };
  static const int sizes[] = {1, 5, 33, 257};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    const ntk_shape shape = {sizes[s], 0, 0};
    ntk_plan *plan = ntk_test_plan("2*(dense relu) dense", shape, NTK_KERNEL_NTK, NTK_F64);
    double *x = ntk_test_inputs(303, shape, N), *whole = ntk_test_block(NULL, plan, x, N, x, N);
    for (int i = 0; i < N; i += 7) {
      double *row = ntk_test_block(NULL, plan, x + (size_t)i * (size_t)sizes[s], 1, x, N);
      cr_expect(memcmp(row, whole + i * N, N * sizeof *row) == 0, "d = %d: row %d alone gives other bits", sizes[s], i);
      free(row);
      double *column = ntk_test_block(NULL, plan, x, N, x + (size_t)i * (size_t)sizes[s], 1);
      for (int j = 0; j < N; j++)
        cr_expect(memcmp(&column[j], &whole[j * N + i], sizeof *column) == 0, "d = %d: entry (%d, %d)", sizes[s], j, i);
      free(column);
    }
    free(x), free(whole);
    ntk_plan_free(plan);
  }
}
