/** The life of a host between its boot and its end: asks, is released, gives heartbeats, rotates. Rules: spec/agent.md §7, §8. */

import type { AuditPlace } from '../../audit/index.ts'
import { RecoveryError } from '../../error.ts'
import { contentKey, type Generation, readGenerations } from '../../sealing/generations.ts'
import type { Secret } from '../../sealing/secret.ts'
import type { Rule } from '../../sealing/storage.ts'
import type { PriorShutdown } from '../../types.ts'
import { generationBasis } from '../fleet-view.ts'
import { messageOf } from '../ground.ts'
import type { Spreading } from '../spreading.ts'
import { makeBreakGlass } from './break-glass.ts'
import { type Asking, type Gathered, startAsking } from './asking.ts'
import type { ContentKeys } from './drawing.ts'
import { type Beat, beat } from './heartbeats.ts'
import { capState, openByShares, type Opening, type OwnParts } from './opening.ts'
import type { OwnerMemory } from './owner-memory.ts'
import { split, type SplitOptions } from './splitting.ts'

export type Phase =
  /** No generation yet. */
  | { readonly kind: 'unprovisioned' }
  | { readonly kind: 'asking' }
  /** By the own TPM; `cap`: in this boot the secret was out already. */
  | { readonly kind: 'refused'; readonly rule: Rule }
  | { readonly kind: 'released'; readonly by: 'shares' | 'operators' | 'tpm' | 'this-boot' | 'provisioning' }
  | { readonly kind: 'broken'; readonly why: string }

export interface Life {
  readonly phase: Phase
  readonly asking: Asking | undefined
  readonly lastBeat: Beat | undefined
  readonly isSplitting: boolean
  /** Of the current generation; 0 without one. */
  readonly epoch: number
  readonly begin: () => Promise<void>
  readonly provision: (first: ContentKeys, onMissing: SplitOptions['onMissing']) => Promise<number>
  readonly rotate: (onMissing: SplitOptions['onMissing']) => Promise<number>
  /** Uses a content key of the current generation. @throws RecoveryError `NOT_NOW` when the host is not released. */
  readonly withKey: (version: number, use: (key: Secret) => Promise<void>) => Promise<void>
  /** Begins to wait for operators. @returns The file that they sign. */
  readonly askOperators: (expirationS: number) => Promise<Uint8Array>
  /** @param statements - Files of operators that answer the newest request. @returns The epoch that was opened. */
  readonly useOperators: (statements: readonly Uint8Array[]) => Promise<number>
  /** A newer plan was taken. */
  readonly planned: () => void
  readonly stop: () => Promise<void>
}

export interface LifeParts extends OwnParts {
  readonly memory: OwnerMemory
  readonly prior: PriorShutdown
  readonly spreading: Spreading
  readonly auditPlace: () => AuditPlace
  readonly onChange: () => void
  /** The root is there: the services may start. It is the life's to wipe. */
  readonly onReleased: (generation: Generation, root: Secret) => void
}

/** A heartbeat that too few witnesses signed is tried again after so long, or an interval, if that is shorter. */
const RETRY_MS = 30_000
/** A witness that keeps no share makes for a rotation at most every so many heartbeats: lease indices wear. */
const LAGGING_BEATS = 6

export function makeLife(parts: LifeParts): Life {
  const { ground, keeper, roots, memory, spreading, onChange, onReleased } = parts
  const ended = new AbortController()
  let phase: Phase = { kind: 'unprovisioned' }
  let asking: Asking | undefined
  let lastBeat: Beat | undefined
  let beats = 0
  let epoch = 0
  let laggedAt = -LAGGING_BEATS
  let timer: NodeJS.Timeout | undefined
  let splitting: { readonly controller: AbortController; readonly done: Promise<number> } | undefined
  let beating: Promise<unknown> = Promise.resolve()

  function enter(next: Phase): void {
    phase = next
    ground.report(
      next.kind,
      next.kind === 'released' ? { by: next.by } : next.kind === 'refused' ? { rule: next.rule } : {},
    )
    onChange()
  }

  async function begin(): Promise<void> {
    const generations = await readGenerations(keeper)
    const { current } = generations
    epoch = current?.half.epoch ?? 0
    if (current === undefined) return enter({ kind: 'unprovisioned' })
    if (roots.of(current.half.epoch) !== undefined) return await enliven('this-boot', current, false)
    if ((await capState(ground)) !== 'untouched') return refused('cap')
    if (current.mode === 'tpm-only')
      return await opened(await openByShares(parts, { epoch: current.half.epoch, shares: [] }), 'tpm')
    enter({ kind: 'asking' })
    const { prior } = parts
    const onPlanVersion = spreading.saw
    asking = startAsking({
      ground,
      prior,
      generations,
      onChange,
      onPlanVersion,
      onGathered: (all) => void gathered(all),
    })
  }

  function refused(rule: Rule): void {
    ground.alarm(`the own TPM does not open the secret: ${rule}`)
    enter({ kind: 'refused', rule })
  }

  async function gathered({ epoch: gatheredEpoch, attempt, verdict, shares, logged }: Gathered): Promise<void> {
    try {
      await ground.audit({ kind: 'release', epoch: gatheredEpoch, attempt, verdict: verdict.action, shares: logged })
      await opened(await openByShares(parts, { epoch: gatheredEpoch, shares }), 'shares')
    } catch (error) {
      ground.report('failed', { what: 'release', why: messageOf(error) })
      if (error instanceof RecoveryError && error.code === 'SHARES') return asking?.again()
      enter({ kind: 'broken', why: messageOf(error) })
    }
  }

  async function opened(opening: Opening, by: 'shares' | 'operators' | 'tpm'): Promise<void> {
    asking?.stop()
    if (opening.kind === 'refused') return refused(opening.rule)
    const { current } = await readGenerations(keeper)
    epoch = current?.half.epoch ?? 0
    if (current !== undefined) await enliven(by, current, true)
  }

  /** @param isNew - It came by release: its halves were out, so they are drawn anew. */
  async function enliven(by: (Phase & { kind: 'released' })['by'], current: Generation, isNew: boolean): Promise<void> {
    enter({ kind: 'released', by })
    const root = roots.of(current.half.epoch)
    if (root !== undefined) onReleased(current, root)
    const { previous } = await readGenerations(keeper)
    heartbeat(isNew || previous !== undefined)
  }

  /** Gives a heartbeat now and then at every interval. @param isRotating - The first is followed by a rotation. */
  function heartbeat(isRotating: boolean): void {
    clearTimeout(timer)
    if (ended.signal.aborted) return
    beating = pulse(isRotating).catch((error: unknown) =>
      ground.report('failed', { what: 'heartbeat', why: messageOf(error) }),
    )
    void beating.then(() => {
      const { heartbeatMs } = ground.times
      const waitMs =
        lastBeat?.isEnough === true
          ? heartbeatMs * (0.95 + 0.1 * (ground.random(1)[0] / 255))
          : Math.min(RETRY_MS, heartbeatMs)
      clearTimeout(timer)
      if (!ended.signal.aborted) timer = setTimeout(() => heartbeat(false), waitMs)
    })
  }

  async function pulse(isRotating: boolean): Promise<void> {
    lastBeat = await beat(parts, memory, parts.auditPlace)
    beats += 1
    onChange()
    for (const witness of lastBeat.signed) await spreading.tell(witness)
    const isLagging = lastBeat.lagging.length > 0 && beats - laggedAt >= LAGGING_BEATS
    if (isLagging) laggedAt = beats
    const isOld = memory.now.basis !== null && memory.now.basis !== generationBasis(ground.fleet())
    if (isRotating || isLagging || isOld) void rotate(undefined).catch(() => undefined)
  }

  function splitNow(options: Omit<SplitOptions, 'signal'>): Promise<number> {
    if (splitting !== undefined) return splitting.done
    const controller = new AbortController()
    const signal = AbortSignal.any([controller.signal, ended.signal])
    const done = splitUntil({ ...options, signal })
    splitting = { controller, done }
    return done
  }

  async function splitUntil(options: SplitOptions): Promise<number> {
    try {
      epoch = await split(parts, memory, options)
      return epoch
    } finally {
      splitting = undefined
      onChange()
    }
  }

  async function rotate(onMissing: SplitOptions['onMissing']): Promise<number> {
    if (phase.kind !== 'released')
      throw new RecoveryError('NOT_NOW', {
        message: `${ground.host} is not released: only then are halves drawn anew.`,
      })
    try {
      return await splitNow(onMissing === undefined ? {} : { onMissing })
    } catch (error) {
      if (!ended.signal.aborted) ground.report('failed', { what: 'rotation', why: messageOf(error) })
      throw error
    }
  }

  const operators = makeBreakGlass({
    ...parts,
    isWaiting: () => phase.kind !== 'released' && phase.kind !== 'unprovisioned',
    onOpened: (opening) => opened(opening, 'operators'),
  })

  return {
    get phase() {
      return phase
    },
    get asking() {
      return asking
    },
    get lastBeat() {
      return lastBeat
    },
    get epoch() {
      return epoch
    },
    get isSplitting() {
      return splitting !== undefined
    },
    begin,
    async provision(first, onMissing) {
      if (phase.kind !== 'unprovisioned')
        throw new RecoveryError('NOT_NOW', { message: `${ground.host} is provisioned already.` })
      await splitNow(onMissing === undefined ? { first } : { first, onMissing })
      const { current } = await readGenerations(keeper)
      if (current !== undefined) await enliven('provisioning', current, false)
      return epoch
    },
    rotate,
    async withKey(version, use) {
      const { current } = await readGenerations(keeper)
      const root = current && roots.of(current.half.epoch)
      if (current === undefined || root === undefined)
        throw new RecoveryError('NOT_NOW', { message: `${ground.host} is not released.` })
      using key = contentKey(current, root, version)
      await use(key)
    },
    ...operators,
    planned: () => {
      asking?.again()
      if (splitting !== undefined) {
        splitting.controller.abort(new Error('a newer plan came'))
        void splitting.done.catch(() => undefined).then(() => heartbeat(true))
      } else if (phase.kind === 'released') heartbeat(false)
    },
    async stop() {
      ended.abort(new Error('the agent ends'))
      await operators.abandon()
      clearTimeout(timer)
      asking?.stop()
      await splitting?.done.catch(() => undefined)
      await beating
    },
  }
}
