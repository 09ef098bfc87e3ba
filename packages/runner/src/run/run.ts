/** A fresh run: from a computation to its record. */
import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { hex, type Attempt } from '@reprise/core'
import type { HostFacts } from '@reprise/host'
import { createJournal, journalPath, type JournalHost, type JournalWriter } from '../journal/index.ts'
import { checkRecordPlace } from '../record/index.ts'
import { describeEnvironment } from './environment.ts'
import { execute } from './execute.ts'
import { prepare, readyHost, startMachine, type BegunAttempt, type Prepared, type ReadyHost } from './prepare.ts'
import { openAttempt } from './signing.ts'
import type { RunRequest, RunResult } from './types.ts'

/**
 * Runs a computation and writes its record, whatever the guest does.
 *
 * @throws RunnerError when the run cannot begin or Reprise itself fails.
 */
export async function run(request: RunRequest): Promise<RunResult> {
  const startedMs = performance.now()
  const { computation } = request
  const id = hex(randomBytes(32))
  await checkRecordPlace(request.recordPath)
  const { prepared, journal: opened } = await prepareWithJournal(request, id)
  const { signer, machine, look, attempt, runSigner } = prepared
  await using _machine = machine
  await using journal = opened
  const prepareMs = performance.now() - startedMs
  const { keepSnapshots: keep = 'all' } = request
  return await execute(request, {
    run: id,
    computation,
    attempt,
    host: signer.host,
    runSigner,
    look,
    machine,
    journal,
    prepareMs,
    keep,
    earlier: undefined,
  })
}

/**
 * The journal's first lines are on disk when the machine is ready: to make, lock and sync it takes as long as a small
 * program runs. A run that cannot begin leaves none.
 */
async function prepareWithJournal(
  request: RunRequest,
  id: string,
): Promise<{ readonly prepared: Prepared; readonly journal: JournalWriter }> {
  const path = journalPath(request.home, id)
  const opening = createJournal(path)
  opening.catch(() => {})
  const { computation } = request
  const begin = async (host: ReadyHost): Promise<BegunAttempt> => {
    const attempt = await firstAttempt(request, host)
    await writeStart(request, { id, attempt, host: host.signer.host, journal: await opening })
    const runSigner = await openAttempt(host, { run: id, computation, attempt, previous: null })
    return { attempt, runSigner }
  }
  try {
    const isRequired = (request.repeats ?? null) === null
    const host = readyHost(request, computation, { isRequired })
    const prepared = await prepare({ host, machine: startMachine(request, computation), begin })
    return { prepared, journal: await opening }
  } catch (error) {
    const journal = await opening.catch(() => undefined)
    await journal?.[Symbol.asyncDispose]()
    await rm(dirname(path), { recursive: true, force: true })
    throw error
  }
}

async function firstAttempt({ follows, repeats }: RunRequest, { signer, logs }: ReadyHost): Promise<Attempt> {
  const environment = await describeEnvironment({
    host: signer.host,
    startedAt: new Date(),
    logs,
    follows: follows ?? [],
    repeats: repeats ?? null,
  })
  return { attempt: 1, environment, firstSeq: 0, from: null, host: 0 }
}

async function writeStart(
  { computation, keepSnapshots: keep = 'all' }: RunRequest,
  start: {
    readonly id: string
    readonly attempt: Attempt
    readonly host: HostFacts
    readonly journal: JournalWriter
  },
): Promise<void> {
  const { id, attempt, host, journal } = start
  journal.append({ kind: 'start', attempt, computation, host: journalHost(host), run: id })
  if (keep !== 'all') journal.append({ kind: 'keep', snapshots: keep })
  await journal.sync()
}

export function journalHost({ akPublic, certificates, ekCertificate }: HostFacts): JournalHost {
  return {
    ak: hex(akPublic),
    certificates: certificates.map(hex),
    ek: ekCertificate === null ? null : hex(ekCertificate),
  }
}
