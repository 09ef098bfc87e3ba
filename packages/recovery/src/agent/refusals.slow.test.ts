/** What agents refuse to hosts that come back wrong, and by which rule: spec/recovery.md §5. */

import { copyFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Message } from '../channel/messages.ts'
import { shareDigest } from '../plan/digest.ts'
import { sha256 } from '../sealing/words.ts'
import { encodeStatement, signStatement, type Statement } from '../operators/index.ts'
import { statePaths } from './state/folder.ts'
import { agentOf, hibernate, type Lab, type LabHost, makeLab, provisionAll, until } from './testing.ts'

const HOUR_MS = 3_600_000

let lab: Lab
let host: LabHost
beforeEach(async () => {
  lab = await makeLab({ policy: { resetBudget: 2, leaseMs: 2 * HOUR_MS }, plan: { longestOutageMs: HOUR_MS } })
  await provisionAll(lab)
  host = lab.host('h1')
})
afterEach(() => lab[Symbol.asyncDispose]())

/** Waits until a witness refused by that rule. */
async function refusedBy(rule: string): Promise<void> {
  await until(() =>
    agentOf(host)
      .stand()
      .witnesses.some(({ refusals }) => refusals.some((refusal) => refusal.rule === rule)),
  )
  const { isReleased, change } = agentOf(host).stand()
  expect(isReleased).toBe(false)
  expect(change.length).toBeGreaterThan(0)
}

/** What a host says to its first witness, whatever its agent would say. */
async function say(message: Message): Promise<unknown> {
  const { network, fleet } = agentOf(host).ground
  const opened = await network.reach(fleet().witnesses[0])
  if (opened.kind !== 'attested') return opened
  return await opened.channel.say(message, 30_000)
}

function signed(statement: Statement): Uint8Array {
  const { plan } = lab.signed
  const [ada, bob] = lab.operators
  return encodeStatement(
    signStatement(signStatement({ statement, signatures: [] }, ada.signer, plan), bob.signer, plan),
  )
}

describe('a host is refused', () => {
  test('by RESTARTS after Shutdown(STATE) and Startup(CLEAR), whatever it says itself', async () => {
    await hibernate(host)
    const agent = await lab.powerOn(host)
    expect(agent.life.phase.kind).toBe('asking')
    await refusedBy('RESTARTS')
  })

  test('by RESETS beyond the budget: by itself, and by a witness that it tells otherwise', async () => {
    for (let cuts = 0; cuts < 3; cuts++) {
      await lab.cut(host)
      await lab.powerOn(host, { report: () => undefined, listen: '127.0.0.1:1' }).catch(() => undefined)
      await lab.cut(host)
    }
    const agent = await lab.powerOn(host)
    await until(() => agent.stand().state === 'refused')
    expect(agent.stand().change[0]).toMatch(/operators release it/)
    const fact = <T>(value: T) => ({ value, source: 'tpm', signed: true }) as const
    const unsigned = { value: undefined, source: 'kernel', signed: false } as const
    const prior = {
      ...{ orderly: fact(true), resetIncrease: fact(0), restartIncrease: fact(0), poweredMs: fact(1) },
      ...{ cleanMarker: fact(true), bootId: unsigned, journalShutdown: unsigned, wtmpShutdown: unsigned },
      ...{ kernelCrash: unsigned, fileSystemClean: unsigned },
    }
    const request = { host: host.name, epoch: 1, index: 0, rosterVersion: 1, attempt: 'mine', prior }
    const rules = [{ rule: 'RESETS', budget: 2, resetIncrease: expect.any(Number) as number }]
    expect(await say({ kind: 'ask', request })).toEqual({ kind: 'refused', refusals: rules })
  })

  test('by LEASE when the whole fleet was away for too long, until operators let it count anew', async () => {
    for (const each of lab.hosts) await lab.cut(each)
    const nowMs = (): number => Date.now() + 3 * HOUR_MS
    await Promise.all(lab.hosts.map((each) => lab.powerOn(each, { nowMs })))
    await refusedBy('LEASE')
    const statement = { kind: 'extension', fleet: 'lab', host: host.name, fromMs: nowMs(), ageMs: 60_000 } as const
    for (const each of lab.hosts) await agentOf(each).hear(signed(statement))
    await until(() => agentOf(host).stand().isReleased)
  })

  test('by EPOCH when its file of generations was set back', async () => {
    const { generations } = statePaths(host.state)
    copyFileSync(generations, `${generations}.old`)
    await agentOf(host).life.rotate(undefined)
    await lab.cut(host)
    copyFileSync(`${generations}.old`, generations)
    await lab.powerOn(host)
    await refusedBy('EPOCH')
  })

  test('by MEASUREMENT in a boot that nobody approved', async () => {
    await lab.cut(host)
    await lab.powerOn(host, { release: 'release of a thief' })
    await refusedBy('MEASUREMENT')
  })

  test('by ROSTER when operators revoked it, also by witnesses that heard it from others', async () => {
    const statement = { kind: 'revocation', fleet: 'lab', host: host.name, madeMs: Date.now() } as const
    const heard = agentOf(lab.host('h2'))
    await heard.hear(signed(statement))
    // Its next heartbeat brings it to its own witnesses; a heartbeat of the revoked host counts no more.
    await heard.life.rotate(undefined)
    heard.life.planned()
    const others = lab.hosts.slice(2)
    await until(() => others.every(({ lines }) => lines.some((line) => line.startsWith('statement heard'))))
    await lab.cut(host)
    await lab.powerOn(host)
    await refusedBy('ROSTER')
    expect(await say({ kind: 'commit', epoch: 1 })).toMatchObject({ kind: 'failed', code: 'NOT_FOR_YOU' })
  })

  test('by everybody when a newer plan expunged it, which passes from host to host', async () => {
    const newer = lab.sign((plan) => ({
      ...plan,
      policy: { ...plan.policy, witnesses: 3, ownZone: 3 },
      roster: {
        ...plan.roster,
        hosts: plan.roster.hosts.map((each) =>
          each.id === host.name ? { ...each, state: 'expunged' as const } : each,
        ),
      },
    }))
    await agentOf(lab.host('h2')).takePlan(newer)
    const others = lab.hosts.slice(1)
    await until(() => others.every((each) => agentOf(each).stand().planVersion === 2))
    await lab.cut(host)
    const agent = await lab.powerOn(host)
    await until(() => agent.stand().state === 'locked')
    expect(agent.stand().witnesses.map(({ status }) => status)).toEqual([
      'unattested',
      'unattested',
      'unattested',
      'unattested',
    ])
    // The others have their new witnesses.
    await until(() => others.every((each) => agentOf(each).stand().epoch >= 2))
  })
})

describe('without a release', () => {
  beforeEach(async () => {
    // Booted from its disk, alone, and asked by nobody.
    await hibernate(host)
    await lab.powerOn(host)
    await refusedBy('RESTARTS')
  })

  test('a heartbeat is not taken, and no share handed out', async () => {
    const beat = { kind: 'heartbeat', epoch: 1, auditHead: new Uint8Array(32), auditLength: 1 } as const
    expect(await say({ ...beat, proof: new Uint8Array(64).fill(1) })).toMatchObject({ code: 'PROOF' })
    const bytes = new Uint8Array(33).fill(5)
    const place = { host: host.name, epoch: 2, index: 0 }
    const share = { ...place, bytes, digest: shareDigest(place, bytes, sha256) }
    const leaseKey = new Uint8Array(65).fill(4)
    const link = { after: 1, epoch: 2, leaseKey, signature: new Uint8Array(64).fill(9) }
    for (const succession of [[], [link]])
      expect(await say({ kind: 'prepare', share, leaseKey, succession })).toMatchObject({
        kind: 'failed',
        code: 'PROOF',
      })
    const alarms = agentOf(lab.host(agentOf(host).ground.fleet().witnesses[0])).stand().alarms
    expect(alarms.map(({ text }) => text).join()).toMatch(/without the lease key/)
  })

  test('a witness signs nothing for others, and keeps nothing that is not for it', async () => {
    const prior = agentOf(host).life.asking?.state.prior
    if (prior === undefined) throw new Error('it asks')
    const request = { host: 'h3', epoch: 1, index: 0, rosterVersion: 1, attempt: 'mine', prior }
    expect(await say({ kind: 'ask', request })).toMatchObject({ kind: 'failed', code: 'NOT_FOR_YOU' })
    const bytes = new Uint8Array(33).fill(5)
    for (const place of [
      { host: 'h3', epoch: 2, index: 0 },
      { host: host.name, epoch: 2, index: 1 },
    ]) {
      const share = { ...place, bytes, digest: shareDigest(place, bytes, sha256) }
      const prepare = { kind: 'prepare', share, leaseKey: new Uint8Array(65).fill(4), succession: [] } as const
      expect(await say(prepare)).toMatchObject({ kind: 'failed', code: 'NOT_FOR_YOU' })
    }
    const quote = { attest: new Uint8Array(80), signature: new Uint8Array(70) }
    expect(await say({ kind: 'loaded', imageDigest: new Uint8Array(32), quote })).toMatchObject({ kind: 'failed' })
  })
})
