/** Opens a record: container, schema, names and crate. Format: spec/record.md §1, §2, §5. */
import { equal, fromUtf8, utf8 } from '../bytes/index.ts'
import { parseCanonicalBytes } from '../canon/index.ts'
import { EvidenceError } from '../error.ts'
import {
  attestationLineDecoder,
  ATTESTATIONS_BYTES_MAX,
  ATTESTATIONS_ENTRY,
  blobEntryName,
  blobsOf,
  CHECKPOINTS_BYTES_MAX,
  CHECKPOINTS_ENTRY,
  CRATE_BYTES_MAX,
  CRATE_ENTRY,
  crateOf,
  decodeCheckpointLine,
  decodeRecordDocument,
  EVIDENCE_BYTES_MAX,
  evidenceEntryNames,
  openZip,
  readLines,
  RECORD_ENTRY,
  RECORD_JSON_BYTES_MAX,
  requiredEntryNames,
  SNAPSHOTS_BYTES_MAX,
  SNAPSHOTS_ENTRY,
  type Attestation,
  type Checkpoint,
  type RecordDocument,
  type ZipEntry,
  type ZipSource,
} from '../record/index.ts'
import { Findings } from './findings.ts'
import { NO_SNAPSHOTS, openSnapshots, type OpenedSnapshots } from './open-snapshots.ts'

export interface OpenedRecord {
  /** Undefined when record.json could not be read or is not exactly as it should be. */
  readonly document: RecordDocument | undefined
  readonly entries: ReadonlyMap<string, ZipEntry>
  /** In pieces of many lines. The loops throw {@link EvidenceError} at the first line that is wrong. */
  readonly checkpoints: () => AsyncIterable<readonly Checkpoint[]>
  readonly attestations: () => AsyncIterable<readonly Attestation[]>
  readonly snapshots: OpenedSnapshots
  /** An attached blob, not yet checked against its digest. */
  readonly blob: (sha256: string) => ZipEntry | undefined
  /** `CONTAINER`, `SCHEMA` and `CRATE`; what reading the other entries would find is not among them. */
  readonly findings: Findings
}

/**
 * @throws {@link EvidenceError} `NOT_A_RECORD` for a file that does not begin as a record does. Anything else that is
 *   wrong is a finding.
 */
export async function openRecord(source: ZipSource): Promise<OpenedRecord> {
  await checkBeginning(source)
  const findings = new Findings()
  const list = await zipEntries(source, findings)
  const entries = new Map(list.map((entry) => [entry.name, entry]))
  const document = await readDocument(entries, findings)
  let snapshots = NO_SNAPSHOTS
  if (document !== undefined) {
    dropTooLarge(entries, document, findings)
    snapshots = await openSnapshots(entries, findings)
    checkNames(list, { document, snapshots, findings })
    await checkCrate(entries, document, findings)
  }
  return {
    document,
    entries,
    checkpoints: () => decodedLines(entries.get(CHECKPOINTS_ENTRY), decodeCheckpointLine),
    attestations: () => decodedLines(entries.get(ATTESTATIONS_ENTRY), attestationLineDecoder()),
    snapshots,
    blob: (sha256) => entries.get(blobEntryName(sha256)),
    findings,
  }
}

const SIGNATURE_BYTES = utf8('PK\x03\x04')
const NAME_OFFSET = 30

/** A record begins with the local header of its first entry: a cut or damaged one still does. */
async function checkBeginning(source: ZipSource): Promise<void> {
  const name = utf8(CRATE_ENTRY)
  const isLongEnough = source.lengthBytes >= NAME_OFFSET + name.length
  const bytes = isLongEnough ? await source.read(0, NAME_OFFSET + name.length) : new Uint8Array()
  if (equal(bytes.subarray(0, SIGNATURE_BYTES.length), SIGNATURE_BYTES) && equal(bytes.subarray(NAME_OFFSET), name))
    return
  throw new EvidenceError('NOT_A_RECORD', {
    message: 'this file is no Reprise record',
    hint: 'a record is a file that reprise run -o FILE wrote',
  })
}

async function zipEntries(source: ZipSource, findings: Findings): Promise<readonly ZipEntry[]> {
  try {
    return await openZip(source)
  } catch (error) {
    findings.addError(error, 'CONTAINER', '')
    return []
  }
}

async function readDocument(
  entries: ReadonlyMap<string, ZipEntry>,
  findings: Findings,
): Promise<RecordDocument | undefined> {
  const entry = entries.get(RECORD_ENTRY)
  if (entry === undefined) {
    // Without a container there is nothing to miss an entry in.
    if (entries.size > 0) findings.add('SCHEMA', RECORD_ENTRY, `${RECORD_ENTRY} is missing`)
    return undefined
  }
  try {
    const bytes = await entry.bytes(RECORD_JSON_BYTES_MAX)
    return decodeRecordDocument(parseCanonicalBytes(bytes, RECORD_JSON_BYTES_MAX, RECORD_ENTRY))
  } catch (error) {
    findings.addError(error, 'SCHEMA', RECORD_ENTRY)
    return undefined
  }
}

/** Exactly the entries that must be there, in their order, then attached blobs, sorted. */
function checkNames(
  list: readonly ZipEntry[],
  {
    document,
    snapshots,
    findings,
  }: { readonly document: RecordDocument; readonly snapshots: OpenedSnapshots; readonly findings: Findings },
): void {
  const required = requiredEntryNames(document)
  const names = list.map((entry) => entry.name)
  const present = new Set(names)
  for (const name of required) if (!present.has(name)) findings.add('SCHEMA', name, `${name} is missing`)
  const blobs = [...new Set([...blobsOf(document).keys(), ...snapshots.blobs.keys()])].map(blobEntryName).sort()
  const known = new Set([...required, ...blobs])
  for (const name of names) {
    if (!known.has(name)) findings.add('SCHEMA', name, `${name} is nothing that the record refers to`)
  }
  const ordered = [...required, ...blobs].filter((name) => present.has(name))
  const misplaced = names.filter((name) => known.has(name)).find((name, i) => name !== ordered[i])
  if (misplaced !== undefined) findings.add('SCHEMA', misplaced, `${misplaced} does not stand where it should`)
}

/** What is too large is not read at all. */
function dropTooLarge(entries: Map<string, ZipEntry>, document: RecordDocument, findings: Findings): void {
  const limits: [string, number][] = [
    [CRATE_ENTRY, CRATE_BYTES_MAX],
    [CHECKPOINTS_ENTRY, CHECKPOINTS_BYTES_MAX],
    [SNAPSHOTS_ENTRY, SNAPSHOTS_BYTES_MAX],
    [ATTESTATIONS_ENTRY, ATTESTATIONS_BYTES_MAX],
    ...evidenceEntryNames(document).map((name): [string, number] => [name, EVIDENCE_BYTES_MAX]),
  ]
  for (const [name, lengthBytesMax] of limits) {
    const lengthBytes = entries.get(name)?.lengthBytes ?? 0
    if (lengthBytes <= lengthBytesMax) continue
    findings.add('SCHEMA', name, `${name} of ${lengthBytes} bytes; at most ${lengthBytesMax} are allowed`)
    entries.delete(name)
  }
}

async function checkCrate(
  entries: ReadonlyMap<string, ZipEntry>,
  document: RecordDocument,
  findings: Findings,
): Promise<void> {
  const entry = entries.get(CRATE_ENTRY)
  if (entry === undefined) return
  try {
    if (textOf(await entry.bytes(CRATE_BYTES_MAX)) === crateOf(document)) return
    findings.add('CRATE', CRATE_ENTRY, `${CRATE_ENTRY} is not what ${RECORD_ENTRY} gives`)
  } catch (error) {
    findings.addError(error, 'CRATE', CRATE_ENTRY)
  }
}

/** Undefined when it is not UTF-8; two that are the same text are the same bytes. */
function textOf(bytes: Uint8Array): string | undefined {
  try {
    return fromUtf8(bytes)
  } catch {
    return undefined
  }
}

async function* decodedLines<T>(
  entry: ZipEntry | undefined,
  decode: (line: string, path: string) => T,
): AsyncGenerator<readonly T[]> {
  if (entry === undefined) return
  let number = 0
  for await (const lines of readLines(entry.chunks(), entry.name)) {
    yield lines.map((line) => decode(line, `${entry.name}:${++number} $`))
  }
}
