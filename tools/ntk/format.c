#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tools/ntk/cli.h"

double cli_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

cli_text cli_format_seconds(double seconds) {
  cli_text out;
  if (!(seconds >= 0)) {
    snprintf(out.text, sizeof out.text, "?");
  } else if (seconds < 0.01) {
    snprintf(out.text, sizeof out.text, "%.2g ms", 1e3 * seconds);
  } else if (seconds < 99.95) {
    snprintf(out.text, sizeof out.text, seconds < 9.995 ? "%.2f s" : "%.1f s", seconds);
  } else if (seconds < 3600) {
    long whole = lround(seconds);
    snprintf(out.text, sizeof out.text, "%ld min %02ld s", whole / 60, whole % 60);
  } else if (seconds < 48 * 3600.0) {
    long minutes = lround(seconds / 60);
    snprintf(out.text, sizeof out.text, "%ld h %02ld min", minutes / 60, minutes % 60);
  } else {
    snprintf(out.text, sizeof out.text, "%.1f days", seconds / 86400);
  }
  return out;
}

cli_text cli_format_bytes(double bytes) {
  static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
  cli_text out;
  size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < sizeof units / sizeof *units) {
    bytes /= 1024;
    ++unit;
  }
  snprintf(out.text, sizeof out.text, unit == 0 || bytes >= 99.95 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
  return out;
}

cli_text cli_format_count(int64_t count) {
  char digits[32];
  cli_text out;
  size_t used = 0;
  int length = snprintf(digits, sizeof digits, "%" PRId64, count);
  for (int i = 0; i < length; ++i) {
    out.text[used++] = digits[i];
    int left = length - 1 - i;
    if (left > 0 && left % 3 == 0 && digits[i] != '-') out.text[used++] = ',';
  }
  out.text[used] = '\0';
  return out;
}

cli_text cli_format_rate(double per_second) {
  cli_text out;
  if (!(per_second > 0)) {
    snprintf(out.text, sizeof out.text, "?");
  } else if (per_second < 100) {
    snprintf(out.text, sizeof out.text, "%.3g", per_second);
  } else if (per_second < 1e7) {
    out = cli_format_count((int64_t)(per_second + 0.5));
  } else {
    snprintf(out.text, sizeof out.text, "%.2e", per_second);
  }
  return out;
}

cli_text cli_format_shape(ntk_shape shape) {
  cli_text out;
  if (shape.height == 0) {
    snprintf(out.text, sizeof out.text, "%" PRId64, shape.channels);
  } else {
    snprintf(out.text, sizeof out.text, "%" PRId64 "x%" PRId64 "x%" PRId64, shape.channels, shape.height, shape.width);
  }
  return out;
}

cli_text cli_format_percent(double fraction) {
  cli_text out;
  if (isnan(fraction)) {
    snprintf(out.text, sizeof out.text, "-");
  } else {
    snprintf(out.text, sizeof out.text, "%.2f %%", 100 * fraction);
  }
  return out;
}
