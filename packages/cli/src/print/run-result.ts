/** What `run` and `resume` say when they are done. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { ruleText, type RunResult, type WriteBackResult } from '@reprise/runner'
import { EXIT_INTERRUPTED, EXIT_RUN_FAILED, EXIT_TRAPPED } from '../exit.ts'
import { bytes, count, paint, safe, short, shortPath } from './format.ts'
import { type Standing, weakestLink } from './tier.ts'

/** `analysis.reprise`, or the first of `analysis-2.reprise`, … that is free: evidence is never written over unasked. */
export function freeRecordPath(stem: string): string {
  for (let n = 1; ; n++) {
    const path = resolve(n === 1 ? `${stem}.reprise` : `${stem}-${n}.reprise`)
    if (!existsSync(path)) return path
  }
}

export function exitCode({ outcome, hostChange }: RunResult): number {
  if (hostChange !== undefined) return EXIT_RUN_FAILED
  if (outcome === undefined) return EXIT_INTERRUPTED
  return 'code' in outcome.exit ? outcome.exit.code & 0xff : EXIT_TRAPPED
}

export function runAnswer(result: RunResult, { tier, enrolment }: Standing): object {
  return {
    schema: 'reprise/run-result/v1',
    run: result.run,
    computation: result.computation,
    record: result.recordPath,
    exit: result.outcome?.exit ?? null,
    checkpoints: result.checkpoints,
    snapshots: result.snapshots,
    keptSnapshots: result.keptSnapshots,
    snapshotBytes: result.snapshotBytes,
    attestations: result.attestations,
    signedCheckpoints: result.signedSeq + 1,
    cumulative: result.cumulative,
    outputs: (result.outcome?.outputs ?? []).map(({ path, length, sha256 }) => ({ path, length, sha256 })),
    follows: result.follows,
    removed: result.removed,
    notes: result.notes,
    tier,
    enrolment,
    hostChange: result.hostChange ?? null,
    overhead: result.overhead,
  }
}

/** Of a run at least that long, when measuring took more than this share. */
const NOTABLE_RUN_MS = 30_000
const NOTABLE_SHARE = 0.02

export function printRunResult(
  result: RunResult,
  { tier, enrolment }: Standing,
  written: WriteBackResult | undefined,
): void {
  const { stderr } = process
  const line = (text: string): void => void stderr.write(`${text}\n`)
  const { outcome } = result
  line(
    `${paint('bold', headline(result), stderr)}   ${safe(shortPath(result.recordPath))}   ${short(result.cumulative)}`,
  )
  line(`  ${weakestLink(tier, enrolment)}`)
  const snapshots = result.snapshots === 0 ? '' : `, ${count(result.snapshots, 'snapshot')} (${keptSize(result)})`
  line(`  ${count(result.checkpoints, 'checkpoint')}${snapshots}, ${count(result.attestations, 'attestation')}`)
  const { measureMs, runMs, dirtyPages } = result.overhead
  if (dirtyPages.method === 'compare' && runMs > NOTABLE_RUN_MS && measureMs > NOTABLE_SHARE * runMs)
    line(
      `  ${Math.round(measureMs / 1000)} s of it went into comparing memory for what changed: ${safe(dirtyPages.why)}`,
    )
  for (const rule of result.hostChange?.rules ?? [])
    line(`  ${paint('red', 'the host changed', stderr)}: ${safe(ruleText(rule))}`)
  if (result.trapMessage !== undefined) line(`  the program was stopped: ${safe(result.trapMessage)}`)
  if (result.signedSeq + 1 < result.checkpoints) {
    line(
      `  ${paint('red', 'unsigned', stderr)}: ${result.checkpoints - 1 - result.signedSeq} of them, the last ones: ${result.signingLost ?? 'the run was interrupted'}`,
    )
  }
  for (const notice of result.host.notices) line(`  ${safe(notice)}`)
  for (const run of result.follows) line(`  an input is an output of the earlier run ${short(run)}`)
  if (written !== undefined && written.written.length > 0) line(`  wrote ${written.written.map(safe).join(', ')}`)
  for (const { path, reason, sha256 } of written?.conflicts ?? []) {
    line(
      `  ${paint('yellow', 'not written', stderr)}: ${safe(path)}: ${CONFLICTS[reason]}; the output is in the record and the store as ${short(sha256)}`,
    )
  }
  if (result.removed.length > 0)
    line(`  the program deleted ${result.removed.map(safe).join(', ')}; your files are still there`)
  for (const { code, detail, count: times } of result.notes)
    line(`  ${NOTES[code] ?? 'not available to the program'}: ${safe(detail)} (${code}, ${count(times, 'time')})`)
  if (outcome === undefined && result.snapshots > 0) {
    const run = result.run.slice(0, 8)
    line(`  go on with: reprise resume ${run}`)
    line(`  elsewhere: reprise export ${run} --format record -o FILE, then there reprise resume FILE`)
  }
  if (outcome === undefined && result.snapshots === 0)
    line('  there is no signed snapshot to go on from yet; the program can be run again from its start')
  if (outcome !== undefined) line(`  next: reprise verify ${safe(shortPath(result.recordPath))}, then reprise repeat`)
}

function keptSize({ snapshots, keptSnapshots, snapshotBytes }: RunResult): string {
  if (keptSnapshots === 0) return 'none kept'
  const size = `${bytes(snapshotBytes.stored)} on disk, ${bytes(snapshotBytes.plain)} plain`
  return keptSnapshots === snapshots ? size : `${keptSnapshots} kept: ${size}`
}

const CONFLICTS = {
  changed: 'somebody changed it while the program ran',
  'not-an-input': "a file of that name is there and is not the program's to replace",
  link: 'a symbolic link stands there',
  'not-a-file': 'something that is no file stands there',
  outside: 'it would land outside the working folder',
  name: 'this file system takes no such name',
} as const

const NOTES: Readonly<Record<string, string>> = {
  READ_ONLY: 'the program tried to change what it may only read',
  LIMIT: 'a limit was reached',
}

function headline({ outcome, hostChange }: RunResult): string {
  if (hostChange !== undefined) return `stopped at checkpoint ${hostChange.seq}`
  if (outcome === undefined) return 'interrupted'
  return 'code' in outcome.exit ? `exited ${outcome.exit.code}` : `trapped: ${outcome.exit.trap}`
}
