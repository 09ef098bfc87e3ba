/**
 * A command is a value: its code, its handles, its parameters as bytes, and how to read its answer.
 * Sessions are no part of it; `Tpm.execute` adds them.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 1 §18 (command and response structure); Part 3 (each command).
 */

import { type ByteReader, TPM_CC, type TpmCommandName } from '@reprise/core'
import type { Entity } from './entity.ts'
import type { Session } from './session/session.ts'

/** What a session may encrypt of a command: only a first parameter that is a TPM2B, there or back. */
export type Encryptable = 'none' | 'command' | 'response' | 'both'

/** What `decode` gets to read. */
export interface Answer {
  /** The handle that the TPM gave out; 0 for commands without one. */
  readonly handle: number
  readonly parameters: ByteReader
  /** Where the command ran, for objects that must be flushed there. */
  readonly tpm: Executor
}

export interface Command<Response> {
  /** As in `TPM_CC`, such as `PCR_Read`. */
  readonly name: TpmCommandName
  readonly commandCode: number
  readonly handles: readonly Entity[]
  /** How many of the handles, from the first, need an authorization. */
  readonly authorizations: number
  readonly parameters: Uint8Array
  readonly encryptable: Encryptable
  readonly answersWithHandle: boolean
  /** The first handle's authValue once the command is done, when the command changes it: the answer's HMAC uses it. */
  readonly authValueAfter: Uint8Array | undefined
  readonly decode: (answer: Answer) => Response
}

export interface ExecuteOptions {
  /**
   * By position: first those that authorize the handles, where undefined means the entity's authValue
   * as a password; then sessions that only encrypt or audit.
   */
  readonly sessions?: readonly (Session | undefined)[]
}

export interface Executor {
  execute<Response>(command: Command<Response>, options?: ExecuteOptions): Promise<Response>
}

/** Makes a command; what is left out is: no handles, no authorization, no parameters, nothing encryptable, no handle back. */
export function command<Response>(
  name: TpmCommandName,
  parts: Partial<Omit<Command<Response>, 'name' | 'commandCode' | 'decode'>> & Pick<Command<Response>, 'decode'>,
): Command<Response> {
  return {
    name,
    commandCode: TPM_CC[name],
    handles: parts.handles ?? [],
    authorizations: parts.authorizations ?? 0,
    parameters: parts.parameters ?? new Uint8Array(),
    encryptable: parts.encryptable ?? 'none',
    answersWithHandle: parts.answersWithHandle ?? false,
    authValueAfter: parts.authValueAfter,
    decode: parts.decode,
  }
}

/** For commands whose answer has no parameters. */
export function nothing(): void {}
