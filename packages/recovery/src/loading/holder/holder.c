/*
 * The holder: what loading needs of Linux and Node has no call for. Namespaces and their root, a service in them with its
 * credentials, datagram sockets for sd_notify, files seen from inside. Each is a process of its own that a Node process
 * starts, and that ends when that one is gone. What each says: spec/loading.md §5.
 */
#include "common.h"
#include <linux/magic.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/vfs.h>

#define DATAGRAM_BYTES_MAX 4096
#define SERVICES_MAX 1000
#define FILE_BYTES_MAX (1 << 20)
#define WATCH_MS 20

void fail(int fd, const char *what) {
  dprintf(fd, "failed %d %s: %s\n", errno, what, strerror(errno));
  _exit(125);
}

void join(int report, const char *pid) {
  static const struct { const char *name; int type; } kinds[] = {
    {"pid", CLONE_NEWPID}, {"ipc", CLONE_NEWIPC}, {"uts", CLONE_NEWUTS}, {"mnt", CLONE_NEWNS}};
  int fds[4];
  if (strcmp(pid, "0") == 0) return;
  for (int i = 0; i < 4; i++) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/ns/%s", pid, kinds[i].name);
    fds[i] = open(path, O_RDONLY | O_CLOEXEC);
    if (fds[i] < 0) fail(report, path);
  }
  for (int i = 0; i < 4; i++) {
    if (setns(fds[i], kinds[i].type) != 0) fail(report, "setns");
    close(fds[i]);
  }
  if (chdir("/") != 0) fail(report, "chdir /");
}

int is_in_memory(int fd) {
  struct statfs fs;
  return fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

/* notify NS FOLDER NAME…: a socket for each name in the folder; prints each datagram as `NAME HEX`. */
int notify_main(int argc, char **argv) {
  static struct pollfd polled[SERVICES_MAX + 1];
  unsigned char datagram[DATAGRAM_BYTES_MAX];
  int count = argc - 2;
  if (count < 1 || count > SERVICES_MAX) return 2;
  join(1, argv[0]);
  if (chdir(argv[1]) != 0) fail(1, argv[1]);
  for (int i = 0; i < count; i++) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || strlen(argv[i + 2]) >= sizeof address.sun_path) fail(1, "socket");
    strcpy(address.sun_path, argv[i + 2]);
    unlink(address.sun_path);
    /* Services have users of their own. Who else writes there is in the same image. */
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || chmod(address.sun_path, 0666) != 0)
      fail(1, address.sun_path);
    polled[i] = (struct pollfd){.fd = fd, .events = POLLIN};
  }
  polled[count] = (struct pollfd){.fd = 0, .events = POLLIN};
  dprintf(1, "listening\n");
  for (;;) {
    if (poll(polled, count + 1, -1) < 0 && errno != EINTR) fail(1, "poll");
    /* Nothing is ever written there: it is the end of the one who started this. */
    if (polled[count].revents != 0) return 0;
    for (int i = 0; i < count; i++) {
      if (!(polled[i].revents & POLLIN)) continue;
      /* Descriptors that came along are closed by the kernel, for there is no room for them. A barrier is met by that. */
      ssize_t got = recv(polled[i].fd, datagram, sizeof datagram, MSG_DONTWAIT);
      if (got <= 0) continue;
      static char line[64 + 2 * DATAGRAM_BYTES_MAX + 2];
      int at = snprintf(line, 66, "%s ", argv[i + 2]);
      for (ssize_t j = 0; j < got; j++) at += sprintf(line + at, "%02x", datagram[j]);
      line[at++] = '\n';
      for (int done = 0, more; done < at; done += more)
        if ((more = write(1, line + done, at - done)) <= 0) return 0;
    }
  }
}

/* watch NS PATH: prints `watching`, then `there` as soon as the path exists and is another file, or was changed, since. */
int watch_main(int argc, char **argv) {
  struct stat before, now;
  struct pollfd parent = {.fd = 0, .events = POLLIN};
  if (argc != 2) return 2;
  join(1, argv[0]);
  int was = stat(argv[1], &before) == 0;
  dprintf(1, "watching\n");
  for (;;) {
    if (stat(argv[1], &now) == 0 &&
        (!was || now.st_ino != before.st_ino || now.st_dev != before.st_dev ||
         now.st_ctim.tv_sec != before.st_ctim.tv_sec || now.st_ctim.tv_nsec != before.st_ctim.tv_nsec)) {
      dprintf(1, "there\n");
      return 0;
    }
    if (poll(&parent, 1, WATCH_MS) > 0) return 0;
  }
}

/* read NS PATH: the file as the namespaces have it, at most 1 MiB, on standard output; 3 when there is none. */
int read_main(int argc, char **argv) {
  static char buffer[FILE_BYTES_MAX + 1];
  if (argc != 2) return 2;
  join(2, argv[0]);
  int fd = open(argv[1], O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return errno == ENOENT || errno == ENOTDIR ? 3 : (fail(2, argv[1]), 1);
  size_t length = 0;
  for (ssize_t got; (got = read(fd, buffer + length, sizeof buffer - length)) != 0; length += got)
    if (got < 0) fail(2, argv[1]);
  for (size_t done = 0; done < length;) {
    ssize_t more = write(1, buffer + done, length - done);
    if (more <= 0) return 1;
    done += more;
  }
  return 0;
}

int main(int argc, char **argv) {
  static const struct { const char *name; int (*main)(int, char **); } parts[] = {
    {"hold", hold_main}, {"bind", bind_main}, {"run", run_main}, {"notify", notify_main}, {"watch", watch_main}, {"read", read_main}};
  /* Reprise's own files are for nobody else; what is in an image is for its services, whoever they run as. */
  umask(022);
  for (size_t i = 0; argc > 1 && i < sizeof parts / sizeof *parts; i++)
    if (strcmp(argv[1], parts[i].name) == 0) return parts[i].main(argc - 2, argv + 2);
  dprintf(2, "usage: holder hold|bind|run|notify|watch|read …; Reprise starts it\n");
  return 2;
}
