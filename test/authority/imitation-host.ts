/** A host without a TPM: an endorsement key on P-256 that opens credentials, and an attestation key that quotes. */
import { createDecipheriv, createECDH, createHash, createHmac, type ECDH } from 'node:crypto'
import {
  ByteReader,
  concat,
  decodeTpmtPublic,
  encodeTpmtPublic,
  enrolmentDigest,
  equal,
  type EnrolmentProof,
  hostId,
  objectName,
  type PublicArea,
  TPM_ALG,
  TPM_ECC,
  TPM_ST,
  type TpmsAttestFields,
  encodeTpmsAttest,
  pcrDigest,
  TPMA_OBJECT,
  utf8,
} from '@reprise/core'
import { authorityId, type EnrolAnswer, type EnrolChallenge, type EnrolRequest } from '@reprise/host/enrolment'
import { eccTpm, type KeyShape } from '../record/imitation-tpm.ts'
import { nodeCrypto } from '../record/node-crypto.ts'

const { hash, sha256 } = nodeCrypto
const { fixedTPM, fixedParent, sensitiveDataOrigin, adminWithPolicy, restricted, decrypt } = TPMA_OBJECT
export const EK_ATTRIBUTES = fixedTPM | fixedParent | sensitiveDataOrigin | adminWithPolicy | restricted | decrypt

export interface HostShape {
  readonly ak?: string
  readonly ek?: string
  readonly akShape?: KeyShape
  readonly ekAttributes?: number
  readonly ekSymmetric?: (PublicArea & { readonly type: typeof TPM_ALG.ECC })['parameters']['symmetric']
}

export interface ImitationHost {
  readonly akName: Uint8Array
  readonly ekName: Uint8Array
  request(name: string, more?: Partial<EnrolRequest>): EnrolRequest
  /** @param more - What it proves, or attests, instead of what it should. */
  answer(
    challenge: EnrolChallenge,
    more?: { readonly proof?: Partial<EnrolmentProof>; readonly attest?: Partial<TpmsAttestFields> },
  ): EnrolAnswer
}

const ZERO_PCRS = Object.fromEntries(Array.from({ length: 8 }, (_, index) => [index, new Uint8Array(32)]))
const SELECTION = [{ hash: TPM_ALG.SHA256, pcrs: [0, 1, 2, 3, 4, 5, 6, 7] }]

/** @param shape.ak - Seeds of the keys: the same text is the same key. */
export function imitationHost(shape: HostShape = {}): ImitationHost {
  const ak = eccTpm(shape.ak ?? 'ak', shape.akShape)
  const exchange = createECDH('prime256v1')
  exchange.setPrivateKey(sha256(utf8(`ek ${shape.ek ?? 'ek'}`)))
  const point = exchange.getPublicKey()
  const ekPublic = encodeTpmtPublic({
    type: TPM_ALG.ECC,
    nameAlg: TPM_ALG.SHA256,
    objectAttributes: shape.ekAttributes ?? EK_ATTRIBUTES,
    authPolicy: new Uint8Array(32),
    parameters: {
      symmetric: shape.ekSymmetric ?? { algorithm: TPM_ALG.AES, keyBits: 128, mode: TPM_ALG.CFB },
      scheme: { scheme: TPM_ALG.NULL },
      curveId: TPM_ECC.NIST_P256,
      kdf: { scheme: TPM_ALG.NULL },
    },
    unique: { x: new Uint8Array(point.subarray(1, 33)), y: new Uint8Array(point.subarray(33)) },
  })
  const ekName = objectName(decodeTpmtPublic(ekPublic), hash)
  return {
    akName: ak.name,
    ekName,
    request: (name, more = {}) => ({
      ...{ schema: 'reprise/enrol-request/v1', name, akPublic: ak.publicArea, ekPublic },
      ...{ ekCertificate: null, ekIssuers: [] },
      ...more,
    }),
    answer({ request, root, name, credentialBlob, encryptedSecret }, { proof = {}, attest = {} } = {}) {
      const secret = activate(exchange, { akName: ak.name, credentialBlob, encryptedSecret })
      const shown = { authority: authorityId(root), request, hostId: hostId(ak.name, sha256), ekName, name, secret }
      const message = encodeTpmsAttest({
        type: TPM_ST.ATTEST_QUOTE,
        qualifiedSigner: ak.qualifiedName,
        extraData: enrolmentDigest({ ...shown, ...proof }, sha256),
        clockInfo: { clock: 1n, resetCount: 1, restartCount: 0, safe: true },
        firmwareVersion: 1n,
        attested: {
          pcrSelect: SELECTION,
          pcrDigest: pcrDigest({ hash, algorithm: 'sha256', selection: SELECTION, banks: { sha256: ZERO_PCRS } }),
        },
        ...attest,
      } as TpmsAttestFields)
      const quote = { attest: message, signature: ak.sign(message), pcrs: { sha256: ZERO_PCRS } }
      return { schema: 'reprise/enrol-answer/v1', request, secret, quote }
    },
  }
}

/** What TPM2_ActivateCredential does for a key on P-256 with AES-128 (TPM 2.0 Part 1 §24, Annex C). */
function activate(
  exchange: ECDH,
  {
    akName,
    credentialBlob,
    encryptedSecret,
  }: Pick<EnrolChallenge, 'credentialBlob' | 'encryptedSecret'> & { readonly akName: Uint8Array },
): Uint8Array {
  const point = new ByteReader(encryptedSecret)
  const [x, y] = [point.tpm2b(), point.tpm2b()]
  const z = exchange.computeSecret(concat(Uint8Array.of(4), x, y))
  const label = (text: string): Uint8Array => utf8(`${text}\0`)
  const one = Uint8Array.of(0, 0, 0, 1)
  const own = exchange.getPublicKey().subarray(1, 33)
  const seed = createHash('sha256')
    .update(concat(one, z, label('IDENTITY'), x, own))
    .digest()
  const bits = Uint8Array.of(0, 0, 0, 128)
  const key = createHmac('sha256', seed)
    .update(concat(one, label('STORAGE'), akName, bits))
    .digest()
    .subarray(0, 16)
  const blob = new ByteReader(credentialBlob)
  const integrity = blob.tpm2b()
  const identity = blob.rest()
  const macKey = createHmac('sha256', seed)
    .update(concat(one, label('INTEGRITY'), Uint8Array.of(0, 0, 1, 0)))
    .digest()
  if (!equal(createHmac('sha256', macKey).update(concat(identity, akName)).digest(), integrity))
    throw new Error('the integrity of the credential does not hold')
  const cipher = createDecipheriv('aes-128-cfb', key, new Uint8Array(16))
  return new ByteReader(concat(cipher.update(identity), cipher.final())).tpm2b().slice()
}
