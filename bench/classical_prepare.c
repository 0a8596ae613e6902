/* The tables of one image for the classical method (classical.h); not timed, so exact and simple. */
#include <math.h>
#include <string.h>

#include "bench/classical.h"

enum { N = CLASSICAL_SIDE };

/* Mean over the filter's nine taps, zeros outside. */
static void average(double (*v)[N]) {
  double out[N][N];
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      out[i][j] = 0;
      for (int a = i > 0 ? i - 1 : 0; a <= i + 1 && a < N; a++)
        for (int b = j > 0 ? j - 1 : 0; b <= j + 1 && b < N; b++) out[i][j] += v[a][b] / 9;
    }
  memcpy(v, out, sizeof out);
}

void classical_prepare(const double *pixels, int layers, classical_image *out) {
  double v[N][N] = {{0}}; /* S_xx[i,j,i,j], which a ReLU keeps */
  for (int c = 0; c < CLASSICAL_CHANNELS; c++)
    for (int i = 0; i < N; i++)
      for (int j = 0; j < N; j++) {
        double pixel = pixels[(c * N + i) * N + j];
        out->pixels[c][i][j] = (float)pixel;
        v[i][j] += pixel * pixel / CLASSICAL_CHANNELS;
      }
  for (int l = 0; l < layers; l++) {
    average(v);
    for (int i = 0; i < N; i++)
      for (int j = 0; j < N; j++) {
        double norm = sqrt(v[i][j]);
        out->norms[l][i][j] = (float)norm;
        out->reciprocals[l][i][j] = norm > 0 ? (float)(1 / norm) : 0;
      }
  }
}
