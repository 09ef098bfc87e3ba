/*
 * What LLVM's runtime for profiles does, which is not there for WASI: keeps what the counters of a module say.
 *
 * Linked into the module of the component `counted` alone, by which tools/python-profile.ts makes profile.xz. At the end
 * of the program it writes /counts, in lines:
 *
 *     n NAMES                              names of functions as LLVM keeps them, in hexadecimal
 *     f NAME HASH CALLS COPIES COUNTS…     a function, by the digest of its name: how many indirect calls and operations
 *                                          on memory it has, and what its counters say
 *     c SITE NAME COUNT [NAME COUNT…]      what the SITEth indirect call of the function before called, 0 for another
 *     m SITE SIZE COUNT [SIZE COUNT…]      how many bytes its SITEth operation on memory was for
 *
 * The structures are those of LLVM 19: llvm/include/llvm/ProfileData/InstrProfData.inc.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define FUNCTIONS_MAX (1 << 16)
#define UNITS_MAX (1 << 12)
#define SITES_MAX (1 << 16)
/* Values that are told apart at a site. */
#define VALUES_MAX 8

struct Value {
  uint32_t value;
  uint64_t count;
};

struct Site {
  struct Value values[VALUES_MAX];
  uint64_t others;
};

struct Function {
  uint64_t name;
  uint64_t hash;
  int32_t counters;
  int32_t bitmap;
  uint32_t function;
  /* LLVM's own lists of values; here the sites of this function. */
  struct Site *sites;
  uint32_t counterCount;
  /* Of indirect calls, sizes of memory operations, virtual tables. */
  uint16_t siteCount[3];
  uint32_t bitmapBytes;
};

/* Tells the compiler's output that somebody is there. */
int __llvm_profile_runtime;

static struct Function *functions[FUNCTIONS_MAX];
static unsigned functionCount;
static struct {
  const unsigned char *at;
  uint32_t length;
} names[UNITS_MAX];
static unsigned nameCount;
static struct Site sites[SITES_MAX];
static unsigned siteCount;

static uint64_t nameOf(uint32_t function) {
  if (function != 0)
    for (unsigned i = 0; i < functionCount; i++)
      if (functions[i]->function == function) return functions[i]->name;
  return 0;
}

static void writeSites(FILE *file, const struct Function *function) {
  const uint32_t calls = function->siteCount[0];
  for (uint32_t k = 0; k < calls + function->siteCount[1]; k++) {
    const struct Site *site = &function->sites[k];
    if (site->values[0].count == 0) continue;
    fprintf(file, k < calls ? "c %u" : "m %u", k < calls ? k : k - calls);
    for (unsigned i = 0; i < VALUES_MAX && site->values[i].count > 0; i++) {
      const struct Value *value = &site->values[i];
      if (k < calls) fprintf(file, " %016llx %llu", nameOf(value->value), value->count);
      else fprintf(file, " %u %llu", value->value, value->count);
    }
    if (k < calls && site->others > 0) fprintf(file, " %016llx %llu", 0ull, site->others);
    fputc('\n', file);
  }
}

static void writeCounts(void) {
  FILE *file = fopen("/counts", "w");
  if (file == NULL) return;
  for (unsigned i = 0; i < nameCount; i++) {
    fputs("n ", file);
    for (uint32_t k = 0; k < names[i].length; k++) fprintf(file, "%02x", names[i].at[k]);
    fputc('\n', file);
  }
  for (unsigned i = 0; i < functionCount; i++) {
    const struct Function *function = functions[i];
    const uint64_t *counts = (const uint64_t *)((const char *)function + function->counters);
    fprintf(file, "f %016llx %llu %u %u", function->name, function->hash, function->siteCount[0], function->siteCount[1]);
    for (uint32_t k = 0; k < function->counterCount; k++) fprintf(file, " %llu", counts[k]);
    fputc('\n', file);
    if (function->sites != NULL) writeSites(file, function);
  }
  fclose(file);
}

/* For each function, before the program begins. */
void __llvm_profile_register_function(void *data) {
  if (functionCount == 0) atexit(writeCounts);
  if (functionCount == FUNCTIONS_MAX) abort();
  functions[functionCount] = data;
  functions[functionCount++]->sites = NULL;
}

/* For each unit that was compiled. */
void __llvm_profile_register_names_function(void *at, uint64_t length) {
  if (nameCount == UNITS_MAX) abort();
  names[nameCount].at = at;
  names[nameCount++].length = (uint32_t)length;
}

/* Sites are numbered over all kinds: the indirect calls first. */
static void count(uint32_t value, struct Function *function, uint32_t index) {
  const uint32_t total = function->siteCount[0] + function->siteCount[1];
  if (index >= total) abort();
  if (function->sites == NULL) {
    if (siteCount + total > SITES_MAX) abort();
    function->sites = &sites[siteCount];
    siteCount += total;
  }
  struct Site *site = &function->sites[index];
  for (unsigned i = 0; i < VALUES_MAX; i++) {
    struct Value *known = &site->values[i];
    if (known->count > 0 && known->value != value) continue;
    known->value = value;
    known->count++;
    return;
  }
  site->others++;
}

/* At each indirect call. */
void __llvm_profile_instrument_target(uint64_t target, void *data, uint32_t index) {
  count((uint32_t)target, data, index);
}

/* At each operation on memory whose size is not known. From 9 bytes on, what is no power of two stands for all up to the next one. */
void __llvm_profile_instrument_memop(uint64_t size, void *data, uint32_t index) {
  if (size > 512) size = 513;
  else if (size > 8 && (size & (size - 1)) != 0) size = (1ull << (63 - __builtin_clzll(size))) + 1;
  count((uint32_t)size, data, index);
}
