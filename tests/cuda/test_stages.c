/* Networks in stages (strides, poolings, residual sums) by the CUDA engine on the stand-in device, against the CPU's
 * float64 engine and the brute-force oracle. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/gram/plan.h"
#include "host/gram/tiles.h"
#include "tests/support.h"
#include "tests/support_kernel.h"
#include "tests/support_net.h"
#include "tests/support_pairs.h"

static const double bounds[2] = {1e-6, 1e-9};
static const char *const precisions[2] = {"f32", "f64"};

/* ---- matrices */

/* All outputs of a job on a device; those below the diagonal of a symmetric matrix only where a tile holds them. */
static double *run_job(const char *device, const ntk_plan *plan, const double *x, int nx, const double *z, int nz,
                       bool diagonal, int64_t tile, int64_t *recomputed) {
  const size_t outputs = ntk_plan_output_count(plan);
  const int columns = diagonal ? 1 : z ? nz : nx;
  double *const out = calloc(outputs * (size_t)nx * (size_t)columns, sizeof *out);
  ntk_test_matrix sink = {out, outputs, tile, nx, columns};
  ntk_tiles_job job = {.stage = "test", .rows = {NULL, x, nx}, .diagonal = diagonal, .tile = tile};
  ntk_context *context;
  job.sink = (ntk_tile_sink){&sink, NULL, ntk_test_matrix_write};
  if (z) job.columns = (ntk_inputs){NULL, z, nz};
  cr_assert_eq(ntk_context_create(&context), NTK_OK);
  cr_assert_eq(ntk_context_set_threads(context, 1), NTK_OK);
  cr_assert_eq(ntk_context_set_device(context, device), NTK_OK, "%s", ntk_last_error());
  cr_assert_eq(ntk_tiles_run(context, plan, &job), NTK_OK, "%s: %s", ntk_plan_network_text(plan), ntk_last_error());
  if (recomputed) *recomputed = job.pairs_recomputed;
  ntk_context_free(context);
  return out;
}

/* ---- one network */

typedef struct problem {
  const char *net;
  int channels, height, width;
} problem;

static void report(const char *net, ntk_shape shape, const char *what, int precision, double error, double bound) {
  cr_expect_leq(error, bound, "%s on %d x %d x %d, %s, %s: off by %.2g", net, (int)shape.channels, (int)shape.height,
                (int)shape.width, what, precisions[precision], error);
  if (ntk_test_verbose())
    fprintf(stderr, "%-60s %d x %2d x %2d %-8s %s %.1e\n", net, (int)shape.channels, (int)shape.height,
            (int)shape.width, what, precisions[precision], error);
}

/* `n` images against one another, both kernels, both precisions: all pairs against the CPU, and the first one against
 * the oracle, whose float64 bound may be another one. Returns how many float32 pairs went to float64. */
static int64_t agree_on(const problem *p, const double *x, int n, double oracle_bound) {
  const ntk_shape shape = {p->channels, p->height, p->width};
  const size_t size = ntk_test_size(shape), count = 2 * (size_t)(n * n);
  ntk_plan *exact = ntk_test_plan(p->net, shape, NTK_KERNEL_BOTH, NTK_F64);
  double *expected = run_job("cpu", exact, x, n, NULL, 0, false, n, NULL);
  long double want[2];
  int64_t recomputed = 0;
  cr_assert_gt(exact->program.stage_count, 0, "%s is no network in stages", p->net);
  ntk_test_oracle_text(p->net, shape, x, x + size, &want[0], &want[1]);
  for (int precision = NTK_F32; precision <= NTK_F64; precision++) {
    ntk_plan *plan = ntk_test_plan(p->net, shape, NTK_KERNEL_BOTH, (ntk_precision)precision);
    int64_t again;
    double *got = run_job("cuda", plan, x, n, NULL, 0, false, n, &again), worst = 0;
    for (size_t k = 0; k < count; k++) worst = fmax(worst, ntk_test_error(got[k], expected[k]));
    report(p->net, shape, "CPU", precision, worst, bounds[precision]);
    for (int kernel = 0; kernel < 2; kernel++)
      report(p->net, shape, "oracle", precision, ntk_test_error(got[kernel * n * n + 1], want[kernel]),
             fmax(bounds[precision], oracle_bound));
    if (precision == NTK_F32)
      recomputed = again;
    else
      cr_expect_eq(again, 0);
    free(got);
    ntk_plan_free(plan);
  }
  ntk_plan_free(exact);
  free(expected);
  return recomputed;
}

static void agree(const problem *problems, size_t count) {
  for (size_t k = 0; k < count; k++) {
    const problem *p = &problems[k];
    double *x = ntk_test_inputs(700 + k, (ntk_shape){p->channels, p->height, p->width}, 3);
    agree_on(p, x, 3, 0);
    free(x);
  }
}
#define AGREE(problems) agree(problems, sizeof problems / sizeof *problems)

/* ---- tests */

Test(cuda_stages, strides) {
  static const problem problems[] = {
      {"conv3 relu conv3(stride=2) relu gap", 2, 6, 8},
      {"conv3 relu conv3(stride=2) relu conv3 relu flatten", 2, 7, 5},
      {"conv3(stride=2) relu conv3 relu gap", 3, 7, 6},
      {"conv3 relu conv3(stride=2, same) relu gap", 2, 6, 7},
      {"conv3 relu conv3(stride=2, valid) relu lap(1)", 2, 7, 8},
      {"conv3 relu conv3(valid) relu gap", 2, 5, 6},
      {"conv3 relu conv1(stride=3) relu gap", 2, 7, 8},
      {"conv5(valid, fixed) relu conv3x1(stride=2, b=0.3) relu gap", 2, 8, 9},
      {"conv3 relu conv3(stride=2, circular) relu gap", 2, 6, 5},
      {"conv3(b=0.2) relu conv5(stride=2) relu conv3(stride=2) relu gap", 1, 9, 10},
      {"conv3 relu conv3(stride=2) gap", 2, 6, 6},
  };
  AGREE(problems);
}

Test(cuda_stages, pools) {
  static const problem problems[] = {
      {"conv3 relu avgpool2 conv3 relu gap", 2, 6, 8},
      {"conv3 relu avgpool2 conv3 relu flatten", 2, 7, 5},
      {"conv3 relu avgpool3(stride=1, same) conv3 relu gap", 2, 5, 6},
      {"conv3 relu avgpool3(stride=2) conv3 relu lap(1)", 2, 7, 8},
      {"conv3 relu avgpool3(stride=2, same, normalized) conv3 relu gap", 2, 6, 7},
      {"conv3 relu avgpool2(circular) conv3 relu gap", 2, 5, 7},
      {"conv3 relu avgpool2(same) conv3(b=0.1) relu gap", 2, 7, 7},
      {"conv3 relu avgpool2 conv3 relu avgpool2 conv3 relu gap", 2, 8, 8},
      {"conv3 relu avgpool3(stride=4) conv1 relu gap", 2, 7, 11},
      {"conv3 relu avgpool2(stride=3, same, normalized) conv3 relu gap", 1, 8, 7},
      {"conv3 relu avgpool4 gap", 2, 8, 8},
      {"avgpool2 conv3 relu gap", 3, 6, 6},
      {"conv3 avgpool2 relu conv3 relu gap", 2, 6, 4},
      {"conv3 relu avgpool6 conv1 relu gap", 2, 6, 6},
  };
  AGREE(problems);
}

Test(cuda_stages, sums) {
  static const problem problems[] = {
      {"conv3 sum(id | relu conv3) relu gap", 2, 5, 6},
      {"conv3 2*sum(id | relu conv3 relu conv3) relu flatten", 2, 6, 5},
      {"conv3 relu sum(conv1 | conv3 relu conv3) relu conv3 relu gap", 2, 5, 5},
      {"conv3 relu sum(conv1(stride=2) | conv3(stride=2) relu conv3) relu conv3 relu gap", 2, 7, 6},
      {"conv3 relu sum(avgpool2 conv1 | conv3(stride=2)) relu conv3 relu gap", 2, 6, 6},
      {"conv3 sum(id | sum(id | relu conv3) relu conv1) relu lap(1)", 2, 5, 6},
      {"conv3 sum(id | relu conv3 sum(id | relu conv3 sum(id | relu conv3))) relu gap", 1, 5, 4},
      {"conv3 sum(id | relu conv3(fixed, b=0.1) | relu conv1x3(W=0.7)) relu avgpool2 conv3 relu gap", 2, 6, 6},
      {"conv3(circular) sum(id | relu conv3(circular)) relu avgpool2 conv3(circular) relu gap", 2, 6, 6},
      {"sum(conv3 | conv1) relu conv3 relu gap", 3, 4, 5},
  };
  AGREE(problems);
}

/* Activations other than ReLU, activations behind the readout, the standard parameterisation and branched networks on
 * vectors: mostly computed in float64 whatever the precision of the values. */
Test(cuda_stages, activations) {
  static const problem problems[] = {
      {"conv3(b=0.1) erf conv3 gelu gap", 2, 5, 6},
      {"conv3 relu conv3(b=0.2) leaky(0.1) avgpool2 conv3 sin(b=1.3) flatten", 2, 6, 5},
      {"conv3 sum(id | tanh conv3) elu conv3(stride=2) relu lap(1)", 2, 5, 5},
      {"conv5(circular) expnorm avgpool3(stride=2, same) conv1 exp(b=0.2) conv3 abs gap", 1, 5, 7},
      {"conv3 cos avgpool2 conv3 gelu flatten", 1, 12, 10},
      {"conv3(b=0.3, width=2) relu sum(conv1(stride=2, width=9) | conv3(stride=2, b=0.2, width=5) relu conv3(width=7)) "
       "relu gap",
       2, 6, 5},
      {"conv3(W=1.3, b=0.2, width=2) erf conv5(W=1.1, b=0.1, width=16) relu flatten dense(width=30)", 2, 5, 5},
      {"dense(b=0.1) sum(id | relu dense) erf dense", 7, 1, 1},
      {"dense sum(dense | gelu dense(b=0.2)) relu dense", 40, 1, 1},
      {"2*(conv3 relu) gap dense relu dense", 3, 6, 7},
      {"2*(conv3(b=0.1) relu) flatten dense(W=1.2) gelu dense(b=0.2) erf dense", 14, 5, 5},
      {"conv3 relu avgpool2 conv3 relu lap(1) dense relu dense", 2, 6, 6},
      {"conv3 erf conv3(stride=2) relu gap dense(W=1.1) tanh dense", 2, 5, 5},
  };
  enum { N = 3 };
  for (size_t k = 0; k < sizeof problems / sizeof *problems; k++) {
    const ntk_shape shape = {problems[k].channels, problems[k].height, problems[k].width};
    double *x = ntk_test_inputs(830 + k, shape, N);
    for (int kernels = NTK_KERNEL_NNGP; kernels <= NTK_KERNEL_BOTH; kernels++) {
      ntk_plan *exact = ntk_test_plan(problems[k].net, shape, kernels, NTK_F64);
      const size_t outputs = ntk_plan_output_count(exact);
      double *expected = run_job("cpu", exact, x, N, NULL, 0, false, N, NULL);
      for (int precision = NTK_F32; precision <= NTK_F64; precision++) {
        ntk_plan *plan = ntk_test_plan(problems[k].net, shape, kernels, (ntk_precision)precision);
        double *got = run_job("cuda", plan, x, N, NULL, 0, false, N, NULL), worst = 0;
        double *cut = run_job("cuda", plan, x, 1, x + ntk_test_size(shape), N - 1, false, 1, NULL);
        for (size_t n = 0; n < outputs * N * N; n++) worst = fmax(worst, ntk_test_error(got[n], expected[n]));
        report(problems[k].net, shape, "CPU", precision, worst, plan->float64 ? 1e-11 : bounds[precision]);
        for (size_t o = 0; o < outputs; o++)
          for (int j = 1; j < N; j++)
            cr_expect_eq(cut[o * (N - 1) + (size_t)j - 1], got[o * N * N + (size_t)j], "%s", problems[k].net);
        free(got), free(cut);
        ntk_plan_free(plan);
      }
      ntk_plan_free(exact);
      free(expected);
    }
    free(x);
  }
}

/* One kernel alone, and several readouts at once. */
Test(cuda_stages, outputs) {
  static const problem problems[] = {
      {"conv3 relu avgpool2 conv3 relu lap(1)", 2, 8, 7},
      {"conv3 sum(id | relu conv3(b=0.2)) relu conv3(stride=2) relu lap(1)", 2, 7, 7},
      {"conv3 relu avgpool3(stride=1, same) conv5 relu lap(2)", 1, 6, 6},
  };
  static const int pools[] = {0, 1, 4};
  for (size_t k = 0; k < sizeof problems / sizeof *problems; k++) {
    const ntk_shape shape = {problems[k].channels, problems[k].height, problems[k].width};
    double *x = ntk_test_inputs(790 + k, shape, 3);
    for (int kernels = NTK_KERNEL_NTK; kernels <= NTK_KERNEL_BOTH; kernels++)
      for (int precision = NTK_F32; precision <= NTK_F64; precision++) {
        ntk_plan_options options = {.kernels = kernels, .precision = NTK_F64, .pools = pools, .pool_count = 3};
        ntk_plan *exact = ntk_test_plan_with(problems[k].net, shape, &options);
        options.precision = (ntk_precision)precision;
        ntk_plan *plan = ntk_test_plan_with(problems[k].net, shape, &options);
        const size_t outputs = ntk_plan_output_count(plan);
        double *got = run_job("cuda", plan, x, 3, NULL, 0, false, 3, NULL), worst = 0;
        double *expected = run_job("cpu", exact, x, 3, NULL, 0, false, 3, NULL);
        for (size_t n = 0; n < 9 * outputs; n++) worst = fmax(worst, ntk_test_error(got[n], expected[n]));
        cr_expect_eq(outputs, kernels == NTK_KERNEL_BOTH ? 6 : 3);
        report(problems[k].net, shape, "sweep", precision, worst, bounds[precision]);
        free(got), free(expected);
        ntk_plan_free(plan), ntk_plan_free(exact);
      }
    free(x);
  }
}

/* Sizes of every way to share a tile out: 2, 4 and 16 rows a thread; many channels, whose products come from the
 * library; a readout that needs few planes of many channels. */
Test(cuda_stages, sizes) {
  static const problem problems[] = {
      {"conv3 relu avgpool2 conv3 relu flatten", 1, 16, 16},  {"conv3 relu conv3(stride=2) relu flatten", 3, 24, 32},
      {"conv3 relu avgpool4 conv3 relu lap(1)", 1, 36, 40},   {"conv1x3 relu conv1x3(valid) relu gap", 1, 1, 9},
      {"conv3 relu avgpool2 conv3 relu gap", 14, 6, 5},       {"conv3 relu conv3(stride=2) relu flatten", 40, 8, 8},
      {"conv3 sum(id | relu conv5) relu flatten", 1, 40, 34},
  };
  AGREE(problems);
}

/* States that wait in the device's memory where a block has little of its own (a real device has what it has). */
Test(cuda_stages, little_shared_memory) {
  static const problem problems[] = {
      {"conv3 sum(id | relu conv3 sum(id | relu conv3)) relu conv3(stride=2) relu flatten", 1, 16, 16},
      {"conv3 relu sum(conv1 | conv3 relu conv3) relu avgpool2 conv3 relu gap", 2, 8, 8},
  };
  setenv("NTK_SHIM_SHARED", "12000", 1);
  agree(problems, 1);
  setenv("NTK_SHIM_SHARED", "4200", 1);
  agree(problems + 1, 1);
}

/* Images of every kind, with duplicates and near-duplicates. */
Test(cuda_stages, structured) {
  static const problem problems[] = {
      {"conv3 relu avgpool2 conv3 relu gap", 1, 8, 8},
      {"conv3 relu conv3(stride=2) relu gap", 1, 9, 8},
      {"conv3 sum(id | relu conv3(b=0.1)) relu flatten", 1, 6, 6},
  };
  static const int relations[] = {PAIR_NOISE + 1, PAIR_NOISE + 4, PAIR_NOISE + 7, PAIR_EQUAL,
                                  PAIR_SCALED,    PAIR_NEGATED,   PAIR_ONE_PIXEL};
  for (size_t k = 0; k < sizeof problems / sizeof *problems; k++) {
    const ntk_shape shape = {problems[k].channels, problems[k].height, problems[k].width};
    double *x = malloc(2 * ntk_test_size(shape) * sizeof *x);
    for (int content = 0; content < PAIR_CONTENTS; content++)
      for (size_t r = 0; r < sizeof relations / sizeof *relations; r++) {
        if (content == PAIR_BLACK && relations[r] == PAIR_ONE_PIXEL) continue;
        ntk_test_pair((pair_content)content, PAIR_CONTINUOUS, relations[r], 40 + r, shape, x);
        /* where rho rounds to 1, float64 leaves up to 3e-8 of k0 (test_duplicates.c) */
        agree_on(&problems[k], x, 2, relations[r] < PAIR_EQUAL || relations[r] == PAIR_ONE_PIXEL ? 1e-7 : 0);
      }
    free(x);
  }
}

/* float32 really computes what it can: different images are not handed to float64, (near-)duplicates are. */
Test(cuda_stages, second_opinions) {
  static const problem problems[] = {
      {"2*(conv3 relu) avgpool2 2*(conv3 relu) gap", 3, 8, 8},
      {"conv3 sum(id | relu conv3) relu conv3(stride=2) relu gap", 3, 8, 8},
      {"conv1 relu conv3(stride=2) relu gap", 1, 12, 12}, /* all patches are proportional at the first activation */
      {"conv3(stride=2) relu flatten", 3, 8, 8},
      {"avgpool2 conv3 relu gap", 3, 8, 8},
  };
  for (size_t k = 0; k < sizeof problems / sizeof *problems; k++) {
    const ntk_shape shape = {problems[k].channels, problems[k].height, problems[k].width};
    const size_t size = ntk_test_size(shape);
    double *x = ntk_test_inputs(750 + k, shape, 4);
    ntk_plan *plan = ntk_test_plan(problems[k].net, shape, NTK_KERNEL_NTK, NTK_F32);
    for (int device = 0; device < 2; device++) {
      const char *const name = device ? "cuda" : "cpu";
      int64_t different, alike;
      double *pair = malloc(2 * size * sizeof *pair);
      free(run_job(name, plan, x, 2, x + 2 * size, 2, false, 2, &different));
      cr_expect_eq(different, 0, "%s, %s: %d pairs", problems[k].net, name, (int)different);
      for (size_t i = 0; i < size; i++) pair[i] = x[i], pair[size + i] = x[i] + 1e-4 * x[3 * size + i];
      free(run_job(name, plan, pair, 1, pair + size, 1, false, 1, &alike));
      cr_expect_eq(alike, 1, "%s, %s", problems[k].net, name);
      free(pair);
    }
    ntk_plan_free(plan);
    free(x);
  }
}

/* Tiles, batches, parts and company change no bit. */
Test(cuda_stages, invariance) {
  static const problem problems[] = {
      {"conv3 sum(id | relu conv3) relu avgpool2 conv3 relu conv3(stride=2) relu gap", 2, 8, 6},
      {"conv3 relu avgpool3(stride=2, same) conv3 relu lap(1)", 14, 5, 5},
  };
  enum { N = 7 };
  for (size_t k = 0; k < 2 * sizeof problems / sizeof *problems; k++) {
    const problem *p = &problems[k / 2];
    const ntk_shape shape = {p->channels, p->height, p->width};
    const size_t size = ntk_test_size(shape);
    double *x = ntk_test_inputs(760, shape, N);
    for (size_t i = 0; i < size; i++) x[3 * size + i] = x[size + i] + 1e-5 * x[i], x[5 * size + i] = x[i];
    ntk_plan *plan = ntk_test_plan(p->net, shape, NTK_KERNEL_BOTH, (ntk_precision)(k % 2));
    double *whole = run_job("cuda", plan, x, N, NULL, 0, false, N, NULL);
    double *cut = run_job("cuda", plan, x, N, NULL, 0, false, 3, NULL);
    double *columns = run_job("cuda", plan, x, 2, x + 2 * size, N - 2, false, 2, NULL);
    double *diagonal = run_job("cuda", plan, x, N, NULL, 0, true, 4, NULL);
    setenv("NTK_SHIM_MEMORY", k % 2 ? "1500000" : "1800000", 1);
    double *little = run_job("cuda", plan, x, N, NULL, 0, false, N, NULL);
    unsetenv("NTK_SHIM_MEMORY");
    for (int o = 0; o < 2; o++)
      for (int i = 0; i < N; i++)
        for (int j = i; j < N; j++) {
          const double value = whole[(o * N + i) * N + j];
          cr_expect_eq(cut[(o * N + i) * N + j], value, "%s: %d, %d, tiles of 3", p->net, i, j);
          cr_expect_eq(little[(o * N + i) * N + j], value, "%s: %d, %d, little memory", p->net, i, j);
          if (i < 2 && j >= 2) cr_expect_eq(columns[(o * 2 + i) * (N - 2) + j - 2], value, "%s: %d, %d", p->net, i, j);
          if (i == j) cr_expect_eq(diagonal[o * N + i], value, "%s: %d, diagonal", p->net, i);
        }
    free(whole), free(cut), free(columns), free(diagonal), free(little), free(x);
    ntk_plan_free(plan);
  }
}

/* Short cases of every way between stages, for tools that slow a GPU down a thousand times. */
Test(cuda_stages, small) {
  static const problem problems[] = {
      {"conv3 sum(id | relu conv3) relu conv3(stride=2) relu gap", 2, 5, 6},
      {"conv3 relu avgpool2 conv3 relu gap", 2, 6, 4},
      {"conv3 relu avgpool3(stride=1, same) conv5 relu flatten", 1, 5, 5},
  };
  AGREE(problems);
}

/* ---- golden values */

static double *read_array(const char *folder, const char *name, const char *file, ntk_npy_info *info) {
  char path[1024];
  double *values = NULL;
  snprintf(path, sizeof path, "%s/golden/%s/%s.npy", folder, name, file);
  cr_assert_eq(ntk_npy_read_f64(path, info, &values), NTK_OK, "%s", ntk_last_error());
  return values;
}

/* One pair of different images of every case that is small enough for the stand-in device. */
Test(cuda_stages, golden) {
  static const char *const names[] = {"avgpool2",
                                      "avgpool2-flatten",
                                      "avgpool3-stride1-same",
                                      "stride2-odd-gap",
                                      "stride2-same-even",
                                      "stride2-odd-flatten",
                                      "res-identity",
                                      "res-project",
                                      "res-flatten",
                                      "avgpool3-stride2-normalized",
                                      "resnet20-same",
                                      "myrtle5",
                                      "conv-erf",
                                      "conv-gelu",
                                      "conv-leaky"};
  const char *folder = ntk_test_shared_dir();
  char path[1024];
  if (!folder) cr_skip_test("no shared folder with golden values: set NTK_SHARED_DIR");
  snprintf(path, sizeof path, "%s/golden/index.json", folder);
  json_t *index = json_load_file(path, 0, NULL), *entry;
  cr_assert(json_is_array(index), "%s is missing or no JSON list", path);
  size_t at, cases = 0;
  json_array_foreach(index, at, entry) {
    const char *name = json_string_value(json_object_get(entry, "name"));
    const char *text = json_string_value(json_object_get(entry, "network"));
    bool named = false;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) named |= strcmp(names[k], name) == 0;
    if (!named) continue;
    ntk_npy_info info, want_info;
    double *x = read_array(folder, name, "X", &info), *want[2];
    const ntk_shape shape = {info.shape[1], info.shape[2], info.shape[3]};
    want[0] = read_array(folder, name, "ntk", &want_info), want[1] = read_array(folder, name, "nngp", &want_info);
    for (int precision = NTK_F32; precision <= NTK_F64; precision++) {
      ntk_plan *plan = ntk_test_plan(text, shape, NTK_KERNEL_BOTH, (ntk_precision)precision);
      double *got = run_job("cuda", plan, x, 1, x + ntk_test_size(shape), 1, false, 1, NULL);
      for (int kernel = 0; kernel < 2; kernel++)
        report(text, shape, "golden", precision, ntk_test_error(got[kernel], want[kernel][1]), bounds[precision]);
      free(got);
      ntk_plan_free(plan);
    }
    ntk_npy_free(x), ntk_npy_free(want[0]), ntk_npy_free(want[1]);
    cases++;
  }
  cr_expect_eq(cases, sizeof names / sizeof *names);
  json_decref(index);
}
