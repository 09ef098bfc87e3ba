/** Checks the statements that an attestation carries, each by itself. Format: spec/power-cycles.md §2, §3, §5. */
import { equal, fromHex } from '../bytes/index.ts'
import type { Crypto } from '../crypto.ts'
import { bootDigest, countDigest, type Count } from '../measure/index.ts'
import type { BootStatement, CounterStatement, Joined } from '../record/index.ts'
import {
  decodeStartupClear,
  decodeTpmsAttest,
  decodeTpmsNvPublic,
  nvName,
  sessionAuditDigest,
  startupClearExchange,
  TPM_ALG,
  TPM_ST,
  TPMA_NV,
  type TpmsAttest,
  type TpmsClockInfo,
} from '../tpm/index.ts'
import type { FindingCode } from './findings.ts'
import type { AttestationKey } from './host.ts'
import type { SignatureChecks } from './signatures.ts'

/** A counter and what it stood at, as the TPM said at a moment. */
export interface CounterFacts {
  /** TPMS_NV_PUBLIC, hex. */
  readonly index: string
  readonly value: bigint
  readonly clock: TpmsClockInfo
}

export interface BootFacts {
  readonly bootId: string | null
  readonly orderly: boolean
  readonly clock: TpmsClockInfo
  readonly counter: CounterFacts
}

/** What could be read; a part that is wrong is undefined, and a finding. */
export interface StatementFacts {
  readonly boot: BootFacts | undefined
  readonly counter: CounterFacts | undefined
}

export interface StatementsOf {
  readonly joined: Joined
  readonly key: AttestationKey
  readonly count: Count
  readonly signatures: SignatureChecks
  readonly crypto: Crypto
  /** Of the attestation. */
  readonly path: string
  readonly add: (code: FindingCode, message: string) => void
}

/** The only attributes that a counter may have: whoever could write it otherwise could choose its value. */
const COUNTER_ATTRIBUTES = TPMA_NV.COUNTER | TPMA_NV.AUTHREAD | TPMA_NV.AUTHWRITE | TPMA_NV.NO_DA | TPMA_NV.WRITTEN
const COUNTER_BYTES = 8

export function checkStatements(of: StatementsOf): StatementFacts {
  const { joined, key, count, crypto } = of
  const counter =
    joined.counter &&
    readCounter(of, joined.counter, {
      what: "the attempt's counter",
      extraData: countDigest({ ...count, hostId: key.hostId }, crypto.sha256),
    })
  return { boot: joined.boot && readBoot(of, joined.boot), counter }
}

function readBoot(of: StatementsOf, statement: BootStatement): BootFacts | undefined {
  const { bootId, startup } = statement
  const extraData = bootDigest({ hostId: of.key.hostId, bootId }, of.crypto.sha256)
  const expected = { what: 'the start-up', extraData }
  const attest = readAttest(of, startup, expected)
  const counter = readCounter(of, statement.counter, { what: "the boot's counter", extraData })
  if (attest === undefined) return undefined
  if (attest.type !== TPM_ST.ATTEST_SESSION_AUDIT) return wrongType(of, attest, expected.what)
  const orderly = readOrderly(of, fromHex(startup.response), attest.attested.sessionDigest)
  if (orderly === undefined || counter === undefined) return undefined
  return { bootId, orderly, clock: attest.clockInfo, counter }
}

function readOrderly(
  { crypto, add }: StatementsOf,
  response: Uint8Array,
  sessionDigest: Uint8Array,
): boolean | undefined {
  const expected = sessionAuditDigest([startupClearExchange(response)], { hash: crypto.hash, algorithm: 'sha256' })
  if (!equal(sessionDigest, expected)) {
    add('AUDIT_DIGEST', 'what the TPM audited is not this answer to the question how it was started')
    return undefined
  }
  try {
    return decodeStartupClear(response).orderly
  } catch (error) {
    add('AUDIT_DIGEST', (error as Error).message)
    return undefined
  }
}

function readCounter(
  of: StatementsOf,
  statement: CounterStatement,
  expected: { readonly what: string; readonly extraData: Uint8Array },
): CounterFacts | undefined {
  const attest = readAttest(of, statement, expected)
  if (attest === undefined) return undefined
  if (attest.type !== TPM_ST.ATTEST_NV) return wrongType(of, attest, expected.what)
  const { indexName, offset, nvContents } = attest.attested
  const why = whyNoCounter(fromHex(statement.public), indexName, of.crypto)
  const isWhole = offset === 0 && nvContents.length === COUNTER_BYTES
  if (why !== undefined || !isWhole) {
    of.add('COUNTER_INDEX', `${expected.what}: ${why ?? 'not the 8 bytes of a counter were certified'}`)
    return undefined
  }
  const value = new DataView(nvContents.buffer, nvContents.byteOffset).getBigUint64(0)
  return { index: statement.public, value, clock: attest.clockInfo }
}

function whyNoCounter(bytes: Uint8Array, indexName: Uint8Array, { hash }: Crypto): string | undefined {
  try {
    const area = decodeTpmsNvPublic(bytes)
    if (area.nameAlg !== TPM_ALG.SHA256) return 'its Name is not over SHA-256'
    if (!equal(nvName(area, hash), indexName)) return 'another index was certified'
    if (area.attributes !== COUNTER_ATTRIBUTES || area.authPolicy.length > 0 || area.dataSize !== COUNTER_BYTES)
      return 'the index is no counter, or could be written otherwise than by counting'
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

/** Signature, structure, signer and qualifying data, as of any attestation. */
function readAttest(
  { key, signatures, path, add }: StatementsOf,
  statement: { readonly attest: string; readonly signature: string },
  { what, extraData }: { readonly what: string; readonly extraData: Uint8Array },
): TpmsAttest | undefined {
  const message = fromHex(statement.attest)
  const signature = fromHex(statement.signature)
  signatures.check(key, { message, signature }, { code: 'STATEMENT_SIGNATURE', path, of: what })
  let attest: TpmsAttest
  try {
    attest = decodeTpmsAttest(message)
  } catch (error) {
    add('STATEMENT_ATTEST', `${what}: ${(error as Error).message}`)
    return undefined
  }
  if (!equal(attest.qualifiedSigner, key.qualifiedName))
    add('STATEMENT_ATTEST', `${what}: the signer is not the host's key in the endorsement hierarchy`)
  if (!equal(attest.extraData, extraData))
    add('STATEMENT_BINDING', `${what}: what was signed is not for this host, kernel, run, attempt and place`)
  return attest
}

function wrongType({ add }: StatementsOf, { type }: TpmsAttest, what: string): undefined {
  add('STATEMENT_ATTEST', `${what}: the attestation has type 0x${type.toString(16)}`)
}
