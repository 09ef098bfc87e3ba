/* Counts random keys in an open hash table much larger than any cache. Arguments: operations, megabytes. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  int operations = argc > 1 ? atoi(argv[1]) : 5000000;
  uint64_t entries = (uint64_t)(argc > 2 ? atoi(argv[2]) : 128) * 1048576 / 16, mask = entries - 1;
  uint64_t *table = calloc(entries, 16);
  if (!table) return puts("out of memory"), 1;
  uint64_t seed = 88172645463325252ull, sum = 0;
  for (int i = 0; i < operations; i++) {
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    uint64_t key = seed % 3000000 + 1, at = (key * 0x9E3779B97F4A7C15ull) >> 20 & mask;
    while (table[2 * at] && table[2 * at] != key) at = (at + 1) & mask;
    table[2 * at] = key;
    sum += ++table[2 * at + 1];
  }
  printf("%llu\n", (unsigned long long)sum);
}
