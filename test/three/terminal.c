/* A character device in front of swtpm: a terminal that changes nothing, whose other end is its socket.
 *
 *   terminal SOCKET LINK      LINK becomes a link to the terminal */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void pass(int from, int to) {
  char bytes[4096];
  ssize_t length = read(from, bytes, sizeof bytes);
  if (length <= 0) exit(1);
  for (ssize_t done = 0; done < length;) {
    ssize_t written = write(to, bytes + done, length - done);
    if (written < 0) fail("write");
    done += written;
  }
}

int main(int count, char **words) {
  if (count != 3) return 2;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, words[1], sizeof address.sun_path - 1);
  int tpm = socket(AF_UNIX, SOCK_STREAM, 0);
  if (connect(tpm, (struct sockaddr *)&address, sizeof address) != 0) fail("connect");
  int master = posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) fail("terminal");
  const char *name = ptsname(master);
  /* Held open: a terminal that nobody has open hangs up. */
  int held = open(name, O_RDWR | O_NOCTTY);
  struct termios settings;
  if (held < 0 || tcgetattr(held, &settings) != 0) fail(name);
  cfmakeraw(&settings);
  if (tcsetattr(held, TCSANOW, &settings) != 0 || symlink(name, words[2]) != 0) fail(words[2]);
  struct pollfd ends[2] = {{.fd = master, .events = POLLIN}, {.fd = tpm, .events = POLLIN}};
  for (;;) {
    if (poll(ends, 2, -1) < 0) fail("poll");
    if (ends[0].revents) pass(master, tpm);
    if (ends[1].revents) pass(tpm, master);
  }
}
