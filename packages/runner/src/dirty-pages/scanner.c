/*
 * Tells a machine's thread which pages of the guest's memory were written since it last asked. A process of its own,
 * a child of the one whose memory it is: it is handed that process's userfaultfd and page map, and touches nothing
 * but the protection of pages. When it dies, pages stay protected; a write to one costs a fault and goes on.
 *
 *     scanner PARENT-PID      descriptors: 1 ready line, 3 userfaultfd (see preload.c), 4 the parent's pagemap
 *
 * It makes two pipes, which the thread opens by /proc/PID/fd so that it can wait on them without an event loop:
 * requests at 6, answers at 7. It ends with its parent or when the requests end.
 *
 * Little-endian 32-bit words, 64-bit where it says so. Requests have 16 bytes: kind, pages, 64 bits address.
 *
 *     1 hello     pages and address 0; the scanner lets go of the ends that the thread has opened
 *     2 register  from now on writes to these pages can be watched; no harm when they are already
 *     3 take      answers with the pages written since the last take and protects them again, each page at once
 *     4 release   no longer; nothing of them is protected then
 *
 * An answer: MAGIC, errno of what failed or 0, the number of runs, then for each run the number of its first page,
 * counted from the address, and how many pages it has. Runs ascend and do not touch. The first take of a page names it
 * if it was ever touched. The kernel would call the others written too; they are zero and need no protection yet.
 *
 * Source: ioctl_userfaultfd(2); PAGEMAP_SCAN in Documentation/admin-guide/mm/pagemap.rst of Linux 6.7.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#define MAGIC 0x31474450u /* "PDG1": version 1 */
#define PAGE_BYTES 4096u
#define PAGES_MAX (1u << 20) /* 4 GiB */
#define RUNS_MAX (PAGES_MAX / 2)

enum { USERFAULTFD = 3, PAGEMAP = 4, REQUESTS = 5, REQUESTS_OTHER_END = 6, ANSWERS_OTHER_END = 7, ANSWERS = 8 };
enum { HELLO = 1, REGISTER = 2, TAKE = 3, RELEASE = 4 };

struct registration {
  uint64_t start, length, mode, ioctls;
};
#define UFFD_REGISTER _IOWR(0xAA, 0x00, struct registration)
#define MODE_WP 2

struct range {
  uint64_t start, length;
};
#define UFFD_UNREGISTER _IOR(0xAA, 0x01, struct range)

struct scan {
  uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
  uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
struct region {
  uint64_t start, end, categories;
};
#define PAGEMAP_SCAN _IOWR('f', 16, struct scan)
#define WP_MATCHING 1  /* protect what is reported, in the same step */
#define CHECK_WPASYNC 2 /* fail where a page is not watched */
#define IS_WRITTEN (1u << 1)
#define IS_PRESENT (1u << 3)
#define IS_SWAPPED (1u << 4)

struct request {
  uint32_t kind, pages;
  uint64_t address;
};
struct run {
  uint32_t first, pages;
};
static struct {
  uint32_t magic, error, count;
  struct run runs[RUNS_MAX];
} answer;

static int register_pages(const struct request *request) {
  struct registration registration = {request->address, (uint64_t)request->pages * PAGE_BYTES, MODE_WP, 0};
  return ioctl(USERFAULTFD, UFFD_REGISTER, &registration) < 0 ? errno : 0;
}

static int release_pages(const struct request *request) {
  struct range range = {request->address, (uint64_t)request->pages * PAGE_BYTES};
  return ioctl(USERFAULTFD, UFFD_UNREGISTER, &range) < 0 ? errno : 0;
}

/* The kernel splits runs where it likes, at the end of its vector or of a mapping. */
static int add_run(uint32_t first, uint32_t pages) {
  struct run *last = answer.count > 0 ? &answer.runs[answer.count - 1] : NULL;
  if (last != NULL && last->first + last->pages == first) {
    last->pages += pages;
    return 0;
  }
  if (answer.count == RUNS_MAX) return EOVERFLOW;
  answer.runs[answer.count++] = (struct run){first, pages};
  return 0;
}

static int take_pages(const struct request *request) {
  static struct region regions[4096];
  const uint64_t end = request->address + (uint64_t)request->pages * PAGE_BYTES;
  for (uint64_t start = request->address; start < end;) {
    struct scan scan = {.size = sizeof scan,
                        .flags = WP_MATCHING | CHECK_WPASYNC,
                        .start = start,
                        .end = end,
                        .vec = (uint64_t)(uintptr_t)regions,
                        .vec_len = sizeof regions / sizeof *regions,
                        .category_mask = IS_WRITTEN,
                        .category_anyof_mask = IS_PRESENT | IS_SWAPPED,
                        .return_mask = IS_WRITTEN};
    int count = ioctl(PAGEMAP, PAGEMAP_SCAN, &scan);
    if (count < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    for (int i = 0; i < count; i++) {
      uint32_t first = (uint32_t)((regions[i].start - request->address) / PAGE_BYTES);
      int error = add_run(first, (uint32_t)((regions[i].end - regions[i].start) / PAGE_BYTES));
      if (error != 0) return error;
    }
    if (scan.walk_end <= start) return EPROTO;
    start = scan.walk_end;
  }
  return 0;
}

static int is_valid(const struct request *request) {
  if (request->kind == HELLO) return request->pages == 0 && request->address == 0;
  return request->kind >= REGISTER && request->kind <= RELEASE && request->pages > 0 && request->pages <= PAGES_MAX &&
         request->address % PAGE_BYTES == 0 && request->address < (uint64_t)1 << 56;
}

static void serve(const struct request *request) {
  answer.count = 0;
  if (!is_valid(request)) answer.error = EINVAL;
  else if (request->kind == REGISTER) answer.error = (uint32_t)register_pages(request);
  else if (request->kind == RELEASE) answer.error = (uint32_t)release_pages(request);
  else if (request->kind == TAKE) answer.error = (uint32_t)take_pages(request);
  else {
    close(REQUESTS_OTHER_END);
    close(ANSWERS_OTHER_END);
    answer.error = 0;
  }
  if (answer.error != 0) answer.count = 0;
}

static int read_request(struct request *request) {
  size_t have = 0;
  while (have < sizeof *request) {
    ssize_t count = read(REQUESTS, (char *)request + have, sizeof *request - have);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return 0;
    have += (size_t)count;
  }
  return 1;
}

static int write_answer(void) {
  const char *bytes = (const char *)&answer;
  size_t length = 12 + (size_t)answer.count * sizeof(struct run);
  for (size_t done = 0; done < length;) {
    ssize_t count = write(ANSWERS, bytes + done, length - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return 0;
    done += (size_t)count;
  }
  return 1;
}

static int make_pipes(void) {
  int requests[2], answers[2];
  /* Nothing lies at 5 to 8 but what is put there: new descriptors come after them. */
  for (int i = 0; i < 9; i++)
    if (fcntl(i, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0) return 0;
  if (pipe(requests) < 0 || pipe(answers) < 0) return 0;
  if (dup2(requests[0], REQUESTS) < 0 || dup2(requests[1], REQUESTS_OTHER_END) < 0) return 0;
  if (dup2(answers[0], ANSWERS_OTHER_END) < 0 || dup2(answers[1], ANSWERS) < 0) return 0;
  for (int i = 0; i < 2; i++) {
    close(requests[i]);
    close(answers[i]);
  }
  return 1;
}

int main(int argc, char **argv) {
  /* A terminal's Ctrl-C is for the parent, which then ends in its own time, and this with it. */
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (argc != 2 || getppid() != atoi(argv[1])) return 2; /* The parent has died before this line. */
  if (!make_pipes() || write(1, "ready\n", 6) != 6) return 1;
  close(1);
  answer.magic = MAGIC;
  struct request request;
  while (read_request(&request)) {
    serve(&request);
    if (!write_answer()) break;
  }
  return 0;
}
