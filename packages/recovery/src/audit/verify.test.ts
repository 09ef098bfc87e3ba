/** Three hosts lose power, one comes back by the shares of the others; then somebody touches the logs. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { testAk, testOperator, testPlan } from '../operators/testing.ts'
import { heartbeatStatement, releaseStatement } from '../plan/digest.ts'
import { sha256 } from '../sealing/words.ts'
import type { Plan } from '../types.ts'
import type { AuditEvent, SignedQuote } from './entry.ts'
import { type AuditLog, openAuditLog } from './log.ts'
import { storyOf } from './story.ts'
import { auditLogs, type LogInput } from './verify.ts'

const names = ['h1', 'h2', 'h3'] as const
type Name = (typeof names)[number]
const aks = { h1: testAk(), h2: testAk(), h3: testAk() }
const plan = withAks(testPlan({ version: 1, operators: [testOperator('alice')], needed: 1 }))
const exporter = new Uint8Array(32).fill(7)
const planDigest = new Uint8Array(32).fill(9)

function withAks({ roster, ...rest }: Plan): Plan {
  const hosts = roster.hosts.map((host) => ({ ...host, ak: (aks as Record<string, { name: string }>)[host.id]?.name }))
  return { ...rest, roster: { ...roster, hosts } }
}

function quoted(by: Name, statement: Uint8Array): SignedQuote {
  const { attest, signature } = aks[by].quote(statement)
  return { akPublic: aks[by].akPublic, attest, signature }
}

/** Logs by host; `after` is told of each heartbeat, by which place is countersigned. */
class Fleet {
  readonly folder = mkdtempSync(join(tmpdir(), 'reprise-audit-'))
  readonly logs = new Map<Name, AuditLog>()
  nowMs = 1_700_000_000_000

  async open(): Promise<void> {
    for (const host of names) {
      const path = join(this.folder, host)
      this.logs.set(host, await openAuditLog(path, { fleet: 'lab', host }, { nowMs: () => (this.nowMs += 1000) }))
    }
  }

  async say(host: Name, event: AuditEvent): Promise<void> {
    await this.logs.get(host)?.append(event, { clock: BigInt(this.nowMs), resetCount: 4, restartCount: 0 })
  }

  async beat(host: Name, witnesses: readonly Name[]): Promise<void> {
    const { length, head } = this.logs.get(host)?.place ?? { length: 0, head: new Uint8Array(32) }
    const countersigns = []
    for (const witness of witnesses) {
      const facts = { host, witness, epoch: 1, auditHead: head, auditLength: length, exporter }
      const countersign = { ...quoted(witness, heartbeatStatement(facts, sha256)), exporter }
      await this.say(witness, { kind: 'countersign', host, epoch: 1, length, head, countersign })
      countersigns.push({ witness, ...countersign })
    }
    await this.say(host, { kind: 'heartbeat', epoch: 1, length, head, countersigns })
  }

  async give(host: Name, witness: Name, index: number, attempt = 'a1'): Promise<AuditEvent> {
    const share = { epoch: 1, index, attempt, plan: planDigest }
    const quote = quoted(witness, releaseStatement({ host, ...share, planDigest }, sha256))
    const event = { kind: 'share-given', host, ...share, quote } as const
    await this.say(witness, event)
    return event
  }

  async close(): Promise<void> {
    for (const log of this.logs.values()) await log[Symbol.asyncDispose]()
  }

  inputs(change: Partial<Record<Name, Uint8Array>> = {}): LogInput[] {
    return names.map((log) => ({ log, content: change[log] ?? this.content(log) }))
  }

  content(host: Name): Uint8Array {
    return new Uint8Array(readFileSync(join(this.folder, host)))
  }
}

const fleet = new Fleet()
beforeAll(async () => {
  await fleet.open()
  const boot: AuditEvent = { kind: 'boot', bootId: null, boot: 'one', planVersion: 1 }
  for (const host of names) await fleet.say(host, boot)
  await fleet.say('h2', { kind: 'request', host: 'h1', epoch: 1, index: 0, attempt: 'a1' })
  const shares = [await fleet.give('h1', 'h2', 0), await fleet.give('h1', 'h3', 1)].map((event, i) => {
    const { kind: _, host: __, more: ___, ...share } = event as AuditEvent & { readonly kind: 'share-given' }
    return { ...share, witness: i === 0 ? 'h2' : 'h3' }
  })
  await fleet.say('h1', { kind: 'release', epoch: 1, attempt: 'a1', verdict: 'recover', shares })
  await fleet.beat('h1', ['h2', 'h3'])
  await fleet.beat('h2', ['h1', 'h3'])
  await fleet.beat('h3', ['h1', 'h2'])
  await fleet.say('h1', { kind: 'alarm', text: 'after the last heartbeat' })
  await fleet.close()
})
afterAll(() => rmSync(fleet.folder, { recursive: true }))

const codes = async (inputs: readonly LogInput[], plans: readonly Plan[] | undefined = [plan]): Promise<string[]> =>
  (await auditLogs(inputs, plans)).problems.map(({ code, log }) => `${log} ${code}`)

describe('an audit', () => {
  test('of untouched logs finds nothing, and says how far witnesses vouch for them', async () => {
    const audit = await auditLogs(fleet.inputs(), [plan])
    expect(audit.problems).toEqual([])
    expect(audit.notes).toEqual([])
    expect(audit.quotes).toBe(2 + 2 + 12)
    expect(audit.logs.map(({ host, countersigned }) => [host, countersigned])).toEqual([
      ['h1', { length: 3, witnesses: ['h2', 'h3'] }],
      ['h2', { length: 5, witnesses: ['h1', 'h3'] }],
      ['h3', { length: 5, witnesses: ['h1', 'h2'] }],
    ])
    expect(storyOf(audit.logs).map(({ host, text }) => `${host} ${text}`)).toContain(
      'h1 was released, verdict recover, by h2, h3',
    )
    expect((await auditLogs(fleet.inputs(), undefined)).problems).toEqual([])
  })

  test('finds changes of bytes in what is countersigned', async () => {
    const ends = await endsOf()
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...names),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        async (host, at, flip) => {
          const changed = fleet.content(host)
          changed[at % ends[host]] ^= flip
          expect(await codes(fleet.inputs({ [host]: changed }))).not.toEqual([])
        },
      ),
      { numRuns: process.env['REPRISE_TESTS'] === 'check' ? 25 : 100 },
    )
  })

  test('finds cuts in what is countersigned, and every line that is gone from it', async () => {
    const ends = await endsOf()
    for (const host of names) {
      const whole = fleet.content(host)
      for (let end = 0; end < ends[host]; end += 97)
        expect(await codes(fleet.inputs({ [host]: whole.slice(0, end) })), `${host} ${end}`).not.toEqual([])
      const lines = Buffer.from(whole.subarray(0, ends[host])).toString().split('\n').slice(0, -1)
      for (const [i] of lines.entries()) {
        const without = `${lines.toSpliced(i, 1).join('\n')}\n`
        expect(await codes(fleet.inputs({ [host]: new Uint8Array(Buffer.from(without)) }))).not.toEqual([])
      }
    }
  })

  test('finds every change of a byte, and every cut, in what one witness countersigned', async () => {
    const small = new Fleet()
    await small.open()
    await small.say('h1', { kind: 'boot', bootId: null, boot: 'one', planVersion: 1, more: { orderly: false } })
    await small.beat('h1', ['h2'])
    await small.say('h1', { kind: 'shutdown', isClean: true })
    await small.close()
    const whole = small.content('h1')
    const audited = (content: Uint8Array): Promise<string[]> =>
      codes([
        { log: 'h1', content },
        { log: 'h2', content: small.content('h2') },
      ])
    const end = whole.indexOf(10, whole.indexOf(10) + 1) + 1
    expect(await audited(whole)).toEqual([])
    for (let at = 0; at < end; at++) {
      expect(await audited(whole.slice(0, at)), `cut at ${at}`).not.toEqual([])
      for (const flip of [1, 0x20, 0x80]) {
        const changed = whole.slice()
        changed[at] ^= flip
        expect(await audited(changed), `${flip} at ${at}`).not.toEqual([])
      }
    }
    rmSync(small.folder, { recursive: true })
  })

  test('finds a log that was written anew, and who countersigned the true one', async () => {
    const other = new Fleet()
    await other.open()
    await other.say('h1', { kind: 'alarm', text: 'nothing happened' })
    await other.close()
    const problems = (await auditLogs(fleet.inputs({ h1: other.content('h1') }), [plan])).problems
    expect(problems.map(({ code }) => code)).toContain('CUT')
    rmSync(other.folder, { recursive: true })
  })

  test('finds a share that a witness keeps silent about', async () => {
    const other = new Fleet()
    await other.open()
    await other.say('h3', { kind: 'alarm', text: 'I gave nothing' })
    await other.close()
    const inputs = fleet.inputs({ h3: other.content('h3') }).filter(({ log }) => log !== 'h2')
    expect(await codes(inputs)).toContain('h3 SHARE')
    rmSync(other.folder, { recursive: true })
  })

  test('allows for logs that were gathered while hosts went on', async () => {
    const [whole, last] = [fleet.content('h1'), fleet.content('h1').lastIndexOf(10, -2)]
    const before = whole.slice(0, whole.lastIndexOf(10, last - 1) + 1)
    const stale = whole.slice(0, whole.indexOf(10, whole.indexOf(10) + 1) + 1)
    expect(await codes(fleet.inputs({ h1: before }))).toEqual([])
    expect(await codes(fleet.inputs({ h1: stale }))).toEqual(['h1 CUT', 'h1 CUT'])
    const gathered = await auditLogs(fleet.inputs({ h1: stale }), [plan], { gatheredMs: 1_700_000_000_000 })
    expect(gathered.problems).toEqual([])
    expect(gathered.notes.map(({ code }) => code)).toEqual(['LATER', 'LATER', 'UNUSED', 'UNUSED', 'ALONE'])
  })

  test('takes no quote of a key that the plans do not have', async () => {
    const foreign = testAk()
    const hosts = plan.roster.hosts.map((host) => (host.id === 'h2' ? { ...host, ak: foreign.name } : host))
    const found = await codes(fleet.inputs(), [{ ...plan, roster: { ...plan.roster, hosts } }])
    expect(found).toContain('h1 QUOTE')
    // A host that was provisioned anew has two keys in its history.
    expect(await codes(fleet.inputs(), [{ ...plan, roster: { ...plan.roster, hosts } }, plan])).toEqual([])
  })

  test('tells an unfinished line at the end from damage, and two logs of one host', async () => {
    const torn = new Uint8Array([...fleet.content('h1'), ...Buffer.from('{"event":{"ki')])
    const audit = await auditLogs(fleet.inputs({ h1: torn }), [plan])
    expect(audit.problems).toEqual([])
    expect(audit.notes).toMatchObject([{ code: 'TORN', log: 'h1' }])
    expect(await codes([...fleet.inputs(), { log: 'copy', content: fleet.content('h1') }])).toEqual(['copy HOST'])
    expect(await codes([{ log: 'nothing', content: new Uint8Array() }])).toEqual(['nothing ENTRY'])
  })

  test('notes a share that nobody was released by, and a log that nobody countersigned', async () => {
    const other = new Fleet()
    await other.open()
    await other.give('h1', 'h2', 0, 'elsewhere')
    await other.close()
    const { problems, notes } = await auditLogs(other.inputs(), [plan])
    expect(problems).toEqual([])
    expect(notes.map(({ code, log }) => `${log} ${code}`)).toEqual(['h2 UNUSED', 'h1 ALONE', 'h2 ALONE', 'h3 ALONE'])
    rmSync(other.folder, { recursive: true })
  })

  test('finds a TPM that was set back', async () => {
    const path = join(fleet.folder, 'back')
    const log = await openAuditLog(path, { fleet: 'lab', host: 'h1' }, { nowMs: () => 5 })
    for (const resetCount of [4, 3])
      await log.append({ kind: 'alarm', text: 'x' }, { clock: 1n, resetCount, restartCount: 0 })
    await log[Symbol.asyncDispose]()
    expect(await codes([{ log: 'back', content: new Uint8Array(readFileSync(path)) }])).toEqual(['back CLOCK'])
  })
})

/** Bytes of each log up to what is countersigned. */
async function endsOf(): Promise<Record<Name, number>> {
  const { logs } = await auditLogs(fleet.inputs(), [plan])
  const ends = logs.map(({ log, countersigned }) => {
    const lines = Buffer.from(fleet.content(log as Name))
      .toString()
      .split('\n')
    return [log, lines.slice(0, countersigned.length).join('\n').length + 1] as const
  })
  return Object.fromEntries(ends) as Record<Name, number>
}
