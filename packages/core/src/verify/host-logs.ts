/** The logs of a record's hosts, by attempt: read, and held to the digests that the environments name. Format: spec/host.md §1. */
import { hex } from '../bytes/index.ts'
import type { Crypto } from '../crypto.ts'
import {
  readBootLog,
  readImaList,
  readOwnLog,
  type HostLogs,
  type LogKind,
  type ReadLog,
} from '../environment/index.ts'
import type { EvidenceError } from '../error.ts'
import { LOG_BYTES_MAX, logEntryName, RECORD_ENTRY, type Attempt, type EnvironmentLog } from '../record/index.ts'
import type { OpenedRecord } from './open.ts'

const ABSENT = 'the record carries none'

/** Reads the logs of an attempt; what is wrong with them is found once for each. */
export class HostLogReader {
  readonly #record: OpenedRecord
  readonly #crypto: Crypto
  /** Attempts on one host share their logs: the last of each kind is kept. */
  readonly #kept = new Map<LogKind, { readonly sha256: string; readonly read: ReadLog<unknown> }>()

  constructor(record: OpenedRecord, crypto: Crypto) {
    this.#record = record
    this.#crypto = crypto
  }

  async read({ attempt, environment: { logs } }: Attempt): Promise<HostLogs> {
    const { hash } = this.#crypto
    const path = `${RECORD_ENTRY} $.attempts[${attempt - 1}].environment.logs`
    const read = async <T>(kind: LogKind, decode: (bytes: Uint8Array) => ReadLog<T>): Promise<ReadLog<T>> => {
      const log = logs.find((each) => each.kind === kind)
      if (log === undefined) return { kind: 'absent', why: ABSENT }
      return await this.#readOne(log, { path, decode })
    }
    return {
      boot: await read('boot', (bytes) => readBootLog(bytes, hash)),
      ima: await read('ima', readImaList),
      own: await read('own', (bytes) => readOwnLog(bytes, hash)),
    }
  }

  async #readOne<T>(
    log: EnvironmentLog,
    { path, decode }: { readonly path: string; readonly decode: (bytes: Uint8Array) => ReadLog<T> },
  ): Promise<ReadLog<T>> {
    const { kind } = log
    if ('leftOut' in log) return { kind: 'absent', why: `the record leaves it out: ${log.leftOut}` }
    const kept = this.#kept.get(kind)
    if (kept?.sha256 === log.sha256) return kept.read as ReadLog<T>
    const bytes = await this.#bytes(log)
    if (typeof bytes === 'string') return { kind: 'unreadable', why: bytes }
    const read = decode(bytes)
    this.#kept.set(kind, { sha256: log.sha256, read })
    if (read.kind === 'unreadable')
      this.#record.findings.add(kind === 'own' ? 'OWN_LOG' : 'LOG_UNREADABLE', path, `${kind}: ${read.why}`)
    return read
  }

  /** Its bytes, or why they do not count. */
  async #bytes({
    kind,
    lengthBytes,
    sha256,
  }: Extract<EnvironmentLog, { readonly sha256: string }>): Promise<Uint8Array | string> {
    const { entries, findings } = this.#record
    const name = logEntryName(sha256)
    const entry = entries.get(name)
    if (entry === undefined) return 'it is missing'
    const wrong = (why: string): string => {
      findings.add('LOG_DIGEST', name, `the ${kind} log ${why}`)
      return 'it is not the one that the environment names'
    }
    if (entry.lengthBytes !== lengthBytes)
      return wrong(`has ${entry.lengthBytes} bytes, the environment names one of ${lengthBytes}`)
    try {
      const bytes = await entry.bytes(LOG_BYTES_MAX)
      const digest = hex(this.#crypto.sha256(bytes))
      return digest === sha256 ? bytes : wrong(`has digest ${digest}`)
    } catch (error) {
      findings.addError(error, 'LOG_DIGEST', name)
      return (error as EvidenceError).message
    }
  }
}
