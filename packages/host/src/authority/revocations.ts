/** Signed revocation lists. Format: spec/enrolment.md §7. */

import { canonical, concat, hex, utf8 } from '@reprise/core'
import { sha256 } from '../hashing.ts'
import type { AuthorityKey } from './key.ts'
import type { AuthorityState } from './state.ts'

const TAG = utf8('reprise/revocations/v1\0')

export interface MadeList {
  /** The signed file. */
  readonly content: Uint8Array
  readonly sha256: Uint8Array
}

export async function makeRevocationList(
  key: AuthorityKey,
  made: {
    /** SHA-256 of the SubjectPublicKeyInfo of the root. */
    readonly authority: Uint8Array
    readonly state: AuthorityState
    readonly number: number
    readonly issuedAt: Date
    readonly nextUpdate: Date
  },
): Promise<MadeList> {
  const revoked = [...made.state.certificates.values()]
    .flatMap(({ serial, akName, revoked }) =>
      revoked === null ? [] : [{ serial, akName, revokedAt: revoked.at, reason: revoked.reason }],
    )
    .toSorted((a, b) => (a.serial < b.serial ? -1 : 1))
  const payload = utf8(
    canonical({
      schema: 'reprise/revocations/v1',
      authority: hex(made.authority),
      number: made.number,
      issuedAt: made.issuedAt.toISOString(),
      nextUpdate: made.nextUpdate.toISOString(),
      revoked,
    }),
  )
  const signature = derSignature(await key.sign(concat(TAG, payload)))
  const signed = { schema: 'reprise/signed/v1', payload: base64(payload), signature: base64(signature) }
  const content = utf8(canonical(signed))
  return { content, sha256: sha256(content) }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}

/** ECDSA-Sig-Value of RFC 3279 §2.2.3, of r ‖ s. */
function derSignature(signature: Uint8Array): Uint8Array {
  const half = signature.length / 2
  const numbers = concat(derInteger(signature.subarray(0, half)), derInteger(signature.subarray(half)))
  return concat(Uint8Array.of(0x30, numbers.length), numbers)
}

function derInteger(bytes: Uint8Array): Uint8Array {
  const first = bytes.findIndex((byte) => byte !== 0)
  const digits = first < 0 ? Uint8Array.of(0) : bytes.subarray(first)
  const positive = digits[0] < 0x80 ? digits : concat(Uint8Array.of(0), digits)
  return concat(Uint8Array.of(0x02, positive.length), positive)
}
