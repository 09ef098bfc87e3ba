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
import { prepare, type Prepared } from './prepare.ts'
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
  const { prepared, opening } = await prepareWithJournal(request, journalPath(request.home, id))
  const { signer, machine, look, logs } = prepared
  await using _machine = machine
  const prepareMs = performance.now() - startedMs
  const environment = await describeEnvironment({
    host: signer.host,
    startedAt: new Date(),
    logs,
    follows: request.follows ?? [],
    repeats: request.repeats ?? null,
  })
  const attempt: Attempt = { attempt: 1, environment, firstSeq: 0, from: null, host: 0 }
  const host = journalHost(signer.host)
  await using journal = await opening
  journal.append({ kind: 'start', attempt, computation, host, run: id })
  const { keepSnapshots: keep = 'all' } = request
  if (keep !== 'all') journal.append({ kind: 'keep', snapshots: keep })
  await journal.sync()
  return await execute(request, {
    run: id,
    computation,
    attempt,
    signer,
    look,
    machine,
    journal,
    prepareMs,
    keep,
    earlier: undefined,
  })
}

/** Making and locking the journal takes as long as a small program runs: it is done beside the machine. A run that cannot begin leaves none. */
async function prepareWithJournal(
  request: RunRequest,
  path: string,
): Promise<{ readonly prepared: Prepared; readonly opening: Promise<JournalWriter> }> {
  const opening = createJournal(path)
  opening.catch(() => {})
  try {
    const isRequired = (request.repeats ?? null) === null
    return { prepared: await prepare(request, request.computation, { isRequired }), opening }
  } catch (error) {
    const journal = await opening.catch(() => undefined)
    await journal?.[Symbol.asyncDispose]()
    await rm(dirname(path), { recursive: true, force: true })
    throw error
  }
}

export function journalHost({ akPublic, certificates, ekCertificate }: HostFacts): JournalHost {
  return {
    ak: hex(akPublic),
    certificates: certificates.map(hex),
    ek: ekCertificate === null ? null : hex(ekCertificate),
  }
}
