/*
 * A guest that does what its arguments say, in order: guest say hello write out.txt text exit 3
 * Built for WASI by tools/compile-c.ts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static volatile int sink;

static void fail(const char *what, const char *path) {
  fprintf(stderr, "guest: cannot %s %s\n", what, path);
  exit(1);
}

static void write_file(const char *path, const char *mode, const char *text) {
  FILE *file = fopen(path, mode);
  if (!file || fputs(text, file) < 0 || fclose(file)) fail("write", path);
}

static void read_file(const char *path) {
  FILE *file = fopen(path, "r");
  if (!file) fail("read", path);
  for (int byte; (byte = getc(file)) != EOF;) putchar(byte);
  fclose(file);
}

/* Pseudo-random bytes, so that nothing on the way can compress or repeat them unnoticed. */
static void fill(FILE *file, unsigned mebibytes) {
  static unsigned char chunk[1 << 16];
  unsigned state = 1;
  for (unsigned i = 0; i < mebibytes * 16; i++) {
    for (unsigned at = 0; at < sizeof chunk; at++) chunk[at] = (state = state * 1664525 + 1013904223) >> 24;
    fwrite(chunk, 1, sizeof chunk, file);
  }
}

static void spin(unsigned millions) {
  for (unsigned i = 0; i < millions; i++)
    for (unsigned at = 0; at < 1000000; at++) sink = sink + at;
}

__attribute__((noinline)) static int recurse(int depth) {
  sink = depth;
  return depth < 0 ? 0 : 1 + recurse(depth + 1) + sink;
}

int main(int count, char **words) {
  for (int at = 1; at < count; at++) {
    const char *verb = words[at];
#define IS(name) (strcmp(verb, name) == 0)
#define NEXT (at + 1 < count ? words[++at] : "")
    if (IS("say")) puts(NEXT);
    else if (IS("begin")) fputs(NEXT, stdout);
    else if (IS("warn")) fputs(NEXT, stderr);
    else if (IS("complain")) fprintf(stderr, "%s\n", NEXT);
    else if (IS("read")) read_file(NEXT);
    else if (IS("write")) { const char *path = NEXT; write_file(path, "w", NEXT); }
    else if (IS("append")) { const char *path = NEXT; write_file(path, "a", NEXT); }
    else if (IS("mkdir")) { const char *path = NEXT; if (mkdir(path, 0777)) fail("make", path); }
    else if (IS("remove")) { const char *path = NEXT; if (unlink(path)) fail("remove", path); }
    else if (IS("env")) { const char *value = getenv(NEXT); puts(value ? value : "(unset)"); }
    else if (IS("stdin")) for (int byte; (byte = getchar()) != EOF;) putchar(byte);
    else if (IS("time")) printf("%lld\n", (long long)time(NULL));
    else if (IS("random")) { unsigned char bytes[8]; getentropy(bytes, 8); for (int i = 0; i < 8; i++) printf("%02x", bytes[i]); puts(""); }
    else if (IS("print")) fill(stdout, atoi(NEXT));
    else if (IS("fill")) { FILE *file = fopen(NEXT, "w"); fill(file, atoi(NEXT)); fclose(file); }
    else if (IS("spin")) spin(atoi(NEXT));
    else if (IS("flush")) fflush(NULL);
    else if (IS("recurse")) sink = recurse(0);
    else if (IS("unreachable")) __builtin_trap();
    else if (IS("out-of-bounds")) sink = *(volatile int *)0xfffffff0;
    else if (IS("divide")) sink = at / sink;
    else if (IS("exhaust")) { size_t got = 0; for (char *volatile block; (block = malloc(1 << 20)); got++) block[0] = 1; printf("%u MiB\n", (unsigned)got); }
    else if (IS("abort")) abort();
    else if (IS("exit")) exit(atoi(NEXT));
    else fail("do", verb);
  }
  return 0;
}
