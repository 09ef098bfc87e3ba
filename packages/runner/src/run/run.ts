/** A fresh run: from a computation to its record. */
import { randomBytes } from 'node:crypto'
import { hex, type Attempt } from '@reprise/core'
import type { HostFacts } from '@reprise/host'
import { createJournal, journalPath, type JournalHost } from '../journal/index.ts'
import { checkRecordPlace } from '../record/index.ts'
import { describeEnvironment } from './environment.ts'
import { execute } from './execute.ts'
import { prepare } from './prepare.ts'
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
  const isRequired = (request.repeats ?? null) === null
  const { signer, machine, look, logs } = await prepare(request, computation, { isRequired })
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
  await using journal = await createJournal(journalPath(request.home, id))
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

export function journalHost({ akPublic, certificates, ekCertificate }: HostFacts): JournalHost {
  return {
    ak: hex(akPublic),
    certificates: certificates.map(hex),
    ek: ekCertificate === null ? null : hex(ekCertificate),
  }
}
