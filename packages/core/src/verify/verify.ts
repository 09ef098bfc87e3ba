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
import type { HostRules, Measurer } from '../environment/index.ts'
import { readHosts, type AttestationKey } from './host.ts'
import { HostChecks, type AttemptHost } from './host-state.ts'
import { notCheckedIn, type NotChecked } from './not-checked.ts'
import { openRecord, type OpenedRecord } from './open.ts'
import { segmentBounds } from './segments.ts'
import { SnapshotWalk } from './snapshots.ts'

/** The semantics that this verifier knows. The record has no say in how exact one is. */
const SEMANTICS: ReadonlyMap<string, { readonly exactness: 'state' | 'outputs' }> = new Map([
  ['wasm/1', { exactness: 'state' }],
])

export interface VerifyOptions {
  readonly crypto: Crypto
  /** Attestation keys that the reader knows, by Name in lower-case hex. Keys not among them are then not enough. */
  readonly trust?: { readonly akNames: readonly string[] }
  /** A host that only enrolled itself is not enough, unless `trust` names its key. */
  readonly requireEnrolment?: boolean
  /** What the reader demands of the hosts, besides what the computation does. Without it nothing counts as measured. */
  readonly hostRules?: HostRules
  /** Called after every few of them. */
  readonly onProgress?: (progress: { readonly checkpoints: number; readonly attestations: number }) => void
}

export type Evidence = 'verified' | 'refuted' | 'unverifiable'
export type Tier = 'software' | 'firmware' | 'hardware'

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
 * verifies as this run. Otherwise they are what the file says.
 */
export interface VerifyResult {
  readonly evidence: Evidence
  readonly tier: Tier
  /** Who measured kernel and engine, by the rules of the reader; see docs/environment.md. */
  readonly measurer: Measurer
  readonly measurerWhy: string
  /** `none`: nothing is signed at all. */
  readonly enrolment: 'self' | 'none'
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
  readonly hosts: readonly AttemptHost[]
  /** Of a warm start: nobody but a repetition sees whether the program comes to it. Null when record.json could not be read. */
  readonly start: { readonly kind: 'cold' } | { readonly kind: 'warm'; readonly snapshotRoot: string } | null
  /** How exactly a repetition must agree, by the verifier's own table; null for unknown semantics. */
  readonly exactness: 'state' | 'outputs' | null
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
  const { tier } = ofHost(0)
  const hosts = new HostChecks({ record, document, crypto, tier, reader: options.hostRules })
  const checks = new AttestationChecks({ document, keys, crypto, findings, walk, snapshots, hosts })
  await checkAttestations(record, { checks, walk, onProgress: options.onProgress })
  await snapshots.end(walk, document)
  checkEnds(record, document, { checks, walk, crypto })
  const blobs = await checkBlobs(record, document, crypto)
  if (checks.count > 0) checkEnrolment(findings, keys, options)
  const list = findings.list()
  return {
    evidence: evidenceOf(list),
    ...ofHost(checks.count),
    measurer: hosts.measurer.measurer,
    measurerWhy: hosts.measurer.why,
    checkpoints: walk.count,
    attestations: checks.count,
    signedCheckpoints: checks.signedSeq + 1,
    ...segmentsOf(record, checks.signedSeq),
    computationId: hex(computationId),
    runId: document.run,
    cumulative: walk.count === 0 ? null : hex(walk.cumulative),
    akNames: keys.map((key) => (key === undefined ? null : hex(key.name))),
    hosts: hosts.hosts,
    start:
      document.computation.start === undefined
        ? { kind: 'cold' }
        : { kind: 'warm', snapshotRoot: document.computation.start.snapshotRoot },
    exactness: semantics?.exactness ?? null,
    document,
    findings: list,
    notChecked: notCheckedIn(document, {
      hasGaps: checks.hasGaps,
      blobs,
      snapshots: record.snapshots,
      measurer: hosts.measurer,
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

/**
 * Nobody but the host says which TPM this is, as long as no authority certified its key: then either the
 * reader knows the key, or it is told.
 */
function checkEnrolment(
  findings: Findings,
  keys: readonly (AttestationKey | undefined)[],
  options: VerifyOptions,
): void {
  const known = options.trust?.akNames
  for (const [i, key] of keys.entries()) {
    if (key === undefined) continue
    const name = hex(key.name)
    if (known?.includes(name) === true) continue
    const isEnough = known === undefined && options.requireEnrolment !== true
    const message = `host ${i} enrolled itself; its attestation key has the Name ${name}`
    findings.add('SELF_ENROLLED', `${RECORD_ENTRY} $.hosts[${i}]`, message, isEnough ? 'warns' : 'withholds')
  }
}

function ofHost(attestations: number): Pick<VerifyResult, 'tier' | 'enrolment'> {
  return {
    // The lower of what an enroller says and what a table of our own of EK roots says. There is no such table
    // yet and nobody but the host enrolls: so nothing shows that the TPM is more than a program.
    tier: 'software',
    enrolment: attestations === 0 ? 'none' : 'self',
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
    ...ofHost(0),
    measurer: 'unmeasured',
    measurerWhy: 'nothing could be read',
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
    hosts: [],
    start: null,
    exactness: null,
    document: null,
    findings: findings.list(),
    notChecked: [{ what: 'everything else', why: `${RECORD_ENTRY} could not be read` }],
  }
}
