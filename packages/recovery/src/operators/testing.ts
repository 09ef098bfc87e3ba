/** For tests: people with keys, a plan of three hosts, and keys that sign what a TPM would have signed. */
import { generateKeyPairSync, sign } from 'node:crypto'
import {
  decodeTpmtPublic,
  encodeTpmsAttest,
  encodeTpmtPublic,
  encodeTpmtSignature,
  fromHex,
  hex,
  objectName,
  type PcrBanks,
  pcrDigest,
  qualifiedName,
  TPM_ALG,
  TPM_ECC,
  TPM_RH,
  TPM_ST,
  TPMA_OBJECT,
} from '@reprise/core'
import { nodeCrypto } from '@reprise/host/crypto'
import { RecoveryError } from '../error.ts'
import { evenPlan } from '../plan/sample.ts'
import type { Plan } from '../types.ts'
import type { Quote } from '../quote.ts'
import type { Signer } from './signatures.ts'

export interface TestOperator {
  readonly name: string
  readonly signer: Signer
}

export function testOperator(name: string): TestOperator {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' })
  const point = `04${[x, y].map((part) => Buffer.from(part, 'base64url').toString('hex')).join('')}`
  const signing = { key: privateKey, dsaEncoding: 'ieee-p1363' } as const
  return { name, signer: { point, sign: (message) => new Uint8Array(sign('sha256', message, signing)) } }
}

/** h1 has two boots, h4 is expunged. */
export function testPlan({
  version,
  operators,
  needed,
  ...change
}: Partial<Plan> & {
  readonly version: number
  readonly operators: readonly TestOperator[]
  readonly needed: number
}): Plan {
  const shape = { zones: 1, roomsPerZone: 1, racksPerRoom: 4, hostsPerRack: 1, racksPerPdu: 1 }
  const even = evenPlan(shape, { witnesses: 2, threshold: 2, perRoom: 2, ownZone: 2 })
  const hosts = even.roster.hosts.map((host, i) => ({
    ...host,
    id: `h${i + 1}`,
    ak: `000b${String(i + 1).repeat(64)}`,
    state: i === 3 ? ('expunged' as const) : host.state,
    approvals: 7,
  }))
  const registers = (digit: string): Plan['boots'][number]['registers'] => [
    { pcr: 4, value: digit.repeat(64) },
    { pcr: 7, value: '2'.repeat(64) },
  ]
  return {
    ...even,
    fleet: 'lab',
    roster: { version, hosts },
    breakGlass: {
      needed,
      keys: operators.map(({ name, signer }) => ({ name, publicKey: signer.point, escrow: undefined })),
    },
    boots: [
      { name: 'one', registers: registers('1'), hosts: undefined },
      { name: 'two', registers: registers('3'), hosts: ['h1'] },
    ],
    ...change,
  }
}

/** An attestation key outside every TPM: real structures, real signatures. */
export interface TestAk {
  readonly akPublic: Uint8Array
  /** TPM Name, hex. */
  readonly name: string
  readonly quote: (
    statement: Uint8Array,
    registers?: Readonly<Record<number, Uint8Array>>,
  ) => Quote & { readonly registers: ReadonlyMap<number, Uint8Array> }
}

const { fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign: signs } = TPMA_OBJECT
const { hash } = nodeCrypto

export function testAk(
  attributes = fixedTPM | fixedParent | sensitiveDataOrigin | userWithAuth | restricted | signs,
): TestAk {
  const { signer } = testOperator('')
  const point = fromHex(signer.point)
  const akPublic = encodeTpmtPublic({
    type: TPM_ALG.ECC,
    nameAlg: TPM_ALG.SHA256,
    objectAttributes: attributes,
    authPolicy: new Uint8Array(),
    parameters: {
      symmetric: { algorithm: TPM_ALG.NULL },
      scheme: { scheme: TPM_ALG.ECDSA, hashAlg: TPM_ALG.SHA256 },
      curveId: TPM_ECC.NIST_P256,
      kdf: { scheme: TPM_ALG.NULL },
    },
    unique: { x: point.subarray(1, 33), y: point.subarray(33) },
  })
  const name = objectName(decodeTpmtPublic(akPublic), hash)
  return {
    akPublic,
    name: hex(name),
    quote(statement, registers = { 4: new Uint8Array(32) }) {
      const selection = [{ hash: TPM_ALG.SHA256, pcrs: Object.keys(registers).map(Number) }]
      const banks: PcrBanks = { sha256: registers }
      const attest = encodeTpmsAttest({
        type: TPM_ST.ATTEST_QUOTE,
        qualifiedSigner: qualifiedName({ parent: TPM_RH.ENDORSEMENT, name, hash }),
        extraData: statement,
        clockInfo: { clock: 5n, resetCount: 1, restartCount: 0, safe: true },
        firmwareVersion: 1n,
        attested: {
          pcrSelect: selection,
          pcrDigest: pcrDigest({ hash, algorithm: 'sha256', selection, banks }) as Uint8Array,
        },
      })
      const signature = encodeTpmtSignature({
        scheme: { kind: 'ecdsa', hash: 'sha256' },
        signature: signer.sign(attest),
      })
      const values = Object.entries(registers).map(([pcr, value]) => [Number(pcr), value] as const)
      return { attest, signature, registers: new Map(values) }
    },
  }
}

/** The code of what is thrown; anything but our own errors goes on. */
export function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof RecoveryError) return error.code
    throw error
  }
  return 'taken'
}
