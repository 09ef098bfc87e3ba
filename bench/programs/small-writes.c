/* Formats and prints many short lines: the C library's printf and many host calls. Argument: lines. */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  int lines = argc > 1 ? atoi(argv[1]) : 1000000;
  unsigned seed = 1;
  for (int i = 0; i < lines; i++) {
    seed = seed * 1103515245 + 12345;
    printf("%d line %u value %.6f\n", i, seed, seed / 4294967296.0);
  }
}
