import { expect, test } from 'vitest'
import type { Crypto } from '../crypto.ts'
import { encodeTpmtSignature } from '../tpm/index.ts'
import type { AttestationKey } from './host.ts'
import { SignatureChecks } from './signatures.ts'

const NOTHING = new Uint8Array()
const signed = (kind: 'ecdsa' | 'rsassa', byte: number): { message: Uint8Array; signature: Uint8Array } => ({
  message: Uint8Array.of(byte),
  signature: encodeTpmtSignature({ scheme: { kind, hash: 'sha256' }, signature: new Uint8Array(64).fill(byte + 1) }),
})

const key = (scheme: AttestationKey['scheme']): AttestationKey => ({
  name: NOTHING,
  qualifiedName: NOTHING,
  hostId: NOTHING,
  key: { kind: 'rsa', modulus: NOTHING, exponent: 3 } as unknown as AttestationKey['key'],
  scheme,
})

const ECDSA = key({ kind: 'ecdsa', hash: 'sha256' })

function checksOf(verify: (message: number) => boolean | Promise<boolean>): SignatureChecks {
  return new SignatureChecks({
    verify: ({ message }: { message: Uint8Array }) => verify(message[0]),
  } as unknown as Crypto)
}

async function wrongOf(checks: SignatureChecks, of: AttestationKey, ...all: ReturnType<typeof signed>[]) {
  const wrong: string[] = []
  for (const [i, each] of all.entries()) await checks.check(of, each, (why) => wrong.push(`${i}: ${why}`))
  await checks.end()
  return wrong
}

test('a signature is of the scheme of its key, or is not looked at', async () => {
  const checks = checksOf(() => expect.fail('it was looked at'))
  expect(await wrongOf(checks, ECDSA, signed('rsassa', 1))).toEqual(["0: the signature is not of the key's scheme"])
  const other = key({ kind: 'ecdsa', hash: 'sha384' } as unknown as AttestationKey['scheme'])
  expect(await wrongOf(checks, other, signed('ecdsa', 1))).toEqual(["0: the signature is not of the key's scheme"])
  expect(await wrongOf(checks, ECDSA, { message: NOTHING, signature: NOTHING })).toHaveLength(1)
})

test('what does not hold is said, whether it is known at once or later', async () => {
  const holds = (message: number): boolean => message !== 2
  const all = [signed('ecdsa', 1), signed('ecdsa', 2), signed('ecdsa', 3)]
  const wrong = ["1: the signature is not that of the host's key over this attestation"]
  expect(await wrongOf(checksOf(holds), ECDSA, ...all)).toEqual(wrong)
  expect(
    await wrongOf(
      checksOf(async (message) => Promise.resolve(holds(message))),
      ECDSA,
      ...all,
    ),
  ).toEqual(wrong)
})

test('not more than 256 are under way at once', async () => {
  let underWay = 0
  let most = 0
  const checks = checksOf(async () => {
    most = Math.max(most, ++underWay)
    await new Promise((resolve) => setTimeout(resolve, 0))
    underWay--
    return true
  })
  expect(await wrongOf(checks, ECDSA, ...Array.from({ length: 600 }, (_, i) => signed('ecdsa', i % 200)))).toEqual([])
  expect(most).toBe(256)
})
