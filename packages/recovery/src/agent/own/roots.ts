/**
 * The root of the current generation: in memory, and for an agent that is started anew in the same boot sealed so that only
 * this power cycle opens it, with the cap register extended. Rules: spec/agent.md §9.
 */

import { concat, TPM_EO, ByteWriter } from '@reprise/core'
import { bytes, integer, list, nullable, object, oneOf } from '@reprise/host/decode'
import { policyOf } from '@reprise/tpm'
import { type BootState, pcrClause, readBootState, type Register } from '../../sealing/boot-state.ts'
import type { Secret } from '../../sealing/secret.ts'
import { type PinnedTpm, type RuledClause, seal, unseal } from '../../sealing/storage.ts'
import { sha256, tagged } from '../../sealing/words.ts'
import { clockNow } from '../tpm/boot-facts.ts'
import { readState, removeState, type StateFile, writeState } from '../state/folder.ts'

interface SealedRoot {
  readonly epoch: number
  readonly private: Uint8Array
  readonly public: Uint8Array
}

/** Who judged that this host may come back: witnesses, by what they held for likeliest, or operators. */
export const JUDGEMENTS = ['boot', 'boot-checked', 'recover', 'operators'] as const
export type Judgement = (typeof JUDGEMENTS)[number]

export interface ThisBootFile {
  readonly schema: typeof SCHEMA
  /** Null where nobody had to: a host that was just provisioned, or is alone. */
  readonly judgement: Judgement | null
  /** Boot registers and cap register as they are in this boot once it is capped. */
  readonly registers: readonly Register[]
  readonly resetCount: number
  readonly roots: readonly SealedRoot[]
}

const SCHEMA = 'reprise/recovery-this-boot/v1'
/** Of the generation that counts, and of one that is being handed out. */
const ROOTS_MAX = 2
export const THIS_BOOT_FILE: StateFile<ThisBootFile> = {
  schema: SCHEMA,
  bytesMax: 1 << 16,
  decode: object<ThisBootFile>({
    schema: oneOf(SCHEMA),
    judgement: nullable(oneOf(...JUDGEMENTS)),
    registers: list(object<Register>({ pcr: integer(0, 23), value: bytes(32) }), 24),
    resetCount: integer(0, 0xffffffff),
    roots: list(object<SealedRoot>({ epoch: integer(1), private: bytes(1, 1024), public: bytes(1, 1024) }), ROOTS_MAX),
  }),
}
/** TPMS_TIME_INFO, Part 2 §10.11.1: resetCount and restartCount. */
const RESET_COUNT_OFFSET = 16
const RESTART_COUNT_OFFSET = 20

export interface Roots extends Disposable {
  /** Of the release of this boot; kept with the next root. */
  judgement: Judgement | null
  readonly of: (epoch: number) => Secret | undefined
  /**
   * Keeps a root, in memory and for this boot; from now on it is this object's to wipe, also when it cannot be kept.
   *
   * @param beside - The generation that counts while this one is being handed out; roots of any other are dropped: what was
   *   handed out for it broke off.
   */
  readonly keep: (epoch: number, root: Secret, beside?: number) => Promise<void>
  /** Drops all but these. */
  readonly retain: (epochs: readonly number[]) => Promise<void>
}

export interface RootsOf {
  readonly pinned: PinnedTpm
  readonly path: string
  /** Registers of approved boots, ascending. */
  readonly bootPcrs: () => readonly number[]
  /** Before it is extended. */
  readonly cap: () => Register
}

/** With what an agent before this one kept in this boot. */
export async function openRoots(of: RootsOf): Promise<Roots> {
  const { pinned, path } = of
  const held = await recall(pinned, path)
  let sealed: readonly SealedRoot[] = held.sealed
  let { judgement } = held

  async function write(roots: readonly SealedRoot[], terms: ThisBoot): Promise<void> {
    await writeState(path, THIS_BOOT_FILE, { schema: SCHEMA, judgement, ...terms, roots })
    sealed = roots
  }

  function forget(isGone: (epoch: number) => boolean): void {
    for (const [epoch, root] of held.roots) {
      if (!isGone(epoch)) continue
      root[Symbol.dispose]()
      held.roots.delete(epoch)
    }
  }

  return {
    get judgement() {
      return judgement
    },
    set judgement(now) {
      judgement = now
    },
    of: (epoch) => held.roots.get(epoch),
    async keep(epoch, root, beside) {
      try {
        const terms = await thisBoot(of)
        const blob = await seal(pinned, policyOf(clauses(terms).map(({ clause }) => clause)), root)
        const others = sealed.filter((one) => one.epoch !== epoch && one.epoch === beside)
        await write([{ epoch, ...blob }, ...others], terms)
      } catch (error) {
        root[Symbol.dispose]()
        throw error
      }
      // Not before it is on disk: what is only in memory would be gone with this process, and its half is out.
      held.roots.get(epoch)?.[Symbol.dispose]()
      held.roots.set(epoch, root)
      forget((each) => each !== epoch && each !== beside)
    },
    async retain(epochs) {
      forget((each) => !epochs.includes(each))
      if (sealed.every(({ epoch }) => epochs.includes(epoch))) return
      await write(
        sealed.filter(({ epoch }) => epochs.includes(epoch)),
        await thisBoot(of),
      )
    },
    [Symbol.dispose]() {
      for (const root of held.roots.values()) root[Symbol.dispose]()
      held.roots.clear()
    },
  }
}

type ThisBoot = Pick<ThisBootFile, 'registers' | 'resetCount'>

/** Registers of a boot do not change between boot and release, and the cap register has one value once it was extended. */
async function thisBoot({ pinned, bootPcrs, cap }: RootsOf): Promise<ThisBoot> {
  const boot: BootState = await readBootState(pinned.tpm, bootPcrs())
  const { resetCount } = await clockNow(pinned)
  const registers = [...boot, { pcr: cap().pcr, value: cappedValue(cap()) }]
  return { registers: registers.toSorted((a, b) => a.pcr - b.pcr), resetCount }
}

/** Of the cap register after {@link capBoot}. */
export function cappedValue({ value }: Register): Uint8Array {
  return sha256(concat(value, sha256(tagged('reprise/cap/v1').done())))
}

function clauses({ registers, resetCount }: ThisBoot): readonly RuledClause[] {
  const counter = (value: number, offset: number): RuledClause['clause'] => ({
    kind: 'counterTimer',
    operandB: new ByteWriter().u32(value).done(),
    offset,
    operation: TPM_EO.EQ,
  })
  return [
    { rule: 'boot', clause: pcrClause(registers) },
    { rule: 'resets', clause: counter(resetCount, RESET_COUNT_OFFSET) },
    { rule: 'restarts', clause: counter(0, RESTART_COUNT_OFFSET) },
  ]
}

interface Held {
  readonly judgement: Judgement | null
  readonly roots: Map<number, Secret>
  readonly sealed: readonly SealedRoot[]
}

/** What opens; a file of another power cycle, or of a boot that was not capped yet, opens nothing and goes. */
async function recall(pinned: PinnedTpm, path: string): Promise<Held> {
  const roots = new Map<number, Secret>()
  const file = await readState(path, THIS_BOOT_FILE)
  if (file === undefined) return { judgement: null, roots, sealed: [] }
  for (const { epoch, ...blob } of file.roots) {
    const opened = await unseal(pinned, blob, clauses(file))
    if (opened.kind === 'opened') roots.set(epoch, opened.secret)
  }
  if (roots.size === 0) {
    await removeState(path)
    return { judgement: null, roots, sealed: [] }
  }
  return { judgement: file.judgement, roots, sealed: file.roots.filter(({ epoch }) => roots.has(epoch)) }
}
