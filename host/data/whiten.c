/* ZCA: every record times W = (C + eps I)^(-1/2), C the second moments of the training records. */
#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/data/dataset.h"
#include "host/data/preprocess.h"
#include "host/regress/blas.h"
#include "host/regress/regress.h"
#include "host/status.h"

/* Records are multiplied READ at a time, always, and W is padded to whole PANELs of columns: with another shape the
 * BLAS might choose another order of summation, and the bits of a record must not depend on its company. */
enum { READ = 32, PANEL = 64, FIT_BLOCK = 512, MOST_VALUES = 32766 };

static int64_t padded(int64_t values) { return (values + PANEL - 1) / PANEL * PANEL; }

static double *numbers(int64_t rows, int64_t columns) { return calloc((size_t)(rows * columns), sizeof(double)); }

static ntk_status no_memory(int64_t values) {
  return ntk_fail(NTK_ERROR_MEMORY,
                  "no memory to fit zca to records of %lld values, which takes %.3g GiB; use smaller records",
                  (long long)values, 3 * 8 * (double)values * (double)values / 0x1p30);
}

/* The lower triangle of C = (1/n) SUM x x^T. */
static ntk_status sum_moments(const ntk_preprocess *p, const ntk_dataset *train, int64_t block, double *moments) {
  const int64_t d = train->source.values;
  double *records = numbers(block, d);
  if (!records) return no_memory(d);
  ntk_status status = NTK_OK;
  for (int64_t first = 0; first < train->count && status == NTK_OK; first += block) {
    const int64_t count = train->count - first < block ? train->count - first : block;
    status = ntk_preprocess_read_before(p->before, train, first, count, records);
    if (status == NTK_OK)
      cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, (int)d, (int)count, 1 / (double)train->count, records, (int)d,
                  1, moments, (int)d);
  }
  free(records);
  return status;
}

/* The ridge that C gets; NTK_ERROR_DATA for records that are all zero or too large. */
static ntk_status choose_ridge(const ntk_preprocess_choice *choice, const double *moments, int64_t d, double *ridge) {
  double trace = 0;
  for (int64_t i = 0; i < d; i++) trace += moments[i * (d + 1)];
  *ridge = choice->relative ? choice->eps * trace / (double)d : choice->eps;
  if (isfinite(trace) && *ridge > 0 && isfinite(*ridge)) return NTK_OK;
  return ntk_fail(NTK_ERROR_DATA, "zca cannot be fitted to these records: they are all 0, too large or not finite");
}

/* Replaces C (its lower triangle) by W, symmetric to the last bit. */
static ntk_status take_root(double **matrix, int64_t d, double ridge) {
  double *eigenvalues = numbers(1, d), *root = NULL;
  if (!eigenvalues) return no_memory(d);
  ntk_status status = ntk_eigenvectors(d, matrix, eigenvalues, true);
  if (status == NTK_ERROR_MEMORY) status = no_memory(d);
  if (status == NTK_ERROR_NUMERIC)
    status = ntk_fail(status, "the eigenvalues for zca did not converge: use another eps");
  if (status == NTK_OK && !(root = numbers(d, d))) status = no_memory(d);
  if (status == NTK_OK) {
    for (int64_t k = 0; k < d; k++) /* W = SUM_k v_k v_k^T / sqrt(e_k + eps) */
      cblas_dscal((int)d, 1 / sqrt(sqrt(fmax(eigenvalues[k], 0) + ridge)), *matrix + k * d, 1);
    cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, (int)d, (int)d, 1, *matrix, (int)d, 0, root, (int)d);
    for (int64_t i = 0; i < d; i++)
      for (int64_t j = 0; j < i; j++) root[j * d + i] = root[i * d + j];
    free(*matrix);
    *matrix = root;
  }
  free(eigenvalues);
  return status;
}

ntk_status ntk_zca_fit(ntk_preprocess *p, const ntk_dataset *train, int64_t block) {
  const int64_t d = train->source.values;
  double ridge;
  if (d > MOST_VALUES)
    return ntk_fail(NTK_ERROR_ARGUMENT,
                    "zca of records of %lld values is impossible: it takes up to %d; use smaller ones", (long long)d,
                    MOST_VALUES);
  if (!(p->array = numbers(d, d))) return no_memory(d);
  ntk_blas_threads_push(1); /* so that the numbers do not depend on the machine's cores */
  ntk_status status = sum_moments(p, train, block ? block : FIT_BLOCK, p->array);
  if (status == NTK_OK) status = choose_ridge(&p->choice, p->array, d, &ridge);
  if (status == NTK_OK) status = take_root(&p->array, d, ridge);
  ntk_blas_threads_pop();
  return status;
}

ntk_status ntk_zca_operand(ntk_preprocess *p) {
  int64_t sizes[4];
  ntk_preprocess_array_sizes(p, sizes);
  const int64_t d = sizes[0], stride = padded(d);
  p->operand = p->array;
  if (stride == d) return NTK_OK;
  if (!(p->operand = numbers(d, stride))) return no_memory(d);
  for (int64_t i = 0; i < d; i++) memcpy(p->operand + i * stride, p->array + i * d, (size_t)d * sizeof(double));
  return NTK_OK;
}

ntk_status ntk_zca_read(const ntk_preprocess *p, const ntk_dataset *dataset, int64_t first, int64_t count,
                        double *out) {
  const int64_t d = dataset->source.values, stride = padded(d);
  double *records = numbers(READ, d + stride), *products = records + READ * d;
  ntk_status status = records ? NTK_OK : ntk_fail(NTK_ERROR_MEMORY, "no memory to preprocess records");
  ntk_blas_threads_push(1);
  for (int64_t done = 0; done < count && status == NTK_OK; done += READ) {
    const int64_t some = count - done < READ ? count - done : READ;
    status = ntk_preprocess_read_before(p->before, dataset, first + done, some, records);
    if (status != NTK_OK) break;
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, READ, (int)stride, (int)d, 1, records, (int)d, p->operand,
                (int)stride, 0, products, (int)stride);
    for (int64_t i = 0; i < some; i++) memcpy(out + (done + i) * d, products + i * stride, (size_t)d * sizeof(double));
  }
  ntk_blas_threads_pop();
  free(records);
  return status;
}
