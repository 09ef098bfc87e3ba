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

/** A hundredth of its pages between checkpoints. */
const LARGE = guestOf(2000, 5243)
/** Filling and hashing two gigabytes takes longer than a quick run has. */
const QUICK = guestOf(256, 671)
/** Two thirds of all pages: a fault for each, unless it is noticed. */
const DENSE = guestOf(512, 131_072)

const PRELOAD = fileURLToPath(new URL('../../dist/dirty-pages/preload.so', import.meta.url))
const CHILD = fileURLToPath(new URL('./stall.child.ts', import.meta.url))

/** In a process that is prepared as ./reprise does. */
async function runOnce(choice: 'auto' | 'kernel' | 'compare', guest: Guest): Promise<StallAnswer> {
  const args = [choice, guest.mib, guest.writes, guest.rounds, guest.fuel].map(String)
  const env = { ...process.env, LD_PRELOAD: PRELOAD }
  const { stdout } = await promisify(execFile)(process.execPath, [CHILD, ...args], { env })
  return JSON.parse(stdout) as StallAnswer
}

const sample =
  (choice: 'auto' | 'kernel' | 'compare', guest: Guest, figure: (answer: StallAnswer) => number): Sample =>
  async () =>
    figure(await runOnce(choice, guest))

const stallOf = ({ stallMs }: StallAnswer): number => median(stallMs)

async function measure(bench: Bench): Promise<void> {
  const { guest, name } = bench.quick ? { guest: QUICK, name: 'stall256m' } : { guest: LARGE, name: 'stall2g' }
  const baseline = sample('compare', guest, stallOf)
  try {
    await runOnce('kernel', guestOf(64, 100))
  } catch (error) {
    bench.notMeasured(`${name}.ms`, `the kernel cannot be asked: ${(error as Error).message.trim().split('\n').at(-1)}`)
    await bench.figure({ name: `${name}.compare.ms`, unit: 'ms', subject: baseline })
    return
  }
  const summary = { key: `wasm.${name}.ms`, of: 'value' } as const
  await bench.figure({ name: `${name}.ms`, unit: 'ms', subject: sample('kernel', guest, stallOf), baseline, summary })
  if (bench.quick) return bench.notMeasured('stall2g, dense512m', 'quick runs leave them out')
  const cpu = ({ cpuS }: StallAnswer): number => cpuS
  const compare = sample('compare', DENSE, cpu)
  await bench.figure({ name: 'dense512m.kernel', unit: 's', subject: sample('kernel', DENSE, cpu), baseline: compare })
  await bench.figure({ name: 'dense512m.auto', unit: 's', subject: sample('auto', DENSE, cpu), baseline: compare })
}

export const stall: Group = {
  name: 'stall',
  about: 'how long a guest of 2 GiB stands still at a checkpoint, the kernel asked to everything compared',
  measure,
}
