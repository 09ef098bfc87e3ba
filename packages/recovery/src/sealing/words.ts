/** The tagged hashes of releases. Format: spec/release.md §1. */

import { createHash } from 'node:crypto'
import { ByteWriter, utf8 } from '@reprise/core'
import type { HostId } from '../types.ts'

export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const digest = createHash('sha256')
  for (const part of parts) digest.update(part)
  return new Uint8Array(digest.digest())
}

/** A tag, its zero byte, and the fields after it. */
export function tagged(tag: string): ByteWriter {
  return new ByteWriter().raw(utf8(`${tag}\0`))
}

/** What an approval is for: reading a share, or opening the TPM half of a chip without PolicyAuthorizeNV. */
export type ApprovalPurpose = 'share' | 'lease'

const PURPOSES: Readonly<Record<ApprovalPurpose, number>> = { share: 1, lease: 2 }

/** policyRef of PolicyAuthorize (§4.2). */
export function approvalRef(host: HostId, purpose: ApprovalPurpose): Uint8Array {
  return sha256(tagged('reprise/approval/v1').u8(PURPOSES[purpose]).sized(utf8(host)).done())
}

/** policyRef of the PolicySigned that writes a lease index (§3.1). */
export function leaseRef(host: HostId): Uint8Array {
  return sha256(tagged('reprise/lease/v1').sized(utf8(host)).done())
}

/** policyRef of break-glass (§3.4). @param nonce - 32 bytes, drawn when the half was sealed. */
export function breakGlassRef(host: HostId, nonce: Uint8Array): Uint8Array {
  return sha256(tagged('reprise/break-glass/v1').sized(utf8(host)).raw(nonce).done())
}
