/**
 * The engine thread: prepares the guest of a computation and runs it from stop to stop, as the main
 * thread commands. It is blocked in the guest while that runs, and in `Atomics.wait` while it stands.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import type { SnapshotManifest } from '@reprise/core'
import {
  createWasi,
  encodeEngineState,
  encodeFrames,
  runGuest,
  type Activations,
  type Guest,
  type GuestOptions,
  type GuestStop,
  type PauseStop,
  type PagesDiffer,
  type WasiHost,
} from '@reprise/wasm'
import { nodeCrypto } from '../crypto.ts'
import { DirtyPages } from '../dirty-pages/index.ts'
import { givenOptions, savedHost, sparseMemory, snapshotOf } from './guest-parts.ts'
import {
  CONTROL_CAPTURE_US,
  CONTROL_COMMANDS,
  CONTROL_HASHING,
  CONTROL_INTERRUPT,
  CONTROL_MEMORY,
  CONTROL_POSITION,
  CONTROL_STALL_US,
  CONTROL_STREAM_BYTES,
  type Command,
  type EngineData,
  type EngineMessage,
  type HashRequest,
} from './protocol.ts'
import { blobReader } from './inputs.ts'
import { inlineAsBuilt, inlineMore } from './inlining.ts'
import { keepCode } from './kept-code.ts'
import { LiveOutput, type StreamName } from './live-output.ts'
import { loadExpected, loadRewritten, type ExpectedModule } from './rewritten.ts'
import { serializedError } from './serialized-error.ts'
import { keptStack } from './warm/index.ts'

/**
 * How far the guest runs between looks at the interrupt flag: some to tens of milliseconds. Not many short scripts get to
 * the first one, and before it nothing large was optimised.
 */
const SLICE_FUEL = 1n << 25n
/** Live output that may be on its way to the main thread before the guest waits. */
const STREAM_BYTES_MAX = 8 << 20
/** The control block, see protocol.ts. */
const control = workerData as SharedArrayBuffer
const flags = new Int32Array(control)
const counters = new BigInt64Array(control)
const { sha256 } = nodeCrypto
const { data, expected } = machineToBe()
const { computation, blobs, cacheFolder, shadow, hashPort, from, dirtyPages } = data
const readBlob = blobReader(blobs)
/** Of the snapshot: nobody has read all of it before. */
const readSaved = blobReader(blobs, { trusted: false })

/** Stands still until there is one. */
function nextCommand(): Command {
  for (;;) {
    const seen = Atomics.load(flags, CONTROL_COMMANDS)
    const received = parentPort === null ? undefined : receiveMessageOnPort(parentPort)
    if (received !== undefined) return received.message as Command
    Atomics.wait(flags, CONTROL_COMMANDS, seen)
  }
}

function machineToBe(): { readonly data: EngineData; readonly expected: ExpectedModule | undefined } {
  const first = nextCommand()
  const expects = first.kind === 'expect' ? first.expects : undefined
  const expected = expects && loadExpected(expects.module, { folder: expects.cacheFolder, sha256 })
  const command = expects === undefined ? first : nextCommand()
  if (command.kind !== 'machine') throw new Error('a thread is told first what machine it is')
  return { data: command.data, expected }
}

function isOfBeginning(
  command: Command,
): command is Extract<Command, { kind: 'expect' | 'filled' | 'machine' | 'warm' }> {
  return ['expect', 'filled', 'machine', 'warm'].includes(command.kind)
}

/** What the guest has written comes before what is said of it. */
function post(message: EngineMessage, transfer: readonly ArrayBuffer[] = []): void {
  live.flush()
  parentPort?.postMessage(message, [...transfer])
}

function postToHash(request: HashRequest, transfer: readonly ArrayBuffer[] = []): void {
  hashPort.postMessage(request, [...transfer])
}

const live = new LiveOutput({ send: sendStream, nowMs: () => performance.now() })

function sendStream(stream: StreamName, bytes: Uint8Array<ArrayBuffer>): void {
  for (let waiting; (waiting = Atomics.load(flags, CONTROL_STREAM_BYTES)) > STREAM_BYTES_MAX;) {
    Atomics.wait(flags, CONTROL_STREAM_BYTES, waiting, 1000)
  }
  Atomics.add(flags, CONTROL_STREAM_BYTES, bytes.length)
  parentPort?.postMessage({ kind: 'stream', stream, bytes } satisfies EngineMessage, [bytes.buffer])
}

/** memcmp beats any loop of ours by a factor of three. */
const pagesDifferNative: PagesDiffer = (a, b, offset, lengthBytes, offsetB = offset) =>
  Buffer.compare(
    Buffer.from(a.buffer, a.byteOffset + offset, lengthBytes),
    Buffer.from(b.buffer, b.byteOffset + offsetB, lengthBytes),
  ) !== 0

/** The guest of this thread, and what the main thread may ask of it while it stands. */
class EngineThread {
  readonly #loaded = loadRewritten(
    () => readBlob(computation.program.sha256),
    computation,
    { folder: cacheFolder, sha256 },
    { expected, isRestored: from !== undefined || computation.start !== undefined },
  )
  readonly #wasi: WasiHost = createWasi({
    ...givenOptions(computation, { readBlob, cacheFolder, sha256 }),
    position: () => this.#guest.position(),
    sha256,
    onStream: (stream, bytes) => live.write(stream, bytes),
    saved: from === undefined ? undefined : savedHost(from, readSaved),
    ...(computation.checkpoints.kind === 'outputs' && {
      onOutputClosed: (path: string) => this.#guest.requestCheckpoint(`output ${path}`),
    }),
  })
  readonly #dirtyPages = new DirtyPages({
    choice: dirtyPages,
    differs: pagesDifferNative,
    wantScanner: () => post({ kind: 'scanner-wanted' }),
    onMethod: (method) => post({ kind: 'dirty-pages', method }),
  })
  #ready: Guest | undefined
  #due = 0n
  #captureStartedMs = 0
  #inlinesMore = false
  /** It began with what the shadow was hashed with, and has not run since: there is nothing to compare. */
  #isAsBegun = computation.start !== undefined && from === undefined

  get #guest(): Guest {
    if (this.#ready === undefined) throw new Error('the guest is asked for before it is there')
    return this.#ready
  }

  /** Runs the guest to its end, then answers until the thread is terminated. */
  run(): never {
    const { module, facts, isEmptied } = this.#loaded
    const end = runGuest({
      module,
      facts,
      isEmptied,
      hostImport: (moduleName, name) => this.#wasi.function(moduleName, name),
      isExit: (thrown) => this.#wasi.isExit(thrown),
      nextDue: () => this.#nextDue(),
      onReady: (guest) => this.#begin(guest),
      onStop: (stop) => this.#stopped(stop),
      onCapture: (activations) => this.#captured(activations),
      ...this.#beginning(),
    })
    inlineAsBuilt()
    this.#report(end)
    keepCode()
    for (;;) this.#serve()
  }

  #beginning(): Pick<GuestOptions, 'continuations' | 'from'> {
    const { continuations } = this.#loaded
    if (from !== undefined) {
      const memory = { lengthBytes: from.memoryBytes, copyTo: (to: Uint8Array) => this.#fill(to) }
      return { continuations: continuations(), from: { ...snapshotOf(from, readSaved), memory } }
    }
    if (computation.start === undefined) {
      this.#dirtyPages.beginsWith([])
      return { continuations: continuations() }
    }
    const command = nextCommand()
    if (command.kind !== 'warm') throw new Error('a machine that begins warm is told how first')
    const { stack, memory } = command
    this.#dirtyPages.beginsWith(memory.pages.map(([first, count]) => ({ first, count })))
    const kept = keptStack(stack)
    const { globals } = stack
    return {
      continuations: continuations(kept),
      from: {
        activations: kept.activations,
        memory: sparseMemory(new Uint8Array(shadow, 0, memory.memoryBytes), memory.pages),
        globals,
        position: 0n,
      },
    }
  }

  /** Takes the saved memory out of the shadow, as it gets there: what the guest has is then what is hashed, byte for byte. */
  #fill(memory: Uint8Array): void {
    for (;;) {
      const command = nextCommand()
      if (command.kind === 'scanner') {
        this.#dirtyPages.attach(command.scanner)
        continue
      }
      if (command.kind !== 'filled') throw new Error('a machine that is restored is told its memory first')
      // Only now it is sure to be as long as that.
      for (const [offset, lengthBytes] of command.ranges)
        memory.set(new Uint8Array(shadow, offset, lengthBytes), offset)
      if (command.isLast) return
    }
  }

  /** Has the memory hashed that it was restored with. The guest need not stand still for it: the shadow does. */
  #restored({ pages }: SnapshotManifest): void {
    this.#takeShadow()
    postToHash({
      kind: 'restored',
      position: this.#guest.position(),
      memoryBytes: this.#guest.memory().length,
      pages: pages.map(([first, count]) => [first, count] as const),
      engineState: this.#engineState(),
      outputsRoot: this.#wasi.outputsRoot(),
    })
  }

  #begin(guest: Guest): void {
    this.#ready = guest
    this.#wasi.bind({
      get buffer() {
        return guest.memory().buffer
      },
    })
    if (from !== undefined) this.#restored(from)
    const { cached, elapsedMs, nameFirstCalls } = this.#loaded
    const wantsFirstCalls = nameFirstCalls !== undefined
    post({ kind: 'ready', memoryBytes: guest.memory().length, rewrite: { cached, elapsedMs }, wantsFirstCalls })
    // The first time a leaf is hashed for each file there is: now nobody waits for it.
    this.#wasi.encodeState()
    this.#serve()
  }

  #nextDue(): bigint {
    const slice = this.#guest.position() + SLICE_FUEL
    return slice < this.#due ? slice : this.#due
  }

  #stopped(stop: PauseStop): 'go' | 'capture' {
    live.flush()
    const memoryBytes = this.#guest.memory().length
    Atomics.store(counters, CONTROL_POSITION, stop.position)
    Atomics.store(counters, CONTROL_MEMORY, BigInt(memoryBytes))
    this.#dirtyPages.notice(memoryBytes)
    if (stop.kind !== 'due' || stop.position >= this.#due) {
      this.#report(stop)
    } else {
      if (!this.#inlinesMore) inlineMore()
      this.#inlinesMore = true
      if (Atomics.load(flags, CONTROL_INTERRUPT) === 0) return 'go'
      this.#reportInterrupted(stop.position)
    }
    if (this.#serve() === 'run') return 'go'
    this.#captureStartedMs = performance.now()
    return 'capture'
  }

  #report(stop: GuestStop | PauseStop): void {
    if (stop.kind === 'suspended') throw new Error('the engine never suspends a guest')
    post({ kind: 'stop', stop: { ...stop, memoryBytes: this.#guest.memory().length } })
  }

  #reportInterrupted(position: bigint): void {
    post({ kind: 'stop', stop: { kind: 'interrupted', position, memoryBytes: this.#guest.memory().length } })
  }

  /** Stands still and answers commands until one says to run, or to be captured first. */
  #serve(): 'run' | 'snapshot' {
    for (;;) {
      const command = nextCommand()
      if (command.kind === 'snapshot') return 'snapshot'
      if (isOfBeginning(command)) throw new Error('a machine begins once')
      if (command.kind === 'scanner') {
        this.#dirtyPages.attach(command.scanner)
      } else if (command.kind === 'first-calls') {
        this.#nameFirstCalls(command.functions)
      } else if (command.kind !== 'run') {
        this.#answer(command.kind)
      } else if (Atomics.load(flags, CONTROL_INTERRUPT) === 1) {
        // Where checkpoints are close together, every stop is one: here the flag is seen all the same.
        this.#reportInterrupted(this.#guest.position())
      } else {
        this.#due = command.position
        this.#isAsBegun = false
        return 'run'
      }
    }
  }

  /** The guest has been left; what the hash thread does not know of it yet goes there, and the guest goes on. */
  #captured(activations: Activations): 'go' {
    this.#takeShadow()
    postToHash({
      kind: 'snapshot',
      position: this.#guest.position(),
      phase: activations.phase === 'start' ? 'start' : 'main',
      frames: encodeFrames(activations),
      globals: this.#guest.globals(),
      host: this.#wasi.save(),
    })
    Atomics.add(counters, CONTROL_CAPTURE_US, BigInt(Math.round(1000 * (performance.now() - this.#captureStartedMs))))
    if (this.#serve() !== 'run') throw new Error('a guest that was just captured is captured again')
    return 'go'
  }

  /** Waits until the hash thread has done with the shadow, and keeps it from the next change until it has again. */
  #takeShadow(): void {
    while (Atomics.compareExchange(flags, CONTROL_HASHING, 0, 1) === 1) Atomics.wait(flags, CONTROL_HASHING, 1)
  }

  #nameFirstCalls(functions: readonly number[]): void {
    try {
      this.#loaded.nameFirstCalls?.(functions)
    } catch {
      // What cannot be kept costs the next start its time.
    }
    post({ kind: 'named' })
  }

  #answer(kind: 'measure' | 'state' | 'results'): void {
    if (kind === 'measure') return this.#measure()
    if (kind === 'state') {
      return post({ kind: 'state', memoryBytes: this.#guest.memory().length, engineState: this.#engineState() })
    }
    // Copies already: moved, not copied once more.
    const outputs = this.#wasi.outputs().map((output) => ({ path: output.path, bytes: output.read() }))
    const moved = outputs.map(({ bytes }) => bytes.buffer as ArrayBuffer)
    post({ kind: 'results', results: { outputs, removed: this.#wasi.removed(), notes: this.#wasi.notes() } }, moved)
  }

  /** Takes what must stand still; the hash thread does the rest while the guest goes on. */
  #measure(): void {
    const startedMs = performance.now()
    this.#takeShadow()
    const memory = this.#guest.memory()
    if (shadow.byteLength < memory.length) shadow.grow(memory.length)
    const memoryBytes = memory.length
    let pages = new Int32Array()
    const taken = this.#isAsBegun ? [] : this.#dirtyPages.take(memory, new Uint8Array(shadow, 0, memoryBytes))
    for (const part of taken) {
      if (pages.length > 0) postToHash({ kind: 'changed', memoryBytes, pages }, [pages.buffer])
      pages = part
    }
    const position = this.#guest.position()
    const engineState = this.#engineState()
    const outputsRoot = this.#wasi.outputsRoot()
    postToHash({ kind: 'measure', position, memoryBytes, pages, engineState, outputsRoot }, [pages.buffer])
    Atomics.add(counters, CONTROL_STALL_US, BigInt(Math.round(1000 * (performance.now() - startedMs))))
  }

  #engineState(): Uint8Array {
    return encodeEngineState(this.#guest.globals(), this.#wasi.encodeState())
  }
}

try {
  new EngineThread().run()
} catch (error) {
  post({ kind: 'failed', error: serializedError(error) })
}
