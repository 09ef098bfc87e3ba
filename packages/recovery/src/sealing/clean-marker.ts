/** The marker of a clean shutdown: a quote that is good for the next boot alone. Format: spec/release.md §12.1. */

import {
  canonical,
  type Crypto,
  decodeTpmsAttest,
  decodeTpmtPublic,
  decodeTpmtSignature,
  equal,
  hex,
  parseCanonicalBytes,
  TPM_ALG,
  TPM_ST,
  toPublicKey,
  utf8,
} from '@reprise/core'
import { bytes, object, oneOf, text } from '@reprise/host/decode'
import { type ObjectEntity, Quote, type Tpm } from '@reprise/tpm'
import type { HostId } from '../types.ts'
import { CAP_PCR } from './boot-state.ts'
import type { HeartbeatClock } from './prior-shutdown.ts'
import { sha256, tagged } from './words.ts'

const SCHEMA = 'reprise/clean-shutdown/v1'
const MARKER_BYTES_MAX = 4096

interface Marker {
  readonly schema: typeof SCHEMA
  readonly bootId: string
  readonly attest: Uint8Array
  readonly signature: Uint8Array
}

const decode = object<Marker>({
  schema: oneOf(SCHEMA),
  bootId: text(64),
  attest: bytes(1, 1024),
  signature: bytes(1, 1024),
})

function markerDigest(host: HostId, bootId: string): Uint8Array {
  return sha256(tagged(SCHEMA).sized(utf8(host)).sized(utf8(bootId)).done())
}

/** To be written when services are down, before TPM2_Shutdown(CLEAR). @returns The marker's file. */
export async function signCleanMarker(
  tpm: Tpm,
  ak: ObjectEntity,
  { host, bootId }: { readonly host: HostId; readonly bootId: string },
): Promise<Uint8Array> {
  const pcrSelect = [{ hash: TPM_ALG.SHA256, pcrs: [CAP_PCR] }]
  const qualifyingData = markerDigest(host, bootId)
  const { attest, signature } = await tpm.execute(Quote({ signHandle: ak, qualifyingData, pcrSelect }))
  return utf8(canonical({ schema: SCHEMA, bootId, attest: hex(attest), signature: hex(signature) }))
}

export type CheckedMarker = { readonly kind: 'holds' } | { readonly kind: 'refused'; readonly why: string }

/**
 * Whether a marker is of the end of the power cycle before this one. What is no such file is no error: somebody may have
 * written it, or cut it off.
 *
 * @param marker - The file.
 * @param check.akPublic - TPMT_PUBLIC of the host's attestation key.
 * @param check.now - Counts of this boot.
 */
export function checkCleanMarker(
  marker: Uint8Array,
  check: {
    readonly host: HostId
    readonly akPublic: Uint8Array
    readonly now: Pick<HeartbeatClock, 'resetCount' | 'restartCount'>
    readonly crypto: Pick<Crypto, 'verify'>
  },
): CheckedMarker {
  const refused = (why: string): CheckedMarker => ({ kind: 'refused', why })
  try {
    const { bootId, attest, signature } = decode(parseCanonicalBytes(marker, MARKER_BYTES_MAX, 'marker'), 'marker')
    const { scheme, signature: raw } = decodeTpmtSignature(signature)
    const key = toPublicKey(decodeTpmtPublic(check.akPublic))
    // A crypto that answers later has not said that it holds.
    if (check.crypto.verify({ key, scheme, message: attest, signature: raw }) !== true)
      return refused('the signature of this host’s attestation key does not hold')
    const { type, extraData, clockInfo } = decodeTpmsAttest(attest)
    if (type !== TPM_ST.ATTEST_QUOTE || !equal(extraData, markerDigest(check.host, bootId)))
      return refused(`the TPM signed something else than the end of the boot ${bootId} of ${check.host}`)
    const { resetCount, restartCount } = check.now
    if (clockInfo.resetCount + 1 !== resetCount || restartCount !== 0)
      return refused(
        `it is of boot ${clockInfo.resetCount} of the TPM, and this is boot ${resetCount}, restarted ${restartCount} times`,
      )
    return { kind: 'holds' }
  } catch (error) {
    return refused((error as Error).message)
  }
}
