/** One fleet for many cases: provisioned once, kept as it was when its power went, and taken back before each case. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { HostReport } from '../../packages/recovery/src/agent/index.ts'
import {
  agentWords,
  isHealthy,
  Lab,
  type LabFleet,
  provisionFleet,
  reportOf,
} from '../../packages/recovery/src/drill/index.ts'

const ROOT = resolve(import.meta.dirname, '../..')

/** Five times what a quiet machine needs, and more for two cores with a dozen processes that all begin at once. */
const PATIENCE_MS = 90_000
/** Of the log of each host that was waited for in vain. */
const LOG_LINES = 20

export class TestFleet implements AsyncDisposable {
  readonly lab: Lab
  readonly fleet: LabFleet

  private constructor(lab: Lab, fleet: LabFleet) {
    this.lab = lab
    this.fleet = fleet
  }

  /** Twelve hosts in four racks; what is kept as `dark` is the moment after their power went. */
  static async create(): Promise<TestFleet> {
    execFileSync(join(ROOT, 'reprise'), ['--version'], { stdio: 'ignore' })
    // Sockets are in it: a short path.
    const folder = mkdtempSync('/tmp/rl-')
    const lab = await Lab.create({
      ...{ folder, shape: { racks: 4, hostsPerRack: 3 } },
      command: [process.execPath, join(ROOT, 'dist/reprise.cjs')],
      // Twelve hosts that give heartbeats to six others each are half a core at two seconds.
      agentWords: ['--heartbeat', '5s', '--observe', '10s'],
    })
    try {
      const self = new TestFleet(lab, await provisionFleet(lab, { image: process.getuid?.() === 0 }))
      await self.until('a first heartbeat', lab.ids, (report) => isHealthy(report))
      await lab.powerCut(lab.ids)
      await lab.keep('dark')
      return self
    } catch (error) {
      await lab[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Agents that load no image: most cases are about what comes before. */
  async powerOn(ids: readonly string[], words: readonly string[] = []): Promise<void> {
    await this.lab.powerOn(ids, { words: [...agentWords({ ...this.fleet, image: undefined }), ...words] })
  }

  async powerOnWithServices(ids: readonly string[], words: readonly string[] = []): Promise<void> {
    await this.lab.powerOn(ids, { words: [...agentWords(this.fleet), ...words] })
  }

  async report(id: string): Promise<HostReport> {
    return await reportOf(this.lab, id)
  }

  async reports(ids: readonly string[]): Promise<readonly HostReport[]> {
    return await Promise.all(ids.map((id) => this.report(id)))
  }

  /** Waits until each of them has reported so once; the last reports of the others come with a failure. */
  async until(what: string, ids: readonly string[], holds: (report: HostReport) => boolean): Promise<void> {
    const waiting = new Map<string, HostReport | undefined>(ids.map((id) => [id, undefined]))
    // Who reported so is not asked again: it computes while the others are waited for.
    const all = async (): Promise<boolean> => {
      const ask = async (id: string): Promise<void> => {
        const report = await this.report(id).catch(() => undefined)
        if (report !== undefined && holds(report)) waiting.delete(id)
        else waiting.set(id, report)
      }
      await Promise.all([...waiting.keys()].map(ask))
      return waiting.size === 0
    }
    try {
      await this.lab.until(what, all, PATIENCE_MS)
    } catch (error) {
      // The folder with their logs goes when the test ends.
      const shown = await Promise.all(
        [...waiting].map(async ([id, report]) => {
          const log = (await this.lab.logOf(id)).trimEnd().split('\n').slice(-LOG_LINES)
          return [`${id}: ${report === undefined ? 'silent' : JSON.stringify(report)}`, ...log].join('\n    ')
        }),
      )
      throw new Error(`${(error as Error).message}\n${shown.join('\n')}`, { cause: error })
    }
  }

  async released(ids: readonly string[]): Promise<void> {
    await this.until('release', ids, ({ isReleased }) => isReleased)
  }

  /** Until its witnesses have refused it by that rule, and nothing was given. */
  async refused(id: string, rule: string, least = 1): Promise<HostReport> {
    await this.until(`a refusal by ${rule}`, [id], (report) => refusals(report, rule) >= least)
    const report = await this.report(id)
    if (report.isReleased) throw new Error(`${id} was released`)
    return report
  }

  /** All hosts but those of these racks, rooms, zones, or these hosts. */
  without(...names: readonly string[]): readonly string[] {
    const gone = new Set(names.flatMap((name) => this.lab.in(name)))
    return this.lab.ids.filter((id) => !gone.has(id))
  }

  stateFile(id: string, name: string): string {
    return join(this.lab.host(id).state, name)
  }

  /** The newest release of its audit log. */
  lastRelease(id: string): { readonly verdict: string; readonly epoch: number } {
    const lines = readFileSync(this.stateFile(id, 'audit.jsonl'), 'utf8').trim().split('\n')
    const events = lines.map((line) => (JSON.parse(line) as { event: { kind: string } }).event)
    return events.findLast(({ kind }) => kind === 'release') as never
  }

  /** Changes a JSON file of a host that is off, as whoever has its disk can. */
  edit(id: string, name: string, change: (content: never) => unknown): void {
    const path = this.stateFile(id, name)
    const changed = change(JSON.parse(readFileSync(path, 'utf8')) as never)
    writeFileSync(path, `${JSON.stringify(changed)}\n`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab[Symbol.asyncDispose]()
    rmSync(this.lab.settings.folder, { recursive: true, force: true })
  }
}

/** How many witnesses refuse by that rule. */
export function refusals({ witnesses }: HostReport, rule: string): number {
  return witnesses.filter(({ refusals }) => refusals.some((refusal) => refusal.rule === rule)).length
}
