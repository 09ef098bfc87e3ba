/**
 * Ownership and protection against guessing.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 3 §24 (hierarchies), §25 (dictionary attack).
 */

import { ByteWriter } from '@reprise/core'
import { type Command, command, nothing } from '../command.ts'
import type { Entity } from '../entity.ts'

/** `lockHandle` is `LOCKOUT`, with lockoutAuth. */
export function DictionaryAttackLockReset(request: { readonly lockHandle: Entity }): Command<void> {
  return command('DictionaryAttackLockReset', { handles: [request.lockHandle], authorizations: 1, decode: nothing })
}

export function DictionaryAttackParameters(request: {
  readonly lockHandle: Entity
  readonly newMaxTries: number
  /** Seconds until one failure is forgotten. */
  readonly newRecoveryTime: number
  /** Seconds until lockoutAuth may be tried again after it was wrong. */
  readonly lockoutRecovery: number
}): Command<void> {
  return command('DictionaryAttackParameters', {
    handles: [request.lockHandle],
    authorizations: 1,
    parameters: new ByteWriter()
      .u32(request.newMaxTries)
      .u32(request.newRecoveryTime)
      .u32(request.lockoutRecovery)
      .done(),
    decode: nothing,
  })
}

export function HierarchyChangeAuth(request: {
  readonly authHandle: Entity
  readonly newAuth: Uint8Array
}): Command<void> {
  return command('HierarchyChangeAuth', {
    handles: [request.authHandle],
    authorizations: 1,
    parameters: new ByteWriter().tpm2b(request.newAuth).done(),
    encryptable: 'command',
    authValueAfter: request.newAuth,
    decode: nothing,
  })
}

/** Destroys everything in the owner and endorsement hierarchies; an empty lockoutAuth lets anybody do it. */
export function Clear(request: { readonly authHandle: Entity }): Command<void> {
  return command('Clear', {
    handles: [request.authHandle],
    authorizations: 1,
    authValueAfter: new Uint8Array(),
    decode: nothing,
  })
}
