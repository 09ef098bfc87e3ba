/* Formats and prints many short lines: the C library's printf and many host calls. Arguments: rounds, lines a round. */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 8, lines = argc > 2 ? atoi(argv[2]) : 100000;
  unsigned seed = 1;
  for (int r = 0; r < rounds; r++) {
    for (int i = 0; i < lines; i++) {
      seed = seed * 1103515245 + 12345;
      printf("%d line %u value %.6f\n", i, seed, seed / 4294967296.0);
    }
    fflush(stdout);
    printf("round %d %u\n", r, seed);
    fflush(stdout);
  }
}
