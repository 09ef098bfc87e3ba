/** Packs what tests signed: exactly as it is, even where `assembleRecord` would refuse it. */
import {
  ATTESTATIONS_ENTRY,
  blobEntryName,
  canonical,
  CHECKPOINTS_ENTRY,
  CRATE_ENTRY,
  crateOf,
  encodeLine,
  RECORD_ENTRY,
  SNAPSHOTS_ENTRY,
  utf8,
  writeZip,
  type ZipInput,
} from '@reprise/core'
import { collected, type Signed } from './sample.ts'

export interface Entry {
  name: string
  content: Uint8Array
}

export function entriesOf(signed: Signed): Entry[] {
  const lines = (items: readonly Parameters<typeof encodeLine>[0][]): Uint8Array => utf8(items.map(encodeLine).join(''))
  const sorted = (a: Entry, b: Entry): number => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name))
  return [
    { name: CRATE_ENTRY, content: utf8(crateOf(signed.document)) },
    { name: RECORD_ENTRY, content: utf8(canonical(signed.document)) },
    { name: CHECKPOINTS_ENTRY, content: lines(signed.checkpoints) },
    { name: SNAPSHOTS_ENTRY, content: lines(signed.snapshots) },
    { name: ATTESTATIONS_ENTRY, content: lines(signed.attestations) },
    ...[...signed.evidence].map(([name, content]) => ({ name, content })).sort(sorted),
    ...signed.blobs.map(({ sha256, bytes }) => ({ name: blobEntryName(sha256), content: bytes })).sort(sorted),
  ]
}

export function pack(entries: readonly Entry[]): Promise<Uint8Array> {
  return collected(
    writeZip(
      entries.map(({ name, content }): ZipInput => ({
        name,
        method: /json/.test(name) ? 'deflated' : 'smaller',
        open: () => [content],
      })),
    ),
  )
}

export function packed(signed: Signed): Promise<Uint8Array> {
  return pack(entriesOf(signed))
}
