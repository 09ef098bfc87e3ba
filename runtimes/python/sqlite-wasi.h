/*
 * Included before sqlite3.c. WASI has no locks on files, and wasi-libc no names for them; SQLite does not open a database
 * without. A guest is the only process that there is, so every lock is granted, and nobody else holds one.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

#ifndef F_SETLK
#define F_GETLK 12
#define F_SETLK 13
#define F_SETLKW 14
#define F_RDLCK 0
#define F_WRLCK 1
#define F_UNLCK 2
#endif

static int wasi_fcntl(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void *argument = va_arg(arguments, void *);
  va_end(arguments);
  if (command == F_SETLK || command == F_SETLKW) return 0;
  if (command == F_GETLK) {
    ((struct flock *)argument)->l_type = F_UNLCK;
    return 0;
  }
  return fcntl(fd, command, argument);
}
#define fcntl wasi_fcntl
