import { describe, expect, test } from 'vitest'
import { SnapshotClock } from './snapshot-clock.ts'

function clock(fixedMs?: number | null) {
  let nowMs = 1000
  const snapshots = new SnapshotClock(fixedMs, () => nowMs)
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
})
