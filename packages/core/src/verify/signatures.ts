/** Signatures of attestation keys, checked as many at a time as the crypto likes. Format: spec/record.md §6. */
import type { Crypto } from '../crypto.ts'
import { decodeTpmtSignature } from '../tpm/index.ts'
import type { FindingCode, Findings } from './findings.ts'
import type { AttestationKey } from './host.ts'

/** Signatures that are under way at once, when `Crypto.verify` answers later. */
const PENDING_MAX = 256

/** How a signature that does not hold is told. */
export interface WrongSignature {
  readonly code: FindingCode
  readonly path: string
  /** What was signed, where that is not the attestation itself. */
  readonly of?: string
}

export class SignatureChecks {
  readonly #crypto: Crypto
  readonly #findings: Findings
  #pending: Promise<void>[] = []

  constructor(crypto: Crypto, findings: Findings) {
    this.#crypto = crypto
    this.#findings = findings
  }

  /** As many are under way as may be: the caller then waits for them. Awaiting each one would leave a page's worker pool idle. */
  get isFull(): boolean {
    return this.#pending.length >= PENDING_MAX
  }

  /** What is wrong is found at the latest when `end` resolves, at the place of this call among the findings. */
  check(
    { key, scheme: expected }: AttestationKey,
    signed: { readonly message: Uint8Array; readonly signature: Uint8Array },
    { code, path, of }: WrongSignature,
  ): void {
    const tell = (why: string): string => (of === undefined ? why : `${of}: ${why}`)
    const { scheme, signature } = decodeSignature(signed.signature)
    if (scheme?.kind !== expected.kind || scheme.hash !== expected.hash)
      return this.#findings.add(code, path, tell("the signature is not of the key's scheme"))
    const wrong = "the signature is not that of the host's key over this attestation"
    const answer = this.#crypto.verify({ key, scheme, message: signed.message, signature })
    if (typeof answer === 'boolean') return answer ? undefined : this.#findings.add(code, path, tell(wrong))
    const add = this.#findings.later()
    this.#pending.push(answer.then((holds) => (holds ? undefined : add(code, path, tell(wrong)))))
    return undefined
  }

  async end(): Promise<void> {
    await Promise.all(this.#pending)
    this.#pending = []
  }
}

/** A signature that does not decode has no scheme, which no key has either. */
function decodeSignature(
  bytes: Uint8Array,
): Partial<ReturnType<typeof decodeTpmtSignature>> & { readonly signature: Uint8Array } {
  try {
    return decodeTpmtSignature(bytes)
  } catch {
    return { signature: bytes }
  }
}
