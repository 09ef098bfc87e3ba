/** Signed lists of revoked certificates. Format: spec/certificates.md §4. */
import { concat, hex, utf8 } from '../bytes/index.ts'
import { parseCanonicalBytes } from '../canon/index.ts'
import type { Crypto, PublicKey, SignatureScheme } from '../crypto.ts'
import { EvidenceError } from '../error.ts'
import { digest, exactly, fields, integer, label, list, wrong } from '../record/shape.ts'
import { fromDerSignature } from './algorithms.ts'
import { fromBase64 } from './base64.ts'
import type { Certificate } from './certificate.ts'

export const REVOCATION_LIST_BYTES_MAX = 1 << 24
export const REVOKED_MAX = 65_536
const REASON_BYTES_MAX = 256
const SERIAL_HEX_MAX = 64

export interface Revoked {
  /** Content of the INTEGER, hex. */
  readonly serial: string
  readonly akName: string
  /** Milliseconds since 1970. */
  readonly revokedAtMs: number
  readonly reason: string
}

export interface RevocationList {
  /** SHA-256 of the root's SubjectPublicKeyInfo, hex. */
  readonly authority: string
  readonly number: number
  readonly issuedAtMs: number
  readonly nextUpdateMs: number
  readonly revoked: readonly Revoked[]
}

const TAG = utf8('reprise/revocations/v1\0')

/** SHA-256 of a root's SubjectPublicKeyInfo, hex: how a list names it. */
export function authorityId({ spki }: Certificate, { sha256 }: Pick<Crypto, 'sha256'>): string {
  return hex(sha256(spki))
}

/**
 * @param roots - Of the authorities whose lists are taken.
 * @returns The list, and the root that signed it.
 * @throws {@link EvidenceError} `STRUCTURE` or `LIMIT` for a file that is none, is of another authority, or was not signed by its key.
 */
export async function readRevocationList(
  file: Uint8Array,
  roots: readonly Certificate[],
  crypto: Crypto,
): Promise<{ readonly list: RevocationList; readonly root: Certificate }> {
  const what = 'the revocation list'
  const signed = fields(parseCanonicalBytes(file, REVOCATION_LIST_BYTES_MAX, what), '$', [
    'payload',
    'schema',
    'signature',
  ])
  exactly(signed.schema, '$.schema', 'reprise/signed/v1')
  const payload = fromBase64(signed.payload, '$.payload')
  const decoded = decodeList(parseCanonicalBytes(payload, REVOCATION_LIST_BYTES_MAX, what))
  const root = roots.find((each) => authorityId(each, crypto) === decoded.authority)
  if (root === undefined)
    throw bad(`it is of the authority ${decoded.authority}, which is none of those that are trusted`)
  const { key } = root
  const signature = fromDerSignature(fromBase64(signed.signature, '$.signature'), key)
  if (!(await crypto.verify({ key, scheme: schemeOf(key), message: concat(TAG, payload), signature })))
    throw bad(`it is not signed by the key of ${root.subject.text}`)
  return { list: decoded, root }
}

function bad(why: string): EvidenceError {
  return new EvidenceError('STRUCTURE', { message: `the revocation list cannot be used: ${why}` })
}

const CURVE_HASHES = { 'P-256': 'sha256', 'P-384': 'sha384', 'P-521': 'sha512' } as const

function schemeOf(key: PublicKey): SignatureScheme {
  return key.kind === 'rsa' ? { kind: 'rsassa', hash: 'sha256' } : { kind: 'ecdsa', hash: CURVE_HASHES[key.curve] }
}

function decodeList(value: unknown): RevocationList {
  const names = ['authority', 'issuedAt', 'nextUpdate', 'number', 'revoked', 'schema'] as const
  const found = fields(value, 'payload', names)
  exactly(found.schema, 'payload.schema', 'reprise/revocations/v1')
  return {
    authority: digest(found.authority, 'payload.authority'),
    number: integer(found.number, 'payload.number', { min: 0, max: Number.MAX_SAFE_INTEGER }),
    issuedAtMs: time(found.issuedAt, 'payload.issuedAt'),
    nextUpdateMs: time(found.nextUpdate, 'payload.nextUpdate'),
    revoked: list(found.revoked, 'payload.revoked', REVOKED_MAX, decodeRevoked),
  }
}

function decodeRevoked(value: unknown, path: string): Revoked {
  const entry = fields(value, path, ['akName', 'reason', 'revokedAt', 'serial'])
  return {
    serial: hexText(entry.serial, `${path}.serial`),
    akName: hexText(entry.akName, `${path}.akName`),
    revokedAtMs: time(entry.revokedAt, `${path}.revokedAt`),
    reason: label(entry.reason, `${path}.reason`, REASON_BYTES_MAX),
  }
}

function hexText(value: unknown, path: string): string {
  if (typeof value !== 'string' || !/^([0-9a-f]{2})+$/.test(value) || value.length > 2 * SERIAL_HEX_MAX)
    throw wrong(path, 'is not lower-case hex')
  return value
}

/** In UTC, with or without milliseconds. */
function time(value: unknown, path: string): number {
  const text = label(value, path, REASON_BYTES_MAX)
  const ms = Date.parse(text)
  if (Number.isNaN(ms) || ![text, text.replace(/Z$/, '.000Z')].includes(new Date(ms).toISOString()))
    throw wrong(path, 'is not a time like 2026-11-22T03:25:00Z')
  return ms
}

/** What the list says of a certificate; undefined when it says nothing. */
export function revocationOf(
  { revoked }: RevocationList,
  { serial, akName }: { readonly serial: Uint8Array; readonly akName: Uint8Array },
): Revoked | undefined {
  const [serialText, nameText] = [hex(serial), hex(akName)]
  return revoked.find((entry) => entry.serial === serialText || entry.akName === nameText)
}
