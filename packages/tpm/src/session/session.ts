/**
 * Sessions: HMAC and policy authorization, parameter encryption, audit. One object per session, because
 * its nonces roll with every command.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 1 §19.6 (session-based authorization), §20 (audit sessions), §21 (parameter encryption).
 */

import { createCipheriv, createDecipheriv } from 'node:crypto'
import {
  type AuditedExchange,
  ByteWriter,
  commandParameterHash,
  concat,
  equal,
  type HashAlgorithm,
  responseParameterHash,
  TPMA_SESSION,
} from '@reprise/core'
import type { Executor } from '../command.ts'
import { FlushContext } from '../commands/flush.ts'
import { effectiveAuth, type Entity, unlessGone } from '../entity.ts'
import { hash, hmac, kdfa } from '../hashing.ts'

export type SessionType = 'hmac' | 'policy' | 'trial'

/** AES-128-CFB, which every PC Client TPM has. */
const AES_KEY_BITS = 128
const AES_IV_BITS = 128

export interface SessionState {
  readonly handle: number
  readonly sessionType: SessionType
  readonly authHash: HashAlgorithm
  /** Empty when the session is neither salted nor bound. */
  readonly sessionKey: Uint8Array
  readonly bind: Entity | undefined
  readonly encrypt: boolean
  readonly audit: boolean
  readonly nonceTpm: Uint8Array
  readonly nonceCaller: Uint8Array
}

/** One use of a session in one command. */
export interface SessionUse {
  readonly session: Session
  /** What it authorizes; undefined when it only encrypts or audits. */
  readonly entity: Entity | undefined
  readonly attributes: number
}

export class Session implements Entity, AsyncDisposable {
  readonly handle: number
  readonly name: Uint8Array
  readonly sessionType: SessionType
  readonly authHash: HashAlgorithm
  /** Whether first parameters that can be encrypted are encrypted, both ways. */
  readonly encrypt: boolean
  readonly audit: boolean
  /** PolicyAuthValue was given: the entity's authValue joins the HMAC key. */
  authValueNeeded = false
  nonceTpm: Uint8Array
  nonceCaller: Uint8Array
  readonly #sessionKey: Uint8Array
  readonly #bind: Entity | undefined
  readonly #tpm: Executor
  #flushed = false

  constructor(tpm: Executor, state: SessionState) {
    this.#tpm = tpm
    this.handle = state.handle
    this.name = new ByteWriter().u32(state.handle).done()
    this.sessionType = state.sessionType
    this.authHash = state.authHash
    this.encrypt = state.encrypt
    this.audit = state.audit
    this.nonceTpm = state.nonceTpm
    this.nonceCaller = state.nonceCaller
    this.#sessionKey = state.sessionKey
    this.#bind = state.bind
  }

  /** True when commands and answers carry an HMAC; a plain policy session has no secret to make one with. */
  authenticates(entity: Entity | undefined): boolean {
    return this.sessionType === 'hmac' || this.authValueNeeded || this.#hmacKey(entity).length > 0
  }

  commandHmac(
    use: SessionUse,
    exchange: Omit<AuditedExchange, 'responseParameters'>,
    otherNonces: Uint8Array,
  ): Uint8Array {
    if (!this.authenticates(use.entity)) return new Uint8Array()
    const cpHash = commandParameterHash(exchange, { hash, algorithm: this.authHash })
    const tail = concat(otherNonces, Uint8Array.of(use.attributes))
    return hmac(this.authHash, this.#hmacKey(use.entity), cpHash, this.nonceCaller, this.nonceTpm, tail)
  }

  /** The HMAC that the answer must carry; `nonceTpm` is already the answer's. */
  responseHmac(use: SessionUse, answer: Pick<AuditedExchange, 'commandCode' | 'responseParameters'>): Uint8Array {
    if (!this.authenticates(use.entity)) return new Uint8Array()
    const rpHash = responseParameterHash(answer, { hash, algorithm: this.authHash })
    return hmac(
      this.authHash,
      this.#hmacKey(use.entity),
      rpHash,
      this.nonceTpm,
      this.nonceCaller,
      Uint8Array.of(use.attributes),
    )
  }

  /** Encrypts the TPM2B at the start of a command's parameters. */
  encryptFirst(parameters: Uint8Array, entity: Entity | undefined): Uint8Array {
    return this.#cryptFirst(parameters, { entity, newer: this.nonceCaller, older: this.nonceTpm, encrypting: true })
  }

  /** Decrypts the TPM2B at the start of an answer's parameters. */
  decryptFirst(parameters: Uint8Array, entity: Entity | undefined): Uint8Array {
    return this.#cryptFirst(parameters, { entity, newer: this.nonceTpm, older: this.nonceCaller, encrypting: false })
  }

  /** Part 1 §19.6: a bound session leaves out the authValue of the very entity it is bound to. */
  #hmacKey(entity: Entity | undefined): Uint8Array {
    if (entity === undefined) return this.#sessionKey
    if (this.sessionType !== 'hmac')
      return this.authValueNeeded ? concat(this.#sessionKey, effectiveAuth(entity)) : this.#sessionKey
    return this.#isBoundTo(entity) ? this.#sessionKey : concat(this.#sessionKey, effectiveAuth(entity))
  }

  #isBoundTo(entity: Entity): boolean {
    return (
      this.#bind !== undefined &&
      equal(this.#bind.name, entity.name) &&
      equal(effectiveAuth(this.#bind), effectiveAuth(entity))
    )
  }

  #cryptFirst(
    parameters: Uint8Array,
    use: {
      readonly entity: Entity | undefined
      readonly newer: Uint8Array
      readonly older: Uint8Array
      readonly encrypting: boolean
    },
  ): Uint8Array {
    // Part 1 §21: unlike in the HMAC key, the authValue counts whatever the binding and the type.
    const stream = kdfa({
      algorithm: this.authHash,
      key: concat(this.#sessionKey, effectiveAuth(use.entity)),
      label: 'CFB',
      contextU: use.newer,
      contextV: use.older,
      lengthBits: AES_KEY_BITS + AES_IV_BITS,
    })
    const key = stream.subarray(0, AES_KEY_BITS / 8)
    const iv = stream.subarray(AES_KEY_BITS / 8)
    const end = 2 + ((parameters[0] << 8) | parameters[1])
    const cipher = (use.encrypting ? createCipheriv : createDecipheriv)(`aes-${AES_KEY_BITS}-cfb`, key, iv)
    const crypted = cipher.update(parameters.subarray(2, end))
    const whole = concat(parameters.subarray(0, 2), crypted, cipher.final(), parameters.subarray(end))
    // What was decrypted may be a secret, whose only copy is the caller's to wipe.
    crypted.fill(0)
    return whole
  }

  async flush(): Promise<void> {
    if (this.#flushed) return
    this.#flushed = true
    await this.#tpm.execute(FlushContext({ flushHandle: this.handle }))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await unlessGone(this.flush())
  }
}

/** Attribute bits of a session in one command. */
export function sessionAttributes(
  session: Session,
  crypts: { readonly decrypt: boolean; readonly encrypt: boolean },
): number {
  let attributes: number = TPMA_SESSION.continueSession
  if (crypts.decrypt) attributes |= TPMA_SESSION.decrypt
  if (crypts.encrypt) attributes |= TPMA_SESSION.encrypt
  if (session.audit) attributes |= TPMA_SESSION.audit
  return attributes
}
