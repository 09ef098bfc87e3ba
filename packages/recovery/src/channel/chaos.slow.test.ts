/** A server among strangers that say anything, in any order, and hosts that talk all the while. */

import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { randomFrom } from '../simulate/random.ts'
import { helloOf, identities, lab, opened, proofOf } from './testing/lab.ts'
import { callRaw } from './testing/raw-peer.ts'

const STRANGERS = 300
const AT_ONCE = 6
const FRAMES = 12

test('three hundred connections of anything leave it as it was', { timeout: 600_000 }, async () => {
  const path = new URL('../../../../vectors/recovery/channel/expected.json', import.meta.url)
  const { wire } = JSON.parse(readFileSync(path, 'utf8')) as { readonly wire: readonly string[] }
  const samples = wire.map((hex) => Buffer.from(hex, 'hex'))
  const random = randomFrom(11, 'channel chaos')
  await using here = await lab({ limits: { helloMs: 5000, attestMs: 5000, perHost: 64, frameMs: 2000 } })
  const honest = opened(await here.open())

  async function stranger(): Promise<void> {
    const peer = await callRaw(here.server.address, identities.thief).catch(() => undefined)
    if (peer === undefined) return
    peer.isDeaf = random.chance(0.3)
    // Every other one proves itself first, with the key of a host: what follows comes from inside.
    if (random.chance(0.5)) {
      peer.send(helloOf(here.asking))
      const theirs = await peer.next()
      if (theirs?.kind === 'hello' && !peer.isDeaf) peer.send(await proofOf(here.asking, peer, theirs))
    }
    for (let frames = 0; frames < FRAMES && !peer.socket.destroyed; frames++) {
      const bytes = Buffer.from(samples[random.below(samples.length)])
      for (let changes = random.below(3); changes > 0; changes--) bytes[random.below(bytes.length)] = random.below(256)
      peer.write(bytes.subarray(0, random.chance(0.8) ? bytes.length : random.below(bytes.length)))
      if (random.chance(0.3)) await new Promise((resolve) => void setImmediate(resolve))
    }
    if (random.chance(0.5)) peer.socket.end()
    else peer.socket.destroy()
  }

  for (let done = 0; done < STRANGERS; done += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, stranger))
    if (honest.isOpen) expect(await honest.say({ kind: 'status' }, 60_000)).toMatchObject({ kind: 'taken' })
  }
  const channel = opened(await here.open())
  expect(await channel.say({ kind: 'status' }, 60_000)).toMatchObject({ kind: 'taken' })
})
