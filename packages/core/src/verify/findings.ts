/** What a verifier answers with. Format: spec/record.md §6. */
import { EvidenceError } from '../error.ts'

/** `refutes`: a check failed. `withholds`: nothing failed, and something is missing. `warns`: for the reader to judge. */
export type Severity = 'refutes' | 'withholds' | 'warns'

const SEVERITIES = {
  CONTAINER: 'refutes',
  SCHEMA: 'refutes',
  CRATE: 'refutes',
  SEMANTICS_UNKNOWN: 'withholds',
  AK_PUBLIC: 'refutes',
  EK_CERTIFICATE: 'refutes',
  SIGNATURE: 'refutes',
  ATTEST: 'refutes',
  BATCH: 'refutes',
  PCRS: 'refutes',
  LOG_DIGEST: 'refutes',
  LOG_UNREADABLE: 'warns',
  LOG_REPLAY: 'warns',
  IMA_REPLAY: 'warns',
  OWN_LOG: 'refutes',
  HOST_RULE_UNMET: 'refutes',
  HOST_RULE_UNKNOWN: 'refutes',
  HOST_CHANGED: 'withholds',
  HOST_POLICY: 'withholds',
  ATTESTATION_ORDER: 'refutes',
  STATEMENT_SIGNATURE: 'refutes',
  STATEMENT_ATTEST: 'refutes',
  STATEMENT_BINDING: 'refutes',
  STATEMENT_CYCLE: 'refutes',
  AUDIT_DIGEST: 'refutes',
  COUNTER_INDEX: 'refutes',
  COUNTER_BACK: 'refutes',
  CHECKPOINT_ORDER: 'refutes',
  SNAPSHOT: 'refutes',
  OUTCOME: 'refutes',
  BLOB: 'refutes',
  FIRST_UNSIGNED: 'withholds',
  UNSIGNED_TAIL: 'withholds',
  INCOMPLETE: 'withholds',
  ATTEMPT_GAP: 'warns',
  TPM_RESET_ALONE: 'warns',
  AK_CERTIFICATE: 'refutes',
  CERTIFICATE_CHAIN: 'refutes',
  CERTIFICATE_REVOKED: 'refutes',
  CERTIFICATE_EXPIRED: 'withholds',
  CERTIFICATE_NOT_YET_VALID: 'withholds',
  REVOCATION_LIST: 'withholds',
  TIER_LOWERED: 'warns',
  TIER_TOO_LOW: 'withholds',
  MEASURER_TOO_LOW: 'withholds',
  SELF_ENROLLED: 'warns',
} as const satisfies Record<string, Severity>

export type FindingCode = keyof typeof SEVERITIES

/** Every code that a verifier can give. */
export const FINDING_CODES: readonly FindingCode[] = Object.keys(SEVERITIES) as FindingCode[]

export interface Finding {
  readonly code: FindingCode
  readonly severity: Severity
  /** The entry, and the place in it: `attestations.jsonl:12`, `record.json $.computation.seed`. */
  readonly path: string
  readonly message: string
  readonly hint: string
}

const HINTS: Readonly<Record<FindingCode, string>> = {
  CONTAINER: 'the file was damaged or edited: ask for it again',
  SCHEMA: 'the record was edited, or written by a version of Reprise that this one does not know',
  CRATE: 'the metadata for other tools was edited; do not believe what they show',
  SEMANTICS_UNKNOWN: 'verify it with the version of Reprise that knows it',
  AK_PUBLIC: 'the key is no attestation key of a TPM: nothing that it signed counts',
  EK_CERTIFICATE: 'the certificate belongs to another TPM than the one that the environment names',
  SIGNATURE: 'the attestation or the key was exchanged',
  ATTEST: 'the attestation is not a quote made by the key of this record',
  BATCH:
    'a checkpoint, the computation, the environment, the outcome or an attestation before this one was changed, left out or taken from elsewhere',
  PCRS: 'the values shown are not those that the TPM quoted',
  LOG_DIGEST: 'a log was exchanged: nothing that it says is of this run',
  LOG_UNREADABLE: 'nothing is known from this log; the facts of it are unknown',
  LOG_REPLAY:
    'nothing is concluded from registers that the log does not replay to; docs/environment.md says what each state means',
  IMA_REPLAY:
    'nothing is concluded from the list; it is of another boot, was changed, or files were measured while it was read',
  OWN_LOG: 'what the host says of its engine is not what its TPM was told',
  HOST_RULE_UNMET: 'the run was on a host that the computation does not want',
  HOST_RULE_UNKNOWN: 'nothing shows that the host is one that the computation wants; unknown is never enough',
  HOST_CHANGED:
    'what was computed since the attestation before this one does not count; reprise resume goes on from there on a host that meets the rules',
  HOST_POLICY: 'the host is not one that your own rules want',
  ATTESTATION_ORDER: 'attestations were left out, put in another order or taken from another run',
  STATEMENT_SIGNATURE: 'a statement about the start of the TPM was exchanged or made by somebody else',
  STATEMENT_ATTEST: 'a statement about the start of the TPM is none that the key of this host made',
  STATEMENT_BINDING: 'a statement was taken from another host, kernel, run or attempt',
  STATEMENT_CYCLE: 'a statement about another start of the TPM was put in the place of the right one',
  AUDIT_DIGEST: 'whether the TPM was shut down is not what the TPM said',
  COUNTER_INDEX: 'what counts the starts of this host can be set to any value; do not believe it',
  COUNTER_BACK: 'an older state of the TPM was brought back: what it signed since then was forgotten',
  CHECKPOINT_ORDER: 'checkpoints were left out, put in another order or taken from another run',
  SNAPSHOT: 'a snapshot was exchanged or is not of this run: do not go on or repeat from it',
  OUTCOME: 'the outcome shown is not the one that was measured',
  BLOB: 'an attached file was exchanged',
  FIRST_UNSIGNED: 'nothing shows that the run began when and where it says',
  UNSIGNED_TAIL: 'only what comes before the last attestation is signed; reprise resume finishes the run',
  INCOMPLETE: 'the run did not end; reprise resume finishes it',
  ATTEMPT_GAP: 'nobody shows what was done to the host in between; the states count once the run is repeated',
  TPM_RESET_ALONE: 'after such a reset anything can be measured into the registers: they show nothing of this boot',
  AK_CERTIFICATE: 'the certificate was exchanged, or is of another kind: it does not speak for the key of this record',
  CERTIFICATE_CHAIN: 'the certificates were exchanged or edited: they do not lead to the authority that they name',
  CERTIFICATE_REVOKED: 'the authority took its word for this host back: nothing that it signed counts',
  CERTIFICATE_EXPIRED: 'the host was not enrolled any more when it ran: reprise host enroll renews a certificate',
  CERTIFICATE_NOT_YET_VALID: 'the host was not enrolled yet when it ran, or its clock was wrong',
  REVOCATION_LIST: 'whether the host was revoked is not known: get the newest list from the authority',
  TIER_LOWERED: 'the lower one counts; if you know the maker, name its root in the trust policy',
  TIER_TOO_LOW: 'ask for a record from a host with a better TPM, or lower minimumTier in the trust policy',
  MEASURER_TOO_LOW:
    'ask for a record from a host that measures what it runs, or leave requireMeasurer out of the trust policy',
  SELF_ENROLLED:
    'this shows that nothing changed since it was made, not who made it; if you know the key, or the authority that certified it, name it with --trust (docs/trust.md)',
}

/** Findings of one code beyond these say nothing new. */
const FINDINGS_OF_A_CODE_MAX = 10

/** Takes what a check finds whose answer comes later. */
export type LaterFinding = (code: FindingCode, path: string, message: string) => void

export class Findings {
  readonly #findings: (Finding | Finding[])[] = []
  readonly #counts = new Map<FindingCode, number>()

  add(code: FindingCode, path: string, message: string, severity: Severity = SEVERITIES[code]): void {
    this.#addTo(this.#findings, { code, severity, path, message, hint: HINTS[code] })
  }

  /** Keeps the place that a check has among the others until its answer is there. */
  later(): LaterFinding {
    const place: Finding[] = []
    this.#findings.push(place)
    return (code, path, message) =>
      this.#addTo(place, { code, severity: SEVERITIES[code], path, message, hint: HINTS[code] })
  }

  #addTo(place: (Finding | Finding[])[], finding: Finding): void {
    const count = (this.#counts.get(finding.code) ?? 0) + 1
    this.#counts.set(finding.code, count)
    if (count <= FINDINGS_OF_A_CODE_MAX) place.push(finding)
  }

  /**
   * Takes what a decoder threw: `CONTAINER` stays that, anything else about the bytes becomes `code`.
   * What is no {@link EvidenceError} is no finding, and is thrown on.
   */
  addError(error: unknown, code: FindingCode, path: string): void {
    if (!(error instanceof EvidenceError)) throw error
    this.add(error.code === 'CONTAINER' ? 'CONTAINER' : code, path, error.message)
  }

  /** In the order of the checks; beyond ten of a code only their number. */
  list(): Finding[] {
    const findings = this.#findings.flat()
    const more = [...this.#counts].flatMap(([code, count]): Finding[] => {
      const first = findings.find((finding) => finding.code === code)
      if (first === undefined || count <= FINDINGS_OF_A_CODE_MAX) return []
      return [{ ...first, path: '', message: `${count - FINDINGS_OF_A_CODE_MAX} more findings of this kind` }]
    })
    return [...findings, ...more]
  }
}
