/* Finds and tells the first difference between two identities. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/status.h"
#include "host/store/internal.h"

enum { VALUE_CHARACTERS = 600 };

typedef struct difference {
  char key[200]; /* e.g. data.hash or outputs[1] */
  size_t length;
  const json_t *stored, *wanted; /* NULL: not there */
} difference;

static void descend(difference *found, const char *separator, const char *key) {
  size_t room = sizeof found->key - found->length;
  int more = snprintf(found->key + found->length, room, "%s%s", separator, key);
  found->length += (size_t)more < room ? (size_t)more : room - 1;
}

/* Makes `found` describe the pair and says whether to look inside it. */
static bool enter(difference *found, const json_t *stored, const json_t *wanted) {
  found->stored = stored;
  found->wanted = wanted;
  if (json_is_object(stored) && json_is_object(wanted)) return true;
  return json_is_array(stored) && json_is_array(wanted) && json_array_size(stored) == json_array_size(wanted);
}

/* One step down towards the first difference; false when there is none below. */
static bool step(difference *found) {
  const json_t *stored = found->stored, *wanted = found->wanted;
  const char *dot = found->length ? "." : "", *key;
  json_t *item;
  if (json_is_array(stored)) {
    size_t index = 0;
    while (index < json_array_size(stored) && json_equal(json_array_get(stored, index), json_array_get(wanted, index)))
      index++;
    char number[32];
    snprintf(number, sizeof number, "[%zu]", index);
    descend(found, "", number);
    return enter(found, json_array_get(stored, index), json_array_get(wanted, index));
  }
  json_object_foreach((json_t *)wanted, key, item) {
    if (json_equal(json_object_get(stored, key), item)) continue;
    descend(found, dot, key);
    return enter(found, json_object_get(stored, key), item);
  }
  json_object_foreach((json_t *)stored, key, item) {
    if (json_object_get(wanted, key)) continue;
    descend(found, dot, key);
    return enter(found, item, NULL);
  }
  return false;
}

static void value_text(const json_t *value, char text[VALUE_CHARACTERS + 4]) {
  char *whole = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(17));
  snprintf(text, VALUE_CHARACTERS + 1, "%s", whole ? whole : "?");
  if (whole && strlen(whole) > VALUE_CHARACTERS) {
    size_t end = VALUE_CHARACTERS;
    while (end && ((unsigned char)whole[end] & 0xc0) == 0x80) end--; /* not in the middle of a UTF-8 character */
    strcpy(text + end, "...");
  }
  free(whole);
}

ntk_status ntk_store_manifest_compare(const char *path, const json_t *stored, const json_t *wanted) {
  difference found = {.key = ""};
  const json_t *one = json_object_get(stored, "identity"), *other = json_object_get(wanted, "identity");
  if (json_equal(one, other)) return NTK_OK;
  bool inside = enter(&found, one, other);
  while (inside) inside = step(&found);
  char was[VALUE_CHARACTERS + 4], is[VALUE_CHARACTERS + 4];
  value_text(found.stored, was);
  value_text(found.wanted, is);
  if (!found.stored)
    return ntk_fail(NTK_ERROR_MISMATCH, "%s was computed without %s, not with %s: choose another --out", path,
                    found.key, is);
  if (!found.wanted)
    return ntk_fail(NTK_ERROR_MISMATCH,
                    "%s was computed with %s %s, not without it: choose another --out or the same %s", path, found.key,
                    was, found.key);
  return ntk_fail(NTK_ERROR_MISMATCH, "%s was computed with %s %s, not %s: choose another --out or the same %s", path,
                  found.key, was, is, found.key);
}
