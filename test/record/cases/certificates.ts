/** Certificates that were exchanged, edited, left out or issued for something else. */
import { certifyAk, newAuthority, newRoot } from '../../certificates/authority.ts'
import { enrol, exchanged, hostCertificate, keyOf, LAB, nameOf, ROOT, statementOf } from '../enrolment.ts'
import { eccTpm } from '../imitation-tpm.ts'
import type { RecordCase } from './case.ts'
import { enrolled, OTHER, refuted, withRoot } from './enrolled-case.ts'

const STRICT_ROOT = newRoot('Strict root', { key: keyOf('strict root'), pathLength: 0 })
const nextKey = keyOf('host 1')

export const certificateCases: readonly RecordCase[] = [
  enrolled(
    'certificate-of-other-host_fail',
    "A host that enrolled itself, with another host's certificate.",
    refuted('AK_CERTIFICATE'),
    {
      certificates: [
        hostCertificate(LAB, { key: nextKey, statement: statementOf({ akName: nameOf(eccTpm('host 1')) }) }),
        LAB.der,
      ],
    },
  ),
  enrolled(
    'certificate-of-other-name_fail',
    'The key is the right one, the Name that was certified is that of the key under another policy.',
    refuted('AK_CERTIFICATE'),
    {
      certificates: [hostCertificate(LAB, { statement: statementOf({ akName: nameOf(eccTpm('host 1')) }) }), LAB.der],
    },
  ),
  enrolled(
    'certificate-of-other-point_fail',
    'The Name is the right one, the key another.',
    refuted('AK_CERTIFICATE'),
    {
      certificates: [hostCertificate(LAB, { key: nextKey }), LAB.der],
    },
  ),
  enrolled('certificate-other-usage_fail', 'The certificate is for an endorsement key.', refuted('AK_CERTIFICATE'), {
    certificates: [
      hostCertificate(LAB, { edit: (tbs) => exchanged(tbs, '06056781050803', '06056781050801') }),
      LAB.der,
    ],
  }),
  enrolled(
    'certificate-of-authority_fail',
    'The certificate makes the attestation key an authority.',
    refuted('AK_CERTIFICATE'),
    {
      certificates: [newAuthority('host-7.example.org', LAB, { key: keyOf('host 0'), pathLength: 0 }).der, LAB.der],
    },
  ),
  enrolled(
    'certificate-signs-more_fail',
    'The key may sign lists besides: not for signatures alone.',
    refuted('AK_CERTIFICATE'),
    {
      certificates: [hostCertificate(LAB, { edit: (tbs) => exchanged(tbs, '03020780', '03020182') }), LAB.der],
    },
  ),
  enrolled('certificate-edited_fail', 'The tier in the certificate was changed.', refuted('CERTIFICATE_CHAIN'), {
    certificates: [exchanged(hostCertificate(), '0a01010422', '0a01020422'), LAB.der],
  }),
  enrolled('certificate-tier-unknown_fail', 'A tier that there is not.', refuted('AK_CERTIFICATE'), {
    certificates: [hostCertificate(LAB, { edit: (tbs) => exchanged(tbs, '0a01010422', '0a01030422') }), LAB.der],
  }),
  enrolled('certificate-with-tail_fail', 'A byte after the certificate.', refuted('AK_CERTIFICATE'), {
    certificates: [Buffer.concat([hostCertificate(), Buffer.alloc(1)]), LAB.der],
  }),
  enrolled(
    'leaf-as-authority_fail',
    'An attestation key that was certified certifies another one.',
    refuted('CERTIFICATE_CHAIN'),
    {
      certificates: ((leaf) => [hostCertificate(leaf), leaf.der])(
        certifyAk(
          ROOT,
          {
            name: 'host-8.example.org',
            key: nextKey.key,
            statement: statementOf({ akName: nameOf(eccTpm('host 1')) }),
          },
          {},
          nextKey,
        ),
      ),
    },
  ),
  enrolled('path-length_fail', 'An authority below a root that allows none.', refuted('CERTIFICATE_CHAIN'), {
    certificates: ((between) => [hostCertificate(between), between.der])(
      newAuthority('Strict lab', STRICT_ROOT, { key: keyOf('strict lab'), pathLength: 0 }),
    ),
    ...withRoot(STRICT_ROOT.der),
  }),
  enrolled(
    'critical-extension_fail',
    'The authority is constrained in a way that is not understood.',
    refuted('CERTIFICATE_CHAIN'),
    {
      certificates: ((between) => [hostCertificate(between), between.der])(
        newAuthority('Lab', ROOT, {
          key: keyOf('lab'),
          pathLength: 0,
          // keyUsage becomes policyConstraints, critical as before.
          edit: (tbs) => exchanged(tbs, '0603551d0f', '0603551d24'),
        }),
      ),
    },
  ),
  enrolled('chain-in-other-order_fail', 'The certificates stand root first.', refuted('AK_CERTIFICATE'), {
    certificates: [LAB.der, hostCertificate()],
  }),
  enrolled(
    'chain-of-strangers_fail',
    'Two certificates of which the second did not issue the first, without any policy.',
    refuted('CERTIFICATE_CHAIN'),
    {
      certificates: [hostCertificate(OTHER), LAB.der],
      trust: { schema: 'reprise/trust/v1' },
    },
  ),
  enrolled('certificates-too-many_fail', 'Five certificates of one host.', refuted('SCHEMA'), {
    certificates: [hostCertificate(), LAB.der, ROOT.der, ROOT.der, ROOT.der],
  }),
  enrolled('certificate-missing_fail', 'The record names a certificate that it does not have.', refuted('SCHEMA'), {
    signed: ({ evidence }) => void evidence.delete('evidence/ak-0-certificate-1.der'),
  }),
  enrolled(
    'certificate-not-named_fail',
    'A certificate that the record does not name.',
    refuted('SCHEMA', 'SELF_ENROLLED'),
    {
      draft: enrol([], null),
      signed: ({ evidence }) => void evidence.set('evidence/ak-0-certificate-0.der', hostCertificate()),
    },
  ),
  enrolled('certificate-name-free_fail', 'A certificate under a name of its own.', refuted('SCHEMA'), {
    signed({ document, evidence }) {
      evidence.set('evidence/ak-0-certificate-9.der', evidence.get('evidence/ak-0-certificate-1.der') as Uint8Array)
      evidence.delete('evidence/ak-0-certificate-1.der')
      document.hosts[0].certificates[1] = 'evidence/ak-0-certificate-9.der'
    },
  }),
]
