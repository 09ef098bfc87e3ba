/** Hosts of authorities at the bounds of what is certified: the last second, another host beside, another authority's list, half an endorsement. */
import { hex, TPMA_OBJECT } from '@reprise/core'
import {
  ekCertificateOf,
  enrol,
  hostCertificate,
  keyOf,
  LAB,
  nameOf,
  pem,
  policy,
  revocationList,
  statementOf,
} from '../enrolment.ts'
import { AK_ATTRIBUTES, eccTpm } from '../imitation-tpm.ts'
import { nodeCrypto } from '../node-crypto.ts'
import { sampleEnvironment, type Draft } from '../sample.ts'
import { record, type RecordCase } from './case.ts'
import { withWrongCrc } from './unreadable.ts'
import { newAuthority, newRoot } from '../../certificates/authority.ts'
import { enrolled, OTHER, refuted, unverifiable, VERIFIED } from './enrolled-case.ts'
import { otherHost } from './resumed.ts'

const STARTED_MS = Date.parse(sampleEnvironment().startedAt)

const untilTheStart = hostCertificate(LAB, { notBeforeMs: STARTED_MS, notAfterMs: STARTED_MS })

/** The first host is enrolled, the second one is not, and goes on an hour later. */
function besideAnother(draft: Draft): void {
  otherHost(draft)
  enrol([untilTheStart, LAB.der])(draft)
  draft.attempts[1].environment.ekCertificate = null
}

const UPPER = newAuthority('Upper', OTHER, { key: keyOf('upper'), pathLength: 1 })
const LOWER = newAuthority('Lower', UPPER, { key: keyOf('lower'), pathLength: 0 })

const REVOKED = { serial: '42'.repeat(16), akName: hex(nameOf(eccTpm('host 0'))) }

/** A reader who trusts two authorities. */
const ofTwo = (...lists: readonly string[]): object =>
  policy({
    authorities: [{ file: 'lab-root.pem' }, { file: 'other-root.pem' }],
    revocations: lists.map((file) => ({ file })),
  })
const otherFiles = {
  'other-root.pem': Buffer.from(pem(OTHER.der)),
  'other-revocations.json': revocationList({ root: OTHER.certificate, by: OTHER, revoked: [REVOKED] }),
}

export const enrolledBoundsCases: readonly RecordCase[] = [
  enrolled(
    'certificate-of-one-second',
    'The certificate is valid in the second in which the run began, and in no other one.',
    VERIFIED,
    { certificates: [untilTheStart, LAB.der] },
  ),
  enrolled(
    'enrolled-unfit-key_fail',
    'A certificate for a key that is no attestation key: what the key is fit for does not depend on who certified it.',
    refuted('AK_PUBLIC'),
    {
      draft(draft) {
        enrol()(draft)
        draft.hosts[0].tpm = eccTpm('host 0', { attributes: AK_ATTRIBUTES & ~TPMA_OBJECT.restricted })
      },
    },
  ),
  enrolled(
    'authority-renamed_fail',
    'The certificate is by the key of the authority that the reader trusts, under another name.',
    unverifiable('SELF_ENROLLED'),
    { certificates: [hostCertificate(newRoot('Another name', { key: keyOf('lab root') }))] },
  ),
  enrolled(
    'authority-other-of-three_fail',
    'Three certificates that fit each other, and lead to an authority that the reader does not know.',
    unverifiable('SELF_ENROLLED'),
    { certificates: [hostCertificate(LOWER), LOWER.der, UPPER.der] },
  ),
  {
    ...enrolled(
      'crc-of-endorsement_fail',
      'The endorsement certificate of an enrolled host has another CRC-32 than its headers say.',
      refuted('CONTAINER'),
    ),
    make: record({ draft: enrol(), bytes: withWrongCrc('evidence/ek-0.der') }),
  },
  enrolled(
    'enrolled-beside-another_fail',
    'One of two hosts is enrolled, and was when it ran; the other one, which ran later, enrolled itself.',
    { ...unverifiable('ATTEMPT_GAP', 'SELF_ENROLLED'), enrolment: 'self', tier: 'software' },
    { draft: besideAnother },
  ),
  enrolled(
    'revoked-by-another',
    'Another authority that the reader trusts has the key in its list: it has no word on this host. The list of its own is not given.',
    VERIFIED,
    { trust: ofTwo('other-revocations.json'), files: otherFiles },
  ),
  enrolled(
    'listed-by-both',
    'The reader has a list of each authority; the host is in none that speaks for it.',
    VERIFIED,
    {
      trust: ofTwo('other-revocations.json', 'lab-revocations.json'),
      files: { ...otherFiles, 'lab-revocations.json': revocationList() },
    },
  ),
  enrolled(
    'enrolled-endorsement-left-out',
    'The authority certified an endorsement certificate, and the record has none: nothing shows the tier.',
    { ...VERIFIED, tier: 'software' },
    { ek: null },
  ),
  enrolled(
    'enrolled-endorsement-not-certified',
    'The record has an endorsement certificate of a firmware TPM, and the authority named none: it may be that of any TPM.',
    { ...VERIFIED, tier: 'software' },
    {
      certificates: [
        hostCertificate(LAB, {
          statement: {
            akName: nameOf(eccTpm('host 0')),
            tier: 'firmware',
            ekName: nameOf(eccTpm('EK')),
          },
        }),
        LAB.der,
      ],
    },
  ),
  enrolled(
    'enrolled-as-software',
    'The authority says software although the endorsement certificate is of a firmware TPM: the lower counts.',
    { ...VERIFIED, tier: 'software' },
    { certificates: [hostCertificate(LAB, { statement: statementOf({ tier: 'software' }) }), LAB.der] },
  ),
  enrolled(
    'rule-tier-certified-lower_fail',
    'The computation demands a TPM in firmware, and the authority says that this one is software.',
    refuted('HOST_RULE_UNMET'),
    {
      draft(draft) {
        enrol([hostCertificate(LAB, { statement: statementOf({ tier: 'software' }) }), LAB.der])(draft)
        draft.computation.host = { onChange: 'stop', tier: 'firmware' }
        draft.attempts[0].environment.tpm.transport = 'device'
      },
    },
  ),
  enrolled(
    'unsigned-where-more-is-asked_fail',
    'Nothing is signed, and the reader asks for a better TPM: of hosts that signed nothing nothing is said.',
    { ...unverifiable('FIRST_UNSIGNED', 'UNSIGNED_TAIL'), enrolment: 'none', tier: 'software' },
    {
      draft: (draft) => void (draft.quotes.length = 0),
      trust: policy({ minimumTier: 'hardware', requireMeasurer: 'boot' }),
    },
  ),
  enrolled(
    'endorsement-of-stranger',
    'The endorsement certificate is of a maker that nobody knows: nothing shows the tier.',
    { ...VERIFIED, codes: ['TIER_LOWERED'], tier: 'software' },
    {
      certificates: [
        hostCertificate(LAB, {
          statement: statementOf({ ekCertificate: nodeCrypto.sha256(ekCertificateOf(OTHER)) }),
        }),
        LAB.der,
      ],
      ek: ekCertificateOf(OTHER),
    },
  ),
  enrolled(
    'endorsement-makers-unnamed',
    'The reader names no maker, and the endorsement certificate is of none that is known.',
    { ...VERIFIED, codes: ['TIER_LOWERED'], tier: 'software' },
    { trust: { schema: 'reprise/trust/v1', authorities: [{ file: 'lab-root.pem' }] } },
  ),
]
