/** Whom the reader trusts: the table of cases of `verify`, with its exit codes and its first lines. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Answer, json, Room, ROOT } from './room.ts'

const vector = (name: string): string => join(ROOT, 'vectors', 'record', name)
const record = (name: string): string => join(vector(name), 'input.reprise')

let room: Room
let folder: string
beforeAll(async () => {
  room = await Room.create()
  folder = await room.newFolder({
    'typo.json': '{"schema":"reprise/trust/v1","authoritys":[]}',
    'lost.json': '{"schema":"reprise/trust/v1","authorities":[{"file":"lost.pem"}]}',
    'other.json': readFileSync(join(vector('enrolled-unpinned'), 'trust.json')),
  })
})
afterAll(() => room[Symbol.asyncDispose]())

const verify = (...words: readonly string[]): Promise<Answer> => room.reprise(['verify', ...words], { cwd: folder })

describe('verify', () => {
  const enrolled = record('enrolled-by-root')
  const policy = join(vector('enrolled-by-root'), 'trust.json')

  test('takes a host that an authority of the policy enrolled, and names both', async () => {
    const answer = await verify(enrolled, '--trust', policy, '--require-enrolment')
    expect(answer.code).toBe(0)
    expect(answer.stdout).toMatch(/^verified, not repeated {3}\S+\.reprise/)
    expect(answer.stdout).toContain('firmware TPM, enrolled')
    expect(answer.stdout).toContain('host host-7.example.org, firmware TPM, by the word of CN=Lab root')
  })

  test('says the same as JSON', async () => {
    const answer = json(await verify(enrolled, '--trust', policy, '--json'))
    expect(answer).toMatchObject({
      evidence: 'verified',
      enrolment: 'authority',
      tier: 'firmware',
      hosts: [{ enrolment: 'authority', name: 'host-7.example.org', authority: 'CN=Lab root', tier: 'firmware' }],
    })
  })

  test('warns first of a host that nobody vouches for whom the reader trusts', async () => {
    const answer = await verify(enrolled)
    expect([answer.code, answer.stdout.split('\n')[0]]).toEqual([0, expect.stringContaining('SELF_ENROLLED')])
    expect(answer.stdout).toContain('enrolled at an authority that is not trusted here')
    expect(answer.stdout).toMatch(/certificate of CN=Lab root \(key identifier [0-9a-f]{40}\)/)
    expect(answer.stdout).not.toContain('self-enrolled')
    expect(await verify(enrolled, '--require-enrolment')).toMatchObject({ code: 3 })
  })

  test('takes a host that enrolled itself when its key is named', async () => {
    const whole = record('whole')
    const [name] = (json(await verify(whole, '--json')) as { attestationKeys: string[] }).attestationKeys
    const answer = await verify(whole, '--trust', name, '--require-enrolment')
    expect(answer).toMatchObject({ code: 0, stdout: expect.not.stringContaining('SELF_ENROLLED') })
    expect(
      await verify(
        whole,
        '--trust',
        name.replace(/.$/, (last) => (last === '0' ? '1' : '0')),
      ),
    ).toMatchObject({ code: 3 })
  })

  test('takes a key beside a policy', async () => {
    const [name] = (json(await verify(record('whole'), '--json')) as { attestationKeys: string[] }).attestationKeys
    expect(await verify(record('whole'), '--trust', policy, '--trust', name)).toMatchObject({ code: 0 })
    expect(await verify(record('whole'), '--trust', policy)).toMatchObject({ code: 3 })
  })

  test.each([
    ['a policy with a field that is not known', ['typo.json'], /authoritys.*\n.*known are: .*authorities/],
    ['a policy that names a file that is not there', ['lost.json'], /lost\.pem: no such file/],
    ['a policy that is not there', ['none.json'], /none\.json: no such file/],
    ['a folder as a policy', ['.'], /is not a file/],
    ['two policies', ['other.json', '--trust', 'other.json'], /takes one policy/],
    ['a record as a policy', [record('whole')], /not JSON/],
  ])('refuses %s', async (_what, words, says) => {
    const answer = await verify(enrolled, '--trust', ...words)
    expect(answer).toMatchObject({ code: 2, stdout: '' })
    expect(answer.stderr).toMatch(says)
  })
})
