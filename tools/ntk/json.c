#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/ntk/cli.h"

cli_json cli_json_open(void) {
  cli_json json = {json_object(), false};
  json.failed = json.object == NULL;
  return json;
}

void cli_json_close(cli_json *json) {
  json_decref(json->object);
  json->object = NULL;
}

static void set(cli_json *json, const char *key, json_t *value) {
  if (json_object_set_new(json->object, key, value) != 0) json->failed = true;
}

void cli_json_text(cli_json *json, const char *key, const char *value) {
  json_t *text = value ? json_string(value) : json_null();
  if (!text) { /* not UTF-8, e.g. in a path: keep the ASCII part readable */
    char *copy = strdup(value);
    for (char *c = copy; c && *c; ++c) {
      if ((unsigned char)*c >= 0x80) *c = '?';
    }
    text = json_string(copy);
    free(copy);
  }
  set(json, key, text);
}

void cli_json_real(cli_json *json, const char *key, double value) {
  set(json, key, isfinite(value) ? json_real(value) : json_null());
}

void cli_json_integer(cli_json *json, const char *key, int64_t value) { set(json, key, json_integer(value)); }

void cli_json_bool(cli_json *json, const char *key, bool value) { set(json, key, json_boolean(value)); }

void cli_json_shape(cli_json *json, const char *key, ntk_shape shape) {
  json_t *list = json_array();
  const int64_t sizes[] = {shape.channels, shape.height, shape.width};
  for (int i = 0; i < (shape.height ? 3 : 1); ++i) {
    if (json_array_append_new(list, json_integer(sizes[i])) != 0) json->failed = true;
  }
  set(json, key, list);
}

void cli_json_object(cli_json *json, const char *key, cli_json *child) {
  json->failed |= child->failed;
  set(json, key, child->object);
  child->object = NULL;
}

void cli_json_list(cli_json *json, const char *key) { set(json, key, json_array()); }

void cli_json_append(cli_json *json, const char *key, cli_json *child) {
  json->failed |= child->failed;
  if (json_array_append_new(json_object_get(json->object, key), child->object) != 0) json->failed = true;
  child->object = NULL;
}

static char *dump(const cli_json *json, size_t flags) {
  return json->failed ? NULL : json_dumps(json->object, flags | JSON_REAL_PRECISION(17));
}

static int fail_memory(void) {
  return cli_fail(CLI_EXIT_STATUS + NTK_ERROR_MEMORY, "no memory is left to write the report");
}

int cli_json_print(const cli_json *json) {
  char *text = dump(json, JSON_COMPACT);
  if (!text) return fail_memory();
  puts(text); /* main checks the stream */
  free(text);
  return CLI_EXIT_OK;
}

static bool write_all(int file, const char *text, size_t length) {
  while (length > 0) {
    ssize_t written = write(file, text, length);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text += written;
    length -= (size_t)written;
  }
  return true;
}

/* Through a temporary file, so that a report is never half written. */
static bool replace(const char *path, const char *temporary, const char *text) {
  int file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) return false;
  bool fine = write_all(file, text, strlen(text)) && write_all(file, "\n", 1) && fsync(file) == 0;
  int reason = errno;
  if (close(file) != 0 && fine) {
    fine = false;
    reason = errno;
  }
  if (fine && rename(temporary, path) == 0) return true;
  if (fine) reason = errno;
  unlink(temporary);
  errno = reason;
  return false;
}

int cli_json_write(const cli_json *json, const char *path) {
  char *text = dump(json, JSON_INDENT(2));
  char *temporary = NULL;
  if (!text || asprintf(&temporary, "%s.tmp", path) < 0) {
    free(text);
    return fail_memory();
  }
  int code = CLI_EXIT_OK;
  if (!replace(path, temporary, text)) {
    code = cli_fail(CLI_EXIT_STATUS + NTK_ERROR_IO, "cannot write %s: %s", path, strerror(errno));
  }
  free(temporary);
  free(text);
  return code;
}
