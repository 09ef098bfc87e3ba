/**
 * A generation from its drawing to the retirement of the one before: provisioning and rotation alike. The machine decides;
 * this carries, and writes what must be durable before it carries. Rules: spec/agent.md §8, spec/recovery.md §8.
 */

import type { Answer, Message } from '../../channel/messages.ts'
import { type OwnerAction, type OwnerEvent, type OwnerState, stepOwner } from '../../protocol/epochs.ts'
import { commitGeneration, type Generations, readGenerations, retireGeneration } from '../../sealing/generations.ts'
import type { HostId } from '../../types.ts'
import { generationBasis } from '../fleet-view.ts'
import { inOrder, messageOf } from '../ground.ts'
import { sayTo } from '../network.ts'
import { type ContentKeys, drawGeneration, type Drawn } from './drawing.ts'
import type { OwnParts } from './opening.ts'
import type { OwnerMemory } from './owner-memory.ts'

export interface SplitOptions {
  /** Content keys of a first generation, or those that a later one has besides the keys of the one before. */
  readonly first?: ContentKeys
  readonly signal: AbortSignal
  /** Who has not acknowledged yet, at each change. */
  readonly onMissing?: (missing: readonly HostId[], step: 'prepared' | 'committed') => void
}

/** Asked again after so long, and longer each time. */
const RETRY_MS = 2000
const RETRY_MS_MAX = 30_000
/** How long a generation that was decided before a crash is told of, before the one before goes without. */
const FINISH_MS = 30_000

/**
 * Splits a new secret; one at a time. One that is decided already is first carried to its end.
 *
 * @returns Its epoch, once the generation before it is retired.
 */
export async function split(parts: OwnParts, memory: OwnerMemory, options: SplitOptions): Promise<number> {
  const { keeper, ground } = parts
  const known = await readGenerations(keeper)
  if (known.previous !== undefined) {
    const signal = AbortSignal.any([options.signal, AbortSignal.timeout(FINISH_MS)])
    await carryOut(parts, memory, { ...options, signal, known, drawn: undefined }).catch((error: unknown) => {
      if (options.signal.aborted) throw error
    })
    // Its shares are with enough witnesses since it was decided; those that were not told of it keep both.
    await parts.inTurn(() => retireGeneration(keeper))
  }
  const drawn = await drawGeneration(parts, memory, options.first ?? [])
  ground.report('prepared', { epoch: drawn.epoch })
  await ground.audit({ kind: 'rotation', epoch: drawn.epoch, step: 'prepared' })
  try {
    return await carryOut(parts, memory, { ...options, known: await readGenerations(keeper), drawn })
  } finally {
    for (const { bytes } of drawn.shares) bytes.fill(0)
  }
}

interface Carrying extends SplitOptions {
  readonly known: Generations
  /** Undefined: it was decided before this agent started, and its shares are with the witnesses alone. */
  readonly drawn: Drawn | undefined
}

/** Of a crash it needs no memory: what is durable is in the file of generations. */
function ownerState({ known, drawn }: Carrying): OwnerState {
  const { current, previous } = known
  const wraps = [current, previous].flatMap((each) => (each === undefined ? [] : [each.half.epoch]))
  const decided = current?.half.epoch ?? 0
  return {
    durable: { wraps, decided, tried: drawn === undefined ? decided : drawn.epoch - 1 },
    phase: { kind: 'idle' },
  }
}

async function carryOut(parts: OwnParts, memory: OwnerMemory, carrying: Carrying): Promise<number> {
  const { ground } = parts
  const { drawn, signal, onMissing } = carrying
  const fleet = ground.fleet()
  if (fleet.plan.mode === 'tpm-only') {
    await decide(parts, memory)
    return await retire(parts)
  }
  const context = { witnesses: fleet.witnesses, threshold: fleet.plan.policy.threshold }
  const take = inOrder()
  const done = Promise.withResolvers<number>()
  let state = ownerState(carrying)
  let isOver = false

  const feed = (event: OwnerEvent): void => {
    take(async () => {
      if (isOver || signal.aborted) return
      const { state: next, actions } = stepOwner(state, event, context)
      if (next.durable.decided > state.durable.decided) await decide(parts, memory)
      const isDone = state.phase.kind === 'committing' && next.phase.kind === 'idle'
      state = next
      for (const action of actions) carry(action)
      if (state.phase.kind !== 'idle') {
        const { kind, acknowledged } = state.phase
        const missing = context.witnesses.filter((witness) => !acknowledged.includes(witness))
        onMissing?.(missing, kind === 'preparing' ? 'prepared' : 'committed')
      }
      if (!isDone) return
      isOver = true
      done.resolve(await retire(parts))
    }).catch((error: unknown) => {
      // Whatever is answered afterwards decides nothing.
      isOver = true
      done.reject(error)
    })
  }
  const carry = ({ kind, to, epoch }: OwnerAction): void => {
    for (const witness of to)
      void hand({ parts, memory, drawn, to: witness, epoch, isCommit: kind === 'send-commit' }).then((answer) => {
        if (answer?.kind === 'prepared' || answer?.kind === 'committed')
          feed({ kind: answer.kind, from: witness, epoch: answer.epoch })
      })
  }
  const onAbort = (): void => done.reject(signal.reason)
  signal.addEventListener('abort', onAbort)
  let timer: NodeJS.Timeout | undefined
  const again = (afterMs: number): void => {
    timer = setTimeout(() => {
      feed({ kind: 'timer' })
      again(Math.min(1.5 * afterMs, RETRY_MS_MAX))
    }, afterMs)
  }
  again(RETRY_MS)
  try {
    signal.throwIfAborted()
    feed({ kind: drawn === undefined ? 'restarted' : 'begin' })
    return await done.promise
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
}

async function decide({ ground, keeper, inTurn }: OwnParts, memory: OwnerMemory): Promise<void> {
  await inTurn(() => commitGeneration(keeper))
  await memory.change(() => ({ basis: generationBasis(ground.fleet()) }))
  const { current } = await readGenerations(keeper)
  const epoch = current?.half.epoch ?? 0
  await ground.audit({ kind: 'rotation', epoch, step: 'decided' })
}

async function retire({ ground, keeper, roots, inTurn }: OwnParts): Promise<number> {
  await inTurn(() => retireGeneration(keeper))
  const { current } = await readGenerations(keeper)
  const epoch = current?.half.epoch ?? 0
  await roots.retain([epoch])
  await ground.audit({ kind: 'rotation', epoch, step: 'retired' })
  ground.report('rotated', { epoch })
  return epoch
}

interface Handing {
  readonly parts: OwnParts
  readonly memory: OwnerMemory
  readonly drawn: Drawn | undefined
  readonly to: HostId
  readonly epoch: number
  readonly isCommit: boolean
}

/** @returns Undefined when nothing came of it; it is tried again. */
async function hand({ parts, memory, drawn, to, epoch, isCommit }: Handing): Promise<Answer | undefined> {
  const { ground } = parts
  const say = async (message: Message): Promise<Answer | undefined> => {
    const said = await sayTo(ground.network, to, message, ground.times.answerMs)
    if (said.kind !== 'answered') {
      ground.report('not handed out', { to, what: message.kind, why: said.why })
      return undefined
    }
    if (said.answer.kind === 'failed')
      ground.report('not handed out', { to, what: message.kind, why: said.answer.text })
    return said.answer
  }
  const prepare = (): Message | undefined => {
    const share = drawn?.shares[ground.fleet().witnesses.indexOf(to)]
    if (drawn === undefined || share === undefined || drawn.epoch !== epoch) return undefined
    return { kind: 'prepare', share, leaseKey: drawn.leaseKey, succession: memory.now.succession }
  }
  try {
    const share = prepare()
    if (!isCommit) return share && (await say(share))
    const told = await say({ kind: 'commit', epoch })
    // One that missed its share before the generation was decided gets it now.
    if (told?.kind !== 'failed' || share === undefined || (await say(share))?.kind !== 'prepared') return told
    return await say({ kind: 'commit', epoch })
  } catch (error) {
    ground.report('not handed out', { to, what: isCommit ? 'commit' : 'prepare', why: messageOf(error) })
    return undefined
  }
}
