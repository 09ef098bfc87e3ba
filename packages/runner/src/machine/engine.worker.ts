/**
 * The engine thread: prepares the guest of a computation and runs it from stop to stop, as the main
 * thread commands. It is blocked in the guest while that runs, and in `Atomics.wait` while it stands.
 */
import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { gunzipSync } from 'node:zlib'
import { PAGE_BYTES, RepriseError, type Computation, type ComputationMount, type Stop } from '@reprise/core'
import {
  createWasi,
  encodeEngineState,
  readTar,
  runGuest,
  takeChangedPages,
  type Guest,
  type GuestStop,
  type PauseStop,
  type PageDiffers,
  type WasiMount,
} from '@reprise/wasm'
import {
  CONTROL_COMMANDS,
  CONTROL_HASHING,
  CONTROL_INTERRUPT,
  CONTROL_MEMORY,
  CONTROL_POSITION,
  CONTROL_STALL_US,
  CONTROL_STREAM_BYTES,
  type Command,
  type EngineMessage,
  type EngineWorkerData,
  type HashRequest,
} from './protocol.ts'
import { loadRewritten } from './rewritten.ts'

/** How far the guest runs between looks at the interrupt flag: tens of milliseconds. */
const SLICE_FUEL = 1n << 26n
/** Live output that may be on its way to the main thread before the guest waits. */
const STREAM_BYTES_MAX = 8 << 20
/** An archive may unpack to this much. */
const ARCHIVE_BYTES_MAX = 1 << 30

const { computation, blobs, cacheFolder, control, shadow, hashPort } = workerData as EngineWorkerData
const flags = new Int32Array(control)
const counters = new BigInt64Array(control)
const sha256 = (data: Uint8Array): Uint8Array => hash('sha256', data, 'buffer')

function post(message: EngineMessage, transfer: readonly ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, [...transfer])
}

function readBlob(digest: string): Uint8Array {
  const path = blobs[digest]
  if (path === undefined) throw new Error(`blob ${digest} was not handed to the engine`)
  return readFileSync(path)
}

function mountOf(mount: ComputationMount): WasiMount {
  const { source } = mount
  const files =
    source.kind === 'files'
      ? source.files.map(({ path, sha256: digest }) => ({ path, bytes: readBlob(digest) }))
      : readTar(gunzipSync(readBlob(source.blob.sha256), { maxOutputLength: ARCHIVE_BYTES_MAX }))
  return { at: mount.at, writable: mount.writable, output: mount.output, files }
}

function sendStream(stream: 'stdout' | 'stderr', bytes: Uint8Array): void {
  for (let waiting; (waiting = Atomics.load(flags, CONTROL_STREAM_BYTES)) > STREAM_BYTES_MAX;) {
    Atomics.wait(flags, CONTROL_STREAM_BYTES, waiting, 1000)
  }
  Atomics.add(flags, CONTROL_STREAM_BYTES, bytes.length)
  const copy = bytes.slice()
  post({ kind: 'stream', stream, bytes: copy }, [copy.buffer])
}

/** memcmp beats any loop of ours by a factor of three. */
const pageDiffersNative: PageDiffers = (a, b, offset) =>
  Buffer.compare(
    Buffer.from(a.buffer, a.byteOffset + offset, PAGE_BYTES),
    Buffer.from(b.buffer, b.byteOffset + offset, PAGE_BYTES),
  ) !== 0

function createWasiHost(definition: Computation, guestOf: () => Guest) {
  return createWasi({
    arguments: definition.arguments,
    environment: Object.entries(definition.environment),
    stdin: readBlob(definition.stdin.sha256),
    mounts: definition.mounts.map(mountOf),
    clockStartNs: BigInt(definition.clock),
    seed: BigInt(definition.seed),
    position: () => guestOf().position(),
    sha256,
    onStream: sendStream,
    ...(definition.checkpoints.kind === 'outputs' && {
      onOutputClosed: (path: string) => guestOf().requestCheckpoint(`output ${path}`),
    }),
  })
}

function main(): void {
  const { module, facts, cached, elapsedMs } = loadRewritten(
    readBlob(computation.program.sha256),
    computation,
    cacheFolder,
    sha256,
  )
  let guest: Guest | undefined
  const guestOf = (): Guest => {
    if (guest === undefined) throw new Error('the guest is asked for before it is there')
    return guest
  }
  const wasi = createWasiHost(computation, guestOf)
  let due = 0n

  const measure = (): void => {
    const startedMs = performance.now()
    while (Atomics.load(flags, CONTROL_HASHING) === 1) Atomics.wait(flags, CONTROL_HASHING, 1)
    const memory = guestOf().memory()
    if (shadow.byteLength < memory.length) shadow.grow(memory.length)
    const pages = takeChangedPages(memory, new Uint8Array(shadow, 0, memory.length), pageDiffersNative)
    Atomics.store(flags, CONTROL_HASHING, 1)
    const request: HashRequest = {
      position: guestOf().position(),
      memoryBytes: memory.length,
      pages,
      engineState: encodeEngineState(guestOf().globals(), wasi.encodeState()),
      outputsRoot: wasi.outputsRoot(),
    }
    hashPort.postMessage(request, [pages.buffer as ArrayBuffer])
    Atomics.add(counters, CONTROL_STALL_US, BigInt(Math.round(1000 * (performance.now() - startedMs))))
  }

  const answer = (command: Exclude<Command, { kind: 'run' }>): void => {
    if (command.kind === 'measure') return measure()
    if (command.kind === 'state') {
      const engineState = encodeEngineState(guestOf().globals(), wasi.encodeState())
      return post({ kind: 'state', memory: guestOf().memory().slice(), engineState })
    }
    const outputs = wasi.outputs().map((output) => ({ path: output.path, bytes: output.read() }))
    post({ kind: 'results', results: { outputs, removed: wasi.removed(), notes: wasi.notes() } })
  }

  /** Stands still and answers commands until one says to run. */
  const serve = (): void => {
    for (;;) {
      const seen = Atomics.load(flags, CONTROL_COMMANDS)
      const received = parentPort === null ? undefined : receiveMessageOnPort(parentPort)
      if (received === undefined) {
        Atomics.wait(flags, CONTROL_COMMANDS, seen)
        continue
      }
      const command = received.message as Command
      if (command.kind === 'run') {
        due = command.position
        return
      }
      answer(command)
    }
  }

  const report = (stop: Parameters<typeof withMemory>[0]): void => {
    post({ kind: 'stop', stop: withMemory(stop, guestOf().memory().length) })
  }

  const last = runGuest({
    module,
    facts,
    hostImport: (moduleName, name) => wasi.function(moduleName, name),
    isExit: (thrown) => wasi.isExit(thrown),
    nextDue: () => {
      const slice = (guest?.position() ?? 0n) + SLICE_FUEL
      return slice < due ? slice : due
    },
    onReady(ready) {
      guest = ready
      wasi.bind({
        get buffer() {
          return ready.memory().buffer as ArrayBuffer
        },
      })
      post({ kind: 'ready', memoryBytes: ready.memory().length, rewrite: { cached, elapsedMs } })
      serve()
    },
    onStop(stop) {
      Atomics.store(counters, CONTROL_POSITION, stop.position)
      Atomics.store(counters, CONTROL_MEMORY, BigInt(guestOf().memory().length))
      if (stop.kind === 'due' && stop.position < due) {
        if (Atomics.load(flags, CONTROL_INTERRUPT) === 0) return 'go'
        post({
          kind: 'stop',
          stop: { kind: 'interrupted', position: stop.position, memoryBytes: guestOf().memory().length },
        })
      } else {
        report(stop)
      }
      serve()
      return 'go'
    },
  })
  report(last)
  for (;;) serve()
}

function withMemory(stop: GuestStop | PauseStop, memoryBytes: number): Stop {
  if (stop.kind === 'suspended') throw new Error('the engine never suspends a guest')
  return { ...stop, memoryBytes }
}

try {
  main()
} catch (error) {
  const { name, message } = error as Error
  const known = error instanceof RepriseError ? error : undefined
  post({ kind: 'failed', error: { name, message, code: known?.code as string | undefined, hint: known?.hint } })
}
