/* Verifying and timing one case (bench.h). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/classical.h"

/* The stated bound of float32 plans, and what float32 arrays without special care must keep. */
static const double plane_tolerance = 1e-6, classical_tolerance = 1e-4;

enum { CHECK_SIDE = 8 };

static ntk_context *context_of(const bench_world *world, const bench_case *c) {
  return c->threads == 1 ? world->one : world->all;
}

static int compute(const bench_world *world, const bench_case *c, const ntk_plan *plan, int64_t images, double *out) {
  if (ntk_plan_block(context_of(world, c), plan, world->x, images, world->z, images, &out) != NTK_OK)
    return bench_fail(BENCH_BROKEN, "depth %d %s: %s", c->depth, c->readout, ntk_last_error());
  return BENCH_OK;
}

static void note_error(bench_case *c, double value, double exact) {
  double error = fabs(value - exact) / fabs(exact);
  c->verified++;
  if (!(error <= c->error)) c->error = error; /* a NaN stays */
}

/* ---- libntk */

static int verify_plane(const bench_world *world, bench_case *c) {
  double fast[CHECK_SIDE * CHECK_SIDE], exact[CHECK_SIDE * CHECK_SIDE];
  int64_t side = strcmp(c->readout, "flatten") == 0 ? CHECK_SIDE : world->settings->quick ? 1 : 2;
  if (compute(world, c, c->plan, side, fast) || compute(world, c, c->exact, side, exact)) return BENCH_BROKEN;
  for (int64_t k = 0; k < side * side; k++) note_error(c, fast[k], exact[k]);
  c->first = fast[0];
  return BENCH_OK;
}

/* Calls big enough that the tables of the images weigh little: whole matrices for flatten, whose tables then fit no
 * cache; for the others what lasts as long as a run should. */
static int choose_size(const bench_world *world, bench_case *c) {
  const bool quick = world->settings->quick;
  const int64_t step = quick ? 2 : 4;
  if (strcmp(c->readout, "flatten") == 0) {
    c->images = quick ? 64 : BENCH_MOST_IMAGES;
    return BENCH_OK;
  }
  double begin = bench_now();
  if (compute(world, c, c->plan, step, world->block)) return BENCH_BROKEN;
  double wanted = (double)step * sqrt(world->settings->run_seconds / (bench_now() - begin));
  int64_t images = (int64_t)(wanted / (double)step + 1) * step;
  c->images = images > BENCH_MOST_IMAGES ? BENCH_MOST_IMAGES : images;
  return BENCH_OK;
}

static int call_plane(const bench_world *world, const bench_case *c, double *pairs) {
  if (compute(world, c, c->plan, c->images, world->block)) return BENCH_BROKEN;
  *pairs += (double)c->images * (double)c->images;
  if (world->block[0] != c->first)
    return bench_fail(BENCH_WRONG, "depth %d %s: a timed call gave %.17g where verification saw %.17g", c->depth,
                      c->readout, world->block[0], c->first);
  return BENCH_OK;
}

/* ---- the classical method */

enum { PAIRS_SIDE = 2 }; /* 2 x 2 images, in world->classical: x, x, z, z */

static double classical_value(const bench_world *world, const bench_case *c, int i, int j) {
  const classical_image *x = &world->classical[i], *z = &world->classical[PAIRS_SIDE + j];
  if (c->method == BENCH_CLASSICAL_SCALAR)
    return classical_pair_scalar(x, z, c->depth - 1, CLASSICAL_PLAIN, world->s, world->t);
  classical_variant variant = c->method == BENCH_CLASSICAL_BLOCKED     ? CLASSICAL_BLOCKED
                              : c->method == BENCH_CLASSICAL_SEPARABLE ? CLASSICAL_SEPARABLE
                                                                       : CLASSICAL_PLAIN;
  return classical_pair(x, z, c->depth - 1, variant, world->s, world->t);
}

static int verify_classical(const bench_world *world, bench_case *c) {
  double values[PAIRS_SIDE * PAIRS_SIDE];
  const size_t size = (size_t)BENCH_CHANNELS * BENCH_SIDE * BENCH_SIDE;
  for (int k = 0; k < PAIRS_SIDE; k++) {
    classical_prepare(world->x + (size_t)k * size, c->depth - 1, &world->classical[k]);
    classical_prepare(world->z + (size_t)k * size, c->depth - 1, &world->classical[PAIRS_SIDE + k]);
  }
  if (compute(world, c, c->plan, PAIRS_SIDE, values)) return BENCH_BROKEN;
  for (int i = 0; i < PAIRS_SIDE; i++)
    for (int j = 0; j < PAIRS_SIDE; j++) {
      double value = classical_value(world, c, i, j);
      if (i + j == 0) c->first = value;
      note_error(c, value, values[i * PAIRS_SIDE + j]);
    }
  c->images = PAIRS_SIDE;
  return BENCH_OK;
}

static int call_classical(const bench_world *world, const bench_case *c, double *pairs) {
  *pairs += 1;
  if (classical_value(world, c, 0, 0) != c->first)
    return bench_fail(BENCH_WRONG, "%s: a timed call gave another value", bench_method_names[c->method]);
  return BENCH_OK;
}

/* ---- both */

int bench_case_prepare(const bench_world *world, bench_case *c) {
  bool plane = c->method == BENCH_PLANE;
  c->tolerance = plane ? plane_tolerance : classical_tolerance;
  c->cpu_share = 1e9;
  if (plane ? verify_plane(world, c) : verify_classical(world, c)) return BENCH_BROKEN;
  if (!(c->error <= c->tolerance))
    return bench_fail(BENCH_WRONG, "%s depth %d %s %s: off by %.1e, more than %.0e", bench_method_names[c->method],
                      c->depth, c->readout, bench_kernel_name(c->kernel), c->error, c->tolerance);
  double pairs = 0; /* the warm-up */
  if (plane && choose_size(world, c)) return BENCH_BROKEN;
  return plane ? call_plane(world, c, &pairs) : call_classical(world, c, &pairs);
}

int bench_case_run(const bench_world *world, bench_case *c) {
  double begin = bench_now(), begin_cpu = bench_cpu_seconds(), pairs = 0, wall;
  do {
    int code = c->method == BENCH_PLANE ? call_plane(world, c, &pairs) : call_classical(world, c, &pairs);
    if (code) return code;
    wall = bench_now() - begin;
  } while (wall < world->settings->run_seconds);
  double share = (bench_cpu_seconds() - begin_cpu) / (wall * c->threads);
  if (share < c->cpu_share) c->cpu_share = share;
  c->seconds[c->runs++] = wall / pairs;
  return BENCH_OK;
}
