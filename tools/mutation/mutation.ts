/**
 * npm run mutation [-- [--again [--tests NAMES]] PATTERN…]: breaks the sources of the verifier in one place after the other, and
 * looks whether a test notices. Fails below the score that is wanted; a survivor that survivors.json explains does not count, and
 * must survive. `--again`, for who writes tests, believes the report of the run before and the explanations in lines that are
 * the same, and tries all tests on the others, or those whose names fit a regular expression.
 *
 * Decision: docs/decisions/0017-evidence-under-attack.md. The report is `.cache/mutation.json`.
 */
import { spawnSync } from 'node:child_process'
import { globSync, readFileSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { parseArgs } from 'node:util'

/** Of 100, among mutants that are not explained. */
export const SCORE_MIN = 85

/** Others can be named: of these the scores are known. */
const SOURCES = ['packages/core/src/verify/*.ts']

/** What is promised of records; beside it a folder's own tests must notice. */
const PROMISES = ['test/record/{vectors,verify,places}.test.ts']

export interface ReportedMutant {
  /** `Ignored`: a wording, or only run once, when its module is read: a switch comes too late. */
  readonly status: 'Killed' | 'Survived' | 'NoCoverage' | 'Ignored'
  /** From 1. */
  readonly line: number
  readonly column: number
  /** In one line. */
  readonly original: string
  readonly replacement: string
}

export interface Report {
  readonly files: Readonly<Record<string, { readonly source: string; readonly mutants: readonly ReportedMutant[] }>>
}

/** A mutant that no test can notice, or need not, and why. */
export interface Explained {
  readonly file: string
  /** The line of the source, without the space around it, so that it stays when others come before it. */
  readonly line: string
  readonly original: string
  readonly replacement: string
  readonly why: string
}

export interface Score {
  readonly file: string
  readonly killed: number
  readonly survived: readonly Explained[]
}

/** Survivors are given in the form of the list, with an empty reason. */
export function scoresOf({ files }: Report): Score[] {
  return Object.entries(files).map(([file, { source, mutants }]) => {
    const lines = source.split('\n')
    const survived = mutants
      .filter(({ status }) => status === 'Survived' || status === 'NoCoverage')
      .map(({ line, original, replacement }) => ({
        file,
        line: (lines[line - 1] ?? '').trim(),
        original,
        replacement,
        why: '',
      }))
    return {
      file,
      killed: mutants.filter(({ status }) => status === 'Killed').length,
      survived,
    }
  })
}

export function keyOf({ file, line, original, replacement }: Omit<Explained, 'why'>): string {
  return JSON.stringify([file, line, original, replacement])
}

/** @returns What is wrong, a line each; empty when all is well. */
export function problemsOf(scores: readonly Score[], explained: readonly Explained[]): string[] {
  const known = new Set(explained.map(keyOf))
  const met = new Set(scores.flatMap(({ survived }) => survived.map(keyOf)))
  const looked = new Set(scores.map(({ file }) => file))
  const unexplained = scores.flatMap(({ survived }) => survived.filter((each) => !known.has(keyOf(each))))
  const killed = scores.reduce((sum, each) => sum + each.killed, 0)
  const score = (100 * killed) / Math.max(1, killed + unexplained.length)
  return [
    ...(score < SCORE_MIN ? [`score ${score.toFixed(1)}, at least ${SCORE_MIN} is wanted`] : []),
    ...explained.filter((each) => each.why.trim() === '').map((each) => `no reason is given for ${keyOf(each)}`),
    ...explained
      .filter((each) => looked.has(each.file) && !met.has(keyOf(each)))
      .map((each) => `explained, and does not survive any more: ${keyOf(each)}`),
  ]
}

function run(patterns: readonly string[], isAgain: boolean, only = ''): number {
  const root = resolve(import.meta.dirname, '../..')
  const named = (globs: readonly string[]): string[] => globSync([...globs], { cwd: root }).sort()
  const files = named(patterns).filter((file) => !/(\.test|\/index|\/types)\.ts$/.test(file))
  // The first results come soon.
  files.sort((a, b) => statSync(resolve(root, a)).size - statSync(resolve(root, b)).size)
  const own = [...new Set(files.map((file) => `${dirname(file)}/*.test.ts`))]
  const tests = named([...PROMISES, ...own]).filter((file) => !file.endsWith('.slow.test.ts'))
  const { status } = spawnSync('vitest', ['run', '-c', 'tools/mutation/vitest.config.ts'], {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      ...(isAgain && { REPRISE_MUTATION_AGAIN: '1', REPRISE_MUTATION_ONLY: only }),
      REPRISE_MUTATE: files.join(','),
      REPRISE_MUTATION_TESTS: tests.join(','),
    },
  })
  if (status !== 0) return 1
  const read = <T>(path: string): T => JSON.parse(readFileSync(resolve(root, path), 'utf8')) as T
  const explained = read<Explained[]>('tools/mutation/survivors.json')
  const scores = scoresOf(read<Report>('.cache/mutation.json'))
  for (const { file, killed, survived } of scores) {
    console.log(`${file}: ${killed} of ${killed + survived.length} noticed`)
    for (const { line, original, replacement } of survived)
      console.log(line === original ? `  ${line}   →   ${replacement}` : `  ${line}:  ${original}   →   ${replacement}`)
  }
  const problems = problemsOf(scores, explained)
  for (const problem of problems) console.error(problem)
  return problems.length === 0 ? 0 : 1
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    options: { again: { type: 'boolean' }, tests: { type: 'string' } },
    allowPositionals: true,
  })
  process.exitCode = run(positionals.length === 0 ? SOURCES : positionals, values.again === true, values.tests)
}
