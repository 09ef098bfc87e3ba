/**
 * The log of what this host measured of itself, kept in a file beside the TPM's secrets and extended into a register that only a
 * restart of the TPM resets. Format: spec/host.md §2.
 *
 * An entry is on disk before it is extended, so after a crash the register holds a first part of the file, and the rest is extended
 * then. When it holds none, the log begins anew from what the register holds.
 */
import { readFile } from 'node:fs/promises'
import {
  decodeOwnLog,
  encodeOwnLog,
  equal,
  EvidenceError,
  hex,
  newMeasurements,
  OWN_LOG_BYTES_MAX,
  OWN_LOG_ENTRIES_MAX,
  OWN_LOG_PCR,
  ownEntryDigest,
  type OwnLog,
  ownLogEntries,
  ownLogValues,
  type OwnMeasurement,
} from '@reprise/core'
import { HostError } from '../error.ts'
import { writeAtomically } from '../files.ts'
import { sha256 } from '../hashing.ts'
import type { TpmCounts } from '../signer/protocol.ts'

export type RegisterValue = { readonly value: Uint8Array } & TpmCounts

/** The register, and the power cycle that it belongs to. */
export interface OwnRegister {
  read(): Promise<RegisterValue>
  extend(digest: Uint8Array): Promise<void>
}

/** What was measured, when the register held all of it and when that was. */
interface Measured {
  readonly said: string
  readonly register: RegisterValue
  readonly text: string
}

/** Somebody else extended the register in between this often: another home at the same TPM, starting a run just now. */
const ATTEMPTS_MAX = 3

export class OwnLogKeeper {
  readonly #path: string
  readonly #register: OwnRegister
  #last: Measured | undefined
  #turn: Promise<unknown> = Promise.resolve()

  constructor(path: string, register: OwnRegister) {
    this.#path = path
    this.#register = register
  }

  /**
   * Extends what is new among the measurements.
   *
   * @returns The log as it is now extended, as its text.
   * @throws {@link HostError} `LIMIT` when it would become too long, `TPM_FAILED` when the register keeps changing.
   */
  measure(measured: readonly OwnMeasurement[]): Promise<string> {
    const next = this.#turn.then(() => this.#measure(measured))
    this.#turn = next.catch(() => undefined)
    return next
  }

  async #measure(measured: readonly OwnMeasurement[]): Promise<string> {
    const said = JSON.stringify(measured)
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const register = await this.#register.read()
      if (this.#last?.said === said && isSame(this.#last.register, register)) return this.#last.text
      const { log, extended } = await this.#extended(register)
      const next: OwnLog = { ...log, measurements: [...log.measurements, ...newMeasurements(log, measured)] }
      const text = encodeOwnLog(next, sha256)
      const entries = ownLogEntries(next)
      if (Buffer.byteLength(text) > OWN_LOG_BYTES_MAX || entries.length > OWN_LOG_ENTRIES_MAX) throw tooLong()
      if (extended === entries.length) {
        this.#last = { said, register, text }
        return text
      }
      await writeAtomically(this.#path, text)
      for (const entry of entries.slice(extended)) await this.#register.extend(ownEntryDigest(entry, sha256))
      if (equal((await this.#register.read()).value, ownLogValues(next, sha256).at(-1) as Uint8Array)) return text
    }
    throw new HostError('TPM_FAILED', {
      message: `PCR ${OWN_LOG_PCR} was extended by somebody else during each of ${ATTEMPTS_MAX} measurements.`,
      hint: 'Another REPRISE_HOME may be at work with this TPM: run again when it is done.',
    })
  }

  /** The log, and how many of its entries the register holds. */
  async #extended({
    value,
    resetCount,
    restartCount,
  }: RegisterValue): Promise<{ readonly log: OwnLog; readonly extended: number }> {
    const kept = await this.#read()
    if (kept?.begin.resetCount === resetCount && kept.begin.restartCount === restartCount) {
      const extended = ownLogValues(kept, sha256).findLastIndex((each) => equal(each, value))
      if (extended >= 0) return { log: kept, extended }
    }
    const begin = { kind: 'begin', register: hex(value), resetCount, restartCount } as const
    return { log: { begin, measurements: [] }, extended: 0 }
  }

  /** Undefined when there is none that can be read: then another one begins, which says so by the value that it begins from. */
  async #read(): Promise<OwnLog | undefined> {
    try {
      return decodeOwnLog(await readFile(this.#path), sha256)
    } catch (error) {
      if (error instanceof EvidenceError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }
}

function isSame(a: RegisterValue, b: RegisterValue): boolean {
  return equal(a.value, b.value) && a.resetCount === b.resetCount && a.restartCount === b.restartCount
}

function tooLong(): HostError {
  return new HostError('LIMIT', {
    message: `The log of what this host measured of itself would be longer than ${OWN_LOG_BYTES_MAX} bytes or ${OWN_LOG_ENTRIES_MAX} entries.`,
    hint: 'It begins anew when the TPM is started again.',
  })
}
