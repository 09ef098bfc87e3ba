/** A root that is kept for this boot opens in it, and never after: spec/agent.md §9. */

import { hex } from '@reprise/core'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { CAP_UNTOUCHED, capBoot } from '../../sealing/boot-state.ts'
import { Secret } from '../../sealing/secret.ts'
import { TestChip } from '../../sealing/testing.ts'
import { openRoots, type Roots } from './roots.ts'

let made: TestChip
let chip: TestChip
beforeAll(async () => {
  made = await TestChip.lay()
})
afterAll(() => made[Symbol.asyncDispose]())
beforeEach(async () => {
  chip = await made.copy()
})
afterEach(() => chip[Symbol.asyncDispose]())

const ROOT = new Uint8Array(32).fill(0xa7)
const open = (): Promise<Roots> =>
  openRoots({
    pinned: chip,
    path: join(chip.scratch, 'this-boot.json'),
    bootPcrs: () => [4, 7],
    cap: () => CAP_UNTOUCHED,
  })

async function keep(): Promise<void> {
  using roots = await open()
  roots.judgement = 'boot-checked'
  await roots.keep(3, Secret.owning(ROOT.slice()))
}

async function recalled(): Promise<string | undefined> {
  using roots = await open()
  const root = roots.of(3)
  return root && hex(root.bytes)
}

test('it opens for the next agent of the same boot, once the cap register is extended', async () => {
  await keep()
  await capBoot(chip.tpm)
  expect(await recalled()).toBe(hex(ROOT))
  expect(await recalled()).toBe(hex(ROOT))
  using roots = await open()
  expect(roots.judgement).toBe('boot-checked')
})

test('it does not open while the half can still be opened', async () => {
  await keep()
  expect(await recalled()).toBeUndefined()
  // What did not open is gone: the host asks.
  await capBoot(chip.tpm)
  expect(await recalled()).toBeUndefined()
})

test.each([
  ['a loss of power', () => chip.cut()],
  ['a shutdown', () => chip.shutDown()],
  ['a hibernation, or Shutdown(STATE) with Startup(CLEAR)', () => chip.suspend()],
])('it does not open after %s, not even with the registers as they were', async (_what, end) => {
  await keep()
  await capBoot(chip.tpm)
  await end()
  await chip.boot()
  await capBoot(chip.tpm)
  expect(await recalled()).toBeUndefined()
})

test('roots of generations that are retired are dropped', async () => {
  using roots = await open()
  for (const epoch of [1, 2]) await roots.keep(epoch, Secret.owning(new Uint8Array(32).fill(epoch)), 1)
  await roots.retain([2])
  await capBoot(chip.tpm)
  using again = await open()
  expect([again.of(1)?.bytes, again.of(2)?.bytes]).toEqual([undefined, new Uint8Array(32).fill(2)])
})

test('the root of the generation that counts stays, however often a newer one breaks off', async () => {
  {
    using roots = await open()
    for (const epoch of [1, 2, 4, 6, 8]) await roots.keep(epoch, Secret.owning(new Uint8Array(32).fill(epoch)), 1)
    expect([1, 2, 4, 6, 8].filter((epoch) => roots.of(epoch) !== undefined)).toEqual([1, 8])
  }
  await capBoot(chip.tpm)
  using again = await open()
  expect([1, 2, 4, 6, 8].filter((epoch) => again.of(epoch) !== undefined)).toEqual([1, 8])
})
