/**
 * Runs CPython's own regression tests in the machine, by the runtime `python` that is installed below REPRISE_HOME, and holds
 * what fails against runtimes/python/tests.json, which says why:
 *
 *     node tools/python-tests.ts [MODULE…]
 *
 * Each module of tests is a run of its own, for a trap ends that. Ends with 1 when something else fails than is known, or
 * something known no longer does.
 */

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { unpackTests } from './python-sources.ts'

const root = join(import.meta.dirname, '..')
/** Of one module; the longest takes a tenth of it. */
const HANGING_MS = 900_000

/** `ended` says why a module ends before its tests do, or cannot be imported. */
interface Known {
  /** Why each test fails, by its id. */
  readonly failed?: Readonly<Record<string, string>>
  readonly ended?: string
}

interface Outcome {
  readonly passed: number
  readonly skipped: number
  readonly failed: readonly string[]
  readonly ended: boolean
}

const known = JSON.parse(readFileSync(join(root, 'runtimes/python/tests.json'), 'utf8')) as Record<string, Known>

function runModule(name: string): Outcome {
  const words = ['run', '--no-write-back', '--no-snapshots', '--runtime', 'python', '-o', `${name}.reprise`]
  const { stdout, stderr, status } = spawnSync(join(root, 'reprise'), [...words, 'regression.py', name], {
    ...{ cwd: folder, encoding: 'utf8', timeout: HANGING_MS, maxBuffer: 1 << 28 },
  })
  const said = `${stdout}\n${stderr}`
  writeFileSync(join(logs, `${name}.log`), said)
  rmSync(join(folder, `${name}.reprise`), { force: true })
  const failed = [...said.matchAll(/^(?:FAIL|ERROR): .*?\(([\w.]+)\)/gm)].map(([, id]) => id)
  const ran = [...said.matchAll(/^Ran (\d+) tests?/gm)].reduce((sum, [, count]) => sum + Number(count), 0)
  const skipped = [...said.matchAll(/skipped=(\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0)
  const isWhole = /Tests? result: (SUCCESS|FAILURE|NO TESTS? RAN|SKIPPED)/.test(said) || /^1 test skipped/m.test(said)
  const unique = [...new Set(failed)].toSorted()
  const isImported = !said.includes('failed (uncaught exception)')
  const ended = !isWhole || !isImported || status === null
  return { passed: ran - skipped - unique.length, skipped, failed: unique, ended }
}

/** What is not as it is known, a line each. */
function surprises(name: string, { failed, ended }: Outcome): readonly string[] {
  const { failed: why = {}, ended: whyEnded } = known[name] ?? {}
  return [
    ...failed.filter((id) => why[id] === undefined).map((id) => `fails: ${id}`),
    ...Object.keys(why)
      .filter((id) => !failed.includes(id) && !ended)
      .map((id) => `known to fail, and does not: ${id}`),
    ...(ended && whyEnded === undefined ? [`${name} ended before its tests did`] : []),
    ...(!ended && whyEnded !== undefined ? [`${name} is known to end early, and does not`] : []),
  ]
}

const work = mkdtempSync(join(tmpdir(), 'reprise-python-tests-'))
const [folder, logs] = [join(work, 'tests'), join(work, 'logs')]
for (const each of [folder, logs]) mkdirSync(each)
unpackTests(folder)
const asked = process.argv.slice(2)
let isAsKnown = true
for (const name of asked.length > 0 ? asked : Object.keys(known)) {
  const outcome = runModule(name)
  const { passed, skipped, failed } = outcome
  console.log(`${name}   ${passed} passed, ${failed.length} failed, ${skipped} skipped`)
  for (const line of surprises(name, outcome)) {
    console.log(`  ${line}`)
    isAsKnown = false
  }
}
console.log(`what each said: ${logs}`)
process.exitCode = isAsKnown ? 0 : 1
