/* What the parts of the holder share. Truth: spec/loading.md. */
#ifndef HOLDER_H
#define HOLDER_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* Says on `fd` what failed and with which errno, then ends. */
_Noreturn void fail(int fd, const char *what);
/* Into the namespaces of that process; 0: stays where it is. What is forked from now on is in them. */
void join(int report, const char *pid);
/* A file system that is in memory: 1; else 0. */
int is_in_memory(int fd);

int hold_main(int argc, char **argv);
int bind_main(int argc, char **argv);
int run_main(int argc, char **argv);
int notify_main(int argc, char **argv);
int watch_main(int argc, char **argv);
int read_main(int argc, char **argv);

#endif
