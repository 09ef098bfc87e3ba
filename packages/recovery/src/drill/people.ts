/** Who signs in a laboratory: operators, an approver, whoever builds images. Their keys live as long as it does. */
import { generateKeyPairSync, sign } from 'node:crypto'
import type { Signer } from '../operators/index.ts'

export interface LabPeople {
  /** Two of three sign. */
  readonly operators: readonly (Signer & { readonly name: string; readonly escrow: Signer })[]
  readonly approver: Signer
  readonly imageSigner: Signer
}

export const OPERATORS_NEEDED = 2

export function labPeople(): LabPeople {
  return {
    operators: ['ada', 'grace', 'mary'].map((name) => ({ name, ...drawSigner(), escrow: drawSigner() })),
    approver: drawSigner(),
    imageSigner: drawSigner(),
  }
}

function drawSigner(): Signer {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' })
  const point = `04${[x, y].map((part) => Buffer.from(part, 'base64url').toString('hex')).join('')}`
  const key = { key: privateKey, dsaEncoding: 'ieee-p1363' } as const
  return { point, sign: (message) => new Uint8Array(sign('sha256', message, key)) }
}
