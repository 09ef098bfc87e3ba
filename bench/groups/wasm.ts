/**
 * What the deterministic machine costs: rewritten programs to the plain ones.
 *
 * Without checkpoints by CPU time, with the same host functions under both. With checkpoints, hashed and signed, by wall
 * time from the guest's first instruction to the last signature: what another thread and the TPM do counts as far as
 * somebody waits for it.
 */

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { REPRISE, runJson, runScript } from '../child.ts'
import { type Bench, geomean, type Group, type Sample } from '../harness.ts'
import { TemporaryHome } from '../home.ts'
import type { RunAnswer } from './wasm.child.ts'
import { numericPrograms, programs, quickPrograms } from './wasm-programs.ts'

type Mode = 'plain' | 'fuel' | 'canonical' | 'nodewasi'

const runOnce = (mode: Mode, name: string, length: 'short' | 'longer' = 'short'): Promise<RunAnswer> =>
  runScript(
    new URL('./wasm.child.ts', import.meta.url),
    [mode, name, length],
    [...programs[name].flags, '--disable-warning=ExperimentalWarning'],
  )

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
  for (const name of of) {
    // Each has a folder of its own: what lies beside a program is its input.
    await mkdir(join(home.folder, name))
    for (const { path, bytes } of programs[name].files()) await writeFile(join(home.folder, name, path), bytes)
  }
  const signed =
    (floats: string) =>
    (name: string): Sample =>
    async () => {
      const options = ['--json', '--no-write-back', '--floats', floats, '-o', 'out.reprise']
      const command = [REPRISE, 'run', ...options, ...programs[name].command]
      const result = await runJson<{ overhead: { runMs: number } }>(command, {
        cwd: join(home.folder, name),
        env: home.environment,
      })
      return result.overhead.runMs / 1000
    }
  const baseline =
    (name: string): Sample =>
    async () =>
      (await runOnce('plain', name, 'longer')).wallS
  await compare(bench, { name: 'signed', subject: signed('canonical'), baseline, of })
  await compare(bench, { name: 'signed.noNan', subject: signed('host'), baseline, of })
}

export const wasm: Group = {
  name: 'wasm',
  about: 'rewritten programs to plain ones: fuel, canonical NaNs, hashed and signed; node:wasi for comparison',
  async measure(bench) {
    const all = bench.quick ? quickPrograms : Object.keys(programs)
    const numeric = all.filter((name) => numericPrograms.includes(name))
    const [plain, fuel] = [cpuOf('plain'), cpuOf('fuel')]
    await compare(bench, { name: 'fuel', subject: fuel, baseline: plain, of: all })
    await compare(bench, { name: 'nan.kernels', subject: cpuOf('canonical'), baseline: fuel, of: numeric })
    // node:wasi gives a program no files but those of the real folder: the runtimes that read a script are left out.
    const standalone = all.filter((name) => programs[name].flags.length > 0)
    await compare(bench, { name: 'nodewasi', subject: cpuOf('nodewasi'), baseline: plain, of: standalone })
    await compareSigned(bench, all)
  },
}
