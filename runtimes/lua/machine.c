/* Temporary files, which wasi-libc does not have: in the working folder, for there is no other place that can be written to. */
#include <unistd.h>

/** @returns 0, or 1 when there is no such name. */
int machine_temporary_name(char *name, size_t size) {
  static unsigned count;
  while (count < 1000000) {
    snprintf(name, size, "lua_%06u", ++count);
    if (access(name, F_OK) != 0) return 0;
  }
  return 1;
}

/** It has no name any more when it is there, so it is no output of the run. */
FILE *machine_temporary_file(void) {
  char name[LUA_TMPNAMBUFSIZE];
  if (machine_temporary_name(name, sizeof name) != 0) return NULL;
  FILE *file = fopen(name, "w+x");
  if (file != NULL) unlink(name);
  return file;
}
