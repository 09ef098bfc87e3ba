/**
 * A million inputs. A night that is cut short goes on where it was, and when a million is done the next one begins with
 * another seed; where it is stands in `.cache/fuzz.json`.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { Fuzzer } from './fuzz.ts'
import { targets } from './targets/index.ts'

const INPUTS = 1_000_000
/** What is saved, and done again when it is cut off. */
const CHUNK = 5000
const HOURS_MS = 6 * 3600 * 1000

const folder = resolve(import.meta.dirname, '../../.cache')
const path = resolve(folder, 'fuzz.json')

interface Place {
  readonly seed: number
  /** Inputs done, by target. */
  readonly done: Readonly<Record<string, number>>
}

function readPlace(): Place {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Place
  } catch {
    return { seed: 1, done: {} }
  }
}

function savePlace(place: Place): void {
  mkdirSync(folder, { recursive: true })
  writeFileSync(`${path}.new`, JSON.stringify(place))
  renameSync(`${path}.new`, path)
}

const fuzzer = new Fuzzer()
afterAll(() => fuzzer[Symbol.asyncDispose]())

const dayInputs = targets.reduce((sum, { byDay }) => sum + byDay, 0)
/** As the day shares them out. */
const shareOf = (byDay: number): number => Math.ceil((INPUTS * byDay) / dayInputs)

test.each(targets)(
  '$name: $claim',
  async ({ name, byDay }) => {
    const share = shareOf(byDay)
    for (let place = readPlace(); (place.done[name] ?? 0) < share; place = readPlace()) {
      const from = place.done[name] ?? 0
      const count = Math.min(CHUNK, share - from)
      await fuzzer.fuzz({ target: name, seed: place.seed, from, count })
      savePlace({ seed: place.seed, done: { ...place.done, [name]: from + count } })
    }
  },
  HOURS_MS,
)

test('a million inputs are done, and the next night takes others', () => {
  const { seed, done } = readPlace()
  const sum = targets.reduce((all, { name }) => all + (done[name] ?? 0), 0)
  expect(sum).toBeGreaterThanOrEqual(INPUTS)
  savePlace({ seed: seed + 1, done: {} })
})
