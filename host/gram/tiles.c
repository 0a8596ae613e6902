/* The scheduler: a queue of tiles, a team of workers, progress and cancellation. */
#include "host/gram/tiles.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/clock.h"
#include "host/context.h"
#include "host/cuda/device.h"
#include "host/data/dataset.h"
#include "host/gram/worker.h"
#include "host/regress/blas.h"
#include "host/status.h"

/* What the program itself, its libraries and the store take out of the memory budget. */
static const uint64_t reserved_memory = 48ull << 20;
static const double tile_seconds = 2; /* about this long a tile may take: what a kill loses */

/* Which workers a job gets. */
typedef struct crew {
  const ntk_worker_ops *ops;
  int workers;
  double rate;     /* entry-layers per second of one, roughly */
  int64_t largest; /* tile */
} crew;

typedef struct team {
  ntk_worker_shared shared;
  const ntk_worker_ops *ops;
  int started, created; /* workers */
  ntk_tiles_job *job;
  int64_t tile_rows, tile_columns;
  bool symmetric;
  pthread_mutex_t lock;
  pthread_cond_t finished;
  int64_t next_row, next_column; /* the queue: next tile to hand out */
  int running;
  ntk_status status; /* the first failure */
  char message[1024];
} team;

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static int64_t total_pairs(const ntk_tiles_job *job) {
  int64_t n = job->rows.count;
  return job->diagonal ? n : job->columns.count ? n * job->columns.count : n * (n + 1) / 2;
}

static int64_t tile_pairs(const team *t, int64_t row, int64_t column) {
  const ntk_tiles_job *job = t->job;
  int64_t rows = job->rows.count - row * job->tile, columns;
  if (rows > job->tile) rows = job->tile;
  if (job->diagonal) return rows;
  if (t->symmetric && row == column) return rows * (rows + 1) / 2;
  columns = (t->symmetric ? job->rows.count : job->columns.count) - column * job->tile;
  return rows * (columns < job->tile ? columns : job->tile);
}

static crew choose_crew(const ntk_context *context, const ntk_plan *plan) {
  if (ntk_context_uses_cuda(context)) {
    const int workers = NTK_CUDA_WORKERS * context->device_count;
    if (plan->connected) return (crew){&ntk_cuda_connected_ops, workers, 1e10, 512};
    if (plan->program.stage_count) return (crew){&ntk_cuda_stages_ops, workers, 5e10, 1024};
    return (crew){&ntk_cuda_worker_ops, workers, 2e11, 1024};
  }
  const double rate = ntk_context_backend(context)->entry_layers_per_second;
  return (crew){&ntk_cpu_worker_ops, ntk_context_threads(context), rate, plan->connected ? 1024 : 512};
}

/* The longest tile that does not leave threads idle at the end: 32 tiles a thread, or down to 4 (1 for a single thread)
 * where preparing the images of so many tiles would take more than 1 % of the time, and for vectors, whose GEMMs want
 * long tiles. */
static double fair_tile(const ntk_plan *plan, const ntk_tiles_job *job, int threads, double pair_seconds) {
  double shares = (double)total_pairs(job) / threads;
  if (plan->connected) return sqrt(shares / 4);
  double area = (double)plan->shape.height * (double)plan->shape.width;
  double prepare_seconds = area * (2.5e-9 * plan->activation_layers + 3e-8);
  double tile = 200 * prepare_seconds / pair_seconds;
  return fmin(fmax(tile, sqrt(shares / 32)), sqrt(shares / (threads > 1 ? 4 : 1)));
}

/* Memory that is taken before the workers get theirs. */
static uint64_t reserved_bytes(const ntk_tiles_job *job) {
  const ntk_dataset *rows = job->rows.dataset, *columns = job->columns.dataset;
  const uint64_t row_bytes = rows ? ntk_dataset_held_bytes(rows) : 0, bytes = reserved_memory + row_bytes;
  if (!columns || (rows && strcmp(ntk_dataset_preprocess_text(rows), ntk_dataset_preprocess_text(columns)) == 0))
    return bytes; /* they share it */
  return bytes + ntk_dataset_held_bytes(columns);
}

ntk_status ntk_tiles_choose(const ntk_context *context, const ntk_plan *plan, ntk_tiles_job *job) {
  const ntk_backend *backend = ntk_context_backend(context);
  const crew c = choose_crew(context, plan);
  const int threads = c.workers;
  const uint64_t reserved = reserved_bytes(job);
  uint64_t budget = ntk_context_memory(context), each;
  budget = budget > 2 * reserved ? budget - reserved : budget / 2;
  each = budget / (uint64_t)threads;
  int64_t tile = job->tile, longest = job->rows.count > job->columns.count ? job->rows.count : job->columns.count;
  if (tile > longest) tile = longest;
  if (tile <= 0) {
    double seconds = ntk_plan_cost(plan).entry_layers / c.rate + 2e-8;
    double pairs = tile_seconds / seconds; /* per tile */
    tile = (int64_t)sqrt(pairs);
    if (tile > c.largest) tile = c.largest;
    double fair = fair_tile(plan, job, threads, seconds);
    if (!job->diagonal && (double)tile > fair) tile = (int64_t)fair;
    if (job->diagonal) tile = job->rows.count / (4 * threads) < c.largest ? job->rows.count / (4 * threads) : c.largest;
    while (tile > 1 && c.ops->bytes(plan, backend, tile) > each) tile -= (tile + 7) / 8;
    if (tile < 1) tile = 1;
    if (tile > 8) tile -= tile % 8;
  }
  if (c.ops->bytes(plan, backend, tile) > each)
    return ntk_fail(
        NTK_ERROR_MEMORY,
        "tiles of %lld x %lld need %llu MiB in each of %d threads, the budget leaves %llu MiB: raise --memory "
        "to %llu MiB, or use fewer threads or smaller tiles",
        (long long)tile, (long long)tile, (unsigned long long)(c.ops->bytes(plan, backend, tile) >> 20) + 1, threads,
        (unsigned long long)(each >> 20),
        (unsigned long long)(((c.ops->bytes(plan, backend, tile) * (uint64_t)threads + 2 * reserved) >> 20) + 1));
  job->tile = tile;
  return NTK_OK;
}

/* Hands out the next tile that is not done; false when there is none. Called with the lock held. */
static bool next_tile(team *t, int64_t *row, int64_t *column) {
  ntk_tiles_job *job = t->job;
  while (t->next_row < t->tile_rows) {
    *row = t->next_row, *column = t->next_column;
    if (++t->next_column == t->tile_columns) {
      t->next_row++;
      t->next_column = t->symmetric ? t->next_row : 0;
    }
    if (!job->sink.done || !job->sink.done(job->sink.user, *row, *column)) return true;
    job->pairs_resumed += tile_pairs(t, *row, *column);
  }
  return false;
}

static void note_failure(team *t, ntk_status status) {
  pthread_mutex_lock(&t->lock);
  /* an interruption that follows from another worker's failure is not the cause */
  if (t->status == NTK_OK || (t->status == NTK_ERROR_INTERRUPTED && status != NTK_ERROR_INTERRUPTED)) {
    t->status = status;
    snprintf(t->message, sizeof t->message, "%s", ntk_last_error());
  }
  pthread_mutex_unlock(&t->lock);
  atomic_store(&t->shared.stop, 1);
}

static ntk_status work(team *t, void *worker) {
  ntk_tiles_job *job = t->job;
  for (;;) {
    int64_t row, column, rows, columns;
    const double *const *values;
    pthread_mutex_lock(&t->lock);
    bool more = next_tile(t, &row, &column);
    pthread_mutex_unlock(&t->lock);
    if (!more) return NTK_OK;
    NTK_TRY(t->ops->tile(worker, row, column, &rows, &columns, &values));
    NTK_TRY(job->sink.write(job->sink.user, row, column, rows, columns, values));
    pthread_mutex_lock(&t->lock);
    job->pairs_done += tile_pairs(t, row, column);
    pthread_mutex_unlock(&t->lock);
  }
}

static void *worker_main(void *argument) {
  team *t = argument;
  void *worker = NULL;
  pthread_mutex_lock(&t->lock);
  const int index = t->started++;
  pthread_mutex_unlock(&t->lock);
  ntk_status status = t->ops->create(&t->shared, index, t->job->tile, &worker);
  pthread_mutex_lock(&t->lock);
  /* where others have taken a device's memory already, fewer workers do the same work */
  const bool spare = status == NTK_ERROR_MEMORY && t->created > 0;
  t->created += status == NTK_OK;
  pthread_mutex_unlock(&t->lock);
  if (status == NTK_OK) status = work(t, worker);
  if (spare) status = NTK_OK;
  if (status != NTK_OK) note_failure(t, status);
  t->ops->free(worker);
  pthread_mutex_lock(&t->lock);
  t->running--;
  pthread_cond_signal(&t->finished);
  pthread_mutex_unlock(&t->lock);
  return NULL;
}

static void report(const ntk_context *context, const ntk_plan *plan, const team *t, int64_t resumed, double started) {
  if (!context || !context->progress) return;
  ntk_progress p = {
      .stage = t->job->stage, .total = total_pairs(t->job), .seconds = ntk_now() - started, .seconds_left = -1};
  int64_t computed = atomic_load(&t->shared.pairs);
  p.done = computed + resumed;
  if (p.seconds > 0) p.pairs_per_second = (double)computed / p.seconds;
  if (computed > 0) p.seconds_left = (double)(p.total - p.done) / p.pairs_per_second;
  p.entry_layers_per_second = p.pairs_per_second * ntk_plan_cost(plan).entry_layers;
  context->progress(&p, context->progress_user);
}

/* Starts the workers, reports about ten times a second until all have stopped. */
static ntk_status run_team(ntk_context *context, const ntk_plan *plan, team *t, double started) {
  int threads = choose_crew(context, plan).workers, count = 0;
  pthread_t *ids = calloc((size_t)threads, sizeof *ids);
  if (!ids) return ntk_fail(NTK_ERROR_MEMORY, "no memory for %d threads", threads);
  for (; count < threads; count++) {
    pthread_mutex_lock(&t->lock);
    t->running++;
    pthread_mutex_unlock(&t->lock);
    int error = pthread_create(&ids[count], NULL, worker_main, t);
    if (error == 0) continue;
    pthread_mutex_lock(&t->lock);
    t->running--;
    pthread_mutex_unlock(&t->lock);
    if (count > 0) break; /* fewer threads do the same work */
    free(ids);
    return ntk_fail(NTK_ERROR_MEMORY, "cannot start a thread: %s", strerror(error));
  }
  pthread_mutex_lock(&t->lock);
  while (t->running > 0) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 100000000;
    if (until.tv_nsec >= 1000000000) until.tv_nsec -= 1000000000, until.tv_sec++;
    pthread_cond_timedwait(&t->finished, &t->lock, &until);
    const int64_t resumed = t->job->pairs_resumed;
    pthread_mutex_unlock(&t->lock); /* a slow callback must not stop the workers */
    report(context, plan, t, resumed, started);
    pthread_mutex_lock(&t->lock);
  }
  pthread_mutex_unlock(&t->lock);
  for (int k = 0; k < count; k++) pthread_join(ids[k], NULL);
  free(ids);
  return NTK_OK;
}

ntk_status ntk_tiles_run(ntk_context *context, const ntk_plan *plan, ntk_tiles_job *job) {
  double started = ntk_now();
  if (job->tile <= 0) NTK_TRY(ntk_tiles_choose(context, plan, job));
  team t = {.job = job, .symmetric = job->columns.count == 0};
  t.shared.plan = plan;
  t.shared.backend = ntk_context_backend(context);
  t.shared.job = job;
  t.ops = choose_crew(context, plan).ops;
  if (context) t.shared.devices = context->devices, t.shared.device_count = context->device_count;
  t.shared.cancelled = context ? &context->cancelled : NULL;
  t.tile_rows = ceil_div(job->rows.count, job->tile);
  t.tile_columns = job->diagonal ? 1 : t.symmetric ? t.tile_rows : ceil_div(job->columns.count, job->tile);
  if (job->diagonal) t.symmetric = false;
  job->pairs = total_pairs(job);
  job->pairs_done = job->pairs_resumed = job->pairs_recomputed = 0;
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_mutex_init(&t.lock, NULL);
  pthread_cond_init(&t.finished, &attributes);
  ntk_blas_threads_push(1); /* the workers are the parallelism */
  ntk_status status = run_team(context, plan, &t, started);
  ntk_blas_threads_pop();
  report(context, plan, &t, job->pairs_resumed, started);
  pthread_cond_destroy(&t.finished);
  pthread_condattr_destroy(&attributes);
  pthread_mutex_destroy(&t.lock);
  job->pairs_recomputed = atomic_load(&t.shared.recomputed);
  job->seconds = ntk_now() - started;
  if (status == NTK_OK && t.status != NTK_OK) status = ntk_fail(t.status, "%s", t.message);
  return status;
}
