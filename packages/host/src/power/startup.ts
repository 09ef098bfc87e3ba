/** How a TPM says that it was started. Format: spec/power-cycles.md §2. */

import { hex, STARTUP_CLEAR_REQUEST, type BootStatement } from '@reprise/core'
import {
  ENDORSEMENT,
  GetCapability,
  GetSessionAuditDigest,
  type ObjectEntity,
  StartAuthSession,
  type Tpm,
} from '@reprise/tpm'
import { isWrongAuth, locked } from '../identity/unfit.ts'

/**
 * Has the TPM read its own startup attributes in an audited session, and sign the audit.
 *
 * @throws HostError `TPM_LOCKED` when the endorsement hierarchy has a password.
 */
export async function quoteStartup(
  tpm: Tpm,
  ak: ObjectEntity,
  qualifyingData: Uint8Array,
): Promise<BootStatement['startup']> {
  await using session = await tpm.execute(StartAuthSession({ sessionType: 'hmac', audit: true }))
  const { raw } = await tpm.execute(GetCapability(STARTUP_CLEAR_REQUEST), { sessions: [session] })
  const request = { privacyAdminHandle: ENDORSEMENT, signHandle: ak, sessionHandle: session, qualifyingData }
  const { attest, signature } = await tpm.execute(GetSessionAuditDigest(request)).catch((cause: unknown) => {
    if (!isWrongAuth(cause)) throw cause
    throw locked('endorsement', 'it does not say how it was started', cause)
  })
  return { attest: hex(attest), response: hex(raw), signature: hex(signature) }
}
