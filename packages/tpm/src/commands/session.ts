/**
 * Starting sessions.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 3 §11.1 (StartAuthSession), Part 1 §19.6 (session key).
 */

import { randomBytes } from 'node:crypto'
import {
  ByteWriter,
  concat,
  digestLengthBytes,
  hashAlg,
  type HashAlgorithm,
  TPM_ALG,
  TPM_HT,
  TPM_SE,
} from '@reprise/core'
import { type Command, command, type Executor } from '../command.ts'
import { effectiveAuth, type Entity, NULL_HIERARCHY, type ObjectEntity } from '../entity.ts'
import { kdfa } from '../hashing.ts'
import { shareSecret } from '../session/secret.ts'
import { Session, type SessionType } from '../session/session.ts'
import { FlushContext } from './flush.ts'
import { readHandles } from './general.ts'

const SESSION_TYPES = { hmac: TPM_SE.HMAC, policy: TPM_SE.POLICY, trial: TPM_SE.TRIAL } as const
const AES_128_CFB = new ByteWriter().u16(TPM_ALG.AES).u16(128).u16(TPM_ALG.CFB).done()
const NO_CIPHER = new ByteWriter().u16(TPM_ALG.NULL).done()

export interface StartAuthSessionRequest {
  readonly sessionType: SessionType
  /** Salts the session with a secret that only this key can read: a storage key or an endorsement key. */
  readonly tpmKey?: ObjectEntity
  /** Binds the session to an entity, whose authValue then keys it. */
  readonly bind?: Entity
  /** Encrypts first parameters both ways, with AES-128-CFB. Only as secret as `tpmKey` and `bind` make it. */
  readonly encrypt?: boolean
  /** Audits every command it is used with; for HMAC sessions. */
  readonly audit?: boolean
  readonly authHash?: HashAlgorithm
  readonly random?: (lengthBytes: number) => Uint8Array
}

export function StartAuthSession(request: StartAuthSessionRequest): Command<Session> {
  const { sessionType, tpmKey, bind, encrypt = false, audit = false, authHash = 'sha256' } = request
  const random = request.random ?? ((lengthBytes: number) => new Uint8Array(randomBytes(lengthBytes)))
  const digestBytes = digestLengthBytes(hashAlg(authHash))
  const nonceCaller = random(digestBytes)
  const salt = tpmKey === undefined ? undefined : shareSecret(tpmKey.public, 'SECRET', random)
  const parameters = new ByteWriter()
    .tpm2b(nonceCaller)
    .tpm2b(salt?.encrypted ?? new Uint8Array())
    .u8(SESSION_TYPES[sessionType])
    .raw(encrypt ? AES_128_CFB : NO_CIPHER)
    .u16(hashAlg(authHash))
    .done()
  return command('StartAuthSession', {
    handles: [tpmKey ?? NULL_HIERARCHY, bind ?? NULL_HIERARCHY],
    parameters,
    answersWithHandle: true,
    decode: ({ handle, parameters, tpm }) => {
      const nonceTpm = parameters.tpm2b().slice()
      const key = concat(effectiveAuth(bind), salt?.seed ?? new Uint8Array())
      // Part 1 §19.6: only a session that is neither bound nor salted has no key; an empty authValue does not change that.
      const keyed = tpmKey !== undefined || bind !== undefined
      const sessionKey = keyed
        ? kdfa({
            algorithm: authHash,
            key,
            label: 'ATH',
            contextU: nonceTpm,
            contextV: nonceCaller,
            lengthBits: 8 * digestBytes,
          })
        : new Uint8Array()
      return new Session(tpm, {
        handle,
        sessionType,
        authHash,
        sessionKey,
        bind,
        encrypt,
        audit,
        nonceTpm,
        nonceCaller,
      })
    },
  })
}

/**
 * Flushes every transient object and session: what a former owner of the connection left behind. Not for a
 * TPM that others use at the same time.
 */
export async function flushAll(tpm: Executor): Promise<void> {
  for (const handleType of [TPM_HT.TRANSIENT, TPM_HT.HMAC_SESSION, TPM_HT.POLICY_SESSION]) {
    for (const flushHandle of await readHandles(tpm, handleType)) await tpm.execute(FlushContext({ flushHandle }))
  }
}
