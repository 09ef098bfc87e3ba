/**
 * What is said over the signer's socket: one JSON value a line, requests up, answers down.
 *
 * Requests carry typed fields only. There is none that has bytes signed: the signer builds every
 * qualifying data itself (spec/measurement.md §6).
 */

import {
  type Attestation,
  type BootStatement,
  type CounterStatement,
  decodeOwnMeasurement,
  OWN_LOG_BYTES_MAX,
  type OwnMeasurement,
  RepriseError,
} from '@reprise/core'
import { TpmError } from '@reprise/tpm'
import {
  akCertificate,
  akCertificates,
  EK_CERTIFICATE_BYTES_MAX,
  EK_ISSUERS_MAX,
  type EnrolQuote,
  hostName,
  quote,
  TPM_BYTES_MAX,
} from '../enrolment/messages.ts'
import { HostError, isHostErrorCode } from '../error.ts'
import { sha256 } from '../hashing.ts'
import type { HostReport } from '../identity/report.ts'
import {
  bigDecimal,
  boolean,
  bytes,
  decimal,
  type Decode,
  dictionary,
  hexText,
  integer,
  list,
  nullable,
  object,
  oneOf,
  optional,
  refused,
  text,
  toJson,
} from './decode.ts'

export const PROTOCOL_VERSION = 2
/** Longest request and longest answer, in bytes with their line feed. */
export const REQUEST_BYTES_MAX = 1 << 18
export const ANSWER_BYTES_MAX = 1 << 20

/** resetCount and restartCount: while both stay, the TPM's clock and PCRs have one continuous history. */
export interface TpmCounts {
  readonly resetCount: number
  readonly restartCount: number
}

/** A moment in the life of a TPM: `clock` in milliseconds of power, comparable within the same counts. */
export interface TpmClock extends TpmCounts {
  readonly clock: bigint
}

/** A run as the signer knows it. */
export interface OpenRun {
  /** 32 bytes. */
  readonly runId: Uint8Array
  readonly attempt: number
  readonly firstSeq: number
  readonly environmentDigest: Uint8Array
  /** Digest of the run's last attestation; 32 zero bytes when there is none. */
  readonly previous: Uint8Array
  /** Of that attestation, when this host made it. */
  readonly since: TpmClock | null
  /** That attestation is of this attempt already. */
  readonly begun: boolean
  /** Registers that its quotes cover besides 0 to 7. */
  readonly pcrs: readonly number[]
}

/** What a run wants signed next. */
export interface RunHead {
  readonly seq: number
  /** C_seq. */
  readonly cumulative: Uint8Array
  /** S. */
  readonly snapshots: Uint8Array
  /** No later one comes in this attempt. */
  readonly end: boolean
}

/** What the TPM has of its endorsement key besides the certificate. */
export interface Endorsement {
  /** TPMT_PUBLIC. */
  readonly ekPublic: Uint8Array
  readonly ekIssuers: readonly Uint8Array[]
}

/** An authority's challenge: the signer opens it, and quotes for this authority, request and name. */
export interface ToProve {
  /** SHA-256 of the SubjectPublicKeyInfo of the authority's root. */
  readonly authority: Uint8Array
  /** 32 bytes by which the authority knows the request. */
  readonly id: Uint8Array
  readonly name: string
  readonly credentialBlob: Uint8Array
  readonly encryptedSecret: Uint8Array
}

export interface Proof {
  readonly secret: Uint8Array
  readonly quote: EnrolQuote
}

/** What an authority issued. */
export interface Enrolment {
  /** X.509 DER of the authority's root. */
  readonly root: Uint8Array
  /** The AK certificate and its issuers without the root, leaf first. */
  readonly certificates: readonly Uint8Array[]
}

export type Request =
  | { readonly type: 'hello'; readonly version: number }
  | ({ readonly type: 'openRun'; readonly request: number } & OpenRun)
  | ({ readonly type: 'head'; readonly runId: Uint8Array; readonly urgent: boolean } & RunHead)
  | { readonly type: 'closeRun'; readonly runId: Uint8Array }
  | { readonly type: 'show'; readonly request: number }
  /** Extends what is new of it into the register of the host's own log. */
  | { readonly type: 'measure'; readonly request: number; readonly measured: readonly OwnMeasurement[] }
  /** A quote for whoever asks how this host is; `nonce` is 32 bytes that go into its qualifying data by their own tag. */
  | {
      readonly type: 'attest'
      readonly request: number
      readonly nonce: Uint8Array
      readonly pcrs: readonly number[]
    }
  | { readonly type: 'endorsement'; readonly request: number }
  | ({ readonly type: 'prove'; readonly request: number } & ToProve)
  /** Keeps certificates with the identity, if they belong to it. */
  | ({ readonly type: 'keep'; readonly request: number } & Enrolment)
  | { readonly type: 'stop'; readonly request: number }

/** What the signer says about its host at once. */
export interface HostFacts {
  readonly hostId: Uint8Array
  /** TPMT_PUBLIC as the TPM gave it. */
  readonly akPublic: Uint8Array
  readonly akName: Uint8Array
  /** X.509 DER; null when the TPM carries none that fits its EK. */
  readonly ekCertificate: Uint8Array | null
  /** X.509 DER of the AK certificate and its issuers without the root, leaf first; empty for a self-enrolled host. */
  readonly certificates: readonly Uint8Array[]
  readonly tpm: {
    /** Four characters of the TCG vendor registry without padding, such as `IBM`, `INTC`. */
    readonly manufacturer: string
    /** firmwareVersion as attestations carry it: 16 hex digits. */
    readonly firmware: string
    readonly transport: 'swtpm' | 'device'
  }
  /** What the user should know, such as why it is a software TPM. */
  readonly notices: readonly string[]
}

/** A quote that shows how a host is. */
export interface HostQuote {
  /** TPMS_ATTEST. */
  readonly attest: Uint8Array
  /** TPMT_SIGNATURE. */
  readonly signature: Uint8Array
  /** Bank SHA-256, hex by index. */
  readonly pcrs: Readonly<Record<string, string>>
}

export interface SaidError {
  readonly code: string
  readonly message: string
  readonly hint: string | null
}

export type Answer =
  | { readonly type: 'hello'; readonly version: number; readonly pid: number; readonly host: HostFacts }
  | { readonly type: 'done'; readonly request: number }
  | { readonly type: 'report'; readonly request: number; readonly report: HostReport }
  | { readonly type: 'measured'; readonly request: number; readonly log: string }
  | { readonly type: 'quote'; readonly request: number; readonly quote: HostQuote }
  | ({ readonly type: 'endorsement'; readonly request: number } & Endorsement)
  | ({ readonly type: 'proof'; readonly request: number } & Proof)
  | { readonly type: 'receipt'; readonly runId: Uint8Array; readonly attestation: Attestation }
  /** About a request, about a run, or (with neither) about the connection, which then ends. */
  | {
      readonly type: 'error'
      readonly request: number | null
      readonly runId: Uint8Array | null
      readonly error: SaidError
    }

const digest = bytes(32)
const count32 = integer(0, 0xffffffff)
const clock = object<TpmClock>({ resetCount: count32, restartCount: count32, clock: bigDecimal })
const requestNumber = integer(0)
const registers = list(integer(0, 23), 24)

const OWN_MEASUREMENTS_MAX = 16
const measurement: Decode<OwnMeasurement> = (value, path) => {
  try {
    return decodeOwnMeasurement(value, path, sha256)
  } catch (cause) {
    throw new HostError('PROTOCOL', { message: (cause as Error).message, cause })
  }
}

const REQUESTS: { readonly [Type in Request['type']]: Decode<Request & { readonly type: Type }> } = {
  hello: object({ type: oneOf('hello'), version: integer(0) }),
  openRun: object({
    type: oneOf('openRun'),
    request: requestNumber,
    runId: digest,
    attempt: integer(1),
    firstSeq: integer(0),
    environmentDigest: digest,
    previous: digest,
    since: nullable(clock),
    begun: boolean,
    pcrs: registers,
  }),
  head: object({
    type: oneOf('head'),
    runId: digest,
    seq: integer(0),
    cumulative: digest,
    snapshots: digest,
    end: boolean,
    urgent: boolean,
  }),
  closeRun: object({ type: oneOf('closeRun'), runId: digest }),
  show: object({ type: oneOf('show'), request: requestNumber }),
  measure: object({
    type: oneOf('measure'),
    request: requestNumber,
    measured: list(measurement, OWN_MEASUREMENTS_MAX),
  }),
  attest: object({ type: oneOf('attest'), request: requestNumber, nonce: digest, pcrs: registers }),
  endorsement: object({ type: oneOf('endorsement'), request: requestNumber }),
  prove: object({
    type: oneOf('prove'),
    request: requestNumber,
    authority: digest,
    id: digest,
    name: hostName,
    credentialBlob: bytes(1, 256),
    encryptedSecret: bytes(1, 1024),
  }),
  keep: object({ type: oneOf('keep'), request: requestNumber, root: akCertificate, certificates: akCertificates }),
  stop: object({ type: oneOf('stop'), request: requestNumber }),
}

const BATCH_PATH_MAX = 64

const statement = object<CounterStatement>({
  attest: hexText(1, TPM_BYTES_MAX),
  public: hexText(1, TPM_BYTES_MAX),
  signature: hexText(1, TPM_BYTES_MAX),
})

const pcrValues = dictionary(/^(\d|1\d|2[0-3])$/, hexText(32))
const attestation = object<Attestation>({
  attempt: integer(1),
  attest: hexText(1, TPM_BYTES_MAX),
  batch: object<Attestation['batch']>({
    count: integer(1),
    index: integer(0),
    path: list(hexText(32), BATCH_PATH_MAX),
    seq: decimal,
  }),
  pcrs: object<Attestation['pcrs']>({ sha256: pcrValues }),
  seq: integer(0),
  signature: hexText(1, TPM_BYTES_MAX),
  boot: optional(
    object<BootStatement>({
      bootId: nullable(text(256)),
      counter: statement,
      startup: object<BootStatement['startup']>({
        attest: hexText(1, TPM_BYTES_MAX),
        response: hexText(1, TPM_BYTES_MAX),
        signature: hexText(1, TPM_BYTES_MAX),
      }),
    }),
  ),
  counter: optional(statement),
})

const CERTIFICATE_BYTES_MAX = 16_384
const hostFacts = object<HostFacts>({
  hostId: digest,
  akPublic: bytes(1, TPM_BYTES_MAX),
  akName: bytes(34),
  ekCertificate: nullable(bytes(1, CERTIFICATE_BYTES_MAX)),
  certificates: akCertificates,
  tpm: object<HostFacts['tpm']>({
    manufacturer: text(4),
    firmware: hexText(8),
    transport: oneOf('swtpm', 'device'),
  }),
  notices: list(text(1000), 16),
})

/** The report goes to whoever asked as it is: it is for showing, and nothing is decided by it. */
const report: Decode<HostReport> = (value, path) => {
  if (typeof value !== 'object' || value === null) throw refused(path, 'an object')
  return value as HostReport
}

const ANSWERS: { readonly [Type in Answer['type']]: Decode<Answer & { readonly type: Type }> } = {
  hello: object({ type: oneOf('hello'), version: integer(0), pid: integer(1), host: hostFacts }),
  done: object({ type: oneOf('done'), request: requestNumber }),
  report: object({ type: oneOf('report'), request: requestNumber, report }),
  measured: object({ type: oneOf('measured'), request: requestNumber, log: text(OWN_LOG_BYTES_MAX) }),
  quote: object({
    type: oneOf('quote'),
    request: requestNumber,
    quote: object<HostQuote>({
      attest: bytes(1, TPM_BYTES_MAX),
      signature: bytes(1, TPM_BYTES_MAX),
      pcrs: pcrValues,
    }),
  }),
  endorsement: object({
    type: oneOf('endorsement'),
    request: requestNumber,
    ekPublic: bytes(1, TPM_BYTES_MAX),
    ekIssuers: list(bytes(1, EK_CERTIFICATE_BYTES_MAX), EK_ISSUERS_MAX),
  }),
  proof: object({ type: oneOf('proof'), request: requestNumber, secret: digest, quote }),
  receipt: object({ type: oneOf('receipt'), runId: digest, attestation }),
  error: object({
    type: oneOf('error'),
    request: nullable(requestNumber),
    runId: nullable(digest),
    error: object<SaidError>({ code: text(100), message: text(10_000), hint: nullable(text(10_000)) }),
  }),
}

/** @throws {@link HostError} `PROTOCOL` unless the value is exactly one request. */
export function decodeRequest(value: unknown): Request {
  return decodeByType<Request>(REQUESTS, value, 'request')
}

/** @throws {@link HostError} `PROTOCOL` unless the value is exactly one answer. */
export function decodeAnswer(value: unknown): Answer {
  return decodeByType<Answer>(ANSWERS, value, 'answer')
}

function decodeByType<T>(decoders: Readonly<Record<string, Decode<T>>>, value: unknown, path: string): T {
  const type = (value as { readonly type?: unknown } | null | undefined)?.type
  if (typeof type !== 'string' || !Object.hasOwn(decoders, type))
    throw refused(`${path}.type`, Object.keys(decoders).join(' or '))
  return decoders[type](value, path)
}

/** The JSON of a message: bytes as hex, large numbers as decimal text, the rest as it is. The report is JSON already. */
export function encodeMessage(message: Request | Answer): unknown {
  return toJson(message)
}

/** An error as it is said; what is not ours becomes `TPM_FAILED`, because the TPM is all the signer works with. */
export function sayError(error: unknown): SaidError {
  const missing = error instanceof TpmError && error.code === 'SWTPM_MISSING'
  return {
    code: error instanceof HostError ? error.code : missing ? 'TPM_MISSING' : 'TPM_FAILED',
    message: error instanceof Error ? error.message : String(error),
    hint: (error instanceof RepriseError ? error.hint : undefined) ?? null,
  }
}

export function heardError(said: SaidError): HostError {
  const code = isHostErrorCode(said.code) ? said.code : 'PROTOCOL'
  return new HostError(code, { message: said.message, ...(said.hint === null ? {} : { hint: said.hint }) })
}
