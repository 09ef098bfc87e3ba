import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { EvidenceError } from '@reprise/core'
import { afterAll, describe, expect, test } from 'vitest'
import { RunnerError } from '../error.ts'
import { recordsIn, verifyFile, verifyFiles } from './index.ts'

const vectors = resolve(import.meta.dirname, '../../../../vectors/record')
const folder = mkdtempSync(join(tmpdir(), 'reprise-verify-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** Every third one for a commit. */
const EACH = process.env['REPRISE_TESTS'] === 'check' ? 3 : 1
const junk = join(folder, 'junk.reprise')
writeFileSync(junk, 'no record')
/** Enough to be worth three threads, what is no record, and one path that is not there. */
const paths = readdirSync(vectors)
  .filter((name, i) => name !== 'README.md' && i % EACH === 0)
  .map((name) => join(vectors, name, 'input.reprise'))
  .toSpliced(7, 0, join(folder, 'nothing.reprise'), junk)

type Policy = Parameters<typeof verifyFiles>[1]['policy']

async function* each(batches: ReturnType<typeof verifyFiles>) {
  for await (const verdicts of batches) yield* verdicts
}

async function answers(jobs: number, policy: Policy = {}): Promise<string[]> {
  const found: string[] = []
  for await (const verdict of each(verifyFiles(paths, { policy, jobs }))) {
    if (verdict.kind === 'verified') found.push(`${verdict.path} ${JSON.stringify(verdict.result)}`)
    else found.push(`${verdict.path} ${String(verdict.error)} ${(verdict.error as EvidenceError).hint}`)
  }
  return found
}

describe('verifyFiles', () => {
  test('answers the same, in the same order, in one thread and in three', async () => {
    const one = await answers(1)
    expect(one.map((each) => each.split(' ')[0])).toEqual(paths)
    expect(await answers(3)).toEqual(one)
  })

  test('answers as each record by itself is answered, to the order of what is found', async () => {
    for await (const verdict of each(verifyFiles(paths, { policy: {}, jobs: 1 }))) {
      if (verdict.kind === 'failed') continue
      expect(verdict.result).toEqual(await verifyFile(verdict.path, {}))
    }
  })

  test('hands the policy to its threads', async () => {
    const strict = await answers(2, { requireEnrolment: true })
    expect(strict).toEqual(await answers(1, { requireEnrolment: true }))
    expect(strict.filter((each) => each.includes('"evidence":"verified"'))).toEqual([])
  })

  test('keeps the class of what a thread could not answer', async () => {
    const errors: unknown[] = []
    for await (const verdict of each(verifyFiles(paths, { policy: {}, jobs: 2 })))
      if (verdict.kind === 'failed') errors.push(verdict.error)
    expect(errors.find((error) => error instanceof RunnerError)).toMatchObject({ code: 'INPUT_MISSING' })
    expect(errors.find((error) => error instanceof EvidenceError)).toMatchObject({ code: 'NOT_A_RECORD' })
  })

  test('ends its threads when nobody wants the rest', async () => {
    for await (const { path } of each(verifyFiles(paths, { policy: {}, jobs: 2 }))) {
      expect(path).toBe(paths[0])
      break
    }
    // Vitest waits for threads that are left.
  })
})

describe('recordsIn', () => {
  mkdirSync(join(folder, 'runs/deeper'), { recursive: true })
  mkdirSync(join(folder, 'runs/a.reprise'))
  for (const name of ['runs/b.reprise', 'runs/a.txt', 'runs/deeper/c.reprise'])
    cpSync(join(vectors, 'whole/input.reprise'), join(folder, name))
  writeFileSync(join(folder, 'named.txt'), '')

  test('takes files as they are named, and of folders the records, by their paths', async () => {
    const file = join(folder, 'named.txt')
    expect(await recordsIn([file, join(folder, 'runs'), join(folder, 'gone')])).toEqual([
      file,
      join(folder, 'runs/b.reprise'),
      join(folder, 'runs/deeper/c.reprise'),
      join(folder, 'gone'),
    ])
  })

  test('says which folder holds none', async () => {
    await expect(recordsIn([join(folder, 'runs/a.reprise')])).rejects.toMatchObject({
      code: 'INPUT_MISSING',
      message: expect.stringContaining('a.reprise holds no file') as string,
    })
  })
})
