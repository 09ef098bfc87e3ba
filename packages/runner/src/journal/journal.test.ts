import { appendFile, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createJournal, readJournal, type JournalEntry } from './index.ts'

let folder = ''
let path = ''
const entries: JournalEntry[] = [0, 1, 2].map((seq) => ({
  kind: 'checkpoint',
  checkpoint: { kind: 1, outputs: '00'.repeat(32), position: String(seq * 1000), seq, state: 'ab'.repeat(32) },
}))

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reprise-journal-'))
  path = join(folder, 'deep', 'journal')
  await using journal = await createJournal(path)
  for (const entry of entries) journal.append(entry)
})
afterAll(() => rm(folder, { recursive: true }))

describe('journal', () => {
  test('reads back what was appended', async () => {
    expect(await readJournal(path)).toEqual({ entries, tornBytes: 0 })
  })

  test('cut at any length, keeps every whole entry before the cut', async () => {
    const whole = await readFile(path)
    const copy = join(folder, 'cut')
    const ends = [...whole.keys()].filter((at) => whole[at] === 0x0a).map((at) => at + 1)
    for (let cut = 0; cut < whole.length; cut++) {
      await writeFile(copy, whole.subarray(0, cut))
      const read = await readJournal(copy)
      expect(read.entries.length).toBe(ends.filter((end) => end <= cut).length)
      expect(read.tornBytes).toBe(cut - (ends.filter((end) => end <= cut).at(-1) ?? 0))
    }
  })

  test('with a corrupt last line, leaves out that line alone', async () => {
    const copy = join(folder, 'tail')
    await writeFile(copy, await readFile(path))
    await appendFile(copy, '00000000 {"kind":"end","reason":"finished"}\n')
    const read = await readJournal(copy)
    expect(read.entries).toEqual(entries)
    expect(read.tornBytes).toBe(44)
  })

  test('with a corrupt line in the middle, is damaged and says which line', async () => {
    const copy = join(folder, 'middle')
    const bytes = await readFile(path)
    bytes[20] = bytes[20] ^ 1
    await writeFile(copy, bytes)
    await expect(readJournal(copy)).rejects.toMatchObject({ code: 'JOURNAL_DAMAGED', data: { line: 1 } })
  })

  test('is never written over', async () => {
    await expect(createJournal(path)).rejects.toMatchObject({ code: 'JOURNAL_WRITE' })
    await truncate(path, 0)
    await expect(createJournal(path)).rejects.toMatchObject({ code: 'JOURNAL_WRITE' })
  })
})
