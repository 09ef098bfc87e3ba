import { encodeLine } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { SnapshotClock } from './snapshot-clock.ts'

function clock(fixedMs?: number | null, before = 0) {
  let nowMs = 1000
  const snapshots = new SnapshotClock(fixedMs, before, () => nowMs)
  return { snapshots, after: (ms: number): boolean => ((nowMs += ms), snapshots.isDue()) }
}

describe('a snapshot is due', () => {
  test('ten seconds after the start, and ten after the one before it while they cost little', () => {
    const { snapshots, after } = clock()
    expect([after(0), after(9999), after(1)]).toEqual([false, false, true])
    snapshots.taken(50)
    expect([after(9999), after(1)]).toEqual([false, true])
  })

  test('so rarely that snapshots take a hundredth of the time, and once a minute at least', () => {
    const { snapshots, after } = clock()
    after(10_000)
    snapshots.taken(300)
    expect([after(29_999), after(1)]).toEqual([false, true])
    snapshots.taken(300 + 5000)
    expect([after(59_999), after(1)]).toEqual([false, true])
    snapshots.taken(300 + 5000 + 100)
    expect([after(9999), after(1)]).toEqual([false, true])
  })

  test('not before the last one is written', () => {
    const { snapshots, after } = clock(1)
    expect([after(1), after(1), after(100_000)]).toEqual([true, false, false])
    snapshots.taken(1)
    expect(after(0)).toBe(true)
  })

  test('never, when none are wanted', () => {
    expect(clock(null).after(1e9)).toBe(false)
  })

  test('at every checkpoint with an interval of 0', () => {
    const { snapshots, after } = clock(0)
    expect(after(0)).toBe(true)
    snapshots.taken(0)
    expect(after(0)).toBe(true)
  })

  test('twice as rarely after every 4096 of them, those of earlier attempts among them', () => {
    const { snapshots, after } = clock(undefined, 4095)
    expect([after(9999), after(1)]).toEqual([false, true])
    snapshots.taken(0)
    expect([after(19_999), after(1)]).toEqual([false, true])
    const late = clock(null, 2 * 4096)
    expect(late.after(1e9)).toBe(false)
  })

  test.each([undefined, 0, 500])('so that no run has more of them than a record can name (interval %s)', (fixedMs) => {
    const linesMax = LINES_BYTES_MAX / encodeLine(LONGEST).length
    const { snapshots, after } = clock(fixedMs)
    let [count, lastMs, nowMs] = [0, 0, 0]
    for (let stepMs = 1; nowMs - lastMs < 1e13; stepMs *= 2) {
      nowMs += stepMs
      if (!after(stepMs)) continue
      snapshots.taken(0)
      count += 1
      lastMs = nowMs
      stepMs = 0.5
    }
    expect(count).toBeGreaterThan(linesMax / 2)
    expect(count).toBeLessThan(linesMax)
  })
})

/** spec/record.md §1.4 */
const LINES_BYTES_MAX = 16 << 20
const D = 'f'.repeat(64)
const LONGEST = { frames: D, manifest: D, root: D, seq: Number.MAX_SAFE_INTEGER }
