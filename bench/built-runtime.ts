/**
 * What the groups about built runtimes share: one script of several benchmarks, as many rounds of each, in the machine and
 * natively by turns.
 */

import { copyFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { repriseHome } from '@reprise/host'
import { exportRuntime, importRuntime, listRuntimes, type InstalledRuntime } from '@reprise/runner'
import { REPRISE } from './child.ts'
import { watchJson } from './command-marks.ts'
import type { Bench } from './harness.ts'
import type { TemporaryHome } from './home.ts'
import { type Clock, type Mark, steady } from './marks.ts'

/** Of each benchmark: some hundredths of a second each, native. */
export const ROUNDS = 8

/** The newest one that this machine's user has built or imported. */
export async function builtRuntime(name: string): Promise<InstalledRuntime | undefined> {
  const { runtimes } = await listRuntimes(repriseHome())
  return runtimes.find(({ manifest }) => manifest.name === name)
}

/** Brings a runtime into a home. Its file goes: what lies in the folder is an input of what runs there, hashed for each run. */
export async function install(home: TemporaryHome, runtime: InstalledRuntime): Promise<void> {
  const file = join(home.folder, 'exported.runtime')
  await exportRuntime(runtime, file)
  await importRuntime(file, home.path)
  await rm(file)
}

/** Brings a runtime and a script of `bench/programs` into a home and its folder. */
export async function place(home: TemporaryHome, runtime: InstalledRuntime, script: string): Promise<void> {
  await install(home, runtime)
  await copyFile(fileURLToPath(new URL(`programs/${script}`, import.meta.url)), join(home.folder, script))
}

/** The command that runs the script in the machine, hashed and signed. */
export function inTheMachine(runtime: string, script: string): readonly string[] {
  const words = ['run', '--json', '--no-write-back', '-o', 'out.reprise', '--runtime', runtime, '--input', script]
  return [REPRISE, ...words, 'python', script, String(ROUNDS)]
}

export interface Sides<Side extends string> {
  readonly sides: readonly Side[]
  /** How many the script has. */
  readonly benchmarks: number
  readonly run: (side: Side) => {
    readonly command: readonly string[]
    readonly env?: Readonly<Record<string, string>>
  }
}

/** Each once that does not count: it fills caches; then in turn, and who goes first alternates. */
export async function takeTurns<Side extends string>(
  bench: Bench,
  home: TemporaryHome,
  { sides, benchmarks, run }: Sides<Side>,
): Promise<ReadonlyMap<Side, readonly Mark[][]>> {
  const taken = new Map(sides.map((side): [Side, Mark[][]] => [side, []]))
  for (let pair = 0; pair <= bench.pairs; pair++) {
    bench.progress(pair === 0 ? 'warming' : `${pair} of ${bench.pairs}`)
    for (const side of pair % 2 === 0 ? sides : sides.toReversed()) {
      bench.checkInterrupted()
      const { command, env } = run(side)
      const own = { ...home.environment, PYTHONDONTWRITEBYTECODE: '1', ...env }
      const { marks } = await watchJson([...command], { cwd: home.folder, env: own })
      if (marks.length !== 1 + ROUNDS * benchmarks) throw new Error(`${marks.length - 1} rounds were seen`)
      if (pair > 0) taken.get(side)?.push([...marks])
    }
  }
  return taken
}

/** Seconds of a round of the benchmark `index` of a script, its first ones left out. */
export function roundOf(marks: readonly Mark[], index: number, clock: Clock): number {
  return steady(marks.slice(index * ROUNDS, (index + 1) * ROUNDS + 1), clock)
}

/** Seconds of a round of all benchmarks of a script together, for each run. */
export function sumsOf(runs: readonly (readonly Mark[])[], benchmarks: number, clock: Clock): number[] {
  const each = Array.from({ length: benchmarks }, (_, i) => i)
  return runs.map((marks) => each.reduce((sum, i) => sum + roundOf(marks, i, clock), 0))
}
