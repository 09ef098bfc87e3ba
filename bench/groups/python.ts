/**
 * CPython in the machine to the native one of the same minor version: ten small benchmarks, hashed and signed. Only a
 * runtime that was built is measured; the stock one is among the programs of `wasm`. How to read it: docs/benchmarks.md.
 */

import { execFile } from 'node:child_process'
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { repriseHome } from '@reprise/host'
import { exportRuntime, importRuntime, listRuntimes, type InstalledRuntime } from '@reprise/runner'
import { REPRISE } from '../child.ts'
import { watchJson } from '../command-marks.ts'
import type { Bench, Group } from '../harness.ts'
import { TemporaryHome } from '../home.ts'
import { type Clock, type Mark, steady } from '../marks.ts'

const SCRIPT = 'ten.py'
/** Each of some hundredths of a second, native. */
const ROUNDS = 8
/** As they stand in the script. */
const BENCHMARKS = [
  ...['loop', 'fib', 'nbody', 'strings', 'objects'],
  ...['generators', 'sorting', 'documents', 'patterns', 'exceptions'],
]

interface Taken {
  readonly subject: readonly Mark[][]
  readonly native: readonly Mark[][]
}

export const python: Group = {
  name: 'python',
  about: 'ten benchmarks in the CPython that was built, hashed and signed, to native python of the same minor version',
  async measure(bench) {
    const { runtimes } = await listRuntimes(repriseHome())
    const runtime = runtimes.find(({ manifest }) => manifest.name === 'python')
    if (runtime === undefined)
      return bench.notMeasured('native.ratio', 'no runtime python: reprise runtime build python')
    const minor = runtime.manifest.version.split('.').slice(0, 2).join('.')
    // Debian's, whatever else is on the PATH.
    const native = `/usr/bin/python${minor}`
    const version = await promisify(execFile)(native, ['--version']).catch(() => undefined)
    if (version === undefined) return bench.notMeasured('native.ratio', `there is no ${native} to compare with`)
    bench.progress(`${runtime.manifest.title} to ${version.stdout.trim()}`)
    await using home = await TemporaryHome.create()
    await place(home, runtime)
    report(bench, await take(bench, home, native))
  },
}

async function place(home: TemporaryHome, runtime: InstalledRuntime): Promise<void> {
  const file = join(home.folder, 'python.runtime')
  await exportRuntime(runtime, file)
  await importRuntime(file, home.path)
  await copyFile(fileURLToPath(new URL(`../programs/${SCRIPT}`, import.meta.url)), join(home.folder, SCRIPT))
}

/** Each once that does not count: it fills caches; then in turn, and who goes first alternates. */
async function take(bench: Bench, home: TemporaryHome, native: string): Promise<Taken> {
  const options = { cwd: home.folder, env: { ...home.environment, PYTHONDONTWRITEBYTECODE: '1' } }
  const words = ['run', '--json', '--no-write-back', '-o', 'out.reprise', '--runtime', 'python', '--input', SCRIPT]
  const subject = [REPRISE, ...words, 'python', SCRIPT, String(ROUNDS)]
  const baseline = [native, '-I', SCRIPT, String(ROUNDS)]
  const taken = { subject: [] as Mark[][], native: [] as Mark[][] }
  for (let pair = 0; pair <= bench.pairs; pair++) {
    bench.progress(pair === 0 ? 'warming' : `${pair} of ${bench.pairs}`)
    const order = pair % 2 === 0 ? (['native', 'subject'] as const) : (['subject', 'native'] as const)
    for (const side of order) {
      bench.checkInterrupted()
      const { marks } = await watchJson(side === 'subject' ? subject : baseline, options)
      if (marks.length !== 1 + ROUNDS * BENCHMARKS.length) throw new Error(`${marks.length - 1} rounds were seen`)
      if (pair > 0) taken[side].push([...marks])
    }
  }
  return taken
}

function report(bench: Bench, { subject, native }: Taken): void {
  for (const [i, name] of BENCHMARKS.entries())
    bench.add({
      name,
      unit: 's',
      samples: subject.map((marks) => roundOf(marks, i, 'wallS')),
      baselines: native.map((marks) => roundOf(marks, i, 'wallS')),
    })
  for (const [clock, suffix] of [
    ['wallS', ''],
    ['processS', '.cpu'],
  ] as const) {
    const sums = (runs: readonly (readonly Mark[])[]): number[] =>
      runs.map((marks) => BENCHMARKS.reduce((sum, _, i) => sum + roundOf(marks, i, clock), 0))
    const [samples, baselines] = [sums(subject), sums(native)]
    bench.add({
      ...{ name: `ten${suffix}`, unit: 's', samples, baselines },
      summary: { key: `python.native.ratio${suffix}`, of: 'ratio' },
    })
  }
}

/** Seconds of a round of a benchmark, its first ones left out. */
function roundOf(marks: readonly Mark[], index: number, clock: Clock): number {
  return steady(marks.slice(index * ROUNDS, (index + 1) * ROUNDS + 1), clock)
}
