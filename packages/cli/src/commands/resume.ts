/** `reprise resume`: on with a run after a crash, or on another host, inside the same proof. */
import { existsSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import type { Finding, VerifyResult } from '@reprise/core'
import {
  adoptRun,
  findRun,
  loadRecord,
  noteOutputs,
  resume,
  RunnerError,
  type AttachLevel,
  type BlobSources,
  type KeepSnapshots,
  type LoadedRecord,
} from '@reprise/runner'
import { openPlaces } from '../blob-places.ts'
import { createContext, openStore, type Context } from '../context.ts'
import { EXIT_NO, EXIT_UNKNOWN } from '../exit.ts'
import { advise } from '../print/format.ts'
import { gatherProgress } from '../print/gather-progress.ts'
import { exitCode, freeRecordPath, printRunResult, runAnswer } from '../print/run-result.ts'
import { openSignedWork } from '../signed-work.ts'
import { standingOf } from '../print/tier.ts'
import { streamWriter } from '../print/streams.ts'
import { writeOutputs } from '../write-outputs.ts'
import { isRunName } from '../run-name.ts'
import { answer as verifyAnswer, printVerdict, verifyFile } from './verify.ts'

interface ResumeOptions {
  readonly cutOff?: boolean
  readonly output?: string
  readonly attach: AttachLevel
  readonly trust?: readonly string[]
  readonly blobs?: readonly string[]
  readonly inputs: string
  readonly discardAlarm?: boolean
  readonly maxLagMs?: number
  readonly snapshotMs?: number
  readonly keepSnapshots?: KeepSnapshots
  readonly json?: boolean
}

export async function action(options: object, [name]: readonly string[]): Promise<number> {
  const given = options as ResumeOptions
  if (given.cutOff === true) {
    const { resumeCutOff } = await import('./resume-cut-off.ts')
    return await resumeCutOff(createContext(), { run: name, output: given.output })
  }
  if (name === undefined)
    throw new RunnerError('USAGE', {
      message: 'it is not said which run is to go on',
      hint: 'give the beginning of a run id, the word last, a record as FILE.reprise, or --cut-off',
    })
  const context = createContext()
  const isFile = !isRunName(name) && (name.endsWith('.reprise') || existsSync(name))
  if (!isFile) {
    if (given.trust !== undefined) {
      throw new RunnerError('USAGE', {
        message: `--trust is for records, and ${JSON.stringify(name)} is a run of this host, whose journal is its own`,
        hint: 'leave it out, or name a record, as FILE.reprise',
      })
    }
    return await goOn(given, context, await findRun(context.home, name), undefined)
  }
  const verified = await refusal(name, given)
  if (typeof verified === 'number') return verified
  await using record = await loadRecord(name)
  return await goOn(given, context, record.document.run, { record, stoppedAt: stoppedAt(verified) })
}

/** What one expects of a run that is to be gone on with. */
const EXPECTED: readonly Finding['code'][] = ['HOST_CHANGED', 'INCOMPLETE', 'UNSIGNED_TAIL']

/** Attempts that were stopped because of their host, and the checkpoint whose attestation shows it. */
function stoppedAt({ attempts, document }: VerifyResult): ReadonlyMap<number, number> {
  if (document?.computation.host?.onChange !== 'stop') return new Map()
  return new Map(
    attempts.flatMap(({ attempt, unmetAt }): [number, number][] => {
      const isRepetition = (document.attempts[attempt - 1]?.environment.repeats ?? null) !== null
      return unmetAt === null || isRepetition ? [] : [[attempt, unmetAt.seq]]
    }),
  )
}

/** @returns The exit code when evidence stands against going on, else what was found. */
async function refusal(path: string, { trust, json = false }: ResumeOptions): Promise<number | VerifyResult> {
  const result = await verifyFile(path, trust === undefined ? {} : { trust })
  if (isGoodEnough(result)) return result
  if (json) process.stdout.write(`${JSON.stringify(verifyAnswer(path, result))}\n`)
  else printVerdict(path, result)
  if (result.evidence === 'refuted') {
    advise(`${path} is not gone on with: its evidence does not hold`)
    return EXIT_NO
  }
  advise(`${path} is not gone on with: what it claims cannot be checked`)
  return EXIT_UNKNOWN
}

function isGoodEnough({ evidence, findings }: VerifyResult): boolean {
  if (evidence === 'refuted') return false
  return findings.every(({ severity, code }) => severity !== 'withholds' || EXPECTED.includes(code))
}

async function goOn(
  {
    output,
    attach,
    blobs = [],
    inputs,
    discardAlarm = false,
    maxLagMs,
    snapshotMs,
    keepSnapshots,
    json = false,
  }: ResumeOptions,
  context: Context,
  run: string,
  from: { readonly record: LoadedRecord; readonly stoppedAt: ReadonlyMap<number, number> } | undefined,
): Promise<number> {
  const record = from?.record
  const store = await openStore(context)
  const gathering = gatherProgress()
  const sources: BlobSources = {
    original: record,
    store,
    folder: resolve(inputs),
    places: await openPlaces(context, blobs),
    signal: context.signal,
    onProgress: gathering.show,
  }
  if (from !== undefined) {
    const adopted = await adoptRun({ ...from, home: context.home, sources, discardAlarm }).finally(gathering.clear)
    advise(
      adopted === 'journal'
        ? `this host has signed as much of the run as ${from.record.path} or more: it goes on from there`
        : `the run is known on this host now; after a crash: reprise resume ${run.slice(0, 8)}`,
    )
  }
  await using work = openSignedWork(context)
  const { signer, progress, onTrouble } = work
  const result = await resume({
    run,
    store,
    home: context.home,
    sources,
    discardAlarm,
    signer,
    recordPath: output === undefined ? freeRecordPath(stemOf(run, record)) : resolve(output),
    attach,
    ...(maxLagMs !== undefined && { maxLagMs }),
    ...(keepSnapshots !== undefined && { keepSnapshots }),
    ...(snapshotMs !== undefined && { snapshotMs }),
    signal: context.signal,
    onStream: streamWriter({ stdout: json ? process.stderr : process.stdout, beforeWrite: progress.giveWay }),
    onProgress: progress.show,
    onTrouble,
  }).finally(() => {
    gathering.clear()
    progress.clear()
  })
  const written = await writeOutputs(result, { store, folder: process.cwd() })
  if (result.outcome !== undefined) {
    const digests = result.outcome.outputs.map(({ sha256 }) => sha256)
    await noteOutputs(context.home, result.run, digests)
  }
  const standing = await standingOf(result.host)
  if (json) process.stdout.write(`${JSON.stringify(runAnswer(result, standing))}\n`)
  else printRunResult(result, standing, written)
  return exitCode(result)
}

function stemOf(run: string, record: LoadedRecord | undefined): string {
  return record === undefined ? run.slice(0, 8) : basename(record.path).replace(/\.reprise$/, '')
}
