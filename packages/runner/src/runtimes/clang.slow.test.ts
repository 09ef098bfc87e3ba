/** A program in C, from a source archive through the compiler of Debian to a signed-for digest, and run: the way of every recipe. */
import { execFileSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createWasi, runGuest, rewrite, STACK_LIMIT_SLOTS_DEFAULT } from '@reprise/wasm'
import { NEVER } from '@reprise/core'
import { afterAll, expect, test } from 'vitest'
import { nodeCrypto } from '../crypto.ts'
import { digestFile } from '../durable.ts'
import { buildIn, put, putRecipe, removeFolders, roomForTest } from './testing.ts'

afterAll(removeFolders)

const ARCHIVE = 'hello_1.0.orig.tar.gz'
const TOOLS = ['clang-19', 'libclang-rt-19-dev-wasm32', 'lld-19', 'patch', 'wasi-libc']
const SCRIPT = `set -eu
step() { echo "step: $*"; }
step unpacking
mkdir -p "$WORK/hello"
tar -xf "$SOURCES/${ARCHIVE}" -C "$WORK/hello"
(cd "$WORK/hello" && patch -p1 <"$PATCHES/01-greeting.patch")
step compiling
clang-19 --target=wasm32-wasi -O2 -g -ffile-prefix-map="$WORK=/build" -o "$OUT/runtime.wasm" "$WORK/hello/hello.c"
mkdir -p "$OUT/licences"
cp "$WORK/hello/COPYING" "$OUT/licences/hello"
`
const PATCH = `Says whom it greets.

--- a/hello.c
+++ b/hello.c
@@ -1,2 +1,2 @@
 #include <stdio.h>
-int main(void) { puts("hello"); }
+int main(void) { puts("hello, machine, in " __FILE__); }
`

test('a C program is built twice to the same bytes, in two places, and runs', async () => {
  const digests: string[] = []
  let module = ''
  for (let i = 0; i < 2; i++) {
    const room = await roomForTest()
    const source = join(room.home, 'source')
    await put(join(source, 'hello.c'), '#include <stdio.h>\nint main(void) { puts("hello"); }\n')
    await put(join(source, 'COPYING'), 'as you like\n')
    const archive = join(room.sources, ARCHIVE)
    execFileSync('tar', ['-czf', archive, '-C', source, 'hello.c', 'COPYING'])
    const { sha256, lengthBytes } = await digestFile(archive)
    const files = [{ name: ARCHIVE, sha256, bytes: lengthBytes }]
    const sources = [{ package: 'hello', version: '1.0-1', files }]
    const patches = [{ file: '01-greeting.patch', why: 'says whom it greets' }]
    await mkdir(join(room.recipes, 'tiny'), { recursive: true })
    await writeFile(join(room.recipes, 'tiny', '01-greeting.patch'), PATCH)
    await putRecipe(room.recipes, { sources, patches, tools: TOOLS, components: [] }, SCRIPT)
    const steps: string[] = []
    const { runtime } = await buildIn(room, { onStep: (step) => steps.push(step) })
    expect(steps).toEqual(['unpacking', 'compiling', 'packing'])
    expect(runtime.manifest.toolchain.map((tool) => tool.package)).toEqual(TOOLS)
    digests.push(runtime.manifest.module.sha256)
    module = join(runtime.folder, 'runtime.wasm')
  }
  expect(digests[0]).toBe(digests[1])
  expect(await outputOf(module)).toBe('hello, machine, in /build/hello/hello.c\n')
})

async function outputOf(path: string): Promise<string> {
  const options = { floats: 'canonical', memoryLimitPages: 1024, stackLimitSlots: STACK_LIMIT_SLOTS_DEFAULT } as const
  const { bytes, facts } = rewrite(new Uint8Array(await readFile(path)), options)
  const wasi = createWasi({
    arguments: ['hello'],
    environment: [],
    stdin: new Uint8Array(),
    mounts: [{ at: '/', writable: true, output: true, files: [] }],
    clockStartNs: 0n,
    seed: 0n,
    position: () => 0n,
    sha256: nodeCrypto.sha256,
  })
  const end = runGuest({
    module: new WebAssembly.Module(bytes),
    facts,
    hostImport: (moduleName, name) => wasi.function(moduleName, name),
    isExit: (thrown) => wasi.isExit(thrown),
    nextDue: () => NEVER,
    onReady: (guest) =>
      wasi.bind({
        get buffer() {
          return guest.memory().buffer
        },
      }),
    onStop: () => 'go',
  })
  expect(end).toMatchObject({ kind: 'exited', code: 0 })
  const output = wasi.outputs().find((each) => each.path === '/dev/stdout')
  return new TextDecoder().decode(output?.read())
}
