/** The marker of a clean shutdown on swtpm: good for one boot of one host. */

import { canonical, utf8 } from '@reprise/core'
import { nodeCrypto } from '@reprise/host/crypto'
import { attestationKeyTemplate, CreatePrimary, ENDORSEMENT, type LoadedObject, ReadClock } from '@reprise/tpm'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkCleanMarker, signCleanMarker } from './clean-marker.ts'
import { TestChip } from './testing.ts'

let chip: TestChip
beforeAll(async () => {
  chip = await TestChip.lay()
  await chip.boot()
})
afterAll(() => chip[Symbol.asyncDispose]())

const host = 'web-1'
const ak = (): Promise<LoadedObject> => {
  const inPublic = attestationKeyTemplate(new Uint8Array(32).fill(1))
  return chip.tpm.execute(CreatePrimary({ primaryHandle: ENDORSEMENT, inPublic }))
}
const counts = async (): Promise<{ readonly resetCount: number; readonly restartCount: number }> =>
  (await chip.tpm.execute(ReadClock())).currentTime.clockInfo

test('it holds in the boot after it, and in no other, for no other host and key', async () => {
  const key = await ak()
  const akPublic = key.public.raw
  const marker = await signCleanMarker(chip.tpm, key, { host, bootId: 'b' })
  await key.flush()
  const checked = async (
    change: Partial<Parameters<typeof checkCleanMarker>[1]> = {},
    bytes = marker,
  ): Promise<string> => {
    const now = await counts()
    const answer = checkCleanMarker(bytes, { host, akPublic, now, crypto: nodeCrypto, ...change })
    return answer.kind === 'holds' ? 'holds' : answer.why
  }

  expect(await checked()).toMatch(/^it is of boot \d+ of the TPM, and this is boot \d+, restarted 0 times$/)
  await chip.shutDown()
  await chip.boot()
  expect(await checked()).toBe('holds')
  // A promise is no yes, whatever comes of it.
  const later = { verify: (): Promise<boolean> => Promise.resolve(false) }
  expect(await checked({ crypto: later })).toBe('the signature of this host’s attestation key does not hold')
  expect(await checked({ host: 'web-2' })).toBe('the TPM signed something else than the end of the boot b of web-2')
  for (const at of [0, 40, 200, marker.length - 3])
    expect(await checked({}, marker.with(at, marker[at] ^ 1))).not.toBe('holds')
  expect(await checked({}, marker.subarray(1))).toMatch(/^marker/)
  const { attest, signature } = JSON.parse(Buffer.from(marker).toString()) as Record<string, string>
  const elsewhen = utf8(canonical({ schema: 'reprise/clean-shutdown/v1', bootId: 'c', attest, signature }))
  expect(await checked({}, elsewhen)).toBe('the TPM signed something else than the end of the boot c of web-1')
  await using other = await chip.tpm.execute(
    CreatePrimary({ primaryHandle: ENDORSEMENT, inPublic: attestationKeyTemplate(new Uint8Array(32).fill(2)) }),
  )
  expect(await checked({ akPublic: other.public.raw })).toBe(
    'the signature of this host’s attestation key does not hold',
  )

  // A copy that somebody kept, when the power is cut the next time; and hibernation.
  await chip.cut()
  await chip.boot()
  expect(await checked()).toMatch(/^it is of boot/)
  const second = await ak()
  const again = await signCleanMarker(chip.tpm, second, { host, bootId: 'c' })
  await chip.suspend()
  await chip.boot()
  expect(await checked({}, again)).toMatch(/restarted 1 times$/)
})
