/**
 * The drill: a fleet on this machine loses its power, one of its racks is carried off, the others come back. Everything that
 * is told is looked up, and everything that must hold is checked.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleepMs } from 'node:timers/promises'
import type { HostReport } from '../agent/index.ts'
import type { BoardView } from '../board/index.ts'
import { placeWitnesses } from '../plan/placement.ts'
import { survivalOf } from '../plan/survive.ts'
import { sha256 } from '../sealing/words.ts'
import type { HostId } from '../types.ts'
import { auditLab } from './audits.ts'
import { Lab, type LabSettings } from './lab.ts'
import { agentWords, type LabFleet, provisionFleet } from './provision.ts'
import { fleetView, isHealthy, reportOf } from './reports.ts'

export type DrillEvent =
  /** A part of the story begins. */
  | { readonly kind: 'chapter'; readonly number: number; readonly title: string }
  | { readonly kind: 'told'; readonly text: string }
  /** How the fleet looks at this moment. */
  | { readonly kind: 'board'; readonly view: BoardView }
  /** Something that must hold, and whether it does. */
  | { readonly kind: 'checked'; readonly what: string; readonly holds: boolean }

export interface DrillSettings {
  readonly folder: string
  readonly command: readonly string[]
  /** A multiple of four, from 8 to 48. */
  readonly hosts: number
  /** With services, which want root and namespaces. */
  readonly services: boolean
  readonly tell: (event: DrillEvent) => void
  readonly signal: AbortSignal
}

export interface DrillResult {
  readonly hosts: number
  readonly checks: readonly { readonly what: string; readonly holds: boolean }[]
  /** From the power to the release, for each host that came back, in milliseconds. */
  readonly releasedMs: Readonly<Record<HostId, number>>
  readonly elapsedMs: number
}

const RACKS = 4
const STOLEN = 'rack-b2'
/** How long a thief's hosts may try before anybody looks. */
const THIEF_MS = 2500
const RELEASE_MS = 60_000
const BETWEEN_RACKS_MS = 1500

/** @throws The signal's reason when it is aborted; everything is off then. */
export async function runDrill(settings: DrillSettings): Promise<DrillResult> {
  const { folder, command, hosts, signal } = settings
  const lab = await Lab.create({
    ...{ folder, command, shape: { racks: RACKS, hostsPerRack: hosts / RACKS } },
    // A heartbeat every few seconds instead of every ten minutes: nobody watches for that long.
    agentWords: ['--heartbeat', '5s', '--observe', '2s'],
  } satisfies LabSettings)
  try {
    const aborted = new Promise<never>((_, reject) =>
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
    )
    signal.throwIfAborted()
    return await Promise.race([new Story(lab, settings).play(), aborted])
  } finally {
    await lab[Symbol.asyncDispose]()
  }
}

class Story {
  readonly #lab: Lab
  readonly #settings: DrillSettings
  readonly #checks: { what: string; holds: boolean }[] = []
  readonly #releasedMs: Record<HostId, number> = {}
  #chapters = 0

  constructor(lab: Lab, settings: DrillSettings) {
    this.#lab = lab
    this.#settings = settings
  }

  async play(): Promise<DrillResult> {
    const startedMs = performance.now()
    const lab = this.#lab
    const stolen = lab.in(STOLEN)
    const left = lab.ids.filter((id) => !stolen.includes(id))
    const fleet = await this.#provision()
    await this.#cut()
    await this.#theft(stolen, fleet)
    await this.#recovery(left, fleet)
    if (this.#settings.services) await this.#services(left, fleet)
    await this.#audit(left, stolen, fleet)
    const { hosts } = this.#settings
    return {
      ...{ hosts, checks: this.#checks, releasedMs: this.#releasedMs },
      elapsedMs: performance.now() - startedMs,
    }
  }

  #chapter(title: string): void {
    this.#settings.tell({ kind: 'chapter', number: (this.#chapters += 1), title })
  }

  #say(text: string): void {
    this.#settings.tell({ kind: 'told', text })
  }

  #check(what: string, holds: boolean): void {
    this.#checks.push({ what, holds })
    this.#settings.tell({ kind: 'checked', what, holds })
  }

  async #provision(): Promise<LabFleet> {
    const { hosts, services } = this.#settings
    this.#chapter(`A fleet of ${hosts} hosts in ${RACKS} racks, rooms of their own, two zones`)
    this.#say('each has a software TPM, an agent process, a disk folder and an address of its own')
    const fleet = await provisionFleet(this.#lab, { image: services, say: (text) => this.#say(text) })
    const { plan } = fleet.signed
    const { witnesses, threshold } = plan.policy
    const { alone, thefts } = survivalOf(placeWitnesses(plan), threshold)
    this.#say(`${threshold} of ${witnesses} witnesses, none in the own rack, release a host`)
    this.#say(`any ${alone.racks} of the racks may be gone and every host comes back`)
    for (const { kind, least } of thefts)
      if (kind === 'rack') this.#say(`a thief needs ${least} racks at least, with all their TPMs`)
    await this.#until('every host is healthy', this.#lab.ids, (report) => isHealthy(report))
    await this.#board(this.#lab.ids[0])
    const reports = await this.#reports(this.#lab.ids)
    this.#check(
      'every host has its secret',
      reports.every(({ isReleased }) => isReleased),
    )
    return fleet
  }

  async #cut(): Promise<void> {
    this.#chapter('The power goes, everywhere in the same moment')
    await this.#lab.powerCut(this.#lab.ids)
    this.#say(`kill -9 of ${this.#lab.ids.length} agents, their services and their TPMs: nothing was told to shut down`)
  }

  async #theft(stolen: readonly HostId[], fleet: LabFleet): Promise<void> {
    this.#chapter(`In the dark, ${STOLEN} was carried off; the thief switches it on`)
    this.#say(`${stolen.join(', ')} run with their disks and their TPMs; they reach each other and nobody else`)
    const isStolen = (id: HostId | undefined): boolean => id !== undefined && stolen.includes(id)
    this.#lab.network.setWays((from, to) => (isStolen(from) === isStolen(to) ? 'open' : 'closed'))
    await this.#lab.powerOn(stolen, { words: agentWords(fleet) })
    await this.#until('the stolen hosts have judged', stolen, ({ verdict }) => verdict !== null)
    await sleepMs(THIEF_MS)
    await this.#board(stolen[0])
    for (const { host, state, verdict, shares, change } of await this.#reports(stolen)) {
      this.#say(
        `${host}: ${state}, verdict ${verdict?.action} (${verdict?.likeliest}), ${shares.held} of ${shares.needed} shares`,
      )
      for (const text of change.slice(0, 2)) this.#say(`   what would release it: ${text}`)
    }
    const reports = await this.#reports(stolen)
    this.#check(
      `nothing was released to ${STOLEN}`,
      reports.every(({ isReleased }) => !isReleased),
    )
  }

  async #recovery(left: readonly HostId[], fleet: LabFleet): Promise<void> {
    this.#chapter('Power comes back, rack by rack')
    const racks = [...new Set(left.map((id) => this.#lab.host(id).domain.rack))]
    const poweredMs = new Map<HostId, number>()
    for (const [i, rack] of racks.entries()) {
      const hosts = this.#lab.in(rack)
      await this.#lab.powerOn(hosts, { words: agentWords(fleet) })
      for (const id of hosts) poweredMs.set(id, performance.now())
      this.#say(`${rack} has power: ${hosts.join(', ')} start their agents; all locked, all serve as witnesses`)
      if (i + 1 < racks.length) await sleepMs(BETWEEN_RACKS_MS)
      if (i === 0) {
        await this.#until('the first rack has judged', hosts, ({ verdict }) => verdict !== null)
        await this.#board(hosts[0])
      }
    }
    await Promise.all(
      left.map(async (id) => {
        await this.#until(`${id} is released`, [id], ({ isReleased }) => isReleased, RELEASE_MS)
        this.#releasedMs[id] = performance.now() - (poweredMs.get(id) ?? 0)
      }),
    )
    const took = Object.values(this.#releasedMs).toSorted((a, b) => a - b)
    const seconds = (at: number): string => `${((took.at(at) ?? 0) / 1000).toFixed(1)} s`
    this.#say(`from power to secret: half of the hosts within ${seconds(took.length >> 1)}, all within ${seconds(-1)}`)
    this.#check(`all ${left.length} hosts that have power came back by themselves`, took.length === left.length)
  }

  async #services(left: readonly HostId[], { signed, witnessed, passwordOf }: LabFleet): Promise<void> {
    this.#chapter('The image is decrypted, and its services start in order')
    const { services } = signed.plan
    this.#say(`order: ${services.map(({ name }) => name).join(', then ')}`)
    const isUp = ({ state, services: found }: HostReport): boolean =>
      state === 'serving' && found.length === services.length && found.every(({ state }) => state === 'ready')
    await this.#until('all services are ready', left, isUp, RELEASE_MS)
    await this.#board(left[0])
    const reports = await this.#reports(left)
    const inOrder = reports.every(({ services: found }) => {
      const since = services.map(({ name }) => found.find((service) => service.name === name)?.sinceWallMs ?? 0)
      return since.every((ms, i) => i === 0 || ms >= since[i - 1])
    })
    this.#check('on every host the services came up in order', inOrder)
    const notes = (await readFile(join(witnessed, 'notes'), 'utf8')).split('\n')
    const given = (id: HostId): string =>
      `${id} site ${Buffer.from(sha256(Buffer.from(passwordOf(id)))).toString('hex')}`
    this.#check(
      'every host was given its own credentials',
      left.every((id) => notes.includes(given(id))),
    )
  }

  async #audit(left: readonly HostId[], stolen: readonly HostId[], fleet: LabFleet): Promise<void> {
    this.#chapter('What was asked, refused and given stands in logs that their witnesses countersigned')
    // The thief's machines have waited all the while.
    const reports = await this.#reports(stolen)
    this.#check(
      `still nothing was released to ${STOLEN}`,
      reports.every(({ isReleased }) => !isReleased),
    )
    await this.#lab.shutDown(left)
    this.#say('the hosts are shut down in order; their logs are gathered and read side by side')
    const { logs, problems, quotes } = await auditLab(this.#lab, left, [fleet.signed.plan])
    const entries = logs.reduce((sum, log) => sum + log.entries.length, 0)
    this.#say(`${logs.length} logs with ${entries} entries and ${quotes} signatures of TPMs`)
    for (const { code, log, message } of problems.slice(0, 5)) this.#say(`${code} in the log of ${log}: ${message}`)
    this.#check('the logs are whole, hang together, and were countersigned by witnesses', problems.length === 0)
    const release = logs[0].entries.findLast(({ event }) => event.kind === 'release')?.event
    if (release?.kind === 'release') {
      const witnesses = release.shares.map(({ witness }) => witness)
      this.#say(`${logs[0].host} for one: verdict ${release.verdict}, shares of ${witnesses.join(', ')}`)
    }
  }

  async #reports(ids: readonly HostId[]): Promise<readonly HostReport[]> {
    return await Promise.all(ids.map((id) => reportOf(this.#lab, id)))
  }

  async #until(
    what: string,
    ids: readonly HostId[],
    holds: (report: HostReport) => boolean,
    withinMs?: number,
  ): Promise<void> {
    const all = async (): Promise<boolean> => {
      const reports = await Promise.all(ids.map((id) => reportOf(this.#lab, id).catch(() => undefined)))
      return reports.every((report) => report !== undefined && holds(report))
    }
    await this.#lab.until(what, all, withinMs)
  }

  async #board(by: HostId): Promise<void> {
    this.#settings.tell({ kind: 'board', view: await fleetView(this.#lab, by) })
  }
}
