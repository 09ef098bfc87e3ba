/** What operators do, as commands: exit codes, files, and what is said. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { encodeTpmsAttest, hex } from '@reprise/core'
import { openAuditLog } from '@reprise/recovery/audit'
import { makeOffer, readSignedPlan, readStatement, shareApprovals } from '@reprise/recovery/operators'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eccTpm, quoteFields } from '../record/imitation-tpm.ts'
import { builtCommand } from './room.ts'

const main = builtCommand()
const vectors = resolve(import.meta.dirname, '../../vectors/event-log')
const folder = mkdtempSync(join(tmpdir(), 'reprise-operators-'))
afterAll(() => rmSync(folder, { recursive: true }))

function reprise(...words: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'recovery', ...words], {
    cwd: folder,
    encoding: 'utf8',
    input: '',
  })
  return { status, stdout, stderr }
}

function answer(...words: readonly string[]): Record<string, unknown> {
  const { status, stdout, stderr } = reprise(...words, '--json')
  expect(status, `${words.join(' ')}\n${stdout}${stderr}`).toBe(0)
  return JSON.parse(stdout) as Record<string, unknown>
}

const file = (name: string): Uint8Array => new Uint8Array(readFileSync(join(folder, name)))
const hosts = ['h1', 'h2', 'h3']
let people: string
let approver: string

function yaml(version: number, more = ''): string {
  const lines = hosts.map(
    (name) =>
      `  - { name: ${name}, address: "10.0.0.${name.slice(1)}:8471", zone: z, room: m, rack: k${name.slice(1)}, pdu: p }`,
  )
  const policy = 'policy: { witnesses: 2, threshold: 2, perPdu: 3, perRoom: 3, ownZone: 2 }'
  const text = [
    `fleet: lab`,
    `version: ${version}`,
    'longestOutage: 8h',
    policy,
    'hosts:',
    ...lines,
    'breakGlass:',
    '  needed: 2',
    '  keys:',
    people,
    approver,
  ]
  return `${text.join('\n')}\n${more}`
}

/** What a host would write; its registers are those of the boot `seed`. */
async function offer(host: string, seed: string, key = host): Promise<void> {
  const tpm = eccTpm(key)
  const value = new Uint8Array(32).fill(seed.charCodeAt(0))
  const pcrs = { 4: value, 7: new Uint8Array(32).fill(7), 14: new Uint8Array(32) }
  const facts = { fleet: 'lab', host, akPublic: tpm.publicArea, storageKey: new Uint8Array(90), approvals: 3n }
  const bytes = await makeOffer(facts, async (extraData) => {
    const clockInfo = { clock: 1n, resetCount: 1, restartCount: 0, safe: true }
    const attest = encodeTpmsAttest(quoteFields(tpm, { extraData, clockInfo, pcrs }))
    const registers = new Map(Object.entries(pcrs).map(([pcr, each]) => [Number(pcr), each]))
    return { attest, signature: tpm.sign(attest), registers }
  })
  writeFileSync(join(folder, 'offers', `${host}.json`), bytes)
}

beforeAll(async () => {
  mkdirSync(join(folder, 'offers'))
  people = ['alice', 'bob', 'carol']
    .map(
      (name) =>
        `    ${reprise('keys', 'new', name, '-o', `${name}.pem`, '--escrow', `${name}.escrow.pem`).stdout.trim()}`,
    )
    .join('\n')
  approver = reprise('keys', 'new', 'approver', '--as', 'approver', '-o', 'approver.pem').stdout.trim()
  for (const host of hosts) await offer(host, 'a')
  writeFileSync(join(folder, 'plan.yaml'), yaml(1))
})

describe('recovery keys', () => {
  test('are in files that only their owner reads, and are never written over', () => {
    expect(statSync(join(folder, 'alice.pem')).mode & 0o777).toBe(0o600)
    const before = file('alice.pem')
    expect(reprise('keys', 'new', 'alice', '-o', 'alice.pem')).toMatchObject({ status: 2, stdout: '' })
    expect(file('alice.pem')).toEqual(before)
  })

  test('with a passphrase want it', () => {
    writeFileSync(join(folder, 'passphrase'), 'correct horse\n')
    writeFileSync(join(folder, 'other'), 'battery\n')
    const { key } = answer('keys', 'new', 'emil', '-o', 'emil.pem', '--passphrase-file', 'passphrase')
    expect(Buffer.from(file('emil.pem')).toString()).toContain('ENCRYPTED')
    expect(answer('keys', 'show', 'emil.pem', '--passphrase-file', 'passphrase')).toMatchObject({
      key,
      isEncrypted: true,
    })
    for (const more of [[], ['--passphrase-file', 'other']])
      expect(JSON.parse(reprise('keys', 'show', 'emil.pem', '--json', ...more).stdout)).toMatchObject({ code: 'KEY' })
  })
})

describe('recovery sign', () => {
  test('merges offers, and counts when two of three signed', () => {
    const first = answer('sign', 'plan.yaml', '--offers', 'offers', '--key', 'alice.pem', '-o', 'one.json')
    expect(first).toMatchObject({ version: 1, signatures: ['alice'], signaturesMissing: 1, approvals: 0 })
    expect(first['offers']).toMatchObject([{ host: 'h1', kind: 'unproven' }, {}, {}])
    expect(
      JSON.parse(reprise('revoke', 'h1', '--plan', 'one.json', '--key', 'bob.pem', '-o', 'x', '--json').stdout),
    ).toMatchObject({
      code: 'SIGNED_PLAN',
    })
    const second = answer('sign', 'one.json', '--key', 'bob.pem')
    expect(second).toMatchObject({ signatures: ['alice', 'bob'], signaturesMissing: 0, digest: first['digest'] })
    expect(answer('sign', 'one.json', '--key', 'approver.pem')).toMatchObject({ approvals: 3, approvalsMissing: [] })
    // From the YAML again: the same plan, signed by one more.
    expect(answer('sign', 'plan.yaml', '--offers', 'offers', '--key', 'carol.pem', '-o', 'one.json')).toMatchObject({
      signatures: ['alice', 'bob', 'carol'],
      approvals: 3,
    })
    const signed = readSignedPlan(file('one.json'))
    expect(signed.plan.roster.hosts.map(({ ak, approvals }) => [ak, approvals])).toEqual(
      hosts.map((host) => [hex(eccTpm(host).name), 3]),
    )
    expect(shareApprovals(signed, 'h2')).toHaveLength(1)
    expect(answer('plan', 'one.json')).toMatchObject({ digest: first['digest'], notes: [] })
  })

  test('goes on from the plan before, shows what is another, and keeps what the approver signed', () => {
    writeFileSync(join(folder, 'next.yaml'), yaml(2, 'services: [{ name: db }]\n'))
    const { status, stdout } = reprise(
      'sign',
      'next.yaml',
      '--previous',
      'one.json',
      '--key',
      'alice.pem',
      '-o',
      'two.json',
    )
    expect(status).toBe(0)
    expect(stdout).toContain('+ service db')
    expect(stdout).toContain('3 approvals for shares\n')
    answer('sign', 'two.json', '--key', 'carol.pem')
    const { plan } = readSignedPlan(file('one.json'))
    expect(readSignedPlan(file('two.json'), { kind: 'plan', plan }).plan.boots).toEqual(plan.boots)
  })

  test('refuses what does not fit, and leaves the files as they are', async () => {
    const before = file('one.json')
    const refused = (...words: readonly string[]): unknown => {
      const { status, stdout } = reprise('sign', ...words, '--json')
      expect(status).toBe(2)
      return (JSON.parse(stdout) as { code: string }).code
    }
    writeFileSync(
      join(folder, 'three.yaml'),
      yaml(2, 'imageSigners: []\nmode: quorum\nlongestOutage: 9h\n').replace('longestOutage: 8h\n', ''),
    )
    expect(refused('plan.yaml', '--key', 'alice.pem')).toBe('USAGE')
    expect(refused('one.json', '--offers', 'offers', '--key', 'alice.pem')).toBe('USAGE')
    expect(refused('three.yaml', '--key', 'alice.pem', '-o', 'one.json')).toBe('USAGE')
    expect(refused('plan.yaml', '--previous', 'two.json', '--key', 'alice.pem', '-o', 'y.json')).toBe('SIGNED_PLAN')
    expect(refused('one.json', '--key', 'emil.pem', '--passphrase-file', 'passphrase')).toBe('KEY')
    mkdirSync(join(folder, 'none'))
    expect(refused('plan.yaml', '--offers', 'none', '--key', 'alice.pem', '-o', 'y.json')).toBe('OFFER')
    await offer('h9', 'a')
    expect(refused('plan.yaml', '--offers', 'offers', '--key', 'alice.pem', '-o', 'y.json')).toBe('OFFER')
    rmSync(join(folder, 'offers/h9.json'))
    expect(file('one.json')).toEqual(before)
    expect(() => statSync(join(folder, 'y.json'))).toThrow('ENOENT')
  })
})

describe('statements', () => {
  test('are signed in one file by one operator after the other', () => {
    const revoke = ['revoke', 'h2', '--plan', 'one.json', '-o', 'revoked.json'] as const
    answer(...revoke, '--key', 'alice.pem')
    const { plan } = readSignedPlan(file('one.json'))
    expect(() => readStatement(file('revoked.json'), plan)).toThrow('1 of 3')
    answer(...revoke, '--key', 'carol.pem')
    expect(readStatement(file('revoked.json'), plan).statement).toMatchObject({ kind: 'revocation', host: 'h2' })
    expect(reprise('revoke', 'h3', '--plan', 'one.json', '-o', 'revoked.json', '--key', 'alice.pem').status).toBe(2)
    const from = ['--from', '2026-11-26T09:15Z', '--age', '30m']
    expect(
      answer('extend', 'h1', '--plan', 'one.json', '-o', 'extended.json', '--key', 'bob.pem', ...from),
    ).toMatchObject({
      statement: { kind: 'extension', host: 'h1', fromMs: Date.UTC(2026, 10, 26, 9, 15), ageMs: 1_800_000 },
      signatures: ['bob'],
    })
    const again = ['extend', 'h1', '--plan', 'one.json', '-o', 'extended.json', '--key', 'alice.pem']
    expect(reprise(...again, '--age', '0s').status).toBe(2)
    expect(answer(...again)).toMatchObject({ signatures: ['alice', 'bob'] })
    expect(
      reprise('extend', 'h1', '--plan', 'one.json', '-o', 'z', '--key', 'alice.pem', '--from', 'noon').status,
    ).toBe(2)
  })

  test('permit one host to deliver to another, for a time', () => {
    const permit = ['permit', 'h2', '--plan', 'one.json', '-o', 'permit.json'] as const
    const first = answer(...permit, '--by', 'h1', '--for', '2h', '--key', 'alice.pem')
    const statement = first['statement'] as { readonly madeMs: number; readonly untilMs: number }
    expect(statement).toMatchObject({ kind: 'delivery', fleet: 'lab', host: 'h2', by: 'h1' })
    expect(statement.untilMs - statement.madeMs).toBe(7_200_000)
    expect(reprise(...permit, '--by', 'h3', '--key', 'carol.pem').stderr).toContain('is there already')
    expect(answer(...permit, '--by', 'h1', '--key', 'carol.pem')['statement']).toEqual(statement)
    const { plan } = readSignedPlan(file('one.json'))
    expect(readStatement(file('permit.json'), plan).statement).toEqual(statement)
    const self = ['permit', 'h1', '--by', 'h1', '--plan', 'one.json', '-o', 'self.json', '--key', 'alice.pem']
    expect(reprise(...self)).toMatchObject({ status: 2, stderr: expect.stringMatching('to itself') as string })
    expect(reprise('provision', '--to', 'h2').stderr).toContain('reprise recovery permit h2')
  })
})

describe('recovery preflight and approve', () => {
  const log = join(vectors, 'quoted-dell-7520-windows-5logs-log0/input.bin')

  test('say which hosts would not unseal, and put the next boot into the plan', () => {
    const components = [{ pcr: 0, type: 'EV_S_CRTM_VERSION', with: 'ab'.repeat(32) }]
    writeFileSync(
      join(folder, 'bios.json'),
      JSON.stringify({ schema: 'reprise/firmware-components/v1', name: 'bios-2.19', components }),
    )
    const alone = answer('preflight', '--firmware', 'bios.json', '--log', log)
    const { present, predicted } = alone as { present: Record<string, string>; predicted: Record<string, string> }
    expect(Object.keys(present).filter((pcr) => present[pcr] !== predicted[pcr])).toEqual(['0'])
    const boots = `boots: [{ name: now, registers: { 0: "${present['0']}", 7: "${present['7']}" }, hosts: [h1] }, { name: old, registers: { 4: "${'0'.repeat(64)}" } }]\n`
    writeFileSync(join(folder, 'dell.yaml'), yaml(3, boots))
    answer('sign', 'dell.yaml', '--previous', 'two.json', '--key', 'alice.pem', '-o', 'dell.json')
    answer('sign', 'dell.json', '--key', 'bob.pem')
    const flight = ['preflight', '--firmware', 'bios.json', '--log', log, '--plan', 'dell.json']
    const { status, stdout } = reprise(...flight, '-o', 'boots.json')
    expect(status).toBe(1)
    expect(stdout).toContain('would NOT unseal   h1')
    expect(stdout).toContain('next: reprise recovery approve dell.json --boots boots.json')
    const approved = answer(
      'approve',
      'dell.json',
      '--boots',
      'boots.json',
      '--key',
      'approver.pem',
      '-o',
      'newer.json',
    )
    expect(approved).toMatchObject({ version: 4, signatures: [], approvalsMissing: [] })
    for (const key of ['alice.pem', 'carol.pem']) answer('sign', 'newer.json', '--key', key)
    expect(reprise('preflight', '--firmware', 'bios.json', '--log', log, '--plan', 'newer.json').status).toBe(0)
    expect(shareApprovals(readSignedPlan(file('newer.json')), 'h1').map(({ boot }) => boot)).toEqual([
      'now',
      'old',
      'bios-2.19',
    ])
    // Once all hosts have it, the one before is taken back.
    expect(answer('approve', 'newer.json', '--remove', 'now', '-o', 'newest.json')).toMatchObject({
      approvalsMissing: [
        { host: 'h1', boot: 'old' },
        { host: 'h1', boot: 'bios-2.19' },
      ],
    })
  })

  test('name what they cannot use', () => {
    const code = (...words: readonly string[]): unknown =>
      (JSON.parse(reprise(...words, '--json').stdout) as { code: string }).code
    expect(code('preflight', '--firmware', 'plan.yaml', '--log', log)).toBe('COMPONENTS')
    expect(code('preflight', '--firmware', 'bios.json', '--log', 'plan.yaml')).toBe('STRUCTURE')
    expect(code('preflight', '--firmware', 'bios.json', '--log', log, '-o', 'b.json')).toBe('USAGE')
    expect(code('approve', 'dell.json', '-o', 'n.json')).toBe('USAGE')
    expect(code('approve', 'dell.json', '--boots', 'boots.json', '-o', 'one.json')).toBe('USAGE')
  })
})

describe('recovery audit', () => {
  test('verifies, tells the story, and ends with 1 for a log that was touched', async () => {
    const path = join(folder, 'logs/h1.jsonl')
    mkdirSync(join(folder, 'logs'))
    {
      await using log = await openAuditLog(path, { fleet: 'lab', host: 'h1' }, { nowMs: () => 1_700_000_000_000 })
      await log.append({ kind: 'boot', bootId: null, boot: 'now', planVersion: 3 })
      await log.append({ kind: 'alarm', text: 'the door\u001b[2J is open' })
    }
    const { status, stdout } = reprise('audit', 'logs', '--plan', 'one.json')
    expect(status).toBe(0)
    expect(stdout).toContain('verified   1 log   3 entries, 0 quotes')
    expect(stdout).toContain('h1   booted now, with version 3 of the plan')
    expect(stdout).toContain('ALARM: the door\\u001b[2J is open')
    expect(stdout).toContain('not checked: the logs of h2, h3')
    const whole = readFileSync(path, 'utf8')
    writeFileSync(path, whole.replace('"boot":"now"', '"boot":"new"'))
    const refuted = reprise('audit', 'logs', '--json')
    expect(refuted.status).toBe(1)
    expect(JSON.parse(refuted.stdout)).toMatchObject({ verified: false, problems: [{ code: 'CHAIN', entry: 2 }] })
    expect(reprise('audit', 'none').status).toBe(2)
  })
})
