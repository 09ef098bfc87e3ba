/* Quicksort, heapsort and the library's qsort over random integers. Argument: rounds. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT 300000

static int compare(const void *a, const void *b) {
  int x = *(const int *)a, y = *(const int *)b;
  return x < y ? -1 : x > y;
}

static void sift_down(int *a, int root, int end) {
  int value = a[root];
  for (;;) {
    int child = 2 * root + 1;
    if (child >= end) break;
    if (child + 1 < end && a[child] < a[child + 1]) child++;
    if (a[child] <= value) break;
    a[root] = a[child];
    root = child;
  }
  a[root] = value;
}

static void heapsort(int *a, int n) {
  for (int start = n / 2 - 1; start >= 0; start--) sift_down(a, start, n);
  for (int end = n - 1; end > 0; end--) {
    int value = a[end];
    a[end] = a[0];
    a[0] = value;
    sift_down(a, 0, end);
  }
}

static void quicksort(int *a, int low, int high) {
  while (low < high) {
    int pivot = a[(low + high) >> 1], i = low, j = high;
    while (i <= j) {
      while (a[i] < pivot) i++;
      while (a[j] > pivot) j--;
      if (i <= j) {
        int swapped = a[i];
        a[i++] = a[j];
        a[j--] = swapped;
      }
    }
    if (j - low < high - i) {
      quicksort(a, low, j);
      low = i;
    } else {
      quicksort(a, i, high);
      high = j;
    }
  }
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 3;
  int *a = malloc(COUNT * sizeof *a);
  uint32_t seed = 1, sum = 0;
  for (int r = 0; r < rounds; r++) {
    for (int kind = 0; kind < 3; kind++) {
      for (int i = 0; i < COUNT; i++) {
        seed ^= seed << 13, seed ^= seed >> 17, seed ^= seed << 5;
        a[i] = seed >> 2;
      }
      if (kind == 0) quicksort(a, 0, COUNT - 1);
      if (kind == 1) heapsort(a, COUNT);
      if (kind == 2) qsort(a, COUNT / 4, sizeof *a, compare);
      for (int i = 0; i < COUNT; i += 1000) sum = sum * 31 + a[i];
    }
    printf("round %d %u\n", r, sum);
    fflush(stdout);
  }
}
