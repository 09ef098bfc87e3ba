/** From two halves to the key of an image version. Rules: spec/release.md §7. */

import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto'
import { concat, utf8 } from '@reprise/core'
import { RecoveryError } from '../error.ts'
import type { HostId, PlanMode } from '../types.ts'
import { Secret } from './secret.ts'
import { tagged } from './words.ts'

export const HALF_BYTES = 32
const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
const MODES: Readonly<Record<PlanMode, number>> = { quorum: 1, 'tpm-only': 2 }

/** What the root of a generation is bound to: halves of two of them never fit, nor a base that somebody moved. */
export interface RootScope {
  readonly mode: PlanMode
  readonly host: HostId
  readonly epoch: number
  /** Value of the image counter when it stood for version 0. */
  readonly imageBase: bigint
  /** The same of the roster's counter, and of that of approvals. */
  readonly rosterBase: bigint
  readonly approvalsBase: bigint
}

/**
 * @param halves.quorum - Left out in mode `tpm-only`, and only there.
 * @throws {@link RecoveryError} `USAGE` when halves and mode do not fit.
 */
export function rootOf(halves: { readonly tpm: Secret; readonly quorum?: Secret }, scope: RootScope): Secret {
  const { mode, host, epoch, imageBase, rosterBase, approvalsBase } = scope
  const parts = halves.quorum === undefined ? [halves.tpm] : [halves.tpm, halves.quorum]
  if (parts.length !== (mode === 'quorum' ? 2 : 1) || parts.some(({ bytes }) => bytes.length !== HALF_BYTES))
    throw new RecoveryError('USAGE', {
      message: `Mode ${mode} takes ${mode === 'quorum' ? 'two halves' : 'the TPM half alone'}, each of 32 bytes.`,
    })
  const info = tagged('reprise/release-root/v1').u8(MODES[mode]).sized(utf8(host)).u64(BigInt(epoch))
  const ikm = concat(...parts.map(({ bytes }) => bytes))
  try {
    return derive(ikm, info.u64(imageBase).u64(rosterBase).u64(approvalsBase).done())
  } finally {
    ikm.fill(0)
  }
}

function derive(ikm: Uint8Array, info: Uint8Array): Secret {
  return Secret.owning(new Uint8Array(hkdfSync('sha256', ikm, new Uint8Array(), info, KEY_BYTES)))
}

/** The content key of an image version as a generation keeps it. */
export interface WrappedKey {
  readonly version: number
  /** Nonce, key and tag of AES-256-GCM: 60 bytes. */
  readonly wrapped: Uint8Array
}

function wrapInfo(version: number): Uint8Array {
  return tagged('reprise/content-key/v1').u64(BigInt(version)).done()
}

/** @param random - Gives the nonce. */
export function wrapContentKey(
  root: Secret,
  content: { readonly version: number; readonly key: Secret },
  random: (lengthBytes: number) => Uint8Array,
): WrappedKey {
  const info = wrapInfo(content.version)
  using kek = derive(root.bytes, info)
  const nonce = random(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', kek.bytes, nonce).setAAD(info)
  const body = concat(cipher.update(content.key.bytes), cipher.final())
  return { version: content.version, wrapped: concat(nonce, body, cipher.getAuthTag()) }
}

/** @throws {@link RecoveryError} `CONTENT_KEY` when the halves are others, or version or bytes were changed. */
export function unwrapContentKey(root: Secret, { version, wrapped }: WrappedKey): Secret {
  const info = wrapInfo(version)
  using kek = derive(root.bytes, info)
  let key: Uint8Array = new Uint8Array()
  try {
    if (wrapped.length !== NONCE_BYTES + KEY_BYTES + TAG_BYTES) throw new RangeError('length')
    const decipher = createDecipheriv('aes-256-gcm', kek.bytes, wrapped.subarray(0, NONCE_BYTES)).setAAD(info)
    decipher.setAuthTag(wrapped.subarray(-TAG_BYTES))
    key = decipher.update(wrapped.subarray(NONCE_BYTES, -TAG_BYTES))
    decipher.final()
    return Secret.owning(key)
  } catch {
    key.fill(0)
    throw new RecoveryError('CONTENT_KEY', {
      message: `The content key of image version ${version} does not open with these halves.`,
      hint: 'The file of generations is older than the halves, or was changed. Use the newest one of this host.',
    })
  }
}
