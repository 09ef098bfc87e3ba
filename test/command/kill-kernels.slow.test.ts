/** C programs that are killed again and again, and go on under another Node each time. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { programs } from '../../bench/programs/catalog.ts'
import { randomFrom, SEED } from './journals.ts'
import {
  CALLS,
  drawnChain,
  expectSurvives,
  expectSurvivesCall,
  programsOfDay,
  TRIES,
  whole,
  type Whole,
} from './kill.ts'
import { node24, Room } from './room.ts'

let room: Room
beforeAll(async () => {
  room = await Room.create()
})
afterAll(() => room[Symbol.asyncDispose]())

describe('gives the same states and outputs when it is killed five times and changes between two versions of Node', () => {
  const random = randomFrom(SEED)
  test.each(programsOfDay.filter((name) => programs[name].kind === 'kernel'))('%s', async (name) => {
    const expected = await whole(room, name)
    const chain = { seqs: drawnChain(expected, random), nodes: [undefined, node24()], random }
    let kills = 0
    // A busy machine may let it come to its end before it is seen where it was to be killed.
    for (let tries = 0; kills === 0 && tries < TRIES; tries++) kills = await expectSurvives(room, expected, chain)
    expect({ seed: SEED, seqs: chain.seqs, isKilled: kills > 0 }).toMatchObject({ isKilled: true })
  })
})

describe('gives the same when it is killed before a system call that brings something to disk', () => {
  const random = randomFrom(SEED)
  let expected: Whole
  beforeAll(async () => {
    expected = await whole(room, 'sort')
  })
  test.each(CALLS)('%s', async (call) => {
    for (const most of [30, 200]) {
      const nth = 1 + Math.trunc(random() * most)
      await expectSurvivesCall(room, expected, { call, nth }).catch((cause: unknown) => {
        throw new Error(`seed ${SEED}, call ${nth}`, { cause })
      })
    }
  })
})
