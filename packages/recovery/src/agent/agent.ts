/** The agent of a host, put together. Rules: spec/agent.md. */

import { randomBytes } from 'node:crypto'
import { type AuditEvent, openAuditLog } from '../audit/index.ts'
import type { Attested } from '../channel/channel.ts'
import { hostTpm } from '../channel/host-tpm.ts'
import type { Answer, Message } from '../channel/messages.ts'
import { judgeRegisters, registersOf } from '../channel/plan-view.ts'
import { registerValue } from '../plan/boots.ts'
import { wasClean } from '../protocol/facts.ts'
import { readBootState } from '../sealing/boot-state.ts'
import { count, openCounter, readCounter } from '../sealing/indexes.ts'
import { generationFile } from '../sealing/generation-file.ts'
import type { Keeper } from '../sealing/generations.ts'
import type { SystemFiles } from '../sealing/prior-shutdown.ts'
import { inTurn, type PinnedTpm } from '../sealing/storage.ts'
import { systemFiles } from '../sealing/system-files.ts'
import { type AgentTimes, type Ground, inOrder, messageOf, type Report } from './ground.ts'
import { type Alarm, type HostReport, hostReport, hostStatus } from './host-report.ts'
import { type Life, makeLife } from './own/life.ts'
import type { ImageOptions } from './own/image.ts'
import { openOwnerMemory } from './own/owner-memory.ts'
import { openRoots } from './own/roots.ts'
import { makeServices } from './own/services.ts'
import { openPeers } from './peers.ts'
import { openPlans, type Plans } from './plans.ts'
import { makeSpreading } from './spreading.ts'
import { prepareFolder, readNeeded, type StatePaths, statePaths } from './state/folder.ts'
import { HOST_FILE } from './state/host-file.ts'
import { type BootOf, readBootFacts, writeCleanMarker } from './tpm/boot-facts.ts'
import { openAk } from './tpm/identity.ts'
import { openTpm } from './tpm/open-tpm.ts'
import { answerLoaded } from './witness/loaded.ts'
import { openMemory } from './witness/memory.ts'
import { failed, makeWitness } from './witness/witness.ts'

export interface AgentOptions {
  readonly state: string
  /** `host:port`, or a port; that of the plan unless given. */
  readonly listen?: string
  readonly times?: Partial<AgentTimes>
  readonly report: Report
  /** Without one nothing is loaded: what is released stays with the agent. */
  readonly image?: ImageOptions
  readonly files?: SystemFiles
  readonly nowMs?: () => number
}

export interface Agent {
  readonly paths: StatePaths
  /** Where other hosts reach it; undefined in mode `tpm-only`. */
  readonly address: string | undefined
  readonly life: Life
  readonly plans: Plans
  readonly stand: () => HostReport
  /** Calls back at each change, until the returned function is called. */
  readonly watch: (listener: () => void) => () => void
  /** @returns The version that counts now. */
  readonly takePlan: (signed: Uint8Array) => Promise<number>
  readonly hear: (signed: Uint8Array) => Promise<void>
  /** Ends in an orderly way: marker, TPM. */
  readonly stop: () => Promise<void>
  /** Lets go of everything as it is, as a crash would. */
  readonly abandon: () => Promise<void>
  readonly ground: Ground
  readonly keeper: Keeper
}

export const AGENT_TIMES: AgentTimes = { heartbeatMs: 600_000, observeMs: 1000, answerMs: 20_000 }
const ALARMS_MAX = 20

/**
 * Starts the agent of a provisioned, or at least planned, host. The caller holds the lock of the folder.
 *
 * @throws RecoveryError `STATE`, `PIN`, `NOT_NOW` without a plan, `CHANNEL` when the address cannot be had, `AUDIT`.
 */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const { report, nowMs = Date.now, files = systemFiles } = options
  const paths = statePaths(options.state)
  await prepareFolder(paths)
  const hostFile = await readNeeded(
    paths.host,
    HOST_FILE,
    'Provision the host: reprise recovery provision --offer FILE',
  )
  const { host } = hostFile
  const plans = await openPlans(paths, host)
  await using undo = new AsyncDisposableStack()
  const own = await openTpm(hostFile.tpm)
  undo.defer(() => own.release())
  const pinned: PinnedTpm = { tpm: own.tpm, storageKey: hostFile.storageKey, persist: own.persist }
  const ak = await openAk(own.tpm, paths, hostFile)
  const quoting = hostTpm(own.tpm, { host, ak })
  const memory = await openOwnerMemory(paths.owner)
  const boot: BootOf = {
    ...{ host, pinned, ak, akPublic: hostFile.ak.public, markerPath: paths.cleanMarker, files },
    heartbeat: memory.now.heartbeat ?? undefined,
  }
  const facts = await readBootFacts(boot)
  const log = await openAuditLog(paths.audit, { fleet: plans.fleet.plan.fleet, host }, { nowMs })
  undo.use(log)
  const alarms: Alarm[] = []
  const listeners = new Set<() => void>()
  const onChange = (): void => {
    for (const listener of listeners) listener()
  }
  const audit = (event: AuditEvent): ReturnType<Ground['audit']> => log.append(event)
  const ground: Ground = {
    ...{ host, paths, pinned, report, nowMs, audit },
    times: { ...AGENT_TIMES, ...options.times },
    // A key that is persistent takes one of the TPM's three places while it signs.
    hostTpm: { ...quoting, quote: (statement, pcrs) => inTurn(pinned, () => quoting.quote(statement, pcrs)) },
    network: { reach: (to) => peers.network.reach(to) },
    fleet: () => plans.fleet,
    random: (lengthBytes) => new Uint8Array(randomBytes(lengthBytes)),
    alarm: (text) => {
      alarms.unshift({ wallMs: nowMs(), text })
      alarms.splice(ALARMS_MAX)
      report('alarm', { text })
      void audit({ kind: 'alarm', text }).catch(() => undefined)
      onChange()
    },
  }
  const registers = await readBootState(pinned.tpm, registersOf(plans.fleet.seen))
  const values = new Map(registers.map(({ pcr, value }) => [pcr, value]))
  const { boot: bootName } = judgeRegisters(plans.fleet.seen, host, values)
  const planVersion = plans.fleet.plan.roster.version
  await audit({ kind: 'boot', bootId: facts.bootId || null, boot: bootName ?? null, planVersion })

  const spreading = makeSpreading(ground, plans)
  const witnessMemory = await openMemory({
    path: paths.witness,
    rosterVersion: planVersion,
    now: facts.now,
    lastShutdown: wasClean(facts.prior) ? 'clean' : 'abnormal',
    context: () => {
      const { own: view, plan, view: viewOf } = plans.fleet
      return { id: host, domain: view.domain, policy: plan.policy, view: viewOf }
    },
    wallMs: nowMs,
  })
  const onOldPlan = (peer: string): void => spreading.saw(peer, 0)
  const witnessParts = { ground, memory: witnessMemory, onOldPlan, onPlanVersion: spreading.saw }
  const witness = makeWitness(witnessParts)
  await witness.adopt(plans.fleet)
  await countApprovals()

  const random = ground.random
  const keeper: Keeper = { pinned, random, ...generationFile(paths.generations) }
  const cap = (): ReturnType<typeof registerValue> => registerValue(plans.fleet.plan.cap)
  const bootPcrs = (): readonly number[] => registersOf(plans.fleet.seen).filter((pcr) => pcr !== cap().pcr)
  const roots = await openRoots({ pinned, path: paths.thisBoot, bootPcrs, cap })
  undo.use(roots)
  const services = makeServices(ground, options.image, onChange)
  const life = makeLife({
    ...{ ground, keeper, roots, memory, spreading, prior: facts.prior, inTurn: inOrder() },
    auditPlace: () => log.place,
    onReleased: (generation, root) => services.begin(generation, root),
    onChange,
  })

  async function countApprovals(): Promise<void> {
    const wanted = BigInt(plans.fleet.hostNamed(host)?.approvals ?? 0)
    const counter = await openCounter(pinned, 'approvals')
    for (let value = await readCounter(pinned, counter); value < wanted; value++) await count(pinned, counter)
  }

  async function takePlan(signed: Uint8Array, from: string | null): Promise<number> {
    const taken = await plans.take(signed)
    if (taken !== undefined) {
      const { version } = taken.plan.roster
      await audit({ kind: 'plan', version, digest: taken.digest, from })
      report('plan taken', { version, from })
      await witness.adopt(taken)
      await countApprovals()
      life.planned()
      onChange()
    }
    return plans.fleet.plan.roster.version
  }

  async function hear(signed: Uint8Array, from: string | null): Promise<void> {
    const heard = await plans.hear(signed)
    if (heard === undefined) return
    const { statement, digest } = heard
    await audit({ kind: 'statement', statement: statement.kind, host: statement.host, digest, from })
    report('statement heard', { kind: statement.kind, about: statement.host, from })
    await witness.hear(statement)
    onChange()
  }

  async function answer(from: Attested, message: Message): Promise<Answer> {
    spreading.saw(from.host, from.planVersion)
    switch (message.kind) {
      case 'observe':
      case 'ask':
      case 'heartbeat':
      case 'prepare':
      case 'commit':
        return await witness.answer(from, message)
      case 'plan':
        return await taking('PLAN', () => takePlan(message.signed, from.host))
      case 'statement':
        return await taking('STATEMENT', async () => {
          await hear(message.signed, from.host)
          return plans.fleet.plan.roster.version
        })
      case 'status':
        return { kind: 'status', status: hostStatus(stand(), log.place.head) }
      case 'loaded':
        return await answerLoaded(witnessParts, from, message)
    }
  }

  async function taking(code: 'PLAN' | 'STATEMENT', work: () => Promise<number>): Promise<Answer> {
    try {
      return { kind: 'taken', planVersion: await work() }
    } catch (error) {
      return failed(code, messageOf(error).slice(0, 200))
    }
  }

  const startedMs = performance.now()
  function stand(): HostReport {
    const { phase, asking, lastBeat, epoch } = life
    return hostReport({
      ...{ fleet: plans.fleet, phase, asking: asking?.state, lastBeat, epoch, alarms, audit: log.place },
      ...{
        wards: witnessMemory.wards.size,
        services: services.now,
        isLoading: services.isLoading,
        failure: services.failure,
      },
      uptimeMs: Math.round(performance.now() - startedMs),
    })
  }

  const peers = await openPeers({
    hostTpm: ground.hostTpm,
    fleet: ground.fleet,
    listen: options.listen,
    answer,
    report,
  })
  undo.use(peers)
  const kept = undo.move()
  report('listening', { address: peers.address ?? null, host })
  await life.begin()
  return {
    ...{ paths, address: peers.address, life, plans, stand, ground, keeper },
    watch: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    takePlan: (signed) => takePlan(signed, null),
    hear: (signed) => hear(signed, null),
    async stop() {
      await life.stop()
      await services.stop()
      await peers[Symbol.asyncDispose]()
      await writeCleanMarker(boot)
      await audit({ kind: 'shutdown', isClean: true })
      roots[Symbol.dispose]()
      await log[Symbol.asyncDispose]()
      await own.shutDown()
    },
    async abandon() {
      await life.stop().catch(() => undefined)
      await services.stop().catch(() => undefined)
      await kept.disposeAsync().catch(() => undefined)
    },
  }
}
