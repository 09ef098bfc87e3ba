/**
 * What the deterministic machine costs: programs in it to the plain ones on the same engine with the same flags.
 *
 * A program works in equal rounds, and what is compared is a round when the program is warm; the way there is told apart.
 * Without checkpoints by the CPU time of the guest's thread, with the same host functions. With checkpoints the real
 * command is watched: by wall time, as somebody waits for it, and by the CPU time of all its threads.
 * How to read them: docs/benchmarks.md.
 */

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { OPTIMISED_CODE_BYTES_MAX } from '../../packages/runner/src/machine/rewritten.ts'
import { REPRISE, runScript } from '../child.ts'
import { watchJson } from '../command-marks.ts'
import { type Bench, geomean, type Group, median } from '../harness.ts'
import { TemporaryHome } from '../home.ts'
import { between, type Clock, type Mark, steady } from '../marks.ts'
import { type Program, type ProgramName, programNames, programs } from '../programs/catalog.ts'
import { asyncifiedModule } from './asyncify.ts'
import { rewriteOnce } from './rewrite.ts'
import type { RunAnswer } from './wasm.child.ts'

/** Compilers have no rounds; what they pay is in `rewrite.codeGrowth`. */
const measured = programNames.filter((name) => programs[name].kind !== 'compiler')
const quick: readonly ProgramName[] = ['sort', 'lua']
/** Where floating point is the work. */
const numeric: readonly ProgramName[] = ['gemm', 'jacobi-2d', 'nbody']

/** A tenth of a second each: interpreters take longer to be warm. */
const ROUNDS = { kernel: 6, interpreter: 10, compiler: 1 }
/** Some checkpoints, about one a second. */
const COMMAND_ROUNDS = { kernel: 14, interpreter: 18, compiler: 1 }
/** Ten times as often as a run takes them at most: the figure spreads one over {@link SNAPSHOT_EVERY_S}. */
const SNAPSHOT_MS = 1000
const SNAPSHOT_EVERY_S = 10

type ChildMode = 'plain' | 'fuel' | 'canonical' | 'resumed' | 'asyncify' | 'nodewasi'
type CommandMode = 'signed' | 'signed.noNan' | 'resumable'

const COMMANDS: Readonly<Record<CommandMode, readonly string[]>> = {
  signed: ['--no-snapshots'],
  'signed.noNan': ['--no-snapshots', '--floats', 'host'],
  resumable: ['--snapshot-ms', String(SNAPSHOT_MS)],
}

interface Taken {
  readonly marks: readonly Mark[]
  readonly resumedAfter?: number
  readonly snapshots?: number
}

type Ratios = Map<string, Map<ProgramName, number>>

/** One program in all modes, again and again. */
class Measuring {
  readonly #bench: Bench
  readonly #name: ProgramName
  readonly #home: TemporaryHome
  readonly #modes: readonly (ChildMode | CommandMode)[]
  readonly #flags: readonly string[]
  readonly #asyncified: string | undefined
  readonly #taken = new Map<string, Taken[]>()

  constructor(options: {
    readonly bench: Bench
    readonly name: ProgramName
    readonly home: TemporaryHome
    readonly modes: readonly (ChildMode | CommandMode)[]
    readonly flags: readonly string[]
    readonly asyncified: string | undefined
  }) {
    this.#bench = options.bench
    this.#name = options.name
    this.#home = options.home
    this.#modes = options.modes
    this.#flags = options.flags
    this.#asyncified = options.asyncified
  }

  /** Each mode once that does not count (it fills caches), then in turn forwards and backwards. */
  async take(): Promise<void> {
    const kind: Program['kind'] = programs[this.#name].kind
    const cwd = join(this.#home.folder, this.#name)
    await mkdir(cwd)
    for (const { path, bytes } of programs[this.#name].work(COMMAND_ROUNDS[kind]).files)
      await writeFile(join(cwd, path), bytes)
    for (let pair = 0; pair <= this.#bench.pairs; pair++) {
      this.#bench.progress(`${this.#name} ${pair === 0 ? 'warming' : `${pair} of ${this.#bench.pairs}`}`)
      for (const mode of pair % 2 === 0 ? this.#modes : this.#modes.toReversed()) {
        this.#bench.checkInterrupted()
        const one =
          mode in COMMANDS ? await this.#command(mode as CommandMode, cwd) : await this.#child(mode as ChildMode)
        if (pair > 0) this.#taken.set(mode, [...(this.#taken.get(mode) ?? []), one])
      }
    }
  }

  async #child(mode: ChildMode): Promise<Taken> {
    const rounds = ROUNDS[programs[this.#name].kind] * (mode === 'resumed' ? 2 : 1)
    const module = mode === 'asyncify' && this.#asyncified !== undefined ? [this.#asyncified] : []
    const flags = [...this.#flags, '--disable-warning=ExperimentalWarning']
    const url = new URL('./wasm.child.ts', import.meta.url)
    return await runScript<RunAnswer>(url, [mode, this.#name, String(rounds), ...module], { flags })
  }

  async #command(mode: CommandMode, cwd: string): Promise<Taken> {
    const { command } = programs[this.#name].work(COMMAND_ROUNDS[programs[this.#name].kind])
    const words = ['run', '--json', '--no-write-back', '-o', 'out.reprise', ...COMMANDS[mode], ...command]
    const options = { cwd, env: this.#home.environment }
    const { marks, answer } = await watchJson<{ snapshots: number }>([REPRISE, ...words], options)
    return { marks, snapshots: answer.snapshots }
  }

  /** Adds the rows of this program, and its ratios to those of others. */
  rows(ratios: Ratios): void {
    const plain = this.#of('plain')
    for (const mode of this.#modes) {
      if (mode === 'plain') continue
      if (mode === 'resumed') this.#resumedRows(ratios)
      else if (mode === 'resumable') this.#resumableRows(ratios)
      else if (mode in COMMANDS) {
        for (const [clock, suffix] of [
          ['wallS', ''],
          ['processS', '.cpu'],
        ] as const)
          // prettier-ignore
          this.#row(ratios, `${mode}${suffix}`, this.#steady(mode, clock), this.#steady('plain', clock))
      } else this.#row(ratios, mode, this.#steady(mode, 'threadS'), this.#steady('plain', 'threadS'))
    }
    const first = (taken: readonly Taken[]): number[] =>
      taken.map(({ marks }) => between(marks, { first: 0, last: 1 }, 'processS'))
    this.#row(ratios, 'firstRound.fuel', first(this.#of('fuel')), first(plain))
    if (this.#modes.includes('resumed'))
      this.#row(ratios, 'firstRound.capture', first(this.#of('resumed')), first(plain))
  }

  #of(mode: ChildMode | CommandMode): readonly Taken[] {
    return this.#taken.get(mode) ?? []
  }

  #steady(mode: ChildMode | CommandMode, clock: Clock): number[] {
    return this.#of(mode).map(({ marks }) => steady(marks, clock))
  }

  #row(ratios: Ratios, figure: string, samples: readonly number[], baselines: readonly number[]): void {
    const { ratio } = this.#bench.add({ name: `${figure}.${this.#name}`, unit: 's', samples, baselines })
    const known = ratios.get(figure) ?? new Map<ProgramName, number>()
    if (ratio !== null) ratios.set(figure, known.set(this.#name, ratio))
  }

  /** Before the capture the handlers are there and do nothing; after it the guest is in a fresh instance. */
  #resumedRows(ratios: Ratios): void {
    const halves = this.#of('resumed').map(({ marks, resumedAfter = 0 }) => ({
      before: steady(marks.slice(0, resumedAfter + 1), 'threadS'),
      after: steady(marks.slice(resumedAfter), 'threadS'),
    }))
    const before = halves.map((half) => half.before)
    this.#row(ratios, 'capture', before, this.#steady('plain', 'threadS'))
    this.#row(ratios, 'afterResume', halves.map((half) => half.after), before) // prettier-ignore
  }

  /** What snapshots add to a signed run, one spread over the time for which it is taken. */
  #resumableRows(ratios: Ratios): void {
    const whole = (mode: CommandMode, clock: Clock): number[] =>
      this.#of(mode).map(
        ({ marks }) => between(marks, { first: 0, last: marks.length - 1 }, clock) * (marks.length - 1),
      )
    const snapshots = median(this.#of('resumable').map((taken) => taken.snapshots ?? 0))
    for (const [clock, suffix] of [
      ['wallS', ''],
      ['processS', '.cpu'],
    ] as const) // prettier-ignore
    {
      const extraS = median(whole('resumable', clock)) - median(whole('signed', clock))
      const share = snapshots === 0 ? 0 : Math.max(0, extraS / snapshots / SNAPSHOT_EVERY_S)
      const samples = this.#steady('signed', clock).map((seconds) => seconds * (1 + share))
      this.#row(ratios, `resumable${suffix}`, samples, this.#steady('plain', clock))
    }
  }
}

/** The geometric means that are whole: a mean over some of the programs is another figure. */
function summarise(bench: Bench, ratios: Ratios, absent: ReadonlyMap<string, ReadonlySet<ProgramName>>): void {
  const kernels = measured.filter((name) => programs[name].kind === 'kernel')
  const interpreters = measured.filter((name) => programs[name].kind === 'interpreter')
  for (const [figure, of] of ratios) {
    const mean = (key: string, names: readonly ProgramName[]): void => {
      const wanted = names.filter((name) => !(absent.get(figure)?.has(name) ?? false))
      const found = wanted.flatMap((name) => of.get(name) ?? [])
      if (found.length === wanted.length && found.length > 0) bench.summary[key] = geomean(found)
    }
    if (figure === 'canonical') continue
    if (figure === 'afterResume') {
      mean('wasm.afterResume.ratio', measured)
      continue
    }
    mean(`wasm.${figure}.geomean`, measured)
    mean(`wasm.${figure}.kernels.geomean`, kernels)
    mean(`wasm.${figure}.interpreters.geomean`, interpreters)
    for (const name of ['lua', 'sqlite'] as const) {
      const ratio = of.get(name)
      if (figure === 'resumable' && ratio !== undefined) bench.summary[`wasm.resumable.${name}.ratio`] = ratio
    }
  }
  const [fuel, canonical] = [ratios.get('fuel'), ratios.get('canonical')]
  const nan = numeric.flatMap((name) => {
    const [with_, without] = [canonical?.get(name), fuel?.get(name)]
    return with_ === undefined || without === undefined ? [] : [with_ / without]
  })
  if (nan.length === numeric.length) bench.summary['wasm.nan.kernels.geomean'] = geomean(nan)
}

export const wasm: Group = {
  name: 'wasm',
  about: 'programs in the machine to plain ones: fuel, NaNs, signed, resumable; asyncify and node:wasi for comparison',
  async measure(bench) {
    await using home = await TemporaryHome.create()
    const ratios: Ratios = new Map()
    const absent = new Map([['asyncify', new Set<ProgramName>()]])
    try {
      for (const name of bench.quick ? quick : measured) {
        const { codeBytes } = await rewriteOnce(name)
        // The machine's own choice for programs of this size, for both sides.
        const flags = codeBytes <= OPTIMISED_CODE_BYTES_MAX ? ['--no-liftoff'] : []
        const asyncified = bench.quick ? undefined : await asyncifiedModule(name, bench)
        if (asyncified === undefined) absent.get('asyncify')?.add(name)
        const modes: (ChildMode | CommandMode)[] = ['plain', 'fuel']
        if (numeric.includes(name)) modes.push('canonical')
        if (!bench.quick) modes.push('resumed', 'nodewasi')
        if (asyncified !== undefined) modes.push('asyncify')
        modes.push('signed', 'signed.noNan')
        if (!bench.quick) modes.push('resumable')
        const measuring = new Measuring({ bench, name, home, modes, flags, asyncified })
        await measuring.take()
        measuring.rows(ratios)
      }
    } finally {
      if (bench.quick) bench.notMeasured('geomean', 'quick runs leave programs and comparisons out')
      else summarise(bench, ratios, absent)
    }
  },
}
