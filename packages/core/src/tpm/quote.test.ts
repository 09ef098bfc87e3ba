/** Quotes of real machines against what other programs said of them: vectors/quote. */

import { constants, createHash, createPublicKey, type KeyObject, verify } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { equal, fromHex, hex, utf8 } from '../bytes/index.ts'
import type { Crypto, HashAlgorithm } from '../crypto.ts'
import { EvidenceError } from '../error.ts'
import {
  decodeTpmsAttest,
  decodeTpmtPublic,
  decodeTpmtSignature,
  encodeTpmsAttest,
  encodeTpmtPublic,
  encodeTpmtSignature,
  hashAlgorithm,
  nvName,
  objectName,
  type PcrBanks,
  pcrDigest,
  qualifiedName,
  sessionAuditDigest,
  STARTUP_CLEAR_ORDERLY,
  toPublicKey,
  TPM_CC,
  TPM_RH,
  TPM_ST,
  type TpmSignature,
} from './index.ts'

interface Signed {
  attest_b64: string
  signature_b64: string
}
interface Input {
  ak_public_pem: string | null
  ak_tpmt_public_b64?: string
  nonce_hex: string
  quotes: (Signed & { pcrs: Record<HashAlgorithm, Record<string, string>> })[]
}
interface Expected {
  signature_valid: (boolean | null)[]
  signature_scheme: string[]
  attest?: Record<string, unknown>[]
}

const folder = new URL('../../../../vectors/quote/', import.meta.url)
const read = <T>(path: string): T => JSON.parse(readFileSync(new URL(path, folder), 'utf8')) as T
const cases = readdirSync(folder, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => ({
    name,
    input: read<Input>(`${name}/input.json`),
    expected: read<Expected>(`${name}/expected.json`),
  }))
const b64 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'))

const hash: Crypto['hash'] = (algorithm, data) => new Uint8Array(createHash(algorithm).update(data).digest())

function keyOf({ ak_tpmt_public_b64, ak_public_pem }: Input): KeyObject | undefined {
  if (ak_tpmt_public_b64 === undefined) return ak_public_pem === null ? undefined : createPublicKey(ak_public_pem)
  const key = toPublicKey(decodeTpmtPublic(b64(ak_tpmt_public_b64)))
  const url = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')
  const jwk =
    key.kind === 'ec'
      ? { kty: 'EC', crv: key.curve, x: url(key.x), y: url(key.y) }
      : { kty: 'RSA', n: url(key.modulus), e: url(fromHex(key.exponent.toString(16).padStart(6, '0'))) }
  return createPublicKey({ key: jwk, format: 'jwk' })
}

function holds(key: KeyObject, message: Uint8Array, { scheme, signature }: TpmSignature): boolean {
  if (scheme.kind === 'ecdsa') return verify(scheme.hash, message, { key, dsaEncoding: 'ieee-p1363' }, signature)
  const padding = scheme.kind === 'rsassa' ? constants.RSA_PKCS1_PADDING : constants.RSA_PKCS1_PSS_PADDING
  return verify(scheme.hash, message, { key, padding }, signature)
}

function banksOf(pcrs: Input['quotes'][0]['pcrs']): PcrBanks {
  const bank = (values: Record<string, string>): Record<string, Uint8Array> =>
    Object.fromEntries(Object.entries(values).map(([index, value]) => [index, fromHex(value)]))
  return Object.fromEntries(Object.entries(pcrs).map(([name, values]) => [name, bank(values)]))
}

describe.each(cases)('quote $name', ({ input, expected }) => {
  test.each(input.quotes.map((quote, i) => ({ quote, i })))('$i: signature is as expected', ({ quote, i }) => {
    const signature = decodeTpmtSignature(b64(quote.signature_b64))
    const { kind, hash } = signature.scheme
    expect(expected.signature_scheme[i]).toContain(`${kind}-${hash}`)
    const key = keyOf(input)
    expect(key === undefined ? null : holds(key, b64(quote.attest_b64), signature)).toBe(expected.signature_valid[i])
  })

  test.each(input.quotes.map((quote, i) => ({ quote, i })))(
    '$i: the PCR values give the quoted digest',
    ({ quote }) => {
      const attest = decodeTpmsAttest(b64(quote.attest_b64))
      if (attest.type !== TPM_ST.ATTEST_QUOTE) throw new Error('not a quote')
      const { scheme } = decodeTpmtSignature(b64(quote.signature_b64))
      const banks = banksOf(quote.pcrs)
      const selection = attest.attested.pcrSelect
      const digest = pcrDigest({ hash, algorithm: scheme.hash, selection, banks })
      expect(hex(digest!)).toBe(hex(attest.attested.pcrDigest))

      const [bank, values] = Object.entries(banks)[0] as [HashAlgorithm, Record<number, Uint8Array>]
      const changed = { ...banks, [bank]: { ...values, [selection[0].pcrs[0]]: new Uint8Array(32).fill(9) } }
      expect(hex(pcrDigest({ hash, algorithm: scheme.hash, selection, banks: changed })!)).not.toBe(hex(digest!))
      expect(pcrDigest({ hash, algorithm: scheme.hash, selection, banks: { ...banks, [bank]: {} } })).toBeUndefined()
    },
  )

  test('fields are what another parser read', () => {
    for (const [i, quote] of input.quotes.entries()) {
      const attest = decodeTpmsAttest(b64(quote.attest_b64))
      if (attest.type !== TPM_ST.ATTEST_QUOTE) throw new Error('not a quote')
      expect(hex(attest.extraData)).toBe(input.nonce_hex)
      const other = expected.attest?.[i]
      if (other === undefined) continue
      expect(other).toMatchObject({
        qualifiedSigner: hex(attest.qualifiedSigner),
        clock: Number(attest.clockInfo.clock),
        resetCount: attest.clockInfo.resetCount,
        restartCount: attest.clockInfo.restartCount,
        safe: Number(attest.clockInfo.safe),
        firmwareVersion: attest.firmwareVersion.toString(16).padStart(16, '0'),
        select: attest.attested.pcrSelect.map(({ hash, pcrs }) => ({ bank: hashAlgorithm(hash), pcrs })),
        pcrDigest: hex(attest.attested.pcrDigest),
      })
    }
  })

  test('encoding what was decoded gives the same bytes', () => {
    for (const quote of input.quotes) {
      const attest = b64(quote.attest_b64)
      expect(hex(encodeTpmsAttest(decodeTpmsAttest(attest)))).toBe(hex(attest))
      const signature = b64(quote.signature_b64)
      expect(hex(encodeTpmtSignature(decodeTpmtSignature(signature)))).toBe(hex(signature))
    }
    if (input.ak_tpmt_public_b64 === undefined) return
    const area = b64(input.ak_tpmt_public_b64)
    expect(hex(encodeTpmtPublic(decodeTpmtPublic(area)))).toBe(hex(area))
  })

  test('a changed byte is refused or breaks the signature', () => {
    const key = keyOf(input)
    const quote = input.quotes[0]
    const attest = b64(quote.attest_b64)
    const signature = decodeTpmtSignature(b64(quote.signature_b64))
    for (let at = 0; at < attest.length; at++) {
      const changed = attest.slice()
      changed[at] ^= 0x10
      const decoded = orRefusal(() => decodeTpmsAttest(changed))
      if (decoded === undefined) continue
      expect(hex(encodeTpmsAttest(decoded))).toBe(hex(changed))
      if (key !== undefined && at % 16 === 0) expect(holds(key, decoded.raw, signature)).toBe(false)
    }
  })
})

/** Undefined when the bytes were refused; any other exception fails the test. */
function orRefusal<T>(decode: () => T): T | undefined {
  try {
    return decode()
  } catch (error) {
    if (error instanceof EvidenceError) return undefined
    throw error
  }
}

describe('one attestation key', () => {
  interface Kinds extends Input {
    srk_tpmt_public_b64: string
    nv_public: { nvIndex: number; nameAlg: number; attributes: number; dataSize: number }
    certify: Signed
    nv: Signed
    time: Signed
    session_audit: Signed & { command_parameters_hex: string; response_parameters_hex: string }
  }
  const input = read<Kinds>('swtpm-kinds/input.json')
  const expected = read<Record<string, string>>('swtpm-kinds/expected.json')
  const key = keyOf(input)!
  const ak = decodeTpmtPublic(b64(input.ak_tpmt_public_b64!))

  test('has the Name and the qualified Name that the TPM gives it', () => {
    const name = objectName(ak, hash)
    expect(hex(name)).toBe(expected['ak_name_hex'])
    expect(hex(qualifiedName({ parent: TPM_RH.ENDORSEMENT, name, hash }))).toBe(expected['qualified_name_hex'])
  })

  test.each(['certify', 'nv', 'time', 'session_audit'] as const)('signs a statement of kind %s', (kind) => {
    const raw = b64(input[kind].attest_b64)
    const attest = decodeTpmsAttest(raw)
    expect(hex(attest.qualifiedSigner)).toBe(expected['qualified_name_hex'])
    expect(hex(attest.extraData)).toBe(hex(utf8(kind === 'session_audit' ? 'audit' : kind)))
    expect(holds(key, raw, decodeTpmtSignature(b64(input[kind].signature_b64)))).toBe(true)
    expect(hex(encodeTpmsAttest(attest))).toBe(hex(raw))
  })

  test('certifies an object by its Name', () => {
    const attest = decodeTpmsAttest(b64(input.certify.attest_b64))
    if (attest.type !== TPM_ST.ATTEST_CERTIFY) throw new Error('wrong kind')
    const name = objectName(decodeTpmtPublic(b64(input.srk_tpmt_public_b64)), hash)
    expect(hex(attest.attested.name)).toBe(hex(name))
    expect(hex(attest.attested.qualifiedName)).toBe(hex(qualifiedName({ parent: TPM_RH.OWNER, name, hash })))
  })

  test('certifies the contents of an NV index by its Name', () => {
    const attest = decodeTpmsAttest(b64(input.nv.attest_b64))
    if (attest.type !== TPM_ST.ATTEST_NV) throw new Error('wrong kind')
    const name = nvName({ ...input.nv_public, authPolicy: new Uint8Array() }, hash)
    expect(hex(attest.attested.indexName)).toBe(hex(name))
    expect(hex(name)).toBe(expected['nv_name_hex'])
    expect(hex(attest.attested.nvContents)).toBe(expected['nv_value_hex'])
  })

  test('vouches for an orderly start through an audit session', () => {
    const attest = decodeTpmsAttest(b64(input.session_audit.attest_b64))
    if (attest.type !== TPM_ST.ATTEST_SESSION_AUDIT) throw new Error('wrong kind')
    const responseParameters = fromHex(input.session_audit.response_parameters_hex)
    const exchange = {
      commandCode: TPM_CC.GetCapability,
      names: [],
      parameters: fromHex(input.session_audit.command_parameters_hex),
      responseParameters,
    }
    const digest = sessionAuditDigest([exchange], { hash, algorithm: 'sha256' })
    expect(equal(attest.attested.sessionDigest, digest)).toBe(true)
    const value = new DataView(responseParameters.buffer).getUint32(responseParameters.length - 4)
    expect((value & STARTUP_CLEAR_ORDERLY) !== 0).toBe(true)
  })
})

describe('random bytes', () => {
  test.each([
    ['TPMS_ATTEST', decodeTpmsAttest, fromHex('ff544347')],
    ['TPMT_PUBLIC', decodeTpmtPublic, fromHex('0023000b')],
    ['TPMT_SIGNATURE', decodeTpmtSignature, fromHex('0018000b')],
  ] as const)('%s are refused or decoded, and nothing else', (_, decode, prefix) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (bytes, prefixed) => {
        orRefusal(() => decode(prefixed ? Uint8Array.from([...prefix, ...bytes]) : bytes))
      }),
    )
  })

  test.each([
    ['TPMS_ATTEST', decodeTpmsAttest],
    ['TPMT_PUBLIC', decodeTpmtPublic],
    ['TPMT_SIGNATURE', decodeTpmtSignature],
  ] as const)('%s beyond the limit are refused before they are read', (_, decode) => {
    expect(() => decode(new Uint8Array(4097))).toThrow(expect.objectContaining({ code: 'LIMIT' }))
  })
})
