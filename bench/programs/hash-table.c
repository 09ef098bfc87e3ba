/* Counts random keys in an open hash table much larger than any cache. Arguments: rounds of a million operations, megabytes. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 5;
  uint64_t entries = (uint64_t)(argc > 2 ? atoi(argv[2]) : 128) * 1048576 / 16, mask = entries - 1;
  uint64_t *table = calloc(entries, 16);
  if (!table) return puts("out of memory"), 1;
  uint64_t seed = 88172645463325252ull, sum = 0;
  uint64_t keys = entries / 2 < 3000000 ? entries / 2 : 3000000;
  for (int r = 0; r < rounds; r++) {
    for (int i = 0; i < 1000000; i++) {
      seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
      uint64_t key = seed % keys + 1, at = (key * 0x9E3779B97F4A7C15ull) >> 20 & mask;
      while (table[2 * at] && table[2 * at] != key) at = (at + 1) & mask;
      table[2 * at] = key;
      sum += ++table[2 * at + 1];
    }
    printf("round %d %llu\n", r, (unsigned long long)sum);
    fflush(stdout);
  }
}
