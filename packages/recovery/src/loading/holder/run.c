/*
 * run NS UID GID DIRECTORY CREDENTIALS -- COMMAND…
 *
 * Starts one service. Its environment is this process's; standard output and error are passed on. Standard input has its
 * credentials (u32 length and bytes of name, then of content, until the end), which become files of mode 0400 in the folder
 * CREDENTIALS (- when there are none); that folder's parent must be in memory. On descriptor 3 it says `started` or
 * `failed ERRNO WHAT`, and in the end `exited CODE` or `killed SIGNAL`. SIGTERM is passed on to all processes of the
 * service's group, SIGUSR1 kills them. When descriptor 3 is closed at the other end they are killed too.
 */
#include "common.h"
#include <arpa/inet.h>
#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>

#define REPORT 3
#define NAME_BYTES_MAX 255
#define CREDENTIAL_BYTES_MAX (1 << 20)

static int read_exactly(void *target, size_t length) {
  size_t got = 0;
  while (got < length) {
    ssize_t more = read(0, (char *)target + got, length - got);
    if (more < 0) fail(REPORT, "reading credentials");
    if (more == 0) break;
    got += more;
  }
  if (got != 0 && got != length) errno = EPROTO, fail(REPORT, "reading credentials");
  return got == length && length > 0;
}

/* All of it is read at once, for the other end waits until it is gone. */
struct credential { char name[NAME_BYTES_MAX + 1]; uint32_t length; unsigned char *bytes; struct credential *next; };

static struct credential *read_credentials(void) {
  struct credential *first = NULL;
  uint32_t length;
  while (read_exactly(&length, 4)) {
    struct credential *one = calloc(1, sizeof *one);
    if ((length = ntohl(length)) < 1 || length > NAME_BYTES_MAX || !one || !read_exactly(one->name, length) ||
        strchr(one->name, '/') || one->name[0] == '.' || !read_exactly(&length, 4))
      errno = EPROTO, fail(REPORT, "a credential's name");
    one->length = ntohl(length);
    if (one->length > CREDENTIAL_BYTES_MAX || !(one->bytes = malloc(one->length + 1))) errno = E2BIG, fail(REPORT, one->name);
    if (one->length > 0 && !read_exactly(one->bytes, one->length)) errno = EPROTO, fail(REPORT, one->name);
    one->next = first;
    first = one;
  }
  return first;
}

static void write_credentials(const char *folder, struct credential *all, uid_t uid, gid_t gid) {
  if (mkdir(folder, 0700) != 0) fail(REPORT, folder);
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) fail(REPORT, folder);
  if (!is_in_memory(fd)) errno = ENOTSUP, fail(REPORT, "the folder of credentials is not in memory (tmpfs, ramfs)");
  for (struct credential *one = all; one; one = one->next) {
    int file = openat(fd, one->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
    if (file < 0) fail(REPORT, one->name);
    for (uint32_t done = 0; done < one->length;) {
      ssize_t more = write(file, one->bytes + done, one->length - done);
      if (more < 0) fail(REPORT, one->name);
      done += more;
    }
    if (geteuid() == 0 && fchown(file, uid, gid) != 0) fail(REPORT, one->name);
    close(file);
    explicit_bzero(one->bytes, one->length);
  }
  if (fchmod(fd, 0500) != 0 || (geteuid() == 0 && fchown(fd, uid, gid) != 0)) fail(REPORT, folder);
  close(fd);
}

static _Noreturn void become(int report, uid_t uid, gid_t gid, const char *directory, char **command) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  for (int number = 1; number < 32; number++) signal(number, SIG_DFL);
  if (setsid() < 0) fail(report, "setsid");
  if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setgid(gid) != 0 || setuid(uid) != 0)) fail(report, "changing the user");
  if (chdir(directory) != 0) fail(report, directory);
  int nothing = open("/dev/null", O_RDONLY);
  if (nothing < 0 || dup2(nothing, 0) < 0) fail(report, "/dev/null");
  if (nothing > 0) close(nothing);
  execv(command[0], command);
  fail(report, command[0]);
}

/* Waits for the service; passes signals on. @returns its wait status. */
static int attend(pid_t child, int signals) {
  struct pollfd polled[2] = {{.fd = signals, .events = POLLIN}, {.fd = REPORT}};
  int status;
  for (;;) {
    for (pid_t ended; (ended = waitpid(-1, &status, WNOHANG)) > 0;)
      if (ended == child) {
        /* What it left behind of its group ends with it. */
        kill(-child, SIGKILL);
        return status;
      }
    if (poll(polled, 2, -1) < 0 && errno != EINTR) fail(REPORT, "poll");
    struct signalfd_siginfo info;
    if (polled[1].revents & (POLLHUP | POLLERR)) kill(-child, SIGKILL), polled[1].fd = -1;
    if (!(polled[0].revents & POLLIN) || read(signals, &info, sizeof info) != sizeof info) continue;
    if (info.ssi_signo == SIGTERM) kill(-child, SIGTERM);
    if (info.ssi_signo == SIGUSR1) kill(-child, SIGKILL);
  }
}

int run_main(int argc, char **argv) {
  if (argc < 7 || strcmp(argv[5], "--") != 0) return 2;
  uid_t uid = strtoul(argv[1], NULL, 10);
  gid_t gid = strtoul(argv[2], NULL, 10);
  sigset_t taken;
  sigemptyset(&taken);
  sigaddset(&taken, SIGTERM);
  sigaddset(&taken, SIGUSR1);
  sigaddset(&taken, SIGCHLD);
  sigprocmask(SIG_BLOCK, &taken, NULL);
  fcntl(REPORT, F_SETFD, FD_CLOEXEC);
  /* Of its memory, with credentials in it, nothing is dumped. */
  prctl(PR_SET_DUMPABLE, 0);
  int signals = signalfd(-1, &taken, SFD_CLOEXEC);
  struct credential *credentials = read_credentials();
  join(REPORT, argv[0]);
  if (strcmp(argv[4], "-") != 0) write_credentials(argv[4], credentials, uid, gid);
  int outcome[2];
  if (signals < 0 || pipe2(outcome, O_CLOEXEC) != 0) fail(REPORT, "pipe");
  pid_t child = fork();
  if (child < 0) fail(REPORT, "fork");
  if (child == 0) become(outcome[1], uid, gid, argv[3], argv + 6);
  close(outcome[1]);
  char why[512];
  ssize_t length = 0;
  for (ssize_t more; (more = read(outcome[0], why + length, sizeof why - length)) > 0;) length += more;
  if (length > 0) {
    if (write(REPORT, why, length) < 0) return 125;
    return 125;
  }
  dprintf(REPORT, "started\n");
  /* The service's output ends when the service's processes end, not this one. */
  close(0), close(1), close(2);
  int status = attend(child, signals);
  if (WIFSIGNALED(status)) dprintf(REPORT, "killed %d\n", WTERMSIG(status));
  else dprintf(REPORT, "exited %d\n", WEXITSTATUS(status));
  return 0;
}
