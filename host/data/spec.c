#include "host/data/spec.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/status.h"

#define NPY_BETWEEN ".npy:" /* where the path of the inputs ends and that of the labels begins */

static const struct {
  const char *prefix;
  ntk_data_kind kind;
} sources[] = {{"fashion-mnist:", NTK_DATA_FASHION_MNIST}, {"cifar10:", NTK_DATA_CIFAR10}, {"npy:", NTK_DATA_NPY}};

typedef struct reader {
  const char *text, *at;
} reader;

static ntk_status refuse(const reader *r, const char *why) {
  return ntk_fail(NTK_ERROR_ARGUMENT, "data \"%.300s\", column %d: %s", r->text, (int)(r->at - r->text) + 1, why);
}

/* The end of the last `word` that the end of the text, a slice or a subset follows; NULL if there is none. Taking the
 * last one lets paths hold any of these characters. */
static const char *end_of_last(const char *from, const char *word) {
  const char *found = NULL;
  for (const char *at = from; (at = strstr(at, word)); at++) {
    char next = at[strlen(word)];
    if (next == '\0' || next == '[' || next == '~') found = at + strlen(word);
  }
  return found;
}

static ntk_status copy_text(const char *from, const char *to, char **out) {
  *out = strndup(from, (size_t)(to - from));
  return *out ? NTK_OK : ntk_fail(NTK_ERROR_MEMORY, "no memory for the name of a data set");
}

static ntk_status parse_split(reader *r, ntk_data_spec *spec) {
  if (strncmp(r->at, "train", 5) == 0 && !isalnum((unsigned char)r->at[5])) {
    r->at += 5;
    return NTK_OK;
  }
  if (strncmp(r->at, "test", 4) == 0 && !isalnum((unsigned char)r->at[4])) {
    spec->test = true;
    r->at += 4;
    return NTK_OK;
  }
  return refuse(r, "expected train or test");
}

static ntk_status parse_cifar(reader *r, ntk_data_spec *spec) {
  const char *train = end_of_last(r->at, ":train"), *test = end_of_last(r->at, ":test");
  if (!train && !test) return refuse(r, "expected cifar10:DIR:train or cifar10:DIR:test");
  spec->test = !train || (test && test > train);
  const char *end = spec->test ? test : train;
  const char *colon = end - (spec->test ? 5 : 6);
  if (colon <= r->at) return refuse(r, "the folder of cifar10:DIR:train is missing");
  NTK_TRY(copy_text(r->at, colon, &spec->path));
  r->at = end;
  return NTK_OK;
}

static ntk_status parse_npy(reader *r, ntk_data_spec *spec) {
  const char *end = end_of_last(r->at, ".npy");
  if (!end) return refuse(r, "expected npy:X.npy or npy:X.npy:y.npy (the names of the files must end in .npy)");
  const char *between = NULL;
  for (const char *at = r->at; (at = strstr(at, NPY_BETWEEN)) && at < end; at++) between = at;
  const char *inputs_end = between ? between + strlen(".npy") : end;
  NTK_TRY(copy_text(r->at, inputs_end, &spec->path));
  if (between) NTK_TRY(copy_text(inputs_end + 1, end, &spec->labels));
  r->at = end;
  return NTK_OK;
}

static ntk_status parse_integer(reader *r, int64_t *value) {
  const char *digits = r->at + (*r->at == '-');
  if (!isdigit((unsigned char)*digits)) return refuse(r, "expected a whole number");
  char *end;
  errno = 0;
  long long parsed = strtoll(r->at, &end, 10);
  if (errno == ERANGE) return refuse(r, "this number is too large");
  *value = parsed;
  r->at = end;
  return NTK_OK;
}

static ntk_status parse_slice(reader *r, ntk_data_spec *spec) {
  r->at++;
  if (*r->at != ':') {
    NTK_TRY(parse_integer(r, &spec->start));
    spec->has_start = true;
  }
  if (*r->at == ']') return refuse(r, "a slice has two ends: write [start:stop]; one record is [n:n+1]");
  if (*r->at != ':') return refuse(r, "expected ':' in the slice [start:stop] or [start:stop:step]");
  r->at++;
  if (*r->at != ':' && *r->at != ']') {
    NTK_TRY(parse_integer(r, &spec->stop));
    spec->has_stop = true;
  }
  if (*r->at == ':') {
    r->at++;
    if (*r->at != ']') {
      const char *number = r->at;
      NTK_TRY(parse_integer(r, &spec->step));
      if (spec->step <= 0) {
        r->at = number;
        return refuse(r, "the step of a slice must be at least 1");
      }
    }
  }
  if (*r->at != ']') return refuse(r, "expected ']' at the end of the slice [start:stop] or [start:stop:step]");
  r->at++;
  return NTK_OK;
}

static ntk_status parse_subset(reader *r, ntk_data_spec *spec) {
  const char *number = ++r->at;
  NTK_TRY(parse_integer(r, &spec->subset));
  if (spec->subset < 1) {
    r->at = number;
    return refuse(r, "the subset ~N needs N of at least 1");
  }
  if (*r->at != ':') return NTK_OK;
  r->at++;
  if (!isdigit((unsigned char)*r->at)) return refuse(r, "expected a seed, a whole number of at least 0, in ~N:SEED");
  char *end;
  errno = 0;
  spec->seed = strtoull(r->at, &end, 10);
  if (errno == ERANGE) return refuse(r, "this seed is too large");
  r->at = end;
  return NTK_OK;
}

ntk_status ntk_data_spec_parse(const char *text, ntk_data_spec *spec) {
  *spec = (ntk_data_spec){.step = 1};
  if (strnlen(text, NTK_DATA_TEXT_MAX + 1) > NTK_DATA_TEXT_MAX)
    return ntk_fail(NTK_ERROR_ARGUMENT, "a data text is longer than %d characters; use shorter paths",
                    NTK_DATA_TEXT_MAX);
  reader r = {text, text};
  size_t i = 0, count = sizeof sources / sizeof sources[0];
  while (i < count && strncmp(text, sources[i].prefix, strlen(sources[i].prefix)) != 0) i++;
  if (i == count)
    return refuse(&r,
                  "unknown source; known are fashion-mnist:train, fashion-mnist:test, cifar10:DIR:train, "
                  "cifar10:DIR:test, npy:X.npy and npy:X.npy:y.npy");
  spec->kind = sources[i].kind;
  r.at += strlen(sources[i].prefix);
  switch (spec->kind) {
    case NTK_DATA_FASHION_MNIST: NTK_TRY(parse_split(&r, spec)); break;
    case NTK_DATA_CIFAR10: NTK_TRY(parse_cifar(&r, spec)); break;
    case NTK_DATA_NPY: NTK_TRY(parse_npy(&r, spec)); break;
  }
  if (*r.at == '[') NTK_TRY(parse_slice(&r, spec));
  if (*r.at == '~') NTK_TRY(parse_subset(&r, spec));
  return *r.at ? refuse(&r, "expected a slice [start:stop], then a subset ~N or ~N:SEED, or the end") : NTK_OK;
}

/* Not realpath: a symbolic link may be there just to give a nameable path. Drops "./" and doubled slashes only, because
 * "x/.." is not nothing where x is a link. */
ntk_status ntk_path_absolute(char **path) {
  char *folder = NULL, *joined;
  if ((*path)[0] != '/' && !(folder = getcwd(NULL, 0)))
    return ntk_fail(errno == ENOMEM ? NTK_ERROR_MEMORY : NTK_ERROR_IO,
                    "cannot find the working directory: %m; give absolute paths");
  int length = asprintf(&joined, "%s/%s", folder ? folder : "", *path);
  free(folder);
  if (length < 0) return ntk_fail(NTK_ERROR_MEMORY, "no memory for the name of a data set");
  char *to = joined;
  for (const char *from = joined; *from;) {
    if (*from == '/' && from[1] == '/') {
      from++;
    } else if (*from == '/' && from[1] == '.' && (from[2] == '/' || from[2] == '\0')) {
      from += 2;
    } else {
      *to++ = *from++;
    }
  }
  if (to == joined) *to++ = '/';
  *to = '\0';
  free(*path);
  *path = joined;
  return NTK_OK;
}

ntk_status ntk_data_spec_absolute(ntk_data_spec *spec) {
  if (spec->path) NTK_TRY(ntk_path_absolute(&spec->path));
  if (spec->labels) NTK_TRY(ntk_path_absolute(&spec->labels));
  if (spec->kind != NTK_DATA_NPY) return NTK_OK;
  const char *last = spec->labels ? spec->labels : spec->path;
  if (strstr(last, NPY_BETWEEN))
    return ntk_fail(NTK_ERROR_ARGUMENT,
                    "the path %s holds \"" NPY_BETWEEN
                    "\", which separates inputs and labels; reach the file through a "
                    "symbolic link in another folder",
                    last);
  return NTK_OK;
}

static void write_selection(const ntk_data_spec *spec, FILE *out) {
  if (spec->has_start || spec->has_stop || spec->step != 1) {
    fputc('[', out);
    if (spec->has_start) fprintf(out, "%" PRId64, spec->start);
    fputc(':', out);
    if (spec->has_stop) fprintf(out, "%" PRId64, spec->stop);
    if (spec->step != 1) fprintf(out, ":%" PRId64, spec->step);
    fputc(']', out);
  }
  if (spec->subset) fprintf(out, "~%" PRId64, spec->subset);
  if (spec->subset && spec->seed) fprintf(out, ":%" PRIu64, spec->seed);
}

ntk_status ntk_data_spec_format(const ntk_data_spec *spec, char **text) {
  size_t size;
  char *buffer = NULL;
  FILE *out = open_memstream(&buffer, &size);
  if (!out) return ntk_fail(NTK_ERROR_MEMORY, "no memory for the name of a data set");
  const char *split = spec->test ? "test" : "train";
  switch (spec->kind) {
    case NTK_DATA_FASHION_MNIST: fprintf(out, "fashion-mnist:%s", split); break;
    case NTK_DATA_CIFAR10: fprintf(out, "cifar10:%s:%s", spec->path, split); break;
    case NTK_DATA_NPY:
      fprintf(out, "npy:%s%s%s", spec->path, spec->labels ? ":" : "", spec->labels ? spec->labels : "");
      break;
  }
  write_selection(spec, out);
  int failed = ferror(out);
  failed |= fclose(out);
  if (failed || !buffer) {
    free(buffer);
    return ntk_fail(NTK_ERROR_MEMORY, "no memory for the name of a data set");
  }
  *text = buffer;
  return NTK_OK;
}

void ntk_data_spec_clear(ntk_data_spec *spec) {
  free(spec->path);
  free(spec->labels);
  *spec = (ntk_data_spec){.step = 1};
}
