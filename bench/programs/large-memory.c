/*
 * Writes to pages here and there in a large memory, with a little work for each. With `touch` every page is written first.
 *
 *     large-memory MIB ROUNDS WRITES [GROW-MIB [touch]]      WRITES in each round, which ends by growing
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGE 4096u

static uint32_t state = 1;

static uint32_t next(void) {
  state = state * 1664525u + 1013904223u;
  return state >> 4;
}

int main(int count, char **arguments) {
  if (count < 4) return 2;
  uint32_t mib = (uint32_t)atoi(arguments[1]);
  const int rounds = atoi(arguments[2]), writes = atoi(arguments[3]);
  const uint32_t growth = count > 4 ? (uint32_t)atoi(arguments[4]) : 0;
  const uint32_t first = (uint32_t)__builtin_wasm_memory_grow(0, mib * 16u);
  if (first == UINT32_MAX) return 3;
  uint8_t *memory = (uint8_t *)(uintptr_t)(first * 65536u);
  uint32_t sum = 0;
  if (count > 5)
    for (uint32_t page = 0; page < mib * 256u; page++) memory[page * PAGE] = 1;
  for (int round = 0; round < rounds; round++) {
    for (int i = 0; i < writes; i++) {
      const uint32_t page = next() % (mib * 256u);
      const uint32_t at = page * PAGE + next() % PAGE;
      for (int j = 0; j < 20; j++) sum = sum * 31u + memory[at] + (uint32_t)j;
      memory[at] = (uint8_t)sum;
    }
    if (growth > 0 && __builtin_wasm_memory_grow(0, growth * 16u) != -1) mib += growth;
  }
  printf("%u\n", sum);
  return 0;
}
