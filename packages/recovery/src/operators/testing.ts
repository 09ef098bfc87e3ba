/** For tests: people with keys, and a plan of three hosts. */
import { generateKeyPairSync, sign } from 'node:crypto'
import type { Plan } from '../types.ts'
import type { Signer } from './signatures.ts'
import { evenPlan } from '../plan/sample.ts'

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
