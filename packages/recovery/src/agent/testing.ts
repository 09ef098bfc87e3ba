/** For tests: fleets of agents in one process, each with a software TPM and a loopback address, whose power can be cut. */

import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { randomInt } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hex } from '@reprise/core'
import { connect, PcrExtend, Shutdown, swtpm, type Tpm } from '@reprise/tpm'
import { layTpm } from '@reprise/tpm/testing'
import { TPM_SU } from '@reprise/core'
import { encodeSignedPlan, followingPlan, signApprovals, type SignedPlan, signPlan } from '../operators/index.ts'
import { makeKey, type PersonKey, readKey } from '../operators/keys.ts'
import { evenPlan } from '../plan/sample.ts'
import { akName } from '../quote.ts'
import { sha256 } from '../sealing/words.ts'
import type { HostId, Plan, RecoveryPolicy, RosterHost } from '../types.ts'
import { type Agent, type AgentOptions, startAgent } from './agent.ts'
import { installPlan } from './plans.ts'
import { statePaths } from './state/folder.ts'
import { makeIdentity } from './tpm/identity.ts'

export const BOOT_PCRS = [4, 7]

export interface LabHost {
  readonly name: HostId
  readonly state: string
  readonly tpm: string
  agent: Agent | undefined
  /** What it reported, newest last. */
  readonly lines: string[]
}

export interface LabPerson {
  readonly name: string
  readonly signer: PersonKey
  readonly escrow: PersonKey
}

export interface Lab extends AsyncDisposable {
  readonly folder: string
  readonly hosts: readonly LabHost[]
  readonly operators: readonly LabPerson[]
  readonly approver: LabPerson
  readonly signed: SignedPlan
  readonly host: (name: HostId) => LabHost
  /** Firmware and system measure, then the agent starts. */
  readonly powerOn: (host: LabHost, change?: PowerOn) => Promise<Agent>
  /** kill -9 of TPM and agent. */
  readonly cut: (host: LabHost) => Promise<void>
  /** The agent alone dies; the TPM goes on. */
  readonly crash: (host: LabHost) => Promise<void>
  /** Signs a plan that follows the newest one. */
  readonly sign: (change: (plan: Plan) => Plan) => Uint8Array
}

export interface PowerOn extends Partial<AgentOptions> {
  readonly release?: string
}

const POLICY: Partial<RecoveryPolicy> = {
  ...{ witnesses: 4, threshold: 2, perPdu: 1, perRoom: 4, ownZone: 4 },
  // Several processes of a test run share two cores.
  roundTripMarginMs: 60_000,
}

export interface LabOptions {
  readonly hosts?: number
  readonly policy?: Partial<RecoveryPolicy>
  readonly plan?: Partial<Plan>
}

/** Hosts with keys and a signed plan, all of them off. */
export async function makeLab({ hosts: count = 5, policy, plan: change }: LabOptions = {}): Promise<Lab> {
  const folder = mkdtempSync(join(tmpdir(), 'reprise-agent-'))
  await layTpm(join(folder, 'made'))
  const operators = ['ada', 'bob', 'cyd'].map(person)
  const approver = person('approver')
  const shape = { zones: 1, roomsPerZone: 1, racksPerRoom: count, hostsPerRack: 1, racksPerPdu: 1 }
  const even = evenPlan(shape, { ...POLICY, ...policy })
  const hosts = even.roster.hosts.map((_, i) => makeHost(folder, `h${i + 1}`))
  const plan = { ...(await planOf(even, { hosts, operators, approver })), ...change }
  const signAll = (unsigned: SignedPlan): SignedPlan => {
    const withOperators = operators.slice(0, 2).reduce((sum, { signer }) => signPlan(sum, signer), unsigned)
    return signApprovals(withOperators, approver.signer)
  }
  let signed = signAll(followingPlan(plan, undefined))
  for (const host of hosts) await installPlan(statePaths(host.state), host.name, encodeSignedPlan(signed))
  return {
    ...{ folder, hosts, operators, approver, powerOn, cut, crash },
    get signed() {
      return signed
    },
    host: (name) => {
      const found = hosts.find((host) => host.name === name)
      if (found === undefined) throw new Error(`no host ${name}`)
      return found
    },
    sign(by) {
      const next = by(signed.plan)
      const version = signed.plan.roster.version + 1
      signed = signAll(followingPlan({ ...next, roster: { ...next.roster, version } }, signed))
      return encodeSignedPlan(signed)
    },
    async [Symbol.asyncDispose]() {
      for (const host of hosts) await cut(host)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

export function person(name: string): LabPerson {
  const key = (): PersonKey => readKey(Buffer.from(makeKey(undefined).pem), name)
  return { name, signer: key(), escrow: key() }
}

/** All of them are the same TPM, as it left its factory; their attestation keys differ. */
function makeHost(folder: string, name: HostId): LabHost {
  const state = join(folder, name)
  mkdirSync(state, { mode: 0o700 })
  cpSync(join(folder, 'made'), join(state, 'tpm'), { recursive: true })
  return { name, state, tpm: join(state, 'tpm'), agent: undefined, lines: [] }
}

async function planOf(
  even: Plan,
  { hosts, operators, approver }: Pick<Lab, 'hosts' | 'operators' | 'approver'>,
): Promise<Plan> {
  const network = `127.${randomInt(2, 250)}.${randomInt(256)}`
  const roster: RosterHost[] = []
  for (const [i, { name, state, tpm }] of hosts.entries()) {
    await boot(tpm, 'release 1')
    const { ak } = await makeIdentity(statePaths(state), { host: name, tpm: { kind: 'software', folder: tpm } })
    const address = `${network}.${i + 1}:8471`
    roster.push({ ...even.roster.hosts[i], id: name, address, ak: akName(ak.public), approvals: 1 })
  }
  const keys = operators.map(({ name, signer, escrow }) => ({ name, publicKey: signer.point, escrow: escrow.point }))
  return {
    ...even,
    fleet: 'lab',
    roster: { version: 1, hosts: roster },
    breakGlass: { needed: 2, keys },
    boots: [{ name: 'one', registers: stateOf('release 1'), hosts: undefined }],
    approver: approver.signer.point,
  }
}

async function powerOn(host: LabHost, { release = 'release 1', ...options }: PowerOn = {}): Promise<Agent> {
  await boot(host.tpm, release)
  const agent = await startAgent({
    state: host.state,
    report: (event, data) => void host.lines.push(`${event} ${JSON.stringify(data ?? {})}`),
    times: { heartbeatMs: 600_000, observeMs: 5000, answerMs: 30_000 },
    ...options,
  })
  host.agent = agent
  return agent
}

/** kill -9 of TPM and agent. */
async function cut(host: LabHost): Promise<void> {
  await killSwtpm(host.tpm)
  await crash(host)
}

async function crash(host: LabHost): Promise<void> {
  await host.agent?.abandon()
  host.agent = undefined
}

/** All hosts with a generation, and heartbeats given. */
export async function provisionAll(lab: Lab, hosts: readonly LabHost[] = lab.hosts): Promise<void> {
  for (const host of hosts) await lab.powerOn(host)
  // A witness that had to open channels first would lag behind the others, and get its share with a rotation.
  const names = hosts.map(({ name }) => name)
  for (const host of hosts)
    await Promise.all(
      names.filter((name) => name !== host.name).map((name) => agentOf(host).ground.network.reach(name)),
    )
  await Promise.all(hosts.map((host) => agentOf(host).life.provision([], undefined)))
  const { witnesses } = lab.signed.plan.policy
  for (const host of hosts) await until(() => agentOf(host).stand().heartbeatWitnesses === witnesses)
}

export function agentOf({ agent, name }: LabHost): Agent {
  if (agent === undefined) throw new Error(`${name} is off`)
  return agent
}

/** Waits for something to be so; the time limit of the test is its end. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10))
}

/** The registers of a boot, without booting it. */
export function stateOf(release: string): Plan['boots'][number]['registers'] {
  const measured = sha256(new TextEncoder().encode(release))
  const value = hex(sha256(Buffer.concat([new Uint8Array(32), measured])))
  return BOOT_PCRS.map((pcr) => ({ pcr, value }))
}

/** Power, and what firmware and system measure; nothing where the TPM runs already. */
async function boot(folder: string, release: string): Promise<void> {
  const running = await swtpm.start(folder)
  if (!running.started) return
  await using tpm = connect(await running.open())
  for (const pcrHandle of BOOT_PCRS)
    await tpm.execute(PcrExtend({ pcrHandle, digests: { sha256: sha256(new TextEncoder().encode(release)) } }))
}

/** Power and a boot, without an agent. */
export async function bootTpm({ tpm }: LabHost, release = 'release 1'): Promise<void> {
  await boot(tpm, release)
}

export async function killTpm({ tpm }: LabHost): Promise<void> {
  await killSwtpm(tpm)
}

/** For what is done to a TPM behind its agent's back, which must be off. */
export async function withTpm<T>(host: LabHost, work: (tpm: Tpm) => Promise<T>): Promise<T> {
  const running = await swtpm.start(host.tpm)
  await using tpm = connect(await running.open())
  return await work(tpm)
}

/** TPM2_Shutdown(STATE), then the power goes: the next start does not count as a reset. */
export async function hibernate(host: LabHost): Promise<void> {
  await crash(host)
  await withTpm(host, (tpm) => tpm.execute(Shutdown({ shutdownType: TPM_SU.STATE })))
  await cut(host)
}

async function killSwtpm(folder: string): Promise<void> {
  const path = join(folder, 'swtpm.pid')
  const pid = existsSync(path) ? Number.parseInt(readFileSync(path, 'latin1'), 10) : Number.NaN
  const serves = (): boolean => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(join(folder, 'tpm.sock'))
    } catch {
      return false
    }
  }
  if (!(pid > 0) || !serves()) return
  process.kill(pid, 'SIGKILL')
  while (serves()) await new Promise((resolve) => setTimeout(resolve, 2))
}
