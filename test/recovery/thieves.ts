/** What is not released, and by which rule. */
import { cpSync, existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleepMs } from 'node:timers/promises'
import { connect, Shutdown, swtpm } from '@reprise/tpm'
import { TPM_SU } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { askAgent } from '../../packages/recovery/src/agent/control/client.ts'
import { encodeStatement, signStatement } from '../../packages/recovery/src/operators/index.ts'
import { writeAtomically } from '../../packages/host/src/files.ts'
import { refusals, type TestFleet } from './fleet.ts'

const DAY_MS = 86_400_000
const RACK = 'rack-b2'
/** More than the margin of the laboratory's plan. */
const RELAY_MS = 1200

interface WitnessContent {
  readonly wards: readonly {
    readonly host: string
    readonly heartbeat: { readonly clockMs: number; readonly wallMs: number } | null
    readonly seen: { readonly clockMs: number } | null
  }[]
}

/** Hosts that stay locked after these cases, and serve others all the same. */
export const LOCKED = ['a1-2', 'a2-2']

export function stolenRack(of: () => TestFleet): void {
  describe('a rack that was carried off, and hosts that are not what they were', () => {
    const isStolen = (id: string | undefined): boolean => id !== undefined && of().lab.in(RACK).includes(id)

    test('the rack is given nothing where it reaches nobody', async () => {
      const { lab } = of()
      await lab.takeBack('dark')
      // A day and more since the last heartbeat: of one host, at all its witnesses.
      for (const id of lab.ids) of().edit(id, 'witness.json', (content: WitnessContent) => aged(content, 'a1-2'))
      // Switched off and on once more than the plan allows.
      for (let reset = 0; reset < 6; reset++) {
        await lab.powerTpm('a2-2')
        await lab.powerCut(['a2-2'])
      }
      const stolen = lab.in(RACK)
      lab.network.setWays((from, to) => (isStolen(from) === isStolen(to) ? 'open' : 'closed'))
      await of().powerOn(stolen)
      await of().until('a verdict', stolen, ({ verdict }) => verdict !== null)
      await sleepMs(2000)
      for (const report of await of().reports(stolen))
        expect(report).toMatchObject({ isReleased: false, shares: { held: 0 } })
    })

    test('the rest comes back but for the changed hosts, whose refusals name their rules', async () => {
      const { lab } = of()
      const good = of().without(RACK, 'a1-2', 'a2-2', 'b1-3')
      await of().powerOn([...good, 'a1-2', 'a2-2'])
      // Another system was booted.
      await lab.powerOn(['b1-3'], { boot: 'release 666' })
      await of().released(good)
      await of().refused('a1-2', 'LEASE')
      await of().until('a refusal by itself', ['a2-2'], ({ state }) => state === 'refused')
      expect(await of().report('a2-2')).toMatchObject({
        isReleased: false,
        change: expect.arrayContaining([expect.stringMatching('operators')]) as unknown,
      })
      await of().refused('b1-3', 'MEASUREMENT')
      await lab.powerCut(['b1-3'])
      await of().powerOn(['b1-3'])
      await of().released(['b1-3'])
    })

    test('the rack is given nothing through a relay', async () => {
      const { lab } = of()
      const stolen = lab.in(RACK)
      await lab.powerCut(stolen)
      lab.network.setWays((from, to) => (isStolen(from) === isStolen(to) ? 'open' : { relayMs: RELAY_MS }))
      await of().powerOn(stolen, ['--observe', '40s'])
      for (const id of stolen) await of().refused(id, 'ROUND_TRIP')
      for (const report of await of().reports(stolen))
        expect(report).toMatchObject({ isReleased: false, shares: { held: 0 } })
    })

    test('a rack behind a cut cable holds, until it is mended', async () => {
      const { lab } = of()
      const rack = lab.in(RACK)
      await lab.powerCut(rack)
      lab.network.setWays((from, to) => (isStolen(from) === isStolen(to) ? 'open' : 'silent'))
      // Nobody refuses here: each look lasts as long as it may.
      await of().powerOn(rack, ['--observe', '4s'])
      await of().until('a verdict', rack, ({ verdict }) => verdict !== null)
      for (const report of await of().reports(rack))
        expect(report).toMatchObject({ isReleased: false, shares: { held: 0 } })
      lab.network.setWays(() => 'open')
      await of().released(rack)
    })
  })
}

export function changedDisks(of: () => TestFleet): void {
  describe('a host whose disk, TPM or standing is another one', () => {
    test('a cloned disk on another machine proves nothing', async () => {
      const { lab } = of()
      await lab.powerCut(['b2-1'])
      const { tpm } = lab.host('b2-1')
      cpSync(tpm, `${tpm}.kept`, { recursive: true })
      rmSync(tpm, { recursive: true })
      await swtpm.manufactureBare(tpm)
      await of().powerOn(['b2-1'])
      await lab.until('the agent ends', () => Promise.resolve(lab.exitOf('b2-1') !== null))
      expect(await lab.logOf('b2-1')).toMatch(/PIN/)
      await lab.powerCut(['b2-1'])
      rmSync(tpm, { recursive: true })
      cpSync(`${tpm}.kept`, tpm, { recursive: true })
      rmSync(`${tpm}.kept`, { recursive: true })
      // With its own TPM the same disk is taken again.
      await of().powerOn(['b2-1'])
      await of().released(['b2-1'])
    })

    test('a blob from before the last rotation opens nothing', async () => {
      const { lab } = of()
      await of().until('rotation', ['b2-2'], ({ epoch, heartbeatWitnesses }) => epoch > 1 && heartbeatWitnesses >= 3)
      await lab.powerCut(['b2-2'])
      const old = join(lab.settings.folder, 'kept/dark/b2-2/state/generations.json')
      cpSync(old, of().stateFile('b2-2', 'generations.json'))
      await of().powerOn(['b2-2'])
      expect(await of().refused('b2-2', 'EPOCH', 3)).toMatchObject({ isReleased: false })
    })

    test('Shutdown(STATE) with Startup(CLEAR) gives fresh registers and is refused', async () => {
      const { lab } = of()
      const id = 'b2-3'
      await of().until('a heartbeat', [id], ({ heartbeatWitnesses }) => heartbeatWitnesses >= 3)
      await lab.killAgent(id)
      const running = await swtpm.start(lab.host(id).tpm)
      const tpm = connect(await running.open())
      await tpm.execute(Shutdown({ shutdownType: TPM_SU.STATE }))
      await tpm.close()
      await lab.powerCut([id])
      await of().powerOn([id])
      expect(await of().refused(id, 'RESTARTS')).toMatchObject({ isReleased: false })
    })

    test('a host that operators revoked is given nothing, wherever they say so', async () => {
      const { lab, fleet } = of()
      const { plan } = fleet.signed
      const [ada, grace] = fleet.people.operators
      const statement = { kind: 'revocation', fleet: plan.fleet, host: 'a2-1', madeMs: Date.now() } as const
      const signed = signStatement(signStatement({ statement, signatures: [] }, ada, plan), grace, plan)
      const path = join(lab.settings.folder, 'revocation.json')
      await writeAtomically(path, encodeStatement(signed))
      await askAgent(lab.host('b1-1').state, { ask: 'statement', path })
      // It spreads with heartbeats; whoever has not heard of it yet would still give a share.
      const witnesses = lab.ids.filter((id) => !lab.in('rack-a2').includes(id) && lab.isOn(id))
      const haveHeard = (): boolean =>
        witnesses.filter((id) => existsSync(of().stateFile(id, 'statements.json'))).length > 5
      await lab.until('the statement spreads', () => Promise.resolve(haveHeard()))
      await lab.powerCut(['a2-1'])
      await of().powerOn(['a2-1'])
      const report = await of().refused('a2-1', 'ROSTER', 3)
      expect(refusals(report, 'ROSTER')).toBeGreaterThanOrEqual(3)
    })
  })
}

/** As it would be had the time passed. */
function aged(content: WitnessContent, host: string): WitnessContent {
  const older = (ward: WitnessContent['wards'][number]): WitnessContent['wards'][number] =>
    ward.host !== host || ward.heartbeat === null
      ? ward
      : { ...ward, heartbeat: { ...ward.heartbeat, wallMs: ward.heartbeat.wallMs - 2 * DAY_MS } }
  return { ...content, wards: content.wards.map(older) }
}
