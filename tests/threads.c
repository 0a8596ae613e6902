/* The public API from several threads at once: contexts of their own, shared networks, plans and data sets, one context
 * shared by all, and cancellation from outside. A plain program, so that the thread sanitizer can run it. */
#include <math.h>
#include <ntk/ntk.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { THREADS = 4, IMAGES = 6, SIDE = 5, PIXELS = SIDE * SIDE, ROUNDS = 3, FEATURES = 64 };

typedef struct shared {
  const ntk_network *network;
  const ntk_plan *plan;
  const ntk_features *features; /* drawn by whichever thread comes first */
  const ntk_dataset *data;
  ntk_context *context;
  double expected[IMAGES * IMAGES];
  float expected_features[IMAGES * FEATURES];
  atomic_int failures;
} shared;

static void check(shared *s, int fine, const char *what) {
  if (fine) return;
  fprintf(stderr, "failed: %s (%s)\n", what, ntk_last_error());
  atomic_fetch_add(&s->failures, 1);
}

/* The same block on the shared context or on one of its own, from the shared data set. */
static void compute(shared *s, ntk_context *context) {
  double images[IMAGES * PIXELS], values[IMAGES * IMAGES], diagonal[IMAGES];
  double *out = values, *out_diagonal = diagonal;
  float features[IMAGES * FEATURES];
  check(s, ntk_dataset_read(s->data, 0, IMAGES, images) == NTK_OK, "read");
  check(s, ntk_plan_block(context, s->plan, images, IMAGES, NULL, 0, &out) == NTK_OK, "block");
  check(s, memcmp(values, s->expected, sizeof values) == 0, "same bits as alone");
  check(s, ntk_plan_diagonal(context, s->plan, images, IMAGES, &out_diagonal) == NTK_OK, "diagonal");
  check(s, ntk_features_compute(context, s->features, images, IMAGES, features, NULL) == NTK_OK, "features");
  check(s, memcmp(features, s->expected_features, sizeof features) == 0, "same features as alone");
}

/* Errors belong to the thread that made them. */
static void provoke(shared *s, int number) {
  char text[32], wanted[16];
  ntk_network *network = NULL;
  snprintf(text, sizeof text, "conv3 nonsense%d", number);
  snprintf(wanted, sizeof wanted, "nonsense%d", number);
  check(s, ntk_network_parse(text, &network) == NTK_ERROR_NETWORK, "refusal");
  check(s, strstr(ntk_last_error(), wanted) != NULL, "a message of this thread");
}

typedef struct worker {
  shared *shared;
  int number;
} worker;

static void *work(void *raw) {
  const worker *w = raw;
  shared *s = w->shared;
  for (int round = 0; round < ROUNDS; ++round) {
    ntk_context *own = NULL;
    ntk_plan *plan = NULL;
    provoke(s, w->number);
    check(s, ntk_context_create(&own) == NTK_OK && ntk_context_set_threads(own, 2) == NTK_OK, "context");
    check(s, ntk_plan_create(s->network, ntk_plan_shape(s->plan), NULL, &plan) == NTK_OK, "plan");
    compute(s, own);
    compute(s, s->context);
    ntk_plan_free(plan);
    ntk_context_free(own);
  }
  return NULL;
}

/* A cancelled computation either ended before or says so; the context's owner survives both. */
static void *cancel(void *raw) {
  ntk_context_cancel(raw);
  return NULL;
}

static void check_cancel(shared *s, const double *images) {
  double values[IMAGES * IMAGES], *out = values;
  ntk_context *context = NULL;
  pthread_t canceller;
  check(s, ntk_context_create(&context) == NTK_OK, "context");
  check(s, pthread_create(&canceller, NULL, cancel, context) == 0, "thread");
  ntk_status status = ntk_plan_block(context, s->plan, images, IMAGES, NULL, 0, &out);
  check(s, status == NTK_OK || status == NTK_ERROR_INTERRUPTED, "cancelled or done");
  pthread_join(canceller, NULL);
  ntk_context_free(context);
}

/* A map of the threads, and what another one like it gives. */
static ntk_features *make_features(shared *s, const ntk_network *network, ntk_shape shape, const double *images) {
  const ntk_features_options options = {.dim = FEATURES};
  ntk_features *one = NULL, *other = NULL;
  check(s, ntk_features_create(network, shape, &options, &one) == NTK_OK, "features");
  check(s, ntk_features_create(network, shape, &options, &other) == NTK_OK && ntk_features_dim(other) == FEATURES,
        "features");
  if (s->failures == 0)
    check(s, ntk_features_compute(NULL, other, images, IMAGES, s->expected_features, NULL) == NTK_OK, "features");
  ntk_features_free(other);
  return one;
}

static void run(shared *s, const double *images) {
  pthread_t threads[THREADS];
  worker workers[THREADS];
  for (int i = 0; i < THREADS; ++i) {
    workers[i] = (worker){s, i};
    check(s, pthread_create(&threads[i], NULL, work, &workers[i]) == 0, "thread");
  }
  for (int i = 0; i < THREADS; ++i) pthread_join(threads[i], NULL);
  check_cancel(s, images);
}

int main(void) {
  static double images[IMAGES * PIXELS];
  const ntk_shape shape = {1, SIDE, SIDE};
  shared s = {0};
  ntk_network *network = NULL;
  ntk_plan *plan = NULL;
  ntk_dataset *data = NULL;
  double *out = s.expected;
  for (int i = 0; i < IMAGES * PIXELS; ++i) images[i] = sin(1.0 + 0.37 * i);
  check(&s, ntk_network_parse("3*(conv3 relu) gap", &network) == NTK_OK, "network");
  check(&s, ntk_plan_create(network, shape, NULL, &plan) == NTK_OK, "plan");
  check(&s, ntk_dataset_from_memory(images, NULL, IMAGES, shape, &data) == NTK_OK, "data set");
  check(&s, ntk_context_create(&s.context) == NTK_OK && ntk_context_set_threads(s.context, 2) == NTK_OK, "context");
  if (s.failures == 0) check(&s, ntk_plan_block(NULL, plan, images, IMAGES, NULL, 0, &out) == NTK_OK, "block");
  ntk_features *features = s.failures == 0 ? make_features(&s, network, shape, images) : NULL;
  s.features = features;
  s.network = network;
  s.plan = plan;
  s.data = data;
  if (s.failures == 0) run(&s, images);
  ntk_context_free(s.context);
  ntk_dataset_free(data);
  ntk_plan_free(plan);
  ntk_features_free(features);
  ntk_network_free(network);
  return s.failures == 0 ? 0 : 1;
}
