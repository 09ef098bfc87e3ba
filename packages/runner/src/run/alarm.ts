/**
 * The determinism alarm: what was signed came out differently. Both states are kept beside the journal, as far as they can be
 * had, before anything is said; a line in the journal then stops later attempts until somebody decides. Rules: spec/journal.md §3.
 */
import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  decodeManifestBytes,
  hex,
  manifestBlobs,
  CHECKPOINT_GRID,
  type Attempt,
  type Checkpoint,
  type Computation,
  type CheckpointKind,
  type MachineState,
  type Measurement,
  type Snapshot,
  type SnapshotManifest,
} from '@reprise/core'
import type { BlobStore } from '../blobs/index.ts'
import { diffPages, type PageDifferences } from '../compare/index.ts'
import { syncFolder, temporaryName, writeSynced } from '../durable.ts'
import { RunnerError, writeFailure } from '../error.ts'
import { journalPath, type JournalRun, type JournalWriter } from '../journal/index.ts'
import { startWasmMachine, type SavedMachine, type WasmMachine } from '../machine/index.ts'
import { drive } from './drive.ts'
import type { Evidence } from './evidence.ts'
import { blobPaths } from './prepare.ts'
import { readSnapshot } from './snapshot.ts'

const PAGES_SHOWN_MAX = 64
const BYTES_SHOWN_MAX = 64

export interface AlarmParts {
  readonly home: string
  readonly run: string
  readonly computation: Computation
  readonly store: BlobStore
  /** It stands where it was measured. */
  readonly machine: WasmMachine
  readonly journal: JournalWriter
  readonly evidence: Pick<Evidence, 'seal'>
  readonly attempt: Attempt
  /** What the journal said before this attempt, and the snapshot that it went on from. */
  readonly earlier: { readonly run: JournalRun; readonly snapshot: Snapshot }
  readonly nextDue: (position: bigint, memoryBytes: number) => bigint
  readonly signal: AbortSignal | undefined
}

interface Found {
  readonly expected: Checkpoint
  readonly actual: Checkpoint
  readonly atSnapshot?: { readonly manifest: SnapshotManifest; readonly state: MachineState }
}

/** What came out when it was computed once more, in a fresh machine from the last snapshot before. */
export type SecondTry =
  | { readonly kind: 'as-signed' | 'as-now' | 'different-again' }
  | { readonly kind: 'not-made'; readonly why: string }

/** `alarm.json`. */
export interface AlarmReport {
  readonly schema: 'reprise/alarm/v1'
  readonly run: string
  readonly expected: Checkpoint
  readonly actual: Checkpoint
  /** At the snapshot itself: what was restored is not what was saved. */
  readonly isAtSnapshot: boolean
  readonly secondTry: SecondTry
  /** Of the memories, when both states could be had: a as signed, b now. */
  readonly memory: PageDifferences | null
  readonly isEngineStateEqual: boolean | null
  readonly signedBy: Attempt | null
  readonly measuredBy: Attempt
}

/** A measurement as a line of a record says it. */
export function checkpointOf(seq: number, kind: CheckpointKind, measurement: Measurement): Checkpoint {
  const { position, stateRoot, outputsRoot } = measurement
  return { kind, outputs: hex(outputsRoot), position: position.toString(), seq, state: hex(stateRoot) }
}

export function isSame(a: Checkpoint, b: Checkpoint): boolean {
  return a.kind === b.kind && a.position === b.position && a.state === b.state && a.outputs === b.outputs
}

/**
 * Keeps both states, writes the alarm into the journal, and gives what the run ends with.
 *
 * @param found.atSnapshot - The snapshot that was restored and the state that it gave, when the alarm is about that.
 */
export async function raiseAlarm(parts: AlarmParts, found: Found): Promise<RunnerError> {
  const { expected, actual, atSnapshot } = found
  const state = atSnapshot?.state ?? (await parts.machine.state())
  const measured =
    atSnapshot === undefined ? await savedState(parts, actual, state) : restoredState(parts, atSnapshot.manifest)
  const again = await computeAgain(parts, found)
  const isGood = again.secondTry.kind === 'as-signed' && again.state !== undefined
  const report: AlarmReport = {
    schema: 'reprise/alarm/v1',
    run: parts.run,
    expected,
    actual,
    isAtSnapshot: atSnapshot !== undefined,
    secondTry: again.secondTry,
    memory: isGood
      ? diffPages(again.state.memory, state.memory, { maxPages: PAGES_SHOWN_MAX, maxBytes: BYTES_SHOWN_MAX })
      : null,
    isEngineStateEqual: isGood ? Buffer.compare(again.state.engineState, state.engineState) === 0 : null,
    signedBy: await signerOf(parts.earlier.run, expected.seq),
    measuredBy: parts.attempt,
  }
  const folder = await writeFolder(parts, report, {
    measured,
    expected: isGood ? rawState(again.state) : undefined,
  })
  // Nothing comes after an alarm: a receipt that is still on its way would.
  parts.evidence.seal()
  parts.journal.append({ kind: 'alarm', alarm: { attempt: parts.attempt.attempt, expected, actual, folder } })
  await parts.journal.sync()
  return new RunnerError('DETERMINISM', {
    message: alarmText(report),
    hint: `nothing that was signed is ever replaced: the run stops here, and both states are kept. See: reprise show ${parts.run.slice(0, 8)}`,
    data: { folder, report },
  })
}

/** What happened, in a sentence or two. */
export function alarmText({
  expected,
  actual,
  isAtSnapshot,
  secondTry,
  memory,
  isEngineStateEqual,
}: AlarmReport): string {
  const what = isAtSnapshot
    ? `the machine restored from the snapshot of checkpoint ${expected.seq} is not the one that was saved: signed was state ${expected.state}, and it has ${actual.state}`
    : `checkpoint ${expected.seq} was signed with state ${expected.state} at position ${expected.position}, and now has ${actual.state} at ${actual.position}`
  const again = {
    'as-signed': 'computed once more it came out as signed: this time something went wrong here',
    'as-now': 'computed once more it came out the same as now: this host does not compute what was signed',
    'different-again': 'computed once more it came out differently again: this host does not compute reliably',
    'not-made': `it could not be computed once more${secondTry.kind === 'not-made' ? `: ${secondTry.why}` : ''}`,
  }[secondTry.kind]
  return [what, again, ...(memory === null ? [] : [differenceText(memory, isEngineStateEqual === true)])].join('; ')
}

function differenceText({ pageCount, pages, bytes: [first] }: PageDifferences, isEngineStateEqual: boolean): string {
  const rest = isEngineStateEqual ? '' : ', and what the machine knows besides its memory'
  if (first === undefined)
    return `the memories are equal${isEngineStateEqual ? '' : '; what the machine knows besides differs'}`
  const byte = (value: number | null): string => (value === null ? 'nothing' : value.toString(16).padStart(2, '0'))
  return `the memory differs in ${pageCount} ${pageCount === 1 ? 'page' : 'pages'}, the first one page ${pages[0]}, at address 0x${first.address.toString(16)} (${byte(first.a)} signed, ${byte(first.b)} now)${rest}`
}

/** Files of a state by name. */
type StateFiles = ReadonlyMap<string, Uint8Array | (() => AsyncIterable<Uint8Array>)>

function rawState({ memory, engineState }: MachineState): StateFiles {
  return new Map([
    ['memory', memory],
    ['engine-state', engineState],
  ])
}

/** As a snapshot where the machine can be saved, which can be gone on from; else its memory and the rest, raw. */
async function savedState(
  { machine, store }: AlarmParts,
  { kind }: Checkpoint,
  state: MachineState,
): Promise<StateFiles> {
  if (kind !== CHECKPOINT_GRID) return rawState(state)
  const { manifest } = await machine.snapshot()
  return new Map([...rawState(state), ...snapshotFiles([manifest, ...(await partsOf(store, manifest))], store)])
}

async function partsOf(store: BlobStore, manifest: string): Promise<readonly string[]> {
  return manifestBlobs(decodeManifestBytes(await store.read(manifest))).map(({ sha256 }) => sha256)
}

function restoredState({ store, earlier }: AlarmParts, manifest: SnapshotManifest): StateFiles {
  return snapshotFiles([earlier.snapshot.manifest, ...manifestBlobs(manifest).map(({ sha256 }) => sha256)], store)
}

/** Named as `--blobs FOLDER` finds them. */
function snapshotFiles(digests: readonly string[], store: BlobStore): StateFiles {
  return new Map(digests.map((sha256) => [join('sha256', sha256), () => store.stream(sha256)]))
}

/** Computes the checkpoint once more: from the snapshot, or from the one before it when that is what does not hold. */
async function computeAgain(
  parts: AlarmParts,
  { expected, actual, atSnapshot }: Found,
): Promise<{ readonly secondTry: SecondTry; readonly state?: MachineState }> {
  const notMade = (why: string): { readonly secondTry: SecondTry } => ({ secondTry: { kind: 'not-made', why } })
  if (parts.signal?.aborted === true) return notMade('it was interrupted')
  try {
    const from = await startOf(parts, atSnapshot !== undefined)
    const { measured, state } = await measuredAgain(parts, from, expected.seq)
    if (measured === undefined) return notMade('it did not come to this checkpoint again')
    if (isSame(measured, expected)) return { secondTry: { kind: 'as-signed' }, state }
    return { secondTry: { kind: isSame(measured, actual) ? 'as-now' : 'different-again' } }
  } catch (error) {
    if (error instanceof RunnerError) return notMade(error.message)
    throw error
  }
}

interface Start {
  readonly from: SavedMachine | undefined
  readonly seq: number
}

async function startOf({ earlier, store }: AlarmParts, isBefore: boolean): Promise<Start> {
  const { run } = earlier
  const snapshot = isBefore ? run.snapshots.findLast(({ seq }) => seq < earlier.snapshot.seq) : earlier.snapshot
  if (snapshot === undefined) return { from: undefined, seq: 0 }
  for await (const [checkpoint] of run.checkpoints(snapshot.seq, snapshot.seq))
    return {
      from: { manifest: await readSnapshot(snapshot, checkpoint, store), expected: checkpoint },
      seq: snapshot.seq,
    }
  throw new Error(`there is no checkpoint ${snapshot.seq}`)
}

async function measuredAgain(
  { computation, store, home, nextDue, signal }: AlarmParts,
  { from, seq: first }: Start,
  wanted: number,
): Promise<{ readonly measured: Checkpoint | undefined; readonly state: MachineState }> {
  const blobs = blobPaths(computation, store, from?.manifest)
  await using machine = await startWasmMachine({ computation, blobs, home, from })
  const interrupt = (): void => machine.interrupt()
  signal?.addEventListener('abort', interrupt)
  let measured: Checkpoint | undefined
  let state: MachineState = { memory: new Uint8Array(), engineState: new Uint8Array() }
  try {
    const driver = {
      nextDue,
      async onCheckpoint({ seq, kind, measurement }: Parameters<Parameters<typeof drive>[1]['onCheckpoint']>[0]) {
        const came = checkpointOf(seq, kind, await measurement)
        if (seq < wanted) return 'go' as const
        measured = came
        state = await machine.state()
        return 'stop' as const
      },
    }
    await drive(machine, driver, from && { seq: first, position: BigInt(from.expected.position) })
  } finally {
    signal?.removeEventListener('abort', interrupt)
  }
  return { measured, state }
}

/** The attempt by which a checkpoint was first signed. */
async function signerOf(run: JournalRun, wanted: number): Promise<Attempt | null> {
  for await (const batch of run.attestations()) {
    const found = batch.find(({ seq }) => seq >= wanted)
    if (found !== undefined) return run.attempts[found.attempt - 1] ?? null
  }
  return null
}

/** @returns The name of the folder, beside the journal; it is there whole or not at all. */
async function writeFolder(
  { home, run }: AlarmParts,
  report: AlarmReport,
  states: { readonly measured: StateFiles; readonly expected: StateFiles | undefined },
): Promise<string> {
  const runFolder = dirname(journalPath(home, run))
  const temporary = temporaryName(runFolder)
  try {
    await mkdir(temporary, { mode: 0o700 })
    for (const [name, files = new Map()] of Object.entries(states)) {
      for (const [file, content] of files) {
        const path = join(temporary, name, file)
        await mkdir(dirname(path), { recursive: true, mode: 0o700 })
        await writeSynced(path, content instanceof Uint8Array ? content : content(), 0o600)
      }
    }
    await writeFile(join(temporary, 'alarm.json'), `${JSON.stringify(report, undefined, 2)}\n`, { flush: true })
    for (let n = 1; ; n++) {
      const folder = `alarm-${report.expected.seq}-${n}`
      const isTaken = await stat(join(runFolder, folder)).then(
        () => true,
        () => false,
      )
      if (isTaken) continue
      await rename(temporary, join(runFolder, folder))
      await syncFolder(runFolder)
      return folder
    }
  } catch (error) {
    await rm(temporary, { recursive: true, force: true })
    throw error instanceof RunnerError ? error : writeFailure(error, runFolder, 'the states of a determinism alarm')
  }
}
