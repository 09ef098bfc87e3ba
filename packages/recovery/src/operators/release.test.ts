/** Answers of operators as the waiting host reads them; the TPM has the last word in release.slow.test.ts. */
import { readFileSync } from 'node:fs'
import { canonical, fromHex, utf8 } from '@reprise/core'
import * as fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { escrowHalf } from '../sealing/quorum-half.ts'
import { Secret } from '../sealing/secret.ts'
import { makeKey, readKey } from './keys.ts'
import { answerRelease, readAnswers, readReleaseRequest, type ReleaseAsked } from './release.ts'
import { readSignedPlan } from './signed-plan.ts'
import { codeOf } from './testing.ts'

const newKey = (): ReturnType<typeof readKey> => readKey(utf8(makeKey(undefined).pem), 'key')
const people = [0, 1, 2].map(() => ({ signer: newKey(), escrow: newKey() }))
const digest = new Uint8Array(32).fill(5)
let asked: ReleaseAsked
let answers: readonly Uint8Array[]

beforeAll(async () => {
  using half = Secret.random(32)
  const operators = people.map(({ escrow }) => fromHex(escrow.point))
  asked = {
    ...{ fleet: 'lab', host: 'h1', epoch: 1, nonce: new Uint8Array(32), nonceTpm: new Uint8Array(32), expirationS: 60 },
    operators: people.map(({ signer }) => signer.point),
    escrow: await escrowHalf(half, { host: 'h1', epoch: 1, operators, threshold: 2 }),
    ...{ needed: 2, recipient: fromHex(newKey().point), madeMs: 0, akPublic: new Uint8Array(90) },
  }
  const quote = { attest: new Uint8Array(1), signature: new Uint8Array(1) }
  answers = await Promise.all(
    people.map(({ signer, escrow }) => answerRelease({ asked, digest, quote }, signer, escrow)),
  )
})

const answered = (files: readonly Uint8Array[]): string => codeOf(() => readAnswers(files, asked, digest))

test('a request and its answers are read as they were written once', async () => {
  const read = (path: string): unknown =>
    JSON.parse(readFileSync(new URL(`../../../../vectors/recovery/${path}`, import.meta.url), 'utf8'))
  const { signed } = read('operators/expected.json') as { readonly signed: string }
  const { akName, request, answers, elsewhere } = read('release-answers/input.json') as {
    readonly [name in 'akName' | 'request' | 'elsewhere']: string
  } & { readonly answers: readonly string[] }
  const { plan } = readSignedPlan(utf8(signed))
  const hosts = plan.roster.hosts.map((host) => (host.id === 'web-1' ? { ...host, ak: akName } : host))
  const of = await readReleaseRequest(utf8(request), { ...plan, roster: { ...plan.roster, hosts } })
  const files = answers.map(utf8)
  expect(readAnswers(files, of.asked, of.digest).map(({ operator }) => operator)).toEqual([0, 1])
  expect(() => readAnswers([utf8(elsewhere), ...files], of.asked, of.digest)).toThrow('it answers another request')
})

describe('answers to a request for a release', () => {
  test('count for different operators', () => {
    expect(readAnswers(answers, asked, digest).map(({ operator }) => operator)).toEqual([0, 1])
    expect(answered([answers[2], answers[0]])).toBe('taken')
    expect(answered([answers[2], answers[2]])).toBe('OPERATORS')
    expect(answered([])).toBe('OPERATORS')
  })

  test('are refused with any byte of them changed', () => {
    fc.assert(
      fc.property(fc.nat(answers[0].length - 2), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = answers[0].slice()
        changed[at] ^= flip
        expect(answered([changed, answers[1]])).toBe('STATEMENT')
      }),
      { numRuns: 300 },
    )
  })

  test('of strangers are refused and nothing else, whatever they have', () => {
    const json = JSON.parse(Buffer.from(answers[0]).toString()) as Record<string, unknown>
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(json), 'more'), fc.jsonValue(), (member, value) => {
        expect(answered([utf8(canonical({ ...json, [member]: value })), answers[1]])).toBe('STATEMENT')
      }),
    )
    fc.assert(fc.property(fc.uint8Array(), (bytes) => answered([bytes]) === 'STATEMENT'))
  })
})
