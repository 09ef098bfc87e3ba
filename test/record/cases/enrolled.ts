/** Hosts that an authority enrolled, and those that only look like it: authorities, time, revocation, tiers, trust policies. */
import { type FindingCode, hex } from '@reprise/core'
import { certifyAk, newAuthority, newRoot } from '../../certificates/authority.ts'
import {
  EK_DER,
  ekCertificateOf,
  hostCertificate,
  keyOf,
  LAB,
  type ListShape,
  nameOf,
  policy,
  revocationList,
  ROOT,
  rsaKey,
  statementOf,
} from '../enrolment.ts'
import { eccTpm } from '../imitation-tpm.ts'
import { nodeCrypto } from '../node-crypto.ts'
import type { RecordCase } from './case.ts'
import { enrolled, OTHER, refuted, unverifiable, VERIFIED, withRoot } from './enrolled-case.ts'

/** Another authority that took the lab's name. */
const NAMESAKE = newRoot('Lab root', { key: keyOf('namesake') })
const SWTPM = newRoot('swtpm-localca', { key: keyOf('swtpm') })
const RSA_ROOT = newRoot('RSA root', { key: rsaKey() })

const YEAR_2025 = Date.UTC(2025, 0, 1)
const YEAR_2028 = Date.UTC(2028, 0, 1)
const BEFORE_THE_RUN = Date.UTC(2026, 10, 1)
const AFTER_THE_RUN = Date.UTC(2026, 11, 1)

const good: readonly RecordCase[] = [
  enrolled(
    'enrolled',
    'A host that an authority enrolled, which the reader trusts; its TPM is of a maker that the reader knows, and it is in no list.',
    VERIFIED,
    {
      trust: policy({
        minimumTier: 'firmware',
        revocations: [{ file: 'lab-revocations.json' }],
        revocationsMaximumAgeHours: 168,
      }),
      files: {
        'lab-revocations.json': revocationList({
          revoked: [{ serial: '40'.repeat(16), akName: `000b${'0'.repeat(64)}` }],
        }),
      },
    },
  ),
  enrolled('enrolled-by-root', 'The root certified the host itself.', VERIFIED, {
    certificates: [hostCertificate(ROOT)],
  }),
  enrolled('enrolled-by-rsa', 'The authority has an RSA key.', VERIFIED, {
    certificates: [hostCertificate(RSA_ROOT)],
    ...withRoot(RSA_ROOT.der),
  }),
  enrolled(
    'enrolled-without-endorsement',
    'The TPM has no endorsement certificate, so the authority says firmware and nothing shows it.',
    { ...VERIFIED, tier: 'software' },
    {
      certificates: [
        hostCertificate(LAB, {
          statement: { akName: nameOf(eccTpm('host 0')), tier: 'firmware', ekName: nameOf(eccTpm('EK')) },
        }),
        LAB.der,
      ],
      ek: null,
    },
  ),
  enrolled(
    'tier-lowered',
    'The authority says hardware, the endorsement certificate is of a firmware TPM: the lower counts.',
    { ...VERIFIED, codes: ['TIER_LOWERED'] },
    { certificates: [hostCertificate(LAB, { statement: statementOf({ tier: 'hardware' }) }), LAB.der] },
  ),
  enrolled(
    'enrolled-unpinned',
    'A reader who names no authority: the certificate counts for nothing, and the record as one of a host that enrolled itself.',
    { evidence: 'verified', codes: [], enrolment: 'self', tier: 'software' },
    { trust: { schema: 'reprise/trust/v1' } },
  ),
  enrolled(
    'known-key',
    'A host that enrolled itself, whose key the reader knows, with its tier.',
    { evidence: 'verified', codes: [], enrolment: 'self', tier: 'firmware' },
    {
      draft: () => undefined,
      trust: {
        schema: 'reprise/trust/v1',
        attestationKeys: [{ name: hex(nameOf(eccTpm('host 0'))), tier: 'firmware' }],
      },
    },
  ),
  enrolled(
    'known-key-expired',
    'The certificate had expired, but the reader knows the key by itself.',
    { evidence: 'verified', codes: ['CERTIFICATE_EXPIRED'], enrolment: 'self' },
    {
      certificates: [hostCertificate(LAB, { notBeforeMs: YEAR_2025, notAfterMs: BEFORE_THE_RUN }), LAB.der],
      trust: policy({ attestationKeys: [{ name: hex(nameOf(eccTpm('host 0'))) }] }),
    },
  ),
]

const others: readonly RecordCase[] = [
  enrolled(
    'authority-other_fail',
    'The certificate is of an authority that the reader does not trust.',
    { ...unverifiable('SELF_ENROLLED'), enrolment: 'self', tier: 'software' },
    {
      certificates: [hostCertificate(OTHER)],
    },
  ),
  enrolled(
    'authority-namesake_fail',
    'The certificate is of an authority that took the name of the one that the reader trusts.',
    unverifiable('SELF_ENROLLED'),
    {
      certificates: [hostCertificate(NAMESAKE)],
    },
  ),
  enrolled(
    'authority-forged_fail',
    'The certificate names the authority and its key, and another key signed it.',
    refuted('CERTIFICATE_CHAIN'),
    {
      certificates: [hostCertificate(ROOT, { signedBy: NAMESAKE })],
    },
  ),
  enrolled(
    'authority-of-own_fail',
    'A host that enrolled itself at an authority of its own, sold as enrolled.',
    unverifiable('SELF_ENROLLED'),
    {
      certificates: [hostCertificate(newRoot('host-7', { key: keyOf('host 0') }))],
    },
  ),
  enrolled(
    'self-required_fail',
    'A host that enrolled itself, where the reader trusts authorities alone.',
    unverifiable('SELF_ENROLLED'),
    {
      draft: () => undefined,
    },
  ),
  enrolled(
    'authority-left-out_fail',
    'The certificate of the authority between host and root is not there.',
    unverifiable('SELF_ENROLLED'),
    {
      certificates: [hostCertificate()],
    },
  ),
]

const times: readonly RecordCase[] = [
  enrolled(
    'certificate-expired_fail',
    'The certificate had expired when the run began.',
    { ...unverifiable('CERTIFICATE_EXPIRED'), enrolment: 'self' },
    {
      certificates: [hostCertificate(LAB, { notBeforeMs: YEAR_2025, notAfterMs: BEFORE_THE_RUN }), LAB.der],
    },
  ),
  enrolled(
    'certificate-not-yet-valid_fail',
    'The certificate was not valid yet when the run began.',
    unverifiable('CERTIFICATE_NOT_YET_VALID'),
    {
      certificates: [hostCertificate(LAB, { notBeforeMs: AFTER_THE_RUN, notAfterMs: YEAR_2028 }), LAB.der],
    },
  ),
  enrolled(
    'authority-expired_fail',
    'The certificate of the authority had expired when the run began.',
    unverifiable('CERTIFICATE_EXPIRED'),
    {
      certificates: ((old) => [hostCertificate(old), old.der])(
        newAuthority('Lab', ROOT, {
          key: keyOf('lab'),
          pathLength: 0,
          notBeforeMs: YEAR_2025,
          notAfterMs: BEFORE_THE_RUN,
        }),
      ),
    },
  ),
]

function revocation(
  name: string,
  why: string,
  code: FindingCode,
  list: ListShape | Uint8Array,
  more: object = {},
): RecordCase {
  const expected = code === 'CERTIFICATE_REVOKED' ? refuted(code) : unverifiable(code)
  return enrolled(name, why, expected, {
    trust: policy({ revocations: [{ file: 'lab-revocations.json' }], ...more }),
    files: { 'lab-revocations.json': list instanceof Uint8Array ? list : revocationList(list) },
  })
}

const REVOKED = {
  // Of sha256('host-7.example.org'), as `common` in test/certificates/authority.ts makes it.
  serial: hex(
    certifyAk(LAB, { name: 'host-7.example.org', key: keyOf('host 0').key, statement: statementOf() }).certificate
      .serial,
  ),
  akName: hex(nameOf(eccTpm('host 0'))),
}
const NOBODY = { serial: '41'.repeat(16), akName: `000b${'1'.repeat(64)}` }

const revocations: readonly RecordCase[] = [
  revocation('revoked_fail', 'The certificate is in the list of its authority.', 'CERTIFICATE_REVOKED', {
    revoked: [NOBODY, REVOKED],
  }),
  revocation(
    'revoked-key_fail',
    'The key is in the list, with a certificate that it had before.',
    'CERTIFICATE_REVOKED',
    {
      revoked: [{ ...NOBODY, akName: REVOKED.akName }],
    },
  ),
  revocation('revoked-authority_fail', 'The authority between host and root is in the list.', 'CERTIFICATE_REVOKED', {
    revoked: [{ ...NOBODY, serial: hex(LAB.certificate.serial) }],
  }),
  revocation('revocations-forged_fail', 'Somebody else than the authority signed its list.', 'REVOCATION_LIST', {
    by: NAMESAKE,
  }),
  revocation('revocations-edited_fail', 'An entry was taken out of the list.', 'REVOCATION_LIST', edited()),
  revocation(
    'revocations-of-other_fail',
    'The list is of an authority that the reader does not trust.',
    'REVOCATION_LIST',
    {
      root: OTHER.certificate,
      by: OTHER,
    },
  ),
  revocation('revocations-overdue_fail', 'A newer list was due.', 'REVOCATION_LIST', {
    issuedAt: '2026-11-01T00:00:00Z',
    nextUpdate: '2026-11-08T00:00:00Z',
  }),
  revocation(
    'revocations-too-old_fail',
    'The list is older than the reader takes.',
    'REVOCATION_LIST',
    { nextUpdate: '2027-11-29T00:00:00Z' },
    {
      revocationsMaximumAgeHours: 12,
    },
  ),
  revocation(
    'revocations-not-json_fail',
    'The list is cut short.',
    'REVOCATION_LIST',
    revocationList().subarray(0, 99),
  ),
]

/** The payload of one list under the signature of another one. */
function edited(): Uint8Array {
  const [honest, empty] = [revocationList({ revoked: [REVOKED] }), revocationList()].map(
    (list) => JSON.parse(Buffer.from(list).toString()) as { payload: string; signature: string },
  )
  return Buffer.from(
    JSON.stringify({ payload: empty.payload, schema: 'reprise/signed/v1', signature: honest.signature }),
  )
}

const SWTPM_EK = ekCertificateOf(SWTPM)

const tiers: readonly RecordCase[] = [
  enrolled(
    'software-sold-as-hardware_fail',
    'An authority that says hardware of a software TPM, and a reader who asks for hardware.',
    unverifiable('TIER_LOWERED', 'TIER_TOO_LOW'),
    {
      certificates: [
        hostCertificate(LAB, {
          statement: statementOf({ tier: 'hardware', ekCertificate: nodeCrypto.sha256(SWTPM_EK) }),
        }),
        LAB.der,
      ],
      ek: SWTPM_EK,
      trust: policy({ minimumTier: 'hardware' }),
    },
  ),
  enrolled(
    'endorsement-exchanged_fail',
    'The endorsement certificate of a better TPM than the one that was certified.',
    refuted('AK_CERTIFICATE'),
    {
      certificates: [
        hostCertificate(LAB, { statement: statementOf({ ekCertificate: nodeCrypto.sha256(SWTPM_EK) }) }),
        LAB.der,
      ],
      ek: EK_DER,
    },
  ),
  enrolled(
    'endorsement-no-certificate_fail',
    'What the authority and the environment name as endorsement certificate is none.',
    refuted('EK_CERTIFICATE'),
    {
      certificates: [
        hostCertificate(LAB, { statement: statementOf({ ekCertificate: nodeCrypto.sha256(Buffer.from('none')) }) }),
        LAB.der,
      ],
      ek: Buffer.from('none'),
    },
  ),
  enrolled('measurer-too-low_fail', 'A reader who asks for a measured boot.', unverifiable('MEASURER_TOO_LOW'), {
    trust: policy({ requireMeasurer: 'boot' }),
  }),
]

export const enrolledCases: readonly RecordCase[] = [...good, ...others, ...times, ...revocations, ...tiers]
