/** The life of a host between its boot and its end: asks, is released, gives heartbeats, rotates. Rules: spec/agent.md §7, §8. */

import { equal } from '@reprise/core'
import { RecoveryError } from '../../error.ts'
import { contentKey, type Generation, readGenerations } from '../../sealing/generations.ts'
import type { Secret } from '../../sealing/secret.ts'
import type { Rule } from '../../sealing/storage.ts'
import type { PriorShutdown } from '../../types.ts'
import { messageOf } from '../ground.ts'
import { RETRY_MS, RETRY_MS_MAX } from '../../protocol/asking.ts'
import { type Asking, type Gathered, startAsking } from './asking.ts'
import { type BreakGlass, makeBreakGlass } from './break-glass.ts'
import type { ContentKeys } from './drawing.ts'
import type { Beat } from './heartbeats.ts'
import { capOnce, capState, openByShares, type Opening } from './opening.ts'
import { makePulse, type PulseParts } from './pulse.ts'
import { makeRotations, type Rotations } from './rotations.ts'
import type { SplitOptions } from './splitting.ts'

export type ReleasedBy = 'shares' | 'operators' | 'tpm' | 'this-boot' | 'provisioning'

export type Phase =
  /** No generation yet. */
  | { readonly kind: 'unprovisioned' }
  | { readonly kind: 'asking' }
  /** By the own TPM; `cap`: in this boot the secret was out already. */
  | { readonly kind: 'refused'; readonly rule: Rule }
  | { readonly kind: 'released'; readonly by: ReleasedBy }
  | { readonly kind: 'broken'; readonly why: string }

export interface Life extends BreakGlass {
  readonly phase: Phase
  readonly asking: Asking | undefined
  readonly lastBeat: Beat | undefined
  /** Of the current generation; 0 without one. */
  readonly epoch: number
  readonly begin: () => Promise<void>
  readonly provision: (first: ContentKeys, onMissing: SplitOptions['onMissing']) => Promise<number>
  readonly rotate: (onMissing: SplitOptions['onMissing']) => Promise<number>
  /** Keys of images that a released host shall open too; a rotation, when one of them is new. */
  readonly addKeys: (keys: ContentKeys, onMissing: SplitOptions['onMissing']) => Promise<void>
  /** Uses a content key of the current generation. @throws RecoveryError `NOT_NOW` when the host is not released. */
  readonly withKey: (version: number, use: (key: Secret) => Promise<void>) => Promise<void>
  /** A newer plan was taken. */
  readonly planned: () => void
  readonly stop: () => Promise<void>
}

export interface LifeParts extends Omit<PulseParts, 'rotate'> {
  readonly prior: PriorShutdown
  /** The root is there: the services may start. It is the life's to wipe. */
  readonly onReleased: (generation: Generation, root: Secret) => void
}

/** What changes in a life. */
interface Living {
  phase: Phase
  asking: Asking | undefined
  epoch: number
  /** Of a host that is broken: when it begins again. */
  timer: NodeJS.Timeout | undefined
  retryMs: number
}

export function makeLife(parts: LifeParts): Life {
  const { ground, memory } = parts
  const living: Living = {
    ...{ phase: { kind: 'unprovisioned' }, asking: undefined, epoch: 0 },
    ...{ timer: undefined, retryMs: RETRY_MS },
  }
  const rotations = makeRotations(parts, memory)
  const rotate = rotating(parts, living, rotations)
  const pulse = makePulse({ ...parts, rotate: () => void rotate(undefined).catch(() => undefined) })
  const opened = opening(parts, living, pulse.go)
  const operators = makeBreakGlass({
    ...parts,
    isWaiting: () => living.phase.kind !== 'released' && living.phase.kind !== 'unprovisioned',
    onOpened: (how) => opened(how, 'operators'),
  })
  return {
    get phase() {
      return living.phase
    },
    get asking() {
      return living.asking
    },
    get lastBeat() {
      return pulse.last
    },
    get epoch() {
      return living.epoch
    },
    begin: () => begin(parts, living, opened),
    async provision(first, onMissing) {
      if (living.phase.kind !== 'unprovisioned')
        throw new RecoveryError('NOT_NOW', { message: `${ground.host} is provisioned already.` })
      const epoch = await rotations.run(onMissing === undefined ? { first } : { first, onMissing })
      await opened({ kind: 'released', epoch }, 'provisioning')
      return epoch
    },
    rotate: (onMissing) => rotate(onMissing),
    async addKeys(keys, onMissing) {
      const { current, root } = await released(parts)
      const isKnown = ({ version, key }: ContentKeys[number]): boolean => {
        if (!current.keys.some((each) => each.version === version)) return false
        using known = contentKey(current, root, version)
        return equal(known.bytes, key.bytes)
      }
      const news = keys.filter((key) => !isKnown(key))
      if (news.length > 0) await rotate(onMissing, news)
    },
    async withKey(version, use) {
      const { current, root } = await released(parts)
      using key = contentKey(current, root, version)
      await use(key)
    },
    askOperators: operators.askOperators,
    useOperators: operators.useOperators,
    abandon: operators.abandon,
    planned: () => {
      living.asking?.again()
      void rotations.interrupt('a newer plan came').then((wasBusy) => {
        if (living.phase.kind === 'released') pulse.go(wasBusy)
      })
    },
    async stop() {
      clearTimeout(living.timer)
      living.asking?.stop()
      await operators.abandon()
      await rotations.interrupt('the agent ends')
      await pulse.stop()
    },
  }
}

/** @throws RecoveryError `NOT_NOW`. */
async function released({ ground, keeper, roots }: LifeParts): Promise<{ current: Generation; root: Secret }> {
  const { current } = await readGenerations(keeper)
  const root = current && roots.of(current.half.epoch)
  if (current !== undefined && root !== undefined) return { current, root }
  throw new RecoveryError('NOT_NOW', { message: `${ground.host} is not released.` })
}

function enter({ ground, onChange }: LifeParts, living: Living, phase: Phase): void {
  living.phase = phase
  const data = phase.kind === 'released' ? { by: phase.by } : phase.kind === 'refused' ? { rule: phase.rule } : {}
  ground.report(phase.kind, data)
  onChange()
}

function refused(parts: LifeParts, living: Living, rule: Rule): void {
  parts.ground.alarm(`the own TPM does not open the secret: ${rule}`)
  enter(parts, living, { kind: 'refused', rule })
}

type Opened = (how: Opening, by: ReleasedBy) => Promise<void>

/** What follows when the root is there, or the own TPM does not give it. */
function opening(parts: LifeParts, living: Living, beatNow: (isRotating: boolean) => void): Opened {
  const { keeper, roots, onReleased } = parts
  return async (how, by) => {
    clearTimeout(living.timer)
    if (how.kind === 'refused') return refused(parts, living, how.rule)
    living.asking?.stop()
    living.asking = undefined
    const { current, previous } = await readGenerations(keeper)
    living.epoch = current?.half.epoch ?? 0
    enter(parts, living, { kind: 'released', by })
    const root = roots.of(living.epoch)
    if (current !== undefined && root !== undefined) onReleased(current, root)
    // Halves that were out are drawn anew, and what a crash left is carried to its end.
    beatNow((by !== 'this-boot' && by !== 'provisioning') || previous !== undefined)
  }
}

async function begin(parts: LifeParts, living: Living, opened: Opened): Promise<void> {
  const { ground, keeper, roots, prior, spreading, onChange } = parts
  const generations = await readGenerations(keeper)
  const { current } = generations
  living.epoch = current?.half.epoch ?? 0
  if (current === undefined) return enter(parts, living, { kind: 'unprovisioned' })
  const { epoch } = current.half
  if (roots.of(epoch) !== undefined) {
    // It is, unless what came after the root broke off.
    await capOnce(ground)
    return await opened({ kind: 'released', epoch }, 'this-boot')
  }
  if ((await capState(ground)) !== 'untouched') return refused(parts, living, 'cap')
  if (current.mode === 'tpm-only') return await opened(await openByShares(parts, { epoch, shares: [] }), 'tpm')
  enter(parts, living, { kind: 'asking' })
  const onGathered = (all: Gathered): void => void gathered(parts, living, all, opened)
  const onPlanVersion = spreading.saw
  living.asking = startAsking({ ground, prior, generations, onChange, onPlanVersion, onGathered })
}

async function gathered(parts: LifeParts, living: Living, all: Gathered, opened: Opened): Promise<void> {
  const { epoch, attempt, verdict, shares, logged } = all
  try {
    await parts.ground.audit({ kind: 'release', epoch, attempt, verdict: verdict.action, shares: logged })
    await opened(await openByShares(parts, { epoch, shares }), 'shares')
  } catch (error) {
    parts.ground.report('failed', { what: 'release', why: messageOf(error) })
    if (error instanceof RecoveryError && error.code === 'SHARES') return living.asking?.again()
    fail(parts, living, error, opened)
  }
}

/** A disk that is full, or a TPM that does not answer, may be whole again: it begins anew by itself. */
function fail(parts: LifeParts, living: Living, error: unknown, opened: Opened): void {
  living.asking?.stop()
  const why = messageOf(error)
  if (living.retryMs === RETRY_MS) parts.ground.alarm(`the release broke off and is tried again: ${why}`)
  enter(parts, living, { kind: 'broken', why })
  living.timer = setTimeout(() => {
    begin(parts, living, opened).catch((again: unknown) => fail(parts, living, again, opened))
  }, living.retryMs)
  living.retryMs = Math.min(2 * living.retryMs, RETRY_MS_MAX)
}

function rotating(
  parts: LifeParts,
  living: Living,
  rotations: Rotations,
): (onMissing: SplitOptions['onMissing'], added?: ContentKeys) => Promise<number> {
  const { ground, onChange } = parts
  return async (onMissing, added) => {
    if (living.phase.kind !== 'released')
      throw new RecoveryError('NOT_NOW', {
        message: `${ground.host} is not released: only then are halves drawn anew.`,
      })
    try {
      living.epoch = await rotations.run({ ...(onMissing && { onMissing }), ...(added && { first: added }) })
      return living.epoch
    } catch (error) {
      ground.report('failed', { what: 'rotation', why: messageOf(error) })
      throw error
    } finally {
      onChange()
    }
  }
}
