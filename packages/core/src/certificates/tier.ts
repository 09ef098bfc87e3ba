/** The two scales by which a host is judged, weakest first. Nothing else, so that whoever only compares loads no decoder. */

export const TIERS = ['software', 'firmware', 'hardware'] as const
/** How hard it is to copy the TPM. */
export type Tier = (typeof TIERS)[number]

/** The one that is easier to copy. */
export function lowerTier(a: Tier, b: Tier): Tier {
  return TIERS.indexOf(a) < TIERS.indexOf(b) ? a : b
}

export const MEASURERS = ['unmeasured', 'boot', 'runtime'] as const
/** How much of what ran on the host was measured into its TPM. */
export type Measurer = (typeof MEASURERS)[number]
