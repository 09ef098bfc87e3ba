/**
 * What a host and an authority say to each other, over HTTP or in files: one JSON object each, bytes as
 * lower-case hex, nothing that is not named here. Format: spec/enrolment.md §3.
 */

import { fromUtf8 } from '@reprise/core'
import { HostError } from '../error.ts'
import {
  bytes,
  type Decode,
  dictionary,
  list,
  nullable,
  object,
  oneOf,
  refused,
  text,
  toJson,
} from '../signer/decode.ts'

/** Longest message, in bytes: four certificates as hex and what stands around them. */
export const MESSAGE_BYTES_MAX = 96 << 10
/** No TPMT_PUBLIC, TPMS_ATTEST or TPMT_SIGNATURE that is taken is longer, in bytes. */
export const TPM_BYTES_MAX = 4096
/** Longest certificate of an endorsement key or of one of its issuers, in bytes. */
export const EK_CERTIFICATE_BYTES_MAX = 4096
export const EK_ISSUERS_MAX = 3
/** Longest certificate of an attestation key, in bytes, and most of them in a chain (spec/record.md §2). */
export const AK_CERTIFICATE_BYTES_MAX = 8192
export const AK_CERTIFICATES_MAX = 4
/** A common name of X.509 has 64 characters. */
const HOST_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$/

export interface EnrolRequest {
  readonly schema: 'reprise/enrol-request/v1'
  readonly name: string
  /** TPMT_PUBLIC. */
  readonly akPublic: Uint8Array
  /** TPMT_PUBLIC. */
  readonly ekPublic: Uint8Array
  /** X.509 DER; null when the TPM carries none that fits. */
  readonly ekCertificate: Uint8Array | null
  /** Certificates that the TPM carries besides: those of the EK certificate's issuers. */
  readonly ekIssuers: readonly Uint8Array[]
}

export interface EnrolChallenge {
  readonly schema: 'reprise/enrol-challenge/v1'
  /** 32 random bytes. */
  readonly request: Uint8Array
  readonly name: string
  /** X.509 DER of the authority's root. */
  readonly root: Uint8Array
  /** TPM2B_ID_OBJECT's contents. */
  readonly credentialBlob: Uint8Array
  /** TPM2B_ENCRYPTED_SECRET's contents. */
  readonly encryptedSecret: Uint8Array
  readonly expiresAt: string
}

export interface EnrolAnswer {
  readonly schema: 'reprise/enrol-answer/v1'
  readonly request: Uint8Array
  /** What the credential hid. */
  readonly secret: Uint8Array
  readonly quote: EnrolQuote
}

/** A quote by the AK; its qualifying data is `enrolmentDigest` of `core`. */
export interface EnrolQuote {
  /** TPMS_ATTEST. */
  readonly attest: Uint8Array
  /** TPMT_SIGNATURE. */
  readonly signature: Uint8Array
  readonly pcrs: { readonly sha256: Readonly<Record<string, Uint8Array>> }
}

export type EnrolState = 'challenged' | 'waiting' | 'issued' | 'rejected'

export interface EnrolDecision {
  readonly schema: 'reprise/enrol-decision/v1'
  readonly request: Uint8Array
  readonly state: EnrolState
  /** What the authority calls the host. */
  readonly name: string
  readonly root: Uint8Array
  /** The AK certificate and its issuers without the root, leaf first; empty unless issued. */
  readonly certificates: readonly Uint8Array[]
  /** Why it was rejected, or what it waits for; empty when there is nothing to say. */
  readonly reason: string
}

export interface EnrolProblem {
  readonly schema: 'reprise/enrol-problem/v1'
  readonly code: string
  readonly message: string
  readonly hint: string | null
}

/** What an authority says of itself. */
export interface AuthorityFacts {
  readonly schema: 'reprise/authority/v1'
  readonly name: string
  readonly root: Uint8Array
}

export const digest = bytes(32)

export const hostName: Decode<string> = (value, path) => {
  if (typeof value === 'string' && HOST_NAME.test(value)) return value
  throw refused(path, 'a name of at most 64 letters, digits, dots, hyphens and underscores')
}

/** A time as `Date.toISOString` writes it. */
export const time: Decode<string> = (value, path) => {
  const date = new Date(typeof value === 'string' ? value : Number.NaN)
  if (!Number.isNaN(date.getTime()) && date.toISOString() === value) return value
  throw refused(path, 'a time such as 2026-01-02T03:04:05.678Z')
}

const structure = bytes(1, TPM_BYTES_MAX)
const ekCertificate = bytes(1, EK_CERTIFICATE_BYTES_MAX)
export const akCertificate = bytes(1, AK_CERTIFICATE_BYTES_MAX)
export const akCertificates = list(akCertificate, AK_CERTIFICATES_MAX)
export const quote = object<EnrolQuote>({
  attest: structure,
  signature: structure,
  pcrs: object<EnrolQuote['pcrs']>({ sha256: dictionary(/^(\d|1\d|2[0-3])$/, digest) }),
})

export interface Messages {
  readonly 'reprise/enrol-request/v1': EnrolRequest
  readonly 'reprise/enrol-challenge/v1': EnrolChallenge
  readonly 'reprise/enrol-answer/v1': EnrolAnswer
  readonly 'reprise/enrol-decision/v1': EnrolDecision
  readonly 'reprise/enrol-problem/v1': EnrolProblem
  readonly 'reprise/authority/v1': AuthorityFacts
}
export type MessageSchema = keyof Messages
export type Message = Messages[MessageSchema]

const DECODERS: { readonly [Schema in MessageSchema]: Decode<Messages[Schema]> } = {
  'reprise/enrol-request/v1': object({
    schema: oneOf('reprise/enrol-request/v1'),
    name: hostName,
    akPublic: structure,
    ekPublic: structure,
    ekCertificate: nullable(ekCertificate),
    ekIssuers: list(ekCertificate, EK_ISSUERS_MAX),
  }),
  'reprise/enrol-challenge/v1': object({
    schema: oneOf('reprise/enrol-challenge/v1'),
    request: digest,
    name: hostName,
    root: akCertificate,
    credentialBlob: bytes(1, 256),
    encryptedSecret: bytes(1, 1024),
    expiresAt: time,
  }),
  'reprise/enrol-answer/v1': object({
    schema: oneOf('reprise/enrol-answer/v1'),
    request: digest,
    secret: digest,
    quote,
  }),
  'reprise/enrol-decision/v1': object({
    schema: oneOf('reprise/enrol-decision/v1'),
    request: digest,
    state: oneOf('challenged', 'waiting', 'issued', 'rejected'),
    name: hostName,
    root: akCertificate,
    certificates: akCertificates,
    reason: text(1000),
  }),
  'reprise/enrol-problem/v1': object({
    schema: oneOf('reprise/enrol-problem/v1'),
    code: text(100),
    message: text(10_000),
    hint: nullable(text(10_000)),
  }),
  'reprise/authority/v1': object({ schema: oneOf('reprise/authority/v1'), name: text(64), root: akCertificate }),
}

/**
 * @param wanted - What it may be.
 * @throws {@link HostError} `PROTOCOL` unless the bytes are exactly one of these messages.
 */
export function decodeMessage<Schema extends MessageSchema>(
  content: Uint8Array,
  ...wanted: readonly Schema[]
): Messages[Schema] {
  const value = parseJson(content)
  const schema = (value as { readonly schema?: unknown } | null)?.schema
  const known = wanted.find((name) => name === schema)
  if (known === undefined) throw refused('message.schema', wanted.join(' or '))
  return DECODERS[known](value, 'message')
}

function parseJson(content: Uint8Array): unknown {
  if (content.length > MESSAGE_BYTES_MAX)
    throw new HostError('PROTOCOL', { message: `a message of more than ${MESSAGE_BYTES_MAX} bytes` })
  try {
    return JSON.parse(fromUtf8(content)) as unknown
  } catch (cause) {
    throw new HostError('PROTOCOL', { message: 'the message is not JSON in UTF-8', cause })
  }
}

export function encodeEnrolment(message: Message): string {
  return `${JSON.stringify(toJson(message))}\n`
}
