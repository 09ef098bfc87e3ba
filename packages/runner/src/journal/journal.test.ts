import { appendFile, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createJournal, lineOf, openJournal, peekJournal, readRun, type JournalEntry } from './index.ts'
import { scanJournal } from './scan.ts'
import { checkpointEntry, startEntry } from './testing.ts'

let folder = ''
let path = ''
const entries: JournalEntry[] = [startEntry, ...[0, 1, 2].map((seq) => checkpointEntry(seq))]

/** What stands in a journal, and how much of it is torn off. */
async function readJournal(journal: string): Promise<{ entries: JournalEntry[]; tornBytes: number }> {
  const found: JournalEntry[] = []
  const { tornBytes } = await scanJournal(journal, (entry) => void found.push(entry))
  return { entries: found, tornBytes }
}

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
    // For a commit: at some, and around the ends of lines.
    const some = process.env['REPRISE_TESTS'] === 'check' ? 11 : 1
    for (let cut = 0; cut < whole.length; cut++) {
      if (cut % some > 0 && !ends.some((end) => Math.abs(end - cut) <= 1)) continue
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

  test('of nothing whole has no run', async () => {
    const copy = join(folder, 'hardly')
    for (const content of ['', '0', '00000000 {}\n']) {
      await writeFile(copy, content)
      expect(await readRun(copy)).toEqual({ run: undefined, tornBytes: content.length })
    }
  })

  test('with a line longer than any entry is damaged or torn, and takes no memory for it', async () => {
    const copy = join(folder, 'long')
    const whole = await readFile(path)
    await writeFile(copy, whole)
    const long = Buffer.alloc(40 << 20, 'x')
    await appendFile(copy, long)
    expect(await readJournal(copy)).toEqual({ entries, tornBytes: long.length })
    await appendFile(copy, '\n')
    expect(await readJournal(copy)).toEqual({ entries, tornBytes: long.length + 1 })
    await appendFile(copy, whole.subarray(whole.lastIndexOf(0x0a, whole.length - 2) + 1))
    await expect(readJournal(copy)).rejects.toMatchObject({ code: 'JOURNAL_DAMAGED', data: { line: 5 } })
  })

  test('whose lines lie across the pieces in which it is read, reads the same', async () => {
    const copy = join(folder, 'pieces')
    const many = [startEntry, ...Array.from({ length: 12_000 }, (_, seq) => checkpointEntry(seq))]
    await writeFile(copy, many.map(lineOf).join(''))
    expect(await readJournal(copy)).toEqual({ entries: many, tornBytes: 0 })
    const { run } = await readRun(copy)
    const seqs: number[] = []
    for await (const batch of run?.checkpoints(4000, 8200) ?? []) seqs.push(...batch.map(({ seq }) => seq))
    expect(seqs).toEqual(Array.from({ length: 4201 }, (_, i) => 4000 + i))
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
      const kept = cut === whole.length ? entries : entries.slice(0, -1)
      const opened = await openJournal(copy)
      expect(opened.run?.checkpointCount).toBe(kept.length - 1)
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

  test('that was read before it was locked is read again only when somebody wrote meanwhile', async () => {
    const copy = join(folder, 'peeked')
    await writeFile(copy, (await readFile(path)).subarray(0, -1))
    const peeking = peekJournal(copy)
    const same = await openJournal(copy, peeking)
    expect(same.run).toBe((await peeking).run)
    expect((await readJournal(copy)).tornBytes).toBe(0)
    // The tail was cut off: what was peeked at stands no more.
    await same.journal[Symbol.asyncDispose]()
    const cut = await openJournal(copy, peeking)
    expect(cut.run).not.toBe((await peeking).run)
    cut.journal.append({ kind: 'end', reason: 'interrupted' })
    const later = peekJournal(copy)
    await later
    await cut.journal[Symbol.asyncDispose]()
    const changed = await openJournal(copy, later)
    expect(changed.run?.ended).toBe('interrupted')
    await changed.journal[Symbol.asyncDispose]()
    const damaged = Promise.reject(new Error('it could not be read'))
    const read = await openJournal(copy, damaged)
    expect(read.run?.ended).toBe('interrupted')
    await read.journal[Symbol.asyncDispose]()
  })

  test('is never written over', async () => {
    await expect(createJournal(path)).rejects.toMatchObject({ code: 'JOURNAL_WRITE' })
    await truncate(path, 0)
    await expect(createJournal(path)).rejects.toMatchObject({ code: 'JOURNAL_WRITE' })
  })
})
