/*
 * Loaded into Node by LD_PRELOAD (see ./reprise), for what JavaScript has no way to. It gives the process a userfaultfd
 * before its main function begins, because only a process itself can make one for its memory; it keeps what the launcher
 * meant for this process from those that it starts; and it asks for large pages for large memories.
 *
 * The descriptor's number stands in the variable REPRISE_USERFAULTFD afterwards, or why there is none. Whoever holds
 * the descriptor can watch writes to memory of this process that it registers; nothing is registered here.
 *
 * Source: userfaultfd(2), ioctl_userfaultfd(2), Documentation/admin-guide/mm/pagemap.rst of Linux 6.7. The kernel's
 * constants are written out: the headers of the machine that compiles this may be older than its kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What an unprivileged process may have. Asynchronous protection never hands a fault out, the kernel's own neither. */
#define USER_MODE_ONLY 1
#define API_VERSION 0xAA
#define FEATURE_PAGEFAULT_FLAG_WP (1u << 0)
#define FEATURE_WP_UNPOPULATED (1u << 13)
#define FEATURE_WP_ASYNC (1u << 15)

struct api {
  uint64_t version, features, ioctls;
};
#define SET_API _IOWR(0xAA, 0x3F, struct api)

/* The children of this process are not to load it. The launcher put it first. */
static void forget_preload(void) {
  const char *list = getenv("LD_PRELOAD");
  if (list == NULL) return;
  const char *rest = list + strcspn(list, ": ");
  if (*rest == 0) unsetenv("LD_PRELOAD");
  else setenv("LD_PRELOAD", strdup(rest + 1), 1);
}

/* The C library has read them when this begins. They are the user's own without that variable. */
static void forget_tunables(void) {
  if (getenv("REPRISE_TUNABLES") == NULL) return;
  unsetenv("REPRISE_TUNABLES");
  unsetenv("GLIBC_TUNABLES");
}

static void tell_failure(const char *what) {
  char text[200];
  snprintf(text, sizeof text, "%s: %s", what, strerror(errno));
  setenv("REPRISE_USERFAULTFD", text, 1);
}

__attribute__((constructor)) static void make_descriptor(void) {
  forget_preload();
  forget_tunables();
  int descriptor = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | USER_MODE_ONLY);
  if (descriptor < 0) {
    tell_failure("the kernel gives no userfaultfd");
    return;
  }
  struct api api = {API_VERSION, FEATURE_PAGEFAULT_FLAG_WP | FEATURE_WP_UNPOPULATED | FEATURE_WP_ASYNC, 0};
  if (ioctl(descriptor, SET_API, &api) < 0) {
    tell_failure("the kernel has no asynchronous write protection, which came with Linux 6.7");
    close(descriptor);
    return;
  }
  char number[20];
  snprintf(number, sizeof number, "%d", descriptor);
  setenv("REPRISE_USERFAULTFD", number, 1);
}

#ifdef MADV_HUGEPAGE
/* Two large pages of most processors. What V8 allows itself to write of its own heap is seldom as large. */
#define LARGE_BYTES (4u << 20)

/*
 * V8 reserves the memory of a guest and the shadow of it, then allows as much of it to be written as there is, from its
 * beginning again whenever it grows. This stands for the C library's function, which does the same system call, and asks
 * for large pages for what is large, where the kernel leaves these to the program. When it says no, all is as before.
 */
int mprotect(void *address, size_t length, int protection) {
  int result = (int)syscall(SYS_mprotect, address, length, protection);
  if (result != 0 || protection != (PROT_READ | PROT_WRITE) || length < LARGE_BYTES) return result;
  int before = errno;
  madvise(address, length, MADV_HUGEPAGE);
  errno = before;
  return result;
}
#endif
