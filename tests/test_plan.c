/* Plans: cost by enumeration, deep networks, memory budgets, progress, cancellation, prediction. */
#include <criterion/criterion.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support_data.h"
#include "tests/support_kernel.h"
#include "tests/support_net.h"

/* ---- cost */

typedef struct cost_case {
  const char *text;
  int height, width;
  bool circular; /* some filter wraps around */
  int c;         /* lap(c); -1 gap */
  bool pool_circular;
} cost_case;

/* Whether the readout gives weight to entry (i, k) of an axis: some window of half-width c holds both. */
static bool weighted(int i, int k, int n, int c, bool circular) {
  if (c < 0) return true;
  for (int centre = 0; centre < n; centre++) {
    bool holds_i = false, holds_k = false;
    for (int s = -c; s <= c; s++) {
      const int at = circular ? (centre + s + 100 * n) % n : centre + s;
      holds_i |= at == i, holds_k |= at == k;
    }
    if (holds_i && holds_k) return true;
  }
  return false;
}

/* The plane of entry (i, k) along an axis: the difference of the indices, modulo n where filters wrap around. */
static int plane_of(int i, int k, int n, bool circular) { return circular ? (k - i + n) % n : k - i + n - 1; }

/* A plane is demanded if any of its entries has weight; then all of its entries are computed. */
static void enumerate(const cost_case *c, int64_t *planes, int64_t *entries) {
  enum { MOST = 64 };
  const int h = c->height, w = c->width;
  static bool demanded[MOST][MOST];
  static int64_t size[MOST][MOST];
  memset(demanded, 0, sizeof demanded), memset(size, 0, sizeof size);
  for (int i = 0; i < h; i++)
    for (int k = 0; k < h; k++)
      for (int j = 0; j < w; j++)
        for (int l = 0; l < w; l++) {
          const int row = plane_of(i, k, h, c->circular), column = plane_of(j, l, w, c->circular);
          size[row][column]++;
          if (weighted(i, k, h, c->c, c->pool_circular) && weighted(j, l, w, c->c, c->pool_circular))
            demanded[row][column] = true;
        }
  *planes = *entries = 0;
  for (int row = 0; row < MOST; row++)
    for (int column = 0; column < MOST; column++)
      if (demanded[row][column]) ++*planes, *entries += size[row][column];
}

Test(plan, cost_by_enumeration) {
  static const cost_case cases[] = {
      {"2*(conv3 relu) gap", 5, 7, false, -1, false},
      {"2*(conv3 relu) flatten", 5, 7, false, 0, false},
      {"2*(conv3 relu) lap(0)", 4, 4, false, 0, false},
      {"2*(conv3 relu) lap(1)", 5, 7, false, 1, false},
      {"2*(conv3 relu) lap(2)", 5, 7, false, 2, false},
      {"2*(conv3 relu) lap(3)", 9, 3, false, 3, false},
      {"2*(conv3 relu) lap(1)", 8, 9, false, 1, false},
      {"2*(conv3 relu) lap(50)", 6, 2, false, 50, false},
      {"2*(conv3 relu) lap(1, circular)", 6, 8, false, 1, true},
      {"2*(conv3 relu) lap(2, circular)", 7, 7, false, 2, true},
      {"2*(conv3(circular) relu) gap", 5, 6, true, -1, false},
      {"2*(conv3(circular) relu) flatten", 5, 6, true, 0, false},
      {"conv3 relu conv3(circular) relu lap(1)", 6, 8, true, 1, false},
      {"2*(conv3(circular) relu) lap(1, circular)", 6, 8, true, 1, true},
      {"2*(conv3(circular) relu) lap(3, circular)", 9, 8, true, 3, true},
      {"conv1(circular) relu conv3 relu lap(1)", 6, 8, false, 1, false}, /* 1 x 1 filters do not wrap around */
      {"2*(conv1 relu) gap", 1, 1, false, -1, false},
  };
  for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
    const cost_case *c = &cases[n];
    ntk_plan *plan = ntk_test_plan(c->text, (ntk_shape){2, c->height, c->width}, NTK_KERNEL_NTK, NTK_F32);
    const ntk_cost cost = ntk_plan_cost(plan);
    int64_t planes, entries;
    enumerate(c, &planes, &entries);
    cr_expect(cost.planes == planes && cost.entries == entries,
              "%s, %d x %d: %lld planes with %lld entries, expected %lld with %lld", c->text, c->height, c->width,
              (long long)cost.planes, (long long)cost.entries, (long long)planes, (long long)entries);
    cr_expect_eq(cost.activation_layers, 2);
    cr_expect_eq(cost.entry_layers, 2.0 * (double)entries);
    cr_expect(cost.bytes_per_pair > 0 && cost.bytes_per_image > 0);
    ntk_plan_free(plan);
  }
}

/* A sweep costs what its widest readout costs; depths add nothing. */
Test(plan, cost_of_sweeps) {
  static const int pools[] = {0, 2, 1}, depths[] = {3, 1};
  const ntk_shape shape = {1, 9, 9};
  const ntk_plan_options options = {.kernels = NTK_KERNEL_BOTH,
                                    .precision = NTK_F64,
                                    .depths = depths,
                                    .depth_count = 2,
                                    .pools = pools,
                                    .pool_count = 3};
  ntk_plan *sweep = ntk_test_plan_with("3*(conv3 relu) gap", shape, &options);
  ntk_plan *widest = ntk_test_plan("3*(conv3 relu) lap(2)", shape, NTK_KERNEL_NTK, NTK_F64);
  const ntk_cost a = ntk_plan_cost(sweep), b = ntk_plan_cost(widest);
  cr_expect(a.planes == b.planes && a.entries == b.entries && a.activation_layers == 3 && b.activation_layers == 3);
  ntk_plan_free(sweep);
  ntk_plan_free(widest);
}

Test(plan, cost_of_connected_networks) {
  ntk_plan *plan = ntk_test_plan("4*(dense relu) dense", (ntk_shape){17, 0, 0}, NTK_KERNEL_NTK, NTK_F32);
  const ntk_cost cost = ntk_plan_cost(plan);
  cr_expect(cost.planes == 1 && cost.entries == 1 && cost.activation_layers == 4 && cost.entry_layers == 4);
  ntk_plan_free(plan);
}

Test(plan, describes_itself) {
  const ntk_shape shape = {3, 32, 32};
  ntk_plan *plan = ntk_test_plan("cntk-3-gap", shape, NTK_KERNEL_NTK, NTK_F64);
  cr_expect_str_eq(ntk_plan_preset(plan), "cntk-3-gap");
  cr_expect_str_eq(ntk_plan_network_text(plan), "conv3(fixed) relu conv3 relu gap dense(fixed)");
  cr_expect_eq(ntk_plan_scale(plan), 3);
  cr_expect_eq((int)ntk_plan_precision(plan), NTK_F64);
  const ntk_shape planned = ntk_plan_shape(plan);
  cr_expect(planned.channels == 3 && planned.height == 32 && planned.width == 32);
  int lines = 0;
  for (const char *p = ntk_plan_description(plan); *p; p++) lines += *p == '\n';
  cr_expect_eq(lines, 6, "%s", ntk_plan_description(plan));
  ntk_plan_free(plan);
  plan = ntk_test_plan("conv3 relu gap", shape, NTK_KERNEL_NTK, NTK_F32);
  cr_expect_null(ntk_plan_preset(plan));
  cr_expect_eq(ntk_plan_scale(plan), 1);
  ntk_plan_free(plan);
  ntk_plan_free(NULL);
}

/* ---- deep networks: nothing overflows or underflows */

static void check_deep(const char *text, ntk_shape shape) {
  double *x = ntk_test_inputs(400, shape, 2), *z = x + ntk_test_size(shape);
  long double want[2];
  ntk_test_oracle_text(text, shape, x, z, &want[0], &want[1]);
  for (int precision = NTK_F32; precision <= NTK_F64; precision++) {
    ntk_plan *plan = ntk_test_plan(text, shape, NTK_KERNEL_BOTH, (ntk_precision)precision);
    double *got = ntk_test_block(NULL, plan, x, 1, z, 1);
    for (int k = 0; k < 2; k++)
      cr_expect(ntk_test_error(got[k], want[k]) <= (precision ? 1e-12 : 1e-6), "%s, %s, %s: %.12g, expected %.12Lg",
                text, precision ? "f64" : "f32", k ? "NNGP" : "NTK", got[k], want[k]);
    free(got);
    ntk_plan_free(plan);
  }
  free(x);
}

Test(plan, deep_networks) {
  const ntk_shape shape = {3, 6, 6};
  check_deep("60*(conv3 relu) gap", shape);
  check_deep("60*(conv3 relu) flatten", shape);
  check_deep("200*(conv3 relu) gap", shape);
  check_deep("200*(conv3 relu) flatten", shape);
  check_deep("60*(conv3(circular, W=1.5) relu(c=3)) lap(1)", shape);
  check_deep("60*(conv5(W=0.2) relu) flatten", shape);
  check_deep("60*(conv3(b=0.3) relu) gap", shape);
  check_deep("60*(conv3(W=0.05, b=0.3) relu) gap", shape);
  check_deep("100*conv3 gap", (ntk_shape){1, 5, 5});
}

/* Images constant in space with circular padding grow the fastest: by 9 a layer before the scaling. */
Test(plan, fastest_growth) {
  double ones[64];
  for (int p = 0; p < 64; p++) ones[p] = 1;
  for (int depth = 20; depth <= 400; depth += 19) {
    char text[64];
    snprintf(text, sizeof text, "%d*(conv3(circular) relu) gap", depth);
    for (int precision = NTK_F32; precision <= NTK_F64; precision++) {
      const double ntk =
          ntk_test_value(text, (ntk_shape){1, 8, 8}, NTK_KERNEL_NTK, (ntk_precision)precision, ones, ones);
      cr_expect(ntk_test_error(ntk, depth + 1) <= (precision ? 1e-12 : 1e-6), "%s: %.12g", text, ntk);
    }
  }
}

/* ---- memory */

Test(plan, memory_budget_is_kept) {
  const ntk_shape shape = {30000, 0, 0};
  ntk_plan *plan = ntk_test_plan("dense relu dense", shape, NTK_KERNEL_NTK, NTK_F64);
  ntk_context *context = ntk_test_context("auto");
  double *x = ntk_test_inputs(410, shape, 2), values[4], *out = values;
  cr_assert_eq(ntk_context_set_memory(context, 16u << 20), NTK_OK);
  ntk_test_expect_failure(ntk_plan_block(context, plan, x, 2, NULL, 0, &out), NTK_ERROR_MEMORY, "raise --memory to ");
  const char *advice = strstr(ntk_last_error(), "raise --memory to ");
  unsigned long long enough = strtoull(advice + strlen("raise --memory to "), NULL, 10);
  cr_assert(enough > 16 && enough < 4096, "%s", ntk_last_error());
  ntk_test_expect_failure(ntk_plan_diagonal(context, plan, x, 2, &out), NTK_ERROR_MEMORY, "raise --memory to ");
  cr_assert_eq(ntk_context_set_memory(context, enough << 20), NTK_OK); /* the advice works */
  cr_expect_eq(ntk_plan_block(context, plan, x, 2, NULL, 0, &out), NTK_OK, "%s", ntk_last_error());
  free(x);
  ntk_context_free(context);
  ntk_plan_free(plan);
}

/* Many threads share the budget. */
Test(plan, memory_budget_is_shared) {
  const ntk_shape shape = {3, 64, 64};
  ntk_plan *plan = ntk_test_plan("20*(conv3 relu) flatten", shape, NTK_KERNEL_NTK, NTK_F64);
  ntk_context *context = ntk_test_context("auto");
  double *x = ntk_test_inputs(411, shape, 1), value, *out = &value;
  cr_assert_eq(ntk_context_set_memory(context, 16u << 20), NTK_OK);
  cr_assert_eq(ntk_context_set_threads(context, 1000), NTK_OK);
  ntk_test_expect_failure(ntk_plan_block(context, plan, x, 1, NULL, 0, &out), NTK_ERROR_MEMORY, "1000 threads");
  free(x);
  ntk_context_free(context);
  ntk_plan_free(plan);
}

/* ---- progress and cancellation */

typedef struct reports {
  atomic_int count;
  bool sane;
  int64_t done, total;
} reports;

static void note(const ntk_progress *p, void *user) {
  reports *r = user;
  r->sane = r->sane && strcmp(p->stage, "block") == 0 && p->done >= r->done && p->done <= p->total && p->seconds >= 0 &&
            p->pairs_per_second >= 0;
  r->done = p->done, r->total = p->total;
  atomic_fetch_add(&r->count, 1);
}

Test(plan, progress_ends_with_everything_done) {
  enum { N = 20 };
  const ntk_shape shape = {1, 6, 6};
  static const char *const texts[] = {"3*(conv3 relu) gap", "2*(dense relu) dense"};
  double *x = ntk_test_inputs(420, shape, N);
  for (int k = 0; k < 4; k++) {
    reports seen = {.sane = true};
    ntk_plan *plan = ntk_test_plan(texts[k / 2], shape, NTK_KERNEL_NTK, NTK_F32);
    ntk_context *context = ntk_test_context("auto");
    ntk_context_set_progress(context, note, &seen);
    free(ntk_test_block(context, plan, x, N, k % 2 ? x : NULL, 7));
    cr_expect(seen.sane && atomic_load(&seen.count) > 0);
    cr_expect_eq(seen.total, k % 2 ? 7 * N : N * (N + 1) / 2);
    cr_expect_eq(seen.done, seen.total, "%s: %lld of %lld", texts[k / 2], (long long)seen.done, (long long)seen.total);
    ntk_context_set_progress(context, NULL, NULL);
    const int before = atomic_load(&seen.count);
    free(ntk_test_block(context, plan, x, N, NULL, 0));
    cr_expect_eq(atomic_load(&seen.count), before);
    ntk_context_free(context);
    ntk_plan_free(plan);
  }
  free(x);
}

typedef struct running {
  ntk_context *context;
  const ntk_plan *plan;
  const double *x;
  int64_t count;
  double *out;
  ntk_status status;
  char message[200];
} running;

static void *compute(void *raw) {
  running *r = raw;
  r->status = ntk_plan_block(r->context, r->plan, r->x, r->count, NULL, 0, &r->out);
  snprintf(r->message, sizeof r->message, "%s", ntk_last_error());
  return NULL;
}

/* The block would take many minutes; it is cancelled once it has reported. */
Test(plan, cancelled_from_another_thread, .timeout = 60) {
  enum { N = 600 };
  const ntk_shape shape = {3, 32, 32};
  reports seen = {.sane = true};
  running r = {.context = ntk_test_context("auto"),
               .plan = ntk_test_plan("100*(conv3 relu) gap", shape, NTK_KERNEL_NTK, NTK_F64),
               .x = ntk_test_inputs(421, shape, N),
               .count = N,
               .out = malloc(N * N * sizeof(double))};
  pthread_t thread;
  ntk_context_set_threads(r.context, 2);
  ntk_context_set_progress(r.context, note, &seen);
  cr_assert_eq(pthread_create(&thread, NULL, compute, &r), 0);
  while (atomic_load(&seen.count) == 0) usleep(1000);
  ntk_context_cancel(r.context);
  pthread_join(thread, NULL);
  cr_expect_eq(r.status, NTK_ERROR_INTERRUPTED, "%s: %s", ntk_status_name(r.status), r.message);
  cr_expect_lt(seen.done, seen.total);
  free(r.out), free((void *)r.x);
  ntk_plan_free((ntk_plan *)r.plan);
  ntk_context_free(r.context);
}

Test(plan, cancelled_before) {
  const ntk_shape shape = {1, 4, 4};
  static const char *const texts[] = {"2*(conv3 relu) gap", "2*(dense relu) dense"};
  double *x = ntk_test_inputs(422, shape, 3), values[9], *out = values;
  for (int k = 0; k < 2; k++) {
    ntk_plan *plan = ntk_test_plan(texts[k], shape, NTK_KERNEL_NTK, NTK_F64);
    ntk_context *context = ntk_test_context("auto");
    ntk_context_cancel(context);
    ntk_test_expect_failure(ntk_plan_block(context, plan, x, 3, NULL, 0, &out), NTK_ERROR_INTERRUPTED, "interrupted");
    ntk_test_expect_failure(ntk_plan_diagonal(context, plan, x, 3, &out), NTK_ERROR_INTERRUPTED, "interrupted");
    ntk_context_free(context);
    ntk_plan_free(plan);
  }
  ntk_context_cancel(NULL);
  free(x);
}

/* ---- prediction */

Test(plan, predicts_run_time) {
  static const char *const texts[] = {"5*(conv3 relu) gap", "5*(conv3 relu) flatten", "3*(dense relu) dense"};
  for (int k = 0; k < 3; k++) {
    ntk_plan *plan = ntk_test_plan(texts[k], (ntk_shape){3, 16, 16}, NTK_KERNEL_BOTH, NTK_F32);
    ntk_context *context = ntk_test_context("auto");
    double none = -1, some = -1;
    cr_expect_eq(ntk_plan_predict(context, plan, 0, &none), NTK_OK, "%s", ntk_last_error());
    cr_expect_eq(ntk_plan_predict(NULL, plan, 1e6, &some), NTK_OK, "%s", ntk_last_error());
    cr_expect_eq(none, 0);
    cr_expect(some > 1e-6 && some < 1e6, "%s: %g seconds for a million pairs", texts[k], some);
    ntk_context_free(context);
    ntk_plan_free(plan);
  }
}
