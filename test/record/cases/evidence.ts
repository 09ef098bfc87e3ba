/** Records whose evidence is wrong: keys, signatures, quotes and attestations exchanged, replayed, left out or put in another order. */
import {
  decodeTpmtPublic,
  encodeTpmtPublic,
  EVIDENCE_BYTES_MAX,
  fromHex,
  hex,
  TPM_ALG,
  TPM_RH,
  TPM_ST,
  TPMA_OBJECT,
  utf8,
  type TpmsAttestFields,
} from '@reprise/core'
import { AK_ATTRIBUTES, eccTpm } from '../imitation-tpm.ts'
import { clockAt, draft, RESULT, sign, type Signed } from '../sample.ts'
import { EK_CERTIFICATE, withCertificate } from './held.ts'
import { secondAttempt } from './resumed.ts'
import { refuted, type RecordCase } from './case.ts'

const BATCH = ['BATCH'] as const

type Quote = Extract<TpmsAttestFields, { type: typeof TPM_ST.ATTEST_QUOTE }>

const asQuote = (fields: TpmsAttestFields): Quote => fields as Quote

/** Another run of the same host: same key, other run id. */
function otherRun(): Signed {
  const other = draft()
  other.run = '5'.repeat(64)
  return sign(other)
}

/** Signs the bytes again with the host's key, as if the TPM had made them. */
function signedAgain(signed: Signed, i: number, attest: Uint8Array): void {
  signed.attestations[i].attest = hex(attest)
  signed.attestations[i].signature = hex(eccTpm('host 0').sign(attest))
}

function key(name: string, why: string, attributes: number): RecordCase {
  return refuted(name, why, ['AK_PUBLIC'], {
    draft: (draft) => (draft.hosts[0].tpm = eccTpm('host 0', { attributes })),
  })
}

export const keyCases: readonly RecordCase[] = [
  key(
    'key-not-restricted',
    'A key that signs whatever it is given, also what looks like a quote.',
    AK_ATTRIBUTES & ~TPMA_OBJECT.restricted,
  ),
  key('key-can-leave', 'A key that can be taken to another TPM.', AK_ATTRIBUTES & ~TPMA_OBJECT.fixedTPM),
  key(
    'key-from-outside',
    'A key that was made outside and brought into the TPM.',
    AK_ATTRIBUTES & ~TPMA_OBJECT.sensitiveDataOrigin,
  ),
  key(
    'key-parent-can-move',
    'A key that goes along when its parent is taken to another TPM.',
    AK_ATTRIBUTES & ~TPMA_OBJECT.fixedParent,
  ),
  key('key-not-for-signing', 'A key that may not sign.', AK_ATTRIBUTES & ~TPMA_OBJECT.sign),
  key('key-decrypts', 'A key that is a storage key as well.', AK_ATTRIBUTES | TPMA_OBJECT.decrypt),
  refuted('key-scheme', 'A key for key agreement: only ECDSA and RSASSA are taken.', ['AK_PUBLIC'], {
    draft: (draft) => (draft.hosts[0].tpm = eccTpm('host 0', { scheme: TPM_ALG.ECDH })),
  }),
  refuted('key-with-tail', 'TPMT_PUBLIC with a byte after its end.', ['AK_PUBLIC'], {
    signed: ({ evidence }) =>
      void evidence.set('evidence/ak-0.tpmt', Buffer.concat([eccTpm('host 0').publicArea, Buffer.alloc(1)])),
  }),
  refuted('key-of-zeros', 'A key of as many bytes as evidence may have, all of them zero.', ['AK_PUBLIC'], {
    signed: ({ evidence }) => void evidence.set('evidence/ak-0.tpmt', new Uint8Array(EVIDENCE_BYTES_MAX)),
  }),
  refuted('key-too-large', 'A key of more bytes than any key has.', ['SCHEMA'], {
    signed: ({ evidence }) => void evidence.set('evidence/ak-0.tpmt', new Uint8Array(EVIDENCE_BYTES_MAX + 1)),
  }),
  refuted(
    'key-exchanged',
    'The key of another host, to pass the run off as made there.',
    ['ATTEST', 'BATCH', 'SIGNATURE'],
    {
      signed: ({ evidence }) => void evidence.set('evidence/ak-0.tpmt', eccTpm('host 1').publicArea),
    },
  ),
  refuted(
    'key-policy-changed',
    'The same key with another policy: another Name, the same public point.',
    ['ATTEST', 'BATCH'],
    {
      signed({ evidence }) {
        const area = decodeTpmtPublic(eccTpm('host 0').publicArea)
        evidence.set('evidence/ak-0.tpmt', encodeTpmtPublic({ ...area, authPolicy: new Uint8Array(32) }))
      },
    },
  ),
  refuted('one-key-two-hosts', 'Two hosts with one key.', ['AK_PUBLIC', 'ATTEMPT_GAP'], {
    draft(draft) {
      draft.hosts.push(draft.hosts[0])
      secondAttempt(draft, 1, 8)
    },
  }),
  refuted('certificate-left-out', 'The EK certificate that the record names is not there.', ['SCHEMA'], {
    draft: withCertificate,
    signed: ({ evidence }) => void evidence.delete('evidence/ek-0.der'),
  }),
  refuted(
    'certificate-of-one-attempt',
    'The environment of one of two attempts on the host names another EK certificate.',
    ['ATTEMPT_GAP', 'EK_CERTIFICATE'],
    {
      draft(draft) {
        secondAttempt(draft, 0, 8)
        withCertificate(draft)
        draft.attempts[1].environment.ekCertificate = '5'.repeat(64)
      },
    },
  ),
  refuted('certificate-exchanged', 'The EK certificate of another TPM.', ['EK_CERTIFICATE'], {
    draft: withCertificate,
    signed: ({ evidence }) => void evidence.set('evidence/ek-0.der', Buffer.concat([EK_CERTIFICATE, utf8('?')])),
  }),
]

export const attestationCases: readonly RecordCase[] = [
  refuted('signature-bit', 'One bit of a signature.', ['BATCH', 'SIGNATURE'], {
    signed({ attestations }) {
      const signature = fromHex(attestations[1].signature)
      signature[40] ^= 1
      attestations[1].signature = hex(signature)
    },
  }),
  refuted('signatures-swapped', 'Two attestations with the signature of each other.', ['BATCH', 'SIGNATURE'], {
    signed({ attestations: [, a, b] }) {
      const { signature } = a
      a.signature = b.signature
      b.signature = signature
    },
  }),
  refuted('signature-scheme', 'A signature that says RSASSA under an ECDSA key.', ['SIGNATURE'], {
    signed({ attestations }) {
      const last = attestations[2]
      last.signature = `00140${last.signature.slice(5)}`
    },
  }),
  refuted('signature-with-tail', 'TPMT_SIGNATURE with a byte after its end.', ['SIGNATURE'], {
    signed: ({ attestations }) => (attestations[2].signature += '00'),
  }),
  refuted('attest-bit', 'One bit of what was signed: the firmware version.', ['BATCH', 'SIGNATURE'], {
    signed({ attestations }) {
      const attest = fromHex(attestations[0].attest)
      // Behind magic, type, qualified signer, extraData and clock info.
      attest[4 + 2 + 36 + 34 + 17] ^= 1
      attestations[0].attest = hex(attest)
    },
  }),
  refuted(
    'attest-magic',
    'A signed structure that no TPM made: it does not begin with TPM_GENERATED_VALUE.',
    ['ATTEST'],
    {
      signed(signed) {
        const attest = fromHex(signed.attestations[2].attest)
        attest[0] = 0
        signedAgain(signed, 2, attest)
      },
    },
  ),
  refuted('attest-type', 'A certification of a key in the place of a quote.', ['ATTEST'], {
    hook: (fields, i) =>
      i === 2
        ? {
            ...fields,
            type: TPM_ST.ATTEST_CERTIFY,
            attested: { name: fields.qualifiedSigner, qualifiedName: fields.qualifiedSigner },
          }
        : fields,
  }),
  refuted('attest-with-tail', 'TPMS_ATTEST with a byte after its end, signed.', ['ATTEST'], {
    signed: (signed) =>
      signedAgain(signed, 2, Buffer.concat([fromHex(signed.attestations[2].attest), Buffer.alloc(1)])),
  }),
  refuted(
    'other-hierarchy',
    'The key is a primary one of the owner hierarchy, where a TPM obfuscates its clock.',
    ['ATTEST'],
    {
      draft: (draft) => (draft.hosts[0].tpm = eccTpm('host 0', { parent: TPM_RH.OWNER })),
    },
  ),
  refuted('pcr-value', 'A PCR value other than the one that was quoted.', ['PCRS'], {
    signed: ({ attestations }) => (attestations[1].pcrs.sha256['0'] = 'a'.repeat(64)),
  }),
  refuted('pcr-values-swapped', 'Two PCRs with the value of each other.', ['PCRS'], {
    signed({ attestations }) {
      const bank = attestations[1].pcrs.sha256
      const [zero, one] = [bank['0'], bank['1']]
      bank['0'] = one
      bank['1'] = zero
    },
  }),
  refuted('pcr-selection', 'The quote selects PCR 1 to 8, the values say 0 to 7; the digest is the same.', ['PCRS'], {
    hook(fields, i) {
      const quote = asQuote(fields)
      const pcrSelect = [{ hash: TPM_ALG.SHA256, pcrs: [1, 2, 3, 4, 5, 6, 7, 8] }]
      return i === 1 ? { ...quote, attested: { ...quote.attested, pcrSelect } } : fields
    },
  }),
  refuted('pcr-bank', 'The quote selects the SHA-1 bank.', ['PCRS'], {
    hook(fields, i) {
      const quote = asQuote(fields)
      const pcrSelect = [{ hash: TPM_ALG.SHA1, pcrs: [0, 1, 2, 3, 4, 5, 6, 7] }]
      return i === 1 ? { ...quote, attested: { ...quote.attested, pcrSelect } } : fields
    },
  }),
  refuted('pcr-two-banks', 'The quote selects the SHA-1 bank besides, of which nothing is shown.', ['PCRS'], {
    hook(fields, i) {
      const quote = asQuote(fields)
      const pcrSelect = [...quote.attested.pcrSelect, { hash: TPM_ALG.SHA1, pcrs: [0] }]
      return i === 1 ? { ...quote, attested: { ...quote.attested, pcrSelect } } : fields
    },
  }),
  refuted('pcr-none', 'A quote of no register at all.', ['PCRS'], {
    hook(fields, i) {
      const quote = asQuote(fields)
      return i === 1 ? { ...quote, attested: { ...quote.attested, pcrSelect: [] } } : fields
    },
  }),
  refuted('pcr-missing', 'The quotes leave out PCR 7, which tells of Secure Boot.', ['PCRS'], {
    draft: (draft) => delete draft.pcrs['7'],
  }),
  refuted('pcr-shown-unquoted', 'A value for a PCR that was not quoted.', ['PCRS'], {
    signed: ({ attestations }) => (attestations[1].pcrs.sha256['8'] = '0'.repeat(64)),
  }),
  refuted('quote-of-other-run', 'A genuine quote of the same TPM over another run.', BATCH, {
    signed: ({ attestations }) => (attestations[2] = otherRun().attestations[2]),
  }),
  refuted('quote-replayed', 'The quote over checkpoint 2 again, for checkpoint 4.', BATCH, {
    signed: ({ attestations }) => (attestations[2] = { ...attestations[1], seq: 4 }),
  }),
  refuted('attestation-left-out', 'The attestation of checkpoint 2 is missing; its successor names it.', BATCH, {
    signed: ({ attestations }) => void attestations.splice(1, 1),
  }),
  refuted(
    'first-attestation-left-out',
    'The first attestation is missing; its successor names it.',
    ['BATCH', 'FIRST_UNSIGNED'],
    {
      signed: ({ attestations }) => void attestations.shift(),
    },
  ),
  refuted(
    'attestation-of-no-attempt',
    'The last attestation says that it is of an attempt that the record does not have.',
    ['ATTESTATION_ORDER', 'UNSIGNED_TAIL'],
    {
      signed: ({ attestations }) => (attestations[2].attempt = 2),
    },
  ),
  refuted('attestations-swapped', 'Two attestations in the wrong order.', ['ATTESTATION_ORDER', 'BATCH'], {
    signed: ({ attestations }) => void attestations.splice(1, 2, attestations[2], attestations[1]),
  }),
  refuted('batch-seq', 'Another number for the batch.', BATCH, {
    signed: ({ attestations }) => (attestations[2].batch.seq = '99'),
  }),
  refuted('batch-index', "Another run's place in the batch.", BATCH, {
    draft: (draft) => (draft.quotes[2].batch = { others: 3, index: 1 }),
    signed: ({ attestations }) => (attestations[2].batch.index = 2),
  }),
  refuted('batch-path', 'A path that is too long for its tree.', BATCH, {
    draft: (draft) => (draft.quotes[2].batch = { others: 3, index: 1 }),
    signed: ({ attestations }) => void attestations[2].batch.path.push('0'.repeat(64)),
  }),
  refuted('clock-back', 'The clock of the TPM goes back between two quotes.', ['ATTESTATION_ORDER'], {
    draft: (draft) => (draft.quotes[2].clockInfo = clockAt(60_100)),
  }),
  refuted('reset-within-attempt', 'The TPM was reset within an attempt.', ['ATTESTATION_ORDER'], {
    draft: (draft) => (draft.quotes[2].clockInfo = clockAt(70_000, 8)),
  }),
  refuted(
    'restart-within-attempt',
    'The TPM was restarted within an attempt, which can zero its PCRs.',
    ['ATTESTATION_ORDER'],
    {
      draft: (draft) => (draft.quotes[2].clockInfo = clockAt(70_000, 7, 2)),
    },
  ),
  refuted(
    'reset-count-back',
    'A second attempt on the same host with a smaller resetCount: the TPM was rolled back.',
    ['ATTEMPT_GAP', 'ATTESTATION_ORDER'],
    {
      draft: (draft) => secondAttempt(draft, 0, 6),
    },
  ),
  refuted(
    'attested-beyond-end',
    'The last two checkpoints are cut off and the attestation of the last one is left.',
    ['ATTESTATION_ORDER', 'INCOMPLETE'],
    {
      signed(signed) {
        signed.checkpoints.length = 3
        signed.document.outcome = null
        signed.blobs = signed.blobs.filter(({ bytes }) => bytes.length !== RESULT.length && bytes.length !== 9)
      },
    },
  ),
]
