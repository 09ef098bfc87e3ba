/** Everything there is to say about a host's TPM and identity, as JSON, for showing. */

import { X509Certificate } from 'node:crypto'
import { hex, STARTUP_CLEAR_ORDERLY, TPM_ALG, TPM_PT } from '@reprise/core'
import type { Tier } from '@reprise/core/certificates'
import { readPcrs, ReadClock, readProperties, type Tpm } from '@reprise/tpm'
import type { HostPaths } from '../home.ts'
import type { Enrolment, HostFacts } from '../signer/protocol.ts'
import type { Identity } from './identity.ts'

/** How far a host can be trusted, and why. */
export type HostTier =
  | { readonly tier: 'software'; readonly reason: 'whoever administers this machine can copy the TPM' }
  | { readonly tier: 'unknown'; readonly reason: 'no authority has certified this host' }
  | { readonly tier: Tier; readonly reason: 'by the endorsement certificate, as the authority saw it' }

export interface HostReport {
  readonly schema: 'reprise/host-report/v1'
  readonly hostId: string
  readonly tier: HostTier
  readonly home: string
  readonly signer: { readonly pid: number }
  readonly notices: readonly string[]
  readonly tpm: {
    readonly transport: 'swtpm' | 'device'
    readonly manufacturer: string
    readonly firmware: string
    /** Milliseconds of powered time, decimal. */
    readonly clock: string
    readonly resetCount: number
    readonly restartCount: number
    readonly safe: boolean
    /** Whether the TPM was shut down before its last start. */
    readonly orderly: boolean
    readonly lockout: {
      readonly counter: number
      readonly maxAuthFail: number
      readonly intervalSeconds: number
      readonly recoverySeconds: number
    }
    /** Bank SHA-256, PCR 0 to 23, hex. */
    readonly pcrs: { readonly sha256: Readonly<Record<string, string>> }
  }
  readonly ak: { readonly name: string; readonly handle: string; readonly public: string }
  readonly ek: { readonly name: string; readonly certificate: CertificateReport | null }
  /** Null for a host that enrolled itself. */
  readonly enrolment: EnrolmentReport | null
}

export interface EnrolmentReport {
  /** What the authority calls this host. */
  readonly name: string
  /** By the chain of the EK certificate, as the authority saw it. */
  readonly tier: Tier
  /** SHA-256 of the authority's key, hex. */
  readonly authority: string
  readonly authorityName: string
  readonly certificate: CertificateReport
}

export interface CertificateReport {
  readonly sha256: string
  readonly subject: string
  readonly issuer: string
  readonly serial: string
  readonly validFrom: string
  readonly validTo: string
}

export async function reportHost(
  tpm: Tpm,
  host: {
    readonly facts: HostFacts
    readonly identity: Identity
    readonly paths: HostPaths
    readonly enrolment: Enrolment | undefined
  },
): Promise<HostReport> {
  const { facts, identity, paths, enrolment } = host
  const { clockInfo } = (await tpm.execute(ReadClock())).currentTime
  const { clock, resetCount, restartCount, safe } = clockInfo
  const enrolled = enrolment === undefined ? null : await describeEnrolment(enrolment, facts.akPublic)
  return {
    schema: 'reprise/host-report/v1',
    hostId: hex(facts.hostId),
    tier: tierOf(facts, enrolled),
    home: paths.home,
    signer: { pid: process.pid },
    notices: facts.notices,
    tpm: {
      ...facts.tpm,
      clock: String(clock),
      resetCount,
      restartCount,
      safe,
      ...(await readState(tpm)),
      pcrs: { sha256: await readAllPcrs(tpm) },
    },
    ak: { name: hex(facts.akName), handle: `0x${identity.akHandle.toString(16)}`, public: hex(facts.akPublic) },
    ek: {
      name: hex(identity.ekName),
      certificate: facts.ekCertificate === null ? null : describeCertificate(facts.ekCertificate),
    },
    enrolment: enrolled,
  }
}

function tierOf({ tpm }: HostFacts, enrolment: EnrolmentReport | null): HostTier {
  if (tpm.transport === 'swtpm')
    return { tier: 'software', reason: 'whoever administers this machine can copy the TPM' }
  if (enrolment === null) return { tier: 'unknown', reason: 'no authority has certified this host' }
  return { tier: enrolment.tier, reason: 'by the endorsement certificate, as the authority saw it' }
}

async function readState(tpm: Tpm): Promise<Pick<HostReport['tpm'], 'orderly' | 'lockout'>> {
  const first = TPM_PT.STARTUP_CLEAR
  const properties = await readProperties(tpm, first, TPM_PT.LOCKOUT_RECOVERY - first + 1)
  const value = (property: number): number => properties.get(property) ?? 0
  return {
    orderly: (value(TPM_PT.STARTUP_CLEAR) & STARTUP_CLEAR_ORDERLY) !== 0,
    lockout: {
      counter: value(TPM_PT.LOCKOUT_COUNTER),
      maxAuthFail: value(TPM_PT.MAX_AUTH_FAIL),
      intervalSeconds: value(TPM_PT.LOCKOUT_INTERVAL),
      recoverySeconds: value(TPM_PT.LOCKOUT_RECOVERY),
    },
  }
}

async function readAllPcrs(tpm: Tpm): Promise<Record<string, string>> {
  const pcrs = Array.from({ length: 24 }, (_, index) => index)
  const { sha256 = {} } = await readPcrs(tpm, [{ hash: TPM_ALG.SHA256, pcrs }])
  return Object.fromEntries(Object.entries(sha256).map(([index, value]) => [index, hex(value)]))
}

async function describeEnrolment(enrolment: Enrolment, akPublic: Uint8Array): Promise<EnrolmentReport> {
  const { checkChain } = await import('../enrolment/chain.ts')
  const { authority, authorityName, hostName, tier } = await checkChain(enrolment, akPublic)
  const certificate = describeCertificate(enrolment.certificates[0])
  return { name: hostName, tier, authority: hex(authority), authorityName, certificate }
}

function describeCertificate(der: Uint8Array): CertificateReport {
  const { subject, issuer, serialNumber, validFromDate, validToDate, fingerprint256 } = new X509Certificate(der)
  return {
    sha256: fingerprint256.replaceAll(':', '').toLowerCase(),
    subject: oneLine(subject),
    issuer: oneLine(issuer),
    serial: serialNumber.toLowerCase(),
    validFrom: validFromDate.toISOString(),
    validTo: validToDate.toISOString(),
  }
}

function oneLine(name: string | undefined): string {
  return (name ?? '').split('\n').join(', ')
}
