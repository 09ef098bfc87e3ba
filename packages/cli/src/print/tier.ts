/** The weakest link, in words, on the first screen. */
import type { HostFacts } from '@reprise/host'
import { tierOf } from '@reprise/runner'

export type Tier = 'hardware' | 'firmware' | 'software'

/** What a host may say of itself. */
export interface Standing {
  readonly tier: Tier
  readonly enrolment: 'self' | 'authority'
}

/**
 * The tier is decided by who vouches for a TPM: a chip that nobody knows counts no more than a software one, and a
 * software one stays one whatever anybody says.
 */
export async function standingOf(host: HostFacts): Promise<Standing> {
  return { tier: (await tierOf(host)).name, enrolment: host.certificates.length === 0 ? 'self' : 'authority' }
}

/** @param enrolment - `elsewhere`: every host is certified, and of one at least by nobody whom the reader trusts. */
export function weakestLink(tier: Tier, enrolment: 'self' | 'elsewhere' | 'authority' | 'none'): string {
  switch (enrolment) {
    case 'authority':
      return `${tier} TPM, enrolled`
    case 'self':
      return `${tier} TPM, self-enrolled: shows that nothing changed since it was made, not who made it`
    case 'elsewhere':
      return `${tier} TPM, enrolled at an authority that is not trusted here: shows that nothing changed since it was made, not who made it`
    default:
      return 'not signed at all: shows nothing'
  }
}
