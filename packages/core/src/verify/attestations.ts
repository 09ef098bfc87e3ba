/** Checks the attestations of a record, each one and their order. Format: spec/record.md §4, §6; spec/measurement.md §6. */
import { equal, fromHex, fromHexInBlocks } from '../bytes/index.ts'
import type { Crypto } from '../crypto.ts'
import { assert } from '../error.ts'
import {
  attestationDigest,
  batchDigest,
  environmentDigest,
  headDigest,
  joinedDigest,
  ZERO_DIGEST,
} from '../measure/index.ts'
import { rootFromPath, treeHash, type TreeHash } from '../merkle/index.ts'
import { ATTESTATIONS_ENTRY, RECORD_ENTRY, type Attestation, type RecordDocument } from '../record/index.ts'
import { decodeTpmsAttest, pcrDigest, TPM_ALG, TPM_ST, type TpmsAttest, type TpmsQuoteInfo } from '../tpm/index.ts'
import { demandedRegisters, FIRMWARE_PCRS } from '../environment/index.ts'
import type { CheckpointWalk } from './checkpoints.ts'
import type { FindingCode, Findings } from './findings.ts'
import type { AttestationKey } from './host.ts'
import type { HostChecks } from './host-state.ts'
import { AttestationOrder } from './order.ts'
import type { HostCount, PowerChange } from './power.ts'
import { SignatureChecks } from './signatures.ts'
import type { SnapshotWalk } from './snapshots.ts'
import { checkStatements, type StatementFacts, type StatementsOf } from './statements.ts'

export class AttestationChecks {
  readonly #document: RecordDocument
  readonly #keys: readonly (AttestationKey | undefined)[]
  readonly #crypto: Crypto
  readonly #findings: Findings
  readonly #walk: CheckpointWalk
  readonly #batchTree: TreeHash
  readonly #runId: Uint8Array
  readonly #snapshots: SnapshotWalk
  readonly #environmentDigests: readonly Uint8Array[]
  readonly #order: AttestationOrder
  readonly #signatures: SignatureChecks
  readonly #hosts: HostChecks
  /** The registers that every quote must cover. */
  readonly #pcrsAtLeast: readonly number[]
  readonly #bytesOf = fromHexInBlocks()
  #previous: Uint8Array = ZERO_DIGEST
  #shown: ShownPcrs | undefined
  count = 0
  first: Attestation | undefined
  /** They could not be read to the end. */
  isBroken = false

  constructor(from: {
    readonly document: RecordDocument
    readonly keys: readonly (AttestationKey | undefined)[]
    readonly crypto: Crypto
    readonly findings: Findings
    readonly walk: CheckpointWalk
    readonly snapshots: SnapshotWalk
    readonly hosts: HostChecks
  }) {
    const { document, crypto } = from
    this.#document = document
    this.#keys = from.keys
    this.#crypto = crypto
    this.#findings = from.findings
    this.#walk = from.walk
    this.#batchTree = treeHash('batch', crypto.sha256)
    this.#runId = fromHex(document.run)
    this.#snapshots = from.snapshots
    this.#environmentDigests = document.attempts.map(({ environment }) => environmentDigest(environment, crypto.sha256))
    this.#order = new AttestationOrder(document.attempts)
    this.#signatures = new SignatureChecks(crypto, from.findings)
    this.#hosts = from.hosts
    this.#pcrsAtLeast = [...new Set([...FIRMWARE_PCRS, ...demandedRegisters(document.computation.host)])]
  }

  /** The last checkpoint that an attestation covers; -1 when there is none. */
  get signedSeq(): number {
    return this.#order.signedSeq
  }

  /** What boot statements tell of the hosts' power, in the order of the record. */
  get powerChanges(): readonly PowerChange[] {
    return this.#order.changes
  }

  get counts(): readonly HostCount[] {
    return this.#order.counts
  }

  /** Something between two attempts is not shown. */
  get hasGaps(): boolean {
    return this.#order.gaps.length > 0
  }

  /** Walks the checkpoints as far as the attestation covers them, and checks all that can be checked of it. */
  async check(attestation: Attestation): Promise<void> {
    const path = `${ATTESTATIONS_ENTRY}:${this.count + 1}`
    const add = (code: FindingCode, message: string): void => this.#findings.add(code, path, message)
    const attestBytes = this.#bytesOf(attestation.attest)
    const signatureBytes = this.#bytesOf(attestation.signature)
    const key = this.#keys[this.#document.attempts[attestation.attempt - 1]?.host]
    if (key !== undefined)
      this.#signatures.check(key, { message: attestBytes, signature: signatureBytes }, { code: 'SIGNATURE', path })
    const attest = this.#decode(attestBytes, path)
    if (attest !== undefined && key !== undefined && !equal(attest.qualifiedSigner, key.qualifiedName))
      add('ATTEST', "the signer is not the host's key in the endorsement hierarchy")
    const statements = this.#checkStatements(attestation, key, { path, add })
    for (const { code, message } of this.#order.check(attestation, attest?.clockInfo, statements)) add(code, message)
    if (attest !== undefined && this.#checkPcrs(attest.attested, attestation, add)) {
      if (!this.#hosts.hasBegun(attestation.attempt)) await this.#hosts.begin(attestation.attempt)
      this.#hosts.check(attestation, attest.clockInfo, path)
    }
    const count = attestation.seq + 1
    if (this.#walk.walkThere(count) || (await this.#walk.walkTo(count)))
      this.#checkBatch(attestation, { attest, key, add })
    else if (!this.#walk.isBroken)
      add('ATTESTATION_ORDER', `checkpoint ${attestation.seq}, which it covers, is not there`)
    this.#previous = attestationDigest(attestBytes, signatureBytes, this.#crypto.sha256)
    this.first ??= attestation
    this.count++
    if (this.#signatures.isFull) await this.#signatures.end()
  }

  /** To be called after the last attestation. */
  async end(): Promise<void> {
    await this.#signatures.end()
    await this.#hosts.end()
    for (const { attempt, message } of this.#order.gaps)
      this.#findings.add('ATTEMPT_GAP', `${RECORD_ENTRY} $.attempts[${attempt - 1}]`, message)
    if (this.isBroken) return
    for (const message of this.#order.end()) this.#findings.add('ATTESTATION_ORDER', ATTESTATIONS_ENTRY, message)
  }

  #decode(bytes: Uint8Array, path: string): (TpmsAttest & { readonly attested: TpmsQuoteInfo }) | undefined {
    try {
      const attest = decodeTpmsAttest(bytes)
      if (attest.type === TPM_ST.ATTEST_QUOTE) return attest
      this.#findings.add('ATTEST', path, `the attestation has type 0x${attest.type.toString(16)}, not that of a quote`)
    } catch (error) {
      this.#findings.addError(error, 'ATTEST', path)
    }
    return undefined
  }

  #checkStatements(
    attestation: Attestation,
    key: AttestationKey | undefined,
    found: Pick<StatementsOf, 'path' | 'add'>,
  ): StatementFacts {
    if (key === undefined) return { boot: undefined, counter: undefined }
    const { attempt } = attestation
    return checkStatements({
      joined: attestation,
      key,
      count: {
        purpose: attempt === this.#order.attempt ? 'end' : 'begin',
        runId: this.#runId,
        attempt,
        previous: this.#previous,
      },
      signatures: this.#signatures,
      crypto: this.#crypto,
      ...found,
    })
  }

  /** @returns Whether the values shown are those that were quoted, and enough. */
  #checkPcrs(quote: TpmsQuoteInfo, { pcrs }: Attestation, add: (code: FindingCode, message: string) => void): boolean {
    const fail = (message: string): false => {
      add('PCRS', message)
      return false
    }
    // Registers seldom change during a run, and the decoder then gives the same object.
    if (this.#shown?.pcrs !== pcrs) this.#shown = shownPcrs(pcrs, { atLeast: this.#pcrsAtLeast, crypto: this.#crypto })
    const { named, missing, digest } = this.#shown
    const [selection, ...others] = quote.pcrSelect
    const isExact = others.length === 0 && selection?.hash === TPM_ALG.SHA256 && selection.pcrs.join() === named
    if (!isExact) return fail('the quote selects other registers than those whose values are shown')
    if (missing.length > 0) return fail(`the quote does not cover PCR ${missing.join(', ')}`)
    if (equal(digest, quote.pcrDigest)) return true
    return fail('the values shown do not hash to the digest that was quoted')
  }

  /** The checkpoint that it covers was walked. */
  #checkBatch(
    attestation: Attestation,
    {
      attest,
      key,
      add,
    }: {
      readonly attest: TpmsAttest | undefined
      readonly key: AttestationKey | undefined
      readonly add: (code: FindingCode, message: string) => void
    },
  ): void {
    const { batch, seq } = attestation
    const attempt = this.#document.attempts[attestation.attempt - 1]
    const cumulative = this.#walk.cumulativeAt(seq)
    const snapshots = this.#snapshots.at(seq)
    // What comes out of order is found elsewhere, and has no C here.
    if (cumulative === undefined || snapshots === undefined) return
    if (attempt === undefined || attest === undefined || key === undefined) return
    const { sha256 } = this.#crypto
    const head = headDigest(
      {
        runId: this.#runId,
        attempt: attempt.attempt,
        firstSeq: attempt.firstSeq,
        seq,
        cumulative,
        snapshots,
        environmentDigest: this.#environmentDigests[attestation.attempt - 1],
        previous: joinedDigest(this.#previous, attestation, sha256),
      },
      sha256,
    )
    const root = rootFromPath(this.#batchTree, {
      leaf: this.#batchTree.leaf(head),
      index: batch.index,
      leafCount: batch.count,
      path: batch.path.map(fromHex),
    })
    if (root === undefined) return add('BATCH', 'the path does not have the length that index and count demand')
    const expected = batchDigest({ hostId: key.hostId, seq: BigInt(batch.seq), root }, sha256)
    if (!equal(attest.extraData, expected))
      add('BATCH', `what was signed is not checkpoint ${seq} of this run with all that comes before it`)
  }
}

/** What there is to compare a quote with. */
interface ShownPcrs {
  readonly pcrs: Attestation['pcrs']
  /** Ascending, joined by commas. */
  readonly named: string
  /** Those that every quote must cover and that are not shown. */
  readonly missing: readonly number[]
  /** What a quote of exactly these registers says, in the hash of both schemes that are taken. */
  readonly digest: Uint8Array
}

function shownPcrs(
  pcrs: Attestation['pcrs'],
  { atLeast, crypto: { hash } }: { readonly atLeast: readonly number[]; readonly crypto: Crypto },
): ShownPcrs {
  // Ascending, as names that are small integers are (ECMA-262, OrdinaryOwnPropertyKeys); the decoder takes no others.
  const named = Object.keys(pcrs.sha256).map(Number)
  const sha256 = Object.fromEntries(named.map((pcr) => [pcr, fromHex(pcrs.sha256[pcr])]))
  const selection = [{ hash: TPM_ALG.SHA256, pcrs: named }]
  const digest = pcrDigest({ hash, algorithm: 'sha256', selection, banks: { sha256 } })
  assert(digest !== undefined, 'every register that is selected has its value')
  return { pcrs, named: named.join(), missing: atLeast.filter((pcr) => !named.includes(pcr)), digest }
}
