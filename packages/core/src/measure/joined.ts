/** What a TPM signs about its own power cycles, and how a run's chain takes it in. Format: spec/power-cycles.md. */
import { sized, tupleDigest, utf8 } from '../bytes/index.ts'
import { canonical } from '../canon/index.ts'
import type { Sha256 } from '../crypto.ts'
import type { Joined } from '../record/types.ts'

/** The qualifying data of a boot statement's two attestations. @param bootId - The kernel's, null where there is none. */
export function bootDigest(
  { hostId, bootId }: { readonly hostId: Uint8Array; readonly bootId: string | null },
  sha256: Sha256,
): Uint8Array {
  return tupleDigest(sha256, 'reprise/boot/v1', hostId, ...sized(utf8(bootId ?? '')))
}

/** Why the counter of a host is certified for an attempt. */
export type CountPurpose = 'begin' | 'end'

const PURPOSES: Readonly<Record<CountPurpose, number>> = { begin: 1, end: 2 }

/** What a counter is certified for. */
export interface Count {
  readonly purpose: CountPurpose
  readonly runId: Uint8Array
  readonly attempt: number
  /** {@link attestationDigest} of the run's attestation before, 32 zero bytes at first. */
  readonly previous: Uint8Array
}

/** The qualifying data of an attempt's counter. */
export function countDigest(count: Count & { readonly hostId: Uint8Array }, sha256: Sha256): Uint8Array {
  const { hostId, purpose, runId, attempt, previous } = count
  return tupleDigest(sha256, 'reprise/count/v1', hostId, PURPOSES[purpose], runId, BigInt(attempt), previous)
}

/** What stands in a head for `previous` when its attestation carries statements; without any, `previous` itself. */
export function joinedDigest(previous: Uint8Array, { boot, counter }: Joined, sha256: Sha256): Uint8Array {
  if (boot === undefined && counter === undefined) return previous
  const said = canonical({ ...(boot !== undefined && { boot }), ...(counter !== undefined && { counter }) })
  return tupleDigest(sha256, 'reprise/joined/v1', previous, utf8(said))
}
