/* Prints its words, and what its library says. */
#include <stdio.h>
#include <stdlib.h>

int main(int count, char **words) {
  char line[256];
  char path[256];
  for (int i = 0; i < count; i++) printf("%s ", words[i]);
  snprintf(path, sizeof path, "%s/deep/components", getenv("TINY_HOME"));
  FILE *library = fopen(path, "r");
  if (library == NULL || fgets(line, sizeof line, library) == NULL) return 1;
  printf("%s", line);
  return 0;
}
