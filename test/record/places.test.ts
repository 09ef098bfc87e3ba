import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { bytesSource, verifyRecord, type FindingCode } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { nodeCrypto } from './node-crypto.ts'

const folder = resolve(import.meta.dirname, '../../vectors/record')

/** Of a case: where each finding of the code is, and of those that could be meant by it, which one. */
const PLACES: readonly (readonly [name: string, code: FindingCode, ...places: readonly string[]])[] = [
  [
    'checkpoint-left-out_fail',
    'CHECKPOINT_ORDER',
    'checkpoints.jsonl:2 seq 2',
    'checkpoints.jsonl:3 seq 3',
    'checkpoints.jsonl:4 seq 4',
  ],
  ['checkpoints-swapped_fail', 'CHECKPOINT_ORDER', 'checkpoints.jsonl:2 seq 2', 'checkpoints.jsonl:3 seq 1'],
  ['first-not-at-zero_fail', 'CHECKPOINT_ORDER', 'checkpoints.jsonl:1 the first checkpoint'],
  ['grid-too-early_fail', 'CHECKPOINT_ORDER', 'checkpoints.jsonl:4 a grid checkpoint at position 1999, before 2000'],
  ['grid-under-none_fail', 'CHECKPOINT_ORDER', 'checkpoints.jsonl:2 a grid', 'checkpoints.jsonl:4 a grid'],
  ['position-back_fail', 'CHECKPOINT_ORDER', 'checkpoints.jsonl:3 position 900 after 1003'],
  ['two-ends_fail', 'CHECKPOINT_ORDER', 'checkpoints.jsonl:5 a checkpoint after the final one'],
  ['attempt-from-nowhere_fail', 'SNAPSHOT', 'record.json $.attempts[1].from attempt 2 goes on'],
  ['manifest-after-end_fail', 'SNAPSHOT', 'snapshots.jsonl:1 the manifest is of position 2000, ended'],
  ['manifest-of-other-frames_fail', 'SNAPSHOT', 'snapshots.jsonl:1 the manifest names other frames'],
  ['root-of-other-frames_fail', 'SNAPSHOT', 'snapshots.jsonl:1 state and frames'],
  ['snapshot-at-start_fail', 'SNAPSHOT', 'snapshots.jsonl:1 checkpoint 0 is neither'],
  ['snapshot-beyond-end_fail', 'SNAPSHOT', 'snapshots.jsonl:4 checkpoint 5 is not there'],
  ['snapshots-swapped_fail', 'SNAPSHOT', 'snapshots.jsonl:2 checkpoint 1 after checkpoint 3'],
  [
    'blob-length_fail',
    'BLOB',
    'blobs/sha256/585e17b1a3f82161f1a5520ee895015e1dc69a4aa4e9aa47582bed7fcee3d2d9 it has 1 bytes',
  ],
  [
    'blob-content_fail',
    'BLOB',
    'blobs/sha256/585e17b1a3f82161f1a5520ee895015e1dc69a4aa4e9aa47582bed7fcee3d2d9 its content has another digest',
  ],
  [
    'pages-lie_fail',
    'BLOB',
    'blobs/sha256/cc6f00cdb61ea2404e3d7316831f9ffa5c20ce4a7c62275db841993777509ef8 its content has another page root',
  ],
  ['attested-beyond-end_fail', 'ATTESTATION_ORDER', 'attestations.jsonl:3 checkpoint 4, which it covers, is not there'],
]

describe('a finding names its place', () => {
  test.each(PLACES)('%s: %s', async (name, code, ...places) => {
    const { findings } = await verifyRecord(bytesSource(readFileSync(join(folder, name, 'input.reprise'))), {
      crypto: nodeCrypto,
    })
    const found = findings.filter((each) => each.code === code).map(({ path, message }) => `${path} ${message}`)
    expect(found).toEqual(places.map((place) => expect.stringContaining(place) as string))
  })
})

test('files that are only named are counted, and nothing is said when all are there', async () => {
  const contentsOf = async (name: string): Promise<string | undefined> => {
    const bytes = readFileSync(join(folder, name, 'input.reprise'))
    const { notChecked } = await verifyRecord(bytesSource(bytes), { crypto: nodeCrypto })
    return notChecked.find(({ what }) => what === 'contents')?.why
  }
  expect(await contentsOf('whole')).toBeUndefined()
  expect(await contentsOf('nothing-attached')).toMatch(/^(\d+) of \1 files/)
})
