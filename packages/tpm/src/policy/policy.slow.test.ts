/** What policies open, and what they keep shut, in swtpm. */

import { ByteWriter, TPMA_NV, TPM_ALG, TPM_EO, concat, hex, type TpmSignature, utf8 } from '@reprise/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hash } from '../hashing.ts'
import {
  Create,
  CreatePrimary,
  Load,
  LoadExternal,
  NvIncrement,
  NvUndefineSpace,
  NvWrite,
  openNvIndex,
  OWNER,
  PcrExtend,
  PcrReset,
  Policy,
  PolicyAuthorize,
  policyAuthorizeMessage,
  PolicyAuthorizeNV,
  PolicyAuthValue,
  PolicyCommandCode,
  PolicyCounterTimer,
  PolicyNV,
  PolicyOR,
  PolicyPCR,
  PolicyRestart,
  PolicySecret,
  PolicySigned,
  policySignedMessage,
  ReadClock,
  readNv,
  sealedTemplate,
  SRK_P256,
  StartAuthSession,
  Unseal,
  VerifySignature,
  withAuth,
  type Entity,
  type LoadedObject,
  type NvIndex,
  type Session,
} from '../index.ts'
import { testTpm, type TestTpm } from '../software/testing.ts'
import { currentPcrDigest, defineNv, Signer } from './testing.ts'

const SECRET = utf8('sealed')
const PIN = utf8('pin')
const pcrs = [{ hash: TPM_ALG.SHA256, pcrs: [7, 16] }]

let host: TestTpm
let srk: LoadedObject
const execute: TestTpm['tpm']['execute'] = (command, options) => host.tpm.execute(command, options)
beforeAll(async () => {
  host = await testTpm()
  srk = await execute(CreatePrimary({ primaryHandle: OWNER, inPublic: SRK_P256 }))
})
afterAll(() => host.dispose())

const ownSession = (): Promise<Session> =>
  execute(StartAuthSession({ sessionType: 'policy', tpmKey: srk, encrypt: true }))

const extend16 = (): Promise<void> =>
  execute(PcrExtend({ pcrHandle: 16, digests: { sha256: new Uint8Array(32).fill(1) } }))

async function seal(policy: Policy): Promise<LoadedObject> {
  const inPublic = sealedTemplate(policy.digest)
  const { outPrivate, outPublic } = await execute(
    Create({ parentHandle: srk, inPublic, inSensitive: { userAuth: PIN, data: SECRET } }),
  )
  return execute(Load({ parentHandle: srk, inPrivate: outPrivate, inPublic: outPublic, authValue: PIN }))
}

/** Meets a policy in a session of its own, and opens the object with it. */
async function unseal(itemHandle: Entity, meet: (policySession: Session) => Promise<void>): Promise<string> {
  await using session = await ownSession()
  await meet(session)
  return hex((await execute(Unseal({ itemHandle }), { sessions: [session] })).outData)
}

describe('a sealed object', () => {
  test('under PolicyPCR opens while the registers are what they were', async () => {
    await execute(PcrReset({ pcrHandle: 16 }))
    await extend16()
    await using sealed = await seal(new Policy().pcr({ pcrs, pcrDigest: await currentPcrDigest(host.tpm, pcrs) }))
    const meet = (policySession: Session): Promise<void> => execute(PolicyPCR({ policySession, pcrs }))
    expect(await unseal(sealed, meet)).toBe(hex(SECRET))

    await expect(execute(Unseal({ itemHandle: sealed }))).rejects.toMatchObject({
      response: { name: 'TPM_RC_AUTH_UNAVAILABLE' },
    })
    await extend16()
    await expect(unseal(sealed, meet)).rejects.toMatchObject({ response: { name: 'TPM_RC_POLICY_FAIL' } })
    await execute(PcrReset({ pcrHandle: 16 }))
    await extend16()
    expect(await unseal(sealed, meet)).toBe(hex(SECRET))
  })

  test('a register that changes while the policy is met is noticed', async () => {
    await using sealed = await seal(new Policy().pcr({ pcrs, pcrDigest: await currentPcrDigest(host.tpm, pcrs) }))
    const meet = async (policySession: Session): Promise<void> => {
      await execute(PolicyPCR({ policySession, pcrs }))
      await execute(PcrExtend({ pcrHandle: 0, digests: { sha256: new Uint8Array(32) } }))
    }
    await expect(unseal(sealed, meet)).rejects.toMatchObject({ response: { name: 'TPM_RC_PCR_CHANGED' } })
  })

  test('under PolicyAuthValue wants the PIN, and a restarted session is like a new one', async () => {
    await using sealed = await seal(new Policy().commandCode('Unseal').authValue())
    const meet = async (policySession: Session): Promise<void> => {
      await execute(PolicyAuthValue({ policySession }))
      await execute(PolicyRestart({ sessionHandle: policySession }))
      await execute(PolicyCommandCode({ policySession, code: 'Unseal' }))
      await execute(PolicyAuthValue({ policySession }))
    }
    expect(await unseal(sealed, meet)).toBe(hex(SECRET))
    await expect(unseal(withAuth(sealed, utf8('guess')), meet)).rejects.toMatchObject({
      response: { name: 'TPM_RC_BAD_AUTH' },
    })
  })

  test('under PolicyAuthorize opens by approvals, which a counter revokes', async () => {
    const approver = new Signer()
    const policyRef = utf8('host')
    await defineNv(host.tpm, 0x01800201, { attributes: TPMA_NV.COUNTER, dataSize: 8 })
    await execute(NvIncrement({ authHandle: OWNER, nvIndex: await openNvIndex(host.tpm, 0x01800201) }))
    const nvIndex = await openNvIndex(host.tpm, 0x01800201)
    const limit = await readNv(host.tpm, { authHandle: OWNER, nvIndex })
    await using key = await execute(LoadExternal({ inPublic: approver.area, hierarchy: OWNER }))
    await using sealed = await seal(new Policy().authorize({ keySign: key.name, policyRef }).authValue())

    const approve = async (): Promise<{ approvedPolicy: Uint8Array; auth: TpmSignature }> => {
      const counter = { nvName: nvIndex.name, operandB: limit, operation: TPM_EO.UNSIGNED_LE }
      const approvedPolicy = new Policy()
        .pcr({ pcrs, pcrDigest: await currentPcrDigest(host.tpm, pcrs) })
        .nv(counter).digest
      return { approvedPolicy, auth: approver.sign(policyAuthorizeMessage({ approvedPolicy, policyRef })) }
    }
    const meet = (approval: Awaited<ReturnType<typeof approve>>) => async (policySession: Session) => {
      const digest = hash('sha256', policyAuthorizeMessage({ approvedPolicy: approval.approvedPolicy, policyRef }))
      const { validation } = await execute(VerifySignature({ keyHandle: key, digest, signature: approval.auth }))
      await execute(PolicyPCR({ policySession, pcrs }))
      await execute(
        PolicyNV({ policySession, authHandle: OWNER, nvIndex, operandB: limit, operation: TPM_EO.UNSIGNED_LE }),
      )
      const { approvedPolicy } = approval
      await execute(
        PolicyAuthorize({ policySession, approvedPolicy, policyRef, keySign: key.name, checkTicket: validation }),
      )
      await execute(PolicyAuthValue({ policySession }))
    }
    const first = await approve()
    expect(await unseal(sealed, meet(first))).toBe(hex(SECRET))
    await extend16()
    await expect(unseal(sealed, meet(first))).rejects.toMatchObject({ response: { name: 'TPM_RC_VALUE' } })
    expect(await unseal(sealed, meet(await approve()))).toBe(hex(SECRET))
    await execute(NvIncrement({ authHandle: OWNER, nvIndex }))
    await expect(unseal(sealed, meet(await approve()))).rejects.toMatchObject({ response: { name: 'TPM_RC_POLICY' } })
    await execute(NvUndefineSpace({ authHandle: OWNER, nvIndex }))
  })

  test('PolicyAuthValue before an approval counts like one after it', async () => {
    const approver = new Signer()
    await using key = await execute(LoadExternal({ inPublic: approver.area, hierarchy: OWNER }))
    await using sealed = await seal(new Policy().authorize({ keySign: key.name }))
    const approvedPolicy = new Policy().authValue().digest
    const meet = async (policySession: Session): Promise<void> => {
      const digest = hash('sha256', approvedPolicy)
      const { validation } = await execute(
        VerifySignature({ keyHandle: key, digest, signature: approver.sign(approvedPolicy) }),
      )
      await execute(PolicyAuthValue({ policySession }))
      await execute(PolicyAuthorize({ policySession, approvedPolicy, keySign: key.name, checkTicket: validation }))
    }
    expect(await unseal(sealed, meet)).toBe(hex(SECRET))
  })

  test('under PolicyAuthorizeNV opens by what the index holds now', async () => {
    await defineNv(host.tpm, 0x01800202, { dataSize: 34 })
    const write = async (policy: Policy): Promise<NvIndex> => {
      const unwritten = await openNvIndex(host.tpm, 0x01800202)
      await execute(
        NvWrite({ authHandle: OWNER, nvIndex: unwritten, data: concat(Uint8Array.of(0, 0x0b), policy.digest) }),
      )
      return openNvIndex(host.tpm, 0x01800202)
    }
    const nvIndex = await write(new Policy().authValue())
    await using sealed = await seal(new Policy().authorizeNv({ nvName: nvIndex.name }))
    const meet = async (policySession: Session): Promise<void> => {
      await execute(PolicyAuthValue({ policySession }))
      await execute(PolicyAuthorizeNV({ policySession, authHandle: OWNER, nvIndex }))
    }
    expect(await unseal(sealed, meet)).toBe(hex(SECRET))
    await write(new Policy().commandCode('Unseal'))
    await expect(unseal(sealed, meet)).rejects.toMatchObject({ code: 'RESPONSE' })
    await execute(NvUndefineSpace({ authHandle: OWNER, nvIndex }))
  })

  test('under PolicySigned opens by a signature for this very session', async () => {
    const signer = new Signer()
    await using key = await execute(LoadExternal({ inPublic: signer.area, hierarchy: OWNER }))
    await using sealed = await seal(new Policy().signed({ name: key.name }))
    const meet = (nonceOf: (session: Session) => Uint8Array) => async (policySession: Session) => {
      const scope = { nonceTPM: nonceOf(policySession), expiration: 60 }
      const auth = signer.sign(policySignedMessage(scope))
      await execute(PolicySigned({ policySession, authObject: key, auth, ...scope, nonceTPM: policySession.nonceTpm }))
    }
    expect(
      await unseal(
        sealed,
        meet((session) => session.nonceTpm),
      ),
    ).toBe(hex(SECRET))
    await expect(
      unseal(
        sealed,
        meet(() => new Uint8Array(32)),
      ),
    ).rejects.toMatchObject({
      response: { name: 'TPM_RC_SIGNATURE' },
    })
  })

  test('under PolicyCounterTimer opens up to a number of restarts', async () => {
    const { currentTime } = await execute(ReadClock())
    const atMost = (resets: number): { operandB: Uint8Array; offset: number; operation: number } => ({
      operandB: new ByteWriter().u32(resets).done(),
      offset: 16,
      operation: TPM_EO.UNSIGNED_LE,
    })
    const { resetCount } = currentTime.clockInfo
    await using open = await seal(new Policy().counterTimer(atMost(resetCount)))
    expect(
      await unseal(open, (policySession) => execute(PolicyCounterTimer({ policySession, ...atMost(resetCount) }))),
    ).toBe(hex(SECRET))
    await using session = await ownSession()
    await expect(
      execute(PolicyCounterTimer({ policySession: session, ...atMost(resetCount - 1) })),
    ).rejects.toMatchObject({
      response: { name: 'TPM_RC_POLICY' },
    })
  })

  test('under PolicyOR opens by either way', async () => {
    const alternatives = [new Policy().commandCode('Unseal'), new Policy().secret({ name: OWNER.name })]
    const pHashList = alternatives.map(({ digest }) => digest)
    await using sealed = await seal(Policy.or(alternatives))
    for (const first of [
      (policySession: Session) => execute(PolicyCommandCode({ policySession, code: 'Unseal' })),
      (policySession: Session) => execute(PolicySecret({ policySession, authHandle: OWNER })),
    ]) {
      const opened = await unseal(sealed, async (policySession) => {
        await first(policySession)
        await execute(PolicyOR({ policySession, pHashList }))
      })
      expect(opened).toBe(hex(SECRET))
    }
  })
})
