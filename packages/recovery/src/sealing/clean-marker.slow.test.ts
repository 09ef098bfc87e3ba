/** The marker of a clean shutdown on swtpm: good for one boot of one host. */

import { nodeCrypto } from '@reprise/host/crypto'
import { attestationKeyTemplate, CreatePrimary, ENDORSEMENT, type LoadedObject, ReadClock } from '@reprise/tpm'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { holdsCleanMarker, signCleanMarker } from './clean-marker.ts'
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
  const holds = async (
    change: Partial<Parameters<typeof holdsCleanMarker>[1]> = {},
    bytes = marker,
  ): Promise<boolean> => holdsCleanMarker(bytes, { host, akPublic, now: await counts(), crypto: nodeCrypto, ...change })

  expect(await holds()).toBe(false)
  await chip.shutDown()
  await chip.boot()
  expect(await holds()).toBe(true)
  expect(await holds({ host: 'web-2' })).toBe(false)
  for (const at of [0, 40, 200, marker.length - 3]) expect(await holds({}, marker.with(at, marker[at] ^ 1))).toBe(false)
  expect(await holds({}, marker.subarray(1))).toBe(false)
  expect(holdsCleanMarker(undefined, { host, akPublic, now: await counts(), crypto: nodeCrypto })).toBe(false)
  await using other = await chip.tpm.execute(
    CreatePrimary({ primaryHandle: ENDORSEMENT, inPublic: attestationKeyTemplate(new Uint8Array(32).fill(2)) }),
  )
  expect(await holds({ akPublic: other.public.raw })).toBe(false)

  // A copy that somebody kept, when the power is cut the next time; and hibernation.
  await chip.cut()
  await chip.boot()
  expect(await holds()).toBe(false)
  const second = await ak()
  const again = await signCleanMarker(chip.tpm, second, { host, bootId: 'c' })
  await chip.suspend()
  await chip.boot()
  expect(await holds({}, again)).toBe(false)
})
