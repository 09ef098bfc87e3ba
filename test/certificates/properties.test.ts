/** What holds for every certificate: reading never fails in another way than it may, and a changed one shows nothing else. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { EvidenceError, hex } from '@reprise/core'
import {
  AIK_CERTIFICATE,
  type AkCertificate,
  decodeAkCertificate,
  decodeAkStatement,
  decodeCertificate,
  encodeAkStatement,
  verifyChain,
} from '@reprise/core/certificates'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { hostCertificate, LAB, ROOT } from '../record/enrolment.ts'
import { nodeCrypto } from '../record/node-crypto.ts'

const MORE = process.env['REPRISE_TESTS'] === 'nightly' ? 100 : 1
const ek = readFileSync(resolve(import.meta.dirname, '../../vectors/endorsement-certificates/infineon-rsa/input.der'))
const host = hostCertificate()

/** Undefined where the bytes are refused, as they may be. */
function tried<T>(run: () => T): T | undefined {
  try {
    return run()
  } catch (error) {
    if (error instanceof EvidenceError) return undefined
    throw error
  }
}

const shown = ({ hostName, statement, certificate }: AkCertificate): string =>
  [hostName, statement.tier, hex(statement.akName), hex(certificate.spki), certificate.notAfterMs].join()

const isHeld = async ({ certificate }: AkCertificate): Promise<boolean> => {
  const chain = [certificate, LAB.certificate]
  return (await verifyChain(chain, ROOT.certificate, { crypto: nodeCrypto, usage: AIK_CERTIFICATE })).length === 0
}

describe('decodeCertificate', () => {
  test('takes or refuses random bytes', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.constantFrom('strict' as const, 'endorsement' as const),
        (bytes, profile) => {
          tried(() => decodeCertificate(bytes, profile))
        },
      ),
      { numRuns: 500 * MORE },
    )
  })

  test.each([
    ['strict', host],
    ['endorsement', new Uint8Array(ek)],
  ] as const)('takes or refuses a %s certificate with bytes changed, cut or added', (profile, der) => {
    const changes = fc.array(fc.tuple(fc.nat(der.length - 1), fc.nat(255)), { maxLength: 3 })
    fc.assert(
      fc.property(changes, fc.nat(der.length), (list, lengthBytes) => {
        const bytes = der.slice()
        for (const [at, byte] of list) bytes[at] = byte
        tried(() => decodeCertificate(bytes, profile))
        tried(() => decodeCertificate(bytes.subarray(0, lengthBytes), profile))
      }),
      { numRuns: 300 * MORE },
    )
  })

  // The library reads text as any type of string, and fails when it is to write it as a time again.
  test.each([
    ['a host', host],
    ['a TPM', new Uint8Array(ek)],
  ])('refuses names of %s in strings of another type', (_of, der) => {
    const places = [...der.entries()].filter(([, byte]) => byte === 0x0c || byte === 0x13)
    const changed = places.map(([at]) => der.with(at, 0x17))
    for (const bytes of changed) tried(() => decodeCertificate(bytes, 'endorsement'))
    expect(changed.filter((bytes) => tried(() => decodeCertificate(bytes, 'strict')) === undefined)).not.toEqual([])
  })

  test('does not follow what nests deeper than it should', () => {
    for (const tag of [0x30, 0x31, 0xa0]) {
      const deep = new Uint8Array(8000)
      let at = deep.length
      for (let length = 0; at >= 4; length = deep.length - at)
        deep.set([tag, 0x82, length >> 8, length & 0xff], (at -= 4))
      expect(() => decodeCertificate(deep.subarray(at))).toThrow(EvidenceError)
    }
  })
})

test('a certificate of which a byte was changed holds only if it is the same', async () => {
  const before = shown(decodeAkCertificate(host))
  expect(await isHeld(decodeAkCertificate(host))).toBe(true)
  await fc.assert(
    fc.asyncProperty(fc.nat(host.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
      const bytes = host.slice()
      bytes[at] ^= change
      const read = tried(() => decodeAkCertificate(bytes))
      if (read === undefined || !(await isHeld(read))) return
      // No byte of a certificate is free: were one, it would have to say the same.
      expect(shown(read)).toBe(before)
    }),
    { numRuns: 200 * MORE },
  )
})

test('a statement is what is read from it', () => {
  const digest = (lengthBytes: number): fc.Arbitrary<Uint8Array> =>
    fc.uint8Array({ minLength: lengthBytes, maxLength: lengthBytes })
  const statement = fc.record(
    {
      akName: digest(34),
      tier: fc.constantFrom('software' as const, 'firmware' as const, 'hardware' as const),
      ekName: digest(34),
      ekCertificate: digest(32),
    },
    { requiredKeys: ['akName', 'tier', 'ekName'] },
  )
  fc.assert(
    fc.property(statement, (said) => {
      expect(decodeAkStatement(encodeAkStatement(said))).toEqual(said)
    }),
  )
})
