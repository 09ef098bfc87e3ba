/** Frames of channels, which strangers send. */
import { strictEqual } from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { canonical, EvidenceError, utf8 } from '@reprise/core'
import { RecoveryError } from '@reprise/recovery'
import { decodeFrame, encodeFrame } from '@reprise/recovery/channel'
import { mutateBytes, mutateJson } from '../mutate.ts'
import { once, pick } from '../random.ts'
import { unlessRefused, type FuzzTarget } from '../target.ts'

const path = resolve(import.meta.dirname, '../../../vectors/recovery/channel/expected.json')

export const channelFrames: FuzzTarget = {
  name: 'channel-frame',
  claim: 'a frame is taken in its one spelling, or refused',
  byDay: 6000,
  prepare() {
    const { wire } = JSON.parse(readFileSync(path, 'utf8')) as { readonly wire: readonly string[] }
    const frames = wire.map((hex) => new Uint8Array(Buffer.from(hex, 'hex').subarray(4)))
    const values = frames.map((bytes) => JSON.parse(Buffer.from(bytes).toString()) as unknown)
    return Promise.resolve((random) => {
      const value = (): unknown => mutateJson(random, pick(random, values), pick(random, values))
      const bytes = once(random, 2)
        ? mutateBytes(random, pick(random, frames), frames)
        : unlessRefused(EvidenceError, () => utf8(canonical(value())))
      if (bytes === undefined) return
      const frame = unlessRefused(RecoveryError, () => decodeFrame(bytes))
      if (frame === undefined) return
      strictEqual(Buffer.compare(encodeFrame(frame).subarray(4), bytes), 0, 'a frame in another spelling was taken')
    })
  },
}
