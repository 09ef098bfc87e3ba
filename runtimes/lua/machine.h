/* Included before everything: what Lua asks of a system that this machine answers in its own way. */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdio.h>

/* Modules lie beside the script. None can be loaded that is compiled. */
#define LUA_PATH_DEFAULT "./?.lua;./?/init.lua"
#define LUA_CPATH_DEFAULT "./?.so"

/* Without a script it is read from standard input, which is no terminal. */
#define lua_stdin_is_tty() 0

#define NO_PROCESSES "no process can be started in this machine"
#define l_popen(L, c, m) ((void)(c), (void)(m), luaL_error(L, NO_PROCESSES), (FILE *)0)
#define l_pclose(L, file) ((void)(L), (void)(file), -1)
/* Asked without a command, whether there is a shell: no. */
#define l_system(command) ((command) == NULL ? 0 : luaL_error(L, NO_PROCESSES))

/* A name that nothing has yet, and a file that is gone when it is closed: machine.c. */
#define LUA_TMPNAMBUFSIZE 32
#define lua_tmpnam(name, failed) ((failed) = machine_temporary_name(name, LUA_TMPNAMBUFSIZE))
#define tmpfile machine_temporary_file
int machine_temporary_name(char *name, size_t size);
FILE *machine_temporary_file(void);

#endif
