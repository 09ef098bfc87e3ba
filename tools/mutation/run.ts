/** Runs the tests on the list with every mutant switched on, one after the other. Started by mutation.ts through Vitest. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import { expect, test } from '../../node_modules/vitest/dist/index.js'
import { collected, type Collected } from './collect.ts'
import { keyOf, type Explained, type Report, type ReportedMutant } from './mutation.ts'

const root = resolve(import.meta.dirname, '../..')
const isAgain = process.env['REPRISE_MUTATION_AGAIN'] !== undefined
/** A test that takes so much more of the processor than without a mutant, or came by the mutant as often, does not end. */
const SLOWER_MAX = 10
const TEST_MS_MIN = 2_000
/** Nor does one that waits this long, and does nothing. */
const IDLE_TICKS_MAX = 4
const IDLE_TICK_MS = 1_000
const IDLE_MS_MAX = 2
const HITS_MAX = 3_000_000

/** From 0. */
interface Place {
  readonly line: number
  readonly column: number
}

interface Mutant {
  readonly id: string
  readonly fileName: string
  readonly location: { readonly start: Place; readonly end: Place }
  readonly replacement: string
  /** Of a kind that is left out. */
  readonly status?: 'Ignored'
}

/** What instrumented sources look at; see `@stryker-mutator/instrumenter`. */
interface Switches {
  activeMutant?: string | undefined
  currentTestId?: string | undefined
  hitCount?: number
  hitLimit?: number
  mutantCoverage?: { static: Record<string, number>; perTest: Record<string, Record<string, number>> }
}

const switches = ((globalThis as { __stryker__?: Switches }).__stryker__ ??= {})

/** Of this process, milliseconds: on a machine that is busy the time of the clock says nothing. */
function usedMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** Rejects once a test does not end. */
function watch(msMax: number): { readonly late: Promise<never>; readonly stop: () => void } {
  const startMs = usedMs()
  let beforeMs = startMs
  let idle = 0
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setInterval(() => {
      const nowMs = usedMs()
      idle = nowMs - beforeMs < IDLE_MS_MAX ? idle + 1 : 0
      beforeMs = nowMs
      if (nowMs - startMs > msMax || idle >= IDLE_TICKS_MAX) reject(new Error('it does not end'))
    }, IDLE_TICK_MS)
  })
  return { late, stop: () => clearInterval(timer) }
}

async function passes({ run }: Collected, msMax: number): Promise<boolean> {
  const { late, stop } = watch(msMax)
  try {
    await Promise.race([run(), late])
    return true
  } catch {
    return false
  } finally {
    stop()
  }
}

interface Known {
  readonly test: Collected
  readonly ms: number
  readonly covers: ReadonlySet<string>
  /** What it comes by of a file. */
  readonly kinds: Map<ReadonlySet<string>, string>
  tries: number
  kills: number
}

/** How much of a chance a test has to notice a mutant, for its time. */
const worthOf = ({ tries, kills, ms }: Known): number => (kills + 1) / (tries + 2) / (ms + 1)

/** That the cases are made the same again says nothing of the verifier, and takes most of the time. */
const OTHERS = /made the same again/
/** Those that were asked for. */
const ONLY = new RegExp(process.env['REPRISE_MUTATION_ONLY'] ?? '')
/** One that takes longer is not worth it: mutants that only it notices want a case of their own. */
const TEST_MS_MAX = 400

async function runAll(): Promise<Known[]> {
  const known: Known[] = []
  // The first one pays for what is only loaded then.
  const wanted = collected.filter(({ name }) => !OTHERS.test(name) && ONLY.test(name))
  await wanted[0]?.run()
  for (const [i, each] of wanted.entries()) {
    switches.currentTestId = `t${i}`
    const startMs = usedMs()
    expect([each.name, await passes(each, 600_000)]).toEqual([each.name, true])
    const ms = usedMs() - startMs
    if (ms > TEST_MS_MAX) {
      console.log(`left out, since it takes ${ms.toFixed(0)} ms: ${each.name}`)
      continue
    }
    const covers = new Set(Object.keys(switches.mutantCoverage?.perTest[`t${i}`] ?? {}))
    known.push({ test: each, ms, covers, kinds: new Map(), tries: 0, kills: 0 })
  }
  switches.currentTestId = undefined
  return known
}

/** Of tests that come by the same places of a file, so many are tried on a mutant of it; all of them with `--again`. */
const ALIKE_MAX = isAgain ? Number.POSITIVE_INFINITY : 8

/** Those that come by the mutant, in turn one of each kind, the most promising first. */
function covering(id: string, ofFile: ReadonlySet<string>, known: readonly Known[]): Known[] {
  const kinds = new Map<string, Known[]>()
  for (const each of known.filter(({ covers }) => covers.has(id)).sort((a, b) => worthOf(b) - worthOf(a))) {
    const kind = each.kinds.get(ofFile) ?? [...ofFile].filter((mutant) => each.covers.has(mutant)).join()
    each.kinds.set(ofFile, kind)
    kinds.set(kind, [...(kinds.get(kind) ?? []), each])
  }
  const turns = [...kinds.values()].flatMap((alike) => alike.slice(0, ALIKE_MAX).map((each, turn) => ({ each, turn })))
  return turns.sort((a, b) => a.turn - b.turn).map(({ each }) => each)
}

async function fate(
  { id }: Mutant,
  ofFile: ReadonlySet<string>,
  known: readonly Known[],
): Promise<ReportedMutant['status']> {
  const tests = covering(id, ofFile, known)
  if (tests.length === 0) return id in (switches.mutantCoverage?.static ?? {}) ? 'Ignored' : 'NoCoverage'
  switches.activeMutant = id
  try {
    for (const each of tests) {
      Object.assign(switches, { hitCount: 0, hitLimit: HITS_MAX })
      each.tries++
      if (await passes(each.test, TEST_MS_MIN + SLOWER_MAX * each.ms)) continue
      each.kills++
      return 'Killed'
    }
    return 'Survived'
  } finally {
    switches.activeMutant = undefined
  }
}

/** So that one can look on. */
const SAVED_AFTER = 10

const read = <T>(path: string): T => JSON.parse(readFileSync(resolve(root, path), 'utf8')) as T

/**
 * What became of mutants in lines that are the same: those that were noticed, and those that an explanation says no test can notice.
 * Only asked for while tests are written, since either may have changed.
 */
function knownBefore(): ReadonlyMap<string, ReportedMutant['status']> {
  if (!isAgain) return new Map()
  const { files } = read<Report>('.cache/mutation.json')
  const explained = new Set(read<Explained[]>('tools/mutation/survivors.json').map(keyOf))
  return new Map(
    Object.entries(files).flatMap(([file, { source, mutants }]) => {
      const lines = source.split('\n')
      const isKnown = ({ status, line, ...of }: ReportedMutant): boolean =>
        status === 'Killed' || explained.has(keyOf({ file, line: lines[line - 1].trim(), ...of }))
      return mutants.filter(isKnown).map((each) => [placeOf(file, lines, each), each.status] as const)
    }),
  )
}

function placeOf(
  name: string,
  lines: readonly string[],
  { line, column, original, replacement }: Omit<ReportedMutant, 'status'>,
): string {
  const text = lines[line - 1]
  const twins = lines.slice(0, line - 1).filter((each) => each === text).length
  return JSON.stringify([name, text, twins, column, original, replacement])
}

test('every mutant', async () => {
  for (const file of (process.env['REPRISE_MUTATION_TESTS'] ?? '').split(',')) await import(resolve(root, file))
  const mutants = read<Mutant[]>('.cache/mutants.json')
  const known = await runAll()
  const before = knownBefore()
  let done = 0
  const files: Record<string, { source: string; mutants: ReportedMutant[] }> = {}
  for (const mutant of mutants) {
    const name = relative(root, resolve(root, mutant.fileName))
    files[name] ??= { source: readFileSync(resolve(root, name), 'utf8'), mutants: [] }
    const { start } = mutant.location
    const place = {
      line: start.line + 1,
      column: start.column + 1,
      original: textAt(files[name].source, mutant.location),
      replacement: mutant.replacement,
    }
    const status =
      before.get(placeOf(name, files[name].source.split('\n'), place)) ??
      mutant.status ??
      (await fate(mutant, idsOf(mutants, mutant.fileName), known))
    files[name].mutants.push({ status, ...place })
    if (++done % SAVED_AFTER === 0) writeFileSync(resolve(root, '.cache/mutation.json.new'), JSON.stringify({ files }))
  }
  writeFileSync(resolve(root, '.cache/mutation.json.new'), JSON.stringify({ files }))
  renameSync(resolve(root, '.cache/mutation.json.new'), resolve(root, '.cache/mutation.json'))
})

const ofFiles = new Map<string, ReadonlySet<string>>()

function idsOf(mutants: readonly Mutant[], fileName: string): ReadonlySet<string> {
  const ids = ofFiles.get(fileName) ?? new Set(mutants.filter((each) => each.fileName === fileName).map(({ id }) => id))
  ofFiles.set(fileName, ids)
  return ids
}

/** In one line. */
function textAt(source: string, { start, end }: Mutant['location']): string {
  const lines = source.split('\n').slice(start.line, end.line + 1)
  lines[lines.length - 1] = lines[lines.length - 1].slice(0, end.column)
  lines[0] = lines[0].slice(start.column)
  return lines.map((line) => line.trim()).join(' ')
}
