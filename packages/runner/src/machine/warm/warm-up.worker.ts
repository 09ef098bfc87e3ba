/** Takes a program from its beginning to its warm point, once, and hands over what it is there. Rules: spec/computation.md §6. */
import { parentPort, workerData } from 'node:worker_threads'
import { createWasi, isUntouched, runGuest, type Guest, type WasiHost } from '@reprise/wasm'
import { nodeCrypto } from '../../crypto.ts'
import { RunnerError } from '../../error.ts'
import { blobReader, wasiMounts } from '../inputs.ts'
import { loadRewritten } from '../rewritten.ts'
import { serializedError } from '../serialized-error.ts'
import type { WarmedUp } from './entry.ts'
import { WARM_UP_CLOCK_NS, WARM_UP_FUEL_MAX, type WarmUpMessage, type WarmUpWorkerData } from './protocol.ts'

const { computation, blobs, cacheFolder } = workerData as WarmUpWorkerData
const { start } = computation
const { sha256 } = nodeCrypto
const readBlob = blobReader(blobs)

function post(message: WarmUpMessage): void {
  parentPort?.postMessage(message)
}

/** The guest as the host's options name it before it is there, and whether it has said that it is warm. */
interface Warming {
  guest: Guest | undefined
  isWarm: boolean
  /** The host's state before the first call. */
  atStart: Uint8Array
}

function guestOf({ guest }: Warming): Guest {
  if (guest === undefined) throw new Error('the guest is asked for before it is there')
  return guest
}

function hostOf(warming: Warming): WasiHost {
  return createWasi({
    arguments: start.arguments,
    environment: Object.entries(start.environment),
    stdin: new Uint8Array(),
    mounts: wasiMounts(computation.mounts, start.mounts, { readBlob, cacheFolder, sha256 }),
    clockStartNs: WARM_UP_CLOCK_NS,
    seed: 0n,
    position: () => guestOf(warming).position(),
    sha256,
    start: {
      kind: 'warm-up',
      onWarm: () => {
        warming.isWarm = true
        // A stop inside the call, after which the next poll is due: only there a guest can be left.
        guestOf(warming).requestCheckpoint('warm')
      },
    },
  })
}

function warmUp(): WarmedUp {
  const { module, facts, continuations } = loadRewritten(
    () => readBlob(computation.program.sha256),
    { ...computation, start: undefined },
    { folder: cacheFolder, sha256 },
  )
  const made = continuations()
  const warming: Warming = { guest: undefined, isWarm: false, atStart: new Uint8Array() }
  const wasi = hostOf(warming)
  let warmedUp: WarmedUp | undefined
  const end = runGuest({
    module,
    facts,
    hostImport: (moduleName, name) => wasi.function(moduleName, name),
    isExit: (thrown) => wasi.isExit(thrown),
    nextDue: () => (warming.isWarm ? guestOf(warming).position() : WARM_UP_FUEL_MAX),
    onReady: (guest) => {
      warming.guest = guest
      wasi.bind({
        get buffer() {
          return guest.memory().buffer
        },
      })
      warming.atStart = wasi.encodeState()
    },
    onStop: ({ kind }) => (kind === 'requested' ? 'go' : warming.isWarm ? 'capture' : 'suspend'),
    continuations: made,
    onCapture: (activations, guest) => {
      const hostState = wasi.encodeState()
      if (!isUntouched(warming.atStart, hostState))
        throw notWarm('it has written, opened, drawn or read something before its warm point')
      const memory = guest.memory().slice()
      warmedUp = { activations, globals: guest.globals(), hostState, memory, continuations: made.keep(activations) }
      return 'suspend'
    },
  })
  if (warmedUp === undefined) throw notWarm(`it ${end.kind} at position ${end.position} and never came to a warm point`)
  return warmedUp
}

function notWarm(why: string): RunnerError {
  return new RunnerError('WARM_START', {
    message: `no warm start can be made of this program: ${why}`,
    hint: 'run it with --cold',
  })
}

try {
  post({ kind: 'warm', warmedUp: warmUp() })
} catch (error) {
  post({ kind: 'failed', error: serializedError(error) })
}
