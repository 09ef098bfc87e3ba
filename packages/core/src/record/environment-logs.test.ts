import { expect, test } from 'vitest'
import { decodeEnvironment } from './document.ts'

const LOG = { kind: 'boot', lengthBytes: 3, sha256: 'd'.repeat(64), source: 'host' } as const
const LEFT_OUT = { kind: 'ima', leftOut: 'too-large' } as const
const environment = (logs: unknown): object => ({
  schema: 'reprise/environment/v1',
  architecture: 'x64',
  bootId: null,
  cpu: 'a CPU',
  ekCertificate: null,
  follows: [],
  kernel: '6.1.0',
  logs,
  node: '26.10.0',
  platform: 'linux',
  repeats: null,
  reprise: '0.1.0',
  rewriter: '1',
  startedAt: '2026-11-22T03:25:00Z',
  tpm: { firmware: '1', manufacturer: 'IBM', transport: 'device' },
  v8: '14',
})

test.each([[[]], [[LOG]], [[LOG, LEFT_OUT]]])('logs are read: %j', (logs) => {
  expect(decodeEnvironment(environment(logs)).logs).toEqual(logs)
})

test.each([
  ['no list', null],
  ['another order', [LEFT_OUT, LOG]],
  ['two of a kind', [LOG, LOG]],
  ['an unknown kind', [{ ...LOG, kind: 'other' }]],
  ['one that is too long', [{ ...LOG, lengthBytes: 2 ** 24 + 1 }]],
  ['an unknown source', [{ ...LOG, source: 'me' }]],
  ['one that is there and left out', [{ ...LOG, leftOut: 'too-large' }]],
  ['another reason to leave one out', [{ kind: 'ima', leftOut: 'secret' }]],
])('logs are refused: %s', (_what, logs) => {
  expect(() => decodeEnvironment(environment(logs))).toThrow('$.logs')
})
