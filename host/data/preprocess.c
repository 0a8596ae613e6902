#include "host/data/preprocess.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "host/data/dataset.h"
#include "host/status.h"

#define CHUNK_VALUES 16384

static double *number_array(int64_t count) {
  size_t bytes;
  return __builtin_mul_overflow((size_t)count, sizeof(double), &bytes) ? NULL : malloc(bytes);
}

ntk_status ntk_preprocess_create(ntk_preprocess_mode mode, bool vectors, int64_t channels, ntk_preprocess **out) {
  ntk_preprocess *made = calloc(1, sizeof *made);
  if (!made) return ntk_fail(NTK_ERROR_MEMORY, "no memory for a preprocessing");
  made->mode = mode;
  atomic_init(&made->holders, 1);
  made->vectors = vectors;
  made->channels = channels;
  if (channels > 0) {
    made->mean = number_array(channels);
    made->deviation = number_array(channels);
    if (!made->mean || !made->deviation) {
      ntk_preprocess_free(made);
      return ntk_fail(NTK_ERROR_MEMORY, "no memory for a preprocessing of %lld channels", (long long)channels);
    }
  }
  *out = made;
  return NTK_OK;
}

void ntk_preprocess_free(ntk_preprocess *preprocess) {
  if (!preprocess || atomic_fetch_sub(&preprocess->holders, 1) > 1) return;
  ntk_preprocess_free(preprocess->before);
  if (preprocess->operand != preprocess->array) free(preprocess->operand);
  free(preprocess->array);
  free(preprocess->path);
  free(preprocess->mean);
  free(preprocess->deviation);
  free(preprocess->text);
  free(preprocess);
}

ntk_preprocess *ntk_preprocess_share(const ntk_preprocess *preprocess) {
  ntk_preprocess *held = (ntk_preprocess *)preprocess; /* only the count changes */
  atomic_fetch_add(&held->holders, 1);
  return held;
}

const char *ntk_preprocess_text(const ntk_preprocess *preprocess) { return preprocess->text; }

static int64_t plane_of(ntk_shape shape) { return shape.height ? shape.height * shape.width : 1; }

static void scale_bytes(bool bytes, int64_t values, double *record) {
  for (int64_t i = 0; bytes && i < values; i++) record[i] /= 255.0;
}

/* Sums over one channel of one record; the totals add these in the order of the records, so that a fit does not depend
 * on how the records are read. */
typedef struct fit {
  double *low, *high, *sum;
} fit;

static void add_record(fit *f, int pass, const double *mean, int64_t channels, int64_t plane, const double *record) {
  for (int64_t c = 0; c < channels; c++) {
    const double *values = record + c * plane;
    double sum = 0;
    for (int64_t i = 0; i < plane; i++) {
      double off = pass ? values[i] - mean[c] : values[i];
      sum += pass ? off * off : off;
      if (values[i] < f->low[c]) f->low[c] = values[i];
      if (values[i] > f->high[c]) f->high[c] = values[i];
    }
    f->sum[c] += sum;
  }
}

static ntk_status finish_pass(fit *f, int pass, double count, ntk_preprocess *made) {
  for (int64_t c = 0; c < made->channels; c++) {
    double average = f->sum[c] / count;
    if (!isfinite(average))
      return ntk_fail(NTK_ERROR_DATA, "the values of %s %lld are too large to standardise; scale the data first",
                      made->vectors ? "feature" : "channel", (long long)c);
    f->sum[c] = 0;
    /* A constant channel is recognised exactly: its rounded mean would leave a deviation of rounding errors. */
    bool constant = f->low[c] == f->high[c];
    if (!pass) made->mean[c] = constant ? f->low[c] : average;
    if (pass) made->deviation[c] = constant || average == 0 ? 1 : sqrt(average);
  }
  return NTK_OK;
}

/* Reads `chunk` records at a time into `records`. */
static ntk_status run_pass(fit *f, int pass, const ntk_dataset *train, int64_t chunk, ntk_preprocess *made,
                           double *records) {
  int64_t plane = plane_of(train->source.shape), values = train->source.values;
  for (int64_t first = 0; first < train->count; first += chunk) {
    int64_t count = train->count - first < chunk ? train->count - first : chunk;
    NTK_TRY(ntk_dataset_read_stored(train, first, count, records));
    scale_bytes(train->source.dtype == NTK_DTYPE_U8, count * values, records);
    for (int64_t i = 0; i < count; i++) add_record(f, pass, made->mean, made->channels, plane, records + i * values);
  }
  return finish_pass(f, pass, (double)train->count * (double)plane, made);
}

static ntk_status fit_standard(const ntk_dataset *train, ntk_preprocess *made) {
  int64_t chunk = train->source.values < CHUNK_VALUES ? CHUNK_VALUES / train->source.values : 1;
  double *records = number_array(chunk * train->source.values);
  fit f = {number_array(made->channels), number_array(made->channels), number_array(made->channels)};
  ntk_status status = NTK_OK;
  if (!f.low || !f.high || !f.sum || !records)
    status = ntk_fail(NTK_ERROR_MEMORY, "no memory to fit a preprocessing to %s", ntk_dataset_spec(train));
  for (int64_t c = 0; c < made->channels && status == NTK_OK; c++) {
    f.low[c] = INFINITY;
    f.high[c] = -INFINITY;
    f.sum[c] = 0;
  }
  for (int pass = 0; pass < 2 && status == NTK_OK; pass++) status = run_pass(&f, pass, train, chunk, made, records);
  free(f.low);
  free(f.high);
  free(f.sum);
  free(records);
  return status;
}

ntk_status ntk_preprocess_fit_plain(ntk_preprocess_mode mode, const ntk_dataset *train, ntk_preprocess **out) {
  bool standard = mode == NTK_PREPROCESS_STANDARD;
  ntk_shape shape = train->source.shape;
  ntk_preprocess *made;
  NTK_TRY(ntk_preprocess_create(mode, standard && shape.height == 0, standard ? shape.channels : 0, &made));
  ntk_status status = standard ? fit_standard(train, made) : NTK_OK;
  if (status == NTK_OK) status = ntk_preprocess_write_text(made);
  if (status == NTK_OK)
    *out = made;
  else
    ntk_preprocess_free(made);
  return status;
}

/* The plain norm unless squares overflow or lose digits to underflow. */
static void normalise(int64_t values, double *record) {
  double sum = 0, largest = 0;
  for (int64_t i = 0; i < values; i++) {
    sum += record[i] * record[i];
    largest = fmax(largest, fabs(record[i]));
  }
  if (largest == 0) return;
  if (isfinite(sum) && sum > DBL_MIN / DBL_EPSILON) {
    double norm = sqrt(sum);
    for (int64_t i = 0; i < values; i++) record[i] /= norm;
    return;
  }
  for (int64_t i = 0; i < values; i++) record[i] /= largest;
  normalise(values, record);
}

/* Minus the mean of all values; a constant record becomes 0, whatever its mean is rounded to. */
static void centre(int64_t values, double *record) {
  const double least_norm = 1e-8;
  double sum = 0, squares = 0, low = record[0], high = record[0];
  for (int64_t i = 0; i < values; i++) {
    sum += record[i];
    low = fmin(low, record[i]);
    high = fmax(high, record[i]);
  }
  const double mean = low == high ? low : sum / (double)values;
  for (int64_t i = 0; i < values; i++) {
    record[i] -= mean;
    squares += record[i] * record[i];
  }
  for (int64_t i = 0; i < values && sqrt(squares) < least_norm; i++) record[i] = 0;
}

void ntk_preprocess_apply(const ntk_preprocess *preprocess, ntk_shape shape, bool bytes, double *record) {
  int64_t plane = plane_of(shape), values = shape.channels * plane;
  if (preprocess->mode == NTK_PREPROCESS_NONE) return;
  scale_bytes(bytes, values, record);
  if (preprocess->mode != NTK_PREPROCESS_STANDARD) {
    if (preprocess->mode == NTK_PREPROCESS_IMAGE) centre(values, record);
    normalise(values, record);
    return;
  }
  for (int64_t c = 0; c < shape.channels; c++)
    for (int64_t i = c * plane; i < (c + 1) * plane; i++)
      record[i] = (record[i] - preprocess->mean[c]) / preprocess->deviation[c];
}

ntk_status ntk_preprocess_read_before(const ntk_preprocess *before, const ntk_dataset *dataset, int64_t first,
                                      int64_t count, double *out) {
  const int64_t values = dataset->source.values;
  NTK_TRY(ntk_dataset_read_stored(dataset, first, count, out));
  scale_bytes(dataset->source.dtype == NTK_DTYPE_U8, count * values, out);
  for (int64_t i = 0; i < count; i++) ntk_preprocess_apply(before, dataset->source.shape, false, out + i * values);
  return NTK_OK;
}
