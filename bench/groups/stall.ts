/**
 * How long a large guest stands still at a checkpoint, and what finding its changed pages costs: asking the kernel to
 * comparing all of memory (docs/decisions/0007).
 */

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type Bench, type Group, median, type Sample } from '../harness.ts'
import type { StallAnswer } from './stall.child.ts'

interface Guest {
  readonly mib: number
  /** Writes to random pages in each round, and fuel between checkpoints, about a round. */
  readonly writes: number
  readonly fuel: number
  readonly rounds: number
}

/** About what a write costs in fuel. */
const FUEL_PER_WRITE = 100
const ROUNDS = 16

/** A guest that writes to this many random pages between two checkpoints. */
function guestOf(mib: number, writes: number): Guest {
  return { mib, writes, fuel: writes * FUEL_PER_WRITE, rounds: ROUNDS }
}

const DESCRIPTOR = fileURLToPath(new URL('../../dist/dirty-pages/descriptor.so', import.meta.url))
const CHILD = fileURLToPath(new URL('./stall.child.ts', import.meta.url))

/** In a process that is prepared as ./reprise does. */
async function runOnce(choice: 'auto' | 'kernel' | 'compare', guest: Guest): Promise<StallAnswer> {
  const args = [choice, guest.mib, guest.writes, guest.rounds, guest.fuel].map(String)
  const env = { ...process.env, LD_PRELOAD: DESCRIPTOR }
  const { stdout } = await promisify(execFile)(process.execPath, [CHILD, ...args], { env })
  return JSON.parse(stdout) as StallAnswer
}

const sample =
  (choice: 'auto' | 'kernel' | 'compare', guest: Guest, figure: (answer: StallAnswer) => number): Sample =>
  async () =>
    figure(await runOnce(choice, guest))

const stallOf = ({ stallMs }: StallAnswer): number => median(stallMs)

async function measure(bench: Bench): Promise<void> {
  const large = guestOf(2000, 5243)
  try {
    await runOnce('kernel', guestOf(64, 100))
  } catch (error) {
    bench.notMeasured('stall2g.ms', `the kernel cannot be asked: ${(error as Error).message.trim().split('\n').at(-1)}`)
    await bench.figure({ name: 'stall2g.compare.ms', unit: 'ms', subject: sample('compare', large, stallOf) })
    return
  }
  await bench.figure({
    name: 'stall2g.ms',
    unit: 'ms',
    subject: sample('kernel', large, stallOf),
    baseline: sample('compare', large, stallOf),
    summary: { key: 'wasm.stall2g.ms', of: 'value' },
  })
  // Two thirds of all pages between checkpoints: a fault for each, unless it is noticed.
  const dense = guestOf(512, 131_072)
  const cpu = ({ cpuS }: StallAnswer): number => cpuS
  const baseline = sample('compare', dense, cpu)
  await bench.figure({ name: 'dense512m.kernel', unit: 's', subject: sample('kernel', dense, cpu), baseline })
  await bench.figure({ name: 'dense512m.auto', unit: 's', subject: sample('auto', dense, cpu), baseline })
}

export const stall: Group = {
  name: 'stall',
  about: 'how long a guest of 2 GiB stands still at a checkpoint, the kernel asked to everything compared',
  measure,
}
