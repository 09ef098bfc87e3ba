/*
 * Reads numbers from a file and adds them up, with little before and after it: every site of it can be compared.
 * Built for WASI by tools/compile-c.ts, with lines.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static double table[16];
static char text[256];
static char line[32];

__attribute__((noinline)) static int load(const char *path) {
  int file = open(path, O_RDONLY);
  if (file < 0) exit(3);
  int length = read(file, text, sizeof text - 1);
  close(file);
  return length;
}

__attribute__((noinline)) static int parse(int length) {
  int count = 0;
  for (int at = 0; at < length; at++) {
    if (text[at] == '\n') count++;
    else table[count] = table[count] * 10 + (text[at] - '0');
  }
  return count;
}

int main(int count, char **words) {
  int rows = parse(load(words[1]));
  double sum = 0;
  for (int round = 0; round < 20; round++)
    for (int row = 0; row < rows; row++) sum = sum * 0.5 + table[row] * round;
  for (int at = 0; at < 8; at++) line[at] = '0' + ((long)sum >> (3 * at)) % 8;
  line[8] = '\n';
  write(1, line, 9);
  return count > 2 ? atoi(words[2]) : 0;
}
