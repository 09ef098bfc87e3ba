/** Guests with all the memory that WebAssembly can have. */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { assemble, signed } from '../../packages/wasm/src/module/assembler.ts'
import { compiledProgram } from '../../tools/compile-c.ts'
import { ROOT, runGuests, temporaryFolder } from './children.ts'

const PAGES = 65_536
const NIGHTLY = process.env['REPRISE_TESTS'] === 'nightly'

test.runIf(NIGHTLY)('a guest of 4 GiB that writes here and there, and moves to another machine', async () => {
  await using folder = await temporaryFolder()
  const [[compared, moved]] = await runGuests(folder, [
    {
      home: join(folder.path, 'home'),
      program: compiledProgram(join(ROOT, 'bench/programs/large-memory.c')),
      arguments: ['4032', '4', '3000'],
      memoryPages: PAGES,
      fuel: 300_000,
      ways: [{ dirtyPages: 'compare' }, { dirtyPages: 'kernel', moveAt: 2 }],
    },
  ])
  expect(compared.states.length).toBeGreaterThan(3)
  expect(compared.end).toBe('0')
  expect(moved.states).toEqual(compared.states)
})

test('host calls reach the last byte of 4 GiB', async () => {
  await using folder = await temporaryFolder()
  const program = join(folder.path, 'guest.wasm')
  const constant = (value: number): number[] => [0x41, ...signed(value | 0)]
  const top = 2 ** 32
  await writeFile(
    program,
    assemble({
      imports: [
        { module: 'reprise', name: 'checkpoint', params: ['i32', 'i32'] },
        { module: 'wasi_snapshot_preview1', name: 'fd_read', params: ['i32', 'i32', 'i32', 'i32'], results: ['i32'] },
        { module: 'wasi_snapshot_preview1', name: 'random_get', params: ['i32', 'i32'], results: ['i32'] },
        { module: 'wasi_snapshot_preview1', name: 'proc_exit', params: ['i32'] },
      ],
      functions: [
        {
          exported: '_start',
          code: [
            ...[...constant(PAGES - 1), 0x40, 0, 0x1a],
            // The iovec and its count lie at the top too.
            ...[...constant(top - 32), ...constant(top - 5000), 0x36, 2, 0],
            ...[...constant(top - 28), ...constant(100), 0x36, 2, 0],
            ...[...constant(0), ...constant(top - 32), ...constant(1), ...constant(top - 4), 0x10, 1, 0x1a],
            ...[...constant(0), ...constant(0), 0x10, 0],
            ...[...constant(top - 2 ** 31 - 50), ...constant(100), 0x10, 2, 0x1a],
            ...[...constant(top - 20), ...constant(16), 0x10, 2, 0x1a],
            ...[...constant(0), ...constant(0), 0x10, 0],
            // How many bytes were read.
            ...[...constant(top - 4), 0x28, 2, 0, 0x10, 3],
          ],
        },
      ],
      memory: { minPages: 1 },
    }),
  )
  const stdin = Buffer.alloc(99, 'input ').toString('base64')
  const ways = [{ dirtyPages: 'compare' }, { dirtyPages: 'kernel' }] as const
  const home = join(folder.path, 'home')
  const [[compared, found]] = await runGuests(folder, [{ home, program, stdin, memoryPages: PAGES, ways }])
  expect([compared.end, compared.states.length]).toEqual(['99', 4])
  expect(found.states).toEqual(compared.states)
})
