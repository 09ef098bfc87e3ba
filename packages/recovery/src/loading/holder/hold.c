/*
 * hold FOLDER HOSTNAME folder|erofs|squashfs PAYLOAD
 *
 * Makes namespaces (mount, pid, uts, ipc) with the payload as their root, and is their first process until standard input
 * ends; with it all that runs in them ends, and what was mounted is gone. FOLDER is any empty folder: what is mounted there
 * is seen by nobody outside. Says `ready PID writable|read-only` or `failed ERRNO WHAT`.
 */
#include "common.h"
#include <poll.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define SAY 1

static void mounted(const char *source, const char *target, const char *type, unsigned long flags, const char *options) {
  if (mount(source, target, type, flags, options) == 0) return;
  int why = errno;
  char what[512];
  snprintf(what, sizeof what, "mount %s %s", type ? type : source, target);
  errno = why;
  fail(SAY, what);
}

static void folder(const char *path, mode_t mode) {
  if (mkdir(path, mode) != 0 && errno != EEXIST) fail(SAY, path);
}

/* By mount(8), which finds a loop device and frees it again. What it says goes to standard error. */
static void mount_image(const char *type, const char *file) {
  pid_t child = fork();
  if (child == 0) {
    execlp("mount", "mount", "-n", "-t", type, "-o", "loop,ro,nodev", file, "lower", (char *)NULL);
    _exit(127);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) < 0) fail(SAY, "fork");
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  errno = WIFEXITED(status) && WEXITSTATUS(status) == 127 ? ENOENT : ENODEV;
  fail(SAY, "mount of the image");
}

/* Sees what the host has there, from the new root. */
static void bind_descriptor(int fd, const char *target) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  folder(target, 0755);
  mounted(path, target, NULL, MS_BIND | MS_REC, NULL);
  close(fd);
}

static int opened(const char *path) {
  int fd = open(path, O_PATH | O_CLOEXEC);
  if (fd < 0) fail(SAY, path);
  return fd;
}

/* @returns whether services may write to their root; what they write is in memory. */
static int make_root(const char *where, const char *kind, const char *payload) {
  int source = opened(payload);
  mounted("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
  mounted("reprise", where, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700,size=50%");
  if (chdir(where) != 0) fail(SAY, where);
  static const char *const parts[] = {"lower", "upper", "work", "root"};
  for (int i = 0; i < 4; i++) folder(parts[i], 0755);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", source);
  if (strcmp(kind, "folder") == 0) mounted(path, "lower", NULL, MS_BIND, NULL);
  else mount_image(kind, payload);
  close(source);
  int is_writable = mount("reprise", "root", "overlay", 0, "lowerdir=lower,upperdir=upper,workdir=work") == 0;
  if (!is_writable) {
    mounted("lower", "root", NULL, MS_BIND, NULL);
    mounted("none", "root", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL);
  }
  return is_writable;
}

static void enter_root(const char *hostname) {
  int devices = opened("/dev"), system = opened("/sys");
  if (chdir("root") != 0) fail(SAY, "root");
  /* The old root then lies over the new one at "."; all absolute paths are those of the new one, links in them too. */
  int has_left = syscall(SYS_pivot_root, ".", ".") == 0;
  /* An initial RAM disk is the root of all and cannot be put away; it can be covered. */
  if (!has_left && (errno != EINVAL || mount(".", "/", NULL, MS_MOVE, NULL) != 0 || chroot(".") != 0))
    fail(SAY, "pivot_root");
  folder("/proc", 0555);
  mounted("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  bind_descriptor(devices, "/dev");
  bind_descriptor(system, "/sys");
  folder("/run", 0755);
  mounted("reprise", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=25%");
  folder("/tmp", 01777);
  mounted("reprise", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=25%");
  folder("/run/notify", 0755);
  folder("/run/credentials", 0755);
  /* Not tmpfs: the kernel writes that to swap. */
  mounted("reprise", "/run/credentials", "ramfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755");
  if ((has_left && umount2(".", MNT_DETACH) != 0) || chdir("/") != 0) fail(SAY, "leaving the old root");
  if (sethostname(hostname, strlen(hostname)) != 0) fail(SAY, "sethostname");
}

/* As the first process: reaps what is left to it, until the one who started it is gone. */
static _Noreturn void first_process(int ready, int is_writable) {
  signal(SIGCHLD, SIG_DFL);
  if (write(ready, is_writable ? "w" : "r", 1) != 1) _exit(1);
  close(ready);
  for (;;) {
    struct pollfd parent = {.fd = 0, .events = POLLIN};
    if (poll(&parent, 1, 1000) > 0) _exit(0);
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
  }
}

/* bind NS HOST-PATH PATH: what this process sees at HOST-PATH is seen at PATH in those namespaces too. */
int bind_main(int argc, char **argv) {
  struct stat about;
  if (argc != 3) return 2;
  int tree = open_tree(AT_FDCWD, argv[1], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  if (tree < 0 || fstat(tree, &about) != 0) fail(SAY, argv[1]);
  join(SAY, argv[0]);
  for (char *at = argv[2] + 1; (at = strchr(at, '/')); *at++ = '/') {
    *at = '\0';
    folder(argv[2], 0755);
  }
  if (S_ISDIR(about.st_mode)) folder(argv[2], 0755);
  else {
    int file = open(argv[2], O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
    if (file < 0) fail(SAY, argv[2]);
    close(file);
  }
  if (move_mount(tree, "", AT_FDCWD, argv[2], MOVE_MOUNT_F_EMPTY_PATH) != 0) fail(SAY, argv[2]);
  dprintf(SAY, "bound\n");
  return 0;
}

int hold_main(int argc, char **argv) {
  if (argc != 4) return 2;
  if (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC) != 0) fail(SAY, "unshare");
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) != 0) fail(SAY, "pipe");
  pid_t child = fork();
  if (child < 0) fail(SAY, "fork");
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(ready[0]);
    int is_writable = make_root(argv[0], argv[2], argv[3]);
    enter_root(argv[1]);
    first_process(ready[1], is_writable);
  }
  close(ready[1]);
  char answer;
  if (read(ready[0], &answer, 1) == 1) dprintf(SAY, "ready %d %s\n", child, answer == 'w' ? "writable" : "read-only");
  close(0), close(1), close(2);
  while (waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
  return 0;
}
