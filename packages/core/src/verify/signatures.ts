/** Signatures of attestation keys, checked as many at a time as the crypto likes. Format: spec/record.md §6. */
import type { Crypto } from '../crypto.ts'
import { decodeTpmtSignature } from '../tpm/index.ts'
import type { AttestationKey } from './host.ts'

/** Signatures that are under way at once, when `Crypto.verify` answers later. */
const PENDING_MAX = 256

export class SignatureChecks {
  readonly #crypto: Crypto
  #pending: Promise<void>[] = []

  constructor(crypto: Crypto) {
    this.#crypto = crypto
  }

  /** @param wrong - Called with what is wrong, at the latest before `end` resolves. */
  async check(
    { key, scheme: expected }: AttestationKey,
    signed: { readonly message: Uint8Array; readonly signature: Uint8Array },
    wrong: (message: string) => void,
  ): Promise<void> {
    const { scheme, signature } = decodeSignature(signed.signature)
    if (scheme?.kind !== expected.kind || scheme.hash !== expected.hash)
      return wrong("the signature is not of the key's scheme")
    const answer = this.#crypto.verify({ key, scheme, message: signed.message, signature })
    const judge = (holds: boolean): void => {
      if (!holds) wrong("the signature is not that of the host's key over this attestation")
    }
    // Awaiting each one would leave a page's worker pool idle; Node answers at once.
    if (typeof answer === 'boolean') return judge(answer)
    this.#pending.push(answer.then(judge))
    if (this.#pending.length >= PENDING_MAX) await this.end()
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
