/** A ward shows which image it measured. Rules: spec/agent.md §5, §7. */

import { hex } from '@reprise/core'
import type { Attested } from '../../channel/channel.ts'
import type { Answer, Message } from '../../channel/messages.ts'
import { checkQuote } from '../../quote.ts'
import { IMAGE_PCR } from '../../sealing/image/take.ts'
import { measuredValue } from '../own/image.ts'
import { loadedStatement } from '../proofs.ts'
import { failed, quoteOwn, standingOf, type WitnessParts } from './failing.ts'

/** The register holds that image and nothing else, and the host was released in this boot. */
export async function answerLoaded(
  parts: WitnessParts,
  from: Attested,
  { imageDigest, quote }: Message & { readonly kind: 'loaded' },
): Promise<Answer> {
  const { ground } = parts
  const barred = standingOf(parts, from)
  if (barred !== undefined) return barred
  if (!from.isCapped) return failed('PROOF', 'it was not released in this boot')
  const statement = loadedStatement(from.host, imageDigest)
  const registers = [{ pcr: IMAGE_PCR, value: measuredValue(imageDigest) }]
  const checked = checkQuote(quote, { akPublic: from.akPublic, statement, registers })
  if (checked.kind === 'broken') return failed('PROOF', checked.why)
  const { resetCount, restartCount } = checked.attest.clockInfo
  if (resetCount !== from.resetCount || restartCount !== from.restartCount)
    return failed('PROOF', 'it was quoted in another boot')
  ground.report('image seen', { of: from.host, image: hex(imageDigest) })
  return { kind: 'loaded', confirm: await quoteOwn(ground, statement) }
}
