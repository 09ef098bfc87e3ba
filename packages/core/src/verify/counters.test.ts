import { describe, expect, test } from 'vitest'
import type { TpmsClockInfo } from '../tpm/index.ts'
import { HostCounters, type CountsToCheck } from './counters.ts'
import type { BootFacts, CounterFacts } from './statements.ts'

const cycle = (resetCount: number): TpmsClockInfo => ({ clock: 0n, resetCount, restartCount: 0, safe: true })

const counter = (value: bigint, index = 'aa'): CounterFacts => ({ index, value, clock: cycle(7) })

const boot = (value: bigint, resetCount = 7, index = 'aa'): BootFacts => ({
  bootId: null,
  orderly: true,
  clock: cycle(resetCount),
  counter: counter(value, index),
})

const told = (more: Partial<CountsToCheck>): CountsToCheck => ({
  boot: undefined,
  counter: undefined,
  statement: undefined,
  begins: false,
  ...more,
})

/** @returns Codes of what is wrong, for each in turn on host 0. */
function codesOf(...all: Partial<CountsToCheck>[]): string[][] {
  const counters = new HostCounters()
  return all.map((each) => counters.check(0, told(each)).map(({ code }) => code))
}

describe('the counter of a host', () => {
  test('counts the boots and the beginnings of attempts, and what else was begun', () => {
    const counters = new HostCounters()
    const all = [
      { boot: boot(3n), statement: 'a', counter: counter(4n), begins: true },
      { counter: counter(6n) },
      { boot: boot(8n, 8), statement: 'b', counter: counter(9n), begins: true },
      { counter: counter(9n) },
    ]
    expect(all.flatMap((each) => counters.check(0, told(each)))).toEqual([])
    // From the begin of the first attempt: of the five increments from 4 to 9 the second attempt and the second boot are shown.
    expect(counters.list()).toEqual([{ host: 0, from: '4', to: '9', others: '3' }])
  })

  test('is known by host, and listed in their order', () => {
    const counters = new HostCounters()
    counters.check(1, told({ counter: counter(5n) }))
    counters.check(0, told({ counter: counter(2n) }))
    expect(counters.list().map(({ host, from }) => [host, from])).toEqual([
      [0, '2'],
      [1, '5'],
    ])
  })

  test('a boot and the beginning of an attempt count on, the end of an attempt need not', () => {
    const begun = { boot: boot(3n), statement: 'a', counter: counter(4n), begins: true }
    expect(codesOf(begun, { counter: counter(4n) })).toEqual([[], []])
    expect(codesOf(begun, { counter: counter(3n) })).toEqual([[], ['COUNTER_BACK']])
    expect(codesOf(begun, { counter: counter(4n), begins: true })).toEqual([[], ['COUNTER_BACK']])
    expect(codesOf(begun, { counter: counter(5n), begins: true })).toEqual([[], []])
    expect(codesOf(begun, { boot: boot(4n, 8), statement: 'b' })).toEqual([[], ['COUNTER_BACK']])
    expect(codesOf(begun, { boot: boot(5n, 8), statement: 'b' })).toEqual([[], []])
  })

  test('a value that went back is not counted from', () => {
    expect(codesOf({ counter: counter(4n) }, { counter: counter(2n) }, { counter: counter(3n) })).toEqual([
      [],
      ['COUNTER_BACK'],
      ['COUNTER_BACK'],
    ])
  })

  test('the same boot statement in the same power cycle says nothing new', () => {
    const begun = { boot: boot(3n), statement: 'a', counter: counter(4n), begins: true }
    expect(codesOf(begun, begun)).toEqual([[], ['COUNTER_BACK']])
    expect(codesOf(begun, { ...begun, counter: counter(5n) })).toEqual([[], []])
    // Another one of the same power cycle was not counted, and is not older either.
    expect(codesOf(begun, { boot: boot(4n), statement: 'b' })).toEqual([[], []])
    expect(codesOf(begun, { boot: boot(3n), statement: 'b' })).toEqual([[], ['COUNTER_BACK']])
  })

  test('the boot after a counter without one is counted', () => {
    const first = { counter: counter(4n), begins: true }
    expect(codesOf(first, { boot: boot(4n), statement: 'a' })).toEqual([[], ['COUNTER_BACK']])
    expect(codesOf(first, { boot: boot(5n), statement: 'a' })).toEqual([[], []])
    // A boot without a text is one all the same.
    expect(codesOf(first, { boot: boot(4n) })).toEqual([[], []])
  })

  test('must stay the same one', () => {
    expect(codesOf({ counter: counter(4n) }, { counter: counter(9n, 'bb') })).toEqual([[], ['COUNTER_INDEX']])
    expect(codesOf({ counter: counter(4n) }, { boot: boot(9n, 8, 'bb'), statement: 'a' })).toEqual([
      [],
      ['COUNTER_INDEX'],
    ])
  })

  test('what is not told of is not counted', () => {
    expect(codesOf({}, { begins: true })).toEqual([[], []])
  })
})
