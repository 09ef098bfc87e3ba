import { expect, test } from 'vitest'
import type { Attempt } from '../record/index.ts'
import { KeptCumulatives } from './kept-cumulatives.ts'

const keptOf = (...firstSeqs: readonly number[]): KeptCumulatives =>
  new KeptCumulatives(firstSeqs.map((firstSeq) => ({ firstSeq }) as Attempt))

/** C stands in for itself by its seq. */
const cumulative = (seq: number): Uint8Array => new Uint8Array(32).fill(seq % 251)

function keepAll(kept: KeptCumulatives, count: number): void {
  for (let seq = 0; seq < count; seq++) kept.keep(seq, cumulative(seq))
}

test('every checkpoint from the earliest that a later attempt computes is kept, however many there are', () => {
  const kept = keptOf(0, 5, 3, 400)
  keepAll(kept, 500)
  for (let seq = 0; seq < 3; seq++) expect(kept.at(seq)).toBeUndefined()
  for (let seq = 3; seq < 500; seq++) expect([seq, kept.at(seq)]).toEqual([seq, cumulative(seq)])
  expect([kept.at(500), kept.at(501), kept.at(-1)]).toEqual([undefined, undefined, undefined])
})

test('nothing is kept of a run of one attempt', () => {
  const kept = keptOf(0)
  keepAll(kept, 10)
  for (let seq = 0; seq < 10; seq++) expect(kept.at(seq)).toBeUndefined()
})

test('what was given is a copy', () => {
  const kept = keptOf(0, 0)
  const mine = cumulative(1)
  kept.keep(0, mine)
  mine.fill(9)
  kept.at(0)?.fill(8)
  expect(kept.at(0)).toEqual(cumulative(1))
})
