/** The weakest link, in words, on the first screen. */
import type { HostFacts } from '@reprise/host'

export type Tier = 'hardware' | 'firmware' | 'software'

/**
 * What a host may say of its own TPM before anybody has certified it: the tier is decided by who vouches for it, so a
 * chip that nobody knows counts no more than a software TPM.
 */
export function ownTier(_host: HostFacts): Tier {
  return 'software'
}

export function weakestLink(tier: Tier, enrolment: 'self' | 'authority' | 'none'): string {
  switch (enrolment) {
    case 'authority':
      return `${tier} TPM, enrolled`
    case 'self':
      return `${tier} TPM, self-enrolled: shows that nothing changed since it was made, not who made it`
    default:
      return 'not signed at all: shows nothing'
  }
}
