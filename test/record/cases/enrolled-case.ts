/** Cases of hosts with certificates, before a reader with a trust policy. */
import type { FindingCode, VerifyResult } from '@reprise/core'
import { newRoot } from '../../certificates/authority.ts'
import { enrol, filesOf, keyOf, pem, policy } from '../enrolment.ts'
import type { Draft, Signed } from '../sample.ts'
import { record, type RecordCase } from './case.ts'

export interface Enrolled {
  readonly certificates?: readonly Uint8Array[]
  readonly ek?: Uint8Array | null
  readonly trust?: object
  readonly files?: Readonly<Record<string, Uint8Array>>
  readonly signed?: (signed: Signed) => void
  readonly draft?: (draft: Draft) => void
}

type Shown = Partial<Pick<VerifyResult, 'enrolment' | 'tier'>>

export function enrolled(
  name: string,
  why: string,
  expected: { readonly evidence: VerifyResult['evidence']; readonly codes: readonly FindingCode[] } & Shown,
  { certificates, ek, trust = policy(), files = {}, signed, draft = enrol(certificates, ek) }: Enrolled = {},
): RecordCase {
  const make = record({ draft, ...(signed && { signed }) })
  return { name, why, expected, make, beside: filesOf({ trust, files }) }
}

export const VERIFIED = { evidence: 'verified', codes: [], enrolment: 'authority', tier: 'firmware' } as const
export const unverifiable = (...codes: FindingCode[]): { evidence: 'unverifiable'; codes: FindingCode[] } & Shown => ({
  evidence: 'unverifiable',
  codes,
})
export const refuted = (...codes: FindingCode[]): { evidence: 'refuted'; codes: FindingCode[] } => ({
  evidence: 'refuted',
  codes,
})

export const OTHER = newRoot('Other root', { key: keyOf('other root') })

/** Another root than the lab's in the reader's file. */
export const withRoot = (der: Uint8Array): Pick<Enrolled, 'files'> => ({
  files: { 'lab-root.pem': Buffer.from(pem(der)) },
})
