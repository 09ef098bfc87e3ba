/** For tests: runs a case warm and cold, with whatever Python a home has. */
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { NEVER, type Computation } from '@reprise/core'
import { createWasi, runGuest, type Guest } from '@reprise/wasm'
import type { BlobStore } from '../../blobs/index.ts'
import { nodeCrypto } from '../../crypto.ts'
import { defineCommand, type Flags } from '../../definition/index.ts'
import { blobPaths, warmRootOf } from '../../run/index.ts'
import { blobReader, wasiMounts } from '../inputs.ts'
import { loadRewritten, type LoadedModule } from '../rewritten.ts'
import { startWasmMachine } from '../wasm-machine.ts'
import { keptStack, loadWarmStart, warmStack, type WarmUp } from './index.ts'
import type { Case } from './python-cases.ts'

/** Where cases are run; the module is compiled once for all of them. */
export interface Place {
  readonly home: string
  readonly store: BlobStore
  loaded?: LoadedModule
}

interface Compared {
  readonly warm: Computation
  readonly cold: Computation
  readonly inWarm: Awaited<ReturnType<typeof resultOf>>
  readonly inCold: Awaited<ReturnType<typeof resultOf>>
}

export async function warmAndCold(place: Place, one: Case): Promise<Compared> {
  const { folder, args, flags } = await placed(place, one)
  const warm = await define(place, folder, args, flags)
  const cold = await define(place, folder, args, { ...flags, cold: true })
  return { warm, cold, inWarm: await resultOf(place, warm), inCold: await resultOf(place, cold) }
}

/** In a machine with threads of its own, whose stack is as large as that of every run; the others here have this thread's. */
export async function inMachine(place: Place, one: Case): Promise<{ readonly end: string; readonly stdout: string }> {
  const { home, store } = place
  const { folder, args, flags } = await placed(place, one)
  const computation = await define(place, folder, args, flags)
  await using machine = await startWasmMachine({ computation, home, blobs: blobPaths(computation, store) })
  const stop = await machine.runTo(NEVER)
  const { outputs } = await machine.results()
  const stdout = outputs.find(({ path }) => path === '/dev/stdout')
  return { end: endOf(stop), stdout: new TextDecoder().decode(stdout?.bytes) }
}

async function placed({ home }: Place, { files = {}, args = ['a.py'], flags = {}, stdin, script }: Case) {
  const folder = await mkdtemp(join(home, 'f'))
  const all = { ...files, ...(script !== undefined && { 'a.py': script }), ...(stdin !== undefined && { in: stdin }) }
  for (const [path, content] of Object.entries(all)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), content)
  }
  return { folder, args, flags: { ...flags, ...(stdin !== undefined && { stdin: join(folder, 'in') }) } }
}

async function define(
  { home, store }: Place,
  folder: string,
  args: readonly string[],
  flags: Flags,
): Promise<Computation> {
  const { computation } = await defineCommand(
    { command: ['python', ...args], flags },
    {
      folder,
      home,
      store,
      stdin: (async function* () {})(),
      now: () => 0n,
      random: (lengthBytes) => new Uint8Array(lengthBytes),
      recipes: async () => [],
      warmRoot: (warmUp) => warmRootOf(warmUp, { home, store }),
    },
  )
  return computation
}

/** In this thread, with one compiled module for all: threads of their own would make this take ten times as long. */
async function resultOf(place: Place, computation: Computation) {
  const { home, store } = place
  const blobs = blobPaths(computation, store)
  const readBlob = blobReader(blobs)
  const cacheFolder = join(home, 'cache', 'wasm')
  const { start } = computation
  const loaded = (place.loaded ??= loadRewritten(
    () => readBlob(computation.program.sha256),
    { ...computation, start: undefined },
    { folder: cacheFolder, sha256: nodeCrypto.sha256 },
  ))
  let ready: Guest | undefined
  const guestThere = (): Guest => ready as Guest
  const wasi = createWasi({
    arguments: computation.arguments,
    environment: Object.entries(computation.environment),
    stdin: readBlob(computation.stdin.sha256),
    mounts: wasiMounts(
      computation.mounts,
      computation.mounts.map(({ source }) => source),
      { readBlob, cacheFolder, sha256: nodeCrypto.sha256 },
    ),
    clockStartNs: BigInt(computation.clock),
    seed: BigInt(computation.seed),
    position: () => guestThere().position(),
    sha256: nodeCrypto.sha256,
    ...(start !== undefined && { start: { kind: 'warm' } }),
  })
  const end = runGuest({
    module: loaded.module,
    facts: loaded.facts,
    hostImport: (moduleName, name) => wasi.function(moduleName, name),
    isExit: (thrown) => wasi.isExit(thrown),
    nextDue: () => NEVER,
    onReady(guest) {
      ready = guest
      wasi.bind({
        get buffer() {
          return guest.memory().buffer
        },
      })
    },
    onStop: () => 'go',
    ...(start !== undefined && (await beginning(place, loaded, { ...computation, start }, blobs))),
  })
  const texts = Object.fromEntries(wasi.outputs().map((output) => [output.path, withoutAddresses(output.read())]))
  return {
    end: endOf(end),
    texts,
    removed: wasi.removed(),
    notes: wasi.notes(),
  }
}

function endOf(stop: { readonly kind: string; readonly code?: number }): string {
  return stop.kind === 'exited' ? `exited ${stop.code}` : stop.kind
}

/** Where an object lies is known to differ. */
function withoutAddresses(text: Uint8Array): string {
  return new TextDecoder().decode(text).replace(/\b0x[0-9a-f]+/g, '0x…')
}

async function beginning(
  { home }: Place,
  module: LoadedModule,
  computation: WarmUp,
  blobs: Readonly<Record<string, string>>,
) {
  const entry = await loadWarmStart({ computation, blobs, home })
  const memory = new Uint8Array(entry.head.memoryBytes)
  await entry.unpack(memory)
  const stack = warmStack(entry)
  const kept = keptStack(stack)
  const { globals } = stack
  return {
    continuations: module.continuations(kept),
    from: { activations: kept.activations, memory, globals, position: 0n },
  }
}
