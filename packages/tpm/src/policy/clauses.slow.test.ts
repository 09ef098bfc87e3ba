/** Sequences of clauses against a second implementation: tpm2-tools computes the same digests in trial sessions. */

import { generateKeyPairSync, sign } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ByteWriter, concat, hex, TPM_ALG, TPM_EO, utf8 } from '@reprise/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { NvWrite, openNvIndex, OWNER, PcrExtend, PolicyGetDigest, StartAuthSession } from '../index.ts'
import { testTpm, type TestTpm } from '../software/testing.ts'
import { Policy } from './calculator.ts'
import { alternatives, externalName, meetPolicy, type PolicyClause, policyOf } from './clauses.ts'
import { currentPcrDigest, defineNv, Signer } from './testing.ts'

const pcrs = [{ hash: TPM_ALG.SHA256, pcrs: [4, 7, 14] }]
const policyRef = utf8('web-1')
const u32 = (value: number): Uint8Array => new ByteWriter().u32(value).done()

let host: TestTpm
let resets: number
let pcrClause: PolicyClause
beforeAll(async () => {
  host = await testTpm()
  await host.tpm.execute(PcrExtend({ pcrHandle: 7, digests: { sha256: new Uint8Array(32).fill(1) } }))
  pcrClause = { kind: 'pcr', pcrs, pcrDigest: await currentPcrDigest(host.tpm, pcrs) }
  resets = 1000
})
afterAll(() => host.dispose())

/** Runs programs of tpm2-tools in one trial session, each adding its step, and reads the digest after the last. */
async function digestByTools(steps: readonly (readonly [string, ...string[]])[]): Promise<string> {
  await host.tool('tpm2_startauthsession', '-S', 'trial.ctx')
  for (const [program, ...args] of steps) await host.tool(program, '-S', 'trial.ctx', '-L', 'policy.out', ...args)
  await host.tool('tpm2_flushcontext', 'trial.ctx')
  return hex(new Uint8Array(readFileSync(join(host.scratch, 'policy.out'))))
}

const leaseClauses = (): readonly PolicyClause[] => [
  pcrClause,
  { kind: 'counterTimer', operandB: u32(resets), offset: 16, operation: TPM_EO.UNSIGNED_LE },
  { kind: 'counterTimer', operandB: u32(0), offset: 20, operation: TPM_EO.EQ },
]
const leaseByTools = [
  ['tpm2_policypcr', '-l', 'sha256:4,7,14'],
  ['tpm2_policycountertimer', '--ule', 'resets=1000'],
  ['tpm2_policycountertimer', '--eq', 'restarts=0'],
] as const

describe('tpm2-tools come to the same digest for', () => {
  test('registers, resets and restarts, one after the other', async () => {
    expect(await digestByTools(leaseByTools)).toBe(hex(policyOf(leaseClauses()).digest))
  })

  test('that, an index that holds it, and one of two branches', async () => {
    const lease = policyOf(leaseClauses())
    await defineNv(host.tpm, 0x01800210, { dataSize: 34 })
    const empty = await openNvIndex(host.tpm, 0x01800210)
    const data = concat(Uint8Array.of(0, 0x0b), lease.digest)
    await host.tpm.execute(NvWrite({ authHandle: OWNER, nvIndex: empty, data }))
    const index = await openNvIndex(host.tpm, 0x01800210)
    const branch = policyOf([...leaseClauses(), { kind: 'authorizeNv', index }])
    const byTools = await digestByTools([...leaseByTools, ['tpm2_policyauthorizenv', '-C', 'o', '0x01800210']])
    expect(byTools).toBe(hex(branch.digest))

    const other = policyOf([pcrClause])
    writeFileSync(join(host.scratch, 'a'), branch.digest)
    writeFileSync(join(host.scratch, 'b'), other.digest)
    expect(await digestByTools([['tpm2_policyor', 'sha256:a,b']])).toBe(
      hex(alternatives([branch, other]).policy.digest),
    )
  })

  test('signers with a reference, and a counter', async () => {
    const counter = await defineNv(host.tpm, 0x01800211, { dataSize: 8 })
    await host.tpm.execute(NvWrite({ authHandle: OWNER, nvIndex: counter, data: new Uint8Array(8) }))
    const index = await openNvIndex(host.tpm, 0x01800211)
    const clauses: readonly PolicyClause[] = [
      { kind: 'nv', index, operandB: new Uint8Array(8), operation: TPM_EO.EQ },
      { kind: 'nv', index, operandB: Uint8Array.of(9), offset: 7, operation: TPM_EO.UNSIGNED_LE },
    ]
    writeFileSync(join(host.scratch, 'eight'), new Uint8Array(8))
    writeFileSync(join(host.scratch, 'nine'), Uint8Array.of(9))
    const byTools = await digestByTools([
      ['tpm2_policynv', '-C', 'o', '-i', 'eight', '0x01800211', 'eq'],
      ['tpm2_policynv', '-C', 'o', '-i', 'nine', '--offset', '7', '0x01800211', 'ule'],
    ])
    expect(byTools).toBe(hex(policyOf(clauses).digest))
  })

  test('approvals: the Name of the approver and the reference, and nothing of what came before', async () => {
    const signer = new Signer()
    writeFileSync(join(host.scratch, 'ours.name'), externalName(signer.area))
    writeFileSync(join(host.scratch, 'ref'), policyRef)
    writeFileSync(join(host.scratch, 'input'), policyOf(leaseClauses()).digest)
    const byTools = await digestByTools([
      ['tpm2_policyauthorize', '-i', 'input', '-n', 'ours.name', '-q', Buffer.from(policyRef).toString('hex')],
    ])
    const clauses: readonly PolicyClause[] = [
      ...leaseClauses(),
      { kind: 'authorize', approver: signer.area, policyRef },
    ]
    expect(byTools).toBe(hex(policyOf(clauses).digest))
  })
})

describe('tpm2-tools agree about PolicySigned', () => {
  test('with the Name that they give the key', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    writeFileSync(join(host.scratch, 'operator.pem'), publicKey.export({ type: 'spki', format: 'pem' }))
    const loaded = ['-C', 'n', '-G', 'ecc', '-u', 'operator.pem', '-c', 'operator.ctx', '-n', 'operator.name'] as const
    await host.tool('tpm2_loadexternal', ...loaded)
    writeFileSync(join(host.scratch, 'reference'), policyRef)
    // A trial session does not look at it.
    writeFileSync(join(host.scratch, 'signature'), sign('sha256', policyRef, privateKey))
    const signed = ['-g', 'sha256', '-s', 'signature', '-f', 'ecdsa', '-c', 'operator.ctx', '-q', 'reference'] as const
    const name = new Uint8Array(readFileSync(join(host.scratch, 'operator.name')))
    const expected = new Policy().signed({ name, policyRef })
    expect(await digestByTools([['tpm2_policysigned', ...signed]])).toBe(hex(expected.digest))
  })
})

describe('any number of alternatives', () => {
  test.each([1, 2, 8, 9, 17, 35, 64, 65, 70])(
    '%i of them: the TPM comes to one digest by the path of each',
    async (count) => {
      const leaves = Array.from({ length: count }, (_, i): PolicyClause => {
        return { kind: 'counterTimer', operandB: u32(i), offset: 16, operation: TPM_EO.UNSIGNED_GE }
      })
      const tree = alternatives(leaves.map((leaf) => policyOf([leaf])))
      for (const position of new Set([0, 7, 8, 63, 64, count >> 1, count - 1].filter((at) => at < count))) {
        await using session = await host.tpm.execute(StartAuthSession({ sessionType: 'trial' }))
        await meetPolicy(host.tpm, session, [leaves[position], ...tree.path(position)])
        const { policyDigest } = await host.tpm.execute(PolicyGetDigest({ policySession: session }))
        expect(hex(policyDigest)).toBe(hex(tree.policy.digest))
      }
    },
  )

  test('none is the policy that nothing was asked for', () => {
    expect(hex(alternatives([]).policy.digest)).toBe(hex(new Policy().digest))
  })
})
