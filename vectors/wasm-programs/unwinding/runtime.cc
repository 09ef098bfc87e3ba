// What a C++ runtime does, as far as catch (...) needs it; the type of what is thrown is not asked for.
#include <stdint.h>
#include <stddef.h>

extern "C" {
static uint64_t thrown[64];
static unsigned count;
static void *caught[64];
static unsigned depth;

void *__cxa_allocate_exception(size_t) { return &thrown[count++ % 64]; }
__attribute__((noreturn)) void __cxa_throw(void *object, void *, void (*)(void *)) { __builtin_wasm_throw(0, object); }
__attribute__((noinline)) void *__cxa_begin_catch(void *object) { return caught[depth++] = object; }
__attribute__((noinline)) void __cxa_end_catch() { depth--; }
__attribute__((noreturn)) void __cxa_rethrow() { __builtin_wasm_throw(0, caught[depth - 1]); }
void *__cxa_get_exception_ptr(void *object) { return object; }
int __gxx_wasm_personality_v0(...) { return 0; }
__attribute__((noreturn)) void __clang_call_terminate(void *) { __builtin_trap(); }
}
namespace std {
void terminate() { __builtin_trap(); }
}
extern "C" { void *_ZTIi[2]; }
