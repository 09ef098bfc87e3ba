import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { hex } from '../bytes/index.ts'
import type { Crypto } from '../crypto.ts'
import { pagesRoot } from '../merkle/index.ts'
import { useBlob, type BlobUses, type RecordDocument, type ZipEntry } from '../record/index.ts'
import { checkBlobs } from './blobs.ts'
import { Findings } from './findings.ts'
import type { OpenedRecord } from './open.ts'

const sha256 = (data: Uint8Array): Uint8Array => new Uint8Array(createHash('sha256').update(data).digest())
const crypto = {
  sha256,
  sha256Stream() {
    const hash = createHash('sha256')
    return { update: (bytes: Uint8Array) => void hash.update(bytes), digest: () => new Uint8Array(hash.digest()) }
  },
} as Crypto

const CONTENT = Uint8Array.from({ length: 3 * 4096 + 5 }, (_, i) => i % 251)
const DIGEST = hex(sha256(CONTENT))

/** A record whose outcome names the content, which comes in pieces of a length. */
async function found(pieceBytes: number, pages: string, more: { alsoOf?: number; content?: Uint8Array } = {}) {
  const { content = CONTENT } = more
  const pieces = function* () {
    for (let at = 0; at < content.length; at += pieceBytes) yield content.subarray(at, at + pieceBytes)
  }
  const entry = { lengthBytes: CONTENT.length, chunks: pieces } as unknown as ZipEntry
  const none = { lengthBytes: 0, sha256: hex(sha256(new Uint8Array())) }
  const outputs = [{ length: CONTENT.length, pages, path: 'a', sha256: DIGEST }]
  const document = {
    computation: { program: none, stdin: none, mounts: [] },
    outcome: { exit: { code: 0 }, outputs },
  } as unknown as RecordDocument
  const blobs: BlobUses = new Map()
  if (more.alsoOf !== undefined) useBlob(blobs, { lengthBytes: more.alsoOf, sha256: DIGEST }, { path: 'manifest' })
  const findings = new Findings()
  const blob = (sha: string): ZipEntry | undefined => (sha === DIGEST ? entry : undefined)
  const counts = await checkBlobs({ blob, findings, snapshots: { blobs } } as unknown as OpenedRecord, document, crypto)
  return { ...counts, wrong: findings.list().map(({ code, message }) => `${code} ${message}`) }
}

describe('an attached blob', () => {
  const pages = hex(pagesRoot(CONTENT, sha256))

  test.each([1, 7, 1000, 4095, 4096, 4097, 10_000, 1 << 20])(
    'has its page root in pieces of %d bytes',
    async (bytes) => {
      expect(await found(bytes, pages)).toEqual({ named: 2, attached: 1, wrong: [] })
      const other = await found(bytes, '5'.repeat(64))
      expect(other.wrong).toEqual(['BLOB its content has another page root than the outcome says'])
    },
  )

  test('is held to the length of a manifest as well, and looked at once where both say the same', async () => {
    const content = CONTENT.map((byte, i) => (i === 0 ? byte ^ 1 : byte))
    const other = 'BLOB its content has another digest than its name'
    expect((await found(1000, pages, { content, alsoOf: CONTENT.length })).wrong).toEqual([other])
    expect((await found(1000, pages, { content })).wrong).toEqual([other])
    expect((await found(1000, pages, { alsoOf: 7 })).wrong).toEqual([
      `BLOB it has ${CONTENT.length} bytes, the record says 7`,
    ])
  })
})
