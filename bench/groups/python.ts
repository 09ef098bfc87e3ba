/**
 * CPython in the machine to the native one of the same minor version: ten small benchmarks, hashed and signed. Only a
 * runtime that was built is measured; the stock one is among the programs of `wasm`. How to read it: docs/benchmarks.md.
 */

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { builtRuntime, inTheMachine, place, roundOf, ROUNDS, sumsOf, takeTurns } from '../built-runtime.ts'
import type { Bench, Group } from '../harness.ts'
import { TemporaryHome } from '../home.ts'
import type { Mark } from '../marks.ts'

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
  },
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
