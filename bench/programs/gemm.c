/* Dense matrix product, C = C/2 + 1.5 A B, as PolyBench's gemm. Argument: rounds. */
#include <stdio.h>
#include <stdlib.h>

#define N 560
static double a[N][N], b[N][N], c[N][N];

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 2;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      a[i][j] = (double)((i * j + 1) % N) / N;
      b[i][j] = (double)((i * (j + 2)) % N) / N;
      c[i][j] = (double)((i * j + 3) % N) / N;
    }
  for (int r = 0; r < rounds; r++) {
    for (int i = 0; i < N; i++) {
      for (int j = 0; j < N; j++) c[i][j] *= 0.5;
      for (int k = 0; k < N; k++)
        for (int j = 0; j < N; j++) c[i][j] += 1.5 * a[i][k] * b[k][j];
    }
    double sum = 0;
    for (int i = 0; i < N; i++)
      for (int j = 0; j < N; j++) sum += c[i][j];
    printf("round %d %.17g\n", r, sum);
    fflush(stdout);
  }
}
