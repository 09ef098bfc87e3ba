/**
 * Verification of a record, offline: every check that can run runs. Format: spec/record.md §6.
 *
 * It shows that nothing was changed since the TPM signed it, and in which order it was signed. It
 * does not show that the states are right: repeating does.
 */
import { hex } from '../bytes/index.ts'
import type { Crypto } from '../crypto.ts'
import { computationId as digestOfComputation, outcomeOutputsRoot } from '../measure/index.ts'
import {
  ATTESTATIONS_ENTRY,
  CHECKPOINT_FINAL,
  CHECKPOINTS_ENTRY,
  RECORD_ENTRY,
  type RecordDocument,
  type ZipSource,
} from '../record/index.ts'
import { AttestationChecks } from './attestations.ts'
import { checkBlobs } from './blobs.ts'
import { CheckpointWalk } from './checkpoints.ts'
import type { Finding, Findings } from './findings.ts'
import type { HostRules, MeasurerAnswer } from '../environment/index.ts'
import type { TrustPolicy } from '../certificates/index.ts'
import type { Measurer, Tier } from '../certificates/tier.ts'
import { readHosts } from './host.ts'
import { HostChecks, type AttemptHost } from './host-state.ts'
import { notCheckedIn, type NotChecked } from './not-checked.ts'
import { openRecord, type OpenedRecord } from './open.ts'
import type { HostCount, PowerChange } from './power.ts'
import { segmentBounds } from './segments.ts'
import { SnapshotWalk } from './snapshots.ts'
import { checkRequirements, checkTrust, lowestTier, type VerifiedHost } from './trust.ts'

/** The semantics that this verifier knows. The record has no say in how exact one is. */
const SEMANTICS: ReadonlyMap<string, { readonly exactness: 'state' | 'outputs' }> = new Map([
  ['wasm/1', { exactness: 'state' }],
])

export interface VerifyOptions {
  readonly crypto: Crypto
  /** Authorities and attestation keys that the reader trusts, and what else it asks for. */
  readonly trust?: TrustPolicy
  /** By the reader's clock, milliseconds since 1970; only revocation lists need it, which are not used without it. */
  readonly nowMs?: number
  /** A host that only enrolled itself is not enough, unless `trust` names its key. */
  readonly requireEnrolment?: boolean
  /** What the reader demands of the hosts, besides what the computation does. Without it nothing counts as measured. */
  readonly hostRules?: HostRules
  /** Called after every few of them. */
  readonly onProgress?: (progress: { readonly checkpoints: number; readonly attestations: number }) => void
}

export type Evidence = 'verified' | 'refuted' | 'unverifiable'
export type { Tier, VerifiedHost }

export interface AttachedSnapshots {
  /** Which segments begin where the machine begins, or with a snapshot that is attached whole, counted from 0. */
  readonly segments: readonly number[]
  /** Those that are attached whole. */
  readonly snapshots: number
  /** Of attached manifests and what they name: their content, and what it takes in the file. */
  readonly snapshotBytes: { readonly plain: number; readonly stored: number }
}

/**
 * When `evidence` is `verified`, all fields but `notChecked` and `attached` are signed, and equal for every file that
 * verifies as this run; but a file may carry other certificates, and then `tier`, `enrolment` and `hosts` are what these
 * authorities say. Otherwise they are what the file says.
 */
export interface VerifyResult {
  readonly evidence: Evidence
  readonly tier: Tier
  /** Who measured kernel and engine, by the rules of the reader; see docs/environment.md. */
  readonly measurer: Measurer
  readonly measurerWhy: string
  /** `none`: nothing is signed at all. `self`: of at least one host nobody says who it is whom the reader trusts to. */
  readonly enrolment: 'self' | 'authority' | 'none'
  readonly hosts: readonly VerifiedHost[]
  readonly checkpoints: number
  readonly attestations: number
  /** Checkpoints that attestations cover; what comes after them is nobody's word. */
  readonly signedCheckpoints: number
  /** Snapshots that attestations cover. */
  readonly snapshots: number
  /** The checkpoints of those that none covers; they count for nothing. */
  readonly unsignedSnapshots: readonly number[]
  /** How many parts of what is signed can be repeated by themselves: the stretches between neighbouring snapshots. */
  readonly segments: { readonly total: number }
  /** What the file carries of snapshots. Which blobs it carries is not signed. */
  readonly attached: AttachedSnapshots
  /** Digests, hex; null when record.json could not be read. */
  readonly computationId: string | null
  readonly runId: string | null
  /** C at the last checkpoint; equal executions have equal ones. Null when there is no checkpoint. */
  readonly cumulative: string | null
  /** One for each host: the Name of its attestation key, hex; null for a key that is none. */
  readonly akNames: readonly (string | null)[]
  /** What is shown of the host of each attempt of which something is signed. */
  readonly attempts: readonly AttemptHost[]
  /** Of a warm start: nobody but a repetition sees whether the program comes to it. Null when record.json could not be read. */
  readonly start: { readonly kind: 'cold' } | { readonly kind: 'warm'; readonly snapshotRoot: string } | null
  /** How exactly a repetition must agree, by the verifier's own table; null for unknown semantics. */
  readonly exactness: 'state' | 'outputs' | null
  /** How hosts went down and came back where boot statements tell of it; `tellPowerChange` says it in a sentence. */
  readonly powerChanges: readonly PowerChange[]
  /** What the hosts' counters show; none for a host without one. */
  readonly counts: readonly HostCount[]
  readonly document: RecordDocument | null
  readonly findings: readonly Finding[]
  readonly notChecked: readonly NotChecked[]
}

/**
 * @throws {@link EvidenceError} `NOT_A_RECORD`; and whatever `source.read` throws. A failed check is an answer.
 */
export async function verifyRecord(source: ZipSource, options: VerifyOptions): Promise<VerifyResult> {
  const record = await openRecord(source)
  const { document, findings } = record
  if (document === undefined) return unreadable(findings)
  const { crypto } = options
  const semantics = SEMANTICS.get(document.computation.semantics)
  if (semantics === undefined)
    findings.add(
      'SEMANTICS_UNKNOWN',
      `${RECORD_ENTRY} $.computation.semantics`,
      `${document.computation.semantics} is not known here`,
    )
  const computationId = digestOfComputation(document.computation, crypto.sha256)
  const keys = await readHosts(record, document, crypto)
  const snapshots = new SnapshotWalk(record, { computationId, crypto })
  const walk = new CheckpointWalk(record, document, { computationId, sha256: crypto.sha256, snapshots })
  const { trust, requireEnrolment = false, nowMs } = options
  const isSigned = (record.entries.get(ATTESTATIONS_ENTRY)?.lengthBytes ?? 0) > 0
  const request = { document, keys, crypto, trust, requireEnrolment, nowMs }
  const trusted = isSigned ? await checkTrust(record, request) : { hosts: [], isRevocationChecked: false }
  const states = new HostChecks({ record, document, crypto, hosts: trusted.hosts, reader: options.hostRules })
  const checks = new AttestationChecks({ document, keys, crypto, findings, walk, snapshots, hosts: states })
  await checkAttestations(record, { checks, walk, onProgress: options.onProgress })
  await snapshots.end(walk, document)
  checkEnds(record, document, { checks, walk, crypto })
  const blobs = await checkBlobs(record, document, crypto)
  const host = ofHosts(checks.count > 0 ? trusted.hosts : [], states.measurer)
  if (checks.count > 0) checkRequirements(findings, host, trust)
  const list = findings.list()
  return {
    evidence: evidenceOf(list),
    ...host,
    checkpoints: walk.count,
    attestations: checks.count,
    signedCheckpoints: checks.signedSeq + 1,
    ...segmentsOf(record, checks.signedSeq),
    computationId: hex(computationId),
    runId: document.run,
    cumulative: walk.count === 0 ? null : hex(walk.cumulative),
    akNames: keys.map((key) => (key === undefined ? null : hex(key.name))),
    attempts: states.attempts,
    start:
      document.computation.start === undefined
        ? { kind: 'cold' }
        : { kind: 'warm', snapshotRoot: document.computation.start.snapshotRoot },
    exactness: semantics?.exactness ?? null,
    powerChanges: checks.powerChanges,
    counts: checks.counts,
    document,
    findings: list,
    notChecked: notCheckedIn(document, {
      hasGaps: checks.hasGaps,
      blobs,
      snapshots: record.snapshots,
      isRevocationChecked: trusted.isRevocationChecked,
      measurer: states.measurer,
    }),
  }
}

async function checkAttestations(
  record: OpenedRecord,
  {
    checks,
    walk,
    onProgress,
  }: {
    readonly checks: AttestationChecks
    readonly walk: CheckpointWalk
    readonly onProgress: VerifyOptions['onProgress'] | undefined
  },
): Promise<void> {
  const report = (): void => onProgress?.({ checkpoints: walk.count, attestations: checks.count })
  try {
    for await (const batch of record.attestations()) {
      for (const attestation of batch) await checks.check(attestation)
      report()
    }
  } catch (error) {
    record.findings.addError(error, 'SCHEMA', ATTESTATIONS_ENTRY)
    checks.isBroken = true
  }
  await checks.end()
  await walk.walkToEnd()
  report()
}

/** What must be there at the beginning and at the end. */
function checkEnds(
  { findings }: OpenedRecord,
  document: RecordDocument,
  {
    checks,
    walk,
    crypto,
  }: { readonly checks: AttestationChecks; readonly walk: CheckpointWalk; readonly crypto: Crypto },
): void {
  const { last } = walk
  // What could not be read to its end has an end that nobody knows.
  if (walk.isBroken || checks.isBroken) return
  if (checks.first?.seq !== 0) findings.add('FIRST_UNSIGNED', ATTESTATIONS_ENTRY, 'checkpoint 0 is not signed')
  if (last === undefined || checks.signedSeq < last.seq) {
    const signed = checks.signedSeq < 0 ? 'none' : `those up to ${checks.signedSeq}`
    findings.add('UNSIGNED_TAIL', ATTESTATIONS_ENTRY, `of ${walk.count} checkpoints ${signed} are signed`)
  }
  const hasFinal = last?.kind === CHECKPOINT_FINAL
  if (!hasFinal) findings.add('INCOMPLETE', CHECKPOINTS_ENTRY, 'there is no final checkpoint')
  if (hasFinal !== (document.outcome !== null)) {
    findings.add(
      'OUTCOME',
      `${RECORD_ENTRY} $.outcome`,
      'a final checkpoint and an outcome are not both there or both absent',
    )
  } else if (document.outcome !== null && hex(outcomeOutputsRoot(document.outcome, crypto.sha256)) !== last?.outputs) {
    findings.add(
      'OUTCOME',
      `${RECORD_ENTRY} $.outcome.outputs`,
      'these outputs do not have the root that the final checkpoint measured',
    )
  }
}

function segmentsOf(
  { snapshots: { lines, manifests, blobs }, blob }: OpenedRecord,
  signedSeq: number,
): Pick<VerifyResult, 'snapshots' | 'unsignedSnapshots' | 'segments' | 'attached'> {
  const signed = lines.filter(({ seq }) => seq <= signedSeq)
  const starts = segmentBounds(signed, signedSeq).slice(0, -1)
  const entries = [...blobs.keys()].flatMap((sha256) => blob(sha256) ?? [])
  const whole = new Set(signed.filter(({ manifest }) => manifests.get(manifest)?.isWhole).map(({ seq }) => seq))
  return {
    snapshots: signed.length,
    unsignedSnapshots: lines.filter(({ seq }) => seq > signedSeq).map(({ seq }) => seq),
    segments: { total: starts.length },
    attached: {
      segments: [...starts.keys()].filter((i) => starts[i] === 0 || whole.has(starts[i])),
      snapshots: whole.size,
      snapshotBytes: {
        plain: entries.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0),
        stored: entries.reduce((sum, { compressedBytes }) => sum + compressedBytes, 0),
      },
    },
  }
}

/** @param hosts - None when nothing is signed at all. */
function ofHosts(
  hosts: readonly VerifiedHost[],
  { measurer, why }: MeasurerAnswer,
): Pick<VerifyResult, 'tier' | 'measurer' | 'measurerWhy' | 'enrolment' | 'hosts'> {
  const isEnrolled = hosts.every(({ enrolment }) => enrolment === 'authority')
  return {
    tier: lowestTier(hosts),
    measurer,
    measurerWhy: why,
    enrolment: hosts.length === 0 ? 'none' : isEnrolled ? 'authority' : 'self',
    hosts,
  }
}

function evidenceOf(findings: readonly Finding[]): Evidence {
  if (findings.some(({ severity }) => severity === 'refutes')) return 'refuted'
  return findings.some(({ severity }) => severity === 'withholds') ? 'unverifiable' : 'verified'
}

/** Without record.json nothing can be recomputed. */
function unreadable(findings: Findings): VerifyResult {
  return {
    evidence: 'refuted',
    ...ofHosts([], { measurer: 'unmeasured', why: 'nothing could be read' }),
    checkpoints: 0,
    attestations: 0,
    signedCheckpoints: 0,
    snapshots: 0,
    unsignedSnapshots: [],
    segments: { total: 0 },
    attached: { segments: [], snapshots: 0, snapshotBytes: { plain: 0, stored: 0 } },
    computationId: null,
    runId: null,
    cumulative: null,
    akNames: [],
    attempts: [],
    start: null,
    exactness: null,
    powerChanges: [],
    counts: [],
    document: null,
    findings: findings.list(),
    notChecked: [{ what: 'everything else', why: `${RECORD_ENTRY} could not be read` }],
  }
}
