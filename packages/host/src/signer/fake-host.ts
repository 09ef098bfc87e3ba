/** For tests: a host in memory whose TPM signs nothing, as slowly as a test wants. */

import {
  type Count,
  type CounterStatement,
  encodeTpmsAttest,
  hex,
  hostId,
  qualifiedName,
  TPM_ALG,
  TPM_RH,
  TPM_ST,
} from '@reprise/core'
import { hash, sha256 } from '../hashing.ts'
import type { HostReport } from '../identity/report.ts'
import type { SignedBoot } from '../power/power.ts'
import type { Quote } from './batcher.ts'
import type { Endorsement, Enrolment, Proof, TpmClock, ToProve } from './protocol.ts'
import type { SigningHost } from './server.ts'

export class FakeHost implements SigningHost {
  readonly akName: Uint8Array = Uint8Array.from({ length: 34 }, (_, i) => (i < 2 ? [0, 11][i] : i))
  readonly facts: SigningHost['facts'] = {
    hostId: hostId(this.akName, sha256),
    akPublic: Uint8Array.of(1, 2, 3),
    akName: this.akName,
    ekCertificate: null,
    certificates: [],
    tpm: { manufacturer: 'TEST', firmware: '0000000000000001', transport: 'swtpm' },
    notices: [],
  }
  resetCount = 1
  restartCount = 0
  closed = false
  /** The qualifying data of all quotes so far. */
  readonly quoted: Uint8Array[] = []
  /** What its counter was certified for. */
  readonly counted: Count[] = []
  /** Awaited before each quote: how a test makes the TPM slow, or fail. */
  beforeQuote: () => Promise<void> = async () => undefined
  #batches = 0n

  async quote(extraData: Uint8Array): Promise<Quote> {
    this.quoted.push(extraData)
    await this.beforeQuote()
    const attested = { pcrSelect: [{ hash: TPM_ALG.SHA256, pcrs: [0] }], pcrDigest: new Uint8Array(32) }
    const attest = encodeTpmsAttest({ ...this.#said(extraData), type: TPM_ST.ATTEST_QUOTE, attested })
    return { attest, signature: Uint8Array.of(9), pcrs: { '0': '00'.repeat(32) }, ...(await this.clock()) }
  }

  #said(extraData: Uint8Array) {
    const { resetCount, restartCount } = this
    return {
      qualifiedSigner: qualifiedName({ parent: TPM_RH.ENDORSEMENT, name: this.akName, hash }),
      extraData,
      clockInfo: { clock: BigInt(this.quoted.length), resetCount, restartCount, safe: true },
      firmwareVersion: 1n,
    }
  }

  async measure(): Promise<string> {
    return '[]'
  }

  async nextBatchSeq(): Promise<bigint> {
    return this.#batches++
  }

  async clock(): Promise<TpmClock> {
    const { resetCount, restartCount } = this
    return { resetCount, restartCount, clock: BigInt(this.quoted.length) }
  }

  async boot(): Promise<SignedBoot> {
    const { resetCount, restartCount } = this
    const startup = { attest: hex(Uint8Array.of(resetCount, restartCount)), response: '01', signature: '02' }
    return { resetCount, restartCount, statement: { bootId: null, counter: this.#counter(), startup } }
  }

  async count(count: Count): Promise<CounterStatement> {
    this.counted.push(count)
    return this.#counter()
  }

  #counter(): CounterStatement {
    const attested = { indexName: Uint8Array.of(5), offset: 0, nvContents: Uint8Array.of(this.counted.length) }
    const attest = encodeTpmsAttest({ ...this.#said(Uint8Array.of(6)), type: TPM_ST.ATTEST_NV, attested })
    return { attest: hex(attest), public: '03', signature: '04' }
  }

  async report(): Promise<HostReport> {
    return { schema: 'reprise/host-report/v1', signer: { pid: process.pid } } as HostReport
  }

  async endorsement(): Promise<Endorsement> {
    return { ekPublic: Uint8Array.of(7), ekIssuers: [] }
  }

  async prove({ id }: ToProve): Promise<Proof> {
    const { attest, signature } = await this.quote(id)
    return { secret: new Uint8Array(32), quote: { attest, signature, pcrs: { sha256: {} } } }
  }

  /** What it was told to keep. */
  readonly kept: Enrolment[] = []

  async keep(enrolment: Enrolment): Promise<void> {
    this.kept.push(enrolment)
  }

  async close(): Promise<void> {
    this.closed = true
  }
}

/** Waits for something that other parts of the program bring about. */
export async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2))
}
