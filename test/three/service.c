/* The two services of the guide, by the name that they are called: `postgres` listens at its port, `shop` says that it is
 * ready. Each writes what it was given into its volume or says it. Linked statically, for an image that has nothing else. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int postgres(void) {
  char path[512], key[256];
  snprintf(path, sizeof path, "%s/database-key", getenv("CREDENTIALS_DIRECTORY"));
  FILE *file = fopen(path, "r");
  if (file == NULL || fgets(key, sizeof key, file) == NULL) return 1;
  FILE *log = fopen("/srv/database/log", "a");
  if (log == NULL) return 1;
  fprintf(log, "opened with %zu characters, user %d\n", strlen(key), (int)getuid());
  fclose(log);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(5432)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int server = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(server, (struct sockaddr *)&address, sizeof address) != 0 || listen(server, 8) != 0) return 1;
  for (;;) close(accept(server, NULL, NULL));
}

static int shop(void) {
  const char *database = getenv("DATABASE");
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, getenv("NOTIFY_SOCKET"), sizeof address.sun_path - 1);
  if (database == NULL || strcmp(database, "localhost") != 0) return 1;
  int sender = socket(AF_UNIX, SOCK_DGRAM, 0);
  if (sendto(sender, "READY=1", 7, 0, (struct sockaddr *)&address, sizeof address) != 7) return 1;
  for (;;) pause();
}

int main(int count, char **words) {
  const char *name = strrchr(words[0], '/');
  (void)count;
  return strcmp(name == NULL ? words[0] : name + 1, "shop") == 0 ? shop() : postgres();
}
