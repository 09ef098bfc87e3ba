/** What a board answers, changed as bytes: refused, or shown without obeying any of it. */
import { strictEqual } from 'node:assert/strict'
import { RecoveryError } from '@reprise/recovery'
import { boardLines, boardPage, boardView, parseSightings, sightingsJson } from '@reprise/recovery/board'
import { sampleSightings } from '../../../packages/recovery/src/board/sample.ts'
import { mutateBytes } from '../mutate.ts'
import { unlessRefused, type FuzzTarget } from '../target.ts'

export const board: FuzzTarget = {
  name: 'board',
  claim: 'a changed state of a fleet is refused, or shown with no tag and no line of its own',
  byDay: 2000,
  prepare() {
    const original = Buffer.from(sightingsJson(sampleSightings()))
    const tags = (page: string): number => page.split(/<script|<img|<iframe|<svg/i).length
    const look = { show: 'all', host: undefined } as const
    const known = tags(boardPage(boardView(sampleSightings()), look))
    return Promise.resolve((random) => {
      const text = Buffer.from(mutateBytes(random, original, [original])).toString()
      const sightings = unlessRefused(RecoveryError, () => parseSightings(text))
      if (sightings === undefined) return
      const view = boardView(sightings)
      strictEqual(tags(boardPage(view, look)), known, 'the page has a tag that a host brought')
      strictEqual(
        boardLines(view).join('\n').split('\n').length,
        boardLines(view).length,
        'a text has a line of its own',
      )
    })
  },
}
