/** The groups of figures, and how they are run. */

import { rewrite } from './groups/rewrite.ts'
import { sign } from './groups/sign.ts'
import { start } from './groups/start.ts'
import { stall } from './groups/stall.ts'
import { verify } from './groups/verify.ts'
import { wasm } from './groups/wasm.ts'
import { Bench, type Group } from './harness.ts'
import { type BenchResult, machineFacts } from './report.ts'

export const groups: readonly Group[] = [rewrite, sign, stall, start, verify, wasm]

export interface BenchOptions {
  /** All groups when empty. */
  readonly names: readonly string[]
  readonly quick: boolean
  /** One line at a time, for people who wait. */
  readonly progress: (line: string) => void
}

/** @returns The result, and whether every group came to its end. */
export async function runBench({
  names,
  quick,
  progress,
}: BenchOptions): Promise<{ readonly result: BenchResult; readonly complete: boolean }> {
  const machine = machineFacts()
  const bench = new Bench({ quick, progress })
  let complete = true
  for (const group of groups) {
    if (names.length > 0 && !names.includes(group.name)) continue
    complete = (await bench.run(group)) && complete
  }
  const { rows, summary, absent } = bench
  return { result: { schema: 'reprise/bench-result/v1', machine, quick, rows, summary, absent }, complete }
}
