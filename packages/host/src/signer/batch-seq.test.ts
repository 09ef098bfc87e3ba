import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { BatchSeq } from './batch-seq.ts'

const folder = await mkdtemp(join(tmpdir(), 'reprise-seq-'))
afterAll(() => rm(folder, { recursive: true, force: true }))

describe('BatchSeq', () => {
  test('never gives a number twice, however often it is opened without being closed', async () => {
    const path = join(folder, 'crashes')
    await BatchSeq.create(path)
    const given: bigint[] = []
    for (const take of [3, 0, 1030, 1]) {
      const counter = await BatchSeq.open(path)
      for (let i = 0; i < take; i++) given.push(await counter.next())
    }
    expect(new Set(given).size).toBe(1034)
    expect(given).toEqual(given.toSorted((a, b) => Number(a - b)))
  })

  test('has reserved on disk what it gives', async () => {
    const path = join(folder, 'reserved')
    await BatchSeq.create(path)
    const counter = await BatchSeq.open(path)
    const next = await counter.next()
    expect(BigInt((await readFile(path, 'utf8')).trim())).toBeGreaterThan(next)
  })

  test('does not begin anew when its file is there', async () => {
    const path = join(folder, 'again')
    await writeFile(path, '77\n')
    await BatchSeq.create(path)
    expect(await (await BatchSeq.open(path)).next()).toBe(77n)
  })

  test.each(['', '1', '-1\n', '01\n', '1\n2\n', '9'.repeat(20) + '\n'])('refuses a file of %j', async (content) => {
    const path = join(folder, 'damaged')
    await writeFile(path, content)
    await expect(BatchSeq.open(path)).rejects.toMatchObject({ code: 'IDENTITY_DAMAGED' })
  })

  test('refuses a missing file', async () => {
    await expect(BatchSeq.open(join(folder, 'missing'))).rejects.toMatchObject({ code: 'IDENTITY_DAMAGED' })
  })
})
