/*
 * What LLVM calls for setjmp and longjmp: WebAssembly has exceptions, and a longjmp is one. The names, and what they are
 * given, are those of LLVM's WebAssemblyLowerEmscriptenEHSjLj; wasi-libc has had the same since 2024.
 */
#include <setjmp.h>

#define TAG_LONGJMP 1

__asm__(".globl __c_longjmp\n"
        ".tagtype __c_longjmp i32\n"
        "__c_longjmp:\n");

/** Notes which call of a function has called setjmp, and where in it. */
void __wasm_setjmp(jmp_buf env, unsigned label, void *invocation) {
  env->invocation = invocation;
  env->label = label;
}

/** Where that was, when it was this call; otherwise 0, and the exception goes on. */
unsigned __wasm_setjmp_test(jmp_buf env, void *invocation) {
  return env->invocation == invocation ? env->label : 0;
}

void __wasm_longjmp(jmp_buf env, int value) {
  env->thrown.env = env;
  env->thrown.value = value == 0 ? 1 : value;
  __builtin_wasm_throw(TAG_LONGJMP, &env->thrown);
}
