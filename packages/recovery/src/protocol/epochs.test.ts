import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  acknowledgementsNeeded,
  commit,
  type HeldShares,
  holds,
  type OwnerEvent,
  type OwnerState,
  prepare,
  stepOwner,
} from './epochs.ts'
import { holdsOrReplay } from './replay.ts'

type Move = readonly [kind: 'begin' | 'deliver' | 'drop' | 'double' | 'crash' | 'timer', at: number]

interface Case {
  readonly witnesses: number
  readonly threshold: number
  readonly moves: readonly Move[]
}

/** Plays the moves, and after each one holds what is durable against what must be true at every crash. */
function play({ witnesses: count, threshold, moves }: Case): OwnerState {
  const names = Array.from({ length: count }, (_, i) => `w${i}`)
  const context = { witnesses: names, threshold }
  const held = new Map<string, HeldShares>(names.map((name) => [name, { epochs: [1], committed: 1 }]))
  let owner: OwnerState = { durable: { wraps: [1], decided: 1, tried: 1 }, phase: { kind: 'idle' } }
  const messages: (() => void)[] = []
  const split = new Set([1])

  function tell(event: OwnerEvent): void {
    const { state, actions } = stepOwner(owner, event, context)
    if (state.durable.tried > owner.durable.tried) {
      expect(split.has(state.durable.tried)).toBe(false)
      split.add(state.durable.tried)
    }
    owner = state
    for (const { kind, to, epoch } of actions) for (const name of to) messages.push(() => arrive(name, kind, epoch))
  }
  function arrive(name: string, kind: 'send-prepare' | 'send-commit', epoch: number): void {
    const before = held.get(name) ?? { epochs: [], committed: 0 }
    const after = kind === 'send-prepare' ? prepare(before, epoch) : commit(before, epoch)
    held.set(name, after)
    expect(after.epochs.length).toBeLessThanOrEqual(2)
    const isDone = kind === 'send-prepare' ? after.epochs.includes(epoch) : after.committed === epoch
    if (isDone)
      messages.push(() => tell({ kind: kind === 'send-prepare' ? 'prepared' : 'committed', from: name, epoch }))
  }
  const holders = (epoch: number): number =>
    names.filter((name) => holds(held.get(name) ?? { epochs: [], committed: 0 }, epoch) === 'held').length

  function check(): void {
    const { wraps, decided } = owner.durable
    // Whatever crashes now, the secret can be put together.
    expect(wraps.some((epoch) => holders(epoch) >= threshold)).toBe(true)
    expect(holders(decided)).toBeGreaterThanOrEqual(Math.min(threshold, count))
    // What is over cannot be put together again: an old image and an old blob are worth nothing.
    if (wraps.length === 1) for (let epoch = 1; epoch < decided; epoch++) expect(holders(epoch)).toBeLessThan(threshold)
  }

  for (const [kind, at] of moves) {
    const message = messages.length === 0 ? -1 : at % messages.length
    if (kind === 'begin') tell({ kind: 'begin' })
    else if (kind === 'timer') tell({ kind: 'timer' })
    else if (kind === 'crash') tell({ kind: 'restarted' })
    else if (message >= 0 && kind === 'deliver') messages.splice(message, 1)[0]()
    else if (message >= 0 && kind === 'drop') messages.splice(message, 1)
    else if (message >= 0) messages[message]()
    check()
  }
  // Left in peace it comes to an end.
  tell({ kind: 'timer' })
  for (let i = 0; i < 10_000 && messages.length > 0; i++) messages.splice(0, 1)[0]()
  check()
  return owner
}

const moves = fc.array(
  fc.tuple(
    fc.oneof(
      { weight: 20, arbitrary: fc.constant('deliver' as const) },
      { weight: 3, arbitrary: fc.constantFrom('drop' as const, 'double' as const, 'timer' as const) },
      { weight: 1, arbitrary: fc.constantFrom('crash' as const, 'begin' as const) },
    ),
    fc.nat(4095),
  ),
  { maxLength: 300, size: 'max' },
)

describe('a secret that is split anew', () => {
  test('can be put together at every crash, and the one before never again', () => {
    const cases = fc
      .record({ witnesses: fc.integer({ min: 2, max: 9 }), threshold: fc.integer({ min: 2, max: 5 }), moves })
      .map(({ witnesses, threshold, moves }): Case => ({
        witnesses,
        threshold: Math.min(threshold, witnesses),
        moves: [['begin', 0], ...moves],
      }))
    const property = fc.property(cases, (each) => {
      const { durable, phase } = play(each)
      expect(durable.wraps).toHaveLength(1)
      expect(phase).toEqual({ kind: 'idle' })
    })
    const details = fc.check(property, { numRuns: process.env['REPRISE_TESTS'] === 'check' ? 100 : 1000 })
    holdsOrReplay('epochs', details, fc.defaultReportMessage(details))
  })

  test('of fifteen witnesses twelve must have it', () => {
    const witnesses = Array.from({ length: 15 }, (_, i) => String(i))
    expect(acknowledgementsNeeded({ witnesses, threshold: 5 })).toBe(12)
    // Nine that need two: with seven the old epoch would stay with enough.
    expect(acknowledgementsNeeded({ witnesses: witnesses.slice(0, 9), threshold: 2 })).toBe(8)
  })

  const folder = resolve(import.meta.dirname, '../../../../vectors/recovery')
  test.each(readdirSync(folder).filter((name) => name.startsWith('epochs-')))('%s', (name) => {
    const { durable } = play(JSON.parse(readFileSync(join(folder, name, 'input.json'), 'utf8')) as Case)
    expect(durable.wraps).toHaveLength(1)
  })
})
