/** A guest that uses all of 4 GiB: wants 16 GiB of memory and 5 GiB of the temporary folder. */

import { join } from 'node:path'
import { expect, test } from 'vitest'
import { compiledProgram } from '../../tools/compile-c.ts'
import { ROOT, runGuests, temporaryFolder } from './children.ts'
import type { Answer, Way } from './machine.child.ts'

const RSS_MB_MAX = 16_384

test('every page in use, saved and restored', { timeout: 3_600_000 }, async () => {
  await using folder = await temporaryFolder()
  // Each in a process of its own: what the one before used is given back.
  const run = async (way: Way): Promise<Answer> => {
    const program = compiledProgram(join(ROOT, 'bench/programs/large-memory.c'))
    const home = join(folder.path, 'home')
    const args = ['4032', '6', '20000', '0', 'touch']
    const given = { home, program, arguments: args, memoryPages: 65_536, fuel: 2_000_000, ways: [way] }
    return (await runGuests(folder, [given]))[0][0]
  }
  const compared = await run({ dirtyPages: 'compare' })
  const moved = await run({ dirtyPages: 'kernel', moveAt: 4 })
  expect(compared.states.length).toBeGreaterThan(6)
  expect(moved.states).toEqual(compared.states)
  expect(Math.max(compared.rssMb, moved.rssMb)).toBeLessThan(RSS_MB_MAX)
})
