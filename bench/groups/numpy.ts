/**
 * NumPy in the machine, hashed and signed, to Debian's native one: once with the reference BLAS and LAPACK, once with
 * OpenBLAS on one thread. Only a runtime that was built is measured. How to read it: docs/benchmarks.md.
 */

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { repriseHome } from '@reprise/host'
import { exportRuntime, importRuntime, listRuntimes, type InstalledRuntime } from '@reprise/runner'
import { REPRISE, timeCommand } from '../child.ts'
import { watchJson } from '../command-marks.ts'
import type { Bench, Group } from '../harness.ts'
import { TemporaryHome } from '../home.ts'
import { type Mark, steady } from '../marks.ts'

const SCRIPT = 'arrays.py'
/** Each of some hundredths of a second, native. */
const ROUNDS = 8
/** As they stand in the script. */
const BENCHMARKS = ['elementwise', 'reductions', 'matmul', 'svd'] as const
const PYTHON = '/usr/bin/python3'
const LIBRARIES = '/usr/lib/x86_64-linux-gnu'
/** Debian's NumPy finds BLAS and LAPACK as shared libraries: which, is a matter of where it looks. */
const SIDES = {
  native: [`${LIBRARIES}/blas`, `${LIBRARIES}/lapack`],
  openblas: [`${LIBRARIES}/openblas-serial`],
} as const
type Side = 'subject' | keyof typeof SIDES

export const numpy: Group = {
  name: 'numpy',
  about:
    'arrays in the NumPy that was built, hashed and signed, to native NumPy with the reference BLAS and with OpenBLAS',
  async measure(bench) {
    const { runtimes } = await listRuntimes(repriseHome())
    const runtime = runtimes.find(({ manifest }) => manifest.name === 'numpy')
    if (runtime === undefined) return bench.notMeasured('native.ratio', 'no runtime numpy: reprise runtime build numpy')
    const version = await nativeVersion()
    if (version === undefined)
      return bench.notMeasured('native.ratio', 'no native NumPy: apt-get install python3-numpy libblas3 liblapack3')
    bench.progress(`${runtime.manifest.title} to native NumPy ${version}`)
    await using home = await TemporaryHome.create()
    await place(home, runtime)
    await measureStart(bench, home)
    report(bench, await take(bench, home))
  },
}

async function nativeVersion(): Promise<string | undefined> {
  if (!SIDES.native.every(existsSync)) return undefined
  const asked = ['-I', '-c', 'import numpy; print(numpy.__version__)']
  return (await promisify(execFile)(PYTHON, asked).catch(() => undefined))?.stdout.trim()
}

async function place(home: TemporaryHome, runtime: InstalledRuntime): Promise<void> {
  const file = join(home.folder, 'numpy.runtime')
  await exportRuntime(runtime, file)
  await importRuntime(file, home.path)
  await copyFile(fileURLToPath(new URL(`../programs/${SCRIPT}`, import.meta.url)), join(home.folder, SCRIPT))
}

/** A script that imports NumPy and does nothing. */
async function measureStart(bench: Bench, home: TemporaryHome): Promise<void> {
  await writeFile(join(home.folder, 'start.py'), 'import numpy\nprint(numpy.ones(3).sum())\n')
  let count = 0
  const subject = async (): Promise<number> => {
    const words = ['run', '-o', `start-${count++}.reprise`, '--runtime', 'numpy', 'python', 'start.py']
    return (await timeCommand([REPRISE, ...words], { cwd: home.folder, env: home.environment })).wallS
  }
  await bench.figure({
    name: 'start.wallS',
    unit: 's',
    subject,
    summary: { key: 'start.numpy.warm.wallS', of: 'value' },
  })
}

/** Each once that does not count: it fills caches; then in turn, and who goes first alternates. */
async function take(bench: Bench, home: TemporaryHome): Promise<Readonly<Record<Side, Mark[][]>>> {
  const words = ['run', '--json', '--no-write-back', '-o', 'out.reprise', '--runtime', 'numpy', '--input', SCRIPT]
  const taken: Record<Side, Mark[][]> = { subject: [], native: [], openblas: [] }
  const sides: Side[] = existsSync(SIDES.openblas[0]) ? ['native', 'subject', 'openblas'] : ['native', 'subject']
  for (let pair = 0; pair <= bench.pairs; pair++) {
    bench.progress(pair === 0 ? 'warming' : `${pair} of ${bench.pairs}`)
    for (const side of pair % 2 === 0 ? sides : sides.toReversed()) {
      bench.checkInterrupted()
      const command =
        side === 'subject'
          ? [REPRISE, ...words, 'python', SCRIPT, String(ROUNDS)]
          : [PYTHON, '-E', SCRIPT, String(ROUNDS)]
      const libraries = side === 'subject' ? {} : { LD_LIBRARY_PATH: SIDES[side].join(':') }
      const env = { ...home.environment, PYTHONDONTWRITEBYTECODE: '1', ...libraries }
      const { marks } = await watchJson(command, { cwd: home.folder, env })
      if (marks.length !== 1 + ROUNDS * BENCHMARKS.length) throw new Error(`${marks.length - 1} rounds were seen`)
      if (pair > 0) taken[side].push([...marks])
    }
  }
  return taken
}

function report(bench: Bench, taken: Readonly<Record<Side, readonly Mark[][]>>): void {
  for (const side of ['native', 'openblas'] as const) {
    if (taken[side].length === 0) continue
    for (const [i, name] of BENCHMARKS.entries()) {
      const seconds = (runs: readonly Mark[][]): number[] => runs.map((marks) => roundOf(marks, i))
      const [samples, baselines] = [seconds(taken.subject), seconds(taken[side])]
      const summary = { key: `numpy.${side}.${name}.ratio`, of: 'ratio' } as const
      bench.add({ name: `${side}.${name}`, unit: 's', samples, baselines, summary })
    }
    const sums = (runs: readonly Mark[][]): number[] =>
      runs.map((marks) => BENCHMARKS.reduce((sum, _, i) => sum + roundOf(marks, i), 0))
    const [samples, baselines] = [sums(taken.subject), sums(taken[side])]
    const summary = { key: `numpy.${side}.ratio`, of: 'ratio' } as const
    bench.add({ name: side, unit: 's', samples, baselines, summary })
  }
}

/** CPU seconds, of all threads, of a round of a benchmark, its first ones left out. */
function roundOf(marks: readonly Mark[], index: number): number {
  return steady(marks.slice(index * ROUNDS, (index + 1) * ROUNDS + 1), 'processS')
}
