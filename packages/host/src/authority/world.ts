/** What an authority asks of the world. */

import type { Tier } from '@reprise/core/certificates'
import type { EnrolRequest } from '../enrolment/messages.ts'
import type { EkRoot } from './events.ts'

/** The world outside, for tests to choose. */
export interface AuthorityWorld {
  readonly now: () => Date
  readonly random: (lengthBytes: number) => Uint8Array
  /** By the chain of the EK certificate; a key without one is `software`. */
  readonly tierOf: (
    ek: Pick<EnrolRequest, 'ekCertificate' | 'ekIssuers'>,
    own: readonly EkRoot[],
  ) => Promise<TierVerdict>
}

export interface TierVerdict {
  readonly tier: Tier
  readonly reason: string
}
