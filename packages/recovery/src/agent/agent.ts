/** The agent of a host, put together. Rules: spec/agent.md. */

import { randomBytes } from 'node:crypto'
import { type AuditLog, openAuditLog } from '../audit/index.ts'
import { registersOf } from '../channel/plan-view.ts'
import { registerValue } from '../plan/boots.ts'
import { RecoveryError } from '../error.ts'
import { wasClean } from '../protocol/facts.ts'
import { HEARTBEAT_MS } from '../protocol/lease.ts'
import { count, openCounter, readCounter } from '../sealing/indexes.ts'
import { generationFile } from '../sealing/generation-file.ts'
import { type GenerationStep, type Keeper, readGenerations } from '../sealing/generations.ts'
import type { SystemFiles } from '../sealing/prior-shutdown.ts'
import { systemFiles } from '../sealing/system-files.ts'
import { makeAnswerer } from './answerer.ts'
import { deliver, type Deliver } from './delivery/delivering.ts'
import { makeTaking } from './delivery/taking.ts'
import { type AgentTimes, type Ground, inOrder, type Report } from './ground.ts'
import { type Alarm, type HostReport, hostReport } from './host-report.ts'
import { makeNews } from './news.ts'
import type { ImageOptions } from './own/image.ts'
import { type Life, makeLife } from './own/life.ts'
import { openOwnerMemory } from './own/owner-memory.ts'
import { makeProvision, type Provision } from './own/provisioning.ts'
import { openRoots, type Roots } from './own/roots.ts'
import { makeServices, type Services } from './own/services.ts'
import { openPeers, type Peers } from './peers.ts'
import { openPlans, type Plans } from './plans.ts'
import { makeSpreading, type Spreading } from './spreading.ts'
import type { PriorShutdown } from '../types.ts'
import { readIfThere } from '@reprise/host/files'
import { digestOf, prepareFolder, readNeeded, type StatePaths, statePaths } from './state/folder.ts'
import { HOST_FILE } from './state/host-file.ts'
import { writeCleanMarker } from './tpm/boot-facts.ts'
import { ownBoot } from './tpm/own-boot.ts'
import { openOwnSide, type OwnSide } from './tpm/own-side.ts'
import type { WitnessParts } from './witness/failing.ts'
import { type Memory, openMemory } from './witness/memory.ts'
import { makeWitness } from './witness/witness.ts'

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
  /** For tests, which crash there. */
  readonly afterStep?: (step: GenerationStep) => void | Promise<void>
}

export interface Agent {
  readonly ground: Ground
  readonly life: Life
  /** Where other hosts reach it; undefined in mode `tpm-only`. */
  readonly address: string | undefined
  readonly stand: () => HostReport
  /** Calls back at each change, until the returned function is called. */
  readonly watch: (listener: () => void) => () => void
  /** What it is given becomes its own. */
  readonly provision: Provision
  /** To another host. */
  readonly deliver: Deliver
  /** @returns The version that counts now. */
  readonly takePlan: (signed: Uint8Array) => Promise<number>
  readonly hear: (signed: Uint8Array) => Promise<void>
  /** Ends in an orderly way: marker, TPM. */
  readonly stop: () => Promise<void>
  /** Lets go of everything as it is, as a crash would. */
  readonly abandon: () => Promise<void>
}

export const AGENT_TIMES: AgentTimes = { heartbeatMs: HEARTBEAT_MS, observeMs: 1000, answerMs: 20_000 }
const ALARMS_MAX = 20

/**
 * Starts the agent of a host that has a plan. The caller holds the lock of the folder.
 *
 * @throws RecoveryError `STATE`, `PIN`, `NOT_NOW` without a plan, `CHANNEL` when the address cannot be had, `AUDIT`.
 */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const { nowMs = Date.now, files = systemFiles, report } = options
  const paths = statePaths(options.state)
  await prepareFolder(paths)
  const hostFile = await readNeeded(
    paths.host,
    HOST_FILE,
    'Provision the host: reprise recovery provision --offer FILE',
  )
  const { host } = hostFile
  const plans = await openPlans(paths, host)
  const owner = await openOwnerMemory(paths.owner)
  await using undo = new AsyncDisposableStack()
  const side = undo.use(await openOwnSide(paths, hostFile, { files, heartbeat: owner.now.heartbeat }))
  const { prior, markerRefused } = side.facts
  if (markerRefused !== undefined) report('clean marker refused', { why: markerRefused })
  const log = undo.use(await openAuditLog(paths.audit, { fleet: plans.fleet.plan.fleet, host }, { nowMs }))
  const events = makeEvents()
  const late: Late = {}
  const ground = groundOf({ ...options, nowMs }, { paths, side, plans, log, events, late })
  await noteBoot(ground, side)
  const spreading = makeSpreading(ground, plans)
  late.saw = spreading.saw
  const memory = await openWitness(ground, side)
  const witnessParts: WitnessParts = {
    ...{ ground, memory, onPlanVersion: spreading.saw },
    onOldPlan: (peer) => spreading.saw(peer, 0),
  }
  const witness = makeWitness(witnessParts)
  await witness.adopt(plans.fleet)
  await countApprovals(ground)
  const keeper = keeperOf(ground, options.afterStep)
  await checkGenerations(ground, keeper)
  const roots = undo.use(await openOwnRoots(ground))
  const services = makeServices(ground, options.image, events.changed)
  const life = makeLife({
    ...{ ground, keeper, roots, memory: owner, spreading, prior, inTurn: inOrder() },
    ...{ auditPlace: () => log.place, onChange: events.changed },
    onReleased: (generation, root) => {
      // A witness confirms an image of a host whose cap register it saw extended.
      ground.network.renew()
      services.begin(generation, root, roots.judgement)
    },
  })
  const stand = standing({ ground, life, services, memory, log, events, prior, roots })
  const news = makeNews({
    ...{ ground, plans, witness, onChange: events.changed },
    onPlan: async () => {
      await countApprovals(ground)
      life.planned()
    },
  })
  const provision = makeProvision(ground, life)
  const answer = makeAnswerer({
    ...{
      taking: makeTaking({ witnessParts, life, provision }),
      witness,
      witnessParts,
      news,
      spreading,
      stand,
      auditHead: () => log.place.head,
    },
    planVersion: () => plans.fleet.plan.roster.version,
  })
  const { hostTpm, fleet } = ground
  const peers = undo.use(await openPeers({ hostTpm, fleet, listen: options.listen, answer, report }))
  late.peers = peers
  report('listening', { address: peers.address ?? null, host })
  const ends = endings({ ground, side, life, services, peers, roots, log }, undo.move())
  await life.begin()
  return {
    ...{ ground, life, provision, address: peers.address, stand, watch: events.watch, ...ends },
    deliver: (delivery) => deliver(witnessParts, delivery),
    takePlan: (signed) => news.takePlan(signed, null),
    hear: (signed) => news.hear(signed, null),
  }
}

interface Events {
  readonly alarms: Alarm[]
  readonly changed: () => void
  readonly watch: Agent['watch']
}

function makeEvents(): Events {
  const listeners = new Set<() => void>()
  return {
    alarms: [],
    changed: () => {
      for (const listener of listeners) listener()
    },
    watch: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

interface GroundParts {
  readonly paths: StatePaths
  readonly side: OwnSide
  readonly plans: Plans
  readonly log: AuditLog
  readonly events: Events
  readonly late: Readonly<Late>
}

/** What stands on the ground, and what the ground needs of it once it is there. */
interface Late {
  peers?: Peers
  saw?: Spreading['saw']
}

function groundOf(
  { report, times, nowMs }: AgentOptions & { readonly nowMs: () => number },
  { paths, side, plans, log, events, late }: GroundParts,
): Ground {
  const { pinned, hostTpm } = side
  return {
    ...{ host: hostTpm.host, paths, pinned, hostTpm, report, nowMs },
    times: { ...AGENT_TIMES, ...times },
    network: {
      reach: async (to) => {
        if (late.peers === undefined) return { kind: 'unreachable', why: 'this agent starts' }
        const opened = await late.peers.network.reach(to)
        if (opened.kind === 'attested') late.saw?.(to, opened.channel.peer.planVersion)
        return opened
      },
      renew: () => late.peers?.network.renew(),
    },
    fleet: () => plans.fleet,
    random: (lengthBytes) => new Uint8Array(randomBytes(lengthBytes)),
    audit: (event) => log.append(event),
    alarm: (text) => {
      events.alarms.unshift({ wallMs: nowMs(), text })
      events.alarms.splice(ALARMS_MAX)
      report('alarm', { text })
      log.append({ kind: 'alarm', text }).catch(() => undefined)
      events.changed()
    },
  }
}

/** Before anything else of this boot. */
async function noteBoot(ground: Ground, { facts }: OwnSide): Promise<void> {
  const boot = (await ownBoot(ground)) ?? null
  const bootId = facts.bootId === '' ? null : facts.bootId
  await ground.audit({ kind: 'boot', bootId, boot, planVersion: ground.fleet().plan.roster.version })
}

function openWitness({ paths, fleet, host, nowMs }: Ground, { facts }: OwnSide): Promise<Memory> {
  return openMemory({
    path: paths.witness,
    rosterVersion: fleet().plan.roster.version,
    now: facts.now,
    lastShutdown: wasClean(facts.prior) ? 'clean' : 'abnormal',
    context: () => {
      const { own, plan, view } = fleet()
      return { id: host, domain: own.domain, policy: plan.policy, view }
    },
    wallMs: nowMs,
  })
}

/** Approvals below what the plan says are taken back: spec/operators.md §2.3. */
async function countApprovals({ pinned, fleet, host }: Ground): Promise<void> {
  const wanted = BigInt(fleet().hostNamed(host)?.approvals ?? 0)
  const counter = await openCounter(pinned, 'approvals')
  for (let value = await readCounter(pinned, counter); value < wanted; value++) await count(pinned, counter)
}

function keeperOf({ pinned, random, paths }: Ground, afterStep: AgentOptions['afterStep']): Keeper {
  return { pinned, random, ...generationFile(paths.generations), ...(afterStep && { afterStep }) }
}

/** Before anything is done by it: which file it is that is damaged. */
async function checkGenerations({ paths }: Ground, keeper: Keeper): Promise<void> {
  try {
    await readGenerations(keeper)
  } catch (cause) {
    const { message, hint } = cause as RecoveryError
    const content = (await readIfThere(paths.generations)) ?? new Uint8Array()
    throw new RecoveryError('STATE', {
      message: `${paths.generations} (SHA-256 ${digestOf(content)}): ${message}`,
      ...(hint !== undefined && { hint }),
      data: { path: paths.generations },
      cause,
    })
  }
}

function openOwnRoots({ pinned, paths, fleet }: Ground): Promise<Roots> {
  const cap = (): ReturnType<typeof registerValue> => registerValue(fleet().plan.cap)
  const bootPcrs = (): readonly number[] => registersOf(fleet().seen).filter((pcr) => pcr !== cap().pcr)
  return openRoots({ pinned, path: paths.thisBoot, bootPcrs, cap })
}

interface Parts {
  readonly ground: Ground
  readonly life: Life
  readonly services: Services
  readonly log: AuditLog
}

function standing({
  ground,
  life,
  services,
  log,
  memory,
  events,
  prior,
  roots,
}: Parts & {
  readonly memory: Memory
  readonly events: Events
  readonly prior: PriorShutdown
  readonly roots: Roots
}): () => HostReport {
  const startedMs = performance.now()
  return () => {
    const { phase, asking, lastBeat, epoch } = life
    const { now, isLoading, failure } = services
    return hostReport({
      ...{ fleet: ground.fleet(), phase, asking: asking?.state, lastBeat, epoch, audit: log.place },
      ...{ prior, judgement: roots.judgement },
      ...{ alarms: events.alarms, wards: memory.wards.size, services: now, isLoading, failure },
      uptimeMs: Math.round(performance.now() - startedMs),
    })
  }
}

function endings(
  {
    ground,
    side,
    life,
    services,
    peers,
    roots,
    log,
  }: Parts & { readonly side: OwnSide; readonly peers: Peers; readonly roots: Roots },
  all: AsyncDisposableStack,
): Pick<Agent, 'stop' | 'abandon'> {
  return {
    async stop() {
      await life.stop()
      await services.stop()
      await peers[Symbol.asyncDispose]()
      await writeCleanMarker(side.boot)
      await ground.audit({ kind: 'shutdown', isClean: true })
      roots[Symbol.dispose]()
      await log[Symbol.asyncDispose]()
      await side.own.shutDown()
    },
    async abandon() {
      await life.stop().catch(() => undefined)
      await services.stop().catch(() => undefined)
      await all.disposeAsync().catch(() => undefined)
    },
  }
}
