/**
 * What the deterministic machine costs: rewritten programs to the plain ones.
 *
 * Without checkpoints by CPU time, with the same host functions under both. With checkpoints, hashed and signed, by wall
 * time from the guest's first instruction to the last signature: what another thread and the TPM do counts as far as
 * somebody waits for it.
 */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { benchProgram } from '../../tools/compile-c.ts'
import { REPRISE, runJson, runScript } from '../child.ts'
import { type Bench, geomean, type Group, type Sample } from '../harness.ts'
import { TemporaryHome } from '../home.ts'
import type { RunAnswer } from './wasm.child.ts'

type Mode = 'plain' | 'fuel' | 'canonical' | 'nodewasi'

/** Programs of bench/programs with their arguments, a second or so each. */
const programs: Readonly<Record<string, readonly string[]>> = {
  'floyd-warshall': ['3'],
  gemm: ['2'],
  'hash-table': ['5000000'],
  'jacobi-2d': ['100'],
  nbody: ['200000'],
  sha256: ['100'],
  'small-writes': ['1000000'],
  sort: ['3'],
}
const quickPrograms = ['gemm', 'sha256', 'sort']
/** Where floating point is the work. */
const kernels = ['gemm', 'jacobi-2d', 'nbody']

/** The machine's own choice for programs of this size: wasm has no on-stack replacement. */
const FLAGS = ['--no-liftoff', '--disable-warning=ExperimentalWarning']

const runOnce = (mode: Mode, name: string): Promise<RunAnswer> =>
  runScript(new URL('./wasm.child.ts', import.meta.url), [mode, name, ...programs[name]], FLAGS)

const cpuOf =
  (mode: Mode) =>
  (name: string): Sample =>
  async () =>
    (await runOnce(mode, name)).cpuS

/** One row a program, and the geometric mean of their ratios. */
async function compare(
  bench: Bench,
  figure: {
    readonly name: string
    readonly subject: (program: string) => Sample
    readonly baseline: (program: string) => Sample
    readonly of: readonly string[]
  },
): Promise<void> {
  const { name, subject, baseline, of } = figure
  const ratios: number[] = []
  for (const program of of) {
    const samples = { subject: subject(program), baseline: baseline(program) }
    const { ratio } = await bench.figure({ name: `${name}.${program}`, unit: 's', ...samples })
    if (ratio !== null) ratios.push(ratio)
  }
  // A mean over some of the programs is another figure.
  if (bench.quick) bench.notMeasured(`${name}.geomean`, 'quick runs leave programs out')
  else bench.summary[`wasm.${name}.geomean`] = geomean(ratios)
}

async function compareSigned(bench: Bench, of: readonly string[]): Promise<void> {
  await using home = await TemporaryHome.create()
  for (const name of of) await writeFile(join(home.folder, `${name}.wasm`), benchProgram(name))
  const signed =
    (floats: string) =>
    (name: string): Sample =>
    async () => {
      const options = ['--json', '--no-write-back', '--floats', floats, '-o', 'out.reprise']
      const command = [REPRISE, 'run', ...options, `${name}.wasm`, ...programs[name]]
      const result = await runJson<{ overhead: { runMs: number } }>(command, {
        cwd: home.folder,
        env: home.environment,
      })
      return result.overhead.runMs / 1000
    }
  const baseline =
    (name: string): Sample =>
    async () =>
      (await runOnce('plain', name)).wallS
  await compare(bench, { name: 'signed', subject: signed('canonical'), baseline, of })
  await compare(bench, { name: 'signed.noNan', subject: signed('host'), baseline, of })
}

export const wasm: Group = {
  name: 'wasm',
  about: 'rewritten programs to plain ones: fuel, canonical NaNs, hashed and signed; node:wasi for comparison',
  async measure(bench) {
    const all = bench.quick ? quickPrograms : Object.keys(programs)
    const numeric = all.filter((name) => kernels.includes(name))
    const [plain, fuel] = [cpuOf('plain'), cpuOf('fuel')]
    await compare(bench, { name: 'fuel', subject: fuel, baseline: plain, of: all })
    await compare(bench, { name: 'nan.kernels', subject: cpuOf('canonical'), baseline: fuel, of: numeric })
    await compare(bench, { name: 'nodewasi', subject: cpuOf('nodewasi'), baseline: plain, of: all })
    await compareSigned(bench, all)
  },
}
