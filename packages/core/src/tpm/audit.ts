/**
 * The digest of an audit session, which TPM2_GetSessionAuditDigest signs: a verifier recomputes it
 * from the commands and answers that it was shown.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 1 §18 (cpHash, rpHash), §20 (audit sessions).
 */

import { ByteWriter, concat } from '../bytes/index.ts'
import type { Crypto, HashAlgorithm } from '../crypto.ts'

export interface AuditedExchange {
  /** A value of `TPM_CC`. */
  readonly commandCode: number
  /** Names of the entities in the handle area, in order. */
  readonly names: readonly Uint8Array[]
  /** The parameter area of the command and of the answer, as they were sent. */
  readonly parameters: Uint8Array
  readonly responseParameters: Uint8Array
}

/** cpHash: H(commandCode ‖ names ‖ parameters). */
export function commandParameterHash(
  exchange: Omit<AuditedExchange, 'responseParameters'>,
  using: { readonly hash: Crypto['hash']; readonly algorithm: HashAlgorithm },
): Uint8Array {
  const code = new ByteWriter().u32(exchange.commandCode).done()
  return using.hash(using.algorithm, concat(code, ...exchange.names, exchange.parameters))
}

/** rpHash of an answer with TPM_RC_SUCCESS: H(responseCode ‖ commandCode ‖ parameters). */
export function responseParameterHash(
  answer: Pick<AuditedExchange, 'commandCode' | 'responseParameters'>,
  using: { readonly hash: Crypto['hash']; readonly algorithm: HashAlgorithm },
): Uint8Array {
  const head = new ByteWriter().u32(0).u32(answer.commandCode).done()
  return using.hash(using.algorithm, concat(head, answer.responseParameters))
}

/** sessionDigest after these exchanges in a fresh audit session; begins with zeros. */
export function sessionAuditDigest(
  exchanges: readonly AuditedExchange[],
  using: { readonly hash: Crypto['hash']; readonly algorithm: HashAlgorithm },
): Uint8Array {
  let digest = new Uint8Array(using.hash(using.algorithm, new Uint8Array()).length)
  for (const exchange of exchanges) {
    digest = new Uint8Array(
      using.hash(
        using.algorithm,
        concat(digest, commandParameterHash(exchange, using), responseParameterHash(exchange, using)),
      ),
    )
  }
  return digest
}
