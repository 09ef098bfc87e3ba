/**
 * TPMS_ATTEST: what a TPM signs when it speaks about itself. The signature is over these very
 * bytes, so `raw` is kept and never re-made in order to check it.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 2 §10.11 (TPMS_CLOCK_INFO), §10.12 (attestation structures).
 */

import { type ByteReader, ByteWriter } from '../bytes/index.ts'
import { TPM_GENERATED_VALUE, TPM_ST } from './constants.ts'
import { encodePcrSelection, type PcrSelection, readPcrSelection } from './pcr.ts'
import { decodeExactly, readYesNo, structureError } from './structure.ts'

/** TPMS_CLOCK_INFO. `clock` in milliseconds of powered time; obfuscated for keys outside the endorsement and platform hierarchies. */
export interface TpmsClockInfo {
  readonly clock: bigint
  readonly resetCount: number
  readonly restartCount: number
  /** False when `clock` may have been seen before: the TPM lost power without TPM2_Shutdown. */
  readonly safe: boolean
}

/** TPMS_TIME_INFO. `time` in milliseconds since the TPM was last powered. */
export interface TpmsTimeInfo {
  readonly time: bigint
  readonly clockInfo: TpmsClockInfo
}

interface AttestHead {
  /** Name of the signing key, qualified by its ancestors. */
  readonly qualifiedSigner: Uint8Array
  /** The caller's qualifying data. */
  readonly extraData: Uint8Array
  readonly clockInfo: TpmsClockInfo
  readonly firmwareVersion: bigint
}

export interface TpmsQuoteInfo {
  readonly pcrSelect: readonly PcrSelection[]
  readonly pcrDigest: Uint8Array
}

export interface TpmsCertifyInfo {
  readonly name: Uint8Array
  readonly qualifiedName: Uint8Array
}

export interface TpmsNvCertifyInfo {
  readonly indexName: Uint8Array
  readonly offset: number
  readonly nvContents: Uint8Array
}

export interface TpmsTimeAttestInfo {
  readonly time: TpmsTimeInfo
  readonly firmwareVersion: bigint
}

export interface TpmsSessionAuditInfo {
  readonly exclusiveSession: boolean
  readonly sessionDigest: Uint8Array
}

type Attested =
  | { readonly type: typeof TPM_ST.ATTEST_QUOTE; readonly attested: TpmsQuoteInfo }
  | { readonly type: typeof TPM_ST.ATTEST_CERTIFY; readonly attested: TpmsCertifyInfo }
  | { readonly type: typeof TPM_ST.ATTEST_NV; readonly attested: TpmsNvCertifyInfo }
  | { readonly type: typeof TPM_ST.ATTEST_TIME; readonly attested: TpmsTimeAttestInfo }
  | { readonly type: typeof TPM_ST.ATTEST_SESSION_AUDIT; readonly attested: TpmsSessionAuditInfo }

/** The fields of an attestation, not yet or no longer bytes. */
export type TpmsAttestFields = AttestHead & Attested

/** TPMS_ATTEST as received: its fields, and the bytes that were signed. */
export type TpmsAttest = TpmsAttestFields & { readonly raw: Uint8Array }

/**
 * @throws {@link EvidenceError} `STRUCTURE` unless the bytes are exactly one attestation of a known
 *   type that begins with TPM_GENERATED_VALUE.
 */
export function decodeTpmsAttest(bytes: Uint8Array): TpmsAttest {
  return decodeExactly('TPMS_ATTEST', bytes, (reader) => {
    if (reader.u32() !== TPM_GENERATED_VALUE)
      throw structureError('TPMS_ATTEST does not begin with TPM_GENERATED_VALUE: no TPM made it')
    const type = reader.u16()
    const head: AttestHead = {
      qualifiedSigner: reader.tpm2b(),
      extraData: reader.tpm2b(),
      clockInfo: readClockInfo(reader),
      firmwareVersion: reader.u64(),
    }
    return { ...head, ...readAttested(type, reader), raw: bytes }
  })
}

function readAttested(type: number, reader: ByteReader): Attested {
  switch (type) {
    case TPM_ST.ATTEST_QUOTE:
      return { type, attested: { pcrSelect: readPcrSelection(reader), pcrDigest: reader.tpm2b() } }
    case TPM_ST.ATTEST_CERTIFY:
      return { type, attested: { name: reader.tpm2b(), qualifiedName: reader.tpm2b() } }
    case TPM_ST.ATTEST_NV:
      return { type, attested: { indexName: reader.tpm2b(), offset: reader.u16(), nvContents: reader.tpm2b() } }
    case TPM_ST.ATTEST_TIME:
      return { type, attested: { time: readTimeInfo(reader), firmwareVersion: reader.u64() } }
    case TPM_ST.ATTEST_SESSION_AUDIT:
      return { type, attested: { exclusiveSession: readYesNo(reader), sessionDigest: reader.tpm2b() } }
    default:
      throw structureError(`TPMS_ATTEST of type 0x${type.toString(16)} is not supported`)
  }
}

export function readClockInfo(reader: ByteReader): TpmsClockInfo {
  return { clock: reader.u64(), resetCount: reader.u32(), restartCount: reader.u32(), safe: readYesNo(reader) }
}

export function readTimeInfo(reader: ByteReader): TpmsTimeInfo {
  return { time: reader.u64(), clockInfo: readClockInfo(reader) }
}

/** The bytes of an attestation; for building test evidence, never for checking a signature. */
export function encodeTpmsAttest(attest: TpmsAttestFields): Uint8Array {
  const writer = new ByteWriter()
    .u32(TPM_GENERATED_VALUE)
    .u16(attest.type)
    .tpm2b(attest.qualifiedSigner)
    .tpm2b(attest.extraData)
  writeClockInfo(writer, attest.clockInfo).u64(attest.firmwareVersion)
  switch (attest.type) {
    case TPM_ST.ATTEST_QUOTE:
      return writer.raw(encodePcrSelection(attest.attested.pcrSelect)).tpm2b(attest.attested.pcrDigest).done()
    case TPM_ST.ATTEST_CERTIFY:
      return writer.tpm2b(attest.attested.name).tpm2b(attest.attested.qualifiedName).done()
    case TPM_ST.ATTEST_NV:
      return writer
        .tpm2b(attest.attested.indexName)
        .u16(attest.attested.offset)
        .tpm2b(attest.attested.nvContents)
        .done()
    case TPM_ST.ATTEST_TIME:
      return writeClockInfo(writer.u64(attest.attested.time.time), attest.attested.time.clockInfo)
        .u64(attest.attested.firmwareVersion)
        .done()
    case TPM_ST.ATTEST_SESSION_AUDIT:
      return writer
        .u8(attest.attested.exclusiveSession ? 1 : 0)
        .tpm2b(attest.attested.sessionDigest)
        .done()
  }
}

function writeClockInfo(writer: ByteWriter, info: TpmsClockInfo): ByteWriter {
  return writer
    .u64(info.clock)
    .u32(info.resetCount)
    .u32(info.restartCount)
    .u8(info.safe ? 1 : 0)
}
