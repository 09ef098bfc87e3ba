/**
 * Which run wrote a file: `$REPRISE_HOME/runs/outputs.jsonl`, one line a run, so that a run whose inputs are an earlier run's
 * outputs can say so. What this host knows, and no evidence; a lost line loses a note.
 *
 * Appended with one write; a torn line is skipped when reading and ended before the next is written. Beyond 8 MiB the older
 * half is dropped.
 */
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isHex } from '@reprise/core'
import { writeFileAtomically } from '../durable.ts'
import { systemCode, writeFailure } from '../error.ts'
import { createHome, runnerFolders } from '../home.ts'

export const OUTPUT_INDEX_BYTES_MAX = 8 << 20
/** Of one run; a run with more outputs is still found by these. */
export const OUTPUTS_NOTED_MAX = 10_000
/** The same in every run that writes an empty file, so it says nothing. */
const NO_BYTES = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
const LINE_FEED = 0x0a

interface Line {
  readonly outputs: readonly string[]
  readonly run: string
}

/**
 * Notes what a run has written.
 *
 * @param digests - SHA-256 of its outputs in lower-case hex.
 * @throws RunnerError `DISK_FULL` or `WRITE`.
 */
export async function noteOutputs(home: string, run: string, digests: readonly string[]): Promise<void> {
  const outputs = [...new Set(digests)].filter((digest) => digest !== NO_BYTES).slice(0, OUTPUTS_NOTED_MAX)
  if (outputs.length === 0) return
  const path = indexPath(home)
  try {
    createHome(home)
    const file = await open(path, 'a+', 0o600)
    let lengthBytes: number
    try {
      const { size } = await file.stat()
      const text = `${(await endsLine(file, size)) ? '' : '\n'}${JSON.stringify({ outputs, run } satisfies Line)}\n`
      await file.appendFile(text)
      await file.datasync()
      lengthBytes = size + text.length
    } finally {
      await file.close()
    }
    if (lengthBytes > OUTPUT_INDEX_BYTES_MAX) await dropOlderHalf(path)
  } catch (error) {
    throw writeFailure(error, path, 'the index of outputs')
  }
}

/** Ids of the runs that wrote any of the digests; the newest when several wrote the same. Sorted, without repetition. */
export async function followedRuns(home: string, digests: readonly string[]): Promise<string[]> {
  const wanted = new Set(digests)
  wanted.delete(NO_BYTES)
  const writers = new Map<string, string>()
  for (const { outputs, run } of await readLines(indexPath(home))) {
    for (const digest of outputs) if (wanted.has(digest)) writers.set(digest, run)
  }
  return [...new Set(writers.values())].sort()
}

function indexPath(home: string): string {
  return join(runnerFolders(home).runs, 'outputs.jsonl')
}

async function endsLine(file: Awaited<ReturnType<typeof open>>, size: number): Promise<boolean> {
  if (size === 0) return true
  const { buffer } = await file.read(new Uint8Array(1), 0, 1, size - 1)
  return buffer[0] === LINE_FEED
}

async function dropOlderHalf(path: string): Promise<void> {
  const bytes = await readFile(path)
  const start = bytes.indexOf(LINE_FEED, Math.max(0, bytes.length - OUTPUT_INDEX_BYTES_MAX / 2)) + 1
  await writeFileAtomically(path, bytes.subarray(start), 0o600)
}

async function readLines(path: string): Promise<Line[]> {
  let bytes: Uint8Array
  try {
    bytes = await readFile(path)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw error
  }
  return new TextDecoder().decode(bytes).split('\n').flatMap(readLine)
}

function readLine(text: string): Line[] {
  try {
    const line = JSON.parse(text) as Partial<Line> | null
    const isLine =
      typeof line?.run === 'string' &&
      isHex(line.run) &&
      Array.isArray(line.outputs) &&
      line.outputs.every((digest) => typeof digest === 'string')
    return isLine ? [line as Line] : []
  } catch {
    return []
  }
}
