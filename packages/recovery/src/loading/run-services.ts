/** Services in the order of their dependencies, side by side where that allows it. Rules: spec/loading.md §3 and §4. */

import type { ServiceStatus } from '../channel/messages.ts'
import type { Service } from '../types.ts'
import type { Namespaces } from './holder.ts'
import { type Ending, endingText, launch, type Launched } from './launch.ts'
import { checkOrder, dependents } from './order.ts'
import type { Program } from './programs.ts'
import { awaitReadiness, type Notices, openNotices } from './readiness.ts'
import type { LoadRequest } from './types.ts'

export interface RunRequest extends Pick<
  LoadRequest,
  'services' | 'credentialsOf' | 'onStatus' | 'onOutput' | 'signal'
> {
  readonly programs: readonly Program[]
  readonly namespaces: Namespaces
  /** Folders for sockets and credentials, as the namespaces see them; the latter is in memory. */
  readonly notifyFolder: string
  readonly credentialsFolder: string
}

export interface RunningServices {
  /** The first that did not come up, and why, with what it said last; undefined: all are ready. */
  readonly failed: { readonly service: string; readonly why: string } | undefined
  /** Stops all, those first that come after others. */
  readonly stop: () => Promise<void>
}

const LAST_LINES = 8
/** A service that runs once has as long as this. */
const ONCE_WITHIN_MS = 3_600_000

interface Running {
  readonly launched: Launched
  readonly program: Program
}

/** What the services of one image share. */
interface House {
  readonly run: RunRequest
  readonly notices: Notices
  readonly running: Map<string, Running>
  /** Those that are up. */
  readonly up: Set<string>
  readonly say: (name: string, state: ServiceStatus['state']) => void
  isStopping: boolean
}

/**
 * Starts services; each one as soon as all that it comes after are ready. One that fails keeps back those after it and no
 * others. Settled when all are ready, or none is left that could become so.
 *
 * @throws RecoveryError `SERVICES` when they have no order, `LOADING` when the holder fails; the signal's reason.
 */
export async function runServices(run: RunRequest): Promise<RunningServices> {
  checkOrder(run.services)
  run.signal.throwIfAborted()
  const notifying = run.services.filter(({ ready }) => ready.kind === 'notify').map(({ name }) => name)
  const notices = await openNotices(notifying, { namespaces: run.namespaces, folder: run.notifyFolder })
  const up = new Set<string>()
  const say: House['say'] = (name, state) => {
    if (state === 'ready') up.add(name)
    else up.delete(name)
    run.onStatus({ name, state, sinceWallMs: Date.now() })
  }
  const house: House = { run, notices, running: new Map(), up, say, isStopping: false }
  const stop = once(() => stopAll(house))
  let failed: RunningServices['failed']
  try {
    for (const { name } of run.services) say(name, 'waiting')
    await inOrder(run.services, async (service) => {
      const why = await bringUp(house, service)
      if (why !== undefined) failed ??= { service: service.name, why }
      return why === undefined
    })
    run.signal.throwIfAborted()
  } catch (error) {
    await stop()
    throw error
  }
  return { failed, stop }
}

/** Each service when all before it are up; a service that is not up keeps back those after it. */
async function inOrder(services: readonly Service[], start: (service: Service) => Promise<boolean>): Promise<void> {
  const byName = new Map(services.map((service) => [service.name, service]))
  const started = new Map<string, Promise<boolean>>()
  const isUp = (service: Service): Promise<boolean> => {
    const known = started.get(service.name)
    if (known !== undefined) return known
    const before = service.after.flatMap((name) => byName.get(name) ?? [])
    const up = Promise.all(before.map(isUp)).then((all) => !all.includes(false) && start(service))
    started.set(service.name, up)
    return up
  }
  const all = await Promise.allSettled(services.map(isUp))
  const broken = all.find((one) => one.status === 'rejected')
  if (broken !== undefined) throw broken.reason
}

/** @returns Why it did not come up. */
async function bringUp(house: House, service: Service): Promise<string | undefined> {
  const { run, say } = house
  if (run.signal.aborted) return 'loading was ended'
  const program = run.programs.find(({ name }) => name === service.name)
  const fail = (why: string): string => {
    say(service.name, run.signal.aborted ? 'stopped' : 'failed')
    return why
  }
  if (program === undefined) {
    return fail(`${service.name} is not in the image, which has ${run.programs.map(({ name }) => name).join(', ')}`)
  }
  say(service.name, 'starting')
  const awaited = await awaitReadiness(service, { namespaces: run.namespaces, notices: house.notices })
  if (typeof awaited === 'string') return fail(`${service.name} was not started: ${awaited}`)
  const last: string[] = []
  const launched = launch(launchRequest(house, { service, program, last }))
  house.running.set(service.name, { launched, program })
  try {
    const outcome = await firstOf(launched, program.once ? undefined : awaited.ready, {
      withinMs: program.once ? ONCE_WITHIN_MS : 'withinMs' in service.ready ? service.ready.withinMs : undefined,
      signal: run.signal,
    })
    if (outcome === 'ready' || (program.once && isDone(outcome))) {
      say(service.name, 'ready')
      if (!program.once) void watch(house, service.name, launched)
      return undefined
    }
    const why = typeof outcome === 'object' ? `${endingText(outcome)} before it was ready` : outcome
    const late = outcome === 'late' ? `was not ready in time: ${program.once ? 'it runs' : awaited.missing()}` : why
    if (typeof outcome === 'string') await bringDown(launched, program)
    return fail(`${service.name} ${late}${lastWords(last)}`)
  } finally {
    awaited.close()
  }
}

function launchRequest(
  { run, notices }: House,
  { service, program, last }: { readonly service: Service; readonly program: Program; readonly last: string[] },
): Parameters<typeof launch>[0] {
  const credentialsFolder = service.credentials.length === 0 ? undefined : `${run.credentialsFolder}/${service.name}`
  return {
    namespaces: run.namespaces,
    program,
    environment: {
      ...(service.ready.kind === 'notify' && { NOTIFY_SOCKET: notices.socketOf(service.name) }),
      ...(credentialsFolder !== undefined && { CREDENTIALS_DIRECTORY: credentialsFolder }),
    },
    credentialsFolder,
    credentials: credentialsFolder === undefined ? new Map() : run.credentialsOf(service.name),
    onLine: (line) => {
      last.push(line)
      if (last.length > LAST_LINES) last.shift()
      run.onOutput?.(service.name, line)
    },
  }
}

function isDone(outcome: Ending | string): boolean {
  return typeof outcome === 'object' && outcome.kind === 'exited' && outcome.code === 0
}

/** What comes first: it is ready, it ends, time is up, or loading is ended. */
async function firstOf(
  launched: Launched,
  ready: Promise<void> | undefined,
  { withinMs, signal }: { readonly withinMs: number | undefined; readonly signal: AbortSignal },
): Promise<'ready' | 'late' | 'ended' | Ending> {
  const { promise, resolve } = Promise.withResolvers<'ready' | 'late' | 'ended' | Ending>()
  const timer = withinMs === undefined ? undefined : setTimeout(() => resolve('late'), withinMs)
  const onAbort = (): void => resolve('ended')
  signal.addEventListener('abort', onAbort)
  void launched.ended.then(resolve)
  // A file or port is nothing of a service that does not run.
  void launched.started.then(async (runs) => {
    if (!runs || ready === undefined) return
    await ready
    resolve('ready')
  })
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
}

function lastWords(last: readonly string[]): string {
  return last.length === 0 ? '' : `; it said last:\n  ${last.join('\n  ')}`
}

/** A service that was ready and ends by itself has failed; it is not started again. */
async function watch(house: House, name: string, launched: Launched): Promise<void> {
  const ending = await launched.ended
  if (house.isStopping) return
  house.run.onOutput?.(name, endingText(ending))
  house.say(name, 'failed')
}

async function stopAll(house: House): Promise<void> {
  house.isStopping = true
  const after = dependents(house.run.services)
  const down = new Map<string, Promise<void>>()
  const isDown = (name: string): Promise<void> => {
    const known = down.get(name)
    if (known !== undefined) return known
    const stopped = (async () => {
      await Promise.all((after.get(name) ?? []).map(isDown))
      const running = house.running.get(name)
      if (running !== undefined) await bringDown(running.launched, running.program)
      if (house.up.has(name)) house.say(name, 'stopped')
    })()
    down.set(name, stopped)
    return stopped
  }
  await Promise.all(house.run.services.map(({ name }) => isDown(name)))
  await house.notices.close()
}

/** SIGTERM, then SIGKILL when its time is up. */
async function bringDown(launched: Launched, { stopWithinMs }: Program): Promise<void> {
  launched.terminate()
  const timer = setTimeout(launched.kill, stopWithinMs)
  await launched.ended
  clearTimeout(timer)
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => (made ??= make())
}
