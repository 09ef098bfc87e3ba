/** Statements about a host's power, made as its TPM would make them, or by one that lies. */
import {
  bootDigest,
  ByteWriter,
  concat,
  countDigest,
  encodeTpmsAttest,
  encodeTpmsNvPublic,
  hex,
  nvName,
  sessionAuditDigest,
  startupClearExchange,
  TPM_ALG,
  TPM_CAP,
  TPM_PT,
  TPM_ST,
  TPMA_NV,
  type AuditedExchange,
  type BootStatement,
  type Count,
  type CounterStatement,
  type TpmsAttestFields,
  type TpmsClockInfo,
  type TpmsNvPublic,
} from '@reprise/core'
import type { ImitationTpm } from './imitation-tpm.ts'
import { nodeCrypto } from './node-crypto.ts'

const { hash, sha256 } = nodeCrypto

export interface PlannedCounter {
  value: number
  clockInfo: TpmsClockInfo
  /** What is not as it should be. */
  lie?: CounterLie
}

export interface PlannedBoot {
  bootId: string | null
  orderly: boolean
  clockInfo: TpmsClockInfo
  counter: PlannedCounter
  lie?: SignerLie & {
    /** What the statement says that the TPM answered. */
    readonly response?: Uint8Array
    /** What the TPM was asked. */
    readonly audited?: readonly AuditedExchange[]
    /** What the statement is made for. */
    readonly extraData?: Uint8Array
  }
}

interface SignerLie {
  readonly signer?: ImitationTpm
  readonly hook?: (fields: TpmsAttestFields) => TpmsAttestFields
  /** What is signed in the place of TPMS_ATTEST. */
  readonly bytes?: Uint8Array
}

interface CounterLie extends SignerLie {
  /** The index that the TPM certifies. */
  readonly index?: Partial<TpmsNvPublic>
  /** The index that the statement shows. */
  readonly shown?: Partial<TpmsNvPublic>
  readonly extraData?: Uint8Array
  readonly contents?: Uint8Array
  /** Bytes after the index that is shown. */
  readonly tail?: Uint8Array
}

interface OfHost {
  readonly tpm: ImitationTpm
  readonly hostId: Uint8Array
}

export const COUNTER: TpmsNvPublic = {
  nvIndex: 0x01803500,
  nameAlg: TPM_ALG.SHA256,
  attributes: TPMA_NV.COUNTER | TPMA_NV.AUTHREAD | TPMA_NV.AUTHWRITE | TPMA_NV.NO_DA | TPMA_NV.WRITTEN,
  authPolicy: new Uint8Array(),
  dataSize: 8,
}

/** The parameters of an answer to TPM2_GetCapability. Hierarchies are enabled, as they are after any Startup. */
export function startupResponse(orderly: boolean, property: number = TPM_PT.STARTUP_CLEAR): Uint8Array {
  const value = (orderly ? 0x8000000f : 0xf) >>> 0
  return new ByteWriter().u8(1).u32(TPM_CAP.TPM_PROPERTIES).u32(1).u32(property).u32(value).done()
}

export function bootStatement({ tpm, hostId }: OfHost, planned: PlannedBoot): BootStatement {
  const { bootId, orderly, clockInfo, lie = {} } = planned
  const extraData = bootDigest({ hostId, bootId }, sha256)
  const said = startupResponse(orderly)
  const exchanges = lie.audited ?? [startupClearExchange(said)]
  const startup = signed(tpm, lie, {
    type: TPM_ST.ATTEST_SESSION_AUDIT,
    ...head(tpm, clockInfo, lie.extraData ?? extraData),
    attested: { exclusiveSession: true, sessionDigest: sessionAuditDigest(exchanges, { hash, algorithm: 'sha256' }) },
  })
  return {
    bootId,
    counter: certified(tpm, planned.counter, extraData),
    startup: { ...startup, response: hex(lie.response ?? said) },
  }
}

export function counterStatement({ tpm, hostId }: OfHost, planned: PlannedCounter, count: Count): CounterStatement {
  return certified(tpm, planned, countDigest({ ...count, hostId }, sha256))
}

function certified(tpm: ImitationTpm, planned: PlannedCounter, extraData: Uint8Array): CounterStatement {
  const { value, clockInfo, lie = {} } = planned
  const index = { ...COUNTER, ...lie.index }
  const statement = signed(tpm, lie, {
    type: TPM_ST.ATTEST_NV,
    ...head(tpm, clockInfo, lie.extraData ?? extraData),
    attested: {
      indexName: nvName(index, hash),
      offset: 0,
      nvContents: lie.contents ?? new ByteWriter().u64(BigInt(value)).done(),
    },
  })
  return {
    ...statement,
    public: hex(concat(encodeTpmsNvPublic({ ...index, ...lie.shown }), lie.tail ?? new Uint8Array())),
  }
}

function head(
  tpm: ImitationTpm,
  clockInfo: TpmsClockInfo,
  extraData: Uint8Array,
): Pick<TpmsAttestFields, 'qualifiedSigner' | 'extraData' | 'clockInfo' | 'firmwareVersion'> {
  return { qualifiedSigner: tpm.qualifiedName, extraData, clockInfo, firmwareVersion: 0x2020031200120000n }
}

function signed(
  tpm: ImitationTpm,
  lie: SignerLie,
  fields: TpmsAttestFields,
): { readonly attest: string; readonly signature: string } {
  const attest = lie.bytes ?? encodeTpmsAttest(lie.hook?.(fields) ?? fields)
  return { attest: hex(attest), signature: hex((lie.signer ?? tpm).sign(attest)) }
}
