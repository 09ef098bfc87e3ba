/** Counts of a small program, through the recipe's own runtime for counters, as LLVM reads them. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { profileOf } from './profile.ts'

const COUNTED = join(import.meta.dirname, '..', 'runtimes', 'python', 'counted.c')
const PROGRAM = `
#include <string.h>
volatile char buffer[1000];
typedef int (*function)(int);
static int twice(int x) { return 2 * x; }
int thrice(int x) { return 3 * x; }
int never(int x) { return x; }
__attribute__((noinline)) static int apply(function f, int x) { return f(x); }
int main(int argc, char **argv) {
  int sum = 0;
  memset(buffer, 1, 5 * argc);
  memset(buffer, 2, argc > 1 ? 100 : 700);
  for (int i = 0; i < 10 * argc; i++) sum += apply(i % 10 < 7 ? twice : argc > 9 ? never : thrice, i);
  return sum == 0;
}
`
const RUN = `
const { WASI } = await import('node:wasi')
const [module, folder, ...args] = process.argv.slice(1)
const wasi = new WASI({ version: 'preview1', args, preopens: { '/': folder }, returnOnExit: true })
const { readFileSync } = await import('node:fs')
const { instance } = await WebAssembly.instantiate(readFileSync(module), wasi.getImportObject())
process.exitCode = wasi.start(instance)
`

/** What the recipe builds with. */
const TOOLS = ['clang-19', 'lld-19', 'llvm-19', 'libclang-rt-19-dev-wasm32', 'wasi-libc']

let folder: string
beforeAll(() => {
  execFileSync('sh', [join(import.meta.dirname, 'setup.sh'), 'runtime', ...TOOLS], { stdio: ['ignore', 2, 2] })
  folder = mkdtempSync(join(tmpdir(), 'reprise-profile-'))
})
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

/** What a run with so many words counts. */
function counted(module: string, words: number): string {
  const args = Array.from({ length: words }, () => 'word')
  execFileSync(process.execPath, ['--no-warnings', '--input-type=module', '-e', RUN, module, folder, ...args])
  return readFileSync(join(folder, 'counts'), 'latin1')
}

test('LLVM reads how often functions ran in two runs, and what was called indirectly', () => {
  const [source, module] = [join(folder, 'program.c'), join(folder, 'program.wasm')]
  writeFileSync(source, PROGRAM)
  const options = ['-static-func-full-module-prefix=false', '-enable-name-compression=false']
  const cc = (...words: readonly string[]): Buffer =>
    execFileSync('clang-19', ['--target=wasm32-wasi', '-O1', ...words])
  const counters = join(folder, 'counted.o')
  cc('-c', COUNTED, '-o', counters)
  const object = join(folder, 'program.o')
  cc('-fprofile-generate', ...options.flatMap((option) => ['-mllvm', option]), '-c', source, '-o', object)
  cc(object, counters, '-o', module)

  const [text, merged] = [join(folder, 'profile.text'), join(folder, 'profile')]
  writeFileSync(text, profileOf([counted(module, 1), counted(module, 3)]))
  execFileSync('llvm-profdata-19', ['merge', '-o', merged, text])
  const show = ['show', '--all-functions', '--counts', '--ic-targets', '--memop-sizes', merged]
  const said = execFileSync('llvm-profdata-19', show, { encoding: 'utf8' }).replaceAll(/\s+/g, ' ')
  expect(said).toMatch(
    /program\.c;apply: Hash: \S+ Counters: 1 Indirect Call Site Count: 1 Block counts: \[40\] Indirect Target Results: \[ 0, program\.c;twice, 28 \] \(70\.00%\) \[ 0, thrice, 12 \] \(30\.00%\)/,
  )
  expect(said).toMatch(/ never: Hash: \S+ Counters: 1 Indirect Call Site Count: 0 Block counts: \[0\]/)
  // Turns of the loop, runs, those with several words, calls of never, of twice. 15 bytes count as 9, 100 as 65, 700 as 513.
  const main =
    / __main_argc_argv: Hash: \S+ Counters: 5 Indirect Call Site Count: 0 Number of Memory Intrinsics Calls: 2 Block counts: \[40, 2, 1, 0, 28\] Indirect Target Results: Memory Intrinsic Size Results: (.*?) never:/
  expect(
    main
      .exec(said)?.[1]
      .match(/\[.*?\]/g)
      ?.toSorted(),
  ).toEqual(['[ 0, 5, 1 ]', '[ 0, 9, 1 ]', '[ 1, 513, 1 ]', '[ 1, 65, 1 ]'])
})
