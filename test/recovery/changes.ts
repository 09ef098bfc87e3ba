/** Liars, deliveries, and crashes in the middle of a change. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleepMs } from 'node:timers/promises'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { askAgent } from '../../packages/recovery/src/agent/control/client.ts'
import { type Plan, placeWitnesses, type PriorShutdown } from '../../packages/recovery/src/index.ts'
import { agentWords, fleetView, isHealthy, LAB_PCRS, signLabPlan } from '../../packages/recovery/src/drill/index.ts'
import { encodeSignedPlan, encodeStatement, signStatement } from '../../packages/recovery/src/operators/index.ts'
import { writeAtomically } from '../../packages/host/src/files.ts'
import type { TestFleet } from './fleet.ts'
import { impersonate, sayAs } from './impostor.ts'
import { LOCKED } from './thieves.ts'

/** `told`: a witness has committed, and the host does not know it yet. */
const ROTATION_STEPS = ['prepared', 'decided', 'told', 'retired']

export function changes(of: () => TestFleet): void {
  describe('a witness that lies', () => {
    test('with wrong shares and wrong reports keeps nobody from coming back, and is named', async () => {
      const { lab } = of()
      const liar = 'b1-1'
      await lab.powerCut([liar, 'a1-1'])
      await using _ = await impersonate(of(), liar, 'wrong')
      await of().powerOn(['a1-1'])
      await of().released(['a1-1'])
      expect((await of().report('a1-1')).isReleased).toBe(true)
    })

    test('with what a TPM said to somebody else is not attested', async () => {
      const { lab } = of()
      const liar = 'b1-1'
      await lab.powerCut(['a1-1'])
      await using _ = await impersonate(of(), liar, 'replay')
      await of().powerOn(['a1-1'])
      await of().released(['a1-1'])
      const isFound = async (): Promise<boolean> => {
        const { hosts } = await fleetView(lab, 'a1-1')
        return hosts.find(({ host }) => host === liar)?.standing === 'unattested'
      }
      await lab.until('the liar is not attested', isFound)
      expect((await of().report('a1-1')).isReleased).toBe(true)
    })
  })
}

export function handingOut(of: () => TestFleet): void {
  test('a witness signs nothing that is not its own to say, whoever asks with a key of the fleet', async () => {
    const { lab } = of()
    const [thief, witness] = ['a1-2', 'b2-1']
    await lab.powerCut([thief])
    const foreign = new Uint8Array(32).fill(9)
    const answers = await sayAs(of(), thief, witness, async (tpm) => {
      const quote = await tpm.quote(foreign, [15])
      const prior = { value: undefined, source: 'tpm', signed: false } as const
      const facts = ['orderly', 'resetIncrease', 'restartIncrease', 'poweredMs', 'cleanMarker', 'bootId'] as const
      const more = ['journalShutdown', 'wtmpShutdown', 'kernelCrash', 'fileSystemClean'] as const
      const unknown = Object.fromEntries([...facts, ...more].map((fact) => [fact, prior])) as unknown as PriorShutdown
      const request = { host: 'a1-1', epoch: 1, index: 0, rosterVersion: 1, attempt: 'x', prior: unknown }
      return [
        { kind: 'heartbeat', epoch: 1, auditHead: foreign, auditLength: 1, proof: new Uint8Array(64) },
        { kind: 'loaded', imageDigest: foreign, quote: { attest: quote.attest, signature: quote.signature } },
        { kind: 'ask', request },
      ]
    })
    expect(answers.map((answer) => answer.kind)).toEqual(['failed', 'failed', 'failed'])
    expect(answers.map((answer) => ('code' in answer ? answer.code : ''))).not.toContain('MALFORMED')
    await lab.powerCut([thief])
  })

  test('a crash at every step of handing out shares anew: the host comes back, and goes on from there', async () => {
    const { lab } = of()
    const id = 'a2-3'
    const off = lab.ids.filter((each) => !lab.isOn(each))
    await of().powerOn(off)
    await of().released(off.filter((each) => !LOCKED.includes(each)))
    await of().until('a heartbeat', [id], ({ heartbeatWitnesses }) => heartbeatWitnesses >= 3)
    const auditBefore = auditOf(of(), id).length
    for (const step of ROTATION_STEPS) {
      await rotateUpTo(of(), id, step)
      await lab.powerCut([id])
      const length = auditOf(of(), id).length
      await of().powerOn([id])
      await of().released([id])
      // What was decided is carried to its end, and halves that were out are drawn anew.
      const isWhole = (): boolean => rotations(auditOf(of(), id).slice(length), 'retired').length > 0
      await lab.until(`a whole rotation after a crash at ${step}`, () => Promise.resolve(isWhole()))
    }
    // No epoch is drawn twice, whatever became of it.
    const drawn = rotations(auditOf(of(), id).slice(auditBefore), 'prepared')
    expect(drawn.length).toBeGreaterThanOrEqual(ROTATION_STEPS.length)
    expect(drawn.toSorted((a, b) => a - b)).toEqual(drawn)
    expect(new Set(drawn).size).toBe(drawn.length)
  })
}

export function delivering(of: () => TestFleet): void {
  test('a credential that one host delivers to another is that host’s from then on', async () => {
    const { lab, fleet } = of()
    const { plan } = fleet.signed
    const [by, host] = ['a1-1', 'a2-3']
    await of().released([by, host])
    const madeMs = Date.now()
    const statement = { kind: 'delivery', fleet: plan.fleet, host, by, madeMs, untilMs: madeMs + 3_600_000 } as const
    const [ada, grace] = fleet.people.operators
    const signed = signStatement(signStatement({ statement, signatures: [] }, ada, plan), grace, plan)
    const [permit, password] = ['permit.json', 'password'].map((name) => join(lab.settings.folder, name))
    await writeAtomically(permit, encodeStatement(signed))
    await writeAtomically(password, new TextEncoder().encode('another password'))
    const [program, ...first] = lab.settings.command
    const what = ['--to', host, '--permit', permit, '--credential', `password=${password}`, '--round-trip', '10s']
    const words = [...first, 'recovery', 'provision', '--state', lab.host(by).state, ...what]
    const { stdout } = await promisify(execFile)(program, words, { env: { PATH: process.env['PATH'] } })
    expect(stdout).toMatch(/^a2-3 {3}provisioned {3}epoch \d+$/m)
    const { taken, entries } = JSON.parse(readFileSync(of().stateFile(host, 'credentials.json'), 'utf8')) as {
      readonly taken: { readonly statement: string }
      readonly entries: readonly { readonly name: string }[]
    }
    expect(taken.statement).toBe(Buffer.from(signed.digest).toString('hex'))
    expect(entries.map(({ name }) => name)).toContain('password')
    expect(readFileSync(of().stateFile(host, 'credentials.json'), 'utf8')).not.toContain('another')
  })
}

export function updating(of: () => TestFleet): void {
  test('a boot that operators approve before the reboot into it comes back, and serves; one that nobody approved does not', async () => {
    const { lab, fleet } = of()
    await lab.takeBack('dark')
    await of().powerOn(lab.ids)
    await of().released(lab.ids)
    const { plan } = fleet.signed
    const registers = LAB_PCRS.map((pcr) => ({ pcr, value: Buffer.from(measured('release 2')).toString('hex') }))
    const boots = [...plan.boots, { name: 'release-2', registers, hosts: undefined }]
    const next = signLabPlan(fleet.people, { ...plan, roster: { ...plan.roster, version: 2 }, boots }, fleet.signed)
    const path = join(lab.settings.folder, 'plan-2.json')
    await writeAtomically(path, encodeSignedPlan(next))
    const before = new Map(await Promise.all(lab.ids.map(async (id) => [id, renewals(await lab.logOf(id))] as const)))
    await askAgent(lab.host('a1-1').state, { ask: 'plan', path })
    const fromMs = Date.now()
    await of().until('plan 2', lab.ids, (report) => report.planVersion === 2 && isHealthy(report, fromMs))
    const updated = lab.in('rack-b1')
    const isRenewed = async (id: string): Promise<boolean> => renewals(await lab.logOf(id)) > (before.get(id) ?? 0)
    for (const id of updated) await lab.until(`${id} has a lease for both boots`, () => isRenewed(id))
    await lab.powerCut(updated)
    await lab.powerOn(updated, { boot: 'release 2', words: agentWords({ ...fleet, image: undefined }) })
    await of().released(updated)
    // In the new boot they open the shares that they sealed in the old one: without one of theirs this host has too few.
    const { host, others } = mostWitnessed(next.plan, updated)
    const enough = plan.policy.threshold - 1
    const lengths = updated.map((id) => auditOf(of(), id).length)
    await lab.powerCut([host, ...others.slice(enough)])
    await of().powerOn([host])
    await of().released([host])
    const later = updated.map((id, i) => auditOf(of(), id).slice(lengths[i]))
    const given = new RegExp(`"host":"${host}"[^\\n]*"kind":"share-given"`)
    expect(later.some((audit) => given.test(audit))).toBe(true)
    const [strange] = others
    await lab.powerCut([strange])
    await lab.powerOn([strange], { boot: 'release 3', words: agentWords({ ...fleet, image: undefined }) })
    expect(await of().refused(strange, 'MEASUREMENT')).toMatchObject({ isReleased: false })
  })
}

/** Of those outside, who has most of its witnesses among these hosts, and its other witnesses. */
function mostWitnessed(plan: Plan, among: readonly string[]): { readonly host: string; readonly others: string[] } {
  const { hosts, witnesses } = placeWitnesses(plan)
  const found = hosts.map(({ id }, i) => ({
    host: id,
    others: [...witnesses[i]].map((place) => hosts[place].id).filter((name) => !among.includes(name)),
  }))
  const outside = found.filter(({ host }) => !among.includes(host))
  return outside.reduce((best, each) => (each.others.length < best.others.length ? each : best))
}

/** A register that began with zeros, after a boot of the laboratory. */
function measured(boot: string): Uint8Array {
  const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest()
  return sha256(Buffer.concat([new Uint8Array(32), sha256(new TextEncoder().encode(boot))]))
}

function renewals(log: string): number {
  return log.split('\n').filter((line) => line.includes(' lease renewed')).length
}

function auditOf(world: TestFleet, id: string): string {
  return readFileSync(world.stateFile(id, 'audit.jsonl'), 'utf8')
}

/** Epochs of the host's own rotations that came to this step, in the order of its audit log. */
function rotations(audit: string, step: string): readonly number[] {
  const entry = new RegExp(`"epoch":(\\d+)[^\\n]*"kind":"rotation"[^\\n]*"step":"${step}"`, 'g')
  return [...audit.matchAll(entry)].map(([, epoch]) => Number(epoch))
}

/** Asks again when the answer came without the step: it was that of a rotation under way, which had that step behind it. */
async function rotateUpTo(world: TestFleet, id: string, step: string): Promise<void> {
  const isSeen = step === 'told' ? watchWitnesses(world, id) : watchAudit(world, id, step)
  const answers = new Set<string>()
  let isAsking = false
  const rotate = async (): Promise<void> => {
    isAsking = true
    try {
      answers.add(JSON.stringify(await askAgent(world.lab.host(id).state, { ask: 'rotate' })))
    } catch (error) {
      answers.add((error as Error).message)
    }
    isAsking = false
  }
  const deadlineMs = performance.now() + 60_000
  while (!isSeen()) {
    if (performance.now() > deadlineMs) throw new Error(`${id} never came to ${step}: ${[...answers].join('; ')}`)
    if (!isAsking) void rotate()
    await sleepMs(2)
  }
}

/** The audit log has the steps of the host itself as they happen. */
function watchAudit(world: TestFleet, id: string, step: string): () => boolean {
  const lengthBefore = auditOf(world, id).length
  return () => rotations(auditOf(world, id).slice(lengthBefore), step).length > 0
}

function watchWitnesses(world: TestFleet, id: string): () => boolean {
  const committed = (): number =>
    Math.max(
      ...world.without(id).map((witness) => {
        const { wards } = JSON.parse(readFileSync(world.stateFile(witness, 'witness.json'), 'utf8')) as {
          wards: readonly { host: string; committed: number }[]
        }
        return wards.find(({ host }) => host === id)?.committed ?? 0
      }),
    )
  const before = committed()
  return () => committed() > before
}
