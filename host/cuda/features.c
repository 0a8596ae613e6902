/* Runs a feature map on CUDA devices: batches of images from one counter to two streams a device, each with a host
 * thread and memory of its own, so that the inputs and results of one move beside the kernels of the other. */
#include "host/cuda/features.h"

#include <stdio.h>
#include <stdlib.h>

#include "host/clock.h"
#include "host/context.h"
#include "host/cuda/call.h"
#include "host/cuda/feature_batch.h"
#include "host/status.h"

enum { STREAMS = 2 /* of a device */, MOST_CREW = STREAMS * NTK_CUDA_MOST_DEVICES };

/* What stays on a device. */
typedef struct home {
  bool made;
  ntk_cuda_feature_tables tables;
  ntk_cuda_feature_batch idle[STREAMS];
  int idle_count;
} home;

typedef struct homes {
  pthread_mutex_t lock;
  home of[NTK_CUDA_MOST_DEVICES]; /* by the device's number */
} homes;

typedef struct team {
  ntk_context *context;
  const ntk_features *features;
  ntk_feature_source source;
  int64_t first, count;
  float *out;
  atomic_llong next; /* input */
  atomic_int failed;
  pthread_mutex_t lock; /* of what follows */
  ntk_status status;
  char message[512];
  ntk_features_times times;
} team;

typedef struct member {
  team *team;
  home *home;
  ntk_cuda_feature_batch batch;
} member;

/* ---- what stays on the devices ---- */

static void free_home(home *h) {
  cudaSetDevice(h->tables.device.id);
  for (int k = 0; k < h->idle_count; k++) ntk_cuda_feature_batch_free(&h->idle[k]);
  ntk_cuda_feature_tables_free(&h->tables);
  *h = (home){0};
}

static void free_homes(void *memory) {
  homes *all = memory;
  int before = 0;
  const bool chosen = cudaGetDevice(&before) == cudaSuccess;
  for (int k = 0; k < NTK_CUDA_MOST_DEVICES; k++)
    if (all->of[k].made) free_home(&all->of[k]);
  if (chosen) cudaSetDevice(before); /* this is the caller's thread */
  pthread_mutex_destroy(&all->lock);
  free(all);
}

static homes *homes_of(ntk_features *features) {
  pthread_mutex_lock(&features->lock);
  if (!features->cuda) {
    homes *all = calloc(1, sizeof *all);
    if (all) pthread_mutex_init(&all->lock, NULL);
    features->cuda = all, features->free_cuda = free_homes;
  }
  homes *const all = features->cuda;
  pthread_mutex_unlock(&features->lock);
  return all;
}

/* The tables of a device, which is the current one. Called with the lock. */
static ntk_status make_home(ntk_context *context, const ntk_features *f, int device, home *h) {
  if (h->made) return NTK_OK;
  const ntk_status status = ntk_cuda_feature_tables_create(context, f, device, &h->tables);
  h->made = status == NTK_OK;
  if (status != NTK_OK) ntk_cuda_feature_tables_free(&h->tables);
  return status;
}

/* Memory for batches of `most` images: what an earlier run left, if that is enough, else new. Called with the lock. */
static ntk_status take_batch(const ntk_features *f, home *h, int most, ntk_cuda_feature_batch *out) {
  while (h->idle_count > 0) {
    *out = h->idle[--h->idle_count];
    if (out->capacity >= most || !out->whole) return NTK_OK;
    ntk_cuda_feature_batch_free(out);
  }
  const ntk_status status = ntk_cuda_feature_batch_create(f, &h->tables, most, out);
  if (status != NTK_OK) ntk_cuda_feature_batch_free(out);
  return status;
}

/* ---- the team ---- */

static ntk_status no_memory(const ntk_features *f, const home *h) {
  size_t free_bytes = 0, all = 0;
  const size_t tables = (size_t)f->cost.random_bytes, image = ntk_cuda_feature_image_bytes(f);
  const size_t products =
      (h->tables.units + h->tables.waves + h->tables.behind + h->tables.branch * h->tables.trees) * sizeof(float);
  NTK_CUDA_TRY(cudaMemGetInfo(&free_bytes, &all), "asking for the free memory");
  return ntk_fail(NTK_ERROR_MEMORY,
                  "these features need %zu MiB of the CUDA device's memory for random matrices, %zu MiB for products "
                  "and %zu MiB an image, and %zu MiB are free now: choose a smaller --dim or use --device cpu",
                  (tables >> 20) + 1, (products >> 20) + 1, (image >> 20) + 1, free_bytes >> 20);
}

/* Another member on a device. NTK_ERROR_MEMORY is none if others are there. */
static ntk_status join(team *t, homes *all, int device, int most, member *out, int *size) {
  home *h = &all->of[device];
  NTK_CUDA_TRY(cudaSetDevice(device), "choosing the device");
  *out = (member){.team = t, .home = h};
  pthread_mutex_lock(&all->lock);
  ntk_status status = make_home(t->context, t->features, device, h);
  if (status == NTK_OK) {
    const int batch = most < h->tables.batch ? most : h->tables.batch;
    status = take_batch(t->features, h, batch, &out->batch);
  }
  if (status == NTK_ERROR_MEMORY) status = *size > 0 ? NTK_OK : no_memory(t->features, h);
  pthread_mutex_unlock(&all->lock);
  *size += out->batch.streaming;
  return status;
}

/* Every device's first stream, then their second ones, while there are inputs for them. */
static ntk_status gather_crew(team *t, homes *all, member *crew, int *size) {
  const ntk_context *context = t->context;
  const int64_t share = (t->count + STREAMS * context->device_count - 1) / (STREAMS * context->device_count);
  const int most = share > 1 << 20 ? 1 << 20 : (int)share;
  int64_t room = 0;
  for (int k = 0; k < STREAMS * context->device_count && room < t->count; k++) {
    const int before = *size;
    NTK_TRY(join(t, all, context->devices[k % context->device_count], most, &crew[before], size));
    if (*size > before) room += crew[before].batch.capacity;
  }
  return NTK_OK;
}

/* Hands its memory back for the next run. */
static void leave(homes *all, member *m, bool keep) {
  cudaSetDevice(m->home->tables.device.id);
  pthread_mutex_lock(&all->lock);
  if (keep && m->home->idle_count < STREAMS)
    m->home->idle[m->home->idle_count++] = m->batch;
  else
    ntk_cuda_feature_batch_free(&m->batch);
  pthread_mutex_unlock(&all->lock);
}

/* Says which device an error is of. */
static void report(team *t, const member *m, ntk_status status) {
  const ntk_cuda_device *device = &m->home->tables.device;
  t->status = status;
  if (status == NTK_ERROR_MEMORY) no_memory(t->features, m->home);
  if (status == NTK_ERROR_DEVICE)
    snprintf(t->message, sizeof t->message, "%s (device %d, %s)", ntk_last_error(), device->id, device->name);
  else
    snprintf(t->message, sizeof t->message, "%s", ntk_last_error());
}

static void *work(void *argument) {
  member *m = argument;
  team *t = m->team;
  ntk_features_times times = {0};
  ntk_status status = NTK_OK;
  if (cudaSetDevice(m->home->tables.device.id) != cudaSuccess) status = ntk_fail(NTK_ERROR_DEVICE, "CUDA: no device");
  while (status == NTK_OK && !atomic_load(&t->failed)) {
    const int64_t at = atomic_fetch_add(&t->next, m->batch.capacity), left = t->count - at;
    if (left <= 0) break;
    if (atomic_load(&t->context->cancelled))
      status = ntk_fail(NTK_ERROR_INTERRUPTED, "interrupted");
    else
      status = ntk_cuda_feature_batch_run(&m->batch, &t->source, t->first + at,
                                          (int)(left < m->batch.capacity ? left : m->batch.capacity),
                                          t->out + (size_t)at * (size_t)t->features->result.dim, &times);
  }
  pthread_mutex_lock(&t->lock);
  if (status != NTK_OK && t->status == NTK_OK) report(t, m, status);
  if (status != NTK_OK) atomic_store(&t->failed, 1);
  ntk_features_times_add(&t->times, &times);
  pthread_mutex_unlock(&t->lock);
  return NULL;
}

static void run_crew(member *crew, int size) {
  pthread_t threads[MOST_CREW];
  int started = 0;
  while (started < size - 1 && pthread_create(&threads[started], NULL, work, &crew[started + 1]) == 0) started++;
  work(&crew[0]);
  for (int k = 0; k < started; k++) pthread_join(threads[k], NULL);
}

ntk_status ntk_cuda_features_prepare(ntk_context *context, const ntk_features *features, int64_t count, int64_t *rows) {
  enum { BATCHES = 2 /* of a stream */ };
  team t = {.context = context, .features = features, .count = count};
  member crew[MOST_CREW];
  int size = 0, before = 0;
  homes *all = homes_of((ntk_features *)features);
  *rows = 0;
  if (!all) return ntk_fail(NTK_ERROR_MEMORY, "no memory for features");
  NTK_CUDA_TRY(cudaGetDevice(&before), "asking for the device");
  const ntk_status status = gather_crew(&t, all, crew, &size);
  for (int k = 0; k < size; k++) *rows += BATCHES * (int64_t)crew[k].batch.capacity;
  for (int k = 0; k < size; k++) leave(all, &crew[k], true);
  cudaSetDevice(before); /* this is the caller's thread */
  return status;
}

ntk_status ntk_cuda_features_run(ntk_context *context, const ntk_features *features, ntk_feature_source source,
                                 int64_t first, int64_t count, float *out, ntk_features_times *times) {
  team t = {.context = context, .features = features, .source = source, .first = first, .count = count, .out = out};
  member crew[MOST_CREW];
  int size = 0, before = 0;
  const double started = ntk_now();
  /* what stays on the devices is a part of the map that no caller can see change */
  homes *all = homes_of((ntk_features *)features);
  if (!all) return ntk_fail(NTK_ERROR_MEMORY, "no memory for features");
  NTK_CUDA_TRY(cudaGetDevice(&before), "asking for the device");
  pthread_mutex_init(&t.lock, NULL);
  ntk_status status = gather_crew(&t, all, crew, &size);
  t.times.draw = ntk_now() - started;
  if (status == NTK_OK) run_crew(crew, size);
  const bool keep = t.status == NTK_OK || t.status == NTK_ERROR_INTERRUPTED;
  for (int k = 0; k < size; k++) leave(all, &crew[k], keep);
  cudaSetDevice(before); /* this is the caller's thread */
  pthread_mutex_destroy(&t.lock);
  if (times) ntk_features_times_add(times, &t.times);
  if (status != NTK_OK) return status;
  return t.status == NTK_OK ? NTK_OK : ntk_fail(t.status, "%s", t.message);
}
