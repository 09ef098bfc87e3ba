/** The marker of a clean shutdown: a quote that is good for the next boot alone. Format: spec/release.md §12.1. */

import {
  canonical,
  type Crypto,
  decodeTpmsAttest,
  decodeTpmtPublic,
  decodeTpmtSignature,
  equal,
  fromUtf8,
  hex,
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

/**
 * Whether a marker is of the end of the power cycle before this one.
 *
 * @param marker - The file; undefined when there is none.
 * @param check.akPublic - TPMT_PUBLIC of the host's attestation key.
 * @param check.now - Counts of this boot.
 */
export function holdsCleanMarker(
  marker: Uint8Array | undefined,
  check: {
    readonly host: HostId
    readonly akPublic: Uint8Array
    readonly now: Pick<HeartbeatClock, 'resetCount' | 'restartCount'>
    readonly crypto: Pick<Crypto, 'verify'>
  },
): boolean {
  if (marker === undefined || marker.length > MARKER_BYTES_MAX) return false
  try {
    const { bootId, attest, signature } = decode(JSON.parse(fromUtf8(marker)), 'marker')
    const { scheme, signature: raw } = decodeTpmtSignature(signature)
    const key = toPublicKey(decodeTpmtPublic(check.akPublic))
    const quote = decodeTpmsAttest(attest)
    return (
      check.crypto.verify({ key, scheme, message: attest, signature: raw }) &&
      quote.type === TPM_ST.ATTEST_QUOTE &&
      equal(quote.extraData, markerDigest(check.host, bootId)) &&
      quote.clockInfo.resetCount + 1 === check.now.resetCount &&
      check.now.restartCount === 0
    )
  } catch {
    // Whatever is not such a file is no marker.
    return false
  }
}
