/** Decodes the lines of checkpoints.jsonl, snapshots.jsonl and attestations.jsonl, exactly. Format: spec/record.md §3, §4. */
import { fromUtf8 } from '../bytes/index.ts'
import { canonical, parseCanonical } from '../canon/index.ts'
import { EvidenceError } from '../error.ts'
import { decodeLength } from './computation.ts'
import * as limits from './limits.ts'
import { decimal, digest, fields, hexBytes, integer, isObject, list, wrong } from './shape.ts'
import { decodeBootStatement, decodeCounterStatement } from './statements.ts'
import type { Attestation, Checkpoint, CheckpointKind, Snapshot } from './types.ts'

/** @throws {@link EvidenceError} `STRUCTURE`, with the path of what is wrong. */
export function decodeCheckpoint(value: unknown, path = '$'): Checkpoint {
  const checkpoint = fields(value, path, ['kind', 'outputs', 'position', 'seq', 'state'])
  return {
    kind: integer(checkpoint.kind, `${path}.kind`, { min: 1, max: 3 }) as CheckpointKind,
    outputs: digest(checkpoint.outputs, `${path}.outputs`),
    position: decimal(checkpoint.position, `${path}.position`),
    seq: decodeLength(checkpoint.seq, `${path}.seq`),
    state: digest(checkpoint.state, `${path}.state`),
  }
}

const CHECKPOINT_LINE =
  /^\{"kind":([123]),"outputs":"([0-9a-f]{64})","position":"(0|[1-9][0-9]{0,18})","seq":(0|[1-9][0-9]{0,14}),"state":"([0-9a-f]{64})"\}$/

/**
 * @param line - Without its line feed.
 * @throws {@link EvidenceError} `STRUCTURE` or `LIMIT`, with the path of what is wrong.
 */
export function decodeCheckpointLine(line: string, path = '$'): Checkpoint {
  // A hundred thousand lines come this way. What the expression takes is canonical and in range by
  // its very form; the rest, rare or wrong, takes the long way.
  const match = CHECKPOINT_LINE.exec(line)
  if (match === null) return decodeCheckpoint(parseCanonical(line, limits.LINE_BYTES_MAX, path), path)
  return {
    kind: Number(match[1]) as CheckpointKind,
    outputs: match[2],
    position: match[3],
    seq: Number(match[4]),
    state: match[5],
  }
}

/** @throws {@link EvidenceError} `STRUCTURE`, with the path of what is wrong. */
export function decodeSnapshot(value: unknown, path = '$'): Snapshot {
  const snapshot = fields(value, path, ['frames', 'manifest', 'root', 'seq'])
  return {
    frames: digest(snapshot.frames, `${path}.frames`),
    manifest: digest(snapshot.manifest, `${path}.manifest`),
    root: digest(snapshot.root, `${path}.root`),
    seq: decodeLength(snapshot.seq, `${path}.seq`),
  }
}

/** @param line - Without its line feed. */
export function decodeSnapshotLine(line: string, path = '$'): Snapshot {
  return decodeSnapshot(parseCanonical(line, limits.LINE_BYTES_MAX, path), path)
}

/** @throws {@link EvidenceError} `STRUCTURE` or `LIMIT`, with the path of what is wrong. */
export function decodeAttestation(value: unknown, path = '$'): Attestation {
  const joined = (['boot', 'counter'] as const).filter((name) => isObject(value) && Object.hasOwn(value, name))
  const names = ['attempt', 'attest', 'batch', 'pcrs', 'seq', 'signature'] as const
  const attestation = fields(value, path, [...names, ...joined])
  const batch = fields(attestation.batch, `${path}.batch`, ['count', 'index', 'path', 'seq'])
  const count = integer(batch.count, `${path}.batch.count`, { min: 1, max: limits.BATCH_COUNT_MAX })
  return {
    attempt: integer(attestation.attempt, `${path}.attempt`, { min: 1, max: limits.ATTEMPTS_MAX }),
    attest: hexBytes(attestation.attest, `${path}.attest`),
    batch: {
      count,
      index: integer(batch.index, `${path}.batch.index`, { min: 0, max: count - 1 }),
      path: list(batch.path, `${path}.batch.path`, limits.BATCH_PATH_MAX, digest),
      seq: decimal(batch.seq, `${path}.batch.seq`),
    },
    pcrs: decodePcrs(attestation.pcrs, `${path}.pcrs`),
    seq: decodeLength(attestation.seq, `${path}.seq`),
    signature: hexBytes(attestation.signature, `${path}.signature`),
    ...(joined.includes('boot') && { boot: decodeBootStatement(attestation.boot, `${path}.boot`) }),
    ...(joined.includes('counter') && { counter: decodeCounterStatement(attestation.counter, `${path}.counter`) }),
  }
}

const ATTESTATION_LINE =
  /^\{"attempt":([1-9][0-9]{0,2}),"attest":"([0-9a-f]+)","batch":\{"count":1,"index":0,"path":\[\],"seq":"(0|[1-9][0-9]{0,18})"\},"pcrs":(\{"sha256":\{[^{}]*\}\}),"seq":(0|[1-9][0-9]{0,14}),"signature":"([0-9a-f]+)"\}$/

/**
 * Decodes the lines of one record, in their order.
 *
 * @returns Takes a line without its line feed; throws {@link EvidenceError} `STRUCTURE` or `LIMIT`, with the path of what is wrong.
 *   Registers that did not change are the same object as before.
 */
export function attestationLineDecoder(): (line: string, path?: string) => Attestation {
  let known: { readonly text: string; readonly pcrs: Attestation['pcrs'] } | undefined
  return (line, path = '$') => {
    // As with checkpoints: what the expression takes, a batch of one, is canonical but for its registers.
    const match = ATTESTATION_LINE.exec(line)
    const isWhole = match !== null && match[2].length % 2 === 0 && match[6].length % 2 === 0
    if (!isWhole || line.length > limits.LINE_BYTES_MAX)
      return decodeAttestation(parseCanonical(line, limits.LINE_BYTES_MAX, path), path)
    if (known?.text !== match[4]) {
      const pcrs = decodePcrs(parseCanonical(match[4], limits.LINE_BYTES_MAX, path), `${path}.pcrs`)
      known = { text: match[4], pcrs }
    }
    return {
      attempt: Number(match[1]),
      attest: match[2],
      batch: { count: 1, index: 0, path: [], seq: match[3] },
      pcrs: known.pcrs,
      seq: Number(match[5]),
      signature: match[6],
    }
  }
}

function decodePcrs(value: unknown, path: string): Attestation['pcrs'] {
  return { sha256: decodeBank(fields(value, path, ['sha256']).sha256, `${path}.sha256`) }
}

function decodeBank(value: unknown, path: string): Readonly<Record<string, string>> {
  if (!isObject(value)) throw wrong(path, 'is not an object')
  for (const [name, each] of Object.entries(value)) {
    if (!/^(0|[1-9]|[12][0-9]|3[01])$/.test(name))
      throw wrong(`${path}.${name.slice(0, 64)}`, 'is not a PCR from 0 to 31')
    digest(each, `${path}.${name}`)
  }
  return value as Readonly<Record<string, string>>
}

/** The line of a checkpoint, a snapshot or an attestation, with its line feed. */
export function encodeLine(value: Checkpoint | Snapshot | Attestation): string {
  return `${canonical(value)}\n`
}

const LINE_FEED = 0x0a

/**
 * Splits text that comes in pieces into its lines, many at a time.
 *
 * @throws {@link EvidenceError} `STRUCTURE` when it is not UTF-8 or its last line has no line feed,
 *   `LIMIT` for a line above {@link limits.LINE_BYTES_MAX}.
 */
export async function* readLines(chunks: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<readonly string[]> {
  let decoder: TextDecoder | undefined
  let rest = ''
  const decode = (chunk?: Uint8Array): string => {
    try {
      if (chunk === undefined) return decoder?.decode() ?? ''
      // No character goes on after it: of a small record that is all, and a decoder that keeps its place takes longer.
      if (decoder === undefined && chunk.at(-1) === LINE_FEED) return fromUtf8(chunk)
      decoder ??= new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
      return decoder.decode(chunk, { stream: true })
    } catch (cause) {
      throw new EvidenceError('STRUCTURE', { message: `${name} is not UTF-8`, cause })
    }
  }
  for await (const chunk of chunks) {
    const lines = (rest + decode(chunk)).split('\n')
    rest = lines.pop() as string
    if (rest.length > limits.LINE_BYTES_MAX)
      throw new EvidenceError('LIMIT', { message: `${name} has a line of more than ${limits.LINE_BYTES_MAX} bytes` })
    if (lines.length > 0) yield lines
  }
  if (rest + decode() !== '') throw new EvidenceError('STRUCTURE', { message: `${name} does not end with a line feed` })
}
