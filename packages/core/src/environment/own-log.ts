/**
 * What a host measured of itself: a log whose digests its signer extends into a register of their own. Format: spec/host.md §2.
 *
 * It is the host's own word. The register shows that nothing was taken out of it or put before it since the TPM was started; it does
 * not show that the measurements are true, for whoever controls the host can extend it with anything.
 */
import { compareText, concat, equal, fromHex, hex, utf8 } from '../bytes/index.ts'
import { canonical, parseCanonicalBytes } from '../canon/index.ts'
import type { Sha256 } from '../crypto.ts'
import { LABEL_BYTES_MAX } from '../record/limits.ts'
import {
  digest,
  exactly,
  fields,
  integer,
  kindOf,
  label,
  list,
  nullable,
  oneOf,
  relativePath,
  wrong,
} from '../record/shape.ts'

/**
 * Neither firmware, boot loader nor kernel extends it, but for extension images of systemd-stub; only a restart of the TPM resets it
 * (TCG PC Client Platform TPM Profile §4.6.2, UAPI TPM2 PCR registry).
 */
export const OWN_LOG_PCR = 13
export const OWN_LOG_BYTES_MAX = 512 << 10
export const OWN_LOG_ENTRIES_MAX = 4096
export const ENGINE_FILES_MAX = 2048
const FILE_NAME_BYTES_MAX = 512
const CPU_FEATURES_MAX = 1024
const U32_MAX = 2 ** 32 - 1

export interface EngineFile {
  readonly name: string
  readonly sha256: string
}

/** What can be measured; a new value of a kind stands for the kind from then on. */
export type OwnMeasurement =
  | {
      readonly kind: 'host'
      readonly architecture: string
      readonly bootId: string | null
      readonly cpu: { readonly features: readonly string[]; readonly model: string }
      readonly kernel: string
      readonly platform: string
    }
  /** `sha256` is {@link engineDigest} of the files, by which rules name it. */
  | {
      readonly kind: 'engine'
      readonly files: readonly EngineFile[]
      readonly form: 'bundle' | 'source'
      readonly sha256: string
      readonly version: string
    }
  | { readonly kind: 'node'; readonly sha256: string; readonly v8: string; readonly version: string }
  | { readonly kind: 'rewriter'; readonly version: string }

export type OwnMeasurementKind = OwnMeasurement['kind']
export const OWN_MEASUREMENT_KINDS = ['engine', 'host', 'node', 'rewriter'] as const

/** How a log begins: what the register held before, and in which power cycle of the TPM. */
export interface OwnLogBegin {
  readonly kind: 'begin'
  /** Hex. */
  readonly register: string
  readonly resetCount: number
  readonly restartCount: number
}

export type OwnLogEntry = OwnLogBegin | OwnMeasurement

export interface OwnLog {
  readonly begin: OwnLogBegin
  /** In order, the beginning not among them. */
  readonly measurements: readonly OwnMeasurement[]
}

/** The digest by which a set of engine files is known; they ascend by name. */
export function engineDigest(files: readonly EngineFile[], sha256: Sha256): string {
  return tagged('reprise/engine/v1', files, sha256)
}

/** The digest that is extended for an entry. */
export function ownEntryDigest(entry: OwnLogEntry, sha256: Sha256): Uint8Array {
  return fromHex(tagged('reprise/own-log/v1', entry, sha256))
}

function tagged(tag: string, value: object, sha256: Sha256): string {
  return hex(sha256(concat(utf8(tag), Uint8Array.of(0), utf8(canonical(value)))))
}

/** The entries as they are extended, in order. */
export function ownLogEntries({ begin, measurements }: OwnLog): readonly OwnLogEntry[] {
  return [begin, ...measurements]
}

/** Canonical JSON of records in the form of the Canonical Event Log. */
export function encodeOwnLog(log: OwnLog, sha256: Sha256): string {
  return canonical(
    ownLogEntries(log).map((content, recnum) => ({
      content,
      content_type: 'reprise',
      digests: [{ digest: hex(ownEntryDigest(content, sha256)), hashAlg: 'sha256' }],
      pcr: OWN_LOG_PCR,
      recnum,
    })),
  )
}

/**
 * @throws {@link EvidenceError} `STRUCTURE` or `LIMIT`, with the path of what is wrong; a digest that is not that of its content is
 *   wrong, too.
 */
export function decodeOwnLog(bytes: Uint8Array, sha256: Sha256): OwnLog {
  const records = list(
    parseCanonicalBytes(bytes, OWN_LOG_BYTES_MAX, 'own log'),
    '$',
    OWN_LOG_ENTRIES_MAX,
    (value, path) => decodeRecord(value, path, sha256),
  )
  for (const [i, { recnum }] of records.entries()) exactly(recnum, `$[${i}].recnum`, i)
  const [first, ...others] = records
  if (first?.content.kind !== 'begin') throw wrong('$[0]', 'is not the beginning of a log')
  const measurements = others.map(({ content }, i) => {
    if (content.kind === 'begin') throw wrong(`$[${i + 1}].content`, 'begins the log a second time')
    return content
  })
  return { begin: first.content, measurements }
}

interface OwnRecord {
  readonly content: OwnLogEntry
  readonly recnum: unknown
}

function decodeRecord(value: unknown, path: string, sha256: Sha256): OwnRecord {
  const record = fields(value, path, ['content', 'content_type', 'digests', 'pcr', 'recnum'])
  exactly(record.content_type, `${path}.content_type`, 'reprise')
  exactly(record.pcr, `${path}.pcr`, OWN_LOG_PCR)
  const content = decodeEntry(record.content, `${path}.content`, sha256)
  const digests = list(record.digests, `${path}.digests`, 1, (item, at) => {
    const each = fields(item, at, ['digest', 'hashAlg'])
    exactly(each.hashAlg, `${at}.hashAlg`, 'sha256')
    return digest(each.digest, `${at}.digest`)
  })
  if (digests[0] !== hex(ownEntryDigest(content, sha256)))
    throw wrong(`${path}.digests`, 'are not those of what the entry says')
  return { content, recnum: record.recnum }
}

function decodeEntry(value: unknown, path: string, sha256: Sha256): OwnLogEntry {
  const kind = kindOf(value, path, ['begin', ...OWN_MEASUREMENT_KINDS])
  if (kind !== 'begin') return decodeOwnMeasurement(value, path, sha256)
  const begin = fields(value, path, ['kind', 'register', 'resetCount', 'restartCount'])
  const count = (item: unknown, at: string): number => integer(item, at, { min: 0, max: U32_MAX })
  return {
    kind,
    register: digest(begin.register, `${path}.register`),
    resetCount: count(begin.resetCount, `${path}.resetCount`),
    restartCount: count(begin.restartCount, `${path}.restartCount`),
  }
}

const word = (value: unknown, path: string): string => label(value, path, LABEL_BYTES_MAX)

/** @throws {@link EvidenceError} `STRUCTURE` or `LIMIT`. */
export function decodeOwnMeasurement(value: unknown, path: string, sha256: Sha256): OwnMeasurement {
  const kind = kindOf(value, path, OWN_MEASUREMENT_KINDS)
  switch (kind) {
    case 'host': {
      const host = fields(value, path, ['architecture', 'bootId', 'cpu', 'kernel', 'kind', 'platform'])
      const cpu = fields(host.cpu, `${path}.cpu`, ['features', 'model'])
      return {
        kind,
        architecture: word(host.architecture, `${path}.architecture`),
        bootId: nullable(host.bootId, `${path}.bootId`, word),
        cpu: {
          features: list(cpu.features, `${path}.cpu.features`, CPU_FEATURES_MAX, word),
          model: word(cpu.model, `${path}.cpu.model`),
        },
        kernel: word(host.kernel, `${path}.kernel`),
        platform: word(host.platform, `${path}.platform`),
      }
    }
    case 'engine':
      return decodeEngine(value, path, sha256)
    case 'node': {
      const node = fields(value, path, ['kind', 'sha256', 'v8', 'version'])
      return {
        kind,
        sha256: digest(node.sha256, `${path}.sha256`),
        v8: word(node.v8, `${path}.v8`),
        version: word(node.version, `${path}.version`),
      }
    }
    case 'rewriter':
      return { kind, version: word(fields(value, path, ['kind', 'version']).version, `${path}.version`) }
  }
}

function decodeEngine(value: unknown, path: string, sha256: Sha256): OwnMeasurement {
  const engine = fields(value, path, ['files', 'form', 'kind', 'sha256', 'version'])
  const files = list(engine.files, `${path}.files`, ENGINE_FILES_MAX, (item, at) => {
    const file = fields(item, at, ['name', 'sha256'])
    const name = relativePath(file.name, `${at}.name`, FILE_NAME_BYTES_MAX)
    return { name, sha256: digest(file.sha256, `${at}.sha256`) }
  })
  if (files.length === 0) throw wrong(`${path}.files`, 'is empty')
  for (const [i, { name }] of files.entries()) {
    if (i > 0 && compareText(files[i - 1].name, name) >= 0)
      throw wrong(`${path}.files[${i}].name`, 'does not ascend by its bytes')
  }
  exactly(engine.sha256, `${path}.sha256`, engineDigest(files, sha256))
  return {
    kind: 'engine',
    files,
    form: oneOf(engine.form, `${path}.form`, ['bundle', 'source']),
    sha256: engineDigest(files, sha256),
    version: word(engine.version, `${path}.version`),
  }
}

/** What the register holds before the first entry and after each. */
export function ownLogValues(log: OwnLog, sha256: Sha256): readonly Uint8Array[] {
  const values = [fromHex(log.begin.register)]
  for (const entry of ownLogEntries(log))
    values.push(sha256(concat(values[values.length - 1], ownEntryDigest(entry, sha256))))
  return values
}

export function replaysTo(log: OwnLog, register: Uint8Array, sha256: Sha256): boolean {
  return equal(ownLogValues(log, sha256).at(-1) ?? new Uint8Array(), register)
}

/** The last measurement of a kind. */
export function lastMeasured<K extends OwnMeasurementKind>(
  { measurements }: OwnLog,
  kind: K,
): (OwnMeasurement & { readonly kind: K }) | undefined {
  return measurements.findLast((each): each is OwnMeasurement & { readonly kind: K } => each.kind === kind)
}

/** Those that say something new, in the order given. */
export function newMeasurements(log: OwnLog, measured: readonly OwnMeasurement[]): readonly OwnMeasurement[] {
  return measured.filter((each) => {
    const last = lastMeasured(log, each.kind)
    return last === undefined || canonical(last) !== canonical(each)
  })
}
