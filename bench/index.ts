/** The groups of figures, and how they are run. */

import { channel } from './groups/channel.ts'
import { decrypt } from './groups/decrypt.ts'
import { enrol } from './groups/enrol.ts'
import { loading } from './groups/loading.ts'
import { numpy } from './groups/numpy.ts'
import { python } from './groups/python.ts'
import { recovery } from './groups/recovery.ts'
import { resume } from './groups/resume.ts'
import { rewrite } from './groups/rewrite.ts'
import { sign } from './groups/sign.ts'
import { start } from './groups/start.ts'
import { stall } from './groups/stall.ts'
import { verify } from './groups/verify.ts'
import { wasm } from './groups/wasm.ts'
import { Bench, type BenchSettings, type Group } from './harness.ts'
import { type BenchResult, machineFacts } from './report.ts'

export const groups: readonly Group[] = [
  channel,
  decrypt,
  enrol,
  loading,
  numpy,
  python,
  recovery,
  resume,
  rewrite,
  sign,
  stall,
  start,
  verify,
  wasm,
]

export interface BenchOptions extends BenchSettings {
  /** All groups when empty. */
  readonly names: readonly string[]
}

/** @returns The result, and whether every group came to its end. */
export async function runBench({
  names,
  ...settings
}: BenchOptions): Promise<{ readonly result: BenchResult; readonly complete: boolean }> {
  const machine = machineFacts()
  const bench = new Bench(settings)
  let complete = true
  for (const group of groups) {
    if (names.length > 0 && !names.includes(group.name)) continue
    complete = (await bench.run(group)) && complete
  }
  const { rows, summary, absent, quick } = bench
  return { result: { schema: 'reprise/bench-result/v1', machine, quick, rows, summary, absent }, complete }
}
