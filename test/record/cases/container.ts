/** Records whose container or shape is wrong. */
import { crc32, utf8 } from '@reprise/core'
import { deflateRawSync } from 'node:zlib'
import { withCertificate } from './held.ts'
import { edit, entryOf, notARecord, refuted, type RecordCase } from './case.ts'

const CONTAINER = ['CONTAINER'] as const
const SCHEMA = ['SCHEMA'] as const
const END_BYTES = 22
const EXTRA_FIELD = [0xfe, 0xca, 0, 0]

function centralOffset(bytes: Uint8Array): number {
  return Buffer.from(bytes).readUInt32LE(bytes.length - 6)
}

/** Changes bytes in place, in a copy. */
function patch(change: (bytes: Buffer, central: number) => void): (bytes: Uint8Array) => Uint8Array {
  return (bytes) => {
    const copy = Buffer.from(bytes)
    change(copy, centralOffset(copy))
    return copy
  }
}

/** Puts bytes in at an offset; `moved` is how far the end record's offset of the central directory moves. */
function insert(
  where: (bytes: Uint8Array) => number,
  added: readonly number[],
  moved: number,
): (bytes: Uint8Array) => Uint8Array {
  return (bytes) => {
    const at = where(bytes)
    const copy = Buffer.concat([bytes.subarray(0, at), Uint8Array.from(added), bytes.subarray(at)])
    copy.writeUInt32LE(centralOffset(copy) + moved, copy.length - 6)
    return copy
  }
}

/** Replaces the first entry's compressed bytes by others that inflate to the same. */
function withFirstStream(change: (stream: Buffer) => Buffer, lengthBytes?: number): (bytes: Uint8Array) => Uint8Array {
  return (bytes) => {
    const buffer = Buffer.from(bytes)
    const dataAt = 30 + buffer.readUInt16LE(26)
    const oldBytes = buffer.readUInt32LE(18)
    const stream = change(buffer.subarray(dataAt, dataAt + oldBytes))
    const moved = stream.length - oldBytes
    const copy = Buffer.concat([buffer.subarray(0, dataAt), stream, buffer.subarray(dataAt + oldBytes)])
    copy.writeUInt32LE(centralOffset(copy) + moved, copy.length - 6)
    const central = centralOffset(copy)
    for (const at of [18, central + 20]) copy.writeUInt32LE(stream.length, at)
    if (lengthBytes !== undefined) for (const at of [22, central + 24]) copy.writeUInt32LE(lengthBytes, at)
    // All later entries moved.
    for (let at = central + 46 + copy.readUInt16LE(central + 28); at < copy.length - END_BYTES;) {
      copy.writeUInt32LE(copy.readUInt32LE(at + 42) + moved, at + 42)
      at += 46 + copy.readUInt16LE(at + 28)
    }
    return copy
  }
}

const BOMB_BYTES = 1 << 24

function bomb(): Buffer {
  return deflateRawSync(Buffer.alloc(BOMB_BYTES))
}

export const containerCases: readonly RecordCase[] = [
  notARecord('empty-file', 'A file of no bytes.', { bytes: () => new Uint8Array() }),
  notARecord('text-file', 'A file that is something else.', {
    bytes: () => utf8('This is a text about records, and no record.'.repeat(9)),
  }),
  notARecord('prefix', 'A byte before the first entry, as in a self-extracting archive.', {
    bytes: insert(() => 0, [0x7f], 1),
  }),
  refuted('cut', 'The last byte is missing.', CONTAINER, { bytes: (bytes) => bytes.subarray(0, -1) }),
  refuted('cut-in-half', 'A download that broke off.', CONTAINER, {
    bytes: (bytes) => bytes.subarray(0, bytes.length / 2),
  }),
  refuted('suffix', 'A byte after the end record.', CONTAINER, {
    bytes: (bytes) => Buffer.concat([bytes, Buffer.alloc(1)]),
  }),
  refuted('archive-comment', 'A comment, announced in the end record.', CONTAINER, {
    bytes(bytes) {
      const copy = Buffer.concat([bytes, utf8('hi')])
      copy.writeUInt16LE(2, bytes.length - 2)
      return copy
    },
  }),
  refuted('gap-before-directory', 'Bytes between the last entry and the central directory.', CONTAINER, {
    bytes: insert(centralOffset, [1, 2, 3], 3),
  }),
  refuted('gap-after-directory', 'Bytes between the central directory and the end record.', CONTAINER, {
    bytes: insert((bytes) => bytes.length - END_BYTES, [1, 2, 3], 0),
  }),
  refuted('encrypted-flag', 'An entry says that it is encrypted.', CONTAINER, {
    bytes: patch((bytes, central) => (bytes[6] = bytes[central + 8] = 1)),
  }),
  refuted('data-descriptor', 'Bit 3: the sizes would stand after the data.', CONTAINER, {
    bytes: patch((bytes, central) => (bytes[6] = bytes[central + 8] = 8)),
  }),
  refuted('timestamp', 'An entry carries a time: two containers of the same record would differ.', CONTAINER, {
    bytes: patch((bytes, central) => (bytes[10] = bytes[central + 12] = 1)),
  }),
  refuted('extra-field', 'An extra field in a central header, where another reader may find another name.', CONTAINER, {
    bytes(bytes) {
      const copy = Buffer.from(
        insert((all) => centralOffset(all) + 46 + 'ro-crate-metadata.json'.length, EXTRA_FIELD, 0)(bytes),
      )
      copy.writeUInt16LE(EXTRA_FIELD.length, centralOffset(copy) + 30)
      copy.writeUInt32LE(copy.readUInt32LE(copy.length - 10) + EXTRA_FIELD.length, copy.length - 10)
      return copy
    },
  }),
  refuted('symbolic-link', 'The external attributes make an entry a symbolic link.', CONTAINER, {
    bytes: patch((bytes, central) => bytes.writeUInt32LE(0xa1ff0000, central + 38)),
  }),
  refuted('local-name-differs', 'A local header names the entry other than the central directory.', CONTAINER, {
    bytes: patch((bytes) => {
      const at = bytes.indexOf('checkpoints.jsonl')
      bytes.write('checkpoints.JSONL', at)
    }),
  }),
  refuted('method-unknown', 'Compression method 9, Deflate64.', CONTAINER, {
    bytes: patch((bytes, central) => (bytes[8] = bytes[central + 10] = 9)),
  }),
  refuted('crc', 'Both headers agree on a CRC-32 that the content does not have.', CONTAINER, {
    bytes: patch((bytes, central) => (bytes[14] = bytes[central + 16] ^= 1)),
  }),
  refuted('stream-with-tail', 'The deflate stream of an entry ends before its compressed size says.', CONTAINER, {
    bytes: withFirstStream((stream) => Buffer.concat([stream, Buffer.from([0])])),
  }),
  refuted('bomb', 'An entry that inflates to far more than its header says.', CONTAINER, {
    bytes: withFirstStream(bomb),
  }),
  refuted('bomb-that-says-so', 'Metadata of 16 MiB of zeros, correct in itself.', ['CRATE'], {
    bytes(bytes) {
      const copy = Buffer.from(withFirstStream(bomb, BOMB_BYTES)(bytes))
      const crc = crc32(new Uint8Array(BOMB_BYTES))
      for (const at of [14, centralOffset(copy) + 16]) copy.writeUInt32LE(crc, at)
      return copy
    },
  }),
  refuted('duplicate-entry', 'Two entries named record.json: readers differ in which one they take.', CONTAINER, {
    entries: (entries) => void entries.splice(1, 0, { ...entries[1] }),
  }),
  refuted('unreferenced-entry', 'An entry that nothing refers to: nothing signs it.', SCHEMA, {
    entries: (entries) => void entries.push({ name: 'evidence/README', content: utf8('trust me') }),
  }),
  refuted('unreferenced-blob', 'A blob that the computation does not name.', SCHEMA, {
    entries: (entries) => void entries.push({ name: `blobs/sha256/${'f'.repeat(64)}`, content: utf8('x') }),
  }),
  refuted('path-outside', 'An entry that an unpacker would put outside.', SCHEMA, {
    entries: (entries) => void entries.push({ name: '../outside', content: utf8('x') }),
  }),
  refuted('entries-swapped', 'Checkpoints and snapshots in the wrong order.', SCHEMA, {
    entries: (entries) => void entries.splice(2, 2, entries[3], entries[2]),
  }),
  refuted('attestations-missing', 'No attestations.jsonl.', ['FIRST_UNSIGNED', 'SCHEMA', 'UNSIGNED_TAIL'], {
    entries: (entries) => void entries.splice(4, 1),
  }),
  refuted('snapshots-missing', 'No snapshots.jsonl, which is there even when it is empty.', SCHEMA, {
    entries: (entries) => void entries.splice(3, 1),
  }),
  refuted('key-missing', 'The attestation key is not there, so nothing that it signed can be checked.', SCHEMA, {
    entries: (entries) => void entries.splice(5, 1),
  }),
  refuted('record-missing', 'No record.json.', SCHEMA, { entries: (entries) => void entries.splice(1, 1) }),
  refuted('record-not-canonical', 'A blank in record.json.', SCHEMA, { entries: edit('record.json', ',', ', ') }),
  refuted(
    'duplicate-name',
    'A name twice in an object of record.json; readers differ in which one they take.',
    SCHEMA,
    {
      entries: edit('record.json', '"seed":"0"', '"seed":"0","seed":"0"'),
    },
  ),
  refuted('unknown-field', 'A field that nobody signs.', SCHEMA, {
    entries: edit(
      'record.json',
      '"schema":"reprise/record/v1"',
      '"note":"verified by us","schema":"reprise/record/v1"',
    ),
  }),
  refuted('host-unreferenced', 'A host that no attempt names.', SCHEMA, {
    signed: (signed) => void signed.document.hosts.push({ ak: 'evidence/ak-1.tpmt', certificates: [], ek: null }),
  }),
  refuted('path-with-dots', 'An input file at ../data.csv, signed by an honest TPM.', SCHEMA, {
    draft(draft) {
      const { source } = draft.computation.mounts[0]
      if (source.kind === 'files') source.files[0].path = '../data.csv'
    },
  }),
  refuted('checkpoints-without-line-feed', 'The last line of checkpoints.jsonl has no line feed.', SCHEMA, {
    entries: (entries) =>
      (entryOf(entries, 'checkpoints').content = entryOf(entries, 'checkpoints').content.subarray(0, -1)),
  }),
  refuted('checkpoint-upper-case', 'A digest in upper case: one value, two texts.', SCHEMA, {
    signed: ({ checkpoints }) => (checkpoints[1].state = checkpoints[1].state.toUpperCase()),
  }),
  refuted('crate-edited', 'The metadata for other tools tells another story than the record.', ['CRATE'], {
    entries: edit('ro-crate-metadata.json', 'Completed', 'Failed'),
  }),
  refuted('certificate-unnamed', 'An EK certificate is there and the environment names none.', SCHEMA, {
    draft: withCertificate,
    signed: ({ document }) => (document.attempts[0].environment.ekCertificate = null),
  }),
]
