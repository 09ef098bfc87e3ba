/** Enrolled hosts for records: authorities, certificates, lists and policies whose keys and signatures are the same each time. */
import { createPrivateKey } from 'node:crypto'
import {
  canonical,
  concat,
  decodeTpmtPublic,
  decodeTpmtSignature,
  hex,
  objectName,
  toPublicKey,
  utf8,
} from '@reprise/core'
import { type AkStatement, authorityId, type Certificate } from '@reprise/core/certificates'
import { certifyAk, type Issued, newAuthority, newRoot, type Signer, signer } from '../certificates/authority.ts'
import { eccTpm, type ImitationTpm } from './imitation-tpm.ts'
import { nodeCrypto } from './node-crypto.ts'
import { RSA_TEST_KEY } from './rsa-key.ts'
import type { Draft } from './sample.ts'

const { sha256 } = nodeCrypto

/** The key of an imitation of a TPM, which signs whatever it is given. */
export function keyOf(seed: string): Signer {
  const tpm = eccTpm(seed)
  return {
    key: toPublicKey(decodeTpmtPublic(tpm.publicArea)),
    scheme: { kind: 'ecdsa', hash: 'sha256' },
    sign: (message) => decodeTpmtSignature(tpm.sign(message)).signature,
  }
}

export const rsaKey = (): Signer =>
  signer(createPrivateKey({ key: Buffer.from(RSA_TEST_KEY, 'base64'), format: 'der', type: 'pkcs8' }))

export const ROOT = newRoot('Lab root', { key: keyOf('lab root'), pathLength: 1 })
export const LAB = newAuthority('Lab', ROOT, { key: keyOf('lab'), pathLength: 0 })
export const MAKER = newRoot('Maker of TPMs', { key: keyOf('maker'), pathLength: 0 })

/** tcg-kp-AIKCertificate and tcg-kp-EKCertificate as they stand in a certificate. */
const AIK_USAGE = '06056781050803'
const EK_USAGE = '06056781050801'

/** Replaces bytes, in hex, that stand there once. */
export function exchanged(bytes: Uint8Array, from: string, to: string): Uint8Array {
  const parts = hex(bytes).split(from)
  if (parts.length !== 2) throw new Error(`${from} stands ${parts.length - 1} times in it`)
  return new Uint8Array(Buffer.from(parts.join(to), 'hex'))
}

/** An endorsement certificate for a TPM that is not there. */
export function ekCertificateOf(maker: Issued, name = 'EK'): Uint8Array {
  const statement = { akName: nameOf(eccTpm(name)), tier: 'software' as const, ekName: nameOf(eccTpm(name)) }
  const edit = (tbs: Uint8Array): Uint8Array => exchanged(tbs, AIK_USAGE, EK_USAGE)
  return certifyAk(maker, { name, key: keyOf(name).key, statement }, { edit }).der
}

export const nameOf = (tpm: ImitationTpm): Uint8Array => objectName(decodeTpmtPublic(tpm.publicArea), nodeCrypto.hash)

export const EK_DER = ekCertificateOf(MAKER)

/** What an honest authority says of the sample's host. */
export function statementOf(more: Partial<AkStatement> = {}): AkStatement {
  return {
    akName: nameOf(eccTpm('host 0')),
    tier: 'firmware',
    ekName: nameOf(eccTpm('EK')),
    ekCertificate: sha256(EK_DER),
    ...more,
  }
}

type Period = Parameters<typeof certifyAk>[2]

/** The certificate of the sample's host. */
export function hostCertificate(
  by: Issued = LAB,
  {
    statement = statementOf(),
    key = keyOf('host 0'),
    ...period
  }: { statement?: AkStatement; key?: Signer } & Period = {},
): Uint8Array {
  return certifyAk(by, { name: 'host-7.example.org', key: key.key, statement }, period).der
}

/** Gives the sample's host certificates, and an endorsement certificate. */
export function enrol(
  certificates: readonly Uint8Array[] = [hostCertificate(), LAB.der],
  ek: Uint8Array | null = EK_DER,
): (draft: Draft) => void {
  return (draft) => {
    draft.hosts[0].certificates = [...certificates]
    draft.hosts[0].ek = ek
    for (const { environment } of draft.attempts) environment.ekCertificate = ek === null ? null : hex(sha256(ek))
  }
}

export function pem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

/** A reader who trusts the lab, and knows the maker. */
export function policy(more: object = {}): object {
  return {
    schema: 'reprise/trust/v1',
    authorities: [{ file: 'lab-root.pem' }],
    endorsementRoots: [{ certificate: { file: 'maker.pem' }, tier: 'firmware' }],
    ...more,
  }
}

export interface Beside {
  readonly trust: object
  readonly files?: Readonly<Record<string, Uint8Array>>
}

/** The files of a vector's folder. */
export function filesOf({ trust, files = {} }: Beside): Record<string, Uint8Array> {
  return {
    'trust.json': utf8(`${JSON.stringify(trust, null, 2)}\n`),
    'lab-root.pem': utf8(pem(ROOT.der)),
    'maker.pem': utf8(pem(MAKER.der)),
    ...files,
  }
}

export interface ListShape {
  readonly root?: Certificate
  readonly by?: Signer
  readonly issuedAt?: string
  readonly nextUpdate?: string
  readonly revoked?: readonly { readonly serial: string; readonly akName: string }[]
}

/** A list of revoked certificates, signed. */
export function revocationList(shape: ListShape = {}): Uint8Array {
  const { root = ROOT.certificate, by = ROOT, revoked = [] } = shape
  const payload = utf8(
    canonical({
      schema: 'reprise/revocations/v1',
      authority: authorityId(root, nodeCrypto),
      number: 7,
      issuedAt: shape.issuedAt ?? '2026-11-22T00:00:00Z',
      nextUpdate: shape.nextUpdate ?? '2026-11-29T00:00:00Z',
      revoked: revoked.map((entry) => ({ ...entry, revokedAt: '2026-11-21T10:00:00Z', reason: 'stolen' })),
    }),
  )
  const signature = derOf(by.sign(concat(utf8('reprise/revocations/v1\0'), payload)))
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
  return utf8(canonical({ schema: 'reprise/signed/v1', payload: base64(payload), signature: base64(signature) }))
}

/** ECDSA-Sig-Value of r ‖ s, by hand: the code under test is not asked. */
function derOf(signature: Uint8Array): Uint8Array {
  const half = signature.length / 2
  const integers = [signature.subarray(0, half), signature.subarray(half)].map((number) => {
    const from = number.findIndex((byte) => byte !== 0)
    const digits = [...(number[from] >= 0x80 ? [0] : []), ...number.subarray(from)]
    return [2, digits.length, ...digits]
  })
  const content = integers.flat()
  return new Uint8Array([0x30, content.length, ...content])
}
