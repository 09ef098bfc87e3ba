/** For tests and measurements: hosts with a key in software whose public area is that of an attestation key. */

import { createPrivateKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import {
  decodeTpmtPublic,
  encodeTpmsAttest,
  encodeTpmtPublic,
  encodeTpmtSignature,
  hex,
  objectName,
  pcrDigest,
  qualifiedName,
  TPM_ALG,
  TPM_RH,
  TPM_ST,
  type TpmsAttestFields,
} from '@reprise/core'
import { attestationKeyTemplate } from '@reprise/tpm'
import { hashWith } from '../../sealing/keys.ts'
import type { HostId } from '../../types.ts'
import type { HostTpm } from '../channel.ts'
import type { PlanView, ViewedHost } from '../plan-view.ts'

export interface SoftwareHost extends HostTpm {
  /** TPM Name of its key, hex. */
  readonly ak: string
  /** Its registers; zeros where nothing is set. */
  readonly registers: Map<number, Uint8Array>
  /** How many quotes it made. */
  quotes: number
}

export interface SoftwareHostOptions {
  /** Of TPMA_OBJECT; those of an attestation key unless given. */
  readonly attributes?: number
  /** Changes what is quoted before it is signed. */
  readonly twist?: (fields: TpmsAttestFields) => TpmsAttestFields
}

/** A TPM that is none: its key can sign anything. */
export function softwareHost(host: HostId, options: SoftwareHostOptions = {}): SoftwareHost {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' })
  const template = attestationKeyTemplate(new Uint8Array())
  const akPublic = encodeTpmtPublic({
    ...template,
    objectAttributes: options.attributes ?? template.objectAttributes,
    unique: { x: new Uint8Array(Buffer.from(x, 'base64url')), y: new Uint8Array(Buffer.from(y, 'base64url')) },
  })
  const name = objectName(decodeTpmtPublic(akPublic), hashWith)
  const key = createPrivateKey(privateKey.export({ type: 'pkcs8', format: 'pem' }))
  const twist = options.twist ?? ((fields: TpmsAttestFields) => fields)
  const self: SoftwareHost = {
    ...{ host, akPublic, ak: hex(name), registers: new Map<number, Uint8Array>(), quotes: 0 },
    quote(statement, pcrs) {
      self.quotes += 1
      const registers = new Map(pcrs.map((pcr) => [pcr, self.registers.get(pcr) ?? new Uint8Array(32)]))
      const selection = [{ hash: TPM_ALG.SHA256, pcrs }]
      const banks = { sha256: Object.fromEntries(registers) }
      const digest = pcrDigest({ hash: hashWith, algorithm: 'sha256', selection, banks }) ?? new Uint8Array()
      const attest = encodeTpmsAttest(
        twist({
          ...{ type: TPM_ST.ATTEST_QUOTE, extraData: statement, firmwareVersion: 0x2024_0101n },
          qualifiedSigner: qualifiedName({ parent: TPM_RH.ENDORSEMENT, name, hash: hashWith }),
          clockInfo: { clock: 1_000_000n, resetCount: 7, restartCount: 0, safe: true },
          attested: { pcrSelect: selection, pcrDigest: digest },
        }),
      )
      const signature = new Uint8Array(sign('sha256', attest, { key, dsaEncoding: 'ieee-p1363' }))
      const scheme = { kind: 'ecdsa', hash: 'sha256' } as const
      return Promise.resolve({ attest, signature: encodeTpmtSignature({ scheme, signature }), registers })
    },
  }
  return self
}

export const TEST_BOOT = new Map([
  [4, new Uint8Array(32).fill(4)],
  [7, new Uint8Array(32).fill(7)],
])

/** A plan of these hosts, all in the boot `release 1` when their registers say so. */
export function viewOf(
  hosts: readonly (ViewedHost & { readonly host: HostId })[],
  more: Partial<PlanView> = {},
): PlanView {
  return {
    ...{ fleet: 'lab', version: 1, digest: new Uint8Array(randomBytes(32)) },
    hosts: new Map(hosts.map(({ host, ...viewed }) => [host, viewed])),
    boots: [{ name: 'release 1', registers: TEST_BOOT }],
    cap: { pcr: 14, value: new Uint8Array(32) },
    ...more,
  }
}
