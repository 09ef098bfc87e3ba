import { describe, expect, test } from 'vitest'
import type { TpmsClockInfo } from '../tpm/index.ts'
import {
  CLOCK_SAVED_MS_MAX,
  isClockBack,
  isLaterCycle,
  isSameCycle,
  isWhollyTold,
  stepsBetween,
  tellPowerChange,
  type PowerChange,
} from './power.ts'

const at = (resetCount: number, restartCount: number, clock = 0n): TpmsClockInfo => ({
  clock,
  resetCount,
  restartCount,
  safe: true,
})

describe('power cycles', () => {
  test.each([
    [at(7, 1), at(7, 1), 'same'],
    [at(7, 1), at(7, 2), 'later'],
    [at(7, 2), at(7, 1), 'before'],
    [at(7, 2), at(8, 0), 'later'],
    [at(7, 1), at(8, 1), 'later'],
    [at(8, 0), at(7, 2), 'before'],
    [at(8, 1), at(7, 1), 'before'],
  ])('follow each other by resets, then by restarts', (before, now, expected) => {
    expect([isSameCycle(before, now), isLaterCycle(before, now)]).toEqual([expected === 'same', expected === 'later'])
  })

  test('are so many resets apart, and restarts since the last of them', () => {
    expect(stepsBetween(at(7, 1), at(7, 4))).toEqual({ resets: 0, restarts: 3 })
    expect(stepsBetween(at(7, 3), at(9, 2))).toEqual({ resets: 2, restarts: 2 })
  })

  test.each([
    [0, 3, true],
    [1, 0, true],
    [1, 1, false],
    [2, 0, false],
  ])('%d resets and %d restarts are told of wholly: %s', (resets, restarts, expected) => {
    expect(isWhollyTold({ resets, restarts })).toBe(expected)
  })
})

describe('a clock', () => {
  const isBack = (byMs: bigint, change: Parameters<typeof isClockBack>[2]): boolean =>
    isClockBack(at(7, 0, 100_000_000n), at(8, 0, 100_000_000n - byMs), change)

  test.each([
    ['restarts keep it', { resets: 0, restarts: 2, orderly: false }, 0n],
    ['an orderly reset keeps it', { resets: 1, restarts: 0, orderly: true }, 0n],
    ['a reset loses what was not saved', { resets: 1, restarts: 0, orderly: false }, CLOCK_SAVED_MS_MAX],
    ['of two resets only one is told of', { resets: 2, restarts: 0, orderly: true }, 2n * CLOCK_SAVED_MS_MAX],
    ['of a reset before a restart nothing is told', { resets: 1, restarts: 1, orderly: true }, CLOCK_SAVED_MS_MAX],
  ])('goes back so far and no further: %s', (_why, change, allowed) => {
    expect([isBack(allowed, change), isBack(allowed + 1n, change)]).toEqual([false, true])
  })
})

describe('a sentence about a power change', () => {
  const change = (more: Partial<PowerChange>): PowerChange => ({
    host: 0,
    from: { attempt: 1, seq: 2 },
    to: { attempt: 2, seq: 3 },
    resets: 1,
    restarts: 0,
    orderly: false,
    sameKernel: false,
    ...more,
  })

  test.each([
    [{}, 'host 0 went down without a shutdown between attempt 1 and 2'],
    [{ orderly: true }, 'host 0 was shut down between attempt 1 and 2'],
    [
      { orderly: true, resets: 3 },
      'host 0 went down 3 times, and the last time was shut down, between attempt 1 and 2',
    ],
    [{ restarts: 1 }, 'host 0 went down once, nobody shows how, and was restarted once since, between attempt 1 and 2'],
    [
      { resets: 0, restarts: 2, sameKernel: true, to: { attempt: 1, seq: 4 } },
      'host 0 slept or was restarted from a saved state 2 times between checkpoints 2 and 4 of attempt 1',
    ],
    [
      { sameKernel: true },
      'host 0 went down without a shutdown between attempt 1 and 2 (its TPM alone: its kernel went on)',
    ],
    [{ sameKernel: null }, 'host 0 went down without a shutdown between attempt 1 and 2'],
  ])('%j', (more, sentence) => expect(tellPowerChange(change(more))).toBe(sentence))
})
