/**
 * A laboratory: hosts of a fleet on one machine. Each has its own software TPM, its own agent process, its own folder and
 * its own address; power, cables and thieves are imitated, everything else is what runs in earnest.
 *
 *     FOLDER/h/NAME/tpm      the TPM
 *     FOLDER/h/NAME/state    the agent's state folder: the disk
 *     FOLDER/h/NAME/log      what the agent says
 *     FOLDER/kept/NAME       hosts as they were kept, to be taken back
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleepMs } from 'node:timers/promises'
import { connect, PcrExtend, swtpm } from '@reprise/tpm'
import { RecoveryError } from '../error.ts'
import { sha256 } from '../sealing/words.ts'
import type { FaultDomain, HostId } from '../types.ts'
import { type LabNetwork, openNetwork } from './network.ts'
import { cutPower } from './processes.ts'

export interface LabShape {
  /** At least two; half of them stand in one zone, each in a room of its own. */
  readonly racks: number
  readonly hostsPerRack: number
}

export interface LabSettings {
  /** It is made when it is not there; paths of sockets in it must stay below 108 bytes. */
  readonly folder: string
  /** How the command is called: program and first words. */
  readonly command: readonly string[]
  /** Or the hosts themselves. */
  readonly shape: LabShape | readonly Pick<LabHost, 'id' | 'domain'>[]
  /** More words for each agent. */
  readonly agentWords: readonly string[]
}

export interface LabHost {
  readonly id: HostId
  readonly domain: FaultDomain
  readonly folder: string
  readonly tpm: string
  readonly state: string
}

/** Registers that a boot of the laboratory measures into, as firmware and boot loader would. */
export const LAB_PCRS = [4, 7] as const
export const LAB_BOOT = 'release 1'
const START_MS = 90_000
const END_MS = 15_000
/** Who waits asks agents, which then compute less. */
const POLL_MS = 100

interface Running {
  readonly agent: ChildProcess | undefined
  readonly tpmPid: number
}

export class Lab implements AsyncDisposable {
  readonly settings: LabSettings
  readonly hosts: readonly LabHost[]
  readonly network: LabNetwork
  readonly #running = new Map<HostId, Running>()
  #isClosed = false

  private constructor(settings: LabSettings, hosts: readonly LabHost[], network: LabNetwork) {
    this.settings = settings
    this.hosts = hosts
    this.network = network
  }

  /** Hosts with new TPMs, all of them off. */
  static async create(settings: LabSettings): Promise<Lab> {
    const hosts = hostsOf(settings)
    const network = await openNetwork(hosts.map(({ id }) => id))
    const lab = new Lab(settings, hosts, network)
    try {
      await Promise.all(
        hosts.map(async ({ folder, tpm }) => {
          await mkdir(folder, { recursive: true, mode: 0o700 })
          await swtpm.manufactureBare(tpm)
        }),
      )
      return lab
    } catch (error) {
      await lab[Symbol.asyncDispose]()
      throw error
    }
  }

  host(id: HostId): LabHost {
    const found = this.hosts.find((host) => host.id === id)
    if (found === undefined) throw new RecoveryError('LABORATORY', { message: `the laboratory has no host ${id}` })
    return found
  }

  /** Names of the hosts of a zone, room or rack; of a host, itself. */
  in(name: string): readonly HostId[] {
    const found = this.hosts.filter(({ id, domain }) => [id, ...Object.values(domain)].includes(name))
    return found.map(({ id }) => id)
  }

  get ids(): readonly HostId[] {
    return this.hosts.map(({ id }) => id)
  }

  isOn(id: HostId): boolean {
    return this.#running.has(id)
  }

  /** Power, and what firmware and system measure; the agent is not started. */
  async powerTpm(id: HostId, boot = LAB_BOOT): Promise<void> {
    if (this.isOn(id)) throw new RecoveryError('LABORATORY', { message: `${id} is on already` })
    this.#checkOpen()
    const running = await swtpm.start(this.host(id).tpm)
    if (this.#isClosed) await cutPower([running.pid])
    this.#checkOpen()
    this.#running.set(id, { agent: undefined, tpmPid: running.pid })
    await using tpm = connect(await running.open())
    for (const pcrHandle of LAB_PCRS)
      await tpm.execute(PcrExtend({ pcrHandle, digests: { sha256: sha256(new TextEncoder().encode(boot)) } }))
  }

  /** Power, a boot, and the agent, which goes on by itself. */
  async powerOn(ids: readonly HostId[], options: { readonly boot?: string; readonly words?: readonly string[] } = {}) {
    await Promise.all(
      ids.map(async (id) => {
        await this.powerTpm(id, options.boot)
        await this.startAgent(id, options.words)
      }),
    )
  }

  /** The agent of a host that has power. */
  async startAgent(id: HostId, more: readonly string[] = []): Promise<void> {
    const running = this.#running.get(id)
    if (running === undefined) throw new RecoveryError('LABORATORY', { message: `${id} has no power` })
    const { folder, state } = this.host(id)
    const { command, agentWords } = this.settings
    const [program, ...first] = command
    const at = ['--listen', this.network.listenOf(id), '--board', this.network.boardOf(id)]
    const words = ['recovery', 'witness', '--state', state, ...at]
    await using log = await open(join(folder, 'log'), 'a', 0o600)
    this.#checkOpen()
    const agent = spawn(program, [...first, ...words, ...agentWords, ...more], {
      cwd: folder,
      env: { PATH: process.env['PATH'], HOME: folder },
      stdio: ['ignore', log.fd, log.fd],
    })
    this.#running.set(id, { ...running, agent })
    await once(agent, 'spawn')
  }

  /** Power goes, from all of them in the same moment: nothing of theirs runs on. */
  async powerCut(ids: readonly HostId[]): Promise<void> {
    const pids = ids.flatMap((id) => {
      const { agent, tpmPid } = this.#running.get(id) ?? {}
      return [agent?.pid, tpmPid].filter((pid) => pid !== undefined)
    })
    for (const id of ids) this.#running.delete(id)
    await cutPower(pids)
  }

  /** kill -9 of the agent alone. */
  async killAgent(id: HostId): Promise<void> {
    const running = this.#running.get(id)
    if (running?.agent?.pid === undefined) return
    this.#running.set(id, { ...running, agent: undefined })
    await cutPower([running.agent.pid])
  }

  /** SIGTERM, as at a shutdown: the agent ends by itself, and ends its TPM. */
  async shutDown(ids: readonly HostId[]): Promise<void> {
    await Promise.all(
      ids.map(async (id) => {
        const agent = this.#running.get(id)?.agent
        if (agent !== undefined && agent.exitCode === null && agent.signalCode === null) {
          const ended = once(agent, 'exit', { signal: AbortSignal.timeout(END_MS) }).catch(() => undefined)
          agent.kill('SIGTERM')
          await ended
        }
        await this.powerCut([id])
      }),
    )
  }

  /** The process that is the host's TPM, while it has power. */
  tpmPid(id: HostId): number {
    const running = this.#running.get(id)
    if (running === undefined) throw new RecoveryError('LABORATORY', { message: `${id} has no power` })
    return running.tpmPid
  }

  /** The process that is the host's agent, while it runs. */
  agentPid(id: HostId): number {
    const pid = this.#running.get(id)?.agent?.pid
    if (pid === undefined) throw new RecoveryError('LABORATORY', { message: `no agent of ${id} runs` })
    return pid
  }

  /** The exit code of a host's agent, null while it runs. */
  exitOf(id: HostId): number | null {
    return this.#running.get(id)?.agent?.exitCode ?? null
  }

  async logOf(id: HostId): Promise<string> {
    return await readFile(join(this.host(id).folder, 'log'), 'utf8').catch(() => '')
  }

  /** Keeps hosts that are off as they are, TPM and disk. */
  async keep(name: string, ids: readonly HostId[] = this.ids): Promise<void> {
    const kept = join(this.settings.folder, 'kept', name)
    for (const id of ids) {
      if (this.isOn(id)) throw new RecoveryError('LABORATORY', { message: `${id} is on and cannot be copied` })
      await copyFolder(this.host(id).folder, join(kept, id))
    }
  }

  /** Cuts the power of all of these and takes them back as they were kept; the network is whole again. */
  async takeBack(name: string, ids: readonly HostId[] = this.ids): Promise<void> {
    await this.powerCut(ids)
    this.network.setWays(() => 'open')
    const kept = join(this.settings.folder, 'kept', name)
    await Promise.all(ids.map((id) => copyFolder(join(kept, id), this.host(id).folder)))
  }

  /** Waits until it is so. @throws RecoveryError `LABORATORY` with what was waited for. */
  async until(what: string, holds: () => Promise<boolean>, withinMs = START_MS): Promise<void> {
    const deadlineMs = performance.now() + withinMs
    while (!(await holds())) {
      if (performance.now() > deadlineMs)
        throw new RecoveryError('LABORATORY', {
          message: `${what}: not within ${withinMs / 1000} s`,
          hint: `logs of the agents are in ${join(this.settings.folder, 'h')}`,
        })
      await sleepMs(POLL_MS)
    }
  }

  /** Whoever is still about to switch something on finds out here. */
  #checkOpen(): void {
    if (this.#isClosed) throw new RecoveryError('LABORATORY', { message: 'the laboratory is closed' })
  }

  /** Everything off; the folder stays. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    await this.powerCut(this.ids)
    await this.network[Symbol.asyncDispose]()
  }
}

function hostsOf({ folder, shape }: LabSettings): readonly LabHost[] {
  const hosts: LabHost[] = []
  const add = ({ id, domain }: Pick<LabHost, 'id' | 'domain'>): void => {
    const own = join(folder, 'h', id)
    hosts.push({ id, domain, folder: own, tpm: join(own, 'tpm'), state: join(own, 'state') })
  }
  if (!('racks' in shape)) {
    shape.forEach(add)
    return hosts
  }
  const { racks, hostsPerRack } = shape
  for (let rack = 0; rack < racks; rack++) {
    const zone = rack < racks / 2 ? 'a' : 'b'
    const at = `${zone}${(rack % Math.ceil(racks / 2)) + 1}`
    for (let number = 1; number <= hostsPerRack; number++) {
      const id = `${at}-${number}`
      const domain = { zone: `zone-${zone}`, room: `room-${at}`, rack: `rack-${at}`, pdu: `pdu-${at}` }
      add({ id, domain })
    }
  }
  return hosts
}

/** Sockets are left out: they belong to processes that are gone. */
async function copyFolder(source: string, target: string): Promise<void> {
  const making = `${target}.new`
  await rm(making, { recursive: true, force: true })
  await mkdir(join(making, '..'), { recursive: true })
  await cp(source, making, { recursive: true, filter: (path) => !path.endsWith('.sock') })
  await rm(target, { recursive: true, force: true })
  await rename(making, target)
}
