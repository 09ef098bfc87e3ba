/**
 * Policy digests without a TPM. Every method gives a new policy; `digest` is what goes into an
 * object's authPolicy, and what a session that meets the same steps comes to.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 3 §23, each command's "policyDigest" equation; Part 1 §19.7.
 */

import {
  ByteWriter,
  concat,
  digestLengthBytes,
  encodePcrSelection,
  hashAlg,
  type HashAlgorithm,
  type PcrSelection,
  TPM_CC,
  type TpmCommandName,
} from '@reprise/core'
import type { PolicyComparison } from '../commands/policy.ts'
import { hash } from '../hashing.ts'

const EMPTY = new Uint8Array()

export class Policy {
  readonly algorithm: HashAlgorithm
  readonly digest: Uint8Array

  /** Without a digest: the empty policy, all zeros. */
  constructor(
    algorithm: HashAlgorithm = 'sha256',
    digest: Uint8Array = new Uint8Array(digestLengthBytes(hashAlg(algorithm))),
  ) {
    this.algorithm = algorithm
    this.digest = digest
  }

  /** @param step.pcrDigest - `pcrDigest` of `core`, with this policy's hash. */
  pcr(step: { readonly pcrs: readonly PcrSelection[]; readonly pcrDigest: Uint8Array }): Policy {
    return this.#extend('PolicyPCR', encodePcrSelection(step.pcrs), step.pcrDigest)
  }

  authValue(): Policy {
    return this.#extend('PolicyAuthValue')
  }

  commandCode(code: TpmCommandName): Policy {
    return this.#extend('PolicyCommandCode', u32(TPM_CC[code]))
  }

  /** @param step.name - Name of the entity whose authValue must be known; a hierarchy's is its handle. */
  secret(step: { readonly name: Uint8Array; readonly policyRef?: Uint8Array }): Policy {
    return this.#update('PolicySecret', step.name, step.policyRef)
  }

  /** @param step.name - Name of the signer's public area. */
  signed(step: { readonly name: Uint8Array; readonly policyRef?: Uint8Array }): Policy {
    return this.#update('PolicySigned', step.name, step.policyRef)
  }

  /** Forgets the steps before: they are in the approved policy. @param step.keySign - Name of the approver's public area. */
  authorize(step: { readonly keySign: Uint8Array; readonly policyRef?: Uint8Array }): Policy {
    return new Policy(this.algorithm).#update('PolicyAuthorize', step.keySign, step.policyRef)
  }

  /** Forgets the steps before: they are in the NV index. */
  authorizeNv(step: { readonly nvName: Uint8Array }): Policy {
    return new Policy(this.algorithm).#extend('PolicyAuthorizeNV', step.nvName)
  }

  nv(step: PolicyComparison & { readonly nvName: Uint8Array }): Policy {
    return this.#extend('PolicyNV', this.#comparison(step), step.nvName)
  }

  counterTimer(step: PolicyComparison): Policy {
    return this.#extend('PolicyCounterTimer', this.#comparison(step))
  }

  /** This policy is not among the steps: only the alternatives count. */
  static or(alternatives: readonly Policy[]): Policy {
    const algorithm = alternatives[0]?.algorithm ?? 'sha256'
    return new Policy(algorithm).#extend('PolicyOR', ...alternatives.map(({ digest }) => digest))
  }

  #comparison({ operandB, offset = 0, operation }: PolicyComparison): Uint8Array {
    return hash(this.algorithm, concat(operandB, new ByteWriter().u16(offset).u16(operation).done()))
  }

  #extend(name: TpmCommandName, ...parts: readonly Uint8Array[]): Policy {
    return new Policy(this.algorithm, hash(this.algorithm, concat(this.digest, u32(TPM_CC[name]), ...parts)))
  }

  /** PolicyUpdate(), Part 3 §23.2.3: the reference is extended in a step of its own, even when it is empty. */
  #update(name: TpmCommandName, entity: Uint8Array, policyRef: Uint8Array = EMPTY): Policy {
    const named = this.#extend(name, entity)
    return new Policy(this.algorithm, hash(this.algorithm, concat(named.digest, policyRef)))
  }
}

function u32(value: number): Uint8Array {
  return new ByteWriter().u32(value).done()
}
