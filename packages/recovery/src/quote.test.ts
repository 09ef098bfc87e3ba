/** Each fault of a quote, one at a time, by keys in software whose structures are those of a TPM. */

import { qualifiedName, TPM_RH, TPM_ST, TPMA_OBJECT, type TpmsAttestFields } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { softwareHost, type SoftwareHostOptions } from './channel/testing/software-host.ts'
import { checkQuote, type QuoteFault } from './quote.ts'
import { hashWith } from './sealing/keys.ts'

const statement = new Uint8Array(32).fill(1)
const zero = (pcr: number) => ({ pcr, value: new Uint8Array(32) })
const expected = { statement, registers: [zero(4), zero(7)] }
const { fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign, decrypt } = TPMA_OBJECT
const fit = fixedTPM | fixedParent | sensitiveDataOrigin | userWithAuth | restricted | sign

async function faultOf(options: SoftwareHostOptions, wanted = expected): Promise<QuoteFault | 'holds'> {
  const { akPublic, quote } = softwareHost('h1', options)
  const checked = checkQuote(await quote(statement, [4, 7]), { akPublic, ...wanted })
  return checked.kind === 'holds' ? 'holds' : checked.by
}

const twisted = (change: Partial<TpmsAttestFields>): SoftwareHostOptions => ({
  twist: (fields) => ({ ...fields, ...change }) as TpmsAttestFields,
})

describe('a quote', () => {
  test('holds over what was asked for', async () => {
    expect(await faultOf({})).toBe('holds')
    expect(await faultOf({ attributes: fit })).toBe('holds')
  })

  test.each([fixedTPM, fixedParent, sensitiveDataOrigin, restricted, sign])(
    'is nothing by a key without attribute %i',
    async (attribute) => {
      expect(await faultOf({ attributes: fit & ~attribute })).toBe('key')
    },
  )

  test('is nothing by a key that decrypts too', async () => {
    expect(await faultOf({ attributes: fit | decrypt })).toBe('key')
  })

  test('is of one statement, registers and values', async () => {
    expect(await faultOf({}, { ...expected, statement: new Uint8Array(32) })).toBe('statement')
    expect(await faultOf({}, { ...expected, registers: [zero(4)] })).toBe('registers')
    expect(await faultOf({}, { ...expected, registers: [zero(4), zero(8)] })).toBe('registers')
    const other = { pcr: 7, value: new Uint8Array(32).fill(7) }
    expect(await faultOf({}, { ...expected, registers: [zero(4), other] })).toBe('values')
  })

  test('is by a primary key of the endorsement hierarchy', async () => {
    const name = Uint8Array.of(0, 0x0b, ...new Uint8Array(32))
    const qualifiedSigner = qualifiedName({ parent: TPM_RH.OWNER, name, hash: hashWith })
    expect(await faultOf(twisted({ qualifiedSigner }))).toBe('signer')
  })

  test('is no other attestation, and no bytes of nobody', async () => {
    const attested = { name: new Uint8Array(34), qualifiedName: new Uint8Array(34) }
    expect(await faultOf(twisted({ type: TPM_ST.ATTEST_CERTIFY, attested }))).toBe('type')
    const { akPublic, quote } = softwareHost('h1')
    const { attest, signature } = await quote(statement, [4, 7])
    const fault = (changed: object): string => {
      const checked = checkQuote({ attest, signature, ...changed }, { akPublic, ...expected })
      return checked.kind === 'holds' ? 'holds' : checked.by
    }
    expect(fault({ attest: attest.with(attest.length - 1, (attest.at(-1) ?? 0) ^ 1) })).toBe('signature')
    expect(fault({ attest: attest.subarray(1) })).toBe('structure')
    expect(fault({ signature: new Uint8Array(3) })).toBe('structure')
    const byNobody = checkQuote({ attest, signature }, { akPublic: new Uint8Array(5), ...expected })
    expect(byNobody).toMatchObject({ kind: 'broken', by: 'structure' })
  })
})
