/** Decodes a computation, exactly. Format: spec/computation.md. */
import { decodeHostRules } from '../environment/host-rules.ts'
import {
  absolutePath,
  bool,
  cString,
  decimal,
  digest,
  exactly,
  fields,
  integer,
  isObject,
  kindOf,
  label,
  list,
  oneOf,
  relativePath,
  sortedFilePaths,
  tooLarge,
  wrong,
} from './shape.ts'
import * as limits from './limits.ts'
import type {
  BlobRef,
  CheckpointPolicy,
  Compare,
  Computation,
  ComputationMount,
  Criterion,
  InputFile,
  MountSource,
  WarmStart,
} from './types.ts'

/**
 * @param value - Parsed JSON; nobody else may change it afterwards.
 * @param path - Where the value stands, for errors.
 * @throws {@link EvidenceError} `STRUCTURE` or `LIMIT`, with the path of what is wrong.
 */
export function decodeComputation(value: unknown, path = '$'): Computation {
  const isWarm = isObject(value) && Object.hasOwn(value, 'start')
  const hasRules = isObject(value) && Object.hasOwn(value, 'host')
  const computation = fields(value, path, [
    'arguments',
    'checkpoints',
    'clock',
    'environment',
    'floats',
    'limits',
    'mounts',
    'program',
    'schema',
    'seed',
    'semantics',
    'stdin',
    'success',
    ...(isWarm ? (['start'] as const) : []),
    ...(hasRules ? (['host'] as const) : []),
  ])
  const schema = exactly(computation.schema, `${path}.schema`, 'reprise/computation/v1')
  const program = decodeBlobRef(computation.program, `${path}.program`)
  const bounds = fields(computation.limits, `${path}.limits`, ['memoryPages', 'stackSlots'])
  // In the order of canonical JSON, in which it is hashed.
  const decoded: Computation = {
    arguments: decodeArguments(computation.arguments, `${path}.arguments`),
    checkpoints: decodePolicy(computation.checkpoints, `${path}.checkpoints`),
    clock: decimal(computation.clock, `${path}.clock`),
    environment: decodeVariables(computation.environment, `${path}.environment`),
    floats: oneOf(computation.floats, `${path}.floats`, ['canonical', 'host']),
    limits: {
      memoryPages: integer(bounds.memoryPages, `${path}.limits.memoryPages`, { min: 1, max: limits.MEMORY_PAGES_MAX }),
      stackSlots: integer(bounds.stackSlots, `${path}.limits.stackSlots`, { min: 1, max: limits.STACK_SLOTS_MAX }),
    },
    mounts: decodeMounts(computation.mounts, `${path}.mounts`),
    program,
    schema,
    seed: decimal(computation.seed, `${path}.seed`),
    semantics: decodeSemantics(computation.semantics, `${path}.semantics`),
    stdin: decodeBlobRef(computation.stdin, `${path}.stdin`),
    success: decodeCriteria(computation.success, `${path}.success`),
  }
  return {
    ...decoded,
    ...(isWarm && { start: decodeStart(computation.start, `${path}.start`, decoded.mounts.length) }),
    ...(hasRules && { host: decodeHostRules(computation.host, `${path}.host`) }),
  }
}

function decodeArguments(value: unknown, path: string): readonly string[] {
  return list(value, path, limits.ARGUMENTS_MAX, (item, at) => cString(item, at, limits.ARGUMENT_BYTES_MAX))
}

/** spec/computation.md §6 */
function decodeStart(value: unknown, path: string, mountCount: number): WarmStart {
  const start = fields(value, path, ['arguments', 'environment', 'kind', 'mounts', 'snapshotRoot'])
  const mounts = list(start.mounts, `${path}.mounts`, limits.MOUNTS_MAX, decodeSource)
  if (mounts.length !== mountCount)
    throw wrong(`${path}.mounts`, `has ${mounts.length} items; the computation has ${mountCount} mounts`)
  checkFileCount(mounts, `${path}.mounts`)
  return {
    kind: exactly(start.kind, `${path}.kind`, 'warm'),
    arguments: decodeArguments(start.arguments, `${path}.arguments`),
    environment: decodeVariables(start.environment, `${path}.environment`),
    mounts,
    snapshotRoot: digest(start.snapshotRoot, `${path}.snapshotRoot`),
  }
}

/** A name and a version, such as `wasm/1`; whether it is known is not a question of shape. */
function decodeSemantics(value: unknown, path: string): string {
  const semantics = label(value, path, limits.LABEL_BYTES_MAX)
  if (!/^[a-z][a-z0-9-]*\/[1-9][0-9]*$/.test(semantics)) throw wrong(path, 'is not a name, a slash and a version')
  return semantics
}

export function decodeBlobRef(value: unknown, path: string): BlobRef {
  const blob = fields(value, path, ['lengthBytes', 'sha256'])
  return {
    lengthBytes: decodeLength(blob.lengthBytes, `${path}.lengthBytes`),
    sha256: digest(blob.sha256, `${path}.sha256`),
  }
}

export function decodeLength(value: unknown, path: string): number {
  return integer(value, path, { min: 0, max: Number.MAX_SAFE_INTEGER })
}

function decodeVariables(value: unknown, path: string): Readonly<Record<string, string>> {
  if (!isObject(value)) throw wrong(path, 'is not an object')
  const entries = Object.entries(value)
  if (entries.length > limits.ENVIRONMENT_MAX)
    throw tooLarge(path, `has ${entries.length} variables; at most ${limits.ENVIRONMENT_MAX} are read`)
  for (const [name, each] of entries) {
    const at = `${path}.${name.slice(0, 64)}`
    cString(name, at, limits.ARGUMENT_BYTES_MAX)
    if (name === '' || name.includes('=')) throw wrong(at, 'is not a name: it is empty or has "="')
    cString(each, at, limits.ARGUMENT_BYTES_MAX)
  }
  return value as Readonly<Record<string, string>>
}

function decodeMounts(value: unknown, path: string): readonly ComputationMount[] {
  const mounts = list(value, path, limits.MOUNTS_MAX, decodeMount)
  if (mounts[0]?.at !== '/') throw wrong(`${path}[0].at`, 'is not "/": the first mount is the working folder')
  const seen = new Set<string>()
  for (const [i, { at }] of mounts.entries()) {
    if (seen.has(at)) throw wrong(`${path}[${i}].at`, `is ${JSON.stringify(at)} again`)
    seen.add(at)
  }
  checkFileCount(
    mounts.map(({ source }) => source),
    path,
  )
  return mounts
}

function checkFileCount(sources: readonly MountSource[], path: string): void {
  const files = sources.reduce((sum, source) => sum + (source.kind === 'files' ? source.files.length : 0), 0)
  if (files > limits.FILES_MAX) throw tooLarge(path, `have ${files} files; at most ${limits.FILES_MAX} are read`)
}

function decodeMount(value: unknown, path: string): ComputationMount {
  const mount = fields(value, path, ['at', 'output', 'source', 'writable'])
  return {
    at: absolutePath(mount.at, `${path}.at`, limits.PATH_BYTES_MAX),
    output: bool(mount.output, `${path}.output`),
    source: decodeSource(mount.source, `${path}.source`),
    writable: bool(mount.writable, `${path}.writable`),
  }
}

function decodeSource(value: unknown, path: string): MountSource {
  const kind = kindOf(value, path, ['archive', 'files'])
  if (kind === 'archive') {
    const source = fields(value, path, ['blob', 'format', 'kind'])
    const format = exactly(source.format, `${path}.format`, 'tar.gz')
    return { blob: decodeBlobRef(source.blob, `${path}.blob`), format, kind }
  }
  const source = fields(value, path, ['files', 'kind'])
  const files = list(source.files, `${path}.files`, limits.FILES_MAX, decodeFile)
  sortedFilePaths(
    files.map((file) => file.path),
    (i) => `${path}.files[${i}].path`,
  )
  return { files, kind }
}

function decodeFile(value: unknown, path: string): InputFile {
  const file = fields(value, path, ['lengthBytes', 'path', 'readOnly', 'sha256'])
  return {
    lengthBytes: decodeLength(file.lengthBytes, `${path}.lengthBytes`),
    path: relativePath(file.path, `${path}.path`, limits.PATH_BYTES_MAX),
    readOnly: bool(file.readOnly, `${path}.readOnly`),
    sha256: digest(file.sha256, `${path}.sha256`),
  }
}

function decodePolicy(value: unknown, path: string): CheckpointPolicy {
  const kind = kindOf(value, path, ['grid', 'none', 'outputs'])
  if (kind !== 'grid') {
    fields(value, path, ['kind'])
    return { kind }
  }
  const policy = fields(value, path, ['fuel', 'kind', 'strideBytes', 'strideMax'])
  const strideMax = integer(policy.strideMax, `${path}.strideMax`, { min: 1, max: limits.STRIDE_MAX })
  if ((strideMax & (strideMax - 1)) !== 0) throw wrong(`${path}.strideMax`, 'is not a power of two')
  const fuel = decimal(policy.fuel, `${path}.fuel`)
  if (fuel === '0') throw wrong(`${path}.fuel`, 'is zero')
  return {
    fuel,
    kind,
    strideBytes: integer(policy.strideBytes, `${path}.strideBytes`, { min: 1, max: Number.MAX_SAFE_INTEGER }),
    strideMax,
  }
}

function decodeCriteria(value: unknown, path: string): readonly Criterion[] {
  const criteria = list(value, path, limits.CRITERIA_MAX, decodeCriterion)
  if (criteria.length === 0) throw wrong(path, 'is empty: nothing could ever fail')
  return criteria
}

function decodeCriterion(value: unknown, path: string): Criterion {
  if (isObject(value) && Object.hasOwn(value, 'checkpoints')) {
    const criterion = fields(value, path, ['checkpoints'])
    return { checkpoints: exactly(criterion.checkpoints, `${path}.checkpoints`, 'exact') }
  }
  const criterion = fields(value, path, ['compare', 'output'])
  return {
    output: decodeOutputPath(criterion.output, `${path}.output`),
    compare: decodeCompare(criterion.compare, `${path}.compare`),
  }
}

/** spec/measurement.md §3.4 */
export function decodeOutputPath(value: unknown, path: string): string {
  if (value === '/dev/stdout' || value === '/dev/stderr') return value
  return relativePath(value, path, limits.PATH_BYTES_MAX)
}

function decodeCompare(value: unknown, path: string): Compare {
  const kind = kindOf(value, path, ['bytes', 'json', 'numbers', 'text'])
  if (kind === 'numbers' || kind === 'json') {
    const compare = fields(value, path, ['abs', 'kind', 'rel'])
    return { kind, abs: tolerance(compare.abs, `${path}.abs`), rel: tolerance(compare.rel, `${path}.rel`) }
  }
  fields(value, path, ['kind'])
  return { kind }
}

function tolerance(value: unknown, path: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0 || Object.is(value, -0))
    throw wrong(path, 'is not a finite number that is not negative')
  return value
}
