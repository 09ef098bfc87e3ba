/**
 * NumPy in the machine, hashed and signed, to Debian's native one: once with the reference BLAS and LAPACK, once with
 * OpenBLAS on one thread. Only a runtime that was built is measured. How to read it: docs/benchmarks.md.
 */

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { promisify } from 'node:util'
import { builtRuntime, inTheMachine, place, roundOf, ROUNDS, sumsOf, takeTurns } from '../built-runtime.ts'
import type { Bench, Group } from '../harness.ts'
import { TemporaryHome } from '../home.ts'
import { between, type Mark } from '../marks.ts'

const SCRIPT = 'arrays.py'
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
    const runtime = await builtRuntime('numpy')
    if (runtime === undefined) return bench.notMeasured('native.ratio', 'no runtime numpy: reprise runtime build numpy')
    const version = await nativeVersion()
    if (version === undefined)
      return bench.notMeasured('native.ratio', 'no native NumPy: apt-get install python3-numpy libblas3 liblapack3')
    bench.progress(`${runtime.manifest.title} to native NumPy ${version}`)
    await using home = await TemporaryHome.create()
    await place(home, runtime, SCRIPT)
    report(bench, await take(bench, home))
  },
}

async function nativeVersion(): Promise<string | undefined> {
  if (!SIDES.native.every(existsSync)) return undefined
  const asked = ['-I', '-c', 'import numpy; print(numpy.__version__)']
  return (await promisify(execFile)(PYTHON, asked).catch(() => undefined))?.stdout.trim()
}

function take(bench: Bench, home: TemporaryHome): Promise<ReadonlyMap<Side, readonly Mark[][]>> {
  const sides: Side[] = existsSync(SIDES.openblas[0]) ? ['native', 'subject', 'openblas'] : ['native', 'subject']
  return takeTurns(bench, home, {
    sides,
    benchmarks: BENCHMARKS.length,
    run: (side) =>
      side === 'subject'
        ? { command: inTheMachine('numpy', SCRIPT) }
        : {
            command: [PYTHON, '-E', SCRIPT, String(ROUNDS)],
            env: { LD_LIBRARY_PATH: SIDES[side].join(':') },
          },
  })
}

/** By the CPU time of all threads. */
function report(bench: Bench, taken: ReadonlyMap<Side, readonly Mark[][]>): void {
  const subject = taken.get('subject') ?? []
  for (const side of ['native', 'openblas'] as const) {
    const native = taken.get(side)
    if (native === undefined) continue
    for (const [i, name] of BENCHMARKS.entries()) {
      const [samples, baselines] = [subject, native].map((runs) => runs.map((marks) => roundOf(marks, i, 'processS')))
      const summary = { key: `numpy.${side}.${name}.ratio`, of: 'ratio' } as const
      bench.add({ name: `${side}.${name}`, unit: 's', samples, baselines, summary })
      if (side === 'native' && i > 0) addFirstRound(bench, { name, index: i }, [subject, native])
    }
    const [samples, baselines] = [subject, native].map((runs) => sumsOf(runs, BENCHMARKS.length, 'processS'))
    const summary = { key: `numpy.${side}.ratio`, of: 'ratio' } as const
    bench.add({ name: side, unit: 's', samples, baselines, summary })
  }
}

/** What it takes until it is compiled. (That of the first benchmark is not to be told from the start of the command.) */
function addFirstRound(
  bench: Bench,
  { name, index }: { readonly name: string; readonly index: number },
  sides: readonly (readonly Mark[][])[],
): void {
  const round = { first: index * ROUNDS, last: index * ROUNDS + 1 }
  const [samples, baselines] = sides.map((runs) => runs.map((marks) => between(marks, round, 'processS')))
  bench.add({ name: `native.${name}.firstRound`, unit: 's', samples, baselines })
}
