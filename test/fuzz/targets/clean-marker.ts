/** What a host finds of its last shutdown, on a disk that anybody may have had. */
import { deepStrictEqual, ok } from 'node:assert/strict'
import { ByteWriter, canonical, encodeTpmsAttest, hex, utf8 } from '@reprise/core'
import { checkCleanMarker } from '@reprise/recovery/sealing'
import { eccTpm, quoteFields } from '../../record/imitation-tpm.ts'
import { nodeCrypto } from '../../record/node-crypto.ts'
import { mutateCanonical } from '../mutate.ts'
import type { FuzzTarget } from '../target.ts'

const SCHEMA = 'reprise/clean-shutdown/v1'
const HOST = 'web-1'
const tpm = eccTpm('clean')

interface Made {
  readonly bootId: string
  readonly resetCount: number
  readonly schema?: string
}

/** Spec/release.md §12.1, written down a second time. */
function markerOf({ bootId, resetCount, schema = SCHEMA }: Made): string {
  const about = new ByteWriter()
    .raw(utf8(`${schema}\0`))
    .sized(utf8(HOST))
    .sized(utf8(bootId))
    .done()
  const clockInfo = { clock: 1n, resetCount, restartCount: 0, safe: true }
  const pcrs = { 14: new Uint8Array(32).fill(1) }
  const attest = encodeTpmsAttest(quoteFields(tpm, { extraData: nodeCrypto.sha256(about), clockInfo, pcrs }))
  return canonical({ schema: SCHEMA, bootId, attest: hex(attest), signature: hex(tpm.sign(attest)) })
}

export const cleanMarkers: FuzzTarget = {
  name: 'clean-marker',
  claim: 'a changed marker of a clean shutdown is refused with a reason, and a whole one in every boot but the next',
  byDay: 2000,
  prepare() {
    const marker = markerOf({ bootId: 'a', resetCount: 6 })
    const others = [
      markerOf({ bootId: 'b', resetCount: 5 }),
      markerOf({ bootId: 'a', resetCount: 7 }),
      markerOf({ bootId: 'a', resetCount: 6, schema: 'reprise/peer/v1' }),
    ]
    const check = (bytes: Uint8Array, resetCount = 7, restartCount = 0) =>
      checkCleanMarker(bytes, {
        ...{ host: HOST, akPublic: tpm.publicArea, now: { resetCount, restartCount }, crypto: nodeCrypto },
      })
    deepStrictEqual(check(utf8(marker)), { kind: 'holds' })
    for (const other of others) deepStrictEqual(check(utf8(other)).kind, 'refused')
    return Promise.resolve((random) => {
      const bytes = mutateCanonical(random, marker, [marker, ...others])
      const isWhole = Buffer.from(bytes).equals(Buffer.from(marker))
      const checked = check(bytes)
      deepStrictEqual(checked.kind, isWhole ? 'holds' : 'refused')
      ok(checked.kind === 'holds' || checked.why.length > 0)
      const [resets, restarts] = [random(12), random(3)]
      if (resets !== 7 || restarts !== 0) deepStrictEqual(check(utf8(marker), resets, restarts).kind, 'refused')
    })
  },
}
