/**
 * CPython in the machine to the native one of the same minor version: ten small benchmarks, hashed and signed. Only a
 * runtime that was built is measured; the stock one is among the programs of `wasm`. How to read it: docs/benchmarks.md.
 */

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { InstalledRuntime } from '@reprise/runner'
import { INLINING_FLAGS } from '../../packages/runner/src/machine/inlining.ts'
import { builtRuntime, inTheMachine, place, roundOf, ROUNDS, sumsOf, takeTurns } from '../built-runtime.ts'
import { runScript } from '../child.ts'
import type { Bench, Group } from '../harness.ts'
import { TemporaryHome } from '../home.ts'
import type { Mark } from '../marks.ts'
import type { RunAnswer } from './wasm.child.ts'

const CHILD = new URL('./wasm.child.ts', import.meta.url)

const SCRIPT = 'ten.py'
/** As they stand in the script. */
const BENCHMARKS = [
  ...['loop', 'fib', 'nbody', 'strings', 'objects'],
  ...['generators', 'sorting', 'documents', 'patterns', 'exceptions'],
]

export const python: Group = {
  name: 'python',
  about: 'ten benchmarks in the CPython that was built, hashed and signed, to native python of the same minor version',
  async measure(bench) {
    const runtime = await builtRuntime('python')
    if (runtime === undefined)
      return bench.notMeasured('native.ratio', 'no runtime python: reprise runtime build python')
    const minor = runtime.manifest.version.split('.').slice(0, 2).join('.')
    // Debian's, whatever else is on the PATH.
    const native = `/usr/bin/python${minor}`
    const version = await promisify(execFile)(native, ['--version']).catch(() => undefined)
    if (version === undefined) return bench.notMeasured('native.ratio', `there is no ${native} to compare with`)
    bench.progress(`${runtime.manifest.title} to ${version.stdout.trim()}`)
    await using home = await TemporaryHome.create()
    await place(home, runtime, SCRIPT)
    const commands = { native: [native, '-I', SCRIPT, String(ROUNDS)], subject: inTheMachine('python', SCRIPT) }
    const taken = await takeTurns(bench, home, {
      sides: ['native', 'subject'],
      benchmarks: BENCHMARKS.length,
      run: (side) => ({ command: commands[side] }),
    })
    report(bench, taken.get('subject') ?? [], taken.get('native') ?? [])
    await measureCounting(bench, runtime)
  },
}

/** What counting alone costs, and what the code by which a function can be left costs besides: in one process, nothing hashed. */
async function measureCounting(bench: Bench, { id }: InstalledRuntime): Promise<void> {
  const modes = ['plain', 'fuel', 'leavable'] as const
  const taken = { plain: [] as number[], fuel: [] as number[], leavable: [] as number[] }
  const words = [`${id}/${SCRIPT}`, String(ROUNDS)]
  for (let pair = 0; pair < bench.pairs; pair++)
    for (const mode of pair % 2 === 0 ? modes : modes.toReversed()) {
      bench.progress(`${mode} ${pair + 1} of ${bench.pairs}`)
      bench.checkInterrupted()
      const flags = [...INLINING_FLAGS, '--disable-warning=ExperimentalWarning']
      const { marks } = await runScript<RunAnswer>(CHILD, [mode, ...words], { flags })
      taken[mode].push(...sumsOf([marks], BENCHMARKS.length, 'threadS'))
    }
  for (const mode of ['fuel', 'leavable'] as const)
    bench.add({
      ...{ name: `ten.${mode}`, unit: 's', samples: taken[mode], baselines: taken.plain },
      summary: { key: `python.${mode}.ratio`, of: 'ratio' },
    })
}

function report(bench: Bench, subject: readonly Mark[][], native: readonly Mark[][]): void {
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
    const [samples, baselines] = [subject, native].map((runs) => sumsOf(runs, BENCHMARKS.length, clock))
    bench.add({
      ...{ name: `ten${suffix}`, unit: 's', samples, baselines },
      summary: { key: `python.native.ratio${suffix}`, of: 'ratio' },
    })
  }
}
