import type { Checkpoint } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { CheckpointTable } from './checkpoint-table.ts'

function checkpointOf(seq: number): Checkpoint {
  return {
    kind: seq % 7 === 3 ? 2 : 1,
    outputs: Math.floor(seq / 100)
      .toString(16)
      .padStart(64, '0'),
    position: (BigInt(seq) * 9_000_000_000_001n).toString(),
    seq,
    state: seq.toString(16).padStart(64, 'a'),
  }
}

describe('CheckpointTable', () => {
  test('gives back what was put in, by number and in order', () => {
    const all = Array.from({ length: 10_000 }, (_, seq) => checkpointOf(seq))
    const table = new CheckpointTable()
    for (const checkpoint of all) table.push(checkpoint)
    expect([...table]).toEqual(all)
    for (const seq of [0, 4095, 4096, 8191, 9999, -1]) expect(table.at(seq)).toEqual(all.at(seq))
    expect([table.length, table.at(10_000), table.at(-10_001)]).toEqual([10_000, undefined, undefined])
  })

  test('of nothing has nothing', () => {
    const table = new CheckpointTable()
    expect([[...table], table.at(0), table.at(-1)]).toEqual([[], undefined, undefined])
  })
})
