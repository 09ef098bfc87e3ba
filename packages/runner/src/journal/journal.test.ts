import { appendFile, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createJournal, openJournal, readJournal, type JournalEntry } from './index.ts'

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

  test('is gone on with after a crash, without its torn tail', async () => {
    const copy = join(folder, 'crashed')
    const whole = await readFile(path)
    for (const cut of [whole.length, whole.length - 1, whole.length - 30]) {
      await writeFile(copy, whole.subarray(0, cut))
      const kept = cut === whole.length ? entries : entries.slice(0, 2)
      const opened = await openJournal(copy)
      expect(opened.entries).toEqual(kept)
      opened.journal.append({ kind: 'end', reason: 'interrupted' })
      await opened.journal[Symbol.asyncDispose]()
      expect(await readJournal(copy)).toEqual({
        entries: [...kept, { kind: 'end', reason: 'interrupted' }],
        tornBytes: 0,
      })
    }
  })

  test('that is not there or damaged is not gone on with', async () => {
    await expect(openJournal(join(folder, 'none'))).rejects.toMatchObject({ code: 'INPUT_MISSING' })
    const copy = join(folder, 'damaged')
    const bytes = await readFile(path)
    bytes[20] ^= 1
    await writeFile(copy, bytes)
    await expect(openJournal(copy)).rejects.toMatchObject({ code: 'JOURNAL_DAMAGED' })
    expect(Buffer.compare(await readFile(copy), bytes)).toBe(0)
  })

  test('has one writer at a time, and is free again when that is done', async () => {
    const copy = join(folder, 'busy')
    await writeFile(copy, await readFile(path))
    {
      await using _first = (await openJournal(copy)).journal
      await expect(openJournal(copy)).rejects.toMatchObject({ code: 'RUN_BUSY' })
    }
    const again = await openJournal(copy)
    await again.journal[Symbol.asyncDispose]()
  })

  test('is never written over', async () => {
    await expect(createJournal(path)).rejects.toMatchObject({ code: 'JOURNAL_WRITE' })
    await truncate(path, 0)
    await expect(createJournal(path)).rejects.toMatchObject({ code: 'JOURNAL_WRITE' })
  })
})
