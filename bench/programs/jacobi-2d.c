/* Five-point stencil over two grids in turn, as PolyBench's jacobi-2d. Argument: rounds of sixteen steps. */
#include <stdio.h>
#include <stdlib.h>

#define N 1300
static double a[N][N], b[N][N];

static void step(double target[N][N], double source[N][N]) {
  for (int i = 1; i < N - 1; i++)
    for (int j = 1; j < N - 1; j++)
      target[i][j] = 0.2 * (source[i][j] + source[i][j - 1] + source[i][j + 1] + source[i + 1][j] + source[i - 1][j]);
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 8;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      a[i][j] = ((double)i * (j + 2) + 2) / N;
      b[i][j] = ((double)i * (j + 3) + 3) / N;
    }
  for (int r = 0; r < rounds; r++) {
    for (int t = 0; t < 16; t++) {
      step(b, a);
      step(a, b);
    }
    double sum = 0;
    for (int i = 0; i < N; i++)
      for (int j = 0; j < N; j++) sum += a[i][j];
    printf("round %d %.17g\n", r, sum);
    fflush(stdout);
  }
}
