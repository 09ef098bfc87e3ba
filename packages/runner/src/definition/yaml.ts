/** Reads `computation.yaml`; its shape is schema.ts. Every mistake is reported at once, each as `file:line:column`. */
import { open } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { decodeHostRules, EvidenceError, type CheckpointPolicy, type Criterion, type HostRules } from '@reprise/core'
import { LineCounter, parseAllDocuments, type Document } from 'yaml'
import { readFailure, RunnerError } from '../error.ts'
import { checkNode, type Problem } from './check.ts'
import { HOST_RULES_HINT } from './host-rules.ts'
import { computationYaml } from './schema.ts'
import {
  gridPolicy,
  parseMemory,
  parseSeed,
  parseTime,
  toleranceCompare,
  Wrong,
  type Draws,
  type InputSetting,
  type Settings,
} from './settings.ts'

export const COMPUTATION_YAML_BYTES_MAX = 1 << 20
const PROBLEMS_SHOWN_MAX = 20

export interface YamlComputation {
  /** As written: a runtime's name or a path relative to the file. */
  readonly program: string
  readonly arguments: readonly string[]
  readonly settings: Settings
  /** The folder of the file. */
  readonly folder: string
}

/** The shape that schema.ts admits. */
interface Content {
  readonly program: string
  readonly arguments?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly stdin?: string
  readonly inputs?: readonly (string | { readonly path: string; readonly guest?: string })[]
  readonly time?: string
  readonly seed?: string | number
  readonly floats?: 'canonical' | 'host'
  readonly memory?: string
  readonly start?: 'warm' | 'cold'
  readonly checkpoints?: 'outputs' | 'none' | { readonly every: number }
  readonly success?: readonly (
    | { readonly checkpoints: 'exact' }
    | { readonly output: string; readonly compare: CompareContent }
  )[]
  readonly host?: Readonly<Record<string, unknown>>
}

type CompareContent =
  | { readonly kind: 'bytes' | 'text' }
  | { readonly kind: 'numbers' | 'json'; readonly abs?: number; readonly rel?: number }

/**
 * @param path - Of the file, absolute.
 * @param shown - The same as the user wrote it, for messages.
 * @throws RunnerError `DEFINITION` with all mistakes, `INPUT_MISSING`, `INPUT_UNREADABLE`.
 */
export async function readYaml(path: string, shown: string, draws: Draws): Promise<YamlComputation> {
  const content = parseYaml(await readText(path, shown), shown)
  const folder = dirname(path)
  return {
    arguments: content.arguments ?? [],
    folder,
    program: content.program,
    settings: settingsOf(content, folder, draws),
  }
}

/** Parses and checks the text; `shown` is the file's name in messages. */
export function parseYaml(text: string, shown: string): Content {
  const lines = new LineCounter()
  const document = oneDocument(text, shown, lines)
  const parsing = [...document.errors, ...document.warnings].map(({ pos, message }) => ({
    offset: pos[0],
    what: message,
  }))
  const problems = parsing.length > 0 ? parsing : checkNode(document.contents, computationYaml, { offset: 0, path: '' })
  if (problems.length > 0) throw definitionError(problems, shown, lines)
  return document.toJS({ maxAliasCount: 0 }) as Content
}

function oneDocument(text: string, shown: string, lines: LineCounter): Document.Parsed {
  // Every `prettyErrors` message repeats position and source: we print the position ourselves.
  const options = { lineCounter: lines, prettyErrors: false, stringKeys: true, version: '1.2' } as const
  let documents
  try {
    documents = parseAllDocuments(text, options)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw definitionError([{ offset: 0, what: 'the nesting is too deep' }], shown, lines)
  }
  if (documents.length === 1) return documents[0]
  const offset = documents.length === 0 ? 0 : documents[1].range[0]
  const what = documents.length === 0 ? 'the file is empty' : 'a second document starts here'
  throw definitionError([{ hint: 'write one computation, at least its program: …', offset, what }], shown, lines)
}

function definitionError(problems: readonly Problem[], shown: string, lines: LineCounter): RunnerError {
  const placed = problems.map(({ offset, what, hint }) => {
    const { line, col: column } = lines.linePos(offset)
    return { column: Math.max(column, 1), hint, line: Math.max(line, 1), what }
  })
  placed.sort((a, b) => a.line - b.line || a.column - b.column)
  const texts = placed
    .slice(0, PROBLEMS_SHOWN_MAX)
    .map(({ line, column, what, hint }) => `${shown}:${line}:${column}: ${what}${hint ? `; ${hint}` : ''}`)
  if (placed.length > PROBLEMS_SHOWN_MAX) texts.push(`and ${placed.length - PROBLEMS_SHOWN_MAX} more`)
  return new RunnerError('DEFINITION', {
    data: { problems: placed },
    hint: 'compare with spec/computation.schema.json, which editors can show while you write',
    message: texts.join('\n'),
  })
}

async function readText(path: string, shown: string): Promise<string> {
  let bytes: Uint8Array
  try {
    const file = await open(path, 'r')
    try {
      const buffer = new Uint8Array(COMPUTATION_YAML_BYTES_MAX + 1)
      const { bytesRead } = await file.read(buffer, 0, buffer.length, 0)
      bytes = buffer.subarray(0, bytesRead)
    } finally {
      await file.close()
    }
  } catch (error) {
    throw readFailure(error, path)
  }
  if (bytes.length > COMPUTATION_YAML_BYTES_MAX)
    throw new RunnerError('DEFINITION', { message: `${shown}: longer than ${COMPUTATION_YAML_BYTES_MAX} bytes` })
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new RunnerError('DEFINITION', { cause: error, hint: 'save it as UTF-8', message: `${shown}: not UTF-8 text` })
  }
}

function settingsOf(content: Content, folder: string, draws: Draws): Settings {
  const { environment, stdin, inputs, time, seed, floats, memory, start, checkpoints, success, host } = content
  return {
    ...(environment && { environment }),
    ...(stdin !== undefined && { stdin: resolve(folder, stdin) }),
    ...(inputs && { inputs: inputs.map((input) => inputOf(input, folder)) }),
    ...(time !== undefined && { clock: checked(parseTime(time, draws)) }),
    ...(seed !== undefined && { seed: checked(parseSeed(String(seed), draws)) }),
    ...(floats && { floats }),
    ...(memory !== undefined && { memoryPages: checked(parseMemory(memory)) }),
    ...(start !== undefined && { start }),
    ...(checkpoints && { checkpoints: checkpointsOf(checkpoints) }),
    ...(success && { success: success.map(criterionOf) }),
    ...(host && { host: hostOf(host) }),
  }
}

function inputOf(input: string | { readonly path: string; readonly guest?: string }, folder: string): InputSetting {
  const { path, guest = null } = typeof input === 'string' ? { path: input } : input
  return { guest, path: resolve(folder, path) }
}

function checkpointsOf(checkpoints: NonNullable<Content['checkpoints']>): CheckpointPolicy {
  return typeof checkpoints === 'string' ? { kind: checkpoints } : gridPolicy(checkpoints.every)
}

function criterionOf(criterion: NonNullable<Content['success']>[number]): Criterion {
  if ('checkpoints' in criterion) return { checkpoints: criterion.checkpoints }
  const { output, compare } = criterion
  return {
    compare:
      compare.kind === 'bytes' || compare.kind === 'text'
        ? { kind: compare.kind }
        : toleranceCompare(compare.kind, compare as { abs?: number; rel?: number }),
    output,
  }
}

/** What the schema cannot say, such as how long a digest of a bank is, is for the decoder that every reader uses. */
function hostOf(host: Readonly<Record<string, unknown>>): HostRules {
  try {
    return decodeHostRules({ onChange: 'stop', ...host }, 'host')
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error
    throw new RunnerError('DEFINITION', { message: error.message, hint: HOST_RULES_HINT, cause: error })
  }
}

/** The checker has let the text pass, so it reads. */
function checked<T>(result: T | Wrong): T {
  if (result instanceof Wrong) throw new RunnerError('DEFINITION', { hint: result.hint, message: result.what })
  return result
}
