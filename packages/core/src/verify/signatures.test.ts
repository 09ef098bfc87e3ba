import { expect, test } from 'vitest'
import type { Crypto } from '../crypto.ts'
import { encodeTpmtSignature } from '../tpm/index.ts'
import type { AttestationKey } from './host.ts'
import { Findings } from './findings.ts'
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

function checksOf(verify: (message: number) => boolean | Promise<boolean>) {
  const findings = new Findings()
  const crypto = { verify: ({ message }: { message: Uint8Array }) => verify(message[0]) } as unknown as Crypto
  return { findings, checks: new SignatureChecks(crypto, findings) }
}

/** With a finding after each check. */
async function wrongOf(
  { findings, checks }: ReturnType<typeof checksOf>,
  of: AttestationKey,
  ...all: ReturnType<typeof signed>[]
) {
  for (const [i, each] of all.entries()) {
    checks.check(of, each, { code: 'SIGNATURE', path: '', of: String(i) })
    findings.add('ATTEST', '', `${i} is there`)
  }
  await checks.end()
  return findings.list().map(({ message }) => message)
}

test('a signature is of the scheme of its key, or is not looked at', async () => {
  const checks = () => checksOf(() => expect.fail('it was looked at'))
  const wrong = ["0: the signature is not of the key's scheme", '0 is there']
  expect(await wrongOf(checks(), ECDSA, signed('rsassa', 1))).toEqual(wrong)
  const other = key({ kind: 'ecdsa', hash: 'sha384' } as unknown as AttestationKey['scheme'])
  expect(await wrongOf(checks(), other, signed('ecdsa', 1))).toEqual(wrong)
  expect(await wrongOf(checks(), ECDSA, { message: NOTHING, signature: NOTHING })).toEqual(wrong)
})

test('what does not hold is said in its place, whether it is known at once or later', async () => {
  const holds = (message: number): boolean => message !== 2
  const all = [signed('ecdsa', 1), signed('ecdsa', 2), signed('ecdsa', 3)]
  const wrong = [
    '0 is there',
    "1: the signature is not that of the host's key over this attestation",
    '1 is there',
    '2 is there',
  ]
  expect(await wrongOf(checksOf(holds), ECDSA, ...all)).toEqual(wrong)
  expect(
    await wrongOf(
      checksOf(async (message) => Promise.resolve(holds(message))),
      ECDSA,
      ...all,
    ),
  ).toEqual(wrong)
})

test('at 256 that are under way it wants to be waited for', async () => {
  let underWay = 0
  let most = 0
  const { checks } = checksOf(async () => {
    most = Math.max(most, ++underWay)
    await new Promise((resolve) => setTimeout(resolve, 0))
    underWay--
    return true
  })
  for (let i = 0; i < 600; i++) {
    checks.check(ECDSA, signed('ecdsa', i % 200), { code: 'SIGNATURE', path: '' })
    if (checks.isFull) await checks.end()
  }
  await checks.end()
  expect(most).toBe(256)
})
