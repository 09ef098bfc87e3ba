/** Rules for hosts in a file of their own: YAML or JSON, for `--host-rules` and `--rules`. Format: spec/computation.md §7. */
import { readFile, stat } from 'node:fs/promises'
import { decodeHostRules, EvidenceError, type HostRules } from '@reprise/core'
import { readFailure, RunnerError } from '../error.ts'

const HOST_RULES_BYTES_MAX = 1 << 20

export const HOST_RULES_HINT =
  'spec/computation.md, section 7, has the rules; reprise host attest shows what a host can meet'

/**
 * @param shown - The path as the user wrote it.
 * @throws RunnerError `INPUT_MISSING`, `INPUT_UNREADABLE`; `DEFINITION` naming what is wrong.
 */
export async function readHostRules(path: string, shown: string): Promise<HostRules> {
  const fail = (what: string, cause?: unknown): RunnerError =>
    new RunnerError('DEFINITION', { message: `${shown}: ${what}`, hint: HOST_RULES_HINT, cause })
  const value = await parse(await textOf(path, fail), fail)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw fail('it is no mapping')
  try {
    // Left out, it is the careful one.
    return decodeHostRules({ onChange: 'stop', ...value }, '$')
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error
    throw fail(error.message, error)
  }
}

type Fail = (what: string, cause?: unknown) => RunnerError

async function textOf(path: string, fail: Fail): Promise<string> {
  let bytes: Uint8Array
  try {
    if ((await stat(path)).size > HOST_RULES_BYTES_MAX) throw fail(`longer than ${HOST_RULES_BYTES_MAX} bytes`)
    bytes = await readFile(path)
  } catch (error) {
    if (error instanceof RunnerError) throw error
    throw readFailure(error, path)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw fail('not UTF-8 text', error)
  }
}

async function parse(text: string, fail: Fail): Promise<unknown> {
  // As large as a third of all that a run loads, and hardly ever wanted.
  const { parseDocument } = await import('yaml')
  try {
    const document = parseDocument(text, { prettyErrors: true, stringKeys: true, version: '1.2' })
    const [problem] = [...document.errors, ...document.warnings]
    if (problem !== undefined) throw fail(problem.message)
    return document.toJS({ maxAliasCount: 0 })
  } catch (error) {
    if (error instanceof RunnerError) throw error
    throw fail(error instanceof RangeError ? 'the nesting is too deep' : (error as Error).message, error)
  }
}
