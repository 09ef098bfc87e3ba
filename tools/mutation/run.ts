/** Runs the tests on the list with every mutant switched on, one after the other. Started by mutation.ts through Vitest. */
import { readFileSync, writeFileSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import { expect, test } from '../../node_modules/vitest/dist/index.js'
import { collected, type Collected } from './collect.ts'

const root = resolve(import.meta.dirname, '../..')
/** A test that is not done by then, or came by the mutant as often, does not end. */
const TEST_MS_MAX = 20_000
const HITS_MAX = 3_000_000

interface Mutant {
  readonly id: string
  readonly fileName: string
  readonly location: { readonly start: { readonly line: number; readonly column: number } }
  readonly replacement: string
  /** `Ignored`: of a kind that is left out. */
  readonly status?: string
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

async function passes({ run }: Collected): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('it does not end')), TEST_MS_MAX)
  })
  try {
    await Promise.race([run(), late])
    return true
  } catch {
    return false
  } finally {
    clearTimeout(timer)
  }
}

interface Known {
  readonly test: Collected
  readonly ms: number
  readonly covers: ReadonlySet<string>
  kills: number
}

/** That the cases are made the same again says nothing of the verifier, and takes most of the time. */
const OTHERS = /made the same again/

async function runAll(): Promise<Known[]> {
  const known: Known[] = []
  for (const [i, each] of collected.filter(({ name }) => !OTHERS.test(name)).entries()) {
    switches.currentTestId = `t${i}`
    const startMs = performance.now()
    expect([each.name, await passes(each)]).toEqual([each.name, true])
    const covers = new Set(Object.keys(switches.mutantCoverage?.perTest[`t${i}`] ?? {}))
    known.push({ test: each, ms: performance.now() - startMs, covers, kills: 0 })
  }
  switches.currentTestId = undefined
  return known
}

async function fate({ id }: Mutant, known: readonly Known[]): Promise<string> {
  const covering = known.filter(({ covers }) => covers.has(id)).sort((a, b) => b.kills - a.kills || a.ms - b.ms)
  if (covering.length === 0) return id in (switches.mutantCoverage?.static ?? {}) ? 'Ignored' : 'NoCoverage'
  switches.activeMutant = id
  try {
    for (const each of covering) {
      Object.assign(switches, { hitCount: 0, hitLimit: HITS_MAX })
      if (await passes(each.test)) continue
      each.kills++
      return 'Killed'
    }
    return 'Survived'
  } finally {
    switches.activeMutant = undefined
  }
}

test('every mutant', async () => {
  for (const file of (process.env['REPRISE_MUTATION_TESTS'] ?? '').split(',')) await import(resolve(root, file))
  const mutants = JSON.parse(readFileSync(resolve(root, '.cache/mutants.json'), 'utf8')) as Mutant[]
  const known = await runAll()
  const files: Record<string, { source: string; mutants: object[] }> = {}
  for (const mutant of mutants) {
    const name = relative(root, resolve(root, mutant.fileName))
    files[name] ??= { source: readFileSync(resolve(root, name), 'utf8'), mutants: [] }
    // Lines of the instrumenter count from 0.
    const { line, column } = mutant.location.start
    const { replacement, status = await fate(mutant, known) } = mutant
    files[name].mutants.push({ status, line: line + 1, column, replacement })
    writeFileSync(resolve(root, '.cache/mutation.json'), JSON.stringify({ files }))
  }
})
