// Exceptions as clang makes them: destructors run on the way out, catch (...) throws again.
#include <stdint.h>
#include <stdio.h>

static uint32_t trace = 1;
static void note(uint32_t value) { trace = trace * 31 + value; }

static volatile int spins = 40;
static int work(int n) {
  int sum = 0;
  for (int i = 0; i < spins; i++) sum += i ^ n;
  return sum;
}

struct Guard {
  int id;
  explicit Guard(int id) : id(id) { note(id); }
  ~Guard() { note(1000 + id + work(id)); }
};

__attribute__((noinline)) static int descend(int n) {
  Guard guard(n);
  work(n);
  if (n == 0) throw 7;
  int below = descend(n - 1);
  return below + guard.id;
}

__attribute__((noinline)) static int attempt(int n) {
  Guard guard(100 + n);
  try {
    return descend(n);
  } catch (...) {
    note(work(n));
    if (n % 3 == 0) throw;
    note(5);
    return n;
  }
}

int main() {
  for (int n = 1; n < 8; n++) {
    try {
      note(attempt(n));
    } catch (...) {
      note(n + work(n));
    }
  }
  printf("%08x\n", (unsigned)trace);
  return 0;
}
