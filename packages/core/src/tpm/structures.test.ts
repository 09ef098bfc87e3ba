import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromHex, hex } from '../bytes/index.ts'
import {
  decodePcrSelection,
  decodeResponseCode,
  decodeTpmsAttest,
  decodeTpmsNvPublic,
  decodeTpmtPublic,
  decodeTpmtSignature,
  digestLengthBytes,
  encodePcrSelection,
  encodeTpmsAttest,
  encodeTpmsNvPublic,
  encodeTpmtPublic,
  encodeTpmtSignature,
  hashAlg,
  hashAlgorithm,
  type PublicArea,
  qualifiedName,
  toPublicKey,
  TPM_ALG,
  TPM_ECC,
  TPM_ST,
  type TpmsAttestFields,
} from './index.ts'

const bytes = (maxLength = 64): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength })
const u16 = fc.integer({ min: 0, max: 0xffff })
const u32 = fc.integer({ min: 0, max: 0xffffffff })
const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n })
const selection = fc.array(
  fc.record({
    hash: u16,
    pcrs: fc.uniqueArray(fc.integer({ min: 0, max: 23 })).map((pcrs) => pcrs.sort((a, b) => a - b)),
    sizeofSelect: fc.constantFrom(3, 4),
  }),
  { maxLength: 16 },
)
const clockInfo = fc.record({ clock: u64, resetCount: u32, restartCount: u32, safe: fc.boolean() })
const head = { qualifiedSigner: bytes(), extraData: bytes(), clockInfo, firmwareVersion: u64 }

const attest: fc.Arbitrary<TpmsAttestFields> = fc.oneof(
  fc.record({
    ...head,
    type: fc.constant(TPM_ST.ATTEST_QUOTE),
    attested: fc.record({ pcrSelect: selection, pcrDigest: bytes() }),
  }),
  fc.record({
    ...head,
    type: fc.constant(TPM_ST.ATTEST_CERTIFY),
    attested: fc.record({ name: bytes(), qualifiedName: bytes() }),
  }),
  fc.record({
    ...head,
    type: fc.constant(TPM_ST.ATTEST_NV),
    attested: fc.record({ indexName: bytes(), offset: u16, nvContents: bytes() }),
  }),
  fc.record({
    ...head,
    type: fc.constant(TPM_ST.ATTEST_TIME),
    attested: fc.record({ time: fc.record({ time: u64, clockInfo }), firmwareVersion: u64 }),
  }),
  fc.record({
    ...head,
    type: fc.constant(TPM_ST.ATTEST_SESSION_AUDIT),
    attested: fc.record({ exclusiveSession: fc.boolean(), sessionDigest: bytes() }),
  }),
)

const symmetric = fc.oneof(
  fc.constant({ algorithm: TPM_ALG.NULL }),
  fc.record({ algorithm: fc.constant(TPM_ALG.AES), keyBits: u16, mode: u16 }),
)
const scheme = fc.oneof(
  fc.constantFrom({ scheme: TPM_ALG.NULL }, { scheme: TPM_ALG.RSAES }),
  fc.record({ scheme: fc.constantFrom(TPM_ALG.ECDSA, TPM_ALG.RSASSA, TPM_ALG.OAEP, TPM_ALG.HMAC), hashAlg: u16 }),
  fc.record({ scheme: fc.constant(TPM_ALG.ECDAA), hashAlg: u16, count: u16 }),
)
const publicHead = {
  nameAlg: fc.constantFrom(TPM_ALG.SHA1, TPM_ALG.SHA256, TPM_ALG.SHA384, TPM_ALG.SHA512),
  objectAttributes: u32,
  authPolicy: bytes(),
}
const area: fc.Arbitrary<PublicArea> = fc.oneof(
  fc.record({
    ...publicHead,
    type: fc.constant(TPM_ALG.ECC),
    parameters: fc.record({ symmetric, scheme, curveId: u16, kdf: scheme }),
    unique: fc.record({ x: bytes(), y: bytes() }),
  }),
  fc.record({
    ...publicHead,
    type: fc.constant(TPM_ALG.RSA),
    parameters: fc.record({ symmetric, scheme, keyBits: u16, exponent: u32 }),
    unique: bytes(),
  }),
  fc.record({
    ...publicHead,
    type: fc.constant(TPM_ALG.KEYEDHASH),
    parameters: fc.record({ scheme }),
    unique: bytes(),
  }),
)

describe('decoding what was encoded gives the same', () => {
  test('TPMS_ATTEST', () => {
    fc.assert(
      fc.property(attest, (fields) => {
        const { raw, ...decoded } = decodeTpmsAttest(encodeTpmsAttest(fields))
        expect(decoded).toEqual(fields)
        expect(hex(encodeTpmsAttest(decoded))).toBe(hex(raw))
      }),
    )
  })
  test('TPMT_PUBLIC', () => {
    fc.assert(
      fc.property(area, (fields) => {
        const { raw, ...decoded } = decodeTpmtPublic(encodeTpmtPublic(fields))
        expect(decoded).toEqual(fields)
        expect(hex(encodeTpmtPublic(decoded as PublicArea))).toBe(hex(raw))
      }),
    )
  })
  test('TPML_PCR_SELECTION', () => {
    fc.assert(
      fc.property(selection, (banks) => {
        expect(decodePcrSelection(encodePcrSelection(banks))).toEqual(banks)
      }),
    )
  })
  test('TPMS_NV_PUBLIC', () => {
    const nvPublic = fc.record({ nvIndex: u32, nameAlg: u16, attributes: u32, authPolicy: bytes(), dataSize: u16 })
    fc.assert(
      fc.property(nvPublic, (fields) => {
        expect(decodeTpmsNvPublic(encodeTpmsNvPublic(fields))).toEqual(fields)
      }),
    )
  })
  test('TPMT_SIGNATURE', () => {
    const hash = fc.constantFrom('sha1', 'sha256', 'sha384', 'sha512')
    const ecdsa = fc.record({
      scheme: fc.record({ kind: fc.constant('ecdsa'), hash }),
      signature: fc
        .constantFrom(64, 96, 132)
        .chain((length) => fc.uint8Array({ minLength: length, maxLength: length })),
    })
    const rsa = fc.record({
      scheme: fc.record({ kind: fc.constantFrom('rsassa', 'rsapss'), hash }),
      signature: bytes(256),
    })
    fc.assert(
      fc.property(fc.oneof(ecdsa, rsa), (signature) => {
        expect(decodeTpmtSignature(encodeTpmtSignature(signature))).toEqual(signature)
      }),
    )
  })
})

describe('decodeTpmsAttest', () => {
  const good = encodeTpmsAttest({
    type: TPM_ST.ATTEST_CERTIFY,
    qualifiedSigner: Uint8Array.of(1),
    extraData: Uint8Array.of(2),
    clockInfo: { clock: 3n, resetCount: 4, restartCount: 5, safe: true },
    firmwareVersion: 6n,
    attested: { name: Uint8Array.of(7), qualifiedName: Uint8Array.of(8) },
  })
  const structure = expect.objectContaining({ code: 'STRUCTURE' })
  const changed = (at: number, value: number): Uint8Array => good.with(at, value)

  test('refuses what no TPM made', () => expect(() => decodeTpmsAttest(changed(0, 0xfe))).toThrow(structure))
  test('refuses kinds it does not know', () => expect(() => decodeTpmsAttest(changed(5, 0x1a))).toThrow(structure))
  test('refuses a safe flag that is neither yes nor no', () =>
    expect(() => decodeTpmsAttest(changed(28, 2))).toThrow(structure))
  test('refuses bytes too many and bytes too few', () => {
    expect(() => decodeTpmsAttest(Uint8Array.from([...good, 0]))).toThrow(structure)
    for (let length = 0; length < good.length; length++) {
      expect(() => decodeTpmsAttest(good.subarray(0, length))).toThrow(structure)
    }
  })
})

describe('decodePcrSelection', () => {
  test.each([
    ['17 banks', '00000011'],
    ['a bit map of two bytes', '00000001000b02ffff'],
    ['a bit map of five bytes', '00000001000b05ffffffffff'],
    ['a bank that is missing', '00000002000b03ffffff'],
  ])('refuses %s', (_, text) => {
    expect(() => decodePcrSelection(fromHex(text))).toThrow(expect.objectContaining({ code: 'STRUCTURE' }))
  })
  test('refuses to select a register that does not exist', () => {
    expect(() => encodePcrSelection([{ hash: TPM_ALG.SHA256, pcrs: [24] }])).toThrow(/no PCR 24/)
  })
  test('writes registers as the specification draws them', () => {
    expect(hex(encodePcrSelection([{ hash: TPM_ALG.SHA256, pcrs: [0, 7, 8, 23] }]))).toBe('00000001000b03810180')
  })
})

describe('decodeTpmtSignature', () => {
  test('pads numbers whose leading zeros were left out', () => {
    const r = 'ab'.repeat(31)
    const s = 'cd'.repeat(32)
    expect(hex(decodeTpmtSignature(fromHex(`0018000b001f${r}0020${s}`)).signature)).toBe(`00${r}${s}`)
  })
  test.each([
    ['an HMAC', `0005000b${'00'.repeat(32)}`],
    ['no signature', '0010'],
    ['a hash it does not know', `001800120020${'11'.repeat(32)}0020${'11'.repeat(32)}`],
    ['numbers too long for any curve', `0018000b0043${'11'.repeat(67)}0043${'11'.repeat(67)}`],
    ['empty numbers', '0018000b00000000'],
  ])('refuses %s', (_, text) => {
    expect(() => decodeTpmtSignature(fromHex(text))).toThrow(expect.objectContaining({ code: 'STRUCTURE' }))
  })
})

describe('toPublicKey', () => {
  const ecc = (curveId: number, x: Uint8Array, y: Uint8Array): PublicArea => ({
    type: TPM_ALG.ECC,
    nameAlg: TPM_ALG.SHA256,
    objectAttributes: 0,
    authPolicy: new Uint8Array(),
    parameters: {
      symmetric: { algorithm: TPM_ALG.NULL },
      scheme: { scheme: TPM_ALG.NULL },
      curveId,
      kdf: { scheme: TPM_ALG.NULL },
    },
    unique: { x, y },
  })
  test('pads coordinates to the field of the curve', () => {
    const key = toPublicKey(ecc(TPM_ECC.NIST_P384, Uint8Array.of(1), new Uint8Array(48)))
    expect(key).toMatchObject({ kind: 'ec', curve: 'P-384' })
    expect(key.kind === 'ec' && key.x.length === 48 && key.x[47] === 1).toBe(true)
  })
  test('refuses coordinates that are too long, missing, or on a curve it does not know', () => {
    const structure = expect.objectContaining({ code: 'STRUCTURE' })
    expect(() => toPublicKey(ecc(TPM_ECC.NIST_P256, new Uint8Array(33), new Uint8Array(32)))).toThrow(structure)
    expect(() => toPublicKey(ecc(TPM_ECC.NIST_P256, new Uint8Array(), new Uint8Array(32)))).toThrow(structure)
    expect(() => toPublicKey(ecc(0x20, new Uint8Array(32), new Uint8Array(32)))).toThrow(structure)
  })
})

describe('hashes', () => {
  test('have one number, one name and one length', () => {
    for (const name of ['sha1', 'sha256', 'sha384', 'sha512'] as const) {
      expect(hashAlgorithm(hashAlg(name))).toBe(name)
      expect(digestLengthBytes(hashAlg(name))).toBe(createHash(name).digest().length)
    }
    expect(() => hashAlgorithm(TPM_ALG.SM3_256)).toThrow(expect.objectContaining({ code: 'STRUCTURE' }))
  })
  test('a Name too short to have an algorithm has no qualified Name', () => {
    const hash = (): Uint8Array => new Uint8Array(32)
    expect(() => qualifiedName({ parent: 1, name: Uint8Array.of(0), hash })).toThrow(/Name of 1 bytes/)
  })
})

describe('decodeResponseCode', () => {
  test.each([
    [0x000, 'TPM_RC_SUCCESS', undefined],
    [0x01e, 'TPM_RC_BAD_TAG', undefined],
    [0x100, 'TPM_RC_INITIALIZE', undefined],
    [0x101, 'TPM_RC_FAILURE', undefined],
    [0x128, 'TPM_RC_PCR_CHANGED', undefined],
    [0x14a, 'TPM_RC_NV_UNINITIALIZED', undefined],
    [0x921, 'TPM_RC_LOCKOUT', undefined],
    [0x922, 'TPM_RC_RETRY', undefined],
    [0x99d, 'TPM_RC_POLICY_FAIL', { kind: 'session', number: 1 }],
    [0x98e, 'TPM_RC_AUTH_FAIL', { kind: 'session', number: 1 }],
    [0x18b, 'TPM_RC_HANDLE', { kind: 'handle', number: 1 }],
    [0x2c4, 'TPM_RC_VALUE', { kind: 'parameter', number: 2 }],
    [0x1d5, 'TPM_RC_SIZE', { kind: 'parameter', number: 1 }],
    [0x0b5, 'TPM_RC_0xb5', undefined],
    [0x500, 'TPM_RC_0x500', undefined],
  ])('0x%s is %s', (code, name, about) => {
    expect(decodeResponseCode(code)).toMatchObject({ code, name, about })
  })
  test('names every number without failing', () => {
    for (let code = 0; code < 0x1000; code++) expect(decodeResponseCode(code).name).toMatch(/^TPM_RC_/)
  })
})
