/** An offer of a host for its recovery plan says what its TPM is as far as an authority vouches for it, and no farther. */
import { encodeTpmsAttest } from '@reprise/core'
import { decodeCertificate } from '@reprise/core/certificates'
import { checkOffer, makeOffer, type OfferTier } from '@reprise/recovery/operators'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { eccTpm, quoteFields } from '../record/imitation-tpm.ts'
import { imitationHost } from './imitation-host.ts'
import { AuthorityRoom, enrol } from './rooms.ts'

let room: AuthorityRoom
beforeEach(async () => {
  room = await AuthorityRoom.create()
})
afterEach(() => room[Symbol.asyncDispose]())

async function tierOf(
  key: string,
  certificates: readonly Uint8Array[],
  authorities: readonly Uint8Array[],
): Promise<OfferTier> {
  const tpm = eccTpm(key)
  const pcrs = { 4: new Uint8Array(32).fill(4) }
  const facts = { fleet: 'lab', host: 'web-1', akPublic: tpm.publicArea, storageKey: new Uint8Array(90), approvals: 1n }
  const offer = await makeOffer({ ...facts, certificates }, async (extraData) => {
    const clockInfo = { clock: 1n, resetCount: 1, restartCount: 0, safe: true }
    const attest = encodeTpmsAttest(quoteFields(tpm, { extraData, clockInfo, pcrs }))
    return { attest, signature: tpm.sign(attest), registers: new Map([[4, pcrs[4]]]) }
  })
  return (
    await checkOffer(
      offer,
      'offer',
      authorities.map((der) => decodeCertificate(der)),
    )
  ).tier
}

test('the tier is that of the certificate, when the operator trusts its authority and the key is the certified one', async () => {
  room.tier = { tier: 'hardware', reason: 'the test says so' }
  const authority = await room.open({ approve: 'software' })
  const { certificates, root } = await enrol(authority, imitationHost({ ak: 'mine' }))
  const chain = [...certificates, root]
  expect(await tierOf('mine', chain, [root])).toEqual({
    kind: 'certified',
    tier: 'hardware',
    authority: 'Test authority',
    name: 'alpha',
  })
  expect(await tierOf('mine', chain, [])).toMatchObject({ kind: 'unproven' })
  expect(await tierOf('mine', [], [root])).toMatchObject({ kind: 'unproven' })
  expect(await tierOf('mine', [root], [root])).toMatchObject({ kind: 'unproven' })
  expect(await tierOf('another', chain, [root])).toMatchObject({ kind: 'unproven' })
  await using other = await AuthorityRoom.create()
  // Of another authority with the same name.
  const { root: otherRoot } = await enrol(await other.open({ approve: 'software' }), imitationHost({ ak: 'mine' }))
  expect(await tierOf('mine', chain, [otherRoot])).toMatchObject({ kind: 'unproven' })
  expect(await tierOf('mine', [...certificates, otherRoot], [otherRoot])).toMatchObject({ kind: 'unproven' })
})
