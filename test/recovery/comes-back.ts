/** What comes back by itself, and in which order. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleepMs } from 'node:timers/promises'
import { createHash } from 'node:crypto'
import { connect, readProperties, swtpm } from '@reprise/tpm'
import { describe, expect, test } from 'vitest'
import { agentWords, auditLab, fleetView, isHealthy } from '../../packages/recovery/src/drill/index.ts'
import type { TestFleet } from './fleet.ts'
import { hidesSecrets } from './secrets.ts'

const isRoot = process.getuid?.() === 0
/** TPM_PT_LOCKOUT_COUNTER, Part 2 §6.13. */
const LOCKOUT_COUNTER = 0x20e
const RACKS = ['rack-a1', 'rack-b1', 'rack-a2', 'rack-b2']
/** Of the first and the last rack: they load the image when the verdict is an outage. */
const FOR_OUTAGES = ['a1-1', 'b2-3']
const WHEN_OUTAGE = ['--image-when', 'outage']

export function comesBack(of: () => TestFleet): void {
  describe('after a power cut of the whole fleet', () => {
    test('every host comes back by itself, rack by rack', async () => {
      const world = of()
      const { lab } = world
      await lab.takeBack('dark')
      for (const rack of RACKS) {
        const [forOutages, always] = [true, false].map((is) =>
          lab.in(rack).filter((id) => FOR_OUTAGES.includes(id) === is),
        )
        await Promise.all([world.powerOnWithServices(forOutages, WHEN_OUTAGE), world.powerOnWithServices(always)])
        await sleepMs(300)
      }
      await world.released(lab.ids)
      // New halves after every release, and from then on healthy heartbeats.
      await world.until('rotation', lab.ids, ({ epoch, heartbeatWitnesses }) => epoch > 1 && heartbeatWitnesses >= 3)
      const isWhole = async (): Promise<boolean> => {
        const { counts } = await fleetView(lab, lab.ids[0])
        return counts.alarm + counts.silent + counts.waiting === 0
      }
      await lab.until('a board without alarms and silence', isWhole)
      expect((await world.reports(lab.ids)).every(({ isReleased }) => isReleased)).toBe(true)
    })

    test.runIf(isRoot)('services came up in order, each with the credentials of its host', async () => {
      const { lab, fleet } = of()
      await of().until(
        'services',
        lab.ids,
        ({ services }) => services.length > 0 && services.every(({ state }) => state === 'ready'),
      )
      for (const { services } of await of().reports(lab.ids)) {
        expect(services.map(({ name }) => name)).toEqual(['network', 'database', 'site'])
        const since = services.map(({ sinceWallMs }) => sinceWallMs)
        expect(since.toSorted((a, b) => a - b)).toEqual(since)
      }
      const notes = readFileSync(join(fleet.witnessed, 'notes'), 'utf8').trim().split('\n')
      const given = lab.ids.flatMap((id) =>
        ['database', 'site'].map(
          (service) => `${id} ${service} ${createHash('sha256').update(fleet.passwordOf(id)).digest('hex')}`,
        ),
      )
      // Provisioning brought them up once already.
      expect(new Set(notes)).toEqual(new Set(given))
    })

    hidesSecrets(of)
    imageByVerdict(of)

    test.runIf(isRoot)('an image from before is not loaded again, whoever brings it', async () => {
      const { lab, fleet } = of()
      await lab.powerCut(['a1-3'])
      await lab.powerOn(['a1-3'], { words: agentWords({ ...fleet, image: fleet.olderImage }) })
      await of().released(['a1-3'])
      await of().until('an alarm', ['a1-3'], ({ alarms }) => alarms.some(({ text }) => text.includes('image')))
      const { alarms, services } = await of().report('a1-3')
      expect(alarms[0].text).toMatch(/version 1/)
      expect(services).toEqual([])
    })

    test('fifty power cuts, a healthy heartbeat now and then: no lockout', async () => {
      expect(await manyCuts(of(), { rounds: 10, cutsPerRound: 5 })).toBe(0)
    })

    test('the logs of all hosts hang together and were countersigned', async () => {
      const { lab, fleet } = of()
      await of().powerOn(lab.ids.filter((id) => !lab.isOn(id)))
      await of().until('heartbeats', lab.ids, ({ heartbeatWitnesses }) => heartbeatWitnesses >= 3)
      await lab.shutDown(lab.ids)
      const { problems, logs } = await auditLab(lab, lab.ids, [fleet.signed.plan])
      expect(problems).toEqual([])
      expect(logs.every(({ countersigned }) => countersigned.witnesses.length > 0)).toBe(true)
    })
  })
}

/** With `--image-when outage`. */
function imageByVerdict(of: () => TestFleet): void {
  test.runIf(isRoot)(
    'an image for outages was loaded by those hosts that have one: each judged that it was one',
    async () => {
      for (const id of FOR_OUTAGES) {
        expect(of().lastRelease(id).verdict).toBe('recover')
        const { judgement, services } = await of().report(id)
        expect({ judgement, states: services.map(({ state }) => state) }).toEqual({
          ...{ judgement: 'recover', states: ['ready', 'ready', 'ready'] },
        })
      }
    },
  )

  test('one host that crashes alone comes back among hosts whose cap register is extended', async () => {
    const { lab } = of()
    await lab.powerCut(['a1-1'])
    await of().powerOnWithServices(['a1-1'], WHEN_OUTAGE)
    await of().released(['a1-1'])
    expect(of().lastRelease('a1-1').verdict).toBe('boot-checked')
    // So the system that runs goes on, without the image.
    await of().until('a heartbeat', ['a1-1'], ({ heartbeatWitnesses }) => heartbeatWitnesses > 0)
    expect(await of().report('a1-1')).toMatchObject({ judgement: 'boot-checked', services: [] })
  })
}

/** Within the reset budget of six. @returns The TPM's lockout counter. */
export async function manyCuts(
  world: TestFleet,
  { rounds, cutsPerRound }: { readonly rounds: number; readonly cutsPerRound: number },
): Promise<number | undefined> {
  const { lab } = world
  const id = 'b1-2'
  for (let round = 0; round < rounds; round++) {
    for (let cut = 1; cut < cutsPerRound; cut++) {
      await lab.powerCut([id])
      await lab.powerTpm(id)
    }
    await lab.powerCut([id])
    const beforeMs = Date.now()
    await world.powerOn([id])
    await world.until('a heartbeat', [id], (report) => isHealthy(report, beforeMs))
  }
  await lab.powerCut([id])
  await lab.powerTpm(id)
  const running = await swtpm.start(lab.host(id).tpm)
  const tpm = connect(await running.open())
  const properties = await readProperties(tpm, LOCKOUT_COUNTER)
  await tpm.close()
  await lab.powerCut([id])
  return properties.get(LOCKOUT_COUNTER)
}
