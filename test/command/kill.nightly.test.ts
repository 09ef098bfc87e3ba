/** Every program killed at every checkpoint, or at two hundred where there are more. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { programNames } from '../../bench/programs/catalog.ts'
import { randomFrom, SEED } from './journals.ts'
import { CALLS, expectSurvives, expectSurvivesCall, mostCalls, TRIES, whole, type Whole } from './kill.ts'
import { node24, Room } from './room.ts'

const KILLS_MAX = 200
/** Kills a run goes through: so much of a run is done once for all of them. */
const CHAINS = 10
const PATIENCE_MS = 7_200_000

let room: Room
beforeAll(async () => {
  room = await Room.create()
})
afterAll(() => room[Symbol.asyncDispose]())

const random = randomFrom(SEED)

describe('killed at every checkpoint, a program gives the same states and outputs', () => {
  test.each(programNames)(
    '%s',
    async (name) => {
      const expected = await whole(room, name, node24())
      const step = Math.max(1, (expected.checkpoints.length - 1) / KILLS_MAX)
      const count = Math.trunc((expected.checkpoints.length - 1) / step)
      const all = Array.from({ length: count }, (_, i) => Math.trunc(i * step))
      for (let chain = 0; chain < CHAINS; chain++) {
        const nodes = chain % 2 === 0 ? [undefined] : [undefined, node24()]
        let seqs = all.filter((_, i) => i % CHAINS === chain)
        // What came to its end before it could be killed is tried again for what is left, and killed at once.
        for (let tries = 0; seqs.length > 0 && tries < TRIES; tries++) {
          const delay = tries === 0 ? {} : { delayUsMax: 0 }
          seqs = seqs.slice(await expectSurvives(room, expected, { seqs, nodes, random, ...delay }))
        }
        expect(seqs).toEqual([])
      }
    },
    PATIENCE_MS,
  )
})

describe('killed at every system call that brings something to disk, a program gives the same states and outputs', () => {
  let expected: Whole
  beforeAll(async () => {
    expected = await whole(room, 'sort', node24())
  })
  test.each(CALLS)(
    '%s',
    async (call) => {
      const most = await mostCalls(room, expected, call)
      let kills = 0
      for (let nth = 1; nth <= most; nth++) if (await expectSurvivesCall(room, expected, { call, nth })) kills++
      expect(kills).toBeGreaterThan(0)
    },
    PATIENCE_MS,
  )
})
