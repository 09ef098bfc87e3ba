/**
 * The thread of a probe: runs a guest as the engine thread does, but to be looked at. At every stop all of it can be
 * digested, frames too, and kept in memory; the guest can be put back to what was kept.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { hex, pagesRoot, stateRoot } from '@reprise/core'
import {
  createWasi,
  encodeEngineState,
  encodeFrames,
  runGuest,
  type Activations,
  type Guest,
  type GuestStop,
  type HostCall,
  type PauseStop,
  type SavedHost,
  type Snapshot,
  type WasiHost,
} from '@reprise/wasm'
import { nodeCrypto } from '../crypto.ts'
import { CallRecorder } from './call-log.ts'
import { givenOptions, savedHost, snapshotOf } from './guest-parts.ts'
import { blobReader } from './inputs.ts'
import {
  PROBE_COMMANDS,
  PROBE_INTERRUPT,
  PROBE_POSITION,
  type ProbeCall,
  type ProbeCommand,
  type ProbeData,
  type ProbeMessage,
  type ProbeStop,
  type ProbeTarget,
} from './probe-protocol.ts'
import { loadRewritten } from './rewritten.ts'
import { serializedError } from './serialized-error.ts'
import { keptStack } from './warm/index.ts'

/** How far the guest runs between looks at the interrupt flag: tens of milliseconds. */
const SLICE_FUEL = 1n << 26n

const { computation, blobs, cacheFolder, control, from, warm } = workerData as ProbeData
const flags = new Int32Array(control)
const counters = new BigInt64Array(control)
const { sha256 } = nodeCrypto
const readBlob = blobReader(blobs)
/** Of the snapshot: nobody has read all of it before. */
const readSaved = blobReader(blobs, { trusted: false })
const digest = (data: Uint8Array): string => hex(sha256(data))

function post(message: ProbeMessage, transfer: readonly ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, [...transfer])
}

/** What the guest is put back to: nothing is the very start. */
interface Kept {
  readonly snapshot: Snapshot | undefined
  readonly host: SavedHost | undefined
  readonly calls: number
}

/** Its stack is continued by modules made here: those that are kept have no sites in host calls. */
function warmSnapshot(): Snapshot | undefined {
  if (warm === undefined) return undefined
  const { stack, memory } = warm
  return { activations: keptStack(stack).activations, memory, globals: stack.globals, position: 0n }
}

class ProbeThread {
  readonly #loaded = loadRewritten(
    () => readBlob(computation.program.sha256),
    computation,
    { folder: cacheFolder, sha256 },
    { lookout: true },
  )
  readonly #continuations = this.#loaded.continuations()
  readonly #given = givenOptions(computation, { readBlob, cacheFolder, sha256 })
  readonly #calls = new CallRecorder()
  #kept: Kept = {
    snapshot: from === undefined ? warmSnapshot() : snapshotOf(from, readSaved),
    host: from === undefined ? undefined : savedHost(from, readSaved),
    calls: 0,
  }
  #guest: Guest | undefined
  #wasi: WasiHost | undefined
  #target: ProbeTarget = { position: 0n }
  /** Where the guest stands when it is captured, or has not begun yet. */
  #activations: Activations | undefined
  #reached: ProbeCall | undefined

  /** Runs guest after guest: each but the first begins where one was kept. */
  run(): never {
    for (;;) {
      this.#calls.restart(this.#kept.calls)
      this.#reached = undefined
      this.#wasi = this.#createHost()
      const { module, facts } = this.#loaded
      const { snapshot } = this.#kept
      const end = runGuest({
        module,
        facts,
        hostImport: (moduleName, name) => this.#host.function(moduleName, name),
        isExit: (thrown) => this.#host.isExit(thrown),
        nextDue: () => this.#nextDue(),
        onReady: (guest) => this.#begin(guest),
        onStop: (stop) => this.#stopped(stop),
        continuations: this.#continuations,
        onCapture: (activations) => this.#captured(activations),
        ...(snapshot !== undefined && { from: snapshot }),
      })
      if (end.kind !== 'suspended') this.#ended(end)
    }
  }

  get #host(): WasiHost {
    if (this.#wasi === undefined) throw new Error('the host is asked for before it is there')
    return this.#wasi
  }

  get #running(): Guest {
    if (this.#guest === undefined) throw new Error('the guest is asked for before it is there')
    return this.#guest
  }

  #createHost(): WasiHost {
    return createWasi({
      ...this.#given,
      position: () => this.#running.position(),
      sha256,
      saved: this.#kept.host,
      onCall: (call) => this.#called(call),
      ...(computation.checkpoints.kind === 'outputs' && {
        onOutputClosed: (path: string) => this.#running.requestCheckpoint(`output ${path}`),
      }),
    })
  }

  #begin(guest: Guest): void {
    this.#guest = guest
    this.#host.bind({
      get buffer() {
        return guest.memory().buffer
      },
    })
    this.#activations = this.#kept.snapshot?.activations
    this.#report({ kind: 'start', position: guest.position() })
    for (;;) {
      const asked = this.#serve()
      if (asked === 'run') break
      // Nothing has run yet: here it was kept, and everything is known.
      if (asked === 'mark') this.#mark()
      else this.#report({ kind: 'start', position: guest.position() })
    }
    this.#activations = undefined
  }

  #nextDue(): bigint {
    const slice = this.#running.position() + SLICE_FUEL
    const { position } = this.#target
    return slice < position ? slice : position
  }

  #stopped(stop: PauseStop): 'go' | 'suspend' | 'capture' {
    Atomics.store(counters, PROBE_POSITION, stop.position)
    if (this.#reached !== undefined) return 'capture'
    const interrupted = Atomics.load(flags, PROBE_INTERRUPT) === 1
    const wanted =
      stop.kind === 'due' ? stop.position >= this.#target.position : stop.position === this.#target.requested
    if (!wanted && !interrupted) return 'go'
    this.#report({ kind: wanted ? stop.kind : 'interrupted', position: stop.position })
    const asked = this.#serve()
    return asked === 'run' ? 'go' : asked === 'back' ? 'suspend' : 'capture'
  }

  /** The guest has been left: for a mark of where it stands, or to be looked at in a call. */
  #captured(activations: Activations): 'go' | 'suspend' {
    this.#activations = activations
    const call = this.#reached
    this.#reached = undefined
    if (call === undefined) this.#mark()
    else this.#report({ kind: 'call', position: this.#running.position(), call })
    for (;;) {
      const asked = this.#serve()
      if (asked === 'mark') this.#mark()
      else {
        this.#activations = undefined
        return asked === 'run' ? 'go' : 'suspend'
      }
    }
  }

  #ended(end: GuestStop): void {
    if (end.kind === 'suspended') return
    const { kind, position } = end
    this.#report(kind === 'exited' ? { kind, position, code: end.code } : { kind, position, reason: end.reason })
    for (;;) {
      const asked = this.#serve()
      if (asked === 'back') return
      if (asked === 'run') throw new Error('a guest that has ended is run')
      this.#mark()
    }
  }

  #called(call: HostCall): void {
    const guest = this.#running
    this.#calls.add(call, guest.position(), guest.memory())
    if (this.#target.call !== this.#calls.count - 1) return
    const { name, parameters, errno } = call
    this.#reached = { name, parameters, errno, subject: call.subject() }
    guest.requestCheckpoint('call')
  }

  #report(stop: ProbeStop): void {
    post({ kind: 'stop', stop })
  }

  /** Stands still and answers until the guest has to move. */
  #serve(): 'run' | 'mark' | 'back' {
    for (;;) {
      const seen = Atomics.load(flags, PROBE_COMMANDS)
      const received = parentPort === null ? undefined : receiveMessageOnPort(parentPort)
      if (received === undefined) {
        Atomics.wait(flags, PROBE_COMMANDS, seen)
        continue
      }
      const command = received.message as ProbeCommand
      switch (command.kind) {
        case 'run':
          this.#target = command
          this.#calls.restart()
          return 'run'
        case 'mark':
        case 'back':
          return command.kind
        case 'keep':
          this.#keep()
          break
        case 'calls': {
          const calls = this.#calls.taken()
          post({ kind: 'calls', calls }, [calls.positions.buffer as ArrayBuffer, calls.digests.buffer as ArrayBuffer])
          break
        }
        case 'look':
          this.#look()
          break
        case 'measure':
          this.#measure()
      }
    }
  }

  #mark(): void {
    const guest = this.#running
    post({
      kind: 'mark',
      mark: {
        position: guest.position(),
        memory: digest(guest.memory()),
        globals: digest(encodeEngineState(guest.globals(), new Uint8Array())),
        frames: this.#activations === undefined ? '' : digest(encodeFrames(this.#activations)),
        host: digest(this.#host.encodeState()),
        outputs: hex(this.#host.outputsRoot()),
      },
    })
  }

  /** After a mark: what it was of is what the guest is put back to from now on. */
  #keep(): void {
    const guest = this.#running
    if (this.#activations === undefined) {
      if (guest.position() !== 0n) throw new Error('what is kept has a mark')
    } else {
      const snapshot = {
        activations: this.#activations,
        memory: guest.memory().slice(),
        globals: guest.globals(),
        position: guest.position(),
      }
      this.#kept = { snapshot, host: this.#host.save(), calls: this.#calls.count }
    }
    post({ kind: 'kept' })
  }

  #look(): void {
    const guest = this.#running
    const memory = guest.memory().slice()
    const frames = this.#activations === undefined ? undefined : encodeFrames(this.#activations)
    post({ kind: 'look', look: { memory, globals: guest.globals(), frames } }, [memory.buffer])
  }

  /** As a run measures itself at a checkpoint. */
  #measure(): void {
    const guest = this.#running
    const engineState = encodeEngineState(guest.globals(), this.#host.encodeState())
    const measurement = {
      stateRoot: stateRoot(pagesRoot(guest.memory(), sha256), engineState, sha256),
      outputsRoot: this.#host.outputsRoot(),
    }
    post({ kind: 'measure', measurement })
  }
}

try {
  new ProbeThread().run()
} catch (error) {
  post({ kind: 'failed', error: serializedError(error) })
}
