/** What differs between two computations and their environments, in words, and what that says about a divergence. */

import { canonical, type BlobRef, type Computation, type ComputationMount, type Environment } from '@reprise/core'

export type ComputationPart =
  | 'program'
  | 'semantics'
  | 'arguments'
  | 'environment variable'
  | 'stdin'
  | 'input file'
  | 'mount'
  | 'clock'
  | 'seed'
  | 'floats'
  | 'limits'
  | 'start'
  | 'checkpoints'
  | 'success'

export interface ComputationDifference {
  readonly part: ComputationPart
  /** One line for humans: what it is in a and in b. */
  readonly text: string
}

/** Empty exactly when the two computations have the same id. */
export function diffComputations(a: Computation, b: Computation): readonly ComputationDifference[] {
  const differences: ComputationDifference[] = []
  const add = (part: ComputationPart, text: string): unknown => differences.push({ part, text })
  const value = (part: ComputationPart, mine: unknown, other: unknown): void => {
    if (canonical(mine) !== canonical(other)) add(part, `${part}: ${shown(mine)} and ${shown(other)}`)
  }
  if (a.program.sha256 !== b.program.sha256) add('program', `program: ${blob(a.program)} and ${blob(b.program)}`)
  value('semantics', a.semantics, b.semantics)
  value('arguments', a.arguments, b.arguments)
  for (const name of union(Object.keys(a.environment), Object.keys(b.environment))) {
    const [mine, other] = [a.environment[name], b.environment[name]]
    if (mine !== other) add('environment variable', `environment variable ${name}: ${shown(mine)} and ${shown(other)}`)
  }
  if (a.stdin.sha256 !== b.stdin.sha256) add('stdin', `stdin: ${blob(a.stdin)} and ${blob(b.stdin)}`)
  differences.push(...diffMounts(a.mounts, b.mounts))
  if (canonical(a.start ?? null) !== canonical(b.start ?? null))
    add('start', `start: ${startText(a)} and ${startText(b)}`)
  for (const part of ['clock', 'seed', 'floats', 'limits', 'checkpoints', 'success'] as const) {
    value(part, a[part], b[part])
  }
  return differences
}

function startText({ start }: Computation): string {
  return start === undefined ? 'cold' : `warm at ${start.snapshotRoot.slice(0, 12)}…`
}

function diffMounts(a: readonly ComputationMount[], b: readonly ComputationMount[]): ComputationDifference[] {
  const differences: ComputationDifference[] = []
  const [left, right] = [a, b].map((mounts) => new Map(mounts.map((mount) => [mount.at, mount])))
  for (const at of union(left.keys(), right.keys())) {
    const [mine, other] = [left.get(at), right.get(at)]
    if (mine === undefined || other === undefined) {
      differences.push({ part: 'mount', text: `mount ${at}: only in ${mine === undefined ? 'b' : 'a'}` })
    } else differences.push(...diffMount(mine, other))
  }
  const order = (mounts: readonly ComputationMount[]): string => mounts.map(({ at }) => at).join(', ')
  if (differences.length === 0 && order(a) !== order(b)) {
    differences.push({ part: 'mount', text: `order of mounts: ${order(a)} and ${order(b)}` })
  }
  return differences
}

function diffMount(a: ComputationMount, b: ComputationMount): ComputationDifference[] {
  const differences: ComputationDifference[] = []
  const flags = ({ output, writable }: ComputationMount): string =>
    `${writable ? 'writable' : 'read-only'}${output ? ', with outputs' : ''}`
  if (flags(a) !== flags(b)) differences.push({ part: 'mount', text: `mount ${a.at}: ${flags(a)} and ${flags(b)}` })
  if (a.source.kind === 'archive' && b.source.kind === 'archive') {
    if (canonical(a.source) !== canonical(b.source)) {
      differences.push({
        part: 'mount',
        text: `mount ${a.at}: archive ${blob(a.source.blob)} and ${blob(b.source.blob)}`,
      })
    }
  } else if (a.source.kind === 'files' && b.source.kind === 'files') {
    const [left, right] = [a.source, b.source].map(({ files }) => new Map(files.map((file) => [file.path, file])))
    for (const path of union(left.keys(), right.keys())) {
      const [mine, other] = [left.get(path), right.get(path)]
      const where = `input file ${a.at === '/' ? path : `${a.at}/${path}`}`
      if (mine?.sha256 !== other?.sha256) {
        differences.push({ part: 'input file', text: `${where}: ${blob(mine)} and ${blob(other)}` })
      } else if (mine !== undefined && mine.readOnly !== other?.readOnly) {
        differences.push({ part: 'input file', text: `${where}: read-only only in ${mine.readOnly ? 'a' : 'b'}` })
      }
    }
  } else {
    differences.push({ part: 'mount', text: `mount ${a.at}: ${a.source.kind} and ${b.source.kind}` })
  }
  return differences
}

export interface EnvironmentDifference {
  readonly field: string
  /** Could it change what a guest sees, if Reprise did not prevent that? */
  readonly matters: boolean
  readonly text: string
}

/** What names one run or one TPM, and not the machinery that the guest runs on. */
const NAMES_ONLY: ReadonlySet<string> = new Set([
  'bootId',
  'ekCertificate',
  'follows',
  'repeats',
  'schema',
  'startedAt',
  'tpm',
])

export function diffEnvironments(a: Environment, b: Environment): readonly EnvironmentDifference[] {
  return union(Object.keys(a), Object.keys(b)).flatMap((field) => {
    const [mine, other] = [a, b].map((environment) => environment[field as keyof Environment])
    if (canonical(mine) === canonical(other)) return []
    return [{ field, matters: !NAMES_ONLY.has(field), text: `${field}: ${shown(mine)} and ${shown(other)}` }]
  })
}

export type Cause = 'input' | 'environment' | 'program' | 'nondeterminism' | 'unknown'

/** The parts that are the program; all others but the two below feed it. */
const PROGRAM_PARTS: ReadonlySet<ComputationPart> = new Set([
  'program',
  'semantics',
  'floats',
  'limits',
  'mount',
  'start',
])
/** What is looked at and when: the guest sees nothing of it. */
const UNSEEN_PARTS: ReadonlySet<ComputationPart> = new Set(['checkpoints', 'success'])

/**
 * Why two runs most likely diverged.
 *
 * @param differences.environments - Undefined when one of the environments is not known.
 */
export function likelyCause(differences: {
  readonly computations: readonly ComputationDifference[]
  readonly environments: readonly EnvironmentDifference[] | undefined
}): { readonly cause: Cause; readonly sentence: string } {
  const seen = differences.computations.filter(({ part }) => !UNSEEN_PARTS.has(part))
  const program = seen.filter(({ part }) => PROGRAM_PARTS.has(part))
  if (program.length > 0) return { cause: 'program', sentence: `Not the same program was run: ${list(program)}.` }
  if (seen.length > 0)
    return { cause: 'input', sentence: `The program was the same, what it was given was not: ${list(seen)}.` }
  if (differences.environments === undefined) {
    return {
      cause: 'unknown',
      sentence: 'The program saw the same in both runs; what they ran on is not known of both.',
    }
  }
  const environments = differences.environments.filter(({ matters }) => matters)
  if (environments.length > 0) {
    return {
      cause: 'environment',
      sentence: `The program saw the same in both runs; what they ran on differs: ${list(environments)}. No guest should notice that: please report it.`,
    }
  }
  return {
    cause: 'nondeterminism',
    sentence:
      'The program saw the same in both runs, on the same kind of machine: one of the runs was tampered with, or Reprise let something through that changes from run to run. Repeat once more, and report it if it diverges again.',
  }
}

const list = (differences: readonly { readonly text: string }[]): string => {
  const named = differences.slice(0, 3).map(({ text }) => text)
  const more = differences.length - named.length
  return named.join('; ') + (more > 0 ? `; and ${more} more` : '')
}

const union = (a: Iterable<string>, b: Iterable<string>): string[] => [...new Set([...a, ...b])].sort()

const blob = (ref: BlobRef | undefined): string =>
  ref === undefined ? 'none' : `${ref.sha256.slice(0, 12)}… (${ref.lengthBytes} bytes)`

const shown = (value: unknown): string => (value === undefined ? 'none' : canonical(value))
