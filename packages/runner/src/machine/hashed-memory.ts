/** The shadow of a machine's memory and the tree over it: what a measurement of the machine is made of. */
import { PageTree, stateRoot } from '@reprise/core'
import { nodeCrypto } from '../crypto.ts'
import {
  CONTROL_HASHING,
  type BeginRequest,
  type ChangedRequest,
  type MeasureRequest,
  type MeasureResult,
  type RestoredRequest,
  type RestoredResult,
} from './protocol.ts'

const { sha256 } = nodeCrypto

export class HashedMemory {
  readonly #shadow: SharedArrayBuffer
  #tree = new PageTree(sha256)
  memoryBytes = 0
  /** The stateRoot that was measured last. */
  lastState: Uint8Array = new Uint8Array()

  constructor(shadow: SharedArrayBuffer) {
    this.#shadow = shadow
  }

  /** Hashes what the shadow holds, or takes over what it is known to hash to. @returns The root of the memory. */
  begin({ memoryBytes, pages, digests }: BeginRequest): Uint8Array {
    this.#tree = new PageTree(sha256)
    this.memoryBytes = memoryBytes
    if (digests !== undefined) {
      this.#tree.takeOver(memoryBytes, digests)
      return this.#tree.root()
    }
    const wanted = pages.flatMap(([first, count]) => Array.from({ length: count }, (_, i) => first + i))
    this.#tree.update(new Uint8Array(this.#shadow, 0, memoryBytes), wanted)
    return this.#tree.root()
  }

  changed({ memoryBytes, pages }: Omit<ChangedRequest, 'kind'>): void {
    this.memoryBytes = memoryBytes
    this.#tree.update(new Uint8Array(this.#shadow, 0, memoryBytes), pages)
  }

  measure(request: MeasureRequest): MeasureResult {
    const { position, engineState, outputsRoot } = request
    this.changed(request)
    this.lastState = stateRoot(this.#tree.root(), engineState, sha256)
    return { kind: 'measure', position, stateRoot: this.lastState, outputsRoot }
  }

  restored(request: RestoredRequest): RestoredResult {
    const { position, engineState, outputsRoot } = request
    this.lastState = stateRoot(this.begin(request), engineState, sha256)
    return { kind: 'restored', position, stateRoot: this.lastState, outputsRoot, engineState }
  }
}

/** Lets the engine thread change the shadow again. */
export function releaseShadow(flags: Int32Array): void {
  Atomics.store(flags, CONTROL_HASHING, 0)
  Atomics.notify(flags, CONTROL_HASHING)
}
