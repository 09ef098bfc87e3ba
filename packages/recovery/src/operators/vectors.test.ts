/** The same files as a second implementation wrote them: vectors/recovery/operators. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hex, utf8 } from '@reprise/core'
import { expect, test } from 'vitest'
import { auditLogs } from '../audit/verify.ts'
import { openAuditLog } from '../audit/log.ts'
import { heartbeatStatement, releaseStatement } from '../plan/digest.ts'
import { sha256 } from '../sealing/words.ts'
import { approvalsMissing, keepApprovals, shareApprovals } from './approvals.ts'
import { offerStatement } from './offer.ts'
import { decodePlan } from './plan-json.ts'
import { encodeSignedPlan, readSignedPlan } from './signed-plan.ts'
import { encodeStatement, readStatement } from './statements.ts'

interface Expected {
  readonly planDigest: string
  readonly signed: string
  readonly first: string
  readonly statements: readonly { readonly file: string; readonly digest: string }[]
  readonly offerStatement: string
  readonly heartbeatStatement: string
  readonly releaseStatement: string
  readonly audit: { readonly text: string; readonly length: number; readonly head: string }
}
const path = new URL('../../../../vectors/recovery/operators/expected.json', import.meta.url)
const expected = JSON.parse(readFileSync(path, 'utf8')) as Expected
const of = (byte: number, lengthBytes = 32): Uint8Array => new Uint8Array(lengthBytes).fill(byte)

test('a signed plan with its handovers and approvals', () => {
  const first = decodePlan(JSON.parse(expected.first), 'first')
  const signed = readSignedPlan(utf8(expected.signed), { kind: 'plan', plan: first })
  expect(hex(signed.digest)).toBe(expected.planDigest)
  expect(Buffer.from(encodeSignedPlan(signed)).toString()).toBe(expected.signed)
  expect(signed.handovers.map(({ version }) => version)).toEqual([1, 4])
  expect(keepApprovals(signed, signed).approvals).toHaveLength(3)
  expect(approvalsMissing(signed)).toEqual([])
  expect(shareApprovals(signed, 'web-2').map(({ boot, signed: { approval } }) => [boot, approval.number])).toEqual([
    ['one', 42n],
    ['two', 42n],
  ])
})

test('statements of operators', () => {
  const { plan } = readSignedPlan(utf8(expected.signed))
  for (const { file, digest } of expected.statements) {
    const read = readStatement(Buffer.from(file, 'hex'), plan)
    expect([hex(read.digest), hex(encodeStatement(read))]).toEqual([digest, file])
  }
})

test('what is quoted', () => {
  const facts = { fleet: 'lab', host: 'web-1', akPublic: of(1, 90), storageKey: of(2, 90), approvals: 41n }
  expect(hex(offerStatement(facts))).toBe(expected.offerStatement)
  const beat = { host: 'web-1', witness: 'web-2', epoch: 3, auditHead: of(5), auditLength: 17, exporter: of(6) }
  expect(hex(heartbeatStatement(beat, sha256))).toBe(expected.heartbeatStatement)
  const share = { host: 'web-1', epoch: 3, index: 2, attempt: 'a1b2', planDigest: of(7) }
  expect(hex(releaseStatement(share, sha256))).toBe(expected.releaseStatement)
})

test('an audit log', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'reprise-vectors-'))
  try {
    const { text, length, head } = expected.audit
    writeFileSync(join(folder, 'log'), text)
    await using log = await openAuditLog(join(folder, 'log'), { fleet: 'lab', host: 'web-1' }, { nowMs: () => 0 })
    expect([log.place.length, hex(log.place.head), log.droppedBytes]).toEqual([length, head, 0])
    const audit = await auditLogs([{ log: 'log', content: utf8(text) }], undefined)
    // Nobody could have signed the release with such bytes.
    expect(audit.problems.map(({ code, entry }) => [code, entry])).toEqual([['QUOTE', 2]])
    expect(audit.logs[0]).toMatchObject({ host: 'web-1', fleet: 'lab' })
  } finally {
    rmSync(folder, { recursive: true })
  }
})
