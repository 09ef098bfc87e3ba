/** Whether the log of an authority, its certificates and its revocation list are what they should be. */

import { X509Certificate } from 'node:crypto'
import { equal, hex } from '@reprise/core'
import { readIfThere } from '../files.ts'
import { sha256 } from '../hashing.ts'
import type { Authority } from './authority.ts'

export interface AuditReport {
  readonly schema: 'reprise/authority-audit/v1'
  /** Digest of the last line: who notes it down can tell later that nothing before was changed or cut off. */
  readonly head: string
  readonly lines: number
  readonly requests: number
  readonly certificates: number
  readonly revoked: number
  /** Empty when everything holds. */
  readonly findings: readonly string[]
}

/**
 * Opening an authority has read its log: every line follows the one before, and every event fits what happened
 * before. This checks what the log names besides.
 *
 * @param since - A head that was noted earlier, hex.
 */
export async function auditAuthority(authority: Authority, since?: string): Promise<AuditReport> {
  const { state, log } = authority
  const findings: string[] = []
  const root = new X509Certificate(authority.settings.root)
  if (state.root === null || !equal(state.root, authority.settings.root))
    findings.push('the log was begun by another root than the authority has')
  for (const { serial, der, name } of state.certificates.values()) {
    const why = whyWrong(new X509Certificate(der), { root, serial, name })
    if (why !== undefined) findings.push(`the certificate ${serial} ${why}`)
  }
  if (state.list !== null) {
    const content = await readIfThere(authority.paths.revocations)
    if (content === undefined) findings.push(`${authority.paths.revocations} is missing`)
    else if (!equal(sha256(content), state.list.sha256))
      findings.push(
        `${authority.paths.revocations} is not the list number ${state.list.number} that the log has; make it anew: reprise authority revocations`,
      )
  }
  if (since !== undefined && !log.has(since))
    findings.push(`no line has the digest ${since}: the log was cut off or written anew since then`)
  const revoked = [...state.certificates.values()].filter((certificate) => certificate.revoked !== null)
  return {
    schema: 'reprise/authority-audit/v1',
    head: hex(log.head),
    lines: log.length,
    requests: state.requests.size,
    certificates: state.certificates.size,
    revoked: revoked.length,
    findings,
  }
}

function whyWrong(
  certificate: X509Certificate,
  { root, serial, name }: { readonly root: X509Certificate; readonly serial: string; readonly name: string },
): string | undefined {
  if (!certificate.checkIssued(root) || !certificate.verify(root.publicKey)) return 'was not issued by the root'
  if (certificate.serialNumber.toLowerCase() !== serial) return `has the serial number ${certificate.serialNumber}`
  if (certificate.subject !== `CN=${name}`) return `is for ${certificate.subject}, not ${name}`
  return undefined
}
