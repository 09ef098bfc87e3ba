import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createSchedule, type Segment } from './schedule.ts'

const some = (count: number): Segment[] =>
  Array.from({ length: count }, (_, segment) => ({ segment, first: 2 * segment, last: 2 * segment + 2 }))
const even = (): number => 1

describe('the schedule of segments', () => {
  test('lets a job go on from segment to segment, and another one begin half-way', () => {
    const schedule = createSchedule(some(7), even)
    const first = schedule.take(1, undefined)
    const other = schedule.take(2, undefined)
    expect([first?.segment, other?.segment]).toEqual([0, 4])
    expect([1, 2, 3].map((expected) => schedule.take(1, some(7)[expected - 1])?.segment)).toEqual([1, 2, 3])
    // Its way is done: it takes of what the other one comes to.
    expect(schedule.take(1, some(7)[3])?.segment).toBe(6)
    expect(schedule.take(2, other)?.segment).toBe(5)
    expect(schedule.take(2, some(7)[5])).toBeUndefined()
  })

  test('begins at the beginning of a stretch that nobody is on the way to, the longest one first', () => {
    const chosen = some(9).filter(({ segment }) => ![3, 8].includes(segment))
    const schedule = createSchedule(chosen, even)
    expect(schedule.take(1, undefined)?.segment).toBe(4)
    expect(schedule.take(2, undefined)?.segment).toBe(0)
    // A machine that was lost stands at no end.
    expect(schedule.take(1, undefined)?.segment).toBe(5)
  })

  test('counts what the first job is at as well: all of it when it has just begun, else half', () => {
    const [segments, weight] = [some(11), ({ segment }: Segment): number => (segment === 10 ? 0.3 : 1)]
    const schedule = createSchedule(segments, weight)
    const first = schedule.take(1, undefined)
    // 5 and 5.3; 6 and 4.3 would take longer.
    expect(schedule.take(2, undefined)?.segment).toBe(5)
    schedule.take(1, first)
    // 5 to 7, and 8 to 10.
    expect(schedule.take(3, undefined)?.segment).toBe(8)
    // Of 1, which was begun a while ago, half may be left.
    expect(schedule.take(4, undefined)?.segment).toBe(3)
  })

  test('cuts by weight', () => {
    const schedule = createSchedule(some(6), ({ segment }) => (segment === 1 ? 10 : 1))
    schedule.take(1, undefined)
    expect(schedule.take(2, undefined)?.segment).toBe(2)
  })

  test('gives nothing out once it is closed', () => {
    const schedule = createSchedule(some(3), even)
    schedule.close()
    expect(schedule.take(1, undefined)).toBeUndefined()
  })

  test('gives out each segment once, whatever comes of them and in whatever order', () => {
    const step = fc.record({ job: fc.nat(3), isLost: fc.boolean() })
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.nat(19), { minLength: 1 }),
        fc.array(fc.nat(1000), { minLength: 20, maxLength: 20 }),
        fc.array(step, { minLength: 60, maxLength: 60 }),
        (chosen, weights, steps) => {
          const segments = some(20).filter(({ segment }) => chosen.includes(segment))
          const schedule = createSchedule(segments, ({ segment }) => weights[segment])
          const ends = new Map<number, Segment | undefined>()
          const given: number[] = []
          for (const { job, isLost } of steps) {
            const taken = schedule.take(job, isLost ? undefined : ends.get(job))
            if (taken !== undefined) given.push(taken.segment)
            ends.set(job, taken)
          }
          expect(given.toSorted((a, b) => a - b)).toEqual(chosen.toSorted((a, b) => a - b))
        },
      ),
    )
  })
})
