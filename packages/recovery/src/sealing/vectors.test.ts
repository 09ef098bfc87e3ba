/** The same policies, keys and chunks as a second implementation made of them: vectors/release/policies. */

import { readFileSync } from 'node:fs'
import { concat, fromHex, hex, nvName, type TpmsNvPublic } from '@reprise/core'
import { alternatives, policyOf } from '@reprise/tpm'
import { expect, test } from 'vitest'
import { approvalClause, approvalMessage } from './approval.ts'
import { shareDigest } from '../plan/digest.ts'
import type { BootState } from './boot-state.ts'
import { rootOf, wrapContentKey } from './content-key.ts'
import { encryptChunk } from './image/chunks.ts'
import { chunksRoot, keyCommitment } from './image/manifest.ts'
import { hashWith, leaseKey, signerArea } from './keys.ts'
import { leasePolicy, leaseWritePolicy } from './lease.ts'
import { Secret } from './secret.ts'
import { breakGlassPolicy, halfBranches } from './tpm-half.ts'
import { sha256 } from './words.ts'

interface Input {
  readonly [name: string]: string
}
const read = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../../../vectors/release/policies/${name}`, import.meta.url), 'utf8'))
const text = read('input.json') as Input
const input = text as unknown as {
  readonly epoch: number
  readonly boots: readonly (readonly { readonly pcr: number; readonly value: string }[])[]
  readonly resetCountMax: number
  readonly operators: readonly string[]
  readonly needed: number
  readonly share: { readonly index: number; readonly bytes: string }
  readonly chunk: {
    readonly key: string
    readonly version: number
    readonly index: number
    readonly total: number
    readonly plain: string
  }
}
const expected = read('expected.json') as Input

const host = 'web-1'
const secret = (digits: string): Secret => Secret.owning(fromHex(digits))
const bases = {
  imageBase: BigInt(text['imageBase']),
  rosterBase: BigInt(text['rosterBase']),
  approvalsBase: BigInt(text['approvalsBase']),
}
const scope = { host, epoch: input.epoch, ...bases }
const boots: readonly BootState[] = input.boots.map((boot) =>
  boot.map(({ pcr, value }) => ({ pcr, value: fromHex(value) })),
)
const terms = { boots, cap: { pcr: 14, value: new Uint8Array(32) }, resetCountMax: input.resetCountMax }

function indexOf(nvIndex: number, attributes: number, authPolicy: Uint8Array, dataSize: number) {
  const nvPublic: TpmsNvPublic = { nvIndex, nameAlg: 0x000b, attributes, authPolicy, dataSize }
  return { handle: nvIndex, name: nvName(nvPublic, hashWith), nvPublic }
}
const COUNTER = 0x22040014

test('keys and digests of a generation', () => {
  using tpm = secret(text['tpmHalf'])
  using quorum = secret(text['quorumHalf'])
  using root = rootOf({ tpm, quorum }, { mode: 'quorum', ...scope })
  using alone = rootOf({ tpm }, { mode: 'tpm-only', ...scope })
  expect(hex(root.bytes)).toBe(expected['root'])
  expect(hex(alone.bytes)).toBe(expected['rootTpmOnly'])
  const { area } = leaseKey(root)
  expect(area).toEqual(signerArea(fromHex(expected['leaseKey'])))
  expect(hex(leaseWritePolicy(host, { area }).digest)).toBe(expected['leaseWritePolicy'])
  using key = secret(text['contentKey'])
  const { wrapped } = wrapContentKey(root, { version: 7, key }, () => fromHex(text['wrapNonce']))
  expect(hex(wrapped)).toBe(expected['wrapped'])
  const { index, bytes } = input.share
  expect(hex(shareDigest({ host, epoch: input.epoch, index }, fromHex(bytes), sha256))).toBe(expected['shareDigest'])
})

test('leases, branches and the policy of the half', () => {
  const index = indexOf(0x01803601, 0x22040008, fromHex(expected['leaseWritePolicy']), 34)
  expect(hex(index.name)).toBe(expected['leaseIndexName'])
  const one = { ...terms, boots: boots.slice(0, 1) }
  expect(hex(leasePolicy(one).digest)).toBe(expected['leaseOneBoot'])
  const powered = { ...one, clockMaxMs: BigInt(text['clockMaxMs']) }
  expect(hex(leasePolicy(powered).digest)).toBe(expected['leaseOneBootPowered'])
  expect(hex(leasePolicy(terms).digest)).toBe(expected['lease'])

  const breakGlass = {
    needed: input.needed,
    operators: input.operators.map(fromHex),
    nonce: fromHex(text['nonce']),
    counter: indexOf(0x01803610, COUNTER, new Uint8Array(), 8),
    unused: BigInt(text['unused']),
  }
  expect(hex(breakGlassPolicy(host, breakGlass).digest)).toBe(expected['breakGlass'])
  const byIndex = halfBranches({ host, lease: { kind: 'index', index }, breakGlass })
  expect(hex(byIndex[0].digest)).toBe(expected['branchLease'])
  expect(hex(alternatives(byIndex).policy.digest)).toBe(expected['half'])
  const approver = fromHex(text['approver'])
  const byApproval = halfBranches({ host, lease: { kind: 'approvals', approver }, breakGlass })
  expect(hex(alternatives(byApproval).policy.digest)).toBe(expected['halfByApproval'])
})

test('what an approver signs, and what a share is sealed under', () => {
  const counter = indexOf(0x01803613, COUNTER, new Uint8Array(), 8)
  const numbered = { host, counter, number: BigInt(text['approvals']) }
  const [boot] = boots
  expect(hex(approvalMessage({ purpose: 'share', ...numbered, boot }))).toBe(expected['approvedShareMessage'])
  expect(hex(approvalMessage({ purpose: 'lease', ...numbered, terms }))).toBe(expected['approvedLeaseMessage'])
  const clause = approvalClause(host, 'share', signerArea(fromHex(text['approver'])))
  expect(hex(policyOf([clause]).digest)).toBe(expected['sharePolicy'])
})

test('a chunk of an image', () => {
  const { key: keyHex, plain, ...place } = input.chunk
  using key = secret(keyHex)
  const encrypted = concat(...encryptChunk(key, place, fromHex(plain)))
  expect(hex(encrypted)).toBe(expected['chunk'])
  expect(hex(chunksRoot(sha256(encrypted)))).toBe(expected['chunksRoot'])
  expect(hex(keyCommitment(key.bytes))).toBe(expected['keyCommitment'])
})
