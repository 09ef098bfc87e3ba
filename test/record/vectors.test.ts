import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import {
  bytesSource,
  canonical,
  computationId as computationIdOf,
  decodeComputation,
  hex,
  verifyRecord,
  type VerifyResult,
} from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { ANSWERS_FILE, answerTo, differingFrom, FIRST_ANSWER, toldIn, type Answer, type Told } from './answers.ts'
import { recordCases } from './cases/index.ts'
import { nodeCrypto } from './node-crypto.ts'
import type { Beside } from './reader.ts'

const folder = resolve(import.meta.dirname, '../../vectors/record')

function inFolder(name: string): Beside {
  return (file) => {
    const path = join(folder, name, file)
    return existsSync(path) ? readFileSync(path) : undefined
  }
}

interface Expected extends Partial<Omit<VerifyResult, 'findings'>> {
  readonly error?: string
  readonly codes?: readonly string[]
}

/** What a vector says is expected. */
function expectedIn(answer: Answer): Expected {
  if ('error' in answer) return answer
  const { findings, ...result } = answer
  // Nearly every sample enrolled itself, and says so.
  const told = findings.filter(({ code, severity }) => code !== 'SELF_ENROLLED' || severity !== 'warns')
  return { ...result, codes: [...new Set(told.map(({ code }) => code))].sort() }
}

describe('verifyRecord', () => {
  const names = readdirSync(folder)
    .filter((name) => name !== 'README.md')
    .sort()

  test('has a vector for every case', () => {
    expect(names).toEqual(recordCases.map(({ name }) => name).sort())
  })

  const answers = new Map(
    readFileSync(ANSWERS_FILE, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => {
        const { name, ...told } = JSON.parse(line) as Told & { readonly name: string }
        return [name, told] as const
      }),
  )

  test.each(names)('answers as it should to %s', async (name) => {
    const expected = JSON.parse(readFileSync(join(folder, name, 'expected.json'), 'utf8')) as Expected
    const answer = await answerTo(readFileSync(join(folder, name, 'input.reprise')), inFolder(name))
    expect(expectedIn(answer)).toMatchObject(expected)
    const first = name === FIRST_ANSWER ? {} : (answers.get(FIRST_ANSWER) ?? {})
    expect(differingFrom(first, toldIn(answer))).toEqual(answers.get(name))
  })

  const forCommit = recordCases.filter((_, i) => i % 4 === 0)
  const made = process.env['REPRISE_TESTS'] === 'check' ? forCommit : recordCases
  // The compressed bytes belong to a version of zlib; what they say does not.
  test.each(made)('$name is made the same again', async ({ make, name, beside = {} }) => {
    const kept = await answerTo(readFileSync(join(folder, name, 'input.reprise')), inFolder(name))
    expect(expectedIn(await answerTo(await make(), (file) => beside[file]))).toEqual(expectedIn(kept))
  })
})

test('the examples of the specifications are those of vectors/record/whole', async () => {
  const spec = (name: string): string => readFileSync(join(folder, '../../spec', name), 'utf8')
  const { computationId, cumulative } = await verifyRecord(
    bytesSource(readFileSync(join(folder, 'whole', 'input.reprise'))),
    { crypto: nodeCrypto },
  )
  const text = exampleOf(spec('computation.md'), '## 5 Example')
  const example: unknown = JSON.parse(text)
  expect(canonical(example)).toBe(text)
  expect(hex(computationIdOf(decodeComputation(example), nodeCrypto.sha256))).toBe(computationId)
  expect(spec('computation.md')).toContain(computationId)
  expect(spec('measurement.md')).toContain(cumulative)
})

test('the example of a warm start is that of vectors/record/warm-start', async () => {
  const { document } = await verifyRecord(bytesSource(readFileSync(join(folder, 'warm-start', 'input.reprise'))), {
    crypto: nodeCrypto,
  })
  const page = readFileSync(join(folder, '../../spec', 'computation.md'), 'utf8')
  expect(exampleOf(page, '## 6 Warm starts')).toBe(canonical(document?.computation.start))
})

test('the example of host rules is that of vectors/record/host-changed-recorded', async () => {
  const { document } = await verifyRecord(
    bytesSource(readFileSync(join(folder, 'host-changed-recorded', 'input.reprise'))),
    { crypto: nodeCrypto },
  )
  const page = readFileSync(join(folder, '../../spec', 'computation.md'), 'utf8')
  expect(exampleOf(page, '## 7 Host rules')).toContain(canonical(document?.computation.host))
})

/** The indented lines of a section, joined. */
function exampleOf(page: string, heading: string): string {
  const section = page.split(heading)[1].split('\n## ')[0]
  return (section.match(/^ {4}.*$/gm) ?? []).map((line) => line.trim()).join('')
}
