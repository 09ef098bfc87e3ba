/** The policy calculator against swtpm: every step comes to the same digest. */

import { TPM_ALG, TPM_EO, concat, hex, utf8 } from '@reprise/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  ENDORSEMENT,
  LoadExternal,
  NvUndefineSpace,
  NvWrite,
  openNvIndex,
  OWNER,
  Policy,
  PolicyAuthorizeNV,
  PolicyAuthValue,
  PolicyCommandCode,
  PolicyCounterTimer,
  PolicyGetDigest,
  PolicyNV,
  PolicyOR,
  PolicyPCR,
  PolicySecret,
  PolicySigned,
  StartAuthSession,
  type Session,
} from '../index.ts'
import { testTpm, type TestTpm } from '../software/testing.ts'
import { currentPcrDigest, defineNv, Signer } from './testing.ts'

const pcrs = [{ hash: TPM_ALG.SHA256, pcrs: [7, 16] }]

let host: TestTpm
const execute: TestTpm['tpm']['execute'] = (command, options) => host.tpm.execute(command, options)
beforeAll(async () => {
  host = await testTpm()
})
afterAll(() => host.dispose())

describe('the calculator agrees with the TPM about', () => {
  const trial = async (meet: (policySession: Session) => Promise<unknown>, policy: Policy): Promise<void> => {
    await using session = await execute(StartAuthSession({ sessionType: 'trial' }))
    await meet(session)
    expect(hex((await execute(PolicyGetDigest({ policySession: session }))).policyDigest)).toBe(hex(policy.digest))
  }
  const policyRef = utf8('ref')
  const operandB = Uint8Array.of(1, 2, 3, 4)

  test('PolicyPCR', async () => {
    const pcrDigest = await currentPcrDigest(host.tpm, pcrs)
    await trial((policySession) => execute(PolicyPCR({ policySession, pcrs })), new Policy().pcr({ pcrs, pcrDigest }))
  })
  test('PolicyAuthValue and PolicyCommandCode, one after the other', () =>
    trial(async (policySession) => {
      await execute(PolicyAuthValue({ policySession }))
      await execute(PolicyCommandCode({ policySession, code: 'Unseal' }))
    }, new Policy().authValue().commandCode('Unseal')))
  test('PolicySecret with a reference', () =>
    trial(
      (policySession) => execute(PolicySecret({ policySession, authHandle: ENDORSEMENT, policyRef })),
      new Policy().secret({ name: ENDORSEMENT.name, policyRef }),
    ))
  test('PolicyCounterTimer', () =>
    trial(
      (policySession) =>
        execute(PolicyCounterTimer({ policySession, operandB, offset: 16, operation: TPM_EO.UNSIGNED_LE })),
      new Policy().counterTimer({ operandB, offset: 16, operation: TPM_EO.UNSIGNED_LE }),
    ))
  test('PolicyNV and PolicyAuthorizeNV', async () => {
    await defineNv(host.tpm, 0x01800200, { dataSize: 34 })
    await execute(
      NvWrite({
        authHandle: OWNER,
        nvIndex: await openNvIndex(host.tpm, 0x01800200),
        data: concat(Uint8Array.of(0, 0x0b), new Uint8Array(32)),
      }),
    )
    const nvIndex = await openNvIndex(host.tpm, 0x01800200)
    const nvName = nvIndex.name
    await trial(
      (policySession) =>
        execute(PolicyNV({ policySession, authHandle: OWNER, nvIndex, operandB, offset: 2, operation: TPM_EO.NEQ })),
      new Policy().nv({ nvName, operandB, offset: 2, operation: TPM_EO.NEQ }),
    )
    await trial(
      (policySession) => execute(PolicyAuthorizeNV({ policySession, authHandle: OWNER, nvIndex })),
      new Policy().authorizeNv({ nvName }),
    )
    await execute(NvUndefineSpace({ authHandle: OWNER, nvIndex }))
  })
  test('PolicyOR', async () => {
    const alternatives = [new Policy().commandCode('Unseal'), new Policy().authValue()]
    const pHashList = alternatives.map(({ digest }) => digest)
    await trial((policySession) => execute(PolicyOR({ policySession, pHashList })), Policy.or(alternatives))
  })
  test('PolicySigned', async () => {
    await using key = await execute(LoadExternal({ inPublic: new Signer().area, hierarchy: OWNER }))
    const auth = new Signer().sign(new Uint8Array())
    await trial(
      (policySession) => execute(PolicySigned({ policySession, authObject: key, auth, policyRef })),
      new Policy().signed({ name: key.name, policyRef }),
    )
  })
})
