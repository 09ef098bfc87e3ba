/** Digests that the TCG publishes; `calculator.slow.test.ts` compares every step with a TPM. */

import { fromHex, hex, nvName, TPM_ALG } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { ENDORSEMENT } from '../entity.ts'
import { hash } from '../hashing.ts'
import { EK_P384, EK_RSA_2048 } from '../templates.ts'
import { Policy } from './calculator.ts'

describe('Policy', () => {
  test('begins with zeros of the length of its hash', () => {
    expect(hex(new Policy().digest)).toBe('00'.repeat(32))
    expect(hex(new Policy('sha384').digest)).toBe('00'.repeat(48))
  })

  test('PolicySecret(ENDORSEMENT) is the policy of the endorsement keys', () => {
    expect(hex(new Policy().secret({ name: ENDORSEMENT.name }).digest)).toBe(hex(EK_RSA_2048.authPolicy))
  })

  // TCG EK Credential Profile v2.5, B.6: Policy C authorizes by an NV index of attributes 0x220f1008.
  test('PolicyOR of A and PolicyAuthorizeNV is the policy of the high-range endorsement keys', () => {
    const a = new Policy('sha384').secret({ name: ENDORSEMENT.name })
    const index = {
      nvIndex: 0x01c07f02,
      nameAlg: TPM_ALG.SHA384,
      attributes: 0x220f1008,
      authPolicy: a.digest,
      dataSize: 50,
    }
    const c = new Policy('sha384').authorizeNv({ nvName: nvName(index, hash) })
    expect(hex(Policy.or([a, c]).digest)).toBe(hex(EK_P384.authPolicy))
  })

  test('PolicyAuthValue has its well-known digest', () => {
    expect(hex(new Policy().authValue().digest)).toBe(
      '8fcd2169ab92694e0c633f1ab772842b8241bbc20288981fc7ac1eddc1fddb0e',
    )
  })

  test('approval and alternatives forget the steps before them', () => {
    const keySign = fromHex(`000b${'11'.repeat(32)}`)
    const before = new Policy().authValue()
    expect(hex(before.authorize({ keySign }).digest)).toBe(hex(new Policy().authorize({ keySign }).digest))
    expect(hex(before.authorizeNv({ nvName: keySign }).digest)).toBe(
      hex(new Policy().authorizeNv({ nvName: keySign }).digest),
    )
  })

  test('every step and every argument changes the digest', () => {
    const name = fromHex(`000b${'22'.repeat(32)}`)
    const other = fromHex(`000b${'33'.repeat(32)}`)
    const pcrs = [{ hash: TPM_ALG.SHA256, pcrs: [7] }]
    const policyRef = fromHex('01')
    const operandB = fromHex('05')
    const p = new Policy()
    const digests = [
      p,
      p.authValue(),
      p.commandCode('Unseal'),
      p.commandCode('Quote'),
      p.secret({ name }),
      p.secret({ name: other }),
      p.secret({ name, policyRef }),
      p.signed({ name }),
      p.signed({ name, policyRef }),
      p.authorize({ keySign: name }),
      p.authorize({ keySign: name, policyRef }),
      p.authorizeNv({ nvName: name }),
      p.pcr({ pcrs, pcrDigest: new Uint8Array(32) }),
      p.pcr({ pcrs: [{ hash: TPM_ALG.SHA256, pcrs: [8] }], pcrDigest: new Uint8Array(32) }),
      p.pcr({ pcrs, pcrDigest: new Uint8Array(32).fill(1) }),
      p.nv({ nvName: name, operandB, operation: 0 }),
      p.nv({ nvName: name, operandB, operation: 1 }),
      p.nv({ nvName: name, operandB, operation: 0, offset: 1 }),
      p.counterTimer({ operandB, operation: 0 }),
      Policy.or([p.authValue(), p]),
      Policy.or([p, p.authValue()]),
    ].map(({ digest }) => hex(digest))
    expect(new Set(digests).size).toBe(digests.length)
  })
})
