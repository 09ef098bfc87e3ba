/** Decodes record.json and what stands in it, exactly. Format: spec/record.md §2. */
import { blobsOf } from './blobs.ts'
import { decodeComputation, decodeLength, decodeOutputPath } from './computation.ts'
import * as limits from './limits.ts'
import {
  digest,
  exactly,
  fields,
  integer,
  isObject,
  label,
  list,
  nullable,
  oneOf,
  sortedFilePaths,
  wrong,
} from './shape.ts'
import {
  LEFT_OUT,
  LOG_KINDS,
  type Attempt,
  type Environment,
  type EnvironmentLog,
  type Exit,
  type Outcome,
  type OutcomeOutput,
  type RecordDocument,
  type RecordHost,
} from './types.ts'

const U32_MAX = 2 ** 32 - 1

/**
 * @param value - Parsed JSON; nobody else may change it afterwards.
 * @throws {@link EvidenceError} `STRUCTURE` or `LIMIT`, with the path of what is wrong.
 */
export function decodeRecordDocument(value: unknown, path = '$'): RecordDocument {
  const document = fields(value, path, ['attempts', 'computation', 'hosts', 'outcome', 'run', 'schema'])
  const hosts = list(document.hosts, `${path}.hosts`, limits.ATTEMPTS_MAX, decodeHost)
  for (const [i, host] of hosts.entries()) checkHostNames(host, i, `${path}.hosts[${i}]`)
  const attempts = list(document.attempts, `${path}.attempts`, limits.ATTEMPTS_MAX, decodeAttempt)
  checkAttempts(attempts, hosts, `${path}.attempts`)
  const decoded: RecordDocument = {
    schema: exactly(document.schema, `${path}.schema`, 'reprise/record/v1'),
    attempts,
    computation: decodeComputation(document.computation, `${path}.computation`),
    hosts,
    outcome: nullable(document.outcome, `${path}.outcome`, decodeOutcome),
    run: digest(document.run, `${path}.run`),
  }
  blobsOf(decoded)
  return decoded
}

export function decodeHost(value: unknown, path = '$'): RecordHost {
  const host = fields(value, path, ['ak', 'certificates', 'ek'])
  return {
    ak: label(host.ak, `${path}.ak`, limits.LABEL_BYTES_MAX),
    certificates: list(host.certificates, `${path}.certificates`, limits.HOST_CERTIFICATES_MAX, (item, at) =>
      label(item, at, limits.LABEL_BYTES_MAX),
    ),
    ek: nullable(host.ek, `${path}.ek`, (item, at) => label(item, at, limits.LABEL_BYTES_MAX)),
  }
}

/** The entry names of host `index` (spec/record.md §2.2): nothing signs names, so they are fixed. */
export function hostEntryNames(index: number): {
  readonly ak: string
  readonly ek: string
  readonly certificate: (place: number) => string
} {
  return {
    ak: `evidence/ak-${index}.tpmt`,
    ek: `evidence/ek-${index}.der`,
    certificate: (place) => `evidence/ak-${index}-certificate-${place}.der`,
  }
}

function checkHostNames(host: RecordHost, index: number, path: string): void {
  const names = hostEntryNames(index)
  exactly(host.ak, `${path}.ak`, names.ak)
  for (const [i, name] of host.certificates.entries()) exactly(name, `${path}.certificates[${i}]`, names.certificate(i))
  if (host.ek !== null) exactly(host.ek, `${path}.ek`, names.ek)
}

export function decodeAttempt(value: unknown, path = '$'): Attempt {
  const attempt = fields(value, path, ['attempt', 'environment', 'firstSeq', 'from', 'host'])
  return {
    attempt: integer(attempt.attempt, `${path}.attempt`, { min: 1, max: limits.ATTEMPTS_MAX }),
    environment: decodeEnvironment(attempt.environment, `${path}.environment`),
    firstSeq: decodeLength(attempt.firstSeq, `${path}.firstSeq`),
    from: nullable(attempt.from, `${path}.from`, decodeLength),
    host: integer(attempt.host, `${path}.host`, { min: 0, max: limits.ATTEMPTS_MAX }),
  }
}

/** Numbered from 1, all but the first from a snapshot; hosts are numbered in the order in which attempts name them. */
function checkAttempts(attempts: readonly Attempt[], hosts: readonly RecordHost[], path: string): void {
  if (attempts.length === 0) throw wrong(path, 'is empty')
  let hostsSeen = 0
  for (const [i, { attempt, environment, firstSeq, from, host }] of attempts.entries()) {
    exactly(attempt, `${path}[${i}].attempt`, i + 1)
    if ((from === null) !== (i === 0))
      throw wrong(`${path}[${i}].from`, 'is null for the first attempt and for no other')
    exactly(firstSeq, `${path}[${i}].firstSeq`, from === null ? 0 : from + 1)
    if (host > hostsSeen || host >= hosts.length)
      throw wrong(`${path}[${i}].host`, 'is not the index of a known or the next host')
    hostsSeen = Math.max(hostsSeen, host + 1)
    if ((environment.ekCertificate === null) !== (hosts[host].ek === null))
      throw wrong(
        `${path}[${i}].environment.ekCertificate`,
        'and the EK certificate of the host are not both there or both absent',
      )
  }
  if (hostsSeen !== hosts.length) throw wrong(path, `name ${hostsSeen} of ${hosts.length} hosts`)
}

/** @throws {@link EvidenceError} `STRUCTURE` or `LIMIT`. */
export function decodeEnvironment(value: unknown, path = '$'): Environment {
  const environment = fields(value, path, [
    'architecture',
    'bootId',
    'cpu',
    'ekCertificate',
    'follows',
    'kernel',
    'logs',
    'node',
    'platform',
    'repeats',
    'reprise',
    'rewriter',
    'schema',
    'startedAt',
    'tpm',
    'v8',
  ])
  const tpm = fields(environment.tpm, `${path}.tpm`, ['firmware', 'manufacturer', 'transport'])
  const word = (name: keyof typeof environment): string =>
    label(environment[name], `${path}.${name}`, limits.LABEL_BYTES_MAX)
  const schema = exactly(environment.schema, `${path}.schema`, 'reprise/environment/v1')
  // In the order of canonical JSON, in which it is hashed.
  return {
    architecture: word('architecture'),
    bootId: nullable(environment.bootId, `${path}.bootId`, (item, at) => label(item, at, limits.LABEL_BYTES_MAX)),
    cpu: word('cpu'),
    ekCertificate: nullable(environment.ekCertificate, `${path}.ekCertificate`, digest),
    follows: list(environment.follows, `${path}.follows`, limits.FOLLOWS_MAX, digest),
    kernel: word('kernel'),
    logs: decodeLogs(environment.logs, `${path}.logs`),
    node: word('node'),
    platform: word('platform'),
    repeats: nullable(environment.repeats, `${path}.repeats`, digest),
    reprise: word('reprise'),
    rewriter: word('rewriter'),
    schema,
    startedAt: decodeTime(environment.startedAt, `${path}.startedAt`),
    tpm: {
      firmware: label(tpm.firmware, `${path}.tpm.firmware`, limits.LABEL_BYTES_MAX),
      manufacturer: label(tpm.manufacturer, `${path}.tpm.manufacturer`, limits.LABEL_BYTES_MAX),
      transport: oneOf(tpm.transport, `${path}.tpm.transport`, ['swtpm', 'device']),
    },
    v8: word('v8'),
  }
}

function decodeLogs(value: unknown, path: string): readonly EnvironmentLog[] {
  const logs = list(value, path, LOG_KINDS.length, decodeLog)
  for (const [i, { kind }] of logs.entries()) {
    if (i > 0 && logs[i - 1].kind >= kind) throw wrong(`${path}[${i}].kind`, 'does not ascend')
  }
  return logs
}

function decodeLog(value: unknown, path: string): EnvironmentLog {
  if (isObject(value) && Object.hasOwn(value, 'leftOut')) {
    const log = fields(value, path, ['kind', 'leftOut'])
    return {
      kind: oneOf(log.kind, `${path}.kind`, LOG_KINDS),
      leftOut: oneOf(log.leftOut, `${path}.leftOut`, LEFT_OUT),
    }
  }
  const log = fields(value, path, ['kind', 'lengthBytes', 'sha256', 'source'])
  return {
    kind: oneOf(log.kind, `${path}.kind`, LOG_KINDS),
    lengthBytes: integer(log.lengthBytes, `${path}.lengthBytes`, { min: 0, max: limits.LOG_BYTES_MAX }),
    sha256: digest(log.sha256, `${path}.sha256`),
    source: oneOf(log.source, `${path}.source`, ['host', 'user']),
  }
}

/** The entry of a log: by its digest, so that attempts on one host share it. */
export function logEntryName(sha256: string): string {
  return `evidence/log-${sha256}`
}

/** ISO 8601 in UTC, whole seconds, of a day that exists. */
function decodeTime(value: unknown, path: string): string {
  const time = label(value, path, limits.LABEL_BYTES_MAX)
  const date = new Date(time)
  if (Number.isNaN(date.getTime()) || date.toISOString() !== time.replace(/Z$/, '.000Z'))
    throw wrong(path, 'is not a time like 2026-11-22T03:25:00Z')
  return time
}

/** @throws {@link EvidenceError} `STRUCTURE` or `LIMIT`. */
export function decodeOutcome(value: unknown, path = '$'): Outcome {
  const outcome = fields(value, path, ['exit', 'outputs'])
  const outputs = list(outcome.outputs, `${path}.outputs`, limits.FILES_MAX, decodeOutput)
  for (const stream of ['/dev/stderr', '/dev/stdout']) {
    if (!outputs.some((output) => output.path === stream)) throw wrong(`${path}.outputs`, `lack ${stream}`)
  }
  sortedFilePaths(
    outputs.map((output) => output.path),
    (i) => `${path}.outputs[${i}].path`,
  )
  return { exit: decodeExit(outcome.exit, `${path}.exit`), outputs }
}

function decodeExit(value: unknown, path: string): Exit {
  if (isObject(value) && Object.hasOwn(value, 'trap')) {
    return { trap: label(fields(value, path, ['trap']).trap, `${path}.trap`, limits.LABEL_BYTES_MAX) }
  }
  return { code: integer(fields(value, path, ['code']).code, `${path}.code`, { min: 0, max: U32_MAX }) }
}

function decodeOutput(value: unknown, path: string): OutcomeOutput {
  const output = fields(value, path, ['length', 'pages', 'path', 'sha256'])
  return {
    length: decodeLength(output.length, `${path}.length`),
    pages: digest(output.pages, `${path}.pages`),
    path: decodeOutputPath(output.path, `${path}.path`),
    sha256: digest(output.sha256, `${path}.sha256`),
  }
}
