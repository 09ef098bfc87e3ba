/**
 * Entities: whatever has a handle. Its Name goes into every HMAC, its authValue opens it.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 1 §15 (handles), §16 (Names), §19 (authValues lose their trailing zeros).
 */

import { ByteWriter, TPM_RH, type TpmtPublic } from '@reprise/core'
import type { Executor } from './command.ts'
import { FlushContext } from './commands/flush.ts'
import { TpmError } from './error.ts'

export interface Entity {
  readonly handle: number
  readonly name: Uint8Array
  /** Absent means empty. */
  readonly authValue?: Uint8Array | undefined
}

/** An object with a public area: a key or sealed data, transient or persistent. */
export interface ObjectEntity extends Entity {
  readonly public: TpmtPublic
}

/** An entity whose Name is its handle: hierarchies, PCRs, sessions. */
export function namedByHandle(handle: number, authValue?: Uint8Array): Entity {
  return { handle, name: new ByteWriter().u32(handle).done(), authValue }
}

export const OWNER = namedByHandle(TPM_RH.OWNER)
export const ENDORSEMENT = namedByHandle(TPM_RH.ENDORSEMENT)
export const LOCKOUT = namedByHandle(TPM_RH.LOCKOUT)
export const PLATFORM = namedByHandle(TPM_RH.PLATFORM)
export const NULL_HIERARCHY = namedByHandle(TPM_RH.NULL)

/** A platform configuration register; the first ones need no authorization beyond an empty password. */
export function pcr(index: number): Entity {
  return namedByHandle(index)
}

/** The same entity, opened with this authValue. */
export function withAuth(entity: ObjectEntity, authValue: Uint8Array): ObjectEntity
export function withAuth(entity: Entity, authValue: Uint8Array): Entity
export function withAuth(entity: Entity, authValue: Uint8Array): Entity {
  return { ...entity, authValue }
}

/** A TPM compares authValues without their trailing zeros. */
export function effectiveAuth(entity: Entity | undefined): Uint8Array {
  const authValue = entity?.authValue ?? new Uint8Array()
  let lengthBytes = authValue.length
  while (lengthBytes > 0 && authValue[lengthBytes - 1] === 0) lengthBytes--
  return authValue.subarray(0, lengthBytes)
}

/** A transient object. It takes one of about three slots of the TPM until it is flushed. */
export class LoadedObject implements ObjectEntity, AsyncDisposable {
  readonly handle: number
  readonly name: Uint8Array
  readonly public: TpmtPublic
  readonly authValue: Uint8Array | undefined
  readonly #tpm: Executor
  #flushed = false

  constructor(tpm: Executor, object: ObjectEntity) {
    this.#tpm = tpm
    this.handle = object.handle
    this.name = object.name
    this.public = object.public
    this.authValue = object.authValue
  }

  /** Frees the slot. A second call does nothing. */
  async flush(): Promise<void> {
    if (this.#flushed) return
    this.#flushed = true
    await this.#tpm.execute(FlushContext({ flushHandle: this.handle }))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await unlessGone(this.flush())
  }
}

/** Disposal must not hide the error that ended the connection. */
export async function unlessGone(flushing: Promise<void>): Promise<void> {
  try {
    await flushing
  } catch (error) {
    if (!(error instanceof TpmError && (error.code === 'TRANSPORT' || error.code === 'TIMEOUT'))) throw error
  }
}
