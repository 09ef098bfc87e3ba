/* What wasi-libc of this age does not have: setjmp as LLVM compiles it with -wasm-enable-sjlj, see setjmp.c. */
#ifndef SETJMP_H
#define SETJMP_H

typedef struct {
  void *invocation;
  unsigned label;
  struct {
    void *env;
    int value;
  } thrown;
} jmp_buf[1];

int setjmp(jmp_buf) __attribute__((returns_twice));
void longjmp(jmp_buf, int) __attribute__((noreturn));

#endif
