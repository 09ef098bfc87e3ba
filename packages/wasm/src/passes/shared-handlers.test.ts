import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TYPE } from '../module/result-types.ts'
import { shareHandlers, type SiteValue, stagePlaces } from './shared-handlers.ts'

const value = (local: number, type: number = TYPE.i32): SiteValue => ({ local, type, free: false })
const needing = (...sets: readonly (readonly number[])[]): [number, SiteValue[]][] =>
  sets.map((locals, site) => [site, locals.map((local) => value(local))])
const UNNEEDED_MAX = 8
const upTo = (last: number): number[] => Array.from({ length: last }, (_, i) => i + 1)
const others = upTo(12).map((local) => local + 20)

describe('shareHandlers', () => {
  test('joins sites that need the same values, and those that need nearly the same', () => {
    const handlers = shareHandlers(needing([1, 2], others, [2, 1], [1, 2, 3], [...others, 40]))
    expect(handlers.map(({ sites, values }) => ({ sites, locals: values.map(({ local }) => local) }))).toEqual([
      { sites: [0, 2, 3], locals: [1, 2, 3] },
      { sites: [1, 4], locals: [...others, 40] },
    ])
  })

  test('leaves a site alone when every other one needs too much that it does not', () => {
    expect(shareHandlers(needing(upTo(9), others))).toEqual([])
    expect(shareHandlers(needing([1], upTo(10)))).toEqual([])
    expect(shareHandlers(needing([1], upTo(9)))).toHaveLength(1)
  })

  test('holds what each of its sites needs, little else, and no site twice', () => {
    fc.assert(
      fc.property(fc.array(fc.uniqueArray(fc.nat(24), { maxLength: 20 }), { maxLength: 60 }), (sets) => {
        const handlers = shareHandlers(needing(...sets))
        const seen = handlers.flatMap(({ sites }) => sites)
        expect(new Set(seen).size).toBe(seen.length)
        for (const { sites, values } of handlers) {
          const locals = values.map(({ local }) => local)
          expect(locals).toEqual([...new Set(sites.flatMap((site) => sets[site]))].sort((a, b) => a - b))
          for (const site of sites) expect(locals.length - sets[site].length).toBeLessThanOrEqual(UNNEEDED_MAX)
        }
      }),
    )
  })
})

describe('stagePlaces', () => {
  test('counts both kinds of globals apart, two for a vector, none for a reference', () => {
    const types = [TYPE.i64, TYPE.f32, TYPE.v128, TYPE.funcref, TYPE.i32, TYPE.f64]
    expect(stagePlaces(types.map((type, local) => value(local, type)))).toEqual([
      { kind: 'i64', slot: 0 },
      { kind: 'i32', slot: 0 },
      { kind: 'i64', slot: 1 },
      undefined,
      { kind: 'i32', slot: 1 },
      { kind: 'i64', slot: 3 },
    ])
  })
})
