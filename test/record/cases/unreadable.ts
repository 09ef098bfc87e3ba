/** Records with one entry whose content is not what its CRC-32 says: whoever reads it must say so, wherever that is. */
import { hex, utf8 } from '@reprise/core'
import { HONEST, measured } from '../measured-host.ts'
import { nodeCrypto } from '../node-crypto.ts'
import type { Draft } from '../sample.ts'
import { END_FRAMES, takeSnapshot } from '../snapshot.ts'
import { refuted, type RecordCase } from './case.ts'
import { withCertificate } from './held.ts'

/** Changes the CRC-32 of an entry in both of its headers. */
export function withWrongCrc(prefix: string): (bytes: Uint8Array) => Uint8Array {
  return (bytes) => {
    const copy = Buffer.from(bytes)
    const end = copy.length - 22
    for (let at = copy.readUInt32LE(end + 16); at < end; at += 46 + copy.readUInt16LE(at + 28)) {
      const name = copy.toString('utf8', at + 46, at + 46 + copy.readUInt16LE(at + 28))
      if (!name.startsWith(prefix)) continue
      copy[at + 16] ^= 1
      copy[copy.readUInt32LE(at + 42) + 14] ^= 1
      return copy
    }
    throw new Error(`the sample has no entry ${prefix}`)
  }
}

function wrong(what: string, prefix: string, draft: (draft: Draft) => void = () => undefined): RecordCase {
  return refuted(`crc-of-${what}`, `The entry ${prefix} has another CRC-32 than its headers say.`, ['CONTAINER'], {
    draft,
    bytes: withWrongCrc(prefix),
  })
}

const blobOf = (content: Uint8Array): string => `blobs/sha256/${hex(nodeCrypto.sha256(content))}`

export const unreadableCases: readonly RecordCase[] = [
  wrong('document', 'record.json'),
  wrong('checkpoints', 'checkpoints.jsonl'),
  wrong('snapshots', 'snapshots.jsonl', (draft) => void takeSnapshot(draft, 1)),
  wrong('attestations', 'attestations.jsonl'),
  wrong('key', 'evidence/ak-0.tpmt'),
  wrong('certificate', 'evidence/ek-0.der', withCertificate),
  wrong('log', 'evidence/log-', (draft) => measured(draft, { boot: HONEST })),
  wrong('blob', blobOf(utf8('x,y\n1,2\n'))),
  wrong('frames', blobOf(END_FRAMES), (draft) => void takeSnapshot(draft, 4)),
]
