import { generateKeyPairSync, sign } from 'node:crypto'
import type { PublicKey } from '@reprise/core'
import { expect, onTestFinished, test } from 'vitest'
import { nodeCrypto } from '../crypto.ts'
import { startPartner } from './partner.ts'
import { packed, type SignatureRequest, unpacked } from './signature-batch.ts'

const message = (i: number): Uint8Array => new Uint8Array(100 + i).fill(i)

/** Of two keys of each kind, every fifth one wrong, and one whose key is none. */
function requests(): SignatureRequest[] {
  const makers = [0, 1].flatMap((): ((text: Uint8Array) => Omit<SignatureRequest, 'message'>)[] => {
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const [ecJwk, rsaJwk] = [ec, rsa].map(({ publicKey }) => publicKey.export({ format: 'jwk' }))
    const bytes = (text: string | undefined): Uint8Array => new Uint8Array(Buffer.from(text ?? '', 'base64url'))
    const ecKey: PublicKey = { kind: 'ec', curve: 'P-256', x: bytes(ecJwk.x), y: bytes(ecJwk.y) }
    const rsaKey: PublicKey = { kind: 'rsa', modulus: bytes(rsaJwk.n), exponent: 65537 }
    return [
      (text) => ({
        key: ecKey,
        scheme: { kind: 'ecdsa', hash: 'sha256' },
        signature: sign('sha256', text, { key: ec.privateKey, dsaEncoding: 'ieee-p1363' }),
      }),
      (text) => ({
        key: rsaKey,
        scheme: { kind: 'rsassa', hash: 'sha384' },
        signature: sign('sha384', text, rsa.privateKey),
      }),
    ]
  })
  const all = Array.from({ length: 40 }, (_, i) => {
    const made = makers[i % makers.length](message(i))
    return { ...made, message: message(i % 5 === 4 ? i + 1 : i) }
  })
  const nowhere: PublicKey = { kind: 'ec', curve: 'P-256', x: new Uint8Array(32), y: new Uint8Array(32) }
  return [...all, { ...all[0], key: nowhere }]
}

test('signatures are the same after their way to another thread', () => {
  const all = requests()
  const sent = structuredClone(packed(all))
  expect(sent.signers).toHaveLength(5)
  expect(unpacked(sent).map(plain)).toEqual(all.map(plain))
})

/** Without the difference between a `Buffer` and an array. */
function plain(request: SignatureRequest): object {
  return { ...request, message: [...request.message], signature: [...request.signature] }
}

test('another thread answers as this one does', async () => {
  const partner = startPartner()
  onTestFinished(() => partner.end())
  const all = requests()
  const expected = all.map((request) => nodeCrypto.verify(request))
  expect(expected.filter((holds) => holds === false)).toHaveLength(9)
  const parts = [all.slice(0, 7), all.slice(7), []]
  expect((await Promise.all(parts.map(partner.check))).flat()).toEqual(expected)
})

test('it takes a few batches at a time, and none when it has ended', async () => {
  const partner = startPartner()
  const all = requests()
  const answers: Promise<unknown>[] = []
  while (!partner.isBusy()) answers.push(partner.check(all))
  expect(answers.length).toBeGreaterThan(1)
  await Promise.all(answers)
  expect(partner.isBusy()).toBe(false)
  const unanswered = partner.check(all)
  await Promise.all([expect(unanswered).rejects.toThrow('ended'), partner.end()])
  expect(partner.isBusy()).toBe(true)
  await expect(partner.check(all)).rejects.toThrow('ended')
})
