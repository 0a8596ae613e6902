#include "host/data/dataset.h"

#include <stdlib.h>
#include <string.h>

#include "host/data/npy.h"
#include "host/data/preprocess.h"
#include "host/data/sampling.h"
#include "host/data/spec.h"
#include "host/status.h"

static ntk_status open_source(const ntk_data_spec *spec, ntk_source *source) {
  const char *folder = getenv("NTK_FASHION_MNIST_DIR");
  switch (spec->kind) {
    case NTK_DATA_FASHION_MNIST: return ntk_fashion_mnist_open(folder && *folder ? folder : NULL, spec->test, source);
    case NTK_DATA_CIFAR10: return ntk_cifar10_open(spec->path, spec->test, source);
    case NTK_DATA_NPY: return ntk_array_open(spec->path, spec->labels, source);
  }
  return ntk_fail(NTK_ERROR_INTERNAL, "a data source without a reader; please report this bug");
}

static ntk_status take_labels(ntk_dataset *dataset) {
  if (!dataset->source.labels) return NTK_OK;
  int32_t *labels = malloc((size_t)dataset->count * sizeof *labels);
  if (!labels) return ntk_fail(NTK_ERROR_MEMORY, "no memory for the labels of %s", dataset->spec);
  for (int64_t i = 0; i < dataset->count; i++) labels[i] = dataset->source.labels[ntk_dataset_record(dataset, i)];
  free(dataset->labels_owned);
  dataset->labels = dataset->labels_owned = labels;
  return NTK_OK;
}

static ntk_status take_subset(ntk_dataset *dataset, const ntk_data_spec *spec) {
  if (!dataset->labels)
    return ntk_fail(
        NTK_ERROR_DATA,
        "%s has no labels, which the balanced subset ~%lld needs; name them as npy:X.npy:y.npy or use a slice",
        dataset->spec, (long long)spec->subset);
  if (spec->subset > dataset->count) /* before memory is taken for it */
    return ntk_fail(NTK_ERROR_DATA, "the subset ~%lld is larger than the %lld records that it is taken from",
                    (long long)spec->subset, (long long)dataset->count);
  int64_t *chosen = malloc((size_t)spec->subset * sizeof *chosen);
  if (!chosen) return ntk_fail(NTK_ERROR_MEMORY, "no memory for a subset of %lld records", (long long)spec->subset);
  ntk_status status =
      ntk_subset_choose(dataset->labels, dataset->count, dataset->source.classes, spec->subset, spec->seed, chosen);
  if (status != NTK_OK) {
    free(chosen);
    return status;
  }
  for (int64_t i = 0; i < spec->subset; i++) chosen[i] = ntk_dataset_record(dataset, chosen[i]);
  dataset->chosen = chosen;
  dataset->count = spec->subset;
  return take_labels(dataset);
}

static ntk_status identify(ntk_dataset *dataset) {
  NTK_TRY(ntk_dataset_scan(dataset));
  NTK_TRY(ntk_dataset_set_hash(dataset, "none"));
  memcpy(dataset->raw_hash, dataset->hash, sizeof dataset->raw_hash);
  return NTK_OK;
}

static ntk_status open_spec(ntk_dataset *dataset, ntk_data_spec *spec) {
  NTK_TRY(ntk_data_spec_absolute(spec));
  NTK_TRY(ntk_data_spec_format(spec, &dataset->spec));
  NTK_TRY(open_source(spec, &dataset->source));
  int64_t total = dataset->source.count;
  ntk_slice_resolve(spec, total, &dataset->first, &dataset->step, &dataset->count);
  if (dataset->count == 0)
    return ntk_fail(NTK_ERROR_DATA, "%s selects no records: there are %lld, numbered from 0", dataset->spec,
                    (long long)total);
  NTK_TRY(take_labels(dataset));
  if (spec->subset) NTK_TRY(take_subset(dataset, spec));
  free(dataset->source.labels);
  dataset->source.labels = NULL;
  return identify(dataset);
}

static ntk_status finish(ntk_status status, ntk_dataset *dataset, ntk_dataset **out) {
  if (status == NTK_OK)
    *out = dataset;
  else
    ntk_dataset_free(dataset);
  return status;
}

ntk_status ntk_dataset_open(const char *text, ntk_dataset **out) {
  if (!text || !out) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_dataset_open needs a text and a place for the data set");
  ntk_dataset *dataset = calloc(1, sizeof *dataset);
  if (!dataset) return ntk_fail(NTK_ERROR_MEMORY, "no memory for a data set");
  ntk_data_spec spec;
  ntk_status status = ntk_data_spec_parse(text, &spec);
  if (status == NTK_OK) status = open_spec(dataset, &spec);
  ntk_data_spec_clear(&spec);
  return finish(status, dataset, out);
}

static ntk_status open_memory(ntk_dataset *dataset, const double *values, const int32_t *labels, int64_t count,
                              ntk_shape shape) {
  const char *name = "the data in memory";
  ntk_source *source = &dataset->source;
  /* What would be bad data in a file is a bad argument here; the message stands. */
  if (ntk_source_set_shape(source, name, shape) != NTK_OK) return NTK_ERROR_ARGUMENT;
  int64_t total;
  if (count < 1 || __builtin_mul_overflow(count, source->values * (int64_t)sizeof *values, &total))
    return ntk_fail(NTK_ERROR_ARGUMENT, "a data set of %lld records is impossible; at least one is needed",
                    (long long)count);
  if (labels && ntk_labels_check(labels, count, name, &source->classes) != NTK_OK) return NTK_ERROR_ARGUMENT;
  source->dtype = NTK_DTYPE_F64;
  source->memory = values;
  source->count = dataset->count = count;
  dataset->step = 1;
  dataset->labels = labels;
  return identify(dataset);
}

ntk_status ntk_dataset_from_memory(const double *values, const int32_t *labels, int64_t count, ntk_shape shape,
                                   ntk_dataset **out) {
  if (!values || !out)
    return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_dataset_from_memory needs values and a place for the data set");
  ntk_dataset *dataset = calloc(1, sizeof *dataset);
  if (!dataset) return ntk_fail(NTK_ERROR_MEMORY, "no memory for a data set");
  return finish(open_memory(dataset, values, labels, count, shape), dataset, out);
}

void ntk_dataset_free(ntk_dataset *dataset) {
  if (!dataset) return;
  ntk_source_clear(&dataset->source);
  ntk_preprocess_free(dataset->preprocess);
  free(dataset->chosen);
  free(dataset->labels_owned);
  free(dataset->spec);
  free(dataset);
}

int64_t ntk_dataset_count(const ntk_dataset *dataset) { return dataset->count; }

ntk_shape ntk_dataset_shape(const ntk_dataset *dataset) {
  const ntk_preprocess *p = dataset->preprocess;
  return p && ntk_preprocess_has_array(p->mode) ? ntk_preprocess_output(p) : dataset->source.shape;
}

const int32_t *ntk_dataset_labels(const ntk_dataset *dataset) { return dataset->labels; }

int32_t ntk_dataset_classes(const ntk_dataset *dataset) { return dataset->source.classes; }

const char *ntk_dataset_spec(const ntk_dataset *dataset) { return dataset->spec ? dataset->spec : ""; }

const char *ntk_dataset_hash(const ntk_dataset *dataset) { return dataset->hash; }

const char *ntk_dataset_preprocess_path(const ntk_dataset *dataset) { return ntk_preprocess_path(dataset->preprocess); }

uint64_t ntk_dataset_held_bytes(const ntk_dataset *dataset) { return ntk_preprocess_bytes(dataset->preprocess); }

const char *ntk_dataset_preprocess_text(const ntk_dataset *dataset) {
  return dataset->preprocess ? ntk_preprocess_text(dataset->preprocess) : "none";
}

int64_t ntk_dataset_record(const ntk_dataset *dataset, int64_t index) {
  return dataset->chosen ? dataset->chosen[index] : dataset->first + index * dataset->step;
}

ntk_status ntk_dataset_read_raw(const ntk_dataset *dataset, int64_t first, int64_t count, void *out) {
  int64_t bytes = dataset->source.values * ntk_dtype_size(dataset->source.dtype);
  unsigned char *to = out;
  for (int64_t end = first + count, run; first < end; first += run) {
    int64_t record = ntk_dataset_record(dataset, first);
    run = 1; /* neighbours in the source are read at one go */
    while (first + run < end && ntk_dataset_record(dataset, first + run) == record + run) run++;
    NTK_TRY(ntk_source_read(&dataset->source, record, run, to));
    to += run * bytes;
  }
  return NTK_OK;
}

ntk_status ntk_dataset_read_stored(const ntk_dataset *dataset, int64_t first, int64_t count, double *out) {
  int64_t values = count * dataset->source.values;
  void *raw = ntk_convert_place(dataset->source.dtype, values, out);
  NTK_TRY(ntk_dataset_read_raw(dataset, first, count, raw));
  ntk_convert_f64(dataset->source.dtype, raw, values, out);
  return NTK_OK;
}

ntk_status ntk_dataset_read(const ntk_dataset *dataset, int64_t first, int64_t count, double *out) {
  if (!dataset || (!out && count > 0))
    return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_dataset_read needs a data set and room for values");
  if (first < 0 || count < 0 || first > dataset->count || count > dataset->count - first)
    return ntk_fail(NTK_ERROR_ARGUMENT, "%lld records from %lld on are outside the data set of %lld records",
                    (long long)count, (long long)first, (long long)dataset->count);
  if (count == 0) return NTK_OK;
  const ntk_preprocess *p = dataset->preprocess;
  if (p && ntk_preprocess_has_array(p->mode)) return ntk_preprocess_read_array(p, dataset, first, count, out);
  NTK_TRY(ntk_dataset_read_stored(dataset, first, count, out));
  for (int64_t i = 0; p && i < count; i++)
    ntk_preprocess_apply(p, dataset->source.shape, dataset->source.dtype == NTK_DTYPE_U8,
                         out + i * dataset->source.values);
  return NTK_OK;
}

/* Whether records of a data set are of the kind that a preprocessing was fitted to. */
static ntk_status check_fit(const ntk_preprocess *p, ntk_shape shape) {
  const bool vectors = shape.height == 0;
  if (p->mode == NTK_PREPROCESS_STANDARD && (p->channels != shape.channels || p->vectors != vectors))
    return ntk_fail(
        NTK_ERROR_ARGUMENT,
        "a preprocessing fitted to %lld %s does not fit data of %lld %s; fit it to training data of the same shape",
        (long long)p->channels, p->vectors ? "features" : "channels", (long long)shape.channels,
        vectors ? "features" : "channels");
  if (ntk_preprocess_has_array(p->mode) && memcmp(&p->shape, &shape, sizeof shape) != 0)
    return ntk_fail(
        NTK_ERROR_ARGUMENT,
        "a preprocessing fitted to records of %lld x %lld x %lld does not fit those of %lld x %lld x %lld; fit "
        "it to training data of the same shape",
        (long long)p->shape.channels, (long long)p->shape.height, (long long)p->shape.width, (long long)shape.channels,
        (long long)shape.height, (long long)shape.width);
  return NTK_OK;
}

ntk_status ntk_dataset_preprocess(ntk_dataset *dataset, const ntk_preprocess *preprocess) {
  if (!dataset || !preprocess)
    return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_dataset_preprocess needs a data set and a preprocessing");
  NTK_TRY(check_fit(preprocess, dataset->source.shape));
  NTK_TRY(ntk_dataset_set_hash(dataset, preprocess->text));
  ntk_preprocess *held = ntk_preprocess_share(preprocess);
  ntk_preprocess_free(dataset->preprocess);
  dataset->preprocess = held;
  return NTK_OK;
}
