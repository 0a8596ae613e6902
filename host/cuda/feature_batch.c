/* The host's side of a batch: memory, inputs, results, times; feature_steps.c queues its operations. */
#include "host/cuda/feature_batch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/clock.h"
#include "host/cuda/call.h"
#include "host/cuda/feature_steps.h"
#include "host/status.h"

enum { READ = 32 /* inputs of a data set at a time: preprocessing is faster for several */ };

/* ---- memory ---- */

static void free_images(ntk_cuda_feature_batch *b) {
  cudaFree(b->images), cudaFree(b->slots), cudaFree(b->out);
  cudaFreeHost(b->staging), cudaFreeHost(b->result);
  b->images = b->slots = b->out = b->staging = b->result = NULL;
}

static ntk_status take(float **out, size_t count) {
  return ntk_cuda_memory((void **)out, (count ? count : 1) * sizeof(float), "features");
}

static ntk_status take_images(ntk_cuda_feature_batch *b) {
  const size_t count = (size_t)b->capacity, input = ntk_cuda_feature_input(b->features);
  const size_t slots = b->features->floats_per_image * count + b->tables->behind;
  const size_t results = count * (size_t)b->features->result.dim;
  NTK_TRY(take(&b->images, count * input));
  NTK_TRY(take(&b->slots, slots));
  NTK_TRY(take(&b->out, results));
  NTK_TRY(ntk_cuda_pinned_memory((void **)&b->staging, count * input * sizeof(float)));
  NTK_TRY(ntk_cuda_pinned_memory((void **)&b->result, results * sizeof(float)));
  /* products read rows behind the last one, whose results nobody reads */
  NTK_CUDA_TRY(cudaMemsetAsync(b->slots, 0, slots * sizeof(float), b->stream), "clearing memory");
  return NTK_OK;
}

/* An FFT for every operation that has a sketch by FFT, those of one size shared. */
static ntk_status create_ffts(ntk_cuda_feature_batch *b) {
  const ntk_cuda_feature_op *ops = b->tables->ops;
  for (int k = 0; k < b->tables->op_count; k++) {
    const int size = ops[k].sketch.fourier.size;
    if (size == 0) continue;
    for (int j = 0; j < k && !b->ffts[k]; j++)
      if (ops[j].sketch.fourier.size == size && ops[j].rows == ops[k].rows) b->ffts[k] = b->ffts[j];
    if (!b->ffts[k]) NTK_TRY(ntk_cuda_fft_create(size, ops[k].rows, b->stream, &b->ffts[k]));
  }
  return NTK_OK;
}

/* Images that a third of the free memory has room for: another stream, and libraries, take some too. */
static ntk_status limit(ntk_cuda_feature_batch *b) {
  size_t free_bytes = 0, all = 0;
  NTK_CUDA_TRY(cudaMemGetInfo(&free_bytes, &all), "asking for the free memory");
  const size_t fit = free_bytes / 3 / ntk_cuda_feature_image_bytes(b->features);
  if ((size_t)b->capacity > fit) b->capacity = fit > 1 ? (int)fit : 1, b->whole = false;
  return NTK_OK;
}

ntk_status ntk_cuda_feature_batch_create(const ntk_features *features, const ntk_cuda_feature_tables *t, int most,
                                         ntk_cuda_feature_batch *b) {
  *b = (ntk_cuda_feature_batch){.features = features, .tables = t, .capacity = most, .whole = true};
  b->ffts = calloc((size_t)t->op_count + 1, sizeof *b->ffts);
  b->input = malloc(READ * ntk_cuda_feature_input(features) * sizeof *b->input);
  if (!b->ffts || !b->input) return ntk_fail(NTK_ERROR_MEMORY, "no memory for features");
  NTK_CUDA_TRY(cudaStreamCreateWithFlags(&b->stream, cudaStreamNonBlocking), "creating a stream");
  b->streaming = true;
  if (t->units) NTK_TRY(ntk_cuda_blas_create(b->stream, &b->blas));
  NTK_TRY(take(&b->units, t->units));
  NTK_TRY(take(&b->waves, t->waves));
  NTK_CUDA_TRY(cudaMemsetAsync(b->waves, 0, t->waves * sizeof(float), b->stream), "clearing memory");
  NTK_TRY(take(&b->trees, t->branch * t->trees));
  NTK_TRY(take(&b->norms, 2 * (size_t)t->rows));
  NTK_TRY(create_ffts(b));
  NTK_TRY(limit(b));
  for (;; b->capacity = (b->capacity + 1) / 2, b->whole = false) {
    const ntk_status status = take_images(b);
    if (status != NTK_ERROR_MEMORY || b->capacity == 1) return status;
    free_images(b);
  }
}

void ntk_cuda_feature_batch_free(ntk_cuda_feature_batch *b) {
  if (b->streaming) cudaStreamSynchronize(b->stream); /* nothing may still write to what is freed */
  for (int k = 0; b->ffts && k < b->tables->op_count; k++) {
    bool shared = false;
    for (int j = 0; j < k; j++) shared |= b->ffts[j] == b->ffts[k];
    if (!shared) ntk_cuda_fft_free(b->ffts[k]);
  }
  ntk_cuda_blas_free(b->blas);
  free_images(b);
  cudaFree(b->units), cudaFree(b->waves), cudaFree(b->trees), cudaFree(b->norms);
  for (int k = 0; k < b->mark_capacity; k++) cudaEventDestroy(b->marks[k].event);
  if (b->streaming) cudaStreamDestroy(b->stream);
  free(b->ffts), free(b->input), free(b->marks);
  *b = (ntk_cuda_feature_batch){0};
}

/* ---- times ---- */

ntk_status ntk_cuda_feature_mark(ntk_cuda_feature_batch *b, ntk_cuda_phase phase) {
  if (b->mark_count == b->mark_capacity) {
    ntk_cuda_mark *marks = realloc(b->marks, ((size_t)b->mark_capacity + 1) * sizeof *marks);
    if (!marks) return ntk_fail(NTK_ERROR_MEMORY, "no memory for features");
    b->marks = marks;
    NTK_CUDA_TRY(cudaEventCreate(&marks[b->mark_capacity].event), "creating an event");
    b->mark_capacity++;
  }
  b->marks[b->mark_count].phase = phase;
  NTK_CUDA_TRY(cudaEventRecord(b->marks[b->mark_count++].event, b->stream), "recording an event");
  return NTK_OK;
}

/* Adds up the phases of a batch that has ended. */
static ntk_status read_marks(ntk_cuda_feature_batch *b, ntk_features_times *times) {
  double *sums = (double *)times;
  for (int k = 1; k < b->mark_count; k++) {
    float milliseconds = 0;
    NTK_CUDA_TRY(cudaEventElapsedTime(&milliseconds, b->marks[k - 1].event, b->marks[k].event), "reading the time");
    sums[b->marks[k].phase] += 1e-3 * milliseconds;
  }
  return NTK_OK;
}

/* ---- a batch ---- */

/* `count` inputs as float32. */
static ntk_status convert(const double *values, int64_t first, int count, size_t size, float *out) {
  for (size_t k = 0; k < (size_t)count * size; k++) {
    if (!isfinite(values[k]))
      return ntk_fail(NTK_ERROR_DATA, "input %lld holds a value that is not finite: repair the data",
                      (long long)(first + (int64_t)(k / size)));
    out[k] = (float)values[k];
  }
  return NTK_OK;
}

/* Inputs into the staging memory. */
static ntk_status read_inputs(ntk_cuda_feature_batch *b, const ntk_feature_source *source, int64_t first, int count) {
  const size_t size = ntk_cuda_feature_input(b->features);
  if (!source->data) return convert(source->values + (size_t)first * size, first, count, size, b->staging);
  for (int i = 0; i < count; i += READ) {
    const int some = count - i < READ ? count - i : READ;
    NTK_TRY(ntk_dataset_read(source->data, first + i, some, b->input));
    NTK_TRY(convert(b->input, first + i, some, size, b->staging + (size_t)i * size));
  }
  return NTK_OK;
}

ntk_status ntk_cuda_feature_batch_run(ntk_cuda_feature_batch *b, const ntk_feature_source *source, int64_t first,
                                      int count, float *out, ntk_features_times *times) {
  const ntk_features *f = b->features;
  const size_t inputs = (size_t)count * ntk_cuda_feature_input(f) * sizeof(float);
  const size_t results = (size_t)count * (size_t)f->result.dim * sizeof(float);
  const double started = ntk_now();
  NTK_TRY(read_inputs(b, source, first, count));
  times->input += ntk_now() - started;
  b->mark_count = 0;
  NTK_TRY(ntk_cuda_feature_mark(b, NTK_CUDA_PHASE_INPUT));
  NTK_CUDA_TRY(cudaMemcpyAsync(b->images, b->staging, inputs, cudaMemcpyHostToDevice, b->stream),
               "copying inputs to the device");
  NTK_TRY(ntk_cuda_feature_steps(b, count));
  NTK_CUDA_TRY(cudaMemcpyAsync(b->result, b->out, results, cudaMemcpyDeviceToHost, b->stream), "copying features");
  NTK_CUDA_TRY(cudaStreamSynchronize(b->stream), "computing features");
  memcpy(out, b->result, results);
  return read_marks(b, times);
}
