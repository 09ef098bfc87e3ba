import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import {
  canonical,
  computationId,
  decodeCheckpointLine,
  decodeComputation,
  decodeTpmsAttest,
  fromHex,
  hex,
  parseCanonical,
} from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { nodeCrypto } from './node-crypto.ts'
import { chainOf, draft, sign } from './sample.ts'

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
})
