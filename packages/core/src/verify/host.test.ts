import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { Crypto } from '../crypto.ts'
import {
  encodeTpmtPublic,
  objectName,
  decodeTpmtPublic,
  qualifiedName,
  TPM_ALG,
  TPM_ECC,
  TPM_RH,
  TPMA_OBJECT,
  type PublicArea,
} from '../tpm/index.ts'
import { attestationKey } from './host.ts'

const hash = (algorithm: string, data: Uint8Array): Uint8Array =>
  new Uint8Array(createHash(algorithm).update(data).digest())
const crypto = { hash, sha256: (data: Uint8Array) => hash('sha256', data) } as Crypto

const WANTED = ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'restricted', 'sign'] as const
const ATTRIBUTES = WANTED.reduce((all, each) => all | TPMA_OBJECT[each], 0)

const common = {
  nameAlg: TPM_ALG.SHA256,
  objectAttributes: ATTRIBUTES,
  authPolicy: new Uint8Array(),
}

const symmetric = { algorithm: TPM_ALG.NULL } as const

type Ecc = Extract<PublicArea, { type: typeof TPM_ALG.ECC }>
type Rsa = Extract<PublicArea, { type: typeof TPM_ALG.RSA }>

const ecc = (more: Partial<Ecc['parameters']> = {}, area: Partial<Ecc> = {}): Ecc => ({
  ...common,
  type: TPM_ALG.ECC,
  parameters: {
    symmetric,
    scheme: { scheme: TPM_ALG.ECDSA, hashAlg: TPM_ALG.SHA256 },
    curveId: TPM_ECC.NIST_P256,
    kdf: { scheme: TPM_ALG.NULL },
    ...more,
  },
  unique: { x: new Uint8Array(32).fill(1), y: new Uint8Array(32).fill(2) },
  ...area,
})

const rsa = (more: Partial<Rsa['parameters']> = {}): Rsa => ({
  ...common,
  type: TPM_ALG.RSA,
  parameters: {
    symmetric,
    scheme: { scheme: TPM_ALG.RSASSA, hashAlg: TPM_ALG.SHA256 },
    keyBits: 2048,
    exponent: 0,
    ...more,
  },
  unique: new Uint8Array((more.keyBits ?? 2048) / 8).fill(1),
})

const keyOf = (area: PublicArea): ReturnType<typeof attestationKey> => attestationKey(encodeTpmtPublic(area), crypto)

describe('an attestation key', () => {
  test('has a Name, and one that is qualified by the endorsement hierarchy', () => {
    const bytes = encodeTpmtPublic(ecc())
    const name = objectName(decodeTpmtPublic(bytes), hash)
    const key = attestationKey(bytes, crypto)
    expect(key.scheme).toEqual({ kind: 'ecdsa', hash: 'sha256' })
    expect([key.name, key.qualifiedName]).toEqual([name, qualifiedName({ parent: TPM_RH.ENDORSEMENT, name, hash })])
  })

  test.each(WANTED)('is none when %s is clear', (attribute) => {
    const objectAttributes = ATTRIBUTES & ~TPMA_OBJECT[attribute]
    expect(() => keyOf(ecc({}, { objectAttributes }))).toThrow(`${attribute} is clear`)
  })

  test('is none when it decrypts as well, or has another Name algorithm', () => {
    expect(() => keyOf(ecc({}, { objectAttributes: ATTRIBUTES | TPMA_OBJECT.decrypt }))).toThrow('decrypt is set')
    expect(() => keyOf(ecc({}, { nameAlg: TPM_ALG.SHA384 }))).toThrow('its Name is not over SHA-256')
  })

  test.each([
    ['another curve', { curveId: TPM_ECC.NIST_P384 }],
    ['key agreement', { scheme: { scheme: TPM_ALG.ECDH, hashAlg: TPM_ALG.SHA256 } }],
    ['another hash', { scheme: { scheme: TPM_ALG.ECDSA, hashAlg: TPM_ALG.SHA384 } }],
  ])('over a curve is none with %s', (_what, more) => {
    expect(() => keyOf(ecc(more as Partial<Ecc['parameters']>))).toThrow('it is neither ECDSA')
  })

  test.each([
    ['fewer bits', { keyBits: 1024 }],
    ['another exponent', { exponent: 3 }],
    ['another padding', { scheme: { scheme: TPM_ALG.RSAPSS, hashAlg: TPM_ALG.SHA256 } }],
    ['another hash', { scheme: { scheme: TPM_ALG.RSASSA, hashAlg: TPM_ALG.SHA384 } }],
  ])('of RSA is none with %s', (_what, more) => {
    expect(() => keyOf(rsa(more as Partial<Rsa['parameters']>))).toThrow('it is neither ECDSA')
  })

  test.each([{}, { exponent: 65537 }, { keyBits: 3072 }])('of RSA may have %j', (more) => {
    expect(keyOf(rsa(more)).scheme).toEqual({ kind: 'rsassa', hash: 'sha256' })
  })
})
