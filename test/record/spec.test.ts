import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { crc32 } from 'node:zlib'
import {
  canonical,
  computationId,
  decodeCheckpointLine,
  decodeComputation,
  decodeManifestBytes,
  decodeSnapshotLine,
  decodeTpmsAttest,
  fromHex,
  hex,
  parseCanonical,
  snapshotChain,
  utf8,
} from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { secondAttempt } from './cases/resumed.ts'
import { nodeCrypto } from './node-crypto.ts'
import { blobRef, chainOf, draft, sign } from './sample.ts'
import { takeSnapshot } from './snapshot.ts'

const page = (name: string): string => readFileSync(join(resolve(import.meta.dirname, '../../spec'), name), 'utf8')

/** The indented block of a section, without its indentation and line breaks. */
function exampleIn(text: string, heading: string): string {
  const section = text.slice(text.indexOf(heading))
  const block = /(?:^ {4}.*\n)+/m.exec(section)?.[0] ?? expect.fail(`${heading} has no example`)
  return block.replace(/^ +/gm, '').replaceAll('\n', '')
}

describe('the specification', () => {
  const computationPage = page('computation.md')
  const measurementPage = page('measurement.md')
  const run = draft()

  test('gives a computation in canonical form, with its id', () => {
    const example = decodeComputation(parseCanonical(exampleIn(computationPage, '## 5 Example'), 10_000))
    expect(canonical(example)).toBe(canonical(run.computation))
    expect(computationPage).toContain(`computationId is \`${hex(computationId(example, nodeCrypto.sha256))}\``)
  })

  test('gives a checkpoint, its cumulative measurement and what is signed', () => {
    expect(decodeCheckpointLine(exampleIn(measurementPage, '## 7 Example'))).toEqual(run.checkpoints[4])
    expect(measurementPage).toContain(`\`C_4\` is \`${hex(chainOf(run)[4])}\``)
    const { attest, batch } = sign(run).attestations[2]
    expect(batch.seq).toBe('14')
    expect(measurementPage).toContain(`\`${hex(decodeTpmsAttest(fromHex(attest)).extraData)}\``)
    expect(measurementPage).toContain(run.run)
  })

  test('gives a snapshot, its manifest and S', () => {
    const resumable = draft()
    const { frames, manifest } = takeSnapshot(resumable, 1)
    const line = decodeSnapshotLine(exampleIn(measurementPage, 'The record `vectors/record/snapshots`'))
    expect(line).toEqual(resumable.snapshots[0])
    expect(measurementPage).toContain(`${frames.length} bytes \`${Buffer.from(frames).toString()}\``)
    const id = computationId(run.computation, nodeCrypto.sha256)
    expect(measurementPage).toContain(`\`${hex(snapshotChain(id, resumable, nodeCrypto.sha256).at(1))}\``)
    const bytes = utf8(exampleIn(page('record.md'), 'Example: the manifest'))
    expect(decodeManifestBytes(bytes)).toEqual(manifest)
    expect(blobRef(bytes).sha256).toBe(line.manifest)
  })

  test('gives the line of a journal that begins a second attempt', () => {
    const resumed = draft()
    secondAttempt(resumed, 0, 8)
    const text = canonical({
      attempt: resumed.attempts[1],
      host: { ak: hex(resumed.hosts[0].tpm.publicArea), certificates: [], ek: null },
      kind: 'attempt',
    })
    const line = `${crc32(text).toString(16).padStart(8, '0')} ${text}`
    expect(exampleIn(page('journal.md'), 'The line that began')).toBe(line)
  })
})
