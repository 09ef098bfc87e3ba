/** Records, changed as bytes, as a container, and as JSON that nobody signs again (spec/record.md §7). */
import { strictEqual } from 'node:assert/strict'
import { deflateRawSync } from 'node:zlib'
import { bytesSource, canonical, crateOf, decodeRecordDocument, openZip, ZIP_BYTES_MAX } from '@reprise/core'
import { recordCases } from '../../record/cases/index.ts'
import { answer } from '../../record/mutation.ts'
import { mutateBytes, mutateJson } from '../mutate.ts'
import { once, pick, type Random } from '../random.ts'
import type { FuzzTarget } from '../target.ts'
import { mutateZip, writeRawZip, type RawEntry } from './raw-zip.ts'

/** One of each kind, so that every part of the format is there. */
const NAMES = ['whole', 'batch', 'ek-certificate', 'rsa-key', 'snapshots', 'three-attempts', 'two-hosts', 'warm-start']

interface Content {
  readonly name: string
  readonly content: Uint8Array
}

interface Sample {
  readonly whole: Uint8Array
  /** Of the whole file, to the letter. */
  readonly answer: string
  /** Without what the answer says of which blobs are attached: that is not signed. */
  readonly ofRun: string
  readonly entries: readonly Content[]
}

async function makeSamples(): Promise<readonly Sample[]> {
  return Promise.all(
    NAMES.map(async (name): Promise<Sample> => {
      const whole = await recordCases.find((each) => each.name === name)?.make()
      const accepted = whole === undefined ? 'not accepted' : await answer(whole)
      if (whole === undefined || accepted === 'not accepted') throw new Error(`the sample ${name} is not accepted`)
      const entries = await Promise.all(
        (await openZip(bytesSource(whole))).map(async (entry) => ({
          name: entry.name,
          content: await entry.bytes(ZIP_BYTES_MAX),
        })),
      )
      return { whole, answer: accepted, ofRun: ofRun(accepted), entries }
    }),
  )
}

function ofRun(answered: string): string {
  if (answered === 'not accepted') return answered
  const { notChecked: _, attached: __, ...rest } = JSON.parse(answered) as Record<string, unknown>
  return canonical(rest)
}

/** The same answer as before the change, or none; and the same by both ways of inflating. */
async function checkAnswer(bytes: Uint8Array, accepted: string, form: (answered: string) => string): Promise<void> {
  const answered = await answer(bytes)
  strictEqual(await answer(bytes, 'at once'), answered, 'inflated at once it has another answer than as a stream')
  if (answered !== 'not accepted') strictEqual(form(answered), accepted, 'it is accepted as something else')
}

/** What a writer of ordinary containers would make of the contents. */
function rawEntries(random: Random, contents: readonly Content[]): RawEntry[] {
  return contents.map(({ name, content }) => {
    const isStored = !name.includes('json') && random(2) === 0
    const data = isStored ? content : new Uint8Array(deflateRawSync(content, { level: random(10) }))
    return { name, content, method: isStored ? 0 : 8, data }
  })
}

export const recordBytes: FuzzTarget = {
  name: 'record-bytes',
  claim: 'a record whose bytes were changed is refused or answers the same',
  byDay: 1200,
  async prepare() {
    const samples = await makeSamples()
    return async (random) => {
      const sample = pick(random, samples)
      const others = samples.map(({ whole }) => whole)
      await checkAnswer(mutateBytes(random, sample.whole, others), sample.answer, (answered) => answered)
    }
  },
}

export const recordZip: FuzzTarget = {
  name: 'record-zip',
  claim: 'a record that was packed in another way is refused or answers the same of the run',
  byDay: 500,
  async prepare() {
    const samples = await makeSamples()
    return async (random) => {
      const sample = pick(random, samples)
      const others = rawEntries(random, pick(random, samples).entries)
      const bytes = writeRawZip(mutateZip(random, rawEntries(random, sample.entries), others))
      await checkAnswer(bytes, sample.ofRun, ofRun)
    }
  },
}

export const recordJson: FuzzTarget = {
  name: 'record-json',
  claim: 'a record whose content was edited, and packed as it should be, is refused or answers the same of the run',
  byDay: 400,
  async prepare() {
    const samples = await makeSamples()
    return async (random) => {
      const sample = pick(random, samples)
      const donor = pick(random, samples)
      const entries = edited(random, sample.entries, donor.entries)
      await checkAnswer(writeRawZip({ entries: rawEntries(random, entries) }), sample.ofRun, ofRun)
    }
  },
}

function edited(random: Random, entries: readonly Content[], donor: readonly Content[]): Content[] {
  const index = once(random, 3) ? random(entries.length) : 1 + random(4)
  const { name, content } = entries[index]
  const other = donor.find((each) => each.name === name)?.content ?? content
  const after = entries.map((entry, i) =>
    i === index ? { name, content: editedContent(random, name, content, other) } : entry,
  )
  // Whoever edits a record makes its description fit.
  return once(random, 8) ? after : withCrate(after)
}

function editedContent(random: Random, name: string, content: Uint8Array, other: Uint8Array): Uint8Array {
  if (once(random, 20)) return other
  if (!name.includes('json')) return mutateBytes(random, content, [other])
  const parse = (bytes: Uint8Array): unknown => {
    const text = Buffer.from(bytes).toString()
    return name.endsWith('.jsonl')
      ? text
          .split('\n')
          .filter(Boolean)
          .map((line) => JSON.parse(line) as unknown)
      : JSON.parse(text)
  }
  const value = mutateJson(random, parse(content), parse(other))
  // What canonical JSON cannot carry is written as it comes.
  const textOf = (each: unknown): string =>
    once(random, 30) || hasNoForm(each) ? JSON.stringify(each) : canonical(each)
  const text =
    name.endsWith('.jsonl') && Array.isArray(value) ? value.map((line) => `${textOf(line)}\n`).join('') : textOf(value)
  return new Uint8Array(Buffer.from(text))
}

function hasNoForm(value: unknown): boolean {
  try {
    canonical(value)
    return false
  } catch {
    return true
  }
}

function withCrate(entries: readonly Content[]): Content[] {
  const document = entries.find(({ name }) => name === 'record.json')?.content ?? new Uint8Array()
  try {
    const crate = crateOf(decodeRecordDocument(JSON.parse(Buffer.from(document).toString())))
    return entries.map((entry) =>
      entry.name === 'ro-crate-metadata.json' ? { ...entry, content: new Uint8Array(Buffer.from(crate)) } : entry,
    )
  } catch {
    return [...entries]
  }
}
