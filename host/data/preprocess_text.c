/* The text of a preprocessing: "none", "unit", "image", "standard channels=3 mean=a,b,c std=d,e,f" ("features" for
 * vectors), or, where there is an array, "zca(eps=0.0001,before=image) shape=3x32x32 train=HASH values=CHECKSUM", with
 * the standard text of what is done before at its end if that is it. */
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/data/preprocess.h"
#include "host/status.h"

static void write_numbers(FILE *out, const char *name, const double *numbers, int64_t count) {
  fputs(name, out);
  for (int64_t i = 0; i < count; i++) fprintf(out, i ? ",%.17g" : "%.17g", numbers[i]);
}

static ntk_status no_memory(void) { return ntk_fail(NTK_ERROR_MEMORY, "no memory for the text of a preprocessing"); }

/* What follows the choice where there is an array. */
static void write_fitted(FILE *out, const ntk_preprocess *p) {
  fprintf(out, " shape=%lld", (long long)p->shape.channels);
  if (p->shape.height) fprintf(out, "x%lldx%lld", (long long)p->shape.height, (long long)p->shape.width);
  fprintf(out, " train=%s values=%s", p->train, p->checksum);
  if (p->before->mode == NTK_PREPROCESS_STANDARD) fprintf(out, " %s", p->before->text);
}

ntk_status ntk_preprocess_write_text(ntk_preprocess *p) {
  size_t size;
  char *text = NULL, *choice = NULL;
  if (ntk_preprocess_has_array(p->mode)) NTK_TRY(ntk_preprocess_choice_text(&p->choice, &choice));
  FILE *out = open_memstream(&text, &size);
  locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  if (out && plain) {
    locale_t before = uselocale(plain); /* of this thread only: '.' whatever the program's locale is */
    fputs(choice ? choice : ntk_preprocess_mode_name(p->mode), out);
    if (choice) write_fitted(out, p);
    if (p->mode == NTK_PREPROCESS_STANDARD) {
      fprintf(out, p->vectors ? " features=%lld" : " channels=%lld", (long long)p->channels);
      write_numbers(out, " mean=", p->mean, p->channels);
      write_numbers(out, " std=", p->deviation, p->channels);
    }
    uselocale(before);
  }
  int failed = !out || !plain || ferror(out);
  if (out) failed |= fclose(out);
  if (plain) freelocale(plain);
  free(choice);
  if (failed || !text) {
    free(text);
    return no_memory();
  }
  free(p->text);
  p->text = text;
  return NTK_OK;
}

static ntk_status refuse(const char *text, const char *why) {
  return ntk_fail(NTK_ERROR_ARGUMENT,
                  "\"%.200s\" is not a preprocessing: %s; use none, unit, image or the text that a fit wrote (standard "
                  "channels=...)",
                  text, why);
}

static ntk_status parse_numbers(const char *text, const char **at, locale_t plain, int64_t count, double *numbers) {
  for (int64_t i = 0; i < count; i++) {
    if (i > 0 && *(*at)++ != ',') return refuse(text, "it has too few numbers");
    size_t length = strspn(*at, "+-.0123456789e");
    char *end;
    numbers[i] = strtod_l(*at, &end, plain);
    if (length == 0 || end != *at + length) return refuse(text, "a number is malformed");
    if (!isfinite(numbers[i])) return refuse(text, "a number is too large");
    *at = end;
  }
  return NTK_OK;
}

static ntk_status parse_values(const char *text, const char *at, locale_t plain, ntk_preprocess *made) {
  if (strncmp(at, " mean=", 6) != 0) return refuse(text, "\" mean=\" is missing");
  at += 6;
  NTK_TRY(parse_numbers(text, &at, plain, made->channels, made->mean));
  if (strncmp(at, " std=", 5) != 0) return refuse(text, "\" std=\" is missing after the means");
  at += 5;
  NTK_TRY(parse_numbers(text, &at, plain, made->channels, made->deviation));
  if (*at) return refuse(text, "something follows its last number");
  for (int64_t c = 0; c < made->channels; c++)
    if (!(made->deviation[c] > 0)) return refuse(text, "a standard deviation is not positive");
  return ntk_preprocess_write_text(made);
}

static ntk_status parse_standard(const char *text, ntk_preprocess **out) {
  const char *at = text + strlen("standard ");
  bool vectors = strncmp(at, "features=", 9) == 0;
  if (!vectors && strncmp(at, "channels=", 9) != 0) return refuse(text, "channels= or features= is missing");
  at += 9;
  char *end;
  errno = 0;
  long long channels = strtoll(at, &end, 10);
  /* A number takes two bytes at least, which bounds the memory that a wrong count could ask for. */
  if (*at < '1' || *at > '9' || errno || (size_t)channels > strlen(end) / 2)
    return refuse(text, "the number of channels does not match its numbers");
  locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  if (!plain) return no_memory();
  ntk_preprocess *made;
  ntk_status status = ntk_preprocess_create(NTK_PREPROCESS_STANDARD, vectors, channels, &made);
  if (status == NTK_OK) {
    status = parse_values(text, end, plain, made);
    if (status == NTK_OK)
      *out = made;
    else
      ntk_preprocess_free(made);
  }
  freelocale(plain);
  return status;
}

static bool is_choice_with_array(const char *text) {
  const char *end;
  ntk_preprocess_choice choice;
  return ntk_preprocess_choice_parse(text, &end, &choice) == NTK_OK && ntk_preprocess_has_array(choice.mode);
}

ntk_status ntk_preprocess_parse(const char *text, ntk_preprocess **out) {
  if (!text || !out)
    return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_preprocess_parse needs a text and a place for the result");
  if (strncmp(text, "standard ", 9) == 0) return parse_standard(text, out);
  ntk_preprocess_mode mode;
  if (strcmp(text, "none") == 0)
    mode = NTK_PREPROCESS_NONE;
  else if (strcmp(text, "unit") == 0)
    mode = NTK_PREPROCESS_UNIT;
  else if (strcmp(text, "image") == 0)
    mode = NTK_PREPROCESS_IMAGE;
  else if (is_choice_with_array(text))
    return refuse(text, "its numbers are in a file, from which ntk_preprocess_load reads it");
  else
    return refuse(text, "it is none of none, standard, unit and image");
  ntk_preprocess *made;
  NTK_TRY(ntk_preprocess_create(mode, false, 0, &made));
  ntk_status status = ntk_preprocess_write_text(made);
  if (status == NTK_OK)
    *out = made;
  else
    ntk_preprocess_free(made);
  return status;
}

/* ---- with an array ---- */

static ntk_status refuse_fitted(const char *text, const char *why) {
  return ntk_fail(NTK_ERROR_CORRUPT, "\"%.200s\" is not what a fit wrote: %s; restore the file or fit it again", text,
                  why);
}

static bool parse_hash(const char **at, const char *name, char hash[33]) {
  const size_t length = strlen(name);
  if (strncmp(*at, name, length) != 0 || strspn(*at + length, "0123456789abcdef") != 32) return false;
  memcpy(hash, *at + length, 32);
  hash[32] = '\0';
  *at += length + 32;
  return true;
}

static bool parse_shape(const char **at, ntk_shape *shape) {
  int64_t sizes[3] = {0};
  if (strncmp(*at, " shape=", 7) != 0) return false;
  *at += 6; /* what stands before the first number */
  for (int k = 0; k < 3; k++) {
    char *end;
    errno = 0;
    sizes[k] = strtoll(++*at, &end, 10);
    if (**at < '1' || **at > '9' || errno) return false;
    *at = end;
    if (*end != 'x') {
      *shape = (ntk_shape){sizes[0], sizes[1], sizes[2]};
      return k != 1;
    }
  }
  return false;
}

static ntk_status parse_fitted(const char *text, ntk_preprocess *made) {
  const char *at;
  if (ntk_preprocess_choice_parse(text, &at, &made->choice) != NTK_OK)
    return NTK_ERROR_CORRUPT; /* the message stands */
  made->mode = made->choice.mode;
  if (!ntk_preprocess_has_array(made->mode)) return refuse_fitted(text, "such a preprocessing has no file");
  if (!parse_shape(&at, &made->shape)) return refuse_fitted(text, "its shape= is missing or malformed");
  if (!parse_hash(&at, " train=", made->train)) return refuse_fitted(text, "its train= is missing or malformed");
  if (!parse_hash(&at, " values=", made->checksum)) return refuse_fitted(text, "its values= is missing or malformed");
  const bool numbers = made->choice.before == NTK_PREPROCESS_STANDARD;
  if (*at != (numbers ? ' ' : '\0')) return refuse_fitted(text, "it does not end where it should");
  if (ntk_preprocess_parse(numbers ? at + 1 : ntk_preprocess_mode_name(made->choice.before), &made->before) != NTK_OK)
    return NTK_ERROR_CORRUPT;
  const bool vectors = made->shape.height == 0;
  if (numbers && (made->before->mode != NTK_PREPROCESS_STANDARD || made->before->vectors != vectors ||
                  made->before->channels != made->shape.channels))
    return refuse_fitted(text, "its means do not match its shape");
  return ntk_preprocess_write_text(made);
}

ntk_status ntk_preprocess_parse_fitted(const char *text, ntk_preprocess **out) {
  ntk_preprocess *made;
  NTK_TRY(ntk_preprocess_create(NTK_PREPROCESS_NONE, false, 0, &made));
  ntk_status status = parse_fitted(text, made);
  if (status == NTK_OK)
    *out = made;
  else
    ntk_preprocess_free(made);
  return status;
}
